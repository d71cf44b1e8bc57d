/* A stream's segments: which there are, entering and leaving one, its names, its index. */
#include "journal/stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define NEVER           UINT64_MAX
#define SKIPPING_WINDOW (128u << 10) /* bytes read at a time where the index leaves blocks out */

/* ---- opening ---- */

hl_status hl_stream_open(hl_stream *stream, hl_packed_io *packed, const char *directory,
                         const hl_partition_directory *name, const hl_journal_filter *filter,
                         bool salvage, hl_error *error)
{
    *stream = (hl_stream){.io = hl_packed_io_table(packed),
                          .packed = packed,
                          .filter = filter,
                          .salvage = salvage,
                          .name = *name,
                          .names.pattern = filter->topic,
                          .skip_at = NEVER};
    const int length =
        snprintf(stream->directory, sizeof stream->directory, "%s/%s", directory, name->text);
    if (length < 0 || (size_t)length >= sizeof stream->directory - HL_SEGMENT_NAME_SIZE)
        return hl_error_set(error, HL_INVALID, "%.200s...: the path is longer than %u bytes",
                            directory, HL_JOURNAL_PATH_SIZE);
    hl_tail_view_init(&stream->tail, stream->directory);
    return HL_OK;
}

void hl_stream_leave(hl_stream *stream)
{
    if (stream->open)
        hl_segment_walk_close(&stream->walk);
    stream->open = false;
    stream->footer = NULL;
    hl_segment_names_clear(&stream->names);
}

void hl_stream_close(hl_stream *stream)
{
    hl_stream_leave(stream);
    hl_segment_names_free(&stream->names);
    hl_footer_cache_free(&stream->footers);
    hl_tail_view_close(&stream->tail);
    free(stream->segments);
    stream->segments = NULL;
}

hl_status hl_stream_list(hl_stream *stream, hl_error *error)
{
    hl_segment_name *names = NULL;
    size_t count = 0;
    const hl_status status = hl_segment_list(stream->io, stream->directory, &names, &count, error);
    if (status != HL_OK)
        return status;
    hl_stream_segment *const segments = calloc(count + 1, sizeof *segments);
    if (segments == NULL) {
        free(names);
        return hl_error_set(error, HL_NO_MEMORY, "%s: out of memory", stream->directory);
    }
    size_t old = 0;
    for (size_t i = 0; i < count; i++) {
        while (old < stream->segment_count &&
               stream->segments[old].name.first_sequence < names[i].first_sequence)
            old++;
        if (old < stream->segment_count && stream->segments[old].finished &&
            stream->segments[old].name.first_sequence == names[i].first_sequence)
            segments[i] = stream->segments[old];
        segments[i].name = names[i];
    }
    free(names);
    free(stream->segments);
    stream->segments = segments;
    stream->segment_count = count;
    return HL_OK;
}

/* The system's own sentence, or what unpacking has to say. */
static hl_status open_failed(hl_stream *stream, hl_status status, hl_error *error)
{
    hl_error packed;
    if (!hl_packed_io_take_error(stream->packed, &packed))
        return status;
    return hl_error_set(error, packed.status, "%s", packed.text);
}

hl_status hl_stream_enter(hl_stream *stream, hl_segment_name name, hl_error *error)
{
    char path[HL_JOURNAL_PATH_SIZE];
    hl_stream_leave(stream);
    hl_status status = hl_segment_path(stream->directory, name, path, error);
    if (status != HL_OK)
        return status;
    /* A name that is gone is no fault: retention works while readers do. */
    const hl_io_file there = stream->io->open(stream->io->context, path, HL_IO_READ);
    if (there >= 0)
        stream->io->close(stream->io->context, there);
    if (there == -ENOENT)
        return HL_NOT_FOUND;
    status = hl_segment_walk_open(&stream->walk, stream->io, path, error);
    if (status != HL_OK)
        return open_failed(stream, status, error);
    stream->open = true;
    const hl_footer_source source = {stream->io, stream->walk.file, stream->walk.path,
                                     stream->walk.header.salt};
    if (hl_filter_is_selective(stream->filter))
        status = hl_footer_cache_get(&stream->footers, &source, &stream->footer, error);
    stream->has_current = true;
    stream->current = name;
    stream->salt = stream->walk.header.salt;
    stream->has_yielded = false;
    stream->partition = stream->walk.header.partition;
    stream->shards = stream->walk.header.shards;
    stream->named_through = HL_JOURNAL_HEADER_SIZE;
    stream->skip_at = NEVER;
    stream->probed = 0;
    stream->quiet_at = NEVER;
    /* A writer that was not there before begins with a segment: from here on its mark counts. */
    stream->published = hl_tail_view_limit(&stream->tail);
    return status;
}

/* ---- names ---- */

static bool names_known(const hl_stream *stream, const hl_event *event)
{
    return hl_segment_names_topic(&stream->names, event->topic) != NULL &&
           hl_segment_names_source(&stream->names, event->source) != NULL;
}

