/* Addresses once they are read: what they are, and how they compare. */
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

#include "config/value.h"

#define ACTIVATION "systemd:"

static size_t address_key_size(const struct address *address);

bool address_is_local(const struct address *address)
{
    const struct sockaddr *any = (const struct sockaddr *)&address->storage;
    if (any->sa_family == AF_UNIX) {
        return true;
    }
    if (any->sa_family == AF_INET) {
        const struct sockaddr_in *inet = (const struct sockaddr_in *)&address->storage;
        return ntohl(inet->sin_addr.s_addr) >> 24 == 127;
    }
    const struct sockaddr_in6 *inet6 = (const struct sockaddr_in6 *)&address->storage;
    return any->sa_family == AF_INET6 && (IN6_IS_ADDR_LOOPBACK(&inet6->sin6_addr) ||
                                          (IN6_IS_ADDR_V4MAPPED(&inet6->sin6_addr) &&
                                           inet6->sin6_addr.s6_addr[12] == 127));
}

const char *address_activation_name(const struct address *address)
{
    return address->storage.ss_family == AF_UNSPEC &&
                   strncmp(address->text, ACTIVATION, strlen(ACTIVATION)) == 0
               ? address->text + strlen(ACTIVATION)
               : NULL;
}

bool address_equal(const struct address *a, const struct address *b)
{
    return address_compare(a, b) == 0;
}

int address_compare(const struct address *a, const struct address *b)
{
    const size_t a_size = address_key_size(a);
    const size_t b_size = address_key_size(b);
    if (a->storage.ss_family != b->storage.ss_family || a_size != b_size) {
        const bool less =
            a->storage.ss_family < b->storage.ss_family ||
            (a->storage.ss_family == b->storage.ss_family && a_size < b_size);
        return less ? -1 : 1;
    }
    if (a->storage.ss_family == AF_UNSPEC) {
        return strcasecmp(a->text, b->text);
    }
    if (a->storage.ss_family == AF_INET6) {
        const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *)&a->storage;
        const struct sockaddr_in6 *b6 = (const struct sockaddr_in6 *)&b->storage;
        const int order = memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof(a6->sin6_addr));
        return order != 0 ? order : memcmp(&a6->sin6_port, &b6->sin6_port, 2);
    }
    return memcmp(&a->storage, &b->storage, a_size);
}

/* Bytes at the start of the storage that make the address. */
static size_t address_key_size(const struct address *address)
{
    const size_t inet_size =
        offsetof(struct sockaddr_in, sin_addr) + sizeof(struct in_addr);
    return address->storage.ss_family == AF_INET ? inet_size : address->length;
}
