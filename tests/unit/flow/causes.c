/*
 * What makes a ladder step, in a bus that is turned by hand: each part of the load on its own, in
 * one shard of several, under a clock that jumps; and whom it never touches.
 */
#include "flow_bus.h"

#include <stdlib.h>
#include <string.h>

#define TOLD_MAX 256u

typedef struct world {
    hl_domain_config domains[MANUAL_DOMAINS + 1];
    hl_config config;
    hl_bus *bus;
    hl_publisher *feed;
    hl_topic delta, order;
    hl_system_throttle told[TOLD_MAX];
    uint32_t told_count;
    uint64_t work_ns;  /* that a handler takes */
    uint64_t arrivals; /* of the next tick */
} world;

static hl_status note_change(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    world *const w = context;
    cr_assert_lt(w->told_count, TOLD_MAX);
    memcpy(&w->told[w->told_count++], hl_payload(event), sizeof *w->told);
    return HL_OK;
}

static hl_status work(const hl_event *event, hl_publisher *out, void *context)
{
    (void)event;
    (void)out;
    manual_now_ns += ((const world *)context)->work_ns;
    return HL_OK;
}

/* Nothing is looked at: a test switches on what it is about. */
static world *new_world(void)
{
    world *const w = calloc(1, sizeof *w);
    cr_assert_not_null(w);
    w->config = flow_config(w->domains);
    w->config.ladder.occupancy_pct = 0;
    return w;
}

static void make(world *w, const char *domain)
{
    char name[64];
    hl_topic_options options = HL_TOPIC_OPTIONS_INIT;
    w->bus = manual_start(&w->config);
    snprintf(name, sizeof name, "%s.delta", domain);
    w->delta = topic(w->bus, name);
    snprintf(name, sizeof name, "%s.order", domain);
    options.priority = HL_HIGH;
    cr_assert_eq(hl_topic_declare(w->bus, name, &options, &w->order), HL_OK);
    snprintf(name, sizeof name, "%s.*", domain);
    hl_subscription_options everywhere = HL_SUBSCRIPTION_OPTIONS_INIT;
    everywhere.concurrent = true;
    cr_assert_eq(hl_subscribe(w->bus, name, work, w, &everywhere, NULL), HL_OK);
    cr_assert_eq(hl_subscribe(w->bus, "system.throttle", note_change, w, NULL, NULL), HL_OK);
    w->feed = open_publisher(w->bus, "feed", domain);
}

static void end(world *w)
{
    manual_stop(w->bus);
    free(w);
}

static uint32_t step_of(const world *w)
{
    return flow_ladder(w->bus, "market_data").step;
}

/* ---- each cause ---- */

static void fill_the_lane(world *w)
{
    for (uint64_t i = 0; i < FLOW_RING; i++)
        publish(w->feed, w->delta, i, i);
    flow_tick(w->bus, 1);
}

static void let_an_order_wait(world *w)
{
    publish(w->feed, w->order, 1, 1);
    manual_now_ns += 2 * HL_MILLISECOND;
    turn_all(w->bus);
    flow_tick(w->bus, 1);
}

/* A tick after which the executor had work for all of its time, 10 ms. */
static void be_busy(world *w)
{
    w->work_ns = 5 * HL_MILLISECOND;
    publish(w->feed, w->order, 1, 1);
    publish(w->feed, w->delta, 1, 1);
    turn_all(w->bus);
    w->work_ns = 0;
    cr_assert_eq(hl_bus_housekeep(w->bus), HL_OK);
}

static void send_many(world *w, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        publish(w->feed, w->delta, i, i);
        turn_all(w->bus);
    }
    flow_tick(w->bus, 1);
}

static void send_too_many(world *w)
{
    send_many(w, 12);
}

/* More each tick. */
static void send_more_and_more(world *w)
{
    send_many(w, w->arrivals);
    if (w->arrivals < 8)
        w->arrivals += 2;
}

static const struct cause {
    const char *name;
    hl_load_cause cause;
    uint32_t leads_to; /* step */
    void (*load)(world *w);
} causes[] = {{"occupancy", HL_LOAD_OCCUPANCY, 4, fill_the_lane},
              {"order_delay", HL_LOAD_ORDER_DELAY, 4, let_an_order_wait},
              {"cpu", HL_LOAD_CPU, 3, be_busy},
              {"arrivals", HL_LOAD_ARRIVALS, 4, send_too_many},
              {"forecast", HL_LOAD_FORECAST, 1, send_more_and_more}};
