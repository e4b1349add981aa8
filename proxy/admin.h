/*
 * What the admin process answers over HTTP, by libevent's evhttp:
 *
 *   /         a page for people          /metrics  for Prometheus
 *   /status   everything, as JSON        /healthz, /readyz  for whoever starts and routes
 *
 * It only ever says something: there is nothing that a request could change.
 */
#ifndef PROXY_ADMIN_H
#define PROXY_ADMIN_H

#include <event2/event.h>

#include "proxy/error.h"
#include "proxy/status.h"

struct admin;

/* `base` is borrowed; so is `status`, which the owner keeps up to date and whose config
 * is NULL until there is one. */
struct admin *admin_new(struct event_base *base, struct status *status,
                        struct error *error) MUST_CHECK;

/* Accepts on `fd` (taken), which is known as `address` from now on. */
void admin_listen(struct admin *admin, const char *address, int fd);

/* Whether it accepts on that address. */
bool admin_listens(const struct admin *admin, const char *address);

/* Accepts no more on what is not among `addresses`. */
void admin_retire(struct admin *admin, const struct address_list *addresses);

/* NULL is allowed. */
void admin_free(struct admin *admin);

/* What a request for `path` gets; for tests, too. */
struct admin_answer {
    int code;
    const char *type;
    char *body; /* owned by the caller */
    size_t size;
};

/* False: there is no memory. */
bool admin_answer(struct status *status, const char *path,
                  struct admin_answer *answer) MUST_CHECK;

/* Whether the Host of a request (NULL: none came) is one that only people on this machine
 * can have meant: localhost or a literal address, and no name that a page from elsewhere
 * could have pointed here. */
bool admin_host_is_local(const char *host);

#endif
