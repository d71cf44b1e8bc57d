#include <hotlane/journal_reader.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "journal/reader.h"
#include "written.h"
#include "tests/temporary_directory.h"

#define SMALL_SEGMENT 65536u

static hl_journal_reader *open_reader(hl_journal_reader_options *options, const char *directory)
{
    hl_journal_reader *reader = NULL;
    hl_error error = {0};
    options->size = sizeof *options;
    options->directory = directory;
    cr_assert_eq(hl_journal_reader_open(options, &reader, &error), HL_OK, "%s", error.text);
    return reader;
}

/* Reads events that must be right and follow each other; gives how many. */
static uint64_t read_run(hl_journal_reader *reader, uint64_t first)
{
    hl_journal_entry entry;
    hl_error error = {0};
    hl_status status;
    uint64_t count = 0;
    while ((status = hl_journal_reader_next(reader, &entry, &error)) == HL_OK) {
        cr_assert_eq(entry.kind, HL_JOURNAL_EVENT, "%s", entry.detail);
        cr_assert_eq(entry.event->sequence, first + count);
        cr_assert(written_is_right(&entry), "sequence %" PRIu64, entry.event->sequence);
        count++;
    }
    cr_assert_eq(status, HL_NOT_FOUND, "%s", error.text);
    return count;
}

static char directory[TEMPORARY_DIRECTORY_SIZE];

static void set_up(void)
{
    temporary_directory_make(NULL, "journal", directory);
}

static void tear_down(void)
{
    temporary_directory_remove(directory);
}

TestSuite(journal_reader, .init = set_up, .fini = tear_down);

Test(journal_reader, all_events_come_in_order_across_rotations)
{
    const written_options options = {.count = 20000, .segment_bytes = SMALL_SEGMENT};
    written_journal(directory, &options);
    cr_assert_gt(written_segments(directory, "order"), 10);
    hl_journal_reader_options reading = {0};
    hl_journal_reader *const reader = open_reader(&reading, directory);
    cr_assert_eq(read_run(reader, 1), 20000);
    hl_journal_reader_close(reader);
}

Test(journal_reader, a_journal_that_was_opened_again_goes_on)
{
    written_options options = {.count = 1000, .segment_bytes = SMALL_SEGMENT, .abandon = true};
    written_journal(directory, &options);
    hl_journal_reader_options reading = {0};
    hl_journal_reader *reader = open_reader(&reading, directory);
    cr_assert_eq(read_run(reader, 1), 1000);
    hl_journal_reader_close(reader);
    options.abandon = false;
    const uint64_t last = written_journal(directory, &options);
    /* Numbers that were reserved for the dead writer are never given out: no gap, nothing lost. */
    cr_assert_gt(last, 2000);
    reading.filter.from_sequence = last - 999;
    reader = open_reader(&reading, directory);
    cr_assert_eq(read_run(reader, last - 999), 1000);
    hl_journal_reader_close(reader);
}

Test(journal_reader, every_sequence_can_be_gone_to)
{
    const written_options options = {.count = 6000, .segment_bytes = 262144, .abandon = true};
    written_journal(directory, &options); /* the last segment has no footer */
    hl_journal_reader_options reading = {0};
    hl_journal_reader *const reader = open_reader(&reading, directory);
    hl_journal_entry entry;
    for (uint64_t sequence = 6000; sequence > 0; sequence -= sequence > 97 ? 97 : sequence) {
        cr_assert_eq(hl_journal_reader_seek_sequence(reader, sequence, NULL), HL_OK);
        cr_assert_eq(hl_journal_reader_next(reader, &entry, NULL), HL_OK);
        cr_assert_eq(entry.event->sequence, sequence);
        cr_assert(written_is_right(&entry));
    }
    cr_assert_eq(hl_journal_reader_seek_sequence(reader, 6001, NULL), HL_OK);
    cr_assert_eq(hl_journal_reader_next(reader, &entry, NULL), HL_NOT_FOUND);
    hl_journal_reader_close(reader);
}

