/*
 * Events as JSON Lines: a JSON object a line, all that the journal knows of an event in it.
 *
 *     {"id":"18014398509481985","partition":"order","partition_number":1,"shards":1,"sequence":1,
 *      "published_ns":1763722800000000000,"time":"2026-11-21T11:00:00.000000000Z",
 *      "topic":"order.new","topic_kind":0,"topic_priority":0,"source":"gateway","key":"42",
 *      "correlation_id":"0","causation_id":"0","priority":0,"flags":1,"attempt":0,
 *      "schema_version":1,"payload":"AAECAw=="}
 *
 * Numbers that may need 64 bits are strings, since JSON's readers often have 53. What is missing is
 * a line too: {"partition":"order",...,"missing":"gap","first_sequence":7,"last_sequence":9}, with
 * "gap", "removed" or "damage".
 */
#ifndef HL_EXCHANGE_JSONL_H
#define HL_EXCHANGE_JSONL_H

#include <hotlane/journal_reader.h>

#include "journal/partition.h"

typedef struct json_t json_t;

/* A new reference; NULL: no memory. */
json_t *hl_jsonl_object(const hl_journal_entry *entry);

/* "2026-11-21T11:00:00.123456789Z" and a NUL. */
#define HL_JSONL_TIME_SIZE 40u
void hl_jsonl_time(uint64_t time_ns, char ret_text[HL_JSONL_TIME_SIZE]);

/* One line, read. */
typedef struct hl_jsonl_event {
    hl_partition_directory partition;
    uint16_t partition_number;
    uint16_t shards;
    bool missing;                           /* first_sequence to last_sequence are not there */
    uint64_t first_sequence, last_sequence; /* the event's, both */
    char topic[256];
    char source[256];
    uint8_t topic_kind, topic_priority;
    hl_event event;         /* topic and source are not set */
    uint8_t payload[65536]; /* right behind it; event.payload_size bytes */
} hl_jsonl_event;

/* `line` without its newline. `place` ("events.jsonl:7") begins the sentence. HL_OK, HL_BAD_INPUT,
 * HL_NO_MEMORY. */
hl_status hl_jsonl_parse(const char *line, size_t size, const char *place,
                         hl_jsonl_event *ret_event, hl_error *error);

typedef struct hl_jsonl_export_options {
    hl_journal_reader_options reading; /* what; with `cursor`, only what is new, and the cursor is
                                          stored when the files are synced */
    const char *output;                /* directory, made if it is not there (not its parents) */
    bool compress;                     /* events_YYYY-MM-DD.jsonl.zst */
    bool replace;                      /* files that are there are written anew */
} hl_jsonl_export_options;

typedef struct hl_export_result {
    uint64_t events, missing, files;
} hl_export_result;

/*
 * Writes events_YYYY-MM-DD.jsonl by the UTC day of published_ns, each as NAME.tmp until all are
 * whole: what ends before that leaves no file short under its name, and what it leaves is written
 * over by the next. With a cursor lines are added to files that are there; a crash before the
 * cursor is stored repeats some at the next time, and leaves none out.
 * - HL_OK; HL_EXISTS: a file is there, and neither `replace` nor a cursor; HL_UNSUPPORTED: no zstd;
 *   HL_NO_SPACE, HL_SYSTEM; as hl_journal_reader_next.
 */
hl_status hl_jsonl_export(const hl_jsonl_export_options *options, hl_export_result *ret_result,
                          hl_error *error);

typedef struct hl_import_result {
    uint64_t events, missing, lines, partitions;
} hl_import_result;

/*
 * Reads JSON Lines from a file ("-": standard input) into a journal, which is made where it is not
 * there; partitions that are there must end before what comes.
 * - HL_OK: all is durable. HL_BAD_INPUT: "FILE:LINE: ..."; what stands before that line is in the
 *   journal. HL_LOCKED, HL_DAMAGED, HL_NO_SPACE, HL_SYSTEM, HL_NO_MEMORY.
 */
hl_status hl_jsonl_import(const char *path, const char *directory, hl_import_result *ret_result,
                          hl_error *error);

/* Into table `events` of an SQLite database, only what is not there yet (by partition and
 * sequence); see sqlite_export.c for the schema. `reading.cursor` is not used. HL_UNSUPPORTED in a
 * build without SQLite. */
hl_status hl_sqlite_export(const hl_journal_reader_options *reading, const char *path,
                           hl_export_result *ret_result, hl_error *error);

#endif
