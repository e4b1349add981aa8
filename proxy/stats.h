/*
 * What is counted.  Every worker and the master write a page of their own, in memory that
 * the master and the admin process map as well, to read only: counting is an addition to
 * memory, and nobody is asked for figures.  Counters only grow and outlive the process
 * that wrote them, since its replacement goes on with the same page; gauges are of the
 * process that runs.  stats_table.c names each figure.
 *
 * A page has one writer.  Its readers believe nothing but that the numbers are numbers.
 */
#ifndef PROXY_STATS_H
#define PROXY_STATS_H

#include <stddef.h>
#include <stdint.h>

#include "certs/keyholder_client.h"
#include "certs/ticket_keys.h"
#include "config/config.h"
#include "config/histogram.h"
#include "proxy/error.h"
#include "proxy/hello.h"
#include "proxy/limits.h"
#include "proxy/reason.h"
#include "proxy/session_state.h"

enum {
    STATS_VERSIONS = TLS_1_3 + 1,
    STATS_BACKENDS = 256,
    /* To be raised when a place in a page gets another meaning: an upgrade carries the
     * counters on only where this is the same. */
    STATS_LAYOUT = 1
};

/* The number of the master's page; those of workers have theirs. */
#define STATS_PAGE_MASTER UINT32_MAX

/* One backend as one worker has found it, by the name of its section: it stays through
 * every reload.  What finds no free place is counted in the last, whose name is "". */
struct stats_backend {
    char name[CONFIG_NAME_MAX];
    /* counters */
    uint64_t connected;
    uint64_t failed;  /* attempts */
    uint64_t retries; /* rounds through all addresses after the first */
    /* gauges */
    uint64_t down; /* 1: known not to answer; 0: it does, or nobody has looked */
    uint64_t addresses;
    uint64_t addresses_down; /* of these, by their checks */
};

struct stats_worker {
    /* counters */
    uint64_t accepted;
    uint64_t accept_pauses;
    uint64_t handshakes[STATS_VERSIONS][GROUP_COUNT][CIPHER_COUNT][2]; /* [resumed] */
    uint64_t handshakes_failed[SESSION_REASONS];
    uint64_t hellos_refused[HELLO_REFUSALS]; /* which of them for this */
    uint64_t sessions_ended[SESSION_REASONS];
    uint64_t bytes_in;  /* plaintext from clients */
    uint64_t bytes_out; /* plaintext to clients */
    uint64_t rekeys;    /* of a connection, by us */
    struct ticket_counts tickets;
    struct sign_counts signatures;
    struct histogram handshake_us; /* from accept to the end of a good one */
    struct histogram connect_us;   /* of one attempt that succeeded */
    struct histogram session_ms;   /* from accept to close, of established ones */
    struct stats_backend backends[STATS_BACKENDS];
    struct limits_counts limits;
    /* gauges */
    uint64_t generation; /* being served */
    uint64_t sessions[SESSION_STATES];
};

/* The descriptor (close-on-exec, owned by the caller) of a page of `size` zeroed bytes,
 * which can never be of another size; -1 on failure. */
int stats_page_new(const char *title, size_t size, struct error *error) MUST_CHECK;

/* Maps the page of `size` bytes behind `fd`; NULL if it is none.  `fd` stays the caller's
 * and is not needed any more. */
void *stats_page_map(int fd, size_t size, bool writable, struct error *error) MUST_CHECK;

/* NULL is allowed. */
void stats_page_unmap(const void *page, size_t size);

/* A descriptor of the same page through which nothing can be written; -1 on failure. */
int stats_page_read_only(int fd, struct error *error) MUST_CHECK;

/* To be called once by a worker that begins with a page: gauges start at nothing. */
void stats_worker_begin(struct stats_worker *stats);

/* The place of the backend called `name`, found or taken; never NULL. */
struct stats_backend *stats_backend_of(struct stats_worker *stats, const char *name);

/* One number that another process may be writing. */
static inline uint64_t stats_read(const uint64_t *number)
{
    return __atomic_load_n(number, __ATOMIC_RELAXED);
}

/* A precise clock that never jumps, for what is rare enough to be worth reading it. */
uint64_t stats_clock_us(void);

#endif
