#include "journal/verify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "journal/audit.h"
#include "journal/cursor.h"
#include "journal/snapshot.h"
#include "written.h"
#include "tests/temporary_directory.h"

/* Under a sanitizer, which makes it ten times as slow, a bit of each second byte or so. */
#if defined(__SANITIZE_ADDRESS__)
#define BIT_STEP 17
#else
#define BIT_STEP 1
#endif

static char directory[TEMPORARY_DIRECTORY_SIZE];

static void set_up(void)
{
    temporary_directory_make(NULL, "journal", directory);
}

static void tear_down(void)
{
    temporary_directory_remove(directory);
}

TestSuite(verify, .init = set_up, .fini = tear_down);

static void sum(void *context, const hl_verified_partition *partition)
{
    hl_verified_partition *const total = context;
    total->records += partition->records;
    total->segments += partition->segments;
    total->torn_bytes += partition->torn_bytes;
    total->gaps += partition->gaps;
    total->clean = partition->clean;
    total->being_written = partition->being_written;
    if (total->first_sequence == 0)
        total->first_sequence = partition->first_sequence;
    total->last_sequence = partition->last_sequence;
}

static uint64_t verify(hl_verified_partition *ret_total)
{
    const hl_verify_options options = {.directory = directory};
    const hl_verify_visitor visitor = {.context = ret_total, .partition = sum};
    uint64_t damages = 0;
    hl_error error = {0};
    *ret_total = (hl_verified_partition){0};
    cr_assert_eq(hl_journal_verify(hl_io_posix(), &options, &visitor, &damages, &error), HL_OK,
                 "%s", error.text);
    return damages;
}

Test(verify, a_whole_journal_is_sound)
{
    const written_options orders = {.count = 5000, .segment_bytes = 65536, .gap_every = 700};
    const written_options fills = {.domain = "fill", .count = 10, .partition = 1};
    hl_verified_partition total;
    written_journal(directory, &orders);
    written_journal(directory, &fills);
    cr_assert_eq(verify(&total), 0);
    cr_assert_eq(total.records, 5010);
    cr_assert_eq(total.gaps, 7);
    cr_assert_eq(total.torn_bytes, 0);
    cr_assert(total.clean);
}

Test(verify, a_torn_tail_is_told_and_no_damage)
{
    const written_options options = {.count = 500, .segment_bytes = 65536, .abandon = true};
    char path[HL_JOURNAL_PATH_SIZE];
    size_t size;
    hl_verified_partition total;
    written_journal(directory, &options);
    cr_assert(written_segment(directory, "order", 0, path));
    uint8_t *const bytes = written_read_file(path, &size);
    size_t end = size;
    while (end > 0 && bytes[end - 1] == 0)
        end--;
    memset(bytes + end - 20, 0xee, 60); /* half a record, and what was meant to follow */
    written_write_file(path, bytes, size);
    free(bytes);
    cr_assert_eq(verify(&total), 0);
    cr_assert_gt(total.torn_bytes, 0);
    cr_assert_lt(total.records, 500);
    cr_assert_not(total.clean);
}

Test(verify, what_a_writer_that_lives_is_just_writing_is_neither_torn_nor_damage)
{
    const written_options options = {.segment_bytes = 65536};
    char path[HL_JOURNAL_PATH_SIZE];
    hl_verified_partition total;
    hl_tail *tail;
    hl_error error = {0};
    uint64_t next;
    hl_journal_writer *const writer = written_open(directory, &options, NULL, &next);
    cr_assert_eq(hl_tail_create(directory, "order", true, 0, &tail, &error), HL_OK, "%s",
                 error.text);
    written_append(writer, 0, 1, 200);
    cr_assert_eq(hl_journal_writer_commit(writer), HL_OK);
    hl_tail_tell(tail, 200);
    cr_assert_eq(verify(&total), 0);
    cr_assert(total.being_written);
    cr_assert_eq(total.records, 200);

    size_t size;
    cr_assert(written_segment(directory, "order", 0, path));
    uint8_t *const bytes = written_read_file(path, &size);
    size_t end = size;
    while (end > 0 && bytes[end - 1] == 0)
        end--;
    memset(bytes + (end + 7) / 8 * 8, 0xee, 60); /* half a record */
    written_write_file(path, bytes, size);
    free(bytes);
    cr_assert_eq(verify(&total), 0);
    cr_assert_eq(total.torn_bytes, 0);
    hl_tail_tell(tail, 203); /* as if it had written them */
    cr_assert_eq(verify(&total), 1);
    hl_tail_close(tail);
    cr_assert_eq(verify(&total), 0);
    cr_assert_not(total.being_written);
    cr_assert_gt(total.torn_bytes, 0);
    hl_journal_writer_abandon(writer);
}

