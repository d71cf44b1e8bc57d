/*
 * The options of `hotlane dlq`.
 */
#ifndef HL_TOOLS_DLQ_OPTIONS_H
#define HL_TOOLS_DLQ_OPTIONS_H

#include <stdio.h>

#include <hotlane/dlq.h>

#include "command.h"

typedef enum dlq_action { DLQ_LS, DLQ_SHOW, DLQ_REDRIVE, DLQ_PURGE } dlq_action;

typedef struct dlq_options {
    dlq_action action;
    const char *path; /* argv's memory, as all texts here */
    hl_dlq_filter filter;
    bool filtered; /* something was said about which letters */
    bool all;
    bool salvage;
    bool json;
} dlq_options;

/* Reads the command line; argv[0] is the subcommand. */
hl_parse dlq_options_parse(int argc, char **argv, dlq_options *ret_options);

void dlq_options_print_usage(FILE *stream);

#endif
