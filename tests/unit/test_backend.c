/* Reaching backends: real sockets, a clock of the test's own; the session around the
 * module is filled by hand. */
#include "proxy/session.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy/worker.h"
#include "tests/unit/net_pair.h"

enum { WAIT_MS = 1000, CONNECT_TIMEOUT_MS = 300, START_MS = 5000, REST_MS = 10000 };

static struct stats_worker stats;
static struct worker worker = {.stats = &stats};
static struct scratch scratch;
static struct config_backend backend;
static struct config config = {.limits.connect_timeout_ms = CONNECT_TIMEOUT_MS,
                               .backends = &backend,
                               .backend_count = 1};
static struct snapshot snapshot = {.config = &config};
static struct session session;
static uint64_t clock_ms;
static int held[2]; /* sockets that hold ports */
static int client_fd;

enum session_step session_end(struct session *ended, enum session_step step,
                              enum session_reason reason, const char *format, ...)
{
    char text[ERROR_TEXT_MAX];
    ended->reason = reason;
    if (!format)
        return step;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    free(ended->detail);
    ended->detail = strdup(text);
    return step;
}

uint64_t session_now(const struct session *asking)
{
    (void)asking;
    return clock_ms;
}

void session_drop_backend(struct session *dropped)
{
    stream_drop_socket(&dropped->backend);
}

static int begin(void **state)
{
    int fds[2];
    (void)state;
    backend = (struct config_backend){
        .section.name = "app", .wait_ms = WAIT_MS, .rest_ms = REST_MS};
    clock_ms = START_MS;
    stats = (struct stats_worker){.accepted = 0};
    pool_set_init(&worker.pools, NULL);
    worker.pools.stats = &stats;
    snapshot.pools = pool_set_take(&worker.pools, &config);
    held[0] = held[1] = -1;
    net_pair_tcp(fds);
    stats = (struct stats_worker){0};
    session = (struct session){.state = SESSION_CONNECT,
                               .worker = &worker,
                               .snapshot = &snapshot,
                               .target = &backend,
                               .reason = REASON_INTERNAL};
    stream_init(&session.client, &scratch);
    stream_init(&session.backend, &scratch);
    stream_take(&session.client, fds[0]);
    client_fd = fds[1];
    return 0;
}

static struct pool *pool(void)
{
    return snapshot.pools[0];
}

static int end(void **state)
{
    (void)state;
    stream_close(&session.client, false);
    stream_close(&session.backend, false);
    (void)close(client_fd);
    free(session.detail);
    if (session.connect.in_use)
        target_leave(session.reached);
    for (unsigned i = 0; i < pool()->target_count; i++)
        assert_int_equal(pool()->targets[i]->sessions + pool()->targets[i]->attempts, 0);
    target_release(session.reached);
    pool_set_give_back(snapshot.pools, 1);
    for (int i = 0; i < 2; i++) {
        if (held[i] >= 0)
            (void)close(held[i]);
    }
    return 0;
}

/* The pool learns of it when the session begins. */
static struct address *add_address(void)
{
    return &backend.addresses.items[backend.addresses.count++];
}

static void add_refusing(void)
{
    struct address *address = add_address();
    held[backend.addresses.count - 1] = net_refuse(address);
}

static int add_listening(void)
{
    struct address *address = add_address();
    return held[backend.addresses.count - 1] = net_listen(address);
}

/* An address whose connection neither succeeds nor fails: its queue is full.  Returns the
 * socket that fills it. */
static int add_silent(void)
{
    struct address *address = add_address();
    const int fd = net_listen(address);
    held[backend.addresses.count - 1] = fd;
    assert_int_equal(listen(fd, 0), 0);
    const int filler = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(
        connect(filler, (const struct sockaddr *)&address->storage, address->length), 0);
    return filler;
}

static enum session_step step_once(unsigned events)
{
    if (events & SESSION_ENTERED)
        pool_set_follow(&worker.pools, &config);
    return backend_run(&session, events);
}

/* Runs until no attempt is under way. */
static enum session_step run(unsigned events)
{
    enum session_step step = step_once(events);
    while (step == STEP_WAIT && session.connect.connecting) {
        net_wait(session.backend.fd, POLLOUT);
        step = backend_run(&session, SESSION_BACKEND_WRITABLE);
    }
    return step;
}

/* Lets the clock come to the deadline. */
static enum session_step time_passes(void)
{
    assert_true(session.deadline_ms >= clock_ms);
    clock_ms = session.deadline_ms;
    return run(SESSION_TIMEOUT);
}

