/* Sign requests and replies, with a test that plays the keyholder. */
#include "certs/keyholder_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <wolfssl/wolfcrypt/error-crypt.h>

#include "tests/unit/sign_lab.h"

static size_t take_requests(struct sign_request *requests)
{
    const ssize_t size = recv(sign_lab.holder_fd, requests,
                              SIGN_BATCH_MAX * sizeof *requests, MSG_DONTWAIT);
    return size > 0 ? (size_t)size / sizeof *requests : 0;
}

static void reply_with(const struct sign_reply *reply)
{
    assert_int_equal(send(sign_lab.holder_fd, reply, sizeof *reply, MSG_NOSIGNAL),
                     sizeof *reply);
    sign_lab_turn();
}

static bool channel_was_closed(void)
{
    char byte;
    sign_lab_turn();
    for (;;) {
        const ssize_t size = recv(sign_lab.holder_fd, &byte, 1, MSG_DONTWAIT);
        if (size <= 0)
            return size == 0;
    }
}

static void impatient_owner_is_answered_with_pending(void **state)
{
    (void)state;
    struct tls_pair pair;
    struct sign_request requests[SIGN_BATCH_MAX];
    sign_lab_open_pair(&pair, 3, PAIR_TLS12);
    sign_lab_bring_to_signature(&pair);
    for (int i = 0; i < 20; i++) {
        (void)tls_pair_step(&pair);
        assert_int_equal(pair.server_error, WC_PENDING_E);
    }
    sign_lab_turn();
    assert_int_equal(take_requests(requests), 1);
    tls_pair_close(&pair);
}

static void request_names_the_key_and_is_valid(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < KEY_KINDS; kind++) {
        for (int version = PAIR_TLS12; version <= PAIR_TLS13; version++) {
            struct tls_pair pair;
            struct sign_request requests[SIGN_BATCH_MAX];
            sign_lab_open_pair(&pair, kind, (enum tls_pair_version)version);
            sign_lab_bring_to_signature(&pair);
            sign_lab_turn();
            assert_int_equal(take_requests(requests), 1);
            assert_true(sign_request_is_valid(&requests[0]));
            assert_memory_equal(requests[0].spki_hash,
                                certstore_at(sign_lab.store, kind)->spki_hash,
                                SPKI_HASH_BYTES);
            tls_pair_close(&pair);
        }
    }
}

static void requests_of_one_turn_leave_in_one_packet(void **state)
{
    (void)state;
    struct tls_pair pairs[5];
    struct sign_request requests[SIGN_BATCH_MAX];
    for (size_t i = 0; i < 5; i++) {
        sign_lab_open_pair(&pairs[i], 0, PAIR_TLS13);
        sign_lab_bring_to_signature(&pairs[i]);
    }
    sign_lab_turn();
    assert_int_equal(take_requests(requests), 5);
    assert_int_equal(take_requests(requests), 0);
    for (size_t i = 0; i < 5; i++)
        tls_pair_close(&pairs[i]);
}

static void packet_holds_no_more_than_a_batch(void **state)
{
    (void)state;
    struct tls_pair pairs[SIGN_BATCH_MAX + 3];
    struct sign_request requests[SIGN_BATCH_MAX];
    for (size_t i = 0; i < SIGN_BATCH_MAX + 3; i++) {
        sign_lab_open_pair(&pairs[i], 0, PAIR_TLS13);
        sign_lab_bring_to_signature(&pairs[i]);
    }
    sign_lab_turn();
    assert_int_equal(take_requests(requests), SIGN_BATCH_MAX);
    assert_int_equal(take_requests(requests), 3);
    for (size_t i = 0; i < SIGN_BATCH_MAX + 3; i++)
        tls_pair_close(&pairs[i]);
}

