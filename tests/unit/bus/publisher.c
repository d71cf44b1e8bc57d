#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "manual_bus.h"

static void fill(hl_claim *claim, uint32_t index, uint64_t value)
{
    memcpy(hl_claim_event(claim, index) + 1, &value, sizeof value);
}

/* ---- claims ---- */

Test(publisher, a_claim_carries_what_the_event_is)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic new_order = topic(bus, "order.new");
    hl_publisher *const desk = open_publisher(bus, "desk", "order");
    hl_claim claim;
    cr_assert_eq(hl_try_claim(desk, new_order, 7, 24, &claim), HL_OK);
    cr_assert_eq(claim.count, 1);
    cr_assert_eq(claim.payload_size, 24);
    cr_assert_eq(claim.payload, (const void *)(claim.event + 1));
    cr_assert_eq(claim.event->key, 7);
    cr_assert_eq(claim.event->topic, new_order.number);
    cr_assert_eq(claim.event->payload_size, 24);
    cr_assert_eq(claim.event->priority, HL_CRITICAL);
    cr_assert_eq(claim.event->flags, HL_EVENT_EXTERNAL);
    cr_assert_eq(claim.event->attempt, 0);
    cr_assert_eq(claim.event->schema_version, 0);
    cr_assert_eq(claim.event->correlation_id, 0);
    cr_assert_eq(claim.event->causation_id, 0);
    cr_assert_str_eq(hl_source_name(bus, claim.event->source), "desk");
    manual_now_ns += 5;
    fill(&claim, 0, 42);
    hl_commit(&claim);
    cr_assert_eq(claim.event->published_ns, manual_now_ns, "stamped at commit");
    recorder seen = {0};
    subscribe(bus, "order.new", &seen, NULL);
    turn_all(bus);
    assert_values_follow(&seen, 42, 1);
    cr_assert_eq(seen.entries[0].sequence, 1);
    manual_stop(bus);
}

Test(publisher, claims_are_seen_in_their_order_however_they_are_committed)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    hl_publisher *const feed = open_publisher(bus, "feed", "market_data");
    recorder seen = {0};
    subscribe(bus, "market_data.trade", &seen, NULL);
    hl_claim claims[4];
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert_eq(hl_try_claim(feed, trade, i, 8, &claims[i]), HL_OK);
        fill(&claims[i], 0, i);
    }
    hl_commit(&claims[3]);
    hl_abort(&claims[1]);
    cr_assert_eq(turn_all(bus), 0, "nothing passes the open claim at the head");
    hl_commit(&claims[0]);
    turn_all(bus);
    cr_assert_eq(seen.count, 1);
    hl_commit(&claims[2]);
    turn_all(bus);
    cr_assert_eq(seen.count, 3);
    static const uint64_t values[] = {0, 2, 3};
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(seen.entries[i].value, values[i]);
        cr_assert_eq(seen.entries[i].sequence, i + 1, "the aborted one takes no sequence");
    }
    assert_door(bus, "market_data", 3, 0, 1);
    manual_stop(bus);
}

Test(publisher, a_run_is_claimed_whole_or_not_at_all)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    hl_publisher *const feed = open_publisher(bus, "feed", "market_data");
    recorder seen = {0};
    subscribe(bus, "market_data.trade", &seen, NULL);
    hl_claim run;
    uint64_t value = 0;
    /* Three times the ring, so that runs lie across its end. */
    for (int round = 0; round < 8; round++) {
        cr_assert_eq(hl_try_claim_run(feed, trade, 5, 8, 3, &run), HL_OK);
        cr_assert_eq(run.count, 3);
        for (uint32_t i = 0; i < 3; i++)
            fill(&run, i, value++);
        hl_commit(&run);
        cr_assert_eq(turn_all(bus), 3);
    }
    cr_assert_eq(hl_try_claim_run(feed, trade, 5, 8, 6, &run), HL_OK);
    hl_claim more = {.count = 77};
    cr_assert_eq(hl_try_claim_run(feed, trade, 5, 8, 3, &more), HL_FULL);
    cr_assert_eq(more.count, 77, "untouched");
    cr_assert_eq(hl_try_claim_run(feed, trade, 5, 8, 2, &more), HL_OK, "just what is left");
    hl_abort(&run);
    hl_abort(&more);
    turn_all(bus);
    cr_assert_eq(hl_try_claim_run(feed, trade, 5, 8, 8, &run), HL_OK, "a drained ring, whole");
    hl_abort(&run);
    assert_values_follow(&seen, 0, 24);
    assert_door(bus, "market_data", 24, 3, 16);
    manual_stop(bus);
}

