#include "bus/async.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#include <hotlane/system.h>

#include "bus/async_queue.h"
#include "bus/bus.h"
#include "bus/guard.h"
#include "bus/hold.h"
#include "bus/past.h"
#include "bus/pattern.h"

#define QUEUE_MOST   (UINT32_C(1) << 24)
#define KEYS_MOST    ((UINT32_C(1) << 24) - 1)
#define LOOKS_AN_AGE 8  /* how often in eject_age_ns it is looked whether an image is through */
#define LEAST_ROOM   64 /* bytes behind a queue's event header: news must fit */
#define NOBODY       0
#define KEPT_MOST    16 /* things that are due before a strand's queues have their turn */

/* ---- the options ---- */

static bool is_lossy(const hl_subscription_options *options)
{
    return options->tap || options->contract == HL_CONTRACT_LOSSY;
}

/* A batch must be able to come together where its events wait. */
static hl_status check_batch(hl_bus *bus, const char *pattern,
                             const hl_subscription_options *options)
{
    const bool is_latest = options->contract == HL_CONTRACT_LATEST;
    const bool is_ejected = options->contract == HL_CONTRACT_EJECT;
    const uint32_t room = is_latest    ? options->latest_keys
                          : is_ejected ? options->eject_behind
                                       : options->queue_events;
    if (options->batch == NULL || options->batch_events <= room)
        return HL_OK;
    return hl_bus_fail(bus, HL_INVALID,
                       "subscription \"%s\": batch_events is %u, and %s %u: that many never "
                       "wait together",
                       pattern, options->batch_events,
                       is_latest    ? "latest_keys"
                       : is_ejected ? "eject_behind"
                                    : "queue_events",
                       room);
}

static hl_status check_queue(hl_bus *bus, const char *pattern,
                             const hl_subscription_options *options)
{
    const uint32_t slots = options->queue_events;
    if (slots < 2 || slots > QUEUE_MOST || (slots & (slots - 1)) != 0)
        return hl_bus_fail(bus, HL_INVALID,
                           "subscription \"%s\": queue_events is %u: use a power of two from 2 to "
                           "%u",
                           pattern, slots, QUEUE_MOST);
    if (options->contract == HL_CONTRACT_EJECT &&
        (options->eject_behind < 1 || options->eject_behind > slots))
        return hl_bus_fail(bus, HL_INVALID,
                           "subscription \"%s\": eject_behind is %u: use 1 to %u, which is "
                           "queue_events",
                           pattern, options->eject_behind, slots);
    return HL_OK;
}

/* Only state topics may be conflated. */
static hl_status check_latest(hl_bus *bus, const char *pattern,
                              const hl_subscription_options *options)
{
    if (options->async == HL_ASYNC_UNORDERED)
        return hl_bus_fail(bus, HL_INVALID,
                           "subscription \"%s\": contract latest keeps each key's order: take it "
                           "HL_ASYNC_BY_KEY or HL_ASYNC_ORDERED",
                           pattern);
    if (options->latest_keys < 1 || options->latest_keys > KEYS_MOST)
        return hl_bus_fail(bus, HL_INVALID, "subscription \"%s\": latest_keys is %u: use 1 to %u",
                           pattern, options->latest_keys, KEYS_MOST);
    for (uint32_t i = 0; i < bus->topic_count; i++) {
        const hl_topic_entry *const topic = bus->entries[i];
        if (topic->options.kind != HL_STATE && hl_pattern_matches(pattern, topic->name))
            return hl_bus_fail(
                bus, HL_NOT_ALLOWED,
                "subscription \"%s\": contract latest would conflate topic %s, which "
                "is not of kind HL_STATE: narrow the pattern, or use another contract",
                pattern, topic->name);
    }
    return HL_OK;
}