Test(journal_reader, every_time_can_be_gone_to)
{
    const written_options options = {.count = 6000, .segment_bytes = 262144, .abandon = true};
    written_journal(directory, &options);
    for (uint64_t sequence = 1; sequence <= 6000; sequence += 211) {
        hl_journal_reader_options reading = {
            .filter.from_ns = WRITTEN_BASE_NS + sequence * WRITTEN_STEP_NS,
            .filter.to_ns = WRITTEN_BASE_NS + (sequence + 50) * WRITTEN_STEP_NS};
        hl_journal_reader *const reader = open_reader(&reading, directory);
        const uint64_t there = sequence + 50 <= 6000 ? 51 : 6000 - sequence + 1;
        cr_assert_eq(read_run(reader, sequence), there);
        hl_journal_reader_close(reader);
    }
}

/* What a filter lets pass by reading everything, against what comes by the index. */
static void compare_filter(const hl_journal_filter *filter)
{
    hl_journal_reader_options all = {0}, some = {.filter = *filter};
    hl_journal_reader *const everything = open_reader(&all, directory);
    hl_journal_reader *const filtered = open_reader(&some, directory);
    hl_journal_entry entry, wanted;
    uint64_t passed = 0;
    while (hl_journal_reader_next(everything, &entry, NULL) == HL_OK) {
        const hl_event *const event = entry.event;
        if ((filter->by_key && event->key != filter->key) ||
            (filter->by_correlation && event->correlation_id != filter->correlation_id &&
             entry.id != filter->correlation_id) ||
            (filter->topic != NULL && strcmp(filter->topic, entry.topic) != 0))
            continue;
        cr_assert_eq(hl_journal_reader_next(filtered, &wanted, NULL), HL_OK,
                     "%" PRIu64 " is left out", event->sequence);
        cr_assert_eq(wanted.id, entry.id);
        cr_assert(written_is_right(&wanted));
        passed++;
    }
    cr_assert_eq(hl_journal_reader_next(filtered, &wanted, NULL), HL_NOT_FOUND);
    cr_assert_gt(passed, 0);
    hl_journal_reader_close(everything);
    hl_journal_reader_close(filtered);
}

Test(journal_reader, a_filter_by_the_index_leaves_out_nothing_else)
{
    const written_options options = {.count = 30000, .segment_bytes = 1 << 20, .partition = 3};
    written_journal(directory, &options);
    const hl_journal_filter filters[] = {
        {.by_key = true, .key = WRITTEN_RARE_KEY},
        {.by_key = true, .key = 7},
        {.by_correlation = true, .correlation_id = hl_event_id_of(3, 20000)},
        {.topic = "order.cancel"},
        {.by_key = true, .key = WRITTEN_RARE_KEY, .topic = "order.new"},
    };
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        compare_filter(&filters[i]);
}

Test(journal_reader, a_filter_by_the_index_reads_a_part_only)
{
    const written_options options = {.count = 60000, .segment_bytes = 8 << 20};
    written_journal(directory, &options);
    hl_journal_reader_options reading = {
        .filter = {.by_correlation = true, .correlation_id = hl_event_id_of(0, 40000)}};
    hl_journal_reader *const reader = open_reader(&reading, directory);
    char path[64], line[128];
    unsigned long long before = 0, after = 0;
    snprintf(path, sizeof path, "/proc/self/io");
    for (int pass = 0; pass < 2; pass++) {
        FILE *const file = fopen(path, "r");
        cr_assert_not_null(file);
        while (fgets(line, sizeof line, file) != NULL)
            sscanf(line, "rchar: %llu", pass == 0 ? &before : &after);
        fclose(file);
        if (pass == 0)
            cr_assert_eq(read_run(reader, 40000), WRITTEN_STORY);
    }
    /* About 6 MB of journal; the footer was read when the reader was opened. */
    cr_assert_lt(after - before, 2000000, "%llu bytes read", after - before);
    hl_journal_reader_close(reader);
}

