/*
 * Errors are sentences for people: lower case, no full stop, naming the thing and the
 * cause.  `struct error` carries one to the caller; `struct report` collects all that one
 * run finds, each with its place.  Used by every process; includes nothing of ours.
 */
#ifndef PROXY_ERROR_H
#define PROXY_ERROR_H

#include <stdbool.h>
#include <stddef.h>

#define MUST_CHECK        __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

enum { ERROR_TEXT_MAX = 512 };

struct error {
    char text[ERROR_TEXT_MAX];
};

/* Writes the sentence (truncated to fit) and returns false, so that a failing function
 * can `return error_set(error, ...)`.  `error` may be NULL. */
bool error_set(struct error *error, const char *format, ...) PRINTF_LIKE(2, 3);

/* The same with ": " and the words for errno value `code` appended. */
bool error_set_errno(struct error *error, int code, const char *format, ...)
    PRINTF_LIKE(3, 4);

enum report_level {
    REPORT_WARNING,
    REPORT_FAULT, /* one certificate cannot be served; the others can */
    REPORT_ERROR
};

struct report_entry {
    enum report_level level;
    char *text; /* owned; complete sentence, with "file:line: " in front where known */
};

/* Everything found in one pass over a configuration.  Zero-initialise, then report_close.
 * An identical sentence is kept once.  Bounded: past REPORT_ENTRIES_MAX only counted. */
struct report {
    struct report_entry *entries; /* owned */
    size_t count;
    size_t errors;  /* entries and dropped ones of level REPORT_ERROR */
    size_t faults;  /* the same of level REPORT_FAULT */
    size_t dropped; /* found but not kept */
};

enum { REPORT_ENTRIES_MAX = 1000 };

/* Adds a sentence.  With `file` it starts "file:line: "; with line 0, "file: ". */
void report_add(struct report *report, enum report_level level, const char *file,
                unsigned line, const char *format, ...) PRINTF_LIKE(5, 6);

void report_close(struct report *report);

#endif
