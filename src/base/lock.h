/*
 * One process a directory. The lock is flock() on a file that also says who holds it; the kernel
 * gives it back when the owner dies, unless a child that the owner forked still has the file open:
 * then the file says that the owner (pid, start time, boot) is dead, and its name is given to a new
 * file. Any thread; blocks for moments only.
 */
#ifndef HL_BASE_LOCK_H
#define HL_BASE_LOCK_H

#include "base/io.h"

/* As hl_io.lock: a handle, -EWOULDBLOCK with *ret_owner filled (pid 0: it could not be read), or
 * -errno. Works between threads of one process too. */
int hl_lock_take(const char *path, hl_io_owner *ret_owner);

/* Free for the next one, also where a child that was forked meanwhile has the file open still. The
 * file stays, empty. 0 or -errno. */
int hl_lock_release(int lock);

/* This process. */
void hl_lock_self(hl_io_owner *ret_owner);

/* False when it is sure that this process no longer runs: another boot of this machine, no such
 * pid, or a pid that began at another time. Of another host nothing is sure: true. */
bool hl_lock_owner_lives(const hl_io_owner *owner);

#endif
