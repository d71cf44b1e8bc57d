#include "memory_journal.h"

#include <errno.h>
#include <string.h>

#include "journal/segment.h"

static int memory_open(void *context, const char *path, unsigned flags)
{
    const memory_journal *const this = context;
    const char *const slash = strrchr(path, '/');
    if (flags != HL_IO_READ)
        return -EROFS;
    return slash != NULL && strcmp(slash + 1, this->name) == 0 ? 1 : -ENOENT;
}

static int memory_close(void *context, hl_io_file file)
{
    (void)context, (void)file;
    return 0;
}

static int64_t memory_pread(void *context, hl_io_file file, void *bytes, size_t size,
                            uint64_t offset)
{
    const memory_journal *const this = context;
    (void)file;
    if (offset >= this->size)
        return 0;
    const size_t rest = this->size - (size_t)offset;
    const size_t take = size < rest ? size : rest;
    memcpy(bytes, this->bytes + offset, take);
    return (int64_t)take;
}

static int64_t memory_size(void *context, hl_io_file file)
{
    (void)file;
    return (int64_t)((const memory_journal *)context)->size;
}

static int memory_list(void *context, const char *path,
                       int (*each)(void *argument, const char *name), void *argument)
{
    const memory_journal *const this = context;
    if (strcmp(path, "journal") == 0)
        return each(argument, "order");
    if (strcmp(path, "journal/order") == 0)
        return each(argument, this->name);
    return -ENOENT;
}

static uint64_t memory_time(void *context)
{
    (void)context;
    return 1;
}

void memory_journal_init(memory_journal *journal, const uint8_t *bytes, size_t size)
{
    hl_segment_header header = {0};
    *journal = (memory_journal){.bytes = bytes, .size = size};
    journal->io = (hl_io){.context = journal,
                          .open = memory_open,
                          .close = memory_close,
                          .pread = memory_pread,
                          .size = memory_size,
                          .list = memory_list,
                          .now = memory_time,
                          .ticks = memory_time};
    if (size >= sizeof header)
        memcpy(&header, bytes, sizeof header);
    hl_segment_name_format(
        (hl_segment_name){.day = header.day, .first_sequence = header.first_sequence},
        journal->name);
}
