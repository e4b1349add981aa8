#include "config/bundle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/bundle_format.h"

struct bundle {
    const uint8_t *map; /* owned */
    size_t size;
    const struct bundle_entry *index; /* in the map */
    size_t count;
};

static bool seals_check(int fd, size_t *size, struct error *error);
static bool bundle_check(struct bundle *bundle, struct error *error);
static bool entry_check(const struct bundle *bundle, const struct bundle_entry *entry);
static bool range_inside(uint64_t offset, uint64_t length, uint64_t size);

struct bundle *bundle_open(int fd, struct error *error)
{
    size_t size = 0;
    if (!seals_check(fd, &size, error)) {
        return NULL;
    }
    struct bundle *bundle = calloc(1, sizeof(*bundle));
    if (bundle == NULL) {
        error_set_errno(error, ENOMEM, "cannot open the bundle");
        return NULL;
    }
    void *map = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED) {
        error_set_errno(error, errno, "cannot map the bundle");
        free(bundle);
        return NULL;
    }
    (void)madvise(map, size, MADV_DONTDUMP); /* it may hold private keys */
    bundle->map = map;
    bundle->size = size;
    if (!bundle_check(bundle, error)) {
        bundle_close(bundle);
        return NULL;
    }
    return bundle;
}

struct blob bundle_find(const struct bundle *bundle, const char *name)
{
    size_t low = 0;
    size_t high = bundle->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const struct bundle_entry *entry = &bundle->index[middle];
        const int order = strcmp(name, (const char *)bundle->map + entry->name_offset);
        if (order == 0) {
            return (struct blob){.data = bundle->map + entry->data_offset,
                                 .size = (size_t)entry->data_size};
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return (struct blob){.data = NULL};
}

void bundle_close(struct bundle *bundle)
{
    if (bundle == NULL) {
        return;
    }
    const union {
        const uint8_t *read_only;
        void *any;
    } map = {.read_only = bundle->map};
    munmap(map.any, bundle->size);
    free(bundle);
}

static bool seals_check(int fd, size_t *size, struct error *error)
{
    const int seals = fcntl(fd, F_GET_SEALS);
    struct stat status;
    if (seals < 0 || fstat(fd, &status) != 0) {
        return error_set_errno(error, errno, "cannot open the bundle");
    }
    if ((seals & BUNDLE_SEALS) != BUNDLE_SEALS) {
        return error_set(error, "the bundle is not sealed");
    }
    if (status.st_size < (off_t)sizeof(struct bundle_header) ||
        (uint64_t)status.st_size > BUNDLE_SIZE_MAX) {
        return error_set(error, "the bundle is %s",
                         status.st_size < (off_t)sizeof(struct bundle_header)
                             ? "too short"
                             : "too long");
    }
    *size = (size_t)status.st_size;
    return true;
}

/* Everything that bundle_find relies on. */
static bool bundle_check(struct bundle *bundle, struct error *error)
{
    struct bundle_header header;
    memcpy(&header, bundle->map, sizeof(header));
    if (memcmp(header.magic, BUNDLE_MAGIC, sizeof(header.magic)) != 0 ||
        header.size != bundle->size) {
        return error_set(error, "the bundle is damaged: it has no valid header");
    }
    if (header.count > BUNDLE_BLOBS_MAX || header.index_offset % 8 != 0 ||
        !range_inside(header.index_offset, header.count * sizeof(struct bundle_entry),
                      bundle->size)) {
        return error_set(error, "the bundle is damaged: its index lies outside");
    }
    bundle->index = (const void *)(bundle->map + header.index_offset);
    bundle->count = (size_t)header.count;
    for (size_t i = 0; i < bundle->count; i++) {
        if (!entry_check(bundle, &bundle->index[i])) {
            return error_set(error, "the bundle is damaged: a blob or name lies outside");
        }
        const char *names = (const char *)bundle->map;
        if (i > 0 && strcmp(names + bundle->index[i - 1].name_offset,
                            names + bundle->index[i].name_offset) >= 0) {
            return error_set(error, "the bundle is damaged: its names are out of order");
        }
    }
    return true;
}

static bool entry_check(const struct bundle *bundle, const struct bundle_entry *entry)
{
    if (entry->name_length == 0 || entry->name_length >= BUNDLE_NAME_MAX ||
        !range_inside(entry->name_offset, entry->name_length + 1, bundle->size) ||
        !range_inside(entry->data_offset, entry->data_size, bundle->size)) {
        return false;
    }
    const char *name = (const char *)bundle->map + entry->name_offset;
    return strnlen(name, (size_t)entry->name_length + 1) == entry->name_length;
}

static bool range_inside(uint64_t offset, uint64_t length, uint64_t size)
{
    return offset <= size && length <= size - offset;
}
