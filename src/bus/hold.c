#include "bus/hold.h"

#include "bus/async.h"
#include "bus/batch.h"
#include "bus/bus.h"
#include "bus/dispatch.h"
#include "bus/recorder.h"

#define LOOK_AGAIN_NS (50 * HL_MICROSECOND)

const hl_subscription hl_held_by_journal = {.name = (char[]){"journal"}};

const hl_subscription *hl_route_full(const hl_partition *partition, const hl_route *route,
                                     const hl_event *event)
{
    for (uint32_t i = 0; i < route->count; i++) {
        const hl_route_entry *const entry = &route->entries[i];
        const hl_cell *const cell = &entry->cells[partition->shard];
        if (!hl_async_is_lossless(entry->subscription) || cell->state != HL_CELL_ATTACHED ||
            hl_subscription_is_ending(entry->subscription) || hl_async_has_room(cell, event->key))
            continue;
        if (entry->predicate == NULL || entry->predicate(event, entry->context))
            return entry->subscription;
    }
    return NULL;
}

bool hl_hold_make(hl_inlet *inlet)
{
    hl_hold *const hold = calloc(1, sizeof *hold);
    inlet->hold = hold;
    if (hold != NULL)
        hold->inlet = inlet;
    return hold != NULL;
}

static void hold_for(hl_hold *hold, const hl_subscription *by)
{
    /* Relaxed: for statistics; the lock keeps a subscription that a reader may see. */
    hl_store_relaxed_ptr((void **)(void *)&hold->by, (void *)(uintptr_t)by);
}

void hl_hold_note(hl_inlet *inlet, const hl_subscription *by, hl_event *event)
{
    hold_for(inlet->hold, by);
    inlet->hold->event = event;
    inlet->partition->lanes[inlet->priority].withheld += event != NULL;
}

void hl_inlet_relink(hl_executor *executor, hl_inlet *inlet)
{
    const uint64_t bit = (uint64_t)1 << inlet->group;
    hl_level_link(&executor->levels[inlet->priority], inlet);
    if (inlet->is_local)
        executor->local[inlet->priority] |= bit;
    else
        executor->watched[inlet->priority] |= bit;
}

/* The inlet is looked at again. */
static void release(hl_partition *partition, hl_hold *hold)
{
    hl_inlet_relink(partition->executor, hold->inlet);
    hold_for(hold, NULL);
    hl_due_close(partition, &hold->due);
}

/* Who has no room for an event; NULL: all have. */
static const hl_subscription *full_for(hl_partition *partition, const hl_event *event)
{
    const hl_bus *const bus = partition->bus;
    /* ROUTE: acquire, the entries are seen as they were filled. */
    const hl_route *const route =
        event->topic < bus->max_topics
            ? hl_load_acquire_ptr((void *const *)(const void *)&bus->routes[event->topic])
            : NULL;
    const hl_subscription *const full =
        route != NULL ? hl_route_full(partition, route, event) : NULL;
    if (full != NULL || partition->recorder == NULL || partition->recorder->has_room(partition))
        return full;
    return &hl_held_by_journal;
}

/* Dispatches what was taken from a table; true: it had room. */
static bool dispatch_in_hand(hl_partition *partition, hl_hold *hold)
{
    hl_lane *const lane = &partition->lanes[hold->inlet->priority];
    if (!hl_dispatch_late(partition, lane, hold->event))
        return false;
    hl_count(&partition->executor->events, 1);
    hold->event = NULL;
    lane->withheld--;
    if (partition->open_boxes != 0)
        hl_boxes_end_run(partition, false);
    hl_conflate_release(hold->inlet->conflated, 1);
    return true;
}

static uint32_t serve(hl_partition *partition, hl_due *due, uint64_t now_ns)
{
    hl_hold *const hold = (hl_hold *)(void *)due;
    const hl_event *event = hold->event;
    void *slot;
    (void)now_ns;
    if (event == NULL && hl_ring_peek(&hold->inlet->consumer, 1, &slot) != 0)
        event = slot;
    const hl_subscription *const by = event != NULL ? full_for(partition, event) : NULL;
    const bool in_hand = hold->event != NULL;
    if (by != NULL || (in_hand && !dispatch_in_hand(partition, hold))) {
        hold_for(hold, by);
        due->due_ns = hl_due_after(partition->executor->now_ns, LOOK_AGAIN_NS);
        return 0;
    }
    release(partition, hold);
    return in_hand;
}

void hl_inlet_hold(hl_executor *executor, hl_inlet *inlet)
{
    hl_hold *const hold = inlet->hold;
    hl_level_unlink(&executor->levels[inlet->priority], inlet);
    hold->due.serve = serve;
    hold->due.level = inlet->priority;
    hold->due.due_ns = hl_due_after(executor->now_ns, LOOK_AGAIN_NS);
    hl_count(&hold->holds, 1);
    hl_due_open(inlet->partition, &hold->due);
}

void hl_inlets_release(hl_partition *partition, const hl_subscription *subscription)
{
    for (hl_due *due = partition->open_dues, *next; due != NULL; due = next) {
        hl_hold *const hold = (hl_hold *)(void *)due;
        next = due->next;
        if (due->serve != serve || hold->by != subscription)
            continue;
        if (hold->event == NULL) {
            release(partition, hold);
            continue;
        }
        hold_for(hold, NULL);
        due->due_ns = 0; /* what is in hand is dispatched at the next look */
        hl_due_advance(partition, due);
    }
}
