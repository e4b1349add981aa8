#include "proxy/hello.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "certs/tls_policy.h"
#include "tests/unit/hello_builder.h"

#define SET(type) (1u << (type))

static void expect_recipe_refused(struct recipe recipe, enum hello_refusal refusal,
                                  unsigned alert, const char *words)
{
    const struct outcome outcome = read_recipe(recipe);
    expect_refusal(&outcome, refusal, alert, words);
}

static void expect_accepted(struct recipe recipe, unsigned version, uint32_t key_types)
{
    const struct outcome outcome = read_recipe(recipe);
    assert_string_equal(outcome.verdict.error.text, "");
    assert_int_equal(outcome.status, HELLO_COMPLETE);
    assert_int_equal(outcome.hello.best_version, version);
    assert_int_equal(outcome.hello.key_types, key_types);
}

static void old_versions_are_refused(void **state)
{
    (void)state;
    struct recipe recipe = recipe_tls12;
    recipe.legacy_version = 0x0302;
    expect_recipe_refused(recipe, HELLO_REFUSAL_VERSION, 70,
                          "client offers at best TLS 1.1, TLS 1.2 is the least accepted");
    recipe.legacy_version = 0x0300;
    expect_recipe_refused(recipe, HELLO_REFUSAL_VERSION, 70,
                          "client offers at best SSL 3.0, TLS 1.2 is the least accepted");
    recipe.legacy_version = 0x0303;
    recipe.versions = "8a8a03020301"; /* the list overrides legacy_version */
    expect_recipe_refused(recipe, HELLO_REFUSAL_VERSION, 70,
                          "client offers at best TLS 1.1, TLS 1.2 is the least accepted");
    recipe.versions = "7f1c";
    expect_recipe_refused(recipe, HELLO_REFUSAL_VERSION, 70,
                          "client offers at best 0x7f1c, TLS 1.2 is the least accepted");
}

static void versions_come_from_the_list_alone_when_there_is_one(void **state)
{
    (void)state;
    struct recipe recipe = recipe_modern;
    recipe.versions = "03030302";
    expect_accepted(recipe, 0x0303,
                    SET(KEY_ECDSA_P256) | SET(KEY_ECDSA_P384) | SET(KEY_ED25519) |
                        SET(KEY_RSA));
    recipe.versions = "03020304";
    expect_accepted(recipe, 0x0304, 15);
    recipe = recipe_tls12;
    recipe.legacy_version = 0x0304;
    expect_accepted(recipe, 0x0303,
                    SET(KEY_ECDSA_P256) | SET(KEY_ECDSA_P384) | SET(KEY_RSA));
}

static void suites_without_forward_secrecy_are_refused(void **state)
{
    (void)state;
    struct recipe recipe = recipe_tls12;
    recipe.suites = SUITES_STATIC "00ff";
    expect_recipe_refused(
        recipe, HELLO_REFUSAL_SUITE, 40,
        "client offers 4 suites (0x002f, 0x0035, 0x000a, 0xc013), none with "
        "ephemeral key exchange and AEAD");
    recipe.suites = SUITES_STATIC SUITES_STATIC "0a0a0005";
    expect_recipe_refused(
        recipe, HELLO_REFUSAL_SUITE, 40,
        "client offers 9 suites (0x002f, 0x0035, 0x000a, 0xc013, 0x002f, 0x0035, 0x000a, "
        "0xc013, ...), none with ephemeral key exchange and AEAD");
    recipe.suites = "00ff";
    expect_recipe_refused(
        recipe, HELLO_REFUSAL_SUITE, 40,
        "client offers 0 suites (none), none with ephemeral key exchange and AEAD");
    recipe.suites = SUITES_TLS13; /* of no use without supported_versions */
    expect_recipe_refused(recipe, HELLO_REFUSAL_SUITE, 40, NULL);
}

static void suites_must_serve_the_best_version(void **state)
{
    (void)state;
    struct recipe recipe = recipe_modern;
    recipe.suites = "c02bc02f1304";
    expect_recipe_refused(recipe, HELLO_REFUSAL_SUITE, 40,
                          "client offers TLS 1.3 with 3 suites (0xc02b, 0xc02f, 0x1304), "
                          "none of TLS 1.3 with AEAD");
    recipe.versions = "0303";
    assert_int_equal(read_recipe(recipe).status, HELLO_COMPLETE);
}

