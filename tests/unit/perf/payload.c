#include <criterion/criterion.h>
#include <string.h>

#include "perf/payload.h"

#define BYTES 64u

Test(perf_payload, carries_number_and_time)
{
    uint64_t words[BYTES / 8];
    perf_payload_fill(words, BYTES, 77, 12345);
    cr_assert_eq(perf_payload_number(words), 77);
    cr_assert_eq(perf_payload_time(words), 12345);
    cr_assert(perf_payload_whole(words, BYTES));
}

Test(perf_payload, the_smallest_has_number_time_a_word_and_sum)
{
    uint64_t words[PERF_PAYLOAD_MIN_BYTES / 8];
    perf_payload_fill(words, PERF_PAYLOAD_MIN_BYTES, 5, 6);
    cr_assert(perf_payload_whole(words, PERF_PAYLOAD_MIN_BYTES));
    words[2]++;
    cr_assert_not(perf_payload_whole(words, PERF_PAYLOAD_MIN_BYTES));
}

Test(perf_payload, any_changed_bit_is_found)
{
    unsigned char bytes[BYTES] __attribute__((aligned(8)));
    for (uint32_t bit = 0; bit < BYTES * 8; bit++) {
        perf_payload_fill(bytes, BYTES, 1u << 20, 99);
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        cr_assert_not(perf_payload_whole(bytes, BYTES), "bit %u", bit);
    }
}

/* A slot of which only a part has arrived holds words of the message a lap before. */
Test(perf_payload, any_mixture_of_two_messages_is_found)
{
    uint64_t old[BYTES / 8], new[BYTES / 8], torn[BYTES / 8];
    perf_payload_fill(old, BYTES, 1000, 0);
    perf_payload_fill(new, BYTES, 1000 + 4096, 0);
    for (uint32_t mixture = 1; mixture < 255; mixture++) {
        for (uint32_t i = 0; i < BYTES / 8; i++)
            torn[i] = (mixture >> i & 1) != 0 ? new[i] : old[i];
        /* The time is 0 in both, so that it may come from either. */
        const bool is_old = memcmp(torn, old, BYTES) == 0;
        const bool is_new = memcmp(torn, new, BYTES) == 0;
        cr_assert_eq(perf_payload_whole(torn, BYTES), is_old || is_new, "mixture %#x", mixture);
    }
}

/* Odd counts of words as well as even ones; the peer in another language makes the same words. */
Test(perf_payload, holds_the_same_words_at_any_size)
{
    for (uint32_t count = PERF_PAYLOAD_MIN_BYTES / 8; count <= 31; count++) {
        uint64_t words[31];
        perf_payload_fill(words, count * 8, 1000, 7);
        uint64_t sum = 1000 + 7;
        for (uint32_t i = 2; i < count - 1; i++) {
            cr_assert_eq(words[i], 1000 + i, "word %u of %u", i, count);
            sum += words[i];
        }
        cr_assert_eq(words[0], 1000);
        cr_assert_eq(words[1], 7);
        cr_assert_eq(words[count - 1], sum, "the sum of %u", count);
        cr_assert(perf_payload_whole(words, count * 8), "%u words", count);
    }
}
