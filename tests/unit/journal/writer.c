#include "journal/writer.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/io_uring.h"
#include "story.h"
#include "tests/temporary_directory.h"

static hl_journal_writer *open_with(const hl_journal_writer_options *options)
{
    hl_error error = {.text = ""};
    hl_journal_writer *writer = NULL;
    cr_assert_eq(hl_journal_writer_open(options, &writer, NULL, &error), HL_OK, "%s", error.text);
    return writer;
}

static hl_journal_writer *open_plain(sim_disk *disk)
{
    const hl_journal_writer_options options = story_options(sim_io(disk));
    return open_with(&options);
}

static void append(journal_story *story, hl_journal_writer *writer, uint64_t first, uint64_t last)
{
    for (uint64_t sequence = first; sequence <= last; sequence++)
        cr_assert(story_append(story, writer, sequence), "sequence %" PRIu64 ": %s", sequence,
                  hl_journal_writer_error(writer)->text);
}

/* How many segments there are, and the header of the newest. */
static size_t newest(sim_disk *disk, hl_segment_header *ret_header)
{
    hl_segment_name *names;
    size_t count;
    char path[HL_JOURNAL_PATH_SIZE];
    cr_assert_eq(hl_segment_list(sim_io(disk), STORY_DIRECTORY, &names, &count, NULL), HL_OK);
    cr_assert_gt(count, 0);
    cr_assert_eq(hl_segment_path(STORY_DIRECTORY, names[count - 1], path, NULL), HL_OK);
    hl_segment_walk walk;
    cr_assert_eq(hl_segment_walk_open(&walk, sim_io(disk), path, NULL), HL_OK);
    *ret_header = walk.header;
    hl_segment_walk_close(&walk);
    free(names);
    return count;
}

Test(writer, written_comes_with_the_write_and_durable_with_the_sync)
{
    sim_disk *const disk = sim_create();
    journal_story story = {0};
    hl_journal_writer *const writer = open_plain(disk);
    const hl_journal_progress *const progress = hl_journal_writer_progress(writer);
    append(&story, writer, 1, 5);
    cr_assert_eq(hl_journal_written(progress), 0);
    cr_assert_eq(hl_journal_writer_turn(writer, false), HL_OK);
    cr_assert_eq(hl_journal_written(progress), 0, "the write interval has not passed");
    sim_add_ticks(disk, 1000);
    cr_assert_eq(hl_journal_writer_turn(writer, false), HL_OK);
    cr_assert_eq(hl_journal_written(progress), 5);
    cr_assert_eq(hl_journal_durable(progress), 0);
    sim_add_ticks(disk, 4000);
    cr_assert_eq(hl_journal_writer_turn(writer, false), HL_OK);
    cr_assert_eq(hl_journal_durable(progress), 5);
    cr_assert_eq(hl_journal_writer_close(writer, NULL), HL_OK);
    sim_destroy(disk);
}

Test(writer, a_commit_comes_after_so_many_events)
{
    sim_disk *const disk = sim_create();
    journal_story story = {0};
    hl_journal_writer_options options = story_options(sim_io(disk));
    options.write_interval_ns = 0;
    options.commit_interval_ns = UINT64_MAX;
    hl_journal_writer *const writer = open_with(&options);
    const hl_journal_progress *const progress = hl_journal_writer_progress(writer);
    append(&story, writer, 1, 19);
    cr_assert_eq(hl_journal_writer_turn(writer, false), HL_OK);
    cr_assert_eq(hl_journal_durable(progress), 0);
    append(&story, writer, 20, 20);
    cr_assert_eq(hl_journal_writer_turn(writer, false), HL_OK);
    cr_assert_eq(hl_journal_durable(progress), 20);
    hl_journal_writer_abandon(writer);
    sim_destroy(disk);
}

Test(writer, due_says_when_the_next_turn_has_something_to_do)
{
    sim_disk *const disk = sim_create();
    const hl_io *const io = sim_io(disk);
    journal_story story = {0};
    hl_journal_writer *const writer = open_plain(disk);
    while (hl_journal_writer_due(writer) != UINT64_MAX) {
        sim_add_ticks(disk, 20000000);
        cr_assert_eq(hl_journal_writer_turn(writer, true), HL_OK);
    }
    append(&story, writer, 1, 1);
    cr_assert_eq(hl_journal_writer_due(writer), io->ticks(io->context) + 1000);
    sim_add_ticks(disk, 1000);
    cr_assert_eq(hl_journal_writer_turn(writer, false), HL_OK);
    cr_assert_eq(hl_journal_writer_due(writer), io->ticks(io->context) + 4000);
    hl_journal_writer_abandon(writer);
    sim_destroy(disk);
}

