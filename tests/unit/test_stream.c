/* Handshake and reading.  Writing is in test_stream_output.c. */
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

enum { BULK_BYTES = 40000 };

static struct stream_pair pair;
static uint8_t sent[BULK_BYTES];
static uint8_t got[BULK_BYTES];

static int open_contexts(void **state)
{
    (void)state;
    tls_contexts_open();
    net_pattern(sent, sizeof sent, 1);
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

static int begin_pair(void **state)
{
    int fds[2];
    (void)state;
    net_pair_unix(fds);
    stream_pair_begin(&pair, fds, CLIENT_TLS13);
    return 0;
}

/* Over TCP, where an end can be a reset. */
static int open_tcp_pair(void **state)
{
    int fds[2];
    (void)state;
    net_pair_tcp(fds);
    stream_pair_begin(&pair, fds, CLIENT_TLS13);
    stream_pair_handshake(&pair);
    return 0;
}

/* One event in which the socket is readable. */
static enum io read_event(size_t *length)
{
    net_wait(pair.server.fd, POLLIN);
    const enum io result = stream_read(&pair.server, length);
    assert_true(stream_settle(&pair.server));
    return result;
}

static void accepts_a_handshake_that_comes_byte_by_byte(void **state)
{
    bool connected = false;
    (void)state;
    while (!pair.server.secure) {
        connected = connected || tls_client_connect(&pair.client);
        assert_false(pair.client.failed);
        while (!pair.server.secure && tls_client_send(&pair.client, 1) == 1) {
            net_wait(pair.server.fd, POLLIN);
            assert_int_equal(stream_receive(&pair.server), IO_OK);
            const enum io result = stream_accept(&pair.server);
            assert_int_equal(result, pair.server.secure ? IO_OK : IO_AGAIN);
            assert_true(stream_settle(&pair.server));
        }
    }
    assert_true(stream_pair_owns_nothing(&pair.server));
}

static void sends_an_alert_for_a_handshake_it_cannot_accept(void **state)
{
    static const uint8_t nonsense[] = {22, 3, 3, 0, 4, 99, 0, 0, 0};
    uint8_t answer[16];
    (void)state;
    net_send(pair.client.fd, nonsense, sizeof nonsense);
    assert_int_equal(stream_receive(&pair.server), IO_OK);
    assert_int_equal(stream_accept(&pair.server), IO_ERROR);
    assert_true(pair.server.error < 0);
    assert_true(strlen(stream_error_text(&pair.server)) > 0);
    net_wait(pair.client.fd, POLLIN);
    assert_true(net_take(pair.client.fd, answer, sizeof answer) >= 7);
    assert_int_equal(answer[0], 21);
}

/* The client's first request comes in the same packet as its Finished. */
static void say_with_the_finished_message(const char *text)
{
    while (!tls_client_connect(&pair.client)) {
        assert_false(pair.client.failed);
        (void)tls_client_send(&pair.client, TLS_CLIENT_OUT_MAX);
        if (!net_is_ready(pair.server.fd, POLLIN))
            continue;
        assert_int_equal(stream_receive(&pair.server), IO_OK);
        assert_int_equal(stream_accept(&pair.server), IO_AGAIN);
        assert_true(stream_settle(&pair.server));
    }
    tls_client_write(&pair.client, text, strlen(text));
    (void)tls_client_send(&pair.client, TLS_CLIENT_OUT_MAX);
    net_wait(pair.server.fd, POLLIN);
    assert_int_equal(stream_receive(&pair.server), IO_OK);
    assert_int_equal(stream_accept(&pair.server), IO_OK);
}

static void has_the_input_that_came_behind_the_handshake(void **state)
{
    size_t length;
    (void)state;
    say_with_the_finished_message("GET /");
    assert_true(stream_has_input(&pair.server));
    (void)stream_read(&pair.server, &length);
    assert_int_equal(length, 5);
    assert_memory_equal(stream_pair_scratch.plain, "GET /", 5);
    assert_true(stream_settle(&pair.server));
    assert_true(stream_pair_owns_nothing(&pair.server));
}

static void keeps_that_input_while_another_stream_uses_the_scratch(void **state)
{
    struct stream other;
    int fds[2];
    (void)state;
    say_with_the_finished_message("GET /");
    assert_true(stream_settle(&pair.server));
    assert_true(stream_has_input(&pair.server));

    net_pair_unix(fds);
    stream_init(&other, &stream_pair_scratch);
    stream_take(&other, fds[0]);
    net_send(fds[1], "overwritten", 11);
    assert_int_equal(stream_receive(&other), IO_OK);
    assert_true(stream_settle(&other));

    assert_int_equal(stream_pair_read(&pair.server, got, 5), 5);
    assert_memory_equal(got, "GET /", 5);
    assert_true(stream_pair_owns_nothing(&pair.server));
    stream_close(&other, false);
    (void)close(fds[1]);
}

static void shows_what_was_received_from_its_first_byte(void **state)
{
    size_t length;
    (void)state;
    for (size_t i = 1; i <= 3; i++) {
        net_send(pair.client.fd, "x", 1);
        assert_int_equal(stream_receive(&pair.server), IO_OK);
        assert_non_null(stream_received(&pair.server, &length));
        assert_int_equal(length, i);
        assert_true(stream_settle(&pair.server));
    }
    assert_null(stream_received(&pair.server, &length));
    assert_int_equal(length, 0);
}

static void reads_several_records_at_once(void **state)
{
    size_t length;
    (void)state;
    tls_client_write(&pair.client, "one ", 4);
    tls_client_write(&pair.client, "two ", 4);
    tls_client_write(&pair.client, "three", 5);
    (void)tls_client_send(&pair.client, TLS_CLIENT_OUT_MAX);
    assert_int_equal(read_event(&length), IO_OK);
    assert_int_equal(length, 13);
    assert_memory_equal(stream_pair_scratch.plain, "one two three", 13);
}

static void has_nothing_to_give_before_the_record_is_whole(void **state)
{
    size_t length;
    (void)state;
    tls_client_write(&pair.client, "hello", 5);
    (void)tls_client_send(&pair.client, 10);
    assert_int_equal(read_event(&length), IO_AGAIN);
    assert_int_equal(length, 0);
    assert_false(pair.server.read_ended);
    (void)tls_client_send(&pair.client, TLS_CLIENT_OUT_MAX);
    assert_int_equal(read_event(&length), IO_OK);
    assert_int_equal(length, 5);
}

static void has_nothing_to_give_when_nothing_came(void **state)
{
    size_t length;
    (void)state;
    assert_int_equal(stream_read(&pair.server, &length), IO_AGAIN);
    assert_int_equal(length, 0);
    assert_true(stream_settle(&pair.server));
}

static void owns_no_buffer_while_idle(void **state)
{
    (void)state;
    assert_true(stream_pair_owns_nothing(&pair.server));
    stream_pair_say(&pair, sent, sizeof sent);
    assert_int_equal(stream_pair_read(&pair.server, got, sizeof got), sizeof got);
    assert_memory_equal(got, sent, sizeof sent);
    assert_true(stream_pair_owns_nothing(&pair.server));
}

static void a_close_notify_ends_the_reading(void **state)
{
    size_t length;
    (void)state;
    tls_client_write(&pair.client, "bye", 3);
    tls_client_notify(&pair.client);
    (void)tls_client_send(&pair.client, TLS_CLIENT_OUT_MAX);
    assert_int_equal(read_event(&length), IO_OK);
    assert_int_equal(length, 3);
    assert_true(pair.server.read_ended);
    assert_false(pair.server.truncated);
}

static void an_end_without_close_notify_is_a_truncation(void **state)
{
    size_t length;
    (void)state;
    stream_pair_say(&pair, "cut", 3);
    tls_client_hang_up(&pair.client);
    assert_int_equal(stream_pair_read(&pair.server, got, sizeof got), 3);
    assert_true(pair.server.read_ended);
    assert_true(pair.server.truncated);
    assert_int_equal(stream_read(&pair.server, &length), IO_OK);
    assert_int_equal(length, 0);
}

static void an_end_within_a_record_is_a_truncation(void **state)
{
    (void)state;
    tls_client_write(&pair.client, "hello", 5);
    (void)tls_client_send(&pair.client, 10);
    tls_client_hang_up(&pair.client);
    assert_int_equal(stream_pair_read(&pair.server, got, sizeof got), 0);
    assert_true(pair.server.truncated);
}

static void notices_a_reset(void **state)
{
    size_t length;
    (void)state;
    net_reset(pair.client.fd);
    pair.client.fd = -1;
    net_wait(pair.server.fd, POLLIN);
    assert_int_equal(stream_read(&pair.server, &length), IO_ERROR);
    assert_true(pair.server.broken);
    assert_int_equal(pair.server.error, ECONNRESET);
    assert_string_equal(stream_error_text(&pair.server), strerror(ECONNRESET));
}

static void gives_what_came_before_a_damaged_record(void **state)
{
    size_t length;
    (void)state;
    tls_client_write(&pair.client, "good", 4);
    tls_client_write(&pair.client, "bad", 3);
    pair.client.out[pair.client.out_end - 1] ^= 1;
    (void)tls_client_send(&pair.client, TLS_CLIENT_OUT_MAX);
    assert_int_equal(read_event(&length), IO_ERROR);
    assert_int_equal(length, 4);
    assert_memory_equal(stream_pair_scratch.plain, "good", 4);
    assert_true(pair.server.error < 0);
}

static void answers_a_key_update(void **state)
{
    size_t length;
    int last;
    (void)state;
    assert_int_equal(wolfSSL_update_keys(pair.client.ssl), WOLFSSL_SUCCESS);
    (void)tls_client_send(&pair.client, TLS_CLIENT_OUT_MAX);
    assert_int_equal(read_event(&length), IO_AGAIN);
    assert_true(net_is_ready(pair.client.fd, POLLIN));
    stream_pair_say(&pair, "new keys", 8);
    assert_int_equal(stream_pair_read(&pair.server, got, 8), 8);
    assert_int_equal(stream_write(&pair.server, sent, 100), IO_OK);
    assert_int_equal(stream_pair_hear(&pair, got, 100, &last), 100);
    assert_memory_equal(got, sent, 100);
}

static void reads_plain_bytes_and_their_end(void **state)
{
    struct stream plain;
    size_t length;
    int fds[2];
    (void)state;
    net_pair_unix(fds);
    stream_init(&plain, &stream_pair_scratch);
    stream_take(&plain, fds[0]);
    assert_int_equal(stream_read(&plain, &length), IO_AGAIN);
    net_send(fds[1], "answer", 6);
    assert_int_equal(stream_read(&plain, &length), IO_OK);
    assert_int_equal(length, 6);
    assert_memory_equal(stream_pair_scratch.plain, "answer", 6);
    (void)close(fds[1]);
    assert_int_equal(stream_read(&plain, &length), IO_OK);
    assert_int_equal(length, 0);
    assert_true(plain.read_ended);
    assert_false(plain.truncated);
    stream_close(&plain, false);
}

static void discards_until_the_end(void **state)
{
    (void)state;
    net_send(pair.client.fd, "whatever", 8);
    assert_int_equal(stream_discard(&pair.server), IO_OK);
    assert_int_equal(stream_discard(&pair.server), IO_AGAIN);
    tls_client_hang_up(&pair.client);
    assert_int_equal(stream_discard(&pair.server), IO_OK);
    assert_true(pair.server.read_ended);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(accepts_a_handshake_that_comes_byte_by_byte,
                                        begin_pair, close_pair),
        cmocka_unit_test_setup_teardown(sends_an_alert_for_a_handshake_it_cannot_accept,
                                        begin_pair, close_pair),
        cmocka_unit_test_setup_teardown(has_the_input_that_came_behind_the_handshake,
                                        begin_pair, close_pair),
        cmocka_unit_test_setup_teardown(
            keeps_that_input_while_another_stream_uses_the_scratch, begin_pair,
            close_pair),
        cmocka_unit_test_setup_teardown(shows_what_was_received_from_its_first_byte,
                                        begin_pair, close_pair),
        cmocka_unit_test_setup_teardown(reads_several_records_at_once, open_pair,
                                        close_pair),
        cmocka_unit_test_setup_teardown(has_nothing_to_give_before_the_record_is_whole,
                                        open_pair, close_pair),
        cmocka_unit_test_setup_teardown(has_nothing_to_give_when_nothing_came, open_pair,
                                        close_pair),
        cmocka_unit_test_setup_teardown(owns_no_buffer_while_idle, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(a_close_notify_ends_the_reading, open_pair,
                                        close_pair),
        cmocka_unit_test_setup_teardown(an_end_without_close_notify_is_a_truncation,
                                        open_pair, close_pair),
        cmocka_unit_test_setup_teardown(an_end_within_a_record_is_a_truncation, open_pair,
                                        close_pair),
        cmocka_unit_test_setup_teardown(notices_a_reset, open_tcp_pair, close_pair),
        cmocka_unit_test_setup_teardown(gives_what_came_before_a_damaged_record,
                                        open_pair, close_pair),
        cmocka_unit_test_setup_teardown(answers_a_key_update, open_pair, close_pair),
        cmocka_unit_test(reads_plain_bytes_and_their_end),
        cmocka_unit_test_setup_teardown(discards_until_the_end, open_pair, close_pair),
    };
    return cmocka_run_group_tests(tests, open_contexts, close_contexts);
}
