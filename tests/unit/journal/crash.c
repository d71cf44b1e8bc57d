/*
 * Power cuts and crashes at every call that changes the disk, over random runs: whatever subset of
 * the unsynced sectors and names survives, what was acknowledged is there and nothing else is. And
 * the proof that this would be noticed: with any one kind of sync left out, it fails.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "journal/verify.h"
#include "story.h"

#define STEPS 40
/* How many traces each test plays; the sanitizers' builds are slower. */
#if defined(__SANITIZE_ADDRESS__)
#define TRACES 4
#else
#define TRACES 20
#endif
#define DEPTH_MAX 2 /* a crash, and one in the recovery from it */

typedef struct run {
    sim_disk *disk;
    hl_journal_writer *writer;
    journal_story story;
    uint64_t next_sequence;
    uint64_t recovered; /* the last sequence that the last recovery found */
    uint64_t random;
    int subsets;     /* power cuts tried at each point */
    int depth;       /* crashes that this disk has behind it */
    uint64_t points; /* crash points looked at */
    bool overlaps;   /* hl_journal_writer_options.overlap_syncs */
    char wrong[400];
} run;

static uint64_t draw(run *this, uint64_t below)
{
    this->random += 0x9e3779b97f4a7c15u;
    uint64_t value = this->random;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return (value ^ (value >> 31)) % below;
}

static uint64_t last_appended(const journal_story *story)
{
    return story->count > 0 ? story->ranges[story->count - 1].last : 0;
}

static bool open_writer(run *this)
{
    hl_journal_writer_options options = story_options(sim_io(this->disk));
    options.overlap_syncs = this->overlaps;
    hl_error error;
    hl_recovery recovery;
    sim_set_opening(this->disk, true);
    const hl_status status = hl_journal_writer_open(&options, &this->writer, &recovery, &error);
    sim_set_opening(this->disk, false);
    if (status != HL_OK) {
        snprintf(this->wrong, sizeof this->wrong, "open: %.300s", error.text);
        return false;
    }
    if (recovery.next_sequence <= last_appended(&this->story) &&
        !(recovery.was_clean && this->story.count == 0)) {
        snprintf(this->wrong, sizeof this->wrong, "sequence %" PRIu64 " would be given out twice",
                 recovery.next_sequence);
        hl_journal_writer_abandon(this->writer);
        return false;
    }
    this->next_sequence = recovery.next_sequence;
    this->recovered = recovery.last_sequence;
    return true;
}

static void compare(run *this, uint64_t kept)
{
    const char *const wrong = story_compare(&this->story, sim_io(this->disk), kept, NULL);
    if (wrong != NULL)
        snprintf(this->wrong, sizeof this->wrong, "%.300s", wrong);
}

/* What a crash has taken, and was allowed to take, is no part of the story that goes on. */
static void forget_lost(run *this)
{
    journal_story *const story = &this->story;
    while (story->count > 0 && story->ranges[story->count - 1].first > this->recovered)
        story->count--;
    if (story->count > 0 && story->ranges[story->count - 1].last > this->recovered)
        story->ranges[story->count - 1].last = this->recovered;
}

static void crash_here(void *context);

/* No crash may look like damage, or like a segment that somebody took away. */
static void verify(run *after)
{
    const hl_verify_options options = {.directory = "root/journal", .partition = "order"};
    const hl_verify_visitor visitor = {0};
    uint64_t damages = 0;
    if (hl_journal_verify(sim_io(after->disk), &options, &visitor, &damages, NULL) == HL_OK &&
        damages > 0)
        snprintf(after->wrong, sizeof after->wrong, "%" PRIu64 " damages", damages);
}