/* Of two segments, the second the newest. */
static void write_small(char ret_paths[2][HL_JOURNAL_PATH_SIZE])
{
    written_options options = {.count = 12, .segment_bytes = 65536};
    written_journal(directory, &options);
    written_journal(directory, &options);
    cr_assert_eq(written_segments(directory, "order"), 2);
    for (size_t i = 0; i < 2; i++)
        cr_assert(written_segment(directory, "order", i, ret_paths[i]));
}

/* Sound as it was: nothing was noticed. */
static bool is_unnoticed(const hl_verified_partition *whole)
{
    hl_verified_partition total;
    return verify(&total) == 0 && total.torn_bytes == 0 && total.records == whole->records &&
           total.segments == whole->segments && total.clean == whole->clean;
}

Test(verify, every_flipped_bit_is_found, .timeout = 300)
{
    char paths[2][HL_JOURNAL_PATH_SIZE];
    hl_verified_partition whole;
    write_small(paths);
    cr_assert_eq(verify(&whole), 0);
    for (size_t i = 0; i < 2; i++) {
        size_t size;
        uint8_t *const bytes = written_read_file(paths[i], &size);
        FILE *const file = fopen(paths[i], "r+b");
        setvbuf(file, NULL, _IONBF, 0);
        for (size_t bit = 0; bit < 8 * size; bit++) {
            /* The header's zeros are all alike: a few of its bits stand for the rest. */
            if (bit / 8 >= 400 && bit / 8 < HL_JOURNAL_HEADER_SIZE - 8 && bit % 97 != 0)
                continue;
            if (bit % BIT_STEP != 0)
                continue;
            const uint8_t flipped = (uint8_t)(bytes[bit / 8] ^ 1u << bit % 8);
            fseek(file, (long)(bit / 8), SEEK_SET);
            fwrite(&flipped, 1, 1, file);
            cr_assert_not(is_unnoticed(&whole), "segment %zu, bit %zu of byte %zu", i, bit % 8,
                          bit / 8);
            fseek(file, (long)(bit / 8), SEEK_SET);
            fwrite(&bytes[bit / 8], 1, 1, file);
        }
        fclose(file);
        free(bytes);
    }
    cr_assert(is_unnoticed(&whole));
}

/* The CRC is right all the same: a defect wrote it, not a disk. */
static void change_footer(const char *path, void (*change)(hl_footer *footer))
{
    size_t size;
    uint8_t *const bytes = written_read_file(path, &size);
    hl_segment_header header;
    hl_trailer trailer;
    hl_record_word word;
    cr_assert_eq(hl_segment_header_decode(bytes, path, &header, NULL), HL_OK);
    memcpy(&trailer, bytes + size - sizeof trailer, sizeof trailer);
    uint8_t *const footer = bytes + trailer.footer_offset;
    memcpy(&word, footer, sizeof word);
    change((hl_footer *)(void *)footer);
    hl_record_finish(hl_record_seed(header.salt), footer, HL_RECORD_FOOTER, hl_record_length(word));
    written_write_file(path, bytes, size);
    free(bytes);
}

static void end_later(hl_footer *footer)
{
    footer->last_ns += 1;
}

static void begin_later(hl_footer *footer)
{
    footer->first_ns += 1;
}

static void count_one_more(hl_footer *footer)
{
    footer->events++;
}

static void know_another_sequence(hl_footer *footer)
{
    footer->first_sequence++;
}

Test(verify, a_footer_that_does_not_agree_with_its_records_is_found)
{
    static void (*const changes[])(hl_footer *) = {end_later, begin_later, count_one_more,
                                                   know_another_sequence};
    char paths[2][HL_JOURNAL_PATH_SIZE];
    hl_verified_partition total;
    write_small(paths);
    for (size_t i = 0; i < 2; i++) {
        size_t size;
        uint8_t *const bytes = written_read_file(paths[i], &size);
        for (size_t c = 0; c < sizeof changes / sizeof *changes; c++) {
            change_footer(paths[i], changes[c]);
            cr_assert_eq(verify(&total), 1, "segment %zu, change %zu", i, c);
            written_write_file(paths[i], bytes, size);
        }
        free(bytes);
    }
    cr_assert_eq(verify(&total), 0);
}

