#include "journal/verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "journal/audit.h"
#include "journal/cursor.h"
#include "journal/examine.h"
#include "journal/packed.h"
#include "journal/recover.h"
#include "journal/snapshot.h"
#include "journal/tail.h"

typedef struct verification {
    const hl_io *io;
    hl_packed_io *packed;
    const hl_io *unpacked;
    const hl_journal_keys *keys;
    const hl_verify_visitor *visitor;
    uint64_t damages;
    hl_verified_partition *partition; /* the one looked at */
    uint64_t told_sequence;           /* by its writer, where one lives; else UINT64_MAX */
    char directory[HL_JOURNAL_PATH_SIZE];
    hl_error *error;
} verification;

/* The segment before, as far as it is known. */
typedef struct chain {
    bool known;
    uint64_t first_sequence;
    uint64_t last_sequence; /* that the next one must name */
    bool has_next;          /* it says that one follows */
    uint64_t number;
} chain;

static void tell(verification *this, const hl_verified_damage *damage)
{
    this->damages++;
    if (this->partition != NULL)
        this->partition->damages++;
    if (this->visitor->damage != NULL)
        this->visitor->damage(this->visitor->context, damage);
}

static void tell_about(verification *this, const char *path, const char *what)
{
    const hl_verified_damage damage = {.path = path, .what = what};
    tell(this, &damage);
}

static void tell_ranges(verification *this, const char *path, const hl_segment_findings *findings)
{
    const uint64_t kept =
        findings->damages < HL_DAMAGED_RANGES ? findings->damages : HL_DAMAGED_RANGES;
    for (uint64_t i = 0; i < kept; i++) {
        const hl_damaged_range *const range = &findings->damaged[i];
        const hl_verified_damage damage = {.path = path,
                                           .offset = range->offset,
                                           .size = range->size,
                                           .first_sequence = range->first_sequence,
                                           .last_sequence = range->last_sequence,
                                           .what = hl_record_verdict_text(range->verdict)};
        tell(this, &damage);
    }
    if (findings->damages > kept)
        tell_about(this, path, "and more places than are listed");
}

static void check_link(verification *this, const hl_segment_walk *walk, hl_segment_name name,
                       const chain *before)
{
    const hl_segment_header *const header = &walk->header;
    if (header->first_sequence != name.first_sequence || header->day != name.day ||
        strcmp(header->domain, this->partition->name.domain) != 0 ||
        header->shard != this->partition->name.shard)
        tell_about(this, walk->path, "its name and its header do not agree: was it renamed?");
    if (!before->known)
        return;
    if (header->previous_first_sequence != before->first_sequence ||
        header->number != before->number + 1) {
        tell_about(this, walk->path, "the segment before it is missing");
        return;
    }
    if (header->previous_last_sequence != before->last_sequence) {
        const hl_verified_damage damage = {
            .path = walk->path,
            .first_sequence = before->last_sequence + 1,
            .last_sequence = header->previous_last_sequence,
            .what = "the end of the segment before it is missing, or too much of it is there"};
        tell(this, &damage);
    } else if (header->first_sequence != before->last_sequence + 1 &&
               (header->flags & HL_SEGMENT_AFTER_CRASH) == 0) {
        tell_about(this, walk->path, "sequences before it are missing");
    }
}

static void add_findings(hl_verified_partition *partition, const hl_segment_findings *findings)
{
    partition->records += findings->events;
    partition->gaps += findings->gaps;
    partition->payload_bytes += findings->payload_bytes;
    partition->torn_bytes += findings->torn_bytes;
    if (findings->events == 0)
        return;
    if (partition->first_sequence == 0) {
        partition->first_sequence = findings->first_sequence;
        partition->first_ns = findings->first_ns;
    }
    if (findings->first_ns < partition->first_ns)
        partition->first_ns = findings->first_ns;
    if (findings->last_ns > partition->last_ns)
        partition->last_ns = findings->last_ns;
    partition->last_sequence = findings->last_sequence;
}

/* What the partition's writer has told readers of must have been written, in the newest segment
 * that there was then or a later one. */
