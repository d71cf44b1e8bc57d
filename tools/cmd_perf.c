/*
 * hotlane perf: the harness. Options, output; the measuring is perf/'s.
 */
#include "command.h"

#include <errno.h>
#include <float.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/number.h"
#include "perf/compare.h"
#include "perf/hgrm.h"
#include "perf/instructions.h"
#include "perf/plot.h"
#include "perf/scenario.h"
#ifdef HL_HAVE_PEERS
#include "perf/peers/peers.h"
#endif

typedef struct perf_arguments {
    perf_options measuring;
    bool json;
    const char *hgrm_path;
    const char *plot_path;
    const char *budget_path;
    bool update;
    bool workload; /* run what callgrind counts, once; for perf_instructions_count */
} perf_arguments;

static void print_usage(FILE *stream)
{
    uint32_t count;
    const perf_scenario *const scenarios = perf_scenarios(&count);
    fputs("usage: hotlane perf SCENARIO [OPTION...]\n"
          "       hotlane perf compare [--json] A.json B.json\n"
          "       hotlane perf instructions [--json] [--budget FILE [--update]]\n\n",
          stream);
    for (uint32_t i = 0; i < count; i++)
        fprintf(stream, "  %-10s %s\n", scenarios[i].name, scenarios[i].summary);
    fputs("  peers      hotlane's rings and bus beside the queues that Debian packages\n"
          "  compare    what is better or worse in B, beyond the spread of both\n"
          "  instructions  an event's, counted by callgrind; and against a budget\n\n"
          "  --cores publisher=CPU,consumer=CPU  where; else two physical cores are chosen\n"
          "                 (housekeeper=CPU: the bus's; else a third core, or the publisher's)\n"
          "  --seconds S    of one measurement; 0.01 to 3600, else 0.3\n"
          "  --repeats N    alternating repeats, 1 to 1000, else 5\n"
          "  --case TEXT    only cases whose names contain it\n"
          "  --stall MS     hop: stop the sender once for so long, to see that it shows\n"
          "  --dir DIR      journal: on the disk to measure, else /var/tmp\n"
          "  --json         one JSON object: scenario, environment, floor, notes, rows\n"
          "  --hgrm FILE    each latency distribution in HdrHistogram's percentile format, in us;\n"
          "                 of several, each in a file with the case in its name\n"
          "  --plot FILE.svg  percentile curves and throughput bars (gnuplot)\n"
          "  --budget FILE  instructions: the budget to hold to; with --update: to write\n"
          "  --help         this text\n\n"
          "Exit status: 0 done, 1 failed (compare: something is worse; instructions: not the\n"
          "budget's), 2 wrong usage.\n",
          stream);
}

static hl_exit wrong_usage(void)
{
    print_usage(stderr);
    return HL_EXIT_USAGE;
}

static void show_progress(const char *case_name, uint32_t repeat, uint32_t repeats)
{
    fprintf(stderr, "\r\033[K%s, %u of %u", case_name, repeat + 1, repeats);
}

/* False: `text` is no number; a sentence was printed. The range is the scenario's to hold. */
static bool read_number(const char *option, const char *text, double *ret_number)
{
    if (hl_real_parse(text, -DBL_MAX, DBL_MAX, ret_number))
        return true;
    hl_refuse_value("hotlane perf", option, text, "it wants a number");
    return false;
}

static bool read_repeats(const char *text, uint32_t *ret_repeats)
{
    uint64_t repeats;
    if (!hl_number_parse(text, 1, PERF_REPEATS_MAX, &repeats)) {
        char wanted[64];
        snprintf(wanted, sizeof wanted, "it wants a whole number in 1..%u", PERF_REPEATS_MAX);
        hl_refuse_value("hotlane perf", "repeats", text, wanted);
        return false;
    }
    *ret_repeats = (uint32_t)repeats;
    return true;
}

/* What was asked for; and, of an option, what it belongs to. */
typedef enum perf_asked {
    ASKED_SCENARIO = 1, /* any other */
    ASKED_HOP = 2,
    ASKED_JOURNAL = 4,
    ASKED_COMPARE = 8,
    ASKED_INSTRUCTIONS = 16,
    ASKED_MEASURING = ASKED_SCENARIO | ASKED_HOP | ASKED_JOURNAL,
    ASKED_ANY = ASKED_MEASURING | ASKED_COMPARE | ASKED_INSTRUCTIONS
} perf_asked;

typedef struct perf_option {
    struct option named;
    perf_asked belongs_to;
} perf_option;

