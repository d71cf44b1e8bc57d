#include "bus/dispatch.h"

#include <string.h>

#include "manual_bus.h"

/* ---- a handler is all or nothing ---- */

typedef struct forwarder {
    hl_topic to[3];
    uint32_t topics;
    uint32_t times;   /* to each topic */
    bool leave_open;  /* claims the last one and does not commit it */
    bool abort_first; /* gives the first one up */
    bool may_wait;    /* asks with hl_claim_wait, which must not wait here */
    hl_status answer;
    uint32_t full; /* times that there was no room */
    uint32_t calls;
} forwarder;

static hl_status forward(const hl_event *event, hl_publisher *out, void *context)
{
    forwarder *const self = context;
    self->calls++;
    for (uint32_t i = 0; i < self->topics; i++)
        for (uint32_t n = 0; n < self->times; n++) {
            hl_claim claim;
            const hl_status status = self->may_wait
                                         ? hl_claim_wait(out, self->to[i], event->key, 8, &claim)
                                         : hl_try_claim(out, self->to[i], event->key, 8, &claim);
            if (status == HL_FULL) {
                self->full++;
                continue;
            }
            cr_assert_eq(status, HL_OK, "%s", hl_status_name(status));
            const uint64_t value = value_of(event) * 100 + n;
            memcpy(claim.payload, &value, sizeof value);
            if (self->abort_first && n == 0)
                hl_abort(&claim);
            else if (!self->leave_open || n + 1 < self->times)
                hl_commit(&claim);
        }
    return self->answer;
}

typedef struct stage_fixture {
    hl_bus *bus;
    hl_topic trade, order, fill;
    hl_publisher *feed;
    hl_subscription *handler;
    recorder orders, fills;
} stage_fixture;

static void set_up(stage_fixture *f, forwarder *handler)
{
    f->bus = manual_start(NULL);
    f->trade = topic(f->bus, "market_data.trade");
    f->order = topic(f->bus, "order.new");
    f->fill = topic(f->bus, "fill.done");
    f->feed = open_publisher(f->bus, "feed", "market_data");
    handler->to[0] = f->order;
    handler->to[1] = f->fill;
    hl_retry_options once = HL_RETRY_OPTIONS_INIT;
    once.attempts = 0;
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.retry = &once;
    cr_assert_eq(hl_subscribe(f->bus, "market_data.trade", forward, handler, &options, &f->handler),
                 HL_OK);
    subscribe(f->bus, "order.new", &f->orders, NULL);
    subscribe(f->bus, "fill.done", &f->fills, NULL);
}

Test(dispatch, what_a_handler_publishes_is_seen_after_it_returned_ok)
{
    static stage_fixture f;
    forwarder handler = {.topics = 2, .times = 2};
    set_up(&f, &handler);
    publish(f.feed, f.trade, 9, 3);
    cr_assert_eq(turn(f.bus, "market_data", 0), 1);
    turn_all(f.bus);
    assert_values_follow(&f.orders, 300, 2);
    assert_values_follow(&f.fills, 300, 2);
    cr_assert_eq(f.orders.entries[0].key, 9);
    cr_assert_eq(f.orders.entries[0].flags & HL_EVENT_EXTERNAL, 0);
    assert_door(f.bus, "order", 2, 0, 0);
    manual_stop(f.bus);
}

Test(dispatch, a_handler_that_fails_has_published_nothing)
{
    static stage_fixture f;
    forwarder handler = {.topics = 2, .times = 2, .answer = HL_FAILED};
    set_up(&f, &handler);
    for (uint64_t value = 1; value <= 6; value++) {
        handler.answer = value % 3 == 0 ? HL_OK : value % 3 == 1 ? HL_FAILED : HL_RETRY;
        handler.leave_open = value == 2;
        publish(f.feed, f.trade, 9, value);
        turn_all(f.bus);
    }
    cr_assert_eq(f.orders.count, 4);
    cr_assert_eq(f.orders.entries[0].value, 300);
    cr_assert_eq(f.orders.entries[2].value, 600);
    cr_assert_eq(f.orders.entries[3].sequence, 4, "what was withdrawn has no sequence");
    assert_door(f.bus, "order", 4, 0, 8);
    assert_door(f.bus, "fill", 4, 0, 8);
    const hl_subscription_stats stats = stats_of(f.handler);
    cr_assert_eq(stats.delivered, 6);
    cr_assert_eq(stats.handled, 2);
    cr_assert_eq(stats.failures, 4);
    cr_assert_eq(stats.skipped + stats.dead_lettered, 4);
    manual_stop(f.bus);
}

