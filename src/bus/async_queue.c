#include "bus/async_queue.h"

#include <stddef.h>

#include "bus/async_eject.h"
#include "bus/bus.h"
#include "bus/hold.h"

/* Where the news of what the latest-value table has lost lies, beside the keys of topics. */
#define NEWS_GROUP HL_CONFLATE_MAX_GROUP
#define NEWS_KEY   0

/* How long a loss waits for an event that would tell it, and at most between two looks for room. */
#define TELL_AFTER_NS HL_MILLISECOND
#define TELL_MOST_NS  (128 * HL_MILLISECOND)

_Static_assert(sizeof(hl_lost) <= 64 && sizeof(hl_ejected) <= 64, "a queue's slot has room for it");

/* ---- the partition's side ---- */

/* All but the first 8 bytes, which are the queue's. */
static inline void copy_event(void *slot, const hl_event *event)
{
    memcpy((char *)slot + 8, (const char *)event + 8, sizeof *event - 8 + event->payload_size);
}

static inline hl_async_queue *queue_of(const hl_async_box *box, uint64_t key)
{
    return &box->queues[hl_shard_of(key, box->async->queue_strands)];
}

/* Before the copies can be seen: what is finished was handed over. */
static inline void count_handed(const hl_async_queue *queue, uint64_t slots)
{
    const hl_async_box *const box = queue->box;
    hl_count(&queue->partition->executor->handed[box->async->pool->kind], slots);
}

/* What could not be told yet is told in the slot. */
static void write_news(hl_async_queue *queue, void *slot)
{
    hl_event *const news = slot;
    copy_event(slot, &queue->lost_last);
    news->flags |= HL_EVENT_LOST;
    news->payload_size = sizeof queue->lost;
    memcpy(news + 1, &queue->lost, sizeof queue->lost);
}

/* Tells what was lost when no event comes that would; that takes room, as an event does. */
static uint32_t serve_loss(hl_partition *partition, hl_due *due, uint64_t now_ns)
{
    hl_async_queue *const queue =
        (hl_async_queue *)(void *)((char *)due - offsetof(hl_async_queue, telling));
    const hl_async *const async = queue->box->async;
    union {
        hl_event event;
        unsigned char room[sizeof(hl_event) + sizeof(hl_lost)];
    } news;
    (void)now_ns;
    write_news(queue, &news);
    if (queue->lost.count != 0 &&
        !async->kind->put(queue, &news.event, &partition->executor->handed[async->pool->kind])) {
        due->due_ns = hl_due_after(partition->executor->now_ns, queue->tell_after_ns);
        if (queue->tell_after_ns < TELL_MOST_NS)
            queue->tell_after_ns *= 2;
        return 0;
    }
    queue->lost.count = 0;
    queue->is_telling = false;
    hl_due_close(partition, due);
    hl_pool_notify(async->pool);
    return 0;
}

static void note_lost(hl_partition *partition, hl_async_queue *queue, const hl_event *event)
{
    if (queue->lost.count++ == 0)
        queue->lost.first_sequence = event->sequence;
    queue->lost.last_sequence = event->sequence;
    queue->lost_last = *event;
    queue->lost_last.payload_size = 0;
    hl_count(&queue->box->lost, 1);
    if (queue->is_telling || queue->box->async->contract != HL_CONTRACT_LOSSY)
        return;
    queue->is_telling = true;
    queue->tell_after_ns = TELL_AFTER_NS;
    queue->telling = (hl_due){.due_ns = hl_due_after(partition->executor->now_ns, TELL_AFTER_NS),
                              .level = HL_PRIORITIES - 1,
                              .serve = serve_loss};
    hl_due_open(partition, &queue->telling);
}

/* What was put there just now waits for no company. */
static void hurry(hl_async_queue *queue)
{
    /* HURRY: release, after it was put there. */
    hl_store_release_u64(&queue->hurried, queue->hurried + 1);
}

/* What is of the past has no company to wait for but what is there. */
static void put_done(hl_async_queue *queue)
{
    if (queue->box->async->subscription->options.batch != NULL)
        hurry(queue);
}

static void tell(hl_async_queue *queue, const hl_event *event)
{
    const hl_subscription_options *const options = &queue->box->async->subscription->options;
    if (options->batch != NULL && ((event->priority <= HL_HIGH && !options->batch_urgent) ||
                                   hl_cell_is_flushed(queue->box->cell, event)))
        hurry(queue);
    hl_pool_notify(queue->box->async->pool);
}

