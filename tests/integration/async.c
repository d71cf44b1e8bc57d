/*
 * Async subscriptions with threads: each contract beside stalled, slow and dying consumers; the
 * order of each key while the pool grows and shrinks; unsubscribing under a flood.
 */
#include "own_bus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bus/bus.h"
#include "tests/random.h"

#define KEYS 8u

static hl_subscription_options options_of(hl_async_order async, hl_contract contract)
{
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.async = async;
    options.contract = contract;
    options.queue_events = 64;
    options.eject_behind = 48;
    return options;
}

static hl_subscription *subscribe_async(hl_bus *bus, const char *pattern, hl_handler handler,
                                        void *context, const hl_subscription_options *options)
{
    hl_subscription *subscription = NULL;
    hl_error error;
    const hl_status status = hl_subscribe(bus, pattern, handler, context, options, &subscription);
    hl_bus_error(bus, &error);
    cr_assert_eq(status, HL_OK, "%s", error.text);
    return subscription;
}

/* ---- a consumer that checks what its contract promises ---- */

typedef struct consumer {
    uint64_t last[KEYS];   /* the newest value of each key, from 1 */
    uint64_t seen;         /* events, all atomically: several workers may run it */
    uint64_t lost;         /* told */
    uint64_t ejected;      /* told */
    uint64_t out_of_order; /* counted, for asserts belong to the test's thread */
    useconds_t pause_us;   /* after each event */
    uint32_t stalled;      /* 1: its handler does not return */
    bool gaps;             /* events may be missing */
} consumer;

static hl_status consume(const hl_event *event, hl_publisher *out, void *context)
{
    consumer *const self = context;
    (void)out;
    while (hl_load_acquire_u32(&self->stalled) != 0)
        usleep(100);
    if ((event->flags & HL_EVENT_LOST) != 0) {
        hl_lost lost;
        memcpy(&lost, hl_payload(event), sizeof lost);
        hl_fetch_add_relaxed_u64(&self->lost, lost.count);
    } else if ((event->flags & HL_EVENT_EJECTED) != 0) {
        hl_fetch_add_relaxed_u64(&self->ejected, 1);
    } else {
        const uint64_t before = self->last[event->key], value = own_value(event);
        if (self->gaps ? value <= before : value != before + 1)
            hl_fetch_add_relaxed_u64(&self->out_of_order, 1);
        self->last[event->key] = value;
        hl_fetch_add_release_u64(&self->seen, 1);
    }
    if (self->pause_us != 0)
        usleep(self->pause_us);
    return HL_OK;
}

static void set_stalled(consumer *who, bool stalled)
{
    hl_store_release_u32(&who->stalled, stalled);
}

/* Publishes values 1, 2, ... of each key. */
static void flood(hl_publisher *feed, hl_topic topic, uint64_t first, uint64_t rounds)
{
    for (uint64_t value = first; value < first + rounds; value++)
        for (uint64_t key = 0; key < KEYS; key++)
            own_publish(feed, topic, key, value);
}

static hl_subscription_stats stats_of(const hl_subscription *subscription)
{
    hl_subscription_stats stats;
    hl_subscription_stats_read(subscription, &stats);
    return stats;
}

static void await_handled(const consumer *who, uint64_t events)
{
    own_await(&who->seen, events);
    cr_assert_eq(who->out_of_order, 0);
}

/* ---- all contracts at once ---- */

