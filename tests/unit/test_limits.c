/* What one worker lets in, by a clock that the tests turn. */
#include "proxy/limits.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { DESCRIPTORS = 1000 };

static struct limits *limits;
static struct limits_counts counts;
static struct config_limits config;
static uint64_t now_ms;
static struct error error;
static uint32_t last; /* that was let in */

static int begin(void **state)
{
    (void)state;
    config = (struct config_limits){.connections_per_source = 3,
                                    .handshakes_per_source = 2,
                                    .failed_handshakes = 2,
                                    .penalty_ms = 30000,
                                    .source_prefix_v4 = 32,
                                    .source_prefix_v6 = 64};
    counts = (struct limits_counts){.penalties = 0};
    now_ms = 1000000;
    limits = limits_new(DESCRIPTORS, &error);
    if (!limits)
        return -1;
    limits_follow(limits, &config, 1, &counts);
    return 0;
}

static int end(void **state)
{
    (void)state;
    network_list_clear(&config.exempt);
    limits_free(limits);
    return 0;
}

static void follow(unsigned workers)
{
    limits_follow(limits, &config, workers, &counts);
}

static enum limits_answer enter_address(int family, const void *address)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct sockaddr_in in = {.sin_family = AF_INET};

    if (family == AF_INET6) {
        memcpy(&in6.sin6_addr, address, sizeof(in6.sin6_addr));
        return limits_enter(limits, (struct sockaddr *)&in6, now_ms, &last);
    }
    memcpy(&in.sin_addr, address, sizeof(in.sin_addr));
    return limits_enter(limits, (struct sockaddr *)&in, now_ms, &last);
}

static enum limits_answer enter(const char *text)
{
    struct in6_addr address;
    int family = strchr(text, ':') ? AF_INET6 : AF_INET;

    assert_int_equal(inet_pton(family, text, &address), 1);
    return enter_address(family, &address);
}

static enum limits_answer enter_numbered(uint32_t number)
{
    uint32_t address = htonl(0xc6000000 + number); /* 198.0.0.0 and on: not private */

    return enter_address(AF_INET, &address);
}

static void finish(void)
{
    assert_false(limits_end_handshake(limits, last, false, now_ms));
}

static bool fail_one(const char *text)
{
    assert_int_equal(enter(text), LIMITS_ADMITTED);
    bool penalized = limits_end_handshake(limits, last, true, now_ms);
    limits_leave(limits, last);
    return penalized;
}

static void penalize(const char *text)
{
    assert_false(fail_one(text));
    assert_false(fail_one(text));
    assert_true(fail_one(text));
}

static void assert_text(const char *expected)
{
    char text[LIMITS_SOURCE_TEXT_MAX];

    assert_string_equal(limits_source_text(limits, last, text), expected);
}

static void refuses_more_connections_than_a_source_may_have(void **state)
{
    uint32_t first;

    (void)state;
    assert_int_equal(enter("192.0.2.1"), LIMITS_ADMITTED);
    first = last;
    finish();
    for (int i = 0; i < 2; i++) {
        assert_int_equal(enter("192.0.2.1"), LIMITS_ADMITTED);
        finish();
    }
    assert_int_equal(enter("192.0.2.1"), LIMITS_CONNECTIONS);
    assert_text("192.0.2.1");
    assert_int_equal(enter("192.0.2.2"), LIMITS_ADMITTED);
    limits_leave(limits, first);
    assert_int_equal(enter("192.0.2.1"), LIMITS_ADMITTED);
    assert_int_equal(counts.refused[LIMITS_CONNECTIONS - 1], 1);
}

static void refuses_more_handshakes_than_a_source_may_have_in_progress(void **state)
{
    (void)state;
    assert_int_equal(enter("192.0.2.1"), LIMITS_ADMITTED);
    assert_int_equal(enter("192.0.2.1"), LIMITS_ADMITTED);
    assert_int_equal(enter("192.0.2.1"), LIMITS_HANDSHAKES);
    assert_int_equal(counts.refused[LIMITS_HANDSHAKES - 1], 1);
    finish();
    assert_int_equal(enter("192.0.2.1"), LIMITS_ADMITTED);
}

static void a_penalty_begins_with_one_failure_too_many_and_ends(void **state)
{
    (void)state;
    penalize("192.0.2.1");
    assert_int_equal(enter("192.0.2.1"), LIMITS_PENALTY);
    assert_int_equal(enter("192.0.2.2"), LIMITS_ADMITTED);
    now_ms += 29900;
    assert_int_equal(enter("192.0.2.1"), LIMITS_PENALTY);
    now_ms += 100;
    assert_false(fail_one("192.0.2.1"));
    assert_int_equal(counts.penalties, 1);
    assert_int_equal(counts.refused[LIMITS_PENALTY - 1], 2);
}

