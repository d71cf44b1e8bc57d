/*
 * What reading a journal costs, from the page cache: replay into a bus, seeks, verification,
 * packing.
 */
#ifndef HL_PERF_JOURNAL_READ_H
#define HL_PERF_JOURNAL_READ_H

#include "observe/histogram.h"
#include "perf/scenario.h"

/* Writes a journal of `records` events of 128 bytes, a microsecond apart, into the directory: 16
 * topics, 1,000 keys. */
hl_status perf_journal_write(const char *directory, uint64_t records, hl_error *error);

/* Flat out into a bus that is not live, with one handler, which checks each event's payload and
 * order. *ret_per_s: events; HL_NOT_CONSERVED: one was lost or damaged. */
hl_status perf_journal_replay(perf_run *run, const char *directory, uint64_t records,
                              double *ret_per_s, hl_error *error);

/* For `seconds`: to a time drawn at random, and the first event from there, which must be the
 * right one; in ns. */
hl_status perf_journal_seek(perf_run *run, const char *directory, uint64_t records, double seconds,
                            hl_histogram *ret_ns, hl_error *error);

/* Verifies all of it, which must be sound. Bytes of the segments a second. */
hl_status perf_journal_check(perf_run *run, const char *directory, double *ret_per_s,
                             hl_error *error);

/* Packs every segment of the journal, closed clean before. *ret_times: bytes before by bytes
 * after. HL_UNSUPPORTED: built without zstd. */
hl_status perf_journal_pack(const char *directory, double *ret_times, hl_error *error);

#endif