Test(async, every_contract_keeps_its_word_beside_stalled_and_slow_ones)
{
    const uint64_t rounds = 3000 / OWN_SHARE, events = rounds * KEYS;
    hl_bus *const bus = own_start_with_workers(HL_WAIT_PARK, 6);
    const hl_topic quote = own_topic(bus, "market_data.quote", HL_STATE);
    consumer here = {0}, lossless = {0}, whole = {0};
    consumer slow = {.pause_us = 20, .gaps = true}, latest = {.pause_us = 50, .gaps = true};
    consumer stalled = {.stalled = 1, .gaps = true}, dead_tap = {.stalled = 1, .gaps = true};
    hl_subscription_options options = options_of(HL_ASYNC_BY_KEY, HL_CONTRACT_LOSSLESS);
    own_subscribe(bus, "market_data.quote", consume, &here);
    subscribe_async(bus, "market_data.quote", consume, &lossless, &options);
    options = options_of(HL_ASYNC_ORDERED, HL_CONTRACT_LOSSLESS);
    subscribe_async(bus, ">", consume, &whole, &options);
    options = options_of(HL_ASYNC_ORDERED, HL_CONTRACT_LOSSY);
    hl_subscription *const lossy = subscribe_async(bus, "market_data.*", consume, &slow, &options);
    options = options_of(HL_ASYNC_ORDERED, HL_CONTRACT_LATEST);
    hl_subscription *const newest =
        subscribe_async(bus, "market_data.quote", consume, &latest, &options);
    options = options_of(HL_ASYNC_ORDERED, HL_CONTRACT_EJECT);
    hl_subscription *const ejected =
        subscribe_async(bus, "market_data.quote", consume, &stalled, &options);
    options = options_of(HL_ASYNC_ORDERED, HL_CONTRACT_LOSSY);
    options.tap = true;
    hl_subscription *const tap = subscribe_async(bus, ">", consume, &dead_tap, &options);
    hl_publisher *const feed = own_publisher(bus, "feed", "market_data");
    flood(feed, quote, 1, rounds);
    await_handled(&here, events);
    await_handled(&lossless, events);
    await_handled(&whole, events);
    cr_assert_eq(stats_of(ejected).ejections, 1);
    cr_assert(stats_of(ejected).ejected);
    cr_assert_gt(stats_of(tap).lost, 0);
    set_stalled(&stalled, false);
    set_stalled(&dead_tap, false);
    cr_assert_eq(hl_bus_stop(bus, 60 * HL_SECOND), HL_OK);
    cr_assert_eq(stats_of(lossy).handled + stats_of(lossy).lost, events);
    cr_assert_eq(slow.lost, stats_of(lossy).lost, "all that was lost is told");
    cr_assert_eq(dead_tap.lost, stats_of(tap).lost);
    cr_assert_eq(stats_of(newest).handled + stats_of(newest).conflated, events);
    for (uint32_t key = 0; key < KEYS; key++)
        cr_assert_eq(latest.last[key], rounds, "the newest of each key");
    cr_assert_eq(stalled.ejected, 1);
    cr_assert_eq(slow.out_of_order + latest.out_of_order + stalled.out_of_order, 0);
    hl_bus_destroy(bus);
}

/* ---- each contract alone, and all of them, slow and then well ---- */

static const hl_contract contracts[] = {HL_CONTRACT_LOSSLESS, HL_CONTRACT_LATEST, HL_CONTRACT_LOSSY,
                                        HL_CONTRACT_EJECT};
#define CONTRACTS 4u

typedef struct patient {
    hl_contract contract;
    consumer consumer;
    hl_subscription *subscription;
} patient;

/* It has nothing left to do, and is attached; one that was ejected is told so first. */
static void await_health(const patient *of)
{
    hl_subscription_stats stats = stats_of(of->subscription);
    for (uint32_t tries = 0; stats.queued != 0 || stats.running != 0 || stats.ejected; tries++) {
        cr_assert_lt(tries, 60000, "contract %d: it does not get well", (int)of->contract);
        if (stats.ejected) /* HL_BUSY: it was not told yet */
            (void)hl_subscription_reattach(of->subscription);
        usleep(1000);
        stats = stats_of(of->subscription);
    }
}

static void check_patient(const patient *of, uint64_t rounds)
{
    const hl_subscription_stats stats = stats_of(of->subscription);
    const uint64_t events = rounds * KEYS;
    cr_assert_eq(of->consumer.out_of_order, 0, "contract %d", (int)of->contract);
    for (uint32_t key = 0; key < KEYS; key++)
        cr_assert_eq(of->consumer.last[key], rounds, "contract %d: key %u", (int)of->contract, key);
    cr_assert_eq(of->consumer.lost, of->contract == HL_CONTRACT_LOSSY ? stats.lost : 0);
    switch (of->contract) {
    case HL_CONTRACT_LOSSLESS:
        cr_assert_eq(stats.handled, events);
        break;
    case HL_CONTRACT_LATEST:
        cr_assert_gt(stats.conflated, 0, "it was not slow");
        cr_assert_eq(stats.handled + stats.conflated, events);
        break;
    case HL_CONTRACT_LOSSY:
        cr_assert_gt(stats.lost, 0, "it was not slow");
        cr_assert_eq(stats.handled + stats.lost, events);
        break;
    case HL_CONTRACT_EJECT:
        cr_assert_eq(of->consumer.ejected, stats.ejections);
        cr_assert_gt(stats.ejections, 0, "it was not slow");
        break;
    }
}

