/*
 * What the bus counts, readable at any time from any thread. Exact at rest (before start, after
 * stop); a live reading may differ by the events in motion.
 *
 *     hl_lane_stats lane;
 *     hl_bus_lane_stats(bus, "order", HL_CRITICAL, &lane);
 *     printf("%" PRIu64 " orders, p99 %" PRIu64 " ns\n", lane.dispatched, lane.latency_ns.p99);
 *
 * The sums (promise: conservation), checked by hl_bus_check_conservation and at stop:
 *   at the door  attempts  = committed + rejected + throttled + aborted (+ claims open just now)
 *   in a lane    committed = dispatched + conflated + shed + abandoned + running + pending
 *   at a handler delivered = handled + filtered + conflated + dead_lettered + skipped + lost
 *                            + cancelled + queued + in_retry + held + running
 */
#ifndef HOTLANE_STATS_H
#define HOTLANE_STATS_H

#include <hotlane/subscription.h>

/* name, meaning. Publishers count the first five, partitions the rest. */
#define HL_LANE_COUNTERS(X)                                                     \
    X(attempts, "events that a publisher asked room for")                       \
    X(committed, "made visible to the partition")                               \
    X(rejected, "no room, too large, or the bus was closed")                    \
    X(throttled, "refused for load")                                            \
    X(aborted, "claimed and given up, or withdrawn because the handler failed") \
    X(dispatched, "taken, numbered and routed")                                 \
    X(conflated, "replaced by a newer one of their key")                        \
    X(shed, "expendable, dropped for load")                                     \
    X(abandoned, "left in the lane when the stop's deadline passed")            \
    X(running, "taken but not yet through")                                     \
    X(pending, "waiting in the lane")                                           \
    X(unrouted, "of the dispatched: no subscription wanted them")

#define HL_SUBSCRIPTION_COUNTERS(X)                         \
    X(delivered, "routed to this subscription")             \
    X(handled, "the handler returned HL_OK")                \
    X(filtered, "the predicate said no")                    \
    X(conflated, "replaced by a newer one of their key")    \
    X(dead_lettered, "given up and kept")                   \
    X(skipped, "the handler failed and nothing keeps them") \
    X(lost, "a lossy subscriber had no room")               \
    X(cancelled, "waiting when it unsubscribed")            \
    X(queued, "waiting in a batch or queue")                \
    X(in_retry, "waiting to be tried again")                \
    X(held, "waiting behind a retry or an open breaker")    \
    X(running, "in the handler just now")

/* The ladder of a partition (flow.h). */
typedef struct hl_ladder_stats {
    hl_rung rung;
    uint32_t step;          /* 0 to 4, as in hl_system_throttle */
    hl_load_cause cause;    /* of the last step up; NONE when calm */
    uint32_t load_permille; /* as of the last look; 1000: a threshold is reached */
    uint64_t steps_up, steps_down;
    uint64_t windows;    /* that sampling has opened */
    uint64_t windowless; /* events that went past sampling for want of a free window */
} hl_ladder_stats;

/* Latencies from publish (commit) to the start of dispatch, sampled within long runs: the first
 * event of each run and every eighth after it. 0 when there are none. Values are exact to 1 %. */
typedef struct hl_latency {
    uint64_t count, min, p50, p90, p99, p999, p9999, max;
} hl_latency;

/* So many are kept of each domain and thread. */
#define HL_SLOWEST_MOST 8

/* One of the events that waited longest for their handlers, of those whose latency is measured
 * (hl_latency; of async handlers, one call in eight). Times are bus times, as
 * hl_event.published_ns; what the bus does not know is UINT64_MAX. */
