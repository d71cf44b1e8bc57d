/*
 * Sampling and the ladder on lanes that conflate: what has been conflated there already is sampled
 * like anything else, each event that a newer one replaced is counted once, wherever that was.
 */
#include "flow_bus.h"

#include <string.h>

#define WINDOW_NS (100 * HL_MILLISECOND)

static hl_domain_config domains[MANUAL_DOMAINS + 1];
static recorder seen;

/* Market data whose NORMAL lane conflates; an order that waits is load. */
static hl_bus *start(void)
{
    hl_config config = flow_config(domains);
    domains[MANUAL_MARKET_DATA].conflates = "normal";
    domains[MANUAL_MARKET_DATA].conflate_keys = 16;
    config.ladder.order_delay_ns = HL_MILLISECOND;
    seen.count = 0;
    return manual_start(&config);
}

static hl_topic declare(hl_bus *bus, bool always)
{
    hl_topic_options options = HL_TOPIC_OPTIONS_INIT;
    hl_topic quote;
    options.kind = HL_STATE;
    options.always_sampled = always;
    cr_assert_eq(hl_topic_declare(bus, "market_data.quote", &options, &quote), HL_OK);
    subscribe(bus, "market_data.quote", &seen, NULL);
    return quote;
}

static void climb_to(hl_bus *bus, uint32_t step)
{
    hl_topic_options options = HL_TOPIC_OPTIONS_INIT;
    hl_topic order;
    options.priority = HL_HIGH;
    cr_assert_eq(hl_topic_declare(bus, "market_data.order", &options, &order), HL_OK);
    hl_publisher *const desk = open_publisher(bus, "desk", "market_data");
    while (flow_ladder(bus, "market_data").step < step) {
        publish(desk, order, 1, 1);
        manual_now_ns += 2 * HL_MILLISECOND;
        turn_all(bus);
        flow_tick(bus, 1);
    }
}

/* Seven values of a key, of which the table conflates some and the window the rest; two of another.
 */
static void sample_twice(hl_bus *bus, hl_topic quote)
{
    hl_publisher *const feed = open_publisher(bus, "feed", "market_data");
    const uint64_t conflated = lane_stats(bus, "market_data", HL_NORMAL).conflated;
    for (uint64_t value = 1; value <= 3; value++)
        publish(feed, quote, 7, value);
    publish(feed, quote, 8, 10);
    turn_all(bus);
    cr_assert_eq(seen.count, 0, "both windows are open");
    cr_assert_eq(lane_stats(bus, "market_data", HL_NORMAL).conflated - conflated, 2);
    for (uint64_t value = 4; value <= 7; value++)
        publish(feed, quote, 7, value);
    turn_all(bus);
    publish(feed, quote, 8, 11);
    turn_all(bus);
    cr_assert_eq(seen.count, 0);
    manual_now_ns += WINDOW_NS;
    turn_all(bus);
    cr_assert_eq(seen.count, 2);
    cr_assert_eq(seen.entries[0].value, 7, "the newest");
    cr_assert_eq(seen.entries[1].value, 11);
    cr_assert(seen.entries[0].flags & HL_EVENT_CONFLATED);
    cr_assert(seen.entries[1].flags & HL_EVENT_CONFLATED);
    const hl_lane_stats lane = lane_stats(bus, "market_data", HL_NORMAL);
    cr_assert_eq(lane.conflated - conflated, 7, "each of 9 once, but for the two that were seen");
    cr_assert_eq(lane.pending, 0);
    assert_conserved(bus);
}

Test(sampled_tables, a_topic_that_is_always_sampled_is_so_on_a_lane_that_conflates)
{
    hl_bus *const bus = start();
    sample_twice(bus, declare(bus, true));
    manual_stop(bus);
}

Test(sampled_tables, the_ladder_samples_a_lane_that_conflates)
{
    hl_bus *const bus = start();
    const hl_topic quote = declare(bus, false);
    climb_to(bus, 1);
    sample_twice(bus, quote);
    manual_stop(bus);
}

Test(sampled_tables, a_value_that_was_conflated_before_its_window_opened_says_so)
{
    hl_bus *const bus = start();
    const hl_topic quote = declare(bus, true);
    hl_publisher *const feed = open_publisher(bus, "feed", "market_data");
    publish(feed, quote, 1, 1);
    publish(feed, quote, 1, 2);
    publish(feed, quote, 2, 3);
    turn_all(bus);
    manual_now_ns += WINDOW_NS;
    turn_all(bus);
    cr_assert_eq(seen.count, 2);
    cr_assert_eq(seen.entries[0].value, 2);
    cr_assert(seen.entries[0].flags & HL_EVENT_CONFLATED);
    cr_assert_not(seen.entries[1].flags & HL_EVENT_CONFLATED, "it stands for itself alone");
    manual_stop(bus);
}

Test(sampled_tables, the_last_step_refuses_states_of_every_publisher_there)
{
    hl_bus *const bus = start();
    const hl_topic quote = declare(bus, false);
    hl_publisher *const feed = open_publisher(bus, "feed", "market_data");
    hl_shared_publisher *many;
    cr_assert_eq(hl_shared_publisher_open(bus, "many", NULL, &many), HL_OK);
    publish(feed, quote, 1, 1); /* before: it will be seen */
    climb_to(bus, 4);
    const uint64_t value = 2;
    const hl_lane_stats before = lane_stats(bus, "market_data", HL_NORMAL);
    cr_assert_eq(hl_publish(feed, quote, 1, &value, sizeof value), HL_THROTTLED);
    cr_assert_eq(hl_shared_publish(many, quote, 1, &value, sizeof value), HL_THROTTLED);
    const hl_lane_stats after = lane_stats(bus, "market_data", HL_NORMAL);
    cr_assert_eq(after.throttled - before.throttled, 2);
    cr_assert_eq(after.committed, before.committed);
    flow_tick(bus, 600);
    turn_all(bus);
    cr_assert_eq(hl_publish(feed, quote, 1, &value, sizeof value), HL_OK);
    turn_all(bus);
    cr_assert_eq(seen.entries[seen.count - 1].value, 2);
    manual_stop(bus);
}

/* What it took from the table and put into a window is there when the bus stops. */
Test(sampled_tables, a_stop_closes_windows_behind_a_table)
{
    hl_bus *const bus = start();
    const hl_topic quote = declare(bus, true);
    hl_publisher *const feed = open_publisher(bus, "feed", "market_data");
    publish(feed, quote, 1, 1);
    turn_all(bus);
    publish(feed, quote, 1, 2);
    publish(feed, quote, 3, 3);
    manual_stop(bus);
    uint64_t newest[4] = {0};
    for (uint32_t i = 0; i < seen.count; i++) {
        cr_assert_gt(seen.entries[i].value, newest[seen.entries[i].key]);
        newest[seen.entries[i].key] = seen.entries[i].value;
    }
    cr_assert_eq(newest[1], 2);
    cr_assert_eq(newest[3], 3);
}
