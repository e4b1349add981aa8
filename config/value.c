#include "config/value.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

static const struct {
    const char *suffix;
    uint64_t ms;
} units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};

enum { UNIT_COUNT = sizeof(units) / sizeof(units[0]), PORT_MAX = 65535 };

/* One address of a list while it is read. */
struct item {
    const char *text; /* without blanks around it */
    enum address_use use;
    struct address_list *list; /* borrowed; the result grows here */
    struct error *error;
};

/* In front of the name of sockets that the service manager hands over. */
#define ACTIVATION "systemd:"

static bool digits_read(const char **text, uint64_t *value);
static bool item_read(const struct item *item);
static bool item_read_unix(const struct item *item);
static bool item_read_activation(const struct item *item);
static bool item_read_inet(const struct item *item, const char *host, uint16_t port);
static bool item_read_name(const struct item *item, const char *host, uint16_t port);
static bool item_read_port(const struct item *item, const char *digits, uint16_t *port);
static bool item_refuse_host(const struct item *item, const char *host);
static bool item_add(const struct item *item, const struct address *address);
static struct address inet4_address(struct in_addr host, uint16_t port);
static struct address inet6_address(const struct in6_addr *host, uint16_t port);

bool value_read_bool(const char *text, bool *value, struct error *error)
{
    static const char *const words[][2] = {
        {"yes", "no"}, {"true", "false"}, {"on", "off"}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        for (size_t side = 0; side < 2; side++) {
            if (strcmp(text, words[i][side]) == 0) {
                *value = side == 0;
                return true;
            }
        }
    }
    return error_set(error, "\"%s\" is neither \"yes\" nor \"no\"", text);
}

bool value_read_count(const char *text, uint64_t min, uint64_t max, uint64_t *value,
                      struct error *error)
{
    const char *end = text;
    uint64_t number = 0;
    const bool fits = digits_read(&end, &number);
    if (end == text || *end != '\0') {
        return error_set(error, "\"%s\" is not a number from %" PRIu64 " to %" PRIu64,
                         text, min, max);
    }
    if (!fits || number < min || number > max) {
        return error_set(error, "%s is outside %" PRIu64 " to %" PRIu64, text, min, max);
    }
    *value = number;
    return true;
}

bool value_read_duration(const char *text, uint64_t min_ms, uint64_t max_ms, uint64_t *ms,
                         struct error *error)
{
    const char *suffix = text;
    uint64_t number = 0;
    bool fits = digits_read(&suffix, &number);
    if (suffix != text && *suffix == '\0') {
        return error_set(error, "%s has no unit (write %ss, %sms, %sm, %sh or %sd)", text,
                         text, text, text, text, text);
    }
    size_t unit = 0;
    while (unit < UNIT_COUNT && strcmp(suffix, units[unit].suffix) != 0) {
        unit++;
    }
    if (suffix == text || unit == UNIT_COUNT) {
        return error_set(
            error,
            "\"%s\" is not a duration (write a whole number and a unit, such "
            "as 500ms, 30s, 5m, 1h or 2d)",
            text);
    }
    fits = fits && !__builtin_mul_overflow(number, units[unit].ms, &number);
    if (!fits || number < min_ms || number > max_ms) {
        char min[32];
        char max[32];
        value_write_duration(min_ms, min, sizeof(min));
        value_write_duration(max_ms, max, sizeof(max));
        return error_set(error, "%s is outside %s to %s", text, min, max);
    }
    *ms = number;
    return true;
}

bool value_read_addresses(const char *text, enum address_use use,
                          struct address_list *list, struct error *error)
{
    struct address_list read = {.count = 0};
    const char *rest = text;
    while (rest != NULL) {
        const char *comma = strchr(rest, ',');
        const char *start = rest;
        const char *end = comma != NULL ? comma : rest + strlen(rest);
        rest = comma != NULL ? comma + 1 : NULL;
        while (start < end && isspace((unsigned char)*start)) {
            start++;
        }
        while (end > start && isspace((unsigned char)end[-1])) {
            end--;
        }
        char copy[256];
        if (start == end) {
            return error_set(error, "\"%s\" holds an empty address", text);
        }
        if ((size_t)(end - start) >= sizeof(copy)) {
            return error_set(error, "\"%.*s\" is too long for an address",
                             (int)(end - start), start);
        }
        memcpy(copy, start, (size_t)(end - start));
        copy[end - start] = '\0';
        const struct item item = {
            .text = copy, .use = use, .list = &read, .error = error};
        if (!item_read(&item)) {
            return false;
        }
    }
    *list = read;
    return true;
}

