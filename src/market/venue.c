#include "market/venue.h"

#include <string.h>

hl_status market_venue_init(market_venue *venue, uint64_t first_fill_id, uint64_t id_step,
                            uint32_t expected_keys)
{
    market_venue made = {.next_fill_id = first_fill_id, .id_step = id_step};
    const hl_status status =
        market_rows_init(&made.taken, sizeof(market_taken_quotes), expected_keys);
    if (status == HL_OK)
        *venue = made;
    return status;
}

void market_venue_free(market_venue *venue)
{
    market_rows_free(&venue->taken);
    memset(venue, 0, sizeof *venue);
}

static market_taken *taken_of(market_venue *venue, uint64_t key, uint8_t side)
{
    market_taken_quotes *const both = market_rows_of(&venue->taken, key);
    if (both == NULL)
        return NULL;
    return side == 'A' ? &both->of_sells : &both->of_buys;
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
    market_rows_save(&venue->taken, writer);
}

hl_status market_venue_load(market_venue *venue, hl_state_reader *reader)
{
    if (hl_state_read(reader, &venue->next_fill_id, sizeof venue->next_fill_id) != HL_OK)
        return HL_DAMAGED;
    return market_rows_load(&venue->taken, reader);
}
