#include "journal/audit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/crc32c.h"
#include "journal/durable_file.h"
#include "journal/segment.h"

#define LOCK_NAME     "audit.lock"
#define LINE_SIZE     4096u
#define CRC_SIZE      10u /* " #1a2b3c4d" */
#define LOG_SIZE      (1ull << 32)
#define LOCK_TRIES    1000
#define NS_PER_SECOND (uint64_t)1000000000

/* The CRC that a whole line (without its newline) says, and the one that it should have. */
static bool line_is_good(const char *line, size_t size, uint32_t before, uint32_t *ret_crc)
{
    if (size < CRC_SIZE || line[size - CRC_SIZE] != ' ' || line[size - CRC_SIZE + 1] != '#')
        return false;
    char digits[9] = {0}, again[9];
    memcpy(digits, line + size - 8, 8);
    const uint32_t crc = hl_crc32c(before, line, size - CRC_SIZE);
    snprintf(again, sizeof again, "%08" PRIx32, crc);
    *ret_crc = (uint32_t)strtoul(digits, NULL, 16);
    return strcmp(again, digits) == 0;
}

/* Where the last whole line ends, and its CRC as it says it. */
static hl_status find_end(const hl_io *io, hl_io_file file, const char *path, uint64_t *ret_end,
                          uint32_t *ret_crc, hl_error *error)
{
    char bytes[2 * LINE_SIZE];
    const int64_t size = io->size(io->context, file);
    if (size < 0)
        return hl_io_error(error, size, path, "find the size of");
    const uint64_t from = (uint64_t)size > sizeof bytes ? (uint64_t)size - sizeof bytes : 0;
    const int64_t got = hl_io_read_all(io, file, bytes, sizeof bytes, from);
    if (got < 0)
        return hl_io_error(error, got, path, "read");
    size_t end = (size_t)got;
    while (end > 0 && bytes[end - 1] != '\n')
        end--;
    uint32_t crc = 0;
    if (end > CRC_SIZE) {
        size_t begin = end - 1;
        while (begin > 0 && bytes[begin - 1] != '\n')
            begin--;
        line_is_good(bytes + begin, end - 1 - begin, 0, &crc); /* for what it says */
    }
    *ret_end = from + end;
    *ret_crc = crc;
    return HL_OK;
}

static size_t format_line(const hl_io *io, uint32_t before, const char *what, const char *detail,
                          char ret_line[LINE_SIZE])
{
    const uint64_t now = io->now(io->context);
    const time_t seconds = (time_t)(now / NS_PER_SECOND);
    struct tm date;
    char when[32];
    gmtime_r(&seconds, &date);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &date);
    const int length = snprintf(ret_line, LINE_SIZE, "%s.%09" PRIu64 "Z %ld %.64s %.3000s", when,
                                now % NS_PER_SECOND, (long)getpid(), what, detail);
    size_t size = (size_t)length;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)ret_line[i] < ' ' || ret_line[i] == 0x7f)
            ret_line[i] = '?';
    const uint32_t crc = hl_crc32c(before, ret_line, size);
    size += (size_t)snprintf(ret_line + size, LINE_SIZE - size, " #%08" PRIx32 "\n", crc);
    return size;
}

static hl_status append(const hl_io *io, hl_io_file file, const char *path, const char *what,
                        const char *detail, hl_error *error)
{
    char line[LINE_SIZE];
    uint64_t end = 0;
    uint32_t crc = 0;
    const hl_status status = find_end(io, file, path, &end, &crc, error);
    if (status != HL_OK)
        return status;
    int result = io->truncate(io->context, file, end);
    const size_t size = format_line(io, crc, what, detail, line);
    if (result == 0)
        result = hl_io_write_all(io, file, line, size, end, NULL);
    if (result == 0)
        result = io->sync(io->context, file);
    return result < 0 ? hl_io_error(error, result, path, "write") : HL_OK;
}

static hl_status lock(const hl_io *io, const char *directory, hl_io_file *ret_lock, hl_error *error)
{
    char path[HL_JOURNAL_PATH_SIZE];
    hl_io_owner owner;
    snprintf(path, sizeof path, "%s/" LOCK_NAME, directory);
    for (int i = 0; i < LOCK_TRIES; i++) {
        const int held = io->lock(io->context, path, &owner);
        if (held >= 0) {
            *ret_lock = held;
            return HL_OK;
        }
        if (held != -EWOULDBLOCK)
            return hl_io_error(error, held, path, "lock");
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return hl_error_set(error, HL_LOCKED, "%s: held by process %lld for more than a second", path,
                        (long long)owner.pid);
}

hl_status hl_audit_add(const hl_io *io, const char *directory, const char *what, const char *detail,
                       hl_error *error)
{
    char path[HL_JOURNAL_PATH_SIZE];
    hl_io_file held = -1;
    const int length = snprintf(path, sizeof path, "%s/" HL_AUDIT_NAME, directory);
    if (length < 0 || (size_t)length >= sizeof path)
        return hl_error_set(error, HL_INVALID, "%.200s...: the path is too long", directory);
    hl_status status = lock(io, directory, &held, error);
    if (status != HL_OK)
        return status;
    const hl_io_file file = io->open(io->context, path, HL_IO_WRITE | HL_IO_CREATE);
    if (file < 0) {
        status = hl_io_error(error, file, path, "open");
    } else {
        status = append(io, file, path, what, detail, error);
        io->close(io->context, file);
    }
    io->unlock(io->context, held);
    return status;
}

hl_status hl_audit_verify(const hl_io *io, const char *directory, hl_audit_findings *ret_findings,
                          hl_error *error)
{
    char path[HL_JOURNAL_PATH_SIZE];
    void *bytes = NULL;
    size_t size = 0;
    hl_audit_findings findings = {0};
    snprintf(path, sizeof path, "%s/" HL_AUDIT_NAME, directory);
    const hl_status status = hl_durable_file_read(io, path, LOG_SIZE, &bytes, &size, error);
    if (status != HL_OK && status != HL_NOT_FOUND)
        return status;
    uint32_t before = 0;
    for (size_t at = 0; at < size;) {
        const char *const line = (const char *)bytes + at;
        const char *const newline = memchr(line, '\n', size - at);
        if (newline == NULL) {
            findings.torn = true;
            break;
        }
        const size_t length = (size_t)(newline - line);
        findings.lines++;
        uint32_t crc = before;
        if (!line_is_good(line, length, before, &crc)) {
            findings.bad_lines++;
            if (findings.first_bad_line == 0)
                findings.first_bad_line = findings.lines;
        }
        before = crc;
        at += length + 1;
    }
    free(bytes);
    *ret_findings = findings;
    return HL_OK;
}
