/*
 * Aggregates: state that follows from a domain's events, and that is there again after a crash:
 * from the newest snapshot of it, and the events behind that in the journal.
 *
 *     struct position { int64_t shares, cash; };
 *
 *     static hl_status apply(void *state, const hl_event *event, hl_publisher *out, void *context)
 *     {
 *         struct position *const position = state;
 *         const struct fill *const fill = hl_payload(event);
 *         position->shares += fill->shares;
 *         position->cash -= fill->shares * fill->price;
 *         return HL_OK;
 *     }
 *
 *     hl_aggregate_options options = HL_AGGREGATE_OPTIONS_INIT;
 *     options.name = "positions";
 *     options.domain = "fill";
 *     options.apply = apply;
 *     options.by_key = true;                              // a position for each key
 *     options.state_size_bytes = sizeof(struct position);
 *     hl_aggregate_open(bus, &options, &positions, &error);
 *     hl_bus_rebuild(bus, NULL, &report, &error);         // as it was before
 *     hl_bus_start(bus);
 *
 * It belongs to a domain, with a state of its own in each shard, and is fed by that partition's
 * thread in the order of its sequence. A snapshot is the state behind one event and before the
 * next: all aggregates of a partition are saved in one go between two events (into memory that was
 * made before; the partition waits for that, it is a copy), and written by a thread of its own,
 * once the journal holds durably all that is in it. While an event of an aggregate waits for a
 * retry, or in a batch, there is no snapshot: it is taken when nothing waits.
 *
 * Not every domain need have a journal. Where there is none, an aggregate is a handler with a
 * state: no snapshot is taken, and nothing can be rebuilt.
 *
 * A state must follow from the events alone: `apply` reads no clock but the event's (hl_now_ns) and
 * nothing that another thread changes.
 */
#ifndef HOTLANE_AGGREGATE_H
#define HOTLANE_AGGREGATE_H

#include <hotlane/journal_reader.h>
#include <hotlane/subscription.h>

typedef struct hl_aggregate hl_aggregate;

/* What a state is written to, and read from. */
typedef struct hl_state_writer hl_state_writer;
typedef struct hl_state_reader hl_state_reader;

/* As hl_handler, with the state of the event's key, or of its shard. A state that the bus keeps is
 * changed when HL_OK is returned, and left as it was otherwise; one of a new key is all zero. */
typedef hl_status (*hl_aggregate_apply)(void *state, const hl_event *event, hl_publisher *out,
                                        void *context);

/* Writes the state with hl_state_write; reads it only. The partition's thread, between two events:
 * it must not wait or allocate. It may be called again at once, when there was too little room. */
typedef void (*hl_aggregate_save)(const void *state, uint32_t shard, hl_state_writer *writer,
                                  void *context);

/*
 * Replaces the state by what was saved as `version`. The control plane, before the bus starts.
 * - HL_OK
 * - HL_UNSUPPORTED: it cannot read this version; nothing was changed. An older snapshot is tried.
 * - another status: the rebuild ends with it; the state is not to be used.
 */
typedef hl_status (*hl_aggregate_load)(void *state, uint32_t shard, uint32_t version,
                                       hl_state_reader *reader, void *context);

typedef struct hl_aggregate_options {
    size_t size;
    const char *name;         /* of its snapshots: 1 to 56 of letters, digits, '-', '_', '.' (no '.'
                                 first); none of the bus's other aggregates has it. Copied */
    const char *domain;       /* whose events it is fed. Copied */
    const char *pattern;      /* of that domain; NULL: all its events. Copied */
    uint32_t version;         /* of what the state means; raise it when that changes */
    hl_aggregate_apply apply; /* NULL: subscriptions of the application's own change the state, see
                                 hl_aggregate_fed_by */
    void *context;
    int order; /* as hl_subscription_options */
    /* Either the bus keeps the states: plain bytes without pointers, saved and loaded as they are
     * (one of another version or size cannot be read), */
    uint32_t state_size_bytes; /* 1..65,536; 0: the application keeps them */
    bool by_key;               /* one for each key of the events; else one for each shard */
    uint32_t max_keys;         /* in each shard, 1..16,777,216: an event of one more fails */
    /* or the application does: a state for each shard of the domain, and how to save it. */
    void *const *states; /* by shard; copied, the states are not */
    hl_aggregate_save save;
    hl_aggregate_load load;
} hl_aggregate_options;

