#include "timer.h"

#define COST_READINGS 1000000u

void perf_timer_init(perf_timer *timer)
{
    hl_clock_init(&timer->clock, NULL, NULL);
    timer->ns_per_tick = (double)timer->clock.nominal_scale / 4294967296.0; /* it is 32.32 */
    timer->ticks_per_ns = 1 / timer->ns_per_tick;
}

double perf_timer_cost_ns(const perf_timer *timer)
{
    const uint64_t first = perf_timer_ticks(timer);
    uint64_t last = first;
    for (uint32_t i = 0; i < COST_READINGS; i++) {
        last = perf_timer_ticks(timer);
        /* Keeps the compiler from dropping a reading that the next one replaces. */
        __asm__ volatile("" : : "r"(last));
    }
    return perf_timer_ns(timer, last - first) / COST_READINGS;
}
