/*
 * The order books of one input: every instrument's resting orders by id, their price levels, and
 * the best prices after each message.
 *
 *     market_books *books;
 *     market_books_create(MARKET_BOOKS_WHOLE, &books);
 *     const market_book *book = market_books_apply(books, &message);
 *     if (book->top.best_bid_size != 0) ...
 *
 * Where the top comes from:
 *   the message    with MARKET_HAS_TOP (LOBSTER with its order-book file): exact by definition
 *   the levels     built from the orders: exact when the input is whole (ITCH, DBN from its
 *                  snapshot) and every order that it named was known
 * A LOBSTER message file is not whole: orders of before 09:30 and those that rested out of sight
 * never appear as type 1, and deletions out of sight never appear at all. Its books are created
 * MARKET_BOOKS_PARTIAL: what a later message proves to be gone is dropped. An execution proves that
 * there was no better price on its side, an addition that nothing on the other side crosses it (a
 * continuous market never rests crossed), a told top that nothing is better than it.
 *
 * One thread at a time. Every call is bounded and allocates nothing, but market_books_apply when
 * there are more orders, levels or instruments at once than ever before. To have the memory made
 * ahead, apply the whole recording once and clear: the room stays.
 */
#ifndef MARKET_BOOK_H
#define MARKET_BOOK_H

#include <stdbool.h>
#include <stdint.h>

#include <hotlane/aggregate.h>

#include "market/message.h"

typedef enum market_books_kind {
    MARKET_BOOKS_WHOLE,  /* the input names every order */
    MARKET_BOOKS_PARTIAL /* LOBSTER messages: only what touched the best levels */
} market_books_kind;

/* The best prices, in the input's own unit. Size 0: that side is empty, its price is 0. */
typedef struct market_top {
    int64_t best_bid;
    int64_t best_ask;
    uint64_t best_bid_size;
    uint64_t best_ask_size;
} market_top;

typedef struct market_level {
    int64_t price;
    uint64_t quantity; /* of all orders at this price; never 0 */
} market_level;

/* The levels of a side. */
typedef struct market_ladder {
    market_level *levels; /* the best one last; the price of an ask is stored as its complement */
    uint32_t count;
    uint32_t room;
} market_ladder;

typedef struct market_book {
    market_top top;
    uint32_t instrument;
    uint32_t number;         /* dense, by first appearance: 0, 1, 2, ... */
    uint32_t generation;     /* counts the clears */
    bool top_told;           /* `top` is the input's own word */
    bool partial;            /* of MARKET_BOOKS_PARTIAL */
    uint64_t orders;         /* resting now */
    uint64_t orders_added;   /* ever */
    uint64_t unknown_orders; /* messages that named an order which is not there */
    uint64_t known_orders;   /* additions of an id which is there already: it is replaced */
    market_ladder sides[2];  /* bids, asks */
} market_book;

typedef struct market_books market_books;

/* HL_OK: `*ret_books` is the caller's, market_books_destroy. HL_NO_MEMORY. */
hl_status market_books_create(market_books_kind kind, market_books **ret_books);

/* NULL is nothing. */
void market_books_destroy(market_books *books);

/*
 * Applies one message and returns its instrument's book, whose `top` is then the newest. What a
 * message names beyond reason (more shares than the order has, an unknown order) takes what is
 * there and is counted. NULL: no memory; the message is not applied. The book's address is valid
 * until the next new instrument.
 */
const market_book *market_books_apply(market_books *books, const market_message *message);

/* Whether `top` is the true one: told by the input, or built from an input that is whole and in
 * which every order was known. */
bool market_book_exact(const market_book *book);

/* Empties every book and forgets its counts. Instruments, their numbers and all memory stay. */
void market_books_clear(market_books *books);

/* By number; NULL past the last. Valid until the next new instrument. */
const market_book *market_books_at(const market_books *books, uint32_t number);

/* By instrument; NULL: none. Valid until the next new instrument. */
const market_book *market_books_find(const market_books *books, uint32_t instrument);

/* Of a book built from orders: the index-th best level of a side (0 bids, 1 asks). False: there are
 * not that many. */
bool market_book_level(const market_book *book, int side, uint32_t index, market_level *ret_level);

/* Writes every book with its orders; and puts what was written in the place of all that is there.
 * Instruments keep the numbers that they have here. HL_OK; HL_DAMAGED, HL_NO_MEMORY: the books are
 * not to be used. */
void market_books_save(const market_books *books, hl_state_writer *writer);
hl_status market_books_load(market_books *books, hl_state_reader *reader);

#endif
