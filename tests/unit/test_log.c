#include "proxy/log.h"

#include <ctype.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { TIME_LENGTH = sizeof("2026-11-23T08:25:00.123Z") - 1 };

static int saved_stderr = -1;
static int captured = -1;
static char output[4 * LOG_LINE_MAX];

/* What the log writes goes to a file of the test's own until capture_end. */
static void capture_start(void)
{
    char path[] = "/tmp/test_log.XXXXXX";
    captured = mkstemp(path);
    assert_true(captured >= 0);
    unlink(path);
    saved_stderr = dup(STDERR_FILENO);
    assert_int_equal(dup2(captured, STDERR_FILENO), STDERR_FILENO);
}

static const char *capture_end(void)
{
    assert_int_equal(dup2(saved_stderr, STDERR_FILENO), STDERR_FILENO);
    close(saved_stderr);
    const ssize_t length = pread(captured, output, sizeof(output) - 1, 0);
    close(captured);
    assert_true(length >= 0);
    output[length] = '\0';
    return output;
}

/* Logs one line with one field; returns what was written. */
static const char *field_line(enum log_format format, const char *value)
{
    struct log_line line;
    capture_start();
    log_open("worker 0", LOG_LEVEL_INFO, format);
    log_begin(&line, LOG_LEVEL_INFO, "session closed");
    log_text(&line, "sni", value);
    log_end(&line);
    return capture_end();
}

static const char *json_string_end(const char *at)
{
    if (*at++ != '"') {
        return NULL;
    }
    while (*at != '"') {
        if ((unsigned char)*at < 0x20) {
            return NULL;
        }
        if (*at == '\\') {
            at++;
            if (*at == 'u') {
                for (int i = 1; i <= 4; i++) {
                    if (!isxdigit((unsigned char)at[i])) {
                        return NULL;
                    }
                }
                at += 4;
            } else if (*at != '"' && *at != '\\') {
                return NULL;
            }
        }
        at++;
    }
    return at + 1;
}

/* True for exactly one line that is a flat JSON object of strings, numbers and true. */
static bool is_json_line(const char *text)
{
    if (*text++ != '{') {
        return false;
    }
    for (;;) {
        text = json_string_end(text);
        if (text == NULL || *text++ != ':') {
            return false;
        }
        if (*text == '"') {
            text = json_string_end(text);
        } else if (strncmp(text, "true", 4) == 0) {
            text += 4;
        } else if (isdigit((unsigned char)*text)) {
            text += strspn(text, "0123456789");
        } else {
            return false;
        }
        if (text == NULL) {
            return false;
        }
        if (*text != ',') {
            return strcmp(text, "}\n") == 0;
        }
        text++;
    }
}

