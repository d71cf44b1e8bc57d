/*
 * Segments as files: their names, the list of them in a directory, and a walk over one's records.
 *
 *     hl_segment_walk walk;
 *     if (hl_segment_walk_open(&walk, io, path, error) != HL_OK) ...
 *     while ((verdict = hl_segment_walk_next(&walk)) == HL_RECORD_GOOD)
 *         use(walk.record, walk.offset);
 *     hl_segment_walk_close(&walk);
 *
 * A walk belongs to one thread; several may walk over one file, also while it is written to.
 */
#ifndef HL_JOURNAL_SEGMENT_H
#define HL_JOURNAL_SEGMENT_H

#include "journal/format.h"
#include "base/io.h"

#define HL_JOURNAL_PATH_SIZE 4096u
#define HL_SEGMENT_NAME_SIZE 48u /* "2026-11-21-00000000000000000001.hlj" and its NUL */
#define HL_NS_PER_DAY        (86400ull * 1000000000ull)

typedef struct hl_segment_name {
    uint32_t day; /* UTC, days since 1970-01-01 */
    uint64_t first_sequence;
} hl_segment_name;

/* `day` up to 9999-12-31 (2932896). */
void hl_segment_name_format(hl_segment_name name, char ret_text[HL_SEGMENT_NAME_SIZE]);

/* False when the text is no segment's name exactly as hl_segment_name_format writes it. */
bool hl_segment_name_parse(const char *text, hl_segment_name *ret_name);

/* DIRECTORY/NAME. HL_INVALID when it would be longer than HL_JOURNAL_PATH_SIZE. */
hl_status hl_segment_path(const char *directory, hl_segment_name name,
                          char ret_path[HL_JOURNAL_PATH_SIZE], hl_error *error);

/* The segments of a directory by rising first sequence; other files are passed over. free()
 * *ret_names; NULL where there is none. Two files with the same first sequence: HL_DAMAGED. */
hl_status hl_segment_list(const hl_io *io, const char *directory, hl_segment_name **ret_names,
                          size_t *ret_count, hl_error *error);

typedef struct hl_segment_walk {
    /* What the last hl_segment_walk_next looked at. */
    const void *record; /* 8-aligned, whole when it was good; until the next call */
    uint32_t length;    /* bytes, when it was good */
    uint64_t offset;    /* in the segment */
    /* Of the segment. */
    hl_segment_header header;
    uint32_t seed;
    uint64_t file_size;
    char path[HL_JOURNAL_PATH_SIZE];
    /* The walk's own. */
    const hl_io *io;
    hl_io_file file;
    uint8_t *window;
    size_t window_size;
    uint64_t window_at;   /* offset of window[0] */
    size_t window_filled; /* bytes that are there */
    uint64_t next;        /* where the next record begins */
    int read_error;       /* 0, or the negative errno that ended the walk */
} hl_segment_walk;

/* Reads and checks the header; the walk stands before the first record. On an error there is
 * nothing to close. HL_SYSTEM, HL_NO_MEMORY, HL_DAMAGED, HL_UNSUPPORTED; a file shorter than a
 * header is HL_DAMAGED. */
hl_status hl_segment_walk_open(hl_segment_walk *walk, const hl_io *io, const char *path,
                               hl_error *error);

/*
 * Looks at the next record. HL_RECORD_GOOD: walk->record, length and offset are set, and the walk
 * stands behind it. Anything else: the walk stays where it is (walk->offset says where), so that it
 * may be tried again when the file has grown. HL_RECORD_END: zeros, or the end of the file.
 * HL_RECORD_SHORT with walk->read_error set: the file could not be read.
 */
hl_record_verdict hl_segment_walk_next(hl_segment_walk *walk);

/* The next record looked at is the one at `offset` (at least HL_JOURNAL_HEADER_SIZE). */
void hl_segment_walk_seek(hl_segment_walk *walk, uint64_t offset);

/* The offset of the first good group record at or after `from`, UINT64_MAX: none. The walk then
 * stands before it, or where it stood. */
uint64_t hl_segment_walk_resync(hl_segment_walk *walk, uint64_t from);

/* The file's size now (it may have grown, or been cut, since). 0 or -errno. */
int hl_segment_walk_refresh(hl_segment_walk *walk);

void hl_segment_walk_close(hl_segment_walk *walk);

#endif
