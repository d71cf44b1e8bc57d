/*
 * Replay: a journal's events into a bus that is not live, below the lanes, with their original
 * sequences and clock. Between create and start; afterwards the bus may be started and goes on from
 * there, or destroyed.
 *
 *     hl_bus_create(&config, &bus, &error);
 *     hl_subscribe(bus, ...);                         // before, so that handlers see it
 *     hl_replay_options options = HL_REPLAY_OPTIONS_INIT;
 *     options.reading.directory = "/var/lib/hotlane";
 *     options.mode = HL_REPLAY_RECOMPUTE;
 *     if (hl_bus_replay(bus, &options, &report, &error) == HL_NOT_CONSERVED)
 *         puts(error.text);                           // the first difference
 *
 * Every event carries HL_EVENT_REPLAYED; a handler that speaks to the outside passes such events
 * by. Handlers run on the caller's thread; a bus with async subscriptions is refused: leave them
 * out. What they had published lies in the journal and is fed as it is there, in a recomputation
 * too: when a worker comes to an event is no matter of the events. What waits for a retry or in a
 * batch at the end goes on waiting: it is handled when the bus is started.
 */
#ifndef HOTLANE_REPLAY_H
#define HOTLANE_REPLAY_H

#include <hotlane/bus.h>
#include <hotlane/journal_reader.h>

typedef enum hl_replay_mode {
    HL_REPLAY_STATE = 0, /* all events are fed; what handlers publish is dropped */
    HL_REPLAY_RECOMPUTE  /* only external events are fed, outputs of async handlers among them, and
                            what handlers publish to them; each of those is compared with the
                            journal's */
} hl_replay_mode;

typedef struct hl_replay_options {
    size_t size;
    hl_journal_reader_options reading; /* directory, partition, filter (from, to, topics, ...) */
    hl_replay_mode mode;
    double speed; /* of the original pace: 1, 10, ...; 0: flat out */
} hl_replay_options;

#define HL_REPLAY_OPTIONS_INIT                                                        \
    {                                                                                 \
        sizeof(hl_replay_options), HL_JOURNAL_READER_OPTIONS_INIT, HL_REPLAY_STATE, 0 \
    }

typedef struct hl_replay_report {
    uint64_t events;     /* given to handlers */
    uint64_t external;   /* of them, published from outside */
    uint64_t foreign;    /* of domains that this bus has not */
    uint64_t missing;    /* sequences that the journal lacks: gaps, removed or damaged */
    uint64_t compared;   /* recompute: outputs that are the journal's, byte for byte */
    uint64_t unrecorded; /* recompute: outputs that the journal does not have: of its last events */
    uint64_t conflated;  /* recompute: outputs of state topics that a newer one had replaced */
    uint64_t of_async;   /* recompute: outputs of async handlers, fed as the journal has them */
} hl_replay_report;

#ifdef __cplusplus
extern "C" {
#endif

/*
 * - HL_OK: to the end; *ret_report says what was done.
 * - HL_NOT_CONSERVED: recompute, and an output differs from the journal's: the sentence shows the
 *   first, where it stopped.
 * - HL_WRONG_STATE: the bus was started; HL_UNSUPPORTED: it has async subscriptions.
 * - HL_INVALID: an option, or a domain has another number of shards than in the journal.
 * - as hl_journal_reader_open and hl_journal_reader_next.
 * The report is filled in all cases. The control plane; takes as long as it takes.
 */
HL_API hl_status hl_bus_replay(hl_bus *bus, const hl_replay_options *options,
                               hl_replay_report *ret_report, hl_error *error);

#ifdef __cplusplus
}
#endif
#endif
