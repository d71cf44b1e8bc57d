#include "journal/recover.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/error.h"
#include "journal/seal.h"

#define COPY_SIZE (1u << 20)
#define DICTIONARY_LIMIT                                                 \
    65536u /* of a segment found; more offsets are not in its new footer \
            */

typedef struct repair {
    const hl_io *io;
    hl_segment_walk *walk;
    const hl_segment_findings *findings;
    hl_io_file file;
    hl_index index;
} repair;

/* What a segment's name and header must agree on, and the link to the one before it. */
static hl_status check_link(const hl_segment_header *header, const char *path, hl_segment_name name,
                            const hl_segment_name *before, hl_error *error)
{
    if (header->first_sequence != name.first_sequence || header->day != name.day)
        return hl_error_set(error, HL_DAMAGED,
                            "%s: the header says that it begins with sequence %" PRIu64
                            ": the file was renamed; give it its name back",
                            path, header->first_sequence);
    if (before != NULL && header->previous_first_sequence != before->first_sequence)
        return hl_error_set(error, HL_DAMAGED,
                            "%s: the segment before it, which begins with sequence %" PRIu64
                            ", is missing; bring it back from a copy",
                            path, header->previous_first_sequence);
    return HL_OK;
}

static hl_status read_segment_header(const hl_io *io, const char *path,
                                     hl_segment_header *ret_header, hl_error *error)
{
    _Alignas(8) uint8_t block[HL_JOURNAL_HEADER_SIZE];
    const int file = io->open(io->context, path, HL_IO_READ);
    if (file < 0)
        return hl_io_error(error, file, path, "open");
    const int64_t got = hl_io_read_all(io, file, block, sizeof block, 0);
    io->close(io->context, file);
    if (got < 0)
        return hl_io_error(error, got, path, "read");
    if (got < (int64_t)sizeof block)
        return hl_error_set(error, HL_DAMAGED, "%s: shorter than a segment's header", path);
    return hl_segment_header_decode(block, path, ret_header, error);
}

/* Headers and links of all segments; with `salvage` only the newest must be sound. */
static hl_status check_headers(const hl_io *io, const char *directory, const hl_segment_name *names,
                               size_t count, hl_damage_policy policy, hl_segment_header *ret_newest,
                               hl_error *error)
{
    char path[HL_JOURNAL_PATH_SIZE];
    for (size_t i = 0; i < count; i++) {
        hl_status status = hl_segment_path(directory, names[i], path, error);
        hl_segment_header header;
        if (status == HL_OK)
            status = read_segment_header(io, path, &header, error);
        if (status == HL_OK)
            status = check_link(&header, path, names[i], i > 0 ? &names[i - 1] : NULL, error);
        const bool forgiven = status == HL_DAMAGED && policy == HL_DAMAGE_SALVAGE && i + 1 < count;
        if (status != HL_OK && !forgiven)
            return status;
        if (i + 1 == count)
            *ret_newest = header;
    }
    return HL_OK;
}

static hl_status index_record(void *context, const void *record, uint32_t length, uint64_t offset)
{
    (void)length;
    hl_index *const index = context;
    hl_record_word word;
    memcpy(&word, record, sizeof word);
    const hl_record_kind kind = hl_record_kind_of(word);
    if (kind == HL_RECORD_EVENT)
        hl_index_add_event(index, record, offset);
    else if (kind == HL_RECORD_DICTIONARY && hl_index_has_room(index))
        hl_index_add_dictionary(index, offset);
    return HL_OK;
}

/* Writes [from, to) once more as it is: after a failed sync the page cache may hold as clean what
 * the disk never got. */
static int write_again(const repair *this, uint8_t *copy, uint64_t from, uint64_t to)
{
    while (from < to) {
        const size_t size = to - from < COPY_SIZE ? (size_t)(to - from) : COPY_SIZE;
        const int64_t got = hl_io_read_all(this->io, this->file, copy, size, from);
        if (got < 0)
            return (int)got;
        if (got == 0)
            return -EIO;
        const int result = hl_io_write_all(this->io, this->file, copy, (size_t)got, from, NULL);
        if (result < 0)
            return result;
        from += (uint64_t)got;
    }
    return 0;
}

static int write_zeros(const repair *this, uint8_t *copy, uint64_t from, uint64_t size)
{
    memset(copy, 0, COPY_SIZE);
    while (size > 0) {
        const size_t step = size < COPY_SIZE ? (size_t)size : COPY_SIZE;
        const int result = hl_io_write_all(this->io, this->file, copy, step, from, NULL);
        if (result < 0)
            return result;
        from += step;
        size -= step;
    }
    return 0;
}

