#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proxy/log.h"
#include "proxy/master.h"
#include "proxy/worker.h"

enum { STOP_PATIENCE_MS = 5000 };

static const struct timeval READY_PATIENCE = {.tv_sec = 60};

static bool takeover_adopt(struct master *master, struct error *error);
static bool takeover_adopt_fd(struct master *master, struct handover_fd *item,
                              struct error *error);
static void takeover_read_ring(struct master *master);
static void takeover_close_single(struct handover *from);
static void takeover_on_late(evutil_socket_t fd, short what, void *argument);
static bool takeover_restore(struct master *master, struct error *error);
static void takeover_end_own_fleet(struct master *master);
static void takeover_copy_counters(int from, int to);

/* The variable goes at once, so that no child takes itself for an heir. */
bool takeover_begin(struct master *master, struct error *error)
{
    struct upgrade *upgrade = &master->upgrade;
    const char *number = getenv(UPGRADE_VARIABLE);
    char *end = NULL;

    if (!number)
        return true;
    errno = 0;
    long fd = strtol(number, &end, 10);
    bool is_number =
        errno == 0 && end != number && *end == '\0' && fd >= 0 && fd <= INT_MAX;
    (void)unsetenv(UPGRADE_VARIABLE);
    if (!is_number)
        return error_set(error, UPGRADE_VARIABLE " is set, but not by an upgrade");
    if (!handover_read((int)fd, &upgrade->from, error))
        return false;
    close((int)fd);
    return takeover_adopt(master, error);
}

static bool takeover_adopt(struct master *master, struct error *error)
{
    struct upgrade *upgrade = &master->upgrade;
    struct handover *from = &upgrade->from;

    (void)snprintf(upgrade->binary, sizeof(upgrade->binary), "%s", from->binary);
    master->last_generation = from->generation;
    takeover_read_ring(master);
    for (size_t i = 0; i < from->fd_count; i++) {
        if (!takeover_adopt_fd(master, &from->fds[i], error))
            return false;
    }
    for (size_t i = 0; i < from->process_count; i++) {
        struct handover_process *process = &from->processes[i];
        if (process->until_ms == 0)
            continue;
        if (!departing_add(master, process))
            return error_set(error, "out of memory");
        process->pid = 0;
    }
    upgrade->going_back = from->failed[0] != '\0';
    upgrade->taking_over = !upgrade->going_back;
    upgrade->patience = evtimer_new(master->base, takeover_on_late, master);
    if (!upgrade->patience)
        return error_set(error, "out of memory");
    if (upgrade->taking_over)
        evtimer_add(upgrade->patience, &READY_PATIENCE);
    bequest_take(master);
    return true;
}

/* A socket whose address is not understood any more is closed: nobody would accept. */
static bool takeover_adopt_fd(struct master *master, struct handover_fd *item,
                              struct error *error)
{
    struct address_list list;
    int fd = item->fd;
    int listens = 0;
    socklen_t length = sizeof(listens);

    if (item->use == HANDOVER_KEPT)
        return true;
    item->fd = -1;
    if (item->use == HANDOVER_INHERITED)
        return activation_add(&master->activation, item->name, fd, error);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) < 0 || !listens ||
        !value_read_addresses(item->name, ADDRESS_LISTEN, &list, error) ||
        list.count != 1) {
        log_warning("the listening socket of %s was handed over, but cannot be used",
                    item->name);
        close(fd);
        return true;
    }
    return sockets_adopt(&master->sockets, &list.items[0], fd, error);
}

/* Straight into the vault; whatever is not exactly a ring is none. */
static void takeover_read_ring(struct master *master)
{
    struct handover *from = &master->upgrade.from;
    char more;

    if (from->ring_fd < 0)
        return;
    if (read(from->ring_fd, master->ring, sizeof(*master->ring)) ==
            (ssize_t)sizeof(*master->ring) &&
        read(from->ring_fd, &more, 1) == 0) {
        master->window_ms = from->window_ms;
    } else {
        ticket_ring_wipe(master->ring);
        log_warning("the ticket keys could not be taken over; clients will not resume");
    }
    close(from->ring_fd);
    from->ring_fd = -1;
}

bool takeover_resume(struct master *master, struct error *error)
{
    struct upgrade *upgrade = &master->upgrade;
    struct handover *from = &upgrade->from;
    char reason[ERROR_TEXT_MAX];

    if (!takeover_restore(master, error))
        return false;
    const struct config *config = master->current->config;
    master->sockets.workers = from->workers;
    if (!sandbox_identity(config->proxy.user, &master->identity, error) ||
        !fleet_adopt(master, from, error))
        return false;
    log_target_commit(master);
    log_target_started(master);
    ledger_note_state(master, MASTER_SERVING);
    window_follow(master, &config->tls);
    master->renewal_wanted = config->proxy.watch; /* finds what to watch, too */
    upgrade->going_back = false;
    (void)snprintf(reason, sizeof(reason), "%s", from->failed);
    takeover_close_single(from);
    from->failed[0] = '\0';
    from->process_count = 0;
    upgrade_drop_kept(master);
    master_notify_ready(master);
    upgrade_end(master, false, reason);
    return true;
}

/* From the bundles in service, not from files, which may have changed. */
static bool takeover_restore(struct master *master, struct error *error)
{
    struct handover *from = &master->upgrade.from;
    struct report report = {0};

    master->current = generation_restore(from->generation, from->bundle_fd, from->keys_fd,
                                         &report, error);
    from->bundle_fd = from->keys_fd = -1;
    report_close(&report);
    return master->current != NULL;
}

