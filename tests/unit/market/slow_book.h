/*
 * A book as plain as can be, to compare the fast one with: the orders in an array in no order,
 * everything found by looking at all of them. It follows the definitions of message.h word by word.
 */
#ifndef TEST_MARKET_SLOW_BOOK_H
#define TEST_MARKET_SLOW_BOOK_H

#include <criterion/criterion.h>
#include <stdlib.h>

#include "market/book.h"

typedef struct slow_order {
    uint64_t id;
    int64_t price;
    uint32_t quantity;
    uint8_t side;
} slow_order;

typedef struct slow_book {
    slow_order *orders;
    size_t count, room;
    uint64_t unknown;
} slow_book;

static inline slow_order *slow_find(slow_book *book, uint64_t id)
{
    for (size_t at = 0; at < book->count; at++)
        if (book->orders[at].id == id)
            return &book->orders[at];
    return NULL;
}

static inline void slow_remove(slow_book *book, slow_order *order)
{
    *order = book->orders[--book->count];
}

static inline void slow_add(slow_book *book, uint64_t id, int64_t price, uint32_t quantity,
                            uint8_t side)
{
    slow_order *const same = slow_find(book, id);
    if (same != NULL)
        slow_remove(book, same);
    if (book->count == book->room) {
        book->room = book->room == 0 ? 64 : book->room * 2;
        book->orders = realloc(book->orders, book->room * sizeof *book->orders);
        cr_assert_not_null(book->orders);
    }
    book->orders[book->count++] = (slow_order){id, price, quantity, side};
}

static inline void slow_change(slow_book *book, const market_message *message)
{
    slow_order *const order = slow_find(book, message->order_id);
    const bool known = order != NULL;
    uint8_t side = message->side;
    if (known && (message->action == MARKET_REPLACE || side == 'N'))
        side = order->side;
    if (known)
        slow_remove(book, order);
    else
        book->unknown++;
    const uint64_t id =
        message->action == MARKET_REPLACE ? message->new_order_id : message->order_id;
    if (side != 'N' && (message->action == MARKET_REPLACE || message->quantity != 0))
        slow_add(book, id, message->price, message->quantity, side);
}

static inline void slow_apply(slow_book *book, const market_message *message)
{
    slow_order *order;
    switch (message->action) {
    case MARKET_ADD:
        if (message->side != 'N')
            slow_add(book, message->order_id, message->price, message->quantity, message->side);
        break;
    case MARKET_REDUCE:
    case MARKET_EXECUTE:
    case MARKET_DELETE:
        order = slow_find(book, message->order_id);
        if (order == NULL)
            book->unknown++;
        else if (message->action == MARKET_DELETE || message->quantity >= order->quantity)
            slow_remove(book, order);
        else
            order->quantity -= message->quantity;
        break;
    case MARKET_REPLACE:
    case MARKET_MODIFY:
        slow_change(book, message);
        break;
    case MARKET_CLEAR:
        book->count = 0;
        break;
    default:
        break;
    }
}

/* The index-th best level of a side; quantity 0: there are not that many. */
static inline market_level slow_level(const slow_book *book, uint8_t side, uint32_t index)
{
    market_level level = {0, 0};
    for (uint32_t seen = 0; seen <= index; seen++) {
        market_level best = {0, 0};
        for (size_t at = 0; at < book->count; at++) {
            const slow_order *const order = &book->orders[at];
            if (order->side != side || order->quantity == 0)
                continue;
            if (seen != 0 &&
                (side == 'B' ? order->price >= level.price : order->price <= level.price))
                continue;
            const bool better = side == 'B' ? order->price > best.price : order->price < best.price;
            if (best.quantity == 0 || better)
                best = (market_level){order->price, order->quantity};
            else if (order->price == best.price)
                best.quantity += order->quantity;
        }
        level = best;
        if (level.quantity == 0)
            break;
    }
    return level;
}

static inline market_top slow_top(const slow_book *book)
{
    const market_level bid = slow_level(book, 'B', 0);
    const market_level ask = slow_level(book, 'A', 0);
    return (market_top){.best_bid = bid.price,
                        .best_ask = ask.price,
                        .best_bid_size = bid.quantity,
                        .best_ask_size = ask.quantity};
}

#endif
