#include "bus/conflating.h"

#include "manual_bus.h"

/* `account` conflates its own priority, LOW, with room for 4 keys; its handlers' rings have 4
 * slots. */
static hl_bus *start_conflating(void)
{
    hl_domain_config domains[MANUAL_DOMAINS];
    const hl_config config = manual_config_of(domains);
    domains[MANUAL_ACCOUNT].conflates = "low";
    domains[MANUAL_ACCOUNT].conflate_keys = 4;
    return manual_start(&config);
}

static void assert_lane(const hl_bus *bus, uint64_t committed, uint64_t dispatched,
                        uint64_t conflated, uint64_t pending)
{
    const hl_lane_stats lane = lane_stats(bus, "account", HL_LOW);
    cr_assert_eq(lane.committed, committed, "committed %lu", lane.committed);
    cr_assert_eq(lane.dispatched, dispatched, "dispatched %lu", lane.dispatched);
    cr_assert_eq(lane.conflated, conflated, "conflated %lu", lane.conflated);
    cr_assert_eq(lane.pending, pending, "pending %lu", lane.pending);
}

static recorder seen;

Test(conflating, the_newest_of_each_key_comes_in_the_order_of_the_first_that_was_unread)
{
    hl_bus *const bus = start_conflating();
    const hl_topic pnl = topic_of_kind(bus, "account.pnl", HL_STATE);
    const hl_topic margin = topic_of_kind(bus, "account.margin", HL_STATE);
    subscribe(bus, "account.*", &seen, NULL);
    hl_publisher *const desk = open_publisher(bus, "desk", NULL);
    publish(desk, pnl, 7, 1);
    publish(desk, margin, 7, 2);
    for (uint64_t value = 3; value < 1000; value++)
        publish(desk, pnl, 7 + value % 2, value);
    assert_lane(bus, 999, 0, 0, 999);
    assert_conserved(bus);
    turn_all(bus);
    cr_assert_eq(seen.count, 3);
    cr_assert_eq(seen.entries[0].value, 998);
    cr_assert_eq(seen.entries[0].key, 7);
    cr_assert_eq(seen.entries[1].value, 2, "another topic is another key");
    cr_assert_eq(seen.entries[2].value, 999);
    cr_assert((seen.entries[0].flags & HL_EVENT_CONFLATED) != 0);
    cr_assert((seen.entries[1].flags & HL_EVENT_CONFLATED) == 0, "stands for itself alone");
    cr_assert((seen.entries[1].flags & HL_EVENT_EXTERNAL) != 0);
    cr_assert_eq(seen.entries[2].sequence, 3, "what was conflated has no sequence");
    assert_lane(bus, 999, 3, 996, 0);
    publish(desk, pnl, 7, 5000);
    turn_all(bus);
    cr_assert_eq(seen.entries[3].value, 5000);
    cr_assert((seen.entries[3].flags & HL_EVENT_CONFLATED) == 0);
    manual_stop(bus);
}

Test(conflating, every_publisher_of_the_lane_writes_to_the_same_table)
{
    hl_bus *const bus = start_conflating();
    const hl_topic pnl = topic_of_kind(bus, "account.pnl", HL_STATE);
    subscribe(bus, "account.*", &seen, NULL);
    hl_publisher *const one = open_publisher(bus, "one", NULL);
    hl_publisher *const two = open_publisher(bus, "two", "account");
    hl_shared_publisher *many;
    cr_assert_eq(hl_shared_publisher_open(bus, "many", NULL, &many), HL_OK);
    const uint64_t value = 3;
    publish(one, pnl, 1, 1);
    publish(two, pnl, 1, 2);
    cr_assert_eq(hl_shared_publish(many, pnl, 1, &value, sizeof value), HL_OK);
    turn_all(bus);
    cr_assert_eq(seen.count, 1);
    cr_assert_eq(seen.entries[0].value, 3);
    hl_publisher_close(one);
    publish(two, pnl, 1, 4);
    turn_all(bus);
    cr_assert_eq(seen.entries[1].value, 4);
    assert_lane(bus, 4, 2, 2, 0);
    manual_stop(bus);
}

