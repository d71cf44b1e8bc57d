#include "ring/spsc.h"

#include "test_ring.h"

TestSuite(spsc, .fini = free_test_memory);

static hl_spsc_producer producer;
static hl_ring_consumer consumer;

static void make_ring(uint32_t slot_size, uint32_t capacity, uint64_t start_position)
{
    hl_ring *const ring = test_ring(HL_RING_SPSC, slot_size, capacity, start_position);
    hl_spsc_open(ring, &producer);
    hl_ring_consumer_open(ring, &consumer);
}

/* Every byte of the slot behind the stamp says which position it was filled for. */
static void fill(uint64_t position)
{
    memset((char *)hl_spsc_slot(&producer, position) + 8, (int)(position % 251),
           producer.slot_size - 8);
}

static void check(const void *slot, uint64_t position)
{
    const unsigned char *const bytes = slot;
    for (uint32_t i = 8; i < consumer.slot_size; i++)
        cr_assert_eq(bytes[i], position % 251, "position %lu, byte %u", position, i);
}

static uint64_t claim(uint32_t n)
{
    uint64_t position = 0;
    cr_assert(hl_spsc_try_claim(&producer, n, &position));
    return position;
}

/* Takes up to n slots, checks them, gives them back; how many. */
static uint32_t take(uint32_t n)
{
    uint32_t taken = 0;
    void *first;
    for (uint32_t run; taken < n && (run = hl_ring_peek(&consumer, n - taken, &first)) != 0;) {
        for (uint32_t i = 0; i < run; i++)
            check(hl_ring_slot(&consumer, i), hl_ring_consumed(&consumer) + i);
        hl_ring_release(&consumer, run);
        taken += run;
    }
    return taken;
}

ParameterizedTestParameters(spsc, a_ring_of_any_shape_takes_exactly_its_capacity_lap_after_lap)
{
    const uint32_t slot_sizes[] = {64, 128, 192, 4160, 65536, 65600};
    const uint64_t starts[] = {0, 1, 7, UINT64_MAX, UINT64_MAX - 8, UINT64_MAX - 65};
    return ring_shapes(slot_sizes, 6, starts, 6);
}

ParameterizedTest(ring_shape *of, spsc,
                  a_ring_of_any_shape_takes_exactly_its_capacity_lap_after_lap)
{
    make_ring(of->slot_size, of->capacity, of->start_position);
    for (uint32_t lap = 0; lap < 3; lap++) {
        for (uint32_t i = 0; i < of->capacity; i++) {
            const uint64_t position = claim(1);
            cr_assert_eq(position, of->start_position + lap * of->capacity + i);
            fill(position);
            hl_spsc_commit(&producer, position, 1);
        }
        uint64_t none = 42;
        cr_assert_not(hl_spsc_try_claim(&producer, 1, &none));
        cr_assert_eq(none, 42, "untouched");
        cr_assert_eq(hl_spsc_room(&producer), 0);
        cr_assert_eq(take(UINT32_MAX), of->capacity);
        cr_assert_eq(hl_spsc_room(&producer), of->capacity);
    }
}

Test(spsc, runs_go_round_the_end_of_the_memory_and_of_the_counter)
{
    make_ring(64, 16, UINT64_MAX - 100);
    uint64_t position = UINT64_MAX - 100;
    for (uint32_t i = 0; i < 200; i++) {
        const uint32_t n = i % 16 + 1;
        cr_assert_eq(claim(n), position);
        for (uint32_t k = 0; k < n; k++)
            fill(position + k);
        hl_spsc_commit(&producer, position, n);
        position += n;
        cr_assert_eq(take(UINT32_MAX), n);
    }
    cr_assert_eq(hl_ring_consumed(&consumer), position);
}

Test(spsc, a_run_is_claimed_whole_or_not_at_all)
{
    make_ring(64, 8, 0);
    claim(3);
    uint64_t position = 42;
    cr_assert_not(hl_spsc_try_claim(&producer, 6, &position));
    cr_assert_eq(position, 42);
    cr_assert_eq(hl_spsc_claimed(&producer), 3);
    cr_assert_eq(claim(5), 3);
}

Test(spsc, more_than_the_capacity_never_has_room)
{
    make_ring(64, 8, UINT64_MAX);
    uint64_t position = 0;
    cr_assert_not(hl_spsc_try_claim(&producer, 9, &position));
    cr_assert_not(hl_spsc_try_claim(&producer, UINT32_MAX, &position));
    cr_assert_not(hl_spsc_has_room(&producer, 9));
    cr_assert(hl_spsc_has_room(&producer, 8));
}

Test(spsc, nothing_is_seen_before_it_is_committed)
{
    make_ring(64, 8, 0);
    const uint64_t position = claim(2);
    fill(position);
    fill(position + 1);
    cr_assert_eq(take(8), 0);
    hl_spsc_commit(&producer, position, 1);
    cr_assert_eq(take(8), 1, "a part of a claim may be committed");
    hl_spsc_commit(&producer, position + 1, 1);
    cr_assert_eq(take(8), 1);
}

