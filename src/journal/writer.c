#include "journal/writer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hotlane/version.h>

#include "base/allocate.h"
#include "base/error.h"
#include "journal/dictionary.h"
#include "journal/progress.h"
#include "journal/seal.h"
#include "journal/spare.h"

#define SEGMENT_BYTES_DEFAULT (256ull << 20)
#define SEGMENT_BYTES_MIN     (64ull << 10)
#define SEGMENT_BYTES_MAX     (8ull << 30) /* its footer's length still fits a record's tag */
#define WRITE_BYTES_DEFAULT   (1ull << 20)
#define WRITE_BYTES_MIN       (4ull << 10)
#define WRITE_BYTES_MAX       (64ull << 20)
#define RETRY_NS_DEFAULT      100000000ull
#define ALIGNMENT_MAX         4096u
/* A mark on a quiet journal: until then a bad last record could be taken for a torn tail. */
#define MARK_DELAY_NS   10000000ull
#define REST_NS         50000000ull /* nothing synced for so long: zeros go on ahead of their time */
#define REST_STEP_NS    1000000ull  /* from one step at them to the next, then */
#define LOOK_AGAIN_NS   200000ull   /* after a sync that runs */
#define FLUSH_AHEAD_MIN (256u << 10)
#define GROUP_ROOM      (ALIGNMENT_MAX + sizeof(hl_group))

/* A rotation is done in steps, each of which may have to wait for room on the disk. */
typedef enum rotation_step {
    NOT_ROTATING = 0,
    SEALING,    /* all is synced; the seal is to be written */
    SUCCEEDING, /* the segment is sealed; the next one is to get its header and name */
} rotation_step;

struct hl_journal_writer {
    hl_journal_writer_options options;
    const hl_io *io;
    char directory[HL_JOURNAL_PATH_SIZE]; /* the partition's */
    char spare_path[HL_JOURNAL_PATH_SIZE];
    hl_io_file lock;
    bool is_locked;
    hl_journal_progress own_progress;
    hl_journal_progress *progress;
    hl_journal_state state;
    hl_error error;
    uint64_t retry_at_ticks; /* in HL_JOURNAL_NO_SPACE */

    /* The segment. */
    hl_segment_header header;
    bool takes_place; /* the next one has the name of the empty one that was found */
    uint32_t seed;
    bool is_open;
    hl_io_file file;
    char path[HL_JOURNAL_PATH_SIZE];
    uint64_t offset;        /* behind what was written */
    uint64_t synced_offset; /* known durable */
    uint64_t marked_offset; /* the last durable mark written */
    rotation_step rotation;
    hl_index index;
    hl_dictionary dictionary;
    uint8_t *seal_buffer;
    hl_spare spare;
    uint64_t stepped_at_ticks; /* the last step at it */

    /* The buffer: one group, from its padding on. */
    uint8_t *buffer;
    uint64_t used;
    uint64_t group_at; /* of the group record in the buffer */
    uint32_t group_events;
    bool is_frozen; /* the group record is final: only writing is left */
    uint64_t done;  /* bytes of a frozen buffer that are written */
    uint64_t buffered_since_ticks;

    /* Sequences. */
    uint64_t next_sequence;
    uint64_t written_sequence;
    uint64_t durable_sequence;
    uint64_t reserve_wanted;  /* goes into the next group */
    uint64_t reserve_written; /* in a group that is written; published once it is synced */
    uint64_t reserved_through;

    /* Commit. */
    uint64_t unsynced_events;
    bool has_unsynced; /* something that someone waits for */
    uint64_t unsynced_since_ticks;
    uint64_t synced_at_ticks;

    /* A sync that has begun, and what will be durable by it. */
    bool is_syncing;
    uint64_t syncing_offset;
    uint64_t syncing_sequence;
    uint64_t syncing_reserve;

    uint64_t last_now_ns; /* never goes back */
    uint64_t last_raw_ns;
};

/* ---- state ---- */

static uint64_t ticks(const hl_journal_writer *writer)
{
    return writer->io->ticks(writer->io->context);
}

/* The wall clock, held where it was while it is set back. */
static uint64_t now(hl_journal_writer *writer)
{
    const uint64_t raw = writer->io->now(writer->io->context);
    if (raw < writer->last_raw_ns)
        hl_progress_publish(&writer->progress->clock_steps_back,
                            hl_progress_read(&writer->progress->clock_steps_back) + 1);
    writer->last_raw_ns = raw;
    if (raw > writer->last_now_ns)
        writer->last_now_ns = raw;
    return writer->last_now_ns;
}

