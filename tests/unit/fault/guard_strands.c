/* What becomes of an event whose handler fails on a worker, and of batches there; on a bus turned
 * by hand. */
#include <stdlib.h>
#include <string.h>

#include "bus/bus.h"
#include "clinic.h"
#include "tests/random.h"

#define KEYS 5

/* ---- want of room ---- */

/* The lane that it publishes to has 4 slots, and 16 events come before anyone takes what is there.
 */
Test(guard_strands, want_of_room_costs_no_attempt_of_any_kind)
{
    static clinic c;
    for (size_t of = 0; of < CLINIC_KINDS; of++) {
        const hl_retry_options none = {.size = sizeof none,
                                       .factor_percent = 200,
                                       .cap_ns = HL_SECOND,
                                       .base_ns = HL_MILLISECOND};
        hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
        recorder seen = {0};
        options.retry = &none;
        clinic_open(&c, &clinic_kinds[of], options, clinic_pass_on);
        subscribe(c.bus, "account.*", &seen, NULL);
        for (uint64_t round = 0; round < 2; round++) {
            for (uint64_t i = 0; i < 8; i++)
                publish(c.feed, c.quote, 8 * round + i, i);
            turn(c.bus, "market_data", 0);
        }
        clinic_pass(&c, 20);
        cr_assert_eq(stats_of(c.patient.subscription).handled, 16, "%s: %lu", clinic_kinds[of].name,
                     (unsigned long)stats_of(c.patient.subscription).handled);
        cr_assert_eq(seen.count, 16, "%s", clinic_kinds[of].name);
        clinic_close(&c);
    }
}

/* ---- traces ---- */

/* By event and attempt alone, so that it does not matter who calls when. */
static hl_status fail_by_chance(const hl_event *event, hl_publisher *out, patient *self)
{
    (void)out;
    const uint64_t chance =
        random_mix(self->seed ^ random_mix(event->sequence) ^ event->attempt) % 10;
    return chance < 5 ? HL_OK : chance < 7 ? HL_RETRY : chance < 9 ? HL_FAILED : HL_REJECT;
}

/* Of each key, no event is called before an earlier one has its outcome. */
static void assert_keys_in_order(const patient *of, const char *name, uint64_t seed)
{
    for (uint64_t key = 0; key < KEYS; key++) {
        uint64_t last = 0;
        for (uint32_t i = 0; i < of->calls; i++) {
            if (of->log[i].key != key)
                continue;
            cr_assert_geq(of->log[i].sequence, last, "%s: key %lu, seed %lu", name,
                          (unsigned long)key, (unsigned long)seed);
            last = of->log[i].sequence;
        }
    }
}

/* A step of the trace: one thing that some thread or clock does. */
static void step(clinic *c, uint64_t *random, uint64_t *value)
{
    hl_pool *const pool = c->bus->pools[HL_POOL_WORKERS];
    switch (random_below(random, 6)) {
    case 0:
    case 1:
        for (uint64_t i = random_below(random, 4); i > 0; i--) {
            const hl_status status =
                hl_try_publish(c->feed, c->quote, random_below(random, KEYS), value, sizeof *value);
            cr_assert(status == HL_OK || status == HL_FULL);
            *value += status == HL_OK;
        }
        break;
    case 2:
        turn(c->bus, "market_data", 1 + (uint32_t)random_below(random, 8));
        break;
    case 3:
        manual_now_ns += random_below(random, 2 * HL_MILLISECOND);
        break;
    case 4:
        if (random_below(random, 8) == 0)
            hl_pool_resize(pool, 1 + (uint32_t)random_below(random, CLINIC_WORKERS));
        if (random_below(random, 16) == 0)
            hl_bus_housekeep(c->bus);
        break;
    default:
        hl_executor_turn(pool->workers[random_below(random, CLINIC_WORKERS)].executor,
                         1 + (uint32_t)random_below(random, 8));
        break;
    }
}