#define HL_AGGREGATE_OPTIONS_INIT                                                               \
    {                                                                                           \
        sizeof(hl_aggregate_options), NULL, NULL, NULL, 1, NULL, NULL, 0, 0, false, 4096, NULL, \
            NULL, NULL                                                                          \
    }

/* Of one shard. A live reading. */
typedef struct hl_aggregate_stats {
    uint64_t snapshots;         /* written so far */
    uint64_t failures;          /* that could not be written; the next is tried a second later */
    uint64_t postponed;         /* times that one waited because an event did */
    uint64_t snapshot_sequence; /* of the newest one that was written or loaded; 0: none */
    uint64_t snapshot_bytes;    /* of its state */
    uint64_t keys;              /* of states that the bus keeps */
} hl_aggregate_stats;

typedef struct hl_rebuild_options {
    size_t size;
    /* The directory (NULL: the bus's own journal), a partition (NULL: all), keys, salvage; of the
     * filter only where to stop: to_sequence, to_ns. */
    hl_journal_reader_options reading;
    bool no_snapshots; /* from the journal's first event on */
    bool no_outputs;   /* leave out what had been published and was lost on the way, see below */
    /* Told a sentence for each snapshot that is passed over, and why. NULL: nobody. */
    void (*told)(void *context, const char *sentence);
    void *context;
} hl_rebuild_options;

#define HL_REBUILD_OPTIONS_INIT                                                              \
    {                                                                                        \
        sizeof(hl_rebuild_options), HL_JOURNAL_READER_OPTIONS_INIT, false, false, NULL, NULL \
    }

typedef struct hl_rebuild_report {
    uint32_t loaded;      /* snapshots that states were loaded from */
    uint32_t passed_over; /* snapshots that were damaged, too new, or of another version */
    uint32_t from_start;  /* states that were rebuilt without one */
    uint64_t events;      /* of the journal, given to handlers behind the snapshots */
    uint64_t missing;     /* sequences that the journal lacks: it was off, or they are damaged */
    uint64_t foreign;     /* events of domains that this bus has not */
    uint64_t published;   /* outputs that were on their way when the process ended, and are again */
} hl_rebuild_report;

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Makes an aggregate and subscribes its `apply`. Between hl_bus_create and hl_bus_start; it lasts
 * as long as the bus.
 * - HL_OK
 * - HL_INVALID: an option, see the sentence. HL_EXISTS: another one has this name.
 * - HL_UNKNOWN_DOMAIN; HL_WRONG_STATE: the bus was started; HL_NO_MEMORY; as hl_subscribe.
 */
HL_API hl_status hl_aggregate_open(hl_bus *bus, const hl_aggregate_options *options,
                                   hl_aggregate **ret_aggregate, hl_error *error);

/*
 * Says that the handler of this subscription changes the aggregate's state, too: no snapshot is
 * taken while one of its events waits, and after a rebuild it goes on behind the snapshot. Inline
 * or batch, on the aggregate's domain alone; before the start. When it ends, there are no more
 * snapshots of a partition once an event has passed that it may have wanted.
 * - HL_OK; HL_NOT_ALLOWED: async, or of another domain; HL_WRONG_STATE, HL_NO_MEMORY.
 */
HL_API hl_status hl_aggregate_fed_by(hl_aggregate *aggregate, hl_subscription *subscription,
                                     hl_error *error);

/* Copies a state that the bus keeps: state_size_bytes bytes of this key (without by_key: of this
 * shard). Any thread, wait-free. HL_OK; HL_NOT_FOUND: no event of it yet; HL_BUSY: it changed at
 * each try, try again; HL_NOT_ALLOWED: the application keeps them. */
HL_API hl_status hl_aggregate_read(const hl_aggregate *aggregate, uint64_t key, void *ret_state);

