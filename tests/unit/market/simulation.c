#include "market/simulation.h"

#include <criterion/criterion.h>

#include "test_run.h"

static const char *const domains[MARKET_DOMAINS] = {"market_data", "signal",  "order",
                                                    "fill",        "account", "system"};

typedef struct outcome {
    uint64_t hashes[MARKET_DOMAINS];
    uint64_t sent;
} outcome;

static outcome run_once(uint32_t inputs, uint64_t limit, uint64_t seed, uint64_t start_ns)
{
    test_run run;
    const market_pipeline_options options = MARKET_PIPELINE_OPTIONS_INIT;
    test_run_prepare(&run, inputs, limit);
    run.clock.now_ns = start_ns;
    test_run_open(&run, &options, 1);
    test_run_to_end(&run, seed);
    outcome result;
    market_order_counts orders;
    market_pipeline_orders(run.pipeline, &orders);
    result.sent = orders.sent;
    for (uint32_t index = 0; index < MARKET_DOMAINS; index++)
        cr_assert(market_pipeline_hash(run.pipeline, domains[index], &result.hashes[index]));
    test_run_close(&run);
    return result;
}

Test(market_simulation, the_same_seed_gives_the_same_events_in_every_domain)
{
    const outcome first = run_once(3, 20000, 11, 0);
    const outcome second = run_once(3, 20000, 11, 0);
    cr_expect_gt(first.sent, 0);
    for (uint32_t index = 0; index < MARKET_DOMAINS; index++)
        cr_expect_eq(first.hashes[index], second.hashes[index], "%s", domains[index]);
}

Test(market_simulation, another_seed_turns_the_partitions_in_another_order)
{
    const outcome first = run_once(1, 60000, 1, 0);
    uint32_t differing = 0;
    for (uint64_t seed = 2; seed < 8; seed++) {
        const outcome other = run_once(1, 60000, seed, 0);
        cr_expect_eq(other.hashes[0], first.hashes[0], "one input has one order");
        differing += other.hashes[2] != first.hashes[2];
    }
    cr_expect_gt(differing, 0, "orders and their acknowledgements meet in another order");
}

Test(market_simulation, the_clock_is_the_datas_time_and_never_steps_back)
{
    test_run run;
    const market_pipeline_options options = MARKET_PIPELINE_OPTIONS_INIT;
    test_run_prepare(&run, 2, 5000);
    test_run_open(&run, &options, 1);
    market_simulation simulation = {.bus = run.bus,
                                    .clock = &run.clock,
                                    .feeds = run.feeds,
                                    .feed_count = run.input_count,
                                    .random = 3};
    uint64_t before_ns = 0;
    uint64_t next_ns = 0;
    while (market_simulation_run(&simulation, 1) == HL_OK) {
        cr_assert_geq(run.clock.now_ns, before_ns);
        cr_assert_eq(hl_bus_now_ns(run.bus), run.clock.now_ns);
        before_ns = run.clock.now_ns;
        const uint64_t a_ns = market_feed_next_ns(run.feeds[0]);
        const uint64_t b_ns = market_feed_next_ns(run.feeds[1]);
        const uint64_t earliest_ns = a_ns < b_ns ? a_ns : b_ns;
        cr_assert_geq(earliest_ns, next_ns, "the feeds are merged by time");
        next_ns = earliest_ns;
    }
    const market_recording *const last = run.recordings;
    const uint64_t end_ns = last[0].messages[last[0].count - 1].exchange_ns;
    const uint64_t other_ns = last[1].messages[last[1].count - 1].exchange_ns;
    cr_expect_eq(run.clock.now_ns, end_ns > other_ns ? end_ns : other_ns);
    cr_assert_eq(hl_bus_stop(run.bus, HL_SECOND), HL_OK);
    test_run_close(&run);
}

Test(market_simulation, a_message_that_is_older_than_the_one_before_leaves_the_clock_where_it_is)
{
    test_run run;
    const market_pipeline_options options = MARKET_PIPELINE_OPTIONS_INIT;
    test_run_prepare(&run, 1, 2000);
    run.recordings[0].messages[1000].exchange_ns = 1;
    test_run_open(&run, &options, 1);
    market_simulation simulation = {
        .bus = run.bus, .clock = &run.clock, .feeds = run.feeds, .feed_count = 1, .random = 3};
    uint64_t before_ns = 0;
    while (market_simulation_run(&simulation, 1) == HL_OK) {
        cr_assert_geq(run.clock.now_ns, before_ns);
        before_ns = run.clock.now_ns;
    }
    cr_expect_eq(market_feed_published(run.feeds[0]), 2000);
    cr_assert_eq(hl_bus_stop(run.bus, HL_SECOND), HL_OK);
    test_run_close(&run);
}
