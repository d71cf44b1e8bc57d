#include "journal/writer_parts.h"

#include <inttypes.h>
#include <string.h>

#include "base/error.h"

/* A mark on a quiet journal: until then a bad last record could be taken for a torn tail. */
#define MARK_DELAY_NS 10000000ull
#define REST_NS       50000000ull /* nothing synced for so long: zeros go on ahead of their time */
#define REST_STEP_NS  1000000ull  /* from one step at them to the next, then */
#define LOOK_AGAIN_NS 200000ull   /* after a sync that runs */

/* ---- appending ---- */

static bool is_empty(const hl_journal_writer *writer)
{
    return writer->next_sequence == writer->header.first_sequence;
}

/* Do records of `size` bytes, one event among them, fit the segment, with a seal behind them? */
static bool fits_segment(const hl_journal_writer *writer, uint64_t size)
{
    const uint64_t group = writer->used == 0 ? HL_WRITER_GROUP_ROOM : 0;
    /* What the event may add to the footer: a block, three dictionary entries, a topic. */
    const uint64_t growth = sizeof(hl_footer_block) + HL_INDEX_BLOOM_SIZE + 3 * sizeof(uint64_t) +
                            sizeof(hl_footer_topic);
    const uint64_t end = writer->offset + writer->used + group + size + growth;
    return end + hl_seal_length(&writer->index) <= writer->header.size_limit &&
           writer->index.footer.dictionary_entries + 3 <= writer->index.dictionary_limit;
}

/* What stands for a number; empty where nothing is known. False: there is no entry to be written.
 */
static bool name_of(const hl_journal_writer *writer, hl_dictionary_entry entry, uint32_t number,
                    uint16_t version, hl_journal_name *ret_name)
{
    hl_journal_name name = {0};
    const hl_journal_writer_options *const options = &writer->options;
    const bool known = options->name_of != NULL &&
                       options->name_of(options->name_context, entry, number, version, &name);
    if (!known)
        name = (hl_journal_name){0};
    if (name.name == NULL)
        name.name = "";
    *ret_name = name;
    return known || entry != HL_DICTIONARY_SCHEMA;
}

/* Calls each() for the entries that must stand before this event. */
static void each_lacking(hl_journal_writer *writer, const hl_event *event,
                         void (*each)(hl_journal_writer *writer, hl_dictionary_entry entry,
                                      uint32_t number, uint16_t version, uint64_t *sum),
                         uint64_t *sum)
{
    const hl_dictionary *const dictionary = &writer->dictionary;
    if (!dictionary->topics[event->topic])
        each(writer, HL_DICTIONARY_TOPIC, event->topic, 0, sum);
    if (!dictionary->sources[event->source])
        each(writer, HL_DICTIONARY_SOURCE, event->source, 0, sum);
    if (dictionary->schema_version[event->topic] != event->schema_version)
        each(writer, HL_DICTIONARY_SCHEMA, event->topic, event->schema_version, sum);
}

static void add_entry_length(hl_journal_writer *writer, hl_dictionary_entry entry, uint32_t number,
                             uint16_t version, uint64_t *sum)
{
    hl_journal_name name;
    if (name_of(writer, entry, number, version, &name))
        *sum += hl_dictionary_length(name.name, name.detail_size);
}

static void put_entry(hl_journal_writer *writer, hl_dictionary_entry entry, uint32_t number,
                      uint16_t version, uint64_t *sum)
{
    (void)sum;
    hl_journal_name name;
    if (!name_of(writer, entry, number, version, &name))
        return;
    hl_index_add_dictionary(&writer->index, writer->offset + writer->used);
    writer->used +=
        hl_dictionary_encode(writer->seed, entry, number, version, name.name, name.detail,
                             name.detail_size, writer->buffer + writer->used);
}

