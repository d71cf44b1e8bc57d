/*
 * The slowest events of each domain: the few that waited longest for their handlers, with what was
 * known of them at the time. One table for each executor and domain, which the executor's thread
 * alone writes: of the events that its latency is measured of anyway (dispatch.c; of a worker one
 * call in eight), those that waited longer than the fastest of the table's. So the usual event
 * costs a comparison where its latency is recorded.
 *
 * What the scheduler did to the thread at that time is not asked for there, which would be a system
 * call: the housekeeper reads it from /proc, a few threads each 10 ms, and adds it to the notes
 * that came between two readings.
 *
 *   NOTED    note.version: odd while its words are written. The writer stores it odd (relaxed), the
 *            words (release), and it even (release); a reader loads it, the words and it again
 *            (acquire all): the same even version twice means that the words are of one note.
 *   SETTLED  note.settled: the version that the housekeeper's words are of: stored (release) after
 *            them, loaded (acquire) before them.
 */
#ifndef HL_BUS_SLOWEST_H
#define HL_BUS_SLOWEST_H

#include <stdalign.h>

#include <hotlane/bus.h>

#include "ring/order.h"

typedef struct hl_executor hl_executor;

/* Of one event. All words are of the note's writer. */
typedef struct hl_slow_words {
    uint64_t event_id, key;
    uint64_t published_ns, taken_ns, began_ns, ended_ns;
    uint64_t topic, priority, cpu;
    uint64_t seen_ns, involuntary, migrations; /* of its thread, when the housekeeper last looked */
} hl_slow_words;

typedef struct hl_slow_note {
    uint64_t version; /* NOTED; 0: never written */
    hl_slow_words words;
    /* The housekeeper's. */
    uint64_t settled; /* SETTLED; 0: none */
    uint64_t window_ns, involuntary, migrations;
} hl_slow_note;

typedef struct hl_slowest {
    alignas(128) uint64_t least_ns; /* an event that waited longer is noted */
    uint64_t waited_ns[HL_SLOWEST_MOST];
    hl_slow_note notes[HL_SLOWEST_MOST];
} hl_slowest;

/* Notes an event that waited longer than least_ns for `began_ns`, and was done with at `ended_ns`.
 * `taken_ns`: when its partition took it; 0: not known. The executor's thread. */
void hl_slowest_note(hl_slowest *slowest, const hl_executor *executor, const hl_event *event,
                     uint64_t event_id, uint64_t taken_ns, uint64_t began_ns);

/* Reads what the scheduler did to some of the threads, and settles their notes. The housekeeper. */
void hl_slowest_look(hl_bus *bus, uint64_t tick);

#endif
