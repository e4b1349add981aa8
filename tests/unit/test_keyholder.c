/* A keyholder and its channel in one event loop; the test plays the worker. */
#include "certs/keyholder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "certs/certcheck.h"
#include "certs/private_key.h"
#include "proxy/log.h"
#include "tests/unit/certs_lab.h"

#include <wolfssl/wolfcrypt/asn_public.h>

enum { DEADLINE_MS = 3000 };

static struct lab lab;
static struct event_base *base;
static struct keyholder *keyholder;
static int worker_fd;

static int make_files(void **state)
{
    (void)state;
    log_configure(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    lab_open(&lab);
    lab_authorities(&lab);
    lab_chain(&lab, "p256", "p256", "DNS:p256.test");
    lab_chain(&lab, "p384", "p384", "DNS:p384.test");
    lab_chain(&lab, "ed25519", "ed25519", "DNS:ed25519.test");
    lab_chain(&lab, "rsa", "rsa2048", "DNS:rsa.test");
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    lab_close(&lab);
    return 0;
}

static bool prepare(struct report *report)
{
    struct bundle *chains = lab_chains(&lab);
    struct bundle *keys = lab_keys(&lab);
    const bool ok = keyholder_prepare(keyholder, &lab.config, chains, keys, report);
    bundle_close(chains);
    bundle_close(keys);
    return ok;
}

static void connect_worker(void)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    keyholder_set_channel(keyholder, fds[0]);
    worker_fd = fds[1];
}

static int start_bare(void **state)
{
    (void)state;
    struct error error = {.text = ""};
    lab_forget_sections(&lab);
    lab.config.limits.handshake_timeout_ms = 10000;
    base = event_base_new();
    keyholder = keyholder_new(base, &error);
    assert_non_null(keyholder);
    connect_worker();
    return 0;
}

static int start(void **state)
{
    struct report report = {0};
    start_bare(state);
    lab_section(&lab, "p256");
    lab_section(&lab, "p384");
    lab_section(&lab, "ed25519");
    lab_section(&lab, "rsa");
    assert_true(prepare(&report));
    keyholder_commit(keyholder);
    report_close(&report);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    if (worker_fd >= 0)
        (void)close(worker_fd);
    keyholder_free(keyholder);
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

/* One packet of replies; their number. */
static size_t receive(struct sign_reply *replies, size_t max)
{
    const long deadline = now_ms() + DEADLINE_MS;
    while (now_ms() < deadline) {
        turn();
        const ssize_t size =
            recv(worker_fd, replies, max * sizeof *replies, MSG_DONTWAIT);
        if (size >= 0)
            return (size_t)size / sizeof *replies;
    }
    fail_msg("no reply came");
    return 0;
}

static void send_packet(const void *data, size_t size)
{
    assert_int_equal(send(worker_fd, data, size, MSG_NOSIGNAL), size);
}

static void hash_of(const char *name, uint8_t hash[SPKI_HASH_BYTES])
{
    char file[64];
    size_t size = 0;
    struct error error = {.text = ""};
    (void)snprintf(file, sizeof file, "%s.pem", name);
    char *pem = lab_read(&lab, file, &size);
    assert_true(
        certcheck_leaf_hash((struct blob){(const uint8_t *)pem, size}, hash, &error));
    free(pem);
}

static struct sign_request make_request(uint64_t id, const char *name,
                                        enum sign_scheme scheme, size_t length)
{
    struct sign_request request = {
        .id = id, .scheme = (uint16_t)scheme, .input_length = (uint16_t)length};
    hash_of(name, request.spki_hash);
    for (size_t i = 0; i < length; i++)
        request.input[i] = (uint8_t)(i * 7 + id);
    return request;
}

static struct sign_reply ask(const struct sign_request *request)
{
    struct sign_reply reply = {0};
    send_packet(request, sizeof *request);
    assert_int_equal(receive(&reply, 1), 1);
    assert_true(sign_reply_is_valid(&reply));
    assert_int_equal(reply.id, request->id);
    return reply;
}

static enum sign_status status_for(const char *name)
{
    const struct sign_request request = make_request(9, name, SIGN_ECDSA, 32);
    return (enum sign_status)ask(&request).status;
}

/* Whether openssl accepts the signature. */
static bool verifies(const char *name, const struct sign_request *request,
                     const struct sign_reply *reply, const char *options)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/sig", lab.directory);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(reply->signature, 1, reply->signature_length, file),
                     reply->signature_length);
    (void)fclose(file);
    (void)snprintf(path, sizeof path, "%s/input", lab.directory);
    file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(request->input, 1, request->input_length, file),
                     request->input_length);
    (void)fclose(file);
    lab_run(&lab, "openssl pkeyutl -verify -inkey %s.key -in input -sigfile sig %s", name,
            options);
    return true;
}

