#include "journal_options.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <hotlane/event.h>

#include "base/error.h"
#include "base/number.h"
#include "journal/crypt.h"
#include "journal/segment.h"
#include "moment.h"
#include "speed.h"

#define NS_PER_SECOND (uint64_t)1000000000

/* letter, name, whether it has a value, what it does. A subcommand takes those of its letters. */
typedef struct journal_option {
    char letter;
    const char *name;
    const char *value; /* NULL: none */
    const char *help;
} journal_option;

static const journal_option table[] = {
    {'j', "json", NULL, "one JSON object on stdout (tail: one a line)"},
    {'p', "partition", "NAME", "only this domain, or shard: order, order.3"},
    {'t', "topic", "PATTERN", "only these topics: 'order.*', 'market_data.>'"},
    {'k', "key", "N", "only this key (decimal, or 0x...)"},
    {'c', "correlation", "ID", "only this story: an id, or PARTITION:SEQUENCE; cat shows a tree"},
    {'a', "from", "TIME", "published then or later: 2026-11-21, 2026-11-21T09:30:00.5, ns"},
    {'b', "to", "TIME", "published then or earlier (a day: to its end)"},
    {'A', "from-sequence", "N", "from this sequence of each partition"},
    {'B', "to-sequence", "N", "to this sequence of each partition; 1 or more"},
    {'n', "limit", "N", "at most N events, 1 or more (tail: begin with the last N; default 10)"},
    {'f', "follow", NULL, "go on as events come"},
    {'u', "cursor", "NAME", "begin where this cursor stands, store it at the end"},
    {'s', "salvage", NULL, "go on behind damage, and tell it"},
    {'K', "key-file", "FILE", "keys of what is encrypted (else HOTLANE_JOURNAL_KEY[_FILE])"},
    {'o', "output", "PATH", "directory for JSON Lines, file for SQLite"},
    {'q', "sqlite", NULL, "into an SQLite database, only what is new"},
    {'z', "zstd", NULL, "compress the files"},
    {'r', "replace", NULL, "write files anew that are there"},
    {'S', "speed", "S", "1x (default), 10x, 0.5x of the original pace, or max"},
    {'P', "pipeline", NULL, "into the reference pipeline, which reports its books and positions"},
    {'O', "recompute", NULL, "feed it external events only, and compare what it publishes"},
    {'M', "make", NULL, "rebuild the reference pipeline from the newest, snapshot it now"},
    {'R', "rebuild", NULL, "rebuild it as of --to or --to-sequence, and report it"},
    {'i', "input", "SPEC", "an input it was fed, as of hotlane run; once for each"},
    {'g', "keep", "TIME", "remove segments older than this: 30d, 12h, 90m, 10s"},
    {'G', "keep-bytes", "SIZE", "remove the oldest above this size: 500M, 20G"},
    {'F', "force", NULL, "remove even what a cursor or snapshot needs, and say so"},
    {'d', "dry-run", NULL, "say what would be done"},
    {'N', "no-pack", NULL, "do not compress or encrypt"},
    {'e', "encrypt", NULL, "encrypt what is packed, with the first key"},
    {'l', "level", "N", "of compression, 1 to 19 (default 3)"},
    {'h', "help", NULL, "this text"},
};

#define OPTIONS (sizeof table / sizeof *table)

static void print_usage(const journal_command *command, FILE *stream)
{
    fprintf(stream, "usage: hotlane journal %s [OPTION...] %s\n\n%s.\n\n", command->name,
            command->operands, command->summary);
    for (size_t i = 0; i < OPTIONS; i++)
        if (strchr(command->letters, table[i].letter) != NULL || table[i].letter == 'h')
            fprintf(stream, "  --%s%s%-*s %s\n", table[i].name, table[i].value != NULL ? " " : "",
                    (int)(21 - strlen(table[i].name) - (table[i].value != NULL)),
                    table[i].value != NULL ? table[i].value : "", table[i].help);
    fputs("\nExit status: 0 done (verify: sound), 1 failed (verify: damage), 2 wrong usage.\n",
          stream);
}

static bool parse_number(const char *text, uint64_t *ret_value)
{
    return hl_number_parse(text, 0, UINT64_MAX, ret_value);
}

