#include "proxy/role.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include "proxy/control.h"
#include "proxy/log.h"
#include "proxy/log_timer.h"
#include "proxy/sandbox.h"

struct role_process {
    const struct role *role;
    void *self;
    struct event_base *base;
    struct event *control_event;
    unsigned workers;            /* that Pawl runs */
    uint32_t generation;         /* prepared last */
    struct log_timer *log_timer; /* owned */
    uint32_t log_epoch;          /* of the log's socket */
    uint32_t log_cut;            /* of the one that the master was told is dead */
};

static bool role_begin(struct role_process *process, unsigned index, struct error *error);
static bool role_confine(const struct role *role, const struct control_message *start,
                         struct error *error);
static void role_await_end(void) __attribute__((noreturn));
static void role_on_forbidden(int call);
static bool role_open(struct role_process *process, struct error *error);
static void role_close(struct role_process *process);
static void role_on_control(evutil_socket_t fd, short what, void *argument);
static bool role_handle(struct role_process *process,
                        const struct control_message *message, struct control_fds *fds);
static bool role_answer_ping(void);
static bool role_list_sessions(struct role_process *process,
                               const struct control_message *message,
                               struct control_fds *fds);
static void role_take_tickets(struct role_process *process,
                              const struct control_message *message);
static void role_take_addresses(struct role_process *process,
                                const struct control_message *message);
static void role_take_log(struct role_process *process,
                          const struct control_message *message, struct control_fds *fds);
static void role_on_log_cut(void *argument);
static bool role_prepare(struct role_process *process,
                         const struct control_message *message,
                         const struct control_fds *fds);
static void role_build(struct role_process *process, const struct control_fds *fds,
                       struct report *report);
static bool role_answer(struct role_process *process, const struct report *report);
static bool role_send_served(const struct role_process *process, struct error *error);

int role_run(const struct role *role, unsigned index)
{
    struct role_process process = {.role = role};
    struct error error;

    if (!role_begin(&process, index, &error) || !role_open(&process, &error)) {
        log_error("%s", error.text);
        role_close(&process);
        return 1;
    }
    (void)event_base_dispatch(process.base);
    role_close(&process);
    return 0;
}