static const perf_option perf_options_known[] = {
    {{"cores", required_argument, NULL, 'c'}, ASKED_MEASURING},
    {{"seconds", required_argument, NULL, 's'}, ASKED_MEASURING},
    {{"repeats", required_argument, NULL, 'r'}, ASKED_MEASURING},
    {{"case", required_argument, NULL, 'o'}, ASKED_MEASURING},
    {{"stall", required_argument, NULL, 't'}, ASKED_HOP},
    {{"dir", required_argument, NULL, 'd'}, ASKED_JOURNAL},
    {{"json", no_argument, NULL, 'j'}, ASKED_ANY},
    {{"hgrm", required_argument, NULL, 'g'}, ASKED_MEASURING},
    {{"plot", required_argument, NULL, 'p'}, ASKED_MEASURING},
    {{"budget", required_argument, NULL, 'b'}, ASKED_INSTRUCTIONS},
    {{"update", no_argument, NULL, 'u'}, ASKED_INSTRUCTIONS},
    {{"workload", no_argument, NULL, 'w'}, ASKED_INSTRUCTIONS},
    {{"help", no_argument, NULL, 'h'}, ASKED_ANY}};
#define PERF_OPTIONS (sizeof perf_options_known / sizeof *perf_options_known)

static perf_asked asked_by(const char *word)
{
    static const struct {
        const char *word;
        perf_asked asked;
    } special[] = {{"hop", ASKED_HOP},
                   {"journal", ASKED_JOURNAL},
                   {"compare", ASKED_COMPARE},
                   {"instructions", ASKED_INSTRUCTIONS}};
    for (size_t i = 0; i < sizeof special / sizeof *special; i++)
        if (strcmp(word, special[i].word) == 0)
            return special[i].asked;
    return ASKED_SCENARIO;
}

/* False: it would change nothing of what was asked for; a sentence was printed. */
static bool belongs(const perf_option *option, const char *word)
{
    if ((option->belongs_to & asked_by(word)) != 0)
        return true;
    fprintf(stderr, "hotlane perf: --%s is not for %s\n", option->named.name, word);
    return false;
}

/* False: its argument is wrong; a sentence was printed. */
static bool take_option(int option, perf_arguments *arguments)
{
    switch (option) {
    case 'c':
        arguments->measuring.cores = optarg;
        return true;
    case 's':
        return read_number("seconds", optarg, &arguments->measuring.seconds);
    case 'r':
        return read_repeats(optarg, &arguments->measuring.repeats);
    case 'o':
        arguments->measuring.only = optarg;
        return true;
    case 't':
        return read_number("stall", optarg, &arguments->measuring.stall_ms);
    case 'd':
        arguments->measuring.directory = optarg;
        return true;
    case 'j':
        arguments->json = true;
        return true;
    case 'g':
        arguments->hgrm_path = optarg;
        return true;
    case 'p':
        arguments->plot_path = optarg;
        return true;
    case 'b':
        arguments->budget_path = optarg;
        return true;
    case 'u':
        arguments->update = true;
        return true;
    default:
        arguments->workload = true;
        return true;
    }
}

/* argv[0] is what was asked for. HL_EXIT_OK with *ret_done: --help was asked for and given. */
static hl_exit read_arguments(int argc, char **argv, perf_arguments *arguments, bool *ret_done)
{
    struct option options[PERF_OPTIONS + 1] = {{NULL, 0, NULL, 0}};
    for (size_t i = 0; i < PERF_OPTIONS; i++)
        options[i] = perf_options_known[i].named;
    bool right = true;
    int index = 0;
    for (int option; (option = getopt_long(argc, argv, "h", options, &index)) != -1;) {
        if (option == 'h') {
            print_usage(stdout);
            *ret_done = true;
            return HL_EXIT_OK;
        }
        /* Of an unknown option getopt has said so. */
        right = right && option != '?' && belongs(&perf_options_known[index], argv[0]) &&
                take_option(option, arguments);
    }
    return right ? HL_EXIT_OK : wrong_usage();
}

/* FILE of one distribution; FILE's name with the case put in before its ending for several. */
static void hgrm_path(const char *path, const char *name, bool alone, char *ret_path, size_t room)
{
    const char *const slash = strrchr(path, '/');
    const char *const dot = strrchr(slash == NULL ? path : slash, '.');
    const size_t stem = dot == NULL ? strlen(path) : (size_t)(dot - path);
    if (alone)
        snprintf(ret_path, room, "%s", path);
    else
        snprintf(ret_path, room, "%.*s.%s%s", (int)stem, path, name, path + stem);
}

static bool write_hgrm(const perf_result *result, const char *path)
{
    if (result->distribution_count == 0) {
        fprintf(stderr,
                "hotlane perf: the cases of --case measure no latencies: nothing for --hgrm\n");
        return false;
    }
    for (uint32_t i = 0; i < result->distribution_count; i++) {
        char name[4096];
        hgrm_path(path, result->distributions[i].name, result->distribution_count == 1, name,
                  sizeof name);
        FILE *const file = fopen(name, "we");
        if (file == NULL) {
            fprintf(stderr, "hotlane perf: %s: %s\n", name, strerror(errno));
            return false;
        }
        perf_hgrm_write(result->distributions[i].ns, 1000, file);
        const bool failed = ferror(file) != 0;
        if (fclose(file) != 0 || failed) {
            fprintf(stderr, "hotlane perf: %s: cannot be written\n", name);
            return false;
        }
    }
    return true;
}

