/*
 * The snapshots of one partition: all states of its aggregates in one go, copied between two events
 * into memory that was made before, and written when they may be.
 *
 *     taker        asks: a call to the executor (command.h)
 *     partition    takes: copies all states, notes the sequence and how far its output has come
 *     taker        writes, when the journals hold durably all events that are in it, and all that
 *                  these have published: so that who loads it lacks neither
 *
 * The taker is one thread (taker.h), or whoever does its work; what follows is its to call.
 *
 *   TAKEN  capture.state: the taker stores HL_CAPTURE_ASKED (release) with room for the states, the
 *          partition's thread loads it through the command (COMMAND, command.h) and stores what has
 *          come of it (release), which the taker loads (acquire) before it looks at the copies.
 */
#ifndef HL_JOURNAL_CAPTURE_H
#define HL_JOURNAL_CAPTURE_H

#include "journal/aggregate.h"

typedef enum hl_capture_state {
    HL_CAPTURE_IDLE = 0,
    HL_CAPTURE_ASKED,
    HL_CAPTURE_TAKEN,    /* the copies are whole */
    HL_CAPTURE_SHORT,    /* they had too little room; `size` says how much they take */
    HL_CAPTURE_POSTPONED /* a state is not what its events will have made of it: one waits */
} hl_capture_state;

/* The copy of one aggregate's state. */
typedef struct hl_capture_copy {
    hl_aggregate *aggregate;
    unsigned char *bytes;
    size_t room, size;
} hl_capture_copy;

/* How far the partition's output into one ring had come. */
typedef struct hl_capture_mark {
    const hl_outlet *outlet;
    uint64_t position;
} hl_capture_mark;

/* Of one partition. What is not under `state` is the taker's. */
typedef struct hl_capture {
    hl_call call; /* first: the call points here */
    hl_partition *partition;
    hl_capture_copy *copies;
    uint32_t count;
    hl_capture_mark *marks;
    uint32_t mark_room;
    uint64_t found_sequence; /* of the last event that the journal held when the bus was made: what
                                the bus goes on behind may be higher, a crash leaves a gap */
    uint32_t state;          /* TAKEN */
    /* With it: */
    uint32_t mark_count;
    uint64_t sequence; /* of the last event in the copies */
    uint64_t time_ns;  /* bus time: the copies hold nothing that was published later */
    uint64_t held_ns;  /* how long the partition waited for its copies */
    /* The taker's; under its lock: */
    uint64_t stored_sequence; /* 0: none */
    uint64_t goal;            /* asked for by hl_bus_snapshot: stored_sequence is to reach it */
    uint64_t failures;        /* to write */
    uint64_t due_ns;          /* by time: the next one */
    uint64_t retry_ns;        /* not before, whatever asks for it */
    hl_error error;           /* of the last of them */
} hl_capture;

/* Whether a partition has states to capture: it has a journal, or was rebuilt from one, and they
 * are what all its events make of them. Under the bus's lock. */
bool hl_capture_is_wanted(const hl_partition *partition);

/* Of zeros, for a partition that wants one. False: no memory; it is to be freed all the same. Under
 * the bus's lock. */
bool hl_capture_make(hl_capture *capture, hl_partition *partition);
void hl_capture_free(hl_capture *capture);

/* The partition's thread is to take it; it comes to what `state` then says. */
void hl_capture_ask(hl_capture *capture);

/* Takes it here: nobody turns the partition. */
hl_capture_state hl_capture_take(hl_capture *capture);

/* Room for what the states took last time, and some more. Touched here, so that the partition's
 * thread meets no new page. False: no memory. */
bool hl_capture_make_room(hl_capture *capture);

/* Of the last event that the partition has had; 0: none. Any thread. */
uint64_t hl_capture_sequence_now(const hl_capture *capture);

/* Whether it is time for one. Under the taker's lock. */
bool hl_capture_is_due(const hl_capture *capture, uint64_t now_ns);

/* Whether the journals hold durably what is in the copies, and what that has published. */
bool hl_capture_may_be_written(const hl_capture *capture);

/* Writes all states, counts and tells each (system.snapshot_created, system.snapshot_failed).
 * HL_OK, or what failed first, with its sentence. It waits for the disk. */
hl_status hl_capture_write(hl_capture *capture, hl_error *error);

/* Counts that it was postponed, for each aggregate. */
void hl_capture_count_postponed(const hl_capture *capture);

#endif
