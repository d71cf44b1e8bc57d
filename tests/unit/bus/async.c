#include "async_bus.h"

#include <hotlane/system.h>

#include "bus/async.h"

/* ---- orders ---- */

Test(async, a_handler_runs_when_a_worker_turns)
{
    const hl_subscription_options options = async_options(HL_ASYNC_ORDERED, HL_CONTRACT_LOSSLESS);
    follower f;
    start_follower(&f, "market_data.*", &options);
    publish_values(f.feed, f.trade, 1, 3);
    turn_partition(f.bus, "market_data");
    cr_assert_eq(f.seen.count, 0);
    cr_assert_eq(stats_of(f.subscription).delivered, 3);
    cr_assert_eq(stats_of(f.subscription).queued, 3);
    cr_assert_eq(hl_executor_turn(worker(f.bus, 1), 0), 3);
    assert_values_follow(&f.seen, 1, 3);
    cr_assert_eq(stats_of(f.subscription).handled, 3);
    cr_assert_eq(stats_of(f.subscription).queued, 0);
    assert_conserved(f.bus);
    manual_stop(f.bus);
}

Test(async, by_key_the_events_of_a_key_stay_in_order_whoever_takes_them)
{
    hl_subscription_options options = async_options(HL_ASYNC_BY_KEY, HL_CONTRACT_LOSSLESS);
    options.queue_events = 64;
    follower f;
    start_follower(&f, "market_data.*", &options);
    uint64_t next[4] = {0};
    for (uint64_t round = 0; round < 40; round++) {
        for (uint64_t i = 0; i < 4; i++)
            publish(f.feed, f.trade, i, round);
        turn_partition(f.bus, "market_data");
        hl_executor_turn(worker(f.bus, round % 2), 1 + (uint32_t)round % 3);
    }
    turn_all(f.bus);
    cr_assert_eq(f.seen.count, 160);
    for (uint32_t i = 0; i < f.seen.count; i++)
        cr_assert_eq(f.seen.entries[i].value, next[f.seen.entries[i].key]++);
    manual_stop(f.bus);
}

Test(async, one_that_spans_partitions_needs_no_leave)
{
    hl_bus *const bus = start_with_workers(WORKERS);
    const hl_topic wide = topic(bus, "spread.wide");
    recorder seen = {0};
    const hl_subscription_options options = async_options(HL_ASYNC_ORDERED, HL_CONTRACT_LOSSLESS);
    hl_subscription *const subscription = subscribe(bus, "spread.*", &seen, &options);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    for (uint64_t i = 0; i < 12; i++)
        publish(feed, wide, i, i);
    turn_all(bus);
    cr_assert_eq(seen.count, 12);
    cr_assert_eq(stats_of(subscription).handled, 12);
    manual_stop(bus);
}

Test(async, unordered_is_for_every_worker)
{
    const hl_subscription_options options = async_options(HL_ASYNC_UNORDERED, HL_CONTRACT_LOSSLESS);
    follower f;
    start_follower(&f, "market_data.*", &options);
    publish_values(f.feed, f.trade, 1, 4);
    turn_partition(f.bus, "market_data");
    cr_assert_eq(hl_executor_turn(worker(f.bus, 0), 1), 1);
    cr_assert_eq(hl_executor_turn(worker(f.bus, 1), 1), 1);
    cr_assert_eq(hl_executor_turn(worker(f.bus, 0), 0), 2);
    assert_values_follow(&f.seen, 1, 4);
    cr_assert_eq(stats_of(f.subscription).handled, 4);
    assert_conserved(f.bus);
    manual_stop(f.bus);
}

/* ---- what handlers publish ---- */

typedef struct relay {
    hl_topic to;
    hl_status answer, published;
    uint32_t calls;
} relay;

static hl_status pass_on(const hl_event *event, hl_publisher *out, void *context)
{
    relay *const self = context;
    const uint64_t value = value_of(event);
    self->calls++;
    self->published = hl_try_publish(out, self->to, event->key, &value, sizeof value);
    return self->answer;
}

