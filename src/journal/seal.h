/*
 * Ending a segment: a group that marks all before it as durable, a rotation record where there is a
 * next segment, the footer, the trailer; then the file is cut behind them and synced. The same for
 * the writer and for recovery.
 */
#ifndef HL_JOURNAL_SEAL_H
#define HL_JOURNAL_SEAL_H

#include "journal/index.h"
#include "base/io.h"

typedef struct hl_seal {
    const hl_io *io;
    hl_io_file file;
    const char *path; /* for messages */
    uint64_t salt;
    uint64_t offset; /* behind the last record; all before it is synced */
    uint64_t durable_sequence;
    uint64_t next_sequence; /* of the next event */
    uint64_t reserved_through;
    uint64_t now_ns;
    uint32_t flags;  /* HL_FOOTER_... */
    bool has_next;   /* a rotation record is written */
    hl_index *index; /* of the segment */
    uint8_t *buffer; /* hl_seal_limit(index) bytes, or hl_seal_length if that is known to suffice */
} hl_seal;

/* Bytes of the seal if it were written now; and the most it can ever be. */
uint64_t hl_seal_length(const hl_index *index);
uint64_t hl_seal_limit(const hl_index *index);

/* Writes, cuts, syncs. May be called again after HL_NO_SPACE. HL_SYSTEM: whether it is on the disk
 * is not known. */
hl_status hl_seal_write(const hl_seal *seal, hl_error *error);

#endif
