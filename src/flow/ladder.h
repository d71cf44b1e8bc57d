/*
 * The ladder: which rung (hotlane/flow.h) a partition stands on. A pure function of samples; call
 * hl_ladder_step with a new one every 10 ms or so.
 *
 *     hl_ladder_init(&ladder, &options);
 *     ...
 *     const hl_ladder_change change = hl_ladder_step(&ladder, &sample);
 *     if (change.from != change.to)
 *         announce(hl_stage_rung(change.to), change.cause);
 *
 * The rungs are climbed in four stages: 1 SAMPLE, 2 SHED of BACKGROUND, 3 SHED of LOW too, 4
 * REFUSE; stage 0 is CALM. Up one when the load reaches 100 %, and again each step_up_ns while it
 * is there. Down one when the load was under down_pct for step_down_ns without a break. Between the
 * two it stays: a load that swings around either threshold alone does not make it flap, and
 * whatever the load does, from one step down to the next at least step_down_ns pass. A flood that
 * lasts is met again when the ladder has come down, about every step_down_ns.
 *
 * Occupancy, order delay and the rate's limit lead to any stage. CPU leads to SHED at most, the
 * forecast to SAMPLE, at which no state value is lost: neither says that anything is too late yet.
 * What does not lead to a stage does not keep it there.
 *
 * With `predictive` the load is also what the forecast makes of it: of the arrivals' rate in
 * horizon_ns, against its limit; and of the fullest lane, into which the arrivals then will have
 * gone and from which the partition will have taken what it can (its departures divided by the
 * share of its time that they took). It brings the first stage forward and no other: when what was
 * foreseen comes, that is the stage it would have led to. It is on by default: on recorded bursts
 * (tests/unit/flow/predictive.c, and in a bus predictive_bus.c: three recordings, 20 to 500 times
 * as fast, a partition that takes 30 to 90 % of the busiest 100 ms) a bus with it, lanes of 100 ms,
 * loses 0.1 of the state values that it loses without, 0.6 as many events wait for more than 10 ms,
 * and they wait 0.6 of the time; with lanes of 25 ms, which are full before any step shows, 0.9,
 * 0.65 and 0.8. Where the CPU is not looked at and the lanes are that short, it may lose more (1.0
 * to 1.4). A step up each 100 ms, not each 10, loses 0.2 of the values: what was done first must
 * have time to show.
 */
#ifndef HL_FLOW_LADDER_H
#define HL_FLOW_LADDER_H

#include "flow/forecast.h"
#include "flow/load.h"

/* 0 to HL_STAGES - 1. */
typedef uint32_t hl_stage;
#define HL_STAGES 5u

typedef struct hl_ladder {
    hl_ladder_options options;
    hl_stage stage;
    hl_load_cause cause; /* of the last step up; of stage 0 HL_LOAD_NONE */
    bool has_sample;     /* in `last` */
    bool is_low;         /* the load is under down_pct, since low_since_ns or the last step down */
    uint64_t low_since_ns;
    uint64_t stepped_up_ns;
    hl_load_sample last;
    hl_forecast arrivals;
    double service_per_s; /* what the partition can take, lately; 0: not known yet */
} hl_ladder;

typedef struct hl_ladder_change {
    hl_stage from, to;
    hl_load load;        /* as of this sample */
    hl_load_cause cause; /* why it stands on `to`: of the last step up */
} hl_ladder_change;

/* HL_OK, or HL_INVALID with "PLACE.field: ..." in `error`. Any thread. */
hl_status hl_ladder_options_check(const hl_ladder_options *options, const char *place,
                                  hl_error *error);

/* The options are checked ones; copied. */
void hl_ladder_init(hl_ladder *ladder, const hl_ladder_options *options);

/* Takes a sample and says where the ladder stands. One thread. */
hl_ladder_change hl_ladder_step(hl_ladder *ladder, const hl_load_sample *sample);

/* The rung of a stage. */
hl_rung hl_stage_rung(hl_stage stage);

/* What becomes of an event. */
typedef enum hl_stage_action {
    HL_STAGE_PASS = 0,
    HL_STAGE_SAMPLE,
    HL_STAGE_SHED,
    HL_STAGE_REFUSE
} hl_stage_action;

/* What a stage does to events of a topic; at most one of is_state and is_expendable, neither for a
 * `delta` topic. CRITICAL and HIGH, and `delta` topics, pass at every stage. Pure; any thread. */
hl_stage_action hl_stage_action_for(hl_stage stage, bool is_state, bool is_expendable,
                                    hl_priority priority);

#endif
