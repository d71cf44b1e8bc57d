#include "journal/handover.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hotlane/system.h>

#include "bus/bus.h"
#include "journal/retention.h"
#include "manual_bus.h"
#include "tests/temporary_directory.h"

/* ---- a bus whose market_data and spread are journaled, fill with sync ---- */

static char directory[TEMPORARY_DIRECTORY_SIZE];
static hl_domain_config domains[MANUAL_DOMAINS + 1]; /* and `system` */
static recorder seen;

static void set_up(void)
{
    temporary_directory_make(NULL, "handover", directory);
}

static void tear_down(void)
{
    temporary_directory_remove(directory);
}

TestSuite(handover, .init = set_up, .fini = tear_down);

static const char *key_file; /* of the bus; NULL: none */

static hl_bus *start(void)
{
    memcpy(domains, manual_domains, sizeof manual_domains);
    domains[MANUAL_DOMAINS] = (hl_domain_config){.name = "system",
                                                 .priority = HL_BACKGROUND,
                                                 .shards = 1,
                                                 .slot_size_bytes = 512,
                                                 .ring_slots = 64,
                                                 .handler_ring_slots = 4};
    domains[MANUAL_MARKET_DATA].durability = HL_DURABILITY_ASYNC;
    domains[MANUAL_SPREAD].durability = HL_DURABILITY_ASYNC;
    domains[MANUAL_FILL].durability = HL_DURABILITY_SYNC;
    hl_config config = manual_config();
    config.domains = domains;
    config.domain_count = MANUAL_DOMAINS + 1;
    config.journal_dir = directory;
    config.journal_key_file = key_file;
    config.journal_segment_bytes = 64 << 10;
    config.max_workers = config.min_workers = 2;
    return manual_start(&config);
}

static hl_subscription_options options_from(hl_from from)
{
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.async = HL_ASYNC_ORDERED;
    options.contract = HL_CONTRACT_EJECT;
    options.queue_events = 8;
    options.eject_behind = 6;
    options.past.from = from;
    return options;
}

/* Everything moves until nothing does. */
static void settle(hl_bus *bus)
{
    for (int i = 0; i < 400; i++) {
        manual_now_ns += HL_MILLISECOND;
        turn_all(bus);
        cr_assert_eq(hl_bus_housekeep(bus), HL_OK);
    }
}

/* The partitions take them one by one; no worker runs. */
static void publish_slowly(hl_bus *bus, const char *name, uint64_t first, uint64_t count)
{
    const hl_topic to = topic(bus, name);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    for (uint64_t i = 0; i < count; i++) {
        publish(feed, to, first + i, first + i);
        for (uint32_t p = 0; p < bus->partition_count; p++)
            hl_executor_turn(hl_bus_executor(bus, p), 0);
    }
    hl_publisher_close(feed);
}

/* The events from `at` on have these values, and are replayed or not. */
static void assert_seen(uint32_t at, uint64_t first, uint32_t count, bool replayed)
{
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(seen.entries[at + i].value, first + i, "%u: %lu", at + i,
                     seen.entries[at + i].value);
        cr_assert_eq((seen.entries[at + i].flags & HL_EVENT_REPLAYED) != 0, replayed, "%u", at + i);
    }
}

/* ---- late ones ---- */

Test(handover, a_late_one_gets_the_past_first_and_then_what_comes)
{
    hl_bus *const bus = start();
    const hl_topic trade = topic(bus, "market_data.trade");
    publish_slowly(bus, "market_data.trade", 1, 100);
    const hl_subscription_options options = options_from(HL_FROM_START);
    hl_subscription *const subscription = subscribe(bus, "market_data.>", &seen, &options);
    cr_assert(stats_of(subscription).catching_up);
    settle(bus);
    cr_assert_eq(seen.count, 100);
    assert_seen(0, 1, 100, true);
    cr_assert_not(stats_of(subscription).catching_up);
    uint64_t begin;
    cr_assert_eq(hl_subscription_start(subscription, 0, &begin), HL_OK);
    cr_assert_eq(begin, 100);
    publish(open_publisher(bus, "feed", NULL), trade, 1, 101);
    settle(bus);
    cr_assert_eq(seen.count, 101);
    assert_seen(100, 101, 1, false);
    cr_assert_eq(stats_of(subscription).replayed, 100);
    cr_assert_eq(stats_of(subscription).handled, 101);
    cr_assert_eq(stats_of(subscription).missed, 0);
    assert_conserved(bus);
    manual_stop(bus);
}

