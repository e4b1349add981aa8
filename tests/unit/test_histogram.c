/* Histograms: each event in one bucket, the first that holds it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "config/histogram.h"

static void a_duration_is_in_the_first_bucket_that_holds_it(void **state)
{
    (void)state;
    static const struct {
        uint64_t value;
        unsigned bucket;
    } cases[] = {{0, 0},
                 {1, 0},
                 {64, 0},
                 {65, 1},
                 {128, 1},
                 {129, 2},
                 {1 << 20, 14},
                 {(1 << 20) + 1, 15},
                 {(uint64_t)1 << (HISTOGRAM_BUCKETS + 4), HISTOGRAM_BUCKETS - 2},
                 {((uint64_t)1 << (HISTOGRAM_BUCKETS + 4)) + 1, HISTOGRAM_BUCKETS - 1},
                 {UINT64_MAX, HISTOGRAM_BUCKETS - 1}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct histogram histogram = {.sum = 0};
        histogram_add(&histogram, cases[i].value);
        for (unsigned j = 0; j < HISTOGRAM_BUCKETS; j++)
            assert_int_equal(histogram.buckets[j], j == cases[i].bucket);
        assert_int_equal(histogram.sum, cases[i].value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_duration_is_in_the_first_bucket_that_holds_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
