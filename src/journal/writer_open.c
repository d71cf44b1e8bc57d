#include "journal/writer_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hotlane/version.h>

#include "base/allocate.h"
#include "base/error.h"

#define SEGMENT_BYTES_DEFAULT (256ull << 20)
#define SEGMENT_BYTES_MIN     (64ull << 10)
#define SEGMENT_BYTES_MAX     (8ull << 30) /* its footer's length still fits a record's tag */
#define WRITE_BYTES_DEFAULT   (1ull << 20)
#define WRITE_BYTES_MIN       (4ull << 10)
#define WRITE_BYTES_MAX       (64ull << 20)
#define RETRY_NS_DEFAULT      100000000ull

/* ---- opening ---- */

/* Defaults put in; what is out of range refused. */
static hl_status check_options(hl_journal_writer_options *options, hl_error *error)
{
    if (options->io == NULL)
        options->io = hl_io_posix();
    if (options->segment_bytes == 0)
        options->segment_bytes = SEGMENT_BYTES_DEFAULT;
    if (options->write_bytes == 0)
        options->write_bytes = WRITE_BYTES_DEFAULT;
    if (options->reserve_block == 0)
        options->reserve_block = HL_JOURNAL_RESERVE_BLOCK;
    if (options->retry_ns == 0)
        options->retry_ns = RETRY_NS_DEFAULT;
    if (options->dictionary_limit == 0)
        options->dictionary_limit = HL_DICTIONARY_TOPICS;
    if (options->group_alignment == 0)
        options->group_alignment = 8;
    options->segment_bytes = options->segment_bytes / 8 * 8;
    if (options->directory == NULL || options->directory[0] == '\0' || options->domain == NULL ||
        options->domain[0] == '\0' || strchr(options->domain, '/') != NULL ||
        strlen(options->domain) >= HL_JOURNAL_DOMAIN_SIZE)
        return hl_error_set(error, HL_INVALID,
                            "journal: directory and domain must be named, the domain by one token "
                            "shorter than %u characters",
                            HL_JOURNAL_DOMAIN_SIZE);
    if (options->segment_bytes < SEGMENT_BYTES_MIN || options->segment_bytes > SEGMENT_BYTES_MAX)
        return hl_error_set(error, HL_INVALID,
                            "journal: segment_bytes is %" PRIu64 "; 64 KiB to 8 GiB would be right",
                            options->segment_bytes);
    if (options->write_bytes < WRITE_BYTES_MIN || options->write_bytes > WRITE_BYTES_MAX)
        return hl_error_set(error, HL_INVALID,
                            "journal: write_bytes is %" PRIu64 "; 4 KiB to 64 MiB would be right",
                            options->write_bytes);
    if (options->group_alignment < 8 || options->group_alignment > HL_WRITER_ALIGNMENT_MAX ||
        (options->group_alignment & (options->group_alignment - 1)) != 0)
        return hl_error_set(error, HL_INVALID,
                            "journal: group_alignment is %" PRIu64
                            "; a power of two from 8 to %u would be right",
                            options->group_alignment, HL_WRITER_ALIGNMENT_MAX);
    if (options->shards == 0 || options->shard >= options->shards || options->reserve_block < 2 ||
        options->dictionary_limit < 3)
        return hl_error_set(error, HL_INVALID,
                            "journal: shard %u of %u, reserve_block %" PRIu64
                            ", dictionary_limit %u: the shard must be below shards, the others at "
                            "least 2 and 3",
                            options->shard, options->shards, options->reserve_block,
                            options->dictionary_limit);
    return HL_OK;
}

