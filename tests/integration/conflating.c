/*
 * Promise: a conflating lane never makes a publisher wait, however slow its partition; each key is
 * seen newest last and never older after newer, and no event is lost from the counts.
 */
#include <stdlib.h>
#include <unistd.h>

#include "own_bus.h"
#include "tests/random.h"

#define EXCLUSIVE 2u
#define SHARED    2u
#define KEYS      64u
#define ROUNDS    (40000u / OWN_SHARE)

typedef struct world {
    hl_bus *bus;
    hl_topic quotes;
    hl_shared_publisher *shared;
    uint64_t newest[EXCLUSIVE + SHARED][KEYS]; /* the handler's: by publisher and key */
    uint64_t seen;
    uint64_t random;
    bool is_slow;
} world;

/* Value: publisher << 32 | number. */
static hl_status on_quote(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    world *const self = context;
    const uint64_t value = own_value(event);
    uint64_t *const newest = &self->newest[value >> 32][event->key % KEYS];
    /* One that failed comes again, before any newer one of its key. */
    if (event->attempt == 0)
        cr_assert_gt((uint32_t)value, *newest, "key %lu: an older value after a newer", event->key);
    else
        cr_assert_eq((uint32_t)value, *newest, "key %lu: another value first", event->key);
    *newest = (uint32_t)value;
    self->seen += event->attempt == 0;
    if (self->is_slow && self->seen % 16 == 0)
        usleep(20);
    return random_below(&self->random, 64) == 0 ? HL_FAILED : HL_OK;
}

typedef struct hand {
    world *of;
    uint64_t number;
} hand;

static void *publish_exclusively(void *context)
{
    const hand *const self = context;
    char name[16];
    snprintf(name, sizeof name, "feed-%lu", self->number);
    hl_publisher *const publisher = own_publisher(self->of->bus, name, "account");
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        /* Keys of its own. */
        const uint64_t key = self->number * KEYS + i % KEYS, value = self->number << 32 | i;
        cr_assert_eq(hl_publish(publisher, self->of->quotes, key, &value, sizeof value), HL_OK);
    }
    return NULL;
}

static void *publish_together(void *context)
{
    const hand *const self = context;
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        const uint64_t key = EXCLUSIVE * KEYS + i % KEYS, value = self->number << 32 | i;
        cr_assert_eq(
            hl_shared_publish(self->of->shared, self->of->quotes, key, &value, sizeof value),
            HL_OK);
    }
    return NULL;
}

static void publish_from_everywhere(hl_wait wait, bool is_slow)
{
    static const hl_domain_config domain = {.name = "account",
                                            .priority = HL_LOW,
                                            .shards = 1,
                                            .slot_size_bytes = 128,
                                            .ring_slots = 8,
                                            .handler_ring_slots = 8,
                                            .conflates = "low",
                                            .conflate_keys = (EXCLUSIVE + 1) * KEYS};
    hl_domain_config domains[] = {domain};
    domains[0].wait = wait;
    hl_config config = HL_CONFIG_INIT;
    config.domains = domains;
    config.domain_count = 1;
    config.max_topics = 16;
    config.ring_start_position = UINT64_MAX - 1000;
    static world all;
    all = (world){.random = 7, .is_slow = is_slow};
    cr_assert_eq(hl_bus_create(&config, &all.bus, NULL), HL_OK);
    cr_assert_eq(hl_bus_start(all.bus), HL_OK);
    all.quotes = own_topic(all.bus, "account.quote", HL_STATE);
    hl_retry_options at_once = HL_RETRY_OPTIONS_INIT;
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    at_once.base_ns = 0;
    options.retry = &at_once;
    hl_subscription *subscription;
    cr_assert_eq(hl_subscribe(all.bus, "account.quote", on_quote, &all, &options, &subscription),
                 HL_OK);
    cr_assert_eq(hl_shared_publisher_open(all.bus, "many", NULL, &all.shared), HL_OK);
    hand hands[EXCLUSIVE + SHARED];
    pthread_t threads[EXCLUSIVE + SHARED];
    for (uint64_t i = 0; i < EXCLUSIVE + SHARED; i++) {
        hands[i] = (hand){&all, i};
        threads[i] = own_thread(i < EXCLUSIVE ? publish_exclusively : publish_together, &hands[i]);
    }
    for (uint32_t i = 0; i < EXCLUSIVE + SHARED; i++)
        own_join(threads[i]);
    hl_error error;
    const hl_status status = hl_bus_stop(all.bus, 60 * HL_SECOND);
    hl_bus_error(all.bus, &error);
    cr_assert_eq(status, HL_OK, "%s", error.text);
    const hl_lane_stats lane = own_lane(all.bus, "account");
    cr_assert_eq(lane.committed, (uint64_t)(EXCLUSIVE + SHARED) * ROUNDS);
    cr_assert_eq(lane.conflated, lane.committed - lane.dispatched);
    hl_subscription_stats stats;
    hl_subscription_stats_read(subscription, &stats);
    cr_assert_eq(stats.delivered, lane.dispatched);
    /* Behind a value that is tried again others may find no room to wait. */
    const uint64_t given_up = stats.dead_lettered + stats.skipped;
    cr_assert_eq(stats.handled + given_up, stats.delivered);
    if (given_up == 0)
        cr_assert_eq(lane.dispatched, all.seen);
    /* Of whoever had a key to itself, the newest was seen, if none was given up. */
    for (uint64_t i = 0; i < EXCLUSIVE && given_up == 0; i++)
        for (uint64_t key = 0; key < KEYS; key++)
            cr_assert_eq(all.newest[i][key], ROUNDS - (ROUNDS - key) % KEYS, "publisher %lu", i);
    /* Of the others, one of them was the last. */
    for (uint64_t key = 0; key < KEYS && given_up == 0; key++) {
        const uint64_t last = ROUNDS - (ROUNDS - key) % KEYS;
        cr_assert(all.newest[EXCLUSIVE][key] == last || all.newest[EXCLUSIVE + 1][key] == last);
    }
    hl_bus_destroy(all.bus);
}

Test(conflating, a_partition_that_keeps_up_sees_the_newest_of_every_key)
{
    publish_from_everywhere(HL_WAIT_SPIN, false);
}

Test(conflating, a_partition_that_sleeps_is_woken_for_a_key_that_was_read)
{
    publish_from_everywhere(HL_WAIT_PARK, false);
}

Test(conflating, a_partition_that_is_slow_sees_the_newest_of_every_key)
{
    publish_from_everywhere(HL_WAIT_PARK, true);
}
