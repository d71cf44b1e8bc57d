/*
 * Snapshots while everything that they are made of changes: partitions apply events to aggregates'
 * states (of the bus's keeping and of the application's), their threads copy them, the taker's
 * writes them, by number, by time and on demand; others read the states and the statistics; some
 * events fail once, so that a snapshot is put off; the bus stops at the end, or in the middle of
 * it. What snapshots and their tail give must then be what the whole journal gives.
 *
 *     snapshots [SEED]
 *
 * HOTLANE_LONG=1: forty rounds instead of two.
 */
#include "../stress/stress.h"
#include "tests/temporary_directory.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hotlane/hotlane.h>

#define EVENTS     (60000u / STRESS_SHARE) /* of each publisher */
#define PUBLISHERS 2u
#define SHARDS     2u /* of "feed"; "order" has one, and is sync */
#define KEYS       16u

/* What the bus keeps of each key of "feed". */
typedef struct tally {
    uint64_t events;
    uint64_t sum;
    uint64_t check; /* of the other two: shows a copy of half a change */
} tally;

/* What the application keeps, plain memory: of a shard of "feed", or of "order". */
typedef struct ledger {
    uint64_t events;
    uint64_t digest; /* of all, whatever their order: a failed one comes later */
    uint64_t words[64];
} ledger;

typedef struct scene {
    hl_bus *bus;
    hl_topic tick, order;
    hl_aggregate *tallies, *feeds, *orders;
    ledger of_feed[SHARDS], of_order;
    uint32_t over; /* OVER: who looks on may end */
    uint64_t taken, postponed;
} scene;

typedef struct sender {
    scene *of;
    uint64_t random;
    uint32_t number;
} sender;

/* ---- what the events do ---- */

static uint64_t check_of(const tally *of)
{
    return random_mix(of->events * 31 + of->sum);
}

static hl_status count_key(void *state, const hl_event *event, hl_publisher *out, void *context)
{
    tally *const of = state;
    (void)out, (void)context;
    STRESS_CHECK(of->events == 0 || of->check == check_of(of), "a torn state of key %" PRIu64,
                 event->key);
    of->events++;
    of->sum += *(const uint64_t *)hl_payload(event);
    of->check = check_of(of);
    return HL_OK;
}

static void enter(ledger *into, const hl_event *event)
{
    const uint64_t word = random_mix(event->sequence) + *(const uint64_t *)hl_payload(event);
    into->events++;
    into->digest += random_mix(word);
    into->words[word % 64] += word;
}

/* Passes some on, and fails at first on some of the others: a few of these still wait when the
 * journal ends, and what they publish would not be in it. */
static hl_status enter_tick(void *state, const hl_event *event, hl_publisher *out, void *context)
{
    const scene *const of = context;
    if (event->sequence % 97 == 1 && event->sequence % 4 != 0 && event->attempt == 0)
        return HL_RETRY;
    if (event->sequence % 4 == 0 &&
        hl_try_publish(out, of->order, event->key, hl_payload(event), 8) != HL_OK)
        return HL_RETRY; /* no room: it costs no attempt */
    enter(state, event);
    return HL_OK;
}

static hl_status enter_order(void *state, const hl_event *event, hl_publisher *out, void *context)
{
    (void)out, (void)context;
    enter(state, event);
    return HL_OK;
}

static void save(const void *state, uint32_t shard, hl_state_writer *writer, void *context)
{
    (void)shard, (void)context;
    hl_state_write(writer, state, sizeof(ledger));
}

static hl_status load(void *state, uint32_t shard, uint32_t version, hl_state_reader *reader,
                      void *context)
{
    (void)shard, (void)version, (void)context;
    return hl_state_read(reader, state, sizeof(ledger));
}

/* ---- a bus ---- */

