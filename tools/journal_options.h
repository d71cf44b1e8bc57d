/*
 * The options of `hotlane journal SUBCOMMAND`, and those subcommands: each is a function of one of
 * the files journal_*.c, and a line in the table of cmd_journal.c.
 */
#ifndef HL_TOOLS_JOURNAL_OPTIONS_H
#define HL_TOOLS_JOURNAL_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include <hotlane/journal_reader.h>

#include "command.h"
#include "journal/partition.h"

#define JOURNAL_INPUTS_MAX 16

typedef struct journal_options {
    hl_journal_reader_options reading; /* directory, partition, filter, cursor, salvage, follow */
    const char *operand;               /* behind the directory; NULL: none */
    hl_journal_keys *keys;             /* of --key-file or the environment; NULL: none */
    bool json;
    uint64_t limit; /* events shown at most; 0: all */
    /* export */
    const char *output;
    bool sqlite;
    bool compress;
    bool replace;
    /* replay, snapshot */
    double speed; /* of the original pace; 0: as fast as possible */
    bool into_pipeline;
    bool recompute;
    bool make;
    bool rebuild;
    const char *inputs[JOURNAL_INPUTS_MAX]; /* that name the pipeline's instruments */
    uint32_t input_count;
    /* compact */
    uint64_t keep_ns;
    uint64_t keep_bytes;
    bool force;
    bool dry_run;
    bool no_pack;
    bool encrypt;
    int level;
} journal_options;

/* What a subcommand takes. */
typedef struct journal_command {
    const char *name;
    const char *operands; /* "DIR" or "DIR FILE" */
    const char *summary;
    const char *letters; /* of its options, from the table in journal_options.c */
    hl_exit (*run)(const journal_options *options);
} journal_command;

/* HL_EXIT_OK: *ret_options is filled (journal_options_free), *ret_help when only the usage was
 * asked for and has been printed. HL_EXIT_USAGE: said why; HL_EXIT_FAILED: the keys could not be
 * read. */
hl_exit journal_options_parse(const journal_command *command, int argc, char **argv,
                              journal_options *ret_options, bool *ret_help);
void journal_options_free(journal_options *options);

/* Prints the sentence and gives HL_EXIT_FAILED, or HL_EXIT_USAGE for HL_INVALID. */
hl_exit journal_failed(const hl_error *error);

/* hl_partition_list of what is asked for. */
hl_status journal_partitions(const journal_options *options, hl_partition_directory **ret_names,
                             size_t *ret_count, hl_error *error);

/* Whether it is a journal's: holds a segment. Almost any directory has others whose names could be
 * partitions': one named by mistake would be found sound, replayed to its end, and `repair` would
 * leave its locks all over it. HL_OK; HL_NOT_FOUND, HL_SYSTEM, HL_NO_MEMORY. */
hl_status journal_check_directory(const char *directory, hl_error *error);

/* Prints an object to stdout and drops it. */
void journal_print(json_t *object);

hl_exit journal_ls(const journal_options *options);
hl_exit journal_cat(const journal_options *options);
hl_exit journal_tail(const journal_options *options);
hl_exit journal_verify(const journal_options *options);
hl_exit journal_stat(const journal_options *options);
hl_exit journal_export(const journal_options *options);
hl_exit journal_import(const journal_options *options);
hl_exit journal_replay(const journal_options *options);
hl_exit journal_snapshot(const journal_options *options);
hl_exit journal_repair(const journal_options *options);
hl_exit journal_compact(const journal_options *options);

/* One event or what is missing, a line; as a JSON object, where `json`. */
void journal_print_entry(const hl_journal_entry *entry, bool json, FILE *stream);

/* That line, to be freed; NULL: no memory. */
char *journal_entry_line(const hl_journal_entry *entry, bool json);

/* A story as a tree, cause above effect (journal_story.c). Reads all that the reader gives. */
hl_exit journal_show_story(hl_journal_reader *reader, const journal_options *options);

#endif
