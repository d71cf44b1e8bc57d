#include "journal/retention.h"

#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "journal/audit.h"
#include "journal/snapshot.h"
#include "written.h"
#include "tests/temporary_directory.h"

#define DAY_NS (UINT64_C(86400) * 1000000000)

static char directory[TEMPORARY_DIRECTORY_SIZE];

static void set_up(void)
{
    temporary_directory_make(NULL, "journal", directory);
}

static void tear_down(void)
{
    temporary_directory_remove(directory);
}

TestSuite(retention, .init = set_up, .fini = tear_down);

typedef struct told_steps {
    uint64_t removed, removed_needed, held, packed, not_packed;
    char detail[300];
} told_steps;

static void see(void *context, const hl_retention_step *step)
{
    told_steps *const this = context;
    this->removed += step->action == HL_RETENTION_REMOVED;
    this->removed_needed += step->action == HL_RETENTION_REMOVED_NEEDED;
    this->held += step->action == HL_RETENTION_HELD;
    this->packed += step->action == HL_RETENTION_PACKED;
    this->not_packed += step->action == HL_RETENTION_NOT_PACKED;
    snprintf(this->detail, sizeof this->detail, "%.290s", step->detail);
}

static hl_retention_result apply(hl_retention_options options, told_steps *ret_seen)
{
    hl_retention_result result = {0};
    hl_error error = {0};
    *ret_seen = (told_steps){0};
    options.directory = directory;
    options.context = ret_seen;
    options.told = see;
    cr_assert_eq(hl_retention_apply(hl_io_posix(), &options, &result, &error), HL_OK, "%s",
                 error.text);
    return result;
}

/* Reads on from `first`; gives the last sequence. */
static uint64_t read_from(hl_journal_reader *reader, uint64_t first)
{
    hl_journal_entry entry;
    hl_error error = {0};
    hl_status status;
    while ((status = hl_journal_reader_next(reader, &entry, &error)) == HL_OK) {
        cr_assert_eq(entry.first_sequence, first);
        if (entry.kind == HL_JOURNAL_EVENT)
            cr_assert(written_is_right(&entry));
        first = entry.last_sequence + 1;
    }
    cr_assert_eq(status, HL_NOT_FOUND, "%s", error.text);
    return first - 1;
}

static hl_journal_reader *open_reader(void)
{
    hl_journal_reader_options options = HL_JOURNAL_READER_OPTIONS_INIT;
    hl_journal_reader *reader = NULL;
    options.directory = directory;
    cr_assert_eq(hl_journal_reader_open(&options, &reader, NULL), HL_OK);
    return reader;
}

static uint64_t now_ns(void)
{
    const hl_io *const io = hl_io_posix();
    return io->now(io->context);
}

Test(retention, what_is_old_goes_but_never_the_newest)
{
    const written_options options = {.count = 5000, .segment_bytes = 65536};
    told_steps seen;
    written_journal(directory, &options);
    const size_t segments = written_segments(directory, "order");
    apply((hl_retention_options){.keep_ns = DAY_NS}, &seen);
    cr_assert_eq(seen.removed, 0, "nothing is a day old");
    apply(
        (hl_retention_options){.keep_ns = DAY_NS, .now_ns = now_ns() + 2 * DAY_NS, .dry_run = true},
        &seen);
    cr_assert_eq(seen.removed, segments - 1);
    cr_assert_eq(written_segments(directory, "order"), segments, "a dry run changes nothing");
    apply((hl_retention_options){.keep_ns = DAY_NS, .now_ns = now_ns() + 2 * DAY_NS}, &seen);
    cr_assert_eq(seen.removed, segments - 1);
    cr_assert_eq(written_segments(directory, "order"), 1);
    hl_audit_findings audit;
    cr_assert_eq(hl_audit_verify(hl_io_posix(), directory, &audit, NULL), HL_OK);
    cr_assert_eq(audit.lines, segments - 1, "each removal has its line");
    cr_assert_eq(audit.bad_lines, 0);
}

Test(retention, a_live_reader_is_told_what_went)
{
    const written_options options = {.count = 5000, .segment_bytes = 65536};
    told_steps seen;
    hl_journal_entry entry;
    written_journal(directory, &options);
    hl_journal_reader *const reader = open_reader();
    for (int i = 0; i < 10; i++)
        cr_assert_eq(hl_journal_reader_next(reader, &entry, NULL), HL_OK);
    apply((hl_retention_options){.keep_ns = DAY_NS, .now_ns = now_ns() + 2 * DAY_NS}, &seen);
    cr_assert_gt(seen.removed, 0);
    cr_assert_eq(read_from(reader, 11), 5000);
    hl_journal_reader_close(reader);
}

Test(retention, the_oldest_go_until_it_is_small_enough)
{
    const written_options orders = {.count = 5000, .segment_bytes = 65536};
    const written_options fills = {
        .domain = "fill", .count = 5000, .partition = 1, .segment_bytes = 65536};
    told_steps seen;
    written_journal(directory, &orders);
    written_journal(directory, &fills);
    const hl_retention_result result = apply((hl_retention_options){.keep_bytes = 700000}, &seen);
    cr_assert_gt(result.bytes_before, 700000);
    cr_assert_leq(result.bytes_after, 700000);
    cr_assert_gt(result.bytes_after, 700000 - 2 * 65536, "no more than it must");
    cr_assert_lt(written_segments(directory, "order"), written_segments(directory, "fill"),
                 "what was written first goes first");
}

