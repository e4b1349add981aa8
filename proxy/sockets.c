#include "proxy/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/half_open.h"

/* Seconds for which the kernel holds a connection back until its first bytes are there.
 */
enum { DEFER_ACCEPT_S = 5 };

static struct socket_group *sockets_find(struct sockets *sockets,
                                         const struct address *address);
static bool sockets_bind(struct sockets *sockets, const struct address *address,
                         struct error *error);
static bool sockets_hold_port(const struct sockets *sockets,
                              const struct address *address);
static in_port_t address_port(const struct address *address);
static bool sockets_take_inherited(struct sockets *sockets, const struct address *address,
                                   struct error *error);
static struct socket_group *sockets_add(struct sockets *sockets,
                                        const struct address *address);
static bool socket_group_fill(struct socket_group *group, unsigned count,
                              struct error *error);
static bool socket_group_add(struct socket_group *group, int fd, struct error *error);
static bool socket_is_free(const struct address *address, struct error *error);
static int socket_bind(const struct address *address, bool share, struct error *error);
static int socket_open(const struct address *address, bool listens, struct error *error);
static void socket_group_close(struct socket_group *group);
static void socket_group_settle(const struct socket_group *group);
static void socket_settle(int fd);
static void sockets_sweep(struct sockets *sockets);

void sockets_prepare(struct sockets *sockets, const struct config *config,
                     struct report *report)
{
    for (size_t i = 0; i < sockets->count; i++)
        sockets->groups[i].wanted = false;
    for (size_t i = 0; i < config->listener_count; i++) {
        const struct config_listener *listener = &config->listeners[i];
        for (size_t j = 0; j < listener->addresses.count; j++) {
            const struct address *address = &listener->addresses.items[j];
            struct socket_group *group = sockets_find(sockets, address);
            struct error error;
            if (group)
                group->wanted = true;
            bool is_there = group ? socket_group_fill(group, sockets->workers, &error)
                                  : sockets_bind(sockets, address, &error);
            if (!is_there)
                report_add(report, REPORT_ERROR, config->file, listener->address_line,
                           "listener \"%s\": %s", listener->section.name, error.text);
        }
    }
}

bool sockets_is_for(const struct sockets *sockets, const struct socket_group *group,
                    unsigned i, unsigned worker)
{
    return group->inherited || i % sockets->workers == worker;
}

bool sockets_revive(const struct socket_group *group, unsigned i, struct error *error)
{
    return i >= group->silent || listen(group->fds[i], SOCKETS_BACKLOG) == 0 ||
           error_set_errno(error, errno, "cannot listen on %s", group->address.text);
}

void sockets_commit(struct sockets *sockets)
{
    for (size_t i = 0; i < sockets->count; i++)
        sockets->groups[i].current = sockets->groups[i].wanted;
    sockets_sweep(sockets);
}

void sockets_abort(struct sockets *sockets)
{
    for (size_t i = 0; i < sockets->count; i++)
        sockets->groups[i].wanted = sockets->groups[i].current;
    sockets_sweep(sockets);
}

void sockets_close(struct sockets *sockets)
{
    for (size_t i = 0; i < sockets->count; i++)
        socket_group_close(&sockets->groups[i]);
    free(sockets->groups);
    sockets->groups = NULL;
    sockets->count = 0;
}

bool sockets_adopt(struct sockets *sockets, const struct address *address, int fd,
                   struct error *error)
{
    struct socket_group *group = sockets_find(sockets, address);

    if (!group)
        group = sockets_add(sockets, address);
    if (!group) {
        close(fd);
        return error_set(error, "out of memory");
    }
    group->current = group->wanted = true;
    group->inherited = address_activation_name(address) != NULL;
    return socket_group_add(group, fd, error);
}

bool sockets_begin(struct sockets *sockets, struct error *error)
{
    for (size_t i = 0; i < sockets->count; i++) {
        struct socket_group *group = &sockets->groups[i];
        unsigned first = group->silent;
        group->silent = UINT_MAX;
        for (unsigned j = first; group->wanted && j < group->count; j++) {
            if (!sockets_revive(group, j, error))
                return false;
        }
    }
    return true;
}

