/* What becomes of an event whose handler fails, on a bus turned by hand under a clock that stands
 * still. */
#include "fault/guard.h"

#include <string.h>

#include "../bus/manual_bus.h"
#include "tests/random.h"

#define CALLS_MAX 4096

/* A handler that does as its script says, and notes each call. */
typedef struct script {
    hl_status (*answer)(const hl_event *event, hl_publisher *out, struct script *self);
    uint64_t poison; /* for the answers below */
    hl_topic to;     /* likewise */
    uint32_t until;  /* likewise */
    bool says_taken; /* of a batch */
    hl_subscription *subscription;
    uint32_t count;
    struct {
        uint64_t value, key, at_ns;
        uint8_t attempt, flags;
    } calls[CALLS_MAX];
} script;

static hl_status play(const hl_event *event, hl_publisher *out, void *context)
{
    script *const self = context;
    cr_assert_lt(self->count, CALLS_MAX);
    self->calls[self->count].value = value_of(event);
    self->calls[self->count].key = event->key;
    self->calls[self->count].at_ns = manual_now_ns;
    self->calls[self->count].attempt = event->attempt;
    self->calls[self->count].flags = event->flags;
    self->count++;
    return self->answer(event, out, self);
}

static hl_status play_batch(const hl_batch *batch, hl_publisher *out, void *context)
{
    script *const self = context;
    for (uint32_t i = 0; i < batch->count; i++) {
        const hl_status status = play(batch->events[i], out, context);
        if (status != HL_OK)
            return status;
        if (self->says_taken)
            cr_assert_eq(hl_batch_taken(out, i + 1), HL_OK);
    }
    return HL_OK;
}

static hl_status always_ok(const hl_event *event, hl_publisher *out, script *self)
{
    (void)event, (void)out, (void)self;
    return HL_OK;
}

static hl_status always_fail(const hl_event *event, hl_publisher *out, script *self)
{
    (void)event, (void)out, (void)self;
    return HL_FAILED;
}

static hl_status always_reject(const hl_event *event, hl_publisher *out, script *self)
{
    (void)event, (void)out, (void)self;
    return HL_REJECT;
}

/* The poisoned value fails at its first `until` deliveries. */
static hl_status fail_poison(const hl_event *event, hl_publisher *out, script *self)
{
    (void)out;
    return value_of(event) == self->poison && event->attempt < self->until ? HL_FAILED : HL_OK;
}

static hl_status reject_poison(const hl_event *event, hl_publisher *out, script *self)
{
    (void)out;
    return value_of(event) == self->poison ? HL_REJECT : HL_OK;
}

/* Passes each event on; no room is a retry. */
static hl_status forward(const hl_event *event, hl_publisher *out, script *self)
{
    const uint64_t value = value_of(event);
    const hl_status status = hl_try_publish(out, self->to, event->key, &value, sizeof value);
    return status == HL_FULL ? HL_RETRY : status;
}

typedef struct fixture {
    hl_bus *bus;
    hl_topic topic;
    hl_publisher *feed;
    script script;
} fixture;

static hl_retry_options retry_of(uint32_t attempts, uint64_t base_ns, hl_retry_order order)
{
    hl_retry_options retry = HL_RETRY_OPTIONS_INIT;
    retry.attempts = attempts;
    retry.base_ns = base_ns;
    retry.jitter_percent = 0;
    retry.order = order;
    return retry;
}

static void set_up_on(fixture *f, hl_bus *bus, const char *name, const hl_retry_options *retry,
                      const hl_breaker_options *breaker, bool batch)
{
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.retry = retry;
    options.breaker = breaker;
    options.batch = batch ? play_batch : NULL;
    options.batch_events = 4;
    f->bus = bus;
    f->topic = topic(bus, name);
    f->feed = open_publisher(bus, "feed", NULL);
    cr_assert_eq(
        hl_subscribe(bus, name, batch ? NULL : play, &f->script, &options, &f->script.subscription),
        HL_OK);
}

