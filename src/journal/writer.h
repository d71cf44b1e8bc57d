/*
 * The write side of one partition's journal: takes runs of events in sequence, encodes them into a
 * buffer, writes that at once, syncs by group, rotates by day and size.
 *
 * Synchronisation: all calls come from one thread at a time (the journal's), but for
 * hl_journal_writer_progress, whose numbers anyone reads through <hotlane/journal.h>. No call
 * allocates between open and close.
 *
 * It blocks in the I/O table's write and sync, nowhere else; with `overlap_syncs` and a table that
 * has them, in a sync only when a segment ends or all is to be durable now. What it promises:
 *   - progress->written_sequence rises when the kernel has the bytes, durable_sequence when a sync
 *     that began after that has given 0; never before.
 *   - what was acknowledged as durable is recovered after a power cut, in order, and nothing that
 *     was never appended, as long as the disk writes a sector of 512 bytes whole or not at all.
 *   - after a failed sync nothing is ever acknowledged again (HL_JOURNAL_FAILED): a second sync
 * that gives 0 says nothing about what the first one lost. Open it anew.
 *   - a full disk is a state it waits in (HL_JOURNAL_NO_SPACE); what it had taken stays in its
 * buffer.
 *
 *     hl_journal_writer_options options = HL_JOURNAL_WRITER_OPTIONS_INIT;
 *     options.directory = "/var/lib/hotlane"; options.domain = "order"; ...
 *     hl_journal_writer_open(&options, &writer, &recovery, &error);
 *     for (;;) {
 *         taken = hl_journal_writer_append(writer, slots, stride, count);
 *         hl_journal_writer_turn(writer, taken == 0);
 *     }
 */
#ifndef HL_JOURNAL_WRITER_H
#define HL_JOURNAL_WRITER_H

#include <hotlane/journal.h>

#include "journal/recover.h"

#define HL_JOURNAL_RESERVE_BLOCK 1000000u /* sequences reserved at a time */

/* What stands in the dictionary for a number. Pointers need to hold during the call only. */
typedef struct hl_journal_name {
    const char *name;
    const void *detail; /* topic: 2 bytes, hl_topic_kind and hl_priority; schema: its text */
    size_t detail_size;
} hl_journal_name;

/* Asked before the first event that uses a number in a segment, on the journal's thread. False: no
 * such thing; a topic or source is then written with an empty name, a schema not at all. */
typedef bool (*hl_journal_name_of)(void *context, hl_dictionary_entry entry, uint32_t number,
                                   uint16_t version, hl_journal_name *ret_name);

typedef struct hl_journal_writer_options {
    const hl_io *io;        /* NULL: hl_io_posix() */
    const char *directory;  /* the journal's; made if it is not there (its parent must be) */
    const char *domain;     /* one token, shorter than HL_JOURNAL_DOMAIN_SIZE */
    uint16_t shard;         /* 0 to shards - 1 */
    uint16_t shards;        /* 1: the domain is not sharded, and no number in its directory */
    uint16_t partition;     /* of the bus */
    uint32_t epoch;         /* at least this one; 0: as found, one more if `shards` has changed */
    uint8_t bus_uuid[16];   /* all 0: that of the journal as found, or a new one */
    uint64_t segment_bytes; /* 64 KiB to 8 GiB; 0: 256 MiB */
    uint64_t write_bytes;   /* a write is made at this size; 4 KiB to 64 MiB; 0: 1 MiB */
    uint64_t write_interval_ns;  /* or when the oldest waits for so long; 0: at each turn */
    uint64_t commit_events;      /* a sync after so many events; 0: at each turn with news */
    uint64_t commit_interval_ns; /* or when the oldest unsynced waits for so long; 0: likewise */
    uint64_t group_alignment;    /* groups begin at multiples of it: 8, or the sector size up to
                                    4096 where a torn sector must not touch the group before */
    uint64_t first_sequence;   /* 0: as recovered; else above all that was recovered: for a bus that
                                  has gone on while its journal was off */
    uint64_t reserve_block;    /* 0: HL_JOURNAL_RESERVE_BLOCK */
    uint64_t retry_ns;         /* how often it looks for room on a full disk; 0: 100 ms */
    bool zero_fill;            /* write zeros ahead: twice the bytes, but a sync need not mark
                                  blocks as written. For `sync` domains */
    bool overlap_syncs;        /* write on while a sync runs, where the table has a way (io.h) */
    uint32_t dictionary_limit; /* dictionary records a segment; 0: 65536 */
    hl_damage_policy damage;
    const hl_io_file *lock; /* the directory's, of hl_journal_writer_give_up: the writer's when it
                               is open, else still the caller's. NULL: it takes the lock itself */
    hl_journal_name_of name_of; /* NULL: all names are empty */
    void *name_context;
    /* Told why, on the journal's thread, before HL_JOURNAL_NO_SPACE or _FAILED is published: who
     * sees the state finds what this has stored. NULL: nobody. */
    void (*stops)(void *context, const hl_error *why);
    void *stops_context;
    hl_journal_progress *progress; /* NULL: the writer's own; else at least 64-byte aligned, and
                                      outlives it */
} hl_journal_writer_options;

