/*
 * hotlane journal verify, stat, repair.
 */
#include "journal_options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "journal/audit.h"
#include "journal/cursor.h"
#include "journal/exchange/jsonl.h"
#include "journal/recover.h"
#include "journal/verify.h"

/* ---- verify ---- */

typedef struct verification {
    bool json;
    json_t *damaged, *domains;
    uint64_t records, segments, torn_bytes, bytes, partitions;
} verification;

static void see_damage(void *context, const hl_verified_damage *damage)
{
    verification *const this = context;
    if (this->json) {
        json_array_append_new(this->damaged,
                              json_pack("{s:s, s:I, s:I, s:I, s:I, s:s}", "path", damage->path,
                                        "offset", (json_int_t)damage->offset, "size",
                                        (json_int_t)damage->size, "first_sequence",
                                        (json_int_t)damage->first_sequence, "last_sequence",
                                        (json_int_t)damage->last_sequence, "what", damage->what));
        return;
    }
    fprintf(stderr, "%s: byte %" PRIu64 ", %" PRIu64 " bytes: %s", damage->path, damage->offset,
            damage->size, damage->what);
    if (damage->last_sequence != 0 && damage->last_sequence >= damage->first_sequence)
        fprintf(stderr, "; sequences %" PRIu64 " to %" PRIu64 " are lost", damage->first_sequence,
                damage->last_sequence);
    fputc('\n', stderr);
}

static void see_partition(void *context, const hl_verified_partition *partition)
{
    verification *const this = context;
    this->records += partition->records;
    this->segments += partition->segments;
    this->torn_bytes += partition->torn_bytes;
    this->bytes += partition->bytes;
    this->partitions++;
    if (!this->json) {
        printf("%-20s %8" PRIu64 " segments %12" PRIu64 " records, sequences %" PRIu64
               " to %" PRIu64 "%s",
               partition->name.text, partition->segments, partition->records,
               partition->first_sequence, partition->last_sequence,
               partition->being_written ? ", a writer is at it"
               : partition->clean       ? ""
                                        : ", not closed");
        if (partition->torn_bytes > 0)
            printf(", torn tail of %" PRIu64 " bytes", partition->torn_bytes);
        printf(", %s\n", partition->damages == 0 ? "sound" : "DAMAGED");
        return;
    }
    json_object_set_new(
        this->domains, partition->name.text,
        json_pack("{s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:b}",
                  "domain", partition->name.domain, "shard", (int)partition->name.shard, "records",
                  (json_int_t)partition->records, "segments", (json_int_t)partition->segments,
                  "packed_segments", (json_int_t)partition->packed_segments, "gaps",
                  (json_int_t)partition->gaps, "first_sequence",
                  (json_int_t)partition->first_sequence, "last_sequence",
                  (json_int_t)partition->last_sequence, "first_ns", (json_int_t)partition->first_ns,
                  "last_ns", (json_int_t)partition->last_ns, "torn_bytes",
                  (json_int_t)partition->torn_bytes, "damages", (json_int_t)partition->damages,
                  "clean", partition->clean, "being_written", partition->being_written));
}

hl_exit journal_verify(const journal_options *options)
{
    verification this = {.json = options->json};
    const hl_verify_visitor visitor = {&this, see_damage, see_partition};
    const hl_verify_options verifying = {.directory = options->reading.directory,
                                         .partition = options->reading.partition,
                                         .keys = options->keys};
    uint64_t damages = 0;
    hl_error error = {0};
    this.damaged = json_array();
    this.domains = json_object();
    const hl_status status =
        hl_journal_verify(hl_io_posix(), &verifying, &visitor, &damages, &error);
    if (status != HL_OK) {
        json_decref(this.damaged);
        json_decref(this.domains);
        return journal_failed(&error);
    }
    if (options->json)
        journal_print(json_pack(
            "{s:s, s:b, s:I, s:I, s:I, s:I, s:o, s:o}", "directory", options->reading.directory,
            "sound", damages == 0, "records", (json_int_t)this.records, "segments",
            (json_int_t)this.segments, "bytes", (json_int_t)this.bytes, "torn_bytes",
            (json_int_t)this.torn_bytes, "domains", this.domains, "damaged", this.damaged));
    else if (this.partitions == 0)
        printf("%s: no partition in this directory, nothing to verify\n",
               options->reading.directory);
    else
        printf("%s: %" PRIu64 " records in %" PRIu64 " segments: %s\n", options->reading.directory,
               this.records, this.segments, damages == 0 ? "sound" : "DAMAGED");
    if (!options->json) {
        json_decref(this.damaged);
        json_decref(this.domains);
    }
    return damages == 0 ? HL_EXIT_OK : HL_EXIT_FAILED;
}

