/*
 * What one segment holds, found by reading all of it: how much is whole, what is a torn tail, and
 * what is damage. Changes nothing.
 *
 * A bad record is a torn tail when nothing says that it had ever been durable: then the segment
 * ends there, whatever lies behind. It is damage when a later group's durable mark, a footer's
 * trailer, or a later segment says that the disk once held it: then the walk goes on at the next
 * good record.
 */
#ifndef HL_JOURNAL_EXAMINE_H
#define HL_JOURNAL_EXAMINE_H

#include "journal/segment.h"

#define HL_DAMAGED_RANGES 16u /* kept one by one; all are counted */

typedef struct hl_damaged_range {
    uint64_t offset;         /* first bad byte, in the segment */
    uint64_t size;           /* bytes up to where records are good again, or their end */
    uint64_t first_sequence; /* of the events lost; 0 and 0: none */
    uint64_t last_sequence;
    hl_record_verdict verdict; /* of the record at `offset` */
} hl_damaged_range;

typedef struct hl_segment_findings {
    bool sealed;          /* a good trailer, the footer before it good */
    bool finished;        /* sealed, and the file ends with the trailer */
    bool has_next;        /* sealed as one that another follows */
    uint64_t sealed_size; /* behind the trailer, when sealed */
    uint64_t records_end; /* behind the last good record before any seal: the cut of a torn tail */
    uint64_t torn_bytes;  /* behind records_end up to the last byte that is not zero; 0 if sealed */
    uint64_t durable_offset; /* largest durable mark found; at least HL_JOURNAL_HEADER_SIZE */
    uint64_t next_sequence;  /* one above the last event, gap, or lost event */
    uint64_t reserved_through;
    uint64_t events, groups, gaps, dictionary_entries, payload_bytes;
    uint64_t first_sequence, last_sequence; /* of the events; 0 and 0: none */
    uint64_t first_ns, last_ns;             /* smallest and largest published_ns */
    uint32_t footer_flags;                  /* HL_FOOTER_..., when sealed */
    const char *footer_lie; /* when sealed, without damage: what its footer says that its records do
                               not, static memory; NULL: nothing. By it a reader finds a time */
    uint64_t damages;
    uint64_t damaged_bytes;
    hl_damaged_range damaged[HL_DAMAGED_RANGES]; /* the first min(damages, HL_DAMAGED_RANGES) */
} hl_segment_findings;

typedef struct hl_examine_options {
    bool is_last; /* of its directory: only then can its tail be torn */
    /* A writer lives, and has told readers of no sequence above `told_sequence` (tail.h) before
     * this was asked for: a bad record behind that is one that is just being written, neither torn
     * nor damage. The examination ends there, and finds no torn bytes. */
    bool is_being_written;
    uint64_t told_sequence;
    /* Called for each good record but group, rotation, footer and trailer, in order; may be NULL. A
     * status other than HL_OK ends the examination with it. */
    hl_status (*each)(void *context, const void *record, uint32_t length, uint64_t offset);
    void *context;
} hl_examine_options;

/* `walk` is open, at any place; it is moved. HL_OK whatever is found; HL_SYSTEM when the file
 * cannot be read, and what `each` answered. */
hl_status hl_segment_examine(hl_segment_walk *walk, const hl_examine_options *options,
                             hl_segment_findings *ret_findings, hl_error *error);

#endif
