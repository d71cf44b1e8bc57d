#include "latency.h"

#include <math.h>
#include <stdlib.h>

#include "base/allocate.h"
#include "base/error.h"

#define WINDOW_DIGITS 2u
#define SEED          UINT64_C(0x9e3779b97f4a7c15)

/* xorshift64: G. Marsaglia, "Xorshift RNGs", 2003. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

void perf_schedule_init(perf_schedule *schedule, const perf_timer *timer, double per_s,
                        bool poisson)
{
    uint64_t state = SEED;
    double sum = 0;
    schedule->gap = (double)perf_timer_ticks_of(timer, 1e9 / per_s);
    schedule->poisson = poisson;
    for (uint32_t i = 0; i < PERF_SCHEDULE_GAPS; i++) {
        const double uniform = ((double)(next_random(&state) >> 11) + 1) / 9007199254740993.0;
        schedule->gaps[i] = (float)-log(uniform);
        sum += (double)schedule->gaps[i];
    }
    /* These gaps' mean is near one; make it one, so that the rate is the one asked for. */
    for (uint32_t i = 0; i < PERF_SCHEDULE_GAPS; i++)
        schedule->gaps[i] = (float)((double)schedule->gaps[i] * PERF_SCHEDULE_GAPS / sum);
}

void perf_schedule_begin(perf_schedule *schedule, const perf_timer *timer, double seconds)
{
    schedule->start = perf_timer_ticks(timer);
    schedule->end = schedule->start + perf_timer_ticks_of(timer, seconds * 1e9);
    schedule->intended = 0;
    schedule->turn = 0;
}

hl_histogram *perf_histogram_make(uint32_t digits)
{
    hl_histogram *const histogram = hl_allocate(1, hl_histogram_size_bytes(digits));
    if (histogram != NULL)
        hl_histogram_init(histogram, digits);
    return histogram;
}

hl_status perf_latency_create(const perf_timer *timer, double seconds, perf_latency *ret_latency,
                              hl_error *error)
{
    const double windows = ceil(seconds * 1e9 / PERF_WINDOW_NS);
    perf_latency latency = {.timer = timer};
    latency.window_count = windows > PERF_WINDOWS_MAX ? PERF_WINDOWS_MAX : (uint32_t)windows;
    const double window_ns =
        windows > PERF_WINDOWS_MAX ? seconds * 1e9 / PERF_WINDOWS_MAX : PERF_WINDOW_NS;
    latency.ticks_per_window = (double)perf_timer_ticks_of(timer, window_ns);
    latency.ns = perf_histogram_make(PERF_HISTOGRAM_DIGITS);
    latency.windows = hl_allocate(latency.window_count, sizeof *latency.windows);
    bool whole = latency.ns != NULL && latency.windows != NULL;
    for (uint32_t i = 0; whole && i < latency.window_count; i++) {
        latency.windows[i] = perf_histogram_make(WINDOW_DIGITS);
        whole = latency.windows[i] != NULL;
    }
    if (!whole) {
        perf_latency_destroy(&latency);
        return hl_error_set(error, HL_NO_MEMORY, "no memory for histograms of %g s", seconds);
    }
    *ret_latency = latency;
    return HL_OK;
}

void perf_latency_destroy(perf_latency *latency)
{
    for (uint32_t i = 0; latency->windows != NULL && i < latency->window_count; i++)
        free(latency->windows[i]);
    free(latency->windows);
    free(latency->ns);
}

void perf_latency_values(const perf_latency *latency, double *ret_values)
{
    static const double percentiles[] = {50, 90, 99, 99.9, 99.99, 100};
    for (uint32_t i = 0; i < sizeof percentiles / sizeof *percentiles; i++)
        ret_values[i] = (double)hl_histogram_value_at_percentile(latency->ns, percentiles[i]);
    ret_values[PERF_LATENCY_WORST_WINDOW] = 0;
    for (uint32_t i = 0; i < latency->window_count; i++) {
        const double p99 = (double)hl_histogram_value_at_percentile(latency->windows[i], 99);
        if (p99 > ret_values[PERF_LATENCY_WORST_WINDOW])
            ret_values[PERF_LATENCY_WORST_WINDOW] = p99;
    }
}
