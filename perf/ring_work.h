/*
 * The rings under load, one measurement at a time: producers claim, fill and commit, the consumer
 * peeks, sums up every byte, checks each producer's order, releases. Every message that was
 * committed must come out, whole and once.
 */
#ifndef HL_PERF_RING_WORK_H
#define HL_PERF_RING_WORK_H

#include "perf/cores.h"
#include "perf/timer.h"

typedef enum perf_ring_shape {
    PERF_RING_SPSC,    /* a producer on the publisher's CPU, the consumer on its own */
    PERF_RING_MPSC,    /* the same through an MPSC ring */
    PERF_RING_MPSC_2P, /* two producers contend; the one on the consumer's CPU also consumes */
    /* More threads than CPUs; who finds nothing to do makes way. */
    PERF_RING_MPSC_3ON2, /* two producers and a consumer, the latter two on one CPU */
    PERF_RING_MPSC_8ON2, /* seven producers and a consumer, four threads a CPU */
    PERF_RING_SPSC_2ON1, /* a producer and the consumer on one CPU, the consumer's */
    PERF_RING_MPSC_3ON1, /* two producers and the consumer there */
    PERF_RING_MPSC_8ON1, /* seven producers and the consumer there */
} perf_ring_shape;

typedef struct perf_ring_work {
    const perf_timer *timer;
    const perf_cores *cores;
    double seconds;
    perf_ring_shape shape;
    uint32_t slot_size; /* bytes: 64, 128 or 256; all but the stamp's 8 are filled and checked */
    uint32_t capacity;  /* slots */
    uint32_t run;       /* messages a claim, and at most so many a peek */
} perf_ring_work;

/* What perf_ring_measure gives, in this order. */
typedef enum perf_ring_value {
    PERF_RING_PER_S,         /* messages a second, from the first to the last */
    PERF_RING_FULL_PERCENT,  /* of the producers' time, waiting for room */
    PERF_RING_EMPTY_PERCENT, /* of the consumer's time, waiting for a message; NAN where the
                                consumer's thread produces too */
    PERF_RING_VALUES
} perf_ring_value;

/* A perf_measure; `work` is a perf_ring_work. HL_NOT_CONSERVED: a message was lost, damaged or out
 * of order. HL_INVALID: another slot size. */
hl_status perf_ring_measure(void *work, double *ret_values, hl_error *error);

#endif
