/*
 * Opens a private key that is encrypted with a passphrase, in the one form that is
 * served: PKCS #8 with PBES2 (RFC 8018), PBKDF2 with HMAC and AES in CBC mode.  Runs in
 * the keyholder, or in `pawl check`.
 */
#ifndef CERTS_ENCRYPTED_KEY_H
#define CERTS_ENCRYPTED_KEY_H

#include "certs/vault.h"
#include "config/bundle.h"

enum {
    /* Per key.  A million takes 0.2 to 0.7 seconds. */
    ENCRYPTED_KEY_ITERATIONS_MAX = 10 * 1000 * 1000
};

/* How to convert what is encrypted in another way. */
#define ENCRYPTED_KEY_CONVERT                                                            \
    "convert it: openssl pkcs8 -topk8 -v2 aes256 -in OLD -out NEW"

/* What opens keys, one after the other. */
struct key_opener {
    struct blob passphrase; /* borrowed, as its file has it: one line feed at its end, or
                               carriage return and line feed, do not belong to it; NULL:
                               there is none */
    uint64_t iterations;    /* of the key derivation that may still be spent */
};

/* Decrypts `der`, an EncryptedPrivateKeyInfo (RFC 5958 section 3), into `vault`; `*plain`
 * is then a PrivateKeyInfo.  What `der` asks for is taken off the iterations, also if the
 * passphrase turns out to be wrong. */
bool encrypted_key_open(struct blob der, struct key_opener *opener, struct vault *vault,
                        struct blob *plain, struct error *error) MUST_CHECK;

#endif
