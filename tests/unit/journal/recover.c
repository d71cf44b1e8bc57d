#include "journal/recover.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdlib.h>

#include "story.h"

static hl_journal_writer *open_on(sim_disk *disk, hl_damage_policy policy,
                                  hl_recovery *ret_recovery, hl_error *ret_error)
{
    hl_journal_writer_options options = story_options(sim_io(disk));
    options.damage = policy;
    hl_journal_writer *writer = NULL;
    const hl_status status = hl_journal_writer_open(&options, &writer, ret_recovery, ret_error);
    cr_assert_eq(status == HL_OK, writer != NULL);
    return writer;
}

static void append(journal_story *story, hl_journal_writer *writer, uint64_t first, uint64_t last)
{
    for (uint64_t sequence = first; sequence <= last; sequence++)
        cr_assert(story_append(story, writer, sequence));
}

/* The path of the segment that begins with this sequence. */
static void path_of(sim_disk *disk, uint64_t first_sequence, char *ret_path)
{
    hl_segment_name *names;
    size_t count;
    cr_assert_eq(hl_segment_list(sim_io(disk), STORY_DIRECTORY, &names, &count, NULL), HL_OK);
    for (size_t i = 0; i < count; i++)
        if (names[i].first_sequence == first_sequence) {
            cr_assert_eq(hl_segment_path(STORY_DIRECTORY, names[i], ret_path, NULL), HL_OK);
            free(names);
            return;
        }
    cr_assert(false, "no segment begins with %" PRIu64, first_sequence);
}

/* The offset in the file of the record of this event. */
static uint64_t offset_of(sim_disk *disk, const char *path, uint64_t sequence)
{
    hl_segment_walk walk;
    cr_assert_eq(hl_segment_walk_open(&walk, sim_io(disk), path, NULL), HL_OK);
    uint64_t offset = 0;
    while (offset == 0 && hl_segment_walk_next(&walk) == HL_RECORD_GOOD) {
        hl_record_word word;
        memcpy(&word, walk.record, sizeof word);
        if (hl_record_kind_of(word) == HL_RECORD_EVENT &&
            ((const hl_event *)walk.record)->sequence == sequence)
            offset = walk.offset;
    }
    hl_segment_walk_close(&walk);
    cr_assert_neq(offset, 0);
    return offset;
}

/* 30 events in three synced groups, then a crash. */
static sim_disk *crashed_disk(journal_story *story)
{
    sim_disk *const disk = sim_create();
    hl_recovery recovery;
    hl_journal_writer *const writer = open_on(disk, HL_DAMAGE_STRICT, &recovery, NULL);
    cr_assert_eq(recovery.segments, 0);
    cr_assert_eq(recovery.next_sequence, 1);
    for (uint64_t first = 1; first <= 21; first += 10) {
        append(story, writer, first, first + 9);
        cr_assert_eq(hl_journal_writer_commit(writer), HL_OK);
    }
    hl_journal_writer_abandon(writer);
    sim_kill(disk);
    return disk;
}

Test(recover, after_a_clean_end_the_sequences_go_on_without_a_gap)
{
    sim_disk *const disk = sim_create();
    journal_story story = {0};
    hl_recovery recovery;
    hl_journal_writer *writer = open_on(disk, HL_DAMAGE_STRICT, &recovery, NULL);
    append(&story, writer, 1, 7);
    cr_assert_eq(hl_journal_writer_close(writer, NULL), HL_OK);
    sim_power_cut(disk, 5);
    writer = open_on(disk, HL_DAMAGE_STRICT, &recovery, NULL);
    cr_assert(recovery.was_clean);
    cr_assert_eq(recovery.last_sequence, 7);
    cr_assert_eq(recovery.next_sequence, 8);
    append(&story, writer, 8, 9);
    cr_assert_eq(hl_journal_writer_close(writer, NULL), HL_OK);
    cr_assert_null(story_compare(&story, sim_io(disk), 9, NULL));
    sim_destroy(disk);
}

