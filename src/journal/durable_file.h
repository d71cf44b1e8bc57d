/*
 * Small files that are replaced whole: cursors, snapshots, packed segments. After a power cut there
 * is the old one or the new one, never half of either: the new one is written beside it, synced,
 * renamed over it, and the directory synced. Any thread, one at a time for one name.
 */
#ifndef HL_JOURNAL_DURABLE_FILE_H
#define HL_JOURNAL_DURABLE_FILE_H

#include "base/io.h"

#define HL_DURABLE_TEMPORARY ".tmp" /* what the new file's name ends with until it is whole */

/*
 * DIRECTORY/NAME with these bytes.
 * - HL_OK: the new file is there, durably.
 * - HL_NO_SPACE, HL_SYSTEM, HL_INVALID (path too long): the old file is as it was. But for one
 *   failure: where the sentence says that it cannot sync the directory, the new file has the name,
 *   whole, and a power cut may bring the old one back.
 */
hl_status hl_durable_file_replace(const hl_io *io, const char *directory, const char *name,
                                  const void *bytes, size_t size, hl_error *error);

/* The same for one that is not in memory whole: fill() writes it, and gives 0 or a negative errno.
 */
typedef int (*hl_durable_fill)(void *context, const hl_io *io, hl_io_file file);
hl_status hl_durable_file_make(const hl_io *io, const char *directory, const char *name,
                               hl_durable_fill fill, void *context, hl_error *error);

/* The last steps alone: `temporary` is written and closed but not synced. Its file is removed when
 * they fail before the rename. */
hl_status hl_durable_file_put(const hl_io *io, const char *directory, const char *temporary,
                              const char *path, hl_error *error);

/* All of a file, at most `limit` bytes. free() *ret_bytes. HL_NOT_FOUND; HL_DAMAGED: it is longer;
 * HL_SYSTEM, HL_NO_MEMORY. */
hl_status hl_durable_file_read(const hl_io *io, const char *path, size_t limit, void **ret_bytes,
                               size_t *ret_size, hl_error *error);

#endif
