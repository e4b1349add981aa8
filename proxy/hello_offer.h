/*
 * The inside of hello.c: what one ClientHello offers, and the judgement over it.  An
 * offer borrows the message it was read from and lives no longer than one call of
 * hello_read.
 */
#ifndef PROXY_HELLO_OFFER_H
#define PROXY_HELLO_OFFER_H

#include "proxy/cursor.h"
#include "proxy/hello.h"

/* AlertDescription values (RFC 8446 section 6, RFC 6066 section 9). */
enum hello_alert {
    HELLO_ALERT_NONE = 0, /* close silently: the peer would not read an alert */
    HELLO_ALERT_UNEXPECTED_MESSAGE = 10,
    HELLO_ALERT_RECORD_OVERFLOW = 22,
    HELLO_ALERT_HANDSHAKE_FAILURE = 40,
    HELLO_ALERT_ILLEGAL_PARAMETER = 47,
    HELLO_ALERT_DECODE_ERROR = 50,
    HELLO_ALERT_PROTOCOL_VERSION = 70,
    HELLO_ALERT_MISSING_EXTENSION = 109,
    HELLO_ALERT_UNRECOGNIZED_NAME = 112
};

enum { TLS_VERSION_1_2 = 0x0303, TLS_VERSION_1_3 = 0x0304 };

struct hello_offer {
    struct hello *hello;           /* borrowed, filled */
    struct hello_verdict *verdict; /* borrowed, filled on refusal */
    struct cursor suites;          /* the vectors as sent, for words about them */
    struct cursor versions;
    struct cursor groups;
    struct cursor signatures;
    bool has_versions;
    bool has_signatures;
    bool has_psk_modes;
    bool only_null_compression;
    bool suite_ecdsa; /* one of our TLS 1.2 suites signed with ECDSA or EdDSA */
    bool suite_rsa;   /* one of them signed with RSA */
    bool group_p384;
    uint32_t tls12_key_types; /* by signature_algorithms alone */
    uint32_t tls13_key_types;
};

/* Fills offer and hello from the body of a ClientHello (its 4-byte header taken off);
 * `offer->hello` and `offer->verdict` are set, the rest is zero.  False: refused. */
bool hello_offer_read(struct hello_offer *offer, const uint8_t *body,
                      size_t length) MUST_CHECK;

/* Works out best_version and key_types, and applies the forward-secrecy policy.
 * False: refused. */
bool hello_policy_judge(struct hello_offer *offer) MUST_CHECK;

/* Marks the verdict and returns false; the sentence is set beside it. */
bool hello_refuse(struct hello_verdict *verdict, enum hello_refusal refusal,
                  enum hello_alert alert);

/* The values that RFC 8701 reserves for probing tolerance. */
static inline bool hello_is_grease(uint16_t value)
{
    return (value & 0x0f0f) == 0x0a0a && value >> 8 == (value & 0xff);
}

/* The two signalling values among cipher suites (RFC 5746, RFC 7507). */
static inline bool hello_is_signal_suite(uint16_t suite)
{
    return suite == 0x00ff || suite == 0x5600;
}

#endif
