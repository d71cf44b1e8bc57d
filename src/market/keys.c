#include "market/keys.h"

#include <stdlib.h>
#include <string.h>

#define LEAST_ROOM 8u

hl_status market_keys_init(market_keys *keys, uint32_t expected)
{
    uint32_t room = LEAST_ROOM;
    while (room < expected && room < UINT32_MAX / 4)
        room *= 2;
    market_keys made = {.room = room};
    made.slots = calloc((size_t)room * 2, sizeof *made.slots);
    made.keys = calloc(room, sizeof *made.keys);
    made.shift = (uint32_t)__builtin_clzll(room); /* 64 - log2(2 * room) */
    if (made.slots == NULL || made.keys == NULL) {
        market_keys_free(&made);
        return HL_NO_MEMORY;
    }
    *keys = made;
    return HL_OK;
}

void market_keys_free(market_keys *keys)
{
    free(keys->slots);
    free(keys->keys);
    memset(keys, 0, sizeof *keys);
}

static uint32_t append(market_keys *keys, uint64_t key)
{
    const uint32_t mask = keys->room * 2 - 1;
    uint32_t slot = (uint32_t)((key * 0x9E3779B97F4A7C15u) >> keys->shift);
    while (keys->slots[slot] != 0)
        slot = (slot + 1) & mask;
    keys->keys[keys->count] = key;
    keys->slots[slot] = ++keys->count;
    return keys->count - 1;
}

uint32_t market_keys_number(market_keys *keys, uint64_t key)
{
    const uint32_t found = market_keys_find(keys, key);
    if (found != MARKET_NO_KEY)
        return found;
    if (keys->count == keys->room) {
        market_keys grown;
        if (keys->room >= UINT32_MAX / 8 || market_keys_init(&grown, keys->room * 2) != HL_OK)
            return MARKET_NO_KEY;
        for (uint32_t number = 0; number < keys->count; number++)
            append(&grown, keys->keys[number]);
        market_keys_free(keys);
        *keys = grown;
    }
    return append(keys, key);
}
