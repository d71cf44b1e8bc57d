/*
 * Dispatch: one event from its slot to its handlers. All on the thread that turns the partition.
 */
#ifndef HL_BUS_DISPATCH_H
#define HL_BUS_DISPATCH_H

#include "bus/executor.h"

/* Numbers an event, keeps it as the last value of a state topic, and hands it to its handlers. */
void hl_dispatch(hl_partition *partition, hl_event *event);

/* The slots of the run are about to go back: batches that wait for more are copied out, those that
 * wait for nothing are delivered. */
void hl_boxes_end_run(hl_partition *partition);

/* Delivers one batch that is due at `now_ns` (UINT64_MAX: any). The number of its events. */
uint32_t hl_boxes_serve(hl_executor *executor, uint64_t now_ns);

/* The partition takes a subscription up, and gives it the initial image that it asked for. */
void hl_cell_attach(hl_partition *partition, hl_cell *cell);

/* The partition lets go of it; what waits in a batch is cancelled. */
void hl_cell_detach(hl_partition *partition, hl_cell *cell);

#endif
