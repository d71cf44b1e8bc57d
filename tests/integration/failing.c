/* Handlers that fail in every way there is, of every kind, all at once and on threads: nothing is
 * lost, what is given up is a letter, and the others do not suffer. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "own_bus.h"
#include "tests/random.h"

#define EVENTS (6000u / OWN_SHARE)
#define PLAYED (2400u / OWN_SHARE) /* to each of all those players */

typedef enum behaviour {
    ALWAYS_OK = 0,
    ALWAYS_FAILS,
    ALWAYS_REJECTS,
    RETRIES_AT_FIRST,
    FAILS_AT_RANDOM,
    PUBLISHES_TO_ITS_OWN_TOPIC,
    UNSUBSCRIBES_ITSELF,
    UNSUBSCRIBES_ANOTHER,
    STOPS_THE_BUS,
    BEHAVIOURS
} behaviour;

typedef enum kind {
    INLINE,
    BATCH,
    ASYNC_ORDERED,
    ASYNC_BY_KEY,
    ASYNC_UNORDERED,
    ASYNC_BATCH,
    ASYNC_UNORDERED_BATCH,
    KINDS
} kind;

static const struct {
    hl_async_order async;
    bool is_batch;
} kinds[KINDS] = {[BATCH] = {HL_ASYNC_NONE, true},
                  [ASYNC_ORDERED] = {HL_ASYNC_ORDERED, false},
                  [ASYNC_BY_KEY] = {HL_ASYNC_BY_KEY, false},
                  [ASYNC_UNORDERED] = {HL_ASYNC_UNORDERED, false},
                  [ASYNC_BATCH] = {HL_ASYNC_BY_KEY, true},
                  [ASYNC_UNORDERED_BATCH] = {HL_ASYNC_UNORDERED, true}};

struct stage;

typedef struct player {
    struct stage *stage;
    behaviour way;
    hl_subscription *self;
    hl_subscription *other; /* UNSUBSCRIBES_ANOTHER */
    uint64_t random;        /* several threads' at once, of some kinds: any number will do */
    uint64_t calls;
} player;

typedef struct stage {
    hl_bus *bus;
    hl_topic trade;
    hl_publisher *feed;
    player players[KINDS][BEHAVIOURS];
    player victims[KINDS];
} stage;

static uint64_t next_random(player *self)
{
    uint64_t state = hl_load_relaxed_u64(&self->random);
    const uint64_t random = random_next(&state);
    hl_store_relaxed_u64(&self->random, state);
    return random;
}

/* What went wrong in a handler, where an assertion would end its thread alone. */
static const char *wrong;

static void expect(bool holds, const char *what)
{
    if (!holds)
        hl_store_release_ptr((void **)(void *)&wrong, (void *)(uintptr_t)what);
}

static hl_status unsubscribe_once(hl_subscription **subscription)
{
    hl_subscription *const open = hl_exchange_acq_rel_ptr((void **)(void *)subscription, NULL);
    if (open != NULL)
        expect(hl_unsubscribe(open, 0, NULL) == HL_DEFERRED, "unsubscribe from a handler");
    return HL_FAILED;
}

static hl_status publish_on(player *self, const hl_event *event, hl_publisher *out)
{
    const uint64_t value = own_value(event);
    if (value % 2 != 0)
        return HL_OK; /* what it published itself */
    const uint64_t next = value + 1;
    const hl_status status =
        hl_try_publish(out, self->stage->trade, event->key, &next, sizeof next);
    return status == HL_FULL ? HL_RETRY : status;
}

