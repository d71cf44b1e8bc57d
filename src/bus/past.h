/*
 * The past: how an async subscription gets the events that were before its partitions take it up.
 * Who has them (src/journal) hangs in the bus through hl_past_source, and calls the functions
 * below.
 *
 *     source's thread --hl_past_put--> past queue --+
 *     partition      ------delivery--> live queue --+--> strand (async.h) --> handler
 *
 * Of each box (subscription and partition), on its own:
 *
 * - First, prepared and begun by the control plane: the phase is READING. Of this box workers look
 *   at the past queues alone; the partition gives it nothing.
 * - The source puts events as fast as they are taken: a past queue is small.
 * - When it has nearly caught up it asks the partition (hl_past_ask), which between two events
 *   notes how far it is, S (START, subscription.h), and fills the live queues from there on.
 * - The source goes on up to S; then the phase is PUT (hl_past_finish). A strand whose past queue
 *   is empty now goes on with its live one.
 *
 * What was put is never above S: the partition answers "later" until it has itself handed out as
 * much (in a sync domain an event can be in the journal before its handlers get it). So nothing
 * comes twice; and nothing is missing, as the source reads to S whatever it was when it asked.
 *
 *   PAST   box.phase: READING is stored (release) when the past queues are there and empty, PUT
 *          (release) by the source when all is in them; workers load it (acquire) before they look
 *          at the queues.
 *   ASKED  past.answer: the partition's thread stores it (release), the source loads it (acquire):
 *          S is seen with it.
 *   SERVING (pool.h) bus->past_serving: the source's thread, as a worker: around the predicate.
 */
#ifndef HL_BUS_PAST_H
#define HL_BUS_PAST_H

#include <pthread.h>

#include "bus/async.h"

/* A box's past being read; the source's. */
typedef struct hl_past_run hl_past_run;

typedef struct hl_past_source {
    /* Makes ready to read a partition behind `after_sequence` (NULL: from the oldest there is).
     * HL_GONE: some of it was removed, and not `may_miss`. Under the bus's lock. */
    hl_status (*prepare)(hl_partition *partition, const uint64_t *after_sequence, bool may_miss,
                         hl_past_run **ret_run, hl_error *error);
    /* The run is not wanted. Under the bus's lock. */
    void (*discard)(hl_past_run *run);
    /* Reads for the box from now on. Under the bus's lock. */
    void (*begin)(hl_past_run *run, hl_async_box *box);
} hl_past_source;

typedef enum hl_past_phase { HL_PAST_NONE = 0, HL_PAST_READING, HL_PAST_PUT } hl_past_phase;

typedef enum hl_past_answer {
    HL_PAST_NOT_ASKED = 0,
    HL_PAST_ASKED,
    HL_PAST_LATER,   /* ask again */
    HL_PAST_ATTACHED /* S is the cell's start_sequence */
} hl_past_answer;

/* Made when a box's past is first read; goes with the box. */
struct hl_async_past {
    hl_async_box *box;
    hl_async_queue *queues;  /* by strand */
    hl_past_run *prepared;   /* not begun yet; under the lock */
    uint64_t after_sequence; /* where it begins; likewise */
    hl_call attach;
    uint32_t answer; /* ASKED: hl_past_answer */
    pthread_mutex_t waits_lock;
    char waits_for[160]; /* under it: why the journal cannot be read; "": it can */
    /* The source's thread writes. */
    alignas(128) uint64_t queued; /* put into a queue */
    uint64_t delivered, filtered, missed;
    uint64_t put_through; /* no event above it was put; the partition reads it (COMMAND) */
};

static inline hl_past_phase hl_past_phase_of(const hl_async_box *box)
{
    /* PAST: acquire, what was put by then is seen. */
    return (hl_past_phase)hl_load_acquire_u32(&box->phase);
}

/* ---- the control plane; under the lock ---- */

/* Whether a subscription may have this past. */
hl_status hl_past_check(hl_bus *bus, const char *pattern, const hl_subscription_options *options);

/* Prepares a new subscription's past in all its partitions. On an error hl_past_discard is due. */
hl_status hl_past_prepare(hl_subscription *subscription, const hl_past *past);
void hl_past_discard(hl_subscription *subscription);

/* Begins what was prepared; before the subscription's links are told to attach. */
void hl_past_begin(hl_subscription *subscription);

/* Begins, in the partitions that have ejected it and told so. HL_WRONG_STATE: nowhere. */
hl_status hl_past_resume(hl_subscription *subscription, const hl_past *past);

void hl_past_free(hl_async_box *box);

/* Copies why the journal cannot be read for the box; "": it can. Any thread. */
void hl_past_waits_for(const hl_async_past *past, char ret_reason[160]);

/* Whether the source's thread is not in a predicate of the subscription. */
bool hl_past_is_quiet(const hl_subscription *subscription);

/* ---- the partition's thread ---- */

/* Whether the cell is taken up by hl_past_ask alone. */
bool hl_past_is_coming(const hl_cell *cell);

/* ---- the source's thread ---- */

/* False: the subscription ends, or the bus stops before its partition was asked: hl_past_let_go. */
bool hl_past_is_wanted(const hl_async_box *box);

/* Puts an event of a topic that the subscription wants. False: no room just now, or not wanted any
 * more. */
bool hl_past_put(hl_async_box *box, const hl_event *event);

/* Tells that these are missing. False as hl_past_put. */
bool hl_past_tell_missed(hl_async_box *box, uint64_t first_sequence, uint64_t last_sequence);

/* The journal cannot be read just now, for this reason; it can again. */
void hl_past_tell_waits(hl_async_box *box, uint64_t next_sequence, const char *why);
void hl_past_tell_goes_on(hl_async_box *box);

/* Whether there is so little left that the live queues will have room until it is read. */
bool hl_past_is_near(const hl_async_box *box, uint64_t next_sequence);

/* Asks the partition to fill the live queues; what it has answered. */
void hl_past_ask(hl_async_box *box);
hl_past_answer hl_past_answered(const hl_async_box *box, uint64_t *ret_sequence);

/* All up to S was put. hl_past_let_go is due. */
void hl_past_finish(hl_async_box *box);

/* The source is done with the box: it may be gone when this returns. False: not yet, the partition
 * has not answered. */
bool hl_past_let_go(hl_async_box *box);

#endif