Test(writer, an_event_out_of_turn_is_refused_and_the_right_one_still_taken)
{
    sim_disk *const disk = sim_create();
    journal_story story = {0};
    hl_journal_writer *const writer = open_plain(disk);
    story_event event;
    story_event_of(2, &event);
    cr_assert_eq(hl_journal_writer_append(writer, &event, sizeof event, 1), 0);
    cr_assert_eq(hl_journal_writer_error(writer)->status, HL_INVALID);
    append(&story, writer, 1, 2);
    cr_assert_eq(hl_journal_writer_close(writer, NULL), HL_OK);
    cr_assert_null(story_compare(&story, sim_io(disk), 2, NULL));
    sim_destroy(disk);
}

Test(writer, an_event_that_no_record_or_segment_can_hold_is_refused)
{
    sim_disk *const disk = sim_create();
    hl_journal_writer *const writer = open_plain(disk);
    static struct {
        hl_event event;
        uint8_t payload[65536];
    } large;
    large.event = (hl_event){.sequence = 1, .payload_size = 65537};
    cr_assert_eq(hl_journal_writer_append(writer, &large, sizeof large, 1), 0);
    cr_assert_eq(hl_journal_writer_error(writer)->status, HL_TOO_LARGE);
    large.event.payload_size = 65536; /* the segment of 64 KiB is too small for it */
    cr_assert_eq(hl_journal_writer_append(writer, &large, sizeof large, 1), 0);
    cr_assert_eq(hl_journal_writer_error(writer)->status, HL_TOO_LARGE);
    large.event.payload_size = 50000;
    cr_assert_eq(hl_journal_writer_append(writer, &large, sizeof large, 1), 1);
    large.event.sequence = 2;
    large.event.topic = 65536;
    cr_assert_eq(hl_journal_writer_append(writer, &large, sizeof large, 1), 0);
    cr_assert_eq(hl_journal_writer_error(writer)->status, HL_LIMIT);
    cr_assert_eq(hl_journal_writer_close(writer, NULL), HL_OK);
    sim_destroy(disk);
}

Test(writer, an_event_of_the_largest_size_comes_back)
{
    sim_disk *const disk = sim_create();
    hl_journal_writer_options options = story_options(sim_io(disk));
    options.segment_bytes = 1 << 20;
    hl_journal_writer *const writer = open_with(&options);
    static struct {
        hl_event event;
        uint8_t payload[65536];
    } large;
    large.event = (hl_event){.payload_size = 65536};
    for (uint64_t sequence = 1; sequence <= 40; sequence++) {
        large.event.sequence = sequence;
        memset(large.payload, (int)sequence, sizeof large.payload);
        cr_assert_eq(hl_journal_writer_append(writer, &large, sizeof large, 1), 1);
    }
    cr_assert_eq(hl_journal_writer_close(writer, NULL), HL_OK);
    hl_segment_header header;
    cr_assert_eq(newest(disk, &header), 3);
    cr_assert_gt(header.first_sequence, 20);
    sim_destroy(disk);
}

Test(writer, segments_rotate_by_size_and_link_to_each_other)
{
    sim_disk *const disk = sim_create();
    journal_story story = {0};
    hl_journal_writer *const writer = open_plain(disk);
    for (uint64_t sequence = 1; sequence <= 3000; sequence++) {
        append(&story, writer, sequence, sequence);
        if (sequence % 50 == 0)
            cr_assert_eq(hl_journal_writer_turn(writer, sequence % 100 == 0), HL_OK);
    }
    cr_assert_eq(hl_journal_writer_close(writer, NULL), HL_OK);
    hl_segment_header header;
    const size_t segments = newest(disk, &header);
    cr_assert_gt(segments, 6);
    cr_assert_eq(header.number, segments);
    uint64_t events;
    cr_assert_null(story_compare(&story, sim_io(disk), 3000, &events));
    cr_assert_eq(events, 3000);
    sim_destroy(disk);
}

Test(writer, segments_rotate_by_utc_day_and_never_back)
{
    sim_disk *const disk = sim_create();
    journal_story story = {0};
    hl_journal_writer *const writer = open_plain(disk);
    const uint64_t midnight = 20300 * HL_NS_PER_DAY;
    hl_segment_header header;
    sim_set_now(disk, midnight - 1);
    append(&story, writer, 1, 1);
    cr_assert_eq(hl_journal_writer_turn(writer, true), HL_OK);
    append(&story, writer, 2, 2);
    cr_assert_eq(hl_journal_writer_turn(writer, true), HL_OK);
    const size_t before = newest(disk, &header);
    sim_set_now(disk, midnight);
    cr_assert_eq(hl_journal_writer_turn(writer, true), HL_OK);
    cr_assert_eq(newest(disk, &header), before + 1);
    cr_assert_eq(header.day, 20300);
    append(&story, writer, 3, 3);
    sim_set_now(disk, midnight - 5 * HL_NS_PER_DAY); /* someone sets the clock back */
    cr_assert_eq(hl_journal_writer_turn(writer, true), HL_OK);
    cr_assert_eq(newest(disk, &header), before + 1);
    cr_assert_gt(hl_journal_writer_progress(writer)->clock_steps_back, 0);
    cr_assert_eq(hl_journal_writer_close(writer, NULL), HL_OK);
    /* The next run's segment is not dated before this one either. */
    hl_journal_writer_abandon(open_plain(disk));
    newest(disk, &header);
    cr_assert_eq(header.day, 20300);
    cr_assert_geq(header.created_ns, midnight);
    cr_assert_null(story_compare(&story, sim_io(disk), 3, NULL));
    sim_destroy(disk);
}

