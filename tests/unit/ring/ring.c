#include "ring/ring.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include "ring/mpsc.h"
#include "ring/spsc.h"
#include "test_memory.h"

TestSuite(ring, .fini = free_test_memory);

#define CAPACITY  8u
#define SLOT_SIZE 128u

static const char *reason;

static hl_ring *make_ring(hl_ring_kind kind, uint64_t start_position)
{
    reason = NULL;
    const size_t size = hl_ring_size_bytes(SLOT_SIZE, CAPACITY);
    hl_ring *const ring =
        hl_ring_init(test_memory(size), size, SLOT_SIZE, CAPACITY, kind, start_position, &reason);
    cr_assert_not_null(ring, "%s", reason);
    cr_assert_null(reason);
    return ring;
}

static hl_ring *attach(hl_ring *ring)
{
    reason = NULL;
    return hl_ring_attach(ring, hl_ring_size_bytes(SLOT_SIZE, CAPACITY), &reason);
}

static void publish(hl_ring *ring, uint32_t n)
{
    hl_spsc_producer producer;
    hl_spsc_open(ring, &producer);
    uint64_t position = 0;
    cr_assert(hl_spsc_try_claim(&producer, n, &position));
    hl_spsc_commit(&producer, position, n);
}

Test(ring, size_is_zero_for_a_slot_size_that_is_not_a_multiple_of_64_in_range)
{
    const uint32_t wrong[] = {0, 1, 63, 65, 100, 65601, 65664, UINT32_MAX, UINT32_MAX - 63};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_assert_eq(hl_ring_size_bytes(wrong[i], 8), 0, "%u", wrong[i]);
}

