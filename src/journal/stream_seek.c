#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "journal/stream.h"

#define NEVER          UINT64_MAX
#define NEAR_ENOUGH    (2u << 20)   /* bytes that are read rather than halved once more */
#define ZEROS_SIZE     (128u << 10) /* longer than any record of zeros could be: nothing is here */
#define CLOCK_SLACK_NS 10000000u    /* by which a group's time may be behind its events' */

/* What is looked for in a segment that has no footer yet. */
typedef struct target {
    bool by_time;
    uint64_t value; /* sequence, or published_ns */
} target;

/* All but the segment that is open, which may be the one wanted. */
static void forget_place(hl_stream *stream)
{
    stream->expected = 0;
    stream->from = 0;
    stream->removed_through = 0;
    stream->skip_at = NEVER;
    stream->in_damage = false;
    stream->failure = (hl_error){0};
    stream->published = 0; /* asked for at the next segment */
}

/* All events before the group are before what is looked for. */
static bool is_before(const hl_group *group, target wanted)
{
    return wanted.by_time ? group->written_ns + CLOCK_SLACK_NS < wanted.value
                          : group->last_sequence < wanted.value;
}

static bool is_written(hl_segment_walk *walk, uint64_t offset)
{
    const size_t size = walk->window_size < ZEROS_SIZE ? walk->window_size : ZEROS_SIZE;
    const int64_t got = hl_io_read_all(walk->io, walk->file, walk->window, size, offset);
    walk->window_filled = 0; /* the walk's own bytes are gone */
    for (int64_t i = 0; i < got; i++)
        if (walk->window[i] != 0)
            return true;
    return false;
}

/* The first group between `from` and `end`. False: none. */
static bool find_group(hl_segment_walk *walk, uint64_t from, uint64_t end, uint64_t *ret_offset,
                       hl_group *ret_group)
{
    if (!is_written(walk, from))
        return false;
    const uint64_t file_size = walk->file_size;
    if (end + sizeof(hl_group) < file_size)
        walk->file_size = end + sizeof(hl_group);
    const uint64_t offset = hl_segment_walk_resync(walk, from);
    walk->file_size = file_size;
    if (offset == NEVER || hl_segment_walk_next(walk) != HL_RECORD_GOOD)
        return false;
    memcpy(ret_group, walk->record, sizeof *ret_group);
    *ret_offset = offset;
    return true;
}

/* Groups tell the wall clock, events the bus's: only where those agree may one stand for the other.
 * True when the first event behind the walk's place was published before `written_ns`. */
static bool clocks_agree(hl_segment_walk *walk, uint64_t written_ns)
{
    while (hl_segment_walk_next(walk) == HL_RECORD_GOOD) {
        hl_record_word word;
        memcpy(&word, walk->record, sizeof word);
        if (hl_record_kind_of(word) == HL_RECORD_EVENT)
            return ((const hl_event *)walk->record)->published_ns <= written_ns + CLOCK_SLACK_NS;
    }
    return false;
}

/* Halves what there is by its groups. The walk then stands at its beginning or before a group all
 * before which is before what is wanted. */
static void go_near(hl_stream *stream, target wanted)
{
    hl_segment_walk *const walk = &stream->walk;
    uint64_t low = HL_JOURNAL_HEADER_SIZE, high = walk->file_size;
    hl_group near = {0};
    while (high > low && high - low > NEAR_ENOUGH) {
        const uint64_t middle = (low + (high - low) / 2) & ~(uint64_t)7;
        uint64_t offset = 0;
        hl_group group;
        if (find_group(walk, middle, high, &offset, &group) && is_before(&group, wanted)) {
            low = offset;
            near = group;
        } else {
            high = middle;
        }
    }
    hl_segment_walk_seek(walk, low);
    if (low == HL_JOURNAL_HEADER_SIZE)
        return;
    if (wanted.by_time && !clocks_agree(walk, near.written_ns)) {
        hl_segment_walk_seek(walk, HL_JOURNAL_HEADER_SIZE);
        return;
    }
    hl_segment_walk_seek(walk, low);
    stream->expected = near.last_sequence + 1;
}

/* In the segment that has just been entered. */
static hl_status go_to(hl_stream *stream, target wanted, hl_error *error)
{
    hl_segment_walk *const walk = &stream->walk;
    const hl_footer_source source = {stream->io, walk->file, walk->path, walk->header.salt};
    stream->expected = walk->header.first_sequence;
    if (stream->footer == NULL) {
        const hl_status status =
            hl_footer_cache_get(&stream->footers, &source, &stream->footer, error);
        if (status != HL_OK)
            return status;
    }
    const hl_footer *const footer = stream->footer;
    if (footer == NULL) {
        go_near(stream, wanted);
    } else if (footer->blocks > 0) {
        const uint32_t block = wanted.by_time ? hl_footer_block_of_time(footer, wanted.value)
                                              : hl_footer_block_of_sequence(footer, wanted.value);
        const hl_footer_block *const begin = &hl_footer_blocks(footer)[block];
        if (block > 0) { /* what is before the first block's event is dictionary, gaps */
            hl_segment_walk_seek(walk, begin->offset);
            stream->expected = begin->sequence;
        }
    }
    hl_stream_use_index(stream);
    return HL_OK;
}

