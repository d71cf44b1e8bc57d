/*
 * Async subscriptions: their events are copied into queues, from which the workers of a pool
 * (pool.h) take them.
 *
 *     partition --delivery--> queue --+
 *     partition --delivery--> queue --+--> strand --one worker at a time--> handler
 *
 * Each partition that a subscription reaches has a cell with queues of its own; the partition is
 * their only producer. A strand is the queues of which one worker at a time may take: ordered
 * whole, there is one strand with a queue of each cell; by key, there are as many strands as the
 * pool may have workers, and the key picks one; unordered, the one strand is for all at once, and
 * its queues are rings with many consumers.
 *
 * Why strands, not a queue for each worker: whoever is free takes a strand for a run, so that a
 * worker that is stuck in a handler holds up the strand in its hand alone; and the pool grows and
 * shrinks at once, for no key changes its strand: nothing is dealt anew, and nothing can be lost or
 * reordered by it. With a queue for each worker, keys could move only when their queue is empty: a
 * pool that grows because of a backlog would not get at that backlog.
 *
 * The order of what handlers publish is kept, too: a strand whose last worker has published moves
 * to another one only when that was taken by the partitions, for the two have different rings.
 *
 * What a handler fails on is kept in the strand that it was in (its ward, src/fault), by the worker
 * that has it: whoever has the strand next tries it again, so that the pool may grow and shrink
 * meanwhile. Unordered, the one strand is nobody's alone: there are as many strands more, without
 * queues, as the pool may have workers; one that fails takes one that nobody has (each worker has
 * at most one, so there is always one). What the strands have in common, the breaker and the room,
 * is under a lock that is taken only when something has failed.
 *
 * Who writes what: a worker its share, which is its own for good; the cells of a strand, who has
 * that; the breaker, and `wary` and `breaker_changes`, who has its lock; boxes, the partition.
 *
 * In batches: the events of a queue wait in it until there are enough, or the first has waited long
 * enough since a worker saw it (batch_due_ns), or one comes that waits for nobody (HURRY).
 *
 * - HURRY: queue.hurried: the partition counts up (store release) after what is not to wait was put
 *   there; a worker loads it (acquire) before it looks.
 * - HELD: strand.holder: a worker takes it (compare-exchange, acquire) and gives it back (store
 *   release): the next one sees the queues' consumer ends, and all that handlers did.
 * - TOLD: box.eject: the partition stores HL_EJECT_UNTOLD (release) after what is to be told; a
 *   worker takes it (acquire) to HL_EJECT_TOLD; the control plane from there to RETURNS, for the
 *   partition to go on from now, or to NONE, where its past is read first (past.h): so a command
 *   that is late never takes up what was ejected again meanwhile.
 * - DRAINED: (executor.h) executor.handed, finished: copies put into queues, counted before they
 *   can be seen; and those that are done with, counted (release) after what their handlers
 *   published. Stop loads `finished` (acquire), then `handed`: equal sums mean that nothing is in a
 *   queue.
 */
#ifndef HL_BUS_ASYNC_H
#define HL_BUS_ASYNC_H

#include "bus/delivery.h"
#include "bus/due.h"
#include "bus/pool.h"
#include "ring/conflate.h"
#include "ring/mpmc.h"

#define HL_ASYNC_RUN 64 /* most events of a strand before its worker looks at others */

typedef struct hl_async_queue hl_async_queue;
typedef struct hl_async_past hl_async_past;

