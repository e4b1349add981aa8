#include "certs/vault.h"

#include <errno.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "proxy/log.h"

/* Heads its own mapping. */
struct vault_chunk {
    struct vault_chunk *next;
    size_t size; /* of the mapping */
    size_t used;
};

enum { CHUNK_BYTES = 64 * 1024, ALIGNMENT = alignof(max_align_t) };

static struct vault_chunk *chunk_new(size_t size);
static size_t round_up(size_t size, size_t step);

void *vault_take(struct vault *vault, size_t size)
{
    const size_t head = round_up(sizeof(struct vault_chunk), ALIGNMENT);
    if (size > SIZE_MAX / 2)
        return NULL;
    size = round_up(size, ALIGNMENT);
    struct vault_chunk *chunk = vault->chunks;
    if (!chunk || chunk->size - chunk->used < size) {
        chunk = chunk_new(round_up(head + size, CHUNK_BYTES));
        if (!chunk)
            return NULL;
        chunk->used = head;
        chunk->next = vault->chunks;
        vault->chunks = chunk;
    }
    void *taken = (uint8_t *)chunk + chunk->used;
    chunk->used += size;
    return taken;
}

void vault_close(struct vault *vault)
{
    while (vault->chunks) {
        struct vault_chunk *chunk = vault->chunks;
        const size_t size = chunk->size;
        vault->chunks = chunk->next;
        explicit_bzero(chunk, size);
        (void)munmap(chunk, size);
    }
}

static struct vault_chunk *chunk_new(size_t size)
{
    void *pages =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        return NULL;
    if (mlock(pages, size) < 0)
        log_debug("cannot lock the memory of keys: %s", strerror(errno));
    if (madvise(pages, size, MADV_DONTDUMP) < 0)
        log_debug("cannot keep keys out of core dumps: %s", strerror(errno));
    if (madvise(pages, size, MADV_WIPEONFORK) < 0)
        log_debug("cannot keep keys out of children: %s", strerror(errno));
    struct vault_chunk *chunk = pages;
    chunk->size = size;
    return chunk;
}

static size_t round_up(size_t size, size_t step)
{
    return (size + step - 1) / step * step;
}
