/*
 * What `hotlane run` says at its end, in words or as one JSON object.
 */
#ifndef HL_TOOLS_RUN_REPORT_H
#define HL_TOOLS_RUN_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "market/pipeline.h"
#include "run_ladder.h"

/* What there is to report of; nothing is owned. The bus has stopped. */
typedef struct run_report {
    hl_bus *bus;
    const market_pipeline *pipeline;
    const market_recording *recordings;
    uint32_t input_count;
    const char *config_path;  /* NULL: none was named */
    const run_ladder *ladder; /* NULL: not asked for */
    hl_stop_report stop;
    bool paced;        /* not at full speed */
    double decoding_s; /* reading the inputs, ahead of the run */
    double elapsed_s;  /* from the feeds' start to the last event's end */
} run_report;

void run_report_print(const run_report *report, FILE *stream);

/* HL_OK, HL_NO_MEMORY, or HL_SYSTEM when the stream takes it no more. */
hl_status run_report_print_json(const run_report *report, FILE *stream);

#endif
