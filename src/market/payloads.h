/*
 * What travels behind the event header in the reference pipeline: one struct a topic, each 64
 * bytes, so that event and payload fill two cache lines. Integers only; prices in the input's own
 * unit; sides 'B' and 'A' as in market_message ('B': we buy).
 *
 *     topic                      payload           published by   read by
 *     market_data.message        market_message    the feed       the strategy
 *     market_data.book_top (state)  market_quote   the strategy   the board (conflated by key)
 *     signal.imbalance           market_signal     the strategy   risk
 *     signal.report              market_report     the accounts   risk (what became of its order)
 *     order.new                  market_order      risk           the venue
 *     order.ack                  market_report     the venue      -
 *     order.filled               market_report     the venue      -
 *     order.cancelled            market_report     the venue      -
 *     order.rejected             market_report     the venue      -
 *     fill.trade                 market_fill       the venue      the accounts
 *     fill.done                  market_report     the venue      the accounts (an order's end)
 *     account.position (state)   market_position   the accounts   -
 *     system.log (expendable)    market_log        any            -
 *     system.error               market_log        any            -
 *
 * The key of each event is market_key: which input, and which instrument of it.
 */
#ifndef MARKET_PAYLOADS_H
#define MARKET_PAYLOADS_H

#include <stdint.h>

#include "market/message.h"

/* Event keys: instruments of different inputs are different, even by the same number. */
static inline uint64_t market_key(uint32_t input, uint32_t instrument)
{
    return (uint64_t)input << 32 | instrument;
}
static inline uint32_t market_key_input(uint64_t key)
{
    return (uint32_t)(key >> 32);
}
static inline uint32_t market_key_instrument(uint64_t key)
{
    return (uint32_t)key;
}

/* The best prices of a book, as market_top. Each replaces the older one of its key. */
typedef struct market_quote {
    uint64_t exchange_ns; /* of the message that made it so */
    int64_t best_bid;
    int64_t best_ask;
    uint64_t best_bid_size;
    uint64_t best_ask_size;
    uint64_t number; /* of this instrument's quotes, from 1: gaps are what was conflated */
    uint64_t unused[2];
} market_quote;

/* The book leans to one side: more shares wait there. */
typedef struct market_signal {
    uint64_t exchange_ns;       /* of the message that gave it */
    uint64_t tick_published_ns; /* bus time at which that message was published */
    int64_t best_bid;
    int64_t best_ask;
    uint32_t best_bid_size; /* sizes over 2^32 - 1 are cut to it */
    uint32_t best_ask_size;
    int32_t imbalance; /* (bid - ask) / (bid + ask) in thousandths, -1000..1000 */
    uint8_t side;      /* 'B': buy, the bid is heavier; 'A': sell */
    uint8_t reserved[3];
    uint64_t number; /* of this instrument's signals, from 1 */
    uint64_t unused;
} market_signal;

/* An immediate-or-cancel limit order. */
typedef struct market_order {
    uint64_t order_id; /* ours: unique in the run */
    uint64_t exchange_ns;
    uint64_t tick_published_ns;
    int64_t limit_price;
    int64_t quote_price; /* the opposite best price that the order was decided on */
    uint32_t quantity;
    uint32_t quote_size; /* shares shown there */
    uint8_t side;
    uint8_t reserved[7];
    uint64_t unused;
} market_order;

typedef enum market_outcome {
    MARKET_ACKNOWLEDGED = 1, /* taken by the venue */
    MARKET_FILLED = 2,       /* all of it traded */
    MARKET_CANCELLED = 3,    /* what did not trade at once is cancelled */
    MARKET_REJECTED = 4      /* refused by the venue, nothing traded */
} market_outcome;

/* What the venue says about an order. */
typedef struct market_report {
    uint64_t order_id;
    uint64_t exchange_ns;
    int64_t price;      /* of the order */
    uint32_t quantity;  /* of the order */
    uint32_t filled;    /* traded of it */
    uint32_t cancelled; /* given back of it */
    uint8_t side;
    uint8_t outcome; /* market_outcome */
    uint8_t reserved[2];
    uint64_t unused[3];
} market_report;

typedef struct market_fill {
    uint64_t order_id;
    uint64_t fill_id; /* from 1, in the venue's order */
    uint64_t exchange_ns;
    int64_t price;
    uint32_t quantity;
    uint8_t side;
    uint8_t reserved[3];
    uint64_t unused[3];
} market_fill;

/* An account in one instrument. Money is in the price's unit times shares. */
typedef struct market_position {
    int64_t position; /* shares: positive long, negative short */
    int64_t cash;     /* received for sales less paid for purchases */
    int64_t mark;     /* the price of the last fill */
    int64_t profit;   /* cash + position * mark */
    uint64_t volume;  /* shares traded, both sides */
    uint64_t fills;
    uint64_t exchange_ns;
    uint64_t unused;
} market_position;

/* A line for people. */
typedef struct market_log {
    uint64_t exchange_ns;
    uint64_t number; /* the order or signal that it is about */
    char text[48];   /* ends with a zero */
} market_log;

_Static_assert(sizeof(market_quote) == 64, "one cache line of payload");
_Static_assert(sizeof(market_signal) == 64, "one cache line of payload");
_Static_assert(sizeof(market_order) == 64, "one cache line of payload");
_Static_assert(sizeof(market_report) == 64, "one cache line of payload");
_Static_assert(sizeof(market_fill) == 64, "one cache line of payload");
_Static_assert(sizeof(market_position) == 64, "one cache line of payload");
_Static_assert(sizeof(market_log) == 64, "one cache line of payload");

#endif