static void goes_on_to_the_relay_once_connected(void **state)
{
    (void)state;
    (void)add_listening();
    assert_int_equal(run(SESSION_ENTERED), STEP_NEXT);
    assert_true(session.backend.fd >= 0);
    assert_true(address_equal(session.backend_address, &backend.addresses.items[0]));
    assert_int_equal(session.active_ms, START_MS);
    assert_int_equal(stats.backends[0].connected, 1);
    assert_int_equal(stats.backends[0].failed, 0);
}

static void tries_the_next_address_at_once(void **state)
{
    (void)state;
    add_refusing();
    (void)add_listening();
    assert_int_equal(run(SESSION_ENTERED), STEP_NEXT);
    assert_true(address_equal(session.backend_address, &backend.addresses.items[1]));
}

static void begins_with_the_address_whose_turn_it_is(void **state)
{
    (void)state;
    (void)add_listening();
    (void)add_listening();
    pool()->next = 1;
    assert_int_equal(run(SESSION_ENTERED), STEP_NEXT);
    assert_true(address_equal(session.backend_address, &backend.addresses.items[1]));
}

static void comes_round_to_the_addresses_before_its_first(void **state)
{
    (void)state;
    (void)add_listening();
    add_refusing();
    pool()->next = 1;
    assert_int_equal(run(SESSION_ENTERED), STEP_NEXT);
    assert_true(address_equal(session.backend_address, &backend.addresses.items[0]));
}

static void pauses_twice_as_long_each_time_up_to_a_limit(void **state)
{
    static const uint64_t pauses[] = {10, 20, 40, 80, 160, 250, 250};
    (void)state;
    add_refusing();
    assert_int_equal(run(SESSION_ENTERED), STEP_WAIT);
    for (size_t i = 0; i < sizeof pauses / sizeof pauses[0]; i++) {
        assert_int_equal(session.deadline_ms - clock_ms, pauses[i]);
        assert_int_equal(session.backend.fd, -1);
        assert_int_equal(time_passes(), STEP_WAIT);
        assert_int_equal(stats.backends[0].retries, i + 1);
        assert_int_equal(stats.backends[0].failed, i + 2);
    }
}

static void gives_up_when_the_wait_is_over_and_not_before(void **state)
{
    enum session_step step;
    (void)state;
    add_refusing();
    step = run(SESSION_ENTERED);
    while (step == STEP_WAIT) {
        assert_true(clock_ms < START_MS + WAIT_MS);
        step = time_passes();
    }
    assert_int_equal(step, STEP_END);
    assert_int_equal(clock_ms, START_MS + WAIT_MS);
    assert_int_equal(session.reason, REASON_BACKEND_UNREACHABLE);
    assert_non_null(strstr(session.detail, backend.addresses.items[0].text));
    assert_non_null(strstr(session.detail, "Connection refused"));
}

static void without_a_wait_tries_each_address_once(void **state)
{
    (void)state;
    backend.wait_ms = 0;
    add_refusing();
    add_refusing();
    assert_int_equal(run(SESSION_ENTERED), STEP_END);
    assert_int_equal(stats.backends[0].failed, 2);
    assert_non_null(strstr(session.detail, backend.addresses.items[1].text));
}

static void finds_a_backend_that_comes_up_during_the_wait(void **state)
{
    (void)state;
    add_refusing();
    assert_int_equal(run(SESSION_ENTERED), STEP_WAIT);
    assert_int_equal(listen(held[0], 1), 0);
    assert_int_equal(time_passes(), STEP_NEXT);
}

static void forgets_what_failed_once_it_is_connected(void **state)
{
    (void)state;
    add_refusing();
    (void)add_listening();
    assert_int_equal(run(SESSION_ENTERED), STEP_NEXT);
    assert_null(session.detail);
}

static void an_attempt_without_an_answer_times_out(void **state)
{
    (void)state;
    backend.wait_ms = 0;
    const int filler = add_silent();
    assert_int_equal(step_once(SESSION_ENTERED), STEP_WAIT);
    assert_true(session.connect.connecting);
    assert_int_equal(session.deadline_ms, START_MS + CONNECT_TIMEOUT_MS);
    clock_ms = session.deadline_ms;
    assert_int_equal(backend_run(&session, SESSION_TIMEOUT), STEP_END);
    assert_int_equal(session.reason, REASON_BACKEND_TIMEOUT);
    assert_non_null(strstr(session.detail, "no connection within connect_timeout"));
    assert_int_equal(session.backend.fd, -1);
    (void)close(filler);
}

static void after_a_time_out_the_next_address_is_tried(void **state)
{
    (void)state;
    const int filler = add_silent();
    (void)add_listening();
    assert_int_equal(step_once(SESSION_ENTERED), STEP_WAIT);
    clock_ms = session.deadline_ms;
    assert_int_equal(run(SESSION_TIMEOUT), STEP_NEXT);
    assert_true(address_equal(session.backend_address, &backend.addresses.items[1]));
    (void)close(filler);
}

