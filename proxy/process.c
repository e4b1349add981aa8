#include "proxy/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proxy/call_filter.h"
#include "proxy/log.h"

enum {
    RESTART_FIRST_MS = 50,
    RESTART_MOST_MS = 5000,
    HEALTHY_MS = 10000, /* alive this long: the next death is the first again */
    ANSWER_TIMEOUT_S = 30,
    MESSAGES_PER_TURN = 64,
    EXEC_FAILED = 127,
    TITLE_MAX = 32
};

/* For a role that has closed its control socket to be gone as well. */
static const struct timeval HANG_UP_PATIENCE = {.tv_sec = 5};

static void process_exec(const struct process *process, int control_fd)
    __attribute__((noreturn));
static void process_on_control(evutil_socket_t fd, short what, void *argument);
static bool process_handle(struct process *process,
                           const struct control_message *message);
static bool process_take_sandbox(struct process *process,
                                 const struct control_message *message);
static void process_hear_last_words(struct process *process);
static void process_explain_exit(const struct process *process, int status, char *words,
                                 size_t size);
static void process_on_answer_timeout(evutil_socket_t fd, short what, void *argument);
static void process_on_restart_timer(evutil_socket_t fd, short what, void *argument);
static void process_hang_up(struct process *process);
static uint64_t process_now_ms(void);

bool process_init(struct process *process, struct event_base *base,
                  const struct role *role, unsigned index, struct error *error)
{
    *process = (struct process){
        .role = role, .index = index, .base = base, .control_fd = -1, .stats_fd = -1};
    process->restart_timer = evtimer_new(base, process_on_restart_timer, process);
    process->answer_timer = evtimer_new(base, process_on_answer_timeout, process);
    if (!process->restart_timer || !process->answer_timer)
        return error_set(error, "out of memory");
    if (!role->counts)
        return true;
    process->stats_fd = stats_page_new("pawl counters", sizeof(*process->stats), error);
    if (process->stats_fd < 0)
        return false;
    process->stats =
        stats_page_map(process->stats_fd, sizeof(*process->stats), false, error);
    return process->stats != NULL;
}

bool process_start(struct process *process, const uint32_t numbers[CONTROL_NUMBERS],
                   struct error *error)
{
    struct control_message start = {.type = CONTROL_START};
    int ends[2];

    process->started_ms = process_now_ms();
    process->pinged_ms = 0;
    if (!control_pair(ends, error))
        return false;
    pid_t pid = fork();
    if (pid < 0) {
        close(ends[0]);
        close(ends[1]);
        return error_set_errno(error, errno, "cannot fork");
    }
    if (pid == 0)
        process_exec(process, ends[1]);
    close(ends[1]);

    process->pid = pid;
    process->control_fd = ends[0];
    process->state = PROCESS_SERVING;
    process->serves = false;
    process->ending = false;
    process->listing = 0;
    process->log_epoch = process->log_cut = 0;
    process->sandboxed = process->forbidden = false;
    process->sandbox = (struct sandbox_state){0};
    process->control_event = event_new(process->base, ends[0], EV_READ | EV_PERSIST,
                                       process_on_control, process);
    if (!process->control_event || event_add(process->control_event, NULL) < 0)
        return error_set(error, "out of memory");
    memcpy(start.number, numbers, sizeof(start.number));
    if (!control_send(process->control_fd, &start, NULL, error))
        return false;
    const struct control_message counters = {.type = CONTROL_STATS,
                                             .number = {process->index}};
    const struct control_fds page = {.fd = {process->stats_fd, -1}};
    return process->stats_fd < 0 ||
           control_send(process->control_fd, &counters, &page, error);
}

bool process_adopt(struct process *process, pid_t pid, int control_fd,
                   uint32_t generation, struct error *error)
{
    process->pid = pid;
    process->control_fd = control_fd;
    process->generation = generation;
    process->state = PROCESS_SERVING;
    process->serves = true;
    process->started_ms = process_now_ms();
    process->control_event = event_new(process->base, control_fd, EV_READ | EV_PERSIST,
                                       process_on_control, process);
    if (!process->control_event || event_add(process->control_event, NULL) < 0)
        return error_set(error, "out of memory");
    return true;
}

bool process_take_page(struct process *process, int stats_fd, struct error *error)
{
    if (process->stats_fd >= 0)
        close(process->stats_fd);
    stats_page_unmap(process->stats, sizeof(*process->stats));
    process->stats_fd = stats_fd;
    process->stats = stats_page_map(stats_fd, sizeof(*process->stats), false, error);
    return process->stats != NULL;
}

void process_ping(struct process *process)
{
    if (process->state != PROCESS_SERVING || process->ending || process->pinged_ms != 0)
        return;
    process->pinged_ms = process_now_ms();
    process_tell(process, CONTROL_PING, 0, NULL, NULL);
}

uint64_t process_silent_ms(const struct process *process)
{
    return process->pinged_ms == 0 ? 0 : process_now_ms() - process->pinged_ms;
}