Test(publisher, a_run_of_an_impossible_length_is_refused)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    hl_publisher *const feed = open_publisher(bus, "feed", "market_data");
    hl_claim claim;
    cr_assert_eq(hl_try_claim_run(feed, trade, 5, 8, 0, &claim), HL_INVALID);
    cr_assert_eq(hl_try_claim_run(feed, trade, 5, 8, 9, &claim), HL_INVALID);
    cr_assert_eq(hl_try_claim_run(feed, trade, 5, 8, UINT32_MAX, &claim), HL_INVALID);
    cr_assert_eq(hl_bus_refused(bus), 3, "each call is counted");
    assert_door(bus, "market_data", 0, 0, 0);
    manual_stop(bus);
}

Test(publisher, the_payload_is_bounded_by_the_slot)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    hl_publisher *const feed = open_publisher(bus, "feed", "market_data");
    recorder seen = {0};
    subscribe(bus, "market_data.trade", &seen, NULL);
    const unsigned char payload[65] = {1};
    cr_assert_eq(hl_publish(feed, trade, 1, payload, 65), HL_TOO_LARGE);
    cr_assert_eq(hl_publish(feed, trade, 1, payload, UINT32_MAX), HL_TOO_LARGE);
    cr_assert_eq(hl_publish(feed, trade, 1, payload, 64), HL_OK);
    cr_assert_eq(hl_publish(feed, trade, 1, NULL, 0), HL_OK);
    turn_all(bus);
    cr_assert_eq(seen.count, 2);
    assert_door(bus, "market_data", 2, 2, 0);
    manual_stop(bus);
}

Test(publisher, what_the_caller_sets_in_the_header_travels)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    hl_publisher *const feed = open_publisher(bus, "feed", "market_data");
    recorder seen = {0};
    subscribe(bus, "market_data.trade", &seen, NULL);
    hl_claim claim;
    cr_assert_eq(hl_try_claim(feed, trade, 5, 16, &claim), HL_OK);
    claim.event->correlation_id = 1234;
    claim.event->payload_size = 1;
    *(unsigned char *)claim.payload = 9;
    hl_commit(&claim);
    turn_all(bus);
    cr_assert_eq(seen.entries[0].correlation_id, 1234);
    cr_assert_eq(seen.entries[0].value, 9);
    manual_stop(bus);
}

/* ---- full rings ---- */

Test(publisher, a_ring_takes_its_capacity_and_then_says_full)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    hl_publisher *const feed = open_publisher(bus, "feed", "market_data");
    recorder seen = {0};
    subscribe(bus, "market_data.trade", &seen, NULL);
    for (uint32_t round = 0; round < 5; round++) {
        for (uint32_t i = 0; i < 8; i++)
            publish(feed, trade, 1, round * 8 + i);
        const uint64_t value = 0;
        cr_assert_eq(hl_publish(feed, trade, 1, &value, 8), HL_FULL);
        cr_assert_eq(hl_try_publish(feed, trade, 1, &value, 8), HL_FULL);
        cr_assert_eq(lane_stats(bus, "market_data", HL_NORMAL).pending, 8);
        cr_assert_eq(turn_all(bus), 8);
    }
    assert_values_follow(&seen, 0, 40);
    assert_door(bus, "market_data", 40, 10, 0);
    manual_stop(bus);
}

