#include "config/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * The file: header, blobs, names, index.  Numbers are in the machine's order, as writer
 * and reader are one binary.  The index is sorted by name, and no name stands in it
 * twice.
 */
struct bundle_header {
    char magic[8];
    uint64_t size; /* of the whole file */
    uint64_t index_offset;
    uint64_t count;
};

struct bundle_entry {
    uint64_t name_offset; /* of a string that ends in NUL */
    uint64_t name_length; /* without the NUL */
    uint64_t data_offset;
    uint64_t data_size;
};

struct builder_blob {
    struct bundle_entry entry;
    bool is_file; /* named by bundle_add_file */
    char name[];
};

struct bundle_builder {
    int fd;        /* owned; its position is where the next byte goes */
    uint64_t size; /* up to here the bytes belong to the header or to blobs */
    void *blobs;   /* owned; tsearch tree, ordered by name */
    size_t count;
};

/* What index_blob works on while the tree is walked in the order of the names. */
struct index_walk {
    struct bundle_builder *builder; /* borrowed */
    struct bundle_entry *entries;   /* owned by who walks */
    size_t count;
    bool failed;
};

struct bundle {
    const uint8_t *map; /* owned */
    size_t size;
    const struct bundle_entry *index; /* in the map */
    size_t count;
};

static const char bundle_magic[8] = {'P', 'A', 'W', 'L', 'B', 'N', 'D', '1'};
static const uint64_t bundle_size_max = (uint64_t)4 << 30;

enum {
    SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE,
    TITLE_MAX = 249, /* what memfd_create takes: NAME_MAX less "memfd:" */
};

