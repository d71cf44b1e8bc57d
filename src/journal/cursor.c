#include "journal/cursor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hotlane/journal_reader.h>

#include "base/error.h"
#include "journal/durable_file.h"
#include "journal/segment.h"

#define MAGIC         0x7275636a656e6c68u /* "hlnejcur" as it lies in memory */
#define VERSION       1u
#define POSITIONS_MAX 1024u /* partitions of a bus */

typedef struct cursor_head {
    uint64_t magic;
    uint32_t version;
    uint32_t count;
} cursor_head;

_Static_assert(sizeof(hl_cursor_position) == 80, "no hidden padding");
#define FILE_SIZE_OF(count) \
    (sizeof(cursor_head) + (count) * sizeof(hl_cursor_position) + sizeof(uint32_t))

hl_status hl_cursor_check_name(const char *name, hl_error *error)
{
    const size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                       "0123456789-_.");
    if (length == 0 || name[length] != '\0' || length >= HL_CURSOR_NAME_SIZE || name[0] == '.' ||
        (length > 4 && strcmp(name + length - 4, HL_DURABLE_TEMPORARY) == 0))
        return hl_error_set(error, HL_INVALID,
                            "cursor \"%.80s\": a name is 1 to 64 letters, digits, '-', '_' and "
                            "'.', with no '.' first and no \".tmp\" last",
                            name);
    return HL_OK;
}

static hl_status cursor_directory(const char *directory, char ret_path[HL_JOURNAL_PATH_SIZE],
                                  hl_error *error)
{
    const int length =
        snprintf(ret_path, HL_JOURNAL_PATH_SIZE, "%s/" HL_CURSOR_DIRECTORY, directory);
    if (length < 0 || (size_t)length >= HL_JOURNAL_PATH_SIZE - HL_CURSOR_NAME_SIZE)
        return hl_error_set(error, HL_INVALID, "%.200s...: the path is longer than %u bytes",
                            directory, HL_JOURNAL_PATH_SIZE);
    return HL_OK;
}

static hl_status cursor_path(const char *directory, const char *name,
                             char ret_path[HL_JOURNAL_PATH_SIZE], hl_error *error)
{
    hl_status status = hl_cursor_check_name(name, error);
    if (status == HL_OK)
        status = cursor_directory(directory, ret_path, error);
    if (status == HL_OK)
        strcat(strcat(ret_path, "/"), name);
    return status;
}

static bool decode(const uint8_t *bytes, size_t size, cursor_head *ret_head)
{
    uint32_t crc;
    if (size < FILE_SIZE_OF(0))
        return false;
    memcpy(ret_head, bytes, sizeof *ret_head);
    if (ret_head->magic != MAGIC || ret_head->version != VERSION ||
        ret_head->count > POSITIONS_MAX || size != FILE_SIZE_OF(ret_head->count))
        return false;
    memcpy(&crc, bytes + size - sizeof crc, sizeof crc);
    return hl_crc32c(0, bytes, size - sizeof crc) == crc;
}

hl_status hl_cursor_load(const hl_io *io, const char *directory, const char *name,
                         hl_cursor_position **ret_positions, size_t *ret_count, hl_error *error)
{
    char path[HL_JOURNAL_PATH_SIZE];
    void *bytes = NULL;
    size_t size = 0;
    cursor_head head;
    hl_status status = cursor_path(directory, name, path, error);
    if (status == HL_OK)
        status = hl_durable_file_read(io, path, FILE_SIZE_OF(POSITIONS_MAX), &bytes, &size, error);
    if (status != HL_OK)
        return status;
    if (!decode(bytes, size, &head)) {
        free(bytes);
        return hl_error_set(error, HL_DAMAGED,
                            "%s: the cursor is damaged: remove it, and say where to begin", path);
    }
    hl_cursor_position *const positions = calloc((size_t)head.count + 1, sizeof *positions);
    if (positions == NULL) {
        free(bytes);
        return hl_error_set(error, HL_NO_MEMORY, "%s: out of memory", path);
    }
    memcpy(positions, (const uint8_t *)bytes + sizeof head, head.count * sizeof *positions);
    for (uint32_t i = 0; i < head.count; i++)
        positions[i].partition[sizeof positions[i].partition - 1] = '\0';
    free(bytes);
    *ret_positions = positions;
    *ret_count = head.count;
    return HL_OK;
}