Test(dispatch, a_failure_is_its_handlers_own)
{
    static stage_fixture f;
    forwarder handler = {.topics = 2, .times = 1, .answer = HL_FAILED};
    static recorder others;
    set_up(&f, &handler);
    subscribe(f.bus, "market_data.*", &others, NULL);
    publish(f.feed, f.trade, 9, 3);
    turn_all(f.bus);
    assert_values_follow(&others, 3, 1);
    cr_assert_eq(f.orders.count, 0);
    manual_stop(f.bus);
}

Test(dispatch, claims_that_a_handler_leaves_open_or_aborts_are_given_up)
{
    static stage_fixture f;
    forwarder handler = {.topics = 2, .times = 3, .leave_open = true, .abort_first = true};
    set_up(&f, &handler);
    for (uint64_t value = 1; value <= 10; value++) {
        publish(f.feed, f.trade, 9, value);
        turn_all(f.bus);
    }
    cr_assert_eq(f.orders.count, 10);
    for (uint32_t i = 0; i < 10; i++) {
        cr_assert_eq(f.orders.entries[i].value, (i + 1) * 100 + 1);
        cr_assert_eq(f.orders.entries[i].sequence, i + 1);
    }
    assert_door(f.bus, "order", 10, 0, 20);
    manual_stop(f.bus);
}

Test(dispatch, a_full_lane_is_full_for_a_handler_whatever_the_policy)
{
    static stage_fixture f;
    forwarder handler = {.times = 6, .may_wait = true};
    set_up(&f, &handler);
    handler.topics = 1;
    handler.to[0] = topic(f.bus, "account.pnl"); /* a domain that blocks */
    publish(f.feed, f.trade, 9, 3);
    turn(f.bus, "market_data", 0);
    cr_assert_eq(handler.full, 2, "the handlers' ring has 4 slots");
    assert_door(f.bus, "account", 4, 2, 0);
    turn_all(f.bus);
    manual_stop(f.bus);
}

static hl_status reserve_then_publish(const hl_event *event, hl_publisher *out, void *context)
{
    const hl_topic to = *(const hl_topic *)context;
    const uint64_t value = value_of(event);
    cr_assert_eq(hl_reserve(out, to, event->key, 5), HL_FULL, "more than the ring");
    cr_assert_eq(hl_reserve(out, (hl_topic){200}, event->key, 1), HL_INVALID);
    uint32_t sure = 4;
    while (hl_reserve(out, to, event->key, sure) != HL_OK)
        sure--;
    for (uint32_t i = 0; i < sure; i++)
        cr_assert_eq(hl_try_publish(out, to, event->key, &value, 8), HL_OK);
    cr_assert_eq(hl_reserve(out, to, event->key, 1), HL_FULL);
    cr_assert_eq(hl_try_publish(out, to, event->key, &value, 8), HL_FULL);
    return HL_OK;
}

Test(dispatch, hl_reserve_tells_what_will_find_room)
{
    static stage_fixture f;
    forwarder handler = {.topics = 0};
    set_up(&f, &handler);
    hl_subscription *subscription;
    cr_assert_eq(hl_subscribe(f.bus, "market_data.trade", reserve_then_publish, &f.order, NULL,
                              &subscription),
                 HL_OK);
    for (uint64_t value = 1; value <= 3; value++)
        publish(f.feed, f.trade, 9, value);
    turn(f.bus, "market_data", 0);
    assert_door(f.bus, "order", 4, 3, 0);
    turn_all(f.bus);
    cr_assert_eq(hl_reserve(f.feed, f.trade, 1, 1), HL_NOT_ALLOWED, "for a handler's out only");
    manual_stop(f.bus);
}

/* ---- the story ---- */

typedef struct teller {
    hl_topic next;
    bool last;
    uint64_t now_ns, id, correlation_id, causation_id, published_ns;
} teller;

static hl_status tell(const hl_event *event, hl_publisher *out, void *context)
{
    teller *const self = context;
    self->now_ns = hl_now_ns(out);
    self->id = hl_current_id(out);
    self->correlation_id = event->correlation_id;
    self->causation_id = event->causation_id;
    self->published_ns = event->published_ns;
    manual_now_ns += 1000;
    return self->last ? HL_OK : hl_try_publish(out, self->next, event->key, NULL, 0);
}

