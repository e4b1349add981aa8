/*
 * What a client gets, by the listener it came to, the name it asks for and the protocols
 * it offers: decided from its ClientHello, before any TLS object exists.  The name goes
 * first: of the routes for it (exact, then one-label wildcard, then those without names;
 * a listener's own before those of all listeners) only the closest set counts, and
 * offering other protocols never leads to a set that is less close.
 */
#ifndef PROXY_ROUTE_H
#define PROXY_ROUTE_H

#include "config/config.h"
#include "proxy/hello.h"

/* Borrows from the configuration; what the route leaves out is the listener's. */
struct route {
    const struct config_route *section; /* NULL: the listener itself */
    const struct config_backend *backend;
    const struct config_clients *clients; /* NULL: no client certificate is asked for */
    const struct text_list *certificates; /* names to choose from; empty: all */
    const char *protocol;                 /* negotiated by ALPN; NULL: none */
};

enum route_result {
    ROUTE_FOUND,
    ROUTE_NO_NAME,    /* nobody serves that name here */
    ROUTE_NO_PROTOCOL /* the client offers only protocols that are not spoken */
};

/* The routes of one configuration, sorted. */
struct route_table;

/* `config` is borrowed, and has no errors.  NULL without memory. */
struct route_table *route_table_new(const struct config *config) MUST_CHECK;

/* Fills `route` if one is found. */
enum route_result route_find(const struct route_table *table,
                             const struct config_listener *listener,
                             const struct hello *hello, struct route *route) MUST_CHECK;

void route_table_free(struct route_table *table);

#endif
