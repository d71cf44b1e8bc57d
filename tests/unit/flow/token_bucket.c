#include "flow/token_bucket.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

#include "tests/random.h"

#define BEGIN_NS UINT64_C(1700000000123456789)

static hl_token_bucket bucket_of(uint64_t rate_per_s, uint64_t burst)
{
    hl_throttle_options options = HL_THROTTLE_OPTIONS_INIT;
    options.rate_per_s = rate_per_s;
    options.burst = burst;
    hl_error error;
    cr_assert_eq(hl_throttle_options_check(&options, "throttle", &error), HL_OK);
    hl_token_bucket bucket;
    hl_token_bucket_init(&bucket, &options, BEGIN_NS);
    return bucket;
}

/* How many are to be had at once, one by one. */
static uint64_t drain(hl_token_bucket *bucket, uint64_t now_ns)
{
    uint64_t taken = 0;
    while (hl_token_bucket_try_take(bucket, 1, now_ns))
        taken++;
    return taken;
}

Test(token_bucket, without_a_rate_there_is_no_limit)
{
    hl_token_bucket bucket;
    hl_token_bucket_init(&bucket, NULL, BEGIN_NS);
    for (int i = 0; i < 1000; i++) {
        cr_assert(hl_token_bucket_try_take(&bucket, UINT64_MAX, 0));
        cr_assert(hl_token_bucket_try_take_shared(&bucket, UINT64_MAX, 0));
    }
    hl_token_bucket_give_back(&bucket, 5);
    hl_token_bucket_give_back_shared(&bucket, 5);
    cr_assert_eq(bucket.spent, 0);
}

Test(token_bucket, is_full_at_first_and_no_fuller_after_a_pause)
{
    hl_token_bucket bucket = bucket_of(1000, 7);
    cr_assert_eq(drain(&bucket, BEGIN_NS), 7);
    cr_assert_eq(drain(&bucket, BEGIN_NS + 3600 * HL_SECOND), 7);
    cr_assert_eq(drain(&bucket, BEGIN_NS + 3600 * HL_SECOND), 0);
}

Test(token_bucket, a_burst_of_0_is_what_the_rate_gives_in_10_ms)
{
    hl_token_bucket bucket = bucket_of(5000, 0);
    cr_assert_eq(drain(&bucket, BEGIN_NS), 50);
    bucket = bucket_of(7, 0);
    cr_assert_eq(drain(&bucket, BEGIN_NS), 1);
}

Test(token_bucket, a_token_comes_exactly_when_it_is_due)
{
    /* 3 a second: after 333,333,334 ns, 666,666,667 ns, 1 s. */
    hl_token_bucket bucket = bucket_of(3, 1);
    cr_assert_eq(drain(&bucket, BEGIN_NS), 1);
    const uint64_t due[] = {333333334, 666666667, 1000000000, 1333333334};
    for (size_t i = 0; i < 4; i++) {
        cr_assert_not(hl_token_bucket_try_take(&bucket, 1, BEGIN_NS + due[i] - 1));
        cr_assert(hl_token_bucket_try_take(&bucket, 1, BEGIN_NS + due[i]));
    }
}

Test(token_bucket, all_or_none_are_taken)
{
    hl_token_bucket bucket = bucket_of(10, 5);
    cr_assert(hl_token_bucket_try_take(&bucket, 3, BEGIN_NS));
    cr_assert_not(hl_token_bucket_try_take(&bucket, 3, BEGIN_NS));
    cr_assert(hl_token_bucket_try_take(&bucket, 2, BEGIN_NS));
    cr_assert_not(hl_token_bucket_try_take(&bucket, 6, BEGIN_NS + 3600 * HL_SECOND));
}

Test(token_bucket, what_is_given_back_can_be_taken_again_and_no_more)
{
    hl_token_bucket bucket = bucket_of(10, 5);
    cr_assert_eq(drain(&bucket, BEGIN_NS), 5);
    hl_token_bucket_give_back(&bucket, 2);
    hl_token_bucket_give_back_shared(&bucket, 1);
    cr_assert_eq(drain(&bucket, BEGIN_NS), 3);
    hl_token_bucket_give_back(&bucket, 1);
    cr_assert_eq(drain(&bucket, BEGIN_NS + 3600 * HL_SECOND), 5, "full is full");
}

