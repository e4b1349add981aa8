/* Whether Pawl is ready, and the status as JSON.  That it is well-formed to its end is
 * seen by a parser in the end-to-end tests; here it is what it says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/status.h"
#include "tests/unit/status_lab.h"

static struct status_lab *const lab = &status_lab;
static struct error why;

static void says(const char *part)
{
    const char *text = status_lab_text(status_write_json);

    if (!strstr(text, part))
        fail_msg("no %s in:\n%s", part, text);
}

static void is_ready_while_it_serves(void **state)
{
    static const struct {
        enum master_state state;
        bool ready;
    } cases[] = {{MASTER_STARTING, false},
                 {MASTER_SERVING, true},
                 {MASTER_RELOADING, true},
                 {MASTER_DRAINING, false},
                 {MASTER_STOPPING, false}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        lab->master.state = cases[i].state;
        assert_int_equal(status_is_ready(&lab->status, &why), cases[i].ready);
        if (!cases[i].ready)
            assert_string_equal(why.text, master_state_name(cases[i].state));
    }
    lab->master.state = UINT64_MAX;
    assert_false(status_is_ready(&lab->status, &why));
}

static void is_not_ready_when_all_workers_miss_a_backend(void **state)
{
    (void)state;
    stats_backend_of(&lab->pages[0], "api")->down = 1;
    assert_true(status_is_ready(&lab->status, &why));
    stats_backend_of(&lab->pages[1], "api")->down = 1;
    assert_false(status_is_ready(&lab->status, &why));
    assert_string_equal(why.text, "backend \"api\" is down");
    says("\"not_ready_because\":\"backend \\\"api\\\" is down\"");
    lab->backends[1].required = false;
    assert_true(status_is_ready(&lab->status, &why));
}

static void days_left_are_whole_ones(void **state)
{
    static const struct {
        int64_t left_ms;
        int64_t days;
    } cases[] = {{0, 0},   {86399999, 0},   {86400000, 1},
                 {-1, -1}, {-86400000, -1}, {-86400001, -2}};

    (void)state;
    lab->status.wall_ms = UINT64_C(1700000000000);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        lab->certificate.not_after_ms = lab->status.wall_ms + (uint64_t)cases[i].left_ms;
        assert_int_equal(status_days_left(&lab->status, &lab->certificate),
                         cases[i].days);
    }
}

static void says_what_happened(void **state)
{
    (void)state;
    lab->pages[0].handshakes_failed[REASON_UNKNOWN_SNI] = 2;
    lab->pages[1].handshakes_failed[REASON_UNKNOWN_SNI] = 1;
    lab->pages[1].bytes_in = 77;
    stats_text_set(&lab->master.last_reload_error, "x:1: \"y\"\n");
    lab->master.last_reload_result = RELOAD_REFUSED;
    says("\"handshakes_failed_total\":[{\"reason\":\"unknown_sni\",\"value\":3}]");
    says("\"received_bytes_total\":77");
    says("\"last_result\":\"refused\",\"last_error\":\"x:1: \\\"y\\\"\\u000a\"");
    says("\"state\":\"serving\",\"ready\":true,\"not_ready_because\":null");
    says("\"certificates\":[{\"name\":\"main\",\"served\":true,\"key_type\":\"RSA\","
         "\"names\":[\"app.example\"],");
}

static void says_where_the_window_is_not_kept(void **state)
{
    (void)state;
    lab->config.tls.min_version = TLS_1_2;
    lab->config.tls.tls12_max_lifetime_ms = lab->config.tls.window_ms;
    says("\"window\":{\"seconds\":3600.000,\"exceptions\":[],");
    lab->config.tls.tls12_max_lifetime_ms = LIFETIME_UNLIMITED;
    lab->config.tls.unanswered_rekey = UNANSWERED_KEEP;
    says("\"exceptions\":[\"tls12_max_lifetime\",\"unanswered_rekey\"],");
}

static void numbers_out_of_range_are_no_index(void **state)
{
    (void)state;
    memset(&lab->master, 0xff, sizeof(lab->master));
    memset(lab->pages, 0xff, sizeof(lab->pages));
    lab->status.wall_ms = 5;
    lab->status.ticket_ms = 5;
    says("\"state\":null");
    says("\"last_result\":null");
    says("\"last_error\":null");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(is_ready_while_it_serves, status_lab_begin),
        cmocka_unit_test_setup(is_not_ready_when_all_workers_miss_a_backend,
                               status_lab_begin),
        cmocka_unit_test_setup(days_left_are_whole_ones, status_lab_begin),
        cmocka_unit_test_setup(says_what_happened, status_lab_begin),
        cmocka_unit_test_setup(says_where_the_window_is_not_kept, status_lab_begin),
        cmocka_unit_test_setup(numbers_out_of_range_are_no_index, status_lab_begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
