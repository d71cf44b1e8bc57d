#include "run_options.h"

#include <ctype.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "base/number.h"
#include "speed.h"

#define MOST_SECONDS 1e9

enum {
    OPTION_INPUT = 256,
    OPTION_CONFIG,
    OPTION_LCORES,
    OPTION_DLQ,
    OPTION_STALL_BACKTRACE,
    OPTION_LOG,
    OPTION_JOURNAL,
    OPTION_DURABILITY,
    OPTION_ACKNOWLEDGE,
    OPTION_KEY_FILE,
    OPTION_RECOVER,
    OPTION_SNAPSHOT_EVENTS,
    OPTION_SNAPSHOT_INTERVAL,
    OPTION_REPLAY,
    OPTION_RECOMPUTE,
    OPTION_SPEED,
    OPTION_RATE,
    OPTION_BURST,
    OPTION_LADDER,
    OPTION_LIMIT,
    OPTION_DETERMINISTIC,
    OPTION_REPEAT,
    OPTION_DURATION,
    OPTION_MAX_ERRORS,
    OPTION_NO_HASH,
    OPTION_JSON,
    OPTION_HELP
};

static const struct option long_options[] = {
    {"input", required_argument, NULL, OPTION_INPUT},
    {"config", required_argument, NULL, OPTION_CONFIG},
    {"lcores", required_argument, NULL, OPTION_LCORES},
    {"dlq", required_argument, NULL, OPTION_DLQ},
    {"stall-backtrace", no_argument, NULL, OPTION_STALL_BACKTRACE},
    {"log", required_argument, NULL, OPTION_LOG},
    {"journal", required_argument, NULL, OPTION_JOURNAL},
    {"durability", required_argument, NULL, OPTION_DURABILITY},
    {"acknowledge", required_argument, NULL, OPTION_ACKNOWLEDGE},
    {"key-file", required_argument, NULL, OPTION_KEY_FILE},
    {"recover", no_argument, NULL, OPTION_RECOVER},
    {"snapshot-events", required_argument, NULL, OPTION_SNAPSHOT_EVENTS},
    {"snapshot-interval", required_argument, NULL, OPTION_SNAPSHOT_INTERVAL},
    {"replay", required_argument, NULL, OPTION_REPLAY},
    {"recompute", no_argument, NULL, OPTION_RECOMPUTE},
    {"speed", required_argument, NULL, OPTION_SPEED},
    {"rate", required_argument, NULL, OPTION_RATE},
    {"burst", required_argument, NULL, OPTION_BURST},
    {"ladder", no_argument, NULL, OPTION_LADDER},
    {"limit", required_argument, NULL, OPTION_LIMIT},
    {"deterministic", optional_argument, NULL, OPTION_DETERMINISTIC},
    {"repeat", optional_argument, NULL, OPTION_REPEAT},
    {"duration", required_argument, NULL, OPTION_DURATION},
    {"max-errors", required_argument, NULL, OPTION_MAX_ERRORS},
    {"no-hash", no_argument, NULL, OPTION_NO_HASH},
    {"json", no_argument, NULL, OPTION_JSON},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

void run_options_print_usage(FILE *stream)
{
    fputs(
        "usage: hotlane run [OPTION...]\n\n"
        "Takes market data through the bus, from feed to fill, and checks that nothing was "
        "lost.\n\n"
        "  --input SPEC        itch:FILE, lobster:FILE, dbn:FILE (each plain, .gz or .zst) or\n"
        "                      synthetic:SEED; several times for several feeds, each with a "
        "thread\n"
        "                      of its own (default " RUN_DEFAULT_INPUT ")\n"
        "  --config FILE       configuration of the bus, YAML (see hotlane check)\n"
        "  --lcores PLAN       placement by hand, as 'order@2,market_data@4,housekeeping@0'\n"
        "  --dlq FILE          keep dead letters in FILE, too (see hotlane dlq)\n"
        "  --log LEVEL         what the bus says goes to stderr: nothing, error, warning or info\n"
        "                      (default: log_level of --config, nothing without it)\n"
        "  --stall-backtrace   say where a stalled thread is, in system.stalled\n"
        "  --journal DIR       write every event down there, and go on behind what is there\n"
        "  --durability LIST   how safely, by domain: off, async or sync, as "
        "'order=sync,market_data=off'\n"
        "                      (default async)\n"
        "  --acknowledge FILE  append to FILE, as it goes, which sequences of each partition are\n"
        "                      given out, written and durable\n"
        "  --key-file FILE     keys of the journal: its snapshots are encrypted with the first "
        "(default:\n"
        "                      the configuration's, else HOTLANE_JOURNAL_KEY_FILE or "
        "HOTLANE_JOURNAL_KEY)\n"
        "  --recover           first bring books, positions and all other state up from the "
        "newest\n"
        "                      snapshots and the journal behind them, then go on where it was: "
        "each\n"
        "                      input behind its last message in the journal\n"
        "  --snapshot-events N, --snapshot-interval T  a snapshot of a partition's state after so\n"
        "                      many of its events, or so long (default: the configuration's, 1m)\n"
        "  --replay DIR        instead of the inputs (which name the instruments), replay the "
        "journal DIR\n"
        "  --recompute         of --replay: feed external events only, and compare what the "
        "pipeline\n"
        "                      publishes with the journal: exit 1 and the first difference\n"
        "  --speed S           max (default), or paced by the data's own times: 1x, 10x, 0.5x\n"
        "  --rate N            paced evenly instead: N messages a second, per input\n"
        "  --burst N           replay the day with its busiest second N times as dense; paced by\n"
        "                      the data's own times (--speed, else 1x), and a full lane is load:\n"
        "                      market_data rejects instead of making the feed wait\n"
        "  --ladder            report each step of the ladder (system.throttle), with its time "
        "and\n"
        "                      cause. At full speed the ladder is off unless this is given: what\n"
        "                      comes as fast as the bus takes it is no load\n"
        "  --limit N           the first N messages of each input only\n"
        "  --repeat [N]        publish each input N times, its times shifted; without N, or 0:\n"
        "                      again and again, until --duration or Ctrl-C\n"
        "  --duration T        end after T seconds, or 500ms, 2m, 1h\n"
        "  --max-errors N      pass over up to N bad records of an input (default 0: stop at the\n"
        "                      first)\n"
        "  --deterministic[=SEED]  one thread turns feeds and partitions, in an order drawn from\n"
        "                      SEED (default 1), under a virtual clock: the same hashes always\n"
        "  --no-hash           do not hash what is dispatched\n"
        "  --json              one JSON object on stdout\n"
        "  --help              this text\n\n"
        "Ctrl-C drains, reports and exits 0; a second one ends at once. Exit status: 0 done, 1 "
        "failed (bad\n"
        "input, or the sums do not hold), 2 wrong usage (also a configuration or a placement "
        "that cannot\n"
        "be used).\n",
        stream);
}

static __attribute__((format(printf, 1, 2))) hl_parse refuse(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("hotlane run: ", stderr);
    vfprintf(stderr, format, arguments);
    fputs("\n", stderr);
    va_end(arguments);
    return HL_PARSE_WRONG;
}

/* Seconds, or a number with its unit. */
static bool parse_duration(const char *text, uint64_t *ret_ns)
{
    static const struct {
        const char *unit;
        double seconds;
    } units[] = {{"", 1.0}, {"s", 1.0}, {"ms", 1e-3}, {"us", 1e-6}, {"m", 60.0}, {"h", 3600.0}};
    double number;
    const char *end;
    if (!hl_real_begin(text, &number, &end))
        return false;
    for (size_t row = 0; row < sizeof units / sizeof units[0]; row++) {
        const double seconds = number * units[row].seconds;
        if (strcmp(end, units[row].unit) != 0)
            continue;
        if (!(seconds >= 1e-6 && seconds <= MOST_SECONDS))
            return false;
        *ret_ns = (uint64_t)(seconds * 1e9);
        return true;
    }
    return false;
}

/* --repeat takes its number with '=' or as the next word, when that is a number. */
static const char *repeat_argument(int argc, char **argv)
{
    if (optarg != NULL)
        return optarg;
    if (optind < argc && isdigit((unsigned char)argv[optind][0]))
        return argv[optind++];
    return "0";
}

static hl_parse take_log_level(run_options *options, const char *word)
{
    for (int level = HL_LOG_INFO; level <= HL_LOG_NOTHING; level++)
        if (strcmp(word, hl_log_level_name((hl_log_level)level)) == 0) {
            options->log_level = level;
            return HL_PARSE_OK;
        }
    return hl_refuse_value("hotlane run", "log", word, "use nothing, error, warning or info");
}

static hl_parse take_input(run_options *options, const char *spec)
{
    if (options->input_count == MARKET_INPUTS_MAX)
        return refuse("--input: more than %d inputs: name fewer", MARKET_INPUTS_MAX);
    options->inputs[options->input_count++] = spec;
    return HL_PARSE_OK;
}

static hl_parse take_count(const char *option, const char *text, uint64_t least, uint64_t *ret)
{
    char wanted[64];
    snprintf(wanted, sizeof wanted, "use a whole number of at least %" PRIu64, least);
    return hl_number_parse(text, least, UINT64_MAX, ret)
               ? HL_PARSE_OK
               : hl_refuse_value("hotlane run", option, text, wanted);
}

static hl_parse take_speed(run_options *options, const char *text)
{
    return speed_parse(text, &options->speed)
               ? HL_PARSE_OK
               : hl_refuse_value("hotlane run", "speed", text, "use max, 1x, 10x or 0.5x");
}

static hl_parse take_duration(const char *option, const char *text, uint64_t *ret_ns)
{
    return parse_duration(text, ret_ns)
               ? HL_PARSE_OK
               : hl_refuse_value("hotlane run", option, text, "use 10, 10s, 500ms, 2m or 1h");
}

static hl_parse take(run_options *options, int option, int argc, char **argv)
{
    switch (option) {
    case OPTION_INPUT:
        return take_input(options, optarg);
    case OPTION_CONFIG:
        options->config_path = optarg;
        return HL_PARSE_OK;
    case OPTION_LCORES:
        options->lcores = optarg;
        return HL_PARSE_OK;
    case OPTION_DLQ:
        options->dlq_path = optarg;
        return HL_PARSE_OK;
    case OPTION_STALL_BACKTRACE:
        options->stall_backtrace = true;
        return HL_PARSE_OK;
    case OPTION_LOG:
        return take_log_level(options, optarg);
    case OPTION_JOURNAL:
        options->journal_dir = optarg;
        return HL_PARSE_OK;
    case OPTION_ACKNOWLEDGE:
        options->acknowledge_path = optarg;
        return HL_PARSE_OK;
    case OPTION_KEY_FILE:
        options->key_file = optarg;
        return HL_PARSE_OK;
    case OPTION_RECOVER:
        options->recover = true;
        return HL_PARSE_OK;
    case OPTION_SNAPSHOT_EVENTS:
        return take_count("snapshot-events", optarg, 1, &options->snapshot_events);
    case OPTION_SNAPSHOT_INTERVAL:
        return take_duration("snapshot-interval", optarg, &options->snapshot_interval_ns);
    case OPTION_REPLAY:
        options->replay_dir = optarg;
        return HL_PARSE_OK;
    case OPTION_RECOMPUTE:
        options->recompute = true;
        return HL_PARSE_OK;
    case OPTION_DURABILITY:
        options->durability = optarg;
        return HL_PARSE_OK;
    case OPTION_SPEED:
        return take_speed(options, optarg);
    case OPTION_RATE:
        return take_count("rate", optarg, 1, &options->rate);
    case OPTION_BURST:
        return take_count("burst", optarg, 1, &options->burst);
    case OPTION_LADDER:
        options->ladder = true;
        return HL_PARSE_OK;
    case OPTION_LIMIT:
        return take_count("limit", optarg, 1, &options->limit);
    case OPTION_DETERMINISTIC:
        options->deterministic = true;
        return optarg == NULL ? HL_PARSE_OK
                              : take_count("deterministic", optarg, 0, &options->seed);
    case OPTION_REPEAT:
        return take_count("repeat", repeat_argument(argc, argv), 0, &options->passes);
    case OPTION_DURATION:
        return take_duration("duration", optarg, &options->duration_ns);
    case OPTION_MAX_ERRORS:
        return take_count("max-errors", optarg, 0, &options->max_errors);
    case OPTION_NO_HASH:
        options->audit = false;
        return HL_PARSE_OK;
    case OPTION_JSON:
        options->json = true;
        return HL_PARSE_OK;
    case OPTION_HELP:
        return HL_PARSE_HELP;
    case ':':
        return refuse("%s needs a value: see hotlane run --help", argv[optind - 1]);
    default:
        return refuse("'%s' is no option of it: see hotlane run --help", argv[optind - 1]);
    }
}

static hl_parse check(const run_options *options)
{
    if (options->rate != 0 && options->speed > 0.0)
        return refuse("--rate and --speed say two paces: give one of them");
    if (options->deterministic && (options->rate != 0 || options->speed > 0.0))
        return refuse("--deterministic runs under a virtual clock: leave out --rate and --speed");
    if (options->burst != 0 && options->rate != 0)
        return refuse("--burst is paced by the data's own times: leave out --rate");
    if (options->burst > 1000000)
        return refuse("--burst: %llu times as dense is beyond a nanosecond: say at most 1000000",
                      (unsigned long long)options->burst);
    if (options->deterministic && (options->burst != 0 || options->ladder))
        return refuse("--deterministic has no load: leave out --burst and --ladder");
    if (options->replay_dir != NULL && (options->journal_dir != NULL || options->recover))
        return refuse("--replay writes no journal: leave out --journal and --recover");
    if (options->recompute && options->replay_dir == NULL)
        return refuse("--recompute is a way to --replay: name the journal");
    if (options->acknowledge_path != NULL && options->replay_dir != NULL)
        return refuse("--acknowledge tells of a journal that is written: leave out --replay");
    if (options->recover && options->journal_dir == NULL && options->config_path == NULL)
        return refuse("--recover needs a journal: name it with --journal");
    if (options->deterministic && options->lcores != NULL)
        return refuse("--deterministic runs on one thread: leave out --lcores");
    return HL_PARSE_OK;
}

void run_options_init(run_options *ret_options)
{
    const hl_journal_reader_options reading = HL_JOURNAL_READER_OPTIONS_INIT;
    *ret_options =
        (run_options){.passes = 1, .seed = 1, .audit = true, .log_level = -1, .reading = reading};
}

hl_parse run_options_parse(int argc, char **argv, run_options *ret_options)
{
    run_options options;
    run_options_init(&options);
    optind = 0; /* anew: the command line was looked at before */
    opterr = 0;
    int option;
    /* '+': stop at the first word that is no option; ':': tell a missing value apart. */
    while ((option = getopt_long(argc, argv, "+:h", long_options, NULL)) != -1) {
        const hl_parse parsed = take(&options, option == 'h' ? OPTION_HELP : option, argc, argv);
        if (parsed != HL_PARSE_OK)
            return parsed;
    }
    if (optind < argc)
        return refuse("'%s' is not expected here: inputs are named with --input", argv[optind]);
    if (options.input_count == 0)
        options.inputs[options.input_count++] = RUN_DEFAULT_INPUT;
    const hl_parse checked = check(&options);
    if (options.burst != 0 && options.speed <= 0.0)
        options.speed = 1.0;
    if (checked == HL_PARSE_OK)
        *ret_options = options;
    return checked;
}
