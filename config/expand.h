/*
 * Sections that name a directory of certificates, turned into one certificate for each
 * that was found there.  The master looks into the directories and writes down what it
 * found, as an index that travels in the bundle; every process expands its configuration
 * by the same index.
 */
#ifndef CONFIG_EXPAND_H
#define CONFIG_EXPAND_H

#include <stdio.h>

#include "config/config.h"

/* Puts one certificate of the section at `section` in config.certificates into an index.
 * `name` is "" for the directory's only one. */
void expand_write(FILE *index, size_t section, const char *name, const char *chain,
                  const char *key);

/* Replaces every section that names a directory by those of its certificates that the
 * index of `size` bytes (NULL: none) has, in its order.  They have the section's lines;
 * the line of its directory is that of chain and key.  What is no record of an index ends
 * it.  False only without memory; the configuration is then as it was. */
bool expand_directories(struct config *config, const char *index, size_t size) MUST_CHECK;

#endif
