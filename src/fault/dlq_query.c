/*
 * What users of dead letters ask: listing, counting, one letter, redriving, purging.
 */
#include <inttypes.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/error.h"
#include "bus/pattern.h"
#include "fault/dlq.h"
#include "ring/order.h"

/* A letter taken out of its record, in memory of its own. The payload behind the event is aligned
 * as in a slot. */
typedef struct letter_box {
    hl_dead_letter letter; /* first: hl_dead_letter_free gets its address */
    hl_dead_history history[HL_DEAD_HISTORY_MAX];
    char text[HL_DEAD_TEXT_BYTES];
    alignas(64) unsigned char event[];
} letter_box;

/* ------- out of the record ------- */

static const char *name_of(const hl_dlq *dlq, uint32_t number)
{
    const char *const text = hl_names_text(&dlq->names, number);
    return text == NULL ? "?" : text; /* only when a damaged file is salvaged */
}

static void unpack(const hl_dlq *dlq, const hl_dlq_letter *letter, letter_box *box)
{
    memcpy(box->history, hl_dlq_letter_history(letter),
           letter->history_count * sizeof box->history[0]);
    memcpy(box->text, hl_dlq_letter_text(letter), letter->text_size);
    box->text[letter->text_size] = '\0';
    memcpy(box->event, hl_dlq_letter_event(letter), letter->event_size);
    box->letter = (hl_dead_letter){.id = letter->id,
                                   .event_id = letter->event_id,
                                   .event = (const hl_event *)(const void *)box->event,
                                   .topic = name_of(dlq, letter->topic),
                                   .source = name_of(dlq, letter->source),
                                   .subscription = name_of(dlq, letter->subscription),
                                   .pattern = name_of(dlq, letter->pattern),
                                   .reason = (hl_dead_reason)letter->reason,
                                   .state = (hl_dead_state)letter->state,
                                   .error_code = letter->error_code,
                                   .error_text = box->text,
                                   .attempts = letter->attempts,
                                   .redrives = letter->redrives,
                                   .first_failed_ns = letter->first_failed_ns,
                                   .last_failed_ns = letter->last_failed_ns,
                                   .state_ns = letter->state_ns,
                                   .history = box->history,
                                   .history_count = letter->history_count};
}

static letter_box *box_make(size_t event_size)
{
    return hl_allocate(1, sizeof(letter_box) + event_size);
}

static hl_status no_memory(hl_error *error)
{
    return hl_error_set(error, HL_NO_MEMORY, "dlq: no memory for a copy of a letter");
}

/* ------- filters ------- */

static hl_status check_filter(const hl_dlq_filter *filter, hl_error *error)
{
    if (filter->size != sizeof *filter)
        return hl_error_set(error, HL_INVALID,
                            "filter.size: %zu, this library knows %zu: begin with "
                            "HL_DLQ_FILTER_INIT, and build against this version's headers",
                            filter->size, sizeof *filter);
    const char *const defect = filter->topic == NULL ? NULL : hl_pattern_defect(filter->topic);
    if (defect != NULL)
        return hl_error_set(error, HL_INVALID, "filter.topic: \"%s\": %s", filter->topic, defect);
    if (filter->from_ns > filter->to_ns)
        return hl_error_set(error, HL_INVALID,
                            "filter.from_ns: %" PRIu64 " is after to_ns, %" PRIu64, filter->from_ns,
                            filter->to_ns);
    return HL_OK;
}

static bool subscription_passes(const char *wanted, const hl_dead_letter *letter)
{
    return strcmp(wanted, letter->subscription) == 0 || strcmp(wanted, letter->pattern) == 0;
}

static bool topic_passes(const char *wanted, const hl_dead_letter *letter)
{
    return hl_name_defect(letter->topic) == NULL && hl_pattern_matches(wanted, letter->topic);
}

