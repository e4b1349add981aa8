#include "proxy/keyholder_role.h"

#include <stdlib.h>

#include "certs/keyholder.h"

/* How often a keyholder without a master looks whether its worker is gone, too. */
static const struct timeval IDLE_CHECK = {.tv_usec = 200000};

struct keyholder_process {
    struct event_base *base;     /* borrowed */
    struct keyholder *keyholder; /* owned */
    struct event *idle_check;    /* owned */
};

static void keyholder_role_close(void *self);
static void keyholder_role_on_idle_check(evutil_socket_t fd, short what, void *argument);

static void *keyholder_role_open(struct event_base *base, struct error *error)
{
    struct keyholder_process *process = calloc(1, sizeof(*process));

    if (process) {
        process->base = base;
        process->idle_check =
            event_new(base, -1, EV_PERSIST, keyholder_role_on_idle_check, process);
    }
    if (!process || !process->idle_check) {
        (void)error_set(error, "out of memory");
        free(process);
        return NULL;
    }
    process->keyholder = keyholder_new(base, error);
    if (process->keyholder)
        return process;
    keyholder_role_close(process);
    return NULL;
}

static void keyholder_role_prepare(void *self, struct config *config,
                                   const struct bundle *bundle, const struct bundle *keys,
                                   struct report *report)
{
    const struct keyholder_process *process = self;

    if (keys)
        (void)keyholder_prepare(process->keyholder, config, bundle, keys, report);
    else
        report_add(report, REPORT_ERROR, config->file, 0, "no keys came with it");
    config_free(config);
}

static const struct cert_set *keyholder_role_served(const void *self)
{
    const struct keyholder_process *process = self;

    return keyholder_served(process->keyholder);
}

static void keyholder_role_commit(void *self, uint32_t generation)
{
    const struct keyholder_process *process = self;

    (void)generation;
    keyholder_commit(process->keyholder);
}

static void keyholder_role_abort(void *self)
{
    const struct keyholder_process *process = self;

    keyholder_abort(process->keyholder);
}

static void keyholder_role_take_channel(void *self, int fd)
{
    const struct keyholder_process *process = self;

    keyholder_set_channel(process->keyholder, fd);
}

/* Signs on until its worker has finished. */
static void keyholder_role_drain(void *self)
{
    const struct keyholder_process *process = self;

    event_add(process->idle_check, &IDLE_CHECK);
}

static void keyholder_role_close(void *self)
{
    struct keyholder_process *process = self;

    keyholder_free(process->keyholder);
    event_free(process->idle_check);
    free(process);
}

static void keyholder_role_on_idle_check(evutil_socket_t fd, short what, void *argument)
{
    const struct keyholder_process *process = argument;

    (void)fd;
    (void)what;
    if (keyholder_is_idle(process->keyholder))
        event_base_loopexit(process->base, NULL);
}

const struct role keyholder_role = {
    .name = "keyholder",
    .open = keyholder_role_open,
    .prepare = keyholder_role_prepare,
    .served = keyholder_role_served,
    .commit = keyholder_role_commit,
    .abort = keyholder_role_abort,
    .take_channel = keyholder_role_take_channel,
    .drain = keyholder_role_drain,
    .close = keyholder_role_close,
};
