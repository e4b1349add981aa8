/*
 * One connection's client under a policy: what its certificate says, and what came of it.
 */
#ifndef CERTS_CLIENT_H
#define CERTS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include "config/config.h"
#include "proxy/error.h"

/* What became of one client's certificate. */
enum client_verdict {
    CLIENT_UNSEEN,  /* none has been judged yet */
    CLIENT_ABSENT,  /* none was sent, and none is required */
    CLIENT_MISSING, /* none was sent */
    CLIENT_ACCEPTED,
    CLIENT_UNTRUSTED, /* no chain to the authorities, or a signature is wrong */
    CLIENT_EXPIRED,   /* or not yet valid */
    CLIENT_REVOKED,   /* or the list that would tell is missing or out of date */
    CLIENT_WRONG_USE, /* not meant for clients */
    CLIENT_NOT_ALLOWED
};

/* One connection's client. */
struct client {
    const struct config_clients *policy; /* borrowed */
    WOLFSSL_CTX *context;                /* borrowed; that of the policy */
    bool keep_certificate;               /* the backend wants it */
    enum client_verdict verdict;
    uint8_t *certificate; /* owned: DER of the leaf; NULL: none, or not kept */
    size_t certificate_size;
    char *cn;     /* owned: as text, bounded; NULL: it has none */
    char *san;    /* owned: "DNS:a URI:b", bounded */
    char *detail; /* owned: of a refusal, in words */
};

/* Ties a new client to `ssl`, whose context is under `policy`.  NULL without memory. */
struct client *client_new(WOLFSSL *ssl, const struct config_clients *policy,
                          bool keep_certificate) MUST_CHECK;

/* To be asked when the handshake is done, whatever the library thought of it: whether
 * this client may stay.  Fills verdict and detail if not. */
bool client_may_stay(struct client *client, WOLFSSL *ssl) MUST_CHECK;

/* Looks for the reason why the handshake failed with the library's `tls_error` in what
 * the client presented.  False: it lies elsewhere. */
bool client_explain(struct client *client, int tls_error) MUST_CHECK;

/* Frees the certificate, which has been told to whom it may concern. */
void client_drop_certificate(struct client *client);

/* NULL is allowed.  After the WOLFSSL it is tied to makes no more handshake, and before
 * the context is freed. */
void client_free(struct client *client);

/* What the library asks about each certificate of a client. */
int client_on_verify(int good, WOLFSSL_X509_STORE_CTX *store);

#endif