static void flush(hl_partition *partition, hl_cell *cell)
{
    const hl_async_box *const box = cell->waiting;
    (void)partition;
    for (uint32_t i = 0; i < box->async->queue_strands; i++)
        hurry(&box->queues[i]);
    hl_pool_notify(box->async->pool);
}

static void take_ordered(hl_partition *partition, hl_cell *cell, const hl_event *event)
{
    hl_async_box *const box = cell->waiting;
    hl_async_queue *const queue = queue_of(box, event->key);
    const uint32_t news = queue->lost.count != 0;
    uint64_t position;
    if (__builtin_expect(hl_spsc_try_claim(&queue->producer, 1 + news, &position), 1)) {
        count_handed(queue, 1 + news);
        hl_count(&box->queued, 1);
        if (news != 0) {
            write_news(queue, hl_spsc_slot(&queue->producer, position));
            queue->lost.count = 0;
        }
        copy_event(hl_spsc_slot(&queue->producer, position + news), event);
        hl_spsc_commit(&queue->producer, position, 1 + news);
    } else {
        note_lost(partition, queue, event);
    }
    if (box->async->contract == HL_CONTRACT_EJECT)
        hl_async_check_pace(partition, queue);
    tell(queue, event);
}

static void take_unordered(hl_partition *partition, hl_cell *cell, const hl_event *event)
{
    hl_async_box *const box = cell->waiting;
    hl_async_queue *const queue = box->queues;
    const uint32_t news = queue->lost.count != 0;
    uint64_t position;
    if (hl_mpmc_try_claim(&queue->shared, 1 + news, &position)) {
        count_handed(queue, 1 + news);
        hl_count(&box->queued, 1);
        if (news != 0) {
            write_news(queue, hl_mpmc_slot(&queue->shared, position));
            queue->lost.count = 0;
        }
        copy_event(hl_mpmc_slot(&queue->shared, position + news), event);
        hl_mpmc_commit(&queue->shared, position, 1 + news);
    } else {
        note_lost(partition, queue, event);
    }
    if (box->async->contract == HL_CONTRACT_EJECT)
        hl_async_check_pace(partition, queue);
    tell(queue, event);
}

/* Puts what the table has room for. False: it is of a key too many. */
static bool put_latest(hl_async_queue *queue, uint32_t group, uint64_t key, const hl_event *event,
                       bool *ret_replaced)
{
    hl_conflate_place place;
    void *slot;
    if (hl_conflate_try_claim(&queue->publisher, group, key, &place, &slot) != HL_OK)
        return false;
    if (group == NEWS_GROUP)
        write_news(queue, slot);
    else
        copy_event(slot, event);
    count_handed(queue, 1);
    *ret_replaced = hl_conflate_commit(&queue->publisher, place);
    if (*ret_replaced)
        count_handed(queue, (uint64_t)-1);
    return true;
}

static void take_latest(hl_partition *partition, hl_cell *cell, const hl_event *event)
{
    hl_async_box *const box = cell->waiting;
    hl_async_queue *const queue = queue_of(box, event->key);
    bool replaced;
    if (put_latest(queue, event->topic, event->key, event, &replaced)) {
        hl_count(replaced ? &box->conflated : &box->queued, 1);
    } else {
        note_lost(partition, queue, event);
        put_latest(queue, NEWS_GROUP, NEWS_KEY, event, &replaced);
    }
    tell(queue, event);
}

/* What waits is the workers' to let go of: hl_async_drain. */
static void cancel(hl_partition *partition, hl_cell *cell)
{
    hl_async_box *const box = cell->waiting;
    hl_async_forget_age(partition, box);
    for (uint32_t i = 0; i < box->async->queue_strands; i++)
        if (box->queues[i].is_telling) {
            box->queues[i].is_telling = false;
            hl_due_close(partition, &box->queues[i].telling);
        }
    hl_inlets_release(partition, cell->subscription);
}

/* ---- ordered: a ring with one consumer at a time ---- */

