#include "bus/ready.h"

void hl_level_link(hl_level *level, hl_inlet *inlet)
{
    inlet->next = level->groups[inlet->group];
    level->groups[inlet->group] = inlet;
    level->linked |= (uint64_t)1 << inlet->group;
}

static void take_out(hl_level *level, hl_inlet *inlet)
{
    hl_inlet **at = &level->groups[inlet->group];
    while (*at != inlet)
        at = &(*at)->next;
    *at = inlet->next;
}

void hl_level_unlink(hl_level *level, hl_inlet *inlet)
{
    take_out(level, inlet);
    if (level->groups[inlet->group] == NULL)
        level->linked &= ~((uint64_t)1 << inlet->group);
}

void hl_level_served(hl_level *level, hl_inlet *inlet)
{
    level->next_group = inlet->group + 1;
    if (inlet->next == NULL)
        return;
    take_out(level, inlet);
    hl_inlet **at = &level->groups[inlet->group];
    while (*at != NULL)
        at = &(*at)->next;
    *at = inlet;
    inlet->next = NULL;
}

/* Whether something came in the group since the last time. */
static bool has_moved(hl_inlet *inlet)
{
    bool moved = false;
    for (; inlet != NULL; inlet = inlet->next) {
        const uint64_t consumed = inlet->conflated != NULL ? inlet->conflated->position
                                                           : hl_ring_consumed(&inlet->consumer);
        moved |= consumed != inlet->aged_at || hl_inlet_ready(inlet);
        inlet->aged_at = consumed;
    }
    return moved;
}

static void silence(uint64_t *announced, uint64_t bit)
{
    /* ANNOUNCED: relaxed. */
    uint64_t seen = hl_load_relaxed_u64(announced);
    while (!hl_compare_exchange_relaxed_u64(announced, &seen, seen & ~bit))
        ;
}

void hl_level_age(hl_level *level, uint64_t *announced, uint64_t *watched)
{
    for (uint64_t left = *watched; left != 0; left &= left - 1) {
        const uint32_t group = (uint32_t)__builtin_ctzll(left);
        const uint64_t bit = (uint64_t)1 << group;
        if (has_moved(level->groups[group])) {
            level->resting &= ~bit;
        } else if ((level->resting & bit) == 0) {
            silence(announced, bit);
            level->resting |= bit;
        } else {
            level->resting &= ~bit;
            /* ANNOUNCED: relaxed. Announced meanwhile: it stays. */
            if ((hl_load_relaxed_u64(announced) & bit) == 0)
                *watched &= ~bit;
        }
    }
}
