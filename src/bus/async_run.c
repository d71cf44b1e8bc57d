/*
 * What becomes of the events of a queue that a worker has in its hand: the handler's call, its
 * outcome, batches.
 */
#include "bus/async_queue.h"
#include "bus/bus.h"
#include "bus/guard.h"
#include "bus/hold.h"
#include "bus/output.h"

#define NOBODY              0
#define MEASURED_EVERY      8         /* calls of handlers: one in so many, as in dispatch.c */
#define PATIENCE_NS         HL_SECOND /* how long an event waits in its place for its output's room */
#define PATIENCE_OF_STOP_NS (10 * HL_MILLISECOND)

bool hl_async_must_stop(const hl_worker *worker, const hl_async *async)
{
    return hl_command_waiting(&worker->executor->commands) ||
           hl_subscription_is_ending(async->subscription);
}

bool hl_async_is_flushed(const hl_async *async)
{
    /* FLUSH: (executor.h) relaxed, a stop waits for no time. */
    return hl_load_relaxed_u32(&async->pool->workers[0].executor->flush_dues) != 0;
}

/* ---- the handler ---- */

/* Of a batch its first event, which has waited longest. */
static void note_when_slow(const hl_worker *worker, const hl_subscription *subscription,
                           uint64_t id, const hl_event *event, uint64_t began_ns)
{
    const uint32_t partition = hl_id_partition(id);
    const hl_domain *const domain = subscription->bus->partitions[partition].domain;
    hl_slowest *const slowest = &worker->executor->slowest[domain->index];
    /* News has no time of its own. */
    if (event->published_ns != 0 && began_ns > event->published_ns &&
        began_ns - event->published_ns > slowest->least_ns)
        hl_slowest_note(slowest, worker->executor, event,
                        hl_event_id_of(partition, event->sequence), 0, began_ns);
}

/* What the handler published stands or falls with its status. The watchdog looks at calls, event
 * and event_id: relaxed, hints. */
static hl_status call(hl_worker *worker, const hl_async *async, uint64_t id,
                      const hl_event *const *events, uint32_t count)
{
    const hl_subscription *const subscription = async->subscription;
    hl_publisher *const out = worker->out;
    const hl_event *const last = events[count - 1];
    hl_status status;
    hl_count(&worker->calls, 1);
    const uint64_t began_ns =
        worker->calls % MEASURED_EVERY == 0 ? hl_bus_now(worker->executor->bus) : 0;
    hl_store_relaxed_u64(&out->event_id, id); /* Relaxed both: as said. */
    hl_store_relaxed_ptr((void **)(void *)&out->event, (void *)(uintptr_t)last);
    out->full = NULL;
    out->batch_taken = 0;
    if (subscription->options.batch != NULL) {
        const hl_batch batch = {events, count};
        out->batch_count = count;
        status = subscription->options.batch(&batch, out, subscription->context);
        out->batch_count = 0;
    } else {
        status = subscription->handler(last, out, subscription->context);
    }
    if (began_ns != 0)
        note_when_slow(worker, subscription, id, events[0], began_ns);
    const bool published = out->staged != NULL || out->batch_taken != 0;
    if (out->staged != NULL)
        hl_output_settle(out, status == HL_OK);
    /* Relaxed: HELD tells the next holder. */
    if (published && !async->is_shared)
        hl_store_relaxed_u32(&worker->strand->published_by, worker->index + 1);
    hl_store_relaxed_ptr((void **)(void *)&out->event, NULL); /* Relaxed: as said. */
    return status;
}

/* Of `count` events, how many the handler is through with, by what it has said. */
static uint32_t done_of(const hl_worker *worker, hl_status status, uint32_t count)
{
    const uint32_t taken = worker->out->batch_taken;
    return status == HL_OK || taken > count ? count : taken;
}

void hl_async_tell(hl_worker *worker, const hl_async *async, uint64_t id, const hl_event *news)
{
    (void)call(worker, async, id, &news, 1); /* news has no other outcome than being told */
}

static void count_finished(const hl_worker *worker, uint32_t count)
{
    uint64_t *const finished = &worker->executor->finished[worker->pool->kind];
    /* DRAINED: release, after what the handler published is counted. */
    hl_store_release_u64(finished, hl_load_relaxed_u64(finished) + count);
}

