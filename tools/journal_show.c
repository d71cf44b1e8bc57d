/*
 * hotlane journal ls, cat, tail.
 */
#include "journal_options.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "journal/exchange/jsonl.h"
#include "journal/footer.h"
#include "journal/packed.h"
#include "journal/segment.h"

#define TAIL_DEFAULT 10u
#define WAIT_NS      (uint64_t)3600000000000 /* it is woken when there is something */

/* ---- ls ---- */

typedef struct listing {
    const journal_options *options;
    hl_packed_io *packed;
    json_t *segments; /* NULL: as text */
    hl_error error;
} listing;

typedef struct segment_line {
    const char *partition, *path, *state;
    hl_segment_header header;
    hl_footer footer; /* events, sequences and times: 0 where it has none */
    uint64_t bytes, plain_bytes;
} segment_line;

static void print_segment(const listing *this, const segment_line *line)
{
    if (this->segments != NULL) {
        json_array_append_new(
            this->segments,
            json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:b, s:b}",
                      "path", line->path, "partition", line->partition, "state", line->state,
                      "first_sequence", (json_int_t)line->header.first_sequence, "last_sequence",
                      (json_int_t)line->footer.last_sequence, "events",
                      (json_int_t)line->footer.events, "gaps", (json_int_t)line->footer.gaps,
                      "first_ns", (json_int_t)line->footer.first_ns, "last_ns",
                      (json_int_t)line->footer.last_ns, "bytes", (json_int_t)line->bytes,
                      "unpacked_bytes", (json_int_t)line->plain_bytes, "epoch",
                      (int)line->header.epoch, "compressed",
                      (line->header.flags & HL_SEGMENT_COMPRESSED) != 0, "encrypted",
                      (line->header.flags & HL_SEGMENT_ENCRYPTED) != 0));
        return;
    }
    printf("%-9s %12" PRIu64 " %10" PRIu64 "  %s%s%s\n", line->state, line->bytes,
           line->footer.events, line->path,
           (line->header.flags & HL_SEGMENT_COMPRESSED) != 0 ? "  compressed" : "",
           (line->header.flags & HL_SEGMENT_ENCRYPTED) != 0 ? "  encrypted" : "");
}

/* What the header and the footer say; the records are not read. */
static void list_segment(listing *this, const char *partition, const char *path)
{
    const hl_io *const io = hl_packed_io_table(this->packed);
    const hl_io *const plain = hl_io_posix();
    _Alignas(8) uint8_t block[HL_JOURNAL_HEADER_SIZE];
    segment_line line = {.partition = partition, .path = path, .state = "unknown"};
    hl_io_file file = plain->open(plain->context, path, HL_IO_READ);
    if (file >= 0) {
        line.bytes = line.plain_bytes = (uint64_t)plain->size(plain->context, file);
        plain->close(plain->context, file);
    }
    file = io->open(io->context, path, HL_IO_READ);
    if (file < 0) {
        hl_packed_io_take_error(this->packed, NULL);
        print_segment(this, &line);
        return;
    }
    line.plain_bytes = (uint64_t)io->size(io->context, file);
    if (hl_io_read_all(io, file, block, sizeof block, 0) == (int64_t)sizeof block &&
        hl_segment_header_decode(block, path, &line.header, NULL) == HL_OK) {
        const hl_footer_source source = {io, file, path, line.header.salt};
        line.state = hl_footer_peek(&source, &line.footer) ? "sealed" : "open";
    }
    io->close(io->context, file);
    print_segment(this, &line);
}

static hl_status list_partition(listing *this, const hl_partition_directory *name)
{
    char directory[HL_JOURNAL_PATH_SIZE], path[HL_JOURNAL_PATH_SIZE];
    hl_segment_name *segments = NULL;
    size_t count = 0;
    snprintf(directory, sizeof directory, "%.3900s/%s", this->options->reading.directory,
             name->text);
    const hl_status status =
        hl_segment_list(hl_io_posix(), directory, &segments, &count, &this->error);
    for (size_t i = 0; status == HL_OK && i < count; i++)
        if (hl_segment_path(directory, segments[i], path, NULL) == HL_OK)
            list_segment(this, name->text, path);
    free(segments);
    return status;
}

