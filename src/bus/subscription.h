/*
 * A subscription and what the partitions hold of it.
 *
 *   cell   one for each partition it can reach: counters, state, batch. The partition's thread
 * alone writes it. link   one for each executor that turns such a partition: the commands by which
 * the control plane has the executor take the subscription up and let go of it.
 *
 * Life: open -> (unsubscribe) closing -> every link has let go, and the handle is given up: to the
 * graveyard, from where the control plane folds its counts into those of its name and frees it.
 *
 *   LETGO   link.let_go: the executor stores 1 (release) between two runs, hl_unsubscribe loads it
 *           (acquire): all that the handler did happens before the caller frees its context.
 *   CLOSED  close: a compare-exchange (acq_rel) of hl_unsubscribe and of the last link, so that one
 *           of the two calls on_closed.
 *   DROP    references, links_left: each decrement is acq_rel, so that the last one sees the rest.
 *   START   cell.state: stored (release) after start_sequence, loaded (acquire) before it.
 */
#ifndef HL_BUS_SUBSCRIPTION_H
#define HL_BUS_SUBSCRIPTION_H

#include <stdalign.h>

#include <hotlane/bus.h>

#include "bus/command.h"

typedef struct hl_topic_entry hl_topic_entry;

typedef struct hl_delivery hl_delivery;
typedef struct hl_guard hl_guard;

typedef struct hl_async hl_async;
typedef struct hl_async_guard hl_async_guard;

typedef enum hl_cell_state {
    HL_CELL_WAITING = 0, /* the partition has not taken it up */
    HL_CELL_ATTACHED,
    HL_CELL_GUARDED, /* attached too, and its guard is asked for each event (guard.h) */
    HL_CELL_EJECTED, /* it fell behind; may be attached again (async.h) */
    HL_CELL_DETACHED
} hl_cell_state;

typedef struct hl_cell {
    /* The partition's thread writes; others read the counters. */
    alignas(128) uint32_t state;
    uint64_t start_sequence, end_sequence; /* what it saw; the end, once it is HL_CELL_DETACHED */
    uint64_t delivered, handled, filtered, skipped, cancelled, failures, dead_lettered;
    uint64_t queued;             /* waiting in `waiting` just now */
    uint64_t in_retry, held;     /* waiting in `guarded` just now */
    const hl_delivery *delivery; /* NULL: an inline handler */
    void *waiting;               /* the delivery's */
    const hl_guard *guard;       /* NULL: what a handler fails on is skipped (tests) */
    void *guarded;               /* the guard's */
    hl_subscription *subscription;
    uint64_t flushed_before_ns; /* what was published before waits for no company */
    uint64_t slow;              /* the housekeeper writes: times that it was over its budget */
} hl_cell;

/* Whether an event is of those that a flush has asked for, though it came after it: it still lay in
 * its ring then. The partition's thread. */
static inline bool hl_cell_is_flushed(const hl_cell *cell, const hl_event *event)
{
    return event->published_ns < cell->flushed_before_ns;
}

/* Events that are with its handler just now; 0 or 1, or a batch. Not of an async subscription. Any
 * thread; a live reading may be off by what moves. */
static inline uint64_t hl_cell_running(const hl_cell *cell)
{
    /* Relaxed all: counters of one writer; outcomes before `delivered`, which comes first in the
     * handler's thread. */
    uint64_t outcomes = hl_load_relaxed_u64(&cell->handled) + hl_load_relaxed_u64(&cell->filtered);
    outcomes += hl_load_relaxed_u64(&cell->skipped) + hl_load_relaxed_u64(&cell->cancelled);
    outcomes += hl_load_relaxed_u64(&cell->dead_lettered) + hl_load_relaxed_u64(&cell->queued);
    outcomes += hl_load_relaxed_u64(&cell->in_retry) + hl_load_relaxed_u64(&cell->held);
    const uint64_t delivered = hl_load_relaxed_u64(&cell->delivered); /* Relaxed: as above. */
    return delivered > outcomes ? delivered - outcomes : 0;
}

