#include "proxy/proxy_protocol.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

/* Names and values from section 2.2 of the specification. */
enum {
    V2_HEADER_BYTES = 16,
    V2_LENGTH_OFFSET = 14,
    V2_COMMAND_LOCAL = 0x20,
    V2_COMMAND_PROXY = 0x21,
    V2_UNSPEC = 0x00,
    V2_TCP4 = 0x11,
    V2_TCP6 = 0x21,
    TLV_HEADER_BYTES = 3,
    TLV_ALPN = 0x01,
    TLV_AUTHORITY = 0x02,
    TLV_UNIQUE_ID = 0x05,
    TLV_SSL = 0x20,
    TLV_SSL_VERSION = 0x21,
    TLV_SSL_CN = 0x22,
    TLV_SSL_CIPHER = 0x23,
    TLV_SSL_GROUP = 0x26,
    TLV_SSL_CLIENT_CERT = 0x28,
    SSL_CLIENT_SSL = 0x01,
    SSL_CLIENT_CERT_CONN = 0x02, /* over this connection */
    SSL_CLIENT_CERT_SESS = 0x04, /* over this TLS session, which is no longer one */
    V1_LINE_BYTES = 128          /* more than any line takes */
};

static const uint8_t v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";

/* Both ends in one family. */
struct endpoints {
    int family; /* AF_INET, AF_INET6, or AF_UNSPEC: not IP */
    uint8_t client[sizeof(struct in6_addr)];
    uint8_t server[sizeof(struct in6_addr)];
    size_t address_len;
    uint16_t client_port;
    uint16_t server_port;
};

/* Output that grows only by whole items. */
struct writer {
    uint8_t *out; /* borrowed, PROXY_HEADER_MAX bytes */
    size_t length;
};

static struct endpoints read_endpoints(const struct proxy_facts *facts);
static size_t write_v1(const struct endpoints *ends, uint8_t *out);
static size_t write_v2(const struct endpoints *ends, const struct proxy_facts *tls_facts,
                       uint8_t *out);

size_t proxy_protocol_write(enum send_proxy kind, const struct proxy_facts *facts,
                            uint8_t *out)
{
    const struct endpoints ends = read_endpoints(facts);
    switch (kind) {
    case SEND_PROXY_OFF:
        break;
    case SEND_PROXY_V1:
        return write_v1(&ends, out);
    case SEND_PROXY_V2:
        return write_v2(&ends, NULL, out);
    case SEND_PROXY_V2_TLS:
        return write_v2(&ends, facts, out);
    }
    return 0;
}

size_t proxy_protocol_write_own(enum send_proxy kind, uint8_t out[PROXY_OWN_MAX])
{
    static const char unknown[] = "PROXY UNKNOWN\r\n";
    if (kind == SEND_PROXY_OFF) {
        return 0;
    }
    if (kind == SEND_PROXY_V1) {
        memcpy(out, unknown, sizeof unknown - 1);
        return sizeof unknown - 1;
    }
    memset(out, 0, V2_HEADER_BYTES);
    memcpy(out, v2_signature, sizeof v2_signature);
    out[sizeof v2_signature] = V2_COMMAND_LOCAL;
    return V2_HEADER_BYTES;
}

/* The address as IPv6, an IPv4 one mapped (RFC 4291 section 2.5.5.2); false: not IP. */
static bool read_address(const struct sockaddr *address, struct in6_addr *ip,
                         uint16_t *port)
{
    if (address != NULL && address->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, address, sizeof in6);
        *ip = in6.sin6_addr;
        *port = ntohs(in6.sin6_port);
        return true;
    }
    if (address != NULL && address->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof in);
        *ip = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff}};
        memcpy(ip->s6_addr + 12, &in.sin_addr, 4);
        *port = ntohs(in.sin_port);
        return true;
    }
    return false;
}

/* Two mapped addresses, as a dual-stack socket gives them, are IPv4; one alone keeps the
 * pair in IPv6, since the header has one family for both. */
static struct endpoints read_endpoints(const struct proxy_facts *facts)
{
    struct endpoints ends = {.family = AF_UNSPEC};
    struct in6_addr client;
    struct in6_addr server;
    if (!read_address(facts->client, &client, &ends.client_port) ||
        !read_address(facts->server, &server, &ends.server_port))
        return ends;
    const bool is_v4 = IN6_IS_ADDR_V4MAPPED(&client) && IN6_IS_ADDR_V4MAPPED(&server);
    const size_t skip = is_v4 ? 12 : 0;
    ends.family = is_v4 ? AF_INET : AF_INET6;
    ends.address_len = sizeof client - skip;
    memcpy(ends.client, client.s6_addr + skip, ends.address_len);
    memcpy(ends.server, server.s6_addr + skip, ends.address_len);
    return ends;
}

