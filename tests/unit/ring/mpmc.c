#include "ring/mpmc.h"

#include <string.h>

#include "test_ring.h"

TestSuite(mpmc, .fini = free_test_memory);

static hl_mpmc mpmc;

static void make_ring(uint32_t slot_size, uint32_t capacity, uint64_t start_position)
{
    hl_ring *const ring = test_ring(HL_RING_MPMC, slot_size, capacity, start_position);
    hl_mpmc_open(ring, &mpmc);
}

static uint64_t claim(uint32_t n)
{
    uint64_t position = 0;
    cr_assert(hl_mpmc_try_claim(&mpmc, n, &position));
    return position;
}

static void commit(uint64_t position, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        ((uint64_t *)hl_mpmc_slot(&mpmc, position + i))[1] = ~(position + i);
    hl_mpmc_commit(&mpmc, position, n);
}

/* The position of the run of exactly n that is next, each slot of it as it was committed. */
static uint64_t take(uint32_t n)
{
    uint64_t position = 0;
    cr_assert_eq(hl_mpmc_try_take(&mpmc, n, &position), n);
    for (uint32_t i = 0; i < n; i++)
        cr_assert_eq(((uint64_t *)hl_mpmc_slot(&mpmc, position + i))[1], ~(position + i));
    return position;
}

static void assert_no_room(uint32_t n)
{
    const uint64_t claimed = hl_ring_claimed(mpmc.ring);
    uint64_t position = 42;
    cr_assert_not(hl_mpmc_try_claim(&mpmc, n, &position));
    cr_assert_eq(position, 42, "untouched");
    cr_assert_eq(hl_ring_claimed(mpmc.ring), claimed);
}

static void assert_nothing_ready(void)
{
    const uint64_t taken = hl_mpmc_taken(&mpmc);
    uint64_t position = 42;
    cr_assert_eq(hl_mpmc_try_take(&mpmc, UINT32_MAX, &position), 0);
    cr_assert_eq(position, 42, "untouched");
    cr_assert_eq(hl_mpmc_taken(&mpmc), taken);
}

ParameterizedTestParameters(mpmc, a_ring_of_any_shape_takes_exactly_its_capacity_lap_after_lap)
{
    const uint32_t slot_sizes[] = {64, 192, 65600};
    const uint64_t starts[] = {
        0, 7, UINT64_MAX, UINT64_MAX - 65, UINT64_MAX / 2, UINT64_MAX / 2 - 65};
    return ring_shapes(slot_sizes, 3, starts, 6);
}

ParameterizedTest(ring_shape *of, mpmc,
                  a_ring_of_any_shape_takes_exactly_its_capacity_lap_after_lap)
{
    make_ring(of->slot_size, of->capacity, of->start_position);
    uint64_t first = of->start_position;
    for (uint32_t lap = 0; lap < 3; lap++, first += of->capacity) {
        assert_nothing_ready();
        for (uint32_t i = 0; i < of->capacity; i++) {
            cr_assert_eq(claim(1), first + i);
            commit(first + i, 1);
        }
        assert_no_room(1);
        for (uint32_t i = 0; i < of->capacity; i++) {
            cr_assert_eq(take(1), first + i);
            hl_mpmc_release(&mpmc, first + i, 1);
        }
    }
}

Test(mpmc, runs_go_round_the_end_of_the_memory_and_of_the_counter)
{
    make_ring(64, 16, UINT64_MAX - 100);
    uint64_t position = UINT64_MAX - 100;
    for (uint32_t i = 0; i < 200; i++) {
        const uint32_t n = i % 16 + 1;
        cr_assert_eq(claim(n), position);
        commit(position, n);
        cr_assert_eq(take(n), position);
        hl_mpmc_release(&mpmc, position, n);
        position += n;
    }
    cr_assert_eq(hl_ring_claimed(mpmc.ring), position);
    cr_assert_eq(hl_mpmc_taken(&mpmc), position);
}

