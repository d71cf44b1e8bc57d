#include "fault/dlq.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

/* Room that letters leave to marks: a full queue can still be purged and redriven. */
#define MARK_ROOM ((size_t)128 << 10)

#define MEMORY_MIN ((size_t)1 << 20)
#define MEMORY_MAX ((size_t)4 << 30)

/* ------- options ------- */

static hl_status check_options(const hl_dlq_options *options, hl_error *error)
{
    if (options->size != sizeof *options)
        return hl_error_set(
            error, HL_INVALID,
            "dlq.size: %zu, this library knows %zu: begin with HL_DLQ_OPTIONS_INIT, "
            "and build against this version's headers",
            options->size, sizeof *options);
    if (options->memory_bytes < MEMORY_MIN || options->memory_bytes > MEMORY_MAX)
        return hl_error_set(error, HL_INVALID, "dlq.memory_bytes: %zu: use %zu (1 MiB) to %zu",
                            options->memory_bytes, MEMORY_MIN, MEMORY_MAX);
    if (options->max_letters < 1 || options->max_letters > (uint64_t)1 << 32)
        return hl_error_set(error, HL_INVALID, "dlq.max_letters: %" PRIu64 ": use 1 to 2^32",
                            options->max_letters);
    if (options->read_only && options->path == NULL)
        return hl_error_set(error, HL_INVALID,
                            "dlq.read_only: there is no file to read: give its "
                            "path");
    if (options->salvage && !options->read_only)
        return hl_error_set(error, HL_INVALID,
                            "dlq.salvage: only with read_only: a damaged file is not written to");
    return HL_OK;
}

/* ------- taking up a file ------- */

static hl_status damaged(const hl_dlq *dlq, uint64_t offset, const char *what, hl_error *error)
{
    return hl_error_set(error, HL_DAMAGED,
                        "%s: offset %" PRIu64 ": %s: restore the file from a copy, or move it "
                        "aside; `hotlane dlq ls --salvage` shows the letters that are whole",
                        dlq->file.path, offset, what);
}

static hl_status take_name(hl_dlq *dlq, const hl_dlq_head *head, uint64_t offset, hl_error *error)
{
    const hl_dlq_name *const name = hl_dlq_body(head);
    const hl_status status =
        hl_names_put(&dlq->names, name->number, (const char *)(name + 1), name->text_size);
    if (status == HL_NO_MEMORY)
        return hl_error_set(error, status, "%s: no memory for its names", dlq->file.path);
    if (status != HL_OK)
        return damaged(dlq, offset, "a name's number is taken or too high", error);
    return HL_OK;
}

static bool names_are_known(const hl_dlq *dlq, const hl_dlq_letter *letter)
{
    return hl_names_text(&dlq->names, letter->topic) != NULL &&
           hl_names_text(&dlq->names, letter->source) != NULL &&
           hl_names_text(&dlq->names, letter->subscription) != NULL &&
           hl_names_text(&dlq->names, letter->pattern) != NULL;
}

static hl_status take_letter(hl_dlq *dlq, const hl_dlq_head *head, uint64_t offset, hl_error *error)
{
    const hl_dlq_letter *const letter = hl_dlq_body(head);
    if (letter->state < HL_DEAD_WAITING || letter->state > HL_DEAD_REDRIVING || letter->id == 0)
        return damaged(dlq, offset, "a letter is in no known state", error);
    if (!dlq->options.salvage && !names_are_known(dlq, letter))
        return damaged(dlq, offset, "a letter uses a name that is not in the file", error);
    const hl_dlq_entry entry = {letter->id, offset, letter->state_ns,
                                (uint32_t)sizeof *head + head->body_size, letter->state};
    if (!hl_dlq_index_put(&dlq->index, &entry))
        return hl_error_set(error, HL_NO_MEMORY, "%s: no memory for its index", dlq->file.path);
    if (letter->id >= dlq->next_id)
        dlq->next_id = letter->id + 1;
    return HL_OK;
}

static void apply_mark(hl_dlq *dlq, hl_dlq_entry *entry, uint32_t state, uint64_t at_ns)
{
    if (state == HL_DLQ_HANDLED || state == HL_DLQ_PURGED) {
        hl_dlq_index_remove(&dlq->index, entry);
        dlq->gone++;
    } else {
        hl_dlq_index_set_state(&dlq->index, entry, (hl_dead_state)state, at_ns);
    }
}

