/*
 * Numbers keys in the order of their first appearance: 0, 1, 2, ... so that what belongs to an
 * instrument can lie in a plain array. An open-addressing table that is at most half full, looked
 * up by linear probing.
 *
 * One thread at a time. A look-up allocates nothing; a new key may (the table doubles), unless
 * room was reserved.
 */
#ifndef MARKET_KEYS_H
#define MARKET_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include <hotlane/status.h>

#define MARKET_NO_KEY UINT32_MAX

typedef struct market_keys {
    uint32_t *slots; /* number + 1; 0: free */
    uint64_t *keys;  /* by number */
    uint32_t count;
    uint32_t room; /* keys that fit without growing: half the slots */
    uint32_t shift;
} market_keys;

/* Makes room for `expected` keys (0 and more). HL_OK or HL_NO_MEMORY. */
hl_status market_keys_init(market_keys *keys, uint32_t expected);

/* Gives the memory back; a zeroed table is nothing. */
void market_keys_free(market_keys *keys);

/* The number of `key`, MARKET_NO_KEY when it has none. */
static inline uint32_t market_keys_find(const market_keys *keys, uint64_t key)
{
    const uint32_t mask = keys->room * 2 - 1;
    /* Fibonacci hashing (Knuth, TAOCP 3, 6.4): the high bits of a product are well mixed. */
    uint32_t slot = (uint32_t)((key * 0x9E3779B97F4A7C15u) >> keys->shift);
    for (;; slot = (slot + 1) & mask) {
        const uint32_t held = keys->slots[slot];
        if (held == 0)
            return MARKET_NO_KEY;
        if (keys->keys[held - 1] == key)
            return held - 1;
    }
}

/* The number of `key`, a new one when it has none yet. MARKET_NO_KEY: no memory, nothing changed.
 */
uint32_t market_keys_number(market_keys *keys, uint64_t key);

#endif
