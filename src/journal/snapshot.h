/*
 * Snapshots of aggregates: DIR/snapshots.d/NAME-SEQUENCE.hls, each a file that is written whole
 * (snapshot_file.h). At least two of a name are kept; who loads gets the newest that is whole.
 *
 * One writer for a name; any number of readers.
 */
#ifndef HL_JOURNAL_SNAPSHOT_H
#define HL_JOURNAL_SNAPSHOT_H

#include "journal/snapshot_file.h"

#define HL_SNAPSHOT_DIRECTORY "snapshots.d"
#define HL_SNAPSHOT_KEEP_MIN  2u

/* Stores it, encrypted with the newest of `keys` (NULL: plain), then removes all but the newest
 * `keep` (at least HL_SNAPSHOT_KEEP_MIN) of its name. HL_OK; HL_INVALID: name, keep; as
 * hl_snapshot_file_write. */
hl_status hl_snapshot_store(const hl_io *io, const char *directory, const hl_snapshot *snapshot,
                            const hl_journal_keys *keys, uint32_t keep, hl_error *error);

/*
 * The newest whole one with a sequence of at most `sequence` and a time of at most `time_ns`
 * (UINT64_MAX: any). *ret_passed_over (may be NULL): how many newer ones were damaged; `error` then
 * tells of the last of them. hl_snapshot_release frees what it points at.
 * - HL_OK; HL_NOT_FOUND: none that is whole; HL_INVALID, HL_SYSTEM, HL_NO_MEMORY.
 * - HL_NOT_ALLOWED, HL_UNSUPPORTED: one that comes before those is there, and cannot be read for
 *   want of its key or of a newer hotlane (hl_snapshot_file_read). It is not passed over: it is not
 *   damaged.
 */
hl_status hl_snapshot_load(const hl_io *io, const char *directory, const char *name,
                           const hl_journal_keys *keys, uint64_t sequence, uint64_t time_ns,
                           hl_snapshot *ret_snapshot, uint32_t *ret_passed_over, hl_error *error);

/* Calls visit() for each snapshot file by its name, without the payload, whole or not (then
 * snapshot is NULL); as hl_snapshot_file_look, so without keys too. Another status than HL_OK ends
 * it. */
typedef hl_status (*hl_snapshot_visit)(void *context, const char *path,
                                       const hl_snapshot *snapshot);
hl_status hl_snapshot_each(const hl_io *io, const char *directory, const hl_journal_keys *keys,
                           hl_snapshot_visit visit, void *context, hl_error *error);

/* The same, but for those that are `known` by their file's name: they are not read. */
typedef bool (*hl_snapshot_known)(void *context, const char *name, uint64_t sequence);
hl_status hl_snapshot_each_new(const hl_io *io, const char *directory, const hl_journal_keys *keys,
                               hl_snapshot_known known, hl_snapshot_visit visit, void *context,
                               hl_error *error);

#endif
