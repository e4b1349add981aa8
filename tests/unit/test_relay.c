/* The relay between two socket pairs; the session around it is filled by hand. */
#include "proxy/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy/worker.h"
#include "tests/unit/net_pair.h"

enum { IDLE_MS = 600000, HALF_CLOSE_MS = 60000, WINDOW_MS = 3600000, DEADLINE_S = 20 };
enum { BULK_BYTES = 400000 };

static struct stats_worker stats;
static struct worker worker = {.stats = &stats};
static struct scratch scratch;
static struct session session;
static struct config config = {
    .limits = {.idle_timeout_ms = IDLE_MS, .half_close_timeout_ms = HALF_CLOSE_MS},
    .tls = {.window_ms = WINDOW_MS, .tls12_max_lifetime_ms = WINDOW_MS}};
static struct snapshot snapshot = {.config = &config};
static struct address backend_address = {.text = "127.0.0.1:3000"};
static int client_fd; /* the far ends */
static int backend_fd;
static uint64_t clock_ms;
static char detail[256];
static uint8_t bulk[BULK_BYTES];
static uint8_t got[2 * BULK_BYTES];

enum session_step session_end(struct session *ended, enum session_step step,
                              enum session_reason reason, const char *format, ...)
{
    ended->reason = reason;
    detail[0] = '\0';
    if (!format)
        return step;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    return step;
}

uint64_t session_now(const struct session *asking)
{
    (void)asking;
    return clock_ms;
}

/* With a state over TCP, without one over unix sockets. */
static int open_relay(void **state)
{
    void (*make)(int fds[2]) = *state ? net_pair_tcp : net_pair_unix;
    int client[2], backend[2];
    make(client);
    make(backend);
    clock_ms = 1000;
    stats = (struct stats_worker){0};
    session = (struct session){.state = SESSION_RELAY,
                               .worker = &worker,
                               .active_ms = clock_ms,
                               .rekeyed_ms = clock_ms,
                               .snapshot = &snapshot,
                               .reason = REASON_INTERNAL,
                               .backend_address = &backend_address};
    stream_init(&session.client, &scratch);
    stream_init(&session.backend, &scratch);
    stream_take(&session.client, client[0]);
    stream_take(&session.backend, backend[0]);
    client_fd = client[1];
    backend_fd = backend[1];
    return 0;
}

static int close_relay(void **state)
{
    (void)state;
    stream_close(&session.client, false);
    stream_close(&session.backend, false);
    if (client_fd >= 0)
        (void)close(client_fd);
    if (backend_fd >= 0)
        (void)close(backend_fd);
    return 0;
}

static int make_bulk(void **state)
{
    (void)state;
    net_pattern(bulk, sizeof bulk, 3);
    return 0;
}

/* One event, as the session would report it.  Nothing is ever over its bound. */
static enum session_step run(unsigned events)
{
    const enum session_step step = relay_run(&session, events);
    assert_true(stream_settle(&session.client));
    assert_null(scratch.in_owner);
    assert_true(session.client.out.end - session.client.out.start <= SCRATCH_PLAIN_READ);
    assert_true(session.backend.out.end - session.backend.out.start <= SCRATCH_PLAIN);
    return step;
}

static unsigned ready_events(void)
{
    const struct stream *client = &session.client, *backend = &session.backend;
    unsigned events = 0;
    if (net_is_ready(client->fd, POLLIN))
        events |= SESSION_CLIENT_READABLE;
    if (net_is_ready(backend->fd, POLLIN))
        events |= SESSION_BACKEND_READABLE;
    if (stream_has_output(client) && net_is_ready(client->fd, POLLOUT))
        events |= SESSION_CLIENT_WRITABLE;
    if (stream_has_output(backend) && net_is_ready(backend->fd, POLLOUT))
        events |= SESSION_BACKEND_WRITABLE;
    return events;
}

static enum session_step turn(void)
{
    const unsigned events = ready_events();
    return events ? run(events) : STEP_WAIT;
}