static void play_trace(uint64_t seed)
{
    static clinic c;
    uint64_t random = seed, value = 0;
    const clinic_kind *const of = &clinic_kinds[seed % CLINIC_KINDS];
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    hl_breaker_options breaker = HL_BREAKER_OPTIONS_INIT;
    const bool is_ordered = of->async != HL_ASYNC_UNORDERED &&
                            (of->contract == HL_CONTRACT_LATEST || random_below(&random, 2) == 0);
    hl_retry_options retry = clinic_retry(is_ordered ? HL_RETRY_ORDERED : HL_RETRY_PASSING);
    retry.seed = seed;
    retry.base_ns = random_below(&random, 2) * HL_MILLISECOND;
    breaker.failures = 3;
    breaker.of_last = 6;
    breaker.rest_ns = 2 * HL_MILLISECOND;
    breaker.while_open = (hl_breaker_policy)random_below(&random, 3);
    breaker.hold_events = 1 + (uint32_t)random_below(&random, 12);
    options.retry = &retry;
    options.breaker = random_below(&random, 2) == 0 ? &breaker : NULL;
    options.batch_wait_ns = random_below(&random, 2) * HL_MILLISECOND;
    clinic_open(&c, of, options, fail_by_chance);
    c.patient.seed = seed;
    for (int i = 0; i < 1500; i++)
        step(&c, &random, &value);
    clinic_pass(&c, 150); /* windows of sampling, too */
    const hl_subscription_stats stats = stats_of(c.patient.subscription);
    /* State topics may be sampled on the way. */
    const uint64_t sampled = lane_stats(c.bus, "market_data", HL_NORMAL).conflated;
    cr_assert_eq(stats.delivered + sampled, value, "seed %lu", (unsigned long)seed);
    cr_assert_eq(stats.in_retry + stats.queued + stats.running, 0,
                 "seed %lu: %lu in retry, %lu queued, %lu running", (unsigned long)seed,
                 (unsigned long)stats.in_retry, (unsigned long)stats.queued,
                 (unsigned long)stats.running);
    cr_assert_eq(stats.handled, c.patient.handled, "seed %lu", (unsigned long)seed);
    cr_assert_gt(stats.handled, 0, "seed %lu", (unsigned long)seed);
    if (is_ordered)
        assert_keys_in_order(&c.patient, of->name, seed);
    clinic_close(&c);
}

Test(guard_strands, whatever_fails_nothing_is_lost_and_keys_keep_their_order)
{
    const uint64_t first = random_seed(1);
    const uint64_t count = random_seed_is_given() ? 1 : getenv("HOTLANE_LONG") != NULL ? 5000 : 100;
    for (uint64_t seed = first; seed < first + count; seed++)
        play_trace(seed);
}

/* ---- retries on workers ---- */

static hl_executor *worker(const clinic *c, uint32_t index)
{
    return c->bus->pools[HL_POOL_WORKERS]->workers[index].executor;
}

static hl_status fail_first_of_key_1(const hl_event *event, hl_publisher *out, patient *self)
{
    (void)out, (void)self;
    return event->key == 1 && event->sequence == 1 && event->attempt < 2 ? HL_FAILED : HL_OK;
}

Test(guard_strands, who_fails_may_leave_another_tries_again)
{
    static clinic c;
    const hl_retry_options retry = clinic_retry(HL_RETRY_ORDERED);
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.retry = &retry;
    clinic_open(&c, &clinic_kinds[CLINIC_BY_KEY], options, fail_first_of_key_1);
    for (uint64_t i = 0; i < 4; i++)
        publish(c.feed, c.quote, 1, i);
    turn(c.bus, "market_data", 0);
    cr_assert_eq(hl_executor_turn(worker(&c, 2), 0), 1);
    cr_assert_eq(stats_of(c.patient.subscription).in_retry, 1);
    cr_assert_eq(stats_of(c.patient.subscription).held, 3, "those of its key wait");
    hl_pool_resize(c.bus->pools[HL_POOL_WORKERS], 1);
    for (int i = 0; i < 10; i++) {
        manual_now_ns += HL_MILLISECOND;
        cr_assert_eq(hl_executor_turn(worker(&c, 2), 0), 0, "it takes nothing up any more");
        hl_executor_turn(worker(&c, 0), 0);
    }
    cr_assert_eq(stats_of(c.patient.subscription).handled, 4);
    assert_keys_in_order(&c.patient, "by key", 0);
    clinic_close(&c);
}

Test(guard_strands, what_finds_no_room_to_wait_is_a_letter_that_says_so)
{
    static clinic c;
    const hl_retry_options retry = clinic_retry(HL_RETRY_PASSING);
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.retry = &retry;
    clinic_open(&c, &clinic_kinds[CLINIC_UNORDERED], options, clinic_fail);
    for (uint64_t i = 0; i < 20; i++) {
        publish(c.feed, c.quote, i, i);
        turn(c.bus, "market_data", 0);
        hl_executor_turn(worker(&c, (uint32_t)(i % CLINIC_WORKERS)), 0);
    }
    cr_assert_eq(stats_of(c.patient.subscription).in_retry, 16, "retry_events");
    cr_assert_eq(stats_of(c.patient.subscription).dead_lettered, 4);
    clinic_close(&c);
}

