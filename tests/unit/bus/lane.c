#include "bus/lane.h"

#include "bus/bus.h"
#include "manual_bus.h"

static uint32_t inlets_of(const hl_bus *bus, uint32_t partition, hl_priority priority)
{
    uint32_t count = 0;
    for (const hl_inlet *i = bus->partitions[partition].inlets[priority]; i; i = i->next_of_lane)
        count++;
    return count;
}

Test(lane, rings_are_given_back_when_they_have_run_empty)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    turn_all(bus);
    const uint32_t before = inlets_of(bus, 0, HL_NORMAL); /* the handlers' */
    static recorder seen;
    subscribe(bus, "market_data.trade", &seen, NULL);
    for (uint64_t round = 0; round < 50; round++) {
        hl_publisher *const feed = open_publisher(bus, "feed", NULL);
        cr_assert_eq(inlets_of(bus, 0, HL_NORMAL), before + 1);
        publish(feed, trade, 1, 2 * round);
        publish(feed, trade, 1, 2 * round + 1);
        hl_publisher_close(feed);
        cr_assert_eq(inlets_of(bus, 0, HL_NORMAL), before + 1, "there is something in it");
        turn_all(bus);
        hl_bus_lock(bus);
        hl_bus_reap(bus);
        hl_bus_unlock(bus);
        cr_assert_eq(inlets_of(bus, 0, HL_NORMAL), before);
    }
    assert_values_follow(&seen, 0, 100);
    assert_door(bus, "market_data", 100, 0, 0);
    manual_stop(bus);
}

/* A ring may be taken out of the circle while its neighbours have events. */
Test(lane, publishers_that_close_between_others_do_not_disturb_them)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    static recorder seen;
    subscribe(bus, "market_data.trade", &seen, NULL);
    uint64_t published = 0;
    hl_publisher *open[6] = {NULL};
    unsigned seed = 5;
    for (int step = 0; step < 3000; step++) {
        const int i = rand_r(&seed) % 6;
        char name[4] = {'p', (char)('0' + i), '\0'};
        switch (rand_r(&seed) % 4) {
        case 0:
            if (open[i] != NULL)
                hl_publisher_close(open[i]);
            open[i] = open[i] != NULL ? NULL : open_publisher(bus, name, "market_data");
            break;
        case 1:
        case 2:
            published +=
                open[i] != NULL && hl_try_publish(open[i], trade, 1, &published, 8) == HL_OK;
            break;
        default:
            turn(bus, "market_data", 1 + (uint32_t)rand_r(&seed) % 4);
        }
    }
    turn_all(bus);
    cr_assert_gt(published, 500);
    cr_assert_eq(seen.count, published);
    assert_conserved(bus);
    manual_stop(bus);
}

Test(lane, positions_may_begin_anywhere)
{
    static const uint64_t starts[] = {
        0, 1, UINT32_MAX - 3, UINT64_MAX - 1, UINT64_MAX, UINT64_MAX - 7};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        hl_config config = manual_config();
        config.ring_start_position = starts[i];
        hl_bus *const bus = manual_start(&config);
        const hl_topic trade = topic(bus, "market_data.trade");
        static recorder seen;
        seen.count = 0;
        subscribe(bus, "market_data.trade", &seen, NULL);
        hl_publisher *const feed = open_publisher(bus, "feed", NULL);
        hl_shared_publisher *feeds;
        cr_assert_eq(hl_shared_publisher_open(bus, "feeds", NULL, &feeds), HL_OK);
        cr_assert_eq(turn_all(bus), 0, "a fresh ring is empty");
        for (uint64_t value = 0; value < 40; value += 8) {
            for (uint64_t n = 0; n < 4; n++) {
                const uint64_t shared = value + n;
                cr_assert_eq(hl_shared_publish(feeds, trade, 1, &shared, 8), HL_OK);
            }
            turn_all(bus);
            for (uint64_t n = 4; n < 8; n++)
                publish(feed, trade, 1, value + n);
            turn_all(bus);
        }
        assert_values_follow(&seen, 0, 40);
        assert_conserved(bus);
        manual_stop(bus);
    }
}

Test(lane, what_lies_in_a_ring_is_counted_behind_an_open_claim_too)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    hl_publisher *const feed = open_publisher(bus, "feed", "market_data");
    const hl_inlet *const inlet = bus->partitions[0].outlets[HL_NORMAL]->inlet;
    cr_assert_eq(hl_inlet_pending(inlet), 0);
    hl_claim open, gone;
    cr_assert_eq(hl_try_claim(feed, trade, 1, 8, &open), HL_OK);
    publish(feed, trade, 1, 1);
    cr_assert_eq(hl_try_claim(feed, trade, 1, 8, &gone), HL_OK);
    hl_abort(&gone);
    publish(feed, trade, 1, 2);
    cr_assert_eq(hl_inlet_pending(inlet), 2, "neither the open claim nor the padding");
    hl_commit(&open);
    cr_assert_eq(hl_inlet_pending(inlet), 3);
    turn_all(bus);
    cr_assert_eq(hl_inlet_pending(inlet), 0);
    manual_stop(bus);
}

Test(lane, handlers_have_lanes_where_their_domain_publishes)
{
    hl_domain_config domains[MANUAL_DOMAINS];
    const hl_config config = manual_config_of(domains);
    domains[MANUAL_MARKET_DATA].publishes_to = "order";
    domains[MANUAL_ORDER].publishes_to = NULL;
    hl_bus *const bus = manual_start(&config);
    topic(bus, "order.new");
    topic(bus, "fill.done");
    uint32_t lanes[2][2];
    for (uint32_t from = 0; from < 2; from++)
        for (uint32_t to = 1; to < 3; to++) {
            const hl_priority priority = to == 1 ? HL_CRITICAL : HL_HIGH;
            lanes[from][to - 1] =
                bus->partitions[from].out->outlets[to * HL_PRIORITIES + priority] != NULL;
        }
    cr_assert_eq(lanes[0][0], 1, "market_data to order");
    cr_assert_eq(lanes[0][1], 0, "market_data to fill");
    cr_assert_eq(lanes[1][0], 0, "order to itself");
    cr_assert_eq(lanes[1][1], 0, "order to fill");
    manual_stop(bus);
}
