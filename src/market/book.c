#include "market/book.h"

#include <stdlib.h>
#include <string.h>

#include "market/keys.h"

#define FIRST_ORDERS 1024u /* slots of a new table; a power of two */
#define FIRST_LEVELS 64u
#define FIRST_BOOKS  8u

enum { BID = 0, ASK = 1 };

/* A resting order: two to a cache line. `book` 0 marks a free slot. One whose generation is not its
 * book's was there before the last clear: it is as good as gone, and goes when its slot is wanted.
 */
typedef struct resting_order {
    uint64_t id;
    int64_t price;
    uint32_t quantity;
    uint32_t generation;
    uint32_t book; /* number + 1 */
    uint32_t side;
} resting_order;

struct market_books {
    market_books_kind kind;
    /* Orders: open addressing, at most half full, linear probing, deletion by shifting back. */
    resting_order *orders;
    uint64_t mask;
    uint32_t shift;
    uint64_t used;  /* slots taken, stale ones too */
    uint64_t stale; /* of them from before a clear */
    /* Books by number. */
    market_keys instruments;
    market_book *books;
    uint32_t room;
};

/* ---- the ladder ---------------------------------------------------------------------------- */

/* Both sides are kept ascending, best last: an ask's price is complemented (~p = -p - 1 turns the
 * order around and, unlike -p, exists for every value). */
static int64_t rank_of(uint32_t side, int64_t price)
{
    return side == BID ? price : ~price;
}

/* The number of levels whose rank is below `rank`: where it is, or belongs. Nearly all of the
 * traffic is at the best few, so a short walk from there comes first. */
