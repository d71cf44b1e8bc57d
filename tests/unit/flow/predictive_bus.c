/*
 * The same question as predictive.c's, asked of a bus: what does a ladder with the forecast lose
 * and delay on recorded bursts, and what one without? Lanes, doors, valves and the housekeeper are
 * the bus's own; the clock is virtual and moves on by what each handler takes, so that every run of
 * it is the same.
 *
 * Each recorded message is published as a delta, which waits when there is no room, and all behind
 * it too, and as a state (the newest at its price), which does not. A state that was refused is
 * lost.
 */
#include "flow_bus.h"

#include <stdlib.h>

#include "recorded_arrivals.h"

#define TICK_NS     (10 * HL_MILLISECOND)
#define LATE_NS     (10 * HL_MILLISECOND)
#define EVENTS_TURN 16
#define RING_MAX    65536u

typedef struct day {
    hl_domain_config domains[MANUAL_DOMAINS + 1];
    hl_config config;
    hl_bus *bus;
    hl_publisher *feed;
    hl_topic delta, state;
    const arrivals *of;
    size_t next;
    uint64_t base_ns, tick_ns, service_ns;
    uint64_t lost, late, deltas, states;
    double delay_ns;
} day;

static hl_status on_delta(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    day *const d = context;
    const uint64_t delay_ns = manual_now_ns - value_of(event);
    d->deltas++;
    d->late += delay_ns > LATE_NS;
    d->delay_ns += (double)delay_ns;
    manual_now_ns += d->service_ns;
    return HL_OK;
}

static hl_status on_state(const hl_event *event, hl_publisher *out, void *context)
{
    (void)event;
    (void)out;
    day *const d = context;
    d->states++;
    manual_now_ns += d->service_ns;
    return HL_OK;
}

/* All that has arrived; a delta without room holds back what comes after it. */
static void publish_arrived(day *d)
{
    while (d->next < d->of->count) {
        const arrival *const at = &d->of->list[d->next];
        const uint64_t since_ns = d->base_ns + at->at_ns;
        if (since_ns > manual_now_ns)
            return;
        if (hl_try_publish(d->feed, d->delta, at->key, &since_ns, sizeof since_ns) != HL_OK)
            return;
        d->lost += hl_try_publish(d->feed, d->state, at->key, &since_ns, sizeof since_ns) != HL_OK;
        d->next++;
    }
}

static void housekeep_when_due(day *d)
{
    if (manual_now_ns < d->tick_ns)
        return;
    cr_assert_eq(hl_bus_housekeep(d->bus), HL_OK);
    turn(d->bus, "system", 0);
    d->tick_ns = manual_now_ns + TICK_NS;
}

static void run_day(day *d)
{
    while (d->next < d->of->count) {
        publish_arrived(d);
        if (turn(d->bus, "market_data", EVENTS_TURN) == 0) {
            const uint64_t arrival_ns =
                d->next < d->of->count ? d->base_ns + d->of->list[d->next].at_ns : d->tick_ns;
            const uint64_t then_ns = arrival_ns < d->tick_ns ? arrival_ns : d->tick_ns;
            if (then_ns > manual_now_ns)
                manual_now_ns = then_ns;
        }
        housekeep_when_due(d);
    }
}

/* The ring holds what the partition takes in lane_s. */
static void make(day *d, const hl_ladder_options *ladder, double service_per_s, double lane_s)
{
    uint32_t slots = 64;
    while (slots < service_per_s * lane_s && slots < RING_MAX)
        slots *= 2;
    d->config = flow_config(d->domains);
    d->config.ladder = *ladder;
    d->domains[MANUAL_MARKET_DATA].ring_slots = slots;
    d->service_ns = (uint64_t)(1e9 / service_per_s);
    d->bus = manual_start(&d->config);
    hl_topic_options options = HL_TOPIC_OPTIONS_INIT;
    options.kind = HL_STATE;
    options.max_keys = 65536;
    d->delta = topic(d->bus, "market_data.delta");
    cr_assert_eq(hl_topic_declare(d->bus, "market_data.state", &options, &d->state), HL_OK);
    cr_assert_eq(hl_subscribe(d->bus, "market_data.delta", on_delta, d, NULL, NULL), HL_OK);
    cr_assert_eq(hl_subscribe(d->bus, "market_data.state", on_state, d, NULL, NULL), HL_OK);
    d->feed = open_publisher(d->bus, "feed", "market_data");
}

