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

#include "config/config.h"
#include "proxy/error.h"
#include "proxy/hello.h"
#include "proxy/reason.h"

enum {
    STATS_STATES = 6, /* of a session */
    STATS_VERSIONS = TLS_1_3 + 1,
    STATS_BUCKETS = 16,
    /* To be raised when a place in a page gets another meaning: an upgrade carries the
     * counters on only where this is the same. */
    STATS_LAYOUT = 1
};

/* Bucket i counts what took at most 2^(i + 6) microseconds (64 us to about 1 s), the last
 * everything; each event is in one bucket. */
struct stats_histogram {
    uint64_t buckets[STATS_BUCKETS];
    uint64_t sum_us;
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
    /* gauges */
    uint64_t generation; /* being served */
    uint64_t sessions[STATS_STATES];
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

/* To be called once by a worker that begins with a page. */
void stats_worker_begin(struct stats_worker *stats);

void stats_histogram_add(struct stats_histogram *histogram, uint64_t microseconds);

#endif