static bool passes(const hl_dlq_filter *filter, const hl_dead_letter *letter)
{
    const uint64_t failed_ns = letter->last_failed_ns;
    return (filter->id == 0 || filter->id == letter->id) &&
           (filter->state == 0 || filter->state == (int)letter->state) &&
           (filter->reason == 0 || filter->reason == (int)letter->reason) &&
           failed_ns >= filter->from_ns &&
           (failed_ns < filter->to_ns || filter->to_ns == UINT64_MAX) &&
           (filter->topic == NULL || topic_passes(filter->topic, letter)) &&
           (filter->subscription == NULL || subscription_passes(filter->subscription, letter));
}

/* ------- walking ------- */

static const hl_dlq_filter all_letters = HL_DLQ_FILTER_INIT;

/* A walk by id. The lock is taken for each letter alone, so that who looks at letters may change
 * them, and a long list keeps no bus waiting. */
typedef struct walk {
    hl_dlq *dlq;
    const hl_dlq_filter *filter;
    letter_box *box; /* the letter it stands at */
    uint64_t next_id;
} walk;

static hl_status walk_begin(walk *walked, hl_dlq *dlq, const hl_dlq_filter *filter, hl_error *error)
{
    *walked = (walk){.dlq = dlq, .filter = filter == NULL ? &all_letters : filter};
    hl_status status = hl_dlq_check_owner(dlq, error);
    if (status == HL_OK)
        status = check_filter(walked->filter, error);
    if (status != HL_OK)
        return status;
    walked->next_id = walked->filter->id;
    walked->box = box_make(HL_DLQ_EVENT_MAX);
    return walked->box == NULL ? no_memory(error) : HL_OK;
}

static hl_status walk_step_locked(walk *walked, hl_error *error)
{
    hl_dlq *const dlq = walked->dlq;
    const hl_dlq_filter *const filter = walked->filter;
    hl_dlq_entry *entry;
    while ((entry = hl_dlq_index_from(&dlq->index, walked->next_id)) != NULL) {
        if (filter->id != 0 && entry->id != filter->id)
            break;
        walked->next_id = entry->id + 1;
        if (filter->state != 0 && (uint32_t)filter->state != entry->state)
            continue;
        const hl_status status = hl_dlq_load(dlq, entry, dlq->scratch, error);
        if (status != HL_OK)
            return status;
        unpack(dlq, hl_dlq_body(dlq->scratch), walked->box);
        if (passes(filter, &walked->box->letter))
            return HL_OK;
    }
    return HL_NOT_FOUND;
}

/* The next letter, in walked->box; HL_NOT_FOUND: no more. */
static hl_status walk_step(walk *walked, hl_error *error)
{
    pthread_mutex_lock(&walked->dlq->lock);
    const hl_status status = walk_step_locked(walked, error);
    pthread_mutex_unlock(&walked->dlq->lock);
    return status;
}

/* ------- looking ------- */

hl_status hl_dlq_list(hl_dlq *dlq, const hl_dlq_filter *filter, hl_dlq_visitor visitor,
                      void *context, hl_error *error)
{
    walk walked;
    hl_status status = walk_begin(&walked, dlq, filter, error);
    while (status == HL_OK) {
        status = walk_step(&walked, error);
        if (status == HL_OK && !visitor(&walked.box->letter, context))
            break;
    }
    free(walked.box);
    return status == HL_NOT_FOUND ? HL_OK : status;
}

static bool count_letter(const hl_dead_letter *letter, void *context)
{
    (void)letter;
    ++*(uint64_t *)context;
    return true;
}

hl_status hl_dlq_count(hl_dlq *dlq, const hl_dlq_filter *filter, uint64_t *ret_count,
                       hl_error *error)
{
    uint64_t count = 0;
    const hl_status status = hl_dlq_list(dlq, filter, count_letter, &count, error);
    if (status == HL_OK)
        *ret_count = count;
    return status;
}

