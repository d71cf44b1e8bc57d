#include "bus/dispatch.h"

#include "bus/batch.h"
#include "bus/bus.h"
#include "bus/guard.h"
#include "bus/hold.h"
#include "bus/intake.h"
#include "bus/output.h"
#include "bus/past.h"
#include "bus/recorder.h"
#include "ring/conflate.h"

#define FETCHED_AHEAD 4 /* subscriptions of a topic: more are not worth their time */
#define LATENCY_EVERY 8 /* events: one in so many is measured, the clock read no oftener */

/* ---- one event, one handler ---- */

static void keep_last(hl_partition *partition, hl_topic_entry *topic, const hl_event *event)
{
    hl_last_values *const last = &topic->last[partition->shard];
    const uint32_t bytes = (uint32_t)sizeof *event + event->payload_size;
    if (hl_latest_put(last->table, event->key, event, bytes) != HL_OK)
        hl_count(&last->refused, 1);
}

/* What handlers publish now carries this event as its cause. */
static inline void set_cause(hl_partition *partition, const hl_event *event)
{
    hl_publisher *const out = partition->out;
    /* Relaxed both: the watchdog looks. */
    hl_store_relaxed_ptr((void **)(void *)&out->event, (void *)(uintptr_t)event);
    hl_store_relaxed_u64(&out->event_id, hl_event_id_of(partition->number, event->sequence));
}

/* None is in hand. */
static inline void clear_cause(hl_partition *partition)
{
    hl_store_relaxed_ptr((void **)(void *)&partition->out->event, NULL); /* Relaxed: as above. */
}

static __attribute__((noinline, cold)) void failed(hl_partition *partition, hl_cell *cell,
                                                   hl_status status, const hl_event *const *events,
                                                   uint32_t count)
{
    hl_count(&cell->failures, 1);
    if (cell->guard != NULL)
        cell->guard->failed(partition, cell, status, events, count);
    else
        hl_count(&cell->skipped, count);
}

/* What the handler published stands or falls with its status. */
static inline void settle(hl_partition *partition, hl_status status)
{
    if (partition->out->staged != NULL)
        hl_output_settle(partition->out, status == HL_OK);
}

void hl_dispatch_finish(hl_partition *partition, hl_cell *cell, hl_status status,
                        const hl_event *const *events, uint32_t count)
{
    const uint32_t taken = partition->out->batch_taken; /* 0 unless it is a batch */
    const uint32_t done = status == HL_OK ? count : taken < count ? taken : count;
    partition->out->batch_taken = 0;
    settle(partition, status);
    hl_count(&cell->handled, done);
    if (done != 0 && cell->state == HL_CELL_GUARDED)
        cell->guard->succeeded(partition, cell, done);
    if (status != HL_OK)
        failed(partition, cell, status, events + done, count - done);
}

void hl_dispatch_set_cause(hl_partition *partition, const hl_event *event)
{
    set_cause(partition, event);
}

void hl_dispatch_handle(hl_partition *partition, hl_cell *cell, const hl_event *event)
{
    const hl_subscription *const subscription = cell->subscription;
    set_cause(partition, event);
    if (cell->delivery != NULL) {
        cell->delivery->take(partition, cell, event);
        return;
    }
    hl_store_relaxed_ptr((void **)(void *)&partition->current, cell); /* Relaxed: for statistics. */
    const hl_status status = subscription->handler(event, partition->out, subscription->context);
    hl_dispatch_finish(partition, cell, status, &event, 1);
}

void hl_dispatch_clear_cause(hl_partition *partition)
{
    clear_cause(partition);
}

void hl_dispatch_again(hl_partition *partition, hl_cell *cell, const hl_event *event)
{
    if (cell->delivery == NULL || cell->delivery->again == NULL)
        hl_dispatch_handle(partition, cell, event);
    else
        cell->delivery->again(partition, cell, event);
    clear_cause(partition);
}

/* Not HL_CELL_ATTACHED. False: the partition has not taken this subscription up. */
static __attribute__((noinline)) bool deliver_guarded(hl_partition *partition,
                                                      const hl_route_entry *entry, hl_cell *cell,
                                                      const hl_event *event)
{
    if (cell->state != HL_CELL_GUARDED)
        return false;
    hl_count(&cell->delivered, 1);
    if (entry->predicate != NULL && !entry->predicate(event, entry->context))
        hl_count(&cell->filtered, 1);
    else
        cell->guard->take(partition, cell, event);
    set_cause(partition, event);
    return true;
}

