/*
 * Two results of `hotlane perf ... --json` beside each other: what got better or worse beyond the
 * spread of both, that is, where the smallest of one is above the largest of the other.
 */
#ifndef HL_PERF_COMPARE_H
#define HL_PERF_COMPARE_H

#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include <hotlane/status.h>

typedef enum perf_verdict {
    PERF_SAME = 0, /* the ranges overlap: nothing is shown */
    PERF_BETTER,
    PERF_WORSE,
    PERF_ONLY_BEFORE, /* the other result has no such row */
    PERF_ONLY_AFTER,
    PERF_VERDICTS
} perf_verdict;

typedef struct perf_change {
    const char *name; /* the results' */
    const char *unit;
    double before, after; /* medians */
    double ratio;         /* after / before; 0 where one of them is missing or `before` is 0 */
    perf_verdict verdict;
} perf_change;

#define PERF_COMPARED         9 /* members of the environment that must be the same */
#define PERF_COMPARED_REPEATS 3

typedef struct perf_comparison {
    perf_change *changes; /* the rows of `before`, then those only in `after` */
    uint32_t count;
    uint32_t counts[PERF_VERDICTS];
    uint32_t few_repeats; /* rows of both of which one is of fewer than PERF_COMPARED_REPEATS: what
                             lies outside such a range may be chance */
    /* What differs in the environments, or "the floor" of another pace (repeat.h); static. */
    char *differences[PERF_COMPARED + 1];
    uint32_t difference_count;
} perf_comparison;

/* Reads a result, and whether its rows are rows. HL_BAD_INPUT with file, line or row, and remedy;
 * HL_SYSTEM: it cannot be read. */
hl_status perf_compare_load(const char *path, json_t **ret_result, hl_error *error);

/*
 * Compares two results of perf_compare_load; rows are found by case and unit. HL_OK:
 * `ret_comparison` is the caller's, perf_compare_free, and points into both results. HL_INVALID:
 * they are of different scenarios; HL_NO_MEMORY.
 */
hl_status perf_compare(const json_t *before, const json_t *after, perf_comparison *ret_comparison,
                       hl_error *error);
void perf_compare_free(perf_comparison *comparison);

void perf_compare_print(const perf_comparison *comparison, FILE *stream);

/* A new object; the caller's. */
json_t *perf_compare_json(const perf_comparison *comparison);

#endif
