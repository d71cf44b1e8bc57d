/*
 * Rings with many producers and many consumers under load, one measurement at a time: hotlane's,
 * and beside it Concurrency Kit's ck_ring, which was the other choice for a pool of workers, in
 * both of its ways to enqueue. The same messages of 128 bytes, every byte summed up by who takes
 * them, and every one that was committed must come out, whole and once.
 */
#ifndef HL_PERF_MPMC_WORK_H
#define HL_PERF_MPMC_WORK_H

#include "perf/ring_work.h"

typedef enum perf_mpmc_shape {
    PERF_MPMC_1P1C, /* a producer on the publisher's CPU, a consumer on its own */
    PERF_MPMC_2P2C, /* a thread on each of the two CPUs, each of which produces and consumes */
    PERF_MPMC_4ON2, /* a producer and a consumer on each of the two CPUs: four threads */
} perf_mpmc_shape;

typedef enum perf_mpmc_ring {
    PERF_MPMC_HOTLANE,
    PERF_MPMC_CK,      /* ck_ring: a slot reserved, filled in place, committed */
    PERF_MPMC_CK_COPY, /* ck_ring: a message filled beside it and copied in */
} perf_mpmc_ring;

typedef struct perf_mpmc_work {
    const perf_timer *timer;
    const perf_cores *cores;
    double seconds;
    perf_mpmc_shape shape;
    uint32_t run; /* messages a claim and a take; ck_ring knows only 1 */
    perf_mpmc_ring ring;
} perf_mpmc_work;

/* A perf_measure that gives perf_ring_values; `work` is a perf_mpmc_work. The waiting is NAN where
 * a thread does both. HL_NOT_CONSERVED: a message was lost, damaged, repeated or out of order.
 * HL_NO_MEMORY. */
hl_status perf_mpmc_measure(void *work, double *ret_values, hl_error *error);

#endif
