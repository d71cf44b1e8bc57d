/* Batches in a rebuild and in a recomputation: they end where what they have caused says so. */
#include "bus/bus.h"
#include "manual_bus.h"
#include "tests/temporary_directory.h"

#define BATCH_EVENTS 4
#define WAIT_NS      (3600 * HL_SECOND)

static char directory[TEMPORARY_DIRECTORY_SIZE];

static void set_up(void)
{
    temporary_directory_make(NULL, "replayed-batches", directory);
}

static void tear_down(void)
{
    temporary_directory_remove(directory);
}

TestSuite(replayed_batches, .init = set_up, .fini = tear_down);

/* ---- a bus whose orders are settled in batches, each told by one fill ---- */

typedef struct desk {
    hl_bus *bus;
    hl_subscription *batches;
    hl_topic order, settled, quote, note, seen;
    bool is_watched;  /* each order is told by an async handler, too */
    bool is_silent;   /* batches publish nothing */
    bool notes;       /* batches are noted in a domain without a journal, too */
    recorder *sees;   /* what async handlers told; NULL: it does not look */
    uint64_t sum;     /* of the orders that were settled */
    uint32_t runs;    /* batches */
    uint32_t last_of; /* events in the last of them */
} desk;

static hl_status settle(const hl_batch *batch, hl_publisher *out, void *context)
{
    desk *const of = context;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < batch->count; i++)
        sum += value_of(batch->events[i]);
    of->sum += sum;
    of->runs++;
    of->last_of = batch->count;
    if (of->notes)
        cr_assert_eq(hl_try_publish(out, of->note, 1, &sum, sizeof sum), HL_OK);
    return of->is_silent ? HL_OK : hl_try_publish(out, of->settled, 1, &sum, sizeof sum);
}

/* Each order at once, by an inline handler: the newest of its key. */
static hl_status quote(const hl_event *event, hl_publisher *out, void *context)
{
    const desk *const of = context;
    const uint64_t value = value_of(event);
    return hl_try_publish(out, of->quote, 1, &value, sizeof value);
}

static hl_status watch(const hl_event *event, hl_publisher *out, void *context)
{
    const desk *const of = context;
    const uint64_t value = value_of(event);
    return hl_try_publish(out, of->seen, 1, &value, sizeof value);
}

static void subscribe_watch(desk *of)
{
    hl_subscription *watched;
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.async = HL_ASYNC_ORDERED;
    cr_assert_eq(hl_subscribe(of->bus, "order.new", watch, of, &options, &watched), HL_OK);
}

static void create(desk *of, bool has_journal)
{
    static hl_domain_config domains[MANUAL_DOMAINS];
    memcpy(domains, manual_domains, sizeof domains);
    domains[MANUAL_ORDER].durability = domains[MANUAL_FILL].durability = HL_DURABILITY_ASYNC;
    domains[MANUAL_SPREAD].durability = HL_DURABILITY_ASYNC;
    for (int i = 0; i < MANUAL_DOMAINS; i++)
        domains[i].ring_slots = domains[i].handler_ring_slots = 64;
    hl_config config = manual_config();
    config.domains = domains;
    config.journal_dir = has_journal ? directory : NULL;
    config.max_workers = config.min_workers = 1;
    of->bus = manual_create(&config);
    of->order = topic(of->bus, "order.new");
    of->settled = topic(of->bus, "fill.settled");
    of->quote = topic_of_kind(of->bus, "spread.quote", HL_STATE);
    of->note = topic(of->bus, "account.note");
    of->seen = topic(of->bus, "fill.seen");
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.batch = settle;
    options.batch_events = BATCH_EVENTS;
    options.batch_wait_ns = WAIT_NS;
    options.batch_urgent = true;
    cr_assert_eq(hl_subscribe(of->bus, "order.new", NULL, of, &options, &of->batches), HL_OK);
    hl_subscription *inlined;
    cr_assert_eq(hl_subscribe(of->bus, "order.new", quote, of, NULL, &inlined), HL_OK);
    if (of->is_watched)
        subscribe_watch(of);
    if (of->sees != NULL)
        subscribe(of->bus, "fill.seen", of->sees, NULL);
}

