/*
 * Memory for private keys: pages of our own that are locked, left out of core dumps, gone
 * in a forked child, and wiped before they are given back.  What the kernel refuses (a
 * low RLIMIT_MEMLOCK) is done without.
 */
#ifndef CERTS_VAULT_H
#define CERTS_VAULT_H

#include <stddef.h>

struct vault_chunk;

/* Zero-initialise, then vault_close. */
struct vault {
    struct vault_chunk *chunks; /* owned */
};

/* `size` zeroed bytes, aligned for any type, that last until vault_close; NULL without
 * memory. */
void *vault_take(struct vault *vault, size_t size);

/* Wipes and frees everything taken. */
void vault_close(struct vault *vault);

#endif