Test(publisher, warming_goes_the_way_of_a_publish_and_publishes_nothing)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    hl_publisher *const feed = open_publisher(bus, "feed", "market_data");
    recorder seen = {0};
    subscribe(bus, "market_data.trade", &seen, NULL);
    for (uint64_t round = 0; round < 10; round++) {
        for (int i = 0; i < 3; i++)
            cr_assert_eq(hl_warm(feed, trade, round), HL_OK);
        publish(feed, trade, round, round);
        cr_assert_eq(hl_warm(feed, trade, round), HL_OK);
        cr_assert_eq(turn_all(bus), 1);
    }
    assert_values_follow(&seen, 0, 10);
    assert_door(bus, "market_data", 10, 0, 40);
    for (int i = 0; i < 8; i++)
        cr_assert_eq(hl_warm(feed, trade, 0), HL_OK);
    cr_assert_eq(hl_warm(feed, trade, 0), HL_FULL);
    turn_all(bus);
    cr_assert_eq(hl_warm(feed, trade, 0), HL_OK);
    assert_door(bus, "market_data", 10, 1, 49);
    manual_stop(bus);
}

static hl_status warm_from_a_handler(const hl_event *event, hl_publisher *out, void *context)
{
    hl_status *const answer = context;
    *answer = hl_warm(out, (hl_topic){event->topic}, event->key);
    return HL_OK;
}

Test(publisher, what_cannot_be_warmed_says_so_and_is_counted)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    hl_publisher *const feed = open_publisher(bus, "feed", "market_data");
    cr_assert_eq(hl_warm(feed, topic(bus, "order.new"), 1), HL_NO_LANE);
    cr_assert_eq(hl_warm(feed, (hl_topic){9999}, 1), HL_INVALID);
    hl_publisher_options options = HL_PUBLISHER_OPTIONS_INIT;
    hl_publisher *batching, *limited;
    options.batch_events = 8;
    cr_assert_eq(hl_publisher_open(bus, "batching", &options, &batching), HL_OK);
    cr_assert_eq(hl_warm(batching, trade, 1), HL_NOT_ALLOWED, "it would end the batch");
    options.batch_events = 0;
    options.throttle.rate_per_s = 1;
    cr_assert_eq(hl_publisher_open(bus, "limited", &options, &limited), HL_OK);
    cr_assert_eq(hl_warm(limited, trade, 1), HL_NOT_ALLOWED, "it would take a token");
    cr_assert_eq(hl_bus_refused(bus), 4);
    hl_status answer = HL_OK;
    cr_assert_eq(hl_subscribe(bus, "market_data.trade", warm_from_a_handler, &answer, NULL, NULL),
                 HL_OK);
    publish(feed, trade, 1, 1);
    turn_all(bus);
    cr_assert_eq(answer, HL_NOT_ALLOWED);
    assert_door(bus, "market_data", 1, 0, 0);
    cr_assert_eq(hl_bus_stop(bus, HL_SECOND), HL_OK);
    cr_assert_eq(hl_warm(feed, trade, 1), HL_CLOSED);
    hl_bus_destroy(bus);
}

Test(publisher, each_publisher_has_a_ring_of_its_own)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    hl_publisher_options options = HL_PUBLISHER_OPTIONS_INIT;
    options.ring_slots = 2;
    hl_publisher *small;
    cr_assert_eq(hl_publisher_open(bus, "small", &options, &small), HL_OK);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    const uint64_t value = 0;
    publish(small, trade, 1, 1);
    publish(small, trade, 1, 2);
    cr_assert_eq(hl_try_publish(small, trade, 1, &value, 8), HL_FULL);
    publish(feed, trade, 1, 3);
    cr_assert_eq(turn_all(bus), 3);
    manual_stop(bus);
}

