#include "written.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOPICS  3u
#define SOURCES 2u
#define GAP     5u

static uint64_t hash(uint64_t value)
{
    value = (value + 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 29)) * 0x94d049bb133111ebu;
    return value ^ (value >> 32);
}

static void require(bool holds, const char *what, const char *detail)
{
    if (holds)
        return;
    fprintf(stderr, "cannot %s: %s\n", what, detail);
    abort();
}

void written_event_of(uint16_t partition, uint64_t sequence, written_event *ret_event)
{
    const uint64_t number = hash(sequence ^ (uint64_t)partition << 40);
    const uint64_t story = sequence - sequence % WRITTEN_STORY;
    memset(ret_event, 0, sizeof *ret_event);
    ret_event->event = (hl_event){
        .sequence = sequence,
        .published_ns = WRITTEN_BASE_NS + sequence * WRITTEN_STEP_NS,
        .key = sequence % WRITTEN_RARE_EVERY == 0 ? WRITTEN_RARE_KEY : number % WRITTEN_KEYS,
        .correlation_id = sequence == story ? 0 : hl_event_id_of(partition, story),
        .causation_id = sequence == story ? 0 : hl_event_id_of(partition, sequence - 1),
        .topic = (uint32_t)(sequence % TOPICS),
        .payload_size = (uint32_t)(number >> 20) % (WRITTEN_PAYLOAD_MAX + 1),
        .source = (uint16_t)(sequence % SOURCES),
        .schema_version = 1,
        .priority = HL_NORMAL,
        .flags = sequence == story ? HL_EVENT_EXTERNAL : 0};
    for (uint32_t i = 0; i < ret_event->event.payload_size; i++)
        ret_event->payload[i] = (uint8_t)hash(sequence + ((uint64_t)i << 40));
}

const char *written_topic_of(uint64_t sequence)
{
    static const char *const names[TOPICS] = {"new", "cancel", "status"};
    return names[sequence % TOPICS];
}

bool written_is_right(const hl_journal_entry *entry)
{
    written_event right;
    char topic[HL_JOURNAL_DOMAIN_SIZE + 16];
    if (entry->kind != HL_JOURNAL_EVENT)
        return false;
    written_event_of(entry->partition_number, entry->event->sequence, &right);
    right.event.stamp = entry->event->stamp;
    snprintf(topic, sizeof topic, "%s.%s", entry->domain, written_topic_of(right.event.sequence));
    return memcmp(&right, entry->event, sizeof right.event + right.event.payload_size) == 0 &&
           strcmp(entry->topic, topic) == 0 &&
           strcmp(entry->source, right.event.source == 0 ? "feed-a" : "feed-b") == 0 &&
           entry->id == hl_event_id_of(entry->partition_number, right.event.sequence);
}

static bool name_of(void *context, hl_dictionary_entry entry, uint32_t number, uint16_t version,
                    hl_journal_name *ret_name)
{
    static _Thread_local char text[HL_JOURNAL_DOMAIN_SIZE + 16];
    static const uint8_t delta_normal[2] = {0, HL_NORMAL};
    (void)version;
    if (entry == HL_DICTIONARY_SCHEMA)
        return false;
    if (entry == HL_DICTIONARY_SOURCE)
        *ret_name = (hl_journal_name){.name = number == 0 ? "feed-a" : "feed-b"};
    else {
        snprintf(text, sizeof text, "%s.%s", (const char *)context, written_topic_of(number));
        *ret_name = (hl_journal_name){
            .name = text, .detail = delta_normal, .detail_size = sizeof delta_normal};
    }
    return true;
}

hl_journal_writer *written_open(const char *directory, const written_options *options,
                                hl_journal_progress *progress, uint64_t *ret_next_sequence)
{
    hl_journal_writer_options writing = HL_JOURNAL_WRITER_OPTIONS_INIT;
    hl_journal_writer *writer = NULL;
    hl_recovery recovery;
    hl_error error = {0};
    const char *const domain = options->domain != NULL ? options->domain : "order";
    writing.directory = directory;
    writing.domain = domain;
    writing.shard = options->shard;
    writing.shards = options->shards != 0 ? options->shards : 1;
    writing.partition = options->partition;
    writing.segment_bytes = options->segment_bytes;
    writing.commit_events = UINT64_MAX; /* these tests are not about what a power cut leaves */
    writing.commit_interval_ns = UINT64_MAX;
    writing.name_of = name_of;
    writing.name_context = (void *)(uintptr_t)domain;
    writing.progress = progress;
    writing.dictionary_limit = 64;
    require(hl_journal_writer_open(&writing, &writer, &recovery, &error) == HL_OK, "open",
            error.text);
    *ret_next_sequence = recovery.next_sequence;
    return writer;
}