Test(mpmc, a_run_is_claimed_whole_or_not_at_all)
{
    make_ring(64, 8, 0);
    cr_assert_eq(claim(3), 0);
    assert_no_room(6);
    cr_assert_eq(claim(5), 3);
    commit(0, 8);
    hl_mpmc_release(&mpmc, take(8), 8);
    assert_no_room(9);
    assert_no_room(UINT32_MAX);
    cr_assert_eq(claim(8), 8);
}

Test(mpmc, a_take_gives_what_is_ready_up_to_the_most_that_was_asked_for)
{
    make_ring(64, 8, 0);
    commit(claim(5), 5);
    uint64_t position = 42;
    cr_assert_eq(hl_mpmc_try_take(&mpmc, 0, &position), 0);
    cr_assert_eq(position, 42);
    cr_assert_eq(take(2), 0);
    cr_assert_eq(hl_mpmc_try_take(&mpmc, UINT32_MAX, &position), 3);
    cr_assert_eq(position, 2);
    assert_nothing_ready();
}

Test(mpmc, a_take_of_all_goes_no_further_than_one_lap)
{
    make_ring(64, 4, UINT64_MAX - 1);
    commit(claim(4), 4);
    uint64_t position = 0;
    cr_assert_eq(hl_mpmc_try_take(&mpmc, UINT32_MAX, &position), 4);
    cr_assert_eq(position, UINT64_MAX - 1);
}

Test(mpmc, a_claim_left_open_delays_what_lies_behind_it_but_no_other_claim)
{
    make_ring(64, 8, 0);
    const uint64_t open = claim(1);
    for (uint32_t i = 0; i < 7; i++)
        commit(claim(1), 1);
    assert_nothing_ready();
    commit(open, 1);
    cr_assert_eq(take(8), open);
}

Test(mpmc, a_take_left_open_delays_no_other_take_and_claims_only_from_its_slot_on)
{
    make_ring(64, 4, 0);
    commit(claim(4), 4);
    hl_mpmc_release(&mpmc, take(1), 1);
    const uint64_t open = take(1);
    hl_mpmc_release(&mpmc, take(2), 2);
    assert_no_room(2);
    assert_no_room(4);
    cr_assert_eq(claim(1), 4);
    assert_no_room(1);
    hl_mpmc_release(&mpmc, open, 1);
    cr_assert_eq(claim(3), 5);
}

Test(mpmc, commits_and_releases_may_come_in_any_order)
{
    make_ring(64, 4, UINT64_MAX - 1);
    const uint64_t first = claim(2);
    const uint64_t second = claim(2);
    commit(second, 2);
    assert_nothing_ready();
    commit(first, 2);
    const uint64_t one = take(1);
    const uint64_t rest = take(3);
    hl_mpmc_release(&mpmc, rest, 3);
    assert_no_room(1);
    hl_mpmc_release(&mpmc, one, 1);
    cr_assert_eq(claim(4), first + 4);
}

Test(mpmc, copies_of_a_handle_share_the_ring)
{
    make_ring(64, 8, 0);
    const hl_mpmc copy = mpmc;
    uint64_t position;
    cr_assert(hl_mpmc_try_claim(&copy, 1, &position));
    cr_assert_eq(claim(1), position + 1);
    commit(position, 2);
    cr_assert_eq(hl_mpmc_try_take(&copy, 1, &position), 1);
    cr_assert_eq(take(1), position + 1);
}

/* ---- memory that is taken up again ---- */

static hl_ring *attach(const char **ret_reason)
{
    *ret_reason = NULL;
    return hl_ring_attach(mpmc.ring, hl_ring_size_bytes(mpmc.slot_size, mpmc.capacity), ret_reason);
}

/* A ring of 8 with one slot in each state that an earlier process may have left it in. */
static void make_ring_with_work(uint64_t start_position)
{
    make_ring(64, 8, start_position);
    commit(claim(3), 3);
    hl_mpmc_release(&mpmc, take(1), 1);
    take(1);                        /* not released */
    const uint64_t open = claim(1); /* not committed; behind one that is */
    commit(claim(1), 1);
    cr_assert_eq(open, start_position + 3);
}

