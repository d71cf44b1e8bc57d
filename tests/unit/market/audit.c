#include "market/audit.h"

#include <criterion/criterion.h>
#include <stdlib.h>

typedef struct slot {
    hl_event event;
    unsigned char payload[128];
} slot;

static slot make(uint32_t size)
{
    slot made = {.event = {.key = 7, .priority = HL_NORMAL, .payload_size = size}};
    for (uint32_t at = 0; at < size; at++)
        made.payload[at] = (unsigned char)(at * 37 + 1);
    return made;
}

Test(market_audit, sees_every_bit_of_the_payload)
{
    static const uint32_t sizes[] = {1, 8, 15, 16, 17, 63, 64, 65, 128};
    for (size_t row = 0; row < sizeof sizes / sizeof sizes[0]; row++) {
        slot made = make(sizes[row]);
        const uint64_t before = market_audit_event(MARKET_AUDIT_START, 1, &made.event);
        for (uint32_t bit = 0; bit < sizes[row] * 8; bit++) {
            made.payload[bit / 8] ^= (unsigned char)(1u << bit % 8);
            cr_assert_neq(market_audit_event(MARKET_AUDIT_START, 1, &made.event), before,
                          "size %u, bit %u", sizes[row], bit);
            made.payload[bit / 8] ^= (unsigned char)(1u << bit % 8);
        }
    }
}

Test(market_audit, sees_topic_key_priority_and_size_but_no_times_or_numbers)
{
    slot made = make(64);
    const uint64_t before = market_audit_event(MARKET_AUDIT_START, 1, &made.event);
    cr_expect_neq(market_audit_event(MARKET_AUDIT_START, 2, &made.event), before);
    slot other = made;
    other.event.key++;
    cr_expect_neq(market_audit_event(MARKET_AUDIT_START, 1, &other.event), before);
    other = made;
    other.event.priority++;
    cr_expect_neq(market_audit_event(MARKET_AUDIT_START, 1, &other.event), before);
    other = made;
    other.event.payload_size--;
    cr_expect_neq(market_audit_event(MARKET_AUDIT_START, 1, &other.event), before);
    other = made;
    other.event.published_ns = 99;
    other.event.sequence = 99;
    other.event.topic = 99;
    other.event.stamp = 99;
    cr_expect_eq(market_audit_event(MARKET_AUDIT_START, 1, &other.event), before);
}

Test(market_audit, sees_the_order_of_events_and_of_the_parts_of_one)
{
    slot first = make(64), second = make(64);
    second.payload[5] = 0;
    const uint64_t forth = market_audit_event(
        market_audit_event(MARKET_AUDIT_START, 1, &first.event), 1, &second.event);
    const uint64_t back = market_audit_event(
        market_audit_event(MARKET_AUDIT_START, 1, &second.event), 1, &first.event);
    cr_expect_neq(forth, back);
    slot swapped = first;
    memcpy(swapped.payload, first.payload + 16, 16);
    memcpy(swapped.payload + 16, first.payload, 16);
    cr_expect_neq(market_audit_event(MARKET_AUDIT_START, 1, &swapped.event),
                  market_audit_event(MARKET_AUDIT_START, 1, &first.event));
}

Test(market_audit, the_unrolled_form_is_the_general_one)
{
    const slot made = make(64);
    cr_expect_eq(market_audit_line(made.payload), market_audit_bytes(made.payload, 64));
}

Test(market_audit, a_hundred_thousand_events_that_differ_little_do_not_collide)
{
    enum { COUNT = 100000, SLOTS = 1 << 20 };
    uint64_t *const seen = calloc(SLOTS, sizeof *seen);
    cr_assert_not_null(seen);
    slot made = make(64);
    for (uint32_t number = 1; number <= COUNT; number++) {
        memcpy(made.payload + 8, &number, sizeof number);
        const uint64_t hash = market_audit_event(MARKET_AUDIT_START, 1, &made.event);
        size_t at = hash % SLOTS;
        for (; seen[at] != 0; at = (at + 1) % SLOTS)
            cr_assert_neq(seen[at], hash);
        seen[at] = hash;
    }
    free(seen);
}
