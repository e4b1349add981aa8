#include "certs/tls_policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/certs_lab.h"
#include "tests/unit/tls_pair.h"

static struct lab lab;
static char *root;
static size_t root_size;
static struct event_base *base;
static struct keyholder_client
    *signer;                      /* the pair wants one; these keys are in the context */
static struct certificate server; /* with the policy */
static WOLFSSL_CTX *client;

static WOLFSSL_CTX *server_context(void)
{
    size_t size = 0;
    WOLFSSL_CTX *context = wolfSSL_CTX_new(wolfSSLv23_server_method());
    assert_non_null(context);
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
    return context;
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

static int start(void **state)
{
    (void)state;
    struct error error = {.text = ""};
    base = event_base_new();
    signer = keyholder_client_new(base, &error);
    server = (struct certificate){.name = "server", .context = server_context()};
    assert_true(tls_policy_apply(server.context, &tls_policy_widest, &error));
    client = tls_pair_client_context(PAIR_TLS13, root, root_size);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    wolfSSL_CTX_free(client);
    wolfSSL_CTX_free(server.context);
    keyholder_client_free(signer);
    event_base_free(base);
    return 0;
}

static void use_client(enum tls_pair_version version)
{
    wolfSSL_CTX_free(client);
    client = tls_pair_client_context(version, root, root_size);
}

static void offer_groups(int first, int second)
{
    int groups[2] = {first, second};
    assert_int_equal(wolfSSL_CTX_set_groups(client, groups, second ? 2 : 1),
                     WOLFSSL_SUCCESS);
}

static void offer_suites(const char *list)
{
    assert_int_equal(wolfSSL_CTX_set_cipher_list(client, list), WOLFSSL_SUCCESS);
}

static bool handshake(struct tls_pair *pair)
{
    tls_pair_open(pair, signer, &server, client, NULL);
    for (int i = 0; i < 50 && !pair->failed; i++) {
        if (tls_pair_step(pair))
            return true;
    }
    return false;
}

static void library_has_every_property(void **state)
{
    (void)state;
    struct report report = {0};
    tls_policy_self_check(NULL, &report);
    for (size_t i = 0; i < report.count; i++)
        print_message("%s\n", report.entries[i].text);
    assert_int_equal(report.errors, 0);
    report_close(&report);
}

static void evidence_is_printed_line_by_line(void **state)
{
    (void)state;
    char text[8192] = "";
    struct report report = {0};
    FILE *out = fmemopen(text, sizeof text - 1, "w");
    assert_non_null(out);
    tls_policy_self_check(out, &report);
    (void)fclose(out);
    assert_non_null(strstr(text, "ok      wolfSSL 5.9.2"));
    assert_non_null(strstr(text, "X25519MLKEM768"));
    assert_null(strstr(text, "MISSING"));
    report_close(&report);
}

/* Of the groups that the client sent a share for, as browsers do for both. */
static void hybrid_group_is_preferred(void **state)
{
    (void)state;
    struct tls_pair pair;
    offer_groups(WOLFSSL_ECC_X25519, WOLFSSL_X25519MLKEM768);
    tls_pair_open(&pair, signer, &server, client, NULL);
    assert_int_equal(wolfSSL_UseKeyShare(pair.client, WOLFSSL_ECC_X25519),
                     WOLFSSL_SUCCESS);
    assert_int_equal(wolfSSL_UseKeyShare(pair.client, WOLFSSL_X25519MLKEM768),
                     WOLFSSL_SUCCESS);
    for (int i = 0; i < 50 && !pair.failed && !tls_pair_step(&pair); i++)
        ;
    assert_true(pair.server_done);
    assert_string_equal(wolfSSL_get_curve_name(pair.server), "X25519MLKEM768");
    tls_pair_close(&pair);
}

static void x25519_and_p256_are_accepted(void **state)
{
    (void)state;
    static const int groups[] = {WOLFSSL_ECC_X25519, WOLFSSL_ECC_SECP256R1};
    for (size_t i = 0; i < 2; i++) {
        struct tls_pair pair;
        offer_groups(groups[i], 0);
        assert_true(handshake(&pair));
        tls_pair_close(&pair);
    }
}

static void client_with_other_groups_only_is_refused(void **state)
{
    (void)state;
    struct tls_pair pair;
    offer_groups(WOLFSSL_ECC_SECP384R1, 0);
    assert_false(handshake(&pair));
    tls_pair_close(&pair);
}

static void order_of_the_suites_is_ours(void **state)
{
    (void)state;
    struct tls_pair pair;
    offer_suites("TLS13-CHACHA20-POLY1305-SHA256:TLS13-AES256-GCM-SHA384:"
                 "TLS13-AES128-GCM-SHA256");
    assert_true(handshake(&pair));
    assert_string_equal(wolfSSL_get_cipher(pair.server), "TLS_AES_128_GCM_SHA256");
    tls_pair_close(&pair);
}

static void tls12_has_an_ephemeral_key_exchange(void **state)
{
    (void)state;
    struct tls_pair pair;
    use_client(PAIR_TLS12);
    assert_true(handshake(&pair));
    assert_string_equal(wolfSSL_get_cipher(pair.server),
                        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
    tls_pair_close(&pair);
}

static void draft_chacha_suites_are_refused(void **state)
{
    (void)state;
    struct tls_pair pair;
    use_client(PAIR_TLS12);
    offer_suites("ECDHE-ECDSA-CHACHA20-POLY1305-OLD:ECDHE-RSA-CHACHA20-POLY1305-OLD");
    assert_false(handshake(&pair));
    assert_true(pair.failed);
    tls_pair_close(&pair);
}

/* That the test above can fail: without the policy the same client is served. */
static void without_the_policy_draft_chacha_suites_are_served(void **state)
{
    (void)state;
    struct tls_pair pair;
    wolfSSL_CTX_free(server.context);
    server.context = server_context();
    use_client(PAIR_TLS12);
    offer_suites("ECDHE-ECDSA-CHACHA20-POLY1305-OLD:ECDHE-RSA-CHACHA20-POLY1305-OLD");
    assert_true(handshake(&pair));
    tls_pair_close(&pair);
}

/* Whether a second connection with the first one's session skips the full handshake. */
static bool resumes(void)
{
    struct tls_pair pair;
    assert_true(handshake(&pair));
    assert_true(tls_pair_talk(&pair));
    WOLFSSL_SESSION *session = wolfSSL_get1_session(pair.client);
    tls_pair_close(&pair);
    tls_pair_open(&pair, signer, &server, client, NULL);
    if (session)
        (void)wolfSSL_set_session(pair.client, session);
    for (int i = 0; i < 50 && !pair.failed && !tls_pair_step(&pair); i++)
        ;
    assert_true(pair.client_done && pair.server_done);
    const bool resumed = wolfSSL_session_reused(pair.server) == 1;
    tls_pair_close(&pair);
    wolfSSL_SESSION_free(session);
    return resumed;
}

static void tls12_never_resumes(void **state)
{
    (void)state;
    use_client(PAIR_TLS12);
    assert_false(resumes());
}

static void tls12_with_tickets_never_resumes(void **state)
{
    (void)state;
    use_client(PAIR_TLS12);
    assert_int_equal(wolfSSL_CTX_UseSessionTicket(client), WOLFSSL_SUCCESS);
    assert_false(resumes());
}

static void tls13_does_not_resume_without_shared_ticket_keys(void **state)
{
    (void)state;
    assert_int_equal(wolfSSL_CTX_UseSessionTicket(client), WOLFSSL_SUCCESS);
    assert_false(resumes());
}

static void client_context_is_refused(void **state)
{
    (void)state;
    struct error error = {.text = ""};
    assert_false(tls_policy_apply(client, &tls_policy_widest, &error));
    assert_true(error.text[0] != '\0');
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(library_has_every_property),
        TEST(evidence_is_printed_line_by_line),
        TEST(hybrid_group_is_preferred),
        TEST(x25519_and_p256_are_accepted),
        TEST(client_with_other_groups_only_is_refused),
        TEST(order_of_the_suites_is_ours),
        TEST(tls12_has_an_ephemeral_key_exchange),
        TEST(draft_chacha_suites_are_refused),
        TEST(without_the_policy_draft_chacha_suites_are_served),
        TEST(tls12_never_resumes),
        TEST(tls12_with_tickets_never_resumes),
        TEST(tls13_does_not_resume_without_shared_ticket_keys),
        TEST(client_context_is_refused),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