static void set_up(fixture *f, const hl_retry_options *retry, const hl_breaker_options *breaker,
                   bool batch)
{
    set_up_on(f, manual_start(NULL), "market_data.trade", retry, breaker, batch);
}

/* Until nothing more happens at this time. */
static void run_out(hl_bus *bus)
{
    for (int i = 0; i < 64; i++)
        turn_all(bus);
}

static void pass(fixture *f, uint64_t ns)
{
    manual_now_ns += ns;
    run_out(f->bus);
}

/* The value fails at its first `until` deliveries. */
static void poison(fixture *f, uint64_t value, uint32_t until)
{
    f->script.answer = fail_poison;
    f->script.poison = value;
    f->script.until = until;
}

static void send(fixture *f, uint64_t key, uint64_t value)
{
    publish(f->feed, f->topic, key, value);
    run_out(f->bus);
}

static hl_subscription_stats counts(const fixture *f)
{
    return stats_of(f->script.subscription);
}

static uint64_t given_up(const hl_subscription_stats *stats)
{
    return stats->skipped + stats->dead_lettered;
}

/* ---- retries ---- */

Test(guard, a_failed_event_comes_again_when_its_backoff_is_over)
{
    static fixture f;
    const hl_retry_options retry = retry_of(3, HL_MILLISECOND, HL_RETRY_PASSING);
    set_up(&f, &retry, NULL, false);
    poison(&f, 7, 2);
    const uint64_t began_ns = manual_now_ns;
    send(&f, 1, 7);
    cr_assert_eq(f.script.count, 1);
    cr_assert_eq(counts(&f).in_retry, 1);
    pass(&f, HL_MILLISECOND - HL_MILLISECOND / 10);
    cr_assert_eq(f.script.count, 1, "before its time");
    for (int i = 0; i < 200; i++)
        pass(&f, HL_MILLISECOND / 20);
    cr_assert_eq(f.script.count, 3);
    cr_assert_eq(f.script.calls[1].attempt, 1);
    cr_assert_eq(f.script.calls[2].attempt, 2);
    cr_assert_eq(f.script.calls[0].flags & HL_EVENT_RETRIED, 0);
    cr_assert_neq(f.script.calls[1].flags & HL_EVENT_RETRIED, 0);
    cr_assert_geq(f.script.calls[1].at_ns, began_ns + HL_MILLISECOND);
    cr_assert_geq(f.script.calls[2].at_ns, f.script.calls[1].at_ns + 2 * HL_MILLISECOND);
    cr_assert_leq(f.script.calls[2].at_ns, f.script.calls[1].at_ns + 3 * HL_MILLISECOND);
    const hl_subscription_stats stats = counts(&f);
    cr_assert_eq(stats.handled, 1);
    cr_assert_eq(stats.failures, 2);
    cr_assert_eq(stats.in_retry, 0);
    manual_stop(f.bus);
}

static hl_status fail_first(const hl_event *event, hl_publisher *out, script *self)
{
    (void)out, (void)self;
    return event->attempt == 0 ? HL_FAILED : HL_OK;
}

Test(guard, retries_have_as_many_turns_as_the_events_of_a_lane_that_is_never_empty)
{
    static fixture f;
    const hl_retry_options retry = retry_of(1, HL_MILLISECOND, HL_RETRY_PASSING);
    hl_domain_config domains[MANUAL_DOMAINS];
    const hl_config config = manual_config_of(domains);
    domains[MANUAL_MARKET_DATA].ring_slots = 1024;
    set_up_on(&f, manual_start(&config), "market_data.trade", &retry, NULL, false);
    f.script.answer = fail_first;
    for (uint64_t i = 0; i < 256; i++)
        publish(f.feed, f.topic, 1, i);
    run_out(f.bus);
    cr_assert_eq(counts(&f).in_retry, 256);
    manual_now_ns += HL_SECOND;
    for (uint64_t i = 256; i < 1024; i++)
        publish(f.feed, f.topic, 1, i);
    turn(f.bus, "market_data", 512);
    const uint64_t again = counts(&f).handled;
    cr_assert(again >= 128 && again <= 256, "%llu of 512 were retries", (unsigned long long)again);
    manual_stop(f.bus);
}

