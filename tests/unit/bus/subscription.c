#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "manual_bus.h"
#include "ring/order.h"

static hl_status try_subscribe(hl_bus *bus, const char *pattern,
                               const hl_subscription_options *options)
{
    static recorder seen;
    hl_subscription *subscription = NULL;
    const hl_status status = hl_subscribe(bus, pattern, record, &seen, options, &subscription);
    cr_assert_eq(subscription == NULL, status != HL_OK, "untouched on failure");
    return status;
}

/* ---- what is refused ---- */

Test(subscription, malformed_patterns_and_options_are_refused_with_a_sentence)
{
    hl_bus *const bus = manual_create(NULL);
    hl_subscription *subscription;
    cr_assert_eq(try_subscribe(bus, NULL, NULL), HL_INVALID);
    cr_assert_eq(try_subscribe(bus, "order..new", NULL), HL_INVALID);
    assert_sentence(bus, HL_INVALID, "empty token");
    cr_assert_eq(try_subscribe(bus, "order.>.new", NULL), HL_INVALID);
    assert_sentence(bus, HL_INVALID, "at the end");
    cr_assert_eq(try_subscribe(bus, "order.n*", NULL), HL_INVALID);
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.size++;
    cr_assert_eq(try_subscribe(bus, "order.new", &options), HL_INVALID);
    assert_sentence(bus, HL_INVALID, "HL_SUBSCRIPTION_OPTIONS_INIT");
    options = (hl_subscription_options)HL_SUBSCRIPTION_OPTIONS_INIT;
    options.batch = record_batch;
    cr_assert_eq(try_subscribe(bus, "order.new", &options), HL_INVALID);
    assert_sentence(bus, HL_INVALID, "one of the two");
    cr_assert_eq(hl_subscribe(bus, "order.new", NULL, NULL, NULL, &subscription), HL_INVALID);
    assert_sentence(bus, HL_INVALID, "one of the two");
    static const uint32_t sizes[] = {0, 65537};
    for (int i = 0; i < 2; i++) {
        options.batch_events = sizes[i];
        cr_assert_eq(hl_subscribe(bus, "order.new", NULL, NULL, &options, &subscription),
                     HL_INVALID);
        assert_sentence(bus, HL_INVALID, "batch_events");
    }
    cr_assert_eq(try_subscribe(bus, "weather.rain", NULL), HL_UNKNOWN_DOMAIN);
    assert_sentence(bus, HL_UNKNOWN_DOMAIN, "weather.rain");
    hl_bus_destroy(bus);
}

Test(subscription, what_spans_partitions_must_say_concurrent)
{
    hl_bus *const bus = manual_create(NULL);
    static const char *const patterns[] = {">", "*", "*.new", "spread.level", "spread.>"};
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.concurrent = true;
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        cr_assert_eq(try_subscribe(bus, patterns[i], NULL), HL_SPANS_PARTITIONS, "%s", patterns[i]);
        assert_sentence(bus, HL_SPANS_PARTITIONS, "concurrent");
        cr_assert_eq(try_subscribe(bus, patterns[i], &options), HL_OK, "%s", patterns[i]);
    }
    cr_assert_eq(try_subscribe(bus, "order.>", NULL), HL_OK);
    cr_assert_eq(try_subscribe(bus, "order.>", &options), HL_OK);
    hl_bus_destroy(bus);
}

Test(subscription, an_initial_image_needs_a_state_topic)
{
    hl_bus *const bus = manual_create(NULL);
    topic(bus, "market_data.trade");
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.initial_image = true;
    cr_assert_eq(try_subscribe(bus, "market_data.*", &options), HL_NOT_ALLOWED);
    assert_sentence(bus, HL_NOT_ALLOWED, "HL_STATE");
    topic_of_kind(bus, "market_data.quote", HL_STATE);
    cr_assert_eq(try_subscribe(bus, "market_data.trade", &options), HL_NOT_ALLOWED);
    cr_assert_eq(try_subscribe(bus, "market_data.*", &options), HL_OK);
    hl_bus_destroy(bus);
}