/* The journal's directory and the partition's, their names durable. */
static hl_status make_directories(hl_journal_writer *writer, hl_error *error)
{
    const hl_journal_writer_options *const options = &writer->options;
    const hl_io *const io = writer->io;
    char shard[16] = "", parent[HL_JOURNAL_PATH_SIZE];
    if (options->shards > 1)
        snprintf(shard, sizeof shard, ".%u", options->shard);
    const size_t room = HL_JOURNAL_PATH_SIZE - HL_SEGMENT_NAME_SIZE;
    if ((size_t)snprintf(parent, sizeof parent, "%s", options->directory) >= room ||
        (size_t)snprintf(writer->directory, sizeof writer->directory, "%s/%s%s", options->directory,
                         options->domain, shard) >= room)
        return hl_error_set(error, HL_INVALID, "%.200s...: the path is too long",
                            options->directory);
    snprintf(writer->spare_path, sizeof writer->spare_path, "%.*s/%s", (int)room, writer->directory,
             HL_SEGMENT_SPARE);
    int result = io->make_directory(io->context, options->directory);
    if (result < 0)
        return hl_io_error(error, result, options->directory, "make the directory");
    result = io->make_directory(io->context, writer->directory);
    if (result < 0)
        return hl_io_error(error, result, writer->directory, "make the directory");
    result = io->sync_directory(io->context, options->directory);
    if (result < 0)
        return hl_io_error(error, result, options->directory, "sync the directory");
    /* And the name of the journal's directory in its parent. */
    char *const slash = strrchr(parent, '/');
    if (slash == NULL)
        strcpy(parent, ".");
    else
        slash[slash == parent ? 1 : 0] = '\0';
    result = io->sync_directory(io->context, parent);
    return result < 0 ? hl_io_error(error, result, parent, "sync the directory") : HL_OK;
}

static hl_status take_lock(hl_journal_writer *writer, hl_error *error)
{
    char path[HL_JOURNAL_PATH_SIZE + 8];
    snprintf(path, sizeof path, "%s/lock", writer->directory);
    hl_io_owner owner = {0};
    if (writer->options.lock != NULL) {
        writer->lock = *writer->options.lock;
        return HL_OK;
    }
    const int lock = writer->io->lock(writer->io->context, path, &owner);
    if (lock == -EWOULDBLOCK)
        return hl_error_set(error, HL_LOCKED,
                            "%s: process %" PRId64 " on %s writes this journal; stop it, or give "
                            "this one another directory",
                            path, owner.pid, owner.host[0] != '\0' ? owner.host : "this host");
    if (lock < 0)
        return hl_io_error(error, lock, path, "lock");
    writer->lock = lock;
    writer->is_locked = true;
    return HL_OK;
}

static bool is_zero(const uint8_t uuid[16])
{
    static const uint8_t zero[16];
    return memcmp(uuid, zero, sizeof zero) == 0;
}

/* A run that was closed clean and held nothing has left a segment without a record. This run's
 * first one would have to be named by the same sequence: it replaces that one, in one rename, name
 * with its date and all, and is what that one was to those around it: as if one run had gone on. */
static void take_place(hl_journal_writer *writer, const hl_segment_header *empty)
{
    writer->takes_place = true;
    writer->header.day = empty->day;
    writer->header.number = empty->number - 1;
    writer->header.first_sequence = empty->previous_first_sequence;
}