static uint32_t ladder_find(const market_ladder *ladder, int64_t rank)
{
    uint32_t high = ladder->count;
    for (uint32_t steps = 0; steps < 8; steps++) {
        if (high == 0 || ladder->levels[high - 1].price < rank)
            return high;
        high--;
    }
    uint32_t low = 0;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (ladder->levels[middle].price < rank)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Room for one level more; done before anything is changed, so that a failure changes nothing. */
static bool ladder_make_room(market_ladder *ladder)
{
    if (ladder->count < ladder->room)
        return true;
    const uint32_t room = ladder->room == 0 ? FIRST_LEVELS : ladder->room * 2;
    market_level *const levels = realloc(ladder->levels, room * sizeof *levels);
    if (levels == NULL)
        return false;
    ladder->levels = levels;
    ladder->room = room;
    return true;
}

static void ladder_add(market_ladder *ladder, int64_t rank, uint32_t quantity)
{
    if (quantity == 0)
        return;
    const uint32_t at = ladder_find(ladder, rank);
    if (at == ladder->count || ladder->levels[at].price != rank) {
        memmove(&ladder->levels[at + 1], &ladder->levels[at],
                (ladder->count - at) * sizeof *ladder->levels);
        ladder->levels[at] = (market_level){.price = rank};
        ladder->count++;
    }
    ladder->levels[at].quantity += quantity;
}

/* A level may be gone, or hold less: in a partial book it can have been dropped as stale. */
static void ladder_take(market_ladder *ladder, int64_t rank, uint32_t quantity)
{
    const uint32_t at = ladder_find(ladder, rank);
    if (quantity == 0 || at == ladder->count || ladder->levels[at].price != rank)
        return;
    if (ladder->levels[at].quantity > quantity) {
        ladder->levels[at].quantity -= quantity;
        return;
    }
    ladder->count--;
    memmove(&ladder->levels[at], &ladder->levels[at + 1],
            (ladder->count - at) * sizeof *ladder->levels);
}

/* Drops every level that is better than `rank`. */
static void ladder_drop_better(market_ladder *ladder, int64_t rank)
{
    while (ladder->count != 0 && ladder->levels[ladder->count - 1].price > rank)
        ladder->count--;
}

/* Drops every level at `rank` or better. */
static void ladder_drop_from(market_ladder *ladder, int64_t rank)
{
    while (ladder->count != 0 && ladder->levels[ladder->count - 1].price >= rank)
        ladder->count--;
}

/* ---- the orders ---------------------------------------------------------------------------- */

static uint64_t home_of(const market_books *books, uint64_t id, uint32_t book)
{
    /* Fibonacci hashing (Knuth, TAOCP 3, 6.4); the book goes in because exchanges number the orders
     * of each instrument, or channel, on their own. */
    return ((id ^ (uint64_t)book << 40) * 0x9E3779B97F4A7C15u) >> books->shift;
}

/* The slot of an order, or the free one where it would go. */
static resting_order *order_slot(const market_books *books, uint64_t id, uint32_t book)
{
    uint64_t at = home_of(books, id, book);
    while (books->orders[at].book != 0 &&
           (books->orders[at].id != id || books->orders[at].book != book))
        at = (at + 1) & books->mask;
    return &books->orders[at];
}

static resting_order *order_find(const market_books *books, const market_book *book, uint64_t id)
{
    resting_order *const order = order_slot(books, id, book->number + 1);
    return order->book != 0 && order->generation == book->generation ? order : NULL;
}

/* Frees a slot and closes the gap, so that no look-up stops short (Knuth, TAOCP 3, 6.4, R). */
static void order_free_slot(market_books *books, resting_order *order)
{
    uint64_t gap = (uint64_t)(order - books->orders);
    uint64_t at = gap;
    for (;;) {
        at = (at + 1) & books->mask;
        const resting_order *const candidate = &books->orders[at];
        if (candidate->book == 0)
            break;
        const uint64_t home = home_of(books, candidate->id, candidate->book);
        if (((at - home) & books->mask) >= ((at - gap) & books->mask)) {
            books->orders[gap] = *candidate;
            gap = at;
        }
    }
    books->orders[gap].book = 0;
    books->used--;
}

static bool order_is_stale(const market_books *books, const resting_order *order)
{
    return order->generation != books->books[order->book - 1].generation;
}

static void orders_purge(market_books *books)
{
    for (uint64_t at = 0; at <= books->mask && books->stale != 0;) {
        resting_order *const order = &books->orders[at];
        if (order->book == 0 || !order_is_stale(books, order)) {
            at++;
            continue;
        }
        order_free_slot(books, order); /* may move another one here: look again */
        books->stale--;
    }
}

static bool orders_resize(market_books *books, uint64_t slots)
{
    resting_order *const orders = calloc(slots, sizeof *orders);
    if (orders == NULL)
        return false;
    resting_order *const old = books->orders;
    const uint64_t old_slots = old == NULL ? 0 : books->mask + 1;
    books->orders = orders;
    books->mask = slots - 1;
    books->shift = 64u - (uint32_t)__builtin_ctzll(slots);
    books->used = 0;
    books->stale = 0;
    for (uint64_t at = 0; at < old_slots; at++) {
        if (old[at].book == 0 || order_is_stale(books, &old[at]))
            continue;
        *order_slot(books, old[at].id, old[at].book) = old[at];
        books->used++;
    }
    free(old);
    return true;
}

static bool orders_make_room(market_books *books)
{
    if ((books->used + 1) * 2 <= books->mask + 1)
        return true;
    if (books->stale >= books->used / 4) {
        orders_purge(books);
        return true;
    }
    return orders_resize(books, (books->mask + 1) * 2);
}

/* ---- one message --------------------------------------------------------------------------- */

static void order_remove(market_books *books, market_book *book, resting_order *order)
{
    ladder_take(&book->sides[order->side], rank_of(order->side, order->price), order->quantity);
    order_free_slot(books, order);
    book->orders--;
}

static void order_reduce(market_books *books, market_book *book, resting_order *order,
                         uint32_t quantity)
{
    if (quantity >= order->quantity) {
        order_remove(books, book, order);
        return;
    }
    ladder_take(&book->sides[order->side], rank_of(order->side, order->price), quantity);
    order->quantity -= quantity;
}

/* Puts an order in the book. The room was made before (prepare). */
static void order_insert(market_books *books, market_book *book, uint64_t id, uint32_t side,
                         int64_t price, uint32_t quantity)
{
    resting_order *order = order_slot(books, id, book->number + 1);
    if (order->book != 0 && order->generation == book->generation) {
        book->known_orders++;
        order_remove(books, book, order);
        order = order_slot(books, id, book->number + 1);
    }
    if (order->book == 0)
        books->used++;
    else
        books->stale--; /* the slot of an order from before the clear */
    *order = (resting_order){id, price, quantity, book->generation, book->number + 1, side};
    const int64_t rank = rank_of(side, price);
    ladder_add(&book->sides[side], rank, quantity);
    /* ~rank is this price as the other side ranks it: what is there or better would cross. */
    if (book->partial)
        ladder_drop_from(&book->sides[side ^ 1], ~rank);
    book->orders++;
    book->orders_added++;
}

static void book_empty(market_books *books, market_book *book)
{
    books->stale += book->orders;
    book->orders = 0;
    book->generation++;
    book->sides[BID].count = 0;
    book->sides[ASK].count = 0;
    book->top = (market_top){0};
    book->top_told = false;
}

/* Whether a message can put an order in the book. */
static bool adds_order(const market_message *message)
{
    return message->action == MARKET_ADD || message->action == MARKET_REPLACE ||
           message->action == MARKET_MODIFY;
}

/* All the memory that the message can need, so that applying it cannot fail half way. */
static bool prepare(market_books *books, market_book *book, const market_message *message)
{
    return !adds_order(message) ||
           (orders_make_room(books) && ladder_make_room(&book->sides[BID]) &&
            ladder_make_room(&book->sides[ASK]));
}

static void apply_replace(market_books *books, market_book *book, const market_message *message)
{
    resting_order *const order = order_find(books, book, message->order_id);
    uint32_t side = message->side == 'A' ? ASK : BID;
    if (order == NULL) {
        book->unknown_orders++;
        if (message->side == 'N')
            return; /* nothing says on which side the new one is */
    } else {
        side = order->side; /* ITCH names no side in a replace: it is the old order's */
        order_remove(books, book, order);
    }
    /* With a told top the union holds prices instead of the new id: the order keeps its own. */
    const uint64_t id = message->flags & MARKET_HAS_TOP ? message->order_id : message->new_order_id;
    order_insert(books, book, id, side, message->price, message->quantity);
}

static void apply_modify(market_books *books, market_book *book, const market_message *message)
{
    resting_order *const order = order_find(books, book, message->order_id);
    uint32_t side = message->side == 'A' ? ASK : BID;
    if (order == NULL) {
        book->unknown_orders++;
        if (message->side == 'N')
            return;
    } else {
        side = message->side == 'N' ? order->side : side;
        order_remove(books, book, order);
    }
    if (message->quantity != 0)
        order_insert(books, book, message->order_id, side, message->price, message->quantity);
}

static void apply_reduction(market_books *books, market_book *book, const market_message *message)
{
    if (message->action == MARKET_EXECUTE && book->partial && message->side != 'N') {
        const uint32_t side = message->side == 'A' ? ASK : BID;
        ladder_drop_better(&book->sides[side], rank_of(side, message->price));
    }
    resting_order *const order = order_find(books, book, message->order_id);
    if (order == NULL)
        book->unknown_orders++;
    else if (message->action == MARKET_DELETE)
        order_remove(books, book, order);
    else
        order_reduce(books, book, order, message->quantity);
}

static void apply_action(market_books *books, market_book *book, const market_message *message)
{
    switch (message->action) {
    case MARKET_ADD:
        if (message->side != 'N')
            order_insert(books, book, message->order_id, message->side == 'A' ? ASK : BID,
                         message->price, message->quantity);
        break;
    case MARKET_REDUCE:
    case MARKET_DELETE:
    case MARKET_EXECUTE:
        apply_reduction(books, book, message);
        break;
    case MARKET_REPLACE:
        apply_replace(books, book, message);
        break;
    case MARKET_MODIFY:
        apply_modify(books, book, message);
        break;
    case MARKET_CLEAR:
        book_empty(books, book);
        break;
    default: /* prints and states of the session: no order in them */
        break;
    }
}

/* The input's own word on the top; what the levels say beyond it is stale. */
static void take_told_top(market_book *book, const market_message *message)
{
    book->top_told = true;
    book->top = (market_top){0};
    if (message->top.best_bid_size != 0) {
        book->top.best_bid = message->top.best_bid;
        book->top.best_bid_size = message->top.best_bid_size;
        ladder_drop_better(&book->sides[BID], rank_of(BID, message->top.best_bid));
    } else {
        book->sides[BID].count = 0;
    }
    if (message->top.best_ask_size != 0) {
        book->top.best_ask = message->top.best_ask;
        book->top.best_ask_size = message->top.best_ask_size;
        ladder_drop_better(&book->sides[ASK], rank_of(ASK, message->top.best_ask));
    } else {
        book->sides[ASK].count = 0;
    }
}

static void take_built_top(market_book *book)
{
    const market_ladder *const bids = &book->sides[BID];
    const market_ladder *const asks = &book->sides[ASK];
    book->top_told = false;
    book->top = (market_top){0};
    if (bids->count != 0) {
        book->top.best_bid = bids->levels[bids->count - 1].price;
        book->top.best_bid_size = bids->levels[bids->count - 1].quantity;
    }
    if (asks->count != 0) {
        book->top.best_ask = ~asks->levels[asks->count - 1].price;
        book->top.best_ask_size = asks->levels[asks->count - 1].quantity;
    }
}

static market_book *book_of(market_books *books, uint32_t instrument)
{
    const uint32_t found = market_keys_find(&books->instruments, instrument);
    if (found != MARKET_NO_KEY)
        return &books->books[found];
    if (books->instruments.count == books->room) {
        market_book *const grown = realloc(books->books, (size_t)books->room * 2 * sizeof *grown);
        if (grown == NULL)
            return NULL;
        books->books = grown;
        books->room *= 2;
    }
    const uint32_t number = market_keys_number(&books->instruments, instrument);
    if (number == MARKET_NO_KEY)
        return NULL;
    books->books[number] = (market_book){
        .instrument = instrument, .number = number, .partial = books->kind == MARKET_BOOKS_PARTIAL};
    return &books->books[number];
}

const market_book *market_books_apply(market_books *books, const market_message *message)
{
    market_book *const book = book_of(books, message->instrument);
    if (book == NULL || !prepare(books, book, message))
        return NULL;
    apply_action(books, book, message);
    if (message->flags & MARKET_HAS_TOP)
        take_told_top(book, message);
    else
        take_built_top(book);
    return book;
}

/* ---- life and looks ------------------------------------------------------------------------ */

hl_status market_books_create(market_books_kind kind, market_books **ret_books)
{
    market_books *const books = calloc(1, sizeof *books);
    if (books == NULL)
        return HL_NO_MEMORY;
    books->kind = kind;
    books->room = FIRST_BOOKS;
    books->books = calloc(FIRST_BOOKS, sizeof *books->books);
    if (books->books == NULL || !orders_resize(books, FIRST_ORDERS) ||
        market_keys_init(&books->instruments, FIRST_BOOKS) != HL_OK) {
        market_books_destroy(books);
        return HL_NO_MEMORY;
    }
    *ret_books = books;
    return HL_OK;
}

void market_books_destroy(market_books *books)
{
    if (books == NULL)
        return;
    for (uint32_t number = 0; number < books->instruments.count; number++) {
        free(books->books[number].sides[BID].levels);
        free(books->books[number].sides[ASK].levels);
    }
    market_keys_free(&books->instruments);
    free(books->books);
    free(books->orders);
    free(books);
}

bool market_book_exact(const market_book *book)
{
    return book->top_told ||
           (!book->partial && book->unknown_orders == 0 && book->known_orders == 0);
}

void market_books_clear(market_books *books)
{
    for (uint32_t number = 0; number < books->instruments.count; number++) {
        market_book *const book = &books->books[number];
        book_empty(books, book);
        book->orders_added = 0;
        book->unknown_orders = 0;
        book->known_orders = 0;
    }
    memset(books->orders, 0, (books->mask + 1) * sizeof *books->orders);
    books->used = 0;
    books->stale = 0;
}

const market_book *market_books_at(const market_books *books, uint32_t number)
{
    return number < books->instruments.count ? &books->books[number] : NULL;
}

bool market_book_level(const market_book *book, int side, uint32_t index, market_level *ret_level)
{
    const market_ladder *const ladder = &book->sides[side];
    if (index >= ladder->count)
        return false;
    *ret_level = ladder->levels[ladder->count - 1 - index];
    if (side == ASK)
        ret_level->price = ~ret_level->price;
    return true;
}
