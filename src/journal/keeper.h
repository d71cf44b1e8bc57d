/*
 * Who keeps the journal of a running bus within its limits (hl_config.journal_ttl_ns,
 * journal_max_bytes) and packs what was sealed long enough ago (journal_pack_after_ns); the rules
 * and the work are retention.h's, as for `hotlane journal compact`. A thread of its own, for a
 * removal may take the disk seconds and nothing that an event waits for is to wait with it; it is
 * as nice as can be, on the housekeeper's CPU, and rests as long as it works. It looks when the bus
 * has started, when a segment was sealed or may be packed (but at most each second), each hour, and
 * after a failure each minute; then it sleeps. Where the application turns the bus
 * (HL_THREADS_MANUAL), hl_bus_housekeep does its work, one segment to be packed at a time.
 *
 * A failure is said once (system.journal_keeping, a line of the log), counted, and shows in the
 * health of all journals until a look succeeds.
 *
 * It asks no reader of this bus: a hand-over goes on with the file that it reads, and what of the
 * next ones was removed is told in its subscriber's stream. A rebuild is over before it begins.
 */
#ifndef HL_JOURNAL_KEEPER_H
#define HL_JOURNAL_KEEPER_H

#include <hotlane/journal_reader.h>
#include <hotlane/stats.h>

#include "journal/feed.h"

typedef struct hl_keeper hl_keeper;

/* NULL: no memory. `feeds`: by partition; `keys` (may be NULL): packed segments are encrypted with
 * the newest. Both outlive it. */
hl_keeper *hl_keeper_make(hl_bus *bus, const hl_feed *feeds, const hl_journal_keys *keys);

/* Notes what aggregates the bus has; the ticks may begin. Under the bus's lock, before the
 * housekeeper runs; also again after a halt. HL_OK, HL_NO_MEMORY. */
hl_status hl_keeper_start(hl_keeper *keeper, hl_error *error);

/* Has it look when it is time; makes the thread when that is first. The housekeeper. */
void hl_keeper_tick(hl_keeper *keeper, uint64_t now_ns);

/* Ends the thread: what it has in hand is one removal, or a frame of what it packs. May be called
 * without a start, and twice. */
void hl_keeper_halt(hl_keeper *keeper);

/* What it has done in a partition: removed_*, packed_*, unpacked_bytes, removal_held; and of all of
 * them: keep_*. Any thread. */
void hl_keeper_stats(hl_keeper *keeper, uint32_t partition, hl_partition_journal_stats *stats);

void hl_keeper_free(hl_keeper *keeper); /* NULL is nothing; it was halted */

#endif
