#include "journal/exchange/jsonl.h"

#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#if HL_HAVE_SQLITE
#include <sqlite3.h>
#endif

#include "journal/exchange/base64.h"
#include "written.h"
#include "tests/temporary_directory.h"

static char directory[TEMPORARY_DIRECTORY_SIZE];
static char journal[HL_JOURNAL_PATH_SIZE];
static char output[HL_JOURNAL_PATH_SIZE];
static char copy[HL_JOURNAL_PATH_SIZE];

static void set_up(void)
{
    temporary_directory_make(NULL, "journal", directory);
    snprintf(journal, sizeof journal, "%.3000s/journal", directory);
    snprintf(output, sizeof output, "%.3000s/output", directory);
    snprintf(copy, sizeof copy, "%.3000s/copy", directory);
}

static void tear_down(void)
{
    temporary_directory_remove(directory);
}

TestSuite(exchange, .init = set_up, .fini = tear_down);

Test(exchange, base64_goes_there_and_back_and_refuses_the_rest)
{
    static const char *const bad[] = {
        "A", "AA", "AAA", "AA=A", "A===", "AB==", "AAB=", "AA-A", "AAAA=", "====", "AAAA AAA"};
    uint8_t bytes[64], again[64];
    char text[HL_BASE64_SIZE(64) + 1];
    size_t size;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 37 + 11);
    for (size_t n = 0; n <= sizeof bytes; n++) {
        hl_base64_encode(bytes, n, text);
        cr_assert_eq(strlen(text), HL_BASE64_SIZE(n));
        cr_assert(hl_base64_decode(text, strlen(text), again, sizeof again, &size));
        cr_assert_eq(size, n);
        cr_assert_eq(memcmp(bytes, again, n), 0);
        cr_assert(n == 0 || !hl_base64_decode(text, strlen(text), again, n - 1, &size));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_not(hl_base64_decode(bad[i], strlen(bad[i]), again, sizeof again, &size), "%s",
                      bad[i]);
    hl_base64_encode("foobar", 6, text);
    cr_assert_str_eq(text, "Zm9vYmFy");
}

/* Every event of one journal, against the other's. */
static uint64_t compare(void)
{
    hl_journal_reader_options options = HL_JOURNAL_READER_OPTIONS_INIT;
    hl_journal_reader *one = NULL, *two = NULL;
    hl_journal_entry a, b;
    uint64_t count = 0;
    options.directory = journal;
    cr_assert_eq(hl_journal_reader_open(&options, &one, NULL), HL_OK);
    options.directory = copy;
    cr_assert_eq(hl_journal_reader_open(&options, &two, NULL), HL_OK);
    while (hl_journal_reader_next(one, &a, NULL) == HL_OK) {
        cr_assert_eq(hl_journal_reader_next(two, &b, NULL), HL_OK);
        cr_assert_eq(a.kind, b.kind);
        cr_assert_eq(a.first_sequence, b.first_sequence);
        cr_assert_eq(a.last_sequence, b.last_sequence);
        cr_assert_str_eq(a.partition, b.partition);
        if (a.kind != HL_JOURNAL_EVENT)
            continue;
        count++;
        cr_assert_eq(a.id, b.id);
        cr_assert_str_eq(a.topic, b.topic);
        cr_assert_str_eq(a.source, b.source);
        cr_assert_eq(a.topic_priority, b.topic_priority);
        cr_assert_eq(a.event->published_ns, b.event->published_ns);
        cr_assert_eq(a.event->key, b.event->key);
        cr_assert_eq(a.event->correlation_id, b.event->correlation_id);
        cr_assert_eq(a.event->causation_id, b.event->causation_id);
        cr_assert_eq(a.event->schema_version, b.event->schema_version);
        cr_assert_eq(a.event->flags, b.event->flags);
        cr_assert_eq(a.event->payload_size, b.event->payload_size);
        cr_assert_eq(memcmp(hl_payload(a.event), hl_payload(b.event), a.event->payload_size), 0);
    }
    cr_assert_eq(hl_journal_reader_next(two, &b, NULL), HL_NOT_FOUND);
    hl_journal_reader_close(one);
    hl_journal_reader_close(two);
    return count;
}

static hl_status export_jsonl(const char *cursor, bool replace, hl_export_result *ret_result)
{
    hl_jsonl_export_options options = {.output = output, .replace = replace};
    options.reading = (hl_journal_reader_options)HL_JOURNAL_READER_OPTIONS_INIT;
    options.reading.directory = journal;
    options.reading.cursor = cursor;
    return hl_jsonl_export(&options, ret_result, NULL);
}