static void open_aggregates(scene *of)
{
    hl_error error = {.text = ""};
    void *feeds[SHARDS], *orders[] = {&of->of_order};
    for (uint32_t i = 0; i < SHARDS; i++)
        feeds[i] = &of->of_feed[i];
    hl_aggregate_options options = HL_AGGREGATE_OPTIONS_INIT;
    options.context = of;
    options.name = "tallies";
    options.domain = "feed";
    options.apply = count_key;
    options.by_key = true;
    options.state_size_bytes = sizeof(tally);
    STRESS_CHECK(hl_aggregate_open(of->bus, &options, &of->tallies, &error) == HL_OK, "%s",
                 error.text);
    options.by_key = false;
    options.state_size_bytes = 0;
    options.save = save;
    options.load = load;
    options.name = "feeds";
    options.apply = enter_tick;
    options.states = feeds;
    STRESS_CHECK(hl_aggregate_open(of->bus, &options, &of->feeds, &error) == HL_OK, "%s",
                 error.text);
    options.name = "orders";
    options.domain = "order";
    options.apply = enter_order;
    options.states = orders;
    STRESS_CHECK(hl_aggregate_open(of->bus, &options, &of->orders, &error) == HL_OK, "%s",
                 error.text);
}

/* `is_live`: with the journal, to be started; else to look at what it holds. */
static void make_bus(scene *of, const char *directory, bool is_live)
{
    hl_domain_config domains[2] = {{.name = "feed",
                                    .priority = HL_NORMAL,
                                    .shards = SHARDS,
                                    .slot_size_bytes = 128,
                                    .ring_slots = 256,
                                    .handler_ring_slots = 64,
                                    .publishes_to = "*",
                                    .wait = HL_WAIT_PARK,
                                    .journal_slots = 1024,
                                    .durability = HL_DURABILITY_ASYNC}};
    hl_config config = HL_CONFIG_INIT;
    hl_error error = {.text = ""};
    domains[1] = domains[0];
    domains[1].name = "order";
    domains[1].shards = 1;
    domains[1].durability = HL_DURABILITY_SYNC;
    if (!is_live)
        domains[0].durability = domains[1].durability = HL_DURABILITY_OFF;
    config.domains = domains;
    config.domain_count = 2;
    config.max_topics = 64;
    config.huge_pages = config.lock_memory = false;
    config.ring_start_position = UINT64_MAX - 500;
    config.threads = is_live ? HL_THREADS_OWN : HL_THREADS_MANUAL;
    config.journal_dir = is_live ? directory : NULL;
    config.journal_segment_bytes = 1 << 20;
    config.snapshots_kept = 1000;
    config.snapshot_events = 700;
    config.snapshot_interval_ns = 10 * HL_MILLISECOND;
    STRESS_CHECK(hl_bus_create(&config, &of->bus, &error) == HL_OK, "%s", error.text);
    STRESS_CHECK(hl_topic_declare(of->bus, "feed.tick", NULL, &of->tick) == HL_OK, "tick");
    STRESS_CHECK(hl_topic_declare(of->bus, "order.new", NULL, &of->order) == HL_OK, "order");
    open_aggregates(of);
}

/* ---- what happens at the same time ---- */

static void *publish_ticks(void *context)
{
    sender *const self = context;
    const scene *const of = self->of;
    hl_publisher *publisher;
    char name[16];
    snprintf(name, sizeof name, "p%u", self->number);
    if (hl_publisher_open(of->bus, name, NULL, &publisher) != HL_OK)
        return NULL; /* the stop was faster */
    for (uint64_t i = 0; i < EVENTS;) {
        const uint64_t value = random_mix(self->random + i);
        const hl_status status = hl_try_publish(publisher, of->tick, value % KEYS, &value, 8);
        if (status == HL_CLOSED)
            break;
        STRESS_CHECK(status == HL_OK || status == HL_FULL, "%s", hl_status_name(status));
        i += status == HL_OK;
        if (status != HL_OK)
            sched_yield();
    }
    hl_publisher_close(publisher);
    return NULL;
}

