#include "flow/forecast.h"

#include <criterion/criterion.h>
#include <math.h>

#define TICK_NS UINT64_C(10000000)

Test(forecast, a_rate_that_stays_is_forecast_to_stay)
{
    hl_forecast forecast;
    hl_forecast_init(&forecast, 40, 20);
    for (uint64_t i = 1; i <= 500; i++)
        hl_forecast_add(&forecast, 5000, i * TICK_NS);
    cr_assert(fabs(hl_forecast_rate(&forecast, 10 * TICK_NS) - 5000) < 1);
}

Test(forecast, a_rate_that_grows_evenly_is_forecast_ahead)
{
    hl_forecast forecast;
    hl_forecast_init(&forecast, 40, 20);
    for (uint64_t i = 0; i < 500; i++) /* 100 more each tick */
        hl_forecast_add(&forecast, (double)(i * 100), i * TICK_NS);
    cr_assert(fabs(hl_forecast_rate(&forecast, 0) - 49900) < 500);
    cr_assert(fabs(hl_forecast_rate(&forecast, 10 * TICK_NS) - 50900) < 500);
}

Test(forecast, samples_need_not_be_evenly_apart)
{
    hl_forecast forecast;
    hl_forecast_init(&forecast, 40, 20);
    uint64_t now_ns = 0;
    for (uint64_t i = 0; i < 1000; i++) { /* 10,000 more each second */
        now_ns += TICK_NS / 2 + i % 5 * TICK_NS;
        hl_forecast_add(&forecast, (double)now_ns / 1e9 * 10000, now_ns);
    }
    const double expected = (double)(now_ns + 10 * TICK_NS) / 1e9 * 10000;
    cr_assert(fabs(hl_forecast_rate(&forecast, 10 * TICK_NS) - expected) < 0.02 * expected);
}

Test(forecast, is_never_below_0)
{
    hl_forecast forecast;
    hl_forecast_init(&forecast, 100, 100);
    hl_forecast_add(&forecast, 1000, TICK_NS);
    hl_forecast_add(&forecast, 10, 2 * TICK_NS);
    cr_assert_eq(hl_forecast_rate(&forecast, 100 * TICK_NS), 0);
}

Test(forecast, a_time_that_is_not_later_is_ignored)
{
    hl_forecast forecast;
    hl_forecast_init(&forecast, 100, 100);
    hl_forecast_add(&forecast, 1000, 5 * TICK_NS);
    hl_forecast_add(&forecast, 9000, 5 * TICK_NS);
    hl_forecast_add(&forecast, 9000, TICK_NS);
    cr_assert_eq(hl_forecast_rate(&forecast, 0), 1000);
    hl_forecast_add(&forecast, 2000, 2 * TICK_NS);
    cr_assert_eq(hl_forecast_rate(&forecast, 0), 2000, "it goes on from the earlier time");
}

Test(forecast, before_the_first_sample_it_is_0)
{
    hl_forecast forecast;
    hl_forecast_init(&forecast, 40, 20);
    cr_assert_eq(hl_forecast_rate(&forecast, TICK_NS), 0);
}
