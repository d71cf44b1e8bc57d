/*
 * The one message that every reader yields and that travels as the payload of market_data events:
 * 64 bytes, so that an event with it fills exactly two cache lines.
 *
 * Prices are integers in the input's own unit (ITCH and LOBSTER: dollars x 10,000; DBN: 1e-9
 * dollars). Times are ns since the Unix epoch where the format knows the day, else ns since
 * midnight.
 */
#ifndef MARKET_MESSAGE_H
#define MARKET_MESSAGE_H

#include <stdint.h>

typedef enum market_action {
    MARKET_ADD = 1,     /* a new order: order_id, side, price, quantity */
    MARKET_REDUCE = 2,  /* quantity shares of order_id are cancelled; the rest stays */
    MARKET_DELETE = 3,  /* order_id leaves the book */
    MARKET_EXECUTE = 4, /* quantity shares of order_id trade; they leave the book */
    MARKET_REPLACE = 5, /* order_id becomes new_order_id with price and quantity; loses its place */
    MARKET_MODIFY = 6,  /* order_id now has price and quantity (DBN) */
    MARKET_TRADE = 7,   /* a print that changes no book (hidden order, cross, DBN trade and fill) */
    MARKET_CLEAR = 8,   /* the instrument's book is empty from here on */
    MARKET_STATUS = 9,  /* session, directory, halt: no order in it */
} market_action;

/* market_message.flags */
#define MARKET_SNAPSHOT 0x01u /* part of an opening snapshot */
#define MARKET_HAS_TOP  0x02u /* `top` holds the best prices after this message */
#define MARKET_LAST     0x04u /* the last message of one exchange event (DBN flag LAST) */

typedef struct market_message {
    uint64_t exchange_ns;
    uint64_t order_id;
    int64_t price;
    uint32_t quantity;
    uint32_t instrument; /* ITCH stock locate, DBN instrument id, LOBSTER: 1 */
    uint8_t action;      /* market_action */
    uint8_t side;        /* 'B' bid, 'A' ask, 'N' none */
    uint8_t flags;       /* MARKET_... */
    uint8_t raw_type;    /* as the format names it: ITCH letter, LOBSTER number, DBN letter */
    uint32_t reserved;
    union {
        struct {
            int64_t best_bid; /* with MARKET_HAS_TOP; size 0: that side is empty */
            int64_t best_ask;
            uint32_t best_bid_size;
            uint32_t best_ask_size;
        } top;
        uint64_t new_order_id; /* with MARKET_REPLACE */
    };
} market_message;

_Static_assert(sizeof(market_message) == 64, "one cache line of payload");

#endif
