#include "proxy/prove_hello.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    RECORD_HANDSHAKE = 22,
    MESSAGE_CLIENT_HELLO = 1,
    SSL_3_0 = 0x0300,
    TLS_1_0 = 0x0301,
    TLS_1_3 = 0x0304,
    RANDOM_BYTES = 32,
    MADE_UP_TICKET_BYTES = 64,
    RECORD_HEADER_BYTES = 5
};

enum hello_extension {
    EXTENSION_SERVER_NAME = 0,
    EXTENSION_STATUS_REQUEST = 5,
    EXTENSION_GROUPS = 10,
    EXTENSION_POINT_FORMATS = 11,
    EXTENSION_SIGNATURES = 13,
    EXTENSION_MASTER_SECRET = 23,
    EXTENSION_PSK = 41,
    EXTENSION_EARLY_DATA = 42,
    EXTENSION_VERSIONS = 43,
    EXTENSION_PSK_MODES = 45,
    EXTENSION_KEY_SHARE = 51,
    EXTENSION_RENEGOTIATION = 0xff01
};

/* A bounded writer; once something did not fit, nothing more is written. */
struct writer {
    uint8_t *bytes;
    size_t size;
    size_t length;
    bool failed;
};

static void put(struct writer *out, size_t value, size_t width);
static void put_bytes(struct writer *out, const void *bytes, size_t length);
static void put_random(struct writer *out, size_t length);
static void put_list(struct writer *out, const uint16_t *values, size_t count);
static size_t begin(struct writer *out, size_t width);
static void end(struct writer *out, size_t mark, size_t width);
static void put_extensions(struct writer *out, const struct prove_hello *hello);
static bool offers_tls13(const struct prove_hello *hello);

size_t prove_hello_message(const struct prove_hello *hello, uint8_t *bytes, size_t size)
{
    struct writer out = {.bytes = bytes, .size = size};

    put(&out, MESSAGE_CLIENT_HELLO, 1);
    const size_t message = begin(&out, 3);
    put(&out, hello->legacy_version, 2);
    put_random(&out, RANDOM_BYTES);
    const size_t session = begin(&out, 1);
    if (offers_tls13(hello)) /* as middleboxes like it: RFC 8446 appendix D.4 */
        put_random(&out, RANDOM_BYTES);
    end(&out, session, 1);
    put_list(&out, hello->suites, hello->suite_count);
    const size_t compression = begin(&out, 1);
    if (hello->deflate)
        put(&out, 1, 1);
    put(&out, 0, 1);
    end(&out, compression, 1);
    if (hello->legacy_version > SSL_3_0)
        put_extensions(&out, hello);
    end(&out, message, 3);
    return out.failed ? 0 : out.length;
}

size_t prove_hello_record(const struct prove_hello *hello, uint8_t *bytes, size_t size)
{
    if (size < RECORD_HEADER_BYTES)
        return 0;
    const size_t length = prove_hello_message(hello, bytes + RECORD_HEADER_BYTES,
                                              size - RECORD_HEADER_BYTES);
    const uint16_t version = hello->legacy_version < TLS_1_0 ? SSL_3_0 : TLS_1_0;
    struct writer out = {.bytes = bytes, .size = RECORD_HEADER_BYTES};
    put(&out, RECORD_HANDSHAKE, 1);
    put(&out, version, 2);
    put(&out, length, 2);
    return length == 0 ? 0 : RECORD_HEADER_BYTES + length;
}

void prove_hello_ask(struct prove_target *target, const struct prove_hello *hello,
                     struct prove_answer *answer)
{
    uint8_t record[PROVE_HELLO_BYTES_MAX];
    struct prove_link link;

    *answer = (struct prove_answer){.kind = ANSWER_NONE};
    const size_t length = prove_hello_record(hello, record, sizeof record);
    if (length == 0) {
        (void)error_set(&answer->error, "the hello is too long");
        return;
    }
    if (!prove_link_open(&link, target, &answer->error))
        return;
    /* A server may answer and close before it has read everything: listen all the same.
     */
    if (!prove_link_send(&link, record, length))
        (void)error_set(&answer->error, "the hello could not be sent");
    prove_answer_receive(answer, &link);
    prove_link_close(&link);
}

static bool offers_tls13(const struct prove_hello *hello)
{
    for (size_t i = 0; i < hello->version_count; i++) {
        if (hello->versions[i] == TLS_1_3)
            return true;
    }
    return false;
}

static void put(struct writer *out, size_t value, size_t width)
{
    if (out->failed || out->size - out->length < width) {
        out->failed = true;
        return;
    }
    for (size_t i = width; i > 0; i--)
        out->bytes[out->length++] = (uint8_t)(value >> 8 * (i - 1));
}

static void put_bytes(struct writer *out, const void *bytes, size_t length)
{
    if (out->failed || out->size - out->length < length) {
        out->failed = true;
        return;
    }
    memcpy(out->bytes + out->length, bytes, length);
    out->length += length;
}