static hl_status take_mark(hl_dlq *dlq, const hl_dlq_head *head, uint64_t offset, hl_error *error)
{
    const hl_dlq_mark *const mark = hl_dlq_body(head);
    const bool gone = mark->state == HL_DLQ_HANDLED || mark->state == HL_DLQ_PURGED;
    if (!gone && (mark->state < HL_DEAD_WAITING || mark->state > HL_DEAD_REDRIVING))
        return damaged(dlq, offset, "a mark of no known kind", error);
    hl_dlq_entry *const entry = hl_dlq_index_find(&dlq->index, mark->id);
    if (entry != NULL)
        apply_mark(dlq, entry, mark->state, mark->at_ns);
    return HL_OK;
}

static hl_status take_record(void *context, const hl_dlq_head *head, uint64_t offset,
                             hl_error *error)
{
    switch ((hl_dlq_kind)head->kind) {
    case HL_DLQ_NAME:
        return take_name(context, head, offset, error);
    case HL_DLQ_LETTER:
        return take_letter(context, head, offset, error);
    case HL_DLQ_MARKED:
        return take_mark(context, head, offset, error);
    case HL_DLQ_SYNCED:
        break;
    }
    return HL_OK;
}

/* A redrive whose outcome nobody saw is to be done again: at least once. The file says so already:
 * whoever opens it next finds the same. */
static void ask_again(hl_dlq *dlq)
{
    for (size_t i = 0; i < dlq->index.count; i++) {
        hl_dlq_entry *const entry = &dlq->index.entries[i];
        if (entry->state == HL_DEAD_REDRIVING)
            hl_dlq_index_set_state(&dlq->index, entry, HL_DEAD_ASKED, entry->state_ns);
    }
}

static hl_status take_file(hl_dlq *dlq, hl_error *error)
{
    const hl_dlq_file_mode mode = {dlq->options.read_only, dlq->options.must_exist,
                                   dlq->options.salvage};
    const hl_status status = hl_dlq_file_open(&dlq->file, dlq->io, dlq->options.path, mode,
                                              dlq->scratch, take_record, dlq, error);
    if (status != HL_OK)
        return status;
    dlq->has_file = true;
    if (dlq->file.first_id > dlq->next_id)
        dlq->next_id = dlq->file.first_id;
    dlq->base = dlq->file.end;
    dlq->counts.cut_at = dlq->file.cut_at;
    dlq->counts.cut_bytes = dlq->file.cut_bytes;
    dlq->counts.damaged_bytes = dlq->file.damaged_bytes;
    if (!dlq->options.read_only)
        ask_again(dlq);
    return HL_OK;
}

/* ------- open and close ------- */

static void give_back(hl_dlq *dlq)
{
    if (dlq->has_file)
        hl_dlq_file_close(&dlq->file);
    hl_names_free(&dlq->names);
    hl_dlq_index_free(&dlq->index);
    pthread_mutex_destroy(&dlq->lock);
    free(dlq->pending);
    free(dlq->scratch);
    free(dlq);
}

static hl_dlq *make(const hl_io *io, const hl_dlq_options *options)
{
    hl_dlq *const dlq = calloc(1, sizeof *dlq);
    if (dlq == NULL)
        return NULL;
    dlq->owner = getpid();
    pthread_mutex_init(&dlq->lock, NULL);
    hl_names_init(&dlq->names);
    dlq->io = io;
    dlq->options = *options;
    dlq->next_id = 1;
    dlq->base = sizeof(hl_dlq_header);
    dlq->scratch = malloc(HL_DLQ_RECORD_MAX);
    dlq->pending = options->read_only ? NULL : malloc(options->memory_bytes);
    if (dlq->scratch != NULL && (options->read_only || dlq->pending != NULL))
        return dlq;
    give_back(dlq);
    return NULL;
}