/* What the headers of this run have in common, and where the sequences go on. */
static hl_status begin_run(hl_journal_writer *writer, const hl_recovery *recovery, hl_error *error)
{
    const hl_journal_writer_options *const options = &writer->options;
    hl_segment_header *const header = &writer->header;
    const bool found = recovery->segments > 0;
    const hl_segment_header *const newest = &recovery->newest_header;
    if (found && !is_zero(options->bus_uuid) &&
        memcmp(options->bus_uuid, newest->bus_uuid, sizeof newest->bus_uuid) != 0)
        return hl_error_set(error, HL_INVALID,
                            "%s: this journal belongs to another bus; give this one another "
                            "directory, or leave bus_uuid empty to go on with it",
                            writer->directory);
    if (options->first_sequence != 0 && options->first_sequence <= recovery->last_sequence)
        return hl_error_set(error, HL_INVALID,
                            "%s: first_sequence is %" PRIu64 ", but %" PRIu64
                            " is in the journal already",
                            writer->directory, options->first_sequence, recovery->last_sequence);
    *header = (hl_segment_header){.version = HL_JOURNAL_VERSION,
                                  .header_size = HL_JOURNAL_HEADER_SIZE,
                                  .event_layout = HL_EVENT_LAYOUT,
                                  .partition = options->partition,
                                  .shard = options->shard,
                                  .shards = options->shards,
                                  .epoch = 1};
    memcpy(header->bus_uuid, options->bus_uuid, sizeof header->bus_uuid);
    if (found) {
        header->first_sequence = newest->first_sequence; /* becomes `previous` */
        header->number = newest->number;
        header->epoch = newest->epoch + (newest->shards != options->shards ? 1 : 0);
        memcpy(header->bus_uuid, newest->bus_uuid, sizeof header->bus_uuid);
        writer->last_now_ns = newest->created_ns;
        if (newest->day > hl_writer_day_of(writer->last_now_ns))
            writer->last_now_ns = newest->day * HL_NS_PER_DAY;
    }
    if (options->epoch > header->epoch)
        header->epoch = options->epoch;
    if (is_zero(header->bus_uuid)) {
        const uint64_t random[2] = {writer->io->random(writer->io->context),
                                    writer->io->random(writer->io->context)};
        memcpy(header->bus_uuid, random, sizeof random);
    }
    snprintf(header->domain, sizeof header->domain, "%s", options->domain);
    snprintf(header->writer, sizeof header->writer, "hotlane %s", hl_version_text());
    writer->written_sequence = recovery->last_sequence;
    writer->durable_sequence = recovery->last_sequence;
    writer->next_sequence =
        options->first_sequence != 0 ? options->first_sequence : recovery->next_sequence;
    if (found && writer->next_sequence == newest->first_sequence)
        take_place(writer, newest);
    writer->reserve_wanted = writer->next_sequence - 1 + options->reserve_block;
    return HL_OK;
}

static hl_status allocate(hl_journal_writer *writer, hl_error *error)
{
    const hl_journal_writer_options *const options = &writer->options;
    writer->spare = (hl_spare){.io = writer->io,
                               .path = writer->spare_path,
                               .size = options->segment_bytes,
                               .zero_fill = options->zero_fill};
    const uint64_t buffer_size = options->write_bytes + HL_WRITER_GROUP_ROOM +
                                 HL_JOURNAL_EVENT_MAX + 3 * HL_DICTIONARY_ENTRY_MAX;
    const bool has_tables =
        hl_index_init(&writer->index, options->segment_bytes, options->dictionary_limit) &&
        hl_dictionary_init(&writer->dictionary);
    writer->buffer = hl_allocate(1, buffer_size);
    writer->seal_buffer = has_tables ? hl_allocate(1, hl_seal_limit(&writer->index)) : NULL;
    writer->spare.zeros = options->zero_fill ? hl_allocate(1, HL_SPARE_STEP) : NULL;
    if (writer->buffer == NULL || writer->seal_buffer == NULL ||
        (options->zero_fill && writer->spare.zeros == NULL))
        return hl_error_set(error, HL_NO_MEMORY, "%s: out of memory", options->directory);
    return HL_OK;
}

/* Closes and frees whatever there is. */
static void destroy(hl_journal_writer *writer)
{
    const hl_io *const io = writer->io;
    if (writer->is_syncing)
        (void)io->sync_end(io->context, writer->file, true);
    if (writer->is_open)
        io->close(io->context, writer->file);
    if (writer->spare.is_open)
        io->close(io->context, writer->spare.file);
    if (writer->is_locked)
        io->unlock(io->context, writer->lock);
    hl_index_free(&writer->index);
    hl_dictionary_free(&writer->dictionary);
    free(writer->buffer);
    free(writer->seal_buffer);
    free(writer->spare.zeros);
    free(writer);
}