static void the_last_failure_gives_the_reason(void **state)
{
    (void)state;
    backend.wait_ms = 0;
    const int filler = add_silent();
    add_refusing();
    assert_int_equal(step_once(SESSION_ENTERED), STEP_WAIT);
    clock_ms = session.deadline_ms;
    assert_int_equal(run(SESSION_TIMEOUT), STEP_END);
    assert_int_equal(session.reason, REASON_BACKEND_UNREACHABLE);
    (void)close(filler);
}

static void counts_what_it_does(void **state)
{
    uint64_t timed = 0;
    (void)state;
    add_refusing();
    assert_int_equal(run(SESSION_ENTERED), STEP_WAIT);
    assert_int_equal(listen(held[0], 1), 0);
    assert_int_equal(time_passes(), STEP_NEXT);
    assert_string_equal(stats.backends[0].name, "app");
    assert_int_equal(stats.backends[0].failed, 1);
    assert_int_equal(stats.backends[0].retries, 1);
    assert_int_equal(stats.backends[0].connected, 1);
    assert_int_equal(stats.backends[0].addresses, 1);
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        timed += stats.connect_us.buckets[i];
    assert_int_equal(timed, 1);
    assert_int_equal(session.reached->sessions, 1);
    assert_int_equal(session.reached->attempts, 0);
}

static void an_address_that_failed_is_tried_after_the_others(void **state)
{
    (void)state;
    add_refusing();
    (void)add_listening();
    assert_int_equal(run(SESSION_ENTERED), STEP_NEXT);
    assert_int_equal(stats.backends[0].failed, 1);
    target_leave(session.reached);
    stream_close(&session.backend, false);
    stream_init(&session.backend, &scratch);
    pool()->next = 0;
    assert_int_equal(run(SESSION_ENTERED), STEP_NEXT);
    assert_int_equal(stats.backends[0].failed, 1);
}

static void waits_for_a_name_that_is_not_resolved_yet(void **state)
{
    struct address address;
    (void)state;
    *add_address() = (struct address){.text = "app.internal:80"};
    assert_int_equal(run(SESSION_ENTERED), STEP_WAIT);
    assert_string_equal(session.detail, "its name has not been resolved yet");
    held[0] = net_listen(&address);
    pool_set_resolved(&worker.pools, "app", &address, 1);
    assert_int_equal(time_passes(), STEP_NEXT);
    assert_string_equal(session.backend_address->text, address.text);
}

static void other_events_change_nothing(void **state)
{
    (void)state;
    add_refusing();
    assert_int_equal(run(SESSION_ENTERED), STEP_WAIT);
    const uint64_t deadline = session.deadline_ms;
    assert_int_equal(run(SESSION_CLIENT_WRITABLE), STEP_WAIT);
    assert_int_equal(session.deadline_ms, deadline);
}

static void introduces_the_client_before_its_first_byte(void **state)
{
    char header[256] = "", expected[128];
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    (void)state;
    backend.send_proxy = SEND_PROXY_V1;
    const int listening = add_listening();
    assert_int_equal(run(SESSION_ENTERED), STEP_NEXT);
    assert_int_equal(stream_flush(&session.backend), IO_OK);
    net_wait(listening, POLLIN);
    const int accepted = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    net_wait(accepted, POLLIN);
    assert_true(net_take(accepted, header, sizeof header - 1) > 0);
    assert_int_equal(getsockname(client_fd, (struct sockaddr *)&peer, &length), 0);
    (void)snprintf(expected, sizeof expected, "PROXY TCP4 127.0.0.1 127.0.0.1 %u ",
                   ntohs(peer.sin_port));
    assert_memory_equal(header, expected, strlen(expected));
    (void)close(accepted);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(goes_on_to_the_relay_once_connected),
        TEST(tries_the_next_address_at_once),
        TEST(begins_with_the_address_whose_turn_it_is),
        TEST(comes_round_to_the_addresses_before_its_first),
        TEST(pauses_twice_as_long_each_time_up_to_a_limit),
        TEST(gives_up_when_the_wait_is_over_and_not_before),
        TEST(without_a_wait_tries_each_address_once),
        TEST(finds_a_backend_that_comes_up_during_the_wait),
        TEST(forgets_what_failed_once_it_is_connected),
        TEST(an_attempt_without_an_answer_times_out),
        TEST(after_a_time_out_the_next_address_is_tried),
        TEST(the_last_failure_gives_the_reason),
        TEST(counts_what_it_does),
        TEST(an_address_that_failed_is_tried_after_the_others),
        TEST(waits_for_a_name_that_is_not_resolved_yet),
        TEST(other_events_change_nothing),
        TEST(introduces_the_client_before_its_first_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