static void check_told(verification *this, const hl_segment_walk *walk,
                       const hl_segment_findings *findings)
{
    if (!this->partition->being_written || findings->next_sequence > this->told_sequence)
        return;
    const hl_verified_damage damage = {
        .path = walk->path,
        .offset = findings->records_end,
        .first_sequence = findings->next_sequence,
        .last_sequence = this->told_sequence,
        .what = "its writer, who is at work, has told readers of sequences that are not there"};
    tell(this, &damage);
}

/* The newest segment is sealed as one that another follows. A crash before that had its name has
 * left it half-made (recover.h); a writer may have named it since the list was read. */
static bool next_is_missing(const verification *this, const char *directory, hl_segment_name newest)
{
    hl_segment_name *names = NULL;
    size_t count = 0;
    if (hl_journal_has_spare(this->io, directory) ||
        hl_segment_list(this->io, directory, &names, &count, NULL) != HL_OK)
        return false;
    const bool is_there = count > 0 && names[count - 1].first_sequence > newest.first_sequence;
    free(names);
    return !is_there;
}

static hl_status examine(verification *this, hl_segment_walk *walk, bool is_last, chain *after)
{
    const uint64_t damaged_frames = hl_packed_io_damage(this->packed, NULL);
    const hl_examine_options options = {.is_last = is_last,
                                        .is_being_written =
                                            is_last && this->partition->being_written,
                                        .told_sequence = this->told_sequence};
    hl_segment_findings findings = {0};
    const hl_status status = hl_segment_examine(walk, &options, &findings, this->error);
    if (status != HL_OK)
        return status;
    tell_ranges(this, walk->path, &findings);
    if (hl_packed_io_damage(this->packed, NULL) > damaged_frames) {
        hl_error frame;
        hl_packed_io_damage(this->packed, &frame);
        tell_about(this, walk->path, frame.text);
    }
    if (!is_last && !findings.sealed && findings.damages == 0)
        tell_about(this, walk->path, "it has no end: its footer is missing");
    if (findings.footer_lie != NULL && findings.damages == 0)
        tell_about(this, walk->path, findings.footer_lie);
    if (findings.sealed && !findings.finished && !is_last)
        tell_about(this, walk->path, "there is something behind its end");
    if (is_last && findings.damages == 0)
        check_told(this, walk, &findings);
    add_findings(this->partition, &findings);
    this->partition->bytes += walk->file_size;
    this->partition->packed_segments += hl_segment_is_packed(&walk->header);
    this->partition->clean = findings.sealed && (findings.footer_flags & HL_FOOTER_CLEAN) != 0;
    /* One that was begun after a crash and has held nothing: the last is still that before it. */
    const bool is_empty = findings.next_sequence == walk->header.first_sequence;
    *after = (chain){.known = true,
                     .first_sequence = walk->header.first_sequence,
                     .last_sequence = is_empty ? walk->header.previous_last_sequence
                                               : findings.next_sequence - 1,
                     .has_next = findings.has_next,
                     .number = walk->header.number};
    return HL_OK;
}

static hl_status verify_segment(verification *this, const char *directory, hl_segment_name name,
                                bool is_last, chain *chained)
{
    char path[HL_JOURNAL_PATH_SIZE];
    hl_segment_walk walk;
    hl_error why = {0};
    hl_status status = hl_segment_path(directory, name, path, this->error);
    if (status != HL_OK)
        return status;
    status = hl_segment_walk_open(&walk, this->unpacked, path, &why);
    this->partition->segments++;
    if (status != HL_OK) {
        hl_packed_io_take_error(this->packed, &why);
        chained->known = false;
        if (why.status != HL_DAMAGED)
            return hl_error_set(this->error, why.status, "%s", why.text);
        const size_t place = strlen(path) + 2; /* "PATH: " */
        tell_about(this, path, strlen(why.text) > place ? why.text + place : why.text);
        return HL_OK;
    }
    check_link(this, &walk, name, chained);
    status = examine(this, &walk, is_last, chained);
    if (status == HL_OK && is_last && chained->has_next && next_is_missing(this, directory, name))
        tell_about(this, path, "the segment that follows it is missing");
    hl_segment_walk_close(&walk);
    return status;
}