/* Why its events cannot be tried again as it wishes; NULL: they can. */
static const char *defect_of_retry(const hl_subscription_options *options)
{
    if (options->retry == NULL)
        return NULL;
    if (options->async == HL_ASYNC_UNORDERED && options->retry->order == HL_RETRY_ORDERED)
        return "HL_ASYNC_UNORDERED has no order that could be kept";
    if (options->contract == HL_CONTRACT_LATEST && options->retry->order == HL_RETRY_PASSING)
        return "with contract latest no older value may come after a newer one";
    return NULL;
}

hl_status hl_async_check(hl_bus *bus, const char *pattern, const hl_subscription_options *options)
{
    const hl_status past = hl_past_check(bus, pattern, options);
    if (past != HL_OK)
        return past;
    if (options->async == HL_ASYNC_NONE) {
        if (options->tap || options->contract != HL_CONTRACT_LOSSLESS)
            return hl_bus_fail(bus, HL_INVALID,
                               "subscription \"%s\": a contract, or a tap, is of async "
                               "subscriptions: choose one of enum hl_async_order",
                               pattern);
        return HL_OK;
    }
    if ((unsigned)options->async > HL_ASYNC_ORDERED ||
        (unsigned)options->contract > HL_CONTRACT_EJECT)
        return hl_bus_fail(bus, HL_INVALID,
                           "subscription \"%s\": async is %d and contract %d: use the values of "
                           "enum hl_async_order and enum hl_contract",
                           pattern, (int)options->async, (int)options->contract);
    const char *const retry_defect = defect_of_retry(options);
    if (retry_defect != NULL)
        return hl_bus_fail(bus, HL_INVALID,
                           "subscription \"%s\": retry.order: %s: leave it at "
                           "HL_RETRY_ORDER_OF_DOMAIN",
                           pattern, retry_defect);
    if (options->tap && options->contract != HL_CONTRACT_LOSSY &&
        options->contract != HL_CONTRACT_LOSSLESS)
        return hl_bus_fail(bus, HL_INVALID,
                           "subscription \"%s\": a tap is lossy: leave its contract out", pattern);
    if (bus->pools[HL_POOL_WORKERS] == NULL)
        return hl_bus_fail(bus, HL_NOT_ALLOWED,
                           "subscription \"%s\" is async, but the bus has no workers: set "
                           "max_workers in its configuration",
                           pattern);
    const hl_status status = options->contract == HL_CONTRACT_LATEST
                                 ? check_latest(bus, pattern, options)
                                 : check_queue(bus, pattern, options);
    return status == HL_OK ? check_batch(bus, pattern, options) : status;
}

/* An image is put into a queue in one go: who may not lose any of it must have the room. */
hl_status hl_async_check_image(hl_bus *bus, const hl_subscription *subscription)
{
    const hl_subscription_options *const options = &subscription->options;
    uint64_t keys = 0;
    for (uint32_t i = 0; i < subscription->image_topic_count; i++)
        keys += subscription->image_topics[i]->options.max_keys;
    const uint64_t room =
        options->contract == HL_CONTRACT_EJECT ? options->eject_behind : options->queue_events;
    if (subscription->async == NULL || is_lossy(options) ||
        options->contract == HL_CONTRACT_LATEST || keys <= room)
        return HL_OK;
    return hl_bus_fail(bus, HL_INVALID,
                       "subscription \"%s\": an initial image of up to %" PRIu64
                       " keys has no room in its queue: raise queue_events (and eject_behind), or "
                       "lower the topics' max_keys",
                       subscription->pattern, keys);
}

hl_status hl_async_check_topic(hl_bus *bus, const char *name)
{
    if (bus->pools[HL_POOL_WORKERS] == NULL)
        return HL_OK;
    for (const hl_subscription *s = bus->control->subscriptions; s != NULL; s = s->next)
        if (s->async != NULL && s->async->contract == HL_CONTRACT_LATEST &&
            !hl_subscription_is_closing(s) && hl_pattern_matches(s->pattern, name))
            return hl_bus_fail(bus, HL_NOT_ALLOWED,
                               "topic %s: subscription \"%s\" (contract latest) would conflate it: "
                               "declare it with kind HL_STATE, or narrow that pattern",
                               name, s->name);
    return HL_OK;
}

