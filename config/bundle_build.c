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

#include "config/bundle_format.h"
#include "config/memory_file.h"

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

/* Where the blobs of a finished bundle lie; their bytes are not looked at. */
struct bundle_source {
    int fd;                     /* borrowed */
    struct bundle_entry *index; /* owned */
    size_t count;
    char *names;          /* owned */
    uint64_t names_start; /* their offset in the file */
};

/* What index_blob works on while the tree is walked in the order of the names. */
struct index_walk {
    struct bundle_builder *builder; /* borrowed */
    struct bundle_entry *entries;   /* owned by who walks */
    size_t count;
    bool failed;
};

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
static bool builder_copy(const struct bundle_builder *builder, int fd, off_t *offset,
                         size_t max_bytes, uint64_t *copied);
static bool source_read(struct bundle_source *source);
static bool source_read_at(int fd, void *data, uint64_t size, uint64_t offset);
static const struct bundle_entry *source_find(const struct bundle_source *source,
                                              const char *name);
static void index_blob(const void *node, VISIT visit, void *walk);
static bool builder_write_index(struct bundle_builder *builder);

struct bundle_builder *bundle_builder_new(const char *title, struct error *error)
{
    const struct bundle_header header = {.count = 0};
    struct bundle_builder *builder = calloc(1, sizeof(*builder));
    if (builder == NULL) {
        error_set_errno(error, ENOMEM, "cannot build the bundle \"%s\"", title);
        return NULL;
    }
    builder->fd = memory_file_new(title);
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

int bundle_open_file(const char *path, size_t max_bytes, struct error *error)
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

bool bundle_add_fd(struct bundle_builder *builder, const char *name, int fd,
                   size_t max_bytes, struct error *error)
{
    off_t offset = 0;
    struct builder_blob *blob = blob_new(name, true, error);
    if (blob == NULL) {
        return false;
    }
    if (builder_find(builder, blob) != NULL) {
        free(blob);
        return error_set(error, "\"%s\" is in the bundle already", name);
    }
    if (!builder_rewind(builder) ||
        !builder_copy(builder, fd, &offset, max_bytes, &blob->entry.data_size)) {
        error_set_errno(error, errno, "cannot add \"%s\" to the bundle", name);
        free(blob);
        return false;
    }
    return builder_take(builder, blob, error);
}

struct bundle_source *bundle_source_open(int fd, struct error *error)
{
    struct bundle_source *source = calloc(1, sizeof(*source));
    if (source == NULL) {
        error_set_errno(error, ENOMEM, "cannot copy from the bundle");
        return NULL;
    }
    source->fd = fd;
    if (!source_read(source)) {
        error_set(error, "cannot copy from the bundle: its index cannot be read");
        bundle_source_close(source);
        return NULL;
    }
    return source;
}

bool bundle_source_has(const struct bundle_source *source, const char *name)
{
    return source_find(source, name) != NULL;
}

bool bundle_add_copy(struct bundle_builder *builder, const struct bundle_source *source,
                     const char *name, struct error *error)
{
    const struct bundle_entry *entry = source_find(source, name);
    if (entry == NULL) {
        return error_set(error, "\"%s\" is not in the bundle", name);
    }
    struct builder_blob *blob = blob_new(name, true, error);
    if (blob == NULL) {
        return false;
    }
    if (builder_find(builder, blob) != NULL) {
        free(blob);
        return true;
    }
    off_t offset = (off_t)entry->data_offset;
    if (!builder_rewind(builder) ||
        !builder_copy(builder, source->fd, &offset, (size_t)entry->data_size,
                      &blob->entry.data_size) ||
        blob->entry.data_size != entry->data_size) {
        error_set_errno(error, errno, "cannot copy \"%s\" from the bundle", name);
        free(blob);
        return false;
    }
    return builder_take(builder, blob, error);
}

bool bundle_has(const struct bundle_builder *builder, const char *name)
{
    struct builder_blob *blob = blob_new(name, false, NULL);
    const bool found = blob != NULL && builder_find(builder, blob) != NULL;
    free(blob);
    return found;
}

void bundle_source_close(struct bundle_source *source)
{
    if (source == NULL) {
        return;
    }
    free(source->index);
    free(source->names);
    free(source);
}

int bundle_seal(struct bundle_builder *builder, struct error *error)
{
    if (!builder_write_index(builder)) {
        error_set_errno(error, errno, "cannot complete the bundle");
        return -1;
    }
    if (fcntl(builder->fd, F_ADD_SEALS, BUNDLE_SEALS) != 0) {
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
    const int fd = bundle_open_file(path, max_bytes, error);
    if (fd < 0) {
        return false;
    }
    const bool done =
        builder_rewind(builder) && builder_copy(builder, fd, NULL, max_bytes, copied);
    const int cause = errno;
    close(fd);
    if (!done) {
        return error_set_errno(error, cause, "cannot read \"%s\"", path);
    }
    return *copied > 0 || error_set(error, "cannot read \"%s\": the file is empty", path);
}

/* From the file's position, or from `*offset`. */
static bool builder_copy(const struct bundle_builder *builder, int fd, off_t *offset,
                         size_t max_bytes, uint64_t *copied)
{
    while (*copied < max_bytes) {
        const ssize_t sent =
            sendfile(builder->fd, fd, offset, max_bytes - (size_t)*copied);
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

/* The bundle is one that this process has sealed. */
static bool source_read(struct bundle_source *source)
{
    struct bundle_header header;
    if (!source_read_at(source->fd, &header, sizeof(header), 0) ||
        header.count > BUNDLE_BLOBS_MAX || header.size > BUNDLE_SIZE_MAX ||
        header.index_offset > header.size) {
        return false;
    }
    source->count = (size_t)header.count;
    source->index = calloc(source->count + 1, sizeof(*source->index));
    if (source->index == NULL ||
        !source_read_at(source->fd, source->index, source->count * sizeof(*source->index),
                        header.index_offset)) {
        return false;
    }
    /* Names are written in the order of the index. */
    source->names_start = source->count > 0 ? source->index[0].name_offset : 0;
    if (source->count == 0 || source->names_start > header.index_offset) {
        return source->count == 0;
    }
    const uint64_t size = header.index_offset - source->names_start;
    source->names = calloc(1, (size_t)size + 1);
    return source->names != NULL &&
           source_read_at(source->fd, source->names, size, source->names_start);
}

static bool source_read_at(int fd, void *data, uint64_t size, uint64_t offset)
{
    return pread(fd, data, (size_t)size, (off_t)offset) == (ssize_t)size;
}

static const struct bundle_entry *source_find(const struct bundle_source *source,
                                              const char *name)
{
    size_t low = 0;
    size_t high = source->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const struct bundle_entry *entry = &source->index[middle];
        const int order =
            strcmp(name, source->names + (entry->name_offset - source->names_start));
        if (order == 0) {
            return entry;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
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
    memcpy(header.magic, BUNDLE_MAGIC, sizeof(header.magic));
    header.index_offset = builder->size;
    header.size = builder->size + builder->count * sizeof(struct bundle_entry);
    const bool written = !walk.failed && header.size <= BUNDLE_SIZE_MAX &&
                         builder_rewind(builder) &&
                         builder_write(builder, walk.entries,
                                       (size_t)(header.size - header.index_offset)) &&
                         ftruncate(builder->fd, (off_t)header.size) == 0 &&
                         lseek(builder->fd, 0, SEEK_SET) == 0 &&
                         builder_write(builder, &header, sizeof(header));
    free(walk.entries);
    if (header.size > BUNDLE_SIZE_MAX) {
        errno = EFBIG;
    }
    return written;
}
