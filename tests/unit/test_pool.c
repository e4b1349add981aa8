/* Choosing among targets, and what of them outlives a reload. */
#include "proxy/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy/log.h"
#include "tests/unit/net_pair.h"

enum { NOW_MS = 1000000, REST_MS = 10000 };

static struct config_backend backends[2];
static struct config config;
static struct stats_worker stats;
static struct pool_set set;
static struct pool **pools;
static struct pool *pool;
static struct pool_tried tried;

static struct address address_at(uint8_t last)
{
    const uint8_t ip[] = {127, 0, 0, last};
    return address_of_ip(AF_INET, ip, 3000);
}

static void have(struct config_backend *backend, unsigned first, unsigned count)
{
    backend->addresses.count = 0;
    for (unsigned i = 0; i < count; i++)
        backend->addresses.items[backend->addresses.count++] =
            address_at((uint8_t)(first + i));
}

static int begin(void **state)
{
    (void)state;
    memset(backends, 0, sizeof backends);
    backends[0].section.name[0] = 'a';
    backends[1].section.name[0] = 'b';
    for (int i = 0; i < 2; i++) {
        backends[i].rest_ms = REST_MS;
        backends[i].check.interval_ms = 10;
        backends[i].check.timeout_ms = 1000;
        backends[i].check.rise = backends[i].check.fall = 2;
        have(&backends[i], 1, 3);
    }
    config = (struct config){.backends = backends, .backend_count = 2};
    stats = (struct stats_worker){.accepted = 0};
    log_open("worker 0", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    pool_set_init(&set, event_base_new());
    set.stats = &stats;
    pools = pool_set_take(&set, &config);
    assert_non_null(pools);
    pool_set_follow(&set, &config);
    pool = pools[0];
    tried = (struct pool_tried){.set = 0};
    return 0;
}

static int end(void **state)
{
    (void)state;
    pool_set_give_back(pools, 2);
    assert_true(LIST_EMPTY(&set.pools));
    event_base_free(set.base);
    return 0;
}

/* The last byte of the address that a new session gets. */
static unsigned next(void)
{
    unsigned last = 0;
    tried.set = 0;
    const struct target *target = pool_pick(pool, &tried, NOW_MS);
    assert_non_null(target);
    assert_int_equal(sscanf(target->address.text, "127.0.0.%u:3000", &last), 1);
    return last;
}

static struct target *at(unsigned place)
{
    return pool->targets[place];
}

static void addresses_take_turns(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 7; i++)
        assert_int_equal(next(), i % 3 + 1);
}

static void a_session_tries_each_address_once(void **state)
{
    (void)state;
    const struct target *first = pool_pick(pool, &tried, NOW_MS);
    const struct target *second = pool_pick(pool, &tried, NOW_MS);
    const struct target *third = pool_pick(pool, &tried, NOW_MS);
    assert_ptr_equal(first, at(0));
    assert_ptr_equal(second, at(1));
    assert_ptr_equal(third, at(2));
    assert_null(pool_pick(pool, &tried, NOW_MS));
}

static void one_that_rests_is_tried_last(void **state)
{
    (void)state;
    target_begin(at(0));
    target_failed(at(0), NOW_MS, REST_MS);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(next(), i % 2 + 2);
    tried.set = 0;
    for (int i = 0; i < 2; i++)
        assert_ptr_not_equal(pool_pick(pool, &tried, NOW_MS), at(0));
    assert_ptr_equal(pool_pick(pool, &tried, NOW_MS), at(0));
}

static void when_all_rest_all_are_tried(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        target_begin(at(i));
        target_failed(at(i), NOW_MS, REST_MS);
    }
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(next(), i + 1);
}

