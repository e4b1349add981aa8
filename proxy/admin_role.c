#include "proxy/admin_role.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/admin.h"
#include "proxy/log.h"
#include "proxy/status_facts.h"

/* A configuration with what is known of its certificates. */
struct view {
    struct config *config;      /* owned */
    struct status_facts *facts; /* owned */
};

/* A socket that came for the configuration that is being prepared. */
struct pending_socket {
    char address[ADDRESS_TEXT_MAX];
    int fd; /* owned */
};

struct admin_process {
    struct event_base *base; /* borrowed */
    struct admin *admin;     /* owned */
    struct view current;
    struct view prepared;
    struct pending_socket pending[ADDRESS_LIST_MAX];
    size_t pending_count;
    const struct stats_master *master;                      /* owned mapping */
    const struct stats_worker *workers[CONFIG_WORKERS_MAX]; /* owned mappings */
    struct status status;
};

/* For requests that have begun; answers take milliseconds. */
static const struct timeval LAST_ANSWERS = {.tv_usec = 500000};

static void admin_role_close(void *self);
static void view_close(struct view *view);

static void *admin_role_open(struct event_base *base, struct error *error)
{
    struct admin_process *process = calloc(1, sizeof(*process));

    if (!process) {
        (void)error_set(error, "out of memory");
        return NULL;
    }
    process->base = base;
    process->status.workers = process->workers;
    process->admin = admin_new(base, &process->status, error);
    if (process->admin)
        return process;
    admin_role_close(process);
    return NULL;
}

static void admin_role_prepare(void *self, struct config *config,
                               const struct bundle *bundle, const struct bundle *keys,
                               struct report *report)
{
    struct admin_process *process = self;

    (void)keys;
    view_close(&process->prepared);
    process->prepared.config = config;
    process->prepared.facts = status_facts_new(config, bundle);
    if (!process->prepared.facts)
        report_add(report, REPORT_ERROR, NULL, 0, "admin: out of memory");
    if (!process->master)
        report_add(report, REPORT_ERROR, NULL, 0, "admin has no page of the master");
}

static void admin_role_commit(void *self, uint32_t generation)
{
    struct admin_process *process = self;

    (void)generation;
    if (!process->prepared.facts)
        return;
    view_close(&process->current);
    process->current = process->prepared;
    process->prepared = (struct view){0};
    process->status.config = process->current.config;
    status_facts_show(process->current.facts, &process->status);
    for (size_t i = 0; i < process->pending_count; i++)
        admin_listen(process->admin, process->pending[i].address, process->pending[i].fd);
    process->pending_count = 0;
    admin_retire(process->admin, &process->current.config->admin.addresses);
}

static void admin_role_abort(void *self)
{
    struct admin_process *process = self;

    view_close(&process->prepared);
    for (size_t i = 0; i < process->pending_count; i++)
        close(process->pending[i].fd);
    process->pending_count = 0;
}

static void admin_role_take_listener(void *self, const char *address, int fd)
{
    struct admin_process *process = self;

    for (size_t i = 0; i < process->pending_count; i++) {
        if (strcmp(process->pending[i].address, address) == 0) {
            close(fd);
            return;
        }
    }
    if (admin_listens(process->admin, address) ||
        process->pending_count == ADDRESS_LIST_MAX) {
        close(fd);
        return;
    }
    struct pending_socket *pending = &process->pending[process->pending_count++];
    (void)snprintf(pending->address, sizeof(pending->address), "%s", address);
    pending->fd = fd;
}

/* Pages come once, from the first worker's to the last one's. */
static void admin_role_take_stats(void *self, unsigned page, int fd)
{
    struct admin_process *process = self;
    struct status *status = &process->status;
    struct error error = {.text = "what came is no page of counters"};

    if (page == STATS_PAGE_MASTER && !process->master)
        status->master = process->master =
            stats_page_map(fd, sizeof(*process->master), false, &error);
    else if (page == status->worker_count && page < CONFIG_WORKERS_MAX &&
             (process->workers[page] =
                  stats_page_map(fd, sizeof(struct stats_worker), false, &error)) != NULL)
        status->worker_count++;
    else
        log_error("%s", error.text);
    close(fd);
}

/* Another process accepts now; who was accepted here still gets an answer. */
static void admin_role_drain(void *self)
{
    const struct admin_process *process = self;
    const struct address_list none = {.count = 0};

    admin_retire(process->admin, &none);
    event_base_loopexit(process->base, &LAST_ANSWERS);
}

static void admin_role_close(void *self)
{
    struct admin_process *process = self;

    if (!process)
        return;
    admin_role_abort(process);
    admin_free(process->admin);
    view_close(&process->current);
    for (size_t i = 0; i < process->status.worker_count; i++)
        stats_page_unmap(process->workers[i], sizeof(*process->workers[i]));
    stats_page_unmap(process->master, sizeof(*process->master));
    free(process);
}

static void view_close(struct view *view)
{
    status_facts_free(view->facts);
    config_free(view->config);
    *view = (struct view){0};
}

const struct role admin_role = {
    .name = "admin",
    .open = admin_role_open,
    .prepare = admin_role_prepare,
    .commit = admin_role_commit,
    .abort = admin_role_abort,
    .take_listener = admin_role_take_listener,
    .take_stats = admin_role_take_stats,
    .drain = admin_role_drain,
    .close = admin_role_close,
};
