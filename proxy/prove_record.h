/*
 * Records of a connection whose handshake `pawl prove` made itself: opened to see what
 * the library does not show, and sealed to say what it does not say.
 */
#ifndef PROXY_PROVE_RECORD_H
#define PROXY_PROVE_RECORD_H

#include "proxy/cursor.h"
#include "proxy/prove_session.h"

enum { PROVE_PLAIN_MAX = (1 << 14) + 256 };

/* The keys of what one side sends, and the number of its next record. */
struct prove_keys {
    uint8_t key[32];
    size_t key_len;
    uint8_t iv[12]; /* TLS 1.2: the first four bytes count */
    bool tls13;
    bool chacha;
    uint64_t sequence;
};

struct prove_plain {
    uint8_t type; /* ContentType; of TLS 1.3 the inner one */
    uint8_t bytes[PROVE_PLAIN_MAX];
    size_t length;
};

/* What the server sends after a handshake of TLS 1.3 with one of the three common suites;
 * false for all others. */
bool prove_keys_take(struct prove_keys *keys,
                     const struct prove_session *session) MUST_CHECK;

/* Takes the next record off `input` and opens it.  False: there is no whole one, or it is
 * not protected with these keys. */
bool prove_record_open(struct prove_keys *keys, struct cursor *input,
                       struct prove_plain *plain) MUST_CHECK;

/* TLS 1.2 only: writes a whole record, returns its length, 0 if it cannot be. */
size_t prove_record_seal(struct prove_keys *keys, uint8_t type, const uint8_t *bytes,
                         size_t length, uint8_t *out, size_t size);

#endif