Test(verify, every_truncation_is_found, .timeout = 300)
{
    char paths[2][HL_JOURNAL_PATH_SIZE];
    hl_verified_partition whole, total;
    write_small(paths);
    cr_assert_eq(verify(&whole), 0);
    for (size_t i = 0; i < 2; i++) {
        size_t size;
        uint8_t *const bytes = written_read_file(paths[i], &size);
        for (size_t end = 0; end < size; end += end < HL_JOURNAL_HEADER_SIZE ? 512 : BIT_STEP) {
            cr_assert_eq(truncate(paths[i], (off_t)end), 0);
            cr_assert_not(is_unnoticed(&whole), "segment %zu, %zu bytes of %zu", i, end, size);
            if (i == 0) { /* not the newest: there is no innocent way to this */
                cr_assert_gt(verify(&total), 0, "%zu bytes of %zu", end, size);
            }
            written_write_file(paths[i], bytes, size);
        }
        free(bytes);
    }
}

Test(verify, a_segment_that_is_gone_renamed_or_doubled_is_found)
{
    const written_options options = {.count = 3000, .segment_bytes = 65536};
    char path[HL_JOURNAL_PATH_SIZE], other[HL_JOURNAL_PATH_SIZE];
    hl_verified_partition total;
    written_journal(directory, &options);
    cr_assert(written_segment(directory, "order", 1, path));
    snprintf(other, sizeof other, "%.4000s/aside", directory);
    cr_assert_eq(rename(path, other), 0);
    cr_assert_gt(verify(&total), 0);
    char later[HL_JOURNAL_PATH_SIZE];
    strcpy(later, path);
    later[strlen(later) - 5]++; /* its first sequence, one more */
    cr_assert_eq(rename(other, later), 0);
    cr_assert_gt(verify(&total), 0);
    cr_assert_eq(rename(later, path), 0);
    cr_assert_eq(verify(&total), 0);
}

static int find_no_blocks(void *context, hl_io_file file, uint64_t offset, uint64_t size)
{
    (void)context, (void)file, (void)offset, (void)size;
    return -ENOSPC;
}

Test(verify, the_newest_segment_is_missing_where_no_crash_explains_it)
{
    const written_options options = {.count = 3000, .segment_bytes = 65536};
    char path[HL_JOURNAL_PATH_SIZE], aside[HL_JOURNAL_PATH_SIZE], spare[HL_JOURNAL_PATH_SIZE];
    hl_verified_partition total;
    hl_recovery recovery;
    written_journal(directory, &options);
    const size_t last = written_segments(directory, "order") - 1;
    cr_assert_gt(last, 0);
    cr_assert(written_segment(directory, "order", last, path));
    snprintf(aside, sizeof aside, "%.4000s/aside", directory);
    cr_assert_eq(rename(path, aside), 0);
    cr_assert_eq(verify(&total), 1);
    /* As a crash leaves it between the seal and the next one's name; and after a repair. */
    snprintf(path, sizeof path, "%.4000s/order", directory);
    snprintf(spare, sizeof spare, "%.4000s/order/" HL_SEGMENT_SPARE, directory);
    hl_error error;
    cr_assert_eq(hl_journal_recover(hl_io_posix(), path, HL_DAMAGE_STRICT, &recovery, &error),
                 HL_DAMAGED);
    cr_assert_not_null(strstr(error.text, "the segment that follows it is missing"), "%s",
                       error.text);
    cr_assert_eq(verify(&total), 1, "nothing was touched");
    cr_assert_eq(hl_journal_recover(hl_io_posix(), path, HL_DAMAGE_SALVAGE, &recovery, &error),
                 HL_OK);
    cr_assert_eq(recovery.findings.damages, 1);
    cr_assert_gt(recovery.next_sequence, 3000, "none is given out twice");
    written_write_file(spare, "", 0);
    cr_assert_eq(verify(&total), 0);
    cr_assert_eq(hl_journal_recover(hl_io_posix(), path, HL_DAMAGE_STRICT, &recovery, NULL), HL_OK);
    cr_assert_eq(verify(&total), 0);
    /* Nor does a full disk make it a missing one. */
    hl_io full = *hl_io_posix();
    hl_journal_writer_options writing = HL_JOURNAL_WRITER_OPTIONS_INIT;
    hl_journal_writer *writer;
    full.preallocate = find_no_blocks;
    writing.io = &full;
    writing.directory = directory;
    writing.domain = "order";
    cr_assert_eq(hl_journal_writer_open(&writing, &writer, NULL, &error), HL_NO_SPACE);
    cr_assert_eq(verify(&total), 0);
    /* Who goes on has no half-made one left. */
    written_journal(directory, &options);
    cr_assert_eq(verify(&total), 0);
    cr_assert_neq(access(spare, F_OK), 0);
}