/* What is whole up to `end` made durable, `torn` bytes behind it zeroed, before anything is
 * appended. */
static hl_status settle(const repair *this, uint64_t end, uint64_t torn, hl_error *error)
{
    uint8_t *const copy = hl_allocate(1, COPY_SIZE);
    if (copy == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "%s: out of memory", this->walk->path);
    int result = write_again(this, copy, this->findings->durable_offset, end);
    if (result == 0)
        result = write_zeros(this, copy, end, torn);
    free(copy);
    if (result == 0 && this->findings->sealed)
        result = this->io->truncate(this->io->context, this->file, end);
    if (result < 0)
        return hl_io_error(error, result, this->walk->path, "write");
    result = this->io->sync(this->io->context, this->file);
    return result < 0 ? hl_io_error(error, result, this->walk->path, "sync") : HL_OK;
}

static hl_status seal(repair *this, hl_error *error)
{
    const hl_segment_findings *const findings = this->findings;
    uint8_t *const buffer = hl_allocate(1, hl_seal_length(&this->index));
    if (buffer == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "%s: out of memory", this->walk->path);
    this->index.footer.groups = findings->groups;
    this->index.footer.gaps = findings->gaps;
    const hl_seal how = {.io = this->io,
                         .file = this->file,
                         .path = this->walk->path,
                         .salt = this->walk->header.salt,
                         .offset = findings->records_end,
                         .durable_sequence = findings->next_sequence - 1,
                         .next_sequence = findings->next_sequence,
                         .reserved_through = findings->reserved_through,
                         .now_ns = this->io->now(this->io->context),
                         .flags =
                             HL_FOOTER_RECOVERED | (findings->damages > 0 ? HL_FOOTER_DAMAGED : 0),
                         .index = &this->index,
                         .buffer = buffer};
    const hl_status status = hl_seal_write(&how, error);
    free(buffer);
    return status;
}

static hl_status mend(repair *this, hl_error *error)
{
    this->file = this->io->open(this->io->context, this->walk->path, HL_IO_WRITE);
    if (this->file < 0)
        return hl_io_error(error, this->file, this->walk->path, "open for writing");
    hl_status status;
    if (this->findings->sealed) {
        /* Whole as it looks, the process may have ended before its sync. */
        status = settle(this, this->findings->sealed_size, 0, error);
    } else {
        status = settle(this, this->findings->records_end, this->findings->torn_bytes, error);
        if (status == HL_OK)
            status = seal(this, error);
    }
    this->io->close(this->io->context, this->file);
    return status;
}

static hl_status refuse_damage(const hl_segment_walk *walk, const hl_segment_findings *findings,
                               hl_error *error)
{
    const hl_damaged_range *const first = &findings->damaged[0];
    char lost[96] = "no event lost";
    if (first->first_sequence != 0)
        snprintf(lost, sizeof lost, "sequences %" PRIu64 " to %" PRIu64 " lost",
                 first->first_sequence, first->last_sequence);
    return hl_error_set(error, HL_DAMAGED,
                        "%s: damaged at byte %" PRIu64 ", %" PRIu64 " bytes (%s; %s), %" PRIu64
                        " places in all; bring it back from a copy, or open it to salvage",
                        walk->path, first->offset, first->size,
                        hl_record_verdict_text(first->verdict), lost, findings->damages);
}

static hl_status refuse_missing(const hl_segment_walk *walk, hl_error *error)
{
    return hl_error_set(error, HL_DAMAGED,
                        "%s: the segment that follows it is missing; bring it back from a copy, or "
                        "open it to salvage",
                        walk->path);
}

bool hl_journal_has_spare(const hl_io *io, const char *directory)
{
    char path[HL_JOURNAL_PATH_SIZE];
    if (snprintf(path, sizeof path, "%s/%s", directory, HL_SEGMENT_SPARE) >= (int)sizeof path)
        return true;
    const int file = io->open(io->context, path, HL_IO_READ);
    if (file >= 0)
        io->close(io->context, file);
    return file != -ENOENT;
}

