#include "journal/snapshot.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "journal/segment.h"

#define ENDING ".hls"
#define DIGITS 20 /* of the sequence in a file's name */

static hl_status directory_of(const char *directory, char ret_path[HL_JOURNAL_PATH_SIZE],
                              hl_error *error)
{
    const int length =
        snprintf(ret_path, HL_JOURNAL_PATH_SIZE, "%s/" HL_SNAPSHOT_DIRECTORY, directory);
    if (length < 0 || (size_t)length >= HL_JOURNAL_PATH_SIZE - 128)
        return hl_error_set(error, HL_INVALID, "%.200s...: the path is longer than %u bytes",
                            directory, HL_JOURNAL_PATH_SIZE);
    return HL_OK;
}

/* NAME-00000000000000000042.hls */
static bool parse_file_name(const char *text, char ret_name[HL_CURSOR_NAME_SIZE],
                            uint64_t *ret_sequence)
{
    const size_t length = strlen(text);
    const size_t behind = 1 + DIGITS + sizeof ENDING - 1; /* the name */
    if (length <= behind || length - behind >= HL_CURSOR_NAME_SIZE ||
        strcmp(text + length - (sizeof ENDING - 1), ENDING) != 0 || text[length - behind] != '-')
        return false;
    const char *const digits = text + length - behind + 1;
    if (strspn(digits, "0123456789") != DIGITS)
        return false;
    memcpy(ret_name, text, length - behind);
    ret_name[length - behind] = '\0';
    *ret_sequence = strtoull(digits, NULL, 10);
    return hl_cursor_check_name(ret_name, NULL) == HL_OK;
}

static void format_file_name(char *ret_text, size_t size, const char *name, uint64_t sequence)
{
    snprintf(ret_text, size, "%s-%020" PRIu64 ENDING, name, sequence);
}

/* ---- storing ---- */

typedef struct found {
    const char *name; /* NULL: any */
    uint64_t *sequences;
    size_t count;
    size_t room;
} found;

static int add_found(void *argument, const char *text)
{
    found *const this = argument;
    char name[HL_CURSOR_NAME_SIZE];
    uint64_t sequence;
    if (!parse_file_name(text, name, &sequence) || strcmp(name, this->name) != 0)
        return 0;
    if (this->count == this->room) {
        const size_t room = this->room == 0 ? 16 : this->room * 2;
        uint64_t *const sequences = realloc(this->sequences, room * sizeof *sequences);
        if (sequences == NULL)
            return -ENOMEM;
        this->sequences = sequences;
        this->room = room;
    }
    this->sequences[this->count++] = sequence;
    return 0;
}

static int newest_first(const void *left, const void *right)
{
    const uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a < b) - (a > b);
}

/* The sequences there are of a name, the newest first. free() *ret_sequences. */
static hl_status list(const hl_io *io, const char *path, const char *name, uint64_t **ret_sequences,
                      size_t *ret_count, hl_error *error)
{
    found all = {.name = name};
    const int result = io->list(io->context, path, add_found, &all);
    if (result < 0 && result != -ENOENT) {
        free(all.sequences);
        return hl_io_error(error, result, path, "list the directory");
    }
    if (all.count > 0)
        qsort(all.sequences, all.count, sizeof *all.sequences, newest_first);
    *ret_sequences = all.sequences;
    *ret_count = all.count;
    return HL_OK;
}

/* Those beyond the newest `keep`; what cannot be removed now is removed with the next one. */
static void remove_old(const hl_io *io, const char *path, const char *name, uint32_t keep)
{
    uint64_t *sequences = NULL;
    size_t count = 0;
    char file[HL_JOURNAL_PATH_SIZE + 128], text[128];
    if (list(io, path, name, &sequences, &count, NULL) != HL_OK)
        return;
    for (size_t i = keep; i < count; i++) {
        format_file_name(text, sizeof text, name, sequences[i]);
        snprintf(file, sizeof file, "%s/%s", path, text);
        io->unlink(io->context, file);
    }
    free(sequences);
}

hl_status hl_snapshot_store(const hl_io *io, const char *directory, const hl_snapshot *snapshot,
                            const hl_journal_keys *keys, uint32_t keep, hl_error *error)
{
    char path[HL_JOURNAL_PATH_SIZE], text[128];
    hl_status status = hl_cursor_check_name(snapshot->name, error);
    if (status == HL_OK)
        status = directory_of(directory, path, error);
    if (status != HL_OK)
        return status;
    if (keep < HL_SNAPSHOT_KEEP_MIN)
        return hl_error_set(error, HL_INVALID, "snapshot \"%s\": keeps %" PRIu32 ": use %u or more",
                            snapshot->name, keep, HL_SNAPSHOT_KEEP_MIN);
    const int made = io->make_directory(io->context, path);
    const int synced = made < 0 ? 0 : io->sync_directory(io->context, directory);
    if (made < 0 || synced < 0)
        return hl_io_error(error, made < 0 ? made : synced, path, "make the directory");
    format_file_name(text, sizeof text, snapshot->name, snapshot->sequence);
    status = hl_snapshot_file_write(io, path, text, snapshot, hl_crypt_newest(keys), error);
    if (status == HL_OK)
        remove_old(io, path, snapshot->name, keep);
    return status;
}

