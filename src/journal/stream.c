#include "journal/stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

#define NEVER      UINT64_MAX
#define PROBE_SIZE (64u << 20) /* how far behind its end a segment is searched for more */

/* What a step along the records comes to. */
typedef enum step {
    STEP_ON,   /* go on */
    STEP_ITEM, /* *ret_item is filled */
    STEP_STOP  /* stream's status says why */
} step;

typedef struct stepping {
    hl_stream *stream;
    hl_stream_item *item;
    hl_error *error;
    hl_status status; /* with STEP_STOP */
} stepping;

static step stop(stepping *this, hl_status status)
{
    this->status = status;
    return STEP_STOP;
}

/* ---- damage ---- */

void hl_stream_meet_damage(hl_stream *stream, uint64_t offset, const char *text)
{
    if (stream->in_damage)
        return; /* the first place is the one to name */
    stream->in_damage = true;
    stream->damage_offset = offset;
    stream->damage_text = text;
    strcpy(stream->damage_path, stream->walk.path);
}

/* What went with the damage is known: all up to `last` (expected - 1: nothing). */
static step settle_damage(stepping *this, uint64_t last)
{
    hl_stream *const stream = this->stream;
    const uint64_t first = stream->expected;
    const bool lost = last >= first && first != 0;
    char what[80] = "no sequence is missing";
    if (lost)
        snprintf(what, sizeof what, "sequences %" PRIu64 " to %" PRIu64 " are lost", first, last);
    hl_error packed = {0};
    hl_packed_io_damage(stream->packed, &packed);
    const bool by_frame =
        strncmp(packed.text, stream->damage_path, strlen(stream->damage_path)) == 0;
    snprintf(stream->detail, sizeof stream->detail, "%.250s: damaged at byte %" PRIu64 " (%s): %s",
             stream->damage_path, stream->damage_offset,
             by_frame ? "its frame cannot be unpacked" : stream->damage_text, what);
    stream->in_damage = false;
    if (!stream->salvage) {
        hl_error_set(&stream->failure, HL_DAMAGED,
                     "%s; `hotlane journal verify` tells all of it, reading with salvage goes on",
                     stream->detail);
        if (this->error != NULL)
            *this->error = stream->failure;
        return stop(this, HL_DAMAGED);
    }
    *this->item = (hl_stream_item){.kind = HL_JOURNAL_DAMAGE,
                                   .first_sequence = lost ? first : 0,
                                   .last_sequence = lost ? last : 0};
    if (lost)
        stream->expected = last + 1;
    return STEP_ITEM;
}

/* Where records go on behind the bad one; false: nowhere in this segment. */
static bool pass_bad(hl_stream *stream, uint64_t offset)
{
    hl_segment_walk *const walk = &stream->walk;
    hl_record_word word = {0};
    /* Often only this record is bad, and its length can still be believed. */
    if (hl_io_read_all(stream->io, walk->file, &word, sizeof word, offset) ==
        (int64_t)sizeof word) {
        const uint32_t length = hl_record_length(word);
        if (length >= sizeof word && length % 8 == 0 && offset + length < walk->file_size) {
            hl_segment_walk_seek(walk, offset + length);
            if (hl_segment_walk_next(walk) == HL_RECORD_GOOD) {
                hl_segment_walk_seek(walk, offset + length);
                return true;
            }
        }
    }
    return hl_segment_walk_resync(walk, offset + 8) != NEVER;
}

/* Does a later group say that what is at `offset` was durable once? */
static bool was_durable(hl_stream *stream, uint64_t offset)
{
    hl_segment_walk *const walk = &stream->walk;
    const uint64_t file_size = walk->file_size;
    if (file_size > offset + PROBE_SIZE)
        walk->file_size = offset + PROBE_SIZE;
    bool durable = false;
    for (uint64_t at = hl_segment_walk_resync(walk, offset); at != NEVER && !durable;
         at = hl_segment_walk_resync(walk, at + 8)) {
        hl_group group;
        hl_segment_walk_seek(walk, at);
        if (hl_segment_walk_next(walk) != HL_RECORD_GOOD)
            break;
        memcpy(&group, walk->record, sizeof group);
        durable = group.durable_offset > offset && group.durable_offset <= at;
    }
    walk->file_size = file_size;
    hl_segment_walk_seek(walk, offset);
    return durable;
}

/* ---- from segment to segment ---- */

static step end_segment(hl_stream *stream)
{
    hl_stream_leave(stream);
    return STEP_ON;
}

