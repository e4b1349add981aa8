#include "proxy/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int dial_open(const struct address *address, bool *connecting, struct error *error)
{
    const struct sockaddr *target = (const struct sockaddr *)&address->storage;
    const int on = 1;

    *connecting = false;
    int fd = socket(target->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        (void)error_set_errno(error, errno, "%s: cannot make a socket", address->text);
        return -1;
    }
    if (target->sa_family != AF_UNIX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, target, address->length) == 0)
        return fd;
    if (errno == EINPROGRESS) {
        *connecting = true;
        return fd;
    }
    (void)error_set_errno(error, errno, "%s", address->text);
    close(fd);
    return -1;
}

bool dial_has_connected(int fd, struct error *error)
{
    int cause = 0;
    socklen_t length = sizeof(cause);

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &cause, &length) < 0)
        cause = errno;
    return cause == 0 || error_set(error, "%s", strerror(cause));
}
