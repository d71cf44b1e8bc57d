/* A disk that is full, or breaks, for a while, under a bus with threads of its own. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "own_bus.h"
#include "tests/journal_count.h"
#include "tests/temporary_directory.h"

#define EVENTS (5000u / OWN_SHARE)

static char directory[TEMPORARY_DIRECTORY_SIZE];

static void set_up(void)
{
    temporary_directory_make(NULL, "bad-disk", directory);
}

static void tear_down(void)
{
    temporary_directory_remove(directory);
}

TestSuite(bad_disk, .init = set_up, .fini = tear_down);

/* ---- the disk ---- */

static hl_io disk;
static uint32_t write_errno, sync_errno; /* 0: all is well; relaxed: seen soon */

static int64_t write_or_fail(void *context, hl_io_file file, const void *bytes, size_t size,
                             uint64_t offset)
{
    const int error = (int)hl_load_relaxed_u32(&write_errno);
    return error != 0 ? -error : hl_io_posix()->pwrite(context, file, bytes, size, offset);
}

static int sync_or_fail(void *context, hl_io_file file)
{
    const int error = (int)hl_load_relaxed_u32(&sync_errno);
    return error != 0 ? -error : hl_io_posix()->sync(context, file);
}

/* ---- the bus ---- */

static hl_bus *create(hl_durability durability, hl_journal_policy policy)
{
    const hl_domain_config domain = {.name = "order",
                                     .priority = HL_CRITICAL,
                                     .shards = 1,
                                     .slot_size_bytes = 128,
                                     .ring_slots = 64,
                                     .handler_ring_slots = 64,
                                     .wait = HL_WAIT_PARK,
                                     .durability = durability,
                                     .journal_policy = policy,
                                     .journal_patience_ns = 20 * HL_MILLISECOND,
                                     .journal_slots = 64};
    hl_config config = HL_CONFIG_INIT;
    config.domains = &domain;
    config.domain_count = 1;
    config.huge_pages = config.lock_memory = false;
    config.max_topics = 64;
    config.journal_dir = directory;
    config.journal_segment_bytes = 1 << 20;
    disk = *hl_io_posix();
    disk.pwrite = write_or_fail;
    disk.sync = sync_or_fail;
    config.journal_io = &disk;
    hl_bus *bus = NULL;
    hl_error error = {.text = ""};
    cr_assert_eq(hl_bus_create(&config, &bus, &error), HL_OK, "%s", error.text);
    return bus;
}

static hl_partition_journal_stats journal_of(const hl_bus *bus)
{
    hl_partition_journal_stats stats;
    cr_assert_eq(hl_bus_journal_stats(bus, 0, &stats), HL_OK);
    return stats;
}

typedef struct bad_day {
    hl_bus *bus;
    hl_topic order;
    uint64_t events; /* in all, once they are published */
    uint64_t seen;
    uint64_t is_bad;   /* the disk; the second half of the events comes then */
    uint64_t was_told; /* that it is; they go on until then, for a state may pass unseen */
} bad_day;

static hl_status count_one(const hl_event *event, hl_publisher *out, void *context)
{
    bad_day *const day = context;
    (void)event, (void)out;
    hl_store_release_u64(&day->seen, day->seen + 1);
    return HL_OK;
}

static void *publish_all(void *context)
{
    bad_day *const day = context;
    hl_publisher *const desk = own_publisher(day->bus, "desk", NULL);
    uint64_t i = 0;
    for (; i < EVENTS || hl_load_acquire_u64(&day->was_told) == 0; i++) {
        if (i == EVENTS / 2)
            own_await(&day->is_bad, 1);
        own_publish(desk, day->order, i % 5, i);
    }
    day->events = i;
    hl_publisher_close(desk);
    return NULL;
}

static void await_state(const hl_bus *bus, hl_journal_state state)
{
    const time_t begin = time(NULL);
    for (;;) {
        const hl_partition_journal_stats stats = journal_of(bus);
        cr_assert_eq(stats.reason[0] == '\0', stats.state == HL_JOURNAL_RUNNING,
                     "state %d, reason \"%s\"", stats.state, stats.reason);
        if (stats.state == state)
            return;
        cr_assert_lt(time(NULL) - begin, 60, "state %d", stats.state);
        sched_yield();
    }
}