void sockets_settle(const struct sockets *sockets)
{
    for (size_t i = 0; i < sockets->count; i++)
        socket_group_settle(&sockets->groups[i]);
}

void sockets_retire(const struct sockets *sockets)
{
    for (size_t i = 0; i < sockets->count; i++) {
        if (!sockets->groups[i].wanted)
            socket_group_settle(&sockets->groups[i]);
    }
}

int sockets_count_arriving(const struct sockets *sockets)
{
    int arriving = 0;

    for (size_t i = 0; i < sockets->count; i++) {
        const struct socket_group *group = &sockets->groups[i];
        if (group->inherited)
            continue;
        int more = half_open_count(ntohs(address_port(&group->address)));
        if (more < 0)
            return -1;
        arriving += more;
    }
    return arriving;
}

static void socket_group_settle(const struct socket_group *group)
{
    for (unsigned i = 0; i < group->count && !group->inherited; i++)
        socket_settle(group->fds[i]);
}

/* The filter sees a segment from its TCP header on; of those that only ask for a
 * connection it leaves nothing.  Whoever sent one asks again in a second. */
static void socket_settle(int fd)
{
    enum { TCP_FLAGS_AT = 13, TCP_FLAG_SYN = 0x02, TCP_FLAG_ACK = 0x10 };
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, TCP_FLAGS_AT),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, TCP_FLAG_SYN | TCP_FLAG_ACK),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TCP_FLAG_SYN, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    const struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]),
                                       .filter = code};
    const int never = 0;

    /* Without it connections may still begin until the last moment. */
    (void)setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &never, sizeof(never));
}

static struct socket_group *sockets_find(struct sockets *sockets,
                                         const struct address *address)
{
    for (size_t i = 0; i < sockets->count; i++) {
        /* `*` and `[::]` are equal as addresses, but one serves IPv4 as well. */
        const struct address *held = &sockets->groups[i].address;
        if (address_equal(held, address) && strcmp(held->text, address->text) == 0)
            return &sockets->groups[i];
    }
    return NULL;
}

static bool sockets_bind(struct sockets *sockets, const struct address *address,
                         struct error *error)
{
    if (address_activation_name(address))
        return sockets_take_inherited(sockets, address, error);
    if (!sockets_hold_port(sockets, address) && !socket_is_free(address, error))
        return false;
    struct socket_group *group = sockets_add(sockets, address);
    if (!group)
        return error_set(error, "out of memory");
    if (socket_group_fill(group, sockets->workers, error))
        return true;
    socket_group_close(group);
    sockets->count--;
    return false;
}

static bool sockets_take_inherited(struct sockets *sockets, const struct address *address,
                                   struct error *error)
{
    const char *name = address_activation_name(address);
    const struct activation *activation = sockets->activation;

    if (!activation_has(activation, name, error))
        return false;
    struct socket_group *group = sockets_add(sockets, address);
    if (!group)
        return error_set(error, "out of memory");
    group->inherited = true;
    for (size_t i = 0; i < activation->count; i++) {
        if (strcmp(activation->items[i].name, name) != 0)
            continue;
        int fd = fcntl(activation->items[i].fd, F_DUPFD_CLOEXEC, 0);
        if (fd < 0)
            (void)error_set_errno(error, errno, "cannot keep a socket of %s",
                                  address->text);
        if (fd >= 0 && socket_group_add(group, fd, error))
            continue;
        socket_group_close(group);
        sockets->count--;
        return false;
    }
    return true;
}

/* Where we listen on the port already, on another address, the trial would find us. */
static bool sockets_hold_port(const struct sockets *sockets,
                              const struct address *address)
{
    for (size_t i = 0; i < sockets->count; i++) {
        if (sockets->groups[i].current &&
            address_port(&sockets->groups[i].address) == address_port(address))
            return true;
    }
    return false;
}

static struct socket_group *sockets_add(struct sockets *sockets,
                                        const struct address *address)
{
    struct socket_group *groups =
        reallocarray(sockets->groups, sockets->count + 1, sizeof(*groups));

    if (!groups)
        return NULL;
    sockets->groups = groups;
    groups[sockets->count] =
        (struct socket_group){.address = *address, .silent = UINT_MAX, .wanted = true};
    return &groups[sockets->count++];
}

