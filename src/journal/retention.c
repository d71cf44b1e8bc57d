#include "journal/retention.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "journal/audit.h"
#include "journal/snapshot.h"

#define PACK_LOCK_NAME "pack.lock"

/* A segment of any of the partitions. */
typedef struct kept {
    hl_segment_name name;
    size_t partition;
    char path[HL_JOURNAL_PATH_SIZE];
    uint64_t bytes;
    uint64_t until_ns; /* nothing in it is younger; UINT64_MAX: not known */
    bool packed;
    bool not_packed; /* it was tried in vain */
    bool newest;
    bool gone;
} kept;

/* Who still needs a partition from a sequence on. */
typedef struct need {
    uint64_t sequence; /* UINT64_MAX: nobody */
    char who[HL_CURSOR_NAME_SIZE + 16];
} need;

typedef struct keeping {
    const hl_io *io;
    const hl_retention_options *options;
    hl_retention_result *result;
    hl_partition_directory *partitions;
    need *needs; /* of each partition */
    bool *saved; /* by options->states: it has a whole snapshot */
    size_t partition_count;
    kept *segments; /* by partition, then sequence */
    size_t segment_count;
    uint64_t total_bytes;
    bool ended; /* options->goes_on said so */
    hl_error *error;
} keeping;

/* Whether the next file may be turned to. */
static bool goes_on(keeping *this)
{
    const hl_retention_options *const options = this->options;
    this->ended |= options->goes_on != NULL && !options->goes_on(options->context);
    return !this->ended;
}

/* ---- who needs what ---- */

static void add_need(keeping *this, const char *kind, const char *name,
                     const hl_cursor_position *position)
{
    for (size_t i = 0; i < this->partition_count; i++)
        if (strcmp(this->partitions[i].text, position->partition) == 0 &&
            position->next_sequence < this->needs[i].sequence) {
            this->needs[i].sequence = position->next_sequence;
            snprintf(this->needs[i].who, sizeof this->needs[i].who, "%s %s", kind, name);
        }
}

static hl_status add_cursor(void *context, const char *name, const hl_cursor_position *positions,
                            size_t count)
{
    for (size_t i = 0; i < count; i++)
        add_need(context, "cursor", name, &positions[i]);
    return HL_OK;
}

static hl_status add_snapshot(void *context, const char *path, const hl_snapshot *snapshot)
{
    keeping *const this = context;
    (void)path;
    for (uint32_t i = 0; snapshot != NULL && i < snapshot->positions_count; i++)
        add_need(this, "snapshot", snapshot->name, &snapshot->positions[i]);
    for (size_t i = 0; snapshot != NULL && i < this->options->state_count; i++)
        this->saved[i] |= strcmp(this->options->states[i].snapshot, snapshot->name) == 0;
    return HL_OK;
}

static void add_unsaved_states(keeping *this)
{
    for (size_t i = 0; i < this->options->state_count; i++) {
        const hl_retention_state *const state = &this->options->states[i];
        hl_cursor_position all = {.next_sequence = 0};
        snprintf(all.partition, sizeof all.partition, "%s", state->partition);
        if (!this->saved[i])
            add_need(this, "aggregate", state->snapshot, &all);
    }
}

static hl_status find_needs(keeping *this)
{
    this->needs = calloc(this->partition_count + 1, sizeof *this->needs);
    this->saved = calloc(this->options->state_count + 1, sizeof *this->saved);
    if (this->needs == NULL || this->saved == NULL)
        return hl_error_set(this->error, HL_NO_MEMORY, "%s: out of memory",
                            this->options->directory);
    for (size_t i = 0; i < this->partition_count; i++)
        this->needs[i].sequence = UINT64_MAX;
    hl_status status =
        hl_cursor_each(this->io, this->options->directory, add_cursor, this, this->error);
    if (status == HL_DAMAGED && this->options->force)
        status = HL_OK;
    if (status == HL_OK)
        status = hl_snapshot_each(this->io, this->options->directory, NULL, add_snapshot, this,
                                  this->error);
    if (status == HL_OK)
        add_unsaved_states(this);
    return status;
}

