#include "proxy/log_target.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "proxy/log.h"
#include "proxy/master.h"

/* Not oftener than this are sockets made anew, however often they are lost. */
enum { RENEWAL_MS = 1000 };

static void log_target_on_own_cut(void *argument);
static void log_target_on_renewal(evutil_socket_t fd, short what, void *argument);
static void log_target_renew_later(struct master *master, uint64_t ms);
static void log_target_distribute(struct master *master, bool changed);
static int log_target_fd(struct master *master);
static const struct config_log *log_target_config(const struct master *master);
static uint64_t log_target_now_ms(void);

bool log_target_open(struct master *master, struct error *error)
{
    struct log_target *target = &master->log;

    target->renewal = evtimer_new(master->base, log_target_on_renewal, master);
    if (!target->renewal)
        return error_set(error, "out of memory");
    target->timer = log_timer_new(master->base, log_target_on_own_cut, master, error);
    return target->timer != NULL;
}

void log_target_close(struct master *master)
{
    if (master->log.renewal)
        event_free(master->log.renewal);
    log_timer_free(master->log.timer);
    log_finish();
}

int log_target_connect(const char *path, struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const size_t length = strlen(path);

    if (length >= sizeof(address.sun_path)) {
        (void)error_set(error, "its path is longer than %zu bytes",
                        sizeof(address.sun_path) - 1);
        return -1;
    }
    memcpy(address.sun_path, path, length);
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        (void)error_set(error, "%s", strerror(errno));
        return -1;
    }
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    (void)error_set(error, "%s",
                    errno == ECONNREFUSED ? "nobody reads from it" : strerror(errno));
    (void)close(fd);
    return -1;
}

void log_target_check(const struct config *config, struct report *report)
{
    struct error error;

    if (config->log.target == LOG_PLACE_STDERR)
        return;
    const int fd = log_target_connect(config->log.syslog_socket, &error);
    if (fd >= 0)
        (void)close(fd);
    else
        report_add(report, REPORT_ERROR, config->file, config->log.target_line,
                   "cannot log to the syslog socket \"%s\": %s",
                   config->log.syslog_socket, error.text);
}

void log_target_prepare(struct master *master)
{
    const struct config *config = master->next->config;

    /* Certificates are renewed whether or not the daemon is there. */
    if (!master->renewing)
        log_target_check(config, &master->report);
    if (master->current)
        return;
    log_configure(config->log.level, config->log.format);
    if (config->log.target == LOG_PLACE_STDERR)
        return;
    const int fd = log_target_connect(config->log.syslog_socket, NULL);
    if (fd >= 0)
        log_to_syslog(fd, config->log.target, config->log.syslog_facility, true);
}

void log_target_commit(struct master *master)
{
    if (master->renewing)
        return;
    master->log.level = log_target_config(master)->level;
    log_target_distribute(master, true);
}

void log_target_started(const struct master *master)
{
    if (log_target_config(master)->target != LOG_PLACE_STDERR)
        log_leave_stderr();
}

void log_target_tell(struct master *master, struct process *process)
{
    const struct config_log *log = log_target_config(master);
    const struct control_message message = {
        .type = CONTROL_LOG,
        .generation = master->log.epoch,
        .number = {[LOG_NUMBER_LEVEL] = master->log.level,
                   [LOG_NUMBER_FORMAT] = log->format,
                   [LOG_NUMBER_TARGET] = log->target,
                   [LOG_NUMBER_FACILITY] = log->syslog_facility,
                   [LOG_NUMBER_REPEATS] = (uint32_t)log->repeat_limit}};
    const struct control_fds fds = {.fd = {log_target_fd(master), -1}};

    process->log_epoch = master->log.epoch;
    process_tell_message(process, &message, &fds);
    if (fds.fd[0] >= 0)
        (void)close(fds.fd[0]);
}

void log_target_on_cut(struct master *master, uint32_t epoch)
{
    const uint64_t since = log_target_now_ms() - master->log.renewed_ms;

    if (master->current && epoch == master->log.epoch &&
        !evtimer_pending(master->log.renewal, NULL))
        log_target_renew_later(master, since < RENEWAL_MS ? RENEWAL_MS - since : 0);
}

void log_target_set_level(struct master *master, enum log_level level)
{
    if (!master->current)
        return;
    master->log.level = level;
    log_target_distribute(master, true);
}

static void log_target_on_own_cut(void *argument)
{
    struct master *master = argument;

    log_target_on_cut(master, master->log.epoch);
}

static void log_target_on_renewal(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    log_target_distribute(argument, false);
}

static void log_target_renew_later(struct master *master, uint64_t ms)
{
    const struct timeval delay = {.tv_sec = (time_t)(ms / 1000),
                                  .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

    evtimer_add(master->log.renewal, &delay);
}

/* While nothing has `changed` and there is no daemon, the roles have nothing to learn. */
static void log_target_distribute(struct master *master, bool changed)
{
    const struct config_log *log = log_target_config(master);
    const bool first = master->log.epoch == 0;
    const int fd = log_target_fd(master);

    master->log.renewed_ms = log_target_now_ms();
    log_configure(master->log.level, log->format);
    log_limit_repeats((unsigned)log->repeat_limit);
    if (log->target != LOG_PLACE_STDERR)
        log_to_syslog(fd, log->target, log->syslog_facility, first);
    else
        log_to_stderr();
    if (log->target != LOG_PLACE_STDERR && fd < 0 && !changed)
        return;
    master->log.epoch++;
    for (size_t i = 0; i < master->process_count; i++) {
        if (master->processes[i].pid > 0)
            log_target_tell(master, &master->processes[i]);
    }
}

/* A new socket if one is called for; if it cannot be had, it is tried again soon. */
static int log_target_fd(struct master *master)
{
    const struct config_log *log = log_target_config(master);

    if (log->target == LOG_PLACE_STDERR)
        return -1;
    const int fd = log_target_connect(log->syslog_socket, NULL);
    if (fd < 0)
        log_target_renew_later(master, RENEWAL_MS);
    return fd;
}

static const struct config_log *log_target_config(const struct master *master)
{
    return &master->current->config->log;
}

static uint64_t log_target_now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
