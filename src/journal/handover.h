/*
 * Who brings async subscribers up from the journal (bus/past.h): a thread that reads what each of
 * them has before it, puts it into its past queues as fast as they are emptied, and stops where the
 * partition has begun to fill the live ones.
 *
 * It reads no further than is safe to show: of an `async` domain what is written, of a `sync`
 * domain what is durable; so it waits for what still lies in the journal's buffers. The thread is
 * made when the first subscriber asks, and sleeps when there is none. Where the application turns
 * the bus (HL_THREADS_MANUAL), hl_bus_housekeep does its work.
 *
 * HALT  (scribe.h) the same, with a lock and a condition.
 */
#ifndef HL_JOURNAL_HANDOVER_H
#define HL_JOURNAL_HANDOVER_H

#include <hotlane/journal_reader.h>

#include "bus/past.h"
#include "journal/feed.h"

typedef struct hl_handover hl_handover;

/* NULL: no memory. `feeds`: by partition; `keys` (may be NULL) decrypt; both outlive it. */
hl_handover *hl_handover_make(hl_bus *bus, hl_feed *feeds, const hl_journal_keys *keys);

/* Starts the thread when it is wanted, or does its work where there is to be none. The housekeeper.
 */
void hl_handover_tick(hl_handover *handover);

/* Ends the thread, and lets all subscribers go. Not under the bus's lock; may be called twice. */
void hl_handover_halt(hl_handover *handover);

void hl_handover_free(hl_handover *handover); /* NULL is nothing */

extern const hl_past_source hl_handover_source;

#endif
