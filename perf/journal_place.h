/*
 * Where the journal scenario's files go, and what the disk there does without a journal: what a
 * journal's figures are held against.
 *
 *     perf_place place;
 *     status = perf_place_make("/var/tmp", &place, &error);     // a new directory
 *     ... place.path
 *     perf_place_remove(&place);                                // with all that is in it
 */
#ifndef HL_PERF_JOURNAL_PLACE_H
#define HL_PERF_JOURNAL_PLACE_H

#include <stddef.h>
#include <stdint.h>

#include "observe/histogram.h"
#include "perf/timer.h"

typedef struct perf_place {
    char path[512];
} perf_place;

/* HL_SYSTEM with a sentence; HL_INVALID: the path is too long. */
hl_status perf_place_make(const char *parent, perf_place *ret_place, hl_error *error);

/* Bytes that a program may still write there; 0: not known. */
uint64_t perf_place_free_bytes(const char *path);

/* All that lies in it, then itself. */
void perf_place_remove(const perf_place *place);

/*
 * One thread's plain writing: `bytes` (of a multiple of 1 MiB) into a file of preallocated blocks,
 * a MiB a pwrite, then one fdatasync, which counts. Bytes a second. The file is removed.
 */
hl_status perf_place_write(const perf_place *place, const perf_timer *timer, uint64_t bytes,
                           double *ret_per_s, hl_error *error);

/*
 * fdatasync, again and again for `seconds`, each after a pwrite of `group_bytes` behind the last
 * into a file whose blocks were written before. Only the fdatasync is recorded, in ns.
 */
hl_status perf_place_sync(const perf_place *place, const perf_timer *timer, uint64_t group_bytes,
                          double seconds, hl_histogram *ret_ns, hl_error *error);

#endif