hl_exit journal_ls(const journal_options *options)
{
    hl_partition_directory *names = NULL;
    size_t count = 0;
    listing this = {.options = options,
                    .packed = hl_packed_io_create(hl_io_posix(), options->keys),
                    .segments = options->json ? json_array() : NULL};
    hl_status status = hl_partition_list(hl_io_posix(), options->reading.directory,
                                         options->reading.partition, &names, &count, &this.error);
    if (!options->json && status == HL_OK)
        printf("%-9s %12s %10s  %s\n", "state", "bytes", "events", "segment");
    for (size_t i = 0; status == HL_OK && i < count; i++)
        status = list_partition(&this, &names[i]);
    free(names);
    hl_packed_io_free(this.packed);
    if (status != HL_OK) {
        json_decref(this.segments);
        return journal_failed(&this.error);
    }
    if (options->json)
        journal_print(json_pack("{s:s, s:o}", "directory", options->reading.directory, "segments",
                                this.segments));
    return HL_EXIT_OK;
}

/* ---- cat, tail ---- */

void journal_print_entry(const hl_journal_entry *entry, int indent, FILE *stream)
{
    const hl_event *const event = entry->event;
    if (event == NULL) {
        fprintf(stream, "%*s-- %s: %s, sequences %" PRIu64 " to %" PRIu64 " %s\n", indent, "",
                entry->partition,
                entry->kind == HL_JOURNAL_GAP       ? "not journaled"
                : entry->kind == HL_JOURNAL_REMOVED ? "removed by retention"
                                                    : "damaged",
                entry->first_sequence, entry->last_sequence, entry->detail);
        return;
    }
    char time_text[HL_JSONL_TIME_SIZE];
    hl_jsonl_time(event->published_ns, time_text);
    fprintf(stream, "%s %*s%u:%" PRIu64 " %s key=%" PRIu64 " %u bytes from %s", time_text, indent,
            "", (unsigned)entry->partition_number, event->sequence,
            *entry->topic != '\0' ? entry->topic : "(no name)", event->key, event->payload_size,
            *entry->source != '\0' ? entry->source : "(no name)");
    if (event->causation_id != 0)
        fprintf(stream, " caused by %u:%" PRIu64, hl_id_partition(event->causation_id),
                hl_id_sequence(event->causation_id));
    fputs((event->flags & HL_EVENT_EXTERNAL) != 0 ? " external\n" : "\n", stream);
}

static void print_line(const hl_journal_entry *entry)
{
    json_t *const object = hl_jsonl_object(entry);
    json_dumpf(object, stdout, JSON_COMPACT);
    json_decref(object);
}

/* Exactly as many calls as events shown: what is behind the limit stays for the cursor. */
static hl_status show(hl_journal_reader *reader, const journal_options *options,
                      uint64_t *ret_shown, hl_error *error)
{
    hl_journal_entry entry;
    uint64_t shown = 0;
    hl_status status = HL_NOT_FOUND;
    while ((options->limit == 0 || shown < options->limit) &&
           (status = hl_journal_reader_next(reader, &entry, error)) == HL_OK) {
        if (options->json) {
            fputs(shown > 0 ? ",\n" : "\n", stdout);
            print_line(&entry);
        } else {
            journal_print_entry(&entry, 0, stdout);
        }
        shown++;
        if (ferror(stdout))
            break;
    }
    *ret_shown = shown;
    return status;
}

hl_exit journal_cat(const journal_options *options)
{
    hl_journal_reader *reader = NULL;
    hl_error error = {0};
    uint64_t shown = 0;
    hl_status status = hl_journal_reader_open(&options->reading, &reader, &error);
    if (status != HL_OK)
        return journal_failed(&error);
    if (options->reading.filter.by_correlation) {
        const hl_exit outcome = journal_show_story(reader, options);
        hl_journal_reader_close(reader);
        return outcome;
    }
    if (options->json)
        fputs("{\"events\": [", stdout);
    status = show(reader, options, &shown, &error);
    const bool good = status == HL_OK || status == HL_NOT_FOUND;
    if (options->json) {
        json_t *const why = good ? json_null() : json_string(error.text);
        fputs("],\n\"error\": ", stdout);
        json_dumpf(why, stdout, JSON_ENCODE_ANY);
        printf(", \"count\": %" PRIu64 "}\n", shown);
        json_decref(why);
    }
    hl_exit outcome = good ? HL_EXIT_OK : journal_failed(&error);
    if (good && options->reading.cursor != NULL && fflush(stdout) == 0 &&
        hl_journal_reader_store_cursor(reader, options->reading.cursor, &error) != HL_OK)
        outcome = journal_failed(&error);
    hl_journal_reader_close(reader);
    return outcome;
}

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

/* The lines of the last events, a ring of them. */
typedef struct last_lines {
    char **lines;
    uint64_t room, count;
} last_lines;

