/*
 * The library is built without CBC, so that no suite of TLS can come to use it.  What is
 * missing here is put together from its decryption of a single block.
 */
#include "certs/encrypted_key.h"

#include <assert.h>
#include <stdalign.h>
#include <stdint.h>
#include <string.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/pwdbased.h>

#include "certs/der.h"
#include "config/config.h"

enum {
    BLOCK_BYTES = WC_AES_BLOCK_SIZE,
    AES_KEY_MAX = 32,
    SALT_MAX = 128,
    NUMBER_DIGITS_MAX = 4,
    STACK_BYTES = 8 * 1024 /* more than the library's functions use here */
};

/* Text that a DER value can be compared with. */
#define OID(bytes)                                                                       \
    {                                                                                    \
        (const uint8_t *)(bytes), sizeof(bytes) - 1                                      \
    }

static const struct blob oid_pbes2 = OID("\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d");
static const struct blob oid_pbkdf2 = OID("\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0c");

static const struct cipher {
    struct blob oid;
    size_t key_size;
} ciphers[] = {
    {OID("\x60\x86\x48\x01\x65\x03\x04\x01\x02"), 16}, /* aes128-CBC-PAD */
    {OID("\x60\x86\x48\x01\x65\x03\x04\x01\x16"), 24},
    {OID("\x60\x86\x48\x01\x65\x03\x04\x01\x2a"), 32},
};

static const struct prf {
    struct blob oid;
    int hash;
} prfs[] = {
    {OID("\x2a\x86\x48\x86\xf7\x0d\x02\x07"), WC_SHA}, /* hmacWithSHA1, the default */
    {OID("\x2a\x86\x48\x86\xf7\x0d\x02\x09"), WC_SHA256},
    {OID("\x2a\x86\x48\x86\xf7\x0d\x02\x0a"), WC_SHA384},
    {OID("\x2a\x86\x48\x86\xf7\x0d\x02\x0b"), WC_SHA512},
};

/* What files may hold besides, for the message; the beginning of the identifier. */
static const struct other {
    struct blob oid;
    const char *name;
} others[] = {
    {OID("\x2b\x06\x01\x04\x01\xda\x47\x04\x0b"), "scrypt"},
    {OID("\x2a\x86\x48\x86\xf7\x0d\x01\x05"), "PBES1"},
    {OID("\x2a\x86\x48\x86\xf7\x0d\x01\x0c"), "a method of PKCS #12"},
    {OID("\x2a\x86\x48\x86\xf7\x0d\x03\x07"), "triple DES"},
    {OID("\x2a\x86\x48\x86\xf7\x0d\x03"), "an old cipher"},
    {OID("\x60\x86\x48\x01\x65\x03\x04\x01"), "AES in a mode other than CBC"},
};

/* What an EncryptedPrivateKeyInfo says; all of it borrowed from there. */
struct recipe {
    const struct cipher *cipher;
    const struct prf *prf;
    struct der salt;
    uint32_t iterations;
    struct der iv;
    struct der ciphertext;
};

/* In a vault. */
struct workplace {
    Aes aes;
    uint8_t key[AES_KEY_MAX];
    uint8_t before[BLOCK_BYTES]; /* the block of ciphertext that goes into the next */
};

static_assert(alignof(struct workplace) <= alignof(max_align_t), "a vault aligns less");

static bool read_recipe(struct blob der, struct recipe *recipe, struct error *error);
static bool read_pbes2(struct der parameters, struct recipe *recipe, struct error *error);
static bool read_pbkdf2(struct der parameters, struct recipe *recipe,
                        struct error *error);
static bool read_prf(struct der *parameters, struct recipe *recipe, struct error *error);
static bool read_cipher(struct der scheme, struct recipe *recipe, struct error *error);
static bool read_number(struct der *from, uint32_t *number);
static bool is_oid(const struct der *value, const struct blob *oid);
static bool refuse_damaged(struct error *error);
static bool refuse_method(const struct der *oid, struct error *error);
static bool check_cost(const struct recipe *recipe, struct key_opener *opener,
                       struct error *error);
static bool check_passphrase(struct blob *passphrase, struct error *error);
static bool derive_key(const struct recipe *recipe, struct blob passphrase,
                       struct workplace *work);
static bool decrypt(const struct recipe *recipe, struct workplace *work, uint8_t *plain);
static bool remove_padding(uint8_t *plain, size_t *size);
static void wipe_stack(void);

bool encrypted_key_open(struct blob der, struct key_opener *opener, struct vault *vault,
                        struct blob *plain, struct error *error)
{
    struct recipe recipe = {.cipher = NULL};
    struct blob passphrase = opener->passphrase;
    struct vault scratch = {0};