static hl_status verify_partition(verification *this, const hl_partition_directory *name)
{
    char directory[HL_JOURNAL_PATH_SIZE + HL_PARTITION_DIRECTORY_SIZE];
    hl_segment_name *names = NULL;
    size_t count = 0;
    hl_verified_partition partition = {.name = *name, .clean = true};
    chain chained = {0};
    snprintf(directory, sizeof directory, "%s/%s", this->directory, name->text);
    /* Before the list: the segment that holds what was told of is then in it. */
    hl_tail_view tail;
    hl_tail_view_init(&tail, directory);
    this->told_sequence = hl_tail_view_limit(&tail);
    partition.being_written = this->told_sequence != UINT64_MAX;
    hl_tail_view_close(&tail);
    hl_status status = hl_segment_list(this->io, directory, &names, &count, this->error);
    this->partition = &partition;
    for (size_t i = 0; status == HL_OK && i < count; i++)
        status = verify_segment(this, directory, names[i], i + 1 == count, &chained);
    free(names);
    this->partition = NULL;
    if (status == HL_OK && this->visitor->partition != NULL)
        this->visitor->partition(this->visitor->context, &partition);
    return status;
}

static hl_status see_snapshot(void *context, const char *path, const hl_snapshot *snapshot)
{
    const verification *const this = context;
    const hl_crypt_key *key; /* that it was looked at with, where it is there */
    if (snapshot == NULL)
        tell_about(context, path, "the snapshot is damaged");
    return snapshot == NULL || snapshot->key_id == 0
               ? HL_OK
               : hl_crypt_find(this->keys, snapshot->key_id, path, &key, this->error);
}

static int see_cursor(void *argument, const char *name)
{
    verification *const this = argument;
    hl_cursor_position *positions = NULL;
    size_t count;
    char path[HL_JOURNAL_PATH_SIZE + 128];
    if (hl_cursor_check_name(name, NULL) == HL_OK &&
        hl_cursor_load(this->io, this->directory, name, &positions, &count, NULL) == HL_DAMAGED) {
        snprintf(path, sizeof path, "%s/" HL_CURSOR_DIRECTORY "/%s", this->directory, name);
        tell_about(this, path, "the cursor is damaged");
    }
    free(positions);
    return 0;
}

static hl_status verify_the_rest(verification *this)
{
    char path[HL_JOURNAL_PATH_SIZE + 32], what[80];
    hl_audit_findings audit = {0};
    snprintf(path, sizeof path, "%s/" HL_CURSOR_DIRECTORY, this->directory);
    this->io->list(this->io->context, path, see_cursor, this);
    hl_status status =
        hl_snapshot_each(this->io, this->directory, this->keys, see_snapshot, this, this->error);
    if (status == HL_OK)
        status = hl_audit_verify(this->io, this->directory, &audit, this->error);
    if (audit.bad_lines > 0) {
        snprintf(path, sizeof path, "%s/" HL_AUDIT_NAME, this->directory);
        snprintf(what, sizeof what,
                 "%" PRIu64 " lines with a wrong CRC, the first is line %" PRIu64, audit.bad_lines,
                 audit.first_bad_line);
        tell_about(this, path, what);
    }
    return status;
}

hl_status hl_journal_verify(const hl_io *io, const hl_verify_options *options,
                            const hl_verify_visitor *visitor, uint64_t *ret_damages,
                            hl_error *error)
{
    hl_partition_directory *names = NULL;
    size_t count = 0;
    verification this = {.io = io, .visitor = visitor, .keys = options->keys, .error = error};
    if (strlen(options->directory) >= sizeof this.directory - HL_PARTITION_DIRECTORY_SIZE)
        return hl_error_set(error, HL_INVALID, "%.200s...: the path is longer than %u bytes",
                            options->directory, HL_JOURNAL_PATH_SIZE);
    strcpy(this.directory, options->directory);
    hl_status status =
        hl_partition_list(io, options->directory, options->partition, &names, &count, error);
    if (status != HL_OK)
        return status;
    this.packed = hl_packed_io_create(io, options->keys);
    if (this.packed == NULL) {
        free(names);
        return hl_error_set(error, HL_NO_MEMORY, "%s: out of memory", options->directory);
    }
    this.unpacked = hl_packed_io_table(this.packed);
    for (size_t i = 0; status == HL_OK && i < count; i++)
        status = verify_partition(&this, &names[i]);
    if (status == HL_OK && options->partition == NULL)
        status = verify_the_rest(&this);
    hl_packed_io_free(this.packed);
    free(names);
    if (status == HL_OK)
        *ret_damages = this.damages;
    return status;
}
