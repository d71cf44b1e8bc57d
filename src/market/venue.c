#include "market/venue.h"

#include <stdlib.h>
#include <string.h>

hl_status market_venue_init(market_venue *venue, uint64_t first_fill_id, uint64_t id_step,
                            uint32_t expected_keys)
{
    market_venue made = {.next_fill_id = first_fill_id, .id_step = id_step};
    const hl_status status = market_keys_init(&made.keys, expected_keys);
    if (status != HL_OK)
        return status;
    made.room = made.keys.room;
    made.taken = calloc((size_t)made.room * 2, sizeof *made.taken);
    if (made.taken == NULL) {
        market_keys_free(&made.keys);
        return HL_NO_MEMORY;
    }
    *venue = made;
    return HL_OK;
}

void market_venue_free(market_venue *venue)
{
    market_keys_free(&venue->keys);
    free(venue->taken);
    memset(venue, 0, sizeof *venue);
}

static market_taken *taken_of(market_venue *venue, uint64_t key, uint8_t side)
{
    const uint32_t number = market_keys_number(&venue->keys, key);
    if (number == MARKET_NO_KEY)
        return NULL;
    if (number >= venue->room) {
        const size_t held = (size_t)venue->room * 2;
        const size_t wanted = (size_t)venue->keys.room * 2;
        market_taken *const grown = realloc(venue->taken, wanted * sizeof *grown);
        if (grown == NULL)
            return NULL;
        memset(grown + held, 0, (wanted - held) * sizeof *grown);
        venue->taken = grown;
        venue->room = venue->keys.room;
    }
    return &venue->taken[(size_t)number * 2 + (side == 'A')];
}

/* Shares of the order's quote that are still there. */
static uint32_t shares_left(const market_taken *taken, const market_order *order)
{
    const bool same_quote =
        taken->exchange_ns == order->exchange_ns && taken->price == order->quote_price;
    const uint32_t gone = same_quote ? taken->quantity : 0;
    return order->quote_size > gone ? order->quote_size - gone : 0;
}

static bool marketable(const market_order *order)
{
    return order->side == 'B' ? order->limit_price >= order->quote_price
                              : order->limit_price <= order->quote_price;
}

void market_venue_execute(market_venue *venue, uint64_t key, const market_order *order,
                          market_execution *ret_execution)
{
    const market_report report = {.order_id = order->order_id,
                                  .exchange_ns = order->exchange_ns,
                                  .price = order->limit_price,
                                  .quantity = order->quantity,
                                  .side = order->side,
                                  .outcome = MARKET_ACKNOWLEDGED};
    *ret_execution = (market_execution){.first = report, .last = report};
    const bool valid = order->quantity != 0 && (order->side == 'B' || order->side == 'A');
    const market_taken *const taken = valid ? taken_of(venue, key, order->side) : NULL;
    if (taken == NULL) {
        ret_execution->first.outcome = MARKET_REJECTED;
        ret_execution->first.cancelled = order->quantity;
        ret_execution->last = ret_execution->first;
        return;
    }
    uint32_t filled = marketable(order) ? shares_left(taken, order) : 0;
    if (filled > order->quantity)
        filled = order->quantity;
    ret_execution->last.filled = filled;
    ret_execution->last.cancelled = order->quantity - filled;
    ret_execution->last.outcome = filled == order->quantity ? MARKET_FILLED : MARKET_CANCELLED;
    if (filled != 0)
        ret_execution->fill = (market_fill){.order_id = order->order_id,
                                            .fill_id = venue->next_fill_id,
                                            .exchange_ns = order->exchange_ns,
                                            .price = order->quote_price,
                                            .quantity = filled,
                                            .side = order->side};
}

void market_venue_executed(market_venue *venue, uint64_t key, const market_order *order,
                           const market_execution *execution)
{
    if (execution->fill.quantity == 0)
        return;
    market_taken *const taken = taken_of(venue, key, order->side);
    if (taken->exchange_ns != order->exchange_ns || taken->price != order->quote_price)
        *taken = (market_taken){order->exchange_ns, order->quote_price, 0};
    taken->quantity += execution->fill.quantity;
    venue->next_fill_id += venue->id_step;
}

void market_venue_save(const market_venue *venue, hl_state_writer *writer)
{
    hl_state_write(writer, &venue->next_fill_id, sizeof venue->next_fill_id);
    market_rows_save(&venue->keys, venue->taken, 2 * sizeof *venue->taken, writer);
}

static void *row_of(void *owner, uint64_t key)
{
    return taken_of(owner, key, 'B');
}

hl_status market_venue_load(market_venue *venue, hl_state_reader *reader)
{
    if (hl_state_read(reader, &venue->next_fill_id, sizeof venue->next_fill_id) != HL_OK)
        return HL_DAMAGED;
    return market_rows_load(reader, 2 * sizeof *venue->taken, row_of, venue);
}
