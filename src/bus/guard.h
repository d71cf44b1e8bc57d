/*
 * What stands by a subscription for when its handler fails (retry, breaker, dead letters): a table
 * of operations, fixed when it subscribes (hl_guard_make). A cell whose state is HL_CELL_ATTACHED
 * never asks it before a handler, so that what does not fail costs nothing; one that is
 * HL_CELL_GUARDED gives it every event. The guard itself turns one state into the other.
 *
 * All but bury and free: the thread that turns the partition.
 */
#ifndef HL_BUS_GUARD_H
#define HL_BUS_GUARD_H

#include "bus/dispatch.h"

struct hl_guard {
    /* A guarded cell gets an event; it is counted as delivered and its predicate wants it. What
     * becomes of it is the guard's to count; to have it handled: hl_dispatch_handle. The event is
     * in its slot until the call returns. */
    void (*take)(hl_partition *partition, hl_cell *cell, const hl_event *event);
    /* The handler of a cell, guarded or not, gave `status`, not HL_OK, for these events. What
     * becomes of each is the guard's to count. */
    void (*failed)(hl_partition *partition, hl_cell *cell, hl_status status,
                   const hl_event *const *events, uint32_t count);
    /* The handler of a guarded cell gave HL_OK for `count` events, which are counted. */
    void (*succeeded)(hl_partition *partition, hl_cell *cell, uint32_t count);
    /* An async handler gave `status`, not HL_OK. True: the event is a dead letter now; false: it is
     * not kept. The caller counts it. A worker; it may wait for room. */
    bool (*bury)(hl_cell *cell, hl_status status, const hl_event *event);
    /* The subscription ends: what waits is cancelled and counted. */
    void (*cancel)(hl_partition *partition, hl_cell *cell);
    /* Frees what cell->guarded points to (NULL is nothing). The control plane. */
    void (*free)(hl_cell *cell);
};

#endif
