/* What a disk can do to the file: tear its end, flip its bits, fill up, refuse to sync. */
#include "fault/dlq_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "letters.h"

TestSuite(dlq_file, .init = letters_set_up, .fini = letters_tear_down);

#define LETTERS 4u
#define PAYLOAD 40u

/* A closed file of a few letters. */
typedef struct sample {
    const char *path;
    unsigned char *bytes;
    size_t size;
} sample;

static void sample_make(sample *made)
{
    made->path = letters_file();
    hl_dlq *const dlq = letters_open(made->path);
    hl_dead_letters *const letters = letters_ring(dlq, 64);
    for (uint64_t i = 1; i <= LETTERS; i++)
        letters_add(letters, i, PAYLOAD);
    hl_dead_letters_destroy(letters);
    letters_close(dlq);
    made->bytes = letters_read_file(made->path, &made->size);
}

static void sample_free(sample *made)
{
    free(made->bytes);
}

static hl_status open_as(const char *path, bool read_only, bool salvage, hl_dlq **ret_dlq,
                         hl_error *error)
{
    hl_dlq_options options = HL_DLQ_OPTIONS_INIT;
    options.path = path;
    options.read_only = read_only;
    options.salvage = salvage;
    return hl_dlq_open(&options, ret_dlq, error);
}

static bool letter_is_whole(const hl_dead_letter *letter, void *context)
{
    ++*(uint64_t *)context;
    cr_assert(letters_event_is(letter->event, letter->id, PAYLOAD), "letter %d is damaged",
              (int)letter->id);
    cr_assert_str_eq(letter->error_text, "limit exceeded");
    return true;
}

/* Letters in it; each must be whole. */
static uint64_t whole_letters(hl_dlq *dlq)
{
    uint64_t count = 0;
    cr_assert_eq(hl_dlq_list(dlq, NULL, letter_is_whole, &count, NULL), HL_OK);
    return count;
}

/* Every bit that can be flipped is noticed. All of the file but the record that says so was synced
 * before it, so that damage is never taken for a torn end. */
