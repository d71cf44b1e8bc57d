#include "topology_options.h"

#include <getopt.h>
#include <string.h>

#include "base/number.h"

enum {
    INPUT = 256,
    ROOT,
    CPUS,
    CONFIG,
    LCORES,
    NIC,
    PUBLISHERS,
    WORKERS,
    JOURNALS,
    JSON,
    SVG,
    PNG,
    CHECK,
    STRICT,
    ALL,
    INTERVAL,
    PID,
    MEASURE,
    MEASURE_CPUS,
    SECONDS,
    FOLDER
};

static const struct option known[] = {{"input", required_argument, NULL, INPUT},
                                      {"root", required_argument, NULL, ROOT},
                                      {"cpus", required_argument, NULL, CPUS},
                                      {"config", required_argument, NULL, CONFIG},
                                      {"lcores", required_argument, NULL, LCORES},
                                      {"nic", required_argument, NULL, NIC},
                                      {"publishers", required_argument, NULL, PUBLISHERS},
                                      {"workers", required_argument, NULL, WORKERS},
                                      {"journals", required_argument, NULL, JOURNALS},
                                      {"json", no_argument, NULL, JSON},
                                      {"svg", required_argument, NULL, SVG},
                                      {"png", required_argument, NULL, PNG},
                                      {"check", no_argument, NULL, CHECK},
                                      {"strict", no_argument, NULL, STRICT},
                                      {"all", no_argument, NULL, ALL},
                                      {"interval", required_argument, NULL, INTERVAL},
                                      {"pid", required_argument, NULL, PID},
                                      {"measure", no_argument, NULL, MEASURE},
                                      {"measure-cpus", required_argument, NULL, MEASURE_CPUS},
                                      {"seconds", required_argument, NULL, SECONDS},
                                      {"journal-dir", required_argument, NULL, FOLDER},
                                      {"help", no_argument, NULL, 'h'},
                                      {NULL, 0, NULL, 0}};

void topology_options_print_usage(FILE *stream)
{
    fputs(
        "usage: hotlane topology [OPTION...]\n"
        "       hotlane topology capture OUT.tar\n\n"
        "The machine, the placement of every thread and why, and what is wrong with the machine\n"
        "for that. Changes nothing. `capture` makes the readings of this machine into an archive.\n"
        "\n"
        "The machine\n"
        "  --input X          an hwloc XML file, or a synthetic one: \"pack:2 core:12 pu:2\"\n"
        "  --root DIR         /proc and /sys of a captured host, instead of this one's\n"
        "  --cpus LIST        use these only: 0-3,8\n"
        "The plan\n"
        "  --config FILE      a configuration; without one, the six default domains\n"
        "  --lcores TEXT      by hand: 'order@2,fill@4,market_data@(6,8),housekeeping@0'\n"
        "  --nic NAME         near this network device\n"
        "  --publishers A,B   publishers besides those of the configuration\n"
        "  --workers N        room for so many workers\n"
        "  --journals N       room for so many journal threads\n"
        "The checks\n"
        "  --check            only what is not well: a gate for deployment\n"
        "  --strict           a WARN counts as a FAIL\n"
        "  --all              also what does not apply\n"
        "  --interval S       how long interrupts are counted on this machine (1; 0: not at all)\n"
        "  --pid PID          look at the threads of this running bus, too\n"
        "Measures\n"
        "  --measure          gaps of a busy loop, core to core, timer, fdatasync; takes seconds\n"
        "  --measure-cpus L   on these CPUs, or `all` (default: those with a hot thread)\n"
        "  --seconds S        of the busy loop, and of fdatasync at most (1)\n"
        "  --journal-dir DIR  whose disk is measured (.)\n"
        "How it looks\n"
        "  --json             one JSON object\n"
        "  --svg FILE         a picture; `-` is stdout, instead of the text\n"
        "  --png FILE         the same through rsvg-convert, inkscape or ImageMagick\n"
        "  --help             this text\n\n"
        "Exit status: 0 all is well, 1 a check is FAIL, 2 wrong usage or unreadable input.\n",
        stream);
}

static hl_parse wrong(const char *option, const char *value, const char *wanted)
{
    return hl_refuse_value("hotlane topology", option, value, wanted);
}

static hl_parse split_publishers(char *text, topology_options *options)
{
    char *rest = NULL;
    for (char *name = strtok_r(text, ", ", &rest); name; name = strtok_r(NULL, ", ", &rest)) {
        if (options->publisher_count == TOPOLOGY_PUBLISHERS_MAX)
            return wrong("publishers", name, "at most 64 can be named");
        options->publishers[options->publisher_count++] = name;
    }
    return HL_PARSE_OK;
}

