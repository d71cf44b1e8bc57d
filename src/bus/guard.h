/*
 * What stands by a subscription for when its handler fails (retry, breaker, dead letters): a table
 * of operations, fixed when it subscribes (hl_guard_make). A cell whose state is HL_CELL_ATTACHED
 * never asks it before a handler, so that what does not fail costs nothing; one that is
 * HL_CELL_GUARDED gives it every event. The guard itself turns one state into the other.
 *
 * All but free: the thread that turns the partition. Of an async subscription, hl_async_guard does
 * the same for each strand: a worker that has it in hand.
 */
#ifndef HL_BUS_GUARD_H
#define HL_BUS_GUARD_H

#include "bus/async.h"
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
    /* The subscription ends: what waits is cancelled and counted. */
    void (*cancel)(hl_partition *partition, hl_cell *cell);
    /* Frees what cell->guarded points to (NULL is nothing). The control plane. */
    void (*free)(hl_cell *cell);
};

/* The same for the strands of an async subscription, fixed when it subscribes
 * (hl_make_async_guard). All but cancel and free: the worker that has the strand; `cell` is one of
 * strand->cells. */
struct hl_async_guard {
    /* An event that is counted as taken comes while the strand is guarded, or its subscription is
     * wary. What becomes of it is the guard's to count; to have it handled: hl_async_handle. */
    void (*take)(hl_worker *worker, hl_strand *strand, hl_cell *cell, const hl_event *event);
    /* The handler gave `status`, not HL_OK, for these; they are counted as taken. */
    void (*failed)(hl_worker *worker, hl_strand *strand, hl_cell *cell, hl_status status,
                   const hl_event *const *events, uint32_t count);
    /* The handler gave HL_OK to hl_async_handle. */
    void (*succeeded)(hl_worker *worker, hl_strand *strand, hl_cell *cell);
    /* Handles one thing that is due in the strand. The number of events. */
    uint32_t (*serve)(hl_worker *worker, const hl_async *async, hl_strand *strand);
    /* The end, when no worker has it any more: what is kept is cancelled, or given up where the bus
     * stops, and counted on behalf of `executor`. */
    void (*cancel)(const hl_async *async, hl_strand *strand, hl_executor *executor);
    /* Frees all that was made for it. The control plane. */
    void (*free)(hl_async *async);
};

#endif
