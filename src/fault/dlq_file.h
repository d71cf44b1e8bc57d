/*
 * The file of dead letters on its disk: opening it with its torn end cut, appending, reading back,
 * and putting a rewritten one in its place. All I/O goes through the table of base/io.h. One
 * thread at a time; the queue (dlq.c) holds its lock around all of these.
 *
 * Appending is all or nothing for the caller: what could not be written whole is not in the file,
 * whatever bytes lie behind `end`; the next append overwrites them.
 */
#ifndef HL_FAULT_DLQ_FILE_H
#define HL_FAULT_DLQ_FILE_H

#include "fault/dlq_record.h"
#include "base/io.h"

typedef struct hl_dlq_file {
    const hl_io *io;
    char *path;
    hl_io_file file; /* -1: not open */
    hl_io_file lock; /* -1: read-only */
    uint64_t salt;
    uint64_t first_id;
    uint64_t end;               /* where the next record goes */
    uint64_t synced;            /* all before it was synced by this process */
    uint64_t told_synced;       /* what the last synced record says */
    uint64_t cut_at, cut_bytes; /* of the torn end that was found; 0, 0: none */
    uint64_t damaged_bytes;     /* passed over (salvage) */
    bool sync_failed;           /* what was written since `synced` is not to be believed */
} hl_dlq_file;

/* How a file is opened. */
typedef struct hl_dlq_file_mode {
    bool read_only;  /* no lock, nothing written, nothing cut */
    bool must_exist; /* read_only does too */
    bool salvage;    /* with read_only: pass over damage */
} hl_dlq_file_mode;

/* Sees each record in turn, checked. Anything but HL_OK ends the opening with that. */
typedef hl_status (*hl_dlq_record_visitor)(void *context, const hl_dlq_head *head, uint64_t offset,
                                           hl_error *error);

/*
 * Opens, makes or recovers the file. `scratch`: HL_DLQ_RECORD_MAX bytes, 8-byte aligned.
 * Outcomes as of hl_dlq_open. After any but HL_OK nothing is open.
 */
hl_status hl_dlq_file_open(hl_dlq_file *file, const hl_io *io, const char *path,
                           hl_dlq_file_mode mode, void *scratch, hl_dlq_record_visitor visitor,
                           void *context, hl_error *error);

/* Gives handles and lock back; no write. */
void hl_dlq_file_close(hl_dlq_file *file);

/* Sealed records for the offsets from `end` on. HL_OK: `end` has moved on. HL_NO_SPACE, HL_SYSTEM:
 * nothing has changed. */
hl_status hl_dlq_file_append(hl_dlq_file *file, const void *records, size_t size, hl_error *error);

/* HL_OK: all before `end` is on the disk. HL_SYSTEM: it may not be, now or ever: said again at each
 * call, until the file is rewritten. */
hl_status hl_dlq_file_sync(hl_dlq_file *file, hl_error *error);

/* Reads the record at an offset into `scratch`, checked. HL_DAMAGED, HL_SYSTEM. */
hl_status hl_dlq_file_read(const hl_dlq_file *file, uint64_t offset, size_t size, void *scratch,
                           hl_error *error);

/*
 * A rewritten file: begun beside the old one, appended to as a file of its own, then put in its
 * place by sync and rename. Until `replace` is HL_OK the old file is as it was; after a failure
 * `abandon` the new one.
 */
hl_status hl_dlq_file_rewrite(const hl_dlq_file *file, uint64_t first_id, hl_dlq_file *ret_new,
                              hl_error *error);
hl_status hl_dlq_file_replace(hl_dlq_file *file, hl_dlq_file *replacement, hl_error *error);
void hl_dlq_file_abandon(hl_dlq_file *replacement);

#endif
