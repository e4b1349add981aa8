#include "certs/keyring.h"

#include <stdlib.h>
#include <string.h>

#include "certs/certcheck.h"

struct keyring {
    struct vault vault;       /* owned: the key material */
    struct private_key *keys; /* owned: pointers into the vault */
    size_t count;
    struct cert_set served; /* by their place in the configuration */
};

static bool load_one(struct keyring *ring, const struct config *config,
                     const struct config_certificate *section,
                     const struct bundle *chains, const struct bundle *keys, WC_RNG *rng,
                     struct report *report);
static bool check_match(const struct private_key *key, const struct config *config,
                        const struct config_certificate *section,
                        const struct bundle *chains, struct report *report);
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
    for (size_t i = 0; i < config->certificate_count; i++) {
        if (load_one(ring, config, &config->certificates[i], chains, keys, rng, report))
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

static bool load_one(struct keyring *ring, const struct config *config,
                     const struct config_certificate *section,
                     const struct bundle *chains, const struct bundle *keys, WC_RNG *rng,
                     struct report *report)
{
    if (!section->key || !section->chain || section->left_out)
        return false; /* reported where the section was read */
    const struct blob pem = bundle_find(keys, section->key);
    if (pem.data && pem.size == 0)
        return false; /* reported where the file could not be read */
    if (!pem.data) {
        certcheck_report(report, REPORT_FAULT, config, section, section->key_line,
                         "the key file \"%s\" was not handed over", section->key);
        return false;
    }
    struct private_key *key = &ring->keys[ring->count];
    struct error error = {.text = "no memory"};
    if (!private_key_read(key, pem, &ring->vault, rng, &error)) {
        certcheck_report(report, REPORT_FAULT, config, section, section->key_line,
                         "cannot use the key in \"%s\": %s", section->key, error.text);
        return false;
    }
    if (!check_match(key, config, section, chains, report)) {
        private_key_close(key);
        return false;
    }
    ring->count++;
    return true;
}

static bool check_match(const struct private_key *key, const struct config *config,
                        const struct config_certificate *section,
                        const struct bundle *chains, struct report *report)
{
    const struct blob pem = bundle_find(chains, section->chain);
    uint8_t leaf[SPKI_HASH_BYTES];
    struct error error = {.text = ""};
    if (pem.data && pem.size == 0)
        return false;
    if (!pem.data) {
        certcheck_report(report, REPORT_FAULT, config, section, section->chain_line,
                         "the chain file \"%s\" was not handed over", section->chain);
        return false;
    }
    if (!certcheck_leaf_hash(pem, leaf, &error)) {
        certcheck_report(report, REPORT_FAULT, config, section, section->chain_line,
                         "cannot use \"%s\": %s", section->chain, error.text);
        return false;
    }
    if (memcmp(leaf, key->spki_hash, sizeof leaf) == 0)
        return true;
    certcheck_report(report, REPORT_FAULT, config, section, section->key_line,
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