/* A flood while they are stalled or slow, then one event of each key when they are well: which all
 * of them get. Lossless ones are only slow, for the flood has to end. */
static void be_slow_and_get_well(patient *patients, uint32_t count)
{
    const uint64_t rounds = 300 / OWN_SHARE + 20;
    hl_bus *const bus = own_start_with_workers(HL_WAIT_PARK, count);
    const hl_topic quote = own_topic(bus, "market_data.quote", HL_STATE);
    for (uint32_t i = 0; i < count; i++) {
        patient *const of = &patients[i];
        const hl_subscription_options options = options_of(HL_ASYNC_ORDERED, of->contract);
        const bool is_lossless = of->contract == HL_CONTRACT_LOSSLESS;
        of->consumer.gaps = !is_lossless;
        of->consumer.pause_us = is_lossless ? 20 : 0;
        of->consumer.stalled = !is_lossless;
        of->subscription =
            subscribe_async(bus, "market_data.quote", consume, &of->consumer, &options);
    }
    hl_publisher *const feed = own_publisher(bus, "feed", "market_data");
    flood(feed, quote, 1, rounds - 1);
    const hl_lane_stats lane = own_lane(bus, "market_data");
    cr_assert_eq(lane.committed, (rounds - 1) * KEYS, "nobody but a lossless one holds it up");
    for (uint32_t i = 0; i < count; i++)
        set_stalled(&patients[i].consumer, false);
    while (own_lane(bus, "market_data").pending != 0)
        usleep(1000);
    for (uint32_t i = 0; i < count; i++)
        await_health(&patients[i]);
    flood(feed, quote, rounds, 1);
    cr_assert_eq(hl_bus_stop(bus, 60 * HL_SECOND), HL_OK);
    for (uint32_t i = 0; i < count; i++)
        check_patient(&patients[i], rounds);
    hl_bus_destroy(bus);
}

Test(async, each_contract_alone_gets_well_after_it_was_slow)
{
    for (uint32_t i = 0; i < CONTRACTS; i++) {
        patient alone = {.contract = contracts[i]};
        be_slow_and_get_well(&alone, 1);
    }
}

Test(async, all_slow_at_once_get_well)
{
    patient all[CONTRACTS];
    for (uint32_t i = 0; i < CONTRACTS; i++)
        all[i] = (patient){.contract = contracts[i]};
    be_slow_and_get_well(all, CONTRACTS);
}

Test(async, a_lossless_one_that_stalls_and_gets_well_has_lost_nothing)
{
    const uint64_t rounds = 2000 / OWN_SHARE, before = 40;
    hl_bus *const bus = own_start_with_workers(HL_WAIT_PARK, 2);
    const hl_topic trade = own_topic(bus, "market_data.trade", HL_DELTA);
    const hl_topic other = own_topic(bus, "market_data.other", HL_DELTA);
    consumer ill = {.stalled = 1}, well = {0};
    hl_subscription_options options = options_of(HL_ASYNC_ORDERED, HL_CONTRACT_LOSSLESS);
    options.name = "the ill one";
    subscribe_async(bus, "market_data.trade", consume, &ill, &options);
    own_subscribe(bus, "market_data.other", consume, &well);
    hl_publisher *const feed = own_publisher(bus, "feed", "market_data");
    hl_publisher *const second = own_publisher(bus, "second", "market_data");
    for (uint64_t i = 0; i < 64 + before; i++)
        own_publish(feed, trade, i % KEYS, 1 + i / KEYS);
    flood(second, other, 1, rounds);
    await_handled(&well, rounds * KEYS);
    cr_assert_str_eq(own_lane(bus, "market_data").held_by, "the ill one");
    set_stalled(&ill, false);
    flood(feed, trade, 1 + (64 + before) / KEYS, rounds);
    await_handled(&ill, rounds * KEYS + 64 + before);
    own_stop(bus);
}

/* ---- order under churn ---- */

static uint64_t chance;

static uint32_t below(uint32_t n)
{
    return (uint32_t)random_below(&chance, n);
}

typedef struct relay {
    hl_topic to;
    uint64_t full; /* events that found no room; their handler asks for nothing more */
    consumer seen;
} relay;