Test(async, what_its_handler_publishes_carries_its_cause_and_stands_or_falls_with_it)
{
    hl_bus *const bus = start_with_workers(WORKERS);
    const hl_topic trade = topic(bus, "market_data.trade");
    const hl_topic order = topic(bus, "order.new");
    recorder seen = {0};
    relay self = {.to = order};
    const hl_subscription_options options = async_options(HL_ASYNC_ORDERED, HL_CONTRACT_LOSSLESS);
    hl_subscription *subscription;
    cr_assert_eq(hl_subscribe(bus, "market_data.*", pass_on, &self, &options, &subscription),
                 HL_OK);
    subscribe(bus, "order.*", &seen, NULL);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    publish(feed, trade, 7, 1);
    turn_all(bus);
    cr_assert_eq(self.published, HL_OK);
    assert_values_follow(&seen, 1, 1);
    uint32_t partition;
    cr_assert_eq(hl_bus_partition(bus, "market_data", 0, &partition), HL_OK);
    cr_assert_eq(seen.entries[0].causation_id, hl_event_id_of(partition, 1));
    self.answer = HL_REJECT;
    publish(feed, trade, 7, 2);
    turn_all(bus);
    cr_assert_eq(self.calls, 2);
    cr_assert_eq(seen.count, 1);
    cr_assert_eq(stats_of(subscription).dead_lettered, 1);
    cr_assert_eq(stats_of(subscription).failures, 1);
    assert_conserved(bus);
    manual_stop(bus);
}

Test(async, a_worker_that_publishes_into_a_full_lane_is_told_so)
{
    hl_bus *const bus = start_with_workers(WORKERS);
    const hl_topic trade = topic(bus, "market_data.trade");
    const hl_topic account = topic(bus, "account.limit"); /* of a domain that blocks */
    relay self = {.to = account};
    hl_subscription_options options = async_options(HL_ASYNC_ORDERED, HL_CONTRACT_LOSSLESS);
    options.queue_events = 16;
    cr_assert_eq(hl_subscribe(bus, "market_data.*", pass_on, &self, &options, NULL), HL_OK);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    for (uint64_t i = 0; i < 5; i++)
        publish(feed, trade, 7, i);
    turn_partition(bus, "market_data");
    hl_executor_turn(worker(bus, 0), 4); /* fills the ring of 4 */
    cr_assert_eq(self.published, HL_OK);
    hl_executor_turn(worker(bus, 0), 1);
    cr_assert_eq(self.calls, 5);
    cr_assert_eq(self.published, HL_FULL);
    manual_stop(bus);
}

/* As pass_on, and wants its event again when there was no room. */
static hl_status insist(const hl_event *event, hl_publisher *out, void *context)
{
    const relay *const self = context;
    pass_on(event, out, context);
    return self->published == HL_FULL ? HL_RETRY : HL_OK;
}

Test(async, a_handler_that_finds_no_room_gets_its_event_again_when_there_is)
{
    hl_bus *const bus = start_with_workers(WORKERS);
    const hl_topic trade = topic(bus, "market_data.trade");
    const hl_topic order = topic(bus, "order.new");
    recorder seen = {0};
    relay self = {.to = order};
    hl_subscription_options options = async_options(HL_ASYNC_ORDERED, HL_CONTRACT_LOSSLESS);
    options.queue_events = 16;
    hl_subscription *subscription;
    cr_assert_eq(hl_subscribe(bus, "market_data.*", insist, &self, &options, &subscription), HL_OK);
    subscribe(bus, "order.*", &seen, NULL);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    for (uint64_t i = 1; i <= 6; i++)
        publish(feed, trade, 7, i);
    turn_partition(bus, "market_data");
    hl_executor_turn(worker(bus, 0), 0);
    cr_assert_eq(self.calls, 5, "the ring of 4 is full, and it is not asked again at once");
    cr_assert_eq(stats_of(subscription).handled, 4);
    cr_assert_eq(stats_of(subscription).queued, 2);
    assert_conserved(bus);
    turn_partition(bus, "order");
    hl_executor_turn(worker(bus, 0), 0);
    turn_all(bus);
    assert_values_follow(&seen, 1, 6);
    cr_assert_eq(stats_of(subscription).handled, 6);
    cr_assert_eq(stats_of(subscription).failures, 0);
    assert_conserved(bus);
    manual_stop(bus);
}

Test(async, a_strand_moves_only_when_what_its_last_worker_published_was_taken)
{
    hl_bus *const bus = start_with_workers(WORKERS);
    const hl_topic trade = topic(bus, "market_data.trade");
    const hl_topic order = topic(bus, "order.new");
    recorder seen = {0};
    relay self = {.to = order};
    const hl_subscription_options options = async_options(HL_ASYNC_ORDERED, HL_CONTRACT_LOSSLESS);
    cr_assert_eq(hl_subscribe(bus, "market_data.*", pass_on, &self, &options, NULL), HL_OK);
    subscribe(bus, "order.*", &seen, NULL);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    publish(feed, trade, 7, 1);
    publish(feed, trade, 7, 2);
    turn_partition(bus, "market_data");
    cr_assert_eq(hl_executor_turn(worker(bus, 0), 1), 1);
    cr_assert_eq(hl_executor_turn(worker(bus, 1), 1), 0, "its output could overtake");
    turn_partition(bus, "order");
    cr_assert_eq(hl_executor_turn(worker(bus, 1), 1), 1);
    turn_all(bus);
    assert_values_follow(&seen, 1, 2);
    manual_stop(bus);
}

