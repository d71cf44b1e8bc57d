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

/* Runs the handler for an event of a queue, or for news, and counts it. A worker that has the
 * queue's strand. False: what the handler publishes found no room, and `may_stay`: nothing is
 * counted, the event keeps its place, its strand rests. */
bool hl_async_run(hl_worker *worker, const hl_async_queue *queue, const hl_event *event,
                  bool may_stay);

/* Whether a run is to end before the next event: a command waits, or the subscription ends. */
bool hl_async_must_stop(const hl_worker *worker, const hl_async_queue *queue);

#endif