Test(ring, size_is_zero_for_a_capacity_that_is_not_a_power_of_two_in_range)
{
    const uint32_t wrong[] = {0, 3, 6, 4095, (1u << 30) + 1, 1u << 31, UINT32_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_assert_eq(hl_ring_size_bytes(64, wrong[i]), 0, "%u", wrong[i]);
}

Test(ring, size_is_the_header_and_the_slots)
{
    cr_assert_eq(hl_ring_size_bytes(64, 1), 512 + 64);
    cr_assert_eq(hl_ring_size_bytes(65600, 4), 512 + 4 * 65600);
    cr_assert_eq(hl_ring_size_bytes(65600, 1u << 30), 512 + ((size_t)65600 << 30));
}

Test(ring, init_refuses_what_does_not_fit_with_a_sentence)
{
    const size_t size = hl_ring_size_bytes(64, 8);
    char *const memory = test_memory(size + 128);
    const struct {
        void *memory;
        size_t size;
        uint32_t slot_size, capacity, kind;
        const char *word;
    } cases[] = {
        {memory, size, 96, 8, HL_RING_SPSC, "slot size"},
        {memory, size, 64, 7, HL_RING_SPSC, "power of two"},
        {memory, size, 64, 8, 0, "kind"},
        {memory, size, 64, 8, 4, "kind"},
        {memory, size - 1, 64, 8, HL_RING_SPSC, "smaller"},
        {memory + 64, size, 64, 8, HL_RING_SPSC, "aligned"},
        {NULL, size, 64, 8, HL_RING_SPSC, "aligned"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        reason = NULL;
        cr_assert_null(hl_ring_init(cases[i].memory, cases[i].size, cases[i].slot_size,
                                    cases[i].capacity, (hl_ring_kind)cases[i].kind, 0, &reason));
        cr_assert_not_null(reason);
        cr_assert_not_null(strstr(reason, cases[i].word), "case %zu: %s", i, reason);
    }
    cr_assert_null(hl_ring_init(NULL, 0, 64, 8, HL_RING_SPSC, 0, NULL), "the reason is optional");
    for (size_t i = 0; i < size; i++)
        cr_assert_eq(memory[i], 0, "nothing was written");
}

Test(ring, no_slot_of_a_new_ring_looks_ready_whatever_the_start_position)
{
    const uint64_t starts[] = {0,
                               1,
                               CAPACITY - 1,
                               CAPACITY,
                               UINT64_MAX,
                               UINT64_MAX - 1,
                               UINT64_MAX - CAPACITY,
                               UINT64_MAX / 2};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        hl_ring *const ring = make_ring(HL_RING_SPSC, starts[i]);
        hl_ring_consumer consumer;
        hl_ring_consumer_open(ring, &consumer);
        for (uint64_t lap = 0; lap < 2 * CAPACITY; lap++) {
            void *slot = NULL;
            cr_assert_not(hl_ring_ready(&consumer), "start %lu", starts[i]);
            cr_assert_eq(hl_ring_peek(&consumer, CAPACITY, &slot), 0);
            cr_assert_null(slot, "untouched");
            publish(ring, 1);
            cr_assert(hl_ring_ready(&consumer));
            cr_assert_eq(hl_ring_peek(&consumer, CAPACITY, &slot), 1);
            hl_ring_release(&consumer, 1);
            cr_assert_eq(hl_ring_consumed(&consumer), starts[i] + lap + 1);
        }
    }
}

Test(ring, peek_gives_a_run_up_to_max_and_up_to_the_end_of_the_memory)
{
    hl_ring *const ring = make_ring(HL_RING_SPSC, 5);
    hl_ring_consumer consumer;
    hl_ring_consumer_open(ring, &consumer);
    publish(ring, CAPACITY);
    void *first;
    cr_assert_eq(hl_ring_peek(&consumer, 0, &first), 0);
    cr_assert_eq(hl_ring_peek(&consumer, 2, &first), 2);
    cr_assert_eq(hl_ring_peek(&consumer, UINT32_MAX, &first), 3, "slots 5, 6, 7");
    cr_assert_eq(first, (char *)(ring + 1) + 5 * SLOT_SIZE);
    cr_assert_eq(hl_ring_slot(&consumer, 0), first);
    cr_assert_eq(hl_ring_slot(&consumer, 2), (char *)first + 2 * SLOT_SIZE);
    hl_ring_release(&consumer, 1);
    cr_assert_eq(hl_ring_peek(&consumer, UINT32_MAX, &first), 2, "slots 6, 7");
    hl_ring_release(&consumer, 2);
    cr_assert_eq(hl_ring_peek(&consumer, UINT32_MAX, &first), 5, "slots 0 to 4");
    cr_assert_eq(first, (char *)(ring + 1));
}

Test(ring, release_publishes_after_an_eighth_of_the_ring)
{
    const size_t size = hl_ring_size_bytes(64, 64);
    hl_ring *const ring = hl_ring_init(test_memory(size), size, 64, 64, HL_RING_SPSC, 0, NULL);
    hl_ring_consumer consumer;
    hl_ring_consumer_open(ring, &consumer);
    publish(ring, 64);
    void *first;
    cr_assert_eq(hl_ring_peek(&consumer, 64, &first), 64);
    hl_ring_release(&consumer, 7);
    cr_assert_eq(hl_ring_released(ring), 0);
    hl_ring_release(&consumer, 1);
    cr_assert_eq(hl_ring_released(ring), 8);
    hl_ring_release(&consumer, 3);
    cr_assert_eq(hl_ring_released(ring), 8);
    hl_ring_release_publish(&consumer);
    cr_assert_eq(hl_ring_released(ring), 11);
}

Test(ring, peek_in_vain_publishes_all_that_was_released)
{
    const size_t size = hl_ring_size_bytes(64, 64);
    hl_ring *const ring = hl_ring_init(test_memory(size), size, 64, 64, HL_RING_SPSC, 0, NULL);
    hl_ring_consumer consumer;
    hl_ring_consumer_open(ring, &consumer);
    publish(ring, 3);
    void *first;
    cr_assert_eq(hl_ring_peek(&consumer, 64, &first), 3);
    hl_ring_release(&consumer, 3);
    cr_assert_eq(hl_ring_released(ring), 0);
    cr_assert_eq(hl_ring_peek(&consumer, 64, &first), 0);
    cr_assert_eq(hl_ring_released(ring), 3);
}

Test(ring, attach_finds_what_was_committed_and_not_released)
{
    const uint64_t start = UINT64_MAX - 2;
    hl_ring *const ring = make_ring(HL_RING_SPSC, start);
    publish(ring, 5);
    hl_ring_consumer consumer;
    hl_ring_consumer_open(ring, &consumer);
    void *first;
    cr_assert_eq(hl_ring_peek(&consumer, 1, &first), 1);
    hl_ring_release(&consumer, 1);
    hl_spsc_producer producer;
    hl_spsc_open(ring, &producer);
    uint64_t position = 0;
    cr_assert(hl_spsc_try_claim(&producer, 2, &position)); /* never committed: forgotten */

    cr_assert_eq(attach(ring), ring, "%s", reason);
    cr_assert_eq(ring->generation, 2);
    hl_spsc_open(ring, &producer);
    cr_assert_eq(hl_spsc_claimed(&producer), start + 5);
    cr_assert_eq(hl_spsc_room(&producer), CAPACITY - 4);
    hl_ring_consumer_open(ring, &consumer);
    cr_assert_eq(hl_ring_consumed(&consumer), start + 1);
    uint32_t found = 0;
    for (uint32_t n; (n = hl_ring_peek(&consumer, CAPACITY, &first)) != 0; found += n)
        hl_ring_release(&consumer, n);
    cr_assert_eq(found, 4);
}

Test(ring, attach_finds_a_full_ring_full_and_an_empty_one_empty)
{
    hl_ring *const ring = make_ring(HL_RING_SPSC, 3);
    hl_spsc_producer producer;
    cr_assert_eq(attach(ring), ring);
    hl_spsc_open(ring, &producer);
    cr_assert_eq(hl_spsc_room(&producer), CAPACITY);
    publish(ring, CAPACITY);
    cr_assert_eq(attach(ring), ring);
    hl_spsc_open(ring, &producer);
    cr_assert_eq(hl_spsc_room(&producer), 0);
}

Test(ring, attach_keeps_a_claim_of_an_mpsc_ring)
{
    hl_ring *const ring = make_ring(HL_RING_MPSC, 0);
    hl_mpsc_producer producer;
    hl_mpsc_open(ring, &producer);
    uint64_t position = 0;
    cr_assert(hl_mpsc_try_claim(&producer, 2, &position));
    cr_assert(hl_mpsc_try_claim(&producer, 1, &position));
    hl_mpsc_commit(&producer, position, 1);
    cr_assert_eq(attach(ring), ring, "%s", reason);
    cr_assert_eq(hl_ring_claimed(ring), 3);
    hl_ring_consumer consumer;
    hl_ring_consumer_open(ring, &consumer);
    cr_assert_not(hl_ring_ready(&consumer), "what was left uncommitted still stalls");
}

/* What is damaged in turn, and a word of the sentence that must come back. */
typedef struct damage {
    size_t offset;
    size_t bytes;
    uint64_t value;
    hl_ring_kind kind;
    char word[24];
} damage;

ParameterizedTestParameters(ring, attach_refuses_a_damaged_ring_and_leaves_it_alone)
{
    static damage damages[] = {
        {offsetof(hl_ring, magic), 8, 0, HL_RING_SPSC, "no ring"},
        {offsetof(hl_ring, magic), 8, HL_RING_MAGIC + 1, HL_RING_SPSC, "no ring"},
        {offsetof(hl_ring, layout), 4, 2, HL_RING_SPSC, "version"},
        {offsetof(hl_ring, kind), 4, 0, HL_RING_SPSC, "kind"},
        {offsetof(hl_ring, kind), 4, 4, HL_RING_SPSC, "kind"},
        {offsetof(hl_ring, generation), 8, 0, HL_RING_SPSC, "generation"},
        {offsetof(hl_ring, slot_size), 4, 100, HL_RING_SPSC, "slot size"},
        {offsetof(hl_ring, slot_size), 4, 192, HL_RING_SPSC, "smaller"},
        {offsetof(hl_ring, capacity), 4, 0, HL_RING_SPSC, "capacity"},
        {offsetof(hl_ring, capacity), 4, 16, HL_RING_SPSC, "smaller"},
        {offsetof(hl_ring, capacity), 4, 4, HL_RING_SPSC, "stamp"},
        {offsetof(hl_ring, released), 8, 4, HL_RING_SPSC, "stamp"},
        {offsetof(hl_ring, claimed), 8, 9, HL_RING_MPSC, "more is claimed"},
        {offsetof(hl_ring, claimed), 8, UINT64_MAX, HL_RING_MPSC, "more is claimed"},
        {offsetof(hl_ring, claimed), 8, 2, HL_RING_MPSC, "never claimed"},
        {sizeof(hl_ring) + 5 * SLOT_SIZE, 8, 77, HL_RING_SPSC, "stamp"},
        {sizeof(hl_ring) + 5 * SLOT_SIZE, 8, 6, HL_RING_MPSC, "never claimed"},
    };
    return cr_make_param_array(damage, damages, sizeof damages / sizeof *damages);
}

ParameterizedTest(damage *done, ring, attach_refuses_a_damaged_ring_and_leaves_it_alone)
{
    hl_ring *const ring = make_ring(done->kind, 0);
    if (done->kind == HL_RING_SPSC) {
        publish(ring, 3);
    } else {
        hl_mpsc_producer producer;
        hl_mpsc_open(ring, &producer);
        uint64_t position = 0;
        cr_assert(hl_mpsc_try_claim(&producer, 3, &position));
        hl_mpsc_commit(&producer, position, 3);
    }
    const size_t size = hl_ring_size_bytes(SLOT_SIZE, CAPACITY);
    memcpy((char *)ring + done->offset, &done->value, done->bytes);
    char *const before = test_memory(size);
    memcpy(before, ring, size);
    cr_assert_null(attach(ring), "offset %zu, value %lu", done->offset, done->value);
    cr_assert_not_null(strstr(reason, done->word), "%s", reason);
    cr_assert_eq(memcmp(before, ring, size), 0);
}

Test(ring, attach_refuses_memory_that_is_too_small_or_crooked)
{
    hl_ring *const ring = make_ring(HL_RING_SPSC, 0);
    cr_assert_null(hl_ring_attach(NULL, SIZE_MAX, &reason));
    cr_assert_not_null(strstr(reason, "aligned"));
    cr_assert_null(hl_ring_attach((char *)ring + 8, SIZE_MAX, &reason));
    cr_assert_not_null(strstr(reason, "aligned"));
    cr_assert_null(hl_ring_attach(ring, sizeof(hl_ring) - 1, &reason));
    cr_assert_not_null(strstr(reason, "header"));
    cr_assert_null(hl_ring_attach(ring, hl_ring_size_bytes(SLOT_SIZE, CAPACITY) - 1, &reason));
    cr_assert_not_null(strstr(reason, "map all of it"));
}