static hl_status get_locked(hl_dlq *dlq, uint64_t id, hl_dead_letter **ret_letter, hl_error *error)
{
    const hl_dlq_entry *const entry = hl_dlq_index_find(&dlq->index, id);
    if (entry == NULL)
        return hl_error_set(error, HL_NOT_FOUND, "there is no dead letter %" PRIu64, id);
    const hl_status status = hl_dlq_load(dlq, entry, dlq->scratch, error);
    if (status != HL_OK)
        return status;
    const hl_dlq_letter *const letter = hl_dlq_body(dlq->scratch);
    letter_box *const box = box_make(letter->event_size);
    if (box == NULL)
        return no_memory(error);
    unpack(dlq, letter, box);
    *ret_letter = &box->letter;
    return HL_OK;
}

hl_status hl_dlq_get(hl_dlq *dlq, uint64_t id, hl_dead_letter **ret_letter, hl_error *error)
{
    hl_status status = hl_dlq_check_owner(dlq, error);
    if (status != HL_OK)
        return status;
    pthread_mutex_lock(&dlq->lock);
    status = get_locked(dlq, id, ret_letter, error);
    pthread_mutex_unlock(&dlq->lock);
    return status;
}

void hl_dead_letter_free(hl_dead_letter *letter)
{
    free(letter); /* the box begins with it */
}

void hl_dlq_stats_get(hl_dlq *dlq, hl_dlq_stats *ret_stats)
{
    hl_error ignored;
    *ret_stats = (hl_dlq_stats){0};
    if (hl_dlq_check_owner(dlq, &ignored) != HL_OK)
        return;
    pthread_mutex_lock(&dlq->lock);
    *ret_stats = dlq->counts;
    ret_stats->waiting = dlq->index.in_state[HL_DEAD_WAITING];
    ret_stats->asked = dlq->index.in_state[HL_DEAD_ASKED];
    ret_stats->redriving = dlq->index.in_state[HL_DEAD_REDRIVING];
    ret_stats->unwritten = dlq->has_file ? dlq->pending_records : 0;
    ret_stats->memory_bytes = dlq->pending_bytes;
    ret_stats->file_bytes = dlq->has_file ? dlq->file.end : 0;
    /* Relaxed: a number for statistics. */
    ret_stats->refused = hl_load_relaxed_u64(&dlq->refused);
    pthread_mutex_unlock(&dlq->lock);
}

/* ------- changing ------- */

static hl_status mark_locked(hl_dlq *dlq, uint64_t id, uint32_t state, hl_error *error)
{
    hl_dlq_entry *const entry = hl_dlq_index_find(&dlq->index, id);
    if (entry == NULL)
        return HL_NOT_FOUND;
    if (entry->state == state)
        return HL_OK;
    return hl_dlq_mark_letter(dlq, entry, state, error);
}

static hl_status mark(hl_dlq *dlq, uint64_t id, uint32_t state, hl_error *error)
{
    pthread_mutex_lock(&dlq->lock);
    const hl_status status = mark_locked(dlq, id, state, error);
    pthread_mutex_unlock(&dlq->lock);
    return status;
}

/* Hands the letter to the bus. What cannot be handed over now stays asked for. */
static hl_status hand_over(hl_dlq *dlq, const hl_dead_letter *letter, hl_dead_redriver redriver,
                           void *context, hl_error *error)
{
    hl_status status = mark(dlq, letter->id, HL_DEAD_REDRIVING, error);
    if (status != HL_OK)
        return status;
    if (redriver(letter, context) == HL_OK)
        return HL_OK;
    status = mark(dlq, letter->id, HL_DEAD_ASKED, error);
    return status == HL_OK ? HL_FULL : status;
}

static hl_status redrive_one(hl_dlq *dlq, const hl_dead_letter *letter, hl_error *error)
{
    if (letter->state == HL_DEAD_REDRIVING)
        return HL_NOT_FOUND;
    pthread_mutex_lock(&dlq->lock);
    const hl_dead_redriver redriver = dlq->redriver;
    void *const context = dlq->redriver_context;
    pthread_mutex_unlock(&dlq->lock);
    return redriver != NULL ? hand_over(dlq, letter, redriver, context, error)
                            : mark(dlq, letter->id, HL_DEAD_ASKED, error);
}

