#include <inttypes.h>
#include <string.h>

#include "bus/bus.h"
#include "manual_bus.h"

/* ---- reading ---- */

Test(stats, names_that_are_none_are_not_found)
{
    hl_bus *const bus = manual_create(NULL);
    hl_lane_stats lane = {.attempts = 77};
    uint32_t partition = 77;
    hl_thread_status thread;
    hl_subscription_stats row;
    cr_assert_eq(hl_bus_lane_stats(bus, "weather", -1, &lane), HL_NOT_FOUND);
    cr_assert_eq(hl_bus_lane_stats(bus, "order", -2, &lane), HL_INVALID);
    cr_assert_eq(hl_bus_lane_stats(bus, "order", HL_PRIORITIES, &lane), HL_INVALID);
    cr_assert_eq(lane.attempts, 77);
    cr_assert_eq(hl_bus_partition(bus, "weather", 0, &partition), HL_NOT_FOUND);
    cr_assert_eq(hl_bus_partition(bus, "order", 1, &partition), HL_NOT_FOUND);
    cr_assert_eq(partition, 77);
    cr_assert_eq(hl_bus_sequence(bus, 8), 0);
    cr_assert_eq(hl_bus_sequence(bus, UINT32_MAX), 0);
    cr_assert_eq(hl_bus_thread_status(bus, 8, &thread), HL_NOT_FOUND);
    cr_assert_eq(hl_bus_subscription_stats(bus, 0, &row), HL_NOT_FOUND);
    hl_bus_destroy(bus);
}

Test(stats, a_domain_is_the_sum_of_its_lanes_and_shards)
{
    hl_bus *const bus = manual_start(NULL);
    hl_topic_options options = HL_TOPIC_OPTIONS_INIT;
    hl_topic high, low;
    options.priority = HL_HIGH;
    cr_assert_eq(hl_topic_declare(bus, "spread.high", &options, &high), HL_OK);
    options.priority = HL_LOW;
    cr_assert_eq(hl_topic_declare(bus, "spread.low", &options, &low), HL_OK);
    hl_publisher *const feed = open_publisher(bus, "feed", "spread");
    for (uint64_t key = 0; key < 16; key++) {
        publish(feed, high, key, 1);
        if (key % 2 == 0)
            publish(feed, low, key, 1);
        if (key == 7)
            turn_all(bus);
    }
    const hl_lane_stats all = lane_stats(bus, "spread", -1), h = lane_stats(bus, "spread", HL_HIGH),
                        l = lane_stats(bus, "spread", HL_LOW);
    cr_assert_eq(h.committed, 16);
    cr_assert_eq(l.committed, 8);
    cr_assert_eq(all.committed, 24);
    cr_assert_eq(all.dispatched, 12);
    cr_assert_eq(all.pending, 12);
    cr_assert_eq(h.pending, 8);
    cr_assert_eq(all.unrouted, 12);
    cr_assert_eq(lane_stats(bus, "spread", HL_NORMAL).attempts, 0);
    assert_conserved(bus);
    manual_stop(bus);
}

Test(stats, latency_runs_from_commit_to_dispatch)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    for (uint64_t i = 1; i <= 100; i++) {
        publish(feed, trade, 1, i);
        manual_now_ns += i * 1000;
        turn_all(bus);
    }
    const hl_latency latency = lane_stats(bus, "market_data", HL_NORMAL).latency_ns;
    cr_assert_eq(latency.count, 100);
    cr_assert(latency.min >= 990 && latency.min <= 1010, "%lu", latency.min);
    cr_assert(latency.p50 >= 49500 && latency.p50 <= 51500, "%lu", latency.p50);
    cr_assert(latency.p99 >= 98000 && latency.p99 <= 101000, "%lu", latency.p99);
    cr_assert(latency.max >= 99000 && latency.max <= 101000, "%lu", latency.max);
    cr_assert_eq(lane_stats(bus, "order", -1).latency_ns.count, 0);
    cr_assert_eq(lane_stats(bus, "order", -1).latency_ns.p99, 0);
    manual_stop(bus);
}

