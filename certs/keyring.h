/*
 * The private keys of one configuration, in the keyholder, sorted by the hash of their
 * public halves.  Immutable once loaded; freeing it wipes them.
 */
#ifndef CERTS_KEYRING_H
#define CERTS_KEYRING_H

#include "certs/private_key.h"
#include "config/config.h"

struct keyring;

/* Loads the key of every certificate section and checks that it belongs to the leaf of
 * its chain.  A key with a fault is reported and not in the ring.  `rng` is borrowed for
 * the life of the ring.  NULL without memory. */
struct keyring *keyring_load(const struct config *config, const struct bundle *chains,
                             const struct bundle *keys, WC_RNG *rng,
                             struct report *report) MUST_CHECK;

const struct private_key *keyring_find(const struct keyring *ring,
                                       const uint8_t spki_hash[SPKI_HASH_BYTES]);

/* The certificates of the configuration whose keys are in the ring. */
const struct cert_set *keyring_served(const struct keyring *ring);

size_t keyring_count(const struct keyring *ring);

void keyring_free(struct keyring *ring);

#endif