/* Passes each event on, and asks for it again when there is no room: nothing is lost on the way. */
static hl_status pass_on(const hl_event *event, hl_publisher *out, void *context)
{
    relay *const self = context;
    const uint64_t value = own_value(event);
    if (hl_try_publish(out, self->to, event->key, &value, sizeof value) == HL_FULL)
        return HL_RETRY;
    return consume(event, out, &self->seen);
}

typedef struct churn {
    hl_pool *pool;
    uint32_t stop;
    uint64_t changes, random;
} churn;

static void *resize_at_random(void *context)
{
    churn *const self = context;
    uint64_t random = self->random;
    while (hl_load_acquire_u32(&self->stop) == 0) {
        hl_pool_resize(self->pool, 1 + (uint32_t)random_below(&random, self->pool->count));
        self->changes++;
        usleep((useconds_t)random_below(&random, 256));
    }
    return NULL;
}

static void check_order_under_churn(uint64_t seed, hl_async_order async)
{
    const uint64_t rounds = 1500 / OWN_SHARE;
    chance = seed;
    hl_bus *const bus = own_start_with_workers(HL_WAIT_PARK, 4);
    const hl_topic trade = own_topic(bus, "market_data.trade", HL_DELTA);
    relay self = {.to = own_topic(bus, "account.copy", HL_DELTA)};
    consumer behind = {0};
    hl_subscription_options options = options_of(async, HL_CONTRACT_LOSSLESS);
    options.queue_events = 2u << below(6);
    own_subscribe(bus, "account.copy", consume, &behind);
    subscribe_async(bus, "market_data.trade", pass_on, &self, &options);
    churn resizer = {.pool = bus->pools[HL_POOL_WORKERS], .random = seed};
    const pthread_t thread = own_thread(resize_at_random, &resizer);
    hl_publisher *const feed = own_publisher(bus, "feed", "market_data");
    flood(feed, trade, 1, rounds);
    own_await(&self.seen.seen, rounds * KEYS);
    own_await(&behind.seen, rounds * KEYS);
    hl_store_release_u32(&resizer.stop, 1);
    own_join(thread);
    cr_assert_eq(self.seen.out_of_order, 0, "seed %lu", seed);
    cr_assert_eq(behind.out_of_order, 0, "seed %lu: what the handlers published", seed);
    cr_assert_gt(resizer.changes, 0);
    own_stop(bus);
}

Test(async, the_order_of_each_key_outlives_growing_and_shrinking)
{
    const uint64_t first = random_seed((uint64_t)time(NULL));
    for (uint64_t seed = first; seed < first + 6; seed++) {
        printf("HOTLANE_SEED=%lu\n", seed);
        check_order_under_churn(seed, seed % 3 == 0 ? HL_ASYNC_ORDERED : HL_ASYNC_BY_KEY);
    }
}

/* ---- cycles ---- */

/* Publishes its event again, with one less, to the topic that it came from. */
static hl_status go_round(const hl_event *event, hl_publisher *out, void *context)
{
    relay *const self = context;
    const uint64_t value = own_value(event) - 1;
    if (own_value(event) != 0 &&
        hl_try_publish(out, self->to, event->key + 1, &value, sizeof value) == HL_FULL)
        hl_fetch_add_relaxed_u64(&self->full, 1);
    hl_fetch_add_release_u64(&self->seen.seen, 1);
    return HL_OK;
}

Test(async, lossless_handlers_that_feed_themselves_never_deadlock)
{
    hl_bus *const bus = own_start_with_workers(HL_WAIT_PARK, 2);
    relay self = {.to = own_topic(bus, "market_data.trade", HL_DELTA)};
    hl_subscription_options options = options_of(HL_ASYNC_BY_KEY, HL_CONTRACT_LOSSLESS);
    options.queue_events = 2;
    subscribe_async(bus, "market_data.trade", go_round, &self, &options);
    hl_publisher *const feed = own_publisher(bus, "feed", "market_data");
    for (uint64_t i = 0; i < 200; i++)
        own_publish(feed, self.to, i, 20);
    own_stop(bus);
    cr_assert_geq(self.seen.seen, 200);
}

/* The same, asking for the event again when there is no room, which there cannot be before it has
 * ended. */
