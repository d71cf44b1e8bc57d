#include "journal/journals.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hotlane/journal_reader.h>

#include "bus/bus.h"
#include "manual_bus.h"
#include "manual_disk.h"
#include "tests/journal_count.h"
#include "tests/temporary_directory.h"

static char directory[TEMPORARY_DIRECTORY_SIZE];

static void set_up(void)
{
    temporary_directory_make(NULL, "journals", directory);
    manual_disk_make();
}

static void tear_down(void)
{
    temporary_directory_remove(directory);
}

TestSuite(journals, .init = set_up, .fini = tear_down);

/* ---- buses ---- */

static hl_domain_config domains[MANUAL_DOMAINS];

/* Of all manual domains, order and fill are journaled so; 8 slots of order's are in flight at most.
 */
static hl_bus *create(hl_durability order, hl_durability fill, hl_journal_policy policy)
{
    memcpy(domains, manual_domains, sizeof domains);
    domains[MANUAL_ORDER].durability = order;
    domains[MANUAL_ORDER].journal_policy = policy;
    domains[MANUAL_ORDER].journal_slots = 8;
    domains[MANUAL_ORDER].ring_slots = 64;
    domains[MANUAL_FILL].durability = fill;
    hl_config config = manual_config();
    config.domains = domains;
    config.journal_dir = directory;
    config.journal_segment_bytes = 1 << 20;
    config.journal_io = &manual_disk.io;
    return manual_create(&config);
}

static hl_bus *start(hl_durability order, hl_durability fill, hl_journal_policy policy)
{
    hl_bus *const bus = create(order, fill, policy);
    cr_assert_eq(hl_bus_start(bus), HL_OK);
    return bus;
}

static hl_partition_journal_stats journal_of(const hl_bus *bus, const char *domain)
{
    hl_partition_journal_stats stats;
    uint32_t partition;
    cr_assert_eq(hl_bus_partition(bus, domain, 0, &partition), HL_OK);
    cr_assert_eq(hl_bus_journal_stats(bus, partition, &stats), HL_OK);
    return stats;
}

static void publish_many(hl_bus *bus, const char *name, uint64_t first, uint64_t count)
{
    const hl_topic to = topic(bus, name);
    hl_publisher *const desk = open_publisher(bus, "desk", NULL);
    for (uint64_t i = 0; i < count; i++)
        publish(desk, to, 7, first + i);
    hl_publisher_close(desk);
}

/* What the journal of a partition holds, checked: events with values from `first` on whose
 * sequences follow each other. */
static void assert_journal(const char *partition, uint64_t first, uint64_t count,
                           uint64_t first_sequence)
{
    hl_journal_reader_options options = HL_JOURNAL_READER_OPTIONS_INIT;
    hl_journal_reader *reader;
    hl_journal_entry entry;
    hl_error error = {.text = ""};
    options.directory = directory;
    options.partition = partition;
    cr_assert_eq(hl_journal_reader_open(&options, &reader, &error), HL_OK, "%s", error.text);
    for (uint64_t i = 0; i < count; i++) {
        cr_assert_eq(hl_journal_reader_next(reader, &entry, &error), HL_OK, "%s", error.text);
        cr_assert_eq(entry.kind, HL_JOURNAL_EVENT);
        cr_assert_eq(entry.event->sequence, first_sequence + i);
        cr_assert_eq(value_of(entry.event), first + i);
        cr_assert_str_eq(entry.source, "desk");
    }
    cr_assert_eq(hl_journal_reader_next(reader, &entry, &error), HL_NOT_FOUND, "%s", error.text);
    hl_journal_reader_close(reader);
}

/* ---- what is promised ---- */

Test(journals, every_event_is_written_with_its_sequence_and_names)
{
    static recorder seen;
    hl_bus *const bus = start(HL_DURABILITY_ASYNC, HL_DURABILITY_OFF, HL_JOURNAL_WAIT);
    subscribe(bus, "order.>", &seen, NULL);
    publish_many(bus, "order.new", 100, 60);
    turn_all(bus);
    assert_values_follow(&seen, 100, 60);
    manual_stop(bus);
    assert_journal("order", 100, 60, 1);
}