/* ---- loading ---- */

hl_status hl_snapshot_load(const hl_io *io, const char *directory, const char *name,
                           const hl_journal_keys *keys, uint64_t sequence, uint64_t time_ns,
                           hl_snapshot *ret_snapshot, uint32_t *ret_passed_over, hl_error *error)
{
    char path[HL_JOURNAL_PATH_SIZE], file[HL_JOURNAL_PATH_SIZE + 128], text[128];
    uint64_t *sequences = NULL;
    size_t count = 0;
    uint32_t passed_over = 0;
    hl_snapshot snapshot = {0};
    hl_status status = hl_cursor_check_name(name, error);
    if (status == HL_OK)
        status = directory_of(directory, path, error);
    if (status == HL_OK)
        status = list(io, path, name, &sequences, &count, error);
    if (status != HL_OK)
        return status;
    status = HL_NOT_FOUND;
    for (size_t i = 0; i < count && status != HL_OK; i++) {
        if (sequences[i] > sequence)
            continue;
        format_file_name(text, sizeof text, name, sequences[i]);
        snprintf(file, sizeof file, "%s/%s", path, text);
        status = hl_snapshot_file_read(io, file, keys, &snapshot, error);
        if (status != HL_OK && status != HL_DAMAGED && status != HL_NOT_FOUND)
            break;
        const bool another = status == HL_OK && (snapshot.sequence != sequences[i] ||
                                                 strcmp(snapshot.name, name) != 0);
        if (another)
            hl_error_set(error, HL_DAMAGED, "%s: what is in it is another snapshot", file);
        passed_over += status == HL_DAMAGED || another;
        if (status == HL_OK && (another || snapshot.time_ns > time_ns)) {
            hl_snapshot_release(&snapshot);
            status = HL_NOT_FOUND;
        }
    }
    free(sequences);
    if (status == HL_OK)
        *ret_snapshot = snapshot;
    if (ret_passed_over != NULL)
        *ret_passed_over = passed_over;
    if (status == HL_DAMAGED || status == HL_NOT_FOUND)
        return passed_over > 0
                   ? HL_NOT_FOUND
                   : hl_error_set(error, HL_NOT_FOUND, "%s: no snapshot \"%s\"", path, name);
    return status;
}

typedef struct visiting {
    const hl_io *io;
    const char *path;
    const hl_journal_keys *keys;
    hl_snapshot_known known; /* NULL: none is */
    hl_snapshot_visit visit;
    void *context;
    hl_error *error;
} visiting;

static int visit_one(void *argument, const char *text)
{
    const visiting *const this = argument;
    char name[HL_CURSOR_NAME_SIZE], file[HL_JOURNAL_PATH_SIZE + 256];
    uint64_t sequence;
    hl_snapshot snapshot = {0};
    if (!parse_file_name(text, name, &sequence) ||
        (this->known != NULL && this->known(this->context, name, sequence)))
        return 0;
    snprintf(file, sizeof file, "%s/%s", this->path, text);
    hl_status status = hl_snapshot_file_look(this->io, file, this->keys, &snapshot, this->error);
    if (status == HL_NOT_FOUND)
        return 0; /* removed just now */
    if (status != HL_OK && status != HL_DAMAGED)
        return (int)status;
    status = this->visit(this->context, file, status == HL_OK ? &snapshot : NULL);
    hl_snapshot_release(&snapshot);
    return (int)status;
}

hl_status hl_snapshot_each(const hl_io *io, const char *directory, const hl_journal_keys *keys,
                           hl_snapshot_visit visit, void *context, hl_error *error)
{
    return hl_snapshot_each_new(io, directory, keys, NULL, visit, context, error);
}

hl_status hl_snapshot_each_new(const hl_io *io, const char *directory, const hl_journal_keys *keys,
                               hl_snapshot_known known, hl_snapshot_visit visit, void *context,
                               hl_error *error)
{
    char path[HL_JOURNAL_PATH_SIZE];
    visiting this = {io, path, keys, known, visit, context, error};
    const hl_status status = directory_of(directory, path, error);
    if (status != HL_OK)
        return status;
    const int result = io->list(io->context, path, visit_one, &this);
    if (result == -ENOENT)
        return HL_OK;
    return result < 0 ? hl_io_error(error, result, path, "list the directory") : (hl_status)result;
}
