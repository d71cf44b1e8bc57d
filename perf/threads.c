#include "threads.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "affinity/pin.h"
#include "base/error.h"
#include "ring/order.h"

#define TRIES_BEFORE_NAP 100u

/*
 * Edges:
 *   ARRIVED  arrived: a thread that is pinned, or failed to be (fetch-add) -> the caller (load
 *            acquire). The caller sees its status.
 *   GATE     gate: the caller (store release) -> the threads (load acquire). All have arrived.
 */
typedef enum gate_state { GATE_CLOSED = 0, GATE_OPEN, GATE_CALLED_OFF } gate_state;

typedef struct start_line {
    uint64_t arrived;
    uint32_t gate; /* gate_state */
} start_line;

typedef struct runner {
    const perf_thread *thread;
    start_line *line;
    hl_status status;
    hl_error error;
    pthread_t id;
} runner;

/* Yields, so that with fewer CPUs than threads the last one can arrive; and now and then sleeps:
 * under a real-time policy a thread that only yields keeps its CPU from those of other CPUs. */
static void make_way(uint32_t *tries)
{
    static const struct timespec nap = {0, 20000};
    if (++*tries % TRIES_BEFORE_NAP == 0)
        nanosleep(&nap, NULL);
    else
        sched_yield();
}

static void *run_thread(void *context)
{
    runner *const self = context;
    self->status = hl_pin_self(self->thread->cpu, &self->error);
    /* ARRIVED: release, by a fetch-add that is a full barrier on x86 and follows a fence. */
    hl_fence_store_load();
    hl_fetch_add_relaxed_u64(&self->line->arrived, 1);
    uint32_t gate;
    uint32_t tries = 0;
    /* GATE: acquire, so that what the caller prepared is seen. */
    while ((gate = hl_load_acquire_u32(&self->line->gate)) == GATE_CLOSED)
        make_way(&tries);
    if (gate == GATE_OPEN)
        self->thread->run(self->thread->context);
    return NULL;
}

/* How many of them were started. */
static uint32_t start_all(runner *runners, uint32_t count, hl_status *ret_status, hl_error *error)
{
    for (uint32_t i = 0; i < count; i++) {
        const int failure = pthread_create(&runners[i].id, NULL, run_thread, &runners[i]);
        if (failure != 0) {
            *ret_status = hl_error_set(error, HL_SYSTEM, "%s: no thread: %s",
                                       runners[i].thread->name, strerror(failure));
            return i;
        }
    }
    return count;
}

hl_status perf_threads_run(const perf_thread *threads, uint32_t count, hl_error *error)
{
    if (count == 0 || count > PERF_THREADS_MAX)
        return hl_error_set(error, HL_INVALID, "%u threads: there may be 1..%u", count,
                            PERF_THREADS_MAX);
    start_line line = {0, GATE_CLOSED};
    runner runners[PERF_THREADS_MAX];
    memset(runners, 0, sizeof runners);
    for (uint32_t i = 0; i < count; i++) {
        runners[i].thread = &threads[i];
        runners[i].line = &line;
    }
    hl_status status = HL_OK;
    const uint32_t started = start_all(runners, count, &status, error);
    /* ARRIVED: acquire, so that the statuses below are those of the threads. */
    uint32_t tries = 0;
    while (hl_load_acquire_u64(&line.arrived) < started)
        make_way(&tries);
    for (uint32_t i = 0; i < started && status == HL_OK; i++) {
        if (runners[i].status != HL_OK)
            status = hl_error_set(error, runners[i].status, "%s: %s", threads[i].name,
                                  runners[i].error.text);
    }
    /* GATE: release, after everything above. */
    hl_store_release_u32(&line.gate, status == HL_OK ? GATE_OPEN : GATE_CALLED_OFF);
    for (uint32_t i = 0; i < started; i++)
        pthread_join(runners[i].id, NULL);
    return status;
}
