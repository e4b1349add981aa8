/*
 * A listening socket in a worker.  The socket itself is bound and kept by the master, so
 * that its queue outlives the worker.
 */
#ifndef PROXY_LISTENER_H
#define PROXY_LISTENER_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/queue.h>

#include "config/config.h"

struct worker;

struct listener {
    SLIST_ENTRY(listener) link;
    struct worker *worker;                /* borrowed */
    const struct config_listener *config; /* borrowed from the worker's current snapshot;
                                             NULL until committed */
    struct event event;
    int fd; /* owned */
    char address[ADDRESS_TEXT_MAX];
};

SLIST_HEAD(listener_list, listener);

/* Takes the socket into the list, not accepting yet. */
void listener_add(struct worker *worker, const char *address, int fd);

struct listener *listener_find(const struct worker *worker, const char *address);

/* Before a new configuration is current: sockets it does not name are accepted empty, for
 * the current one, and closed. */
void listener_retire_all(struct worker *worker, const struct config *next_config);

/* After it is current: the sockets accept for it. */
void listener_adopt_all(struct worker *worker);

/* Drops the sockets that came with a configuration that was not committed. */
void listener_abort_all(struct worker *worker);

/* Accepts every queue empty, then closes the sockets. */
void listener_drain_all(struct worker *worker);

/* Begins and ends a pause. */
void listener_pause_all(struct worker *worker);
void listener_resume_all(struct worker *worker);

void listener_close_all(struct worker *worker);

#endif
