/*
 * Aggregates as the bus holds them: who keeps the states, what feeds them, and how a shard's state
 * becomes the payload of a snapshot and back.
 *
 * All are made before the start, under the bus's lock; from then on the list and what is read-only
 * in it is read by any thread.
 */
#ifndef HL_JOURNAL_AGGREGATE_H
#define HL_JOURNAL_AGGREGATE_H

#include <hotlane/aggregate.h>

#include "bus/bus.h"
#include "journal/snapshot.h"

struct hl_state_writer {
    unsigned char *bytes;
    size_t room; /* bytes; what does not fit is counted and left out */
    size_t size; /* of all that was written */
};

struct hl_state_reader {
    const unsigned char *bytes;
    size_t size;
    size_t at;
};

/* Of one shard. */
typedef struct hl_aggregate_shard {
    hl_partition *partition;
    void *state;              /* the application's; of the bus's: the copy that `apply` changes */
    hl_latest *table;         /* the bus's, by key; NULL: the application keeps it */
    uint64_t loaded_sequence; /* the snapshot it was loaded from; 0: none */
    /* Who takes the snapshots writes, anyone reads. */
    uint64_t snapshots, failures, postponed, snapshot_sequence, snapshot_bytes;
} hl_aggregate_shard;

struct hl_aggregate {
    hl_bus *bus;
    const hl_domain *domain;
    char name[HL_CURSOR_NAME_SIZE];
    hl_aggregate_options options; /* its strings and `states` are not valid */
    hl_aggregate_shard *shards;
    hl_subscription **feeds;
    uint32_t feed_count;
    struct hl_aggregate *next;
};

typedef struct hl_captures hl_captures;

/* What a bus has of them; made with the first. */
struct hl_aggregates {
    hl_aggregate *first, **last;
    uint32_t last_values;          /* domains whose last values have an aggregate (last_values.h) */
    hl_captures *captures;         /* taker.h; NULL: not made yet */
    uint64_t rebuilt_ns;           /* bus time of the last event of a rebuild; 0: none */
    char *rebuilt_from;            /* the directory it was rebuilt from; NULL: it was not */
    hl_journal_keys *rebuilt_keys; /* that were given for it; NULL: the bus's */
    bool *unsettled; /* by partition: what it has published is not all in that journal; NULL: none
                        is */
};

/* The name of a shard's snapshots: "positions", or where the domain has shards "positions.3". */
void hl_aggregate_snapshot_name(const hl_aggregate *aggregate, uint32_t shard,
                                char ret_name[HL_CURSOR_NAME_SIZE]);

/* Whether the state is what the shard's events have made of it so far: none waits for a retry or in
 * a batch, and no feed has ended before the last. The partition's thread, between two events. */
bool hl_aggregate_is_whole(const hl_aggregate *aggregate, uint32_t shard);

/* Writes the state of a shard. The partition's thread, between two events. */
void hl_aggregate_save_shard(const hl_aggregate *aggregate, uint32_t shard,
                             hl_state_writer *writer);

/* Replaces it. The control plane, before the start. HL_UNSUPPORTED: nothing was changed. */
hl_status hl_aggregate_load_shard(hl_aggregate *aggregate, uint32_t shard, uint32_t version,
                                  const void *bytes, size_t size, hl_error *error);

/* Frees all aggregates of a bus; no thread runs. */
void hl_aggregates_free(hl_bus *bus);

#endif
