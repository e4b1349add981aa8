/* Writing, keeping what the peer does not take, and the ways to end. */
#include "proxy/stream.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/net_pair.h"
#include "tests/unit/stream_pair.h"

enum { BULK_BYTES = SCRATCH_PLAIN_READ, RECORD_HEADER = 5, RECORD_EXTRA = 17 };

static struct stream_pair pair;
static uint8_t sent[BULK_BYTES];
static uint8_t got[8 * BULK_BYTES];

/* A plain stream and its peer. */
static struct stream plain;
static int peer;

static int open_contexts(void **state)
{
    (void)state;
    tls_contexts_open();
    net_pattern(sent, sizeof sent, 7);
    return 0;
}

static int close_contexts(void **state)
{
    (void)state;
    tls_contexts_close();
    return 0;
}

static int open_pair(void **state)
{
    (void)state;
    stream_pair_open(&pair);
    return 0;
}

static int close_pair(void **state)
{
    (void)state;
    stream_pair_close(&pair);
    return 0;
}

static void open_plain_on(const int fds[2])
{
    stream_init(&plain, &stream_pair_scratch);
    stream_take(&plain, fds[0]);
    peer = fds[1];
}

static int open_plain(void **state)
{
    int fds[2];
    (void)state;
    net_pair_unix(fds);
    open_plain_on(fds);
    return 0;
}

static int open_plain_tcp(void **state)
{
    int fds[2];
    (void)state;
    net_pair_tcp(fds);
    open_plain_on(fds);
    return 0;
}

static int close_plain(void **state)
{
    (void)state;
    stream_close(&plain, false);
    if (peer >= 0)
        (void)close(peer);
    return 0;
}

/* Everything up to the end, while the stream flushes; returns the number of bytes. */
static size_t drain_peer(void)
{
    size_t total = 0;
    for (;;) {
        if (stream_has_output(&plain))
            assert_int_not_equal(stream_flush(&plain), IO_ERROR);
        else
            net_wait(peer, POLLIN);
        const int taken = net_take(peer, got + total, sizeof got - total);
        if (taken == 0)
            return total;
        assert_true(taken > 0 || taken == -1);
        total += taken > 0 ? (size_t)taken : 0;
    }
}

static void fills_the_socket_and_keeps_the_rest_in_order(void **state)
{
    (void)state;
    const size_t before = net_fill(plain.fd);
    assert_int_equal(stream_write(&plain, sent, 1000), IO_OK);
    assert_int_equal(stream_write(&plain, sent + 1000, sizeof sent - 1000), IO_OK);
    assert_true(stream_has_output(&plain));
    assert_int_equal(stream_end_write(&plain), IO_OK);
    assert_int_equal(drain_peer(), before + sizeof sent);
    assert_memory_equal(got + before, sent, sizeof sent);
}

/* Also when the socket has room again and the kept bytes have moved in their buffer. */
static void what_is_written_later_comes_later(void **state)
{
    size_t written = 0, taken = 0;
    int piece = -1;
    (void)state;
    const size_t before = net_fill(plain.fd);
    while (written < sizeof sent) {
        assert_int_equal(stream_write(&plain, sent + written, 4096), IO_OK);
        written += 4096;
        piece = net_take(peer, got + taken, 3000);
        taken += piece > 0 ? (size_t)piece : 0;
        if (written % 12288 == 0)
            assert_int_not_equal(stream_flush(&plain), IO_ERROR);
    }
    assert_int_equal(stream_end_write(&plain), IO_OK);
    while (piece != 0) {
        assert_int_not_equal(stream_flush(&plain), IO_ERROR);
        net_wait(peer, POLLIN);
        piece = net_take(peer, got + taken, sizeof got - taken);
        taken += piece > 0 ? (size_t)piece : 0;
    }
    assert_int_equal(taken, before + sizeof sent);
    assert_memory_equal(got + before, sent, sizeof sent);
}

/* As if the peer had taken 100 of 1024 bytes: the rest moves, and nothing is allocated.
 */