hl_status hl_cursor_store(const hl_io *io, const char *directory, const char *name,
                          const hl_cursor_position *positions, size_t count, hl_error *error)
{
    char path[HL_JOURNAL_PATH_SIZE];
    hl_status status = hl_cursor_check_name(name, error);
    if (status == HL_OK)
        status = cursor_directory(directory, path, error);
    if (status != HL_OK)
        return status;
    if (count > POSITIONS_MAX)
        return hl_error_set(error, HL_INVALID, "cursor \"%s\": more than %u partitions", name,
                            POSITIONS_MAX);
    const int made = io->make_directory(io->context, path);
    if (made < 0)
        return hl_io_error(error, made, path, "make the directory");
    const int synced = io->sync_directory(io->context, directory);
    if (synced < 0)
        return hl_io_error(error, synced, directory, "sync the directory");
    uint8_t *const bytes = malloc(FILE_SIZE_OF(count));
    if (bytes == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "cursor \"%s\": out of memory", name);
    const cursor_head head = {MAGIC, VERSION, (uint32_t)count};
    const size_t checked = FILE_SIZE_OF(count) - sizeof(uint32_t);
    memcpy(bytes, &head, sizeof head);
    if (count > 0)
        memcpy(bytes + sizeof head, positions, count * sizeof *positions);
    const uint32_t crc = hl_crc32c(0, bytes, checked);
    memcpy(bytes + checked, &crc, sizeof crc);
    status = hl_durable_file_replace(io, path, name, bytes, FILE_SIZE_OF(count), error);
    free(bytes);
    return status;
}

hl_status hl_cursor_remove(const hl_io *io, const char *directory, const char *name,
                           hl_error *error)
{
    char path[HL_JOURNAL_PATH_SIZE];
    const hl_status status = cursor_path(directory, name, path, error);
    if (status != HL_OK)
        return status;
    const int result = io->unlink(io->context, path);
    if (result == -ENOENT)
        return hl_error_set(error, HL_NOT_FOUND, "%s: there is no such cursor", path);
    if (result < 0)
        return hl_io_error(error, result, path, "remove");
    *strrchr(path, '/') = '\0';
    const int synced = io->sync_directory(io->context, path);
    return synced < 0 ? hl_io_error(error, synced, path, "sync the directory") : HL_OK;
}

hl_status hl_journal_cursor_remove(const char *directory, const char *name, hl_error *error)
{
    return hl_cursor_remove(hl_io_posix(), directory, name, error);
}

typedef struct visiting {
    const hl_io *io;
    const char *directory;
    hl_cursor_visit visit;
    void *context;
    hl_error *error;
} visiting;

static int visit_one(void *argument, const char *name)
{
    const visiting *const this = argument;
    hl_cursor_position *positions = NULL;
    size_t count = 0;
    if (hl_cursor_check_name(name, NULL) != HL_OK)
        return 0;
    hl_status status =
        hl_cursor_load(this->io, this->directory, name, &positions, &count, this->error);
    if (status == HL_NOT_FOUND)
        return 0; /* removed just now */
    if (status == HL_OK)
        status = this->visit(this->context, name, positions, count);
    free(positions);
    return (int)status;
}

hl_status hl_cursor_each(const hl_io *io, const char *directory, hl_cursor_visit visit,
                         void *context, hl_error *error)
{
    char path[HL_JOURNAL_PATH_SIZE];
    visiting this = {io, directory, visit, context, error};
    const hl_status status = cursor_directory(directory, path, error);
    if (status != HL_OK)
        return status;
    const int result = io->list(io->context, path, visit_one, &this);
    if (result == -ENOENT)
        return HL_OK;
    return result < 0 ? hl_io_error(error, result, path, "list the directory") : (hl_status)result;
}
