#include "observe/histogram.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "tests/random.h"

static hl_histogram *make(uint32_t digits)
{
    hl_histogram *const histogram = aligned_alloc(128, hl_histogram_size_bytes(digits));
    cr_assert_not_null(histogram);
    hl_histogram_init(histogram, digits);
    return histogram;
}

static int compare(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static double stated_error(uint32_t digits)
{
    return digits == 2 ? 1.0 / 128 : 1.0 / 1024;
}

static const double percentiles[] = {0.001, 1, 10, 25, 50, 75, 90, 99, 99.9, 99.99, 99.999};
/* The same as whole numbers of a 100,000th, for a rank without floating point. */
static const uint64_t parts[] = {1,     1000,  10000, 25000, 50000, 75000,
                                 90000, 99000, 99900, 99990, 99999};
#define PERCENTILES (sizeof percentiles / sizeof *percentiles)

/* The definition, on the sorted values themselves. */
static uint64_t exact_quantile(const uint64_t *sorted, uint64_t count, uint64_t part)
{
    const uint64_t rank = (part * count + 99999) / 100000;
    return sorted[rank == 0 ? 0 : rank - 1];
}

static void expect_quantiles(const hl_histogram *histogram, uint64_t *values, uint64_t count,
                             uint32_t digits)
{
    qsort(values, count, sizeof *values, compare);
    cr_assert_eq(hl_histogram_count(histogram), count);
    cr_assert_eq(hl_histogram_min(histogram), values[0]);
    cr_assert_eq(hl_histogram_max(histogram), values[count - 1]);
    cr_assert_eq(hl_histogram_value_at_percentile(histogram, 0), values[0]);
    cr_assert_eq(hl_histogram_value_at_percentile(histogram, 100), values[count - 1]);
    for (size_t i = 0; i < PERCENTILES; i++) {
        const uint64_t exact = exact_quantile(values, count, parts[i]);
        const uint64_t told = hl_histogram_value_at_percentile(histogram, percentiles[i]);
        cr_assert_geq(told, exact, "p%g", percentiles[i]);
        cr_assert_leq((double)(told - exact), (double)exact * stated_error(digits),
                      "p%g: %" PRIu64 " for %" PRIu64, percentiles[i], told, exact);
    }
}

/* How a random word becomes a value. */
typedef uint64_t (*shape)(uint64_t random);

static uint64_t small(uint64_t random)
{
    return random % 256;
}
static uint64_t latency(uint64_t random)
{
    return 200 + random % 1000 + (random >> 60 == 0 ? random % 5000000 : 0);
}
static uint64_t any_size(uint64_t random)
{
    return random >> (random & 63);
}
static uint64_t constant(uint64_t random)
{
    (void)random;
    return 123456789;
}

static void expect_shape(shape value_of, uint32_t digits, uint64_t count)
{
    hl_histogram *const histogram = make(digits);
    uint64_t *const values = malloc(count * sizeof *values);
    uint64_t state = count;
    for (uint64_t i = 0; i < count; i++) {
        values[i] = value_of(random_next(&state));
        hl_histogram_record(histogram, values[i]);
    }
    expect_quantiles(histogram, values, count, digits);
    free(values);
    free(histogram);
}

Test(histogram, quantiles_are_within_the_stated_error_of_the_exact_ones)
{
    static const shape shapes[] = {small, latency, any_size, constant};
    static const uint64_t counts[] = {1, 2, 7, 1000, 100000};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            expect_shape(shapes[s], 2, counts[c]);
            expect_shape(shapes[s], 3, counts[c]);
        }
    }
}

Test(histogram, small_values_are_exact)
{
    hl_histogram *const two = make(2), *const three = make(3);
    for (uint64_t value = 0; value < 2048; value++) {
        if (value < 256)
            hl_histogram_record(two, value);
        hl_histogram_record(three, value);
    }
    for (uint64_t i = 1; i <= 256; i++)
        cr_assert_eq(hl_histogram_value_at_percentile(two, (double)i * 100 / 256), i - 1);
    for (uint64_t i = 1; i <= 2048; i++)
        cr_assert_eq(hl_histogram_value_at_percentile(three, (double)i * 100 / 2048), i - 1);
    free(two);
    free(three);
}

