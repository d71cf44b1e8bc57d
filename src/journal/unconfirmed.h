/*
 * What handlers have published while a journal is replayed, as long as the journal has not shown
 * that it was taken: at the end, what had been on its way when the process ended.
 *
 * Of one outlet the journal has the events in the order in which they were published: what lies
 * before one that it shows was refused, and is forgotten. Of state topics the newest of each key
 * counts. The control plane, before the start.
 */
#ifndef HL_JOURNAL_UNCONFIRMED_H
#define HL_JOURNAL_UNCONFIRMED_H

#include "bus/bus.h"

typedef struct hl_unconfirmed hl_unconfirmed;

/* NULL: no memory. */
hl_unconfirmed *hl_unconfirmed_make(hl_bus *bus);
void hl_unconfirmed_free(hl_unconfirmed *unconfirmed);

/* A handler of partition `from` has published `event` to the outlet's lane. False: no memory. */
bool hl_unconfirmed_see(hl_unconfirmed *unconfirmed, uint32_t from, const hl_outlet *outlet,
                        const hl_event *event);

/* The journal of `partition` shows this event, its topic by this bus's number. False: no handler
 * has published it here: its cause lies before what is replayed, or is still to be handled; or it
 * was replaced. */
bool hl_unconfirmed_confirm(hl_unconfirmed *unconfirmed, const hl_partition *partition,
                            const hl_event *event);

/* Whether a handler here has published a newer value of this event's key, of a state topic: the
 * event itself, if it was published here, is forgotten then. */
bool hl_unconfirmed_is_replaced(const hl_unconfirmed *unconfirmed, const hl_event *event);

/* Whether any of what a partition's handlers have published is left. */
bool hl_unconfirmed_any_from(const hl_unconfirmed *unconfirmed, uint32_t partition);

/* Publishes the rest again, each with its cause, through the partitions' own outputs; no handler of
 * theirs runs. *ret_count: how many. What finds no room is left out. */
void hl_unconfirmed_publish(hl_unconfirmed *unconfirmed, uint64_t *ret_count);

#endif
