#include "ring/latest.h"

#include <criterion/criterion.h>

#include "test_memory.h"

TestSuite(latest, .fini = free_test_memory);

static hl_latest *make_table(uint32_t max_keys, uint32_t value_size)
{
    const char *reason = "";
    const size_t size = hl_latest_size_bytes(max_keys, value_size);
    hl_latest *const table = hl_latest_init(test_memory(size), size, max_keys, value_size, &reason);
    cr_assert_not_null(table, "%s", reason);
    return table;
}

/* Keys that are neighbours, extremes, and far apart. */
static uint64_t key_of(uint32_t i)
{
    return i == 1 ? UINT64_MAX : i % 3 == 0 ? i : (uint64_t)i << 40;
}

Test(latest, size_is_zero_out_of_range)
{
    cr_assert_eq(hl_latest_size_bytes(0, 8), 0);
    cr_assert_eq(hl_latest_size_bytes(HL_LATEST_MAX_KEYS + 1, 8), 0);
    cr_assert_eq(hl_latest_size_bytes(UINT32_MAX, 8), 0);
    cr_assert_eq(hl_latest_size_bytes(8, 0), 0);
    cr_assert_eq(hl_latest_size_bytes(8, HL_LATEST_MAX_VALUE_SIZE + 1), 0);
    cr_assert_neq(hl_latest_size_bytes(HL_LATEST_MAX_KEYS, HL_LATEST_MAX_VALUE_SIZE), 0);
}

Test(latest, init_refuses_what_does_not_fit_with_a_sentence)
{
    const size_t size = hl_latest_size_bytes(4, 8);
    char *const memory = test_memory(size + 128);
    const char *reason = NULL;
    cr_assert_null(hl_latest_init(memory, size - 1, 4, 8, &reason));
    cr_assert_not_null(strstr(reason, "smaller"));
    cr_assert_null(hl_latest_init(memory + 8, size, 4, 8, &reason));
    cr_assert_not_null(strstr(reason, "aligned"));
    cr_assert_null(hl_latest_init(NULL, size, 4, 8, &reason));
    cr_assert_not_null(strstr(reason, "aligned"));
    cr_assert_null(hl_latest_init(memory, size, 0, 8, &reason));
    cr_assert_not_null(strstr(reason, "max_keys"));
    cr_assert_null(hl_latest_init(memory, size, 0, 8, NULL), "the reason is optional");
}

Test(latest, a_key_that_was_never_put_is_not_found)
{
    hl_latest *const table = make_table(4, 8);
    uint64_t value = 42;
    uint32_t size = 42;
    cr_assert_eq(hl_latest_get(table, 0, &value, 8, &size), HL_NOT_FOUND);
    cr_assert_eq(hl_latest_put(table, 1, &value, 8), HL_OK);
    cr_assert_eq(hl_latest_get(table, 0, &value, 8, &size), HL_NOT_FOUND);
    cr_assert_eq(value, 42);
    cr_assert_eq(size, 42);
}

Test(latest, any_number_is_a_key_and_the_newest_value_is_what_comes_back)
{
    const uint32_t keys = 1000;
    hl_latest *const table = make_table(keys, 8);
    for (uint64_t round = 0; round < 5; round++) {
        for (uint32_t i = 0; i < keys; i++) {
            const uint64_t value = round * keys + i;
            cr_assert_eq(hl_latest_put(table, key_of(i), &value, 8), HL_OK);
        }
        cr_assert_eq(hl_latest_count(table), keys);
        for (uint32_t i = 0; i < keys; i++) {
            uint64_t value = 0;
            uint32_t size = 0;
            cr_assert_eq(hl_latest_get(table, key_of(i), &value, 8, &size), HL_OK);
            cr_assert_eq(size, 8);
            cr_assert_eq(value, round * keys + i);
        }
    }
}

Test(latest, a_table_of_one_key_holds_one_key)
{
    hl_latest *const table = make_table(1, 1);
    cr_assert_eq(hl_latest_put(table, UINT64_MAX, "a", 1), HL_OK);
    cr_assert_eq(hl_latest_put(table, 0, "b", 1), HL_LIMIT);
    cr_assert_eq(hl_latest_put(table, UINT64_MAX, "c", 1), HL_OK);
    char value = 0;
    uint32_t size;
    cr_assert_eq(hl_latest_get(table, UINT64_MAX, &value, 1, &size), HL_OK);
    cr_assert_eq(value, 'c');
}