Test(guard, an_event_that_fails_at_every_attempt_is_given_up)
{
    static fixture f;
    set_up(&f, NULL, NULL, false);
    f.script.answer = always_fail;
    send(&f, 1, 7);
    pass(&f, HL_SECOND);
    pass(&f, HL_SECOND);
    pass(&f, HL_SECOND);
    cr_assert_eq(f.script.count, 4, "the first delivery and three retries");
    const hl_subscription_stats stats = counts(&f);
    cr_assert_eq(stats.failures, 4);
    cr_assert_eq(given_up(&stats), 1);
    cr_assert_eq(stats.in_retry, 0);
    manual_stop(f.bus);
}

Test(guard, a_rejected_event_is_given_up_at_once)
{
    static fixture f;
    set_up(&f, NULL, NULL, false);
    f.script.answer = always_reject;
    send(&f, 1, 7);
    const hl_subscription_stats stats = counts(&f);
    cr_assert_eq(f.script.count, 1);
    cr_assert_eq(given_up(&stats), 1);
    cr_assert_eq(stats.in_retry, 0);
    manual_stop(f.bus);
}

Test(guard, later_events_of_a_key_pass_a_retried_one_or_wait_behind_it)
{
    for (int ordered = 0; ordered < 2; ordered++) {
        static fixture f;
        memset(&f, 0, sizeof f);
        const hl_retry_options retry =
            retry_of(3, HL_MILLISECOND, ordered ? HL_RETRY_ORDERED : HL_RETRY_PASSING);
        set_up(&f, &retry, NULL, false);
        poison(&f, 10, 2);
        send(&f, 1, 10);
        send(&f, 1, 11);
        send(&f, 2, 20);
        send(&f, 1, 12);
        cr_assert_eq(counts(&f).held, ordered ? 2 : 0);
        for (int i = 0; i < 10; i++)
            pass(&f, HL_MILLISECOND);
        static const uint64_t in_order[] = {10, 20, 10, 10, 11, 12};
        static const uint64_t passing[] = {10, 11, 20, 12, 10, 10};
        cr_assert_eq(f.script.count, 6);
        for (int i = 0; i < 6; i++)
            cr_assert_eq(f.script.calls[i].value, (ordered ? in_order : passing)[i]);
        cr_assert_eq(counts(&f).handled, 4);
        cr_assert_eq(counts(&f).held, 0);
        manual_stop(f.bus);
    }
}

Test(guard, order_and_fill_keep_the_order_of_a_key_by_default)
{
    static const char *const names[] = {"order.new", "fill.done", "market_data.trade"};
    for (int i = 0; i < 3; i++) {
        static fixture f;
        memset(&f, 0, sizeof f);
        set_up_on(&f, manual_start(NULL), names[i], NULL, NULL, false);
        poison(&f, 1, 1);
        send(&f, 5, 1);
        send(&f, 5, 2);
        cr_assert_eq(f.script.count, i < 2 ? 1 : 2, "%s", names[i]);
        pass(&f, HL_SECOND);
        cr_assert_eq(f.script.count, 3);
        cr_assert_eq(f.script.calls[2].value, i < 2 ? 2 : 1);
        manual_stop(f.bus);
    }
}

Test(guard, those_behind_go_on_when_the_first_is_given_up)
{
    static fixture f;
    const hl_retry_options retry = retry_of(1, HL_MILLISECOND, HL_RETRY_ORDERED);
    set_up(&f, &retry, NULL, false);
    poison(&f, 1, 255);
    for (uint64_t value = 1; value <= 6; value++)
        send(&f, 9, value);
    cr_assert_eq(f.script.count, 1);
    cr_assert_eq(counts(&f).held, 5);
    pass(&f, 10 * HL_MILLISECOND);
    cr_assert_eq(f.script.count, 7);
    for (uint32_t i = 2; i < 7; i++)
        cr_assert_eq(f.script.calls[i].value, i);
    const hl_subscription_stats stats = counts(&f);
    cr_assert_eq(stats.handled, 5);
    cr_assert_eq(given_up(&stats), 1);
    manual_stop(f.bus);
}

