/*
 * Everything that happens when there is too much, at once and at random, in a bus that is turned by
 * hand: ladders of several shards, sampling, limits, lanes that conflate, batches of publishers and
 * of handlers, handlers that fail and are tried again, and async subscribers of every contract,
 * some of whom hardly ever run. Whatever it is:
 *
 *   - the bus conserves every event;
 *   - what has been taken of `delta` topics, and orders of any kind, comes, once and in its order;
 *   - of each key the newest value of a `state` topic comes, to each subscriber that may not lose,
 *     and never an older one after a newer;
 *   - who may lose is told of each event that it lost;
 *   - nothing of CRITICAL or HIGH is conflated, shed or throttled;
 *   - ladders go step by step, and down no faster than they are told to.
 *
 * A failure names the seed; HOTLANE_SEED=N runs that one, HOTLANE_LONG many.
 */
#include "flow_bus.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/random.h"

#define KEYS    6
#define STEPS   1200
#define SENDERS 3 /* key % SENDERS publishes it */

typedef enum shape { DELTA, STATE, SAMPLED, LOW_STATE, LOG, ORDER, HIGH_STATE, KINDS } shape;

static const struct {
    const char *name;
    hl_topic_kind kind;
    int priority;
    bool never_lost; /* once it is taken, each one comes */
} shapes[KINDS] = {
    [DELTA] = {"delta", HL_DELTA, HL_NORMAL, true},
    [STATE] = {"state", HL_STATE, HL_NORMAL, false},
    [SAMPLED] = {"sampled", HL_STATE, HL_NORMAL, false},
    [LOW_STATE] = {"low", HL_STATE, HL_LOW, false},
    [LOG] = {"log", HL_EXPENDABLE, HL_BACKGROUND, false},
    [ORDER] = {"order", HL_DELTA, HL_CRITICAL, true},
    [HIGH_STATE] = {"status", HL_STATE, HL_HIGH, true},
};

enum { CONFLATED, SHARDED, DOMAINS }; /* market_data: its LOW lane conflates; spread: four shards */
static const char *const domain_names[DOMAINS] = {"market_data", "spread"};

/* What a subscriber has seen. */
typedef struct viewer {
    struct world *of;
    const char *name;
    uint32_t fails_one_in; /* 0: never */
    bool is_exact;         /* it may not lose: it sees what the partitions hand out, all of it */
    uint64_t last[DOMAINS][KINDS][KEYS];
    uint64_t count[DOMAINS][KINDS];
    uint64_t told_lost;
    hl_subscription *subscriptions[DOMAINS];
} viewer;

enum { WITNESS, FAILING, BATCHED, LOSSLESS, LATEST, LOSSY, EJECTED, TAP, VIEWERS };

typedef struct world {
    uint64_t seed, chance;
    hl_domain_config domains[MANUAL_DOMAINS + 1];
    hl_config config;
    hl_bus *bus;
    hl_publisher *feed, *limited;
    hl_shared_publisher *many;
    hl_topic topics[DOMAINS][KINDS];
    uint64_t number;
    uint64_t newest[DOMAINS][KINDS][KEYS], taken[DOMAINS][KINDS];
    viewer viewers[VIEWERS];
    struct {
        uint32_t step;
        uint64_t up_ns, down_ns;
    } ladders[DOMAINS][4];
    uint32_t changes;
} world;

static uint32_t below(world *w, uint32_t n)
{
    return (uint32_t)random_below(&w->chance, n);
}

/* ---- subscribers ---- */

static void find(const world *w, uint32_t topic, uint32_t *ret_domain, uint32_t *ret_kind)
{
    for (uint32_t i = 0; i < DOMAINS * KINDS; i++)
        if (w->topics[i / KINDS][i % KINDS].number == topic) {
            *ret_domain = i / KINDS;
            *ret_kind = i % KINDS;
            return;
        }
    cr_assert_fail("seed %lu: topic %u", w->seed, topic);
}