/* ---- the guard ---- */

/* Whether each event is its guard's. */
static bool is_guarded(const hl_async *async, const hl_cell *cell)
{
    return async->guard != NULL &&
           /* Relaxed both: the strand's holder stores the one, the other is a hint. */
           ((cell != NULL && hl_load_relaxed_u32(&cell->state) == HL_CELL_GUARDED) ||
            hl_load_relaxed_u32(&async->wary) != 0);
}

/* The strand whose ward may keep what the worker has in hand: its own; of one that is for all, one
 * that nobody has. There is one: as many as workers, each of which has at most one. */
static hl_strand *take_ward(const hl_worker *worker, const hl_async *async)
{
    if (worker->strand->cells != NULL)
        return worker->strand;
    for (uint32_t i = worker->index;; i++) {
        hl_strand *const strand = &async->strands[1 + i % (async->strand_count - 1)];
        uint32_t nobody = NOBODY;
        /* HELD: acquire, its ward is as the last holder left it. */
        if (hl_compare_exchange_acq_rel_u32(&strand->holder, &nobody, worker->index + 1))
            return strand;
        hl_pause();
    }
}

static void leave_ward(const hl_worker *worker, hl_strand *strand)
{
    if (strand != worker->strand)
        hl_store_release_u32(&strand->holder, NOBODY); /* HELD: release, as in async_strand.c. */
}

static void fail(hl_worker *worker, const hl_async_box *box, hl_status status,
                 const hl_event *const *events, uint32_t count)
{
    const hl_async *const async = box->async;
    hl_async_share *const share = &async->shares[worker->index];
    hl_count(&share->failures, 1);
    if (async->guard == NULL) {
        hl_count(&share->skipped, count);
        return;
    }
    hl_strand *const strand = take_ward(worker, async);
    async->guard->failed(worker, strand, &strand->cells[box - async->boxes], status, events, count);
    leave_ward(worker, strand);
}

static void take_guarded(hl_worker *worker, const hl_async_box *box, const hl_event *event)
{
    const hl_async *const async = box->async;
    hl_strand *const mine = worker->strand;
    hl_strand *const strand = take_ward(worker, async);
    worker->strand = strand;
    async->guard->take(worker, strand, &strand->cells[box - async->boxes], event);
    worker->strand = mine;
    leave_ward(worker, strand);
}

void hl_async_handle(hl_worker *worker, hl_cell *cell, const hl_event *event)
{
    const hl_subscription *const subscription = cell->subscription;
    const hl_async *const async = subscription->async;
    hl_strand *const strand = worker->strand;
    const uint32_t partition = subscription->first_partition + (uint32_t)(cell - strand->cells);
    const uint64_t id = hl_event_id_of(partition, event->sequence);
    const hl_status status = call(worker, async, id, &event, 1);
    const uint32_t done = done_of(worker, status, 1);
    hl_count(&cell->handled, done);
    hl_count(&worker->executor->events, 1);
    if (status == HL_OK && is_guarded(async, cell))
        async->guard->succeeded(worker, strand, cell);
    if (status == HL_OK)
        return;
    hl_count(&cell->failures, 1);
    async->guard->failed(worker, strand, cell, status, &event, 1 - done);
}

/* ---- want of room ---- */

hl_outlet *hl_worker_found_no_room(const hl_worker *worker, hl_status status)
{
    hl_outlet *const full = worker->out->full;
    return full != NULL && (status == HL_RETRY || status == HL_FULL) &&
                   worker->out->full_slots - 1 <= full->mask
               ? full
               : NULL;
}

/* Whose queue a lane's next event waits for, maybe behind what its partition's journal withholds;
 * NULL: nobody's. Relaxed: it stays so as long as the head of that queue is not through. */
static const void *waited_for(const hl_outlet *lane)
{
    const void *const by = hl_load_relaxed_ptr((void *const *)(const void *)&lane->inlet->hold->by);
    if (by != &hl_held_by_journal)
        return by;
    /* Relaxed: as said. */
    return hl_load_relaxed_ptr((void *const *)(const void *)&lane->inlet->partition->withheld_for);
}