#define HL_JOURNAL_WRITER_OPTIONS_INIT                                                             \
    {                                                                                              \
        .shards = 1, .group_alignment = 8, .write_interval_ns = 1000000u, .commit_events = 65536u, \
        .commit_interval_ns = 10000000u                                                            \
    }

typedef struct hl_journal_writer hl_journal_writer;

/*
 * Locks the directory, recovers it, makes the first segment of this run durable. *ret_recovery (may
 * be NULL) says what was found; the first event's sequence must be its next_sequence.
 * - HL_LOCKED: another process has it; the sentence says which.
 * - HL_DAMAGED: as hl_journal_recover.
 * - HL_INVALID: an option; HL_NO_SPACE, HL_SYSTEM, HL_NO_MEMORY, HL_UNSUPPORTED.
 */
hl_status hl_journal_writer_open(const hl_journal_writer_options *options,
                                 hl_journal_writer **ret_writer, hl_recovery *ret_recovery,
                                 hl_error *error);

/*
 * Copies up to `count` events, `stride` bytes apart, header first, payload right behind it. Their
 * sequences go on from the last. Gives how many were taken: fewer than asked when the disk is full,
 * the journal has failed (hl_journal_state_of), or an event is not the next one or longer than
 * HL_JOURNAL_EVENT_MAX (hl_journal_writer_error says so; that one will never be taken).
 */
size_t hl_journal_writer_append(hl_journal_writer *writer, const void *events, size_t stride,
                                size_t count);

/* The sequences up to `last_sequence` will never come: they are put down as a gap. Only in running
 * state: HL_OK, HL_NO_SPACE (try again), HL_INVALID (nothing to skip), HL_FAILED. */
hl_status hl_journal_writer_skip(hl_journal_writer *writer, uint64_t last_sequence,
                                 uint32_t reason);

/*
 * Does what is due: write, sync, rotation, the next segment's making, another try on a full disk.
 * `idle`: nothing is to be had from the ring; small work ahead is then done now.
 * HL_OK, HL_NO_SPACE, HL_FAILED.
 */
hl_status hl_journal_writer_turn(hl_journal_writer *writer, bool idle);

/* Writes and syncs all that was appended. HL_OK, HL_NO_SPACE, HL_FAILED. */
hl_status hl_journal_writer_commit(hl_journal_writer *writer);

/* When the next turn is due, by the table's `ticks`; UINT64_MAX: not before something is appended.
 */
uint64_t hl_journal_writer_due(const hl_journal_writer *writer);

/* What it published; valid until close. Any thread. */
const hl_journal_progress *hl_journal_writer_progress(const hl_journal_writer *writer);

/* The last thing that went wrong; status HL_OK: nothing yet. The journal's thread. */
const hl_error *hl_journal_writer_error(const hl_journal_writer *writer);

/* Commits, seals the segment as closed clean, unlocks, frees. When it cannot write (HL_NO_SPACE,
 * HL_FAILED) the directory is left to the next recovery; the memory is freed all the same. */
hl_status hl_journal_writer_close(hl_journal_writer *writer, hl_error *error);

/* Frees it and unlocks, writing nothing: as if the process had ended here. The state is _CLOSED,
 * but for HL_JOURNAL_FAILED, which stays. */
void hl_journal_writer_abandon(hl_journal_writer *writer);

/* As hl_journal_writer_abandon, but leaves the directory locked: the lock is for the options of the
 * next writer, or to be given back to the table. */
hl_io_file hl_journal_writer_give_up(hl_journal_writer *writer);

#endif
