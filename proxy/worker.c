#include "proxy/worker.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "proxy/log.h"
#include "proxy/residue.h"
#include "proxy/session_record.h"

/* Long enough not to spin, short enough not to be noticed. */
static const struct timeval ACCEPT_PAUSE = {.tv_usec = 100000};

/* Two descriptors for a session, and some that are no session's: for listeners, the
 * keyholder, a reload. */
enum { SPARE_DESCRIPTORS = 64, PAUSE_LOG_MS = 10000 };

static void *worker_open(struct event_base *base, struct error *error);
static void worker_prepare(void *self, struct config *config, const struct bundle *bundle,
                           const struct bundle *keys, struct report *report);
static const struct cert_set *worker_served(const void *self);
static void worker_commit(void *self, uint32_t generation);
static void worker_abort(void *self);
static void worker_take_listener(void *self, const char *address, int fd);
static void worker_take_channel(void *self, int fd);
static void worker_take_stats(void *self, unsigned page, int fd);
static void worker_take_tickets(void *self, const struct ticket_ring *ring);
static void worker_take_addresses(void *self, const struct resolved *resolved);
static void worker_list_sessions(void *self, int fd, uint32_t room, uint32_t counts[2]);
static void worker_on_tickets_end(void *argument);
static void worker_on_residue_due(void *argument);
static void worker_drain(void *self);
static void worker_close(void *self);
static size_t worker_session_max(void);
static bool worker_has_listeners(const struct worker *worker);
static void worker_resume_accepting(struct worker *worker);
static void worker_on_accept_resume(evutil_socket_t fd, short what, void *argument);
static void worker_on_drain_timeout(evutil_socket_t fd, short what, void *argument);

const struct role worker_role = {
    .name = "worker",
    .counts = true,
    .open = worker_open,
    .prepare = worker_prepare,
    .served = worker_served,
    .commit = worker_commit,
    .abort = worker_abort,
    .take_listener = worker_take_listener,
    .take_channel = worker_take_channel,
    .take_stats = worker_take_stats,
    .take_tickets = worker_take_tickets,
    .take_addresses = worker_take_addresses,
    .list_sessions = worker_list_sessions,
    .drain = worker_drain,
    .close = worker_close,
};

void worker_tick(struct worker *worker)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    worker->now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void worker_pause_accepting(struct worker *worker, const char *cause)
{
    if (worker->accept_paused)
        return;
    worker->accept_paused = true;
    worker->stats->accept_pauses++;
    if (worker->now_ms - worker->pause_logged_ms >= PAUSE_LOG_MS) {
        worker->pause_logged_ms = worker->now_ms;
        log_warning("accepting pauses with %zu sessions open: %s", worker->session_count,
                    cause);
    }
    listener_pause_all(worker);
    evtimer_add(worker->accept_resume, &ACCEPT_PAUSE);
}

bool worker_may_accept(struct worker *worker)
{
    enum limits_wait wait =
        limits_may_accept(worker->limits, worker->session_count, worker->now_ms);

    if (wait == LIMITS_GO)
        return true;
    if (!worker->accept_paused)
        worker->accept_waits_for_room = wait != LIMITS_WAIT_RATE;
    worker_pause_accepting(worker, limits_wait_words(wait));
    return false;
}

void worker_on_session_closed(struct worker *worker)
{
    worker->session_count--;
    if (worker->accept_waits_for_room &&
        limits_has_room(worker->limits, worker->session_count))
        worker_resume_accepting(worker);
    if (worker->draining && worker->session_count == 0)
        event_base_loopexit(worker->base, NULL);
}

