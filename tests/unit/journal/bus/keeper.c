#include "journal/keeper.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "journal/audit.h"
#include "journal/cursor.h"
#include "journal/retention.h"
#include "journal/snapshot.h"
#include "kept_bus.h"

TestSuite(keeper, .init = kept_set_up, .fini = kept_tear_down);

static recorder seen;

/* ---- by age ---- */

Test(keeper, thirty_days_are_kept_unless_it_is_said_otherwise)
{
    const hl_config usual = HL_CONFIG_INIT;
    cr_assert_eq(usual.journal_ttl_ns, 30 * DAY_NS);
    cr_assert_eq(usual.journal_max_bytes, 0);
    const hl_config config = kept_config();
    hl_bus *const bus = kept_start(&config);
    const size_t before = kept_segments();
    kept_disk.ahead_ns = 29 * DAY_NS;
    kept_tick(bus, HOUR_NS);
    cr_assert_eq(kept_segments(), before);
    kept_disk.ahead_ns = 31 * DAY_NS;
    kept_tick(bus, HOUR_NS - 1);
    cr_assert_eq(kept_segments(), before, "it looks each hour");
    kept_tick(bus, 1);
    cr_assert_eq(kept_segments(), 1, "all but the newest");
    cr_assert_eq(kept_stats(bus).removed_segments, before - 1);
    cr_assert_gt(kept_stats(bus).removed_bytes, (before - 1) << 15);
    hl_audit_findings audit;
    cr_assert_eq(hl_audit_verify(hl_io_posix(), kept_disk.directory, &audit, NULL), HL_OK);
    cr_assert_eq(audit.lines, before - 1, "each removal has its line");
    manual_stop(bus);
}

Test(keeper, it_looks_as_the_bus_starts)
{
    const hl_config config = kept_config();
    manual_stop(kept_start(&config));
    const size_t before = kept_segments();
    kept_disk.ahead_ns = 31 * DAY_NS;
    hl_bus *const bus = manual_start(&config);
    kept_tick(bus, 0);
    cr_assert_geq(kept_stats(bus).removed_segments, before - 1);
    kept_publish(bus, 10);
    manual_stop(bus);
}

Test(keeper, without_a_limit_all_is_kept)
{
    hl_config config = kept_config();
    config.journal_ttl_ns = 0;
    hl_bus *const bus = kept_start(&config);
    const size_t before = kept_segments();
    kept_disk.ahead_ns = 4000 * DAY_NS;
    kept_tick(bus, HOUR_NS);
    cr_assert_eq(kept_segments(), before);
    manual_stop(bus);
}

/* ---- by size ---- */

Test(keeper, what_is_too_large_goes_when_a_segment_is_sealed)
{
    hl_config config = kept_config();
    config.journal_max_bytes = 256 << 10;
    hl_bus *const bus = manual_start(&config);
    kept_tick(bus, 0);
    for (int i = 0; i < 5; i++) {
        kept_publish(bus, 1500);
        kept_tick(bus, HL_SECOND);
        cr_assert_leq(kept_segments(), 4);
    }
    cr_assert_gt(kept_stats(bus).removed_segments, 3);
    cr_assert_gt(kept_segments(), 2, "no more than it must");
    manual_stop(bus);
}

/* ---- what is needed ---- */

Test(keeper, what_a_cursor_needs_stays_until_it_is_gone)
{
    const hl_cursor_position half = {.partition = "order", .next_sequence = 1501};
    const hl_config config = kept_config();
    hl_bus *const bus = kept_start(&config);
    cr_assert_eq(hl_cursor_store(&kept_disk.io, kept_disk.directory, "bridge", &half, 1, NULL),
                 HL_OK);
    const size_t before = kept_segments();
    kept_disk.ahead_ns = 31 * DAY_NS;
    kept_tick(bus, HOUR_NS);
    const uint64_t removed = kept_stats(bus).removed_segments;
    cr_assert(removed > 0 && removed < before - 1, "%lu of %zu", removed, before);
    cr_assert(kept_stats(bus).removal_held);
    cr_assert_eq(hl_cursor_remove(&kept_disk.io, kept_disk.directory, "bridge", NULL), HL_OK);
    kept_tick(bus, HOUR_NS);
    cr_assert_eq(kept_segments(), 1);
    cr_assert_not(kept_stats(bus).removal_held);
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
    hl_config config = kept_config();
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
    kept_publish(bus, 1500);
    kept_disk.ahead_ns = 31 * DAY_NS;
    const size_t before = kept_segments();
    kept_tick(bus, HOUR_NS);
    cr_assert_eq(kept_segments(), before, "it has no snapshot");
    cr_assert(kept_stats(bus).removal_held);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(hl_bus_snapshot(bus, HL_SECOND, &error), HL_OK, "%s", error.text);
        kept_publish(bus, 1500);
    }
    kept_tick(bus, HOUR_NS);
    cr_assert_gt(kept_stats(bus).removed_segments, 0);
    cr_assert_gt(kept_segments(), 2, "what lies behind the older snapshot stays");
    manual_stop(bus);
}

