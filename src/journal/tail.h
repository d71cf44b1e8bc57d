/*
 * How far a partition's writer has come, for readers in other processes: a file `tail` in the
 * partition's directory, which the writer maps and publishes its progress in.
 *
 * The writer holds a lock on the file for as long as it lives, so that readers know a mark that
 * still counts from one that a dead process left (then all that is whole on disk may be read).
 * Readers wait with inotify: hl_tail_poke, called after the progress has risen, writes 8 bytes to
 * the file, which wakes them.
 *
 *     hl_tail_create("/var/lib/hotlane", "order", &tail, &error);
 *     options.progress = hl_tail_progress(tail);
 *     hl_journal_writer_open(&options, ...);
 *     for (;;) {
 *         ... hl_journal_writer_append, hl_journal_writer_turn ...
 *         hl_tail_poke(tail);                     // a system call only when there is news
 *     }
 *
 * Synchronisation: one thread a tail; the progress itself as <hotlane/journal.h> says.
 */
#ifndef HL_JOURNAL_TAIL_H
#define HL_JOURNAL_TAIL_H

#include <hotlane/journal.h>

#include "base/io.h"

#define HL_TAIL_NAME "tail"

typedef struct hl_tail hl_tail;

/*
 * The writer's end; before hl_journal_writer_open. Makes DIRECTORY/PARTITION where it is not there.
 * - HL_OK; HL_LOCKED: another writer lives; HL_SYSTEM, HL_NO_SPACE, HL_NO_MEMORY, HL_INVALID.
 */
hl_status hl_tail_create(const char *directory, const char *partition, hl_tail **ret_tail,
                         hl_error *error);

/* For hl_journal_writer_options.progress; until hl_tail_close. */
hl_journal_progress *hl_tail_progress(hl_tail *tail);

/* Wakes who waits when the progress has changed since the last call. */
void hl_tail_poke(hl_tail *tail);

/* After hl_journal_writer_close. Readers then read all there is. NULL: nothing happens. */
void hl_tail_close(hl_tail *tail);

/* A reader's end. Never fails: where there is no tail file, or not yet, there is no limit. */
typedef struct hl_tail_view {
    char path[4096];
    int file; /* -1: not open */
    const struct hl_tail_page *page;
} hl_tail_view;

void hl_tail_view_init(hl_tail_view *view, const char *partition_directory);

/* The last sequence that may be shown; UINT64_MAX: no writer lives, all there is. A system call or
 * two: ask when what was known is used up, and at each segment's beginning. */
uint64_t hl_tail_view_limit(hl_tail_view *view);

void hl_tail_view_close(hl_tail_view *view);

#endif