Test(publisher, a_blocking_domain_waits_its_time_for_room)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic pnl = topic(bus, "account.pnl");
    hl_publisher *const clerk = open_publisher(bus, "clerk", NULL);
    hl_shared_publisher *clerks;
    cr_assert_eq(hl_shared_publisher_open(bus, "clerks", NULL, &clerks), HL_OK);
    uint64_t value = 0;
    for (; value < 8; value++) {
        publish(clerk, pnl, 1, value);
        cr_assert_eq(hl_shared_publish(clerks, pnl, 1, &value, 8), HL_OK);
    }
    hl_claim claim;
    cr_assert_eq(hl_publish(clerk, pnl, 1, &value, 8), HL_TIMEOUT);
    cr_assert_eq(hl_claim_wait(clerk, pnl, 1, 8, &claim), HL_TIMEOUT);
    cr_assert_eq(hl_claim_run_wait(clerk, pnl, 1, 8, 2, &claim), HL_TIMEOUT);
    cr_assert_eq(hl_shared_publish(clerks, pnl, 1, &value, 8), HL_TIMEOUT);
    cr_assert_eq(hl_shared_claim_wait(clerks, pnl, 1, 8, &claim), HL_TIMEOUT);
    cr_assert_eq(hl_shared_claim_run_wait(clerks, pnl, 1, 8, 2, &claim), HL_TIMEOUT);
    cr_assert_eq(hl_try_publish(clerk, pnl, 1, &value, 8), HL_FULL, "try_ never waits");
    cr_assert_eq(hl_try_claim(clerk, pnl, 1, 8, &claim), HL_FULL);
    cr_assert_eq(hl_shared_try_publish(clerks, pnl, 1, &value, 8), HL_FULL);
    cr_assert_eq(hl_shared_try_claim(clerks, pnl, 1, 8, &claim), HL_FULL);
    cr_assert_eq(hl_shared_try_claim_priority(clerks, pnl, 1, HL_LOW, 8, &claim), HL_FULL);
    assert_door(bus, "account", 16, 13, 0);
    manual_stop(bus);
}

/* Publishes one event, waiting for room. */
typedef struct waiting_publish {
    hl_publisher *publisher; /* NULL: by the shared one, in place */
    hl_shared_publisher *shared;
    hl_topic topic;
    hl_status status;
} waiting_publish;

static void *publish_and_wait(void *context)
{
    waiting_publish *const waiting = context;
    const uint64_t value = 8;
    hl_claim claim;
    if (waiting->publisher != NULL) {
        waiting->status = hl_publish(waiting->publisher, waiting->topic, 1, &value, sizeof value);
        return NULL;
    }
    waiting->status =
        hl_shared_claim_wait(waiting->shared, waiting->topic, 1, sizeof value, &claim);
    if (waiting->status == HL_OK) {
        memcpy(claim.payload, &value, sizeof value);
        hl_commit(&claim);
    }
    return NULL;
}

static void wait_without_end(bool shared)
{
    hl_domain_config domains[MANUAL_DOMAINS];
    const hl_config config = manual_config_of(domains);
    domains[MANUAL_ACCOUNT].block_timeout_ns = UINT64_MAX;
    hl_bus *const bus = manual_start(&config);
    waiting_publish waiting = {.topic = topic(bus, "account.pnl"), .status = HL_FAILED};
    static recorder seen;
    seen.count = 0;
    if (shared)
        cr_assert_eq(hl_shared_publisher_open(bus, "clerks", NULL, &waiting.shared), HL_OK);
    else
        waiting.publisher = open_publisher(bus, "clerk", NULL);
    subscribe(bus, "account.pnl", &seen, NULL);
    for (uint64_t value = 0; value < 8; value++)
        if (shared)
            cr_assert_eq(hl_shared_publish(waiting.shared, waiting.topic, 1, &value, sizeof value),
                         HL_OK);
        else
            publish(waiting.publisher, waiting.topic, 1, value);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, publish_and_wait, &waiting), 0);
    /* Until it has tried, and some: a wait that ends too early has ended by then. */
    while (lane_stats(bus, "account", HL_LOW).attempts != 9)
        sched_yield();
    usleep(20000);
    turn_all(bus);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(waiting.status, HL_OK, "%s", hl_status_name(waiting.status));
    turn_all(bus);
    assert_values_follow(&seen, 0, 9);
    manual_stop(bus);
}

