/*
 * What every message of the harness carries, for hotlane and its peers alike: a number, a time, and
 * words made from the number up to the payload's end, the last one their sum. The consumer adds up
 * every byte, so that a torn, lost, repeated or half-visible message is found, and so that all of
 * its lines really cross from core to core.
 *
 * The words grow with the number: some words of another message among them shift the sum by a
 * multiple of the numbers' distance, which is not zero.
 *
 * Inline, so that with a size known at the call the loops become straight vector code: two words at
 * a time, for word by word they were most of a message's time through a ring and hid what the rings
 * differ in.
 */
#ifndef HL_PERF_PAYLOAD_H
#define HL_PERF_PAYLOAD_H

#include <stdbool.h>
#include <stdint.h>

#define PERF_PAYLOAD_MIN_BYTES 32u /* number, time, a word, sum */

/* Two words, aligned as one, of memory that is also read as single ones. */
typedef uint64_t perf_word_pair __attribute__((vector_size(16), aligned(8), may_alias));

/* The words from the i-th on. Pairs are counted from the payload's end, which a line ends with, so
 * that no pair lies in two lines; of an odd number of words the first is alone. */
static inline perf_word_pair *perf_payload_pair(const void *payload, uint32_t i)
{
    return (perf_word_pair *)(uintptr_t)((const char *)payload + i * 8u);
}

/* Fills `bytes` (a multiple of 8, PERF_PAYLOAD_MIN_BYTES or more) at `payload`. */
static inline __attribute__((always_inline)) void perf_payload_fill(void *payload, uint32_t bytes,
                                                                    uint64_t number, uint64_t time)
{
    const uint32_t count = bytes / 8;
    const uint32_t alone = count % 2;
    *(uint64_t *)payload = number;
    const perf_word_pair first = {alone != 0 ? time : number, alone != 0 ? number + 2 : time};
    *perf_payload_pair(payload, alone) = first;
    perf_word_pair sums = first;
    perf_word_pair value = {number + alone + 2, number + alone + 3};
    for (uint32_t i = alone + 2; i + 2 < count; i += 2) {
        *perf_payload_pair(payload, i) = value;
        sums += value;
        value += 2;
    }
    value[1] = (alone != 0 ? number : 0) + sums[0] + sums[1] + value[0];
    *perf_payload_pair(payload, count - 2) = value;
}

/* Whether the payload is whole, each byte of it read. */
static inline __attribute__((always_inline)) bool perf_payload_whole(const void *payload,
                                                                     uint32_t bytes)
{
    const uint32_t count = bytes / 8;
    const uint32_t alone = count % 2;
    perf_word_pair sums = {0, 0};
    for (uint32_t i = alone; i + 2 < count; i += 2)
        sums += *perf_payload_pair(payload, i);
    const perf_word_pair last = *perf_payload_pair(payload, count - 2);
    return (alone != 0 ? *(const uint64_t *)payload : 0) + sums[0] + sums[1] + last[0] == last[1];
}

static inline uint64_t perf_payload_number(const void *payload)
{
    return ((const uint64_t *)payload)[0];
}

/* Whether it is whole and bears this number. */
static inline __attribute__((always_inline)) bool perf_payload_is(const void *payload,
                                                                  uint32_t bytes, uint64_t number)
{
    return perf_payload_whole(payload, bytes) && perf_payload_number(payload) == number;
}

static inline uint64_t perf_payload_time(const void *payload)
{
    return ((const uint64_t *)payload)[1];
}

#endif