static void odd_or_no_suites_are_malformed(void **state)
{
    (void)state;
    struct recipe recipe = recipe_tls12;
    recipe.suites = "";
    expect_recipe_refused(recipe, HELLO_REFUSAL_MALFORMED, 50, NULL);
    recipe.suites = "c02bc0";
    expect_recipe_refused(recipe, HELLO_REFUSAL_MALFORMED, 50, NULL);
}

static void compression_must_allow_none(void **state)
{
    (void)state;
    struct recipe recipe = recipe_tls12;
    recipe.compression = "";
    expect_recipe_refused(recipe, HELLO_REFUSAL_MALFORMED, 47, NULL);
    recipe.compression = "01";
    expect_recipe_refused(recipe, HELLO_REFUSAL_MALFORMED, 47, NULL);
    recipe.compression = "0100";
    assert_int_equal(read_recipe(recipe).status, HELLO_COMPLETE);
    recipe = recipe_modern;
    recipe.compression = "0100"; /* TLS 1.3 knows no other */
    expect_recipe_refused(recipe, HELLO_REFUSAL_MALFORMED, 47, NULL);
}

static void one_of_our_groups_is_needed(void **state)
{
    (void)state;
    struct recipe recipe = recipe_modern;
    recipe.groups = "1a1a00180019";
    expect_recipe_refused(recipe, HELLO_REFUSAL_GROUP, 40,
                          "client offers groups secp384r1, secp521r1; x25519mlkem768, "
                          "x25519 or secp256r1 is needed");
    recipe.groups = NULL;
    expect_recipe_refused(
        recipe, HELLO_REFUSAL_GROUP, 109,
        "client offers no groups; x25519mlkem768, x25519 or secp256r1 is "
        "needed");
    const char *const groups[] = {"11ec", "001d", "0017"};
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        recipe.groups = groups[i];
        assert_int_equal(read_recipe(recipe).status, HELLO_COMPLETE);
    }
}

static void hybrid_group_does_not_serve_tls12(void **state)
{
    (void)state;
    struct recipe recipe = recipe_tls12;
    recipe.groups = "11ec";
    expect_recipe_refused(
        recipe, HELLO_REFUSAL_GROUP, 40,
        "client offers groups x25519mlkem768; x25519 or secp256r1 is needed");
    recipe.groups = NULL;
    expect_recipe_refused(recipe, HELLO_REFUSAL_GROUP, 40,
                          "client offers no groups; x25519 or secp256r1 is needed");
}

static void signatures_in_tls13_name_the_key(void **state)
{
    (void)state;
    const struct {
        const char *signatures;
        uint32_t key_types;
    } cases[] = {{"0403", SET(KEY_ECDSA_P256)},    {"0503", SET(KEY_ECDSA_P384)},
                 {"0807", SET(KEY_ED25519)},       {"0804", SET(KEY_RSA)},
                 {"0805", SET(KEY_RSA)},           {"0806", SET(KEY_RSA)},
                 {"04010403", SET(KEY_ECDSA_P256)}};
    struct recipe recipe = recipe_modern;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        recipe.signatures = cases[i].signatures;
        expect_accepted(recipe, 0x0304, cases[i].key_types);
    }
    recipe.signatures = "04010603080a2a2a";
    expect_recipe_refused(
        recipe, HELLO_REFUSAL_SIGNATURE, 40,
        "client accepts signatures rsa_pkcs1_sha256, "
        "ecdsa_secp521r1_sha512, rsa_pss_pss_sha384; none that a key of "
        "ours could make for its TLS 1.3 suites");
    recipe.signatures = NULL;
    expect_recipe_refused(recipe, HELLO_REFUSAL_SIGNATURE, 109,
                          "client offers no signature_algorithms");
}

