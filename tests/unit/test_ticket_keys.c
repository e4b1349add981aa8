/* The ring by a clock of the test's own, tickets by handshakes. */
#include "certs/ticket_keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "certs/tls_policy.h"
#include "certs/vault.h"
#include "tests/unit/certs_lab.h"
#include "tests/unit/memory.h"
#include "tests/unit/tls_pair.h"

enum { WINDOW_MS = 600000, NOW_MS = 1000000, CHAIN = 300 };

static struct lab lab;
static char *root;
static size_t root_size;
static struct event_base *base;
static struct keyholder_client *signer;  /* tls_pair wants one */
static struct certificate server, other; /* with bindings of their own */
static WOLFSSL_CTX *client;              /* TLS 1.3 */
static WOLFSSL_SESSION *session;         /* of the last handshake */
static struct vault vault;               /* holds the ring */
static struct ticket_ring *ring;
static struct ticket_keys *keys;

static WOLFSSL_CTX *server_context(void)
{
    size_t size = 0;
    struct error error;
    WOLFSSL_CTX *context = wolfSSL_CTX_new(wolfSSLv23_server_method());
    char *chain = lab_read(&lab, "server.pem", &size);
    assert_int_equal(wolfSSL_CTX_use_certificate_chain_buffer(
                         context, (const uint8_t *)chain, (long)size),
                     WOLFSSL_SUCCESS);
    free(chain);
    char *key = lab_read(&lab, "server.key", &size);
    assert_int_equal(wolfSSL_CTX_use_PrivateKey_buffer(context, (const uint8_t *)key,
                                                       (long)size, WOLFSSL_FILETYPE_PEM),
                     WOLFSSL_SUCCESS);
    free(key);
    struct config_tls tls = tls_policy_widest;
    tls.tickets = true;
    assert_true(tls_policy_apply(context, &tls, &error));
    return context;
}

static void open_certificate(struct certificate *certificate, uint8_t binding)
{
    struct error error;
    *certificate = (struct certificate){.name = "server", .context = server_context()};
    certificate->tickets.keys = keys;
    memset(certificate->tickets.binding, binding, TICKET_BINDING_BYTES);
    assert_true(ticket_keys_attach(certificate->context, &certificate->tickets, WINDOW_MS,
                                   &error));
}

static int make_files(void **state)
{
    (void)state;
    wolfSSL_Init();
    lab_open(&lab);
    lab_authorities(&lab);
    lab_chain(&lab, "server", "p256", "DNS:server.test");
    root = lab_read(&lab, "root.pem", &root_size);
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    free(root);
    lab_close(&lab);
    wolfSSL_Cleanup();
    return 0;
}

static int start_ring(void **state)
{
    (void)state;
    ring = vault_take(&vault, sizeof *ring);
    assert_non_null(ring);
    return 0;
}

static int stop_ring(void **state)
{
    (void)state;
    vault_close(&vault);
    return 0;
}

static int start(void **state)
{
    struct error error;
    start_ring(state);
    base = event_base_new();
    signer = keyholder_client_new(base, &error);
    keys = ticket_keys_new(&error);
    assert_non_null(keys);
    open_certificate(&server, 1);
    open_certificate(&other, 2);
    client = tls_pair_client_context(PAIR_TLS13, root, root_size);
    return 0;
}

static int stop(void **state)
{
    wolfSSL_SESSION_free(session);
    session = NULL;
    wolfSSL_CTX_free(client);
    wolfSSL_CTX_free(server.context);
    wolfSSL_CTX_free(other.context);
    ticket_keys_free(keys);
    keyholder_client_free(signer);
    event_base_free(base);
    return stop_ring(state);
}

static void turn(uint64_t now_ms)
{
    struct error error;
    assert_true(ticket_ring_turn(ring, WINDOW_MS, now_ms, &error));
}

/* Gives the workers' copy a fresh ring of the real clock. */
static void give_keys(void)
{
    turn(ticket_clock_ms());
    ticket_keys_replace(keys, ring);
}

/* One connection with the last session's ticket; whether it resumed. */
static bool connect_to(const struct certificate *certificate)
{
    struct tls_pair pair;
    bool done = false;

    tls_pair_open(&pair, signer, certificate, client, NULL);
    if (session)
        assert_int_equal(wolfSSL_set_session(pair.client, session), WOLFSSL_SUCCESS);
    for (int i = 0; i < 50 && !pair.failed && !done; i++)
        done = tls_pair_step(&pair);
    if (!done || !tls_pair_talk(&pair))
        fail_msg("server %d, client %d", pair.server_error, pair.client_error);
    const bool resumed = wolfSSL_session_reused(pair.server);
    assert_int_equal(resumed, wolfSSL_session_reused(pair.client));
    wolfSSL_SESSION_free(session);
    session = wolfSSL_get1_session(pair.client);
    tls_pair_close(&pair);
    return resumed;
}