Test(dispatch, correlation_and_causation_run_along_the_chain)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    teller steps[3] = {
        {.next = topic(bus, "order.new")}, {.next = topic(bus, "fill.done")}, {.last = true}};
    static const char *const patterns[3] = {"market_data.*", "order.*", "fill.*"};
    hl_subscription *subscription;
    for (int i = 0; i < 3; i++)
        cr_assert_eq(hl_subscribe(bus, patterns[i], tell, &steps[i], NULL, &subscription), HL_OK);
    hl_publisher *const feed = open_publisher(bus, "feed", "market_data");
    cr_assert_eq(hl_now_ns(feed), 0);
    cr_assert_eq(hl_current_id(feed), 0);
    publish(feed, trade, 1, 1);
    turn_all(bus);
    cr_assert_eq(steps[0].correlation_id, 0, "it begins the story");
    cr_assert_eq(steps[0].causation_id, 0);
    for (int i = 0; i < 3; i++) {
        uint32_t partition;
        const char *const domain = hl_bus_domain(bus, (uint32_t)i);
        cr_assert_eq(hl_bus_partition(bus, domain, 0, &partition), HL_OK);
        cr_assert_eq(steps[i].id, hl_event_id_of(partition, 1), "%s", domain);
        cr_assert_eq(steps[i].now_ns, steps[i].published_ns, "a handler's clock is its event's");
        if (i == 0)
            continue;
        cr_assert_eq(steps[i].correlation_id, steps[0].id, "%s", domain);
        cr_assert_eq(steps[i].causation_id, steps[i - 1].id, "%s", domain);
    }
    hl_claim claim;
    cr_assert_eq(hl_try_claim(feed, trade, 1, 0, &claim), HL_OK);
    claim.event->correlation_id = 77;
    hl_commit(&claim);
    turn_all(bus);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(steps[i].correlation_id, 77, "a story that has a name keeps it");
    manual_stop(bus);
}

static bool is_odd(const hl_event *event, void *context)
{
    (void)context;
    return value_of(event) % 2 == 1;
}

Test(dispatch, a_predicate_filters_and_is_counted)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    static recorder seen;
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.predicate = is_odd;
    const hl_subscription *const odd = subscribe(bus, "market_data.trade", &seen, &options);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    for (uint64_t value = 1; value <= 7; value++)
        publish(feed, trade, 1, value);
    turn_all(bus);
    cr_assert_eq(seen.count, 4);
    cr_assert_eq(seen.entries[3].value, 7);
    const hl_subscription_stats stats = stats_of(odd);
    cr_assert_eq(stats.delivered, 7);
    cr_assert_eq(stats.handled, 4);
    cr_assert_eq(stats.filtered, 3);
    cr_assert_eq(lane_stats(bus, "market_data", -1).unrouted, 0);
    manual_stop(bus);
}

Test(dispatch, what_no_one_subscribes_to_is_unrouted)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    publish(feed, trade, 1, 1);
    turn_all(bus);
    cr_assert_eq(lane_stats(bus, "market_data", HL_NORMAL).unrouted, 1);
    cr_assert_eq(lane_stats(bus, "market_data", HL_NORMAL).dispatched, 1);
    manual_stop(bus);
}

/* ---- batches ---- */

static hl_subscription_options batch_of(uint32_t events, uint64_t wait_ns)
{
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.batch = record_batch;
    options.batch_events = events;
    options.batch_wait_ns = wait_ns;
    return options;
}

typedef struct batch_fixture {
    hl_bus *bus;
    hl_topic trade, order;
    hl_publisher *feed;
    hl_subscription *subscription;
    recorder seen;
} batch_fixture;

static void set_up_batch(batch_fixture *f, const hl_subscription_options *options)
{
    f->bus = manual_start(NULL);
    f->trade = topic(f->bus, "market_data.trade");
    f->order = topic(f->bus, "order.new");
    f->feed = open_publisher(f->bus, "feed", NULL);
    hl_subscription_options anywhere = *options;
    anywhere.concurrent = true;
    f->subscription = subscribe(f->bus, ">", &f->seen, &anywhere);
}

