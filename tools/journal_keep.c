/*
 * hotlane journal compact.
 */
#include "journal_options.h"

#include <inttypes.h>

#include <hotlane/duration.h>

#include "journal/retention.h"

typedef struct compaction {
    bool json;
    json_t *steps;
    uint64_t steps_told, not_packed;
} compaction;

static const char *const action_names[] = {[HL_RETENTION_REMOVED] = "removed",
                                           [HL_RETENTION_REMOVED_NEEDED] = "removed_needed",
                                           [HL_RETENTION_HELD] = "held",
                                           [HL_RETENTION_PACKED] = "packed",
                                           [HL_RETENTION_NOT_PACKED] = "not_packed"};

static void see_step(void *context, const hl_retention_step *step)
{
    compaction *const this = context;
    this->steps_told++;
    this->not_packed += step->action == HL_RETENTION_NOT_PACKED;
    if (this->json)
        json_array_append_new(this->steps,
                              json_pack("{s:s, s:s, s:s, s:I, s:I, s:s}", "action",
                                        action_names[step->action], "partition", step->partition,
                                        "path", step->path, "bytes_before",
                                        (json_int_t)step->bytes_before, "bytes_after",
                                        (json_int_t)step->bytes_after, "detail", step->detail));
    else
        printf("%-14s %s  %" PRIu64 " -> %" PRIu64 " bytes  %s\n", action_names[step->action],
               step->path, step->bytes_before, step->bytes_after, step->detail);
}

/* `failure`: why it did not come to the end; NULL: it did. */
static void print_result(const journal_options *options, const compaction *this,
                         const hl_retention_result *result, const char *failure)
{
    if (options->json)
        journal_print(
            json_pack("{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:O, s:s?}", "directory",
                      options->reading.directory, "dry_run", options->dry_run, "removed",
                      (json_int_t)result->removed, "packed", (json_int_t)result->packed, "held",
                      (json_int_t)result->held, "not_packed", (json_int_t)this->not_packed,
                      "bytes_before", (json_int_t)result->bytes_before, "bytes_after",
                      (json_int_t)result->bytes_after, "steps", this->steps, "error", failure));
    else
        printf("%" PRIu64 " removed, %" PRIu64 " packed, %" PRIu64 " held back; %" PRIu64
               " bytes before, %" PRIu64 " now%s%s\n",
               result->removed, result->packed, result->held, result->bytes_before,
               result->bytes_after, options->dry_run ? " (nothing was done)" : "",
               failure != NULL ? "; then it failed" : "");
}

hl_exit journal_compact(const journal_options *options)
{
    compaction this = {.json = options->json, .steps = json_array()};
    hl_retention_result result = {0};
    hl_error error = {0};
    if (options->encrypt && options->keys == NULL) {
        json_decref(this.steps);
        fputs("journal compact: --encrypt needs a key: --key-file FILE, or HOTLANE_JOURNAL_KEY\n",
              stderr);
        return HL_EXIT_USAGE;
    }
    const hl_retention_options keeping = {.directory = options->reading.directory,
                                          .partition = options->reading.partition,
                                          .keep_ns = options->keep_ns,
                                          .keep_bytes = options->keep_bytes,
                                          .force = options->force,
                                          .dry_run = options->dry_run,
                                          .pack = !options->no_pack,
                                          .compress = HL_HAVE_ZSTD || !options->encrypt,
                                          .level = options->level,
                                          .keys = options->encrypt ? options->keys : NULL,
                                          .pack_wait_ns = 30 * HL_SECOND,
                                          .context = &this,
                                          .told = see_step};
    const hl_status status = hl_retention_apply(hl_io_posix(), &keeping, &result, &error);
    /* Also of what was done before it failed; where that is nothing, the sentence says it all. */
    if (status == HL_OK || this.steps_told > 0)
        print_result(options, &this, &result, status == HL_OK ? NULL : error.text);
    json_decref(this.steps);
    return status == HL_OK ? HL_EXIT_OK : journal_failed(&error);
}
