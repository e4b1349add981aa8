#include "proxy/demo_facts.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "proxy/cursor.h"

enum {
    HEADER_BYTES = 16,
    COMMAND_LOCAL = 0x20,
    COMMAND_PROXY = 0x21,
    UNSPEC = 0x00,
    TCP4 = 0x11,
    TCP6 = 0x21,
    UNIX_STREAM = 0x31,
    UNIX_ADDRESS_BYTES = 2 * 108,
    TLV_ALPN = 0x01,
    TLV_AUTHORITY = 0x02,
    TLV_SSL = 0x20,
    TLV_SSL_VERSION = 0x21,
    TLV_SSL_CIPHER = 0x23,
    TLV_SSL_GROUP = 0x26,
    SSL_CLIENT_SSL = 0x01
};

static const uint8_t signature[12] = "\r\n\r\n\0\r\nQUIT\n";

static bool read_addresses(uint8_t family, struct cursor *rest, struct demo_facts *facts);
static bool read_tlvs(struct cursor tlvs, struct demo_facts *facts);

enum demo_header demo_facts_read(const uint8_t *bytes, size_t length,
                                 struct demo_facts *facts, size_t *header_len)
{
    const size_t seen = length < sizeof signature ? length : sizeof signature;
    if (memcmp(bytes, signature, seen) != 0)
        return DEMO_HEADER_ABSENT;
    if (length < HEADER_BYTES)
        return DEMO_HEADER_INCOMPLETE;

    struct cursor header =
        cursor_over(bytes + sizeof signature, length - sizeof signature);
    const uint8_t command = cursor_u8(&header);
    const uint8_t family = cursor_u8(&header);
    const size_t rest_len = cursor_u16(&header);
    if (HEADER_BYTES + rest_len > DEMO_HEADER_MAX)
        return DEMO_HEADER_MALFORMED;
    if (header.left < rest_len)
        return DEMO_HEADER_INCOMPLETE;

    *header_len = HEADER_BYTES + rest_len;
    memset(facts, 0, sizeof *facts);
    if (command == COMMAND_LOCAL) /* from the proxy itself, about nobody */
        return DEMO_HEADER_WHOLE;
    struct cursor rest = cursor_take(&header, rest_len);
    if (command != COMMAND_PROXY || !read_addresses(family, &rest, facts) ||
        !read_tlvs(rest, facts))
        return DEMO_HEADER_MALFORMED;
    facts->present = true;
    return DEMO_HEADER_WHOLE;
}

bool demo_facts_is_hybrid(const struct demo_facts *facts)
{
    return strcasestr(facts->tls_group, "MLKEM") != NULL;
}

static bool read_pair(int family, size_t address_len, struct cursor *rest,
                      struct demo_facts *facts)
{
    const struct cursor client = cursor_take(rest, address_len);
    const struct cursor server = cursor_take(rest, address_len);
    const unsigned client_port = cursor_u16(rest);
    const unsigned server_port = cursor_u16(rest);
    char client_text[INET6_ADDRSTRLEN];
    char server_text[INET6_ADDRSTRLEN];
    if (rest->failed ||
        inet_ntop(family, client.at, client_text, sizeof client_text) == NULL ||
        inet_ntop(family, server.at, server_text, sizeof server_text) == NULL)
        return false;
    const char *open = family == AF_INET6 ? "[" : "";
    const char *close = family == AF_INET6 ? "]" : "";
    snprintf(facts->client, sizeof facts->client, "%s%s%s:%u", open, client_text, close,
             client_port);
    snprintf(facts->server, sizeof facts->server, "%s%s%s:%u", open, server_text, close,
             server_port);
    return true;
}

static bool read_addresses(uint8_t family, struct cursor *rest, struct demo_facts *facts)
{
    switch (family) {
    case UNSPEC:
        return true;
    case TCP4:
        return read_pair(AF_INET, sizeof(struct in_addr), rest, facts);
    case TCP6:
        return read_pair(AF_INET6, sizeof(struct in6_addr), rest, facts);
    case UNIX_STREAM:
        return !cursor_take(rest, UNIX_ADDRESS_BYTES).failed;
    default:
        return false;
    }
}

/* Each text once, at most, and nothing in it that is not printable. */
static bool take_text(struct cursor value, char text[static DEMO_TEXT_MAX])
{
    if (text[0] != '\0' || value.left >= DEMO_TEXT_MAX)
        return false;
    for (size_t i = 0; i < value.left; i++)
        if (value.at[i] < 0x20 || value.at[i] > 0x7e)
            return false;
    memcpy(text, value.at, value.left);
    text[value.left] = '\0';
    return true;
}

static bool read_ssl(struct cursor ssl, struct demo_facts *facts)
{
    const uint8_t client = cursor_u8(&ssl);
    cursor_take(&ssl, 4); /* verify: says something about client certificates only */
    while (ssl.left > 0) {
        const uint8_t type = cursor_u8(&ssl);
        const struct cursor value = cursor_vector16(&ssl);
        char *text = type == TLV_SSL_VERSION  ? facts->tls_version
                     : type == TLV_SSL_CIPHER ? facts->tls_cipher
                     : type == TLV_SSL_GROUP  ? facts->tls_group
                                              : NULL;
        if (ssl.failed || (text != NULL && !take_text(value, text)))
            return false;
    }
    return !ssl.failed && (client & SSL_CLIENT_SSL) != 0;
}

static bool read_tlvs(struct cursor tlvs, struct demo_facts *facts)
{
    while (tlvs.left > 0) {
        const uint8_t type = cursor_u8(&tlvs);
        const struct cursor value = cursor_vector16(&tlvs);
        if (tlvs.failed)
            return false;
        if (type == TLV_ALPN && !take_text(value, facts->alpn))
            return false;
        if (type == TLV_AUTHORITY && !take_text(value, facts->sni))
            return false;
        if (type == TLV_SSL && !read_ssl(value, facts))
            return false;
    }
    return true;
}