/* On demand, until the bus stops; what waits for an event that failed may take its time. */
static void *ask_for_snapshots(void *context)
{
    const scene *const of = context;
    hl_error error = {.text = ""};
    /* OVER: acquire. */
    while (hl_load_acquire_u32(&of->over) == 0) {
        const hl_status status = hl_bus_snapshot(of->bus, 20 * HL_MILLISECOND, &error);
        STRESS_CHECK(status == HL_OK || status == HL_TIMEOUT || status == HL_WRONG_STATE, "%s",
                     error.text);
        usleep(500);
    }
    return NULL;
}

static void add_stats(scene *of, const hl_aggregate *aggregate, uint32_t shard)
{
    hl_aggregate_stats stats;
    STRESS_CHECK(hl_aggregate_stats_of(aggregate, shard, &stats) == HL_OK, "statistics");
    STRESS_CHECK(stats.failures == 0, "%" PRIu64 " could not be written", stats.failures);
    of->taken += stats.snapshots;
    of->postponed += stats.postponed;
}

static void add_all_stats(scene *of)
{
    of->taken = of->postponed = 0;
    add_stats(of, of->orders, 0);
    for (uint32_t i = 0; i < SHARDS; i++) {
        add_stats(of, of->feeds, i);
        add_stats(of, of->tallies, i);
    }
}

static void *look_on(void *context)
{
    scene *const of = context;
    uint64_t before[KEYS] = {0};
    /* OVER: acquire. */
    while (hl_load_acquire_u32(&of->over) == 0) {
        for (uint64_t key = 0; key < KEYS; key++) {
            tally now;
            const hl_status status = hl_aggregate_read(of->tallies, key, &now);
            STRESS_CHECK(status == HL_OK || status == HL_NOT_FOUND || status == HL_BUSY, "%s",
                         hl_status_name(status));
            if (status != HL_OK)
                continue;
            STRESS_CHECK(now.check == check_of(&now) && now.events >= before[key],
                         "key %" PRIu64 ": %" PRIu64 " events after %" PRIu64, key, now.events,
                         before[key]);
            before[key] = now.events;
        }
        add_all_stats(of);
        sched_yield();
    }
    return NULL;
}

/* ---- what it comes to ---- */

/* The last ones that failed are tried again: when, the journal does not say. */
static void settle(hl_bus *bus)
{
    hl_subscription_stats row;
    uint64_t waiting;
    STRESS_CHECK(hl_bus_start(bus) == HL_OK, "start");
    do {
        waiting = 0;
        for (uint32_t i = 0; hl_bus_executor(bus, i) != NULL; i++)
            hl_executor_turn(hl_bus_executor(bus, i), 0);
        for (uint32_t i = 0; hl_bus_subscription_stats(bus, i, &row) == HL_OK; i++)
            waiting += row.in_retry + row.held;
    } while (waiting != 0);
}

/* The states as the journal in `directory` gives them. */
static void rebuild(scene *of, const char *directory, bool no_snapshots, uint64_t to_ns,
                    hl_rebuild_report *ret_report)
{
    hl_rebuild_options options = HL_REBUILD_OPTIONS_INIT;
    hl_error error = {.text = ""};
    *of = (scene){0};
    make_bus(of, directory, false);
    options.reading.directory = directory;
    options.reading.filter.to_ns = to_ns;
    options.no_snapshots = no_snapshots;
    STRESS_CHECK(hl_bus_rebuild(of->bus, &options, ret_report, &error) == HL_OK, "%s", error.text);
    STRESS_CHECK(ret_report->passed_over == 0, "%u snapshots are damaged", ret_report->passed_over);
    settle(of->bus);
}

