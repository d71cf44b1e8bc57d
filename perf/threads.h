/*
 * The threads of one measurement: each pinned to its CPU and checked to be there, all let go at the
 * same moment, all joined.
 *
 *     const perf_thread threads[] = {{"publisher", cores->publisher, publish, &work},
 *                                    {"consumer", cores->consumer, consume, &work}};
 *     hl_status status = perf_threads_run(threads, 2, &error);
 *
 * The caller's own mask is not touched.
 */
#ifndef HL_PERF_THREADS_H
#define HL_PERF_THREADS_H

#include <stdint.h>

#include <hotlane/status.h>

#define PERF_THREADS_MAX 16u

typedef struct perf_thread {
    const char *name;
    uint32_t cpu; /* OS index */
    void (*run)(void *context);
    void *context;
} perf_thread;

/* Returns when all have returned. HL_INVALID or HL_SYSTEM, with the thread's name, when one cannot
 * be started or pinned; then none has run. */
hl_status perf_threads_run(const perf_thread *threads, uint32_t count, hl_error *error);

#endif