bool value_read_bytes(const char *text, struct byte_text *bytes, struct error *error)
{
    static const char escapes[] = "rnts\\";
    static const char meanings[] = "\r\n\t \\";
    struct byte_text read = {.length = 0};
    while (*text != '\0') {
        unsigned char byte = (unsigned char)*text++;
        const char *escape = NULL;
        if (read.length == BYTE_TEXT_MAX) {
            return error_set(error, "there are more than %d bytes", BYTE_TEXT_MAX);
        }
        if (byte == '\\' && text[0] == 'x' && isxdigit((unsigned char)text[1]) &&
            isxdigit((unsigned char)text[2])) {
            const char digits[] = {text[1], text[2], '\0'};
            byte = (unsigned char)strtoul(digits, NULL, 16);
            text += 3;
        } else if (byte == '\\') {
            escape = *text != '\0' ? strchr(escapes, *text) : NULL;
            if (escape == NULL) {
                return error_set(error,
                                 "\"\\%c\" is no escape (there are \\r \\n \\t \\s for a "
                                 "blank, \\xNN for a byte, and \\\\)",
                                 *text != '\0' ? *text : ' ');
            }
            byte = (unsigned char)meanings[escape - escapes];
            text++;
        }
        read.data[read.length++] = byte;
    }
    *bytes = read;
    return true;
}

bool address_is_name(const struct address *address)
{
    return address->storage.ss_family == AF_UNSPEC;
}

uint16_t address_split_name(const struct address *address, char host[ADDRESS_TEXT_MAX])
{
    const char *colon = strrchr(address->text, ':');
    const size_t length =
        colon != NULL ? (size_t)(colon - address->text) : strlen(address->text);
    memcpy(host, address->text, length);
    host[length] = '\0';
    return colon != NULL ? (uint16_t)strtoul(colon + 1, NULL, 10) : 0;
}

struct address address_of_ip(int family, const uint8_t *ip, uint16_t port)
{
    if (family == AF_INET) {
        struct in_addr host;
        memcpy(&host, ip, sizeof(host));
        return inet4_address(host, port);
    }
    struct in6_addr host;
    memcpy(&host, ip, sizeof(host));
    return inet6_address(&host, port);
}

void value_write_duration(uint64_t ms, char *text, size_t size)
{
    size_t unit = 0;
    while (ms % units[unit].ms != 0) {
        unit++; /* ends at milliseconds */
    }
    if (ms == 0) {
        snprintf(text, size, "0s");
    } else {
        snprintf(text, size, "%" PRIu64 "%s", ms / units[unit].ms, units[unit].suffix);
    }
}

/* Moves `text` past its leading digits; false if their value does not fit. */
static bool digits_read(const char **text, uint64_t *value)
{
    bool fits = true;
    *value = 0;
    for (; **text >= '0' && **text <= '9'; (*text)++) {
        fits = fits && !__builtin_mul_overflow(*value, 10, value) &&
               !__builtin_add_overflow(*value, (uint64_t)(**text - '0'), value);
    }
    return fits;
}

static bool item_read(const struct item *item)
{
    const char *text = item->text;
    if (strncmp(text, "unix:", 5) == 0) {
        return item_read_unix(item);
    }
    if (strncmp(text, ACTIVATION, strlen(ACTIVATION)) == 0) {
        return item_read_activation(item);
    }
    if (strstr(text, "://") != NULL) {
        return error_set(item->error, "\"%s\" is a URL (write only its HOST:PORT)", text);
    }
    const char *colon = strrchr(text, ':');
    const char *digits = colon != NULL ? colon + 1 : text;
    if (colon == text || (colon == NULL && strspn(text, "0123456789") == strlen(text))) {
        return error_set(item->error, "\"%s\" is only a port (write %s:%s)", text,
                         item->use == ADDRESS_LISTEN ? "*" : "127.0.0.1", digits);
    }
    char host[ADDRESS_TEXT_MAX];
    const bool bracketed = text[0] == '[';
    const char *start = text + bracketed;
    const char *end = bracketed ? strchr(text, ']') : colon;
    if (end == NULL || end[bracketed] != ':') {
        return error_set(item->error, "\"%s\" has no port (write HOST:PORT)", text);
    }
    if (end + bracketed != colon ||
        (!bracketed && memchr(text, ':', (size_t)(end - text)))) {
        return error_set(item->error,
                         "\"%s\" is not HOST:PORT (an IPv6 address stands in brackets: "
                         "[::1]:443)",
                         text);
    }
    if ((size_t)(end - start) >= sizeof(host)) {
        return item_refuse_host(item, start);
    }
    memcpy(host, start, (size_t)(end - start));
    host[end - start] = '\0';
    if (bracketed && strchr(host, ':') == NULL) {
        return error_set(item->error,
                         "\"%s\" has brackets around what is no IPv6 address", text);
    }
    uint16_t port = 0;
    return item_read_port(item, digits, &port) && item_read_inet(item, host, port);
}

