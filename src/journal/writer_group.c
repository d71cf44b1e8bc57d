#include "journal/writer_parts.h"

#include <errno.h>
#include <string.h>

#define FLUSH_AHEAD_MIN (256u << 10)

/* ---- state ---- */

uint64_t hl_writer_now(hl_journal_writer *writer)
{
    const uint64_t raw = writer->io->now(writer->io->context);
    if (raw < writer->last_raw_ns)
        hl_progress_publish(&writer->progress->clock_steps_back,
                            hl_progress_read(&writer->progress->clock_steps_back) + 1);
    writer->last_raw_ns = raw;
    if (raw > writer->last_now_ns)
        writer->last_now_ns = raw;
    return writer->last_now_ns;
}

void hl_writer_set_state(hl_journal_writer *writer, hl_journal_state state)
{
    if (writer->state == state)
        return;
    /* The reason first: JOURNALED (progress.h) releases it with the state. */
    if (state != HL_JOURNAL_RUNNING && writer->options.stops != NULL)
        writer->options.stops(writer->options.stops_context, &writer->error);
    hl_progress_publish(&writer->progress->state, state);
    writer->state = state;
}

hl_status hl_writer_stopped_by(hl_journal_writer *writer, hl_status status)
{
    if (status == HL_NO_SPACE) {
        hl_writer_set_state(writer, HL_JOURNAL_NO_SPACE);
        writer->retry_at_ticks = hl_writer_ticks(writer) + writer->options.retry_ns;
        return HL_NO_SPACE;
    }
    hl_writer_set_state(writer, HL_JOURNAL_FAILED);
    return HL_FAILED;
}

hl_status hl_writer_stopped_by_io(hl_journal_writer *writer, int64_t result, const char *path,
                                  const char *what)
{
    return hl_writer_stopped_by(writer, hl_io_error(&writer->error, result, path, what));
}

/* ---- group, write, sync ---- */

void hl_writer_begin_group(hl_journal_writer *writer)
{
    const uint64_t alignment = writer->options.group_alignment;
    const uint64_t padding = (alignment - writer->offset % alignment) % alignment;
    writer->buffered_since_ticks = hl_writer_ticks(writer);
    if (padding > 0) {
        memset(writer->buffer, 0, padding);
        hl_record_finish(writer->seed, writer->buffer, HL_RECORD_PADDING, (uint32_t)padding);
    }
    writer->group_at = padding;
    writer->used = padding + sizeof(hl_group);
    writer->group_events = 0;
    hl_group *const group = (hl_group *)(writer->buffer + writer->group_at);
    *group = (hl_group){.mark = HL_JOURNAL_GROUP_MARK ^ writer->header.salt,
                        .offset = writer->offset + padding,
                        .last_sequence = writer->next_sequence - 1};
}

/* Gives the group record what is known only now. */
static void freeze_group(hl_journal_writer *writer)
{
    const uint64_t block = writer->options.reserve_block;
    while (writer->next_sequence - 1 + block / 2 >= writer->reserve_wanted)
        writer->reserve_wanted += block;
    hl_group *const group = (hl_group *)(writer->buffer + writer->group_at);
    group->durable_offset = writer->synced_offset;
    group->durable_sequence = writer->durable_sequence;
    group->reserved_through = writer->reserve_wanted;
    group->written_ns = hl_writer_now(writer);
    group->size = (uint32_t)(writer->used - writer->group_at - sizeof *group);
    group->events = writer->group_events;
    hl_record_finish(writer->seed, group, HL_RECORD_GROUP, sizeof *group);
    writer->is_frozen = true;
    writer->done = 0;
}