typedef struct outcome {
    double lost, late, delay_ns;
} outcome;

static void simulate(const arrivals *of, const hl_ladder_options *ladder, double service_per_s,
                     double lane_s, outcome *sum)
{
    day *const d = calloc(1, sizeof *d);
    cr_assert_not_null(d);
    make(d, ladder, service_per_s, lane_s);
    d->of = of;
    d->base_ns = manual_now_ns;
    d->tick_ns = manual_now_ns + TICK_NS;
    run_day(d);
    manual_stop(d->bus); /* which hands out what is left, and checks the sums */
    cr_assert_eq(d->deltas, of->count, "no delta is ever lost");
    sum->lost += (double)d->lost;
    sum->late += (double)d->late;
    sum->delay_ns += d->delay_ns / (double)d->deltas;
    free(d);
}

static bool is_long(void)
{
    return getenv("HOTLANE_LONG") != NULL;
}

/* One day, replayed `speed` times as fast, at several shares of its busiest 100 ms. */
static void compare_day(const recorded_day *recorded, double speed, double lane_s,
                        hl_ladder_options ladder, outcome *without, outcome *with)
{
    static const double shares[] = {0.3, 0.5, 0.7, 0.9};
    arrivals of = arrivals_recorded(recorded, speed);
    for (size_t k = 0; k < sizeof shares / sizeof *shares; k++) {
        const double service_per_s = arrivals_busiest(&of) * shares[k];
        const outcome before[] = {*without, *with};
        ladder.predictive = false;
        simulate(&of, &ladder, service_per_s, lane_s, without);
        ladder.predictive = true;
        simulate(&of, &ladder, service_per_s, lane_s, with);
        cr_log_info(
            "%s x%.0f, takes %.0f %%: lost %.0f -> %.0f, late %.0f -> %.0f, mean delay %.0f "
            "-> %.0f us",
            recorded->format, speed, shares[k] * 100, without->lost - before[0].lost,
            with->lost - before[1].lost, without->late - before[0].late,
            with->late - before[1].late, (without->delay_ns - before[0].delay_ns) / 1000,
            (with->delay_ns - before[1].delay_ns) / 1000);
    }
    arrivals_free(&of);
}

/* With HOTLANE_LONG at every speed, else at one. */
static void compare(uint32_t cpu_pct, double lane_s)
{
    static const double speeds[] = {500, 100, 20};
    outcome without = {0}, with = {0};
    hl_ladder_options ladder = HL_LADDER_OPTIONS_INIT;
    ladder.cpu_pct = cpu_pct;
    for (size_t r = 0; r < RECORDED_DAYS; r++)
        for (size_t s = 0; s < (is_long() ? 3 : 1); s++)
            compare_day(&recorded_days[r], speeds[s], lane_s, ladder, &without, &with);
    cr_log_info("with the forecast, CPU looked at from %u %% on, lanes of %.0f ms: %.2f of the "
                "losses, %.2f of the late events, %.2f of the mean delay",
                cpu_pct, lane_s * 1000, with.lost / without.lost, with.late / without.late,
                with.delay_ns / without.delay_ns);
    cr_assert_gt(without.lost, 0, "the bursts are none");
    cr_assert_leq(with.lost, without.lost);
    cr_assert_lt(with.late, without.late);
    cr_assert_lt(with.delay_ns, without.delay_ns);
}

/* The figures are why it is on (flow/ladder.h). */
Test(predictive_bus, loses_less_and_waits_less)
{
    const hl_ladder_options ladder = HL_LADDER_OPTIONS_INIT;
    cr_assert(ladder.predictive);
    compare(ladder.cpu_pct, 0.1);
}

Test(predictive_bus, loses_less_and_waits_less_in_short_lanes)
{
    const hl_ladder_options ladder = HL_LADDER_OPTIONS_INIT;
    if (!is_long())
        cr_skip_test("it takes long: set HOTLANE_LONG");
    compare(ladder.cpu_pct, 0.025);
}

Test(predictive_bus, loses_less_and_waits_less_where_the_cpu_is_not_looked_at)
{
    if (!is_long())
        cr_skip_test("it takes long: set HOTLANE_LONG");
    compare(0, 0.1);
}
