#include "flow/load.h"

#include <criterion/criterion.h>

static const hl_load_sample at_0 = {.now_ns = 5 * HL_SECOND, .lane_slots = 1000};

static hl_load load_of(const hl_ladder_options *options, const hl_load_sample *sample,
                       hl_load_rates rates)
{
    const hl_load_parts parts = hl_load_parts_of(options, sample, &rates);
    return hl_load_worst(&parts);
}

/* With every threshold on: 80 %, 1 ms, 90 %, 10,000 a second. */
static hl_ladder_options options_on(void)
{
    hl_ladder_options options = HL_LADDER_OPTIONS_INIT;
    options.occupancy_pct = 80;
    options.order_delay_ns = HL_MILLISECOND;
    options.cpu_pct = 90;
    options.arrivals_per_s = 10000;
    return options;
}

Test(load, nothing_is_no_load)
{
    const hl_ladder_options options = options_on();
    const hl_load_rates none = {0, 0, 0};
    const hl_load load = load_of(&options, &at_0, none);
    cr_assert_eq(load.permille, 0);
    cr_assert_eq(load.cause, HL_LOAD_NONE);
}

Test(load, each_part_is_full_at_its_threshold)
{
    const hl_ladder_options options = options_on();
    const hl_load_rates none = {0, 0, 0};
    hl_load_sample sample = at_0;
    sample.lane_used = 800;
    hl_load load = load_of(&options, &sample, none);
    cr_assert_eq(load.permille, HL_LOAD_FULL);
    cr_assert_eq(load.cause, HL_LOAD_OCCUPANCY);
    sample.lane_used = 799;
    cr_assert_lt(load_of(&options, &sample, none).permille, HL_LOAD_FULL);
    sample = at_0;
    sample.order_delay_ns = HL_MILLISECOND;
    load = load_of(&options, &sample, none);
    cr_assert_eq(load.permille, HL_LOAD_FULL);
    cr_assert_eq(load.cause, HL_LOAD_ORDER_DELAY);
    load = load_of(&options, &at_0, (hl_load_rates){0, 0, 900});
    cr_assert_eq(load.permille, HL_LOAD_FULL);
    cr_assert_eq(load.cause, HL_LOAD_CPU);
    load = load_of(&options, &at_0, (hl_load_rates){10000, 0, 0});
    cr_assert_eq(load.permille, HL_LOAD_FULL);
    cr_assert_eq(load.cause, HL_LOAD_ARRIVALS);
}

Test(load, the_worst_part_counts)
{
    const hl_ladder_options options = options_on();
    hl_load_sample sample = at_0;
    sample.lane_used = 400;
    sample.order_delay_ns = 3 * HL_MILLISECOND;
    const hl_load load = load_of(&options, &sample, (hl_load_rates){5000, 5000, 1000});
    cr_assert_eq(load.permille, 3000);
    cr_assert_eq(load.cause, HL_LOAD_ORDER_DELAY);
}

Test(load, a_threshold_of_0_is_not_looked_at)
{
    hl_ladder_options options = options_on();
    options.occupancy_pct = 0;
    options.order_delay_ns = 0;
    options.cpu_pct = 0;
    options.arrivals_per_s = 0;
    const hl_load_sample sample = {
        .now_ns = 1, .lane_used = 10, .lane_slots = 10, .order_delay_ns = UINT64_MAX};
    const hl_load load = load_of(&options, &sample, (hl_load_rates){UINT64_MAX, 0, 1000});
    cr_assert_eq(load.permille, 0);
    cr_assert_eq(load.cause, HL_LOAD_NONE);
}

Test(load, extremes_do_not_overflow)
{
    cr_assert_eq(hl_load_share(UINT64_MAX, 1), HL_LOAD_PERMILLE_MAX);
    cr_assert_eq(hl_load_share(UINT64_MAX, UINT64_MAX), HL_LOAD_FULL);
    cr_assert_eq(hl_load_share(1, UINT64_MAX), 0);
    cr_assert_eq(hl_load_share(0, 0), 0);
}

Test(load, rates_are_what_was_counted_between_two_samples)
{
    hl_load_sample now = at_0;
    now.now_ns += 20 * HL_MILLISECOND;
    now.arrivals = 300;
    now.departures = 100;
    now.busy_ns = 5 * HL_MILLISECOND;
    const hl_load_rates rates = hl_load_rates_between(&at_0, &now);
    cr_assert_eq(rates.arrivals_per_s, 15000);
    cr_assert_eq(rates.departures_per_s, 5000);
    cr_assert_eq(rates.busy_permille, 250);
}

Test(load, no_time_or_a_counter_that_went_back_gives_no_rates)
{
    hl_load_sample before = at_0, now = at_0;
    before.arrivals = 5;
    now.arrivals = 10;
    cr_assert_eq(hl_load_rates_between(&before, &now).arrivals_per_s, 0, "no time has passed");
    now.now_ns++;
    cr_assert_neq(hl_load_rates_between(&before, &now).arrivals_per_s, 0);
    cr_assert_eq(hl_load_rates_between(&now, &before).arrivals_per_s, 0, "the clock went back");
    now.arrivals = 4;
    cr_assert_eq(hl_load_rates_between(&before, &now).arrivals_per_s, 0);
}

Test(load, every_cause_has_a_name)
{
    for (int i = 0; i < HL_LOAD_CAUSES; i++)
        cr_assert_str_neq(hl_load_cause_name((hl_load_cause)i), "?");
    cr_assert_str_eq(hl_load_cause_name(HL_LOAD_CAUSES), "?");
    cr_assert_str_eq(hl_load_cause_name((hl_load_cause)-1), "?");
}