/* ---- what there is ---- */

/* Size, age, whether it is packed. What cannot be read is as young as can be: it stays. */
static void look_at(keeping *this, kept *segment)
{
    const hl_io *const io = this->io;
    _Alignas(8) uint8_t block[HL_JOURNAL_HEADER_SIZE];
    hl_segment_header header;
    segment->until_ns = UINT64_MAX;
    const hl_io_file file = io->open(io->context, segment->path, HL_IO_READ);
    if (file < 0)
        return;
    const int64_t size = io->size(io->context, file);
    segment->bytes = size < 0 ? 0 : (uint64_t)size;
    if (hl_io_read_all(io, file, block, sizeof block, 0) == (int64_t)sizeof block &&
        hl_segment_header_decode(block, segment->path, &header, NULL) == HL_OK) {
        segment->packed = hl_segment_is_packed(&header);
        segment->until_ns = header.created_ns; /* replaced by the next one's below */
    }
    io->close(io->context, file);
}

static hl_status list_partition(keeping *this, size_t partition)
{
    char directory[HL_JOURNAL_PATH_SIZE];
    hl_segment_name *names = NULL;
    size_t count = 0;
    snprintf(directory, sizeof directory, "%.3900s/%s", this->options->directory,
             this->partitions[partition].text);
    const hl_status status = hl_segment_list(this->io, directory, &names, &count, this->error);
    if (status != HL_OK)
        return status;
    kept *const segments =
        realloc(this->segments, (this->segment_count + count + 1) * sizeof *segments);
    if (segments == NULL) {
        free(names);
        return hl_error_set(this->error, HL_NO_MEMORY, "%s: out of memory", directory);
    }
    this->segments = segments;
    for (size_t i = 0; i < count && goes_on(this); i++) {
        kept *const segment = &segments[this->segment_count++];
        *segment = (kept){.name = names[i], .partition = partition, .newest = i + 1 == count};
        hl_segment_path(directory, names[i], segment->path, NULL);
        look_at(this, segment);
        this->total_bytes += segment->bytes;
        /* All of a segment was written before the next one was begun. That one's header may have
         * been made a little ahead: a day's rotation is what ages are about, not that. */
        if (i > 0)
            segment[-1].until_ns = segment->until_ns;
    }
    free(names);
    return HL_OK;
}

/* ---- removing ---- */

static void tell(keeping *this, hl_retention_action action, const kept *segment, uint64_t after,
                 hl_status status, const char *detail)
{
    const hl_retention_step step = {.action = action,
                                    .partition = this->partitions[segment->partition].text,
                                    .path = segment->path,
                                    .bytes_before = segment->bytes,
                                    .bytes_after = after,
                                    .status = status,
                                    .detail = detail};
    if (this->options->told != NULL)
        this->options->told(this->options->context, &step);
}

/* The next segment of its partition: there is one, for the newest is never asked about. */
static bool is_needed(const keeping *this, const kept *segment)
{
    return segment[1].name.first_sequence > this->needs[segment->partition].sequence;
}

static hl_status remove_segment(keeping *this, kept *segment, const char *why)
{
    const hl_io *const io = this->io;
    const bool needed = is_needed(this, segment);
    char detail[512];
    snprintf(detail, sizeof detail, "%.300s: %s%s%s", segment->path, why,
             needed ? "; forced, though needed by " : "",
             needed ? this->needs[segment->partition].who : "");
    if (!this->options->dry_run) {
        /* Said before it is done: a removal without a line must not be possible. */
        const hl_status status =
            hl_audit_add(io, this->options->directory, "remove", detail, this->error);
        if (status != HL_OK)
            return status;
        const int result = io->unlink(io->context, segment->path);
        if (result < 0 && result != -ENOENT)
            return hl_io_error(this->error, result, segment->path, "remove");
        char directory[HL_JOURNAL_PATH_SIZE];
        strcpy(directory, segment->path);
        *strrchr(directory, '/') = '\0';
        const int synced = io->sync_directory(io->context, directory);
        if (synced < 0)
            return hl_io_error(this->error, synced, directory, "sync the directory");
    }
    segment->gone = true;
    this->total_bytes -= segment->bytes;
    this->result->removed++;
    tell(this, needed ? HL_RETENTION_REMOVED_NEEDED : HL_RETENTION_REMOVED, segment, 0, HL_OK,
         needed ? this->needs[segment->partition].who : why);
    return HL_OK;
}

