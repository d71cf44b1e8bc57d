/*
 * Async subscribers that fall behind, are detached, come back, come late, leave and go on where
 * they were, all under load and at random, while the journal packs itself: each gets every event of
 * its partitions exactly once.
 *
 *     handover [SEED]
 *
 * HOTLANE_LONG=1: forty rounds instead of two.
 */
#include "../stress/stress.h"
#include "tests/temporary_directory.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hotlane/hotlane.h>
#include <hotlane/journal_reader.h>

#define EVENTS      (STRESS_SHARE == 1 ? 20000u : 3000u) /* of each publisher */
#define PUBLISHERS  2u
#define PARTITIONS  4u /* feed has two shards; order, and trade, which is sync */
#define TOPICS      4u
#define KEYS        16u
#define SUBSCRIBERS 6u
#define MOST        (PUBLISHERS * EVENTS + 2) /* sequences of a partition */

static const char *const topic_names[TOPICS] = {"feed.tick", "feed.book.level", "order.new",
                                                "trade.done"};

typedef struct scene {
    hl_bus *bus;
    char directory[TEMPORARY_DIRECTORY_SIZE];
    hl_topic topics[TOPICS];
} scene;

typedef struct sender {
    scene *of;
    uint64_t random;
    uint32_t number;
} sender;

/* What is sent, so that what comes can be told from what was never sent. */
typedef struct letter {
    uint64_t number; /* of its sender's, from 1 */
    uint64_t sender;
    uint64_t check;
    uint64_t filling[5]; /* so that there are segments to be packed */
} letter;

static uint64_t check_of(const letter *sent, uint64_t key)
{
    return random_mix(sent->number * 31 + sent->sender * 7 + key);
}

/* ---- who gets them ---- */

typedef struct guest {
    scene *of;
    const char *pattern;
    hl_subscription_options options;
    uint64_t random;
    hl_subscription *subscription;
    uint32_t is_there;           /* ARMED: `subscription` is set */
    uint64_t seen[PARTITIONS];   /* events, COUNTED */
    uint64_t newest[PARTITIONS]; /* ordered: the last sequence */
    uint8_t *times[PARTITIONS];  /* by sequence: how often it came */
    uint64_t ejected, replayed, came_back;
    uint32_t laziness;
} guest;

static void come_back(guest *self)
{
    static const hl_past where_it_was = {.from = HL_FROM_LAST};
    /* ARMED: acquire, the handle is there. */
    while (hl_load_acquire_u32(&self->is_there) == 0)
        sched_yield();
    const hl_status status = hl_subscription_reattach_from(self->subscription, &where_it_was);
    hl_error error;
    hl_bus_error(self->of->bus, &error);
    /* Busy: another partition has ejected it too, and tells so in its turn; then both come back. */
    STRESS_CHECK(status == HL_OK || status == HL_BUSY || status == HL_CLOSED ||
                     status == HL_WRONG_STATE,
                 "%s", error.text);
    hl_fetch_add_relaxed_u64(&self->came_back, status == HL_OK); /* Relaxed: a counter. */
}

static void be_lazy(guest *self, const hl_event *event)
{
    if (self->laziness != 0 && random_mix(event->sequence ^ self->random) % self->laziness == 0)
        for (uint32_t i = 0; i < 40; i++)
            sched_yield();
}

