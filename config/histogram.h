/*
 * How long things took, counted in buckets whose bounds double.  Plain numbers, written
 * by one process and read by others, with no lock: a reader sums the buckets itself.
 */
#ifndef CONFIG_HISTOGRAM_H
#define CONFIG_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_BUCKETS = 20, HISTOGRAM_FIRST_BIT = 6 };

/* Bucket i counts what took at most 2^(i + 6) units, the last everything; each event is
 * in one bucket.  In microseconds: 64 us to 16.8 s; in milliseconds: 64 ms to 4.7 hours.
 */
struct histogram {
    uint64_t buckets[HISTOGRAM_BUCKETS];
    uint64_t sum;
};

static inline void histogram_add(struct histogram *histogram, uint64_t value)
{
    unsigned bucket = 0;

    if (value > 1 << HISTOGRAM_FIRST_BIT)
        bucket = 64 - (unsigned)__builtin_clzll(value - 1) - HISTOGRAM_FIRST_BIT;
    if (bucket >= HISTOGRAM_BUCKETS)
        bucket = HISTOGRAM_BUCKETS - 1;
    histogram->buckets[bucket]++;
    histogram->sum += value;
}

#endif