static hl_status behave(const hl_event *event, hl_publisher *out, void *context)
{
    player *const self = context;
    const uint64_t calls = hl_fetch_add_relaxed_u64(&self->calls, 1) + 1;
    switch (self->way) {
    case ALWAYS_FAILS:
        return hl_fail(event, 7, "call %llu", (unsigned long long)calls);
    case ALWAYS_REJECTS:
        return HL_REJECT;
    case RETRIES_AT_FIRST:
        return event->attempt == 0 ? HL_RETRY : HL_OK;
    case FAILS_AT_RANDOM:
        return next_random(self) % 4 == 0 ? HL_FAILED : HL_OK;
    case PUBLISHES_TO_ITS_OWN_TOPIC:
        return publish_on(self, event, out);
    case UNSUBSCRIBES_ITSELF:
        return calls >= 100 ? unsubscribe_once(&self->self) : HL_FAILED;
    case UNSUBSCRIBES_ANOTHER:
        return calls >= 200 ? unsubscribe_once(&self->other) : HL_FAILED;
    case STOPS_THE_BUS:
        expect(hl_bus_stop(self->stage->bus, 0) == HL_WRONG_THREAD, "stop from a handler");
        return calls % 64 == 0 ? HL_FAILED : HL_OK;
    case ALWAYS_OK:
    case BEHAVIOURS:
        break;
    }
    return HL_OK;
}

static hl_status behave_in_batches(const hl_batch *batch, hl_publisher *out, void *context)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        const hl_status status = behave(batch->events[i], out, context);
        if (status != HL_OK)
            return status;
        if (i % 2 == 0)
            expect(hl_batch_taken(out, i + 1) == HL_OK, "events of a batch taken");
    }
    return HL_OK;
}

static void enter(stage *on, player *self, kind of, behaviour way)
{
    static const hl_retry_order orders[] = {HL_RETRY_ORDERED, HL_RETRY_PASSING};
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    hl_retry_options retry = HL_RETRY_OPTIONS_INIT;
    hl_breaker_options breaker = HL_BREAKER_OPTIONS_INIT;
    char name[32];
    snprintf(name, sizeof name, "kind%d-way%d%s", of, way, self == &on->victims[of] ? "-v" : "");
    retry.base_ns = 50 * HL_MICROSECOND;
    retry.order = kinds[of].async != HL_ASYNC_UNORDERED ? orders[way % 2] : HL_RETRY_PASSING;
    breaker.rest_ns = HL_MILLISECOND;
    breaker.while_open = (hl_breaker_policy)(way % 3);
    options.name = name;
    options.retry = &retry;
    options.breaker = way % 2 == 0 ? NULL : &breaker;
    options.batch = kinds[of].is_batch ? behave_in_batches : NULL;
    options.batch_events = 8;
    options.batch_wait_ns = HL_MILLISECOND;
    options.async = kinds[of].async;
    /* A lossless one that feeds itself would wait for its own queue. */
    if (options.async != HL_ASYNC_NONE && way == PUBLISHES_TO_ITS_OWN_TOPIC)
        options.contract = HL_CONTRACT_LOSSY;
    *self = (player){.stage = on, .way = way, .random = (uint64_t)(of * 100 + way + 1)};
    cr_assert_eq(hl_subscribe(on->bus, "market_data.trade", kinds[of].is_batch ? NULL : behave,
                              self, &options, &self->self),
                 HL_OK);
}

static uint64_t sum_of_letters(hl_bus *bus, uint64_t *ret_handled)
{
    uint64_t dead_lettered = 0;
    hl_subscription_stats row;
    *ret_handled = 0;
    for (uint32_t i = 0; hl_bus_subscription_stats(bus, i, &row) == HL_OK; i++) {
        dead_lettered += row.dead_lettered;
        *ret_handled += row.handled;
    }
    return dead_lettered;
}

static void play(hl_wait wait)
{
    static stage on;
    memset(&on, 0, sizeof on);
    on.bus = own_start_with_workers(wait, 3);
    on.trade = own_topic(on.bus, "market_data.trade", HL_DELTA);
    on.feed = own_publisher(on.bus, "feed", "market_data");
    for (int of = 0; of < KINDS; of++) {
        for (int way = 0; way < BEHAVIOURS; way++)
            enter(&on, &on.players[of][way], (kind)of, (behaviour)way);
        enter(&on, &on.victims[of], (kind)of, ALWAYS_FAILS);
        on.players[of][UNSUBSCRIBES_ANOTHER].other = on.victims[of].self;
    }
    for (uint64_t i = 0; i < PLAYED; i++)
        own_publish(on.feed, on.trade, i % 17, 2 * i);
    hl_error error = {.text = ""};
    const hl_status status = hl_bus_stop(on.bus, 120 * HL_SECOND);
    hl_bus_error(on.bus, &error);
    cr_assert_eq(status, HL_OK, "%s", error.text);
    cr_assert_null(wrong, "%s", wrong);
    for (int of = 0; of < KINDS; of++)
        for (int way = 0; way < BEHAVIOURS; way++)
            cr_assert_gt(on.players[of][way].calls, 0, "kind %d, way %d", of, way);
    uint64_t handled;
    hl_dlq_stats letters;
    hl_dlq_stats_get(hl_bus_dlq(on.bus), &letters);
    cr_assert_eq(letters.added, sum_of_letters(on.bus, &handled), "each is a letter");
    cr_assert_geq(handled, KINDS * PLAYED);
    hl_bus_destroy(on.bus);
}

