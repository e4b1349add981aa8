#include "proxy/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proxy/log.h"
#include "proxy/master.h"

static bool upgrade_is_possible(const struct master *master);
static void upgrade_find_binary(struct upgrade *upgrade);
static bool upgrade_is_this(const char *path);
static void upgrade_on_trial_end(void *argument, const char *reason);
static void upgrade_on_soon(evutil_socket_t fd, short what, void *argument);
static void upgrade_run(struct master *master);
static bool upgrade_collect_present(struct master *master, struct handover *handover,
                                    struct error *error);
static bool upgrade_collect_processes(const struct master *master,
                                      struct handover *handover);
static bool upgrade_collect_fds(const struct master *master, struct handover *handover);
static bool upgrade_pour_ring(struct master *master, struct handover *handover,
                              struct error *error);

bool upgrade_open(struct master *master, char *const *arguments, struct error *error)
{
    struct upgrade *upgrade = &master->upgrade;

    handover_init(&upgrade->from);
    upgrade->arguments = arguments;
    if (arguments)
        upgrade_find_binary(upgrade);
    upgrade->soon = evtimer_new(master->base, upgrade_on_soon, master);
    if (!upgrade->soon)
        return error_set(error, "out of memory");
    return departing_open(master, error) && takeover_begin(master, error);
}

void upgrade_close(struct master *master)
{
    struct upgrade *upgrade = &master->upgrade;

    trial_free(upgrade->trial);
    upgrade->trial = NULL;
    if (upgrade->patience)
        event_free(upgrade->patience);
    if (upgrade->soon)
        event_free(upgrade->soon);
    alarm_free(upgrade->departing_alarm);
    handover_close_all(&upgrade->from);
    free(upgrade->departing);
    upgrade->departing = NULL;
    upgrade->departing_count = 0;
}

bool master_upgrade(struct master *master, struct error *error)
{
    struct upgrade *upgrade = &master->upgrade;

    if (!upgrade->arguments)
        return error_set(error,
                         "what `pawl dev` and `pawl demo` started is not upgraded; "
                         "start it anew");
    if (upgrade->trial || upgrade->passed || upgrade->taking_over)
        return error_set(error, "an upgrade is under way already");
    if (master->state == MASTER_RELOADING)
        return error_set(error, "a reload is under way; try again when it is over");
    if (master->state != MASTER_SERVING)
        return error_set(error, "only a Pawl that serves can be upgraded");
    if (upgrade->binary[0] == '\0')
        return error_set(error, "it is not known where this program was started from");
    if (access(upgrade->binary, X_OK) < 0)
        return error_set_errno(error, errno, "cannot execute \"%s\"", upgrade->binary);
    upgrade->trial = trial_start(master->base, upgrade->binary, upgrade->arguments,
                                 upgrade_on_trial_end, master, error);
    if (!upgrade->trial)
        return false;
    log_info("upgrade: trying %s", upgrade->binary);
    return true;
}

void upgrade_cancel(struct master *master, const char *reason)
{
    struct upgrade *upgrade = &master->upgrade;

    if (!upgrade->trial && !upgrade->passed)
        return;
    trial_free(upgrade->trial);
    upgrade->trial = NULL;
    upgrade->passed = false;
    upgrade_end(master, false, reason);
}

bool upgrade_is_pending(const struct master *master)
{
    return master->upgrade.trial || master->upgrade.passed;
}

/* Signals wait for whoever is here afterwards; those that came before are seen to before
 * `soon` is. */
void upgrade_consider(struct master *master)
{
    const struct timeval moment = {.tv_usec = 1000};
    sigset_t all;

    if (!upgrade_is_possible(master) || evtimer_pending(master->upgrade.soon, NULL))
        return;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, &master->upgrade.signals);
    evtimer_add(master->upgrade.soon, &moment);
}

static bool upgrade_is_possible(const struct master *master)
{
    return master->upgrade.passed && master->state == MASTER_SERVING && !master->next &&
           !fleet_is_preparing(master);
}

static void upgrade_on_soon(evutil_socket_t fd, short what, void *argument)
{
    struct master *master = argument;

    (void)fd;
    (void)what;
    if (upgrade_is_possible(master)) {
        master->upgrade.passed = false;
        upgrade_run(master);
    }
    (void)sigprocmask(SIG_SETMASK, &master->upgrade.signals, NULL);
    reload_consider(master);
}

void upgrade_end(struct master *master, bool ok, const char *text)
{
    if (ok)
        log_info("upgraded: %s", text);
    else
        log_error("upgrade failed, what is in service stays: %s", text);
    console_on_upgrade_ended(master->console, ok, text);
}