Test(dlq_file, every_flipped_bit_is_found)
{
    sample made;
    sample_make(&made);
    const size_t last = sizeof(hl_dlq_head) + sizeof(hl_dlq_synced);
    for (size_t bit = 0; bit < made.size * 8; bit++) {
        made.bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        letters_write_file(made.path, made.bytes, made.size);
        hl_dlq *dlq = NULL;
        hl_error error = {HL_OK, ""};
        const hl_status status = open_as(made.path, true, false, &dlq, &error);
        if (bit / 8 < made.size - last) {
            cr_assert(status == HL_DAMAGED || status == HL_BAD_INPUT, "bit %zu: %s", bit,
                      hl_status_name(status));
            cr_assert_not_null(strstr(error.text, "a.dlq: offset "), "%s", error.text);
        } else {
            hl_dlq_stats stats;
            cr_assert_eq(status, HL_OK, "bit %zu: %s", bit, error.text);
            hl_dlq_stats_get(dlq, &stats);
            cr_assert_eq(stats.cut_bytes, last);
            cr_assert_eq(whole_letters(dlq), LETTERS);
            letters_close(dlq);
        }
        made.bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    sample_free(&made);
}

/* Whatever the length, what is there of whole letters is read, the rest is cut, and the file can be
 * gone on with. */
Test(dlq_file, cut_anywhere_it_opens_with_what_is_whole)
{
    sample made;
    sample_make(&made);
    uint64_t before = 0;
    for (size_t size = 0; size <= made.size; size++) {
        letters_write_file(made.path, made.bytes, size);
        hl_dlq *dlq = NULL;
        hl_error error = {HL_OK, ""};
        hl_dlq_stats stats;
        cr_assert_eq(open_as(made.path, false, false, &dlq, &error), HL_OK, "%zu: %s", size,
                     error.text);
        hl_dlq_stats_get(dlq, &stats);
        cr_assert_eq(stats.cut_at + stats.cut_bytes, stats.cut_bytes == 0 ? 0 : size);
        const uint64_t count = whole_letters(dlq);
        cr_assert(count == before || count == before + 1, "%zu bytes: %d letters", size,
                  (int)count);
        before = count;
        hl_dead_letters *const letters = letters_ring(dlq, 64);
        letters_add(letters, count + 1, PAYLOAD);
        hl_dead_letters_destroy(letters);
        letters_close(dlq);
        cr_assert_eq(open_as(made.path, true, false, &dlq, &error), HL_OK, "%s", error.text);
        hl_dlq_stats_get(dlq, &stats);
        cr_assert_eq(stats.cut_bytes, 0);
        cr_assert_eq(whole_letters(dlq), count + 1);
        letters_close(dlq);
    }
    cr_assert_eq(before, LETTERS);
    sample_free(&made);
}

/* Pages of one unsynced write may reach the disk in any order: a hole with whole records behind it
 * is a torn end too. */
Test(dlq_file, a_hole_in_what_was_never_synced_is_a_torn_end)
{
    sample made;
    sample_make(&made);
    hl_dlq *dlq = letters_open(made.path);
    hl_dead_letters *const letters = letters_ring(dlq, 64);
    letters_add(letters, 5, PAYLOAD);
    letters_add(letters, 6, PAYLOAD);
    size_t size;
    unsigned char *const bytes = letters_read_file(made.path, &size); /* neither is synced */
    hl_dead_letters_destroy(letters);
    letters_close(dlq);
    bytes[made.size + 100] ^= 1;
    letters_write_file(made.path, bytes, size);
    hl_error error;
    cr_assert_eq(open_as(made.path, false, false, &dlq, &error), HL_OK, "%s", error.text);
    hl_dlq_stats stats;
    hl_dlq_stats_get(dlq, &stats);
    cr_assert_eq(stats.cut_at, made.size);
    cr_assert_eq(stats.cut_bytes, size - made.size);
    cr_assert_eq(whole_letters(dlq), LETTERS);
    /* A letter of the damaged one's size in its place: the one behind it must not come back. */
    hl_dead_letters *const more = letters_ring(dlq, 64);
    letters_add(more, 5, PAYLOAD);
    free(bytes);
    unsigned char *const now = letters_read_file(made.path, &size);
    hl_dead_letters_destroy(more);
    letters_close(dlq);
    letters_write_file(made.path, now, size);
    dlq = letters_open(made.path);
    cr_assert_eq(whole_letters(dlq), LETTERS + 1);
    letters_close(dlq);
    free(now);
    sample_free(&made);
}

/* The letters' records, in order; bytes of each. */
static size_t find_letters(const sample *made, size_t ret_offsets[LETTERS])
{
    size_t offset = sizeof(hl_dlq_header), found = 0, size = 0;
    while (offset < made->size) {
        const hl_dlq_head *const head = (const void *)(made->bytes + offset);
        if (head->kind == HL_DLQ_LETTER) {
            cr_assert_lt(found, LETTERS);
            ret_offsets[found++] = offset;
            size = sizeof *head + head->body_size;
        }
        offset += sizeof *head + head->body_size;
    }
    cr_assert_eq(found, LETTERS);
    return size;
}

Test(dlq_file, whole_records_in_each_others_place_are_found)
{
    sample made;
    sample_make(&made);
    size_t offsets[LETTERS];
    const size_t size = find_letters(&made, offsets);
    unsigned char aside[1024];
    cr_assert_leq(size, sizeof aside);
    memcpy(aside, made.bytes + offsets[0], size);
    memcpy(made.bytes + offsets[0], made.bytes + offsets[2], size);
    memcpy(made.bytes + offsets[2], aside, size);
    letters_write_file(made.path, made.bytes, made.size);
    hl_dlq *dlq = NULL;
    hl_error error;
    cr_assert_eq(open_as(made.path, true, false, &dlq, &error), HL_DAMAGED);
    sample_free(&made);
}

Test(dlq_file, of_a_damaged_file_the_whole_letters_can_be_salvaged)
{
    sample made;
    sample_make(&made);
    hl_dlq *dlq = NULL;
    hl_error error;
    made.bytes[made.size / 2] ^= 4;
    letters_write_file(made.path, made.bytes, made.size);
    cr_assert_eq(open_as(made.path, false, false, &dlq, &error), HL_DAMAGED);
    cr_assert_not_null(strstr(error.text, "--salvage"), "%s", error.text);
    cr_assert_eq(open_as(made.path, true, true, &dlq, &error), HL_OK, "%s", error.text);
    cr_assert_eq(whole_letters(dlq), LETTERS - 1);
    hl_dlq_stats stats;
    hl_dlq_stats_get(dlq, &stats);
    cr_assert_gt(stats.damaged_bytes, 0);
    letters_close(dlq);
    size_t size;
    unsigned char *const after = letters_read_file(made.path, &size);
    cr_assert(size == made.size && memcmp(after, made.bytes, size) == 0, "reading changed it");
    free(after);
    sample_free(&made);
}

Test(dlq_file, what_is_something_else_is_refused_and_left_alone)
{
    const char *const path = letters_path("notes.txt");
    const char text[] = "these are my notes, more than sixty-four bytes of them, not dead letters";
    hl_dlq *dlq = NULL;
    hl_error error;
    for (size_t size = 1; size < sizeof text; size += 35) {
        letters_write_file(path, text, size);
        cr_assert_eq(open_as(path, false, false, &dlq, &error), HL_BAD_INPUT);
        cr_assert_not_null(strstr(error.text, "no file of dead letters"), "%s", error.text);
        size_t size_after;
        unsigned char *const after = letters_read_file(path, &size_after);
        cr_assert(size_after == size && memcmp(after, text, size) == 0);
        free(after);
    }
}

/* ------- a disk that refuses ------- */

static hl_dlq *open_on(test_disk *disk, const char *path)
{
    hl_dlq_options options = HL_DLQ_OPTIONS_INIT;
    options.path = path;
    options.memory_bytes = 1 << 20;
    options.sync_interval_ns = UINT64_MAX;
    hl_dlq *dlq = NULL;
    hl_error error;
    cr_assert_eq(hl_dlq_open_on(&disk->io, &options, &dlq, &error), HL_OK, "%s", error.text);
    return dlq;
}

static hl_status post_and_drain(hl_dead_letters *letters, uint64_t number, hl_error *error)
{
    const hl_dead_post post = letters_post(letters, number);
    const hl_status posted = hl_dead_letters_post(letters, &post, letters_event(number, PAYLOAD));
    return posted != HL_OK ? posted : hl_dead_letters_drain(letters, error);
}

/* Nothing is lost while the disk is full: letters wait in memory, then in the ring, and all are
 * written once there is room, wherever the disk was cut short. */
Test(dlq_file, on_a_full_disk_letters_wait)
{
    for (uint64_t room = 300; room < 1500; room += 37) {
        const char *const path = letters_file();
        test_disk disk;
        test_disk_init(&disk);
        hl_dlq *dlq = open_on(&disk, path);
        hl_dead_letters *letters = letters_ring(dlq, 64);
        disk.room_bytes = room;
        hl_error error = {HL_OK, ""};
        hl_status status = HL_OK;
        uint64_t number = 0;
        for (; number < 30; number++)
            status = post_and_drain(letters, number + 1, &error);
        cr_assert_eq(status, HL_NO_SPACE);
        cr_assert_not_null(strstr(error.text, "No space left"), "%s", error.text);
        cr_assert_eq(whole_letters(dlq), number);
        hl_dlq_stats stats;
        hl_dlq_stats_get(dlq, &stats);
        cr_assert_gt(stats.unwritten, 0);
        cr_assert_gt(stats.write_failures, 0);
        disk.room_bytes = UINT64_MAX;
        cr_assert_eq(hl_dlq_sync(dlq, &error), HL_OK, "%s", error.text);
        hl_dlq_stats_get(dlq, &stats);
        cr_assert_eq(stats.unwritten, 0);
        hl_dead_letters_destroy(letters);
        letters_close(dlq);
        dlq = letters_open(path);
        cr_assert_eq(whole_letters(dlq), number);
        letters_close(dlq);
        unlink(path);
    }
}

Test(dlq_file, with_disk_memory_and_ring_full_the_poster_keeps_the_event)
{
    const char *const path = letters_file();
    test_disk disk;
    test_disk_init(&disk);
    hl_dlq *dlq = open_on(&disk, path);
    hl_dead_letters *const letters = letters_ring(dlq, 64);
    disk.room_bytes = 1000;
    uint64_t taken = 0;
    hl_error error;
    for (;;) {
        const hl_dead_post post = letters_post(letters, taken + 1);
        if (hl_dead_letters_post(letters, &post, letters_event(taken + 1, PAYLOAD)) == HL_FULL)
            break;
        taken++;
        hl_dead_letters_drain(letters, &error);
    }
    hl_dlq_stats stats;
    hl_dlq_stats_get(dlq, &stats);
    cr_assert_gt(stats.added, 1000);
    cr_assert_lt(stats.added, taken);
    cr_assert_eq(stats.refused, 1);
    cr_assert_eq(stats.lost, 0);
    disk.room_bytes = UINT64_MAX;
    cr_assert_eq(hl_dead_letters_drain(letters, &error), HL_OK, "%s", error.text);
    cr_assert_eq(whole_letters(dlq), taken);
    hl_dead_letters_destroy(letters);
    letters_close(dlq);
}

Test(dlq_file, what_is_left_unwritten_at_close_is_counted_in_the_sentence)
{
    const char *const path = letters_file();
    test_disk disk;
    test_disk_init(&disk);
    hl_dlq *const dlq = open_on(&disk, path);
    hl_dead_letters *const letters = letters_ring(dlq, 64);
    hl_error error;
    cr_assert_eq(post_and_drain(letters, 1, &error), HL_OK);
    disk.room_bytes = 0;
    cr_assert_eq(post_and_drain(letters, 2, &error), HL_NO_SPACE);
    hl_dead_letters_destroy(letters);
    cr_assert_eq(hl_dlq_close(dlq, &error), HL_NO_SPACE);
    cr_assert_eq(strncmp(error.text, "1 letters and marks are lost: ", 30), 0, "%s", error.text);
}

Test(dlq_file, a_rewrite_that_finds_no_room_leaves_all_as_it_was)
{
    const char *const path = letters_file();
    test_disk disk;
    test_disk_init(&disk);
    hl_dlq *dlq = open_on(&disk, path);
    hl_dead_letters *const letters = letters_ring(dlq, 64);
    hl_error error;
    for (uint64_t i = 1; i <= 5; i++)
        cr_assert_eq(post_and_drain(letters, i, &error), HL_OK);
    for (uint64_t room = 0; room < 900; room += 50) {
        disk.room_bytes = room;
        cr_assert_eq(hl_dlq_rewrite(dlq, &error), HL_NO_SPACE);
        cr_assert_eq(whole_letters(dlq), 5);
    }
    disk.room_bytes = UINT64_MAX;
    disk.fail_sync = true;
    cr_assert_eq(hl_dlq_rewrite(dlq, &error), HL_SYSTEM);
    disk.fail_sync = false;
    cr_assert_eq(whole_letters(dlq), 5);
    cr_assert_eq(post_and_drain(letters, 6, &error), HL_OK);
    hl_dead_letters_destroy(letters);
    letters_close(dlq);
    dlq = letters_open(path);
    cr_assert_eq(whole_letters(dlq), 6);
    letters_close(dlq);
}

Test(dlq_file, a_sync_that_failed_is_not_believed_later)
{
    const char *const path = letters_file();
    test_disk disk;
    test_disk_init(&disk);
    hl_dlq *const dlq = open_on(&disk, path);
    hl_dead_letters *const letters = letters_ring(dlq, 64);
    hl_error error;
    cr_assert_eq(post_and_drain(letters, 1, &error), HL_OK);
    disk.fail_sync = true;
    cr_assert_eq(hl_dlq_sync(dlq, &error), HL_SYSTEM);
    disk.fail_sync = false;
    cr_assert_eq(hl_dlq_sync(dlq, &error), HL_SYSTEM);
    cr_assert_not_null(strstr(error.text, "an earlier sync failed"), "%s", error.text);
    cr_assert_eq(hl_dlq_rewrite(dlq, &error), HL_OK, "%s", error.text);
    cr_assert_eq(hl_dlq_sync(dlq, &error), HL_OK, "%s", error.text);
    hl_dead_letters_destroy(letters);
    letters_close(dlq);
}

Test(dlq_file, a_process_that_dies_in_a_rewrite_leaves_the_old_file)
{
    sample made;
    sample_make(&made);
    char leftover[600];
    snprintf(leftover, sizeof leftover, "%s.new", made.path);
    letters_write_file(leftover, made.bytes, made.size / 2);
    hl_dlq *const dlq = letters_open(made.path);
    cr_assert_eq(whole_letters(dlq), LETTERS);
    letters_close(dlq);
    FILE *const gone = fopen(leftover, "rb");
    cr_assert_null(gone);
    sample_free(&made);
}

/* ------- each call in turn ------- */

/* Opens a file that has letters and a torn end, adds, purges and compacts, closes. What was said to
 * be so is put into `ret_acknowledged`: letters that must be there, or not, whatever failed. */
typedef struct acknowledged {
    bool added, purged, compacted;
} acknowledged;

static void use(test_disk *disk, const char *path, acknowledged *ret_acknowledged)
{
    hl_dlq_options options = HL_DLQ_OPTIONS_INIT;
    options.path = path;
    hl_dlq *dlq = NULL;
    hl_error error = {HL_OK, ""};
    *ret_acknowledged = (acknowledged){false, false, false};
    if (hl_dlq_open_on(&disk->io, &options, &dlq, &error) != HL_OK) {
        cr_assert_not_null(strstr(error.text, "a.dlq"), "%s", error.text);
        return;
    }
    hl_dead_letters *const letters = letters_ring(dlq, 64);
    post_and_drain(letters, LETTERS + 1, &error);
    ret_acknowledged->added = hl_dlq_sync(dlq, &error) == HL_OK;
    hl_dlq_filter first = HL_DLQ_FILTER_INIT;
    first.id = 1;
    ret_acknowledged->purged = hl_dlq_purge(dlq, &first, NULL, &error) == HL_OK;
    ret_acknowledged->compacted = hl_dlq_compact(dlq, &error) == HL_OK;
    hl_dead_letters_destroy(letters);
    hl_dlq_close(dlq, &error);
}

/* Whether anything of the first letter's payload is in the file. */
static bool holds_first(const char *path)
{
    size_t size;
    unsigned char *const bytes = letters_read_file(path, &size);
    const bool found = memmem(bytes, size, letters_event(1, PAYLOAD) + 1, PAYLOAD) != NULL;
    free(bytes);
    return found;
}

Test(dlq_file, whichever_call_fails_what_was_acknowledged_holds)
{
    sample made;
    sample_make(&made);
    const size_t torn = made.size - sizeof(hl_dlq_head) - sizeof(hl_dlq_synced) + 10;
    test_disk disk;
    uint64_t call = 1;
    do {
        letters_write_file(made.path, made.bytes, torn);
        test_disk_init(&disk);
        disk.fail_at = call;
        acknowledged said;
        use(&disk, made.path, &said);
        if (said.purged && said.compacted)
            cr_assert_not(holds_first(made.path), "call %d", (int)call);
        hl_dlq *const dlq = letters_open(made.path);
        const uint64_t count = whole_letters(dlq);
        hl_dead_letter *letter = NULL;
        cr_assert_eq(hl_dlq_get(dlq, LETTERS, &letter, NULL), HL_OK, "call %d", (int)call);
        hl_dead_letter_free(letter);
        if (said.added)
            cr_assert_geq(count, LETTERS, "call %d", (int)call);
        if (said.purged)
            cr_assert_eq(hl_dlq_get(dlq, 1, &letter, NULL), HL_NOT_FOUND, "call %d", (int)call);
        if (said.added && said.purged)
            cr_assert_eq(count, LETTERS, "call %d", (int)call);
        letters_close(dlq);
        call++;
    } while (disk.calls >= disk.fail_at);
    cr_assert_gt(call, 20);
    sample_free(&made);
}