/* What the three kinds of queues do in their own way. */
typedef struct hl_async_kind {
    hl_delivery delivery;
    /* Fills in the queue's ends; of contract latest `slots` are its keys. The control plane. False:
     * no memory. */
    bool (*make)(hl_async_queue *queue, uint32_t slot_size_bytes, uint32_t slots);
    /* Puts an event in, counting the copy in `handed` (DRAINED) before it can be seen. The queue's
     * producer. False: no room. NULL: the table of latest values, which has no past (past.h). */
    bool (*put)(hl_async_queue *queue, const hl_event *event, uint64_t *handed);
    /* Whether so many events wait in it, news among them. Any thread. */
    bool (*ready)(const hl_async_queue *queue, uint32_t count);
    /* Runs the handler for what waits, for at most `max` events. A worker that has its strand. */
    uint32_t (*serve)(hl_worker *worker, hl_async_queue *queue, uint32_t max);
    /* The same in batches: the events that are next, at most `max`; then, that the first `count` of
     * them are done with. Of `stays` kinds the rest comes again, of others all must be done. */
    uint32_t (*gather)(hl_async_queue *queue, uint32_t max, const hl_event **ret_events,
                       uint64_t *ret_position);
    void (*done)(hl_async_queue *queue, uint64_t position, uint32_t count);
    bool stays;
    /* Takes out what is left, when nobody else uses it any more: the events, and (to *ret_slots)
     * with what was told of losses. */
    uint64_t (*drain)(hl_async_queue *queue, uint64_t *ret_slots);
    /* Events that wait, for its partition's thread; and the oldest, or NULL. */
    uint64_t (*waiting)(hl_async_queue *queue, const hl_event **ret_oldest);
    bool (*has_room)(hl_async_queue *queue);
} hl_async_kind;

/* Of one worker and subscription; that worker alone writes. */
typedef struct hl_async_share {
    alignas(128) uint64_t taken, handled, skipped, cancelled;
    uint64_t failures;
    uint32_t next_strand;    /* where it looks first */
    const hl_event **events; /* room for a batch; NULL: it has no batch handler */
} hl_async_share;

struct hl_strand {
    alignas(128) uint32_t holder; /* HELD: a worker's index + 1; 0: nobody */
    uint32_t last;                /* the last holder; relaxed: a hint */
    uint32_t published_by;        /* the last holder whose handlers published; relaxed: a hint to
                                     others than the holder */
    uint64_t rests_until_ns;      /* an event's output found no room; 0: it did. Relaxed: a hint to
                                     others than the holder */
    uint64_t rests_since_ns; /* since when the event at its head has waited for that; 0: it does
                                not. The holder's */
    uint64_t due_ns;         /* when something of what its ward keeps is due; UINT64_MAX: it keeps
                                nothing. Relaxed: a hint to others than the holder */
    uint64_t seen_changes;   /* of the breaker, when it was last served; relaxed: likewise */
    hl_ward *ward;           /* the guard's */
    hl_cell *cells;          /* by box; what the guard counts. NULL: it has none (shared) */
};

typedef enum hl_eject_state {
    HL_EJECT_NONE = 0,
    HL_EJECT_UNTOLD,
    HL_EJECT_TOLD,
    HL_EJECT_RETURNS /* it was told, and the partition is asked to take it up again, from now */
} hl_eject_state;

/* What a cell's `waiting` points to. The partition's thread writes it. */
typedef struct hl_async_box {
    alignas(128) hl_async *async;
    hl_cell *cell;
    hl_async_queue *queues; /* by strand */
    uint64_t queued;        /* put into a queue, and not conflated since */
    uint64_t lost, conflated;
    uint64_t ejections;
    uint64_t cancelled;  /* what was left in the queues at the end */
    uint32_t eject;      /* TOLD: hl_eject_state */
    uint32_t phase;      /* PAST (past.h): hl_past_phase */
    hl_async_past *past; /* PAST: not looked at while the phase is NONE */
    hl_ejected ejected;  /* TOLD */
    hl_due ageing;       /* eject_age_ns: open since something waited, until nothing is seen to */
    bool is_ageing;
} hl_async_box;

struct hl_async_queue {
    /* Read-only after it is made. */
    alignas(128) hl_async_box *box;
    const hl_partition *partition;
    bool is_past; /* past.h */
    void *memory;
    hl_ring *ring;      /* ordered, unordered */
    hl_mpmc shared;     /* unordered */
    hl_conflate *table; /* latest */
    /* The partition's thread writes. */
    alignas(128) uint64_t hurried; /* HURRY */
    hl_spsc_producer producer;
    hl_conflate_publisher publisher;
    hl_lost lost; /* not told yet; latest: in all */
    hl_event lost_last;
    hl_due telling; /* lossy: open since something was lost, until that is told */
    bool is_telling;
    uint64_t tell_after_ns; /* how long it waits for room before it looks again */
    /* The strand's holder writes. */
    alignas(128) hl_ring_consumer consumer;
    hl_conflate_consumer reader;
    uint64_t taken; /* ordered: the consumer's position; relaxed: a hint to others */
    /* Batches; relaxed both: hints, of a shared strand any worker stores them. */
    uint64_t batch_due_ns; /* the first waits for company until then; 0: nobody has looked */
    uint64_t hurried_seen; /* of `hurried`, all that is there was taken */
};

