#include "observe/histogram.h"

#include <assert.h>
#include <math.h>

/* Buckets of `bits` a power of two: the values below 2^bits, then each power from there to 2^63. */
static uint32_t bucket_count_of(uint32_t bits)
{
    return (64u - bits + 1u) << bits;
}

/* 2^bits buckets a power of two make a bucket at most 1/2^bits of its lowest value wide. */
static uint32_t sub_bucket_bits_of(uint32_t significant_digits)
{
    switch (significant_digits) {
    case 2:
        return 7;
    case 3:
        return 10;
    }
    return 0;
}

size_t hl_histogram_size_bytes(uint32_t significant_digits)
{
    const uint32_t bits = sub_bucket_bits_of(significant_digits);
    if (bits == 0)
        return 0;
    const size_t size_bytes = sizeof(hl_histogram) + bucket_count_of(bits) * sizeof(uint64_t);
    return (size_bytes + 127) / 128 * 128;
}

void hl_histogram_init(hl_histogram *histogram, uint32_t significant_digits)
{
    const uint32_t bits = sub_bucket_bits_of(significant_digits);
    assert(bits != 0);
    assert((uintptr_t)histogram % _Alignof(hl_histogram) == 0);
    histogram->significant_digits = significant_digits;
    histogram->sub_bucket_bits = bits;
    histogram->bucket_count = bucket_count_of(bits);
    histogram->reserved = 0;
    hl_histogram_reset(histogram);
}

void hl_histogram_reset(hl_histogram *histogram)
{
    hl_histogram_store(&histogram->min, UINT64_MAX);
    hl_histogram_store(&histogram->max, 0);
    for (uint32_t i = 0; i < histogram->bucket_count; i++)
        hl_histogram_store(&histogram->counts[i], 0);
}

static uint64_t lowest_of(const hl_histogram *histogram, uint32_t bucket)
{
    const uint32_t bits = histogram->sub_bucket_bits;
    if (bucket >> bits == 0)
        return bucket;
    const uint32_t shift = (bucket >> bits) - 1;
    return (uint64_t)(bucket - (shift << bits)) << shift;
}

static uint64_t highest_of(const hl_histogram *histogram, uint32_t bucket)
{
    const uint32_t bits = histogram->sub_bucket_bits;
    const uint32_t shift = bucket >> bits == 0 ? 0 : (bucket >> bits) - 1;
    return lowest_of(histogram, bucket) + (((uint64_t)1 << shift) - 1);
}

bool hl_histogram_next(const hl_histogram *histogram, uint32_t *position,
                       hl_histogram_bucket *ret_bucket)
{
    const uint64_t min = hl_histogram_load(&histogram->min);
    const uint64_t max = hl_histogram_load(&histogram->max);
    if (min > max)
        return false;
    const uint32_t first = hl_histogram_bucket_of(histogram, min);
    const uint32_t last = hl_histogram_bucket_of(histogram, max);
    for (uint32_t bucket = *position > first ? *position : first; bucket <= last; bucket++) {
        const uint64_t count = hl_histogram_load(&histogram->counts[bucket]);
        if (count == 0)
            continue;
        ret_bucket->lowest = lowest_of(histogram, bucket);
        ret_bucket->highest = highest_of(histogram, bucket);
        ret_bucket->count = count;
        *position = bucket + 1;
        return true;
    }
    return false;
}

hl_status hl_histogram_merge(hl_histogram *target, const hl_histogram *source)
{
    if (target->significant_digits != source->significant_digits)
        return HL_INVALID;
    uint32_t position = 0;
    hl_histogram_bucket bucket;
    while (hl_histogram_next(source, &position, &bucket)) {
        uint64_t *count = &target->counts[hl_histogram_bucket_of(target, bucket.lowest)];
        hl_histogram_store(count, hl_histogram_load(count) + bucket.count);
    }
    /* Not through hl_histogram_record_n: a bucket's bounds are not the values it counted. */
    const uint64_t min = hl_histogram_load(&source->min);
    const uint64_t max = hl_histogram_load(&source->max);
    if (min < hl_histogram_load(&target->min))
        hl_histogram_store(&target->min, min);
    if (max > hl_histogram_load(&target->max))
        hl_histogram_store(&target->max, max);
    return HL_OK;
}

uint64_t hl_histogram_count(const hl_histogram *histogram)
{
    uint64_t count = 0;
    uint32_t position = 0;
    hl_histogram_bucket bucket;
    while (hl_histogram_next(histogram, &position, &bucket))
        count += bucket.count;
    return count;
}

uint64_t hl_histogram_min(const hl_histogram *histogram)
{
    const uint64_t min = hl_histogram_load(&histogram->min);
    return min == UINT64_MAX && hl_histogram_load(&histogram->max) == 0 ? 0 : min;
}

uint64_t hl_histogram_max(const hl_histogram *histogram)
{
    return hl_histogram_load(&histogram->max);
}

/* The nearest rank, 1..count, of a percentile. 99.9 has no exact binary form, so a product within a
 * millionth of a whole number is that number: 99.9 % of 1000 is 999, not 1000. */
static uint64_t rank_of(double percentile, uint64_t count)
{
    const long double exact = (long double)percentile * (long double)count / 100.0L;
    const long double whole = roundl(exact);
    const long double rank = fabsl(exact - whole) < 1e-6L ? whole : ceill(exact);
    return rank < 1.0L ? 1 : (uint64_t)rank;
}

uint64_t hl_histogram_value_at_percentile(const hl_histogram *histogram, double percentile)
{
    if (!(percentile > 0.0))
        return hl_histogram_min(histogram);
    const uint64_t max = hl_histogram_max(histogram);
    const uint64_t count = hl_histogram_count(histogram);
    if (percentile >= 100.0 || count == 0)
        return max;
    const uint64_t rank = rank_of(percentile, count);
    uint64_t seen = 0;
    uint32_t position = 0;
    hl_histogram_bucket bucket;
    while (hl_histogram_next(histogram, &position, &bucket)) {
        seen += bucket.count;
        if (seen >= rank)
            return bucket.highest < max ? bucket.highest : max;
    }
    return max; /* a reset came between the two walks */
}
