#include "flow/token_bucket.h"

#include <inttypes.h>

#include "base/error.h"
#include "flow/range.h"
#include "ring/order.h"

#define RATE_MAX UINT64_C(1000000000)

hl_status hl_throttle_options_check(const hl_throttle_options *options, const char *place,
                                    hl_error *error)
{
    const hl_status size = hl_option_size_check(options->size, sizeof *options,
                                                "HL_THROTTLE_OPTIONS_INIT", place, error);
    if (size != HL_OK)
        return size;
    const hl_option_range ranges[] = {{"rate_per_s", options->rate_per_s, 1, RATE_MAX, true},
                                      {"burst", options->burst, 1, RATE_MAX, true}};
    const hl_status status =
        hl_option_ranges_check(ranges, sizeof ranges / sizeof *ranges, place, error);
    if (status != HL_OK)
        return status;
    if (options->rate_per_s == 0 && options->burst != 0)
        return hl_error_set(error, HL_INVALID,
                            "%s.burst: %" PRIu64
                            " events have no meaning without a rate: set rate_per_s, or burst to 0",
                            place, options->burst);
    return HL_OK;
}

void hl_token_bucket_init(hl_token_bucket *bucket, const hl_throttle_options *options,
                          uint64_t now_ns)
{
    *bucket = (hl_token_bucket){.origin_ns = now_ns};
    if (options == NULL || options->rate_per_s == 0)
        return;
    const uint64_t in_10_ms = options->rate_per_s / 100;
    bucket->rate_per_s = options->rate_per_s;
    bucket->burst = options->burst != 0 ? options->burst : in_10_ms != 0 ? in_10_ms : 1;
}

/* Tokens that were earned from the origin to now. Whole seconds and the rest apart, so that nothing
 * overflows in 292 years. */
static uint64_t earned(const hl_token_bucket *bucket, uint64_t now_ns)
{
    if (now_ns <= bucket->origin_ns)
        return 0;
    const uint64_t elapsed_ns = now_ns - bucket->origin_ns;
    return elapsed_ns / HL_SECOND * bucket->rate_per_s +
           elapsed_ns % HL_SECOND * bucket->rate_per_s / HL_SECOND;
}

/* Whether `count` are there when `spent` were; what then is spent to *ret_spent. Spent goes from
 * `earned` (full) to earned + burst (empty). */
static bool spend(const hl_token_bucket *bucket, uint64_t spent, uint64_t count, uint64_t now_ns,
                  uint64_t *ret_spent)
{
    const uint64_t so_far = earned(bucket, now_ns);
    const uint64_t from = spent > so_far ? spent : so_far;
    const uint64_t to = so_far + bucket->burst;
    if (from > to || count > to - from)
        return false;
    *ret_spent = from + count;
    return true;
}

bool hl_token_bucket_take(hl_token_bucket *bucket, uint64_t count, uint64_t now_ns)
{
    return spend(bucket, bucket->spent, count, now_ns, &bucket->spent);
}

bool hl_token_bucket_take_shared(hl_token_bucket *bucket, uint64_t count, uint64_t now_ns)
{
    /* Relaxed all: the word is a number, and who gets a token reads nothing of who got the last. */
    uint64_t spent = hl_load_relaxed_u64(&bucket->spent);
    uint64_t after;
    do {
        if (!spend(bucket, spent, count, now_ns, &after))
            return false;
        /* Relaxed, as above. */
    } while (!hl_compare_exchange_relaxed_u64(&bucket->spent, &spent, after));
    return true;
}

void hl_token_bucket_give_back(hl_token_bucket *bucket, uint64_t count)
{
    if (bucket->rate_per_s != 0)
        bucket->spent -= count;
}

void hl_token_bucket_give_back_shared(hl_token_bucket *bucket, uint64_t count)
{
    /* Relaxed: a number. */
    if (bucket->rate_per_s != 0)
        hl_fetch_add_relaxed_u64(&bucket->spent, -count);
}
