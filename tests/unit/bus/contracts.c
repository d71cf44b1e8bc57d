/* What each contract of an async subscription costs, and whom. */
#include "async_bus.h"

#include <string.h>

#include "bus/async.h"

static hl_lost lost_of(const hl_event *event)
{
    hl_lost lost;
    memcpy(&lost, hl_payload(event), sizeof lost);
    return lost;
}

/* ---- lossless ---- */

Test(contracts, lossless_holds_the_ring_whose_event_has_no_room_and_no_other)
{
    hl_bus *const bus = start_with_workers(WORKERS);
    const hl_topic trade = topic(bus, "market_data.trade");
    const hl_topic quote = topic(bus, "market_data.quote");
    recorder slow = {0}, inline_seen = {0};
    hl_subscription_options options = async_options(HL_ASYNC_ORDERED, HL_CONTRACT_LOSSLESS);
    options.name = "slowcoach";
    subscribe(bus, "market_data.trade", &slow, &options);
    subscribe(bus, "market_data.quote", &inline_seen, NULL);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    hl_publisher *const other = open_publisher(bus, "other", NULL);
    publish_values(feed, trade, 1, 6);
    publish(feed, quote, 1, 1); /* behind them */
    publish(other, quote, 1, 2);
    turn_partition(bus, "market_data");
    cr_assert_eq(inline_seen.count, 1);
    cr_assert_eq(inline_seen.entries[0].value, 2);
    const hl_lane_stats lane = lane_stats(bus, "market_data", HL_NORMAL);
    cr_assert_str_eq(lane.held_by, "slowcoach");
    cr_assert_gt(lane.holds, 0);
    cr_assert_eq(lane.dispatched, 5);
    cr_assert_eq(hl_bus_sequence(bus, 0), 5, "what waits has no sequence");
    hl_executor_turn(worker(bus, 0), 0);
    turn_partition(bus, "market_data");
    turn_all(bus);
    assert_conserved(bus);
    cr_assert_eq(slow.count, 6);
    for (uint32_t i = 0; i < 6; i++)
        cr_assert_eq(slow.entries[i].value, i + 1);
    cr_assert_eq(inline_seen.count, 2);
    cr_assert_str_eq(lane_stats(bus, "market_data", HL_NORMAL).held_by, "");
    manual_stop(bus);
}

static bool is_odd(const hl_event *event, void *context)
{
    (void)context;
    return value_of(event) % 2 != 0;
}

Test(contracts, lossless_does_not_wait_for_room_for_what_its_predicate_refuses)
{
    hl_subscription_options options = async_options(HL_ASYNC_ORDERED, HL_CONTRACT_LOSSLESS);
    options.queue_events = 2;
    options.predicate = is_odd;
    follower f;
    start_follower(&f, "market_data.trade", &options);
    const uint64_t values[] = {1, 3, 2, 4, 6, 5};
    for (uint32_t i = 0; i < 6; i++)
        publish(f.feed, f.trade, 1, values[i]);
    turn_partition(f.bus, "market_data");
    cr_assert_eq(stats_of(f.subscription).filtered, 3);
    cr_assert_eq(lane_stats(f.bus, "market_data", HL_NORMAL).dispatched, 5);
    manual_stop(f.bus);
}

Test(contracts, the_end_of_a_lossless_subscription_frees_what_it_held)
{
    hl_error error;
    const hl_subscription_options options = async_options(HL_ASYNC_ORDERED, HL_CONTRACT_LOSSLESS);
    follower f;
    start_follower(&f, "market_data.trade", &options);
    publish_values(f.feed, f.trade, 1, 6);
    turn_partition(f.bus, "market_data");
    cr_assert_eq(lane_stats(f.bus, "market_data", HL_NORMAL).dispatched, 4);
    cr_assert_eq(hl_unsubscribe(f.subscription, HL_SECOND, &error), HL_OK);
    turn_all(f.bus);
    cr_assert_eq(f.seen.count, 0);
    const hl_lane_stats lane = lane_stats(f.bus, "market_data", HL_NORMAL);
    cr_assert_eq(lane.dispatched, 6);
    cr_assert_eq(lane.unrouted, 2);
    cr_assert_str_eq(lane.held_by, "");
    assert_conserved(f.bus);
    manual_stop(f.bus);
}