Test(writer, sequences_are_reserved_before_they_may_be_used)
{
    sim_disk *const disk = sim_create();
    journal_story story = {0};
    hl_journal_writer *const writer = open_plain(disk);
    const hl_journal_progress *const progress = hl_journal_writer_progress(writer);
    cr_assert_eq(hl_journal_reserved(progress), 200);
    append(&story, writer, 1, 150);
    sim_add_ticks(disk, 2000);
    cr_assert_eq(hl_journal_writer_turn(writer, false), HL_OK);
    cr_assert_gt(hl_journal_reserved(progress), 200);
    cr_assert_eq(hl_journal_durable(progress), 150);
    const uint64_t reserved = hl_journal_reserved(progress);
    hl_journal_writer_abandon(writer);
    sim_power_cut(disk, 3);
    const hl_journal_writer_options options = story_options(sim_io(disk));
    hl_recovery recovery;
    hl_journal_writer *again;
    cr_assert_eq(hl_journal_writer_open(&options, &again, &recovery, NULL), HL_OK);
    cr_assert_gt(recovery.next_sequence, reserved);
    hl_journal_writer_abandon(again);
    sim_destroy(disk);
}

Test(writer, a_gap_is_put_down_and_the_sequences_go_on_behind_it)
{
    sim_disk *const disk = sim_create();
    journal_story story = {0};
    hl_journal_writer *const writer = open_plain(disk);
    append(&story, writer, 1, 3);
    cr_assert_eq(hl_journal_writer_skip(writer, 3, HL_GAP_JOURNAL_OFF), HL_INVALID);
    cr_assert_eq(hl_journal_writer_skip(writer, 9, HL_GAP_JOURNAL_OFF), HL_OK);
    append(&story, writer, 10, 12);
    cr_assert_eq(hl_journal_writer_close(writer, NULL), HL_OK);
    cr_assert_null(story_compare(&story, sim_io(disk), 12, NULL));
    sim_destroy(disk);
}

Test(writer, a_journal_that_was_off_begins_where_the_bus_is)
{
    sim_disk *const disk = sim_create();
    journal_story story = {0};
    hl_journal_writer *writer = open_plain(disk);
    append(&story, writer, 1, 3);
    cr_assert_eq(hl_journal_writer_close(writer, NULL), HL_OK);
    hl_journal_writer_options options = story_options(sim_io(disk));
    options.first_sequence = 3;
    hl_error error;
    cr_assert_eq(hl_journal_writer_open(&options, &writer, NULL, &error), HL_INVALID);
    options.first_sequence = 77;
    writer = open_with(&options);
    append(&story, writer, 77, 79);
    cr_assert_eq(hl_journal_writer_close(writer, NULL), HL_OK);
    cr_assert_null(story_compare(&story, sim_io(disk), 79, NULL));
    sim_destroy(disk);
}

Test(writer, a_second_writer_is_refused_and_told_who_has_it)
{
    sim_disk *const disk = sim_create();
    hl_journal_writer *const writer = open_plain(disk);
    const hl_journal_writer_options options = story_options(sim_io(disk));
    hl_journal_writer *other;
    hl_error error;
    cr_assert_eq(hl_journal_writer_open(&options, &other, NULL, &error), HL_LOCKED);
    cr_assert_not_null(strstr(error.text, "process 1 "), "%s", error.text);
    hl_journal_writer_abandon(writer);
    hl_journal_writer_abandon(open_plain(disk));
    sim_destroy(disk);
}

Test(writer, a_journal_of_another_bus_is_refused)
{
    sim_disk *const disk = sim_create();
    hl_journal_writer_options options = story_options(sim_io(disk));
    options.bus_uuid[0] = 1;
    hl_journal_writer_abandon(open_with(&options));
    options.bus_uuid[0] = 2;
    hl_journal_writer *writer;
    hl_error error;
    cr_assert_eq(hl_journal_writer_open(&options, &writer, NULL, &error), HL_INVALID);
    options.bus_uuid[0] = 0;
    hl_journal_writer_abandon(open_with(&options));
    hl_segment_header header;
    newest(disk, &header);
    cr_assert_eq(header.bus_uuid[0], 1);
    sim_destroy(disk);
}

