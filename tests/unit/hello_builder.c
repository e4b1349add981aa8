#include "tests/unit/hello_builder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const struct recipe recipe_modern = {.legacy_version = 0x0303,
                                     .suites =
                                         "4a4a" SUITES_TLS13 SUITES_ECDSA SUITES_RSA,
                                     .compression = "00",
                                     .sni = "www.example.org",
                                     .alpn = "02683208687474702f312e31",
                                     .groups = "aaaa11ec001d00170018",
                                     .signatures = "040308040401050308050501080606010807",
                                     .versions = "7a7a03040303",
                                     .psk_modes = "01",
                                     .raw = "9a9a0000"};

const struct recipe recipe_tls12 = {.legacy_version = 0x0303,
                                    .suites = SUITES_ECDSA SUITES_RSA "00ff",
                                    .compression = "00",
                                    .sni = "www.example.org",
                                    .groups = "001d00170018",
                                    .signatures = "04030804"};

static uint8_t assembly[HELLO_BYTES_MAX];

void put(struct bytes *out, size_t value, size_t width)
{
    while (width-- > 0)
        out->at[out->length++] = (uint8_t)(value >> 8 * width);
}

void put_hex(struct bytes *out, const char *hex)
{
    for (; hex[0] != '\0'; hex += 2) {
        const char digits[] = {hex[0], hex[1], '\0'};
        put(out, strtoul(digits, NULL, 16), 1);
    }
}

/* Room for a length of `width` bytes, filled in by put_end. */
static size_t put_start(struct bytes *out, size_t width)
{
    put(out, 0, width);
    return out->length;
}

static void put_end(struct bytes *out, size_t start, size_t width)
{
    const size_t end = out->length;
    out->length = start - width;
    put(out, end - start, width);
    out->length = end;
}

/* One extension whose data is a vector with a length of `width` bytes; 0: no vector. */
static void put_extension(struct bytes *out, unsigned type, const char *hex, size_t width)
{
    if (hex == NULL)
        return;
    put(out, type, 2);
    const size_t data = put_start(out, 2);
    const size_t vector = put_start(out, width);
    put_hex(out, hex);
    if (width > 0)
        put_end(out, vector, width);
    put_end(out, data, 2);
}

static void put_sni(struct bytes *out, const struct recipe *recipe)
{
    if (recipe->sni == NULL)
        return;
    const size_t length = recipe->sni_len > 0 ? recipe->sni_len : strlen(recipe->sni);
    put(out, 0, 2);
    put(out, length + 5, 2);
    put(out, length + 3, 2);
    put(out, 0, 1);
    put(out, length, 2);
    memcpy(out->at + out->length, recipe->sni, length);
    out->length += length;
}

static void put_extensions(struct bytes *out, const struct recipe *recipe)
{
    const size_t list = put_start(out, 2);
    put_sni(out, recipe);
    put_extension(out, 16, recipe->alpn, 2);
    put_extension(out, 10, recipe->groups, 2);
    put_extension(out, 13, recipe->signatures, 2);
    put_extension(out, 43, recipe->versions, 1);
    put_extension(out, 45, recipe->psk_modes, 1);
    if (recipe->raw != NULL)
        put_hex(out, recipe->raw);
    if (recipe->filler_bytes > 0) {
        put(out, 0x3333, 2);
        put(out, recipe->filler_bytes, 2);
        memset(out->at + out->length, 'f', recipe->filler_bytes);
        out->length += recipe->filler_bytes;
    }
    put_extension(out, 41, recipe->psk, 0);
    put_end(out, list, 2);
}

void build(const struct recipe *recipe, struct bytes *message)
{
    message->length = 0;
    put(message, 1, 1);
    const size_t body = put_start(message, 3);
    put(message, recipe->legacy_version, 2);
    for (unsigned i = 0; i < 32; i++)
        put(message, i, 1);
    put_hex(message, "0401020304"); /* session id */
    const size_t suites = put_start(message, 2);
    put_hex(message, recipe->suites);
    put_end(message, suites, 2);
    const size_t compression = put_start(message, 1);
    put_hex(message, recipe->compression);
    put_end(message, compression, 1);
    put_extensions(message, recipe);
    put_end(message, body, 3);
}

void wrap(const struct bytes *message, size_t payload, struct bytes *records)
{
    records->length = 0;
    for (size_t offset = 0; offset < message->length; offset += payload) {
        const size_t left = message->length - offset;
        const size_t part = left < payload ? left : payload;
        put(records, 22, 1);
        put(records, 0x0301, 2);
        put(records, part, 2);
        memcpy(records->at + records->length, message->at + offset, part);
        records->length += part;
    }
}

void read_more(struct outcome *outcome, const uint8_t *bytes, size_t length)
{
    uint8_t *exact = malloc(length > 0 ? length : 1);
    assert_non_null(exact);
    memcpy(exact, bytes, length);
    outcome->status = hello_read(&outcome->scan, exact, length, assembly, &outcome->hello,
                                 &outcome->verdict);
    free(exact);
}

struct outcome read_bytes(const uint8_t *bytes, size_t length)
{
    struct outcome outcome = {0};
    read_more(&outcome, bytes, length);
    return outcome;
}

struct outcome read_records(const struct bytes *records)
{
    return read_bytes(records->at, records->length);
}

struct outcome read_message(const struct bytes *message)
{
    struct bytes records;
    wrap(message, 16384, &records);
    return read_records(&records);
}

struct outcome read_recipe(struct recipe recipe)
{
    struct bytes message;
    build(&recipe, &message);
    return read_message(&message);
}

struct outcome read_hex(const char *hex)
{
    struct bytes bytes = {.length = 0};
    put_hex(&bytes, hex);
    return read_records(&bytes);
}

void expect_refusal(const struct outcome *outcome, enum hello_refusal refusal,
                    unsigned alert, const char *words)
{
    assert_int_equal(outcome->status, HELLO_REFUSED);
    assert_string_equal(hello_refusal_name(outcome->verdict.refusal),
                        hello_refusal_name(refusal));
    assert_int_equal(outcome->verdict.alert, alert);
    if (words != NULL)
        assert_string_equal(outcome->verdict.error.text, words);
    else
        assert_true(outcome->verdict.error.text[0] != '\0');
}

void expect_malformed(const struct outcome *outcome)
{
    assert_int_equal(outcome->status, HELLO_REFUSED);
    assert_int_equal(outcome->verdict.refusal, HELLO_REFUSAL_MALFORMED);
    assert_true(outcome->verdict.alert != 0);
    assert_true(outcome->verdict.error.text[0] != '\0');
}
