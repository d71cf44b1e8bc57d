/*
 * A running bus packs its sealed segments by itself (journal/keeper.h).
 */
#include "journal/keeper.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <hotlane/system.h>

#include "journal/audit.h"
#include "journal/crypt.h"
#include "journal/packed.h"
#include "journal/retention.h"
#include "kept_bus.h"

#define KEY       "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define PUBLISHED 3000 /* by kept_start */

static void set_up(void)
{
    kept_set_up();
    if (!HL_HAVE_ZSTD)
        cr_skip_test("built without zstd");
}

TestSuite(packing, .init = set_up, .fini = kept_tear_down);

static hl_config packing_config(void)
{
    hl_config config = kept_config();
    config.journal_pack_after_ns = HOUR_NS;
    return config;
}

static void write_key(char ret_path[TEMPORARY_DIRECTORY_SIZE + 8])
{
    if (!HL_HAVE_SODIUM)
        cr_skip_test("built without libsodium");
    snprintf(ret_path, TEMPORARY_DIRECTORY_SIZE + 8, "%s/keys", kept_disk.directory);
    FILE *const file = fopen(ret_path, "w");
    cr_assert_not_null(file);
    fputs(KEY "\n", file);
    fclose(file);
}

/* Reads all there is from the first on; fails when one is missing. */
static void assert_reads(uint64_t events, const char *key_path)
{
    hl_journal_reader_options options = HL_JOURNAL_READER_OPTIONS_INIT;
    hl_journal_reader *reader = NULL;
    hl_journal_keys *keys = NULL;
    hl_journal_entry entry;
    hl_error error = {.text = ""};
    if (key_path != NULL)
        cr_assert_eq(hl_journal_keys_load(key_path, &keys, &error), HL_OK, "%s", error.text);
    options.directory = kept_disk.directory;
    options.keys = keys;
    cr_assert_eq(hl_journal_reader_open(&options, &reader, &error), HL_OK, "%s", error.text);
    hl_status status;
    uint64_t count = 0, last = 0;
    while ((status = hl_journal_reader_next(reader, &entry, &error)) == HL_OK) {
        cr_assert_gt(entry.first_sequence, last);
        count += entry.kind == HL_JOURNAL_EVENT;
        last = entry.last_sequence;
    }
    cr_assert_eq(status, HL_NOT_FOUND, "%s", error.text);
    cr_assert_eq(count, events);
    hl_journal_reader_close(reader);
    hl_journal_keys_free(keys);
}

/* Looks until all that is sealed is packed; how many were. */
static uint64_t pack_all(hl_bus *bus)
{
    const uint64_t sealed = kept_segments() - 1;
    kept_tick(bus, HOUR_NS);
    for (uint64_t i = 0; i <= sealed; i++)
        kept_tick(bus, HL_SECOND);
    cr_assert_eq(kept_stats(bus).packed_segments, sealed);
    return sealed;
}

/* ---- when, and into what ---- */

Test(packing, what_was_sealed_an_hour_ago_is_packed)
{
    const hl_config usual = HL_CONFIG_INIT;
    cr_assert_eq(usual.journal_pack_after_ns, HOUR_NS);
    const hl_config config = packing_config();
    hl_bus *const bus = kept_start(&config);
    kept_disk.ahead_ns = HOUR_NS - 60 * HL_SECOND;
    kept_tick(bus, 10 * HL_SECOND);
    cr_assert_eq(kept_stats(bus).packed_segments, 0);
    kept_disk.ahead_ns = HOUR_NS;
    kept_tick(bus, HOUR_NS - 20 * HL_SECOND);
    cr_assert_eq(kept_stats(bus).packed_segments, 0, "it does not look before something is due");
    kept_tick(bus, 20 * HL_SECOND);
    cr_assert_eq(kept_stats(bus).packed_segments, 1, "one at a time, where the bus is turned");
    const uint64_t sealed = pack_all(bus);
    const hl_partition_journal_stats stats = kept_stats(bus);
    cr_assert_gt(stats.unpacked_bytes, sealed << 15);
    cr_assert_lt(stats.packed_bytes, stats.unpacked_bytes / 2);
    cr_assert_eq(stats.keep_failures, 0);
    cr_assert_eq(kept_files(".tmp"), 1, "the next segment, half made, is all");
    assert_reads(PUBLISHED, NULL);
    hl_audit_findings audit;
    cr_assert_eq(hl_audit_verify(hl_io_posix(), kept_disk.directory, &audit, NULL), HL_OK);
    cr_assert_eq(audit.lines, sealed, "each has its line");
    kept_tick(bus, HOUR_NS);
    cr_assert_eq(kept_stats(bus).packed_segments, sealed, "once is enough");
    manual_stop(bus);
}