/* ---- the end ---- */

Test(async, unsubscribing_cancels_and_counts_what_waits)
{
    hl_error error;
    const hl_subscription_options options = async_options(HL_ASYNC_BY_KEY, HL_CONTRACT_LOSSLESS);
    follower f;
    start_follower(&f, "market_data.trade", &options);
    for (uint64_t i = 1; i <= 3; i++)
        publish(f.feed, f.trade, 1, i);
    turn_partition(f.bus, "market_data");
    hl_executor_turn(worker(f.bus, 0), 1);
    cr_assert_eq(hl_unsubscribe(f.subscription, HL_SECOND, &error), HL_OK);
    turn_all(f.bus);
    cr_assert_eq(f.seen.count, 1);
    manual_now_ns += HL_SECOND;
    for (int i = 0; i < 10; i++)
        cr_assert_eq(hl_bus_housekeep(f.bus), HL_OK);
    hl_subscription_stats stats;
    cr_assert_eq(hl_bus_subscription_stats(f.bus, 0, &stats), HL_OK);
    cr_assert(stats.closed);
    cr_assert_eq(stats.delivered, 3);
    cr_assert_eq(stats.handled, 1);
    cr_assert_eq(stats.cancelled, 2);
    cr_assert_eq(stats.queued, 0);
    assert_conserved(f.bus);
    manual_stop(f.bus);
}

typedef struct quitter {
    hl_subscription *subscription;
    uint32_t calls, closed;
} quitter;

static hl_status quit(const hl_event *event, hl_publisher *out, void *context)
{
    quitter *const self = context;
    hl_error error;
    (void)event;
    (void)out;
    self->calls++;
    cr_assert_eq(hl_unsubscribe(self->subscription, HL_SECOND, &error), HL_DEFERRED);
    return HL_OK;
}

static void count_closed(void *context)
{
    ((quitter *)context)->closed++;
}

Test(async, a_handler_may_end_its_own_subscription)
{
    hl_bus *const bus = start_with_workers(WORKERS);
    const hl_topic trade = topic(bus, "market_data.trade");
    quitter self = {0};
    hl_subscription_options options = async_options(HL_ASYNC_ORDERED, HL_CONTRACT_LOSSLESS);
    options.on_closed = count_closed;
    cr_assert_eq(hl_subscribe(bus, "market_data.*", quit, &self, &options, &self.subscription),
                 HL_OK);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    for (uint64_t i = 1; i <= 3; i++)
        publish(feed, trade, 1, i);
    turn_all(bus);
    cr_assert_eq(self.calls, 1);
    cr_assert_eq(self.closed, 1);
    assert_conserved(bus);
    manual_stop(bus);
}

Test(async, stop_drains_the_queues)
{
    const hl_subscription_options options = async_options(HL_ASYNC_ORDERED, HL_CONTRACT_LOSSLESS);
    follower f;
    start_follower(&f, "market_data.trade", &options);
    publish_values(f.feed, f.trade, 1, 3);
    cr_assert_eq(hl_bus_stop(f.bus, HL_SECOND), HL_OK);
    assert_values_follow(&f.seen, 1, 3);
    hl_bus_destroy(f.bus);
}

Test(async, what_a_stop_finds_no_time_for_is_cancelled_and_counted)
{
    const hl_subscription_options options = async_options(HL_ASYNC_UNORDERED, HL_CONTRACT_LOSSLESS);
    follower f;
    start_follower(&f, "market_data.trade", &options);
    publish_values(f.feed, f.trade, 1, 3);
    turn_partition(f.bus, "market_data");
    f.bus->pools[HL_POOL_WORKERS]->active = 0; /* a pool that does nothing */
    cr_assert_eq(hl_bus_stop(f.bus, HL_MILLISECOND), HL_TIMEOUT);
    cr_assert_eq(stats_of(f.subscription).cancelled, 3);
    cr_assert_eq(stats_of(f.subscription).queued, 0);
    assert_conserved(f.bus);
    hl_bus_destroy(f.bus);
}