static bool is_empty(const struct ticket_key *key)
{
    static const struct ticket_key none;
    return memcmp(key, &none, sizeof none) == 0;
}

/* --- The ring. */

static void first_key_encrypts_half_a_window_and_ends_with_it(void **state)
{
    (void)state;
    turn(NOW_MS);
    assert_int_equal(ring->keys[0].encrypts_until_ms, NOW_MS + WINDOW_MS / 2);
    assert_int_equal(ring->keys[0].ends_ms, NOW_MS + WINDOW_MS);
    assert_true(is_empty(&ring->keys[1]));
    assert_int_equal(ticket_ring_due_ms(ring), NOW_MS + WINDOW_MS / 2);
}

static void turning_early_changes_nothing(void **state)
{
    (void)state;
    turn(NOW_MS);
    struct ticket_ring before = *ring;
    turn(NOW_MS + WINDOW_MS / 2 - 1);
    assert_memory_equal(&before, ring, sizeof before);
}

static void second_key_follows_at_half_the_window(void **state)
{
    (void)state;
    turn(NOW_MS);
    const struct ticket_key first = ring->keys[0];
    turn(NOW_MS + WINDOW_MS / 2);
    assert_memory_equal(&first, &ring->keys[1], sizeof first);
    assert_int_equal(ring->keys[0].ends_ms, NOW_MS + WINDOW_MS * 3 / 2);
    assert_memory_not_equal(first.name, ring->keys[0].name, TICKET_NAME_BYTES);
    assert_memory_not_equal(first.secret, ring->keys[0].secret, TICKET_SECRET_BYTES);
}

static void key_is_wiped_at_its_end(void **state)
{
    (void)state;
    turn(NOW_MS);
    turn(NOW_MS + WINDOW_MS / 2 + 1000); /* late, so that ends and turns differ */
    assert_int_equal(ticket_ring_due_ms(ring), NOW_MS + WINDOW_MS);
    turn(NOW_MS + WINDOW_MS - 1);
    assert_false(is_empty(&ring->keys[1]));
    turn(NOW_MS + WINDOW_MS);
    assert_true(is_empty(&ring->keys[1]));
    assert_false(is_empty(&ring->keys[0]));
}

/* Turned for ten windows at every moment that it says: two keys at most, none past its
 * end, always one that encrypts. */
static void ring_keeps_its_promise_for_ever(void **state)
{
    (void)state;
    uint64_t now = NOW_MS;
    for (int turns = 0; turns < 40; turns++) {
        turn(now);
        assert_true(now < ring->keys[0].encrypts_until_ms);
        for (size_t i = 0; i < TICKET_RING_KEYS; i++)
            assert_true(is_empty(&ring->keys[i]) ||
                        (ring->keys[i].ends_ms > now &&
                         ring->keys[i].ends_ms <= now + WINDOW_MS));
        assert_true(ticket_ring_due_ms(ring) > now);
        now = ticket_ring_due_ms(ring);
    }
}

static void long_sleep_ends_every_key(void **state)
{
    (void)state;
    turn(NOW_MS);
    const struct ticket_key old = ring->keys[0];
    turn(NOW_MS + 10 * WINDOW_MS);
    assert_true(is_empty(&ring->keys[1]));
    assert_memory_not_equal(old.secret, ring->keys[0].secret, TICKET_SECRET_BYTES);
}

/* --- Tickets. */

static void ticket_resumes(void **state)
{
    (void)state;
    give_keys();
    assert_false(connect_to(&server));
    assert_true(connect_to(&server));
    assert_true(connect_to(&server));
}

static void tickets_are_counted(void **state)
{
    (void)state;
    struct ticket_counts counts = {.issued = 0};
    ticket_keys_count(server.tickets.keys, &counts);
    give_keys();
    assert_false(connect_to(&server));
    assert_true(connect_to(&server));
    assert_int_equal(counts.issued, 2);
    assert_int_equal(counts.accepted, 1);
    assert_false(connect_to(&other));
    assert_int_equal(counts.rejected, 1);
    assert_int_equal(counts.accepted, 1);
}

static void ticket_of_one_worker_resumes_on_another(void **state)
{
    (void)state;
    struct error error;
    give_keys();
    assert_false(connect_to(&server));
    struct ticket_keys *theirs = ticket_keys_new(&error);
    ticket_keys_replace(theirs, ring);
    server.tickets.keys = theirs;
    assert_true(connect_to(&server));
    ticket_keys_free(theirs);
}

static void ticket_is_for_its_binding_alone(void **state)
{
    (void)state;
    give_keys();
    assert_false(connect_to(&server));
    assert_false(connect_to(&other));
    assert_true(connect_to(&other));
    assert_false(connect_to(&server));
}