Test(guard_strands, an_unsubscribe_cancels_what_waits)
{
    static clinic c;
    const hl_retry_options retry = clinic_retry(HL_RETRY_ORDERED);
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.retry = &retry;
    clinic_open(&c, &clinic_kinds[CLINIC_BY_KEY], options, clinic_fail);
    for (uint64_t i = 0; i < 5; i++)
        publish(c.feed, c.quote, i % 2, i);
    turn_all(c.bus);
    hl_unsubscribe(c.patient.subscription, 0, NULL);
    turn_all(c.bus);
    cr_assert_eq(hl_unsubscribe(c.patient.subscription, HL_SECOND, NULL), HL_OK);
    hl_bus_housekeep(c.bus);
    hl_subscription_stats row;
    cr_assert_eq(hl_bus_subscription_stats(c.bus, 0, &row), HL_OK);
    cr_assert_eq(row.cancelled, 5);
    clinic_close(&c);
}

static hl_status leave_at_second(const hl_event *event, hl_publisher *out, patient *self)
{
    (void)event, (void)out;
    if (self->calls == 2)
        cr_assert_eq(hl_unsubscribe(self->subscription, 0, NULL), HL_DEFERRED);
    return self->calls == 1 ? HL_FAILED : HL_OK;
}

/* Guarded by then, so that a batch is handed over one by one. */
Test(guard_strands, who_leaves_by_itself_gets_nothing_more)
{
    static clinic c;
    for (size_t of = CLINIC_UNORDERED; of < CLINIC_KINDS; of++) {
        const hl_retry_options retry = clinic_retry(HL_RETRY_ORDER_OF_DOMAIN);
        const hl_breaker_options breaker = HL_BREAKER_OPTIONS_INIT;
        hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
        options.retry = &retry;
        options.breaker = &breaker;
        options.batch_wait_ns = 0;
        clinic_open(&c, &clinic_kinds[of], options, leave_at_second);
        publish(c.feed, c.quote, 0, 0);
        turn_all(c.bus);
        for (uint64_t i = 1; i < 6; i++)
            publish(c.feed, c.quote, i, i);
        turn_all(c.bus);
        cr_assert_eq(c.patient.calls, 2, "%s: %u calls", clinic_kinds[of].name, c.patient.calls);
        hl_bus_housekeep(c.bus);
        hl_subscription_stats row;
        cr_assert_eq(hl_bus_subscription_stats(c.bus, 0, &row), HL_OK);
        cr_assert_eq(row.handled, 1);
        cr_assert_eq(row.cancelled + row.handled, row.delivered);
        clinic_close(&c);
    }
}

/* ---- the breaker of all strands ---- */

Test(guard_strands, one_breaker_is_for_all_strands)
{
    static clinic c;
    const hl_retry_options retry = {
        .size = sizeof retry, .factor_percent = 200, .cap_ns = HL_SECOND, .base_ns = 1};
    hl_breaker_options breaker = HL_BREAKER_OPTIONS_INIT;
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    breaker.failures = breaker.of_last = 4;
    breaker.while_open = HL_BREAKER_HOLD;
    breaker.rest_ns = 5 * HL_MILLISECOND;
    options.retry = &retry;
    options.breaker = &breaker;
    clinic_open(&c, &clinic_kinds[CLINIC_BY_KEY], options, clinic_fail);
    for (uint64_t i = 0; i < 8; i++)
        publish(c.feed, c.quote, i, i);
    turn_all(c.bus);
    cr_assert_eq(c.patient.calls, 4, "whatever strands they were in");
    cr_assert_eq(stats_of(c.patient.subscription).held, 4);
    c.patient.answer = clinic_do_well;
    manual_now_ns += 4 * HL_MILLISECOND;
    turn_all(c.bus);
    cr_assert_eq(stats_of(c.patient.subscription).held, 4, "it rests");
    clinic_pass(&c, 10);
    cr_assert_eq(stats_of(c.patient.subscription).handled, 4);
    cr_assert_eq(
        hl_subscription_breaker_force(c.patient.subscription, HL_BREAKER_FORCED_OPEN, NULL), HL_OK);
    publish(c.feed, c.quote, 1, 9);
    clinic_pass(&c, 20);
    cr_assert_eq(stats_of(c.patient.subscription).held, 1);
    cr_assert_eq(
        hl_subscription_breaker_force(c.patient.subscription, HL_BREAKER_FORCED_CLOSED, NULL),
        HL_OK);
    turn_all(c.bus);
    cr_assert_eq(stats_of(c.patient.subscription).handled, 5);
    clinic_close(&c);
}

/* ---- batches on workers ---- */

static void open_batches(clinic *c, uint32_t events, uint64_t wait_ns)
{
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.batch_events = events;
    options.batch_wait_ns = wait_ns;
    clinic_open(c, &clinic_kinds[CLINIC_ORDERED_BATCH], options, clinic_do_well);
}