static void set_state(hl_journal_writer *writer, hl_journal_state state)
{
    if (writer->state == state)
        return;
    /* The reason first: JOURNALED (progress.h) releases it with the state. */
    if (state != HL_JOURNAL_RUNNING && writer->options.stops != NULL)
        writer->options.stops(writer->options.stops_context, &writer->error);
    hl_progress_publish(&writer->progress->state, state);
    writer->state = state;
}

/* The state that a failed call leads to; writer->error is set. */
static hl_status stopped_by(hl_journal_writer *writer, hl_status status)
{
    if (status == HL_NO_SPACE) {
        set_state(writer, HL_JOURNAL_NO_SPACE);
        writer->retry_at_ticks = ticks(writer) + writer->options.retry_ns;
        return HL_NO_SPACE;
    }
    set_state(writer, HL_JOURNAL_FAILED);
    return HL_FAILED;
}

static hl_status stopped_by_io(hl_journal_writer *writer, int64_t result, const char *path,
                               const char *what)
{
    return stopped_by(writer, hl_io_error(&writer->error, result, path, what));
}

/* ---- group, write, sync ---- */

static void begin_group(hl_journal_writer *writer)
{
    const uint64_t alignment = writer->options.group_alignment;
    const uint64_t padding = (alignment - writer->offset % alignment) % alignment;
    writer->buffered_since_ticks = ticks(writer);
    if (padding > 0) {
        memset(writer->buffer, 0, padding);
        hl_record_finish(writer->seed, writer->buffer, HL_RECORD_PADDING, (uint32_t)padding);
    }
    writer->group_at = padding;
    writer->used = padding + sizeof(hl_group);
    writer->group_events = 0;
    hl_group *const group = (hl_group *)(writer->buffer + writer->group_at);
    *group = (hl_group){.mark = HL_JOURNAL_GROUP_MARK ^ writer->header.salt,
                        .offset = writer->offset + padding,
                        .last_sequence = writer->next_sequence - 1};
}

/* Gives the group record what is known only now. */
static void freeze_group(hl_journal_writer *writer)
{
    const uint64_t block = writer->options.reserve_block;
    while (writer->next_sequence - 1 + block / 2 >= writer->reserve_wanted)
        writer->reserve_wanted += block;
    hl_group *const group = (hl_group *)(writer->buffer + writer->group_at);
    group->durable_offset = writer->synced_offset;
    group->durable_sequence = writer->durable_sequence;
    group->reserved_through = writer->reserve_wanted;
    group->written_ns = now(writer);
    group->size = (uint32_t)(writer->used - writer->group_at - sizeof *group);
    group->events = writer->group_events;
    hl_record_finish(writer->seed, group, HL_RECORD_GROUP, sizeof *group);
    writer->is_frozen = true;
    writer->done = 0;
}

/* The buffer is with the kernel. */
static void group_written(hl_journal_writer *writer)
{
    const hl_group *const group = (const hl_group *)(writer->buffer + writer->group_at);
    if (writer->next_sequence - 1 > writer->written_sequence ||
        writer->reserve_wanted > writer->reserve_written) {
        if (!writer->has_unsynced)
            writer->unsynced_since_ticks = writer->buffered_since_ticks;
        writer->has_unsynced = true;
    }
    writer->unsynced_events += writer->group_events;
    writer->marked_offset = group->durable_offset;
    writer->index.footer.groups++;
    writer->offset += writer->used;
    writer->written_sequence = writer->next_sequence - 1;
    writer->reserve_written = writer->reserve_wanted;
    hl_journal_progress *const progress = writer->progress;
    hl_progress_publish(&progress->written_bytes,
                        hl_progress_read(&progress->written_bytes) + writer->used);
    hl_progress_publish(&progress->written_sequence, writer->written_sequence);
    writer->used = 0;
    writer->is_frozen = false;
}

/* Writes the buffer, if there is something in it. */
static hl_status write_group(hl_journal_writer *writer)
{
    if (writer->used == 0)
        return HL_OK;
    if (!writer->is_frozen)
        freeze_group(writer);
    size_t done = 0;
    const int result =
        hl_io_write_all(writer->io, writer->file, writer->buffer + writer->done,
                        writer->used - writer->done, writer->offset + writer->done, &done);
    writer->done += done;
    if (result < 0)
        return stopped_by_io(writer, result, writer->path, "write");
    /* The disk works while the next group is put together. A small group is synced at once or
     * waits. */
    if (writer->used >= FLUSH_AHEAD_MIN)
        writer->io->flush_ahead(writer->io->context, writer->file, writer->offset, writer->used);
    group_written(writer);
    return HL_OK;
}

