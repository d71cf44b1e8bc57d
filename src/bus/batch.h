/*
 * Batches: the events of one subscription and partition gathered until there are enough of them,
 * or the oldest has waited long enough. Within a run a batch is pointers into the ring; what is
 * still waiting when the run's slots go back is copied.
 */
#ifndef HL_BUS_BATCH_H
#define HL_BUS_BATCH_H

#include "bus/delivery.h"

/* The delivery of a subscription with a batch handler. */
extern const hl_delivery hl_batch_delivery;

/*
 * The slots of a run are about to go back: batches that wait for more are copied out, those that
 * wait for nothing are delivered; or, when something higher has interrupted the run, are due at the
 * next look. Only where partition->open_boxes is not 0.
 */
void hl_boxes_end_run(hl_partition *partition, bool interrupted);

/*
 * In a replay, whose journal shows what a batch has caused that ended with the event of this
 * sequence: a stop or a flush does not wait until it is full or its time is over. The batch that
 * waits here with this event (of several the one that is due first) is delivered up to it; what
 * came behind it goes on waiting. False: no batch has it. The partition's thread, between two
 * events.
 */
bool hl_boxes_hurry(hl_partition *partition, uint64_t sequence);

#endif