Test(spsc, claims_committed_out_of_order_are_seen_in_the_order_of_their_positions)
{
    make_ring(64, 8, UINT64_MAX - 1);
    const uint64_t a = claim(1), b = claim(2), c = claim(1);
    for (uint64_t position = a; position != c + 1; position++)
        fill(position);
    hl_spsc_commit(&producer, c, 1);
    cr_assert_eq(take(8), 0);
    hl_spsc_commit(&producer, a, 1);
    cr_assert_eq(take(8), 1);
    hl_spsc_commit(&producer, b, 2);
    cr_assert_eq(take(8), 3);
}

Test(spsc, a_slot_committed_by_its_address_is_seen_at_its_position)
{
    make_ring(128, 4, UINT64_MAX - 1); /* across the counter's end */
    const uint64_t first = claim(1), second = claim(1);
    fill(first);
    fill(second);
    hl_spsc_commit_slot(&producer, hl_spsc_slot(&producer, second), second);
    cr_assert_eq(take(2), 0, "the first is not there yet");
    hl_spsc_commit_slot(&producer, hl_spsc_slot(&producer, first), first);
    cr_assert_eq(take(2), 2);
}

Test(spsc, what_is_rolled_back_can_be_claimed_again_and_was_never_seen)
{
    make_ring(64, 8, UINT64_MAX - 3);
    const uint64_t kept = claim(2);
    const uint64_t back = claim(5);
    hl_spsc_rollback(&producer, back);
    cr_assert_eq(hl_spsc_room(&producer), 6);
    fill(kept);
    fill(kept + 1);
    hl_spsc_commit(&producer, kept, 2);
    cr_assert_eq(take(8), 2);
    cr_assert_not(hl_ring_ready(&consumer));
    const uint64_t again = claim(8);
    cr_assert_eq(again, back);
    for (uint32_t i = 0; i < 8; i++)
        fill(again + i);
    hl_spsc_commit(&producer, again, 8);
    cr_assert_eq(take(8), 8);
}

Test(spsc, a_ring_rolled_back_when_full_has_its_room_again)
{
    make_ring(64, 4, 0);
    const uint64_t all = claim(4);
    hl_spsc_rollback(&producer, all);
    cr_assert_eq(claim(4), all);
}

/* An aborted claim is one that is committed as padding; to the ring it is a slot like others. */
Test(spsc, a_claim_committed_unfilled_does_not_hold_up_what_lies_behind_it)
{
    make_ring(64, 4, 0);
    const uint64_t aborted = claim(1), wanted = claim(1);
    fill(wanted);
    hl_spsc_commit(&producer, wanted, 1);
    hl_spsc_commit(&producer, aborted, 1);
    void *first;
    cr_assert_eq(hl_ring_peek(&consumer, 4, &first), 2);
    check(hl_ring_slot(&consumer, 1), wanted);
}

Test(spsc, a_ring_that_is_published_lazily_never_looks_full_for_longer_than_a_release)
{
    make_ring(64, 64, 0);
    uint64_t position = claim(64);
    for (uint32_t i = 0; i < 64; i++)
        fill(position + i);
    hl_spsc_commit(&producer, position, 64);
    cr_assert_eq(take(1), 1);
    cr_assert_eq(hl_ring_released(producer.ring), 0, "not yet published");
    cr_assert_not(hl_spsc_try_claim(&producer, 1, &position), "this asks for room");
    cr_assert_eq(take(1), 1);
    cr_assert_eq(hl_ring_released(producer.ring), 2, "asked for: published at once");
    cr_assert(hl_spsc_try_claim(&producer, 2, &position));
    cr_assert_not(hl_spsc_try_claim(&producer, 1, &position), "it was exactly two");
    cr_assert_eq(take(1), 1);
    cr_assert(hl_spsc_try_claim(&producer, 1, &position), "asked for again");
}

Test(spsc, a_request_that_was_answered_does_not_make_later_releases_eager)
{
    make_ring(64, 64, 0);
    uint64_t position = claim(64);
    for (uint32_t i = 0; i < 64; i++)
        fill(position + i);
    hl_spsc_commit(&producer, position, 64);
    cr_assert_not(hl_spsc_has_room(&producer, 1));
    cr_assert_eq(take(1), 1);
    cr_assert_eq(hl_ring_released(producer.ring), 1);
    cr_assert_eq(take(1), 1);
    cr_assert_eq(hl_ring_released(producer.ring), 1);
}

Test(spsc, the_request_of_a_new_ring_is_none)
{
    const uint64_t starts[] = {0, 1, UINT64_MAX, 12345};
    for (size_t k = 0; k < 4; k++) {
        make_ring(64, 64, starts[k]);
        const uint64_t position = claim(7);
        for (uint32_t i = 0; i < 7; i++)
            fill(position + i);
        hl_spsc_commit(&producer, position, 7);
        cr_assert_eq(take(7), 7);
        cr_assert_eq(hl_ring_released(producer.ring), starts[k], "less than an eighth: lazily");
    }
}