static void start(desk *of)
{
    create(of, true);
    cr_assert_eq(hl_bus_start(of->bus), HL_OK);
}

/* `count` orders of the values first, first + 1, ..., all there before the first is handled. */
static void order(const desk *of, uint64_t first, uint64_t count)
{
    hl_publisher *const publisher = open_publisher(of->bus, "desk", NULL);
    for (uint64_t i = first; i < first + count; i++)
        publish(publisher, of->order, 1, i);
    turn_all(of->bus);
    hl_publisher_close(publisher);
}

static hl_rebuild_report rebuild(desk *of)
{
    hl_rebuild_report report;
    hl_error error = {.text = ""};
    create(of, true);
    cr_assert_eq(hl_bus_rebuild(of->bus, NULL, &report, &error), HL_OK, "%s", error.text);
    return report;
}

static uint64_t settlements(const desk *of)
{
    return hl_bus_sequence(of->bus, of->bus->entries[of->settled.number]->domain->first_partition);
}

/* What was rebuilt is started, and waits longer than any batch. */
static void go_on(const desk *of)
{
    cr_assert_eq(hl_bus_start(of->bus), HL_OK);
    turn_all(of->bus);
    manual_now_ns += 2 * WAIT_NS;
    turn_all(of->bus);
}

/* There are so many settlements then, from the beginning. */
static void go_on_to(const desk *of, uint64_t wanted)
{
    go_on(of);
    cr_assert_eq(settlements(of), wanted, "%lu", settlements(of));
    manual_stop(of->bus);
}

/* ---- what is promised ---- */

Test(replayed_batches, one_that_a_stop_hurried_is_settled_once)
{
    desk one = {0}, two = {0};
    start(&one);
    order(&one, 1, 6);
    cr_assert_eq(one.runs, 1);
    manual_stop(one.bus);
    cr_assert_eq(one.runs, 2);
    const hl_rebuild_report report = rebuild(&two);
    cr_assert_eq(report.published, 0);
    cr_assert_eq(two.runs, 2, "each batch ends where it did");
    cr_assert_eq(two.last_of, 2);
    cr_assert_eq(two.sum, 21);
    go_on_to(&two, 2);
    cr_assert_eq(two.sum, 21, "no event came twice");
}

Test(replayed_batches, what_follows_a_hurried_one_begins_a_new_one)
{
    desk one = {0}, two = {0}, three = {0};
    start(&one);
    order(&one, 1, 2);
    manual_stop(one.bus);
    rebuild(&two);
    cr_assert_eq(hl_bus_start(two.bus), HL_OK);
    order(&two, 3, 3);
    cr_assert_eq(two.runs, 1, "three wait");
    manual_stop(two.bus);
    cr_assert_eq(two.runs, 2);
    const hl_rebuild_report report = rebuild(&three);
    cr_assert_eq(report.published, 0);
    cr_assert_eq(three.runs, 2);
    cr_assert_eq(three.last_of, 3);
    cr_assert_eq(three.sum, 15);
    go_on_to(&three, 2);
}

Test(replayed_batches, one_that_was_flushed_ends_there_though_a_later_event_was_read_first)
{
    desk one = {0}, two = {0};
    start(&one);
    order(&one, 1, 2);
    const uint64_t early_ns = manual_now_ns;
    manual_now_ns += HL_SECOND;
    cr_assert_eq(hl_subscription_flush(one.batches), HL_OK);
    turn_all(one.bus);
    cr_assert_eq(one.runs, 1);
    manual_now_ns = early_ns; /* of a publisher that was slow to commit */
    order(&one, 3, 1);
    manual_now_ns = early_ns + HL_SECOND;
    manual_stop(one.bus);
    cr_assert_eq(one.runs, 2);
    const hl_rebuild_report report = rebuild(&two);
    cr_assert_eq(report.published, 0);
    cr_assert_eq(two.runs, 2);
    cr_assert_eq(two.last_of, 1);
    cr_assert_eq(two.sum, 6);
    go_on_to(&two, 2);
}

