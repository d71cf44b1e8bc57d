#include "market/strategy.h"

#include <criterion/criterion.h>

static market_book book_of(uint64_t bid_size, uint64_t ask_size)
{
    return (market_book){.top = {.best_bid = 100,
                                 .best_ask = 101,
                                 .best_bid_size = bid_size,
                                 .best_ask_size = ask_size}};
}

static market_strategy make(void)
{
    const market_strategy_options options = {.threshold = 600, .cooldown_ns = 1000};
    market_strategy strategy;
    cr_assert_eq(market_strategy_init(&strategy, &options, 1), HL_OK);
    return strategy;
}

/* What is said at that time: 'B', 'A', or 0; and it is published. */
static char say(market_strategy *strategy, const market_book *book, uint64_t at_ns)
{
    market_signal signal;
    if (!market_strategy_look(strategy, book, at_ns, &signal))
        return 0;
    market_strategy_given(strategy, book, &signal);
    return (char)signal.side;
}

Test(market_strategy, leans_where_the_shares_are_at_the_threshold_exactly)
{
    market_strategy strategy = make();
    const market_book below = book_of(799, 201), at = book_of(800, 200);
    cr_expect_eq(say(&strategy, &below, 1), 0);
    cr_expect_eq(say(&strategy, &at, 2), 'B');
    market_strategy_free(&strategy);
    strategy = make();
    const market_book other = book_of(200, 800);
    cr_expect_eq(say(&strategy, &other, 1), 'A');
    market_strategy_free(&strategy);
}

Test(market_strategy, says_nothing_of_a_book_that_is_empty_on_a_side_or_crossed)
{
    market_strategy strategy = make();
    market_book book = book_of(900, 0);
    cr_expect_eq(say(&strategy, &book, 1), 0);
    book = book_of(900, 1);
    book.top.best_ask = 100;
    cr_expect_eq(say(&strategy, &book, 2), 0);
    book.top.best_ask = 101;
    cr_expect_eq(say(&strategy, &book, 3), 'B');
    market_strategy_free(&strategy);
}

Test(market_strategy, speaks_only_when_the_leaning_turns_and_has_cooled_down)
{
    market_strategy strategy = make();
    const market_book buy = book_of(900, 1), sell = book_of(1, 900);
    cr_expect_eq(say(&strategy, &buy, 5000), 'B');
    cr_expect_eq(say(&strategy, &sell, 5999), 0, "still cooling");
    cr_expect_eq(say(&strategy, &buy, 6000), 0, "the same again");
    cr_expect_eq(say(&strategy, &sell, 6000), 'A');
    market_strategy_free(&strategy);
}

Test(market_strategy, a_signal_that_was_not_given_is_said_again)
{
    market_strategy strategy = make();
    const market_book buy = book_of(900, 1);
    market_signal first, second;
    cr_assert(market_strategy_look(&strategy, &buy, 10, &first));
    cr_assert(market_strategy_look(&strategy, &buy, 20, &second));
    cr_expect_eq(first.number, 1);
    cr_expect_eq(second.number, 1);
    market_strategy_given(&strategy, &buy, &second);
    cr_expect_not(market_strategy_look(&strategy, &buy, 30, &first));
    market_strategy_free(&strategy);
}

Test(market_strategy, signal_carries_the_book_and_the_leaning_in_thousandths)
{
    market_strategy strategy = make();
    const market_book sell = book_of(100, (uint64_t)UINT32_MAX + 7);
    market_signal signal;
    cr_assert(market_strategy_look(&strategy, &sell, 10, &signal));
    cr_expect_eq(signal.best_bid, 100);
    cr_expect_eq(signal.best_ask, 101);
    cr_expect_eq(signal.best_bid_size, 100);
    cr_expect_eq(signal.best_ask_size, UINT32_MAX, "cut, not wrapped");
    cr_expect_eq(signal.imbalance, -999);
    cr_expect_eq(signal.exchange_ns, 10);
    market_strategy_free(&strategy);
}

Test(market_strategy, books_have_leanings_of_their_own_also_beyond_what_was_expected)
{
    market_strategy strategy = make();
    market_book buy = book_of(900, 1);
    for (uint32_t number = 0; number < 100; number++) {
        buy.number = number;
        cr_assert_eq(say(&strategy, &buy, 10), 'B');
        cr_assert_eq(say(&strategy, &buy, 5000), 0);
    }
    market_strategy_free(&strategy);
}