/* Known to Linux 6.3 and newer, and to their headers. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

static int memory_file_open(const char *title);
static struct builder_blob *blob_new(const char *name, bool is_file, struct error *error);
static int blob_compare(const void *a, const void *b);
static const struct builder_blob *builder_find(const struct bundle_builder *builder,
                                               const struct builder_blob *like);
static bool builder_take(struct bundle_builder *builder, struct builder_blob *blob,
                         struct error *error);
static bool builder_rewind(const struct bundle_builder *builder);
static bool builder_write(const struct bundle_builder *builder, const void *data,
                          size_t size);
static bool builder_capture(const struct bundle_builder *builder, const char *path,
                            size_t max_bytes, uint64_t *copied, struct error *error);
static bool builder_copy(const struct bundle_builder *builder, int fd, size_t max_bytes,
                         uint64_t *copied);
static void index_blob(const void *node, VISIT visit, void *walk);
static bool builder_write_index(struct bundle_builder *builder);
static int regular_file_open(const char *path, size_t max_bytes, struct error *error);
static bool seals_check(int fd, size_t *size, struct error *error);
static bool bundle_check(struct bundle *bundle, struct error *error);
static bool entry_check(const struct bundle *bundle, const struct bundle_entry *entry);
static bool range_inside(uint64_t offset, uint64_t length, uint64_t size);

struct bundle_builder *bundle_builder_new(const char *title, struct error *error)
{
    const struct bundle_header header = {.count = 0};
    struct bundle_builder *builder = calloc(1, sizeof(*builder));
    if (builder == NULL) {
        error_set_errno(error, ENOMEM, "cannot build the bundle \"%s\"", title);
        return NULL;
    }
    builder->fd = memory_file_open(title);
    if (builder->fd < 0 || !builder_write(builder, &header, sizeof(header))) {
        error_set_errno(error, errno, "cannot make the memory file \"%s\"", title);
        bundle_builder_free(builder);
        return NULL;
    }
    builder->size = sizeof(header);
    return builder;
}

bool bundle_add(struct bundle_builder *builder, const char *name, const void *data,
                size_t size, struct error *error)
{
    struct builder_blob *blob = blob_new(name, false, error);
    if (blob == NULL) {
        return false;
    }
    if (builder_find(builder, blob) != NULL) {
        free(blob);
        return error_set(error, "\"%s\" is in the bundle already", name);
    }
    if (!builder_rewind(builder) || !builder_write(builder, data, size)) {
        error_set_errno(error, errno, "cannot add \"%s\" to the bundle", name);
        free(blob);
        return false;
    }
    blob->entry.data_size = size;
    return builder_take(builder, blob, error);
}

bool bundle_add_file(struct bundle_builder *builder, const char *path, size_t max_bytes,
                     struct error *error)
{
    struct builder_blob *blob = blob_new(path, true, error);
    if (blob == NULL) {
        return false;
    }
    const struct builder_blob *found = builder_find(builder, blob);
    if (found != NULL) {
        free(blob);
        return found->is_file ||
               error_set(error, "cannot read \"%s\": the bundle uses that name itself",
                         path);
    }
    if (!builder_capture(builder, path, max_bytes, &blob->entry.data_size, error)) {
        free(blob);
        return false;
    }
    return builder_take(builder, blob, error);
}

int bundle_seal(struct bundle_builder *builder, struct error *error)
{
    if (!builder_write_index(builder)) {
        error_set_errno(error, errno, "cannot complete the bundle");
        return -1;
    }
    if (fcntl(builder->fd, F_ADD_SEALS, SEALS) != 0) {
        error_set_errno(error, errno, "cannot seal the bundle");
        return -1;
    }
    const int fd = builder->fd;
    builder->fd = -1;
    return fd;
}

void bundle_builder_free(struct bundle_builder *builder)
{
    if (builder == NULL) {
        return;
    }
    tdestroy(builder->blobs, free);
    if (builder->fd >= 0) {
        close(builder->fd);
    }
    free(builder);
}

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

static int memory_file_open(const char *title)
{
    char name[TITLE_MAX + 1];
    const size_t length = strnlen(title, TITLE_MAX);
    memcpy(name, title, length);
    name[length] = '\0';
    const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    const int fd = memfd_create(name, flags | MFD_NOEXEC_SEAL);
    if (fd >= 0 || errno != EINVAL) {
        return fd;
    }
    return memfd_create(name, flags);
}

static struct builder_blob *blob_new(const char *name, bool is_file, struct error *error)
{
    const size_t length = strlen(name);
    if (length == 0 || length >= BUNDLE_NAME_MAX) {
        error_set(error, "\"%s\" cannot name a blob: it is %s", name,
                  length == 0 ? "empty" : "too long");
        return NULL;
    }
    struct builder_blob *blob = calloc(1, sizeof(*blob) + length + 1);
    if (blob == NULL) {
        error_set_errno(error, ENOMEM, "cannot add \"%s\" to the bundle", name);
        return NULL;
    }
    memcpy(blob->name, name, length + 1);
    blob->entry.name_length = length;
    blob->is_file = is_file;
    return blob;
}

static int blob_compare(const void *a, const void *b)
{
    return strcmp(((const struct builder_blob *)a)->name,
                  ((const struct builder_blob *)b)->name);
}

static const struct builder_blob *builder_find(const struct bundle_builder *builder,
                                               const struct builder_blob *like)
{
    struct builder_blob *const *node = tfind(like, &builder->blobs, blob_compare);
    return node != NULL ? *node : NULL;
}

/* Lists a blob whose bytes are written; frees it if that fails. */
static bool builder_take(struct bundle_builder *builder, struct builder_blob *blob,
                         struct error *error)
{
    const bool full = builder->count == BUNDLE_BLOBS_MAX;
    if (full || tsearch(blob, &builder->blobs, blob_compare) == NULL) {
        error_set(error, "cannot add \"%s\" to the bundle: %s", blob->name,
                  full ? "it is full" : "there is no memory");
        free(blob);
        return false;
    }
    blob->entry.data_offset = builder->size;
    builder->size += blob->entry.data_size;
    builder->count++;
    return true;
}

/* Puts the next byte behind what belongs to blobs, whatever a failed one has left there.
 */
static bool builder_rewind(const struct bundle_builder *builder)
{
    return lseek(builder->fd, (off_t)builder->size, SEEK_SET) >= 0;
}

/* Writes at the file's position; errno says why not. */
static bool builder_write(const struct bundle_builder *builder, const void *data,
                          size_t size)
{
    const uint8_t *bytes = data;
    while (size > 0) {
        const ssize_t written = write(builder->fd, bytes, size);
        if (written < 0 && errno != EINTR) {
            return false;
        }
        if (written > 0) {
            bytes += written;
            size -= (size_t)written;
        }
    }
    return true;
}

/* Copies what `path` holds at this moment.  It may be replaced or cut meanwhile: what was
 * there to read is the blob. */
