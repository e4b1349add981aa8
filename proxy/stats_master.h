/*
 * The master's page: its state, what became of reloads, the ticket keys' ages, and every
 * process it keeps.  Written by the master alone, where things happen (ledger.c), and
 * read by the admin process at any moment: every number stands for itself, so that a page
 * read half-written is no worse than one read a moment earlier, and texts say when they
 * are not whole.  Times are milliseconds since 1970, those of keys by ticket_clock_ms.
 */
#ifndef PROXY_STATS_MASTER_H
#define PROXY_STATS_MASTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "certs/ticket_keys.h"
#include "config/config.h"

enum master_state {
    MASTER_STARTING, /* the first configuration is being prepared */
    MASTER_SERVING,
    MASTER_RELOADING, /* another one is */
    MASTER_LAME_DUCK, /* not ready any more, but accepting still */
    MASTER_DRAINING, /* who is connecting is let in, then workers finish their sessions */
    MASTER_STOPPING  /* everything ends now */
};
enum { MASTER_STATES = MASTER_STOPPING + 1 };

/* How a configuration, or certificates whose files changed, was received. */
enum reload_result { RELOAD_ACCEPTED, RELOAD_REFUSED };
enum { RELOAD_RESULTS = RELOAD_REFUSED + 1 };

enum {
    STATS_TEXT_MAX = 512,
    STATS_ROLE_MAX = 16,
    STATS_PROCESSES = 2 * CONFIG_WORKERS_MAX + 8
};

/* A text with one writer.  The sequence is odd while it is being written. */
struct stats_text {
    uint64_t sequence;
    char text[STATS_TEXT_MAX];
};

struct stats_process {
    char role[STATS_ROLE_MAX]; /* set before the process is counted */
    uint64_t index;
    uint64_t pid;        /* 0: not running */
    uint64_t started_ms; /* last; 0: there is no such process */
    uint64_t restarts;
    uint64_t serving;    /* 1: it has a configuration in service */
    uint64_t uid;        /* that it runs as */
    uint64_t sandbox;    /* parts in force, bits by enum sandbox_part */
    uint64_t missing_ms; /* since when it has ceased to, though it should; 0: it does */
};

struct stats_ticket_key {
    uint64_t made_ms;
    uint64_t encrypts_until_ms;
    uint64_t ends_ms; /* 0: there is no key here */
};

struct stats_master {
    uint64_t pid;
    uint64_t started_ms;
    uint64_t state; /* enum master_state */
    /* the configuration in service */
    uint64_t generation; /* 0: none yet */
    uint64_t loaded_ms;
    uint64_t certificates_kept; /* that are as an earlier generation had them */
    /* reloads that were asked for, the start included, and renewals of certificates */
    uint64_t reloads[RELOAD_RESULTS];
    uint64_t renewals[RELOAD_RESULTS];
    uint64_t last_reload_ms;
    uint64_t last_reload_result;
    struct stats_text last_reload_error; /* the first one; "": none */
    /* the forward-secrecy window */
    uint64_t window_ms; /* 0: no tickets are issued */
    uint64_t rotation_due_ms;
    struct stats_ticket_key ticket_keys[TICKET_RING_KEYS]; /* the newest first */
    uint64_t process_count;
    struct stats_process processes[STATS_PROCESSES];
};

const char *master_state_name(enum master_state state);
const char *reload_result_name(enum reload_result result);

void stats_text_set(struct stats_text *text, const char *value);

/* Copies it out, always NUL-terminated.  False, and "": it was being written all along.
 */
bool stats_text_get(const struct stats_text *text, char value[STATS_TEXT_MAX]);

/* How many of the processes can be read; never more than there is room for. */
size_t stats_master_process_count(const struct stats_master *stats);

/* The system's clock, for people. */
uint64_t stats_wall_ms(void);

#endif
