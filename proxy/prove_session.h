/*
 * A real handshake with the library's client, for what needs one.  Everything that comes
 * in and goes out is kept as it was on the wire, so that findings rest on the bytes and
 * not on what the library makes of them.
 */
#ifndef PROXY_PROVE_SESSION_H
#define PROXY_PROVE_SESSION_H

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include "proxy/prove_answer.h"
#include "proxy/prove_net.h"

enum { PROVE_CAPTURE_MAX = 128 * 1024 };

/* Bytes as they were on the wire; more than PROVE_CAPTURE_MAX of them end the session. */
struct prove_capture {
    uint8_t *bytes; /* owned */
    size_t length;
};

struct prove_session_options {
    bool tls13;              /* this version and no other */
    uint16_t group;          /* offered first, with its key share; 0: X25519 */
    bool psk_ke;             /* resumption without a key exchange, nothing else */
    bool wants_ticket;       /* TLS 1.2: the ticket extension */
    const char *ca;          /* trust these certificates, or NULL: take any */
    WOLFSSL_SESSION *resume; /* borrowed, or NULL */
};

/* Open, then always close, also after a failure. */
struct prove_session {
    struct prove_link link;
    WOLFSSL_CTX *context; /* owned */
    WOLFSSL *ssl;         /* owned */
    struct prove_capture in;
    struct prove_capture out;
    size_t in_handshake; /* bytes of `in` up to the end of the handshake */
    bool is_done;        /* the handshake succeeded */
    bool is_listening;   /* what comes now shortens the wait for more */
    bool timed_out;
    int trust_error; /* of the library's verification; 0: trusted */
    uint8_t *chain;  /* owned: the server's certificates, as in struct prove_answer */
    size_t chain_at[PROVE_CHAIN_COUNT_MAX + 1];
    size_t chain_count;
    struct prove_answer answer; /* the unencrypted part of what came in */
};

/* Connects and shakes hands.  False: it did not succeed, for the reason in `error`; the
 * answer is read all the same. */
bool prove_session_open(struct prove_session *session, struct prove_target *target,
                        const struct prove_session_options *options,
                        struct error *error) MUST_CHECK;

/* Reads whatever comes for `wait_ms`, and a fraction of it after the last bytes: tickets.
 */
void prove_session_listen(struct prove_session *session, uint64_t wait_ms);

/* What the library needs to resume; owned by the caller, wolfSSL_SESSION_free.  NULL:
 * there is nothing. */
WOLFSSL_SESSION *prove_session_take(struct prove_session *session) MUST_CHECK;

/* Ends the connection properly: a server may forget a session whose end was none, and one
 * that serves a single client waits for it.  What was captured stays. */
void prove_session_hang_up(struct prove_session *session);

void prove_session_close(struct prove_session *session);

#endif
