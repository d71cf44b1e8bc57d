#include "journal/seal.h"

uint64_t hl_seal_length(const hl_index *index)
{
    return sizeof(hl_group) + sizeof(hl_rotation) + hl_index_footer_length(index) +
           sizeof(hl_trailer);
}

uint64_t hl_seal_limit(const hl_index *index)
{
    return sizeof(hl_group) + sizeof(hl_rotation) + hl_index_footer_limit(index) +
           sizeof(hl_trailer);
}

static uint32_t put_group(const hl_seal *seal, uint32_t seed, void *record)
{
    hl_group group = {.mark = HL_JOURNAL_GROUP_MARK ^ seal->salt,
                      .offset = seal->offset,
                      .durable_offset = seal->offset,
                      .durable_sequence = seal->durable_sequence,
                      .reserved_through = seal->reserved_through,
                      .last_sequence = seal->next_sequence - 1,
                      .written_ns = seal->now_ns};
    hl_record_finish(seed, &group, HL_RECORD_GROUP, sizeof group);
    memcpy(record, &group, sizeof group);
    return sizeof group;
}

static uint32_t put_rotation(const hl_seal *seal, uint32_t seed, void *record)
{
    hl_rotation rotation = {.next_sequence = seal->next_sequence,
                            .last_sequence = seal->next_sequence - 1,
                            .reserved_through = seal->reserved_through};
    hl_record_finish(seed, &rotation, HL_RECORD_ROTATION, sizeof rotation);
    memcpy(record, &rotation, sizeof rotation);
    return sizeof rotation;
}

static uint32_t put_footer(const hl_seal *seal, uint32_t seed, void *record)
{
    hl_footer *const footer = &seal->index->footer;
    const uint64_t groups = footer->groups;
    footer->flags = seal->flags;
    footer->groups = groups + 1; /* the seal's own */
    footer->last_sequence = seal->next_sequence - 1;
    footer->reserved_through = seal->reserved_through;
    footer->records_end = seal->offset + sizeof(hl_group);
    const uint32_t length = hl_index_encode(seal->index, seed, record);
    footer->groups = groups; /* it may be written once more */
    return length;
}

static uint32_t put_trailer(const hl_seal *seal, uint32_t seed, uint64_t footer_offset,
                            uint64_t file_size, void *record)
{
    hl_trailer trailer = {.mark = HL_JOURNAL_TAIL_MARK ^ seal->salt,
                          .footer_offset = footer_offset,
                          .file_size = file_size};
    hl_record_finish(seed, &trailer, HL_RECORD_TRAILER, sizeof trailer);
    memcpy(record, &trailer, sizeof trailer);
    return sizeof trailer;
}

hl_status hl_seal_write(const hl_seal *seal, hl_error *error)
{
    const hl_io *const io = seal->io;
    const uint32_t seed = hl_record_seed(seal->salt);
    uint8_t *const buffer = seal->buffer;
    uint64_t used = put_group(seal, seed, buffer);
    if (seal->has_next)
        used += put_rotation(seal, seed, buffer + used);
    const uint64_t footer_offset = seal->offset + used;
    used += put_footer(seal, seed, buffer + used);
    const uint64_t file_size = seal->offset + used + sizeof(hl_trailer);
    used += put_trailer(seal, seed, footer_offset, file_size, buffer + used);
    int result = hl_io_write_all(io, seal->file, buffer, used, seal->offset, NULL);
    if (result < 0)
        return hl_io_error(error, result, seal->path, "write the footer of");
    result = io->truncate(io->context, seal->file, file_size);
    if (result < 0)
        return hl_io_error(error, result, seal->path, "cut");
    result = io->sync(io->context, seal->file);
    if (result < 0) {
        hl_io_error(error, result, seal->path, "sync");
        /* Even for want of space: what the kernel dropped it will not write again. */
        if (error != NULL)
            error->status = HL_SYSTEM;
        return HL_SYSTEM;
    }
    return HL_OK;
}
