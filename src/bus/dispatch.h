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
 * command does. The number of slots taken, and how many of them were padding.
 */
uint32_t hl_dispatch_run(hl_executor *executor, hl_inlet *inlet, void *first, uint32_t ready,
                         uint32_t *ret_padding);

/* Delivers one batch that is due at `now_ns` (UINT64_MAX: any) and holds an event of at least the
 * priority `level` (HL_PRIORITIES: any). The number of its events; 0: there is none. */
uint32_t hl_boxes_serve(hl_executor *executor, uint64_t now_ns, uint32_t level);

/* The partition takes a subscription up, and gives it the initial image that it asked for. */
void hl_cell_attach(hl_partition *partition, hl_cell *cell);

/* The partition lets go of it; what waits in a batch is cancelled. */
void hl_cell_detach(hl_partition *partition, hl_cell *cell);

#endif
