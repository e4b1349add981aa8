#include "certs/keyholder_msg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static bool valid(unsigned scheme, unsigned length)
{
    const struct sign_request request = {
        .id = 1, .scheme = (uint16_t)scheme, .input_length = (uint16_t)length};
    return sign_request_is_valid(&request);
}

static void digests_of_the_schemes_size_are_valid(void **state)
{
    (void)state;
    assert_true(valid(SIGN_RSA_PKCS1_SHA256, 32));
    assert_true(valid(SIGN_RSA_PKCS1_SHA384, 48));
    assert_true(valid(SIGN_RSA_PKCS1_SHA512, 64));
    assert_true(valid(SIGN_RSA_PSS_SHA256, 32));
    assert_true(valid(SIGN_RSA_PSS_SHA384, 48));
    assert_true(valid(SIGN_RSA_PSS_SHA512, 64));
    assert_true(valid(SIGN_ECDSA, 32));
    assert_true(valid(SIGN_ECDSA, 48));
    assert_true(valid(SIGN_ECDSA, 64));
}

static void ed25519_signs_messages_up_to_the_bound(void **state)
{
    (void)state;
    assert_true(valid(SIGN_ED25519, 1));
    assert_true(valid(SIGN_ED25519, SIGN_INPUT_MAX));
    assert_false(valid(SIGN_ED25519, 0));
    assert_false(valid(SIGN_ED25519, SIGN_INPUT_MAX + 1));
}

static void digests_of_another_size_are_refused(void **state)
{
    (void)state;
    static const unsigned schemes[] = {SIGN_RSA_PKCS1_SHA256,
                                       SIGN_RSA_PKCS1_SHA384,
                                       SIGN_RSA_PKCS1_SHA512,
                                       SIGN_RSA_PSS_SHA256,
                                       SIGN_RSA_PSS_SHA384,
                                       SIGN_RSA_PSS_SHA512,
                                       SIGN_ECDSA};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        assert_false(valid(schemes[i], 0));
        assert_false(valid(schemes[i], 20));
        assert_false(valid(schemes[i], 33));
        assert_false(valid(schemes[i], 65535));
    }
}

static void every_other_scheme_is_refused(void **state)
{
    (void)state;
    unsigned accepted = 0;
    for (unsigned scheme = 0; scheme <= 0xffff; scheme++)
        accepted += valid(scheme, 32) || valid(scheme, 48) || valid(scheme, 64);
    assert_int_equal(accepted, 8);
}

static void request_with_reserved_bits_is_refused(void **state)
{
    (void)state;
    const struct sign_request request = {
        .scheme = SIGN_ECDSA, .input_length = 32, .reserved = 1};
    assert_false(sign_request_is_valid(&request));
}

static bool reply_valid(unsigned status, unsigned length, uint32_t reserved)
{
    const struct sign_reply reply = {.status = (uint16_t)status,
                                     .signature_length = (uint16_t)length,
                                     .reserved = reserved};
    return sign_reply_is_valid(&reply);
}

static void signature_has_a_length(void **state)
{
    (void)state;
    assert_true(reply_valid(SIGN_DONE, 1, 0));
    assert_true(reply_valid(SIGN_DONE, SIGN_SIGNATURE_MAX, 0));
    assert_false(reply_valid(SIGN_DONE, 0, 0));
    assert_false(reply_valid(SIGN_DONE, SIGN_SIGNATURE_MAX + 1, 0));
}

static void failure_carries_no_signature(void **state)
{
    (void)state;
    assert_true(reply_valid(SIGN_BAD_REQUEST, 0, 0));
    assert_true(reply_valid(SIGN_UNKNOWN_KEY, 0, 0));
    assert_true(reply_valid(SIGN_FAILED, 0, 0));
    assert_false(reply_valid(SIGN_FAILED, 1, 0));
}

static void unknown_status_is_refused(void **state)
{
    (void)state;
    assert_false(reply_valid(SIGN_FAILED + 1, 0, 0));
    assert_false(reply_valid(0xffff, 0, 0));
}

static void reply_with_reserved_bits_is_refused(void **state)
{
    (void)state;
    assert_false(reply_valid(SIGN_DONE, 64, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_of_the_schemes_size_are_valid),
        cmocka_unit_test(ed25519_signs_messages_up_to_the_bound),
        cmocka_unit_test(digests_of_another_size_are_refused),
        cmocka_unit_test(every_other_scheme_is_refused),
        cmocka_unit_test(request_with_reserved_bits_is_refused),
        cmocka_unit_test(signature_has_a_length),
        cmocka_unit_test(failure_carries_no_signature),
        cmocka_unit_test(unknown_status_is_refused),
        cmocka_unit_test(reply_with_reserved_bits_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