static bool make_ring(hl_async_queue *queue, uint32_t slot_size_bytes, uint32_t slots,
                      hl_ring_kind kind)
{
    const hl_subscription *const subscription = queue->box->async->subscription;
    const size_t bytes = hl_ring_size_bytes(slot_size_bytes, slots);
    queue->memory = hl_allocate(1, bytes);
    if (queue->memory == NULL)
        return false;
    queue->ring = hl_ring_init(queue->memory, bytes, slot_size_bytes, slots, kind,
                               subscription->bus->config.ring_start_position, NULL);
    return queue->ring != NULL;
}

static bool make_ordered(hl_async_queue *queue, uint32_t slot_size_bytes, uint32_t slots)
{
    if (!make_ring(queue, slot_size_bytes, slots, HL_RING_SPSC))
        return false;
    hl_spsc_open(queue->ring, &queue->producer);
    hl_ring_consumer_open(queue->ring, &queue->consumer);
    queue->taken = hl_ring_consumed(&queue->consumer);
    return true;
}

static bool put_ordered(hl_async_queue *queue, const hl_event *event, uint64_t *handed)
{
    uint64_t position;
    if (!hl_spsc_try_claim(&queue->producer, 1, &position))
        return false;
    hl_count(handed, 1);
    copy_event(hl_spsc_slot(&queue->producer, position), event);
    hl_spsc_commit(&queue->producer, position, 1);
    put_done(queue);
    return true;
}

static bool ordered_ready(const hl_async_queue *queue, uint32_t count)
{
    const uint64_t end = hl_load_relaxed_u64(&queue->taken) + count; /* Relaxed: a hint. */
    const uint64_t *const stamp = hl_spsc_slot(&queue->producer, end - 1);
    return hl_load_relaxed_u64(stamp) == end; /* READY: (ring.h) relaxed, a peek follows. */
}

static uint32_t serve_ordered(hl_worker *worker, hl_async_queue *queue, uint32_t max)
{
    hl_ring_consumer *const consumer = &queue->consumer;
    void *first;
    const uint32_t ready = hl_ring_peek(consumer, max, &first);
    if (ready == 0 || !hl_async_has_turn(queue))
        return 0;
    const char *slot = first;
    uint32_t done = 0;
    while (done < ready && !hl_async_must_stop(worker, queue->box->async)) {
        const hl_event *const event = (const hl_event *)(const void *)slot;
        if (hl_async_run(worker, queue, &event, 1, true) == 0)
            break;
        hl_ring_release(consumer, 1);
        /* Relaxed: a hint to others. */
        hl_store_relaxed_u64(&queue->taken, hl_ring_consumed(consumer));
        slot += consumer->slot_size;
        done++;
    }
    hl_ring_release_publish(consumer);
    return done;
}

/* Slot by slot: a batch may lie across the ring's end. */
static uint32_t gather_ordered(hl_async_queue *queue, uint32_t max, const hl_event **ret_events,
                               uint64_t *ret_position)
{
    const uint64_t first = hl_ring_consumed(&queue->consumer);
    uint32_t n = 0;
    for (; n < max; n++) {
        const uint64_t *const stamp = hl_spsc_slot(&queue->producer, first + n);
        /* READY: (ring.h) acquire, so that the slot is read as it was when it was stamped. */
        if (hl_load_acquire_u64(stamp) != first + n + 1)
            break;
        ret_events[n] = (const hl_event *)(const void *)stamp;
    }
    *ret_position = first;
    return n != 0 && hl_async_has_turn(queue) ? n : 0;
}

static void done_ordered(hl_async_queue *queue, uint64_t position, uint32_t count)
{
    hl_ring_release(&queue->consumer, count);
    hl_store_relaxed_u64(&queue->taken, position + count); /* Relaxed: a hint to others. */
    hl_ring_release_publish(&queue->consumer);
}

static uint64_t drain_ordered(hl_async_queue *queue, uint64_t *ret_slots)
{
    void *slot;
    uint64_t events = 0, slots = 0;
    for (; hl_ring_peek(&queue->consumer, 1, &slot) != 0; slots++) {
        events += (((const hl_event *)slot)->flags & HL_EVENT_LOST) == 0;
        hl_ring_release(&queue->consumer, 1);
    }
    *ret_slots = slots;
    return events;
}