static bool hold(keeping *this, const kept *segment)
{
    if (!is_needed(this, segment) || this->options->force)
        return false;
    this->result->held++;
    tell(this, HL_RETENTION_HELD, segment, 0, HL_OK, this->needs[segment->partition].who);
    return true;
}

static hl_status remove_by_age(keeping *this, uint64_t now_ns)
{
    bool stopped = false; /* in this partition: what is behind one that stays, stays */
    for (size_t i = 0; i < this->segment_count; i++) {
        kept *const segment = &this->segments[i];
        if (i == 0 || segment->partition != segment[-1].partition)
            stopped = false;
        if (stopped || segment->newest || segment->until_ns > now_ns ||
            now_ns - segment->until_ns < this->options->keep_ns || hold(this, segment)) {
            stopped = true;
            continue;
        }
        if (!goes_on(this))
            return HL_OK;
        const hl_status status = remove_segment(this, segment, "older than the limit");
        if (status != HL_OK)
            return status;
    }
    return HL_OK;
}

/* The oldest segment that is the first of its partition and may go; NULL: none. */
static kept *oldest_to_remove(keeping *this, const bool *stopped)
{
    kept *oldest = NULL;
    for (size_t i = 0; i < this->segment_count; i++) {
        kept *const segment = &this->segments[i];
        const bool first =
            i == 0 || segment->partition != segment[-1].partition || segment[-1].gone;
        if (segment->gone || !first || segment->newest || stopped[segment->partition])
            continue;
        if (oldest == NULL || segment->until_ns < oldest->until_ns)
            oldest = segment;
    }
    return oldest;
}

static hl_status remove_by_size(keeping *this)
{
    bool *const stopped = calloc(this->partition_count + 1, sizeof *stopped);
    hl_status status = stopped == NULL ? hl_error_set(this->error, HL_NO_MEMORY,
                                                      "%s: out of memory", this->options->directory)
                                       : HL_OK;
    while (status == HL_OK && this->total_bytes > this->options->keep_bytes) {
        kept *const segment = oldest_to_remove(this, stopped);
        if (segment == NULL || !goes_on(this))
            break;
        if (hold(this, segment))
            stopped[segment->partition] = true;
        else
            status = remove_segment(this, segment, "the journal is larger than the limit");
    }
    free(stopped);
    return status;
}

/* ---- packing ---- */

/* Packed: told and written to the audit log. */
static hl_status count_packed(keeping *this, kept *segment, const hl_pack_result *packed,
                              hl_error *error)
{
    char detail[512];
    tell(this, HL_RETENTION_PACKED, segment, packed->packed_bytes, HL_OK, "");
    this->result->packed++;
    this->total_bytes -= segment->bytes;
    this->total_bytes += packed->packed_bytes;
    segment->bytes = packed->packed_bytes;
    segment->packed = true;
    if (this->options->dry_run)
        return HL_OK;
    snprintf(detail, sizeof detail, "%.300s: %" PRIu64 " bytes to %" PRIu64 "%s", segment->path,
             packed->plain_bytes, packed->packed_bytes,
             this->options->keys != NULL ? ", encrypted" : "");
    return hl_audit_add(this->io, this->options->directory, "pack", detail, error);
}

static void look_again(keeping *this, kept *segment)
{
    const uint64_t until_ns = segment->until_ns;
    this->total_bytes -= segment->bytes;
    look_at(this, segment);
    this->total_bytes += segment->bytes;
    segment->until_ns = until_ns;
    segment->packed = true;
}