typedef struct hl_slow_event {
    uint64_t event_id, key;
    uint64_t published_ns;
    uint64_t taken_ns;  /* its partition took it; 0: it is an async handler's, who got a copy */
    uint64_t began_ns;  /* its first handler was called; of an async handler, that one */
    uint64_t ended_ns;  /* the last of those handlers had returned (a batch may still wait) */
    uint64_t waited_ns; /* published to began */
    /* Of its thread, in the time between two looks in which it was noted; some 10 ms or more. */
    uint64_t window_ns;            /* how long that time was; 0: it is not over yet */
    uint64_t involuntary_switches; /* the kernel put the thread aside */
    uint64_t migrations;           /* the kernel moved it to another CPU */
    int32_t cpu;                   /* where the thread was when it noted the event */
    int32_t priority;
    char thread[64];
    char topic[128];
} hl_slow_event;

typedef struct hl_lane_stats {
#define HL_FIELD(name, meaning) uint64_t name;
    HL_LANE_COUNTERS(HL_FIELD)
    hl_latency latency_ns;
    uint64_t holds;   /* times that a ring of it had to wait for a lossless subscriber */
    char held_by[64]; /* the subscriber that one waits for just now; "": none */
} hl_lane_stats;

typedef struct hl_subscription_stats {
    HL_SUBSCRIPTION_COUNTERS(HL_FIELD)
#undef HL_FIELD
    uint64_t failures;   /* times that the handler returned something else than HL_OK */
    uint64_t slow;       /* calls that the watchdog found over their budget */
    uint64_t ejections;  /* times that a partition detached it because it was behind */
    bool ejected;        /* it is detached so just now, somewhere */
    uint64_t replayed;   /* of the delivered: from the journal (hl_past) */
    uint64_t missed;     /* sequences of the past that the journal did not have */
    bool catching_up;    /* the journal is read for it just now */
    char waits_for[160]; /* why it cannot be, for one of its partitions: a disk, or a segment that
                            was encrypted meanwhile with a key that the bus has not; "": it can */
    char name[64];
    char pattern[256];
    bool closed;
} hl_subscription_stats;

/* One of the bus's threads (or an executor that the application turns). */
typedef struct hl_thread_status {
    char name[64];
    char role[16];   /* "executor", "worker", "housekeeper", "journal" */
    int cpu;         /* planned, OS index; -1: none (turned by the application) */
    int running_cpu; /* where it last found itself; -1: not started */
    char wait[8];    /* "spin", "backoff", "park" */
    char state[8];   /* "idle", "busy", "asleep", "stopped" */
    uint64_t turns;  /* looks at its lanes; journal: at what its partitions have handed over */
    uint64_t events; /* dispatched; journal: written down */
    uint64_t parks;  /* times it went to sleep */
    uint32_t partitions;
} hl_thread_status;

/* The pool that runs async handlers. */
typedef struct hl_pool_stats {
    uint32_t workers; /* that take events up now */
    uint32_t min_workers, max_workers;
    uint64_t backlog;       /* events that wait for them, or are in hand; without those of taps */
    uint64_t finished;      /* that are done with */
    uint64_t grown, shrunk; /* how often the number changed */
} hl_pool_stats;

/* The journal of a partition: how far it has come, and what was found when the bus was made. */
typedef struct hl_partition_journal_stats {
    hl_durability durability;
    hl_journal_state state;
    bool degraded;             /* events pass without waiting for the journal (HL_JOURNAL_GO_ON) */
    uint64_t last_sequence;    /* given out */
    uint64_t written_sequence; /* nothing at or below it is lost by a crash of the process, */
    uint64_t durable_sequence; /* nor by a power cut */
    uint64_t reserved_through;
    uint64_t unjournaled;  /* events that passed and are not in the journal: a gap stands there */
    uint64_t degradations; /* times that it began to pass them */
    uint64_t syncs, written_bytes;
    uint64_t recovered_sequence; /* the last one found; 0: none. Sequences go on above what was
                                    reserved then */
    uint64_t recovered_segments;
    uint64_t torn_bytes;                      /* behind the last whole record: cut */
    bool was_clean;                           /* it had been closed in good order, or was empty */
    char reason[160];                         /* why it does not run (state); "": it does */
    uint64_t removed_segments, removed_bytes; /* beyond journal_ttl_ns or journal_max_bytes */
    uint64_t keep_failures; /* times that the journal, of all partitions, could not be kept within
                               them, or packed: tried again each minute */
    bool removal_held;      /* of what is beyond them something stays, as it is still needed */
    bool keep_failing;     /* the last look at them, or packing, has failed (also HL_HEALTH_KEEPING,
                              system.journal_keeping), */
    char keep_reason[160]; /* and why; "": it has not */
    uint64_t packed_segments;              /* by journal_pack_after_ns, since the bus was made: */
    uint64_t unpacked_bytes, packed_bytes; /* their bytes before, and after */
} hl_partition_journal_stats;