static void the_fewest_sessions_win_if_that_is_the_balance(void **state)
{
    (void)state;
    backends[0].balance = BALANCE_LEAST_CONNECTIONS;
    pool_set_follow(&set, &config);
    target_begin(at(0));
    target_begin(at(0));
    target_begin(at(1));
    assert_int_equal(next(), 3);
    target_begin(at(2));
    target_give_up(at(0));
    target_give_up(at(0));
    assert_int_equal(next(), 1);
    /* Health comes before load. */
    (void)target_checked(at(0), false, 1, 1);
    assert_int_not_equal(next(), 1);
    target_give_up(at(1));
    target_give_up(at(2));
}

static void one_that_is_down_is_the_last_hope_of_check_connect(void **state)
{
    (void)state;
    backends[0].check.mode = CHECK_CONNECT;
    pool_set_follow(&set, &config);
    for (unsigned i = 0; i < 2; i++)
        (void)target_checked(at(i), false, 1, 1);
    assert_int_equal(next(), 3);
    assert_int_equal(next(), 3);
    (void)target_checked(at(2), false, 1, 1);
    assert_int_equal(next(), 1);
}

static void and_none_of_check_send(void **state)
{
    (void)state;
    backends[0].check.mode = CHECK_SEND;
    backends[0].check.expect.length = 1;
    pool_set_follow(&set, &config);
    for (unsigned i = 0; i < 3; i++)
        (void)target_checked(at(i), false, 1, 1);
    assert_null(pool_pick(pool, &tried, NOW_MS));
    (void)target_checked(at(1), true, 1, 1);
    assert_int_equal(next(), 2);
}

static void a_reload_keeps_what_is_known_of_addresses_that_stay(void **state)
{
    (void)state;
    const struct target *kept = at(1);
    target_begin(at(1));
    target_failed(at(1), NOW_MS, REST_MS);
    (void)target_checked(at(1), true, 1, 1);
    struct pool **again = pool_set_take(&set, &config);
    have(&backends[0], 2, 3);
    pool_set_follow(&set, &config);
    assert_ptr_equal(again[0], pool);
    assert_int_equal(pool->target_count, 3);
    assert_ptr_equal(at(0), kept);
    assert_int_equal(kept->failures, 1);
    assert_int_equal(kept->health, TARGET_UP);
    assert_int_equal(pool->stats->addresses, 3);
    pool_set_give_back(again, 2);
}

static void a_session_keeps_a_target_that_the_pool_has_dropped(void **state)
{
    (void)state;
    struct target *used = target_keep(at(0));
    target_begin(used);
    have(&backends[0], 2, 2);
    pool_set_follow(&set, &config);
    assert_null(used->pool);
    assert_string_equal(used->address.text, "127.0.0.1:3000");
    target_connected(used);
    target_leave(used);
    target_release(used);
}

static void a_round_begins_anew_when_the_addresses_change(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        (void)pool_pick(pool, &tried, NOW_MS);
    have(&backends[0], 3, 2);
    pool_set_follow(&set, &config);
    assert_non_null(pool_pick(pool, &tried, NOW_MS));
    assert_non_null(pool_pick(pool, &tried, NOW_MS));
    assert_null(pool_pick(pool, &tried, NOW_MS));
}

static void resolved_addresses_join_those_of_the_configuration(void **state)
{
    (void)state;
    const struct address more[] = {address_at(3), address_at(9)};
    backends[0].addresses.items[backends[0].addresses.count++] =
        (struct address){.text = "app:3000"};
    pool_set_follow(&set, &config);
    assert_int_equal(pool->target_count, 3);
    pool_set_resolved(&set, "a", more, 2);
    assert_int_equal(pool->target_count, 4);
    pool_set_resolved(&set, "a", more, 1);
    assert_int_equal(pool->target_count, 3);
    pool_set_resolved(&set, "nobody", more, 2);
}

