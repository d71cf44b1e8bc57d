/*
 * Giving up: an event whose handler will not have it becomes a dead letter, is told (system.error,
 * never of the bus's own domain, so many at a time) and counted: `dead_lettered`, or `skipped`
 * where there is nowhere to put it.
 *
 * Who has the ward, as of ward->now_ns.
 */
#ifndef HL_FAULT_GIVING_UP_H
#define HL_FAULT_GIVING_UP_H

#include "fault/ward.h"

/* What a handler that failed said of it. */
typedef struct hl_said {
    int32_t code;
    const char *text; /* NULL: none */
} hl_said;

/* An event that is kept has failed, now. */
void hl_kept_note_failure(hl_kept *kept, const hl_said *said);

/* An event IN_HAND has its outcome, which is counted. */
void hl_let_go(hl_kept *kept);

/* An event IN_HAND is given up; without room for its letter it is BURIED until there is. */
void hl_give_up(hl_kept *kept, hl_dead_reason reason);

/* An event that lies in its slot is given up; `said` NULL: no handler was asked. A worker waits for
 * room for its letter, for a second at most. */
void hl_give_up_in_slot(hl_keeper *keeper, const hl_event *event, hl_dead_reason reason,
                        const hl_said *said);

/* Hands over what is BURIED, as far as there is room now. */
void hl_give_up_buried(hl_ward *ward);

/* The bus has stopped, all threads have ended: an event IN_HAND is given up for good. */
void hl_give_up_at_end(hl_kept *kept);

#endif
