#include "journal/aggregate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "manual_bus.h"
#include "tests/temporary_directory.h"

/* ---- a disk that can be full, in a directory of its own ---- */

static char directory[TEMPORARY_DIRECTORY_SIZE];
static int open_error;    /* of files that are made; negative errno; 0: none */
static uint64_t ticks_ns; /* a second later at each look: what waits for a time is due */
static hl_io disk;

static uint64_t read_ticks(void *context)
{
    (void)context;
    return ticks_ns += HL_SECOND;
}

static int open_or_fail(void *context, const char *path, unsigned flags)
{
    return open_error != 0 && strstr(path, HL_SNAPSHOT_DIRECTORY) != NULL &&
                   (flags & HL_IO_CREATE) != 0
               ? open_error
               : hl_io_posix()->open(context, path, flags);
}

static void set_up(void)
{
    temporary_directory_make(NULL, "aggregates", directory);
    disk = *hl_io_posix();
    disk.open = open_or_fail;
    disk.ticks = read_ticks;
}

static void tear_down(void)
{
    temporary_directory_remove(directory);
}

TestSuite(aggregates, .init = set_up, .fini = tear_down);

/* ---- a bus with positions by key, and a sum that the application keeps ---- */

typedef struct position {
    uint64_t sum, count;
} position;

typedef struct desk {
    hl_bus *bus;
    hl_aggregate *positions;
    hl_aggregate *total;
    hl_topic fill;
    uint64_t sum; /* the application's */
    uint64_t replayed;
    hl_status answer; /* to the next order */
    uint32_t version; /* of the sum; 0: 1 */
    uint32_t oldest;  /* that it reads */
    bool fails_first; /* each order at its first attempt */
} desk;

static hl_status apply(void *state, const hl_event *event, hl_publisher *out, void *context)
{
    position *const at = state;
    desk *const of = context;
    (void)out;
    at->sum += value_of(event);
    at->count++;
    of->replayed += (event->flags & HL_EVENT_REPLAYED) != 0;
    return of->answer;
}

/* Each order is also a fill. */
static hl_status add_up(const hl_event *event, hl_publisher *out, void *context)
{
    desk *const of = context;
    const uint64_t value = value_of(event);
    if (of->fails_first && event->attempt == 0)
        return HL_RETRY;
    if (hl_try_publish(out, of->fill, event->key, &value, sizeof value) != HL_OK)
        return HL_RETRY;
    of->sum += value;
    return HL_OK;
}

static void save(const void *state, uint32_t shard, hl_state_writer *writer, void *context)
{
    (void)shard, (void)context;
    hl_state_write(writer, state, sizeof(uint64_t));
}

static hl_status load(void *state, uint32_t shard, uint32_t version, hl_state_reader *reader,
                      void *context)
{
    const desk *const of = context;
    (void)shard;
    return version < of->oldest ? HL_UNSUPPORTED : hl_state_read(reader, state, sizeof(uint64_t));
}

static hl_domain_config domains[MANUAL_DOMAINS];

static hl_config journaled(bool has_journal)
{
    memcpy(domains, manual_domains, sizeof domains);
    for (int i = 0; i < MANUAL_DOMAINS; i++) {
        domains[i].durability =
            i == MANUAL_ORDER || i == MANUAL_FILL ? HL_DURABILITY_ASYNC : HL_DURABILITY_OFF;
        domains[i].ring_slots = domains[i].handler_ring_slots = 64;
    }
    hl_config config = manual_config();
    config.domains = domains;
    config.journal_dir = has_journal ? directory : NULL;
    config.journal_segment_bytes = 1 << 16;
    config.journal_io = &disk;
    config.snapshot_interval_ns = 0;
    return config;
}