Test(writer, a_changed_number_of_shards_opens_a_new_epoch)
{
    sim_disk *const disk = sim_create();
    hl_journal_writer_options options = story_options(sim_io(disk));
    hl_segment_header header;
    hl_journal_writer_abandon(open_with(&options));
    newest(disk, &header);
    cr_assert_eq(header.epoch, 1);
    hl_journal_writer_abandon(open_with(&options));
    newest(disk, &header);
    cr_assert_eq(header.epoch, 1);
    options.epoch = 4;
    hl_journal_writer_abandon(open_with(&options));
    newest(disk, &header);
    cr_assert_eq(header.epoch, 4);
    /* Shard 0 of two lies in a directory of its own. */
    options.shards = 2;
    options.epoch = 5;
    hl_journal_writer_abandon(open_with(&options));
    hl_segment_name *names;
    size_t count;
    cr_assert_eq(hl_segment_list(sim_io(disk), "root/journal/order.0", &names, &count, NULL),
                 HL_OK);
    cr_assert_eq(count, 1);
    free(names);
    options.shards = 3;
    options.epoch = 0;
    hl_journal_writer_abandon(open_with(&options));
    cr_assert_eq(hl_segment_list(sim_io(disk), "root/journal/order.0", &names, &count, NULL),
                 HL_OK);
    char path[HL_JOURNAL_PATH_SIZE];
    cr_assert_eq(hl_segment_path("root/journal/order.0", names[1], path, NULL), HL_OK);
    hl_segment_walk walk;
    cr_assert_eq(hl_segment_walk_open(&walk, sim_io(disk), path, NULL), HL_OK);
    cr_assert_eq(walk.header.epoch, 6);
    hl_segment_walk_close(&walk);
    free(names);
    sim_destroy(disk);
}

/* ---- syncs that are not waited for ---- */

static hl_journal_writer *open_overlapping(const hl_io *io)
{
    hl_journal_writer_options options = story_options(io);
    options.write_interval_ns = options.commit_events = options.commit_interval_ns = 0;
    options.overlap_syncs = true;
    return open_with(&options);
}

Test(writer, a_sync_that_runs_makes_durable_what_was_written_before_it_began)
{
    sim_disk *const disk = sim_create();
    journal_story story = {0};
    hl_journal_writer *const writer = open_overlapping(sim_io(disk));
    const hl_journal_progress *const progress = hl_journal_writer_progress(writer);
    append(&story, writer, 1, 5);
    cr_assert_eq(hl_journal_writer_turn(writer, false), HL_OK);
    cr_assert_eq(hl_journal_durable(progress), 0, "it has only begun");
    cr_assert_neq(hl_journal_writer_due(writer), UINT64_MAX, "it is to be asked after");
    append(&story, writer, 6, 9);
    cr_assert_eq(hl_journal_writer_turn(writer, false), HL_OK);
    cr_assert_eq(hl_journal_written(progress), 9);
    cr_assert_eq(hl_journal_durable(progress), 0);
    cr_assert_eq(hl_journal_writer_turn(writer, false), HL_OK);
    cr_assert_eq(hl_journal_durable(progress), 5, "the others came after it had begun");
    for (int i = 0; i < 2; i++)
        cr_assert_eq(hl_journal_writer_turn(writer, false), HL_OK);
    cr_assert_eq(hl_journal_durable(progress), 9);
    append(&story, writer, 10, 12);
    cr_assert_eq(hl_journal_writer_turn(writer, false), HL_OK);
    append(&story, writer, 13, 14);
    cr_assert_eq(hl_journal_writer_commit(writer), HL_OK);
    cr_assert_eq(hl_journal_durable(progress), 14, "a commit waits for both");
    cr_assert_eq(hl_journal_writer_close(writer, NULL), HL_OK);
    cr_assert_null(story_compare(&story, sim_io(disk), 14, NULL));
    sim_destroy(disk);
}

/* A clock that does not stand still during a turn. */
static uint64_t running_ticks(void *context)
{
    static uint64_t now_ns = 1000000000u;
    (void)context;
    return now_ns += 100;
}

Test(writer, a_sync_that_ends_in_an_idle_turn_is_not_marked_at_once)
{
    sim_disk *const disk = sim_create();
    journal_story story = {0};
    hl_io io = *sim_io(disk);
    io.ticks = running_ticks;
    hl_journal_writer *const writer = open_overlapping(&io);
    const hl_journal_progress *const progress = hl_journal_writer_progress(writer);
    append(&story, writer, 1, 5);
    cr_assert_eq(hl_journal_writer_turn(writer, false), HL_OK);
    const uint64_t written = progress->written_bytes;
    for (int i = 0; i < 2; i++)
        cr_assert_eq(hl_journal_writer_turn(writer, true), HL_OK);
    cr_assert_eq(hl_journal_durable(progress), 5);
    cr_assert_eq(progress->written_bytes, written, "more may come: a mark would delay it");
    cr_assert_eq(hl_journal_writer_close(writer, NULL), HL_OK);
    sim_destroy(disk);
}