    if (!read_recipe(der, &recipe, error) || !check_passphrase(&passphrase, error) ||
        !check_cost(&recipe, opener, error))
        return false;
    size_t size = recipe.ciphertext.left;
    struct workplace *work = vault_take(&scratch, sizeof(*work));
    uint8_t *bytes = vault_take(vault, size);
    if (!work || !bytes) {
        vault_close(&scratch);
        return error_set(error, "no memory for it");
    }
    const bool computed =
        derive_key(&recipe, passphrase, work) && decrypt(&recipe, work, bytes);
    vault_close(&scratch);
    wipe_stack();
    if (!computed)
        return error_set(error, "it cannot be decrypted");
    if (!remove_padding(bytes, &size))
        return error_set(error, "the passphrase does not open it (or it is damaged)");
    *plain = (struct blob){bytes, size};
    return true;
}

static bool read_recipe(struct blob der, struct recipe *recipe, struct error *error)
{
    struct der file = {der.data, der.size};
    struct der outer, algorithm, oid, parameters;

    if (!der_take(&file, DER_SEQUENCE, &outer) || file.left > 0 ||
        !der_take(&outer, DER_SEQUENCE, &algorithm) ||
        !der_take(&outer, DER_OCTETS, &recipe->ciphertext) || outer.left > 0 ||
        !der_take(&algorithm, DER_OID, &oid))
        return refuse_damaged(error);
    if (!is_oid(&oid, &oid_pbes2))
        return refuse_method(&oid, error);
    if (!der_take(&algorithm, DER_SEQUENCE, &parameters) || algorithm.left > 0 ||
        recipe->ciphertext.left == 0 || recipe->ciphertext.left % BLOCK_BYTES != 0)
        return refuse_damaged(error);
    return read_pbes2(parameters, recipe, error);
}

static bool read_pbes2(struct der parameters, struct recipe *recipe, struct error *error)
{
    struct der derivation, scheme, oid, pbkdf2;

    if (!der_take(&parameters, DER_SEQUENCE, &derivation) ||
        !der_take(&parameters, DER_SEQUENCE, &scheme) || parameters.left > 0 ||
        !der_take(&derivation, DER_OID, &oid))
        return refuse_damaged(error);
    if (!is_oid(&oid, &oid_pbkdf2))
        return refuse_method(&oid, error);
    if (!der_take(&derivation, DER_SEQUENCE, &pbkdf2) || derivation.left > 0)
        return refuse_damaged(error);
    return read_cipher(scheme, recipe, error) && read_pbkdf2(pbkdf2, recipe, error);
}

static bool read_cipher(struct der scheme, struct recipe *recipe, struct error *error)
{
    struct der oid;

    if (!der_take(&scheme, DER_OID, &oid))
        return refuse_damaged(error);
    for (size_t i = 0; i < sizeof(ciphers) / sizeof(ciphers[0]); i++) {
        if (is_oid(&oid, &ciphers[i].oid))
            recipe->cipher = &ciphers[i];
    }
    if (!recipe->cipher)
        return refuse_method(&oid, error);
    if (!der_take(&scheme, DER_OCTETS, &recipe->iv) || scheme.left > 0 ||
        recipe->iv.left != BLOCK_BYTES)
        return refuse_damaged(error);
    return true;
}

static bool read_pbkdf2(struct der parameters, struct recipe *recipe, struct error *error)
{
    uint32_t key_size = 0;

    if (!der_take(&parameters, DER_OCTETS, &recipe->salt) || recipe->salt.left == 0 ||
        recipe->salt.left > SALT_MAX || !read_number(&parameters, &recipe->iterations) ||
        recipe->iterations == 0)
        return refuse_damaged(error);
    if (der_has(&parameters, DER_INTEGER) &&
        (!read_number(&parameters, &key_size) || key_size != recipe->cipher->key_size))
        return refuse_damaged(error);
    return read_prf(&parameters, recipe, error);
}

static bool read_prf(struct der *parameters, struct recipe *recipe, struct error *error)
{
    struct der algorithm, oid, nothing;

    recipe->prf = &prfs[0];
    if (parameters->left == 0)
        return true;
    if (!der_take(parameters, DER_SEQUENCE, &algorithm) || parameters->left > 0 ||
        !der_take(&algorithm, DER_OID, &oid))
        return refuse_damaged(error);
    recipe->prf = NULL;
    for (size_t i = 0; i < sizeof(prfs) / sizeof(prfs[0]); i++) {
        if (is_oid(&oid, &prfs[i].oid))
            recipe->prf = &prfs[i];
    }
    if (!recipe->prf)
        return refuse_method(&oid, error);
    if (algorithm.left > 0 && (!der_take(&algorithm, DER_NULL, &nothing) ||
                               nothing.left > 0 || algorithm.left > 0))
        return refuse_damaged(error);
    return true;
}

/* A positive INTEGER below 2^31. */
static bool read_number(struct der *from, uint32_t *number)
{
    struct der value;

    if (!der_take(from, DER_INTEGER, &value) || value.left == 0 ||
        value.left > NUMBER_DIGITS_MAX || value.at[0] >= 0x80 ||
        (value.left > 1 && value.at[0] == 0 && value.at[1] < 0x80))
        return false;
    *number = 0;
    for (size_t i = 0; i < value.left; i++)
        *number = *number << 8 | value.at[i];
    return true;
}

