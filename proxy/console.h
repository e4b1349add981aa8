/*
 * The operator's side door: a unix socket in the master on which `pawl status`, `reload`
 * and the like ask (console_request.h has the protocol).  Only root and the master's own
 * user get in; a few at once, the others wait in the queue; nobody can make the master
 * wait.
 *
 *   console.c          the socket, its clients, and what becomes of them
 *   console_verbs.c    one function for each request
 *   console_status.c   what is said about the state of things
 *   console_socket.c   where it listens
 *   console_client.c   one connection
 */
#ifndef PROXY_CONSOLE_H
#define PROXY_CONSOLE_H

#include <event2/event.h>
#include <stdio.h>

#include "proxy/console_client.h"
#include "proxy/console_request.h"
#include "proxy/console_socket.h"
#include "proxy/listing.h"

struct config;
struct master;
struct process;
struct status_facts;

enum {
    CONSOLE_CLIENTS = 16,
    CONSOLE_WAITING_MAX = 12 /* of these, so that a status can always be had */
};

struct console {
    struct master *master;         /* borrowed */
    struct console_socket current; /* owned; the one in service */
    struct console_socket next;    /* owned; of the configuration being prepared */
    bool next_is_other;            /* than the current one, perhaps none */
    struct console_client clients[CONSOLE_CLIENTS];
    struct event *accept_event; /* owned; NULL: no socket */
    struct event *pause_timer;  /* owned; accepting goes on */
    struct event *tick;         /* owned; while somebody waits for the end */
    struct listing *listing;    /* owned; of sessions */
    struct status_facts
        *facts; /* owned; of the configuration in service; NULL: not read */
};

struct console *console_new(struct master *master, struct error *error) MUST_CHECK;

/* With a configuration in two phases: the socket it asks for is opened aside, then takes
 * the other's place or is forgotten.  Problems go to the report. */
void console_prepare(struct console *console, const struct config *config,
                     struct report *report);
void console_commit(struct console *console);
void console_abort(struct console *console);

/* To be told by reload.c, of those that were asked for. */
void console_on_reload_begun(struct console *console);
void console_on_reload_ended(struct console *console, const struct report *report,
                             bool refused);

/* A worker has listed its sessions. */
void console_on_listed(struct console *console, struct process *process,
                       const struct control_message *message);

/* When another program takes this one's place in the same process: hands over (copies of)
 * the listening socket and the connections of those who wait for just this.  `keep` takes
 * the descriptor. */
void console_hand_over(struct console *console,
                       bool (*keep)(struct master *master, const char *name, int fd));

/* In that program, before its first configuration: `take` gives what was kept, or -1. */
void console_take_over(struct console *console,
                       int (*take)(struct master *master, const char *name));

/* Those who wait for the upgrade hear how it ended; `text` says why it failed. */
void console_on_upgrade_ended(struct console *console, bool ok, const char *text);

/* Those who wait for the end hear of it.  NULL is allowed. */
void console_free(struct console *console, int exit_code);

/* console_status.c: the status, and the facts for `pawl prove`. */
bool console_write_status(struct console *console, FILE *out, bool as_json, bool color,
                          struct error *error) MUST_CHECK;
bool console_write_proof(struct console *console, FILE *out,
                         struct error *error) MUST_CHECK;

/* console_verbs.c */

void console_answer(struct console *console, struct console_client *client,
                    struct console_request *request);

/* Everybody who waits for the end hears how far it is. */
void console_report_progress(struct console *console);

/* Goes on with those who wait for a listing, when none is under way. */
void console_next_listing(struct console *console);

/* The listing is complete; for struct listing. */
void console_on_listing(void *console);

#endif