/* The first segment behind the current one; segment_count: none. */
static size_t index_of_next(const hl_stream *stream)
{
    size_t i = 0;
    while (i < stream->segment_count && stream->has_current &&
           stream->segments[i].name.first_sequence <= stream->current.first_sequence)
        i++;
    return i;
}

static bool is_last(const hl_stream *stream)
{
    return index_of_next(stream) == stream->segment_count;
}

/* Nothing more, but there was damage up to the end: it is told first. */
static step stop_at_end(stepping *this)
{
    if (this->stream->in_damage)
        return settle_damage(this, this->stream->expected - 1);
    return stop(this, HL_NOT_FOUND);
}

/* A segment was just opened: does it go on where the one before it ended? */
static step check_link(stepping *this, uint64_t previous_first, bool has_previous, bool is_oldest)
{
    hl_stream *const stream = this->stream;
    const hl_segment_header *const header = &stream->walk.header;
    const uint64_t first = header->first_sequence;
    if (first != stream->current.first_sequence ||
        strcmp(header->domain, stream->name.domain) != 0) {
        hl_stream_meet_damage(stream, 0, "its name and its header do not agree");
        return settle_damage(this, stream->expected - 1);
    }
    if (stream->expected == 0) { /* at the journal's beginning */
        stream->expected = first;
        return STEP_ON;
    }
    const uint64_t gone = header->previous_last_sequence;
    const bool follows = !has_previous || header->previous_first_sequence == previous_first;
    if (!follows && is_oldest && first > stream->expected) {
        *this->item = (hl_stream_item){.kind = HL_JOURNAL_REMOVED,
                                       .first_sequence = stream->expected,
                                       .last_sequence = first - 1};
        stream->expected = first;
        return STEP_ITEM;
    }
    if (!follows)
        hl_stream_meet_damage(stream, 0, "the segment before it is missing");
    else if (gone >= stream->expected)
        hl_stream_meet_damage(stream, 0, "the end of the segment before it is missing");
    else if (first < stream->expected)
        hl_stream_meet_damage(stream, 0, "it begins with sequences that were there already");
    const uint64_t expected = stream->expected;
    if (stream->in_damage) {
        const step result = settle_damage(this, gone >= expected ? gone : expected - 1);
        if (first > stream->expected)
            stream->expected = first;
        return result;
    }
    /* After a crash numbers that were reserved, but never given out, are passed over. */
    stream->expected = first;
    return STEP_ON;
}

/* The current segment held nothing: the writer's next run may have put its own in its place. Then
 * it is entered anew, and linked to what that one was linked to. */
static bool is_replaced(stepping *this)
{
    hl_stream *const stream = this->stream;
    const uint64_t salt = stream->salt;
    if (!stream->has_current || stream->has_yielded || stream->in_damage)
        return false;
    if (hl_stream_enter(stream, stream->current, NULL) == HL_OK && stream->salt != salt)
        return true;
    hl_stream_leave(stream);
    return false;
}

static step next_segment(stepping *this)
{
    hl_stream *const stream = this->stream;
    if (is_replaced(this)) {
        hl_stream_use_index(stream);
        return STEP_ON;
    }
    const bool has_previous = stream->has_current;
    const uint64_t previous_first = stream->current.first_sequence;
    hl_status status = HL_NOT_FOUND;
    size_t next = 0;
    for (int tries = 0; status == HL_NOT_FOUND && tries < 8; tries++) {
        status = hl_stream_list(stream, this->error);
        if (status != HL_OK)
            return stop(this, status);
        next = index_of_next(stream);
        if (next == stream->segment_count)
            return stop_at_end(this);
        status = hl_stream_enter(stream, stream->segments[next].name, this->error);
    }
    if (status == HL_DAMAGED && stream->salvage) {
        /* Its header cannot be read, so nothing behind it can: on to the one after it. */
        stream->current = stream->segments[next].name;
        stream->has_current = true;
        if (!stream->in_damage &&
            hl_segment_path(stream->directory, stream->current, stream->walk.path, NULL) == HL_OK)
            hl_stream_meet_damage(stream, 0, "its header or index cannot be read");
        return STEP_ON;
    }
    if (status != HL_OK)
        return stop(this, status);
    const step linked = check_link(this, previous_first, has_previous, next == 0);
    if (linked != STEP_STOP)
        hl_stream_use_index(stream);
    return linked;
}

/* ---- records ---- */

