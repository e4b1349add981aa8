#include "proxy/trial.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proxy/handover.h"
#include "proxy/log.h"

enum {
    OUTPUT_MAX = 16384,
    ARGUMENTS_MAX = 64,
    LINES_MAX = 20,
    EXEC_FAILED = 127,
    REASON_MAX = 256
};

static const struct timeval PATIENCE = {.tv_sec = 30};

/* What a passed trial prints: that it understands what would be handed over. */
#define PASSED "pawl trial passed, hand-over format "

struct trial {
    pid_t pid;           /* 0: reaped */
    struct event *event; /* owned; of the pipe from its output */
    struct event *timer; /* owned */
    int output_fd;       /* owned */
    bool closed;         /* no output follows */
    bool late;
    int status;
    char output[OUTPUT_MAX]; /* the end of it, if it is longer */
    size_t length;
    void (*on_end)(void *argument, const char *reason);
    void *argument;
};

static void trial_exec(const char *binary, char *const *arguments, int output)
    __attribute__((noreturn));
static void trial_on_output(evutil_socket_t fd, short what, void *argument);
static void trial_on_late(evutil_socket_t fd, short what, void *argument);
static void trial_keep(struct trial *trial, const char *bytes, size_t length);
static void trial_consider(struct trial *trial);
static const char *trial_judge(const struct trial *trial, char *text, size_t size);
static const char *trial_first_error(const struct trial *trial, char *text, size_t size);
static void trial_log_output(struct trial *trial);

struct trial *trial_start(struct event_base *base, const char *binary,
                          char *const *arguments,
                          void (*on_end)(void *argument, const char *reason),
                          void *argument, struct error *error)
{
    struct trial *trial = calloc(1, sizeof(*trial));
    int ends[2] = {-1, -1};

    if (!trial || pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        goto fail;
    *trial = (struct trial){.output_fd = ends[0], .on_end = on_end, .argument = argument};
    trial->event = event_new(base, ends[0], EV_READ | EV_PERSIST, trial_on_output, trial);
    trial->timer = evtimer_new(base, trial_on_late, trial);
    if (!trial->event || !trial->timer || event_add(trial->event, NULL) < 0 ||
        event_add(trial->timer, &PATIENCE) < 0 || (trial->pid = fork()) < 0) {
        trial->pid = 0;
        goto fail;
    }
    if (trial->pid == 0)
        trial_exec(binary, arguments, ends[1]);
    close(ends[1]);
    return trial;
fail:
    (void)error_set_errno(error, errno, "cannot start the trial of the new binary");
    if (ends[1] >= 0)
        close(ends[1]);
    trial_free(trial);
    return NULL;
}

bool trial_on_child_exit(struct trial *trial, pid_t pid, int status)
{
    if (!trial || trial->pid != pid)
        return false;
    trial->pid = 0;
    trial->status = status;
    trial_consider(trial);
    return true;
}

void trial_free(struct trial *trial)
{
    if (!trial)
        return;
    if (trial->pid > 0)
        (void)kill(trial->pid, SIGKILL);
    if (trial->event)
        event_free(trial->event);
    if (trial->timer)
        event_free(trial->timer);
    if (trial->output_fd > 0)
        close(trial->output_fd);
    free(trial);
}

void trial_pass(FILE *out)
{
    fprintf(out, PASSED "%d\n", HANDOVER_FORMAT);
    (void)fflush(out);
}

/* In the child.  What the service manager is told is for the master alone. */
static void trial_exec(const char *binary, char *const *arguments, int output)
{
    static char option[] = TRIAL_OPTION;
    char *list[ARGUMENTS_MAX + 2] = {NULL};
    size_t count = 0;
    sigset_t none;

    while (count < ARGUMENTS_MAX && arguments[count]) {
        list[count] = arguments[count];
        count++;
    }
    list[count] = option;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    (void)unsetenv("NOTIFY_SOCKET");
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
    for (int number = 1; number < NSIG; number++)
        (void)signal(number, SIG_DFL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);

    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
        dup2(output, STDERR_FILENO) < 0)
        _exit(EXEC_FAILED);
    (void)close_range(STDERR_FILENO + 1, ~0U, 0);
    execv(binary, list);
    (void)dprintf(STDERR_FILENO, "cannot be executed: %s\n", strerror(errno));
    _exit(EXEC_FAILED);
}

