/*
 * Snapshots of aggregates: DIR/snapshots.d/NAME-SEQUENCE.hls, each a file that is written whole
 * (durable_file.h). At least two of a name are kept; who loads gets the newest that is whole.
 *
 *     [hl_snapshot_head, 4 bytes CRC-32C of it, 4 zero bytes][hl_cursor_position...][payload]
 *
 * One writer for a name; any number of readers.
 */
#ifndef HL_JOURNAL_SNAPSHOT_H
#define HL_JOURNAL_SNAPSHOT_H

#include "journal/cursor.h"

#define HL_SNAPSHOT_DIRECTORY "snapshots.d"
#define HL_SNAPSHOT_KEEP_MIN  2u
#define HL_SNAPSHOT_SIZE_MAX  (1ull << 32) /* bytes of payload */

/* Names as cursors' (hl_cursor_check_name). */
typedef struct hl_snapshot {
    char name[HL_CURSOR_NAME_SIZE];
    uint64_t sequence; /* the snapshot's place among those of its name: of the last event in it */
    uint64_t time_ns;  /* bus time of that event */
    uint32_t version;  /* of what the payload means; the aggregate's own */
    uint32_t positions_count;
    hl_cursor_position *positions; /* what to go on with in each partition it was made from */
    void *payload;
    size_t size; /* bytes */
} hl_snapshot;

/* Stores it, then removes all but the newest `keep` (at least HL_SNAPSHOT_KEEP_MIN) of its name.
 * HL_OK; HL_INVALID: name, size, keep; as hl_durable_file_replace. */
hl_status hl_snapshot_store(const hl_io *io, const char *directory, const hl_snapshot *snapshot,
                            uint32_t keep, hl_error *error);

/*
 * The newest whole one with a sequence of at most `sequence` and a time of at most `time_ns`
 * (UINT64_MAX: any). *ret_passed_over (may be NULL): how many newer ones were damaged; `error` then
 * tells of the last of them. hl_snapshot_release frees what it points at.
 * HL_NOT_FOUND: none that is whole; HL_INVALID, HL_SYSTEM, HL_NO_MEMORY.
 */
hl_status hl_snapshot_load(const hl_io *io, const char *directory, const char *name,
                           uint64_t sequence, uint64_t time_ns, hl_snapshot *ret_snapshot,
                           uint32_t *ret_passed_over, hl_error *error);
void hl_snapshot_release(hl_snapshot *snapshot);

/* Reads a snapshot from memory; it points into a copy. HL_DAMAGED: it is none, or not whole.
 * `place` begins the sentence. */
hl_status hl_snapshot_decode(const void *bytes, size_t size, const char *place,
                             hl_snapshot *ret_snapshot, hl_error *error);

/* Calls visit() for each snapshot file by its name, whole or not (then snapshot is NULL). Another
 * status than HL_OK ends it. */
typedef hl_status (*hl_snapshot_visit)(void *context, const char *path,
                                       const hl_snapshot *snapshot);
hl_status hl_snapshot_each(const hl_io *io, const char *directory, hl_snapshot_visit visit,
                           void *context, hl_error *error);

#endif
