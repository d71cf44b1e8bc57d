/*
 * The CPU's and the kernel's counters around a measurement, of all threads that it starts, as
 * `perf stat` counts them. A virtual machine or a container often has none: then the harness says
 * so and measures without.
 */
#ifndef HL_PERF_COUNTERS_H
#define HL_PERF_COUNTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum perf_counter {
    PERF_COUNTER_CYCLES,
    PERF_COUNTER_INSTRUCTIONS,
    PERF_COUNTER_CACHE_MISSES,
    PERF_COUNTER_CONTEXT_SWITCHES, /* the kernel's: had where the CPU's are not */
    PERF_COUNTERS
} perf_counter;

typedef struct perf_counters {
    int files[PERF_COUNTERS];       /* -1: not to be had */
    uint64_t before[PERF_COUNTERS]; /* what they had at the begin: the kernel's reset leaves out
                                       what ended threads added */
    char reason[160];               /* why the first that is not to be had is not; empty: all are */
} perf_counters;

/* Opens what may be opened, for the calling thread and all that it and theirs start from now on. */
void perf_counters_open(perf_counters *ret_counters);
void perf_counters_close(perf_counters *counters);

/* Counting begins. */
void perf_counters_begin(perf_counters *counters);

/* What was counted since, threads that ended included; NAN where there is no such counter. */
void perf_counters_end(const perf_counters *counters, double ret_counts[PERF_COUNTERS]);

#endif
