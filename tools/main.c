/*
 * The `hotlane` command: finds the subcommand and runs it.
 */
#include "command.h"

#include <stdio.h>
#include <string.h>

#include <hotlane/version.h>

static const hl_command commands[] = {
#ifdef HL_HAVE_MARKET
    {"run", "the bus with the reference pipeline over real or synthetic market data",
     hl_command_run},
#endif
    {"topology", "the machine, the placement plan, the tuning checks: text, JSON, SVG",
     hl_command_topology},
    {"check", "check a configuration file, and its plan on this machine", hl_command_check},
    {"dlq", "dead letters in a file: ls, show, redrive, purge", hl_command_dlq},
    {"journal",
     "what a journal holds: ls, cat, tail, verify, stat, export, import, replay, snapshot, repair, "
     "compact",
     hl_command_journal},
    {"perf", "measure this machine, the rings and the bus", hl_command_perf},
};

#define COMMANDS (sizeof commands / sizeof *commands)

static void print_usage(FILE *stream)
{
    fputs("usage: hotlane COMMAND [ARGUMENT...]\n\n", stream);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(stream, "  %-10s %s\n", commands[i].name, commands[i].summary);
    fputs("\n  --help     this text; `hotlane COMMAND --help` tells more\n"
          "  --version  the version\n\n"
          "Exit status: 0 done, 1 failed, 2 wrong usage.\n",
          stream);
}

static hl_exit refuse_unknown(const char *word)
{
    const char *names[COMMANDS];
    for (size_t i = 0; i < COMMANDS; i++)
        names[i] = commands[i].name;
    return hl_refuse_unknown("hotlane", "command", word, names, COMMANDS);
}

static hl_exit dispatch(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return HL_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_usage(stdout);
        return HL_EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("hotlane %s\n", hl_version_text());
        return HL_EXIT_OK;
    }
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        char name[32]; /* getopt begins its sentences with it */
        snprintf(name, sizeof name, "hotlane %s", commands[i].name);
        argv[1] = name;
        return commands[i].run(argc - 1, argv + 1);
    }
    return refuse_unknown(argv[1]);
}

int main(int argc, char **argv)
{
    const hl_exit outcome = dispatch(argc, argv);
    /* A full disk or a closed pipe shows only here; a result that was cut is no result. */
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("hotlane: cannot write the result");
        return HL_EXIT_FAILED;
    }
    return (int)outcome;
}