Test(packing, it_is_not_done_where_it_is_not_wanted)
{
    const hl_config config = kept_config();
    hl_bus *const bus = kept_start(&config);
    kept_disk.ahead_ns = DAY_NS;
    kept_tick(bus, HOUR_NS);
    cr_assert_eq(kept_stats(bus).packed_segments, 0);
    manual_stop(bus);
}

Test(packing, where_there_is_a_key_it_is_encrypted)
{
    char path[TEMPORARY_DIRECTORY_SIZE + 8];
    hl_config config = packing_config();
    write_key(path);
    config.journal_key_file = path;
    hl_bus *const bus = kept_start(&config);
    kept_disk.ahead_ns = DAY_NS;
    pack_all(bus);
    assert_reads(PUBLISHED, path);
    hl_journal_reader_options options = HL_JOURNAL_READER_OPTIONS_INIT;
    hl_journal_reader *reader = NULL;
    hl_journal_entry entry;
    options.directory = kept_disk.directory;
    hl_status status = hl_journal_reader_open(&options, &reader, NULL);
    if (status == HL_OK) {
        status = hl_journal_reader_next(reader, &entry, NULL);
        hl_journal_reader_close(reader);
    }
    cr_assert_eq(status, HL_NOT_ALLOWED);
    manual_stop(bus);
}

Test(packing, the_journal_goes_on_behind_what_was_packed)
{
    const hl_config config = packing_config();
    hl_bus *bus = kept_start(&config);
    kept_disk.ahead_ns = DAY_NS;
    pack_all(bus);
    manual_stop(bus);
    bus = manual_start(&config);
    cr_assert_eq(kept_stats(bus).recovered_sequence, PUBLISHED);
    kept_publish(bus, 1000);
    kept_disk.ahead_ns += DAY_NS;
    kept_tick(bus, HL_SECOND);
    cr_assert_eq(kept_stats(bus).packed_segments, 1, "the one that was the newest");
    manual_stop(bus);
    assert_reads(PUBLISHED + 1000, NULL);
}

/* What fits when it is packed need not go. */
Test(packing, what_is_packed_is_not_too_large)
{
    hl_config config = packing_config();
    manual_stop(kept_start(&config));
    const hl_retention_options nothing = {.directory = kept_disk.directory};
    hl_retention_result result;
    cr_assert_eq(hl_retention_apply(hl_io_posix(), &nothing, &result, NULL), HL_OK);
    kept_disk.ahead_ns = DAY_NS;
    /* Of the next segment's 64 KiB some are too many. */
    config.journal_max_bytes = result.bytes_before + (48 << 10);
    hl_bus *const bus = manual_start(&config);
    kept_tick(bus, 0);
    cr_assert_eq(kept_stats(bus).packed_segments, 1);
    cr_assert_eq(kept_stats(bus).removed_segments, 0);
    manual_stop(bus);
    assert_reads(PUBLISHED, NULL);
}

/* ---- who reads meanwhile ---- */

static recorder seen;

Test(packing, a_hand_over_reads_on_through_it)
{
    hl_config config = packing_config();
    config.max_workers = config.min_workers = 1;
    hl_bus *const bus = kept_start(&config);
    hl_subscription *const late = kept_subscribe_late(bus, &seen);
    kept_disk.ahead_ns = DAY_NS;
    for (int i = 0; i < 3000 && (i == 0 || stats_of(late).catching_up); i++) {
        turn_all(bus);
        kept_tick(bus, i % 20 == 0 ? HOUR_NS : HL_MILLISECOND);
    }
    cr_assert_not(stats_of(late).catching_up);
    cr_assert_gt(kept_stats(bus).packed_segments, 1);
    cr_assert_eq(stats_of(late).replayed, PUBLISHED);
    cr_assert_eq(stats_of(late).missed, 0);
    assert_values_follow(&seen, 0, PUBLISHED);
    manual_stop(bus);
}

