/*
 * The ladder: which rung (hotlane/flow.h) a partition stands on. A pure function of samples; call
 * hl_ladder_step with a new one every 10 ms or so.
 *
 *     hl_ladder_init(&ladder, &options);
 *     ...
 *     const hl_ladder_change change = hl_ladder_step(&ladder, &sample);
 *     if (change.from != change.to)
 *         announce(change.to, change.load.cause);
 *
 * Up one rung when the load reaches 100 %, and again each step_up_ns while it stays there. Down one
 * rung when the load was under down_pct for step_down_ns without a break. In between it stays: so
 * a load that swings around either threshold alone does not make it flap.
 */
#ifndef HL_FLOW_LADDER_H
#define HL_FLOW_LADDER_H

#include "flow/forecast.h"
#include "flow/load.h"

typedef struct hl_ladder {
    hl_ladder_options options;
    hl_rung rung;
    uint64_t stepped_ns;   /* when it last stepped up */
    uint64_t low_since_ns; /* since when the load is under down_pct, or the last step down */
    bool is_low;
    bool has_sample;
    hl_load_sample last;
    hl_forecast arrivals;
    uint64_t service_per_s; /* the most that the partition has lately dispatched with a backlog */
    hl_load_cause cause;    /* of the rung it stands on: of the last step up */
} hl_ladder;

typedef struct hl_ladder_change {
    hl_rung from, to;
    hl_load load;        /* as of this sample */
    hl_load_cause cause; /* why it stands on `to`: of the last step up; of a calm one NONE */
} hl_ladder_change;

/* HL_OK, or HL_INVALID with "PLACE.field: ..." in `error`. Any thread. */
hl_status hl_ladder_options_check(const hl_ladder_options *options, const char *place,
                                  hl_error *error);

/* The options are checked ones; copied. */
void hl_ladder_init(hl_ladder *ladder, const hl_ladder_options *options);

/* Takes a sample and says where the ladder stands. One thread. */
hl_ladder_change hl_ladder_step(hl_ladder *ladder, const hl_load_sample *sample);

/*
 * What a rung does to an event of a topic. Pure; any thread. CRITICAL and HIGH, and `delta` topics,
 * pass on every rung.
 */
typedef enum hl_rung_action {
    HL_RUNG_PASS = 0,
    HL_RUNG_TO_SAMPLER,
    HL_RUNG_SHED_IT,
    HL_RUNG_REFUSE_IT
} hl_rung_action;

hl_rung_action hl_rung_action_for(hl_rung rung, hl_load load, bool is_state, bool is_expendable,
                                  hl_priority priority);

#endif