static void compare(const scene *a, const scene *b, const char *what)
{
    STRESS_CHECK(memcmp(&a->of_order, &b->of_order, sizeof a->of_order) == 0,
                 "%s: orders: %" PRIu64 " and %" PRIu64, what, a->of_order.events,
                 b->of_order.events);
    for (uint32_t i = 0; i < SHARDS; i++)
        STRESS_CHECK(memcmp(&a->of_feed[i], &b->of_feed[i], sizeof a->of_feed[i]) == 0,
                     "%s: feed.%u: %" PRIu64 " and %" PRIu64, what, i, a->of_feed[i].events,
                     b->of_feed[i].events);
    for (uint64_t key = 0; key < KEYS; key++) {
        tally of_a = {0}, of_b = {0};
        const hl_status status = hl_aggregate_read(a->tallies, key, &of_a);
        STRESS_CHECK(hl_aggregate_read(b->tallies, key, &of_b) == status &&
                         memcmp(&of_a, &of_b, sizeof of_a) == 0,
                     "%s: key %" PRIu64 ": %" PRIu64 " and %" PRIu64, what, key, of_a.events,
                     of_b.events);
    }
}

/* As it was at a time (0: at the end): the whole journal, and the newest snapshots before it with
 * their tail, which the bus (NULL: not asked) agrees with. */
static void compare_at(const char *directory, uint64_t to_ns, const scene *live)
{
    static scene whole, quick;
    hl_rebuild_report from_start, from_snapshots;
    rebuild(&whole, directory, true, to_ns, &from_start);
    rebuild(&quick, directory, false, to_ns, &from_snapshots);
    compare(&quick, &whole, "snapshots with their tail, and the journal");
    if (live != NULL)
        compare(&whole, live, "the journal and the bus");
    printf("%" PRIu64 " events, %" PRIu64 " of them behind %u snapshots\n", from_start.events,
           from_snapshots.events, from_snapshots.loaded);
    hl_bus_destroy(quick.bus);
    hl_bus_destroy(whole.bus);
}

static void run_round(uint64_t seed, uint32_t round)
{
    (void)round;
    static scene live;
    char directory[TEMPORARY_DIRECTORY_SIZE];
    sender senders[PUBLISHERS];
    pthread_t threads[PUBLISHERS], asker, looker;
    hl_error error = {.text = ""};
    temporary_directory_make(NULL, "snapshots", directory);
    make_bus(&live, directory, true);
    STRESS_CHECK(hl_bus_start(live.bus) == HL_OK, "start");
    const uint64_t began_ns = hl_bus_now_ns(live.bus);
    for (uint32_t i = 0; i < PUBLISHERS; i++) {
        senders[i] = (sender){&live, seed + i, i};
        stress_start(&threads[i], publish_ticks, &senders[i]);
    }
    stress_start(&asker, ask_for_snapshots, &live);
    stress_start(&looker, look_on, &live);
    hl_status status = HL_OK;
    if (seed % 2 == 0) { /* the stop comes in the middle */
        while (hl_bus_sequence(live.bus, 0) < EVENTS / 4)
            sched_yield();
        status = hl_bus_stop(live.bus, 60 * HL_SECOND);
    }
    for (uint32_t i = 0; i < PUBLISHERS; i++)
        stress_join(threads[i]);
    if (seed % 2 != 0)
        status = hl_bus_stop(live.bus, 60 * HL_SECOND);
    hl_store_release_u32(&live.over, 1); /* OVER: release. */
    stress_join(asker);
    stress_join(looker);
    const uint64_t took_ns = hl_bus_now_ns(live.bus) - began_ns;
    hl_bus_error(live.bus, &error);
    STRESS_CHECK(status == HL_OK, "%s: %s", hl_status_name(status), error.text);
    add_all_stats(&live);
    printf("%" PRIu64 " snapshots, %" PRIu64 " put off\n", live.taken, live.postponed);
    compare_at(directory, 0, &live);
    for (uint64_t part = 1; part < 4; part++)
        compare_at(directory, began_ns + took_ns / 4 * part, NULL);
    hl_bus_destroy(live.bus);
    temporary_directory_remove(directory);
}

int main(int argc, char **argv)
{
    stress_rounds(stress_seed(argc, argv), getenv("HOTLANE_LONG") != NULL ? 40 : 2, run_round);
    return EXIT_SUCCESS;
}
