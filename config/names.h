/*
 * The sections of one kind by their names, for references from other sections, with a
 * "did you mean" where one leads nowhere.
 */
#ifndef CONFIG_NAMES_H
#define CONFIG_NAMES_H

#include <stddef.h>

#include "config/config.h"

struct names {
    const char *word;  /* of the headers: "backend" */
    const void *items; /* borrowed array of structs that begin with their section */
    size_t count;
    size_t item_size;
    void *tree; /* owned; of those with one name, the first */
};

/* A key whose value is the name of a section. */
struct reference {
    const char *word; /* of the section that has the key */
    const struct config_section *section;
    unsigned line;
    const char *name; /* the value */
};

/* Builds the tree; `word` to `item_size` are set.  Sections of one name are reported.
 * False without memory. */
bool names_open(struct names *names, const struct config *config,
                struct report *report) MUST_CHECK;

/* The section that is meant, or NULL, which is reported. */
const void *names_find(const struct names *names, const struct config *config,
                       const struct reference *reference, struct report *report);

void names_close(struct names *names);

#endif