hl_status hl_dlq_open_on(const hl_io *io, const hl_dlq_options *options, hl_dlq **ret_dlq,
                         hl_error *error)
{
    static const hl_dlq_options defaults = HL_DLQ_OPTIONS_INIT;
    if (options == NULL)
        options = &defaults;
    const hl_status checked = check_options(options, error);
    if (checked != HL_OK)
        return checked;
    hl_dlq *const dlq = make(io, options);
    if (dlq == NULL)
        return hl_error_set(error, HL_NO_MEMORY,
                            "dlq.memory_bytes: no memory for %zu bytes of dead letters",
                            options->memory_bytes);
    const hl_status taken = options->path == NULL ? HL_OK : take_file(dlq, error);
    if (taken != HL_OK) {
        give_back(dlq);
        return taken;
    }
    dlq->options.path = NULL; /* the caller's; file.path is ours */
    dlq->last_sync_ns = io->ticks(io->context);
    *ret_dlq = dlq;
    return HL_OK;
}

hl_status hl_dlq_open(const hl_dlq_options *options, hl_dlq **ret_dlq, hl_error *error)
{
    return hl_dlq_open_on(hl_io_posix(), options, ret_dlq, error);
}

/* ------- pending records ------- */

static unsigned char *pending_at(const hl_dlq *dlq, uint64_t place)
{
    return dlq->pending + (place - dlq->base);
}

/* Seals the record whose body was put behind the end of what is pending, and makes it part of it;
 * its place. */
static uint64_t push(hl_dlq *dlq, hl_dlq_kind kind, size_t body_size)
{
    const uint64_t place = dlq->base + dlq->pending_bytes;
    dlq->pending_bytes += hl_dlq_record_seal(dlq->pending + dlq->pending_bytes, kind, body_size,
                                             dlq->file.salt, place);
    return place;
}

static void *next_body(const hl_dlq *dlq)
{
    return dlq->pending + dlq->pending_bytes + sizeof(hl_dlq_head);
}

/* Without a file: moves the letters together over what is gone. */
static void squeeze(hl_dlq *dlq)
{
    size_t kept = 0, next;
    for (size_t at = 0; at < dlq->pending_bytes; at = next) {
        const hl_dlq_head *const head = (const void *)(dlq->pending + at);
        const size_t size = sizeof *head + head->body_size;
        next = at + size;
        const hl_dlq_letter *const letter = hl_dlq_body(head);
        hl_dlq_entry *const entry = hl_dlq_index_find(&dlq->index, letter->id);
        if (entry == NULL || entry->place != dlq->base + at)
            continue;
        entry->place = dlq->base + kept;
        memmove(dlq->pending + kept, dlq->pending + at, size);
        kept += size;
    }
    dlq->pending_bytes = kept;
}

static bool drop_first(hl_dlq *dlq)
{
    hl_dlq_entry *entry = hl_dlq_index_from(&dlq->index, 0);
    while (entry != NULL && entry->state == HL_DEAD_REDRIVING)
        entry = hl_dlq_index_from(&dlq->index, entry->id + 1);
    if (entry == NULL)
        return false;
    hl_dlq_index_remove(&dlq->index, entry);
    dlq->counts.lost++;
    return true;
}

/* Without a file: a quarter of the memory at a time, so that the moving is paid for. */
static void make_room_in_memory(hl_dlq *dlq, size_t limit)
{
    const size_t wanted = limit - limit / 4;
    if (dlq->options.drop_oldest) {
        while (dlq->index.bytes > wanted && drop_first(dlq))
            ;
    }
    squeeze(dlq);
}

/* Room for `size` bytes of records below `limit`. */
static bool make_room(hl_dlq *dlq, size_t size, size_t limit)
{
    if (dlq->pending_bytes + size <= limit)
        return true;
    if (dlq->has_file)
        hl_dlq_flush(dlq, NULL);
    else
        make_room_in_memory(dlq, limit);
    return dlq->pending_bytes + size <= limit;
}

/* ------- letters in ------- */

size_t hl_dlq_name_record(void *record, const hl_names *names, uint32_t number, uint64_t salt,
                          uint64_t offset)
{
    hl_dlq_name *const name = (void *)((hl_dlq_head *)record + 1);
    const char *const text = hl_names_text(names, number);
    *name = (hl_dlq_name){number, (uint32_t)strlen(text)};
    memcpy(name + 1, text, name->text_size);
    return hl_dlq_record_seal(record, HL_DLQ_NAME, sizeof *name + name->text_size, salt, offset);
}