static bool builder_capture(const struct bundle_builder *builder, const char *path,
                            size_t max_bytes, uint64_t *copied, struct error *error)
{
    const int fd = regular_file_open(path, max_bytes, error);
    if (fd < 0) {
        return false;
    }
    const bool done =
        builder_rewind(builder) && builder_copy(builder, fd, max_bytes, copied);
    const int cause = errno;
    close(fd);
    if (!done) {
        return error_set_errno(error, cause, "cannot read \"%s\"", path);
    }
    return *copied > 0 || error_set(error, "cannot read \"%s\": the file is empty", path);
}

static bool builder_copy(const struct bundle_builder *builder, int fd, size_t max_bytes,
                         uint64_t *copied)
{
    while (*copied < max_bytes) {
        const ssize_t sent = sendfile(builder->fd, fd, NULL, max_bytes - (size_t)*copied);
        if (sent == 0) {
            return true;
        }
        if (sent < 0 && errno != EINTR) {
            return false;
        }
        if (sent > 0) {
            *copied += (uint64_t)sent;
        }
    }
    return true;
}

/* Writes the name of one blob and takes down its entry; called by twalk_r. */
static void index_blob(const void *node, VISIT visit, void *context)
{
    struct index_walk *walk = context;
    if (walk->failed || (visit != postorder && visit != leaf)) {
        return;
    }
    struct builder_blob *blob = *(struct builder_blob *const *)node;
    const size_t size = (size_t)blob->entry.name_length + 1;
    walk->failed = !builder_write(walk->builder, blob->name, size);
    blob->entry.name_offset = walk->builder->size;
    walk->builder->size += size;
    walk->entries[walk->count++] = blob->entry;
}

/* Ends the file with names and index, and begins it with the header that leads there. */
static bool builder_write_index(struct bundle_builder *builder)
{
    struct index_walk walk = {.builder = builder};
    struct bundle_header header = {.count = builder->count};
    walk.entries = calloc(builder->count + 1, sizeof(struct bundle_entry));
    if (walk.entries == NULL || !builder_rewind(builder)) {
        free(walk.entries);
        return false;
    }
    twalk_r(builder->blobs, index_blob, &walk);
    builder->size = (builder->size + 7) & ~(uint64_t)7; /* the index is read in place */
    memcpy(header.magic, bundle_magic, sizeof(header.magic));
    header.index_offset = builder->size;
    header.size = builder->size + builder->count * sizeof(struct bundle_entry);
    const bool written = !walk.failed && header.size <= bundle_size_max &&
                         builder_rewind(builder) &&
                         builder_write(builder, walk.entries,
                                       (size_t)(header.size - header.index_offset)) &&
                         ftruncate(builder->fd, (off_t)header.size) == 0 &&
                         lseek(builder->fd, 0, SEEK_SET) == 0 &&
                         builder_write(builder, &header, sizeof(header));
    free(walk.entries);
    if (header.size > bundle_size_max) {
        errno = EFBIG;
    }
    return written;
}

static int regular_file_open(const char *path, size_t max_bytes, struct error *error)
{
    /* O_NONBLOCK: opening a pipe does not wait for its writer. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0) {
        error_set_errno(error, errno, "cannot read \"%s\"", path);
    } else if (!S_ISREG(status.st_mode)) {
        error_set(error, "cannot read \"%s\": not a regular file", path);
    } else if (status.st_size == 0) {
        error_set(error, "cannot read \"%s\": the file is empty", path);
    } else if ((uint64_t)status.st_size > max_bytes) {
        error_set(error, "cannot read \"%s\": the file is over the %zu bytes allowed",
                  path, max_bytes);
    } else {
        return fd;
    }
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

static bool seals_check(int fd, size_t *size, struct error *error)
{
    const int seals = fcntl(fd, F_GET_SEALS);
    struct stat status;
    if (seals < 0 || fstat(fd, &status) != 0) {
        return error_set_errno(error, errno, "cannot open the bundle");
    }
    if ((seals & SEALS) != SEALS) {
        return error_set(error, "the bundle is not sealed");
    }
    if (status.st_size < (off_t)sizeof(struct bundle_header) ||
        (uint64_t)status.st_size > bundle_size_max) {
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
    if (memcmp(header.magic, bundle_magic, sizeof(header.magic)) != 0 ||
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
