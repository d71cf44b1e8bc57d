#include "market/book.h"

#include <stdlib.h>
#include <string.h>

#include "market/keys.h"
#include "market/ladder.h"

#define FIRST_SLOTS 1024u /* of a new table of orders; a power of two */
#define MOST_SLOTS  (1u << 31)
#define FIRST_BOOKS 8u

enum { BID = 0, ASK = 1 };

/* A resting order: two to a cache line. One whose generation is not its book's was there before the
 * last clear: it is as good as gone, and goes when its place is wanted. */
typedef struct resting_order {
    uint64_t id;
    int64_t price;
    uint32_t quantity;
    uint32_t generation;
    uint32_t book; /* number */
    uint32_t side; /* of a free one: the next free one's place + 1 */
} resting_order;

/* Where an order is, by the hash of its id. Open addressing, at most half full, linear probing,
 * deletion by shifting back. Apart from the orders, so that a look-up among many meets few lines,
 * and a new order takes the place of the one that left last, which is still in the cache. */
typedef struct order_slot {
    uint32_t hash;  /* the high half of the product; its high bits are the home slot */
    uint32_t place; /* in `orders`, + 1; 0: free */
} order_slot;

struct market_books {
    market_books_kind kind;
    order_slot *slots;
    uint32_t slot_mask;
    uint32_t slot_shift;
    resting_order *orders;
    uint32_t order_room;  /* half the slots */
    uint32_t orders_made; /* places ever used */
    uint32_t free_order;  /* place + 1 of the one that left last; 0: none */
    uint32_t used;        /* orders held, stale ones too */
    uint32_t stale;       /* of them from before a clear */
    /* Books by number. */
    market_keys instruments;
    market_book *books;
    uint32_t room;
    uint32_t last; /* the book of the last message: messages come in bunches */
};

/* ---- the orders ---------------------------------------------------------------------------- */

static uint32_t hash_of(uint64_t id, uint32_t book)
{
    /* Fibonacci hashing (Knuth, TAOCP 3, 6.4); the book goes in because exchanges number the orders
     * of each instrument, or channel, on their own. */
    return (uint32_t)(((id ^ (uint64_t)book << 40) * 0x9E3779B97F4A7C15u) >> 32);
}

/* The slot of an order, or the free one where it would go. */
static order_slot *slot_of(const market_books *books, uint64_t id, uint32_t book)
{
    const uint32_t hash = hash_of(id, book);
    uint32_t at = hash >> books->slot_shift;
    for (;; at = (at + 1) & books->slot_mask) {
        order_slot *const slot = &books->slots[at];
        if (slot->place == 0)
            return slot;
        if (slot->hash != hash)
            continue;
        const resting_order *const order = &books->orders[slot->place - 1];
        if (order->id == id && order->book == book)
            return slot;
    }
}

/* The slot of an order that is in the book now; NULL: there is none. */
static order_slot *slot_find(const market_books *books, const market_book *book, uint64_t id)
{
    order_slot *const slot = slot_of(books, id, book->number);
    return slot->place != 0 && books->orders[slot->place - 1].generation == book->generation ? slot
                                                                                             : NULL;
}

static resting_order *order_in(const market_books *books, const order_slot *slot)
{
    return &books->orders[slot->place - 1];
}

/* Frees a slot and its order, and closes the gap, so that no look-up stops short (Knuth, TAOCP 3,
 * 6.4, algorithm R). */
static void slot_free(market_books *books, order_slot *slot)
{
    order_in(books, slot)->side = books->free_order;
    books->free_order = slot->place;
    uint32_t gap = (uint32_t)(slot - books->slots);
    uint32_t at = gap;
    for (;;) {
        at = (at + 1) & books->slot_mask;
        const order_slot candidate = books->slots[at];
        if (candidate.place == 0)
            break;
        const uint32_t home = candidate.hash >> books->slot_shift;
        if (((at - home) & books->slot_mask) >= ((at - gap) & books->slot_mask)) {
            books->slots[gap] = candidate;
            gap = at;
        }
    }
    books->slots[gap].place = 0;
    books->used--;
}

/* A place for a new order in a free slot. The room was made before (orders_make_room). */
static resting_order *slot_take(market_books *books, order_slot *slot, uint64_t id, uint32_t book)
{
    uint32_t place = books->free_order;
    if (place != 0)
        books->free_order = books->orders[place - 1].side;
    else
        place = ++books->orders_made;
    *slot = (order_slot){hash_of(id, book), place};
    books->used++;
    return &books->orders[place - 1];
}

