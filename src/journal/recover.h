/*
 * Bringing a partition's directory into a state that can be appended to, after whatever happened.
 *
 * The newest segment is read whole. A torn tail is cut at its last whole record: zeroed, and
 * synced, before anything is written. What lies above the last durable mark is written once more,
 * so that what was recovered is on the disk even where an earlier sync had failed and the page
 * cache only pretends. Then the segment is sealed. Damage in the middle is never cut: `strict`
 * refuses, with nothing changed; `salvage` reports it and keeps what is good. Doing it twice, or
 * again after a crash in the midst of it, gives the same.
 */
#ifndef HL_JOURNAL_RECOVER_H
#define HL_JOURNAL_RECOVER_H

#include "journal/examine.h"

typedef enum hl_damage_policy {
    HL_DAMAGE_STRICT = 0, /* HL_DAMAGED, and nothing is touched */
    HL_DAMAGE_SALVAGE     /* go on with what is good */
} hl_damage_policy;

typedef struct hl_recovery {
    size_t segments;                 /* of the directory */
    hl_segment_name newest;          /* where there is one */
    hl_segment_header newest_header; /* likewise */
    hl_segment_findings findings;    /* of the newest segment, before anything was changed */
    bool was_clean;                  /* it had been closed, or there was none */
    uint64_t torn_bytes;             /* cut and zeroed */
    uint64_t last_sequence;          /* of all that is recovered; 0: none */
    uint64_t next_sequence;          /* that the next segment begins with; that of the newest where
                                        it was closed clean and holds nothing: then in its place */
    uint64_t reserved_through;       /* the mark found; 0: none */
} hl_recovery;

/*
 * `directory` is the partition's (DIR/domain[.shard]) and its lock is held. Removes a half-made
 * segment (HL_SEGMENT_SPARE), unless the newest is sealed as one that another follows: beside that
 * it tells a crash in the midst of a rotation from a segment that is missing, which is damage
 * (without bytes: salvage counts it, and has no range for it). Every segment's header and the links
 * between them are checked.
 * - HL_OK: *ret_recovery says what was found and done.
 * - HL_DAMAGED: strict, and there is damage; the sentence names file, bytes and sequences.
 * - HL_NO_SPACE, HL_SYSTEM, HL_NO_MEMORY, HL_UNSUPPORTED: try again when the cause is gone.
 */
hl_status hl_journal_recover(const hl_io *io, const char *directory, hl_damage_policy policy,
                             hl_recovery *ret_recovery, hl_error *error);

#define HL_SEGMENT_SPARE "next.tmp" /* the next segment while it is made ready */

/* Whether a half-made segment is there, or that cannot be said. */
bool hl_journal_has_spare(const hl_io *io, const char *directory);

#endif