Test(guard, what_finds_no_room_among_the_retries_is_given_up)
{
    static fixture f;
    hl_config config = manual_config();
    config.retry_events = 3;
    set_up_on(&f, manual_start(&config), "market_data.trade", NULL, NULL, false);
    f.script.answer = always_fail;
    for (uint64_t value = 1; value <= 5; value++)
        send(&f, value, value);
    hl_subscription_stats stats = counts(&f);
    cr_assert_eq(stats.in_retry, 3);
    cr_assert_eq(given_up(&stats), 2);
    for (int i = 0; i < 5; i++)
        pass(&f, HL_SECOND);
    stats = counts(&f);
    cr_assert_eq(given_up(&stats), 5);
    send(&f, 6, 6);
    cr_assert_eq(counts(&f).in_retry, 1, "there is room again");
    manual_stop(f.bus);
}

Test(guard, a_handler_without_room_waits_for_it_at_no_cost)
{
    static fixture f;
    const hl_retry_options retry = retry_of(1, HL_MILLISECOND, HL_RETRY_ORDERED);
    set_up(&f, &retry, NULL, false);
    static recorder orders;
    f.script.answer = forward;
    f.script.to = topic(f.bus, "order.new");
    subscribe(f.bus, "order.new", &orders, NULL);
    /* The handlers' ring holds 4, and the order partition is not turned. */
    for (uint64_t value = 1; value <= 6; value++) {
        publish(f.feed, f.topic, 3, value);
        turn(f.bus, "market_data", 0);
    }
    cr_assert_eq(counts(&f).handled, 4);
    cr_assert_eq(counts(&f).in_retry, 1);
    cr_assert_eq(counts(&f).held, 1);
    for (int i = 0; i < 20; i++) {
        manual_now_ns += HL_MILLISECOND;
        turn(f.bus, "market_data", 0);
    }
    cr_assert_eq(f.script.count, 5, "it is not asked while there is no room");
    for (int i = 0; i < 5; i++)
        pass(&f, HL_MILLISECOND);
    assert_values_follow(&orders, 1, 6);
    const hl_subscription_stats stats = counts(&f);
    cr_assert_eq(stats.handled, 6);
    cr_assert_eq(given_up(&stats), 0);
    for (uint32_t i = 0; i < f.script.count; i++)
        cr_assert_eq(f.script.calls[i].attempt, 0);
    manual_stop(f.bus);
}

/* Publishes more than the lane can ever hold. */
static hl_status publish_too_much(const hl_event *event, hl_publisher *out, script *self)
{
    for (uint64_t i = 0; i < 5; i++)
        if (hl_try_publish(out, self->to, event->key, &i, sizeof i) == HL_FULL)
            return HL_RETRY;
    return HL_OK;
}

Test(guard, a_handler_that_wants_more_than_a_lane_holds_does_not_wait_for_ever)
{
    static fixture f;
    set_up(&f, NULL, NULL, false);
    f.script.answer = publish_too_much;
    f.script.to = topic(f.bus, "order.new");
    send(&f, 1, 1);
    for (int i = 0; i < 5; i++)
        pass(&f, HL_SECOND);
    const hl_subscription_stats stats = counts(&f);
    cr_assert_eq(f.script.count, 4);
    cr_assert_eq(given_up(&stats), 1);
    manual_stop(f.bus);
}

/* A refusal that a handler took in its stride is not the reason of another one's failure. */
static hl_status try_and_forget(const hl_event *event, hl_publisher *out, void *context)
{
    const hl_topic to = *(const hl_topic *)context;
    for (uint64_t i = 0; i < 5; i++)
        hl_try_publish(out, to, event->key, &i, sizeof i);
    return HL_OK;
}

static hl_status always_retry(const hl_event *event, hl_publisher *out, script *self)
{
    (void)event, (void)out, (void)self;
    return HL_RETRY;
}

