#include "bus/async.h"

#include <inttypes.h>

#include "bus/async_queue.h"
#include "bus/bus.h"
#include "bus/guard.h"
#include "bus/past.h"
#include "bus/pattern.h"

#define QUEUE_MOST (UINT32_C(1) << 24)
#define KEYS_MOST  ((UINT32_C(1) << 24) - 1)
#define LEAST_ROOM 64 /* bytes behind a queue's event header: news must fit */

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
    if (hl_strand_is_for_all(async, index))
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

/* ---- room ---- */

static hl_async_queue *queue_for(const hl_async_box *box, uint64_t key)
{
    return &box->queues[hl_shard_of(key, box->async->queue_strands)];
}

bool hl_async_has_room(const hl_cell *cell, uint64_t key)
{
    const hl_async_box *const box = cell->waiting;
    return box->async->kind->has_room(queue_for(box, key));
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
            if (hl_past_phase_of(box) != HL_PAST_NONE)
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
    const hl_past_phase phase = hl_past_phase_of(box);
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