/* On a disk that has just lost its power or its process: what must be there is; it goes on. */
static void live_on(run *after, uint64_t kept)
{
    if (draw(after, 4) == 0)
        verify(after);
    if (after->wrong[0] != '\0')
        return;
    if (after->depth < DEPTH_MAX)
        sim_watch(after->disk, crash_here, after);
    const bool is_open = open_writer(after);
    sim_watch(after->disk, NULL, NULL);
    if (!is_open)
        return;
    compare(after, kept);
    forget_lost(after);
    for (int i = 0; i < 3 && after->wrong[0] == '\0'; i++)
        if (!story_append(&after->story, after->writer, after->next_sequence++))
            snprintf(after->wrong, sizeof after->wrong,
                     "an append after the recovery fails: %.300s",
                     hl_journal_writer_error(after->writer)->text);
    const hl_status status = hl_journal_writer_commit(after->writer);
    hl_journal_writer_abandon(after->writer);
    sim_power_cut(after->disk, draw(after, UINT64_MAX));
    if (after->wrong[0] != '\0')
        return;
    if (status != HL_OK)
        snprintf(after->wrong, sizeof after->wrong, "the commit after the recovery fails");
    else
        compare(after, last_appended(&after->story));
}

/* One outcome of a crash now; the run itself goes on untouched. */
static void try_crash(run *this, bool power)
{
    run after = {.disk = sim_copy(this->disk),
                 .story = this->story,
                 .random = draw(this, UINT64_MAX),
                 .subsets = 1,
                 .depth = this->depth + 1};
    /* What the process alone took with it, the disk still has, even if only in memory: and a
     * recovery puts it on the disk. */
    const uint64_t kept = power ? this->story.durable : this->story.written;
    if (power)
        sim_power_cut(after.disk, draw(this, UINT64_MAX));
    after.story.written = kept;
    live_on(&after, kept);
    sim_destroy(after.disk);
    this->points += 1 + after.points;
    if (after.wrong[0] != '\0' && this->wrong[0] == '\0')
        memcpy(this->wrong, after.wrong, sizeof this->wrong);
}

static void crash_here(void *context)
{
    run *const this = context;
    if (this->wrong[0] != '\0' || (this->depth > 0 && draw(this, 8) != 0))
        return;
    for (int i = 0; i < this->subsets; i++)
        try_crash(this, true);
    if (draw(this, 4) == 0)
        try_crash(this, false);
}

static void append_some(run *this)
{
    const uint64_t count = 1 + draw(this, 60);
    const hl_journal_progress *const progress = hl_journal_writer_progress(this->writer);
    for (uint64_t i = 0; i < count && this->wrong[0] == '\0'; i++) {
        if (this->next_sequence > hl_journal_reserved(progress))
            break; /* as a partition would */
        if (!story_append(&this->story, this->writer, this->next_sequence++))
            snprintf(this->wrong, sizeof this->wrong, "an append fails: %.300s",
                     hl_journal_writer_error(this->writer)->text);
        story_note(&this->story, this->writer);
    }
}

static void set_clock(run *this, uint64_t *now_ns)
{
    if (draw(this, 3) == 0)
        *now_ns -= 3600ull * 1000000000ull * (1 + draw(this, 48));
    else
        *now_ns += HL_NS_PER_DAY / 2 + draw(this, HL_NS_PER_DAY);
    sim_set_now(this->disk, *now_ns);
}

static void step(run *this, uint64_t *now_ns)
{
    const uint64_t what = draw(this, 100);
    hl_status status = HL_OK;
    if (what < 60) {
        append_some(this);
        status = hl_journal_writer_turn(this->writer, false);
    } else if (what < 75) {
        sim_add_ticks(this->disk, draw(this, 30000000));
        status = hl_journal_writer_turn(this->writer, true);
    } else if (what < 85) {
        status = hl_journal_writer_commit(this->writer);
    } else if (what < 90) {
        set_clock(this, now_ns);
        status = hl_journal_writer_turn(this->writer, true);
    } else if (what < 95) {
        status = hl_journal_writer_close(this->writer, NULL);
        this->writer = NULL;
        if (status == HL_OK) {
            this->story.durable = this->story.written = last_appended(&this->story);
            open_writer(this);
        }
    } else {
        story_note(&this->story, this->writer);
        hl_journal_writer_abandon(this->writer);
        this->writer = NULL;
        sim_kill(this->disk);
        if (open_writer(this)) {
            compare(this, this->story.written);
            forget_lost(this);
            this->story.durable = this->story.written;
        }
    }
    if (status != HL_OK && this->wrong[0] == '\0')
        snprintf(this->wrong, sizeof this->wrong, "a call fails without a cause: %s",
                 hl_status_name(status));
    if (this->writer != NULL)
        story_note(&this->story, this->writer);
}

