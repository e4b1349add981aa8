/*
 * A bounded reader over bytes of a peer.  Failure is sticky: once something did not fit,
 * every later read gives zeroes and the cursor is empty, so a parser reads a whole
 * structure and asks once, at its end, whether all of it was there.
 */
#ifndef PROXY_CURSOR_H
#define PROXY_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cursor {
    const uint8_t *at; /* borrowed */
    size_t left;
    bool failed;
};

static inline struct cursor cursor_over(const uint8_t *bytes, size_t length)
{
    return (struct cursor){.at = bytes, .left = length};
}

/* The next `length` bytes as a cursor of their own; a failed one if they are not there.
 */
static inline struct cursor cursor_take(struct cursor *cursor, size_t length)
{
    if (cursor->failed || cursor->left < length) {
        *cursor = (struct cursor){.at = cursor->at, .failed = true};
        return *cursor;
    }
    const struct cursor taken = cursor_over(cursor->at, length);
    cursor->at += length;
    cursor->left -= length;
    return taken;
}

static inline uint8_t cursor_u8(struct cursor *cursor)
{
    const struct cursor taken = cursor_take(cursor, 1);
    return taken.failed ? 0 : taken.at[0];
}

static inline uint16_t cursor_u16(struct cursor *cursor)
{
    const struct cursor taken = cursor_take(cursor, 2);
    if (taken.failed)
        return 0;
    return (uint16_t)(taken.at[0] << 8 | taken.at[1]);
}

static inline uint32_t cursor_u24(struct cursor *cursor)
{
    const struct cursor taken = cursor_take(cursor, 3);
    if (taken.failed)
        return 0;
    return (uint32_t)taken.at[0] << 16 | (uint32_t)taken.at[1] << 8 | taken.at[2];
}

/* Vectors with a length of one or of two bytes in front. */
static inline struct cursor cursor_vector8(struct cursor *cursor)
{
    const size_t length = cursor_u8(cursor);
    return cursor_take(cursor, length);
}

static inline struct cursor cursor_vector16(struct cursor *cursor)
{
    const size_t length = cursor_u16(cursor);
    return cursor_take(cursor, length);
}

/* Everything was there, and nothing is left over. */
static inline bool cursor_is_done(const struct cursor *cursor)
{
    return !cursor->failed && cursor->left == 0;
}

#endif
