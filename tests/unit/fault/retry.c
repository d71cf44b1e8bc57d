#include "fault/retry.h"

#include <string.h>

#include <criterion/criterion.h>

static hl_retry_options plain(void)
{
    hl_retry_options options = HL_RETRY_OPTIONS_INIT;
    options.jitter_percent = 0;
    return options;
}

Test(retry, three_retries_unless_said)
{
    const hl_retry_options options = plain();
    cr_assert(hl_retry_again(&options, 0));
    cr_assert(hl_retry_again(&options, 2));
    cr_assert_not(hl_retry_again(&options, 3));
}

Test(retry, the_delay_doubles_up_to_the_cap)
{
    hl_retry_options options = plain();
    options.cap_ns = 7 * HL_MILLISECOND;
    const uint64_t expected[] = {1, 2, 4, 7, 7};
    for (uint32_t i = 0; i < 5; i++)
        cr_assert_eq(hl_retry_delay_ns(&options, 99, i + 1), expected[i] * HL_MILLISECOND);
    cr_assert_eq(hl_retry_delay_ns(&options, 99, 0), HL_MILLISECOND);
}

Test(retry, a_factor_between_whole_numbers)
{
    hl_retry_options options = plain();
    options.factor_percent = 150;
    options.base_ns = 1000;
    cr_assert_eq(hl_retry_delay_ns(&options, 1, 2), 1500);
    cr_assert_eq(hl_retry_delay_ns(&options, 1, 3), 2250);
    options.factor_percent = 100;
    cr_assert_eq(hl_retry_delay_ns(&options, 1, 254), 1000);
}

Test(retry, no_delay_overflows)
{
    hl_retry_options options = plain();
    options.base_ns = UINT64_MAX - 1;
    options.cap_ns = UINT64_MAX;
    options.factor_percent = 10000;
    cr_assert_eq(hl_retry_delay_ns(&options, 1, 1), UINT64_MAX - 1);
    cr_assert_eq(hl_retry_delay_ns(&options, 1, 254), UINT64_MAX);
    options.base_ns = 3;
    cr_assert_eq(hl_retry_delay_ns(&options, 1, 254), UINT64_MAX);
    options.jitter_percent = 100;
    for (uint64_t id = 0; id < 1000; id++)
        cr_assert_leq(hl_retry_delay_ns(&options, id, 254), UINT64_MAX);
}

Test(retry, no_base_no_delay)
{
    hl_retry_options options = plain();
    options.base_ns = 0;
    options.jitter_percent = 50;
    cr_assert_eq(hl_retry_delay_ns(&options, 1, 200), 0);
}

Test(retry, jitter_shortens_by_up_to_its_share_and_evenly)
{
    hl_retry_options options = plain();
    options.jitter_percent = 25;
    options.base_ns = 1000;
    uint32_t low = 0, high = 0;
    uint64_t least = UINT64_MAX, most = 0;
    for (uint64_t id = 0; id < 100000; id++) {
        const uint64_t delay = hl_retry_delay_ns(&options, id, 1);
        cr_assert(delay >= 750 && delay <= 1000, "%llu", (unsigned long long)delay);
        least = delay < least ? delay : least;
        most = delay > most ? delay : most;
        *(delay < 875 ? &low : &high) += 1;
    }
    cr_assert_eq(least, 750);
    cr_assert_eq(most, 1000);
    cr_assert(low > 48000 && high > 48000, "%u below the middle, %u above", low, high);
}

Test(retry, jitter_goes_by_seed_event_and_attempt_alone)
{
    hl_retry_options options = plain();
    options.jitter_percent = 100;
    options.base_ns = options.cap_ns = HL_SECOND;
    options.seed = 1;
    const uint64_t one = hl_retry_delay_ns(&options, 5, 1);
    cr_assert_eq(hl_retry_delay_ns(&options, 5, 1), one);
    cr_assert_neq(hl_retry_delay_ns(&options, 6, 1), one);
    cr_assert_neq(hl_retry_delay_ns(&options, 5, 2), one);
    options.seed = 2;
    cr_assert_neq(hl_retry_delay_ns(&options, 5, 1), one);
}

Test(retry, orders_and_fills_wait_behind_unless_said)
{
    hl_retry_options options = plain();
    cr_assert(hl_retry_is_ordered(&options, "order"));
    cr_assert(hl_retry_is_ordered(&options, "fill"));
    cr_assert_not(hl_retry_is_ordered(&options, "market_data"));
    options.order = HL_RETRY_PASSING;
    cr_assert_not(hl_retry_is_ordered(&options, "order"));
    options.order = HL_RETRY_ORDERED;
    cr_assert(hl_retry_is_ordered(&options, "market_data"));
}

static void refused(const hl_retry_options *options, const char *field)
{
    hl_error error = {HL_OK, ""};
    cr_assert_eq(hl_retry_options_check(options, &error), HL_INVALID);
    cr_assert_eq(strncmp(error.text, field, strlen(field)), 0, "%s", error.text);
    cr_assert_eq(hl_retry_options_check(options, NULL), HL_INVALID);
}

Test(retry, options_out_of_range_are_refused_by_name)
{
    hl_retry_options options = HL_RETRY_OPTIONS_INIT;
    cr_assert_eq(hl_retry_options_check(&options, NULL), HL_OK);
    refused(NULL, "retry:");
    options.size = 3;
    refused(&options, "retry.size:");
    options = plain(), options.attempts = 255;
    refused(&options, "retry.attempts: 255");
    options = plain(), options.factor_percent = 99;
    refused(&options, "retry.factor_percent: 99");
    options = plain(), options.factor_percent = 10001;
    refused(&options, "retry.factor_percent: 10001");
    options = plain(), options.cap_ns = options.base_ns - 1;
    refused(&options, "retry.cap_ns: 999999");
    options = plain(), options.jitter_percent = 101;
    refused(&options, "retry.jitter_percent: 101");
    options = plain(), options.order = (hl_retry_order)3;
    refused(&options, "retry.order: 3");
}