static void trial_on_output(evutil_socket_t fd, short what, void *argument)
{
    struct trial *trial = argument;
    char bytes[4096];

    (void)what;
    ssize_t got = read(fd, bytes, sizeof(bytes));
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got > 0) {
        trial_keep(trial, bytes, (size_t)got);
        return;
    }
    trial->closed = true;
    event_del(trial->event);
    trial_consider(trial);
}

/* Its processes end with it, since their master is gone; what they still write to the
 * pipe is not waited for. */
static void trial_on_late(evutil_socket_t fd, short what, void *argument)
{
    struct trial *trial = argument;

    (void)fd;
    (void)what;
    trial->late = true;
    trial->closed = true;
    event_del(trial->event);
    if (trial->pid > 0)
        (void)kill(trial->pid, SIGKILL);
    else
        trial_consider(trial);
}

static void trial_keep(struct trial *trial, const char *bytes, size_t length)
{
    const size_t room = sizeof(trial->output) - 1;

    if (trial->length + length > room) {
        size_t drop = trial->length + length - room;
        memmove(trial->output, trial->output + drop, trial->length - drop);
        trial->length -= drop;
    }
    memcpy(trial->output + trial->length, bytes, length);
    trial->length += length;
}

/* Both its end and that of its output have to be there. */
static void trial_consider(struct trial *trial)
{
    char text[REASON_MAX];

    if (trial->pid > 0 || !trial->closed)
        return;
    event_del(trial->timer);
    for (size_t i = 0; i < trial->length; i++) {
        if (trial->output[i] == '\0')
            trial->output[i] = '?';
    }
    trial->output[trial->length] = '\0';
    const char *reason = trial_judge(trial, text, sizeof(text));
    if (reason)
        trial_log_output(trial);
    trial->on_end(trial->argument, reason);
}

static const char *trial_judge(const struct trial *trial, char *text, size_t size)
{
    char error[ERROR_TEXT_MAX];
    int status = trial->status;
    const char *passed = strstr(trial->output, PASSED);

    if (trial->late)
        (void)snprintf(text, size, "its trial has not ended within %ld s",
                       (long)PATIENCE.tv_sec);
    else if (WIFSIGNALED(status))
        (void)snprintf(text, size, "its trial was killed by signal %d (%s)",
                       WTERMSIG(status), strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != 0)
        (void)snprintf(text, size, "its trial ended with code %d%s", WEXITSTATUS(status),
                       trial_first_error(trial, error, sizeof(error)));
    else if (!passed)
        (void)snprintf(text, size,
                       "its trial did not say that it passed (is it a pawl?)");
    else if (strtol(passed + strlen(PASSED), NULL, 10) != HANDOVER_FORMAT)
        (void)snprintf(text, size, "it takes over in another format than this one (%d)",
                       HANDOVER_FORMAT);
    else
        return NULL;
    return text;
}

/* What its log begins with, for whoever has asked for the upgrade; all is logged here. */
static const char *trial_first_error(const struct trial *trial, char *text, size_t size)
{
    static const char mark[] = " error master: ";
    const char *line = strstr(trial->output, mark);

    text[0] = '\0';
    if (line) {
        line += strlen(mark);
        (void)snprintf(text, size, ": %.*s", (int)strcspn(line, "\n"), line);
    }
    return text;
}

/* Lines of information say nothing about why. */
static void trial_log_output(struct trial *trial)
{
    char *rest = NULL;
    int lines = 0;

    for (char *line = strtok_r(trial->output, "\n", &rest); line && lines < LINES_MAX;
         line = strtok_r(NULL, "\n", &rest)) {
        if (strstr(line, " info ") || strstr(line, " debug "))
            continue;
        struct log_line entry;
        log_begin(&entry, LOG_LEVEL_ERROR, "trial of the new binary");
        log_text(&entry, "said", line);
        log_end(&entry);
        lines++;
    }
}