#define CAUSES (sizeof causes / sizeof *causes)

static void look_at(hl_ladder_options *ladder, hl_load_cause cause)
{
    switch (cause) {
    case HL_LOAD_OCCUPANCY:
        ladder->occupancy_pct = 80;
        break;
    case HL_LOAD_ORDER_DELAY:
        ladder->order_delay_ns = HL_MILLISECOND;
        break;
    case HL_LOAD_CPU:
        ladder->cpu_pct = 95;
        break;
    case HL_LOAD_FORECAST:
        ladder->predictive = true;
        ladder->arrivals_per_s = 1000;
        break;
    default:
        ladder->arrivals_per_s = 1000;
    }
}

/* Every step up was told with this cause, one at a time; every step down with it too, but the last
 * one, when there is none any more. */
static void check_what_was_told(world *w, const struct cause *of)
{
    uint32_t stands = 0;
    turn_all(w->bus);
    for (uint32_t i = 0; i < w->told_count; i++) {
        const hl_system_throttle *const told = &w->told[i];
        cr_assert_str_eq(told->domain, "market_data");
        cr_assert_eq(told->step_before, stands, "%s", of->name);
        cr_assert(told->step == stands + 1 || told->step + 1 == stands, "%s", of->name);
        stands = told->step;
        cr_assert_eq(told->cause, stands == 0 ? HL_LOAD_NONE : of->cause, "%s: told %s", of->name,
                     hl_load_cause_name(told->cause));
        cr_assert(told->step < told->step_before || told->load_permille >= 1000);
    }
    cr_assert_eq(stands, 0);
    cr_assert_eq(w->told_count, 2 * of->leads_to, "%s: up and down", of->name);
}

/* Up as high as the cause leads, no higher; and when it has gone down again, all of it within 1 to
 * 5 s. */
static void climb_and_come_back(const struct cause *of)
{
    world *const w = new_world();
    look_at(&w->config.ladder, of->cause);
    make(w, "market_data");
    flow_tick(w->bus, 2);
    for (uint32_t i = 0; i < 20 && step_of(w) < of->leads_to; i++) {
        of->load(w);
        turn_all(w->bus);
    }
    cr_assert_eq(step_of(w), of->leads_to, "%s", of->name);
    cr_assert_eq(flow_ladder(w->bus, "market_data").cause, of->cause);
    for (uint32_t i = 0; i < 20; i++) {
        of->load(w);
        turn_all(w->bus);
    }
    cr_assert_eq(step_of(w), of->leads_to, "%s: it leads no higher", of->name);
    const uint64_t gone_ns = manual_now_ns;
    while (step_of(w) != 0 && manual_now_ns - gone_ns < 10 * HL_SECOND) {
        flow_tick(w->bus, 1);
        turn_all(w->bus);
    }
    cr_assert_geq(manual_now_ns - gone_ns, HL_SECOND, "%s", of->name);
    cr_assert_leq(manual_now_ns - gone_ns, 5 * HL_SECOND, "%s", of->name);
    check_what_was_told(w, of);
    end(w);
}

Test(causes, each_part_of_the_load_leads_up_and_back_and_is_named)
{
    for (size_t i = 0; i < CAUSES; i++)
        climb_and_come_back(&causes[i]);
}

Test(causes, what_is_not_looked_at_is_no_load)
{
    for (size_t i = 0; i < CAUSES; i++) {
        world *const w = new_world();
        make(w, "market_data");
        for (uint32_t k = 0; k < 10; k++) {
            causes[i].load(w);
            turn_all(w->bus);
        }
        cr_assert_eq(step_of(w), 0, "%s", causes[i].name);
        end(w);
    }
}

/* The rate still goes up when the forecast has it over its limit: that is what it is for. */
Test(causes, the_forecast_is_there_before_the_rate)
{
    world *const w = new_world();
    look_at(&w->config.ladder, HL_LOAD_FORECAST);
    make(w, "market_data");
    for (uint32_t i = 0; i < 10 && step_of(w) == 0; i++)
        send_more_and_more(w);
    turn_all(w->bus);
    cr_assert_eq(w->told_count, 1);
    cr_assert_eq(w->told[0].cause, HL_LOAD_FORECAST);
    cr_assert_lt(w->told[0].arrivals_per_s, w->config.ladder.arrivals_per_s);
    end(w);
}