Test(publisher, a_block_timeout_without_end_ends_when_there_is_room)
{
    wait_without_end(false);
    wait_without_end(true);
}

/* ---- what is refused ---- */

Test(publisher, a_priority_of_its_own_needs_a_topic_that_allows_it)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    hl_publisher *const feed = open_publisher(bus, "feed", "market_data:HIGH|NORMAL");
    hl_claim claim;
    cr_assert_eq(hl_try_claim_priority(feed, trade, 1, HL_HIGH, 8, &claim), HL_NOT_ALLOWED);
    cr_assert_eq(hl_try_claim_priority(feed, trade, 1, HL_NORMAL, 8, &claim), HL_OK);
    hl_abort(&claim);
    cr_assert_eq(hl_try_claim_priority(feed, trade, 1, HL_PRIORITIES, 8, &claim), HL_INVALID);
    cr_assert_eq(hl_try_claim_priority(feed, trade, 1, (hl_priority)-1, 8, &claim), HL_INVALID);
    cr_assert_eq(hl_bus_refused(bus), 3);
    manual_stop(bus);
}

Test(publisher, a_shared_publisher_claims_by_priority_too)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    hl_topic_options options = HL_TOPIC_OPTIONS_INIT;
    options.any_priority = true;
    hl_topic any;
    cr_assert_eq(hl_topic_declare(bus, "market_data.any", &options, &any), HL_OK);
    hl_shared_publisher *feeds;
    hl_publisher_options uses = HL_PUBLISHER_OPTIONS_INIT;
    uses.uses = "market_data:HIGH|NORMAL";
    cr_assert_eq(hl_shared_publisher_open(bus, "feeds", &uses, &feeds), HL_OK);
    static recorder seen;
    subscribe(bus, "market_data.any", &seen, NULL);
    hl_claim claim;
    cr_assert_eq(hl_shared_try_claim_priority(feeds, trade, 1, HL_HIGH, 8, &claim), HL_NOT_ALLOWED);
    cr_assert_eq(hl_shared_try_claim_priority(feeds, any, 1, HL_LOW, 8, &claim), HL_NO_LANE);
    cr_assert_eq(hl_shared_try_claim_priority(feeds, any, 1, HL_PRIORITIES, 8, &claim), HL_INVALID);
    cr_assert_eq(hl_shared_try_claim_priority(feeds, any, 1, (hl_priority)-1, 8, &claim),
                 HL_INVALID);
    cr_assert_eq(hl_bus_refused(bus), 4);
    for (uint64_t value = 2; value-- > 0;) {
        cr_assert_eq(hl_shared_try_claim_priority(feeds, any, 1, value == 0 ? HL_HIGH : HL_NORMAL,
                                                  sizeof value, &claim),
                     HL_OK);
        memcpy(claim.payload, &value, sizeof value);
        hl_commit(&claim);
    }
    turn_all(bus);
    assert_values_follow(&seen, 0, 2);
    cr_assert_eq(seen.entries[0].priority, HL_HIGH);
    manual_stop(bus);
}