Test(handover, what_is_published_while_it_catches_up_comes_once)
{
    hl_bus *const bus = start();
    publish_slowly(bus, "market_data.trade", 1, 60);
    hl_subscription_options options = options_from(HL_FROM_START);
    options.queue_events = options.eject_behind = 64;
    subscribe(bus, "market_data.>", &seen, &options);
    for (uint64_t next = 61; next <= 120; next += 3) {
        publish_slowly(bus, "market_data.trade", next, 3);
        cr_assert_eq(hl_bus_housekeep(bus), HL_OK);
    }
    settle(bus);
    /* With a slow disk all of these were the past; what comes now is not. */
    publish_slowly(bus, "market_data.trade", 121, 3);
    settle(bus);
    assert_values_follow(&seen, 1, 123);
    cr_assert_neq(seen.entries[59].flags & HL_EVENT_REPLAYED, 0);
    cr_assert_eq(seen.entries[122].flags & HL_EVENT_REPLAYED, 0);
    assert_conserved(bus);
    manual_stop(bus);
}

Test(handover, a_position_is_behind_the_last_that_one_has)
{
    hl_bus *const bus = start();
    publish_slowly(bus, "market_data.trade", 1, 50);
    hl_subscription_options options = options_from(HL_FROM_POSITIONS);
    options.past.positions = &(hl_position){.partition = 0, .after_sequence = 42};
    options.past.position_count = 1;
    subscribe(bus, "market_data.trade", &seen, &options);
    settle(bus);
    cr_assert_eq(seen.count, 8);
    assert_seen(0, 43, 8, true);
    manual_stop(bus);
}

Test(handover, batches_of_what_is_live_wait_for_the_past_whatever_the_order)
{
    for (hl_async_order order = HL_ASYNC_UNORDERED; order <= HL_ASYNC_ORDERED; order++) {
        hl_bus *const bus = start();
        seen.count = 0;
        publish_slowly(bus, "market_data.trade", 1, 40);
        hl_subscription_options options = options_from(HL_FROM_START);
        options.async = order;
        options.queue_events = options.eject_behind = 64;
        options.batch = record_batch;
        options.batch_events = 8;
        options.batch_wait_ns = 0;
        hl_subscription *const subscription = subscribe(bus, "market_data.>", &seen, &options);
        cr_assert_eq(hl_bus_housekeep(bus), HL_OK);
        /* It has all that is written, so these are queued though what lies between is yet to come.
         */
        publish_slowly(bus, "market_data.trade", 41, 3);
        uint64_t begin;
        cr_assert_eq(hl_subscription_start(subscription, 0, &begin), HL_OK);
        cr_assert_lt(stats_of(subscription).replayed, begin);
        settle(bus);
        cr_assert_eq(seen.count, 43);
        if (order != HL_ASYNC_BY_KEY)
            assert_values_follow(&seen, 1, 43);
        manual_stop(bus);
        tear_down();
        set_up();
    }
}

static bool is_even(const hl_event *event, void *context)
{
    (void)context;
    return value_of(event) % 2 == 0;
}

Test(handover, only_what_it_wants_of_all_shards_and_topics)
{
    hl_bus *const bus = start();
    publish_slowly(bus, "spread.wide", 0, 40);
    publish_slowly(bus, "spread.tight", 40, 40);
    hl_subscription_options options = options_from(HL_FROM_START);
    options.predicate = is_even;
    hl_subscription *const subscription = subscribe(bus, "spread.wide", &seen, &options);
    settle(bus);
    cr_assert_eq(seen.count, 20);
    bool had[40] = {false};
    for (uint32_t i = 0; i < seen.count; i++) {
        const uint64_t value = seen.entries[i].value;
        cr_assert(value < 40 && value % 2 == 0 && !had[value], "%lu", value);
        had[value] = true;
    }
    cr_assert_eq(stats_of(subscription).filtered, 20);
    cr_assert_eq(stats_of(subscription).delivered, 40);
    assert_conserved(bus);
    manual_stop(bus);
}