/* ---- what it reads ---- */

static void store_snapshot(uint64_t sequence)
{
    hl_cursor_position position = {.partition = "order", .next_sequence = sequence + 1};
    const hl_snapshot snapshot = {
        .name = "book", .sequence = sequence, .positions = &position, .positions_count = 1};
    cr_assert_eq(hl_snapshot_store(&kept_disk.io, kept_disk.directory, &snapshot, NULL, 2, NULL),
                 HL_OK);
}

static void expect_reads(hl_bus *bus, uint64_t after_ns, uint32_t segments, uint32_t snapshots)
{
    kept_disk.segments_read = kept_disk.snapshots_read = 0;
    kept_tick(bus, after_ns);
    cr_assert_eq(kept_disk.segments_read, segments, "%u segments", kept_disk.segments_read);
    cr_assert_eq(kept_disk.snapshots_read, snapshots, "%u snapshots", kept_disk.snapshots_read);
}

Test(keeper, a_look_reads_what_is_new_since_the_last)
{
    const hl_config config = kept_config();
    hl_bus *const bus = kept_start(&config);
    store_snapshot(1000);
    store_snapshot(2000);
    expect_reads(bus, HOUR_NS, 1, 2); /* the newest, which still grows */
    expect_reads(bus, HOUR_NS, 1, 0);
    const uint32_t before = (uint32_t)kept_segments();
    kept_publish(bus, 1500);
    const uint32_t more = (uint32_t)kept_segments() - before;
    cr_assert_gt(more, 0);
    store_snapshot(3000);
    expect_reads(bus, HOUR_NS, 1 + more, 1);
    /* What it has not read again it goes by all the same. */
    kept_disk.ahead_ns = 31 * DAY_NS;
    kept_tick(bus, HOUR_NS);
    cr_assert(kept_stats(bus).removal_held);
    const uint64_t removed = kept_stats(bus).removed_segments;
    cr_assert_gt(removed, 0);
    store_snapshot(4000); /* it was the one of 2000 that needed more */
    expect_reads(bus, HOUR_NS, 1, 1);
    cr_assert_gt(kept_stats(bus).removed_segments, removed);
    cr_assert(kept_stats(bus).removal_held);
    manual_stop(bus);
}

/* Else it would remove for room that there is. */
Test(keeper, what_another_has_packed_is_as_large_as_it_is_now)
{
    hl_config config = kept_config();
    hl_bus *const bus = kept_start(&config);
    const hl_retention_options packing = {
        .directory = kept_disk.directory, .pack = true, .compress = true};
    hl_retention_result result;
    if (hl_retention_apply(hl_io_posix(), &packing, &result, NULL) == HL_UNSUPPORTED)
        cr_skip_test("built without zstd");
    cr_assert_gt(result.packed, 0);
    expect_reads(bus, HOUR_NS, (uint32_t)kept_segments(), 0);
    expect_reads(bus, HOUR_NS, 1, 0);
    manual_stop(bus);
}

/* ---- who reads ---- */

