/*
 * The options of `hotlane run`.
 */
#ifndef HL_TOOLS_RUN_OPTIONS_H
#define HL_TOOLS_RUN_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "command.h"
#include "market/pipeline.h"

#define RUN_DEFAULT_INPUT "synthetic:1"

typedef struct run_options {
    const char *inputs[MARKET_INPUTS_MAX]; /* specs; argv's memory */
    uint32_t input_count;                  /* at least 1: the synthetic day when none is named */
    const char *config_path;               /* NULL: the defaults */
    const char *dlq_path;                  /* NULL: the configuration's */
    int log_level;                         /* hl_log_level; -1: the configuration file's */
    bool stall_backtrace;                  /* else the configuration's word */
    const char *lcores;                    /* NULL: the configuration's */
    const char *journal_dir;               /* NULL: the configuration's */
    const char *acknowledge_path;          /* tell there how far the journal has come; NULL: no */
    const char *key_file;                  /* NULL: the configuration's */
    bool recover;                          /* bring state up from the journal first */
    uint64_t snapshot_events;              /* 0 both: the configuration's word */
    uint64_t snapshot_interval_ns;
    const char *replay_dir;            /* replay it instead of the inputs; NULL: none */
    bool recompute;                    /* by recomputing */
    bool rebuild;                      /* instead of replaying: snapshots and what follows */
    bool make_snapshots;               /* after that */
    hl_journal_reader_options reading; /* of the replay; its directory is replay_dir */
    const char *durability;            /* "order=sync"; NULL: the configuration's */
    double speed;                      /* of the data's own time; 0: as fast as possible */
    uint64_t rate;                     /* messages a second; 0: by speed */
    uint64_t burst;                    /* how dense the busiest second is replayed; 0: as it was */
    bool ladder;                       /* report each step of the ladder */
    uint64_t limit;                    /* messages of each input; 0: all */
    uint64_t max_errors;               /* bad records that are passed over */
    uint64_t passes;                   /* over each input; 0: without end */
    uint64_t duration_ns;              /* 0: until the inputs end */
    uint64_t seed;
    bool deterministic;
    bool audit; /* hash what is dispatched */
    bool json;
} run_options;

/* What a command line without options gives, but for the input. */
void run_options_init(run_options *ret_options);

/* Reads the command line; argv[0] is the subcommand. */
hl_parse run_options_parse(int argc, char **argv, run_options *ret_options);

void run_options_print_usage(FILE *stream);

/* hotlane run with these options (cmd_run.c). */
hl_exit run_with(const run_options *options);

#endif
