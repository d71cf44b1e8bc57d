#include "fault/dlq_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define SEARCH_BYTES 65536u
#define AHEAD_BYTES  262144u /* read at once: what costs is the call */

_Static_assert(AHEAD_BYTES >= HL_DLQ_RECORD_MAX, "a record's parts are copied from one read");

static hl_status io_failed(hl_error *error, int64_t result, const hl_dlq_file *file,
                           const char *what)
{
    return hl_io_error(error, result, file->path, what);
}

/* ------- names beside the file's ------- */

/* `path` with a suffix, or NULL; the caller's to free. */
static char *path_with(const char *path, const char *suffix)
{
    char *joined = NULL;
    return asprintf(&joined, "%s%s", path, suffix) < 0 ? NULL : joined;
}

static int sync_directory_of(const hl_io *io, const char *path)
{
    const char *const slash = strrchr(path, '/');
    if (slash == NULL)
        return io->sync_directory(io->context, ".");
    char *const directory = strndup(path, slash == path ? 1 : (size_t)(slash - path));
    if (directory == NULL)
        return -ENOMEM;
    const int result = io->sync_directory(io->context, directory);
    free(directory);
    return result;
}

/* ------- the scan ------- */

typedef struct dlq_scan {
    hl_dlq_file *file;
    uint64_t size; /* bytes of the file */
    void *scratch;
    unsigned char *ahead; /* AHEAD_BYTES, of which ahead_bytes were read at the offset ahead_at */
    uint64_t ahead_at;
    size_t ahead_bytes;
    bool salvage;
    hl_dlq_record_visitor visitor;
    void *context;
} dlq_scan;

/* As hl_io_read_all, of what was read ahead if it is there. */
static int64_t read_part(dlq_scan *scan, void *bytes, size_t size, uint64_t offset)
{
    const hl_dlq_file *const file = scan->file;
    if (offset < scan->ahead_at || offset + size > scan->ahead_at + scan->ahead_bytes) {
        const int64_t got = hl_io_read_all(file->io, file->file, scan->ahead, AHEAD_BYTES, offset);
        scan->ahead_at = offset;
        scan->ahead_bytes = got < 0 ? 0 : (size_t)got;
        if (got < 0)
            return got;
        size = size < scan->ahead_bytes ? size : scan->ahead_bytes;
    }
    memcpy(bytes, scan->ahead + (offset - scan->ahead_at), size);
    return (int64_t)size;
}

/* The whole record at an offset, in `scratch`; HL_NOT_FOUND: there is none. */
static hl_status read_record(dlq_scan *scan, uint64_t offset, hl_error *error)
{
    const hl_dlq_file *const file = scan->file;
    hl_dlq_head *const head = scan->scratch;
    int64_t got = read_part(scan, head, sizeof *head, offset);
    if (got == (int64_t)sizeof *head && hl_dlq_head_is_good(head, file->salt, offset)) {
        got = read_part(scan, head + 1, head->body_size, offset + sizeof *head);
        if (got == (int64_t)head->body_size && hl_dlq_body_is_good(head))
            return HL_OK;
    }
    return got < 0 ? io_failed(error, got, file, "read") : HL_NOT_FOUND;
}

/* The next good record at or after an offset, in `scratch`. HL_NOT_FOUND: none. */
static hl_status find_record(dlq_scan *scan, uint64_t offset, uint64_t *ret_offset, hl_error *error)
{
    const hl_dlq_file *const file = scan->file;
    uint32_t words[SEARCH_BYTES / 4];
    while (offset < scan->size) {
        const int64_t got = hl_io_read_all(file->io, file->file, words, sizeof words, offset);
        if (got < 0)
            return io_failed(error, got, file, "read");
        for (uint64_t at = 0; at + 8 <= (uint64_t)got; at += 8) {
            if (words[at / 4] != HL_DLQ_RECORD_MARK)
                continue;
            const hl_status status = read_record(scan, offset + at, error);
            if (status == HL_OK)
                *ret_offset = offset + at;
            if (status != HL_NOT_FOUND)
                return status;
        }
        offset += sizeof words;
    }
    return HL_NOT_FOUND;
}

/* What is bad at `offset`: a torn end, HL_NOT_FOUND, when nothing behind it says that it was synced
 * before; else damage. */