Test(histogram, a_percentile_without_a_binary_form_keeps_its_rank)
{
    hl_histogram *const histogram = make(3);
    for (uint64_t value = 1; value <= 1000; value++)
        hl_histogram_record(histogram, value);
    cr_assert_eq(hl_histogram_value_at_percentile(histogram, 99.9), 999);
    cr_assert_eq(hl_histogram_value_at_percentile(histogram, 99.91), 1000);
    cr_assert_eq(hl_histogram_value_at_percentile(histogram, 0.1), 1);
    free(histogram);
}

Test(histogram, buckets_lie_side_by_side_and_hold_their_bounds)
{
    for (uint32_t digits = 2; digits <= 3; digits++) {
        hl_histogram *const histogram = make(digits);
        for (unsigned power = 0; power < 64; power++) {
            const uint64_t value = (uint64_t)1 << power;
            const uint64_t around[] = {value - 1, value, value + 1};
            for (size_t i = 0; i < 3; i++)
                hl_histogram_record(histogram, around[i]);
        }
        uint32_t position = 0, buckets = 0;
        uint64_t previous_highest = 0, count = 0;
        hl_histogram_bucket bucket;
        while (hl_histogram_next(histogram, &position, &bucket)) {
            cr_assert(buckets == 0 || bucket.lowest > previous_highest);
            cr_assert_leq(bucket.lowest, bucket.highest);
            const uint32_t index = hl_histogram_bucket_of(histogram, bucket.lowest);
            cr_assert_eq(hl_histogram_bucket_of(histogram, bucket.highest), index);
            cr_assert(bucket.highest == UINT64_MAX ||
                      hl_histogram_bucket_of(histogram, bucket.highest + 1) == index + 1);
            previous_highest = bucket.highest;
            count += bucket.count;
            buckets++;
        }
        cr_assert_eq(count, 64 * 3);
        free(histogram);
    }
}

Test(histogram, holds_zero_and_the_largest_value)
{
    hl_histogram *const histogram = make(2);
    hl_histogram_record(histogram, UINT64_MAX);
    cr_assert_eq(hl_histogram_bucket_of(histogram, UINT64_MAX), histogram->bucket_count - 1);
    cr_assert_eq(hl_histogram_min(histogram), UINT64_MAX);
    cr_assert_eq(hl_histogram_value_at_percentile(histogram, 50), UINT64_MAX);
    hl_histogram_record(histogram, 0);
    cr_assert_eq(hl_histogram_min(histogram), 0);
    cr_assert_eq(hl_histogram_value_at_percentile(histogram, 50), 0);
    cr_assert_eq(hl_histogram_count(histogram), 2);
    free(histogram);
}

static void expect_empty(const hl_histogram *histogram)
{
    uint32_t position = 0;
    hl_histogram_bucket bucket;
    cr_assert_eq(hl_histogram_count(histogram), 0);
    cr_assert_eq(hl_histogram_min(histogram), 0);
    cr_assert_eq(hl_histogram_max(histogram), 0);
    cr_assert_eq(hl_histogram_value_at_percentile(histogram, 0), 0);
    cr_assert_eq(hl_histogram_value_at_percentile(histogram, 50), 0);
    cr_assert_eq(hl_histogram_value_at_percentile(histogram, 100), 0);
    cr_assert_not(hl_histogram_next(histogram, &position, &bucket));
}

Test(histogram, empty_answers_zero_before_the_first_value_and_after_a_reset)
{
    hl_histogram *const histogram = make(2);
    expect_empty(histogram);
    hl_histogram_record_n(histogram, 77, 0);
    expect_empty(histogram);
    hl_histogram_record_n(histogram, 77, 5);
    cr_assert_eq(hl_histogram_count(histogram), 5);
    hl_histogram_reset(histogram);
    expect_empty(histogram);
    free(histogram);
}

