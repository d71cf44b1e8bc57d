#include "base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/lock.h"

#define ZEROS_SIZE (1u << 20)

static int result_of(int result)
{
    return result < 0 ? -errno : result;
}

static int posix_open(void *context, const char *path, unsigned flags)
{
    (void)context;
    int how = O_CLOEXEC | ((flags & HL_IO_WRITE) != 0 ? O_RDWR : O_RDONLY);
    how |= (flags & HL_IO_CREATE) != 0 ? O_CREAT : 0;
    how |= (flags & HL_IO_NEW) != 0 ? O_EXCL : 0;
    how |= (flags & HL_IO_EMPTY) != 0 ? O_TRUNC : 0;
    return result_of(open(path, how, 0640));
}

static int posix_close(void *context, hl_io_file file)
{
    (void)context;
    return result_of(close(file));
}

static int64_t posix_pwrite(void *context, hl_io_file file, const void *bytes, size_t size,
                            uint64_t offset)
{
    (void)context;
    const ssize_t written = pwrite(file, bytes, size, (off_t)offset);
    return written < 0 ? -errno : written;
}

static int64_t posix_pread(void *context, hl_io_file file, void *bytes, size_t size,
                           uint64_t offset)
{
    (void)context;
    const ssize_t got = pread(file, bytes, size, (off_t)offset);
    return got < 0 ? -errno : got;
}

/* For file systems without fallocate: only behind the file's end, what lies before it has blocks or
 * was written by someone who wanted holes. */
static int write_zeros_behind_end(hl_io_file file, uint64_t end)
{
    struct stat status;
    if (fstat(file, &status) < 0)
        return -errno;
    uint8_t *const zeros = calloc(1, ZEROS_SIZE);
    if (zeros == NULL)
        return -ENOMEM;
    int result = 0;
    for (uint64_t at = (uint64_t)status.st_size; at < end && result == 0;) {
        const uint64_t rest = end - at;
        const ssize_t written =
            pwrite(file, zeros, rest < ZEROS_SIZE ? (size_t)rest : ZEROS_SIZE, (off_t)at);
        if (written > 0)
            at += (uint64_t)written;
        else if (written == 0 || errno != EINTR)
            result = written == 0 ? -EIO : -errno;
    }
    free(zeros);
    return result;
}

static int posix_preallocate(void *context, hl_io_file file, uint64_t offset, uint64_t size)
{
    (void)context;
    while (fallocate(file, 0, (off_t)offset, (off_t)size) < 0) {
        if (errno == EOPNOTSUPP || errno == ENOSYS)
            return write_zeros_behind_end(file, offset + size);
        if (errno != EINTR)
            return -errno;
    }
    return 0;
}

static int posix_sync(void *context, hl_io_file file)
{
    (void)context;
    /* Not again after EINTR: who was interrupted may have lost its error already. */
    return result_of(fdatasync(file));
}

static void posix_flush_ahead(void *context, hl_io_file file, uint64_t offset, uint64_t size)
{
    (void)context;
    /* Its errors are not lost: the next sync reports them. */
    (void)sync_file_range(file, (off_t)offset, (off_t)size, SYNC_FILE_RANGE_WRITE);
}

static int posix_sync_directory(void *context, const char *path)
{
    (void)context;
    const int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return -errno;
    const int result = result_of(fsync(directory));
    close(directory);
    return result;
}

static int64_t posix_size(void *context, hl_io_file file)
{
    (void)context;
    struct stat status;
    return fstat(file, &status) < 0 ? -errno : status.st_size;
}

static int posix_truncate(void *context, hl_io_file file, uint64_t size)
{
    (void)context;
    return result_of(ftruncate(file, (off_t)size));
}

static int posix_rename(void *context, const char *from, const char *to)
{
    (void)context;
    return result_of(rename(from, to));
}

static int posix_unlink(void *context, const char *path)
{
    (void)context;
    return result_of(unlink(path));
}

static int posix_make_directory(void *context, const char *path)
{
    (void)context;
    if (mkdir(path, 0750) == 0)
        return 0;
    const int number = errno;
    struct stat status;
    if (number == EEXIST && stat(path, &status) == 0 && !S_ISDIR(status.st_mode))
        return -ENOTDIR;
    return number == EEXIST ? 0 : -number;
}

static int posix_list(void *context, const char *path,
                      int (*each)(void *argument, const char *name), void *argument)
{
    (void)context;
    DIR *const directory = opendir(path);
    if (directory == NULL)
        return -errno;
    int result = 0;
    while (result == 0) {
        errno = 0;
        const struct dirent *const entry = readdir(directory);
        if (entry == NULL) {
            result = -errno;
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            result = each(argument, entry->d_name);
    }
    closedir(directory);
    return result;
}

static int posix_lock(void *context, const char *path, hl_io_owner *ret_owner)
{
    (void)context;
    return hl_lock_take(path, ret_owner);
}

static int posix_unlock(void *context, hl_io_file lock)
{
    (void)context;
    return hl_lock_release(lock);
}

static uint64_t nanoseconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t posix_now(void *context)
{
    (void)context;
    return nanoseconds(CLOCK_REALTIME);
}

static uint64_t posix_ticks(void *context)
{
    (void)context;
    return nanoseconds(CLOCK_MONOTONIC);
}

static uint64_t posix_random(void *context)
{
    (void)context;
    uint64_t value = 0;
    /* 8 bytes are given whole or not at all; before the pool is filled at boot it waits. Should the
     * call be forbidden, the time is what is left. */
    if (getrandom(&value, sizeof value, 0) != (ssize_t)sizeof value)
        value = nanoseconds(CLOCK_REALTIME) ^ (uint64_t)getpid() << 40;
    return value;
}

const hl_io *hl_io_posix(void)
{
    static const hl_io table = {
        .open = posix_open,
        .close = posix_close,
        .pwrite = posix_pwrite,
        .pread = posix_pread,
        .preallocate = posix_preallocate,
        .sync = posix_sync,
        .flush_ahead = posix_flush_ahead,
        .sync_directory = posix_sync_directory,
        .size = posix_size,
        .truncate = posix_truncate,
        .rename = posix_rename,
        .unlink = posix_unlink,
        .make_directory = posix_make_directory,
        .list = posix_list,
        .lock = posix_lock,
        .unlock = posix_unlock,
        .now = posix_now,
        .ticks = posix_ticks,
        .random = posix_random,
    };
    return &table;
}
