/*
 * The master's list of host names: when each is asked about, what it stood for last, and
 * whether that still works.  An answer that does not come or is no good keeps the one
 * before.  Whom to ask and whom to tell is the caller's business.
 */
#ifndef PROXY_RESOLVER_H
#define PROXY_RESOLVER_H

#include <event2/event.h>

#include "config/config.h"
#include "proxy/resolved.h"

enum {
    RESOLVER_PATIENCE_MS = 5000, /* for an answer; a later one is welcome all the same */
    RESOLVER_HANG_MS = 60000     /* with none at all: whoever was asked is stuck */
};

struct resolver;

struct resolver_events {
    /* Have `host` looked up; false: not now. */
    bool (*ask)(void *argument, uint32_t id, const char *host);
    /* A name has new addresses. */
    void (*on_change)(void *argument);
    /* No name is waited for any more: see resolver_is_waiting. */
    void (*on_settled)(void *argument);
    void (*on_hang)(void *argument);
};

struct resolver *resolver_new(struct event_base *base,
                              const struct resolver_events *events, void *argument,
                              struct error *error) MUST_CHECK;

/* NULL is allowed. */
void resolver_free(struct resolver *resolver);

/* Whether a backend of it has a name. */
bool resolver_is_needed(const struct config *config);

/* Asks about the names of `next` that are not known yet.  Findings (no memory) go to the
 * report. */
void resolver_prepare(struct resolver *resolver, const struct config *next,
                      struct report *report);

/* Whether the first answer about one of them is still to come. */
bool resolver_is_waiting(const struct resolver *resolver);

/* Reports which names of `next` cannot be served with. */
void resolver_judge(const struct resolver *resolver, const struct config *next,
                    struct report *report);

/* `next` is in service, or is not to be (then `current` still is; NULL: none): names that
 * it does not have are forgotten. */
void resolver_settle(struct resolver *resolver, const struct config *current);

/* The answer to the query `id`: `resolved` (valid, not yet normal), or NULL and why. */
void resolver_answer(struct resolver *resolver, uint32_t id,
                     const struct resolved *resolved, const char *cause);

/* Whoever was asked has died: ask again. */
void resolver_ask_again(struct resolver *resolver);

/* All that the names of `backend` stand for now, with its ports.  False: it has none. */
bool resolver_collect(const struct resolver *resolver,
                      const struct config_backend *backend, struct resolved *all);

/* The sentences about a name that cannot be served with, for whoever looks it up. */
void resolver_report_failure(const struct config *config,
                             const struct config_backend *backend,
                             const struct address *address, const char *cause,
                             struct report *report);
void resolver_report_remote(const struct config *config,
                            const struct config_backend *backend,
                            const struct address *address, const char *example,
                            struct report *report);

#endif
