#include "certs/private_key.h"

#include <limits.h>
#include <string.h>

#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/error-crypt.h>
#include <wolfssl/wolfcrypt/hash.h>

#include "certs/pem.h"

enum {
    SPKI_MAX = 1024, /* an RSA-4096 one takes 550 */
    RSA_BITS_MIN = 2048,
    RSA_BITS_MAX = 4096,
    DIGEST_INFO_MAX = 128,
    PKCS8_ALGORITHM_END = 48 /* the algorithm stands within the first bytes */
};

/* What the RSA schemes are made of. */
struct rsa_scheme {
    enum sign_scheme scheme;
    enum wc_HashType hash;
    int mgf; /* WC_MGF1NONE: PKCS #1 v1.5 */
};

static const struct rsa_scheme rsa_schemes[] = {
    {SIGN_RSA_PKCS1_SHA256, WC_HASH_TYPE_SHA256, WC_MGF1NONE},
    {SIGN_RSA_PKCS1_SHA384, WC_HASH_TYPE_SHA384, WC_MGF1NONE},
    {SIGN_RSA_PKCS1_SHA512, WC_HASH_TYPE_SHA512, WC_MGF1NONE},
    {SIGN_RSA_PSS_SHA256, WC_HASH_TYPE_SHA256, WC_MGF1SHA256},
    {SIGN_RSA_PSS_SHA384, WC_HASH_TYPE_SHA384, WC_MGF1SHA384},
    {SIGN_RSA_PSS_SHA512, WC_HASH_TYPE_SHA512, WC_MGF1SHA512},
};

static const char encrypted_label[] = "ENCRYPTED PRIVATE KEY";

enum key_family { FAMILY_NONE, FAMILY_ECC, FAMILY_RSA, FAMILY_ED25519 };

static bool find_key(struct blob pem, struct pem_block *block, struct error *error);
static bool read_der(const struct pem_block *block, struct key_opener *opener,
                     struct vault *scratch, struct blob *der, struct error *error);
static enum key_family family_of(const struct pem_block *block, struct blob der);
static bool decode(struct private_key *key, enum key_family family, struct blob der,
                   struct vault *vault, WC_RNG *rng, struct error *error);
static bool decode_ecc(struct private_key *key, struct blob der, WC_RNG *rng,
                       struct error *error);
static bool decode_rsa(struct private_key *key, struct blob der, WC_RNG *rng,
                       struct error *error);
static bool decode_ed25519(struct private_key *key, struct blob der, struct error *error);
static bool hash_public(struct private_key *key, struct error *error);
static int sign_rsa(const struct private_key *key, WC_RNG *rng, enum sign_scheme scheme,
                    const uint8_t *digest, size_t length, uint8_t *signature);

bool private_key_read(struct private_key *key, const struct private_key_text *text,
                      struct vault *vault, WC_RNG *rng, struct error *error)
{
    *key = (struct private_key){0};
    struct pem_block block;
    struct blob der;
    if (!find_key(text->pem, &block, error))
        return false;
    struct vault scratch = {0};
    const bool ok = read_der(&block, text->opener, &scratch, &der, error) &&
                    decode(key, family_of(&block, der), der, vault, rng, error) &&
                    hash_public(key, error);
    vault_close(&scratch);
    if (!ok)
        private_key_close(key);
    key->was_encrypted = pem_is(&block, encrypted_label);
    return ok;
}

bool private_key_allows(const struct private_key *key, enum sign_scheme scheme)
{
    switch (scheme) {
    case SIGN_ECDSA:
        return key->ecc != NULL;
    case SIGN_ED25519:
        return key->ed25519 != NULL;
    case SIGN_RSA_PKCS1_SHA256:
    case SIGN_RSA_PKCS1_SHA384:
    case SIGN_RSA_PKCS1_SHA512:
    case SIGN_RSA_PSS_SHA256:
    case SIGN_RSA_PSS_SHA384:
    case SIGN_RSA_PSS_SHA512:
        return key->rsa != NULL;
    }
    return false;
}

bool private_key_sign(const struct private_key *key, WC_RNG *rng, enum sign_scheme scheme,
                      const uint8_t *input, size_t input_length,
                      uint8_t signature[SIGN_SIGNATURE_MAX], size_t *signature_length)
{
    word32 length = SIGN_SIGNATURE_MAX;
    int code = BAD_FUNC_ARG;
    if (!private_key_allows(key, scheme))
        return false;
    if (key->ecc) {
        code = wc_ecc_sign_hash(input, (word32)input_length, signature, &length, rng,
                                key->ecc);
    } else if (key->ed25519) {
        code = wc_ed25519_sign_msg(input, (word32)input_length, signature, &length,
                                   key->ed25519);
    } else if (key->rsa) {
        code = sign_rsa(key, rng, scheme, input, input_length, signature);
        length = code > 0 ? (word32)code : 0;
        code = code > 0 ? 0 : code;
    }
    *signature_length = length;
    return code == 0 && length > 0;
}

