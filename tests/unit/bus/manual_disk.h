/*
 * The disk of a manual bus's journal: it can be full or broken, under a clock that stands still
 * unless the test moves it.
 *
 *     manual_disk_make();
 *     config.journal_io = &manual_disk.io;
 *     ...
 *     manual_disk.write_error = -ENOSPC;
 */
#ifndef HL_TEST_MANUAL_DISK_H
#define HL_TEST_MANUAL_DISK_H

#include "base/io.h"

typedef struct manual_disk_state {
    hl_io io;                    /* the system's, but for pwrite, sync and ticks */
    uint64_t ticks_ns;           /* what the monotonic clock says */
    int write_error, sync_error; /* negative errno; 0: none */
} manual_disk_state;

/* The one of this process. */
extern manual_disk_state manual_disk;

void manual_disk_make(void);

#endif
