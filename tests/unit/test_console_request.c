/* Requests as operators and others type them. */
#include "proxy/console_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct console_request request;
static struct error error;

static bool reads(const char *line)
{
    /* Without a NUL behind it, and with nothing behind it that may be read. */
    size_t length = strlen(line);
    char *copy = malloc(length + 1);
    assert_non_null(copy);
    memcpy(copy, line, length);
    copy[length] = 'x';
    bool read = console_request_read(&request, copy, length, &error);
    free(copy);
    return read;
}

static void a_verb_and_its_words_are_read(void **state)
{
    (void)state;
    assert_true(reads("  sessions   json 25 "));
    assert_int_equal(request.verb, CONSOLE_SESSIONS);
    assert_int_equal(request.count, 2);
    assert_string_equal(request.words[0], "json");
    assert_string_equal(request.words[1], "25");
    assert_true(console_request_take(&request, "json"));
    assert_false(console_request_take(&request, "json"));
    assert_int_equal(request.count, 1);
    assert_string_equal(request.words[0], "25");
}

static void a_carriage_return_at_the_end_is_no_part_of_it(void **state)
{
    (void)state;
    assert_true(reads("reload\r"));
    assert_int_equal(request.verb, CONSOLE_RELOAD);
    assert_true(console_request_is_done(&request, &error));
}

static void words_that_nobody_took_are_refused_by_name(void **state)
{
    (void)state;
    assert_true(reads("stop now please"));
    assert_true(console_request_take(&request, "now"));
    assert_false(console_request_is_done(&request, &error));
    assert_string_equal(error.text, "\"stop\" does not understand \"please\"");
}

static void an_empty_request_is_refused(void **state)
{
    (void)state;
    assert_false(reads(""));
    assert_string_equal(error.text, "the request is empty");
    assert_false(reads("     "));
    assert_false(reads("\r"));
}

static void an_unknown_verb_is_refused_with_those_there_are(void **state)
{
    (void)state;
    assert_false(reads("reloa"));
    assert_non_null(strstr(error.text, "\"reloa\""));
    assert_non_null(strstr(error.text, "sessions"));
    assert_false(reads("RELOAD"));
}

static void bytes_that_are_no_text_are_refused(void **state)
{
    (void)state;
    assert_false(console_request_read(&request, "re\0load", 7, &error));
    assert_string_equal(error.text, "a request is printable ASCII");
    assert_false(reads("status\tjson"));
    assert_false(reads("status \x1b[31m"));
    assert_false(reads("status \xff"));
}

static void a_request_that_is_too_long_is_refused_unread(void **state)
{
    char line[CONSOLE_REQUEST_MAX];
    (void)state;
    memset(line, 'a', sizeof line);
    assert_true(!console_request_read(&request, line, sizeof line, &error));
    assert_string_equal(error.text, "a request is at most 256 bytes long");
    /* The length alone decides: these bytes are not there. */
    assert_false(console_request_read(&request, "", SIZE_MAX, &error));
}

static void the_longest_request_fits(void **state)
{
    char line[CONSOLE_REQUEST_MAX] = "log ";
    (void)state;
    memset(line + 4, 'a', sizeof line - 5);
    assert_true(console_request_read(&request, line, sizeof line - 1, &error));
    assert_int_equal(request.count, 1);
    assert_int_equal(strlen(request.words[0]), sizeof line - 5);
    assert_false(console_request_is_done(&request, &error));
}

static void too_many_words_are_refused(void **state)
{
    (void)state;
    assert_true(reads("stop 1 2 3 4"));
    assert_false(reads("stop 1 2 3 4 5"));
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_verb_and_its_words_are_read),
        TEST(a_carriage_return_at_the_end_is_no_part_of_it),
        TEST(words_that_nobody_took_are_refused_by_name),
        TEST(an_empty_request_is_refused),
        TEST(an_unknown_verb_is_refused_with_those_there_are),
        TEST(bytes_that_are_no_text_are_refused),
        TEST(a_request_that_is_too_long_is_refused_unread),
        TEST(the_longest_request_fits),
        TEST(too_many_words_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