static void room_that_was_freed_is_used_again(void **state)
{
    (void)state;
    const size_t before = net_fill(plain.fd);
    assert_int_equal(stream_write(&plain, sent, 1024), IO_OK);
    assert_int_equal(plain.out.capacity, 1024);
    plain.out.start = 100;
    assert_int_equal(stream_write(&plain, sent + 1024, 50), IO_OK);
    assert_int_equal(plain.out.capacity, 1024);
    assert_int_equal(stream_end_write(&plain), IO_OK);
    assert_int_equal(drain_peer(), before + 974);
    assert_memory_equal(got + before, sent + 100, 974);
}

static void frees_the_output_with_its_last_byte(void **state)
{
    (void)state;
    (void)net_fill(plain.fd);
    assert_int_equal(stream_write(&plain, sent, 100), IO_OK);
    assert_int_equal(stream_flush(&plain), IO_AGAIN);
    while (net_take(peer, got, sizeof got) > 0)
        continue;
    assert_int_equal(stream_flush(&plain), IO_OK);
    assert_true(stream_pair_owns_nothing(&plain));
}

static void refuses_to_keep_more_than_its_limit(void **state)
{
    enum io result = IO_OK;
    size_t kept = 0;
    (void)state;
    (void)net_fill(plain.fd);
    while (result == IO_OK && kept <= PENDING_MAX) {
        result = stream_write(&plain, sent, sizeof sent);
        kept += sizeof sent;
    }
    assert_int_equal(result, IO_ERROR);
    assert_int_equal(plain.error, ENOBUFS);
    assert_true(plain.out.end - plain.out.start <= PENDING_MAX);
}

static void ends_with_fin_behind_the_kept_output(void **state)
{
    (void)state;
    const size_t before = net_fill(plain.fd);
    assert_int_equal(stream_write(&plain, sent, 100), IO_OK);
    assert_int_equal(stream_end_write(&plain), IO_OK);
    assert_true(plain.write_ended);
    assert_false(plain.write_shut);
    assert_int_equal(drain_peer(), before + 100);
    assert_true(plain.write_shut);
}

static void ending_twice_is_ending_once(void **state)
{
    (void)state;
    assert_int_equal(stream_end_write(&plain), IO_OK);
    assert_int_equal(stream_end_write(&plain), IO_OK);
    assert_int_equal(drain_peer(), 0);
}

static void reads_on_after_its_own_end(void **state)
{
    (void)state;
    assert_int_equal(stream_end_write(&plain), IO_OK);
    net_send(peer, "still here", 10);
    assert_int_equal(stream_pair_read(&plain, got, 10), 10);
    assert_memory_equal(got, "still here", 10);
}

static void a_peer_that_is_gone_fails_the_write_but_not_the_read(void **state)
{
    (void)state;
    net_send(peer, "last words", 10);
    (void)close(peer);
    peer = -1;
    assert_int_equal(stream_write(&plain, sent, 100), IO_ERROR);
    assert_int_equal(plain.error, EPIPE);
    assert_true(plain.write_failed);
    assert_false(plain.broken);
    assert_int_equal(stream_pair_read(&plain, got, 10), 10);
    assert_memory_equal(got, "last words", 10);
}

static void abandoned_output_is_freed_and_nothing_more_is_written(void **state)
{
    (void)state;
    (void)net_fill(plain.fd);
    assert_int_equal(stream_write(&plain, sent, 100), IO_OK);
    stream_abandon_output(&plain);
    assert_false(stream_has_output(&plain));
    assert_int_equal(stream_write(&plain, sent, 1), IO_ERROR);
    assert_int_equal(stream_end_write(&plain), IO_OK);
    assert_false(plain.write_shut);
}

static void closing_with_abort_resets(void **state)
{
    (void)state;
    stream_close(&plain, true);
    net_wait(peer, POLLIN);
    assert_int_equal(net_take(peer, got, sizeof got), -2);
}

static void closing_without_abort_ends(void **state)
{
    (void)state;
    stream_close(&plain, false);
    net_wait(peer, POLLIN);
    assert_int_equal(net_take(peer, got, sizeof got), 0);
}