/* Runs until the peer at `fd` has `length` bytes or the end; returns their number. */
static size_t relay_until(int fd, size_t length)
{
    size_t total = 0;
    const time_t start = time(NULL);
    while (total < length) {
        assert_true(time(NULL) - start < DEADLINE_S);
        (void)turn();
        const int taken = net_take(fd, got + total, length - total);
        if (taken == 0)
            break;
        total += taken > 0 ? (size_t)taken : 0;
    }
    return total;
}

/* Runs until the step is no longer STEP_WAIT. */
static enum session_step relay_to_the_end(void)
{
    const time_t start = time(NULL);
    enum session_step step = STEP_WAIT;
    while (step == STEP_WAIT) {
        assert_true(time(NULL) - start < DEADLINE_S);
        step = turn();
    }
    return step;
}

/* Makes `stream` hold output that came from `source`. */
static void block(struct stream *stream, const struct stream *source, int source_far,
                  unsigned readable)
{
    (void)net_fill(stream->fd);
    net_send(source_far, "held back", 9);
    net_wait(source->fd, POLLIN);
    assert_int_equal(run(readable), STEP_WAIT);
    assert_true(stream_has_output(stream));
}

static void carries_both_directions(void **state)
{
    (void)state;
    net_send(client_fd, "request", 7);
    assert_int_equal(relay_until(backend_fd, 7), 7);
    assert_memory_equal(got, "request", 7);
    net_send(backend_fd, "answer", 6);
    assert_int_equal(relay_until(client_fd, 6), 6);
    assert_memory_equal(got, "answer", 6);
    assert_int_equal(session.bytes_in, 7);
    assert_int_equal(session.bytes_out, 6);
    assert_int_equal(stats.bytes_in, 7);
    assert_int_equal(stats.bytes_out, 6);
}

static void carries_both_directions_in_one_event(void **state)
{
    (void)state;
    net_send(client_fd, "request", 7);
    net_send(backend_fd, "answer", 6);
    net_wait(session.client.fd, POLLIN);
    net_wait(session.backend.fd, POLLIN);
    assert_int_equal(run(SESSION_CLIENT_READABLE | SESSION_BACKEND_READABLE), STEP_WAIT);
    assert_int_equal(net_take(backend_fd, got, sizeof got), 7);
    assert_int_equal(net_take(client_fd, got, sizeof got), 6);
}

static void does_not_read_the_backend_while_the_client_takes_nothing(void **state)
{
    (void)state;
    block(&session.client, &session.backend, backend_fd, SESSION_BACKEND_READABLE);
    net_send(backend_fd, "more", 4);
    net_wait(session.backend.fd, POLLIN);
    const uint64_t before = session.bytes_out;
    assert_int_equal(run(SESSION_BACKEND_READABLE), STEP_WAIT);
    assert_int_equal(session.bytes_out, before);
}

static void does_not_read_the_client_while_the_backend_takes_nothing(void **state)
{
    (void)state;
    block(&session.backend, &session.client, client_fd, SESSION_CLIENT_READABLE);
    net_send(client_fd, "more", 4);
    net_wait(session.client.fd, POLLIN);
    assert_int_equal(run(SESSION_CLIENT_READABLE), STEP_WAIT);
    assert_int_equal(session.bytes_in, 9);
}

static void a_blocked_direction_does_not_hold_the_other(void **state)
{
    (void)state;
    block(&session.client, &session.backend, backend_fd, SESSION_BACKEND_READABLE);
    net_send(client_fd, "request", 7);
    net_wait(session.client.fd, POLLIN);
    assert_int_equal(run(SESSION_CLIENT_READABLE), STEP_WAIT);
    assert_int_equal(net_take(backend_fd, got, sizeof got), 7);
}

