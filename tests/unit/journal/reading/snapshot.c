#include "journal/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "written.h"
#include "tests/temporary_directory.h"

static char directory[TEMPORARY_DIRECTORY_SIZE];
static hl_journal_keys *keys; /* that are written and read with; NULL: none */

static void set_up(void)
{
    temporary_directory_make(NULL, "journal", directory);
    keys = NULL;
}

static void tear_down(void)
{
    hl_journal_keys_free(keys);
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
    return hl_snapshot_store(hl_io_posix(), directory, &snapshot, keys, keep, NULL);
}

/* The sequence of the snapshot that is loaded; 0: none. */
static uint64_t load(uint64_t sequence, uint64_t time_ns, uint32_t *ret_passed_over)
{
    hl_snapshot snapshot;
    char payload[40];
    const hl_status status = hl_snapshot_load(hl_io_posix(), directory, "book", keys, sequence,
                                              time_ns, &snapshot, ret_passed_over, NULL);
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

/* Any byte changed, any end cut. */
static void damage_the_newest(void)
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

Test(snapshot, a_damaged_one_falls_back_to_the_one_before)
{
    damage_the_newest();
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

static void fail_each_call(void)
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
        const hl_status status = hl_snapshot_store(&io, directory, &snapshot, keys, 2, NULL);
        if (status == HL_OK)
            break;
        failures++;
        uint32_t passed_over = 0;
        hl_snapshot found;
        cr_assert_eq(hl_snapshot_load(hl_io_posix(), directory, "book", keys, UINT64_MAX,
                                      UINT64_MAX, &found, &passed_over, NULL),
                     HL_OK);
        cr_assert_eq(passed_over, 0, "call %d", n);
        hl_snapshot_release(&found);
    }
    cr_assert_geq(failures, 5, "two directories, a write, a sync, a rename");
}

Test(snapshot, a_failing_disk_leaves_the_old_one)
{
    fail_each_call();
}

/* ---- encrypted ---- */

#define KEY_A "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_B "f00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

/* From now on they are written with the first of these, and read with all. */
static void use_keys(const char *lines)
{
    char path[HL_JOURNAL_PATH_SIZE];
    hl_error error = {0};
    hl_journal_keys_free(keys);
    keys = NULL;
    if (lines == NULL)
        return;
    snprintf(path, sizeof path, "%.3000s/keys", directory);
    written_write_file(path, lines, strlen(lines));
    const hl_status status = hl_journal_keys_load(path, &keys, &error);
    if (status == HL_UNSUPPORTED)
        cr_skip_test("built without libsodium");
    cr_assert_eq(status, HL_OK, "%s", error.text);
}

static void assert_refused(const char *sentence)
{
    hl_snapshot snapshot;
    hl_error error = {0};
    uint32_t passed_over = 7;
    cr_assert_eq(hl_snapshot_load(hl_io_posix(), directory, "book", keys, UINT64_MAX, UINT64_MAX,
                                  &snapshot, &passed_over, &error),
                 HL_NOT_ALLOWED);
    cr_assert_eq(passed_over, 0, "it is not damaged");
    cr_assert_not_null(strstr(error.text, sentence), "%s", error.text);
    cr_assert_not_null(strstr(error.text, "book-0"), "it names the file: %s", error.text);
}

Test(snapshot, an_encrypted_one_is_damaged_by_any_change_too)
{
    use_keys(KEY_A);
    damage_the_newest();
}

Test(snapshot, an_encrypted_one_leaves_the_old_one_on_a_failing_disk_too)
{
    use_keys(KEY_A);
    fail_each_call();
}

Test(snapshot, without_its_key_it_is_refused_and_no_older_one_is_taken)
{
    store(10, 4); /* plain, as one without a key has left it */
    use_keys(KEY_A);
    store(20, 4);
    cr_assert_eq(load(UINT64_MAX, UINT64_MAX, NULL), 20);
    cr_assert_eq(load(19, UINT64_MAX, NULL), 10, "what is plain stays readable");
    use_keys(NULL);
    assert_refused("no key was given");
    cr_assert_eq(load(19, UINT64_MAX, NULL), 10);
    use_keys(KEY_B);
    assert_refused("none of the keys");
}

