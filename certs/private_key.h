/*
 * One private key: reading it from PEM, naming it by its public half, signing.  Used by
 * the keyholder and by the child that makes development certificates, by nobody else.
 */
#ifndef CERTS_PRIVATE_KEY_H
#define CERTS_PRIVATE_KEY_H

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/ed25519.h>
#include <wolfssl/wolfcrypt/random.h>
#include <wolfssl/wolfcrypt/rsa.h>

#include "certs/encrypted_key.h"
#include "certs/keyholder_msg.h"
#include "certs/vault.h"
#include "config/bundle.h"

/* Exactly one of the pointers is set; they point into a vault. */
struct private_key {
    enum key_type type;
    ecc_key *ecc;
    RsaKey *rsa;
    ed25519_key *ed25519;
    bool was_encrypted; /* in its file; also known if it could not be read */
    uint8_t
        spki_hash[SPKI_HASH_BYTES]; /* of the public half, computed from the private */
};

/* Where a key is to be read from. */
struct private_key_text {
    struct blob pem;           /* borrowed */
    struct key_opener *opener; /* borrowed; for a key that is encrypted */
};

/* Reads the first private key of `text` (PKCS #8, be it encrypted, SEC 1 or PKCS #1) into
 * `vault`.  `rng` is borrowed for as long as the key is used.  The sentence needs the
 * path in front. */
bool private_key_read(struct private_key *key, const struct private_key_text *text,
                      struct vault *vault, WC_RNG *rng, struct error *error) MUST_CHECK;

/* Whether keys of this type make such signatures. */
bool private_key_allows(const struct private_key *key, enum sign_scheme scheme);

/* Signs a digest (Ed25519: a message) of a size that sign_request_is_valid allows. */
bool private_key_sign(const struct private_key *key, WC_RNG *rng, enum sign_scheme scheme,
                      const uint8_t *input, size_t input_length,
                      uint8_t signature[SIGN_SIGNATURE_MAX],
                      size_t *signature_length) MUST_CHECK;

/* Wipes it; to be called before the vault is closed. */
void private_key_close(struct private_key *key);

#endif
