/* Reaching backends: real sockets, a clock of the test's own; the session around the
 * module is filled by hand. */
#include "proxy/backend.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy/session.h"
#include "proxy/worker.h"
#include "tests/unit/net_pair.h"

enum { WAIT_MS = 1000, CONNECT_TIMEOUT_MS = 300, START_MS = 5000 };

static struct stats_worker stats;
static struct worker worker = {.stats = &stats};
static struct scratch scratch;
static struct config config = {.limits.connect_timeout_ms = CONNECT_TIMEOUT_MS};
static struct config_backend backend;
static struct snapshot snapshot = {.config = &config};
static struct session session;
static uint64_t clock_ms;
static unsigned rotation;
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

unsigned snapshot_rotate(struct snapshot *of, const struct config_backend *turned)
{
    (void)of;
    return rotation++ % (unsigned)turned->addresses.count;
}

static int begin(void **state)
{
    int fds[2];
    (void)state;
    backend = (struct config_backend){.wait_ms = WAIT_MS, .section.name = "app"};
    clock_ms = START_MS;
    rotation = 0;
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

static int end(void **state)
{
    (void)state;
    stream_close(&session.client, false);
    stream_close(&session.backend, false);
    (void)close(client_fd);
    free(session.detail);
    for (int i = 0; i < 2; i++) {
        if (held[i] >= 0)
            (void)close(held[i]);
    }
    return 0;
}

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

/* Runs until no attempt is under way. */
static enum session_step run(unsigned events)
{
    enum session_step step = backend_run(&session, events);
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

static void opens_a_connection(void **state)
{
    struct error error;
    bool connecting;
    (void)state;
    const int listening = add_listening();
    const int fd = backend_open(&backend.addresses.items[0], &connecting, &error);
    assert_true(fd >= 0);
    net_wait(fd, POLLOUT);
    assert_true(backend_has_connected(fd, &error));
    net_wait(listening, POLLIN);
    (void)close(fd);
}

static void says_that_a_port_refuses(void **state)
{
    struct error error = {.text = ""};
    bool connecting;
    (void)state;
    add_refusing();
    const int fd = backend_open(&backend.addresses.items[0], &connecting, &error);
    if (fd >= 0) {
        assert_true(connecting);
        net_wait(fd, POLLOUT);
        assert_false(backend_has_connected(fd, &error));
        (void)close(fd);
    }
    assert_non_null(strstr(error.text, "Connection refused"));
}

static void says_that_a_unix_socket_is_missing(void **state)
{
    struct error error = {.text = ""};
    struct address address;
    bool connecting = true;
    (void)state;
    net_unix_address("/nonexistent/pawl.sock", &address);
    assert_int_equal(backend_open(&address, &connecting, &error), -1);
    assert_false(connecting);
    assert_string_equal(error.text,
                        "unix:/nonexistent/pawl.sock: No such file or directory");
}

static void leaves_no_descriptor_behind_after_a_failure(void **state)
{
    struct error error;
    struct address address;
    bool connecting;
    (void)state;
    net_unix_address("/nonexistent/pawl.sock", &address);
    const size_t before = net_open_fds();
    assert_int_equal(backend_open(&address, &connecting, &error), -1);
    assert_int_equal(net_open_fds(), before);
}

static void goes_on_to_the_relay_once_connected(void **state)
{
    (void)state;
    (void)add_listening();
    assert_int_equal(run(SESSION_ENTERED), STEP_NEXT);
    assert_true(session.backend.fd >= 0);
    assert_ptr_equal(session.backend_address, &backend.addresses.items[0]);
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
    assert_ptr_equal(session.backend_address, &backend.addresses.items[1]);
}

static void begins_with_the_address_whose_turn_it_is(void **state)
{
    (void)state;
    (void)add_listening();
    (void)add_listening();
    rotation = 1;
    assert_int_equal(run(SESSION_ENTERED), STEP_NEXT);
    assert_ptr_equal(session.backend_address, &backend.addresses.items[1]);
}

static void comes_round_to_the_addresses_before_its_first(void **state)
{
    (void)state;
    (void)add_listening();
    add_refusing();
    rotation = 1;
    assert_int_equal(run(SESSION_ENTERED), STEP_NEXT);
    assert_ptr_equal(session.backend_address, &backend.addresses.items[0]);
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
    assert_int_equal(session.connect.tried, 2);
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
    assert_int_equal(backend_run(&session, SESSION_ENTERED), STEP_WAIT);
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
    assert_int_equal(backend_run(&session, SESSION_ENTERED), STEP_WAIT);
    clock_ms = session.deadline_ms;
    assert_int_equal(run(SESSION_TIMEOUT), STEP_NEXT);
    assert_ptr_equal(session.backend_address, &backend.addresses.items[1]);
    (void)close(filler);
}

static void the_last_failure_gives_the_reason(void **state)
{
    (void)state;
    backend.wait_ms = 0;
    const int filler = add_silent();
    add_refusing();
    assert_int_equal(backend_run(&session, SESSION_ENTERED), STEP_WAIT);
    clock_ms = session.deadline_ms;
    assert_int_equal(run(SESSION_TIMEOUT), STEP_END);
    assert_int_equal(session.reason, REASON_BACKEND_UNREACHABLE);
    (void)close(filler);
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
        TEST(opens_a_connection),
        TEST(says_that_a_port_refuses),
        TEST(says_that_a_unix_socket_is_missing),
        TEST(leaves_no_descriptor_behind_after_a_failure),
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
        TEST(other_events_change_nothing),
        TEST(introduces_the_client_before_its_first_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
