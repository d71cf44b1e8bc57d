#include "journal/keeper.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/io.h"
#include "bus/bus.h"
#include "journal/audit.h"
#include "journal/cursor.h"
#include "journal/segment.h"
#include "manual_bus.h"
#include "tests/temporary_directory.h"

#define HOUR_NS (3600 * HL_SECOND)
#define DAY_NS  (24 * HOUR_NS)

/* ---- a disk whose day a test sets, and whose removals may fail ---- */

static char directory[TEMPORARY_DIRECTORY_SIZE];
static hl_io disk;
static uint64_t ahead_ns;  /* of the real day */
static int unlink_error;   /* negative errno; 0: none */
static uint32_t log_lines; /* of the level ERROR */

static uint64_t read_now(void *context)
{
    return hl_io_posix()->now(context) + ahead_ns;
}

static int unlink_or_fail(void *context, const char *path)
{
    return unlink_error != 0 ? unlink_error : hl_io_posix()->unlink(context, path);
}

static void note_line(const hl_log_line *line, void *context)
{
    (void)context;
    log_lines += line->level == HL_LOG_ERROR;
}

static void set_up(void)
{
    temporary_directory_make(NULL, "keeper", directory);
    disk = *hl_io_posix();
    disk.now = read_now;
    disk.unlink = unlink_or_fail;
}

static void tear_down(void)
{
    temporary_directory_remove(directory);
}

TestSuite(keeper, .init = set_up, .fini = tear_down);

/* ---- a bus whose orders are journaled in segments of 64 KiB ---- */

static hl_domain_config domains[MANUAL_DOMAINS];
static recorder seen;

static hl_config journaled(void)
{
    memcpy(domains, manual_domains, sizeof domains);
    domains[MANUAL_ORDER].durability = HL_DURABILITY_ASYNC;
    domains[MANUAL_ORDER].ring_slots = 64;
    hl_config config = manual_config();
    config.domains = domains;
    config.journal_dir = directory;
    config.journal_segment_bytes = 64 << 10;
    config.journal_io = &disk;
    config.on_log = note_line;
    return config;
}

static void publish_orders(hl_bus *bus, uint64_t count)
{
    const hl_topic to = topic(bus, "order.new");
    hl_publisher *const desk = open_publisher(bus, "desk", NULL);
    for (uint64_t i = 0; i < count; i++) {
        publish(desk, to, i, i);
        if (i % 32 == 0)
            turn_all(bus);
    }
    turn_all(bus);
    hl_publisher_close(desk);
}

static void tick(hl_bus *bus, uint64_t after_ns)
{
    manual_now_ns += after_ns;
    cr_assert_eq(hl_bus_housekeep(bus), HL_OK);
}

static hl_partition_journal_stats journal_of(const hl_bus *bus)
{
    hl_partition_journal_stats stats;
    cr_assert_eq(hl_bus_journal_stats(bus, MANUAL_ORDER, &stats), HL_OK);
    return stats;
}

static size_t segments(void)
{
    char path[TEMPORARY_DIRECTORY_SIZE + 8];
    hl_segment_name *names = NULL;
    size_t count = 0;
    hl_error error = {.text = ""};
    snprintf(path, sizeof path, "%s/order", directory);
    cr_assert_eq(hl_segment_list(hl_io_posix(), path, &names, &count, &error), HL_OK, "%s",
                 error.text);
    free(names);
    return count;
}

/* A bus that has looked once and found nothing to remove, with several segments. */
static hl_bus *start_with_segments(const hl_config *config)
{
    hl_bus *const bus = manual_start(config);
    tick(bus, 0);
    publish_orders(bus, 3000);
    tick(bus, 2 * HL_SECOND);
    cr_assert_gt(segments(), 3);
    cr_assert_eq(journal_of(bus).removed_segments, 0);
    return bus;
}

/* ---- by age ---- */

Test(keeper, thirty_days_are_kept_unless_it_is_said_otherwise)
{
    const hl_config usual = HL_CONFIG_INIT;
    cr_assert_eq(usual.journal_ttl_ns, 30 * DAY_NS);
    cr_assert_eq(usual.journal_max_bytes, 0);
    const hl_config config = journaled();
    hl_bus *const bus = start_with_segments(&config);
    const size_t before = segments();
    ahead_ns = 29 * DAY_NS;
    tick(bus, HOUR_NS);
    cr_assert_eq(segments(), before);
    ahead_ns = 31 * DAY_NS;
    tick(bus, HOUR_NS - 1);
    cr_assert_eq(segments(), before, "it looks each hour");
    tick(bus, 1);
    cr_assert_eq(segments(), 1, "all but the newest");
    cr_assert_eq(journal_of(bus).removed_segments, before - 1);
    cr_assert_gt(journal_of(bus).removed_bytes, (before - 1) << 15);
    hl_audit_findings audit;
    cr_assert_eq(hl_audit_verify(hl_io_posix(), directory, &audit, NULL), HL_OK);
    cr_assert_eq(audit.lines, before - 1, "each removal has its line");
    manual_stop(bus);
}