static void put_event(hl_journal_writer *writer, const hl_event *event, uint32_t length)
{
    uint8_t *const record = writer->buffer + writer->used;
    memset(record + length - sizeof(uint64_t), 0, sizeof(uint64_t)); /* the padding */
    memcpy(record, event, sizeof *event + event->payload_size);
    hl_record_finish(writer->seed, record, HL_RECORD_EVENT, length);
    hl_index_add_event(&writer->index, event, writer->offset + writer->used);
    writer->used += length;
    writer->group_events++;
    writer->next_sequence = event->sequence + 1;
}

/* Bytes that the event takes with the dictionary entries that this segment lacks; of a gap. */
static uint64_t size_in_segment(hl_journal_writer *writer, const hl_event *event)
{
    if (event == NULL)
        return sizeof(hl_gap);
    uint64_t size = hl_record_round(sizeof *event + event->payload_size);
    if (hl_dictionary_lacks(&writer->dictionary, event))
        each_lacking(writer, event, add_entry_length, &size);
    return size;
}

/* Room for the event (NULL: for a gap) in segment and buffer, and a group to put it in. */
static hl_status make_room(hl_journal_writer *writer, const hl_event *event)
{
    hl_status status = HL_OK;
    if (writer->is_frozen || writer->used >= writer->options.write_bytes)
        status = hl_writer_write_group(writer);
    while (status == HL_OK && (writer->rotation != HL_WRITER_NOT_ROTATING ||
                               !fits_segment(writer, size_in_segment(writer, event)))) {
        if (writer->rotation == HL_WRITER_NOT_ROTATING && is_empty(writer))
            return hl_error_set(&writer->error, HL_TOO_LARGE,
                                "%s: sequence %" PRIu64 " needs %" PRIu64
                                " bytes with its names, which no segment of %" PRIu64
                                " has; raise segment_bytes",
                                writer->directory, writer->next_sequence,
                                size_in_segment(writer, event), writer->options.segment_bytes);
        status = hl_writer_rotate(writer);
    }
    if (status == HL_OK && writer->used == 0)
        hl_writer_begin_group(writer);
    return status;
}

/* HL_OK: the event is one that a segment can take next. */
static hl_status check_event(hl_journal_writer *writer, const hl_event *event)
{
    if (event->sequence != writer->next_sequence)
        return hl_error_set(&writer->error, HL_INVALID,
                            "%s: sequence %" PRIu64 " is not the next one, %" PRIu64
                            "; skip what will never come",
                            writer->directory, event->sequence, writer->next_sequence);
    if (event->sequence > HL_JOURNAL_SEQUENCE_MAX)
        return hl_error_set(&writer->error, HL_LIMIT,
                            "%s: sequence %" PRIu64
                            " is above 2^54 - 1, the last that there can be",
                            writer->directory, event->sequence);
    if (event->payload_size > HL_JOURNAL_EVENT_MAX - sizeof *event)
        return hl_error_set(&writer->error, HL_TOO_LARGE,
                            "%s: sequence %" PRIu64 " has %u bytes of payload; a record holds %u",
                            writer->directory, event->sequence, event->payload_size,
                            (unsigned)(HL_JOURNAL_EVENT_MAX - sizeof *event));
    if (event->topic >= HL_DICTIONARY_TOPICS)
        return hl_error_set(&writer->error, HL_LIMIT,
                            "%s: sequence %" PRIu64
                            " has topic %u; a journal knows topics below %u",
                            writer->directory, event->sequence, event->topic, HL_DICTIONARY_TOPICS);
    return HL_OK;
}

static hl_status append_one(hl_journal_writer *writer, const hl_event *event)
{
    hl_status status = check_event(writer, event);
    if (status == HL_OK)
        status = make_room(writer, event);
    if (status != HL_OK)
        return status;
    if (hl_dictionary_lacks(&writer->dictionary, event)) {
        each_lacking(writer, event, put_entry, NULL);
        hl_dictionary_learn(&writer->dictionary, event);
    }
    put_event(writer, event, hl_record_round(sizeof *event + event->payload_size));
    return HL_OK;
}