/* ---- making ---- */

static const hl_async_kind *kind_of(const hl_subscription_options *options)
{
    if (options->contract == HL_CONTRACT_LATEST)
        return &hl_async_latest;
    return options->async == HL_ASYNC_UNORDERED ? &hl_async_unordered : &hl_async_ordered;
}

/* Whether any number of workers may have it. */
static bool is_for_all(const hl_async *async, uint32_t strand)
{
    return async->is_shared && strand == 0;
}

uint32_t hl_async_slot_bytes(const hl_partition *partition)
{
    const uint32_t least = (uint32_t)sizeof(hl_event) + LEAST_ROOM;
    const uint32_t slot = partition->domain->config.slot_size_bytes;
    return slot > least ? slot : least;
}

static bool make_box(hl_async *async, uint32_t i)
{
    const hl_subscription *const subscription = async->subscription;
    const uint32_t slots = async->kind == &hl_async_latest ? subscription->options.latest_keys
                                                           : subscription->options.queue_events;
    const hl_partition *const partition =
        &subscription->bus->partitions[subscription->first_partition + i];
    const uint32_t slot = partition->domain->config.slot_size_bytes;
    hl_async_box *const box = &async->boxes[i];
    box->async = async;
    box->cell = &subscription->cells[i];
    box->queues = &async->queues[(size_t)i * async->queue_strands];
    box->cell->delivery = &async->kind->delivery;
    box->cell->waiting = box;
    if (slot > async->slot_size_bytes)
        async->slot_size_bytes = slot;
    for (uint32_t s = 0; s < async->queue_strands; s++) {
        box->queues[s].box = box;
        box->queues[s].partition = partition;
        if (!async->kind->make(&box->queues[s], hl_async_slot_bytes(partition), slots))
            return false;
    }
    return true;
}

static bool make_strand(const hl_async *async, uint32_t index)
{
    hl_strand *const strand = &async->strands[index];
    strand->due_ns = UINT64_MAX;
    if (is_for_all(async, index))
        return true;
    strand->cells = hl_allocate(async->box_count, sizeof *strand->cells);
    for (uint32_t i = 0; strand->cells != NULL && i < async->box_count; i++) {
        strand->cells[i].subscription = async->subscription;
        strand->cells[i].state = HL_CELL_ATTACHED;
    }
    return strand->cells != NULL;
}

static bool make_share(const hl_async *async, uint32_t index)
{
    const hl_subscription_options *const options = &async->subscription->options;
    hl_async_share *const share = &async->shares[index];
    share->next_strand = index % async->strand_count;
    if (options->batch == NULL)
        return true;
    share->events = calloc(options->batch_events, sizeof *share->events);
    return share->events != NULL;
}

bool hl_async_make(hl_subscription *subscription)
{
    const hl_subscription_options *const options = &subscription->options;
    hl_async *const async = hl_allocate(1, sizeof *async);
    if (async == NULL)
        return false;
    subscription->async = async;
    async->subscription = subscription;
    async->pool = subscription->bus->pools[options->tap ? HL_POOL_TAPS : HL_POOL_WORKERS];
    async->kind = kind_of(options);
    async->contract = is_lossy(options) ? HL_CONTRACT_LOSSY : options->contract;
    async->is_shared = async->kind == &hl_async_unordered;
    async->queue_strands = options->async == HL_ASYNC_BY_KEY ? async->pool->count : 1;
    async->strand_count = async->is_shared ? 1 + async->pool->count : async->queue_strands;
    async->box_count = subscription->partition_count;
    async->strands = hl_allocate(async->strand_count, sizeof *async->strands);
    async->boxes = hl_allocate(async->box_count, sizeof *async->boxes);
    async->queues =
        hl_allocate((size_t)async->box_count * async->queue_strands, sizeof *async->queues);
    async->shares = hl_allocate(async->pool->count, sizeof *async->shares);
    bool whole = async->strands != NULL && async->boxes != NULL && async->queues != NULL &&
                 async->shares != NULL;
    for (uint32_t i = 0; whole && i < async->box_count; i++)
        whole = make_box(async, i);
    for (uint32_t i = 0; whole && i < async->strand_count; i++)
        whole = make_strand(async, i);
    for (uint32_t i = 0; whole && i < async->pool->count; i++)
        whole = make_share(async, i);
    return whole;
}

