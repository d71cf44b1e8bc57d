#include "flow/ladder.h"

#include <criterion/criterion.h>
#include <string.h>

#include "tests/random.h"

#define BEGIN_MS UINT64_C(1700000000000)

/* Occupancy alone counts; the load in per mille is then lane_used of 800 slots. */
static hl_ladder make(void)
{
    hl_ladder_options options = HL_LADDER_OPTIONS_INIT;
    options.predictive = false;
    options.step_up_ns = 10 * HL_MILLISECOND;
    hl_error error = {0};
    cr_assert_eq(hl_ladder_options_check(&options, "ladder", &error), HL_OK, "%s", error.text);
    hl_ladder ladder;
    hl_ladder_init(&ladder, &options);
    return ladder;
}

static hl_ladder_change step(hl_ladder *ladder, uint64_t after_ms, uint64_t permille)
{
    const hl_load_sample sample = {.now_ns = (BEGIN_MS + after_ms) * HL_MILLISECOND,
                                   .lane_used = permille,
                                   .lane_slots = 1250}; /* 80 % of it are 1,000 */
    return hl_ladder_step(ladder, &sample);
}

Test(ladder, stands_on_the_ground_while_there_is_no_load)
{
    hl_ladder ladder = make();
    for (uint64_t ms = 0; ms < 100; ms += 10) {
        const hl_ladder_change change = step(&ladder, ms, 999);
        cr_assert_eq(change.to, 0);
        cr_assert_eq(change.cause, HL_LOAD_NONE);
    }
}

Test(ladder, goes_up_one_stage_at_a_time_and_says_why)
{
    hl_ladder ladder = make();
    for (uint64_t i = 1; i <= 4; i++) {
        const hl_ladder_change change = step(&ladder, i * 10, 1000);
        cr_assert_eq(change.from, i - 1);
        cr_assert_eq(change.to, i);
        cr_assert_eq(change.cause, HL_LOAD_OCCUPANCY);
        cr_assert_eq(change.load.permille, 1000);
        cr_assert_eq(step(&ladder, i * 10 + 5, 1000).to, i, "not before step_up_ns");
    }
    cr_assert_eq(step(&ladder, 1000, 1000).to, 4, "there is no higher");
}

Test(ladder, a_cause_leads_as_high_as_it_says_something)
{
    hl_ladder_options options = HL_LADDER_OPTIONS_INIT;
    options.step_up_ns = 0;
    options.predictive = false;
    hl_ladder busy, late;
    hl_ladder_init(&busy, &options);
    hl_ladder_init(&late, &options);
    hl_load_sample sample = {.now_ns = BEGIN_MS * HL_MILLISECOND, .lane_slots = 10};
    for (int i = 0; i < 20; i++) {
        sample.now_ns += 10 * HL_MILLISECOND;
        sample.busy_ns += 10 * HL_MILLISECOND;
        hl_ladder_step(&busy, &sample);
        hl_load_sample delayed = sample;
        delayed.order_delay_ns = HL_MILLISECOND;
        hl_ladder_step(&late, &delayed);
    }
    cr_assert_eq(busy.stage, 3, "a busy partition refuses nothing");
    cr_assert_eq(busy.cause, HL_LOAD_CPU);
    cr_assert_eq(late.stage, 4);
    cr_assert_eq(late.cause, HL_LOAD_ORDER_DELAY);
}

/* From REFUSE, with the CPU as busy as can be and nothing too late any more. */
Test(ladder, what_does_not_lead_to_a_stage_does_not_keep_it_there)
{
    hl_ladder_options options = HL_LADDER_OPTIONS_INIT;
    options.step_up_ns = 0;
    options.predictive = false;
    hl_ladder ladder;
    hl_ladder_init(&ladder, &options);
    hl_load_sample sample = {.now_ns = BEGIN_MS * HL_MILLISECOND, .lane_slots = 10};
    for (int i = 0; i < 300; i++) {
        sample.now_ns += 10 * HL_MILLISECOND;
        sample.busy_ns += 10 * HL_MILLISECOND;
        sample.lane_used = i < 20 ? 10 : 0;
        hl_ladder_step(&ladder, &sample);
        if (i == 19)
            cr_assert_eq(ladder.stage, 4);
    }
    cr_assert_eq(ladder.stage, 3, "busy, and no more than that");
}