static void write_name(hl_dlq *dlq, uint32_t number)
{
    hl_name *const name = &dlq->names.names[number];
    if (!dlq->has_file || name->written)
        return;
    dlq->pending_bytes += hl_dlq_name_record(dlq->pending + dlq->pending_bytes, &dlq->names, number,
                                             dlq->file.salt, dlq->base + dlq->pending_bytes);
    name->written = true;
}

/* The history of a letter that comes back: its own, and the life that ended with the redrive. */
static uint32_t continue_history(const hl_dlq_letter *old, hl_dead_history *ret_history)
{
    uint32_t count = old->history_count;
    const hl_dead_history *from = hl_dlq_letter_history(old);
    if (count == HL_DEAD_HISTORY_MAX) {
        from++;
        count--;
    }
    memcpy(ret_history, from, count * sizeof *from);
    ret_history[count] = (hl_dead_history){.first_failed_ns = old->first_failed_ns,
                                           .last_failed_ns = old->last_failed_ns,
                                           .redriven_ns = old->state_ns,
                                           .error_code = old->error_code,
                                           .attempts = old->attempts,
                                           .reason = (hl_dead_reason)old->reason};
    return count + 1;
}

/* What a posted letter goes on from. */
typedef struct earlier {
    uint64_t id; /* 0: it is new */
    uint32_t redrives;
    uint32_t history_count;
    hl_dead_history history[HL_DEAD_HISTORY_MAX];
} earlier;

static void find_earlier(hl_dlq *dlq, uint64_t id, earlier *ret_earlier)
{
    ret_earlier->id = 0;
    ret_earlier->redrives = ret_earlier->history_count = 0;
    const hl_dlq_entry *const entry = id == 0 ? NULL : hl_dlq_index_find(&dlq->index, id);
    if (entry == NULL)
        return;
    ret_earlier->id = id;
    if (hl_dlq_load(dlq, entry, dlq->scratch, NULL) != HL_OK)
        return; /* the disk does not give it back: its history is lost, the letter is not */
    const hl_dlq_letter *const old = hl_dlq_body(dlq->scratch);
    ret_earlier->redrives = old->redrives + 1;
    ret_earlier->history_count = continue_history(old, ret_earlier->history);
}

static size_t fill_letter(hl_dlq_letter *letter, const hl_dead_post *post, const earlier *before,
                          const void *event, size_t event_size)
{
    const char *const text = post->error_text == NULL ? "" : post->error_text;
    const size_t text_size = strnlen(text, HL_DEAD_TEXT_BYTES - 1);
    hl_event header;
    memcpy(&header, event, sizeof header);
    *letter = (hl_dlq_letter){.event_id = hl_event_id_of(post->partition, header.sequence),
                              .first_failed_ns = post->first_failed_ns,
                              .last_failed_ns = post->last_failed_ns,
                              .state_ns = post->last_failed_ns,
                              .state = HL_DEAD_WAITING,
                              .reason = post->reason,
                              .error_code = post->error_code,
                              .attempts = post->attempts,
                              .redrives = before->redrives,
                              .topic = post->topic,
                              .source = post->source,
                              .subscription = post->subscription,
                              .pattern = post->pattern,
                              .history_count = before->history_count,
                              .text_size = (uint32_t)text_size,
                              .event_size = (uint32_t)event_size};
    unsigned char *at = (unsigned char *)(letter + 1);
    memcpy(at, before->history, before->history_count * sizeof before->history[0]);
    at += before->history_count * sizeof before->history[0];
    memset(at, 0, HL_DEAD_TEXT_BYTES);
    memcpy(at, text, text_size);
    at = (unsigned char *)(uintptr_t)hl_dlq_letter_event(letter);
    memcpy(at, event, event_size);
    return (size_t)(at + event_size - (unsigned char *)letter);
}

