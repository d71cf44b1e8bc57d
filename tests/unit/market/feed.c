#include "market/feed.h"

#include <criterion/criterion.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "market/payloads.h"

#define MESSAGES 5u

/* What arrived, copied out of the events. */
typedef struct arrival {
    uint64_t key;
    market_message message;
} arrival;

typedef struct harness {
    hl_domain_config domain;
    hl_bus *bus;
    hl_topic topic;
    market_message messages[MESSAGES];
    market_recording recording;
    market_feed *feed;
    arrival arrivals[64];
    uint32_t arrived;
} harness;

static hl_status on_message(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    harness *const h = context;
    if (h->arrived < sizeof h->arrivals / sizeof h->arrivals[0]) {
        arrival *const next = &h->arrivals[h->arrived];
        next->key = event->key;
        memcpy(&next->message, hl_payload(event), sizeof next->message);
    }
    h->arrived++;
    return HL_OK;
}

/* Of the bus; NULL: its own. */
static uint64_t (*bus_clock)(void *context);

/* Two instruments; a snapshot of long ago, then one message a second. */
static void fill_recording(harness *h)
{
    h->messages[0] = (market_message){.exchange_ns = 7,
                                      .instrument = 1,
                                      .action = MARKET_ADD,
                                      .side = 'B',
                                      .flags = MARKET_SNAPSHOT};
    for (uint32_t number = 1; number < MESSAGES; number++)
        h->messages[number] = (market_message){.exchange_ns = (100 + number) * HL_SECOND,
                                               .order_id = number,
                                               .instrument = 1 + number % 2,
                                               .action = MARKET_ADD,
                                               .side = 'B'};
    h->recording = (market_recording){.messages = h->messages, .count = MESSAGES};
}

static harness *make_sharded(hl_threads threads, uint32_t ring_slots, uint32_t shards,
                             const market_feed_options *options)
{
    harness *const h = calloc(1, sizeof *h);
    cr_assert_not_null(h);
    fill_recording(h);
    h->domain = hl_default_domains(&(uint32_t){0})[0];
    cr_assert_str_eq(h->domain.name, "market_data");
    h->domain.publishes_to = "";
    h->domain.ring_slots = ring_slots;
    h->domain.shards = shards;
    hl_config config = HL_CONFIG_INIT;
    config.domains = &h->domain;
    config.domain_count = 1;
    config.threads = threads;
    config.clock = bus_clock;
    hl_error error;
    cr_assert_eq(hl_bus_create(&config, &h->bus, &error), HL_OK, "%s", error.text);
    cr_assert_eq(hl_topic_declare(h->bus, "market_data.message", NULL, &h->topic), HL_OK);
    hl_subscription *subscription;
    hl_subscription_options concurrent = HL_SUBSCRIPTION_OPTIONS_INIT;
    concurrent.concurrent = shards > 1;
    cr_assert_eq(
        hl_subscribe(h->bus, "market_data.message", on_message, h, &concurrent, &subscription),
        HL_OK);
    cr_assert_eq(market_feed_open(h->bus, h->topic, 3, &h->recording, options, &h->feed, &error),
                 HL_OK, "%s", error.text);
    cr_assert_eq(hl_bus_start(h->bus), HL_OK);
    return h;
}

static harness *make(hl_threads threads, uint32_t ring_slots, const market_feed_options *options)
{
    return make_sharded(threads, ring_slots, 1, options);
}

static void destroy(harness *h)
{
    market_feed_close(h->feed);
    hl_bus_destroy(h->bus);
    free(h);
}