static void failures_long_apart_bring_no_penalty(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        assert_false(fail_one("192.0.2.1"));
        now_ms += LIMITS_FAILED_MS / 2;
    }
    assert_int_equal(counts.penalties, 0);
}

static void a_penalty_leaves_open_connections_alone(void **state)
{
    uint32_t open;

    (void)state;
    assert_int_equal(enter("192.0.2.1"), LIMITS_ADMITTED);
    open = last;
    finish();
    penalize("192.0.2.1");
    assert_int_equal(enter("192.0.2.1"), LIMITS_PENALTY);
    limits_leave(limits, open);
    assert_int_equal(enter("192.0.2.1"), LIMITS_PENALTY);
    now_ms += config.penalty_ms;
    assert_int_equal(enter("192.0.2.1"), LIMITS_ADMITTED);
}

static void nothing_is_remembered_of_a_source_that_left_well(void **state)
{
    (void)state;
    assert_int_equal(enter("192.0.2.1"), LIMITS_ADMITTED);
    assert_int_equal(counts.sources, 1);
    finish();
    limits_leave(limits, last);
    assert_int_equal(counts.sources, 0);
}

static void an_ipv6_source_is_a_network(void **state)
{
    (void)state;
    assert_int_equal(enter("2001:db8:1:2::1"), LIMITS_ADMITTED);
    assert_int_equal(enter("2001:db8:1:2:ffff::1"), LIMITS_ADMITTED);
    assert_int_equal(enter("2001:db8:1:2::3"), LIMITS_HANDSHAKES);
    assert_text("2001:db8:1:2::/64");
    assert_int_equal(enter("2001:db8:1:3::1"), LIMITS_ADMITTED);
}

static void prefixes_follow_the_configuration(void **state)
{
    (void)state;
    config.source_prefix_v4 = 20;
    config.source_prefix_v6 = 128;
    config.handshakes_per_source = 1;
    follow(1);
    assert_int_equal(enter("192.0.16.1"), LIMITS_ADMITTED);
    assert_int_equal(enter("192.0.31.255"), LIMITS_HANDSHAKES);
    assert_text("192.0.16.0/20");
    assert_int_equal(enter("192.0.32.1"), LIMITS_ADMITTED);
    assert_int_equal(enter("2001:db8::1"), LIMITS_ADMITTED);
    assert_int_equal(enter("2001:db8::2"), LIMITS_ADMITTED);
    assert_int_equal(enter("2001:db8::2"), LIMITS_HANDSHAKES);
    assert_text("2001:db8::2");
}

static void a_mapped_address_is_the_ipv4_one(void **state)
{
    (void)state;
    assert_int_equal(enter("192.0.2.1"), LIMITS_ADMITTED);
    assert_int_equal(enter("::ffff:192.0.2.1"), LIMITS_ADMITTED);
    assert_int_equal(enter("::ffff:192.0.2.1"), LIMITS_HANDSHAKES);
    assert_text("192.0.2.1");
    assert_int_equal(enter("::ffff:192.0.2.2"), LIMITS_ADMITTED);
}

static void assert_exempt(const char *text, bool exempt)
{
    assert_int_equal(enter(text), LIMITS_ADMITTED);
    if ((last == 0) != exempt)
        fail_msg("%s is%s limited", text, exempt ? "" : " not");
}

static void private_addresses_are_exempt_if_so_configured(void **state)
{
    static const char *const private[] = {
        "127.0.0.1",   "127.255.0.1", "10.1.2.3",   "172.16.0.1",     "172.31.255.255",
        "192.168.0.1", "169.254.1.1", "100.64.0.1", "100.127.0.1",    "::1",
        "fe80::1",     "fd00::1",     "fc00::1",    "::ffff:10.0.0.1"};
    static const char *const public[] = {"126.0.0.1",  "11.0.0.1",    "172.15.0.1",
                                         "172.32.0.1", "192.169.0.1", "8.8.8.8",
                                         "100.63.0.1", "100.128.0.1", "::2",
                                         "fec0::1",    "fe00::1",     "2001:db8::"};

    (void)state;
    config.exempt_private = true;
    for (size_t i = 0; i < sizeof(private) / sizeof(private[0]); i++)
        assert_exempt(private[i], true);
    for (size_t i = 0; i < sizeof(public) / sizeof(public[0]); i++)
        assert_exempt(public[i], false);
    config.exempt_private = false;
    for (size_t i = 0; i < sizeof(private) / sizeof(private[0]); i++)
        assert_exempt(private[i], false);
}

