/*
 * What load_client.c and load_place.c share: what is to be done, what was done, and the
 * places where operations happen, one after the other in each.
 */
#ifndef TESTS_BENCH_LOAD_CLIENT_H
#define TESTS_BENCH_LOAD_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

enum { LOAD_HEAD_MAX = 1024, LOAD_WORDS_MAX = 160 };

enum load_mode { MODE_HANDSHAKE, MODE_REQUEST, MODE_HOLD };

struct load_options {
    enum load_mode mode;
    uint64_t count;
    uint64_t seconds;
    unsigned parallel;
    unsigned warm;
    uint64_t upload; /* bytes of the request's body */
    bool tls12;
    bool resume;
    int group;
    const char *group_name;
    const char *cipher; /* NULL: any */
    const char *path;
    struct sockaddr_storage address;
    socklen_t address_length;
};

struct load_results {
    uint64_t done;
    uint64_t errors;
    uint64_t resumed;
    uint64_t bytes;
    char first_error[LOAD_WORDS_MAX];
    char version[32], cipher[64], group[32];
};

struct load {
    struct load_options options;
    struct load_results results;
    WOLFSSL_CTX *context;
    int poller;
    char request[LOAD_HEAD_MAX];
    size_t request_length;
    bool counting;        /* past the warming */
    uint64_t started;     /* operations */
    uint64_t start_most;  /* not to be exceeded by `started` */
    uint64_t deadline_ms; /* for starting more; 0: none */
    uint64_t progress_ms; /* when something happened last */
    unsigned active;      /* places with an operation */
};

enum place_phase { PHASE_IDLE, PHASE_HANDSHAKE, PHASE_SEND, PHASE_RECEIVE, PHASE_CLOSE };

struct place {
    int fd;
    enum place_phase phase;
    bool held;
    WOLFSSL *ssl;
    WOLFSSL_SESSION *session; /* of the operation before */
    uint64_t sent;            /* bytes of the request */
    uint64_t received;
    uint64_t expected; /* bytes of the response; 0: its head is not there yet */
    size_t head_length;
    char head[LOAD_HEAD_MAX + 1];
};

/* The one of this process. */
extern struct load load;

_Noreturn void load_fail(const char *what);
uint64_t load_now_ms(void);

/* Starts an operation in an idle place if there is one left to do. */
void place_go_on(struct place *place);

/* Does what can be done now. */
void place_step(struct place *place);

/* Gives up the operation; `code` is the library's, or 0. */
void place_fail(struct place *place, const char *doing, int code);

#endif
