/*
 * What the writer is made of, for its own files: writer.c (appending, turning), writer_open.c,
 * writer_group.c (the buffer, its write, syncs) and writer_segment.c (one segment after another).
 *
 * One thread, the journal's. What gives HL_NO_SPACE or HL_FAILED has set the state and its reason
 * first.
 */
#ifndef HL_JOURNAL_WRITER_PARTS_H
#define HL_JOURNAL_WRITER_PARTS_H

#include "journal/dictionary.h"
#include "journal/progress.h"
#include "journal/seal.h"
#include "journal/spare.h"
#include "journal/writer.h"

#define HL_WRITER_ALIGNMENT_MAX 4096u
#define HL_WRITER_GROUP_ROOM    (HL_WRITER_ALIGNMENT_MAX + sizeof(hl_group))

/* A rotation is done in steps, each of which may have to wait for room on the disk. */
typedef enum hl_writer_rotation {
    HL_WRITER_NOT_ROTATING = 0,
    HL_WRITER_SEALING,    /* all is synced; the seal is to be written */
    HL_WRITER_SUCCEEDING, /* the segment is sealed; the next one is to get its header and name */
} hl_writer_rotation;

struct hl_journal_writer {
    hl_journal_writer_options options;
    const hl_io *io;
    char directory[HL_JOURNAL_PATH_SIZE]; /* the partition's */
    char spare_path[HL_JOURNAL_PATH_SIZE];
    hl_io_file lock;
    bool is_locked; /* by this writer, which gives it back */
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
    hl_writer_rotation rotation;
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

static inline uint64_t hl_writer_ticks(const hl_journal_writer *writer)
{
    return writer->io->ticks(writer->io->context);
}

static inline uint32_t hl_writer_day_of(uint64_t now_ns)
{
    return (uint32_t)(now_ns / HL_NS_PER_DAY);
}

/* ---- writer_group.c ---- */

/* The wall clock, held where it was while it is set back. */
uint64_t hl_writer_now(hl_journal_writer *writer);

void hl_writer_set_state(hl_journal_writer *writer, hl_journal_state state);

/* The state that a failed call leads to: HL_NO_SPACE or HL_FAILED. The first goes by
 * writer->error, which is set. */
hl_status hl_writer_stopped_by(hl_journal_writer *writer, hl_status status);
hl_status hl_writer_stopped_by_io(hl_journal_writer *writer, int64_t result, const char *path,
                                  const char *what);
/* Always HL_FAILED. */
hl_status hl_writer_sync_failed(hl_journal_writer *writer, int result, const char *path,
                                const char *what);

/* The buffer is empty: a group begins in it. */
void hl_writer_begin_group(hl_journal_writer *writer);

/* Writes the buffer, if there is something in it. */
hl_status hl_writer_write_group(hl_journal_writer *writer);

/* Looks after the sync that has begun, if one has. */
hl_status hl_writer_end_sync(hl_journal_writer *writer, bool wait);

/* Syncs what is written. */
hl_status hl_writer_sync_written(hl_journal_writer *writer);

/* Has what is written synced, and waits for it only where there is no other way. */
hl_status hl_writer_begin_sync(hl_journal_writer *writer);

/* ---- writer_segment.c ---- */

/* The spare becomes the segment that is written to. */
hl_status hl_writer_succeed(hl_journal_writer *writer);

/* Seals the segment, all of which is written and durable. */
hl_status hl_writer_seal(hl_journal_writer *writer, uint32_t flags, bool has_next);

/* From this segment to the next; goes on where it had to wait. */
hl_status hl_writer_rotate(hl_journal_writer *writer);

/* ---- writer.c ---- */

/* The disk was full. Goes on where it stopped; runs again only when the next segment has its blocks
 * too, so that it does not stop at once. */
hl_status hl_writer_resume(hl_journal_writer *writer);

#endif
