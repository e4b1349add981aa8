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

enum { STOP_PATIENCE_S = 5 };

static bool master_check_library(struct error *error);
static bool master_open(struct master *master, struct error *error);
static void master_close(struct master *master);
static void master_raise_descriptor_limit(void);
static void master_on_signal(evutil_socket_t number, short what, void *argument);
static void master_on_children(struct master *master);
static void master_on_deadline(evutil_socket_t fd, short what, void *argument);
static void master_set_deadline(struct master *master, uint64_t seconds);

static const int SIGNALS[MASTER_SIGNALS] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};

int master_run(const struct master_options *options)
{
    struct master master = {.source = &options->source,
                            .stats_fd = -1,
                            .on_ready = options->on_ready,
                            .on_ready_argument = options->on_ready_argument};
    struct error error;

    log_open("master", LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    log_never_wait();
    if (!master_check_library(&error) || !master_open(&master, &error)) {
        log_error("%s", error.text);
        master_close(&master);
        return 1;
    }
    reload_begin(&master);
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
    ledger_note_state(master, MASTER_STOPPING);
    master->exit_code = exit_code;
    fleet_end(master, NULL, CONTROL_STOP);
    if (fleet_running(master, NULL) == 0)
        event_base_loopexit(master->base, NULL);
    else
        master_set_deadline(master, STOP_PATIENCE_S);
}

void master_drain(struct master *master)
{
    if (master->state == MASTER_DRAINING || master->state == MASTER_STOPPING)
        return;
    if (!master->current) {
        master_stop(master, 0);
        return;
    }
    log_info("draining");
    const struct config_limits *limits = &master->current->config->limits;
    ledger_note_state(master, MASTER_DRAINING);
    fleet_end(master, &worker_role, CONTROL_DRAIN);
    /* The workers have theirs; with these gone, nobody can connect any more. */
    sockets_close(&master->sockets);
    master_set_deadline(master,
                        (limits->drain_timeout_ms + limits->linger_timeout_ms) / 1000 +
                            STOP_PATIENCE_S);
    if (fleet_running(master, &worker_role) == 0)
        master_stop(master, 0);
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
    if (!master->console)
        return false;
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

    (void)what;
    switch (number) {
    case SIGTERM:
        master_drain(master);
        break;
    case SIGINT:
        master_stop(master, master->current ? 0 : 1);
        break;
    case SIGHUP:
        master->reload_wanted = true;
        reload_consider(master);
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
        fleet_on_child_exit(master, pid, status);
    }
    if (master->state == MASTER_DRAINING && fleet_running(master, &worker_role) == 0)
        master_stop(master, 0);
    if (master->state == MASTER_STOPPING && fleet_running(master, NULL) == 0)
        event_base_loopexit(master->base, NULL);
}

static void master_on_deadline(evutil_socket_t fd, short what, void *argument)
{
    struct master *master = argument;

    (void)fd;
    (void)what;
    log_warning("%zu processes have not ended in time and are killed",
                fleet_running(master, NULL));
    fleet_kill(master);
}

static void master_set_deadline(struct master *master, uint64_t seconds)
{
    const struct timeval delay = {.tv_sec = (time_t)seconds};

    evtimer_add(master->deadline, &delay);
}
