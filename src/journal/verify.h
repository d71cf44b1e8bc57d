/*
 * Is a journal sound? Reads all of it: every record of every segment (unpacked where it is packed),
 * the names, headers and links of the segments, the cursors, the snapshots and the audit log.
 * Changes nothing, and may run beside a writer: while one lives, what it has told readers of
 * (tail.h) must be there, and what is not whole behind that is not judged. A torn tail is what a
 * crash may leave: it is told, and is no damage.
 */
#ifndef HL_JOURNAL_VERIFY_H
#define HL_JOURNAL_VERIFY_H

#include <hotlane/journal_reader.h>

#include "journal/partition.h"

typedef struct hl_verified_damage {
    const char *path;
    uint64_t offset;         /* in the segment as it was before it was packed */
    uint64_t size;           /* bytes; 0: not known, or none */
    uint64_t first_sequence; /* lost with it; 0 and 0: none, or not known */
    uint64_t last_sequence;
    const char *what; /* a sentence's middle: "wrong CRC" */
} hl_verified_damage;

typedef struct hl_verified_partition {
    hl_partition_directory name;
    uint64_t segments, packed_segments;
    uint64_t records; /* events */
    uint64_t gaps;
    uint64_t first_sequence, last_sequence; /* of the events; 0 and 0: none */
    uint64_t first_ns, last_ns;
    uint64_t bytes; /* of the segments as they were before they were packed */
    uint64_t payload_bytes;
    uint64_t torn_bytes;
    uint64_t damages;
    bool clean;         /* the last segment was closed by its writer */
    bool being_written; /* a writer lived when it was looked at; torn_bytes is then 0 */
} hl_verified_partition;

typedef struct hl_verify_visitor {
    void *context;
    void (*damage)(void *context, const hl_verified_damage *damage);
    void (*partition)(void *context, const hl_verified_partition *partition); /* when it is done */
} hl_verify_visitor;

typedef struct hl_verify_options {
    const char *directory;
    const char *partition; /* as hl_partition_list; then partitions only, no cursors and the like */
    const hl_journal_keys *keys;
} hl_verify_options;

/*
 * *ret_damages: how many were told. HL_OK whatever is found; HL_NOT_FOUND: no such directory, or no
 * such partition in it; HL_NOT_ALLOWED, HL_UNSUPPORTED: a segment or snapshot cannot be looked into
 * (no key, newer format); HL_SYSTEM, HL_NO_MEMORY, HL_INVALID.
 */
hl_status hl_journal_verify(const hl_io *io, const hl_verify_options *options,
                            const hl_verify_visitor *visitor, uint64_t *ret_damages,
                            hl_error *error);

#endif