bool upgrade_keep(struct master *master, const char *name, int fd)
{
    if (handover_add_fd(&master->upgrade.from, HANDOVER_KEPT, fd, name))
        return true;
    close(fd);
    return false;
}

int upgrade_take(struct master *master, const char *name)
{
    const struct handover *from = &master->upgrade.from;

    for (size_t i = 0; i < from->fd_count; i++) {
        struct handover_fd *item = &from->fds[i];
        if (item->use == HANDOVER_KEPT && item->fd >= 0 &&
            strcmp(item->name, name) == 0) {
            int fd = item->fd;
            item->fd = -1;
            return fd;
        }
    }
    return -1;
}

void upgrade_drop_kept(struct master *master)
{
    struct handover *from = &master->upgrade.from;

    for (size_t i = 0; i < from->fd_count; i++) {
        if (from->fds[i].fd >= 0)
            close(from->fds[i].fd);
    }
    from->fd_count = 0;
}

/* The path as it was written, not where its links led: a link may be exchanged.  Only if
 * it does not lead here, the path that the kernel knows. */
static void upgrade_find_binary(struct upgrade *upgrade)
{
    const char *name = upgrade->arguments[0];
    char *path = NULL;

    if (name && strchr(name, '/')) {
        char *here = name[0] == '/' ? strdup("") : getcwd(NULL, 0);
        if (!here || asprintf(&path, "%s%s%s", here, name[0] == '/' ? "" : "/", name) < 0)
            path = NULL;
        free(here);
    } else if (name) {
        const char *list = getenv("PATH");
        for (; list && *list != '\0' && !path; list += *list == ':') {
            size_t length = strcspn(list, ":");
            if (length > 0 && asprintf(&path, "%.*s/%s", (int)length, list, name) < 0)
                path = NULL;
            if (path && !upgrade_is_this(path)) {
                free(path);
                path = NULL;
            }
            list += length;
        }
    }
    if (path && path[0] == '/' && upgrade_is_this(path) && !strchr(path, '\n') &&
        strlen(path) < sizeof(upgrade->binary)) {
        (void)snprintf(upgrade->binary, sizeof(upgrade->binary), "%s", path);
    } else {
        ssize_t length =
            readlink("/proc/self/exe", upgrade->binary, sizeof(upgrade->binary) - 1);
        upgrade->binary[length > 0 ? length : 0] = '\0';
        char *deleted = strstr(upgrade->binary, " (deleted)");
        if (deleted)
            *deleted = '\0';
        if (strchr(upgrade->binary, '\n'))
            upgrade->binary[0] = '\0';
    }
    free(path);
}

static bool upgrade_is_this(const char *path)
{
    struct stat named, running;

    return stat(path, &named) == 0 && stat("/proc/self/exe", &running) == 0 &&
           named.st_dev == running.st_dev && named.st_ino == running.st_ino;
}

static void upgrade_on_trial_end(void *argument, const char *reason)
{
    struct master *master = argument;
    struct upgrade *upgrade = &master->upgrade;
    struct error error;

    if (reason)
        (void)error_set(&error, "\"%s\": %s", upgrade->binary, reason);
    trial_free(upgrade->trial);
    upgrade->trial = NULL;
    upgrade->passed = !reason;
    if (reason)
        upgrade_end(master, false, error.text);
    reload_consider(master);
}

/* Returns only if it fails. */
static void upgrade_run(struct master *master)
{
    struct handover handover;
    struct error error;

    handover_init(&handover);
    if (upgrade_collect_present(master, &handover, &error)) {
        log_info("upgrade: executing %s", master->upgrade.binary);
        notify_reloading(&master->notify, "upgrading");
        upgrade_execute(master, &handover, master->upgrade.binary, &error);
    }
    if (handover.way_back_fd >= 0)
        close(handover.way_back_fd);
    handover_close(&handover);
    upgrade_drop_kept(master);
    master_notify_ready(master);
    upgrade_end(master, false, error.text);
}

void upgrade_execute(struct master *master, struct handover *handover, const char *binary,
                     struct error *error)
{
    char number[16];