/* Names the process and gives up its rights before anything else is read. */
static bool role_begin(struct role_process *process, unsigned index, struct error *error)
{
    const struct role *role = process->role;
    struct control_message start;
    struct control_fds fds;
    char title[64];

    (void)snprintf(title, sizeof(title), "%s %u", role->name, index);
    log_open(title, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    (void)snprintf(title, sizeof(title), "pawl-%s", role->name);
    (void)prctl(PR_SET_NAME, title, 0, 0, 0);

    enum control_result result = control_receive(ROLE_CONTROL_FD, true, &start, &fds);
    if (result != CONTROL_MESSAGE || start.type != CONTROL_START)
        return error_set(error, "a %s is started by `pawl run` only", role->name);
    control_fds_close(&fds);
    log_configure((enum log_level)start.number[START_LOG_LEVEL],
                  (enum log_format)start.number[START_LOG_FORMAT]);
    process->workers = start.number[START_WORKERS];

    return role_confine(role, &start, error);
}

/* Closes the sandbox and tells the master what is in force, or why it cannot be. */
static bool role_confine(const struct role *role, const struct control_message *start,
                         struct error *error)
{
    const struct sandbox_request request = {
        .profile = sandbox_profile_find(role->name),
        .identity = {.change = start->number[START_DROP] != 0,
                     .uid = start->number[START_UID],
                     .gid = start->number[START_GID]},
        .may_lack = start->number[START_MAY_LACK],
        .on_forbidden = role_on_forbidden,
    };
    struct control_message answer = {.type = CONTROL_SANDBOXED};
    struct sandbox_state state;

    if (!request.profile)
        return error_set(error, "there is no sandbox for a %s", role->name);
    bool entered = sandbox_enter(&request, &state, error);
    answer.number[SANDBOXED_IN_FORCE] = state.in_force;
    answer.number[SANDBOXED_LANDLOCK_ABI] = state.landlock_abi;
    answer.number[SANDBOXED_UID] = state.uid;
    answer.number[SANDBOXED_REFUSED] = !entered;
    (void)snprintf(answer.text, sizeof(answer.text), "%s",
                   entered ? state.lacks : error->text);
    if (!control_send(ROLE_CONTROL_FD, &answer, NULL, entered ? error : NULL))
        return false;
    if (!entered)
        role_await_end();
    return entered;
}

/* The master says once for all roles why they cannot run, and ends them. */
static void role_await_end(void)
{
    struct control_message message;
    struct control_fds fds;

    while (control_receive(ROLE_CONTROL_FD, true, &message, &fds) == CONTROL_MESSAGE &&
           message.type != CONTROL_STOP)
        control_fds_close(&fds);
    exit(EXIT_SUCCESS);
}

/* In a signal handler: the last this process does is to say which call it was. */
static void role_on_forbidden(int call)
{
    const struct control_message message = {.type = CONTROL_FORBIDDEN,
                                            .number = {(uint32_t)call}};

    (void)send(ROLE_CONTROL_FD, &message, sizeof(message), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static bool role_open(struct role_process *process, struct error *error)
{
    if (wolfSSL_Init() != WOLFSSL_SUCCESS)
        return error_set(error, "wolfSSL does not start");
    process->base = event_base_new();
    if (!process->base)
        return error_set(error, "cannot make an event loop");
    process->log_timer = log_timer_new(process->base, role_on_log_cut, process, error);
    if (!process->log_timer)
        return false;
    process->self = process->role->open(process->base, error);
    if (!process->self)
        return false;
    process->control_event = event_new(process->base, ROLE_CONTROL_FD,
                                       EV_READ | EV_PERSIST, role_on_control, process);
    if (!process->control_event || event_add(process->control_event, NULL) < 0)
        return error_set(error, "cannot watch the control socket");
    return true;
}

static void role_close(struct role_process *process)
{
    if (process->self)
        process->role->close(process->self);
    if (process->control_event)
        event_free(process->control_event);
    log_timer_free(process->log_timer);
    log_finish();
    if (process->base)
        event_base_free(process->base);
    wolfSSL_Cleanup();
}

static void role_on_control(evutil_socket_t fd, short what, void *argument)
{
    struct role_process *process = argument;
    struct control_message message;
    struct control_fds fds;

    (void)what;
    for (;;) {
        switch (control_receive(fd, false, &message, &fds)) {
        case CONTROL_MESSAGE:
            if (!role_handle(process, &message, &fds)) {
                event_base_loopbreak(process->base);
                return;
            }
            if (message.type == CONTROL_TICKETS)
                explicit_bzero(&message, sizeof(message));
            control_fds_close(&fds);
            continue;
        case CONTROL_NOTHING:
            return;
        case CONTROL_INVALID:
            log_error("the master sent what is no control message");
            event_base_loopbreak(process->base);
            return;
        case CONTROL_CLOSED:
            log_info(
                "the master is gone or replaced: finishing what is open, then exiting");
            event_del(process->control_event);
            process->role->drain(process->self);
            return;
        }
    }
}

/* Returns false when the role is to end. */
static bool role_handle(struct role_process *process,
                        const struct control_message *message, struct control_fds *fds)
{
    const struct role *role = process->role;

    switch ((enum control_type)message->type) {
    case CONTROL_LISTENER:
        if (role->take_listener && fds->fd[0] >= 0) {
            role->take_listener(process->self, message->text, fds->fd[0]);
            fds->fd[0] = -1;
        }
        return true;
    case CONTROL_CHANNEL:
        if (role->take_channel && fds->fd[0] >= 0) {
            role->take_channel(process->self, fds->fd[0]);
            fds->fd[0] = -1;
        }
        return true;
    case CONTROL_STATS:
        if (role->take_stats && fds->fd[0] >= 0) {
            role->take_stats(process->self, message->number[0], fds->fd[0]);
            fds->fd[0] = -1;
        }
        return true;
    case CONTROL_SESSIONS:
        return role_list_sessions(process, message, fds);
    case CONTROL_TICKETS:
        if (role->take_tickets)
            role_take_tickets(process, message);
        return true;
    case CONTROL_RESOLVE:
        if (role->take_query)
            role->take_query(process->self, message->number[RESOLVED_QUERY],
                             message->text);
        return true;
    case CONTROL_ADDRESSES:
        if (role->take_addresses)
            role_take_addresses(process, message);
        return true;
    case CONTROL_PREPARE:
        return role_prepare(process, message, fds);
    case CONTROL_COMMIT:
        role->commit(process->self, message->generation);
        return true;
    case CONTROL_ABORT:
        role->abort(process->self);
        return true;
    case CONTROL_LOG:
        role_take_log(process, message, fds);
        return true;
    case CONTROL_DRAIN:
        role->drain(process->self);
        return true;
    case CONTROL_STOP:
        return false;
    case CONTROL_PING:
        return role_answer_ping();
    case CONTROL_START:
    case CONTROL_SANDBOXED:
    case CONTROL_FORBIDDEN:
    case CONTROL_FINDING:
    case CONTROL_SERVED:
    case CONTROL_RESOLVED:
    case CONTROL_PREPARED:
    case CONTROL_REFUSED:
    case CONTROL_PONG:
    case CONTROL_LISTED:
    case CONTROL_LOG_CUT:
    case CONTROL_TYPE_END:
        log_warning("unexpected control message %u from the master", message->type);
        return true;
    }
    return true;
}

static bool role_answer_ping(void)
{
    const struct control_message pong = {.type = CONTROL_PONG};
    struct error error;

    if (control_send(ROLE_CONTROL_FD, &pong, NULL, &error))
        return true;
    log_error("%s", error.text);
    return false;
}

static bool role_list_sessions(struct role_process *process,
                               const struct control_message *message,
                               struct control_fds *fds)
{
    struct control_message answer = {.type = CONTROL_LISTED,
                                     .generation = message->generation};
    struct error error;

    if (process->role->list_sessions && fds->fd[0] >= 0) {
        process->role->list_sessions(process->self, fds->fd[0], message->number[0],
                                     answer.number);
        fds->fd[0] = -1;
    }
    if (control_send(ROLE_CONTROL_FD, &answer, NULL, &error))
        return true;
    log_error("%s", error.text);
    return false;
}

static void role_take_tickets(struct role_process *process,
                              const struct control_message *message)
{
    struct ticket_ring ring;

    memcpy(&ring, message->text, sizeof(ring));
    process->role->take_tickets(process->self, &ring);
    ticket_ring_wipe(&ring);
}

static void role_take_addresses(struct role_process *process,
                                const struct control_message *message)
{
    struct resolved resolved;

    memcpy(&resolved, message->text, sizeof(resolved));
    if (resolved_is_valid(&resolved))
        process->role->take_addresses(process->self, &resolved);
}

static void role_take_log(struct role_process *process,
                          const struct control_message *message, struct control_fds *fds)
{
    const uint32_t *number = message->number;

    if (number[LOG_NUMBER_LEVEL] > LOG_LEVEL_DEBUG ||
        number[LOG_NUMBER_FORMAT] > LOG_FORMAT_JSON ||
        number[LOG_NUMBER_TARGET] > LOG_PLACE_SYSLOG_LOCAL ||
        number[LOG_NUMBER_FACILITY] > LOG_FACILITY_LOCAL7 ||
        number[LOG_NUMBER_REPEATS] > LOG_REPEAT_MAX) {
        log_warning("the master asks for a log that does not exist");
        return;
    }
    process->log_epoch = message->generation;
    log_configure((enum log_level)number[LOG_NUMBER_LEVEL],
                  (enum log_format)number[LOG_NUMBER_FORMAT]);
    log_limit_repeats(number[LOG_NUMBER_REPEATS]);
    if (number[LOG_NUMBER_TARGET] == LOG_PLACE_STDERR) {
        log_to_stderr();
        return;
    }
    log_to_syslog(fds->fd[0], (enum log_place)number[LOG_NUMBER_TARGET],
                  (enum log_facility)number[LOG_NUMBER_FACILITY], false);
    fds->fd[0] = -1;
}

/* The role may not connect to the daemon itself. */
static void role_on_log_cut(void *argument)
{
    struct role_process *process = argument;
    const struct control_message message = {.type = CONTROL_LOG_CUT,
                                            .generation = process->log_epoch};
    struct error error;

    if (process->log_cut == process->log_epoch)
        return;
    process->log_cut = process->log_epoch;
    if (!control_send(ROLE_CONTROL_FD, &message, NULL, &error))
        log_debug("%s", error.text);
}

static bool role_prepare(struct role_process *process,
                         const struct control_message *message,
                         const struct control_fds *fds)
{
    struct report report = {0};

    process->generation = message->generation;
    role_build(process, fds, &report);
    bool sent = role_answer(process, &report);
    report_close(&report);
    return sent;
}

static void role_build(struct role_process *process, const struct control_fds *fds,
                       struct report *report)
{
    struct bundle *keys = NULL;
    struct error error;

    struct bundle *bundle = bundle_open(fds->fd[0], &error);
    if (!bundle || (fds->fd[1] >= 0 && !(keys = bundle_open(fds->fd[1], &error)))) {
        report_add(report, REPORT_ERROR, NULL, 0, "%s: %s", process->role->name,
                   error.text);
        bundle_close(bundle);
        return;
    }
    struct config *config = config_read_bundle(bundle, report);
    if (config) {
        /* The sandbox does not let a role count processors. */
        if (config->proxy.workers == 0)
            config->proxy.workers = process->workers;
        process->role->prepare(process->self, config, bundle, keys, report);
    }
    bundle_close(keys);
    bundle_close(bundle);
}

static bool role_answer(struct role_process *process, const struct report *report)
{
    struct control_message answer = {.generation = process->generation};
    struct error error;

    answer.type = CONTROL_FINDING;
    for (size_t i = 0; i < report->count; i++) {
        answer.number[0] = report->entries[i].level;
        (void)snprintf(answer.text, sizeof(answer.text), "%s", report->entries[i].text);
        if (!control_send(ROLE_CONTROL_FD, &answer, NULL, &error))
            goto fail;
    }
    if (!role_send_served(process, &error))
        goto fail;
    answer.type = report->errors > 0 ? CONTROL_REFUSED : CONTROL_PREPARED;
    answer.text[0] = '\0';
    if (control_send(ROLE_CONTROL_FD, &answer, NULL, &error))
        return true;
fail:
    log_error("%s", error.text);
    return false;
}

static bool role_send_served(const struct role_process *process, struct error *error)
{
    static_assert(sizeof(struct cert_set) < CONTROL_TEXT_MAX,
                  "one message holds the set");
    struct control_message message = {.type = CONTROL_SERVED,
                                      .generation = process->generation};
    const struct role *role = process->role;
    const struct cert_set *served = role->served ? role->served(process->self) : NULL;

    if (!served)
        return true;
    memcpy(message.text, served, sizeof(*served));
    return control_send(ROLE_CONTROL_FD, &message, NULL, error);
}