/* The sequence that a record speaks of next should be the expected one. STEP_ON: it is. */
static step check_sequence(stepping *this, uint64_t sequence)
{
    hl_stream *const stream = this->stream;
    const uint64_t offset = stream->walk.offset;
    if (sequence == stream->expected && !stream->in_damage)
        return STEP_ON;
    if (sequence >= stream->expected) {
        hl_stream_meet_damage(stream, offset, "sequences are missing before it");
        hl_segment_walk_seek(&stream->walk, offset); /* it is taken at the next step */
        const step result = settle_damage(this, sequence - 1);
        if (result == STEP_ITEM)
            stream->expected = sequence;
        return result;
    }
    /* Good in itself, but not the one that belongs here: passed over like a bad one. */
    hl_stream_meet_damage(stream, offset, "a record that belongs elsewhere");
    return STEP_ITEM;
}

static step take_event(stepping *this, const hl_event *event)
{
    hl_stream *const stream = this->stream;
    stream->expected = event->sequence + 1;
    stream->has_yielded = true;
    if (event->sequence < stream->from)
        return STEP_ON;
    const hl_status status = hl_stream_find_names(stream, event, this->error);
    if (status != HL_OK)
        return stop(this, status);
    const hl_named_topic *const topic = hl_segment_names_topic(&stream->names, event->topic);
    if (!hl_filter_passes(stream->filter, event, topic, stream->partition))
        return STEP_ON;
    *this->item = (hl_stream_item){.kind = HL_JOURNAL_EVENT,
                                   .event = event,
                                   .topic = topic,
                                   .source = hl_segment_names_source(&stream->names, event->source),
                                   .first_sequence = event->sequence,
                                   .last_sequence = event->sequence};
    return STEP_ITEM;
}

static step take_gap(stepping *this, const hl_gap *gap)
{
    hl_stream *const stream = this->stream;
    stream->expected = gap->last_sequence + 1;
    stream->has_yielded = true;
    if (gap->last_sequence < stream->from)
        return STEP_ON;
    *this->item = (hl_stream_item){.kind = HL_JOURNAL_GAP,
                                   .first_sequence = gap->first_sequence,
                                   .last_sequence = gap->last_sequence};
    return STEP_ITEM;
}

static step take_dictionary(stepping *this)
{
    hl_stream *const stream = this->stream;
    if (stream->named_through >= stream->walk.offset)
        stream->named_through = stream->walk.next;
    return hl_segment_names_add(&stream->names, stream->walk.record)
               ? STEP_ON
               : stop(this, hl_error_set(this->error, HL_NO_MEMORY, "%s: out of memory",
                                         stream->walk.path));
}

/* The sequence behind which a rotation or footer says that the segment ends. */
static step take_end(stepping *this, uint64_t last_sequence)
{
    hl_stream *const stream = this->stream;
    if (stream->in_damage || last_sequence >= stream->expected) {
        const uint64_t last =
            last_sequence >= stream->expected ? last_sequence : stream->expected - 1;
        hl_stream_meet_damage(stream, stream->walk.offset, "records before it are missing");
        const step result = settle_damage(this, last);
        if (result == STEP_ITEM)
            end_segment(stream);
        return result;
    }
    return end_segment(stream);
}

static step take(stepping *this)
{
    hl_stream *const stream = this->stream;
    const void *const record = stream->walk.record;
    hl_record_word word;
    memcpy(&word, record, sizeof word);
    const hl_record_kind kind = hl_record_kind_of(word);
    step checked = STEP_ON;
    if (kind == HL_RECORD_EVENT)
        checked = check_sequence(this, ((const hl_event *)record)->sequence);
    else if (kind == HL_RECORD_GROUP)
        checked = check_sequence(this, ((const hl_group *)record)->last_sequence + 1);
    else if (kind == HL_RECORD_GAP)
        checked = check_sequence(this, ((const hl_gap *)record)->first_sequence);
    if (checked != STEP_ON)
        return stream->in_damage ? STEP_ON : checked; /* in damage: passed over */
    switch (kind) {
    case HL_RECORD_EVENT:
        return take_event(this, record);
    case HL_RECORD_GAP:
        return take_gap(this, record);
    case HL_RECORD_DICTIONARY:
        return take_dictionary(this);
    case HL_RECORD_ROTATION:
        return take_end(this, ((const hl_rotation *)record)->last_sequence);
    case HL_RECORD_FOOTER:
        return take_end(this, ((const hl_footer *)record)->last_sequence);
    case HL_RECORD_GROUP:
    case HL_RECORD_PADDING:
        break;
    case HL_RECORD_TRAILER:
        return end_segment(stream);
    }
    if (stream->named_through >= stream->walk.offset)
        stream->named_through = stream->walk.next;
    return STEP_ON;
}