static hl_status judge(dlq_scan *scan, uint64_t offset, hl_error *error)
{
    uint64_t at = offset;
    for (;;) {
        const hl_status status = find_record(scan, at + 8, &at, error);
        if (status != HL_OK)
            return status;
        const hl_dlq_head *const head = scan->scratch;
        const hl_dlq_synced *const synced = hl_dlq_body(head);
        if (head->kind == HL_DLQ_SYNCED && synced->offset > offset)
            return hl_error_set(error, HL_DAMAGED,
                                "%s: offset %" PRIu64 ": a record is damaged that was whole on the "
                                "disk: restore the file from a copy, or move it aside; `hotlane "
                                "dlq ls --salvage` shows the letters that are whole",
                                scan->file->path, offset);
    }
}

/* A bad record at `offset`: *ret_next is where to go on, UINT64_MAX: here the file ends. */
static hl_status pass_bad(dlq_scan *scan, uint64_t offset, uint64_t *ret_next, hl_error *error)
{
    hl_status status = judge(scan, offset, error);
    if (status == HL_NOT_FOUND) {
        scan->file->cut_at = offset;
        scan->file->cut_bytes = scan->size - offset;
        *ret_next = UINT64_MAX;
        return HL_OK;
    }
    if (status != HL_DAMAGED || !scan->salvage)
        return status;
    uint64_t next = scan->size;
    status = find_record(scan, offset + 8, &next, error);
    if (status != HL_OK && status != HL_NOT_FOUND)
        return status;
    scan->file->damaged_bytes += next - offset;
    *ret_next = next;
    return HL_OK;
}

/* Shows the record in `scratch`, and remembers what it says of the disk. */
static hl_status take_record(dlq_scan *scan, uint64_t offset, hl_error *error)
{
    const hl_dlq_head *const head = scan->scratch;
    if (head->kind == HL_DLQ_SYNCED)
        scan->file->told_synced = ((const hl_dlq_synced *)hl_dlq_body(head))->offset;
    return scan->visitor(scan->context, head, offset, error);
}

/* The record at which the scan has arrived. Where there seems to be none it is read anew: a bus
 * that writes the file may have gone on since. */
static hl_status read_next(dlq_scan *scan, uint64_t offset, hl_error *error)
{
    const hl_status status = read_record(scan, offset, error);
    if (status != HL_NOT_FOUND)
        return status;
    scan->ahead_bytes = 0;
    return read_record(scan, offset, error);
}

static hl_status scan_records(dlq_scan *scan, hl_error *error)
{
    uint64_t offset = sizeof(hl_dlq_header);
    while (offset < scan->size) {
        hl_status status = read_next(scan, offset, error);
        if (status == HL_OK) {
            const hl_dlq_head *const head = scan->scratch;
            const uint64_t next = offset + sizeof *head + head->body_size;
            status = take_record(scan, offset, error);
            offset = next;
        } else if (status == HL_NOT_FOUND) {
            uint64_t next = UINT64_MAX;
            status = pass_bad(scan, offset, &next, error);
            if (status == HL_OK && next == UINT64_MAX)
                break;
            offset = next;
        }
        if (status != HL_OK)
            return status;
    }
    scan->file->end = offset;
    return HL_OK;
}

/* ------- opening ------- */

static hl_status take_lock(hl_dlq_file *file, hl_error *error)
{
    char *const path = path_with(file->path, ".lock");
    if (path == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "%s: no memory to open it", file->path);
    hl_io_owner owner = {0};
    const int lock = file->io->lock(file->io->context, path, &owner);
    free(path);
    if (lock == -EWOULDBLOCK)
        return hl_error_set(error, HL_LOCKED,
                            "%s: process %" PRId64 " on %s has it open for writing, a running bus "
                            "perhaps: ask that bus, or stop it first",
                            file->path, owner.pid, owner.host[0] == '\0' ? "?" : owner.host);
    if (lock < 0)
        return io_failed(error, lock, file, "lock");
    file->lock = lock;
    return HL_OK;
}

static hl_status write_header(hl_dlq_file *file, uint64_t first_id, hl_error *error)
{
    const hl_io *const io = file->io;
    hl_dlq_header header;
    file->salt = io->random(io->context);
    file->first_id = first_id;
    hl_dlq_header_make(&header, file->salt, first_id, io->now(io->context));
    int result = hl_io_write_all(io, file->file, &header, sizeof header, 0, NULL);
    if (result == 0)
        result = io->sync(io->context, file->file);
    if (result != 0)
        return io_failed(error, result, file, "write the header");
    file->end = file->synced = file->told_synced = sizeof header;
    return HL_OK;
}

