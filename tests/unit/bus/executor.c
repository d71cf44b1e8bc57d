#include "bus/executor.h"

#include <string.h>

#include "manual_bus.h"

/* One domain with long rings, one topic of any priority. */
typedef struct priority_fixture {
    hl_bus *bus;
    hl_topic any;
    hl_publisher *feed;
    recorder seen;
} priority_fixture;

static void set_up_with(priority_fixture *f, hl_config config, uint32_t ring_slots)
{
    hl_domain_config domain = manual_domains[MANUAL_MARKET_DATA];
    domain.ring_slots = ring_slots;
    config.domains = &domain;
    config.domain_count = 1;
    f->bus = manual_start(&config);
    hl_topic_options options = HL_TOPIC_OPTIONS_INIT;
    options.any_priority = true;
    cr_assert_eq(hl_topic_declare(f->bus, "market_data.any", &options, &f->any), HL_OK);
    f->feed = open_publisher(f->bus, "feed", NULL);
}

static void set_up(priority_fixture *f)
{
    set_up_with(f, manual_config(), 8192);
}

static void publish_at(priority_fixture *f, hl_priority priority, uint64_t value)
{
    hl_claim claim;
    cr_assert_eq(hl_try_claim_priority(f->feed, f->any, 1, priority, sizeof value, &claim), HL_OK);
    memcpy(claim.payload, &value, sizeof value);
    hl_commit(&claim);
}

/* ---- priority ---- */

static hl_status note_and_publish_critical(const hl_event *event, hl_publisher *out, void *context)
{
    priority_fixture *const f = context;
    /* While this handler runs, something urgent arrives. */
    if (value_of(event) == 100)
        publish_at(f, HL_CRITICAL, 9999);
    return record(event, out, &f->seen);
}

Test(executor, a_critical_event_waits_for_one_handler_behind_4095_others)
{
    static priority_fixture f;
    set_up(&f);
    hl_subscription *subscription;
    cr_assert_eq(
        hl_subscribe(f.bus, "market_data.*", note_and_publish_critical, &f, NULL, &subscription),
        HL_OK);
    for (uint64_t value = 0; value < 4095; value++)
        publish_at(&f, HL_NORMAL, value);
    turn_all(f.bus);
    cr_assert_eq(f.seen.count, 4096);
    cr_assert_eq(f.seen.entries[100].value, 100);
    cr_assert_eq(f.seen.entries[101].value, 9999, "it is the very next");
    cr_assert_eq(f.seen.entries[102].value, 101);
    manual_stop(f.bus);
}

Test(executor, lanes_are_taken_from_the_highest_down)
{
    static priority_fixture f;
    set_up(&f);
    subscribe(f.bus, "market_data.*", &f.seen, NULL);
    for (int priority = HL_BACKGROUND; priority >= HL_CRITICAL; priority--)
        for (uint64_t i = 0; i < 3; i++)
            publish_at(&f, (hl_priority)priority, (uint64_t)priority * 3 + i);
    turn_all(f.bus);
    assert_values_follow(&f.seen, 0, 15);
    manual_stop(f.bus);
}

Test(executor, the_guard_lets_lower_lanes_in_and_never_twice_in_a_row)
{
    static priority_fixture f;
    set_up(&f);
    subscribe(f.bus, "market_data.*", &f.seen, NULL);
    for (uint64_t i = 0; i < 4000; i++)
        publish_at(&f, HL_CRITICAL, i);
    for (uint64_t i = 0; i < 100; i++) {
        publish_at(&f, HL_NORMAL, i);
        publish_at(&f, HL_BACKGROUND, i);
    }
    turn_all(f.bus);
    cr_assert_eq(f.seen.count, 4200);
    uint32_t since = 0, normal = 0, background = 0;
    for (uint32_t i = 0; i < f.seen.count && f.seen.entries[i].priority == HL_CRITICAL + 0u; i++)
        since++;
    cr_assert_eq(since, 64, "one in 64");
    for (uint32_t i = since, critical = since; critical < 4000; i++) {
        const bool lower = f.seen.entries[i].priority != HL_CRITICAL;
        critical += !lower;
        normal += f.seen.entries[i].priority == HL_NORMAL;
        background += f.seen.entries[i].priority == HL_BACKGROUND;
        cr_assert(!lower || since >= 63, "event %u: the guard after %u", i, since);
        cr_assert_leq(since, 64, "event %u: lower lanes starve", i);
        since = lower ? 0 : since + 1;
    }
    cr_assert(normal >= 30 && normal - background <= 1, "in turn: %u and %u", normal, background);
    manual_stop(f.bus);
}

