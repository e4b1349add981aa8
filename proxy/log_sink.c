#include "proxy/log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { HOST_SIZE = 256, NAME_SIZE = 33, HEADER_SIZE = 512 };

static struct {
    bool stderr_is_socket; /* as under a service manager */
    bool torn;             /* standard error took a line's beginning only */
    bool to_stderr;
    bool to_syslog;
    bool cut;
    int syslog_fd; /* owned; -1 */
    enum log_place form;
    enum log_facility facility;
    char host[HOST_SIZE];
} sink = {.to_stderr = true, .syslog_fd = -1, .host = "-"};

static void sink_name_host(void);
static bool stderr_write(const struct log_record *record);
static ssize_t stderr_put(const char *bytes, size_t length, bool after_torn);
static bool syslog_write(const struct log_record *record);
static size_t syslog_header(const struct log_record *record, char *header);
static unsigned facility_code(enum log_facility facility);
static void syslog_name(const char *words, char name[NAME_SIZE]);

void log_sink_open(void)
{
    struct stat status;

    sink.stderr_is_socket =
        fstat(STDERR_FILENO, &status) == 0 && S_ISSOCK(status.st_mode);
    sink.torn = false;
    sink_name_host();
}

/* A terminal may be stopped (Ctrl-S), a pipe full.  Opened anew they have a state of
 * their own, so that others who share them are not touched. */
void log_sink_never_wait(void)
{
    struct stat status;

    if (fstat(STDERR_FILENO, &status) < 0 ||
        (!S_ISFIFO(status.st_mode) && !isatty(STDERR_FILENO)))
        return;
    const int fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return; /* as good as can be had */
    (void)dup2(fd, STDERR_FILENO);
    (void)close(fd);
}

void log_sink_set_stderr(void)
{
    if (sink.syslog_fd >= 0)
        (void)close(sink.syslog_fd);
    sink.syslog_fd = -1;
    sink.to_stderr = true;
    sink.to_syslog = sink.cut = false;
}

void log_sink_set_syslog(int fd, enum log_place form, enum log_facility facility,
                         bool stderr_too)
{
    if (sink.syslog_fd >= 0 && sink.syslog_fd != fd)
        (void)close(sink.syslog_fd);
    sink.syslog_fd = fd;
    sink.form = form;
    sink.facility = facility;
    sink.to_stderr = stderr_too;
    sink.to_syslog = true;
    sink.cut = fd < 0;
}

void log_sink_leave_stderr(void)
{
    sink.to_stderr = !sink.to_syslog;
}

bool log_sink_write(const struct log_record *record)
{
    const bool by_syslog = sink.to_syslog && syslog_write(record);
    const bool by_stderr = sink.to_stderr && stderr_write(record);

    return by_syslog || by_stderr;
}

bool log_sink_is_cut(void)
{
    return sink.to_syslog && sink.cut;
}

/* What RFC 5424 section 6 takes for a HOSTNAME, or its "-". */
static void sink_name_host(void)
{
    char name[HOST_SIZE];

    if (gethostname(name, sizeof(name)) < 0)
        return;
    name[sizeof(name) - 1] = '\0';
    for (const char *at = name; *at != '\0'; at++) {
        if (*at <= ' ' || *at > '~')
            return;
    }
    if (name[0] != '\0')
        memcpy(sink.host, name, sizeof(sink.host));
}

/* Lines are shorter than PIPE_BUF, so that a pipe takes all or nothing.  Where a socket
 * or a file that grew too large took a part, the rest is lost and the next line begins a
 * new one. */
static bool stderr_write(const struct log_record *record)
{
    size_t done = 0;

    while (done < record->length) {
        const bool after_torn = done == 0 && sink.torn;
        const ssize_t written =
            stderr_put(record->text + done, record->length - done, after_torn);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            sink.torn = sink.torn || done > 0;
            return false;
        }
        sink.torn = false;
        done += (size_t)written;
    }
    return true;
}

/* Writes what can be written now; returns how many of the bytes, or -1. */
static ssize_t stderr_put(const char *bytes, size_t length, bool after_torn)
{
    char newline[] = "\n";
    struct iovec parts[] = {
        {.iov_base = newline, .iov_len = 1},
        {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length},
    };
    struct iovec *first = after_torn ? &parts[0] : &parts[1];
    const int count = after_torn ? 2 : 1;
    const struct msghdr message = {.msg_iov = first, .msg_iovlen = (size_t)count};

    const ssize_t written = sink.stderr_is_socket ? sendmsg(STDERR_FILENO, &message,
                                                            MSG_DONTWAIT | MSG_NOSIGNAL)
                                                  : writev(STDERR_FILENO, first, count);
    return after_torn && written > 0 ? written - 1 : written;
}

/* One datagram for each line. */
static bool syslog_write(const struct log_record *record)
{
    char header[HEADER_SIZE];

    if (sink.cut)
        return false;
    /* Without the newline. */
    const size_t length = record->length - record->body - 1;
    struct iovec parts[] = {
        {.iov_base = header, .iov_len = syslog_header(record, header)},
        {.iov_base = (void *)(uintptr_t)(record->text + record->body), .iov_len = length},
    };
    const struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t sent;
    do {
        sent = sendmsg(sink.syslog_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return true;
    /* A daemon that does not keep up is still there; all else does not mend itself. */
    sink.cut = errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM;
    return false;
}

static size_t syslog_header(const struct log_record *record, char *header)
{
    static const unsigned severities[] = {
        [LOG_LEVEL_ERROR] = 3,
        [LOG_LEVEL_WARNING] = 4,
        [LOG_LEVEL_INFO] = 6,
        [LOG_LEVEL_DEBUG] = 7,
    };
    const unsigned priority =
        facility_code(sink.facility) * 8 + severities[record->level];
    char name[NAME_SIZE];
    int length;

    syslog_name(record->name, name);
    /* Without a time, daemons take their own; most do so in any case. */
    if (sink.form == LOG_PLACE_SYSLOG_LOCAL)
        length = snprintf(header, HEADER_SIZE, "<%u>pawl[%d]: ", priority, (int)getpid());
    else
        length = snprintf(header, HEADER_SIZE, "<%u>1 %.*s %s pawl %d %s - ", priority,
                          (int)record->time_length, record->time, sink.host,
                          (int)getpid(), name);
    return length < 0 ? 0 : length < HEADER_SIZE ? (size_t)length : HEADER_SIZE - 1;
}

/* RFC 5424 section 6.2.1. */
static unsigned facility_code(enum log_facility facility)
{
    enum { USER = 1, DAEMON = 3, AUTH = 4, AUTHPRIV = 10, LOCAL0 = 16 };

    switch (facility) {
    case LOG_FACILITY_USER:
        return USER;
    case LOG_FACILITY_DAEMON:
        return DAEMON;
    case LOG_FACILITY_AUTH:
        return AUTH;
    case LOG_FACILITY_AUTHPRIV:
        return AUTHPRIV;
    case LOG_FACILITY_LOCAL0:
    case LOG_FACILITY_LOCAL7:
        break;
    }
    return LOCAL0 + (facility - LOG_FACILITY_LOCAL0);
}

/* A MSGID: `session_closed`. */
static void syslog_name(const char *words, char name[NAME_SIZE])
{
    size_t length = 0;

    while (words && words[length] != '\0' && length < NAME_SIZE - 1) {
        const char byte = words[length];
        name[length++] = byte > ' ' && byte <= '~' ? byte : '_';
    }
    if (length == 0)
        name[length++] = '-';
    name[length] = '\0';
}