typedef struct durable_check {
    hl_bus *bus;
    uint64_t count;
} durable_check;

static hl_status see_durable(const hl_event *event, hl_publisher *out, void *context)
{
    durable_check *const check = context;
    (void)out;
    cr_assert_geq(journal_of(check->bus, "order").durable_sequence, event->sequence);
    check->count++;
    return HL_OK;
}

Test(journals, of_a_sync_domain_handlers_see_only_what_is_durable)
{
    durable_check check = {.bus = start(HL_DURABILITY_SYNC, HL_DURABILITY_OFF, HL_JOURNAL_WAIT)};
    hl_subscription *subscription;
    cr_assert_eq(hl_subscribe(check.bus, "order.>", see_durable, &check, NULL, &subscription),
                 HL_OK);
    publish_many(check.bus, "order.new", 1, 60);
    turn_all(check.bus);
    cr_assert_eq(check.count, 60);
    cr_assert_gt(journal_of(check.bus, "order").syncs, 0);
    manual_stop(check.bus);
    assert_journal("order", 1, 60, 1);
}

/* The last sequence that a process beside the bus is shown. */
static uint64_t last_shown(const char *partition)
{
    hl_journal_reader_options reading = HL_JOURNAL_READER_OPTIONS_INIT;
    hl_journal_reader *reader;
    hl_journal_entry entry;
    uint64_t last = 0;
    reading.directory = directory;
    reading.partition = partition;
    cr_assert_eq(hl_journal_reader_open(&reading, &reader, NULL), HL_OK);
    while (hl_journal_reader_next(reader, &entry, NULL) == HL_OK)
        last = entry.last_sequence;
    hl_journal_reader_close(reader);
    return last;
}

static hl_bus *watched;
static uint64_t looks;

static int look_and_sync(void *context, hl_io_file file)
{
    if (watched != NULL) {
        cr_assert_leq(last_shown("order"), journal_of(watched, "order").durable_sequence);
        looks++;
    }
    return hl_io_posix()->sync(context, file);
}

Test(journals, readers_beside_the_bus_are_shown_what_is_safe)
{
    manual_disk.io.sync = look_and_sync;
    hl_bus *const bus = start(HL_DURABILITY_SYNC, HL_DURABILITY_ASYNC, HL_JOURNAL_WAIT);
    watched = bus;
    for (uint64_t i = 0; i < 20; i += 2) {
        publish_many(bus, "order.new", i, 2);
        publish_many(bus, "fill.done", i, 2);
        turn_all(bus);
        cr_assert_eq(last_shown("order"), journal_of(bus, "order").durable_sequence);
        cr_assert_eq(last_shown("fill"), journal_of(bus, "fill").written_sequence);
    }
    cr_assert_gt(looks, 0);
    watched = NULL;
    manual_stop(bus);
    cr_assert_eq(last_shown("order"), 20);
    cr_assert_eq(last_shown("fill"), 20);
}

Test(journals, a_sync_group_is_taken_before_it_is_handed_out)
{
    static recorder seen;
    hl_bus *const bus = start(HL_DURABILITY_SYNC, HL_DURABILITY_OFF, HL_JOURNAL_WAIT);
    subscribe(bus, "order.>", &seen, NULL);
    manual_disk.sync_error = 0;
    publish_many(bus, "order.new", 1, 20);
    turn_all(bus);
    assert_values_follow(&seen, 1, 20);
    /* Eight in flight at a time, not one: pipelined. */
    const uint64_t syncs = journal_of(bus, "order").syncs;
    cr_assert_leq(syncs, 6, "%lu syncs for 20 events", syncs);
    manual_stop(bus);
}

Test(journals, sequences_go_on_after_a_stop)
{
    hl_bus *bus = start(HL_DURABILITY_ASYNC, HL_DURABILITY_SYNC, HL_JOURNAL_WAIT);
    publish_many(bus, "order.new", 1, 10);
    publish_many(bus, "fill.done", 1, 3);
    turn_all(bus);
    manual_stop(bus);
    bus = start(HL_DURABILITY_SYNC, HL_DURABILITY_ASYNC, HL_JOURNAL_WAIT);
    cr_assert_eq(journal_of(bus, "order").recovered_sequence, 10);
    cr_assert(journal_of(bus, "order").was_clean);
    publish_many(bus, "order.new", 11, 5);
    turn_all(bus);
    manual_stop(bus);
    assert_journal("order", 1, 15, 1);
    assert_journal("fill", 1, 3, 1);
}

