/*
 * Parts: what hangs in a bus beside its own business (flow control, faults, the journal). The bus
 * includes none of them: it calls them through the tables below, in their order, fixed before
 * start (src/parts.c).
 */
#ifndef HL_BUS_PART_H
#define HL_BUS_PART_H

#include <hotlane/bus.h>
#include <hotlane/stats.h>

typedef struct hl_part {
    /* Makes what the part needs in this bus; partitions and executors are there, no thread runs.
     * NULL in any place: nothing to do. */
    hl_status (*create)(hl_bus *bus, hl_error *error);
    /* The bus starts: its executors run and wait. Under the bus's lock. When it fails, `stop` is
     * called. */
    hl_status (*start)(hl_bus *bus, hl_error *error);
    /* No executor and no housekeeper runs any more; not under the bus's lock: ends threads that may
     * wait for it. May be called without a start, and twice. */
    void (*halt)(hl_bus *bus);
    /* No executor runs any more, and what is left is not yet counted; under the bus's lock. May be
     * called without a start, and twice. */
    hl_status (*stop)(hl_bus *bus, hl_error *error);
    /* The housekeeper, each 10 ms while the bus runs; not under the bus's lock. */
    void (*tick)(hl_bus *bus, uint64_t now_ns);
    /* A topic or a publisher's name has got its number, before either can be in an event. Under the
     * bus's lock. */
    hl_status (*name_topic)(hl_bus *bus, uint32_t topic, const char *name);
    hl_status (*name_source)(hl_bus *bus, uint16_t source, const char *name);
    /* The part's thread of this index, from 0; HL_NOT_FOUND behind the last. Any thread. */
    hl_status (*thread_status)(const hl_bus *bus, uint32_t index, hl_thread_status *ret_status);
    /* The bus has stopped: no thread runs, and what waited was cancelled. Under the bus's lock. */
    void (*stopped)(hl_bus *bus);
    /* The bus is to be destroyed; all that was ever opened on it is still there. */
    void (*ending)(hl_bus *bus);
    /* No thread runs any more. Called after a create that failed, too. */
    void (*destroy)(hl_bus *bus);
} hl_part;

extern const hl_part *const hl_parts[]; /* the last is NULL */

#endif
