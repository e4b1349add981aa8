/*
 * The worker: one event loop that accepts, terminates TLS and relays.  It holds public
 * certificates only; signatures come from its keyholder.  Owns its sessions, the
 * listening sockets it was given, and the scratch buffers they all share.
 */
#ifndef PROXY_WORKER_H
#define PROXY_WORKER_H

#include <event2/event.h>
#include <stdint.h>

#include "certs/keyholder_client.h"
#include "certs/ticket_keys.h"
#include "proxy/alarm.h"
#include "proxy/listener.h"
#include "proxy/role.h"
#include "proxy/session.h"
#include "proxy/stats.h"

struct worker {
    struct event_base *base;            /* borrowed */
    struct scratch *scratch;            /* owned */
    struct stats_worker *stats;         /* owned mapping; there before any session */
    struct keyholder_client *keyholder; /* owned */
    struct ticket_keys *tickets;        /* owned */
    struct alarm *tickets_end;          /* owned; when the next ticket key is wiped */
    struct alarm *residue_due;          /* owned; when residue is wiped next */
    struct pool_set pools;              /* owned */
    struct snapshot *current;           /* counted; NULL before the first commit */
    struct snapshot *prepared;          /* counted; between prepare and commit */
    struct listener_list listeners;     /* owned */
    struct session_list sessions;       /* owned */
    size_t session_count;
    size_t session_max; /* that the limit of descriptors allows, with some to spare */
    struct event *accept_resume; /* owned; ends a pause of accepting */
    struct event *drain_timer;   /* owned */
    uint64_t now_ms;             /* monotonic, of the event being handled */
    uint64_t pause_logged_ms;    /* when a pause of accepting was logged last */
    bool accept_paused;
    bool draining;
};

/* The calls of this role. */
extern const struct role worker_role;

/* Reads the clock for the event that begins. */
void worker_tick(struct worker *worker);

/* Stops accepting for a moment: descriptors or memory have run out. */
void worker_pause_accepting(struct worker *worker, const char *cause);

/* Called when a session has left the list. */
void worker_on_session_closed(struct worker *worker);

#endif