Test(keeper, it_looks_as_the_bus_starts)
{
    const hl_config config = journaled();
    manual_stop(start_with_segments(&config));
    const size_t before = segments();
    ahead_ns = 31 * DAY_NS;
    hl_bus *const bus = manual_start(&config);
    tick(bus, 0);
    cr_assert_geq(journal_of(bus).removed_segments, before - 1);
    publish_orders(bus, 10);
    manual_stop(bus);
}

Test(keeper, without_a_limit_all_is_kept)
{
    hl_config config = journaled();
    config.journal_ttl_ns = 0;
    hl_bus *const bus = start_with_segments(&config);
    const size_t before = segments();
    ahead_ns = 4000 * DAY_NS;
    tick(bus, HOUR_NS);
    cr_assert_eq(segments(), before);
    manual_stop(bus);
}

/* ---- by size ---- */

Test(keeper, what_is_too_large_goes_when_a_segment_is_sealed)
{
    hl_config config = journaled();
    config.journal_max_bytes = 256 << 10;
    hl_bus *const bus = manual_start(&config);
    tick(bus, 0);
    for (int i = 0; i < 5; i++) {
        publish_orders(bus, 1500);
        tick(bus, HL_SECOND);
        cr_assert_leq(segments(), 4);
    }
    cr_assert_gt(journal_of(bus).removed_segments, 3);
    cr_assert_gt(segments(), 2, "no more than it must");
    manual_stop(bus);
}

/* ---- what is needed ---- */

Test(keeper, what_a_cursor_needs_stays_until_it_is_gone)
{
    const hl_cursor_position half = {.partition = "order", .next_sequence = 1501};
    const hl_config config = journaled();
    hl_bus *const bus = start_with_segments(&config);
    cr_assert_eq(hl_cursor_store(&disk, directory, "bridge", &half, 1, NULL), HL_OK);
    const size_t before = segments();
    ahead_ns = 31 * DAY_NS;
    tick(bus, HOUR_NS);
    const uint64_t removed = journal_of(bus).removed_segments;
    cr_assert(removed > 0 && removed < before - 1, "%lu of %zu", removed, before);
    cr_assert(journal_of(bus).removal_held);
    cr_assert_eq(hl_cursor_remove(&disk, directory, "bridge", NULL), HL_OK);
    tick(bus, HOUR_NS);
    cr_assert_eq(segments(), 1);
    cr_assert_not(journal_of(bus).removal_held);
    manual_stop(bus);
}

static hl_status add(void *state, const hl_event *event, hl_publisher *out, void *context)
{
    (void)out, (void)context;
    *(uint64_t *)state += value_of(event);
    return HL_OK;
}

Test(keeper, an_aggregate_needs_all_until_it_has_snapshots)
{
    hl_config config = journaled();
    config.snapshot_interval_ns = 0;
    hl_bus *const bus = manual_create(&config);
    hl_aggregate_options options = HL_AGGREGATE_OPTIONS_INIT;
    hl_aggregate *total;
    options.name = "total";
    options.domain = "order";
    options.pattern = "order.new";
    options.apply = add;
    options.by_key = true;
    options.state_size_bytes = sizeof(uint64_t);
    options.max_keys = 4096;
    hl_error error = {.text = ""};
    cr_assert_eq(hl_aggregate_open(bus, &options, &total, &error), HL_OK, "%s", error.text);
    cr_assert_eq(hl_bus_start(bus), HL_OK);
    publish_orders(bus, 1500);
    ahead_ns = 31 * DAY_NS;
    const size_t before = segments();
    tick(bus, HOUR_NS);
    cr_assert_eq(segments(), before, "it has no snapshot");
    cr_assert(journal_of(bus).removal_held);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(hl_bus_snapshot(bus, HL_SECOND, &error), HL_OK, "%s", error.text);
        publish_orders(bus, 1500);
    }
    tick(bus, HOUR_NS);
    cr_assert_gt(journal_of(bus).removed_segments, 0);
    cr_assert_gt(segments(), 2, "what lies behind the older snapshot stays");
    manual_stop(bus);
}

/* ---- who reads ---- */

