#include "ring/conflate.h"

#include <criterion/criterion.h>

#include "test_memory.h"

TestSuite(conflate, .fini = free_test_memory);

static const hl_conflate_options small = {
    .max_keys = 4, .slot_size = 64, .publishers = 1, .held = 1};

static hl_conflate *make(const hl_conflate_options *options)
{
    const char *reason = "";
    const size_t size = hl_conflate_size_bytes(options);
    hl_conflate *const table = hl_conflate_init(test_memory(size), size, options, &reason);
    cr_assert_not_null(table, "%s", reason);
    return table;
}

static hl_conflate_publisher open_publisher(hl_conflate *table)
{
    hl_conflate_publisher publisher;
    cr_assert_eq(hl_conflate_publisher_open(table, 0, &publisher), HL_OK);
    return publisher;
}

/* Whether it replaced an unread one. */
static bool put(hl_conflate_publisher *publisher, uint32_t group, uint64_t key, uint64_t number)
{
    const uint64_t value[2] = {0, number};
    bool replaced = false;
    cr_assert_eq(hl_conflate_put(publisher, group, key, value, sizeof value, &replaced), HL_OK);
    return replaced;
}

/* The number that was put, of the next key; the value is given back at once. */
static uint64_t take(hl_conflate_consumer *consumer, uint64_t *ret_puts)
{
    const uint64_t *const value = hl_conflate_take(consumer, ret_puts);
    cr_assert_not_null(value);
    hl_conflate_release(consumer, 1);
    return value[1];
}

Test(conflate, size_is_zero_out_of_range)
{
    const hl_conflate_options wrong[] = {
        {0, 64, 1, 1, 0},          {HL_CONFLATE_MAX_KEYS + 1, 64, 1, 1, 0},
        {UINT32_MAX, 64, 1, 1, 0}, {4, 0, 1, 1, 0},
        {4, 96, 1, 1, 0},          {4, HL_CONFLATE_MAX_SLOT_SIZE + 64, 1, 1, 0},
        {4, 64, 0, 1, 0},          {4, 64, HL_CONFLATE_MAX_PUBLISHERS + 1, 1, 0},
        {4, 64, 1, 0, 0},          {4, 64, 1, HL_CONFLATE_MAX_HELD + 1, 0}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *reason = NULL;
        cr_assert_eq(hl_conflate_size_bytes(&wrong[i]), 0, "case %zu", i);
        cr_assert_null(hl_conflate_init(test_memory(4096), 4096, &wrong[i], &reason));
        cr_assert_not_null(strstr(reason, "must be"));
    }
    const hl_conflate_options largest = {HL_CONFLATE_MAX_KEYS, HL_CONFLATE_MAX_SLOT_SIZE,
                                         HL_CONFLATE_MAX_PUBLISHERS, HL_CONFLATE_MAX_HELD, 0};
    cr_assert_neq(hl_conflate_size_bytes(&largest), 0);
}

Test(conflate, init_refuses_memory_that_does_not_fit_with_a_sentence)
{
    const size_t size = hl_conflate_size_bytes(&small);
    char *const memory = test_memory(size + 128);
    const char *reason = NULL;
    cr_assert_null(hl_conflate_init(memory, size - 1, &small, &reason));
    cr_assert_not_null(strstr(reason, "smaller"));
    cr_assert_null(hl_conflate_init(memory + 64, size, &small, &reason));
    cr_assert_not_null(strstr(reason, "aligned"));
    cr_assert_null(hl_conflate_init(NULL, size, &small, &reason));
    cr_assert_not_null(strstr(reason, "aligned"));
    cr_assert_null(hl_conflate_init(memory, size - 1, &small, NULL), "the reason is optional");
}

Test(conflate, nothing_is_taken_from_a_fresh_queue)
{
    hl_conflate_consumer consumer;
    hl_conflate_consumer_open(make(&small), &consumer);
    uint64_t puts = 42;
    cr_assert_not(hl_conflate_ready(&consumer));
    cr_assert_null(hl_conflate_take(&consumer, &puts));
    cr_assert_eq(puts, 42);
}

Test(conflate, an_unread_value_is_replaced_and_the_newest_is_taken)
{
    hl_conflate *const table = make(&small);
    hl_conflate_publisher publisher = open_publisher(table);
    hl_conflate_consumer consumer;
    hl_conflate_consumer_open(table, &consumer);
    uint64_t puts;
    cr_assert_not(put(&publisher, 0, 7, 1), "nothing was there");
    cr_assert(put(&publisher, 0, 7, 2));
    cr_assert(put(&publisher, 0, 7, 3));
    cr_assert_eq(hl_conflate_pending(table), 1);
    cr_assert(hl_conflate_ready(&consumer));
    cr_assert_eq(take(&consumer, &puts), 3);
    cr_assert_eq(puts, 3);
    cr_assert_eq(hl_conflate_pending(table), 0);
    cr_assert_null(hl_conflate_take(&consumer, &puts));
    cr_assert_not(put(&publisher, 0, 7, 4), "what was read is not replaced");
    cr_assert_eq(take(&consumer, &puts), 4);
    cr_assert_eq(puts, 1);
}

