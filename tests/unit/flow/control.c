/*
 * The ladder in a bus: each step, each kind of topic, up, down, and what is told of it.
 */
#include "flow_bus.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/random.h"

typedef struct world {
    hl_domain_config domains[MANUAL_DOMAINS + 1];
    hl_config config;
    hl_bus *bus;
    hl_publisher *feed;
    hl_topic delta, state, log, chatter, order;
    recorder deltas, states, logs, chatters, orders, told;
} world;

static hl_topic declare(hl_bus *bus, const char *name, hl_topic_kind kind, int priority)
{
    hl_topic_options options = HL_TOPIC_OPTIONS_INIT;
    hl_topic topic;
    options.kind = kind;
    options.priority = priority;
    cr_assert_eq(hl_topic_declare(bus, name, &options, &topic), HL_OK);
    return topic;
}

static void make(world *w)
{
    w->bus = manual_start(&w->config);
    w->delta = declare(w->bus, "market_data.delta", HL_DELTA, -1);
    w->state = declare(w->bus, "market_data.state", HL_STATE, -1);
    w->log = declare(w->bus, "market_data.log", HL_EXPENDABLE, HL_BACKGROUND);
    w->chatter = declare(w->bus, "market_data.chatter", HL_EXPENDABLE, HL_LOW);
    w->order = declare(w->bus, "market_data.order", HL_STATE, HL_HIGH);
    subscribe(w->bus, "market_data.delta", &w->deltas, NULL);
    subscribe(w->bus, "market_data.state", &w->states, NULL);
    subscribe(w->bus, "market_data.log", &w->logs, NULL);
    subscribe(w->bus, "market_data.chatter", &w->chatters, NULL);
    subscribe(w->bus, "market_data.order", &w->orders, NULL);
    subscribe(w->bus, "system.>", &w->told, NULL);
    w->feed = open_publisher(w->bus, "feed", "market_data");
}

static world *new_world(void)
{
    world *const w = calloc(1, sizeof *w);
    cr_assert_not_null(w);
    w->config = flow_config(w->domains);
    return w;
}

static void end(world *w)
{
    manual_stop(w->bus);
    free(w);
}

static void step_to(world *w, uint32_t step)
{
    for (uint32_t at = flow_ladder(w->bus, "market_data").step; at < step; at++)
        flow_load(w->bus, w->feed, w->delta);
    cr_assert_eq(flow_ladder(w->bus, "market_data").step, step);
}

/* One event of each topic, turned at once; how many handlers got it now is for the caller. */
static void publish_each(world *w, uint64_t value)
{
    publish(w->feed, w->delta, 1, value);
    publish(w->feed, w->log, 1, value);
    publish(w->feed, w->chatter, 1, value);
    publish(w->feed, w->order, 1, value);
    turn_all(w->bus);
}

Test(control, a_calm_bus_holds_nothing_back)
{
    world *const w = new_world();
    make(w);
    flow_tick(w->bus, 10);
    publish(w->feed, w->state, 1, 1);
    publish_each(w, 1);
    cr_assert_eq(
        w->states.count + w->deltas.count + w->logs.count + w->chatters.count + w->orders.count, 5);
    cr_assert_eq(flow_ladder(w->bus, "market_data").rung, HL_RUNG_CALM);
    end(w);
}

Test(control, the_first_step_samples_states_of_normal_and_below)
{
    world *const w = new_world();
    make(w);
    step_to(w, 1);
    const uint32_t deltas = w->deltas.count;
    for (uint64_t value = 1; value <= 3; value++)
        publish(w->feed, w->state, 7, value);
    publish(w->feed, w->state, 8, 40);
    publish_each(w, 5);
    cr_assert_eq(w->states.count, 0, "a window is open");
    cr_assert_eq(w->deltas.count, deltas + 1);
    cr_assert_eq(w->logs.count, 1);
    cr_assert_eq(w->orders.count, 1, "a state of HIGH");
    manual_now_ns += 100 * HL_MILLISECOND;
    turn_all(w->bus);
    cr_assert_eq(w->states.count, 2);
    cr_assert_eq(w->states.entries[0].value, 3, "the newest");
    cr_assert(w->states.entries[0].flags & HL_EVENT_CONFLATED);
    cr_assert_eq(w->states.entries[1].value, 40);
    cr_assert_not(w->states.entries[1].flags & HL_EVENT_CONFLATED, "it stands for itself alone");
    cr_assert_eq(lane_stats(w->bus, "market_data", -1).conflated, 2);
    cr_assert_eq(flow_ladder(w->bus, "market_data").windows, 2);
    end(w);
}

