#include "journal/writer_parts.h"

#include <string.h>

/* Fills the header of the segment that follows the one there is (or was found). */
static void next_header(hl_journal_writer *writer)
{
    hl_segment_header *const header = &writer->header;
    const uint64_t now_ns = hl_writer_now(writer);
    header->previous_first_sequence = header->first_sequence;
    header->previous_last_sequence = writer->written_sequence;
    header->first_sequence = writer->next_sequence;
    header->number++;
    header->salt = writer->io->random(writer->io->context);
    header->created_ns = now_ns;
    if (!writer->takes_place)
        header->day = hl_writer_day_of(now_ns);
    header->reserved_through = writer->reserve_wanted;
    header->size_limit = writer->options.segment_bytes;
    /* What a segment behind a rotation follows is known to be whole. */
    header->flags =
        header->first_sequence > header->previous_last_sequence + 1 ? HL_SEGMENT_AFTER_CRASH : 0;
}

/* Header written and synced, then the name: whoever sees a segment's name finds its header. */
static hl_status name_spare(hl_journal_writer *writer, const hl_segment_header *header,
                            const char *path)
{
    const hl_io *const io = writer->io;
    hl_spare *const spare = &writer->spare;
    _Alignas(8) uint8_t block[HL_JOURNAL_HEADER_SIZE];
    hl_segment_header_encode(header, block);
    int result = hl_io_write_all(io, spare->file, block, sizeof block, 0, NULL);
    if (result < 0)
        return hl_writer_stopped_by_io(writer, result, writer->spare_path, "write");
    result = io->sync(io->context, spare->file);
    if (result < 0)
        return hl_writer_sync_failed(writer, result, writer->spare_path, "sync");
    result = io->rename(io->context, writer->spare_path, path);
    if (result < 0)
        return hl_writer_stopped_by_io(writer, result, path, "rename the next segment to");
    result = io->sync_directory(io->context, writer->directory);
    return result < 0
               ? hl_writer_sync_failed(writer, result, writer->directory, "sync the directory")
               : HL_OK;
}

hl_status hl_writer_succeed(hl_journal_writer *writer)
{
    const hl_segment_header before = writer->header;
    /* Of the first one nobody waits for a sync yet. */
    int result =
        writer->is_open ? hl_spare_make(&writer->spare) : hl_spare_make_whole(&writer->spare);
    if (result < 0)
        return hl_writer_stopped_by_io(writer, result, writer->spare_path, "take blocks for");
    next_header(writer);
    char path[HL_JOURNAL_PATH_SIZE];
    hl_status status =
        hl_segment_path(writer->directory,
                        (hl_segment_name){.day = writer->header.day,
                                          .first_sequence = writer->header.first_sequence},
                        path, &writer->error);
    if (status != HL_OK)
        status = hl_writer_stopped_by(writer, status);
    else
        status = name_spare(writer, &writer->header, path);
    if (status != HL_OK) {
        writer->header = before; /* it may be tried again */
        return status;
    }
    if (writer->is_open)
        writer->io->close(writer->io->context, writer->file);
    writer->is_open = true;
    writer->file = writer->spare.file;
    writer->spare.is_open = false;
    writer->spare.is_ready = false;
    strcpy(writer->path, path);
    writer->seed = hl_record_seed(writer->header.salt);
    writer->offset = HL_JOURNAL_HEADER_SIZE;
    writer->synced_offset = HL_JOURNAL_HEADER_SIZE;
    writer->marked_offset = HL_JOURNAL_HEADER_SIZE;
    writer->reserve_written = writer->reserve_wanted;
    writer->reserved_through = writer->reserve_wanted;
    writer->rotation = HL_WRITER_NOT_ROTATING;
    writer->takes_place = false;
    hl_index_clear(&writer->index);
    hl_dictionary_clear(&writer->dictionary);
    hl_progress_publish(&writer->progress->reserved_through, writer->reserved_through);
    hl_progress_publish(&writer->progress->segment, writer->header.first_sequence);
    return HL_OK;
}

hl_status hl_writer_seal(hl_journal_writer *writer, uint32_t flags, bool has_next)
{
    const hl_seal how = {.io = writer->io,
                         .file = writer->file,
                         .path = writer->path,
                         .salt = writer->header.salt,
                         .offset = writer->offset,
                         .durable_sequence = writer->durable_sequence,
                         .next_sequence = writer->next_sequence,
                         .reserved_through = writer->reserve_written,
                         .now_ns = hl_writer_now(writer),
                         .flags = flags,
                         .has_next = has_next,
                         .index = &writer->index,
                         .buffer = writer->seal_buffer};
    const hl_status status = hl_seal_write(&how, &writer->error);
    return status == HL_OK ? HL_OK : hl_writer_stopped_by(writer, status);
}

/* From this segment to the next. The segment left behind is durable to its last byte before the
 * next one has a name, so that only the newest can ever have a torn tail. */
hl_status hl_writer_rotate(hl_journal_writer *writer)
{
    hl_status status = HL_OK;
    if (writer->rotation == HL_WRITER_NOT_ROTATING) {
        status = hl_writer_write_group(writer);
        if (status == HL_OK)
            status = hl_writer_sync_written(writer);
        if (status != HL_OK)
            return status;
        /* Blocks first: a segment that is sealed without a next one could take nothing more. */
        int result = hl_spare_make(&writer->spare);
        if (result < 0)
            return hl_writer_stopped_by_io(writer, result, writer->spare_path, "take blocks for");
        /* And their name: after a crash it says that the segment which the seal promises was still
         * to come, and is not missing. */
        result = writer->io->sync_directory(writer->io->context, writer->directory);
        if (result < 0)
            return hl_writer_sync_failed(writer, result, writer->directory, "sync the directory");
        writer->rotation = HL_WRITER_SEALING;
    }
    if (writer->rotation == HL_WRITER_SEALING) {
        status = hl_writer_seal(writer, 0, true);
        if (status != HL_OK)
            return status;
        writer->rotation = HL_WRITER_SUCCEEDING;
    }
    return hl_writer_succeed(writer);
}