Test(packing, a_live_tailer_reads_on_through_it)
{
    const hl_config config = packing_config();
    hl_bus *const bus = kept_start(&config);
    hl_journal_reader_options options = HL_JOURNAL_READER_OPTIONS_INIT;
    hl_journal_reader *reader = NULL;
    hl_journal_entry entry;
    options.directory = kept_disk.directory;
    options.follow = true;
    cr_assert_eq(hl_journal_reader_open(&options, &reader, NULL), HL_OK);
    uint64_t next = 1;
    kept_disk.ahead_ns = DAY_NS;
    kept_tick(bus, HOUR_NS);
    for (uint64_t most = PUBLISHED; next <= PUBLISHED + 2000;) {
        for (int i = 0; i < 200 && next <= most; i++) {
            cr_assert_eq(hl_journal_reader_next(reader, &entry, NULL), HL_OK);
            cr_assert_eq(entry.first_sequence, next);
            next = entry.last_sequence + 1;
        }
        kept_tick(bus, HL_SECOND);
        if (next > most && most < PUBLISHED + 2000) {
            kept_publish(bus, 500);
            kept_disk.ahead_ns += HOUR_NS;
            kept_tick(bus, HOUR_NS);
            most += 500;
        }
    }
    cr_assert_gt(kept_stats(bus).packed_segments, 3);
    hl_journal_reader_close(reader);
    manual_stop(bus);
}

/* ---- what goes wrong ---- */

typedef struct told {
    uint32_t count;
    hl_system_keeping last;
} told;

static hl_status note_keeping(const hl_event *event, hl_publisher *out, void *context)
{
    told *const this = context;
    (void)out;
    this->count++;
    this->last = *(const hl_system_keeping *)hl_payload(event);
    return HL_OK;
}

static hl_health health_of_orders(const hl_bus *bus)
{
    hl_health health;
    for (uint32_t i = 0; hl_health_read(bus, i, &health) == HL_OK; i++)
        if (health.kind == HL_HEALTH_JOURNAL && strcmp(health.name, "order") == 0)
            return health;
    cr_assert_fail("orders have no journal's health");
    return health;
}

static void tick_and_hear(hl_bus *bus, uint64_t after_ns)
{
    kept_tick(bus, after_ns);
    turn_all(bus);
}

Test(packing, a_full_disk_is_told_counted_and_tried_again)
{
    const hl_config config = packing_config();
    hl_bus *const bus = kept_start(&config);
    told news = {0};
    cr_assert_eq(hl_subscribe(bus, HL_TOPIC_JOURNAL_KEEPING, note_keeping, &news, NULL, NULL),
                 HL_OK);
    kept_disk.ahead_ns = DAY_NS;
    kept_disk.pack_error = -ENOSPC;
    tick_and_hear(bus, HOUR_NS);
    hl_partition_journal_stats stats = kept_stats(bus);
    cr_assert_eq(stats.keep_failures, 1);
    cr_assert(stats.keep_failing);
    cr_assert_not_null(strstr(stats.keep_reason, "space"), "%s", stats.keep_reason);
    cr_assert_eq(news.count, 1);
    cr_assert_eq(news.last.status, HL_NO_SPACE);
    cr_assert_not_null(strstr(news.last.text, ".pack.tmp"), "%s", news.last.text);
    cr_assert_eq(kept_files(".pack.tmp"), 0, "what it had taken is free again");
    assert_reads(PUBLISHED, NULL);
    tick_and_hear(bus, 100 * HL_MILLISECOND);
    hl_health health = health_of_orders(bus);
    cr_assert_eq(health.status, HL_HEALTH_DEGRADED);
    cr_assert_eq(health.reason, HL_HEALTH_KEEPING);
    cr_assert_not_null(strstr(health.text, "space"), "%s", health.text);
    tick_and_hear(bus, 59 * HL_SECOND);
    cr_assert_eq(kept_stats(bus).keep_failures, 1);
    tick_and_hear(bus, HL_SECOND);
    cr_assert_eq(kept_stats(bus).keep_failures, 2, "each minute");
    cr_assert_eq(news.count, 1, "and told once");
    kept_disk.pack_error = 0;
    tick_and_hear(bus, 60 * HL_SECOND);
    stats = kept_stats(bus);
    cr_assert_eq(stats.packed_segments, 1);
    cr_assert_not(stats.keep_failing);
    cr_assert_str_empty(stats.keep_reason);
    cr_assert_eq(news.count, 2);
    cr_assert_eq(news.last.status, HL_OK);
    tick_and_hear(bus, 100 * HL_MILLISECOND);
    tick_and_hear(bus, 2 * HL_SECOND);
    health = health_of_orders(bus);
    cr_assert_eq(health.status, HL_HEALTH_OK);
    cr_assert_eq(health.worst, HL_HEALTH_DEGRADED);
    cr_assert_eq(kept_disk.log_lines, 1);
    manual_stop(bus);
}