struct hl_async {
    hl_subscription *subscription;
    hl_pool *pool;
    const hl_async_kind *kind;
    hl_contract contract;
    bool is_shared;      /* unordered: any number of workers in its first strand */
    uint32_t is_drained; /* its end: nothing is left in its queues */
    uint32_t strand_count, box_count;
    uint32_t queue_strands;      /* of the strands the first so many have queues */
    uint32_t slot_size_bytes;    /* of its queues, the largest */
    const hl_async_guard *guard; /* NULL: what a handler fails on is skipped (tests) */
    void *guarded;               /* the guard's */
    uint32_t wary;               /* its breaker has something to remember; relaxed: a hint */
    uint64_t breaker_changes;    /* of its breaker's state; relaxed: likewise */
    hl_strand *strands;
    hl_async_box *boxes;    /* by cell */
    hl_async_queue *queues; /* by cell, then strand */
    hl_async_share *shares; /* by worker */
};

/* Whether an event is to wait for room in its queues. */
static inline bool hl_async_is_lossless(const hl_subscription *subscription)
{
    return subscription->async != NULL && subscription->async->contract == HL_CONTRACT_LOSSLESS;
}

/* Checks the options of an async subscription, and those that only one may have. Under the lock. */
hl_status hl_async_check(hl_bus *bus, const char *pattern, const hl_subscription_options *options);

/* Whether its queues have room for the initial image that it is to get. Under the lock. */
hl_status hl_async_check_image(hl_bus *bus, const hl_subscription *subscription);

/* Whether a topic that is no state topic may have that name: not one that a subscription of
 * contract latest would conflate. Under the lock. */
hl_status hl_async_check_topic(hl_bus *bus, const char *name);

/* Has its handler run, alone, for an event that is counted as taken and that a guard has; the
 * outcome is counted in `cell`, of the strand in hand, and told to the guard. A worker. */
void hl_async_handle(hl_worker *worker, hl_cell *cell, const hl_event *event);

/* The outlet where the handler that has just returned found no room that it will have one day;
 * NULL: it failed for another reason. */
hl_outlet *hl_worker_found_no_room(const hl_worker *worker, hl_status status);

/* Makes its queues, and fills in cell->delivery and cell->waiting of all its cells. Under the lock.
 * False: no memory; hl_async_free is due all the same. */
bool hl_async_make(hl_subscription *subscription);
void hl_async_free(hl_async *async); /* NULL is nothing */

/* Whether a cell with contract lossless has room for an event. The partition's thread. */
bool hl_async_has_room(const hl_cell *cell, uint64_t key);

/* The handler for a run of at most `max` events of a strand that has something. A worker. The
 * number of events; 0: there was nothing that it may take. */
uint32_t hl_async_serve(hl_worker *worker, hl_async *async, uint32_t max);

/* Whether there is something that the worker may take. */
bool hl_async_has_work(const hl_worker *worker, const hl_async *async);

/* How long a worker may sleep: a strand that rests is to be looked at again, what is kept becomes
 * due, a batch has waited long enough. */
uint64_t hl_async_sleep_limit_ns(const hl_worker *worker);

/* Whether something waits, that nobody has in hand, in the subscriptions of a list. */
bool hl_async_waits(const hl_link *links);

/* All links have let go: what is left in the queues is cancelled and counted, on behalf of
 * `executor`, and what is kept cancelled or given up. The number of events. */
uint64_t hl_async_drain(hl_async *async, hl_executor *executor);

/* A queue's slot of a partition, in bytes: news must fit, too. */
uint32_t hl_async_slot_bytes(const hl_partition *partition);

/* Adds what the workers and boxes have counted. */
void hl_async_add_up(const hl_async *async, hl_subscription_stats *sum);

#endif
