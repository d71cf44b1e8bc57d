/*
 * The bus: what create, start and stop hold together. Every list is under `control->lock`; what the
 * hot path reads is read-only after create or has its own rule beside it.
 *
 * - GATE: *gate, on a page that a fork wipes (0: this is a fork's child). A publisher counts its
 *   attempt, then loads the gate; stop stores the gate, has every thread's stores made visible
 *   (membarrier), then reads the attempts: who saw the gate open is in them.
 * - DECLARED: topics[n].declared: hl_topic_declare stores it (release) when the topic and its route
 *   are whole, a publish loads it (acquire).
 * - SOURCE: sources[n]: stored (release) when a name gets its number, loaded (acquire) to read it.
 * - COUNTED: counters that several threads add to: atomic, relaxed; numbers, not orders.
 */
#ifndef HL_BUS_BUS_H
#define HL_BUS_BUS_H

#include <pthread.h>
#include <signal.h>

#include <hotlane/bus.h>

#include <urcu/urcu-qsbr.h>

#include "affinity/plan.h"
#include "affinity/topology.h"
#include "base/allocate.h"
#include "base/clock.h"
#include "base/error.h"
#include "bus/dispatch.h"
#include "bus/executor.h"
#include "bus/flow.h"
#include "bus/log.h"
#include "bus/notice.h"
#include "bus/part.h"
#include "bus/pool.h"
#include "bus/publisher.h"
#include "bus/topic.h"

#define HL_SOURCES_MAX 65535

typedef enum hl_gate {
    HL_GATE_DETACHED = 0, /* in a fork's child */
    HL_GATE_OPEN,
    HL_GATE_CLOSING, /* closed to publishers from outside; handlers may still publish */
    HL_GATE_STOPPED  /* every count is final */
} hl_gate;

typedef enum hl_bus_state {
    HL_BUS_CREATED,
    HL_BUS_RUNNING,
    HL_BUS_STOPPING, /* a stop was begun; a handler may still run */
    HL_BUS_STOPPED
} hl_bus_state;

/* Whether a subscription's options for its guard can be used; HL_INVALID with a sentence. */
typedef hl_status (*hl_check_guard)(const hl_subscription_options *options, hl_error *error);

/* Fills in cell->guard and cell->guarded; the options were checked. The control plane. False: no
 * memory. */
typedef bool (*hl_make_guard)(hl_cell *cell, hl_partition *partition);

/* The same for an async subscription: fills in async->guard, async->guarded, and of each strand
 * that has cells its ward and what the cells' `guarded` point to. */
typedef bool (*hl_make_async_guard)(hl_async *async);

typedef struct hl_faults hl_faults;
typedef struct hl_journals hl_journals;
typedef struct hl_journal_keys hl_journal_keys;
typedef struct hl_past_source hl_past_source;
typedef struct hl_aggregates hl_aggregates;
typedef struct hl_healths hl_healths;

struct hl_domain {
    char name[64];
    hl_domain_config config; /* its strings are the bus's copies */
    uint32_t index;
    uint32_t first_partition;
    uint32_t journal_thread; /* which of them writes its journal; of one that has none: 0 */
};

typedef struct hl_control {
    pthread_mutex_t lock;
    hl_error last_error;
    hl_bus_state state;
    hl_publisher *publishers;
    hl_shared_publisher *shared_publishers;
    uint32_t publisher_count;
    hl_subscription *subscriptions; /* in the order of subscribing; closing ones until reaped */
    hl_subscription *last_subscription;
    hl_alike with_wildcards;
    void *exact_patterns;        /* tsearch tree of hl_alike */
    uint32_t subscription_count; /* of them open */
    uint64_t next_serial;
    hl_subscription_stats *closed_rows; /* of closed subscriptions, one for each name */
    uint32_t closed_row_count;
    uint64_t closed_rows_lost; /* for want of memory */
    void *topic_names;         /* tsearch trees: hl_topic_entry, hl_source */
    void *source_names;
    uint32_t source_count;
    struct call_rcu_data *reclaimer; /* liburcu's thread, which frees routes; not the bus's own */
    pthread_t housekeeper;
    bool housekeeper_started;
    bool housekeeper_stop;
    bool housekeeper_asked; /* to publish what was noted */
    int housekeeper_cpu;
    uint64_t housekeeper_ticks;
    pthread_cond_t housekeeper_wake;
    pthread_cond_t housekeeper_answer; /* to what was asked */
    bool stop_runs;                    /* a thread is in hl_bus_stop */
    hl_stop_report stop_report;
    uint32_t stop_now; /* hl_bus_stop_now: relaxed, a request that is looked at again and again */
    char memory_note[256]; /* the first fallback of the rings' memory */
} hl_control;

/* A text that the bus keeps. */
typedef struct hl_text {
    struct hl_text *next;
    char text[];
} hl_text;

