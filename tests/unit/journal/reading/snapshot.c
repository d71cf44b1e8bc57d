#include "journal/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "written.h"
#include "tests/temporary_directory.h"

static char directory[TEMPORARY_DIRECTORY_SIZE];

static void set_up(void)
{
    temporary_directory_make(NULL, "journal", directory);
}

static void tear_down(void)
{
    temporary_directory_remove(directory);
}

TestSuite(snapshot, .init = set_up, .fini = tear_down);

static hl_status store(uint64_t sequence, uint32_t keep)
{
    char payload[40];
    hl_cursor_position positions[2] = {{.partition = "order", .next_sequence = sequence + 1},
                                       {.partition = "fill.1", .next_sequence = 5}};
    snprintf(payload, sizeof payload, "state at %llu", (unsigned long long)sequence);
    const hl_snapshot snapshot = {.name = "book",
                                  .sequence = sequence,
                                  .time_ns = sequence * 10,
                                  .version = 3,
                                  .positions = positions,
                                  .positions_count = 2,
                                  .payload = payload,
                                  .size = strlen(payload)};
    return hl_snapshot_store(hl_io_posix(), directory, &snapshot, keep, NULL);
}

/* The sequence of the snapshot that is loaded; 0: none. */
static uint64_t load(uint64_t sequence, uint64_t time_ns, uint32_t *ret_passed_over)
{
    hl_snapshot snapshot;
    char payload[40];
    const hl_status status = hl_snapshot_load(hl_io_posix(), directory, "book", sequence, time_ns,
                                              &snapshot, ret_passed_over, NULL);
    if (status != HL_OK) {
        cr_assert_eq(status, HL_NOT_FOUND);
        return 0;
    }
    snprintf(payload, sizeof payload, "state at %llu", (unsigned long long)snapshot.sequence);
    cr_assert_eq(snapshot.size, strlen(payload));
    cr_assert_eq(memcmp(snapshot.payload, payload, snapshot.size), 0);
    cr_assert_eq(snapshot.version, 3);
    cr_assert_eq(snapshot.positions_count, 2);
    cr_assert_str_eq(snapshot.positions[1].partition, "fill.1");
    cr_assert_eq(snapshot.positions[0].next_sequence, snapshot.sequence + 1);
    const uint64_t found = snapshot.sequence;
    hl_snapshot_release(&snapshot);
    return found;
}

Test(snapshot, the_newest_is_loaded_and_the_oldest_go)
{
    cr_assert_eq(load(UINT64_MAX, UINT64_MAX, NULL), 0);
    for (uint64_t sequence = 10; sequence <= 50; sequence += 10)
        cr_assert_eq(store(sequence, 3), HL_OK);
    cr_assert_eq(load(UINT64_MAX, UINT64_MAX, NULL), 50);
    cr_assert_eq(load(45, UINT64_MAX, NULL), 40);
    cr_assert_eq(load(UINT64_MAX, 399, NULL), 30);
    cr_assert_eq(load(29, UINT64_MAX, NULL), 0, "20 is gone");
    cr_assert_eq(store(60, 1), HL_INVALID, "two at least are kept");
}

Test(snapshot, a_damaged_one_falls_back_to_the_one_before)
{
    char path[HL_JOURNAL_PATH_SIZE];
    size_t size;
    store(10, 2);
    store(20, 2);
    snprintf(path, sizeof path, "%.3000s/snapshots.d/book-00000000000000000020.hls", directory);
    uint8_t *const bytes = written_read_file(path, &size);
    for (size_t at = 0; at < size; at++) {
        uint32_t passed_over = 0;
        bytes[at] ^= 0x10;
        written_write_file(path, bytes, size);
        cr_assert_eq(load(UINT64_MAX, UINT64_MAX, &passed_over), 10, "byte %zu", at);
        cr_assert_eq(passed_over, 1);
        bytes[at] ^= 0x10;
    }
    for (size_t end = 0; end < size; end++) {
        written_write_file(path, bytes, end);
        cr_assert_eq(load(UINT64_MAX, UINT64_MAX, NULL), 10, "%zu bytes", end);
    }
    written_write_file(path, bytes, size);
    cr_assert_eq(load(UINT64_MAX, UINT64_MAX, NULL), 20);
    /* A whole one under another's name is not taken for it. */
    char other[HL_JOURNAL_PATH_SIZE];
    snprintf(other, sizeof other, "%.3000s/snapshots.d/book-00000000000000000030.hls", directory);
    cr_assert_eq(rename(path, other), 0);
    cr_assert_eq(load(UINT64_MAX, UINT64_MAX, NULL), 10);
    free(bytes);
}

Test(snapshot, a_half_written_one_is_not_seen)
{
    char path[HL_JOURNAL_PATH_SIZE];
    store(10, 2);
    snprintf(path, sizeof path, "%.3000s/snapshots.d/book-00000000000000000020.hls.tmp", directory);
    written_write_file(path, "half", 4);
    uint32_t passed_over = 7;
    cr_assert_eq(load(UINT64_MAX, UINT64_MAX, &passed_over), 10);
    cr_assert_eq(passed_over, 0);
}

/* Each I/O call fails in turn: the old snapshot is there, or the new one is whole. */
static int calls_left;

static int failing_sync(void *context, hl_io_file file)
{
    return calls_left-- == 0 ? -5 : hl_io_posix()->sync(context, file);
}

static int failing_rename(void *context, const char *from, const char *to)
{
    return calls_left-- == 0 ? -5 : hl_io_posix()->rename(context, from, to);
}

static int64_t failing_pwrite(void *context, hl_io_file file, const void *bytes, size_t size,
                              uint64_t offset)
{
    return calls_left-- == 0 ? -28 : hl_io_posix()->pwrite(context, file, bytes, size, offset);
}

static int failing_sync_directory(void *context, const char *path)
{
    return calls_left-- == 0 ? -5 : hl_io_posix()->sync_directory(context, path);
}

Test(snapshot, a_failing_disk_leaves_the_old_one)
{
    hl_io io = *hl_io_posix();
    io.sync = failing_sync;
    io.rename = failing_rename;
    io.pwrite = failing_pwrite;
    io.sync_directory = failing_sync_directory;
    hl_snapshot snapshot = {.name = "book", .sequence = 20, .payload = (void *)"x", .size = 1};
    int failures = 0;
    store(10, 2);
    for (int n = 0; n < 20; n++) {
        calls_left = n;
        const hl_status status = hl_snapshot_store(&io, directory, &snapshot, 2, NULL);
        if (status == HL_OK)
            break;
        failures++;
        uint32_t passed_over = 0;
        hl_snapshot found;
        cr_assert_eq(hl_snapshot_load(hl_io_posix(), directory, "book", UINT64_MAX, UINT64_MAX,
                                      &found, &passed_over, NULL),
                     HL_OK);
        cr_assert_eq(passed_over, 0, "call %d", n);
        hl_snapshot_release(&found);
    }
    cr_assert_geq(failures, 5, "two directories, a write, a sync, a rename");
}
