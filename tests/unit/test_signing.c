/* Handshakes whose signatures come from a keyholder in the same event loop. */
#include "tests/unit/sign_lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include <wolfssl/wolfcrypt/error-crypt.h>

enum { CHAOS_ROUNDS = 400 };

static void handshake_completes_with_every_version_and_key(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < KEY_KINDS; kind++) {
        for (int version = PAIR_TLS12; version <= PAIR_TLS13; version++) {
            struct tls_pair pair;
            sign_lab_open_pair(&pair, kind, (enum tls_pair_version)version);
            if (!sign_lab_complete(&pair) || !tls_pair_talk(&pair))
                fail_msg("%s, TLS 1.%d: server %d, client %d",
                         certstore_at(sign_lab.store, kind)->name, version + 2,
                         pair.server_error, pair.client_error);
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
    sign_lab_open_pair(&pair, 0, PAIR_TLS13);
    sign_lab_bring_to_signature(&pair);
    assert_int_equal(pair.signed_count, 0);
    assert_true(sign_lab_complete(&pair));
    assert_int_equal(pair.signed_count, 1);
    assert_false(pair.signed_in_accept);
    tls_pair_close(&pair);
}

static void lost_keyholder_costs_time_not_the_handshake(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < KEY_KINDS; kind++) {
        struct tls_pair pair;
        sign_lab_open_pair(&pair, kind, kind % 2 ? PAIR_TLS12 : PAIR_TLS13);
        sign_lab_bring_to_signature(&pair);
        keyholder_free(sign_lab.keyholder);
        sign_lab.keyholder = NULL;
        sign_lab_turn();
        sign_lab_turn();
        (void)tls_pair_step(&pair);
        assert_int_equal(pair.server_error, WC_PENDING_E);
        sign_lab_make_keyholder();
        sign_lab_join_keyholder();
        assert_true(sign_lab_complete(&pair));
        tls_pair_close(&pair);
    }
}

static void requests_wait_for_the_first_channel(void **state)
{
    (void)state;
    struct tls_pair pair;
    (void)close(sign_lab.holder_fd);
    sign_lab.holder_fd = -1;
    sign_lab_turn();
    sign_lab_open_pair(&pair, 0, PAIR_TLS13);
    sign_lab_bring_to_signature(&pair);
    sign_lab_turn();
    sign_lab_make_keyholder();
    sign_lab_join_keyholder();
    assert_true(sign_lab_complete(&pair));
    tls_pair_close(&pair);
}

static void signatures_are_counted(void **state)
{
    (void)state;
    struct sign_counts counts = {.made = 0};
    struct tls_pair pairs[3];
    keyholder_client_count(sign_lab.signer, &counts);
    for (size_t i = 0; i < 3; i++) {
        sign_lab_open_pair(&pairs[i], 0, PAIR_TLS13);
        sign_lab_bring_to_signature(&pairs[i]);
    }
    assert_int_equal(counts.waiting, 3);
    tls_pair_close(&pairs[0]);
    assert_int_equal(counts.waiting, 2);
    assert_true(sign_lab_complete(&pairs[1]));
    assert_true(sign_lab_complete(&pairs[2]));
    uint64_t timed = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        timed += counts.latency_us.buckets[i];
    assert_int_equal(counts.waiting, 0);
    assert_int_equal(counts.made, 2);
    assert_int_equal(timed, 2);
    assert_true(counts.latency_us.sum > 0);
    assert_int_equal(counts.refused + counts.resent, 0);
    tls_pair_close(&pairs[1]);
    tls_pair_close(&pairs[2]);
}

static void freed_job_is_not_missed_by_its_reply(void **state)
{
    (void)state;
    struct tls_pair gone, other;
    sign_lab_open_pair(&gone, 0, PAIR_TLS13);
    sign_lab_open_pair(&other, 0, PAIR_TLS13);
    sign_lab_bring_to_signature(&gone);
    sign_lab_bring_to_signature(&other);
    sign_lab_turn();
    tls_pair_close(&gone);
    assert_true(sign_lab_complete(&other));
    tls_pair_close(&other);
}

static void unsent_job_can_be_freed(void **state)
{
    (void)state;
    struct tls_pair gone, other;
    sign_lab_open_pair(&gone, 0, PAIR_TLS13);
    sign_lab_bring_to_signature(&gone);
    sign_lab_open_pair(&other, 0, PAIR_TLS13);
    sign_lab_bring_to_signature(&other);
    tls_pair_close(&gone);
    assert_true(sign_lab_complete(&other));
    tls_pair_close(&other);
}

static void job_may_outlive_the_client(void **state)
{
    (void)state;
    struct tls_pair pair;
    struct error error = {.text = ""};
    sign_lab_open_pair(&pair, 0, PAIR_TLS13);
    sign_lab_bring_to_signature(&pair);
    keyholder_client_free(sign_lab.signer);
    tls_pair_close(&pair);
    sign_lab.signer = keyholder_client_new(sign_lab.base, &error);
}

/* One round of chaos: short reads and writes, and every fifth handshake is abandoned. */
static bool chaos_round(unsigned seed, unsigned *pendings)
{
    struct tls_pair pair;
    unsigned draws = seed;
    tls_pair_open(&pair, sign_lab.signer, certstore_at(sign_lab.store, seed % KEY_KINDS),
                  sign_lab.client_contexts[seed / KEY_KINDS % 2], &draws);
    const int abandon_at = seed % 5 == 0 ? (int)(seed / 5 % 60) : -1;
    bool ok = true;
    for (int i = 0; ok && i != abandon_at && !tls_pair_step(&pair); i++) {
        ok = i < 20000 && !pair.failed;
        if (i % 3 == 0)
            sign_lab_turn();
        if (seed % 50 == 7 && i == 40)
            sign_lab_join_keyholder();
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, sign_lab_start, sign_lab_stop)
#define ALONE_TEST(name)                                                                 \
    cmocka_unit_test_setup_teardown(name, sign_lab_start_alone, sign_lab_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(handshake_completes_with_every_version_and_key),
        TEST(owner_is_told_once_and_from_the_event_loop),
        TEST(lost_keyholder_costs_time_not_the_handshake),
        ALONE_TEST(requests_wait_for_the_first_channel),
        TEST(signatures_are_counted),
        TEST(freed_job_is_not_missed_by_its_reply),
        TEST(unsent_job_can_be_freed),
        TEST(job_may_outlive_the_client),
        TEST(pending_signatures_survive_chaos),
    };
    return cmocka_run_group_tests(tests, sign_lab_open, sign_lab_close);
}