/* An id, or "1:42": partition 1, sequence 42. */
static bool parse_id(const char *text, uint64_t *ret_id)
{
    uint64_t partition, sequence;
    const char *end;
    if (strchr(text, ':') == NULL)
        return parse_number(text, ret_id);
    if (!hl_number_begin(text, &partition, &end) || *end != ':' || partition > 1023 ||
        !hl_number_parse(end + 1, 0, ((uint64_t)1 << HL_ID_SEQUENCE_BITS) - 1, &sequence))
        return false;
    *ret_id = hl_event_id_of((uint32_t)partition, sequence);
    return true;
}

/* A number with one of the units behind it. */
static bool parse_scaled(const char *text, const char *units, const uint64_t *scales,
                         uint64_t *ret_value)
{
    uint64_t value;
    const char *end;
    if (!hl_number_begin(text, &value, &end))
        return false;
    const char *const unit = *end == '\0' ? NULL : strchr(units, *end);
    if (unit == NULL || end[1] != '\0' || value > UINT64_MAX / scales[unit - units])
        return false;
    *ret_value = value * scales[unit - units];
    return true;
}

static bool parse_age(const char *text, uint64_t *ret_ns)
{
    static const uint64_t scales[] = {NS_PER_SECOND, 60 * NS_PER_SECOND, 3600 * NS_PER_SECOND,
                                      86400 * NS_PER_SECOND};
    return parse_scaled(text, "smhd", scales, ret_ns) && *ret_ns > 0;
}

static bool parse_size(const char *text, uint64_t *ret_bytes)
{
    static const uint64_t scales[] = {1u << 10, 1u << 20, 1u << 30, (uint64_t)1 << 40};
    return (parse_scaled(text, "KMGT", scales, ret_bytes) || parse_number(text, ret_bytes)) &&
           *ret_bytes > 0;
}

static bool parse_level(const char *text, int *ret_level)
{
    uint64_t level;
    if (!hl_number_parse(text, 1, 19, &level))
        return false;
    *ret_level = (int)level;
    return true;
}

typedef struct parsing {
    journal_options *options;
    const char *key_file;
} parsing;

/* False: the value is none. */
static bool take(parsing *this, char letter, const char *value)
{
    journal_options *const options = this->options;
    hl_journal_filter *const filter = &options->reading.filter;
    switch (letter) {
    case 'j':
        options->json = true;
        return true;
    case 'p':
        options->reading.partition = value;
        return true;
    case 't':
        filter->topic = value;
        return true;
    case 'k':
        filter->by_key = true;
        return parse_number(value, &filter->key);
    case 'c':
        filter->by_correlation = true;
        return parse_id(value, &filter->correlation_id);
    case 'a':
        return moment_parse(value, false, &filter->from_ns);
    case 'b':
        return moment_parse(value, true, &filter->to_ns);
    case 'A':
        return parse_number(value, &filter->from_sequence);
    case 'B': /* the options' 0 is no bound, which nobody means who writes it */
        return hl_number_parse(value, 1, UINT64_MAX, &filter->to_sequence);
    case 'n':
        return hl_number_parse(value, 1, UINT64_MAX, &options->limit);
    case 'f':
        options->reading.follow = true;
        return true;
    case 'u':
        options->reading.cursor = value;
        return true;
    case 's':
        options->reading.salvage = true;
        return true;
    case 'K':
        this->key_file = value;
        return true;
    case 'o':
        options->output = value;
        return true;
    case 'q':
        options->sqlite = true;
        return true;
    case 'z':
        options->compress = true;
        return true;
    case 'r':
        options->replace = true;
        return true;
    case 'S':
        return speed_parse(value, &options->speed);
    case 'P':
        options->into_pipeline = true;
        return true;
    case 'O':
        options->recompute = true;
        return true;
    case 'M':
        options->make = true;
        return true;
    case 'R':
        options->rebuild = true;
        return true;
    case 'i':
        if (options->input_count == JOURNAL_INPUTS_MAX)
            return false;
        options->inputs[options->input_count++] = value;
        return true;
    case 'g':
        return parse_age(value, &options->keep_ns);
    case 'G':
        return parse_size(value, &options->keep_bytes);
    case 'F':
        options->force = true;
        return true;
    case 'd':
        options->dry_run = true;
        return true;
    case 'N':
        options->no_pack = true;
        return true;
    case 'e':
        options->encrypt = true;
        return true;
    case 'l':
        return parse_level(value, &options->level);
    default:
        return false;
    }
}

