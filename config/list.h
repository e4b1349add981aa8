/*
 * Values that are lists: of words between commas, and of networks.  Both own their items
 * and grow by whole values; a value with one bad item leaves them as they were.
 */
#ifndef CONFIG_LIST_H
#define CONFIG_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/error.h"

struct text_list {
    char **items; /* owned, like each of them */
    size_t count;
};

/* Appends the words of `text`, without the blanks around them.  `check` judges each, and
 * may change it in place to the form it is compared in. */
bool text_list_append(struct text_list *list, const char *text,
                      bool (*check)(char *item, struct error *error),
                      struct error *error) MUST_CHECK;

bool text_list_has(const struct text_list *list, const char *item);

void text_list_clear(struct text_list *list);

/* What the words of a list can be. */

/* A host name, or `*.` and one: the star is one whole label.  Becomes lower case without
 * a trailing dot. */
bool list_check_host(char *item, struct error *error) MUST_CHECK;

/* An ALPN protocol name of 1 to 255 visible characters. */
bool list_check_protocol(char *item, struct error *error) MUST_CHECK;

/* A common name: any text without a star. */
bool list_check_common_name(char *item, struct error *error) MUST_CHECK;

/* A URI; `/` and a star at its end is any one further segment of its path. */
bool list_check_uri(char *item, struct error *error) MUST_CHECK;

/* An e-mail address; a star before the `@` is any mailbox.  The domain becomes lower
 * case. */
bool list_check_mail(char *item, struct error *error) MUST_CHECK;

enum { NETWORK_ADDRESS_BYTES = 16 };

/* An IPv6 prefix; IPv4 ones are mapped (RFC 4291 section 2.5.5.2). */
struct network {
    uint8_t address[NETWORK_ADDRESS_BYTES];
    unsigned bits;
};

struct network_list {
    struct network *items; /* owned */
    size_t count;
};

/* Appends addresses and networks such as 10.0.0.0/8; host bits must be zero. */
bool network_list_append(struct network_list *list, const char *text,
                         struct error *error) MUST_CHECK;

/* `address` is IPv6 or a mapped IPv4 one. */
bool network_list_has(const struct network_list *list,
                      const uint8_t address[NETWORK_ADDRESS_BYTES]);

void network_list_clear(struct network_list *list);

#endif
