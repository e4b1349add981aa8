#include "proxy/resolved.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void resolved_take(struct resolved *resolved, const struct sockaddr *address);
static bool resolved_is_usable(const struct resolved_item *item);
static int resolved_compare(const void *a, const void *b);
static const char *resolved_host_text(const struct resolved_item *item,
                                      char text[INET6_ADDRSTRLEN]);

bool resolved_look_up(const char *host, struct resolved *resolved, struct error *error)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;

    *resolved = (struct resolved){.count = 0};
    int result = getaddrinfo(host, NULL, &hints, &found);
    if (result == EAI_SYSTEM)
        return error_set_errno(error, errno, "the system's resolver fails");
    if (result != 0)
        return error_set(error, "%s", gai_strerror(result));
    for (const struct addrinfo *one = found; one; one = one->ai_next)
        resolved_take(resolved, one->ai_addr);
    freeaddrinfo(found);
    resolved_normalise(resolved);
    return resolved->count > 0 ||
           error_set(error, "it has no address that can be connected to");
}

bool resolved_is_valid(const struct resolved *resolved)
{
    if (resolved->count > RESOLVED_MAX ||
        !memchr(resolved->name, '\0', sizeof(resolved->name)))
        return false;
    for (uint32_t i = 0; i < resolved->count; i++) {
        if (resolved->items[i].family != 4 && resolved->items[i].family != 6)
            return false;
    }
    return true;
}

void resolved_normalise(struct resolved *resolved)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < resolved->count; i++) {
        struct resolved_item *item = &resolved->items[i];
        if (item->family == 4)
            memset(item->ip + 4, 0, sizeof(item->ip) - 4);
    }
    qsort(resolved->items, resolved->count, sizeof(resolved->items[0]), resolved_compare);
    for (uint32_t i = 0; i < resolved->count; i++) {
        const struct resolved_item *item = &resolved->items[i];
        if (resolved_is_usable(item) &&
            (kept == 0 || resolved_compare(item, &resolved->items[kept - 1]) != 0))
            resolved->items[kept++] = *item;
    }
    resolved->count = kept;
}

size_t resolved_keep_local(struct resolved *resolved, char example[ADDRESS_TEXT_MAX])
{
    uint32_t kept = 0;
    size_t dropped = 0;

    for (uint32_t i = 0; i < resolved->count; i++) {
        const struct resolved_item item = resolved->items[i];
        const struct address address = resolved_address(&item);
        char host[INET6_ADDRSTRLEN];
        if (address_is_local(&address)) {
            resolved->items[kept++] = item;
            continue;
        }
        if (dropped++ == 0)
            (void)snprintf(example, ADDRESS_TEXT_MAX, "%s",
                           resolved_host_text(&item, host));
    }
    resolved->count = kept;
    return dropped;
}

bool resolved_equal(const struct resolved *a, const struct resolved *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++) {
        if (resolved_compare(&a->items[i], &b->items[i]) != 0)
            return false;
    }
    return true;
}

struct address resolved_address(const struct resolved_item *item)
{
    return address_of_ip(item->family == 4 ? AF_INET : AF_INET6, item->ip, item->port);
}

void resolved_words(const struct resolved *resolved, char *text, size_t size)
{
    size_t length = 0;

    text[0] = '\0';
    for (uint32_t i = 0; i < resolved->count && length < size; i++) {
        char host[INET6_ADDRSTRLEN];
        int written = snprintf(text + length, size - length, "%s%s", i > 0 ? " " : "",
                               resolved_host_text(&resolved->items[i], host));
        length += written > 0 ? (size_t)written : 0;
    }
}

static void resolved_take(struct resolved *resolved, const struct sockaddr *address)
{
    struct resolved_item *item = &resolved->items[resolved->count];

    if (resolved->count == RESOLVED_MAX)
        return;
    memset(item, 0, sizeof(*item));
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof(in));
        item->family = 4;
        memcpy(item->ip, &in.sin_addr, sizeof(in.sin_addr));
        resolved->count++;
    } else if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, address, sizeof(in6));
        item->family = 6;
        memcpy(item->ip, &in6.sin6_addr, sizeof(in6.sin6_addr));
        resolved->count++;
    }
}

static bool resolved_is_usable(const struct resolved_item *item)
{
    struct in6_addr ip6;

    if (item->family == 4)
        return item->ip[0] != 0 && item->ip[0] < 224;
    memcpy(&ip6, item->ip, sizeof(ip6));
    return !IN6_IS_ADDR_UNSPECIFIED(&ip6) && !IN6_IS_ADDR_MULTICAST(&ip6) &&
           !IN6_IS_ADDR_LINKLOCAL(&ip6);
}

static int resolved_compare(const void *a, const void *b)
{
    const struct resolved_item *left = a, *right = b;

    if (left->family != right->family)
        return left->family < right->family ? -1 : 1;
    int order = memcmp(left->ip, right->ip, sizeof(left->ip));
    return order != 0 ? order : (int)left->port - (int)right->port;
}

static const char *resolved_host_text(const struct resolved_item *item,
                                      char text[INET6_ADDRSTRLEN])
{
    if (!inet_ntop(item->family == 4 ? AF_INET : AF_INET6, item->ip, text,
                   INET6_ADDRSTRLEN))
        text[0] = '\0';
    return text;
}
