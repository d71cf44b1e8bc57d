/* Strands: which worker may take one, what it does there, and how long it may sleep. */
#include "bus/async_eject.h"
#include "bus/async_queue.h"
#include "bus/bus.h"
#include "bus/guard.h"
#include "bus/past.h"

#define NOBODY    0
#define KEPT_MOST 16 /* things that are due before a strand's queues have their turn */

/* ---- what there is ---- */

bool hl_async_has_turn(const hl_async_queue *queue)
{
    const hl_async_box *const box = queue->box;
    const hl_past_phase phase = hl_past_phase_of(box);
    return queue->is_past || phase == HL_PAST_NONE ||
           (phase == HL_PAST_PUT &&
            !box->async->kind->ready(&box->past->queues[queue - box->queues], 1));
}

/* Whether a strand's holder finds something in a box. */
static bool box_is_ready(const hl_async_box *box, uint32_t strand)
{
    return (hl_past_phase_of(box) != HL_PAST_NONE &&
            hl_async_queue_is_ready(&box->past->queues[strand])) ||
           (hl_async_has_turn(&box->queues[strand]) &&
            hl_async_queue_is_ready(&box->queues[strand]));
}

static hl_async_queue *queue_at(const hl_async *async, uint32_t box, uint32_t strand)
{
    return &async->queues[(size_t)box * async->queue_strands + strand];
}

static bool strand_is_ready(const hl_async *async, uint32_t strand)
{
    for (uint32_t i = 0; strand < async->queue_strands && i < async->box_count; i++)
        if (box_is_ready(&async->boxes[i], strand) ||
            (strand == 0 && hl_async_may_tell_ejection(&async->boxes[i])))
            return true;
    return false;
}

/* ---- who may take a strand ---- */

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
    return (hl_strand_is_for_all(async, index) ||
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
    if (hl_strand_is_for_all(async, index))
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

/* ---- a run ---- */

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
    if (__builtin_expect(hl_past_phase_of(box) != HL_PAST_NONE, 0))
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
            handled += hl_async_tell_ejection(worker, &async->boxes[i]);
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
        if (!hl_strand_is_for_all(async, strand))
            give_back(&async->strands[strand]);
        /* What is left there may be for another, as this one goes on to what waits elsewhere. */
        if (handled != 0 && strand_is_ready(async, strand))
            hl_pool_notify(worker->pool);
        if (handled != 0)
            return handled;
    }
    return 0;
}

/* ---- before a sleep ---- */

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
    if (!hl_strand_is_for_all(async, index) && hl_load_relaxed_u32(&strand->holder) != NOBODY)
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
