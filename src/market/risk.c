#include "market/risk.h"

#include <string.h>

hl_status market_risk_init(market_risk *risk, const market_risk_options *options,
                           uint32_t expected_keys)
{
    market_risk made = {.options = *options, .next_order_id = options->first_order_id};
    const hl_status status =
        market_rows_init(&made.exposures, sizeof(market_exposure), expected_keys);
    if (status == HL_OK)
        *risk = made;
    return status;
}

void market_risk_free(market_risk *risk)
{
    market_rows_free(&risk->exposures);
    memset(risk, 0, sizeof *risk);
}

/* Shares that may still be bought (or sold) before the position could pass its limit. */
static uint64_t room_left(const market_risk *risk, const market_exposure *exposure, uint8_t side)
{
    const int64_t limit = (int64_t)risk->options.max_position;
    const int64_t left = side == 'B' ? limit - exposure->position - (int64_t)exposure->open_buys
                                     : limit + exposure->position - (int64_t)exposure->open_sells;
    return left > 0 ? (uint64_t)left : 0;
}

market_risk_decision market_risk_check(market_risk *risk, uint64_t key, const market_signal *signal,
                                       market_order *ret_order)
{
    if (signal->side != 'B' && signal->side != 'A')
        return MARKET_RISK_VALUE;
    const int64_t price = signal->side == 'B' ? signal->best_ask : signal->best_bid;
    const uint32_t shown = signal->side == 'B' ? signal->best_ask_size : signal->best_bid_size;
    if (shown == 0)
        return MARKET_RISK_VALUE;
    const market_exposure *const exposure = market_rows_of(&risk->exposures, key);
    if (exposure == NULL)
        return MARKET_RISK_MEMORY;
    if (exposure->open_orders >= risk->options.max_open_orders)
        return MARKET_RISK_OPEN;
    const uint64_t room = room_left(risk, exposure, signal->side);
    if (room == 0)
        return MARKET_RISK_POSITION;
    uint32_t quantity = risk->options.order_quantity;
    if (quantity > room)
        quantity = (uint32_t)room;
    *ret_order = (market_order){.order_id = risk->next_order_id,
                                .exchange_ns = signal->exchange_ns,
                                .tick_published_ns = signal->tick_published_ns,
                                .limit_price = price,
                                .quote_price = price,
                                .quantity = quantity,
                                .quote_size = shown,
                                .side = signal->side};
    return MARKET_RISK_ORDER;
}

void market_risk_sent(market_risk *risk, uint64_t key, const market_order *order)
{
    market_exposure *const exposure = market_rows_of(&risk->exposures, key);
    if (order->side == 'B')
        exposure->open_buys += order->quantity;
    else
        exposure->open_sells += order->quantity;
    exposure->open_orders++;
    risk->next_order_id += risk->options.id_step;
}

void market_risk_refuse(market_risk *risk)
{
    risk->refused++;
}

void market_risk_reported(market_risk *risk, uint64_t key, const market_report *report)
{
    market_exposure *const exposure = market_rows_of(&risk->exposures, key);
    if (exposure == NULL || exposure->open_orders == 0)
        return; /* not an order of ours */
    exposure->open_orders--;
    if (report->side == 'B') {
        exposure->open_buys -= report->quantity;
        exposure->position += report->filled;
    } else {
        exposure->open_sells -= report->quantity;
        exposure->position -= report->filled;
    }
}

const char *market_risk_text(market_risk_decision decision)
{
    switch (decision) {
    case MARKET_RISK_ORDER:
        return "order sent";
    case MARKET_RISK_POSITION:
        return "signal refused: position limit reached";
    case MARKET_RISK_OPEN:
        return "signal refused: too many open orders";
    case MARKET_RISK_VALUE:
        return "signal refused: nothing shown to trade with";
    case MARKET_RISK_MEMORY:
        return "signal refused: out of memory";
    }
    return "signal refused";
}

void market_risk_save(const market_risk *risk, hl_state_writer *writer)
{
    hl_state_write(writer, &risk->next_order_id, sizeof risk->next_order_id);
    hl_state_write(writer, &risk->refused, sizeof risk->refused);
    market_rows_save(&risk->exposures, writer);
}

hl_status market_risk_load(market_risk *risk, hl_state_reader *reader)
{
    if (hl_state_read(reader, &risk->next_order_id, sizeof risk->next_order_id) != HL_OK ||
        hl_state_read(reader, &risk->refused, sizeof risk->refused) != HL_OK)
        return HL_DAMAGED;
    return market_rows_load(&risk->exposures, reader);
}