Test(ladder, stays_between_the_thresholds)
{
    hl_ladder ladder = make();
    step(&ladder, 0, 1000);
    for (uint64_t ms = 10; ms < 20000; ms += 10)
        cr_assert_eq(step(&ladder, ms, ms % 20 == 0 ? 600 : 999).to, 1);
}

Test(ladder, comes_down_when_the_load_was_low_for_a_second)
{
    hl_ladder ladder = make();
    step(&ladder, 0, 1000);
    cr_assert_eq(step(&ladder, 10, 599).to, 1);
    cr_assert_eq(step(&ladder, 900, 599).to, 1);
    cr_assert_eq(step(&ladder, 905, 600).to, 1, "a break: it begins anew");
    cr_assert_eq(step(&ladder, 910, 0).to, 1);
    cr_assert_eq(step(&ladder, 1909, 0).to, 1);
    const hl_ladder_change change = step(&ladder, 1910, 0);
    cr_assert_eq(change.to, 0);
    cr_assert_eq(change.cause, HL_LOAD_NONE);
}

Test(ladder, recovers_in_one_to_five_seconds_from_every_stage)
{
    for (uint64_t stage = 1; stage < HL_STAGES; stage++) {
        hl_ladder ladder = make();
        for (uint64_t i = 1; i <= stage; i++)
            step(&ladder, i * 10, 5000);
        uint64_t ms = 0;
        while (step(&ladder, 1000 + ms, 0).to != 0)
            ms += 10;
        cr_assert(ms >= 1000 && ms <= 5000, "from stage %lu in %lu ms", stage, ms);
    }
}

Test(ladder, when_not_enabled_it_looks_and_stays)
{
    hl_ladder ladder = make();
    ladder.options.enabled = false;
    const hl_ladder_change change = step(&ladder, 0, 5000);
    cr_assert_eq(change.to, 0);
    cr_assert_eq(change.load.permille, 5000);
}

Test(ladder, a_clock_that_steps_back_moves_nothing)
{
    hl_ladder ladder = make();
    step(&ladder, 5000, 1000);
    cr_assert_eq(step(&ladder, 4000, 1000).to, 1);
    cr_assert_eq(step(&ladder, 4000, 0).to, 1);
    cr_assert_eq(step(&ladder, 4010, 0).to, 1, "not low for long");
    cr_assert_eq(step(&ladder, 5009, 0).to, 1);
    cr_assert_eq(step(&ladder, 5010, 0).to, 0);
}

/* A load that swings as it likes: up and down by one at a time, never up faster than step_up_ns or
 * down faster than step_down_ns, and so at most one down and up again within step_down_ns. */
static void under_a_load(uint64_t seed)
{
    cr_log_info("seed %lu", seed);
    uint64_t random = seed;
    hl_ladder ladder = make();
    uint64_t ms = 0, up_ms = 0, down_ms = 0, low_ms = 0, swing = 1;
    bool was_low = false;
    for (int i = 0; i < 50000; i++) {
        ms += 1 + random_below(&random, 20);
        if (random_below(&random, 100) == 0)
            swing = 1 + random_below(&random, 2000);
        const uint64_t load = random_below(&random, swing);
        if (load < 600 && !was_low)
            low_ms = ms;
        was_low = load < 600;
        const hl_ladder_change change = step(&ladder, ms, load);
        if (change.to > change.from) {
            cr_assert_eq(change.to, change.from + 1);
            cr_assert_geq(load, 1000);
            cr_assert(change.from == 0 || ms - up_ms >= 10);
            up_ms = ms;
        } else if (change.to < change.from) {
            cr_assert_eq(change.to + 1, change.from);
            cr_assert(was_low && ms - low_ms >= 1000);
            cr_assert(down_ms == 0 || ms - down_ms >= 1000, "it flaps");
            cr_assert_geq(ms - up_ms, 1000, "it flaps");
            down_ms = ms;
        }
    }
}

Test(ladder, does_not_flap)
{
    for (uint64_t seed = 1; seed <= 20; seed++)
        under_a_load(seed);
}

/* A lane of 10,000 slots, a partition that takes 100,000/s, and arrivals that grow by 200,000/s
 * each second: when does the ladder step up? */
