#include "flow/watch.h"

/* Slots between the claims of a ring and what its consumer has published: up to an eighth of it
 * more than lie there. */
static uint32_t slots_used(const hl_outlet *outlet)
{
    const hl_ring *const ring = outlet->inlet->ring;
    const uint64_t released = hl_ring_released(ring);
    const uint64_t claimed = outlet->kind == HL_OUTLET_SHARED ? hl_ring_claimed(ring)
                                                              : hl_spsc_claimed(&outlet->exclusive);
    const uint64_t used = claimed - released;
    /* The two are read one after the other: a handler may take claims back in between. */
    if (used > UINT64_MAX / 2)
        return 0;
    return used <= outlet->mask ? (uint32_t)used : outlet->mask + 1;
}

/* Whether `used` of `slots` is a larger share than that of `than`. */
static bool is_fuller(uint32_t used, uint32_t slots, const hl_fill *than)
{
    return than->slots == 0 || (uint64_t)used * than->slots > (uint64_t)than->used * slots;
}

static hl_fill fullest_ring(const hl_outlet *outlets)
{
    hl_fill fullest = {0, 0, 0};
    for (const hl_outlet *outlet = outlets; outlet != NULL; outlet = outlet->next) {
        if (outlet->inlet == NULL)
            continue; /* a table that conflates, which is never full */
        const uint32_t slots = outlet->mask + 1, used = slots_used(outlet);
        if (is_fuller(used, slots, &fullest))
            fullest = (hl_fill){used, slots, outlet->tail.source};
    }
    return fullest;
}

hl_fills hl_watch_fills(const hl_partition *partition)
{
    hl_fills fills;
    for (uint32_t p = 0; p < HL_PRIORITIES; p++)
        fills.lanes[p] = fullest_ring(partition->outlets[p]);
    return fills;
}

bool hl_watch_blocks(const hl_partition *partition)
{
    return partition->domain->config.full_policy == HL_FULL_BLOCK;
}

bool hl_watch_executor_blocks(const hl_executor *executor)
{
    for (uint32_t i = 0; i < executor->partition_count; i++)
        if (hl_watch_blocks(executor->partitions[i]))
            return true;
    return false;
}

static void count_traffic(const hl_partition *partition, hl_load_sample *sample)
{
    for (uint32_t p = 0; p < HL_PRIORITIES; p++) {
        const hl_lane *const lane = &partition->lanes[p];
        /* Relaxed all: counters. */
        sample->departures += hl_load_relaxed_u64(&lane->dispatched);
        sample->departures += hl_load_relaxed_u64(&lane->conflated);
        sample->departures += hl_load_relaxed_u64(&lane->shed);
        sample->arrivals += partition->closed_counts[p].committed;
        for (const hl_outlet *outlet = partition->outlets[p]; outlet != NULL; outlet = outlet->next)
            sample->arrivals += hl_outlet_counts(outlet).committed;
    }
}

hl_load_sample hl_watch_sample(const hl_partition *partition, const hl_fills *fills,
                               uint64_t order_delay_ns, uint64_t now_ns)
{
    hl_load_sample sample = {.now_ns = now_ns, .order_delay_ns = order_delay_ns};
    hl_fill fullest = {0, 0, 0};
    for (uint32_t p = 0; p < HL_PRIORITIES && !hl_watch_blocks(partition); p++)
        if (fills->lanes[p].slots != 0 &&
            is_fuller(fills->lanes[p].used, fills->lanes[p].slots, &fullest))
            fullest = fills->lanes[p];
    sample.lane_used = fullest.used;
    sample.lane_slots = fullest.slots;
    if (!hl_watch_executor_blocks(partition->executor))
        sample.busy_ns = hl_executor_busy_ns(partition->executor);
    count_traffic(partition, &sample);
    return sample;
}

bool hl_watch_mark(const hl_domain_config *domain, const hl_fill *fill, bool *is_above)
{
    if (domain->high_water_pct == 0 || fill->slots == 0)
        return false;
    const uint64_t share = (uint64_t)fill->used * 100;
    const bool passed = *is_above ? share <= (uint64_t)fill->slots * domain->low_water_pct
                                  : share >= (uint64_t)fill->slots * domain->high_water_pct;
    *is_above ^= passed;
    return passed;
}
