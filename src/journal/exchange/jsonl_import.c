#include "journal/exchange/jsonl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "journal/writer.h"

#define WRITERS_MAX  1024u
#define TOPICS_MAX   65536u
#define SOURCES_MAX  65536u
#define GAP_IMPORTED 2u /* hl_gap.reason: the import's source did not have them */

typedef struct name {
    char *text;
    uint8_t detail[2];
} name;

/* Names by number, found through a table of hashes. */
typedef struct interned {
    name *names;
    uint32_t count;
    uint32_t limit;
    uint32_t *slots; /* number + 1 */
    uint32_t slot_count;
} interned;

typedef struct import_part {
    hl_partition_directory partition;
    hl_journal_writer *writer;
    uint64_t next;
} import_part;

typedef struct importing {
    const char *path;
    const char *directory;
    hl_import_result result;
    interned topics;
    interned sources;
    import_part *parts;
    hl_jsonl_event *event;
    hl_error *error;
} importing;

/* ---- names ---- */

static bool interned_init(interned *this, uint32_t limit)
{
    this->limit = limit;
    this->slot_count = 2 * limit;
    this->names = calloc(limit, sizeof *this->names);
    this->slots = calloc(this->slot_count, sizeof *this->slots);
    return this->names != NULL && this->slots != NULL;
}

static void interned_free(interned *this)
{
    for (uint32_t i = 0; i < this->count; i++)
        free(this->names[i].text);
    free(this->names);
    free(this->slots);
}

/* False: too many, or no memory. */
static bool intern(interned *this, const char *text, uint32_t *ret_number, bool *ret_new)
{
    uint32_t slot = hl_crc32c(0, text, strlen(text)) % this->slot_count;
    *ret_new = false;
    for (; this->slots[slot] != 0; slot = (slot + 1) % this->slot_count) {
        *ret_number = this->slots[slot] - 1;
        if (strcmp(this->names[*ret_number].text, text) == 0)
            return true;
    }
    char *const copy = this->count < this->limit ? strdup(text) : NULL;
    if (copy == NULL)
        return false;
    this->names[this->count].text = copy;
    *ret_number = this->count++;
    *ret_new = true;
    this->slots[slot] = this->count;
    return true;
}

static bool name_of(void *context, hl_dictionary_entry entry, uint32_t number, uint16_t version,
                    hl_journal_name *ret_name)
{
    const importing *const this = context;
    (void)version;
    if (entry == HL_DICTIONARY_SCHEMA)
        return false; /* a line has its version only */
    const interned *const table = entry == HL_DICTIONARY_TOPIC ? &this->topics : &this->sources;
    if (number >= table->count)
        return false;
    *ret_name = (hl_journal_name){.name = table->names[number].text};
    if (entry == HL_DICTIONARY_TOPIC) {
        ret_name->detail = table->names[number].detail;
        ret_name->detail_size = sizeof table->names[number].detail;
    }
    return true;
}

static bool name_event(importing *this)
{
    hl_jsonl_event *const event = this->event;
    uint32_t topic, source;
    bool new_topic, new_source;
    if (!intern(&this->topics, event->topic, &topic, &new_topic) ||
        !intern(&this->sources, event->source, &source, &new_source))
        return false;
    if (new_topic) {
        this->topics.names[topic].detail[0] = event->topic_kind;
        this->topics.names[topic].detail[1] = event->topic_priority;
    }
    event->event.topic = topic;
    event->event.source = (uint16_t)source;
    return true;
}

/* ---- partitions ---- */

static hl_status open_part(importing *this, import_part *part)
{
    const hl_jsonl_event *const event = this->event;
    hl_journal_writer_options options = HL_JOURNAL_WRITER_OPTIONS_INIT;
    hl_recovery recovery;
    options.directory = this->directory;
    options.domain = event->partition.domain;
    options.shard = event->partition.shard;
    options.shards = event->shards;
    options.partition = event->partition_number;
    options.name_of = name_of;
    options.name_context = this;
    const hl_status status =
        hl_journal_writer_open(&options, &part->writer, &recovery, this->error);
    if (status != HL_OK)
        return status;
    part->partition = event->partition;
    part->next = recovery.next_sequence;
    return HL_OK;
}

static hl_status part_of(importing *this, import_part **ret_part)
{
    for (uint64_t i = 0; i < this->result.partitions; i++)
        if (strcmp(this->parts[i].partition.text, this->event->partition.text) == 0) {
            *ret_part = &this->parts[i];
            return HL_OK;
        }
    if (this->result.partitions == WRITERS_MAX)
        return hl_error_set(this->error, HL_BAD_INPUT, "%s:%" PRIu64 ": more than %u partitions",
                            this->path, this->result.lines, WRITERS_MAX);
    import_part *const added = &this->parts[this->result.partitions];
    const hl_status status = open_part(this, added);
    if (status != HL_OK)
        return status;
    this->result.partitions++;
    *ret_part = added;
    return HL_OK;
}