Test(token_bucket, a_clock_that_steps_back_earns_nothing)
{
    hl_token_bucket bucket = bucket_of(1000, 5);
    cr_assert_eq(drain(&bucket, BEGIN_NS + HL_SECOND), 5);
    cr_assert_eq(drain(&bucket, BEGIN_NS), 0);
    cr_assert_eq(drain(&bucket, BEGIN_NS - HL_SECOND), 0);
    cr_assert_eq(drain(&bucket, 0), 0);
    cr_assert_eq(drain(&bucket, BEGIN_NS + HL_SECOND + 2 * HL_MILLISECOND), 2);
}

/* Who asks for all there is, at any times, gets the burst and what the rate gives, to the token. */
Test(token_bucket, does_not_drift)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        cr_log_info("seed %lu", seed);
        uint64_t random = seed;
        const uint64_t rate = 1 + random_below(&random, seed % 2 == 0 ? 1000000000 : 5000);
        const uint64_t burst = 1 + random_below(&random, 1000);
        hl_token_bucket bucket = bucket_of(rate, burst);
        uint64_t now_ns = BEGIN_NS, taken = 0;
        cr_assert(hl_token_bucket_try_take(&bucket, burst, now_ns));
        for (int step = 0; step < 2000; step++) {
            /* Never so long that the bucket would be over full and forget. */
            now_ns += random_below(&random, burst * HL_SECOND / rate + 1);
            for (uint64_t most = 1; most != 0;) {
                most = random_below(&random, burst) + 1;
                while (most > 0 && !hl_token_bucket_try_take(&bucket, most, now_ns))
                    most /= 2;
                taken += most;
            }
            const unsigned __int128 earned =
                (unsigned __int128)(now_ns - BEGIN_NS) * rate / HL_SECOND;
            cr_assert_eq(taken, (uint64_t)earned, "rate %lu burst %lu step %d", rate, burst, step);
        }
    }
}

typedef struct shared_run {
    hl_token_bucket *bucket;
    uint64_t taken;
} shared_run;

static void *take_what_there_is(void *context)
{
    shared_run *const run = context;
    for (uint64_t i = 0; i < 200000; i++)
        run->taken += hl_token_bucket_try_take_shared(run->bucket, 1, BEGIN_NS + i * 1000);
    return NULL;
}

Test(token_bucket, threads_share_exactly_what_there_is)
{
    /* 0.2 s at 100,000 a second, and the burst: 3 threads ask for 30 times as many. */
    hl_token_bucket bucket = bucket_of(100000, 64);
    shared_run runs[3];
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        runs[i] = (shared_run){&bucket, 0};
        cr_assert_eq(pthread_create(&threads[i], NULL, take_what_there_is, &runs[i]), 0);
    }
    uint64_t taken = 0;
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        taken += runs[i].taken;
    }
    /* The last look is at 199,999 us; the thread that comes last finds all that was left. */
    cr_assert_leq(taken, 64 + 19999);
    cr_assert_geq(taken, 19999);
}

Test(token_bucket, options_of_another_size_are_refused)
{
    hl_throttle_options options = HL_THROTTLE_OPTIONS_INIT;
    options.size--;
    hl_error error = {0};
    cr_assert_eq(hl_throttle_options_check(&options, "p", &error), HL_INVALID);
    cr_assert_not_null(strstr(error.text, "p.size: "), "%s", error.text);
    cr_assert_not_null(strstr(error.text, "HL_THROTTLE_OPTIONS_INIT"), "%s", error.text);
}

Test(token_bucket, bad_options_are_told_with_place_and_remedy)
{
    const struct {
        uint64_t rate, burst;
        const char *text;
    } wrong[] = {{1000000001, 1, "topics[3].throttle.rate_per_s: 1000000001 is out of range"},
                 {5, 1000000001, "topics[3].throttle.burst: 1000000001 is out of range"},
                 {0, 5, "topics[3].throttle.burst: 5 events have no meaning without a rate"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        hl_throttle_options options = HL_THROTTLE_OPTIONS_INIT;
        options.rate_per_s = wrong[i].rate;
        options.burst = wrong[i].burst;
        hl_error error = {0};
        cr_assert_eq(hl_throttle_options_check(&options, "topics[3].throttle", &error), HL_INVALID);
        cr_assert_not_null(strstr(error.text, wrong[i].text), "%s", error.text);
        cr_assert_eq(hl_throttle_options_check(&options, "throttle", NULL), HL_INVALID);
    }
}