/* How long an event waits in its place: a stop waits for no time. */
static uint64_t patience_ns(const hl_async *async)
{
    return hl_async_is_flushed(async) ? PATIENCE_OF_STOP_NS : PATIENCE_NS;
}

/* Whether an event is to keep its place until there is room. Not when the full lane waits for this
 * very subscription's queue, whose head this event is; and a circle of several, which nobody sees
 * whole, is broken where an event has waited long enough. */
static bool waits_in_place(const hl_worker *worker, const hl_async *async, hl_status status)
{
    const hl_outlet *const full = hl_worker_found_no_room(worker, status);
    const hl_strand *const strand = worker->strand;
    if (full == NULL)
        return false;
    return waited_for(full) != async->subscription &&
           (strand->rests_since_ns == 0 ||
            hl_bus_now(worker->executor->bus) - strand->rests_since_ns < patience_ns(async));
}

static void rest(const hl_worker *worker)
{
    const uint64_t now_ns = hl_bus_now(worker->executor->bus);
    if (worker->strand->rests_since_ns == 0)
        worker->strand->rests_since_ns = now_ns;
    /* Relaxed: a hint. */
    hl_store_relaxed_u64(&worker->strand->rests_until_ns, hl_due_after(now_ns, HL_ASYNC_ROOM_NS));
}

/* ---- events of a queue ---- */

/* Not guarded: how many are done with. */
static uint32_t run_freely(hl_worker *worker, const hl_async_queue *queue,
                           const hl_event *const *events, uint32_t count, bool may_stay)
{
    const hl_async *const async = queue->box->async;
    hl_async_share *const share = &async->shares[worker->index];
    const uint64_t id = hl_event_id_of(queue->partition->number, events[count - 1]->sequence);
    const hl_status status = call(worker, async, id, events, count);
    const uint32_t done = done_of(worker, status, count);
    hl_count(&share->handled, done);
    if (status != HL_OK && may_stay && waits_in_place(worker, async, status)) {
        hl_count(&share->taken, (uint64_t)done - count);
        if (done != 0)
            worker->strand->rests_since_ns = 0;
        rest(worker);
        hl_count(&worker->executor->events, done);
        return done;
    }
    if (status != HL_OK)
        fail(worker, queue->box, status, events + done, count - done);
    if (may_stay)
        worker->strand->rests_since_ns = 0;
    hl_count(&worker->executor->events, count);
    return count;
}

/* One by one: each may have to wait behind another one, or ask the breaker. */
static void run_guarded(hl_worker *worker, const hl_async_box *box, const hl_event *const *events,
                        uint32_t count)
{
    const hl_async *const async = box->async;
    for (uint32_t i = 0; i < count; i++)
        if (i == 0 || !hl_subscription_is_ending(async->subscription))
            take_guarded(worker, box, events[i]);
        else
            hl_count(&async->shares[worker->index].cancelled, 1);
}

uint32_t hl_async_run(hl_worker *worker, const hl_async_queue *queue, const hl_event *const *events,
                      uint32_t count, bool may_stay)
{
    const hl_async_box *const box = queue->box;
    const hl_async *const async = box->async;
    const hl_cell *const cells = worker->strand->cells;
    uint32_t done = count;
    if ((events[0]->flags & HL_EVENT_LOST) != 0) {
        const uint64_t id = hl_event_id_of(queue->partition->number, events[0]->sequence);
        hl_async_tell(worker, async, id, events[0]);
    } else {
        hl_count(&async->shares[worker->index].taken, count);
        if (!is_guarded(async, cells != NULL ? &cells[box - async->boxes] : NULL))
            done = run_freely(worker, queue, events, count, may_stay);
        else
            run_guarded(worker, box, events, count);
    }
    count_finished(worker, done);
    return done;
}

/* ---- batches ---- */

/* Whether there is reason to take what is there, though it is less than a batch. */
static bool hurries(const hl_async_queue *queue)
{
    /* HURRY: relaxed both, hints; who takes looks again. */
    return hl_load_relaxed_u64(&queue->hurried) != hl_load_relaxed_u64(&queue->hurried_seen) ||
           hl_async_is_flushed(queue->box->async);
}

