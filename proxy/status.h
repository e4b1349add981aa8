/*
 * How Pawl is doing, at one moment: all that /status, /metrics, `pawl status` and the
 * page for people are made of.  Nothing in it is owned; whoever has the parts (the admin
 * process, the master) puts them together.
 */
#ifndef PROXY_STATUS_H
#define PROXY_STATUS_H

#include <stdint.h>
#include <stdio.h>

#include "config/config.h"
#include "proxy/stats.h"
#include "proxy/stats_master.h"

/* What is known of one certificate of the configuration; see status_facts.h. */
struct status_certificate {
    const char *section;
    const char *const *names; /* that it is valid for, lower case */
    size_t name_count;
    const char *key_type; /* in words; NULL: it could not be read */
    uint64_t served;      /* 0: left out, because it could not be served */
    uint64_t not_before_ms;
    uint64_t not_after_ms; /* since 1970; 0: it could not be read */
};

struct status {
    const struct config *config; /* in service */
    const struct status_certificate *certificates;
    size_t certificate_count;
    const struct stats_master *master;
    const struct stats_worker *const *workers; /* pages; none is NULL */
    size_t worker_count;
    uint64_t wall_ms;   /* stats_wall_ms and */
    uint64_t ticket_ms; /* ticket_clock_ms at that moment */
};

/* Sets the clocks. */
void status_now(struct status *status);

/* Whether new clients can be served; if not, `why` says it in words. */
bool status_is_ready(const struct status *status, struct error *why);

/* Whole days until it expires, rounded down: negative once it has. */
int64_t status_days_left(const struct status *status,
                         const struct status_certificate *certificate);

/* One backend as all workers together see it: sums of its figures.  False: none of them
 * has heard of it. */
bool status_backend(const struct status *status, const char *name,
                    struct stats_backend *sums);

/* Writes the whole of it as one JSON object and a line end.  Everything in seconds. */
void status_write_json(FILE *out, const struct status *status);

#endif
