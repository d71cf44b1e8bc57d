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
    /* It goes down beside the segment's own groups, whose syncs then find little of it left; to
     * wait for it here would hold those up. */
    spare->io->flush_ahead(spare->io->context, spare->file, spare->filled, step);
    spare->filled += step;
    return spare->filled == spare->size ? spare->io->sync(spare->io->context, spare->file) : 0;
}

/* Its blocks are free again. The name stays: beside a segment that is sealed as one that another
 * follows it says that none is missing (recover.h). */
static void give_back(hl_spare *spare)
{
    if (spare->is_open) {
        spare->io->truncate(spare->io->context, spare->file, 0);
        spare->io->close(spare->io->context, spare->file);
    }
    spare->is_open = false;
}

int hl_spare_step(hl_spare *spare)
{
    int result = 0;
    if (hl_spare_is_whole(spare))
        return 0;
    if (!spare->is_open)
        result = begin(spare);
    else
        result = fill(spare);
    if (result < 0)
        give_back(spare);
    spare->is_ready = result == 0;
    return result;
}

int hl_spare_make(hl_spare *spare)
{
    return spare->is_ready ? 0 : hl_spare_step(spare);
}

int hl_spare_make_whole(hl_spare *spare)
{
    int result = 0;
    while (result == 0 && !hl_spare_is_whole(spare))
        result = hl_spare_step(spare);
    return result;
}

void hl_spare_drop(hl_spare *spare)
{
    if (spare->is_open)
        spare->io->close(spare->io->context, spare->file);
    spare->io->unlink(spare->io->context, spare->path);
    spare->is_open = false;
    spare->is_ready = false;
}