Test(subscription, max_subscriptions_is_the_most_open_at_one_time)
{
    hl_config config = manual_config();
    config.max_subscriptions = 2;
    static recorder seen;
    for (int started = 0; started < 2; started++) {
        hl_bus *const bus = started ? manual_start(&config) : manual_create(&config);
        subscribe(bus, "order.a", &seen, NULL);
        for (int i = 0; i < 10; i++) {
            hl_subscription *const second = subscribe(bus, "order.b", &seen, NULL);
            cr_assert_eq(try_subscribe(bus, "order.c", NULL), HL_LIMIT);
            assert_sentence(bus, HL_LIMIT, "max_subscriptions");
            cr_assert_eq(hl_unsubscribe(second, HL_SECOND, NULL), HL_OK);
        }
        hl_bus_destroy(bus);
    }
}

Test(subscription, none_is_taken_after_the_stop)
{
    hl_bus *const bus = manual_start(NULL);
    static recorder seen;
    hl_subscription *const before = subscribe(bus, "order.new", &seen, NULL);
    cr_assert_eq(hl_bus_stop(bus, HL_SECOND), HL_OK);
    cr_assert_eq(try_subscribe(bus, "order.new", NULL), HL_CLOSED);
    cr_assert_eq(hl_unsubscribe(before, HL_SECOND, NULL), HL_OK, "but one may end");
    hl_bus_destroy(bus);
}

/* ---- coming ---- */

Test(subscription, it_begins_at_a_sequence_of_each_partition)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    for (uint64_t value = 1; value <= 3; value++)
        publish(feed, trade, 1, value);
    turn_all(bus);
    static recorder seen;
    const hl_subscription *const s = subscribe(bus, "market_data.trade", &seen, NULL);
    uint64_t start = 99;
    cr_assert_eq(hl_subscription_start(s, 0, &start), HL_NOT_FOUND);
    publish(feed, trade, 1, 4);
    turn_all(bus);
    cr_assert_eq(hl_subscription_start(s, 0, &start), HL_OK);
    cr_assert_eq(start, 3);
    cr_assert_eq(hl_subscription_start(s, 1, &start), HL_NOT_FOUND, "it never reaches that one");
    cr_assert_eq(hl_subscription_start(s, UINT32_MAX, &start), HL_NOT_FOUND);
    assert_values_follow(&seen, 4, 1);
    manual_stop(bus);
}

Test(subscription, what_is_committed_after_it_returned_is_delivered)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    static recorder seen[8];
    for (uint64_t value = 0; value < 8; value++) {
        subscribe(bus, "market_data.trade", &seen[value], NULL);
        publish(feed, trade, 1, value);
    }
    turn_all(bus);
    for (uint64_t value = 0; value < 8; value++) {
        cr_assert_geq(seen[value].count, 8 - value);
        cr_assert_eq(seen[value].entries[seen[value].count - 1].value, 7);
    }
    manual_stop(bus);
}

Test(subscription, its_name_is_the_pattern_or_the_one_given)
{
    hl_bus *const bus = manual_create(NULL);
    static recorder seen;
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    char name[] = "risk";
    options.name = name;
    cr_assert_str_eq(stats_of(subscribe(bus, "order.*", &seen, NULL)).name, "order.*");
    const hl_subscription *const risk = subscribe(bus, "order.*", &seen, &options);
    memset(name, 'x', 4);
    cr_assert_str_eq(stats_of(risk).name, "risk", "copied");
    cr_assert_str_eq(stats_of(risk).pattern, "order.*");
    hl_bus_destroy(bus);
}

/* ---- going ---- */

Test(subscription, after_unsubscribe_the_handler_does_not_run)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    for (int round = 0; round < 100; round++) {
        recorder *const seen = calloc(1, sizeof *seen);
        hl_subscription *const s = subscribe(bus, "market_data.*", seen, NULL);
        publish(feed, trade, 1, 1);
        if (round % 2 == 0)
            turn_all(bus);
        publish(feed, trade, 1, 2);
        cr_assert_eq(hl_unsubscribe(s, 0, NULL), HL_OK, "nothing runs");
        cr_assert_eq(seen->count, round % 2 == 0 ? 1 : 0);
        free(seen);
        turn_all(bus);
    }
    manual_stop(bus);
}