static uint64_t steps_up_at_ms(bool predictive)
{
    hl_ladder_options options = HL_LADDER_OPTIONS_INIT;
    options.predictive = predictive;
    options.cpu_pct = 0;
    hl_ladder ladder;
    hl_ladder_init(&ladder, &options);
    hl_load_sample sample = {.now_ns = BEGIN_MS * HL_MILLISECOND, .lane_slots = 10000};
    for (uint64_t ms = 10; ms < 5000; ms += 10) {
        const uint64_t arrived = 2 * ms; /* in 10 ms */
        const uint64_t there = sample.lane_used + arrived;
        const uint64_t taken = there < 1000 ? there : 1000;
        sample.now_ns += 10 * HL_MILLISECOND;
        sample.arrivals += arrived;
        sample.departures += taken;
        sample.lane_used = there - taken;
        sample.busy_ns += taken * 10 * HL_MICROSECOND;
        const hl_ladder_change change = hl_ladder_step(&ladder, &sample);
        if (change.to != 0) {
            cr_assert_eq(change.cause, predictive ? HL_LOAD_FORECAST : HL_LOAD_OCCUPANCY);
            return ms;
        }
    }
    return UINT64_MAX;
}

Test(ladder, the_forecast_steps_up_before_the_lane_is_full)
{
    const uint64_t reactive_ms = steps_up_at_ms(false), predictive_ms = steps_up_at_ms(true);
    cr_assert_neq(reactive_ms, UINT64_MAX);
    cr_assert_lt(predictive_ms, reactive_ms);
    cr_assert_geq(predictive_ms + 150, reactive_ms, "about the horizon earlier, no more");
}

/* Arrivals that grow, then a lane that is full: at the second stage no sooner for having been at
 * the first before. */
Test(ladder, what_was_foreseen_and_comes_is_the_same_step)
{
    hl_ladder_options options = HL_LADDER_OPTIONS_INIT;
    options.cpu_pct = 0;
    options.arrivals_per_s = 1000000;
    hl_ladder ladder;
    hl_ladder_init(&ladder, &options);
    hl_load_sample sample = {.now_ns = BEGIN_MS * HL_MILLISECOND, .lane_slots = 10};
    for (uint64_t rate = 100; ladder.stage == 0 && rate < 10000; rate += 500) {
        sample.now_ns += 10 * HL_MILLISECOND;
        sample.arrivals += rate;
        hl_ladder_step(&ladder, &sample);
    }
    cr_assert_eq(ladder.stage, 1);
    cr_assert_eq(ladder.cause, HL_LOAD_FORECAST);
    sample.lane_used = 10;
    for (uint64_t ms = 0; ms <= 110; ms += 10) {
        sample.now_ns += 10 * HL_MILLISECOND;
        hl_ladder_step(&ladder, &sample);
    }
    cr_assert_eq(ladder.stage, 1, "the step that was foreseen");
    cr_assert_eq(ladder.cause, HL_LOAD_OCCUPANCY);
    for (uint64_t ms = 0; ms <= 110; ms += 10) {
        sample.now_ns += 10 * HL_MILLISECOND;
        hl_ladder_step(&ladder, &sample);
    }
    cr_assert_eq(ladder.stage, 2);
}

Test(ladder, the_forecast_of_a_rate_that_stays_adds_no_load)
{
    hl_ladder_options options = HL_LADDER_OPTIONS_INIT;
    options.predictive = true;
    options.arrivals_per_s = 100000;
    hl_ladder ladder;
    hl_ladder_init(&ladder, &options);
    hl_load_sample sample = {.now_ns = BEGIN_MS * HL_MILLISECOND, .lane_slots = 1000};
    for (int i = 0; i < 1000; i++) {
        sample.now_ns += 10 * HL_MILLISECOND;
        sample.arrivals += 900; /* 90,000 a second */
        sample.departures += 900;
        sample.busy_ns += 8 * HL_MILLISECOND;
        cr_assert_eq(hl_ladder_step(&ladder, &sample).to, 0);
    }
}

/* What is done to whom, at every stage: by kind (delta, state, expendable) and priority. */
Test(ladder, critical_high_and_delta_never_pay)
{
    for (hl_stage stage = 0; stage < HL_STAGES; stage++) {
        for (int priority = 0; priority < HL_PRIORITIES; priority++) {
            cr_assert_eq(hl_stage_action_for(stage, false, false, (hl_priority)priority),
                         HL_STAGE_PASS);
            if (priority > HL_HIGH)
                continue;
            cr_assert_eq(hl_stage_action_for(stage, true, false, (hl_priority)priority),
                         HL_STAGE_PASS);
            cr_assert_eq(hl_stage_action_for(stage, false, true, (hl_priority)priority),
                         HL_STAGE_PASS);
        }
    }
}