Test(journal_reader, an_unknown_topic_is_no_error)
{
    const written_options options = {.count = 100};
    written_journal(directory, &options);
    hl_journal_reader_options reading = {.filter.topic = "order.amend"};
    hl_journal_reader *const reader = open_reader(&reading, directory);
    cr_assert_eq(read_run(reader, 0), 0);
    hl_journal_reader_close(reader);
}

Test(journal_reader, partitions_are_merged_by_time_and_by_cause)
{
    const written_options orders = {.count = 5000, .segment_bytes = SMALL_SEGMENT, .partition = 1};
    const written_options fills = {.domain = "fill", .count = 3000, .partition = 2};
    const written_options shard = {
        .domain = "quote", .shard = 1, .shards = 2, .count = 100, .partition = 4};
    written_journal(directory, &orders);
    written_journal(directory, &fills);
    written_journal(directory, &shard);
    hl_journal_reader_options reading = {0};
    hl_journal_reader *const reader = open_reader(&reading, directory);
    hl_journal_entry entry;
    uint64_t next[5] = {1, 1, 1, 1, 1}, time_ns = 0, count = 0;
    while (hl_journal_reader_next(reader, &entry, NULL) == HL_OK) {
        cr_assert(written_is_right(&entry));
        cr_assert_eq(entry.event->sequence, next[entry.partition_number]++);
        cr_assert_geq(entry.event->published_ns, time_ns);
        time_ns = entry.event->published_ns;
        count++;
    }
    cr_assert_eq(count, 8100);
    hl_journal_reader_close(reader);
    reading.partition = "quote.1";
    hl_journal_reader *const one = open_reader(&reading, directory);
    cr_assert_eq(read_run(one, 1), 100);
    hl_journal_reader_close(one);
}

Test(journal_reader, an_effect_never_comes_before_its_cause)
{
    /* Partition 1's cause stands behind an event with a later time; its effect in partition 2 lies
     * between the two by time. */
    const written_options causes = {.partition = 1}, effects = {.domain = "fill", .partition = 2};
    uint64_t next;
    hl_journal_writer *writer = written_open(directory, &causes, NULL, &next);
    written_event events[2];
    written_event_of(1, 1, &events[0]);
    written_event_of(1, 2, &events[1]);
    events[0].event.published_ns = 900;
    events[1].event.published_ns = 100;
    events[0].event.causation_id = events[1].event.causation_id = 0;
    cr_assert_eq(hl_journal_writer_append(writer, events, sizeof *events, 2), 2);
    cr_assert_eq(hl_journal_writer_close(writer, NULL), HL_OK);
    writer = written_open(directory, &effects, NULL, &next);
    written_event_of(2, 1, &events[0]);
    events[0].event.published_ns = 500;
    events[0].event.causation_id = hl_event_id_of(1, 2);
    cr_assert_eq(hl_journal_writer_append(writer, events, sizeof *events, 1), 1);
    cr_assert_eq(hl_journal_writer_close(writer, NULL), HL_OK);
    hl_journal_reader_options reading = {0};
    hl_journal_reader *const reader = open_reader(&reading, directory);
    hl_journal_entry entry;
    const uint64_t wanted[] = {hl_event_id_of(1, 1), hl_event_id_of(1, 2), hl_event_id_of(2, 1)};
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(hl_journal_reader_next(reader, &entry, NULL), HL_OK);
        cr_assert_eq(entry.id, wanted[i]);
    }
    hl_journal_reader_close(reader);
}

Test(journal_reader, gaps_are_told)
{
    const written_options options = {.count = 300, .gap_every = 100};
    written_journal(directory, &options);
    hl_journal_reader_options reading = {0};
    hl_journal_reader *const reader = open_reader(&reading, directory);
    hl_journal_entry entry;
    uint64_t events = 0, gaps = 0, next = 1;
    while (hl_journal_reader_next(reader, &entry, NULL) == HL_OK) {
        cr_assert_eq(entry.first_sequence, next);
        next = entry.last_sequence + 1;
        events += entry.kind == HL_JOURNAL_EVENT;
        gaps += entry.kind == HL_JOURNAL_GAP;
    }
    cr_assert_eq(events, 300);
    cr_assert_eq(gaps, 2);
    hl_journal_reader_close(reader);
}