Test(handover, of_a_sync_domain_too)
{
    hl_bus *const bus = start();
    publish_slowly(bus, "fill.done", 1, 30);
    const hl_subscription_options options = options_from(HL_FROM_START);
    subscribe(bus, "fill.done", &seen, &options);
    publish_slowly(bus, "fill.done", 31, 3);
    settle(bus);
    assert_values_follow(&seen, 1, 33);
    manual_stop(bus);
}

Test(handover, of_an_earlier_run_under_the_numbers_of_this_one)
{
    hl_bus *bus = start();
    topic(bus, "market_data.first");
    publish_slowly(bus, "market_data.trade", 1, 20);
    manual_stop(bus);
    bus = start();
    const hl_subscription_options options = options_from(HL_FROM_START);
    subscribe(bus, "market_data.>", &seen, &options);
    settle(bus);
    assert_values_follow(&seen, 1, 20);
    cr_assert_str_eq(hl_topic_name(bus, seen.entries[0].topic), "market_data.trade");
    manual_stop(bus);
}

/* ---- ejected ones ---- */

Test(handover, one_that_was_ejected_goes_on_where_it_was)
{
    hl_bus *const bus = start();
    const hl_subscription_options options = options_from(HL_FROM_NOW);
    const hl_past last = {.from = HL_FROM_LAST};
    hl_subscription *const subscription = subscribe(bus, "market_data.>", &seen, &options);
    settle(bus);
    cr_assert_eq(hl_subscription_reattach_from(subscription, &last), HL_WRONG_STATE);
    const hl_topic trade = topic(bus, "market_data.trade");
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    for (uint64_t i = 1; i <= 30; i++) {
        publish(feed, trade, i, i);
        turn(bus, "market_data", 0);
    }
    cr_assert_eq(hl_subscription_reattach_from(subscription, &last), HL_BUSY);
    settle(bus);
    cr_assert_eq(seen.count, 8, "seven, and that it was detached");
    cr_assert_eq(seen.entries[7].flags, HL_EVENT_EJECTED);
    cr_assert_eq(hl_subscription_reattach_from(subscription, &last), HL_OK);
    cr_assert_eq(hl_subscription_reattach_from(subscription, &last), HL_WRONG_STATE);
    settle(bus);
    cr_assert_eq(seen.count, 31);
    assert_seen(8, 8, 23, true);
    cr_assert_not(stats_of(subscription).ejected);
    publish(feed, trade, 1, 31);
    settle(bus);
    assert_seen(31, 31, 1, false);
    assert_conserved(bus);
    manual_stop(bus);
}

Test(handover, one_that_is_ejected_again_as_it_catches_up_loses_nothing)
{
    hl_bus *const bus = start();
    publish_slowly(bus, "market_data.trade", 1, 20);
    const hl_subscription_options options = options_from(HL_FROM_START);
    hl_subscription *const subscription = subscribe(bus, "market_data.>", &seen, &options);
    const hl_past last = {.from = HL_FROM_LAST};
    uint64_t next = 21;
    for (int round = 0; round < 40; round++) {
        /* Its partition attaches it, and then comes more than its queue holds. */
        for (int i = 0; i < 12; i++) {
            hl_bus_housekeep(bus);
            hl_executor_turn(hl_bus_executor(bus, 0), 0);
            hl_executor_turn(bus->pools[HL_POOL_WORKERS]->workers[0].executor,
                             1 + (uint32_t)round % 3);
        }
        publish_slowly(bus, "market_data.trade", next, (uint64_t)round % 11);
        next += (uint64_t)round % 11;
        (void)hl_subscription_reattach_from(subscription, &last);
    }
    settle(bus);
    (void)hl_subscription_reattach_from(subscription, &last);
    settle(bus);
    uint64_t value = 0;
    for (uint32_t i = 0; i < seen.count; i++)
        if ((seen.entries[i].flags & HL_EVENT_EJECTED) == 0)
            cr_assert_eq(seen.entries[i].value, ++value, "%u", i);
    cr_assert_eq(value, next - 1);
    assert_conserved(bus);
    manual_stop(bus);
}

