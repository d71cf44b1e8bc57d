/*
 * Alternating repeats: every case once, then every case again, so that a slow minute of the machine
 * falls on all of them alike; each repeat begins with another case.
 *
 *     perf_case cases[] = {{"hotlane", measure_ring, &ring, 1, &ours},
 *                          {"ck_ring", measure_ck, &ck, 1, &theirs}};
 *     perf_repeat(cases, 2, 5, NULL, &error);     // ours.median, ours.min, ours.max
 */
#ifndef HL_PERF_REPEAT_H
#define HL_PERF_REPEAT_H

#include <stdint.h>

#include <hotlane/status.h>

#define PERF_REPEATS_MAX 1000u
#define PERF_VALUES_MAX  32u

/* Of `count` measurements of one thing. The median of an even count is the mean of the middle two.
 */
typedef struct perf_summary {
    double min;
    double median;
    double max;
    uint32_t count;
} perf_summary;

/* Sorts `values` (count of 1 or more) and sums them up. */
perf_summary perf_summarise(double *values, uint32_t count);

/* Measures once: makes what it needs, runs it, checks it, clears up, and fills ret_values
 * (value_count of its case). Not HL_OK: nothing that was measured is to be believed. */
typedef hl_status (*perf_measure)(void *context, double *ret_values, hl_error *error);

typedef struct perf_case {
    const char *name;
    perf_measure measure;
    void *context;
    uint32_t value_count;    /* 1..PERF_VALUES_MAX */
    perf_summary *summaries; /* value_count of them; perf_repeat fills them */
} perf_case;

/* Told before each measurement; for a line of progress. */
typedef void (*perf_progress)(const char *case_name, uint32_t repeat, uint32_t repeats);

/*
 * Runs each case `repeats` times (1..PERF_REPEATS_MAX). Stops at the first that fails: its status
 * and sentence, with the case's name before it; the summaries are then untouched. `progress` may be
 * NULL. HL_NO_MEMORY.
 */
hl_status perf_repeat(const perf_case *cases, uint32_t case_count, uint32_t repeats,
                      perf_progress progress, hl_error *error);

#define PERF_PACE_ROUNDS 4u  /* at most so many times the repeats */
#define PERF_PACE_WITHIN 1.6 /* probes that differ by less show the same pace */
#define PERF_PACES_MAX   8u
#define PERF_NO_PACE     PERF_PACES_MAX /* it changed meanwhile, or there are too many */

/*
 * A machine whose hypervisor moves its CPUs has more than one pace: cores under one L3 cache now,
 * under two a second later. Figures of different paces have no ratio. So something that shows the
 * pace is looked at before and after each measurement.
 */
typedef struct perf_pace {
    double (*probe)(void *context); /* above 0; about proportional to the pace */
    void *context;
    /* Told after each measurement of which pace it was: below PERF_PACES_MAX, or PERF_NO_PACE.
     * NULL: nobody is. */
    void (*measured_at)(void *listener, uint32_t pace);
    void *listener;
    /* Out: */
    uint32_t pace; /* that the summaries are of; PERF_NO_PACE: no pace has a measurement of every
                      case, and all are in, whatever their pace */
    double probed; /* of the pace that the summaries are of: its first probe */
    uint32_t measured; /* measurements made */
    uint32_t left_out; /* of them: of another pace, or begun at one and ended at another */
} perf_pace;

/*
 * As perf_repeat, and goes on until each case has `repeats` measurements of one pace, for at most
 * PERF_PACE_ROUNDS times the repeats; then fewer must do, of the pace that has most.
 */
hl_status perf_repeat_at_one_pace(const perf_case *cases, uint32_t case_count, uint32_t repeats,
                                  perf_pace *pace, perf_progress progress, hl_error *error);

#endif
