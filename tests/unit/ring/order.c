#include "ring/order.h"

#include <criterion/criterion.h>

#define ANY_64 UINT64_C(0xfedcba9876543210)

Test(order, a_load_gives_back_the_whole_word_that_was_stored)
{
    uint8_t u8 = 0;
    uint32_t u32 = 0;
    uint64_t u64 = 0;
    void *ptr = NULL;
    hl_store_relaxed_u8(&u8, UINT8_MAX);
    hl_store_relaxed_u32(&u32, UINT32_MAX - 1);
    hl_store_relaxed_u64(&u64, ANY_64);
    hl_store_relaxed_ptr(&ptr, &u64);
    cr_assert_eq(hl_load_acquire_u8(&u8), UINT8_MAX);
    cr_assert_eq(hl_load_acquire_u32(&u32), UINT32_MAX - 1);
    cr_assert_eq(hl_load_acquire_u64(&u64), ANY_64);
    cr_assert_eq(hl_load_acquire_ptr(&ptr), &u64);
    hl_store_release_u8(&u8, 1);
    hl_store_release_u32(&u32, 2);
    hl_store_release_u64(&u64, 3);
    hl_store_release_ptr(&ptr, NULL);
    cr_assert_eq(hl_load_relaxed_u8(&u8), 1);
    cr_assert_eq(hl_load_relaxed_u32(&u32), 2);
    cr_assert_eq(hl_load_relaxed_u64(&u64), 3);
    cr_assert_null(hl_load_relaxed_ptr(&ptr));
}

Test(order, a_compare_exchange_that_succeeds_writes_and_keeps_expected)
{
    uint32_t u32 = 7, expected32 = 7;
    uint64_t u64 = ANY_64, expected64 = ANY_64;
    void *ptr = &u32, *expected_ptr = &u32;
    cr_assert(hl_compare_exchange_relaxed_u32(&u32, &expected32, 8));
    cr_assert(hl_compare_exchange_relaxed_u64(&u64, &expected64, 9));
    cr_assert(hl_compare_exchange_relaxed_ptr(&ptr, &expected_ptr, &u64));
    cr_assert_eq(expected32, 7);
    cr_assert_eq(expected64, ANY_64);
    cr_assert_eq(expected_ptr, &u32);
    expected32 = 8;
    expected64 = 9;
    expected_ptr = &u64;
    cr_assert(hl_compare_exchange_acq_rel_u32(&u32, &expected32, 10));
    cr_assert(hl_compare_exchange_acq_rel_u64(&u64, &expected64, 11));
    cr_assert(hl_compare_exchange_acq_rel_ptr(&ptr, &expected_ptr, NULL));
    cr_assert_eq(u32, 10);
    cr_assert_eq(u64, 11);
    cr_assert_null(ptr);
}

Test(order, a_compare_exchange_that_fails_writes_nothing_and_says_what_it_found)
{
    uint32_t u32 = 7, expected32 = 1;
    uint64_t u64 = ANY_64, expected64 = 1;
    void *ptr = &u32, *expected_ptr = NULL;
    cr_assert_not(hl_compare_exchange_relaxed_u32(&u32, &expected32, 8));
    cr_assert_not(hl_compare_exchange_relaxed_u64(&u64, &expected64, 9));
    cr_assert_not(hl_compare_exchange_relaxed_ptr(&ptr, &expected_ptr, &u64));
    cr_assert_eq(expected32, 7);
    cr_assert_eq(expected64, ANY_64);
    cr_assert_eq(expected_ptr, &u32);
    expected32 = 1;
    expected64 = 1;
    expected_ptr = NULL;
    cr_assert_not(hl_compare_exchange_acq_rel_u32(&u32, &expected32, 8));
    cr_assert_not(hl_compare_exchange_acq_rel_u64(&u64, &expected64, 9));
    cr_assert_not(hl_compare_exchange_acq_rel_ptr(&ptr, &expected_ptr, &u64));
    cr_assert_eq(expected32, 7);
    cr_assert_eq(expected64, ANY_64);
    cr_assert_eq(expected_ptr, &u32);
    cr_assert_eq(u32, 7);
    cr_assert_eq(u64, ANY_64);
    cr_assert_eq(ptr, &u32);
}

Test(order, fetch_add_and_exchange_give_back_what_was_there)
{
    uint64_t count = UINT64_MAX;
    cr_assert_eq(hl_fetch_add_relaxed_u64(&count, 2), UINT64_MAX);
    cr_assert_eq(count, 1, "it wraps");
    cr_assert_eq(hl_fetch_add_acq_rel_u64(&count, ANY_64), 1);
    cr_assert_eq(hl_exchange_acq_rel_u64(&count, 5), ANY_64 + 1);
    cr_assert_eq(hl_exchange_relaxed_u64(&count, 6), 5);
    cr_assert_eq(count, 6);
    void *ptr = &count;
    cr_assert_eq(hl_exchange_acq_rel_ptr(&ptr, NULL), &count);
    cr_assert_null(ptr);
}
