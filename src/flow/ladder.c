#include "flow/ladder.h"

#include "flow/range.h"

/* Weight of the newest sample in what the partition can take: smooth over about ten. */
#define SERVICE_WEIGHT 0.2
/* A partition that is hardly busy says little about what it can take. */
#define SERVICE_BUSY_PERMILLE 20

/* What each stage is; sheds: `expendable` topics of this priority and below. */
static const struct {
    hl_rung rung;
    hl_priority sheds;
} stages[HL_STAGES] = {
    {HL_RUNG_CALM, HL_PRIORITIES}, {HL_RUNG_SAMPLE, HL_PRIORITIES}, {HL_RUNG_SHED, HL_BACKGROUND},
    {HL_RUNG_SHED, HL_LOW},        {HL_RUNG_REFUSE, HL_NORMAL},
};

/* How high each part of the load may lead. What cannot tell more than "busy" does not refuse
 * anything: that is for a lane that is full or an order that waits. */
static const hl_stage highest[HL_LOAD_CAUSES] = {[HL_LOAD_OCCUPANCY] = 4,
                                                 [HL_LOAD_ORDER_DELAY] = 4,
                                                 [HL_LOAD_CPU] = 3,
                                                 [HL_LOAD_ARRIVALS] = 4,
                                                 [HL_LOAD_FORECAST] = 1};

const char *hl_rung_name(hl_rung rung)
{
    static const char *const names[HL_RUNGS] = {[HL_RUNG_CALM] = "calm",
                                                [HL_RUNG_SAMPLE] = "sample",
                                                [HL_RUNG_SHED] = "shed",
                                                [HL_RUNG_REFUSE] = "refuse"};
    return (unsigned)rung < HL_RUNGS ? names[rung] : "?";
}

hl_status hl_ladder_options_check(const hl_ladder_options *options, const char *place,
                                  hl_error *error)
{
    const hl_status size = hl_option_size_check(options->size, sizeof *options,
                                                "HL_LADDER_OPTIONS_INIT", place, error);
    if (size != HL_OK)
        return size;
    const hl_option_range ranges[] = {
        {"occupancy_pct", options->occupancy_pct, 1, 100, true},
        {"order_delay_ns", options->order_delay_ns, HL_MICROSECOND, 10 * HL_SECOND, true},
        {"cpu_pct", options->cpu_pct, 1, 100, true},
        {"arrivals_per_s", options->arrivals_per_s, 1, 1000000000, true},
        {"step_up_ns", options->step_up_ns, 0, HL_SECOND, false},
        {"down_pct", options->down_pct, 1, 95, false},
        {"step_down_ns", options->step_down_ns, 100 * HL_MILLISECOND, 1250 * HL_MILLISECOND, false},
        {"horizon_ns", options->horizon_ns, HL_MILLISECOND, HL_SECOND, false},
        {"level_weight_pct", options->level_weight_pct, 1, 100, false},
        {"trend_weight_pct", options->trend_weight_pct, 1, 100, false}};
    return hl_option_ranges_check(ranges, sizeof ranges / sizeof *ranges, place, error);
}

void hl_ladder_init(hl_ladder *ladder, const hl_ladder_options *options)
{
    *ladder = (hl_ladder){.options = *options};
    hl_forecast_init(&ladder->arrivals, options->level_weight_pct, options->trend_weight_pct);
}

/* What the partition could take if it were busy all the time. */
static void learn_service(hl_ladder *ladder, const hl_load_rates *rates)
{
    if (rates->busy_permille < SERVICE_BUSY_PERMILLE)
        return;
    const double now =
        (double)rates->departures_per_s * HL_LOAD_FULL / (double)rates->busy_permille;
    if (ladder->service_per_s <= 0)
        ladder->service_per_s = now;
    ladder->service_per_s += SERVICE_WEIGHT * (now - ladder->service_per_s);
}

/* What the load will be in horizon_ns, in per mille. */
static uint32_t foreseen(const hl_ladder *ladder, const hl_load_sample *sample)
{
    const hl_ladder_options *const options = &ladder->options;
    const double rate = hl_forecast_rate(&ladder->arrivals, options->horizon_ns);
    const uint32_t of_limit = hl_load_share((uint64_t)rate, options->arrivals_per_s);
    if (ladder->service_per_s <= 0)
        return of_limit;
    const double growth = (rate - ladder->service_per_s) * (double)options->horizon_ns / 1e9;
    const double used = (double)sample->lane_used + growth;
    const uint32_t of_lane = hl_load_share(used > 0 ? (uint64_t)used * 100 : 0,
                                           sample->lane_slots * options->occupancy_pct);
    return of_limit > of_lane ? of_limit : of_lane;
}