/* `word` holds the error from the middle on, until the state was seen, and a policy that waits
 * had time to lose something. */
static void live_through(hl_durability durability, hl_journal_policy policy, uint32_t *word,
                         int error, hl_journal_state state)
{
    bad_day day = {.bus = create(durability, policy)};
    day.order = own_topic(day.bus, "order.new", HL_DELTA);
    own_subscribe(day.bus, "order.new", count_one, &day);
    cr_assert_eq(hl_bus_start(day.bus), HL_OK);
    const pthread_t publisher = own_thread(publish_all, &day);
    own_await(&day.seen, EVENTS / 8);
    hl_store_relaxed_u32(word, (uint32_t)error); /* Relaxed: seen by who writes what follows. */
    hl_store_release_u64(&day.is_bad, 1);
    await_state(day.bus, state);
    hl_store_release_u64(&day.was_told, 1);
    if (policy == HL_JOURNAL_GO_ON) {
        own_join(publisher);
        own_await(&day.seen, day.events);
    }
    hl_store_relaxed_u32(word, 0); /* Relaxed: seen soon. */
    await_state(day.bus, HL_JOURNAL_RUNNING);
    if (policy == HL_JOURNAL_WAIT)
        own_join(publisher);
    own_await(&day.seen, day.events);
    const hl_partition_journal_stats stats = journal_of(day.bus);
    cr_assert_eq(stats.degradations != 0, policy == HL_JOURNAL_GO_ON);
    own_stop(day.bus);
    uint64_t missing;
    const uint64_t events = journal_count(directory, "order", &missing);
    cr_assert_eq(day.seen, day.events);
    if (policy == HL_JOURNAL_WAIT)
        cr_assert_eq(events, day.events, "%lu of %lu in the journal", events, day.events);
    else
        cr_assert_eq(events + stats.unjournaled, day.events, "%lu and %lu", events,
                     stats.unjournaled);
    /* What passed at the very end has no event behind it that would say so. */
    cr_assert_leq(missing, stats.unjournaled);
}

Test(bad_disk, a_full_disk_holds_an_async_domain_until_there_is_room, .timeout = 240)
{
    live_through(HL_DURABILITY_ASYNC, HL_JOURNAL_WAIT, &write_errno, ENOSPC, HL_JOURNAL_NO_SPACE);
}

Test(bad_disk, a_full_disk_holds_a_sync_domain_until_there_is_room, .timeout = 240)
{
    live_through(HL_DURABILITY_SYNC, HL_JOURNAL_WAIT, &write_errno, ENOSPC, HL_JOURNAL_NO_SPACE);
}

Test(bad_disk, an_async_domain_goes_on_beside_a_full_disk_when_told_to, .timeout = 240)
{
    live_through(HL_DURABILITY_ASYNC, HL_JOURNAL_GO_ON, &write_errno, ENOSPC, HL_JOURNAL_NO_SPACE);
}

Test(bad_disk, a_sync_domain_goes_on_beside_a_full_disk_when_told_to, .timeout = 240)
{
    live_through(HL_DURABILITY_SYNC, HL_JOURNAL_GO_ON, &write_errno, ENOSPC, HL_JOURNAL_NO_SPACE);
}

Test(bad_disk, a_sync_that_fails_is_told_and_the_journal_opened_anew, .timeout = 240)
{
    live_through(HL_DURABILITY_SYNC, HL_JOURNAL_WAIT, &sync_errno, EIO, HL_JOURNAL_FAILED);
}

Test(bad_disk, a_sync_that_fails_stops_nothing_when_told_to_go_on, .timeout = 240)
{
    live_through(HL_DURABILITY_SYNC, HL_JOURNAL_GO_ON, &sync_errno, EIO, HL_JOURNAL_FAILED);
}