/* One worker; market_data conflates. */
static hl_bus *start_conflating(void)
{
    hl_domain_config domains[MANUAL_DOMAINS];
    hl_config config = manual_config_of(domains);
    domains[MANUAL_MARKET_DATA].conflates = "normal";
    domains[MANUAL_MARKET_DATA].conflate_keys = 8;
    config.max_workers = 1;
    return manual_start(&config);
}

Test(contracts, lossless_holds_a_lane_that_conflates_with_the_value_in_hand)
{
    hl_bus *const bus = start_conflating();
    const hl_topic quote = topic_of_kind(bus, "market_data.quote", HL_STATE);
    recorder slow = {0};
    hl_subscription_options options = async_options(HL_ASYNC_ORDERED, HL_CONTRACT_LOSSLESS);
    options.queue_events = 2;
    subscribe(bus, "market_data.quote", &slow, &options);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    for (uint64_t key = 1; key <= 5; key++)
        publish(feed, quote, key, key);
    turn_partition(bus, "market_data");
    cr_assert_eq(lane_stats(bus, "market_data", HL_NORMAL).dispatched, 2);
    assert_conserved(bus);
    publish(feed, quote, 3, 33); /* newer than the one in hand: delivered behind it */
    publish(feed, quote, 5, 55);
    for (int i = 0; i < 4; i++) {
        hl_executor_turn(worker(bus, 0), 0);
        turn_partition(bus, "market_data");
    }
    turn_all(bus);
    const uint64_t values[] = {1, 2, 3, 4, 55, 33};
    cr_assert_eq(slow.count, 6);
    for (uint32_t i = 0; i < 6; i++)
        cr_assert_eq(slow.entries[i].value, values[i], "event %u is %lu", i, slow.entries[i].value);
    const hl_lane_stats lane = lane_stats(bus, "market_data", HL_NORMAL);
    cr_assert_eq(lane.dispatched, 6);
    cr_assert_eq(lane.conflated, 1);
    assert_conserved(bus);
    manual_stop(bus);
}

Test(contracts, an_event_in_hand_when_the_stop_finds_no_time_is_abandoned_and_counted)
{
    hl_bus *const bus = start_conflating();
    const hl_topic quote = topic_of_kind(bus, "market_data.quote", HL_STATE);
    recorder slow = {0};
    hl_subscription_options options = async_options(HL_ASYNC_ORDERED, HL_CONTRACT_LOSSLESS);
    options.queue_events = 2;
    subscribe(bus, "market_data.quote", &slow, &options);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    for (uint64_t key = 1; key <= 5; key++)
        publish(feed, quote, key, key);
    turn_partition(bus, "market_data");
    bus->pools[HL_POOL_WORKERS]->active = 0; /* a pool that does nothing */
    cr_assert_eq(hl_bus_stop(bus, HL_MILLISECOND), HL_TIMEOUT);
    cr_assert_eq(lane_stats(bus, "market_data", HL_NORMAL).abandoned, 3);
    assert_conserved(bus);
    hl_bus_destroy(bus);
}

/* ---- lossy, and taps ---- */

Test(contracts, lossy_tells_in_its_stream_what_was_lost)
{
    const hl_subscription_options options = async_options(HL_ASYNC_ORDERED, HL_CONTRACT_LOSSY);
    follower f;
    start_follower(&f, "market_data.trade", &options);
    publish_values(f.feed, f.trade, 1, 7);
    turn_partition(f.bus, "market_data");
    cr_assert_eq(lane_stats(f.bus, "market_data", HL_NORMAL).dispatched, 7);
    cr_assert_eq(stats_of(f.subscription).lost, 3);
    hl_executor_turn(worker(f.bus, 0), 0);
    publish(f.feed, f.trade, 8, 8);
    turn_all(f.bus);
    cr_assert_eq(f.seen.count, 6);
    cr_assert_eq(f.seen.entries[4].flags & HL_EVENT_LOST, HL_EVENT_LOST);
    cr_assert_eq(f.seen.entries[4].value, 3, "how many");
    cr_assert_eq(f.seen.entries[4].sequence, 7, "the last of them");
    cr_assert_eq(f.seen.entries[5].value, 8);
    cr_assert_eq(stats_of(f.subscription).delivered, 8);
    cr_assert_eq(stats_of(f.subscription).handled, 5);
    assert_conserved(f.bus);
    manual_stop(f.bus);
}