static hl_status take(const hl_event *event, hl_publisher *out, void *context)
{
    guest *const self = context;
    const uint32_t partition = hl_id_partition(hl_current_id(out));
    STRESS_CHECK(partition < PARTITIONS, "partition %u", partition);
    if ((event->flags & HL_EVENT_EJECTED) != 0) {
        hl_fetch_add_relaxed_u64(&self->ejected, 1); /* Relaxed: a counter. */
        come_back(self);
        return HL_OK;
    }
    STRESS_CHECK((event->flags & HL_EVENT_LOST) == 0, "%s lost some", self->options.name);
    const letter *const sent = hl_payload(event);
    STRESS_CHECK(event->payload_size == sizeof *sent && sent->check == check_of(sent, event->key),
                 "%s: sequence %" PRIu64 " of %u was never sent", self->options.name,
                 event->sequence, partition);
    STRESS_CHECK(event->sequence < MOST, "%s: sequence %" PRIu64, self->options.name,
                 event->sequence);
    if (self->options.async == HL_ASYNC_ORDERED) {
        STRESS_CHECK(event->sequence > self->newest[partition],
                     "%s: %" PRIu64 " behind %" PRIu64 " of partition %u", self->options.name,
                     event->sequence, self->newest[partition], partition);
        self->newest[partition] = event->sequence;
    }
    STRESS_CHECK(self->times[partition][event->sequence]++ == 0,
                 "%s: sequence %" PRIu64 " of %u came twice", self->options.name, event->sequence,
                 partition);
    if ((event->flags & HL_EVENT_REPLAYED) != 0)
        hl_fetch_add_relaxed_u64(&self->replayed, 1); /* Relaxed: a counter. */
    be_lazy(self, event);
    hl_fetch_add_release_u64(&self->seen[partition], 1); /* COUNTED: release, what it has noted. */
    return HL_OK;
}

static void enter(guest *self)
{
    const hl_status status =
        hl_subscribe(self->of->bus, self->pattern, take, self, &self->options, &self->subscription);
    hl_error error;
    hl_bus_error(self->of->bus, &error);
    STRESS_CHECK(status == HL_OK, "%s", error.text);
    hl_store_release_u32(&self->is_there, 1); /* ARMED: release, the handle before it. */
}

/* Leaves, and comes again behind what it has: an ordered one knows where that is. */
static void leave_and_enter(guest *self)
{
    hl_position positions[PARTITIONS];
    hl_error error;
    STRESS_CHECK(hl_unsubscribe(self->subscription, 60 * HL_SECOND, &error) == HL_OK, "%s",
                 error.text);
    hl_store_relaxed_u32(&self->is_there, 0); /* Relaxed: no handler runs. */
    for (uint32_t i = 0; i < PARTITIONS; i++)
        positions[i] = (hl_position){i, self->newest[i]};
    self->options.past = (hl_past){HL_FROM_POSITIONS, positions, PARTITIONS, false};
    enter(self);
}

/* ---- who sends them ---- */

static void *send(void *context)
{
    sender *const self = context;
    const scene *const of = self->of;
    hl_publisher *publisher;
    char name[16];
    snprintf(name, sizeof name, "p%u", self->number);
    STRESS_CHECK(hl_publisher_open(of->bus, name, NULL, &publisher) == HL_OK, "publisher");
    for (uint64_t i = 1; i <= EVENTS;) {
        const uint64_t key = stress_below(&self->random, KEYS);
        letter sent = {.number = i, .sender = self->number};
        sent.check = check_of(&sent, key);
        const hl_topic topic = of->topics[stress_below(&self->random, TOPICS)];
        const hl_status status = hl_try_publish(publisher, topic, key, &sent, sizeof sent);
        STRESS_CHECK(status == HL_OK || status == HL_FULL, "%s", hl_status_name(status));
        i += status == HL_OK;
        if (status != HL_OK || stress_below(&self->random, 64) == 0)
            sched_yield();
    }
    hl_publisher_close(publisher);
    return NULL;
}

/* ---- a round ---- */