/* Any thread. HL_NOT_FOUND: no such shard. */
HL_API hl_status hl_aggregate_stats_of(const hl_aggregate *aggregate, uint32_t shard,
                                       hl_aggregate_stats *ret_stats);

/* Writes `size` bytes at the end of what was written. */
HL_API void hl_state_write(hl_state_writer *writer, const void *bytes, size_t size);

/* Reads the next `size` bytes. HL_OK; HL_DAMAGED: there are not so many left, nothing is read. */
HL_API hl_status hl_state_read(hl_state_reader *reader, void *bytes, size_t size);

/* Bytes that are left. */
HL_API size_t hl_state_left(const hl_state_reader *reader);

/*
 * A snapshot of every aggregate now (encrypted where the rebuild was given keys, or the bus has
 * some: journal_key_file), beside those that the configuration has taken
 * (snapshot_events, snapshot_interval_ns); returns when they are written. One thread at a time.
 * With HL_THREADS_MANUAL it does itself what the executors are asked for, so no other thread may
 * turn them. Also before the start, of what was rebuilt: into the journal it was rebuilt from;
 * there not of partitions whose last outputs that journal lacks: they would be lost to who
 * recovers.
 * - HL_OK; none is written where nothing has changed since the last one.
 * - HL_TIMEOUT: not all are written yet; the sentence names one, and what it waits for.
 * - HL_NO_SPACE, HL_SYSTEM: it cannot be written; the older ones are as they were.
 * - HL_NOT_FOUND: there is no aggregate that has a journal. HL_WRONG_STATE: the bus has stopped.
 * - HL_WRONG_THREAD: from a handler.
 */
HL_API hl_status hl_bus_snapshot(hl_bus *bus, uint64_t timeout_ns, hl_error *error);

/*
 * Brings every aggregate up: loads its newest snapshot that is whole, and gives the events behind
 * it to their handlers, flagged HL_EVENT_REPLAYED, as hl_bus_replay does (HL_REPLAY_STATE). The
 * last values of state topics come back too. Other subscriptions see the same events, which of a
 * partition are those behind its oldest snapshot. Between the making of all aggregates and the
 * start; `options` NULL: the bus's own journal, to its end.
 *
 * Of the last events before a crash the outputs may have been lost in the rings: those that the
 * journal of the partition they went to does not have. In a rebuild of the bus's own journal to its
 * end they are published again, with their cause, as soon as the bus starts. (What a handler had
 * not published because a lane was full when the process ended is among them. What went to a domain
 * without a journal is not: nothing says whether it came there.)
 * What a handler had failed on is tried again when its time comes, and a batch is delivered when it
 * is full or its time has come: either earlier when the journal shows what was published then, for
 * a stop or a flush does not wait. A batch that published nothing leaves no such sign: its events
 * may be cut into other batches, and what is in the last one waits in it when the bus starts. Each
 * is handled once.
 *
 * To a sequence or a time, for looking at what was: options.reading.filter.to_sequence (in each
 * partition that is read) or to_ns, into a bus without a journal of its own.
 * - HL_OK: *ret_report says what was done.
 * - HL_NOT_FOUND: no such directory; or a state has no snapshot that can be loaded, and the
 *   journal no longer begins at its first event: what it was cannot be known.
 * - HL_NOT_ALLOWED: to a sequence or a time, but the bus has this journal and would go on from
 *   there; or a snapshot or segment that is to be read is encrypted, and its key is none of
 *   options.reading.keys (NULL: the bus's): it is not passed over.
 * - HL_WRONG_STATE: it was started.
 * - HL_UNSUPPORTED: it has async subscriptions, or a snapshot is of a format that this hotlane does
 *   not know.
 * - HL_INVALID: an option, or a domain has another number of shards than in the journal.
 * - HL_DAMAGED, HL_SYSTEM, HL_NO_MEMORY, what a load has answered.
 * But for HL_OK the states are not to be used. ret_report is filled in all cases.
 */
HL_API hl_status hl_bus_rebuild(hl_bus *bus, const hl_rebuild_options *options,
                                hl_rebuild_report *ret_report, hl_error *error);

#ifdef __cplusplus
}
#endif
#endif
