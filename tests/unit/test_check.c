/* What the keys of a backend must not say together. */
#include "config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define START                                                                            \
    "[listener web]\naddress = *:443\n[certificate main]\nchain = /c\nkey = /k\n"
#define BACKEND START "[backend app]\naddress = 127.0.0.1:1\n" /* lines 6 and 7 */

/* The text must have this one problem; NULL: none. */
static void assert_problem(const char *text, const char *problem)
{
    struct report report = {0};
    struct config *config = config_read(text, strlen(text), "a.ini", &report);
    assert_non_null(config);
    const bool as_expected =
        problem == NULL
            ? report.count == 0
            : report.count == 1 && strcmp(report.entries[0].text, problem) == 0;
    for (size_t i = 0; i < report.count && !as_expected; i++)
        print_message("%s\n", report.entries[i].text);
    assert_true(as_expected);
    config_free(config);
    report_close(&report);
}

static void names_may_lead_anywhere_until_they_are_resolved(void **state)
{
    (void)state;
    assert_problem(START "[backend app]\naddress = app.example:80, 127.0.0.1:1\n", NULL);
}

static void a_check_has_all_it_needs(void **state)
{
    (void)state;
    assert_problem(BACKEND "check = send\ncheck_send = PING\\r\\n\ncheck_expect = +PONG\n"
                           "required = yes\n",
                   NULL);
    assert_problem(BACKEND "check = send\n",
                   "a.ini:8: backend \"app\": check = send needs check_expect, the "
                   "beginning of a good answer");
}

static void words_without_a_check_are_refused(void **state)
{
    (void)state;
    assert_problem(BACKEND "check_expect = ok\n",
                   "a.ini:8: backend \"app\": check_send and check_expect need check = "
                   "send");
    assert_problem(BACKEND "check = connect\ncheck_send = ok\n",
                   "a.ini:9: backend \"app\": check_send and check_expect need check = "
                   "send");
}

static void more_names_than_are_resolved_are_refused(void **state)
{
    (void)state;
    char text[8192] = START;
    size_t length = strlen(text);
    for (int i = 0; i < 65; i++) {
        if (i % 13 == 0)
            length += (size_t)snprintf(text + length, sizeof text - length,
                                       "\n[backend b%d]\naddress = ", i / 13);
        length += (size_t)snprintf(text + length, sizeof text - length, "%sh%d:1",
                                   i % 13 > 0 ? ", " : "", i);
    }
    struct report report = {0};
    struct config *config = config_read(text, length, "a.ini", &report);
    bool found = false;
    for (size_t i = 0; i < report.count; i++)
        found =
            found || strcmp(report.entries[i].text,
                            "a.ini:16: the backends have more than 64 host names") == 0;
    if (!found)
        for (size_t i = 0; i < report.count; i++)
            print_message("%s\n", report.entries[i].text);
    assert_true(found);
    config_free(config);
    report_close(&report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_may_lead_anywhere_until_they_are_resolved),
        cmocka_unit_test(a_check_has_all_it_needs),
        cmocka_unit_test(words_without_a_check_are_refused),
        cmocka_unit_test(more_names_than_are_resolved_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