Test(conflating, a_key_beyond_the_limit_is_refused_and_counted)
{
    hl_bus *const bus = start_conflating();
    const hl_topic pnl = topic_of_kind(bus, "account.pnl", HL_STATE);
    hl_publisher *const desk = open_publisher(bus, "desk", NULL);
    const uint64_t value = 1;
    for (uint64_t key = 0; key < 4; key++)
        publish(desk, pnl, key, key);
    cr_assert_eq(hl_try_publish(desk, pnl, 4, &value, sizeof value), HL_LIMIT);
    cr_assert_eq(hl_publish(desk, pnl, 4, &value, sizeof value), HL_LIMIT, "nothing to wait for");
    publish(desk, pnl, 3, 5);
    assert_door(bus, "account", 5, 2, 0);
    manual_stop(bus);
}

Test(conflating, a_claim_is_one_cell_that_may_be_given_up)
{
    hl_bus *const bus = start_conflating();
    const hl_topic pnl = topic_of_kind(bus, "account.pnl", HL_STATE);
    subscribe(bus, "account.*", &seen, NULL);
    hl_publisher *const desk = open_publisher(bus, "desk", NULL);
    hl_claim claim, second;
    cr_assert_eq(hl_try_claim_run(desk, pnl, 1, 8, 2, &claim), HL_INVALID, "no run of cells");
    cr_assert_eq(hl_try_claim(desk, pnl, 1, 4096, &claim), HL_TOO_LARGE);
    cr_assert_eq(hl_try_claim(desk, pnl, 1, 8, &claim), HL_OK);
    cr_assert_eq(hl_try_claim(desk, pnl, 2, 8, &second), HL_BUSY, "one at a time");
    *(uint64_t *)claim.payload = 11;
    hl_abort(&claim);
    hl_abort(&claim);
    cr_assert_eq(turn_all(bus), 0);
    cr_assert_eq(hl_try_claim(desk, pnl, 1, 8, &claim), HL_OK);
    *(uint64_t *)claim.payload = 12;
    claim.event->correlation_id = 99;
    hl_commit(&claim);
    hl_commit(&claim);
    turn_all(bus);
    cr_assert_eq(seen.count, 1);
    cr_assert_eq(seen.entries[0].value, 12);
    cr_assert_eq(seen.entries[0].correlation_id, 99);
    assert_door(bus, "account", 1, 2, 1);
    cr_assert_eq(hl_try_claim(desk, pnl, 1, 8, &claim), HL_OK);
    hl_publisher_close(desk);
    assert_door(bus, "account", 1, 2, 2);
    manual_stop(bus);
}

typedef struct relay {
    hl_topic to;
    uint32_t copies;
    hl_status answer, refused, reserved;
} relay;

static hl_status pass_on(const hl_event *event, hl_publisher *out, void *context)
{
    relay *const self = context;
    const uint64_t value = value_of(event);
    self->reserved = hl_reserve(out, self->to, event->key, 1);
    for (uint64_t i = 0; i < self->copies; i++) {
        const uint64_t next = value + i;
        const hl_status status = hl_try_publish(out, self->to, event->key, &next, sizeof next);
        if (status != HL_OK)
            self->refused = status;
    }
    return self->answer;
}

Test(conflating, what_a_handler_publishes_is_seen_when_it_succeeds_and_never_when_it_fails)
{
    hl_bus *const bus = start_conflating();
    const hl_topic trade = topic(bus, "market_data.trade");
    relay to = {topic_of_kind(bus, "account.pnl", HL_STATE), 3, HL_OK, HL_OK, HL_OK};
    subscribe(bus, "account.*", &seen, NULL);
    cr_assert_eq(hl_subscribe(bus, "market_data.trade", pass_on, &to, NULL, NULL), HL_OK);
    hl_publisher *const feed = open_publisher(bus, "feed", "market_data");
    publish(feed, trade, 1, 100);
    publish(feed, trade, 1, 200);
    turn(bus, "market_data", 0);
    assert_lane(bus, 6, 0, 0, 6);
    to.answer = HL_FAILED;
    publish(feed, trade, 1, 300);
    turn_all(bus);
    cr_assert_eq(seen.count, 1);
    cr_assert_eq(seen.entries[0].value, 202);
    cr_assert_eq(seen.entries[0].causation_id, hl_event_id_of(0, 2));
    assert_door(bus, "account", 6, 0, 3);
    /* Its staging ring, of 4 slots, does not fill up from call to call. */
    to.answer = HL_OK;
    for (uint64_t value = 0; value < 8; value++)
        publish(feed, trade, 1, value);
    turn(bus, "market_data", 0);
    cr_assert_eq(to.refused, HL_OK);
    to.copies = 6;
    publish(feed, trade, 1, 400);
    turn_all(bus);
    cr_assert_eq(to.refused, HL_FULL, "more in one call than one and what its ring holds");
    cr_assert_eq(seen.entries[1].value, 404);
    manual_stop(bus);
}

