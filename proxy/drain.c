/*
 * The end in peace: not ready any more, but accepting for a while (lame duck); then
 * nobody begins a connection, and those on their way are let in; then the workers empty
 * the queues and finish.
 *
 *   TERM ... lame_duck ... settle (at most 1 s) ... drain_timeout ... end
 */
#include "proxy/log.h"
#include "proxy/master.h"
#include "proxy/worker.h"

enum {
    SETTLE_MOST_MS = 1000, /* for a client to answer across the world */
    SETTLE_STEP_MS = 10,
    STOP_PATIENCE_MS = 5000
};

static void drain_settle(struct master *master);
static void drain_finish(struct master *master);
static uint64_t drain_most_ms(const struct config_limits *limits);

void master_drain(struct master *master)
{
    if (master->state == MASTER_DRAINING || master->state == MASTER_STOPPING)
        return;
    if (master->state == MASTER_LAME_DUCK) {
        drain_settle(master);
        return;
    }
    if (!master->current) {
        if (!upgrade_delays(master))
            master_stop(master, 0);
        return;
    }
    upgrade_cancel(master, "Pawl was told to end");
    reload_forget(master);
    const struct config_limits *limits = &master->current->config->limits;
    notify_stopping(&master->notify, limits->lame_duck_ms + drain_most_ms(limits),
                    "draining");
    if (limits->lame_duck_ms == 0) {
        drain_settle(master);
        return;
    }
    ledger_note_state(master, MASTER_LAME_DUCK);
    log_info("not ready any more; accepting goes on for %llu ms (lame_duck)",
             (unsigned long long)limits->lame_duck_ms);
    master_set_deadline(master, limits->lame_duck_ms);
}

void drain_go_on(struct master *master)
{
    if (master->state == MASTER_LAME_DUCK) {
        drain_settle(master);
        return;
    }
    master->settled_ms += SETTLE_STEP_MS;
    if (master->settled_ms >= SETTLE_MOST_MS ||
        sockets_count_arriving(&master->sockets) == 0)
        drain_finish(master);
    else
        master_set_deadline(master, SETTLE_STEP_MS);
}

static void drain_settle(struct master *master)
{
    ledger_note_state(master, MASTER_DRAINING);
    log_info("draining");
    sockets_settle(&master->sockets);
    master->settled_ms = SETTLE_STEP_MS;
    master_set_deadline(master, SETTLE_STEP_MS);
}

static void drain_finish(struct master *master)
{
    master->settled_ms = 0;
    fleet_end(master, &worker_role, CONTROL_DRAIN);
    /* The workers have theirs; with these gone, nobody can connect any more. */
    sockets_close(&master->sockets);
    master_set_deadline(master, drain_most_ms(&master->current->config->limits));
    master_on_fewer(master);
}

static uint64_t drain_most_ms(const struct config_limits *limits)
{
    return limits->drain_timeout_ms + limits->linger_timeout_ms + STOP_PATIENCE_MS;
}
