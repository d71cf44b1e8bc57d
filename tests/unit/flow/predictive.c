/*
 * The ladder with and without its forecast, on recorded bursts: a lane and a partition that is too
 * slow for the busiest stretches, in simulated time. What is counted: values of `state` topics that
 * were lost (refused, because the lane was full or the rung said so; a value that a newer one
 * replaced in its window is not lost), and how long `delta` events waited.
 *
 * Each recorded message stands for two events: a delta (the message) and a state (the newest at its
 * price). The recordings are slow for a machine of today: they are replayed `speed` times as fast,
 * and the partition takes a share of the busiest 100 ms.
 */
#include "flow/ladder.h"
#include "flow/sampler.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "recorded_arrivals.h"

#define STEP_NS   (100 * HL_MICROSECOND)
#define TICK_NS   (10 * HL_MILLISECOND)
#define LANE_MAX  65536u
#define WINDOW_NS (100 * HL_MILLISECOND)

typedef struct waiting {
    uint64_t since_ns;
    bool is_delta;
} waiting;

typedef struct outcome {
    uint64_t state_lost, delta_count, delay_sum_ns, delay_max_ns, changes;
    uint64_t late; /* deltas that waited for more than 10 ms */
} outcome;

typedef struct simulation {
    const arrivals *of;
    size_t next;
    double service_per_ns, served; /* served: what is left of whole events */
    waiting lane[LANE_MAX];
    uint64_t head, tail;
    uint32_t slots;
    hl_ladder ladder;
    hl_stage stage;
    hl_sampler *sampler;
    uint32_t closes_per_look;
    hl_load_sample sample;
    outcome result;
} simulation;

static bool has_room(const simulation *sim)
{
    return sim->tail - sim->head < sim->slots;
}

static void push(simulation *sim, uint64_t since_ns, bool is_delta)
{
    sim->lane[sim->tail++ % LANE_MAX] = (waiting){since_ns, is_delta};
}

/* The state event of an arrival. */
static void publish_state(simulation *sim, const arrival *of, uint64_t now_ns)
{
    const hl_stage_action action = hl_stage_action_for(sim->stage, true, false, HL_NORMAL);
    bool replaced;
    sim->sample.arrivals++;
    if (action == HL_STAGE_SAMPLE &&
        hl_sampler_offer(sim->sampler, 0, of->key, "", 1, now_ns, &replaced) == HL_OK)
        return;
    if (action == HL_STAGE_REFUSE || !has_room(sim))
        sim->result.state_lost++;
    else
        push(sim, of->at_ns, false);
}

/* All that has arrived; a delta without room holds back what comes after it. */
static void publish(simulation *sim, uint64_t now_ns)
{
    for (uint32_t closed = 0; closed < sim->closes_per_look && has_room(sim) &&
                              hl_sampler_due(sim->sampler, now_ns) != NULL;
         closed++) {
        hl_sampler_close_next(sim->sampler);
        push(sim, now_ns, false);
    }
    while (sim->next < sim->of->count && sim->of->list[sim->next].at_ns <= now_ns) {
        if (!has_room(sim))
            return;
        const arrival *const of = &sim->of->list[sim->next++];
        sim->sample.arrivals++;
        push(sim, of->at_ns, true);
        publish_state(sim, of, now_ns);
    }
}

static void serve(simulation *sim, uint64_t now_ns)
{
    const double most = sim->service_per_ns * (double)STEP_NS;
    double can = sim->served + most;
    double used = 0;
    while (sim->head != sim->tail && can >= 1) {
        const waiting *const of = &sim->lane[sim->head++ % LANE_MAX];
        sim->sample.departures++;
        can -= 1;
        used += 1;
        if (!of->is_delta)
            continue;
        const uint64_t delay_ns = now_ns - of->since_ns;
        sim->result.delta_count++;
        sim->result.delay_sum_ns += delay_ns;
        sim->result.late += delay_ns > 10 * HL_MILLISECOND;
        if (delay_ns > sim->result.delay_max_ns)
            sim->result.delay_max_ns = delay_ns;
    }
    sim->served = sim->head == sim->tail ? 0 : can;
    sim->sample.busy_ns += (uint64_t)(used / sim->service_per_ns);
}