/* One random run with a crash at each call. Gives whether something was wrong, and says what. */
static bool crashes_badly(uint64_t seed, sim_sync skipped, int subsets, char *ret_wrong,
                          uint64_t *points)
{
    /* Thousands of recoveries: their buffers are not given back to the system each time. */
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    run this = {.disk = sim_create(),
                .random = seed * 0x100000001b3u,
                .subsets = subsets,
                .overlaps = seed % 2 == 0};
    uint64_t now_ns = 1750000000ull * 1000000000ull;
    sim_skip_sync(this.disk, skipped);
    sim_watch(this.disk, crash_here, &this);
    if (open_writer(&this)) {
        for (int i = 0; i < STEPS && this.wrong[0] == '\0'; i++)
            step(&this, &now_ns);
        if (this.writer != NULL) {
            sim_watch(this.disk, NULL, NULL);
            hl_journal_writer_abandon(this.writer);
        }
    }
    sim_destroy(this.disk);
    *points += this.points;
    snprintf(ret_wrong, sizeof this.wrong, "%s", this.wrong);
    return this.wrong[0] != '\0';
}

/* HL_JOURNAL_TRACES: more of them, for a long run. */
static uint64_t traces(uint64_t usual)
{
    const char *const wanted = getenv("HL_JOURNAL_TRACES");
    return wanted != NULL ? strtoull(wanted, NULL, 10) : usual;
}

Test(crash, any_subset_of_unsynced_sectors_leaves_what_was_acknowledged)
{
    char wrong[400];
    uint64_t points = 0;
    const uint64_t count = traces(TRACES);
    for (uint64_t seed = 1; seed <= count; seed++)
        cr_assert(!crashes_badly(seed, SIM_SYNC_NONE, 2, wrong, &points), "seed %" PRIu64 ": %s",
                  seed, wrong);
    fprintf(stderr, "%" PRIu64 " runs, %" PRIu64 " crashes\n", count, points);
    cr_assert_gt(points, count * 20);
}

/* The suite's own test: each kind of sync is needed, and its absence is found. */
static void expect_noticed(sim_sync skipped)
{
    char wrong[400];
    uint64_t points = 0;
    for (uint64_t seed = 1; seed <= 200; seed++)
        if (crashes_badly(seed, skipped, 2, wrong, &points)) {
            fprintf(stderr, "noticed after %" PRIu64 " crashes: %s\n", points, wrong);
            return;
        }
    cr_assert(false, "200 runs without this sync, and nothing was lost");
}

Test(crash, a_missing_sync_of_a_commit_is_noticed)
{
    expect_noticed(SIM_SYNC_COMMIT);
}

Test(crash, a_missing_sync_of_a_seal_is_noticed)
{
    expect_noticed(SIM_SYNC_SEAL);
}

Test(crash, a_missing_sync_of_a_header_is_noticed)
{
    expect_noticed(SIM_SYNC_HEADER);
}

Test(crash, a_missing_sync_of_a_recovered_tail_is_noticed)
{
    expect_noticed(SIM_SYNC_TAIL);
}

Test(crash, a_missing_sync_of_a_segments_name_is_noticed)
{
    expect_noticed(SIM_SYNC_NAMES);
}

Test(crash, a_missing_sync_of_the_partitions_name_is_noticed)
{
    expect_noticed(SIM_SYNC_PARTITION);
}

Test(crash, a_missing_sync_of_the_journals_name_is_noticed)
{
    expect_noticed(SIM_SYNC_PARENT);
}