void takeover_carry_counters(struct master *master)
{
    const struct upgrade *upgrade = &master->upgrade;

    if (!upgrade->taking_over || upgrade->from.counters != STATS_LAYOUT)
        return;
    for (size_t i = 0; i < master->process_count; i++) {
        const struct process *process = &master->processes[i];
        for (size_t j = 0; j < upgrade->from.process_count; j++) {
            const struct handover_process *old = &upgrade->from.processes[j];
            if (process->role == &worker_role && process->stats_fd >= 0 &&
                old->stats_fd >= 0 && old->index == process->index &&
                strcmp(old->role, process->role->name) == 0)
                takeover_copy_counters(old->stats_fd, process->stats_fd);
        }
    }
}

/* The new worker counts nothing before its first configuration is committed. */
static void takeover_copy_counters(int from, int to)
{
    const size_t size = offsetof(struct stats_worker, generation);
    struct stats_worker *counters = calloc(1, sizeof(*counters));
    struct stat status;

    if (counters && fstat(from, &status) == 0 &&
        status.st_size == (off_t)sizeof(*counters) &&
        pread(from, counters, size, 0) == (ssize_t)size)
        (void)!pwrite(to, counters, size, 0);
    free(counters);
}

void takeover_finish(struct master *master)
{
    struct upgrade *upgrade = &master->upgrade;
    struct handover *from = &upgrade->from;
    const struct config_limits *limits = &master->current->config->limits;
    uint64_t ms = limits->drain_timeout_ms + limits->linger_timeout_ms;
    char text[64];

    if (!upgrade->taking_over)
        return;
    upgrade->taking_over = false;
    evtimer_del(upgrade->patience);
    if (from->drain_ms > ms)
        ms = from->drain_ms;
    for (size_t i = 0; i < from->process_count; i++) {
        struct handover_process *process = &from->processes[i];
        if (process->control_fd >= 0)
            close(process->control_fd);
        if (process->stats_fd >= 0)
            close(process->stats_fd);
        process->control_fd = process->stats_fd = -1;
        process->until_ms = ticket_clock_ms() + ms + STOP_PATIENCE_MS;
        if (process->pid > 0 && !departing_add(master, process))
            (void)kill(process->pid, SIGKILL);
    }
    from->process_count = 0;
    takeover_close_single(from);
    upgrade_drop_kept(master);
    (void)snprintf(text, sizeof(text), "this is pawl %s", PAWL_VERSION);
    upgrade_end(master, true, text);
    if (upgrade->drain_wanted)
        master_drain(master);
}

static void takeover_close_single(struct handover *from)
{
    int *single[] = {&from->bundle_fd, &from->keys_fd, &from->way_back_fd};

    for (size_t i = 0; i < sizeof(single) / sizeof(single[0]); i++) {
        if (*single[i] >= 0)
            close(*single[i]);
        *single[i] = -1;
    }
}

/* What the new processes bound is closed with them; nobody was told of it. */
bool takeover_go_back(struct master *master, const char *reason)
{
    struct upgrade *upgrade = &master->upgrade;
    struct handover *from = &upgrade->from;
    struct handover handover;
    struct error error;
    sigset_t all;

    if (!upgrade->taking_over)
        return false;
    log_error("the new program cannot serve, the old one goes on: %s", reason);
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, NULL);
    takeover_end_own_fleet(master);
    handover_init(&handover);
    handover.generation = from->generation;
    handover.bundle_fd = from->bundle_fd;
    handover.keys_fd = from->keys_fd;
    handover.workers = from->workers;
    handover.drain_ms = from->drain_ms;
    handover.counters = from->counters;
    handover.way_back_fd = from->way_back_fd;
    (void)snprintf(handover.failed, sizeof(handover.failed), "%s", reason);
    for (char *c = handover.failed; *c != '\0'; c++)
        *c = *c == '\n' ? ' ' : *c;
    bool complete = true;
    for (size_t i = 0; i < from->process_count; i++)
        complete = complete && (from->processes[i].pid == 0 ||
                                handover_add_process(&handover, &from->processes[i]));
    if (!complete)
        (void)error_set(&error, "out of memory");
    if (upgrade->drain_wanted)
        (void)kill(getpid(), SIGTERM); /* for the old program, which unblocks it */
    if (master->reload_wanted)
        (void)kill(getpid(), SIGHUP);
    if (complete && upgrade_collect(master, &handover, &error))
        upgrade_execute(master, &handover, NULL, &error);
    log_error("%s", error.text);
    handover_close(&handover);
    (void)sigprocmask(SIG_UNBLOCK, &all, NULL);
    return false;
}

/* Its descriptors, too: the way back needs some, and may be taken for want of them. */
static void takeover_end_own_fleet(struct master *master)
{
    fleet_kill(master);
    for (size_t i = 0; i < master->process_count; i++) {
        struct process *process = &master->processes[i];
        while (process->pid > 0 && waitpid(process->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
        process->pid = 0;
        process->ending = true;
        process_close(process);
    }
}

bool upgrade_delays(struct master *master)
{
    if (master->upgrade.taking_over)
        master->upgrade.drain_wanted = true;
    return master->upgrade.taking_over;
}

static void takeover_on_late(evutil_socket_t fd, short what, void *argument)
{
    struct master *master = argument;

    (void)fd;
    (void)what;
    if (!takeover_go_back(master, "it was not ready within a minute"))
        master_stop(master, 1);
}
