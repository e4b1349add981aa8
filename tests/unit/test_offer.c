#include "proxy/offer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/hello_builder.h"

#define GROUP_X25519_ONLY "001d"
#define GROUP_P256_ONLY   "0017"
#define GROUP_HYBRID_ONLY "11ec"

static const struct config_tls widest = {
    .suites = {.items = {CIPHER_AES_128_GCM, CIPHER_AES_256_GCM,
                         CIPHER_CHACHA20_POLY1305},
               .count = 3},
    .groups = {.items = {GROUP_X25519MLKEM768, GROUP_X25519, GROUP_SECP256R1},
               .count = 3},
};
static struct config_tls tls;
static struct hello_verdict verdict;

static int start(void **state)
{
    (void)state;
    tls = widest;
    verdict = (struct hello_verdict){.refusal = HELLO_REFUSAL_NONE};
    return 0;
}

static struct hello hello_of(const struct recipe *recipe)
{
    const struct outcome outcome = read_recipe(*recipe);
    assert_int_equal(outcome.status, HELLO_COMPLETE);
    return outcome.hello;
}

static void only(struct choice_list *list, unsigned choice)
{
    list->count = 1;
    list->items[0] = (uint8_t)choice;
}

static void assert_refused(enum hello_refusal refusal, uint8_t alert, const char *words)
{
    assert_int_equal(verdict.refusal, refusal);
    assert_int_equal(verdict.alert, alert);
    assert_string_equal(verdict.error.text, words);
}

static void whom_the_policy_accepts_suits_without_narrowing(void **state)
{
    (void)state;
    const struct recipe *const recipes[] = {&recipe_modern, &recipe_tls12};
    for (size_t i = 0; i < 2; i++) {
        const struct hello hello = hello_of(recipes[i]);
        assert_true(offer_is_recent(&hello, &tls, &verdict));
        for (int type = 0; type < KEY_TYPE_COUNT; type++) {
            if (hello.key_types & 1u << type)
                assert_true(offer_suits(&hello, &tls, (enum key_type)type, &verdict));
        }
    }
}

static void a_least_version_is_named(void **state)
{
    (void)state;
    tls.min_version = TLS_1_3;
    const struct hello modern = hello_of(&recipe_modern);
    assert_true(offer_is_recent(&modern, &tls, &verdict));
    const struct hello old = hello_of(&recipe_tls12);
    assert_false(offer_is_recent(&old, &tls, &verdict));
    assert_refused(HELLO_REFUSAL_VERSION, 70,
                   "client offers at best TLS 1.2, min_version is 1.3");
}

static void the_ciphers_of_both_sides_are_named(void **state)
{
    (void)state;
    struct recipe recipe = recipe_modern;
    recipe.suites = "13011303c02c"; /* what is for TLS 1.2 does not help */
    only(&tls.suites, CIPHER_AES_256_GCM);
    const struct hello hello = hello_of(&recipe);
    assert_false(offer_suits(&hello, &tls, KEY_ECDSA_P256, &verdict));
    assert_refused(HELLO_REFUSAL_SUITE, 40,
                   "client offers AES-128-GCM, CHACHA20-POLY1305 with TLS 1.3, none that "
                   "suites allows: AES-256-GCM");
}

static void a_tls12_cipher_counts_with_the_certificates_key(void **state)
{
    (void)state;
    struct recipe recipe = recipe_tls12;
    recipe.suites = "c02bc030"; /* ECDSA with AES-128, RSA with AES-256 */
    only(&tls.suites, CIPHER_AES_256_GCM);
    const struct hello hello = hello_of(&recipe);
    assert_true(offer_suits(&hello, &tls, KEY_RSA, &verdict));
    assert_false(offer_suits(&hello, &tls, KEY_ECDSA_P256, &verdict));
    assert_refused(HELLO_REFUSAL_SUITE, 40,
                   "client offers AES-128-GCM with TLS 1.2, none that suites allows: "
                   "AES-256-GCM");
}

static void the_groups_of_both_sides_are_named(void **state)
{
    (void)state;
    struct recipe recipe = recipe_modern;
    recipe.groups = GROUP_P256_ONLY;
    only(&tls.groups, GROUP_X25519);
    struct hello hello = hello_of(&recipe);
    assert_false(offer_suits(&hello, &tls, KEY_ECDSA_P256, &verdict));
    assert_refused(HELLO_REFUSAL_GROUP, 40,
                   "client offers secp256r1 with TLS 1.3, none that groups allows: "
                   "X25519");
    recipe.groups = GROUP_X25519_ONLY;
    hello = hello_of(&recipe);
    assert_true(offer_suits(&hello, &tls, KEY_ECDSA_P256, &verdict));
}

static void the_hybrid_group_is_none_of_tls12(void **state)
{
    (void)state;
    struct recipe recipe = recipe_tls12;
    recipe.groups = GROUP_HYBRID_ONLY GROUP_P256_ONLY;
    only(&tls.groups, GROUP_X25519MLKEM768);
    const struct hello hello = hello_of(&recipe);
    assert_false(offer_suits(&hello, &tls, KEY_ECDSA_P256, &verdict));
    assert_refused(HELLO_REFUSAL_GROUP, 40,
                   "client offers secp256r1 with TLS 1.2, none that groups allows: "
                   "X25519MLKEM768");
}

static void the_keys_that_a_client_accepts_are_named(void **state)
{
    (void)state;
    struct recipe recipe = recipe_modern;
    struct error error;
    recipe.signatures = "04030804";
    const struct hello hello = hello_of(&recipe);
    offer_explain_keys(&hello, &error);
    assert_string_equal(error.text,
                        "client accepts signatures of ECDSA P-256, RSA keys with TLS "
                        "1.3, and no certificate for this name has such a key");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(whom_the_policy_accepts_suits_without_narrowing, start),
        cmocka_unit_test_setup(a_least_version_is_named, start),
        cmocka_unit_test_setup(the_ciphers_of_both_sides_are_named, start),
        cmocka_unit_test_setup(a_tls12_cipher_counts_with_the_certificates_key, start),
        cmocka_unit_test_setup(the_groups_of_both_sides_are_named, start),
        cmocka_unit_test_setup(the_hybrid_group_is_none_of_tls12, start),
        cmocka_unit_test_setup(the_keys_that_a_client_accepts_are_named, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
