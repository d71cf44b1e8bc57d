#include "manual_bus.h"

#include <string.h>

uint64_t manual_now_ns = 1000 * HL_SECOND;

#define DOMAIN(name_, priority_, fixed, shards_, policy)                                         \
    {                                                                                            \
        .name = name_, .priority = priority_, .fixed_priority = fixed, .shards = shards_,        \
        .slot_size_bytes = 128, .ring_slots = 8, .handler_ring_slots = 4, .full_policy = policy, \
        .block_timeout_ns = 5 * HL_MILLISECOND, .publishes_to = "*"                              \
    }

const hl_domain_config manual_domains[MANUAL_DOMAINS] = {
    [MANUAL_MARKET_DATA] = DOMAIN("market_data", HL_NORMAL, false, 1, HL_FULL_REJECT),
    [MANUAL_ORDER] = DOMAIN("order", HL_CRITICAL, true, 1, HL_FULL_REJECT),
    [MANUAL_FILL] = DOMAIN("fill", HL_HIGH, false, 1, HL_FULL_REJECT),
    [MANUAL_ACCOUNT] = DOMAIN("account", HL_LOW, false, 1, HL_FULL_BLOCK),
    [MANUAL_SPREAD] = DOMAIN("spread", HL_NORMAL, false, 4, HL_FULL_REJECT),
};

const hl_domain_config manual_system = {.name = "system",
                                        .priority = HL_BACKGROUND,
                                        .shards = 1,
                                        .slot_size_bytes = 512,
                                        .ring_slots = 1024,
                                        .handler_ring_slots = 16};

static uint64_t read_clock(void *context)
{
    (void)context;
    return manual_now_ns;
}

hl_config manual_config(void)
{
    hl_config config = HL_CONFIG_INIT;
    config.domains = manual_domains;
    config.domain_count = MANUAL_DOMAINS;
    config.threads = HL_THREADS_MANUAL;
    config.clock = read_clock;
    config.huge_pages = config.lock_memory = false;
    config.max_topics = 256;
    config.max_keys_per_state_topic = 16;
    config.ring_start_position = UINT64_MAX - 20;
    return config;
}

hl_config manual_config_of(hl_domain_config ret_domains[MANUAL_DOMAINS])
{
    hl_config config = manual_config();
    memcpy(ret_domains, manual_domains, sizeof manual_domains);
    config.domains = ret_domains;
    return config;
}

hl_config manual_config_with_system(hl_domain_config ret_domains[MANUAL_DOMAINS + 1])
{
    hl_config config = manual_config_of(ret_domains);
    ret_domains[MANUAL_DOMAINS] = manual_system;
    config.domain_count = MANUAL_DOMAINS + 1;
    return config;
}

hl_bus *manual_create(const hl_config *config)
{
    const hl_config usual = manual_config();
    hl_bus *bus = NULL;
    hl_error error = {.text = ""};
    const hl_status status = hl_bus_create(config != NULL ? config : &usual, &bus, &error);
    cr_assert_eq(status, HL_OK, "%s", error.text);
    return bus;
}

hl_bus *manual_start(const hl_config *config)
{
    hl_bus *const bus = manual_create(config);
    cr_assert_eq(hl_bus_start(bus), HL_OK);
    return bus;
}

void manual_stop(hl_bus *bus)
{
    hl_error error;
    const hl_status status = hl_bus_stop(bus, HL_SECOND);
    hl_bus_error(bus, &error);
    cr_assert_eq(status, HL_OK, "%s", error.text);
    hl_bus_destroy(bus);
}

uint32_t turn_all(hl_bus *bus)
{
    uint32_t events = 0, round;
    do {
        round = 0;
        for (uint32_t i = 0; i < hl_bus_executor_count(bus); i++)
            round += hl_executor_turn(hl_bus_executor(bus, i), 0);
        events += round;
    } while (round != 0);
    return events;
}

uint32_t turn(hl_bus *bus, const char *domain, uint32_t max_events)
{
    uint32_t partition;
    cr_assert_eq(hl_bus_partition(bus, domain, 0, &partition), HL_OK);
    return hl_executor_turn(hl_bus_executor(bus, partition), max_events);
}

hl_topic topic(hl_bus *bus, const char *name)
{
    hl_topic declared = {UINT32_MAX};
    cr_assert_eq(hl_topic_declare(bus, name, NULL, &declared), HL_OK, "%s", name);
    return declared;
}

hl_topic topic_of_kind(hl_bus *bus, const char *name, hl_topic_kind kind)
{
    hl_topic declared = {UINT32_MAX};
    hl_topic_options options = HL_TOPIC_OPTIONS_INIT;
    options.kind = kind;
    cr_assert_eq(hl_topic_declare(bus, name, &options, &declared), HL_OK, "%s", name);
    return declared;
}

