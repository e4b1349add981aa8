/* Checks of one address, with real sockets. */
#include "proxy/probe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/net_pair.h"

static struct event_base *base;
static struct probe_plan plan;
static struct address address;
static struct probe *probe;
static int listening;
static int results;
static bool last_good;
static char last_cause[256];

static void on_result(void *argument, bool good, const char *cause)
{
    (void)argument;
    results++;
    last_good = good;
    (void)snprintf(last_cause, sizeof last_cause, "%s", cause ? cause : "");
}

static int begin(void **state)
{
    (void)state;
    base = event_base_new();
    listening = net_listen(&address);
    results = 0;
    probe = NULL;
    return base ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    probe_free(probe);
    if (listening >= 0)
        (void)close(listening);
    event_base_free(base);
    return 0;
}

static void start(enum check_mode mode, enum send_proxy send_proxy)
{
    struct config_check check = {
        .mode = mode, .interval_ms = 5, .timeout_ms = 200, .rise = 1, .fall = 1};
    (void)snprintf((char *)check.send.data, sizeof check.send.data, "PING\r\n");
    check.send.length = 6;
    (void)snprintf((char *)check.expect.data, sizeof check.expect.data, "+PONG");
    check.expect.length = 5;
    probe_plan_make(&plan, &check, send_proxy);
    const struct probe_context context = {
        .base = base, .address = &address, .plan = &plan, .on_result = on_result};
    probe = probe_new(&context);
    assert_non_null(probe);
}

/* Runs until there are `count` results. */
static void run_to(int count)
{
    while (results < count)
        assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
}

/* Takes the connection of the check, once there is one, without blocking the loop. */
static int take_connection(void)
{
    while (!net_is_ready(listening, POLLIN))
        assert_true(event_base_loop(base, EVLOOP_ONCE) >= 0);
    return accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static void hear(int fd, const char *words, size_t length)
{
    char heard[64];
    size_t count = 0;
    while (count < length) {
        assert_true(event_base_loop(base, EVLOOP_NONBLOCK) >= 0);
        if (!net_is_ready(fd, POLLIN))
            continue;
        const int got = net_take(fd, heard + count, sizeof heard - count);
        assert_true(got > 0);
        count += (size_t)got;
    }
    assert_int_equal(count, length);
    assert_memory_equal(heard, words, length);
}

static void connecting_is_enough_for_check_connect(void **state)
{
    (void)state;
    start(CHECK_CONNECT, SEND_PROXY_OFF);
    run_to(2);
    assert_true(last_good);
}

static void a_refused_connection_is_bad(void **state)
{
    (void)state;
    (void)close(listening);
    listening = net_refuse(&address);
    start(CHECK_CONNECT, SEND_PROXY_OFF);
    run_to(1);
    assert_false(last_good);
    assert_non_null(strstr(last_cause, "Connection refused"));
}

static void says_and_hears_what_it_should(void **state)
{
    (void)state;
    start(CHECK_SEND, SEND_PROXY_OFF);
    const int fd = take_connection();
    hear(fd, "PING\r\n", 6);
    net_send(fd, "+PO", 3);
    assert_int_equal(results, 0);
    net_send(fd, "NG and more", 11);
    run_to(1);
    assert_true(last_good);
    (void)close(fd);
}

static void another_answer_is_bad(void **state)
{
    (void)state;
    start(CHECK_SEND, SEND_PROXY_OFF);
    const int fd = take_connection();
    net_send(fd, "-LOADING", 8);
    run_to(1);
    assert_false(last_good);
    assert_string_equal(last_cause, "its answer does not begin with check_expect");
    (void)close(fd);
}

static void half_an_answer_is_bad(void **state)
{
    (void)state;
    start(CHECK_SEND, SEND_PROXY_OFF);
    const int fd = take_connection();
    hear(fd, "PING\r\n", 6);
    net_send(fd, "+PO", 3);
    (void)close(fd);
    run_to(1);
    assert_false(last_good);
    assert_string_equal(last_cause, "it hung up before its answer was whole");
}

static void no_answer_is_bad_after_a_while(void **state)
{
    (void)state;
    start(CHECK_SEND, SEND_PROXY_OFF);
    run_to(1);
    assert_false(last_good);
    assert_string_equal(last_cause, "no answer within check_timeout");
}

static void no_connection_is_bad_after_a_while(void **state)
{
    (void)state;
    assert_int_equal(listen(listening, 0), 0);
    const int filler = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(
        connect(filler, (const struct sockaddr *)&address.storage, address.length), 0);
    start(CHECK_CONNECT, SEND_PROXY_OFF);
    run_to(1);
    assert_false(last_good);
    assert_string_equal(last_cause, "no connection within check_timeout");
    (void)close(filler);
}

static void introduces_itself_in_version_1(void **state)
{
    (void)state;
    start(CHECK_SEND, SEND_PROXY_V1);
    const int fd = take_connection();
    hear(fd, "PROXY UNKNOWN\r\nPING\r\n", 21);
    (void)close(fd);
}

static void introduces_itself_in_version_2(void **state)
{
    (void)state;
    start(CHECK_CONNECT, SEND_PROXY_V2_TLS);
    const int fd = take_connection();
    hear(fd, "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", 16);
    run_to(1);
    assert_true(last_good);
    (void)close(fd);
}

static void one_check_is_under_way_at_a_time_and_leaves_no_socket(void **state)
{
    (void)state;
    start(CHECK_CONNECT, SEND_PROXY_OFF);
    run_to(1);
    const size_t before = net_open_fds();
    run_to(4);
    assert_int_equal(net_open_fds(), before);
}

static void may_be_freed_in_the_middle(void **state)
{
    (void)state;
    const size_t before = net_open_fds();
    start(CHECK_SEND, SEND_PROXY_OFF);
    const int fd = take_connection();
    probe_free(probe);
    probe = NULL;
    (void)close(fd);
    assert_int_equal(net_open_fds(), before);
    assert_int_equal(results, 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(connecting_is_enough_for_check_connect),
        TEST(a_refused_connection_is_bad),
        TEST(says_and_hears_what_it_should),
        TEST(another_answer_is_bad),
        TEST(half_an_answer_is_bad),
        TEST(no_answer_is_bad_after_a_while),
        TEST(no_connection_is_bad_after_a_while),
        TEST(introduces_itself_in_version_1),
        TEST(introduces_itself_in_version_2),
        TEST(one_check_is_under_way_at_a_time_and_leaves_no_socket),
        TEST(may_be_freed_in_the_middle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
