/*
 * The life of a role's process, the same for all: the first message brings its identity,
 * the sandbox closes, then messages from the master are turned into calls.  Ends when
 * told to, or drains when the master is gone.
 */
#ifndef PROXY_ROLE_H
#define PROXY_ROLE_H

#include <event2/event.h>
#include <stdint.h>

#include "certs/ticket_keys.h"
#include "config/bundle.h"
#include "config/config.h"
#include "proxy/error.h"
#include "proxy/resolved.h"

/* The descriptor at which a role finds its control socket. */
enum { ROLE_CONTROL_FD = 3 };

/* What one kind of role does.  `self` is what `open` returned.  NULL calls: the role has
 * no use for the message, and gets none. */
struct role {
    const char *name;
    bool counts; /* each process of it writes a page of counters */
    void *(*open)(struct event_base *base, struct error *error);
    /* Builds everything for `config` (taken) aside; findings to the report. */
    void (*prepare)(void *self, struct config *config, const struct bundle *bundle,
                    const struct bundle *keys, struct report *report);
    /* The certificates that what was prepared can serve; NULL: nothing was prepared. */
    const struct cert_set *(*served)(const void *self);
    void (*commit)(void *self, uint32_t generation);
    void (*abort)(void *self);
    void (*take_listener)(void *self, const char *address, int fd);
    void (*take_channel)(void *self, int fd);
    /* `page`: the number of the worker that writes it, or STATS_PAGE_MASTER. */
    void (*take_stats)(void *self, unsigned page, int fd);
    void (*take_tickets)(void *self, const struct ticket_ring *ring);
    void (*take_query)(void *self, uint32_t id, const char *host);
    void (*take_addresses)(void *self, const struct resolved *resolved);
    /* Writes records of at most `room` sessions to the page behind `fd` (closed) and says
     * how many these are, and how many there are in all. */
    void (*list_sessions)(void *self, int fd, uint32_t room, uint32_t counts[2]);
    /* Finish and call event_base_loopexit when done. */
    void (*drain)(void *self);
    void (*close)(void *self);
};

/* Runs until the role has ended; returns the exit code. */
int role_run(const struct role *role, unsigned index);

#endif