Test(exchange, json_lines_and_back_are_the_same_journal)
{
    const written_options orders = {.count = 5000, .segment_bytes = 65536, .gap_every = 999};
    const written_options fills = {.domain = "fill",
                                   .shard = 1,
                                   .shards = 2,
                                   .count = 100,
                                   .partition = 600}; /* ids above 2^63 */
    hl_export_result exported;
    hl_import_result imported;
    hl_error error = {0};
    char pattern[HL_JOURNAL_PATH_SIZE];
    glob_t files;
    written_journal(journal, &orders);
    written_journal(journal, &fills);
    cr_assert_eq(export_jsonl(NULL, false, &exported), HL_OK);
    cr_assert_eq(exported.events, 5100);
    cr_assert_eq(exported.missing, 5);
    cr_assert_eq(exported.files, 1);
    cr_assert_eq(export_jsonl(NULL, false, &exported), HL_EXISTS);
    cr_assert_eq(export_jsonl(NULL, true, &exported), HL_OK);
    snprintf(pattern, sizeof pattern, "%.4000s/events_2025-06-15.jsonl", output);
    cr_assert_eq(glob(pattern, 0, NULL, &files), 0);
    cr_assert_eq(hl_jsonl_import(files.gl_pathv[0], copy, &imported, &error), HL_OK, "%s",
                 error.text);
    cr_assert_eq(imported.events, 5100);
    cr_assert_eq(imported.partitions, 2);
    cr_assert_eq(compare(), 5100);
    /* What is there is not imported again. */
    cr_assert_eq(hl_jsonl_import(files.gl_pathv[0], copy, &imported, &error), HL_BAD_INPUT);
    cr_assert_not_null(strstr(error.text, ".jsonl:1: "), "%s", error.text);
    globfree(&files);
}

Test(exchange, a_file_a_day)
{
    const written_options options = {.count = 1};
    uint64_t next;
    hl_export_result exported;
    hl_journal_writer *const writer = written_open(journal, &options, NULL, &next);
    for (uint64_t day = 0; day < 3; day++) {
        written_event event;
        written_event_of(0, next++, &event);
        event.event.published_ns += day * HL_NS_PER_DAY;
        cr_assert_eq(hl_journal_writer_append(writer, &event, sizeof event, 1), 1);
    }
    cr_assert_eq(hl_journal_writer_close(writer, NULL), HL_OK);
    cr_assert_eq(export_jsonl(NULL, false, &exported), HL_OK);
    cr_assert_eq(exported.files, 3);
    for (int day = 15; day < 18; day++) {
        char path[HL_JOURNAL_PATH_SIZE];
        snprintf(path, sizeof path, "%.4000s/events_2025-06-%d.jsonl", output, day);
        cr_assert_eq(access(path, R_OK), 0, "%s", path);
    }
}

Test(exchange, an_export_that_ends_early_leaves_no_short_file_under_its_name)
{
    const written_options options = {.count = 20000, .segment_bytes = 1u << 20};
    char pattern[HL_JOURNAL_PATH_SIZE + 16], path[HL_JOURNAL_PATH_SIZE];
    hl_export_result exported;
    glob_t found;
    size_t size, whole_size, left_size;
    written_journal(journal, &options);
    cr_assert(written_segment(journal, "order", 1, path));
    uint8_t *const bytes = written_read_file(path, &size);
    bytes[size / 2] ^= 1;
    written_write_file(path, bytes, size);
    cr_assert_eq(export_jsonl(NULL, false, &exported), HL_DAMAGED);
    cr_assert_gt(exported.events, 1000);
    snprintf(pattern, sizeof pattern, "%s/events_*.jsonl", output);
    cr_assert_eq(glob(pattern, 0, NULL, &found), GLOB_NOMATCH);

    /* One that is there stays as it is until the new one is whole. */
    bytes[size / 2] ^= 1;
    written_write_file(path, bytes, size);
    cr_assert_eq(export_jsonl(NULL, false, &exported), HL_OK);
    cr_assert_eq(glob(pattern, 0, NULL, &found), 0);
    cr_assert_eq(found.gl_pathc, 1);
    uint8_t *const whole = written_read_file(found.gl_pathv[0], &whole_size);
    bytes[size / 2] ^= 1;
    written_write_file(path, bytes, size);
    free(bytes);
    cr_assert_eq(export_jsonl(NULL, true, &exported), HL_DAMAGED);
    uint8_t *const left = written_read_file(found.gl_pathv[0], &left_size);
    cr_assert(left_size == whole_size && memcmp(left, whole, whole_size) == 0);
    globfree(&found);
    free(whole);
    free(left);
}

Test(exchange, with_a_cursor_only_what_is_new_is_added)
{
    const written_options options = {.count = 500, .segment_bytes = 65536};
    hl_export_result exported;
    hl_import_result imported;
    char path[HL_JOURNAL_PATH_SIZE];
    for (int turn = 0; turn < 3; turn++) {
        written_journal(journal, &options);
        cr_assert_eq(export_jsonl("daily", false, &exported), HL_OK);
        cr_assert_eq(exported.events, 500);
    }
    cr_assert_eq(export_jsonl("daily", false, &exported), HL_OK);
    cr_assert_eq(exported.events, 0);
    snprintf(path, sizeof path, "%.4000s/events_2025-06-15.jsonl", output);
    cr_assert_eq(hl_jsonl_import(path, copy, &imported, NULL), HL_OK);
    cr_assert_eq(compare(), 1500);
}

