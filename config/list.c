#include "config/list.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

enum { ITEM_MAX = 256, HOST_MAX = 253, LABEL_MAX = 63, PROTOCOL_MAX = 255 };

static bool next_item(const char **rest, char item[ITEM_MAX], struct error *error);
static bool text_list_add(struct text_list *list, const char *item, struct error *error);
static void text_list_cut(struct text_list *list, size_t count);
static bool is_host(const char *text);
static void make_lower(char *text);
static bool network_read(const char *item, struct network *network, struct error *error);
static bool network_holds(const struct network *network,
                          const uint8_t address[NETWORK_ADDRESS_BYTES]);

bool text_list_append(struct text_list *list, const char *text,
                      bool (*check)(char *item, struct error *error), struct error *error)
{
    const size_t before = list->count;
    const char *rest = text;
    char item[ITEM_MAX];
    while (rest != NULL) {
        if (!next_item(&rest, item, error) || !check(item, error) ||
            !text_list_add(list, item, error)) {
            text_list_cut(list, before);
            return false;
        }
    }
    return true;
}

bool text_list_has(const struct text_list *list, const char *item)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i], item) == 0) {
            return true;
        }
    }
    return false;
}

void text_list_clear(struct text_list *list)
{
    text_list_cut(list, 0);
    free(list->items);
    *list = (struct text_list){.count = 0};
}

bool list_check_host(char *item, struct error *error)
{
    make_lower(item);
    const size_t length = strlen(item);
    if (length > 1 && item[length - 1] == '.') {
        item[length - 1] = '\0';
    }
    const char *name = strncmp(item, "*.", 2) == 0 ? item + 2 : item;
    if (strchr(name, '*') != NULL) {
        return error_set(error,
                         "\"%s\" has a star that is not the whole first label (write "
                         "*.example.com)",
                         item);
    }
    if (!is_host(name)) {
        return error_set(error, "\"%s\" is not a host name", item);
    }
    struct in_addr address;
    if (inet_pton(AF_INET, name, &address) == 1) {
        return error_set(error, "\"%s\" is an IP address, not a host name", item);
    }
    return true;
}

bool list_check_protocol(char *item, struct error *error)
{
    for (const char *at = item; *at != '\0'; at++) {
        if (!isgraph((unsigned char)*at)) {
            return error_set(error, "\"%s\" is not the name of a protocol", item);
        }
    }
    return strlen(item) <= PROTOCOL_MAX ||
           error_set(error, "\"%s\" is too long for the name of a protocol", item);
}

bool list_check_common_name(char *item, struct error *error)
{
    return strchr(item, '*') == NULL ||
           error_set(error, "\"%s\" has a star; a common name is compared as a whole",
                     item);
}

bool list_check_uri(char *item, struct error *error)
{
    const size_t length = strlen(item);
    const char *star = strchr(item, '*');
    const char *slashes = strstr(item, "://");
    if (slashes == NULL || slashes == item || strpbrk(item, " \t") != NULL) {
        return error_set(error, "\"%s\" is not a URI (such as spiffe://domain/path)",
                         item);
    }
    if (star != NULL && (star != item + length - 1 || star[-1] != '/' ||
                         star - 1 < slashes + strlen("://") + 1)) {
        return error_set(error,
                         "\"%s\" has a star that is not the last segment of the path "
                         "(write spiffe://domain/path/*)",
                         item);
    }
    return true;
}

bool list_check_mail(char *item, struct error *error)
{
    char *at = strrchr(item, '@');
    if (at == NULL || at == item || !is_host(at + 1)) {
        return error_set(error, "\"%s\" is not an e-mail address", item);
    }
    make_lower(at);
    if (strchr(item, '*') != NULL && strncmp(item, "*@", 2) != 0) {
        return error_set(error,
                         "\"%s\" has a star that is not all before the \"@\" (write "
                         "*@example.com)",
                         item);
    }
    return true;
}

bool network_list_append(struct network_list *list, const char *text, struct error *error)
{
    struct network_list read = *list;
    const char *rest = text;
    char item[ITEM_MAX];
    while (rest != NULL) {
        struct network network;
        if (!next_item(&rest, item, error) || !network_read(item, &network, error)) {
            return false;
        }
        struct network *items =
            reallocarray(list->items, read.count + 1, sizeof(*list->items));
        if (items == NULL) {
            return error_set(error, "there is no memory");
        }
        list->items = items;
        items[read.count++] = network;
    }
    list->count = read.count;
    return true;
}

