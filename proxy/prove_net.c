#include "proxy/prove_net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static bool split_text(const char *text, char host[PROVE_HOST_MAX], char port[8],
                       struct error *error);
static bool reach_one(struct prove_target *target, const struct addrinfo *found,
                      struct error *error);
static bool wait_for(const struct prove_link *link, short events);
static bool connect_fd(struct prove_link *link, struct error *error);

uint64_t prove_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

bool prove_target_read(struct prove_target *target, const char *text, struct error *error)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    char host[PROVE_HOST_MAX];
    char port[8];
    struct addrinfo *found = NULL;
    uint8_t number[sizeof(struct in6_addr)];

    *target = (struct prove_target){.start_ms = prove_now_ms()};
    if (!split_text(text, host, port, error))
        return false;
    const int code = getaddrinfo(host, port, &hints, &found);
    if (code != 0)
        return error_set(error, "cannot find \"%s\": %s", host, gai_strerror(code));
    (void)snprintf(target->text, sizeof target->text, "%s", text);
    if (inet_pton(AF_INET, host, number) != 1 && !strchr(host, ':'))
        (void)snprintf(target->name, sizeof target->name, "%s", host);
    const bool reached = reach_one(target, found, error);
    freeaddrinfo(found);
    return reached;
}

/* Settles on the first address that can be connected to. */
static bool reach_one(struct prove_target *target, const struct addrinfo *found,
                      struct error *error)
{
    struct prove_link link;

    (void)error_set(error, "there is no address for %s", target->text);
    for (const struct addrinfo *one = found; one; one = one->ai_next) {
        memcpy(&target->address, one->ai_addr, one->ai_addrlen);
        target->address_len = one->ai_addrlen;
        if (prove_link_open(&link, target, error)) {
            prove_link_close(&link);
            return true;
        }
    }
    return false;
}

static bool split_text(const char *text, char host[PROVE_HOST_MAX], char port[8],
                       struct error *error)
{
    const bool bracketed = text[0] == '[';
    const char *colon = strrchr(text, ':');
    const char *end = bracketed ? strchr(text, ']') : colon;
    const char *start = text + bracketed;

    if (!colon || !end || end <= start || (bracketed && colon != end + 1) ||
        (!bracketed && memchr(text, ':', (size_t)(colon - text))))
        return error_set(error, "\"%s\" is not HOST:PORT", text);
    const size_t host_len = (size_t)(end - start);
    if (host_len >= PROVE_HOST_MAX || strlen(colon + 1) > 5 ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1) || !colon[1])
        return error_set(error, "\"%s\" is not HOST:PORT", text);
    memcpy(host, start, host_len);
    host[host_len] = '\0';
    (void)snprintf(port, 8, "%s", colon + 1);
    return true;
}

bool prove_link_open(struct prove_link *link, struct prove_target *target,
                     struct error *error)
{
    const int on = 1;

    *link = (struct prove_link){.fd = -1, .target = target};
    if (!prove_target_has_patience(target, error))
        return false;
    target->connections++;
    link->deadline_ms = prove_now_ms() + PROVE_TIMEOUT_MS;
    link->fd =
        socket(target->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (link->fd < 0)
        return error_set_errno(error, errno, "cannot make a socket");
    (void)setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect_fd(link, error))
        return true;
    prove_link_close(link);
    return false;
}

bool prove_target_has_patience(const struct prove_target *target, struct error *error)
{
    if (target->silences >= PROVE_SILENCES_MAX)
        return error_set(error, "given up: %u connections brought no answer",
                         target->silences);
    if (target->connections >= PROVE_CONNECTIONS_MAX)
        return error_set(error, "given up after %u connections", target->connections);
    if (prove_now_ms() - target->start_ms > PROVE_TOTAL_MS)
        return error_set(error, "given up after %d seconds", PROVE_TOTAL_MS / 1000);
    return true;
}

static bool connect_fd(struct prove_link *link, struct error *error)
{
    struct prove_target *target = link->target;
    int code = 0;
    socklen_t size = sizeof code;

    if (connect(link->fd, (const struct sockaddr *)&target->address,
                target->address_len) == 0)
        return true;
    if (errno != EINPROGRESS)
        return error_set_errno(error, errno, "cannot connect to %s", target->text);
    if (!wait_for(link, POLLOUT)) {
        target->silences++;
        return error_set(error, "cannot connect to %s: no answer in %d s", target->text,
                         PROVE_TIMEOUT_MS / 1000);
    }
    (void)getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &code, &size);
    if (code != 0)
        return error_set_errno(error, code, "cannot connect to %s", target->text);
    return true;
}

/* Whether it came before the deadline. */
static bool wait_for(const struct prove_link *link, short events)
{
    for (;;) {
        const uint64_t now = prove_now_ms();
        if (now >= link->deadline_ms)
            return false;
        struct pollfd wanted = {.fd = link->fd, .events = events};
        const int ready = poll(&wanted, 1, (int)(link->deadline_ms - now));
        if (ready > 0)
            return true;
        if (ready < 0 && errno != EINTR)
            return false;
    }
}

bool prove_link_send(struct prove_link *link, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;

    while (length > 0) {
        const ssize_t sent = send(link->fd, at, length, MSG_NOSIGNAL);
        if (sent > 0) {
            at += sent;
            length -= (size_t)sent;
        } else if (errno != EAGAIN && errno != EINTR) {
            return false;
        } else if (!wait_for(link, POLLOUT)) {
            return false;
        }
    }
    return true;
}

enum prove_receipt prove_link_receive(struct prove_link *link, void *bytes, size_t size,
                                      size_t *length)
{
    for (;;) {
        if (!wait_for(link, POLLIN))
            return RECEIPT_SILENCE;
        const ssize_t got = recv(link->fd, bytes, size, 0);
        if (got > 0) {
            *length = (size_t)got;
            return RECEIPT_BYTES;
        }
        if (got == 0)
            return RECEIPT_END;
        if (errno != EAGAIN && errno != EINTR)
            return RECEIPT_RESET;
    }
}

void prove_link_close(struct prove_link *link)
{
    if (link->fd >= 0)
        close(link->fd);
    link->fd = -1;
}
