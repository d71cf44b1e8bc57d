#include "journal/segment.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/allocate.h"
#include "base/error.h"

#define DAY_MAX         2932896u /* 9999-12-31 */
#define SECONDS_PER_DAY 86400
#define WINDOW_SIZE     (1u << 20) /* more than the longest event; a longer footer makes it grow */

void hl_segment_name_format(hl_segment_name name, char ret_text[HL_SEGMENT_NAME_SIZE])
{
    const time_t seconds = (time_t)(name.day > DAY_MAX ? DAY_MAX : name.day) * SECONDS_PER_DAY;
    struct tm date;
    gmtime_r(&seconds, &date);
    snprintf(ret_text, HL_SEGMENT_NAME_SIZE, "%04u-%02u-%02u-%020" PRIu64 ".hlj",
             (unsigned)(date.tm_year + 1900) % 10000u, (unsigned)(date.tm_mon + 1) % 100u,
             (unsigned)date.tm_mday % 100u, name.first_sequence);
}

bool hl_segment_name_parse(const char *text, hl_segment_name *ret_name)
{
    int year, month, day;
    uint64_t sequence;
    if (sscanf(text, "%4d-%2d-%2d-%20" SCNu64, &year, &month, &day, &sequence) != 4)
        return false;
    struct tm date = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day};
    const time_t seconds = timegm(&date);
    if (seconds < 0)
        return false;
    const hl_segment_name name = {.day = (uint32_t)(seconds / SECONDS_PER_DAY),
                                  .first_sequence = sequence};
    /* What is not written exactly like this (31 February, spaces, signs) is someone else's. */
    char again[HL_SEGMENT_NAME_SIZE];
    hl_segment_name_format(name, again);
    if (strcmp(text, again) != 0)
        return false;
    *ret_name = name;
    return true;
}

hl_status hl_segment_path(const char *directory, hl_segment_name name,
                          char ret_path[HL_JOURNAL_PATH_SIZE], hl_error *error)
{
    char text[HL_SEGMENT_NAME_SIZE];
    hl_segment_name_format(name, text);
    const int length = snprintf(ret_path, HL_JOURNAL_PATH_SIZE, "%s/%s", directory, text);
    if (length < 0 || (size_t)length >= HL_JOURNAL_PATH_SIZE)
        return hl_error_set(error, HL_INVALID,
                            "%.200s...: the path is longer than %u bytes; use a shorter directory",
                            directory, HL_JOURNAL_PATH_SIZE);
    return HL_OK;
}

typedef struct name_list {
    hl_segment_name *names;
    size_t count;
    size_t room;
} name_list;

static int add_name(void *argument, const char *text)
{
    name_list *const list = argument;
    hl_segment_name name;
    if (!hl_segment_name_parse(text, &name))
        return 0;
    if (list->count == list->room) {
        const size_t room = list->room == 0 ? 64 : list->room * 2;
        hl_segment_name *const names = realloc(list->names, room * sizeof *names);
        if (names == NULL)
            return -ENOMEM;
        list->names = names;
        list->room = room;
    }
    list->names[list->count++] = name;
    return 0;
}

static int by_first_sequence(const void *left, const void *right)
{
    const hl_segment_name *const a = left, *const b = right;
    return (a->first_sequence > b->first_sequence) - (a->first_sequence < b->first_sequence);
}

hl_status hl_segment_list(const hl_io *io, const char *directory, hl_segment_name **ret_names,
                          size_t *ret_count, hl_error *error)
{
    name_list list = {0};
    const int result = io->list(io->context, directory, add_name, &list);
    if (result < 0) {
        free(list.names);
        return result == -ENOMEM ? hl_error_set(error, HL_NO_MEMORY, "%s: out of memory", directory)
                                 : hl_io_error(error, result, directory, "list the directory");
    }
    if (list.count > 0)
        qsort(list.names, list.count, sizeof *list.names, by_first_sequence);
    for (size_t i = 1; i < list.count; i++)
        if (list.names[i].first_sequence == list.names[i - 1].first_sequence) {
            const uint64_t twice = list.names[i].first_sequence;
            free(list.names);
            return hl_error_set(error, HL_DAMAGED,
                                "%s: two segments begin with sequence %" PRIu64
                                "; one of them is a copy: move it away",
                                directory, twice);
        }
    *ret_names = list.names;
    *ret_count = list.count;
    return HL_OK;
}

static hl_status read_header(hl_segment_walk *walk, hl_error *error)
{
    const hl_io *const io = walk->io;
    const int64_t got = hl_io_read_all(io, walk->file, walk->window, HL_JOURNAL_HEADER_SIZE, 0);
    if (got < 0)
        return hl_io_error(error, got, walk->path, "read");
    if (got < (int64_t)HL_JOURNAL_HEADER_SIZE)
        return hl_error_set(error, HL_DAMAGED, "%s: %d bytes, shorter than a segment's header",
                            walk->path, (int)got);
    const hl_status status =
        hl_segment_header_decode(walk->window, walk->path, &walk->header, error);
    if (status != HL_OK)
        return status;
    walk->seed = hl_record_seed(walk->header.salt);
    const int result = hl_segment_walk_refresh(walk);
    return result < 0 ? hl_io_error(error, result, walk->path, "find the size of") : HL_OK;
}

