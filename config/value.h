/*
 * The types of configuration values and how each is read from text.  Every reader accepts
 * exactly one spelling family, refuses the rest in a sentence that shows what is allowed,
 * and never half-fills its result.
 */
#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "proxy/error.h"

enum { ADDRESS_TEXT_MAX = 200, ADDRESS_LIST_MAX = 16 };

/* A numeric IP address with port, or a unix socket path.  With the family AF_UNSPEC the
 * text is all there is: HOST:PORT with a name that is yet to be resolved or, of a
 * listener, systemd:NAME, sockets that the service manager hands over. */
struct address {
    struct sockaddr_storage storage;
    socklen_t length;
    char text[ADDRESS_TEXT_MAX]; /* as people write it: 127.0.0.1:3000, [::1]:3000,
                                    unix:/x */
};

struct address_list {
    struct address items[ADDRESS_LIST_MAX];
    size_t count;
};

enum address_use {
    ADDRESS_LISTEN, /* HOST:PORT with numeric host, `localhost` or `*` (dual-stack any),
                       or systemd:NAME */
    ADDRESS_LISTEN_LOCAL, /* the same, or unix:PATH */
    ADDRESS_CONNECT /* numeric HOST:PORT, `localhost:PORT` (127.0.0.1, then ::1), a name
                       with a port, or unix:PATH (absolute; unix:@NAME for the abstract
                       namespace) */
};

/* Bytes that are written as text: what a check sends, for example. */
enum { BYTE_TEXT_MAX = 192 };

struct byte_text {
    uint8_t data[BYTE_TEXT_MAX];
    size_t length;
};

/* yes/no/true/false/on/off */
bool value_read_bool(const char *text, bool *value, struct error *error) MUST_CHECK;

/* A decimal number in [min, max]. */
bool value_read_count(const char *text, uint64_t min, uint64_t max, uint64_t *value,
                      struct error *error) MUST_CHECK;

/* 500ms, 30s, 5m, 1h, 2d; a bare number is refused (units are not guessed).  Stored in
 * milliseconds; min and max likewise. */
bool value_read_duration(const char *text, uint64_t min_ms, uint64_t max_ms, uint64_t *ms,
                         struct error *error) MUST_CHECK;

/* A comma-separated list of addresses for `use`.  A bare port is refused with advice. */
bool value_read_addresses(const char *text, enum address_use use,
                          struct address_list *list, struct error *error) MUST_CHECK;

/* The NAME of systemd:NAME, or NULL. */
const char *address_activation_name(const struct address *address);

/* Text with the escapes \r \n \t \s (a blank) \\ and \xNN. */
bool value_read_bytes(const char *text, struct byte_text *bytes,
                      struct error *error) MUST_CHECK;

/* Whether it is a name that is yet to be resolved. */
bool address_is_name(const struct address *address);

/* Splits the text of such an address; `host` has room for all of it. */
uint16_t address_split_name(const struct address *address, char host[ADDRESS_TEXT_MAX]);

/* The IPv4 or IPv6 address in `ip` (4 or 16 bytes, network order) with `port`. */
struct address address_of_ip(int family, const uint8_t *ip, uint16_t port);

/* True for unix sockets, 127.0.0.0/8 and ::1 (IPv4-mapped included). */
bool address_is_local(const struct address *address);

/* Same family, address and port or path. */
bool address_equal(const struct address *a, const struct address *b);

/* An order for sorting and searching: negative, 0 where address_equal, positive. */
int address_compare(const struct address *a, const struct address *b);

/* Writes duration in the largest exact unit, e.g. "90s", "5m"; for printing the table. */
void value_write_duration(uint64_t ms, char *text, size_t size);

#endif
