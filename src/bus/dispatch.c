#include "bus/dispatch.h"

#include "bus/batch.h"
#include "bus/bus.h"

#define LATENCY_EVERY 8 /* events: one in so many is measured, the clock read no oftener */

/* ---- one event, one handler ---- */

static void keep_last(hl_partition *partition, hl_topic_entry *topic, const hl_event *event)
{
    hl_last_values *const last = &topic->last[partition->shard];
    const uint32_t bytes = (uint32_t)sizeof *event + event->payload_size;
    if (hl_latest_put(last->table, event->key, event, bytes) != HL_OK)
        hl_count(&last->refused, 1);
}

/* What the handler published stands or falls with its status. */
static inline void finish(hl_partition *partition, hl_cell *cell, hl_status status, uint32_t events)
{
    hl_publisher *const out = partition->out;
    if (out->staged != NULL)
        hl_publisher_settle(out, status == HL_OK);
    if (status == HL_OK) {
        hl_count(&cell->handled, events);
    } else {
        hl_count(&cell->failures, 1);
        hl_count(&cell->skipped, events);
    }
}

/* What handlers publish now carries this event as its cause. */
static inline void set_cause(hl_partition *partition, const hl_event *event)
{
    partition->out->event = event;
    partition->out->event_id = hl_event_id_of(partition->number, event->sequence);
}

void hl_dispatch_finish(hl_partition *partition, hl_cell *cell, hl_status status, uint32_t events)
{
    finish(partition, cell, status, events);
}

void hl_dispatch_set_cause(hl_partition *partition, const hl_event *event)
{
    set_cause(partition, event);
}

/* False: the partition has not taken this subscription up. */
static inline bool deliver(hl_partition *partition, const hl_route_entry *entry,
                           const hl_event *event)
{
    hl_cell *const cell = &entry->cells[partition->shard];
    if (cell->state != HL_CELL_ATTACHED)
        return false;
    hl_count(&cell->delivered, 1);
    if (entry->predicate != NULL && !entry->predicate(event, entry->context))
        hl_count(&cell->filtered, 1);
    else if (entry->handler == NULL)
        cell->delivery->take(partition, cell, event);
    else
        finish(partition, cell, entry->handler(event, partition->out, entry->context), 1);
    return true;
}

static inline void dispatch(hl_partition *partition, hl_lane *lane, hl_event *event)
{
    const hl_bus *const bus = partition->bus;
    event->sequence = partition->sequence + 1;
    /* Relaxed: one writer; readers want a number. */
    hl_store_relaxed_u64(&partition->sequence, event->sequence);
    /* ROUTE: acquire, the entries are seen as they were filled. */
    const hl_route *const route =
        event->topic < bus->max_topics
            ? hl_load_acquire_ptr((void *const *)(const void *)&bus->routes[event->topic])
            : NULL;
    bool wanted = false;
    /* NULL: the publisher has overwritten the topic. */
    if (route != NULL) {
        set_cause(partition, event);
        if (route->topic->last != NULL)
            keep_last(partition, route->topic, event);
        const hl_route_entry *const end = route->entries + route->count;
        for (const hl_route_entry *entry = route->entries; entry < end; entry++)
            wanted |= deliver(partition, entry, event);
        partition->out->event = NULL;
    }
    if (!wanted)
        hl_count(&lane->unrouted, 1);
}

/* How long an event has waited until its dispatch began; recorded when its handlers have it behind
 * them. Its slot is still the partition's. */
static inline void record_latency(const hl_lane *lane, const hl_event *event, uint64_t began_ns)
{
    if ((event->flags & HL_EVENT_PADDING) == 0)
        hl_histogram_record(lane->latency,
                            began_ns > event->published_ns ? began_ns - event->published_ns : 0);
}

static inline bool must_stop(const hl_executor *executor, uint32_t level)
{
    return hl_command_waiting(&executor->commands) ||
           (hl_executor_higher_stirs(executor, level) && hl_executor_higher_waits(executor, level));
}

uint32_t hl_dispatch_run(hl_executor *executor, hl_inlet *inlet, void *first, uint32_t ready,
                         uint32_t *ret_padding)
{
    hl_partition *const partition = inlet->partition;
    const uint32_t level = inlet->priority;
    hl_lane *const lane = &partition->lanes[level];
    unsigned char *slot = first;
    uint32_t taken = 0, released = 0, padding = 0;
    bool interrupted = false;
    /* The payload's line comes from the publisher's core too: on its way while the clock is read.
     */
    hl_prefetch_read(slot + sizeof(hl_event));
    while (taken < ready && !interrupted) {
        hl_event *const event = (hl_event *)(void *)slot;
        const bool measured = taken % LATENCY_EVERY == 0;
        if (measured) {
            executor->now_ns = hl_bus_now(executor->bus);
            /* A publisher that has no room need not wait for the whole run; a batch may still point
             * into it. */
            if (partition->open_boxes == 0) {
                hl_ring_release_written(&inlet->consumer, taken - released);
                released = taken;
            }
        }
        if (__builtin_expect((event->flags & HL_EVENT_PADDING) == 0, 1))
            dispatch(partition, lane, event);
        else
            padding++;
        if (measured)
            record_latency(lane, event, executor->now_ns);
        taken++;
        slot += inlet->slot_size_bytes;
        interrupted = must_stop(executor, level);
    }
    if (partition->open_boxes != 0)
        hl_boxes_end_run(partition, interrupted);
    /* Written: the sequence lies in the line of the stamp. */
    hl_ring_release_written(&inlet->consumer, taken - released);
    *ret_padding = padding;
    return taken;
}

/* ---- subscriptions come and go ---- */

/* The newest value of each key of one topic, as this partition has it. */
static void give_image(hl_partition *partition, hl_cell *cell, const hl_topic_entry *topic)
{
    const hl_subscription *const subscription = cell->subscription;
    const hl_route_entry entry = {subscription->handler, subscription->context,
                                  subscription->options.predicate, cell - partition->shard,
                                  subscription};
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
        partition->out->event = NULL;
        /* The next value comes to lie where this one is. */
        if (partition->open_boxes != 0)
            hl_boxes_end_run(partition, false);
    }
}

void hl_cell_attach(hl_partition *partition, hl_cell *cell)
{
    hl_subscription *const subscription = cell->subscription;
    if (hl_subscription_is_ending(subscription))
        return;
    cell->start_sequence = partition->sequence;
    /* START: release, so that who sees it attached sees where it begins. */
    hl_store_release_u32(&cell->state, HL_CELL_ATTACHED);
    for (uint32_t i = 0; i < subscription->image_topic_count; i++)
        if (subscription->image_topics[i]->domain == partition->domain)
            give_image(partition, cell, subscription->image_topics[i]);
}

void hl_cell_detach(hl_partition *partition, hl_cell *cell)
{
    /* Relaxed: link.let_go says it to others. */
    if (hl_load_relaxed_u32(&cell->state) == HL_CELL_ATTACHED)
        hl_store_relaxed_u32(&cell->state, HL_CELL_DETACHED);
    if (cell->delivery != NULL)
        cell->delivery->cancel(partition, cell);
}