Test(recover, after_a_crash_they_go_on_above_the_reserved_mark)
{
    journal_story story = {0};
    sim_disk *const disk = crashed_disk(&story);
    hl_recovery recovery;
    hl_journal_writer *const writer = open_on(disk, HL_DAMAGE_STRICT, &recovery, NULL);
    cr_assert_not(recovery.was_clean);
    cr_assert_eq(recovery.last_sequence, 30);
    cr_assert_eq(recovery.reserved_through, 200);
    cr_assert_eq(recovery.next_sequence, 201);
    cr_assert_eq(recovery.torn_bytes, 0);
    hl_journal_writer_abandon(writer);
    sim_destroy(disk);
}

Test(recover, empty_segments_of_runs_without_events_do_no_harm)
{
    sim_disk *const disk = sim_create();
    journal_story story = {0};
    static const uint64_t next[] = {1, 1, 201, 201, 401}; /* each second one crashes */
    for (int run = 0; run < 5; run++) {
        hl_recovery recovery;
        hl_journal_writer *const writer = open_on(disk, HL_DAMAGE_STRICT, &recovery, NULL);
        cr_assert_eq(recovery.next_sequence, next[run]);
        if (run % 2 == 0)
            cr_assert_eq(hl_journal_writer_close(writer, NULL), HL_OK);
        else
            hl_journal_writer_abandon(writer);
        sim_power_cut(disk, (uint64_t)run);
    }
    cr_assert_null(story_compare(&story, sim_io(disk), 0, NULL));
    sim_destroy(disk);
}

/* Runs that are closed clean and have had nothing, on several days. */
static void idle_runs(sim_disk *disk, uint64_t expected)
{
    for (uint64_t run = 0; run < 4; run++) {
        hl_recovery recovery;
        sim_set_now(disk, (1750000000ull + run * 100000) * 1000000000ull);
        hl_journal_writer *const writer = open_on(disk, HL_DAMAGE_STRICT, &recovery, NULL);
        cr_assert_eq(recovery.next_sequence, expected, "run %" PRIu64 ": %" PRIu64, run,
                     recovery.next_sequence);
        cr_assert_eq(hl_journal_writer_close(writer, NULL), HL_OK);
        sim_power_cut(disk, run);
    }
}

Test(recover, runs_without_events_that_end_clean_take_no_sequence)
{
    sim_disk *const disk = sim_create();
    journal_story story = {0};
    hl_recovery recovery;
    idle_runs(disk, 1);
    hl_journal_writer *writer = open_on(disk, HL_DAMAGE_STRICT, &recovery, NULL);
    append(&story, writer, 1, 7);
    cr_assert_eq(hl_journal_writer_close(writer, NULL), HL_OK);
    idle_runs(disk, 8);
    writer = open_on(disk, HL_DAMAGE_STRICT, &recovery, NULL);
    cr_assert_eq(recovery.last_sequence, 7);
    cr_assert_eq(recovery.segments, 2);
    append(&story, writer, 8, 9);
    cr_assert_eq(hl_journal_writer_close(writer, NULL), HL_OK);
    cr_assert_null(story_compare(&story, sim_io(disk), 9, NULL));
    sim_destroy(disk);
}

Test(recover, a_run_without_events_that_crashes_takes_what_it_had_reserved)
{
    sim_disk *const disk = sim_create();
    hl_recovery recovery;
    idle_runs(disk, 1);
    hl_journal_writer *const writer = open_on(disk, HL_DAMAGE_STRICT, &recovery, NULL);
    hl_journal_writer_abandon(writer);
    sim_power_cut(disk, 3);
    idle_runs(disk, 201);
    sim_destroy(disk);
}

