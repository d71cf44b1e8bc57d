/*
 * Who keeps the journal of a running bus within its limits (hl_config.journal_ttl_ns,
 * journal_max_bytes; retention.h): a thread of its own, for a removal may take the disk seconds
 * and nothing that an event waits for is to wait with it. It looks when the bus has started, when a
 * segment was sealed (but at most each second), each hour, and after a failure each minute; then it
 * sleeps. Where the application turns the bus (HL_THREADS_MANUAL), hl_bus_housekeep does its work.
 *
 * It asks no reader of this bus: a hand-over goes on with the file that it reads, and what of the
 * next ones was removed is told in its subscriber's stream. A rebuild is over before it begins.
 */
#ifndef HL_JOURNAL_KEEPER_H
#define HL_JOURNAL_KEEPER_H

#include <hotlane/stats.h>

#include "journal/feed.h"

typedef struct hl_keeper hl_keeper;

/* NULL: no memory. `feeds`: by partition; they outlive it. */
hl_keeper *hl_keeper_make(hl_bus *bus, const hl_feed *feeds);

/* Notes what aggregates the bus has; the ticks may begin. Under the bus's lock, before the
 * housekeeper runs; also again after a halt. HL_OK, HL_NO_MEMORY. */
hl_status hl_keeper_start(hl_keeper *keeper, hl_error *error);

/* Has it look when it is time; makes the thread when that is first. The housekeeper. */
void hl_keeper_tick(hl_keeper *keeper, uint64_t now_ns);

/* Ends the thread: what it has in hand is one file. May be called without a start, and twice. */
void hl_keeper_halt(hl_keeper *keeper);

/* What it has done in a partition: removed_*, keep_failures, removal_held. Any thread. */
void hl_keeper_stats(const hl_keeper *keeper, uint32_t partition,
                     hl_partition_journal_stats *stats);

void hl_keeper_free(hl_keeper *keeper); /* NULL is nothing; it was halted */

#endif