static hl_status make_new(hl_dlq_file *file, hl_error *error)
{
    const hl_status status = write_header(file, 1, error);
    if (status != HL_OK)
        return status;
    const int result = sync_directory_of(file->io, file->path);
    return result == 0 ? HL_OK : io_failed(error, result, file, "sync the directory of");
}

/* A file that was being made when the process died has less than a header: begun anew. */
static hl_status read_header(hl_dlq_file *file, uint64_t size, bool read_only, bool *ret_begun,
                             hl_error *error)
{
    hl_dlq_header header = {0};
    const int64_t got = hl_io_read_all(file->io, file->file, &header, sizeof header, 0);
    if (got < 0)
        return io_failed(error, got, file, "read");
    const bool torn = size < sizeof header &&
                      memcmp(header.magic, HL_DLQ_MAGIC, size < 8 ? (size_t)size : 8) == 0;
    if (torn) {
        *ret_begun = false;
        file->cut_bytes = size;
        file->end = sizeof header;
        return read_only ? HL_OK : make_new(file, error);
    }
    const char *const defect = hl_dlq_header_defect(&header);
    if (defect != NULL)
        return hl_error_set(error,
                            memcmp(header.magic, HL_DLQ_MAGIC, 8) == 0 ? HL_DAMAGED : HL_BAD_INPUT,
                            "%s: offset 0: %s: name a file that `hotlane run --dlq` or a bus wrote",
                            file->path, defect);
    file->told_synced = sizeof header;
    file->salt = header.salt;
    file->first_id = header.first_id;
    *ret_begun = true;
    return HL_OK;
}

/* Cuts the torn end, so that nothing of it is ever taken for a record. */
static hl_status cut(hl_dlq_file *file, hl_error *error)
{
    if (file->cut_at == 0)
        return HL_OK;
    const int result = file->io->truncate(file->io->context, file->file, file->cut_at);
    return result == 0 ? HL_OK : io_failed(error, result, file, "cut the torn end of");
}

static hl_status recover(hl_dlq_file *file, hl_dlq_file_mode mode, dlq_scan *scan, hl_error *error)
{
    const int64_t size = file->io->size(file->io->context, file->file);
    if (size < 0)
        return io_failed(error, size, file, "read the size of");
    if (size == 0 && !mode.read_only)
        return make_new(file, error);
    scan->size = (uint64_t)size;
    bool begun = false;
    hl_status status = read_header(file, scan->size, mode.read_only, &begun, error);
    if (status != HL_OK || !begun)
        return status;
    status = scan_records(scan, error);
    if (status != HL_OK || mode.read_only)
        return status;
    return cut(file, error);
}

/* What a rewrite that did not come to its end left behind. */
static void remove_leftover(const hl_dlq_file *file)
{
    char *const path = path_with(file->path, ".new");
    if (path != NULL)
        file->io->unlink(file->io->context, path);
    free(path);
}

static hl_status open_handle(hl_dlq_file *file, hl_dlq_file_mode mode, hl_error *error)
{
    if (!mode.read_only) {
        const hl_status status = take_lock(file, error);
        if (status != HL_OK)
            return status;
        remove_leftover(file);
    }
    unsigned flags = mode.read_only ? HL_IO_READ : HL_IO_WRITE;
    if (!mode.read_only && !mode.must_exist)
        flags |= HL_IO_CREATE;
    const int handle = file->io->open(file->io->context, file->path, flags);
    if (handle == -ENOENT)
        return hl_error_set(error, HL_NOT_FOUND, "%s: there is no such file", file->path);
    if (handle < 0)
        return io_failed(error, handle, file, "open");
    file->file = handle;
    return HL_OK;
}

hl_status hl_dlq_file_open(hl_dlq_file *file, const hl_io *io, const char *path,
                           hl_dlq_file_mode mode, void *scratch, hl_dlq_record_visitor visitor,
                           void *context, hl_error *error)
{
    *file = (hl_dlq_file){.io = io, .path = strdup(path), .file = -1, .lock = -1};
    if (file->path == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "%s: no memory to open it", path);
    dlq_scan scan = {.file = file,
                     .scratch = scratch,
                     .ahead = malloc(AHEAD_BYTES),
                     .salvage = mode.salvage && mode.read_only,
                     .visitor = visitor,
                     .context = context};
    hl_status status = scan.ahead != NULL
                           ? open_handle(file, mode, error)
                           : hl_error_set(error, HL_NO_MEMORY, "%s: no memory to open it", path);
    if (status == HL_OK)
        status = recover(file, mode, &scan, error);
    free(scan.ahead);
    if (status != HL_OK)
        hl_dlq_file_close(file);
    return status;
}