static hl_status writer_failed(importing *this, const import_part *part)
{
    const hl_error *const why = hl_journal_writer_error(part->writer);
    return hl_error_set(this->error, why->status == HL_OK ? HL_SYSTEM : why->status, "%s",
                        why->text);
}

/* Puts down what is missing before the event, or up to the end of what a line says is missing. */
static hl_status skip_to(importing *this, import_part *part, uint64_t last)
{
    if (last < part->next)
        return HL_OK;
    const hl_status status = hl_journal_writer_skip(part->writer, last, GAP_IMPORTED);
    if (status != HL_OK)
        return writer_failed(this, part);
    part->next = last + 1;
    return HL_OK;
}

static hl_status append(importing *this, import_part *part)
{
    const hl_jsonl_event *const event = this->event;
    while (hl_journal_writer_append(part->writer, &event->event,
                                    sizeof event->event + sizeof event->payload, 1) != 1) {
        const hl_status status = hl_journal_writer_turn(part->writer, false);
        if (status != HL_OK || hl_journal_writer_error(part->writer)->status != HL_OK)
            return writer_failed(this, part);
    }
    part->next++;
    const hl_status status = hl_journal_writer_turn(part->writer, false);
    return status == HL_OK ? HL_OK : writer_failed(this, part);
}

static hl_status take_line(importing *this, const char *line, size_t size)
{
    char place[HL_JOURNAL_PATH_SIZE];
    import_part *part = NULL;
    snprintf(place, sizeof place, "%.400s:%" PRIu64, this->path, this->result.lines);
    hl_status status = hl_jsonl_parse(line, size, place, this->event, this->error);
    if (status == HL_OK)
        status = part_of(this, &part);
    if (status != HL_OK)
        return status;
    if (this->event->missing) {
        this->result.missing++;
        return skip_to(this, part, this->event->last_sequence);
    }
    const uint64_t sequence = this->event->event.sequence;
    if (sequence < part->next)
        return hl_error_set(this->error, HL_BAD_INPUT,
                            "%s: sequence %" PRIu64 " of %s comes after %" PRIu64
                            " is there: import into an empty directory, in the order of sequences",
                            place, sequence, part->partition.text, part->next - 1);
    if (!name_event(this))
        return hl_error_set(this->error, HL_BAD_INPUT,
                            "%s: more than %u topics or %u sources, or out of memory", place,
                            TOPICS_MAX, SOURCES_MAX);
    status = skip_to(this, part, sequence - 1);
    if (status == HL_OK)
        status = append(this, part);
    this->result.events += status == HL_OK;
    return status;
}

static hl_status read_lines(importing *this, FILE *file)
{
    char *line = NULL;
    size_t room = 0;
    hl_status status = HL_OK;
    for (ssize_t size; status == HL_OK && (size = getline(&line, &room, file)) >= 0;) {
        this->result.lines++;
        while (size > 0 && (line[size - 1] == '\n' || line[size - 1] == '\r'))
            size--;
        if (size > 0)
            status = take_line(this, line, (size_t)size);
    }
    free(line);
    if (status == HL_OK && ferror(file))
        return hl_io_error(this->error, -EIO, this->path, "read");
    return status;
}

static hl_status close_parts(importing *this, hl_status status)
{
    for (uint64_t i = 0; i < this->result.partitions; i++) {
        hl_error *const error = status == HL_OK ? this->error : NULL;
        const hl_status closed = hl_journal_writer_close(this->parts[i].writer, error);
        if (status == HL_OK)
            status = closed;
    }
    return status;
}

hl_status hl_jsonl_import(const char *path, const char *directory, hl_import_result *ret_result,
                          hl_error *error)
{
    importing this = {.path = path, .directory = directory, .error = error};
    FILE *const file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (file == NULL)
        return hl_io_error(error, -errno, path, "open");
    this.event = calloc(1, sizeof *this.event);
    this.parts = calloc(WRITERS_MAX, sizeof *this.parts);
    hl_status status = HL_OK;
    if (this.event == NULL || this.parts == NULL || !interned_init(&this.topics, TOPICS_MAX) ||
        !interned_init(&this.sources, SOURCES_MAX))
        status = hl_error_set(error, HL_NO_MEMORY, "import: out of memory");
    if (status == HL_OK)
        status = close_parts(&this, read_lines(&this, file));
    if (file != stdin)
        fclose(file);
    interned_free(&this.topics);
    interned_free(&this.sources);
    free(this.parts);
    free(this.event);
    *ret_result = this.result;
    return status;
}