static void blocked_channel_gets_everything_in_order_later(void **state)
{
    (void)state;
    enum { COUNT = 200 };
    static struct tls_pair pairs[COUNT];
    struct sign_request requests[SIGN_BATCH_MAX];
    int fds[2];
    const int small = 12 * 1024; /* little more than one full packet */
    (void)close(sign_lab.holder_fd);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    keyholder_client_set_channel(sign_lab.signer, fds[0]);
    sign_lab.holder_fd = fds[1];
    for (size_t i = 0; i < COUNT; i++) {
        sign_lab_open_pair(&pairs[i], 0, PAIR_TLS13);
        sign_lab_bring_to_signature(&pairs[i]);
        sign_lab_turn();
    }
    uint64_t last_id = 0;
    size_t got = 0;
    const long deadline = sign_lab_now_ms() + DEADLINE_MS;
    while (got < COUNT && sign_lab_now_ms() < deadline) {
        const size_t count = take_requests(requests);
        for (size_t i = 0; i < count; i++) {
            assert_true(requests[i].id > last_id);
            last_id = requests[i].id;
        }
        got += count;
        sign_lab_turn();
    }
    assert_int_equal(got, COUNT);
    for (size_t i = 0; i < COUNT; i++)
        tls_pair_close(&pairs[i]);
}

static void new_channel_gets_the_unanswered_requests_again(void **state)
{
    (void)state;
    struct tls_pair pairs[3];
    struct sign_request before[SIGN_BATCH_MAX], after[SIGN_BATCH_MAX];
    int fds[2];
    for (size_t i = 0; i < 3; i++) {
        sign_lab_open_pair(&pairs[i], 0, PAIR_TLS13);
        sign_lab_bring_to_signature(&pairs[i]);
    }
    sign_lab_turn();
    assert_int_equal(take_requests(before), 3);
    tls_pair_close(&pairs[1]);
    (void)close(sign_lab.holder_fd);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    keyholder_client_set_channel(sign_lab.signer, fds[0]);
    sign_lab.holder_fd = fds[1];
    sign_lab_turn();
    assert_int_equal(take_requests(after), 2);
    assert_memory_equal(&after[0], &before[0], sizeof before[0]);
    assert_memory_equal(&after[1], &before[2], sizeof before[2]);
    tls_pair_close(&pairs[0]);
    tls_pair_close(&pairs[2]);
}

static void refused_signature_fails_the_handshake(void **state)
{
    (void)state;
    static const enum sign_status statuses[] = {SIGN_BAD_REQUEST, SIGN_UNKNOWN_KEY,
                                                SIGN_FAILED};
    for (size_t i = 0; i < 3; i++) {
        struct tls_pair pair;
        struct sign_request requests[SIGN_BATCH_MAX];
        sign_lab_open_pair(&pair, 0, i % 2 ? PAIR_TLS12 : PAIR_TLS13);
        sign_lab_bring_to_signature(&pair);
        sign_lab_turn();
        assert_int_equal(take_requests(requests), 1);
        reply_with(
            &(struct sign_reply){.id = requests[0].id, .status = (uint16_t)statuses[i]});
        assert_int_equal(pair.signed_count, 1);
        (void)tls_pair_step(&pair);
        assert_true(pair.failed);
        assert_false(pair.server_done);
        tls_pair_close(&pair);
    }
}

static void wrong_signature_fails_only_its_handshake(void **state)
{
    (void)state;
    struct sign_request requests[SIGN_BATCH_MAX];
    for (size_t kind = 0; kind < KEY_KINDS; kind++) {
        struct tls_pair pair;
        sign_lab_open_pair(&pair, kind, PAIR_TLS13);
        sign_lab_bring_to_signature(&pair);
        sign_lab_turn();
        assert_int_equal(take_requests(requests), 1);
        struct sign_reply reply = {
            .id = requests[0].id, .status = SIGN_DONE, .signature_length = 256};
        memset(reply.signature, 0x5a, sizeof reply.signature);
        reply_with(&reply);
        assert_false(sign_lab_complete(&pair));
        assert_true(pair.failed);
        tls_pair_close(&pair);
    }
    assert_false(channel_was_closed());
}

static void oversized_signature_does_not_fit_anywhere(void **state)
{
    (void)state;
    struct sign_request requests[SIGN_BATCH_MAX];
    for (size_t kind = 0; kind < KEY_KINDS; kind++) {
        struct tls_pair pair;
        sign_lab_open_pair(&pair, kind, PAIR_TLS12);
        sign_lab_bring_to_signature(&pair);
        sign_lab_turn();
        assert_int_equal(take_requests(requests), 1);
        reply_with(&(struct sign_reply){.id = requests[0].id,
                                        .status = SIGN_DONE,
                                        .signature_length = SIGN_SIGNATURE_MAX});
        assert_false(sign_lab_complete(&pair));
        tls_pair_close(&pair);
    }
}

