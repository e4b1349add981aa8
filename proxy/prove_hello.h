/*
 * ClientHellos made by hand, for everything that a TLS library refuses to offer: they get
 * an answer out of the server and are never carried further.  `pawl prove` alone.
 */
#ifndef PROXY_PROVE_HELLO_H
#define PROXY_PROVE_HELLO_H

#include "proxy/prove_answer.h"
#include "proxy/prove_net.h"

enum { PROVE_HELLO_BYTES_MAX = 8 * 1024 };

/* What to offer.  Versions under TLS 1.0 get no extensions; with TLS 1.3 among `versions`
 * an empty key share is sent, which asks the server to name the group it wants. */
struct prove_hello {
    uint16_t legacy_version;
    const uint16_t *versions; /* of supported_versions, which 0 of them leave out */
    size_t version_count;
    const uint16_t *suites;
    size_t suite_count;
    const uint16_t *groups; /* likewise */
    size_t group_count;
    const char *name; /* SNI; "" or NULL: none */
    bool deflate;     /* offer DEFLATE, and before no compression */
    bool status_request;
    bool early_data; /* with a made-up ticket, which early data cannot do without */
    /* The client's Finished of the connection that is to be renegotiated, or NULL. */
    const uint8_t *verify_data;
    size_t verify_data_len;
};

/* Writes the handshake message, without a record around it; returns its length, 0 if it
 * does not fit. */
size_t prove_hello_message(const struct prove_hello *hello, uint8_t *out, size_t size);

/* The same in one record. */
size_t prove_hello_record(const struct prove_hello *hello, uint8_t *out, size_t size);

/* Connects, sends the hello, and reads what comes back, of TLS 1.2 and before the whole
 * flight.  Always fills `answer`, which prove_answer_close must follow. */
void prove_hello_ask(struct prove_target *target, const struct prove_hello *hello,
                     struct prove_answer *answer);

#endif
