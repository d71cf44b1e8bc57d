#include "ring/mpsc.h"

#include "test_ring.h"

TestSuite(mpsc, .fini = free_test_memory);

static hl_mpsc_producer producer;
static hl_ring_consumer consumer;

static void make_ring(uint32_t slot_size, uint32_t capacity, uint64_t start_position)
{
    hl_ring *const ring = test_ring(HL_RING_MPSC, slot_size, capacity, start_position);
    hl_mpsc_open(ring, &producer);
    hl_ring_consumer_open(ring, &consumer);
}

static uint64_t claim(uint32_t n)
{
    uint64_t position = 0;
    cr_assert(hl_mpsc_try_claim(&producer, n, &position));
    return position;
}

static void commit(uint64_t position, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        ((uint64_t *)hl_mpsc_slot(&producer, position + i))[1] = ~(position + i);
    hl_mpsc_commit(&producer, position, n);
}

static uint32_t take(uint32_t n)
{
    uint32_t taken = 0;
    void *first;
    for (uint32_t run; taken < n && (run = hl_ring_peek(&consumer, n - taken, &first)) != 0;) {
        for (uint32_t i = 0; i < run; i++)
            cr_assert_eq(((uint64_t *)hl_ring_slot(&consumer, i))[1],
                         ~(hl_ring_consumed(&consumer) + i));
        hl_ring_release(&consumer, run);
        taken += run;
    }
    return taken;
}

ParameterizedTestParameters(mpsc, a_ring_of_any_shape_takes_exactly_its_capacity_lap_after_lap)
{
    const uint32_t slot_sizes[] = {64, 128, 192, 65600};
    const uint64_t starts[] = {0, 7, UINT64_MAX, UINT64_MAX - 8, UINT64_MAX - 65};
    return ring_shapes(slot_sizes, 4, starts, 5);
}

ParameterizedTest(ring_shape *of, mpsc,
                  a_ring_of_any_shape_takes_exactly_its_capacity_lap_after_lap)
{
    make_ring(of->slot_size, of->capacity, of->start_position);
    for (uint32_t lap = 0; lap < 3; lap++) {
        for (uint32_t i = 0; i < of->capacity; i++) {
            const uint64_t position = claim(1);
            cr_assert_eq(position, of->start_position + lap * of->capacity + i);
            commit(position, 1);
        }
        uint64_t none = 42;
        cr_assert_not(hl_mpsc_try_claim(&producer, 1, &none));
        cr_assert_eq(none, 42, "untouched");
        cr_assert_eq(hl_ring_claimed(producer.ring) - hl_ring_released(producer.ring),
                     of->capacity);
        cr_assert_eq(take(UINT32_MAX), of->capacity);
    }
}

Test(mpsc, runs_go_round_the_end_of_the_memory_and_of_the_counter)
{
    make_ring(64, 16, UINT64_MAX - 100);
    uint64_t position = UINT64_MAX - 100;
    for (uint32_t i = 0; i < 200; i++) {
        const uint32_t n = i % 16 + 1;
        cr_assert_eq(claim(n), position);
        commit(position, n);
        position += n;
        cr_assert_eq(take(UINT32_MAX), n);
    }
    cr_assert_eq(hl_ring_consumed(&consumer), position);
}

Test(mpsc, a_run_is_claimed_whole_or_not_at_all)
{
    make_ring(64, 8, 0);
    claim(3);
    uint64_t position = 42;
    cr_assert_not(hl_mpsc_try_claim(&producer, 6, &position));
    cr_assert_eq(position, 42);
    cr_assert_eq(hl_ring_claimed(producer.ring), 3);
    cr_assert_eq(claim(5), 3);
    cr_assert_not(hl_mpsc_try_claim(&producer, UINT32_MAX, &position));
}

Test(mpsc, a_claim_left_open_delays_what_lies_behind_it_but_not_other_claims)
{
    make_ring(64, 8, 0);
    const uint64_t open = claim(1);
    for (uint32_t i = 0; i < 7; i++)
        commit(claim(1), 1);
    cr_assert_eq(take(8), 0);
    commit(open, 1);
    cr_assert_eq(take(8), 8);
}

Test(mpsc, copies_of_a_handle_claim_from_the_same_ring)
{
    make_ring(64, 8, 0);
    const hl_mpsc_producer copy = producer;
    uint64_t a, b;
    cr_assert(hl_mpsc_try_claim(&copy, 1, &a));
    cr_assert(hl_mpsc_try_claim(&producer, 1, &b));
    cr_assert_eq(a, 0);
    cr_assert_eq(b, 1);
}

Test(mpsc, a_ring_that_is_published_lazily_never_looks_full_for_longer_than_a_release)
{
    make_ring(64, 64, 0);
    commit(claim(64), 64);
    cr_assert_eq(take(1), 1);
    uint64_t position = 0;
    cr_assert_not(hl_mpsc_try_claim(&producer, 1, &position), "this asks for room");
    cr_assert_eq(take(1), 1);
    cr_assert_eq(claim(2), 64);
    cr_assert_not(hl_mpsc_try_claim(&producer, 1, &position), "it was exactly two");
    cr_assert_eq(take(1), 1);
    cr_assert_eq(claim(1), 66);
}

Test(mpsc, an_older_copy_of_the_consumers_position_only_makes_it_look_again)
{
    make_ring(64, 8, 0);
    commit(claim(8), 8);
    cr_assert_eq(take(8), 8);
    commit(claim(1), 1);
    producer.ring->released_seen = 0; /* as a producer that was preempted may leave it */
    cr_assert_eq(claim(7), 9);
}
