#include "proxy/control.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

union fd_space {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(CONTROL_FDS_MAX * sizeof(int))];
};

static bool control_is_valid(const struct control_message *message, size_t size);
static void control_take_fds(struct msghdr *header, struct control_fds *fds);

bool control_pair(int ends[2], struct error *error)
{
    const struct timeval timeout = {.tv_sec = CONTROL_TIMEOUT_S};

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return error_set_errno(error, errno, "cannot make a control socket");
    for (int i = 0; i < 2; i++)
        (void)setsockopt(ends[i], SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    return true;
}

bool control_send(int socket, const struct control_message *message,
                  const struct control_fds *fds, struct error *error)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)message,
                         .iov_len = sizeof(*message)};
    union fd_space space = {0};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    int list[CONTROL_FDS_MAX];
    size_t count = 0;

    for (size_t i = 0; fds && i < CONTROL_FDS_MAX; i++) {
        if (fds->fd[i] >= 0)
            list[count++] = fds->fd[i];
    }
    if (count > 0) {
        header.msg_control = space.bytes;
        header.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(cmsg), list, count * sizeof(int));
    }
    ssize_t sent;
    do {
        sent = sendmsg(socket, &header, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent != (ssize_t)sizeof(*message))
        return error_set_errno(error, sent < 0 ? errno : EMSGSIZE,
                               "cannot send a control message");
    return true;
}

enum control_result control_receive(int socket, bool wait,
                                    struct control_message *message,
                                    struct control_fds *fds)
{
    struct iovec part = {.iov_base = message, .iov_len = sizeof(*message)};
    union fd_space space = {0};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = space.bytes,
                            .msg_controllen = sizeof(space.bytes)};

    *fds = (struct control_fds){.fd = {-1, -1}};
    ssize_t got;
    do {
        got = recvmsg(socket, &header, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno == EAGAIN ? CONTROL_NOTHING : CONTROL_CLOSED;
    control_take_fds(&header, fds);
    if (got == 0 && fds->fd[0] < 0)
        return CONTROL_CLOSED;
    if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
        !control_is_valid(message, (size_t)got)) {
        control_fds_close(fds);
        return CONTROL_INVALID;
    }
    return CONTROL_MESSAGE;
}

void control_fds_close(struct control_fds *fds)
{
    for (size_t i = 0; i < CONTROL_FDS_MAX; i++) {
        if (fds->fd[i] >= 0)
            close(fds->fd[i]);
        fds->fd[i] = -1;
    }
}

static bool control_is_valid(const struct control_message *message, size_t size)
{
    return size == sizeof(*message) && message->type >= CONTROL_START &&
           message->type < CONTROL_TYPE_END &&
           memchr(message->text, '\0', sizeof(message->text)) != NULL;
}

static void control_take_fds(struct msghdr *header, struct control_fds *fds)
{
    size_t taken = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
            if (taken < CONTROL_FDS_MAX)
                fds->fd[taken++] = fd;
            else
                close(fd);
        }
    }
}