Test(writer, a_sync_that_runs_and_fails_acknowledges_nothing)
{
    sim_disk *const disk = sim_create();
    journal_story story = {0};
    hl_journal_writer *const writer = open_overlapping(sim_io(disk));
    const hl_journal_progress *const progress = hl_journal_writer_progress(writer);
    append(&story, writer, 1, 5);
    cr_assert_eq(hl_journal_writer_turn(writer, false), HL_OK);
    sim_fail_sync(disk, 1, EIO);
    cr_assert_eq(hl_journal_writer_turn(writer, false), HL_OK);
    cr_assert_eq(hl_journal_writer_turn(writer, false), HL_FAILED);
    cr_assert_eq(hl_journal_state_of(progress), HL_JOURNAL_FAILED);
    cr_assert_eq(hl_journal_durable(progress), 0);
    hl_journal_writer_abandon(writer);
    sim_destroy(disk);
}

Test(writer, where_no_sync_can_begin_it_is_waited_for)
{
    sim_disk *const disk = sim_create();
    journal_story story = {0};
    hl_io io = *sim_io(disk);
    io.sync_begin = NULL;
    io.sync_end = NULL;
    hl_journal_writer *const writer = open_overlapping(&io);
    append(&story, writer, 1, 5);
    cr_assert_eq(hl_journal_writer_turn(writer, false), HL_OK);
    cr_assert_eq(hl_journal_durable(hl_journal_writer_progress(writer)), 5);
    cr_assert_eq(hl_journal_writer_close(writer, NULL), HL_OK);
    sim_destroy(disk);
}

/* ---- what fails ---- */

Test(writer, a_failed_sync_is_never_tried_again_and_nothing_is_acknowledged_after_it)
{
    sim_disk *const disk = sim_create();
    journal_story story = {0};
    hl_journal_writer *const writer = open_plain(disk);
    const hl_journal_progress *const progress = hl_journal_writer_progress(writer);
    append(&story, writer, 1, 10);
    cr_assert_eq(hl_journal_writer_commit(writer), HL_OK);
    append(&story, writer, 11, 20);
    sim_fail_sync(disk, 1, EIO);
    cr_assert_eq(hl_journal_writer_commit(writer), HL_FAILED);
    cr_assert_eq(hl_journal_state_of(progress), HL_JOURNAL_FAILED);
    const uint64_t calls = sim_calls(disk);
    cr_assert_eq(hl_journal_writer_commit(writer), HL_FAILED);
    cr_assert_eq(hl_journal_writer_turn(writer, true), HL_FAILED);
    cr_assert_eq(hl_journal_durable(progress), 10);
    story_event event;
    story_event_of(21, &event);
    cr_assert_eq(hl_journal_writer_append(writer, &event, sizeof event, 1), 0);
    cr_assert_eq(sim_calls(disk), calls);
    cr_assert_eq(hl_journal_writer_close(writer, NULL), HL_FAILED);
    sim_destroy(disk);
}

typedef struct stopping {
    const hl_journal_progress *progress;
    uint32_t times;
    hl_journal_state state; /* as it was published then */
    char why[128];
} stopping;

static void note_why(void *context, const hl_error *why)
{
    stopping *const this = context;
    this->times++;
    this->state = hl_journal_state_of(this->progress);
    snprintf(this->why, sizeof this->why, "%.127s", why->text);
}

Test(writer, why_it_stops_is_told_before_its_state_says_that_it_has)
{
    sim_disk *const disk = sim_create();
    journal_story story = {0};
    stopping seen = {.times = 0};
    _Alignas(64) hl_journal_progress progress = {0};
    hl_journal_writer_options options = story_options(sim_io(disk));
    seen.progress = options.progress = &progress;
    options.stops = note_why;
    options.stops_context = &seen;
    hl_journal_writer *const writer = open_with(&options);
    append(&story, writer, 1, 10);
    sim_fail_sync(disk, 1, ENOSPC); /* which is no full disk that could be waited for */
    cr_assert_eq(hl_journal_writer_commit(writer), HL_FAILED);
    cr_assert_eq(seen.times, 1);
    cr_assert_eq(seen.state, HL_JOURNAL_RUNNING);
    cr_assert_not_null(strstr(seen.why, "cannot sync"), "%s", seen.why);
    cr_assert_eq(hl_journal_state_of(&progress), HL_JOURNAL_FAILED);
    hl_journal_writer_abandon(writer);
    cr_assert_eq(hl_journal_state_of(&progress), HL_JOURNAL_FAILED);
    sim_destroy(disk);
}