Test(publisher, a_topic_that_is_none_is_refused_and_counted)
{
    hl_bus *const bus = manual_start(NULL);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    const uint64_t value = 1;
    cr_assert_eq(hl_publish(feed, (hl_topic){0}, 1, &value, 8), HL_INVALID);
    cr_assert_eq(hl_publish(feed, (hl_topic){255}, 1, &value, 8), HL_INVALID);
    cr_assert_eq(hl_publish(feed, (hl_topic){256}, 1, &value, 8), HL_INVALID);
    cr_assert_eq(hl_publish(feed, (hl_topic){UINT32_MAX}, 1, &value, 8), HL_INVALID);
    cr_assert_eq(hl_bus_refused(bus), 4);
    manual_stop(bus);
}

/* ---- shared publishers ---- */

Test(publisher, shared_publishers_meet_in_one_ring_of_the_lane)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    hl_shared_publisher *a, *b;
    cr_assert_eq(hl_shared_publisher_open(bus, "a", NULL, &a), HL_OK);
    cr_assert_eq(hl_shared_publisher_open(bus, "b", NULL, &b), HL_OK);
    recorder seen = {0};
    subscribe(bus, "market_data.trade", &seen, NULL);
    for (int round = 0; round < 4; round++) {
        for (uint64_t i = 0; i < 4; i++) {
            const uint64_t values[2] = {seen.count + 2 * i, seen.count + 2 * i + 1};
            cr_assert_eq(hl_shared_publish(a, trade, 1, &values[0], 8), HL_OK);
            cr_assert_eq(hl_shared_publish(b, trade, 1, &values[1], 8), HL_OK);
        }
        const uint64_t value = 0;
        cr_assert_eq(hl_shared_publish(a, trade, 1, &value, 8), HL_FULL);
        cr_assert_eq(turn_all(bus), 8);
    }
    hl_claim run;
    cr_assert_eq(hl_shared_try_claim_run(b, trade, 1, 8, 9, &run), HL_INVALID);
    cr_assert_eq(hl_shared_try_claim_run(b, trade, 1, 8, 0, &run), HL_INVALID);
    cr_assert_eq(hl_shared_try_claim_run(b, trade, 1, 65, 2, &run), HL_TOO_LARGE);
    cr_assert_eq(hl_shared_try_claim_run(b, trade, 1, 8, 8, &run), HL_OK);
    hl_abort(&run);
    turn_all(bus);
    assert_values_follow(&seen, 0, 32);
    assert_door(bus, "market_data", 32, 4 + 2, 8);
    cr_assert_eq(hl_bus_refused(bus), 2);
    hl_shared_publisher_close(a);
    const uint64_t value = 32;
    cr_assert_eq(hl_shared_publish(b, trade, 1, &value, 8), HL_OK, "the ring stays for others");
    turn_all(bus);
    manual_stop(bus);
}

Test(publisher, a_key_goes_to_one_shard_always)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic level = topic(bus, "spread.level");
    hl_publisher *const feed = open_publisher(bus, "feed", "spread");
    recorder seen = {0};
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.concurrent = true;
    subscribe(bus, "spread.>", &seen, &options);
    uint32_t first, shard_of[16];
    cr_assert_eq(hl_bus_partition(bus, "spread", 0, &first), HL_OK);
    for (uint32_t i = 0; i < 160; i++) {
        publish(feed, level, i % 16, i);
        for (uint32_t shard = 0; shard < 4; shard++) {
            if (hl_executor_turn(hl_bus_executor(bus, first + shard), 0) == 0)
                continue;
            cr_assert(i < 16 || shard_of[i % 16] == shard, "key %u", i % 16);
            shard_of[i % 16] = shard;
        }
    }
    cr_assert_eq(seen.count, 160);
    uint32_t partition = 7;
    for (uint32_t key = 0; key < 16; key++) {
        cr_assert_eq(hl_topic_partition(bus, level, key, &partition), HL_OK);
        cr_assert_eq(partition, first + shard_of[key], "key %u", key);
    }
    cr_assert_eq(hl_topic_partition(bus, (hl_topic){level.number + 1000}, 1, &partition),
                 HL_INVALID);
    manual_stop(bus);
}
