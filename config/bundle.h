/*
 * A bundle is a sealed memory file of named blobs: everything one role needs of the file
 * system, captured by the master at one moment.  File contents are copied inside the
 * kernel (sendfile), so that capturing a private key brings no byte of it into the
 * master's memory. The reader trusts nothing: seals, sizes and every offset are checked
 * on opening.
 */
#ifndef CONFIG_BUNDLE_H
#define CONFIG_BUNDLE_H

#include <stddef.h>
#include <stdint.h>

#include "proxy/error.h"

enum {
    BUNDLE_NAME_MAX = 4096, /* names are mostly paths; PATH_MAX with its NUL */
    BUNDLE_BLOBS_MAX = 65536,
};

struct bundle_builder;

/* `title` shows in /proc/PID/fd; NULL on failure. */
struct bundle_builder *bundle_builder_new(const char *title,
                                          struct error *error) MUST_CHECK;

/* Adds a copy of `size` bytes under `name`; a name that is already there is refused. */
bool bundle_add(struct bundle_builder *builder, const char *name, const void *data,
                size_t size, struct error *error) MUST_CHECK;

/* Adds the contents of the regular file `path` under its path; adding the same path twice
 * is a success that does nothing.  Refuses what is not a regular file, is empty or is
 * over `max_bytes`.  The sentence is `cannot read "path": cause`. */
bool bundle_add_file(struct bundle_builder *builder, const char *path, size_t max_bytes,
                     struct error *error) MUST_CHECK;

/* Opens a file that bundle_add_file would take, for bundle_add_fd; -1 with the same
 * sentence. */
int bundle_open_file(const char *path, size_t max_bytes, struct error *error) MUST_CHECK;

/* Adds what `fd` (borrowed; its position does not matter) holds, at most `max_bytes`,
 * under `name`; a name that is already there is refused. */
bool bundle_add_fd(struct bundle_builder *builder, const char *name, int fd,
                   size_t max_bytes, struct error *error) MUST_CHECK;

/* A finished bundle to copy from: only its index is read, never a blob, so that copying a
 * private key brings no byte of it into this process. `fd` is borrowed until the close.
 */
struct bundle_source;
struct bundle_source *bundle_source_open(int fd, struct error *error) MUST_CHECK;
void bundle_source_close(struct bundle_source *source);

bool bundle_source_has(const struct bundle_source *source, const char *name);

/* Adds the blob `name` of `source` inside the kernel; once more is a success that does
 * nothing. */
bool bundle_add_copy(struct bundle_builder *builder, const struct bundle_source *source,
                     const char *name, struct error *error) MUST_CHECK;

/* Whether there is a blob of this name by now. */
bool bundle_has(const struct bundle_builder *builder, const char *name);

/* Seals against every change and returns the descriptor (close-on-exec, owned by the
 * caller), or -1.  The builder is of no further use but must still be freed. */
int bundle_seal(struct bundle_builder *builder, struct error *error) MUST_CHECK;

void bundle_builder_free(struct bundle_builder *builder);

struct bundle; /* an opened bundle; immutable */

struct blob {
    const uint8_t *data; /* borrowed from the bundle; NULL: no such blob */
    size_t size;
};

/* Maps and checks the bundle in `fd` (borrowed; may be closed afterwards). */
struct bundle *bundle_open(int fd, struct error *error) MUST_CHECK;

struct blob bundle_find(const struct bundle *bundle, const char *name);

void bundle_close(struct bundle *bundle);

#endif
