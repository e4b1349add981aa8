/*
 * Listening sockets that a service manager opened and hands over at the start, as systemd
 * does (sd_listen_fds(3)): their descriptors follow standard error, their number, names
 * and addressee stand in the environment.  Taken once; in the master.
 */
#ifndef PROXY_ACTIVATION_H
#define PROXY_ACTIVATION_H

#include <stddef.h>

#include "proxy/error.h"

enum { ACTIVATION_MAX = 256, ACTIVATION_NAME_MAX = 256 };

struct activation_socket {
    char name[ACTIVATION_NAME_MAX]; /* several may have the same */
    int fd;                         /* owned */
};

/* Zero-initialise, then activation_close. */
struct activation {
    struct activation_socket items[ACTIVATION_MAX];
    size_t count;
};

/* Takes what the environment says, if it is meant for this process, and clears it. */
bool activation_take(struct activation *activation, struct error *error) MUST_CHECK;

/* Adds one; `fd` is taken, on failure closed. */
bool activation_add(struct activation *activation, const char *name, int fd,
                    struct error *error) MUST_CHECK;

/* Whether there are sockets called `name`, all of which can be served; if not, the error
 * says which there are.  `activation` may be NULL. */
bool activation_has(const struct activation *activation, const char *name,
                    struct error *error) MUST_CHECK;

void activation_close(struct activation *activation);

#endif