static void create(desk *of, const hl_config *config)
{
    hl_error error = {.text = ""};
    hl_aggregate_options options = HL_AGGREGATE_OPTIONS_INIT;
    void *states[] = {&of->sum};
    of->bus = manual_create(config);
    options.name = "positions";
    options.domain = "order";
    options.pattern = "order.new";
    options.apply = apply;
    options.context = of;
    options.by_key = true;
    options.state_size_bytes = sizeof(position);
    cr_assert_eq(hl_aggregate_open(of->bus, &options, &of->positions, &error), HL_OK, "%s",
                 error.text);
    options = (hl_aggregate_options)HL_AGGREGATE_OPTIONS_INIT;
    options.name = "total";
    options.domain = "order";
    options.version = of->version != 0 ? of->version : 1;
    options.context = of;
    options.states = states;
    options.save = save;
    options.load = load;
    cr_assert_eq(hl_aggregate_open(of->bus, &options, &of->total, &error), HL_OK, "%s", error.text);
    of->fill = topic(of->bus, "fill.done");
    hl_subscription *subscription;
    cr_assert_eq(hl_subscribe(of->bus, "order.new", add_up, of, NULL, &subscription), HL_OK);
    cr_assert_eq(hl_aggregate_fed_by(of->total, subscription, &error), HL_OK, "%s", error.text);
}

static void start(desk *of)
{
    const hl_config config = journaled(true);
    create(of, &config);
    cr_assert_eq(hl_bus_start(of->bus), HL_OK);
}

static hl_rebuild_report rebuild(desk *of, const hl_rebuild_options *options)
{
    hl_rebuild_report report;
    hl_error error = {.text = ""};
    const hl_config config = journaled(true);
    create(of, &config);
    cr_assert_eq(hl_bus_rebuild(of->bus, options, &report, &error), HL_OK, "%s", error.text);
    return report;
}

/* `count` orders of the values first, first + 1, ... with keys 0 to 3. */
static void order(desk *of, uint64_t first, uint64_t count)
{
    const hl_topic to = topic(of->bus, "order.new");
    hl_publisher *const publisher = open_publisher(of->bus, "desk", NULL);
    for (uint64_t i = first; i < first + count; i++) {
        publish(publisher, to, i % 4, i);
        turn_all(of->bus);
    }
    hl_publisher_close(publisher);
}

static void assert_state(const desk *of, uint64_t count)
{
    cr_assert_eq(of->sum, count * (count + 1) / 2, "sum %lu after %lu", of->sum, count);
    for (uint64_t key = 0; key < 4; key++) {
        position at = {0}, wanted = {0};
        for (uint64_t i = key == 0 ? 4 : key; i <= count; i += 4) {
            wanted.sum += i;
            wanted.count++;
        }
        const hl_status status = hl_aggregate_read(of->positions, key, &at);
        cr_assert_eq(status, wanted.count == 0 ? HL_NOT_FOUND : HL_OK);
        cr_assert_eq(at.sum, wanted.sum, "key %lu", key);
        cr_assert_eq(at.count, wanted.count, "key %lu", key);
    }
}

static void snapshot(desk *of)
{
    hl_error error = {.text = ""};
    cr_assert_eq(hl_bus_snapshot(of->bus, 10 * HL_SECOND, &error), HL_OK, "%s", error.text);
}

static hl_aggregate_stats stats(const hl_aggregate *aggregate)
{
    hl_aggregate_stats of;
    cr_assert_eq(hl_aggregate_stats_of(aggregate, 0, &of), HL_OK);
    return of;
}

