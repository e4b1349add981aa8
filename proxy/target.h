/*
 * One address of one backend as a worker knows it: who is connected there, when it failed
 * last, what checks say.  A pool owns it; sessions that use it keep it alive when the
 * pool has given it up.
 */
#ifndef PROXY_TARGET_H
#define PROXY_TARGET_H

#include <stdint.h>

#include "config/value.h"

struct pool;
struct probe;

enum target_health {
    TARGET_UNKNOWN, /* nobody has asked, or had an answer */
    TARGET_UP,
    TARGET_DOWN
};

struct target {
    unsigned references;
    struct address address;
    struct pool *pool;    /* borrowed; NULL: it belongs to none any more */
    struct probe *probe;  /* owned; NULL: it is not checked */
    bool is_configured;   /* its address stands in the configuration */
    bool is_resolved;     /* it comes from a name */
    unsigned sessions;    /* that use it or are connecting to it */
    unsigned attempts;    /* of these, connecting */
    unsigned failures;    /* in a row, those during its rest not counted */
    uint64_t rest_end_ms; /* until when it is tried last */
    enum target_health health;
    unsigned good_checks; /* in a row */
    unsigned bad_checks;
};

/* How good a choice a target is for a session; the smaller the better. */
enum target_rank {
    TARGET_FIT,
    TARGET_RESTING, /* it failed, or somebody is just finding out whether it still does */
    TARGET_LAST_HOPE /* checks call it down */
};

/* One reference is the caller's; NULL without memory. */
struct target *target_new(const struct address *address);

struct target *target_keep(struct target *target);

/* NULL is allowed. */
void target_release(struct target *target);

enum target_rank target_rank(const struct target *target, uint64_t now_ms);

/* A session begins to connect, and then has done so, has failed to, or has given up
 * before either; one that is connected leaves. */
void target_begin(struct target *target);
void target_connected(struct target *target);
void target_failed(struct target *target, uint64_t now_ms, uint64_t longest_rest_ms);
void target_give_up(struct target *target);
void target_leave(struct target *target);

/* Counts the outcome of a check; returns whether the health is another now. */
bool target_checked(struct target *target, bool good, uint64_t rise, uint64_t fall);

/* Nobody checks it any more. */
void target_forget_checks(struct target *target);

#endif