size_t hl_journal_writer_append(hl_journal_writer *writer, const void *events, size_t stride,
                                size_t count)
{
    if (writer->state != HL_JOURNAL_RUNNING)
        return 0;
    for (size_t i = 0; i < count; i++)
        if (append_one(writer, (const hl_event *)((const uint8_t *)events + i * stride)) != HL_OK)
            return i;
    return count;
}

hl_status hl_journal_writer_skip(hl_journal_writer *writer, uint64_t last_sequence, uint32_t reason)
{
    if (writer->state == HL_JOURNAL_NO_SPACE)
        return HL_NO_SPACE;
    if (writer->state != HL_JOURNAL_RUNNING)
        return HL_FAILED;
    if (last_sequence < writer->next_sequence)
        return hl_error_set(&writer->error, HL_INVALID,
                            "%s: nothing to skip: sequence %" PRIu64 " was appended already",
                            writer->directory, last_sequence);
    if (last_sequence > HL_JOURNAL_SEQUENCE_MAX)
        return hl_error_set(&writer->error, HL_INVALID,
                            "%s: sequence %" PRIu64
                            " is above 2^54 - 1, the last that there can be",
                            writer->directory, last_sequence);
    const hl_status status = make_room(writer, NULL);
    if (status != HL_OK)
        return status;
    hl_gap gap = {
        .first_sequence = writer->next_sequence, .last_sequence = last_sequence, .reason = reason};
    hl_record_finish(writer->seed, &gap, HL_RECORD_GAP, sizeof gap);
    memcpy(writer->buffer + writer->used, &gap, sizeof gap);
    writer->used += sizeof gap;
    writer->index.footer.gaps++;
    writer->next_sequence = last_sequence + 1;
    return HL_OK;
}

/* ---- turning ---- */

hl_status hl_journal_writer_commit(hl_journal_writer *writer)
{
    if (writer->state == HL_JOURNAL_NO_SPACE)
        return HL_NO_SPACE;
    if (writer->state != HL_JOURNAL_RUNNING)
        return HL_FAILED;
    const hl_status status = hl_writer_write_group(writer);
    return status == HL_OK && (writer->has_unsynced || writer->is_syncing)
               ? hl_writer_sync_written(writer)
               : status;
}

hl_status hl_writer_resume(hl_journal_writer *writer)
{
    hl_status status = writer->rotation != HL_WRITER_NOT_ROTATING ? hl_writer_rotate(writer)
                                                                  : hl_writer_write_group(writer);
    if (status != HL_OK)
        return status;
    const int result = hl_spare_make(&writer->spare);
    if (result < 0)
        return hl_writer_stopped_by_io(writer, result, writer->spare_path, "take blocks for");
    hl_writer_set_state(writer, HL_JOURNAL_RUNNING);
    return HL_OK;
}

static bool mark_is_wanted(const hl_journal_writer *writer)
{
    return writer->used == 0 && !writer->has_unsynced &&
           writer->rotation == HL_WRITER_NOT_ROTATING &&
           writer->marked_offset < writer->synced_offset && fits_segment(writer, 0);
}

/* A group without records: it says that all before it is durable. */
static hl_status put_mark(hl_journal_writer *writer)
{
    hl_writer_begin_group(writer);
    return hl_writer_write_group(writer);
}

/* Whether the next segment is due for a step. Its blocks are, in the second half of this one at the
 * latest. Zeros keep pace with what is written here, so as to be there when three quarters are: all
 * that wait for a sync wait for a step too. */
static bool spare_is_due(const hl_journal_writer *writer, bool idle)
{
    const hl_spare *const spare = &writer->spare;
    if (hl_spare_is_whole(spare))
        return false;
    if (!spare->is_ready)
        return idle || writer->offset > writer->header.size_limit / 2;
    return spare->filled / 4 < writer->offset / 3;
}

/* One step at the next segment. When it fails there is time left to try again: the state changes
 * only when a segment is full and has no next one. */
static void step_spare(hl_journal_writer *writer, uint64_t ticks_now)
{
    if (ticks_now < writer->retry_at_ticks)
        return;
    writer->stepped_at_ticks = ticks_now;
    if (hl_spare_step(&writer->spare) < 0)
        writer->retry_at_ticks = ticks_now + writer->options.retry_ns;
}