/* ---- several shards ---- */

static hl_ladder_stats shard_ladder(const hl_bus *bus, uint32_t shard)
{
    hl_ladder_stats stats;
    cr_assert_eq(hl_bus_ladder_stats(bus, "spread", shard, &stats), HL_OK);
    return stats;
}

static uint32_t shard_of(hl_bus *bus, hl_publisher *feed, hl_topic probe, uint64_t key)
{
    uint32_t first;
    cr_assert_eq(hl_bus_partition(bus, "spread", 0, &first), HL_OK);
    uint64_t before[4];
    for (uint32_t shard = 0; shard < 4; shard++)
        before[shard] = hl_bus_sequence(bus, first + shard);
    publish(feed, probe, key, 0);
    turn_all(bus);
    uint32_t shard = 0;
    while (shard < 4 && hl_bus_sequence(bus, first + shard) == before[shard])
        shard++;
    cr_assert_lt(shard, 4, "key %lu went nowhere", key);
    return shard;
}

Test(causes, a_shard_under_load_leaves_the_others_in_peace)
{
    enum { LOADED = 2 };
    static recorder seen;
    world *const w = new_world();
    look_at(&w->config.ladder, HL_LOAD_OCCUPANCY);
    make(w, "spread");
    const hl_topic quote = topic_of_kind(w->bus, "spread.quote", HL_STATE);
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.concurrent = true;
    subscribe(w->bus, "spread.quote", &seen, &options);
    uint64_t keys[4] = {0}, found = 0;
    for (uint64_t key = 1; found != 15; key++) {
        const uint32_t shard = shard_of(w->bus, w->feed, w->delta, key);
        keys[shard] = key;
        found |= 1u << shard;
    }
    for (uint32_t step = 1; step <= 4; step++) {
        for (uint64_t i = 0; i < FLOW_RING; i++)
            publish(w->feed, w->delta, keys[LOADED], i);
        flow_tick(w->bus, 1);
        turn_all(w->bus);
        seen.count = 0;
        for (uint32_t shard = 0; shard < 4; shard++) {
            cr_assert_eq(shard_ladder(w->bus, shard).step, shard == LOADED ? step : 0);
            const uint64_t value = shard;
            cr_assert_eq(hl_publish(w->feed, quote, keys[shard], &value, sizeof value),
                         shard == LOADED && step == 4 ? HL_THROTTLED : HL_OK);
        }
        turn_all(w->bus);
        cr_assert_eq(seen.count, 3, "all but the one that is sampled, or refused");
    }
    cr_assert_eq(w->told_count, 4);
    for (uint32_t i = 0; i < w->told_count; i++)
        cr_assert_eq(w->told[i].shard, LOADED);
    flow_tick(w->bus, 600);
    turn_all(w->bus);
    cr_assert_eq(shard_ladder(w->bus, LOADED).step, 0);
    const uint64_t value = LOADED;
    cr_assert_eq(hl_publish(w->feed, quote, keys[LOADED], &value, sizeof value), HL_OK);
    end(w);
}

/* ---- whom it never touches ---- */