static hl_status purge_one(hl_dlq *dlq, const hl_dead_letter *letter, hl_error *error)
{
    return letter->state == HL_DEAD_REDRIVING ? HL_NOT_FOUND
                                              : mark(dlq, letter->id, HL_DLQ_PURGED, error);
}

hl_status hl_dlq_is_read_only(hl_error *error)
{
    return hl_error_set(error, HL_NOT_ALLOWED, "dlq: it was opened read-only: open it anew");
}

typedef hl_status (*change)(hl_dlq *dlq, const hl_dead_letter *letter, hl_error *error);

/* Changes each letter that passes; those for which the change says HL_NOT_FOUND are left alone, as
 * are those that were gone meanwhile. HL_FULL: asked for, and counted as such. */
static hl_status change_each(hl_dlq *dlq, const hl_dlq_filter *filter, change one,
                             uint64_t *ret_count, hl_error *error)
{
    if (dlq->options.read_only)
        return hl_dlq_is_read_only(error);
    walk walked;
    uint64_t count = 0;
    hl_status status = walk_begin(&walked, dlq, filter, error);
    while (status == HL_OK && (status = walk_step(&walked, error)) == HL_OK) {
        const hl_status changed = one(dlq, &walked.box->letter, error);
        count += changed == HL_OK || changed == HL_FULL;
        if (changed != HL_OK && changed != HL_FULL && changed != HL_NOT_FOUND)
            status = changed;
    }
    free(walked.box);
    if (ret_count != NULL)
        *ret_count = count;
    if (status != HL_NOT_FOUND)
        return status;
    return count > 0 ? HL_OK : hl_error_set(error, HL_NOT_FOUND, "no dead letter is meant by that");
}

/* What was marked is written before the call returns. */
static hl_status change_and_write(hl_dlq *dlq, const hl_dlq_filter *filter, change one,
                                  uint64_t *ret_count, hl_error *error)
{
    const hl_status status = change_each(dlq, filter, one, ret_count, error);
    if (status != HL_OK)
        return status;
    pthread_mutex_lock(&dlq->lock);
    const hl_status written = hl_dlq_flush(dlq, error);
    pthread_mutex_unlock(&dlq->lock);
    return written;
}

hl_status hl_dlq_redrive(hl_dlq *dlq, const hl_dlq_filter *filter, uint64_t *ret_count,
                         hl_error *error)
{
    return change_and_write(dlq, filter, redrive_one, ret_count, error);
}

hl_status hl_dlq_purge(hl_dlq *dlq, const hl_dlq_filter *filter, uint64_t *ret_count,
                       hl_error *error)
{
    return change_and_write(dlq, filter, purge_one, ret_count, error);
}

/* ------- names ------- */

const char *hl_dead_reason_name(hl_dead_reason reason)
{
    switch (reason) {
#define REASON_NAME(code, value, name, text) \
    case code:                               \
        return name;
        HL_DEAD_REASON_LIST(REASON_NAME)
#undef REASON_NAME
    }
    return "unknown";
}

const char *hl_dead_reason_text(hl_dead_reason reason)
{
    switch (reason) {
#define REASON_TEXT(code, value, name, text) \
    case code:                               \
        return text;
        HL_DEAD_REASON_LIST(REASON_TEXT)
#undef REASON_TEXT
    }
    return "unknown";
}

const char *hl_dead_state_name(hl_dead_state state)
{
    switch (state) {
    case HL_DEAD_WAITING:
        return "waiting";
    case HL_DEAD_ASKED:
        return "asked";
    case HL_DEAD_REDRIVING:
        return "redriving";
    }
    return "unknown";
}