typedef struct blocker {
    uint32_t entered, released;
} blocker;

static hl_status block(const hl_event *event, hl_publisher *out, void *context)
{
    (void)event;
    (void)out;
    blocker *const self = context;
    hl_store_release_u32(&self->entered, 1);
    while (hl_load_acquire_u32(&self->released) == 0)
        sched_yield();
    return HL_OK;
}

static void *turn_market_data(void *bus)
{
    turn(bus, "market_data", 0);
    return NULL;
}

Test(subscription, unsubscribe_waits_its_time_for_a_handler_that_runs_and_names_it)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    blocker slow = {0};
    hl_subscription *subscription;
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.name = "slow one";
    cr_assert_eq(hl_subscribe(bus, "market_data.trade", block, &slow, &options, &subscription),
                 HL_OK);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    publish(feed, trade, 1, 1);
    publish(feed, trade, 1, 2);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, turn_market_data, bus), 0);
    while (hl_load_acquire_u32(&slow.entered) == 0)
        sched_yield();
    for (int i = 0; i < 2; i++) {
        hl_error error;
        cr_assert_eq(hl_unsubscribe(subscription, HL_MILLISECOND, &error), HL_TIMEOUT);
        cr_assert_eq(error.status, HL_TIMEOUT);
        cr_assert_not_null(strstr(error.text, "slow one"), "%s", error.text);
    }
    cr_assert_eq(hl_unsubscribe(subscription, 0, NULL), HL_TIMEOUT);
    hl_store_release_u32(&slow.released, 1);
    cr_assert_eq(hl_unsubscribe(subscription, HL_SECOND, NULL), HL_OK);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    turn_all(bus);
    hl_subscription_stats row;
    cr_assert_eq(hl_bus_subscription_stats(bus, 0, &row), HL_OK);
    cr_assert_eq(row.delivered, 1, "no further event reached it");
    manual_stop(bus);
}

/* ---- from inside a handler ---- */

typedef struct leaver {
    hl_subscription *subscription;
    hl_subscription *other; /* ended too, when set */
    hl_status status;
    uint32_t calls, closed;
} leaver;

static void count_closed(void *context)
{
    ((leaver *)context)->closed++;
}

static hl_status leave(const hl_event *event, hl_publisher *out, void *context)
{
    (void)event;
    (void)out;
    leaver *const self = context;
    self->calls++;
    self->status = hl_unsubscribe(self->subscription, HL_SECOND, NULL);
    if (self->other != NULL)
        cr_assert_eq(hl_unsubscribe(self->other, HL_SECOND, NULL), HL_DEFERRED);
    return HL_OK;
}

static hl_status count_call(const hl_event *event, hl_publisher *out, void *context)
{
    (void)event;
    (void)out;
    ((leaver *)context)->calls++;
    return HL_OK;
}

Test(subscription, unsubscribe_from_a_handler_is_deferred_and_told_once)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    leaver first = {0}, second = {0};
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.on_closed = count_closed;
    cr_assert_eq(
        hl_subscribe(bus, "market_data.trade", leave, &first, &options, &first.subscription),
        HL_OK);
    cr_assert_eq(
        hl_subscribe(bus, "market_data.trade", count_call, &second, &options, &second.subscription),
        HL_OK);
    first.other = second.subscription;
    publish(feed, trade, 1, 1);
    publish(feed, trade, 1, 2);
    turn_all(bus);
    cr_assert_eq(first.status, HL_DEFERRED);
    cr_assert_eq(first.calls, 1, "not even the rest of the run");
    cr_assert_eq(first.closed, 1);
    cr_assert_eq(second.closed, 1);
    cr_assert_leq(second.calls, 1);
    manual_stop(bus);
    cr_assert_eq(first.closed, 1);
    cr_assert_eq(second.closed, 1);
}