/* False: the partition has not taken this subscription up. */
static inline bool deliver(hl_partition *partition, const hl_route_entry *entry,
                           const hl_event *event)
{
    hl_cell *const cell = &entry->cells[partition->shard];
    if (__builtin_expect(cell->state != HL_CELL_ATTACHED, 0))
        return deliver_guarded(partition, entry, cell, event);
    hl_count(&cell->delivered, 1);
    if (entry->predicate != NULL && !entry->predicate(event, entry->context)) {
        hl_count(&cell->filtered, 1);
        return true;
    }
    if (entry->handler == NULL) {
        cell->delivery->take(partition, cell, event);
        return true;
    }
    hl_store_relaxed_ptr((void **)(void *)&partition->current, cell); /* Relaxed: for statistics. */
    const hl_status status = entry->handler(event, partition->out, entry->context);
    settle(partition, status);
    if (__builtin_expect(status != HL_OK, 0)) {
        const hl_event *const one = event;
        failed(partition, cell, status, &one, 1);
    } else {
        hl_count(&cell->handled, 1);
    }
    return true;
}

typedef enum dispatch_outcome {
    DISPATCHED = 0,
    WITHHELD, /* it has its sequence; the recorder hands it out later */
    HELD      /* nothing has happened; partition->full says who has no room */
} dispatch_outcome;

/* The recorder's part. */
static dispatch_outcome record(hl_partition *partition, const hl_lane *lane, const hl_event *event)
{
    switch (partition->recorder->take(partition, lane, event)) {
    case HL_RECORD_TAKEN:
        return DISPATCHED;
    case HL_RECORD_WITHHELD:
        return WITHHELD;
    case HL_RECORD_NO_ROOM:
        partition->full = &hl_held_by_journal;
        return HELD;
    }
    return DISPATCHED;
}

/* What a topic needs before its handlers. */
static __attribute__((noinline)) dispatch_outcome prepare(hl_partition *partition,
                                                          const hl_lane *lane,
                                                          const hl_route *route,
                                                          const hl_event *event)
{
    if ((route->needs & HL_ROUTE_ASK_ROOM) != 0) {
        partition->full = hl_route_full(partition, route, event);
        if (partition->full != NULL)
            return HELD;
    }
    if ((route->needs & HL_ROUTE_RECORD) != 0) {
        const dispatch_outcome outcome = record(partition, lane, event);
        if (outcome != DISPATCHED)
            return outcome;
    }
    if ((route->needs & HL_ROUTE_KEEP_LAST) != 0)
        keep_last(partition, route->topic, event);
    return DISPATCHED;
}

/* Gives a sequenced event to the handlers of its route. */
static inline void hand_out(hl_partition *partition, hl_lane *lane, const hl_route *route,
                            const hl_event *event)
{
    bool wanted = false;
    set_cause(partition, event);
    const hl_route_entry *const end = route->entries + route->count;
    for (const hl_route_entry *entry = route->entries; entry < end; entry++)
        wanted |= deliver(partition, entry, event);
    clear_cause(partition);
    if (!wanted)
        hl_count(&lane->unrouted, 1);
}

static inline const hl_route *route_of(const hl_bus *bus, const hl_event *event)
{
    /* ROUTE: acquire, the entries are seen as they were filled. */
    return event->topic < bus->max_topics
               ? hl_load_acquire_ptr((void *const *)(const void *)&bus->routes[event->topic])
               : NULL;
}

/* Relaxed: one writer; readers want a number. */
static inline void set_sequence(hl_partition *partition, uint64_t sequence)
{
    hl_store_relaxed_u64(&partition->sequence, sequence); /* Relaxed: as said. */
}

static dispatch_outcome withhold(hl_partition *partition, hl_lane *lane, const hl_event *event)
{
    set_sequence(partition, event->sequence);
    partition->in_flight++;
    lane->withheld++;
    return WITHHELD;
}