static hl_status pack(keeping *this, kept *segment, hl_error *error)
{
    const hl_io *const io = this->io;
    const hl_retention_options *const options = this->options;
    const hl_pack_options packing = {.compress = options->compress,
                                     .level = options->level,
                                     .keys = options->keys,
                                     .goes_on = options->goes_on,
                                     .context = options->context};
    char directory[HL_JOURNAL_PATH_SIZE];
    hl_pack_result packed = {segment->bytes, segment->bytes};
    strcpy(directory, segment->path);
    char *const slash = strrchr(directory, '/');
    *slash = '\0';
    if (options->dry_run)
        return count_packed(this, segment, &packed, error);
    /* The newest may have got its name a moment ago. If that were lost with the power, this one
     * would be the newest, which its writer must find plain. */
    const int synced = io->sync_directory(io->context, directory);
    if (synced < 0)
        return hl_io_error(error, synced, directory, "sync the directory");
    const hl_status status = hl_segment_pack(io, directory, slash + 1, &packing, &packed, error);
    switch (status) {
    case HL_OK:
        return count_packed(this, segment, &packed, error);
    case HL_TIMEOUT:
        this->ended = true;
        return HL_OK;
    case HL_EXISTS: /* by another, since we looked */
        look_again(this, segment);
        return HL_OK;
    case HL_WRONG_STATE:
    case HL_NOT_FOUND:
    case HL_DAMAGED:
    case HL_SYSTEM: /* this file's, as far as one can tell: others may do better */
        segment->not_packed = true;
        tell(this, HL_RETENTION_NOT_PACKED, segment, segment->bytes, status, error->text);
        return status == HL_SYSTEM ? status : HL_OK;
    default:
        return status;
    }
}

/* The oldest that is to be packed; NULL: none. */
static kept *oldest_to_pack(const keeping *this)
{
    kept *oldest = NULL;
    for (size_t i = 0; i < this->segment_count; i++) {
        kept *const segment = &this->segments[i];
        if (!segment->gone && !segment->newest && !segment->packed && !segment->not_packed &&
            (oldest == NULL || segment->until_ns < oldest->until_ns))
            oldest = segment;
    }
    return oldest;
}

/* When the segment may be packed; UINT64_MAX: that is not known. */
static uint64_t pack_due(const keeping *this, const kept *segment)
{
    const uint64_t after_ns = this->options->pack_after_ns;
    if (after_ns == 0)
        return 0;
    return segment->until_ns < UINT64_MAX - after_ns ? segment->until_ns + after_ns : UINT64_MAX;
}

static hl_status pack_all(keeping *this, uint64_t now_ns, hl_error *error)
{
    const hl_io *const io = this->io;
    const uint64_t for_ns = this->options->pack_for_ns;
    const uint64_t began_ns = io->ticks(io->context);
    hl_status first = HL_OK;
    kept *segment;
    while ((segment = oldest_to_pack(this)) != NULL) {
        hl_error why;
        this->result->pack_due_ns = pack_due(this, segment);
        if (this->result->pack_due_ns > now_ns || !goes_on(this))
            return first;
        const hl_status status = pack(this, segment, &why);
        if (status != HL_OK && first == HL_OK) {
            first = status;
            *error = why;
        }
        if (this->ended || (status != HL_OK && !segment->not_packed) ||
            (for_ns != 0 && io->ticks(io->context) - began_ns >= for_ns))
            return first;
    }
    this->result->pack_due_ns = UINT64_MAX;
    return first;
}

/* ---- one at a time ---- */

