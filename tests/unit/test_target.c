/* What one address is worth: failures, rests, checks; the clock is the test's. */
#include "proxy/target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { LONGEST_MS = 5000 };

static struct target *target;
static uint64_t now_ms;

static int begin(void **state)
{
    const struct address address = {.text = "127.0.0.1:3000"};
    (void)state;
    target = target_new(&address);
    now_ms = 1000000;
    return target ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    assert_int_equal(target->sessions, 0);
    assert_int_equal(target->attempts, 0);
    assert_int_equal(target->references, 1);
    target_release(target);
    return 0;
}

static void fail_once(void)
{
    target_begin(target);
    target_failed(target, now_ms, LONGEST_MS);
}

static void a_new_one_is_fit(void **state)
{
    (void)state;
    assert_int_equal(target_rank(target, now_ms), TARGET_FIT);
}

static void rests_after_a_failure_longer_each_time_up_to_a_limit(void **state)
{
    static const uint64_t rests[] = {1000, 2000, 4000, LONGEST_MS, LONGEST_MS};
    (void)state;
    for (size_t i = 0; i < sizeof rests / sizeof rests[0]; i++) {
        fail_once();
        assert_int_equal(target_rank(target, now_ms), TARGET_RESTING);
        now_ms += rests[i] - 1;
        assert_int_equal(target_rank(target, now_ms), TARGET_RESTING);
        now_ms += 1;
        assert_int_equal(target_rank(target, now_ms), TARGET_FIT);
    }
}

static void failures_during_a_rest_do_not_make_it_longer(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++)
        fail_once();
    now_ms += 1000;
    assert_int_equal(target_rank(target, now_ms), TARGET_FIT);
}

static void after_a_rest_one_session_finds_out_for_all(void **state)
{
    (void)state;
    fail_once();
    now_ms += 1000;
    target_begin(target);
    assert_int_equal(target_rank(target, now_ms), TARGET_RESTING);
    target_connected(target);
    assert_int_equal(target_rank(target, now_ms), TARGET_FIT);
    target_leave(target);
}

static void a_connection_makes_good_for_all_failures(void **state)
{
    (void)state;
    fail_once();
    target_begin(target);
    target_connected(target);
    target_leave(target);
    assert_int_equal(target_rank(target, now_ms), TARGET_FIT);
    now_ms += 1000;
    fail_once();
    now_ms += 1000;
    assert_int_equal(target_rank(target, now_ms), TARGET_FIT);
}

static void without_a_rest_nothing_is_remembered(void **state)
{
    (void)state;
    target_begin(target);
    target_failed(target, now_ms, 0);
    assert_int_equal(target_rank(target, now_ms), TARGET_FIT);
}

static void giving_up_is_no_failure(void **state)
{
    (void)state;
    target_begin(target);
    target_give_up(target);
    assert_int_equal(target_rank(target, now_ms), TARGET_FIT);
}

static void the_first_good_check_makes_it_up(void **state)
{
    (void)state;
    assert_true(target_checked(target, true, 2, 3));
    assert_int_equal(target->health, TARGET_UP);
    assert_false(target_checked(target, true, 2, 3));
}

static void goes_down_after_as_many_bad_checks_in_a_row(void **state)
{
    (void)state;
    (void)target_checked(target, true, 2, 3);
    assert_false(target_checked(target, false, 2, 3));
    assert_false(target_checked(target, false, 2, 3));
    assert_false(target_checked(target, true, 2, 3));
    assert_false(target_checked(target, false, 2, 3));
    assert_false(target_checked(target, false, 2, 3));
    assert_true(target_checked(target, false, 2, 3));
    assert_int_equal(target->health, TARGET_DOWN);
    assert_int_equal(target_rank(target, now_ms), TARGET_LAST_HOPE);
    assert_false(target_checked(target, false, 2, 3));
}

static void comes_up_after_as_many_good_ones(void **state)
{
    (void)state;
    fail_once();
    assert_true(target_checked(target, false, 2, 1));
    assert_false(target_checked(target, true, 2, 1));
    assert_true(target_checked(target, true, 2, 1));
    assert_int_equal(target->health, TARGET_UP);
    assert_int_equal(target_rank(target, now_ms), TARGET_FIT);
}

static void is_as_new_when_nobody_checks_it_any_more(void **state)
{
    (void)state;
    assert_true(target_checked(target, false, 2, 1));
    target_forget_checks(target);
    assert_int_equal(target_rank(target, now_ms), TARGET_FIT);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_one_is_fit),
        TEST(rests_after_a_failure_longer_each_time_up_to_a_limit),
        TEST(failures_during_a_rest_do_not_make_it_longer),
        TEST(after_a_rest_one_session_finds_out_for_all),
        TEST(a_connection_makes_good_for_all_failures),
        TEST(without_a_rest_nothing_is_remembered),
        TEST(giving_up_is_no_failure),
        TEST(the_first_good_check_makes_it_up),
        TEST(goes_down_after_as_many_bad_checks_in_a_row),
        TEST(comes_up_after_as_many_good_ones),
        TEST(is_as_new_when_nobody_checks_it_any_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