Test(latest, beyond_max_keys_a_new_key_is_refused_and_the_known_ones_still_change)
{
    hl_latest *const table = make_table(3, 8);
    uint64_t value = 1;
    for (uint64_t key = 0; key < 3; key++)
        cr_assert_eq(hl_latest_put(table, key, &value, 8), HL_OK);
    cr_assert_eq(hl_latest_put(table, 3, &value, 8), HL_LIMIT);
    cr_assert_eq(hl_latest_count(table), 3);
    uint32_t size;
    cr_assert_eq(hl_latest_get(table, 3, &value, 8, &size), HL_NOT_FOUND);
    value = 2;
    cr_assert_eq(hl_latest_put(table, 2, &value, 8), HL_OK);
    value = 0;
    cr_assert_eq(hl_latest_get(table, 2, &value, 8, &size), HL_OK);
    cr_assert_eq(value, 2);
}

Test(latest, values_of_every_size_come_back_whole_and_nothing_is_written_behind_them)
{
    const uint32_t most = 203;
    hl_latest *const table = make_table(1, most);
    unsigned char in[256], out[256];
    for (uint32_t n = 0; n <= most; n++) {
        memset(in, (int)n + 1, sizeof in);
        memset(out, 0, sizeof out);
        uint32_t size = UINT32_MAX;
        cr_assert_eq(hl_latest_put(table, 9, in + 1, n), HL_OK, "an unaligned value");
        cr_assert_eq(hl_latest_get(table, 9, out + 3, n, &size), HL_OK, "an unaligned buffer");
        cr_assert_eq(size, n);
        cr_assert_eq(memcmp(in + 1, out + 3, n), 0);
        cr_assert_eq(out[2], 0);
        cr_assert_eq(out[3 + n], 0);
    }
    cr_assert_eq(hl_latest_put(table, 9, in, most + 1), HL_TOO_LARGE);
}

Test(latest, a_value_that_is_too_large_is_refused_and_enters_no_key)
{
    hl_latest *const table = make_table(2, 8);
    cr_assert_eq(hl_latest_put(table, 1, "123456789", 9), HL_TOO_LARGE);
    cr_assert_eq(hl_latest_count(table), 0);
}

Test(latest, a_buffer_that_is_too_small_is_told_what_it_takes)
{
    hl_latest *const table = make_table(2, 64);
    char value[64] = "x", buffer[64] = "";
    cr_assert_eq(hl_latest_put(table, 1, value, 64), HL_OK);
    uint32_t size = 0;
    cr_assert_eq(hl_latest_get(table, 1, buffer, 63, &size), HL_TOO_LARGE);
    cr_assert_eq(size, 64);
    cr_assert_eq(hl_latest_get(table, 1, buffer, size, &size), HL_OK);
    cr_assert_eq(memcmp(value, buffer, 64), 0);
}

Test(latest, keys_are_walked_in_the_order_of_their_first_puts)
{
    const uint32_t keys = 100;
    hl_latest *const table = make_table(keys, 8);
    for (uint32_t i = 0; i < keys; i++) {
        const uint64_t value = i;
        cr_assert_eq(hl_latest_put(table, key_of(i), &value, 8), HL_OK);
        cr_assert_eq(hl_latest_put(table, key_of(0), &value, 8), HL_OK);
    }
    uint64_t key, value;
    uint32_t size;
    for (uint32_t i = 0; i < keys; i++) {
        cr_assert_eq(hl_latest_at(table, i, &value, 8, &key, &size), HL_OK);
        cr_assert_eq(key, key_of(i));
        cr_assert_eq(value, i == 0 ? keys - 1 : i);
    }
    key = 42;
    cr_assert_eq(hl_latest_at(table, keys, &value, 8, &key, &size), HL_NOT_FOUND);
    cr_assert_eq(key, 42);
}

Test(latest, a_table_may_be_moved_as_a_whole)
{
    const size_t bytes = hl_latest_size_bytes(8, 8);
    hl_latest *const table = make_table(8, 8);
    const uint64_t value = 77;
    cr_assert_eq(hl_latest_put(table, 5, &value, 8), HL_OK);
    hl_latest *const elsewhere = test_memory(bytes);
    memcpy(elsewhere, table, bytes);
    memset(table, 0xff, bytes);
    uint64_t found = 0;
    uint32_t size;
    cr_assert_eq(hl_latest_get(elsewhere, 5, &found, 8, &size), HL_OK);
    cr_assert_eq(found, 77);
}
