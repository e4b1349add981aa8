/*
 * Looks for a secret in the memory of the test itself.  The secret is given in letters (a
 * hexadecimal digit as one of a to p), so that looking for it leaves no copy to be found.
 */
#ifndef TESTS_MEMORY_H
#define TESTS_MEMORY_H

#include <stddef.h>
#include <stdint.h>

enum { MEMORY_SECRET_BYTES = 32, MEMORY_LETTERS = 2 * MEMORY_SECRET_BYTES + 1 };

void memory_letters(const uint8_t secret[MEMORY_SECRET_BYTES],
                    char letters[MEMORY_LETTERS]);

/* How often it stands anywhere, in either byte order. */
size_t memory_count(const char *letters);

#endif
