#include "market/book.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <string.h>

#include "market/reader.h"
#include "market/stream.h"
#include "shared_data.h"
#include "slow_book.h"
#include "tests/random.h"

static market_books *make(market_books_kind kind)
{
    market_books *books;
    cr_assert_eq(market_books_create(kind, &books), HL_OK);
    return books;
}

static market_message message_of(market_action action, uint64_t id, char side, int64_t price,
                                 uint32_t quantity)
{
    return (market_message){.order_id = id,
                            .price = price,
                            .quantity = quantity,
                            .instrument = 1,
                            .action = (uint8_t)action,
                            .side = (uint8_t)side};
}

static const market_book *apply(market_books *books, market_action action, uint64_t id, char side,
                                int64_t price, uint32_t quantity)
{
    const market_message message = message_of(action, id, side, price, quantity);
    const market_book *const book = market_books_apply(books, &message);
    cr_assert_not_null(book);
    return book;
}

static void expect_top(const market_book *book, int64_t bid, uint64_t bid_size, int64_t ask,
                       uint64_t ask_size)
{
    const market_top *const top = &book->top;
    cr_expect(top->best_bid == bid && top->best_bid_size == bid_size && top->best_ask == ask &&
                  top->best_ask_size == ask_size,
              "top is %" PRId64 " x %" PRIu64 " / %" PRId64 " x %" PRIu64, top->best_bid,
              top->best_bid_size, top->best_ask, top->best_ask_size);
}

Test(market_book, an_empty_side_has_size_and_price_zero)
{
    market_books *const books = make(MARKET_BOOKS_WHOLE);
    expect_top(apply(books, MARKET_STATUS, 0, 'N', 0, 0), 0, 0, 0, 0);
    expect_top(apply(books, MARKET_ADD, 1, 'B', 100, 10), 100, 10, 0, 0);
    expect_top(apply(books, MARKET_ADD, 2, 'A', 101, 20), 100, 10, 101, 20);
    expect_top(apply(books, MARKET_DELETE, 1, 'N', 0, 0), 0, 0, 101, 20);
    market_books_destroy(books);
}

Test(market_book, orders_at_one_price_add_up_and_leave_one_by_one)
{
    market_books *const books = make(MARKET_BOOKS_WHOLE);
    apply(books, MARKET_ADD, 1, 'B', 100, 10);
    apply(books, MARKET_ADD, 2, 'B', 100, 5);
    expect_top(apply(books, MARKET_ADD, 3, 'B', 99, 7), 100, 15, 0, 0);
    expect_top(apply(books, MARKET_REDUCE, 1, 'B', 100, 4), 100, 11, 0, 0);
    expect_top(apply(books, MARKET_EXECUTE, 1, 'B', 100, 6), 100, 5, 0, 0);
    expect_top(apply(books, MARKET_EXECUTE, 2, 'B', 100, 5), 99, 7, 0, 0);
    const market_book *const book = apply(books, MARKET_TRADE, 3, 'B', 99, 7);
    expect_top(book, 99, 7, 0, 0);
    cr_expect_eq(book->orders, 1);
    cr_expect(market_book_exact(book));
    market_books_destroy(books);
}

Test(market_book, a_replaced_order_keeps_its_side_under_its_new_id)
{
    market_books *const books = make(MARKET_BOOKS_WHOLE);
    apply(books, MARKET_ADD, 1, 'A', 100, 10);
    market_message replace = message_of(MARKET_REPLACE, 1, 'N', 98, 30);
    replace.new_order_id = 2;
    expect_top(market_books_apply(books, &replace), 0, 0, 98, 30);
    expect_top(apply(books, MARKET_DELETE, 2, 'N', 0, 0), 0, 0, 0, 0);
    market_books_destroy(books);
}

Test(market_book, a_modified_order_takes_its_new_price_and_quantity)
{
    market_books *const books = make(MARKET_BOOKS_WHOLE);
    apply(books, MARKET_ADD, 1, 'B', 100, 10);
    apply(books, MARKET_ADD, 2, 'B', 99, 1);
    expect_top(apply(books, MARKET_MODIFY, 1, 'B', 98, 4), 99, 1, 0, 0);
    expect_top(apply(books, MARKET_MODIFY, 1, 'B', 99, 4), 99, 5, 0, 0);
    expect_top(apply(books, MARKET_MODIFY, 1, 'B', 99, 0), 99, 1, 0, 0);
    market_books_destroy(books);
}

