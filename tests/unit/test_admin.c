/* What the admin process answers, without a network: paths, Hosts, the page's policy. */
#include "proxy/admin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/admin_page.h"
#include "tests/unit/status_lab.h"

static struct status_lab *const lab = &status_lab;

static int code_of(const char *path, const char *body)
{
    struct admin_answer answer;

    assert_true(admin_answer(&lab->status, path, &answer));
    assert_int_equal(strlen(answer.body), answer.size);
    if (!strstr(answer.body, body))
        fail_msg("%s: no \"%s\" in \"%s\"", path, body, answer.body);
    free(answer.body);
    return answer.code;
}

static void each_path_has_its_answer(void **state)
{
    (void)state;
    assert_int_equal(code_of("/", "<!doctype html>"), 200);
    assert_int_equal(code_of("/metrics", "pawl_build_info{"), 200);
    assert_int_equal(code_of("/status", "\"ready\":true"), 200);
    assert_int_equal(code_of("/healthz", "ok\n"), 200);
    assert_int_equal(code_of("/readyz", "ready\n"), 200);
    assert_int_equal(code_of("/metric", "there are"), 404);
    assert_int_equal(code_of("", "there are"), 404);
}

static void what_is_not_ready_may_be_healthy(void **state)
{
    (void)state;
    lab->master.state = MASTER_DRAINING;
    assert_int_equal(code_of("/readyz", "draining"), 503);
    assert_int_equal(code_of("/healthz", "ok"), 200);
}

static void a_process_may_be_missing_for_a_while(void **state)
{
    (void)state;
    (void)snprintf(lab->master.processes[0].role, STATS_ROLE_MAX, "worker");
    lab->master.processes[0].index = 3;
    lab->master.process_count = 1;
    lab->status.wall_ms = 100000;
    lab->master.processes[0].missing_ms = 97000;
    assert_int_equal(code_of("/healthz", "ok"), 200);
    lab->master.processes[0].missing_ms = 93000;
    assert_int_equal(code_of("/healthz", "worker 3 has been missing for 7 seconds"), 503);
    lab->master.state = MASTER_DRAINING;
    assert_int_equal(code_of("/healthz", "ok"), 200);
}

static void only_names_of_this_machine_are_local(void **state)
{
    static const char *const local[] = {"localhost",  "LocalHost:80", "127.0.0.1",
                                        "10.0.0.1:9", "[::1]",        "[::1]:9180"};
    static const char *const other[] = {
        "",      "example",     "localhost.example", "127.0.0.1.",
        "127.1", "[::1",        "[localhost]",       "::1",
        "[]",    "a localhost", "localhost "};
    char longest[1000];

    (void)state;
    assert_true(admin_host_is_local(NULL));
    for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++)
        assert_true(admin_host_is_local(local[i]));
    for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
        if (admin_host_is_local(other[i]))
            fail_msg("\"%s\" counts as local", other[i]);
    }
    memset(longest, 'l', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_false(admin_host_is_local(longest));
}

static void the_page_needs_nothing_from_elsewhere(void **state)
{
    char policy[ADMIN_POLICY_MAX];

    (void)state;
    assert_int_equal(strlen(admin_page), admin_page_size);
    assert_true(admin_page_policy(policy));
    assert_non_null(strstr(policy, "default-src 'none'"));
    assert_null(strstr(policy, "unsafe"));
    /* What the policy would refuse: addresses elsewhere, attributes that are code. */
    assert_null(strstr(admin_page, " src="));
    assert_null(strstr(admin_page, "https:"));
    assert_null(strstr(admin_page, " style=\""));
    assert_null(strstr(admin_page, " onclick"));
    assert_null(strstr(admin_page, "innerHTML"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_path_has_its_answer, status_lab_begin),
        cmocka_unit_test_setup(what_is_not_ready_may_be_healthy, status_lab_begin),
        cmocka_unit_test_setup(a_process_may_be_missing_for_a_while, status_lab_begin),
        cmocka_unit_test_setup(only_names_of_this_machine_are_local, status_lab_begin),
        cmocka_unit_test_setup(the_page_needs_nothing_from_elsewhere, status_lab_begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
