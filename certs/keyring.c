#include "certs/keyring.h"

#include <stdlib.h>
#include <string.h>

#include "certs/certcheck.h"
#include "config/passphrase.h"

struct keyring {
    struct vault vault;       /* owned: the key material */
    struct private_key *keys; /* owned: pointers into the vault */
    size_t count;
    struct cert_set served; /* by their place in the configuration */
};

/* One configuration's keys on their way into a ring; all is borrowed. */
struct loading {
    struct keyring *ring;
    const struct config *config;
    const struct bundle *chains;
    const struct bundle *keys;
    WC_RNG *rng;
    struct report *report;
    uint64_t iterations; /* of key derivation that may still be spent */
};

/* For all keys together.  A master waits for the keyholder meanwhile, and clients for
 * their signatures; the slowest derivation takes some 15 seconds for them. */
enum { ITERATIONS_MAX = 2 * ENCRYPTED_KEY_ITERATIONS_MAX };

static bool load_one(struct loading *loading, const struct config_certificate *section);
static bool load_key(struct loading *loading, const struct config_certificate *section,
                     struct blob pem, struct private_key *key);
static bool check_match(const struct loading *loading,
                        const struct config_certificate *section,
                        const struct private_key *key);
static void warn_of_needless_passphrase(const struct loading *loading,
                                        const struct config_certificate *section);
static int compare_keys(const void *a, const void *b);
static int compare_hash(const void *hash, const void *key);

struct keyring *keyring_load(const struct config *config, const struct bundle *chains,
                             const struct bundle *keys, WC_RNG *rng,
                             struct report *report)
{
    struct keyring *ring = calloc(1, sizeof *ring);
    if (ring)
        ring->keys = calloc(config->certificate_count + 1, sizeof *ring->keys);
    if (!ring || !ring->keys) {
        report_add(report, REPORT_ERROR, config->file, 0, "no memory for the keys");
        keyring_free(ring);
        return NULL;
    }
    struct loading loading = {.ring = ring,
                              .config = config,
                              .chains = chains,
                              .keys = keys,
                              .rng = rng,
                              .report = report,
                              .iterations = ITERATIONS_MAX};
    for (size_t i = 0; i < config->certificate_count; i++) {
        if (load_one(&loading, &config->certificates[i]))
            cert_set_add(&ring->served, i);
    }
    qsort(ring->keys, ring->count, sizeof *ring->keys, compare_keys);
    return ring;
}

const struct private_key *keyring_find(const struct keyring *ring,
                                       const uint8_t spki_hash[SPKI_HASH_BYTES])
{
    if (!ring)
        return NULL;
    return bsearch(spki_hash, ring->keys, ring->count, sizeof *ring->keys, compare_hash);
}

const struct cert_set *keyring_served(const struct keyring *ring)
{
    return &ring->served;
}

size_t keyring_count(const struct keyring *ring)
{
    return ring ? ring->count : 0;
}

void keyring_free(struct keyring *ring)
{
    if (!ring)
        return;
    for (size_t i = 0; i < ring->count; i++)
        private_key_close(&ring->keys[i]);
    free(ring->keys);
    vault_close(&ring->vault);
    free(ring);
}

static bool load_one(struct loading *loading, const struct config_certificate *section)
{
    struct keyring *ring = loading->ring;
    if (!section->key || !section->chain || section->left_out)
        return false; /* reported where the section was read */
    const struct blob pem = bundle_find(loading->keys, section->key);
    if (pem.data && pem.size == 0)
        return false; /* reported where the file could not be read */
    if (!pem.data) {
        certcheck_report(loading->report, REPORT_FAULT, loading->config, section,
                         section->key_line, "the key file \"%s\" was not handed over",
                         section->key);
        return false;
    }
    struct private_key *key = &ring->keys[ring->count];
    if (!load_key(loading, section, pem, key))
        return false;
    if (!check_match(loading, section, key)) {
        private_key_close(key);
        return false;
    }
    ring->count++;
    return true;
}

static bool load_key(struct loading *loading, const struct config_certificate *section,
                     struct blob pem, struct private_key *key)
{
    char name[PASSPHRASE_NAME_MAX];
    passphrase_name(section, name);
    struct key_opener opener = {.passphrase = bundle_find(loading->keys, name),
                                .iterations = loading->iterations};
    const struct private_key_text text = {pem, &opener};
    const bool is_missed = opener.passphrase.data && opener.passphrase.size == 0;
    struct error error = {.text = "no memory"};
    const bool ok =
        private_key_read(key, &text, &loading->ring->vault, loading->rng, &error);
    loading->iterations = opener.iterations;
    if (ok && !key->was_encrypted)
        warn_of_needless_passphrase(loading, section);
    /* Why there is no passphrase is reported where it should have come from. */
    if (!ok && !(is_missed && key->was_encrypted))
        certcheck_report(loading->report, REPORT_FAULT, loading->config, section,
                         section->key_line, "cannot use the key in \"%s\": %s",
                         section->key, error.text);
    return ok;
}

/* In a directory some keys may be encrypted, and others not. */
static void warn_of_needless_passphrase(const struct loading *loading,
                                        const struct config_certificate *section)
{
    const unsigned line = section->passphrase_file ? section->passphrase_file_line
                                                   : section->passphrase_command_line;
    if (section->directory || (!section->passphrase_file && !section->passphrase_command))
        return;
    certcheck_report(loading->report, REPORT_WARNING, loading->config, section, line,
                     "the passphrase is for nothing: the key in \"%s\" is not encrypted",
                     section->key);
}

static bool check_match(const struct loading *loading,
                        const struct config_certificate *section,
                        const struct private_key *key)
{
    const struct blob pem = bundle_find(loading->chains, section->chain);
    uint8_t leaf[SPKI_HASH_BYTES];
    struct error error = {.text = ""};
    if (pem.data && pem.size == 0)
        return false;
    if (!pem.data) {
        certcheck_report(loading->report, REPORT_FAULT, loading->config, section,
                         section->chain_line, "the chain file \"%s\" was not handed over",
                         section->chain);
        return false;
    }
    if (!certcheck_leaf_hash(pem, leaf, &error)) {
        certcheck_report(loading->report, REPORT_FAULT, loading->config, section,
                         section->chain_line, "cannot use \"%s\": %s", section->chain,
                         error.text);
        return false;
    }
    if (memcmp(leaf, key->spki_hash, sizeof leaf) == 0)
        return true;
    certcheck_report(loading->report, REPORT_FAULT, loading->config, section,
                     section->key_line,
                     "the key in \"%s\" does not belong to the certificate in \"%s\"",
                     section->key, section->chain);
    return false;
}

static int compare_keys(const void *a, const void *b)
{
    return compare_hash(((const struct private_key *)a)->spki_hash, b);
}

static int compare_hash(const void *hash, const void *key)
{
    return memcmp(hash, ((const struct private_key *)key)->spki_hash, SPKI_HASH_BYTES);
}
