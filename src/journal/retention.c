#include "journal/retention.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "journal/audit.h"
#include "journal/pack_lock.h"
#include "journal/snapshot.h"

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
    hl_kept_segment *segments; /* by partition, then sequence */
    size_t segment_count;
    uint64_t total_bytes;
    hl_io_file lock;       /* -1: another packs, or nobody else is to be kept out */
    hl_status lock_status; /* HL_OK: it is ours, if it is needed */
    hl_error lock_error;
    bool recalls; /* what options->memory knows of segments is so */
    bool ended;   /* options->goes_on said so */
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

static void note_snapshot(keeping *this, const char *name, const hl_cursor_position *positions,
                          size_t count)
{
    for (size_t i = 0; i < count; i++)
        add_need(this, "snapshot", name, &positions[i]);
    for (size_t i = 0; i < this->options->state_count; i++)
        this->saved[i] |= strcmp(this->options->states[i].snapshot, name) == 0;
}

static bool recall_snapshot(void *context, const char *name, uint64_t sequence)
{
    keeping *const this = context;
    hl_remembered *const memory = this->options->memory;
    const hl_kept_snapshot *const one =
        memory != NULL ? hl_remembered_snapshot(memory, name, sequence) : NULL;
    if (one != NULL)
        note_snapshot(this, name, one->positions, one->position_count);
    return one != NULL;
}

static hl_status add_snapshot(void *context, const char *path, const hl_snapshot *snapshot)
{
    keeping *const this = context;
    (void)path;
    if (snapshot == NULL)
        return HL_OK;
    note_snapshot(this, snapshot->name, snapshot->positions, snapshot->positions_count);
    if (this->options->memory != NULL)
        /* Without memory it is read again the next time. */
        (void)hl_remembered_add(this->options->memory, snapshot->name, snapshot->sequence,
                                snapshot->positions, snapshot->positions_count);
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
        status = hl_snapshot_each_new(this->io, this->options->directory, NULL, recall_snapshot,
                                      add_snapshot, this, this->error);
    if (this->options->memory != NULL)
        hl_remembered_drop_unseen(this->options->memory);
    if (status == HL_OK)
        add_unsaved_states(this);
    return status;
}

/* ---- what there is ---- */

static void directory_of(const keeping *this, size_t partition, char ret_path[HL_JOURNAL_PATH_SIZE])
{
    snprintf(ret_path, HL_JOURNAL_PATH_SIZE, "%.3900s/%s", this->options->directory,
             this->partitions[partition].text);
}

static void path_of(const keeping *this, const hl_kept_segment *segment,
                    char ret_path[HL_JOURNAL_PATH_SIZE])
{
    char directory[HL_JOURNAL_PATH_SIZE];
    directory_of(this, segment->partition, directory);
    hl_segment_path(directory, segment->name, ret_path, NULL);
}

/* When nothing in it was younger than that: all of a segment was written before the next one was
 * begun. That one's header may have been made a little ahead: a day's rotation is what ages are
 * about, not that. UINT64_MAX: not known. Not of the newest. */
static uint64_t until_ns(const hl_kept_segment *segment)
{
    return segment[1].created_ns;
}

/* Size, age, whether it is packed. What cannot be read is as young as can be: it stays. */
static void look_at(keeping *this, hl_kept_segment *segment)
{
    const hl_io *const io = this->io;
    _Alignas(8) uint8_t block[HL_JOURNAL_HEADER_SIZE];
    char path[HL_JOURNAL_PATH_SIZE];
    hl_segment_header header;
    path_of(this, segment, path);
    segment->created_ns = UINT64_MAX;
    const hl_io_file file = io->open(io->context, path, HL_IO_READ);
    if (file < 0)
        return;
    const int64_t size = io->size(io->context, file);
    segment->bytes = size < 0 ? 0 : (uint64_t)size;
    if (hl_io_read_all(io, file, block, sizeof block, 0) == (int64_t)sizeof block &&
        hl_segment_header_decode(block, path, &header, NULL) == HL_OK) {
        segment->packed = hl_segment_is_packed(&header);
        segment->created_ns = header.created_ns;
    }
    io->close(io->context, file);
}