bool hl_async_queue_is_ready(const hl_async_queue *queue)
{
    const hl_async *const async = queue->box->async;
    const hl_subscription_options *const options = &async->subscription->options;
    if (!async->kind->ready(queue, 1))
        return false;
    if (options->batch == NULL || options->batch_wait_ns == 0)
        return true;
    const uint64_t due_ns = hl_load_relaxed_u64(&queue->batch_due_ns); /* Relaxed: a hint. */
    return due_ns == 0 || hl_bus_now(async->subscription->bus) >= due_ns ||
           async->kind->ready(queue, options->batch_events) || hurries(queue);
}

/* Whether what is there waits for company; the time that it may begins when that is seen. */
static bool must_wait(hl_async_queue *queue)
{
    const hl_async *const async = queue->box->async;
    const uint64_t now_ns = hl_bus_now(async->subscription->bus);
    if (!async->kind->ready(queue, 1))
        return true;
    /* Relaxed: of a shared strand the worker that was last here may have stored it just now. */
    if (hl_load_relaxed_u64(&queue->batch_due_ns) == 0 &&
        async->subscription->options.batch_wait_ns != 0)
        /* Relaxed: as above. */
        hl_store_relaxed_u64(&queue->batch_due_ns,
                             hl_due_after(now_ns, async->subscription->options.batch_wait_ns));
    return !hl_async_queue_is_ready(queue);
}

/* News, and what is urgent, where it is not said that it may be batched. */
static bool comes_alone(const hl_async *async, const hl_event *event)
{
    return (event->flags & HL_EVENT_LOST) != 0 ||
           (event->priority <= HL_HIGH && !async->subscription->options.batch_urgent);
}

/* How many of the first ones are one batch. */
static uint32_t piece_of(const hl_async *async, const hl_event *const *events, uint32_t count)
{
    uint32_t n = 1;
    if (!comes_alone(async, events[0]))
        while (n < count && !comes_alone(async, events[n]))
            n++;
    return n;
}

/* The subscription ends, and these were taken out of their queue. */
static void cancel_rest(const hl_worker *worker, const hl_async *async,
                        const hl_event *const *events, uint32_t count)
{
    hl_async_share *const share = &async->shares[worker->index];
    uint32_t cancelled = 0;
    for (uint32_t i = 0; i < count; i++)
        cancelled += (events[i]->flags & HL_EVENT_LOST) == 0;
    hl_count(&share->taken, cancelled);
    hl_count(&share->cancelled, cancelled);
    count_finished(worker, count);
}

/* How many are done with. */
static uint32_t run_pieces(hl_worker *worker, const hl_async_queue *queue,
                           const hl_event *const *events, uint32_t count)
{
    const hl_async *const async = queue->box->async;
    const bool stays = async->kind->stays;
    uint32_t at = 0;
    while (at < count) {
        if (hl_subscription_is_ending(async->subscription)) {
            if (stays)
                return at;
            cancel_rest(worker, async, events + at, count - at);
            return count;
        }
        const uint32_t piece = piece_of(async, events + at, count - at);
        const uint32_t done = hl_async_run(worker, queue, events + at, piece, stays);
        at += done;
        if (done < piece)
            return at;
    }
    return at;
}

uint32_t hl_async_serve_batches(hl_worker *worker, hl_async_queue *queue, uint32_t max)
{
    const hl_async *const async = queue->box->async;
    const hl_event **const events = async->shares[worker->index].events;
    const uint32_t most = async->subscription->options.batch_events;
    uint32_t handled = 0, count = 1, done = 1;
    while (handled < max && done == count && !hl_async_must_stop(worker, async) &&
           !must_wait(queue)) {
        uint64_t position;
        /* HURRY: acquire, what is not to wait is seen. */
        const uint64_t hurried = hl_load_acquire_u64(&queue->hurried);
        count = async->kind->gather(queue, most, events, &position);
        if (count < most)
            hl_store_relaxed_u64(&queue->hurried_seen, hurried); /* Relaxed: a hint. */
        if (count == 0)
            break;
        hl_store_relaxed_u64(&queue->batch_due_ns, 0); /* Relaxed: a hint to others. */
        done = run_pieces(worker, queue, events, count);
        async->kind->done(queue, position, done);
        handled += done;
    }
    return handled;
}