Test(ladder, state_is_sampled_and_then_refused_expendable_is_shed_from_the_lowest_up)
{
    const hl_stage_action state[HL_STAGES] = {HL_STAGE_PASS, HL_STAGE_SAMPLE, HL_STAGE_SAMPLE,
                                              HL_STAGE_SAMPLE, HL_STAGE_REFUSE};
    const hl_priority shed_from[HL_STAGES] = {HL_PRIORITIES, HL_PRIORITIES, HL_BACKGROUND, HL_LOW,
                                              HL_NORMAL};
    const hl_rung rungs[HL_STAGES] = {HL_RUNG_CALM, HL_RUNG_SAMPLE, HL_RUNG_SHED, HL_RUNG_SHED,
                                      HL_RUNG_REFUSE};
    for (hl_stage stage = 0; stage < HL_STAGES; stage++) {
        cr_assert_eq(hl_stage_rung(stage), rungs[stage]);
        for (int priority = HL_NORMAL; priority < HL_PRIORITIES; priority++) {
            cr_assert_eq(hl_stage_action_for(stage, true, false, (hl_priority)priority),
                         state[stage]);
            cr_assert_eq(hl_stage_action_for(stage, false, true, (hl_priority)priority),
                         priority >= (int)shed_from[stage] ? HL_STAGE_SHED : HL_STAGE_PASS);
        }
    }
}

Test(ladder, every_rung_has_a_name)
{
    for (int i = 0; i < HL_RUNGS; i++)
        cr_assert_str_neq(hl_rung_name((hl_rung)i), "?");
    cr_assert_str_eq(hl_rung_name(HL_RUNGS), "?");
}

Test(ladder, options_of_another_size_are_refused)
{
    hl_ladder_options options = HL_LADDER_OPTIONS_INIT;
    options.size--;
    hl_error error = {0};
    cr_assert_eq(hl_ladder_options_check(&options, "p", &error), HL_INVALID);
    cr_assert_not_null(strstr(error.text, "p.size: "), "%s", error.text);
    cr_assert_not_null(strstr(error.text, "HL_LADDER_OPTIONS_INIT"), "%s", error.text);
}

Test(ladder, bad_options_are_told_with_place_and_remedy)
{
    hl_error error = {0};
#define WRONG(field, value, sentence)                                                             \
    do {                                                                                          \
        hl_ladder_options options = HL_LADDER_OPTIONS_INIT;                                       \
        options.field = (value);                                                                  \
        cr_assert_eq(hl_ladder_options_check(&options, "ladder", &error), HL_INVALID);            \
        cr_assert_not_null(strstr(error.text, "ladder." #field ": " sentence), "%s", error.text); \
    } while (0)
    WRONG(occupancy_pct, 101, "101 is out of range: use 1 to 100, or 0 to switch it off");
    WRONG(order_delay_ns, 999, "999 is out of range");
    WRONG(order_delay_ns, 11 * HL_SECOND, "11000000000 is out of range");
    WRONG(cpu_pct, 101, "101 is out of range");
    WRONG(arrivals_per_s, 1000000001, "1000000001 is out of range");
    WRONG(step_up_ns, HL_SECOND + 1, "1000000001 is out of range");
    WRONG(down_pct, 0, "0 is out of range: use 1 to 95");
    WRONG(down_pct, 96, "96 is out of range");
    WRONG(step_down_ns, 99 * HL_MILLISECOND, "99000000 is out of range");
    WRONG(step_down_ns, 1251 * HL_MILLISECOND, "1251000000 is out of range");
    WRONG(horizon_ns, 0, "0 is out of range");
    WRONG(horizon_ns, HL_SECOND + 1, "1000000001 is out of range");
    WRONG(level_weight_pct, 0, "0 is out of range");
    WRONG(level_weight_pct, 101, "101 is out of range");
    WRONG(trend_weight_pct, 0, "0 is out of range");
    WRONG(trend_weight_pct, 101, "101 is out of range");
#undef WRONG
}
