#include "bus/async_eject.h"

#include <stddef.h>
#include <stdio.h>

#include <hotlane/system.h>

#include "bus/async_queue.h"
#include "bus/bus.h"
#include "bus/past.h"

#define LOOKS_AN_AGE 8 /* how often in eject_age_ns it is looked whether an image is through */

/* ---- it is too far behind ---- */

static void eject(hl_partition *partition, hl_async_box *box, const hl_lost *lost, uint64_t behind,
                  uint64_t age_ns)
{
    const hl_subscription *const subscription = box->async->subscription;
    /* Relaxed: the partition's own; for others, see TOLD. */
    hl_store_relaxed_u32(&box->cell->state, HL_CELL_EJECTED);
    hl_count(&box->ejections, 1);
    const uint64_t last =
        lost->count != 0 ? lost->first_sequence - 1 : hl_partition_handed_out(partition);
    box->ejected = (hl_ejected){last, behind, age_ns};
    hl_store_release_u32(&box->eject, HL_EJECT_UNTOLD); /* TOLD: release, after what it says. */
    hl_system_eject news = {
        .partition = partition->number, .behind = behind, .age_ns = age_ns, .last_sequence = last};
    snprintf(news.subscription, sizeof news.subscription, "%s", subscription->name);
    hl_notice(partition->bus, HL_TOPIC_EJECT, subscription->serial, &news, sizeof news);
    hl_async_forget_age(partition, box);
}

/* When an event will have waited too long. How old an image's value is says nothing of the
 * subscriber; but what is behind it is not to be looked at much too late. */
static uint64_t too_old_at(const hl_event *event, uint64_t age_ns, uint64_t now_ns)
{
    return (event->flags & HL_EVENT_IMAGE) != 0 ? hl_due_after(now_ns, 1 + age_ns / LOOKS_AN_AGE)
                                                : hl_due_after(event->published_ns, age_ns);
}

/* Ejects the box's subscription when one has waited too long in one of its queues, or looks again
 * when the oldest will have. */
static uint32_t serve_age(hl_partition *partition, hl_due *due, uint64_t until_ns)
{
    hl_async_box *const box =
        (hl_async_box *)(void *)((char *)due - offsetof(hl_async_box, ageing));
    const hl_async *const async = box->async;
    const uint64_t now_ns = partition->executor->now_ns; /* a stop makes nothing older */
    bool waits = false;
    (void)until_ns;
    due->due_ns = UINT64_MAX;
    for (uint32_t i = 0; i < async->queue_strands; i++) {
        const hl_event *oldest;
        const uint64_t behind = async->kind->waiting(&box->queues[i], &oldest);
        if (oldest == NULL)
            continue;
        waits = true;
        const uint64_t at_ns =
            too_old_at(oldest, async->subscription->options.eject_age_ns, now_ns);
        if (now_ns >= at_ns) {
            eject(partition, box, &box->queues[i].lost, behind, now_ns - oldest->published_ns);
            hl_pool_notify(async->pool);
            return 0;
        }
        if (at_ns < due->due_ns)
            due->due_ns = at_ns;
    }
    if (!waits)
        hl_async_forget_age(partition, box);
    return 0;
}

void hl_async_check_pace(hl_partition *partition, hl_async_queue *queue)
{
    hl_async_box *const box = queue->box;
    const hl_subscription_options *const options = &box->async->subscription->options;
    const hl_event *oldest;
    const uint64_t behind = box->async->kind->waiting(queue, &oldest);
    if (behind > options->eject_behind || queue->lost.count != 0) {
        eject(partition, box, &queue->lost, behind, 0);
    } else if (options->eject_age_ns != 0 && !box->is_ageing && oldest != NULL) {
        box->is_ageing = true;
        /* It calls no handler: it has its turn whatever waits in the lanes. */
        box->ageing = (hl_due){
            .due_ns = too_old_at(oldest, options->eject_age_ns, partition->executor->now_ns),
            .level = HL_CRITICAL,
            .serve = serve_age};
        hl_due_open(partition, &box->ageing);
    }
}

void hl_async_forget_age(hl_partition *partition, hl_async_box *box)
{
    if (!box->is_ageing)
        return;
    box->is_ageing = false;
    hl_due_close(partition, &box->ageing);
}

/* ---- it is taken up again ---- */

bool hl_async_ask_back(hl_async_box *box)
{
    uint32_t told = HL_EJECT_TOLD;
    /* TOLD: acq_rel, the ejection that was told is behind it. */
    return hl_compare_exchange_acq_rel_u32(&box->eject, &told, HL_EJECT_RETURNS);
}

void hl_async_reattach(hl_partition *partition, hl_cell *cell)
{
    hl_async_box *const box = cell->waiting;
    /* TOLD: acquire, as it was stored. */
    if (hl_load_acquire_u32(&box->eject) != HL_EJECT_RETURNS)
        return;
    hl_store_release_u32(&box->eject, HL_EJECT_NONE);    /* TOLD: release; nobody asks any more. */
    hl_store_relaxed_u32(&cell->state, HL_CELL_WAITING); /* Relaxed: the partition's own. */
    for (uint32_t i = 0; i < box->async->queue_strands; i++)
        box->queues[i].lost = (hl_lost){0}; /* it was told that all was */
    hl_cell_attach(partition, cell);
}

/* ---- news of an ejection ---- */

static bool box_is_empty(const hl_async_box *box)
{
    const hl_past_phase phase = hl_past_phase_of(box);
    const hl_async_kind *const kind = box->async->kind;
    if (phase == HL_PAST_READING)
        return false;
    for (uint32_t i = 0; i < box->async->queue_strands; i++)
        if (kind->ready(&box->queues[i], 1) ||
            (phase != HL_PAST_NONE && kind->ready(&box->past->queues[i], 1)))
            return false;
    return true;
}

static bool is_untold(const hl_async_box *box)
{
    return hl_load_relaxed_u32(&box->eject) == HL_EJECT_UNTOLD; /* TOLD: relaxed, a hint. */
}

bool hl_async_may_tell_ejection(const hl_async_box *box)
{
    return is_untold(box) && box_is_empty(box);
}

uint32_t hl_async_tell_ejection(hl_worker *worker, hl_async_box *box)
{
    uint32_t untold = HL_EJECT_UNTOLD;
    union {
        hl_event event;
        unsigned char room[sizeof(hl_event) + sizeof(hl_ejected)];
    } news = {.event = {.flags = HL_EVENT_EJECTED, .payload_size = sizeof(hl_ejected)}};
    if (!hl_async_may_tell_ejection(box) ||
        /* TOLD: acquire, what is told is seen. */
        !hl_compare_exchange_acq_rel_u32(&box->eject, &untold, HL_EJECT_TOLD))
        return 0;
    const hl_subscription *const subscription = box->async->subscription;
    const uint32_t partition = subscription->first_partition + (uint32_t)(box - box->async->boxes);
    news.event.sequence = box->ejected.last_sequence;
    memcpy(news.room + sizeof(hl_event), &box->ejected, sizeof box->ejected);
    hl_async_tell(worker, box->async, hl_event_id_of(partition, news.event.sequence), &news.event);
    return 1;
}
