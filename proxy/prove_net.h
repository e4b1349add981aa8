/*
 * The connections that `pawl prove` makes: plain TCP with a deadline for each, and limits
 * for all of them together, so that no server can hold it up for long.
 */
#ifndef PROXY_PROVE_NET_H
#define PROXY_PROVE_NET_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "proxy/error.h"

enum {
    PROVE_TIMEOUT_MS = 5000,      /* of one connection, from connect to the last byte */
    PROVE_CONNECTIONS_MAX = 1500, /* in one run */
    PROVE_SILENCES_MAX = 4,       /* connections without an answer before giving up */
    PROVE_TOTAL_MS = 300 * 1000,
    PROVE_HOST_MAX = 256
};

struct prove_target {
    struct sockaddr_storage address;
    socklen_t address_len;
    char text[PROVE_HOST_MAX + 16]; /* HOST:PORT as asked for */
    char name[PROVE_HOST_MAX]; /* sent as SNI and looked for in the certificate; "" */
    const char *ca;            /* borrowed: file of trusted certificates, or NULL */
    uint64_t start_ms;
    unsigned connections; /* made so far */
    unsigned silences;    /* of them, those that brought nothing in time */
};

struct prove_link {
    int fd; /* -1: closed */
    uint64_t deadline_ms;
    struct prove_target *target; /* borrowed */
};

uint64_t prove_now_ms(void);

/* Resolves `text`, HOST:PORT or [IPV6]:PORT, and takes HOST as the name unless it is a
 * number.  Connects once to see which of the addresses works.  Zeroes the rest. */
bool prove_target_read(struct prove_target *target, const char *text,
                       struct error *error) MUST_CHECK;

/* Whether another connection may be made; else says which limit of the run is reached. */
bool prove_target_has_patience(const struct prove_target *target,
                               struct error *error) MUST_CHECK;

/* False also when the limits of the run are reached. */
bool prove_link_open(struct prove_link *link, struct prove_target *target,
                     struct error *error) MUST_CHECK;

bool prove_link_send(struct prove_link *link, const void *bytes,
                     size_t length) MUST_CHECK;

enum prove_receipt { RECEIPT_BYTES, RECEIPT_END, RECEIPT_RESET, RECEIPT_SILENCE };

/* Waits for some bytes until the link's deadline. */
enum prove_receipt prove_link_receive(struct prove_link *link, void *bytes, size_t size,
                                      size_t *length);

void prove_link_close(struct prove_link *link);

#endif
