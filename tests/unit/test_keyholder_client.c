/* Handshakes whose signatures come from a keyholder in the same event loop, or from a
 * test that plays one. */
#include "certs/keyholder_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <wolfssl/wolfcrypt/error-crypt.h>

#include "certs/keyholder.h"
#include "certs/keyholder_msg.h"
#include "proxy/log.h"
#include "tests/unit/certs_lab.h"
#include "tests/unit/tls_pair.h"

enum { DEADLINE_MS = 5000, KEY_KINDS = 4, CHAOS_ROUNDS = 400 };

static struct lab lab;
static struct bundle *chains;
static struct bundle *keys;
static struct certstore *store;
static WOLFSSL_CTX *client_contexts[2];

static struct event_base *base;
static struct keyholder *keyholder;
static struct keyholder_client *signer;
static int holder_fd; /* where the test plays the keyholder */

static int make_files(void **state)
{
    (void)state;
    struct report report = {0};
    size_t size = 0;
    wolfSSL_Init();
    log_configure(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    lab_open(&lab);
    lab_authorities(&lab);
    lab_chain(&lab, "p256", "p256", "DNS:p256.test");
    lab_chain(&lab, "p384", "p384", "DNS:p384.test");
    lab_chain(&lab, "ed25519", "ed25519", "DNS:ed25519.test");
    lab_chain(&lab, "rsa", "rsa2048", "DNS:rsa.test");
    lab_section(&lab, "p256");
    lab_section(&lab, "p384");
    lab_section(&lab, "ed25519");
    lab_section(&lab, "rsa");
    chains = lab_chains(&lab);
    keys = lab_keys(&lab);
    store = certstore_new(&lab.config, chains, &report);
    char *root = lab_read(&lab, "root.pem", &size);
    client_contexts[PAIR_TLS12] = tls_pair_client_context(PAIR_TLS12, root, size);
    client_contexts[PAIR_TLS13] = tls_pair_client_context(PAIR_TLS13, root, size);
    free(root);
    report_close(&report);
    return store ? 0 : -1;
}

static int remove_files(void **state)
{
    (void)state;
    certstore_free(store);
    wolfSSL_CTX_free(client_contexts[0]);
    wolfSSL_CTX_free(client_contexts[1]);
    bundle_close(chains);
    bundle_close(keys);
    lab_close(&lab);
    wolfSSL_Cleanup();
    return 0;
}

/* With a channel whose other end the test has. */
static int start_alone(void **state)
{
    (void)state;
    struct error error = {.text = ""};
    int fds[2];
    base = event_base_new();
    signer = keyholder_client_new(base, &error);
    assert_non_null(signer);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    keyholder_client_set_channel(signer, fds[0]);
    holder_fd = fds[1];
    keyholder = NULL;
    return 0;
}

static void join_keyholder(void)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    keyholder_client_set_channel(signer, fds[0]);
    keyholder_set_channel(keyholder, fds[1]);
}

static void make_keyholder(void)
{
    struct report report = {0};
    struct error error = {.text = ""};
    keyholder = keyholder_new(base, &error);
    assert_non_null(keyholder);
    assert_true(keyholder_prepare(keyholder, &lab.config, chains, keys, &report));
    keyholder_commit(keyholder);
    report_close(&report);
}

static int start(void **state)
{
    start_alone(state);
    (void)close(holder_fd);
    holder_fd = -1;
    make_keyholder();
    join_keyholder();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    keyholder_client_free(signer);
    keyholder_free(keyholder);
    if (holder_fd >= 0)
        (void)close(holder_fd);
    event_base_free(base);
    return 0;
}

static long now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void turn(void)
{
    (void)event_base_loop(base, EVLOOP_NONBLOCK);
}

/* Goes on until the handshake is over; whether it succeeded. */
static bool complete(struct tls_pair *pair)
{
    const long deadline = now_ms() + DEADLINE_MS;
    while (now_ms() < deadline && !pair->failed) {
        if (tls_pair_step(pair))
            return true;
        turn();
    }
    return false;
}

/* Goes on until the server waits for its signature. */
static void bring_to_signature(struct tls_pair *pair)
{
    for (int i = 0; i < 10 && !sign_job_is_waiting(pair->job); i++)
        (void)tls_pair_step(pair);
    assert_true(sign_job_is_waiting(pair->job));
    assert_int_equal(pair->server_error, WC_PENDING_E);
}

