/*
 * One client's connection from accept to close, in a worker:
 *
 *   (PROXY ->) HELLO -> HANDSHAKE -> CONNECT -> RELAY -> LINGER -> closed
 *
 * session_on_event is the only way in.  It runs the state's step, which says what follows
 * and never frees, never changes state and never touches events.
 */
#ifndef PROXY_SESSION_H
#define PROXY_SESSION_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "proxy/hello.h"
#include "proxy/pool.h"
#include "proxy/reason.h"
#include "proxy/session_state.h"
#include "proxy/snapshot.h"
#include "proxy/stream.h"

struct worker;
struct sign_job;
struct client;
struct origin;

/* What a step is run for; a set. */
enum session_event {
    SESSION_ENTERED = 1 << 0, /* first run in this state */
    SESSION_CLIENT_READABLE = 1 << 1,
    SESSION_CLIENT_WRITABLE = 1 << 2,
    SESSION_BACKEND_READABLE = 1 << 3,
    SESSION_BACKEND_WRITABLE = 1 << 4,
    SESSION_SIGNED = 1 << 5,
    SESSION_TIMEOUT = 1 << 6, /* the state's deadline has come */
};

enum session_step {
    STEP_WAIT,
    STEP_NEXT, /* go on with the next state */
    STEP_END,  /* go to LINGER; `reason` is set */
    STEP_CLOSE /* close at once; `reason` is set */
};

/* A peer's address in the least space. */
struct session_peer {
    uint8_t address[16];
    uint16_t port; /* network order */
    uint16_t family;
};

/* How far the search for a backend has come. */
struct session_connect {
    uint64_t started_ms;
    uint32_t backoff_ms;
    struct pool_tried tried; /* in this round */
    bool connecting;
    bool in_use;    /* the target counts this session */
    bool timed_out; /* the last failure was a time-out */
};

struct session {
    TAILQ_ENTRY(session) link;
    struct worker *worker;                  /* borrowed */
    struct snapshot *snapshot;              /* counted */
    const struct config_listener *listener; /* borrowed from the snapshot */
    const struct config_route
        *route; /* borrowed from the snapshot; NULL: the listener itself, or none yet */
    const struct config_backend *target; /* borrowed; by route; NULL: none yet */
    const struct certificate
        *certificate; /* borrowed from the snapshot; NULL: none yet */
    const char *alpn; /* borrowed; the protocol in use, NULL: none was negotiated */
    const struct address *backend_address; /* borrowed from `reached`; NULL: none yet */
    struct target *reached;    /* counted; tried last, or in use; NULL: none yet */
    struct sign_job *sign_job; /* owned; during HANDSHAKE */
    struct origin *origin;     /* owned; NULL: no balancer has named the client */
    struct client *identity;   /* owned; NULL: no client certificate is asked for */
    char *id;                  /* owned; by which the backend knows it; NULL: none */
    char *sni;                 /* owned; NULL: none */
    char *detail;              /* owned; words for the log, or NULL */

    struct stream client;
    struct stream backend;
    struct event client_event;
    struct event backend_event;
    struct event timer;

    uint64_t phase_us; /* of stats_clock_us: accept, then the last attempt to connect */
    uint64_t started_ms;
    uint64_t active_ms;    /* last byte in either direction */
    uint64_t rekeyed_ms;   /* end of the handshake, or the last KeyUpdate of ours */
    uint64_t deadline_ms;  /* of CONNECT and LINGER */
    uint64_t timer_due_ms; /* when the timer fires; UINT64_MAX: not armed */
    uint64_t bytes_in;     /* plaintext from the client */
    uint64_t bytes_out;    /* plaintext to the client */

    struct session_peer peer;
    struct hello_scan scan;
    struct session_connect connect;
    uint32_t source; /* in the worker's limits; 0: it has none */
    enum session_state state;
    enum session_state ended_in; /* the state in which `reason` arose */
    enum session_reason reason;
    enum hello_refusal refusal;
};

/* The oldest first. */
TAILQ_HEAD(session_list, session);

/* Begins a session on an accepted socket (taken) and runs it at once: with
 * TCP_DEFER_ACCEPT the ClientHello is there already.  `source` is of the worker's limits,
 * which have let it in. */
void session_start(struct worker *worker, const struct config_listener *listener, int fd,
                   const struct sockaddr *peer, uint32_t source);

/* The only entry; `events` is a set of enum session_event. */
void session_on_event(struct session *session, unsigned events);

/* Ends the session gracefully because the worker drains. */
void session_drain(struct session *session);

/* The only destructor; writes the session's one log line. */
void session_close(struct session *session);

/* For steps: notes why, and in words (may be NULL), and returns `step`. */
enum session_step session_end(struct session *session, enum session_step step,
                              enum session_reason reason, const char *format, ...)
    PRINTF_LIKE(4, 5);

/* For steps: gives up the backend's socket, so that another may be opened. */
void session_drop_backend(struct session *session);

/* For steps: the backend's target counts this session no more. */
void session_leave_target(struct session *session);

enum { SESSION_PEER_TEXT_MAX = 62 };

/* Address and port as people write them, into `text` of that size. */
const char *session_peer_text(const struct session_peer *peer, char *text);

/* For steps: notes who the client is. */
void session_set_peer(struct session *session, const struct sockaddr *peer);

/* For steps: the client's stream has failed, and its fields say how. */
static inline enum session_step session_client_failed(struct session *session)
{
    const struct stream *client = &session->client;

    if (client->flooded)
        return session_end(session, STEP_END, REASON_FLOOD, "%s", STREAM_FLOOD_WORDS);
    if (client->error > 0)
        return session_end(session, STEP_CLOSE, REASON_CLIENT_RESET, "%s",
                           stream_error_text(client));
    return session_end(session, STEP_END, REASON_TLS_ERROR, "%s",
                       stream_error_text(client));
}

/* Milliseconds of a clock that never jumps, read once per event. */
uint64_t session_now(const struct session *session);

/* The steps, one for each state. */
enum session_step origin_run(struct session *session, unsigned events);
enum session_step handshake_run_hello(struct session *session, unsigned events);
enum session_step handshake_run(struct session *session, unsigned events);
enum session_step backend_run(struct session *session, unsigned events);
enum session_step relay_run(struct session *session, unsigned events);

/* Whether the client is to blame for a handshake that ended with the session's reason. */
bool handshake_blames_client(const struct session *session);

/* When RELAY next has something to do about time. */
uint64_t relay_deadline(const struct session *session);

#endif
