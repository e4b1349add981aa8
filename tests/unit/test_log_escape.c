#include "proxy/log_escape.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The whole of `text`, one character at a time. */
static const char *escaped(enum log_escape escape, const char *text)
{
    static char out[1024];
    size_t length = 0;

    while (*text != '\0') {
        char one[LOG_ESCAPED_MAX];
        size_t taken = 0;
        const size_t size = log_escape_one(escape, text, one, &taken);
        assert_in_range(size, 1, LOG_ESCAPED_MAX);
        assert_in_range(taken, 1, strlen(text));
        memcpy(out + length, one, size);
        length += size;
        text += taken;
    }
    out[length] = '\0';
    return out;
}

static void every_byte_becomes_printable_ascii_in_text(void **state)
{
    (void)state;
    for (int escape = LOG_ESCAPE_MESSAGE; escape <= LOG_ESCAPE_VALUE; escape++) {
        for (int byte = 1; byte < 256; byte++) {
            const char text[] = {(char)byte, '\0'};
            const char *shown = escaped((enum log_escape)escape, text);
            for (size_t i = 0; shown[i] != '\0'; i++)
                assert_in_range(shown[i], 0x20, 0x7e);
            assert_true(byte != '\\' || strcmp(shown, "\\x5c") == 0);
            assert_true(byte != '"' || escape == LOG_ESCAPE_MESSAGE ||
                        strcmp(shown, "\\x22") == 0);
        }
    }
}

static void what_is_plain_is_what_is_shown_as_it_is(void **state)
{
    (void)state;
    for (int escape = LOG_ESCAPE_MESSAGE; escape <= LOG_ESCAPE_JSON; escape++) {
        for (int byte = 1; byte < 256; byte++) {
            const char text[] = {'a', (char)byte, '\0'};
            const char *shown = escaped((enum log_escape)escape, text);
            const bool same = byte < 0x80 && strcmp(shown, text) == 0;
            assert_int_equal(log_escape_plain((enum log_escape)escape, text),
                             same ? 2 : 1);
        }
        assert_int_equal(log_escape_plain((enum log_escape)escape, ""), 0);
    }
}

static void values_that_would_not_be_one_word_are_quoted(void **state)
{
    (void)state;
    assert_true(log_escape_needs_quotes(""));
    assert_true(log_escape_needs_quotes("a b"));
    assert_true(log_escape_needs_quotes("a=b"));
    assert_true(log_escape_needs_quotes("a\"b"));
    assert_false(log_escape_needs_quotes("unix:/run/a.sock"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_becomes_printable_ascii_in_text),
        cmocka_unit_test(what_is_plain_is_what_is_shown_as_it_is),
        cmocka_unit_test(values_that_would_not_be_one_word_are_quoted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
