/*
 * A disk for tests, under the journal's table of I/O: it keeps what was synced apart from what was
 * not. On a power cut each unsynced sector of 512 bytes takes on any state it was in since the last
 * sync, by itself, each unsynced name in a directory likewise (a rename is one step). It fails any
 * call that is wanted, fills up, and can leave any one kind of sync undone while it says it is
 * done.
 *
 * After a failed sync the file counts as clean, as on Linux: any part of what was unsynced is lost
 * for good, a read still shows it, and the next sync gives 0.
 */
#ifndef HL_TESTS_SIMULATED_DISK_H
#define HL_TESTS_SIMULATED_DISK_H

#include "base/io.h"

#define SIM_SECTOR 512u

/* Which sync; told apart by what is unsynced and which file it is. */
typedef enum sim_sync {
    SIM_SYNC_NONE = 0,
    SIM_SYNC_COMMIT,    /* of a segment's records */
    SIM_SYNC_SEAL,      /* of a segment that was cut behind its seal */
    SIM_SYNC_HEADER,    /* of the next segment before it has its name */
    SIM_SYNC_TAIL,      /* of a segment while the journal is opened, before its seal */
    SIM_SYNC_NAMES,     /* of a partition's directory */
    SIM_SYNC_PARTITION, /* of the journal's directory */
    SIM_SYNC_PARENT     /* of the directory it lies in */
} sim_sync;

typedef struct sim_disk sim_disk;

sim_disk *sim_create(void);
void sim_destroy(sim_disk *disk);

/* The table; valid as long as the disk. */
const hl_io *sim_io(sim_disk *disk);

/* Another disk in the same state, with nothing open and no lock held. */
sim_disk *sim_copy(const sim_disk *disk);

/* The process is gone: what it had written stays, its handles and locks do not. */
void sim_kill(sim_disk *disk);

/* The power is gone: any subset of what was unsynced is lost, chosen by `seed`. */
void sim_power_cut(sim_disk *disk, uint64_t seed);

/* Before each call that may change the disk; NULL: nothing. */
void sim_watch(sim_disk *disk, void (*before)(void *context), void *context);

/* The n-th call from now on (1: the next) gives -error, once; 0: none. */
void sim_fail_call(sim_disk *disk, uint64_t nth, int error);

/* True while the call that is to fail has not come. */
bool sim_fail_is_pending(const sim_disk *disk);

/* The n-th sync from now on gives -error, once; 0: none. */
void sim_fail_sync(sim_disk *disk, uint64_t nth, int error);

/* This kind of sync gives 0 and does nothing. */
void sim_skip_sync(sim_disk *disk, sim_sync kind);

/* True while the journal is being opened: tells SIM_SYNC_TAIL from SIM_SYNC_COMMIT. */
void sim_set_opening(sim_disk *disk, bool opening);

/* Bytes that all files together may have. */
void sim_set_capacity(sim_disk *disk, uint64_t bytes);
uint64_t sim_calls(const sim_disk *disk);

void sim_set_now(sim_disk *disk, uint64_t now_ns);
void sim_add_ticks(sim_disk *disk, uint64_t ticks_ns);

/* The bytes of a file as a reader sees them, for flipping and looking; NULL: no such file. */
uint8_t *sim_bytes(sim_disk *disk, const char *path, uint64_t *ret_size);

/* Puts bytes into a file as if they had been there for ever (synced); it grows. */
void sim_plant(sim_disk *disk, const char *path, const void *bytes, uint64_t size, uint64_t offset);

#endif
