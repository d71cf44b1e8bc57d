#include "journal/remembered.h"

#include <stdlib.h>
#include <string.h>

void hl_remembered_release(hl_remembered *remembered)
{
    free(remembered->partitions);
    free(remembered->segments);
    for (size_t i = 0; i < remembered->snapshot_count; i++)
        free(remembered->snapshots[i].positions);
    free(remembered->snapshots);
    *remembered = (hl_remembered)HL_REMEMBERED_INIT;
}

/* ---- segments ---- */

void hl_remembered_keep(hl_remembered *remembered, hl_partition_directory *partitions,
                        size_t partition_count, hl_kept_segment *segments, size_t segment_count,
                        uint64_t audit_bytes)
{
    free(remembered->partitions);
    free(remembered->segments);
    remembered->partitions = partitions;
    remembered->partition_count = partition_count;
    remembered->segments = segments;
    remembered->segment_count = segment_count;
    remembered->audit_bytes = audit_bytes;
}

const hl_kept_segment *hl_remembered_segments(const hl_remembered *remembered,
                                              const char *partition, size_t *ret_count)
{
    size_t which = 0, from = 0, to;
    while (which < remembered->partition_count &&
           strcmp(remembered->partitions[which].text, partition) != 0)
        which++;
    while (from < remembered->segment_count && remembered->segments[from].partition < which)
        from++;
    for (to = from; to < remembered->segment_count && remembered->segments[to].partition == which;)
        to++;
    *ret_count = to - from;
    return to > from ? remembered->segments + from : NULL;
}

/* ---- snapshots ---- */

const hl_kept_snapshot *hl_remembered_snapshot(hl_remembered *remembered, const char *name,
                                               uint64_t sequence)
{
    for (size_t i = 0; i < remembered->snapshot_count; i++) {
        hl_kept_snapshot *const one = &remembered->snapshots[i];
        if (one->sequence != sequence || strcmp(one->name, name) != 0)
            continue;
        one->seen = true;
        return one;
    }
    return NULL;
}

bool hl_remembered_add(hl_remembered *remembered, const char *name, uint64_t sequence,
                       const hl_cursor_position *positions, size_t count)
{
    hl_kept_snapshot *const snapshots =
        realloc(remembered->snapshots, (remembered->snapshot_count + 1) * sizeof *snapshots);
    if (snapshots == NULL)
        return false;
    remembered->snapshots = snapshots;
    hl_cursor_position *const copies = calloc(count + 1, sizeof *copies);
    if (copies == NULL)
        return false;
    if (count > 0)
        memcpy(copies, positions, count * sizeof *copies);
    hl_kept_snapshot *const one = &snapshots[remembered->snapshot_count++];
    *one = (hl_kept_snapshot){
        .sequence = sequence, .position_count = count, .positions = copies, .seen = true};
    strcpy(one->name, name);
    return true;
}

void hl_remembered_drop_unseen(hl_remembered *remembered)
{
    size_t left = 0;
    for (size_t i = 0; i < remembered->snapshot_count; i++) {
        hl_kept_snapshot one = remembered->snapshots[i];
        if (!one.seen) {
            free(one.positions);
            continue;
        }
        one.seen = false;
        remembered->snapshots[left++] = one;
    }
    remembered->snapshot_count = left;
}