static bool slot_is_stale(const market_books *books, const order_slot *slot)
{
    const resting_order *const order = order_in(books, slot);
    return order->generation != books->books[order->book].generation;
}

static void orders_purge(market_books *books)
{
    for (uint32_t at = 0; at <= books->slot_mask && books->stale != 0;) {
        order_slot *const slot = &books->slots[at];
        if (slot->place == 0 || !slot_is_stale(books, slot)) {
            at++;
            continue;
        }
        slot_free(books, slot); /* may move another one here: look again */
        books->stale--;
    }
}

/* `slots`: a power of two, more than there are. */
static bool orders_resize(market_books *books, uint32_t slots)
{
    order_slot *const grown_slots = calloc(slots, sizeof *grown_slots);
    resting_order *const grown = realloc(books->orders, (size_t)slots / 2 * sizeof *grown);
    if (grown != NULL)
        books->orders = grown;
    if (grown_slots == NULL || grown == NULL) {
        free(grown_slots);
        return false;
    }
    order_slot *const old = books->slots;
    const uint32_t old_slots = old == NULL ? 0 : books->slot_mask + 1;
    books->slots = grown_slots;
    books->slot_mask = slots - 1;
    books->slot_shift = 32u - (uint32_t)__builtin_ctz(slots);
    books->order_room = slots / 2;
    for (uint32_t at = 0; at < old_slots; at++) {
        if (old[at].place == 0)
            continue;
        const resting_order *const order = order_in(books, &old[at]);
        *slot_of(books, order->id, order->book) = old[at];
    }
    free(old);
    return true;
}

static bool orders_make_room(market_books *books)
{
    if (books->used < books->order_room)
        return true;
    if (books->stale >= books->used / 4 && books->stale != 0) {
        orders_purge(books);
        return true;
    }
    return books->slot_mask < MOST_SLOTS - 1 && orders_resize(books, (books->slot_mask + 1) * 2);
}

/* ---- one message --------------------------------------------------------------------------- */

static void order_remove(market_books *books, market_book *book, order_slot *slot)
{
    const resting_order *const order = order_in(books, slot);
    market_ladder_take(&book->sides[order->side], market_rank_of(order->side, order->price),
                       order->quantity);
    slot_free(books, slot);
    book->orders--;
}

static void order_reduce(market_books *books, market_book *book, order_slot *slot,
                         uint32_t quantity)
{
    resting_order *const order = order_in(books, slot);
    if (quantity >= order->quantity) {
        order_remove(books, book, slot);
        return;
    }
    market_ladder_take(&book->sides[order->side], market_rank_of(order->side, order->price),
                       quantity);
    order->quantity -= quantity;
}

/* Puts an order in the book. The room was made before (prepare). */
static void order_insert(market_books *books, market_book *book, uint64_t id, uint32_t side,
                         int64_t price, uint32_t quantity)
{
    order_slot *slot = slot_of(books, id, book->number);
    resting_order *order;
    if (slot->place == 0) {
        order = slot_take(books, slot, id, book->number);
    } else if (order_in(books, slot)->generation == book->generation) {
        book->known_orders++;
        order_remove(books, book, slot);
        order = slot_take(books, slot_of(books, id, book->number), id, book->number);
    } else { /* from before the clear: its place is taken over */
        order = order_in(books, slot);
        books->stale--;
    }
    *order = (resting_order){id, price, quantity, book->generation, book->number, side};
    const int64_t rank = market_rank_of(side, price);
    market_ladder_add(&book->sides[side], rank, quantity);
    /* ~rank is this price as the other side ranks it: what is there or better would cross. */
    if (book->partial)
        market_ladder_drop_from(&book->sides[side ^ 1], ~rank);
    book->orders++;
    book->orders_added++;
}

static void orders_forget(market_books *books)
{
    memset(books->slots, 0, ((size_t)books->slot_mask + 1) * sizeof *books->slots);
    books->orders_made = 0;
    books->free_order = 0;
    books->used = 0;
    books->stale = 0;
}

static void book_empty(market_books *books, market_book *book)
{
    books->stale += (uint32_t)book->orders;
    book->orders = 0;
    book->generation++;
    book->sides[BID].count = 0;
    book->sides[ASK].count = 0;
    book->top = (market_top){0};
    book->top_told = false;
    /* When no order of any book is left and the table is worth it: begin anew, so that what comes
     * fills memory from its start instead of taking over places all over it. */
    if (books->stale == books->used && books->used > books->slot_mask / 16)
        orders_forget(books);
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
           (orders_make_room(books) && market_ladder_make_room(&book->sides[BID]) &&
            market_ladder_make_room(&book->sides[ASK]));
}