static outcome simulate(const arrivals *of, double service_per_s, const hl_ladder_options *options)
{
    simulation *const sim = calloc(1, sizeof *sim);
    cr_assert_not_null(sim);
    sim->of = of;
    sim->service_per_ns = service_per_s / 1e9;
    /* What the partition takes in 100 ms. */
    sim->slots = 64;
    while (sim->slots < service_per_s / 10 && sim->slots < LANE_MAX)
        sim->slots *= 2;
    hl_ladder_init(&sim->ladder, options);
    hl_sampling_options sampling = HL_SAMPLING_OPTIONS_INIT;
    sampling.window_ns = WINDOW_NS;
    sim->closes_per_look = sampling.closes_per_look;
    cr_assert_eq(hl_sampler_create(&sampling, "sampling", 64, &sim->sampler, NULL), HL_OK);
    sim->sample.lane_slots = sim->slots;
    for (uint64_t now_ns = STEP_NS; sim->next < of->count || sim->head != sim->tail;
         now_ns += STEP_NS) {
        publish(sim, now_ns);
        serve(sim, now_ns);
        if (now_ns % TICK_NS != 0)
            continue;
        sim->sample.now_ns = now_ns;
        sim->sample.lane_used = sim->tail - sim->head;
        const hl_ladder_change change = hl_ladder_step(&sim->ladder, &sim->sample);
        sim->stage = change.to;
        sim->result.changes += change.from != change.to;
    }
    const outcome result = sim->result;
    hl_sampler_destroy(sim->sampler);
    free(sim);
    return result;
}

typedef struct total {
    double lost, late, delay_ns;
} total;

static void add(total *to, const outcome *of)
{
    to->lost += (double)of->state_lost;
    to->late += (double)of->late;
    to->delay_ns += (double)of->delay_sum_ns / (double)of->delta_count;
}

/* The same arrivals for the ladder without and with its forecast, at several speeds and for a
 * partition that takes several shares of the busiest 100 ms. */
static void compare(const recorded_day *day, hl_ladder_options options, total *reactive,
                    total *predictive)
{
    static const double speeds[] = {20, 100, 500}, shares[] = {0.3, 0.5, 0.7, 0.9};
    for (size_t s = 0; s < sizeof speeds / sizeof *speeds; s++) {
        arrivals of = arrivals_recorded(day, speeds[s]);
        for (size_t k = 0; k < sizeof shares / sizeof *shares; k++) {
            const double service_per_s = arrivals_busiest(&of) * shares[k];
            options.predictive = false;
            const outcome without = simulate(&of, service_per_s, &options);
            options.predictive = true;
            const outcome with = simulate(&of, service_per_s, &options);
            add(reactive, &without);
            add(predictive, &with);
            cr_log_info("%s x%.0f, takes %.0f %%: lost %lu -> %lu, late %lu -> %lu, at most "
                        "%lu -> %lu ms, %lu -> %lu changes",
                        day->format, speeds[s], shares[k] * 100, without.state_lost,
                        with.state_lost, without.late, with.late,
                        without.delay_max_ns / HL_MILLISECOND, with.delay_max_ns / HL_MILLISECOND,
                        without.changes, with.changes);
        }
        arrivals_free(&of);
    }
}

static void compare_all(uint32_t cpu_pct)
{
    hl_ladder_options options = HL_LADDER_OPTIONS_INIT;
    options.cpu_pct = cpu_pct;
    total without = {0, 0, 0}, with = {0, 0, 0};
    for (size_t i = 0; i < RECORDED_DAYS; i++)
        compare(&recorded_days[i], options, &without, &with);
    cr_log_info("with the forecast, CPU %s: %.2f of the losses, %.2f of the late events, %.2f of "
                "the mean delay",
                cpu_pct == 0 ? "not looked at" : "looked at", with.lost / without.lost,
                with.late / without.late, with.delay_ns / without.delay_ns);
    cr_assert_gt(without.lost, 0, "the bursts are none");
    cr_assert_leq(with.lost, without.lost);
    cr_assert_lt(with.late, without.late);
    cr_assert_lt(with.delay_ns, without.delay_ns);
}

/* The figures are why it is on: where it is not, or they are not so, one of the two is wrong. */
Test(predictive, is_on_because_it_loses_less_and_waits_less)
{
    const hl_ladder_options options = HL_LADDER_OPTIONS_INIT;
    cr_assert(options.predictive);
    compare_all(0);
}

Test(predictive, loses_no_more_where_the_cpu_is_looked_at_too)
{
    const hl_ladder_options options = HL_LADDER_OPTIONS_INIT;
    compare_all(options.cpu_pct);
}
