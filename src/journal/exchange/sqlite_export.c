/*
 * The schema:
 *
 *     events(partition TEXT, sequence INTEGER, id INTEGER, published_ns INTEGER, topic TEXT,
 *            source TEXT, key INTEGER, correlation_id INTEGER, causation_id INTEGER,
 *            priority INTEGER, flags INTEGER, attempt INTEGER, schema_version INTEGER, payload
 * BLOB, PRIMARY KEY (partition, sequence)) WITHOUT ROWID missing(partition, first_sequence,
 * last_sequence, kind) exported(partition, next_sequence)     how far each partition has come, in
 * the same commit
 *
 * Unsigned 64-bit numbers are stored as the signed ones of the same bits. Write-ahead log, indexes
 * by time, topic, key and correlation id.
 */
#include "journal/exchange/jsonl.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "journal/reader.h"

#define EVENTS_A_COMMIT 50000u

static const char schema[] =
    "PRAGMA journal_mode = WAL;"
    "PRAGMA synchronous = FULL;"
    "CREATE TABLE IF NOT EXISTS events ("
    " partition TEXT NOT NULL, sequence INTEGER NOT NULL, id INTEGER NOT NULL,"
    " published_ns INTEGER NOT NULL, topic TEXT NOT NULL, source TEXT NOT NULL,"
    " key INTEGER NOT NULL, correlation_id INTEGER NOT NULL, causation_id INTEGER NOT NULL,"
    " priority INTEGER NOT NULL, flags INTEGER NOT NULL, attempt INTEGER NOT NULL,"
    " schema_version INTEGER NOT NULL, payload BLOB NOT NULL,"
    " PRIMARY KEY (partition, sequence)) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS events_time ON events (published_ns);"
    "CREATE INDEX IF NOT EXISTS events_topic ON events (topic, published_ns);"
    "CREATE INDEX IF NOT EXISTS events_key ON events (key, published_ns);"
    "CREATE INDEX IF NOT EXISTS events_correlation ON events (correlation_id);"
    "CREATE TABLE IF NOT EXISTS missing (partition TEXT NOT NULL, first_sequence INTEGER NOT NULL,"
    " last_sequence INTEGER NOT NULL, kind TEXT NOT NULL,"
    " PRIMARY KEY (partition, first_sequence)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS exported (partition TEXT PRIMARY KEY,"
    " next_sequence INTEGER NOT NULL) WITHOUT ROWID;";

typedef struct exporting {
    sqlite3 *database;
    const char *path;
    sqlite3_stmt *event, *missing, *position, *place;
    hl_export_result result;
    uint64_t uncommitted;
    hl_error *error;
} exporting;

static hl_status failed(exporting *this)
{
    const int code = sqlite3_errcode(this->database);
    return hl_error_set(this->error, code == SQLITE_FULL ? HL_NO_SPACE : HL_SYSTEM,
                        "%s: SQLite: %s", this->path, sqlite3_errmsg(this->database));
}

static hl_status run(exporting *this, const char *sql)
{
    return sqlite3_exec(this->database, sql, NULL, NULL, NULL) == SQLITE_OK ? HL_OK : failed(this);
}

static hl_status step(exporting *this, sqlite3_stmt *statement)
{
    const int code = sqlite3_step(statement);
    sqlite3_reset(statement);
    return code == SQLITE_DONE ? HL_OK : failed(this);
}