static hl_exit read_options(const journal_command *command, int argc, char **argv, parsing *this,
                            bool *ret_help)
{
    struct option long_options[OPTIONS + 1] = {0};
    for (size_t i = 0; i < OPTIONS; i++)
        long_options[i] =
            (struct option){table[i].name, table[i].value != NULL ? required_argument : no_argument,
                            NULL, (unsigned char)table[i].letter};
    optind = 1;
    for (int letter; (letter = getopt_long(argc, argv, "hfn:", long_options, NULL)) != -1;) {
        if (letter == 'h') {
            print_usage(command, stdout);
            *ret_help = true;
            return HL_EXIT_OK;
        }
        if (letter == '?') /* getopt has named the option */
            return print_usage(command, stderr), HL_EXIT_USAGE;
        const journal_option *option = table;
        while (option->letter != letter)
            option++;
        if (strchr(command->letters, letter) == NULL) {
            fprintf(stderr, "hotlane journal %s: --%s is no option of it\n", command->name,
                    option->name);
            return HL_EXIT_USAGE;
        }
        if (!take(this, (char)letter, optarg)) {
            char name[40], wanted[128];
            snprintf(name, sizeof name, "hotlane journal %s", command->name);
            snprintf(wanted, sizeof wanted, "use %s: %s", option->value, option->help);
            hl_refuse_value(name, option->name, optarg, wanted);
            return HL_EXIT_USAGE;
        }
    }
    return HL_EXIT_OK;
}

static hl_exit read_operands(const journal_command *command, int argc, char **argv,
                             journal_options *options)
{
    const int wanted = strchr(command->operands, ' ') != NULL ? 2 : 1;
    if (argc - optind != wanted) {
        fprintf(stderr, "hotlane journal %s: name %s\n", command->name, command->operands);
        print_usage(command, stderr);
        return HL_EXIT_USAGE;
    }
    options->reading.directory = argv[optind];
    options->operand = wanted == 2 ? argv[optind + 1] : NULL;
    return HL_EXIT_OK;
}

/* No key at all is no failure: most journals need none. */
static hl_exit read_keys(const char *path, journal_options *options)
{
    hl_error error = {0};
    if (hl_crypt_keys_if_any(path, &options->keys, &error) != HL_OK)
        return journal_failed(&error);
    options->reading.keys = options->keys;
    return HL_EXIT_OK;
}

hl_exit journal_options_parse(const journal_command *command, int argc, char **argv,
                              journal_options *ret_options, bool *ret_help)
{
    journal_options options = {.reading = HL_JOURNAL_READER_OPTIONS_INIT, .speed = 1.0};
    parsing this = {.options = &options};
    *ret_help = false;
    hl_exit outcome = read_options(command, argc, argv, &this, ret_help);
    if (outcome == HL_EXIT_OK && !*ret_help)
        outcome = read_operands(command, argc, argv, &options);
    if (outcome == HL_EXIT_OK && !*ret_help)
        outcome = read_keys(this.key_file, &options);
    if (outcome == HL_EXIT_OK)
        *ret_options = options;
    return outcome;
}

void journal_options_free(journal_options *options)
{
    hl_journal_keys_free(options->keys);
    options->keys = NULL;
}

hl_exit journal_failed(const hl_error *error)
{
    fprintf(stderr, "%s\n", error->text);
    return error->status == HL_INVALID ? HL_EXIT_USAGE : HL_EXIT_FAILED;
}

hl_status journal_partitions(const journal_options *options, hl_partition_directory **ret_names,
                             size_t *ret_count, hl_error *error)
{
    const hl_journal_reader_options *const reading = &options->reading;
    return hl_partition_list(hl_io_posix(), reading->directory, reading->partition, ret_names,
                             ret_count, error);
}

hl_status journal_check_directory(const char *directory, hl_error *error)
{
    const hl_io *const io = hl_io_posix();
    hl_partition_directory *partitions = NULL;
    size_t count = 0, segments = 0;
    hl_status status = hl_partition_list(io, directory, NULL, &partitions, &count, error);
    for (size_t i = 0; status == HL_OK && segments == 0 && i < count; i++) {
        char path[HL_JOURNAL_PATH_SIZE];
        hl_segment_name *names = NULL;
        snprintf(path, sizeof path, "%.3900s/%s", directory, partitions[i].text);
        status = hl_segment_list(io, path, &names, &segments, error);
        free(names);
    }
    free(partitions);
    if (status != HL_OK || segments > 0)
        return status;
    return hl_error_set(error, HL_NOT_FOUND,
                        "%.300s: this is no journal, there is no segment (PARTITION/*.hlj) in it: "
                        "name the directory that a bus was given",
                        directory);
}

void journal_print(json_t *object)
{
    json_dumpf(object, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(object);
}