Test(control, windows_that_are_due_at_once_are_spread_over_looks)
{
    world *const w = new_world();
    w->config.sampling.closes_per_look = 4;
    make(w);
    step_to(w, 1);
    for (uint64_t key = 1; key <= 40; key++) {
        publish(w->feed, w->state, key, key);
        turn_all(w->bus);
    }
    cr_assert_eq(w->states.count, 0);
    manual_now_ns += 100 * HL_MILLISECOND;
    for (uint32_t look = 1; look <= 10; look++) {
        cr_assert_eq(turn(w->bus, "market_data", 1), 4, "look %u", look);
        cr_assert_eq(w->states.count, 4 * look);
    }
    assert_values_follow(&w->states, 1, 40);
    cr_assert_eq(turn_all(w->bus), 0);
    end(w);
}

Test(control, the_next_two_steps_shed_background_and_then_low)
{
    world *const w = new_world();
    make(w);
    step_to(w, 2);
    publish_each(w, 1);
    cr_assert_eq(w->logs.count, 0);
    cr_assert_eq(w->chatters.count, 1);
    cr_assert_eq(lane_stats(w->bus, "market_data", -1).shed, 1);
    step_to(w, 3);
    publish_each(w, 2);
    cr_assert_eq(w->logs.count + w->chatters.count, 1);
    cr_assert_eq(w->orders.count, 2);
    cr_assert_eq(lane_stats(w->bus, "market_data", -1).shed, 3);
    end(w);
}

Test(control, the_last_step_refuses_states_at_the_door)
{
    world *const w = new_world();
    make(w);
    step_to(w, 4);
    const uint64_t value = 1;
    cr_assert_eq(hl_publish(w->feed, w->state, 1, &value, sizeof value), HL_THROTTLED);
    cr_assert_eq(hl_publish(w->feed, w->order, 1, &value, sizeof value), HL_OK, "a state of HIGH");
    publish(w->feed, w->delta, 1, 1);
    hl_topic late = declare(w->bus, "market_data.late", HL_STATE, -1);
    cr_assert_eq(hl_publish(w->feed, late, 1, &value, sizeof value), HL_THROTTLED,
                 "declared meanwhile");
    cr_assert_eq(lane_stats(w->bus, "market_data", -1).throttled, 2);
    flow_tick(w->bus, 120); /* the load has gone: one step down */
    cr_assert_eq(hl_publish(w->feed, w->state, 1, &value, sizeof value), HL_OK);
    end(w);
}

Test(control, it_comes_down_within_1_to_5_s_after_the_load_has_gone)
{
    world *const w = new_world();
    make(w);
    step_to(w, 4);
    uint64_t ticks = 0;
    while (flow_ladder(w->bus, "market_data").rung != HL_RUNG_CALM && ticks < 1000) {
        flow_tick(w->bus, 1);
        turn_all(w->bus);
        ticks++;
    }
    cr_assert_geq(ticks, 100);
    cr_assert_leq(ticks, 500);
    publish(w->feed, w->state, 1, 1);
    turn_all(w->bus);
    cr_assert_eq(w->states.count, 1, "at once again");
    const hl_ladder_stats stats = flow_ladder(w->bus, "market_data");
    cr_assert_eq(stats.steps_up, 4);
    cr_assert_eq(stats.steps_down, 4);
    end(w);
}