static hl_status recover_newest(const hl_io *io, const char *directory, hl_segment_walk *walk,
                                hl_damage_policy policy, hl_recovery *recovery, hl_error *error)
{
    hl_segment_findings *const findings = &recovery->findings;
    repair this = {.io = io, .walk = walk, .findings = findings};
    const uint64_t size =
        walk->file_size > walk->header.size_limit ? walk->file_size : walk->header.size_limit;
    if (!hl_index_init(&this.index, size, DICTIONARY_LIMIT))
        return hl_error_set(error, HL_NO_MEMORY, "%s: out of memory", walk->path);
    const hl_examine_options options = {
        .is_last = true, .each = index_record, .context = &this.index};
    hl_status status = hl_segment_examine(walk, &options, findings, error);
    if (status == HL_OK && findings->damages > 0 && policy == HL_DAMAGE_STRICT)
        status = refuse_damage(walk, findings, error);
    if (status == HL_OK && findings->has_next && !hl_journal_has_spare(io, directory)) {
        findings->damages++;
        if (policy == HL_DAMAGE_STRICT)
            status = refuse_missing(walk, error);
    }
    if (status == HL_OK)
        status = mend(&this, error);
    hl_index_free(&this.index);
    return status;
}

/* The result, by what was found in the newest segment. */
static void conclude(hl_recovery *recovery)
{
    const hl_segment_findings *const findings = &recovery->findings;
    const uint64_t last = findings->next_sequence - 1;
    recovery->torn_bytes = findings->torn_bytes;
    recovery->reserved_through = findings->reserved_through;
    recovery->was_clean = findings->sealed && (findings->footer_flags & HL_FOOTER_CLEAN) != 0;
    recovery->last_sequence = findings->next_sequence > recovery->newest_header.first_sequence
                                  ? last
                                  : recovery->newest_header.previous_last_sequence;
    /* After a clean end no sequence beyond the last was given out. One that holds nothing is then
     * replaced by the next, which has its name; but not where there was damage in it. */
    const bool keeps_name = findings->damages > 0 && last < recovery->newest_header.first_sequence;
    const uint64_t reserved = findings->reserved_through > last ? findings->reserved_through : last;
    recovery->next_sequence = (recovery->was_clean && !keeps_name ? last : reserved) + 1;
}

/* What was to be the next segment. Not where the newest says that one follows: there it says that
 * this one is not missing, until the next one has its name. */
static hl_status remove_spare(const hl_io *io, const char *directory, hl_error *error)
{
    char path[HL_JOURNAL_PATH_SIZE];
    if (snprintf(path, sizeof path, "%s/%s", directory, HL_SEGMENT_SPARE) >= (int)sizeof path)
        return hl_error_set(error, HL_INVALID, "%.200s...: the path is too long", directory);
    const int result = io->unlink(io->context, path);
    return result < 0 && result != -ENOENT
               ? hl_io_error(error, result, path, "remove the half-made segment")
               : HL_OK;
}

hl_status hl_journal_recover(const hl_io *io, const char *directory, hl_damage_policy policy,
                             hl_recovery *ret_recovery, hl_error *error)
{
    char path[HL_JOURNAL_PATH_SIZE];
    /* The names that are there may be so in memory only: the next segment's header will say that it
     * follows one of them. */
    const int result = io->sync_directory(io->context, directory);
    if (result < 0)
        return hl_io_error(error, result, directory, "sync the directory");
    hl_segment_name *names = NULL;
    hl_recovery recovery = {.was_clean = true, .next_sequence = 1};
    hl_status status = hl_segment_list(io, directory, &names, &recovery.segments, error);
    if (status != HL_OK)
        return status;
    if (recovery.segments > 0) {
        recovery.newest = names[recovery.segments - 1];
        status = check_headers(io, directory, names, recovery.segments, policy,
                               &recovery.newest_header, error);
        if (status == HL_OK)
            status = hl_segment_path(directory, recovery.newest, path, error);
        if (status == HL_OK &&
            (recovery.newest_header.flags & (HL_SEGMENT_ENCRYPTED | HL_SEGMENT_COMPRESSED)) != 0)
            status = hl_error_set(error, HL_UNSUPPORTED,
                                  "%s: the newest segment must be neither encrypted nor "
                                  "compressed; give it back its plain form",
                                  path);
        hl_segment_walk *const walk = status == HL_OK ? malloc(sizeof *walk) : NULL;
        if (status == HL_OK)
            status = walk == NULL ? hl_error_set(error, HL_NO_MEMORY, "%s: out of memory", path)
                                  : hl_segment_walk_open(walk, io, path, error);
        if (status == HL_OK) {
            status = recover_newest(io, directory, walk, policy, &recovery, error);
            hl_segment_walk_close(walk);
            conclude(&recovery);
        }
        free(walk);
    }
    free(names);
    if (status == HL_OK && !recovery.findings.has_next)
        status = remove_spare(io, directory, error);
    if (status == HL_OK)
        *ret_recovery = recovery;
    return status;
}