/* The page cache shows what the failed sync lost; only a recovery that writes it again is honest.
 */
Test(writer, after_a_failed_sync_what_a_recovery_accepts_is_on_the_disk)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        sim_disk *const disk = sim_create();
        journal_story story = {0};
        hl_journal_writer *writer = open_plain(disk);
        append(&story, writer, 1, 10);
        cr_assert_eq(hl_journal_writer_commit(writer), HL_OK);
        append(&story, writer, 11, 11 + seed);
        sim_fail_sync(disk, 1, seed % 2 == 0 ? EIO : ENOSPC);
        cr_assert_eq(hl_journal_writer_commit(writer), HL_FAILED);
        hl_journal_writer_abandon(writer);
        writer = open_plain(disk);
        const uint64_t recovered = hl_journal_durable(hl_journal_writer_progress(writer));
        cr_assert_geq(recovered, 10);
        hl_journal_writer_abandon(writer);
        sim_power_cut(disk, seed);
        story.ranges[0].last = recovered;
        const char *const wrong = story_compare(&story, sim_io(disk), recovered, NULL);
        cr_assert_null(wrong, "seed %" PRIu64 ": %s", seed, wrong);
        sim_destroy(disk);
    }
}

Test(writer, a_full_disk_is_waited_for_and_nothing_is_lost)
{
    sim_disk *const disk = sim_create();
    journal_story story = {0};
    hl_journal_writer *const writer = open_plain(disk);
    const hl_journal_progress *const progress = hl_journal_writer_progress(writer);
    sim_set_capacity(disk, 65536 + 1000); /* this segment, and no next one */
    uint64_t sequence = 1;
    while (story_append(&story, writer, sequence)) {
        sequence++;
        hl_journal_writer_turn(writer, false);
        cr_assert_lt(sequence, 5000);
    }
    cr_assert_eq(hl_journal_state_of(progress), HL_JOURNAL_NO_SPACE);
    cr_assert_eq(hl_journal_writer_error(writer)->status, HL_NO_SPACE);
    for (int i = 0; i < 5; i++) {
        sim_add_ticks(disk, 2000);
        cr_assert_eq(hl_journal_writer_turn(writer, true), HL_NO_SPACE);
        cr_assert_not(story_append(&story, writer, sequence));
    }
    sim_set_capacity(disk, UINT64_MAX);
    cr_assert_eq(hl_journal_writer_turn(writer, true), HL_NO_SPACE, "it looks now and then only");
    sim_add_ticks(disk, 2000);
    cr_assert_eq(hl_journal_writer_turn(writer, true), HL_OK);
    cr_assert_eq(hl_journal_state_of(progress), HL_JOURNAL_RUNNING);
    append(&story, writer, sequence, sequence + 100);
    cr_assert_eq(hl_journal_writer_close(writer, NULL), HL_OK);
    cr_assert_null(story_compare(&story, sim_io(disk), sequence + 100, NULL));
    sim_destroy(disk);
}

/* What a whole small run does: opens, fills two segments, closes. Stops at the first failure. */
static bool small_run(sim_disk *disk, journal_story *story)
{
    const hl_journal_writer_options options = story_options(sim_io(disk));
    hl_journal_writer *writer;
    hl_error error;
    if (hl_journal_writer_open(&options, &writer, NULL, &error) != HL_OK)
        return false;
    uint64_t sequence = 1;
    hl_status status = HL_OK;
    while (sequence <= 450 && (status == HL_OK || status == HL_NO_SPACE)) {
        if (story_append(story, writer, sequence))
            sequence++;
        sim_add_ticks(disk, 500);
        status = hl_journal_writer_turn(writer, sequence % 8 == 0);
        story_note(story, writer);
    }
    const bool ran = status == HL_OK;
    status = hl_journal_writer_close(writer, NULL);
    if (ran && status == HL_OK)
        story->durable = story->written = sequence - 1;
    return ran && status == HL_OK;
}

/* Each call of the run fails once; then the power goes as well. */
static void fail_each_call(int number)
{
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    bool has_failed = true;
    uint64_t failures = 0;
    for (uint64_t nth = 1; has_failed; nth++) {
        sim_disk *const disk = sim_create();
        journal_story story = {0};
        sim_fail_call(disk, nth, number);
        failures += !small_run(disk, &story);
        has_failed = !sim_fail_is_pending(disk);
        sim_power_cut(disk, nth);
        const hl_journal_writer_options options = story_options(sim_io(disk));
        hl_journal_writer *writer;
        hl_error error = {.text = ""};
        cr_assert_eq(hl_journal_writer_open(&options, &writer, NULL, &error), HL_OK,
                     "call %" PRIu64 ": %s", nth, error.text);
        hl_journal_writer_abandon(writer);
        const char *const wrong = story_compare(&story, sim_io(disk), story.durable, NULL);
        cr_assert_null(wrong, "call %" PRIu64 ": %s", nth, wrong);
        sim_destroy(disk);
    }
    cr_assert_gt(failures, 5);
}

