/* The master's processes: keyholder i and worker i side by side, then admin and the
 * resolver, which run only while they are needed, and the demo app. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/admin_role.h"
#include "proxy/demo_role.h"
#include "proxy/keyholder_role.h"
#include "proxy/log.h"
#include "proxy/master.h"
#include "proxy/resolver_role.h"
#include "proxy/worker.h"

enum { TITLE_MAX = 32 };

static bool fleet_launch(struct master *master, struct process *process,
                         struct error *error);
static bool fleet_link(struct master *master, unsigned index, struct error *error);
static bool fleet_is_lone(const struct process *process);
static bool fleet_is_leaving(const struct process *process);
static bool fleet_is_coming_back(const struct master *master,
                                 const struct process *process);
static void fleet_bring_back(struct master *master, struct process *process);
static void fleet_deliver(struct master *master, struct process *process,
                          const struct generation *generation);
static void fleet_send_sockets(struct master *master, struct process *process);
static void fleet_on_sandboxed(void *argument, struct process *process, bool refused);
static void fleet_on_finding(void *argument, enum report_level level, const char *text);
static void fleet_on_served(void *argument, const struct cert_set *served);
static void fleet_on_answer(void *argument, struct process *process);
static void fleet_on_listed(void *argument, struct process *process,
                            const struct control_message *message);
static void fleet_on_log_cut(void *argument, uint32_t epoch);
static void fleet_on_exit(void *argument, struct process *process, const char *words);
static void fleet_on_restart(void *argument, struct process *process);
static struct process *fleet_find(const struct master *master, const struct role *role,
                                  unsigned index);

static const struct process_events EVENTS = {
    .on_sandboxed = fleet_on_sandboxed,
    .on_finding = fleet_on_finding,
    .on_served = fleet_on_served,
    .on_resolved = resolve_on_message,
    .on_answer = fleet_on_answer,
    .on_listed = fleet_on_listed,
    .on_log_cut = fleet_on_log_cut,
    .on_exit = fleet_on_exit,
    .on_restart = fleet_on_restart,
};

/* Keys first, so that no worker asks for a signature nobody can make. */
static const struct role *const COMMIT_ORDER[] = {&keyholder_role, &resolver_role,
                                                  &demo_role, &worker_role, &admin_role};

bool fleet_start(struct master *master, unsigned workers, struct error *error)
{
    if (!fleet_make(master, workers, error))
        return false;
    for (size_t i = 0; i < master->process_count; i++) {
        if (fleet_wants(&master->processes[i], master->next) &&
            !fleet_launch(master, &master->processes[i], error))
            return false;
    }
    for (unsigned i = 0; i < workers; i++) {
        if (!fleet_link(master, i, error))
            return false;
    }
    return true;
}

void fleet_prepare(struct master *master)
{
    for (size_t i = 0; i < master->process_count; i++) {
        struct process *process = &master->processes[i];
        struct error error;
        bool missing = fleet_is_lone(process) && process->pid == 0;
        if (missing && fleet_wants(process, master->next)) {
            evtimer_del(process->restart_timer);
            if (!fleet_launch(master, process, &error))
                report_add(&master->report, REPORT_ERROR, NULL, 0, "%s", error.text);
        }
        if (process->pid > 0 && !fleet_is_leaving(process))
            fleet_deliver(master, process, master->next);
    }
}

void fleet_commit(struct master *master)
{
    for (size_t r = 0; r < sizeof(COMMIT_ORDER) / sizeof(COMMIT_ORDER[0]); r++) {
        for (size_t i = 0; i < master->process_count; i++) {
            struct process *process = &master->processes[i];
            if (process->role != COMMIT_ORDER[r] || process->state != PROCESS_PREPARED)
                continue;
            process->state = PROCESS_SERVING;
            process->serves = true;
            ledger_note_process(master, process);
            process_tell(process, CONTROL_COMMIT, process->generation, NULL, NULL);
        }
    }
}