static void apply_replace(market_books *books, market_book *book, const market_message *message)
{
    order_slot *const slot = slot_find(books, book, message->order_id);
    uint32_t side = message->side == 'A' ? ASK : BID;
    if (slot == NULL) {
        book->unknown_orders++;
        if (message->side == 'N')
            return; /* nothing says on which side the new one is */
    } else {
        side = order_in(books, slot)->side; /* ITCH names none in a replace: it is the old one's */
        order_remove(books, book, slot);
    }
    /* With a told top the union holds prices instead of the new id: the order keeps its own. */
    const uint64_t id = message->flags & MARKET_HAS_TOP ? message->order_id : message->new_order_id;
    order_insert(books, book, id, side, message->price, message->quantity);
}

static void apply_modify(market_books *books, market_book *book, const market_message *message)
{
    order_slot *const slot = slot_find(books, book, message->order_id);
    uint32_t side = message->side == 'A' ? ASK : BID;
    if (slot == NULL) {
        book->unknown_orders++;
        if (message->side == 'N')
            return;
    } else {
        side = message->side == 'N' ? order_in(books, slot)->side : side;
        order_remove(books, book, slot);
    }
    if (message->quantity != 0)
        order_insert(books, book, message->order_id, side, message->price, message->quantity);
}

static void apply_reduction(market_books *books, market_book *book, const market_message *message)
{
    if (message->action == MARKET_EXECUTE && book->partial && message->side != 'N') {
        const uint32_t side = message->side == 'A' ? ASK : BID;
        market_ladder_drop_better(&book->sides[side], market_rank_of(side, message->price));
    }
    order_slot *const slot = slot_find(books, book, message->order_id);
    if (slot == NULL)
        book->unknown_orders++;
    else if (message->action == MARKET_DELETE)
        order_remove(books, book, slot);
    else
        order_reduce(books, book, slot, message->quantity);
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
        market_ladder_drop_better(&book->sides[BID], market_rank_of(BID, message->top.best_bid));
    } else {
        book->sides[BID].count = 0;
    }
    if (message->top.best_ask_size != 0) {
        book->top.best_ask = message->top.best_ask;
        book->top.best_ask_size = message->top.best_ask_size;
        market_ladder_drop_better(&book->sides[ASK], market_rank_of(ASK, message->top.best_ask));
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
    if (books->last < books->instruments.count &&
        books->books[books->last].instrument == instrument)
        return &books->books[books->last];
    const uint32_t found = market_keys_find(&books->instruments, instrument);
    if (found != MARKET_NO_KEY) {
        books->last = found;
        return &books->books[found];
    }
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
    /* The one line that is seldom at hand; asked for before the book is looked for, most likely the
     * last one. */
    __builtin_prefetch(&books->slots[hash_of(message->order_id, books->last) >> books->slot_shift],
                       1, 3);
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
    if (books->books == NULL || !orders_resize(books, FIRST_SLOTS) ||
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
    free(books->slots);
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
    orders_forget(books);
}

const market_book *market_books_at(const market_books *books, uint32_t number)
{
    return number < books->instruments.count ? &books->books[number] : NULL;
}

const market_book *market_books_find(const market_books *books, uint32_t instrument)
{
    const uint32_t number = market_keys_find(&books->instruments, instrument);
    return number != MARKET_NO_KEY ? market_books_at(books, number) : NULL;
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

/* ---- saved and loaded ---------------------------------------------------------------------- */

/* A book, then the levels of its two sides, then its orders. */
typedef struct saved_book {
    market_top top;
    uint64_t orders, orders_added, unknown_orders, known_orders;
    uint32_t instrument;
    uint32_t levels[2];
    uint32_t top_told;
} saved_book;

typedef struct saved_order {
    uint64_t id;
    int64_t price;
    uint32_t quantity;
    uint32_t book; /* by its place among those saved */
    uint64_t side;
} saved_order;

_Static_assert(sizeof(saved_book) == 80 && sizeof(saved_order) == 32, "no hidden padding");

static uint64_t count_orders(const market_books *books)
{
    uint64_t orders = 0;
    for (uint32_t number = 0; number < books->instruments.count; number++)
        orders += books->books[number].orders;
    return orders;
}

void market_books_save(const market_books *books, hl_state_writer *writer)
{
    const uint64_t orders = count_orders(books);
    hl_state_write(writer, &books->instruments.count, sizeof books->instruments.count);
    for (uint32_t number = 0; number < books->instruments.count; number++) {
        const market_book *const book = &books->books[number];
        const saved_book saved = {.top = book->top,
                                  .orders = book->orders,
                                  .orders_added = book->orders_added,
                                  .unknown_orders = book->unknown_orders,
                                  .known_orders = book->known_orders,
                                  .instrument = book->instrument,
                                  .levels = {book->sides[BID].count, book->sides[ASK].count},
                                  .top_told = book->top_told};
        hl_state_write(writer, &saved, sizeof saved);
        for (int side = BID; side <= ASK; side++)
            hl_state_write(writer, book->sides[side].levels,
                           book->sides[side].count * sizeof *book->sides[side].levels);
    }
    hl_state_write(writer, &orders, sizeof orders);
    for (uint32_t at = 0; at <= books->slot_mask; at++) {
        if (books->slots[at].place == 0 || slot_is_stale(books, &books->slots[at]))
            continue;
        const resting_order *const order = order_in(books, &books->slots[at]);
        const saved_order saved = {order->id, order->price, order->quantity, order->book,
                                   order->side};
        hl_state_write(writer, &saved, sizeof saved);
    }
}

static hl_status load_side(market_ladder *ladder, uint32_t count, hl_state_reader *reader)
{
    if (count > hl_state_left(reader) / sizeof(market_level))
        return HL_DAMAGED;
    for (ladder->count = 0; ladder->count < count; ladder->count++)
        if (!market_ladder_make_room(ladder))
            return HL_NO_MEMORY;
        else
            hl_state_read(reader, &ladder->levels[ladder->count], sizeof(market_level));
    return HL_OK;
}

/* Its number here. */
static hl_status load_book(market_books *books, hl_state_reader *reader, uint32_t *ret_number)
{
    saved_book saved;
    if (hl_state_read(reader, &saved, sizeof saved) != HL_OK)
        return HL_DAMAGED;
    market_book *const book = book_of(books, saved.instrument);
    if (book == NULL)
        return HL_NO_MEMORY;
    book->top = saved.top;
    book->top_told = saved.top_told != 0;
    book->orders = saved.orders;
    book->orders_added = saved.orders_added;
    book->unknown_orders = saved.unknown_orders;
    book->known_orders = saved.known_orders;
    *ret_number = book->number;
    const hl_status status = load_side(&book->sides[BID], saved.levels[BID], reader);
    return status == HL_OK ? load_side(&book->sides[ASK], saved.levels[ASK], reader) : status;
}

static hl_status load_order(market_books *books, hl_state_reader *reader, const uint32_t *numbers,
                            uint32_t count)
{
    saved_order saved;
    if (hl_state_read(reader, &saved, sizeof saved) != HL_OK || saved.book >= count ||
        saved.side > ASK)
        return HL_DAMAGED;
    if (!orders_make_room(books))
        return HL_NO_MEMORY;
    const uint32_t number = numbers[saved.book];
    order_slot *const slot = slot_of(books, saved.id, number);
    if (slot->place != 0)
        return HL_DAMAGED;
    *slot_take(books, slot, saved.id, number) = (resting_order){
        saved.id, saved.price,         saved.quantity, books->books[number].generation,
        number,   (uint32_t)saved.side};
    return HL_OK;
}

static hl_status load_all(market_books *books, hl_state_reader *reader, uint32_t *numbers,
                          uint32_t count)
{
    hl_status status = HL_OK;
    uint64_t orders = 0;
    for (uint32_t i = 0; i < count && status == HL_OK; i++)
        status = load_book(books, reader, &numbers[i]);
    if (status == HL_OK)
        status = hl_state_read(reader, &orders, sizeof orders);
    for (uint64_t i = 0; i < orders && status == HL_OK; i++)
        status = load_order(books, reader, numbers, count);
    return status == HL_OK && orders != count_orders(books) ? HL_DAMAGED : status;
}

hl_status market_books_load(market_books *books, hl_state_reader *reader)
{
    uint32_t count = 0;
    if (hl_state_read(reader, &count, sizeof count) != HL_OK ||
        count > hl_state_left(reader) / sizeof(saved_book))
        return HL_DAMAGED;
    uint32_t *const numbers = malloc(((size_t)count + 1) * sizeof *numbers);
    if (numbers == NULL)
        return HL_NO_MEMORY;
    market_books_clear(books);
    const hl_status status = load_all(books, reader, numbers, count);
    free(numbers);
    return status;
}