Test(failing, every_kind_of_handler_may_fail_in_every_way)
{
    play(HL_WAIT_PARK);
    play(HL_WAIT_BACKOFF);
}

/* ---- one that hangs ---- */

static hl_status count_calls(const hl_event *event, hl_publisher *out, void *context)
{
    uint64_t *const calls = context;
    (void)event, (void)out;
    hl_store_release_u64(calls, hl_load_relaxed_u64(calls) + 1);
    return HL_OK;
}

Test(failing, one_that_hangs_is_named_and_holds_up_its_own_partition_alone)
{
    hl_bus *const bus = own_start(HL_WAIT_PARK);
    const hl_topic trade = own_topic(bus, "market_data.trade", HL_DELTA);
    const hl_topic pnl = own_topic(bus, "account.pnl", HL_DELTA);
    own_blocker self = {0, 0, 0};
    uint64_t others = 0;
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.budget_ns = 20 * HL_MILLISECOND;
    hl_subscription *subscription;
    cr_assert_eq(hl_subscribe(bus, "market_data.trade", own_block, &self, &options, &subscription),
                 HL_OK);
    own_subscribe(bus, "account.pnl", count_calls, &others);
    hl_publisher *const feed = own_publisher(bus, "feed", NULL);
    own_publish(feed, trade, 1, 1);
    own_await(&self.entered, 1);
    hl_subscription_stats stats = {.slow = 0};
    for (int i = 0; i < 6000 && stats.slow == 0; i++) {
        usleep(10000);
        hl_subscription_stats_read(subscription, &stats);
    }
    cr_assert_eq(stats.slow, 1, "the housekeeper saw it while it ran");
    cr_assert_eq(stats.running, 1);
    /* Where they share a CPU they share a thread, and wait. */
    hl_thread_status thread;
    cr_assert_eq(hl_bus_thread_status(bus, 0, &thread), HL_OK);
    if (thread.partitions == 1) {
        own_publish(feed, pnl, 1, 1);
        own_await(&others, 1);
    }
    hl_store_release_u64(&self.released, 1);
    own_stop(bus);
}

/* ---- letters come and go ---- */

static hl_status fail_often(const hl_event *event, hl_publisher *out, void *context)
{
    player *const self = context;
    (void)event, (void)out;
    return next_random(self) % 3 != 0 ? HL_REJECT : HL_OK;
}

Test(failing, letters_are_redriven_until_none_is_left)
{
    hl_bus *const bus = own_start(HL_WAIT_PARK);
    const hl_topic order = own_topic(bus, "order.new", HL_DELTA);
    player self = {.random = 99};
    hl_subscription *const subscription = own_subscribe(bus, "order.new", fail_often, &self);
    hl_publisher *const desk = own_publisher(bus, "desk", "order");
    for (uint64_t i = 0; i < EVENTS; i++)
        own_publish(desk, order, i % 5, i);
    hl_error error = {.text = ""};
    hl_subscription_stats stats;
    for (int i = 0; i < 3000; i++) {
        usleep(20000);
        hl_subscription_stats_read(subscription, &stats);
        if (stats.handled == EVENTS)
            break;
        const hl_status status = hl_dlq_redrive(hl_bus_dlq(bus), NULL, NULL, &error);
        cr_assert(status == HL_OK || status == HL_NOT_FOUND, "%s", error.text);
    }
    cr_assert_eq(stats.handled, EVENTS);
    own_stop(bus);
}
