/* The slowest events of each domain, on a bus that is turned by hand. */
#include <string.h>

#include "bus/bus.h"
#include "manual_bus.h"

static hl_status take_a_while(const hl_event *event, hl_publisher *out, void *context)
{
    (void)event, (void)out, (void)context;
    manual_now_ns += 100;
    return HL_OK;
}

/* Lets one event wait so long. */
static void wait_for(hl_bus *bus, hl_publisher *feed, hl_topic to, uint64_t key, uint64_t wait_ns)
{
    publish(feed, to, key, key);
    manual_now_ns += wait_ns;
    turn_all(bus);
}

static uint32_t slowest_of(const hl_bus *bus, const char *domain, hl_slow_event *ret_events,
                           uint32_t room)
{
    uint32_t count = 99;
    cr_assert_eq(hl_bus_slowest(bus, domain, ret_events, room, &count), HL_OK);
    return count;
}

Test(slowest, the_worst_are_kept_the_slowest_first)
{
    static const uint64_t waits_us[] = {30, 500, 10, 80, 70, 900, 20, 60, 50, 40, 100, 5};
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    cr_assert_eq(hl_subscribe(bus, "market_data.*", take_a_while, NULL, NULL, NULL), HL_OK);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    for (uint64_t i = 0; i < sizeof waits_us / sizeof *waits_us; i++)
        wait_for(bus, feed, trade, i, waits_us[i] * HL_MICROSECOND);
    static const uint64_t worst_us[HL_SLOWEST_MOST] = {900, 500, 100, 80, 70, 60, 50, 40};
    hl_slow_event events[HL_SLOWEST_MOST + 1];
    cr_assert_eq(slowest_of(bus, "market_data", events, HL_SLOWEST_MOST + 1), HL_SLOWEST_MOST);
    for (uint32_t i = 0; i < HL_SLOWEST_MOST; i++) {
        cr_assert_eq(events[i].waited_ns, worst_us[i] * HL_MICROSECOND, "the %u.", i + 1);
        cr_assert_eq(events[i].began_ns, events[i].published_ns + events[i].waited_ns);
        cr_assert_eq(events[i].taken_ns, events[i].began_ns);
        cr_assert_eq(events[i].ended_ns, events[i].began_ns + 100);
    }
    cr_assert_eq(events[0].key, 5);
    cr_assert_str_eq(events[0].topic, "market_data.trade");
    cr_assert_eq(hl_id_sequence(events[0].event_id), 6);
    cr_assert_eq(events[0].priority, HL_NORMAL);
    cr_assert_eq(events[0].window_ns, 0, "no thread of the bus's own");
    cr_assert_eq(slowest_of(bus, "market_data", events, 2), 2);
    cr_assert_eq(events[1].key, 1);
    cr_assert_eq(slowest_of(bus, "order", events, 2), 0);
    uint32_t count;
    cr_assert_eq(hl_bus_slowest(bus, "nowhere", events, 1, &count), HL_NOT_FOUND);
    manual_stop(bus);
}

Test(slowest, shards_are_of_one_domain)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic wide = topic(bus, "spread.wide");
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    for (uint64_t key = 0; key < 16; key++)
        wait_for(bus, feed, wide, key, (key + 1) * HL_MICROSECOND);
    hl_slow_event events[HL_SLOWEST_MOST];
    cr_assert_eq(slowest_of(bus, "spread", events, HL_SLOWEST_MOST), HL_SLOWEST_MOST);
    for (uint32_t i = 0; i < HL_SLOWEST_MOST; i++)
        cr_assert_eq(events[i].key, 15 - i);
    manual_stop(bus);
}

Test(slowest, of_async_handlers_one_call_in_eight_is_measured)
{
    hl_config config = manual_config();
    config.max_workers = config.min_workers = 1;
    hl_bus *const bus = manual_start(&config);
    const hl_topic trade = topic(bus, "market_data.trade");
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.async = HL_ASYNC_ORDERED;
    cr_assert_eq(hl_subscribe(bus, "market_data.*", take_a_while, NULL, &options, NULL), HL_OK);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    hl_executor *const worker = bus->pools[HL_POOL_WORKERS]->workers[0].executor;
    for (uint64_t i = 1; i <= 16; i++) {
        publish(feed, trade, i, i);
        turn(bus, "market_data", 0);
        manual_now_ns += i * HL_MICROSECOND;
        hl_executor_turn(worker, 0);
    }
    hl_slow_event events[HL_SLOWEST_MOST];
    cr_assert_eq(slowest_of(bus, "market_data", events, HL_SLOWEST_MOST), 2);
    cr_assert_eq(events[0].key, 16);
    cr_assert_eq(events[1].key, 8);
    cr_assert_eq(events[0].waited_ns, 16 * HL_MICROSECOND);
    cr_assert_eq(events[0].taken_ns, 0);
    cr_assert_not_null(strstr(events[0].thread, "worker"));
    manual_stop(bus);
}