static hl_lost last_lost;
static uint32_t lost_calls;

static hl_status note_lost(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    (void)context;
    if ((event->flags & HL_EVENT_LOST) != 0) {
        last_lost = lost_of(event);
        lost_calls++;
    }
    return HL_OK;
}

Test(contracts, unordered_tells_what_was_lost_too)
{
    hl_bus *const bus = start_with_workers(WORKERS);
    const hl_topic trade = topic(bus, "market_data.trade");
    const hl_subscription_options options = async_options(HL_ASYNC_UNORDERED, HL_CONTRACT_LOSSY);
    cr_assert_eq(hl_subscribe(bus, "market_data.trade", note_lost, NULL, &options, NULL), HL_OK);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    publish_values(feed, trade, 1, 7);
    turn_partition(bus, "market_data");
    hl_executor_turn(worker(bus, 0), 0);
    cr_assert_eq(lost_calls, 0);
    publish(feed, trade, 8, 8);
    turn_all(bus);
    cr_assert_eq(lost_calls, 1);
    cr_assert_eq(last_lost.count, 3);
    cr_assert_eq(last_lost.first_sequence, 5);
    cr_assert_eq(last_lost.last_sequence, 7);
    manual_stop(bus);
}

Test(contracts, what_was_lost_is_told_when_no_other_event_comes)
{
    for (hl_async_order order = HL_ASYNC_UNORDERED; order <= HL_ASYNC_ORDERED; order++) {
        hl_bus *const bus = start_with_workers(WORKERS);
        const hl_topic trade = topic(bus, "market_data.trade");
        const hl_subscription_options options = async_options(order, HL_CONTRACT_LOSSY);
        hl_subscription *subscription;
        cr_assert_eq(
            hl_subscribe(bus, "market_data.trade", note_lost, NULL, &options, &subscription),
            HL_OK);
        hl_publisher *const feed = open_publisher(bus, "feed", NULL);
        lost_calls = 0;
        for (uint64_t i = 1; i <= 7; i++)
            publish(feed, trade, 1, i);
        turn_partition(bus, "market_data");
        cr_assert_eq(stats_of(subscription).lost, 3);
        turn_all(bus);
        cr_assert_eq(lost_calls, 0, "there was no room for it until now");
        manual_now_ns += HL_SECOND;
        turn_all(bus);
        turn_all(bus);
        cr_assert_eq(lost_calls, 1);
        cr_assert_eq(last_lost.count, 3);
        cr_assert_eq(last_lost.first_sequence, 5);
        cr_assert_eq(last_lost.last_sequence, 7);
        cr_assert_eq(bus->partitions[0].executor->open_dues, 0);
        for (uint64_t i = 8; i <= 14; i++)
            publish(feed, trade, 1, i);
        turn_partition(bus, "market_data");
        if (order == HL_ASYNC_ORDERED)
            cr_assert_eq(hl_unsubscribe(subscription, 0, NULL), HL_OK);
        manual_stop(bus);
        cr_assert_eq(lost_calls, order == HL_ASYNC_ORDERED ? 1 : 2, "at the latest by a stop");
    }
}

Test(contracts, a_tap_that_nobody_turns_holds_nothing_back)
{
    hl_bus *const bus = start_with_workers(WORKERS);
    const hl_topic trade = topic(bus, "market_data.trade");
    recorder tapped = {0}, seen = {0};
    hl_subscription_options options = async_options(HL_ASYNC_ORDERED, HL_CONTRACT_LOSSLESS);
    subscribe(bus, "market_data.trade", &seen, &options);
    options.tap = true;
    hl_subscription *const tap = subscribe(bus, ">", &tapped, &options);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    for (uint64_t i = 1; i <= 40; i++) {
        publish(feed, trade, i, i);
        turn_partition(bus, "market_data");
        hl_executor_turn(worker(bus, i % 2), 0);
    }
    assert_values_follow(&seen, 1, 40);
    cr_assert_eq(tapped.count, 0);
    cr_assert_eq(stats_of(tap).lost, 36);
    cr_assert_eq(lane_stats(bus, "market_data", HL_NORMAL).holds, 0);
    cr_assert_eq(hl_executor_turn(taps(bus), 0), 4);
    assert_conserved(bus);
    manual_stop(bus);
}

