#include "health/gauge.h"

bool hl_switch_step(hl_switch *self, bool turns, uint64_t after_ns, uint64_t now_ns)
{
    if (!turns) {
        self->is_turning = false;
        return false;
    }
    if (!self->is_turning) {
        self->is_turning = true;
        self->since_ns = now_ns;
    }
    if (now_ns - self->since_ns < after_ns)
        return false;
    self->is_on = !self->is_on;
    self->is_turning = false;
    return true;
}

/* ---- a gauge ---- */

uint64_t hl_gauge_clear_below(uint64_t threshold, uint32_t clear_pct)
{
    return threshold / 100 * clear_pct + (threshold % 100 * clear_pct + 99) / 100;
}

static void step_level(hl_switch *level, uint64_t threshold, const hl_gauge_limits *limits,
                       uint64_t value, uint64_t now_ns)
{
    if (threshold == 0)
        return;
    const bool turns = level->is_on ? value < hl_gauge_clear_below(threshold, limits->clear_pct)
                                    : value >= threshold;
    hl_switch_step(level, turns, level->is_on ? limits->clear_after_ns : limits->raise_after_ns,
                   now_ns);
}

hl_health_status hl_gauge_status(const hl_gauge *gauge)
{
    if (gauge->critical.is_on)
        return HL_HEALTH_CRITICAL;
    return gauge->degraded.is_on ? HL_HEALTH_DEGRADED : HL_HEALTH_OK;
}

bool hl_gauge_step(hl_gauge *gauge, const hl_gauge_limits *limits, uint64_t value, uint64_t now_ns)
{
    const hl_health_status before = hl_gauge_status(gauge);
    gauge->value = value;
    step_level(&gauge->degraded, limits->threshold.degraded, limits, value, now_ns);
    step_level(&gauge->critical, limits->threshold.critical, limits, value, now_ns);
    return hl_gauge_status(gauge) != before;
}

uint64_t hl_gauge_limit(const hl_gauge *gauge, const hl_gauge_limits *limits)
{
    switch (hl_gauge_status(gauge)) {
    case HL_HEALTH_CRITICAL:
        return limits->threshold.critical;
    case HL_HEALTH_DEGRADED:
        return limits->threshold.degraded;
    default:
        return 0;
    }
}

/* ---- a rate ---- */

static uint32_t nth(const hl_rate *rate, uint32_t index)
{
    return (rate->first + index) % HL_RATE_SAMPLES;
}

static void drop_first(hl_rate *rate)
{
    rate->first = nth(rate, 1);
    rate->held--;
}

static void keep(hl_rate *rate, uint64_t count, uint64_t now_ns)
{
    if (rate->held == HL_RATE_SAMPLES)
        drop_first(rate);
    const uint32_t last = nth(rate, rate->held++);
    rate->samples[last].at_ns = now_ns;
    rate->samples[last].count = count;
}

bool hl_rate_step(hl_rate *rate, uint64_t count, uint64_t now_ns, uint64_t *ret_per_s)
{
    if (rate->held != 0 && count < rate->samples[nth(rate, rate->held - 1)].count)
        rate->held = 0;
    keep(rate, count, now_ns);
    /* The oldest may go as long as the next one is a whole span away, too. */
    while (rate->held >= 2 && now_ns - rate->samples[nth(rate, 1)].at_ns >= HL_RATE_SPAN_NS)
        drop_first(rate);
    const uint64_t elapsed_ns = now_ns - rate->samples[rate->first].at_ns;
    if (elapsed_ns < HL_RATE_SPAN_NS)
        return false;
    const uint64_t grown = count - rate->samples[rate->first].count;
    *ret_per_s = (uint64_t)((double)grown * (double)HL_SECOND / (double)elapsed_ns);
    return true;
}
