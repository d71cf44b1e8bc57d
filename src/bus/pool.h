/*
 * The pool: threads that run the handlers of async subscriptions. A worker is an executor without
 * partitions (executor.h): threads, commands, parking, stop and statistics are its own; what it
 * looks at are the queues of the subscriptions that its links name (async.h).
 *
 * A bus has two pools: the workers, and a single thread that serves taps alone, so that a tap's
 * handler that never returns takes no worker away. All threads there may be are made with the bus:
 * growing pins and allocates nothing. Those above `active` sleep, and take nothing up.
 *
 * - IDLE: a store-load pair, as ASLEEP (base/park.h). A partition: fills a slot of a queue, light
 *   fence, loads `sleeping` and `searching`. A worker: sets its bit in `sleeping`, takes itself off
 *   `searching`, barrier of all threads (hl_sleeper_prepare), looks at the queues. So either the
 *   worker sees the slot, or the partition sees it asleep. Who is awake and without work is
 *   `searching`, and finds what comes; nobody need be woken for it. The last one to find work wakes
 *   another when there is more (as Go's scheduler does, runtime/proc.go, "Worker thread
 *   parking/unparking"). A partition that read `searching` just before is set right by
 *   hl_pool_tend, within 10 ms.
 * - SERVING: a store-load pair. Worker: stores whose handlers it is going to run, fence, loads
 *   `closing`. hl_unsubscribe: stores `closing`, fence, loads `serving`: so that it waits for its
 *   own handler, not for another's.
 */
#ifndef HL_BUS_POOL_H
#define HL_BUS_POOL_H

#include <stdalign.h>

#include "bus/executor.h"

typedef struct hl_pool hl_pool;
typedef struct hl_strand hl_strand;

struct hl_worker {
    /* Read-only after create. */
    alignas(128) hl_executor *executor;
    hl_pool *pool;
    hl_publisher *out;
    uint32_t index; /* in its pool */
    /* Its thread writes. */
    alignas(128) hl_link *links; /* of the subscriptions that it serves */
    hl_link *next;               /* where the next look begins */
    uint32_t searching;          /* IDLE: counted in pool->searching */
    bool in_sleeping;            /* it has set its bit in pool->sleeping */
    hl_strand *strand;           /* in hand (async.h) */
    uint64_t calls;              /* of handlers; the watchdog reads it */
    /* Its thread writes, hl_unsubscribe reads. */
    alignas(128) const hl_subscription *serving; /* SERVING */
};

struct hl_pool {
    /* Read-only after create. */
    alignas(128) hl_bus *bus;
    hl_worker *workers;
    uint32_t count;
    hl_pool_kind kind;
    void *scaling; /* of the part that resizes it (flow/scaling.h) */
    /* The control plane writes. */
    uint64_t grown, shrunk; /* how often */
    uint32_t active; /* workers of a lower index take events up; relaxed: taken notice of soon */
    /* Workers write, partitions read. */
    alignas(128) uint64_t sleeping; /* IDLE: a bit for each of the 64 at most that sleeps */
    uint64_t searching;             /* IDLE: how many are awake and have found nothing */
};

/* Wakes a worker, if that is needed. After a queue was filled; any thread. */
void hl_pool_wake(hl_pool *pool);

static inline void hl_pool_notify(hl_pool *pool)
{
    hl_fence_light(); /* IDLE: the slot's stamp before the loads. */
    /* Relaxed: the fences order them. */
    if (hl_load_relaxed_u64(&pool->sleeping) != 0 && hl_load_relaxed_u64(&pool->searching) == 0)
        hl_pool_wake(pool);
}

static inline uint32_t hl_pool_active(const hl_pool *pool)
{
    return hl_load_relaxed_u32(&pool->active); /* Relaxed: see `active`. */
}

/* How many of its workers take events up from now on. The control plane, one thread. */
void hl_pool_resize(hl_pool *pool, uint32_t active);

/* Wakes a worker if events wait, or are kept to be tried again, and all are asleep. The
 * housekeeper, now and then. */
void hl_pool_tend(hl_pool *pool);

/* Copies that were handed over and are not done with: of a pool's kind, or HL_KEPT. Any thread. */
uint64_t hl_backlog(const hl_bus *bus, uint32_t kind);

/* Copies that wait in the pool's queues or are being handled, and those that were handled so far.
 * Any thread. */
uint64_t hl_pool_backlog(const hl_pool *pool);
uint64_t hl_pool_finished(const hl_pool *pool);

/* Makes the pools that the configuration asks for, with their executors; and frees them. The
 * control plane. */
bool hl_pools_make(hl_bus *bus);
void hl_pools_end_publishers(hl_bus *bus); /* under the lock */
void hl_pools_free(hl_bus *bus);

/* As hl_executor_look, for a worker. */
uint32_t hl_worker_look(hl_executor *executor, uint32_t max_events);

/* Whether there is something that it may take. Its thread. */
bool hl_worker_has_work(const hl_worker *worker);

/* It has found work, and is about to do it. Its thread. */
void hl_worker_found(hl_worker *worker);

/* It is not turned for a while: it searches no more, so that others need not leave it its strands.
 * Its thread. */
void hl_worker_rest(hl_worker *worker);

/* Around a sleep. Its thread. */
void hl_worker_to_sleep(hl_worker *worker);
void hl_worker_awake(hl_worker *worker);

/* It serves a subscription from now on, or no longer. Its thread; or the control plane's, when that
 * has ended. */
void hl_worker_attach(hl_worker *worker, hl_link *link);
void hl_worker_detach(hl_worker *worker, hl_link *link);

static inline bool hl_worker_is_active(const hl_worker *worker)
{
    return worker->index < hl_pool_active(worker->pool);
}

/* Whether what it has published so far was taken. Who calls has seen, through a strand (async.h),
 * what is meant by "so far". */
bool hl_worker_outputs_taken(const hl_worker *worker);

#endif