/* A run of two, then one more, of the same key. */
static hl_status pass_on_a_run_first(const hl_event *event, hl_publisher *out, void *context)
{
    const hl_topic *const to = context;
    const uint64_t last = value_of(event) + 2;
    hl_claim claim;
    const hl_status status = hl_try_claim_run(out, *to, event->key, sizeof last, 2, &claim);
    if (status != HL_OK)
        return status;
    for (uint32_t i = 0; i < 2; i++)
        *(uint64_t *)(void *)(hl_claim_event(&claim, i) + 1) = value_of(event) + i;
    hl_commit(&claim);
    return hl_try_publish(out, *to, event->key, &last, sizeof last);
}

Test(conflating, what_a_handler_publishes_after_a_run_is_newer_than_the_run)
{
    hl_bus *const bus = start_conflating();
    const hl_topic trade = topic(bus, "market_data.trade");
    hl_topic pnl = topic_of_kind(bus, "account.pnl", HL_STATE);
    subscribe(bus, "account.*", &seen, NULL);
    cr_assert_eq(hl_subscribe(bus, "market_data.trade", pass_on_a_run_first, &pnl, NULL, NULL),
                 HL_OK);
    publish(open_publisher(bus, "feed", "market_data"), trade, 1, 100);
    turn_all(bus);
    cr_assert_eq(seen.count, 1);
    cr_assert_eq(seen.entries[0].value, 102, "not %lu", seen.entries[0].value);
    assert_lane(bus, 3, 1, 2, 0);
    manual_stop(bus);
}

/* All of its ring, of 4 slots, in one run; where there are no runs a fifth event would have room.
 */
static hl_status reserve_a_run(const hl_event *event, hl_publisher *out, void *context)
{
    const hl_topic to = *(const hl_topic *)context;
    const uint64_t value = value_of(event);
    hl_claim claim;
    cr_assert_eq(hl_reserve(out, to, event->key, 5), HL_FULL);
    cr_assert_eq(hl_reserve(out, to, event->key, 4), HL_OK);
    if (value == 0) {
        cr_assert_eq(hl_try_claim_run(out, to, event->key, sizeof value, 4, &claim), HL_OK);
        hl_abort(&claim);
        cr_assert_eq(hl_reserve(out, to, event->key, 1), HL_FULL);
        cr_assert_eq(hl_try_publish(out, to, event->key, &value, sizeof value), HL_FULL);
        return HL_OK;
    }
    cr_assert_eq(hl_try_publish(out, to, event->key, &value, sizeof value), HL_OK);
    cr_assert_eq(hl_reserve(out, to, event->key, 4), HL_OK);
    cr_assert_eq(hl_try_claim_run(out, to, event->key, sizeof value, 4, &claim), HL_OK);
    hl_abort(&claim);
    return HL_OK;
}

Test(conflating, what_a_handler_has_reserved_it_may_claim_in_runs)
{
    hl_bus *const bus = start_conflating();
    const hl_topic trade = topic(bus, "market_data.trade");
    hl_topic pnl = topic_of_kind(bus, "account.pnl", HL_STATE);
    cr_assert_eq(hl_subscribe(bus, "market_data.trade", reserve_a_run, &pnl, NULL, NULL), HL_OK);
    hl_publisher *const feed = open_publisher(bus, "feed", "market_data");
    publish(feed, trade, 1, 0);
    publish(feed, trade, 1, 1);
    turn_all(bus);
    assert_door(bus, "account", 1, 1, 8);
    manual_stop(bus);
}

Test(conflating, a_handler_hears_of_the_limit_when_it_publishes)
{
    hl_bus *const bus = start_conflating();
    const hl_topic trade = topic(bus, "market_data.trade");
    relay to = {topic_of_kind(bus, "account.pnl", HL_STATE), 1, HL_OK, HL_OK, HL_OK};
    cr_assert_eq(hl_subscribe(bus, "market_data.trade", pass_on, &to, NULL, NULL), HL_OK);
    hl_publisher *const feed = open_publisher(bus, "feed", "market_data");
    for (uint64_t key = 0; key < 5; key++) {
        cr_assert_eq(to.refused, HL_OK);
        cr_assert_eq(to.reserved, HL_OK);
        publish(feed, trade, key, key);
        turn_all(bus);
    }
    cr_assert_eq(to.reserved, HL_LIMIT);
    cr_assert_eq(to.refused, HL_LIMIT);
    assert_door(bus, "account", 4, 1, 0);
    manual_stop(bus);
}

