#include "market/rows.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

hl_status market_rows_init(market_rows *rows, uint32_t row_size, uint32_t expected)
{
    market_rows made = {.row_size = row_size};
    const hl_status status = market_keys_init(&made.keys, expected);
    if (status != HL_OK)
        return status;
    made.room = made.keys.room;
    made.rows = calloc(made.room, row_size);
    if (made.rows == NULL) {
        market_keys_free(&made.keys);
        return HL_NO_MEMORY;
    }
    *rows = made;
    return HL_OK;
}

void market_rows_free(market_rows *rows)
{
    market_keys_free(&rows->keys);
    free(rows->rows);
    memset(rows, 0, sizeof *rows);
}

static bool grow(market_rows *rows)
{
    const size_t bytes = (size_t)rows->room * rows->row_size;
    char *const grown = rows->room > UINT32_MAX / 2 ? NULL : realloc(rows->rows, 2 * bytes);
    if (grown == NULL)
        return false;
    memset(grown + bytes, 0, bytes);
    rows->rows = grown;
    rows->room *= 2;
    return true;
}

void *market_rows_of(market_rows *rows, uint64_t key)
{
    uint32_t number = market_keys_find(&rows->keys, key);
    if (number == MARKET_NO_KEY) {
        /* Its row first: a key without one would be saved with what lies behind the rows. */
        if (rows->keys.count == rows->room && !grow(rows))
            return NULL;
        number = market_keys_number(&rows->keys, key);
        if (number == MARKET_NO_KEY)
            return NULL;
    }
    return (char *)rows->rows + (size_t)number * rows->row_size;
}

void market_rows_save(const market_rows *rows, hl_state_writer *writer)
{
    const market_keys *const keys = &rows->keys;
    hl_state_write(writer, &keys->count, sizeof keys->count);
    for (uint32_t number = 0; number < keys->count; number++) {
        hl_state_write(writer, &keys->keys[number], sizeof keys->keys[number]);
        hl_state_write(writer, market_rows_at(rows, number), rows->row_size);
    }
}

hl_status market_rows_load(market_rows *rows, hl_state_reader *reader)
{
    uint32_t count = 0;
    hl_status status = hl_state_read(reader, &count, sizeof count);
    for (uint32_t i = 0; i < count && status == HL_OK; i++) {
        uint64_t key;
        status = hl_state_read(reader, &key, sizeof key);
        void *const row = status == HL_OK ? market_rows_of(rows, key) : NULL;
        if (status == HL_OK)
            status = row == NULL ? HL_NO_MEMORY : hl_state_read(reader, row, rows->row_size);
    }
    return status;
}
