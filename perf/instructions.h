/*
 * How many instructions an event costs from claim to handler: counted, not timed, by callgrind on
 * one thread that publishes and turns the executor by turns. Exact on one build: two counts of the
 * same program differ by nothing, so that a budget can hold it.
 *
 * Counted are 64 publishes (claim, fill 64 bytes, commit) and a turn, over and over, the handler
 * summing up the payload; the case `harness` has the loop, fill and handler alone, without a bus,
 * and is to be taken off the others.
 *
 *     perf_instruction_counts counts;
 *     if (perf_instructions_count(&counts, &error) == HL_OK)
 *         perf_instructions_print(&counts, stdout);
 */
#ifndef HL_PERF_INSTRUCTIONS_H
#define HL_PERF_INSTRUCTIONS_H

#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include <hotlane/status.h>

#define PERF_INSTRUCTION_CASES 8u

typedef struct perf_instruction_counts {
    double per_event[PERF_INSTRUCTION_CASES];
} perf_instruction_counts;

/* The name of a case, below PERF_INSTRUCTION_CASES. */
const char *perf_instructions_case(uint32_t index);

/* What the counts depend on: compiler, flags, machine. Static memory. */
const char *perf_instructions_build(void);

/* The counted program itself: every case once. For a process that runs under callgrind. */
hl_status perf_instructions_workload(hl_error *error);

/* Runs `hotlane perf instructions --workload` under callgrind, some 10 s. HL_UNSUPPORTED: valgrind
 * is not installed; HL_SYSTEM: it failed. */
hl_status perf_instructions_count(perf_instruction_counts *ret_counts, hl_error *error);

void perf_instructions_print(const perf_instruction_counts *counts, FILE *stream);

/* A new object; the caller's. */
json_t *perf_instructions_json(const perf_instruction_counts *counts);

/*
 * Against a budget: a file of comments (#), a line `build TEXT`, and a line `CASE COUNT` each.
 *   HL_OK           every count is within 0.1 % of the budget, and 10,000 topics and subscriptions
 *                   cost at most 2 % more than one
 *   HL_LIMIT        a count is above, or below: the sentence says which, and how to update the file
 *   HL_UNSUPPORTED  the budget is of another build: nothing was compared
 *   HL_BAD_INPUT    file:line, what is wrong; HL_SYSTEM: it cannot be read
 */
hl_status perf_budget_check(const char *path, const perf_instruction_counts *counts,
                            hl_error *error);

/* Writes the file anew from counts. HL_SYSTEM. */
hl_status perf_budget_write(const char *path, const perf_instruction_counts *counts,
                            hl_error *error);

#endif