Test(market_book, what_names_an_unknown_order_is_counted_and_the_book_no_longer_exact)
{
    market_books *const books = make(MARKET_BOOKS_WHOLE);
    cr_expect(market_book_exact(apply(books, MARKET_ADD, 1, 'B', 100, 10)));
    const market_book *const book = apply(books, MARKET_DELETE, 9, 'N', 0, 0);
    cr_expect_eq(book->unknown_orders, 1);
    cr_expect_not(market_book_exact(book));
    expect_top(book, 100, 10, 0, 0);
    market_books_destroy(books);
}

Test(market_book, an_id_that_is_added_twice_is_replaced_and_counted)
{
    market_books *const books = make(MARKET_BOOKS_WHOLE);
    apply(books, MARKET_ADD, 1, 'B', 100, 10);
    const market_book *const book = apply(books, MARKET_ADD, 1, 'A', 103, 3);
    expect_top(book, 0, 0, 103, 3);
    cr_expect_eq(book->known_orders, 1);
    cr_expect_eq(book->orders, 1);
    cr_expect_not(market_book_exact(book));
    market_books_destroy(books);
}

Test(market_book, instruments_do_not_share_ids_or_clears)
{
    market_books *const books = make(MARKET_BOOKS_WHOLE);
    apply(books, MARKET_ADD, 1, 'B', 100, 10);
    market_message other = message_of(MARKET_ADD, 1, 'B', 200, 20);
    other.instrument = 0x80000001u;
    expect_top(market_books_apply(books, &other), 200, 20, 0, 0);
    expect_top(apply(books, MARKET_CLEAR, 0, 'N', 0, 0), 0, 0, 0, 0);
    other = message_of(MARKET_REDUCE, 1, 'B', 200, 5);
    other.instrument = 0x80000001u;
    expect_top(market_books_apply(books, &other), 200, 15, 0, 0);
    cr_expect_eq(market_books_at(books, 0)->instrument, 1);
    cr_expect_eq(market_books_at(books, 1)->instrument, 0x80000001u);
    cr_expect_null(market_books_at(books, 2));
    market_books_destroy(books);
}

Test(market_book, after_a_clear_the_same_ids_begin_anew)
{
    market_books *const books = make(MARKET_BOOKS_WHOLE);
    for (int pass = 0; pass < 50; pass++) {
        const market_book *book = NULL;
        for (uint64_t id = 1; id <= 700; id++)
            book = apply(books, MARKET_ADD, id, 'B', 1000 + (int64_t)id, 1);
        cr_assert_eq(book->orders, 700);
        cr_assert_eq(book->known_orders, 0);
        expect_top(apply(books, MARKET_DELETE, 700, 'N', 0, 0), 1699, 1, 0, 0);
        expect_top(apply(books, MARKET_CLEAR, 0, 'N', 0, 0), 0, 0, 0, 0);
        cr_assert_eq(apply(books, MARKET_STATUS, 0, 'N', 0, 0)->orders, 0);
    }
    const market_book *const book = apply(books, MARKET_DELETE, 5, 'N', 0, 0);
    cr_expect_eq(book->unknown_orders, 1, "an order from before the clear is gone");
    market_books_destroy(books);
}

Test(market_book, orders_of_one_book_survive_the_clears_of_another)
{
    market_books *const books = make(MARKET_BOOKS_WHOLE);
    for (uint64_t id = 1; id <= 300; id++)
        apply(books, MARKET_ADD, id, 'B', (int64_t)id, 1);
    uint64_t next_id = 1;
    for (int pass = 0; pass < 100; pass++) {
        market_message other = message_of(MARKET_ADD, 0, 'A', 500, 1);
        other.instrument = 2;
        for (int number = 0; number < 700; number++) {
            other.order_id = next_id++; /* never the same again: what is stale has to be purged */
            cr_assert_not_null(market_books_apply(books, &other));
        }
        other.action = MARKET_CLEAR;
        cr_assert_eq(market_books_apply(books, &other)->orders, 0);
    }
    const market_book *book = NULL;
    for (uint64_t id = 300; id >= 1; id--) {
        expect_top(apply(books, MARKET_STATUS, 0, 'N', 0, 0), (int64_t)id, 1, 0, 0);
        book = apply(books, MARKET_DELETE, id, 'N', 0, 0);
    }
    cr_expect_eq(book->orders, 0);
    cr_expect_eq(book->unknown_orders, 0);
    market_books_destroy(books);
}

