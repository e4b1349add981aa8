#include "proxy/master.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "proxy/log.h"
#include "proxy/worker.h"

enum { STOP_PATIENCE_MS = 5000 };

static bool master_check_library(struct error *error);
static bool master_begin(struct master *master, char *const *arguments,
                         struct error *error);
static bool master_open(struct master *master, struct error *error);
static bool master_watch(struct master *master, struct error *error);
static void master_close(struct master *master);
static void master_raise_descriptor_limit(void);
static void master_on_signal(evutil_socket_t number, short what, void *argument);
static void master_on_children(struct master *master);
static void master_on_deadline(evutil_socket_t fd, short what, void *argument);

static const int SIGNALS[MASTER_SIGNALS] = {SIGTERM, SIGQUIT, SIGINT,
                                            SIGHUP,  SIGUSR2, SIGCHLD};

int master_run(const struct master_options *options)
{
    struct master master = {.source = &options->source,
                            .stats_fd = -1,
                            .on_ready = options->on_ready,
                            .trial = options->trial,
                            .on_ready_argument = options->on_ready_argument};
    struct error error;

    log_open("master", LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    log_never_wait();
    if (!master_check_library(&error) ||
        !master_begin(&master, options->arguments, &error)) {
        log_error("%s", error.text);
        (void)takeover_go_back(&master, error.text);
        master_close(&master);
        return 1;
    }
    master_on_children(&master);
    (void)event_base_dispatch(master.base);
    if (master.exit_code == 0)
        log_info("stopped");
    master_close(&master);
    return master.exit_code;
}

void master_stop(struct master *master, int exit_code)
{
    if (master->state == MASTER_STOPPING)
        return;
    upgrade_cancel(master, "Pawl was told to end");
    if (master->state != MASTER_DRAINING)
        notify_stopping(&master->notify, STOP_PATIENCE_MS, "stopping");
    ledger_note_state(master, MASTER_STOPPING);
    master->exit_code = exit_code;
    fleet_end(master, NULL, CONTROL_STOP);
    departing_kill(master);
    master_set_deadline(master, STOP_PATIENCE_MS);
    master_on_fewer(master);
}

void master_notify_ready(const struct master *master)
{
    const struct config *config = master->current->config;
    char status[128];

    (void)snprintf(status, sizeof(status),
                   "serving generation %u: listeners %zu, certificates %zu, workers %u",
                   master->current->number, config->listener_count,
                   cert_set_count(&master->current->offered), master->worker_count);
    notify_ready(&master->notify, status);
}

void master_on_fewer(struct master *master)
{
    if (master->state == MASTER_DRAINING && fleet_running(master, &worker_role) == 0 &&
        departing_count(master) == 0)
        master_stop(master, 0);
    if (master->state == MASTER_STOPPING && fleet_running(master, NULL) == 0 &&
        departing_count(master) == 0)
        event_base_loopexit(master->base, NULL);
}

/* A library that can do more than Pawl allows is not served with. */
static bool master_check_library(struct error *error)
{
    struct report report = {0};

    tls_policy_self_check(NULL, &report);
    for (size_t i = 0; i < report.count; i++) {
        if (report.entries[i].level == REPORT_ERROR)
            log_error("%s", report.entries[i].text);
        else
            log_warning("%s", report.entries[i].text);
    }
    bool fit = report.errors == 0;
    report_close(&report);
    return fit || error_set(error, "the TLS library is not fit for Pawl; build it with "
                                   "deps/wolfssl.sh");
}

/* Signals are blocked where another program was executed in this one's place. */
static bool master_begin(struct master *master, char *const *arguments,
                         struct error *error)
{
    sigset_t none;

    /* Closing works on whatever was opened. */
    master->notify.fd = -1;
    handover_init(&master->upgrade.from);
    master->sockets.activation = &master->activation;
    /* Early, for whatever fails later to find the way back. */
    if (!master_open(master, error) || !activation_take(&master->activation, error) ||
        !upgrade_open(master, arguments, error) || !master_watch(master, error) ||
        !notify_open(&master->notify, error) || !watchdog_open(master, error))
        return false;
    if (!master->upgrade.going_back)
        reload_begin(master);
    else if (!takeover_resume(master, error))
        return false;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    return true;
}

static bool master_open(struct master *master, struct error *error)
{
    (void)prctl(PR_SET_NAME, "pawl-master", 0, 0, 0);
    (void)signal(SIGPIPE, SIG_IGN);
    master_raise_descriptor_limit();
    if (!sandbox_no_core_dumps(error))
        return false;
    if (!ledger_open(master, error))
        return false;
    master->base = event_base_new();
    if (!master->base)
        return error_set(error, "cannot make an event loop");
    if (!log_target_open(master, error) || !window_open(master, error))
        return false;
    master->console = console_new(master, error);
    return master->console != NULL;
}

static bool master_watch(struct master *master, struct error *error)
{
    master->watch = watch_new(master->base, reload_on_change, master, error);
    if (!master->watch)
        return false;
    if (!resolve_open(master, error))
        return false;
    master->deadline = evtimer_new(master->base, master_on_deadline, master);
    if (!master->deadline)
        return error_set(error, "out of memory");
    for (size_t i = 0; i < MASTER_SIGNALS; i++) {
        master->signals[i] =
            evsignal_new(master->base, SIGNALS[i], master_on_signal, master);
        if (!master->signals[i] || event_add(master->signals[i], NULL) < 0)
            return error_set(error, "cannot watch signal %d", SIGNALS[i]);
    }
    return true;
}

static void master_close(struct master *master)
{
    sigset_t all;

    /* A second Ctrl-C must not turn a clean end into another. */
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, NULL);
    console_free(master->console, master->exit_code);
    fleet_close(master);
    window_close(master);
    watchdog_close(master);
    notify_close(&master->notify);
    upgrade_close(master);
    activation_close(&master->activation);
    watch_free(master->watch);
    resolver_free(master->resolver);
    sockets_close(&master->sockets);
    admin_sockets_close(&master->admin_sockets);
    generation_free(master->current);
    generation_free(master->next);
    report_close(&master->report);
    report_close(&master->last_report);
    ledger_close(master);
    for (size_t i = 0; i < MASTER_SIGNALS; i++) {
        if (master->signals[i])
            event_free(master->signals[i]);
    }
    if (master->deadline)
        event_free(master->deadline);
    log_target_close(master);
    if (master->base)
        event_base_free(master->base);
}