Test(control, windows_that_are_open_when_it_comes_down_keep_their_order)
{
    world *const w = new_world();
    w->config.sampling.window_ns = 10 * HL_SECOND;
    make(w);
    step_to(w, 1);
    publish(w->feed, w->state, 1, 1);
    turn_all(w->bus);
    flow_tick(w->bus, 150);
    cr_assert_eq(flow_ladder(w->bus, "market_data").rung, HL_RUNG_CALM);
    publish(w->feed, w->state, 1, 2); /* into the window that is open */
    publish(w->feed, w->state, 2, 9);
    turn_all(w->bus);
    cr_assert_eq(w->states.count, 1);
    cr_assert_eq(w->states.entries[0].value, 9, "a key without a window passes");
    manual_now_ns += 10 * HL_SECOND;
    turn_all(w->bus);
    cr_assert_eq(w->states.count, 2);
    cr_assert_eq(w->states.entries[1].value, 2);
    publish(w->feed, w->state, 1, 3);
    turn_all(w->bus);
    cr_assert_eq(w->states.entries[2].value, 3);
    end(w);
}

static hl_status note_change(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    memcpy(context, hl_payload(event), sizeof(hl_system_throttle));
    return HL_OK;
}

Test(control, a_change_is_published_with_its_cause)
{
    world *const w = new_world();
    make(w);
    hl_system_throttle last = {.step = 99};
    cr_assert_eq(hl_subscribe(w->bus, "system.throttle", note_change, &last, NULL, NULL), HL_OK);
    flow_load(w->bus, w->feed, w->delta);
    turn_all(w->bus);
    cr_assert_str_eq(last.domain, "market_data");
    cr_assert_eq(last.step_before, 0);
    cr_assert_eq(last.step, 1);
    cr_assert_eq(last.rung, HL_RUNG_SAMPLE);
    cr_assert_eq(last.cause, HL_LOAD_OCCUPANCY);
    cr_assert_eq(last.load_permille, 1250);
    cr_assert_eq(last.lane_used, FLOW_RING);
    cr_assert_eq(last.lane_slots, FLOW_RING);
    end(w);
}

Test(control, a_full_lane_of_a_domain_that_blocks_is_no_load)
{
    world *const w = new_world();
    w->domains[MANUAL_MARKET_DATA].full_policy = HL_FULL_BLOCK;
    make(w);
    for (uint32_t i = 0; i < 20; i++)
        flow_load(w->bus, w->feed, w->delta);
    cr_assert_eq(flow_ladder(w->bus, "market_data").step, 0);
    end(w);
}

Test(control, a_ladder_that_is_off_stays_calm)
{
    world *const w = new_world();
    w->config.ladder.enabled = false;
    make(w);
    for (uint32_t i = 0; i < 20; i++)
        flow_load(w->bus, w->feed, w->delta);
    cr_assert_eq(flow_ladder(w->bus, "market_data").step, 0);
    end(w);
}

Test(control, a_clock_that_steps_makes_it_neither_jump_nor_lose)
{
    world *const w = new_world();
    make(w);
    step_to(w, 1);
    publish(w->feed, w->state, 1, 1);
    turn_all(w->bus);
    manual_now_ns -= 500 * HL_SECOND;
    flow_tick(w->bus, 1);
    turn_all(w->bus);
    cr_assert_leq(flow_ladder(w->bus, "market_data").step, 1);
    manual_now_ns += 1000 * HL_SECOND;
    turn_all(w->bus);
    cr_assert_eq(w->states.count, 1, "its window is over");
    flow_tick(w->bus, 600);
    cr_assert_eq(flow_ladder(w->bus, "market_data").step, 0);
    end(w);
}

static uint32_t calls;
static hl_watermark marks[8];

static void note_mark(const hl_watermark *mark, void *context)
{
    cr_assert_eq(context, &calls);
    marks[calls++ % 8] = *mark;
}