static void signatures_in_tls12_depend_on_suites_and_groups(void **state)
{
    (void)state;
    const uint32_t ecdsa = SET(KEY_ECDSA_P256) | SET(KEY_ECDSA_P384);
    const struct {
        const char *suites, *groups, *signatures;
        uint32_t key_types;
    } cases[] = {
        {SUITES_ECDSA, "001700180019", "0603", ecdsa},
        {SUITES_ECDSA, "0017", "0503", SET(KEY_ECDSA_P256)},
        {SUITES_ECDSA, "001d0018", "0403", SET(KEY_ECDSA_P384)},
        {SUITES_ECDSA, "001d", "040308070401", SET(KEY_ED25519)},
        {SUITES_RSA, "001d0017", "0403080704010804", SET(KEY_RSA)},
        {SUITES_RSA, "001d", "0601", SET(KEY_RSA)},
        {SUITES_ECDSA SUITES_RSA, "00170018", "04030806", ecdsa | SET(KEY_RSA)},
    };
    struct recipe recipe = recipe_tls12;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        recipe.suites = cases[i].suites;
        recipe.groups = cases[i].groups;
        recipe.signatures = cases[i].signatures;
        expect_accepted(recipe, 0x0303, cases[i].key_types);
    }
    recipe.suites = SUITES_RSA;
    recipe.signatures = "04030203";
    expect_recipe_refused(recipe, HELLO_REFUSAL_SIGNATURE, 40,
                          "client accepts signatures ecdsa_secp256r1_sha256, ecdsa_sha1; "
                          "none that a key of ours could make for its TLS 1.2 suites and "
                          "groups");
    recipe.signatures = NULL; /* means SHA-1 */
    expect_recipe_refused(recipe, HELLO_REFUSAL_SIGNATURE, 40, NULL);
}

static void resumption_needs_a_fresh_key_exchange(void **state)
{
    (void)state;
    struct recipe recipe = recipe_modern;
    recipe.psk = PSK;
    const struct outcome good = read_recipe(recipe);
    assert_int_equal(good.status, HELLO_COMPLETE);
    assert_true(good.hello.psk_offered);
    recipe.psk_modes = "0001";
    assert_int_equal(read_recipe(recipe).status, HELLO_COMPLETE);
    recipe.psk_modes = "00";
    expect_recipe_refused(recipe, HELLO_REFUSAL_PSK_KE, 40,
                          "client offers resumption only without a fresh key exchange "
                          "(psk_ke); psk_dhe_ke is needed");
    recipe.psk_modes = "0b";
    expect_recipe_refused(recipe, HELLO_REFUSAL_PSK_KE, 40, NULL);
    recipe.psk_modes = NULL;
    expect_recipe_refused(recipe, HELLO_REFUSAL_PSK_KE, 109, NULL);
    recipe.versions = "0303"; /* nothing is resumed there */
    assert_int_equal(read_recipe(recipe).status, HELLO_COMPLETE);
}

static void pre_shared_key_must_be_last(void **state)
{
    (void)state;
    struct recipe recipe = recipe_modern;
    recipe.raw = "0029002e" PSK;
    assert_int_equal(read_recipe(recipe).status, HELLO_COMPLETE);
    recipe.raw = "0029002e" PSK "fa010000";
    expect_recipe_refused(recipe, HELLO_REFUSAL_MALFORMED, 47, NULL);
}

static void every_refusal_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int i = HELLO_REFUSAL_NONE; i <= HELLO_REFUSAL_SNI; i++) {
        const char *name = hello_refusal_name((enum hello_refusal)i);
        assert_string_not_equal(name, "unknown");
        for (int j = HELLO_REFUSAL_NONE; j < i; j++)
            assert_string_not_equal(name, hello_refusal_name((enum hello_refusal)j));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_versions_are_refused),
        cmocka_unit_test(versions_come_from_the_list_alone_when_there_is_one),
        cmocka_unit_test(suites_without_forward_secrecy_are_refused),
        cmocka_unit_test(suites_must_serve_the_best_version),
        cmocka_unit_test(odd_or_no_suites_are_malformed),
        cmocka_unit_test(compression_must_allow_none),
        cmocka_unit_test(one_of_our_groups_is_needed),
        cmocka_unit_test(hybrid_group_does_not_serve_tls12),
        cmocka_unit_test(signatures_in_tls13_name_the_key),
        cmocka_unit_test(signatures_in_tls12_depend_on_suites_and_groups),
        cmocka_unit_test(resumption_needs_a_fresh_key_exchange),
        cmocka_unit_test(pre_shared_key_must_be_last),
        cmocka_unit_test(every_refusal_has_a_name_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