/* When zeros go on, if nothing is synced any more. Not all at once: what comes then would find the
 * disk busy with them. */
static uint64_t rest_step_at(const hl_journal_writer *writer)
{
    const uint64_t rest_at = writer->synced_at_ticks + REST_NS;
    const uint64_t step_at = writer->stepped_at_ticks + REST_STEP_NS;
    return rest_at > step_at ? rest_at : step_at;
}

static hl_status do_due(hl_journal_writer *writer, bool idle)
{
    const hl_journal_writer_options *const options = &writer->options;
    const uint64_t ticks_now = hl_writer_ticks(writer);
    hl_status status = HL_OK;
    if (writer->rotation != HL_WRITER_NOT_ROTATING ||
        (!is_empty(writer) && hl_writer_day_of(hl_writer_now(writer)) > writer->header.day))
        status = hl_writer_rotate(writer);
    if (status == HL_OK && writer->used > 0 &&
        (writer->used >= options->write_bytes ||
         ticks_now - writer->buffered_since_ticks >= options->write_interval_ns))
        status = hl_writer_write_group(writer);
    if (status == HL_OK)
        status = hl_writer_end_sync(writer, false);
    if (status == HL_OK && writer->has_unsynced && !writer->is_syncing &&
        (writer->unsynced_events >= options->commit_events ||
         ticks_now - writer->unsynced_since_ticks >= options->commit_interval_ns))
        status = hl_writer_begin_sync(writer);
    if (status == HL_OK && idle && mark_is_wanted(writer) &&
        ticks_now >= writer->synced_at_ticks + MARK_DELAY_NS)
        status = put_mark(writer);
    const bool at_rest = idle && ticks_now >= rest_step_at(writer);
    if (status == HL_OK && (at_rest || spare_is_due(writer, idle)))
        step_spare(writer, ticks_now);
    return status;
}

hl_status hl_journal_writer_turn(hl_journal_writer *writer, bool idle)
{
    hl_status status = HL_OK;
    if (writer->state == HL_JOURNAL_NO_SPACE) {
        if (hl_writer_ticks(writer) < writer->retry_at_ticks)
            return HL_NO_SPACE;
        status = hl_writer_resume(writer);
    } else if (writer->state != HL_JOURNAL_RUNNING) {
        return HL_FAILED;
    }
    return status == HL_OK ? do_due(writer, idle) : status;
}

uint64_t hl_journal_writer_due(const hl_journal_writer *writer)
{
    const hl_journal_writer_options *const options = &writer->options;
    if (writer->state == HL_JOURNAL_NO_SPACE)
        return writer->retry_at_ticks;
    if (writer->state != HL_JOURNAL_RUNNING)
        return UINT64_MAX;
    uint64_t due = writer->is_syncing ? hl_writer_ticks(writer) + LOOK_AGAIN_NS : UINT64_MAX;
    if (writer->used > 0)
        due = writer->buffered_since_ticks + options->write_interval_ns;
    if (writer->has_unsynced && !writer->is_syncing &&
        writer->unsynced_since_ticks + options->commit_interval_ns < due)
        due = writer->unsynced_since_ticks + options->commit_interval_ns;
    if (mark_is_wanted(writer) && writer->synced_at_ticks + MARK_DELAY_NS < due)
        due = writer->synced_at_ticks + MARK_DELAY_NS;
    uint64_t step_at = rest_step_at(writer);
    if (step_at < writer->retry_at_ticks || !writer->spare.is_ready)
        step_at = writer->retry_at_ticks;
    if (!hl_spare_is_whole(&writer->spare) && step_at < due)
        due = step_at;
    return due;
}

const hl_journal_progress *hl_journal_writer_progress(const hl_journal_writer *writer)
{
    return writer->progress;
}

const hl_error *hl_journal_writer_error(const hl_journal_writer *writer)
{
    return &writer->error;
}
