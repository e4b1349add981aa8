/* The hash of sources, against the vector its authors published. */
#include "proxy/siphash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const uint8_t counting[SIPHASH_BYTES] = {0, 1, 2,  3,  4,  5,  6,  7,
                                                8, 9, 10, 11, 12, 13, 14, 15};

static void gives_the_published_value(void **state)
{
    static const uint64_t key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};

    (void)state;
    assert_true(siphash_16(key, counting) == 0x3f2acc7f57c29bdb);
}

static void depends_on_the_key(void **state)
{
    static const uint64_t key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0909};

    (void)state;
    assert_false(siphash_16(key, counting) == 0x3f2acc7f57c29bdb);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_published_value),
        cmocka_unit_test(depends_on_the_key),
    };

    return cmocka_run_group_tests_name("siphash", tests, NULL, NULL);
}
