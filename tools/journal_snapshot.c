/*
 * hotlane journal snapshot.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "journal/exchange/jsonl.h"
#include "journal/snapshot.h"
#include "journal_pipeline.h"

/* One file; `is_whole` false: it cannot be read, and has but a path. */
typedef struct line {
    char *path;
    bool is_whole;
    hl_snapshot snapshot; /* without its payload */
} line;

typedef struct listing {
    const journal_options *options;
    line *lines;
    size_t count;
} listing;

/* "order" with all its shards, "order.3", or NULL for all. */
static bool is_wanted(const char *wanted, const hl_snapshot *snapshot)
{
    const size_t bytes = wanted != NULL ? strlen(wanted) : 0;
    bool found = wanted == NULL;
    for (uint32_t i = 0; i < snapshot->positions_count && !found; i++) {
        const char *const name = snapshot->positions[i].partition;
        found = strncmp(name, wanted, bytes) == 0 && (name[bytes] == '\0' || name[bytes] == '.');
    }
    return found;
}

static hl_status add(void *context, const char *path, const hl_snapshot *snapshot)
{
    listing *const this = context;
    if (snapshot != NULL && !is_wanted(this->options->reading.partition, snapshot))
        return HL_OK;
    line *const lines = realloc(this->lines, (this->count + 1) * sizeof *lines);
    char *const copy = strdup(path);
    if (lines != NULL)
        this->lines = lines;
    if (lines == NULL || copy == NULL) {
        free(copy);
        return HL_NO_MEMORY;
    }
    line *const added = &lines[this->count++];
    *added = (line){.path = copy, .is_whole = snapshot != NULL};
    if (snapshot != NULL) {
        added->snapshot = *snapshot;
        added->snapshot.payload = added->snapshot.positions = NULL;
    }
    return HL_OK;
}

/* By name, the newest first; what is damaged last. */
static int compare(const void *left, const void *right)
{
    const line *const a = left, *const b = right;
    if (!a->is_whole || !b->is_whole)
        return a->is_whole == b->is_whole ? strcmp(a->path, b->path) : a->is_whole ? -1 : 1;
    const int by_name = strcmp(a->snapshot.name, b->snapshot.name);
    if (by_name != 0)
        return by_name;
    return (a->snapshot.sequence < b->snapshot.sequence) -
           (a->snapshot.sequence > b->snapshot.sequence);
}

#define KEY_SIZE 17

/* "": it is not encrypted. */
static void key_text(const hl_snapshot *snapshot, char ret_text[KEY_SIZE])
{
    *ret_text = '\0';
    if (snapshot->key_id != 0)
        snprintf(ret_text, KEY_SIZE, "%016" PRIx64, snapshot->key_id);
}

static void print_text(const listing *this)
{
    printf("%-24s %14s %9s %12s  %-30s  %s\n", "aggregate", "sequence", "version", "bytes", "taken",
           "key");
    for (size_t i = 0; i < this->count; i++) {
        const line *const one = &this->lines[i];
        char taken[HL_JSONL_TIME_SIZE], key[KEY_SIZE];
        if (!one->is_whole) {
            printf("%s: damaged\n", one->path);
            continue;
        }
        hl_jsonl_time(one->snapshot.time_ns, taken);
        key_text(&one->snapshot, key);
        printf("%-24s %14" PRIu64 " %9" PRIu32 " %12zu  %s  %s\n", one->snapshot.name,
               one->snapshot.sequence, one->snapshot.version, one->snapshot.size, taken,
               *key != '\0' ? key : "none");
    }
}

static json_t *line_json(const line *one)
{
    const hl_snapshot *const snapshot = &one->snapshot;
    char key[KEY_SIZE];
    if (!one->is_whole)
        return json_pack("{s:s, s:b}", "path", one->path, "whole", 0);
    key_text(snapshot, key);
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:s?, s:b}", "path", one->path, "name",
                     snapshot->name, "sequence", (json_int_t)snapshot->sequence, "time_ns",
                     (json_int_t)snapshot->time_ns, "version", (json_int_t)snapshot->version,
                     "bytes", (json_int_t)snapshot->size, "key_id", *key != '\0' ? key : NULL,
                     "whole", 1);
}

static void print_json(const listing *this)
{
    json_t *const array = json_array();
    uint64_t damaged = 0;
    for (size_t i = 0; i < this->count; i++) {
        damaged += !this->lines[i].is_whole;
        json_array_append_new(array, line_json(&this->lines[i]));
    }
    journal_print(json_pack("{s:s, s:o, s:I}", "directory", this->options->reading.directory,
                            "snapshots", array, "damaged", (json_int_t)damaged));
}

static hl_exit list(const journal_options *options)
{
    listing this = {.options = options};
    hl_error error = {.status = HL_NO_MEMORY, .text = "out of memory"};
    const hl_io *const io = hl_io_posix();
    hl_partition_directory *names = NULL;
    size_t count = 0;
    /* A directory or partition that is not there is a mistake, one without snapshots is not. */
    hl_status status = journal_partitions(options, &names, &count, &error);
    free(names);
    if (status == HL_OK)
        status =
            hl_snapshot_each(io, options->reading.directory, options->keys, add, &this, &error);
    if (status == HL_OK && this.count != 0)
        qsort(this.lines, this.count, sizeof *this.lines, compare);
    if (status == HL_OK && options->json)
        print_json(&this);
    else if (status == HL_OK)
        print_text(&this);
    for (size_t i = 0; i < this.count; i++)
        free(this.lines[i].path);
    free(this.lines);
    return status == HL_OK ? HL_EXIT_OK : journal_failed(&error);
}

hl_exit journal_snapshot(const journal_options *options)
{
    const bool has_end =
        options->reading.filter.to_ns != 0 || options->reading.filter.to_sequence != 0;
    const char *why = NULL;
    if (options->make && (options->rebuild || has_end || options->reading.partition != NULL))
        why = "--make is of the journal's end, and of all partitions: leave out --rebuild, --to, "
              "--to-sequence and --partition";
    else if (!options->make && !options->rebuild && (has_end || options->input_count != 0))
        why = "--to, --to-sequence and --input are for --rebuild";
    if (why != NULL) {
        fprintf(stderr, "journal snapshot: %s\n", why);
        return HL_EXIT_USAGE;
    }
    return options->make || options->rebuild ? journal_into_pipeline(options) : list(options);
}
