#include "market/keys.h"

#include <criterion/criterion.h>

Test(market_keys, numbers_by_first_appearance_and_finds_them_again)
{
    market_keys keys;
    cr_assert_eq(market_keys_init(&keys, 0), HL_OK);
    cr_assert_eq(market_keys_find(&keys, 77), MARKET_NO_KEY);
    cr_assert_eq(market_keys_number(&keys, 77), 0);
    cr_assert_eq(market_keys_number(&keys, 0), 1);
    cr_assert_eq(market_keys_number(&keys, UINT64_MAX), 2);
    cr_assert_eq(market_keys_number(&keys, 77), 0);
    cr_assert_eq(market_keys_find(&keys, 0), 1);
    cr_assert_eq(keys.count, 3);
    cr_assert_eq(keys.keys[2], UINT64_MAX);
    market_keys_free(&keys);
}

Test(market_keys, keeps_every_number_when_it_grows)
{
    market_keys keys;
    cr_assert_eq(market_keys_init(&keys, 0), HL_OK);
    /* Steps of 2^32, as keys of many inputs have: all differ in their high bits only. */
    for (uint64_t number = 0; number < 5000; number++)
        cr_assert_eq(market_keys_number(&keys, number << 32), number);
    for (uint64_t number = 0; number < 5000; number++)
        cr_assert_eq(market_keys_find(&keys, number << 32), number);
    cr_assert_eq(market_keys_find(&keys, 1), MARKET_NO_KEY);
    market_keys_free(&keys);
}

Test(market_keys, what_was_reserved_needs_no_memory)
{
    market_keys keys;
    cr_assert_eq(market_keys_init(&keys, 100), HL_OK);
    const uint64_t *const before = keys.keys;
    for (uint64_t key = 0; key < 100; key++)
        market_keys_number(&keys, key * 3);
    cr_assert_eq(keys.keys, before);
    cr_assert_geq(keys.room, 100);
    market_keys_free(&keys);
}