/* ---- what is not there ---- */

static void remove_oldest(void)
{
    /* As retention does: the oldest segment goes. */
    char path[300], oldest[128] = "";
    snprintf(path, sizeof path, "ls %s/market_data | grep hlj | head -1", directory);
    FILE *const list = popen(path, "r");
    cr_assert_not_null(fgets(oldest, sizeof oldest, list));
    pclose(list);
    oldest[strcspn(oldest, "\n")] = '\0';
    snprintf(path, sizeof path, "%s/market_data/%.100s", directory, oldest);
    cr_assert_eq(unlink(path), 0);
}

Test(handover, what_retention_has_removed_is_refused_or_told)
{
    hl_bus *const bus = start();
    publish_slowly(bus, "market_data.trade", 1, 1500);
    remove_oldest();
    hl_subscription_options options = options_from(HL_FROM_POSITIONS);
    options.past.positions = &(hl_position){.partition = 0, .after_sequence = 10};
    options.past.position_count = 1;
    cr_assert_eq(hl_subscribe(bus, "market_data.>", record, &seen, &options, NULL), HL_GONE);
    assert_sentence(bus, HL_GONE, "removed by retention");
    options.past.may_miss = true;
    hl_subscription *const subscription = subscribe(bus, "market_data.>", &seen, &options);
    settle(bus);
    cr_assert_eq(seen.entries[0].flags, HL_EVENT_LOST | HL_EVENT_REPLAYED);
    const uint64_t missed = stats_of(subscription).missed;
    cr_assert_gt(missed, 0);
    cr_assert_eq(seen.entries[0].value, missed);
    cr_assert_eq(seen.count, 1 + 1490 - missed);
    assert_seen(1, 11 + missed, (uint32_t)(1490 - missed), true);
    assert_conserved(bus);
    manual_stop(bus);
}

Test(handover, from_the_start_is_from_the_oldest_there_is)
{
    hl_bus *const bus = start();
    publish_slowly(bus, "market_data.trade", 1, 1500);
    remove_oldest();
    const hl_subscription_options options = options_from(HL_FROM_START);
    hl_subscription *const subscription = subscribe(bus, "market_data.>", &seen, &options);
    settle(bus);
    cr_assert_eq(stats_of(subscription).missed, 0);
    assert_values_follow(&seen, 1501 - seen.count, seen.count);
    cr_assert_geq(seen.count, 100);
    manual_stop(bus);
}

/* ---- packed segments ---- */

static char key_path[TEMPORARY_DIRECTORY_SIZE + 8];

/* A file of this key, repeated to its 64 digits. */
static hl_journal_keys *write_key(char digit)
{
    hl_journal_keys *keys = NULL;
    hl_error error = {.text = ""};
    snprintf(key_path, sizeof key_path, "%s/keys", directory);
    FILE *const file = fopen(key_path, "w");
    cr_assert_not_null(file);
    for (int i = 0; i < 64; i++)
        fputc(digit, file);
    fclose(file);
    const hl_status status = hl_journal_keys_load(key_path, &keys, &error);
    if (status == HL_UNSUPPORTED)
        cr_skip_test("%s", error.text);
    cr_assert_eq(status, HL_OK, "%s", error.text);
    return keys;
}

/* All that is sealed, as `hotlane journal compact` does, beside the bus that writes. */
static void pack_sealed(bool compress, const hl_journal_keys *keys)
{
    const hl_retention_options options = {
        .directory = directory, .pack = true, .compress = compress, .keys = keys};
    hl_retention_result result;
    hl_error error = {.text = ""};
    const hl_status status = hl_retention_apply(hl_io_posix(), &options, &result, &error);
    if (status == HL_UNSUPPORTED)
        cr_skip_test("%s", error.text);
    cr_assert_eq(status, HL_OK, "%s", error.text);
    cr_assert_geq(result.packed, 2);
}