/* A removal does not wait for a disk that lets nothing be packed. */
Test(packing, what_cannot_be_packed_is_removed_all_the_same)
{
    hl_config config = packing_config();
    config.journal_max_bytes = 256 << 10;
    hl_bus *const bus = manual_start(&config);
    kept_tick(bus, 0);
    kept_disk.ahead_ns = DAY_NS;
    kept_disk.pack_error = -ENOSPC;
    kept_publish(bus, PUBLISHED);
    kept_tick(bus, HL_SECOND);
    cr_assert_gt(kept_stats(bus).removed_segments, 0);
    cr_assert_leq(kept_segments(), 4);
    cr_assert_eq(kept_stats(bus).keep_failures, kept_stats(bus).keep_failing);
    manual_stop(bus);
}

/* A journal with what a process left that was killed as it packed. */
Test(packing, what_a_dead_one_had_half_packed_is_removed)
{
    const hl_config config = packing_config();
    manual_stop(kept_start(&config));
    char path[TEMPORARY_DIRECTORY_SIZE + 64];
    snprintf(path, sizeof path, "%s/order/2026-11-21-00000000000000000001.hlj" HL_PACK_TEMPORARY,
             kept_disk.directory);
    FILE *const file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs("half", file);
    fclose(file);
    hl_bus *const bus = manual_start(&config);
    kept_tick(bus, 0);
    cr_assert_eq(kept_files(HL_PACK_TEMPORARY), 0);
    manual_stop(bus);
    assert_reads(PUBLISHED, NULL);
}

Test(packing, who_packs_by_hand_is_not_disturbed)
{
    const hl_config config = packing_config();
    hl_bus *const bus = kept_start(&config);
    char path[TEMPORARY_DIRECTORY_SIZE + 16];
    hl_io_owner owner;
    snprintf(path, sizeof path, "%s/pack.lock", kept_disk.directory);
    const int lock = hl_io_posix()->lock(NULL, path, &owner);
    cr_assert_geq(lock, 0);
    kept_disk.ahead_ns = DAY_NS;
    kept_tick(bus, HOUR_NS);
    cr_assert_eq(kept_stats(bus).packed_segments, 0);
    cr_assert_eq(kept_stats(bus).keep_failures, 0);
    hl_io_posix()->unlock(NULL, lock);
    kept_tick(bus, HOUR_NS);
    cr_assert_eq(kept_stats(bus).packed_segments, 1);
    manual_stop(bus);
}

/* ---- a thread of its own ---- */

/* What is written first of a packed segment takes until the test lets it go. */
static int64_t write_slowly(void *context, hl_io_file file, const void *bytes, size_t size,
                            uint64_t offset)
{
    if (kept_is_half_packed(file))
        kept_stand_first();
    return hl_io_posix()->pwrite(context, file, bytes, size, offset);
}

Test(packing, a_stop_ends_it_in_the_middle_of_a_segment)
{
    hl_config config = packing_config();
    manual_stop(kept_start(&config));
    kept_disk.io.pwrite = write_slowly;
    kept_disk.ahead_ns = DAY_NS;
    config.threads = HL_THREADS_OWN;
    config.clock = NULL;
    hl_bus *const bus = manual_start(&config);
    kept_expect_life(bus);
    kept_stop_while_it_stands(bus);
    cr_assert_leq(kept_stats(bus).packed_segments, 1);
    cr_assert_eq(kept_stats(bus).keep_failures, 0, "it was no failure");
    cr_assert_eq(kept_files(HL_PACK_TEMPORARY), 0);
    hl_bus_destroy(bus);
    assert_reads(PUBLISHED + 1, NULL);
}