Test(guard, want_of_room_is_each_handlers_own)
{
    static fixture f;
    hl_bus *const bus = manual_start(NULL);
    hl_topic orders = topic(bus, "order.new");
    cr_assert_eq(hl_subscribe(bus, "market_data.trade", try_and_forget, &orders, NULL, NULL),
                 HL_OK);
    set_up_on(&f, bus, "market_data.trade", NULL, NULL, false);
    f.script.answer = always_retry;
    send(&f, 1, 1);
    for (int i = 0; i < 5; i++)
        pass(&f, HL_SECOND);
    cr_assert_eq(f.script.count, 4, "each retry costs an attempt");
    manual_stop(f.bus);
}

/* ---- batches ---- */

Test(guard, a_batch_that_fails_is_tried_again_event_by_event)
{
    static fixture f;
    const hl_retry_options retry = retry_of(2, HL_MILLISECOND, HL_RETRY_ORDERED);
    set_up(&f, &retry, NULL, true);
    poison(&f, 3, 255);
    for (uint64_t value = 1; value <= 4; value++)
        publish(f.feed, f.topic, value, value);
    run_out(f.bus);
    cr_assert_eq(f.script.count, 3);
    cr_assert_eq(counts(&f).in_retry, 4, "a batch fails whole");
    for (int i = 0; i < 10; i++)
        pass(&f, HL_MILLISECOND);
    const hl_subscription_stats stats = counts(&f);
    cr_assert_eq(stats.handled, 3);
    cr_assert_eq(given_up(&stats), 1);
    cr_assert_eq(stats.in_retry + stats.queued + stats.held, 0);
    manual_stop(f.bus);
}

Test(guard, what_a_batch_has_taken_has_not_failed)
{
    static fixture f;
    const hl_retry_options retry = retry_of(2, HL_MILLISECOND, HL_RETRY_ORDERED);
    set_up(&f, &retry, NULL, true);
    f.script.answer = reject_poison;
    f.script.poison = 3;
    f.script.says_taken = true;
    for (uint64_t value = 1; value <= 4; value++)
        publish(f.feed, f.topic, value, value);
    run_out(f.bus);
    const hl_subscription_stats stats = counts(&f);
    cr_assert_eq(stats.handled, 2);
    cr_assert_eq(given_up(&stats), 2, "the rest counts as failed from there");
    manual_stop(f.bus);
}

/* Publishes for each event, and says that it took two of them before it fails. */
static hl_status publish_and_fail(const hl_batch *batch, hl_publisher *out, void *context)
{
    const hl_topic to = *(const hl_topic *)context;
    for (uint32_t i = 0; i < batch->count; i++) {
        const uint64_t value = value_of(batch->events[i]);
        cr_assert_eq(hl_try_publish(out, to, 1, &value, sizeof value), HL_OK);
        if (i == 1)
            cr_assert_eq(hl_batch_taken(out, 2), HL_OK);
    }
    cr_assert_eq(hl_batch_taken(out, 1), HL_INVALID, "fewer than said before");
    cr_assert_eq(hl_batch_taken(out, 5), HL_INVALID, "more than there are");
    return HL_REJECT;
}

Test(guard, what_was_published_for_events_taken_stands)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    hl_topic order = topic(bus, "order.new");
    static recorder orders;
    subscribe(bus, "order.new", &orders, NULL);
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.batch = publish_and_fail;
    options.batch_events = 4;
    cr_assert_eq(hl_subscribe(bus, "market_data.trade", NULL, &order, &options, NULL), HL_OK);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    for (uint64_t value = 1; value <= 4; value++)
        publish(feed, trade, 1, value);
    run_out(bus);
    assert_values_follow(&orders, 1, 2);
    assert_door(bus, "order", 2, 0, 2);
    manual_stop(bus);
}

static hl_status take_without_a_batch(const hl_event *event, hl_publisher *out, script *self)
{
    (void)event, (void)self;
    cr_assert_eq(hl_batch_taken(out, 0), HL_NOT_ALLOWED);
    return HL_OK;
}

Test(guard, only_a_batch_can_be_taken_in_part)
{
    static fixture f;
    set_up(&f, NULL, NULL, false);
    f.script.answer = take_without_a_batch;
    send(&f, 1, 1);
    cr_assert_eq(f.script.count, 1);
    cr_assert_eq(hl_batch_taken(f.feed, 0), HL_NOT_ALLOWED);
    manual_stop(f.bus);
}

