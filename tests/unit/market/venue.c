#include "market/venue.h"

#include <criterion/criterion.h>

static market_venue make(void)
{
    market_venue venue;
    cr_assert_eq(market_venue_init(&venue, 1, 1, 1), HL_OK);
    return venue;
}

static market_order order_of(char side, uint32_t quantity, uint32_t shown)
{
    return (market_order){.order_id = 9,
                          .exchange_ns = 55,
                          .limit_price = 100,
                          .quote_price = 100,
                          .quantity = quantity,
                          .quote_size = shown,
                          .side = (uint8_t)side};
}

static market_execution execute(market_venue *venue, uint64_t key, market_order order)
{
    market_execution execution;
    market_venue_execute(venue, key, &order, &execution);
    market_venue_executed(venue, key, &order, &execution);
    cr_expect_eq(execution.last.filled + execution.last.cancelled, order.quantity);
    cr_expect_eq(execution.fill.quantity, execution.last.filled);
    return execution;
}

Test(market_venue, fills_what_is_shown_and_cancels_the_rest)
{
    market_venue venue = make();
    market_execution done = execute(&venue, 1, order_of('B', 100, 300));
    cr_expect_eq(done.first.outcome, MARKET_ACKNOWLEDGED);
    cr_expect_eq(done.last.outcome, MARKET_FILLED);
    cr_expect_eq(done.fill.quantity, 100);
    cr_expect_eq(done.fill.price, 100);
    cr_expect_eq(done.fill.fill_id, 1);
    done = execute(&venue, 2, order_of('A', 100, 30));
    cr_expect_eq(done.last.outcome, MARKET_CANCELLED);
    cr_expect_eq(done.last.filled, 30);
    cr_expect_eq(done.fill.fill_id, 2);
    market_venue_free(&venue);
}

Test(market_venue, one_quote_is_not_taken_twice)
{
    market_venue venue = make();
    cr_expect_eq(execute(&venue, 1, order_of('B', 100, 150)).last.filled, 100);
    cr_expect_eq(execute(&venue, 1, order_of('B', 100, 150)).last.filled, 50);
    const market_execution none = execute(&venue, 1, order_of('B', 100, 150));
    cr_expect_eq(none.last.outcome, MARKET_CANCELLED);
    cr_expect_eq(none.fill.quantity, 0);
    cr_expect_eq(execute(&venue, 1, order_of('A', 100, 150)).last.filled, 100, "the other side");
    cr_expect_eq(execute(&venue, 2, order_of('B', 100, 150)).last.filled, 100, "another share");
    market_order later = order_of('B', 100, 150);
    later.exchange_ns++;
    cr_expect_eq(execute(&venue, 1, later).last.filled, 100, "a newer quote");
    market_venue_free(&venue);
}

Test(market_venue, never_trades_beyond_the_limit)
{
    market_venue venue = make();
    market_order order = order_of('B', 100, 150);
    order.limit_price = 99;
    cr_expect_eq(execute(&venue, 1, order).last.outcome, MARKET_CANCELLED);
    order.limit_price = 101;
    const market_execution done = execute(&venue, 1, order);
    cr_expect_eq(done.last.outcome, MARKET_FILLED);
    cr_expect_eq(done.fill.price, 100, "at the quote, which is better than the limit");
    order.side = 'A';
    cr_expect_eq(execute(&venue, 1, order).last.outcome, MARKET_CANCELLED);
    market_venue_free(&venue);
}

Test(market_venue, refuses_an_order_without_shares_or_side)
{
    market_venue venue = make();
    cr_expect_eq(execute(&venue, 1, order_of('B', 0, 10)).first.outcome, MARKET_REJECTED);
    const market_execution none = execute(&venue, 1, order_of('N', 5, 10));
    cr_expect_eq(none.first.outcome, MARKET_REJECTED);
    cr_expect_eq(none.last.outcome, MARKET_REJECTED);
    cr_expect_eq(none.last.cancelled, 5);
    market_venue_free(&venue);
}

Test(market_venue, an_execution_that_was_not_published_took_nothing)
{
    market_venue venue = make();
    const market_order order = order_of('B', 100, 150);
    market_execution first, second;
    market_venue_execute(&venue, 1, &order, &first);
    market_venue_execute(&venue, 1, &order, &second);
    cr_expect_eq(second.last.filled, 100);
    cr_expect_eq(second.fill.fill_id, first.fill.fill_id);
    market_venue_free(&venue);
}

Test(market_venue, remembers_more_instruments_than_were_expected)
{
    market_venue venue = make();
    for (uint64_t key = 0; key < 100; key++)
        cr_assert_eq(execute(&venue, key, order_of('B', 100, 100)).last.filled, 100);
    for (uint64_t key = 0; key < 100; key++)
        cr_assert_eq(execute(&venue, key, order_of('B', 100, 100)).last.filled, 0);
    market_venue_free(&venue);
}