/* The segments of a partition as they were, and how far they are looked through. */
typedef struct recollection {
    const hl_kept_segment *segments;
    size_t count, at;
} recollection;

/* What was sealed at the last look has not changed. In the order of their sequences. */
static bool recall_segment(recollection *this, hl_kept_segment *segment)
{
    while (this->at < this->count &&
           this->segments[this->at].name.first_sequence < segment->name.first_sequence)
        this->at++;
    const hl_kept_segment *const one = &this->segments[this->at];
    if (this->at == this->count || one->name.first_sequence != segment->name.first_sequence ||
        one->newest || one->created_ns == UINT64_MAX)
        return false;
    segment->bytes = one->bytes;
    segment->created_ns = one->created_ns;
    segment->packed = one->packed;
    return true;
}

static hl_status list_partition(keeping *this, size_t partition)
{
    char directory[HL_JOURNAL_PATH_SIZE];
    hl_segment_name *names = NULL;
    size_t count = 0;
    directory_of(this, partition, directory);
    const hl_status status = hl_segment_list(this->io, directory, &names, &count, this->error);
    if (status != HL_OK)
        return status;
    hl_kept_segment *const segments =
        realloc(this->segments, (this->segment_count + count + 1) * sizeof *segments);
    if (segments == NULL) {
        free(names);
        return hl_error_set(this->error, HL_NO_MEMORY, "%s: out of memory", directory);
    }
    this->segments = segments;
    recollection known = {.count = 0};
    if (this->recalls)
        known.segments = hl_remembered_segments(this->options->memory,
                                                this->partitions[partition].text, &known.count);
    for (size_t i = 0; i < count && goes_on(this); i++) {
        hl_kept_segment *const segment = &segments[this->segment_count++];
        *segment =
            (hl_kept_segment){.name = names[i], .partition = partition, .newest = i + 1 == count};
        if (!recall_segment(&known, segment))
            look_at(this, segment);
        this->total_bytes += segment->bytes;
    }
    free(names);
    return HL_OK;
}

/* ---- removing ---- */

static void tell(keeping *this, hl_retention_action action, const hl_kept_segment *segment,
                 uint64_t after, hl_status status, const char *detail)
{
    char path[HL_JOURNAL_PATH_SIZE];
    path_of(this, segment, path);
    const hl_retention_step step = {.action = action,
                                    .partition = this->partitions[segment->partition].text,
                                    .path = path,
                                    .bytes_before = segment->bytes,
                                    .bytes_after = after,
                                    .status = status,
                                    .detail = detail};
    if (this->options->told != NULL)
        this->options->told(this->options->context, &step);
}

/* The next segment of its partition: there is one, for the newest is never asked about. */
static bool is_needed(const keeping *this, const hl_kept_segment *segment)
{
    return segment[1].name.first_sequence > this->needs[segment->partition].sequence;
}

