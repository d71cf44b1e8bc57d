#include "journal/spare.h"

static int begin(hl_spare *spare)
{
    const hl_io *const io = spare->io;
    const int file = io->open(io->context, spare->path, HL_IO_WRITE | HL_IO_CREATE | HL_IO_EMPTY);
    if (file < 0)
        return file;
    spare->file = file;
    spare->is_open = true;
    spare->filled = 0;
    return io->preallocate(io->context, file, 0, spare->size);
}

static int fill(hl_spare *spare)
{
    const uint64_t rest = spare->size - spare->filled;
    const size_t step = rest < HL_SPARE_STEP ? (size_t)rest : HL_SPARE_STEP;
    const int result =
        hl_io_write_all(spare->io, spare->file, spare->zeros, step, spare->filled, NULL);
    if (result < 0)
        return result;
    spare->filled += step;
    /* Step by step, so that no later sync of the segment before it waits for all of them. */
    return spare->io->sync(spare->io->context, spare->file);
}

int hl_spare_step(hl_spare *spare)
{
    int result = 0;
    if (spare->is_ready)
        return 0;
    if (!spare->is_open)
        result = begin(spare);
    else if (spare->zero_fill && spare->filled < spare->size)
        result = fill(spare);
    if (result < 0)
        hl_spare_drop(spare);
    spare->is_ready = result == 0 && (!spare->zero_fill || spare->filled == spare->size);
    return result;
}

int hl_spare_make(hl_spare *spare)
{
    int result = 0;
    while (result == 0 && !spare->is_ready)
        result = hl_spare_step(spare);
    return result;
}

void hl_spare_drop(hl_spare *spare)
{
    if (spare->is_open) {
        spare->io->close(spare->io->context, spare->file);
        spare->io->unlink(spare->io->context, spare->path);
    }
    spare->is_open = false;
    spare->is_ready = false;
}