static hl_status go_round_or_wait(const hl_event *event, hl_publisher *out, void *context)
{
    relay *const self = context;
    const uint64_t value = own_value(event) - 1;
    if (own_value(event) != 0 &&
        hl_try_publish(out, self->to, event->key + 1, &value, sizeof value) == HL_FULL)
        return HL_RETRY;
    hl_fetch_add_release_u64(&self->seen.seen, 1);
    return HL_OK;
}

Test(async, lossless_handlers_that_wait_for_themselves_never_deadlock)
{
    hl_bus *const bus = own_start_with_workers(HL_WAIT_PARK, 2);
    relay self = {.to = own_topic(bus, "market_data.trade", HL_DELTA)};
    hl_subscription_options options = options_of(HL_ASYNC_BY_KEY, HL_CONTRACT_LOSSLESS);
    options.queue_events = 2;
    hl_subscription *const circle =
        subscribe_async(bus, "market_data.trade", go_round_or_wait, &self, &options);
    hl_publisher *const feed = own_publisher(bus, "feed", "market_data");
    for (uint64_t i = 0; i < 200; i++)
        own_publish(feed, self.to, i, 20);
    cr_assert_eq(hl_bus_stop(bus, 60 * HL_SECOND), HL_OK);
    const hl_subscription_stats stats = stats_of(circle);
    cr_assert_eq(stats.delivered, stats.handled + stats.dead_lettered + stats.skipped);
    cr_assert_eq(stats.handled, self.seen.seen);
    hl_bus_destroy(bus);
}

/* ---- ends ---- */

typedef struct guest {
    uint64_t calls; /* freed right after hl_unsubscribe */
} guest;

static hl_status visit(const hl_event *event, hl_publisher *out, void *context)
{
    guest *const self = context;
    (void)out;
    hl_fetch_add_relaxed_u64(&self->calls, 1 + event->key / KEYS);
    return HL_OK;
}

Test(async, one_may_unsubscribe_under_a_flood_and_free_its_context)
{
    const uint64_t tries = 400 / OWN_SHARE;
    hl_bus *const bus = own_start_with_workers(HL_WAIT_PARK, 3);
    const hl_topic quote = own_topic(bus, "market_data.quote", HL_STATE);
    hl_publisher *const feed = own_publisher(bus, "feed", "market_data");
    uint64_t value = 1;
    hl_error error;
    for (uint64_t i = 0; i < tries; i++) {
        hl_subscription_options options =
            options_of((hl_async_order)(HL_ASYNC_UNORDERED + i % 3), (hl_contract)(i / 3 % 4));
        options.tap = i % 7 == 0 && options.contract == HL_CONTRACT_LOSSY;
        if (options.contract == HL_CONTRACT_LATEST && options.async == HL_ASYNC_UNORDERED)
            options.async = HL_ASYNC_BY_KEY;
        guest *const context = calloc(1, sizeof *context);
        hl_subscription *const subscription =
            subscribe_async(bus, "market_data.*", visit, context, &options);
        flood(feed, quote, value, 1 + i % 10);
        value += 1 + i % 10;
        cr_assert_eq(hl_unsubscribe(subscription, 60 * HL_SECOND, &error), HL_OK);
        memset(context, 0xff, sizeof *context);
        free(context);
    }
    own_stop(bus);
}

Test(async, one_handler_that_hangs_does_not_hold_up_anothers_end)
{
    hl_bus *const bus = own_start_with_workers(HL_WAIT_PARK, 2);
    const hl_topic trade = own_topic(bus, "market_data.trade", HL_DELTA);
    consumer hangs = {.stalled = 1, .gaps = true}, well = {0};
    hl_subscription_options options = options_of(HL_ASYNC_ORDERED, HL_CONTRACT_LOSSLESS);
    hl_subscription *const stuck =
        subscribe_async(bus, "market_data.trade", consume, &hangs, &options);
    hl_subscription *const other =
        subscribe_async(bus, "market_data.trade", consume, &well, &options);
    hl_publisher *const feed = own_publisher(bus, "feed", "market_data");
    flood(feed, trade, 1, 4);
    await_handled(&well, 4 * KEYS);
    hl_error error;
    cr_assert_eq(hl_unsubscribe(other, 60 * HL_SECOND, &error), HL_OK);
    cr_assert_eq(hl_unsubscribe(stuck, HL_MILLISECOND, &error), HL_TIMEOUT);
    set_stalled(&hangs, false);
    cr_assert_eq(hl_unsubscribe(stuck, 60 * HL_SECOND, &error), HL_OK);
    own_stop(bus);
}
