/*
 * One bus with a journal, or without one, under one publisher: flat out, or on an open-loop
 * schedule. Every event's payload is checked by its handler, and that all came, in order.
 */
#ifndef HL_PERF_JOURNAL_LIVE_H
#define HL_PERF_JOURNAL_LIVE_H

#include <hotlane/hotlane.h>

#include "observe/histogram.h"
#include "perf/scenario.h"

typedef struct perf_live_options {
    const char *journal_dir; /* NULL: no journal */
    hl_durability durability;
    uint32_t journal_slots;
    bool io_uring;
    double per_s;    /* 0: flat out, in runs of 32 */
    uint64_t events; /* flat out: so many; else `seconds` */
    double seconds;
    hl_histogram *publish_ns; /* on a schedule: claim to commit; NULL: not wanted */
    hl_histogram *handle_ns;  /* likewise: from the intended time to the handler */
} perf_live_options;

typedef struct perf_live_result {
    uint64_t events;
    double ns; /* from the first publish until all are handled and, with a journal, durable */
    uint64_t syncs;
    uint64_t written_bytes;
} perf_live_result;

/* HL_NOT_CONSERVED: an event was lost or damaged; or as the bus says. */
hl_status perf_live_run(perf_run *run, const perf_live_options *options,
                        perf_live_result *ret_result, hl_error *error);

#endif