hl_publisher *open_publisher(hl_bus *bus, const char *name, const char *uses)
{
    hl_publisher_options options = HL_PUBLISHER_OPTIONS_INIT;
    options.uses = uses;
    hl_publisher *publisher = NULL;
    hl_error error;
    const hl_status status = hl_publisher_open(bus, name, &options, &publisher);
    hl_bus_error(bus, &error);
    cr_assert_eq(status, HL_OK, "%s", error.text);
    return publisher;
}

void publish(hl_publisher *publisher, hl_topic to, uint64_t key, uint64_t value)
{
    const hl_status status = hl_publish(publisher, to, key, &value, sizeof value);
    cr_assert_eq(status, HL_OK, "value %lu: %s", value, hl_status_name(status));
}

uint64_t value_of(const hl_event *event)
{
    uint64_t value = 0;
    memcpy(&value, hl_payload(event),
           event->payload_size < sizeof value ? event->payload_size : sizeof value);
    return value;
}

static void note(recorder *seen, const hl_event *event)
{
    cr_assert_lt(seen->count, sizeof seen->entries / sizeof *seen->entries);
    seen->entries[seen->count].value = value_of(event);
    seen->entries[seen->count].sequence = event->sequence;
    seen->entries[seen->count].key = event->key;
    seen->entries[seen->count].correlation_id = event->correlation_id;
    seen->entries[seen->count].causation_id = event->causation_id;
    seen->entries[seen->count].topic.number = event->topic;
    seen->entries[seen->count].priority = event->priority;
    seen->entries[seen->count].flags = event->flags;
    seen->entries[seen->count].batch = seen->batches;
    seen->count++;
}

hl_status record(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    recorder *const seen = context;
    note(seen, event);
    return seen->answer;
}

hl_status record_batch(const hl_batch *batch, hl_publisher *out, void *context)
{
    (void)out;
    recorder *const seen = context;
    seen->batches++;
    for (uint32_t i = 0; i < batch->count; i++)
        note(seen, batch->events[i]);
    return seen->answer;
}

hl_subscription *subscribe(hl_bus *bus, const char *pattern, recorder *seen,
                           const hl_subscription_options *options)
{
    hl_subscription *subscription = NULL;
    hl_error error;
    const hl_handler handler = options != NULL && options->batch != NULL ? NULL : record;
    const hl_status status = hl_subscribe(bus, pattern, handler, seen, options, &subscription);
    hl_bus_error(bus, &error);
    cr_assert_eq(status, HL_OK, "%s", error.text);
    return subscription;
}

void assert_values_follow(const recorder *seen, uint64_t first, uint32_t count)
{
    cr_assert_eq(seen->count, count, "%u events, not %u", seen->count, count);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(seen->entries[i].value, first + i, "event %u has value %lu", i,
                     seen->entries[i].value);
        cr_assert(i == 0 || seen->entries[i].sequence == seen->entries[i - 1].sequence + 1,
                  "event %u has sequence %lu", i, seen->entries[i].sequence);
    }
}

hl_lane_stats lane_stats(const hl_bus *bus, const char *domain, int priority)
{
    hl_lane_stats stats;
    cr_assert_eq(hl_bus_lane_stats(bus, domain, priority, &stats), HL_OK);
    return stats;
}

void assert_door(const hl_bus *bus, const char *domain, uint64_t committed, uint64_t rejected,
                 uint64_t aborted)
{
    const hl_lane_stats lane = lane_stats(bus, domain, -1);
    cr_assert_eq(lane.committed, committed, "%lu committed", lane.committed);
    cr_assert_eq(lane.rejected, rejected, "%lu rejected", lane.rejected);
    cr_assert_eq(lane.aborted, aborted, "%lu aborted", lane.aborted);
    cr_assert_eq(lane.attempts, committed + rejected + aborted, "%lu attempts", lane.attempts);
    cr_assert_eq(lane.throttled, 0);
}

hl_subscription_stats stats_of(const hl_subscription *subscription)
{
    hl_subscription_stats stats;
    hl_subscription_stats_read(subscription, &stats);
    return stats;
}

void assert_conserved(hl_bus *bus)
{
    hl_error error = {.text = ""};
    cr_assert_eq(hl_bus_check_conservation(bus, &error), HL_OK, "%s", error.text);
}

void assert_sentence(hl_bus *bus, hl_status status, const char *text)
{
    hl_error error;
    hl_bus_error(bus, &error);
    cr_assert_eq(error.status, status, "%s, not %s", hl_status_name(error.status),
                 hl_status_name(status));
    cr_assert_not_null(strstr(error.text, text), "\"%s\" lacks \"%s\"", error.text, text);
}