Test(exchange, a_bad_line_is_refused_with_its_place)
{
#define HEAD "{\"partition\":\"order\",\"partition_number\":1,\"shards\":1"
#define BODY                                                                                 \
    ",\"published_ns\":1,\"key\":\"1\",\"correlation_id\":\"0\",\"causation_id\":\"0\","     \
    "\"schema_version\":0,\"priority\":0,\"flags\":0,\"attempt\":0,\"topic\":\"order.new\"," \
    "\"source\":\"a\",\"topic_kind\":0,\"topic_priority\":0,\"payload\":\"AAAA\"}"
    static const struct {
        const char *line, *says;
    } bad[] = {
        {"", "no JSON"},
        {"[]", "JSON object"},
        {"{}", "\"partition\""},
        {HEAD "}", "\"sequence\""},
        {HEAD ",\"sequence\":0" BODY, "\"sequence\""},
        {HEAD ",\"sequence\":-1" BODY, "\"sequence\""},
        {HEAD ",\"sequence\":\"01\"" BODY, "\"sequence\""},
        {HEAD ",\"sequence\":\"18446744073709551616\"" BODY, "\"sequence\""},
        {HEAD ",\"sequence\":1,\"sequence\":2" BODY, "no JSON"},
        {"{\"partition\":\"../x\",\"partition_number\":1,\"shards\":1,\"sequence\":1" BODY,
         "\"partition\""},
        {"{\"partition\":\"order.7\",\"partition_number\":1,\"shards\":2,\"sequence\":1" BODY,
         "\"shards\""},
        {HEAD ",\"missing\":\"gap\",\"first_sequence\":5,\"last_sequence\":4}",
         "\"last_sequence\""},
    };
    hl_jsonl_event *const event = calloc(1, sizeof *event);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        hl_error error = {0};
        cr_assert_eq(hl_jsonl_parse(bad[i].line, strlen(bad[i].line), "file:7", event, &error),
                     HL_BAD_INPUT, "%s", bad[i].line);
        cr_assert_not_null(strstr(error.text, bad[i].says), "%s", error.text);
        cr_assert_eq(strncmp(error.text, "file:7", 6), 0, "%s", error.text);
    }
    const char *const good = HEAD ",\"sequence\":1" BODY;
    cr_assert_eq(hl_jsonl_parse(good, strlen(good), "file:7", event, NULL), HL_OK);
    cr_assert_eq(event->event.payload_size, 3);
    free(event);
}

#if HL_HAVE_SQLITE
static int64_t ask(const char *path, const char *question)
{
    sqlite3 *database = NULL;
    sqlite3_stmt *statement = NULL;
    cr_assert_eq(sqlite3_open(path, &database), SQLITE_OK);
    cr_assert_eq(sqlite3_prepare_v2(database, question, -1, &statement, NULL), SQLITE_OK, "%s",
                 sqlite3_errmsg(database));
    cr_assert_eq(sqlite3_step(statement), SQLITE_ROW);
    const int64_t answer = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(database);
    return answer;
}

Test(exchange, sqlite_takes_only_what_is_new)
{
    const written_options orders = {.count = 3000, .segment_bytes = 65536, .gap_every = 999};
    const written_options fills = {.domain = "fill", .count = 100, .partition = 1};
    hl_journal_reader_options reading = HL_JOURNAL_READER_OPTIONS_INIT;
    hl_export_result exported;
    hl_error error = {0};
    char path[HL_JOURNAL_PATH_SIZE];
    snprintf(path, sizeof path, "%.4000s/events.db", directory);
    reading.directory = journal;
    written_journal(journal, &orders);
    written_journal(journal, &fills);
    cr_assert_eq(hl_sqlite_export(&reading, path, &exported, &error), HL_OK, "%s", error.text);
    cr_assert_eq(exported.events, 3100);
    cr_assert_eq(exported.missing, 3);
    cr_assert_eq(hl_sqlite_export(&reading, path, &exported, &error), HL_OK);
    cr_assert_eq(exported.events, 0);
    written_journal(journal, &fills);
    cr_assert_eq(hl_sqlite_export(&reading, path, &exported, &error), HL_OK);
    cr_assert_eq(exported.events, 100);
    cr_assert_eq(ask(path, "SELECT count(*) FROM events"), 3200);
    cr_assert_eq(ask(path, "SELECT count(*) FROM missing"), 3);
    cr_assert_eq(ask(path, "SELECT count(*) FROM events WHERE topic = 'fill.new'"), 66);
    cr_assert_eq(ask(path, "SELECT count(*) FROM sqlite_master WHERE type = 'index' AND name LIKE "
                           "'events_%'"),
                 4);
    cr_assert_eq(ask(path, "SELECT sum(length(payload)) > 0 FROM events"), 1);
}
#endif