Test(verify, damaged_cursors_snapshots_and_audit_lines_are_found)
{
    const written_options options = {.count = 10};
    hl_cursor_position position = {.partition = "order", .next_sequence = 3};
    hl_snapshot snapshot = {.name = "book", .sequence = 7, .payload = (void *)"state", .size = 5};
    char path[HL_JOURNAL_PATH_SIZE];
    hl_verified_partition total;
    const hl_io *const io = hl_io_posix();
    written_journal(directory, &options);
    cr_assert_eq(hl_cursor_store(io, directory, "bridge", &position, 1, NULL), HL_OK);
    cr_assert_eq(hl_snapshot_store(io, directory, &snapshot, NULL, 2, NULL), HL_OK);
    cr_assert_eq(hl_audit_add(io, directory, "open", "for a test", NULL), HL_OK);
    cr_assert_eq(hl_audit_add(io, directory, "open", "once more", NULL), HL_OK);
    cr_assert_eq(verify(&total), 0);
    static const char *const files[] = {"cursors.d/bridge",
                                        "snapshots.d/book-00000000000000000007.hls", "audit.log"};
    for (size_t i = 0; i < 3; i++) {
        size_t size;
        snprintf(path, sizeof path, "%.3000s/%s", directory, files[i]);
        uint8_t *const bytes = written_read_file(path, &size);
        for (size_t at = 0; at < size; at++) {
            if (bytes[at] == '\n' && at + 1 == size && i == 2)
                continue; /* then the line is torn, which a crash may leave */
            bytes[at] ^= 4;
            written_write_file(path, bytes, size);
            cr_assert_eq(verify(&total), 1, "%s, byte %zu", files[i], at);
            bytes[at] ^= 4;
        }
        written_write_file(path, bytes, size);
        free(bytes);
    }
    cr_assert_eq(verify(&total), 0);
}

Test(audit, a_line_that_is_taken_out_shows_and_a_torn_one_is_cut)
{
    const hl_io *const io = hl_io_posix();
    char path[HL_JOURNAL_PATH_SIZE], text[100];
    hl_audit_findings findings;
    size_t size;
    temporary_directory_make(NULL, "journal", directory);
    for (int i = 0; i < 3; i++) {
        snprintf(text, sizeof text, "line %d\nof two", i);
        cr_assert_eq(hl_audit_add(io, directory, "test", text, NULL), HL_OK);
    }
    cr_assert_eq(hl_audit_verify(io, directory, &findings, NULL), HL_OK);
    cr_assert_eq(findings.lines, 3);
    cr_assert_eq(findings.bad_lines, 0);
    snprintf(path, sizeof path, "%.3000s/audit.log", directory);
    char *const bytes = (char *)written_read_file(path, &size);
    const size_t first = (size_t)(strchr(bytes, '\n') - bytes) + 1;
    written_write_file(path, bytes + first, size - first);
    cr_assert_eq(hl_audit_verify(io, directory, &findings, NULL), HL_OK);
    cr_assert_eq(findings.bad_lines, 1);
    cr_assert_eq(findings.first_bad_line, 1);
    written_write_file(path, bytes, size - 5);
    cr_assert_eq(hl_audit_verify(io, directory, &findings, NULL), HL_OK);
    cr_assert(findings.torn);
    cr_assert_eq(findings.bad_lines, 0);
    cr_assert_eq(hl_audit_add(io, directory, "test", "after", NULL), HL_OK);
    cr_assert_eq(hl_audit_verify(io, directory, &findings, NULL), HL_OK);
    cr_assert_eq(findings.lines, 3);
    cr_assert_eq(findings.bad_lines, 0);
    cr_assert_not(findings.torn);
    free(bytes);
    temporary_directory_remove(directory);
}