/* Is what is not good at `offset` damage, rather than the end as far as it has been written? */
static bool is_damage(hl_stream *stream, hl_record_verdict verdict, uint64_t offset)
{
    const hl_footer_source source = {stream->io, stream->walk.file, stream->walk.path,
                                     stream->walk.header.salt};
    hl_footer footer;
    if (hl_footer_peek(&source, &footer))
        return true;
    if (!is_last(stream))
        return verdict != HL_RECORD_END;
    if (stream->published != NEVER) /* it is published, so it should be there */
        return stream->expected <= stream->published;
    if (stream->probed == offset)
        return false;
    stream->probed = offset;
    return was_durable(stream, offset);
}

static step meet_bad(stepping *this, hl_record_verdict verdict)
{
    hl_stream *const stream = this->stream;
    hl_segment_walk *const walk = &stream->walk;
    const uint64_t offset = walk->offset;
    if (walk->read_error != 0)
        return stop(this, hl_io_error(this->error, walk->read_error, walk->path, "read"));
    /* The next segment may have begun, and this one been ended, since the walk looked: first which
     * segments there are, then what stands here. */
    hl_status status = hl_stream_list(stream, this->error);
    const int refreshed = hl_segment_walk_refresh(walk);
    if (status == HL_OK && refreshed < 0)
        status = hl_io_error(this->error, refreshed, walk->path, "find the size of");
    if (status != HL_OK)
        return stop(this, status);
    hl_segment_walk_seek(walk, offset);
    const hl_record_verdict again = hl_segment_walk_next(walk);
    hl_segment_walk_seek(walk, offset);
    if (again == HL_RECORD_GOOD)
        return STEP_ON;
    verdict = again;
    if (!is_damage(stream, verdict, offset)) {
        if (is_last(stream)) {
            stream->quiet_at = verdict == HL_RECORD_END ? offset : NEVER;
            return stop_at_end(this);
        }
        return end_segment(stream); /* never ended by its writer; the next one knows what is lost */
    }
    /* What tells of damage may have been written since the record was looked at, and the record
     * with it: only what is still bad behind that is damaged. */
    if (hl_segment_walk_next(walk) == HL_RECORD_GOOD) {
        hl_segment_walk_seek(walk, offset);
        return STEP_ON;
    }
    hl_stream_meet_damage(stream, offset, hl_record_verdict_text(verdict));
    if (!pass_bad(stream, offset))
        return end_segment(stream);
    return STEP_ON;
}

/* Nothing has come where nothing was: eight bytes and a size instead of all that meet_bad looks at,
 * for who follows several partitions and asks each of them at every event. A segment is sealed, by
 * its writer or by a recovery, before there is another: its size then changes. */
static bool is_still_quiet(const hl_stream *stream)
{
    const hl_segment_walk *const walk = &stream->walk;
    const hl_io *const io = stream->io;
    uint64_t word = 0;
    return stream->quiet_at == walk->next && !stream->in_damage &&
           io->size(io->context, walk->file) == (int64_t)walk->file_size &&
           io->pread(io->context, walk->file, &word, sizeof word, walk->next) ==
               (int64_t)sizeof word &&
           word == 0;
}

/* Whether the next sequence is published by now. */
static bool look_again(hl_stream *stream)
{
    stream->published = hl_tail_view_limit(&stream->tail);
    return stream->expected <= stream->published;
}

static step advance(stepping *this)
{
    hl_stream *const stream = this->stream;
    if (stream->expected > stream->published && !look_again(stream))
        return stop_at_end(this);
    if (!stream->open)
        return next_segment(this);
    if (is_still_quiet(stream))
        return stop(this, HL_NOT_FOUND);
    if (stream->walk.next >= stream->skip_at && !stream->in_damage)
        hl_stream_skip_blocks(stream);
    const hl_record_verdict verdict = hl_segment_walk_next(&stream->walk);
    return verdict == HL_RECORD_GOOD ? take(this) : meet_bad(this, verdict);
}

hl_status hl_stream_next(hl_stream *stream, hl_stream_item *ret_item, hl_error *error)
{
    stepping this = {.stream = stream, .item = ret_item, .error = error};
    if (stream->failure.status != HL_OK) {
        if (error != NULL)
            *error = stream->failure;
        return stream->failure.status;
    }
    if (stream->removed_through != 0) {
        *ret_item = (hl_stream_item){.kind = HL_JOURNAL_REMOVED,
                                     .first_sequence = stream->from,
                                     .last_sequence = stream->removed_through};
        stream->removed_through = 0;
        return HL_OK;
    }
    for (;;) {
        switch (advance(&this)) {
        case STEP_ON:
            break;
        case STEP_ITEM:
            return HL_OK;
        case STEP_STOP:
            return this.status;
        }
    }
}