/* ---- the breaker ---- */

static hl_breaker_options breaker_of(hl_breaker_policy while_open)
{
    hl_breaker_options breaker = HL_BREAKER_OPTIONS_INIT;
    breaker.failures = 2;
    breaker.of_last = 4;
    breaker.rest_ns = HL_SECOND;
    breaker.successes = 2;
    breaker.while_open = while_open;
    breaker.hold_events = 4;
    return breaker;
}

Test(guard, an_open_breaker_keeps_events_from_the_handler)
{
    static const hl_breaker_policy policies[] = {HL_BREAKER_DEAD_LETTER, HL_BREAKER_SKIP,
                                                 HL_BREAKER_HOLD};
    for (int i = 0; i < 3; i++) {
        static fixture f;
        memset(&f, 0, sizeof f);
        const hl_retry_options none = retry_of(0, 0, HL_RETRY_PASSING);
        const hl_breaker_options breaker = breaker_of(policies[i]);
        set_up(&f, &none, &breaker, false);
        f.script.answer = always_fail;
        send(&f, 1, 1);
        send(&f, 1, 2);
        f.script.answer = always_ok;
        for (uint64_t value = 3; value <= 5; value++)
            send(&f, 1, value);
        cr_assert_eq(f.script.count, 2);
        cr_assert_eq(counts(&f).held, i == 2 ? 3 : 0);
        pass(&f, HL_SECOND + HL_MILLISECOND);
        send(&f, 1, 6);
        send(&f, 1, 7);
        send(&f, 1, 8);
        cr_assert_eq(f.script.count, i == 2 ? 8 : 5);
        for (uint32_t c = 2; c < f.script.count; c++)
            cr_assert_eq(f.script.calls[c].value, (i == 2 ? 1 : 4) + c);
        const hl_subscription_stats stats = counts(&f);
        cr_assert_eq(stats.handled, i == 2 ? 6 : 3);
        cr_assert_eq(given_up(&stats), i == 2 ? 2 : 5);
        manual_stop(f.bus);
    }
}

Test(guard, a_full_hold_gives_up_what_comes)
{
    static fixture f;
    const hl_retry_options none = retry_of(0, 0, HL_RETRY_PASSING);
    const hl_breaker_options breaker = breaker_of(HL_BREAKER_HOLD);
    set_up(&f, &none, &breaker, false);
    f.script.answer = always_fail;
    for (uint64_t value = 1; value <= 9; value++)
        send(&f, 1, value);
    hl_subscription_stats stats = counts(&f);
    cr_assert_eq(stats.held, 4);
    cr_assert_eq(given_up(&stats), 5);
    manual_stop(f.bus);
}

Test(guard, held_events_of_a_key_keep_their_order)
{
    static fixture f;
    const hl_retry_options retry = retry_of(3, HL_MILLISECOND, HL_RETRY_ORDERED);
    hl_breaker_options breaker = breaker_of(HL_BREAKER_HOLD);
    breaker.hold_events = 64;
    set_up(&f, &retry, &breaker, false);
    f.script.answer = always_fail;
    send(&f, 1, 1);
    send(&f, 2, 101);
    poison(&f, 2, 1);
    for (uint64_t value = 2; value <= 6; value++) {
        send(&f, 1, value);
        send(&f, 2, value + 100);
        send(&f, 3, value + 200);
    }
    for (int i = 0; i < 5000 && counts(&f).handled < 17; i++)
        pass(&f, HL_MILLISECOND);
    cr_assert_eq(counts(&f).handled, 17);
    uint64_t last[4] = {0};
    for (uint32_t c = 0; c < f.script.count; c++) {
        const uint64_t key = f.script.calls[c].key;
        cr_assert_geq(f.script.calls[c].value, last[key]);
        last[key] = f.script.calls[c].value;
    }
    manual_stop(f.bus);
}

/* ---- the ends ---- */

