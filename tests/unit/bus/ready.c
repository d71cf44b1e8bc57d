#include "bus/ready.h"

#include <criterion/criterion.h>
#include <stdlib.h>

/* 70 rings of one level: the last 6 share a group with others. */
#define RINGS 70
#define SLOTS 4

static hl_level level;
static hl_inlet inlets[RINGS];
static hl_outlet outlets[RINGS];
static hl_spsc_producer producers[RINGS];
static uint64_t announced, local, watched;
static void *memory[RINGS];

static void make_ring(uint32_t i, bool is_local)
{
    const size_t bytes = hl_ring_size_bytes(64, SLOTS);
    memory[i] = aligned_alloc(128, bytes);
    memset(memory[i], 0, bytes);
    hl_ring *const ring = hl_ring_init(memory[i], bytes, 64, SLOTS, HL_RING_SPSC, 0, NULL);
    cr_assert_not_null(ring);
    hl_spsc_open(ring, &producers[i]);
    hl_ring_consumer_open(ring, &inlets[i].consumer);
    inlets[i].group = i % HL_GROUPS;
    inlets[i].is_local = outlets[i].is_local = is_local;
    outlets[i].announced = is_local ? &local : &announced;
    outlets[i].announced_bit = (uint64_t)1 << inlets[i].group;
    hl_level_link(&level, &inlets[i]);
}

static void set_up(void)
{
    for (uint32_t i = 0; i < RINGS; i++)
        make_ring(i, false);
}

static void tear_down(void)
{
    for (uint32_t i = 0; i < RINGS; i++)
        free(memory[i]);
}

static void publish(uint32_t i)
{
    uint64_t position = 0;
    cr_assert(hl_spsc_try_claim(&producers[i], 1, &position));
    hl_spsc_commit(&producers[i], position, 1);
    hl_announce(&outlets[i]);
}

/* Takes what the ring has, one event, as an executor does. */
static void consume(hl_inlet *inlet)
{
    void *slot;
    cr_assert_eq(hl_ring_peek(&inlet->consumer, 1, &slot), 1);
    hl_ring_release(&inlet->consumer, 1);
    hl_level_served(&level, inlet);
}

static hl_inlet *find(void)
{
    return hl_level_find(&level, announced | watched);
}

TestSuite(ready, .init = set_up, .fini = tear_down);

Test(ready, a_publish_announces_its_ring_and_no_other)
{
    cr_assert_null(find());
    publish(5);
    cr_assert_eq(announced, (uint64_t)1 << 5);
    cr_assert_eq(find(), &inlets[5]);
}

Test(ready, a_ring_that_is_not_announced_is_not_looked_at)
{
    publish(5);
    cr_assert_null(hl_level_find(&level, ~((uint64_t)1 << 5)));
    cr_assert_eq(hl_level_find(&level, level.linked), &inlets[5]);
}

Test(ready, the_rings_of_a_level_take_turns)
{
    static const uint32_t used[] = {3, 67, 9, 63}; /* 67 is in 3's group */
    for (size_t round = 0; round < SLOTS; round++)
        for (size_t i = 0; i < 4; i++)
            publish(used[i]);
    for (uint32_t round = 0; round < SLOTS; round++) {
        uint32_t seen[RINGS] = {0};
        /* One look at each of the three groups, then at the second ring of one of them. */
        for (uint32_t i = 0; i < 3; i++) {
            hl_inlet *const inlet = find();
            seen[inlet - inlets]++;
            consume(inlet);
        }
        cr_assert_eq(seen[3] + seen[67], 1, "a group has one turn in each round");
        cr_assert_eq(seen[9], 1);
        cr_assert_eq(seen[63], 1);
    }
    /* What is left is of the shared group: each of the two had as many turns. */
    uint32_t left[2] = {0, 0};
    for (hl_inlet *inlet; (inlet = find()) != NULL; consume(inlet))
        left[inlet == &inlets[67]]++;
    cr_assert_eq(left[0], SLOTS / 2);
    cr_assert_eq(left[1], SLOTS / 2);
}

Test(ready, a_ring_at_rest_is_silenced_watched_and_then_left_alone)
{
    publish(8);
    consume(find());
    watched = announced;
    hl_level_age(&level, &announced, &watched); /* something came since it was made */
    cr_assert_eq(announced, (uint64_t)1 << 8);
    hl_level_age(&level, &announced, &watched);
    cr_assert_eq(announced, 0);
    cr_assert_eq(watched, (uint64_t)1 << 8, "still watched: a publisher may have seen the old bit");
    hl_level_age(&level, &announced, &watched);
    cr_assert_eq(watched, 0);
}

Test(ready, an_event_without_announcement_is_found_while_it_is_watched)
{
    publish(8);
    consume(find());
    watched = announced;
    hl_level_age(&level, &announced, &watched);
    hl_level_age(&level, &announced, &watched);
    uint64_t position = 0;
    cr_assert(hl_spsc_try_claim(&producers[8], 1, &position));
    hl_spsc_commit(&producers[8], position, 1);
    cr_assert_eq(find(), &inlets[8]);
    hl_level_age(&level, &announced, &watched);
    cr_assert_eq(watched, (uint64_t)1 << 8, "it has something: it stays");
}

Test(ready, a_ring_announced_again_while_it_rests_stays_watched)
{
    publish(8);
    consume(find());
    watched = announced;
    hl_level_age(&level, &announced, &watched);
    hl_level_age(&level, &announced, &watched);
    publish(8);
    consume(find());
    hl_level_age(&level, &announced, &watched);
    cr_assert_eq(watched, (uint64_t)1 << 8);
    cr_assert_eq(announced, (uint64_t)1 << 8);
}

Test(ready, the_executors_own_rings_are_announced_in_its_own_word)
{
    outlets[7].is_local = true;
    outlets[7].announced = &local;
    publish(7);
    cr_assert_eq(announced, 0);
    cr_assert_eq(local, (uint64_t)1 << 7);
    cr_assert(hl_group_ready(&level, 7));
    consume(&inlets[7]);
    cr_assert_not(hl_group_ready(&level, 7));
}

Test(ready, a_ring_that_is_taken_out_is_never_found)
{
    publish(3);
    publish(67);
    hl_level_unlink(&level, &inlets[3]);
    cr_assert_eq(find(), &inlets[67]);
    cr_assert(level.linked & (uint64_t)1 << 3, "the other ring of its group is still there");
    hl_level_unlink(&level, &inlets[67]);
    cr_assert_null(find());
    cr_assert_not(level.linked & (uint64_t)1 << 3);
}
