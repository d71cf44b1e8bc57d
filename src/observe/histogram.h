/*
 * A histogram of u64 values (ns, as a rule) in constant memory: each power of two is cut into
 * equal buckets, so that a value is known to a fixed share of itself, whatever its size (the
 * scheme of HdrHistogram, G. Tene). Small values have a bucket each and are exact.
 *
 *     significant digits   buckets a power of two   error at most   exact below   memory
 *             2                     128                0.79 %            256       58 KiB
 *             3                    1024                0.10 %           2048      440 KiB
 *
 * One thread records, any number read meanwhile, nobody waits (all operations wait-free):
 *
 *                       | record, merge into, reset | merge from, all that reads
 *     record, reset     |             X             |             -
 *     merge into        |             X             |             -
 *     X: the caller must exclude it (one writer thread); -: may run at the same time.
 *
 * The bad news: a reading while values are recorded may lack the newest ones, and one during a
 * reset is a mixture; at rest it is exact. Queries walk the buckets between the smallest and the
 * largest value (some microseconds): they are not for a hot path.
 *
 * The memory is flat, holds no pointers, may lie in shared memory or a file, and is the caller's:
 *
 *     hl_histogram *delays = aligned_alloc(128, hl_histogram_size_bytes(2));
 *     hl_histogram_init(delays, 2);
 *     hl_histogram_record(delays, received_ns - sent_ns);
 *     printf("p99 %" PRIu64 " ns\n", hl_histogram_value_at_percentile(delays, 99.0));
 */
#ifndef HL_OBSERVE_HISTOGRAM_H
#define HL_OBSERVE_HISTOGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hotlane/status.h>

#include "ring/order.h"

typedef struct hl_histogram {
    /* Read-only after init. */
    uint32_t significant_digits;
    uint32_t sub_bucket_bits; /* log2 of the buckets in a power of two */
    uint32_t bucket_count;
    uint32_t reserved;
    /* The recording thread writes. */
    uint64_t min; /* UINT64_MAX while empty */
    uint64_t max;
    uint64_t counts[]; /* bucket_count of them */
} hl_histogram;

/* A bucket that is not empty: `count` values in lowest..highest, both included. */
typedef struct hl_histogram_bucket {
    uint64_t lowest;
    uint64_t highest;
    uint64_t count;
} hl_histogram_bucket;

/* The memory that a histogram needs; a multiple of 128; 0 unless 2 or 3 digits. */
size_t hl_histogram_size_bytes(uint32_t significant_digits);

/* Makes an empty histogram of 2 or 3 digits in memory of hl_histogram_size_bytes(), aligned as a
 * u64 at least (to 128, where another thread writes next to it: lines are prefetched in pairs). */
void hl_histogram_init(hl_histogram *histogram, uint32_t significant_digits);

/* Forgets every value. The recording thread only. */
void hl_histogram_reset(hl_histogram *histogram);

/* Every word of a histogram is read and written through these two. Relaxed: there is one writer,
 * and each word stands for itself. A reader that sees one word newer than another reads the
 * histogram as of an event earlier or later, as promised. */
static inline uint64_t hl_histogram_load(const uint64_t *word)
{
    return hl_load_relaxed_u64(word);
}
static inline void hl_histogram_store(uint64_t *word, uint64_t value)
{
    /* Relaxed, as said above. */
    hl_store_relaxed_u64(word, value);
}

/* Where a value is counted: for hl_histogram_record_n and the tests. */
static inline uint32_t hl_histogram_bucket_of(const hl_histogram *histogram, uint64_t value)
{
    const uint32_t bits = histogram->sub_bucket_bits;
    /* Or-ing the bit in puts the small values, which are exact, into the first power of two. */
    const uint32_t power = 63u - (uint32_t)__builtin_clzll(value | (uint64_t)1 << bits);
    const uint32_t shift = power - bits;
    return (shift << bits) + (uint32_t)(value >> shift);
}

/* Records `value` `count` times (0: nothing happens). The recording thread only; a few ns. */
static inline void hl_histogram_record_n(hl_histogram *histogram, uint64_t value, uint64_t count)
{
    if (count == 0)
        return;
    uint64_t *bucket = &histogram->counts[hl_histogram_bucket_of(histogram, value)];
    hl_histogram_store(bucket, hl_histogram_load(bucket) + count);
    if (value < hl_histogram_load(&histogram->min))
        hl_histogram_store(&histogram->min, value);
    if (value > hl_histogram_load(&histogram->max))
        hl_histogram_store(&histogram->max, value);
}

/* Records one value. The recording thread only; a few ns. */
static inline void hl_histogram_record(hl_histogram *histogram, uint64_t value)
{
    hl_histogram_record_n(histogram, value, 1);
}

/* Adds the values of `source`, as if they had been recorded (to the bucket). The recording thread
 * of `target`; `source` may be recorded to meanwhile. HL_INVALID: they differ in digits. */
hl_status hl_histogram_merge(hl_histogram *target, const hl_histogram *source);

/* How many values were recorded. Any thread. */
uint64_t hl_histogram_count(const hl_histogram *histogram);

/* The smallest and the largest value, exact; 0 while empty. Any thread. */
uint64_t hl_histogram_min(const hl_histogram *histogram);
uint64_t hl_histogram_max(const hl_histogram *histogram);

/*
 * The value that `percentile` per cent of the recorded ones do not exceed (nearest rank: the
 * ceil(percentile / 100 * count)-th smallest), at most the stated error above the true one, never
 * below it, never above the maximum. `percentile` is cut to 0..100 (0: the minimum, exact; 100: the
 * maximum, exact). 0 while empty. Any thread.
 */
uint64_t hl_histogram_value_at_percentile(const hl_histogram *histogram, double percentile);

/*
 * Walks the buckets that are not empty, from the smallest values up: set `*position` to 0 and call
 * until it answers false. Any thread.
 *
 *     uint32_t position = 0;
 *     hl_histogram_bucket bucket;
 *     while (hl_histogram_next(histogram, &position, &bucket))
 *         printf("%" PRIu64 "..%" PRIu64 ": %" PRIu64 "\n", bucket.lowest, bucket.highest,
 *                bucket.count);
 */
bool hl_histogram_next(const hl_histogram *histogram, uint32_t *position,
                       hl_histogram_bucket *ret_bucket);

#endif