/* A dictionary record by its place in the footer; a bad one is met again by who reads there. */
static bool add_name_at(hl_stream *stream, uint64_t offset)
{
    _Alignas(8) uint8_t head[sizeof(hl_dictionary_record)];
    const hl_io_file file = stream->walk.file;
    hl_record_word word = {0};
    if (offset % 8 != 0 ||
        hl_io_read_all(stream->io, file, head, sizeof head, offset) != (int64_t)sizeof head)
        return true;
    memcpy(&word, head, sizeof word);
    const uint32_t length = hl_record_length(word);
    if (hl_record_kind_of(word) != HL_RECORD_DICTIONARY || length < sizeof head ||
        length > HL_JOURNAL_EVENT_MAX + HL_JOURNAL_NAME_MAX)
        return true;
    uint8_t *const record = malloc(length);
    if (record == NULL)
        return false;
    bool added = true;
    if (hl_io_read_all(stream->io, file, record, length, offset) == (int64_t)length &&
        hl_record_check(stream->walk.header.salt, stream->walk.seed, record, length, offset) ==
            HL_RECORD_GOOD)
        added = hl_segment_names_add(&stream->names, (const hl_dictionary_record *)record);
    free(record);
    return added;
}

static bool add_names_of_footer(hl_stream *stream)
{
    const hl_footer *const footer = stream->footer;
    const uint64_t *const offsets = hl_footer_dictionary(footer);
    for (uint32_t i = 0; i < footer->dictionary_entries; i++)
        if (!add_name_at(stream, offsets[i]))
            return false;
    return true;
}

hl_status hl_stream_find_names(hl_stream *stream, const hl_event *event, hl_error *error)
{
    hl_segment_walk walk;
    if (names_known(stream, event) || stream->named_through >= stream->walk.offset)
        return HL_OK;
    /* A footer lists all of its segment's dictionary; only one that a recovery made may have had
     * too many for its room. */
    if (stream->footer != NULL && add_names_of_footer(stream) &&
        (names_known(stream, event) || (stream->footer->flags & HL_FOOTER_RECOVERED) == 0)) {
        stream->named_through = stream->walk.next;
        return HL_OK;
    }
    hl_status status = hl_segment_walk_open(&walk, stream->io, stream->walk.path, error);
    if (status != HL_OK)
        return status;
    hl_segment_walk_seek(&walk, stream->named_through);
    while (status == HL_OK && walk.next < stream->walk.offset && !names_known(stream, event)) {
        if (hl_segment_walk_next(&walk) != HL_RECORD_GOOD) {
            if (hl_segment_walk_resync(&walk, walk.offset + 8) == NEVER)
                break;
            continue;
        }
        hl_record_word word;
        memcpy(&word, walk.record, sizeof word);
        if (hl_record_kind_of(word) == HL_RECORD_DICTIONARY &&
            !hl_segment_names_add(&stream->names, walk.record))
            status = hl_error_set(error, HL_NO_MEMORY, "%s: out of memory", walk.path);
    }
    stream->named_through = walk.next > stream->walk.offset || !names_known(stream, event)
                                ? stream->walk.next
                                : walk.next;
    hl_segment_walk_close(&walk);
    return status;
}

/* ---- the index ---- */

/* All of the segment was published after what is asked for. */
static bool is_too_late(hl_stream *stream, hl_footer *ret_footer)
{
    const hl_footer_source source = {stream->io, stream->walk.file, stream->walk.path,
                                     stream->walk.header.salt};
    return stream->filter->to_ns != 0 && hl_footer_peek(&source, ret_footer) &&
           ret_footer->events != 0 && ret_footer->gaps == 0 &&
           (ret_footer->flags & HL_FOOTER_DAMAGED) == 0 &&
           ret_footer->first_ns > stream->filter->to_ns;
}

void hl_stream_use_index(hl_stream *stream)
{
    const hl_footer *const footer = stream->footer;
    hl_footer late;
    stream->skip_at = NEVER;
    if (is_too_late(stream, &late)) {
        hl_segment_walk_seek(&stream->walk, late.records_end);
        stream->expected = late.last_sequence + 1;
        return;
    }
    /* Gaps and damage are to be told: they are found by reading only. */
    if (footer == NULL || footer->blocks == 0 || footer->gaps != 0 ||
        (footer->flags & HL_FOOTER_DAMAGED) != 0 || !hl_filter_is_selective(stream->filter) ||
        !add_names_of_footer(stream))
        return;
    stream->walk.window_size = SKIPPING_WINDOW;
    stream->block = 0;
    const uint32_t last = footer->blocks - 1;
    while (stream->block < last &&
           hl_footer_blocks(footer)[stream->block].offset < stream->walk.next)
        stream->block++;
    stream->skip_at = hl_footer_blocks(footer)[stream->block].offset;
    if (stream->skip_at < stream->walk.next)
        stream->skip_at = NEVER; /* in the last block already */
}

void hl_stream_skip_blocks(hl_stream *stream)
{
    const hl_footer *const footer = stream->footer;
    const hl_footer_block *const blocks = hl_footer_blocks(footer);
    uint32_t topics[HL_FILTER_TOPICS];
    const hl_block_filter filter =
        hl_filter_for_blocks(stream->filter, &stream->names, stream->partition, topics);
    while (stream->block + 1 < footer->blocks &&
           blocks[stream->block + 1].offset <= stream->walk.next)
        stream->block++;
    const uint32_t next = hl_footer_next_block(footer, stream->block, &filter);
    if (next == footer->blocks) {
        hl_segment_walk_seek(&stream->walk, footer->records_end);
        stream->expected = footer->last_sequence + 1;
        stream->skip_at = NEVER;
        return;
    }
    if (next > stream->block) {
        hl_segment_walk_seek(&stream->walk, blocks[next].offset);
        stream->expected = blocks[next].sequence;
    }
    stream->block = next + 1;
    stream->skip_at = next + 1 < footer->blocks ? blocks[next + 1].offset : NEVER;
}
