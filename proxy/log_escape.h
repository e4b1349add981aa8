/*
 * Bytes of peers, as a log may show them: nothing they hold can end a line, forge a field
 * or reach a terminal.  Includes nothing of ours.
 */
#ifndef PROXY_LOG_ESCAPE_H
#define PROXY_LOG_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>

/* How a byte string is written: as bare words, as a value in text, as a JSON string. */
enum log_escape { LOG_ESCAPE_MESSAGE, LOG_ESCAPE_VALUE, LOG_ESCAPE_JSON };

enum { LOG_ESCAPED_MAX = 8 };

/* How many bytes at the start of `text` are shown as they are. */
size_t log_escape_plain(enum log_escape escape, const char *text);

/* Writes the next character of `text`, which is not at its end, as it is to be shown: at
 * most LOG_ESCAPED_MAX bytes, whose number is returned.  `taken` is how many bytes of
 * `text` it stands for. */
size_t log_escape_one(enum log_escape escape, const char *text, char *out, size_t *taken);

/* Whether a value in text stands in quotes. */
bool log_escape_needs_quotes(const char *value);

#endif
