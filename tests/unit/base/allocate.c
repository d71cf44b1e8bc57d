#include "base/allocate.h"

#include <criterion/criterion.h>

Test(allocate, is_zeroed_and_aligned_to_a_pair_of_lines)
{
    for (size_t bytes = 0; bytes < 1000; bytes += 37) {
        unsigned char *const memory = hl_allocate(1, bytes);
        cr_assert_not_null(memory);
        cr_assert_eq((uintptr_t)memory % HL_LINE_PAIR, 0);
        for (size_t i = 0; i < bytes; i++)
            cr_assert_eq(memory[i], 0);
        memset(memory, 0xff, bytes); /* the next one of this size may get these bytes again */
        free(memory);
    }
}

Test(allocate, a_product_that_overflows_is_refused)
{
    cr_assert_null(hl_allocate(SIZE_MAX, 2));
    cr_assert_null(hl_allocate(SIZE_MAX / 2, 3));
    cr_assert_null(hl_allocate(1, SIZE_MAX));
    cr_assert_null(hl_allocate(SIZE_MAX, 1));
}