static void turn(harness *h)
{
    while (hl_executor_turn(hl_bus_executor(h->bus, 0), 0) != 0) {
    }
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

Test(market_feed, publishes_the_recording_once_in_order_and_then_says_so)
{
    const market_feed_options options = MARKET_FEED_OPTIONS_INIT;
    harness *const h = make(HL_THREADS_MANUAL, 16, &options);
    for (uint32_t number = 0; number < MESSAGES; number++)
        cr_assert_eq(market_feed_publish(h->feed), HL_OK);
    cr_expect_eq(market_feed_publish(h->feed), HL_NOT_FOUND);
    cr_expect_eq(market_feed_next_ns(h->feed), UINT64_MAX);
    cr_expect_eq(market_feed_published(h->feed), MESSAGES);
    turn(h);
    cr_assert_eq(h->arrived, MESSAGES);
    for (uint32_t number = 0; number < MESSAGES; number++) {
        cr_expect_eq(
            memcmp(&h->arrivals[number].message, &h->messages[number], sizeof(market_message)), 0);
        cr_expect_eq(h->arrivals[number].key, market_key(3, h->messages[number].instrument));
    }
    destroy(h);
}

Test(market_feed, a_second_pass_clears_the_books_and_shifts_the_times)
{
    const market_feed_options options = {.passes = 2};
    harness *const h = make(HL_THREADS_MANUAL, 64, &options);
    while (market_feed_publish(h->feed) == HL_OK) {
    }
    turn(h);
    cr_assert_eq(h->arrived, 2 * MESSAGES + 2, "two instruments are cleared");
    const market_message *const first = &h->arrivals[MESSAGES].message;
    cr_expect_eq(first[0].action, MARKET_CLEAR);
    cr_expect_eq(h->arrivals[MESSAGES + 1].message.action, MARKET_CLEAR);
    cr_expect_neq(h->arrivals[MESSAGES].key, h->arrivals[MESSAGES + 1].key);
    /* The live part spans three seconds, and a second lies between the passes. */
    const uint64_t shift_ns = 4 * HL_SECOND;
    for (uint32_t number = 0; number < MESSAGES; number++) {
        market_message expected = h->messages[number];
        expected.exchange_ns += shift_ns;
        cr_expect_eq(
            memcmp(&h->arrivals[MESSAGES + 2 + number].message, &expected, sizeof expected), 0);
    }
    for (uint32_t number = 2; number < h->arrived; number++)
        cr_expect(h->arrivals[number].message.flags & MARKET_SNAPSHOT ||
                  h->arrivals[number].message.exchange_ns >= 101 * HL_SECOND);
    destroy(h);
}

Test(market_feed, a_full_lane_leaves_the_message_the_next_one)
{
    const market_feed_options options = MARKET_FEED_OPTIONS_INIT;
    harness *const h = make(HL_THREADS_MANUAL, 2, &options);
    cr_assert_eq(market_feed_publish(h->feed), HL_OK);
    cr_assert_eq(market_feed_publish(h->feed), HL_OK);
    const uint64_t next_ns = market_feed_next_ns(h->feed);
    cr_assert_eq(market_feed_publish(h->feed), HL_FULL);
    cr_expect_eq(market_feed_next_ns(h->feed), next_ns);
    cr_expect_eq(market_feed_published(h->feed), 2);
    turn(h);
    for (uint32_t number = 2; number < MESSAGES; number++) {
        cr_assert_eq(market_feed_publish(h->feed), HL_OK);
        turn(h);
    }
    cr_assert_eq(h->arrived, MESSAGES);
    for (uint32_t number = 0; number < MESSAGES; number++)
        cr_expect_eq(h->arrivals[number].message.order_id, h->messages[number].order_id);
    destroy(h);
}

Test(market_feed, a_snapshot_counts_as_the_start_whatever_its_own_time)
{
    const market_feed_options options = MARKET_FEED_OPTIONS_INIT;
    harness *const h = make(HL_THREADS_MANUAL, 16, &options);
    cr_expect_eq(market_feed_next_ns(h->feed), 101 * HL_SECOND);
    market_feed_publish(h->feed);
    cr_expect_eq(market_feed_next_ns(h->feed), 101 * HL_SECOND);
    market_feed_publish(h->feed);
    cr_expect_eq(market_feed_next_ns(h->feed), 102 * HL_SECOND);
    destroy(h);
}

/* Runs the feed's own thread to its end and returns how long that took. */
static double run_thread(harness *h)
{
    hl_error error;
    const double start_s = seconds();
    cr_assert_eq(market_feed_start(h->feed, &error), HL_OK, "%s", error.text);
    cr_assert_eq(market_feed_join(h->feed, &error), HL_OK, "%s", error.text);
    const double elapsed_s = seconds() - start_s;
    cr_assert(market_feed_done(h->feed));
    return elapsed_s;
}

Test(market_feed, its_thread_waits_for_room_and_loses_nothing)
{
    const market_feed_options options = {.passes = 2000};
    harness *const h = make(HL_THREADS_OWN, 2, &options);
    run_thread(h);
    cr_assert_eq(hl_bus_stop(h->bus, 10 * HL_SECOND), HL_OK);
    cr_expect_eq(h->arrived, 2000 * MESSAGES + 1999 * 2);
    cr_expect_eq(market_feed_published(h->feed), h->arrived);
    hl_error error;
    cr_expect_eq(hl_bus_check_conservation(h->bus, &error), HL_OK, "%s", error.text);
    destroy(h);
}

Test(market_feed, is_never_faster_than_its_rate)
{
    const market_feed_options options = {.passes = 10, .rate = 500};
    harness *const h = make(HL_THREADS_OWN, 64, &options);
    /* 68 messages, the first at once: 67 distances of 2 ms. */
    cr_expect_geq(run_thread(h), 0.134);
    cr_assert_eq(hl_bus_stop(h->bus, 10 * HL_SECOND), HL_OK);
    cr_expect_eq(h->arrived, 68);
    destroy(h);
}

Test(market_feed, is_never_faster_than_its_share_of_the_datas_time)
{
    const market_feed_options options = {.passes = 1, .speed = 30.0};
    harness *const h = make(HL_THREADS_OWN, 64, &options);
    cr_expect_geq(run_thread(h), 0.1, "three seconds, thirty times as fast");
    destroy(h);
}

static _Atomic uint64_t still_ns = 1000 * HL_SECOND;

static uint64_t still_clock(void *context)
{
    (void)context;
    return still_ns;
}

/* Moves the clock to `at_ns` after the start; what is due then is published, and no more. */
static void expect_published(const harness *h, uint64_t at_ns, uint64_t count)
{
    still_ns = 1000 * HL_SECOND + at_ns;
    while (market_feed_published(h->feed) < count)
        usleep(1000);
    usleep(50000);
    cr_expect_eq(market_feed_published(h->feed), count);
}

Test(market_feed, a_burst_shortens_the_busiest_second_alone)
{
    bus_clock = still_clock;
    const market_feed_options options = {.passes = 2, .speed = 1.0, .burst = 10};
    harness *const h = make(HL_THREADS_MANUAL, 16, &options);
    hl_error error;
    cr_assert_eq(market_feed_start(h->feed, &error), HL_OK);
    /* A message a second: the first second is as busy as any. */
    expect_published(h, 0, 2);
    expect_published(h, 99 * HL_MILLISECOND, 2);
    expect_published(h, 101 * HL_MILLISECOND, 3);
    expect_published(h, 1099 * HL_MILLISECOND, 3);
    expect_published(h, 1101 * HL_MILLISECOND, 4);
    expect_published(h, 2101 * HL_MILLISECOND, 5);
    /* The second pass: two clears and two messages at once, then the same again. */
    expect_published(h, 3099 * HL_MILLISECOND, 5);
    expect_published(h, 3101 * HL_MILLISECOND, 9);
    expect_published(h, 3201 * HL_MILLISECOND, 10);
    expect_published(h, 4199 * HL_MILLISECOND, 10);
    expect_published(h, 5201 * HL_MILLISECOND, 12);
    cr_assert_eq(market_feed_join(h->feed, &error), HL_OK);
    destroy(h);
}

Test(market_feed, an_endless_one_ends_when_it_is_asked_to)
{
    const market_feed_options options = {.passes = 0};
    harness *const h = make(HL_THREADS_OWN, 64, &options);
    hl_error error;
    cr_assert_eq(market_feed_start(h->feed, &error), HL_OK);
    while (market_feed_published(h->feed) < 1000) {
    }
    market_feed_stop(h->feed);
    cr_assert_eq(market_feed_join(h->feed, &error), HL_OK);
    cr_assert_eq(hl_bus_stop(h->bus, 10 * HL_SECOND), HL_OK);
    cr_expect_eq(h->arrived, market_feed_published(h->feed));
    destroy(h);
}

Test(market_feed, ends_when_the_bus_closes)
{
    const market_feed_options options = {.passes = 0};
    harness *const h = make(HL_THREADS_OWN, 64, &options);
    hl_error error;
    cr_assert_eq(market_feed_start(h->feed, &error), HL_OK);
    cr_assert_eq(hl_bus_stop(h->bus, 10 * HL_SECOND), HL_OK);
    cr_expect_eq(market_feed_join(h->feed, &error), HL_OK);
    cr_expect(market_feed_done(h->feed));
    destroy(h);
}

Test(market_feed, an_empty_recording_is_at_its_end_at_once)
{
    const market_feed_options options = {.passes = 0};
    harness *const h = make(HL_THREADS_OWN, 64, &options);
    h->recording.count = 0;
    cr_expect_eq(market_feed_next_ns(h->feed), UINT64_MAX);
    cr_expect_eq(market_feed_publish(h->feed), HL_NOT_FOUND);
    run_thread(h);
    destroy(h);
}

Test(market_feed, a_name_that_is_taken_is_refused_with_a_sentence)
{
    const market_feed_options options = MARKET_FEED_OPTIONS_INIT;
    harness *const h = make(HL_THREADS_MANUAL, 16, &options);
    hl_error error;
    market_feed *second;
    cr_expect_eq(market_feed_open(h->bus, h->topic, 3, &h->recording, &options, &second, &error),
                 HL_EXISTS);
    cr_expect_not_null(strstr(error.text, "feed-3"), "%s", error.text);
    destroy(h);
}

/* ---- going on behind what was published before ---- */

#define SHARDS 2u

static uint32_t shard_of(const harness *h, uint32_t instrument)
{
    uint32_t partition = UINT32_MAX;
    cr_assert_eq(hl_topic_partition(h->bus, h->topic, market_key(3, instrument), &partition),
                 HL_OK);
    return partition;
}

static market_feed_place place(const harness *h, uint64_t count, uint32_t last)
{
    return (market_feed_place){count, h->messages[last]};
}

/* Publishes the rest, an event at a time: these must come, by their order ids (0: a clear). */
static void assert_goes_on_with(harness *h, const uint64_t *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(market_feed_publish(h->feed), HL_OK, "%u", i);
        for (uint32_t e = 0; hl_bus_executor(h->bus, e) != NULL; e++)
            while (hl_executor_turn(hl_bus_executor(h->bus, e), 0) != 0) {
            }
        cr_assert_eq(h->arrived, i + 1);
        cr_expect_eq(h->arrivals[i].message.order_id, ids[i], "%u: %lu", i,
                     h->arrivals[i].message.order_id);
    }
    cr_assert_eq(market_feed_publish(h->feed), HL_NOT_FOUND);
}