Test(retention, what_a_cursor_needs_stays_unless_forced)
{
    const written_options options = {.count = 5000, .segment_bytes = 65536};
    const hl_retention_options due = {.keep_ns = DAY_NS, .now_ns = now_ns() + 2 * DAY_NS};
    told_steps seen;
    hl_journal_entry entry;
    written_journal(directory, &options);
    hl_journal_reader *const reader = open_reader();
    for (int i = 0; i < 2000; i++)
        cr_assert_eq(hl_journal_reader_next(reader, &entry, NULL), HL_OK);
    cr_assert_eq(hl_journal_reader_store_cursor(reader, "bridge", NULL), HL_OK);
    hl_journal_reader_close(reader);
    apply(due, &seen);
    cr_assert_gt(seen.removed, 0);
    cr_assert_eq(seen.held, 1);
    cr_assert_str_eq(seen.detail, "cursor bridge");
    hl_journal_reader_options again = HL_JOURNAL_READER_OPTIONS_INIT;
    hl_journal_reader *bridge = NULL;
    again.directory = directory;
    again.cursor = "bridge";
    cr_assert_eq(hl_journal_reader_open(&again, &bridge, NULL), HL_OK);
    cr_assert_eq(read_from(bridge, 2001), 5000, "nothing that it needs is gone");
    hl_journal_reader_close(bridge);
    hl_retention_options forced = due;
    forced.force = true;
    apply(forced, &seen);
    cr_assert_gt(seen.removed_needed, 0);
    cr_assert_eq(written_segments(directory, "order"), 1);
}

Test(retention, what_the_oldest_snapshot_needs_stays)
{
    const written_options options = {.count = 5000, .segment_bytes = 65536};
    told_steps seen;
    written_journal(directory, &options);
    for (uint64_t sequence = 1000; sequence <= 4000; sequence += 1000) {
        hl_cursor_position position = {.partition = "order", .next_sequence = sequence + 1};
        const hl_snapshot snapshot = {
            .name = "book", .sequence = sequence, .positions = &position, .positions_count = 1};
        cr_assert_eq(hl_snapshot_store(hl_io_posix(), directory, &snapshot, NULL, 2, NULL), HL_OK);
    }
    apply((hl_retention_options){.keep_bytes = 1}, &seen);
    cr_assert_eq(seen.held, 1);
    cr_assert_str_eq(seen.detail, "snapshot book");
    hl_journal_reader_options reading = HL_JOURNAL_READER_OPTIONS_INIT;
    hl_journal_reader *reader = NULL;
    reading.directory = directory;
    reading.filter.from_sequence = 3001; /* the older of the two that are kept */
    cr_assert_eq(hl_journal_reader_open(&reading, &reader, NULL), HL_OK);
    cr_assert_eq(read_from(reader, 3001), 5000);
    hl_journal_reader_close(reader);
}

Test(retention, a_damaged_cursor_stops_removals)
{
    const written_options options = {.count = 5000, .segment_bytes = 65536};
    char path[HL_JOURNAL_PATH_SIZE];
    hl_retention_result result;
    hl_error error = {0};
    written_journal(directory, &options);
    hl_journal_reader *const reader = open_reader();
    cr_assert_eq(hl_journal_reader_store_cursor(reader, "bridge", NULL), HL_OK);
    hl_journal_reader_close(reader);
    snprintf(path, sizeof path, "%.4000s/cursors.d/bridge", directory);
    written_write_file(path, "not a cursor", 12);
    const hl_retention_options due = {.directory = directory, .keep_bytes = 1};
    cr_assert_eq(hl_retention_apply(hl_io_posix(), &due, &result, &error), HL_DAMAGED);
    cr_assert_eq(result.removed, 0);
}

Test(retention, sealed_segments_are_packed_once_and_read_on)
{
    const written_options options = {.count = 5000, .segment_bytes = 65536};
    told_steps seen;
    written_journal(directory, &options);
    hl_journal_reader *const reader = open_reader();
    hl_journal_entry entry;
    cr_assert_eq(hl_journal_reader_next(reader, &entry, NULL), HL_OK);
    hl_retention_result result = {0};
    hl_error error = {0};
    const hl_retention_options packing = {.directory = directory, .pack = true, .compress = true};
    if (hl_retention_apply(hl_io_posix(), &packing, &result, &error) == HL_UNSUPPORTED)
        cr_skip_test("built without zstd");
    cr_assert_eq(result.packed, written_segments(directory, "order") - 1);
    cr_assert_lt(result.bytes_after, result.bytes_before);
    cr_assert_eq(read_from(reader, 2), 5000, "a reader inside does not notice");
    hl_journal_reader_close(reader);
    apply((hl_retention_options){.pack = true, .compress = true}, &seen);
    cr_assert_eq(seen.packed + seen.not_packed, 0, "once is enough");
    /* The writer goes on from it. */
    cr_assert_eq(written_journal(directory, &options), 10000);
    hl_journal_reader *const all = open_reader();
    cr_assert_eq(read_from(all, 1), 10000);
    hl_journal_reader_close(all);
}