/* Room in memory, index and count for one more letter of an event of this size. */
static hl_status make_way(hl_dlq *dlq, size_t event_size)
{
    if (hl_dlq_index_letters(&dlq->index) >= dlq->options.max_letters &&
        (dlq->has_file || !dlq->options.drop_oldest || !drop_first(dlq)))
        return HL_FULL;
    if (!hl_dlq_index_reserve(&dlq->index))
        return HL_NO_MEMORY;
    const size_t most =
        HL_DLQ_RECORD_MAX - HL_DLQ_EVENT_MAX + event_size + 16 + 4 * HL_DLQ_NAME_RECORD_MAX;
    return make_room(dlq, most, dlq->options.memory_bytes - MARK_ROOM) ? HL_OK : HL_FULL;
}

hl_status hl_dlq_add(hl_dlq *dlq, const hl_dead_post *post, const void *event, size_t event_size)
{
    const hl_status way = make_way(dlq, event_size);
    if (way != HL_OK)
        return way;
    earlier before;
    find_earlier(dlq, post->redriven_id, &before);
    write_name(dlq, post->topic);
    write_name(dlq, post->source);
    write_name(dlq, post->subscription);
    write_name(dlq, post->pattern);
    hl_dlq_letter *const letter = next_body(dlq);
    const size_t size = fill_letter(letter, post, &before, event, event_size);
    letter->id = before.id != 0 ? before.id : dlq->next_id++;
    hl_dlq_entry entry = {.id = letter->id, .state_ns = letter->state_ns, .state = letter->state};
    const size_t pending_before = dlq->pending_bytes;
    entry.place = push(dlq, HL_DLQ_LETTER, size);
    entry.size = (uint32_t)(dlq->pending_bytes - pending_before);
    hl_dlq_index_put(&dlq->index, &entry);
    dlq->pending_records++;
    dlq->counts.added++;
    return HL_OK;
}

/* ------- marks, and letters out ------- */

hl_status hl_dlq_mark_letter(hl_dlq *dlq, hl_dlq_entry *entry, uint32_t state, hl_error *error)
{
    const uint64_t now_ns = dlq->io->now(dlq->io->context);
    if (dlq->has_file) {
        const uint64_t id = entry->id;
        if (!make_room(dlq, sizeof(hl_dlq_head) + sizeof(hl_dlq_mark), dlq->options.memory_bytes))
            return hl_error_set(error, HL_NO_SPACE,
                                "%s: no room for a mark: the disk refuses what is already in "
                                "memory: free some space",
                                dlq->file.path);
        entry = hl_dlq_index_find(&dlq->index, id);
        *(hl_dlq_mark *)next_body(dlq) = (hl_dlq_mark){id, now_ns, state, 0};
        push(dlq, HL_DLQ_MARKED, sizeof(hl_dlq_mark));
        dlq->pending_records++;
    }
    dlq->counts.redriven += state == HL_DLQ_HANDLED;
    dlq->counts.purged += state == HL_DLQ_PURGED;
    apply_mark(dlq, entry, state, now_ns);
    return HL_OK;
}

hl_status hl_dlq_load(hl_dlq *dlq, const hl_dlq_entry *entry, void *scratch, hl_error *error)
{
    if (entry->place >= dlq->base) {
        memcpy(scratch, pending_at(dlq, entry->place), entry->size);
    } else {
        const hl_status status =
            hl_dlq_file_read(&dlq->file, entry->place, entry->size, scratch, error);
        if (status != HL_OK)
            return status;
    }
    hl_dlq_letter *const letter = (void *)((hl_dlq_head *)scratch + 1);
    letter->state = entry->state;
    letter->state_ns = entry->state_ns;
    return HL_OK;
}

/* ------- to the disk ------- */

/* Once what was written before is on the disk, the file says so: damage can be told from a torn
 * end. */
static void push_synced(hl_dlq *dlq)
{
    const size_t size = sizeof(hl_dlq_head) + sizeof(hl_dlq_synced);
    if (dlq->file.synced <= dlq->file.told_synced + size || /* nothing but the last of these */
        dlq->pending_bytes + size > dlq->options.memory_bytes)
        return;
    *(hl_dlq_synced *)next_body(dlq) = (hl_dlq_synced){dlq->file.synced};
    push(dlq, HL_DLQ_SYNCED, sizeof(hl_dlq_synced));
    dlq->file.told_synced = dlq->file.synced;
}