Test(journal_reader, a_cursor_goes_on_where_it_was_stored)
{
    const written_options options = {.count = 5000, .segment_bytes = SMALL_SEGMENT};
    written_journal(directory, &options);
    hl_journal_reader_options reading = {.cursor = "bridge"};
    hl_journal_entry entry;
    uint64_t next = 1;
    for (int turn = 0; turn < 5; turn++) {
        hl_journal_reader *const reader = open_reader(&reading, directory);
        for (int i = 0; i < 1000; i++) {
            cr_assert_eq(hl_journal_reader_next(reader, &entry, NULL), HL_OK);
            cr_assert_eq(entry.event->sequence, next++);
        }
        cr_assert_eq(hl_journal_reader_store_cursor(reader, "bridge", NULL), HL_OK);
        hl_journal_reader_next(reader, &entry, NULL); /* seen, but not stored */
        hl_journal_reader_close(reader);
    }
    cr_assert_eq(hl_journal_cursor_remove(directory, "bridge", NULL), HL_OK);
    cr_assert_eq(hl_journal_cursor_remove(directory, "bridge", NULL), HL_NOT_FOUND);
    hl_journal_reader *const reader = open_reader(&reading, directory);
    cr_assert_eq(hl_journal_reader_next(reader, &entry, NULL), HL_OK);
    cr_assert_eq(entry.event->sequence, 1);
    cr_assert_eq(hl_journal_reader_store_cursor(reader, "../bridge", NULL), HL_INVALID);
    hl_journal_reader_close(reader);
}

Test(journal_reader, what_retention_has_removed_is_told)
{
    const written_options options = {.count = 5000, .segment_bytes = SMALL_SEGMENT};
    char path[HL_JOURNAL_PATH_SIZE];
    written_journal(directory, &options);
    hl_journal_reader_options reading = {0};
    hl_journal_reader *const reading_on = open_reader(&reading, directory);
    hl_journal_entry entry;
    cr_assert_eq(hl_journal_reader_next(reading_on, &entry, NULL), HL_OK);
    for (int i = 0; i < 3; i++) {
        cr_assert(written_segment(directory, "order", 0, path));
        cr_assert_eq(unlink(path), 0);
    }
    cr_assert(written_segment(directory, "order", 0, path));
    const uint64_t oldest = strtoull(strrchr(path, '-') + 1, NULL, 10);

    /* A reader that is inside goes on to the end of what it has open. */
    uint64_t last = 1;
    while (hl_journal_reader_next(reading_on, &entry, NULL) == HL_OK &&
           entry.kind == HL_JOURNAL_EVENT)
        cr_assert_eq(entry.event->sequence, ++last);
    cr_assert_eq(entry.kind, HL_JOURNAL_REMOVED);
    cr_assert_eq(entry.first_sequence, last + 1);
    cr_assert_eq(entry.last_sequence, oldest - 1);
    cr_assert_eq(read_run(reading_on, oldest), 5000 - oldest + 1);
    hl_journal_reader_close(reading_on);

    reading.filter.from_sequence = 10;
    hl_journal_reader *const asking = open_reader(&reading, directory);
    cr_assert_eq(hl_journal_reader_next(asking, &entry, NULL), HL_OK);
    cr_assert_eq(entry.kind, HL_JOURNAL_REMOVED);
    cr_assert_eq(entry.first_sequence, 10);
    cr_assert_eq(entry.last_sequence, oldest - 1);
    cr_assert_eq(read_run(asking, oldest), 5000 - oldest + 1);
    hl_journal_reader_close(asking);

    reading.filter.from_sequence = 0;
    hl_journal_reader *const beginning = open_reader(&reading, directory);
    cr_assert_eq(read_run(beginning, oldest), 5000 - oldest + 1);
    hl_journal_reader_close(beginning);
}

