/*
 * Sealed segments are packed (retention.h) on a disk that loses its power, its process or its
 * patience at every call that changes it: each segment is there whole, in one form or the other,
 * the writer goes on, and who packs next ends what was begun.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "journal/packed.h"
#include "journal/retention.h"
#include "story.h"

#define DIRECTORY "root/journal"
#define EVENTS    1200
#define CUTS      6 /* power cuts tried at each point */

typedef struct yard {
    sim_disk *disk;
    journal_story story;
    uint64_t points, random;
    const char *wrong; /* NULL: nothing; static memory */
} yard;

static hl_status pack(sim_disk *disk, hl_retention_result *ret_result, hl_error *error)
{
    const hl_retention_options options = {.directory = DIRECTORY, .pack = true, .compress = true};
    return hl_retention_apply(sim_io(disk), &options, ret_result, error);
}

/* Several sealed segments, and one that is not: the process has died. */
static void write_story(yard *y)
{
    hl_journal_writer_options options;
    hl_journal_writer *writer = NULL;
    hl_recovery recovery;
    hl_error error = {.text = ""};
    *y = (yard){.disk = sim_create()};
    options = story_options(sim_io(y->disk));
    cr_assert_eq(hl_journal_writer_open(&options, &writer, &recovery, &error), HL_OK, "%s",
                 error.text);
    for (uint64_t sequence = 1; sequence <= EVENTS; sequence++) {
        cr_assert(story_append(&y->story, writer, sequence));
        cr_assert_eq(hl_journal_writer_turn(writer, false), HL_OK);
    }
    cr_assert_eq(hl_journal_writer_commit(writer), HL_OK);
    story_note(&y->story, writer);
    hl_journal_writer_abandon(writer);
    sim_kill(y->disk);
    cr_assert_eq(y->story.durable, EVENTS);
}

static int count_half_packed(void *argument, const char *name)
{
    *(uint32_t *)argument += strstr(name, HL_PACK_TEMPORARY) != NULL;
    return 0;
}

static uint32_t half_packed(sim_disk *disk)
{
    uint32_t count = 0;
    cr_assert_eq(sim_io(disk)->list(disk, STORY_DIRECTORY, count_half_packed, &count), 0);
    return count;
}

static const char *compare(const yard *y, sim_disk *disk)
{
    hl_packed_io *const packed = hl_packed_io_create(sim_io(disk), NULL);
    const char *const wrong =
        story_compare(&y->story, hl_packed_io_table(packed), y->story.durable, NULL);
    hl_packed_io_free(packed);
    return wrong;
}

static const char *reopen(sim_disk *disk)
{
    static hl_error error;
    const hl_journal_writer_options options = story_options(sim_io(disk));
    hl_journal_writer *writer = NULL;
    hl_recovery recovery;
    sim_set_opening(disk, true);
    const hl_status status = hl_journal_writer_open(&options, &writer, &recovery, &error);
    sim_set_opening(disk, false);
    if (status != HL_OK)
        return error.text;
    hl_journal_writer_abandon(writer);
    return recovery.last_sequence == EVENTS ? NULL : "the writer goes on elsewhere";
}

/* On a disk after a crash. */
static const char *live_on(const yard *y, sim_disk *disk)
{
    static hl_error error;
    hl_retention_result result;
    const char *wrong = reopen(disk);
    if (wrong == NULL)
        wrong = compare(y, disk);
    sim_kill(disk);
    if (wrong == NULL && pack(disk, &result, &error) != HL_OK)
        wrong = error.text;
    if (wrong == NULL && half_packed(disk) != 0)
        wrong = "what was half packed is still there";
    return wrong == NULL ? compare(y, disk) : wrong;
}

static void crash_here(void *context)
{
    yard *const y = context;
    for (int cut = 0; cut <= CUTS && y->wrong == NULL; cut++) {
        sim_disk *const after = sim_copy(y->disk);
        if (cut == 0)
            sim_kill(after);
        else
            sim_power_cut(after, ++y->random);
        y->wrong = live_on(y, after);
        sim_destroy(after);
    }
    y->points++;
}

/* Packs all with a crash at each call; what was wrong after one of them. */
static const char *pack_with_crashes(yard *y)
{
    hl_retention_result result;
    hl_error error = {.text = ""};
    sim_watch(y->disk, crash_here, y);
    const hl_status status = pack(y->disk, &result, &error);
    sim_watch(y->disk, NULL, NULL);
    if (status == HL_UNSUPPORTED)
        cr_skip_test("built without zstd");
    cr_assert_eq(status, HL_OK, "%s", error.text);
    cr_assert_gt(result.packed, 2);
    cr_assert_gt(y->points, 10 * result.packed);
    return y->wrong;
}

Test(packing_crash, a_crash_anywhere_leaves_each_segment_whole)
{
    yard y;
    write_story(&y);
    cr_assert_null(pack_with_crashes(&y), "%s", y.wrong);
    cr_assert_null(compare(&y, y.disk));
    sim_destroy(y.disk);
}

/* The proof that the test above would see it. */
Test(packing_crash, a_missing_sync_would_be_noticed)
{
    yard y;
    write_story(&y);
    sim_skip_sync(y.disk, SIM_SYNC_HEADER); /* of files that have not their name yet */
    cr_assert_not_null(pack_with_crashes(&y));
    sim_destroy(y.disk);
}

Test(packing_crash, whichever_call_fails_nothing_is_lost)
{
    yard y;
    uint64_t nth = 1;
    write_story(&y);
    for (bool pending = false; !pending; nth++) {
        sim_disk *const disk = sim_copy(y.disk);
        hl_retention_result result;
        hl_error error = {.text = ""};
        sim_fail_call(disk, nth, nth % 2 == 0 ? ENOSPC : EIO);
        const hl_status status = pack(disk, &result, &error);
        if (status == HL_UNSUPPORTED)
            cr_skip_test("built without zstd");
        pending = sim_fail_is_pending(disk);
        sim_fail_call(disk, 0, 0);
        cr_assert(status == HL_OK || error.text[0] != '\0', "call %" PRIu64, nth);
        cr_assert_null(compare(&y, disk), "call %" PRIu64, nth);
        y.wrong = live_on(&y, disk);
        cr_assert_null(y.wrong, "call %" PRIu64 ": %s", nth, y.wrong);
        sim_destroy(disk);
    }
    cr_assert_gt(nth, 40);
    sim_destroy(y.disk);
}