Test(subscription, on_closed_comes_with_the_stop_at_the_latest)
{
    for (int destroy = 0; destroy < 2; destroy++) {
        hl_bus *const bus = manual_start(NULL);
        const hl_topic trade = topic(bus, "market_data.trade");
        hl_publisher *const feed = open_publisher(bus, "feed", NULL);
        leaver self = {0};
        hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
        options.on_closed = count_closed;
        cr_assert_eq(
            hl_subscribe(bus, "market_data.trade", leave, &self, &options, &self.subscription),
            HL_OK);
        publish(feed, trade, 1, 1);
        turn(bus, "market_data", 1);
        cr_assert_eq(self.calls, 1);
        if (destroy)
            hl_bus_destroy(bus);
        else
            manual_stop(bus);
        cr_assert_eq(self.closed, 1, "destroyed: %d", destroy);
    }
}

static hl_status hand_over(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    leaver *const self = context;
    self->calls++;
    return event->sequence == 2
               ? hl_unsubscribe(self->subscription, 0, NULL) == HL_DEFERRED ? HL_OK : HL_FAILED
               : HL_OK;
}

Test(subscription, an_end_that_timed_out_may_be_finished_from_a_handler)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade"), order = topic(bus, "order.new");
    blocker slow = {0};
    hl_subscription *blocking, *finishing;
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    cr_assert_eq(hl_subscribe(bus, "market_data.trade", block, &slow, &options, &blocking), HL_OK);
    leaver finisher = {.subscription = blocking};
    cr_assert_eq(hl_subscribe(bus, "order.new", hand_over, &finisher, NULL, &finishing), HL_OK);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    publish(feed, trade, 1, 1);
    publish(feed, order, 1, 1);
    publish(feed, order, 1, 2);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, turn_market_data, bus), 0);
    while (hl_load_acquire_u32(&slow.entered) == 0)
        sched_yield();
    cr_assert_eq(hl_unsubscribe(blocking, 0, NULL), HL_TIMEOUT);
    cr_assert_eq(turn(bus, "order", 0), 2);
    cr_assert_eq(stats_of(finishing).failures, 0);
    hl_store_release_u32(&slow.released, 1);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    turn_all(bus);
    manual_stop(bus);
}

typedef struct inviter {
    hl_bus *bus;
    recorder *guest;
    hl_status status;
    hl_subscription *subscription;
} inviter;

static hl_status invite(const hl_event *event, hl_publisher *out, void *context)
{
    (void)event;
    (void)out;
    inviter *const self = context;
    if (self->subscription == NULL)
        self->status = hl_subscribe(self->bus, "market_data.>", record, self->guest, NULL,
                                    &self->subscription);
    return HL_OK;
}

Test(subscription, a_handler_may_subscribe)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    static recorder guest;
    inviter self = {.bus = bus, .guest = &guest};
    hl_subscription *subscription;
    cr_assert_eq(hl_subscribe(bus, "market_data.trade", invite, &self, NULL, &subscription), HL_OK);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    for (uint64_t value = 1; value <= 3; value++)
        publish(feed, trade, 1, value);
    turn_all(bus);
    cr_assert_eq(self.status, HL_OK);
    assert_values_follow(&guest, 2, 2);
    manual_stop(bus);
}

static hl_status declare_and_open(const hl_event *event, hl_publisher *out, void *context)
{
    (void)event;
    inviter *const self = context;
    const hl_topic late = topic(self->bus, "order.late");
    hl_publisher_close(open_publisher(self->bus, "inner", "order"));
    cr_assert_eq(hl_bus_stop(self->bus, 0), HL_WRONG_THREAD);
    cr_assert_eq(hl_executor_turn(hl_bus_executor(self->bus, 1), 0), 0, "no turn within a turn");
    self->status = hl_try_publish(out, late, 1, NULL, 0);
    return HL_OK;
}

Test(subscription, a_handler_may_declare_a_topic_and_publish_to_it)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    static recorder orders;
    inviter self = {.bus = bus, .status = HL_FAILED};
    hl_subscription *subscription;
    cr_assert_eq(
        hl_subscribe(bus, "market_data.trade", declare_and_open, &self, NULL, &subscription),
        HL_OK);
    subscribe(bus, "order.*", &orders, NULL);
    publish(open_publisher(bus, "feed", NULL), trade, 1, 1);
    turn_all(bus);
    cr_assert_eq(self.status, HL_OK);
    cr_assert_eq(orders.count, 1);
    manual_stop(bus);
}