Test(conflate, keys_come_in_the_order_of_their_first_unread_put)
{
    hl_conflate *const table = make(&small);
    hl_conflate_publisher publisher = open_publisher(table);
    hl_conflate_consumer consumer;
    hl_conflate_consumer_open(table, &consumer);
    const uint64_t keys[] = {3, 1, 3, 2, 1, 1, 3};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        put(&publisher, 0, keys[i], keys[i] * 100 + i);
    uint64_t puts;
    cr_assert_eq(take(&consumer, &puts), 306);
    cr_assert_eq(puts, 3);
    put(&publisher, 0, 3, 307); /* now it is behind the others */
    cr_assert_eq(take(&consumer, &puts), 105);
    cr_assert_eq(take(&consumer, &puts), 203);
    cr_assert_eq(take(&consumer, &puts), 307);
    cr_assert_eq(puts, 1);
}

Test(conflate, a_key_is_a_group_and_all_64_bits)
{
    const hl_conflate_options options = {
        .max_keys = 8, .slot_size = 64, .publishers = 1, .held = 1};
    hl_conflate *const table = make(&options);
    hl_conflate_publisher publisher = open_publisher(table);
    hl_conflate_consumer consumer;
    hl_conflate_consumer_open(table, &consumer);
    const struct {
        uint32_t group;
        uint64_t key;
    } names[] = {{0, 0},
                 {1, 0},
                 {0, 1},
                 {0, UINT64_C(1) << 32},
                 {0, UINT64_MAX},
                 {HL_CONFLATE_MAX_GROUP, UINT64_MAX},
                 {HL_CONFLATE_MAX_GROUP, 0},
                 {HL_CONFLATE_MAX_GROUP, UINT32_MAX}};
    for (uint64_t round = 0; round < 2; round++) {
        for (size_t i = 0; i < 8; i++)
            cr_assert_eq(put(&publisher, names[i].group, names[i].key, round * 8 + i), round != 0);
    }
    uint64_t puts;
    for (size_t i = 0; i < 8; i++)
        cr_assert_eq(take(&consumer, &puts), 8 + i);
    cr_assert_eq(hl_conflate_key_count(table), 8);
    hl_conflate_place place = 0;
    void *slot = NULL;
    cr_assert_eq(hl_conflate_try_claim(&publisher, HL_CONFLATE_MAX_GROUP + 1, 0, &place, &slot),
                 HL_INVALID);
}

Test(conflate, a_key_over_the_limit_is_refused_and_the_others_go_on)
{
    hl_conflate *const table = make(&small);
    hl_conflate_publisher publisher = open_publisher(table);
    hl_conflate_consumer consumer;
    hl_conflate_consumer_open(table, &consumer);
    for (uint64_t key = 0; key < small.max_keys; key++)
        put(&publisher, 0, key, key);
    const uint64_t value[2] = {0, 99};
    bool replaced = true;
    for (uint64_t key = small.max_keys; key < 100; key++)
        cr_assert_eq(hl_conflate_put(&publisher, 0, key, value, 16, &replaced), HL_LIMIT);
    cr_assert(replaced, "untouched");
    cr_assert_eq(hl_conflate_key_count(table), small.max_keys);
    uint64_t puts;
    for (uint64_t key = 0; key < small.max_keys; key++)
        cr_assert_eq(take(&consumer, &puts), key);
    cr_assert_not(put(&publisher, 0, 1, 5));
    cr_assert_eq(take(&consumer, &puts), 5);
}

Test(conflate, a_value_that_is_too_large_is_refused_and_one_of_no_bytes_is_taken)
{
    hl_conflate *const table = make(&small);
    hl_conflate_publisher publisher = open_publisher(table);
    const uint64_t value[9] = {0};
    bool replaced;
    cr_assert_eq(hl_conflate_put(&publisher, 0, 1, value, 65, &replaced), HL_TOO_LARGE);
    cr_assert_eq(hl_conflate_key_count(table), 0);
    cr_assert_eq(hl_conflate_put(&publisher, 0, 1, value, 64, &replaced), HL_OK);
    cr_assert_eq(hl_conflate_put(&publisher, 0, 1, NULL, 0, &replaced), HL_OK);
    cr_assert(replaced);
}

Test(conflate, a_claim_that_is_not_committed_never_was)
{
    hl_conflate *const table = make(&small);
    hl_conflate_publisher publisher = open_publisher(table);
    hl_conflate_consumer consumer;
    hl_conflate_consumer_open(table, &consumer);
    put(&publisher, 0, 1, 11);
    hl_conflate_place place = 0;
    void *slot = NULL;
    cr_assert_eq(hl_conflate_try_claim(&publisher, 0, 1, &place, &slot), HL_OK);
    ((uint64_t *)slot)[1] = 666;
    cr_assert_eq(hl_conflate_try_claim(&publisher, 0, 2, &place, &slot), HL_OK);
    ((uint64_t *)slot)[1] = 22;
    cr_assert_not(hl_conflate_commit(&publisher, place));
    uint64_t puts;
    cr_assert_eq(take(&consumer, &puts), 11);
    cr_assert_eq(puts, 1);
    cr_assert_eq(take(&consumer, &puts), 22);
}

