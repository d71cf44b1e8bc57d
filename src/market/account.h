/*
 * The accounts: from fills to positions, cash and profit, exact integers. A fill that would take
 * money or shares out of 64 bits is refused whole and counted.
 *
 * One thread at a time; allocates only for more instruments than were reserved.
 */
#ifndef MARKET_ACCOUNT_H
#define MARKET_ACCOUNT_H

#include <stdint.h>

#include <hotlane/status.h>

#include "market/payloads.h"
#include "market/rows.h"

typedef struct market_accounts {
    market_rows positions; /* a market_position for each key */
    uint64_t refused;      /* fills beyond 64 bits */
} market_accounts;

/* HL_OK or HL_NO_MEMORY. */
hl_status market_accounts_init(market_accounts *accounts, uint32_t expected_keys);
void market_accounts_free(market_accounts *accounts);

/* The position after the fill, in `*ret_position`; nothing is changed until market_accounts_book.
 * HL_OK; HL_INVALID: out of range, or no side; HL_NO_MEMORY. */
hl_status market_accounts_after(market_accounts *accounts, uint64_t key, const market_fill *fill,
                                market_position *ret_position);

/* Books what market_accounts_after gave. */
void market_accounts_book(market_accounts *accounts, uint64_t key, const market_position *position);

/* A fill could not be booked. */
void market_accounts_refuse(market_accounts *accounts);

/* Writes what the accounts hold, and puts it into new ones. HL_OK, HL_DAMAGED, HL_NO_MEMORY. */
void market_accounts_save(const market_accounts *accounts, hl_state_writer *writer);
hl_status market_accounts_load(market_accounts *accounts, hl_state_reader *reader);

#endif
