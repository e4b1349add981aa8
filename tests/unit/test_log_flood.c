#include "proxy/log_flood.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct log_flood flood;
static struct log_kind summary;

static int start(void **state)
{
    (void)state;
    memset(&flood, 0, sizeof(flood));
    flood.limit = 3;
    return 0;
}

/* How many of `count` equal lines at `now_ms` are let through. */
static unsigned admitted(unsigned count, const char *message, const char *reason,
                         uint64_t now_ms)
{
    unsigned passed = 0;

    for (unsigned i = 0; i < count; i++)
        passed += log_flood_admit(&flood, 2, message, reason, now_ms);
    return passed;
}

static void so_many_of_a_kind_pass_in_a_window(void **state)
{
    (void)state;
    assert_int_equal(admitted(10, "failed", "version", 5000), 3);
    assert_int_equal(admitted(10, "failed", "version", 5999), 0);
    assert_int_equal(flood.held, 1);
    assert_false(log_flood_take(&flood, false, 5999, &summary));
    assert_true(log_flood_take(&flood, false, 6000, &summary));
    assert_int_equal(summary.suppressed, 17);
    assert_int_equal(summary.level, 2);
    assert_int_equal(summary.since_ms, 5000);
    assert_string_equal(summary.message, "failed");
    assert_string_equal(summary.reason, "version");
    assert_int_equal(flood.held, 0);
    assert_int_equal(admitted(10, "failed", "version", 6000), 3);
}

static void a_slow_trickle_is_never_held_back(void **state)
{
    (void)state;
    for (uint64_t now = 0; now < 60000; now += 400)
        assert_int_equal(admitted(1, "failed", "version", now), 1);
    assert_int_equal(flood.held, 0);
}

static void kinds_differ_by_message_reason_and_level(void **state)
{
    (void)state;
    assert_int_equal(admitted(9, "failed", "a", 1), 3);
    assert_int_equal(admitted(9, "failed", "b", 1), 3);
    assert_int_equal(admitted(9, "faileda", "", 1), 3);
    assert_int_equal(admitted(9, "other", "a", 1), 3);
    assert_true(log_flood_admit(&flood, 1, "failed", "a", 1));
    assert_int_equal(flood.held, 4);
    uint64_t told = 0;
    while (log_flood_take(&flood, true, 1, &summary))
        told += summary.suppressed;
    assert_int_equal(told, 4 * 6);
}

static void without_a_limit_all_pass(void **state)
{
    (void)state;
    flood.limit = 0;
    assert_int_equal(admitted(1000, "failed", "a", 1), 1000);
    assert_int_equal(flood.held, 0);
}

/* Every line is either let through or told, however many kinds there are. */
static void no_line_is_forgotten_when_kinds_outnumber_places(void **state)
{
    (void)state;
    uint64_t passed = 0, told = 0;

    for (uint64_t now = 0; now < 5000; now += 100) {
        while (log_flood_take(&flood, false, now, &summary))
            told += summary.suppressed;
        for (int kind = 0; kind < 2 * LOG_FLOOD_KINDS; kind++) {
            char reason[16];
            (void)snprintf(reason, sizeof(reason), "%d", kind);
            passed += admitted(5, "failed", reason, now);
        }
    }
    while (log_flood_take(&flood, true, 5000, &summary))
        told += summary.suppressed;
    assert_int_equal(passed + told, 50 * 2 * LOG_FLOOD_KINDS * 5);
    assert_true(told > 0);
}

static void a_kind_that_has_become_quiet_gives_its_place_away(void **state)
{
    (void)state;
    char reason[16];

    for (int kind = 0; kind < LOG_FLOOD_KINDS; kind++) {
        (void)snprintf(reason, sizeof(reason), "%d", kind);
        assert_int_equal(admitted(1, "failed", reason, 0), 1);
    }
    assert_int_equal(admitted(9, "late", "", 500), 9); /* nowhere to count */
    assert_int_equal(admitted(9, "late", "", 1000), 3);
}

static void long_texts_are_cut_in_the_summary(void **state)
{
    (void)state;
    char text[4 * LOG_FLOOD_MESSAGE_MAX];

    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(admitted(9, text, text, 1), 3);
    assert_true(log_flood_take(&flood, true, 1, &summary));
    assert_int_equal(strlen(summary.message), LOG_FLOOD_MESSAGE_MAX - 1);
    assert_int_equal(strlen(summary.reason), LOG_FLOOD_REASON_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(so_many_of_a_kind_pass_in_a_window, start),
        cmocka_unit_test_setup(a_slow_trickle_is_never_held_back, start),
        cmocka_unit_test_setup(kinds_differ_by_message_reason_and_level, start),
        cmocka_unit_test_setup(without_a_limit_all_pass, start),
        cmocka_unit_test_setup(no_line_is_forgotten_when_kinds_outnumber_places, start),
        cmocka_unit_test_setup(a_kind_that_has_become_quiet_gives_its_place_away, start),
        cmocka_unit_test_setup(long_texts_are_cut_in_the_summary, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
