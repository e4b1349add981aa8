/*
 * Which lines of the log are too many of a kind: those with the same level, message and
 * reason, whoever they are about.  So many of a kind are let through in a second; the
 * rest is counted and told in one line.  A fixed table, no allocation; includes nothing
 * of ours.
 */
#ifndef PROXY_LOG_FLOOD_H
#define PROXY_LOG_FLOOD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LOG_FLOOD_KINDS = 32,
    LOG_FLOOD_WINDOW_MS = 1000,
    LOG_FLOOD_MESSAGE_MAX = 96,
    LOG_FLOOD_REASON_MAX = 32,
};

struct log_kind {
    uint64_t hash;
    uint64_t since_ms; /* of its first line in this window */
    uint64_t printed;
    uint64_t suppressed; /* lines that no summary has told */
    unsigned level;
    char message[LOG_FLOOD_MESSAGE_MAX]; /* cut */
    char reason[LOG_FLOOD_REASON_MAX];   /* "": none */
};

/* Zero-initialise. */
struct log_flood {
    unsigned limit; /* lines of a kind in a window; 0: all */
    size_t held;    /* kinds with lines suppressed */
    struct log_kind kinds[LOG_FLOOD_KINDS];
};

/* Whether the line is to be written; if not, it is counted. */
bool log_flood_admit(struct log_flood *flood, unsigned level, const char *message,
                     const char *reason, uint64_t now_ms);

/* Takes out a kind whose summary is due: whose window is over, or any if `all`.  The copy
 * tells what to say.  False: there is none. */
bool log_flood_take(struct log_flood *flood, bool all, uint64_t now_ms,
                    struct log_kind *summary);

#endif
