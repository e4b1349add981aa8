#include "proxy/pending.h"

#include <stdlib.h>
#include <string.h>

enum { PENDING_FIRST_BYTES = 1024 };

static bool pending_grow(struct pending *pending, size_t needed);

bool pending_append(struct pending *pending, const uint8_t *bytes, size_t length)
{
    size_t held = pending->end - pending->start;

    if (length > PENDING_MAX - held)
        return false;
    if (pending->start > 0 && length > pending->capacity - pending->end) {
        memmove(pending->data, pending->data + pending->start, held);
        pending->start = 0;
        pending->end = (uint32_t)held;
    }
    if (pending->end + length > pending->capacity &&
        !pending_grow(pending, pending->end + length))
        return false;
    memcpy(pending->data + pending->end, bytes, length);
    pending->end += (uint32_t)length;
    return true;
}

/* The first bytes get what they need; what keeps growing grows by doubling.  Not by
 * realloc, which would leave the old bytes where they were. */
static bool pending_grow(struct pending *pending, size_t needed)
{
    size_t capacity = pending->data ? 2 * needed : needed;
    struct pending larger = *pending;

    if (capacity < PENDING_FIRST_BYTES)
        capacity = PENDING_FIRST_BYTES;
    larger.data = malloc(capacity);
    if (!larger.data)
        return false;
    larger.capacity = (uint32_t)capacity;
    if (pending->data)
        memcpy(larger.data, pending->data, pending->end);
    pending_free(pending);
    *pending = larger;
    return true;
}

void pending_free(struct pending *pending)
{
    if (pending->data && pending->plaintext)
        explicit_bzero(pending->data, pending->capacity);
    free(pending->data);
    *pending = (struct pending){.plaintext = pending->plaintext};
}
