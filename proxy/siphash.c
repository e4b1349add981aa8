#include "proxy/siphash.h"

#include <endian.h>
#include <string.h>

static void siphash_round(uint64_t v[4]);
static void siphash_absorb(uint64_t v[4], uint64_t word);
static uint64_t siphash_rotate(uint64_t word, unsigned bits);

uint64_t siphash_16(const uint64_t key[2], const uint8_t bytes[SIPHASH_BYTES])
{
    uint64_t v[4] = {
        key[0] ^ 0x736f6d6570736575,
        key[1] ^ 0x646f72616e646f6d,
        key[0] ^ 0x6c7967656e657261,
        key[1] ^ 0x7465646279746573,
    };
    uint64_t words[2];

    memcpy(words, bytes, sizeof(words));
    siphash_absorb(v, le64toh(words[0]));
    siphash_absorb(v, le64toh(words[1]));
    siphash_absorb(v, (uint64_t)SIPHASH_BYTES << 56);
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        siphash_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static void siphash_absorb(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    siphash_round(v);
    siphash_round(v);
    v[0] ^= word;
}

static void siphash_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = siphash_rotate(v[1], 13) ^ v[0];
    v[3] = siphash_rotate(v[3], 16) ^ v[2];
    v[0] = siphash_rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = siphash_rotate(v[1], 17) ^ v[2];
    v[3] = siphash_rotate(v[3], 21) ^ v[0];
    v[2] = siphash_rotate(v[2], 32);
}

static uint64_t siphash_rotate(uint64_t word, unsigned bits)
{
    return word << bits | word >> (64 - bits);
}