/* ---- eject ---- */

Test(contracts, one_that_is_too_far_behind_is_detached_and_told_behind_its_last_event)
{
    const hl_subscription_options options = async_options(HL_ASYNC_ORDERED, HL_CONTRACT_EJECT);
    follower f;
    start_follower(&f, "market_data.trade", &options);
    publish_values(f.feed, f.trade, 1, 6);
    turn_partition(f.bus, "market_data");
    cr_assert_eq(stats_of(f.subscription).delivered, 4, "detached with the fourth that waits");
    cr_assert_eq(stats_of(f.subscription).ejections, 1);
    cr_assert(stats_of(f.subscription).ejected);
    cr_assert_eq(hl_subscription_reattach(f.subscription), HL_BUSY, "it was not told yet");
    hl_executor_turn(worker(f.bus, 0), 0);
    cr_assert_eq(f.seen.count, 5);
    cr_assert_eq(f.seen.entries[4].flags, HL_EVENT_EJECTED);
    cr_assert_eq(f.seen.entries[4].value, 4, "the last sequence that it got");
    assert_conserved(f.bus);

    cr_assert_eq(hl_subscription_reattach(f.subscription), HL_OK);
    turn_all(f.bus);
    cr_assert_not(stats_of(f.subscription).ejected);
    publish(f.feed, f.trade, 7, 7);
    turn_all(f.bus);
    cr_assert_eq(f.seen.count, 6);
    cr_assert_eq(f.seen.entries[5].value, 7);
    uint64_t start;
    cr_assert_eq(hl_subscription_start(f.subscription, 0, &start), HL_OK);
    cr_assert_eq(start, 6);
    cr_assert_eq(hl_subscription_reattach(f.subscription), HL_WRONG_STATE);
    manual_stop(f.bus);
}

Test(contracts, a_stop_without_time_leaves_no_age_of_what_was_taken)
{
    hl_subscription_options options = async_options(HL_ASYNC_ORDERED, HL_CONTRACT_EJECT);
    options.eject_age_ns = HL_SECOND;
    follower f;
    start_follower(&f, "market_data.trade", &options);
    publish(f.feed, f.trade, 1, 1);
    turn_all(f.bus);
    cr_assert_eq(f.seen.count, 1);
    cr_assert_eq(f.bus->partitions[0].executor->open_dues, 1, "the look at the age is to come");
    cr_assert_eq(hl_bus_stop(f.bus, 0), HL_OK);
    hl_bus_destroy(f.bus);
}

Test(contracts, one_whose_oldest_event_is_too_old_is_detached_though_no_other_comes)
{
    for (hl_async_order order = HL_ASYNC_UNORDERED; order <= HL_ASYNC_ORDERED; order++) {
        hl_subscription_options options = async_options(order, HL_CONTRACT_EJECT);
        options.eject_age_ns = HL_SECOND;
        follower f;
        start_follower(&f, "market_data.trade", &options);
        const hl_executor *const executor = f.bus->partitions[0].executor;
        publish(f.feed, f.trade, 1, 1);
        turn(f.bus, "market_data", 0);
        publish(f.feed, f.trade, 2, 2);
        turn(f.bus, "market_data", 0);
        manual_now_ns += HL_SECOND - 1;
        turn(f.bus, "market_data", 0);
        cr_assert_not(stats_of(f.subscription).ejected);
        manual_now_ns += 1;
        turn(f.bus, "market_data", 0);
        cr_assert(stats_of(f.subscription).ejected);
        cr_assert_eq(f.subscription->async->boxes[0].ejected.age_ns, HL_SECOND);
        cr_assert_eq(executor->open_dues, 0);
        turn_all(f.bus);
        cr_assert_eq(f.seen.count, 3);
        cr_assert_eq(f.seen.entries[2].flags, HL_EVENT_EJECTED);

        cr_assert_eq(hl_subscription_reattach(f.subscription), HL_OK);
        publish(f.feed, f.trade, 1, 3);
        turn_all(f.bus);
        manual_now_ns += 2 * HL_SECOND;
        turn_all(f.bus);
        cr_assert_not(stats_of(f.subscription).ejected, "it was taken in time");
        cr_assert_eq(executor->open_dues, 0, "nothing waits");
        assert_conserved(f.bus);
        publish(f.feed, f.trade, 1, 4);
        turn(f.bus, "market_data", 0);
        if (order == HL_ASYNC_ORDERED)
            cr_assert_eq(hl_unsubscribe(f.subscription, 0, NULL), HL_OK);
        manual_stop(f.bus);
    }
}

