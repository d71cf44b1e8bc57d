#include "market/strategy.h"

#include <stdlib.h>
#include <string.h>

hl_status market_strategy_init(market_strategy *strategy, const market_strategy_options *options,
                               uint32_t expected_books)
{
    const uint32_t room = expected_books == 0 ? 1 : expected_books;
    market_leaning *const leanings = calloc(room, sizeof *leanings);
    if (leanings == NULL)
        return HL_NO_MEMORY;
    *strategy = (market_strategy){*options, leanings, room};
    return HL_OK;
}

void market_strategy_free(market_strategy *strategy)
{
    free(strategy->leanings);
    memset(strategy, 0, sizeof *strategy);
}

static market_leaning *leaning_of(market_strategy *strategy, uint32_t book)
{
    if (book < strategy->room)
        return &strategy->leanings[book];
    const uint32_t room = book + 1 > UINT32_MAX / 2 ? UINT32_MAX : (book + 1) * 2;
    market_leaning *const grown = realloc(strategy->leanings, room * sizeof *grown);
    if (grown == NULL)
        return NULL;
    memset(grown + strategy->room, 0, (room - strategy->room) * sizeof *grown);
    strategy->leanings = grown;
    strategy->room = room;
    return &strategy->leanings[book];
}

static uint32_t cut_to_u32(uint64_t size)
{
    return size > UINT32_MAX ? UINT32_MAX : (uint32_t)size;
}

/* 'B', 'A', or 0: it leans to neither side enough. */
static uint8_t leans_to(const market_strategy *strategy, uint64_t bid, uint64_t ask)
{
    const uint64_t needed = (bid + ask) * strategy->options.threshold;
    if (bid > ask && (bid - ask) * 1000 >= needed)
        return 'B';
    if (ask > bid && (ask - bid) * 1000 >= needed)
        return 'A';
    return 0;
}

bool market_strategy_decide(market_strategy *strategy, const market_book *book,
                            uint64_t exchange_ns, market_signal *ret_signal)
{
    const uint32_t bid = cut_to_u32(book->top.best_bid_size);
    const uint32_t ask = cut_to_u32(book->top.best_ask_size);
    /* A side that is empty, or a book that is crossed (before an auction), trades nothing now. */
    if (bid == 0 || ask == 0 || book->top.best_bid >= book->top.best_ask)
        return false;
    const uint8_t side = leans_to(strategy, bid, ask);
    if (side == 0)
        return false;
    market_leaning *const leaning = leaning_of(strategy, book->number);
    if (leaning == NULL || leaning->side == side)
        return false;
    const int64_t lead = ((int64_t)bid - (int64_t)ask) * 1000 / ((int64_t)bid + (int64_t)ask);
    *ret_signal = (market_signal){.exchange_ns = exchange_ns,
                                  .best_bid = book->top.best_bid,
                                  .best_ask = book->top.best_ask,
                                  .best_bid_size = bid,
                                  .best_ask_size = ask,
                                  .imbalance = (int32_t)lead,
                                  .side = side,
                                  .number = leaning->signals + 1};
    return true;
}

void market_strategy_given(market_strategy *strategy, const market_book *book,
                           const market_signal *signal)
{
    market_leaning *const leaning = &strategy->leanings[book->number];
    leaning->side = signal->side;
    leaning->signals = signal->number;
    leaning->quiet_until_ns = signal->exchange_ns + strategy->options.cooldown_ns;
}

void market_strategy_read(const market_strategy *strategy, uint32_t book,
                          market_leaning *ret_leaning)
{
    *ret_leaning = book < strategy->room ? strategy->leanings[book] : (market_leaning){0};
}

hl_status market_strategy_put(market_strategy *strategy, uint32_t book,
                              const market_leaning *leaning)
{
    market_leaning *const held = leaning_of(strategy, book);
    if (held == NULL)
        return HL_NO_MEMORY;
    *held = *leaning;
    return HL_OK;
}
