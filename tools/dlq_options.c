#include "dlq_options.h"

#include <getopt.h>
#include <string.h>

#include "base/number.h"
#include "moment.h"

static const char *const actions[] = {"ls", "show", "redrive", "purge"};

#define ACTIONS (sizeof actions / sizeof *actions)

void dlq_options_print_usage(FILE *stream)
{
    fputs(
        "usage: hotlane dlq ls|show|redrive|purge [OPTION...] FILE\n\n"
        "Dead letters: events that a subscription could not handle, in the file that a bus keeps\n"
        "them in (`--dlq FILE`).\n\n"
        "  ls       a line a letter\n"
        "  show     all that is known of each: event, payload, reason, history\n"
        "  redrive  mark letters, so that the bus gives each to the one subscription that failed,\n"
        "           when it next starts on this file; nothing is delivered by this command. While\n"
        "           a bus runs on the file it holds it: then redrive from within (hl_dlq_redrive)\n"
        "  purge    remove letters for good: the file is rewritten without them, and without\n"
        "           those that were handled after a redrive; not while a bus runs on it, as above\n"
        "           (hl_dlq_purge, hl_dlq_compact). Copies elsewhere stay as they are\n\n"
        "Which letters; all that is said must hold:\n"
        "  --id N               that one\n"
        "  --topic PATTERN      `order.*`, `order.>`\n"
        "  --subscription NAME  its name, or its pattern as it was subscribed\n"
        "  --from TIME          last failed then or later\n"
        "  --to TIME            last failed before then. TIME: 2026-11-21, 2026-11-21T10:28:30.5Z\n"
        "                       (UTC), or ns since the epoch\n"
        "  --reason NAME        exhausted, rejected, retry_full, breaker_open, hold_full, "
        "stopped,\n"
        "                       no_worker, slow\n"
        "  --state NAME         waiting, asked (to be redriven), redriving\n"
        "  --all                redrive and purge want this said, where nothing else is\n\n"
        "  --salvage  ls, show: pass over damage, and show the letters that are whole\n"
        "  --json     one JSON object\n"
        "  --help     this text\n\n"
        "Exit status: 0 done, 1 failed (no letter was meant, a damaged or locked file), 2 wrong\n"
        "usage.\n",
        stream);
}

/* ------- values ------- */

static int reason_parse(const char *text)
{
#define REASON(code, value, name, sentence) \
    if (strcmp(text, name) == 0)            \
        return value;
    HL_DEAD_REASON_LIST(REASON)
#undef REASON
    return 0;
}

static int state_parse(const char *text)
{
    for (int state = HL_DEAD_WAITING; state <= HL_DEAD_REDRIVING; state++) {
        if (strcmp(text, hl_dead_state_name((hl_dead_state)state)) == 0)
            return state;
    }
    return 0;
}

/* ------- the line ------- */

static hl_parse wrong(const char *option, const char *value, const char *wanted)
{
    return hl_refuse_value("hotlane dlq", option, value, wanted);
}

static hl_parse take_option(int option, const char *value, dlq_options *options)
{
    hl_dlq_filter *const filter = &options->filter;
    switch (option) {
    case 'i':
        if (!hl_number_parse(value, 1, UINT64_MAX, &filter->id))
            return wrong("id", value, "use a letter's number, from 1");
        return HL_PARSE_OK;
    case 't':
        filter->topic = value;
        return HL_PARSE_OK;
    case 'S':
        filter->subscription = value;
        return HL_PARSE_OK;
    case 'f':
    case 'T':
        if (!moment_parse(value, false, option == 'f' ? &filter->from_ns : &filter->to_ns))
            return wrong(option == 'f' ? "from" : "to", value,
                         "use 2026-11-21, 2026-11-21T10:28:30Z, or ns since the epoch");
        return HL_PARSE_OK;
    case 'r':
        filter->reason = reason_parse(value);
        return filter->reason != 0 ? HL_PARSE_OK
                                   : wrong("reason", value, "`hotlane dlq --help` lists them");
    case 's':
        filter->state = state_parse(value);
        return filter->state != 0 ? HL_PARSE_OK
                                  : wrong("state", value, "use waiting, asked or redriving");
    case 'a':
        options->all = true;
        return HL_PARSE_OK;
    case 'v':
        options->salvage = true;
        return HL_PARSE_OK;
    case 'j':
        options->json = true;
        return HL_PARSE_OK;
    case 'h':
        return HL_PARSE_HELP;
    default: /* getopt has named the option */
        return HL_PARSE_WRONG;
    }
}

static hl_parse take_action(const char *word, dlq_options *options)
{
    for (size_t i = 0; i < ACTIONS; i++) {
        if (strcmp(word, actions[i]) == 0) {
            options->action = (dlq_action)i;
            return HL_PARSE_OK;
        }
    }
    hl_refuse_unknown("hotlane dlq", "action", word, actions, ACTIONS);
    return HL_PARSE_WRONG;
}

static hl_parse check_whole(const dlq_options *options)
{
    const bool changes = options->action == DLQ_REDRIVE || options->action == DLQ_PURGE;
    if (changes && !options->filtered && !options->all) {
        fprintf(stderr,
                "hotlane dlq %s: which letters? Say --all, or --id, --topic, --subscription, ...\n",
                actions[options->action]);
        return HL_PARSE_WRONG;
    }
    if (changes && options->salvage) {
        fprintf(stderr,
                "hotlane dlq %s: --salvage is for ls and show: a damaged file is not written to\n",
                actions[options->action]);
        return HL_PARSE_WRONG;
    }
    if (options->all && options->filtered) {
        fputs("hotlane dlq: --all, and a filter beside it: say one of the two\n", stderr);
        return HL_PARSE_WRONG;
    }
    return HL_PARSE_OK;
}

hl_parse dlq_options_parse(int argc, char **argv, dlq_options *ret_options)
{
    static const struct option known[] = {{"id", required_argument, NULL, 'i'},
                                          {"topic", required_argument, NULL, 't'},
                                          {"subscription", required_argument, NULL, 'S'},
                                          {"from", required_argument, NULL, 'f'},
                                          {"to", required_argument, NULL, 'T'},
                                          {"reason", required_argument, NULL, 'r'},
                                          {"state", required_argument, NULL, 's'},
                                          {"all", no_argument, NULL, 'a'},
                                          {"salvage", no_argument, NULL, 'v'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    static const char filters[] = "itSfTrs";
    dlq_options options = {.filter = HL_DLQ_FILTER_INIT};
    unsigned given = 0; /* a bit for each of the filters */
    int index = 0;
    for (int option; (option = getopt_long(argc, argv, "h", known, &index)) != -1;) {
        const char *const filter = strchr(filters, option);
        const unsigned bit = filter != NULL ? 1u << (filter - filters) : 0;
        if ((given & bit) != 0)
            return wrong(known[index].name, optarg, "it is given twice: one command for each");
        given |= bit;
        options.filtered = given != 0;
        const hl_parse taken = take_option(option, optarg, &options);
        if (taken != HL_PARSE_OK)
            return taken;
    }
    if (argc - optind != 2) {
        fputs("hotlane dlq: name what to do (ls, show, redrive, purge) and one file\n", stderr);
        return HL_PARSE_WRONG;
    }
    options.path = argv[optind + 1];
    if (take_action(argv[optind], &options) != HL_PARSE_OK)
        return HL_PARSE_WRONG;
    const hl_parse checked = check_whole(&options);
    if (checked == HL_PARSE_OK)
        *ret_options = options;
    return checked;
}
