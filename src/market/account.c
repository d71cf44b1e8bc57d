#include "market/account.h"

#include <string.h>

hl_status market_accounts_init(market_accounts *accounts, uint32_t expected_keys)
{
    market_accounts made = {0};
    const hl_status status =
        market_rows_init(&made.positions, sizeof(market_position), expected_keys);
    if (status == HL_OK)
        *accounts = made;
    return status;
}

void market_accounts_free(market_accounts *accounts)
{
    market_rows_free(&accounts->positions);
    memset(accounts, 0, sizeof *accounts);
}

hl_status market_accounts_after(market_accounts *accounts, uint64_t key, const market_fill *fill,
                                market_position *ret_position)
{
    if (fill->side != 'B' && fill->side != 'A')
        return HL_INVALID;
    const market_position *const held = market_rows_of(&accounts->positions, key);
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
    market_position *const held = market_rows_of(&accounts->positions, key);
    if (held != NULL)
        *held = *position;
}

void market_accounts_refuse(market_accounts *accounts)
{
    accounts->refused++;
}

void market_accounts_save(const market_accounts *accounts, hl_state_writer *writer)
{
    hl_state_write(writer, &accounts->refused, sizeof accounts->refused);
    market_rows_save(&accounts->positions, writer);
}

hl_status market_accounts_load(market_accounts *accounts, hl_state_reader *reader)
{
    if (hl_state_read(reader, &accounts->refused, sizeof accounts->refused) != HL_OK)
        return HL_DAMAGED;
    return market_rows_load(&accounts->positions, reader);
}