Test(market_book, clearing_all_books_forgets_their_counts)
{
    market_books *const books = make(MARKET_BOOKS_WHOLE);
    apply(books, MARKET_ADD, 1, 'B', 100, 10);
    apply(books, MARKET_DELETE, 9, 'N', 0, 0);
    market_books_clear(books);
    const market_book *const book = market_books_at(books, 0);
    cr_assert_not_null(book);
    cr_expect_eq(book->orders + book->orders_added + book->unknown_orders, 0);
    expect_top(apply(books, MARKET_ADD, 1, 'B', 90, 1), 90, 1, 0, 0);
    cr_expect_eq(book->known_orders, 0);
    market_books_destroy(books);
}

Test(market_book, prices_at_the_ends_of_their_range_keep_their_order)
{
    market_books *const books = make(MARKET_BOOKS_WHOLE);
    apply(books, MARKET_ADD, 1, 'A', INT64_MAX, 1);
    expect_top(apply(books, MARKET_ADD, 2, 'A', INT64_MIN, 2), 0, 0, INT64_MIN, 2);
    apply(books, MARKET_ADD, 3, 'B', INT64_MIN, 3);
    expect_top(apply(books, MARKET_ADD, 4, 'B', INT64_MAX, 4), INT64_MAX, 4, INT64_MIN, 2);
    apply(books, MARKET_DELETE, 2, 'N', 0, 0);
    expect_top(apply(books, MARKET_DELETE, 4, 'N', 0, 0), INT64_MIN, 3, INT64_MAX, 1);
    market_books_destroy(books);
}

Test(market_book, a_told_top_is_the_top_and_exact)
{
    market_books *const books = make(MARKET_BOOKS_PARTIAL);
    apply(books, MARKET_ADD, 1, 'B', 105, 10);
    market_message message = message_of(MARKET_ADD, 2, 'B', 100, 1);
    message.flags = MARKET_HAS_TOP;
    message.top.best_bid = 101;
    message.top.best_bid_size = 50;
    message.top.best_ask = 102;
    message.top.best_ask_size = 60;
    const market_book *book = market_books_apply(books, &message);
    expect_top(book, 101, 50, 102, 60);
    cr_expect(market_book_exact(book));
    market_level level;
    cr_assert(market_book_level(book, 0, 0, &level));
    cr_expect_eq(level.price, 100, "what is better than the told top is gone");
    book = apply(books, MARKET_STATUS, 0, 'N', 0, 0);
    expect_top(book, 100, 1, 0, 0);
    cr_expect_not(market_book_exact(book), "without the input's word a partial book is a guess");
    market_books_destroy(books);
}

Test(market_book, a_partial_book_drops_what_is_proved_to_be_gone)
{
    market_books *const books = make(MARKET_BOOKS_PARTIAL);
    apply(books, MARKET_ADD, 1, 'B', 100, 10);
    apply(books, MARKET_ADD, 2, 'B', 99, 10);
    apply(books, MARKET_ADD, 3, 'A', 104, 10);
    /* An unknown bid is executed at 99: nothing at 100 can have been there. */
    expect_top(apply(books, MARKET_EXECUTE, 77, 'B', 99, 1), 99, 10, 104, 10);
    /* A new offer at 99: the bid there must be gone. */
    expect_top(apply(books, MARKET_ADD, 4, 'A', 99, 6), 0, 0, 99, 6);
    /* A new bid at 104 takes the offers with it. */
    expect_top(apply(books, MARKET_ADD, 5, 'B', 104, 8), 104, 8, 0, 0);
    market_books_destroy(books);
}

