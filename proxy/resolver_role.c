#include "proxy/resolver_role.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/control.h"
#include "proxy/resolved.h"

enum { STACK_BYTES = 256 * 1024 };

struct resolver_process {
    struct event_base *base; /* borrowed */
};

/* One name being looked up.  The system's resolver knows no other way to do several at
 * once than threads; this one shares nothing with the rest and sends its answer itself,
 * in one message. */
struct resolver_query {
    uint32_t id;
    char host[ADDRESS_TEXT_MAX];
};

static void *resolver_role_look_up(void *argument);
static void resolver_role_answer(const struct resolver_query *query, bool found,
                                 const struct resolved *resolved, const char *cause);

static void *resolver_role_open(struct event_base *base, struct error *error)
{
    struct resolver_process *process = calloc(1, sizeof(*process));

    if (process)
        process->base = base;
    else
        (void)error_set(error, "out of memory");
    return process;
}

/* The master says what to ask; the configuration is not needed for it. */
static void resolver_role_prepare(void *self, struct config *config,
                                  const struct bundle *bundle, const struct bundle *keys,
                                  struct report *report)
{
    (void)self;
    (void)bundle;
    (void)keys;
    (void)report;
    config_free(config);
}

static void resolver_role_commit(void *self, uint32_t generation)
{
    (void)self;
    (void)generation;
}

static void resolver_role_abort(void *self)
{
    (void)self;
}

static void resolver_role_take_query(void *self, uint32_t id, const char *host)
{
    struct resolver_query *query = calloc(1, sizeof(*query));
    const struct resolver_query unasked = {.id = id};
    pthread_attr_t attributes;
    pthread_t thread;

    (void)self;
    if (query && pthread_attr_init(&attributes) == 0) {
        query->id = id;
        (void)snprintf(query->host, sizeof(query->host), "%s", host);
        (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
        (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        int failed = pthread_create(&thread, &attributes, resolver_role_look_up, query);
        (void)pthread_attr_destroy(&attributes);
        if (failed == 0)
            return;
    }
    free(query);
    resolver_role_answer(&unasked, false, NULL, "there is no room for another query");
}

static void *resolver_role_look_up(void *argument)
{
    struct resolver_query *query = argument;
    struct resolved resolved;
    struct error error;

    bool found = resolved_look_up(query->host, &resolved, &error);
    resolver_role_answer(query, found, &resolved, error.text);
    free(query);
    return NULL;
}

/* The master notices if it does not come. */
static void resolver_role_answer(const struct resolver_query *query, bool found,
                                 const struct resolved *resolved, const char *cause)
{
    struct control_message message = {.type = CONTROL_RESOLVED};

    message.number[RESOLVED_QUERY] = query->id;
    message.number[RESOLVED_FOUND] = found;
    if (found)
        memcpy(message.text, resolved, sizeof(*resolved));
    else
        (void)snprintf(message.text, sizeof(message.text), "%s", cause);
    (void)!control_send(ROLE_CONTROL_FD, &message, NULL, NULL);
}

static void resolver_role_drain(void *self)
{
    const struct resolver_process *process = self;

    event_base_loopexit(process->base, NULL);
}

static void resolver_role_close(void *self)
{
    free(self);
}

const struct role resolver_role = {
    .name = "resolver",
    .open = resolver_role_open,
    .prepare = resolver_role_prepare,
    .commit = resolver_role_commit,
    .abort = resolver_role_abort,
    .take_query = resolver_role_take_query,
    .drain = resolver_role_drain,
    .close = resolver_role_close,
};
