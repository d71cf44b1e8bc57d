/*
 * How far readers in other processes may look: a file `tail` in the partition's directory, which
 * the writer's side writes a sequence into. What is written, but could still be lost by what the
 * domain's durability speaks of, is so shown to nobody.
 *
 * The writer's side holds a lock on the file for as long as it lives, so that readers know a mark
 * that still counts from one that a dead process left (then all that is whole on disk may be read).
 * Readers wait with inotify, which the same write wakes. Neither side maps the file: who cuts it
 * takes from readers what the next write puts back, and sends no process a SIGBUS.
 *
 *     hl_journal_writer_open(&options, &writer, ...);      // the partition is locked now
 *     hl_tail_create("/var/lib/hotlane", "order", true, recovery.last_sequence, &tail, &error);
 *     for (;;) {
 *         ... hl_journal_writer_append, hl_journal_writer_turn ...
 *         hl_tail_tell(tail, hl_journal_durable(progress)); // a system call where there is news
 *     }
 *     hl_journal_writer_close(writer, &error);
 *     hl_tail_close(tail);
 *
 * It needs no sync and does not go through the table of I/O operations: what it says means nothing
 * once the process is gone.
 *
 * Synchronisation: one thread a tail.
 */
#ifndef HL_JOURNAL_TAIL_H
#define HL_JOURNAL_TAIL_H

#include <stdbool.h>
#include <stdint.h>

#include <hotlane/status.h>

#define HL_TAIL_NAME "tail"

typedef struct hl_tail hl_tail;

/*
 * The writer's end; readers are shown up to `last_sequence` (0: nothing) until hl_tail_tell. Makes
 * DIRECTORY/PARTITION where it is not there. A tail whose lock a dead writer's forked child still
 * holds is replaced: the caller has the partition's own lock, `owns_partition` says.
 * - HL_OK; HL_LOCKED: another writer lives; HL_SYSTEM, HL_NO_SPACE, HL_NO_MEMORY, HL_INVALID.
 */
hl_status hl_tail_create(const char *directory, const char *partition, bool owns_partition,
                         uint64_t last_sequence, hl_tail **ret_tail, hl_error *error);

/* The last sequence that readers may be shown from now on; 0: none. Wakes who waits when it is
 * another one than at the last call. */
void hl_tail_tell(hl_tail *tail, uint64_t last_sequence);

/* After hl_journal_writer_close. Readers then read all there is. NULL: nothing happens. */
void hl_tail_close(hl_tail *tail);

/* A reader's end. Never fails: where there is no tail file, or not yet, there is no limit. */
typedef struct hl_tail_view {
    char path[4096]; /* "": no limit, whatever is there */
    int file;        /* -1: not open */
    uint64_t shown;  /* by the last mark that was read; UINT64_MAX: none was */
} hl_tail_view;

/* NULL: for who sets itself a limit, and looks at no file. */
void hl_tail_view_init(hl_tail_view *view, const char *partition_directory);

/* The last sequence that may be shown; UINT64_MAX: no writer lives, all there is. A system call or
 * three: ask when what was known is used up, and at each segment's beginning. */
uint64_t hl_tail_view_limit(hl_tail_view *view);

void hl_tail_view_close(hl_tail_view *view);

#endif
