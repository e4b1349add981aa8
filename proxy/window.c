/*
 * The master's part of the forward-secrecy window: it makes the ticket keys, turns the
 * ring in time and pushes it to the workers.
 */
#include <assert.h>
#include <string.h>

#include "proxy/log.h"
#include "proxy/master.h"
#include "proxy/worker.h"

/* How soon to try again when there were no random numbers for a key. */
enum { RETRY_MS = 1000 };

static void window_on_due(void *argument);
static void window_turn(struct master *master);

bool window_open(struct master *master, struct error *error)
{
    master->ring = vault_take(&master->vault, sizeof(*master->ring));
    if (!master->ring)
        return error_set(error, "out of memory for ticket keys");
    master->window_alarm = alarm_new(master->base, window_on_due, master, error);
    return master->window_alarm != NULL;
}

void window_close(struct master *master)
{
    alarm_free(master->window_alarm);
    vault_close(&master->vault);
}

void window_follow(struct master *master, const struct config_tls *tls)
{
    uint64_t window_ms = tls->tickets ? tls->window_ms : 0;

    /* Keys of another window would end too late, or before their tickets. */
    if (window_ms != master->window_ms)
        ticket_ring_wipe(master->ring);
    master->window_ms = window_ms;
    window_turn(master);
}

void window_send(struct master *master, struct process *process)
{
    struct control_message message = {.type = CONTROL_TICKETS};

    static_assert(sizeof(*master->ring) < sizeof(message.text), "the ring fits");
    memcpy(message.text, master->ring, sizeof(*master->ring));
    process_tell_message(process, &message, NULL);
    explicit_bzero(&message, sizeof(message));
}

static void window_on_due(void *argument)
{
    window_turn(argument);
}

static void window_turn(struct master *master)
{
    uint64_t now = ticket_clock_ms();
    uint64_t due = UINT64_MAX;
    struct error error;

    if (master->window_ms > 0) {
        if (ticket_ring_turn(master->ring, master->window_ms, now, &error)) {
            due = ticket_ring_due_ms(master->ring);
        } else {
            log_error("%s; no tickets until this works", error.text);
            due = now + RETRY_MS;
        }
    }
    alarm_set(master->window_alarm, due);
    ledger_note_window(master, due);
    for (size_t i = 0; i < master->process_count; i++) {
        if (master->processes[i].role == &worker_role && master->processes[i].pid > 0)
            window_send(master, &master->processes[i]);
    }
}