Test(mpmc, attach_goes_on_where_the_ring_was_left_whatever_the_position)
{
    const uint64_t starts[] = {0, 5, UINT64_MAX - 3, UINT64_MAX / 2 - 3, UINT64_MAX / 2 + 1};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        make_ring_with_work(starts[i]);
        const char *reason;
        cr_assert_eq(attach(&reason), mpmc.ring, "%s", reason);
        cr_assert_eq(mpmc.ring->generation, 2);
        cr_assert_eq(take(1), starts[i] + 2);
        assert_nothing_ready();
        commit(starts[i] + 3, 1);
        cr_assert_eq(take(2), starts[i] + 3);
        cr_assert_eq(claim(4), starts[i] + 5);
        assert_no_room(1);
    }
}

Test(mpmc, attach_takes_an_empty_and_a_full_ring_of_any_size)
{
    for (uint32_t capacity = 1; capacity <= 64; capacity *= 2) {
        const char *reason;
        make_ring(64, capacity, UINT64_MAX);
        cr_assert_eq(attach(&reason), mpmc.ring, "%s", reason);
        commit(claim(capacity), capacity);
        cr_assert_eq(attach(&reason), mpmc.ring, "%s", reason);
        assert_no_room(1);
        const uint64_t position = take(capacity);
        cr_assert_eq(attach(&reason), mpmc.ring, "%s", reason);
        assert_no_room(1);
        hl_mpmc_release(&mpmc, position, capacity);
        cr_assert_eq(attach(&reason), mpmc.ring, "%s", reason);
        cr_assert_eq(claim(capacity), capacity - 1);
    }
}

#define STAMP_OF(index) (sizeof(hl_ring) + (index)*64)

/* What is damaged in turn in a ring with work at 0 (claimed 5, taken 2), and a word of the sentence
 * that must come back. */
typedef struct damage {
    size_t offset;
    uint64_t value;
    char word[24];
} damage;

ParameterizedTestParameters(mpmc, attach_refuses_a_damaged_ring_and_leaves_it_alone)
{
    static damage damages[] = {
        {offsetof(hl_ring, claimed), 11, "more is claimed"},
        {offsetof(hl_ring, claimed), 1, "more is claimed"},
        {offsetof(hl_ring, claimed), 4, "stamp"}, /* 4 is filled */
        {offsetof(hl_ring, taken), 0, "stamp"},   /* 0 is free for the next lap */
        {offsetof(hl_ring, taken), 5, "stamp"},   /* 3 was never filled, but taken */
        {STAMP_OF(0), 0, "stamp"},                /* taken, and free for the lap before */
        {STAMP_OF(1), 2 * 9 + 1, "stamp"},        /* filled without a claim */
        {STAMP_OF(2), 2 * 2 + 2, "stamp"},        /* of another slot */
        {STAMP_OF(3), 2 * 11, "stamp"},           /* claimed, and free for the next lap */
        {STAMP_OF(6), 2 * 6 + 1, "stamp"},        /* filled without a claim */
        {STAMP_OF(7), UINT64_MAX - 17, "stamp"},  /* free for the lap before the last */
    };
    return cr_make_param_array(damage, damages, sizeof damages / sizeof *damages);
}

ParameterizedTest(damage *done, mpmc, attach_refuses_a_damaged_ring_and_leaves_it_alone)
{
    make_ring_with_work(0);
    const size_t size = hl_ring_size_bytes(64, 8);
    memcpy((char *)mpmc.ring + done->offset, &done->value, sizeof done->value);
    char *const before = test_memory(size);
    memcpy(before, mpmc.ring, size);
    const char *reason;
    cr_assert_null(attach(&reason), "offset %zu, value %lu", done->offset, done->value);
    cr_assert_not_null(strstr(reason, done->word), "%s", reason);
    cr_assert_eq(memcmp(before, mpmc.ring, size), 0);
}
