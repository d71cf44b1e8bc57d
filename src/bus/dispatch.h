/*
 * Dispatch: one event from its slot to its handlers. All on the thread that turns the partition.
 */
#ifndef HL_BUS_DISPATCH_H
#define HL_BUS_DISPATCH_H

#include "bus/executor.h"

/*
 * Dispatches the run of `ready` filled slots at `first`, which the consumer has just peeked:
 * numbers each event, keeps it as the last value of a state topic, hands it to its handlers, and
 * releases its slot. Ends early, after any event, when something of a higher priority waits or a
 * command does. The number of slots taken; and of events dispatched, which is less by padding and
 * by what the partition's intake has withheld.
 */
uint32_t hl_dispatch_run(hl_executor *executor, hl_inlet *inlet, void *first, uint32_t ready,
                         uint32_t *ret_dispatched);

/* The same for up to `max` keys of a lane that conflates: takes the newest of each and counts those
 * that it stands for besides as conflated. The number of keys taken. */
uint32_t hl_dispatch_conflated(hl_executor *executor, hl_inlet *inlet, uint32_t max,
                               uint32_t *ret_dispatched);

/* The outcome of a handler that ran for `count` events of `cell`: what it published through the
 * partition's `out` stands or falls with `status`, and the events are counted. Of a batch that
 * failed, those that it said it took (hl_batch_taken) are handled, the rest has failed. */
void hl_dispatch_finish(hl_partition *partition, hl_cell *cell, hl_status status,
                        const hl_event *const *events, uint32_t count);

/* Has the cell's handler, or its delivery, take an event that was counted as delivered before. The
 * event keeps its place until the call returns. */
void hl_dispatch_handle(hl_partition *partition, hl_cell *cell, const hl_event *event);

/* As hl_dispatch_handle, for an event that was kept and is delivered again, alone: from outside a
 * dispatch. */
void hl_dispatch_again(hl_partition *partition, hl_cell *cell, const hl_event *event);

/* Numbers an event of `lane` that its intake has kept, and hands it to the handlers of its route;
 * counted as dispatched. `event` is a copy that the caller owns. False: a lossless subscriber has
 * no room for it; nothing has happened, it is to be tried again. */
__attribute__((warn_unused_result)) bool hl_dispatch_late(hl_partition *partition, hl_lane *lane,
                                                          hl_event *event);

/* The last sequence whose event has been given to handlers. */
static inline uint64_t hl_partition_handed_out(const hl_partition *partition)
{
    return partition->sequence - partition->in_flight;
}

/* Hands out the first of the events that the partition's recorder has withheld; counted as
 * dispatched. The event keeps its place until the call returns. False: a lossless subscriber has no
 * room for it; nothing has happened. */
__attribute__((warn_unused_result)) bool hl_dispatch_sequenced(hl_partition *partition,
                                                               const hl_event *event);

/* Gives an event of a journal, with its own sequence, to the handlers of its route, and keeps it as
 * the last value of a state topic; no lane counts it. The event is the caller's. */
void hl_dispatch_replayed(hl_partition *partition, const hl_event *event);

/* What handlers publish from here on carries this event as its cause. */
void hl_dispatch_set_cause(hl_partition *partition, const hl_event *event);

/* No event is in hand any more. */
void hl_dispatch_clear_cause(hl_partition *partition);

/* The partition takes a subscription up: notes how far it is, and gives it what is after that. */
void hl_cell_begin(hl_partition *partition, hl_cell *cell);

/* The same, with the initial image that it asked for; not of one that gets its past first
 * (past.h). */
void hl_cell_attach(hl_partition *partition, hl_cell *cell);

/* The partition lets go of it; what waits for it is cancelled. */
void hl_cell_detach(hl_partition *partition, hl_cell *cell);

#endif
