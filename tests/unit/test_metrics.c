/* The text for Prometheus, from the table: every figure, sums, labels, hostile pages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/metrics.h"
#include "proxy/stats_table.h"
#include "tests/unit/status_lab.h"

static struct status_lab *const lab = &status_lab;

static const char *written(void)
{
    return status_lab_text(metrics_write);
}

static void has(const char *line)
{
    const char *text = written();
    const char *at = strstr(text, line);

    if (!at)
        fail_msg("no line \"%s\" in:\n%s", line, text);
    assert_true((at == text || at[-1] == '\n') && at[strlen(line)] == '\n');
}

static void every_row_is_well_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < stats_family_count; i++) {
        const struct stats_family *family = &stats_families[i];
        size_t length = strlen(family->name);
        assert_int_equal(strspn(family->name, "abcdefghijklmnopqrstuvwxyz_"), length);
        bool is_total = length > 6 && strcmp(family->name + length - 6, "_total") == 0;
        assert_int_equal(is_total, family->type == STATS_COUNTER);
        if (family->unit != STATS_PLAIN)
            assert_non_null(strstr(family->name, "_seconds"));
        assert_non_null(family->help);
        assert_null(strpbrk(family->help, "\\\n|"));
        assert_int_equal(family->offset % sizeof(uint64_t), 0);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(family->name, stats_families[j].name);
        for (size_t j = 0; j < STATS_LABELS && family->labels[j].name; j++) {
            for (size_t k = 0; k < family->labels[j].count; k++)
                assert_true(strlen(family->labels[j].word(k)) > 0);
        }
    }
}

static void every_row_is_written_with_help_and_type(void **state)
{
    char line[512];

    (void)state;
    for (size_t i = 0; i < stats_family_count; i++) {
        const struct stats_family *family = &stats_families[i];
        (void)snprintf(line, sizeof(line), "# HELP pawl_%s %s", family->name,
                       family->help);
        has(line);
        (void)snprintf(line, sizeof(line), "# TYPE pawl_%s %s", family->name,
                       stats_type_name(family->type));
        has(line);
    }
}

static void workers_are_summed_up(void **state)
{
    (void)state;
    lab->pages[0].handshakes[TLS_1_3][GROUP_X25519][CIPHER_AES_256_GCM][1] = 3;
    lab->pages[1].handshakes[TLS_1_3][GROUP_X25519][CIPHER_AES_256_GCM][1] = 4;
    lab->pages[1].sessions[SESSION_RELAY] = 2;
    lab->pages[1].sessions[SESSION_LINGER] = 1;
    has("pawl_handshakes_total{version=\"TLSv1.3\",group=\"X25519\","
        "cipher=\"AES-256-GCM\",resumed=\"yes\"} 7");
    has("pawl_handshakes_total{version=\"TLSv1.2\",group=\"secp256r1\","
        "cipher=\"CHACHA20-POLY1305\",resumed=\"no\"} 0");
    has("pawl_sessions{state=\"relay\"} 2");
    has("pawl_worker_sessions{worker=\"0\"} 0");
    has("pawl_worker_sessions{worker=\"1\"} 3");
}

static void histograms_are_cumulative_and_in_seconds(void **state)
{
    (void)state;
    histogram_add(&lab->pages[0].handshake_us, 64);
    histogram_add(&lab->pages[1].handshake_us, 100);
    histogram_add(&lab->pages[1].handshake_us, UINT64_C(99000000));
    has("pawl_handshake_duration_seconds_bucket{le=\"0.000064\"} 1");
    has("pawl_handshake_duration_seconds_bucket{le=\"0.000128\"} 2");
    has("pawl_handshake_duration_seconds_bucket{le=\"16.777216\"} 2");
    has("pawl_handshake_duration_seconds_bucket{le=\"+Inf\"} 3");
    has("pawl_handshake_duration_seconds_sum 99.000164");
    has("pawl_handshake_duration_seconds_count 3");
}

static void backends_are_found_by_name(void **state)
{
    (void)state;
    stats_backend_of(&lab->pages[0], "api")->connected = 2;
    stats_backend_of(&lab->pages[1], "app")->connected = 5;
    stats_backend_of(&lab->pages[1], "api")->connected = 1;
    stats_backend_of(&lab->pages[1], "gone")->connected = 7;
    has("pawl_backend_connects_total{backend=\"app\"} 5");
    has("pawl_backend_connects_total{backend=\"api\"} 3");
    assert_null(strstr(written(), "gone"));
}

static void states_and_times_of_the_master(void **state)
{
    (void)state;
    lab->master.state = MASTER_DRAINING;
    lab->master.started_ms = UINT64_C(1700000000123);
    lab->status.ticket_ms = 10500;
    lab->master.ticket_keys[0] = (struct stats_ticket_key){
        .made_ms = 9250, .encrypts_until_ms = 20000, .ends_ms = 30000};
    lab->master.ticket_keys[1] = (struct stats_ticket_key){.made_ms = 1, .ends_ms = 10};
    has("pawl_master_state{state=\"draining\"} 1");
    has("pawl_master_state{state=\"serving\"} 0");
    has("pawl_start_time_seconds 1700000000.123");
    has("pawl_ticket_key_age_seconds{key=\"0\"} 1.25");
    assert_null(strstr(written(), "{key=\"1\"}"));
}

static void no_name_breaks_the_text(void **state)
{
    (void)state;
    memset(lab->master.processes[0].role, '"', STATS_ROLE_MAX); /* no end either */
    lab->master.processes[0].started_ms = 1;
    lab->master.processes[1].started_ms = 1;
    (void)snprintf(lab->master.processes[1].role, STATS_ROLE_MAX, "a\nb\\\x80");
    lab->master.process_count = UINT64_MAX;
    memset(lab->pages[0].backends, 'x', sizeof(lab->pages[0].backends));
    has("pawl_process_up{process=\"a\\nb\\\\? 0\"} 0");
    has("pawl_process_up{process=\""
        "\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\" 0\"} 0");
    has("pawl_backend_connects_total{backend=\"app\"} 0");
}

static void numbers_have_no_needless_digits(void **state)
{
    static const struct {
        uint64_t value;
        enum stats_unit unit;
        const char *text;
    } cases[] = {{0, STATS_PLAIN, "0"},
                 {UINT64_MAX, STATS_PLAIN, "18446744073709551615"},
                 {1500, STATS_MILLISECONDS, "1.5"},
                 {1001, STATS_MILLISECONDS, "1.001"},
                 {60000, STATS_MILLISECONDS, "60"},
                 {1, STATS_MICROSECONDS, "0.000001"},
                 {UINT64_MAX, STATS_MICROSECONDS, "18446744073709.551615"}};
    char text[64];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        FILE *out = fmemopen(text, sizeof(text), "w");
        assert_non_null(out);
        stats_write_number(out, cases[i].value, cases[i].unit);
        assert_int_equal(fclose(out), 0);
        assert_string_equal(text, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_row_is_well_named, status_lab_begin),
        cmocka_unit_test_setup(every_row_is_written_with_help_and_type, status_lab_begin),
        cmocka_unit_test_setup(workers_are_summed_up, status_lab_begin),
        cmocka_unit_test_setup(histograms_are_cumulative_and_in_seconds,
                               status_lab_begin),
        cmocka_unit_test_setup(backends_are_found_by_name, status_lab_begin),
        cmocka_unit_test_setup(states_and_times_of_the_master, status_lab_begin),
        cmocka_unit_test_setup(no_name_breaks_the_text, status_lab_begin),
        cmocka_unit_test_setup(numbers_have_no_needless_digits, status_lab_begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