static void text_line_has_time_level_role_message_and_fields(void **state)
{
    (void)state;
    struct log_line line;
    capture_start();
    log_open("worker 0", LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    log_begin(&line, LOG_LEVEL_INFO, "session closed");
    log_text(&line, "client", "1.2.3.4:555");
    log_text(&line, "sni", NULL);
    log_text(&line, "backend", "unix:/run/a b");
    log_number(&line, "bytes", UINT64_MAX);
    log_end(&line);
    const char *text = capture_end();
    assert_true(strlen(text) > TIME_LENGTH);
    for (size_t i = 0; i < TIME_LENGTH; i++) {
        const char shape = "dddd-dd-ddTdd:dd:dd.dddZ"[i];
        assert_true(shape == 'd' ? isdigit((unsigned char)text[i]) != 0
                                 : text[i] == shape);
    }
    assert_string_equal(text + TIME_LENGTH,
                        " info worker 0: session closed client=1.2.3.4:555"
                        " backend=\"unix:/run/a b\" bytes=18446744073709551615\n");
}

static void json_line_has_the_same(void **state)
{
    (void)state;
    struct log_line line;
    capture_start();
    log_open("worker 0", LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    log_begin(&line, LOG_LEVEL_WARNING, "session \"closed\"");
    log_text(&line, "client", "1.2.3.4:555");
    log_text(&line, "sni", NULL);
    log_number(&line, "bytes", 7);
    log_end(&line);
    const char *text = capture_end();
    assert_true(is_json_line(text));
    assert_memory_equal(text, "{\"time\":\"", 9);
    assert_string_equal(
        text + 9 + TIME_LENGTH,
        "\",\"level\":\"warning\",\"role\":\"worker 0\",\"message\":\"session "
        "\\\"closed\\\"\",\"client\":\"1.2.3.4:555\",\"bytes\":7}\n");
}

static void sentence_is_one_line(void **state)
{
    (void)state;
    capture_start();
    log_open("master", LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    log_error("cannot read \"%s\"", "/x\n2026 info");
    const char *text = capture_end();
    assert_string_equal(text + TIME_LENGTH,
                        " error master: cannot read \"/x\\x0a2026 info\"\n");
}

static void level_hides_what_is_less_important(void **state)
{
    (void)state;
    struct log_line line;
    capture_start();
    log_open("master", LOG_LEVEL_WARNING, LOG_FORMAT_TEXT);
    log_info("hidden");
    log_debug("hidden");
    log_begin(&line, LOG_LEVEL_INFO, "hidden");
    log_text(&line, "key", "value");
    log_number(&line, "key", 1);
    log_end(&line);
    assert_false(log_enabled(LOG_LEVEL_INFO));
    assert_true(log_enabled(LOG_LEVEL_WARNING));
    assert_string_equal(capture_end(), "");
}

static void configure_changes_level_and_format_and_keeps_role(void **state)
{
    (void)state;
    capture_start();
    log_open("keyholder 3", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    log_configure(LOG_LEVEL_DEBUG, LOG_FORMAT_JSON);
    log_debug("seen");
    const char *text = capture_end();
    assert_non_null(strstr(text, "\"role\":\"keyholder 3\",\"message\":\"seen\"}\n"));
}

static void text_escapes_what_a_peer_could_forge_with(void **state)
{
    (void)state;
    const char *text = field_line(LOG_FORMAT_TEXT, "a\"b\\c\n\x1b[1m\x7f\xc3\xa9");
    assert_non_null(strstr(text, " sni=\"a\\x22b\\x5cc\\x0a\\x1b[1m\\x7f\\xc3\\xa9\"\n"));
}

static void text_quotes_empty_values_and_equals_signs(void **state)
{
    (void)state;
    assert_non_null(strstr(field_line(LOG_FORMAT_TEXT, ""), " sni=\"\"\n"));
    assert_non_null(strstr(field_line(LOG_FORMAT_TEXT, "a=b"), " sni=\"a=b\"\n"));
}

static void json_keeps_utf8_and_escapes_what_is_none(void **state)
{
    (void)state;
    const struct {
        const char *value;
        const char *shown;
    } cases[] = {
        {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xbe",
         "\"sni\":\"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xbe\"}\n"},
        {"\xff\xc3", "\"sni\":\"\\u00ff\\u00c3\"}\n"},
        {"\xc0\xaf", "\"sni\":\"\\u00c0\\u00af\"}\n"},            /* overlong */
        {"\xed\xa0\x80", "\"sni\":\"\\u00ed\\u00a0\\u0080\"}\n"}, /* surrogate */
        {"\xf4\x90\x80\x80", "\"sni\":\"\\u00f4\\u0090\\u0080\\u0080\"}\n"},
        {"\xe2\x82", "\"sni\":\"\\u00e2\\u0082\"}\n"}, /* cut off */
        {"\xc2\x9b", "\"sni\":\"\\u009b\"}\n"},        /* C1 control */
        {"\x01\t\"\\", "\"sni\":\"\\u0001\\u0009\\\"\\\\\"}\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *text = field_line(LOG_FORMAT_JSON, cases[i].value);
        assert_true(is_json_line(text));
        assert_non_null(strstr(text, cases[i].shown));
    }
}

static void truncation_never_breaks_the_json(void **state)
{
    (void)state;
    static const char *const fillers[] = {"a", "\"", "\xff", "\xe2\x82\xac", "\n"};
    struct log_line line;
    char value[LOG_LINE_MAX + 1];
    for (size_t filler = 0; filler < 5; filler++) {
        for (size_t start = LOG_LINE_MAX - 200; start < LOG_LINE_MAX - 40; start++) {
            memset(value, 'x', start);
            value[start] = '\0';
            capture_start();
            log_open("worker 0", LOG_LEVEL_INFO, LOG_FORMAT_JSON);
            log_begin(&line, LOG_LEVEL_INFO, "m");
            log_text(&line, "a", value);
            for (int i = 0; i < 9; i++) {
                log_text(&line, "bb", fillers[filler]);
            }
            log_number(&line, "n", 12345);
            log_end(&line);
            const char *text = capture_end();
            assert_true(strlen(text) <= LOG_LINE_MAX);
            assert_true(is_json_line(text));
            assert_int_equal(line.truncated,
                             strstr(text, ",\"truncated\":true}\n") != NULL);
        }
    }
}

static void overlong_message_is_cut_and_marked(void **state)
{
    (void)state;
    char message[2 * LOG_LINE_MAX];
    memset(message, '\n', sizeof(message) - 1);
    message[sizeof(message) - 1] = '\0';
    struct log_line line;
    for (int format = LOG_FORMAT_TEXT; format <= LOG_FORMAT_JSON; format++) {
        capture_start();
        log_open("worker 0", LOG_LEVEL_INFO, (enum log_format)format);
        log_begin(&line, LOG_LEVEL_INFO, message);
        log_text(&line, "key", "value");
        log_end(&line);
        const char *text = capture_end();
        assert_true(strlen(text) <= LOG_LINE_MAX);
        assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
        assert_true(format == LOG_FORMAT_JSON
                        ? is_json_line(text)
                        : strstr(text, "\\x0a truncated=yes\n") != NULL);
    }
}

static void text_truncation_keeps_escapes_and_quotes_whole(void **state)
{
    (void)state;
    char value[2 * LOG_LINE_MAX];
    memset(value, '"', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    const char *text = field_line(LOG_FORMAT_TEXT, value);
    const char *quote = strchr(text, '"');
    assert_non_null(quote);
    const size_t length = strspn(quote + 1, "\\x2");
    assert_int_equal(length % 4, 0);
    assert_string_equal(quote + 1 + length, "\" truncated=yes\n");
}

static int put_off_calls;

static void on_put_off(void *argument)
{
    assert_ptr_equal(argument, &put_off_calls);
    put_off_calls++;
}

static void fail_handshake(const char *reason, bool each)
{
    struct log_line line;
    log_begin(&line, LOG_LEVEL_INFO, "handshake failed");
    if (each)
        log_each(&line);
    log_text(&line, "client", "1.2.3.4:5");
    log_text(&line, "reason", reason);
    log_end(&line);
}

static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;
    while ((text = strstr(text, part)) != NULL) {
        count++;
        text += strlen(part);
    }
    return count;
}

static void equal_lines_are_summarised_at_the_end(void **state)
{
    (void)state;
    capture_start();
    log_open("worker 0", LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    log_limit_repeats(5);
    put_off_calls = 0;
    log_on_put_off(on_put_off, &put_off_calls);
    for (int i = 0; i < 20; i++) {
        fail_handshake("version", false);
        fail_handshake("group", true);
        log_warning("the same sentence");
        log_warning("sentence %d", i);
    }
    assert_int_equal(put_off_calls, 1);
    assert_true(log_flush()); /* nothing is due yet, but something is put off */
    log_finish();
    log_on_put_off(NULL, NULL);
    const char *text = capture_end();
    assert_int_equal(count_of(text, "handshake failed client=1.2.3.4:5 reason=version\n"),
                     5);
    assert_int_equal(count_of(text, "reason=group\n"), 20);
    assert_int_equal(count_of(text, "the same sentence\n"), 5);
    assert_int_equal(count_of(text, ": sentence "), 20);
    assert_int_equal(count_of(text, " info worker 0: handshake failed reason=version "
                                    "suppressed=15 window_ms="),
                     1);
    assert_int_equal(
        count_of(text, " warning worker 0: the same sentence suppressed=15 window_ms="),
        1);
}

static void debug_lines_are_all_written(void **state)
{
    (void)state;
    capture_start();
    log_open("worker 0", LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
    log_limit_repeats(1);
    for (int i = 0; i < 20; i++)
        log_debug("the same");
    assert_int_equal(count_of(capture_end(), "the same\n"), 20);
}

static void lost_lines_are_counted_and_told(void **state)
{
    (void)state;
    log_open("worker 0", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    put_off_calls = 0;
    log_on_put_off(on_put_off, &put_off_calls);
    const int before = dup(STDERR_FILENO);
    const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_int_equal(dup2(full, STDERR_FILENO), STDERR_FILENO);
    close(full);
    for (int i = 0; i < 7; i++)
        log_error("nobody reads this");
    assert_int_equal(put_off_calls, 1);
    assert_true(log_flush());
    assert_int_equal(dup2(before, STDERR_FILENO), STDERR_FILENO);
    close(before);
    capture_start();
    assert_false(log_flush());
    log_on_put_off(NULL, NULL);
    assert_non_null(strstr(capture_end(),
                           " warning worker 0: lines were lost, the log was not read "
                           "lost=7\n"));
}

static void closed_stderr_is_ignored(void **state)
{
    (void)state;
    const int before = dup(STDERR_FILENO);
    close(STDERR_FILENO);
    log_open("master", LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    log_error("nobody hears this");
    assert_int_equal(dup2(before, STDERR_FILENO), STDERR_FILENO);
    close(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_line_has_time_level_role_message_and_fields),
        cmocka_unit_test(json_line_has_the_same),
        cmocka_unit_test(sentence_is_one_line),
        cmocka_unit_test(level_hides_what_is_less_important),
        cmocka_unit_test(configure_changes_level_and_format_and_keeps_role),
        cmocka_unit_test(text_escapes_what_a_peer_could_forge_with),
        cmocka_unit_test(text_quotes_empty_values_and_equals_signs),
        cmocka_unit_test(json_keeps_utf8_and_escapes_what_is_none),
        cmocka_unit_test(truncation_never_breaks_the_json),
        cmocka_unit_test(overlong_message_is_cut_and_marked),
        cmocka_unit_test(text_truncation_keeps_escapes_and_quotes_whole),
        cmocka_unit_test(equal_lines_are_summarised_at_the_end),
        cmocka_unit_test(debug_lines_are_all_written),
        cmocka_unit_test(lost_lines_are_counted_and_told),
        cmocka_unit_test(closed_stderr_is_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