/* At least one socket for each worker. */
static bool socket_group_fill(struct socket_group *group, unsigned count,
                              struct error *error)
{
    bool is_new = group->count == 0;

    if (!group->inherited && !is_new && group->count < count)
        group->silent = group->count;
    while (!group->inherited && group->count < count) {
        int fd = socket_open(&group->address, is_new, error);
        if (fd < 0 || !socket_group_add(group, fd, error))
            return false;
    }
    return true;
}

/* Takes `fd`. */
static bool socket_group_add(struct socket_group *group, int fd, struct error *error)
{
    int *fds = reallocarray(group->fds, group->count + 1, sizeof(*fds));

    if (!fds) {
        close(fd);
        return error_set(error, "out of memory");
    }
    group->fds = fds;
    fds[group->count++] = fd;
    return true;
}

/* 0: the service manager knows. */
static in_port_t address_port(const struct address *address)
{
    struct sockaddr_in in;
    struct sockaddr_in6 in6;

    if (address->storage.ss_family == AF_UNSPEC)
        return 0;
    if (address->storage.ss_family == AF_INET) {
        memcpy(&in, &address->storage, sizeof(in));
        return in.sin_port;
    }
    memcpy(&in6, &address->storage, sizeof(in6));
    return in6.sin6_port;
}

/* `*` is both families on one socket, or IPv4 where the machine has no IPv6. */
static const struct address *socket_choose_family(const struct address *address,
                                                  struct address *ipv4)
{
    if (address->text[0] != '*' || address->storage.ss_family != AF_INET6)
        return address;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        close(fd);
        return address;
    }
    struct sockaddr_in6 in6;
    memcpy(&in6, &address->storage, sizeof(in6));
    const struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = in6.sin6_port};
    *ipv4 = *address;
    memcpy(&ipv4->storage, &in, sizeof(in));
    ipv4->length = sizeof(in);
    return ipv4;
}

/* A trial without SO_REUSEPORT fails where somebody listens already. */
static bool socket_is_free(const struct address *address, struct error *error)
{
    int fd = socket_bind(address, false, error);

    if (fd < 0)
        return false;
    close(fd);
    return true;
}

static int socket_bind(const struct address *wanted, bool share, struct error *error)
{
    const int on = 1, off = 0;
    struct address ipv4;
    const struct address *address = socket_choose_family(wanted, &ipv4);
    int family = address->storage.ss_family;

    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        (void)error_set_errno(error, errno, "cannot make a socket for %s", address->text);
        return -1;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        (share && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0) ||
        (family == AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, address->text[0] == '*' ? &off : &on,
                    sizeof(on)) < 0)) {
        (void)error_set_errno(error, errno, "cannot set up a socket for %s",
                              address->text);
        close(fd);
        return -1;
    }
    if (bind(fd, (const struct sockaddr *)&address->storage, address->length) == 0)
        return fd;
    (void)error_set_errno(error, errno, "cannot listen on %s%s", address->text,
                          errno == EACCES ? " (ports below 1024 need root or "
                                            "CAP_NET_BIND_SERVICE)"
                                          : "");
    close(fd);
    return -1;
}

static int socket_open(const struct address *address, bool listens, struct error *error)
{
    const int on = 1, defer = DEFER_ACCEPT_S;
    int fd = socket_bind(address, true, error);

    if (fd < 0)
        return -1;
    /* Accepted sockets inherit TCP_NODELAY, which saves a call for each. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &defer, sizeof(defer));
    if (!listens || listen(fd, SOCKETS_BACKLOG) == 0)
        return fd;
    (void)error_set_errno(error, errno, "cannot listen on %s", address->text);
    close(fd);
    return -1;
}

static void socket_group_close(struct socket_group *group)
{
    for (unsigned i = 0; i < group->count; i++)
        close(group->fds[i]);
    free(group->fds);
}

static void sockets_sweep(struct sockets *sockets)
{
    size_t kept = 0;

    for (size_t i = 0; i < sockets->count; i++) {
        struct socket_group *group = &sockets->groups[i];
        if (group->wanted)
            sockets->groups[kept++] = *group;
        else
            socket_group_close(group);
    }
    sockets->count = kept;
}
