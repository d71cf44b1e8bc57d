#include "manual_disk.h"

manual_disk_state manual_disk;

static uint64_t read_ticks(void *context)
{
    (void)context;
    return manual_disk.ticks_ns;
}

static int64_t write_or_fail(void *context, hl_io_file file, const void *bytes, size_t size,
                             uint64_t offset)
{
    return manual_disk.write_error != 0 ? manual_disk.write_error
                                        : hl_io_posix()->pwrite(context, file, bytes, size, offset);
}

static int sync_or_fail(void *context, hl_io_file file)
{
    return manual_disk.sync_error != 0 ? manual_disk.sync_error
                                       : hl_io_posix()->sync(context, file);
}

void manual_disk_make(void)
{
    manual_disk = (manual_disk_state){.io = *hl_io_posix()};
    manual_disk.io.ticks = read_ticks;
    manual_disk.io.pwrite = write_or_fail;
    manual_disk.io.sync = sync_or_fail;
}
