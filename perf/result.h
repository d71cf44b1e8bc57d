/*
 * What a scenario found: rows of figures and whole histograms, with the environment and the floor
 * they belong to. Printed as a table, written as JSON.
 *
 *     perf_result *result = perf_result_create("ring", &environment, &floor);
 *     perf_result_add(result, &(perf_row){.name = "spsc_128_4096_single",
 *                                         .unit = "msgs_per_s", .figure = summary});
 *     json_t *object = perf_result_json(result);
 *
 * JSON: {"scenario": "ring", "environment": {...}, "floor": {...}, "notes": ["..."], "rows": [
 * {"case", "unit", "better": "higher" or "lower", "median", "min", "max", "repeats",
 * "times_floor": (only where it has one), "note": (likewise)}]}.
 */
#ifndef HL_PERF_RESULT_H
#define HL_PERF_RESULT_H

#include <stdio.h>

#include <jansson.h>

#include "observe/histogram.h"
#include "perf/environment.h"
#include "perf/floor.h"
#include "perf/repeat.h"

#define PERF_HISTOGRAM_DIGITS 3u

typedef struct perf_row {
    char name[96];        /* the case, and what of it: "hop_10k.p99" */
    char unit[16];        /* "msgs_per_s", "ns", "ns_p50", "percent", "instructions" */
    bool lower_is_better; /* latencies, costs */
    perf_summary figure;
    double times_floor; /* the median by that of the floor of this run; 0: there is none for it */
    char note[160];     /* empty: none */
} perf_row;

/* The whole distribution of one case, of all repeats that its rows are of; ns. */
typedef struct perf_distribution {
    char name[96];
    hl_histogram *ns; /* PERF_HISTOGRAM_DIGITS; the result's */
    /* Before it is settled which pace counts: of the measurements of each; NULL: none yet. */
    hl_histogram *of_pace[PERF_PACES_MAX + 1];
} perf_distribution;

typedef struct perf_result {
    char scenario[32];
    perf_environment environment;
    perf_floor floor;
    perf_row *rows;
    uint32_t row_count;
    perf_distribution *distributions;
    uint32_t distribution_count;
    json_t *notes;      /* strings: what was skipped and why, which thread ran where */
    bool out_of_memory; /* something could not be added: the result is not whole */
} perf_result;

/* NULL: no memory. Freed by perf_result_destroy; NULL is nothing. */
perf_result *perf_result_create(const char *scenario, const perf_environment *environment,
                                const perf_floor *floor);
void perf_result_destroy(perf_result *result);

/* Copies the row. */
void perf_result_add(perf_result *result, const perf_row *row);

/* Copies the histogram, or adds it to the one of that name. */
void perf_result_add_distribution(perf_result *result, const char *name, const hl_histogram *ns);

/* For perf_repeat_at_one_pace: of which pace it was what the distributions got since the last call;
 * `result` is a perf_result. And, when all are added, which pace counts: the others' are thrown
 * away; PERF_NO_PACE: all count. */
void perf_result_measured_at(void *result, uint32_t pace);
void perf_result_settle_pace(perf_result *result, uint32_t pace);

/* Adds a sentence that stands with the figures. */
void perf_result_note(perf_result *result, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Environment, floor, rows, notes. */
void perf_result_print(const perf_result *result, FILE *stream);

/* A new object; the caller's. */
json_t *perf_result_json(const perf_result *result);

/* A figure for people: 97.3 M/s, 312 ns, 4.5 us; `room` of 24 is enough. */
void perf_figure_text(double figure, const char *unit, char *ret_text, size_t room);

#endif
