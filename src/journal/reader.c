#include "journal/reader.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/error.h"
#include "journal/cursor.h"

#define DIRECTORY_EVENTS (IN_CREATE | IN_MOVED_TO | IN_ONLYDIR)
#define PARTITION_EVENTS (DIRECTORY_EVENTS | IN_MODIFY)
#define NS_PER_MS        1000000u

/* A stream and its next item, which waits for its turn among the others'. */
typedef struct reader_lane {
    hl_stream stream;
    hl_stream_item head;
    bool has_head;
    bool is_dry; /* not following: it had no more, and is asked again only when none has */
} reader_lane;

struct hl_journal_reader {
    const hl_io *io;
    hl_packed_io *packed;
    char directory[HL_JOURNAL_PATH_SIZE];
    char *partition;
    char *cursor;
    char *pattern;
    hl_journal_filter filter;
    bool salvage;
    bool follow;
    reader_lane **lanes;
    size_t lane_count;
    reader_lane *given; /* whose head the last entry was; NULL: none */
    int inotify;        /* -1: not following */
    int root_watch;
    bool new_partitions; /* the directory has changed */
};

static hl_status out_of_memory(const hl_journal_reader *reader, hl_error *error)
{
    return hl_error_set(error, HL_NO_MEMORY, "%s: out of memory", reader->directory);
}

/* ---- opening ---- */

/* Where a partition's stream begins. */
static hl_status go_to_beginning(hl_journal_reader *reader, reader_lane *lane, hl_error *error)
{
    const hl_journal_filter *const filter = &reader->filter;
    hl_cursor_position *positions = NULL;
    size_t count = 0;
    hl_status status = HL_NOT_FOUND;
    if (reader->cursor != NULL)
        status = hl_cursor_load(reader->io, reader->directory, reader->cursor, &positions, &count,
                                error);
    if (status != HL_OK && status != HL_NOT_FOUND)
        return status;
    uint64_t from = 0;
    for (size_t i = 0; i < count; i++)
        if (strcmp(positions[i].partition, lane->stream.name.text) == 0)
            from = positions[i].next_sequence;
    free(positions);
    if (from < filter->from_sequence)
        from = filter->from_sequence;
    if (from == 0 && filter->from_ns != 0)
        return hl_stream_seek_time(&lane->stream, filter->from_ns, error);
    return hl_stream_seek_sequence(&lane->stream, from, error);
}

static hl_status watch(hl_journal_reader *reader, const char *path, uint32_t events, int *ret_watch,
                       hl_error *error)
{
    if (reader->inotify < 0)
        return HL_OK;
    const int watch = inotify_add_watch(reader->inotify, path, events);
    if (watch < 0)
        return hl_io_error(error, -errno, path, "watch");
    if (ret_watch != NULL)
        *ret_watch = watch;
    return HL_OK;
}

static hl_status add_lane(hl_journal_reader *reader, const hl_partition_directory *name,
                          hl_error *error)
{
    reader_lane **const lanes =
        realloc(reader->lanes, (reader->lane_count + 1) * sizeof(reader_lane *));
    if (lanes == NULL)
        return out_of_memory(reader, error);
    reader->lanes = lanes;
    reader_lane *const added = calloc(1, sizeof *added);
    if (added == NULL)
        return out_of_memory(reader, error);
    hl_status status = hl_stream_open(&added->stream, reader->packed, reader->directory, name,
                                      &reader->filter, reader->salvage, error);
    /* Watched before it is read: what comes in between is not missed. */
    if (status == HL_OK)
        status = watch(reader, added->stream.directory, PARTITION_EVENTS, NULL, error);
    if (status == HL_OK)
        status = go_to_beginning(reader, added, error);
    if (status != HL_OK) {
        hl_stream_close(&added->stream);
        free(added);
        return status;
    }
    reader->lanes[reader->lane_count++] = added;
    return HL_OK;
}

static bool has_lane(const hl_journal_reader *reader, const hl_partition_directory *name)
{
    for (size_t i = 0; i < reader->lane_count; i++)
        if (strcmp(reader->lanes[i]->stream.name.text, name->text) == 0)
            return true;
    return false;
}

/* A lane for each partition that has none yet. */
static hl_status add_lanes(hl_journal_reader *reader, hl_error *error)
{
    hl_partition_directory *names = NULL;
    size_t count = 0;
    hl_status status = hl_partition_list(hl_packed_io_table(reader->packed), reader->directory,
                                         reader->partition, &names, &count, error);
    reader->new_partitions = false;
    /* Whom it follows may still come. */
    if (status == HL_NOT_FOUND && reader->follow && reader->partition != NULL)
        status = HL_OK;
    for (size_t i = 0; status == HL_OK && i < count; i++)
        if (!has_lane(reader, &names[i]))
            status = add_lane(reader, &names[i], error);
    free(names);
    return status;
}

