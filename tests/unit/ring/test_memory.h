/*
 * Memory for rings under test, given back at the end of the test, so that the sanitizer's search
 * for leaks has nothing to find: TestSuite(ring, .fini = free_test_memory).
 */
#ifndef TESTS_UNIT_RING_TEST_MEMORY_H
#define TESTS_UNIT_RING_TEST_MEMORY_H

#include <criterion/criterion.h>

#include "base/allocate.h"

#define TEST_MEMORY_PIECES 64

static void *test_memory_pieces[TEST_MEMORY_PIECES];
static size_t test_memory_count;

static void *test_memory(size_t size_bytes)
{
    cr_assert_lt(test_memory_count, TEST_MEMORY_PIECES);
    void *const memory = hl_allocate(1, size_bytes);
    cr_assert_not_null(memory);
    test_memory_pieces[test_memory_count++] = memory;
    return memory;
}

static void free_test_memory(void)
{
    while (test_memory_count > 0)
        free(test_memory_pieces[--test_memory_count]);
}

#endif