Test(contracts, how_old_an_images_value_is_detaches_nobody_but_what_is_behind_it_does)
{
    hl_bus *const bus = start_with_workers(WORKERS);
    const hl_topic quote = topic_of_kind(bus, "market_data.quote", HL_STATE);
    const hl_topic trade = topic_of_kind(bus, "market_data.trade", HL_STATE);
    recorder seen = {0};
    hl_subscription_options options = async_options(HL_ASYNC_ORDERED, HL_CONTRACT_EJECT);
    options.queue_events = 64;
    options.eject_behind = 64;
    options.initial_image = true;
    options.eject_age_ns = 80 * HL_MILLISECOND;
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    publish(feed, quote, 1, 1);
    turn_all(bus);
    manual_now_ns += HL_SECOND;
    hl_subscription *const subscription = subscribe(bus, "market_data.*", &seen, &options);
    turn(bus, "market_data", 0);
    publish(feed, trade, 1, 2);
    turn(bus, "market_data", 0);
    manual_now_ns += HL_SECOND;
    turn(bus, "market_data", 0);
    cr_assert_eq(stats_of(subscription).queued, 2);
    cr_assert_not(stats_of(subscription).ejected);
    cr_assert_eq(hl_executor_turn(worker(bus, 0), 1), 1, "the image");
    manual_now_ns += 10 * HL_MILLISECOND + 1;
    turn(bus, "market_data", 0);
    cr_assert(stats_of(subscription).ejected);
    turn_all(bus);
    assert_conserved(bus);
    manual_stop(bus);
}

Test(contracts, the_age_of_one_keys_events_is_seen_whatever_comes_of_others)
{
    const uint64_t stuck = 1;
    hl_subscription_options options = async_options(HL_ASYNC_BY_KEY, HL_CONTRACT_EJECT);
    options.eject_age_ns = 80 * HL_MILLISECOND;
    follower f;
    start_follower(&f, "market_data.trade", &options);
    hl_strand *const strand = &f.subscription->async->strands[hl_shard_of(stuck, WORKERS)];
    uint64_t other = stuck + 1;
    while (hl_shard_of(other, WORKERS) == hl_shard_of(stuck, WORKERS))
        other++;
    strand->holder = WORKERS + 1; /* as if a handler that does not return had it */
    publish(f.feed, f.trade, stuck, 0);
    turn_all(f.bus);
    for (int i = 0; i < 7; i++) {
        manual_now_ns += 10 * HL_MILLISECOND;
        publish(f.feed, f.trade, other, 1);
        turn_all(f.bus);
    }
    cr_assert_not(stats_of(f.subscription).ejected);
    manual_now_ns += 10 * HL_MILLISECOND;
    publish(f.feed, f.trade, other, 1);
    turn_all(f.bus);
    cr_assert(stats_of(f.subscription).ejected);
    strand->holder = 0;
    manual_stop(f.bus);
}

static hl_status come_back(const hl_event *event, hl_publisher *out, void *context)
{
    hl_subscription **const self = context;
    (void)out;
    if ((event->flags & HL_EVENT_EJECTED) != 0)
        cr_assert_eq(hl_subscription_reattach(*self), HL_OK);
    return HL_OK;
}

