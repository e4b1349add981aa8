/* JSON comes out well-formed, whatever goes in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/json.h"

static char *text;
static size_t size;

static FILE *begin(void)
{
    free(text);
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    return out;
}

static int end(void **state)
{
    (void)state;
    free(text);
    text = NULL;
    return 0;
}

static const char *string_of(const char *value)
{
    FILE *out = begin();
    json_write_string(out, value);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void writes_objects_and_arrays(void **state)
{
    (void)state;
    FILE *out = begin();
    struct json json = {.out = out};

    json_open(&json, NULL, '{');
    json_open(&json, "none", '[');
    json_close(&json, ']');
    json_open(&json, "some", '[');
    json_number(&json, NULL, UINT64_MAX);
    json_signed(&json, NULL, -5);
    json_text(&json, NULL, NULL);
    json_open(&json, NULL, '{');
    json_bool(&json, "yes", true);
    json_close(&json, '}');
    json_close(&json, ']');
    json_ms(&json, "time", 1234005);
    json_close(&json, '}');
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text, "{\"none\":[],\"some\":[18446744073709551615,-5,null,"
                              "{\"yes\":true}],\"time\":1234.005}");
}

static void escapes_what_must_be(void **state)
{
    (void)state;
    assert_string_equal(string_of("a\"b\\c\n\x01\x7f</script>"),
                        "\"a\\\"b\\\\c\\u000a\\u0001\\u007f</script>\"");
}

static void keeps_utf8(void **state)
{
    static const char *const valid[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x90\xbe",
                                        "\xf4\x8f\xbf\xbf", "\xee\x80\x80"};
    char expected[16];

    (void)state;
    for (size_t i = 0; i < sizeof(valid) / sizeof(valid[0]); i++) {
        (void)snprintf(expected, sizeof(expected), "\"%s\"", valid[i]);
        assert_string_equal(string_of(valid[i]), expected);
    }
}

static void replaces_what_is_no_utf8(void **state)
{
    /* Alone, cut off, overlong, a surrogate, beyond the end: each byte is replaced. */
    static const char *const invalid[] = {
        "\x80",        "\xff",         "\xc3",         "\xc0\xaf",
        "\xe2\x82",    "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
        "\xf0\x9f\x90"};

    (void)state;
    for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
        const char *written = string_of(invalid[i]);
        for (size_t j = 0; j < size; j++)
            assert_true((unsigned char)written[j] < 0x80);
        assert_int_equal(size, 2 + 6 * strlen(invalid[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(writes_objects_and_arrays, end),
        cmocka_unit_test_teardown(escapes_what_must_be, end),
        cmocka_unit_test_teardown(keeps_utf8, end),
        cmocka_unit_test_teardown(replaces_what_is_no_utf8, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
