/* Numbers as people read them.  Includes nothing of ours. */
#ifndef PROXY_HUMAN_H
#define PROXY_HUMAN_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { HUMAN_TEXT_MAX = 24 };

/* Two units at most: "420ms", "17s", "3m12s", "5h04m", "12d3h".  Returns `text`. */
const char *human_duration(uint64_t ms, char text[HUMAN_TEXT_MAX]);

/* "812 B", "1.2 KiB", "30 MiB".  Returns `text`. */
const char *human_bytes(uint64_t bytes, char text[HUMAN_TEXT_MAX]);

/* Bytes of a peer: what is not printable ASCII, and the backslash, as \xNN. */
void human_print(FILE *out, const char *bytes);

#endif