/* The publisher has overwritten the topic: nobody is to have it. */
static __attribute__((noinline, cold)) dispatch_outcome pass_nameless(hl_partition *partition,
                                                                      hl_lane *lane,
                                                                      const hl_event *event)
{
    const dispatch_outcome outcome =
        partition->recorder != NULL ? record(partition, lane, event) : DISPATCHED;
    if (outcome == WITHHELD)
        return withhold(partition, lane, event);
    if (outcome == HELD)
        return HELD;
    set_sequence(partition, event->sequence);
    hl_count(&lane->unrouted, 1);
    return DISPATCHED;
}

static inline dispatch_outcome dispatch(hl_partition *partition, hl_lane *lane, hl_event *event)
{
    event->sequence = partition->sequence + 1;
    const hl_route *const route = route_of(partition->bus, event);
    if (__builtin_expect(route == NULL, 0))
        return pass_nameless(partition, lane, event);
    if (route->needs != 0) {
        const dispatch_outcome outcome = prepare(partition, lane, route, event);
        if (outcome == HELD)
            return HELD;
        if (outcome == WITHHELD)
            return withhold(partition, lane, event);
    }
    set_sequence(partition, event->sequence);
    hand_out(partition, lane, route, event);
    return DISPATCHED;
}

bool hl_dispatch_late(hl_partition *partition, hl_lane *lane, hl_event *event)
{
    const dispatch_outcome outcome = dispatch(partition, lane, event);
    /* The caller's copy goes when this returns. */
    if (partition->open_boxes != 0)
        hl_boxes_end_run(partition, false);
    if (outcome == DISPATCHED)
        /* DRAINED: release, after what the handlers published is counted. */
        hl_store_release_u64(&lane->dispatched, lane->dispatched + 1);
    return outcome != HELD;
}

/* How long an event of `level` has waited until its dispatch began; recorded when its handlers have
 * it behind them. Its slot is still the partition's. */
static inline void record_latency(hl_executor *executor, const hl_partition *partition,
                                  uint32_t level, const hl_event *event, uint64_t began_ns)
{
    const hl_lane *const lane = &partition->lanes[level];
    if ((event->flags & HL_EVENT_PADDING) != 0)
        return;
    const uint64_t waited_ns = began_ns > event->published_ns ? began_ns - event->published_ns : 0;
    hl_histogram_record(lane->latency, waited_ns);
    if (__builtin_expect(waited_ns > lane->slowest->least_ns, 0))
        hl_slowest_note(lane->slowest, executor, event,
                        hl_event_id_of(partition->number, event->sequence), began_ns, began_ns);
    /* DELAY: (executor.h) relaxed. */
    if (level <= HL_HIGH && waited_ns > hl_load_relaxed_u64(&executor->order_delay_ns))
        hl_store_relaxed_u64(&executor->order_delay_ns, waited_ns);
}

bool hl_dispatch_sequenced(hl_partition *partition, const hl_event *event)
{
    hl_lane *const lane = &partition->lanes[event->priority];
    const hl_route *const route = route_of(partition->bus, event);
    if (route != NULL && (route->needs & HL_ROUTE_ASK_ROOM) != 0) {
        const hl_subscription *const full = hl_route_full(partition, route, event);
        if (full != partition->withheld_for)
            /* Relaxed: who looks at it, looks again. */
            hl_store_relaxed_ptr((void **)(void *)&partition->withheld_for,
                                 (void *)(uintptr_t)full);
        if (full != NULL)
            return false;
    }
    if (route != NULL && (route->needs & HL_ROUTE_KEEP_LAST) != 0)
        keep_last(partition, route->topic, event);
    const uint64_t began_ns = partition->executor->now_ns;
    partition->in_flight--;
    lane->withheld--;
    if (route != NULL)
        hand_out(partition, lane, route, event);
    else
        hl_count(&lane->unrouted, 1);
    if (event->sequence % LATENCY_EVERY == 0)
        record_latency(partition->executor, partition, event->priority, event, began_ns);
    /* DRAINED: release, after what the handlers published is counted. */
    hl_store_release_u64(&lane->dispatched, lane->dispatched + 1);
    return true;
}

