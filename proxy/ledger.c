/* What the master notes on its page, where it happens: see stats_master.h. */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proxy/master.h"

static_assert(2 * CONFIG_WORKERS_MAX + 3 <= STATS_PROCESSES, "every process has room");

static struct stats_process *ledger_process(struct master *master,
                                            const struct process *process);

bool ledger_open(struct master *master, struct error *error)
{
    master->stats_fd =
        stats_page_new("pawl master's counters", sizeof(*master->stats), error);
    if (master->stats_fd < 0)
        return false;
    master->stats = stats_page_map(master->stats_fd, sizeof(*master->stats), true, error);
    if (!master->stats)
        return false;
    master->stats->pid = (uint64_t)getpid();
    master->stats->started_ms = stats_wall_ms();
    return true;
}

void ledger_close(struct master *master)
{
    stats_page_unmap(master->stats, sizeof(*master->stats));
    master->stats = NULL;
    if (master->stats_fd >= 0)
        close(master->stats_fd);
    master->stats_fd = -1;
}

void ledger_note_state(struct master *master, enum master_state state)
{
    master->state = state;
    if (master->stats)
        master->stats->state = state;
}

void ledger_note_accepted(struct master *master)
{
    struct stats_master *stats = master->stats;

    stats->generation = master->current->number;
    stats->certificates_kept = master->current->kept;
    stats->loaded_ms = stats_wall_ms();
    ledger_note_result(master, RELOAD_ACCEPTED, &master->report);
}

void ledger_note_result(struct master *master, enum reload_result result,
                        const struct report *report)
{
    struct stats_master *stats = master->stats;
    const char *words = "";

    if (master->renewing) {
        stats->renewals[result]++;
        return;
    }
    /* In the order of weight: what refused it, else what it has to live with. */
    for (size_t i = 0; i < report->count; i++) {
        const struct report_entry *entry = &report->entries[i];
        if (entry->level == REPORT_ERROR ||
            (entry->level == REPORT_FAULT && words[0] == '\0'))
            words = entry->text;
        if (entry->level == REPORT_ERROR)
            break;
    }
    stats->reloads[result]++;
    stats->last_reload_ms = stats_wall_ms();
    stats->last_reload_result = result;
    stats_text_set(&stats->last_reload_error, words);
}

void ledger_note_process(struct master *master, const struct process *process)
{
    struct stats_process *noted = ledger_process(master, process);

    noted->pid = (uint64_t)process->pid;
    noted->serving = process->serves;
    /* One that has ended as it was told to is none any more. */
    if (process->pid == 0 && process->ending)
        noted->started_ms = 0;
    noted->uid = process->sandbox.uid;
    noted->sandbox = process->sandbox.in_force;
    if (process->serves || process->ending)
        noted->missing_ms = 0;
    else if (noted->missing_ms == 0)
        noted->missing_ms = stats_wall_ms();
}

void ledger_note_start(struct master *master, const struct process *process)
{
    struct stats_process *noted = ledger_process(master, process);

    if (noted->started_ms != 0) {
        noted->restarts++;
    } else if (strcmp(noted->role, process->role->name) != 0 ||
               noted->index != process->index) {
        noted->restarts = 0; /* what an upgrade with other processes left in this place */
        (void)snprintf(noted->role, sizeof(noted->role), "%s", process->role->name);
    }
    noted->index = process->index;
    noted->started_ms = stats_wall_ms();
    ledger_note_process(master, process);
    __atomic_store_n(&master->stats->process_count, master->process_count,
                     __ATOMIC_RELEASE);
}

void ledger_note_window(struct master *master, uint64_t due_ms)
{
    struct stats_master *stats = master->stats;

    stats->window_ms = master->window_ms;
    stats->rotation_due_ms = due_ms != UINT64_MAX ? due_ms : 0;
    for (size_t i = 0; i < TICKET_RING_KEYS; i++) {
        const struct ticket_key *key = &master->ring->keys[i];
        struct stats_ticket_key *noted = &stats->ticket_keys[i];
        noted->ends_ms = 0;
        if (master->window_ms == 0 || key->ends_ms == 0)
            continue;
        noted->made_ms = key->ends_ms - master->window_ms;
        noted->encrypts_until_ms = key->encrypts_until_ms;
        noted->ends_ms = key->ends_ms;
    }
}

static struct stats_process *ledger_process(struct master *master,
                                            const struct process *process)
{
    return &master->stats->processes[process - master->processes];
}
