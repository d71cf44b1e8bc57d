/*
 * How a subscription that has no inline handler gets its events: a table of operations for each way
 * (batch.h), fixed when it subscribes. Dispatch has counted the event as delivered and asked the
 * predicate; what becomes of it after that is the delivery's to count.
 */
#ifndef HL_BUS_DELIVERY_H
#define HL_BUS_DELIVERY_H

#include "bus/dispatch.h"

typedef struct hl_delivery {
    /* The control plane, when the subscription is made: fills cell->waiting. False: no memory. */
    bool (*make)(hl_cell *cell, const hl_partition *partition);
    /* Takes an event, which is in its slot until the call returns. The partition's thread. */
    void (*take)(hl_partition *partition, hl_cell *cell, const hl_event *event);
    /* The same for an event that is to be handled alone, its outcome told before the call returns;
     * NULL: `take` will do. The partition's thread. */
    void (*again)(hl_partition *partition, hl_cell *cell, const hl_event *event);
    /* The subscription ends: what waits is cancelled and counted. The partition's thread. */
    void (*cancel)(hl_partition *partition, hl_cell *cell);
    /* What waits for company is delivered now; NULL: nothing does. The partition's thread. */
    void (*flush)(hl_partition *partition, hl_cell *cell);
    /* Frees cell->waiting (NULL is nothing). The control plane, when nobody uses it any more. */
    void (*free)(hl_cell *cell);
} hl_delivery;

#endif
