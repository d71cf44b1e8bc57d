#include "bus/gather.h"

#include "bus/bus.h"
#include "bus/hold.h"

#define LOOK_AGAIN_NS (50 * HL_MICROSECOND)

static const hl_event *slot_at(const hl_inlet *inlet, uint64_t position)
{
    return (const hl_event *)(const void *)(inlet->slots +
                                            (position & inlet->mask) * inlet->slot_size_bytes);
}

static bool is_filled(const hl_inlet *inlet, uint64_t position)
{
    /* READY: (ring.h) acquire, so that the time of the first is the one that was stamped. */
    return hl_load_acquire_u64(&slot_at(inlet, position)->stamp) == position + 1;
}

/* Whether a batch is there; then `until` says where it ends. */
static bool is_complete(hl_gather *gather, uint64_t now_ns)
{
    const hl_inlet *const inlet = gather->inlet;
    const uint64_t position = hl_ring_consumed(&inlet->consumer);
    const uint64_t flush_to = hl_load_relaxed_u64(&gather->flush_to); /* FLUSHED: relaxed. */
    if (flush_to - position - 1 <= inlet->mask)
        gather->until = flush_to;
    else if (inlet->retiring || is_filled(inlet, position + gather->events - 1) ||
             hl_due_after(slot_at(inlet, position)->published_ns, gather->wait_ns) <= now_ns)
        gather->until = position + gather->events;
    else
        return false;
    return true;
}

static uint64_t next_look_ns(const hl_gather *gather, uint64_t now_ns)
{
    const hl_inlet *const inlet = gather->inlet;
    const hl_event *const first = slot_at(inlet, hl_ring_consumed(&inlet->consumer));
    const uint64_t due_ns = hl_due_after(first->published_ns, gather->wait_ns);
    const uint64_t again_ns = hl_due_after(now_ns, LOOK_AGAIN_NS);
    return due_ns < again_ns ? due_ns : again_ns;
}

static uint32_t serve(hl_partition *partition, hl_due *due, uint64_t now_ns)
{
    hl_gather *const gather = (hl_gather *)(void *)due;
    /* UINT64_MAX, what waits is wanted now, is later than any time. */
    if (is_complete(gather, now_ns)) {
        hl_inlet_relink(partition->executor, gather->inlet);
        hl_due_close(partition, due);
    } else {
        due->due_ns = next_look_ns(gather, now_ns);
    }
    return 0;
}

bool hl_gather_make(hl_inlet *inlet, const hl_lane_request *request)
{
    hl_gather *const gather = calloc(1, sizeof *gather);
    inlet->gather = gather;
    if (gather == NULL)
        return false;
    gather->inlet = inlet;
    gather->due.serve = serve;
    gather->due.level = inlet->priority;
    gather->events =
        request->batch_events < request->slots ? request->batch_events : request->slots;
    gather->wait_ns = request->batch_wait_ns;
    gather->until = gather->flush_to = hl_ring_consumed(&inlet->consumer);
    return true;
}

uint32_t hl_gather_take(hl_executor *executor, hl_inlet *inlet, uint32_t max)
{
    hl_gather *const gather = inlet->gather;
    const uint64_t position = hl_ring_consumed(&inlet->consumer);
    if (gather->until - position - 1 > inlet->mask) { /* nothing of a batch is left */
        const uint64_t now_ns = hl_bus_now(executor->bus);
        if (!is_complete(gather, now_ns)) {
            hl_level_unlink(&executor->levels[inlet->priority], inlet);
            gather->due.due_ns = next_look_ns(gather, now_ns);
            hl_due_open(inlet->partition, &gather->due);
            return 0;
        }
    }
    const uint64_t left = gather->until - position;
    return left < max ? (uint32_t)left : max;
}

void hl_gather_flush(hl_outlet *outlet)
{
    hl_gather *const gather = outlet->inlet->gather;
    /* FLUSHED: relaxed. */
    hl_store_relaxed_u64(&gather->flush_to, hl_spsc_claimed(&outlet->exclusive));
    if (outlet->sleeper != NULL)
        hl_sleeper_notify(outlet->sleeper);
}
