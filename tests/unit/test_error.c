#include "proxy/error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void error_set_writes_sentence_and_returns_false(void **state)
{
    (void)state;
    struct error error;
    assert_false(error_set(&error, "cannot %s \"%s\"", "read", "/x"));
    assert_string_equal(error.text, "cannot read \"/x\"");
}

static void error_set_accepts_null(void **state)
{
    (void)state;
    assert_false(error_set(NULL, "x"));
    assert_false(error_set_errno(NULL, ENOENT, "x"));
}

static void error_set_truncates(void **state)
{
    (void)state;
    struct error error;
    assert_false(error_set(&error, "%1000d", 7));
    assert_int_equal(strlen(error.text), ERROR_TEXT_MAX - 1);
}

static void error_set_errno_appends_cause(void **state)
{
    (void)state;
    struct error error;
    assert_false(error_set_errno(&error, EACCES, "cannot read \"%s\"", "/x.pem"));
    assert_string_equal(error.text, "cannot read \"/x.pem\": Permission denied");
}

static void error_set_errno_keeps_cause_of_long_sentence(void **state)
{
    (void)state;
    struct error error;
    const char *cause = ": Permission denied";
    for (int length = ERROR_TEXT_MAX - 40; length < ERROR_TEXT_MAX + 40; length++) {
        assert_false(error_set_errno(&error, EACCES, "%*d", length, 7));
        assert_true(strlen(error.text) < ERROR_TEXT_MAX);
        assert_string_equal(error.text + strlen(error.text) - strlen(cause), cause);
    }
}

static void report_names_file_and_line(void **state)
{
    (void)state;
    struct report report = {0};
    report_add(&report, REPORT_ERROR, "a.ini", 7, "no %s", "key");
    report_add(&report, REPORT_WARNING, "a.ini", 0, "no key");
    report_add(&report, REPORT_WARNING, NULL, 3, "no key");
    assert_int_equal(report.count, 3);
    assert_int_equal(report.errors, 1);
    assert_string_equal(report.entries[0].text, "a.ini:7: no key");
    assert_string_equal(report.entries[1].text, "a.ini: no key");
    assert_string_equal(report.entries[2].text, "no key");
    assert_int_equal(report.entries[0].level, REPORT_ERROR);
    assert_int_equal(report.entries[1].level, REPORT_WARNING);
    report_close(&report);
}

static void report_keeps_identical_sentence_once(void **state)
{
    (void)state;
    struct report report = {0};
    for (int i = 0; i < 3; i++) {
        report_add(&report, REPORT_ERROR, "a.ini", 7, "the same");
    }
    assert_int_equal(report.count, 1);
    assert_int_equal(report.errors, 1);
    assert_int_equal(report.dropped, 0);
    report_close(&report);
}

static void report_counts_what_it_does_not_keep(void **state)
{
    (void)state;
    struct report report = {0};
    for (unsigned i = 0; i < REPORT_ENTRIES_MAX + 5; i++) {
        report_add(&report, REPORT_ERROR, "a.ini", i + 1, "problem");
    }
    assert_int_equal(report.count, REPORT_ENTRIES_MAX);
    assert_int_equal(report.errors, REPORT_ENTRIES_MAX + 5);
    assert_int_equal(report.dropped, 5);
    report_close(&report);
}

static void report_close_leaves_an_empty_report(void **state)
{
    (void)state;
    struct report report = {0};
    report_add(&report, REPORT_ERROR, "a.ini", 1, "problem");
    report_close(&report);
    assert_null(report.entries);
    assert_int_equal(report.count, 0);
    report_close(&report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_set_writes_sentence_and_returns_false),
        cmocka_unit_test(error_set_accepts_null),
        cmocka_unit_test(error_set_truncates),
        cmocka_unit_test(error_set_errno_appends_cause),
        cmocka_unit_test(error_set_errno_keeps_cause_of_long_sentence),
        cmocka_unit_test(report_names_file_and_line),
        cmocka_unit_test(report_keeps_identical_sentence_once),
        cmocka_unit_test(report_counts_what_it_does_not_keep),
        cmocka_unit_test(report_close_leaves_an_empty_report),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
