/*
 * Rings under test, and the shapes that each kind is tried in.
 */
#ifndef TESTS_UNIT_RING_TEST_RING_H
#define TESTS_UNIT_RING_TEST_RING_H

#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include "ring/ring.h"
#include "test_memory.h"

/* In test_memory. */
static hl_ring *test_ring(hl_ring_kind kind, uint32_t slot_size, uint32_t capacity,
                          uint64_t start_position)
{
    const char *reason = "";
    const size_t size = hl_ring_size_bytes(slot_size, capacity);
    hl_ring *const ring =
        hl_ring_init(test_memory(size), size, slot_size, capacity, kind, start_position, &reason);
    cr_assert_not_null(ring, "%s", reason);
    return ring;
}

typedef struct ring_shape {
    uint32_t slot_size, capacity;
    uint64_t start_position;
} ring_shape;

#define RING_SHAPES_MAX 144

/* Each of the slot sizes with each of the starts, in capacities from 1 up. */
static struct criterion_test_params ring_shapes(const uint32_t *slot_sizes, size_t slot_size_count,
                                                const uint64_t *starts, size_t start_count)
{
    static ring_shape shapes[RING_SHAPES_MAX];
    const uint32_t capacities[] = {1, 2, 8, 64};
    size_t n = 0;
    for (size_t i = 0; i < slot_size_count; i++)
        for (size_t j = 0; j < 4; j++)
            for (size_t k = 0; k < start_count && n < RING_SHAPES_MAX; k++)
                shapes[n++] = (ring_shape){slot_sizes[i], capacities[j], starts[k]};
    cr_assert_eq(n, slot_size_count * 4 * start_count, "RING_SHAPES_MAX is too small");
    return cr_make_param_array(ring_shape, shapes, n);
}

#endif