/* A late one, and one that is ejected while all but the newest segment is packed. */
static void catch_up_through_packed(bool compress, const hl_journal_keys *keys)
{
    static recorder late;
    hl_bus *const bus = start();
    hl_subscription_options options = options_from(HL_FROM_NOW);
    hl_subscription *const ejected = subscribe(bus, "market_data.>", &seen, &options);
    settle(bus);
    publish_slowly(bus, "market_data.trade", 1, 2500);
    settle(bus);
    cr_assert(stats_of(ejected).ejected);
    pack_sealed(compress, keys);
    const uint32_t before = seen.count;
    const hl_past last = {.from = HL_FROM_LAST};
    cr_assert_eq(hl_subscription_reattach_from(ejected, &last), HL_OK);
    options.past.from = HL_FROM_START;
    subscribe(bus, "market_data.>", &late, &options);
    for (int i = 0; i < 20 && (late.count < 2500 || seen.count < 2501); i++)
        settle(bus);
    publish(open_publisher(bus, "feed", NULL), topic(bus, "market_data.trade"), 1, 2501);
    settle(bus);
    assert_values_follow(&late, 1, 2501);
    cr_assert_eq(seen.entries[before - 1].flags, HL_EVENT_EJECTED);
    cr_assert_eq(seen.count, 2502, "each once, and that it was detached");
    for (uint32_t i = before; i < seen.count; i++)
        cr_assert_eq(seen.entries[i].value, i, "%u", i);
    cr_assert_eq(stats_of(ejected).missed, 0);
    assert_conserved(bus);
    manual_stop(bus);
}

Test(handover, through_segments_that_were_compressed_meanwhile)
{
    catch_up_through_packed(true, NULL);
}

Test(handover, through_segments_that_were_encrypted_meanwhile)
{
    hl_journal_keys *const keys = write_key('a');
    key_file = key_path;
    catch_up_through_packed(false, keys);
    hl_journal_keys_free(keys);
}

static char told[160];

static hl_status note_hand_over(const hl_event *event, hl_publisher *out, void *context)
{
    const hl_system_hand_over *const news = hl_payload(event);
    (void)out, (void)context;
    if (news->state == HL_HAND_OVER_WAITING)
        snprintf(told, sizeof told, "%s", news->text);
    return HL_OK;
}

/* A bus whose sealed segments are encrypted with a key that it has not, and its first 2500 events.
 */
static hl_bus *start_locked_out(char key, const char *own_keys)
{
    hl_journal_keys *const keys = write_key(key);
    key_file = own_keys;
    hl_bus *const bus = start();
    cr_assert_eq(hl_subscribe(bus, "system.hand_over", note_hand_over, NULL, NULL, NULL), HL_OK);
    publish_slowly(bus, "market_data.trade", 1, 2500);
    pack_sealed(false, keys);
    hl_journal_keys_free(keys);
    return bus;
}

static void assert_refused(hl_bus *bus, const char *pattern, const hl_subscription_options *options,
                           hl_status status, const char *text)
{
    cr_assert_eq(hl_subscribe(bus, pattern, record, &seen, options, NULL), status);
    assert_sentence(bus, status, text);
}

Test(handover, without_the_key_the_call_is_refused)
{
    hl_bus *const bus = start_locked_out('b', NULL);
    hl_subscription_options options = options_from(HL_FROM_START);
    assert_refused(bus, "market_data.>", &options, HL_NOT_ALLOWED, "no key was given");
    settle(bus);
    cr_assert_eq(seen.count, 0);
    cr_assert_eq(*told, '\0', "%s", told);
    /* What is not encrypted can be had all the same. */
    options.past.from = HL_FROM_POSITIONS;
    const hl_position end = {.partition = 0, .after_sequence = 2499};
    options.past.positions = &end;
    options.past.position_count = 1;
    subscribe(bus, "market_data.>", &seen, &options);
    settle(bus);
    cr_assert_eq(seen.count, 1);
    assert_conserved(bus);
    manual_stop(bus);
}