void hl_async_free(hl_async *async)
{
    if (async == NULL)
        return;
    if (async->guard != NULL)
        async->guard->free(async);
    for (uint32_t i = 0; async->queues != NULL && i < async->box_count * async->queue_strands; i++)
        free(async->queues[i].memory);
    for (uint32_t i = 0; async->boxes != NULL && i < async->box_count; i++)
        hl_past_free(&async->boxes[i]);
    for (uint32_t i = 0; async->strands != NULL && i < async->strand_count; i++)
        free(async->strands[i].cells);
    for (uint32_t i = 0; async->shares != NULL && i < async->pool->count; i++)
        free(async->shares[i].events);
    free(async->strands);
    free(async->boxes);
    free(async->queues);
    free(async->shares);
    free(async);
}

/* ---- the partition's side ---- */

static hl_async_queue *queue_for(const hl_async_box *box, uint64_t key)
{
    return &box->queues[hl_shard_of(key, box->async->queue_strands)];
}

bool hl_async_has_room(const hl_cell *cell, uint64_t key)
{
    const hl_async_box *const box = cell->waiting;
    return box->async->kind->has_room(queue_for(box, key));
}

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

/* ---- the past, and what is live ---- */

static hl_past_phase phase_of(const hl_async_box *box)
{
    /* PAST: acquire, what was put by then is seen. */
    return (hl_past_phase)hl_load_acquire_u32(&box->phase);
}

bool hl_async_has_turn(const hl_async_queue *queue)
{
    const hl_async_box *const box = queue->box;
    const hl_past_phase phase = phase_of(box);
    return queue->is_past || phase == HL_PAST_NONE ||
           (phase == HL_PAST_PUT &&
            !box->async->kind->ready(&box->past->queues[queue - box->queues], 1));
}

/* Whether a strand's holder finds something in a box. */
static bool box_is_ready(const hl_async_box *box, uint32_t strand)
{
    return (phase_of(box) != HL_PAST_NONE && hl_async_queue_is_ready(&box->past->queues[strand])) ||
           (hl_async_has_turn(&box->queues[strand]) &&
            hl_async_queue_is_ready(&box->queues[strand]));
}

/* ---- news of an ejection ---- */

