/*
 * The strategy: order-book imbalance. When the shares at the best bid outweigh those at the best
 * ask by more than a threshold, the price tends up (Cont, Kukanov and Stoikov, "The price impact of
 * order book events", 2014), so it says buy; the other way round, sell.
 *
 * Two brakes keep signals far rarer than messages: one is given only when the leaning changes its
 * side, and not before a cool-down, in the data's own time, after the instrument's last one.
 * Integers only, no clock: the same messages give the same signals.
 *
 * One thread at a time; allocates only when a book number is new beyond what was reserved.
 */
#ifndef MARKET_STRATEGY_H
#define MARKET_STRATEGY_H

#include <stdbool.h>
#include <stdint.h>

#include <hotlane/status.h>

#include "market/book.h"
#include "market/payloads.h"

typedef struct market_strategy_options {
    uint32_t threshold;   /* leaning that counts, in thousandths: 1..1000 */
    uint64_t cooldown_ns; /* of exchange time, per instrument */
} market_strategy_options;

#define MARKET_STRATEGY_OPTIONS_INIT   \
    {                                  \
        600, (uint64_t)5 * 1000000000u \
    }

/* What it knows of one instrument. */
typedef struct market_leaning {
    uint64_t quiet_until_ns;
    uint64_t signals;
    uint8_t side; /* of the last signal; 0: none yet */
} market_leaning;

typedef struct market_strategy {
    market_strategy_options options;
    market_leaning *leanings; /* by book number */
    uint32_t room;
} market_strategy;

/* `expected_books`: room made ahead, 0 and more. HL_OK or HL_NO_MEMORY. */
hl_status market_strategy_init(market_strategy *strategy, const market_strategy_options *options,
                               uint32_t expected_books);
void market_strategy_free(market_strategy *strategy);

/* Slow path of market_strategy_look. */
bool market_strategy_decide(market_strategy *strategy, const market_book *book,
                            uint64_t exchange_ns, market_signal *ret_signal);

/*
 * Looks at the book after a message of `exchange_ns`. True: `*ret_signal` is to be published (all
 * but tick_published_ns is filled in), and once it is, market_strategy_given must be called. Until
 * then the next look says the same again, so that a signal that found no room is late, not lost.
 */
static inline bool market_strategy_look(market_strategy *strategy, const market_book *book,
                                        uint64_t exchange_ns, market_signal *ret_signal)
{
    if (book->number < strategy->room &&
        exchange_ns < strategy->leanings[book->number].quiet_until_ns)
        return false;
    return market_strategy_decide(strategy, book, exchange_ns, ret_signal);
}

/* What it knows of a book, and the other way round: after a restart. HL_OK, HL_NO_MEMORY. */
void market_strategy_read(const market_strategy *strategy, uint32_t book,
                          market_leaning *ret_leaning);
hl_status market_strategy_put(market_strategy *strategy, uint32_t book,
                              const market_leaning *leaning);

/* The signal was published. */
void market_strategy_given(market_strategy *strategy, const market_book *book,
                           const market_signal *signal);

#endif