void private_key_close(struct private_key *key)
{
    if (key->ecc) {
        wc_ecc_free(key->ecc);
        explicit_bzero(key->ecc, sizeof *key->ecc);
    }
    if (key->rsa) {
        wc_FreeRsaKey(key->rsa);
        explicit_bzero(key->rsa, sizeof *key->rsa);
    }
    if (key->ed25519) {
        wc_ed25519_free(key->ed25519);
        explicit_bzero(key->ed25519, sizeof *key->ed25519);
    }
    *key = (struct private_key){0};
}

static bool find_key(struct blob pem, struct pem_block *block, struct error *error)
{
    size_t offset = 0;
    enum pem_result result;
    while ((result = pem_next(pem, &offset, block)) == PEM_BLOCK) {
        if (pem_is(block, encrypted_label))
            return true;
        if (!pem_is(block, "PRIVATE KEY") && !pem_is(block, "EC PRIVATE KEY") &&
            !pem_is(block, "RSA PRIVATE KEY"))
            continue;
        if (pem_has_headers(block))
            return error_set(error, "it is encrypted in the old way of PEM, which is "
                                    "not served; " ENCRYPTED_KEY_CONVERT);
        return true;
    }
    if (result == PEM_BROKEN)
        return error_set(error, "it is damaged: a block in it has no end");
    return error_set(error, "there is no private key in it");
}

/* Decodes the block, and decrypts it if it is encrypted. */
static bool read_der(const struct pem_block *block, struct key_opener *opener,
                     struct vault *scratch, struct blob *der, struct error *error)
{
    size_t size = pem_der_max(block);
    uint8_t *bytes = vault_take(scratch, size);
    if (!bytes)
        return error_set(error, "no memory for it");
    if (!pem_decode(block, bytes, &size))
        return error_set(error, "it is damaged: not base64");
    *der = (struct blob){bytes, size};
    return !pem_is(block, encrypted_label) ||
           encrypted_key_open(*der, opener, scratch, der, error);
}

static bool holds_oid(struct blob der, const uint8_t *oid, size_t oid_size)
{
    const size_t size = der.size < PKCS8_ALGORITHM_END ? der.size : PKCS8_ALGORITHM_END;
    return memmem(der.data, size, oid, oid_size) != NULL;
}

/* The traditional forms say it in the label, PKCS #8 by the algorithm's identifier. */
static enum key_family family_of(const struct pem_block *block, struct blob der)
{
    static const uint8_t ecc[] = {0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};
    static const uint8_t rsa[] = {0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                  0xf7, 0x0d, 0x01, 0x01, 0x01};
    static const uint8_t ed25519[] = {0x06, 0x03, 0x2b, 0x65, 0x70};
    if (pem_is(block, "EC PRIVATE KEY"))
        return FAMILY_ECC;
    if (pem_is(block, "RSA PRIVATE KEY"))
        return FAMILY_RSA;
    if (holds_oid(der, ecc, sizeof ecc))
        return FAMILY_ECC;
    if (holds_oid(der, rsa, sizeof rsa))
        return FAMILY_RSA;
    if (holds_oid(der, ed25519, sizeof ed25519))
        return FAMILY_ED25519;
    return FAMILY_NONE;
}

static bool decode(struct private_key *key, enum key_family family, struct blob der,
                   struct vault *vault, WC_RNG *rng, struct error *error)
{
    switch (family) {
    case FAMILY_ECC:
        key->ecc = vault_take(vault, sizeof *key->ecc);
        return key->ecc && decode_ecc(key, der, rng, error);
    case FAMILY_RSA:
        key->rsa = vault_take(vault, sizeof *key->rsa);
        return key->rsa && decode_rsa(key, der, rng, error);
    case FAMILY_ED25519:
        key->ed25519 = vault_take(vault, sizeof *key->ed25519);
        return key->ed25519 && decode_ed25519(key, der, error);
    case FAMILY_NONE:
        break;
    }
    return error_set(error, "its kind is not served: use ECDSA P-256 or P-384, Ed25519, "
                            "or RSA");
}

