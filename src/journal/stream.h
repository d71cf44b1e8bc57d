/*
 * One partition's records in order, over all its segments: what a reader merges. Checks the CRC of
 * each record, the sequences from one to the next, and the links from segment to segment.
 */
#ifndef HL_JOURNAL_STREAM_H
#define HL_JOURNAL_STREAM_H

#include "journal/filter.h"
#include "journal/packed.h"
#include "journal/partition.h"
#include "journal/segment.h"
#include "journal/tail.h"

typedef struct hl_stream_item {
    hl_journal_entry_kind kind;
    const hl_event *event;       /* until the stream is moved */
    const hl_named_topic *topic; /* NULL: the journal has no name for it */
    const char *source;          /* likewise */
    uint64_t first_sequence;     /* as in hl_journal_entry */
    uint64_t last_sequence;
} hl_stream_item;

/* A segment of the directory, and what is known of its times. */
typedef struct hl_stream_segment {
    hl_segment_name name;
    bool peeked;
    bool finished; /* it has a footer: the next two are of it */
    uint64_t first_ns;
    uint64_t last_ns;
} hl_stream_segment;

typedef struct hl_stream {
    /* Fixed. */
    const hl_io *io;
    hl_packed_io *packed; /* below `io`, for its sentences */
    const hl_journal_filter *filter;
    bool salvage;
    hl_partition_directory name;
    char directory[HL_JOURNAL_PATH_SIZE];
    /* The directory. */
    hl_stream_segment *segments;
    size_t segment_count;
    hl_tail_view tail;
    uint64_t published; /* no event above it is shown, as far as was last known */
    /* The segment that is open, or was last. */
    bool open;
    bool has_current;
    hl_segment_name current;
    uint64_t salt;    /* of the current one: tells it from another with its name */
    bool has_yielded; /* an event or gap was met in it */
    hl_segment_walk walk;
    const hl_footer *footer; /* the cache's; NULL: none, or not asked for yet */
    hl_footer_cache footers;
    hl_segment_names names;
    uint64_t named_through; /* dictionary records before it have been read */
    /* Where it stands. */
    uint64_t expected;        /* sequence of the next event or gap; 0: that of the first segment */
    uint64_t from;            /* what is below is passed over */
    uint64_t removed_through; /* retention has removed [from, this], not told yet; 0: nothing */
    uint32_t block;           /* of the footer, that begins at skip_at */
    uint64_t skip_at;   /* the index is asked again when the walk comes here; UINT64_MAX: never */
    uint64_t probed;    /* the end of the records that was found to be no damage */
    uint64_t quiet_at;  /* that end, where nothing was written yet; UINT64_MAX: not known */
    uint16_t partition; /* of the bus, by the last header */
    uint16_t shards;    /* likewise */
    /* Damage that has been met, and whose extent is known with the next good sequence. */
    bool in_damage;
    uint64_t damage_offset;
    const char *damage_text;
    char damage_path[HL_JOURNAL_PATH_SIZE];
    char detail[500]; /* of the last damage item */
    hl_error failure; /* strict: said again at each call */
} hl_stream;

/* `io` is packed's table. The filter's pattern is a valid one; all outlive the stream. */
hl_status hl_stream_open(hl_stream *stream, hl_packed_io *packed, const char *directory,
                         const hl_partition_directory *name, const hl_journal_filter *filter,
                         bool salvage, hl_error *error);
void hl_stream_close(hl_stream *stream);

/*
 * The next item that the filter wants. HL_NOT_FOUND: not yet, or no more. HL_DAMAGED, HL_SYSTEM and
 * the rest as hl_journal_reader_next.
 */
hl_status hl_stream_next(hl_stream *stream, hl_stream_item *ret_item, hl_error *error);

/* As hl_journal_reader_seek_...; the next item is the first from there. */
hl_status hl_stream_seek_sequence(hl_stream *stream, uint64_t sequence, hl_error *error);
hl_status hl_stream_seek_time(hl_stream *stream, uint64_t time_ns, hl_error *error);

/* Whether the keys are there of all segments from the one that holds `sequence` on (0: all). HL_OK,
 * also where one cannot be opened for another reason: who comes to it says so; HL_NOT_ALLOWED,
 * HL_UNSUPPORTED: hl_crypt_find; as hl_stream_list. Opens each; does not move the stream. */
hl_status hl_stream_check_keys(hl_stream *stream, uint64_t sequence, hl_error *error);

/* ---- Between stream.c, stream_segment.c and stream_seek.c. ---- */

/* Reads the directory anew; what is known of segments is kept. */
hl_status hl_stream_list(hl_stream *stream, hl_error *error);

/* Opens this segment in place of the one that is open, and stands before its first record;
 * stream->expected is not changed. HL_NOT_FOUND: it has been removed meanwhile. */
hl_status hl_stream_enter(hl_stream *stream, hl_segment_name name, hl_error *error);

/* Closes the segment that is open; the stream stands behind it. */
void hl_stream_leave(hl_stream *stream);

/* Something is damaged at `offset` of the walk's file; how much is lost shows with the next good
 * record. `text`: static. */
void hl_stream_meet_damage(hl_stream *stream, uint64_t offset, const char *text);

/* The index is asked from the place where the walk stands on. */
void hl_stream_use_index(hl_stream *stream);

/* Asks it: the walk goes on where the next block begins that may hold something wanted. The walk
 * stands at the beginning of stream->block, or just before it (skip_at). */
void hl_stream_skip_blocks(hl_stream *stream);

/* The names of the walk's event, where the segment has them before it: for who came here by a seek
 * they are read by the footer, or from where it was read to up to here. HL_OK, also where there are
 * none; else a sentence. */
hl_status hl_stream_find_names(hl_stream *stream, const hl_event *event, hl_error *error);

/* No item that comes has a sequence below; 0: nothing is known yet. */
static inline uint64_t hl_stream_position(const hl_stream *stream)
{
    return stream->expected > stream->from ? stream->expected : stream->from;
}

/* True when an item of this sequence can still come. */
static inline bool hl_stream_may_give(const hl_stream *stream, uint64_t sequence)
{
    return sequence >= hl_stream_position(stream);
}

#endif