Test(market_feed, goes_on_with_what_each_partition_lacks)
{
    const market_feed_options options = MARKET_FEED_OPTIONS_INIT;
    harness *const h = make_sharded(HL_THREADS_MANUAL, 16, SHARDS, &options);
    market_feed_place places[SHARDS] = {{.count = 0}};
    cr_assert_neq(shard_of(h, 1), shard_of(h, 2));
    places[shard_of(h, 1)] = place(h, 2, 2); /* messages 0 and 2 */
    cr_assert_eq(market_feed_resume(h->feed, places, 0, SHARDS), HL_OK);
    assert_goes_on_with(h, (uint64_t[]){1, 3, 4}, 3);
    cr_expect_eq(market_feed_published(h->feed), 3);
    destroy(h);
}

Test(market_feed, goes_on_in_a_later_pass_where_one_partition_is_ahead)
{
    const market_feed_options options = {.passes = 2};
    harness *const h = make_sharded(HL_THREADS_MANUAL, 16, SHARDS, &options);
    market_feed_place places[SHARDS];
    places[shard_of(h, 1)] = place(h, 5, 0); /* 0, 2, 4, its clear, 0 again */
    places[shard_of(h, 2)] = place(h, 1, 1);
    cr_assert_eq(market_feed_resume(h->feed, places, 0, SHARDS), HL_OK);
    assert_goes_on_with(h, (uint64_t[]){3, 0, 1, 2, 3, 4}, 6);
    destroy(h);
}

