#include "config/reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"

/* What one text came to: a line for each item, and a line for each error. */
static char items[8192];
static char errors[8192];

static void append(char *to, size_t size, const char *text)
{
    const size_t length = strlen(to);
    snprintf(to + length, size - length, "%s\n", text);
}

static void on_item(void *context, const struct reader_item *item)
{
    char text[1024];
    assert_ptr_equal(context, items);
    if (item->key == NULL) {
        assert_null(item->value);
        snprintf(text, sizeof(text), "%u [%s|%s]", item->line, item->section, item->name);
    } else {
        snprintf(text, sizeof(text), "%u [%s|%s] %s=%s", item->line, item->section,
                 item->name, item->key, item->value);
    }
    append(items, sizeof(items), text);
}

static void read_bytes(const char *text, size_t length)
{
    struct report report = {0};
    items[0] = '\0';
    errors[0] = '\0';
    /* A copy of its own, so that the sanitizer sees a byte read past the end. */
    char *copy = malloc(length + (length == 0));
    assert_non_null(copy);
    memcpy(copy, text, length);
    reader_read(copy, length, "a.ini", &report, on_item, items);
    free(copy);
    for (size_t i = 0; i < report.count; i++) {
        append(errors, sizeof(errors), report.entries[i].text);
    }
    report_close(&report);
}

static void read_text(const char *text)
{
    read_bytes(text, strlen(text));
}

static void headers_and_keys_come_with_their_lines(void **state)
{
    (void)state;
    read_text("; comment\n"
              "\n"
              "[proxy]\n"
              "workers = 2\n"
              "# comment\n"
              "[listener web]\n"
              "address=*:443,[::1]:8443\n");
    assert_string_equal(items, "3 [proxy|]\n"
                               "4 [proxy|] workers=2\n"
                               "6 [listener|web]\n"
                               "7 [listener|web] address=*:443,[::1]:8443\n");
    assert_string_equal(errors, "");
}

static void empty_sections_are_seen(void **state)
{
    (void)state;
    read_text("[log]\n[limits]\n[log]");
    assert_string_equal(items, "1 [log|]\n2 [limits|]\n3 [log|]\n");
}

static void key_above_the_first_header_has_no_section(void **state)
{
    (void)state;
    read_text("a = b\n");
    assert_string_equal(items, "1 [|] a=b\n");
}

static void blanks_in_a_header_do_not_count(void **state)
{
    (void)state;
    read_text("[ listener \t web ] ; comment\na=1\n");
    assert_string_equal(items, "1 [listener|web]\n2 [listener|web] a=1\n");
    assert_string_equal(errors, "");
}

static void inline_comment_needs_a_blank_before_it(void **state)
{
    (void)state;
    read_text("[s]\na = b;c ; d\ne = ; f\n");
    assert_string_equal(items, "1 [s|]\n2 [s|] a=b;c\n3 [s|] e=\n");
    assert_string_equal(errors, "");
}

static void value_keeps_equals_signs(void **state)
{
    (void)state;
    read_text("[s]\na = b=c:d\n");
    assert_string_equal(items, "1 [s|]\n2 [s|] a=b=c:d\n");
}

static void windows_line_ends_and_byte_order_mark_are_stripped(void **state)
{
    (void)state;
    read_text("\xef\xbb\xbf[s]\r\na = b\r\n\r\n");
    assert_string_equal(items, "1 [s|]\n2 [s|] a=b\n");
    assert_string_equal(errors, "");
}

static void text_without_last_newline_or_bytes_is_fine(void **state)
{
    (void)state;
    read_text("");
    assert_string_equal(items, "");
    assert_string_equal(errors, "");
    read_text("[s]\na=b");
    assert_string_equal(items, "1 [s|]\n2 [s|] a=b\n");
    read_text("\xef\xbb\xbf");
    assert_string_equal(errors, "");
    read_text("\r");
    assert_string_equal(errors, "");
}

static void indented_lines_are_reported_and_read(void **state)
{
    (void)state;
    read_text("[s]\na = b\n  c = d\n\t[t]\n  ; fine\n   \n");
    assert_string_equal(items, "1 [s|]\n2 [s|] a=b\n3 [s|] c=d\n4 [t|]\n");
    assert_string_equal(
        errors, "a.ini:3: the indented line continues the line above, which Pawl does "
                "not support: remove the blanks\n"
                "a.ini:4: the indented line continues the line above, which Pawl does "
                "not support: remove the blanks\n");
}

static void longest_line_is_read_whole(void **state)
{
    (void)state;
    char text[512] = "[s]\nkey=";
    memset(text + 8, 'v', READER_LINE_MAX - 4);
    snprintf(text + 4 + READER_LINE_MAX, 16, "\r\nnext=1\n");
    read_text(text);
    assert_string_equal(errors, "");
    assert_non_null(strstr(items, "vvv\n3 [s|] next=1\n"));
    const char *value = strstr(items, "key=");
    assert_non_null(value);
    assert_int_equal(strspn(value + 4, "v"), READER_LINE_MAX - 4);
}

static void overlong_line_is_reported_not_split(void **state)
{
    (void)state;
    char text[1024] = "[s]\nkey=";
    memset(text + 8, 'v', 500);
    memcpy(text + 8 + 192, "x=y", 3); /* what inih would take for a key of its own */
    snprintf(text + 8 + 500, 16, "\nnext=1\n");
    read_text(text);
    assert_string_equal(items, "1 [s|]\n3 [s|] next=1\n");
    assert_string_equal(errors, "a.ini:2: the line is longer than 199 bytes\n");
}