static void open_pair(struct tls_pair *pair, size_t certificate,
                      enum tls_pair_version version)
{
    tls_pair_open(pair, signer, certstore_at(store, certificate),
                  client_contexts[version], NULL);
}

static size_t take_requests(struct sign_request *requests)
{
    const ssize_t size =
        recv(holder_fd, requests, SIGN_BATCH_MAX * sizeof *requests, MSG_DONTWAIT);
    return size > 0 ? (size_t)size / sizeof *requests : 0;
}

static void reply_with(const struct sign_reply *reply)
{
    assert_int_equal(send(holder_fd, reply, sizeof *reply, MSG_NOSIGNAL), sizeof *reply);
    turn();
}

static bool channel_was_closed(void)
{
    char byte;
    turn();
    for (;;) {
        const ssize_t size = recv(holder_fd, &byte, 1, MSG_DONTWAIT);
        if (size <= 0)
            return size == 0;
    }
}

static void handshake_completes_with_every_version_and_key(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < KEY_KINDS; kind++) {
        for (int version = PAIR_TLS12; version <= PAIR_TLS13; version++) {
            struct tls_pair pair;
            open_pair(&pair, kind, (enum tls_pair_version)version);
            if (!complete(&pair) || !tls_pair_talk(&pair))
                fail_msg("%s, TLS 1.%d: server %d, client %d",
                         certstore_at(store, kind)->name, version + 2, pair.server_error,
                         pair.client_error);
            assert_string_equal(wolfSSL_get_version(pair.server),
                                version == PAIR_TLS12 ? "TLSv1.2" : "TLSv1.3");
            tls_pair_close(&pair);
        }
    }
}

static void owner_is_told_once_and_from_the_event_loop(void **state)
{
    (void)state;
    struct tls_pair pair;
    open_pair(&pair, 0, PAIR_TLS13);
    bring_to_signature(&pair);
    assert_int_equal(pair.signed_count, 0);
    assert_true(complete(&pair));
    assert_int_equal(pair.signed_count, 1);
    assert_false(pair.signed_in_accept);
    tls_pair_close(&pair);
}

static void impatient_owner_is_answered_with_pending(void **state)
{
    (void)state;
    struct tls_pair pair;
    struct sign_request requests[SIGN_BATCH_MAX];
    open_pair(&pair, 3, PAIR_TLS12);
    bring_to_signature(&pair);
    for (int i = 0; i < 20; i++) {
        (void)tls_pair_step(&pair);
        assert_int_equal(pair.server_error, WC_PENDING_E);
    }
    turn();
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
            open_pair(&pair, kind, (enum tls_pair_version)version);
            bring_to_signature(&pair);
            turn();
            assert_int_equal(take_requests(requests), 1);
            assert_true(sign_request_is_valid(&requests[0]));
            assert_memory_equal(requests[0].spki_hash,
                                certstore_at(store, kind)->spki_hash, SPKI_HASH_BYTES);
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
        open_pair(&pairs[i], 0, PAIR_TLS13);
        bring_to_signature(&pairs[i]);
    }
    turn();
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
        open_pair(&pairs[i], 0, PAIR_TLS13);
        bring_to_signature(&pairs[i]);
    }
    turn();
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
    (void)close(holder_fd);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    keyholder_client_set_channel(signer, fds[0]);
    holder_fd = fds[1];
    for (size_t i = 0; i < COUNT; i++) {
        open_pair(&pairs[i], 0, PAIR_TLS13);
        bring_to_signature(&pairs[i]);
        turn();
    }
    uint64_t last_id = 0;
    size_t got = 0;
    const long deadline = now_ms() + DEADLINE_MS;
    while (got < COUNT && now_ms() < deadline) {
        const size_t count = take_requests(requests);
        for (size_t i = 0; i < count; i++) {
            assert_true(requests[i].id > last_id);
            last_id = requests[i].id;
        }
        got += count;
        turn();
    }
    assert_int_equal(got, COUNT);
    for (size_t i = 0; i < COUNT; i++)
        tls_pair_close(&pairs[i]);
}

static void lost_keyholder_costs_time_not_the_handshake(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < KEY_KINDS; kind++) {
        struct tls_pair pair;
        open_pair(&pair, kind, kind % 2 ? PAIR_TLS12 : PAIR_TLS13);
        bring_to_signature(&pair);
        keyholder_free(keyholder);
        keyholder = NULL;
        turn();
        turn();
        (void)tls_pair_step(&pair);
        assert_int_equal(pair.server_error, WC_PENDING_E);
        make_keyholder();
        join_keyholder();
        assert_true(complete(&pair));
        tls_pair_close(&pair);
    }
}

