/*
 * Keeping a journal within bounds: removing what is old, packing what is sealed. Whole segments
 * only, the oldest of a partition first, never the newest (its writer's, or what the next one goes
 * on from). May run beside the writer and any number of readers, in any process. Only one packs at
 * a time: who does holds DIR/pack.lock, and first removes what one that died had half packed.
 *
 * What a cursor, or the oldest kept snapshot, still has to read is never removed unless forced, and
 * then it is told and written to the audit log. A cursor or snapshot says nothing about partitions
 * that it does not name. A state that has no whole snapshot needs all of its partition.
 */
#ifndef HL_JOURNAL_RETENTION_H
#define HL_JOURNAL_RETENTION_H

#include "journal/cursor.h"
#include "journal/packed.h"
#include "journal/partition.h"
#include "journal/remembered.h"
#include "journal/segment.h"

typedef enum hl_retention_action {
    HL_RETENTION_REMOVED = 0,
    HL_RETENTION_REMOVED_NEEDED, /* forced: `detail` names who needed it */
    HL_RETENTION_HELD,           /* due, but needed by `detail` */
    HL_RETENTION_PACKED,
    HL_RETENTION_NOT_PACKED /* `detail` says why */
} hl_retention_action;

typedef struct hl_retention_step {
    hl_retention_action action;
    const char *partition;
    const char *path;
    uint64_t bytes_before;
    uint64_t bytes_after; /* packed; else 0 */
    hl_status status;     /* not packed: HL_WRONG_STATE not finished, HL_NOT_FOUND gone, HL_DAMAGED,
                             HL_SYSTEM; else HL_OK */
    const char *detail;   /* why: "older than the limit", "cursor bridge" */
} hl_retention_step;

/* A state that is made anew from the journal. */
typedef struct hl_retention_state {
    char snapshot[HL_CURSOR_NAME_SIZE]; /* the name of its snapshots */
    char partition[HL_PARTITION_DIRECTORY_SIZE];
} hl_retention_state;

typedef struct hl_retention_options {
    const char *directory;
    const char *partition;            /* as hl_partition_list */
    uint64_t now_ns;                  /* ns since the Unix epoch; 0: by the clock */
    uint64_t keep_ns;                 /* removed when all in it is older than this; 0: no limit */
    uint64_t keep_bytes;              /* of all partitions' files together; 0: no limit */
    bool force;                       /* remove even what is needed */
    bool dry_run;                     /* tell, and change nothing */
    bool pack;                        /* pack sealed segments that are not, the oldest first */
    bool compress;                    /* when packing */
    int level;                        /* of compression; 0: the default */
    const hl_journal_keys *keys;      /* when packing: encrypt with the newest; NULL: do not */
    uint64_t pack_after_ns;           /* only those that were sealed so long ago; 0: all */
    uint64_t pack_for_ns;             /* after so long no further one is begun; 0: all are */
    uint64_t pack_wait_ns;            /* how long it may wait for another that packs */
    const hl_retention_state *states; /* that the caller knows of, and their number */
    size_t state_count;
    hl_remembered *memory; /* of the last such look, without `partition`: only what is new is read.
                              NULL: all is */
    void *context;
    bool (*goes_on)(void *context); /* asked before each file, and each frame of one that is packed;
                                       false: no further, and HL_OK, with what was done (half a
                                       packed file is removed). NULL: it does */
    void (*told)(void *context, const hl_retention_step *step); /* NULL: nobody */
} hl_retention_options;

typedef struct hl_retention_result {
    uint64_t removed, packed, held;
    uint64_t bytes_before, bytes_after; /* of all segments that were looked at */
    hl_status packing;                  /* how far that went: HL_OK, or why not to its end */
    bool another_packs;                 /* and that is all that went wrong */
    uint64_t pack_due_ns; /* when the next one may be packed, ns since the Unix epoch, maybe over;
                             UINT64_MAX: none that is there now, or nothing is to be packed */
} hl_retention_result;

/*
 * Removes by age, packs, removes by size, in this order: what fits when it is packed need not go.
 * One of them that fails keeps the others from nothing, but for a removal the next one.
 * - HL_OK.
 * - HL_DAMAGED: a cursor is damaged, so what it needs is not known: nothing is removed (remove the
 *   cursor or force).
 * - HL_LOCKED: another packs; nothing was packed.
 * - HL_UNSUPPORTED: to be packed as this build cannot.
 * - HL_NOT_FOUND, HL_SYSTEM, HL_NO_SPACE, HL_NO_MEMORY, HL_INVALID.
 * `error` tells of the first; what was done stays done.
 */
hl_status hl_retention_apply(const hl_io *io, const hl_retention_options *options,
                             hl_retention_result *ret_result, hl_error *error);

#endif
