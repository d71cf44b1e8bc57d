/*
 * The CPUs of a measurement, by name: `publisher` sends, `consumer` receives, and the bus's
 * `housekeeper` wakes up every 10 ms, which is not to be seen in a latency.
 *
 *     perf_cores cores;
 *     perf_cores_choose("publisher=2,consumer=4", &cores, &error);   // NULL: chosen
 *
 * Chosen are two physical cores that this process may use, under one L3 cache where there are two,
 * the last ones rather than the first, where kernels keep their housekeeping; and for the
 * housekeeper the first CPU of a third core, or, without one, the publisher's.
 */
#ifndef HL_PERF_CORES_H
#define HL_PERF_CORES_H

#include <stdbool.h>
#include <stdint.h>

#include <hotlane/status.h>

#include "affinity/topology.h"

typedef struct perf_cores {
    uint32_t publisher; /* OS index */
    uint32_t consumer;
    uint32_t housekeeper;
    bool named;        /* by the user, at least one of them */
    uint32_t allowed;  /* CPUs that this process may use */
    char relation[96]; /* of the two: "two cores under one L3 cache" */
} perf_cores;

/* HL_INVALID with a sentence: the text is malformed, or names a CPU that may not be used. With one
 * allowed CPU both roles get it, and `relation` says so. Allocates; reads /sys. */
hl_status perf_cores_choose(const char *text, perf_cores *ret_cores, hl_error *error);

/* The same for a machine that was looked at already. */
hl_status perf_cores_choose_of(const hl_topology *topology, const char *text, perf_cores *ret_cores,
                               hl_error *error);

/* Whether two threads that spin can run at the same time. */
static inline bool perf_cores_are_two(const perf_cores *cores)
{
    return cores->publisher != cores->consumer;
}

#endif
