/* OCSP responses made by hand, so that every field and every length can be wrong. */
#include "certs/staple.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { DER_MAX = 512 };

struct der_text {
    uint8_t bytes[DER_MAX];
    size_t size;
};

struct answer {
    const char *serial;
    uint8_t status;
    const char *this_update;
    const char *next_update; /* NULL: none */
};

static const struct answer usual = {"\x12\x34", 0x80, "20260101000000Z",
                                    "20260108000000Z"};

enum { IN_2026 = 1767225600 /* 2026-01-01T00:00:00Z */, DAY_S = 86400 };

static const struct blob serial_1234 = {(const uint8_t *)"\x12\x34", 2};

/* Puts a header in front of what is there. */
static void wrap(struct der_text *text, uint8_t tag)
{
    const size_t header = text->size < 0x80 ? 2 : 4;
    assert_true(text->size + header <= DER_MAX);
    memmove(text->bytes + header, text->bytes, text->size);
    text->bytes[0] = tag;
    text->bytes[1] = (uint8_t)(header == 2 ? text->size : 0x82);
    if (header == 4) {
        text->bytes[2] = (uint8_t)(text->size >> 8);
        text->bytes[3] = (uint8_t)text->size;
    }
    text->size += header;
}

static void append(struct der_text *text, uint8_t tag, const void *value, size_t size)
{
    assert_true(size < 0x80 && text->size + size + 2 <= DER_MAX);
    text->bytes[text->size] = tag;
    text->bytes[text->size + 1] = (uint8_t)size;
    memcpy(text->bytes + text->size + 2, value, size);
    text->size += size + 2;
}

static struct der_text make(const struct answer *answer)
{
    struct der_text text = {.size = 0};
    struct der_text rest = {.size = 0};
    append(&text, 0x30, "", 0);
    append(&text, 0x04, "name", 4);
    append(&text, 0x04, "key", 3);
    append(&text, 0x02, answer->serial, strlen(answer->serial));
    wrap(&text, 0x30);
    append(&text, answer->status, "", 0);
    append(&text, 0x18, answer->this_update, strlen(answer->this_update));
    if (answer->next_update) {
        append(&rest, 0x18, answer->next_update, strlen(answer->next_update));
        append(&text, 0xa0, rest.bytes, rest.size);
    }
    wrap(&text, 0x30);
    wrap(&text, 0x30);
    struct der_text data = {.size = 0};
    append(&data, 0xa2, "responder", 9);
    append(&data, 0x18, "20260101000000Z", 15);
    memcpy(data.bytes + data.size, text.bytes, text.size);
    data.size += text.size;
    wrap(&data, 0x30);
    wrap(&data, 0x30);
    wrap(&data, 0x04);
    text = (struct der_text){.size = 0};
    append(&text, 0x06, "oid", 3);
    memcpy(text.bytes + text.size, data.bytes, data.size);
    text.size += data.size;
    wrap(&text, 0x30);
    wrap(&text, 0xa0);
    data = (struct der_text){.size = 0};
    append(&data, 0x0a, "", 1);
    memcpy(data.bytes + data.size, text.bytes, text.size);
    data.size += text.size;
    wrap(&data, 0x30);
    return data;
}

static void check_refused(const struct answer *answer, time_t now, const char *words)
{
    struct staple staple = {.response = NULL};
    struct error error = {.text = ""};
    const struct der_text text = make(answer);
    const struct blob der = {text.bytes, text.size};
    assert_false(staple_open(&staple, der, serial_1234, now, &error));
    assert_non_null(strstr(error.text, words));
    assert_null(staple.response);
}

static void facts_are_read(void **state)
{
    (void)state;
    struct staple_facts facts;
    const struct der_text text = make(&usual);
    assert_true(staple_read((struct blob){text.bytes, text.size}, &facts, NULL));
    assert_int_equal(facts.status, STAPLE_GOOD);
    assert_int_equal(facts.this_update, IN_2026);
    assert_int_equal(facts.next_update, IN_2026 + 7 * DAY_S);
    assert_int_equal(facts.serial.size, 2);
    assert_memory_equal(facts.serial.data, "\x12\x34", 2);
}

