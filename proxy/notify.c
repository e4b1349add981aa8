#include "proxy/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE_MAX = 512, STATUS_MAX = 256 };

static uint64_t notify_watchdog_ms(void);
static void notify_send(const struct notify *notify, const char *message);

bool notify_open(struct notify *notify, struct error *error)
{
    const char *path = getenv("NOTIFY_SOCKET");

    *notify = (struct notify){.fd = -1, .address = {.sun_family = AF_UNIX}};
    if (!path || path[0] == '\0')
        return true;
    const bool abstract = path[0] == '@';
    const size_t length = strlen(path);
    const size_t limit = sizeof(notify->address.sun_path) - (abstract ? 0 : 1);
    if ((!abstract && path[0] != '/') || length < 2 || length > limit)
        return error_set(error,
                         "NOTIFY_SOCKET is \"%.128s\", which is no path of a socket of "
                         "the service manager",
                         path);
    /* An abstract name starts with a NUL in place of "@" and ends without one. */
    memcpy(notify->address.sun_path + abstract, path + abstract, length - abstract);
    notify->length =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + !abstract);
    notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (notify->fd < 0)
        return error_set_errno(error, errno,
                               "cannot make a socket to notify the service manager");
    notify->watchdog_ms = notify_watchdog_ms();
    return true;
}

void notify_ready(const struct notify *notify, const char *status)
{
    char message[MESSAGE_MAX];

    (void)snprintf(message, sizeof(message), "READY=1\nMAINPID=%ld\nSTATUS=%.*s",
                   (long)getpid(), STATUS_MAX, status);
    notify_send(notify, message);
}

/* The time is what tells this reload from an earlier one (Type=notify-reload). */
void notify_reloading(const struct notify *notify, const char *status)
{
    char message[MESSAGE_MAX];
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    (void)snprintf(message, sizeof(message),
                   "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=%.*s",
                   (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000,
                   STATUS_MAX, status);
    notify_send(notify, message);
}

void notify_stopping(const struct notify *notify, uint64_t most_ms, const char *status)
{
    char message[MESSAGE_MAX];

    (void)snprintf(message, sizeof(message),
                   "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRIu64 "\nSTATUS=%.*s",
                   most_ms * 1000, STATUS_MAX, status);
    notify_send(notify, message);
}

void notify_status(const struct notify *notify, const char *status)
{
    char message[MESSAGE_MAX];

    (void)snprintf(message, sizeof(message), "STATUS=%.*s", STATUS_MAX, status);
    notify_send(notify, message);
}

void notify_alive(const struct notify *notify)
{
    notify_send(notify, "WATCHDOG=1");
}

void notify_close(struct notify *notify)
{
    if (notify->fd >= 0)
        close(notify->fd);
    notify->fd = -1;
}

/* WATCHDOG_PID says whom the wait is for; without it, for whoever reads this. */
static uint64_t notify_watchdog_ms(void)
{
    const char *usec = getenv("WATCHDOG_USEC");
    const char *pid = getenv("WATCHDOG_PID");
    char *end = NULL;

    if (!usec || (pid && strtol(pid, NULL, 10) != (long)getpid()))
        return 0;
    errno = 0;
    unsigned long long value = strtoull(usec, &end, 10);
    if (errno != 0 || end == usec || *end != '\0')
        return 0;
    return value / 1000;
}

/* Whoever is asked to listen and does not has no part in serving. */
static void notify_send(const struct notify *notify, const char *message)
{
    if (notify->fd >= 0)
        (void)sendto(notify->fd, message, strlen(message), MSG_NOSIGNAL,
                     (const struct sockaddr *)&notify->address, notify->length);
}