typedef struct hl_link {
    hl_command attach;
    hl_command detach;
    hl_command reattach;
    hl_command flush;
    hl_executor *executor;
    hl_subscription *subscription;
    struct hl_link *next_of_worker; /* of an executor that is a worker; its thread's */
    uint32_t reattaching;           /* LETGO: the command is on its way */
    uint32_t flushing;              /* LETGO: likewise */
    uint32_t let_go;                /* LETGO */
} hl_link;

/* Subscriptions that a topic is looked up for together: those of one exact pattern, or all that
 * have a wildcard. In the order of subscribing. */
typedef struct hl_alike {
    char *pattern;
    hl_subscription *first, *last;
} hl_alike;

/* Who tells that an end is complete. */
typedef enum hl_close {
    HL_CLOSE_WAITED_FOR = 0, /* hl_unsubscribe does, by returning */
    HL_CLOSE_DEFERRED,       /* the last link does, by on_closed */
    HL_CLOSE_DONE            /* the last link has let go, nobody had asked it to tell */
} hl_close;

struct hl_subscription {
    /* Read-only after it is made. */
    hl_bus *bus;
    char *name;
    char *pattern;
    bool exact;
    hl_handler handler;
    void *context;
    hl_subscription_options options;
    uint32_t first_partition;
    uint32_t partition_count;
    uint32_t link_count;
    hl_cell *cells;
    hl_link *links;
    hl_async *async; /* NULL: its handler runs on the partition's thread */
    /* State topics whose values make up the initial image. */
    hl_topic_entry **image_topics;
    uint32_t image_topic_count;
    uint64_t serial; /* order of subscribing */
    /* Under the bus's lock. */
    struct hl_subscription *next, *previous;
    struct hl_alike *alike;
    struct hl_subscription *next_alike, *previous_alike;
    /* The control plane stores, executors load: no handler of it may start any more. */
    uint32_t closing;
    uint32_t close; /* hl_close; CLOSED */
    uint64_t links_left;
    uint64_t references; /* links that have not let go, and the caller's handle */
    struct hl_subscription *next_dead;
};

/* The open and closing ones whose exact pattern is `name`, or NULL. Under the bus's lock. */
const hl_alike *hl_subscriptions_of(const hl_bus *bus, const char *name);

/* Whether its end has begun. Under the bus's lock. */
bool hl_subscription_is_closing(const hl_subscription *subscription);

/* Whether its end has begun, as the partition's thread sees it between two events. */
static inline bool hl_subscription_is_ending(const hl_subscription *subscription)
{
    /* ONLINE: (executor.h) acquire; who was online before it was set is waited for; who came later
     * sees it. */
    return hl_load_acquire_u32(&subscription->closing) != 0;
}

/* What dispatch calls itself; NULL: its cells' deliveries take the events. */
static inline hl_handler hl_subscription_inline_handler(const hl_subscription *subscription)
{
    return subscription->async == NULL ? subscription->handler : NULL;
}

/* Frees those in the graveyard, their counts folded into the closed rows. Under the bus's lock. */
void hl_subscription_reap(hl_bus *bus);

/* Someone that uses the subscription beside its links (past.h): is waited for like one, until it
 * lets go, as hl_link_let_go; on whose behalf what is left is counted. Under the bus's lock; any
 * thread. */
void hl_subscription_hold(hl_subscription *subscription);
void hl_subscription_let_go(hl_subscription *subscription, hl_executor *executor);

/* A link lets go: tells who waits, calls on_closed for the last one of a deferred end, and drops
 * its reference. The executor's thread. */
void hl_link_let_go(hl_link *link);

/* The counters of its cells added up. */
void hl_subscription_add_up(const hl_subscription *subscription, hl_subscription_stats *ret_stats);

/* Frees all, whatever their references say: when the bus is destroyed. */
void hl_subscriptions_free(hl_bus *bus);

#endif