static void goes_on_reading_once_the_output_is_taken(void **state)
{
    (void)state;
    const size_t filled = net_fill(session.backend.fd);
    net_send(client_fd, bulk, 1000);
    net_wait(session.client.fd, POLLIN);
    assert_int_equal(run(SESSION_CLIENT_READABLE), STEP_WAIT);
    net_send(client_fd, bulk + 1000, 1000);
    assert_int_equal(relay_until(backend_fd, filled + 2000), filled + 2000);
    assert_memory_equal(got + filled, bulk, 2000);
    assert_false(stream_has_output(&session.backend));
}

/* The writer at `from` has more than all buffers hold; the order and the bound hold. */
static void carry_bulk(int from, int to, int slow_fd)
{
    const int size = 1;
    (void)setsockopt(slow_fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    size_t sent = 0, taken = 0;
    const time_t start = time(NULL);
    while (taken < BULK_BYTES) {
        assert_true(time(NULL) - start < DEADLINE_S);
        if (sent < BULK_BYTES && net_is_ready(from, POLLOUT)) {
            const ssize_t piece = write(from, bulk + sent, BULK_BYTES - sent);
            sent += piece > 0 ? (size_t)piece : 0;
        }
        assert_int_equal(turn(), STEP_WAIT);
        const int piece = net_take(to, got + taken, 3000);
        taken += piece > 0 ? (size_t)piece : 0;
    }
    assert_memory_equal(got, bulk, BULK_BYTES);
}

static void a_slow_client_gets_everything_in_order(void **state)
{
    (void)state;
    carry_bulk(backend_fd, client_fd, session.client.fd);
    assert_int_equal(session.bytes_out, BULK_BYTES);
}

static void a_slow_backend_gets_everything_in_order(void **state)
{
    (void)state;
    carry_bulk(client_fd, backend_fd, session.backend.fd);
    assert_int_equal(session.bytes_in, BULK_BYTES);
}

static void the_clients_end_reaches_the_backend_behind_the_data(void **state)
{
    (void)state;
    const size_t filled = net_fill(session.backend.fd);
    net_send(client_fd, "last", 4);
    (void)shutdown(client_fd, SHUT_WR);
    assert_int_equal(relay_until(backend_fd, sizeof got), filled + 4);
    assert_memory_equal(got + filled, "last", 4);
    assert_true(session.backend.write_shut);
}

static void the_backends_end_reaches_the_client_behind_the_data(void **state)
{
    (void)state;
    const size_t filled = net_fill(session.client.fd);
    net_send(backend_fd, "last", 4);
    (void)shutdown(backend_fd, SHUT_WR);
    assert_int_equal(relay_until(client_fd, sizeof got), filled + 4);
    assert_memory_equal(got + filled, "last", 4);
}

static void keeps_the_answer_open_after_the_clients_end(void **state)
{
    (void)state;
    (void)shutdown(client_fd, SHUT_WR);
    assert_int_equal(relay_until(backend_fd, 1), 0);
    net_send(backend_fd, bulk, 5000);
    assert_int_equal(relay_until(client_fd, 5000), 5000);
    assert_memory_equal(got, bulk, 5000);
}

static void keeps_the_upload_open_after_the_backends_end(void **state)
{
    (void)state;
    (void)shutdown(backend_fd, SHUT_WR);
    assert_int_equal(relay_until(client_fd, 1), 0);
    net_send(client_fd, bulk, 5000);
    assert_int_equal(relay_until(backend_fd, 5000), 5000);
    assert_memory_equal(got, bulk, 5000);
}

static void finishes_when_both_directions_have_ended(void **state)
{
    (void)state;
    (void)shutdown(client_fd, SHUT_WR);
    assert_int_equal(relay_until(backend_fd, 1), 0);
    (void)shutdown(backend_fd, SHUT_WR);
    assert_int_equal(relay_to_the_end(), STEP_NEXT);
    assert_int_equal(session.reason, REASON_FINISHED);
}

/* Only TLS can bring the end together with the data, so it is put there by hand. */
static void does_not_finish_before_the_backend_has_everything(void **state)
{
    (void)state;
    block(&session.backend, &session.client, client_fd, SESSION_CLIENT_READABLE);
    session.client.read_ended = true;
    (void)shutdown(backend_fd, SHUT_WR);
    assert_int_equal(run(SESSION_BACKEND_READABLE), STEP_WAIT);
    assert_true(session.backend.read_ended);
}

static void does_not_finish_before_the_client_has_everything(void **state)
{
    (void)state;
    block(&session.client, &session.backend, backend_fd, SESSION_BACKEND_READABLE);
    session.backend.read_ended = true;
    (void)shutdown(client_fd, SHUT_WR);
    assert_int_equal(run(SESSION_CLIENT_READABLE), STEP_WAIT);
    assert_true(session.client.read_ended);
}

static void says_that_the_client_was_cut_off(void **state)
{
    (void)state;
    session.client.truncated = true;
    session.client.read_ended = true;
    (void)shutdown(backend_fd, SHUT_WR);
    assert_int_equal(relay_to_the_end(), STEP_NEXT);
    assert_int_equal(session.reason, REASON_CLIENT_TRUNCATED);
}

static void an_early_answer_is_delivered_though_the_backend_takes_no_more(void **state)
{
    (void)state;
    net_send(backend_fd, "413 too large", 13);
    (void)shutdown(backend_fd, SHUT_RD);
    net_send(client_fd, bulk, 5000);
    assert_int_equal(relay_until(client_fd, 13), 13);
    assert_memory_equal(got, "413 too large", 13);
    assert_true(session.backend.write_failed);
    (void)shutdown(backend_fd, SHUT_WR);
    assert_int_equal(relay_to_the_end(), STEP_NEXT);
    assert_int_equal(session.reason, REASON_FINISHED);
}

static void kept_output_for_a_backend_that_is_gone_is_given_up(void **state)
{
    (void)state;
    block(&session.backend, &session.client, client_fd, SESSION_CLIENT_READABLE);
    net_send(backend_fd, "bye", 3);
    (void)shutdown(backend_fd, SHUT_RD);
    assert_int_equal(run(SESSION_BACKEND_WRITABLE | SESSION_BACKEND_READABLE), STEP_WAIT);
    assert_false(stream_has_output(&session.backend));
    assert_int_equal(net_take(client_fd, got, sizeof got), 3);
}

static void a_reset_by_the_backend_ends_the_session(void **state)
{
    (void)state;
    net_reset(backend_fd);
    backend_fd = -1;
    assert_int_equal(relay_to_the_end(), STEP_END);
    assert_int_equal(session.reason, REASON_BACKEND_RESET);
    assert_string_equal(detail, "127.0.0.1:3000: Connection reset by peer");
}

/* A backend that answers and hangs up without reading the upload resets its connection;
 * the answer is there nevertheless. */
static void an_answer_before_a_reset_is_delivered(void **state)
{
    (void)state;
    net_send(client_fd, "request", 7);
    net_wait(session.client.fd, POLLIN);
    net_send(backend_fd, "413 too large", 13);
    net_reset(backend_fd);
    backend_fd = -1;
    net_wait(session.backend.fd, POLLHUP);
    assert_int_equal(relay_to_the_end(), STEP_END);
    assert_int_equal(session.reason, REASON_BACKEND_RESET);
    assert_int_equal(net_take(client_fd, got, sizeof got), 13);
    assert_memory_equal(got, "413 too large", 13);
}

static void a_reset_by_the_client_closes_the_session(void **state)
{
    (void)state;
    net_reset(client_fd);
    client_fd = -1;
    assert_int_equal(relay_to_the_end(), STEP_CLOSE);
    assert_int_equal(session.reason, REASON_CLIENT_RESET);
    assert_string_equal(detail, "Connection reset by peer");
}

static void a_client_that_takes_no_more_closes_the_session(void **state)
{
    (void)state;
    (void)shutdown(client_fd, SHUT_RD);
    net_send(backend_fd, "answer", 6);
    net_wait(session.backend.fd, POLLIN);
    assert_int_equal(run(SESSION_BACKEND_READABLE), STEP_CLOSE);
    assert_int_equal(session.reason, REASON_CLIENT_RESET);
}

static void a_timeout_while_both_are_open_is_idleness(void **state)
{
    (void)state;
    clock_ms += IDLE_MS;
    assert_int_equal(run(SESSION_TIMEOUT), STEP_END);
    assert_int_equal(session.reason, REASON_IDLE_TIMEOUT);
}

static void a_timeout_after_one_end_is_that_of_a_half_closed_session(void **state)
{
    (void)state;
    (void)shutdown(client_fd, SHUT_WR);
    assert_int_equal(relay_until(backend_fd, 1), 0);
    clock_ms += HALF_CLOSE_MS;
    assert_int_equal(run(SESSION_TIMEOUT), STEP_END);
    assert_int_equal(session.reason, REASON_HALF_CLOSE_TIMEOUT);
}

static void bytes_and_ends_alone_count_as_activity(void **state)
{
    (void)state;
    clock_ms = 5000;
    net_send(client_fd, "request", 7);
    assert_int_equal(relay_until(backend_fd, 7), 7);
    assert_int_equal(session.active_ms, 5000);
    clock_ms = 6000;
    (void)shutdown(backend_fd, SHUT_WR);
    assert_int_equal(relay_until(client_fd, 1), 0);
    assert_int_equal(session.active_ms, 6000);
    clock_ms = 7000; /* an event without them does not */
    assert_int_equal(run(SESSION_CLIENT_READABLE | SESSION_BACKEND_READABLE), STEP_WAIT);
    assert_int_equal(session.active_ms, 6000);
}

#define WITH_UNIX(test) cmocka_unit_test_setup_teardown(test, open_relay, close_relay)
#define WITH_TCP(test)                                                                   \
    cmocka_unit_test_prestate_setup_teardown(test, open_relay, close_relay, &config)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_UNIX(carries_both_directions),
        WITH_UNIX(carries_both_directions_in_one_event),
        WITH_UNIX(does_not_read_the_backend_while_the_client_takes_nothing),
        WITH_UNIX(does_not_read_the_client_while_the_backend_takes_nothing),
        WITH_UNIX(a_blocked_direction_does_not_hold_the_other),
        WITH_UNIX(goes_on_reading_once_the_output_is_taken),
        WITH_UNIX(a_slow_client_gets_everything_in_order),
        WITH_UNIX(a_slow_backend_gets_everything_in_order),
        WITH_UNIX(the_clients_end_reaches_the_backend_behind_the_data),
        WITH_UNIX(the_backends_end_reaches_the_client_behind_the_data),
        WITH_UNIX(keeps_the_answer_open_after_the_clients_end),
        WITH_UNIX(keeps_the_upload_open_after_the_backends_end),
        WITH_UNIX(finishes_when_both_directions_have_ended),
        WITH_UNIX(does_not_finish_before_the_backend_has_everything),
        WITH_UNIX(does_not_finish_before_the_client_has_everything),
        WITH_UNIX(says_that_the_client_was_cut_off),
        WITH_UNIX(an_early_answer_is_delivered_though_the_backend_takes_no_more),
        WITH_UNIX(kept_output_for_a_backend_that_is_gone_is_given_up),
        WITH_TCP(a_reset_by_the_backend_ends_the_session),
        WITH_TCP(an_answer_before_a_reset_is_delivered),
        WITH_TCP(a_reset_by_the_client_closes_the_session),
        WITH_UNIX(a_client_that_takes_no_more_closes_the_session),
        WITH_UNIX(a_timeout_while_both_are_open_is_idleness),
        WITH_UNIX(a_timeout_after_one_end_is_that_of_a_half_closed_session),
        WITH_UNIX(bytes_and_ends_alone_count_as_activity)};
    return cmocka_run_group_tests(tests, make_bulk, NULL);
}