/* As if it were killed. */
static void run_and_die(uint64_t count)
{
    const pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        hl_bus *const bus = start(HL_DURABILITY_SYNC, HL_DURABILITY_OFF, HL_JOURNAL_WAIT);
        publish_many(bus, "order.new", 1, count);
        turn_all(bus);
        _exit(0);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

Test(journals, after_a_crash_no_sequence_is_used_twice)
{
    run_and_die(10);
    hl_bus *const bus = start(HL_DURABILITY_SYNC, HL_DURABILITY_OFF, HL_JOURNAL_WAIT);
    const hl_partition_journal_stats found = journal_of(bus, "order");
    cr_assert_eq(found.recovered_sequence, 10);
    cr_assert_not(found.was_clean);
    static recorder seen;
    subscribe(bus, "order.>", &seen, NULL);
    publish_many(bus, "order.new", 11, 1);
    turn_all(bus);
    cr_assert_eq(seen.count, 1);
    cr_assert_gt(seen.entries[0].sequence, 1000000, "%lu", seen.entries[0].sequence);
    manual_stop(bus);
}

/* ---- when the disk cannot ---- */

Test(journals, a_full_disk_holds_the_lane_and_loses_nothing)
{
    static recorder seen;
    hl_bus *const bus = start(HL_DURABILITY_ASYNC, HL_DURABILITY_OFF, HL_JOURNAL_WAIT);
    subscribe(bus, "order.>", &seen, NULL);
    manual_disk.write_error = -ENOSPC;
    publish_many(bus, "order.new", 1, 60);
    for (int i = 0; i < 10;
         i++, manual_disk.ticks_ns += HL_MILLISECOND, manual_now_ns += HL_MILLISECOND)
        turn_all(bus);
    cr_assert_lt(seen.count, 60);
    const uint32_t passed = seen.count;
    cr_assert_str_eq(lane_stats(bus, "order", -1).held_by, "journal");
    cr_assert_eq(journal_of(bus, "order").state, HL_JOURNAL_NO_SPACE);
    for (int i = 0; i < 10; i++, manual_disk.ticks_ns += HL_SECOND, manual_now_ns += HL_SECOND)
        turn_all(bus);
    cr_assert_eq(seen.count, passed, "the policy is to wait");
    manual_disk.write_error = 0;
    for (int i = 0; i < 100; i++, manual_disk.ticks_ns += HL_SECOND, manual_now_ns += HL_SECOND)
        turn_all(bus);
    assert_values_follow(&seen, 1, 60);
    cr_assert_eq(journal_of(bus, "order").state, HL_JOURNAL_RUNNING);
    cr_assert_eq(journal_of(bus, "order").unjournaled, 0);
    manual_stop(bus);
    assert_journal("order", 1, 60, 1);
}

static void full_disk_goes_on(hl_durability durability)
{
    static recorder seen;
    hl_bus *const bus = start(durability, HL_DURABILITY_OFF, HL_JOURNAL_GO_ON);
    subscribe(bus, "order.>", &seen, NULL);
    manual_disk.write_error = -ENOSPC;
    publish_many(bus, "order.new", 1, 60);
    for (int i = 0; i < 100; i++, manual_disk.ticks_ns += HL_SECOND, manual_now_ns += HL_SECOND)
        turn_all(bus);
    assert_values_follow(&seen, 1, 60);
    const hl_partition_journal_stats during = journal_of(bus, "order");
    cr_assert(during.degraded);
    cr_assert_gt(during.unjournaled, 0);
    manual_disk.write_error = 0;
    publish_many(bus, "order.new", 61, 60);
    for (int i = 0; i < 100; i++, manual_disk.ticks_ns += HL_SECOND, manual_now_ns += HL_SECOND)
        turn_all(bus);
    /* It has caught up; the next event finds it so. */
    publish_many(bus, "order.new", 121, 1);
    turn_all(bus);
    assert_values_follow(&seen, 1, 121);
    const hl_partition_journal_stats after = journal_of(bus, "order");
    cr_assert_not(after.degraded);
    cr_assert_eq(after.degradations, 1);
    manual_stop(bus);
    uint64_t missing;
    const uint64_t events = journal_count(directory, "order", &missing);
    cr_assert_eq(events + missing, 121, "%lu events, %lu missing", events, missing);
    cr_assert_eq(missing, after.unjournaled);
}

Test(journals, async_goes_on_without_a_full_disk_when_told_to)
{
    full_disk_goes_on(HL_DURABILITY_ASYNC);
}

Test(journals, sync_becomes_async_on_a_full_disk_when_told_to)
{
    full_disk_goes_on(HL_DURABILITY_SYNC);
}

Test(journals, a_failed_sync_is_never_believed_and_the_journal_opened_anew)
{
    durable_check check = {.bus = start(HL_DURABILITY_SYNC, HL_DURABILITY_OFF, HL_JOURNAL_WAIT)};
    hl_subscription *subscription;
    cr_assert_eq(hl_subscribe(check.bus, "order.>", see_durable, &check, NULL, &subscription),
                 HL_OK);
    publish_many(check.bus, "order.new", 1, 5);
    turn_all(check.bus);
    cr_assert_eq(check.count, 5);
    manual_disk.sync_error = -EIO;
    publish_many(check.bus, "order.new", 6, 40);
    turn_all(check.bus);
    cr_assert_eq(check.count, 5);
    cr_assert_eq(journal_of(check.bus, "order").state, HL_JOURNAL_FAILED);
    cr_assert_eq(last_shown("order"), 5, "what was written and could not be synced");
    const hl_partition_journal_stats failed = journal_of(check.bus, "order");
    cr_assert_not_null(strstr(failed.reason, "Input/output error"), "%s", failed.reason);
    manual_disk.sync_error = 0;
    turn_all(check.bus);
    cr_assert_eq(check.count, 5, "it is not tried again at once");
    for (int i = 0; i < 100; i++, manual_disk.ticks_ns += HL_SECOND, manual_now_ns += HL_SECOND)
        turn_all(check.bus);
    cr_assert_eq(check.count, 45);
    cr_assert_eq(journal_of(check.bus, "order").state, HL_JOURNAL_RUNNING);
    cr_assert_str_empty(journal_of(check.bus, "order").reason);
    manual_stop(check.bus);
    assert_journal("order", 1, 45, 1);
}

/* ---- with the rest of the bus ---- */

Test(journals, batches_and_last_values_of_a_sync_domain_wait_for_the_disk)
{
    static recorder seen;
    hl_bus *const bus = start(HL_DURABILITY_SYNC, HL_DURABILITY_OFF, HL_JOURNAL_WAIT);
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.batch = record_batch;
    options.batch_events = 3;
    options.batch_urgent = true;
    subscribe(bus, "order.>", &seen, &options);
    const hl_topic quote = topic_of_kind(bus, "order.state", HL_STATE);
    hl_publisher *const desk = open_publisher(bus, "desk", NULL);
    manual_disk.sync_error = -EIO;
    for (uint64_t i = 1; i <= 6; i++)
        publish(desk, quote, 1, i);
    turn_all(bus);
    struct {
        hl_event event;
        uint64_t value;
    } last;
    cr_assert_eq(seen.count, 0);
    cr_assert_eq(hl_last(bus, quote, 1, &last.event, sizeof last), HL_NOT_FOUND);
    manual_disk.sync_error = 0;
    for (int i = 0; i < 20; i++, manual_disk.ticks_ns += HL_SECOND, manual_now_ns += HL_SECOND)
        turn_all(bus);
    assert_values_follow(&seen, 1, 6);
    cr_assert_eq(hl_last(bus, quote, 1, &last.event, sizeof last), HL_OK);
    cr_assert_eq(last.value, 6);
    manual_stop(bus);
}

/* At a stop everything is due: the lane that waits for room, and what makes the room. */
Test(journals, a_stop_drains_a_lane_that_waits_for_room_in_the_journal)
{
    durable_check check = {.bus = start(HL_DURABILITY_SYNC, HL_DURABILITY_OFF, HL_JOURNAL_WAIT)};
    hl_subscription *subscription;
    cr_assert_eq(hl_subscribe(check.bus, "order.>", see_durable, &check, NULL, &subscription),
                 HL_OK);
    publish_many(check.bus, "order.new", 1, 60);
    manual_stop(check.bus);
    cr_assert_eq(check.count, 60);
    assert_journal("order", 1, 60, 1);
}

Test(journals, what_is_in_flight_when_the_stop_ends_is_abandoned_and_counted)
{
    static recorder seen;
    hl_bus *const bus = start(HL_DURABILITY_SYNC, HL_DURABILITY_OFF, HL_JOURNAL_WAIT);
    subscribe(bus, "order.>", &seen, NULL);
    manual_disk.sync_error = -EIO;
    publish_many(bus, "order.new", 1, 20);
    cr_assert_eq(hl_bus_stop(bus, 10 * HL_MILLISECOND), HL_TIMEOUT);
    hl_stop_report report;
    cr_assert_eq(hl_bus_stop_report(bus, &report), HL_OK);
    cr_assert_eq(report.conservation.status, HL_OK, "%s", report.conservation.text);
    cr_assert_eq(report.abandoned, 20);
    cr_assert_eq(seen.count, 0);
    hl_bus_destroy(bus);
}

Test(journals, a_subscription_begins_behind_what_was_handed_out)
{
    static recorder seen;
    hl_bus *const bus = start(HL_DURABILITY_SYNC, HL_DURABILITY_OFF, HL_JOURNAL_WAIT);
    publish_many(bus, "order.new", 1, 4);
    turn_all(bus);
    manual_disk.sync_error = -EIO;
    publish_many(bus, "order.new", 5, 4);
    turn_all(bus); /* in flight now */
    subscribe(bus, "order.>", &seen, NULL);
    turn_all(bus);
    manual_disk.sync_error = 0;
    for (int i = 0; i < 20; i++, manual_disk.ticks_ns += HL_SECOND, manual_now_ns += HL_SECOND)
        turn_all(bus);
    assert_values_follow(&seen, 5, 4);
    manual_stop(bus);
}

static void assert_is_had(void)
{
    hl_config config = manual_config();
    hl_bus *other = NULL;
    hl_error error;
    config.domains = domains;
    config.journal_dir = directory;
    config.journal_io = &manual_disk.io;
    cr_assert_eq(hl_bus_create(&config, &other, &error), HL_LOCKED);
    cr_assert_not_null(strstr(error.text, "writes this journal"), "%s", error.text);
}

Test(journals, two_buses_cannot_have_one_journal)
{
    hl_bus *const bus = start(HL_DURABILITY_ASYNC, HL_DURABILITY_OFF, HL_JOURNAL_WAIT);
    assert_is_had();
    manual_stop(bus);
}

/* It still has events for it. */
Test(journals, one_that_failed_is_had_by_its_bus_until_that_stops)
{
    hl_bus *bus = start(HL_DURABILITY_SYNC, HL_DURABILITY_OFF, HL_JOURNAL_WAIT);
    publish_many(bus, "order.new", 1, 5);
    manual_disk.sync_error = -EIO;
    turn_all(bus);
    for (int i = 0; i < 3; i++, manual_disk.ticks_ns += HL_SECOND, manual_now_ns += HL_SECOND) {
        cr_assert_eq(journal_of(bus, "order").state, HL_JOURNAL_FAILED);
        manual_disk.sync_error = 0;
        assert_is_had();
        manual_disk.sync_error = -EIO;
        turn_all(bus);
    }
    cr_assert_eq(hl_bus_stop(bus, HL_MILLISECOND), HL_TIMEOUT, "some are in flight");
    manual_disk.sync_error = 0;
    manual_stop(start(HL_DURABILITY_SYNC, HL_DURABILITY_OFF, HL_JOURNAL_WAIT));
    hl_bus_destroy(bus);
}
