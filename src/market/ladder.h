/*
 * The price levels of one side of a book. One thread; inline, because each message of a day passes
 * here.
 */
#ifndef MARKET_LADDER_H
#define MARKET_LADDER_H

#include <stdlib.h>
#include <string.h>

#include "market/book.h"

#define MARKET_LEVELS_FIRST 64u /* room that a ladder begins with */
#define MARKET_LEVELS_NEAR  8u  /* levels next to the best */

/* Both sides are kept ascending, best last: an ask's price is complemented (~p = -p - 1 turns the
 * order around and, unlike -p, exists for every value). Without a branch: which side comes next
 * cannot be foretold. */
static inline int64_t market_rank_of(uint32_t side, int64_t price)
{
    return price ^ -(int64_t)side;
}

/* The number of levels whose rank is below `rank`: where it is, or belongs. Nearly all traffic is
 * at the best few: those are compared without a branch on each, since where among them cannot be
 * foretold either. */
static inline uint32_t market_ladder_find(const market_ladder *ladder, int64_t rank)
{
    uint32_t high = ladder->count;
    if (high >= MARKET_LEVELS_NEAR) {
        const market_level *const near = &ladder->levels[high - MARKET_LEVELS_NEAR];
        uint32_t above = 0;
        for (uint32_t index = 0; index < MARKET_LEVELS_NEAR; index++)
            above += near[index].price >= rank;
        if (above < MARKET_LEVELS_NEAR)
            return high - above;
        high -= MARKET_LEVELS_NEAR;
    }
    uint32_t low = 0;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (ladder->levels[middle].price < rank)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Room for one level more; done before anything is changed, so that a failure changes nothing. */
static inline bool market_ladder_make_room(market_ladder *ladder)
{
    if (ladder->count < ladder->room)
        return true;
    const uint32_t room = ladder->room == 0 ? MARKET_LEVELS_FIRST : ladder->room * 2;
    market_level *const levels = realloc(ladder->levels, room * sizeof *levels);
    if (levels == NULL)
        return false;
    ladder->levels = levels;
    ladder->room = room;
    return true;
}

/* Adds to the level of that rank; there is room for a new one (market_ladder_make_room). */
static inline void market_ladder_add(market_ladder *ladder, int64_t rank, uint32_t quantity)
{
    if (quantity == 0)
        return;
    const uint32_t at = market_ladder_find(ladder, rank);
    if (at == ladder->count || ladder->levels[at].price != rank) {
        memmove(&ladder->levels[at + 1], &ladder->levels[at],
                (ladder->count - at) * sizeof *ladder->levels);
        ladder->levels[at] = (market_level){.price = rank};
        ladder->count++;
    }
    ladder->levels[at].quantity += quantity;
}

/* A level may be gone, or hold less: in a partial book it can have been dropped as stale. */
static inline void market_ladder_take(market_ladder *ladder, int64_t rank, uint32_t quantity)
{
    const uint32_t at = market_ladder_find(ladder, rank);
    if (quantity == 0 || at == ladder->count || ladder->levels[at].price != rank)
        return;
    if (ladder->levels[at].quantity > quantity) {
        ladder->levels[at].quantity -= quantity;
        return;
    }
    ladder->count--;
    memmove(&ladder->levels[at], &ladder->levels[at + 1],
            (ladder->count - at) * sizeof *ladder->levels);
}

/* Drops every level that is better than `rank`. */
static inline void market_ladder_drop_better(market_ladder *ladder, int64_t rank)
{
    while (ladder->count != 0 && ladder->levels[ladder->count - 1].price > rank)
        ladder->count--;
}

/* Drops every level at `rank` or better. */
static inline void market_ladder_drop_from(market_ladder *ladder, int64_t rank)
{
    while (ladder->count != 0 && ladder->levels[ladder->count - 1].price >= rank)
        ladder->count--;
}

#endif
