/*
 * A lane is (partition, priority). Its publishers' ends are outlets, each with a ring of its own
 * (or the lane's one shared ring); the partition's end of each ring is an inlet.
 *
 *     publisher --outlet--> ring --inlet--> executor's level list --> partition
 *
 * Who writes what: an outlet belongs to its publisher's thread (a shared one is read-only, its
 * counters are atomic); an inlet belongs to the thread that turns its executor. The control plane
 * makes both and links them through commands (executor.h), under the bus's lock.
 *
 *   LANE   a publisher's table of outlets: the control plane stores an outlet (release) when it is
 *          whole, the publisher's thread loads it (acquire). Only a handler's table grows while it
 *          is in use.
 */
#ifndef HL_BUS_LANE_H
#define HL_BUS_LANE_H

#include <pthread.h>
#include <stdalign.h>

#include <hotlane/bus.h>

#include "affinity/memory.h"
#include "base/park.h"
#include "bus/command.h"
#include "ring/mpsc.h"
#include "ring/ring.h"
#include "ring/spsc.h"

typedef struct hl_partition hl_partition;
typedef struct hl_lane hl_lane;
typedef struct hl_hold hl_hold;

/*
 * What is counted at the door, by the publisher: attempts when a claim begins, `finishing` when a
 * commit or abort does, committed or aborted when it has ended. In between, the differences are
 * what is on its way: hl_door_open and hl_door_finishing. `closed` is an attempt that found the
 * gate shut and was refused, in one word, so that who goes on asking is never in the middle of
 * something.
 */
typedef struct hl_door_counts {
    uint64_t attempts, rejected, throttled, finishing, committed, aborted, closed;
} hl_door_counts;

/* Claims that are open, or just being made or refused. */
static inline uint64_t hl_door_open(const hl_door_counts *counts)
{
    return counts->attempts - counts->rejected - counts->throttled - counts->finishing;
}

/* Commits and aborts that have begun and not ended. */
static inline uint64_t hl_door_finishing(const hl_door_counts *counts)
{
    return counts->finishing - counts->committed - counts->aborted;
}

#define HL_SHARED_CELLS 8

/* A number below `count` (a power of two) that is the calling thread's, though others may have the
 * same: threads' handles are addresses, their upper bits, mixed, tell them apart. */
static inline uint32_t hl_thread_mix(uint32_t count)
{
    const uint64_t mixed = (uint64_t)pthread_self() * 0x9E3779B97F4A7C15u;
    return (uint32_t)(mixed >> 32) & (count - 1);
}

/* Memory of one or more rings; given back when the last of them is retired. Control plane only. */
typedef struct hl_ring_memory {
    hl_memory memory;
    uint32_t rings_in_use;
} hl_ring_memory;

typedef enum hl_outlet_kind {
    HL_OUTLET_EXCLUSIVE,  /* one publisher thread; commits stamp at once */
    HL_OUTLET_CONFLATING, /* likewise, on a lane that conflates (conflating.h) */
    HL_OUTLET_LIMITED,    /* of one or the other, but each publish is to be admitted (flow.h) */
    HL_OUTLET_HANDLER, /* a partition's own; commits are staged until the handler returns HL_OK */
    HL_OUTLET_SHARED   /* many threads; the lane's one MPSC ring, or its table */
} hl_outlet_kind;

typedef struct hl_inlet hl_inlet;
typedef struct hl_gather hl_gather;
typedef struct hl_conflating_seat hl_conflating_seat;
typedef struct hl_conflate_consumer hl_conflate_consumer;

/* The last word of an event header: what the events of an outlet have in common. */
typedef struct hl_event_tail {
    uint16_t source, schema_version;
    uint8_t priority, flags, attempt, redriven;
} hl_event_tail;

_Static_assert(sizeof(hl_event_tail) == sizeof(hl_event) - offsetof(hl_event, source),
               "it is copied there whole");