/* For want of space too: what the kernel could not write it may have dropped, and a second sync
 * would give 0 all the same. */
static hl_status sync_failed(hl_journal_writer *writer, int result, const char *path,
                             const char *what)
{
    (void)hl_io_error(&writer->error, result, path, what);
    return stopped_by(writer, HL_SYSTEM);
}

/* All up to here is on the disk. */
static void synced(hl_journal_writer *writer, uint64_t offset, uint64_t sequence, uint64_t reserve)
{
    hl_journal_progress *const progress = writer->progress;
    writer->synced_offset = offset;
    writer->durable_sequence = sequence;
    writer->reserved_through = reserve;
    writer->synced_at_ticks = ticks(writer);
    hl_progress_publish(&progress->syncs, hl_progress_read(&progress->syncs) + 1);
    hl_progress_publish(&progress->reserved_through, reserve);
    hl_progress_publish(&progress->durable_sequence, sequence);
}

/* All that is written is, or will be, covered by a sync. */
static void nothing_waits(hl_journal_writer *writer)
{
    writer->unsynced_events = 0;
    writer->has_unsynced = false;
}

/* Looks after the sync that has begun, if one has. */
static hl_status end_sync(hl_journal_writer *writer, bool wait)
{
    if (!writer->is_syncing)
        return HL_OK;
    const int result = writer->io->sync_end(writer->io->context, writer->file, wait);
    if (result == -EINPROGRESS)
        return HL_OK;
    writer->is_syncing = false;
    if (result < 0)
        return sync_failed(writer, result, writer->path, "sync");
    synced(writer, writer->syncing_offset, writer->syncing_sequence, writer->syncing_reserve);
    return HL_OK;
}

/* Syncs what is written. */
static hl_status sync_written(hl_journal_writer *writer)
{
    hl_status status = end_sync(writer, true);
    if (status != HL_OK || writer->synced_offset == writer->offset)
        return status;
    const int result = writer->io->sync(writer->io->context, writer->file);
    if (result < 0)
        return sync_failed(writer, result, writer->path, "sync");
    nothing_waits(writer);
    synced(writer, writer->offset, writer->written_sequence, writer->reserve_written);
    return HL_OK;
}

/* Has what is written synced, and waits for it only where there is no other way. */
static hl_status begin_sync(hl_journal_writer *writer)
{
    const hl_io *const io = writer->io;
    if (!writer->options.overlap_syncs || io->sync_begin == NULL ||
        io->sync_begin(io->context, writer->file) < 0)
        return sync_written(writer);
    writer->is_syncing = true;
    writer->syncing_offset = writer->offset;
    writer->syncing_sequence = writer->written_sequence;
    writer->syncing_reserve = writer->reserve_written;
    nothing_waits(writer);
    return HL_OK;
}

/* ---- segments ---- */

static uint32_t day_of(uint64_t now_ns)
{
    return (uint32_t)(now_ns / HL_NS_PER_DAY);
}

/* Fills the header of the segment that follows the one there is (or was found). */
static void next_header(hl_journal_writer *writer)
{
    hl_segment_header *const header = &writer->header;
    const uint64_t now_ns = now(writer);
    header->previous_first_sequence = header->first_sequence;
    header->previous_last_sequence = writer->written_sequence;
    header->first_sequence = writer->next_sequence;
    header->number++;
    header->salt = writer->io->random(writer->io->context);
    header->created_ns = now_ns;
    if (!writer->takes_place)
        header->day = day_of(now_ns);
    header->reserved_through = writer->reserve_wanted;
    header->size_limit = writer->options.segment_bytes;
    /* What a segment behind a rotation follows is known to be whole. */
    header->flags =
        header->first_sequence > header->previous_last_sequence + 1 ? HL_SEGMENT_AFTER_CRASH : 0;
}