/* False: a file cannot come to be there; a sentence was printed. What a file of that name holds
 * stays until the result is there. */
static bool may_write(const char *option, const char *path)
{
    char directory[4096];
    const char *const slash = strrchr(path, '/');
    snprintf(directory, sizeof directory, "%.*s", slash == NULL ? 1 : (int)(slash - path) + 1,
             slash == NULL ? "." : path);
    struct stat found;
    if (path[0] == '\0')
        errno = ENOENT;
    else if ((slash != NULL && slash[1] == '\0') ||
             (stat(path, &found) == 0 && S_ISDIR(found.st_mode)))
        errno = EISDIR;
    else if (access(path, W_OK) == 0 || (errno == ENOENT && access(directory, W_OK | X_OK) == 0))
        return true;
    fprintf(stderr, "hotlane perf: --%s \"%s\": %s\n", option, path, strerror(errno));
    return false;
}

/* Whether the files that were asked for can be written, as far as can be known before it is
 * measured what goes into them. */
static bool may_write_all(const perf_scenario *scenario, const perf_arguments *arguments)
{
    hl_error error;
    if (arguments->hgrm_path != NULL && !scenario->has_latencies) {
        fprintf(stderr, "hotlane perf: %s measures no latencies: nothing for --hgrm\n",
                scenario->name);
        return false;
    }
    if (arguments->plot_path != NULL && perf_plot_ready(&error) != HL_OK) {
        fprintf(stderr, "hotlane perf: %s\n", error.text);
        return false;
    }
    return (arguments->hgrm_path == NULL || may_write("hgrm", arguments->hgrm_path)) &&
           (arguments->plot_path == NULL || may_write("plot", arguments->plot_path));
}