static void a_current_response_is_taken(void **state)
{
    (void)state;
    struct staple staple = {.response = NULL};
    const struct der_text text = make(&usual);
    const struct blob der = {text.bytes, text.size};
    assert_true(staple_open(&staple, der, serial_1234, IN_2026 + DAY_S, NULL));
    assert_int_equal(staple.size, text.size);
    assert_memory_equal(staple.response, text.bytes, text.size);
    staple_close(&staple);
    assert_null(staple.response);
}

static void a_response_without_an_end_is_taken(void **state)
{
    (void)state;
    struct staple staple = {.response = NULL};
    struct answer answer = usual;
    answer.next_update = NULL;
    const struct der_text text = make(&answer);
    const struct blob der = {text.bytes, text.size};
    assert_true(staple_open(&staple, der, serial_1234, IN_2026 + 900 * DAY_S, NULL));
    staple_close(&staple);
}

static void what_is_not_current_is_refused(void **state)
{
    (void)state;
    check_refused(&usual, IN_2026 + 8 * DAY_S, "is over");
    check_refused(&usual, IN_2026 - DAY_S, "not valid yet");
}

static void what_is_about_another_is_refused(void **state)
{
    (void)state;
    struct answer answer = usual;
    answer.serial = "\x12\x35";
    check_refused(&answer, IN_2026 + DAY_S, "another certificate");
}

static void a_certificate_that_is_not_known_is_refused(void **state)
{
    (void)state;
    struct answer answer = usual;
    answer.status = 0x82;
    check_refused(&answer, IN_2026 + DAY_S, "does not know");
}

static void an_odd_date_is_refused(void **state)
{
    static const char *const dates[] = {"20260101000000", "2026010100000Z", "x",
                                        "20260101000000z", "202601010000-0Z"};
    (void)state;
    for (size_t i = 0; i < sizeof dates / sizeof dates[0]; i++) {
        struct answer answer = usual;
        answer.next_update = dates[i];
        check_refused(&answer, IN_2026 + DAY_S, "damaged");
    }
}

/* In memory of just its size, so that a sanitizer sees what is read beyond. */
static bool is_read(const uint8_t *bytes, size_t size)
{
    struct staple_facts facts;
    uint8_t *copy = malloc(size + 1);
    assert_non_null(copy);
    memcpy(copy + 1, bytes, size);
    const bool read = staple_read((struct blob){copy + 1, size}, &facts, NULL);
    free(copy);
    return read;
}

static void no_cut_response_is_read(void **state)
{
    (void)state;
    const struct der_text text = make(&usual);
    for (size_t size = 0; size < text.size; size++)
        assert_false(is_read(text.bytes, size));
    assert_true(is_read(text.bytes, text.size));
}

static void any_changed_byte_does_no_harm(void **state)
{
    (void)state;
    struct der_text text = make(&usual);
    for (size_t i = 0; i < text.size; i++) {
        const uint8_t byte = text.bytes[i];
        for (unsigned value = 0; value < 256; value++) {
            text.bytes[i] = (uint8_t)value;
            (void)is_read(text.bytes, text.size);
        }
        text.bytes[i] = byte;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(facts_are_read),
        cmocka_unit_test(a_current_response_is_taken),
        cmocka_unit_test(a_response_without_an_end_is_taken),
        cmocka_unit_test(what_is_not_current_is_refused),
        cmocka_unit_test(what_is_about_another_is_refused),
        cmocka_unit_test(a_certificate_that_is_not_known_is_refused),
        cmocka_unit_test(an_odd_date_is_refused),
        cmocka_unit_test(no_cut_response_is_read),
        cmocka_unit_test(any_changed_byte_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