/* Header written and synced, then the name: whoever sees a segment's name finds its header. */
static hl_status name_spare(hl_journal_writer *writer, const hl_segment_header *header,
                            const char *path)
{
    const hl_io *const io = writer->io;
    hl_spare *const spare = &writer->spare;
    _Alignas(8) uint8_t block[HL_JOURNAL_HEADER_SIZE];
    hl_segment_header_encode(header, block);
    int result = hl_io_write_all(io, spare->file, block, sizeof block, 0, NULL);
    if (result < 0)
        return stopped_by_io(writer, result, writer->spare_path, "write");
    result = io->sync(io->context, spare->file);
    if (result < 0)
        return sync_failed(writer, result, writer->spare_path, "sync");
    result = io->rename(io->context, writer->spare_path, path);
    if (result < 0)
        return stopped_by_io(writer, result, path, "rename the next segment to");
    result = io->sync_directory(io->context, writer->directory);
    return result < 0 ? sync_failed(writer, result, writer->directory, "sync the directory")
                      : HL_OK;
}

/* The spare becomes the segment that is written to. */
static hl_status succeed(hl_journal_writer *writer)
{
    const hl_segment_header before = writer->header;
    /* Of the first one nobody waits for a sync yet. */
    int result =
        writer->is_open ? hl_spare_make(&writer->spare) : hl_spare_make_whole(&writer->spare);
    if (result < 0)
        return stopped_by_io(writer, result, writer->spare_path, "take blocks for");
    next_header(writer);
    char path[HL_JOURNAL_PATH_SIZE];
    hl_status status =
        hl_segment_path(writer->directory,
                        (hl_segment_name){.day = writer->header.day,
                                          .first_sequence = writer->header.first_sequence},
                        path, &writer->error);
    if (status != HL_OK)
        status = stopped_by(writer, status);
    else
        status = name_spare(writer, &writer->header, path);
    if (status != HL_OK) {
        writer->header = before; /* it may be tried again */
        return status;
    }
    if (writer->is_open)
        writer->io->close(writer->io->context, writer->file);
    writer->is_open = true;
    writer->file = writer->spare.file;
    writer->spare.is_open = false;
    writer->spare.is_ready = false;
    strcpy(writer->path, path);
    writer->seed = hl_record_seed(writer->header.salt);
    writer->offset = HL_JOURNAL_HEADER_SIZE;
    writer->synced_offset = HL_JOURNAL_HEADER_SIZE;
    writer->marked_offset = HL_JOURNAL_HEADER_SIZE;
    writer->reserve_written = writer->reserve_wanted;
    writer->reserved_through = writer->reserve_wanted;
    writer->rotation = NOT_ROTATING;
    writer->takes_place = false;
    hl_index_clear(&writer->index);
    hl_dictionary_clear(&writer->dictionary);
    hl_progress_publish(&writer->progress->reserved_through, writer->reserved_through);
    hl_progress_publish(&writer->progress->segment, writer->header.first_sequence);
    return HL_OK;
}

static hl_status seal(hl_journal_writer *writer, uint32_t flags, bool has_next)
{
    const hl_seal how = {.io = writer->io,
                         .file = writer->file,
                         .path = writer->path,
                         .salt = writer->header.salt,
                         .offset = writer->offset,
                         .durable_sequence = writer->durable_sequence,
                         .next_sequence = writer->next_sequence,
                         .reserved_through = writer->reserve_written,
                         .now_ns = now(writer),
                         .flags = flags,
                         .has_next = has_next,
                         .index = &writer->index,
                         .buffer = writer->seal_buffer};
    const hl_status status = hl_seal_write(&how, &writer->error);
    return status == HL_OK ? HL_OK : stopped_by(writer, status);
}

/* From this segment to the next. The segment left behind is durable to its last byte before the
 * next one has a name, so that only the newest can ever have a torn tail. */
static hl_status rotate(hl_journal_writer *writer)
{
    hl_status status = HL_OK;
    if (writer->rotation == NOT_ROTATING) {
        status = write_group(writer);
        if (status == HL_OK)
            status = sync_written(writer);
        if (status != HL_OK)
            return status;
        /* Blocks first: a segment that is sealed without a next one could take nothing more. */
        int result = hl_spare_make(&writer->spare);
        if (result < 0)
            return stopped_by_io(writer, result, writer->spare_path, "take blocks for");
        /* And their name: after a crash it says that the segment which the seal promises was still
         * to come, and is not missing. */
        result = writer->io->sync_directory(writer->io->context, writer->directory);
        if (result < 0)
            return sync_failed(writer, result, writer->directory, "sync the directory");
        writer->rotation = SEALING;
    }
    if (writer->rotation == SEALING) {
        status = seal(writer, 0, true);
        if (status != HL_OK)
            return status;
        writer->rotation = SUCCEEDING;
    }
    return succeed(writer);
}

static bool is_empty(const hl_journal_writer *writer)
{
    return writer->next_sequence == writer->header.first_sequence;
}