void process_tell(struct process *process, enum control_type type, uint32_t generation,
                  const char *text, const struct control_fds *fds)
{
    struct control_message message = {.type = type, .generation = generation};

    if (text)
        (void)snprintf(message.text, sizeof(message.text), "%s", text);
    process_tell_message(process, &message, fds);
}

void process_tell_message(struct process *process, const struct control_message *message,
                          const struct control_fds *fds)
{
    struct error error;
    char title[TITLE_MAX];

    if (process->control_fd < 0 ||
        control_send(process->control_fd, message, fds, &error))
        return;
    log_warning("%s cannot be told anything and is killed: %s",
                process_title(process, title, sizeof(title)), error.text);
    process_kill(process);
}

void process_prepare(struct process *process, uint32_t generation,
                     const struct control_fds *fds)
{
    const struct timeval patience = {.tv_sec = ANSWER_TIMEOUT_S};

    process->state = PROCESS_PREPARING;
    process->generation = generation;
    process->findings = 0;
    evtimer_add(process->answer_timer, &patience);
    process_tell(process, CONTROL_PREPARE, generation, NULL, fds);
}

void process_reaped(struct process *process, int status)
{
    char words[128];

    process_hear_last_words(process);
    process_explain_exit(process, status, words, sizeof(words));
    process_hang_up(process);
    process->pid = 0;
    process->pinged_ms = 0;
    process->serves = false;
    process->state = PROCESS_DOWN;
    bool as_told = process->ending && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    process->events->on_exit(process->master, process, as_told ? NULL : words);
    if (!process->ending)
        process_restart_later(process);
}

/* What it said about itself before it died may come after the news of its death. */
static void process_hear_last_words(struct process *process)
{
    struct control_message message;
    struct control_fds fds;

    while (process->control_fd >= 0 &&
           control_receive(process->control_fd, false, &message, &fds) ==
               CONTROL_MESSAGE) {
        control_fds_close(&fds);
        if (message.type == CONTROL_SANDBOXED || message.type == CONTROL_FORBIDDEN)
            (void)process_handle(process, &message);
    }
}

static void process_explain_exit(const struct process *process, int status, char *words,
                                 size_t size)
{
    char name[64];

    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS && process->forbidden)
        (void)snprintf(words, size,
                       "used a system call it is not allowed, %s (%u), and was killed",
                       call_filter_name(process->forbidden_call, name, sizeof(name)),
                       process->forbidden_call);
    else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        (void)snprintf(words, size,
                       "used a system call it is not allowed and was killed");
    else if (WIFSIGNALED(status))
        (void)snprintf(words, size, "was killed by signal %d (%s)", WTERMSIG(status),
                       strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) == EXEC_FAILED)
        (void)snprintf(words, size, "could not be executed (is /proc there?)");
    else
        (void)snprintf(words, size, "exited with code %d", WEXITSTATUS(status));
}

void process_restart_later(struct process *process)
{
    unsigned delay = RESTART_FIRST_MS;

    if (process_now_ms() - process->started_ms >= HEALTHY_MS)
        process->failures = 0;
    for (unsigned i = 0; i < process->failures && delay < RESTART_MOST_MS; i++)
        delay *= 2;
    process->failures++;
    if (delay > RESTART_MOST_MS)
        delay = RESTART_MOST_MS;
    const struct timeval wait = {.tv_sec = delay / 1000, .tv_usec = delay % 1000 * 1000};
    evtimer_add(process->restart_timer, &wait);
}

const char *process_title(const struct process *process, char *text, size_t size)
{
    (void)snprintf(text, size, "%s %u", process->role->name, process->index);
    return text;
}

void process_kill(struct process *process)
{
    if (process->pid > 0)
        (void)kill(process->pid, SIGKILL);
}

void process_close(struct process *process)
{
    process_hang_up(process);
    if (process->restart_timer)
        event_free(process->restart_timer);
    if (process->answer_timer)
        event_free(process->answer_timer);
    process->restart_timer = process->answer_timer = NULL;
    stats_page_unmap(process->stats, sizeof(*process->stats));
    process->stats = NULL;
    if (process->stats_fd >= 0)
        close(process->stats_fd);
    process->stats_fd = -1;
}

/* In the child: nothing is inherited but the log and the control socket. */
static void process_exec(const struct process *process, int control_fd)
{
    char name[TITLE_MAX], index[TITLE_MAX];
    char program[] = "pawl";
    char *const arguments[] = {program, name, index, NULL};
    char *const nothing[] = {NULL};
    sigset_t none;

    (void)snprintf(name, sizeof(name), "%s", process->role->name);
    (void)snprintf(index, sizeof(index), "%u", process->index);
    /* What the terminal sends to all is for the master to decide. */
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    (void)signal(SIGQUIT, SIG_IGN);
    (void)signal(SIGUSR2, SIG_IGN);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGCHLD, SIG_DFL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);

    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    /* A number above ROLE_CONTROL_FD first, so that dup2 always makes a new descriptor,
     * which is not close-on-exec. */
    int control = fcntl(control_fd, F_DUPFD_CLOEXEC, ROLE_CONTROL_FD + 1);
    if (null < 0 || control < 0 || dup2(null, STDIN_FILENO) < 0 ||
        dup2(control, ROLE_CONTROL_FD) < 0)
        _exit(EXEC_FAILED);
    (void)close_range(ROLE_CONTROL_FD + 1, ~0U, 0);
    execve("/proc/self/exe", arguments, SANDBOX_TRACEABLE ? environ : nothing);
    _exit(EXEC_FAILED);
}

