/*
 * One packs a journal's segments at a time, of all processes: who does holds DIR/pack.lock. Two at
 * once would write into each other's half-packed files, and could give one that is not whole the
 * segment's name.
 */
#ifndef HL_JOURNAL_PACK_LOCK_H
#define HL_JOURNAL_PACK_LOCK_H

#include "base/io.h"

/* Waits for it so long. *ret_lock: for io->unlock. HL_OK; HL_LOCKED: another has it; HL_SYSTEM,
 * HL_NO_SPACE. Any thread. */
hl_status hl_pack_lock_take(const hl_io *io, const char *directory, uint64_t wait_ns,
                            hl_io_file *ret_lock, hl_error *error);

/* Removes what is half packed in a partition's directory: who did so is dead. Under the lock.
 * HL_OK, HL_SYSTEM. */
hl_status hl_pack_sweep(const hl_io *io, const char *partition_directory, hl_error *error);

#endif