static hl_status view(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    viewer *const self = context;
    world *const w = self->of;
    uint32_t domain = 0, kind = 0;
    if ((event->flags & HL_EVENT_LOST) != 0) {
        hl_lost lost;
        memcpy(&lost, hl_payload(event), sizeof lost);
        self->told_lost += lost.count;
    }
    if ((event->flags & (HL_EVENT_LOST | HL_EVENT_EJECTED)) != 0)
        return HL_OK;
    if (event->attempt != 0) /* it has been seen */
        return HL_OK;
    find(w, event->topic, &domain, &kind);
    uint64_t *const last = &self->last[domain][kind][event->key];
    cr_assert_gt(value_of(event), *last, "seed %lu: %s: key %lu of %s.%s: %lu after %lu", w->seed,
                 self->name, event->key, domain_names[domain], shapes[kind].name, value_of(event),
                 *last);
    *last = value_of(event);
    self->count[domain][kind]++;
    return self->fails_one_in != 0 && below(w, self->fails_one_in) == 0 ? HL_FAILED : HL_OK;
}

static hl_status view_batch(const hl_batch *batch, hl_publisher *out, void *context)
{
    for (uint32_t i = 0; i < batch->count; i++)
        cr_assert_eq(view(batch->events[i], out, context), HL_OK);
    return HL_OK;
}

static void subscribe_as(world *w, uint32_t which, const char *name, const char *topics,
                         hl_subscription_options options)
{
    viewer *const self = &w->viewers[which];
    *self = (viewer){.of = w, .name = name};
    self->fails_one_in = which == FAILING ? 8 : 0;
    self->is_exact = which == WITNESS || which == BATCHED || which == LOSSLESS;
    options.concurrent = true;
    for (uint32_t domain = 0; domain < DOMAINS; domain++) {
        char pattern[64];
        snprintf(pattern, sizeof pattern, "%s.%s", domain_names[domain], topics);
        cr_assert_eq(hl_subscribe(w->bus, pattern, options.batch == NULL ? view : NULL, self,
                                  &options, &self->subscriptions[domain]),
                     HL_OK, "%s", name);
    }
}

static void subscribe_async(world *w, uint32_t which, const char *name, const char *topics,
                            hl_contract contract, bool is_tap)
{
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.async = HL_ASYNC_BY_KEY;
    options.contract = contract;
    options.queue_events = 16;
    options.eject_behind = 8;
    options.tap = is_tap;
    subscribe_as(w, which, name, topics, options);
}

static hl_status note_change(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    world *const w = context;
    hl_system_throttle told;
    memcpy(&told, hl_payload(event), sizeof told);
    const uint32_t domain = strcmp(told.domain, "spread") == 0 ? SHARDED : CONFLATED;
    if (strcmp(told.domain, domain_names[domain]) != 0)
        return HL_OK;
    const uint64_t step_down_ns = w->config.ladder.step_down_ns;
    uint32_t *const step = &w->ladders[domain][told.shard].step;
    uint64_t *const up_ns = &w->ladders[domain][told.shard].up_ns;
    uint64_t *const down_ns = &w->ladders[domain][told.shard].down_ns;
    cr_assert_eq(told.step_before, *step, "seed %lu", w->seed);
    if (told.step > *step) {
        cr_assert_eq(told.step, *step + 1, "seed %lu", w->seed);
        *up_ns = told.at_ns;
    } else {
        cr_assert_eq(told.step + 1, *step, "seed %lu", w->seed);
        cr_assert(told.at_ns - *up_ns >= step_down_ns && told.at_ns - *down_ns >= step_down_ns,
                  "seed %lu: it flaps", w->seed);
        *down_ns = told.at_ns;
    }
    *step = told.step;
    w->changes++;
    return HL_OK;
}

/* ---- the bus ---- */