static bool is_oid(const struct der *value, const struct blob *oid)
{
    return value->left == oid->size && memcmp(value->at, oid->data, oid->size) == 0;
}

static bool refuse_damaged(struct error *error)
{
    return error_set(error, "it is damaged: no encrypted key of PKCS #8 in DER");
}

static bool refuse_method(const struct der *oid, struct error *error)
{
    const char *name = "an unknown method";

    for (size_t i = sizeof(others) / sizeof(others[0]); i-- > 0;) {
        const struct blob *prefix = &others[i].oid;
        if (oid->left >= prefix->size && memcmp(oid->at, prefix->data, prefix->size) == 0)
            name = others[i].name;
    }
    return error_set(error, "it is encrypted with %s, which is not served; %s", name,
                     ENCRYPTED_KEY_CONVERT);
}

/* The file says how much work it is to try a passphrase. */
static bool check_cost(const struct recipe *recipe, struct key_opener *opener,
                       struct error *error)
{
    if (recipe->iterations > ENCRYPTED_KEY_ITERATIONS_MAX)
        return error_set(error,
                         "its key derivation takes %u iterations, over the %d allowed",
                         recipe->iterations, ENCRYPTED_KEY_ITERATIONS_MAX);
    if (recipe->iterations > opener->iterations)
        return error_set(error,
                         "its key derivation takes %u iterations, more than the keys "
                         "before it have left of those allowed for all",
                         recipe->iterations);
    opener->iterations -= recipe->iterations;
    return true;
}

static bool check_passphrase(struct blob *passphrase, struct error *error)
{
    if (!passphrase->data)
        return error_set(error, "it is encrypted; set passphrase_file or "
                                "passphrase_command");
    if (passphrase->size > CONFIG_PASSPHRASE_MAX)
        return error_set(error, "the passphrase is over the %d bytes allowed",
                         CONFIG_PASSPHRASE_MAX);
    if (passphrase->size > 0 && passphrase->data[passphrase->size - 1] == '\n') {
        passphrase->size--;
        if (passphrase->size > 0 && passphrase->data[passphrase->size - 1] == '\r')
            passphrase->size--;
    }
    if (passphrase->size == 0)
        return error_set(error, "the passphrase is empty");
    if (memchr(passphrase->data, '\n', passphrase->size))
        return error_set(error, "the passphrase has more than one line");
    return true;
}

static bool derive_key(const struct recipe *recipe, struct blob passphrase,
                       struct workplace *work)
{
    return wc_PBKDF2(work->key, passphrase.data, (int)passphrase.size, recipe->salt.at,
                     (int)recipe->salt.left, (int)recipe->iterations,
                     (int)recipe->cipher->key_size, recipe->prf->hash) == 0;
}

/* CBC: each decrypted block is combined with the ciphertext of the one before. */
static bool decrypt(const struct recipe *recipe, struct workplace *work, uint8_t *plain)
{
    const uint8_t *from = recipe->ciphertext.at;
    bool ok = wc_AesInit(&work->aes, NULL, INVALID_DEVID) == 0 &&
              wc_AesSetKey(&work->aes, work->key, (word32)recipe->cipher->key_size, NULL,
                           AES_DECRYPTION) == 0;

    memcpy(work->before, recipe->iv.at, BLOCK_BYTES);
    for (size_t at = 0; ok && at < recipe->ciphertext.left; at += BLOCK_BYTES) {
        ok = wc_AesDecryptDirect(&work->aes, plain + at, from + at) == 0;
        for (size_t i = 0; i < BLOCK_BYTES; i++)
            plain[at + i] ^= work->before[i];
        memcpy(work->before, from + at, BLOCK_BYTES);
    }
    wc_AesFree(&work->aes);
    return ok;
}

/* A wrong passphrase gives random bytes: one time in 256 they end like padding, hardly
 * ever they are one whole SEQUENCE with the version of a PrivateKeyInfo as well. */
static bool remove_padding(uint8_t *plain, size_t *size)
{
    const size_t padding = plain[*size - 1];
    struct der all, outer, version;

    if (padding == 0 || padding > BLOCK_BYTES)
        return false;
    for (size_t i = 1; i <= padding; i++) {
        if (plain[*size - i] != padding)
            return false;
    }
    *size -= padding;
    all = (struct der){plain, *size};
    return der_take(&all, DER_SEQUENCE, &outer) && all.left == 0 &&
           der_take(&outer, DER_INTEGER, &version) && version.left == 1 &&
           version.at[0] <= 1;
}

/* Its frame covers what the library's functions left below the caller's; a sanitizer
 * would put it elsewhere. */
__attribute__((noinline, no_sanitize_address)) static void wipe_stack(void)
{
    uint8_t below[STACK_BYTES];

    explicit_bzero(below, sizeof(below));
}
