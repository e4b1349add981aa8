/*
 * Reads INI text through inih, which gives no line numbers and quietly bends what it does
 * not support.  The reader sees every line before inih does: it counts them, reports what
 * inih would cut, join or skip, and hands on only lines that mean what they seem to.
 */
#ifndef CONFIG_READER_H
#define CONFIG_READER_H

#include <stddef.h>

#include "proxy/error.h"

enum {
    READER_LINE_MAX = 199, /* bytes of a line that inih takes, comments aside */
    READER_WORD_MAX =
        49, /* bytes of a key, or between the brackets of a section header */
};

/* A section header, or a key below one.  All borrowed for the time of the call. */
struct reader_item {
    const char *section; /* first word of the header; "" above the first header */
    const char *name;    /* the rest of the header, "" if there is none */
    const char *key;     /* NULL for the header itself */
    const char *value;   /* NULL for the header itself */
    unsigned line;
};

/* Calls `on_item` for every header and key in `text`, in order.  Everything that is
 * neither those nor a comment is reported with its line as an error in `file`.  Keys
 * below a header that cannot be read are checked for syntax only. */
void reader_read(const char *text, size_t length, const char *file, struct report *report,
                 void (*on_item)(void *context, const struct reader_item *item),
                 void *context);

#endif