Test(recover, a_torn_tail_is_cut_zeroed_and_said)
{
    journal_story story = {0};
    sim_disk *const disk = crashed_disk(&story);
    char path[HL_JOURNAL_PATH_SIZE];
    path_of(disk, 1, path);
    /* The last event's record, as if its last bytes had never come down. */
    const uint64_t offset = offset_of(disk, path, 30);
    story_event event;
    story_event_of(30, &event);
    const uint64_t end = offset + hl_record_round(sizeof(hl_event) + event.event.payload_size);
    const uint8_t zeros[16] = {0};
    sim_plant(disk, path, zeros, sizeof zeros, end - 16);
    hl_recovery recovery;
    hl_journal_writer *const writer = open_on(disk, HL_DAMAGE_STRICT, &recovery, NULL);
    cr_assert_eq(recovery.last_sequence, 29);
    cr_assert_gt(recovery.torn_bytes, 0);
    cr_assert_leq(recovery.torn_bytes, end - offset);
    cr_assert_eq(recovery.findings.damages, 0);
    hl_journal_writer_abandon(writer);
    story.ranges[0].last = 29;
    cr_assert_null(story_compare(&story, sim_io(disk), 29, NULL));
    sim_destroy(disk);
}

/* Bytes of an earlier segment behind the records: of a file that was used again. */
Test(recover, stale_bytes_of_another_segment_never_pass)
{
    journal_story story = {0};
    sim_disk *const disk = crashed_disk(&story);
    char path[HL_JOURNAL_PATH_SIZE];
    path_of(disk, 1, path);
    hl_recovery recovery;
    hl_journal_writer *writer = open_on(disk, HL_DAMAGE_STRICT, &recovery, NULL);
    append(&story, writer, 201, 203);
    cr_assert_eq(hl_journal_writer_commit(writer), HL_OK);
    hl_journal_writer_abandon(writer);
    sim_kill(disk);
    uint64_t size;
    const uint8_t *const old = sim_bytes(disk, path, &size);
    char newer[HL_JOURNAL_PATH_SIZE];
    path_of(disk, 201, newer);
    story_event event;
    story_event_of(203, &event);
    const uint64_t end =
        offset_of(disk, newer, 203) + hl_record_round(sizeof(hl_event) + event.event.payload_size);
    /* Everything that the old segment holds from its first group on, at the same kind of place. */
    sim_plant(disk, newer, old + HL_JOURNAL_HEADER_SIZE, size - HL_JOURNAL_HEADER_SIZE - 4096, end);
    writer = open_on(disk, HL_DAMAGE_STRICT, &recovery, NULL);
    cr_assert_eq(recovery.last_sequence, 203);
    cr_assert_gt(recovery.torn_bytes, 0);
    hl_journal_writer_abandon(writer);
    cr_assert_null(story_compare(&story, sim_io(disk), 203, NULL));
    sim_destroy(disk);
}

Test(recover, damage_below_a_durable_mark_is_refused_with_its_place_and_nothing_is_touched)
{
    journal_story story = {0};
    sim_disk *const disk = crashed_disk(&story);
    char path[HL_JOURNAL_PATH_SIZE];
    path_of(disk, 1, path);
    const uint64_t offset = offset_of(disk, path, 5);
    uint64_t size;
    sim_bytes(disk, path, &size)[offset + 70] ^= 4;
    uint8_t *const before = malloc(size);
    memcpy(before, sim_bytes(disk, path, &size), size);
    hl_error error;
    cr_assert_null(open_on(disk, HL_DAMAGE_STRICT, NULL, &error));
    cr_assert_eq(error.status, HL_DAMAGED);
    char place[64];
    snprintf(place, sizeof place, "damaged at byte %" PRIu64, offset);
    cr_assert_not_null(strstr(error.text, place), "%s", error.text);
    cr_assert_not_null(strstr(error.text, "sequences 5 to 5 lost"), "%s", error.text);
    cr_assert_eq(memcmp(before, sim_bytes(disk, path, &size), size), 0);
    free(before);
    sim_destroy(disk);
}