Test(contracts, a_handler_may_reattach_when_it_is_told_and_gets_the_image)
{
    hl_bus *const bus = start_with_workers(WORKERS);
    const hl_topic quote = topic_of_kind(bus, "market_data.quote", HL_STATE);
    hl_subscription_options options = async_options(HL_ASYNC_UNORDERED, HL_CONTRACT_EJECT);
    options.initial_image = true;
    hl_subscription *subscription;
    assert_refused(bus, &options, HL_INVALID, "raise queue_events");
    options.queue_events = 32;
    options.eject_behind = 16;
    cr_assert_eq(
        hl_subscribe(bus, "market_data.quote", come_back, &subscription, &options, &subscription),
        HL_OK);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    for (uint64_t i = 0; i < 20; i++) {
        publish(feed, quote, i % 2, i);
        turn(bus, "market_data", 0);
    }
    cr_assert(stats_of(subscription).ejected);
    turn_all(bus);
    cr_assert_not(stats_of(subscription).ejected);
    cr_assert_eq(stats_of(subscription).delivered, 17 + 2, "and the newest of two keys");
    cr_assert_eq(stats_of(subscription).handled, 19);
    assert_conserved(bus);
    manual_stop(bus);
}

/* ---- latest ---- */

Test(contracts, latest_gives_the_newest_of_each_key_once)
{
    hl_bus *const bus = start_with_workers(WORKERS);
    const hl_topic quote = topic_of_kind(bus, "market_data.quote", HL_STATE);
    recorder seen = {0};
    const hl_subscription_options options = async_options(HL_ASYNC_ORDERED, HL_CONTRACT_LATEST);
    hl_subscription *const subscription = subscribe(bus, "market_data.quote", &seen, &options);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    const uint64_t keys[] = {1, 2, 1, 1, 3};
    for (uint64_t i = 0; i < 5; i++)
        publish(feed, quote, keys[i], i);
    turn_all(bus);
    cr_assert_eq(seen.count, 3);
    cr_assert_eq(seen.entries[0].value, 3);
    cr_assert_eq(seen.entries[0].flags & HL_EVENT_CONFLATED, HL_EVENT_CONFLATED);
    cr_assert_eq(seen.entries[1].value, 1);
    cr_assert_eq(seen.entries[1].flags & HL_EVENT_CONFLATED, 0);
    cr_assert_eq(seen.entries[2].value, 4);
    cr_assert_eq(stats_of(subscription).delivered, 5);
    cr_assert_eq(stats_of(subscription).conflated, 2);
    cr_assert_eq(stats_of(subscription).handled, 3);
    assert_conserved(bus);
    manual_stop(bus);
}

Test(contracts, latest_counts_and_tells_what_is_of_a_key_too_many)
{
    hl_bus *const bus = start_with_workers(WORKERS);
    const hl_topic quote = topic_of_kind(bus, "market_data.quote", HL_STATE);
    hl_subscription_options options = async_options(HL_ASYNC_ORDERED, HL_CONTRACT_LATEST);
    options.latest_keys = 2;
    hl_subscription *subscription;
    cr_assert_eq(hl_subscribe(bus, "market_data.quote", note_lost, NULL, &options, &subscription),
                 HL_OK);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    publish_values(feed, quote, 1, 4);
    turn_all(bus);
    cr_assert_eq(stats_of(subscription).handled, 2);
    cr_assert_eq(stats_of(subscription).lost, 2);
    cr_assert_eq(lost_calls, 1);
    cr_assert_eq(last_lost.count, 2);
    cr_assert_eq(last_lost.first_sequence, 3);
    cr_assert_eq(last_lost.last_sequence, 4);
    assert_conserved(bus);
    manual_stop(bus);
}

Test(contracts, latest_is_refused_of_topics_that_are_no_state)
{
    hl_bus *const bus = start_with_workers(WORKERS);
    topic(bus, "market_data.delta");
    recorder seen = {0};
    const hl_subscription_options options = async_options(HL_ASYNC_ORDERED, HL_CONTRACT_LATEST);
    cr_assert_eq(hl_subscribe(bus, "market_data.*", record, &seen, &options, NULL), HL_NOT_ALLOWED);
    assert_sentence(bus, HL_NOT_ALLOWED, "market_data.delta");
    subscribe(bus, "fill.*", &seen, &options);
    hl_topic declared;
    cr_assert_eq(hl_topic_declare(bus, "fill.delta", NULL, &declared), HL_NOT_ALLOWED);
    assert_sentence(bus, HL_NOT_ALLOWED, "fill.*");
    topic_of_kind(bus, "fill.state", HL_STATE);
    manual_stop(bus);
}