void fleet_abort(struct master *master)
{
    for (size_t i = 0; i < master->process_count; i++) {
        struct process *process = &master->processes[i];
        if (process->state == PROCESS_PREPARING)
            process->state = PROCESS_ABORTED;
        else if (process->state == PROCESS_PREPARED || process->state == PROCESS_REFUSED)
            process->state = PROCESS_SERVING;
        else
            continue;
        process_tell(process, CONTROL_ABORT, process->generation, NULL, NULL);
    }
}

void fleet_settle(struct master *master)
{
    for (size_t i = 0; i < master->process_count; i++) {
        struct process *process = &master->processes[i];
        if (process->pid == 0 || !master->current ||
            fleet_wants(process, master->current))
            continue;
        process->ending = true;
        process_tell(process, CONTROL_STOP, 0, NULL, NULL);
    }
}

size_t fleet_running(const struct master *master, const struct role *role)
{
    size_t running = 0;

    for (size_t i = 0; i < master->process_count; i++) {
        const struct process *process = &master->processes[i];
        if (process->pid > 0 && (!role || process->role == role))
            running++;
    }
    return running;
}

bool fleet_is_preparing(const struct master *master)
{
    for (size_t i = 0; i < master->process_count; i++) {
        const struct process *process = &master->processes[i];
        if (process->state == PROCESS_PREPARING || process->state == PROCESS_ABORTED ||
            fleet_is_coming_back(master, process))
            return true;
    }
    return false;
}

void fleet_end(struct master *master, const struct role *role, enum control_type how)
{
    for (size_t i = 0; i < master->process_count; i++) {
        struct process *process = &master->processes[i];
        if (role && process->role != role)
            continue;
        process->ending = true;
        if (process->restart_timer)
            evtimer_del(process->restart_timer);
        process_tell(process, how, 0, NULL, NULL);
    }
}

void fleet_kill(struct master *master)
{
    for (size_t i = 0; i < master->process_count; i++)
        process_kill(&master->processes[i]);
}

void fleet_on_child_exit(struct master *master, pid_t pid, int status)
{
    for (size_t i = 0; i < master->process_count; i++) {
        if (master->processes[i].pid == pid) {
            process_reaped(&master->processes[i], status);
            return;
        }
    }
}

void fleet_close(struct master *master)
{
    for (size_t i = 0; i < master->process_count; i++)
        process_close(&master->processes[i]);
    free(master->processes);
    master->processes = NULL;
    master->process_count = 0;
}

bool fleet_make(struct master *master, unsigned workers, struct error *error)
{
    const size_t pairs = 2 * (size_t)workers;
    const size_t count = pairs + 2 + (master->source->with_demo ? 1 : 0);
    const struct role *const lone[] = {&admin_role, &resolver_role, &demo_role};

    master->worker_count = workers;
    master->processes = calloc(count, sizeof(*master->processes));
    if (!master->processes)
        return error_set(error, "out of memory");
    for (size_t i = 0; i < count; i++) {
        struct process *process = &master->processes[i];
        const struct role *role = i % 2 == 0 ? &keyholder_role : &worker_role;
        if (i >= pairs)
            role = lone[i - pairs];
        master->process_count = i + 1;
        if (!process_init(process, master->base, role, i < pairs ? (unsigned)(i / 2) : 0,
                          error))
            return false;
        process->events = &EVENTS;
        process->master = master;
    }
    return true;
}

static bool fleet_launch(struct master *master, struct process *process,
                         struct error *error)
{
    const struct generation *generation =
        master->current ? master->current : master->next;
    const uint32_t numbers[CONTROL_NUMBERS] = {
        [START_UID] = master->identity.uid,
        [START_GID] = master->identity.gid,
        [START_DROP] = master->identity.change,
        [START_LOG_LEVEL] = generation->config->log.level,
        [START_LOG_FORMAT] = generation->config->log.format,
        [START_MAY_LACK] = config_may_lack(generation->config),
        [START_WORKERS] = master->worker_count,
    };

    bool started = process_start(process, numbers, error);
    if (process->pid > 0)
        ledger_note_start(master, process);
    if (started && master->current)
        log_target_tell(master, process);
    return started && (process->role != &admin_role ||
                       fleet_admin_send_pages(master, process, error));
}

/* One that runs only while it is needed. */
static bool fleet_is_lone(const struct process *process)
{
    return process->role == &admin_role || process->role == &resolver_role;
}