Test(recover, salvage_keeps_all_but_the_damaged_record)
{
    journal_story story = {0};
    sim_disk *const disk = crashed_disk(&story);
    char path[HL_JOURNAL_PATH_SIZE];
    path_of(disk, 1, path);
    const uint64_t offset = offset_of(disk, path, 5);
    uint64_t size;
    sim_bytes(disk, path, &size)[offset + 70] ^= 4;
    hl_recovery recovery;
    hl_journal_writer *const writer = open_on(disk, HL_DAMAGE_SALVAGE, &recovery, NULL);
    cr_assert_eq(recovery.findings.damages, 1);
    cr_assert_eq(recovery.findings.damaged[0].offset, offset);
    cr_assert_eq(recovery.findings.damaged[0].first_sequence, 5);
    cr_assert_eq(recovery.findings.damaged[0].last_sequence, 5);
    cr_assert_eq(recovery.findings.events, 29);
    cr_assert_eq(recovery.last_sequence, 30);
    hl_journal_writer_abandon(writer);
    sim_destroy(disk);
}

Test(recover, salvage_goes_on_at_the_next_group_when_a_length_is_gone)
{
    journal_story story = {0};
    sim_disk *const disk = crashed_disk(&story);
    char path[HL_JOURNAL_PATH_SIZE];
    path_of(disk, 1, path);
    const uint64_t offset = offset_of(disk, path, 5);
    uint8_t junk[64];
    memset(junk, 0xee, sizeof junk);
    sim_plant(disk, path, junk, sizeof junk, offset);
    hl_recovery recovery;
    hl_journal_writer *const writer = open_on(disk, HL_DAMAGE_SALVAGE, &recovery, NULL);
    cr_assert_eq(recovery.findings.damages, 1);
    cr_assert_eq(recovery.findings.damaged[0].first_sequence, 5);
    cr_assert_eq(recovery.findings.damaged[0].last_sequence, 10);
    cr_assert_eq(recovery.findings.events, 24);
    hl_journal_writer_abandon(writer);
    sim_destroy(disk);
}

Test(recover, a_missing_segment_is_damage)
{
    sim_disk *const disk = sim_create();
    for (int run = 0; run < 3; run++)
        hl_journal_writer_abandon(open_on(disk, HL_DAMAGE_STRICT, NULL, NULL));
    char path[HL_JOURNAL_PATH_SIZE];
    path_of(disk, 201, path);
    const hl_io *const io = sim_io(disk);
    cr_assert_eq(io->unlink(io->context, path), 0);
    hl_error error;
    cr_assert_null(open_on(disk, HL_DAMAGE_STRICT, NULL, &error));
    cr_assert_eq(error.status, HL_DAMAGED);
    cr_assert_not_null(strstr(error.text, "begins with sequence 201, is missing"), "%s",
                       error.text);
    /* The oldest may be gone: that is what keeping only so much means. */
    path_of(disk, 1, path);
    cr_assert_eq(io->unlink(io->context, path), 0);
    hl_journal_writer_abandon(open_on(disk, HL_DAMAGE_STRICT, NULL, NULL));
    sim_destroy(disk);
}

Test(recover, a_renamed_segment_is_damage)
{
    sim_disk *const disk = sim_create();
    hl_journal_writer_abandon(open_on(disk, HL_DAMAGE_STRICT, NULL, NULL));
    char path[HL_JOURNAL_PATH_SIZE], other[HL_JOURNAL_PATH_SIZE];
    path_of(disk, 1, path);
    cr_assert_eq(hl_segment_path(STORY_DIRECTORY, (hl_segment_name){20000, 77}, other, NULL),
                 HL_OK);
    const hl_io *const io = sim_io(disk);
    cr_assert_eq(io->rename(io->context, path, other), 0);
    hl_error error;
    cr_assert_null(open_on(disk, HL_DAMAGE_STRICT, NULL, &error));
    cr_assert_eq(error.status, HL_DAMAGED);
    sim_destroy(disk);
}

/* What one examination of a journal's only segment says: 0 sound, else something is said of it. */
static bool is_found(sim_disk *disk, const char *path, uint64_t records_end)
{
    hl_segment_walk walk;
    hl_error error;
    if (hl_segment_walk_open(&walk, sim_io(disk), path, &error) != HL_OK)
        return true;
    hl_segment_findings findings;
    const hl_examine_options options = {.is_last = true};
    cr_assert_eq(hl_segment_examine(&walk, &options, &findings, NULL), HL_OK);
    hl_segment_walk_close(&walk);
    return findings.damages > 0 || findings.torn_bytes > 0 || !findings.finished ||
           findings.records_end != records_end;
}