Test(conflating, only_topics_whose_older_values_are_worth_nothing_may_lie_there)
{
    hl_bus *const bus = start_conflating();
    hl_topic ignored;
    hl_topic_options options = HL_TOPIC_OPTIONS_INIT;
    cr_assert_eq(hl_topic_declare(bus, "account.fee", NULL, &ignored), HL_NOT_ALLOWED);
    assert_sentence(bus, HL_NOT_ALLOWED, "topic account.fee");
    options.kind = HL_EXPENDABLE;
    cr_assert_eq(hl_topic_declare(bus, "account.log", &options, &ignored), HL_NOT_ALLOWED);
    options.kind = HL_DELTA;
    options.priority = HL_NORMAL;
    cr_assert_eq(hl_topic_declare(bus, "account.fee", &options, &ignored), HL_OK, "another lane");
    options.any_priority = true;
    cr_assert_eq(hl_topic_declare(bus, "account.any", &options, &ignored), HL_NOT_ALLOWED);
    assert_sentence(bus, HL_NOT_ALLOWED, "any_priority");
    manual_stop(bus);
}

Test(conflating, what_waits_when_the_bus_stops_passes_or_is_counted)
{
    hl_bus *const bus = start_conflating();
    const hl_topic pnl = topic_of_kind(bus, "account.pnl", HL_STATE);
    subscribe(bus, "account.*", &seen, NULL);
    hl_publisher *const desk = open_publisher(bus, "desk", NULL);
    for (uint64_t value = 0; value < 10; value++)
        publish(desk, pnl, value % 2, value);
    cr_assert_eq(hl_bus_stop(bus, HL_SECOND), HL_OK);
    cr_assert_eq(seen.count, 2);
    assert_lane(bus, 10, 2, 8, 0);
    const uint64_t value = 1;
    cr_assert_eq(hl_try_publish(desk, pnl, 1, &value, sizeof value), HL_CLOSED);
    hl_bus_destroy(bus);
}

static hl_status dawdle(const hl_event *event, hl_publisher *out, void *context)
{
    (void)event, (void)out;
    hl_publisher *const desk = context;
    const uint64_t value = 1;
    hl_try_publish(desk, (hl_topic){event->topic}, event->key, &value, sizeof value);
    return HL_OK;
}

Test(conflating, a_batch_points_into_the_table_and_is_copied_when_it_waits)
{
    hl_bus *const bus = start_conflating();
    const hl_topic pnl = topic_of_kind(bus, "account.pnl", HL_STATE);
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.batch = record_batch;
    options.batch_events = 100;
    subscribe(bus, "account.*", &seen, &options);
    hl_publisher *const desk = open_publisher(bus, "desk", NULL);
    for (uint64_t round = 0; round < 3; round++) {
        for (uint64_t key = 0; key < 4; key++)
            publish(desk, pnl, key, 10 * round + key);
        turn_all(bus);
    }
    cr_assert_eq(seen.count, 0, "it waits for company");
    manual_now_ns += HL_SECOND;
    turn_all(bus);
    cr_assert_eq(seen.count, 12);
    for (uint32_t i = 0; i < 12; i++)
        cr_assert_eq(seen.entries[i].value, 10 * (i / 4) + i % 4);
    manual_stop(bus);
}

Test(conflating, a_value_published_from_outside_while_its_handler_runs_comes_after_it)
{
    hl_bus *const bus = start_conflating();
    const hl_topic pnl = topic_of_kind(bus, "account.pnl", HL_STATE);
    hl_publisher *const desk = open_publisher(bus, "desk", NULL);
    hl_subscription *subscription;
    cr_assert_eq(hl_subscribe(bus, "account.*", dawdle, desk, NULL, &subscription), HL_OK);
    publish(desk, pnl, 1, 0);
    turn(bus, "account", 1);
    assert_lane(bus, 2, 1, 0, 1);
    turn(bus, "account", 1);
    assert_lane(bus, 3, 2, 0, 1);
    hl_unsubscribe(subscription, HL_SECOND, NULL);
    manual_stop(bus);
}