/* The public half is computed, never taken from the file. */
static bool decode_ecc(struct private_key *key, struct blob der, WC_RNG *rng,
                       struct error *error)
{
    word32 index = 0;
    int code = wc_ecc_init(key->ecc);
    if (code == 0)
        code = wc_EccPrivateKeyDecode(der.data, &index, key->ecc, (word32)der.size);
    if (code == 0)
        code = wc_ecc_set_rng(key->ecc, rng);
    if (code == 0)
        code = wc_ecc_make_pub_ex(key->ecc, NULL, rng);
    if (code != 0)
        return error_set(error, "it is not a usable ECDSA key: %s",
                         wc_GetErrorString(code));
    const int curve = wc_ecc_get_curve_id(key->ecc->idx);
    if (curve != ECC_SECP256R1 && curve != ECC_SECP384R1)
        return error_set(error, "its curve is not served: use P-256 or P-384");
    key->type = curve == ECC_SECP256R1 ? KEY_ECDSA_P256 : KEY_ECDSA_P384;
    return true;
}

static bool decode_rsa(struct private_key *key, struct blob der, WC_RNG *rng,
                       struct error *error)
{
    word32 index = 0;
    int code = wc_InitRsaKey(key->rsa, NULL);
    if (code == 0)
        code = wc_RsaPrivateKeyDecode(der.data, &index, key->rsa, (word32)der.size);
    if (code == 0)
        code = wc_RsaSetRNG(key->rsa, rng);
    if (code != 0)
        return error_set(error, "it is not a usable RSA key: %s",
                         wc_GetErrorString(code));
    const int bits = wc_RsaEncryptSize(key->rsa) * CHAR_BIT;
    if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX)
        return error_set(error, "it has %d bits; served are %d to %d", bits, RSA_BITS_MIN,
                         RSA_BITS_MAX);
    key->type = KEY_RSA;
    return true;
}

static bool decode_ed25519(struct private_key *key, struct blob der, struct error *error)
{
    word32 index = 0;
    uint8_t public[ED25519_PUB_KEY_SIZE];
    int code = wc_ed25519_init(key->ed25519);
    if (code == 0)
        code =
            wc_Ed25519PrivateKeyDecode(der.data, &index, key->ed25519, (word32)der.size);
    if (code == 0)
        code = wc_ed25519_make_public(key->ed25519, public, sizeof public);
    if (code == 0)
        code = wc_ed25519_import_public(public, sizeof public, key->ed25519);
    if (code != 0)
        return error_set(error, "it is not a usable Ed25519 key: %s",
                         wc_GetErrorString(code));
    key->type = KEY_ED25519;
    return true;
}

static bool hash_public(struct private_key *key, struct error *error)
{
    uint8_t spki[SPKI_MAX];
    int size = BAD_FUNC_ARG;
    if (key->ecc)
        size = wc_EccPublicKeyToDer(key->ecc, spki, sizeof spki, 1);
    else if (key->rsa)
        size = wc_RsaKeyToPublicDer(key->rsa, spki, sizeof spki);
    else if (key->ed25519)
        size = wc_Ed25519PublicKeyToDer(key->ed25519, spki, sizeof spki, 1);
    if (size <= 0 || wc_Sha256Hash(spki, (word32)size, key->spki_hash) != 0)
        return error_set(error, "its public half cannot be computed");
    return true;
}

static int sign_rsa(const struct private_key *key, WC_RNG *rng, enum sign_scheme scheme,
                    const uint8_t *digest, size_t length, uint8_t *signature)
{
    const struct rsa_scheme *row = NULL;
    for (size_t i = 0; i < sizeof rsa_schemes / sizeof rsa_schemes[0]; i++) {
        if (rsa_schemes[i].scheme == scheme)
            row = &rsa_schemes[i];
    }
    if (!row || wc_HashGetDigestSize(row->hash) != (int)length)
        return BAD_FUNC_ARG;
    if (row->mgf != WC_MGF1NONE)
        return wc_RsaPSS_Sign_ex(digest, (word32)length, signature, SIGN_SIGNATURE_MAX,
                                 row->hash, row->mgf, (int)length, key->rsa, rng);
    uint8_t info[DIGEST_INFO_MAX];
    const word32 info_length =
        wc_EncodeSignature(info, digest, (word32)length, wc_HashGetOID(row->hash));
    if (info_length == 0)
        return BAD_FUNC_ARG;
    return wc_RsaSSL_Sign(info, info_length, signature, SIGN_SIGNATURE_MAX, key->rsa,
                          rng);
}