static void overlong_comment_is_a_comment(void **state)
{
    (void)state;
    char text[512] = ";";
    memset(text + 1, 'c', 400);
    snprintf(text + 401, 16, "\n[s]\n");
    read_text(text);
    assert_string_equal(items, "2 [s|]\n");
    assert_string_equal(errors, "");
}

static void overlong_header_is_reported_and_its_keys_skipped(void **state)
{
    (void)state;
    char text[512];
    snprintf(text, sizeof(text), "[s]\n[listener %041d]\na=1\nnonsense\n[t]\nb=2\n", 7);
    read_text(text);
    assert_string_equal(items, "1 [s|]\n5 [t|]\n6 [t|] b=2\n");
    assert_string_equal(
        errors, "a.ini:2: the section header is longer than 49 bytes\n"
                "a.ini:4: the line is no section, no comment and no \"key = value\"\n");
    snprintf(text, sizeof(text), "[listener %0400d]\na=1\n", 7);
    read_text(text);
    assert_string_equal(items, "");
    assert_string_equal(errors, "a.ini:1: the line is longer than 199 bytes\n");
}

static void longest_header_is_read_whole(void **state)
{
    (void)state;
    char text[128];
    snprintf(text, sizeof(text), "[l %047d]\na=1\n", 7);
    read_text(text);
    assert_string_equal(errors, "");
    assert_int_equal(strcspn(items, "]"), strlen("1 [l|") + 47);
}

static void overlong_key_is_reported(void **state)
{
    (void)state;
    char text[128];
    snprintf(text, sizeof(text), "[s]\n%050d=1\n%049d=1\n", 7, 7);
    read_text(text);
    assert_string_equal(errors, "a.ini:2: the key is longer than 49 bytes\n");
    assert_non_null(strstr(items, "7=1\n"));
}

static void all_malformed_lines_are_reported(void **state)
{
    (void)state;
    read_text("[s]\n"
              "nonsense\n"
              "= value\n"
              "key: value\n"
              "key ; = value\n"
              "[unclosed\n"
              "a=1\n"
              "[]\n"
              "b=2\n"
              "[t] c=3\n"
              "d=4\n");
    assert_string_equal(items, "1 [s|]\n10 [t|]\n11 [t|] d=4\n");
    assert_string_equal(
        errors, "a.ini:2: the line is no section, no comment and no \"key = value\"\n"
                "a.ini:3: there is no key in front of \"=\"\n"
                "a.ini:4: \":\" follows \"key\" in place of \"=\"\n"
                "a.ini:5: the line is no section, no comment and no \"key = value\"\n"
                "a.ini:6: the section header has no \"]\"\n"
                "a.ini:8: the section header is empty\n"
                "a.ini:10: \"c=3\" stands behind the section header\n");
}

static void nul_and_control_bytes_are_reported(void **state)
{
    (void)state;
    static const char text[] = "[s]\na = b\0c\nd = \x1b[1m\ne = f\n;\0\ng\th = 1\n";
    read_bytes(text, sizeof(text) - 1);
    assert_string_equal(items, "1 [s|]\n4 [s|] e=f\n6 [s|] g\th=1\n");
    assert_string_equal(errors, "a.ini:2: the line holds a NUL byte\n"
                                "a.ini:3: the line holds a control character\n"
                                "a.ini:5: the line holds a NUL byte\n");
}

static void utf16_is_named(void **state)
{
    (void)state;
    read_bytes("\xff\xfe[\0s\0]\0", 8);
    assert_string_equal(errors, "a.ini: the file is UTF-16: save it as UTF-8\n");
    assert_string_equal(items, "");
}

static void overlong_text_is_refused_whole(void **state)
{
    (void)state;
    char *text = malloc(CONFIG_TEXT_MAX + 1);
    assert_non_null(text);
    memset(text, '\n', CONFIG_TEXT_MAX + 1);
    memcpy(text, "[s]", 3);
    read_bytes(text, CONFIG_TEXT_MAX + 1);
    assert_string_equal(errors, "a.ini: the file is over 4 MiB\n");
    assert_string_equal(items, "");
    read_bytes(text, CONFIG_TEXT_MAX);
    assert_string_equal(errors, "");
    assert_string_equal(items, "1 [s|]\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_and_keys_come_with_their_lines),
        cmocka_unit_test(empty_sections_are_seen),
        cmocka_unit_test(key_above_the_first_header_has_no_section),
        cmocka_unit_test(blanks_in_a_header_do_not_count),
        cmocka_unit_test(inline_comment_needs_a_blank_before_it),
        cmocka_unit_test(value_keeps_equals_signs),
        cmocka_unit_test(windows_line_ends_and_byte_order_mark_are_stripped),
        cmocka_unit_test(text_without_last_newline_or_bytes_is_fine),
        cmocka_unit_test(indented_lines_are_reported_and_read),
        cmocka_unit_test(longest_line_is_read_whole),
        cmocka_unit_test(overlong_line_is_reported_not_split),
        cmocka_unit_test(overlong_comment_is_a_comment),
        cmocka_unit_test(overlong_header_is_reported_and_its_keys_skipped),
        cmocka_unit_test(longest_header_is_read_whole),
        cmocka_unit_test(overlong_key_is_reported),
        cmocka_unit_test(all_malformed_lines_are_reported),
        cmocka_unit_test(nul_and_control_bytes_are_reported),
        cmocka_unit_test(utf16_is_named),
        cmocka_unit_test(overlong_text_is_refused_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