static void *worker_open(struct event_base *base, struct error *error)
{
    struct worker *worker = calloc(1, sizeof(*worker));

    if (!worker)
        goto fail;
    worker->base = base;
    pool_set_init(&worker->pools, base);
    TAILQ_INIT(&worker->sessions);
    SLIST_INIT(&worker->listeners);
    worker->scratch = calloc(1, sizeof(*worker->scratch));
    worker->accept_resume = evtimer_new(base, worker_on_accept_resume, worker);
    worker->drain_timer = evtimer_new(base, worker_on_drain_timeout, worker);
    if (!worker->scratch || !worker->accept_resume || !worker->drain_timer)
        goto fail;
    if ((worker->limits = limits_new(worker_session_max(), error)) &&
        (worker->keyholder = keyholder_client_new(base, error)) &&
        (worker->tickets = ticket_keys_new(error)) &&
        (worker->tickets_end = alarm_new(base, worker_on_tickets_end, worker, error)) &&
        (worker->residue_due = alarm_new(base, worker_on_residue_due, worker, error)))
        return worker;
    worker_close(worker);
    return NULL;
fail:
    (void)error_set(error, "out of memory");
    worker_close(worker);
    return NULL;
}

static size_t worker_session_max(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return SIZE_MAX;
    return limit.rlim_cur > 2 * SPARE_DESCRIPTORS
               ? (limit.rlim_cur - SPARE_DESCRIPTORS) / 2
               : limit.rlim_cur / 4;
}

static void worker_prepare(void *self, struct config *config, const struct bundle *bundle,
                           const struct bundle *keys, struct report *report)
{
    struct worker *worker = self;

    (void)keys;
    if (!worker->stats)
        report_add(report, REPORT_ERROR, NULL, 0, "a worker has no page for counters");
    snapshot_release(worker->prepared);
    worker->prepared = snapshot_new(config, bundle, worker->tickets, report);
    if (!worker->prepared)
        return;
    worker->prepared->pools = pool_set_take(&worker->pools, worker->prepared->config);
    if (!worker->prepared->pools)
        report_add(report, REPORT_ERROR, NULL, 0, "out of memory for the backends");
}

static const struct cert_set *worker_served(const void *self)
{
    const struct worker *worker = self;

    return worker->prepared ? certstore_served(worker->prepared->certs) : NULL;
}

static void worker_commit(void *self, uint32_t generation)
{
    struct worker *worker = self;

    if (!worker->prepared || worker->draining) {
        log_error("configuration %u was to be served but is not prepared", generation);
        return;
    }
    worker_tick(worker);
    if (worker->current)
        listener_retire_all(worker, worker->prepared->config);
    pool_set_follow(&worker->pools, worker->prepared->config);
    snapshot_release(worker->current);
    worker->current = worker->prepared;
    worker->prepared = NULL;
    worker->stats->generation = generation;
    limits_follow(worker->limits, &worker->current->config->limits,
                  config_worker_count(worker->current->config), &worker->stats->limits);
    worker_on_residue_due(worker);
    listener_adopt_all(worker);
    log_debug("serving configuration %u", generation);
    if (!worker_has_listeners(worker)) {
        log_error(
            "a listening socket is missing; the master is asked for all of them anew");
        event_base_loopbreak(worker->base);
    }
}

/* Otherwise connections would queue where nobody accepts. */
static bool worker_has_listeners(const struct worker *worker)
{
    const struct config *config = worker->current->config;

    for (size_t i = 0; i < config->listener_count; i++) {
        const struct address_list *list = &config->listeners[i].addresses;
        for (size_t j = 0; j < list->count; j++) {
            if (!listener_find(worker, list->items[j].text))
                return false;
        }
    }
    return true;
}

static void worker_abort(void *self)
{
    struct worker *worker = self;

    snapshot_release(worker->prepared);
    worker->prepared = NULL;
    listener_abort_all(worker);
}

static void worker_take_listener(void *self, const char *address, int fd)
{
    listener_add(self, address, fd);
}

static void worker_take_channel(void *self, int fd)
{
    struct worker *worker = self;

    keyholder_client_set_channel(worker->keyholder, fd);
}

static void worker_take_stats(void *self, unsigned page, int fd)
{
    struct worker *worker = self;
    struct error error;

    worker->pools.speaks = page == 0;
    if (!worker->stats)
        worker->stats = stats_page_map(fd, sizeof(*worker->stats), true, &error);
    close(fd);
    if (!worker->stats) {
        log_error("%s", error.text);
        return;
    }
    stats_worker_begin(worker->stats);
    worker->pools.stats = worker->stats;
    ticket_keys_count(worker->tickets, &worker->stats->tickets);
    keyholder_client_count(worker->keyholder, &worker->stats->signatures);
}