/* A proxy needs two descriptors for each session; roles inherit the limit. */
static void master_raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static void master_on_signal(evutil_socket_t number, short what, void *argument)
{
    struct master *master = argument;
    struct error error;

    (void)what;
    switch (number) {
    case SIGTERM:
    case SIGQUIT:
        master_drain(master);
        break;
    case SIGINT:
        master_stop(master, master->current || master->upgrade.taking_over ? 0 : 1);
        break;
    case SIGHUP:
        master->reload_wanted = true;
        reload_consider(master);
        break;
    case SIGUSR2:
        if (!master_upgrade(master, &error))
            log_error("upgrade failed, what is in service stays: %s", error.text);
        break;
    case SIGCHLD:
        master_on_children(master);
        break;
    }
}

/* As process 1 of a container, children that are not ours come here, too. */
static void master_on_children(struct master *master)
{
    int status;

    for (;;) {
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid < 0 && errno == EINTR)
            continue;
        if (pid <= 0)
            break;
        if (!trial_on_child_exit(master->upgrade.trial, pid, status) &&
            !departing_on_child_exit(master, pid, status))
            fleet_on_child_exit(master, pid, status);
    }
    master_on_fewer(master);
}

static void master_on_deadline(evutil_socket_t fd, short what, void *argument)
{
    struct master *master = argument;

    (void)fd;
    (void)what;
    if (master->state == MASTER_LAME_DUCK ||
        (master->state == MASTER_DRAINING && master->settled_ms > 0)) {
        drain_go_on(master);
        return;
    }
    log_warning("%zu processes have not ended in time and are killed",
                fleet_running(master, NULL) + departing_count(master));
    fleet_kill(master);
    departing_kill(master);
}

void master_set_deadline(struct master *master, uint64_t ms)
{
    const struct timeval delay = {.tv_sec = (time_t)(ms / 1000),
                                  .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

    evtimer_add(master->deadline, &delay);
}