Test(replayed_batches, one_that_published_nothing_waits_again_and_is_handled_once)
{
    desk one = {.is_silent = true}, two = {.is_silent = true};
    start(&one);
    order(&one, 1, 6);
    manual_stop(one.bus);
    rebuild(&two);
    cr_assert_eq(two.runs, 1, "nothing says that the second one has ended");
    cr_assert_eq(two.sum, 10);
    go_on(&two);
    cr_assert_eq(two.runs, 2);
    cr_assert_eq(two.sum, 21);
    manual_stop(two.bus);
}

/* All orders are read before the first quote: but for the last those are replaced by then, and are
 * no sign of a batch that has ended. */
Test(replayed_batches, are_not_cut_by_what_another_handler_published)
{
    desk one = {0}, two = {0};
    start(&one);
    order(&one, 1, 3);
    manual_now_ns += HL_SECOND;
    order(&one, 4, 1);
    manual_stop(one.bus);
    cr_assert_eq(one.runs, 1);
    rebuild(&two);
    cr_assert_eq(two.runs, 1);
    cr_assert_eq(two.last_of, 4);
    go_on_to(&two, 1);
}

/* None of those runs in a rebuild, so that nobody publishes it here. */
Test(replayed_batches, are_not_cut_by_what_an_async_handler_published)
{
    desk one = {.is_watched = true}, two = {0};
    start(&one);
    order(&one, 1, 3);
    manual_now_ns += HL_SECOND;
    order(&one, 4, 1);
    manual_stop(one.bus);
    cr_assert_eq(one.runs, 1);
    const hl_rebuild_report report = rebuild(&two);
    cr_assert_eq(report.published, 0);
    cr_assert_eq(two.runs, 1);
    cr_assert_eq(two.last_of, 4);
    go_on_to(&two, 5); /* the four that it told, and the settlement */
}

static hl_replay_report recompute(desk *of)
{
    hl_replay_options options = HL_REPLAY_OPTIONS_INIT;
    hl_replay_report report;
    hl_error error = {.text = ""};
    create(of, false);
    options.mode = HL_REPLAY_RECOMPUTE;
    options.reading.directory = directory;
    cr_assert_eq(hl_bus_replay(of->bus, &options, &report, &error), HL_OK, "%s", error.text);
    cr_assert_eq(report.unrecorded, 0);
    return report;
}

Test(replayed_batches, what_an_async_handler_published_is_fed_to_a_recomputation)
{
    static recorder seen;
    desk one = {.is_watched = true}, two = {.sees = &seen};
    start(&one);
    order(&one, 1, 8);
    manual_stop(one.bus);
    const hl_replay_report report = recompute(&two);
    cr_assert_eq(report.of_async, 8);
    cr_assert_eq(report.external, 8);
    cr_assert_eq(report.compared + report.conflated, 2 + 8, "settlements and quotes");
    assert_values_follow(&seen, 1, 8);
    cr_assert_eq(two.sum, 36);
    hl_bus_destroy(two.bus);
}

Test(replayed_batches, one_that_a_stop_hurried_is_recomputed_so)
{
    desk one = {0}, two = {0};
    start(&one);
    order(&one, 1, 6);
    manual_stop(one.bus);
    recompute(&two);
    cr_assert_eq(two.runs, 2);
    cr_assert_eq(two.sum, 21);
    hl_bus_destroy(two.bus);
}

Test(replayed_batches, what_went_to_a_domain_without_a_journal_is_not_published_again)
{
    desk one = {.notes = true}, two = {.notes = true};
    start(&one);
    order(&one, 1, 6);
    manual_stop(one.bus);
    cr_assert_eq(rebuild(&two).published, 0);
    go_on_to(&two, 2);
}