Test(stats, closed_subscriptions_of_one_name_are_one_row)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    static recorder seen;
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 12; i++) {
            char name[8];
            snprintf(name, sizeof name, "s%d", i);
            hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
            options.name = name;
            hl_subscription *const s = subscribe(bus, "market_data.trade", &seen, &options);
            publish(feed, trade, 1, 1);
            turn_all(bus);
            cr_assert_eq(hl_unsubscribe(s, HL_SECOND, NULL), HL_OK);
            turn_all(bus);
        }
    }
    static recorder open;
    subscribe(bus, "market_data.trade", &open, NULL);
    hl_subscription_stats row;
    cr_assert_eq(hl_bus_subscription_stats(bus, 0, &row), HL_OK);
    cr_assert_not(row.closed, "open ones first");
    for (uint32_t i = 1; i <= 12; i++) {
        cr_assert_eq(hl_bus_subscription_stats(bus, i, &row), HL_OK);
        cr_assert(row.closed);
        cr_assert_eq(row.handled, 5, "%s", row.name);
        cr_assert_eq(row.delivered, 5);
    }
    cr_assert_eq(hl_bus_subscription_stats(bus, 13, &row), HL_NOT_FOUND);
    manual_stop(bus);
}

typedef struct inside {
    hl_bus *bus;
    const hl_subscription *self;
    hl_lane_stats lane;
    hl_subscription_stats subscription;
    hl_thread_status thread;
} inside;

static hl_status look_around(const hl_event *event, hl_publisher *out, void *context)
{
    (void)event;
    (void)out;
    inside *const seen = context;
    seen->lane = lane_stats(seen->bus, "market_data", HL_NORMAL);
    seen->subscription = stats_of(seen->self);
    cr_assert_eq(hl_bus_thread_status(seen->bus, 0, &seen->thread), HL_OK);
    return HL_OK;
}

Test(stats, what_runs_just_now_is_seen_running)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    inside seen = {.bus = bus};
    hl_subscription *self;
    cr_assert_eq(hl_subscribe(bus, "market_data.trade", look_around, &seen, NULL, &self), HL_OK);
    seen.self = self;
    for (uint64_t value = 0; value < 3; value++)
        publish(feed, trade, 1, value);
    turn(bus, "market_data", 1);
    cr_assert_eq(seen.lane.committed, 3);
    cr_assert_eq(seen.lane.dispatched, 0);
    cr_assert_eq(seen.lane.running, 1);
    cr_assert_eq(seen.lane.pending, 2);
    cr_assert_eq(seen.subscription.delivered, 1);
    cr_assert_eq(seen.subscription.running, 1);
    cr_assert_str_eq(seen.thread.state, "busy");
    manual_stop(bus);
}

Test(stats, threads_of_the_application_are_told_apart)
{
    hl_bus *const bus = manual_start(NULL);
    hl_thread_status thread;
    cr_assert_eq(hl_bus_thread_status(bus, 1, &thread), HL_OK);
    cr_assert_str_eq(thread.name, "order");
    cr_assert_str_eq(thread.role, "executor");
    cr_assert_str_eq(thread.state, "stopped");
    cr_assert_eq(thread.cpu, -1);
    cr_assert_eq(thread.running_cpu, -1);
    cr_assert_eq(thread.partitions, 1);
    cr_assert_eq(thread.turns, 0);
    publish(open_publisher(bus, "desk", NULL), topic(bus, "order.new"), 1, 1);
    turn_all(bus);
    cr_assert_eq(hl_bus_thread_status(bus, 1, &thread), HL_OK);
    cr_assert_str_eq(thread.state, "idle");
    cr_assert_geq(thread.running_cpu, 0);
    cr_assert_eq(thread.events, 1);
    cr_assert_gt(thread.turns, 0);
    cr_assert_eq(hl_bus_thread_status(bus, 4, &thread), HL_OK);
    cr_assert_str_eq(thread.name, "spread.0");
    manual_stop(bus);
}

/* ---- conservation: an event too few, at any place, is found ---- */

typedef struct conserved {
    hl_bus *bus;
    hl_subscription *subscription;
    hl_outlet *outlet;
    hl_partition *partition;
    hl_lane *lane;
    hl_cell *cell;
} conserved;

