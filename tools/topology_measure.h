/*
 * What a machine does, measured: how often a busy thread is interrupted, what a cache line's way
 * between two cores costs, what reading a clock and making a write durable costs. It takes seconds,
 * keeps the measured CPUs busy, and changes nothing but for a file without a name in the folder
 * whose disk is measured.
 */
#ifndef HL_TOOLS_TOPOLOGY_MEASURE_H
#define HL_TOOLS_TOPOLOGY_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

#include <hotlane/status.h>

#define TOPOLOGY_GAP_LIMITS 4 /* 1, 10, 100 us, 1 ms */

/* A busy loop looks at the clock without pause: a gap between two looks is time that something else
 * had the core. */
typedef struct topology_gaps {
    uint32_t cpu; /* OS index */
    double seconds;
    uint64_t over[TOPOLOGY_GAP_LIMITS];       /* gaps of more than 1, 10, 100 us, 1 ms */
    uint64_t p50_ns, p99_ns, p999_ns, max_ns; /* over all looks */
} topology_gaps;

typedef struct topology_measures {
    uint32_t cpu_count;  /* of the measured CPUs */
    uint32_t *cpus;      /* OS indexes */
    topology_gaps *gaps; /* per CPU; the threads of all run at the same time */
    double *hops_ns;     /* [from * cpu_count + to]: one way of a cache line, the best of several
                            rounds; 0 on the diagonal */
    double tsc_ns;       /* a look at the cycle counter; 0: there is none */
    double clock_ns;     /* clock_gettime(CLOCK_MONOTONIC) */
    char folder[256];    /* whose disk was measured; "" for none */
    uint64_t sync_count;
    uint64_t sync_p50_ns, sync_p99_ns, sync_max_ns; /* write of 4 KiB and fdatasync */
    char note[256];                                 /* what could not be measured, and why; "" */
} topology_measures;

typedef struct topology_measure_options {
    const uint32_t *cpus; /* OS indexes that this process may use; 1 or more */
    uint32_t cpu_count;
    double seconds;     /* of the busy loop, and at most of fdatasync: 0.01..600 */
    const char *folder; /* where a journal would be; NULL: no disk is measured */
} topology_measure_options;

/*
 * Measures; blocks for about twice `seconds`, and some 2 ms a pair of CPUs. HL_OK: *ret_measures is
 * the caller's, to be freed; its note says what is missing. HL_INVALID: a CPU that may not be used,
 * a time out of range. HL_SYSTEM: no threads; HL_NO_MEMORY. Not from two threads at a time.
 */
hl_status topology_measure(const topology_measure_options *options,
                           topology_measures **ret_measures, hl_error *error);

/* NULL is allowed. */
void topology_measures_free(topology_measures *measures);

#endif