Test(recover, each_flipped_bit_of_a_closed_journal_is_found)
{
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    sim_disk *const disk = sim_create();
    journal_story story = {0};
    hl_journal_writer *const writer = open_on(disk, HL_DAMAGE_STRICT, NULL, NULL);
    append(&story, writer, 1, 3);
    cr_assert_eq(hl_journal_writer_close(writer, NULL), HL_OK);
    char path[HL_JOURNAL_PATH_SIZE];
    path_of(disk, 1, path);
    uint64_t size;
    uint8_t *const bytes = sim_bytes(disk, path, &size);
    hl_footer footer;
    uint64_t footer_offset;
    memcpy(&footer_offset, bytes + size - sizeof(hl_trailer) + offsetof(hl_trailer, footer_offset),
           sizeof footer_offset);
    memcpy(&footer, bytes + footer_offset, sizeof footer);
    cr_assert_not(is_found(disk, path, footer.records_end));
    /* The header block's bits are all tried by test-journal-format. */
    for (uint64_t bit = HL_JOURNAL_HEADER_SIZE * 8; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert(is_found(disk, path, footer.records_end), "byte %" PRIu64 ", bit %" PRIu64,
                  bit / 8, bit % 8);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    sim_destroy(disk);
}

Test(recover, each_flipped_bit_of_a_segment_before_the_last_is_damage)
{
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    journal_story story = {0};
    sim_disk *const disk = sim_create();
    hl_journal_writer *const writer = open_on(disk, HL_DAMAGE_STRICT, NULL, NULL);
    append(&story, writer, 1, 3);
    cr_assert_eq(hl_journal_writer_close(writer, NULL), HL_OK);
    char path[HL_JOURNAL_PATH_SIZE];
    path_of(disk, 1, path);
    uint64_t size;
    uint8_t *const bytes = sim_bytes(disk, path, &size);
    for (uint64_t bit = HL_JOURNAL_HEADER_SIZE * 8; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        hl_segment_walk walk;
        cr_assert_eq(hl_segment_walk_open(&walk, sim_io(disk), path, NULL), HL_OK);
        hl_segment_findings findings;
        const hl_examine_options options = {.is_last = false};
        cr_assert_eq(hl_segment_examine(&walk, &options, &findings, NULL), HL_OK);
        hl_segment_walk_close(&walk);
        cr_assert_gt(findings.damages, 0, "byte %" PRIu64 ", bit %" PRIu64, bit / 8, bit % 8);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    sim_destroy(disk);
}

/* Garbage of every kind is judged without a crash, and never taken for an event. */
Test(recover, random_bytes_behind_a_good_header_are_no_events)
{
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    sim_disk *const disk = sim_create();
    hl_journal_writer_abandon(open_on(disk, HL_DAMAGE_STRICT, NULL, NULL));
    char path[HL_JOURNAL_PATH_SIZE];
    path_of(disk, 1, path);
    srand(11);
    for (int round = 0; round < 300; round++) {
        uint8_t junk[8192];
        for (size_t i = 0; i < sizeof junk; i++)
            junk[i] = (uint8_t)(round % 2 == 0 ? rand() : rand() % 3);
        sim_plant(disk, path, junk, sizeof junk, HL_JOURNAL_HEADER_SIZE);
        for (int last = 0; last < 2; last++) {
            hl_segment_walk walk;
            cr_assert_eq(hl_segment_walk_open(&walk, sim_io(disk), path, NULL), HL_OK);
            hl_segment_findings findings;
            const hl_examine_options options = {.is_last = last == 1};
            cr_assert_eq(hl_segment_examine(&walk, &options, &findings, NULL), HL_OK);
            cr_assert_eq(findings.events, 0);
            cr_assert(findings.damages > 0 || findings.torn_bytes > 0);
            hl_segment_walk_close(&walk);
        }
    }
    sim_destroy(disk);
}