hl_status hl_segment_walk_open(hl_segment_walk *walk, const hl_io *io, const char *path,
                               hl_error *error)
{
    *walk = (hl_segment_walk){.io = io, .next = HL_JOURNAL_HEADER_SIZE};
    if (strlen(path) >= sizeof walk->path)
        return hl_error_set(error, HL_INVALID, "%.200s...: the path is longer than %u bytes", path,
                            HL_JOURNAL_PATH_SIZE);
    strcpy(walk->path, path);
    walk->window_size = WINDOW_SIZE;
    walk->window = hl_allocate(1, WINDOW_SIZE);
    if (walk->window == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "%s: out of memory", path);
    walk->file = io->open(io->context, path, HL_IO_READ);
    if (walk->file < 0) {
        free(walk->window);
        return hl_io_error(error, walk->file, path, "open");
    }
    const hl_status status = read_header(walk, error);
    if (status != HL_OK)
        hl_segment_walk_close(walk);
    return status;
}

void hl_segment_walk_close(hl_segment_walk *walk)
{
    walk->io->close(walk->io->context, walk->file);
    free(walk->window);
    walk->window = NULL;
}

int hl_segment_walk_refresh(hl_segment_walk *walk)
{
    const int64_t size = walk->io->size(walk->io->context, walk->file);
    if (size < 0)
        return (int)size;
    walk->file_size = (uint64_t)size;
    return 0;
}

void hl_segment_walk_seek(hl_segment_walk *walk, uint64_t offset)
{
    walk->next = offset;
}

/* Reads the window anew from `at` on. False: walk->read_error says why. */
static bool fill(hl_segment_walk *walk, uint64_t at)
{
    const int64_t got = hl_io_read_all(walk->io, walk->file, walk->window, walk->window_size, at);
    walk->window_at = at;
    walk->window_filled = got < 0 ? 0 : (size_t)got;
    walk->read_error = got < 0 ? (int)got : 0;
    return got >= 0;
}

/* Room in the window for a record of `length`. */
static bool grow(hl_segment_walk *walk, uint32_t length)
{
    if (length <= walk->window_size)
        return true;
    uint8_t *const window = hl_allocate(1, length);
    if (window == NULL) {
        walk->read_error = -ENOMEM;
        return false;
    }
    free(walk->window);
    walk->window = window;
    walk->window_size = length;
    walk->window_filled = 0;
    return true;
}

static hl_record_verdict look(hl_segment_walk *walk)
{
    const bool inside =
        walk->next >= walk->window_at && walk->next <= walk->window_at + walk->window_filled;
    const uint64_t available = inside ? walk->window_at + walk->window_filled - walk->next : 0;
    walk->record = inside ? walk->window + (walk->next - walk->window_at) : walk->window;
    return hl_record_check(walk->header.salt, walk->seed, walk->record, available, walk->next);
}

hl_record_verdict hl_segment_walk_next(hl_segment_walk *walk)
{
    walk->offset = walk->next;
    walk->read_error = 0;
    hl_record_verdict verdict = look(walk);
    if (verdict != HL_RECORD_GOOD) {
        /* What the window holds may be old by now, or only the beginning of the record. */
        if (!fill(walk, walk->next))
            return HL_RECORD_SHORT;
        verdict = look(walk);
        if (verdict == HL_RECORD_SHORT && walk->window_filled == walk->window_size) {
            hl_record_word word;
            memcpy(&word, walk->window, sizeof word);
            const uint32_t length = hl_record_length(word);
            if (walk->next + length <= walk->file_size &&
                (!grow(walk, length) || !fill(walk, walk->next)))
                return HL_RECORD_SHORT;
            verdict = look(walk);
        }
        if (verdict == HL_RECORD_SHORT && walk->window_filled == 0)
            return HL_RECORD_END;
    }
    if (verdict == HL_RECORD_GOOD) {
        hl_record_word word;
        memcpy(&word, walk->record, sizeof word);
        walk->length = hl_record_length(word);
        walk->next += walk->length;
    }
    return verdict;
}

uint64_t hl_segment_walk_resync(hl_segment_walk *walk, uint64_t from)
{
    /* Windows overlap by a group record less 8 bytes, so that none is missed between two. */
    const uint64_t overlap = sizeof(hl_group) - 8;
    for (uint64_t at = (from + 7) & ~(uint64_t)7; at < walk->file_size;) {
        const bool inside = at >= walk->window_at && at < walk->window_at + walk->window_filled;
        if (!inside && !fill(walk, at))
            return UINT64_MAX;
        const uint64_t skip = at - walk->window_at;
        const uint64_t found = hl_record_resync(walk->header.salt, walk->seed, walk->window + skip,
                                                walk->window_filled - skip, at);
        if (found != UINT64_MAX) {
            walk->next = found;
            return found;
        }
        const uint64_t end = walk->window_at + walk->window_filled;
        if (end >= walk->file_size || walk->window_filled < sizeof(hl_group))
            break;
        /* The rest of a window that does not reach the file's end is looked at again. */
        at = end - overlap;
        if (!fill(walk, at))
            return UINT64_MAX;
    }
    return UINT64_MAX;
}
