/*
 * What `hotlane run` adds to the pipeline's components (the feeds: run_feeds.h), when they may be
 * stopped, and what it reports of them all.
 */
#ifndef HL_TOOLS_RUN_PARTS_H
#define HL_TOOLS_RUN_PARTS_H

#include <stdbool.h>
#include <stdio.h>

#include <hotlane/hotlane.h>
#include <jansson.h>

/* "recovery": brings the state of the stages up from their snapshots and the journal. */
typedef struct run_recovery {
    hl_bus *bus;
    const char *directory;
    bool salvage; /* go on behind damage */
} run_recovery;

/* Needs "strategy", and by it every stage. `recovery` outlives the bus. */
hl_status run_recovery_add(run_recovery *recovery, hl_error *error);

/* Waits until nothing is on its way in the bus any more, nor waits in a subscription; without
 * threads of the bus's own (`threads`) the caller's turns it meanwhile. False: in `timeout_ns` it
 * has not come to rest. */
bool run_settle(hl_bus *bus, hl_threads threads, uint64_t timeout_ns);

/* A line for each component; or an object, NULL: no memory. */
void run_parts_print(hl_bus *bus, FILE *stream);
json_t *run_parts_json(hl_bus *bus);

#endif
