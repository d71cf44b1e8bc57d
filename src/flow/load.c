#include "flow/load.h"

const char *hl_load_cause_name(hl_load_cause cause)
{
    static const char *const names[HL_LOAD_CAUSES] = {
        [HL_LOAD_NONE] = "none",         [HL_LOAD_OCCUPANCY] = "occupancy",
        [HL_LOAD_CPU] = "cpu",           [HL_LOAD_ORDER_DELAY] = "order_delay",
        [HL_LOAD_ARRIVALS] = "arrivals", [HL_LOAD_FORECAST] = "forecast"};
    return (unsigned)cause < HL_LOAD_CAUSES ? names[cause] : "?";
}

/* value * scale / divisor, or `most` where that is more. */
static uint64_t scaled(uint64_t value, uint64_t scale, uint64_t divisor, uint64_t most)
{
    const unsigned __int128 product = (unsigned __int128)value * scale / divisor;
    return product > most ? most : (uint64_t)product;
}

hl_load_rates hl_load_rates_between(const hl_load_sample *before, const hl_load_sample *now)
{
    if (now->now_ns <= before->now_ns || now->arrivals < before->arrivals ||
        now->departures < before->departures || now->busy_ns < before->busy_ns)
        return (hl_load_rates){0, 0, 0};
    const uint64_t elapsed_ns = now->now_ns - before->now_ns;
    return (hl_load_rates){
        .arrivals_per_s =
            scaled(now->arrivals - before->arrivals, HL_SECOND, elapsed_ns, UINT64_MAX),
        .departures_per_s =
            scaled(now->departures - before->departures, HL_SECOND, elapsed_ns, UINT64_MAX),
        .busy_permille = (uint32_t)scaled(now->busy_ns - before->busy_ns, HL_LOAD_FULL, elapsed_ns,
                                          HL_LOAD_FULL)};
}

uint32_t hl_load_share(uint64_t value, uint64_t threshold)
{
    if (threshold == 0)
        return 0;
    return (uint32_t)scaled(value, HL_LOAD_FULL, threshold, HL_LOAD_PERMILLE_MAX);
}

hl_load_parts hl_load_parts_of(const hl_ladder_options *options, const hl_load_sample *sample,
                               const hl_load_rates *rates)
{
    hl_load_parts parts = {{0}};
    /* used / (slots * pct / 100), without rounding the threshold. */
    parts.permille[HL_LOAD_OCCUPANCY] =
        hl_load_share(sample->lane_used * 100, sample->lane_slots * options->occupancy_pct);
    parts.permille[HL_LOAD_ORDER_DELAY] =
        hl_load_share(sample->order_delay_ns, options->order_delay_ns);
    parts.permille[HL_LOAD_CPU] = hl_load_share(rates->busy_permille, options->cpu_pct * 10);
    parts.permille[HL_LOAD_ARRIVALS] =
        hl_load_share(rates->arrivals_per_s, options->arrivals_per_s);
    return parts;
}

hl_load hl_load_worst(const hl_load_parts *parts)
{
    hl_load worst = {0, HL_LOAD_NONE};
    for (int cause = 0; cause < HL_LOAD_CAUSES; cause++) {
        if (parts->permille[cause] > worst.permille)
            worst = (hl_load){parts->permille[cause], (hl_load_cause)cause};
    }
    return worst;
}