/* Do records of `size` bytes, one event among them, fit the segment, with a seal behind them? */
static bool fits_segment(const hl_journal_writer *writer, uint64_t size)
{
    const uint64_t group = writer->used == 0 ? GROUP_ROOM : 0;
    /* What the event may add to the footer: a block, three dictionary entries, a topic. */
    const uint64_t growth = sizeof(hl_footer_block) + HL_INDEX_BLOOM_SIZE + 3 * sizeof(uint64_t) +
                            sizeof(hl_footer_topic);
    const uint64_t end = writer->offset + writer->used + group + size + growth;
    return end + hl_seal_length(&writer->index) <= writer->header.size_limit &&
           writer->index.footer.dictionary_entries + 3 <= writer->index.dictionary_limit;
}

/* ---- appending ---- */

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
        status = write_group(writer);
    while (status == HL_OK && (writer->rotation != NOT_ROTATING ||
                               !fits_segment(writer, size_in_segment(writer, event)))) {
        if (writer->rotation == NOT_ROTATING && is_empty(writer))
            return hl_error_set(&writer->error, HL_TOO_LARGE,
                                "%s: sequence %" PRIu64 " needs %" PRIu64
                                " bytes with its names, which no segment of %" PRIu64
                                " has; raise segment_bytes",
                                writer->directory, writer->next_sequence,
                                size_in_segment(writer, event), writer->options.segment_bytes);
        status = rotate(writer);
    }
    if (status == HL_OK && writer->used == 0)
        begin_group(writer);
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
    const hl_status status = write_group(writer);
    return status == HL_OK && (writer->has_unsynced || writer->is_syncing) ? sync_written(writer)
                                                                           : status;
}

/* The disk was full. Goes on where it stopped; runs again only when the next segment has its blocks
 * too, so that it does not stop at once. */
static hl_status resume(hl_journal_writer *writer)
{
    hl_status status = writer->rotation != NOT_ROTATING ? rotate(writer) : write_group(writer);
    if (status != HL_OK)
        return status;
    const int result = hl_spare_make(&writer->spare);
    if (result < 0)
        return stopped_by_io(writer, result, writer->spare_path, "take blocks for");
    set_state(writer, HL_JOURNAL_RUNNING);
    return HL_OK;
}

static bool mark_is_wanted(const hl_journal_writer *writer)
{
    return writer->used == 0 && !writer->has_unsynced && writer->rotation == NOT_ROTATING &&
           writer->marked_offset < writer->synced_offset && fits_segment(writer, 0);
}

