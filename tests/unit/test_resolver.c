/* When names are asked about and what becomes of the answers; whoever is asked is the
 * test. */
#include "proxy/resolver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/log.h"

static struct event_base *base;
static struct resolver *resolver;
static struct config_backend backends[2];
static struct config config;
static struct report report;
static uint32_t last_id;
static char last_host[256];
static int asked, changed, settled;
static bool can_ask;

static bool on_ask(void *argument, uint32_t id, const char *host)
{
    (void)argument;
    if (!can_ask)
        return false;
    asked++;
    last_id = id;
    (void)snprintf(last_host, sizeof last_host, "%s", host);
    return true;
}

static void on_change(void *argument)
{
    (void)argument;
    changed++;
}

static void on_settled(void *argument)
{
    (void)argument;
    settled++;
}

static void on_hang(void *argument)
{
    (void)argument;
}

static const struct resolver_events events = {
    .ask = on_ask, .on_change = on_change, .on_settled = on_settled, .on_hang = on_hang};

static int begin(void **state)
{
    struct error error;
    (void)state;
    memset(backends, 0, sizeof backends);
    for (int i = 0; i < 2; i++) {
        backends[i].section.name[0] = (char)('a' + i);
        backends[i].address_line = 7;
        backends[i].resolve_interval_ms = 5;
        backends[i].addresses.count = 1;
        backends[i].addresses.items[0] = (struct address){.text = "app.internal:3000"};
    }
    static char file[] = "proxy.ini";
    config = (struct config){.file = file, .backends = backends, .backend_count = 1};
    report = (struct report){0};
    asked = changed = settled = 0;
    can_ask = true;
    log_open("master", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    base = event_base_new();
    resolver = resolver_new(base, &events, NULL, &error);
    return resolver ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    resolver_free(resolver);
    event_base_free(base);
    report_close(&report);
    return 0;
}

static void answer(uint8_t first, uint8_t last)
{
    const struct resolved found = {.count = 1,
                                   .items = {{.family = 4, .ip = {first, 0, 0, last}}}};
    resolver_answer(resolver, last_id, &found, NULL);
}

static void run_until_asked(int count)
{
    while (asked < count)
        assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
}

static struct resolved collected(const struct config_backend *backend)
{
    struct resolved all;
    assert_true(resolver_collect(resolver, backend, &all));
    return all;
}

/* The configuration is in service with one answer. */
static void serve(uint8_t last)
{
    resolver_prepare(resolver, &config, &report);
    answer(127, last);
    resolver_settle(resolver, &config);
}

static void only_names_need_it(void **state)
{
    (void)state;
    assert_true(resolver_is_needed(&config));
    backends[0].addresses.items[0].storage.ss_family = AF_INET;
    assert_false(resolver_is_needed(&config));
}

static void the_first_answer_is_waited_for(void **state)
{
    (void)state;
    resolver_prepare(resolver, &config, &report);
    assert_int_equal(asked, 1);
    assert_string_equal(last_host, "app.internal");
    assert_true(resolver_is_waiting(resolver));
    answer(127, 5);
    assert_int_equal(settled, 1);
    assert_false(resolver_is_waiting(resolver));
    resolver_judge(resolver, &config, &report);
    assert_int_equal(report.errors, 0);
    const struct resolved all = collected(&backends[0]);
    assert_string_equal(all.name, "a");
    assert_int_equal(all.count, 1);
    assert_int_equal(all.items[0].port, 3000);
    assert_int_equal(all.items[0].ip[3], 5);
}

static void a_name_that_does_not_resolve_is_an_error_with_its_place(void **state)
{
    (void)state;
    resolver_prepare(resolver, &config, &report);
    resolver_answer(resolver, last_id, NULL, "Name or service not known");
    resolver_judge(resolver, &config, &report);
    assert_int_equal(report.errors, 1);
    assert_non_null(
        strstr(report.entries[0].text,
               "proxy.ini:7: backend \"a\": cannot resolve app.internal:3000: "
               "Name or service not known"));
}

static void unless_it_may_come_later(void **state)
{
    (void)state;
    backends[0].resolve = RESOLVE_EVENTUALLY;
    resolver_prepare(resolver, &config, &report);
    resolver_answer(resolver, last_id, NULL, "Name or service not known");
    resolver_judge(resolver, &config, &report);
    assert_int_equal(report.errors, 0);
    assert_int_equal(collected(&backends[0]).count, 0);
    resolver_settle(resolver, &config);
    run_until_asked(2);
    answer(127, 1);
    assert_int_equal(collected(&backends[0]).count, 1);
}

static void another_machine_is_an_error_unless_that_is_allowed(void **state)
{
    (void)state;
    config.backend_count = 2;
    backends[1].allow_remote_plaintext = true;
    resolver_prepare(resolver, &config, &report);
    assert_int_equal(asked, 2);
    const uint32_t ids[] = {1, 2};
    for (int i = 0; i < 2; i++) {
        last_id = ids[i];
        answer(10, 1);
    }
    resolver_judge(resolver, &config, &report);
    assert_int_equal(report.errors, 1);
    assert_non_null(strstr(report.entries[0].text, "is 10.0.0.1, another machine"));
    assert_int_equal(collected(&backends[0]).count, 0);
    assert_int_equal(collected(&backends[1]).count, 1);
}

static void is_asked_again_and_again_and_tells_of_changes_only(void **state)
{
    (void)state;
    serve(1);
    assert_int_equal(changed, 1);
    run_until_asked(2);
    answer(127, 1);
    assert_int_equal(changed, 1);
    run_until_asked(3);
    answer(127, 2);
    assert_int_equal(changed, 2);
    assert_int_equal(collected(&backends[0]).items[0].ip[3], 2);
}

static void a_failure_keeps_the_old_addresses(void **state)
{
    (void)state;
    log_open("master", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    serve(1);
    run_until_asked(2);
    resolver_answer(resolver, last_id, NULL, "Temporary failure in name resolution");
    assert_int_equal(collected(&backends[0]).items[0].ip[3], 1);
    run_until_asked(3);
    const struct resolved nothing = {.count = 0};
    resolver_answer(resolver, last_id, &nothing, NULL);
    assert_int_equal(collected(&backends[0]).count, 1);
    assert_int_equal(changed, 1);
}

static void another_machine_keeps_them_as_well(void **state)
{
    (void)state;
    serve(1);
    run_until_asked(2);
    answer(10, 1);
    assert_int_equal(collected(&backends[0]).items[0].ip[0], 127);
    assert_int_equal(changed, 1);
}

static void answers_that_nobody_asked_for_change_nothing(void **state)
{
    (void)state;
    serve(1);
    answer(127, 9); /* a second time */
    last_id += 100;
    answer(127, 9);
    assert_int_equal(collected(&backends[0]).items[0].ip[3], 1);
}

static void a_reload_waits_only_for_what_is_new(void **state)
{
    (void)state;
    serve(1);
    config.backend_count = 2;
    resolver_prepare(resolver, &config, &report);
    assert_false(resolver_is_waiting(resolver));
    backends[1].addresses.items[0] = (struct address){.text = "other:1"};
    resolver_prepare(resolver, &config, &report);
    assert_true(resolver_is_waiting(resolver));
    assert_string_equal(last_host, "other");
    /* It is refused for another reason. */
    config.backend_count = 1;
    resolver_settle(resolver, &config);
    assert_false(resolver_is_waiting(resolver));
    answer(127, 1); /* forgotten */
    assert_int_equal(collected(&backends[0]).count, 1);
}

static void asks_again_when_the_process_was_replaced(void **state)
{
    (void)state;
    resolver_prepare(resolver, &config, &report);
    resolver_ask_again(resolver);
    assert_int_equal(asked, 2);
    answer(127, 1);
    assert_int_equal(settled, 1);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_names_need_it),
        TEST(the_first_answer_is_waited_for),
        TEST(a_name_that_does_not_resolve_is_an_error_with_its_place),
        TEST(unless_it_may_come_later),
        TEST(another_machine_is_an_error_unless_that_is_allowed),
        TEST(is_asked_again_and_again_and_tells_of_changes_only),
        TEST(a_failure_keeps_the_old_addresses),
        TEST(another_machine_keeps_them_as_well),
        TEST(answers_that_nobody_asked_for_change_nothing),
        TEST(a_reload_waits_only_for_what_is_new),
        TEST(asks_again_when_the_process_was_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
