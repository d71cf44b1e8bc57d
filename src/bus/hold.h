/*
 * Held inlets: a ring whose next event has no room in a lossless queue waits, while the partition
 * goes on with its other rings. The inlet is taken off its level; an hl_due looks again after a
 * short time, and puts it back. All on the thread that turns the partition.
 */
#ifndef HL_BUS_HOLD_H
#define HL_BUS_HOLD_H

#include "bus/due.h"
#include "bus/route.h"

/* One for each inlet; made with it. */
struct hl_hold {
    hl_due due; /* first: open while the inlet is held */
    hl_inlet *inlet;
    hl_event *event; /* of a lane that conflates: taken already, its slot not given back; or NULL */
    const hl_subscription *by; /* who has no room; NULL: it is not held. Others may read it under
                                  the bus's lock */
    uint64_t holds;            /* how often it was; others may read it */
};

/* Stands for the journal, which has no room for one more event; its name is "journal". */
extern const hl_subscription hl_held_by_journal;

/* The subscription that has no room for the event, or NULL. Only of a route with lossless
 * subscriptions. */
const hl_subscription *hl_route_full(const hl_partition *partition, const hl_route *route,
                                     const hl_event *event);

/* Makes inlet->hold. The control plane. False: no memory. */
bool hl_hold_make(hl_inlet *inlet);

/* Notes that an inlet is to be held when its run ends. `event`: see hl_hold. */
void hl_hold_note(hl_inlet *inlet, const hl_subscription *by, hl_event *event);

/* Holds an inlet, whose hold->by says for whom. */
void hl_inlet_hold(hl_executor *executor, hl_inlet *inlet);

/* Puts an inlet that was taken off its level back. */
void hl_inlet_relink(hl_executor *executor, hl_inlet *inlet);

/* Nothing is held for that subscription any more. */
void hl_inlets_release(hl_partition *partition, const hl_subscription *subscription);

#endif