Test(control, watermarks_are_told_once_each_way)
{
    world *const w = new_world();
    w->domains[MANUAL_MARKET_DATA].high_water_pct = 75;
    w->domains[MANUAL_MARKET_DATA].low_water_pct = 25;
    w->config.on_watermark = note_mark;
    w->config.watermark_context = &calls;
    w->config.ladder.enabled = false;
    make(w);
    for (uint64_t i = 0; i < 5; i++)
        publish(w->feed, w->delta, 1, i);
    flow_tick(w->bus, 1);
    cr_assert_eq(calls, 0, "5 of 8");
    publish(w->feed, w->delta, 1, 5);
    flow_tick(w->bus, 3);
    cr_assert_eq(calls, 1, "once");
    cr_assert(marks[0].is_high);
    cr_assert_str_eq(marks[0].domain, "market_data");
    cr_assert_eq(marks[0].priority, HL_NORMAL);
    cr_assert_eq(marks[0].used, 6);
    cr_assert_eq(marks[0].slots, FLOW_RING);
    cr_assert_str_eq(hl_source_name(w->bus, marks[0].source), "feed");
    turn(w->bus, "market_data", 3);
    flow_tick(w->bus, 1);
    cr_assert_eq(calls, 1, "3 of 8 are over the low water");
    turn_all(w->bus);
    flow_tick(w->bus, 3);
    cr_assert_eq(calls, 2);
    cr_assert_not(marks[1].is_high);
    turn_all(w->bus);
    cr_assert_eq(w->told.count, 2, "published too");
    end(w);
}

/* Everything at once, at random: all steps, sampling, shedding, limits, closings. */
static uint64_t chance;

static uint32_t below(uint32_t n)
{
    return (uint32_t)random_below(&chance, n);
}

static void run_at_random(uint64_t seed)
{
    enum { KEYS = 6, STEPS = 3000 };
    chance = seed;
    world *const w = new_world();
    w->config.sampling.max_keys = 1 + below(KEYS);
    w->config.sampling.closes_per_look = 1 + below(4);
    w->config.sampling.window_ns = HL_MILLISECOND * (1 + below(200));
    w->config.ladder.step_up_ns = HL_MILLISECOND * below(30);
    make(w);
    uint64_t newest[KEYS] = {0}, deltas = 0, orders = 0;
    for (uint64_t step = 1; step <= STEPS; step++) {
        const uint64_t key = below(KEYS);
        switch (below(8)) {
        case 0:
        case 1:
            if (hl_publish(w->feed, w->state, key, &step, sizeof step) == HL_OK)
                newest[key] = step;
            break;
        case 2:
            deltas += hl_publish(w->feed, w->delta, key, &step, sizeof step) == HL_OK;
            break;
        case 3:
            orders += hl_publish(w->feed, w->order, key, &step, sizeof step) == HL_OK;
            break;
        case 4:
            (void)hl_publish(w->feed, below(2) ? w->log : w->chatter, key, &step, sizeof step);
            break;
        case 5:
            manual_now_ns += below(20) * HL_MILLISECOND;
            cr_assert_eq(hl_bus_housekeep(w->bus), HL_OK);
            break;
        default:
            turn(w->bus, "market_data", 1 + below(4));
            break;
        }
    }
    cr_assert_eq(hl_bus_stop(w->bus, HL_SECOND), HL_OK, "seed %lu: it conserves", seed);
    uint64_t last[KEYS] = {0};
    for (uint32_t i = 0; i < w->states.count; i++) {
        const uint64_t key = w->states.entries[i].key;
        cr_assert_gt(w->states.entries[i].value, last[key], "seed %lu: older after newer", seed);
        last[key] = w->states.entries[i].value;
    }
    for (uint32_t key = 0; key < KEYS; key++)
        cr_assert_eq(last[key], newest[key], "seed %lu: key %u lacks its newest", seed, key);
    cr_assert_eq(w->deltas.count, deltas, "seed %lu: a delta is missing", seed);
    cr_assert_eq(w->orders.count, orders, "seed %lu: an order is missing", seed);
    hl_lane_stats high;
    cr_assert_eq(hl_bus_lane_stats(w->bus, "market_data", HL_HIGH, &high), HL_OK);
    cr_assert_eq(high.conflated + high.shed + high.throttled, 0, "seed %lu", seed);
    hl_bus_destroy(w->bus);
    free(w);
}

Test(control, whatever_happens_deltas_and_orders_pass_and_the_newest_state_arrives)
{
    const uint64_t first = random_seed((uint64_t)time(NULL));
    for (uint64_t seed = first; seed < first + 60; seed++)
        run_at_random(seed);
}