static void worker_take_tickets(void *self, const struct ticket_ring *ring)
{
    struct worker *worker = self;

    ticket_keys_replace(worker->tickets, ring);
    worker_on_tickets_end(worker);
}

static void worker_take_addresses(void *self, const struct resolved *resolved)
{
    struct address addresses[RESOLVED_MAX];
    struct worker *worker = self;

    for (size_t i = 0; i < resolved->count; i++)
        addresses[i] = resolved_address(&resolved->items[i]);
    pool_set_resolved(&worker->pools, resolved->name, addresses, resolved->count);
}

static void worker_list_sessions(void *self, int fd, uint32_t room, uint32_t counts[2])
{
    struct worker *worker = self;
    struct session_record *records = NULL;
    struct error error;

    worker_tick(worker);
    counts[1] = (uint32_t)worker->session_count;
    if (room > 0 && room <= SESSION_RECORDS_MAX)
        records = stats_page_map(fd, room * sizeof(*records), true, &error);
    close(fd);
    if (records)
        counts[0] = (uint32_t)session_record_list(worker, records, room);
    stats_page_unmap(records, room * sizeof(*records));
}

/* Also without a word from the master: no key outlives its end here. */
static void worker_on_tickets_end(void *argument)
{
    struct worker *worker = argument;

    alarm_set(worker->tickets_end,
              ticket_keys_expire(worker->tickets, ticket_clock_ms()));
}

/* Twice in a window, so that nothing that was read in one is left at its end. */
static void worker_on_residue_due(void *argument)
{
    struct worker *worker = argument;

    residue_wipe(worker->scratch);
    alarm_set(worker->residue_due,
              ticket_clock_ms() + worker->current->config->tls.window_ms / 2);
}

static void worker_drain(void *self)
{
    struct worker *worker = self;

    if (worker->draining)
        return;
    worker_tick(worker);
    listener_drain_all(worker);
    worker->draining = true;
    if (worker->session_count == 0) {
        event_base_loopexit(worker->base, NULL);
        return;
    }
    uint64_t ms = worker->current->config->limits.drain_timeout_ms;
    const struct timeval timeout = {.tv_sec = (time_t)(ms / 1000),
                                    .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    evtimer_add(worker->drain_timer, &timeout);
}

static void worker_close(void *self)
{
    struct worker *worker = self;

    if (!worker)
        return;
    listener_close_all(worker);
    while (!TAILQ_EMPTY(&worker->sessions)) {
        struct session *session = TAILQ_FIRST(&worker->sessions);
        (void)session_end(session, STEP_CLOSE, REASON_DRAIN, "the worker stops");
        session_close(session);
    }
    snapshot_release(worker->prepared);
    snapshot_release(worker->current);
    keyholder_client_free(worker->keyholder);
    ticket_keys_free(worker->tickets);
    alarm_free(worker->tickets_end);
    alarm_free(worker->residue_due);
    if (worker->accept_resume)
        event_free(worker->accept_resume);
    if (worker->drain_timer)
        event_free(worker->drain_timer);
    limits_free(worker->limits);
    free(worker->scratch);
    stats_page_unmap(worker->stats, sizeof(*worker->stats));
    free(worker);
}

static void worker_resume_accepting(struct worker *worker)
{
    worker->accept_paused = worker->accept_waits_for_room = false;
    evtimer_del(worker->accept_resume);
    listener_resume_all(worker);
}

static void worker_on_accept_resume(evutil_socket_t fd, short what, void *argument)
{
    struct worker *worker = argument;

    (void)fd;
    (void)what;
    worker_resume_accepting(worker);
}

static void worker_on_drain_timeout(evutil_socket_t fd, short what, void *argument)
{
    struct worker *worker = argument;
    struct session *session, *next;

    (void)fd;
    (void)what;
    log_warning("drain_timeout is over with %zu sessions open; they are closed",
                worker->session_count);
    worker_tick(worker);
    for (session = TAILQ_FIRST(&worker->sessions); session; session = next) {
        next = TAILQ_NEXT(session, link);
        session_drain(session);
    }
}
