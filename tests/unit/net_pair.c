#include "tests/unit/net_pair.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

enum { DEADLINE_MS = 10000, SMALLEST_BYTES = 1 };

static void must(bool holds, const char *what)
{
    if (holds)
        return;
    (void)fprintf(stderr, "net_pair: %s: %s\n", what, strerror(errno));
    abort();
}

void net_pair_unix(int fds[2])
{
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0,
         "socketpair");
}

void net_pair_tcp(int fds[2])
{
    struct address address;
    const int listener = net_listen(&address);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int result =
        connect(fds[0], (const struct sockaddr *)&address.storage, address.length);
    must(result == 0 || errno == EINPROGRESS, "connect");
    net_wait(listener, POLLIN);
    fds[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    must(fds[1] >= 0, "accept");
    net_wait(fds[0], POLLOUT);
    (void)close(listener);
}

void net_pair_shrink(const int fds[2])
{
    const int size = SMALLEST_BYTES;
    for (int i = 0; i < 2; i++) {
        must(setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size) == 0, "size");
    }
}

static int bind_free_port(struct address *address)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof in;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    must(fd >= 0 && bind(fd, (const struct sockaddr *)&in, length) == 0, "bind");
    must(getsockname(fd, (struct sockaddr *)&in, &length) == 0, "getsockname");
    *address = (struct address){.length = length};
    memcpy(&address->storage, &in, sizeof in);
    (void)snprintf(address->text, sizeof address->text, "127.0.0.1:%u",
                   ntohs(in.sin_port));
    return fd;
}

int net_listen(struct address *address)
{
    const int fd = bind_free_port(address);
    must(listen(fd, 16) == 0, "listen");
    return fd;
}

int net_refuse(struct address *address)
{
    return bind_free_port(address);
}

void net_unix_address(const char *path, struct address *address)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    (void)snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
    *address = (struct address){.length = sizeof un};
    memcpy(&address->storage, &un, sizeof un);
    (void)snprintf(address->text, sizeof address->text, "unix:%s", path);
}

void net_wait(int fd, short events)
{
    struct pollfd item = {.fd = fd, .events = events};
    must(poll(&item, 1, DEADLINE_MS) == 1, "nothing happened for too long");
}

bool net_is_ready(int fd, short events)
{
    struct pollfd item = {.fd = fd, .events = events};
    return poll(&item, 1, 0) == 1 && (item.revents & events);
}

void net_send(int fd, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    while (length > 0) {
        net_wait(fd, POLLOUT);
        const ssize_t sent = send(fd, at, length, MSG_NOSIGNAL);
        must(sent > 0 || errno == EAGAIN, "send");
        if (sent > 0) {
            at += sent;
            length -= (size_t)sent;
        }
    }
}

int net_take(int fd, void *bytes, size_t size)
{
    const ssize_t got = recv(fd, bytes, size, 0);
    if (got >= 0)
        return (int)got;
    if (errno == ECONNRESET)
        return -2;
    must(errno == EAGAIN, "recv");
    return -1;
}

void net_reset(int fd)
{
    const struct linger reset = {.l_onoff = 1};
    must(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) == 0, "linger");
    (void)close(fd);
}

size_t net_fill(int fd)
{
    static const uint8_t zeroes[4096];
    size_t total = 0;
    for (;;) {
        const ssize_t sent = send(fd, zeroes, sizeof zeroes, MSG_NOSIGNAL);
        if (sent < 0)
            break;
        total += (size_t)sent;
    }
    must(errno == EAGAIN, "send");
    return total;
}

size_t net_open_fds(void)
{
    size_t count = 0;
    DIR *directory = opendir("/proc/self/fd");
    must(directory != NULL, "/proc/self/fd");
    while (readdir(directory))
        count++;
    (void)closedir(directory);
    return count;
}

void net_pattern(uint8_t *bytes, size_t length, unsigned seed)
{
    for (size_t i = 0; i < length; i++) {
        seed = seed * 1103515245u + 12345u;
        bytes[i] = (uint8_t)(seed >> 16);
    }
}