static hl_status copy_options(hl_journal_reader *reader, const hl_journal_reader_options *options,
                              hl_error *error)
{
    reader->filter = options->filter;
    reader->salvage = options->salvage;
    reader->follow = options->follow;
    const char *const texts[] = {options->partition, options->cursor, options->filter.topic};
    char **const copies[] = {&reader->partition, &reader->cursor, &reader->pattern};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        *copies[i] = texts[i] != NULL ? strdup(texts[i]) : NULL;
        if (texts[i] != NULL && *copies[i] == NULL)
            return out_of_memory(reader, error);
    }
    reader->filter.topic = reader->pattern;
    return reader->cursor != NULL ? hl_cursor_check_name(reader->cursor, error) : HL_OK;
}

static hl_status begin(hl_journal_reader *reader, const hl_journal_reader_options *options,
                       hl_error *error)
{
    hl_status status = copy_options(reader, options, error);
    if (status == HL_OK)
        status = hl_filter_check(&reader->filter, error);
    if (status != HL_OK)
        return status;
    reader->packed = hl_packed_io_create(reader->io, options->keys);
    if (reader->packed == NULL)
        return out_of_memory(reader, error);
    if (reader->follow) {
        reader->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (reader->inotify < 0)
            return hl_io_error(error, -errno, reader->directory, "watch");
        status = watch(reader, reader->directory, DIRECTORY_EVENTS, &reader->root_watch, error);
        if (status != HL_OK)
            return access(reader->directory, F_OK) != 0 ? HL_NOT_FOUND : status;
    }
    status = add_lanes(reader, error);
    if (status == HL_OK && reader->lane_count == 0 && !reader->follow)
        return hl_error_set(error, HL_NOT_FOUND, "%s: no partition in this directory",
                            reader->directory);
    return status;
}

hl_status hl_reader_open(const hl_io *io, const hl_journal_reader_options *options,
                         hl_journal_reader **ret_reader, hl_error *error)
{
    if (options == NULL || options->size != sizeof *options || options->directory == NULL)
        return hl_error_set(error, HL_INVALID,
                            "options: begin with HL_JOURNAL_READER_OPTIONS_INIT, name a directory");
    hl_journal_reader *const reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "reader: out of memory");
    reader->io = io;
    reader->inotify = -1;
    const int length =
        snprintf(reader->directory, sizeof reader->directory, "%s", options->directory);
    hl_status status = HL_OK;
    if (length < 0 || (size_t)length >= sizeof reader->directory)
        status = hl_error_set(error, HL_INVALID, "%.200s...: the path is longer than %u bytes",
                              options->directory, HL_JOURNAL_PATH_SIZE);
    if (status == HL_OK)
        status = begin(reader, options, error);
    if (status == HL_OK)
        *ret_reader = reader;
    else
        hl_journal_reader_close(reader);
    return status;
}

hl_status hl_journal_reader_open(const hl_journal_reader_options *options,
                                 hl_journal_reader **ret_reader, hl_error *error)
{
    return hl_reader_open(hl_io_posix(), options, ret_reader, error);
}

void hl_journal_reader_close(hl_journal_reader *reader)
{
    if (reader == NULL)
        return;
    for (size_t i = 0; i < reader->lane_count; i++) {
        hl_stream_close(&reader->lanes[i]->stream);
        free(reader->lanes[i]);
    }
    free(reader->lanes);
    hl_packed_io_free(reader->packed);
    if (reader->inotify >= 0)
        close(reader->inotify);
    free(reader->partition);
    free(reader->cursor);
    free(reader->pattern);
    free(reader);
}

const hl_stream *hl_reader_stream(const hl_journal_reader *reader, size_t index)
{
    return index < reader->lane_count ? &reader->lanes[index]->stream : NULL;
}

uint64_t hl_reader_damaged_frames(const hl_journal_reader *reader, hl_error *ret_error)
{
    return hl_packed_io_damage(reader->packed, ret_error);
}

/* ---- merging ---- */