static void ecdsa_signature_verifies(void **state)
{
    (void)state;
    static const char *const names[] = {"p256", "p384"};
    for (size_t i = 0; i < 2; i++) {
        for (size_t length = 32; length <= 64; length += 16) {
            const struct sign_request request =
                make_request(length, names[i], SIGN_ECDSA, length);
            const struct sign_reply reply = ask(&request);
            assert_int_equal(reply.status, SIGN_DONE);
            assert_true(verifies(names[i], &request, &reply, ""));
        }
    }
}

static void ed25519_signature_verifies(void **state)
{
    (void)state;
    const struct sign_request request = make_request(1, "ed25519", SIGN_ED25519, 130);
    const struct sign_reply reply = ask(&request);
    assert_int_equal(reply.status, SIGN_DONE);
    assert_true(verifies("ed25519", &request, &reply, "-rawin"));
}

static void rsa_signatures_verify(void **state)
{
    static const struct {
        enum sign_scheme scheme;
        size_t length;
        const char *options;
    } rows[] = {
        {SIGN_RSA_PKCS1_SHA256, 32, "-pkeyopt digest:sha256"},
        {SIGN_RSA_PKCS1_SHA384, 48, "-pkeyopt digest:sha384"},
        {SIGN_RSA_PKCS1_SHA512, 64, "-pkeyopt digest:sha512"},
        {SIGN_RSA_PSS_SHA256, 32,
         "-pkeyopt digest:sha256 -pkeyopt rsa_padding_mode:pss -pkeyopt "
         "rsa_pss_saltlen:digest"},
        {SIGN_RSA_PSS_SHA384, 48,
         "-pkeyopt digest:sha384 -pkeyopt rsa_padding_mode:pss -pkeyopt "
         "rsa_pss_saltlen:digest"},
        {SIGN_RSA_PSS_SHA512, 64,
         "-pkeyopt digest:sha512 -pkeyopt rsa_padding_mode:pss -pkeyopt "
         "rsa_pss_saltlen:digest"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct sign_request request =
            make_request(i, "rsa", rows[i].scheme, rows[i].length);
        const struct sign_reply reply = ask(&request);
        assert_int_equal(reply.status, SIGN_DONE);
        assert_true(verifies("rsa", &request, &reply, rows[i].options));
    }
}

static void key_that_is_not_there_is_unknown(void **state)
{
    (void)state;
    struct sign_request request = make_request(5, "p256", SIGN_ECDSA, 32);
    request.spki_hash[31] ^= 1;
    assert_int_equal(ask(&request).status, SIGN_UNKNOWN_KEY);
}

static void unknown_scheme_is_a_bad_request(void **state)
{
    (void)state;
    struct sign_request request = make_request(5, "p256", SIGN_ECDSA, 32);
    request.scheme = 0x0203;
    assert_int_equal(ask(&request).status, SIGN_BAD_REQUEST);
}

static void scheme_of_another_key_type_is_a_bad_request(void **state)
{
    (void)state;
    struct sign_request request = make_request(5, "rsa", SIGN_ECDSA, 32);
    assert_int_equal(ask(&request).status, SIGN_BAD_REQUEST);
    request = make_request(6, "p256", SIGN_RSA_PSS_SHA256, 32);
    assert_int_equal(ask(&request).status, SIGN_BAD_REQUEST);
    request = make_request(7, "p256", SIGN_ED25519, 32);
    assert_int_equal(ask(&request).status, SIGN_BAD_REQUEST);
}

static void batch_is_answered_in_order(void **state)
{
    (void)state;
    struct sign_request requests[SIGN_BATCH_MAX];
    struct sign_reply replies[SIGN_BATCH_MAX];
    for (size_t i = 0; i < SIGN_BATCH_MAX; i++)
        requests[i] = make_request(1000 + i, "p256", SIGN_ECDSA, 32);
    send_packet(requests, sizeof requests);
    assert_int_equal(receive(replies, SIGN_BATCH_MAX), SIGN_BATCH_MAX);
    for (size_t i = 0; i < SIGN_BATCH_MAX; i++) {
        assert_int_equal(replies[i].id, 1000 + i);
        assert_int_equal(replies[i].status, SIGN_DONE);
    }
}

static void packets_of_odd_size_are_dropped(void **state)
{
    (void)state;
    static uint8_t bytes[(SIGN_BATCH_MAX + 1) * sizeof(struct sign_request)];
    static const size_t sizes[] = {1, 303, 305, sizeof bytes - 1, sizeof bytes};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        send_packet(bytes, sizes[i]);
    assert_int_equal(status_for("p256"), SIGN_DONE);
}

static void empty_packet_is_dropped(void **state)
{
    (void)state;
    send_packet("", 0);
    turn();
    assert_false(keyholder_is_idle(keyholder));
    assert_int_equal(status_for("p256"), SIGN_DONE);
}

static void random_packets_leave_it_serving(void **state)
{
    (void)state;
    unsigned seed = 42;
    struct sign_request requests[3];
    const struct sign_request good = make_request(1, "p256", SIGN_ECDSA, 32);
    struct sign_reply replies[SIGN_BATCH_MAX];
    for (int round = 0; round < 1000; round++) {
        uint8_t *bytes = (uint8_t *)requests;
        for (size_t i = 0; i < sizeof requests; i++) {
            seed = seed * 1103515245u + 12345u;
            bytes[i] = (uint8_t)(seed >> 16);
        }
        if (round % 4 == 0)
            memcpy(requests[0].spki_hash, good.spki_hash, SPKI_HASH_BYTES);
        if (round % 8 == 0) {
            requests[0].scheme = SIGN_ECDSA;
            requests[0].reserved = 0;
        }
        const size_t size = round % 2 ? (seed >> 8) % sizeof requests
                                      : sizeof requests[0] * (1 + (seed >> 8) % 3);
        send_packet(requests, size);
        turn();
        while (recv(worker_fd, replies, sizeof replies, MSG_DONTWAIT) > 0)
            ;
    }
    assert_int_equal(status_for("p256"), SIGN_DONE);
}

static void unread_replies_stop_the_reading(void **state)
{
    (void)state;
    struct sign_request requests[SIGN_BATCH_MAX];
    struct sign_reply replies[SIGN_BATCH_MAX];
    size_t sent = 0, got = 0;
    for (size_t i = 0; i < SIGN_BATCH_MAX; i++)
        requests[i] = make_request(i, "ed25519", SIGN_ED25519, 64);
    for (int stuck = 0; stuck < 3;) {
        if (send(worker_fd, requests, sizeof requests, MSG_DONTWAIT) > 0)
            sent += SIGN_BATCH_MAX;
        else
            stuck++;
        turn();
    }
    assert_true(sent > 10 * SIGN_BATCH_MAX);
    while (got < sent)
        got += receive(replies, SIGN_BATCH_MAX);
    assert_int_equal(got, sent);
    assert_int_equal(status_for("p256"), SIGN_DONE);
}

static void end_of_the_worker_makes_it_idle(void **state)
{
    (void)state;
    (void)close(worker_fd);
    worker_fd = -1;
    turn();
    assert_true(keyholder_is_idle(keyholder));
}

static void worker_that_leaves_before_its_replies_does_no_harm(void **state)
{
    (void)state;
    const struct sign_request request = make_request(1, "rsa", SIGN_RSA_PSS_SHA256, 32);
    send_packet(&request, sizeof request);
    (void)close(worker_fd);
    worker_fd = -1;
    turn();
    turn();
    assert_true(keyholder_is_idle(keyholder));
    connect_worker();
    assert_int_equal(status_for("p256"), SIGN_DONE);
}

static void new_channel_replaces_the_old_one(void **state)
{
    (void)state;
    (void)close(worker_fd);
    connect_worker();
    assert_int_equal(status_for("p256"), SIGN_DONE);
}

static void without_a_commit_nothing_is_known(void **state)
{
    (void)state;
    assert_int_equal(status_for("p256"), SIGN_UNKNOWN_KEY);
}

static void prepared_keys_sign_before_the_commit(void **state)
{
    (void)state;
    struct report report = {0};
    lab_section(&lab, "p256");
    assert_true(prepare(&report));
    assert_int_equal(status_for("p256"), SIGN_DONE);
    report_close(&report);
}

static void aborted_keys_are_gone(void **state)
{
    (void)state;
    struct report report = {0};
    lab_section(&lab, "p256");
    assert_true(prepare(&report));
    keyholder_abort(keyholder);
    assert_int_equal(status_for("p256"), SIGN_UNKNOWN_KEY);
    report_close(&report);
}

static void second_prepare_replaces_the_first(void **state)
{
    (void)state;
    struct report report = {0};
    lab_section(&lab, "p256");
    assert_true(prepare(&report));
    lab_forget_sections(&lab);
    lab_section(&lab, "p384");
    assert_true(prepare(&report));
    assert_int_equal(status_for("p256"), SIGN_UNKNOWN_KEY);
    assert_int_equal(status_for("p384"), SIGN_DONE);
    report_close(&report);
}

static void key_with_a_fault_is_left_out_and_the_others_sign(void **state)
{
    (void)state;
    struct report report = {0};
    lab_section(&lab, "p256");
    assert_true(prepare(&report));
    keyholder_commit(keyholder);
    lab_run(&lab, "cp p384.pem wrong.pem && cp p256.key wrong.key");
    lab_section(&lab, "wrong");
    assert_true(prepare(&report));
    assert_int_equal(report.faults, 1);
    assert_false(cert_set_has(keyholder_served(keyholder), 1));
    keyholder_commit(keyholder);
    assert_int_equal(status_for("p256"), SIGN_DONE);
    report_close(&report);
}

static void former_keys_sign_until_handshakes_are_over(void **state)
{
    (void)state;
    struct report report = {0};
    lab.config.limits.handshake_timeout_ms = 100;
    lab_section(&lab, "p256");
    assert_true(prepare(&report));
    keyholder_commit(keyholder);
    lab_forget_sections(&lab);
    lab_section(&lab, "p384");
    assert_true(prepare(&report));
    keyholder_commit(keyholder);
    assert_int_equal(status_for("p256"), SIGN_DONE);
    const long deadline = now_ms() + DEADLINE_MS;
    while (status_for("p256") != SIGN_UNKNOWN_KEY)
        assert_true(now_ms() < deadline);
    assert_int_equal(status_for("p384"), SIGN_DONE);
    report_close(&report);
}

#define TEST(name)      cmocka_unit_test_setup_teardown(name, start, stop)
#define BARE_TEST(name) cmocka_unit_test_setup_teardown(name, start_bare, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ecdsa_signature_verifies),
        TEST(ed25519_signature_verifies),
        TEST(rsa_signatures_verify),
        TEST(key_that_is_not_there_is_unknown),
        TEST(unknown_scheme_is_a_bad_request),
        TEST(scheme_of_another_key_type_is_a_bad_request),
        TEST(batch_is_answered_in_order),
        TEST(packets_of_odd_size_are_dropped),
        TEST(empty_packet_is_dropped),
        TEST(random_packets_leave_it_serving),
        TEST(unread_replies_stop_the_reading),
        TEST(end_of_the_worker_makes_it_idle),
        TEST(worker_that_leaves_before_its_replies_does_no_harm),
        TEST(new_channel_replaces_the_old_one),
        BARE_TEST(without_a_commit_nothing_is_known),
        BARE_TEST(prepared_keys_sign_before_the_commit),
        BARE_TEST(aborted_keys_are_gone),
        BARE_TEST(second_prepare_replaces_the_first),
        BARE_TEST(key_with_a_fault_is_left_out_and_the_others_sign),
        BARE_TEST(former_keys_sign_until_handshakes_are_over),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
