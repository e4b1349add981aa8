/*
 * The active check of one address: it connects, says what the plan says, and waits for
 * the answer, again and again, one at a time.  Plaintext, as all that Pawl says to
 * backends.
 */
#ifndef PROXY_PROBE_H
#define PROXY_PROBE_H

#include <event2/event.h>
#include <stdint.h>

#include "config/config.h"
#include "proxy/proxy_protocol.h"

/* What is asked of every address of a backend. */
struct probe_plan {
    uint8_t words[PROXY_OWN_MAX + BYTE_TEXT_MAX]; /* that are sent after connecting */
    size_t word_count;                            /* of them, bytes */
    struct config_check check;
};

/* Called with the outcome of each check; `cause` says why it is bad. */
typedef void probe_on_result(void *argument, bool good, const char *cause);

struct probe_context {
    struct event_base *base;       /* borrowed */
    const struct address *address; /* borrowed */
    const struct probe_plan *plan; /* borrowed */
    probe_on_result *on_result;
    void *argument;
};

void probe_plan_make(struct probe_plan *plan, const struct config_check *check,
                     enum send_proxy send_proxy);

/* Begins; the first check comes at some moment within the interval, so that the checks of
 * many workers do not come together.  NULL without memory. */
struct probe *probe_new(const struct probe_context *context);

/* NULL is allowed. */
void probe_free(struct probe *probe);

#endif