static void make_bus(scene *of)
{
    hl_domain_config domains[3] = {{.name = "feed",
                                    .priority = HL_NORMAL,
                                    .shards = 2,
                                    .slot_size_bytes = 128,
                                    .ring_slots = 256,
                                    .handler_ring_slots = 16,
                                    .publishes_to = "*",
                                    .wait = HL_WAIT_PARK,
                                    .durability = HL_DURABILITY_ASYNC,
                                    .journal_slots = 1024}};
    hl_config config = HL_CONFIG_INIT;
    hl_error error;
    domains[1] = domains[2] = domains[0];
    domains[1].name = "order";
    domains[2].name = "trade";
    domains[1].shards = domains[2].shards = 1;
    domains[2].durability = HL_DURABILITY_SYNC;
    temporary_directory_make(NULL, "handover", of->directory);
    config.domains = domains;
    config.domain_count = 3;
    config.max_topics = 64;
    config.max_workers = config.min_workers = 3;
    config.huge_pages = config.lock_memory = false;
    config.ring_start_position = UINT64_MAX - 500;
    config.journal_dir = of->directory;
    config.journal_segment_bytes = 64 << 10; /* many, which are packed under those that read them */
    config.journal_pack_after_ns = 1;
    STRESS_CHECK(hl_bus_create(&config, &of->bus, &error) == HL_OK, "%s", error.text);
    for (uint32_t i = 0; i < TOPICS; i++)
        STRESS_CHECK(hl_topic_declare(of->bus, topic_names[i], NULL, &of->topics[i]) == HL_OK, "%s",
                     topic_names[i]);
    STRESS_CHECK(hl_bus_start(of->bus) == HL_OK, "start");
}

static void make_guest(guest *self, scene *of, uint32_t number, uint64_t seed)
{
    static const struct {
        const char *name, *pattern;
        hl_async_order order;
        hl_contract contract;
        hl_from from;
    } kinds[SUBSCRIBERS] = {
        {"all", ">", HL_ASYNC_ORDERED, HL_CONTRACT_EJECT, HL_FROM_NOW},
        {"by key", "feed.>", HL_ASYNC_BY_KEY, HL_CONTRACT_EJECT, HL_FROM_NOW},
        {"unordered", "*.done", HL_ASYNC_UNORDERED, HL_CONTRACT_EJECT, HL_FROM_NOW},
        {"late", ">", HL_ASYNC_ORDERED, HL_CONTRACT_EJECT, HL_FROM_START},
        {"late and lossless", "order.new", HL_ASYNC_BY_KEY, HL_CONTRACT_LOSSLESS, HL_FROM_START},
        {"restless", ">", HL_ASYNC_ORDERED, HL_CONTRACT_EJECT, HL_FROM_START},
    };
    *self = (guest){.of = of, .pattern = kinds[number].pattern, .random = seed + number};
    self->options = (hl_subscription_options)HL_SUBSCRIPTION_OPTIONS_INIT;
    self->options.name = kinds[number].name;
    self->options.async = kinds[number].order;
    self->options.contract = kinds[number].contract;
    self->options.past.from = kinds[number].from;
    self->options.queue_events = 64u << stress_below(&self->random, 4);
    self->options.eject_behind = self->options.queue_events / 2 +
                                 stress_below(&self->random, self->options.queue_events / 2);
    self->laziness =
        stress_below(&self->random, 3) == 0 ? 0 : 20 + stress_below(&self->random, 200);
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        self->times[i] = calloc(MOST, 1);
        STRESS_CHECK(self->times[i] != NULL, "memory");
    }
}

/* How many of a partition's events a pattern's subscriber is to have, by what the journal has. */
static uint64_t count_wanted(const scene *of, const char *pattern, uint32_t partition)
{
    static const char *const names[PARTITIONS] = {"feed.0", "feed.1", "order", "trade"};
    hl_journal_reader_options options = HL_JOURNAL_READER_OPTIONS_INIT;
    hl_journal_reader *reader;
    hl_journal_entry entry;
    hl_error error;
    uint64_t count = 0;
    options.directory = of->directory;
    options.partition = names[partition];
    options.filter.topic = pattern;
    STRESS_CHECK(hl_journal_reader_open(&options, &reader, &error) == HL_OK, "%s", error.text);
    while (hl_journal_reader_next(reader, &entry, &error) == HL_OK)
        count += entry.kind == HL_JOURNAL_EVENT;
    hl_journal_reader_close(reader);
    return count;
}