/* Such a one was needed no more, but has not gone yet. */
static bool fleet_is_leaving(const struct process *process)
{
    return fleet_is_lone(process) && process->pid > 0 && process->ending;
}

static bool fleet_is_coming_back(const struct master *master,
                                 const struct process *process)
{
    return fleet_is_leaving(process) && master->next &&
           fleet_wants(process, master->next);
}

/* Whether the process is to run while the generation is in service. */
bool fleet_wants(const struct process *process, const struct generation *generation)
{
    if (process->role == &resolver_role)
        return resolver_is_needed(generation->config);
    return process->role != &admin_role || generation->config->admin.addresses.count > 0;
}

/* A new socketpair between worker and keyholder `index`, given to whichever runs. */
static bool fleet_link(struct master *master, unsigned index, struct error *error)
{
    struct process *ends[2] = {fleet_find(master, &keyholder_role, index),
                               fleet_find(master, &worker_role, index)};
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return error_set_errno(error, errno, "cannot make a socketpair");
    for (int i = 0; i < 2; i++) {
        const struct control_fds fds = {.fd = {pair[i], -1}};
        if (ends[i]->pid > 0)
            process_tell(ends[i], CONTROL_CHANNEL, 0, NULL, &fds);
    }
    close(pair[0]);
    close(pair[1]);
    return true;
}

/* Everything a process needs to build the generation aside. */
static void fleet_deliver(struct master *master, struct process *process,
                          const struct generation *generation)
{
    struct control_fds fds = {.fd = {generation->bundle_fd, -1}};

    if (process->role == &worker_role)
        fleet_send_sockets(master, process);
    if (process->role == &keyholder_role)
        fds.fd[1] = generation->keys_fd;
    if (process->role == &demo_role && !process->serves) {
        const struct control_fds socket = {.fd = {master->source->demo_fd, -1}};
        process_tell(process, CONTROL_LISTENER, 0, "demo", &socket);
    }
    if (process->role == &admin_role)
        fleet_admin_send_sockets(master, process);
    process_prepare(process, generation->number, &fds);
}

/* The listening sockets that the worker does not have yet. */
static void fleet_send_sockets(struct master *master, struct process *process)
{
    for (size_t i = 0; i < master->sockets.count; i++) {
        const struct socket_group *group = &master->sockets.groups[i];
        struct error error;
        if (process->serves ? group->current : !group->wanted)
            continue;
        for (unsigned j = 0; j < group->count; j++) {
            const struct control_fds fds = {.fd = {group->fds[j], -1}};
            if (!sockets_is_for(&master->sockets, group, j, process->index))
                continue;
            if (!sockets_revive(group, j, &error))
                log_error("%s", error.text);
            process_tell(process, CONTROL_LISTENER, 0, group->address.text, &fds);
        }
    }
}

/* All roles meet the same kernel, so what several lack is said once. */
static void fleet_on_sandboxed(void *argument, struct process *process, bool refused)
{
    struct master *master = argument;
    const struct sandbox_state *state = &process->sandbox;
    const struct config *config = master->next ? master->next->config : NULL;
    char words[256], title[TITLE_MAX];

    log_debug("%s is confined: %s", process_title(process, title, sizeof(title)),
              sandbox_describe(state, words, sizeof(words)));
    bool known = strcmp(master->sandbox_complaint, state->lacks) == 0;
    (void)snprintf(master->sandbox_complaint, sizeof(master->sandbox_complaint), "%s",
                   state->lacks);
    if (!refused) {
        if (!known)
            log_warning("the sandbox is not whole, as unsafe_without allows: %s",
                        state->lacks);
    } else if (config) {
        report_add(&master->report, REPORT_ERROR, config->file,
                   config->proxy.unsafe_without_line, "%s", state->lacks);
        reload_give_up(master);
    } else if (master->state != MASTER_STOPPING) {
        if (!known)
            log_error("%s", state->lacks);
        process_kill(process);
    }
}

static void fleet_on_finding(void *argument, enum report_level level, const char *text)
{
    struct master *master = argument;

    if (master->next)
        report_add(&master->report, level, NULL, 0, "%s", text);
    else if (level != REPORT_WARNING)
        log_error("%s", text);
}