Test(dispatch, a_batch_is_delivered_when_it_is_full)
{
    static batch_fixture f;
    const hl_subscription_options options = batch_of(5, HL_SECOND);
    set_up_batch(&f, &options);
    for (uint64_t value = 1; value <= 17; value++) {
        publish(f.feed, f.trade, 1, value);
        turn_all(f.bus);
        cr_assert_eq(f.seen.count, value / 5 * 5, "after event %lu", value);
        cr_assert_eq(stats_of(f.subscription).queued, value % 5);
    }
    cr_assert_eq(f.seen.batches, 3);
    assert_conserved(f.bus);
    manual_stop(f.bus);
    assert_values_follow(&f.seen, 1, 17); /* the stop delivered the rest */
    cr_assert_eq(f.seen.batches, 4);
}

Test(dispatch, a_batch_is_delivered_when_its_oldest_event_has_waited)
{
    static batch_fixture f;
    const hl_subscription_options options = batch_of(100, HL_MILLISECOND);
    set_up_batch(&f, &options);
    publish(f.feed, f.trade, 1, 1);
    turn_all(f.bus);
    manual_now_ns += HL_MILLISECOND - 1;
    publish(f.feed, f.trade, 1, 2);
    turn_all(f.bus);
    cr_assert_eq(f.seen.count, 0, "1 ns early");
    manual_now_ns += 1;
    turn_all(f.bus);
    assert_values_follow(&f.seen, 1, 2);
    cr_assert_eq(f.seen.batches, 1);
    publish(f.feed, f.trade, 1, 3);
    turn_all(f.bus);
    manual_now_ns += HL_MILLISECOND - 1;
    turn_all(f.bus);
    cr_assert_eq(f.seen.count, 2, "the next one waits anew");
    manual_now_ns += 1;
    turn_all(f.bus);
    assert_values_follow(&f.seen, 1, 3);
    manual_stop(f.bus);
}

Test(dispatch, a_batch_that_waits_for_nothing_is_a_run)
{
    static batch_fixture f;
    const hl_subscription_options options = batch_of(100, 0);
    set_up_batch(&f, &options);
    uint64_t value = 1;
    for (uint32_t round = 1; round <= 4; round++) {
        for (int i = 0; i < 3; i++)
            publish(f.feed, f.trade, 1, value++);
        turn_all(f.bus);
        cr_assert_eq(f.seen.count, round * 3);
    }
    cr_assert_geq(f.seen.batches, 4);
    cr_assert_leq(f.seen.batches, 6, "one a run, and the ring's end may split one");
    assert_values_follow(&f.seen, 1, 12);
    manual_stop(f.bus);
}

Test(dispatch, urgent_events_are_batches_of_one_unless_asked_otherwise)
{
    for (int urgent = 0; urgent < 2; urgent++) {
        static batch_fixture f;
        memset(&f, 0, sizeof f);
        hl_subscription_options options = batch_of(4, HL_SECOND);
        options.batch_urgent = urgent != 0;
        set_up_batch(&f, &options);
        for (uint64_t value = 1; value <= 4; value++) {
            publish(f.feed, f.order, 1, value);
            turn_all(f.bus);
            cr_assert_eq(f.seen.count, urgent ? value / 4 * 4 : value);
        }
        cr_assert_eq(f.seen.batches, urgent ? 1 : 4);
        manual_stop(f.bus);
    }
}

Test(dispatch, an_unfinished_batch_is_cancelled_with_its_subscription)
{
    static batch_fixture f;
    const hl_subscription_options options = batch_of(5, HL_SECOND);
    set_up_batch(&f, &options);
    for (uint64_t value = 1; value <= 7; value++) {
        publish(f.feed, f.trade, 1, value);
        turn_all(f.bus);
    }
    cr_assert_eq(hl_unsubscribe(f.subscription, HL_SECOND, NULL), HL_OK);
    manual_now_ns += 2 * HL_SECOND;
    turn_all(f.bus);
    cr_assert_eq(f.seen.count, 5);
    hl_bus_stop(f.bus, HL_SECOND);
    hl_subscription_stats row;
    cr_assert_eq(hl_bus_subscription_stats(f.bus, 0, &row), HL_OK);
    cr_assert(row.closed);
    cr_assert_eq(row.delivered, 7);
    cr_assert_eq(row.handled, 5);
    cr_assert_eq(row.cancelled, 2);
    assert_conserved(f.bus);
    hl_bus_destroy(f.bus);
}

