#include "proxy/admin_guard.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum {
    DESCRIPTORS = 256, /* the kernel gives the lowest that is free */
    CROWDED_S = 1      /* how old a connection may get while there is no room */
};

static const struct timeval LOOK_EVERY = {.tv_sec = 1};

struct admin_guard {
    struct event *look; /* owned; pending while there are connections */
    size_t count;       /* at the last look, and accepted since */
    void (*on_room)(void *argument);
    void *argument;
    struct {
        ino_t inode; /* 0: none */
        int looks;   /* at which it was there */
        bool ours;   /* it was open before: the control socket, where the log goes */
    } seen[DESCRIPTORS];
};

static void guard_on_look(evutil_socket_t fd, short what, void *argument);
static ino_t guard_connection(int fd);

struct admin_guard *admin_guard_new(struct event_base *base, struct error *error)
{
    struct admin_guard *guard = calloc(1, sizeof(*guard));

    if (guard && (guard->look = evtimer_new(base, guard_on_look, guard))) {
        for (int fd = 0; fd < DESCRIPTORS; fd++)
            guard->seen[fd].ours = guard_connection(fd) != 0;
        return guard;
    }
    (void)error_set(error, "out of memory");
    free(guard);
    return NULL;
}

void admin_guard_note(struct admin_guard *guard)
{
    guard->count++;
    if (!evtimer_pending(guard->look, NULL))
        evtimer_add(guard->look, &LOOK_EVERY);
}

bool admin_guard_is_full(const struct admin_guard *guard)
{
    return guard->count >= ADMIN_CONNECTIONS;
}

void admin_guard_on_room(struct admin_guard *guard, void (*on_room)(void *argument),
                         void *argument)
{
    guard->on_room = on_room;
    guard->argument = argument;
}

void admin_guard_free(struct admin_guard *guard)
{
    if (!guard)
        return;
    event_free(guard->look);
    free(guard);
}

static void guard_on_look(evutil_socket_t unused, short what, void *argument)
{
    struct admin_guard *guard = argument;
    int most = admin_guard_is_full(guard) ? CROWDED_S : ADMIN_CONNECTION_S;

    (void)unused;
    (void)what;
    guard->count = 0;
    for (int fd = 0; fd < DESCRIPTORS; fd++) {
        ino_t inode = guard->seen[fd].ours ? 0 : guard_connection(fd);
        if (inode == 0 || inode != guard->seen[fd].inode)
            guard->seen[fd].looks = 0;
        guard->seen[fd].inode = inode;
        if (inode == 0)
            continue;
        guard->count++;
        if (++guard->seen[fd].looks > most)
            (void)shutdown(fd, SHUT_RDWR);
    }
    if (guard->count > 0)
        evtimer_add(guard->look, &LOOK_EVERY);
    if (!admin_guard_is_full(guard) && guard->on_room)
        guard->on_room(guard->argument);
}

/* By its inode, which no other socket has while it lives; 0: no accepted connection. */
static ino_t guard_connection(int fd)
{
    struct stat status;
    int type = 0, listens = 0;
    socklen_t size = sizeof(type);

    if (fstat(fd, &status) < 0 || !S_ISSOCK(status.st_mode) ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_STREAM)
        return 0;
    size = sizeof(listens);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0 || listens)
        return 0;
    return status.st_ino;
}