static void close_gives_back_the_scratch_and_the_output(void **state)
{
    (void)state;
    (void)net_fill(plain.fd);
    assert_int_equal(stream_write(&plain, sent, 100), IO_OK);
    net_send(peer, "unread", 6);
    assert_int_equal(stream_receive(&plain), IO_OK);
    stream_close(&plain, false);
    assert_true(stream_pair_owns_nothing(&plain));
    assert_int_equal(plain.fd, -1);
}

static void a_raw_write_puts_no_tls_around_the_bytes(void **state)
{
    static const uint8_t alert[] = {21, 3, 3, 0, 2, 2, 40};
    (void)state;
    stream_write_raw(&pair.server, alert, sizeof alert);
    net_wait(pair.client.fd, POLLIN);
    assert_int_equal(net_take(pair.client.fd, got, sizeof got), sizeof alert);
    assert_memory_equal(got, alert, sizeof alert);
}

static void encrypts_more_than_the_socket_takes_and_loses_nothing(void **state)
{
    const int size = 1;
    int last;
    (void)state;
    assert_int_equal(
        setsockopt(pair.server.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
    assert_int_equal(stream_write(&pair.server, sent, sizeof sent), IO_OK);
    assert_true(stream_has_output(&pair.server));
    assert_int_equal(stream_pair_hear(&pair, got, sizeof sent, &last), sizeof sent);
    assert_memory_equal(got, sent, sizeof sent);
    assert_true(stream_pair_owns_nothing(&pair.server));
}

static void says_close_notify_then_fin_behind_the_kept_output(void **state)
{
    const int size = 1;
    int last;
    (void)state;
    assert_int_equal(
        setsockopt(pair.server.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
    assert_int_equal(stream_write(&pair.server, sent, sizeof sent), IO_OK);
    assert_int_equal(stream_end_write(&pair.server), IO_OK);
    assert_true(pair.server.write_ended);
    assert_false(pair.server.write_shut);
    assert_int_equal(stream_pair_hear(&pair, got, sizeof got, &last), sizeof sent);
    assert_memory_equal(got, sent, sizeof sent);
    assert_int_equal(last, 0);
    assert_true(pair.server.write_shut);
    assert_int_equal(net_take(pair.client.fd, got, sizeof got), 0);
}

static void tls_reads_on_after_its_own_end(void **state)
{
    int last;
    (void)state;
    assert_int_equal(stream_end_write(&pair.server), IO_OK);
    assert_int_equal(stream_pair_hear(&pair, got, 1, &last), 0);
    assert_int_equal(last, 0);
    stream_pair_say(&pair, "upload", 6);
    assert_int_equal(stream_pair_read(&pair.server, got, 6), 6);
    assert_memory_equal(got, "upload", 6);
    tls_client_notify(&pair.client);
    (void)tls_client_send(&pair.client, TLS_CLIENT_OUT_MAX);
    assert_int_equal(stream_pair_read(&pair.server, got, 1), 0);
    assert_true(pair.server.read_ended);
    assert_false(pair.server.truncated);
}

static void tls_writes_on_after_the_peers_end(void **state)
{
    int last;
    (void)state;
    tls_client_notify(&pair.client);
    (void)tls_client_send(&pair.client, TLS_CLIENT_OUT_MAX);
    (void)shutdown(pair.client.fd, SHUT_WR);
    assert_int_equal(stream_pair_read(&pair.server, got, 1), 0);
    assert_int_equal(stream_write(&pair.server, sent, 5000), IO_OK);
    assert_int_equal(stream_end_write(&pair.server), IO_OK);
    assert_int_equal(stream_pair_hear(&pair, got, sizeof got, &last), 5000);
    assert_memory_equal(got, sent, 5000);
    assert_int_equal(last, 0);
}

/* A peer that re-keys wants an answer, but after close_notify there is none. */
static void a_key_update_after_its_own_end_does_not_fail(void **state)
{
    (void)state;
    assert_int_equal(stream_end_write(&pair.server), IO_OK);
    assert_int_equal(wolfSSL_update_keys(pair.client.ssl), WOLFSSL_SUCCESS);
    stream_pair_say(&pair, "upload", 6);
    assert_int_equal(stream_pair_read(&pair.server, got, 6), 6);
    assert_memory_equal(got, "upload", 6);
    assert_false(pair.server.write_failed);
}

static void shutting_says_no_close_notify(void **state)
{
    (void)state;
    stream_shut_write(&pair.server);
    assert_true(pair.server.write_shut);
    net_wait(pair.client.fd, POLLIN);
    assert_int_equal(net_take(pair.client.fd, got, sizeof got), 0);
}

/* The payload of the i-th record that the client received. */
static size_t record_payload(size_t wanted)
{
    const uint8_t *at = got;
    for (size_t i = 0;; i++) {
        const size_t length = (size_t)(at[3] << 8 | at[4]);
        assert_int_equal(at[0], 23);
        if (i == wanted)
            return length - RECORD_EXTRA;
        at += RECORD_HEADER + length;
    }
}

static void write_and_take(size_t length)
{
    size_t total = 0;
    assert_int_equal(stream_write(&pair.server, sent, length), IO_OK);
    while (total < length) {
        (void)stream_flush(&pair.server);
        const int taken = net_take(pair.client.fd, got + total, sizeof got - total);
        total += taken > 0 ? (size_t)taken : 0;
    }
}

static void begins_with_small_records_and_goes_on_with_large_ones(void **state)
{
    (void)state;
    write_and_take(sizeof sent);
    assert_int_equal(record_payload(0), 4096);
    assert_int_equal(record_payload(3), 4096);
    assert_int_equal(record_payload(4), 16384);
    write_and_take(sizeof sent);
    assert_int_equal(record_payload(0), 16384);
}

static void begins_with_small_records_again_after_a_quiet_time(void **state)
{
    (void)state;
    write_and_take(sizeof sent);
    stream_quiet(&pair.server);
    write_and_take(sizeof sent);
    assert_int_equal(record_payload(0), 4096);
}

#define WITH_PLAIN(test) cmocka_unit_test_setup_teardown(test, open_plain, close_plain)
#define WITH_TCP(test)   cmocka_unit_test_setup_teardown(test, open_plain_tcp, close_plain)
#define WITH_TLS(test)   cmocka_unit_test_setup_teardown(test, open_pair, close_pair)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PLAIN(fills_the_socket_and_keeps_the_rest_in_order),
        WITH_PLAIN(what_is_written_later_comes_later),
        WITH_PLAIN(room_that_was_freed_is_used_again),
        WITH_PLAIN(frees_the_output_with_its_last_byte),
        WITH_PLAIN(refuses_to_keep_more_than_its_limit),
        WITH_PLAIN(ends_with_fin_behind_the_kept_output),
        WITH_PLAIN(ending_twice_is_ending_once),
        WITH_PLAIN(reads_on_after_its_own_end),
        WITH_PLAIN(a_peer_that_is_gone_fails_the_write_but_not_the_read),
        WITH_PLAIN(abandoned_output_is_freed_and_nothing_more_is_written),
        WITH_TCP(closing_with_abort_resets),
        WITH_TCP(closing_without_abort_ends),
        WITH_PLAIN(close_gives_back_the_scratch_and_the_output),
        WITH_TLS(a_raw_write_puts_no_tls_around_the_bytes),
        WITH_TLS(encrypts_more_than_the_socket_takes_and_loses_nothing),
        WITH_TLS(says_close_notify_then_fin_behind_the_kept_output),
        WITH_TLS(tls_reads_on_after_its_own_end),
        WITH_TLS(tls_writes_on_after_the_peers_end),
        WITH_TLS(a_key_update_after_its_own_end_does_not_fail),
        WITH_TLS(shutting_says_no_close_notify),
        WITH_TLS(begins_with_small_records_and_goes_on_with_large_ones),
        WITH_TLS(begins_with_small_records_again_after_a_quiet_time),
    };
    return cmocka_run_group_tests(tests, open_contexts, close_contexts);
}
