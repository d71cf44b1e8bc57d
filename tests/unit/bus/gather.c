#include "bus/gather.h"

#include "manual_bus.h"

static recorder seen;

static hl_publisher *open_batching(hl_bus *bus, uint32_t events, uint64_t wait_ns)
{
    hl_publisher_options options = HL_PUBLISHER_OPTIONS_INIT;
    hl_publisher *publisher = NULL;
    options.batch_events = events;
    options.batch_wait_ns = wait_ns;
    cr_assert_eq(hl_publisher_open(bus, "feed", &options, &publisher), HL_OK);
    return publisher;
}

/* Moves the clock, and lets the partitions look. */
static void later(hl_bus *bus, uint64_t ns)
{
    manual_now_ns += ns;
    turn_all(bus);
    turn_all(bus);
}

Test(gather, a_batch_is_taken_when_it_is_full)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    subscribe(bus, "market_data.*", &seen, NULL);
    hl_publisher *const feed = open_batching(bus, 4, HL_SECOND);
    for (uint64_t value = 0; value < 3; value++)
        publish(feed, trade, 1, value);
    turn_all(bus);
    later(bus, HL_MILLISECOND);
    cr_assert_eq(seen.count, 0, "it waits for company");
    cr_assert_eq(lane_stats(bus, "market_data", HL_NORMAL).pending, 3);
    publish(feed, trade, 1, 3);
    later(bus, 50 * HL_MICROSECOND);
    assert_values_follow(&seen, 0, 4);
    for (uint64_t value = 4; value < 10; value++)
        publish(feed, trade, 1, value);
    later(bus, 50 * HL_MICROSECOND);
    assert_values_follow(&seen, 0, 8);
    manual_stop(bus);
    assert_values_follow(&seen, 0, 10);
}

Test(gather, a_batch_is_taken_when_its_oldest_event_has_waited_long_enough)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    subscribe(bus, "market_data.*", &seen, NULL);
    hl_publisher *const feed = open_batching(bus, 100, HL_MILLISECOND);
    publish(feed, trade, 1, 0);
    turn_all(bus);
    later(bus, HL_MILLISECOND / 2);
    publish(feed, trade, 1, 1);
    later(bus, HL_MILLISECOND / 2 - 1);
    cr_assert_eq(seen.count, 0);
    later(bus, 1);
    assert_values_follow(&seen, 0, 2);
    manual_stop(bus);
}

Test(gather, a_flush_lets_pass_what_is_there_and_nothing_later)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    subscribe(bus, "market_data.*", &seen, NULL);
    hl_publisher *const feed = open_batching(bus, 6, HL_SECOND);
    hl_publisher_flush(feed);
    publish(feed, trade, 1, 0);
    publish(feed, trade, 1, 1);
    turn_all(bus);
    hl_publisher_flush(feed);
    publish(feed, trade, 1, 2);
    later(bus, 50 * HL_MICROSECOND);
    assert_values_follow(&seen, 0, 2);
    hl_publisher_close(feed);
    later(bus, 50 * HL_MICROSECOND);
    later(bus, 50 * HL_MICROSECOND);
    assert_values_follow(&seen, 0, 3);
    manual_stop(bus);
}

Test(gather, urgent_events_and_other_publishers_do_not_wait)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade"), order = topic(bus, "order.new");
    recorder *const orders = calloc(1, sizeof *orders);
    subscribe(bus, "market_data.*", &seen, NULL);
    subscribe(bus, "order.*", orders, NULL);
    hl_publisher *const feed = open_batching(bus, 6, HL_SECOND);
    hl_publisher *const other = open_publisher(bus, "other", NULL);
    publish(feed, trade, 1, 100);
    publish(feed, order, 1, 0);
    turn_all(bus);
    publish(other, trade, 1, 0);
    turn_all(bus);
    assert_values_follow(orders, 0, 1);
    assert_values_follow(&seen, 0, 1);
    manual_stop(bus);
    cr_assert_eq(seen.entries[1].value, 100);
    free(orders);
}

Test(gather, what_cannot_batch_is_refused_with_a_sentence)
{
    hl_bus *const bus = manual_create(NULL);
    hl_publisher_options options = HL_PUBLISHER_OPTIONS_INIT;
    hl_publisher *publisher;
    hl_shared_publisher *shared;
    options.batch_events = 65537;
    cr_assert_eq(hl_publisher_open(bus, "a", &options, &publisher), HL_INVALID);
    assert_sentence(bus, HL_INVALID, "batch_events is 65537");
    options.batch_events = 2;
    cr_assert_eq(hl_shared_publisher_open(bus, "a", &options, &shared), HL_INVALID);
    assert_sentence(bus, HL_INVALID, "cannot batch");
    hl_bus_destroy(bus);
}

Test(gather, a_subscriber_has_its_batches_flushed)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.batch = record_batch;
    hl_subscription *const batches = subscribe(bus, "market_data.*", &seen, &options);
    recorder *const single = calloc(1, sizeof *single);
    hl_subscription *const plain = subscribe(bus, "market_data.*", single, NULL);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    publish(feed, trade, 1, 0);
    publish(feed, trade, 1, 1);
    turn_all(bus);
    cr_assert_eq(seen.count, 0);
    cr_assert_eq(hl_subscription_flush(batches), HL_OK);
    cr_assert_eq(hl_subscription_flush(batches), HL_OK, "asked twice, done once");
    turn_all(bus);
    assert_values_follow(&seen, 0, 2);
    cr_assert_eq(seen.batches, 1);
    publish(feed, trade, 1, 2);
    cr_assert_eq(hl_subscription_flush(batches), HL_OK);
    turn_all(bus);
    assert_values_follow(&seen, 0, 3); /* it still lay in its ring */
    manual_now_ns++;
    publish(feed, trade, 1, 3);
    turn_all(bus);
    cr_assert_eq(seen.count, 3, "published later: it waits");
    cr_assert_eq(hl_subscription_flush(plain), HL_NOT_ALLOWED);
    cr_assert_eq(hl_subscription_flush(NULL), HL_INVALID);
    manual_stop(bus);
    free(single);
}
