/*
 * One snapshot as a file: plain, or encrypted (crypt.h) where it is written with a key.
 *
 *     [head, 128 bytes][lock, 64 bytes: encrypted only][hl_cursor_position...][payload]
 *
 * Encrypted is the payload alone, in frames. What retention and a listing need stays readable
 * without the key (name, sequence, time, positions); with it, all of that is proven, too. Neither
 * who writes nor who reads has more in memory than the payload itself, and a frame.
 *
 * Any thread; the functions keep nothing.
 */
#ifndef HL_JOURNAL_SNAPSHOT_FILE_H
#define HL_JOURNAL_SNAPSHOT_FILE_H

#include "journal/crypt.h"
#include "journal/cursor.h"

#define HL_SNAPSHOT_SIZE_MAX      (1ull << 32) /* bytes of payload */
#define HL_SNAPSHOT_POSITIONS_MAX 1024u
#define HL_SNAPSHOT_FRAME_SIZE    (256u << 10) /* bytes of payload in one frame */

/* Names as cursors' (hl_cursor_check_name). */
typedef struct hl_snapshot {
    char name[HL_CURSOR_NAME_SIZE];
    uint64_t sequence; /* the snapshot's place among those of its name: of the last event in it */
    uint64_t time_ns;  /* bus time of that event */
    uint64_t key_id;   /* that it was read with, or needs (hl_crypt_key); 0: not encrypted */
    uint32_t version;  /* of what the payload means; the aggregate's own */
    uint32_t positions_count;
    hl_cursor_position *positions; /* what to go on with in each partition it was made from */
    void *payload;                 /* NULL: it was looked at only */
    size_t size;                   /* bytes of payload */
} hl_snapshot;

/* DIRECTORY/NAME, as hl_durable_file_make. `key` NULL: plain. The snapshot's key_id is not used.
 * HL_OK; HL_INVALID: size, positions; HL_SYSTEM: no random numbers; HL_NO_MEMORY, HL_NO_SPACE. */
hl_status hl_snapshot_file_write(const hl_io *io, const char *directory, const char *name,
                                 const hl_snapshot *snapshot, const hl_crypt_key *key,
                                 hl_error *error);

/*
 * All of it; hl_snapshot_release frees what it points at.
 * - HL_OK; HL_NOT_FOUND; HL_SYSTEM, HL_NO_MEMORY.
 * - HL_DAMAGED: it is none, or not whole, or was changed by somebody without the key.
 * - HL_NOT_ALLOWED, HL_UNSUPPORTED: its key is not there (hl_crypt_find), or it is of a format that
 *   this hotlane does not know. It may well be whole.
 */
hl_status hl_snapshot_file_read(const hl_io *io, const char *path, const hl_journal_keys *keys,
                                hl_snapshot *ret_snapshot, hl_error *error);

/* Reads it all and gives what it is, without the payload. One whose key is not among `keys` is held
 * against its CRCs, as a plain one. Statuses as above, but for HL_NOT_ALLOWED. */
hl_status hl_snapshot_file_look(const hl_io *io, const char *path, const hl_journal_keys *keys,
                                hl_snapshot *ret_snapshot, hl_error *error);

void hl_snapshot_release(hl_snapshot *snapshot);

#endif
