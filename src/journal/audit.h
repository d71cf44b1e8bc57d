/*
 * The audit log of a journal, DIR/audit.log: who opened, removed, exported, packed or repaired
 * what. Lines of text, only ever added to, each with a CRC-32C over itself and the one before it,
 * so that a line that was changed or taken out shows:
 *
 *     2026-11-21T11:00:00.123456789Z 4711 remove order/2026-10-20-....hlj: older than 30 d
 * #1a2b3c4d
 *
 * It is no proof against somebody who can compute a CRC. Any thread; a lock keeps processes apart.
 */
#ifndef HL_JOURNAL_AUDIT_H
#define HL_JOURNAL_AUDIT_H

#include "base/io.h"

#define HL_AUDIT_NAME "audit.log"

/* Adds "WHAT DETAIL" and syncs. A torn last line is cut first. `detail` of at most 3000 bytes; its
 * control characters are written as '?'. HL_OK, HL_SYSTEM, HL_NO_SPACE, HL_LOCKED: another process
 * held it for a second. */
hl_status hl_audit_add(const hl_io *io, const char *directory, const char *what, const char *detail,
                       hl_error *error);

typedef struct hl_audit_findings {
    uint64_t lines;
    uint64_t bad_lines;      /* their CRC is wrong */
    uint64_t first_bad_line; /* counted from 1; 0: none */
    bool torn;               /* the last line has no end */
} hl_audit_findings;

/* HL_OK, also where there is no log; HL_SYSTEM, HL_NO_MEMORY. */
hl_status hl_audit_verify(const hl_io *io, const char *directory, hl_audit_findings *ret_findings,
                          hl_error *error);

#endif
