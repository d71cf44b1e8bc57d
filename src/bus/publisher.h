/*
 * What a publisher holds: for each lane that it declared, the outlet. A handler's `out` is such a
 * publisher too, one for each partition; what it claims is staged until the handler returns HL_OK.
 */
#ifndef HL_BUS_PUBLISHER_H
#define HL_BUS_PUBLISHER_H

#include "bus/flow.h"
#include "bus/subscription.h"

struct hl_publisher {
    /* Read-only after open; a handler's lanes may be added to later (LANE, lane.h). */
    hl_bus *bus;
    hl_outlet **outlets;    /* by partition * HL_PRIORITIES + priority; NULL: not declared */
    hl_token_bucket *limit; /* flow.h; NULL: none, and no outlet is HL_OUTLET_LIMITED */
    uint16_t source;
    bool is_handlers;        /* a partition's own `out`, */
    hl_partition *partition; /* of which it is; NULL: a worker's */
    /* A handler's, or its thread has found the gate shut, which is not opened again: from then on
     * it looks before it counts an attempt (hl_door_counts). */
    bool looks_first;
    char name[64];
    struct hl_publisher *next; /* under the bus's lock */
    /* Its thread writes. A handler's: the event in hand, and the outlets with something staged. */
    alignas(128) const hl_event *event;
    uint64_t event_id;
    hl_outlet *staged;
    uint32_t batch_count, batch_taken; /* hl_batch_taken */
    /* While a journal is replayed: sees what a handler has staged, committed or not (`keep`); none
     * of it becomes visible. NULL: live. */
    void (*see_staged)(const hl_publisher *out, bool keep, void *context);
    void *see_context;
    /* Where a handler found no room: the outlet (NULL: nowhere), how many slots it wanted, for
     * which event, and whose handler it was. */
    hl_outlet *full;
    uint32_t full_slots;
    uint64_t full_event_id;
    const hl_cell *full_cell;
};

struct hl_shared_publisher {
    hl_bus *bus;
    hl_outlet **outlets;
    hl_token_bucket *limit; /* as an hl_publisher's */
    uint16_t source;
    char name[64];
    struct hl_shared_publisher *next;
};

/* A partition's `out`, with no lanes yet. NULL: no memory. */
hl_publisher *hl_publisher_make_out(hl_bus *bus, const char *name);

/* Ends a publisher and counts its open claims as aborted. Under the lock. */
void hl_publisher_end(hl_publisher *publisher);
void hl_shared_publisher_end(hl_shared_publisher *publisher);

#endif