static void exempt_networks_have_no_limit_even_when_counted_before(void **state)
{
    (void)state;
    penalize("192.0.2.1");
    assert_true(network_list_append(&config.exempt, "192.0.2.0/24", &error));
    for (int i = 0; i < 10; i++)
        assert_exempt("192.0.2.1", true);
    assert_exempt("192.0.3.1", false);
    assert_false(limits_end_handshake(limits, 0, true, now_ms));
    limits_leave(limits, 0);
}

static void new_limits_hold_for_what_is_open(void **state)
{
    uint32_t first;

    (void)state;
    assert_int_equal(enter("192.0.2.1"), LIMITS_ADMITTED);
    first = last;
    finish();
    config.connections_per_source = 1;
    follow(1);
    assert_int_equal(enter("192.0.2.1"), LIMITS_CONNECTIONS);
    limits_leave(limits, first);
    assert_int_equal(enter("192.0.2.1"), LIMITS_ADMITTED);
}

static void zero_is_no_limit(void **state)
{
    (void)state;
    config.connections_per_source = UINT64_MAX;
    config.handshakes_per_source = config.failed_handshakes = 0;
    follow(1);
    for (int i = 0; i < 70000; i++)
        assert_int_equal(enter("192.0.2.1"), LIMITS_ADMITTED);
    assert_true(counts.unknown > 0); /* more handshakes at once than are counted */
    for (int i = 0; i < 70000; i++)
        assert_false(fail_one("192.0.2.2"));
}

static void one_source_gets_at_most_half_by_default(void **state)
{
    (void)state;
    config.connections_per_source = 0;
    config.handshakes_per_source = 0;
    follow(1);
    for (int i = 0; i < DESCRIPTORS / 2; i++)
        assert_int_equal(enter("192.0.2.1"), LIMITS_ADMITTED);
    assert_int_equal(enter("192.0.2.1"), LIMITS_CONNECTIONS);
    config.connections = 3;
    follow(1);
    assert_int_equal(enter("192.0.2.2"), LIMITS_ADMITTED);
    assert_int_equal(enter("192.0.2.2"), LIMITS_ADMITTED);
    assert_int_equal(enter("192.0.2.2"), LIMITS_CONNECTIONS);
}

static void accepting_waits_while_all_connections_are_in_use(void **state)
{
    (void)state;
    assert_int_equal(limits_may_accept(limits, DESCRIPTORS - 1, now_ms), LIMITS_GO);
    assert_int_equal(limits_may_accept(limits, DESCRIPTORS, now_ms),
                     LIMITS_WAIT_DESCRIPTORS);
    config.connections = 64;
    follow(1);
    assert_int_equal(limits_may_accept(limits, 63, now_ms), LIMITS_GO);
    assert_int_equal(limits_may_accept(limits, 64, now_ms), LIMITS_WAIT_CONNECTIONS);
    assert_int_equal(counts.wait_connections, 1);
    assert_false(limits_has_room(limits, 60));
    assert_true(limits_has_room(limits, 59));
    config.connections = 1;
    follow(1);
    assert_true(limits_has_room(limits, 0));
    config.connections = 100 * DESCRIPTORS;
    follow(1);
    assert_int_equal(limits_may_accept(limits, DESCRIPTORS, now_ms),
                     LIMITS_WAIT_DESCRIPTORS);
}

static unsigned accept_all(void)
{
    unsigned accepted = 0;

    while (limits_may_accept(limits, 0, now_ms) == LIMITS_GO) {
        limits_on_accepted(limits);
        accepted++;
        assert_true(accepted < 100000);
    }
    return accepted;
}

static void accepting_keeps_to_the_rate(void **state)
{
    (void)state;
    config.accept_rate = 50;
    follow(1);
    assert_int_equal(accept_all(), 50);
    now_ms += 100;
    assert_int_equal(accept_all(), 5);
    now_ms += 10;
    assert_int_equal(accept_all(), 0);
    now_ms += 10;
    assert_int_equal(accept_all(), 1);
    now_ms += 3600000;
    assert_int_equal(accept_all(), 50);
    assert_int_equal(counts.wait_rate, 5);
}

static void a_share_has_room_for_chance_and_is_never_more_than_the_whole(void **state)
{
    (void)state;
    assert_int_equal(limits_share(10, 1), 10);
    assert_int_equal(limits_share(1, 8), 1);
    assert_int_equal(limits_share(4, 8), 4);
    assert_int_equal(limits_share(1000, 2), 500 + 68);
    assert_int_equal(limits_share(1001, 2), 501 + 68);
    assert_int_equal(limits_share(10000, 100), 100 + 30);
    assert_int_equal(limits_share(10000000, 256), 39063 + 593);
    assert_true(limits_share(UINT64_MAX, 256) == UINT64_MAX);
}

