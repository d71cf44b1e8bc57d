/*
 * A bus that a test turns by hand, under a clock that stands still unless the test moves it.
 *
 *     hl_bus *const bus = manual_start(NULL);
 *     recorder seen = {0};
 *     subscribe(bus, "order.*", &seen, NULL);
 *     publish(open_publisher(bus, "desk", NULL), topic(bus, "order.new"), 7, 42);
 *     turn_all(bus);
 *     cr_assert_eq(seen.entries[0].value, 42);
 *     manual_stop(bus);
 */
#ifndef HL_TEST_MANUAL_BUS_H
#define HL_TEST_MANUAL_BUS_H

#include <criterion/criterion.h>
#include <hotlane/hotlane.h>

/* The bus clock of every manual bus in this process. */
extern uint64_t manual_now_ns;

/* The domains of a manual bus; what a test needs otherwise it changes in a copy. Rings of 8 slots,
 * of 4 for handlers, slots of 128 bytes; each publishes to all. */
typedef enum manual_domain {
    MANUAL_MARKET_DATA, /* NORMAL */
    MANUAL_ORDER,       /* CRITICAL, fixed */
    MANUAL_FILL,        /* HIGH */
    MANUAL_ACCOUNT,     /* LOW; its publishers may block */
    MANUAL_SPREAD,      /* NORMAL; 4 shards */
    MANUAL_DOMAINS
} manual_domain;
extern const hl_domain_config manual_domains[MANUAL_DOMAINS];

/* Those domains, the clock, HL_THREADS_MANUAL, positions that begin shortly before 2^64. */
hl_config manual_config(void);

/* The same, with its domains in memory of the test's, to be changed there before a bus is made. */
hl_config manual_config_of(hl_domain_config ret_domains[MANUAL_DOMAINS]);

/* The domain `system`, which a manual bus lacks unless it is told of it; and manual_config_of with
 * it behind the others. */
extern const hl_domain_config manual_system;
hl_config manual_config_with_system(hl_domain_config ret_domains[MANUAL_DOMAINS + 1]);

/* Creates (and starts) a bus; `config` NULL: manual_config(). Fails the test when it cannot. */
hl_bus *manual_create(const hl_config *config);
hl_bus *manual_start(const hl_config *config);

/* Stops it, which must drain and conserve, and destroys it. */
void manual_stop(hl_bus *bus);

/* Turns all executors until none has anything left; the number of events. */
uint32_t turn_all(hl_bus *bus);

/* Turns the executor of a domain's first shard once, for at most max_events. */
uint32_t turn(hl_bus *bus, const char *domain, uint32_t max_events);

hl_topic topic(hl_bus *bus, const char *name);
hl_topic topic_of_kind(hl_bus *bus, const char *name, hl_topic_kind kind);
hl_publisher *open_publisher(hl_bus *bus, const char *name, const char *uses);

/* Publishes a payload of 8 bytes; must be taken. */
void publish(hl_publisher *publisher, hl_topic to, uint64_t key, uint64_t value);

uint64_t value_of(const hl_event *event);

/* A handler that notes what it sees, and answers `answer`. */
typedef struct recorder {
    hl_status answer; /* HL_OK: 0 */
    uint32_t count;
    uint32_t batches;
    struct {
        uint64_t value, sequence, key, correlation_id, causation_id;
        hl_topic topic;
        uint8_t priority, flags;
        uint32_t batch; /* which one, from 1 */
    } entries[8192];
} recorder;
hl_status record(const hl_event *event, hl_publisher *out, void *context);
hl_status record_batch(const hl_batch *batch, hl_publisher *out, void *context);

/* Subscribes `record`, or record_batch where the options name it; must be taken. */
hl_subscription *subscribe(hl_bus *bus, const char *pattern, recorder *seen,
                           const hl_subscription_options *options);

/* Fails unless `count` events with values first, first + 1, ... were seen, with sequences that
 * follow each other. */
void assert_values_follow(const recorder *seen, uint64_t first, uint32_t count);

hl_lane_stats lane_stats(const hl_bus *bus, const char *domain, int priority);

/* Fails unless the attempts at a domain's door have become just this. */
void assert_door(const hl_bus *bus, const char *domain, uint64_t committed, uint64_t rejected,
                 uint64_t aborted);

hl_subscription_stats stats_of(const hl_subscription *subscription);
void assert_conserved(hl_bus *bus);

/* Fails unless the bus's last sentence has this status and contains `text`. */
void assert_sentence(hl_bus *bus, hl_status status, const char *text);

#endif