static void configure(world *w)
{
    w->config = flow_config(w->domains);
    w->config.max_workers = 2;
    w->config.min_workers = 2;
    w->config.ladder.step_up_ns = HL_MILLISECOND * below(w, 40);
    w->config.ladder.step_down_ns = 100 * HL_MILLISECOND;
    w->config.ladder.order_delay_ns = below(w, 2) == 0 ? 0 : 5 * HL_MILLISECOND;
    w->config.ladder.arrivals_per_s = below(w, 2) == 0 ? 0 : 400;
    w->config.ladder.predictive = below(w, 2) == 0;
    w->config.sampling.window_ns = HL_MILLISECOND * (1 + below(w, 60));
    w->config.sampling.max_keys = 1 + below(w, 2 * KEYS);
    w->config.sampling.closes_per_look = 1 + below(w, 4);
    w->domains[MANUAL_MARKET_DATA].conflates = "low";
    w->domains[MANUAL_MARKET_DATA].conflate_keys = KEYS;
    if (below(w, 2) == 0)
        w->domains[MANUAL_SPREAD].throttle = (hl_throttle_options){
            sizeof(hl_throttle_options), .rate_per_s = 300, .burst = 1 + below(w, 20)};
}

static void declare_topics(world *w)
{
    for (uint32_t i = 0; i < DOMAINS * KINDS; i++) {
        const shape of = (shape)(i % KINDS);
        hl_topic_options options = HL_TOPIC_OPTIONS_INIT;
        char name[64];
        options.kind = shapes[of].kind;
        options.priority = shapes[of].priority;
        options.always_sampled = of == SAMPLED;
        if (of == STATE && below(w, 3) == 0) {
            options.throttle.rate_per_s = 200;
            options.throttle.burst = 1 + below(w, 10);
        }
        snprintf(name, sizeof name, "%s.%s", domain_names[i / KINDS], shapes[of].name);
        cr_assert_eq(hl_topic_declare(w->bus, name, &options, &w->topics[i / KINDS][of]), HL_OK);
    }
}

static void open_publishers(world *w)
{
    hl_publisher_options options = HL_PUBLISHER_OPTIONS_INIT;
    w->feed = open_publisher(w->bus, "feed", NULL);
    options.throttle.rate_per_s = 500;
    options.throttle.burst = 10;
    options.batch_events = 2 + below(w, 4);
    options.batch_wait_ns = HL_MILLISECOND * (1 + below(w, 10));
    cr_assert_eq(hl_publisher_open(w->bus, "limited", &options, &w->limited), HL_OK);
    cr_assert_eq(hl_shared_publisher_open(w->bus, "many", NULL, &w->many), HL_OK);
}

static void make(world *w)
{
    configure(w);
    w->bus = manual_start(&w->config);
    declare_topics(w);
    cr_assert_eq(hl_subscribe(w->bus, "system.throttle", note_change, w, NULL, NULL), HL_OK);
    hl_retry_options retry = HL_RETRY_OPTIONS_INIT;
    hl_subscription_options inline_options = HL_SUBSCRIPTION_OPTIONS_INIT;
    subscribe_as(w, WITNESS, "witness", "*", inline_options);
    inline_options.retry = &retry;
    subscribe_as(w, FAILING, "failing", "*", inline_options);
    inline_options.retry = NULL;
    inline_options.batch = view_batch;
    inline_options.batch_events = 1 + below(w, 6);
    inline_options.batch_wait_ns = HL_MILLISECOND * below(w, 5);
    subscribe_as(w, BATCHED, "batched", "*", inline_options);
    subscribe_async(w, LOSSLESS, "lossless", "*", HL_CONTRACT_LOSSLESS, false);
    subscribe_async(w, LATEST, "latest", "low", HL_CONTRACT_LATEST, false);
    subscribe_async(w, LOSSY, "lossy", "*", HL_CONTRACT_LOSSY, false);
    subscribe_async(w, EJECTED, "ejected", "*", HL_CONTRACT_EJECT, false);
    subscribe_async(w, TAP, "tap", "*", HL_CONTRACT_LOSSY, true);
    open_publishers(w);
}

