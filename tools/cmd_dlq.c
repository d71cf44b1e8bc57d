/*
 * hotlane dlq ls|show|redrive|purge FILE: the dead letters that a bus has left in a file.
 */
#include "command.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dlq_options.h"
#include "dlq_print.h"

/* What was done, and with what result. */
typedef struct dlq_result {
    const dlq_options *options;
    hl_status status;
    hl_error error; /* when not HL_OK */
    hl_dlq_stats stats;
    uint64_t count;  /* letters seen, marked or removed */
    json_t *letters; /* ls and show, with --json */
} dlq_result;

static bool show_letter(const hl_dead_letter *letter, void *context)
{
    dlq_result *const result = context;
    const bool whole = result->options->action == DLQ_SHOW;
    if (result->options->json) {
        json_array_append_new(result->letters, dlq_letter_json(letter, whole));
    } else if (whole) {
        dlq_print_letter(stdout, letter);
    } else {
        if (result->count == 0)
            dlq_print_head(stdout);
        dlq_print_line(stdout, letter);
    }
    result->count++;
    return true;
}

/* Who names one letter expects it to be there. */
static hl_status look(hl_dlq *dlq, dlq_result *result)
{
    const hl_dlq_filter *const filter = &result->options->filter;
    const hl_status status = hl_dlq_list(dlq, filter, show_letter, result, &result->error);
    if (status != HL_OK || filter->id == 0 || result->count > 0)
        return status;
    result->error.status = HL_NOT_FOUND;
    snprintf(result->error.text, sizeof result->error.text,
             "%s: no dead letter is meant by that: `hotlane dlq ls` shows those there are",
             result->options->path);
    return HL_NOT_FOUND;
}

/* Removed, so that nothing is left in the file: also of what an earlier purge had removed, that was
 * ended in between. */
static hl_status purge(hl_dlq *dlq, dlq_result *result)
{
    hl_error at_rewrite;
    const hl_status status =
        hl_dlq_purge(dlq, &result->options->filter, &result->count, &result->error);
    if (status != HL_OK && status != HL_NOT_FOUND)
        return status;
    const hl_status rewritten = hl_dlq_compact(dlq, &at_rewrite);
    if (rewritten == HL_OK)
        return status;
    result->error.status = rewritten;
    snprintf(result->error.text, sizeof result->error.text,
             "%s: %" PRIu64 " letters are removed, but it could not be rewritten without what is "
             "gone: %.300s; purge again when that is mended",
             result->options->path, result->count, at_rewrite.text);
    return rewritten;
}

static hl_status act(hl_dlq *dlq, dlq_result *result)
{
    const hl_dlq_filter *const filter = &result->options->filter;
    switch (result->options->action) {
    case DLQ_LS:
    case DLQ_SHOW:
        return look(dlq, result);
    case DLQ_REDRIVE:
        return hl_dlq_redrive(dlq, filter, &result->count, &result->error);
    case DLQ_PURGE:
        return purge(dlq, result);
    }
    return HL_INVALID;
}

static void run(dlq_result *result)
{
    const bool looks = result->options->action == DLQ_LS || result->options->action == DLQ_SHOW;
    hl_dlq_options options = HL_DLQ_OPTIONS_INIT;
    options.path = result->options->path;
    options.read_only = looks;
    options.must_exist = true;
    options.salvage = result->options->salvage;
    hl_dlq *dlq = NULL;
    result->status = hl_dlq_open(&options, &dlq, &result->error);
    if (result->status != HL_OK)
        return;
    result->status = act(dlq, result);
    hl_dlq_stats_get(dlq, &result->stats);
    hl_error at_close;
    const hl_status closed = hl_dlq_close(dlq, &at_close);
    if (result->status == HL_OK && closed != HL_OK) {
        result->status = closed;
        result->error = at_close;
    }
}

/* What the reader of the result should know of the file. */
static void print_state_of_file(const dlq_result *result)
{
    const bool looks = result->options->action == DLQ_LS || result->options->action == DLQ_SHOW;
    const char *const path = result->options->path;
    if (result->stats.cut_bytes > 0)
        fprintf(stderr,
                "%s: offset %" PRIu64 ": %" PRIu64 " bytes of a record that was not written to "
                "its end were %s\n",
                path, result->stats.cut_at, result->stats.cut_bytes, looks ? "passed over" : "cut");
    if (result->stats.damaged_bytes > 0)
        fprintf(stderr, "%s: %" PRIu64 " damaged bytes were passed over\n", path,
                result->stats.damaged_bytes);
}

static void print_done(const dlq_result *result)
{
    if (result->options->action == DLQ_REDRIVE)
        printf("%" PRIu64 " letters are marked: the bus redrives them when it next starts on this "
               "file\n",
               result->count);
    else if (result->options->action == DLQ_PURGE)
        printf("%" PRIu64 " letters are removed\n", result->count);
    else if (result->count == 0)
        puts("no dead letters");
}

static void print_text(const dlq_result *result)
{
    print_state_of_file(result);
    if (result->status == HL_OK)
        print_done(result);
    else
        fprintf(stderr, "%s\n", result->error.text);
}

static void print_json(const dlq_result *result)
{
    json_t *const object = json_object();
    const bool good = result->status == HL_OK;
    json_object_set_new(object, "file", json_string(result->options->path));
    json_object_set_new(object, "status", json_string(hl_status_name(result->status)));
    json_object_set_new(object, "error", good ? json_null() : json_string(result->error.text));
    json_object_set_new(object, "count", json_integer((json_int_t)result->count));
    json_object_set_new(object, "cut_at", json_integer((json_int_t)result->stats.cut_at));
    json_object_set_new(object, "cut_bytes", json_integer((json_int_t)result->stats.cut_bytes));
    json_object_set_new(object, "damaged_bytes",
                        json_integer((json_int_t)result->stats.damaged_bytes));
    if (result->letters != NULL)
        json_object_set(object, "letters", result->letters);
    json_dumpf(object, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(object);
}

hl_exit hl_command_dlq(int argc, char **argv)
{
    dlq_options options;
    switch (dlq_options_parse(argc, argv, &options)) {
    case HL_PARSE_HELP:
        dlq_options_print_usage(stdout);
        return HL_EXIT_OK;
    case HL_PARSE_WRONG:
        fputs("`hotlane dlq --help` tells more\n", stderr);
        return HL_EXIT_USAGE;
    case HL_PARSE_OK:
        break;
    }
    dlq_result result = {.options = &options};
    if (options.json && (options.action == DLQ_LS || options.action == DLQ_SHOW))
        result.letters = json_array();
    run(&result);
    if (options.json)
        print_json(&result);
    else
        print_text(&result);
    json_decref(result.letters);
    if (result.status == HL_INVALID) /* a filter that is none */
        return HL_EXIT_USAGE;
    return result.status == HL_OK ? HL_EXIT_OK : HL_EXIT_FAILED;
}
