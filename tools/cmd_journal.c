/*
 * hotlane journal: what a journal holds, and keeping it. Works on the files, beside a running bus
 * or without one.
 */
#include "command.h"

#include <stdio.h>
#include <string.h>

#include "journal_options.h"

#define FILTERS "ptkcabABK"

static const journal_command commands[] = {
    {"ls", "DIR", "The segments: what each holds, sealed, packed or being written", "jpK",
     journal_ls},
    {"cat", "DIR", "The events, merged by time; with --correlation a story as a tree",
     "jnsu" FILTERS, journal_cat},
    {"tail", "DIR", "The last events; with -f those that come", "jnfs" FILTERS, journal_tail},
    {"verify", "DIR", "Reads everything, and says whether it is sound", "jpK", journal_verify},
    {"stat", "DIR", "How many events, of which topics, how large, who has read how far",
     "js" FILTERS, journal_stat},
    {"export", "DIR", "Events to JSON Lines, a file a day, or to SQLite", "jsuoqzr" FILTERS,
     journal_export},
    {"import", "DIR FILE", "JSON Lines (- for stdin) into a journal", "j", journal_import},
    {"replay", "DIR", "The events again at their own pace: printed, or into the reference pipeline",
     "jnsSPOi" FILTERS, journal_replay},
    {"snapshot", "DIR",
     "The snapshots there are; makes one now; shows what the pipeline was at a time", "jpMRibBK",
     journal_snapshot},
    {"repair", "DIR", "Cuts torn tails, as opening the journal would; --salvage passes over damage",
     "jps", journal_repair},
    {"compact", "DIR",
     "Compresses (and encrypts) sealed segments, removes old ones; never the newest", "jpgGFdNelK",
     journal_compact},
};

#define COMMANDS (sizeof commands / sizeof *commands)

static void print_usage(FILE *stream)
{
    fputs("usage: hotlane journal SUBCOMMAND [OPTION...] DIR\n\n", stream);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(stream, "  %-8s %s\n", commands[i].name, commands[i].summary);
    fputs(
        "\n`hotlane journal SUBCOMMAND --help` tells more. Sealed segments can be encrypted, and\n"
        "snapshots are where there is a key; the segment that is being written never is.\n\n"
        "Exit status: 0 done, 1 failed, 2 wrong usage.\n",
        stream);
}

static hl_exit refuse_unknown(const char *word)
{
    const char *names[COMMANDS];
    for (size_t i = 0; i < COMMANDS; i++)
        names[i] = commands[i].name;
    return hl_refuse_unknown("hotlane journal", "subcommand", word, names, COMMANDS);
}

static hl_exit begin(const journal_command *command, const journal_options *options)
{
    hl_error error;
    /* `import` makes one, `tail -f` waits for one. */
    const bool needs_journal = command->run != journal_import && !options->reading.follow;
    if (needs_journal && journal_check_directory(options->reading.directory, &error) != HL_OK)
        return journal_failed(&error);
    return command->run(options);
}

static hl_exit run(const journal_command *command, int argc, char **argv)
{
    journal_options options = {0};
    bool help = false;
    char name[32]; /* getopt begins its sentences with it */
    snprintf(name, sizeof name, "hotlane journal %s", command->name);
    argv[0] = name;
    hl_exit outcome = journal_options_parse(command, argc, argv, &options, &help);
    if (outcome == HL_EXIT_OK && !help)
        outcome = begin(command, &options);
    journal_options_free(&options);
    return outcome;
}

hl_exit hl_command_journal(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return HL_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_usage(stdout);
        return HL_EXIT_OK;
    }
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return run(&commands[i], argc - 1, argv + 1);
    return refuse_unknown(argv[1]);
}