/* Two at once could write into each other's half-packed file. What is too old goes meanwhile. */
Test(retention, one_packs_at_a_time)
{
    const written_options options = {.count = 5000, .segment_bytes = 65536};
    char path[HL_JOURNAL_PATH_SIZE];
    hl_retention_result result = {0};
    hl_error error = {0};
    hl_io_owner owner;
    written_journal(directory, &options);
    snprintf(path, sizeof path, "%.4000s/pack.lock", directory);
    const int lock = hl_io_posix()->lock(NULL, path, &owner);
    cr_assert_geq(lock, 0);
    const hl_retention_options packing = {.directory = directory,
                                          .pack = true,
                                          .compress = true,
                                          .pack_wait_ns = 30000000,
                                          .keep_bytes = 200000};
    cr_assert_eq(hl_retention_apply(hl_io_posix(), &packing, &result, &error), HL_LOCKED);
    cr_assert_not_null(strstr(error.text, "packs this journal"), "%s", error.text);
    cr_assert_eq(result.packing, HL_LOCKED);
    cr_assert(result.another_packs);
    cr_assert_eq(result.packed, 0);
    cr_assert_gt(result.removed, 0);
    hl_io_posix()->unlock(NULL, lock);
}

typedef struct patience {
    told_steps seen;
    uint32_t questions; /* that are answered with yes */
} patience;

static bool while_patient(void *context)
{
    patience *const this = context;
    return this->questions > 0 && this->questions-- > 0;
}

Test(retention, it_ends_between_two_frames_where_it_is_told_to)
{
    const written_options options = {.count = 20000, .segment_bytes = 1 << 20};
    char half_packed[HL_JOURNAL_PATH_SIZE];
    glob_t files;
    hl_error error = {0};
    written_journal(directory, &options);
    snprintf(half_packed, sizeof half_packed, "%.4000s/order/*" HL_PACK_TEMPORARY, directory);
    uint64_t packed = 0, sealed = written_segments(directory, "order") - 1;
    for (uint32_t questions = 0; packed < sealed; questions++) {
        patience until = {.questions = questions};
        hl_retention_result result;
        const hl_retention_options packing = {.directory = directory,
                                              .pack = true,
                                              .compress = true,
                                              .context = &until,
                                              .goes_on = while_patient};
        const hl_status status = hl_retention_apply(hl_io_posix(), &packing, &result, &error);
        if (status == HL_UNSUPPORTED)
            cr_skip_test("built without zstd");
        cr_assert_eq(status, HL_OK, "%s", error.text);
        packed += result.packed;
        cr_assert_lt(questions, 1000);
        cr_assert_eq(glob(half_packed, 0, NULL, &files), GLOB_NOMATCH);
    }
    hl_journal_reader *const all = open_reader();
    cr_assert_eq(read_from(all, 1), 20000);
    hl_journal_reader_close(all);
}

static bool one_more(void *context)
{
    const told_steps *const this = context;
    return this->removed == 0;
}

Test(retention, it_ends_behind_the_file_where_it_is_told_to)
{
    const written_options options = {.count = 5000, .segment_bytes = 65536};
    told_steps seen;
    written_journal(directory, &options);
    const size_t before = written_segments(directory, "order");
    const hl_retention_result by_size =
        apply((hl_retention_options){.keep_bytes = 1, .goes_on = one_more}, &seen);
    cr_assert_eq(by_size.removed, 1);
    const hl_retention_result by_age = apply((hl_retention_options){.keep_ns = DAY_NS,
                                                                    .now_ns = now_ns() + 2 * DAY_NS,
                                                                    .goes_on = one_more},
                                             &seen);
    cr_assert_eq(by_age.removed, 1);
    cr_assert_eq(written_segments(directory, "order"), before - 2);
}

Test(retention, a_state_without_a_snapshot_needs_all)
{
    const written_options options = {.count = 5000, .segment_bytes = 65536};
    const hl_retention_state state = {.snapshot = "book", .partition = "order"};
    const hl_retention_options due = {.keep_bytes = 1, .states = &state, .state_count = 1};
    told_steps seen;
    written_journal(directory, &options);
    apply(due, &seen);
    cr_assert_eq(seen.removed, 0);
    cr_assert_str_eq(seen.detail, "aggregate book");
    hl_cursor_position position = {.partition = "order", .next_sequence = 3001};
    const hl_snapshot snapshot = {
        .name = "book", .sequence = 3000, .positions = &position, .positions_count = 1};
    cr_assert_eq(hl_snapshot_store(hl_io_posix(), directory, &snapshot, NULL, 2, NULL), HL_OK);
    apply(due, &seen);
    cr_assert_gt(seen.removed, 0);
    cr_assert_str_eq(seen.detail, "snapshot book");
}