    if (!upgrade_pour_ring(master, handover, error))
        return;
    int fd = handover_write(handover, error);
    if (fd >= 0 && fcntl(fd, F_SETFD, 0) == 0) {
        (void)snprintf(number, sizeof(number), "%d", fd);
        handover_keep_open(handover, true);
        ticket_ring_wipe(master->ring);
        if (setenv(UPGRADE_VARIABLE, number, 1) == 0 && binary)
            (void)execve(binary, master->upgrade.arguments, environ);
        else
            (void)syscall(SYS_execveat, handover->way_back_fd, "",
                          master->upgrade.arguments, environ, AT_EMPTY_PATH);
        (void)error_set_errno(error, errno, "cannot execute \"%s\"",
                              binary ? binary : "(the old program)");
        handover_keep_open(handover, false);
        (void)unsetenv(UPGRADE_VARIABLE);
    }
    if (fd >= 0)
        close(fd);
    if (read(handover->ring_fd, master->ring, sizeof(*master->ring)) !=
        (ssize_t)sizeof(*master->ring))
        ticket_ring_wipe(master->ring);
    close(handover->ring_fd);
    handover->ring_fd = -1;
}

bool upgrade_collect(struct master *master, struct handover *handover,
                     struct error *error)
{
    const struct upgrade *upgrade = &master->upgrade;

    bequest_leave(master);
    handover->master = getpid();
    handover->window_ms = master->window_ms;
    (void)snprintf(handover->binary, sizeof(handover->binary), "%s", upgrade->binary);
    for (size_t i = 0; i < upgrade->departing_count; i++) {
        if (!handover_add_process(handover, &upgrade->departing[i]))
            return error_set(error, "out of memory");
    }
    return upgrade_collect_fds(master, handover) || error_set(error, "out of memory");
}

static bool upgrade_collect_present(struct master *master, struct handover *handover,
                                    struct error *error)
{
    const struct generation *current = master->current;
    const struct config_limits *limits = &current->config->limits;

    handover->generation = current->number;
    handover->bundle_fd = current->bundle_fd;
    handover->keys_fd = current->keys_fd;
    handover->workers = master->worker_count;
    handover->drain_ms = limits->drain_timeout_ms + limits->linger_timeout_ms;
    handover->counters = STATS_LAYOUT;
    handover->way_back_fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
    if (handover->way_back_fd < 0)
        return error_set_errno(error, errno, "cannot keep a way back");
    if (!upgrade_collect_processes(master, handover))
        return error_set(error, "out of memory");
    return upgrade_collect(master, handover, error);
}

static bool upgrade_collect_processes(const struct master *master,
                                      struct handover *handover)
{
    for (size_t i = 0; i < master->process_count; i++) {
        const struct process *process = &master->processes[i];
        struct handover_process item = {.index = process->index,
                                        .pid = process->pid,
                                        .control_fd = process->control_fd,
                                        .stats_fd = process->stats_fd,
                                        .generation = process->generation};
        (void)snprintf(item.role, sizeof(item.role), "%s", process->role->name);
        if (process->pid > 0 && process->control_fd >= 0 &&
            !handover_add_process(handover, &item))
            return false;
    }
    return true;
}

/* Of sockets, those that serve already. */
static bool upgrade_collect_fds(const struct master *master, struct handover *handover)
{
    const struct sockets *sockets = &master->sockets;
    const struct activation *activation = &master->activation;
    const struct handover *from = &master->upgrade.from;

    for (size_t i = 0; i < sockets->count; i++) {
        const struct socket_group *group = &sockets->groups[i];
        for (unsigned j = 0; group->current && j < group->count && j < group->silent;
             j++) {
            if (!handover_add_fd(handover, HANDOVER_SOCKET, group->fds[j],
                                 group->address.text))
                return false;
        }
    }
    for (size_t i = 0; i < activation->count; i++) {
        if (!handover_add_fd(handover, HANDOVER_INHERITED, activation->items[i].fd,
                             activation->items[i].name))
            return false;
    }
    for (size_t i = 0; i < from->fd_count; i++) {
        const struct handover_fd *item = &from->fds[i];
        if (item->use == HANDOVER_KEPT && item->fd >= 0 &&
            !handover_add_fd(handover, HANDOVER_KEPT, item->fd, item->name))
            return false;
    }
    return true;
}

/* Into a pipe, which is memory of the kernel that is read once and never swapped out. */
static bool upgrade_pour_ring(struct master *master, struct handover *handover,
                              struct error *error)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return error_set_errno(error, errno, "cannot make a pipe");
    bool ok = write(ends[1], master->ring, sizeof(*master->ring)) ==
              (ssize_t)sizeof(*master->ring);
    close(ends[1]);
    handover->ring_fd = ends[0];
    if (ok)
        return true;
    close(ends[0]);
    handover->ring_fd = -1;
    return error_set(error, "cannot hand over the ticket keys");
}
