/*
 * The three kinds of queues of async subscriptions (async.h): a ring with one consumer at a time, a
 * ring with many, and a table of the newest values by key.
 */
#ifndef HL_BUS_ASYNC_QUEUE_H
#define HL_BUS_ASYNC_QUEUE_H

#include "bus/async.h"

extern const hl_async_kind hl_async_ordered;
extern const hl_async_kind hl_async_unordered;
extern const hl_async_kind hl_async_latest;

#define HL_ASYNC_ROOM_NS \
    (50 * HL_MICROSECOND) /* how long a strand rests whose output has no room */

/* Runs the handler for `count` events of a queue (1, unless it has a batch handler), or for news,
 * and counts them. A worker that has the queue's strand. How many are done with; fewer than
 * `count`: what the handler publishes found no room, and `may_stay`: nothing is counted of the
 * rest, which keeps its place, and its strand rests. */
uint32_t hl_async_run(hl_worker *worker, const hl_async_queue *queue, const hl_event *const *events,
                      uint32_t count, bool may_stay);

/* Calls the handler with news of the subscription's own. */
void hl_async_tell(hl_worker *worker, const hl_async *async, uint64_t id, const hl_event *news);

/* As `serve`, for a batch handler; events that are to come alone do. */
uint32_t hl_async_serve_batches(hl_worker *worker, hl_async_queue *queue, uint32_t max);

/* Whether any number of workers may have it. */
static inline bool hl_strand_is_for_all(const hl_async *async, uint32_t strand)
{
    return async->is_shared && strand == 0;
}

/* Whether something is to be taken from it: of batches, when one is due. A hint. */
bool hl_async_queue_is_ready(const hl_async_queue *queue);

/* Whether its events may be taken: of a live queue only when all of the past was (past.h). Asked by
 * the strand's holder when it has seen (acquire) what is in the queue: what comes there later may
 * have a past of its own. */
bool hl_async_has_turn(const hl_async_queue *queue);

/* Whether a run is to end before the next event: a command waits, or the subscription ends. */
bool hl_async_must_stop(const hl_worker *worker, const hl_async *async);

/* Whether the bus stops: nothing waits for its time any more. */
bool hl_async_is_flushed(const hl_async *async);

#endif