/* ---- stat ---- */

typedef struct topic_count {
    char *name;
    uint64_t events, payload_bytes;
} topic_count;

typedef struct counting {
    topic_count *topics;
    size_t count;
    uint64_t events, payload_bytes, missing, first_ns, last_ns;
} counting;

static bool count_event(counting *this, const hl_journal_entry *entry)
{
    const hl_event *const event = entry->event;
    size_t i = 0;
    while (i < this->count && strcmp(this->topics[i].name, entry->topic) != 0)
        i++;
    if (i == this->count) {
        topic_count *const topics = realloc(this->topics, (i + 1) * sizeof *topics);
        if (topics == NULL)
            return false;
        this->topics = topics;
        topics[i] = (topic_count){.name = strdup(entry->topic)};
        if (topics[i].name == NULL)
            return false;
        this->count++;
    }
    this->topics[i].events++;
    this->topics[i].payload_bytes += event->payload_size;
    if (this->events == 0 || event->published_ns < this->first_ns)
        this->first_ns = event->published_ns;
    if (event->published_ns > this->last_ns)
        this->last_ns = event->published_ns;
    this->events++;
    this->payload_bytes += event->payload_size;
    return true;
}

typedef struct cursors {
    json_t *list;
} cursors;

static hl_status see_cursor(void *context, const char *name, const hl_cursor_position *positions,
                            size_t count)
{
    cursors *const this = context;
    json_t *const all = json_object();
    for (size_t i = 0; i < count; i++)
        json_object_set_new(all, positions[i].partition,
                            json_integer((json_int_t)positions[i].next_sequence));
    json_object_set_new(this->list, name, all);
    return HL_OK;
}

static void print_counts(const counting *this, const cursors *readers)
{
    char first[HL_JSONL_TIME_SIZE], last[HL_JSONL_TIME_SIZE];
    hl_jsonl_time(this->first_ns, first);
    hl_jsonl_time(this->last_ns, last);
    printf("%" PRIu64 " events, %" PRIu64 " bytes of payload, %" PRIu64
           " not there\nfrom %s to %s\n",
           this->events, this->payload_bytes, this->missing, first, last);
    for (size_t i = 0; i < this->count; i++)
        printf("  %-30s %12" PRIu64 " events %14" PRIu64 " bytes\n",
               *this->topics[i].name != '\0' ? this->topics[i].name : "(no name)",
               this->topics[i].events, this->topics[i].payload_bytes);
    const char *name;
    json_t *positions;
    json_object_foreach(readers->list, name, positions)
    {
        char *const text = json_dumps(positions, JSON_COMPACT);
        printf("cursor %s: %s\n", name, text != NULL ? text : "");
        free(text);
    }
}

static json_t *topics_of(const counting *this)
{
    json_t *const topics = json_object();
    for (size_t i = 0; i < this->count; i++)
        json_object_set_new(topics, this->topics[i].name,
                            json_pack("{s:I, s:I}", "events", (json_int_t)this->topics[i].events,
                                      "payload_bytes", (json_int_t)this->topics[i].payload_bytes));
    return topics;
}

