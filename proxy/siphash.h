/*
 * SipHash-2-4 (Aumasson and Bernstein, 2012) of 16 bytes: a hash whose collisions nobody
 * can look for who does not know the key.
 */
#ifndef PROXY_SIPHASH_H
#define PROXY_SIPHASH_H

#include <stdint.h>

enum { SIPHASH_BYTES = 16 };

uint64_t siphash_16(const uint64_t key[2], const uint8_t bytes[SIPHASH_BYTES]);

#endif
