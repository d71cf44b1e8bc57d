/*
 * The table of operations that all that must survive (journal, dead letters) does its writes,
 * syncs, reads and time through, so that a test can put a disk under it that loses power, fills up
 * or fails. hl_io_posix() is the real one.
 *
 * Each operation gives 0 (or a count, or a handle) or a negative errno (-ENOSPC), as the kernel
 * does. Paths are absolute or relative to the process, NUL-terminated. Files are small numbers,
 * those of the table. Calls on one file come from one thread at a time, but for `pread`.
 */
#ifndef HL_BASE_IO_H
#define HL_BASE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hotlane/status.h>

typedef int hl_io_file; /* >= 0 */

/* hl_io.open */
#define HL_IO_READ   0x01u /* reading only */
#define HL_IO_WRITE  0x02u /* reading and writing */
#define HL_IO_CREATE 0x04u /* with HL_IO_WRITE: make it if it is not there */
#define HL_IO_NEW    0x08u /* with HL_IO_CREATE: -EEXIST if it is there */
#define HL_IO_EMPTY  0x10u /* with HL_IO_WRITE: cut what is there */

/* Who holds a directory. A pid alone is used again: the start time tells one process from a later
 * one, the boot id one machine's run from the next. */
typedef struct hl_io_owner {
    int64_t pid;
    uint64_t start_ticks; /* field 22 of /proc/PID/stat */
    char boot_id[40];
    char host[64];
} hl_io_owner;

typedef struct hl_io {
    void *context; /* first argument of each */
    /* A handle, or -errno. A new file's name is durable after sync_directory only. */
    int (*open)(void *context, const char *path, unsigned flags);
    int (*close)(void *context, hl_io_file file);
    /* Bytes, maybe fewer than asked (0 only at the end of a file), or -errno. */
    int64_t (*pwrite)(void *context, hl_io_file file, const void *bytes, size_t size,
                      uint64_t offset);
    int64_t (*pread)(void *context, hl_io_file file, void *bytes, size_t size, uint64_t offset);
    /* Blocks for [offset, offset + size), reading as zeros where nothing was written; the file
     * grows to hold them. No write there will fail for want of space. */
    int (*preallocate)(void *context, hl_io_file file, uint64_t offset, uint64_t size);
    /* What was written to the file, and its size, lie on the disk when it gives 0. An error says
     * that something may be lost for good: it must not be tried again and believed. */
    int (*sync)(void *context, hl_io_file file);
    /* The same without waiting, one at a time; both NULL: there is no such way. `sync_begin` gives
     * 0, or -errno and nothing has begun. `sync_end` gives the sync's result: it is about what was
     * written before it began; or -EINPROGRESS, unless it is to `wait`. */
    int (*sync_begin)(void *context, hl_io_file file);
    int (*sync_end)(void *context, hl_io_file file, bool wait);
    /* A hint that these bytes may go down now, so that a later sync has less to wait for. Does not
     * wait, and promises nothing. */
    void (*flush_ahead)(void *context, hl_io_file file, uint64_t offset, uint64_t size);
    /* The names made, renamed and removed in it likewise. */
    int (*sync_directory)(void *context, const char *path);
    int64_t (*size)(void *context, hl_io_file file);
    int (*truncate)(void *context, hl_io_file file, uint64_t size);
    int (*rename)(void *context, const char *from, const char *to);
    int (*unlink)(void *context, const char *path);
    /* 0 too when it is there already. Not its parents. */
    int (*make_directory)(void *context, const char *path);
    /* Calls each(name) for every entry but "." and "..", in no order; stops at its first non-zero
     * answer, which it gives back. */
    int (*list)(void *context, const char *path, int (*each)(void *argument, const char *name),
                void *argument);
    /* Takes the lock file `path` for this process; it ends with `unlock`, or with the process. A
     * handle; or -EWOULDBLOCK when another (or this process already) has it, *ret_owner then says
     * who; or -errno. A dead owner's is taken over. */
    int (*lock)(void *context, const char *path, hl_io_owner *ret_owner);
    int (*unlock)(void *context, hl_io_file lock);
    uint64_t (*now)(void *context);    /* wall clock: ns since the Unix epoch; may step back */
    uint64_t (*ticks)(void *context);  /* monotonic clock, ns */
    uint64_t (*random)(void *context); /* 64 bits nobody can guess */
} hl_io;

/* The operating system's. Static memory, no context. */
const hl_io *hl_io_posix(void);

/* All bytes: goes on after short writes and -EINTR. 0 or -errno; *ret_done (may be NULL) is how
 * many were written, also when it failed. */
int hl_io_write_all(const hl_io *io, hl_io_file file, const void *bytes, size_t size,
                    uint64_t offset, size_t *ret_done);

/* Bytes read: fewer than asked only at the end of the file; or -errno. */
int64_t hl_io_read_all(const hl_io *io, hl_io_file file, void *bytes, size_t size, uint64_t offset);

/* HL_NO_SPACE for ENOSPC and EDQUOT, HL_SYSTEM for others; the sentence is "PATH: cannot WHAT: ..."
 * with the reason and, where there is one, the remedy. `result` is the negative errno. */
hl_status hl_io_error(hl_error *error, int64_t result, const char *path, const char *what);

#endif
