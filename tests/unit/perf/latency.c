#include <criterion/criterion.h>
#include <math.h>

#include "perf/latency.h"

static perf_timer timer;
static perf_schedule schedule;

static void setup(void)
{
    perf_timer_init(&timer);
}

TestSuite(perf_latency, .init = setup);

Test(perf_latency, a_schedule_is_evenly_spaced_and_ends)
{
    perf_schedule_init(&schedule, &timer, 1000, false);
    perf_schedule_begin(&schedule, &timer, 0.5);
    uint64_t count = 0, last = 0;
    for (uint64_t next; (next = perf_schedule_next(&schedule)) != UINT64_MAX; count++) {
        if (count != 0)
            cr_assert_float_eq(perf_timer_ns(&timer, next - last), 1e6, 10);
        last = next;
        perf_schedule_advance(&schedule);
    }
    cr_assert(count == 500 || count == 501, "%zu", (size_t)count);
}

Test(perf_latency, a_poisson_schedule_keeps_the_rate_and_scatters_like_one)
{
    perf_schedule_init(&schedule, &timer, 1e6, true);
    double sum = 0, squares = 0;
    for (uint32_t i = 0; i < PERF_SCHEDULE_GAPS; i++) {
        cr_assert(schedule.gaps[i] > 0);
        sum += (double)schedule.gaps[i];
        squares += (double)schedule.gaps[i] * (double)schedule.gaps[i];
    }
    const double mean = sum / PERF_SCHEDULE_GAPS;
    cr_assert_float_eq(mean, 1, 1e-4);
    /* An exponential's deviation is its mean. */
    cr_assert_float_eq(sqrt(squares / PERF_SCHEDULE_GAPS - mean * mean), 1, 0.1);
}

/* 10,000 events a second for two seconds, each handled after 300 ns; the sender stops for 10 ms in
 * the third half-second and then sends what it owes. */
Test(perf_latency, a_stall_of_10_ms_shows_in_the_window_that_it_hit)
{
    perf_latency latency;
    cr_assert_eq(perf_latency_create(&timer, 2, &latency, NULL), HL_OK);
    perf_schedule_init(&schedule, &timer, 10000, false);
    perf_schedule_begin(&schedule, &timer, 2);
    latency.start = schedule.start;
    const uint64_t stall_begins = schedule.start + perf_timer_ticks_of(&timer, 1.2e9);
    const uint64_t stall_ends = stall_begins + perf_timer_ticks_of(&timer, 1e7);
    const uint64_t service = perf_timer_ticks_of(&timer, 300);
    for (uint64_t next; (next = perf_schedule_next(&schedule)) != UINT64_MAX;) {
        const bool late = next >= stall_begins && next < stall_ends;
        perf_latency_record(&latency, next, (late ? stall_ends : next) + service);
        perf_schedule_advance(&schedule);
    }
    double values[PERF_LATENCY_VALUES];
    perf_latency_values(&latency, values);
    cr_assert_float_eq(values[PERF_LATENCY_P50], 300, 5);
    cr_assert_float_eq(values[PERF_LATENCY_P99], 300, 5, "diluted over the whole run");
    cr_assert_gt(values[PERF_LATENCY_WORST_WINDOW], 4e6);
    cr_assert_float_eq(values[PERF_LATENCY_MAX], 1e7, 2e5);
    cr_assert_eq(latency.window_count, 4);
    cr_assert_lt(hl_histogram_max(latency.windows[1]), 1000);
    cr_assert_gt(hl_histogram_max(latency.windows[2]), 9900000);
    perf_latency_destroy(&latency);
}

Test(perf_latency, a_run_of_an_hour_has_longer_windows)
{
    perf_latency latency;
    cr_assert_eq(perf_latency_create(&timer, 3600, &latency, NULL), HL_OK);
    cr_assert_eq(latency.window_count, PERF_WINDOWS_MAX);
    perf_latency_record(&latency, perf_timer_ticks_of(&timer, 3599e9),
                        perf_timer_ticks_of(&timer, 3599e9) + 10);
    cr_assert_eq(hl_histogram_count(latency.windows[PERF_WINDOWS_MAX - 1]), 1);
    perf_latency_destroy(&latency);
}
