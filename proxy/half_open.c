#include "proxy/half_open.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdalign.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REPLY_BYTES = 32768, REPLIES_MAX = 4096 };

struct question {
    struct nlmsghdr header;
    struct inet_diag_req_v2 request;
};

static int half_open_ask(int netlink, uint8_t family, uint16_t port);
static bool half_open_read(const char *reply, size_t size, uint16_t port, int *count);

int half_open_count(uint16_t port)
{
    int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

    if (netlink < 0)
        return -1;
    int inet = half_open_ask(netlink, AF_INET, port);
    int inet6 = half_open_ask(netlink, AF_INET6, port);
    close(netlink);
    if (inet < 0 && inet6 < 0)
        return -1;
    return (inet > 0 ? inet : 0) + (inet6 > 0 ? inet6 : 0);
}

/* A dump is there as soon as it was asked for. */
static int half_open_ask(int netlink, uint8_t family, uint16_t port)
{
    const struct question question = {
        .header = {.nlmsg_len = sizeof(question),
                   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .request = {.sdiag_family = family,
                    .sdiag_protocol = IPPROTO_TCP,
                    .idiag_states = 1U << TCP_SYN_RECV,
                    .id.idiag_sport = htons(port)},
    };
    static alignas(struct nlmsghdr) char reply[REPLY_BYTES];
    int count = 0;

    if (send(netlink, &question, sizeof(question), 0) != (ssize_t)sizeof(question))
        return -1;
    for (int i = 0; i < REPLIES_MAX; i++) {
        ssize_t size = recv(netlink, reply, sizeof(reply), MSG_DONTWAIT);
        if (size <= 0)
            return -1;
        if (half_open_read(reply, (size_t)size, port, &count))
            return count;
        if (count < 0)
            return -1;
    }
    return count;
}

/* Returns whether it was the last; `count` is -1 after an error. */
static bool half_open_read(const char *reply, size_t size, uint16_t port, int *count)
{
    struct nlmsghdr header;
    struct inet_diag_msg entry;

    for (size_t at = 0; at + sizeof(header) <= size;
         at += NLMSG_ALIGN(header.nlmsg_len)) {
        memcpy(&header, reply + at, sizeof(header));
        if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > size - at)
            break;
        if (header.nlmsg_type == NLMSG_DONE)
            return true;
        if (header.nlmsg_type != SOCK_DIAG_BY_FAMILY)
            break;
        if (header.nlmsg_len < NLMSG_HDRLEN + sizeof(entry))
            break;
        memcpy(&entry, reply + at + NLMSG_HDRLEN, sizeof(entry));
        if (ntohs(entry.id.idiag_sport) == port && entry.idiag_state == TCP_SYN_RECV)
            (*count)++;
        if (at + NLMSG_ALIGN(header.nlmsg_len) >= size)
            return false;
    }
    *count = -1;
    return false;
}
