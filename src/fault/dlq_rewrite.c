#include "fault/dlq.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define GROUP_BYTES ((size_t)1 << 20)

/* A rewrite under way. Nothing of the queue changes until the new file is in place. */
typedef struct rewrite {
    hl_dlq *dlq;
    hl_dlq_file file;
    unsigned char *group; /* records not yet appended */
    size_t group_bytes;
    uint64_t *places; /* the new ones, by position in the index */
    bool *written;    /* names, by number */
} rewrite;

static hl_status append_group(rewrite *work, hl_error *error)
{
    const hl_status status = hl_dlq_file_append(&work->file, work->group, work->group_bytes, error);
    if (status == HL_OK)
        work->group_bytes = 0;
    return status;
}

static void copy_name(rewrite *work, uint32_t number)
{
    if (work->written[number])
        return;
    work->group_bytes +=
        hl_dlq_name_record(work->group + work->group_bytes, &work->dlq->names, number,
                           work->file.salt, work->file.end + work->group_bytes);
    work->written[number] = true;
}

static hl_status copy_letter(rewrite *work, size_t position, hl_error *error)
{
    hl_dlq *const dlq = work->dlq;
    const hl_dlq_entry *const entry = &dlq->index.entries[position];
    if (entry->state == 0)
        return HL_OK;
    hl_status status = HL_OK;
    if (work->group_bytes + HL_DLQ_RECORD_MAX + 4 * HL_DLQ_NAME_RECORD_MAX > GROUP_BYTES)
        status = append_group(work, error);
    if (status == HL_OK)
        status = hl_dlq_load(dlq, entry, dlq->scratch, error);
    if (status != HL_OK)
        return status;
    const hl_dlq_head *const head = dlq->scratch;
    const hl_dlq_letter *const letter = hl_dlq_body(head);
    copy_name(work, letter->topic);
    copy_name(work, letter->source);
    copy_name(work, letter->subscription);
    copy_name(work, letter->pattern);
    work->places[position] = work->file.end + work->group_bytes;
    memcpy(work->group + work->group_bytes, head, entry->size);
    work->group_bytes +=
        hl_dlq_record_seal(work->group + work->group_bytes, HL_DLQ_LETTER, head->body_size,
                           work->file.salt, work->places[position]);
    return HL_OK;
}

static hl_status copy_all(rewrite *work, hl_error *error)
{
    hl_status status =
        hl_dlq_file_rewrite(&work->dlq->file, work->dlq->next_id, &work->file, error);
    for (size_t i = 0; status == HL_OK && i < work->dlq->index.count; i++)
        status = copy_letter(work, i, error);
    if (status == HL_OK)
        status = append_group(work, error);
    if (status == HL_OK)
        status = hl_dlq_file_replace(&work->dlq->file, &work->file, error);
    return status;
}

/* The new file is in place: so are its places. */
static void adopt(rewrite *work)
{
    hl_dlq *const dlq = work->dlq;
    for (size_t i = 0; i < dlq->index.count; i++)
        dlq->index.entries[i].place = work->places[i];
    for (uint32_t i = 0; i < dlq->names.count; i++)
        dlq->names.names[i].written = work->written[i];
    dlq->base = dlq->file.end;
    dlq->pending_bytes = 0;
    dlq->pending_records = 0;
    dlq->gone = 0;
    dlq->counts.compactions++;
}

hl_status hl_dlq_rewrite(hl_dlq *dlq, hl_error *error)
{
    rewrite work = {.dlq = dlq,
                    .file = {.file = -1, .lock = -1},
                    .group = malloc(GROUP_BYTES),
                    .places = calloc(dlq->index.count + 1, sizeof(uint64_t)),
                    .written = calloc(dlq->names.count + 1, sizeof(bool))};
    hl_status status = HL_OK;
    if (work.group == NULL || work.places == NULL || work.written == NULL)
        status = hl_error_set(error, HL_NO_MEMORY, "%s: no memory to rewrite it", dlq->file.path);
    else
        status = copy_all(&work, error);
    if (status == HL_OK)
        adopt(&work);
    else
        hl_dlq_file_abandon(&work.file);
    free(work.group);
    free(work.places);
    free(work.written);
    return status;
}

/* What is pending is written first, so that what is left has room under the quota. A file whose
 * rename is not known to be on the disk says so when it is synced. */
static hl_status compact_locked(hl_dlq *dlq, hl_error *error)
{
    hl_status status = hl_dlq_flush(dlq, error);
    if (status != HL_OK || !dlq->has_file || dlq->gone == 0)
        return status;
    status = hl_dlq_rewrite(dlq, error);
    if (status == HL_OK)
        status = hl_dlq_file_sync(&dlq->file, error);
    dlq->counts.write_failures += status != HL_OK;
    return status;
}

hl_status hl_dlq_compact(hl_dlq *dlq, hl_error *error)
{
    hl_status status = hl_dlq_check_owner(dlq, error);
    if (status != HL_OK)
        return status;
    if (dlq->options.read_only)
        return hl_dlq_is_read_only(error);
    pthread_mutex_lock(&dlq->lock);
    status = compact_locked(dlq, error);
    pthread_mutex_unlock(&dlq->lock);
    return status;
}