Test(handover, with_another_key_the_call_is_refused)
{
    char other[sizeof key_path + 8];
    hl_journal_keys_free(write_key('d'));
    snprintf(other, sizeof other, "%s-other", key_path);
    cr_assert_eq(rename(key_path, other), 0);
    hl_bus *const bus = start_locked_out('b', other);
    const hl_subscription_options options = options_from(HL_FROM_START);
    assert_refused(bus, "market_data.>", &options, HL_NOT_ALLOWED, "none of the keys");
    manual_stop(bus);
}

Test(handover, of_what_was_encrypted_meanwhile_without_the_key_it_waits_and_says_why)
{
    hl_journal_keys *const keys = write_key('b');
    hl_bus *const bus = start();
    cr_assert_eq(hl_subscribe(bus, "system.hand_over", note_hand_over, NULL, NULL, NULL), HL_OK);
    publish_slowly(bus, "market_data.trade", 1, 2500);
    const hl_subscription_options options = options_from(HL_FROM_START);
    hl_subscription *const late = subscribe(bus, "market_data.>", &seen, &options);
    cr_assert_eq(*stats_of(late).waits_for, '\0');
    pack_sealed(false, keys);
    hl_journal_keys_free(keys);
    settle(bus);
    cr_assert(stats_of(late).catching_up);
    cr_assert_eq(seen.count, 0);
    cr_assert_not_null(strstr(told, "encrypted with key"), "%s", told);
    cr_assert_str_eq(stats_of(late).waits_for, told);
    assert_conserved(bus);
    manual_stop(bus);
}

Test(handover, a_segment_that_is_away_is_waited_for_and_no_longer_when_it_is_back)
{
    char path[2 * TEMPORARY_DIRECTORY_SIZE], away[sizeof path + 8];
    hl_bus *const bus = start();
    publish_slowly(bus, "market_data.trade", 1, 2500);
    const hl_subscription_options options = options_from(HL_FROM_START);
    hl_subscription *const late = subscribe(bus, "market_data.>", &seen, &options);
    snprintf(path, sizeof path, "%s/market_data", directory);
    snprintf(away, sizeof away, "%s-away", path);
    cr_assert_eq(rename(path, away), 0);
    settle(bus);
    cr_assert(stats_of(late).catching_up);
    cr_assert_not_null(strstr(stats_of(late).waits_for, path), "%s", stats_of(late).waits_for);
    cr_assert_eq(rename(away, path), 0);
    for (int i = 0; i < 20 && seen.count < 2500; i++)
        settle(bus);
    cr_assert_eq(seen.count, 2500);
    cr_assert_eq(*stats_of(late).waits_for, '\0', "%s", stats_of(late).waits_for);
    assert_conserved(bus);
    manual_stop(bus);
}

/* Whatever the bus would read with it, or none of it. */
static void assert_key_file_is_refused(const char *path, const char *journal_dir, uint32_t workers)
{
    hl_config config = manual_config();
    hl_bus *bus = NULL;
    hl_error error = {.text = ""};
    memcpy(domains, manual_domains, sizeof manual_domains);
    if (journal_dir != NULL)
        domains[MANUAL_MARKET_DATA].durability = HL_DURABILITY_ASYNC;
    config.domains = domains;
    config.journal_dir = journal_dir;
    config.journal_key_file = path;
    config.max_workers = config.min_workers = workers;
    cr_assert_eq(hl_bus_create(&config, &bus, &error), HL_INVALID);
    cr_assert_eq(strncmp(error.text, "journal_key_file: ", 18), 0, "%s", error.text);
    cr_assert_not_null(strstr(error.text, path), "%s", error.text);
}

Test(handover, a_key_file_that_is_none_is_refused_before_the_bus_is_made)
{
    hl_journal_keys_free(write_key('c')); /* skips where there is no encryption */
    for (uint32_t workers = 0; workers <= 2; workers += 2) {
        assert_key_file_is_refused("/nowhere/keys", directory, workers);
        assert_key_file_is_refused("/nowhere/keys", NULL, workers);
    }
    FILE *const file = fopen(key_path, "a");
    fputs("\nnot a key\n", file);
    fclose(file);
    assert_key_file_is_refused(key_path, directory, 0);
}

