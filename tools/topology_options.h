/*
 * The command line of `hotlane topology`.
 */
#ifndef HL_TOOLS_TOPOLOGY_OPTIONS_H
#define HL_TOOLS_TOPOLOGY_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "command.h"

#define TOPOLOGY_PUBLISHERS_MAX 64

typedef struct topology_options {
    const char *input, *root, *cpus;                 /* the machine; NULL: this one, all of it */
    const char *config, *lcores, *nic;               /* the plan */
    const char *publishers[TOPOLOGY_PUBLISHERS_MAX]; /* more of them than the configuration names */
    uint32_t publisher_count;
    uint32_t workers, journals; /* threads to keep room for */
    const char *svg, *png;
    const char *capture; /* `capture OUT.tar` instead of a report */
    const char *folder;  /* of the journal, for --measure */
    const char *measured_cpus;
    double seconds; /* of --measure */
    uint32_t interval_ms;
    int pid;
    bool json, only_checks, strict, all, measure;
} topology_options;

/* The texts in ret_options are argv's; that of --publishers is cut into names in place. */
hl_parse topology_options_parse(int argc, char **argv, topology_options *ret_options);

void topology_options_print_usage(FILE *stream);

#endif
