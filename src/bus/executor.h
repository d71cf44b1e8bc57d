/*
 * A partition is a state machine: lanes in, sequence numbers, handlers, its own rings out. An
 * executor is what a thread turns: one to n partitions, of which it always takes the highest lane
 * that has something, and looks again after every event.
 *
 * Only the thread that turns the executor writes what is below "The turning thread writes", and the
 * partitions and inlets that belong to it. Others reach it through commands.
 *
 * - ONLINE: a store-load pair. Turning thread: stores online = 1, fence, then loads commands and
 *   routes. hl_unsubscribe: stores closing, the routes and the command, fence, loads online. Either
 *   the thread sees that the subscription is gone, or the caller sees that it must wait for it.
 * - DRAINED: lane.dispatched: the turning thread stores it (release) when the handlers of a run
 *   have returned and what they published is counted; stop loads it (acquire) before it loads what
 *   was committed: equal sums mean that nothing is on its way.
 * - START: start_state, go: each stored (release) by one side, loaded (acquire) by the other.
 * - DELAY: order_delay_ns: the turning thread raises it, the flow control takes it (an exchange)
 *   each 10 ms: relaxed. A value that is raised while it is taken may be seen by neither, or count
 *   for the next 10 ms too: it is a figure for the ladder, which looks at trends.
 * - FLUSH: flush_dues: relaxed; a request, looked at before each sleep like commands.
 * - OFFLINE: online = 0: the turning thread stores it (release) when all handlers have returned,
 *   hl_unsubscribe loads it (acquire) and may let the context be freed.
 */
#ifndef HL_BUS_EXECUTOR_H
#define HL_BUS_EXECUTOR_H

#include <pthread.h>
#include <stdalign.h>

#include "base/park.h"
#include "bus/command.h"
#include "bus/due.h"
#include "bus/lane.h"
#include "bus/publisher.h"
#include "bus/ready.h"
#include "bus/route.h"
#include "bus/slowest.h"
#include "observe/histogram.h"

#define HL_RUN_MAX                                                                \
    64 /* events of one lane before the executor looks at the others of its level \
        */

typedef struct hl_domain hl_domain;
typedef struct hl_worker hl_worker;

/* Who runs async handlers (pool.h). */
typedef enum hl_pool_kind { HL_POOL_WORKERS = 0, HL_POOL_TAPS, HL_POOLS } hl_pool_kind;

/* Beside the pools, in `handed` and `finished`: what the strands of async subscriptions keep
 * because its handler failed (async.h). */
#define HL_KEPT     HL_POOLS
#define HL_BACKLOGS (HL_POOLS + 1)
typedef struct hl_intake hl_intake;
typedef struct hl_recorder hl_recorder;
typedef struct hl_ward hl_ward;

/* What the scheduler has done to a thread so far (observe/thread_switches.h), as the housekeeper
 * saw it last. */
typedef struct hl_switches_seen {
    uint64_t at_ns; /* 0: never */
    uint64_t involuntary, migrations;
} hl_switches_seen;

/* What the partition counts of a lane. */
struct hl_lane {
    uint64_t dispatched;      /* DRAINED */
    uint64_t conflated, shed; /* DRAINED: taken, and never dispatched */
    uint64_t withheld;        /* taken by the intake, to be dispatched later */
    uint64_t unrouted, abandoned;
    uint64_t padding; /* aborted claims stepped over */
    uint32_t running; /* whether a run of it is being dispatched */
    hl_histogram *latency;
    hl_slowest *slowest; /* of its domain, on its executor; shared with its other lanes there */
};

struct hl_partition {
    /* Read-only after create. */
    alignas(128) hl_bus *bus;
    hl_executor *executor;
    const hl_domain *domain;
    uint32_t number;
    uint32_t shard;
    int numa_node;
    hl_publisher *out;
    /* The turning thread writes; others read the counters. */
    alignas(128) uint64_t sequence;
    uint64_t sequence_base;      /* what it was when this bus began to count */
    uint64_t in_flight;          /* sequenced, and withheld by the recorder: the last so many */
    const hl_intake *intake;     /* NULL: every event is dispatched as it comes */
    const hl_recorder *recorder; /* NULL: no journal; fixed before start */
    const hl_subscription *full; /* who had no room when a dispatch was HL_DISPATCH_HELD */
    /* Who has no room for the first of the withheld; NULL: nobody. Workers look at it. */
    const hl_subscription *withheld_for;
    const hl_cell *current; /* whose handler ran last, or runs; the watchdog reads it */
    hl_lane lanes[HL_PRIORITIES];
    hl_due *open_dues;         /* due.h */
    hl_ward *ward;             /* what waits for its handler to recover (src/fault); or NULL */
    uint32_t open_boxes;       /* of them batches, which may point into the run in hand */
    unsigned char *image_slot; /* where an initial image's event is put together */
    /* Under the bus's lock: every end of its lanes, for statistics and the shared rings. */
    alignas(128) hl_outlet *outlets[HL_PRIORITIES];
    hl_inlet *inlets[HL_PRIORITIES];
    hl_door_counts closed_counts[HL_PRIORITIES]; /* of outlets that are gone */
};

struct hl_executor {
    /* Read-only after start. */
    alignas(128) hl_bus *bus;
    char name[64];
    uint32_t index;
    hl_wait wait;
    int cpu; /* OS index; -1: none */
    bool shares_cpu;
    uint32_t guard_interval;
    hl_partition **partitions;
    uint32_t partition_count;
    hl_worker *worker; /* NULL: it turns partitions */
    pthread_t thread;
    bool thread_started;
    uint32_t tid;        /* START: of its thread, for the kernel; 0: none of its own runs */
    hl_slowest *slowest; /* by domain */
    alignas(128) hl_switches_seen seen; /* the housekeeper writes, the turning thread reads */