Test(writer, any_call_may_give_eio_once)
{
    fail_each_call(EIO);
}

Test(writer, any_call_may_give_enospc_once)
{
    fail_each_call(ENOSPC);
}

/* ---- options, names ---- */

Test(writer, options_out_of_range_are_refused_with_what_would_be_right)
{
    sim_disk *const disk = sim_create();
    const hl_journal_writer_options good = story_options(sim_io(disk));
    hl_journal_writer_options bad[8];
    for (size_t i = 0; i < 8; i++)
        bad[i] = good;
    bad[0].directory = "";
    bad[1].domain = NULL;
    bad[2].domain = "a/b";
    bad[3].segment_bytes = 1000;
    bad[4].write_bytes = 1;
    bad[5].group_alignment = 24;
    bad[6].shards = 0;
    bad[7].shard = 1;
    for (size_t i = 0; i < 8; i++) {
        hl_journal_writer *writer;
        hl_error error;
        cr_assert_eq(hl_journal_writer_open(&bad[i], &writer, NULL, &error), HL_INVALID, "%zu", i);
        cr_assert_eq(strncmp(error.text, "journal: ", 9), 0);
    }
    cr_assert_eq(sim_calls(disk), 0);
    sim_destroy(disk);
}

static bool name_of(void *context, hl_dictionary_entry entry, uint32_t number, uint16_t version,
                    hl_journal_name *ret_name)
{
    static char text[64];
    (void)context;
    snprintf(text, sizeof text, "name-%d-%u-%u", (int)entry, number, version);
    *ret_name = (hl_journal_name){.name = text, .detail = "xy", .detail_size = 2};
    return entry != HL_DICTIONARY_SCHEMA || version == 2;
}

typedef struct names_seen {
    bool topics[16];
    bool sources[16];
    uint16_t schemas[16];
    uint64_t events;
} names_seen;

/* What an event uses must have been explained before it, in this segment. */
static hl_status see(void *context, const void *record, uint32_t length, uint64_t offset)
{
    (void)length;
    (void)offset;
    names_seen *const seen = context;
    hl_record_word word;
    memcpy(&word, record, sizeof word);
    if (hl_record_kind_of(word) == HL_RECORD_DICTIONARY) {
        const hl_dictionary_record *const entry = record;
        char expected[64];
        snprintf(expected, sizeof expected, "name-%d-%u-%u", entry->entry, entry->number,
                 entry->version);
        cr_assert_eq(entry->name_size, strlen(expected));
        cr_assert_eq(memcmp(entry + 1, expected, entry->name_size), 0);
        cr_assert_eq(memcmp((const char *)(entry + 1) + entry->name_size, "xy", 2), 0);
        if (entry->entry == HL_DICTIONARY_TOPIC)
            seen->topics[entry->number] = true;
        else if (entry->entry == HL_DICTIONARY_SOURCE)
            seen->sources[entry->number] = true;
        else
            seen->schemas[entry->number] = entry->version;
    } else if (hl_record_kind_of(word) == HL_RECORD_EVENT) {
        const hl_event *const event = record;
        cr_assert(seen->topics[event->topic]);
        cr_assert(seen->sources[event->source]);
        if (event->schema_version == 2)
            cr_assert_eq(seen->schemas[event->topic], 2);
        seen->events++;
    }
    return HL_OK;
}

Test(writer, each_segment_explains_its_numbers_before_they_are_used)
{
    sim_disk *const disk = sim_create();
    journal_story story = {0};
    hl_journal_writer_options options = story_options(sim_io(disk));
    options.name_of = name_of;
    options.dictionary_limit = 4096;
    hl_journal_writer *const writer = open_with(&options);
    append(&story, writer, 1, 1000);
    cr_assert_eq(hl_journal_writer_close(writer, NULL), HL_OK);
    hl_segment_name *names;
    size_t count;
    cr_assert_eq(hl_segment_list(sim_io(disk), STORY_DIRECTORY, &names, &count, NULL), HL_OK);
    cr_assert_gt(count, 1);
    uint64_t events = 0;
    for (size_t i = 0; i < count; i++) {
        char path[HL_JOURNAL_PATH_SIZE];
        hl_segment_walk walk;
        names_seen seen = {0};
        hl_segment_findings findings;
        cr_assert_eq(hl_segment_path(STORY_DIRECTORY, names[i], path, NULL), HL_OK);
        cr_assert_eq(hl_segment_walk_open(&walk, sim_io(disk), path, NULL), HL_OK);
        const hl_examine_options look = {.is_last = i + 1 == count, .each = see, .context = &seen};
        cr_assert_eq(hl_segment_examine(&walk, &look, &findings, NULL), HL_OK);
        hl_segment_walk_close(&walk);
        events += seen.events;
    }
    cr_assert_eq(events, 1000);
    free(names);
    sim_destroy(disk);
}