/* ---- ends ---- */

Test(handover, an_unsubscribe_in_the_middle_ends_it)
{
    hl_bus *const bus = start();
    publish_slowly(bus, "market_data.trade", 1, 200);
    const hl_subscription_options options = options_from(HL_FROM_START);
    hl_subscription *const subscription = subscribe(bus, "market_data.>", &seen, &options);
    hl_bus_housekeep(bus);
    cr_assert_eq(hl_unsubscribe(subscription, HL_SECOND, NULL), HL_OK);
    settle(bus);
    cr_assert_eq(seen.count, 0);
    assert_conserved(bus);
    manual_stop(bus);
}

Test(handover, a_stop_does_not_wait_for_a_past_that_is_far_behind)
{
    hl_bus *const bus = start();
    publish_slowly(bus, "market_data.trade", 1, 2000);
    const hl_subscription_options options = options_from(HL_FROM_START);
    subscribe(bus, "market_data.>", &seen, &options);
    hl_bus_housekeep(bus);
    manual_stop(bus);
    cr_assert_lt(seen.count, 2000);
}

Test(handover, a_stop_waits_for_the_rest_when_the_live_queue_has_begun)
{
    hl_bus *const bus = start();
    publish_slowly(bus, "market_data.trade", 1, 20);
    hl_subscription_options options = options_from(HL_FROM_START);
    options.queue_events = options.eject_behind = 128;
    subscribe(bus, "market_data.>", &seen, &options);
    hl_bus_housekeep(bus); /* it is near: it asks */
    hl_executor_turn(hl_bus_executor(bus, 0), 0);
    manual_stop(bus);
    assert_values_follow(&seen, 1, 20);
}

Test(handover, a_bus_that_was_never_started_lets_it_go)
{
    hl_bus *bus = start();
    publish_slowly(bus, "market_data.trade", 1, 20);
    manual_stop(bus);
    hl_config config = manual_config();
    config.domains = domains;
    config.journal_dir = directory;
    config.max_workers = config.min_workers = 2;
    bus = manual_create(&config);
    const hl_subscription_options options = options_from(HL_FROM_START);
    subscribe(bus, "market_data.>", &seen, &options);
    hl_bus_destroy(bus);
    cr_assert_eq(seen.count, 0);
}

/* ---- what is refused ---- */

Test(handover, bad_wishes_are_refused_with_a_sentence)
{
    hl_bus *const bus = start();
    hl_subscription_options options = options_from(HL_FROM_LAST);
    assert_refused(bus, "market_data.>", &options, HL_INVALID, "past.from is 3");
    options = options_from(HL_FROM_START);
    assert_refused(bus, "order.>", &options, HL_NOT_ALLOWED, "none of its partitions");
    options.contract = HL_CONTRACT_LATEST;
    assert_refused(bus, "market_data.>", &options, HL_INVALID, "not with contract latest");
    options = options_from(HL_FROM_START);
    options.initial_image = true;
    assert_refused(bus, "market_data.>", &options, HL_INVALID, "initial image");
    options = options_from(HL_FROM_START);
    options.async = HL_ASYNC_NONE;
    options.contract = HL_CONTRACT_LOSSLESS;
    assert_refused(bus, "market_data.>", &options, HL_INVALID, "of async subscriptions");
    options = options_from(HL_FROM_POSITIONS);
    options.past.position_count = 1;
    assert_refused(bus, "market_data.>", &options, HL_INVALID, "none is given");
    options.past.positions = &(hl_position){.partition = 1};
    assert_refused(bus, "market_data.>", &options, HL_INVALID, "which it never reaches");
    assert_refused(bus, ">", &options, HL_NOT_ALLOWED, "which has no journal");
    manual_stop(bus);
    hl_config config = manual_config();
    config.max_workers = config.min_workers = 1;
    hl_bus *const without = manual_start(&config);
    options = options_from(HL_FROM_START);
    assert_refused(without, "market_data.>", &options, HL_NOT_ALLOWED, "set journal_dir");
    manual_stop(without);
}
