#include "journal/index.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define SEGMENT_BYTES (1u << 20)

static hl_event event_number(uint64_t number)
{
    return (hl_event){.sequence = number + 1,
                      .published_ns = 1000 + number * 10,
                      .key = number * 7919,
                      .correlation_id = number % 2 == 0 ? 0 : number * 104729,
                      .topic = (uint32_t)(number % 3)};
}

Test(index, knows_each_event_in_its_block_and_few_that_are_not_there)
{
    hl_index index;
    cr_assert(hl_index_init(&index, SEGMENT_BYTES, 8));
    const uint64_t events = 4096;
    for (uint64_t i = 0; i < events; i++) {
        const hl_event event = event_number(i);
        hl_index_add_event(&index, &event, 4096 + i * 128);
    }
    cr_assert_eq(index.footer.events, events);
    cr_assert_eq(index.footer.blocks, 8);
    cr_assert_eq(index.footer.topics, 3);
    cr_assert_eq(index.footer.first_ns, 1000);
    cr_assert_eq(index.footer.last_ns, 1000 + (events - 1) * 10);
    uint64_t false_alarms = 0;
    for (uint64_t i = 0; i < events; i++) {
        const hl_event event = event_number(i);
        for (uint32_t block = 0; block < 8; block++) {
            const uint8_t *const bloom = index.blooms + block * HL_INDEX_BLOOM_SIZE;
            const bool alarm =
                hl_bloom_may_hold(bloom, HL_INDEX_BLOOM_SIZE, HL_BLOOM_KEY, event.key);
            if (block == i / 512) {
                cr_assert(alarm);
                cr_assert(
                    hl_bloom_may_hold(bloom, HL_INDEX_BLOOM_SIZE, HL_BLOOM_TOPIC, event.topic));
                if (event.correlation_id != 0)
                    cr_assert(hl_bloom_may_hold(bloom, HL_INDEX_BLOOM_SIZE, HL_BLOOM_CORRELATION,
                                                event.correlation_id));
            } else {
                false_alarms += alarm;
            }
        }
    }
    cr_assert_lt(false_alarms * 20, events * 7, "%lu of %lu", false_alarms, events * 7);
    hl_index_free(&index);
}

Test(index, blocks_rise_and_their_times_never_fall)
{
    hl_index index;
    cr_assert(hl_index_init(&index, SEGMENT_BYTES, 8));
    srand(3);
    for (uint64_t i = 0; i < 4096; i++) {
        hl_event event = event_number(i);
        event.published_ns = (uint64_t)rand(); /* a clock that goes back and forth */
        hl_index_add_event(&index, &event, 4096 + i * 128);
    }
    for (uint32_t i = 1; i < index.footer.blocks; i++) {
        cr_assert_gt(index.blocks[i].offset, index.blocks[i - 1].offset);
        cr_assert_gt(index.blocks[i].sequence, index.blocks[i - 1].sequence);
        cr_assert_geq(index.blocks[i].until_ns, index.blocks[i - 1].until_ns);
    }
    hl_index_free(&index);
}

Test(index, the_footer_holds_the_tables)
{
    hl_index index;
    cr_assert(hl_index_init(&index, SEGMENT_BYTES, 8));
    for (uint64_t i = 0; i < 1000; i++) {
        const hl_event event = event_number(i);
        hl_index_add_event(&index, &event, 8192 + i * 128);
    }
    hl_index_add_dictionary(&index, 4096);
    hl_index_add_dictionary(&index, 4200);
    const uint64_t length = hl_index_footer_length(&index);
    cr_assert_leq(length, hl_index_footer_limit(&index));
    void *const record = malloc(length);
    const uint32_t seed = hl_record_seed(9);
    cr_assert_eq(hl_index_encode(&index, seed, record), length);
    cr_assert_eq(hl_record_check(9, seed, record, length, 0), HL_RECORD_GOOD);
    const hl_footer *const footer = record;
    cr_assert_eq(footer->events, 1000);
    cr_assert_eq(hl_footer_blocks(footer)[0].offset, 8192);
    cr_assert_eq(hl_footer_dictionary(footer)[1], 4200);
    cr_assert_eq(hl_footer_topics(footer)[0].events, 334);
    const hl_event event = event_number(999);
    cr_assert(
        hl_bloom_may_hold(hl_footer_blooms(footer) + (footer->blocks - 1) * footer->bloom_size,
                          footer->bloom_size, HL_BLOOM_KEY, event.key));
    free(record);
    hl_index_free(&index);
}

Test(index, cleared_it_is_as_new)
{
    hl_index index;
    cr_assert(hl_index_init(&index, SEGMENT_BYTES, 8));
    const uint64_t empty = hl_index_footer_length(&index);
    const hl_event event = event_number(5);
    hl_index_add_event(&index, &event, 4096);
    hl_index_clear(&index);
    cr_assert_eq(hl_index_footer_length(&index), empty);
    hl_index_add_event(&index, &event, 4096);
    cr_assert_eq(index.topics[0].events, 1);
    cr_assert_not(hl_bloom_may_hold(index.blooms, HL_INDEX_BLOOM_SIZE, HL_BLOOM_KEY, 12345));
    hl_index_free(&index);
}
