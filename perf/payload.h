/*
 * What every message of the harness carries, for hotlane and its peers alike: a number, a time, and
 * words made from the number up to the payload's end, the last one their sum. The consumer adds up
 * every byte, so that a torn, lost, repeated or half-visible message is found, and so that all of
 * its lines really cross from core to core.
 *
 * The words grow with the number: some words of another message among them shift the sum by a
 * multiple of the numbers' distance, which is not zero.
 *
 * Inline, so that with a size known at the call the loops become straight vector code.
 */
#ifndef HL_PERF_PAYLOAD_H
#define HL_PERF_PAYLOAD_H

#include <stdbool.h>
#include <stdint.h>

#define PERF_PAYLOAD_MIN_BYTES 24u /* number, time, sum */

/* Fills `bytes` (a multiple of 8, PERF_PAYLOAD_MIN_BYTES or more) at `payload`. */
static inline __attribute__((always_inline)) void perf_payload_fill(void *payload, uint32_t bytes,
                                                                    uint64_t number, uint64_t time)
{
    uint64_t *const words = (uint64_t *)payload;
    const uint32_t last = bytes / 8 - 1;
    words[0] = number;
    words[1] = time;
    uint64_t sum = number + time;
    for (uint32_t i = 2; i < last; i++) {
        words[i] = number + i;
        sum += number + i;
    }
    words[last] = sum;
}

/* Whether the payload is whole, each byte of it read. */
static inline __attribute__((always_inline)) bool perf_payload_whole(const void *payload,
                                                                     uint32_t bytes)
{
    const uint64_t *const words = (const uint64_t *)payload;
    const uint32_t last = bytes / 8 - 1;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < last; i++)
        sum += words[i];
    return sum == words[last];
}

static inline uint64_t perf_payload_number(const void *payload)
{
    return ((const uint64_t *)payload)[0];
}

static inline uint64_t perf_payload_time(const void *payload)
{
    return ((const uint64_t *)payload)[1];
}

#endif