static uint64_t ordered_waiting(hl_async_queue *queue, const hl_event **ret_oldest)
{
    const uint64_t taken = hl_load_relaxed_u64(&queue->taken); /* Relaxed: a number. */
    const uint64_t waiting = hl_spsc_claimed(&queue->producer) - taken;
    *ret_oldest = waiting != 0 ? hl_spsc_slot(&queue->producer, taken) : NULL;
    return waiting;
}

static bool ordered_has_room(hl_async_queue *queue)
{
    return hl_spsc_has_room(&queue->producer, 1);
}

/* ---- unordered: a ring with many consumers ---- */

static bool make_unordered(hl_async_queue *queue, uint32_t slot_size_bytes, uint32_t slots)
{
    if (!make_ring(queue, slot_size_bytes, slots, HL_RING_MPMC))
        return false;
    hl_mpmc_open(queue->ring, &queue->shared);
    return true;
}

static bool put_unordered(hl_async_queue *queue, const hl_event *event, uint64_t *handed)
{
    uint64_t position;
    if (!hl_mpmc_try_claim(&queue->shared, 1, &position))
        return false;
    hl_count(handed, 1);
    copy_event(hl_mpmc_slot(&queue->shared, position), event);
    hl_mpmc_commit(&queue->shared, position, 1);
    put_done(queue);
    return true;
}

static bool unordered_ready(const hl_async_queue *queue, uint32_t count)
{
    const uint64_t last = hl_mpmc_taken(&queue->shared) + count - 1;
    const uint64_t *const stamp = hl_mpmc_slot(&queue->shared, last);
    /* FILLED: (mpmc.h) relaxed, a take follows. */
    return hl_load_relaxed_u64(stamp) == 2 * last + 1;
}

/* One at a time: what a worker takes beyond the event in its hand would wait for it, while others
 * are free. */
static uint32_t serve_unordered(hl_worker *worker, hl_async_queue *queue, uint32_t max)
{
    uint64_t position;
    uint32_t done = 0;
    if (!hl_async_has_turn(queue))
        return 0;
    while (done < max && !hl_async_must_stop(worker, queue->box->async) &&
           hl_mpmc_try_take(&queue->shared, 1, &position) != 0) {
        const hl_event *const event = hl_mpmc_slot(&queue->shared, position);
        (void)hl_async_run(worker, queue, &event, 1, false);
        hl_mpmc_release(&queue->shared, position, 1);
        done++;
    }
    return done;
}

static uint32_t gather_unordered(hl_async_queue *queue, uint32_t max, const hl_event **ret_events,
                                 uint64_t *ret_position)
{
    const uint32_t n =
        hl_async_has_turn(queue) ? hl_mpmc_try_take(&queue->shared, max, ret_position) : 0;
    for (uint32_t i = 0; i < n; i++)
        ret_events[i] = hl_mpmc_slot(&queue->shared, *ret_position + i);
    return n;
}

static void done_unordered(hl_async_queue *queue, uint64_t position, uint32_t count)
{
    hl_mpmc_release(&queue->shared, position, count);
}

static uint64_t drain_unordered(hl_async_queue *queue, uint64_t *ret_slots)
{
    uint64_t position, events = 0, slots = 0;
    for (; hl_mpmc_try_take(&queue->shared, 1, &position) != 0; slots++) {
        const hl_event *const event = hl_mpmc_slot(&queue->shared, position);
        events += (event->flags & HL_EVENT_LOST) == 0;
        hl_mpmc_release(&queue->shared, position, 1);
    }
    *ret_slots = slots;
    return events;
}

static uint64_t unordered_waiting(hl_async_queue *queue, const hl_event **ret_oldest)
{
    const uint64_t taken = hl_mpmc_taken(&queue->shared);
    const uint64_t waiting = hl_ring_claimed(queue->ring) - taken;
    *ret_oldest = waiting != 0 ? hl_mpmc_slot(&queue->shared, taken) : NULL;
    return waiting;
}

static bool unordered_has_room(hl_async_queue *queue)
{
    return hl_mpmc_has_room(&queue->shared);
}

/* ---- latest: the newest value of each key ---- */