static void second_reply_to_one_request_is_ignored(void **state)
{
    (void)state;
    struct tls_pair pair;
    struct sign_request requests[SIGN_BATCH_MAX];
    sign_lab_open_pair(&pair, 0, PAIR_TLS13);
    sign_lab_bring_to_signature(&pair);
    sign_lab_turn();
    assert_int_equal(take_requests(requests), 1);
    const struct sign_reply reply = {.id = requests[0].id, .status = SIGN_FAILED};
    reply_with(&reply);
    reply_with(&reply);
    assert_int_equal(pair.signed_count, 1);
    assert_false(channel_was_closed());
    tls_pair_close(&pair);
}

static void reply_to_no_request_loses_the_channel(void **state)
{
    (void)state;
    reply_with(&(struct sign_reply){.id = 77, .status = SIGN_FAILED});
    assert_true(channel_was_closed());
}

static void malformed_reply_loses_the_channel_not_the_request(void **state)
{
    (void)state;
    struct tls_pair pair;
    struct sign_request requests[SIGN_BATCH_MAX];
    sign_lab_open_pair(&pair, 0, PAIR_TLS13);
    sign_lab_bring_to_signature(&pair);
    sign_lab_turn();
    assert_int_equal(take_requests(requests), 1);
    reply_with(&(struct sign_reply){.id = requests[0].id, .status = 99});
    assert_true(channel_was_closed());
    sign_lab_make_keyholder();
    sign_lab_join_keyholder();
    assert_true(sign_lab_complete(&pair));
    tls_pair_close(&pair);
}

static void packet_of_odd_size_loses_the_channel(void **state)
{
    (void)state;
    assert_int_equal(send(sign_lab.holder_fd, "nonsense", 8, MSG_NOSIGNAL), 8);
    assert_true(channel_was_closed());
}

static void random_replies_never_crash(void **state)
{
    (void)state;
    unsigned seed = 3;
    struct tls_pair pair;
    sign_lab_open_pair(&pair, 0, PAIR_TLS13);
    sign_lab_bring_to_signature(&pair);
    for (int round = 0; round < 1000; round++) {
        struct sign_reply replies[2];
        int fds[2];
        uint8_t *bytes = (uint8_t *)replies;
        (void)close(sign_lab.holder_fd);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
        keyholder_client_set_channel(sign_lab.signer, fds[0]);
        sign_lab.holder_fd = fds[1];
        for (size_t i = 0; i < sizeof replies; i++) {
            seed = seed * 1103515245u + 12345u;
            bytes[i] = (uint8_t)(seed >> 16);
        }
        if (round % 2)
            replies[0].id = (uint64_t)round % 3;
        const size_t size = (seed >> 8) % (sizeof replies + 1);
        (void)send(sign_lab.holder_fd, replies, size, MSG_NOSIGNAL);
        sign_lab_turn();
    }
    tls_pair_close(&pair);
}

#define TEST(name)                                                                       \
    cmocka_unit_test_setup_teardown(name, sign_lab_start_alone, sign_lab_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(impatient_owner_is_answered_with_pending),
        TEST(request_names_the_key_and_is_valid),
        TEST(requests_of_one_turn_leave_in_one_packet),
        TEST(packet_holds_no_more_than_a_batch),
        TEST(blocked_channel_gets_everything_in_order_later),
        TEST(new_channel_gets_the_unanswered_requests_again),
        TEST(refused_signature_fails_the_handshake),
        TEST(wrong_signature_fails_only_its_handshake),
        TEST(oversized_signature_does_not_fit_anywhere),
        TEST(second_reply_to_one_request_is_ignored),
        TEST(reply_to_no_request_loses_the_channel),
        TEST(malformed_reply_loses_the_channel_not_the_request),
        TEST(packet_of_odd_size_loses_the_channel),
        TEST(random_replies_never_crash),
    };
    return cmocka_run_group_tests(tests, sign_lab_open, sign_lab_close);
}