static bool box_is_empty(const hl_async_box *box)
{
    const hl_past_phase phase = phase_of(box);
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

/* Tells it, behind the last event; by whoever has the first strand. */
static uint32_t tell_ejection(hl_worker *worker, hl_async_box *box)
{
    uint32_t untold = HL_EJECT_UNTOLD;
    union {
        hl_event event;
        unsigned char room[sizeof(hl_event) + sizeof(hl_ejected)];
    } news = {.event = {.flags = HL_EVENT_EJECTED, .payload_size = sizeof(hl_ejected)}};
    if (!is_untold(box) || !box_is_empty(box) ||
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

/* ---- a worker's side: strands ---- */

static hl_async_queue *queue_at(const hl_async *async, uint32_t box, uint32_t strand)
{
    return &async->queues[(size_t)box * async->queue_strands + strand];
}

static bool strand_is_ready(const hl_async *async, uint32_t strand)
{
    for (uint32_t i = 0; strand < async->queue_strands && i < async->box_count; i++)
        if (box_is_ready(&async->boxes[i], strand) ||
            (strand == 0 && is_untold(&async->boxes[i]) && box_is_empty(&async->boxes[i])))
            return true;
    return false;
}

static bool is_resting(const hl_async *async, const hl_strand *strand)
{
    const uint64_t until_ns = hl_load_relaxed_u64(&strand->rests_until_ns); /* Relaxed: a hint. */
    return until_ns != 0 && hl_bus_now(async->subscription->bus) < until_ns &&
           !hl_async_is_flushed(async);
}

/* Whether something that its ward keeps is due, or its breaker has changed since; a hint. */
static bool kept_is_due(const hl_async *async, const hl_strand *strand)
{
    const uint64_t due_ns = hl_load_relaxed_u64(&strand->due_ns); /* Relaxed: a hint. */
    return due_ns != UINT64_MAX &&
           /* Relaxed both: hints. */
           (hl_load_relaxed_u64(&strand->seen_changes) !=
                hl_load_relaxed_u64(&async->breaker_changes) ||
            hl_bus_now(async->subscription->bus) >= due_ns || hl_async_is_flushed(async));
}

/* Whether something waits in a strand that nobody has in hand; a hint. */
static bool is_open(const hl_async *async, uint32_t index)
{
    const hl_strand *const strand = &async->strands[index];
    return (is_for_all(async, index) ||
            hl_load_relaxed_u32(&strand->holder) == NOBODY) && /* hint */
           ((strand_is_ready(async, index) && !is_resting(async, strand)) ||
            kept_is_due(async, strand));
}

/* Whether the worker might take it now; a hint. */
static bool may_take(const hl_worker *worker, const hl_async *async, uint32_t index)
{
    const hl_strand *const strand = &async->strands[index];
    const uint32_t me = worker->index + 1;
    if (!hl_worker_is_active(worker))
        /* What has only waited for this worker's output still may. Relaxed: a hint. */
        return !async->is_shared && hl_load_relaxed_u32(&strand->published_by) == me &&
               is_open(async, index);
    if (!is_open(async, index))
        return false;
    if (async->is_shared)
        return true; /* of those that are for one at a time, none has been in anybody's cache */
    const uint32_t last = hl_load_relaxed_u32(&strand->last); /* Relaxed: a hint. */
    /* Its last holder is awake and looks for work: it has it in its cache. */
    return last == NOBODY || last == me ||
           hl_load_relaxed_u32(&worker->pool->workers[last - 1].searching) == 0; /* a hint */
}

static void give_back(hl_strand *strand)
{
    hl_store_release_u32(&strand->holder, NOBODY); /* HELD: release, all that was done with it. */
}

static bool take_strand(const hl_worker *worker, const hl_async *async, uint32_t index)
{
    hl_strand *const strand = &async->strands[index];
    const uint32_t me = worker->index + 1;
    uint32_t nobody = NOBODY;
    if (is_for_all(async, index))
        return true;
    /* HELD: acquire, the queues are as the last holder left them. */
    if (!hl_compare_exchange_acq_rel_u32(&strand->holder, &nobody, me))
        return false;
    /* Relaxed both: HELD orders them. */
    const uint32_t publisher = hl_load_relaxed_u32(&strand->published_by);
    if (publisher != NOBODY && publisher != me) {
        const hl_worker *const former = &worker->pool->workers[publisher - 1];
        if (!hl_worker_outputs_taken(former)) {
            give_back(strand);
            /* It may be what the partition waits for; it does not look unless it is awake. */
            hl_executor_wake(former->executor);
            return false;
        }
        hl_store_relaxed_u32(&strand->published_by, NOBODY);
    }
    hl_store_relaxed_u32(&strand->last, me); /* Relaxed: a hint to others. */
    return true;
}

/* What is due of what failed before. */
static uint32_t serve_kept(hl_worker *worker, const hl_async *async, uint32_t max)
{
    hl_strand *const strand = worker->strand;
    uint32_t handled = 0;
    for (uint32_t i = 0; i < KEPT_MOST && handled < max && kept_is_due(async, strand) &&
                         !hl_async_must_stop(worker, async);
         i++)
        handled += async->guard->serve(worker, async, strand);
    return handled;
}

static uint32_t serve_queue(hl_worker *worker, hl_async_queue *queue, uint32_t max)
{
    const hl_async *const async = queue->box->async;
    return async->subscription->options.batch == NULL ? async->kind->serve(worker, queue, max)
                                                      : hl_async_serve_batches(worker, queue, max);
}

/* Its past first. */
static uint32_t serve_box(hl_worker *worker, const hl_async_box *box, uint32_t strand, uint32_t max)
{
    uint32_t handled = 0;
    if (__builtin_expect(phase_of(box) != HL_PAST_NONE, 0))
        handled = serve_queue(worker, &box->past->queues[strand], max);
    return handled < max ? handled + serve_queue(worker, &box->queues[strand], max - handled)
                         : handled;
}

static uint32_t serve_queues(hl_worker *worker, hl_async *async, uint32_t index, uint32_t max)
{
    uint32_t handled = 0;
    hl_store_relaxed_u64(&worker->strand->rests_until_ns, 0); /* Relaxed: a hint to others. */
    for (uint32_t i = 0; i < async->box_count; i++) {
        if (handled < max)
            handled += serve_box(worker, &async->boxes[i], index, max - handled);
        if (index == 0 && !hl_subscription_is_ending(async->subscription))
            handled += tell_ejection(worker, &async->boxes[i]);
    }
    return handled;
}

static uint32_t run_strand(hl_worker *worker, hl_async *async, uint32_t index, uint32_t max)
{
    uint32_t handled = 0;
    hl_worker_found(worker);
    worker->strand = &async->strands[index];
    /* SERVING: relaxed, the fence orders it. */
    hl_store_relaxed_ptr((void **)(void *)&worker->serving, async->subscription);
    hl_fence_store_load(); /* SERVING: before `closing` is loaded. */
    if (worker->strand->cells != NULL && async->guard != NULL)
        handled = serve_kept(worker, async, max);
    if (index < async->queue_strands && !is_resting(async, worker->strand))
        handled += serve_queues(worker, async, index, max > handled ? max - handled : 1);
    /* SERVING: release, all that handlers did comes before the context is freed. */
    hl_store_release_ptr((void **)(void *)&worker->serving, NULL);
    return handled;
}

uint32_t hl_async_serve(hl_worker *worker, hl_async *async, uint32_t max)
{
    hl_async_share *const share = &async->shares[worker->index];
    if (hl_subscription_is_ending(async->subscription))
        return 0;
    for (uint32_t i = 0; i < async->strand_count; i++) {
        const uint32_t strand = (share->next_strand + i) % async->strand_count;
        if (!may_take(worker, async, strand) || !take_strand(worker, async, strand))
            continue;
        share->next_strand = (strand + 1) % async->strand_count;
        const uint32_t handled =
            run_strand(worker, async, strand, max < HL_ASYNC_RUN ? max : HL_ASYNC_RUN);
        if (!is_for_all(async, strand))
            give_back(&async->strands[strand]);
        /* What is left there may be for another, as this one goes on to what waits elsewhere. */
        if (handled != 0 && strand_is_ready(async, strand))
            hl_pool_notify(worker->pool);
        if (handled != 0)
            return handled;
    }
    return 0;
}

bool hl_async_has_work(const hl_worker *worker, const hl_async *async)
{
    if (hl_subscription_is_ending(async->subscription))
        return false;
    for (uint32_t i = 0; i < async->strand_count; i++)
        /* Of an active one: before a sleep, what is there counts, whoever else searches. */
        if (hl_worker_is_active(worker) ? is_open(async, i) : may_take(worker, async, i))
            return true;
    return false;
}

bool hl_async_waits(const hl_link *links)
{
    for (const hl_link *link = links; link != NULL; link = link->next_of_worker)
        for (uint32_t i = 0; i < link->subscription->async->strand_count; i++)
            if (is_open(link->subscription->async, i))
                return true;
    return false;
}

static void not_after(uint64_t *limit_ns, uint64_t due_ns, uint64_t now_ns)
{
    const uint64_t left_ns = due_ns > now_ns ? due_ns - now_ns : 1;
    if (due_ns != UINT64_MAX && left_ns < *limit_ns)
        *limit_ns = left_ns;
}

/* Of a strand that somebody has in hand, who has it looks again before it sleeps. */
static void limit_by_strand(const hl_async *async, uint32_t index, uint64_t *limit_ns)
{
    const hl_strand *const strand = &async->strands[index];
    const uint64_t now_ns = hl_bus_now(async->subscription->bus);
    /* Relaxed all: hints. */
    if (!is_for_all(async, index) && hl_load_relaxed_u32(&strand->holder) != NOBODY)
        return;
    not_after(limit_ns, hl_load_relaxed_u64(&strand->due_ns), now_ns);
    for (uint32_t i = 0; index < async->queue_strands && i < async->box_count; i++) {
        const hl_async_queue *const queue = queue_at(async, i, index);
        const uint64_t due_ns = hl_load_relaxed_u64(&queue->batch_due_ns); /* Relaxed: a hint. */
        if (due_ns != 0 && async->kind->ready(queue, 1) && hl_async_has_turn(queue))
            not_after(limit_ns, due_ns, now_ns);
    }
}

static bool rests(const hl_strand *strand)
{
    return hl_load_relaxed_u64(&strand->rests_until_ns) != 0; /* Relaxed: a hint. */
}

uint64_t hl_async_sleep_limit_ns(const hl_worker *worker)
{
    uint64_t limit_ns = UINT64_MAX;
    for (const hl_link *link = worker->links; link != NULL; link = link->next_of_worker)
        for (uint32_t i = 0; i < link->subscription->async->strand_count; i++) {
            if (rests(&link->subscription->async->strands[i]))
                limit_ns = limit_ns < HL_ASYNC_ROOM_NS ? limit_ns : HL_ASYNC_ROOM_NS;
            if (hl_worker_is_active(worker))
                limit_by_strand(link->subscription->async, i, &limit_ns);
        }
    /* The application's clock may jump: it is looked at often. */
    const bool jumps = worker->executor->bus->config.clock != NULL;
    return jumps && limit_ns != UINT64_MAX && limit_ns > HL_MILLISECOND ? HL_MILLISECOND : limit_ns;
}

/* ---- the end, and the counts ---- */

static uint64_t drain_queue(hl_async_queue *queue, hl_executor *executor)
{
    const hl_async *const async = queue->box->async;
    uint64_t slots;
    const uint64_t events = async->kind->drain(queue, &slots);
    hl_count(&queue->box->cancelled, events);
    hl_count(&executor->finished[async->pool->kind], slots);
    return events;
}

uint64_t hl_async_drain(hl_async *async, hl_executor *executor)
{
    uint64_t all = 0;
    for (uint32_t i = 0; i < async->box_count; i++)
        for (uint32_t s = 0; s < async->queue_strands; s++) {
            const hl_async_box *const box = &async->boxes[i];
            all += drain_queue(&box->queues[s], executor);
            if (phase_of(box) != HL_PAST_NONE)
                all += drain_queue(&box->past->queues[s], executor);
        }
    for (uint32_t i = 0; async->guard != NULL && i < async->strand_count; i++)
        if (async->strands[i].cells != NULL)
            async->guard->cancel(async, &async->strands[i], executor);
    /* Relaxed: under the bus's lock, or after the last link (DROP, subscription.h). */
    hl_store_relaxed_u32(&async->is_drained, 1);
    return all;
}

/* What the strands' cells have counted. The number of events that are not with a handler. */
static uint64_t add_up_strands(const hl_async *async, hl_subscription_stats *sum)
{
    uint64_t done = 0;
    for (uint32_t i = 0; i < async->strand_count; i++)
        for (uint32_t b = 0; async->strands[i].cells != NULL && b < async->box_count; b++) {
            const hl_cell *const cell = &async->strands[i].cells[b];
            /* Relaxed all: counters of one writer each. */
            const hl_subscription_stats mine = {
                .handled = hl_load_relaxed_u64(&cell->handled),
                .skipped = hl_load_relaxed_u64(&cell->skipped),
                .cancelled = hl_load_relaxed_u64(&cell->cancelled),
                .dead_lettered = hl_load_relaxed_u64(&cell->dead_lettered),
                .in_retry = hl_load_relaxed_u64(&cell->in_retry), /* Relaxed: as above. */
                .held = hl_load_relaxed_u64(&cell->held)};        /* Relaxed: as above. */
            sum->handled += mine.handled;
            sum->skipped += mine.skipped;
            sum->cancelled += mine.cancelled;
            sum->dead_lettered += mine.dead_lettered;
            sum->in_retry += mine.in_retry;
            sum->held += mine.held;
            sum->failures += hl_load_relaxed_u64(&cell->failures); /* Relaxed: as above. */
            done += mine.handled + mine.skipped + mine.cancelled + mine.dead_lettered +
                    mine.in_retry + mine.held;
        }
    return done;
}

/* What is counted of a box's past. How many events were put into its queues. */
static uint64_t add_past(const hl_async_box *box, hl_subscription_stats *sum)
{
    const hl_past_phase phase = phase_of(box);
    if (phase == HL_PAST_NONE)
        return 0;
    const hl_async_past *const past = box->past;
    sum->catching_up |= phase == HL_PAST_READING;
    if (phase == HL_PAST_READING && *sum->waits_for == '\0')
        hl_past_waits_for(past, sum->waits_for);
    sum->filtered += hl_load_relaxed_u64(&past->filtered);            /* Relaxed: as below. */
    sum->missed += hl_load_relaxed_u64(&past->missed);                /* Relaxed: as below. */
    const uint64_t queued = hl_load_relaxed_u64(&past->queued);       /* Relaxed: as below. */
    const uint64_t delivered = hl_load_relaxed_u64(&past->delivered); /* Relaxed: as below. */
    sum->delivered += delivered;
    sum->replayed += delivered;
    return queued;
}

void hl_async_add_up(const hl_async *async, hl_subscription_stats *sum)
{
    uint64_t taken = 0, queued = 0;
    uint64_t done = add_up_strands(async, sum);
    /* Relaxed all: counters of one writer each; what comes last first, so that a live reading shows
     * the difference as running, and as queued. */
    for (uint32_t i = 0; i < async->pool->count; i++) {
        const hl_async_share *const share = &async->shares[i];
        const uint64_t handled = hl_load_relaxed_u64(&share->handled);     /* Relaxed: as above. */
        const uint64_t skipped = hl_load_relaxed_u64(&share->skipped);     /* Relaxed: as above. */
        const uint64_t cancelled = hl_load_relaxed_u64(&share->cancelled); /* Relaxed: as above. */
        sum->handled += handled;
        sum->skipped += skipped;
        sum->cancelled += cancelled;
        sum->failures += hl_load_relaxed_u64(&share->failures); /* Relaxed: as above. */
        done += handled + skipped + cancelled;
        taken += hl_load_relaxed_u64(&share->taken); /* Relaxed: as above. */
    }
    for (uint32_t i = 0; i < async->box_count; i++) {
        const hl_async_box *const box = &async->boxes[i];
        const uint64_t cancelled = hl_load_relaxed_u64(&box->cancelled); /* Relaxed: as above. */
        sum->cancelled += cancelled;
        taken += cancelled;
        done += cancelled;
        queued += hl_load_relaxed_u64(&box->queued);            /* Relaxed: as above. */
        sum->lost += hl_load_relaxed_u64(&box->lost);           /* Relaxed: as above. */
        sum->conflated += hl_load_relaxed_u64(&box->conflated); /* Relaxed: as above. */
        sum->ejections += hl_load_relaxed_u64(&box->ejections); /* Relaxed: as above. */
        sum->ejected |= hl_load_relaxed_u32(&box->cell->state) == HL_CELL_EJECTED; /* as above */
        queued += add_past(box, sum);
    }
    /* At rest nothing is there: what is missing shows. */
    const bool is_drained = hl_load_relaxed_u32(&async->is_drained) != 0; /* Relaxed: as above. */
    sum->queued += !is_drained && queued > taken ? queued - taken : 0;
    sum->running += taken > done ? taken - done : 0;
}
