/*
 * A running hash of what a domain dispatched: topic name, key, priority and payload of each event,
 * in dispatch order. Equal hashes of two runs mean equal outputs; it is no protection against
 * someone who wants to forge one.
 *
 * The mixing step is the folded 64 x 64 -> 128 bit product of wyhash (Wang Yi et al., "Modern
 * Non-Cryptographic Hash Function and Pseudorandom Number Generator"), also used by XXH3. The
 * products of one event do not wait for each other, so a payload of 64 bytes costs a few ns.
 */
#ifndef MARKET_AUDIT_H
#define MARKET_AUDIT_H

#include <string.h>

#include <hotlane/event.h>

/* Where every hash begins. */
#define MARKET_AUDIT_START 0x243F6A8885A308D3u

/* Odd constants of half ones, from the fraction of pi (as Blowfish's P-array). */
#define MARKET_AUDIT_A 0x13198A2E03707345u
#define MARKET_AUDIT_B 0xA4093822299F31D1u
#define MARKET_AUDIT_C 0x082EFA98EC4E6C89u
#define MARKET_AUDIT_D 0x452821E638D01377u

static inline uint64_t market_audit_mix(uint64_t left, uint64_t right)
{
    const unsigned __int128 product = (unsigned __int128)left * right;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Hash of `size_bytes` bytes. */
static inline uint64_t market_audit_bytes(const void *bytes, size_t size_bytes)
{
    const unsigned char *at = bytes;
    uint64_t sum = size_bytes;
    uint64_t weight = MARKET_AUDIT_A; /* differs by block, so that blocks cannot change places */
    while (size_bytes != 0) {
        uint64_t words[2] = {0, 0};
        const size_t part = size_bytes < sizeof words ? size_bytes : sizeof words;
        memcpy(words, at, part);
        sum ^= market_audit_mix(words[0] ^ weight, words[1] ^ MARKET_AUDIT_B);
        weight += MARKET_AUDIT_C;
        at += part;
        size_bytes -= part;
    }
    return sum;
}

/* The same for exactly 64 bytes, unrolled: nearly every payload. */
static inline uint64_t market_audit_line(const void *bytes)
{
    uint64_t w[8];
    memcpy(w, bytes, sizeof w);
    const uint64_t weight = MARKET_AUDIT_A;
    return sizeof w ^ market_audit_mix(w[0] ^ weight, w[1] ^ MARKET_AUDIT_B) ^
           market_audit_mix(w[2] ^ (weight + MARKET_AUDIT_C), w[3] ^ MARKET_AUDIT_B) ^
           market_audit_mix(w[4] ^ (weight + 2 * MARKET_AUDIT_C), w[5] ^ MARKET_AUDIT_B) ^
           market_audit_mix(w[6] ^ (weight + 3 * MARKET_AUDIT_C), w[7] ^ MARKET_AUDIT_B);
}

/* The hash after one more event; `topic_hash`: market_audit_bytes of its topic's name. */
static inline uint64_t market_audit_event(uint64_t hash, uint64_t topic_hash, const hl_event *event)
{
    const uint64_t payload = event->payload_size == 64
                                 ? market_audit_line(hl_payload(event))
                                 : market_audit_bytes(hl_payload(event), event->payload_size);
    const uint64_t head =
        market_audit_mix(event->key ^ MARKET_AUDIT_D, topic_hash + event->priority);
    return market_audit_mix(hash ^ head, payload ^ MARKET_AUDIT_D) + payload;
}

#endif
