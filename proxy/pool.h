/*
 * The targets of one backend, by its name, in one worker.  A pool outlives snapshots: a
 * reload keeps the counts, the memory and the health of every address that stays, and
 * sessions that wait for the backend see it change.  Snapshots count the pools of their
 * backends; a pool that none has is gone.
 */
#ifndef PROXY_POOL_H
#define PROXY_POOL_H

#include <event2/event.h>
#include <stdint.h>
#include <sys/queue.h>

#include "config/config.h"
#include "proxy/probe.h"
#include "proxy/stats.h"
#include "proxy/target.h"

enum { POOL_TARGETS_MAX = 32 };

struct pool {
    LIST_ENTRY(pool) link;
    struct pool_set *set; /* borrowed */
    unsigned references;
    char name[CONFIG_NAME_MAX]; /* of the backend */
    enum balance balance;
    uint64_t rest_ms;
    struct probe_plan plan;
    struct target *targets[POOL_TARGETS_MAX]; /* counted */
    unsigned target_count;
    unsigned next;               /* where the next search begins */
    uint8_t version;             /* of the list of targets */
    struct stats_backend *stats; /* borrowed; never NULL */
};

LIST_HEAD(pool_list, pool);

/* All pools of a worker. */
struct pool_set {
    struct event_base *base; /* borrowed */
    struct pool_list pools;
    struct stats_worker *stats; /* borrowed; NULL: nothing is counted yet */
    struct stats_backend uncounted;
    bool speaks; /* it logs what goes down and comes up: one worker's word is enough */
};

/* Which targets one session has tried in this round. */
struct pool_tried {
    uint32_t set; /* by place */
    uint8_t version;
};

void pool_set_init(struct pool_set *set, struct event_base *base);

/* The pool of each backend of `config`, counted, in their order; NULL without memory.
 * Nothing changes for pools that are there already. */
struct pool **pool_set_take(struct pool_set *set, const struct config *config);

/* Gives them back; NULL is allowed. */
void pool_set_give_back(struct pool **pools, size_t count);

/* From now on backends are as `config` has them.  What it does not have is left as it is,
 * but checked no more. */
void pool_set_follow(struct pool_set *set, const struct config *config);

/* The addresses that the names of a backend have now, at most POOL_TARGETS_MAX. */
void pool_set_resolved(struct pool_set *set, const char *name,
                       const struct address *addresses, size_t count);

/* The target that a session should try next, of those it has not tried; NULL: there is
 * none.  It is noted as tried. */
struct target *pool_pick(struct pool *pool, struct pool_tried *tried, uint64_t now_ms);

#endif
