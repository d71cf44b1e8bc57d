/*
 * What belongs to each key, one row of a fixed size, in the order of the keys' first appearance:
 * the tables of the pipeline's stages, and how they are saved.
 *
 * One thread at a time. A look-up allocates nothing; a new key may (the table doubles), unless
 * room was reserved. A place in it holds until the next new key.
 */
#ifndef MARKET_ROWS_H
#define MARKET_ROWS_H

#include <hotlane/aggregate.h>

#include "market/keys.h"

typedef struct market_rows {
    market_keys keys;
    void *rows; /* by number of the key */
    uint32_t room;
    uint32_t row_size; /* bytes */
} market_rows;

/* Makes room for `expected` keys (0 and more). HL_OK or HL_NO_MEMORY. */
hl_status market_rows_init(market_rows *rows, uint32_t row_size, uint32_t expected);

/* Gives the memory back; a zeroed table is nothing. */
void market_rows_free(market_rows *rows);

/* The row of `key`, of zeros when the key is new. NULL: no memory, nothing changed. */
void *market_rows_of(market_rows *rows, uint64_t key);

/* The row of the key with that number, below keys.count. */
static inline const void *market_rows_at(const market_rows *rows, uint32_t number)
{
    return (const char *)rows->rows + (size_t)number * rows->row_size;
}

/* Writes each key with its row. */
void market_rows_save(const market_rows *rows, hl_state_writer *writer);

/* Reads that. HL_OK, HL_DAMAGED, HL_NO_MEMORY. */
hl_status market_rows_load(market_rows *rows, hl_state_reader *reader);

#endif
