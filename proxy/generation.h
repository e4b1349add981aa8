/*
 * One configuration with all files it names, captured by the master at one moment: what a
 * role needs to serve it.  Key files go from disk to the keyholders inside the kernel; no
 * byte of them enters the master's memory.
 */
#ifndef PROXY_GENERATION_H
#define PROXY_GENERATION_H

#include <stdint.h>

#include "config/config.h"
#include "proxy/error.h"
#include "proxy/file_list.h"

/* Where a configuration comes from: a file, or a text made by `pawl dev` and `pawl demo`.
 */
struct source {
    const char *file;           /* as messages name it */
    const char *text;           /* NULL: read `file` */
    const struct config *older; /* borrowed; what was found before, or NULL */
    bool with_demo;             /* the built-in demo app runs as well */
    int demo_fd;                /* its listening socket, or -1 */
};

struct generation {
    uint32_t number;
    struct config *config;   /* owned; NULL if the text could not be read at all */
    char *text;              /* owned; what config was read from */
    int bundle_fd;           /* owned; -1: could not be made */
    int keys_fd;             /* owned */
    struct cert_set offered; /* the certificates that the bundles ask to be served */
    struct file_list files;  /* owned; what certificates and policies depend on */
    uint64_t files_state;    /* of them, before they were read */
    size_t kept;             /* how many of these are as an earlier generation had them */
};

/* Reads and captures; every problem goes to the report.  What could be captured is, so
 * that the roles can add their findings.  NULL without memory. */
struct generation *generation_capture(const struct source *source, uint32_t number,
                                      struct report *report) MUST_CHECK;

/* The generation that is behind bundles which were in service; takes both descriptors.
 * What it depends on is not known. */
struct generation *generation_restore(uint32_t number, int bundle_fd, int keys_fd,
                                      struct report *report,
                                      struct error *error) MUST_CHECK;

/* Makes new bundles that offer only the certificates in `served`, and of the others those
 * that `older` (NULL: none) offers under the same name and paths, with the files as they
 * were then.  Copies within the kernel; looks at no file. */
bool generation_reduce(struct generation *generation, const struct cert_set *served,
                       const struct generation *older, struct error *error) MUST_CHECK;

/* For the two that make bundles: says in `chains` what is not offered. */
struct bundle_builder;
bool generation_add_left_out(const struct generation *generation,
                             struct bundle_builder *chains,
                             struct error *error) MUST_CHECK;

/* Whether both, of one text, offer the same certificates and have the same files of
 * client policies, to the byte.  Private keys follow from that: only the one that fits is
 * ever served. */
bool generation_is_same(const struct generation *a, const struct generation *b);

/* NULL is allowed. */
void generation_free(struct generation *generation);

#endif