Test(dispatch, a_batch_that_is_rejected_is_given_up_whole)
{
    static batch_fixture f;
    const hl_subscription_options options = batch_of(3, HL_SECOND);
    set_up_batch(&f, &options);
    f.seen.answer = HL_REJECT;
    for (uint64_t value = 1; value <= 6; value++)
        publish(f.feed, f.trade, 1, value);
    turn_all(f.bus);
    const hl_subscription_stats stats = stats_of(f.subscription);
    cr_assert_eq(stats.failures, 2);
    cr_assert_eq(stats.skipped + stats.dead_lettered, 6);
    cr_assert_eq(stats.handled, 0);
    manual_stop(f.bus);
}

/* A batch outlives its slots, which are used again many times meanwhile. */
Test(dispatch, a_waiting_batch_keeps_its_events_whole)
{
    static batch_fixture f;
    const hl_subscription_options options = batch_of(64, HL_SECOND);
    set_up_batch(&f, &options);
    for (uint64_t value = 1; value <= 63; value++) {
        publish(f.feed, f.trade, value * 3, value);
        turn_all(f.bus);
    }
    manual_now_ns += HL_SECOND;
    turn_all(f.bus);
    assert_values_follow(&f.seen, 1, 63);
    for (uint32_t i = 0; i < 63; i++)
        cr_assert_eq(f.seen.entries[i].key, (i + 1) * 3);
    manual_stop(f.bus);
}

static hl_status batch_forward(const hl_batch *batch, hl_publisher *out, void *context)
{
    const hl_topic to = *(const hl_topic *)context;
    return hl_try_publish(out, to, batch->count, NULL, 0);
}

Test(dispatch, a_batch_publishes_with_its_last_event_as_the_cause)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade"), order = topic(bus, "order.new");
    static recorder orders;
    subscribe(bus, "order.*", &orders, NULL);
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.batch = batch_forward;
    options.batch_events = 3;
    hl_subscription *subscription;
    cr_assert_eq(hl_subscribe(bus, "market_data.*", NULL, (void *)(uintptr_t)&order, &options,
                              &subscription),
                 HL_OK);
    hl_publisher *const feed = open_publisher(bus, "feed", "market_data");
    for (uint64_t value = 1; value <= 4; value++)
        publish(feed, trade, 1, value);
    turn_all(bus);
    manual_now_ns += HL_SECOND;
    turn_all(bus);
    cr_assert_eq(orders.count, 2);
    cr_assert_eq(orders.entries[0].key, 3);
    cr_assert_eq(hl_id_sequence(orders.entries[0].causation_id), 3);
    cr_assert_eq(orders.entries[1].key, 1);
    cr_assert_eq(hl_id_sequence(orders.entries[1].causation_id), 4);
    manual_stop(bus);
}

/* A flood of what is higher must not hold a batch that is due for ever. */
Test(dispatch, a_due_batch_is_served_under_a_flood_of_higher_events)
{
    hl_domain_config domain = manual_domains[MANUAL_MARKET_DATA];
    domain.ring_slots = 4096;
    hl_config config = manual_config();
    config.domains = &domain;
    config.domain_count = 1;
    hl_bus *const bus = manual_start(&config);
    hl_topic_options any = HL_TOPIC_OPTIONS_INIT;
    any.any_priority = true;
    hl_topic trade;
    cr_assert_eq(hl_topic_declare(bus, "market_data.trade", &any, &trade), HL_OK);
    const hl_subscription_options options = batch_of(100, HL_MILLISECOND);
    static recorder batches;
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    const hl_subscription *const s = subscribe(bus, "market_data.trade", &batches, &options);
    publish(feed, trade, 1, 1);
    turn_all(bus);
    cr_assert_eq(stats_of(s).queued, 1);
    manual_now_ns += HL_MILLISECOND;
    for (uint32_t i = 0; i < 1000; i++) {
        hl_claim claim;
        cr_assert_eq(hl_try_claim_priority(feed, trade, 1, HL_HIGH, 0, &claim), HL_OK);
        hl_commit(&claim);
    }
    uint32_t taken = 0;
    while (stats_of(s).queued != 0) {
        taken += turn(bus, "market_data", 1);
        cr_assert_leq(taken, 2 * config.guard_interval, "it still waits after %u events", taken);
    }
    turn_all(bus);
    manual_stop(bus);
}

/* ---- initial images ---- */

