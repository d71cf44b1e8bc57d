#include "journal/durable_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "journal/segment.h"

static hl_status join(char ret_path[HL_JOURNAL_PATH_SIZE], const char *directory, const char *name,
                      const char *end, hl_error *error)
{
    const int length = snprintf(ret_path, HL_JOURNAL_PATH_SIZE, "%s/%s%s", directory, name, end);
    if (length < 0 || (size_t)length >= HL_JOURNAL_PATH_SIZE)
        return hl_error_set(error, HL_INVALID, "%.200s...: the path is longer than %u bytes",
                            directory, HL_JOURNAL_PATH_SIZE);
    return HL_OK;
}

static hl_status sync_file(const hl_io *io, const char *path, hl_error *error)
{
    const hl_io_file file = io->open(io->context, path, HL_IO_WRITE);
    if (file < 0)
        return hl_io_error(error, file, path, "open");
    const int synced = io->sync(io->context, file);
    const int closed = io->close(io->context, file);
    const int result = synced < 0 ? synced : closed;
    return result < 0 ? hl_io_error(error, result, path, "sync") : HL_OK;
}

hl_status hl_durable_file_put(const hl_io *io, const char *directory, const char *temporary,
                              const char *path, hl_error *error)
{
    hl_status status = sync_file(io, temporary, error);
    if (status == HL_OK) {
        const int renamed = io->rename(io->context, temporary, path);
        if (renamed < 0)
            status = hl_io_error(error, renamed, path, "rename a file to");
    }
    if (status != HL_OK) {
        io->unlink(io->context, temporary);
        return status;
    }
    const int synced = io->sync_directory(io->context, directory);
    return synced < 0 ? hl_io_error(error, synced, directory, "sync the directory") : HL_OK;
}

hl_status hl_durable_file_make(const hl_io *io, const char *directory, const char *name,
                               hl_durable_fill fill, void *context, hl_error *error)
{
    char path[HL_JOURNAL_PATH_SIZE], temporary[HL_JOURNAL_PATH_SIZE];
    hl_status status = join(path, directory, name, "", error);
    if (status == HL_OK)
        status = join(temporary, directory, name, HL_DURABLE_TEMPORARY, error);
    if (status != HL_OK)
        return status;
    const hl_io_file file =
        io->open(io->context, temporary, HL_IO_WRITE | HL_IO_CREATE | HL_IO_EMPTY);
    if (file < 0)
        return hl_io_error(error, file, temporary, "make");
    const int written = fill(context, io, file);
    const int closed = io->close(io->context, file);
    if (written < 0 || closed < 0) {
        io->unlink(io->context, temporary);
        return hl_io_error(error, written < 0 ? written : closed, temporary, "write");
    }
    return hl_durable_file_put(io, directory, temporary, path, error);
}

typedef struct content {
    const void *bytes;
    size_t size;
} content;

static int write_content(void *context, const hl_io *io, hl_io_file file)
{
    const content *const all = context;
    return hl_io_write_all(io, file, all->bytes, all->size, 0, NULL);
}

hl_status hl_durable_file_replace(const hl_io *io, const char *directory, const char *name,
                                  const void *bytes, size_t size, hl_error *error)
{
    content all = {bytes, size};
    return hl_durable_file_make(io, directory, name, write_content, &all, error);
}

static hl_status read_open(const hl_io *io, hl_io_file file, const char *path, size_t limit,
                           void **ret_bytes, size_t *ret_size, hl_error *error)
{
    const int64_t size = io->size(io->context, file);
    if (size < 0)
        return hl_io_error(error, size, path, "find the size of");
    if ((uint64_t)size > limit)
        return hl_error_set(error, HL_DAMAGED, "%s: %lld bytes, and no such file has more than %zu",
                            path, (long long)size, limit);
    void *const bytes = malloc((size_t)size + 1);
    if (bytes == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "%s: out of memory", path);
    const int64_t got = hl_io_read_all(io, file, bytes, (size_t)size, 0);
    if (got < 0) {
        free(bytes);
        return hl_io_error(error, got, path, "read");
    }
    *ret_bytes = bytes;
    *ret_size = (size_t)got;
    return HL_OK;
}

hl_status hl_durable_file_read(const hl_io *io, const char *path, size_t limit, void **ret_bytes,
                               size_t *ret_size, hl_error *error)
{
    const hl_io_file file = io->open(io->context, path, HL_IO_READ);
    if (file == -ENOENT)
        return hl_error_set(error, HL_NOT_FOUND, "%s: there is no such file", path);
    if (file < 0)
        return hl_io_error(error, file, path, "open");
    const hl_status status = read_open(io, file, path, limit, ret_bytes, ret_size, error);
    io->close(io->context, file);
    return status;
}