Test(causes, critical_and_high_pass_at_every_step_whatever_they_are)
{
    enum { KINDS = 3 };
    static recorder seen;
    static const hl_topic_kind kinds[KINDS] = {HL_DELTA, HL_STATE, HL_EXPENDABLE};
    world *const w = new_world();
    look_at(&w->config.ladder, HL_LOAD_OCCUPANCY);
    w->domains[MANUAL_MARKET_DATA].throttle = (hl_throttle_options){
        sizeof(hl_throttle_options), .rate_per_s = 1000000000, .burst = 1000000000};
    make(w, "market_data");
    hl_topic exempt[2][KINDS], any[KINDS];
    hl_topic_options options = HL_TOPIC_OPTIONS_INIT;
    char name[64];
    for (uint32_t kind = 0; kind < KINDS; kind++) {
        options.kind = kinds[kind];
        for (int priority = HL_CRITICAL; priority <= HL_HIGH; priority++) {
            options.priority = priority;
            options.any_priority = false;
            snprintf(name, sizeof name, "market_data.seen.p%d-%u", priority, kind);
            cr_assert_eq(hl_topic_declare(w->bus, name, &options, &exempt[priority][kind]), HL_OK);
        }
        options.priority = HL_NORMAL;
        options.any_priority = true;
        snprintf(name, sizeof name, "market_data.seen.any-%u", kind);
        cr_assert_eq(hl_topic_declare(w->bus, name, &options, &any[kind]), HL_OK);
    }
    subscribe(w->bus, "market_data.seen.*", &seen, NULL);
    hl_publisher *const desk = open_publisher(w->bus, "desk", "market_data");
    for (uint32_t step = 0; step <= 4; step++) {
        seen.count = 0;
        for (uint32_t kind = 0; kind < KINDS; kind++)
            for (uint32_t priority = HL_CRITICAL; priority <= HL_HIGH; priority++) {
                hl_claim claim;
                publish(desk, exempt[priority][kind], 1, step);
                cr_assert_eq(hl_try_claim_priority(desk, any[kind], 1, (hl_priority)priority,
                                                   sizeof(uint64_t), &claim),
                             HL_OK);
                memset(claim.payload, 0, sizeof(uint64_t));
                hl_commit(&claim);
                turn_all(w->bus);
            }
        cr_assert_eq(seen.count, 4 * KINDS, "step %u", step);
        flow_load(w->bus, w->feed, w->delta);
    }
    cr_assert_eq(step_of(w), 4);
    for (int priority = HL_CRITICAL; priority <= HL_HIGH; priority++) {
        hl_lane_stats lane;
        cr_assert_eq(hl_bus_lane_stats(w->bus, "market_data", priority, &lane), HL_OK);
        cr_assert_eq(lane.conflated + lane.shed + lane.throttled + lane.rejected, 0);
        cr_assert_eq(lane.dispatched, lane.attempts);
    }
    end(w);
}

/* ---- clocks that jump ---- */

/* The housekeeper wakes late, by far, and a loaded lane is still loaded: one step, not as many as
 * the time would have given; and the other way down. */
Test(causes, a_leap_of_the_clock_is_one_look)
{
    world *const w = new_world();
    look_at(&w->config.ladder, HL_LOAD_OCCUPANCY);
    make(w, "market_data");
    fill_the_lane(w);
    cr_assert_eq(step_of(w), 1);
    manual_now_ns += 3600 * HL_SECOND;
    cr_assert_eq(hl_bus_housekeep(w->bus), HL_OK);
    cr_assert_eq(step_of(w), 2, "still full");
    turn_all(w->bus);
    flow_tick(w->bus, 1); /* low from here on */
    manual_now_ns += 3600 * HL_SECOND;
    cr_assert_eq(hl_bus_housekeep(w->bus), HL_OK);
    cr_assert_eq(step_of(w), 1, "one step down");
    flow_tick(w->bus, 99);
    cr_assert_eq(step_of(w), 1, "the next takes as long again");
    flow_tick(w->bus, 1);
    cr_assert_eq(step_of(w), 0);
    end(w);
}

/* Back by far: the ladder stays where it is as long as it has seen nothing new, takes up its work
 * from there, and needs no longer than ever to come down. */
Test(causes, a_clock_that_steps_back_leaves_the_ladder_able_to_move)
{
    world *const w = new_world();
    look_at(&w->config.ladder, HL_LOAD_OCCUPANCY);
    w->config.ladder.arrivals_per_s = 1000;
    w->config.ladder.predictive = true;
    make(w, "market_data");
    flow_tick(w->bus, 10);
    fill_the_lane(w);
    cr_assert_eq(step_of(w), 1);
    manual_now_ns -= 500 * HL_SECOND;
    cr_assert_eq(hl_bus_housekeep(w->bus), HL_OK);
    cr_assert_eq(step_of(w), 1, "no time has passed");
    flow_tick(w->bus, 1);
    cr_assert_eq(step_of(w), 2, "still full");
    turn_all(w->bus);
    const uint64_t gone_ns = manual_now_ns;
    while (step_of(w) != 0 && manual_now_ns - gone_ns < 10 * HL_SECOND)
        flow_tick(w->bus, 1);
    cr_assert_geq(manual_now_ns - gone_ns, HL_SECOND);
    cr_assert_leq(manual_now_ns - gone_ns, 5 * HL_SECOND);
    manual_now_ns += 500 * HL_SECOND;
    end(w);
}