static void put_random(struct writer *out, size_t length)
{
    uint8_t bytes[MADE_UP_TICKET_BYTES];
    if (getrandom(bytes, length, 0) != (ssize_t)length)
        memset(bytes, 'p', length);
    put_bytes(out, bytes, length);
}

/* A vector starts with room for its length, which end() fills in. */
static size_t begin(struct writer *out, size_t width)
{
    const size_t mark = out->length;
    put(out, 0, width);
    return mark;
}

static void end(struct writer *out, size_t mark, size_t width)
{
    if (out->failed)
        return;
    const size_t length = out->length - mark - width;
    for (size_t i = 0; i < width; i++)
        out->bytes[mark + i] = (uint8_t)(length >> 8 * (width - 1 - i));
}

static void put_list(struct writer *out, const uint16_t *values, size_t count)
{
    const size_t mark = begin(out, 2);
    for (size_t i = 0; i < count; i++)
        put(out, values[i], 2);
    end(out, mark, 2);
}

static void put_name(struct writer *out, const char *name)
{
    put(out, EXTENSION_SERVER_NAME, 2);
    const size_t extension = begin(out, 2);
    const size_t list = begin(out, 2);
    put(out, 0, 1); /* host_name */
    const size_t host = begin(out, 2);
    put_bytes(out, name, strlen(name));
    end(out, host, 2);
    end(out, list, 2);
    end(out, extension, 2);
}

static void put_groups(struct writer *out, const struct prove_hello *hello)
{
    put(out, EXTENSION_GROUPS, 2);
    const size_t extension = begin(out, 2);
    put_list(out, hello->groups, hello->group_count);
    end(out, extension, 2);
    put_bytes(out, "\x00\x0b\x00\x02\x01\x00", 6); /* uncompressed points */
}

/* Everything that a certificate might be signed with, the strong ones first. */
static void put_signatures(struct writer *out)
{
    static const uint16_t schemes[] = {
        0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0804, 0x0805, 0x0806, 0x0809, 0x080a,
        0x080b, 0x081a, 0x081b, 0x081c, 0x0401, 0x0501, 0x0601, 0x0904, 0x0905, 0x0906,
        0x0402, 0x0502, 0x0602, 0x0303, 0x0301, 0x0302, 0x0203, 0x0201, 0x0202, 0x0101};

    put(out, EXTENSION_SIGNATURES, 2);
    const size_t extension = begin(out, 2);
    put_list(out, schemes, sizeof schemes / sizeof schemes[0]);
    end(out, extension, 2);
}

static void put_renegotiation(struct writer *out, const struct prove_hello *hello)
{
    put(out, EXTENSION_RENEGOTIATION, 2);
    const size_t extension = begin(out, 2);
    const size_t data = begin(out, 1);
    if (hello->verify_data)
        put_bytes(out, hello->verify_data, hello->verify_data_len);
    end(out, data, 1);
    end(out, extension, 2);
}

/* Last of all, as RFC 8446 section 4.2.11 wants it. */
static void put_made_up_ticket(struct writer *out)
{
    put(out, EXTENSION_EARLY_DATA, 2);
    put(out, 0, 2);
    put(out, EXTENSION_PSK, 2);
    const size_t extension = begin(out, 2);
    const size_t identities = begin(out, 2);
    const size_t ticket = begin(out, 2);
    put_random(out, MADE_UP_TICKET_BYTES);
    end(out, ticket, 2);
    put_random(out, 4); /* its age */
    end(out, identities, 2);
    const size_t binders = begin(out, 2);
    const size_t binder = begin(out, 1);
    put_random(out, RANDOM_BYTES);
    end(out, binder, 1);
    end(out, binders, 2);
    end(out, extension, 2);
}

static void put_tls13(struct writer *out, const struct prove_hello *hello)
{
    put(out, EXTENSION_VERSIONS, 2);
    const size_t extension = begin(out, 2);
    const size_t versions = begin(out, 1);
    for (size_t i = 0; i < hello->version_count; i++)
        put(out, hello->versions[i], 2);
    end(out, versions, 1);
    end(out, extension, 2);
    put_bytes(out, "\x00\x2d\x00\x02\x01\x01", 6); /* psk_dhe_ke */
    put_bytes(out, "\x00\x33\x00\x02\x00\x00", 6); /* no key share yet */
}

static void put_extensions(struct writer *out, const struct prove_hello *hello)
{
    const size_t extensions = begin(out, 2);

    if (hello->name && hello->name[0])
        put_name(out, hello->name);
    if (hello->group_count > 0)
        put_groups(out, hello);
    put_signatures(out);
    put(out, EXTENSION_MASTER_SECRET, 2);
    put(out, 0, 2);
    put_renegotiation(out, hello);
    if (hello->status_request)
        put_bytes(out, "\x00\x05\x00\x05\x01\x00\x00\x00\x00", 9);
    if (hello->version_count > 0)
        put_tls13(out, hello);
    if (hello->early_data)
        put_made_up_ticket(out);
    end(out, extensions, 2);
}
