/* Linked with --wrap=realloc, so that memory can run out. */
#include "market/rows.h"

#include <stdbool.h>
#include <stdlib.h>

#include <criterion/criterion.h>

static bool no_memory;

void *__real_realloc(void *memory, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);

void *__wrap_realloc(void *memory, size_t bytes)
{
    return no_memory ? NULL : __real_realloc(memory, bytes);
}

typedef struct row {
    uint64_t key, twice;
    char odd; /* rows have the compiler's padding, no more */
} row;

static void fill(market_rows *rows, uint64_t key)
{
    row *const mine = market_rows_of(rows, key);
    cr_assert_not_null(mine);
    cr_assert_eq(mine->key | mine->twice | (uint64_t)mine->odd, 0, "a new one is of zeros");
    *mine = (row){key, 2 * key, 'x'};
}

Test(market_rows, each_key_has_a_row_of_its_own_that_moves_with_the_table)
{
    market_rows rows;
    cr_assert_eq(market_rows_init(&rows, sizeof(row), 0), HL_OK);
    for (uint64_t key = 1; key <= 5000; key++)
        fill(&rows, key << 32);
    for (uint64_t key = 1; key <= 5000; key++) {
        const row *const mine = market_rows_of(&rows, key << 32);
        cr_assert_eq(mine->key, key << 32);
        cr_assert_eq(mine->twice, key << 33);
        cr_assert_eq(market_rows_at(&rows, (uint32_t)key - 1), mine, "by first appearance");
    }
    cr_assert_eq(rows.keys.count, 5000);
    market_rows_free(&rows);
    cr_assert_null(rows.rows);
}

Test(market_rows, what_was_reserved_needs_no_memory)
{
    market_rows rows;
    cr_assert_eq(market_rows_init(&rows, sizeof(row), 100), HL_OK);
    no_memory = true;
    for (uint64_t key = 1; key <= 100; key++)
        fill(&rows, key);
    market_rows_free(&rows);
}

Test(market_rows, a_key_for_whose_row_there_is_no_memory_is_none)
{
    market_rows rows;
    cr_assert_eq(market_rows_init(&rows, sizeof(row), 0), HL_OK);
    const uint32_t room = rows.room;
    for (uint64_t key = 1; key <= room; key++)
        fill(&rows, key);
    no_memory = true;
    for (uint64_t key = room + 1; key < room + 4; key++)
        cr_assert_null(market_rows_of(&rows, key));
    cr_assert_eq(rows.keys.count, room, "as many keys as rows");
    cr_assert_not_null(market_rows_of(&rows, room));
    no_memory = false;
    fill(&rows, room + 2);
    cr_assert_eq(rows.keys.count, room + 1);
    market_rows_free(&rows);
}