static bool item_read_unix(const struct item *item)
{
    const char *path = item->text + strlen("unix:");
    struct address address = {.length = 0};
    struct sockaddr_un *unix_socket = (struct sockaddr_un *)&address.storage;
    const size_t length = strlen(path);
    const bool abstract = path[0] == '@';
    if (item->use == ADDRESS_LISTEN) {
        return error_set(item->error,
                         "\"%s\" is a unix socket; a listener takes HOST:PORT",
                         item->text);
    }
    if (!abstract && path[0] != '/') {
        return error_set(
            item->error,
            "\"%s\" is not absolute (write unix:/PATH, or unix:@NAME for the "
            "abstract namespace)",
            item->text);
    }
    if (abstract && length == 1) {
        return error_set(item->error, "\"%s\" has no name after \"@\"", item->text);
    }
    /* An abstract name starts with a NUL in place of "@" and ends without one. */
    const size_t limit = sizeof(unix_socket->sun_path) - (abstract ? 0 : 1);
    if (length > limit) {
        return error_set(
            item->error,
            "\"%s\" is too long: the system allows %zu bytes after \"unix:\"", item->text,
            limit);
    }
    unix_socket->sun_family = AF_UNIX;
    memcpy(unix_socket->sun_path + abstract, path + abstract, length - abstract);
    address.length =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + !abstract);
    snprintf(address.text, sizeof(address.text), "unix:%s", path);
    return item_add(item, &address);
}

/* The name stands in the storage as well, so that addresses compare by it. */
static bool item_read_activation(const struct item *item)
{
    const char *name = item->text + strlen(ACTIVATION);
    struct address address = {.storage.ss_family = AF_UNSPEC};
    const size_t length = strlen(name);
    const size_t at = offsetof(struct sockaddr, sa_data);
    if (item->use != ADDRESS_LISTEN) {
        return error_set(item->error,
                         "\"%s\" is for listeners: the service manager hands over "
                         "sockets that listen",
                         item->text);
    }
    if (length == 0 || length > sizeof(address.text) - sizeof(ACTIVATION)) {
        return error_set(item->error,
                         "\"%s\" needs a name of at most %zu characters after "
                         "\"" ACTIVATION "\": the FileDescriptorName= of the socket unit",
                         item->text, sizeof(address.text) - sizeof(ACTIVATION));
    }
    for (const char *c = name; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~' || *c == ':') {
            return error_set(item->error,
                             "\"%s\" has a character in its name that no "
                             "FileDescriptorName= has",
                             item->text);
        }
    }
    memcpy((char *)&address.storage + at, name, length);
    address.length = (socklen_t)(at + length);
    snprintf(address.text, sizeof(address.text), ACTIVATION "%s", name);
    return item_add(item, &address);
}

