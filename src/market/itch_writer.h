/*
 * Writing NASDAQ TotalView-ITCH 5.0, as far as the generator needs it: each message with its length
 * before it, as in the recordings that market/itch.h reads.
 *
 *     market_itch_writer to = {.next_match = 1};
 *     market_itch_write_system_event(&to, 'O', start_ns);
 *     to.now_ns += 1000;
 *     market_itch_write_add(&to, &stock, &order, false);
 *     ... to.bytes, to.size_bytes; free(to.bytes)
 *
 * One thread. Prices in ITCH's unit, 1/10,000 of a dollar.
 */
#ifndef HL_MARKET_ITCH_WRITER_H
#define HL_MARKET_ITCH_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct market_itch_writer {
    uint8_t *bytes; /* malloc's; the caller frees them */
    size_t size_bytes;
    size_t capacity_bytes;
    bool out_of_memory;  /* something could not be written: what is there is not whole */
    uint64_t now_ns;     /* since midnight: the time of the messages; the caller moves it */
    uint64_t next_match; /* number of the next execution, cross or trade */
} market_itch_writer;

typedef struct market_itch_stock {
    char name[9]; /* 8 characters, padded with spaces */
    uint16_t locate;
} market_itch_stock;

typedef struct market_itch_order {
    uint64_t number;
    uint32_t shares;
    uint32_t price;
    uint8_t side; /* 'B' or 'S' */
} market_itch_order;

/* Each writes one message, of the type named. */

/* S: also sets the time. `code` as the protocol's: O, S, Q, M, E, C. */
void market_itch_write_system_event(market_itch_writer *to, uint8_t code, uint64_t time_ns);

/* R: a stock of the Nasdaq Global Select market, in round lots of 100. */
void market_itch_write_directory(market_itch_writer *to, const market_itch_stock *stock);

/* H: `state` H or T; `reason`: 4 characters. */
void market_itch_write_trading_action(market_itch_writer *to, const market_itch_stock *stock,
                                      char state, const char *reason);

/* Y */
void market_itch_write_short_sale_state(market_itch_writer *to, const market_itch_stock *stock,
                                        char action);

/* L: the one that attributed orders name. */
void market_itch_write_market_maker(market_itch_writer *to, const market_itch_stock *stock);

/* V: levels of the market-wide circuit breaker (in 1e-8), of an index that stands at 5,000. */
void market_itch_write_breaker_levels(market_itch_writer *to);

/* W: the level that was breached, 1 to 3. */
void market_itch_write_breaker_status(market_itch_writer *to, char breached_level);

/* Q: `type` O opening, C closing. */
void market_itch_write_cross(market_itch_writer *to, const market_itch_stock *stock, uint32_t price,
                             uint64_t shares, char type);

/* I: of that cross, with none; all its prices are `price`. */
void market_itch_write_imbalance(market_itch_writer *to, const market_itch_stock *stock,
                                 uint32_t price, uint64_t paired, char type);

/* A, or attributed to the market maker: F. */
void market_itch_write_add(market_itch_writer *to, const market_itch_stock *stock,
                           const market_itch_order *order, bool attributed);

/* E, or with the price of the order: C. */
void market_itch_write_execution(market_itch_writer *to, const market_itch_stock *stock,
                                 const market_itch_order *order, uint32_t shares, bool with_price);

/* X */
void market_itch_write_reduction(market_itch_writer *to, const market_itch_stock *stock,
                                 const market_itch_order *order, uint32_t shares);

/* D */
void market_itch_write_deletion(market_itch_writer *to, const market_itch_stock *stock,
                                const market_itch_order *order);

/* U: `order` takes the place of the old one. */
void market_itch_write_replacement(market_itch_writer *to, const market_itch_stock *stock,
                                   uint64_t old_number, const market_itch_order *order);

/* P: a trade without a displayed order. */
void market_itch_write_hidden_trade(market_itch_writer *to, const market_itch_stock *stock,
                                    uint32_t shares, uint32_t price);

#endif
