/*
 * Contract eject: a partition detaches an async subscription that is too many events behind, or
 * whose oldest event waits for too long; its worker is told behind the last event that it has, and
 * the control plane may have the partition take it up again. Who says what to whom: TOLD (async.h).
 */
#ifndef HL_BUS_ASYNC_EJECT_H
#define HL_BUS_ASYNC_EJECT_H

#include "bus/async.h"

/* Ejects a subscription that is too many events behind, and sees to it that one which waits too
 * long is found even if no other comes. The partition's thread, after an event came. */
void hl_async_check_pace(hl_partition *partition, hl_async_queue *queue);

/* The age of what waits in a box is looked at no more. The partition's thread. */
void hl_async_forget_age(hl_partition *partition, hl_async_box *box);

/* Whether there is an ejection to be told, and nothing before it any more. A hint. */
bool hl_async_may_tell_ejection(const hl_async_box *box);

/* Tells it, behind the last event. Who has the first strand. The number of things told. */
uint32_t hl_async_tell_ejection(hl_worker *worker, hl_async_box *box);

/* A partition is to take up again what it has ejected, and told so. False: it has not. Under the
 * lock. */
bool hl_async_ask_back(hl_async_box *box);

/* Takes up again what is to return. The partition's thread. */
void hl_async_reattach(hl_partition *partition, hl_cell *cell);

#endif
