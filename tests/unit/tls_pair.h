/*
 * A TLS server with one of our certificates and a client that trusts the lab's root,
 * joined by memory.  The server's signatures come through a keyholder_client.
 */
#ifndef TESTS_TLS_PAIR_H
#define TESTS_TLS_PAIR_H

#include "certs/keyholder_client.h"

enum { PIPE_BYTES = 256 * 1024 };

/* One direction. */
struct tls_pipe {
    uint8_t *bytes;
    size_t start;
    size_t end;
    unsigned *chaos; /* seed of random short reads and writes; NULL: none */
};

struct tls_pair {
    WOLFSSL *server;
    WOLFSSL *client;
    struct sign_job *job;
    struct tls_pipe to_server;
    struct tls_pipe to_client;
    bool server_done;
    bool client_done;
    int server_error; /* of the last attempt */
    int client_error;
    bool failed;
    unsigned signed_count; /* calls of on_signed */
    bool in_accept;
    bool signed_in_accept; /* on_signed was called from within wolfSSL_accept */
    unsigned pendings;
};

enum tls_pair_version { PAIR_TLS12, PAIR_TLS13 };

/* `root` is PEM.  Ends the test on failure. */
WOLFSSL_CTX *tls_pair_client_context(enum tls_pair_version version, const char *root,
                                     size_t root_size);

void tls_pair_open(struct tls_pair *pair, struct keyholder_client *signer,
                   const struct certificate *certificate, WOLFSSL_CTX *client_context,
                   unsigned *chaos);

/* Lets each side go as far as it can; true once both are done. */
bool tls_pair_step(struct tls_pair *pair);

/* Sends a little each way. */
bool tls_pair_talk(struct tls_pair *pair);

void tls_pair_close(struct tls_pair *pair);

#endif