/* ---- steps ---- */

static void publish_something(world *w)
{
    const uint32_t domain = below(w, DOMAINS), of = below(w, KINDS);
    const uint64_t key = below(w, KEYS), number = ++w->number;
    const hl_topic to = w->topics[domain][of];
    hl_status status;
    switch (key % SENDERS) {
    case 0:
        status = hl_try_publish(w->feed, to, key, &number, sizeof number);
        break;
    case 1:
        status = hl_try_publish(w->limited, to, key, &number, sizeof number);
        break;
    default:
        status = hl_shared_publish(w->many, to, key, &number, sizeof number);
    }
    if (status == HL_OK) {
        w->newest[domain][of][key] = number;
        w->taken[domain][of]++;
        return;
    }
    cr_assert(status == HL_FULL || (status == HL_THROTTLED && shapes[of].priority > HL_HIGH),
              "seed %lu: %s: %s", w->seed, shapes[of].name, hl_status_name(status));
}

/* The first executors are the partitions'; the last are the workers' and the taps', turned less. */
static void turn_something(world *w)
{
    const uint32_t count = hl_bus_executor_count(w->bus);
    const uint32_t which = below(w, 4) == 0 ? below(w, count) : below(w, MANUAL_DOMAINS + 4);
    hl_executor_turn(hl_bus_executor(w->bus, which), below(w, 3) == 0 ? 0 : 1 + below(w, 6));
}

static void step(world *w)
{
    const uint32_t choice = below(w, 100);
    if (choice < 62) {
        publish_something(w);
    } else if (choice < 86) {
        turn_something(w);
    } else if (choice < 97) {
        manual_now_ns += below(w, 8) * HL_MILLISECOND;
        cr_assert_eq(hl_bus_housekeep(w->bus), HL_OK);
    } else if (choice == 97) {
        hl_publisher_flush(w->limited);
    } else if (choice == 98 && below(w, 8) == 0) {
        manual_now_ns += below(w, 3) * HL_SECOND; /* it leaps */
        cr_assert_eq(hl_bus_housekeep(w->bus), HL_OK);
    }
}

/* ---- the end ---- */

static void check_viewer(const world *w, const viewer *of)
{
    const viewer *const witness = &w->viewers[WITNESS];
    for (uint32_t i = 0; i < DOMAINS * KINDS; i++) {
        const uint32_t domain = i / KINDS, which = i % KINDS;
        cr_assert_eq(of->count[domain][which], witness->count[domain][which],
                     "seed %lu: %s: %s.%s: %lu of %lu", w->seed, of->name, domain_names[domain],
                     shapes[which].name, of->count[domain][which], witness->count[domain][which]);
        if (shapes[which].never_lost)
            cr_assert_eq(of->count[domain][which], w->taken[domain][which],
                         "seed %lu: %s: %s.%s: %lu of %lu that were taken", w->seed, of->name,
                         domain_names[domain], shapes[which].name, of->count[domain][which],
                         w->taken[domain][which]);
        for (uint32_t key = 0; key < KEYS && shapes[which].kind != HL_EXPENDABLE; key++)
            cr_assert_eq(of->last[domain][which][key], w->newest[domain][which][key],
                         "seed %lu: %s: key %u of %s.%s lacks its newest", w->seed, of->name, key,
                         domain_names[domain], shapes[which].name);
    }
}

/* All that a lossy one has lost it was told. */
static void check_told(const world *w, const viewer *of)
{
    uint64_t lost = 0;
    for (uint32_t domain = 0; domain < DOMAINS; domain++) {
        hl_subscription_stats stats;
        hl_subscription_stats_read(of->subscriptions[domain], &stats);
        lost += stats.lost;
    }
    cr_assert_eq(of->told_lost, lost, "seed %lu: %s: told %lu of %lu", w->seed, of->name,
                 of->told_lost, lost);
}

