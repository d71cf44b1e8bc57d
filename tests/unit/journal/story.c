#include "story.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t hash(uint64_t value)
{
    value = (value + 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 29)) * 0x94d049bb133111ebu;
    return value ^ (value >> 32);
}

void story_event_of(uint64_t sequence, story_event *ret_event)
{
    const uint64_t number = hash(sequence);
    memset(ret_event, 0, sizeof *ret_event);
    ret_event->event = (hl_event){.stamp = number,
                                  .sequence = sequence,
                                  .published_ns = 1750000000000000000u + sequence * 1000,
                                  .key = number % 50,
                                  .correlation_id = sequence % 3 == 0 ? 0 : hash(sequence / 7),
                                  .causation_id = number >> 7,
                                  .topic = (uint32_t)(number % 11),
                                  .payload_size = (uint32_t)(number >> 20) % STORY_PAYLOAD_MAX,
                                  .source = (uint16_t)(number % 5),
                                  .schema_version = (uint16_t)(number % 3),
                                  .priority = (uint8_t)(number % HL_PRIORITIES),
                                  .flags = HL_EVENT_EXTERNAL};
    for (uint32_t i = 0; i < ret_event->event.payload_size; i++)
        ret_event->payload[i] = (uint8_t)hash(sequence + ((uint64_t)i << 40));
}

hl_journal_writer_options story_options(const hl_io *io)
{
    hl_journal_writer_options options = HL_JOURNAL_WRITER_OPTIONS_INIT;
    options.io = io;
    options.directory = "root/journal";
    options.domain = "order";
    options.segment_bytes = 65536;
    options.write_bytes = 4096;
    options.write_interval_ns = 1000;
    options.commit_events = 20;
    options.commit_interval_ns = 5000;
    options.reserve_block = 200;
    options.retry_ns = 1000;
    options.dictionary_limit = 64;
    return options;
}

bool story_append(journal_story *story, hl_journal_writer *writer, uint64_t sequence)
{
    story_event event;
    story_event_of(sequence, &event);
    if (hl_journal_writer_append(writer, &event, sizeof event, 1) != 1)
        return false;
    story_range *const last = story->count > 0 ? &story->ranges[story->count - 1] : NULL;
    if (last != NULL && last->last + 1 == sequence)
        last->last = sequence;
    else if (story->count < STORY_RANGES)
        story->ranges[story->count++] = (story_range){sequence, sequence};
    else
        abort();
    return true;
}

void story_note(journal_story *story, const hl_journal_writer *writer)
{
    const hl_journal_progress *const progress = hl_journal_writer_progress(writer);
    if (hl_journal_written(progress) > story->written)
        story->written = hl_journal_written(progress);
    if (hl_journal_durable(progress) > story->durable)
        story->durable = hl_journal_durable(progress);
}

typedef struct reading {
    const journal_story *story;
    size_t range;  /* the one that `next` lies in or before */
    uint64_t next; /* the sequence expected next */
    uint64_t kept;
    uint64_t events;
    const char *wrong;
} reading;

static char text[256];

static const char *wrong_at(const char *what, uint64_t sequence)
{
    snprintf(text, sizeof text, "%s: sequence %" PRIu64, what, sequence);
    return text;
}

/* The next range from its first sequence on, once the one before is through. */
static void step_range(reading *this)
{
    if (this->range<this->story->count &&this->next> this->story->ranges[this->range].last) {
        this->range++;
        if (this->range < this->story->count)
            this->next = this->story->ranges[this->range].first;
    }
}

static hl_status read_record(void *context, const void *record, uint32_t length, uint64_t offset)
{
    (void)offset;
    reading *const this = context;
    hl_record_word word;
    memcpy(&word, record, sizeof word);
    if (hl_record_kind_of(word) != HL_RECORD_EVENT)
        return HL_OK;
    const hl_event *const event = record;
    const journal_story *const story = this->story;
    /* The tail of a range may have been lost with a crash, as long as no one was told otherwise. */
    while (this->range < story->count && event->sequence > story->ranges[this->range].last) {
        if (this->next <= story->ranges[this->range].last && this->next <= this->kept)
            this->wrong = wrong_at("acknowledged and lost", this->next);
        this->range++;
        if (this->range < story->count)
            this->next = story->ranges[this->range].first;
    }
    if (this->range == story->count || event->sequence != this->next)
        this->wrong = wrong_at("not appended, or out of order", event->sequence);
    story_event expected;
    story_event_of(event->sequence, &expected);
    const size_t behind = sizeof(hl_record_word);
    const size_t size = sizeof(hl_event) + expected.event.payload_size;
    if (length != hl_record_round(size) ||
        memcmp((const uint8_t *)record + behind, (const uint8_t *)&expected + behind,
               size - behind) != 0)
        this->wrong = wrong_at("other bytes than were appended", event->sequence);
    this->events++;
    this->next = event->sequence + 1;
    step_range(this);
    return this->wrong == NULL ? HL_OK : HL_BAD_INPUT;
}

static const char *read_segment(reading *this, const hl_io *io, hl_segment_name name, bool is_last,
                                uint64_t *before_last)
{
    static hl_error error;
    char path[HL_JOURNAL_PATH_SIZE];
    hl_segment_walk walk;
    if (hl_segment_path(STORY_DIRECTORY, name, path, &error) != HL_OK ||
        hl_segment_walk_open(&walk, io, path, &error) != HL_OK)
        return error.text;
    hl_segment_findings findings;
    const hl_examine_options options = {.is_last = is_last, .each = read_record, .context = this};
    const hl_status status = hl_segment_examine(&walk, &options, &findings, &error);
    const uint64_t previous = walk.header.previous_last_sequence;
    hl_segment_walk_close(&walk);
    if (this->wrong != NULL)
        return this->wrong;
    if (status != HL_OK)
        return error.text;
    if (findings.damages > 0) {
        const hl_damaged_range *const range = &findings.damaged[0];
        snprintf(text, sizeof text,
                 "segment %" PRIu64 " damaged at %" PRIu64 ", %" PRIu64 " bytes, %s",
                 name.first_sequence, range->offset, range->size,
                 hl_record_verdict_text(range->verdict));
        return text;
    }
    if (previous != *before_last)
        return wrong_at("the link back is wrong in the segment that begins with",
                        name.first_sequence);
    if (findings.next_sequence > name.first_sequence)
        *before_last = findings.next_sequence - 1;
    return NULL;
}

const char *story_compare(const journal_story *story, const hl_io *io, uint64_t kept,
                          uint64_t *ret_events)
{
    static hl_error error;
    hl_segment_name *names = NULL;
    size_t count = 0;
    if (hl_segment_list(io, STORY_DIRECTORY, &names, &count, &error) != HL_OK)
        return kept == 0 ? NULL : error.text;
    reading this = {.story = story, .kept = kept};
    if (story->count > 0)
        this.next = story->ranges[0].first;
    const char *wrong = NULL;
    uint64_t before_last = 0;
    for (size_t i = 0; i < count && wrong == NULL; i++)
        wrong = read_segment(&this, io, names[i], i + 1 == count, &before_last);
    free(names);
    for (; wrong == NULL && this.range < story->count;
         this.next = story->ranges[this.range].first) {
        if (this.next <= story->ranges[this.range].last && this.next <= kept)
            wrong = wrong_at("acknowledged and lost", this.next);
        if (++this.range == story->count)
            break;
    }
    if (wrong == NULL && ret_events != NULL)
        *ret_events = this.events;
    return wrong;
}