static hl_status remove_segment(keeping *this, hl_kept_segment *segment, const char *why)
{
    const hl_io *const io = this->io;
    const bool needed = is_needed(this, segment);
    char path[HL_JOURNAL_PATH_SIZE], directory[HL_JOURNAL_PATH_SIZE], detail[512];
    path_of(this, segment, path);
    snprintf(detail, sizeof detail, "%.300s: %s%s%s", path, why,
             needed ? "; forced, though needed by " : "",
             needed ? this->needs[segment->partition].who : "");
    if (!this->options->dry_run) {
        /* Said before it is done: a removal without a line must not be possible. */
        const hl_status status =
            hl_audit_add(io, this->options->directory, "remove", detail, this->error);
        if (status != HL_OK)
            return status;
        const int result = io->unlink(io->context, path);
        if (result < 0 && result != -ENOENT)
            return hl_io_error(this->error, result, path, "remove");
        directory_of(this, segment->partition, directory);
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

static bool hold(keeping *this, const hl_kept_segment *segment)
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
        hl_kept_segment *const segment = &this->segments[i];
        if (i == 0 || segment->partition != segment[-1].partition)
            stopped = false;
        if (stopped || segment->newest || until_ns(segment) > now_ns ||
            now_ns - until_ns(segment) < this->options->keep_ns || hold(this, segment)) {
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
static hl_kept_segment *oldest_to_remove(keeping *this, const bool *stopped)
{
    hl_kept_segment *oldest = NULL;
    for (size_t i = 0; i < this->segment_count; i++) {
        hl_kept_segment *const segment = &this->segments[i];
        const bool first =
            i == 0 || segment->partition != segment[-1].partition || segment[-1].gone;
        if (segment->gone || !first || segment->newest || stopped[segment->partition])
            continue;
        if (oldest == NULL || until_ns(segment) < until_ns(oldest))
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
        hl_kept_segment *const segment = oldest_to_remove(this, stopped);
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
static hl_status count_packed(keeping *this, hl_kept_segment *segment, const hl_pack_result *packed,
                              hl_error *error)
{
    char path[HL_JOURNAL_PATH_SIZE], detail[512];
    tell(this, HL_RETENTION_PACKED, segment, packed->packed_bytes, HL_OK, "");
    this->result->packed++;
    this->total_bytes -= segment->bytes;
    this->total_bytes += packed->packed_bytes;
    segment->bytes = packed->packed_bytes;
    segment->packed = true;
    if (this->options->dry_run)
        return HL_OK;
    path_of(this, segment, path);
    snprintf(detail, sizeof detail, "%.300s: %" PRIu64 " bytes to %" PRIu64 "%s", path,
             packed->plain_bytes, packed->packed_bytes,
             this->options->keys != NULL ? ", encrypted" : "");
    return hl_audit_add(this->io, this->options->directory, "pack", detail, error);
}

static hl_status pack(keeping *this, hl_kept_segment *segment, hl_error *error)
{
    const hl_io *const io = this->io;
    const hl_retention_options *const options = this->options;
    const hl_pack_options packing = {.compress = options->compress,
                                     .level = options->level,
                                     .keys = options->keys,
                                     .goes_on = options->goes_on,
                                     .context = options->context};
    char directory[HL_JOURNAL_PATH_SIZE], name[HL_SEGMENT_NAME_SIZE];
    hl_pack_result packed = {segment->bytes, segment->bytes};
    directory_of(this, segment->partition, directory);
    hl_segment_name_format(segment->name, name);
    if (options->dry_run)
        return count_packed(this, segment, &packed, error);
    /* The newest may have got its name a moment ago. If that were lost with the power, this one
     * would be the newest, which its writer must find plain. */
    const int synced = io->sync_directory(io->context, directory);
    if (synced < 0)
        return hl_io_error(error, synced, directory, "sync the directory");
    const hl_status status = hl_segment_pack(io, directory, name, &packing, &packed, error);
    switch (status) {
    case HL_OK:
        return count_packed(this, segment, &packed, error);
    case HL_TIMEOUT:
        this->ended = true;
        return HL_OK;
    case HL_EXISTS: /* by somebody who heeds no lock */
        this->total_bytes -= segment->bytes;
        look_at(this, segment);
        this->total_bytes += segment->bytes;
        segment->packed = true;
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
static hl_kept_segment *oldest_to_pack(const keeping *this)
{
    hl_kept_segment *oldest = NULL;
    for (size_t i = 0; i < this->segment_count; i++) {
        hl_kept_segment *const segment = &this->segments[i];
        if (!segment->gone && !segment->newest && !segment->packed && !segment->not_packed &&
            (oldest == NULL || until_ns(segment) < until_ns(oldest)))
            oldest = segment;
    }
    return oldest;
}

/* When the segment may be packed; UINT64_MAX: that is not known. */
static uint64_t pack_due(const keeping *this, const hl_kept_segment *segment)
{
    const uint64_t after_ns = this->options->pack_after_ns;
    if (after_ns == 0)
        return 0;
    return until_ns(segment) < UINT64_MAX - after_ns ? until_ns(segment) + after_ns : UINT64_MAX;
}

static hl_status pack_all(keeping *this, uint64_t now_ns, hl_error *error)
{
    const hl_io *const io = this->io;
    const uint64_t for_ns = this->options->pack_for_ns;
    const uint64_t began_ns = io->ticks(io->context);
    hl_status first = HL_OK;
    hl_kept_segment *segment;
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

/* UINT64_MAX: that is not known. */
static uint64_t audit_bytes(const keeping *this)
{
    const hl_io *const io = this->io;
    char path[HL_JOURNAL_PATH_SIZE];
    snprintf(path, sizeof path, "%.4000s/" HL_AUDIT_NAME, this->options->directory);
    const hl_io_file file = io->open(io->context, path, HL_IO_READ);
    if (file == -ENOENT)
        return 0;
    const int64_t size = file < 0 ? file : io->size(io->context, file);
    if (file >= 0)
        io->close(io->context, file);
    return size < 0 ? UINT64_MAX : (uint64_t)size;
}

/* Keeps others from packing, where this one packs or goes by what it remembers. */
static void take_lock(keeping *this)
{
    const hl_retention_options *const options = this->options;
    if (options->dry_run || (!options->pack && options->memory == NULL))
        return;
    this->lock_status = hl_pack_lock_take(this->io, options->directory, options->pack_wait_ns,
                                          &this->lock, &this->lock_error);
    this->recalls = this->lock_status == HL_OK && options->memory != NULL &&
                    options->memory->audit_bytes != UINT64_MAX &&
                    options->memory->audit_bytes == audit_bytes(this);
}

/* The next look goes by what this one has seen, if nobody else could change it. */
static void give_back_lock(keeping *this)
{
    hl_remembered *const memory = this->options->memory;
    if (memory != NULL && !this->options->dry_run) {
        hl_remembered_keep(memory, this->partitions, this->partition_count, this->segments,
                           this->segment_count, this->lock < 0 ? UINT64_MAX : audit_bytes(this));
        this->partitions = NULL;
        this->segments = NULL;
    }
    if (this->lock >= 0)
        this->io->unlock(this->io->context, this->lock);
}

/* Removes what is half packed. */
static hl_status sweep(const keeping *this, hl_error *error)
{
    hl_status status = HL_OK;
    for (size_t i = 0; status == HL_OK && i < this->partition_count; i++) {
        char directory[HL_JOURNAL_PATH_SIZE];
        directory_of(this, i, directory);
        status = hl_pack_sweep(this->io, directory, error);
    }
    return status;
}

static hl_status pack_alone(keeping *this, uint64_t now_ns, hl_error *error)
{
    if (this->lock_status != HL_OK) {
        *error = this->lock_error;
        return this->lock_status;
    }
    const hl_kept_segment *const next = oldest_to_pack(this);
    const bool is_due = next != NULL && pack_due(this, next) <= now_ns;
    hl_status status = HL_OK;
    if (!this->options->dry_run && (is_due || !this->recalls))
        status = sweep(this, error);
    return status == HL_OK ? pack_all(this, now_ns, error) : status;
}

/* ---- all of it ---- */

static hl_status list_all(keeping *this)
{
    hl_status status =
        hl_partition_list(this->io, this->options->directory, this->options->partition,
                          &this->partitions, &this->partition_count, this->error);
    for (size_t i = 0; status == HL_OK && i < this->partition_count; i++)
        status = list_partition(this, i);
    this->result->bytes_before = this->result->bytes_after = this->total_bytes;
    return status;
}

static hl_status do_all(keeping *this)
{
    const hl_retention_options *const options = this->options;
    const uint64_t now_ns =
        options->now_ns != 0 ? options->now_ns : this->io->now(this->io->context);
    hl_error why;
    hl_status status = find_needs(this);
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
    this->result->another_packs = this->lock_status == HL_LOCKED;
    return this->result->packing;
}

hl_status hl_retention_apply(const hl_io *io, const hl_retention_options *options,
                             hl_retention_result *ret_result, hl_error *error)
{
    hl_retention_result result = {.pack_due_ns = UINT64_MAX};
    keeping this = {.io = io, .options = options, .result = &result, .lock = -1, .error = error};
    take_lock(&this);
    hl_status status = list_all(&this);
    if (status == HL_OK && !this.ended) /* what was not looked at is not known */
        status = do_all(&this);
    give_back_lock(&this);
    free(this.partitions);
    free(this.needs);
    free(this.saved);
    free(this.segments);
    *ret_result = result;
    return status;
}
