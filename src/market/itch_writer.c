#include "market/itch_writer.h"

#include <stdlib.h>
#include <string.h>

#define CROSS_ORDER_NO 0 /* a trade without a displayed order names order 0 */

/* Room for one message with its length; NULL when there is no memory. */
static uint8_t *reserve(market_itch_writer *to, size_t length_bytes)
{
    const size_t record_bytes = length_bytes + 2;
    if (to->out_of_memory)
        return NULL;
    if (to->size_bytes + record_bytes > to->capacity_bytes) {
        const size_t capacity_bytes = to->capacity_bytes * 2 + 65536;
        uint8_t *const larger = realloc(to->bytes, capacity_bytes);
        if (larger == NULL) {
            to->out_of_memory = true;
            return NULL;
        }
        to->bytes = larger;
        to->capacity_bytes = capacity_bytes;
    }
    uint8_t *const at = to->bytes + to->size_bytes;
    to->size_bytes += record_bytes;
    return at;
}

static uint8_t *put(uint8_t *at, uint64_t value, int width_bytes)
{
    for (int i = width_bytes - 1; i >= 0; i--)
        *at++ = (uint8_t)(value >> (8 * i));
    return at;
}

static uint8_t *put_text(uint8_t *at, const char *text, size_t length)
{
    memcpy(at, text, length);
    return at + length;
}

/* Length, type, locate, tracking number 0, time. NULL as reserve(). */
static uint8_t *begin(market_itch_writer *to, uint8_t type, size_t length_bytes, uint16_t locate)
{
    uint8_t *at = reserve(to, length_bytes);
    if (at == NULL)
        return NULL;
    at = put(at, length_bytes, 2);
    at = put(at, type, 1);
    at = put(at, locate, 2);
    at = put(at, 0, 2);
    return put(at, to->now_ns, 6);
}

void market_itch_write_system_event(market_itch_writer *to, uint8_t code, uint64_t time_ns)
{
    to->now_ns = time_ns;
    uint8_t *const at = begin(to, 'S', 12, 0);
    if (at != NULL)
        put(at, code, 1);
}

void market_itch_write_directory(market_itch_writer *to, const market_itch_stock *stock)
{
    uint8_t *at = begin(to, 'R', 39, stock->locate);
    if (at == NULL)
        return;
    at = put_text(at, stock->name, 8);
    at = put_text(at, "QN", 2); /* Nasdaq Global Select, financial status normal */
    at = put(at, 100, 4);       /* round lot */
    at = put_text(at, "NCZ PN 1N", 9);
    put_text(put(at, 0, 4), "N", 1); /* ETP leverage 0, inverse N */
}

void market_itch_write_trading_action(market_itch_writer *to, const market_itch_stock *stock,
                                      char state, const char *reason)
{
    uint8_t *at = begin(to, 'H', 25, stock->locate);
    if (at == NULL)
        return;
    at = put_text(at, stock->name, 8);
    at = put(at, (uint8_t)state, 1);
    at = put(at, ' ', 1);
    put_text(at, reason, 4);
}

void market_itch_write_short_sale_state(market_itch_writer *to, const market_itch_stock *stock,
                                        char action)
{
    uint8_t *const at = begin(to, 'Y', 20, stock->locate);
    if (at != NULL)
        put(put_text(at, stock->name, 8), (uint8_t)action, 1);
}

void market_itch_write_market_maker(market_itch_writer *to, const market_itch_stock *stock)
{
    uint8_t *at = begin(to, 'L', 26, stock->locate);
    if (at == NULL)
        return;
    at = put_text(at, "MKRA", 4);
    at = put_text(at, stock->name, 8);
    put_text(at, "YNA", 3); /* primary, normal mode, active */
}

void market_itch_write_breaker_levels(market_itch_writer *to)
{
    uint8_t *at = begin(to, 'V', 35, 0);
    if (at == NULL)
        return;
    at = put(at, UINT64_C(465000000000), 8);
    at = put(at, UINT64_C(435000000000), 8);
    put(at, UINT64_C(400000000000), 8);
}

