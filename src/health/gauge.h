/*
 * What stands between a figure and what is said of it: a switch that turns only when its condition
 * held for a while, a gauge of two switches (degraded, critical), and a rate over the last second.
 * Pure; the clock is handed in.
 *
 *     if (hl_gauge_step(&gauge, &limits, figure, now_ns)) ...its status has changed...
 */
#ifndef HL_HEALTH_GAUGE_H
#define HL_HEALTH_GAUGE_H

#include <hotlane/health.h>

typedef struct hl_switch {
    bool is_on;
    bool is_turning;   /* the condition to turn it holds, */
    uint64_t since_ns; /* since then */
} hl_switch;

/* One look. `turns`: the condition to leave the present position holds. It turns in the first look
 * at which that was so in all looks for `after_ns`. Whether it has turned. */
bool hl_switch_step(hl_switch *self, bool turns, uint64_t after_ns, uint64_t now_ns);

/* What a gauge goes by. */
typedef struct hl_gauge_limits {
    hl_threshold threshold;
    uint32_t clear_pct;
    uint64_t raise_after_ns, clear_after_ns;
} hl_gauge_limits;

typedef struct hl_gauge {
    hl_switch degraded, critical;
    uint64_t value; /* as of the last look */
} hl_gauge;

/* One look. Whether its status has changed. */
bool hl_gauge_step(hl_gauge *gauge, const hl_gauge_limits *limits, uint64_t value, uint64_t now_ns);

/* Its status; and the threshold that stands behind it, 0 when OK. */
hl_health_status hl_gauge_status(const hl_gauge *gauge);
uint64_t hl_gauge_limit(const hl_gauge *gauge, const hl_gauge_limits *limits);

/* The figures under which the switches of a threshold may turn back: clear_pct of it, rounded up,
 * so that there is always one. */
uint64_t hl_gauge_clear_below(uint64_t threshold, uint32_t clear_pct);

#define HL_RATE_SPAN_NS HL_SECOND
#define HL_RATE_SAMPLES 16u

/* What a counter has grown by a second, over the last second or a little more. Its looks are a
 * tenth of a second apart, or more: so many samples cover it. */
typedef struct hl_rate {
    struct {
        uint64_t at_ns, count;
    } samples[HL_RATE_SAMPLES];
    uint32_t first, held;
} hl_rate;

/* One look. False: a second has not passed yet since the first one (or since the counter stepped
 * back, which begins anew). */
bool hl_rate_step(hl_rate *rate, uint64_t count, uint64_t now_ns, uint64_t *ret_per_s);

#endif