Test(keeper, a_hand_over_is_told_what_went_while_it_read)
{
    hl_config config = journaled();
    config.max_workers = config.min_workers = 1;
    hl_bus *const bus = start_with_segments(&config);
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.async = HL_ASYNC_ORDERED;
    options.contract = HL_CONTRACT_EJECT;
    options.queue_events = 8;
    options.eject_behind = 6;
    options.past.from = HL_FROM_START;
    hl_subscription *const late = subscribe(bus, "order.>", &seen, &options);
    tick(bus, HL_MILLISECOND); /* it has begun in the oldest segment */
    ahead_ns = 31 * DAY_NS;
    tick(bus, HOUR_NS);
    cr_assert_eq(segments(), 1);
    hl_subscription_stats stats;
    for (int i = 0; i < 2000; i++) {
        turn_all(bus);
        tick(bus, HL_MILLISECOND);
    }
    stats = stats_of(late);
    cr_assert_not(stats.catching_up);
    cr_assert_gt(stats.missed, 0);
    cr_assert_gt(stats.replayed, 0);
    cr_assert_eq(stats.missed + stats.replayed, 3000, "%lu and %lu", stats.missed, stats.replayed);
    manual_stop(bus);
}

/* ---- what goes wrong ---- */

Test(keeper, a_failure_is_said_once_and_tried_again)
{
    const hl_config config = journaled();
    hl_bus *const bus = start_with_segments(&config);
    const size_t before = segments();
    ahead_ns = 31 * DAY_NS;
    unlink_error = -EIO;
    tick(bus, HOUR_NS);
    cr_assert_eq(journal_of(bus).keep_failures, 1);
    tick(bus, 60 * HL_SECOND - 1);
    cr_assert_eq(journal_of(bus).keep_failures, 1);
    tick(bus, 1);
    cr_assert_eq(journal_of(bus).keep_failures, 2, "each minute");
    tick(bus, HL_MILLISECOND);
    cr_assert_eq(log_lines, 1);
    cr_assert_eq(segments(), before);
    cr_assert_eq(journal_of(bus).removed_segments, 0);
    publish_orders(bus, 100); /* the bus does not care */
    unlink_error = 0;
    tick(bus, 60 * HL_SECOND);
    cr_assert_eq(journal_of(bus).removed_segments, before - 1);
    cr_assert_eq(journal_of(bus).keep_failures, 2);
    manual_stop(bus);
}

/* ---- a thread of its own ---- */

static uint32_t unlinks, let_go; /* shared with the keeper's thread */

/* The first removal takes until the test lets it go. */
static int unlink_slowly(void *context, const char *path)
{
    if (strstr(path, ".hlj") != NULL && __atomic_fetch_add(&unlinks, 1, __ATOMIC_SEQ_CST) == 0)
        while (__atomic_load_n(&let_go, __ATOMIC_SEQ_CST) == 0)
            nanosleep(&(struct timespec){0, 1000000}, NULL);
    return hl_io_posix()->unlink(context, path);
}

static void *stop_bus(void *bus)
{
    return (void *)(intptr_t)hl_bus_stop(bus, 10 * HL_SECOND);
}

static bool is_running(hl_bus *bus)
{
    hl_bus_lock(bus);
    const bool running = bus->control->state == HL_BUS_RUNNING;
    hl_bus_unlock(bus);
    return running;
}

Test(keeper, nothing_waits_for_a_slow_removal_and_a_stop_ends_behind_it)
{
    hl_config config = journaled();
    manual_stop(start_with_segments(&config));
    const size_t before = segments();
    disk.unlink = unlink_slowly;
    ahead_ns = 31 * DAY_NS;
    config.threads = HL_THREADS_OWN;
    config.clock = NULL;
    hl_bus *const bus = manual_start(&config);
    while (__atomic_load_n(&unlinks, __ATOMIC_SEQ_CST) == 0)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    /* It stands in the first; events, their journal and the housekeeper go on. */
    const hl_topic to = topic(bus, "order.new");
    hl_publisher *const desk = open_publisher(bus, "desk", NULL);
    publish(desk, to, 1, 1);
    const uint64_t sequence = journal_of(bus).recovered_sequence;
    while (journal_of(bus).durable_sequence <= sequence)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    hl_publisher_close(desk);
    pthread_t stopper;
    void *status;
    cr_assert_eq(pthread_create(&stopper, NULL, stop_bus, bus), 0);
    /* Not before the parts are halted: an asked-for look is then the last. */
    while (is_running(bus))
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    __atomic_store_n(&let_go, 1, __ATOMIC_SEQ_CST);
    pthread_join(stopper, &status);
    cr_assert_eq((hl_status)(intptr_t)status, HL_OK);
    const uint64_t removed = journal_of(bus).removed_segments;
    cr_assert_geq(removed, 1);
    cr_assert_leq(removed, before);
    cr_assert_eq(__atomic_load_n(&unlinks, __ATOMIC_SEQ_CST), removed, "each once");
    hl_bus_destroy(bus);
}