hl_exit journal_stat(const journal_options *options)
{
    counting this = {0};
    cursors readers = {.list = json_object()};
    hl_journal_reader *reader = NULL;
    hl_journal_entry entry;
    hl_error error = {0};
    hl_status status = hl_journal_reader_open(&options->reading, &reader, &error);
    bool room = true;
    while (status == HL_OK && room &&
           (status = hl_journal_reader_next(reader, &entry, &error)) == HL_OK) {
        if (entry.kind == HL_JOURNAL_EVENT)
            room = count_event(&this, &entry);
        else if (entry.first_sequence != 0)
            this.missing += entry.last_sequence - entry.first_sequence + 1;
    }
    const bool opened = reader != NULL;
    hl_journal_reader_close(reader);
    if (status == HL_NOT_FOUND && opened)
        status =
            hl_cursor_each(hl_io_posix(), options->reading.directory, see_cursor, &readers, &error);
    hl_exit outcome = HL_EXIT_OK;
    if (status != HL_OK)
        outcome = journal_failed(&error);
    else if (options->json)
        journal_print(json_pack(
            "{s:s, s:I, s:I, s:I, s:I, s:I, s:o, s:O}", "directory", options->reading.directory,
            "events", (json_int_t)this.events, "payload_bytes", (json_int_t)this.payload_bytes,
            "missing", (json_int_t)this.missing, "first_ns", (json_int_t)this.first_ns, "last_ns",
            (json_int_t)this.last_ns, "topics", topics_of(&this), "cursors", readers.list));
    else
        print_counts(&this, &readers);
    for (size_t i = 0; i < this.count; i++)
        free(this.topics[i].name);
    free(this.topics);
    json_decref(readers.list);
    return outcome;
}

/* ---- repair ---- */

/* As a writer does when it opens, under the same lock. */
static hl_status repair_partition(const char *directory, hl_damage_policy policy,
                                  hl_recovery *ret_recovery, hl_error *error)
{
    const hl_io *const io = hl_io_posix();
    char path[HL_JOURNAL_PATH_SIZE + 8];
    hl_io_owner owner = {0};
    snprintf(path, sizeof path, "%s/lock", directory);
    const int lock = io->lock(io->context, path, &owner);
    if (lock == -EWOULDBLOCK) {
        snprintf(error->text, sizeof error->text,
                 "%.300s: process %" PRId64 " writes this journal: stop it first", path, owner.pid);
        return error->status = HL_LOCKED;
    }
    if (lock < 0)
        return hl_io_error(error, lock, path, "lock");
    const hl_status status = hl_journal_recover(io, directory, policy, ret_recovery, error);
    io->unlock(io->context, lock);
    return status;
}

static void tell_repair(const journal_options *options, json_t *list, const char *partition,
                        const hl_recovery *recovery)
{
    char detail[200];
    snprintf(detail, sizeof detail, "%s: %s, %" PRIu64 " torn bytes cut, last sequence %" PRIu64,
             partition, recovery->was_clean ? "was closed clean" : "was not closed",
             recovery->torn_bytes, recovery->last_sequence);
    hl_audit_add(hl_io_posix(), options->reading.directory, "repair", detail, NULL);
    if (options->json)
        json_object_set_new(list, partition,
                            json_pack("{s:b, s:I, s:I, s:I, s:I}", "was_clean", recovery->was_clean,
                                      "torn_bytes", (json_int_t)recovery->torn_bytes,
                                      "last_sequence", (json_int_t)recovery->last_sequence,
                                      "next_sequence", (json_int_t)recovery->next_sequence,
                                      "damages", (json_int_t)recovery->findings.damages));
    else
        puts(detail);
}

hl_exit journal_repair(const journal_options *options)
{
    hl_partition_directory *names = NULL;
    size_t count = 0;
    hl_error error = {0};
    json_t *const list = json_object();
    const hl_damage_policy policy = options->reading.salvage ? HL_DAMAGE_SALVAGE : HL_DAMAGE_STRICT;
    hl_status status = journal_partitions(options, &names, &count, &error);
    for (size_t i = 0; status == HL_OK && i < count; i++) {
        char directory[HL_JOURNAL_PATH_SIZE];
        hl_recovery recovery = {0};
        snprintf(directory, sizeof directory, "%.3900s/%s", options->reading.directory,
                 names[i].text);
        status = repair_partition(directory, policy, &recovery, &error);
        if (status == HL_OK)
            tell_repair(options, list, names[i].text, &recovery);
    }
    free(names);
    if (status == HL_OK && options->json)
        journal_print(
            json_pack("{s:s, s:O}", "directory", options->reading.directory, "partitions", list));
    json_decref(list);
    return status == HL_OK ? HL_EXIT_OK : journal_failed(&error);
}