static void fleet_on_served(void *argument, const struct cert_set *served)
{
    struct master *master = argument;

    if (master->next)
        cert_set_intersect(&master->served, served);
}

static void fleet_on_answer(void *argument, struct process *process)
{
    struct master *master = argument;
    char title[TITLE_MAX];

    if (master->next || process->state == PROCESS_SERVING) {
        reload_consider(master);
        return;
    }
    /* A replacement for one that died. */
    if (process->state == PROCESS_REFUSED) {
        log_error("the new %s refuses the configuration that is in service",
                  process_title(process, title, sizeof(title)));
        process_kill(process);
        return;
    }
    fleet_commit(master);
    log_info("%s serves again", process_title(process, title, sizeof(title)));
    reload_consider(master);
}

static void fleet_on_listed(void *argument, struct process *process,
                            const struct control_message *message)
{
    struct master *master = argument;

    console_on_listed(master->console, process, message);
}

static void fleet_on_log_cut(void *argument, uint32_t epoch)
{
    log_target_on_cut(argument, epoch);
}

static void fleet_on_exit(void *argument, struct process *process, const char *words)
{
    struct master *master = argument;
    char title[TITLE_MAX];
    bool comes_back = fleet_is_lone(process) && process->ending && master->next &&
                      fleet_wants(process, master->next);

    ledger_note_process(master, process);
    /* While workers finish, their handshakes still need keyholders. */
    if (master->state == MASTER_STOPPING ||
        (master->state == MASTER_DRAINING && process->role != &keyholder_role))
        process->ending = true;
    else if (fleet_is_lone(process) && master->current)
        process->ending = !fleet_wants(process, master->current);
    if (comes_back && master->state == MASTER_RELOADING) {
        fleet_bring_back(master, process);
        return;
    }
    if (!words)
        return;
    log_warning("%s %s%s", process_title(process, title, sizeof(title)), words,
                process->ending ? "" : "; a new one is started");
    if (master->next) {
        /* The outcome is certain, and a replacement must not wait for the others. */
        report_add(&master->report, REPORT_ERROR, NULL, 0, "%s %s while it prepared",
                   title, words);
        reload_give_up(master);
    }
}

/* It was told to end, and the configuration that is being prepared wants it again. */
static void fleet_bring_back(struct master *master, struct process *process)
{
    struct error error;

    if (fleet_launch(master, process, &error))
        fleet_deliver(master, process, master->next);
    else
        report_add(&master->report, REPORT_ERROR, NULL, 0, "%s", error.text);
    if (process->role == &resolver_role)
        resolver_ask_again(master->resolver);
    reload_consider(master);
}

static void fleet_on_restart(void *argument, struct process *process)
{
    struct master *master = argument;
    struct error error;

    if (!master->current || !fleet_wants(process, master->current))
        return;
    if (process->pid > 0)
        return;
    /* One that is missing while another configuration is prepared gets that one or the
     * present one when this is decided. */
    if (master->next) {
        const struct timeval soon = {.tv_usec = 20000};
        evtimer_add(process->restart_timer, &soon);
        return;
    }
    if (!fleet_launch(master, process, &error)) {
        log_error("%s", error.text);
        if (process->pid > 0)
            process_kill(process);
        else
            process_restart_later(process);
        return;
    }
    if (process->role == &worker_role)
        window_send(master, process);
    /* The keys first, then who asks for signatures. */
    fleet_deliver(master, process, master->current);
    if (process->role == &resolver_role)
        resolver_ask_again(master->resolver);
    if (process->role == &worker_role)
        resolve_send(master, process, master->current->config);
    bool signs = process->role == &worker_role || process->role == &keyholder_role;
    if (signs && !fleet_link(master, process->index, &error)) {
        log_error("%s", error.text);
        process_kill(process);
    }
}

static struct process *fleet_find(const struct master *master, const struct role *role,
                                  unsigned index)
{
    for (size_t i = 0; i < master->process_count; i++) {
        struct process *process = &master->processes[i];
        if (process->role == role && process->index == index)
            return process;
    }
    return NULL;
}
