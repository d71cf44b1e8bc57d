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

/* Goes, in one partition ("order.3"), to the first event with a sequence of at least this; or where
 * `from_ns` is not 0, to the place that hl_journal_reader_seek_time would go to, if that is before
 * it. HL_OK too where the reader has no such partition; as hl_journal_reader_seek_sequence. */
hl_status hl_reader_seek_partition(hl_journal_reader *reader, const char *partition,
                                   uint64_t sequence, uint64_t from_ns, hl_error *error);

/* Frames of packed segments that were found damaged, even where their content could be had. */
uint64_t hl_reader_damaged_frames(const hl_journal_reader *reader, hl_error *ret_error);

#endif