static size_t write_v1(const struct endpoints *ends, uint8_t *out)
{
    char client[INET6_ADDRSTRLEN];
    char server[INET6_ADDRSTRLEN];
    char line[V1_LINE_BYTES] = "PROXY UNKNOWN\r\n";
    if (ends->family != AF_UNSPEC &&
        inet_ntop(ends->family, ends->client, client, sizeof client) != NULL &&
        inet_ntop(ends->family, ends->server, server, sizeof server) != NULL)
        snprintf(line, sizeof line, "PROXY %s %s %s %u %u\r\n",
                 ends->family == AF_INET ? "TCP4" : "TCP6", client, server,
                 ends->client_port, ends->server_port);
    const size_t length = strlen(line);
    memcpy(out, line, length);
    return length;
}

static void put(struct writer *writer, const void *bytes, size_t length)
{
    memcpy(writer->out + writer->length, bytes, length);
    writer->length += length;
}

static void put_u8(struct writer *writer, uint8_t value)
{
    put(writer, &value, sizeof value);
}

static void put_u16(struct writer *writer, uint16_t value)
{
    const uint16_t network = htons(value);
    put(writer, &network, sizeof network);
}

static void set_u16(struct writer *writer, size_t offset, size_t value)
{
    const uint16_t network = htons((uint16_t)value);
    memcpy(writer->out + offset, &network, sizeof network);
}

static void put_tlv(struct writer *writer, uint8_t type, const void *value, size_t length)
{
    if (length == 0 || length > PROXY_HEADER_MAX - TLV_HEADER_BYTES ||
        writer->length + TLV_HEADER_BYTES + length > PROXY_HEADER_MAX)
        return;
    put_u8(writer, type);
    put_u16(writer, (uint16_t)length);
    put(writer, value, length);
}

static void put_text(struct writer *writer, uint8_t type, const char *text)
{
    put_tlv(writer, type, text, text != NULL ? strlen(text) : 0);
}

/* `verify` is zero only when a client certificate was presented and found good. */
static void put_ssl(struct writer *writer, const struct proxy_facts *facts)
{
    static const uint8_t without[] = {SSL_CLIENT_SSL, 0, 0, 0, 1};
    static const uint8_t verified[] = {
        SSL_CLIENT_SSL | SSL_CLIENT_CERT_CONN | SSL_CLIENT_CERT_SESS, 0, 0, 0, 0};
    const size_t start = writer->length;
    if (start + TLV_HEADER_BYTES + sizeof without > PROXY_HEADER_MAX)
        return;
    put_u8(writer, TLV_SSL);
    put_u16(writer, 0);
    put(writer, facts->client_verified ? verified : without, sizeof without);
    put_text(writer, TLV_SSL_VERSION, facts->tls_version);
    put_text(writer, TLV_SSL_CIPHER, facts->tls_cipher);
    put_text(writer, TLV_SSL_GROUP, facts->tls_group);
    if (facts->client_verified) {
        put_text(writer, TLV_SSL_CN, facts->client_cn);
        put_tlv(writer, TLV_SSL_CLIENT_CERT, facts->certificate, facts->certificate_size);
    }
    set_u16(writer, start + 1, writer->length - start - TLV_HEADER_BYTES);
}

/* `tls_facts` NULL: no TLVs. */
static size_t write_v2(const struct endpoints *ends, const struct proxy_facts *tls_facts,
                       uint8_t *out)
{
    struct writer writer = {.out = out};
    put(&writer, v2_signature, sizeof v2_signature);
    put_u8(&writer, V2_COMMAND_PROXY);
    put_u8(&writer, ends->family == AF_INET    ? V2_TCP4
                    : ends->family == AF_INET6 ? V2_TCP6
                                               : V2_UNSPEC);
    put_u16(&writer, 0);
    if (ends->family != AF_UNSPEC) {
        put(&writer, ends->client, ends->address_len);
        put(&writer, ends->server, ends->address_len);
        put_u16(&writer, ends->client_port);
        put_u16(&writer, ends->server_port);
    }
    if (tls_facts != NULL) {
        put_text(&writer, TLV_ALPN, tls_facts->alpn);
        put_text(&writer, TLV_AUTHORITY, tls_facts->sni);
        put_text(&writer, TLV_UNIQUE_ID, tls_facts->unique_id);
        put_ssl(&writer, tls_facts);
    }
    set_u16(&writer, V2_LENGTH_OFFSET, writer.length - V2_HEADER_BYTES);
    return writer.length;
}
