/*
 * Keeps the admin process's connections few and short.  evhttp times out what is silent,
 * but neither limits their number nor what a client may drag out byte by byte: so the
 * sockets themselves are looked at while there are any, and those older than anybody
 * needs are shut down, which evhttp sees as their end.
 */
#ifndef PROXY_ADMIN_GUARD_H
#define PROXY_ADMIN_GUARD_H

#include <event2/event.h>
#include <event2/listener.h>

#include "proxy/error.h"

enum { ADMIN_CONNECTIONS = 64, ADMIN_CONNECTION_S = 10 };

struct admin_guard;

/* `base` is borrowed. */
struct admin_guard *admin_guard_new(struct event_base *base,
                                    struct error *error) MUST_CHECK;

/* A connection is being accepted. */
void admin_guard_note(struct admin_guard *guard);

/* Whether no more should be accepted for now; `on_room(argument)` says when again. */
bool admin_guard_is_full(const struct admin_guard *guard);
void admin_guard_on_room(struct admin_guard *guard, void (*on_room)(void *argument),
                         void *argument);

/* NULL is allowed. */
void admin_guard_free(struct admin_guard *guard);

#endif
