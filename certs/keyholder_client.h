/*
 * The worker's side of its keyholder: turns wolfSSL's sign callbacks into requests and
 * replies into resumed handshakes.  The event loop never waits: a callback whose
 * signature is not there yet answers WC_PENDING_E.  Requests of one loop turn leave in
 * one packet.
 */
#ifndef CERTS_KEYHOLDER_CLIENT_H
#define CERTS_KEYHOLDER_CLIENT_H

#include <event2/event.h>

#include "certs/certstore.h"
#include "config/histogram.h"

struct keyholder_client;

/* What a client counts, for others to read. */
struct sign_counts {
    uint64_t made;
    uint64_t refused;            /* by the keyholder */
    uint64_t resent;             /* to a keyholder that took the place of another */
    struct histogram latency_us; /* from the question to the answer */
    uint64_t waiting;            /* now: asked for and not answered */
};

/* `base` is borrowed. */
struct keyholder_client *keyholder_client_new(struct event_base *base,
                                              struct error *error) MUST_CHECK;

/* Has it count in `counts` (borrowed, must outlive the client) from now on. */
void keyholder_client_count(struct keyholder_client *client, struct sign_counts *counts);

/* Takes a (new) socketpair to the keyholder.  Requests that have no reply yet are sent
 * again: a keyholder that was replaced costs a handshake time, never the handshake. */
void keyholder_client_set_channel(struct keyholder_client *client, int fd);

/* Puts the sign callbacks on a context; to be called before its key is set. */
void keyholder_client_attach(WOLFSSL_CTX *context);

/* The signature of one handshake. */
struct sign_job;

/* Makes the job for one TLS connection and ties it to `ssl`.  `on_signed(argument)` is
 * called from the event loop, never from within a call made by the owner, when the
 * handshake should be tried again (also when signing failed).  It may free this job and
 * others, but not the client.  `certificate` is borrowed. */
struct sign_job *sign_job_new(struct keyholder_client *client, WOLFSSL *ssl,
                              const struct certificate *certificate,
                              void (*on_signed)(void *argument),
                              void *argument) MUST_CHECK;

/* Whether a signature was asked for and is not there yet. */
bool sign_job_is_waiting(const struct sign_job *job);

/* Whether the keyholder answered and refused. */
bool sign_job_has_failed(const struct sign_job *job);

/* Forgets the job, whatever its state; must precede the freeing of its WOLFSSL or follow
 * the end of its handshake.  NULL is allowed. */
void sign_job_free(struct sign_job *job);

void keyholder_client_free(struct keyholder_client *client);

#endif
