/*
 * The operating system's table of I/O with syncs that are not waited for, by io_uring: the
 * journal's thread goes on writing while the disk syncs what it had written before. Everything else
 * is hl_io_posix's. Belongs to one thread at a time.
 */
#ifndef HL_JOURNAL_IO_URING_H
#define HL_JOURNAL_IO_URING_H

#include "base/io.h"

typedef struct hl_io_uring hl_io_uring;

/*
 * `cpu`: where the kernel's own threads for it shall run, OS index; -1: anywhere.
 * HL_UNSUPPORTED, with a sentence: the kernel or the container refuses it, or this build lacks
 * liburing. HL_NO_MEMORY.
 */
hl_status hl_io_uring_create(int cpu, hl_io_uring **ret_uring, hl_error *error);

/* Valid until hl_io_uring_free. */
const hl_io *hl_io_uring_table(const hl_io_uring *uring);

/* Waits for a sync that has begun. NULL: nothing happens. */
void hl_io_uring_free(hl_io_uring *uring);

#endif