Test(dispatch, an_image_is_as_of_s_and_then_comes_the_stream)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic quote = topic_of_kind(bus, "market_data.quote", HL_STATE);
    const hl_topic trade = topic(bus, "market_data.trade");
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    uint64_t value = 1;
    for (; value <= 6; value++)
        publish(feed, value == 4 ? trade : quote, value % 3, value);
    turn_all(bus);
    publish(feed, quote, 0, value++); /* committed, not yet taken: before or after S, not both */
    static recorder seen;
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.initial_image = true;
    const hl_subscription *const s = subscribe(bus, "market_data.*", &seen, &options);
    uint64_t start = 0;
    cr_assert_eq(hl_subscription_start(s, 0, &start), HL_NOT_FOUND, "not taken up yet");
    publish(feed, trade, 0, value++);
    turn_all(bus);
    cr_assert_eq(hl_subscription_start(s, 0, &start), HL_OK);
    uint32_t images = 0;
    for (; images < seen.count && (seen.entries[images].flags & HL_EVENT_IMAGE) != 0; images++)
        cr_assert_leq(seen.entries[images].sequence, start);
    cr_assert_eq(images, 3, "one for each key");
    uint64_t sequences = 0;
    for (uint32_t i = 0; i < images; i++)
        sequences += seen.entries[i].sequence;
    cr_assert_eq(sequences, 1 + 5 + 6, "the newest of each key");
    for (uint32_t i = images; i < seen.count; i++) {
        cr_assert_eq(seen.entries[i].flags & HL_EVENT_IMAGE, 0);
        cr_assert_eq(seen.entries[i].sequence, start + 1 + (i - images), "then the stream");
    }
    cr_assert_eq(seen.entries[seen.count - 1].sequence, hl_bus_sequence(bus, 0));
    cr_assert_eq(stats_of(s).delivered, seen.count);
    manual_stop(bus);
}

Test(dispatch, an_image_comes_in_batches_too)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic quote = topic_of_kind(bus, "market_data.quote", HL_STATE);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    for (uint64_t key = 0; key < 8; key++)
        publish(feed, quote, key, 100 + key);
    turn_all(bus);
    static recorder seen;
    hl_subscription_options options = batch_of(5, HL_MILLISECOND);
    options.initial_image = true;
    subscribe(bus, "market_data.quote", &seen, &options);
    turn_all(bus);
    cr_assert_eq(seen.count, 5);
    publish(feed, quote, 99, 108);
    turn_all(bus);
    manual_now_ns += HL_MILLISECOND;
    turn_all(bus);
    assert_values_follow(&seen, 100, 9);
    cr_assert_eq(seen.batches, 2);
    for (uint32_t i = 0; i < 9; i++)
        cr_assert_eq(seen.entries[i].flags & HL_EVENT_IMAGE, i < 8 ? HL_EVENT_IMAGE : 0);
    manual_stop(bus);
}

Test(dispatch, the_batch_of_an_image_waits_from_when_it_began)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic quote = topic_of_kind(bus, "market_data.quote", HL_STATE);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    publish(feed, quote, 1, 1);
    turn_all(bus);
    manual_now_ns += HL_SECOND; /* nothing happens for a while */
    static recorder seen;
    hl_subscription_options options = batch_of(5, HL_MILLISECOND);
    options.initial_image = true;
    subscribe(bus, "market_data.quote", &seen, &options);
    turn_all(bus);
    manual_now_ns += HL_MILLISECOND - 1;
    turn_all(bus);
    cr_assert_eq(seen.count, 0, "1 ns early");
    manual_now_ns += 1;
    turn_all(bus);
    cr_assert_eq(seen.count, 1);
    manual_stop(bus);
}

Test(dispatch, an_image_of_shards_has_the_keys_of_all)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic level = topic_of_kind(bus, "spread.level", HL_STATE);
    hl_publisher *const feed = open_publisher(bus, "feed", "spread");
    for (uint64_t key = 0; key < 16; key++) {
        publish(feed, level, key, 1000 + key);
        turn_all(bus);
    }
    static recorder seen;
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.initial_image = options.concurrent = true;
    subscribe(bus, "spread.level", &seen, &options);
    turn_all(bus);
    cr_assert_eq(seen.count, 16);
    uint64_t keys = 0;
    for (uint32_t i = 0; i < 16; i++) {
        cr_assert_eq(seen.entries[i].value, 1000 + seen.entries[i].key);
        keys |= 1u << seen.entries[i].key;
    }
    cr_assert_eq(keys, 0xffff);
    manual_stop(bus);
}