static hl_status open_steps(hl_journal_writer *writer, hl_recovery *recovery, hl_error *error)
{
    hl_status status = allocate(writer, error);
    if (status == HL_OK)
        status = make_directories(writer, error);
    if (status == HL_OK)
        status = take_lock(writer, error);
    if (status == HL_OK)
        status = hl_journal_recover(writer->io, writer->directory, writer->options.damage, recovery,
                                    error);
    if (status == HL_OK)
        status = begin_run(writer, recovery, error);
    if (status == HL_OK && hl_writer_succeed(writer) != HL_OK)
        status = hl_error_set(error, writer->error.status, "%s", writer->error.text);
    return status;
}

hl_status hl_journal_writer_open(const hl_journal_writer_options *options,
                                 hl_journal_writer **ret_writer, hl_recovery *ret_recovery,
                                 hl_error *error)
{
    hl_journal_writer_options checked = *options;
    hl_status status = check_options(&checked, error);
    if (status != HL_OK)
        return status;
    hl_journal_writer *const writer = hl_allocate(1, sizeof *writer);
    if (writer == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "%s: out of memory", checked.directory);
    writer->options = checked;
    writer->io = checked.io;
    writer->progress = checked.progress != NULL ? checked.progress : &writer->own_progress;
    hl_recovery recovery;
    status = open_steps(writer, &recovery, error);
    if (status != HL_OK) {
        destroy(writer);
        return status;
    }
    writer->is_locked = true;
    hl_progress_publish(&writer->progress->written_sequence, writer->written_sequence);
    hl_progress_publish(&writer->progress->durable_sequence, writer->durable_sequence);
    hl_progress_publish(&writer->progress->state, HL_JOURNAL_RUNNING);
    if (ret_recovery != NULL)
        *ret_recovery = recovery;
    *ret_writer = writer;
    return HL_OK;
}

/* ---- closing ---- */

/* All of it on the disk and sealed as clean. */
static hl_status end_run(hl_journal_writer *writer)
{
    if (writer->state != HL_JOURNAL_RUNNING)
        return writer->state == HL_JOURNAL_NO_SPACE ? HL_NO_SPACE : HL_FAILED;
    hl_status status = hl_writer_write_group(writer);
    /* Even when no one waits for it: the seal says that all before it is durable. */
    if (status == HL_OK)
        status = hl_writer_sync_written(writer);
    if (status == HL_OK && writer->rotation != HL_WRITER_NOT_ROTATING)
        status = hl_writer_rotate(writer);
    return status == HL_OK ? hl_writer_seal(writer, HL_FOOTER_CLEAN, false) : status;
}

hl_status hl_journal_writer_close(hl_journal_writer *writer, hl_error *error)
{
    /* A full disk gets a last try: it may have room again. */
    hl_status status = writer->state == HL_JOURNAL_NO_SPACE ? hl_writer_resume(writer) : HL_OK;
    if (status == HL_OK)
        status = end_run(writer);
    if (status != HL_OK)
        hl_error_set(error, status, "%s", writer->error.text);
    if (writer->rotation != HL_WRITER_SUCCEEDING) /* else it is what says that none is missing */
        hl_spare_drop(&writer->spare);
    hl_progress_publish(&writer->progress->state, HL_JOURNAL_CLOSED);
    destroy(writer);
    return status;
}

hl_io_file hl_journal_writer_give_up(hl_journal_writer *writer)
{
    const hl_io_file lock = writer->lock;
    writer->is_locked = false;
    hl_journal_writer_abandon(writer);
    return lock;
}

void hl_journal_writer_abandon(hl_journal_writer *writer)
{
    if (writer->state != HL_JOURNAL_FAILED)
        hl_progress_publish(&writer->progress->state, HL_JOURNAL_CLOSED);
    destroy(writer);
}