static conserved make_history(void)
{
    conserved c = {.bus = manual_start(NULL)};
    const hl_topic trade = topic(c.bus, "market_data.trade");
    hl_publisher *const feed = open_publisher(c.bus, "feed", "market_data");
    static recorder seen;
    c.subscription = subscribe(c.bus, "market_data.trade", &seen, NULL);
    hl_claim claim;
    const uint64_t value = 1;
    for (uint64_t round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < 7; i++)
            publish(feed, trade, 1, i);
        cr_assert_eq(hl_try_claim(feed, trade, 1, 8, &claim), HL_OK);
        hl_abort(&claim);
        cr_assert_eq(hl_try_publish(feed, trade, 1, &value, 8), HL_FULL);
        turn_all(c.bus);
    }
    publish(feed, trade, 1, 1); /* one that waits */
    c.partition = &c.bus->partitions[0];
    c.lane = &c.partition->lanes[HL_NORMAL];
    c.outlet = c.partition->outlets[HL_NORMAL];
    c.cell = &c.subscription->cells[0];
    assert_conserved(c.bus);
    return c;
}

static void assert_found(const conserved *c, uint64_t *counter, const char *name,
                         const char *sentence)
{
    hl_error error;
    for (int change = -1; change <= 1; change += 2) {
        *counter += (uint64_t)change;
        cr_assert_eq(hl_bus_check_conservation(c->bus, &error), HL_NOT_CONSERVED, "%s %+d", name,
                     change);
        cr_assert_eq(error.status, HL_NOT_CONSERVED);
        cr_assert_not_null(strstr(error.text, sentence), "\"%s\" lacks \"%s\"", error.text,
                           sentence);
        *counter -= (uint64_t)change;
    }
    assert_conserved(c->bus);
}

Test(stats, a_miscounted_event_is_found_wherever_it_is)
{
    const conserved c = make_history();
    assert_found(&c, &c.outlet->counts.attempts, "attempts", "market_data/2 at the door");
    assert_found(&c, &c.outlet->counts.committed, "committed", "market_data/2");
    assert_found(&c, &c.outlet->counts.rejected, "rejected", "market_data/2 at the door");
    assert_found(&c, &c.outlet->counts.aborted, "aborted", "market_data/2 at the door");
    assert_found(&c, &c.outlet->counts.throttled, "throttled", "market_data/2 at the door");
    assert_found(&c, &c.lane->dispatched, "dispatched", "market_data/2");
    assert_found(&c, &c.partition->sequence, "sequence", "sequence");
    assert_found(&c, &c.cell->delivered, "delivered", "market_data.trade");
    assert_found(&c, &c.cell->handled, "handled", "market_data.trade");
    assert_found(&c, &c.cell->filtered, "filtered", "market_data.trade");
    assert_found(&c, &c.cell->skipped, "skipped", "market_data.trade");
    assert_found(&c, &c.cell->cancelled, "cancelled", "market_data.trade");
    manual_stop(c.bus);
}

/* The two sides are counted at different places: a lost event is lost on one side only. */
Test(stats, an_event_that_vanishes_from_its_ring_is_found)
{
    const conserved c = make_history();
    hl_event *const event = hl_ring_slot(&c.outlet->inlet->consumer, 0);
    event->flags |= HL_EVENT_PADDING; /* the one that waits: the partition steps over it */
    hl_error error;
    cr_assert_eq(hl_bus_check_conservation(c.bus, &error), HL_NOT_CONSERVED);
    turn_all(c.bus);
    cr_assert_eq(hl_bus_stop(c.bus, HL_MILLISECOND), HL_NOT_CONSERVED);
    assert_sentence(c.bus, HL_NOT_CONSERVED, "market_data/2: committed 22 != dispatched 21");
    hl_stop_report report;
    cr_assert_eq(hl_bus_stop_report(c.bus, &report), HL_OK);
    cr_assert_eq(report.conservation.status, HL_NOT_CONSERVED);
    hl_bus_destroy(c.bus);
}

Test(stats, a_miscount_of_a_closed_subscription_is_found)
{
    const conserved c = make_history();
    turn_all(c.bus);
    c.cell->handled--;
    cr_assert_eq(hl_unsubscribe(c.subscription, HL_SECOND, NULL), HL_OK);
    turn_all(c.bus);
    cr_assert_eq(hl_bus_stop(c.bus, HL_SECOND), HL_NOT_CONSERVED);
    assert_sentence(c.bus, HL_NOT_CONSERVED, "market_data.trade");
    hl_bus_destroy(c.bus);
}