/* The buffer is with the kernel. */
static void group_written(hl_journal_writer *writer)
{
    const hl_group *const group = (const hl_group *)(writer->buffer + writer->group_at);
    if (writer->next_sequence - 1 > writer->written_sequence ||
        writer->reserve_wanted > writer->reserve_written) {
        if (!writer->has_unsynced)
            writer->unsynced_since_ticks = writer->buffered_since_ticks;
        writer->has_unsynced = true;
    }
    writer->unsynced_events += writer->group_events;
    writer->marked_offset = group->durable_offset;
    writer->index.footer.groups++;
    writer->offset += writer->used;
    writer->written_sequence = writer->next_sequence - 1;
    writer->reserve_written = writer->reserve_wanted;
    hl_journal_progress *const progress = writer->progress;
    hl_progress_publish(&progress->written_bytes,
                        hl_progress_read(&progress->written_bytes) + writer->used);
    hl_progress_publish(&progress->written_sequence, writer->written_sequence);
    writer->used = 0;
    writer->is_frozen = false;
}

hl_status hl_writer_write_group(hl_journal_writer *writer)
{
    if (writer->used == 0)
        return HL_OK;
    if (!writer->is_frozen)
        freeze_group(writer);
    size_t done = 0;
    const int result =
        hl_io_write_all(writer->io, writer->file, writer->buffer + writer->done,
                        writer->used - writer->done, writer->offset + writer->done, &done);
    writer->done += done;
    if (result < 0)
        return hl_writer_stopped_by_io(writer, result, writer->path, "write");
    /* The disk works while the next group is put together. A small group is synced at once or
     * waits. */
    if (writer->used >= FLUSH_AHEAD_MIN)
        writer->io->flush_ahead(writer->io->context, writer->file, writer->offset, writer->used);
    group_written(writer);
    return HL_OK;
}

/* For want of space too: what the kernel could not write it may have dropped, and a second sync
 * would give 0 all the same. */
hl_status hl_writer_sync_failed(hl_journal_writer *writer, int result, const char *path,
                                const char *what)
{
    (void)hl_io_error(&writer->error, result, path, what);
    return hl_writer_stopped_by(writer, HL_SYSTEM);
}

/* All up to here is on the disk. */
static void synced(hl_journal_writer *writer, uint64_t offset, uint64_t sequence, uint64_t reserve)
{
    hl_journal_progress *const progress = writer->progress;
    writer->synced_offset = offset;
    writer->durable_sequence = sequence;
    writer->reserved_through = reserve;
    writer->synced_at_ticks = hl_writer_ticks(writer);
    hl_progress_publish(&progress->syncs, hl_progress_read(&progress->syncs) + 1);
    hl_progress_publish(&progress->reserved_through, reserve);
    hl_progress_publish(&progress->durable_sequence, sequence);
}

/* All that is written is, or will be, covered by a sync. */
static void nothing_waits(hl_journal_writer *writer)
{
    writer->unsynced_events = 0;
    writer->has_unsynced = false;
}

hl_status hl_writer_end_sync(hl_journal_writer *writer, bool wait)
{
    if (!writer->is_syncing)
        return HL_OK;
    const int result = writer->io->sync_end(writer->io->context, writer->file, wait);
    if (result == -EINPROGRESS)
        return HL_OK;
    writer->is_syncing = false;
    if (result < 0)
        return hl_writer_sync_failed(writer, result, writer->path, "sync");
    synced(writer, writer->syncing_offset, writer->syncing_sequence, writer->syncing_reserve);
    return HL_OK;
}

hl_status hl_writer_sync_written(hl_journal_writer *writer)
{
    hl_status status = hl_writer_end_sync(writer, true);
    if (status != HL_OK || writer->synced_offset == writer->offset)
        return status;
    const int result = writer->io->sync(writer->io->context, writer->file);
    if (result < 0)
        return hl_writer_sync_failed(writer, result, writer->path, "sync");
    nothing_waits(writer);
    synced(writer, writer->offset, writer->written_sequence, writer->reserve_written);
    return HL_OK;
}

hl_status hl_writer_begin_sync(hl_journal_writer *writer)
{
    const hl_io *const io = writer->io;
    if (!writer->options.overlap_syncs || io->sync_begin == NULL ||
        io->sync_begin(io->context, writer->file) < 0)
        return hl_writer_sync_written(writer);
    writer->is_syncing = true;
    writer->syncing_offset = writer->offset;
    writer->syncing_sequence = writer->written_sequence;
    writer->syncing_reserve = writer->reserve_written;
    nothing_waits(writer);
    return HL_OK;
}
