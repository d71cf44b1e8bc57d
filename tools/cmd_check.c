/*
 * hotlane check FILE: is the file a configuration, and can this machine give it its plan?
 *
 * The second half is what hl_bus_create would answer: a sketch of the bus has its plan and
 * partitions. A check writes nothing: of the files that a bus opens or makes, it looks whether that
 * could be done.
 */
#include "command.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include <hotlane/hotlane.h>

#include "bus/thread_request.h"
#include "configuration.h"

typedef struct check_result {
    const char *path;
    hl_status status;
    hl_error error; /* when not HL_OK */
    hl_config *config;
    hl_bus *bus;
    const char *made[2]; /* the configuration's: a bus would make them */
    size_t made_count;
} check_result;

static void print_usage(FILE *stream)
{
    fputs(
        "usage: hotlane check [--json] FILE\n\n"
        "Checks a configuration file: its keys, types and ranges, and whether this machine can\n"
        "give it its plan. Prints the plan, or `file:line:column: what, and what would be right`.\n"
        "Makes and writes nothing: of journal_dir and dlq_path it says whether they could be "
        "made.\n"
        "\n"
        "  --json  one JSON object: file, valid, error, status, and, when valid, plan, threads "
        "and\n"
        "          would_make\n"
        "  --help  this text\n\n"
        "Exit status: 0 valid, 1 not valid, 2 wrong usage.\n",
        stream);
}

/* hl_bus_create makes no ring yet: a publisher's are made when it opens. So that this is not where
 * a size that the machine cannot hold comes to light, each ring is held against its memory here. */
static void check_ring(check_result *result, uint32_t domain, const char *field, uint32_t slots)
{
    const uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    const uint64_t slot_bytes = result->config->domains[domain].slot_size_bytes;
    if (result->status != HL_OK || slots <= machine / slot_bytes)
        return;
    uint64_t most = 2;
    while (most * 2 <= machine / slot_bytes)
        most *= 2;
    result->error.status = HL_INVALID;
    snprintf(result->error.text, sizeof result->error.text,
             "domains[%" PRIu32 "].%s: one ring of %" PRIu32 " slots takes %" PRIu64
             " MiB, this machine has %" PRIu64 " MiB: use far less than %" PRIu64,
             domain, field, slots, slots * slot_bytes >> 20, machine >> 20, most);
    result->status = HL_INVALID;
}

static void check_memory(check_result *result)
{
    for (uint32_t i = 0; i < result->config->domain_count; i++) {
        const hl_domain_config *const domain = &result->config->domains[i];
        check_ring(result, i, "ring_slots", domain->ring_slots);
        check_ring(result, i, "handler_ring_slots", domain->handler_ring_slots);
    }
}

static void refuse_place(check_result *result, const char *field, const char *path,
                         const char *what, int why)
{
    result->error.status = result->status = HL_INVALID;
    snprintf(result->error.text, sizeof result->error.text, "%s: %.300s %s: %s", field, path, what,
             strerror(why));
}

/* A file or directory that the bus opens for writing, or makes in a directory that is there. */
static void check_place(check_result *result, const char *field, const char *path, mode_t type)
{
    struct stat about;
    if (path == NULL || result->status != HL_OK)
        return;
    if (stat(path, &about) == 0) {
        if ((about.st_mode & S_IFMT) != type)
            refuse_place(result, field, path, "cannot be written",
                         type == S_IFDIR          ? ENOTDIR
                         : S_ISDIR(about.st_mode) ? EISDIR
                                                  : EINVAL);
        else if (access(path, type == S_IFDIR ? W_OK | X_OK : W_OK | R_OK) != 0)
            refuse_place(result, field, path, "cannot be written", errno);
        return;
    }
    const int missing = errno;
    char *const copy = strdup(path);
    if (missing != ENOENT || copy == NULL || access(dirname(copy), W_OK | X_OK) != 0)
        refuse_place(result, field, path, "cannot be made", missing != ENOENT ? missing : errno);
    else
        result->made[result->made_count++] = path;
    free(copy);
}

static void check_places(check_result *result)
{
    const hl_config *const config = result->config;
    if (hl_journal_thread_count(config) != 0)
        check_place(result, "journal_dir", config->journal_dir, S_IFDIR);
    check_place(result, "dlq_path", config->dlq_path, S_IFREG);
}

static void check(check_result *result)
{
    result->status = hl_config_load(result->path, &result->config, &result->error);
    if (result->status != HL_OK)
        return;
    check_memory(result);
    if (result->status == HL_OK)
        result->status = hl_bus_sketch(result->config, &result->bus, &result->error);
    check_places(result);
    if (result->status != HL_OK)
        configuration_place(result->path, &result->error);
}

static void print_text(const check_result *result)
{
    if (result->status != HL_OK) {
        fprintf(stderr, "%s\n", result->error.text);
        return;
    }
    hl_bus_print_plan(result->bus, stdout);
    for (size_t i = 0; i < result->made_count; i++)
        printf("%s is not there: a bus makes it\n", result->made[i]);
    printf("%s: valid\n", result->path);
}

/* The printed plan, a string a line. */
static json_t *plan_lines(const hl_bus *bus)
{
    json_t *const lines = json_array();
    char *text = NULL;
    size_t bytes = 0;
    FILE *const stream = open_memstream(&text, &bytes);
    if (stream == NULL)
        return lines;
    hl_bus_print_plan(bus, stream);
    fclose(stream);
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
        json_array_append_new(lines, json_string(line));
    free(text);
    return lines;
}

static json_t *thread_objects(const hl_bus *bus)
{
    json_t *const threads = json_array();
    hl_thread_status thread;
    for (uint32_t i = 0; hl_bus_thread_status(bus, i, &thread) == HL_OK; i++)
        json_array_append_new(threads,
                              json_pack("{s:s, s:s, s:i, s:s, s:i}", "name", thread.name, "role",
                                        thread.role, "cpu", thread.cpu, "wait", thread.wait,
                                        "partitions", (int)thread.partitions));
    return threads;
}

static json_t *strings(const char *const *texts, size_t count)
{
    json_t *const array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, json_string(texts[i]));
    return array;
}

static void print_json(const check_result *result)
{
    const bool valid = result->status == HL_OK;
    json_t *const object = json_object();
    json_object_set_new(object, "file", json_string(result->path));
    json_object_set_new(object, "valid", json_boolean(valid));
    json_object_set_new(object, "status", json_string(hl_status_name(result->status)));
    json_object_set_new(object, "error", valid ? json_null() : json_string(result->error.text));
    if (valid) {
        json_object_set_new(object, "plan", plan_lines(result->bus));
        json_object_set_new(object, "threads", thread_objects(result->bus));
        json_object_set_new(object, "would_make", strings(result->made, result->made_count));
    }
    json_dumpf(object, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(object);
}

hl_exit hl_command_check(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    bool json = false;
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (option) {
        case 'j':
            json = true;
            break;
        case 'h':
            print_usage(stdout);
            return HL_EXIT_OK;
        default: /* getopt has named the option */
            print_usage(stderr);
            return HL_EXIT_USAGE;
        }
    }
    if (argc - optind != 1) {
        fprintf(stderr, "hotlane check: name one file\n");
        print_usage(stderr);
        return HL_EXIT_USAGE;
    }
    check_result result = {.path = argv[optind]};
    check(&result);
    if (json)
        print_json(&result);
    else
        print_text(&result);
    hl_bus_destroy(result.bus);
    hl_config_free(result.config);
    return result.status == HL_OK ? HL_EXIT_OK : HL_EXIT_FAILED;
}