Test(histogram, percentiles_outside_their_range_are_cut)
{
    hl_histogram *const histogram = make(2);
    hl_histogram_record(histogram, 1000);
    hl_histogram_record(histogram, 3000);
    cr_assert_eq(hl_histogram_value_at_percentile(histogram, -5), 1000);
    cr_assert_eq(hl_histogram_value_at_percentile(histogram, 500), 3000);
    cr_assert_eq(hl_histogram_value_at_percentile(histogram, __builtin_nan("")), 1000);
    free(histogram);
}

Test(histogram, merged_is_as_if_recorded_in_one)
{
    hl_histogram *const a = make(3), *const b = make(3), *const both = make(3);
    uint64_t state = 1;
    for (int i = 0; i < 10000; i++) {
        const uint64_t value = any_size(random_next(&state));
        hl_histogram_record(i % 3 == 0 ? a : b, value);
        hl_histogram_record(both, value);
    }
    cr_assert_eq(hl_histogram_merge(a, b), HL_OK);
    cr_assert_eq(a->min, both->min);
    cr_assert_eq(a->max, both->max);
    cr_assert_arr_eq(a->counts, both->counts, both->bucket_count * sizeof *both->counts);
    free(a);
    free(b);
    free(both);
}

Test(histogram, merging_an_empty_one_changes_nothing)
{
    hl_histogram *const a = make(2), *const empty = make(2);
    hl_histogram_record(a, 42);
    cr_assert_eq(hl_histogram_merge(a, empty), HL_OK);
    cr_assert_eq(hl_histogram_count(a), 1);
    cr_assert_eq(hl_histogram_min(a), 42);
    cr_assert_eq(hl_histogram_max(a), 42);
    cr_assert_eq(hl_histogram_merge(empty, a), HL_OK);
    cr_assert_eq(hl_histogram_min(empty), 42);
    free(a);
    free(empty);
}

Test(histogram, digits_that_differ_do_not_merge)
{
    hl_histogram *const two = make(2), *const three = make(3);
    hl_histogram_record(three, 42);
    cr_assert_eq(hl_histogram_merge(two, three), HL_INVALID);
    cr_assert_eq(hl_histogram_count(two), 0);
    free(two);
    free(three);
}

Test(histogram, there_are_two_and_three_digits_only)
{
    static const uint32_t none[] = {0, 1, 4, UINT32_MAX};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        cr_assert_eq(hl_histogram_size_bytes(none[i]), 0);
    for (uint32_t digits = 2; digits <= 3; digits++) {
        hl_histogram *const histogram = make(digits);
        const size_t used =
            sizeof *histogram + histogram->bucket_count * sizeof histogram->counts[0];
        cr_assert_geq(hl_histogram_size_bytes(digits), used);
        cr_assert_lt(hl_histogram_size_bytes(digits), used + 128);
        cr_assert_eq(hl_histogram_size_bytes(digits) % 128, 0);
        free(histogram);
    }
}

#define CONCURRENT_VALUES 2000000u

static void *record_all(void *context)
{
    uint64_t state = 9;
    for (uint32_t i = 0; i < CONCURRENT_VALUES; i++)
        hl_histogram_record(context, 1000 + random_next(&state) % 1000);
    return NULL;
}

Test(histogram, a_reading_while_values_are_recorded_is_one_of_the_past)
{
    hl_histogram *const histogram = make(2);
    pthread_t writer;
    cr_assert_eq(pthread_create(&writer, NULL, record_all, histogram), 0);
    uint64_t before = 0;
    do {
        const uint64_t count = hl_histogram_count(histogram);
        cr_assert_geq(count, before, "counts never go back");
        cr_assert_leq(count, CONCURRENT_VALUES);
        before = count;
        const uint64_t median = hl_histogram_value_at_percentile(histogram, 50);
        cr_assert(median == 0 || (median >= 1000 && median < 2000), "%" PRIu64, median);
    } while (before < CONCURRENT_VALUES);
    pthread_join(writer, NULL);
    cr_assert_eq(hl_histogram_count(histogram), CONCURRENT_VALUES);
    free(histogram);
}
