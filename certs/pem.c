#include "certs/pem.h"

#include <limits.h>
#include <string.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/coding.h>

static const char begin_mark[] = "-----BEGIN ";
static const char end_mark[] = "-----END ";
static const char dashes[] = "-----";

enum { LABEL_MAX = 64 };

static const char *find(const char *from, const char *end, const char *text,
                        size_t length);
static const char *find_end_line(const char *from, const char *end,
                                 const struct pem_block *block);

enum pem_result pem_next(struct blob text, size_t *offset, struct pem_block *block)
{
    const char *const end = (const char *)text.data + text.size;
    const char *from = (const char *)text.data + *offset;
    const char *begin = find(from, end, begin_mark, strlen(begin_mark));
    if (!begin) {
        *offset = text.size;
        return PEM_END;
    }
    block->label = begin + strlen(begin_mark);
    const char *label_end = find(block->label, end, dashes, strlen(dashes));
    if (!label_end || label_end - block->label > LABEL_MAX)
        return PEM_BROKEN;
    block->label_length = (size_t)(label_end - block->label);
    const char *body = label_end + strlen(dashes);
    const char *last = find_end_line(body, end, block);
    if (!last)
        return PEM_BROKEN;
    block->body = (const uint8_t *)body;
    block->body_size = (size_t)(last - body);
    *offset = (size_t)(last - (const char *)text.data) + strlen(end_mark) +
              block->label_length + strlen(dashes);
    return PEM_BLOCK;
}

bool pem_is(const struct pem_block *block, const char *label)
{
    return block->label_length == strlen(label) &&
           memcmp(block->label, label, block->label_length) == 0;
}

bool pem_is_private_key(const struct pem_block *block)
{
    static const char suffix[] = "PRIVATE KEY";
    const size_t length = sizeof(suffix) - 1;

    return block->label_length >= length &&
           memcmp(block->label + block->label_length - length, suffix, length) == 0;
}

bool pem_has_headers(const struct pem_block *block)
{
    return memchr(block->body, ':', block->body_size) != NULL;
}

size_t pem_der_max(const struct pem_block *block)
{
    return block->body_size / 4 * 3 + 3;
}

bool pem_decode(const struct pem_block *block, uint8_t *der, size_t *size)
{
    if (block->body_size > INT_MAX || *size > INT_MAX)
        return false;
    word32 written = (word32)*size;
    if (Base64_Decode(block->body, (word32)block->body_size, der, &written) != 0)
        return false;
    *size = written;
    return written > 0;
}

static const char *find(const char *from, const char *end, const char *text,
                        size_t length)
{
    return memmem(from, (size_t)(end - from), text, length);
}

/* The line that ends `block`: the next one that begins like an end must carry its label.
 */
static const char *find_end_line(const char *from, const char *end,
                                 const struct pem_block *block)
{
    const char *line = find(from, end, end_mark, strlen(end_mark));
    if (!line)
        return NULL;
    const char *label = line + strlen(end_mark);
    const size_t wanted = block->label_length + strlen(dashes);
    if ((size_t)(end - label) < wanted ||
        memcmp(label, block->label, block->label_length) != 0 ||
        memcmp(label + block->label_length, dashes, strlen(dashes)) != 0)
        return NULL;
    return line;
}
