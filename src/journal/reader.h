/*
 * What <hotlane/journal_reader.h> offers, on any table of I/O operations: for tests, and for those
 * that ask the streams more than a reader tells.
 */
#ifndef HL_JOURNAL_READER_H
#define HL_JOURNAL_READER_H

#include <hotlane/journal_reader.h>

#include "journal/stream.h"

/* hl_journal_reader_open on `io`, which outlives the reader. */
hl_status hl_reader_open(const hl_io *io, const hl_journal_reader_options *options,
                         hl_journal_reader **ret_reader, hl_error *error);

/* Its streams, 0 to the number of partitions - 1; NULL: no more. They belong to the reader. */
const hl_stream *hl_reader_stream(const hl_journal_reader *reader, size_t index);

/* Frames of packed segments that were found damaged, even where their content could be had. */
uint64_t hl_reader_damaged_frames(const hl_journal_reader *reader, hl_error *ret_error);

#endif