Test(writer, groups_begin_at_multiples_of_the_alignment)
{
    sim_disk *const disk = sim_create();
    journal_story story = {0};
    hl_journal_writer_options options = story_options(sim_io(disk));
    options.group_alignment = 512;
    hl_journal_writer *const writer = open_with(&options);
    for (uint64_t sequence = 1; sequence <= 30; sequence += 3) {
        append(&story, writer, sequence, sequence + 2);
        cr_assert_eq(hl_journal_writer_commit(writer), HL_OK);
    }
    hl_journal_writer_abandon(writer);
    sim_kill(disk);
    hl_segment_header header;
    newest(disk, &header);
    char path[HL_JOURNAL_PATH_SIZE];
    cr_assert_eq(hl_segment_path(STORY_DIRECTORY,
                                 (hl_segment_name){header.day, header.first_sequence}, path, NULL),
                 HL_OK);
    hl_segment_walk walk;
    cr_assert_eq(hl_segment_walk_open(&walk, sim_io(disk), path, NULL), HL_OK);
    int groups = 0;
    while (hl_segment_walk_next(&walk) == HL_RECORD_GOOD) {
        hl_record_word word;
        memcpy(&word, walk.record, sizeof word);
        if (hl_record_kind_of(word) == HL_RECORD_GROUP) {
            cr_assert_eq(walk.offset % 512, 0);
            groups++;
        }
    }
    cr_assert_eq(groups, 10);
    hl_segment_walk_close(&walk);
    cr_assert_null(story_compare(&story, sim_io(disk), 30, NULL));
    sim_destroy(disk);
}

/* ---- on the real disk ---- */

static void write_and_read_back(const hl_io *io)
{
    char directory[TEMPORARY_DIRECTORY_SIZE];
    temporary_directory_make(NULL, "journal", directory);
    char journal[TEMPORARY_DIRECTORY_SIZE + 16];
    snprintf(journal, sizeof journal, "%s/journal", directory);
    hl_journal_writer_options options = HL_JOURNAL_WRITER_OPTIONS_INIT;
    options.io = io;
    options.overlap_syncs = io != NULL;
    options.directory = journal;
    options.domain = "fill";
    options.segment_bytes = 1 << 20;
    options.zero_fill = true;
    hl_journal_writer *writer = open_with(&options);
    for (uint64_t sequence = 1; sequence <= 20000; sequence++) {
        story_event event;
        story_event_of(sequence, &event);
        cr_assert_eq(hl_journal_writer_append(writer, &event, sizeof event, 1), 1);
        if (sequence % 64 == 0)
            cr_assert_eq(hl_journal_writer_turn(writer, sequence % 1024 == 0), HL_OK);
    }
    cr_assert_eq(hl_journal_writer_commit(writer), HL_OK);
    cr_assert_eq(hl_journal_durable(hl_journal_writer_progress(writer)), 20000);
    /* Blocks are taken for real: a full disk shows when a segment is made, not when it is used. */
    hl_segment_name *names;
    size_t count;
    char partition[TEMPORARY_DIRECTORY_SIZE + 32], path[HL_JOURNAL_PATH_SIZE];
    snprintf(partition, sizeof partition, "%s/fill", journal);
    cr_assert_eq(hl_segment_list(hl_io_posix(), partition, &names, &count, NULL), HL_OK);
    cr_assert_gt(count, 2);
    cr_assert_eq(hl_segment_path(partition, names[count - 1], path, NULL), HL_OK);
    struct stat status;
    cr_assert_eq(stat(path, &status), 0);
    cr_assert_eq(status.st_size, 1 << 20);
    cr_assert_geq(status.st_blocks * 512, 1 << 20);
    hl_journal_writer_abandon(writer);
    hl_recovery recovery;
    cr_assert_eq(hl_journal_writer_open(&options, &writer, &recovery, NULL), HL_OK);
    cr_assert_eq(recovery.last_sequence, 20000);
    cr_assert_eq(recovery.torn_bytes, 0);
    cr_assert_eq(hl_journal_writer_close(writer, NULL), HL_OK);
    temporary_directory_remove(directory);
    free(names);
}

Test(writer, on_a_real_disk_it_writes_what_is_read_back)
{
    write_and_read_back(NULL);
}

Test(writer, by_io_uring_it_writes_what_is_read_back)
{
    hl_io_uring *uring;
    hl_error error;
    if (hl_io_uring_create(-1, &uring, &error) != HL_OK)
        cr_skip_test("%s", error.text);
    write_and_read_back(hl_io_uring_table(uring));
    hl_io_uring_free(uring);
}