void written_append(hl_journal_writer *writer, uint16_t partition, uint64_t first, uint64_t last)
{
    enum { RUN = 256 };
    static _Thread_local written_event events[RUN];
    for (uint64_t next = first; next <= last;) {
        const size_t count = last - next + 1 < RUN ? (size_t)(last - next + 1) : RUN;
        for (size_t i = 0; i < count; i++)
            written_event_of(partition, next + i, &events[i]);
        for (size_t taken = 0; taken < count;) {
            taken +=
                hl_journal_writer_append(writer, &events[taken], sizeof *events, count - taken);
            require(hl_journal_writer_turn(writer, false) == HL_OK, "write",
                    hl_journal_writer_error(writer)->text);
        }
        next += count;
    }
}

uint64_t written_journal(const char *directory, const written_options *options)
{
    uint64_t next = 0;
    hl_error error = {0};
    hl_journal_writer *const writer = written_open(directory, options, NULL, &next);
    uint64_t left = options->count;
    const uint64_t run = options->commit_each      ? 1
                         : options->gap_every != 0 ? options->gap_every
                                                   : options->count;
    while (left > 0) {
        const uint64_t count = run < left ? run : left;
        written_append(writer, options->partition, next, next + count - 1);
        next += count;
        left -= count;
        if (options->commit_each || options->gap_every != 0)
            require(hl_journal_writer_commit(writer) == HL_OK, "commit", "");
        if (options->gap_every != 0 && left > 0) {
            require(hl_journal_writer_skip(writer, next + GAP - 1, HL_GAP_JOURNAL_OFF) == HL_OK,
                    "skip", "");
            next += GAP;
        }
    }
    if (options->abandon) {
        require(hl_journal_writer_commit(writer) == HL_OK, "commit", "");
        hl_journal_writer_abandon(writer);
    } else {
        require(hl_journal_writer_close(writer, &error) == HL_OK, "close", error.text);
    }
    return next - 1;
}

static size_t list(const char *directory, const char *partition, size_t index,
                   char ret_path[HL_JOURNAL_PATH_SIZE])
{
    char path[HL_JOURNAL_PATH_SIZE];
    hl_segment_name *names = NULL;
    size_t count = 0;
    hl_error error = {0};
    snprintf(path, sizeof path, "%s/%s", directory, partition);
    require(hl_segment_list(hl_io_posix(), path, &names, &count, &error) == HL_OK, "list",
            error.text);
    if (index < count)
        hl_segment_path(path, names[index], ret_path, NULL);
    free(names);
    return count;
}

bool written_segment(const char *directory, const char *partition, size_t index,
                     char ret_path[HL_JOURNAL_PATH_SIZE])
{
    return index < list(directory, partition, index, ret_path);
}

size_t written_segments(const char *directory, const char *partition)
{
    char path[HL_JOURNAL_PATH_SIZE];
    return list(directory, partition, SIZE_MAX, path);
}

uint8_t *written_read_file(const char *path, size_t *ret_size)
{
    FILE *const file = fopen(path, "rb");
    require(file != NULL, "open", path);
    fseek(file, 0, SEEK_END);
    const size_t size = (size_t)ftell(file);
    rewind(file);
    uint8_t *const bytes = malloc(size + 1);
    require(bytes != NULL && fread(bytes, 1, size, file) == size, "read", path);
    bytes[size] = 0; /* for who reads it as a text */
    fclose(file);
    *ret_size = size;
    return bytes;
}

void written_write_file(const char *path, const void *bytes, size_t size)
{
    FILE *const file = fopen(path, "wb");
    require(file != NULL && fwrite(bytes, 1, size, file) == size && fclose(file) == 0, "write",
            path);
}
