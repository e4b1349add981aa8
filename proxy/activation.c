#include "proxy/activation.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Where the protocol has the first descriptor. */
enum { ACTIVATION_FIRST_FD = 3 };

static bool activation_read(struct activation *activation, struct error *error);
static bool activation_is_for_us(void);
static bool activation_check(const struct activation_socket *item, struct error *error);
static void activation_list(const struct activation *activation, char *text, size_t size);

bool activation_take(struct activation *activation, struct error *error)
{
    bool ok = !activation_is_for_us() || activation_read(activation, error);

    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    return ok;
}

bool activation_add(struct activation *activation, const char *name, int fd,
                    struct error *error)
{
    bool is_line = name[strcspn(name, "\r\n")] == '\0';

    if (!is_line || activation->count == ACTIVATION_MAX ||
        strlen(name) >= ACTIVATION_NAME_MAX || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
        close(fd);
        return error_set(error, "socket %d of the service manager cannot be taken", fd);
    }
    struct activation_socket *item = &activation->items[activation->count++];
    item->fd = fd;
    (void)snprintf(item->name, sizeof(item->name), "%s", name);
    return true;
}

bool activation_has(const struct activation *activation, const char *name,
                    struct error *error)
{
    char there[ERROR_TEXT_MAX / 2];
    size_t found = 0;

    for (size_t i = 0; activation && i < activation->count; i++) {
        if (strcmp(activation->items[i].name, name) != 0)
            continue;
        if (!activation_check(&activation->items[i], error))
            return false;
        found++;
    }
    if (found > 0)
        return true;
    if (!activation || activation->count == 0)
        return error_set(error,
                         "the service manager has handed over no socket, and so none "
                         "called \"%s\" (is the socket unit started?)",
                         name);
    activation_list(activation, there, sizeof(there));
    return error_set(error,
                     "the service manager has handed over no socket called \"%s\", "
                     "but: %s",
                     name, there);
}

void activation_close(struct activation *activation)
{
    for (size_t i = 0; i < activation->count; i++)
        close(activation->items[i].fd);
    activation->count = 0;
}

static bool activation_is_for_us(void)
{
    const char *pid = getenv("LISTEN_PID");

    return pid && getenv("LISTEN_FDS") && strtol(pid, NULL, 10) == (long)getpid();
}

static bool activation_read(struct activation *activation, struct error *error)
{
    const char *digits = getenv("LISTEN_FDS");
    const char *names = getenv("LISTEN_FDNAMES");
    char *end = NULL;

    errno = 0;
    long count = strtol(digits, &end, 10);
    if (errno != 0 || end == digits || *end != '\0' || count < 0 ||
        count > ACTIVATION_MAX)
        return error_set(error, "LISTEN_FDS is not a number of sockets from 0 to %d",
                         ACTIVATION_MAX);
    for (long i = 0; i < count; i++) {
        char name[ACTIVATION_NAME_MAX] = "unknown";
        if (names) {
            size_t length = strcspn(names, ":");
            if (length >= sizeof(name))
                return error_set(error, "a name in LISTEN_FDNAMES is too long");
            memcpy(name, names, length);
            name[length] = '\0';
            names += length + (names[length] == ':');
        }
        if (!activation_add(activation, name, ACTIVATION_FIRST_FD + (int)i, error))
            return false;
    }
    return true;
}

/* Also has it never wait, which the kernel keeps for all who share the socket. */
static bool activation_check(const struct activation_socket *item, struct error *error)
{
    int type = 0, domain = 0, listens = 0;
    const int on = 1;
    socklen_t length = sizeof(type);

    if (getsockopt(item->fd, SOL_SOCKET, SO_TYPE, &type, &length) < 0 ||
        getsockopt(item->fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) < 0 ||
        getsockopt(item->fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) < 0)
        return error_set_errno(error, errno,
                               "what was handed over as \"%s\" is no socket", item->name);
    if (type != SOCK_STREAM || (domain != AF_INET && domain != AF_INET6))
        return error_set(error,
                         "the socket handed over as \"%s\" is not of TCP (it needs "
                         "ListenStream= with an IP address or a port)",
                         item->name);
    if (!listens)
        return error_set(error,
                         "the socket handed over as \"%s\" does not listen (its unit "
                         "needs Accept=no)",
                         item->name);
    int flags = fcntl(item->fd, F_GETFL);
    if (flags < 0 || fcntl(item->fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return error_set_errno(error, errno, "cannot set up the socket \"%s\"",
                               item->name);
    (void)setsockopt(item->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return true;
}

static void activation_list(const struct activation *activation, char *text, size_t size)
{
    size_t length = 0;

    text[0] = '\0';
    for (size_t i = 0; i < activation->count && length < size; i++) {
        int more = snprintf(text + length, size - length, "%s\"%s\"", i > 0 ? ", " : "",
                            activation->items[i].name);
        length += more > 0 ? (size_t)more : 0;
    }
}