void hl_dispatch_replayed(hl_partition *partition, const hl_event *event)
{
    hl_lane uncounted = {0};
    const hl_route *const route = route_of(partition->bus, event);
    set_sequence(partition, event->sequence);
    if (route == NULL)
        return;
    if ((route->needs & HL_ROUTE_KEEP_LAST) != 0)
        keep_last(partition, route->topic, event);
    hand_out(partition, &uncounted, route, event);
    if (partition->open_boxes != 0)
        hl_boxes_end_run(partition, false);
}

/* What the next event of this topic will need comes nearer (hl_warm). */
static void fetch_ahead(const hl_partition *partition, const hl_route *route)
{
    hl_prefetch_write(&partition->out->event);
    hl_prefetch_write(&partition->current);
    for (uint32_t i = 0; i < route->count && i < FETCHED_AHEAD; i++) {
        const hl_route_entry *const entry = &route->entries[i];
        hl_prefetch_write(&entry->cells[partition->shard]);
        hl_prefetch_read(entry->context);
        if (entry->handler != NULL)
            hl_prefetch_function((hl_function *)entry->handler);
    }
}

static __attribute__((noinline, cold)) void step_over(const hl_partition *partition, hl_lane *lane,
                                                      const hl_event *padding)
{
    const hl_route *const route = route_of(partition->bus, padding);
    hl_count(&lane->padding, 1);
    if (route != NULL)
        fetch_ahead(partition, route);
}

/* Whether a slot has nothing to dispatch now: padding, or the intake's. */
static inline bool pass_by(hl_partition *partition, hl_lane *lane, const hl_event *event)
{
    if (__builtin_expect((event->flags & HL_EVENT_PADDING) != 0, 0)) {
        step_over(partition, lane, event);
        return true;
    }
    return __builtin_expect(partition->intake != NULL, 0) &&
           partition->intake->take(partition, lane, event);
}

/* One event of a run: dispatched, or counted in `passed_by`. False: it has no room in the lossless
 * queue of partition->full, and the inlet is to be held. */
static inline __attribute__((always_inline)) bool take_one(hl_partition *partition, hl_lane *lane,
                                                           hl_event *event, bool *measured,
                                                           uint32_t *passed_by)
{
    if (__builtin_expect(pass_by(partition, lane, event), 0)) {
        ++*passed_by;
        return true;
    }
    const dispatch_outcome outcome = dispatch(partition, lane, event);
    if (__builtin_expect(outcome == DISPATCHED, 1))
        return true;
    if (outcome == HELD)
        return false;
    ++*passed_by;
    *measured = false;
    return true;
}

static inline bool must_stop(const hl_executor *executor, uint32_t level)
{
    return hl_command_waiting(&executor->commands) ||
           (hl_executor_higher_stirs(executor, level) && hl_executor_higher_waits(executor, level));
}

uint32_t hl_dispatch_run(hl_executor *executor, hl_inlet *inlet, void *first, uint32_t ready,
                         uint32_t *ret_dispatched)
{
    hl_partition *const partition = inlet->partition;
    const uint32_t level = inlet->priority;
    hl_lane *const lane = &partition->lanes[level];
    unsigned char *slot = first;
    uint32_t taken = 0, released = 0, passed_by = 0;
    bool interrupted = false;
    /* The payload's line comes from the publisher's core too: on its way while the clock is read.
     */
    hl_prefetch_read(slot + sizeof(hl_event));
    while (taken < ready && !interrupted) {
        hl_event *const event = (hl_event *)(void *)slot;
        bool measured = taken % LATENCY_EVERY == 0;
        if (measured) {
            executor->now_ns = hl_bus_now(executor->bus);
            /* A publisher that has no room need not wait for the whole run; a batch may still point
             * into it. */
            if (partition->open_boxes == 0) {
                hl_ring_release(&inlet->consumer, taken - released);
                released = taken;
            }
        }
        if (!take_one(partition, lane, event, &measured, &passed_by)) {
            hl_hold_note(inlet, partition->full, NULL);
            break;
        }
        if (measured)
            record_latency(executor, partition, level, event, executor->now_ns);
        taken++;
        slot += inlet->slot_size_bytes;
        interrupted = must_stop(executor, level);
    }
    if (partition->open_boxes != 0)
        hl_boxes_end_run(partition, interrupted);
    hl_ring_release(&inlet->consumer, taken - released);
    *ret_dispatched = taken - passed_by;
    return taken;
}