static void print_json(json_t *object)
{
    json_dumpf(object, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(object);
}

static void print_result(const perf_result *result, bool json)
{
#ifdef HL_HAVE_PEERS
    if (strcmp(result->scenario, perf_peers_scenario.name) == 0) {
        if (json)
            print_json(perf_peers_json(result));
        else
            perf_peers_print(result, stdout);
        return;
    }
#endif
    if (json)
        print_json(perf_result_json(result));
    else
        perf_result_print(result, stdout);
}

static hl_exit show(const perf_result *result, const perf_arguments *arguments)
{
    print_result(result, arguments->json);
    hl_exit outcome = HL_EXIT_OK;
    if (arguments->hgrm_path != NULL && !write_hgrm(result, arguments->hgrm_path))
        outcome = HL_EXIT_FAILED;
    hl_error error;
    if (arguments->plot_path != NULL &&
        perf_plot_write(result, arguments->plot_path, &error) != HL_OK) {
        fprintf(stderr, "hotlane perf: %s\n", error.text);
        outcome = HL_EXIT_FAILED;
    }
    return outcome;
}

static hl_exit run_scenario(const perf_scenario *scenario, int argc, char **argv)
{
    perf_arguments arguments = {.measuring = PERF_OPTIONS_INIT};
    bool done = false;
    const hl_exit read = read_arguments(argc, argv, &arguments, &done);
    if (done || read != HL_EXIT_OK)
        return read;
    if (optind != argc) {
        fprintf(stderr, "hotlane perf: \"%s\" is one too many: name one scenario\n", argv[optind]);
        return wrong_usage();
    }
    if (!may_write_all(scenario, &arguments))
        return HL_EXIT_FAILED;
    const bool shows_progress = isatty(STDERR_FILENO) != 0;
    if (shows_progress)
        arguments.measuring.progress = show_progress;
    perf_result *result = NULL;
    hl_error error;
    const hl_status status = perf_scenario_run(scenario, &arguments.measuring, &result, &error);
    if (shows_progress)
        fputs("\r\033[K", stderr);
    if (status != HL_OK) {
        fprintf(stderr, "hotlane perf: %s\n", error.text);
        const bool asked_wrongly = status == HL_INVALID || status == HL_NOT_FOUND;
        return asked_wrongly ? HL_EXIT_USAGE : HL_EXIT_FAILED;
    }
    const hl_exit outcome = show(result, &arguments);
    perf_result_destroy(result);
    return outcome;
}

static hl_exit run_peers(int argc, char **argv)
{
#ifdef HL_HAVE_PEERS
    return run_scenario(&perf_peers_scenario, argc, argv);
#else
    (void)argc;
    (void)argv;
    fputs("hotlane perf: this hotlane was built without its peers: `meson configure BUILD "
          "-Dpeers=auto`, "
          "then build again\n",
          stderr);
    return HL_EXIT_FAILED;
#endif
}

static hl_exit show_comparison(const json_t *before, const json_t *after, bool json)
{
    perf_comparison comparison;
    hl_error error;
    if (perf_compare(before, after, &comparison, &error) != HL_OK) {
        fprintf(stderr, "hotlane perf: %s\n", error.text);
        return HL_EXIT_FAILED;
    }
    if (json)
        print_json(perf_compare_json(&comparison));
    else
        perf_compare_print(&comparison, stdout);
    const bool worse = comparison.counts[PERF_WORSE] != 0;
    perf_compare_free(&comparison);
    return worse ? HL_EXIT_FAILED : HL_EXIT_OK;
}

static hl_exit compare(int argc, char **argv)
{
    perf_arguments arguments = {.measuring = PERF_OPTIONS_INIT};
    bool done = false;
    const hl_exit read = read_arguments(argc, argv, &arguments, &done);
    if (done || read != HL_EXIT_OK)
        return read;
    if (argc - optind != 2) {
        fputs("hotlane perf: compare wants two files, the result before and the one after\n",
              stderr);
        return wrong_usage();
    }
    json_t *before = NULL;
    json_t *after = NULL;
    hl_error error;
    hl_exit outcome = HL_EXIT_FAILED;
    if (perf_compare_load(argv[optind], &before, &error) != HL_OK ||
        perf_compare_load(argv[optind + 1], &after, &error) != HL_OK)
        fprintf(stderr, "hotlane perf: %s\n", error.text);
    else
        outcome = show_comparison(before, after, arguments.json);
    json_decref(before);
    json_decref(after);
    return outcome;
}

static hl_exit hold_to_budget(const perf_instruction_counts *counts,
                              const perf_arguments *arguments)
{
    hl_error error;
    const hl_status status = arguments->update
                                 ? perf_budget_write(arguments->budget_path, counts, &error)
                                 : perf_budget_check(arguments->budget_path, counts, &error);
    if (status != HL_OK)
        fprintf(stderr, "hotlane perf: %s\n", error.text);
    /* The budget of another build is not broken. */
    return status == HL_OK || status == HL_UNSUPPORTED ? HL_EXIT_OK : HL_EXIT_FAILED;
}

static hl_exit count_instructions(int argc, char **argv)
{
    perf_arguments arguments = {.measuring = PERF_OPTIONS_INIT};
    bool done = false;
    const hl_exit read = read_arguments(argc, argv, &arguments, &done);
    if (done || read != HL_EXIT_OK)
        return read;
    if (arguments.update && arguments.budget_path == NULL) {
        fputs("hotlane perf: --update wants --budget FILE\n", stderr);
        return wrong_usage();
    }
    hl_error error;
    perf_instruction_counts counts;
    hl_status status = perf_environment_refuse_debug(&error);
    if (status == HL_OK)
        status = arguments.workload ? perf_instructions_workload(&error)
                                    : perf_instructions_count(&counts, &error);
    if (status != HL_OK) {
        fprintf(stderr, "hotlane perf: %s\n", error.text);
        return HL_EXIT_FAILED;
    }
    if (arguments.workload)
        return HL_EXIT_OK;
    if (arguments.json)
        print_json(perf_instructions_json(&counts));
    else
        perf_instructions_print(&counts, stdout);
    return arguments.budget_path == NULL ? HL_EXIT_OK : hold_to_budget(&counts, &arguments);
}

#define NAMES_MAX 64

static hl_exit refuse_unknown(const char *word)
{
    const char *names[NAMES_MAX] = {"compare", "instructions", "peers"};
    uint32_t count, named = 3;
    const perf_scenario *const scenarios = perf_scenarios(&count);
    for (uint32_t i = 0; i < count && named < NAMES_MAX; i++)
        names[named++] = scenarios[i].name;
    return hl_refuse_unknown("hotlane perf", "scenario", word, names, named);
}

hl_exit hl_command_perf(int argc, char **argv)
{
    if (argc < 2)
        return wrong_usage();
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_usage(stdout);
        return HL_EXIT_OK;
    }
    if (strcmp(argv[1], "compare") == 0)
        return compare(argc - 1, argv + 1);
    if (strcmp(argv[1], "instructions") == 0)
        return count_instructions(argc - 1, argv + 1);
    if (strcmp(argv[1], "peers") == 0)
        return run_peers(argc - 1, argv + 1);
    const perf_scenario *const scenario = perf_scenario_find(argv[1]);
    if (scenario == NULL)
        return refuse_unknown(argv[1]);
    return run_scenario(scenario, argc - 1, argv + 1);
}