void hl_dlq_file_close(hl_dlq_file *file)
{
    if (file->file >= 0)
        file->io->close(file->io->context, file->file);
    if (file->lock >= 0)
        file->io->unlock(file->io->context, file->lock);
    file->file = file->lock = -1;
    free(file->path);
    file->path = NULL;
}

/* ------- an open file ------- */

hl_status hl_dlq_file_append(hl_dlq_file *file, const void *records, size_t size, hl_error *error)
{
    const int result = hl_io_write_all(file->io, file->file, records, size, file->end, NULL);
    if (result != 0)
        return io_failed(error, result, file, "write to");
    file->end += size;
    return HL_OK;
}

hl_status hl_dlq_file_sync(hl_dlq_file *file, hl_error *error)
{
    if (file->sync_failed)
        return hl_error_set(error, HL_SYSTEM,
                            "%s: an earlier sync failed: what was written since may be lost in a "
                            "power cut; look at the disk (dmesg), then have it rewritten by "
                            "opening it anew",
                            file->path);
    if (file->synced == file->end)
        return HL_OK;
    const int result = file->io->sync(file->io->context, file->file);
    if (result != 0) {
        file->sync_failed = true;
        return io_failed(error, result, file, "sync");
    }
    file->synced = file->end;
    return HL_OK;
}

hl_status hl_dlq_file_read(const hl_dlq_file *file, uint64_t offset, size_t size, void *scratch,
                           hl_error *error)
{
    const int64_t got = hl_io_read_all(file->io, file->file, scratch, size, offset);
    if (got < 0)
        return io_failed(error, got, file, "read");
    const hl_dlq_head *const head = scratch;
    if (got == (int64_t)size && hl_dlq_head_is_good(head, file->salt, offset) &&
        sizeof *head + head->body_size == size && hl_dlq_body_is_good(head))
        return HL_OK;
    return hl_error_set(error, HL_DAMAGED,
                        "%s: offset %" PRIu64 ": a record was changed or damaged since the file "
                        "was opened: restore the file from a copy",
                        file->path, offset);
}

/* ------- rewriting ------- */

hl_status hl_dlq_file_rewrite(const hl_dlq_file *file, uint64_t first_id, hl_dlq_file *ret_new,
                              hl_error *error)
{
    *ret_new = (hl_dlq_file){
        .io = file->io, .path = path_with(file->path, ".new"), .file = -1, .lock = -1};
    if (ret_new->path == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "%s: no memory to rewrite it", file->path);
    const int handle =
        file->io->open(file->io->context, ret_new->path, HL_IO_WRITE | HL_IO_CREATE | HL_IO_EMPTY);
    if (handle < 0)
        return io_failed(error, handle, ret_new, "make");
    ret_new->file = handle;
    return write_header(ret_new, first_id, error);
}

hl_status hl_dlq_file_replace(hl_dlq_file *file, hl_dlq_file *replacement, hl_error *error)
{
    const hl_io *const io = file->io;
    const hl_status status = hl_dlq_file_sync(replacement, error);
    if (status != HL_OK)
        return status;
    const int result = io->rename(io->context, replacement->path, file->path);
    if (result != 0)
        return io_failed(error, result, file, "put the rewritten file in the place of");
    /* From here on the new one is the file, whatever the directory's sync says: after a power cut
     * the old one might be there again, whole. */
    char *const path = file->path;
    const hl_io_file lock = file->lock;
    io->close(io->context, file->file);
    free(replacement->path);
    *file = *replacement;
    file->path = path;
    file->lock = lock;
    *replacement = (hl_dlq_file){.file = -1, .lock = -1};
    const int synced = sync_directory_of(io, path);
    file->sync_failed = synced != 0;
    return HL_OK;
}

void hl_dlq_file_abandon(hl_dlq_file *replacement)
{
    if (replacement->path == NULL)
        return;
    replacement->io->unlink(replacement->io->context, replacement->path);
    hl_dlq_file_close(replacement);
}
