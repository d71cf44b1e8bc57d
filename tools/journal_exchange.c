/*
 * hotlane journal export, import.
 */
#include "journal_options.h"

#include <inttypes.h>
#include <string.h>

#include "journal/audit.h"
#include "journal/exchange/jsonl.h"
#include "base/io.h"

static hl_status export_to_sqlite(const journal_options *options, hl_export_result *ret_result,
                                  hl_error *error)
{
#if HL_HAVE_SQLITE
    return hl_sqlite_export(&options->reading, options->output, ret_result, error);
#else
    (void)options, (void)ret_result;
    snprintf(error->text, sizeof error->text, "this hotlane was built without SQLite");
    return error->status = HL_UNSUPPORTED;
#endif
}

static hl_status export_events(const journal_options *options, hl_export_result *ret_result,
                               hl_error *error)
{
    if (options->sqlite)
        return export_to_sqlite(options, ret_result, error);
    const hl_jsonl_export_options exporting = {.reading = options->reading,
                                               .output = options->output,
                                               .compress = options->compress,
                                               .replace = options->replace};
    return hl_jsonl_export(&exporting, ret_result, error);
}

hl_exit journal_export(const journal_options *options)
{
    hl_export_result result = {0};
    hl_error error = {0};
    char detail[600];
    if (options->output == NULL) {
        fputs("journal export: --output says where to: a directory, or with --sqlite a file\n",
              stderr);
        return HL_EXIT_USAGE;
    }
    const hl_status status = export_events(options, &result, &error);
    snprintf(detail, sizeof detail, "to %.300s: %" PRIu64 " events%s%.200s", options->output,
             result.events, status == HL_OK ? "" : ", failed: ", status == HL_OK ? "" : error.text);
    hl_error unsaid = {0};
    const hl_status audited =
        hl_audit_add(hl_io_posix(), options->reading.directory, "export", detail, &unsaid);
    if (status != HL_OK)
        return journal_failed(&error);
    if (audited != HL_OK) /* a journal may be on a disk that is read-only */
        fprintf(stderr, "journal export: no line in the audit log: %s\n", unsaid.text);
    if (options->json)
        journal_print(json_pack("{s:s, s:s, s:I, s:I, s:I}", "directory",
                                options->reading.directory, "output", options->output, "events",
                                (json_int_t)result.events, "missing", (json_int_t)result.missing,
                                "files", (json_int_t)result.files));
    else
        printf("%" PRIu64 " events, %" PRIu64 " lines about missing ones, to %s\n", result.events,
               result.missing, options->output);
    return HL_EXIT_OK;
}

hl_exit journal_import(const journal_options *options)
{
    hl_import_result result = {0};
    hl_error error = {0};
    const hl_status status =
        hl_jsonl_import(options->operand, options->reading.directory, &result, &error);
    char detail[600];
    snprintf(detail, sizeof detail, "from %.300s: %" PRIu64 " events%s%.200s", options->operand,
             result.events, status == HL_OK ? "" : ", failed: ", status == HL_OK ? "" : error.text);
    hl_audit_add(hl_io_posix(), options->reading.directory, "import", detail, NULL);
    if (status != HL_OK)
        return journal_failed(&error);
    if (options->json)
        journal_print(json_pack("{s:s, s:s, s:I, s:I, s:I}", "directory",
                                options->reading.directory, "input", options->operand, "events",
                                (json_int_t)result.events, "missing", (json_int_t)result.missing,
                                "partitions", (json_int_t)result.partitions));
    else
        printf("%" PRIu64 " events in %" PRIu64 " partitions\n", result.events, result.partitions);
    return HL_EXIT_OK;
}