Test(guard_strands, a_batch_comes_when_it_is_full_or_its_first_event_has_waited)
{
    static clinic c;
    open_batches(&c, 3, 2 * HL_MILLISECOND);
    for (uint64_t i = 0; i < 7; i++)
        publish(c.feed, c.quote, i, i);
    turn_all(c.bus);
    cr_assert_eq(c.patient.batches, 2);
    cr_assert_eq(c.patient.calls, 6);
    manual_now_ns += 2 * HL_MILLISECOND - 1;
    turn_all(c.bus);
    cr_assert_eq(c.patient.calls, 6);
    manual_now_ns++;
    turn_all(c.bus);
    cr_assert_eq(c.patient.calls, 7);
    cr_assert_eq(c.patient.largest_batch, 3);
    clinic_close(&c);
}

Test(guard_strands, a_batch_is_flushed_by_hand_and_by_the_stop)
{
    static clinic c;
    open_batches(&c, 8, HL_SECOND);
    publish(c.feed, c.quote, 1, 1);
    turn_all(c.bus);
    cr_assert_eq(c.patient.calls, 0);
    publish(c.feed, c.quote, 1, 2);
    publish(c.feed, c.quote, 1, 3);
    cr_assert_eq(hl_subscription_flush(c.patient.subscription), HL_OK);
    turn(c.bus, "market_data", 1);
    hl_executor_turn(worker(&c, 0), 0);
    cr_assert_eq(c.patient.calls, 2);
    turn_all(c.bus);
    cr_assert_eq(c.patient.calls, 3, "what still lay in its ring, too");
    manual_now_ns++;
    publish(c.feed, c.quote, 1, 4);
    turn_all(c.bus);
    cr_assert_eq(c.patient.calls, 3);
    clinic_close(&c);
    cr_assert_eq(c.patient.calls, 4);
}

static hl_status fail_third_once(const hl_event *event, hl_publisher *out, patient *self)
{
    (void)out, (void)self;
    return event->sequence == 3 && event->attempt == 0 ? HL_FAILED : HL_OK;
}

Test(guard_strands, of_a_batch_that_fails_the_rest_is_tried_again)
{
    static clinic c;
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.batch_events = 5;
    options.batch_wait_ns = HL_MILLISECOND;
    clinic_open(&c, &clinic_kinds[CLINIC_ORDERED_BATCH], options, fail_third_once);
    for (uint64_t i = 0; i < 5; i++)
        publish(c.feed, c.quote, i, i);
    turn_all(c.bus);
    cr_assert_eq(stats_of(c.patient.subscription).handled, 2);
    cr_assert_eq(stats_of(c.patient.subscription).in_retry, 3);
    clinic_pass(&c, 5);
    cr_assert_eq(stats_of(c.patient.subscription).handled, 5);
    cr_assert_eq(c.patient.calls, 6);
    clinic_close(&c);
}

static hl_status want_to_batch_orders(hl_subscription_options *options, clinic *c)
{
    options->async = HL_ASYNC_ORDERED;
    options->batch = clinic_suffer_all;
    options->batch_events = 4;
    options->batch_wait_ns = HL_SECOND;
    return hl_subscribe(c->bus, "order.*", NULL, &c->patient, options, NULL);
}

Test(guard_strands, what_is_urgent_waits_for_no_company_unless_it_is_said)
{
    static clinic c;
    hl_config config = manual_config();
    config.max_workers = config.min_workers = 1;
    for (int urgent = 0; urgent < 2; urgent++) {
        memset(&c, 0, sizeof c);
        c.bus = manual_start(&config);
        c.patient.answer = clinic_do_well;
        const hl_topic order = topic(c.bus, "order.new");
        hl_publisher *const desk = open_publisher(c.bus, "desk", "order");
        hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
        options.batch_urgent = urgent != 0;
        cr_assert_eq(want_to_batch_orders(&options, &c), HL_OK);
        for (uint64_t i = 0; i < 3; i++)
            publish(desk, order, i, i);
        turn_all(c.bus);
        cr_assert_eq(c.patient.calls, urgent != 0 ? 0 : 3);
        cr_assert_eq(c.patient.batches, urgent != 0 ? 0 : 3);
        manual_stop(c.bus);
    }
}

Test(guard_strands, a_batch_must_have_room_to_come_together)
{
    static clinic c;
    open_batches(&c, 4, 0);
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.async = HL_ASYNC_ORDERED;
    options.queue_events = 8;
    options.batch = clinic_suffer_all;
    options.batch_events = 9;
    cr_assert_eq(hl_subscribe(c.bus, "market_data.*", NULL, &c.patient, &options, NULL),
                 HL_INVALID);
    assert_sentence(c.bus, HL_INVALID, "batch_events is 9, and queue_events 8");
    clinic_close(&c);
}