/* Brings each lane's next item up. HL_NOT_FOUND only of all of them. */
static hl_status fill_heads(hl_journal_reader *reader, bool dry_too, hl_error *error)
{
    const uint64_t to = reader->filter.to_sequence;
    for (size_t i = 0; i < reader->lane_count; i++) {
        reader_lane *const lane = reader->lanes[i];
        if (lane->has_head || (lane->is_dry && !dry_too) ||
            (to != 0 && hl_stream_position(&lane->stream) > to))
            continue;
        const hl_status status = hl_stream_next(&lane->stream, &lane->head, error);
        if (status != HL_OK && status != HL_NOT_FOUND)
            return status;
        lane->has_head = status == HL_OK;
        lane->is_dry = status == HL_NOT_FOUND && !reader->follow;
    }
    return HL_OK;
}

/* What is not an event has no time: it is told at once. */
static uint64_t time_of(const hl_stream_item *item)
{
    return item->kind == HL_JOURNAL_EVENT ? item->event->published_ns : 0;
}

static reader_lane *earliest(const hl_journal_reader *reader)
{
    reader_lane *first = NULL;
    for (size_t i = 0; i < reader->lane_count; i++) {
        reader_lane *const other = reader->lanes[i];
        if (other->has_head && (first == NULL || time_of(&other->head) < time_of(&first->head)))
            first = other;
    }
    return first;
}

/* The lane whose head must come before this one: it is on the way to the event's cause. */
static reader_lane *lane_of_cause(const hl_journal_reader *reader, const reader_lane *effect)
{
    if (effect->head.kind != HL_JOURNAL_EVENT || effect->head.event->causation_id == 0)
        return NULL;
    const uint64_t cause = effect->head.event->causation_id;
    for (size_t i = 0; i < reader->lane_count; i++) {
        reader_lane *const other = reader->lanes[i];
        if (other != effect && other->has_head &&
            other->stream.partition == hl_id_partition(cause) &&
            other->head.first_sequence <= hl_id_sequence(cause))
            return other;
    }
    return NULL;
}

static reader_lane *choose(const hl_journal_reader *reader)
{
    reader_lane *chosen = earliest(reader);
    if (reader->lane_count < 2)
        return chosen;
    /* A chain of causes visits each lane at most once, unless the ids in it are made up. */
    for (size_t i = 0; chosen != NULL && i < reader->lane_count; i++) {
        reader_lane *const before = lane_of_cause(reader, chosen);
        if (before == NULL)
            break;
        chosen = before;
    }
    return chosen;
}

static void describe(const reader_lane *lane, hl_journal_entry *ret_entry)
{
    const hl_stream *const stream = &lane->stream;
    const hl_stream_item *const item = &lane->head;
    *ret_entry = (hl_journal_entry){
        .kind = item->kind,
        .partition = stream->name.text,
        .domain = stream->name.domain,
        .shard = stream->name.shard,
        .shards = stream->shards,
        .partition_number = stream->partition,
        .event = item->event,
        .topic = item->topic != NULL ? item->topic->name : "",
        .source = item->source != NULL ? item->source : "",
        .topic_kind = item->topic != NULL ? item->topic->kind : 0,
        .topic_priority = item->topic != NULL ? item->topic->priority : 0,
        .id = item->event != NULL ? hl_event_id_of(stream->partition, item->event->sequence) : 0,
        .first_sequence = item->first_sequence,
        .last_sequence = item->last_sequence,
        .detail = item->kind == HL_JOURNAL_DAMAGE ? stream->detail : "",
    };
}

hl_status hl_journal_reader_next(hl_journal_reader *reader, hl_journal_entry *ret_entry,
                                 hl_error *error)
{
    if (reader->given != NULL)
        reader->given->has_head = false;
    reader->given = NULL;
    hl_status status = reader->new_partitions ? add_lanes(reader, error) : HL_OK;
    if (status == HL_OK)
        status = fill_heads(reader, false, error);
    if (status == HL_OK && earliest(reader) == NULL)
        status = fill_heads(reader, true, error);
    if (status != HL_OK)
        return status;
    reader_lane *const next = choose(reader);
    if (next == NULL)
        return HL_NOT_FOUND;
    describe(next, ret_entry);
    reader->given = next;
    return HL_OK;
}

/* ---- going elsewhere ---- */

typedef hl_status (*seek_stream)(hl_stream *stream, uint64_t value, hl_error *error);

static hl_status seek_lane(reader_lane *lane, uint64_t value, seek_stream how, hl_error *error)
{
    lane->has_head = lane->is_dry = false;
    return how(&lane->stream, value, error);
}

static hl_status seek(hl_journal_reader *reader, uint64_t value, seek_stream how, hl_error *error)
{
    hl_status status = HL_OK;
    reader->given = NULL;
    for (size_t i = 0; i < reader->lane_count && status == HL_OK; i++)
        status = seek_lane(reader->lanes[i], value, how, error);
    return status;
}

