/*
 * `hotlane run --ladder`: what the bus tells of its ladder (system.throttle), kept for the report.
 */
#ifndef HL_TOOLS_RUN_LADDER_H
#define HL_TOOLS_RUN_LADDER_H

#include <stdint.h>
#include <stdio.h>

#include <hotlane/hotlane.h>
#include <jansson.h>

#define RUN_LADDER_CHANGES 4096

typedef struct run_ladder {
    uint64_t start_ns; /* bus clock, what the report's times count from */
    uint32_t count;    /* of changes kept */
    uint64_t more;     /* that found no room */
    hl_system_throttle changes[RUN_LADDER_CHANGES];
} run_ladder;

/* Subscribes before the start; `ladder` is zeroed and outlives the bus. What hl_subscribe answers,
 * with the bus's sentence. */
hl_status run_ladder_watch(run_ladder *ladder, hl_bus *bus, hl_error *error);

/* When the bus has stopped: a line for each change; or an array of objects, NULL: no memory. */
void run_ladder_print(const run_ladder *ladder, FILE *stream);
json_t *run_ladder_json(const run_ladder *ladder);

#endif
