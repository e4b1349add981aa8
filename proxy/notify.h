/*
 * What the master tells the service manager that started it, in the protocol of
 * sd_notify(3): lines of KEY=value in one datagram to the unix socket in NOTIFY_SOCKET.
 * Without a service manager every call does nothing.
 */
#ifndef PROXY_NOTIFY_H
#define PROXY_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "proxy/error.h"

struct notify {
    int fd; /* owned; -1: nobody wants to know */
    struct sockaddr_un address;
    socklen_t length;
    uint64_t watchdog_ms; /* how long it waits for a sign of life; 0: it does not */
};

/* Reads the environment.  Fails if it names a socket that cannot be one. */
bool notify_open(struct notify *notify, struct error *error) MUST_CHECK;

/* `status` is a line for people, shown by systemctl status. */
void notify_ready(const struct notify *notify, const char *status);
void notify_reloading(const struct notify *notify, const char *status);

/* It takes at most `most_ms` from now to end. */
void notify_stopping(const struct notify *notify, uint64_t most_ms, const char *status);

void notify_status(const struct notify *notify, const char *status);
void notify_alive(const struct notify *notify);

void notify_close(struct notify *notify);

#endif