Test(guard, stop_finishes_retries)
{
    static fixture f;
    const hl_retry_options retry = retry_of(3, HL_SECOND, HL_RETRY_ORDERED);
    set_up(&f, &retry, NULL, false);
    poison(&f, 1, 2);
    for (uint64_t value = 1; value <= 4; value++)
        send(&f, 1, value);
    cr_assert_eq(f.script.count, 1);
    cr_assert_eq(hl_bus_stop(f.bus, HL_SECOND), HL_OK);
    cr_assert_eq(f.script.count, 6);
    cr_assert_eq(counts(&f).handled, 4);
    hl_bus_destroy(f.bus);
}

Test(guard, stop_gives_up_what_goes_on_failing)
{
    static fixture f;
    hl_bus *const bus = manual_start(NULL);
    set_up_on(&f, bus, "order.new", NULL, NULL, false);
    f.script.answer = always_fail;
    for (uint64_t value = 1; value <= 4; value++)
        send(&f, 1, value);
    cr_assert_eq(counts(&f).held, 3);
    cr_assert_eq(hl_bus_stop(f.bus, HL_SECOND), HL_OK);
    const hl_subscription_stats stats = counts(&f);
    cr_assert_eq(given_up(&stats), 4);
    cr_assert_eq(stats.failures, 16);
    hl_bus_destroy(f.bus);
}

Test(guard, unsubscribing_cancels_what_waits)
{
    static fixture f;
    const hl_retry_options retry = retry_of(3, HL_SECOND, HL_RETRY_ORDERED);
    const hl_breaker_options breaker = breaker_of(HL_BREAKER_HOLD);
    set_up(&f, &retry, &breaker, false);
    f.script.answer = always_fail;
    for (uint64_t value = 1; value <= 3; value++) {
        send(&f, 1, value);
        send(&f, 2, value);
        send(&f, 3, value);
    }
    const hl_subscription_stats before = counts(&f);
    cr_assert_eq(before.in_retry, 2);
    cr_assert_gt(before.held, 4);
    hl_error error;
    cr_assert_eq(hl_unsubscribe(f.script.subscription, HL_SECOND, &error), HL_OK);
    run_out(f.bus);
    cr_assert_eq(hl_bus_stop(f.bus, HL_SECOND), HL_OK);
    hl_subscription_stats row;
    cr_assert_eq(hl_bus_subscription_stats(f.bus, 0, &row), HL_OK);
    cr_assert_eq(row.cancelled, before.in_retry + before.held);
    assert_conserved(f.bus);
    hl_bus_destroy(f.bus);
}

static hl_status unsubscribe_self(const hl_event *event, hl_publisher *out, script *self)
{
    (void)event, (void)out;
    if (self->subscription != NULL)
        cr_assert_eq(hl_unsubscribe(self->subscription, 0, NULL), HL_DEFERRED);
    self->subscription = NULL;
    return HL_FAILED;
}

Test(guard, a_handler_may_unsubscribe_itself_and_fail)
{
    static fixture f;
    const hl_retry_options retry = retry_of(3, HL_MILLISECOND, HL_RETRY_ORDERED);
    set_up(&f, &retry, NULL, false);
    f.script.answer = always_fail;
    send(&f, 1, 1);
    send(&f, 1, 2);
    f.script.answer = unsubscribe_self;
    pass(&f, 2 * HL_MILLISECOND);
    cr_assert_eq(f.script.count, 2);
    cr_assert_eq(hl_bus_stop(f.bus, HL_SECOND), HL_OK);
    hl_subscription_stats row;
    cr_assert_eq(hl_bus_subscription_stats(f.bus, 0, &row), HL_OK);
    cr_assert_eq(row.cancelled, 2);
    hl_bus_destroy(f.bus);
}

