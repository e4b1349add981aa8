#include "proxy/proxy_read.h"

#include <arpa/inet.h>
#include <string.h>

#include "proxy/cursor.h"

/* Names and values from section 2.2 of the specification. */
enum {
    V2_HEADER_BYTES = 16,
    V2_LOCAL = 0x20,
    V2_PROXY = 0x21,
    V2_UNSPEC = 0x00,
    V2_TCP4 = 0x11,
    V2_TCP6 = 0x21,
    V2_UNIX_STREAM = 0x31,
    UNIX_ADDRESSES_BYTES = 216,
    TLV_CRC32C = 0x03,
    CRC32C_BYTES = 4
};

static const uint8_t v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";
static const char v1_start[] = "PROXY ";

static bool begins(const uint8_t *bytes, size_t length, const void *start, size_t size);
static enum proxy_status read_v1(const uint8_t *bytes, size_t length,
                                 struct proxy_header *header, struct error *error);
static enum proxy_status read_v1_line(char *line, struct proxy_header *header,
                                      struct error *error);
static enum proxy_status read_v2(const uint8_t *bytes, size_t length,
                                 struct proxy_header *header, struct error *error);
static enum proxy_status read_v2_block(const uint8_t *bytes, struct proxy_header *header,
                                       struct error *error);
static enum proxy_status read_tlvs(const uint8_t *bytes, size_t length,
                                   struct cursor tlvs, struct error *error);
static bool read_endpoint(int family, const char *host, const char *port,
                          union ip_endpoint *endpoint);
static void set_endpoint(int family, const uint8_t *address, const uint8_t *port,
                         union ip_endpoint *endpoint);
static uint32_t crc32c(const uint8_t *bytes, size_t length, const uint8_t *hole);
static enum proxy_status refuse(struct error *error, const char *words);

enum proxy_status proxy_read(const uint8_t *bytes, size_t length,
                             struct proxy_header *header, struct error *error)
{
    *header = (struct proxy_header){0};
    if (length == 0)
        return PROXY_INCOMPLETE;
    if (begins(bytes, length, v1_start, sizeof(v1_start) - 1))
        return length < sizeof(v1_start) - 1 ? PROXY_INCOMPLETE
                                             : read_v1(bytes, length, header, error);
    if (begins(bytes, length, v2_signature, sizeof(v2_signature)))
        return length < V2_HEADER_BYTES ? PROXY_INCOMPLETE
                                        : read_v2(bytes, length, header, error);
    return refuse(error, "the connection does not begin with a PROXY header");
}

/* Whether the bytes are the start or the beginning of it. */
static bool begins(const uint8_t *bytes, size_t length, const void *start, size_t size)
{
    return memcmp(bytes, start, length < size ? length : size) == 0;
}

static enum proxy_status read_v1(const uint8_t *bytes, size_t length,
                                 struct proxy_header *header, struct error *error)
{
    const size_t seen = length < PROXY_V1_MAX ? length : PROXY_V1_MAX;
    const uint8_t *end = memchr(bytes, '\n', seen);
    char line[PROXY_V1_MAX];

    if (!end && seen < PROXY_V1_MAX)
        return PROXY_INCOMPLETE;
    if (!end)
        return refuse(error, "the line of the PROXY header does not end in 107 bytes");
    header->length = (size_t)(end - bytes) + 1;
    const size_t text = header->length - 2;
    if (bytes[text] != '\r' || memchr(bytes, '\0', text))
        return refuse(error, "the line of the PROXY header does not end in CR and LF");
    memcpy(line, bytes, text);
    line[text] = '\0';
    return read_v1_line(line + sizeof(v1_start) - 1, header, error);
}

/* PROTOCOL SOURCE DESTINATION PORT PORT with one blank between each. */
static enum proxy_status read_v1_line(char *line, struct proxy_header *header,
                                      struct error *error)
{
    enum { WORDS = 5 };
    char *words[WORDS];
    char *rest = line;
    size_t count = 0;

    if (strcmp(line, "UNKNOWN") == 0 || strncmp(line, "UNKNOWN ", 8) == 0)
        return PROXY_COMPLETE;
    while (rest && count < WORDS)
        words[count++] = strsep(&rest, " ");
    const bool tcp4 = strcmp(words[0], "TCP4") == 0;
    if (!tcp4 && strcmp(words[0], "TCP6") != 0)
        return refuse(error, "the PROXY header is neither of TCP4, TCP6 nor UNKNOWN");
    const int family = tcp4 ? AF_INET : AF_INET6;
    header->known = count == WORDS && !rest &&
                    read_endpoint(family, words[1], words[3], &header->client) &&
                    read_endpoint(family, words[2], words[4], &header->server);
    return header->known ? PROXY_COMPLETE
                         : refuse(error, "the PROXY header has no two addresses and "
                                         "ports of its protocol");
}

