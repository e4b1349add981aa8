/* The master's part of resolving names: it has the resolver asked, takes no answer on
 * trust, and tells the workers what has changed. */
#include <assert.h>
#include <string.h>

#include "proxy/log.h"
#include "proxy/master.h"
#include "proxy/resolver_role.h"
#include "proxy/worker.h"

static struct process *resolve_process(const struct master *master);
static bool resolve_ask(void *argument, uint32_t id, const char *host);
static void resolve_on_change(void *argument);
static void resolve_on_settled(void *argument);
static void resolve_on_hang(void *argument);

static const struct resolver_events EVENTS = {
    .ask = resolve_ask,
    .on_change = resolve_on_change,
    .on_settled = resolve_on_settled,
    .on_hang = resolve_on_hang,
};

bool resolve_open(struct master *master, struct error *error)
{
    master->resolver = resolver_new(master->base, &EVENTS, master, error);
    return master->resolver != NULL;
}

void resolve_send(struct master *master, struct process *worker,
                  const struct config *config)
{
    struct control_message message = {.type = CONTROL_ADDRESSES};
    struct resolved resolved;

    static_assert(sizeof(resolved) < sizeof(message.text), "the addresses fit");
    for (size_t i = 0; i < config->backend_count; i++) {
        if (!resolver_collect(master->resolver, &config->backends[i], &resolved))
            continue;
        memcpy(message.text, &resolved, sizeof(resolved));
        process_tell_message(worker, &message, NULL);
    }
}

void resolve_send_all(struct master *master, const struct config *config)
{
    for (size_t i = 0; i < master->process_count; i++) {
        struct process *process = &master->processes[i];
        if (process->role == &worker_role && process->pid > 0)
            resolve_send(master, process, config);
    }
}

bool resolve_on_message(void *argument, const struct control_message *message)
{
    struct master *master = argument;
    struct resolved resolved;

    if (message->number[RESOLVED_FOUND] == 0) {
        resolver_answer(master->resolver, message->number[RESOLVED_QUERY], NULL,
                        message->text);
        return true;
    }
    memcpy(&resolved, message->text, sizeof(resolved));
    if (!resolved_is_valid(&resolved))
        return false;
    resolver_answer(master->resolver, message->number[RESOLVED_QUERY], &resolved, NULL);
    return true;
}

static bool resolve_ask(void *argument, uint32_t id, const char *host)
{
    struct master *master = argument;
    struct control_message message = {.type = CONTROL_RESOLVE};
    struct process *process = resolve_process(master);

    if (!process || process->pid <= 0 || process->ending)
        return false;
    message.number[RESOLVED_QUERY] = id;
    memcpy(message.text, host, strnlen(host, sizeof(message.text) - 1));
    process_tell_message(process, &message, NULL);
    return true;
}

/* Those of a configuration that is being prepared are sent when it is committed. */
static void resolve_on_change(void *argument)
{
    struct master *master = argument;

    if (master->current)
        resolve_send_all(master, master->current->config);
}

static void resolve_on_settled(void *argument)
{
    reload_consider(argument);
}

static void resolve_on_hang(void *argument)
{
    struct process *process = resolve_process(argument);

    log_error("the resolver has been stuck for a minute; it is replaced");
    if (process)
        process_kill(process);
}

/* NULL: there is none yet. */
static struct process *resolve_process(const struct master *master)
{
    for (size_t i = 0; i < master->process_count; i++) {
        if (master->processes[i].role == &resolver_role)
            return &master->processes[i];
    }
    return NULL;
}