static void a_full_table_lets_in_who_has_no_place(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < LIMITS_SOURCES; i++) {
        assert_int_equal(enter_numbered(i), LIMITS_ADMITTED);
        assert_int_not_equal(last, 0);
    }
    assert_int_equal(counts.sources, LIMITS_SOURCES);
    assert_int_equal(enter_numbered(LIMITS_SOURCES), LIMITS_ADMITTED);
    assert_int_equal(last, 0);
    assert_int_equal(counts.unknown, 1);
    /* Those who have one are still counted. */
    assert_int_equal(enter_numbered(5), LIMITS_ADMITTED);
    finish();
    limits_leave(limits, last);
    assert_int_equal(enter_numbered(5), LIMITS_ADMITTED);
    assert_int_equal(enter_numbered(5), LIMITS_HANDSHAKES);
}

static void a_full_table_forgets_the_longest_idle_first(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < LIMITS_SOURCES; i++) {
        assert_int_equal(enter_numbered(i), LIMITS_ADMITTED);
        assert_false(limits_end_handshake(limits, last, i % 4 == 0, now_ms));
        if (i % 4 == 0)
            limits_leave(limits, last);
        now_ms += i % 16 == 0 ? 100 : 0;
        if (now_ms > 1009000)
            now_ms = 1009000; /* none of them is forgotten for its age */
    }
    assert_int_equal(counts.sources, LIMITS_SOURCES);
    assert_int_equal(enter_numbered(LIMITS_SOURCES), LIMITS_ADMITTED);
    assert_int_not_equal(last, 0);
    assert_int_equal(counts.sources, LIMITS_SOURCES);
    assert_int_equal(counts.unknown, 0);
}

static void what_is_past_is_forgotten_bit_by_bit(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 1000; i++) {
        assert_int_equal(enter_numbered(i), LIMITS_ADMITTED);
        assert_false(limits_end_handshake(limits, last, true, now_ms));
        limits_leave(limits, last);
    }
    assert_int_equal(counts.sources, 1000);
    now_ms += LIMITS_FAILED_MS;
    for (uint32_t i = 0; i < 600; i++) {
        assert_int_equal(enter_numbered(100000), LIMITS_ADMITTED);
        finish();
        limits_leave(limits, last);
    }
    assert_int_equal(counts.sources, 0);
}

static unsigned longest_chain(const struct limits *table)
{
    unsigned longest = 0;

    for (uint32_t i = 0; i < LIMITS_SOURCES; i++) {
        unsigned length = 0;
        for (uint32_t at = table->chains[i]; at; at = table->sources[at].next)
            length++;
        longest = length > longest ? length : longest;
    }
    return longest;
}

/* With as many sources as chains a random hash leaves none longer than a dozen, whatever
 * addresses they have. */
static void addresses_alike_do_not_collide(void **state)
{
    static const uint32_t steps[] = {1, 256, 65536 / 64};

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        for (uint32_t j = 0; j < LIMITS_SOURCES; j++)
            assert_int_equal(enter_numbered(j * steps[i]), LIMITS_ADMITTED);
        assert_true(longest_chain(limits) <= 16);
        (void)end(state);
        assert_int_equal(begin(state), 0);
    }
}

static void each_table_has_its_own_hash(void **state)
{
    struct limits *other = limits_new(DESCRIPTORS, &error);

    (void)state;
    assert_non_null(other);
    assert_memory_not_equal(limits->hash_key, other->hash_key, sizeof(other->hash_key));
    limits_free(other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(refuses_more_connections_than_a_source_may_have),
        TEST(refuses_more_handshakes_than_a_source_may_have_in_progress),
        TEST(a_penalty_begins_with_one_failure_too_many_and_ends),
        TEST(failures_long_apart_bring_no_penalty),
        TEST(a_penalty_leaves_open_connections_alone),
        TEST(nothing_is_remembered_of_a_source_that_left_well),
        TEST(an_ipv6_source_is_a_network),
        TEST(prefixes_follow_the_configuration),
        TEST(a_mapped_address_is_the_ipv4_one),
        TEST(private_addresses_are_exempt_if_so_configured),
        TEST(exempt_networks_have_no_limit_even_when_counted_before),
        TEST(new_limits_hold_for_what_is_open),
        TEST(zero_is_no_limit),
        TEST(one_source_gets_at_most_half_by_default),
        TEST(accepting_waits_while_all_connections_are_in_use),
        TEST(accepting_keeps_to_the_rate),
        TEST(a_share_has_room_for_chance_and_is_never_more_than_the_whole),
        TEST(a_full_table_lets_in_who_has_no_place),
        TEST(a_full_table_forgets_the_longest_idle_first),
        TEST(what_is_past_is_forgotten_bit_by_bit),
        TEST(addresses_alike_do_not_collide),
        TEST(each_table_has_its_own_hash),
    };

    return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
