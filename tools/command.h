/*
 * The subcommands of `hotlane`: each is a function of its own file, cmd_<name>.c, and a line in the
 * table of main.c.
 */
#ifndef HL_TOOLS_COMMAND_H
#define HL_TOOLS_COMMAND_H

#include <stddef.h>

/* What a subcommand answers. */
typedef enum hl_exit {
    HL_EXIT_OK = 0,
    HL_EXIT_FAILED = 1, /* it was asked rightly, and failed */
    HL_EXIT_USAGE = 2   /* it was asked wrongly */
} hl_exit;

typedef struct hl_command {
    const char *name;
    const char *summary;
    /* argv[0] is the subcommand's name. Writes its result to stdout, everything else to stderr. */
    hl_exit (*run)(int argc, char **argv);
} hl_command;

/* What the command line of a subcommand comes to. */
typedef enum hl_parse {
    HL_PARSE_OK,
    HL_PARSE_HELP, /* --help was asked for */
    HL_PARSE_WRONG /* a sentence was printed to stderr */
} hl_parse;

/*
 * "hotlane COMMAND: there is no WHAT "WORD": did you mean ...?" to stderr, with the nearest of the
 * names; where none is near, with what `command` --help lists. Returns HL_EXIT_USAGE.
 */
hl_exit hl_refuse_unknown(const char *command, const char *what, const char *word,
                          const char *const *names, size_t count);

/* "COMMAND: --OPTION: "VALUE" is not right: WANTED" to stderr. Returns HL_PARSE_WRONG. */
hl_parse hl_refuse_value(const char *command, const char *option, const char *value,
                         const char *wanted);

hl_exit hl_command_check(int argc, char **argv);
hl_exit hl_command_dlq(int argc, char **argv);
hl_exit hl_command_topology(int argc, char **argv);
hl_exit hl_command_perf(int argc, char **argv);
hl_exit hl_command_journal(int argc, char **argv);
hl_exit hl_command_run(int argc, char **argv); /* in a build with the reference pipeline */

#endif