bool network_list_has(const struct network_list *list,
                      const uint8_t address[NETWORK_ADDRESS_BYTES])
{
    for (size_t i = 0; i < list->count; i++) {
        if (network_holds(&list->items[i], address)) {
            return true;
        }
    }
    return false;
}

void network_list_clear(struct network_list *list)
{
    free(list->items);
    *list = (struct network_list){.count = 0};
}

/* Takes what stands before the next comma; `*rest` is NULL after the last. */
static bool next_item(const char **rest, char item[ITEM_MAX], struct error *error)
{
    const char *start = *rest + strspn(*rest, " \t");
    const char *end = start + strcspn(start, ",");
    *rest = *end == ',' ? end + 1 : NULL;
    while (end > start && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }
    const size_t length = (size_t)(end - start);
    if (length == 0) {
        return error_set(error, "there is nothing before or after a comma");
    }
    if (length >= ITEM_MAX) {
        return error_set(error, "\"%.*s...\" is too long", 40, start);
    }
    memcpy(item, start, length);
    item[length] = '\0';
    return true;
}

static bool text_list_add(struct text_list *list, const char *item, struct error *error)
{
    if (text_list_has(list, item)) {
        return error_set(error, "\"%s\" stands there twice", item);
    }
    char **items = reallocarray(list->items, list->count + 1, sizeof(*items));
    if (items == NULL) {
        return error_set(error, "there is no memory");
    }
    list->items = items;
    items[list->count] = strdup(item);
    if (items[list->count] == NULL) {
        return error_set(error, "there is no memory");
    }
    list->count++;
    return true;
}

static void text_list_cut(struct text_list *list, size_t count)
{
    while (list->count > count) {
        free(list->items[--list->count]);
    }
}

/* Labels of letters, digits, "-" and "_", none empty. */
static bool is_host(const char *text)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789_-";
    if (strlen(text) > HOST_MAX) {
        return false;
    }
    for (;;) {
        const size_t label = strspn(text, allowed);
        if (label == 0 || label > LABEL_MAX) {
            return false;
        }
        text += label;
        if (*text == '\0') {
            return true;
        }
        if (*text++ != '.') {
            return false;
        }
    }
}

static void make_lower(char *text)
{
    for (; *text != '\0'; text++) {
        *text = (char)tolower((unsigned char)*text);
    }
}

static bool network_read(const char *item, struct network *network, struct error *error)
{
    char host[INET6_ADDRSTRLEN];
    const char *slash = strchr(item, '/');
    const size_t length = slash != NULL ? (size_t)(slash - item) : strlen(item);
    *network = (struct network){.address = {[10] = 0xff, [11] = 0xff}, .bits = 128};
    if (length >= sizeof(host)) {
        return error_set(error, "\"%s\" is not an IP address or network", item);
    }
    memcpy(host, item, length);
    host[length] = '\0';
    const bool is4 = inet_pton(AF_INET, host, network->address + 12) == 1;
    if (!is4 && inet_pton(AF_INET6, host, network->address) != 1) {
        return error_set(error, "\"%s\" is not an IP address or network", item);
    }
    if (slash != NULL) {
        const unsigned most = is4 ? 32 : 128;
        char *end = NULL;
        const unsigned long bits = strtoul(slash + 1, &end, 10);
        if (!isdigit((unsigned char)slash[1]) || *end != '\0' || bits > most) {
            return error_set(error, "\"%s\" has no prefix length from 0 to %u", item,
                             most);
        }
        network->bits = (unsigned)bits + (128 - most);
    }
    for (unsigned bit = network->bits; bit < 128; bit++) {
        if ((network->address[bit / 8] & (0x80 >> bit % 8)) != 0) {
            return error_set(error, "\"%s\" has bits set behind its prefix", item);
        }
    }
    return true;
}

static bool network_holds(const struct network *network,
                          const uint8_t address[NETWORK_ADDRESS_BYTES])
{
    const unsigned whole = network->bits / 8;
    const unsigned rest = network->bits % 8;
    if (memcmp(network->address, address, whole) != 0) {
        return false;
    }
    return rest == 0 ||
           ((network->address[whole] ^ address[whole]) >> (8 - rest) & 0xff) == 0;
}
