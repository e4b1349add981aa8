#include "proxy/admin_sockets.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 64, SOCKET_MODE = 0660 };

static struct admin_socket *admin_socket_find(struct admin_sockets *sockets,
                                              const struct address *address);
static int admin_socket_listen(const struct address *address, struct error *error);
static bool admin_socket_bind(int fd, const struct address *address, struct error *error);
static const char *admin_socket_path(const struct address *address);
static bool admin_socket_is_dead(const struct address *address);
static void admin_socket_close(struct admin_socket *item);
static void admin_sockets_sweep(struct admin_sockets *sockets);

void admin_sockets_prepare(struct admin_sockets *sockets, const struct config *config,
                           struct report *report)
{
    const struct config_admin *admin = &config->admin;

    for (size_t i = 0; i < sockets->count; i++)
        sockets->items[i].wanted = false;
    for (size_t i = 0; i < admin->addresses.count; i++) {
        const struct address *address = &admin->addresses.items[i];
        struct admin_socket *item = admin_socket_find(sockets, address);
        struct error error;
        if (item) {
            item->wanted = true;
            continue;
        }
        int fd = admin_socket_listen(address, &error);
        if (fd < 0) {
            report_add(report, REPORT_ERROR, config->file, admin->address_line,
                       "admin: %s", error.text);
            continue;
        }
        sockets->items[sockets->count++] =
            (struct admin_socket){.address = *address, .fd = fd, .wanted = true};
    }
}

void admin_sockets_commit(struct admin_sockets *sockets)
{
    for (size_t i = 0; i < sockets->count; i++)
        sockets->items[i].current = sockets->items[i].wanted;
    admin_sockets_sweep(sockets);
}

void admin_sockets_abort(struct admin_sockets *sockets)
{
    for (size_t i = 0; i < sockets->count; i++)
        sockets->items[i].wanted = sockets->items[i].current;
    admin_sockets_sweep(sockets);
}

void admin_sockets_close(struct admin_sockets *sockets)
{
    for (size_t i = 0; i < sockets->count; i++)
        admin_socket_close(&sockets->items[i]);
    sockets->count = 0;
}

static struct admin_socket *admin_socket_find(struct admin_sockets *sockets,
                                              const struct address *address)
{
    for (size_t i = 0; i < sockets->count; i++) {
        if (address_equal(&sockets->items[i].address, address))
            return &sockets->items[i];
    }
    return NULL;
}

static int admin_socket_listen(const struct address *address, struct error *error)
{
    const int on = 1;
    int family = address->storage.ss_family;

    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        (void)error_set_errno(error, errno, "cannot make a socket for %s", address->text);
        return -1;
    }
    if (family != AF_UNIX)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (family == AF_INET6 && address->text[0] != '*')
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    if (admin_socket_bind(fd, address, error)) {
        if (listen(fd, BACKLOG) == 0)
            return fd;
        (void)error_set_errno(error, errno, "cannot listen on %s", address->text);
    }
    close(fd);
    return -1;
}

static bool admin_socket_bind(int fd, const struct address *address, struct error *error)
{
    const struct sockaddr *any = (const struct sockaddr *)&address->storage;
    const char *path = admin_socket_path(address);

    /* A file that its owner left behind: nobody answers there. */
    if (path && admin_socket_is_dead(address))
        (void)unlink(path);
    /* The file is never there with more rights than it keeps. */
    mode_t mask = umask(~(mode_t)SOCKET_MODE & 0777);
    int result = bind(fd, any, address->length);
    int cause = errno;
    (void)umask(mask);
    return result == 0 ||
           error_set_errno(error, cause, "cannot listen on %s", address->text);
}

/* Of a unix socket that has a file; NULL: it has none. */
static const char *admin_socket_path(const struct address *address)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&address->storage;

    if (address->storage.ss_family != AF_UNIX || un->sun_path[0] == '\0')
        return NULL;
    return un->sun_path;
}

static bool admin_socket_is_dead(const struct address *address)
{
    const struct sockaddr *any = (const struct sockaddr *)&address->storage;
    struct stat status;

    if (lstat(admin_socket_path(address), &status) < 0 || !S_ISSOCK(status.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool dead = connect(fd, any, address->length) < 0 && errno == ECONNREFUSED;
    close(fd);
    return dead;
}

static void admin_socket_close(struct admin_socket *item)
{
    const char *path = admin_socket_path(&item->address);

    if (path)
        (void)unlink(path);
    close(item->fd);
}

static void admin_sockets_sweep(struct admin_sockets *sockets)
{
    size_t kept = 0;

    for (size_t i = 0; i < sockets->count; i++) {
        if (sockets->items[i].wanted)
            sockets->items[kept++] = sockets->items[i];
        else
            admin_socket_close(&sockets->items[i]);
    }
    sockets->count = kept;
}
