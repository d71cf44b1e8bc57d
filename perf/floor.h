/*
 * The floor: what the hardware takes for the same movements with nothing of a bus around them. A
 * latency means something as a multiple of the ping-pong between the same two cores, a throughput
 * as a part of the plain copy between them, measured in the same run.
 *
 *   round trip, 1 line   core A writes a line, core B sees it and writes another, A sees that
 *   round trip, 2 lines  the same with two lines a way, both of which must have come
 *   stream copy          messages of 128 bytes filled by A and summed up by B in a ring of 4,096
 *                        of them; the only synchronisation is one word a block of messages each
 *                        way; block size and prefetch are the best of several; B writes a word of
 *                        each line back, which on many machines is what keeps A's stores flowing
 *   copy in one core     the same fill and sum by one thread, in a ring of the same size
 *   timer                one reading
 *   gaps                 time that a busy loop on a core did not get: by the kernel, the
 *                        hypervisor, the firmware
 */
#ifndef HL_PERF_FLOOR_H
#define HL_PERF_FLOOR_H

#include <stdio.h>

#include <jansson.h>

#include "perf/cores.h"
#include "perf/repeat.h"
#include "perf/timer.h"

#define PERF_MESSAGE_BYTES 128u
#define PERF_MESSAGE_SLOTS 4096u

#define PERF_GAP_LIMITS 4u /* over 1, 10, 100 us, 1 ms */

typedef struct perf_gaps {
    uint64_t over[PERF_GAP_LIMITS]; /* gaps longer than 1, 10, 100 us, 1 ms */
    double max_ns;
    double watched_s;
} perf_gaps;

typedef struct perf_floor {
    bool two_cores; /* false: both roles share a CPU, and the figures between cores are 0 */
    perf_summary round_trip_1_line_ns; /* medians of a repeat's round trips */
    perf_summary round_trip_2_lines_ns;
    perf_summary stream_copy_per_s; /* messages */
    perf_summary core_copy_per_s;
    uint32_t stream_block; /* messages a handover, and */
    uint32_t stream_ahead; /* messages prefetched ahead on both sides: the best found */
    double timer_ns;
    perf_gaps publisher_gaps;
    perf_gaps consumer_gaps;
} perf_floor;

typedef struct perf_floor_options {
    double seconds;   /* about how long a measurement takes, above 0 */
    uint32_t repeats; /* 1..PERF_REPEATS_MAX */
} perf_floor_options;

/*
 * The measurements one by one, as cases for perf_repeat, for whoever wants them to alternate with
 * his own (context: a perf_floor_work). Each gives one value.
 */
typedef struct perf_floor_work {
    const perf_timer *timer;
    const perf_cores *cores;
    double seconds;
    uint32_t block; /* of the copies: messages a handover; a power of two up to half the slots */
    uint32_t ahead; /* of the stream copy: messages to prefetch ahead, 0..64 */
} perf_floor_work;
hl_status perf_floor_round_trip_1_line(void *work, double *ret_ns, hl_error *error);
hl_status perf_floor_round_trip_2_lines(void *work, double *ret_ns, hl_error *error);
hl_status perf_floor_stream_copy(void *work, double *ret_per_s, hl_error *error);
hl_status perf_floor_core_copy(void *work, double *ret_per_s, hl_error *error);

/* A short look at a round trip of one line, in ns: the pace that the machine has now, for
 * perf_repeat_at_one_pace. Context: a perf_floor_work, whose seconds do not matter. */
double perf_floor_look(void *work);

/* Measures all of it. HL_SYSTEM, HL_INVALID: pinning; HL_NOT_CONSERVED: a message came damaged;
 * HL_NO_MEMORY. Works from the calling thread, which it neither pins nor moves. */
hl_status perf_floor_measure(const perf_timer *timer, const perf_cores *cores,
                             const perf_floor_options *options, perf_floor *ret_floor,
                             hl_error *error);

/* Watches one CPU for gaps, on a thread pinned there. */
hl_status perf_gaps_watch(const perf_timer *timer, uint32_t cpu, double seconds,
                          perf_gaps *ret_gaps, hl_error *error);

void perf_floor_print(const perf_floor *floor, FILE *stream);

/* A new object; the caller's. */
json_t *perf_floor_json(const perf_floor *floor);

#endif
