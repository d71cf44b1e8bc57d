#include "journal_place.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/error.h"

#define STEP_BYTES      (1u << 20)
#define SYNC_FILE_BYTES (16u << 20)

static hl_status failed(hl_error *error, const char *path, const char *what)
{
    return hl_error_set(error, HL_SYSTEM, "%s: cannot %s: %s", path, what, strerror(errno));
}

hl_status perf_place_make(const char *parent, perf_place *ret_place, hl_error *error)
{
    const int length =
        snprintf(ret_place->path, sizeof ret_place->path, "%s/hotlane-perf-XXXXXX", parent);
    if (length < 0 || (size_t)length >= sizeof ret_place->path)
        return hl_error_set(error, HL_INVALID, "%.100s...: the path is too long", parent);
    return mkdtemp(ret_place->path) != NULL ? HL_OK
                                            : failed(error, parent, "make a directory there");
}

uint64_t perf_place_free_bytes(const char *path)
{
    struct statvfs status;
    return statvfs(path, &status) == 0 ? (uint64_t)status.f_bavail * status.f_frsize : 0;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)status, (void)kind, (void)where;
    return remove(path);
}

void perf_place_remove(const perf_place *place)
{
    nftw(place->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* A new file of preallocated blocks, and something to write to it. */
typedef struct plain_file {
    char path[600];
    int file;
    unsigned char *bytes; /* STEP_BYTES */
} plain_file;

static void plain_close(plain_file *plain)
{
    if (plain->file >= 0) {
        close(plain->file);
        unlink(plain->path);
    }
    free(plain->bytes);
}

static hl_status plain_open(const perf_place *place, uint64_t size, plain_file *plain,
                            hl_error *error)
{
    *plain = (plain_file){.file = -1, .bytes = malloc(STEP_BYTES)};
    if (plain->bytes == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory for what is written");
    memset(plain->bytes, 0x5a, STEP_BYTES);
    snprintf(plain->path, sizeof plain->path, "%s/plain", place->path);
    plain->file = open(plain->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (plain->file >= 0 && fallocate(plain->file, 0, 0, (off_t)size) == 0)
        return HL_OK;
    const hl_status status = failed(error, plain->path, "make it with its blocks");
    plain_close(plain);
    return status;
}

static hl_status write_at(const plain_file *plain, uint64_t size, uint64_t offset, hl_error *error)
{
    for (uint64_t done = 0; done < size;) {
        const ssize_t written =
            pwrite(plain->file, plain->bytes, (size_t)(size - done), (off_t)(offset + done));
        if (written < 0 && errno != EINTR)
            return failed(error, plain->path, "write");
        done += written > 0 ? (uint64_t)written : 0;
    }
    return HL_OK;
}

hl_status perf_place_write(const perf_place *place, const perf_timer *timer, uint64_t bytes,
                           double *ret_per_s, hl_error *error)
{
    plain_file plain;
    hl_status status = plain_open(place, bytes, &plain, error);
    if (status != HL_OK)
        return status;
    const uint64_t start = perf_timer_ticks(timer);
    for (uint64_t at = 0; at < bytes && status == HL_OK; at += STEP_BYTES)
        status = write_at(&plain, STEP_BYTES, at, error);
    if (status == HL_OK && fdatasync(plain.file) < 0)
        status = failed(error, plain.path, "sync");
    const double ns = perf_timer_ns(timer, perf_timer_ticks(timer) - start);
    plain_close(&plain);
    if (status == HL_OK)
        *ret_per_s = (double)bytes * 1e9 / ns;
    return status;
}

static hl_status sync_in_turn(const plain_file *plain, const perf_timer *timer, uint64_t group,
                              double seconds, hl_histogram *ret_ns, hl_error *error)
{
    const uint64_t end = perf_timer_after(timer, seconds * 1e9);
    hl_status status = HL_OK;
    for (uint64_t at = 0; perf_timer_ticks(timer) < end && status == HL_OK; at += group) {
        if (at + group > SYNC_FILE_BYTES)
            at = 0;
        status = write_at(plain, group, at, error);
        const uint64_t before = perf_timer_ticks(timer);
        if (status == HL_OK && fdatasync(plain->file) < 0)
            status = failed(error, plain->path, "sync");
        hl_histogram_record(ret_ns,
                            (uint64_t)perf_timer_ns(timer, perf_timer_ticks(timer) - before));
    }
    return status;
}

hl_status perf_place_sync(const perf_place *place, const perf_timer *timer, uint64_t group_bytes,
                          double seconds, hl_histogram *ret_ns, hl_error *error)
{
    plain_file plain;
    hl_status status = plain_open(place, SYNC_FILE_BYTES, &plain, error);
    if (status != HL_OK)
        return status;
    for (uint64_t at = 0; at < SYNC_FILE_BYTES && status == HL_OK; at += STEP_BYTES)
        status = write_at(&plain, STEP_BYTES, at, error);
    if (status == HL_OK && fsync(plain.file) < 0)
        status = failed(error, plain.path, "sync");
    const uint64_t group = group_bytes < 512          ? 512
                           : group_bytes > STEP_BYTES ? STEP_BYTES
                                                      : group_bytes;
    if (status == HL_OK)
        status = sync_in_turn(&plain, timer, group, seconds, ret_ns, error);
    plain_close(&plain);
    return status;
}
