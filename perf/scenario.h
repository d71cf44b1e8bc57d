/*
 * A scenario: a table of cases, measured in alternating repeats between two cores, beside the
 * machine's floor of the same run. Each is a file scenario_<name>.c and a line in scenario.c.
 *
 *     perf_result *result;
 *     if (perf_scenario_run(perf_scenario_find("ring"), &options, &result, &error) == HL_OK)
 *         perf_result_print(result, stdout);
 *     perf_result_destroy(result);
 */
#ifndef HL_PERF_SCENARIO_H
#define HL_PERF_SCENARIO_H

#include "perf/result.h"

typedef struct perf_options {
    const char *cores;      /* as for perf_cores_choose; NULL: chosen */
    const char *only;       /* measure the cases whose names contain this; NULL: all */
    double seconds;         /* of one measurement, 0.01..3600 */
    uint32_t repeats;       /* 1..PERF_REPEATS_MAX */
    double stall_ms;        /* hop: the sender stops once for so long in mid-run; 0: it does not */
    const char *directory;  /* journal: a directory on the disk to measure; NULL: /var/tmp */
    perf_progress progress; /* NULL: none */
} perf_options;

#define PERF_OPTIONS_INIT                 \
    {                                     \
        NULL, NULL, 0.3, 5, 0, NULL, NULL \
    }

#define PERF_CASE_NAMES_BYTES 360u

/* What a running scenario works with. */
typedef struct perf_run {
    const perf_options *options;
    perf_timer timer;
    perf_cores cores;
    perf_result *result;
    bool tasks_chosen; /* the scenario has looked at --case (perf_run_wants) for all its tasks */
    uint32_t cases;    /* that perf_run_wants was asked for */
    uint32_t cases_wanted;
    uint32_t cases_named;
    char case_names[PERF_CASE_NAMES_BYTES]; /* of those, for a --case that fits none */
} perf_run;

typedef struct perf_scenario {
    const char *name;
    const char *summary;
    bool needs_two_cores; /* with one it is refused with a sentence */
    bool has_latencies;   /* whole distributions, of some of its cases at least */
    hl_status (*run)(perf_run *run, hl_error *error);
} perf_scenario;

/* All of them; static memory. */
const perf_scenario *perf_scenarios(uint32_t *ret_count);

/* NULL: there is none of that name. */
const perf_scenario *perf_scenario_find(const char *name);

/*
 * Refuses a debug build; chooses the cores, measures the floor, runs the scenario. HL_OK:
 * *ret_result is the caller's. Else a sentence:
 * - HL_INVALID: an option is out of its range, or a CPU is not to be had.
 * - HL_NOT_FOUND: no case's name contains options->only.
 * - HL_UNSUPPORTED, HL_NOT_CONSERVED (a message was lost or damaged), HL_SYSTEM, HL_NO_MEMORY.
 */
hl_status perf_scenario_run(const perf_scenario *scenario, const perf_options *options,
                            perf_result **ret_result, hl_error *error);

/* ------- For the scenarios. ------- */

/* One of the values that a case measures, and the row that it becomes. */
typedef struct perf_metric {
    const char *name; /* "p99"; the row is then CASE.p99; "": the row bears the case's name */
    const char *unit;
    bool lower_is_better;
} perf_metric;

/* What a task's figures are a multiple of. */
typedef enum perf_floor_kind {
    PERF_FLOOR_NONE = 0,
    PERF_FLOOR_ONE_WAY,    /* its "ns", "ns_p50": half a round trip of two lines */
    PERF_FLOOR_ROUND_TRIP, /* its "ns", "ns_p50": a round trip of two lines */
    PERF_FLOOR_STREAM,     /* its "msgs_per_s": the stream copy */
} perf_floor_kind;

typedef struct perf_task {
    char name[64];
    perf_measure measure; /* a value that is NAN was not to be had: no row */
    void *context;
    const perf_metric *metrics;
    uint32_t metric_count; /* 1..PERF_VALUES_MAX - 3: the counters' values come behind */
    perf_floor_kind floor;
} perf_task;

/* A task of that name (cut to fit) and context, in all else like `like`. */
perf_task perf_task_of(const perf_task *like, const char *name, void *context);

/* Measures the tasks that --case leaves, and adds their rows. Between two cores the floor's round
 * trips and its stream copy take turns with them, all at one pace of the machine (repeat.h); the
 * result's floor then has those figures. Around each task the CPU's counters run, where there are
 * any. */
hl_status perf_run_tasks(perf_run *run, const perf_task *tasks, uint32_t task_count,
                         hl_error *error);

/* Whether --case leaves a case of that name. To be asked for each case that there is. */
bool perf_run_wants(perf_run *run, const char *case_name);

/* Measures bus_128_single once: events a second through the whole bus. */
hl_status perf_bus_measure_single(perf_run *run, double *ret_per_s, hl_error *error);

hl_status perf_scenario_floor(perf_run *run, hl_error *error);
hl_status perf_scenario_ring(perf_run *run, hl_error *error);
hl_status perf_scenario_hop(perf_run *run, hl_error *error);
hl_status perf_scenario_bus(perf_run *run, hl_error *error);
hl_status perf_scenario_flood(perf_run *run, hl_error *error);
hl_status perf_scenario_overload(perf_run *run, hl_error *error);
hl_status perf_scenario_conflated(perf_run *run, hl_error *error);
hl_status perf_scenario_idle(perf_run *run, hl_error *error);
hl_status perf_scenario_churn(perf_run *run, hl_error *error);
hl_status perf_scenario_async(perf_run *run, hl_error *error);
hl_status perf_scenario_failing(perf_run *run, hl_error *error);
hl_status perf_scenario_journal(perf_run *run, hl_error *error);

#endif