static void check_exempt(const world *w)
{
    for (uint32_t domain = 0; domain < DOMAINS; domain++)
        for (int priority = HL_CRITICAL; priority <= HL_HIGH; priority++) {
            hl_lane_stats lane;
            cr_assert_eq(hl_bus_lane_stats(w->bus, domain_names[domain], priority, &lane), HL_OK);
            cr_assert_eq(lane.conflated + lane.shed + lane.throttled, 0, "seed %lu", w->seed);
        }
}

/* That it happened at all. */
typedef struct happened {
    uint64_t changes, conflated, shed, throttled, rejected, windows, retries, lost, ejections;
} happened;

static void count_what_happened(const world *w, happened *sum)
{
    sum->changes += w->changes;
    for (uint32_t domain = 0; domain < DOMAINS; domain++) {
        const hl_lane_stats lane = lane_stats(w->bus, domain_names[domain], -1);
        sum->conflated += lane.conflated;
        sum->shed += lane.shed;
        sum->throttled += lane.throttled;
        sum->rejected += lane.rejected;
        sum->windows += flow_ladder(w->bus, domain_names[domain]).windows;
    }
    hl_subscription_stats row;
    for (uint32_t i = 0; hl_bus_subscription_stats(w->bus, i, &row) == HL_OK; i++) {
        sum->retries += row.failures;
        sum->lost += row.lost;
        sum->ejections += row.ejections;
    }
}

static void run(uint64_t seed, happened *sum)
{
    world *const w = calloc(1, sizeof *w);
    cr_assert_not_null(w);
    w->seed = w->chance = seed;
    make(w);
    for (uint32_t i = 0; i < STEPS; i++)
        step(w);
    const hl_status status = hl_bus_stop(w->bus, 10 * HL_SECOND);
    hl_error error;
    hl_bus_error(w->bus, &error);
    cr_assert_eq(status, HL_OK, "seed %lu: %s", seed, error.text);
    for (uint32_t i = 0; i < VIEWERS; i++)
        if (w->viewers[i].is_exact)
            check_viewer(w, &w->viewers[i]);
    for (uint32_t i = 0; i < DOMAINS * KEYS; i++)
        cr_assert_eq(w->viewers[LATEST].last[i / KEYS][LOW_STATE][i % KEYS],
                     w->newest[i / KEYS][LOW_STATE][i % KEYS], "seed %lu: latest: key %u", seed,
                     i % KEYS);
    check_told(w, &w->viewers[LOSSY]);
    check_told(w, &w->viewers[TAP]);
    check_exempt(w);
    count_what_happened(w, sum);
    hl_bus_destroy(w->bus);
    free(w);
}

Test(everything, holds_at_once)
{
    const bool asked = random_seed_is_given();
    const uint64_t first = random_seed((uint64_t)time(NULL));
    const uint64_t count = asked ? 1 : getenv("HOTLANE_LONG") != NULL ? 2000 : 40;
    happened sum = {0};
    for (uint64_t seed = first; seed < first + count; seed++)
        run(seed, &sum);
    cr_log_info("seeds %lu to %lu: %lu steps of ladders, %lu windows, %lu conflated, %lu shed, %lu "
                "throttled, %lu without room, %lu failures, %lu lost, %lu ejections",
                first, first + count - 1, sum.changes, sum.windows, sum.conflated, sum.shed,
                sum.throttled, sum.rejected, sum.retries, sum.lost, sum.ejections);
    cr_assert(asked || (sum.changes > count && sum.windows > 0 && sum.conflated > 0 &&
                        sum.shed > 0 && sum.throttled > 0 && sum.rejected > 0 && sum.retries > 0 &&
                        sum.lost > 0 && sum.ejections > 0),
              "something hardly happened");
}