static hl_parse take_number(int option, const char *name, topology_options *options)
{
    double seconds;
    uint64_t count;
    switch (option) {
    case WORKERS:
        if (!hl_number_parse(optarg, 0, 1024, &count))
            return wrong(name, optarg, "use 0 to 1024");
        options->workers = (uint32_t)count;
        return HL_PARSE_OK;
    case JOURNALS:
        if (!hl_number_parse(optarg, 0, 64, &count))
            return wrong(name, optarg, "use 0 to 64");
        options->journals = (uint32_t)count;
        return HL_PARSE_OK;
    case PID:
        if (!hl_number_parse(optarg, 1, 1u << 22, &count))
            return wrong(name, optarg, "use the number of a running process");
        options->pid = (int)count;
        return HL_PARSE_OK;
    case INTERVAL:
        if (!hl_real_parse(optarg, 0, 60, &seconds))
            return wrong(name, optarg, "use 0 to 60 seconds");
        options->interval_ms = (uint32_t)(seconds * 1e3);
        return HL_PARSE_OK;
    default:
        return hl_real_parse(optarg, 0.01, 600, &options->seconds)
                   ? HL_PARSE_OK
                   : wrong(name, optarg, "use 0.01 to 600 seconds");
    }
}

static hl_parse take(int option, const char *name, topology_options *options)
{
    const char **const texts[] = {[INPUT - INPUT] = &options->input,
                                  [ROOT - INPUT] = &options->root,
                                  [CPUS - INPUT] = &options->cpus,
                                  [CONFIG - INPUT] = &options->config,
                                  [LCORES - INPUT] = &options->lcores,
                                  [NIC - INPUT] = &options->nic,
                                  [SVG - INPUT] = &options->svg,
                                  [PNG - INPUT] = &options->png,
                                  [MEASURE_CPUS - INPUT] = &options->measured_cpus,
                                  [FOLDER - INPUT] = &options->folder};
    bool *const flags[] = {[JSON - INPUT] = &options->json,
                           [CHECK - INPUT] = &options->only_checks,
                           [STRICT - INPUT] = &options->strict,
                           [ALL - INPUT] = &options->all,
                           [MEASURE - INPUT] = &options->measure};
    const size_t at = (size_t)(option - INPUT);
    if (option == PUBLISHERS)
        return split_publishers(optarg, options);
    if (at < sizeof texts / sizeof texts[0] && texts[at] != NULL) {
        *texts[at] = optarg;
        return HL_PARSE_OK;
    }
    if (at < sizeof flags / sizeof flags[0] && flags[at] != NULL) {
        *flags[at] = true;
        return HL_PARSE_OK;
    }
    return take_number(option, name, options);
}

/* Two forms cannot share stdout. */
static hl_parse check_forms(const topology_options *options)
{
    if (options->json && options->svg != NULL && strcmp(options->svg, "-") == 0) {
        fputs(
            "hotlane topology: --json and --svg - both want stdout; name a file for the picture\n",
            stderr);
        return HL_PARSE_WRONG;
    }
    return HL_PARSE_OK;
}

static hl_parse take_words(int argc, char **argv, topology_options *options)
{
    if (optind == argc)
        return check_forms(options);
    if (strcmp(argv[optind], "capture") != 0) {
        fprintf(stderr, "hotlane topology: \"%s\": no such word here; `capture OUT.tar` is one\n",
                argv[optind]);
        return HL_PARSE_WRONG;
    }
    if (argc - optind != 2) {
        fputs("hotlane topology: capture: name one archive, OUT.tar\n", stderr);
        return HL_PARSE_WRONG;
    }
    options->capture = argv[optind + 1];
    return HL_PARSE_OK;
}

hl_parse topology_options_parse(int argc, char **argv, topology_options *ret_options)
{
    *ret_options = (topology_options){.seconds = 1.0, .interval_ms = 1000, .folder = "."};
    int index = 0;
    for (int option; (option = getopt_long(argc, argv, "h", known, &index)) != -1;) {
        if (option == 'h')
            return HL_PARSE_HELP;
        if (option == '?') { /* getopt has named the option */
            fputs("hotlane topology: `hotlane topology --help` lists the options\n", stderr);
            return HL_PARSE_WRONG;
        }
        const hl_parse outcome = take(option, known[index].name, ret_options);
        if (outcome != HL_PARSE_OK)
            return outcome;
    }
    return take_words(argc, argv, ret_options);
}