Test(market_feed, has_nothing_left_where_all_is_there)
{
    const market_feed_options options = MARKET_FEED_OPTIONS_INIT;
    harness *const h = make_sharded(HL_THREADS_MANUAL, 16, SHARDS, &options);
    market_feed_place places[SHARDS];
    places[shard_of(h, 1)] = place(h, 3, 4);
    places[shard_of(h, 2)] = place(h, 2, 3);
    cr_assert_eq(market_feed_resume(h->feed, places, 0, SHARDS), HL_OK);
    cr_assert_eq(market_feed_publish(h->feed), HL_NOT_FOUND);
    destroy(h);
}

/* `count` messages of instrument 2, `last` the last, are not this recording's. */
static void assert_begins_at_start(uint64_t passes, uint64_t count, uint32_t last)
{
    const market_feed_options options = {.passes = passes};
    harness *const h = make_sharded(HL_THREADS_MANUAL, 16, SHARDS, &options);
    market_feed_place places[SHARDS];
    places[shard_of(h, 1)] = place(h, 2, 2);
    places[shard_of(h, 2)] = place(h, count, last);
    cr_assert_eq(market_feed_resume(h->feed, places, 0, SHARDS), HL_NOT_FOUND);
    cr_assert_eq(market_feed_publish(h->feed), HL_OK);
    turn(h);
    hl_executor_turn(hl_bus_executor(h->bus, 1), 0);
    cr_assert_eq(h->arrivals[0].message.order_id, h->messages[0].order_id);
    cr_assert_eq(h->arrivals[0].message.flags, MARKET_SNAPSHOT);
    destroy(h);
}

Test(market_feed, begins_at_the_start_where_one_partition_has_another_input)
{
    assert_begins_at_start(1, 2, 1); /* 3 would be the second */
    assert_begins_at_start(0, 2, 1);
    assert_begins_at_start(1, 3, 3); /* there are two */
}

Test(market_feed, ends_its_search_where_a_partition_gets_nothing)
{
    const market_feed_options options = {.passes = 0};
    harness *const h = make_sharded(HL_THREADS_MANUAL, 16, SHARDS, &options);
    market_feed_place places[SHARDS] = {{.count = 0}};
    h->recording.count = 1; /* all of it is instrument 1's */
    places[shard_of(h, 2)] = place(h, 1, 1);
    cr_assert_eq(market_feed_resume(h->feed, places, 0, SHARDS), HL_NOT_FOUND);
    destroy(h);
}