static hl_status prepare(exporting *this)
{
    const struct {
        sqlite3_stmt **statement;
        const char *sql;
    } all[] = {
        {&this->event, "INSERT OR IGNORE INTO events VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)"},
        {&this->missing, "INSERT OR IGNORE INTO missing VALUES (?,?,?,?)"},
        {&this->position, "INSERT OR REPLACE INTO exported VALUES (?,?)"},
        {&this->place, "SELECT next_sequence FROM exported WHERE partition = ?"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (sqlite3_prepare_v2(this->database, all[i].sql, -1, all[i].statement, NULL) != SQLITE_OK)
            return failed(this);
    return HL_OK;
}

static hl_status add_event(exporting *this, const hl_journal_entry *entry)
{
    const hl_event *const event = entry->event;
    sqlite3_stmt *const row = this->event;
    const int64_t numbers[] = {(int64_t)event->sequence, (int64_t)entry->id,
                               (int64_t)event->published_ns};
    const int64_t others[] = {(int64_t)event->key,
                              (int64_t)event->correlation_id,
                              (int64_t)event->causation_id,
                              event->priority,
                              event->flags,
                              event->attempt,
                              event->schema_version};
    int column = 1;
    sqlite3_bind_text(row, column++, entry->partition, -1, SQLITE_STATIC);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sqlite3_bind_int64(row, column++, numbers[i]);
    sqlite3_bind_text(row, column++, entry->topic, -1, SQLITE_STATIC);
    sqlite3_bind_text(row, column++, entry->source, -1, SQLITE_STATIC);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        sqlite3_bind_int64(row, column++, others[i]);
    sqlite3_bind_blob(row, column, hl_payload(event), (int)event->payload_size, SQLITE_STATIC);
    this->result.events++;
    return step(this, row);
}

static hl_status add_missing(exporting *this, const hl_journal_entry *entry)
{
    static const char *const kinds[] = {"", "gap", "removed", "damage"};
    if (entry->first_sequence == 0)
        return HL_OK; /* damage that took no event */
    sqlite3_bind_text(this->missing, 1, entry->partition, -1, SQLITE_STATIC);
    sqlite3_bind_int64(this->missing, 2, (int64_t)entry->first_sequence);
    sqlite3_bind_int64(this->missing, 3, (int64_t)entry->last_sequence);
    sqlite3_bind_text(this->missing, 4, kinds[entry->kind], -1, SQLITE_STATIC);
    this->result.missing++;
    return step(this, this->missing);
}

/* How far the partition has come, in the same transaction as its events. */
static hl_status commit(exporting *this, const char *partition, uint64_t next)
{
    sqlite3_bind_text(this->position, 1, partition, -1, SQLITE_STATIC);
    sqlite3_bind_int64(this->position, 2, (int64_t)next);
    hl_status status = step(this, this->position);
    if (status == HL_OK)
        status = run(this, "COMMIT");
    this->uncommitted = 0;
    return status;
}

static uint64_t place_of(exporting *this, const char *partition)
{
    sqlite3_bind_text(this->place, 1, partition, -1, SQLITE_STATIC);
    const uint64_t next = sqlite3_step(this->place) == SQLITE_ROW
                              ? (uint64_t)sqlite3_column_int64(this->place, 0)
                              : 0;
    sqlite3_reset(this->place);
    return next;
}

static hl_status export_entries(exporting *this, hl_journal_reader *reader, const char *partition,
                                uint64_t next)
{
    hl_journal_entry entry;
    hl_status status = run(this, "BEGIN IMMEDIATE");
    while (status == HL_OK) {
        const hl_status got = hl_journal_reader_next(reader, &entry, this->error);
        if (got == HL_NOT_FOUND)
            break;
        if (got != HL_OK) {
            commit(this, partition, next); /* what came before the damage is good */
            return got;
        }
        status =
            entry.kind == HL_JOURNAL_EVENT ? add_event(this, &entry) : add_missing(this, &entry);
        if (entry.last_sequence >= next)
            next = entry.last_sequence + 1;
        if (status == HL_OK && ++this->uncommitted == EVENTS_A_COMMIT) {
            status = commit(this, partition, next);
            if (status == HL_OK)
                status = run(this, "BEGIN IMMEDIATE");
        }
    }
    return status == HL_OK ? commit(this, partition, next) : status;
}

static hl_status export_partition(exporting *this, const hl_journal_reader_options *reading,
                                  const char *partition)
{
    hl_journal_reader_options options = *reading;
    hl_journal_reader *reader = NULL;
    const uint64_t next = place_of(this, partition);
    options.partition = partition;
    options.cursor = NULL;
    options.follow = false;
    if (options.filter.from_sequence < next)
        options.filter.from_sequence = next;
    if (options.filter.to_sequence != 0 && options.filter.to_sequence < next)
        return HL_OK;
    hl_status status = hl_journal_reader_open(&options, &reader, this->error);
    if (status == HL_OK)
        status = export_entries(this, reader, partition, next);
    hl_journal_reader_close(reader);
    return status;
}

hl_status hl_sqlite_export(const hl_journal_reader_options *reading, const char *path,
                           hl_export_result *ret_result, hl_error *error)
{
    exporting this = {.path = path, .error = error};
    hl_partition_directory *names = NULL;
    size_t count = 0;
    hl_status status = hl_partition_list(hl_io_posix(), reading->directory, reading->partition,
                                         &names, &count, error);
    if (status != HL_OK)
        return status;
    if (sqlite3_open(path, &this.database) != SQLITE_OK)
        status = failed(&this);
    if (status == HL_OK)
        status = run(&this, schema);
    if (status == HL_OK)
        status = prepare(&this);
    for (size_t i = 0; status == HL_OK && i < count; i++)
        status = export_partition(&this, reading, names[i].text);
    this.result.files = 1;
    sqlite3_finalize(this.event);
    sqlite3_finalize(this.missing);
    sqlite3_finalize(this.position);
    sqlite3_finalize(this.place);
    sqlite3_close(this.database); /* rolls back what is not committed */
    free(names);
    *ret_result = this.result;
    return status;
}