static bool make_latest(hl_async_queue *queue, uint32_t slot_size_bytes, uint32_t slots)
{
    const hl_subscription *const subscription = queue->box->async->subscription;
    const hl_conflate_options options = {
        .max_keys = slots + 1, /* and the news */
        .slot_size = slot_size_bytes,
        .publishers = 1,
        .held = subscription->options.batch != NULL ? subscription->options.batch_events : 1,
        .start_position = subscription->bus->config.ring_start_position};
    const size_t bytes = hl_conflate_size_bytes(&options);
    queue->memory = hl_allocate(1, bytes);
    if (queue->memory == NULL)
        return false;
    queue->table = hl_conflate_init(queue->memory, bytes, &options, NULL);
    if (queue->table == NULL ||
        hl_conflate_publisher_open(queue->table, 0, &queue->publisher) != HL_OK)
        return false;
    hl_conflate_consumer_open(queue->table, &queue->reader);
    /* The news' place is taken before keys could take them all. */
    hl_conflate_place place;
    void *slot;
    return hl_conflate_try_claim(&queue->publisher, NEWS_GROUP, NEWS_KEY, &place, &slot) == HL_OK;
}

static bool latest_ready(const hl_async_queue *queue, uint32_t count)
{
    return hl_conflate_pending(queue->table) >= count;
}

/* NULL: none waits. */
static const hl_event *take_newest(hl_async_queue *queue)
{
    uint64_t puts;
    hl_event *const event = hl_conflate_take(&queue->reader, &puts);
    if (event != NULL && puts > 1)
        event->flags |= HL_EVENT_CONFLATED;
    return event;
}

static uint32_t serve_latest(hl_worker *worker, hl_async_queue *queue, uint32_t max)
{
    uint32_t done = 0;
    const hl_event *event;
    while (done < max && !hl_async_must_stop(worker, queue->box->async) &&
           (event = take_newest(queue)) != NULL) {
        (void)hl_async_run(worker, queue, &event, 1, false);
        hl_conflate_release(&queue->reader, 1);
        done++;
    }
    return done;
}

static uint32_t gather_latest(hl_async_queue *queue, uint32_t max, const hl_event **ret_events,
                              uint64_t *ret_position)
{
    uint32_t n = 0;
    while (n < max && (ret_events[n] = take_newest(queue)) != NULL)
        n++;
    *ret_position = 0;
    return n;
}

static void done_latest(hl_async_queue *queue, uint64_t position, uint32_t count)
{
    (void)position;
    hl_conflate_release(&queue->reader, count);
}

static uint64_t drain_latest(hl_async_queue *queue, uint64_t *ret_slots)
{
    uint64_t puts, events = 0, slots = 0;
    const hl_event *event;
    for (; (event = hl_conflate_take(&queue->reader, &puts)) != NULL; slots++) {
        events += (event->flags & HL_EVENT_LOST) == 0;
        hl_conflate_release(&queue->reader, 1);
    }
    *ret_slots = slots;
    return events;
}

/* It never ejects and always has room. */
static uint64_t latest_waiting(hl_async_queue *queue, const hl_event **ret_oldest)
{
    *ret_oldest = NULL;
    return hl_conflate_pending(queue->table);
}

static bool latest_has_room(hl_async_queue *queue)
{
    (void)queue;
    return true;
}

const hl_async_kind hl_async_ordered = {
    .delivery = {.take = take_ordered, .cancel = cancel, .flush = flush},
    .make = make_ordered,
    .put = put_ordered,
    .ready = ordered_ready,
    .serve = serve_ordered,
    .gather = gather_ordered,
    .done = done_ordered,
    .stays = true,
    .drain = drain_ordered,
    .waiting = ordered_waiting,
    .has_room = ordered_has_room};
const hl_async_kind hl_async_unordered = {
    .delivery = {.take = take_unordered, .cancel = cancel, .flush = flush},
    .make = make_unordered,
    .put = put_unordered,
    .ready = unordered_ready,
    .serve = serve_unordered,
    .gather = gather_unordered,
    .done = done_unordered,
    .stays = false,
    .drain = drain_unordered,
    .waiting = unordered_waiting,
    .has_room = unordered_has_room};
const hl_async_kind hl_async_latest = {
    .delivery = {.take = take_latest, .cancel = cancel, .flush = flush},
    .make = make_latest,
    .ready = latest_ready,
    .serve = serve_latest,
    .gather = gather_latest,
    .done = done_latest,
    .stays = false,
    .drain = drain_latest,
    .waiting = latest_waiting,
    .has_room = latest_has_room};
