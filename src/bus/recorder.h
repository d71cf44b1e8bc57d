/*
 * What writes a partition's events down before its handlers see them (src/journal): a table of
 * operations of a partition, NULL where its domain has no journal. All on the thread that turns the
 * partition; none makes a file call, unless the application turns the bus itself
 * (HL_THREADS_MANUAL).
 */
#ifndef HL_BUS_RECORDER_H
#define HL_BUS_RECORDER_H

#include "bus/dispatch.h"

typedef enum hl_record_outcome {
    HL_RECORD_TAKEN = 0, /* handlers may see the event now */
    HL_RECORD_WITHHELD,  /* taken; the recorder has it dispatched later: hl_dispatch_sequenced */
    HL_RECORD_NO_ROOM    /* nothing has happened */
} hl_record_outcome;

struct hl_recorder {
    /* Takes a copy of an event of `lane` that has just got its sequence, which follows the last
     * one's. The copy's priority is the lane's, whatever the publisher has made of it. */
    hl_record_outcome (*take)(hl_partition *partition, const hl_lane *lane, const hl_event *event);
    /* Whether it would take one more. */
    bool (*has_room)(hl_partition *partition);
    /* HL_THREADS_MANUAL: the application's thread has nothing more to do for now. */
    void (*rest)(hl_partition *partition);
};

#endif
