/*
 * What one look at a journal's files (retention.h) leaves for the next: sealed segments and
 * snapshots do not change, so that only new ones need be read. Segments change when they are
 * packed; who does so writes a line of the audit log before it gives back the lock, so what is
 * remembered of them is good as long as that log has its length. One thread.
 */
#ifndef HL_JOURNAL_REMEMBERED_H
#define HL_JOURNAL_REMEMBERED_H

#include "journal/cursor.h"
#include "journal/segment.h"

/* A segment of any of the partitions. */
typedef struct hl_kept_segment {
    hl_segment_name name;
    size_t partition; /* its index */
    uint64_t bytes;
    uint64_t created_ns; /* nothing in it is older; UINT64_MAX: not known */
    bool packed;
    bool not_packed; /* it was tried in vain, in this look */
    bool newest;     /* of its partition: still written to */
    bool gone;
} hl_kept_segment;

/* A whole snapshot: who still needs what. */
typedef struct hl_kept_snapshot {
    char name[HL_CURSOR_NAME_SIZE];
    uint64_t sequence;
    size_t position_count;
    hl_cursor_position *positions; /* malloc */
    bool seen;                     /* in this look */
} hl_kept_snapshot;

typedef struct hl_remembered {
    hl_partition_directory *partitions;
    size_t partition_count;
    hl_kept_segment *segments; /* by partition, then sequence */
    size_t segment_count;
    uint64_t audit_bytes; /* of the audit log then; UINT64_MAX: nothing is known of the segments */
    hl_kept_snapshot *snapshots;
    size_t snapshot_count;
} hl_remembered;

/* Nothing is known yet. Released with what it points at. */
#define HL_REMEMBERED_INIT        \
    {                             \
        .audit_bytes = UINT64_MAX \
    }
void hl_remembered_release(hl_remembered *remembered);

/* Takes these over (malloc) in place of what it knew. */
void hl_remembered_keep(hl_remembered *remembered, hl_partition_directory *partitions,
                        size_t partition_count, hl_kept_segment *segments, size_t segment_count,
                        uint64_t audit_bytes);

/* The segments of a partition as they were; NULL and 0: it was not there. */
const hl_kept_segment *hl_remembered_segments(const hl_remembered *remembered,
                                              const char *partition, size_t *ret_count);

/* The snapshot, seen now; NULL: it is new. */
const hl_kept_snapshot *hl_remembered_snapshot(hl_remembered *remembered, const char *name,
                                               uint64_t sequence);

/* One more, with a copy of the positions. False: no memory, and it is as new the next time. */
bool hl_remembered_add(hl_remembered *remembered, const char *name, uint64_t sequence,
                       const hl_cursor_position *positions, size_t count);

/* All were listed: forgets those that were not seen. */
void hl_remembered_drop_unseen(hl_remembered *remembered);

#endif