/* What went by may still be read for it, a while after the last event. */
static void await_all(guest *self)
{
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        const time_t begin = time(NULL);
        const uint64_t wanted = count_wanted(self->of, self->pattern, i);
        /* COUNTED: acquire. */
        while (hl_load_acquire_u64(&self->seen[i]) < wanted) {
            hl_subscription_stats stats;
            hl_subscription_stats_read(self->subscription, &stats);
            STRESS_CHECK(time(NULL) - begin < 120,
                         "%s: %" PRIu64 " of %" PRIu64 " in partition %u; ejected %d, catching up "
                         "%d, queued %" PRIu64,
                         self->options.name, self->seen[i], wanted, i, stats.ejected,
                         stats.catching_up, stats.queued);
            come_back(self);
            usleep(1000);
        }
        STRESS_CHECK(self->seen[i] == wanted, "%s: %" PRIu64 " of %" PRIu64 " in partition %u",
                     self->options.name, self->seen[i], wanted, i);
    }
}

static void await_written(const scene *of)
{
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        hl_partition_journal_stats stats;
        do {
            sched_yield();
            STRESS_CHECK(hl_bus_journal_stats(of->bus, i, &stats) == HL_OK, "statistics");
        } while (stats.written_sequence < stats.last_sequence);
    }
}

static uint64_t all_sequences(const scene *of)
{
    uint64_t all = 0;
    for (uint32_t i = 0; i < PARTITIONS; i++)
        all += hl_bus_sequence(of->bus, i);
    return all;
}

static uint64_t count_packed(const scene *of)
{
    hl_partition_journal_stats stats;
    uint64_t packed = 0;
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        STRESS_CHECK(hl_bus_journal_stats(of->bus, i, &stats) == HL_OK, "statistics");
        packed += stats.packed_segments;
    }
    return packed;
}

static void run_round(uint64_t seed, uint32_t round)
{
    (void)round;
    scene of = {0};
    static guest guests[SUBSCRIBERS];
    sender senders[PUBLISHERS];
    pthread_t threads[PUBLISHERS];
    uint64_t random = seed;
    make_bus(&of);
    for (uint32_t i = 0; i < SUBSCRIBERS; i++)
        make_guest(&guests[i], &of, i, seed);
    for (uint32_t i = 0; i < 3; i++)
        enter(&guests[i]);
    for (uint32_t i = 0; i < PUBLISHERS; i++) {
        senders[i] = (sender){&of, seed + 100 + i, i};
        stress_start(&threads[i], send, &senders[i]);
    }
    for (uint32_t i = 3; i < SUBSCRIBERS; i++) {
        const uint64_t when = stress_below(&random, PUBLISHERS * EVENTS);
        while (all_sequences(&of) < when)
            sched_yield();
        enter(&guests[i]);
    }
    guest *const restless = &guests[SUBSCRIBERS - 1];
    for (uint32_t i = 0; i < 20; i++) {
        usleep(stress_below(&random, 20000));
        leave_and_enter(restless);
    }
    for (uint32_t i = 0; i < PUBLISHERS; i++)
        stress_join(threads[i]);
    while (all_sequences(&of) < PUBLISHERS * EVENTS)
        sched_yield();
    await_written(&of);
    for (uint32_t i = 0; i < SUBSCRIBERS; i++)
        await_all(&guests[i]);
    const hl_status status = hl_bus_stop(of.bus, 60 * HL_SECOND);
    hl_error error = {.text = ""};
    hl_bus_error(of.bus, &error);
    STRESS_CHECK(status == HL_OK, "%s: %s", hl_status_name(status), error.text);
    for (uint32_t i = 0; i < SUBSCRIBERS; i++) {
        printf("%s: ejected %" PRIu64 " times, %" PRIu64 " replayed\n", guests[i].options.name,
               guests[i].ejected, guests[i].replayed);
        for (uint32_t p = 0; p < PARTITIONS; p++)
            free(guests[i].times[p]);
    }
    printf("%" PRIu64 " segments packed meanwhile\n", count_packed(&of));
    hl_bus_destroy(of.bus);
    temporary_directory_remove(of.directory);
}

int main(int argc, char **argv)
{
    stress_rounds(stress_seed(argc, argv), getenv("HOTLANE_LONG") != NULL ? 40 : 2, run_round);
    return EXIT_SUCCESS;
}
