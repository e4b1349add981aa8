/*
 * Finds the blocks of a PEM text (RFC 7468) and decodes them.  Knows nothing about their
 * contents, so that a text that holds a private key can be walked without decoding it.
 */
#ifndef CERTS_PEM_H
#define CERTS_PEM_H

#include <stddef.h>
#include <stdint.h>

#include "config/bundle.h"

enum pem_result {
    PEM_BLOCK, /* one was found */
    PEM_END,   /* there is no further one */
    PEM_BROKEN /* one begins and does not end */
};

struct pem_block {
    const char *label; /* borrowed from the text, like body; not terminated */
    size_t label_length;
    const uint8_t *body; /* between the lines that begin and end it */
    size_t body_size;
};

/* Finds the next block of `text` from `*offset` on, and moves `*offset` behind it. */
enum pem_result pem_next(struct blob text, size_t *offset, struct pem_block *block);

bool pem_is(const struct pem_block *block, const char *label);

/* Whether it is a private key of any kind, by its label. */
bool pem_is_private_key(const struct pem_block *block);

/* Whether the block has header lines, as traditional encrypted keys have. */
bool pem_has_headers(const struct pem_block *block);

/* Bytes that suffice for the decoded block. */
size_t pem_der_max(const struct pem_block *block);

/* Decodes into `der` of `*size` bytes, in time that does not depend on the contents, and
 * sets `*size` to what was written. */
bool pem_decode(const struct pem_block *block, uint8_t *der, size_t *size) MUST_CHECK;

#endif