static void process_on_control(evutil_socket_t fd, short what, void *argument)
{
    struct process *process = argument;
    struct control_message message;
    struct control_fds fds;
    char title[TITLE_MAX];

    (void)what;
    for (int i = 0; i < MESSAGES_PER_TURN; i++) {
        switch (control_receive(fd, false, &message, &fds)) {
        case CONTROL_MESSAGE:
            control_fds_close(&fds);
            if (process_handle(process, &message))
                continue;
            break;
        case CONTROL_NOTHING:
            return;
        case CONTROL_CLOSED:
            /* SIGCHLD is to tell the rest. */
            event_del(process->control_event);
            evtimer_add(process->answer_timer, &HANG_UP_PATIENCE);
            return;
        case CONTROL_INVALID:
            break;
        }
        log_error("%s sent what no %s says; it is replaced",
                  process_title(process, title, sizeof(title)), process->role->name);
        event_del(process->control_event);
        process_kill(process);
        return;
    }
}

/* Returns false for what must not come. */
static bool process_handle(struct process *process, const struct control_message *message)
{
    bool aborted = process->state == PROCESS_ABORTED;
    bool expected = (aborted || process->state == PROCESS_PREPARING) &&
                    message->generation == process->generation;
    struct cert_set served;

    switch (message->type) {
    case CONTROL_SANDBOXED:
        return process_take_sandbox(process, message);
    case CONTROL_FORBIDDEN:
        process->forbidden = true;
        process->forbidden_call = message->number[0];
        return true;
    case CONTROL_FINDING:
        if (!expected || message->number[0] > REPORT_ERROR)
            return false;
        if (++process->findings > REPORT_ENTRIES_MAX)
            return false;
        if (!aborted)
            process->events->on_finding(
                process->master, (enum report_level)message->number[0], message->text);
        return true;
    case CONTROL_SERVED:
        if (!expected)
            return false;
        memcpy(&served, message->text, sizeof(served));
        if (!aborted)
            process->events->on_served(process->master, &served);
        return true;
    case CONTROL_RESOLVED:
        return process->role->take_query &&
               process->events->on_resolved(process->master, message);
    case CONTROL_PREPARED:
    case CONTROL_REFUSED:
        if (!expected)
            return false;
        if (aborted)
            process->state = PROCESS_SERVING;
        else
            process->state =
                message->type == CONTROL_PREPARED ? PROCESS_PREPARED : PROCESS_REFUSED;
        evtimer_del(process->answer_timer);
        process->events->on_answer(process->master, process);
        return true;
    case CONTROL_PONG:
        process->pinged_ms = 0;
        return true;
    case CONTROL_LISTED:
        if (process->listing == 0 || message->generation != process->listing)
            return false;
        process->listing = 0;
        process->events->on_listed(process->master, process, message);
        return true;
    case CONTROL_LOG_CUT:
        /* Once for each socket. */
        if (message->generation <= process->log_cut ||
            message->generation > process->log_epoch)
            return false;
        process->log_cut = message->generation;
        process->events->on_log_cut(process->master, message->generation);
        return true;
    default:
        return false;
    }
}

static bool process_take_sandbox(struct process *process,
                                 const struct control_message *message)
{
    struct sandbox_state *state = &process->sandbox;

    if (process->sandboxed)
        return false;
    process->sandboxed = true;
    state->in_force = message->number[SANDBOXED_IN_FORCE];
    state->landlock_abi = message->number[SANDBOXED_LANDLOCK_ABI];
    state->uid = message->number[SANDBOXED_UID];
    (void)snprintf(state->lacks, sizeof(state->lacks), "%.*s",
                   (int)sizeof(state->lacks) - 1, message->text);
    process->events->on_sandboxed(process->master, process,
                                  message->number[SANDBOXED_REFUSED] != 0);
    return true;
}

static void process_on_answer_timeout(evutil_socket_t fd, short what, void *argument)
{
    struct process *process = argument;
    char title[TITLE_MAX];

    (void)fd;
    (void)what;
    log_error("%s does not answer; it is replaced",
              process_title(process, title, sizeof(title)));
    process_kill(process);
}

static void process_on_restart_timer(evutil_socket_t fd, short what, void *argument)
{
    struct process *process = argument;

    (void)fd;
    (void)what;
    process->events->on_restart(process->master, process);
}

static void process_hang_up(struct process *process)
{
    if (process->answer_timer)
        evtimer_del(process->answer_timer);
    if (process->control_event)
        event_free(process->control_event);
    process->control_event = NULL;
    if (process->control_fd >= 0)
        close(process->control_fd);
    process->control_fd = -1;
}

static uint64_t process_now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
