/*
 * What a name stands for: a list of IP addresses in a fixed order and of a fixed size, as
 * it travels from the resolver to the master and from there to the workers.  Whoever gets
 * one checks it first.
 */
#ifndef PROXY_RESOLVED_H
#define PROXY_RESOLVED_H

#include <stdint.h>

#include "config/config.h"
#include "proxy/error.h"

enum { RESOLVED_MAX = 32 };

struct resolved_item {
    uint8_t family; /* 4 or 6 */
    uint8_t ip[16]; /* an IPv4 address has the first four */
    uint16_t port;  /* 0 where only the host is meant */
};

struct resolved {
    char name[CONFIG_NAME_MAX]; /* of the backend; "" where only the host is meant */
    uint32_t count;
    struct resolved_item items[RESOLVED_MAX];
};

/* Asks the system, by all that it has: /etc/hosts, DNS with the search list, and so on.
 * Waits for as long as that takes.  The result is normal. */
bool resolved_look_up(const char *host, struct resolved *resolved,
                      struct error *error) MUST_CHECK;

/* Whether what came from another process can be read at all. */
bool resolved_is_valid(const struct resolved *resolved);

/* Puts it in order, so that the same addresses are always the same bytes, and takes away
 * what is there twice or cannot be connected to: 0.0.0.0, multicast, link-local IPv6. */
void resolved_normalise(struct resolved *resolved);

/* Takes away the addresses of other machines.  Returns how many, and the first of them in
 * words. */
size_t resolved_keep_local(struct resolved *resolved, char example[ADDRESS_TEXT_MAX]);

bool resolved_equal(const struct resolved *a, const struct resolved *b);

struct address resolved_address(const struct resolved_item *item);

/* The addresses in words, without ports. */
void resolved_words(const struct resolved *resolved, char *text, size_t size);

#endif