Test(journal_reader, a_segment_missing_in_the_middle_is_damage)
{
    const written_options options = {.count = 5000, .segment_bytes = SMALL_SEGMENT};
    char path[HL_JOURNAL_PATH_SIZE];
    written_journal(directory, &options);
    cr_assert(written_segment(directory, "order", 2, path));
    const uint64_t first = strtoull(strrchr(path, '-') + 1, NULL, 10);
    cr_assert_eq(unlink(path), 0);
    hl_journal_reader_options reading = {0};
    hl_journal_reader *const strict = open_reader(&reading, directory);
    hl_journal_entry entry;
    hl_error error = {0};
    uint64_t last = 0;
    hl_status status;
    while ((status = hl_journal_reader_next(strict, &entry, &error)) == HL_OK)
        last = entry.event->sequence;
    cr_assert_eq(status, HL_DAMAGED);
    cr_assert_eq(last, first - 1);
    cr_assert_not_null(strstr(error.text, "missing"), "%s", error.text);
    cr_assert_eq(hl_journal_reader_next(strict, &entry, &error), HL_DAMAGED, "it stays");
    hl_journal_reader_close(strict);
    reading.salvage = true;
    hl_journal_reader *const salvage = open_reader(&reading, directory);
    uint64_t next = 1, damages = 0;
    while (hl_journal_reader_next(salvage, &entry, NULL) == HL_OK) {
        cr_assert_eq(entry.first_sequence, next);
        next = entry.last_sequence + 1;
        damages += entry.kind == HL_JOURNAL_DAMAGE;
    }
    cr_assert_eq(next, 5001);
    cr_assert_eq(damages, 1);
    hl_journal_reader_close(salvage);
}

Test(journal_reader, a_damaged_record_is_refused_or_passed_over_and_told)
{
    const written_options options = {.count = 3000, .segment_bytes = SMALL_SEGMENT};
    char path[HL_JOURNAL_PATH_SIZE];
    size_t size;
    written_journal(directory, &options);
    cr_assert(written_segment(directory, "order", 1, path));
    uint8_t *const bytes = written_read_file(path, &size);
    bytes[20000] ^= 4;
    written_write_file(path, bytes, size);
    free(bytes);
    hl_journal_reader_options reading = {.salvage = true};
    hl_journal_reader *const salvage = open_reader(&reading, directory);
    hl_journal_entry entry;
    uint64_t next = 1, lost = 0;
    while (hl_journal_reader_next(salvage, &entry, NULL) == HL_OK) {
        cr_assert_eq(entry.first_sequence, next);
        next = entry.last_sequence + 1;
        if (entry.kind == HL_JOURNAL_DAMAGE) {
            lost += entry.last_sequence - entry.first_sequence + 1;
            cr_assert_not_null(strstr(entry.detail, path), "%s", entry.detail);
        } else {
            cr_assert(written_is_right(&entry));
        }
    }
    cr_assert_eq(next, 3001);
    cr_assert_eq(lost, 1);
    hl_journal_reader_close(salvage);
}

/* ---- while it is written ---- */

#define LIVE_EVENTS 200000u

/* In a process of its own: writes, publishing through the tail file. */
static void write_live(void)
{
    const written_options options = {.segment_bytes = 1 << 20};
    hl_tail *tail = NULL;
    hl_error error = {0};
    uint64_t next;
    hl_journal_writer *const writer = written_open(directory, &options, NULL, &next);
    if (hl_tail_create(directory, "order", true, 0, &tail, &error) != HL_OK)
        _exit(1);
    for (uint64_t sequence = next; sequence <= LIVE_EVENTS; sequence += 500) {
        written_append(writer, 0, sequence, sequence + 499);
        hl_tail_tell(tail, hl_journal_written(hl_journal_writer_progress(writer)));
        if (sequence % 20000 < 500)
            usleep(1000);
    }
    const hl_status status = hl_journal_writer_close(writer, &error);
    hl_tail_close(tail);
    _exit(status == HL_OK ? 0 : 1);
}

