/*
 * Named durable cursors: how far a reader has come in each partition, DIR/cursors.d/NAME. Replaced
 * whole (durable_file.h), so that after a power cut the old one or the new one is there.
 */
#ifndef HL_JOURNAL_CURSOR_H
#define HL_JOURNAL_CURSOR_H

#include "journal/partition.h"

#define HL_CURSOR_DIRECTORY "cursors.d"
#define HL_CURSOR_NAME_SIZE 65u

typedef struct hl_cursor_position {
    char partition[HL_PARTITION_DIRECTORY_SIZE]; /* zero bytes behind the name */
    uint64_t next_sequence;                      /* all before it is done with */
} hl_cursor_position;

/* HL_INVALID and a sentence when it is none. */
hl_status hl_cursor_check_name(const char *name, hl_error *error);

/* free() *ret_positions. HL_NOT_FOUND: there is none of this name; HL_DAMAGED; HL_INVALID,
 * HL_SYSTEM, HL_NO_MEMORY. */
hl_status hl_cursor_load(const hl_io *io, const char *directory, const char *name,
                         hl_cursor_position **ret_positions, size_t *ret_count, hl_error *error);

/* As hl_durable_file_replace; HL_INVALID too for the name. */
hl_status hl_cursor_store(const hl_io *io, const char *directory, const char *name,
                          const hl_cursor_position *positions, size_t count, hl_error *error);

/* HL_OK, HL_NOT_FOUND, HL_INVALID, HL_SYSTEM. */
hl_status hl_cursor_remove(const hl_io *io, const char *directory, const char *name,
                           hl_error *error);

/* Calls each() for every cursor; a status other than HL_OK ends it and is given back. */
typedef hl_status (*hl_cursor_visit)(void *context, const char *name,
                                     const hl_cursor_position *positions, size_t count);
hl_status hl_cursor_each(const hl_io *io, const char *directory, hl_cursor_visit visit,
                         void *context, hl_error *error);

#endif