Test(executor, the_guard_interval_is_the_configurations)
{
    hl_config config = manual_config();
    config.guard_interval = 2;
    static priority_fixture f;
    set_up_with(&f, config, 64);
    subscribe(f.bus, "market_data.*", &f.seen, NULL);
    for (uint64_t i = 0; i < 12; i++) {
        publish_at(&f, HL_HIGH, i);
        publish_at(&f, HL_LOW, i);
    }
    turn_all(f.bus);
    for (uint32_t i = 0; i < 18; i++)
        cr_assert_eq(f.seen.entries[i].priority, i % 3 == 2 ? HL_LOW : HL_HIGH, "event %u", i);
    manual_stop(f.bus);
}

/* ---- publishers of one lane ---- */

Test(executor, publishers_of_one_lane_take_turns_and_keep_their_order)
{
    static priority_fixture f;
    set_up(&f);
    subscribe(f.bus, "market_data.*", &f.seen, NULL);
    hl_publisher *const second = open_publisher(f.bus, "second", NULL);
    for (uint64_t i = 0; i < 1000; i++) {
        publish_at(&f, HL_NORMAL, i);
        publish(second, f.any, 2, i);
    }
    turn_all(f.bus);
    uint64_t next[3] = {0};
    uint32_t first_of_second = 0;
    for (uint32_t i = 0; i < 2000; i++) {
        const uint64_t key = f.seen.entries[i].key;
        cr_assert_eq(f.seen.entries[i].value, next[key]++, "publisher %lu, event %u", key, i);
        cr_assert_eq(f.seen.entries[i].sequence, i + 1);
        if (key != f.seen.entries[0].key && first_of_second == 0)
            first_of_second = i;
    }
    cr_assert_leq(first_of_second, 64, "one run of the other at most");
    manual_stop(f.bus);
}

/* ---- turns ---- */

Test(executor, a_turn_takes_no_more_than_it_is_told)
{
    static priority_fixture f;
    set_up(&f);
    subscribe(f.bus, "market_data.*", &f.seen, NULL);
    for (uint64_t i = 0; i < 200; i++)
        publish_at(&f, i % 2 == 0 ? HL_NORMAL : HL_LOW, i);
    static const uint32_t most[] = {1, 2, 7, 64, 65, 100};
    uint32_t before = 0;
    for (uint32_t i = 0; i < sizeof most / sizeof *most; i++) {
        const uint32_t left = 200 - before;
        const uint32_t expected = most[i] < left ? most[i] : left;
        cr_assert_eq(turn(f.bus, "market_data", most[i]), expected);
        cr_assert_eq(f.seen.count, before + expected);
        before = f.seen.count;
    }
    turn_all(f.bus);
    cr_assert_eq(f.seen.count, 200);
    cr_assert_eq(turn(f.bus, "market_data", 10), 0);
    manual_stop(f.bus);
}

Test(executor, it_turns_between_start_and_stop_only, .timeout = 30)
{
    hl_bus *const bus = manual_create(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    static recorder seen;
    subscribe(bus, "market_data.trade", &seen, NULL);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    publish(feed, trade, 1, 1);
    cr_assert_eq(turn(bus, "market_data", 0), 0, "not started");
    cr_assert_eq(seen.count, 0);
    cr_assert_eq(hl_bus_start(bus), HL_OK);
    cr_assert_eq(turn(bus, "market_data", 10), 1);
    hl_claim claim;
    cr_assert_eq(hl_try_claim(feed, trade, 1, 8, &claim), HL_OK);
    publish(feed, trade, 1, 2);
    cr_assert_eq(hl_bus_stop(bus, HL_MILLISECOND), HL_TIMEOUT);
    cr_assert_eq(turn(bus, "market_data", 0), 0);
    cr_assert_eq(turn(bus, "market_data", 10), 0, "and it returns");
    cr_assert_eq(seen.count, 1);
    assert_conserved(bus);
    hl_bus_destroy(bus);
}

Test(executor, there_is_one_for_each_partition_and_no_more)
{
    hl_bus *const bus = manual_create(NULL);
    cr_assert_eq(hl_bus_executor_count(bus), 8);
    for (uint32_t i = 0; i < 8; i++)
        cr_assert_not_null(hl_bus_executor(bus, i));
    cr_assert_null(hl_bus_executor(bus, 8));
    cr_assert_null(hl_bus_executor(bus, UINT32_MAX));
    hl_bus_destroy(bus);
}