Test(keeper, a_hand_over_is_told_what_went_while_it_read)
{
    hl_config config = kept_config();
    config.max_workers = config.min_workers = 1;
    hl_bus *const bus = kept_start(&config);
    hl_subscription *const late = kept_subscribe_late(bus, &seen);
    kept_disk.ahead_ns = 31 * DAY_NS;
    kept_tick(bus, HOUR_NS);
    cr_assert_eq(kept_segments(), 1);
    hl_subscription_stats stats;
    for (int i = 0; i < 2000; i++) {
        turn_all(bus);
        kept_tick(bus, HL_MILLISECOND);
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
    const hl_config config = kept_config();
    hl_bus *const bus = kept_start(&config);
    const size_t before = kept_segments();
    kept_disk.ahead_ns = 31 * DAY_NS;
    kept_disk.unlink_error = -EIO;
    kept_tick(bus, HOUR_NS);
    cr_assert_eq(kept_stats(bus).keep_failures, 1);
    cr_assert(kept_stats(bus).keep_failing);
    cr_assert_not_null(strstr(kept_stats(bus).keep_reason, "remove"), "%s",
                       kept_stats(bus).keep_reason);
    kept_tick(bus, 60 * HL_SECOND - 1);
    cr_assert_eq(kept_stats(bus).keep_failures, 1);
    kept_tick(bus, 1);
    cr_assert_eq(kept_stats(bus).keep_failures, 2, "each minute");
    kept_tick(bus, HL_MILLISECOND);
    cr_assert_eq(kept_disk.log_lines, 1);
    cr_assert_eq(kept_segments(), before);
    cr_assert_eq(kept_stats(bus).removed_segments, 0);
    kept_publish(bus, 100); /* the bus does not care */
    kept_disk.unlink_error = 0;
    kept_tick(bus, 60 * HL_SECOND);
    cr_assert_eq(kept_stats(bus).removed_segments, before - 1);
    cr_assert_eq(kept_stats(bus).keep_failures, 2);
    cr_assert_not(kept_stats(bus).keep_failing);
    manual_stop(bus);
}

/* ---- a thread of its own ---- */

/* The first removal takes until the test lets it go. */
static int unlink_slowly(void *context, const char *path)
{
    if (strstr(path, ".hlj") != NULL)
        kept_stand_first();
    return hl_io_posix()->unlink(context, path);
}

Test(keeper, nothing_waits_for_a_slow_removal_and_a_stop_ends_behind_it)
{
    hl_config config = kept_config();
    manual_stop(kept_start(&config));
    const size_t before = kept_segments();
    kept_disk.io.unlink = unlink_slowly;
    kept_disk.ahead_ns = 31 * DAY_NS;
    config.threads = HL_THREADS_OWN;
    config.clock = NULL;
    hl_bus *const bus = manual_start(&config);
    kept_expect_life(bus);
    kept_stop_while_it_stands(bus);
    const uint64_t removed = kept_stats(bus).removed_segments;
    cr_assert_geq(removed, 1);
    cr_assert_leq(removed, before);
    cr_assert_eq(kept_stands(), removed, "each once");
    hl_bus_destroy(bus);
}

static uint32_t broken; /* shared with the keeper's thread */

static int unlink_broken_then_slowly(void *context, const char *path)
{
    if (strstr(path, ".hlj") != NULL && __atomic_load_n(&broken, __ATOMIC_SEQ_CST) != 0)
        return -EIO;
    return unlink_slowly(context, path);
}

/* Publishes until a new segment is begun: then the keeper looks again. */
static void begin_segment(hl_bus *bus)
{
    const hl_topic to = topic(bus, "order.new");
    hl_publisher *const desk = open_publisher(bus, "desk", NULL);
    for (const size_t before = kept_segments(); kept_segments() == before;) {
        const uint64_t value = 1;
        const hl_status status = hl_try_publish(desk, to, 1, &value, sizeof value);
        cr_assert(status == HL_OK || status == HL_FULL, "%s", hl_status_name(status));
        sched_yield();
    }
    hl_publisher_close(desk);
}

Test(keeper, a_look_that_a_stop_ends_does_not_say_that_all_is_well)
{
    hl_config config = kept_config();
    manual_stop(kept_start(&config));
    broken = 1;
    kept_disk.io.unlink = unlink_broken_then_slowly;
    kept_disk.ahead_ns = 31 * DAY_NS;
    config.threads = HL_THREADS_OWN;
    config.clock = NULL;
    hl_bus *const bus = manual_start(&config);
    while (!kept_stats(bus).keep_failing)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    __atomic_store_n(&broken, 0, __ATOMIC_SEQ_CST);
    begin_segment(bus);
    kept_stop_while_it_stands(bus);
    cr_assert(kept_stats(bus).keep_failing, "it has not come to all");
    hl_bus_destroy(bus);
}