void market_itch_write_breaker_status(market_itch_writer *to, char breached_level)
{
    uint8_t *const at = begin(to, 'W', 12, 0);
    if (at != NULL)
        put(at, (uint8_t)breached_level, 1);
}

void market_itch_write_cross(market_itch_writer *to, const market_itch_stock *stock, uint32_t price,
                             uint64_t shares, char type)
{
    uint8_t *at = begin(to, 'Q', 40, stock->locate);
    if (at == NULL)
        return;
    at = put(at, shares, 8);
    at = put_text(at, stock->name, 8);
    at = put(at, price, 4);
    at = put(at, to->next_match++, 8);
    put(at, (uint8_t)type, 1);
}

void market_itch_write_imbalance(market_itch_writer *to, const market_itch_stock *stock,
                                 uint32_t price, uint64_t paired, char type)
{
    uint8_t *at = begin(to, 'I', 50, stock->locate);
    if (at == NULL)
        return;
    at = put(at, paired, 8);
    at = put(at, 0, 8); /* no imbalance */
    at = put(at, 'N', 1);
    at = put_text(at, stock->name, 8);
    for (int i = 0; i < 3; i++) /* far, near and current reference price */
        at = put(at, price, 4);
    at = put(at, (uint8_t)type, 1);
    put(at, 'L', 1);
}

void market_itch_write_add(market_itch_writer *to, const market_itch_stock *stock,
                           const market_itch_order *order, bool attributed)
{
    uint8_t *at = begin(to, attributed ? 'F' : 'A', attributed ? 40 : 36, stock->locate);
    if (at == NULL)
        return;
    at = put(at, order->number, 8);
    at = put(at, order->side, 1);
    at = put(at, order->shares, 4);
    at = put_text(at, stock->name, 8);
    at = put(at, order->price, 4);
    if (attributed)
        put_text(at, "MKRA", 4);
}

void market_itch_write_execution(market_itch_writer *to, const market_itch_stock *stock,
                                 const market_itch_order *order, uint32_t shares, bool with_price)
{
    uint8_t *at = begin(to, with_price ? 'C' : 'E', with_price ? 36 : 31, stock->locate);
    if (at == NULL)
        return;
    at = put(at, order->number, 8);
    at = put(at, shares, 4);
    at = put(at, to->next_match++, 8);
    if (with_price) {
        at = put(at, 'Y', 1);
        put(at, order->price, 4);
    }
}

void market_itch_write_reduction(market_itch_writer *to, const market_itch_stock *stock,
                                 const market_itch_order *order, uint32_t shares)
{
    uint8_t *const at = begin(to, 'X', 23, stock->locate);
    if (at != NULL)
        put(put(at, order->number, 8), shares, 4);
}

void market_itch_write_deletion(market_itch_writer *to, const market_itch_stock *stock,
                                const market_itch_order *order)
{
    uint8_t *const at = begin(to, 'D', 19, stock->locate);
    if (at != NULL)
        put(at, order->number, 8);
}

void market_itch_write_replacement(market_itch_writer *to, const market_itch_stock *stock,
                                   uint64_t old_number, const market_itch_order *order)
{
    uint8_t *at = begin(to, 'U', 35, stock->locate);
    if (at == NULL)
        return;
    at = put(at, old_number, 8);
    at = put(at, order->number, 8);
    at = put(at, order->shares, 4);
    put(at, order->price, 4);
}

void market_itch_write_hidden_trade(market_itch_writer *to, const market_itch_stock *stock,
                                    uint32_t shares, uint32_t price)
{
    uint8_t *at = begin(to, 'P', 44, stock->locate);
    if (at == NULL)
        return;
    at = put(at, CROSS_ORDER_NO, 8);
    at = put(at, 'B', 1); /* since 2014 always B */
    at = put(at, shares, 4);
    at = put_text(at, stock->name, 8);
    at = put(at, price, 4);
    put(at, to->next_match++, 8);
}