typedef struct hl_outlet {
    /* Read-only after it is made. */
    alignas(128) hl_outlet_kind kind;
    hl_priority priority;
    uint32_t payload_room_bytes;
    hl_partition *partition;
    hl_bus *bus;
    hl_sleeper *sleeper;    /* of the executor that turns the partition; NULL: no need to wake it */
    hl_inlet *inlet;        /* the ring's other end; NULL: no ring, the lane conflates */
    const uint32_t *gate;   /* GATE (bus.h); a handler's: a word that is always open */
    uint64_t *announced;    /* ANNOUNCED: (ready.h) the executor's word for this priority, */
    uint64_t announced_bit; /* and the ring's group in it */
    bool is_local;          /* the publisher is the executor that turns the partition */
    hl_event_tail tail;
    uint32_t mask; /* the ring's capacity - 1 */
    uint32_t slot_size_bytes;
    unsigned char *slots;
    struct hl_outlet *next;  /* of the same lane; under the bus's lock */
    bool is_settled;         /* the bus has stopped; under the lock */
    hl_door_counts settled;  /* what was counted by then, in which every attempt has its outcome */
    hl_mpsc_producer shared; /* HL_OUTLET_SHARED with a ring */
    hl_conflating_seat *seats; /* at the lane's table; NULL: the lane does not conflate */
    uint32_t seat_count;

    /* The publisher's thread writes. Its own pair of lines: others only read it for statistics. */
    alignas(128) hl_spsc_producer exclusive;
    hl_door_counts counts;
    uint64_t staged_from;          /* HL_OUTLET_HANDLER: the first position claimed in this call */
    uint32_t staged_slots;         /* slots claimed since; 0: nothing */
    hl_event *staged_cell;         /* the lane conflates: the first claim's cell; NULL: none */
    struct hl_outlet *next_staged; /* the next with something staged */

    /* HL_OUTLET_SHARED: every publishing thread writes, each mostly its own cell. */
    struct {
        alignas(128) hl_door_counts counts;
    } cells[HL_SHARED_CELLS];
} hl_outlet;

struct hl_inlet {
    /* The partition's thread writes. */
    alignas(128) hl_ring_consumer consumer; /* of a ring */
    hl_conflate_consumer *conflated;        /* of a table (conflating.h); NULL: a ring */
    struct hl_inlet *next;                  /* of the same group (ready.h) */
    uint64_t aged_at;                       /* position at the last ageing */
    bool retiring;
    hl_hold *hold;     /* hold.h */
    hl_gather *gather; /* of a publisher that batches (gather.h); else NULL */
    /* Read-only after it is made. */
    hl_partition *partition;
    hl_priority priority;
    uint32_t group; /* ready.h */
    bool is_local;  /* as the outlet's */
    hl_ring *ring;
    uint32_t mask; /* the ring's capacity - 1 */
    uint32_t slot_size_bytes;
    const unsigned char *slots;
    hl_ring_memory *home;
    struct hl_inlet *next_of_lane; /* under the bus's lock */
    hl_command link, retire;
    struct hl_inlet *next_dead;
};

/* A lane to be made: which, how long, for whom. */
typedef struct hl_lane_request {
    hl_partition *partition;
    hl_priority priority;
    hl_outlet_kind kind;
    uint32_t slots;
    const hl_executor *publisher_executor; /* whose handlers publish; NULL: not a handler */
    uint16_t source;                       /* of its events; 0: shared by many */
    uint32_t batch_events;                 /* of an exclusive publisher; 0: it does not batch */
    uint64_t batch_wait_ns;
    bool is_limited;   /* of NORMAL and below: HL_OUTLET_LIMITED */
    hl_outlet *outlet; /* the answer */
} hl_lane_request;

/*
 * Makes rings with their outlets and inlets, all or none, near the partitions' memory nodes, and
 * has the executors poll them. Under the bus's lock. HL_OK, HL_NO_MEMORY with the bus's sentence.
 */
hl_status hl_lanes_make(hl_bus *bus, hl_lane_request *requests, uint32_t count);

/* Fills in what an outlet is, whatever its events lie in. */
void hl_outlet_init(hl_outlet *outlet, hl_bus *bus, const hl_lane_request *request);

/* Makes the lane's histogram where there is none yet. False: no memory. */
bool hl_lane_make_latency(hl_lane *lane);

/* Unlinks an outlet from its partition, its counts kept, and has the executor retire the ring once
 * it is empty. Its publisher no longer uses it. Under the bus's lock. */
void hl_outlet_close(hl_outlet *outlet);

/* Frees an inlet that no executor polls, and its memory with the last ring in it. Under the lock.
 */
void hl_inlet_free(hl_inlet *inlet);

/* Events that lie unread in the ring, padding left out; or in the table, those that a newer one has
 * replaced and that are not counted as conflated yet. Only when nothing moves. */
uint64_t hl_inlet_pending(const hl_inlet *inlet);

/* One more event counted in a word that one thread writes and any may read. */
static inline void hl_count(uint64_t *counter, uint64_t by)
{
    /* Relaxed both: a counter of one writer; readers want a number, not an order. */
    hl_store_relaxed_u64(counter, hl_load_relaxed_u64(counter) + by);
}

/* What the outlet has counted so far, or until the bus stopped; no end is seen without its
 * beginning. Under the lock. */
hl_door_counts hl_outlet_counts(const hl_outlet *outlet);

/* The last count, when the gate is shut for good: publishers may still call, and be refused; what
 * they count from here on is of no account. A claim that is still open is counted as aborted; how
 * many there were. Under the lock. */
uint64_t hl_outlet_settle(hl_outlet *outlet);

#endif
