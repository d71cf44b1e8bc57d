/*
 * The journal, as far as a program that uses hotlane sees it: how durable a domain is, and how far
 * its journal has come.
 *
 *     if (hl_journal_durable(progress) >= event->sequence)
 *         ...                                 // no power cut can take this event back any more
 *
 * Threads: hl_journal_written, hl_journal_durable, hl_journal_reserved and hl_journal_state_of may
 * be called by any thread, wait-free. They read what one thread, the journal's, publishes.
 */
#ifndef HOTLANE_JOURNAL_H
#define HOTLANE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hotlane/status.h>

/* What a domain's journal promises, named by what can be lost. */
typedef enum hl_durability {
    HL_DURABILITY_OFF = 0, /* nothing is written: all is lost with the process */
    HL_DURABILITY_ASYNC, /* crash of the process: what lies above written_sequence; power cut: what
                            lies above durable_sequence */
    HL_DURABILITY_SYNC   /* nothing that a handler has seen */
} hl_durability;

typedef enum hl_journal_state {
    HL_JOURNAL_RUNNING = 0,
    HL_JOURNAL_NO_SPACE, /* waits for room on the disk, takes nothing meanwhile; goes on by itself
                          */
    HL_JOURNAL_FAILED,   /* a write or sync failed for good: nothing more is written until it is
                            opened again, which looks at what the disk really holds */
    HL_JOURNAL_CLOSED
} hl_journal_state;

/* How far one partition's journal has come. The journal's thread writes it, anyone reads it by the
 * calls below; it may lie in memory shared with other processes. */
typedef struct hl_journal_progress {
    uint64_t written_sequence; /* handed to the kernel: outlives the process */
    uint64_t durable_sequence; /* synced: outlives a power cut; <= written_sequence */
    uint64_t reserved_through; /* durably reserved: no event above it may be given a sequence */
    uint64_t segment;          /* first sequence of the segment now written to */
    uint64_t state;            /* hl_journal_state */
    uint64_t syncs;            /* since it was opened */
    uint64_t written_bytes;    /* since it was opened */
    uint64_t clock_steps_back; /* times the wall clock was found before an earlier reading */
} hl_journal_progress;

#ifdef __cplusplus
extern "C" {
#endif

/* The last sequence that a crash of this process cannot take back; 0: none. */
HL_API uint64_t hl_journal_written(const hl_journal_progress *progress);

/* The last sequence that a power cut cannot take back; 0: none. */
HL_API uint64_t hl_journal_durable(const hl_journal_progress *progress);

/* The last sequence that may be given to an event now. */
HL_API uint64_t hl_journal_reserved(const hl_journal_progress *progress);

HL_API hl_journal_state hl_journal_state_of(const hl_journal_progress *progress);

#ifdef __cplusplus
}
#endif
#endif