/* A group without records: it says that all before it is durable. */
static hl_status put_mark(hl_journal_writer *writer)
{
    begin_group(writer);
    return write_group(writer);
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
    const uint64_t ticks_now = ticks(writer);
    hl_status status = HL_OK;
    if (writer->rotation != NOT_ROTATING ||
        (!is_empty(writer) && day_of(now(writer)) > writer->header.day))
        status = rotate(writer);
    if (status == HL_OK && writer->used > 0 &&
        (writer->used >= options->write_bytes ||
         ticks_now - writer->buffered_since_ticks >= options->write_interval_ns))
        status = write_group(writer);
    if (status == HL_OK)
        status = end_sync(writer, false);
    if (status == HL_OK && writer->has_unsynced && !writer->is_syncing &&
        (writer->unsynced_events >= options->commit_events ||
         ticks_now - writer->unsynced_since_ticks >= options->commit_interval_ns))
        status = begin_sync(writer);
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
        if (ticks(writer) < writer->retry_at_ticks)
            return HL_NO_SPACE;
        status = resume(writer);
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
    uint64_t due = writer->is_syncing ? ticks(writer) + LOOK_AGAIN_NS : UINT64_MAX;
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

/* ---- opening and closing ---- */

/* Defaults put in; what is out of range refused. */
static hl_status check_options(hl_journal_writer_options *options, hl_error *error)
{
    if (options->io == NULL)
        options->io = hl_io_posix();
    if (options->segment_bytes == 0)
        options->segment_bytes = SEGMENT_BYTES_DEFAULT;
    if (options->write_bytes == 0)
        options->write_bytes = WRITE_BYTES_DEFAULT;
    if (options->reserve_block == 0)
        options->reserve_block = HL_JOURNAL_RESERVE_BLOCK;
    if (options->retry_ns == 0)
        options->retry_ns = RETRY_NS_DEFAULT;
    if (options->dictionary_limit == 0)
        options->dictionary_limit = HL_DICTIONARY_TOPICS;
    if (options->group_alignment == 0)
        options->group_alignment = 8;
    options->segment_bytes = options->segment_bytes / 8 * 8;
    if (options->directory == NULL || options->directory[0] == '\0' || options->domain == NULL ||
        options->domain[0] == '\0' || strchr(options->domain, '/') != NULL ||
        strlen(options->domain) >= HL_JOURNAL_DOMAIN_SIZE)
        return hl_error_set(error, HL_INVALID,
                            "journal: directory and domain must be named, the domain by one token "
                            "shorter than %u characters",
                            HL_JOURNAL_DOMAIN_SIZE);
    if (options->segment_bytes < SEGMENT_BYTES_MIN || options->segment_bytes > SEGMENT_BYTES_MAX)
        return hl_error_set(error, HL_INVALID,
                            "journal: segment_bytes is %" PRIu64 "; 64 KiB to 8 GiB would be right",
                            options->segment_bytes);
    if (options->write_bytes < WRITE_BYTES_MIN || options->write_bytes > WRITE_BYTES_MAX)
        return hl_error_set(error, HL_INVALID,
                            "journal: write_bytes is %" PRIu64 "; 4 KiB to 64 MiB would be right",
                            options->write_bytes);
    if (options->group_alignment < 8 || options->group_alignment > ALIGNMENT_MAX ||
        (options->group_alignment & (options->group_alignment - 1)) != 0)
        return hl_error_set(error, HL_INVALID,
                            "journal: group_alignment is %" PRIu64
                            "; a power of two from 8 to %u would be right",
                            options->group_alignment, ALIGNMENT_MAX);
    if (options->shards == 0 || options->shard >= options->shards || options->reserve_block < 2 ||
        options->dictionary_limit < 3)
        return hl_error_set(error, HL_INVALID,
                            "journal: shard %u of %u, reserve_block %" PRIu64
                            ", dictionary_limit %u: the shard must be below shards, the others at "
                            "least 2 and 3",
                            options->shard, options->shards, options->reserve_block,
                            options->dictionary_limit);
    return HL_OK;
}

/* The journal's directory and the partition's, their names durable. */
static hl_status make_directories(hl_journal_writer *writer, hl_error *error)
{
    const hl_journal_writer_options *const options = &writer->options;
    const hl_io *const io = writer->io;
    char shard[16] = "", parent[HL_JOURNAL_PATH_SIZE];
    if (options->shards > 1)
        snprintf(shard, sizeof shard, ".%u", options->shard);
    const size_t room = HL_JOURNAL_PATH_SIZE - HL_SEGMENT_NAME_SIZE;
    if ((size_t)snprintf(parent, sizeof parent, "%s", options->directory) >= room ||
        (size_t)snprintf(writer->directory, sizeof writer->directory, "%s/%s%s", options->directory,
                         options->domain, shard) >= room)
        return hl_error_set(error, HL_INVALID, "%.200s...: the path is too long",
                            options->directory);
    snprintf(writer->spare_path, sizeof writer->spare_path, "%.*s/%s", (int)room, writer->directory,
             HL_SEGMENT_SPARE);
    int result = io->make_directory(io->context, options->directory);
    if (result < 0)
        return hl_io_error(error, result, options->directory, "make the directory");
    result = io->make_directory(io->context, writer->directory);
    if (result < 0)
        return hl_io_error(error, result, writer->directory, "make the directory");
    result = io->sync_directory(io->context, options->directory);
    if (result < 0)
        return hl_io_error(error, result, options->directory, "sync the directory");
    /* And the name of the journal's directory in its parent. */
    char *const slash = strrchr(parent, '/');
    if (slash == NULL)
        strcpy(parent, ".");
    else
        slash[slash == parent ? 1 : 0] = '\0';
    result = io->sync_directory(io->context, parent);
    return result < 0 ? hl_io_error(error, result, parent, "sync the directory") : HL_OK;
}

static hl_status take_lock(hl_journal_writer *writer, hl_error *error)
{
    char path[HL_JOURNAL_PATH_SIZE + 8];
    snprintf(path, sizeof path, "%s/lock", writer->directory);
    hl_io_owner owner = {0};
    const int lock = writer->io->lock(writer->io->context, path, &owner);
    if (lock == -EWOULDBLOCK)
        return hl_error_set(error, HL_LOCKED,
                            "%s: process %" PRId64 " on %s writes this journal; stop it, or give "
                            "this one another directory",
                            path, owner.pid, owner.host[0] != '\0' ? owner.host : "this host");
    if (lock < 0)
        return hl_io_error(error, lock, path, "lock");
    writer->lock = lock;
    writer->is_locked = true;
    return HL_OK;
}

static bool is_zero(const uint8_t uuid[16])
{
    static const uint8_t zero[16];
    return memcmp(uuid, zero, sizeof zero) == 0;
}

/* A run that was closed clean and held nothing has left a segment without a record. This run's
 * first one would have to be named by the same sequence: it replaces that one, in one rename, name
 * with its date and all, and is what that one was to those around it: as if one run had gone on. */
static void take_place(hl_journal_writer *writer, const hl_segment_header *empty)
{
    writer->takes_place = true;
    writer->header.day = empty->day;
    writer->header.number = empty->number - 1;
    writer->header.first_sequence = empty->previous_first_sequence;
}

/* What the headers of this run have in common, and where the sequences go on. */
static hl_status begin_run(hl_journal_writer *writer, const hl_recovery *recovery, hl_error *error)
{
    const hl_journal_writer_options *const options = &writer->options;
    hl_segment_header *const header = &writer->header;
    const bool found = recovery->segments > 0;
    const hl_segment_header *const newest = &recovery->newest_header;
    if (found && !is_zero(options->bus_uuid) &&
        memcmp(options->bus_uuid, newest->bus_uuid, sizeof newest->bus_uuid) != 0)
        return hl_error_set(error, HL_INVALID,
                            "%s: this journal belongs to another bus; give this one another "
                            "directory, or leave bus_uuid empty to go on with it",
                            writer->directory);
    if (options->first_sequence != 0 && options->first_sequence <= recovery->last_sequence)
        return hl_error_set(error, HL_INVALID,
                            "%s: first_sequence is %" PRIu64 ", but %" PRIu64
                            " is in the journal already",
                            writer->directory, options->first_sequence, recovery->last_sequence);
    *header = (hl_segment_header){.version = HL_JOURNAL_VERSION,
                                  .header_size = HL_JOURNAL_HEADER_SIZE,
                                  .event_layout = HL_EVENT_LAYOUT,
                                  .partition = options->partition,
                                  .shard = options->shard,
                                  .shards = options->shards,
                                  .epoch = 1};
    memcpy(header->bus_uuid, options->bus_uuid, sizeof header->bus_uuid);
    if (found) {
        header->first_sequence = newest->first_sequence; /* becomes `previous` */
        header->number = newest->number;
        header->epoch = newest->epoch + (newest->shards != options->shards ? 1 : 0);
        memcpy(header->bus_uuid, newest->bus_uuid, sizeof header->bus_uuid);
        writer->last_now_ns = newest->created_ns;
        if (newest->day > day_of(writer->last_now_ns))
            writer->last_now_ns = newest->day * HL_NS_PER_DAY;
    }
    if (options->epoch > header->epoch)
        header->epoch = options->epoch;
    if (is_zero(header->bus_uuid)) {
        const uint64_t random[2] = {writer->io->random(writer->io->context),
                                    writer->io->random(writer->io->context)};
        memcpy(header->bus_uuid, random, sizeof random);
    }
    snprintf(header->domain, sizeof header->domain, "%s", options->domain);
    snprintf(header->writer, sizeof header->writer, "hotlane %s", hl_version_text());
    writer->written_sequence = recovery->last_sequence;
    writer->durable_sequence = recovery->last_sequence;
    writer->next_sequence =
        options->first_sequence != 0 ? options->first_sequence : recovery->next_sequence;
    if (found && writer->next_sequence == newest->first_sequence)
        take_place(writer, newest);
    writer->reserve_wanted = writer->next_sequence - 1 + options->reserve_block;
    return HL_OK;
}

static hl_status allocate(hl_journal_writer *writer, hl_error *error)
{
    const hl_journal_writer_options *const options = &writer->options;
    writer->spare = (hl_spare){.io = writer->io,
                               .path = writer->spare_path,
                               .size = options->segment_bytes,
                               .zero_fill = options->zero_fill};
    const uint64_t buffer_size =
        options->write_bytes + GROUP_ROOM + HL_JOURNAL_EVENT_MAX + 3 * HL_DICTIONARY_ENTRY_MAX;
    const bool has_tables =
        hl_index_init(&writer->index, options->segment_bytes, options->dictionary_limit) &&
        hl_dictionary_init(&writer->dictionary);
    writer->buffer = hl_allocate(1, buffer_size);
    writer->seal_buffer = has_tables ? hl_allocate(1, hl_seal_limit(&writer->index)) : NULL;
    writer->spare.zeros = options->zero_fill ? hl_allocate(1, HL_SPARE_STEP) : NULL;
    if (writer->buffer == NULL || writer->seal_buffer == NULL ||
        (options->zero_fill && writer->spare.zeros == NULL))
        return hl_error_set(error, HL_NO_MEMORY, "%s: out of memory", options->directory);
    return HL_OK;
}

/* Closes and frees whatever there is. */
static void destroy(hl_journal_writer *writer)
{
    const hl_io *const io = writer->io;
    if (writer->is_syncing)
        (void)io->sync_end(io->context, writer->file, true);
    if (writer->is_open)
        io->close(io->context, writer->file);
    if (writer->spare.is_open)
        io->close(io->context, writer->spare.file);
    if (writer->is_locked)
        io->unlock(io->context, writer->lock);
    hl_index_free(&writer->index);
    hl_dictionary_free(&writer->dictionary);
    free(writer->buffer);
    free(writer->seal_buffer);
    free(writer->spare.zeros);
    free(writer);
}

static hl_status open_steps(hl_journal_writer *writer, hl_recovery *recovery, hl_error *error)
{
    hl_status status = allocate(writer, error);
    if (status == HL_OK)
        status = make_directories(writer, error);
    if (status == HL_OK)
        status = take_lock(writer, error);
    if (status == HL_OK)
        status = hl_journal_recover(writer->io, writer->directory, writer->options.damage, recovery,
                                    error);
    if (status == HL_OK)
        status = begin_run(writer, recovery, error);
    if (status == HL_OK && succeed(writer) != HL_OK)
        status = hl_error_set(error, writer->error.status, "%s", writer->error.text);
    return status;
}

hl_status hl_journal_writer_open(const hl_journal_writer_options *options,
                                 hl_journal_writer **ret_writer, hl_recovery *ret_recovery,
                                 hl_error *error)
{
    hl_journal_writer_options checked = *options;
    hl_status status = check_options(&checked, error);
    if (status != HL_OK)
        return status;
    hl_journal_writer *const writer = hl_allocate(1, sizeof *writer);
    if (writer == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "%s: out of memory", checked.directory);
    writer->options = checked;
    writer->io = checked.io;
    writer->progress = checked.progress != NULL ? checked.progress : &writer->own_progress;
    hl_recovery recovery;
    status = open_steps(writer, &recovery, error);
    if (status != HL_OK) {
        destroy(writer);
        return status;
    }
    hl_progress_publish(&writer->progress->written_sequence, writer->written_sequence);
    hl_progress_publish(&writer->progress->durable_sequence, writer->durable_sequence);
    hl_progress_publish(&writer->progress->state, HL_JOURNAL_RUNNING);
    if (ret_recovery != NULL)
        *ret_recovery = recovery;
    *ret_writer = writer;
    return HL_OK;
}

/* All of it on the disk and sealed as clean. */
static hl_status end_run(hl_journal_writer *writer)
{
    if (writer->state != HL_JOURNAL_RUNNING)
        return writer->state == HL_JOURNAL_NO_SPACE ? HL_NO_SPACE : HL_FAILED;
    hl_status status = write_group(writer);
    /* Even when no one waits for it: the seal says that all before it is durable. */
    if (status == HL_OK)
        status = sync_written(writer);
    if (status == HL_OK && writer->rotation != NOT_ROTATING)
        status = rotate(writer);
    return status == HL_OK ? seal(writer, HL_FOOTER_CLEAN, false) : status;
}

hl_status hl_journal_writer_close(hl_journal_writer *writer, hl_error *error)
{
    /* A full disk gets a last try: it may have room again. */
    hl_status status = writer->state == HL_JOURNAL_NO_SPACE ? resume(writer) : HL_OK;
    if (status == HL_OK)
        status = end_run(writer);
    if (status != HL_OK)
        hl_error_set(error, status, "%s", writer->error.text);
    if (writer->rotation != SUCCEEDING) /* else it is what says that none is missing */
        hl_spare_drop(&writer->spare);
    hl_progress_publish(&writer->progress->state, HL_JOURNAL_CLOSED);
    destroy(writer);
    return status;
}

void hl_journal_writer_abandon(hl_journal_writer *writer)
{
    if (writer->state != HL_JOURNAL_FAILED)
        hl_progress_publish(&writer->progress->state, HL_JOURNAL_CLOSED);
    destroy(writer);
}