static void older_key_still_opens(void **state)
{
    (void)state;
    const uint64_t now = ticket_clock_ms();
    turn(now - WINDOW_MS / 2 + 60000);
    ticket_keys_replace(keys, ring);
    assert_false(connect_to(&server));
    turn(ring->keys[0].encrypts_until_ms);
    ticket_keys_replace(keys, ring);
    assert_true(connect_to(&server));
}

static void ended_key_opens_nothing_even_before_it_is_wiped(void **state)
{
    (void)state;
    give_keys();
    assert_false(connect_to(&server));
    ring->keys[0].ends_ms = ticket_clock_ms();
    ticket_keys_replace(keys, ring);
    assert_false(connect_to(&server));
}

static void without_a_key_the_handshake_succeeds(void **state)
{
    (void)state;
    assert_false(connect_to(&server));
    assert_false(connect_to(&server));
    give_keys();
    assert_false(connect_to(&server));
    assert_true(connect_to(&server));
}

static void key_that_may_only_open_seals_nothing(void **state)
{
    (void)state;
    give_keys();
    ring->keys[0].encrypts_until_ms = ticket_clock_ms();
    ticket_keys_replace(keys, ring);
    assert_false(connect_to(&server));
    assert_false(connect_to(&server));
}

/* The library would fail the 256th handshake of a chain. */
static void chain_of_resumptions_goes_on_past_the_nonces_end(void **state)
{
    (void)state;
    int full = 0;
    give_keys();
    for (int i = 0; i < CHAIN; i++)
        full += !connect_to(&server);
    assert_int_equal(full, 2);
}

static void expiry_tells_the_next_end(void **state)
{
    (void)state;
    assert_true(ticket_keys_expire(keys, NOW_MS) == UINT64_MAX);
    turn(NOW_MS);
    turn(NOW_MS + WINDOW_MS / 2);
    ticket_keys_replace(keys, ring);
    assert_int_equal(ticket_keys_expire(keys, NOW_MS + WINDOW_MS / 2),
                     NOW_MS + WINDOW_MS);
    assert_int_equal(ticket_keys_expire(keys, NOW_MS + WINDOW_MS),
                     NOW_MS + WINDOW_MS * 3 / 2);
    assert_true(ticket_keys_expire(keys, NOW_MS + WINDOW_MS * 3 / 2) == UINT64_MAX);
}

static void ended_keys_are_nowhere_in_memory(void **state)
{
    (void)state;
    char letters[MEMORY_LETTERS];
    give_keys();
    memory_letters(ring->keys[0].secret, letters);
    assert_false(connect_to(&server));
    assert_true(connect_to(&server));
    assert_true(memory_count(letters) >= 3); /* in the ring; as a key, and its schedule */
    ticket_ring_wipe(ring);
    assert_true(memory_count(letters) >= 2);
    (void)ticket_keys_expire(keys, ticket_clock_ms() + WINDOW_MS);
    assert_int_equal(memory_count(letters), 0);
}

static void replaced_and_freed_keys_are_nowhere_in_memory(void **state)
{
    (void)state;
    struct error error;
    char first[MEMORY_LETTERS], second[MEMORY_LETTERS];
    struct ticket_keys *short_lived = ticket_keys_new(&error);
    turn(NOW_MS);
    memory_letters(ring->keys[0].secret, first);
    ticket_keys_replace(short_lived, ring);
    turn(NOW_MS + 2 * WINDOW_MS);
    memory_letters(ring->keys[0].secret, second);
    assert_true(memory_count(first) > 0);
    ticket_keys_replace(short_lived, ring);
    assert_int_equal(memory_count(first), 0);
    ticket_ring_wipe(ring);
    assert_true(memory_count(second) > 0);
    ticket_keys_free(short_lived);
    assert_int_equal(memory_count(second), 0);
}

#define RING(name) cmocka_unit_test_setup_teardown(name, start_ring, stop_ring)
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RING(first_key_encrypts_half_a_window_and_ends_with_it),
        RING(turning_early_changes_nothing),
        RING(second_key_follows_at_half_the_window),
        RING(key_is_wiped_at_its_end),
        RING(ring_keeps_its_promise_for_ever),
        RING(long_sleep_ends_every_key),
        TEST(ticket_resumes),
        TEST(tickets_are_counted),
        TEST(ticket_of_one_worker_resumes_on_another),
        TEST(ticket_is_for_its_binding_alone),
        TEST(older_key_still_opens),
        TEST(ended_key_opens_nothing_even_before_it_is_wiped),
        TEST(without_a_key_the_handshake_succeeds),
        TEST(key_that_may_only_open_seals_nothing),
        TEST(chain_of_resumptions_goes_on_past_the_nonces_end),
        TEST(expiry_tells_the_next_end),
        TEST(ended_keys_are_nowhere_in_memory),
        TEST(replaced_and_freed_keys_are_nowhere_in_memory),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
