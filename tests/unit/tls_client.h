/*
 * A TLS client on a real socket, whose output the test moves by hand, in pieces of its
 * choice; and a server context with a key of its own, which no keyholder has to sign for.
 */
#ifndef TESTS_TLS_CLIENT_H
#define TESTS_TLS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

enum { TLS_CLIENT_OUT_MAX = 1024 * 1024 };

struct tls_client {
    int fd;       /* owned; -1: closed */
    WOLFSSL *ssl; /* owned */
    uint8_t *out; /* owned; ciphertext that is not on the socket yet */
    size_t out_start;
    size_t out_end;
    bool failed; /* the handshake */
};

enum tls_client_version { CLIENT_TLS12, CLIENT_TLS13 };

/* Contexts for the whole program: a self-signed certificate, the proxy's policy. */
void tls_contexts_open(void);
void tls_contexts_close(void);
WOLFSSL_CTX *tls_server_context(void);

/* Takes `fd`.  The second takes a context that is the test's own. */
void tls_client_open(struct tls_client *client, int fd, enum tls_client_version version);
void tls_client_open_with(struct tls_client *client, int fd, WOLFSSL_CTX *context);

/* Goes on with the handshake; true when done.  Its output is gathered. */
bool tls_client_connect(struct tls_client *client);

/* Encrypts; the output is gathered. */
void tls_client_write(struct tls_client *client, const void *bytes, size_t length);

/* Gathers a close_notify. */
void tls_client_notify(struct tls_client *client);

/* Puts at most `most` gathered bytes on the socket; returns how many. */
size_t tls_client_send(struct tls_client *client, size_t most);

/* Decrypts what is there: the number of bytes, 0 after close_notify, -1 when there is
 * nothing, -2 on any error. */
int tls_client_read(struct tls_client *client, void *bytes, size_t size);

/* Closes the socket, and the rest in tls_client_close. */
void tls_client_hang_up(struct tls_client *client);
void tls_client_close(struct tls_client *client);

#endif
