#include "market/account.h"

#include <stdlib.h>
#include <string.h>

hl_status market_accounts_init(market_accounts *accounts, uint32_t expected_keys)
{
    market_accounts made = {0};
    const hl_status status = market_keys_init(&made.keys, expected_keys);
    if (status != HL_OK)
        return status;
    made.room = made.keys.room;
    made.positions = calloc(made.room, sizeof *made.positions);
    if (made.positions == NULL) {
        market_keys_free(&made.keys);
        return HL_NO_MEMORY;
    }
    *accounts = made;
    return HL_OK;
}

void market_accounts_free(market_accounts *accounts)
{
    market_keys_free(&accounts->keys);
    free(accounts->positions);
    memset(accounts, 0, sizeof *accounts);
}

static market_position *position_of(market_accounts *accounts, uint64_t key)
{
    const uint32_t number = market_keys_number(&accounts->keys, key);
    if (number == MARKET_NO_KEY)
        return NULL;
    if (number >= accounts->room) {
        market_position *const grown =
            realloc(accounts->positions, (size_t)accounts->keys.room * sizeof *grown);
        if (grown == NULL)
            return NULL;
        memset(grown + accounts->room, 0, (accounts->keys.room - accounts->room) * sizeof *grown);
        accounts->positions = grown;
        accounts->room = accounts->keys.room;
    }
    return &accounts->positions[number];
}

hl_status market_accounts_after(market_accounts *accounts, uint64_t key, const market_fill *fill,
                                market_position *ret_position)
{
    if (fill->side != 'B' && fill->side != 'A')
        return HL_INVALID;
    const market_position *const held = position_of(accounts, key);
    if (held == NULL)
        return HL_NO_MEMORY;
    const int64_t bought = fill->side == 'B' ? (int64_t)fill->quantity : -(int64_t)fill->quantity;
    market_position after = *held;
    int64_t paid;
    int64_t value;
    if (__builtin_mul_overflow(bought, fill->price, &paid) ||
        __builtin_sub_overflow(held->cash, paid, &after.cash) ||
        __builtin_add_overflow(held->position, bought, &after.position) ||
        __builtin_mul_overflow(after.position, fill->price, &value) ||
        __builtin_add_overflow(after.cash, value, &after.profit))
        return HL_INVALID;
    after.mark = fill->price;
    after.volume += fill->quantity;
    after.fills++;
    after.exchange_ns = fill->exchange_ns;
    *ret_position = after;
    return HL_OK;
}

void market_accounts_book(market_accounts *accounts, uint64_t key, const market_position *position)
{
    market_position *const held = position_of(accounts, key);
    if (held != NULL)
        *held = *position;
}

void market_accounts_refuse(market_accounts *accounts)
{
    accounts->refused++;
}

int64_t market_position_profit(const market_position *position, int64_t mark)
{
    const __int128 profit = (__int128)position->position * mark + position->cash;
    if (profit > INT64_MAX)
        return INT64_MAX;
    return profit < INT64_MIN ? INT64_MIN : (int64_t)profit;
}

void market_accounts_save(const market_accounts *accounts, hl_state_writer *writer)
{
    hl_state_write(writer, &accounts->refused, sizeof accounts->refused);
    market_rows_save(&accounts->keys, accounts->positions, sizeof *accounts->positions, writer);
}

static void *row_of(void *owner, uint64_t key)
{
    return position_of(owner, key);
}

hl_status market_accounts_load(market_accounts *accounts, hl_state_reader *reader)
{
    if (hl_state_read(reader, &accounts->refused, sizeof accounts->refused) != HL_OK)
        return HL_DAMAGED;
    return market_rows_load(reader, sizeof *accounts->positions, row_of, accounts);
}