Test(conflate, values_that_are_out_stay_as_they_are_and_are_as_many_as_was_said)
{
    const hl_conflate_options options = {
        .max_keys = 16, .slot_size = 64, .publishers = 1, .held = 4};
    hl_conflate *const table = make(&options);
    hl_conflate_publisher publisher = open_publisher(table);
    hl_conflate_consumer consumer;
    hl_conflate_consumer_open(table, &consumer);
    for (uint64_t key = 0; key < 8; key++)
        put(&publisher, 0, key, key);
    const uint64_t *out[4];
    uint64_t puts;
    for (size_t i = 0; i < 4; i++)
        cr_assert_not_null(out[i] = hl_conflate_take(&consumer, &puts));
    cr_assert_null(hl_conflate_take(&consumer, &puts), "four are out");
    cr_assert(hl_conflate_ready(&consumer));
    for (uint64_t n = 0; n < 100; n++)
        put(&publisher, 0, n % 16, 1000 + n);
    for (size_t i = 0; i < 4; i++)
        cr_assert_eq(out[i][1], i, "value %zu was overwritten", i);
    hl_conflate_release(&consumer, 1);
    cr_assert_not_null(hl_conflate_take(&consumer, &puts));
    cr_assert_null(hl_conflate_take(&consumer, &puts));
}

Test(conflate, as_many_publishers_as_seats)
{
    const hl_conflate_options options = {
        .max_keys = 4, .slot_size = 64, .publishers = 2, .held = 1};
    hl_conflate *const table = make(&options);
    hl_conflate_publisher one, two, three;
    cr_assert_eq(hl_conflate_publisher_open(table, UINT32_MAX, &one), HL_OK);
    cr_assert_eq(hl_conflate_publisher_open(table, UINT32_MAX, &two), HL_OK);
    cr_assert_eq(hl_conflate_publisher_open(table, 0, &three), HL_BUSY);
    put(&one, 0, 1, 10);
    cr_assert(put(&two, 0, 1, 20), "they share their keys");
    hl_conflate_publisher_close(&one);
    cr_assert_eq(hl_conflate_publisher_open(table, 0, &three), HL_OK);
    cr_assert(put(&three, 0, 1, 30));
    hl_conflate_consumer consumer;
    hl_conflate_consumer_open(table, &consumer);
    uint64_t puts;
    cr_assert_eq(take(&consumer, &puts), 30);
    cr_assert_eq(puts, 3);
}

/* Against a model: a list of the keys that wait, and the newest of each. */
static void against_a_model(uint64_t seed, uint64_t start_position)
{
    enum { KEYS = 13, STEPS = 20000 };
    const hl_conflate_options options = {.max_keys = KEYS,
                                         .slot_size = 128,
                                         .publishers = 3,
                                         .held = 2,
                                         .start_position = start_position};
    hl_conflate *const table = make(&options);
    hl_conflate_publisher publishers[3];
    for (uint32_t i = 0; i < 3; i++)
        publishers[i] = open_publisher(table);
    hl_conflate_consumer consumer;
    hl_conflate_consumer_open(table, &consumer);
    uint64_t newest[KEYS] = {0}, unread[KEYS] = {0};
    uint32_t waiting[KEYS], waits = 0;
    uint64_t committed = 0, taken = 0, conflated = 0;
    for (uint64_t step = 1; step <= STEPS; step++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        const uint32_t random = (uint32_t)(seed >> 33);
        if (random % 5 < 3) {
            const uint32_t key = random / 8 % KEYS;
            const bool replaced = put(&publishers[random % 3], key % 2, key, step);
            cr_assert_eq(replaced, unread[key] != 0);
            if (!replaced)
                waiting[waits++] = key;
            conflated += replaced;
            committed++;
            newest[key] = step;
            unread[key]++;
        } else if (waits > 0) {
            const uint32_t key = waiting[0];
            uint64_t puts;
            cr_assert_eq(take(&consumer, &puts), newest[key]);
            cr_assert_eq(puts, unread[key]);
            unread[key] = 0;
            memmove(waiting, waiting + 1, --waits * sizeof *waiting);
            taken++;
        } else {
            cr_assert_not(hl_conflate_ready(&consumer));
        }
        cr_assert_eq(committed, taken + conflated + hl_conflate_pending(table));
        cr_assert_eq(hl_conflate_pending(table), waits);
        uint64_t pending_puts = 0;
        for (uint32_t key = 0; key < KEYS; key++)
            pending_puts += unread[key];
        cr_assert_eq(hl_conflate_pending_puts(table), pending_puts);
    }
}

Test(conflate, does_as_a_model_does_wherever_the_queue_begins)
{
    const uint64_t starts[] = {0, UINT32_MAX - 50, UINT64_MAX - 50, UINT64_C(1) << 40};
    for (uint64_t i = 0; i < 4; i++) {
        cr_log_info("seed %lu", i + 1);
        against_a_model(i + 1, starts[i]);
    }
}