static enum proxy_status read_v2(const uint8_t *bytes, size_t length,
                                 struct proxy_header *header, struct error *error)
{
    header->length = V2_HEADER_BYTES + ((size_t)bytes[14] << 8 | bytes[15]);
    if (bytes[12] != V2_LOCAL && bytes[12] != V2_PROXY)
        return refuse(error, "the PROXY header has an unknown version or command");
    if (header->length > PROXY_READ_MAX)
        return refuse(error, "the PROXY header is larger than 16 KiB");
    if (length < header->length)
        return PROXY_INCOMPLETE;
    /* The balancer speaks for itself; what else it says means nothing. */
    if (bytes[12] == V2_LOCAL)
        return PROXY_COMPLETE;
    return read_v2_block(bytes, header, error);
}

static enum proxy_status read_v2_block(const uint8_t *bytes, struct proxy_header *header,
                                       struct error *error)
{
    struct cursor block =
        cursor_over(bytes + V2_HEADER_BYTES, header->length - V2_HEADER_BYTES);
    const uint8_t family = bytes[13];

    if (family == V2_UNIX_STREAM)
        (void)cursor_take(&block, UNIX_ADDRESSES_BYTES);
    if (family == V2_TCP4 || family == V2_TCP6) {
        const size_t size = family == V2_TCP4 ? 4 : 16;
        const int kind = family == V2_TCP4 ? AF_INET : AF_INET6;
        const struct cursor ends = cursor_take(&block, 2 * size + 4);
        if (!ends.failed) {
            const uint8_t *ports = ends.at + 2 * size;
            set_endpoint(kind, ends.at, ports, &header->client);
            set_endpoint(kind, ends.at + size, ports + 2, &header->server);
            header->known = true;
        }
    } else if (family != V2_UNSPEC && family != V2_UNIX_STREAM) {
        return refuse(error, "the PROXY header is of no stream protocol");
    }
    if (block.failed)
        return refuse(error, "the PROXY header is too short for its addresses");
    return read_tlvs(bytes, header->length, block, error);
}

/* Nothing in them is used but the checksum; what is not well-formed is not believed. */
static enum proxy_status read_tlvs(const uint8_t *bytes, size_t length,
                                   struct cursor tlvs, struct error *error)
{
    while (tlvs.left > 0) {
        const uint8_t type = cursor_u8(&tlvs);
        const struct cursor value = cursor_vector16(&tlvs);
        if (tlvs.failed)
            return refuse(error, "the PROXY header ends within an extension");
        if (type != TLV_CRC32C)
            continue;
        struct cursor sum = value;
        const uint32_t high = cursor_u16(&sum);
        const uint32_t stated = high << 16 | cursor_u16(&sum);
        if (!cursor_is_done(&sum) || crc32c(bytes, length, value.at) != stated)
            return refuse(error, "the checksum of the PROXY header is wrong");
    }
    return PROXY_COMPLETE;
}

static bool read_endpoint(int family, const char *host, const char *port,
                          union ip_endpoint *endpoint)
{
    uint8_t address[sizeof(struct in6_addr)];
    uint8_t network_port[2];
    unsigned number = 0;
    const size_t digits = strspn(port, "0123456789");

    if (digits == 0 || digits > 5 || port[digits] != '\0' ||
        (port[0] == '0' && digits > 1) || inet_pton(family, host, address) != 1)
        return false;
    for (size_t i = 0; i < digits; i++)
        number = number * 10 + (unsigned)(port[i] - '0');
    network_port[0] = (uint8_t)(number >> 8);
    network_port[1] = (uint8_t)number;
    set_endpoint(family, address, network_port, endpoint);
    return number <= UINT16_MAX;
}

static void set_endpoint(int family, const uint8_t *address, const uint8_t *port,
                         union ip_endpoint *endpoint)
{
    *endpoint = (union ip_endpoint){.any.sa_family = (sa_family_t)family};
    if (family == AF_INET) {
        memcpy(&endpoint->in.sin_addr, address, sizeof(endpoint->in.sin_addr));
        memcpy(&endpoint->in.sin_port, port, sizeof(endpoint->in.sin_port));
    } else {
        memcpy(&endpoint->in6.sin6_addr, address, sizeof(endpoint->in6.sin6_addr));
        memcpy(&endpoint->in6.sin6_port, port, sizeof(endpoint->in6.sin6_port));
    }
}

/* RFC 3720 appendix B.4; the sum itself counts as zeroes. */
static uint32_t crc32c(const uint8_t *bytes, size_t length, const uint8_t *hole)
{
    uint32_t sum = UINT32_MAX;

    for (const uint8_t *at = bytes; at < bytes + length; at++) {
        sum ^= at >= hole && at < hole + CRC32C_BYTES ? 0 : *at;
        for (int bit = 0; bit < 8; bit++)
            sum = sum >> 1 ^ (sum & 1 ? 0x82f63b78u : 0);
    }
    return ~sum;
}

static enum proxy_status refuse(struct error *error, const char *words)
{
    (void)error_set(error, "%s", words);
    return PROXY_MALFORMED;
}
