/*
 * What worker and keyholder say to each other: fixed-size records, several to a packet,
 * over a SEQPACKET socketpair.  One request exists: sign.  Nothing in a record is trusted
 * by either side.
 */
#ifndef CERTS_KEYHOLDER_MSG_H
#define CERTS_KEYHOLDER_MSG_H

#include <stdint.h>

#include "certs/certstore.h"

enum {
    SIGN_INPUT_MAX = 256,     /* a digest; for Ed25519 the whole message */
    SIGN_SIGNATURE_MAX = 512, /* RSA-4096 */
    SIGN_BATCH_MAX = 32       /* records in one packet */
};

/* Signature schemes that exist, by their TLS code points (RFC 8446 section 4.2.3).  The
 * PKCS #1 v1.5 ones are for TLS 1.2 only. */
enum sign_scheme {
    SIGN_RSA_PKCS1_SHA256 = 0x0401,
    SIGN_RSA_PKCS1_SHA384 = 0x0501,
    SIGN_RSA_PKCS1_SHA512 = 0x0601,
    SIGN_ECDSA = 0x0403, /* the key's own curve, the digest as given */
    SIGN_RSA_PSS_SHA256 = 0x0804,
    SIGN_RSA_PSS_SHA384 = 0x0805,
    SIGN_RSA_PSS_SHA512 = 0x0806,
    SIGN_ED25519 = 0x0807
};

enum sign_status { SIGN_DONE, SIGN_BAD_REQUEST, SIGN_UNKNOWN_KEY, SIGN_FAILED };

struct sign_request {
    uint64_t id; /* the worker's, returned unchanged */
    uint16_t scheme;
    uint16_t input_length;
    uint32_t reserved; /* 0 */
    uint8_t spki_hash[SPKI_HASH_BYTES];
    uint8_t input[SIGN_INPUT_MAX];
};

struct sign_reply {
    uint64_t id;
    uint16_t status;
    uint16_t signature_length;
    uint32_t reserved; /* 0 */
    uint8_t signature[SIGN_SIGNATURE_MAX];
};

/* Whether a request is one that a keyholder may serve: known scheme, input of the size
 * the scheme signs, reserved bits zero. */
bool sign_request_is_valid(const struct sign_request *request);

/* Whether a reply is well-formed. */
bool sign_reply_is_valid(const struct sign_reply *reply);

#endif
