/*
 * What may come between a lane and the dispatch of an event (sampling, shedding): a table of
 * operations of a partition, NULL as long as every event is dispatched as it comes.
 */
#ifndef HL_BUS_INTAKE_H
#define HL_BUS_INTAKE_H

#include "bus/dispatch.h"

struct hl_intake {
    /* True: the event is not to be dispatched now. It is in its slot until the call returns, has no
     * sequence, and is counted in the lane: conflated, shed, or withheld as long as a copy waits to
     * be dispatched (hl_dispatch_late); an hl_due is open meanwhile. The partition's thread. */
    bool (*take)(hl_partition *partition, hl_lane *lane, const hl_event *event);
};

#endif
