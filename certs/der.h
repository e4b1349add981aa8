/*
 * A bounded reader of DER (X.690): takes values off the front of an encoding, one after
 * the other.  Lengths must be definite, as short as they can be, and below 2^24.
 */
#ifndef CERTS_DER_H
#define CERTS_DER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DER_INTEGER = 0x02,
    DER_OCTETS = 0x04,
    DER_NULL = 0x05,
    DER_OID = 0x06,
    DER_ENUMERATED = 0x0a,
    DER_TIME = 0x18,
    DER_SEQUENCE = 0x30,
    DER_CONTEXT = 0x80, /* with the number in the low bits */
    DER_CONTEXT_SET = 0xa0,
    DER_NUMBER = 0x1f
};

/* What is left of a value that is being taken apart. */
struct der {
    const uint8_t *at; /* borrowed */
    size_t left;
};

/* Takes the next value, whatever it is; `from` is as it was if there is none. */
static inline bool der_any(struct der *from, uint8_t *tag, struct der *value)
{
    if (from->left < 2)
        return false;
    size_t length = from->at[1];
    size_t header = 2;
    if (length >= 0x80) {
        const size_t digits = length & 0x7f;
        if (digits == 0 || digits > 3 || from->left < 2 + digits || from->at[2] == 0)
            return false;
        length = 0;
        for (size_t i = 0; i < digits; i++)
            length = length << 8 | from->at[2 + i];
        header += digits;
        if (length < 0x80)
            return false;
    }
    if (length > from->left - header)
        return false;
    *tag = from->at[0];
    *value = (struct der){from->at + header, length};
    from->at += header + length;
    from->left -= header + length;
    return true;
}

static inline bool der_has(const struct der *from, uint8_t tag)
{
    return from->left > 0 && from->at[0] == tag;
}

/* Takes the next value if its tag is `tag`. */
static inline bool der_take(struct der *from, uint8_t tag, struct der *value)
{
    uint8_t found;

    return der_has(from, tag) && der_any(from, &found, value);
}

#endif