Test(journal_reader, readers_follow_a_writer_in_another_process, .timeout = 120)
{
    const pid_t writer = fork();
    cr_assert_geq(writer, 0);
    if (writer == 0)
        write_live();
    pid_t others[2];
    for (size_t i = 0; i < 3; i++) {
        const pid_t child = i < 2 ? fork() : 0;
        if (i < 2)
            others[i] = child;
        if (child != 0)
            continue;
        hl_journal_reader_options reading = {.follow = true};
        hl_journal_reader *const reader = open_reader(&reading, directory);
        hl_journal_entry entry;
        hl_error error = {0};
        uint64_t last = 0;
        while (last < LIVE_EVENTS) {
            const hl_status status = hl_journal_reader_next(reader, &entry, &error);
            if (status == HL_NOT_FOUND) {
                cr_assert_neq(hl_journal_reader_wait(reader, 10000000000u), HL_FAILED);
                continue;
            }
            cr_assert_eq(status, HL_OK, "%s", error.text);
            cr_assert_eq(entry.event->sequence, last + 1);
            cr_assert(written_is_right(&entry));
            last++;
        }
        hl_journal_reader_close(reader);
        if (i < 2)
            _exit(0);
    }
    int outcome;
    for (size_t i = 0; i < 2; i++) {
        cr_assert_eq(waitpid(others[i], &outcome, 0), others[i]);
        cr_assert_eq(outcome, 0);
    }
    cr_assert_eq(waitpid(writer, &outcome, 0), writer);
    cr_assert_eq(outcome, 0);
}

Test(journal_reader, who_follows_a_run_without_events_sees_those_of_the_next)
{
    const written_options idle = {.count = 0}, busy = {.count = 2000, .segment_bytes = 65536};
    written_journal(directory, &idle);
    hl_journal_reader_options reading = {.follow = true};
    hl_journal_reader *const reader = open_reader(&reading, directory);
    hl_journal_entry entry;
    hl_error error = {0};
    for (uint64_t run = 0, last = 0; run < 3; run++) {
        cr_assert_eq(hl_journal_reader_next(reader, &entry, &error), HL_NOT_FOUND);
        written_journal(directory, &idle);
        cr_assert_eq(hl_journal_reader_next(reader, &entry, &error), HL_NOT_FOUND);
        cr_assert_eq(written_journal(directory, &busy), last + 2000);
        for (const uint64_t end = last + 2000; last < end; last++) {
            const hl_status status = hl_journal_reader_next(reader, &entry, &error);
            cr_assert_eq(status, HL_OK, "%s", error.text);
            cr_assert_eq(entry.kind, HL_JOURNAL_EVENT, "%s", entry.detail);
            cr_assert_eq(entry.event->sequence, last + 1);
        }
    }
    hl_journal_reader_close(reader);
}

Test(journal_reader, nothing_above_the_published_mark_is_shown)
{
    const written_options options = {.count = 1000};
    hl_tail *tail = NULL;
    uint64_t next;
    cr_assert_eq(hl_tail_create(directory, "order", false, 0, &tail, NULL), HL_OK);
    /* The events are in the file, but their writer has published only some of them. */
    hl_journal_writer *const writer = written_open(directory, &options, NULL, &next);
    written_append(writer, 0, 1, 1000);
    cr_assert_eq(hl_journal_writer_commit(writer), HL_OK);
    hl_journal_reader_options reading = {.follow = true};
    hl_journal_reader *const reader = open_reader(&reading, directory);
    cr_assert_eq(read_run(reader, 1), 0);
    hl_tail_tell(tail, 300);
    cr_assert_eq(read_run(reader, 1), 300);
    cr_assert_eq(read_run(reader, 301), 0);
    hl_journal_reader_wait(reader, 0);
    hl_tail_tell(tail, 301);
    cr_assert_eq(hl_journal_reader_wait(reader, 10000000000u), HL_OK);
    cr_assert_eq(read_run(reader, 301), 1);
    hl_tail_close(tail); /* its writer is gone: all that is whole is to be had */
    cr_assert_eq(read_run(reader, 302), 699);
    hl_journal_writer_abandon(writer);
    hl_journal_reader_close(reader);
}