Test(market_book, a_whole_book_may_be_crossed_before_an_auction)
{
    market_books *const books = make(MARKET_BOOKS_WHOLE);
    apply(books, MARKET_ADD, 1, 'A', 100, 10);
    expect_top(apply(books, MARKET_ADD, 2, 'B', 103, 5), 103, 5, 100, 10);
    market_books_destroy(books);
}

/* ---- against the slow book ----------------------------------------------------------------- */

#define INSTRUMENTS 3u

static uint32_t below(uint64_t *state, uint32_t limit)
{
    return (uint32_t)random_below(state, limit);
}

static market_message random_message(uint64_t *state)
{
    static const uint8_t actions[] = {MARKET_ADD,    MARKET_ADD,    MARKET_ADD,     MARKET_ADD,
                                      MARKET_REDUCE, MARKET_DELETE, MARKET_EXECUTE, MARKET_REPLACE,
                                      MARKET_MODIFY, MARKET_TRADE,  MARKET_STATUS,  MARKET_DELETE};
    market_message message = {
        .order_id = below(state, 900),
        .price = 1000 + (int64_t)(below(state, 60)),
        .quantity = below(state, 20),
        .instrument = below(state, INSTRUMENTS),
        .action = actions[below(state, sizeof actions / sizeof actions[0])],
        .side = below(state, 2) ? 'B' : 'A',
    };
    if (message.action == MARKET_MODIFY && below(state, 4) == 0)
        message.side = 'N';
    if (message.action == MARKET_REPLACE)
        message.new_order_id = below(state, 900);
    if (below(state, 2000) == 0)
        message.action = MARKET_CLEAR;
    return message;
}

static void expect_same_levels(const market_book *book, const slow_book *slow, uint32_t levels)
{
    for (int side = 0; side < 2; side++) {
        for (uint32_t index = 0; index < levels; index++) {
            const market_level expected = slow_level(slow, side == 0 ? 'B' : 'A', index);
            market_level level = {0, 0};
            const bool there = market_book_level(book, side, index, &level);
            cr_assert_eq(there, expected.quantity != 0);
            cr_assert_eq(level.quantity, expected.quantity);
            cr_assert(!there || level.price == expected.price);
        }
    }
}

static void expect_same_top(const market_book *book, const slow_book *slow, size_t index)
{
    const market_top expected = slow_top(slow);
    cr_assert_eq(memcmp(&book->top, &expected, sizeof expected), 0,
                 "message %zu: %" PRId64 " x %" PRIu64 " / %" PRId64 " x %" PRIu64 ", not %" PRId64
                 " x %" PRIu64 " / %" PRId64 " x %" PRIu64,
                 index, book->top.best_bid, book->top.best_bid_size, book->top.best_ask,
                 book->top.best_ask_size, expected.best_bid, expected.best_bid_size,
                 expected.best_ask, expected.best_ask_size);
}

Test(market_book, agrees_with_the_slow_book_on_random_messages)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        uint64_t state = seed;
        market_books *const books = make(MARKET_BOOKS_WHOLE);
        slow_book slow[INSTRUMENTS] = {0};
        for (size_t index = 0; index < 12000; index++) {
            const market_message message = random_message(&state);
            const market_book *const book = market_books_apply(books, &message);
            cr_assert_not_null(book);
            slow_apply(&slow[message.instrument], &message);
            expect_same_top(book, &slow[message.instrument], index);
            cr_assert_eq(book->orders, slow[message.instrument].count);
            cr_assert_eq(book->unknown_orders, slow[message.instrument].unknown);
            if (index % 500 == 0)
                expect_same_levels(book, &slow[message.instrument], 70);
        }
        for (uint32_t instrument = 0; instrument < INSTRUMENTS; instrument++)
            free(slow[instrument].orders);
        market_books_destroy(books);
    }
}

