/* What the console says about the state of things. */
#include <inttypes.h>
#include <stdlib.h>

#include "config/bundle.h"
#include "proxy/console.h"
#include "proxy/master.h"
#include "proxy/status.h"
#include "proxy/status_facts.h"
#include "proxy/status_text.h"
#include "proxy/worker.h"

struct gathered {
    struct status status;
    const struct stats_worker *pages[CONFIG_WORKERS_MAX];
};

static bool console_gather(struct console *console, struct gathered *all,
                           struct error *error);
static void console_write_facts(const struct console *console, FILE *out);

bool console_write_status(struct console *console, FILE *out, bool as_json, bool color,
                          struct error *error)
{
    struct gathered all;

    if (!console_gather(console, &all, error))
        return false;
    if (as_json)
        status_write_json(out, &all.status);
    else
        status_write_text(out, &all.status, color);
    return true;
}

bool console_write_proof(struct console *console, FILE *out, struct error *error)
{
    if (!console->master->current)
        return error_set(error, "Pawl is just starting");
    console_write_facts(console, out);
    return true;
}

static bool console_gather(struct console *console, struct gathered *all,
                           struct error *error)
{
    const struct master *master = console->master;

    *all = (struct gathered){.status.master = master->stats};
    if (!master->current)
        return error_set(error, "Pawl is just starting and has no configuration yet");
    all->status.config = master->current->config;
    all->status.workers = all->pages;
    for (size_t i = 0; i < master->process_count; i++) {
        const struct process *process = &master->processes[i];
        if (process->role == &worker_role && process->stats &&
            all->status.worker_count < CONFIG_WORKERS_MAX)
            all->pages[all->status.worker_count++] = process->stats;
    }
    if (!console->facts) {
        struct bundle *bundle = bundle_open(master->current->bundle_fd, error);
        if (!bundle)
            return false;
        console->facts = status_facts_new(master->current->config, bundle);
        bundle_close(bundle);
    }
    if (!console->facts)
        return error_set(error, "out of memory");
    status_facts_show(console->facts, &all->status);
    status_now(&all->status);
    return true;
}

/* One fact a line, each number in milliseconds: prove_instance.c reads them. */
static void console_write_facts(const struct console *console, FILE *out)
{
    const struct master *master = console->master;
    const struct stats_master *stats = master->stats;
    const struct config_tls *tls = &master->current->config->tls;
    uint64_t now = ticket_clock_ms();

    (void)fprintf(out, "window %" PRIu64 "\n", tls->window_ms);
    (void)fprintf(out, "tickets %d\n", stats->window_ms > 0);
    for (size_t i = 0; i < TICKET_RING_KEYS; i++) {
        const struct stats_ticket_key *key = &stats->ticket_keys[i];
        if (key->ends_ms > 0)
            (void)fprintf(out, "key %" PRIu64 " %" PRId64 "\n", now - key->made_ms,
                          (int64_t)(key->ends_ms - now));
    }
    (void)fprintf(out, "rotation %" PRIu64 "\n",
                  stats->rotation_due_ms > now ? stats->rotation_due_ms - now : 0);
    (void)fprintf(out, "tls12_max_lifetime %" PRIu64 "\n", tls->tls12_max_lifetime_ms);
    (void)fprintf(out, "unanswered_keep %d\n", tls->unanswered_rekey == UNANSWERED_KEEP);
    (void)fprintf(out, "process master 0 %" PRIu64 "\n", stats->pid);
    for (size_t i = 0; i < master->process_count; i++) {
        const struct process *process = &master->processes[i];
        if (process->pid > 0)
            (void)fprintf(out, "process %s %u %d\n", process->role->name, process->index,
                          (int)process->pid);
    }
}