/* The segment that is open is the one: only its size may have changed. */
static hl_status reuse(hl_stream *stream, hl_error *error)
{
    hl_segment_walk *const walk = &stream->walk;
    const int result = hl_segment_walk_refresh(walk);
    hl_segment_walk_seek(walk, HL_JOURNAL_HEADER_SIZE);
    stream->published = hl_tail_view_limit(&stream->tail);
    return result < 0 ? hl_io_error(error, result, walk->path, "find the size of") : HL_OK;
}

/* In the segment of this index; again when it has just been removed. */
static hl_status enter_and_go(hl_stream *stream, size_t index, target wanted, hl_error *error)
{
    const hl_segment_name name = stream->segments[index].name;
    hl_status status = HL_OK;
    if (stream->open && stream->current.first_sequence == name.first_sequence)
        status = reuse(stream, error);
    else
        status = hl_stream_enter(stream, name, error);
    if (status == HL_OK)
        return go_to(stream, wanted, error);
    if (status != HL_DAMAGED || !stream->salvage)
        return status;
    /* Nothing of it can be read: the next item says so. */
    stream->has_current = true;
    stream->current = name;
    stream->expected = name.first_sequence;
    hl_segment_path(stream->directory, name, stream->walk.path, NULL);
    hl_stream_meet_damage(stream, 0, "its header or index cannot be read");
    return HL_OK;
}

static size_t segment_of_sequence(const hl_stream *stream, uint64_t sequence)
{
    size_t index = 0;
    while (index + 1 < stream->segment_count &&
           stream->segments[index + 1].name.first_sequence <= sequence)
        index++;
    return index;
}

hl_status hl_stream_seek_sequence(hl_stream *stream, uint64_t sequence, hl_error *error)
{
    hl_status status = HL_NOT_FOUND;
    for (int tries = 0; status == HL_NOT_FOUND && tries < 8; tries++) {
        forget_place(stream);
        stream->from = sequence;
        status = hl_stream_list(stream, error);
        if (status != HL_OK)
            return status;
        if (stream->segment_count == 0) {
            hl_stream_leave(stream);
            stream->has_current = false;
            return HL_OK;
        }
        const target wanted = {.value = sequence};
        status = enter_and_go(stream, segment_of_sequence(stream, sequence), wanted, error);
    }
    const uint64_t oldest = stream->segments[0].name.first_sequence;
    if (status == HL_OK && stream->open && sequence != 0 && sequence < oldest &&
        stream->walk.header.previous_last_sequence >= sequence)
        stream->removed_through = oldest - 1;
    return status;
}

hl_status hl_stream_check_keys(hl_stream *stream, uint64_t sequence, hl_error *error)
{
    const hl_io *const io = stream->io;
    hl_status status = hl_stream_list(stream, error);
    for (size_t i = segment_of_sequence(stream, sequence);
         status == HL_OK && i < stream->segment_count; i++) {
        char path[HL_JOURNAL_PATH_SIZE];
        hl_error why = {0};
        status = hl_segment_path(stream->directory, stream->segments[i].name, path, error);
        if (status != HL_OK)
            break;
        const hl_io_file file = io->open(io->context, path, HL_IO_READ);
        if (file >= 0)
            io->close(io->context, file);
        else if (hl_packed_io_take_error(stream->packed, &why) && hl_crypt_is_locked(why.status))
            status = hl_error_set(error, why.status, "%s", why.text);
    }
    return status;
}

/* Reads what a finished segment's footer says of its times. */
static void peek(hl_stream *stream, hl_stream_segment *segment)
{
    char path[HL_JOURNAL_PATH_SIZE];
    _Alignas(8) uint8_t block[HL_JOURNAL_HEADER_SIZE];
    const hl_io *const io = stream->io;
    hl_segment_header header;
    hl_footer footer;
    segment->peeked = true;
    if (hl_segment_path(stream->directory, segment->name, path, NULL) != HL_OK)
        return;
    const hl_io_file file = io->open(io->context, path, HL_IO_READ);
    if (file < 0)
        return;
    if (hl_io_read_all(io, file, block, sizeof block, 0) == (int64_t)sizeof block &&
        hl_segment_header_decode(block, path, &header, NULL) == HL_OK) {
        const hl_footer_source source = {io, file, path, header.salt};
        segment->finished = hl_footer_peek(&source, &footer);
        segment->first_ns = segment->finished ? footer.first_ns : 0;
        segment->last_ns = segment->finished ? footer.last_ns : 0;
    }
    io->close(io->context, file);
}

static size_t segment_of_time(hl_stream *stream, uint64_t time_ns)
{
    for (size_t i = 0; i + 1 < stream->segment_count; i++) {
        hl_stream_segment *const segment = &stream->segments[i];
        if (!segment->peeked || !segment->finished)
            peek(stream, segment);
        if (!segment->finished || segment->last_ns >= time_ns)
            return i;
    }
    return stream->segment_count - 1;
}

hl_status hl_stream_seek_time(hl_stream *stream, uint64_t time_ns, hl_error *error)
{
    hl_status status = HL_NOT_FOUND;
    for (int tries = 0; status == HL_NOT_FOUND && tries < 8; tries++) {
        forget_place(stream);
        status = hl_stream_list(stream, error);
        if (status != HL_OK)
            return status;
        if (stream->segment_count == 0) {
            hl_stream_leave(stream);
            stream->has_current = false;
            return HL_OK;
        }
        const target wanted = {.by_time = true, .value = time_ns};
        status = enter_and_go(stream, segment_of_time(stream, time_ns), wanted, error);
    }
    return status;
}