static void a_whole_new_set_of_addresses_has_room(void **state)
{
    struct address many[POOL_TARGETS_MAX];
    (void)state;
    backends[0].addresses.count = 1;
    backends[0].addresses.items[0] = (struct address){.text = "app:3000"};
    pool_set_follow(&set, &config);
    for (int turn = 0; turn < 2; turn++) {
        for (int i = 0; i < POOL_TARGETS_MAX; i++)
            many[i] = address_at((uint8_t)(1 + turn * POOL_TARGETS_MAX + i));
        pool_set_resolved(&set, "a", many, POOL_TARGETS_MAX);
        assert_int_equal(pool->target_count, POOL_TARGETS_MAX);
        assert_true(address_equal(&at(POOL_TARGETS_MAX - 1)->address,
                                  &many[POOL_TARGETS_MAX - 1]));
    }
    /* Without a name in the configuration they are gone. */
    have(&backends[0], 1, 2);
    pool_set_follow(&set, &config);
    assert_int_equal(pool->target_count, 2);
}

static void a_backend_that_was_removed_serves_who_still_has_it(void **state)
{
    (void)state;
    backends[0].check.mode = CHECK_SEND;
    backends[0].check.expect.length = 1;
    pool_set_follow(&set, &config);
    (void)target_checked(at(0), false, 1, 1);
    struct config less = {.backends = &backends[1], .backend_count = 1};
    pool_set_follow(&set, &less);
    assert_int_equal(next(), 1);
    assert_null(at(0)->probe);
}

static void checks_run_and_are_counted(void **state)
{
    struct address address;
    (void)state;
    const int refusing = net_refuse(&address);
    backends[0].check.mode = CHECK_CONNECT;
    backends[0].addresses.items[0] = address;
    backends[0].addresses.count = 1;
    set.speaks = false;
    pool_set_follow(&set, &config);
    while (at(0)->health == TARGET_UNKNOWN)
        assert_int_equal(event_base_loop(set.base, EVLOOP_ONCE), 0);
    assert_int_equal(at(0)->health, TARGET_DOWN);
    assert_int_equal(pool->stats->down, 1);
    assert_int_equal(pool->stats->addresses_down, 1);
    assert_int_equal(listen(refusing, 8), 0);
    while (at(0)->health == TARGET_DOWN)
        assert_int_equal(event_base_loop(set.base, EVLOOP_ONCE), 0);
    assert_int_equal(pool->stats->down, 0);
    (void)close(refusing);
}

static void health_stays_over_a_reload_unless_the_check_is_another(void **state)
{
    (void)state;
    backends[0].check.mode = CHECK_CONNECT;
    backends[0].check.interval_ms = 60000;
    pool_set_follow(&set, &config);
    const struct probe *probe = at(0)->probe;
    (void)target_checked(at(0), false, 1, 1);
    pool_set_follow(&set, &config);
    assert_int_equal(at(0)->health, TARGET_DOWN);
    assert_ptr_equal(at(0)->probe, probe);
    backends[0].check.rise = 5;
    pool_set_follow(&set, &config);
    assert_int_equal(at(0)->health, TARGET_UNKNOWN);
    backends[0].check.mode = CHECK_OFF;
    pool_set_follow(&set, &config);
    assert_null(at(0)->probe);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(addresses_take_turns),
        TEST(a_session_tries_each_address_once),
        TEST(one_that_rests_is_tried_last),
        TEST(when_all_rest_all_are_tried),
        TEST(the_fewest_sessions_win_if_that_is_the_balance),
        TEST(one_that_is_down_is_the_last_hope_of_check_connect),
        TEST(and_none_of_check_send),
        TEST(a_reload_keeps_what_is_known_of_addresses_that_stay),
        TEST(a_session_keeps_a_target_that_the_pool_has_dropped),
        TEST(a_round_begins_anew_when_the_addresses_change),
        TEST(resolved_addresses_join_those_of_the_configuration),
        TEST(a_whole_new_set_of_addresses_has_room),
        TEST(a_backend_that_was_removed_serves_who_still_has_it),
        TEST(checks_run_and_are_counted),
        TEST(health_stays_over_a_reload_unless_the_check_is_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