static bool item_read_inet(const struct item *item, const char *host, uint16_t port)
{
    const bool any = strcmp(host, "*") == 0;
    const bool localhost = strcmp(host, "localhost") == 0;
    struct in_addr host4 = {.s_addr = htonl(INADDR_LOOPBACK)};
    struct in6_addr host6 = any ? in6addr_any : in6addr_loopback;
    const bool is4 = localhost || inet_pton(AF_INET, host, &host4) == 1;
    const bool is6 = localhost || any || inet_pton(AF_INET6, host, &host6) == 1;
    if (!is4 && !is6) {
        return item_read_name(item, host, port);
    }
    const bool unspecified =
        is4 ? host4.s_addr == htonl(INADDR_ANY) : IN6_IS_ADDR_UNSPECIFIED(&host6) != 0;
    if (item->use == ADDRESS_CONNECT && unspecified) {
        return error_set(item->error,
                         "\"%s\" means every address, and a connection needs one (write "
                         "127.0.0.1:%u)",
                         item->text, port);
    }
    if (is4) {
        const struct address address = inet4_address(host4, port);
        if (!item_add(item, &address)) {
            return false;
        }
    }
    if (is6) {
        struct address address = inet6_address(&host6, port);
        if (any) {
            snprintf(address.text, sizeof(address.text), "*:%u", port);
        }
        return item_add(item, &address);
    }
    return true;
}

static bool item_read_port(const struct item *item, const char *digits, uint16_t *port)
{
    const char *end = digits;
    uint64_t number = 0;
    const bool fits = digits_read(&end, &number);
    if (end == digits || *end != '\0' || !fits || number < 1 || number > PORT_MAX) {
        return error_set(item->error, "\"%s\" has no port from 1 to %d", item->text,
                         PORT_MAX);
    }
    *port = (uint16_t)number;
    return true;
}

/* The name of a host: what it means is asked later, and again. */
static bool item_read_name(const struct item *item, const char *host, uint16_t port)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789._-";
    struct address address = {.storage.ss_family = AF_UNSPEC};
    const bool numeric = strspn(host, "0123456789.") == strlen(host);
    const bool spelt = strspn(host, allowed) == strlen(host) && host[0] != '.' &&
                       host[0] != '-' && strstr(host, "..") == NULL;
    if (item->use == ADDRESS_LISTEN || numeric || !spelt) {
        return item_refuse_host(item, host);
    }
    const int length =
        snprintf(address.text, sizeof(address.text), "%s:%u", host, (unsigned)port);
    if (length < 0 || (size_t)length >= sizeof(address.text)) {
        return error_set(item->error, "\"%s\" is too long for an address", item->text);
    }
    return item_add(item, &address);
}

static bool item_refuse_host(const struct item *item, const char *host)
{
    if (strchr(host, '%') != NULL) {
        return error_set(item->error, "\"%s\" names a zone, which is not supported",
                         item->text);
    }
    if (strspn(host, "0123456789.") == strlen(host) || strchr(host, ':') != NULL) {
        return error_set(item->error, "\"%s\" is not a valid IP address", item->text);
    }
    if (item->use == ADDRESS_LISTEN) {
        return error_set(item->error,
                         "\"%s\" is a host name; a listener takes the IP address, "
                         "localhost or *",
                         item->text);
    }
    return error_set(item->error, "\"%s\" is no host name and no IP address", item->text);
}

static bool item_add(const struct item *item, const struct address *address)
{
    struct address_list *list = item->list;
    for (size_t i = 0; i < list->count; i++) {
        if (address_equal(&list->items[i], address)) {
            return error_set(item->error, "%s is given twice", address->text);
        }
    }
    if (list->count == ADDRESS_LIST_MAX) {
        return error_set(item->error, "there are more than %d addresses",
                         ADDRESS_LIST_MAX);
    }
    list->items[list->count++] = *address;
    return true;
}

static struct address inet4_address(struct in_addr host, uint16_t port)
{
    struct address address = {.length = sizeof(struct sockaddr_in)};
    struct sockaddr_in *inet = (struct sockaddr_in *)&address.storage;
    inet->sin_family = AF_INET;
    inet->sin_port = htons(port);
    inet->sin_addr = host;
    char words[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &host, words, sizeof(words));
    snprintf(address.text, sizeof(address.text), "%s:%u", words, port);
    return address;
}

static struct address inet6_address(const struct in6_addr *host, uint16_t port)
{
    struct address address = {.length = sizeof(struct sockaddr_in6)};
    struct sockaddr_in6 *inet6 = (struct sockaddr_in6 *)&address.storage;
    inet6->sin6_family = AF_INET6;
    inet6->sin6_port = htons(port);
    inet6->sin6_addr = *host;
    char words[INET6_ADDRSTRLEN];
    inet_ntop(AF_INET6, host, words, sizeof(words));
    snprintf(address.text, sizeof(address.text), "[%s]:%u", words, port);
    return address;
}
