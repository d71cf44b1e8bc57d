/*
 * hotlane journal ls, cat.
 */
#include "journal_options.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "journal/exchange/jsonl.h"
#include "journal/footer.h"
#include "journal/packed.h"
#include "journal/segment.h"

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
    bool is_locked;   /* the footer is encrypted, and its key is not there */
    uint64_t bytes, plain_bytes;
} segment_line;

/* null where it is behind a key that is not there. */
static json_t *of_footer(const segment_line *line, uint64_t value)
{
    return line->is_locked ? json_null() : json_integer((json_int_t)value);
}

static void print_segment(const listing *this, const segment_line *line)
{
    const hl_segment_header *const header = &line->header;
    const hl_footer *const footer = &line->footer;
    const bool is_encrypted = (header->flags & HL_SEGMENT_ENCRYPTED) != 0;
    char key[24] = "", events[24] = "-";
    if (is_encrypted)
        snprintf(key, sizeof key, "%016" PRIx64, header->key_id);
    if (!line->is_locked)
        snprintf(events, sizeof events, "%" PRIu64, footer->events);
    if (this->segments != NULL) {
        json_array_append_new(
            this->segments,
            json_pack("{s:s, s:s, s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:i, s:b, s:b, "
                      "s:s?}",
                      "path", line->path, "partition", line->partition, "state", line->state,
                      "first_sequence", (json_int_t)header->first_sequence, "created_ns",
                      (json_int_t)header->created_ns, "last_sequence",
                      of_footer(line, footer->last_sequence), "events",
                      of_footer(line, footer->events), "gaps", of_footer(line, footer->gaps),
                      "first_ns", of_footer(line, footer->first_ns), "last_ns",
                      of_footer(line, footer->last_ns), "bytes", (json_int_t)line->bytes,
                      "unpacked_bytes", (json_int_t)line->plain_bytes, "epoch", (int)header->epoch,
                      "compressed", (header->flags & HL_SEGMENT_COMPRESSED) != 0, "encrypted",
                      is_encrypted, "key_id", is_encrypted ? key : NULL));
        return;
    }
    printf("%-9s %12" PRIu64 " %10s  %s%s%s%s%s\n", line->state, line->bytes, events, line->path,
           (header->flags & HL_SEGMENT_COMPRESSED) != 0 ? "  compressed" : "",
           is_encrypted ? "  encrypted with key " : "", key,
           line->is_locked ? ", which is not there" : "");
}

/* What can be read of a packed segment without its key: header block, and size when unpacked. */
static void look_without_key(segment_line *line, const hl_io *io)
{
    _Alignas(8) uint8_t block[HL_JOURNAL_HEADER_SIZE];
    hl_pack_tail tail;
    const hl_io_file file = io->open(io->context, line->path, HL_IO_READ);
    if (file < 0)
        return;
    line->bytes = line->plain_bytes = (uint64_t)io->size(io->context, file);
    if (hl_io_read_all(io, file, block, sizeof block, 0) == (int64_t)sizeof block &&
        hl_segment_header_decode(block, line->path, &line->header, NULL) == HL_OK &&
        hl_segment_is_packed(&line->header) && line->bytes >= sizeof block + sizeof tail &&
        hl_io_read_all(io, file, &tail, sizeof tail, line->bytes - sizeof tail) ==
            (int64_t)sizeof tail &&
        tail.mark == (HL_PACK_TAIL_MARK ^ line->header.salt))
        line->plain_bytes = tail.plain_size;
    io->close(io->context, file);
}

/* What the header and the footer say; the records are not read. */
static void list_segment(listing *this, const char *partition, const char *path)
{
    const hl_io *const io = hl_packed_io_table(this->packed);
    _Alignas(8) uint8_t block[HL_JOURNAL_HEADER_SIZE];
    segment_line line = {.partition = partition, .path = path, .state = "unknown"};
    look_without_key(&line, hl_io_posix());
    const hl_io_file file = io->open(io->context, path, HL_IO_READ);
    if (file < 0) {
        const hl_crypt_key *key;
        hl_packed_io_take_error(this->packed, NULL);
        line.is_locked =
            (line.header.flags & HL_SEGMENT_ENCRYPTED) != 0 &&
            hl_crypt_find(this->options->keys, line.header.key_id, path, &key, NULL) != HL_OK;
        if (line.is_locked)
            line.state = "encrypted";
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
    hl_status status = journal_partitions(options, &names, &count, &this.error);
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

/* ---- cat ---- */

/* Without a line break. */
static void print_object(const hl_journal_entry *entry, FILE *stream)
{
    json_t *const object = hl_jsonl_object(entry);
    json_dumpf(object, stream, JSON_COMPACT);
    json_decref(object);
}

void journal_print_entry(const hl_journal_entry *entry, bool json, FILE *stream)
{
    const hl_event *const event = entry->event;
    if (json) {
        print_object(entry, stream);
        fputc('\n', stream);
        return;
    }
    if (event == NULL) {
        fprintf(stream, "-- %s: %s, sequences %" PRIu64 " to %" PRIu64 " %s\n", entry->partition,
                entry->kind == HL_JOURNAL_GAP       ? "not journaled"
                : entry->kind == HL_JOURNAL_REMOVED ? "removed by retention"
                                                    : "damaged",
                entry->first_sequence, entry->last_sequence, entry->detail);
        return;
    }
    char time_text[HL_JSONL_TIME_SIZE];
    hl_jsonl_time(event->published_ns, time_text);
    fprintf(stream, "%s %u:%" PRIu64 " %s key=%" PRIu64 " %u bytes from %s", time_text,
            (unsigned)entry->partition_number, event->sequence,
            *entry->topic != '\0' ? entry->topic : "(no name)", event->key, event->payload_size,
            *entry->source != '\0' ? entry->source : "(no name)");
    if (event->causation_id != 0)
        fprintf(stream, " caused by %u:%" PRIu64, hl_id_partition(event->causation_id),
                hl_id_sequence(event->causation_id));
    fputs((event->flags & HL_EVENT_EXTERNAL) != 0 ? " external\n" : "\n", stream);
}

char *journal_entry_line(const hl_journal_entry *entry, bool json)
{
    char *text = NULL;
    size_t size = 0;
    FILE *const stream = open_memstream(&text, &size);
    if (stream == NULL)
        return NULL;
    journal_print_entry(entry, json, stream);
    fclose(stream);
    return text;
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
            print_object(&entry, stdout);
        } else {
            journal_print_entry(&entry, false, stdout);
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