static hl_status over_quota(hl_dlq *dlq, hl_error *error)
{
    const uint64_t live = sizeof(hl_dlq_header) + dlq->index.bytes;
    const uint64_t whole = dlq->file.end + dlq->pending_bytes;
    if (live < whole - whole / 4 && live <= dlq->options.max_file_bytes)
        return hl_dlq_rewrite(dlq, error);
    return hl_error_set(error, HL_NO_SPACE,
                        "%s: it may not grow over max_file_bytes, %" PRIu64
                        ": raise that, or purge letters",
                        dlq->file.path, dlq->options.max_file_bytes);
}

static hl_status write_pending(hl_dlq *dlq, hl_error *error)
{
    if (dlq->file.end + dlq->pending_bytes > dlq->options.max_file_bytes)
        return over_quota(dlq, error);
    const hl_status status =
        hl_dlq_file_append(&dlq->file, dlq->pending, dlq->pending_bytes, error);
    if (status != HL_OK)
        return status;
    dlq->base = dlq->file.end;
    dlq->pending_bytes = 0;
    dlq->pending_records = 0;
    return HL_OK;
}

static hl_status sync_now(hl_dlq *dlq, hl_error *error)
{
    dlq->last_sync_ns = dlq->io->ticks(dlq->io->context);
    return hl_dlq_file_sync(&dlq->file, error);
}

static bool sync_is_due(const hl_dlq *dlq)
{
    return dlq->file.synced != dlq->file.end && dlq->options.sync_interval_ns != UINT64_MAX &&
           dlq->io->ticks(dlq->io->context) - dlq->last_sync_ns >= dlq->options.sync_interval_ns;
}

hl_status hl_dlq_flush(hl_dlq *dlq, hl_error *error)
{
    if (!dlq->has_file || dlq->options.read_only)
        return HL_OK;
    hl_status status = HL_OK;
    if (dlq->pending_bytes > 0) {
        push_synced(dlq);
        status = write_pending(dlq, error);
    }
    if (status == HL_OK && sync_is_due(dlq))
        status = sync_now(dlq, error);
    dlq->counts.write_failures += status != HL_OK;
    return status;
}

static hl_status flush_and_sync(hl_dlq *dlq, hl_error *error)
{
    hl_status status = hl_dlq_flush(dlq, error);
    if (status == HL_OK && dlq->has_file && !dlq->options.read_only) {
        status = sync_now(dlq, error);
        dlq->counts.write_failures += status != HL_OK;
    }
    return status;
}

hl_status hl_dlq_check_owner(const hl_dlq *dlq, hl_error *error)
{
    if (dlq->owner == getpid())
        return HL_OK;
    return hl_error_set(error, HL_DETACHED,
                        "dlq: this is a fork's child: the dead letters are its parent's");
}

hl_status hl_dlq_sync(hl_dlq *dlq, hl_error *error)
{
    hl_status status = hl_dlq_check_owner(dlq, error);
    if (status != HL_OK)
        return status;
    pthread_mutex_lock(&dlq->lock);
    status = flush_and_sync(dlq, error);
    pthread_mutex_unlock(&dlq->lock);
    return status;
}

/* So that every letter lies before a synced record: the whole file is known to have been good. */
static hl_status write_last(hl_dlq *dlq, hl_error *error)
{
    hl_status status = flush_and_sync(dlq, error);
    if (status != HL_OK)
        return status;
    push_synced(dlq);
    return dlq->pending_bytes == 0 ? HL_OK : flush_and_sync(dlq, error);
}

hl_status hl_dlq_close(hl_dlq *dlq, hl_error *error)
{
    if (dlq == NULL)
        return HL_OK;
    hl_status status = hl_dlq_check_owner(dlq, error);
    if (status != HL_OK)
        return status;
    if (dlq->has_file && !dlq->options.read_only) {
        hl_error reason = {HL_OK, ""};
        status = write_last(dlq, &reason);
        if (status != HL_OK && dlq->pending_records > 0)
            hl_error_set(error, status, "%" PRIu64 " letters and marks are lost: %.400s",
                         dlq->pending_records, reason.text);
        else if (status != HL_OK)
            hl_error_set(error, status, "%s", reason.text);
    }
    give_back(dlq);
    return status;
}
