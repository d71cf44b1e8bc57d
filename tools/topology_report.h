/*
 * What `hotlane topology` has found out, and its forms: text, JSON, a picture.
 */
#ifndef HL_TOOLS_TOPOLOGY_REPORT_H
#define HL_TOOLS_TOPOLOGY_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

#include "affinity/check.h"
#include "topology_measure.h"
#include "affinity/plan.h"
#include "affinity/topology.h"

typedef struct topology_report {
    char source[256]; /* "this machine", "24core.xml", ... */
    const hl_topology *topology;
    const hl_plan *plan;
    const hl_finding *findings;
    uint32_t finding_count;
    bool has_host;                     /* false: a description, without /proc and /sys to look at */
    const topology_measures *measures; /* NULL: nothing was measured */
    const char *nic;                   /* NULL: none was named */
    const char *config_path;           /* NULL: the default domains */
} topology_report;

/* How many findings have a status. */
uint32_t topology_report_count(const topology_report *report, hl_check_status status);

/* "62.5 GiB", "32 KiB". */
void topology_report_size(uint64_t bytes, char ret_text[32]);

/* The names of the threads on a core, "order, fill"; "" for none. `cpu` -1: of all its CPUs. */
void topology_report_threads_on(const topology_report *report, uint32_t core, int cpu, char *text,
                                size_t size);

typedef struct topology_text_options {
    bool colour;
    bool only_checks; /* those that are not OK, and the warnings of the plan */
    bool all;         /* also what does not apply */
} topology_text_options;

/* Text of at most 80 columns, but for names and commands that are longer. */
void topology_text(const topology_report *report, const topology_text_options *options,
                   FILE *stream);

/* One JSON object (docs/topology.md has its schema) and a newline. False: no memory, or it could
 * not be written. */
bool topology_json(const topology_report *report, FILE *stream);

/* The `plan` of that object alone: a new one, the caller's. Of the report only topology, plan, nic
 * and config_path are read. NULL: no memory. */
json_t *topology_plan_json(const topology_report *report);

/* A picture, SVG 1.1 with nothing outside itself. False: it could not be written. */
bool topology_svg(const topology_report *report, FILE *stream);

/* The picture into a file, "-" for stdout; and as PNG, through a converter that is installed.
 * HL_OK, HL_SYSTEM with the file or what to install. */
hl_status topology_write_svg(const topology_report *report, const char *path, hl_error *error);
hl_status topology_write_png(const topology_report *report, const char *path, hl_error *error);

/* hotlane topology capture OUT.tar: makes the report's readings of this machine into an archive.
 * HL_OK, HL_SYSTEM with a sentence, HL_NO_MEMORY. */
hl_status topology_capture(const char *path, hl_error *error);

#endif