static void requests_wait_for_the_first_channel(void **state)
{
    (void)state;
    struct tls_pair pair;
    (void)close(holder_fd);
    holder_fd = -1;
    turn();
    open_pair(&pair, 0, PAIR_TLS13);
    bring_to_signature(&pair);
    turn();
    make_keyholder();
    join_keyholder();
    assert_true(complete(&pair));
    tls_pair_close(&pair);
}

static void new_channel_gets_the_unanswered_requests_again(void **state)
{
    (void)state;
    struct tls_pair pairs[3];
    struct sign_request before[SIGN_BATCH_MAX], after[SIGN_BATCH_MAX];
    int fds[2];
    for (size_t i = 0; i < 3; i++) {
        open_pair(&pairs[i], 0, PAIR_TLS13);
        bring_to_signature(&pairs[i]);
    }
    turn();
    assert_int_equal(take_requests(before), 3);
    tls_pair_close(&pairs[1]);
    (void)close(holder_fd);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    keyholder_client_set_channel(signer, fds[0]);
    holder_fd = fds[1];
    turn();
    assert_int_equal(take_requests(after), 2);
    assert_memory_equal(&after[0], &before[0], sizeof before[0]);
    assert_memory_equal(&after[1], &before[2], sizeof before[2]);
    tls_pair_close(&pairs[0]);
    tls_pair_close(&pairs[2]);
}

static void freed_job_is_not_missed_by_its_reply(void **state)
{
    (void)state;
    struct tls_pair gone, other;
    open_pair(&gone, 0, PAIR_TLS13);
    open_pair(&other, 0, PAIR_TLS13);
    bring_to_signature(&gone);
    bring_to_signature(&other);
    turn();
    tls_pair_close(&gone);
    assert_true(complete(&other));
    tls_pair_close(&other);
}

static void unsent_job_can_be_freed(void **state)
{
    (void)state;
    struct tls_pair gone, other;
    open_pair(&gone, 0, PAIR_TLS13);
    bring_to_signature(&gone);
    open_pair(&other, 0, PAIR_TLS13);
    bring_to_signature(&other);
    tls_pair_close(&gone);
    assert_true(complete(&other));
    tls_pair_close(&other);
}

static void job_may_outlive_the_client(void **state)
{
    (void)state;
    struct tls_pair pair;
    struct error error = {.text = ""};
    open_pair(&pair, 0, PAIR_TLS13);
    bring_to_signature(&pair);
    keyholder_client_free(signer);
    tls_pair_close(&pair);
    signer = keyholder_client_new(base, &error);
}

static void refused_signature_fails_the_handshake(void **state)
{
    (void)state;
    static const enum sign_status statuses[] = {SIGN_BAD_REQUEST, SIGN_UNKNOWN_KEY,
                                                SIGN_FAILED};
    for (size_t i = 0; i < 3; i++) {
        struct tls_pair pair;
        struct sign_request requests[SIGN_BATCH_MAX];
        open_pair(&pair, 0, i % 2 ? PAIR_TLS12 : PAIR_TLS13);
        bring_to_signature(&pair);
        turn();
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
        open_pair(&pair, kind, PAIR_TLS13);
        bring_to_signature(&pair);
        turn();
        assert_int_equal(take_requests(requests), 1);
        struct sign_reply reply = {
            .id = requests[0].id, .status = SIGN_DONE, .signature_length = 256};
        memset(reply.signature, 0x5a, sizeof reply.signature);
        reply_with(&reply);
        assert_false(complete(&pair));
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
        open_pair(&pair, kind, PAIR_TLS12);
        bring_to_signature(&pair);
        turn();
        assert_int_equal(take_requests(requests), 1);
        reply_with(&(struct sign_reply){.id = requests[0].id,
                                        .status = SIGN_DONE,
                                        .signature_length = SIGN_SIGNATURE_MAX});
        assert_false(complete(&pair));
        tls_pair_close(&pair);
    }
}

static void second_reply_to_one_request_is_ignored(void **state)
{
    (void)state;
    struct tls_pair pair;
    struct sign_request requests[SIGN_BATCH_MAX];
    open_pair(&pair, 0, PAIR_TLS13);
    bring_to_signature(&pair);
    turn();
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
    open_pair(&pair, 0, PAIR_TLS13);
    bring_to_signature(&pair);
    turn();
    assert_int_equal(take_requests(requests), 1);
    reply_with(&(struct sign_reply){.id = requests[0].id, .status = 99});
    assert_true(channel_was_closed());
    make_keyholder();
    join_keyholder();
    assert_true(complete(&pair));
    tls_pair_close(&pair);
}