/* A reader's calls, before one of which the writer goes on: sealing or not. */
typedef struct interrupted_io {
    hl_io io;
    hl_journal_writer *writer;
    uint32_t calls_left;
    bool seals;
} interrupted_io;

static void interrupt(interrupted_io *this)
{
    if (this->writer == NULL || this->calls_left-- != 0)
        return;
    hl_journal_writer *const writer = this->writer;
    this->writer = NULL;
    for (uint64_t sequence = 101; sequence <= 300; sequence += 100) {
        written_append(writer, 0, sequence, sequence + 99);
        cr_assert_eq(hl_journal_writer_commit(writer), HL_OK);
    }
    if (this->seals)
        cr_assert_eq(hl_journal_writer_close(writer, NULL), HL_OK);
    else
        hl_journal_writer_abandon(writer);
}

static int64_t interrupted_pread(void *context, hl_io_file file, void *bytes, size_t size,
                                 uint64_t offset)
{
    interrupt(context);
    const hl_io *const posix = hl_io_posix();
    return posix->pread(posix->context, file, bytes, size, offset);
}

static int64_t interrupted_size(void *context, hl_io_file file)
{
    interrupt(context);
    const hl_io *const posix = hl_io_posix();
    return posix->size(posix->context, file);
}

/* False: the reader made fewer calls. */
static bool is_read_while_written(uint32_t calls, bool seals)
{
    char own[TEMPORARY_DIRECTORY_SIZE];
    temporary_directory_make(directory, "race", own);
    const written_options options = {.segment_bytes = 1 << 20};
    uint64_t next;
    interrupted_io this = {.io = *hl_io_posix(), .calls_left = calls, .seals = seals};
    this.io.context = &this;
    this.io.pread = interrupted_pread;
    this.io.size = interrupted_size;
    hl_journal_writer *const writer = written_open(own, &options, NULL, &next);
    written_append(writer, 0, 1, 100);
    cr_assert_eq(hl_journal_writer_commit(writer), HL_OK);
    hl_journal_reader_options reading = HL_JOURNAL_READER_OPTIONS_INIT;
    reading.directory = own;
    hl_journal_reader *reader = NULL;
    cr_assert_eq(hl_reader_open(&this.io, &reading, &reader, NULL), HL_OK);
    this.writer = writer;
    uint64_t count = read_run(reader, 1);
    const bool interrupted = this.writer == NULL;
    this.writer = NULL;
    count += read_run(reader, count + 1);
    cr_assert_eq(count, interrupted ? 300 : 100);
    hl_journal_reader_close(reader);
    if (!interrupted)
        hl_journal_writer_abandon(writer);
    return interrupted;
}

Test(journal_reader, the_end_of_a_segment_that_is_just_going_on_is_no_damage)
{
    for (int seals = 0; seals < 2; seals++) {
        uint32_t calls = 0;
        while (is_read_while_written(calls, seals != 0))
            calls++;
        cr_assert_gt(calls, 4);
    }
}

Test(journal_reader, one_tail_has_one_writer)
{
    hl_tail *tail = NULL, *second = NULL;
    hl_error error = {0};
    cr_assert_eq(hl_tail_create(directory, "order", false, 0, &tail, NULL), HL_OK);
    cr_assert_eq(hl_tail_create(directory, "order", false, 0, &second, &error), HL_LOCKED);
    hl_tail_close(tail);
    cr_assert_eq(hl_tail_create(directory, "order", false, 0, &second, NULL), HL_OK);
    hl_tail_close(second);
}