hl_status hl_reader_seek_partition(hl_journal_reader *reader, const char *partition,
                                   uint64_t sequence, uint64_t from_ns, hl_error *error)
{
    for (size_t i = 0; i < reader->lane_count; i++) {
        reader_lane *const lane = reader->lanes[i];
        if (strcmp(lane->stream.name.text, partition) != 0)
            continue;
        if (reader->given == lane)
            reader->given = NULL;
        if (from_ns != 0) {
            const hl_status status = seek_lane(lane, from_ns, hl_stream_seek_time, error);
            if (status != HL_OK || hl_stream_position(&lane->stream) <= sequence)
                return status;
        }
        return seek_lane(lane, sequence, hl_stream_seek_sequence, error);
    }
    return HL_OK;
}

hl_status hl_journal_reader_seek_sequence(hl_journal_reader *reader, uint64_t sequence,
                                          hl_error *error)
{
    return seek(reader, sequence, hl_stream_seek_sequence, error);
}

hl_status hl_journal_reader_seek_time(hl_journal_reader *reader, uint64_t time_ns, hl_error *error)
{
    return seek(reader, time_ns, hl_stream_seek_time, error);
}

/* ---- waiting ---- */

int hl_journal_reader_fd(const hl_journal_reader *reader)
{
    return reader->inotify;
}

/* Takes all that has been reported. False: nothing was. */
static bool drain(hl_journal_reader *reader)
{
    _Alignas(struct inotify_event) char bytes[4096];
    bool any = false;
    for (;;) {
        const ssize_t got = read(reader->inotify, bytes, sizeof bytes);
        if (got <= 0)
            return any;
        any = true;
        for (ssize_t at = 0; at < got;) {
            const struct inotify_event *const event = (const void *)(bytes + at);
            if (event->wd == reader->root_watch || (event->mask & IN_Q_OVERFLOW) != 0)
                reader->new_partitions = true;
            at += (ssize_t)(sizeof *event + event->len);
        }
    }
}

hl_status hl_journal_reader_wait(hl_journal_reader *reader, uint64_t timeout_ns)
{
    if (reader->inotify < 0)
        return HL_FAILED;
    const uint64_t timeout_ms = timeout_ns / NS_PER_MS + (timeout_ns % NS_PER_MS != 0);
    struct pollfd wanted = {.fd = reader->inotify, .events = POLLIN};
    const int ready = poll(&wanted, 1, timeout_ms > INT32_MAX ? INT32_MAX : (int)timeout_ms);
    if (ready < 0 && errno != EINTR)
        return HL_FAILED;
    return drain(reader) ? HL_OK : HL_TIMEOUT;
}

/* ---- cursors ---- */

/* Behind the last item given: a head that still waits is not done with. */
static uint64_t position_of(const hl_journal_reader *reader, const reader_lane *lane)
{
    if (lane->has_head && lane != reader->given && lane->head.first_sequence != 0)
        return lane->head.first_sequence;
    return hl_stream_position(&lane->stream);
}

static void set_position(hl_cursor_position *positions, size_t *count, const char *partition,
                         uint64_t next_sequence)
{
    size_t i = 0;
    while (i < *count && strcmp(positions[i].partition, partition) != 0)
        i++;
    if (i == *count) {
        positions[i] = (hl_cursor_position){0};
        snprintf(positions[i].partition, sizeof positions[i].partition, "%s", partition);
        ++*count;
    }
    positions[i].next_sequence = next_sequence;
}

hl_status hl_journal_reader_store_cursor(hl_journal_reader *reader, const char *name,
                                         hl_error *error)
{
    hl_cursor_position *positions = NULL;
    size_t count = 0;
    /* What it says of other partitions, read by others under this name, stays. */
    hl_status status =
        hl_cursor_load(reader->io, reader->directory, name, &positions, &count, error);
    if (status != HL_OK && status != HL_NOT_FOUND && status != HL_DAMAGED)
        return status;
    hl_cursor_position *const grown =
        realloc(positions, (count + reader->lane_count + 1) * sizeof *grown);
    if (grown == NULL) {
        free(positions);
        return out_of_memory(reader, error);
    }
    for (size_t i = 0; i < reader->lane_count; i++)
        set_position(grown, &count, reader->lanes[i]->stream.name.text,
                     position_of(reader, reader->lanes[i]));
    status = hl_cursor_store(reader->io, reader->directory, name, grown, count, error);
    free(grown);
    return status;
}