struct hl_bus {
    /* Read-only after create. */
    uint32_t *gate;
    hl_topic_info *topics;
    hl_route **routes;
    uint32_t max_topics;
    const hl_flow *flow; /* NULL: no topic is HL_TOPIC_CHECKED */
    hl_check_guard check_guard;
    hl_make_guard make_guard; /* NULL: no subscription has one */
    hl_make_async_guard make_async_guard;
    hl_faults *faults;                 /* the part's (src/fault) */
    hl_journals *journals;             /* the part's (src/journal); NULL: no domain has a journal */
    hl_journal_keys *journal_keys;     /* hl_journals_keys; NULL: none, or not asked for yet */
    hl_aggregates *aggregates;         /* likewise; NULL: there are none */
    const hl_past_source *past_source; /* past.h; NULL: no partition has a past */
    hl_healths *healths;               /* the part's (src/health) */
    uint32_t partition_count;
    hl_partition *partitions;
    uint32_t executor_count; /* those of partitions, then workers */
    hl_executor *executors;
    hl_pool *pools[HL_POOLS]; /* NULL: the bus has none */
    hl_domain *domains;
    uint32_t journal_threads;
    bool is_sketch;             /* hl_bus_sketch: parts open no file */
    hl_config config;           /* its strings are the bus's copies */
    hl_text *texts;             /* those copies */
    hl_topic_entry **entries;   /* by number; under the lock until declared */
    char **sources;             /* SOURCE: names of publishers by number, from 1 */
    hl_outlet **shared_outlets; /* by lane; NULL: not made yet; under the lock */
    hl_topology *topology;
    hl_plan *plan;
    hl_control *control;
    hl_notices *notices;
    hl_log_ring *log;
    uint32_t topic_count; /* under the lock */
    hl_clock clock;
    /* Anyone adds. */
    alignas(128) uint64_t refused;
    /* Executors push, the control plane takes: what it may free. */
    alignas(128) hl_subscription *dead_subscriptions;
    hl_inlet *dead_inlets;
    /* The past's source writes (past.h). */
    alignas(128) const hl_subscription *past_serving; /* SERVING */
    uint64_t past_runs; /* DRAINED: boxes whose past is being read; the control plane adds to it */
    hl_executor past_counts; /* `handed` and `finished` alone: on whose behalf it is counted */
};

/* Whether this is a fork's child: the bus's threads, rings and lock are its parent's. */
static inline bool hl_bus_is_detached(const hl_bus *bus)
{
    return hl_load_relaxed_u32(bus->gate) == HL_GATE_DETACHED; /* GATE: relaxed, the fork set it. */
}

/* What a call that controls a bus answers at once: HL_INVALID where there is none, HL_DETACHED in a
 * fork's child; HL_OK: it may go on. */
static inline hl_status hl_bus_refusal(const hl_bus *bus)
{
    if (bus == NULL)
        return HL_INVALID;
    return hl_bus_is_detached(bus) ? HL_DETACHED : HL_OK;
}

static inline void hl_bus_lock(const hl_bus *bus)
{
    pthread_mutex_lock(&bus->control->lock);
}

static inline void hl_bus_unlock(const hl_bus *bus)
{
    pthread_mutex_unlock(&bus->control->lock);
}

static inline uint64_t hl_bus_now(const hl_bus *bus)
{
    return hl_clock_now(&bus->clock);
}

/* Begins the next executor of bus->executors, which has room for it. OS index of its CPU; -1: none.
 */
hl_executor *hl_executor_begin(hl_bus *bus, int cpu);

/* The partition of a key: multiply-shift over a mixed key, so that neighbours spread evenly
 * (D. Lemire, "A fast alternative to the modulo reduction", 2016). */
static inline uint32_t hl_shard_of(uint64_t key, uint32_t shards)
{
    if (shards == 1)
        return 0;
    const uint32_t mixed = (uint32_t)((key * 0x9E3779B97F4A7C15u) >> 32);
    return (uint32_t)(((uint64_t)mixed * shards) >> 32);
}

/* NULL: no such domain. `bytes`: of the name. */
hl_domain *hl_bus_find_domain(const hl_bus *bus, const char *name, size_t bytes);

/* Keeps the sentence for hl_bus_error and gives the status back. Under the lock. */
hl_status hl_bus_fail(hl_bus *bus, hl_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The number of a publisher's name, made when it is new; 0: no memory, or all are given out. Under
 * the lock. */
uint16_t hl_bus_source(hl_bus *bus, const char *name);

/* Blocks every signal but the synchronous faults, so that a thread started now inherits it. */
void hl_signals_block(sigset_t *ret_before);

/* Frees what the executors have let go of. Under the lock. */
void hl_bus_reap(hl_bus *bus);

void hl_bus_free_sources(hl_bus *bus);

/* The lanes that handlers need to publish to a topic (NULL: to all of them), as far as they lack.
 * Under the lock. */
hl_status hl_handler_lanes_make(hl_bus *bus, const hl_topic_entry *topic);

/* Ends the executors' threads; does what they were still told. NULL, or one that did not end in
 * time because a handler runs. */
hl_executor *hl_executors_end(hl_bus *bus, uint64_t timeout_ns);

/* Ends what the parts have running; the first that fails is the answer, all are ended. Under the
 * lock. */
hl_status hl_parts_stop(hl_bus *bus, hl_error *error);

/* Ends the threads of parts that take the bus's lock; not under it. */
void hl_parts_halt(hl_bus *bus);

/* hl_bus_check_conservation, under the lock. */
hl_status hl_check_conservation_locked(hl_bus *bus, hl_error *error);

/* The housekeeper: slews the clock, frees what is done with, publishes what was noticed, and calls
 * the parts. */
hl_status hl_housekeeper_start(hl_bus *bus);
void hl_housekeeper_stop(hl_bus *bus);

/* Has it publish what was noted so far (notice.h), and waits for that a moment. Not under the lock;
 * without threads of the bus's own it does nothing. */
void hl_housekeeper_flush(hl_bus *bus);

#endif
