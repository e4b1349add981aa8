/*
 * Bytes that a stream keeps from one event to the next, because its peer does not take
 * them or TLS cannot use them yet.  Freed as soon as empty: what is idle owns nothing.
 */
#ifndef PROXY_PENDING_H
#define PROXY_PENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/error.h"

struct pending {
    uint8_t *data; /* owned */
    uint32_t start;
    uint32_t end;
    uint32_t capacity;
    bool plaintext; /* to be wiped when freed */
};

enum { PENDING_MAX = 512 * 1024 };

/* Adds a copy behind what is there; false past PENDING_MAX or without memory. */
bool pending_append(struct pending *pending, const uint8_t *bytes,
                    size_t length) MUST_CHECK;

void pending_free(struct pending *pending);

#endif
