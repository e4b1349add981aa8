#include "proxy/demo_role.h"

#include <stdlib.h>

#include "proxy/demo.h"
#include "proxy/log.h"

struct demo_process {
    struct event_base *base; /* borrowed */
    struct demo *demo;       /* owned; NULL until its socket has come */
};

static void *demo_role_open(struct event_base *base, struct error *error)
{
    struct demo_process *process = calloc(1, sizeof(*process));

    if (process)
        process->base = base;
    else
        (void)error_set(error, "out of memory");
    return process;
}

/* The demo app has nothing to configure. */
static void demo_role_prepare(void *self, struct config *config,
                              const struct bundle *bundle, const struct bundle *keys,
                              struct report *report)
{
    (void)self;
    (void)bundle;
    (void)keys;
    (void)report;
    config_free(config);
}

static void demo_role_commit(void *self, uint32_t generation)
{
    (void)self;
    (void)generation;
}

static void demo_role_abort(void *self)
{
    (void)self;
}

static void demo_role_take_listener(void *self, const char *address, int fd)
{
    struct demo_process *process = self;
    struct error error;

    (void)address;
    demo_free(process->demo);
    process->demo = demo_new(process->base, fd, &error);
    if (!process->demo)
        log_error("%s", error.text);
}

static void demo_role_drain(void *self)
{
    const struct demo_process *process = self;

    event_base_loopexit(process->base, NULL);
}

static void demo_role_close(void *self)
{
    struct demo_process *process = self;

    demo_free(process->demo);
    free(process);
}

const struct role demo_role = {
    .name = "demo-app",
    .open = demo_role_open,
    .prepare = demo_role_prepare,
    .commit = demo_role_commit,
    .abort = demo_role_abort,
    .take_listener = demo_role_take_listener,
    .drain = demo_role_drain,
    .close = demo_role_close,
};