Test(snapshot, new_ones_take_the_new_key_and_old_ones_are_read_with_theirs)
{
    use_keys(KEY_A);
    store(10, 4);
    use_keys(KEY_B "\n" KEY_A);
    store(20, 4);
    cr_assert_eq(load(UINT64_MAX, UINT64_MAX, NULL), 20);
    cr_assert_eq(load(10, UINT64_MAX, NULL), 10);
    use_keys(KEY_B);
    cr_assert_eq(load(UINT64_MAX, UINT64_MAX, NULL), 20);
    use_keys(KEY_A);
    assert_refused("none of the keys");
}

/* Several frames of a payload, the last of them whole or not; and none at all. */
Test(snapshot, of_any_size_comes_back_and_shows_nothing)
{
    static const size_t sizes[] = {0,
                                   1,
                                   HL_SNAPSHOT_FRAME_SIZE - 1,
                                   HL_SNAPSHOT_FRAME_SIZE,
                                   HL_SNAPSHOT_FRAME_SIZE + 1,
                                   3 * HL_SNAPSHOT_FRAME_SIZE};
    for (int encrypted = 0; encrypted < 2; encrypted++) {
        use_keys(encrypted ? KEY_A : NULL);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            const uint64_t sequence = i + 1 + (encrypted ? 100 : 0);
            char path[HL_JOURNAL_PATH_SIZE];
            size_t file_size;
            uint8_t *const payload = malloc(sizes[i] + 1);
            for (size_t at = 0; at < sizes[i]; at++)
                payload[at] = (uint8_t) "secret position "[at % 16];
            hl_snapshot found,
                written = {
                    .name = "book", .sequence = sequence, .payload = payload, .size = sizes[i]};
            cr_assert_eq(hl_snapshot_store(hl_io_posix(), directory, &written, keys, 2, NULL),
                         HL_OK);
            cr_assert_eq(hl_snapshot_load(hl_io_posix(), directory, "book", keys, sequence,
                                          UINT64_MAX, &found, NULL, NULL),
                         HL_OK);
            cr_assert_eq(found.size, sizes[i]);
            cr_assert_eq(memcmp(found.payload, payload, sizes[i]), 0);
            cr_assert_eq(found.key_id != 0, encrypted != 0);
            hl_snapshot_release(&found);
            snprintf(path, sizeof path, "%.3000s/snapshots.d/book-%020llu.hls", directory,
                     (unsigned long long)sequence);
            uint8_t *const bytes = written_read_file(path, &file_size);
            cr_assert_eq(memmem(bytes, file_size, "secret position ", 16) != NULL,
                         !encrypted && sizes[i] >= 16, "%zu", i);
            free(bytes);
            free(payload);
        }
    }
}

static void put_crc(uint8_t *bytes, size_t at, size_t from, size_t size)
{
    const uint32_t crc = hl_crc32c(0, bytes + from, size);
    memcpy(bytes + at, &crc, sizeof crc);
}

/* Makes the head's CRCs right. */
static void mend(uint8_t *bytes, size_t size)
{
    put_crc(bytes, 116, 128, size - 128);
    put_crc(bytes, 124, 0, 124);
}

/* Two files of the same snapshot differ in nonce: what was locked for one does not pass in the
 * other, though all CRCs are made right. */
Test(snapshot, a_frame_or_head_of_another_file_does_not_pass)
{
    char path[HL_JOURNAL_PATH_SIZE];
    size_t size, again_size;
    use_keys(KEY_A);
    store(10, 2);
    snprintf(path, sizeof path, "%.3000s/snapshots.d/book-00000000000000000010.hls", directory);
    uint8_t *const before = written_read_file(path, &size);
    store(10, 2);
    uint8_t *const after = written_read_file(path, &again_size);
    cr_assert_eq(size, again_size);
    for (size_t from = 128; from < size; from += 64) {
        uint8_t *const mixed = malloc(size);
        memcpy(mixed, after, size);
        memcpy(mixed + from, before + from, size - from);
        mend(mixed, size);
        written_write_file(path, mixed, size);
        uint32_t passed_over = 0;
        /* From byte 128 on it is the other file, whole. */
        cr_assert_eq(load(UINT64_MAX, UINT64_MAX, &passed_over), from == 128 ? 10 : 0, "%zu", from);
        free(mixed);
    }
    free(before), free(after);
}