static hl_status take_pack_lock(const keeping *this, hl_io_file *ret_lock, hl_error *error)
{
    const hl_io *const io = this->io;
    const uint64_t began_ns = io->ticks(io->context);
    char path[HL_JOURNAL_PATH_SIZE];
    hl_io_owner owner = {0};
    snprintf(path, sizeof path, "%.4000s/" PACK_LOCK_NAME, this->options->directory);
    for (;;) {
        const int held = io->lock(io->context, path, &owner);
        if (held >= 0) {
            *ret_lock = held;
            return HL_OK;
        }
        if (held != -EWOULDBLOCK)
            return hl_io_error(error, held, path, "lock");
        if (io->ticks(io->context) - began_ns >= this->options->pack_wait_ns)
            return hl_error_set(error, HL_LOCKED,
                                "%s: process %" PRId64 " packs this journal: let it end", path,
                                owner.pid);
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
}

typedef struct sweeping {
    const hl_io *io;
    const char *directory;
} sweeping;

static int sweep_one(void *argument, const char *name)
{
    const sweeping *const this = argument;
    char path[HL_JOURNAL_PATH_SIZE + 256];
    const size_t length = strlen(name), end = strlen(HL_PACK_TEMPORARY);
    if (length <= end || strcmp(name + length - end, HL_PACK_TEMPORARY) != 0)
        return 0;
    snprintf(path, sizeof path, "%s/%s", this->directory, name);
    const int result = this->io->unlink(this->io->context, path);
    return result == -ENOENT ? 0 : result;
}

/* What was half packed when its packer died. Under the lock. */
static hl_status sweep(const keeping *this, hl_error *error)
{
    for (size_t i = 0; i < this->partition_count; i++) {
        char directory[HL_JOURNAL_PATH_SIZE];
        const sweeping one = {this->io, directory};
        snprintf(directory, sizeof directory, "%.3900s/%s", this->options->directory,
                 this->partitions[i].text);
        const int result =
            this->io->list(this->io->context, directory, sweep_one, (void *)(uintptr_t)&one);
        if (result < 0)
            return hl_io_error(error, result, directory, "remove what was half packed in");
    }
    return HL_OK;
}

static hl_status pack_alone(keeping *this, uint64_t now_ns, hl_error *error)
{
    const hl_io *const io = this->io;
    hl_io_file lock = -1;
    hl_status status = HL_OK;
    if (!this->options->dry_run) {
        status = take_pack_lock(this, &lock, error);
        if (status == HL_OK)
            status = sweep(this, error);
    }
    if (status == HL_OK)
        status = pack_all(this, now_ns, error);
    if (lock >= 0)
        io->unlock(io->context, lock);
    return status;
}

/* ---- all of it ---- */

static hl_status apply(keeping *this)
{
    const hl_retention_options *const options = this->options;
    const uint64_t now_ns =
        options->now_ns != 0 ? options->now_ns : this->io->now(this->io->context);
    hl_error why;
    hl_status status = hl_partition_list(this->io, options->directory, options->partition,
                                         &this->partitions, &this->partition_count, this->error);
    for (size_t i = 0; status == HL_OK && i < this->partition_count; i++)
        status = list_partition(this, i);
    this->result->bytes_before = this->result->bytes_after = this->total_bytes;
    if (status != HL_OK || this->ended)
        return status; /* what was not looked at is not known */
    status = find_needs(this);
    if (status == HL_OK && options->keep_ns != 0)
        status = remove_by_age(this, now_ns);
    if (options->pack && !this->ended)
        this->result->packing = pack_alone(this, now_ns, &why);
    if (status == HL_OK && options->keep_bytes != 0 && !this->ended)
        status = remove_by_size(this);
    this->result->bytes_after = this->total_bytes;
    if (status != HL_OK || this->result->packing == HL_OK)
        return status;
    if (this->error != NULL)
        *this->error = why;
    return this->result->packing;
}

hl_status hl_retention_apply(const hl_io *io, const hl_retention_options *options,
                             hl_retention_result *ret_result, hl_error *error)
{
    hl_retention_result result = {.pack_due_ns = UINT64_MAX};
    keeping this = {.io = io, .options = options, .result = &result, .error = error};
    const hl_status status = apply(&this);
    free(this.partitions);
    free(this.needs);
    free(this.saved);
    free(this.segments);
    *ret_result = result;
    return status;
}