uint32_t hl_dispatch_conflated(hl_executor *executor, hl_inlet *inlet, uint32_t max,
                               uint32_t *ret_dispatched)
{
    hl_partition *const partition = inlet->partition;
    const uint32_t level = inlet->priority;
    hl_lane *const lane = &partition->lanes[level];
    uint32_t taken = 0, passed_by = 0;
    bool interrupted = false;
    hl_event *event;
    uint64_t puts;
    while (taken < max && !interrupted &&
           (event = hl_conflate_take(inlet->conflated, &puts)) != NULL) {
        bool measured = taken % LATENCY_EVERY == 0;
        if (measured)
            executor->now_ns = hl_bus_now(executor->bus);
        if (puts > 1) {
            event->flags |= HL_EVENT_CONFLATED;
            hl_count(&lane->conflated, puts - 1);
        }
        if (!take_one(partition, lane, event, &measured, &passed_by)) {
            hl_hold_note(inlet, partition->full, event);
            break;
        }
        if (measured)
            record_latency(executor, partition, level, event, executor->now_ns);
        taken++;
        interrupted = must_stop(executor, level);
    }
    if (partition->open_boxes != 0)
        hl_boxes_end_run(partition, interrupted);
    hl_conflate_release(inlet->conflated, taken);
    *ret_dispatched = taken - passed_by;
    return taken;
}

/* ---- subscriptions come and go ---- */

/* The newest value of each key of one topic, as this partition has it. */
static void give_image(hl_partition *partition, hl_cell *cell, const hl_topic_entry *topic)
{
    const hl_subscription *const subscription = cell->subscription;
    const hl_route_entry entry = {hl_subscription_inline_handler(subscription),
                                  subscription->context, subscription->options.predicate,
                                  cell - partition->shard, subscription};
    const hl_latest *const table = topic->last[partition->shard].table;
    const uint32_t room = partition->domain->config.slot_size_bytes;
    uint64_t key;
    uint32_t bytes;
    for (uint32_t i = 0; hl_latest_at(table, i, partition->image_slot, room, &key, &bytes) == HL_OK;
         i++) {
        if (hl_subscription_is_ending(subscription))
            return;
        hl_event *const event = (hl_event *)(void *)partition->image_slot;
        event->flags |= HL_EVENT_IMAGE;
        set_cause(partition, event);
        deliver(partition, &entry, event);
        clear_cause(partition);
        /* The next value comes to lie where this one is. */
        if (partition->open_boxes != 0)
            hl_boxes_end_run(partition, false);
    }
}

void hl_cell_begin(hl_partition *partition, hl_cell *cell)
{
    cell->start_sequence = hl_partition_handed_out(partition);
    /* START: release, so that who sees it attached sees where it begins. */
    hl_store_release_u32(&cell->state, HL_CELL_ATTACHED);
}

void hl_cell_attach(hl_partition *partition, hl_cell *cell)
{
    hl_subscription *const subscription = cell->subscription;
    if (hl_subscription_is_ending(subscription) || hl_past_is_coming(cell))
        return;
    hl_cell_begin(partition, cell);
    for (uint32_t i = 0; i < subscription->image_topic_count; i++)
        if (subscription->image_topics[i]->domain == partition->domain)
            give_image(partition, cell, subscription->image_topics[i]);
}

void hl_cell_detach(hl_partition *partition, hl_cell *cell)
{
    /* Relaxed: link.let_go says it to others. */
    const uint32_t state = hl_load_relaxed_u32(&cell->state);
    if (state == HL_CELL_ATTACHED || state == HL_CELL_GUARDED || state == HL_CELL_EJECTED) {
        cell->end_sequence = hl_partition_handed_out(partition);
        hl_store_relaxed_u32(&cell->state, HL_CELL_DETACHED);
    }
    if (cell->delivery != NULL)
        cell->delivery->cancel(partition, cell);
    if (cell->guard != NULL)
        cell->guard->cancel(partition, cell);
    /* The cell may soon be gone; who reads `current` has the bus's lock, under which it goes. */
    if (partition->current == cell)
        hl_store_relaxed_ptr((void **)(void *)&partition->current, NULL);
}