/* Every message is applied to both; the slow book's top is worked out at each `every`-th. */
static void compare_recording(const char *spec, uint32_t instruments, size_t every)
{
    hl_error error;
    market_recording recording;
    cr_assert_eq(market_reader_read_all(spec, NULL, &recording, &error), HL_OK, "%s", error.text);
    market_books *const books = make(MARKET_BOOKS_WHOLE);
    slow_book *const slow = calloc(instruments, sizeof *slow);
    cr_assert_not_null(slow);
    cr_assert_gt(recording.count, 0);
    for (size_t index = 0; index < recording.count; index++) {
        const market_message *const message = &recording.messages[index];
        const market_book *const book = market_books_apply(books, message);
        cr_assert_not_null(book);
        cr_assert_lt(book->number, instruments);
        slow_apply(&slow[book->number], message);
        cr_assert_eq(book->orders, slow[book->number].count);
        if (index % every == 0 || index + 1 == recording.count)
            expect_same_top(book, &slow[book->number], index);
    }
    for (uint32_t number = 0; number < instruments; number++) {
        const market_book *const book = market_books_at(books, number);
        if (book != NULL) {
            cr_expect(market_book_exact(book), "instrument %u", book->instrument);
            expect_same_levels(book, &slow[number], 20);
        }
        free(slow[number].orders);
    }
    free(slow);
    market_books_destroy(books);
    market_recording_free(&recording);
}

Test(market_book, is_exact_on_the_recorded_day_of_the_emini_future)
{
    char spec[1024];
    shared_data("dbn", "databento/esh4-glbx-mdp3-20231225.mbo.dbn.zst", spec, sizeof spec);
    compare_recording(spec, 1, 7);
}

Test(market_book, is_exact_on_a_synthetic_day)
{
    compare_recording("synthetic:7", 16, 11);
}

/* ---- against LOBSTER's own order book ------------------------------------------------------ */

/* The next number of a CSV line. */
static int64_t column(const char **at)
{
    char *end;
    const int64_t value = strtoll(*at, &end, 10);
    cr_assert_neq(end, *at);
    *at = *end == ',' ? end + 1 : end;
    return value;
}

static market_top told_top(market_stream *stream)
{
    char line[1024];
    size_t length = 0;
    while (market_stream_has(stream, 1) != 0 && *stream->at != '\n' && length < sizeof line - 1) {
        line[length++] = (char)*stream->at;
        market_stream_skip(stream, 1);
    }
    line[length] = '\0';
    market_stream_skip(stream, 1);
    const char *at = line;
    market_top top = {0};
    top.best_ask = column(&at);
    top.best_ask_size = (uint64_t)column(&at);
    top.best_bid = column(&at);
    top.best_bid_size = (uint64_t)column(&at);
    return top;
}

static void compare_with_order_book(const char *messages, const char *order_book)
{
    char spec[1024], book_path[1024];
    shared_data("lobster", messages, spec, sizeof spec);
    shared_data("file", order_book, book_path, sizeof book_path);
    hl_error error;
    market_stream *stream;
    market_recording recording;
    cr_assert_eq(market_stream_open(book_path + strlen("file:"), &stream, &error), HL_OK, "%s",
                 error.text);
    cr_assert_eq(market_reader_read_all(spec, NULL, &recording, &error), HL_OK, "%s", error.text);
    market_books *const books = make(MARKET_BOOKS_PARTIAL);
    cr_assert_gt(recording.count, 0);
    for (size_t index = 0; index < recording.count; index++) {
        const market_book *const book = market_books_apply(books, &recording.messages[index]);
        const market_top expected = told_top(stream);
        cr_assert_eq(memcmp(&book->top, &expected, sizeof expected), 0, "row %zu", index + 1);
        cr_assert(market_book_exact(book));
    }
    cr_expect_eq(market_stream_has(stream, 1), 0, "every row of the order book was compared");
    market_books_destroy(books);
    market_recording_free(&recording);
    market_stream_close(stream);
}

Test(market_book, top_of_apple_is_that_of_its_order_book_file)
{
    compare_with_order_book("lobster/AAPL_2012-06-21_34200000_57600000_message_1.csv.zst",
                            "lobster/AAPL_2012-06-21_34200000_57600000_orderbook_1.csv.zst");
}

Test(market_book, top_of_google_is_that_of_its_order_book_file)
{
    compare_with_order_book("lobster/GOOG_2012-06-21_34200000_57600000_message_10.csv.zst",
                            "lobster/GOOG_2012-06-21_34200000_57600000_orderbook_10.csv.zst");
}
