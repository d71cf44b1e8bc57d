/*
 * Dispatch: one event from its slot to its handlers. All on the thread that turns the partition.
 */
#ifndef HL_BUS_DISPATCH_H
#define HL_BUS_DISPATCH_H

#include "bus/executor.h"

/* Numbers an event of a lane, keeps it as the last value of a state topic, and hands it to its
 * handlers. */
void hl_dispatch(hl_partition *partition, hl_lane *lane, hl_event *event);

/* The slots of the run are about to go back: batches that wait for more are copied out, those that
 * wait for nothing are delivered; or, when something higher has interrupted the run, are due. */
void hl_boxes_end_run(hl_partition *partition, bool interrupted);

/* Delivers one batch that is due at `now_ns` (UINT64_MAX: any) and holds an event of at least the
 * priority `level` (HL_PRIORITIES: any). The number of its events; 0: there is none. */
uint32_t hl_boxes_serve(hl_executor *executor, uint64_t now_ns, uint32_t level);

/* The partition takes a subscription up, and gives it the initial image that it asked for. */
void hl_cell_attach(hl_partition *partition, hl_cell *cell);

/* The partition lets go of it; what waits in a batch is cancelled. */
void hl_cell_detach(hl_partition *partition, hl_cell *cell);

#endif