/* The load of the newest sample; that is then the last one. */
static hl_load_parts parts_now(hl_ladder *ladder, const hl_load_sample *sample)
{
    hl_load_rates rates = {0, 0, 0};
    if (ladder->has_sample)
        rates = hl_load_rates_between(&ladder->last, sample);
    hl_load_parts parts = hl_load_parts_of(&ladder->options, sample, &rates);
    if (ladder->options.predictive && ladder->has_sample) {
        hl_forecast_add(&ladder->arrivals, (double)rates.arrivals_per_s, sample->now_ns);
        learn_service(ladder, &rates);
        parts.permille[HL_LOAD_FORECAST] = foreseen(ladder, sample);
    }
    ladder->last = *sample;
    ladder->has_sample = true;
    return parts;
}

/* The worst part of the load that may lead as high as `stage`. */
static hl_load load_for(const hl_load_parts *parts, hl_stage stage)
{
    hl_load_parts leading = *parts;
    for (int cause = 0; cause < HL_LOAD_CAUSES; cause++) {
        if (highest[cause] < stage)
            leading.permille[cause] = 0;
    }
    return hl_load_worst(&leading);
}

/* One stage up, when a part of the load that may lead there is full and it is time. */
static void step_up(hl_ladder *ladder, const hl_load_parts *parts, uint64_t now_ns)
{
    const hl_load worst = load_for(parts, ladder->stage + 1);
    if (worst.permille < HL_LOAD_FULL ||
        (ladder->stage > 0 && now_ns - ladder->stepped_up_ns < ladder->options.step_up_ns))
        return;
    /* What was foreseen has come: that is the step which was taken then, and it has its time to
     * show from now. Else a forecast would bring the refusing nearer too. */
    if (ladder->cause != HL_LOAD_FORECAST)
        ladder->stage++;
    ladder->stepped_up_ns = now_ns;
    ladder->cause = worst.cause;
}

static void step_down(hl_ladder *ladder, uint64_t now_ns)
{
    if (ladder->stage == 0 || now_ns - ladder->low_since_ns < ladder->options.step_down_ns)
        return;
    ladder->stage--;
    ladder->low_since_ns = now_ns; /* the next step takes as long again */
    if (ladder->stage == 0)
        ladder->cause = HL_LOAD_NONE;
}

hl_ladder_change hl_ladder_step(hl_ladder *ladder, const hl_load_sample *sample)
{
    const hl_stage from = ladder->stage;
    /* A clock that stepped back: neither threshold's time has passed. */
    const bool is_later = !ladder->has_sample || sample->now_ns > ladder->last.now_ns;
    const hl_load_parts parts = parts_now(ladder, sample);
    const hl_load load = hl_load_worst(&parts);
    if (!ladder->options.enabled || !is_later) {
        ladder->is_low = false;
        return (hl_ladder_change){from, from, load, ladder->cause};
    }
    /* What may not lead to a stage does not keep it there either. */
    const bool is_low = load_for(&parts, ladder->stage).permille < ladder->options.down_pct * 10;
    if (is_low && !ladder->is_low)
        ladder->low_since_ns = sample->now_ns;
    ladder->is_low = is_low;
    if (is_low)
        step_down(ladder, sample->now_ns);
    else
        step_up(ladder, &parts, sample->now_ns);
    return (hl_ladder_change){from, ladder->stage, load, ladder->cause};
}

hl_rung hl_stage_rung(hl_stage stage)
{
    return stages[stage < HL_STAGES ? stage : HL_STAGES - 1].rung;
}

hl_stage_action hl_stage_action_for(hl_stage stage, bool is_state, bool is_expendable,
                                    hl_priority priority)
{
    if (priority < HL_NORMAL || stage == 0 || stage >= HL_STAGES)
        return HL_STAGE_PASS;
    if (is_state)
        return stages[stage].rung == HL_RUNG_REFUSE ? HL_STAGE_REFUSE : HL_STAGE_SAMPLE;
    if (is_expendable && priority >= stages[stage].sheds)
        return HL_STAGE_SHED;
    return HL_STAGE_PASS;
}