static void packet_of_odd_size_loses_the_channel(void **state)
{
    (void)state;
    assert_int_equal(send(holder_fd, "nonsense", 8, MSG_NOSIGNAL), 8);
    assert_true(channel_was_closed());
}

static void random_replies_never_crash(void **state)
{
    (void)state;
    unsigned seed = 3;
    struct tls_pair pair;
    open_pair(&pair, 0, PAIR_TLS13);
    bring_to_signature(&pair);
    for (int round = 0; round < 1000; round++) {
        struct sign_reply replies[2];
        int fds[2];
        uint8_t *bytes = (uint8_t *)replies;
        (void)close(holder_fd);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
        keyholder_client_set_channel(signer, fds[0]);
        holder_fd = fds[1];
        for (size_t i = 0; i < sizeof replies; i++) {
            seed = seed * 1103515245u + 12345u;
            bytes[i] = (uint8_t)(seed >> 16);
        }
        if (round % 2)
            replies[0].id = (uint64_t)round % 3;
        const size_t size = (seed >> 8) % (sizeof replies + 1);
        (void)send(holder_fd, replies, size, MSG_NOSIGNAL);
        turn();
    }
    tls_pair_close(&pair);
}

/* One round of chaos: short reads and writes, and every fifth handshake is abandoned. */
static bool chaos_round(unsigned seed, unsigned *pendings)
{
    struct tls_pair pair;
    unsigned draws = seed;
    tls_pair_open(&pair, signer, certstore_at(store, seed % KEY_KINDS),
                  client_contexts[seed / KEY_KINDS % 2], &draws);
    const int abandon_at = seed % 5 == 0 ? (int)(seed / 5 % 60) : -1;
    bool ok = true;
    for (int i = 0; ok && i != abandon_at && !tls_pair_step(&pair); i++) {
        ok = i < 20000 && !pair.failed;
        if (i % 3 == 0)
            turn();
        if (seed % 50 == 7 && i == 40)
            join_keyholder();
    }
    if (ok && pair.server_done && pair.client_done)
        ok = tls_pair_talk(&pair);
    *pendings += pair.pendings;
    tls_pair_close(&pair);
    return ok;
}

/* That a handshake can be taken up again where its signature was missing is nothing the
 * library promises: this is what we rely on. */
static void pending_signatures_survive_chaos(void **state)
{
    (void)state;
    unsigned pendings = 0;
    for (unsigned round = 1; round <= CHAOS_ROUNDS; round++) {
        if (!chaos_round(round, &pendings))
            fail_msg("round %u", round);
    }
    assert_true(pendings > CHAOS_ROUNDS / 2);
}

#define TEST(name)       cmocka_unit_test_setup_teardown(name, start, stop)
#define ALONE_TEST(name) cmocka_unit_test_setup_teardown(name, start_alone, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(handshake_completes_with_every_version_and_key),
        TEST(owner_is_told_once_and_from_the_event_loop),
        ALONE_TEST(impatient_owner_is_answered_with_pending),
        ALONE_TEST(request_names_the_key_and_is_valid),
        ALONE_TEST(requests_of_one_turn_leave_in_one_packet),
        ALONE_TEST(packet_holds_no_more_than_a_batch),
        ALONE_TEST(blocked_channel_gets_everything_in_order_later),
        TEST(lost_keyholder_costs_time_not_the_handshake),
        ALONE_TEST(requests_wait_for_the_first_channel),
        ALONE_TEST(new_channel_gets_the_unanswered_requests_again),
        TEST(freed_job_is_not_missed_by_its_reply),
        TEST(unsent_job_can_be_freed),
        TEST(job_may_outlive_the_client),
        ALONE_TEST(refused_signature_fails_the_handshake),
        ALONE_TEST(wrong_signature_fails_only_its_handshake),
        ALONE_TEST(oversized_signature_does_not_fit_anywhere),
        ALONE_TEST(second_reply_to_one_request_is_ignored),
        ALONE_TEST(reply_to_no_request_loses_the_channel),
        ALONE_TEST(malformed_reply_loses_the_channel_not_the_request),
        ALONE_TEST(packet_of_odd_size_loses_the_channel),
        ALONE_TEST(random_replies_never_crash),
        TEST(pending_signatures_survive_chaos),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
