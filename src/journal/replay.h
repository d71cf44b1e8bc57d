/*
 * What a rebuild (rebuild.h) asks of a replay beyond its public options: to begin behind snapshots,
 * partition by partition, and to find out what was lost on its way.
 */
#ifndef HL_JOURNAL_REPLAY_H
#define HL_JOURNAL_REPLAY_H

#include <hotlane/replay.h>

#include "journal/unconfirmed.h"

/* A cell whose handler has seen the events up to this one already. */
typedef struct hl_replay_sleeper {
    hl_cell *cell;
    uint32_t partition;
    uint64_t until_sequence;
} hl_replay_sleeper;

typedef struct hl_replay_plan {
    uint64_t *after;             /* by partition: the events up to it are in the states already */
    uint64_t confirm_from_ns;    /* what was published since then is read all the same, for what it
                                    confirms; 0: nothing is */
    hl_replay_sleeper *sleepers; /* those that are further than `after` of their partition */
    uint32_t sleeper_count;
    hl_unconfirmed *unconfirmed; /* NULL: nobody asks */
} hl_replay_plan;

/* hl_bus_replay in HL_REPLAY_STATE, by a plan. *ret_last_ns: bus time of the last event, 0: none.
 * HL_NOT_FOUND too when events behind plan->after were removed from the journal. */
hl_status hl_replay_by_plan(hl_bus *bus, const hl_replay_options *options,
                            const hl_replay_plan *plan, hl_replay_report *ret_report,
                            uint64_t *ret_last_ns, hl_error *error);

#endif
