/*
 * Which rings have something: so that an executor with many rings looks only at those in use.
 *
 * An executor's inlets of one priority are a level, dealt into 64 groups (a ring each, as long as
 * there are no more). Each level has three words of a bit a group:
 *
 *   announced  publishers on other threads set a bit after a commit, when it is not set: one load
 *              of a line that hardly changes, and an atomic only when a group that was at rest
 *              comes to life
 *   watched    the executor's own: groups of such publishers that it looks at, whatever is
 *              announced
 *   local      the executor's own: groups that its own handlers have published to; exact
 *
 * The executor looks at all three. About once a millisecond it ages the first two: a group in which
 * nothing came is no longer announced, but still watched; if nothing comes for a millisecond more,
 * it is left alone until it is announced again.
 *
 *   ANNOUNCED  a store-load pair: publisher: stamp, then load the bit; executor: clear the bit,
 *              then load the stamp. A fence in each publish would settle it and cost more than all
 *              else; instead the executor goes on watching for a millisecond after the clearing,
 *              while a store leaves its core's buffer within microseconds, and at the latest when
 *              its thread is switched out. Were it ever to take longer, the event would still be
 *              found: every 64th look, and the last one before a sleep, goes to all rings.
 *              Relaxed: the words carry no data, READY (ring.h) does.
 */
#ifndef HL_BUS_READY_H
#define HL_BUS_READY_H

#include "bus/lane.h"
#include "ring/conflate.h"

#define HL_GROUPS 64

typedef struct hl_level {
    hl_inlet *groups[HL_GROUPS]; /* each a list */
    uint64_t linked;             /* groups with an inlet */
    uint64_t resting;            /* watched, but no longer announced since the last ageing */
    uint32_t next_group;         /* where the next look begins: behind the one served last */
} hl_level;

/* Says that the outlet's ring has something. The publisher's thread, after the stamp. */
static inline void hl_announce(const hl_outlet *outlet)
{
    /* ANNOUNCED: relaxed. */
    uint64_t seen = hl_load_relaxed_u64(outlet->announced);
    if (outlet->is_local) {
        *outlet->announced = seen | outlet->announced_bit; /* this thread's own word */
        return;
    }
    while ((seen & outlet->announced_bit) == 0 &&
           !hl_compare_exchange_relaxed_u64(outlet->announced, &seen, seen | outlet->announced_bit))
        ;
}

/* The rest: the turning thread. */

void hl_level_link(hl_level *level, hl_inlet *inlet);
void hl_level_unlink(hl_level *level, hl_inlet *inlet);

/* Whether the inlet has something. */
static inline bool hl_inlet_ready(const hl_inlet *inlet)
{
    if (__builtin_expect(inlet->conflated != NULL, 0))
        return hl_conflate_ready(inlet->conflated);
    return hl_ring_ready(&inlet->consumer);
}

/* An inlet that has something, of the groups in `mask`, each group in turn; NULL: none has. */
static inline hl_inlet *hl_level_find(const hl_level *level, uint64_t mask)
{
    const uint64_t behind = ~(uint64_t)0 << (level->next_group % HL_GROUPS);
    for (uint64_t half = mask & behind, other = mask & ~behind; (half | other) != 0;) {
        if (half == 0) {
            half = other;
            other = 0;
        }
        const uint32_t group = (uint32_t)__builtin_ctzll(half);
        for (hl_inlet *inlet = level->groups[group]; inlet != NULL; inlet = inlet->next)
            if (hl_inlet_ready(inlet))
                return inlet;
        half &= half - 1;
    }
    return NULL;
}

/* Whether an inlet of the group has something. */
static inline bool hl_group_ready(const hl_level *level, uint32_t group)
{
    for (const hl_inlet *inlet = level->groups[group]; inlet != NULL; inlet = inlet->next)
        if (hl_inlet_ready(inlet))
            return true;
    return false;
}

/* Notes that the inlet was served: the others of its level, and of its group, come first now. */
void hl_level_served(hl_level *level, hl_inlet *inlet);

/* Leaves alone the groups in which nothing has come since the last time. At least a millisecond
 * after the last time. */
void hl_level_age(hl_level *level, uint64_t *announced, uint64_t *watched);

#endif