/* ---- threads ---- */

Test(async, workers_are_threads_of_the_bus_behind_the_partitions)
{
    hl_bus *const bus = start_with_workers(WORKERS);
    static const char *const names[] = {"worker.0", "worker.1", "taps"};
    hl_thread_status status;
    for (uint32_t i = 0; i < WORKERS + 1; i++) {
        cr_assert_eq(hl_bus_thread_status(bus, 8 + i, &status), HL_OK);
        cr_assert_str_eq(status.name, names[i]);
        cr_assert_str_eq(status.role, "worker");
        cr_assert_eq(status.partitions, 0);
    }
    cr_assert_eq(hl_bus_executor_count(bus), 8 + WORKERS + 1);
    hl_publisher *publisher;
    cr_assert_eq(hl_publisher_open(bus, "worker.1", NULL, &publisher), HL_EXISTS);
    manual_stop(bus);
}

/* ---- growing and shrinking ---- */

Test(async, a_worker_above_the_active_ones_takes_nothing_up)
{
    const hl_subscription_options options = async_options(HL_ASYNC_BY_KEY, HL_CONTRACT_LOSSLESS);
    follower f;
    start_follower(&f, "market_data.trade", &options);
    hl_pool_resize(f.bus->pools[HL_POOL_WORKERS], 1);
    for (uint64_t i = 1; i <= 3; i++)
        publish(f.feed, f.trade, 1, i);
    turn_partition(f.bus, "market_data");
    cr_assert_eq(hl_executor_turn(worker(f.bus, 1), 0), 0);
    cr_assert_eq(hl_executor_turn(worker(f.bus, 0), 1), 1);
    hl_pool_resize(f.bus->pools[HL_POOL_WORKERS], 2);
    cr_assert_eq(hl_executor_turn(worker(f.bus, 1), 0), 2);
    assert_values_follow(&f.seen, 1, 3);
    manual_stop(f.bus);
}

/* ---- refusals ---- */

Test(async, options_out_of_range_are_refused)
{
    hl_bus *const bus = start_with_workers(WORKERS);
    hl_subscription_options options = async_options(HL_ASYNC_NONE, HL_CONTRACT_LOSSY);
    assert_refused(bus, &options, HL_INVALID, "of async subscriptions");
    options = async_options(HL_ASYNC_ORDERED, HL_CONTRACT_LOSSLESS);
    options.queue_events = 3;
    assert_refused(bus, &options, HL_INVALID, "queue_events is 3");
    options.queue_events = 1;
    assert_refused(bus, &options, HL_INVALID, "queue_events is 1");
    options = async_options(HL_ASYNC_ORDERED, HL_CONTRACT_EJECT);
    options.eject_behind = 5;
    assert_refused(bus, &options, HL_INVALID, "eject_behind is 5");
    options = async_options(HL_ASYNC_UNORDERED, HL_CONTRACT_LATEST);
    assert_refused(bus, &options, HL_INVALID, "HL_ASYNC_BY_KEY");
    options = async_options(HL_ASYNC_ORDERED, HL_CONTRACT_LATEST);
    options.latest_keys = 0;
    assert_refused(bus, &options, HL_INVALID, "latest_keys is 0");
    options = async_options(HL_ASYNC_ORDERED, HL_CONTRACT_EJECT);
    options.tap = true;
    assert_refused(bus, &options, HL_INVALID, "a tap is lossy");
    hl_retry_options retry = HL_RETRY_OPTIONS_INIT;
    retry.order = HL_RETRY_ORDERED;
    options = async_options(HL_ASYNC_UNORDERED, HL_CONTRACT_LOSSLESS);
    options.retry = &retry;
    assert_refused(bus, &options, HL_INVALID, "no order that could be kept");
    retry.order = HL_RETRY_PASSING;
    options = async_options(HL_ASYNC_ORDERED, HL_CONTRACT_LATEST);
    options.retry = &retry;
    assert_refused(bus, &options, HL_INVALID, "no older value");
    options = async_options((hl_async_order)9, HL_CONTRACT_LOSSLESS);
    assert_refused(bus, &options, HL_INVALID, "async is 9");
    manual_stop(bus);
}

Test(async, a_bus_without_workers_refuses_it)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_subscription_options options = async_options(HL_ASYNC_ORDERED, HL_CONTRACT_LOSSLESS);
    assert_refused(bus, &options, HL_NOT_ALLOWED, "max_workers");
    manual_stop(bus);
}
