#include "market/account.h"

#include <criterion/criterion.h>

static market_accounts make(void)
{
    market_accounts accounts;
    cr_assert_eq(market_accounts_init(&accounts, 1), HL_OK);
    return accounts;
}

static market_position book(market_accounts *accounts, uint64_t key, char side, uint32_t quantity,
                            int64_t price)
{
    const market_fill fill = {
        .price = price, .quantity = quantity, .side = (uint8_t)side, .exchange_ns = 5};
    market_position position;
    cr_assert_eq(market_accounts_after(accounts, key, &fill, &position), HL_OK);
    market_accounts_book(accounts, key, &position);
    return position;
}

Test(market_account, a_round_trip_leaves_the_difference_in_cash)
{
    market_accounts accounts = make();
    market_position position = book(&accounts, 1, 'B', 10, 100);
    cr_expect_eq(position.position, 10);
    cr_expect_eq(position.cash, -1000);
    cr_expect_eq(position.profit, 0);
    position = book(&accounts, 1, 'A', 10, 103);
    cr_expect_eq(position.position, 0);
    cr_expect_eq(position.cash, 30);
    cr_expect_eq(position.profit, 30);
    cr_expect_eq(position.fills, 2);
    cr_expect_eq(position.volume, 20);
    cr_expect_eq(position.mark, 103);
    market_accounts_free(&accounts);
}

Test(market_account, a_short_position_gains_when_the_price_falls)
{
    market_accounts accounts = make();
    cr_expect_eq(book(&accounts, 1, 'A', 10, 100).position, -10);
    cr_expect_eq(book(&accounts, 1, 'A', 1, 98).profit, 20);
    cr_expect_eq(book(&accounts, 1, 'A', 1, 102).profit, -24);
    market_accounts_free(&accounts);
}

Test(market_account, instruments_have_positions_of_their_own)
{
    market_accounts accounts = make();
    for (uint64_t key = 0; key < 100; key++)
        book(&accounts, key, 'B', (uint32_t)key + 1, 10);
    for (uint64_t key = 0; key < 100; key++)
        cr_assert_eq(book(&accounts, key, 'B', 1, 10).position, (int64_t)key + 2);
    market_accounts_free(&accounts);
}

Test(market_account, a_fill_beyond_64_bits_is_refused_and_changes_nothing)
{
    market_accounts accounts = make();
    book(&accounts, 1, 'B', 1, 100);
    const market_fill huge = {.price = INT64_MAX / 2, .quantity = 3, .side = 'B'};
    market_position position;
    cr_expect_eq(market_accounts_after(&accounts, 1, &huge, &position), HL_INVALID);
    const market_fill sideless = {.price = 1, .quantity = 3, .side = 'N'};
    cr_expect_eq(market_accounts_after(&accounts, 1, &sideless, &position), HL_INVALID);
    cr_expect_eq(book(&accounts, 1, 'B', 1, 100).position, 2);
    market_accounts_free(&accounts);
}