/* In a process that dies without a stop: orders 1 to `before`, a snapshot, and up to `after`. */
static void run_and_die(uint64_t before, uint64_t after)
{
    const pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        desk of = {0};
        start(&of);
        order(&of, 1, before);
        snapshot(&of);
        order(&of, before + 1, after - before);
        snapshot(&of);
        _exit(0);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- what is promised ---- */

Test(aggregates, are_there_again_from_the_snapshot_and_the_journal_behind_it)
{
    desk one = {0};
    start(&one);
    order(&one, 1, 10);
    snapshot(&one);
    cr_assert_eq(stats(one.total).snapshot_sequence, 10);
    order(&one, 11, 7);
    assert_state(&one, 17);
    manual_stop(one.bus);
    desk two = {0};
    const hl_rebuild_report report = rebuild(&two, NULL);
    assert_state(&two, 17);
    cr_assert_eq(two.replayed, 7);
    cr_assert_eq(report.loaded, 4, "%u: positions, total, last values of order and fill",
                 report.loaded);
    cr_assert_eq(report.events, 14);
    cr_assert_eq(hl_bus_start(two.bus), HL_OK);
    order(&two, 18, 3);
    assert_state(&two, 20);
    manual_stop(two.bus);
}

Test(aggregates, without_snapshots_all_is_replayed)
{
    desk one = {0};
    start(&one);
    order(&one, 1, 10);
    manual_stop(one.bus);
    desk two = {0};
    const hl_rebuild_report report = rebuild(&two, NULL);
    assert_state(&two, 10);
    cr_assert_eq(two.replayed, 10);
    cr_assert_eq(report.loaded, 0);
    cr_assert_eq(report.from_start, 4);
    hl_bus_destroy(two.bus);
}

Test(aggregates, go_on_after_a_crash)
{
    run_and_die(5, 12);
    desk of = {0};
    rebuild(&of, NULL);
    assert_state(&of, 12);
    cr_assert_eq(hl_bus_start(of.bus), HL_OK);
    snapshot(&of);
    order(&of, 13, 4);
    snapshot(&of);
    assert_state(&of, 16);
    cr_assert_gt(stats(of.total).snapshot_sequence, 1000000, "behind what was reserved");
    manual_stop(of.bus);
    desk again = {0};
    cr_assert_eq(rebuild(&again, NULL).missing, 0);
    assert_state(&again, 16);
    hl_bus_destroy(again.bus);
}

/* What was told while snapshots were passed over. */
typedef struct told {
    uint32_t count;
    char last[500];
} told;

static void note(void *context, const char *sentence)
{
    told *const of = context;
    of->count++;
    snprintf(of->last, sizeof of->last, "%s", sentence);
}

static void damage(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/" HL_SNAPSHOT_DIRECTORY "/%s", directory, name);
    FILE *const file = fopen(path, "r+b");
    cr_assert_not_null(file, "%s", path);
    cr_assert_eq(fseek(file, -1, SEEK_END), 0);
    const int last = fgetc(file);
    cr_assert_eq(fseek(file, -1, SEEK_END), 0);
    cr_assert_eq(fputc(last ^ 1, file), last ^ 1);
    cr_assert_eq(fclose(file), 0);
}

Test(aggregates, a_damaged_snapshot_is_passed_over_and_told)
{
    desk one = {0};
    start(&one);
    order(&one, 1, 10);
    snapshot(&one);
    order(&one, 11, 5);
    snapshot(&one);
    order(&one, 16, 2);
    manual_stop(one.bus);
    damage("total-00000000000000000015.hls");
    desk two = {0};
    told notes = {0};
    hl_rebuild_options options = HL_REBUILD_OPTIONS_INIT;
    options.told = note;
    options.context = &notes;
    const hl_rebuild_report report = rebuild(&two, &options);
    /* The sum goes on behind 10, the positions behind 15, each event once. */
    assert_state(&two, 17);
    cr_assert_eq(two.replayed, 2);
    cr_assert_eq(report.passed_over, 1);
    cr_assert_eq(notes.count, 1);
    cr_assert_not_null(strstr(notes.last, "total-00000000000000000015.hls"), "%s", notes.last);
    hl_bus_destroy(two.bus);
}

Test(aggregates, a_snapshot_of_a_version_that_is_not_read_is_passed_over_and_told)
{
    desk one = {.version = 2};
    start(&one);
    order(&one, 1, 10);
    snapshot(&one);
    manual_stop(one.bus);
    hl_rebuild_options options = HL_REBUILD_OPTIONS_INIT;
    told notes = {0};
    options.told = note;
    options.context = &notes;
    desk older = {.version = 1};
    rebuild(&older, &options);
    assert_state(&older, 10);
    cr_assert_eq(notes.count, 1);
    cr_assert_str_eq(notes.last, "aggregate total: its snapshot is of version 2, and this program "
                                 "reads 1");
    hl_bus_destroy(older.bus);
    desk newer = {.version = 3, .oldest = 3};
    rebuild(&newer, &options);
    assert_state(&newer, 10);
    cr_assert_eq(notes.count, 2);
    hl_bus_destroy(newer.bus);
    desk reads_it = {.version = 3, .oldest = 2};
    rebuild(&reads_it, &options);
    assert_state(&reads_it, 10);
    cr_assert_eq(notes.count, 2);
    hl_bus_destroy(reads_it.bus);
}

Test(aggregates, a_full_disk_fails_the_snapshot_and_nothing_else)
{
    hl_error error = {.text = ""};
    desk one = {0};
    start(&one);
    order(&one, 1, 10);
    snapshot(&one);
    order(&one, 11, 5);
    open_error = -ENOSPC;
    cr_assert_eq(hl_bus_snapshot(one.bus, 10 * HL_SECOND, &error), HL_NO_SPACE, "%s", error.text);
    cr_assert_gt(stats(one.positions).failures, 0);
    cr_assert_eq(stats(one.positions).snapshot_sequence, 10);
    order(&one, 16, 1);
    assert_state(&one, 16);
    open_error = 0;
    snapshot(&one);
    cr_assert_eq(stats(one.positions).snapshot_sequence, 16);
    manual_stop(one.bus);
    desk two = {0};
    rebuild(&two, NULL);
    assert_state(&two, 16);
    cr_assert_eq(two.replayed, 0);
    hl_bus_destroy(two.bus);
}

Test(aggregates, there_is_no_snapshot_while_an_event_waits_for_a_retry)
{
    hl_error error = {.text = ""};
    desk one = {0};
    start(&one);
    order(&one, 1, 3);
    one.answer = HL_RETRY;
    order(&one, 4, 1);
    cr_assert_eq(hl_bus_snapshot(one.bus, 0, &error), HL_TIMEOUT, "%s", error.text);
    cr_assert_eq(stats(one.total).snapshots, 0);
    one.answer = HL_OK;
    manual_now_ns += 10 * HL_SECOND;
    turn_all(one.bus);
    snapshot(&one);
    cr_assert_gt(stats(one.total).postponed, 0);
    assert_state(&one, 4);
    manual_stop(one.bus);
}

static hl_status count_one(void *context, const char *path, const hl_snapshot *snapshot)
{
    (void)path, (void)snapshot;
    ++*(uint32_t *)context;
    return HL_OK;
}

static uint32_t count_snapshots(void)
{
    uint32_t count = 0;
    hl_error error = {.text = ""};
    cr_assert_eq(hl_snapshot_each(hl_io_posix(), directory, NULL, count_one, &count, &error), HL_OK,
                 "%s", error.text);
    return count;
}

Test(aggregates, are_shown_as_they_were_at_a_sequence_and_at_a_time)
{
    desk one = {0};
    uint64_t at_ns = 0;
    start(&one);
    for (uint64_t i = 1; i <= 20; i++, manual_now_ns += HL_SECOND) {
        order(&one, i, 1);
        if (i % 5 == 0)
            snapshot(&one);
        if (i == 13)
            at_ns = manual_now_ns;
    }
    manual_stop(one.bus);
    hl_config config = journaled(false);
    hl_rebuild_report report;
    hl_error error = {.text = ""};
    const uint32_t before = count_snapshots();
    for (int by_time = 0; by_time < 2; by_time++) {
        desk then = {0};
        hl_rebuild_options options = HL_REBUILD_OPTIONS_INIT;
        options.reading.directory = directory;
        if (by_time)
            options.reading.filter.to_ns = at_ns;
        else
            options.reading.filter.to_sequence = 17;
        config.snapshot_events = 1;
        create(&then, &config);
        cr_assert_eq(hl_bus_rebuild(then.bus, &options, &report, &error), HL_OK, "%s", error.text);
        assert_state(&then, by_time ? 13 : 17);
        cr_assert_eq(hl_bus_start(then.bus), HL_OK);
        manual_stop(then.bus);
        cr_assert_eq(count_snapshots(), before, "looking leaves nothing behind");
    }
    desk live = {0};
    hl_rebuild_options options = HL_REBUILD_OPTIONS_INIT;
    options.reading.filter.to_sequence = 17;
    config = journaled(true);
    create(&live, &config);
    cr_assert_eq(hl_bus_rebuild(live.bus, &options, &report, &error), HL_NOT_ALLOWED);
    hl_bus_destroy(live.bus);
}

/* Orders 1 to 5, or those behind what there was; then dies with the fills of two more in their
 * ring. */
static void die_with_fills_on_their_way_after(uint64_t had)
{
    const pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        desk of = {0};
        rebuild(&of, NULL);
        cr_assert_eq(hl_bus_start(of.bus), HL_OK);
        if (had == 0)
            order(&of, 1, 5);
        snapshot(&of);
        const uint64_t done = had == 0 ? 5 : had;
        hl_publisher *const publisher = open_publisher(of.bus, "desk", NULL);
        for (uint64_t i = done + 1; i <= done + 2; i++)
            publish(publisher, topic(of.bus, "order.new"), i % 4, i);
        for (int i = 0; i < 8; i++)
            turn(of.bus, "order", 0);
        _exit(of.sum == (done + 2) * (done + 3) / 2 ? 0 : 1);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

Test(aggregates, what_was_on_its_way_in_a_crash_is_published_again_once)
{
    static recorder fills;
    die_with_fills_on_their_way_after(0);
    desk of = {0};
    const hl_rebuild_report report = rebuild(&of, NULL);
    assert_state(&of, 7);
    cr_assert_eq(report.published, 2);
    subscribe(of.bus, "fill.done", &fills, NULL);
    cr_assert_eq(hl_bus_start(of.bus), HL_OK);
    turn_all(of.bus);
    assert_values_follow(&fills, 6, 2);
    cr_assert_eq(hl_id_sequence(fills.entries[0].causation_id), 6);
    manual_stop(of.bus);
    desk again = {0};
    cr_assert_eq(rebuild(&again, NULL).published, 0);
    hl_bus_destroy(again.bus);
}

/* Runs to the end what was rebuilt: the six fills of before are not followed by another. */
static void run_without_another_fill(const desk *of)
{
    cr_assert_eq(hl_bus_start(of->bus), HL_OK);
    turn_all(of->bus);
    cr_assert_eq(
        hl_bus_sequence(of->bus, of->bus->entries[of->fill.number]->domain->first_partition), 6);
    manual_stop(of->bus);
}

/* The fill of an order that was tried again is in the journal, later than the order: by then it has
 * been tried again in the rebuild too, whose clock lies long before the bus was made. */
Test(aggregates, what_was_tried_again_is_so_in_a_rebuild_and_published_once)
{
    desk one = {.fails_first = true};
    start(&one);
    for (uint64_t i = 1; i <= 6; i++) {
        order(&one, i, 1);
        manual_now_ns += 10 * HL_SECOND;
        turn_all(one.bus);
    }
    assert_state(&one, 6);
    manual_stop(one.bus);
    manual_now_ns += 3600 * HL_SECOND;
    desk two = {.fails_first = true};
    const hl_rebuild_report report = rebuild(&two, NULL);
    assert_state(&two, 6);
    cr_assert_eq(report.published, 0);
    run_without_another_fill(&two);
}

/* A stop waits for no time: what failed last is tried again at once, and its fill is in the journal
 * before it was due. So it is in a rebuild; also what stood behind another of its key. */
Test(aggregates, what_a_stop_tried_again_early_is_published_once)
{
    desk one = {.fails_first = true};
    start(&one);
    order(&one, 1, 6);
    cr_assert_eq(one.sum, 0);
    manual_stop(one.bus);
    cr_assert_eq(one.sum, 21);
    desk two = {.fails_first = true};
    const hl_rebuild_report report = rebuild(&two, NULL);
    cr_assert_eq(two.sum, 21, "all were tried again");
    cr_assert_eq(report.published, 0);
    manual_now_ns += 3600 * HL_SECOND;
    run_without_another_fill(&two);
    cr_assert_eq(two.sum, 21);
}

Test(aggregates, what_a_stop_tried_again_early_is_recomputed_so)
{
    desk one = {.fails_first = true}, two = {.fails_first = true};
    start(&one);
    order(&one, 1, 6);
    manual_stop(one.bus);
    const hl_config config = journaled(false);
    create(&two, &config);
    hl_replay_options options = HL_REPLAY_OPTIONS_INIT;
    hl_replay_report report;
    hl_error error = {.text = ""};
    options.mode = HL_REPLAY_RECOMPUTE;
    options.reading.directory = directory;
    cr_assert_eq(hl_bus_replay(two.bus, &options, &report, &error), HL_OK, "%s", error.text);
    cr_assert_eq(report.compared, 6);
    cr_assert_eq(report.unrecorded, 0);
    cr_assert_eq(two.sum, 21);
    hl_bus_destroy(two.bus);
}

Test(aggregates, by_number_and_by_time_they_are_taken_without_being_asked_for)
{
    hl_config config = journaled(true);
    config.snapshot_events = 8;
    desk one = {0};
    create(&one, &config);
    cr_assert_eq(hl_bus_start(one.bus), HL_OK);
    for (uint64_t i = 1; i <= 30; i++) {
        order(&one, i, 1);
        for (int j = 0; j < 4; j++, manual_now_ns += HL_SECOND) {
            hl_bus_housekeep(one.bus);
            turn_all(one.bus);
        }
    }
    cr_assert_geq(stats(one.total).snapshots, 3);
    cr_assert_leq(stats(one.total).snapshots, 4);
    const uint64_t before = stats(one.total).snapshots;
    manual_stop(one.bus);
    desk two = {0};
    config.snapshot_events = 0;
    config.snapshot_interval_ns = HL_SECOND;
    hl_rebuild_report report;
    hl_error error = {.text = ""};
    create(&two, &config);
    cr_assert_eq(hl_bus_rebuild(two.bus, NULL, &report, &error), HL_OK, "%s", error.text);
    cr_assert_eq(report.events, 0, "one more was taken when it stopped, after %lu", before);
    cr_assert_eq(hl_bus_start(two.bus), HL_OK);
    order(&two, 31, 1);
    for (int j = 0; j < 20; j++, manual_now_ns += HL_SECOND) {
        hl_bus_housekeep(two.bus);
        turn_all(two.bus);
    }
    cr_assert_eq(stats(two.total).snapshots, 1, "nothing has happened since");
    assert_state(&two, 31);
    manual_stop(two.bus);
}

Test(aggregates, are_told_of)
{
    static recorder seen;
    hl_domain_config with_system[MANUAL_DOMAINS + 1];
    hl_config config = journaled(true);
    memcpy(with_system, domains, sizeof domains);
    with_system[MANUAL_DOMAINS] = domains[MANUAL_ACCOUNT];
    with_system[MANUAL_DOMAINS].name = "system";
    with_system[MANUAL_DOMAINS].slot_size_bytes = 512;
    config.domains = with_system;
    config.domain_count++;
    desk one = {0};
    create(&one, &config);
    subscribe(one.bus, HL_TOPIC_SNAPSHOT_CREATED, &seen, NULL);
    cr_assert_eq(hl_bus_start(one.bus), HL_OK);
    order(&one, 1, 3);
    snapshot(&one);
    hl_bus_housekeep(one.bus);
    turn_all(one.bus);
    cr_assert_eq(seen.count, 4);
    manual_stop(one.bus);
}

Test(aggregates, refuses_what_is_no_aggregate_with_a_sentence)
{
    const struct {
        const char *text;
        hl_status status;
        hl_aggregate_options options;
    } rows[] = {
        {"begin with HL_AGGREGATE_OPTIONS_INIT", HL_INVALID, {.size = 1}},
        {"it needs a name and a domain", HL_INVALID, HL_AGGREGATE_OPTIONS_INIT},
        {"is no name", HL_INVALID, {.name = "a b", .domain = "order"}},
        {"is not of its domain", HL_INVALID, {.name = "a", .domain = "order", .pattern = "fill.x"}},
        {"either state_size_bytes, or states", HL_INVALID, {.name = "a", .domain = "order"}},
        {"only apply can change",
         HL_INVALID,
         {.name = "a", .domain = "order", .state_size_bytes = 8}},
        {"max_keys 0 is out of range",
         HL_INVALID,
         {.name = "a", .domain = "order", .state_size_bytes = 8, .apply = apply, .by_key = true}},
        {"there is no domain",
         HL_UNKNOWN_DOMAIN,
         {.name = "a", .domain = "nowhere", .state_size_bytes = 8, .apply = apply}},
        {"there is one of this name",
         HL_EXISTS,
         {.name = "total", .domain = "order", .state_size_bytes = 8, .apply = apply}},
    };
    desk of = {0};
    const hl_config config = journaled(false);
    create(&of, &config);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hl_aggregate_options options = rows[i].options;
        hl_aggregate *made;
        hl_error error = {.text = ""};
        if (i > 0)
            options.size = sizeof options;
        cr_assert_eq(hl_aggregate_open(of.bus, &options, &made, &error), rows[i].status, "%zu: %s",
                     i, error.text);
        cr_assert_not_null(strstr(error.text, rows[i].text), "%zu: %s", i, error.text);
    }
    hl_error error;
    cr_assert_eq(hl_bus_start(of.bus), HL_OK);
    cr_assert_eq(hl_bus_snapshot(of.bus, HL_SECOND, &error), HL_NOT_FOUND);
    manual_stop(of.bus);
}

Test(aggregates, are_saved_into_the_journal_they_were_rebuilt_from_when_asked)
{
    run_and_die(5, 12);
    die_with_fills_on_their_way_after(12);
    hl_config config = journaled(false);
    hl_rebuild_options options = HL_REBUILD_OPTIONS_INIT;
    hl_rebuild_report report;
    hl_error error = {.text = ""};
    options.reading.directory = directory;
    desk of = {0};
    create(&of, &config);
    cr_assert_eq(hl_bus_rebuild(of.bus, &options, &report, &error), HL_OK, "%s", error.text);
    snapshot(&of);
    cr_assert_eq(stats(of.total).snapshots, 0, "its last fills are nowhere but in it");
    hl_bus_destroy(of.bus);
    desk recovered = {0};
    cr_assert_eq(rebuild(&recovered, NULL).published, 2);
    assert_state(&recovered, 14);
    cr_assert_eq(hl_bus_start(recovered.bus), HL_OK);
    turn_all(recovered.bus);
    manual_stop(recovered.bus);
    desk again = {0};
    config = journaled(false);
    create(&again, &config);
    cr_assert_eq(hl_bus_rebuild(again.bus, &options, &report, &error), HL_OK, "%s", error.text);
    snapshot(&again);
    cr_assert_eq(stats(again.total).snapshots, 1);
    hl_bus_destroy(again.bus);
    desk last = {0};
    cr_assert_eq(rebuild(&last, NULL).events, 0);
    assert_state(&last, 14);
    hl_bus_destroy(last.bus);
}