static char *line_of(const hl_journal_entry *entry, bool json)
{
    char *text = NULL;
    size_t size = 0;
    FILE *const stream = open_memstream(&text, &size);
    if (stream == NULL)
        return NULL;
    if (json) {
        json_t *const object = hl_jsonl_object(entry);
        json_dumpf(object, stream, JSON_COMPACT);
        json_decref(object);
        fputc('\n', stream);
    } else {
        journal_print_entry(entry, 0, stream);
    }
    fclose(stream);
    return text;
}

static void keep(last_lines *last, char *line)
{
    char **const slot = &last->lines[last->count++ % last->room];
    free(*slot);
    *slot = line;
}

static void print_kept(last_lines *last)
{
    const uint64_t count = last->count < last->room ? last->count : last->room;
    for (uint64_t i = last->count - count; i < last->count; i++)
        if (last->lines[i % last->room] != NULL)
            fputs(last->lines[i % last->room], stdout);
    for (uint64_t i = 0; i < last->room; i++)
        free(last->lines[i]);
    free(last->lines);
    last->lines = NULL;
}

static hl_status follow(hl_journal_reader *reader, const journal_options *options, hl_error *error)
{
    hl_journal_entry entry;
    while (!interrupted) {
        const hl_status status = hl_journal_reader_next(reader, &entry, error);
        if (status == HL_NOT_FOUND) {
            if (fflush(stdout) != 0 || hl_journal_reader_wait(reader, WAIT_NS) == HL_FAILED)
                return HL_NOT_FOUND;
            continue;
        }
        if (status != HL_OK)
            return status;
        char *const line = line_of(&entry, options->json);
        if (line != NULL)
            fputs(line, stdout);
        free(line);
    }
    return HL_NOT_FOUND;
}

/* Begins `count` events before the end of each partition, where nothing is filtered. */
static hl_status go_near_end(hl_journal_reader *reader, const journal_options *options,
                             uint64_t count, hl_error *error)
{
    const hl_journal_filter *const filter = &options->reading.filter;
    const bool any = filter->topic == NULL && !filter->by_key && !filter->by_correlation &&
                     filter->from_sequence == 0 && filter->from_ns == 0 &&
                     filter->to_sequence == 0 && filter->to_ns == 0;
    hl_partition_directory *names = NULL;
    size_t partitions = 0;
    hl_status status = hl_partition_list(hl_io_posix(), options->reading.directory,
                                         options->reading.partition, &names, &partitions, error);
    char directory[HL_JOURNAL_PATH_SIZE];
    hl_segment_name *segments = NULL;
    size_t segment_count = 0;
    /* Of one partition only: sequences of several have nothing to do with each other. */
    if (status == HL_OK && any && partitions == 1) {
        snprintf(directory, sizeof directory, "%.3900s/%s", options->reading.directory,
                 names[0].text);
        status = hl_segment_list(hl_io_posix(), directory, &segments, &segment_count, error);
        /* The newest segment may hold too few: the one before it then has the rest. */
        if (status == HL_OK && segment_count > 1 && count < 1000)
            status = hl_journal_reader_seek_sequence(
                reader, segments[segment_count - 2].first_sequence, error);
    }
    free(segments);
    free(names);
    return status;
}

hl_exit journal_tail(const journal_options *options)
{
    hl_journal_reader *reader = NULL;
    hl_error error = {0};
    hl_journal_entry entry;
    last_lines last = {.room = options->limit != 0 ? options->limit : TAIL_DEFAULT};
    hl_status status = hl_journal_reader_open(&options->reading, &reader, &error);
    if (status != HL_OK)
        return journal_failed(&error);
    last.lines = last.room > 1u << 20 ? NULL : calloc(last.room, sizeof *last.lines);
    if (last.lines == NULL) {
        fprintf(stderr, "journal tail: --limit %" PRIu64 " is too many; cat shows all\n",
                last.room);
        hl_journal_reader_close(reader);
        return HL_EXIT_USAGE;
    }
    signal(SIGINT, interrupt);
    signal(SIGTERM, interrupt);
    status = go_near_end(reader, options, last.room, &error);
    while (status == HL_OK && (status = hl_journal_reader_next(reader, &entry, &error)) == HL_OK)
        keep(&last, line_of(&entry, options->json));
    print_kept(&last);
    if (status == HL_NOT_FOUND && options->reading.follow)
        status = follow(reader, options, &error);
    hl_journal_reader_close(reader);
    return status == HL_OK || status == HL_NOT_FOUND ? HL_EXIT_OK : journal_failed(&error);
}