/* What stands before the payload is not encrypted, and yet nobody without the key can change it:
 * not even who can compute a CRC. */
Test(snapshot, nothing_before_the_payload_can_be_forged)
{
    char path[HL_JOURNAL_PATH_SIZE];
    size_t size;
    use_keys(KEY_A);
    store(10, 2);
    snprintf(path, sizeof path, "%.3000s/snapshots.d/book-00000000000000000010.hls", directory);
    uint8_t *const bytes = written_read_file(path, &size);
    for (size_t at = 0; at < 128 + 64 + 2 * sizeof(hl_cursor_position); at++) {
        hl_snapshot snapshot;
        bytes[at] ^= 1;
        put_crc(bytes, 188, 128, 60);
        mend(bytes, size);
        written_write_file(path, bytes, size);
        const bool is_crc =
            (at >= 116 && at < 120) || (at >= 124 && at < 128) || (at >= 188 && at < 192);
        const hl_status status = hl_snapshot_file_read(hl_io_posix(), path, keys, &snapshot, NULL);
        cr_assert_eq(status == HL_OK, is_crc, "byte %zu: %s", at, hl_status_name(status));
        if (status == HL_OK)
            hl_snapshot_release(&snapshot);
        bytes[at] ^= 1;
    }
    free(bytes);
}

Test(snapshot, of_a_newer_format_is_refused_and_not_taken_for_damage)
{
    char path[HL_JOURNAL_PATH_SIZE];
    size_t size;
    hl_snapshot snapshot;
    hl_error error = {0};
    store(10, 2);
    store(20, 2);
    snprintf(path, sizeof path, "%.3000s/snapshots.d/book-00000000000000000020.hls", directory);
    uint8_t *const bytes = written_read_file(path, &size);
    bytes[8] = 3;
    mend(bytes, size);
    written_write_file(path, bytes, size);
    cr_assert_eq(hl_snapshot_load(hl_io_posix(), directory, "book", NULL, UINT64_MAX, UINT64_MAX,
                                  &snapshot, NULL, &error),
                 HL_UNSUPPORTED);
    cr_assert_not_null(strstr(error.text, "format 3"), "%s", error.text);
    free(bytes);
}

/* ---- looked at ---- */

typedef struct seen {
    uint32_t whole, damaged;
    uint64_t key_id;
} seen;

static hl_status see(void *context, const char *path, const hl_snapshot *snapshot)
{
    seen *const all = context;
    (void)path;
    all->whole += snapshot != NULL;
    all->damaged += snapshot == NULL;
    if (snapshot != NULL) {
        cr_assert_null(snapshot->payload);
        cr_assert_eq(snapshot->positions[0].next_sequence, snapshot->sequence + 1);
        all->key_id = snapshot->key_id;
    }
    return HL_OK;
}

static seen look_at_all(void)
{
    seen all = {0};
    cr_assert_eq(hl_snapshot_each(hl_io_posix(), directory, keys, see, &all, NULL), HL_OK);
    return all;
}

Test(snapshot, what_retention_needs_is_read_without_the_key)
{
    char path[HL_JOURNAL_PATH_SIZE];
    size_t size;
    use_keys(KEY_A);
    store(10, 2);
    use_keys(NULL);
    const seen without = look_at_all();
    cr_assert_eq(without.whole, 1);
    cr_assert_neq(without.key_id, 0);
    snprintf(path, sizeof path, "%.3000s/snapshots.d/book-00000000000000000010.hls", directory);
    uint8_t *const bytes = written_read_file(path, &size);
    bytes[size - 1] ^= 1;
    written_write_file(path, bytes, size);
    cr_assert_eq(look_at_all().damaged, 1, "its CRC tells");
    mend(bytes, size);
    written_write_file(path, bytes, size);
    cr_assert_eq(look_at_all().whole, 1, "somebody has made the CRCs right");
    use_keys(KEY_A);
    cr_assert_eq(look_at_all().damaged, 1, "the key tells");
    free(bytes);
}
