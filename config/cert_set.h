/*
 * A set of certificates, by their place in config.certificates: what processes tell each
 * other about which of them can be served.  A plain value of fixed size.
 */
#ifndef CONFIG_CERT_SET_H
#define CONFIG_CERT_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { CERT_SET_MAX = 10000, CERT_SET_BYTES = CERT_SET_MAX / 8 };

struct cert_set {
    uint8_t bits[CERT_SET_BYTES];
};

static inline bool cert_set_has(const struct cert_set *set, size_t index)
{
    return index < CERT_SET_MAX && (set->bits[index / 8] & (1u << index % 8)) != 0;
}

static inline void cert_set_add(struct cert_set *set, size_t index)
{
    if (index < CERT_SET_MAX)
        set->bits[index / 8] |= (uint8_t)(1u << index % 8);
}

static inline void cert_set_remove(struct cert_set *set, size_t index)
{
    if (index < CERT_SET_MAX)
        set->bits[index / 8] &= (uint8_t) ~(1u << index % 8);
}

/* The first `count`. */
static inline void cert_set_fill(struct cert_set *set, size_t count)
{
    *set = (struct cert_set){.bits = {0}};
    for (size_t i = 0; i < count; i++)
        cert_set_add(set, i);
}

/* Keeps what is in `other`, too. */
static inline void cert_set_intersect(struct cert_set *set, const struct cert_set *other)
{
    for (size_t i = 0; i < CERT_SET_BYTES; i++)
        set->bits[i] &= other->bits[i];
}

static inline bool cert_set_equal(const struct cert_set *a, const struct cert_set *b)
{
    return memcmp(a->bits, b->bits, CERT_SET_BYTES) == 0;
}

static inline size_t cert_set_count(const struct cert_set *set)
{
    size_t count = 0;
    for (size_t i = 0; i < CERT_SET_BYTES; i++)
        count += (size_t)__builtin_popcount(set->bits[i]);
    return count;
}

#endif
