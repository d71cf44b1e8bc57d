/*
 * The harness's watch: the counter of the bus clock (the TSC where that is invariant, so the same
 * on every CPU; else CLOCK_MONOTONIC), read raw, because the conversion need not stand inside what
 * is measured.
 *
 *     const uint64_t before = perf_timer_ticks(&timer);
 *     work();
 *     const double ns = perf_timer_ns(&timer, perf_timer_ticks(&timer) - before);
 *
 * A timer is read-only after perf_timer_init: any number of threads may use it.
 */
#ifndef HL_PERF_TIMER_H
#define HL_PERF_TIMER_H

#include "base/clock.h"

typedef struct perf_timer {
    hl_clock clock; /* never slewed: ticks and ns keep one ratio for the whole run */
    double ns_per_tick;
    double ticks_per_ns;
} perf_timer;

/* Measures the counter's rate against CLOCK_MONOTONIC_RAW; 10 ms, once a process. */
void perf_timer_init(perf_timer *timer);

/* The counter. Some 10 ns, of which the CPU hides a part behind what is around it. */
static inline uint64_t perf_timer_ticks(const perf_timer *timer)
{
    return hl_clock_count(&timer->clock);
}

/* A difference of two readings in ns. */
static inline double perf_timer_ns(const perf_timer *timer, uint64_t ticks)
{
    return (double)ticks * timer->ns_per_tick;
}

/* ns as a difference of readings. */
static inline uint64_t perf_timer_ticks_of(const perf_timer *timer, double ns)
{
    return (uint64_t)(ns * timer->ticks_per_ns);
}

/* The reading that there will be in so many ns. */
static inline uint64_t perf_timer_after(const perf_timer *timer, double ns)
{
    return perf_timer_ticks(timer) + perf_timer_ticks_of(timer, ns);
}

/* What one reading costs, in ns: many in a row, divided. */
double perf_timer_cost_ns(const perf_timer *timer);

/* Keeps the CPU busy for so long. */
static inline void perf_timer_spend(const perf_timer *timer, uint64_t ticks)
{
    const uint64_t end = perf_timer_ticks(timer) + ticks;
    while (perf_timer_ticks(timer) < end)
        hl_pause();
}

#endif