Test(journal_reader, a_tail_that_a_dead_writers_child_holds_is_replaced)
{
    const written_options options = {.count = 100};
    hl_tail *dead = NULL, *tail = NULL;
    written_journal(directory, &options);
    /* As a fork's child has it after its parent's death: locked, and told no more. */
    cr_assert_eq(hl_tail_create(directory, "order", true, 0, &dead, NULL), HL_OK);
    hl_tail_tell(dead, 10);
    hl_journal_reader_options reading = {.follow = true};
    hl_journal_reader *const reader = open_reader(&reading, directory);
    cr_assert_eq(read_run(reader, 1), 10);
    cr_assert_eq(hl_tail_create(directory, "order", true, 0, &tail, NULL), HL_OK);
    hl_tail_tell(tail, 30);
    cr_assert_eq(read_run(reader, 11), 20);
    hl_tail_close(tail);
    hl_tail_close(dead);
    cr_assert_eq(read_run(reader, 31), 70);
    hl_journal_reader_close(reader);
}

Test(journal_reader, a_tail_just_made_shows_what_its_writer_has_found)
{
    const written_options options = {.count = 100};
    hl_tail *tail = NULL;
    written_journal(directory, &options);
    cr_assert_eq(hl_tail_create(directory, "order", true, 90, &tail, NULL), HL_OK);
    hl_journal_reader_options reading = {.follow = false};
    hl_journal_reader *const reader = open_reader(&reading, directory);
    cr_assert_eq(read_run(reader, 1), 90);
    hl_journal_reader_close(reader);
    hl_tail_close(tail);
}

Test(journal_reader, a_tail_that_somebody_cuts_is_whole_with_the_next_news)
{
    const written_options options = {.count = 100};
    char path[TEMPORARY_DIRECTORY_SIZE + 16];
    hl_tail *tail = NULL;
    written_journal(directory, &options);
    snprintf(path, sizeof path, "%s/order/" HL_TAIL_NAME, directory);
    cr_assert_eq(hl_tail_create(directory, "order", true, 10, &tail, NULL), HL_OK);
    hl_journal_reader_options reading = {.follow = true};
    hl_journal_reader *const reader = open_reader(&reading, directory);
    cr_assert_eq(read_run(reader, 1), 10);
    cr_assert_eq(truncate(path, 0), 0);
    cr_assert_eq(read_run(reader, 11), 0, "what was known holds on");
    hl_tail_tell(tail, 30);
    cr_assert_eq(read_run(reader, 11), 20);
    hl_tail_close(tail);
    cr_assert_eq(read_run(reader, 31), 70);
    hl_journal_reader_close(reader);
}

Test(journal_reader, waiting_without_news_times_out)
{
    const written_options options = {.count = 10};
    written_journal(directory, &options);
    hl_journal_reader_options reading = {.follow = true};
    hl_journal_reader *const reader = open_reader(&reading, directory);
    cr_assert_eq(read_run(reader, 1), 10);
    hl_journal_reader_wait(reader, 0);
    cr_assert_eq(hl_journal_reader_wait(reader, 1000000), HL_TIMEOUT);
    hl_journal_reader_close(reader);
    reading.follow = false;
    hl_journal_reader *const still = open_reader(&reading, directory);
    cr_assert_eq(hl_journal_reader_wait(still, 0), HL_FAILED);
    hl_journal_reader_close(still);
}

Test(journal_reader, what_is_asked_wrongly_is_refused_with_a_sentence)
{
    hl_journal_reader *reader = NULL;
    hl_error error = {0};
    hl_journal_reader_options reading = HL_JOURNAL_READER_OPTIONS_INIT;
    reading.directory = "/nonexistent/journal";
    cr_assert_eq(hl_journal_reader_open(&reading, &reader, &error), HL_NOT_FOUND);
    reading.directory = directory;
    cr_assert_eq(hl_journal_reader_open(&reading, &reader, &error), HL_NOT_FOUND);
    reading.filter.topic = "order..x";
    cr_assert_eq(hl_journal_reader_open(&reading, &reader, &error), HL_INVALID);
    reading.filter.topic = NULL;
    reading.filter.from_ns = 2;
    reading.filter.to_ns = 1;
    cr_assert_eq(hl_journal_reader_open(&reading, &reader, &error), HL_INVALID);
    reading = (hl_journal_reader_options){.directory = directory};
    cr_assert_eq(hl_journal_reader_open(&reading, &reader, &error), HL_INVALID);
}
