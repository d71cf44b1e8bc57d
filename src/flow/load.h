/*
 * The load of a partition: a pure function of counters. The worst of four parts, each as a share of
 * its threshold; 1000 per mille is a threshold that is reached.
 */
#ifndef HL_FLOW_LOAD_H
#define HL_FLOW_LOAD_H

#include <hotlane/flow.h>

/* What was counted, as of now_ns. A lane that a `block` publisher keeps full because it replays as
 * fast as it can is no load: leave it out of lane_used, and the time for it out of busy_ns. */
typedef struct hl_load_sample {
    uint64_t now_ns;         /* bus clock */
    uint64_t lane_used;      /* slots taken in the partition's fullest lane */
    uint64_t lane_slots;     /* of how many; 0: there is no lane */
    uint64_t order_delay_ns; /* the longest that one of CRITICAL or HIGH waited since the last */
    uint64_t busy_ns;        /* the executor's time with events, since it began */
    uint64_t arrivals;       /* events committed or refused with HL_THROTTLED, since it began: what
                                is refused is load, too, and must not look as if it had gone */
    uint64_t departures;     /* events dispatched, conflated or shed, since it began */
} hl_load_sample;

/* Two samples apart: the rates between them. */
typedef struct hl_load_rates {
    uint64_t arrivals_per_s;
    uint64_t departures_per_s;
    uint32_t busy_permille;
} hl_load_rates;

/* In per mille of each part's threshold, at most HL_LOAD_PERMILLE_MAX. */
typedef struct hl_load_parts {
    uint32_t permille[HL_LOAD_CAUSES]; /* that of HL_LOAD_NONE is 0 */
} hl_load_parts;

typedef struct hl_load {
    uint32_t permille;   /* of the worst part; at most HL_LOAD_PERMILLE_MAX */
    hl_load_cause cause; /* that part; HL_LOAD_NONE when it is 0 */
} hl_load;

#define HL_LOAD_FULL         1000u
#define HL_LOAD_PERMILLE_MAX 1000000u

/* Rates from `before` to `now`; all 0 when no time has passed or a counter went back (another
 * partition's, or one begun anew). */
hl_load_rates hl_load_rates_between(const hl_load_sample *before, const hl_load_sample *now);

/* value / threshold in per mille, at most HL_LOAD_PERMILLE_MAX; 0 when the threshold is 0. */
uint32_t hl_load_share(uint64_t value, uint64_t threshold);

/* Each part by the thresholds of `options`; FORECAST is 0. */
hl_load_parts hl_load_parts_of(const hl_ladder_options *options, const hl_load_sample *sample,
                               const hl_load_rates *rates);

/* The worst of them, the first of equals. */
hl_load hl_load_worst(const hl_load_parts *parts);

#endif