Test(guard, options_that_cannot_be_are_refused_with_a_sentence)
{
    hl_bus *const bus = manual_start(NULL);
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    hl_retry_options retry = retry_of(255, 1, HL_RETRY_PASSING);
    options.retry = &retry;
    cr_assert_eq(hl_subscribe(bus, "order.new", record, NULL, &options, NULL), HL_INVALID);
    assert_sentence(bus, HL_INVALID, "order.new");
    assert_sentence(bus, HL_INVALID, "retry.attempts: 255");
    options.retry = NULL;
    hl_breaker_options breaker = breaker_of(HL_BREAKER_HOLD);
    breaker.hold_events = 0;
    options.breaker = &breaker;
    cr_assert_eq(hl_subscribe(bus, "order.new", record, NULL, &options, NULL), HL_INVALID);
    assert_sentence(bus, HL_INVALID, "breaker.hold_events: 0");
    manual_stop(bus);
}

/* ---- chaos ---- */

typedef struct chaos {
    uint64_t state;
    hl_topic to[2];
    uint32_t calls;
} chaos;

static hl_status at_random(const hl_event *event, hl_publisher *out, void *context)
{
    chaos *const self = context;
    static const hl_status answers[] = {HL_OK,    HL_OK,     HL_OK,     HL_FAILED,
                                        HL_RETRY, HL_REJECT, HL_FAILED, HL_INVALID};
    self->calls++;
    const uint64_t random = random_next(&self->state);
    const uint64_t value = value_of(event);
    if (random % 3 == 0 && value < 1000) {
        const uint64_t next = value + 1000;
        if (hl_try_publish(out, self->to[random >> 8 & 1], event->key, &next, sizeof next) != HL_OK)
            return HL_RETRY;
    }
    return answers[(random >> 16) % 8];
}

static hl_status batch_at_random(const hl_batch *batch, hl_publisher *out, void *context)
{
    chaos *const self = context;
    if (random_next(&self->state) % 2 == 0)
        hl_batch_taken(out, (uint32_t)(random_next(&self->state) % (batch->count + 1)));
    return at_random(batch->events[0], out, context);
}

/* Every kind of handler, policy and outcome at once; what comes out must add up, at any moment of a
 * stop. */
Test(guard, nothing_is_lost_whatever_handlers_answer)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        hl_config config = manual_config();
        config.retry_events = seed % 3 == 0 ? 4 : 64;
        hl_bus *const bus = manual_start(&config);
        static const char *const names[] = {"market_data.trade", "order.new"};
        chaos self = {.state = seed, .to = {topic(bus, names[0]), topic(bus, names[1])}};
        hl_subscription *subscriptions[16] = {NULL};
        for (uint32_t i = 0; i < 12; i++) {
            hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
            hl_retry_options retry =
                retry_of((uint32_t)(i % 4), HL_MILLISECOND, (hl_retry_order)(i % 3));
            hl_breaker_options breaker = breaker_of((hl_breaker_policy)(i % 3));
            options.retry = &retry;
            options.breaker = i % 4 == 3 ? NULL : &breaker;
            options.batch = i % 2 == 1 ? batch_at_random : NULL;
            options.batch_events = 3;
            options.batch_wait_ns = i % 3 * HL_MILLISECOND;
            cr_assert_eq(hl_subscribe(bus, names[i / 6], i % 2 == 1 ? NULL : at_random, &self,
                                      &options, &subscriptions[i]),
                         HL_OK);
        }
        hl_publisher *const feed = open_publisher(bus, "feed", NULL);
        for (uint64_t value = 1; value <= 200; value++) {
            hl_try_publish(feed, self.to[value % 2], value % 5, &value, sizeof value);
            turn_all(bus);
            if (value % 7 == 0)
                manual_now_ns += HL_MILLISECOND * (value % 11);
            if (value % 190 == 0)
                manual_now_ns += 2 * HL_SECOND;
            if (value == 150)
                cr_assert_eq(hl_unsubscribe(subscriptions[seed % 12], HL_SECOND, NULL), HL_OK);
        }
        cr_assert_gt(self.calls, 200);
        hl_error error = {.text = ""};
        const hl_status status = hl_bus_stop(bus, HL_SECOND);
        hl_bus_error(bus, &error);
        cr_assert_eq(status, HL_OK, "seed %llu: %s", (unsigned long long)seed, error.text);
        hl_bus_destroy(bus);
    }
}
