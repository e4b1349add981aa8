/*
 * How a bundle is laid out: header, blobs, names, index.  Numbers are in the machine's
 * order, as writer and reader are one binary.  The index is sorted by name, and no name
 * stands in it twice.
 */
#ifndef CONFIG_BUNDLE_FORMAT_H
#define CONFIG_BUNDLE_FORMAT_H

#include <fcntl.h>
#include <stdint.h>

#define BUNDLE_MAGIC    "PAWLBND1"
#define BUNDLE_SIZE_MAX ((uint64_t)4 << 30)

enum { BUNDLE_SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };

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

#endif
