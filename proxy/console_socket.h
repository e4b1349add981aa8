/*
 * The listening end of the control socket: a unix socket of mode 0600 at a path that one
 * living Pawl has for itself.  Owned by the master.  Also where it is, for the commands
 * that look for it.
 */
#ifndef PROXY_CONSOLE_SOCKET_H
#define PROXY_CONSOLE_SOCKET_H

#include <sys/types.h>
#include <sys/un.h>

#include "proxy/error.h"

enum { CONSOLE_PATH_MAX = sizeof(((struct sockaddr_un *)0)->sun_path) };

struct console_socket {
    int fd; /* owned, listening; -1: none */
    char path[CONSOLE_PATH_MAX];
    dev_t device; /* of the path, to know whether it still is ours */
    ino_t inode;
};

/* What `control` of the configuration means to this user: a path, or "" for none.  Makes
 * no sound: whether there is a directory for it shows when it is opened. */
void console_socket_resolve(const char *control, char path[CONSOLE_PATH_MAX]);

/* Binds and listens.  The last directory of the path is made (0700) if it is missing.  A
 * socket whose owner is dead is taken over; one whose owner lives is not, *in_use then
 * says so.  Waits for nobody. */
bool console_socket_open(struct console_socket *socket, const char *path, bool *in_use,
                         struct error *error) MUST_CHECK;

/* Takes a listening socket that was inherited.  False: it is not at this path. */
bool console_socket_adopt(struct console_socket *socket, int fd, const char *path);

/* Whether the path leads to this very socket. */
bool console_socket_is_ours(const struct console_socket *socket);

/* Closes it, and takes the path away if it is still ours. */
void console_socket_close(struct console_socket *socket);

#endif