#ifdef __cplusplus
extern "C" {
#endif

/* The journal of a partition, by its number. HL_NOT_FOUND: it has none. Any thread. */
HL_API hl_status hl_bus_journal_stats(const hl_bus *bus, uint32_t partition,
                                      hl_partition_journal_stats *ret_stats);

/* Counters of one lane of a domain, its shards added up, or (priority -1) of all its lanes. Takes
 * the control lock. HL_NOT_FOUND: no such domain; HL_INVALID: no such priority; HL_NO_MEMORY. */
HL_API hl_status hl_bus_lane_stats(const hl_bus *bus, const char *domain, int priority,
                                   hl_lane_stats *ret_stats);

/*
 * Why events of a domain were slow: those of the whole run that waited longest, the slowest first;
 * at most `room` of them and HL_SLOWEST_MOST. Any thread; takes no lock.
 * - HL_OK: *ret_count of them are in ret_events.
 * - HL_NOT_FOUND: no such domain. HL_DETACHED: a fork's child.
 */
HL_API hl_status hl_bus_slowest(const hl_bus *bus, const char *domain, hl_slow_event *ret_events,
                                uint32_t room, uint32_t *ret_count);

/* Where a partition stands on the ladder. HL_NOT_FOUND: no such domain or shard. */
HL_API hl_status hl_bus_ladder_stats(const hl_bus *bus, const char *domain, uint32_t shard,
                                     hl_ladder_stats *ret_stats);

/* Names of the domains by index; NULL past the last. Valid while the bus lives. */
HL_API const char *hl_bus_domain(const hl_bus *bus, uint32_t index);

/* Partition numbers: a domain's shards follow each other. HL_NOT_FOUND: no such domain or shard. */
HL_API hl_status hl_bus_partition(const hl_bus *bus, const char *domain, uint32_t shard,
                                  uint32_t *ret_partition);

/* The last sequence that the partition gave out. 0 for a number that is none. */
HL_API uint64_t hl_bus_sequence(const hl_bus *bus, uint32_t partition);

/* Counters of a subscription. */
HL_API void hl_subscription_stats_read(const hl_subscription *subscription,
                                       hl_subscription_stats *ret_stats);

/* Walks the subscriptions, open ones first, then a row for each name of closed ones (added up): 0,
 * 1, 2, ... until HL_NOT_FOUND. Takes the control lock. */
HL_API hl_status hl_bus_subscription_stats(hl_bus *bus, uint32_t index,
                                           hl_subscription_stats *ret_stats);

/* Walks the threads likewise. */
HL_API hl_status hl_bus_thread_status(const hl_bus *bus, uint32_t index,
                                      hl_thread_status *ret_status);

/* The pool of workers. HL_NOT_FOUND: the bus has none. Any thread. */
HL_API hl_status hl_bus_pool_stats(const hl_bus *bus, hl_pool_stats *ret_stats);

/* Publishes refused before they reached a lane (no such topic, no such lane of the publisher). */
HL_API uint64_t hl_bus_refused(const hl_bus *bus);

/* HL_OK, or HL_NOT_CONSERVED with the sum that fails. Meaningful at rest. Takes the control lock.
 */
HL_API hl_status hl_bus_check_conservation(hl_bus *bus, hl_error *error);

#ifdef __cplusplus
}
#endif
#endif