    /* The turning thread writes. */
    alignas(128) uint64_t watched[HL_PRIORITIES]; /* ready.h */
    uint64_t local[HL_PRIORITIES];                /* ready.h */
    uint64_t aged_ns;                             /* when they were last aged */
    uint32_t last_level;                          /* of what was dispatched last */
    uint32_t since_guard;     /* events since the guard last let a lower level in */
    uint32_t guard_level;     /* the lower level that it let in last */
    uint32_t due_turns;       /* of what is due, before a lane of its priority has its turn */
    uint32_t open_dues;       /* of its partitions (due.h); others may read */
    uint32_t polled_dues;     /* of them those that are asked */
    uint64_t earliest_due_ns; /* when the first of them is due, or earlier */
    uint64_t dues_looks;      /* calls of hl_dues_serve */
    uint64_t now_ns;          /* bus time, at most a few events old */
    uint64_t turns, events, parks;
    uint64_t handed[HL_BACKLOGS];   /* DRAINED (async.h): copies put into queues, or kept */
    uint64_t finished[HL_BACKLOGS]; /* DRAINED (async.h): copies that are done with */
    uint64_t busy_since_ns;  /* while it has events: since it had none, or was last counted */
    uint64_t busy_ns;        /* counted so far */
    uint64_t order_delay_ns; /* DELAY: the longest measured wait of one of CRITICAL or HIGH */
    uint32_t state;          /* hl_executor_state */
    uint32_t running_cpu;    /* an int in disguise: -1 before it runs */
    uint32_t obeying;        /* DRAINED: commands were taken and are not yet done */
    hl_level levels[HL_PRIORITIES];

    /* Publishers set bits, the turning thread clears them. */
    alignas(128) uint64_t announced[HL_PRIORITIES];

    /* The turning thread writes, hl_unsubscribe reads. */
    alignas(128) uint32_t online;

    /* The control plane writes. */
    alignas(128) hl_command_list commands;
    uint32_t stop; /* STOP: the stopping thread stores (release), the executor loads (acquire) */
    uint32_t flush_dues;  /* FLUSH: serve what waits for a time now */
    uint32_t start_state; /* START: the thread stores (release) its hl_start_state, start loads */
    uint32_t ended; /* ENDED: its thread stores 1 (release) last, who joins it loads (acquire) */
    uint32_t go;    /* START: start stores (release) 1 when all threads are in their place */
    uint32_t next_group[HL_PRIORITIES]; /* under the bus's lock */
    hl_error start_error;

    hl_sleeper sleeper;
};

typedef enum hl_executor_state {
    HL_EXECUTOR_STOPPED = 0,
    HL_EXECUTOR_IDLE,
    HL_EXECUTOR_BUSY,
    HL_EXECUTOR_ASLEEP
} hl_executor_state;

typedef enum hl_start_state {
    HL_START_PENDING = 0,
    HL_START_READY,
    HL_START_FAILED
} hl_start_state;

/* How long it has been busy with events so far; a busy stretch counts in pieces of 1 ms. Any
 * thread.
 */
static inline uint64_t hl_executor_busy_ns(const hl_executor *executor)
{
    return hl_load_relaxed_u64(&executor->busy_ns); /* Relaxed: a counter. */
}

/* The executor that the calling thread is inside a turn of; NULL: it is none of hotlane's. */
extern _Thread_local hl_executor *hl_turning;

/* Whether a level above `level` may have something: then it is worth a look. */
static inline bool hl_executor_higher_stirs(const hl_executor *executor, uint32_t level)
{
    uint64_t stirring = 0;
    for (uint32_t above = 0; above < level; above++)
        /* ANNOUNCED: (ready.h) relaxed. */
        stirring |= hl_load_relaxed_u64(&executor->announced[above]) | executor->watched[above] |
                    executor->local[above];
    return stirring != 0;
}

/* Whether a level above `level` has something. */
bool hl_executor_higher_waits(const hl_executor *executor, uint32_t level);

/* One look: takes a run of at most `max_events` of the highest lane that has something, or serves
 * one thing that is due, or obeys commands. The number of events it took; 0: there were none. The
 * turning thread, online. */
uint32_t hl_executor_look(hl_executor *executor, uint32_t max_events);

/* Whose handler runs on it; NULL: nobody's. A hint of any moment; under the bus's lock, so that it
 * is there. */
const hl_subscription *hl_executor_running(const hl_executor *executor);

/* Does what the control plane has commanded. The turning thread; or the control plane, when no
 * thread turns it any more. */
void hl_executor_obey(hl_executor *executor);

/* The turning thread begins, and ends, to use routes and handlers. */
void hl_executor_go_online(hl_executor *executor);
void hl_executor_go_offline(hl_executor *executor);

/* Makes the calling thread known to liburcu, once, until it ends. */
void hl_executor_register_thread(void);

/* The body of an executor's thread. */
void *hl_executor_main(void *executor);

/* Pushes a command and wakes the executor. Any thread. */
void hl_executor_command(hl_executor *executor, hl_command *command);

/* Wakes it, when it sleeps, after something was stored that it looks at. Any thread. */
void hl_executor_wake(hl_executor *executor);

#endif
