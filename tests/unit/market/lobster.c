#include "market/lobster.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "input_file.h"
#include "shared_data.h"
#include "tests/random.h"

TestSuite(lobster, .init = input_directory_make, .fini = input_directory_remove);

#define ORDERS "TST_2012-06-21_34200000_57600000_message_1.csv"
#define BOOKS  "TST_2012-06-21_34200000_57600000_orderbook_1.csv"

static const char three_orders[] = "34200.004241176,1,16113575,18,5853300,1\n"
                                   "34200.025551909,1,16120456,18,5859100,-1\n"
                                   "34200.2,3,16120456,18,5859100,-1\n";
static const char three_books[] = "5859400,200,5853300,18\n"
                                  "5859100,18,5853300,18\n"
                                  "9999999999,0,-9999999999,0\n";

static market_reader *open_named(const char *name, uint64_t max_errors)
{
    market_reader *reader;
    hl_error error;
    const market_reader_options options = {.max_errors = max_errors};
    const hl_status status =
        market_reader_open(input_spec("lobster", name), &options, &reader, &error);
    cr_assert_eq(status, HL_OK, "%s", error.text);
    return reader;
}

static market_message read_next(market_reader *reader)
{
    market_message message;
    hl_error error;
    const hl_status status = market_reader_next(reader, &message, &error);
    cr_assert_eq(status, HL_OK, "%s", error.text);
    return message;
}

Test(lobster, reads_the_columns)
{
    input_write_text(ORDERS, three_orders);
    market_reader *const reader = open_named(ORDERS, 0);
    market_message message = read_next(reader);
    cr_expect_eq(message.exchange_ns, 34200004241176);
    cr_expect_eq(message.raw_type, 1);
    cr_expect_eq(message.action, MARKET_ADD);
    cr_expect_eq(message.order_id, 16113575);
    cr_expect_eq(message.quantity, 18);
    cr_expect_eq(message.price, 5853300);
    cr_expect_eq(message.side, 'B');
    cr_expect_eq(message.instrument, 1);
    cr_expect_eq(message.flags, 0, "no order-book file, no top");
    cr_expect_eq(read_next(reader).side, 'A');
    message = read_next(reader);
    cr_expect_eq(message.exchange_ns, 34200200000000, "one decimal is tenths");
    cr_expect_eq(message.action, MARKET_DELETE);
    cr_expect_eq(market_reader_next(reader, &message, NULL), HL_NOT_FOUND);
    cr_expect_str_eq(market_reader_symbol(reader, 1), "TST");
    cr_expect_str_eq(market_reader_symbol(reader, 2), "?");
    cr_expect_str_empty(market_reader_report(reader)->order_book_path);
    market_reader_close(reader);
}

Test(lobster, maps_every_type)
{
    static const uint8_t actions[] = {MARKET_ADD,   MARKET_REDUCE, MARKET_DELETE, MARKET_EXECUTE,
                                      MARKET_TRADE, MARKET_TRADE,  MARKET_STATUS};
    input_write_text("all.csv", "1.1,1,1,1,1,1\n1.1,2,1,1,1,1\n1.1,3,1,1,1,1\n1.1,4,1,1,1,1\n"
                                "1.1,5,0,1,1,1\n1.1,6,0,1,1,1\n1.1,7,0,0,-1,-1\n");
    market_reader *const reader = open_named("all.csv", 0);
    for (uint8_t type = 1; type <= 7; type++) {
        const market_message message = read_next(reader);
        cr_expect_eq(message.raw_type, type);
        cr_expect_eq(message.action, actions[type - 1], "%d", type);
        cr_expect_eq(market_reader_report(reader)->by_type[type], 1);
    }
    market_reader_close(reader);
}

static void expect_tops(const char *name)
{
    market_reader *const reader = open_named(name, 0);
    market_message message = read_next(reader);
    cr_expect_eq(message.flags, MARKET_HAS_TOP);
    cr_expect_eq(message.top.best_ask, 5859400);
    cr_expect_eq(message.top.best_ask_size, 200);
    cr_expect_eq(message.top.best_bid, 5853300);
    cr_expect_eq(message.top.best_bid_size, 18);
    cr_expect_eq(read_next(reader).top.best_ask_size, 18);
    message = read_next(reader);
    cr_expect_eq(message.flags, MARKET_HAS_TOP, "an empty book is known to be empty");
    cr_expect_eq(message.top.best_ask_size, 0);
    cr_expect_eq(message.top.best_bid_size, 0);
    cr_expect_eq(message.top.best_ask, 0);
    cr_expect_eq(message.top.best_bid, 0);
    cr_expect_eq(market_reader_next(reader, &message, NULL), HL_NOT_FOUND);
    cr_expect_not_null(strstr(market_reader_report(reader)->order_book_path, "_orderbook_1.csv"));
    market_reader_close(reader);
}

Test(lobster, finds_the_order_book_beside_it_however_both_are_packed)
{
    static const char *const endings[PACKINGS] = {[PLAIN] = "", [GZIP] = ".gz", [ZSTD] = ".zst"};
    for (input_packing orders = PLAIN; orders < PACKINGS; orders++) {
        for (input_packing books = PLAIN; books < PACKINGS; books++) {
            char orders_name[128], books_name[128];
            snprintf(orders_name, sizeof orders_name, "%s%s", ORDERS, endings[orders]);
            snprintf(books_name, sizeof books_name, "%s%s", BOOKS, endings[books]);
            input_write(orders_name, three_orders, strlen(three_orders), orders);
            input_write(books_name, three_books, strlen(three_books), books);
            expect_tops(orders_name);
            remove(input_path(orders_name));
            remove(input_path(books_name));
        }
    }
}

Test(lobster, takes_windows_line_ends_and_a_last_line_without_one)
{
    input_write_text("dos.csv", "1.1,1,1,1,1,1\r\n1.2,1,2,1,1,-1\r\n1.3,1,3,1,1,-1");
    market_reader *const reader = open_named("dos.csv", 0);
    cr_expect_eq(read_to_end(reader, NULL), HL_NOT_FOUND);
    cr_expect_eq(market_reader_report(reader)->messages, 3);
    market_reader_close(reader);
}

/* Both readings of a file with bad lines: stopping at the first, and going on. */
static void expect_bad(const char *name, const char *sentence, uint64_t good, uint64_t bad)
{
    hl_error error = {0};
    market_reader *reader = open_named(name, 0);
    cr_expect_eq(read_to_end(reader, &error), HL_BAD_INPUT);
    cr_expect_not_null(strstr(error.text, sentence), "\"%s\" lacks \"%s\"", error.text, sentence);
    market_reader_close(reader);

    reader = open_named(name, bad);
    cr_expect_eq(read_to_end(reader, &error), HL_NOT_FOUND, "%s", error.text);
    const market_input_report *const report = market_reader_report(reader);
    cr_expect_eq(report->messages, good, "%s: %lu messages", sentence, report->messages);
    cr_expect_eq(report->bad_records, bad, "%s: %lu bad", sentence, report->bad_records);
    cr_expect_not_null(strstr(report->first_bad.text, sentence), "%s", report->first_bad.text);
    market_reader_close(reader);
}

Test(lobster, says_what_is_wrong_with_a_line)
{
    static const struct {
        const char *line;
        const char *sentence;
    } cases[] = {
        {"34200.1,1,5,18,100", "bad.csv:2: 5 columns: a line has 6"},
        {"34200.1,1,5,18,100,1,9", "bad.csv:2: 7 columns: a line has 6"},
        {"", "bad.csv:2: 0 columns: a line has 6"},
        {"\x01\x02 garbage \xff", "bad.csv:2: 1 columns: a line has 6"},
        {"noon,1,5,18,100,1", "bad.csv:2: column 1, time: \"noon\" is not a time in seconds"},
        {"-1,1,5,18,100,1", "bad.csv:2: column 1, time: \"-1\" is not a time in seconds"},
        {"86400,1,5,18,100,1", "bad.csv:2: column 1, time: \"86400\" is not a time in seconds"},
        {"1.1234567890,1,5,18,100,1", "column 1, time: \"1.1234567890\" is not a time"},
        {"34200.1,8,5,18,100,1", "bad.csv:2: column 2, type: \"8\" is not a type from 1 to 7"},
        {"34200.1,x,5,18,100,1", "bad.csv:2: column 2, type: \"x\" is not a whole number"},
        {"34200.1,1,-5,18,100,1", "bad.csv:2: column 3, order id: \"-5\" is not an order id"},
        {"34200.1,1,5,-18,100,1", "bad.csv:2: column 4, size: \"-18\" is not a size from 1 to"},
        {"34200.1,1,5,0,100,1", "bad.csv:2: column 4, size: \"0\" is not a size from 1 to"},
        {"34200.1,1,5,2147483648,100,1", "column 4, size: \"2147483648\" is not a size from 1"},
        {"34200.1,1,5,1e3,100,1", "column 4, size: \"1e3\" is not a number and nothing else"},
        {"34200.1,1,5,,100,1", "bad.csv:2: column 4, size: \"\" is not a whole number"},
        {"34200.1,1,5,18,0,1", "bad.csv:2: column 5, price: \"0\" is not a price"},
        {"34200.1,1,5,18,18446744073709551617,1",
         "column 5, price: \"18446744073709551617\" is not a number and nothing else"},
        {"34200.1,7,0,0,5,-1", "column 5, price: \"5\" is not -1, 0 or 1, as a halt has it"},
        {"34200.1,1,5,18,100,2", "bad.csv:2: column 6, direction: \"2\" is not 1 or -1"},
        {"34200.1,1,5,18,100,1 ", "column 6, direction: \"1 \" is not a number and nothing else"},
        {"34200.1,1,5,18,100,-", "bad.csv:2: column 6, direction: \"-\" is not a whole number"},
        {"3\x01"
         "4200.1,1,5,18,100,-1",
         "column 1, time: \"3?4200.1\" is not a number"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[512];
        snprintf(text, sizeof text, "1.1,1,1,1,1,1\n%s\n1.2,1,2,1,1,1\n1.3,1,3,1,1,1\n",
                 cases[i].line);
        input_write_text("bad.csv", text);
        expect_bad("bad.csv", cases[i].sentence, 3, 1);
    }
}

Test(lobster, skips_a_line_longer_than_any_line)
{
    const size_t size_bytes = 2 << 20;
    char *const text = malloc(size_bytes);
    cr_assert_not_null(text);
    memset(text, '7', size_bytes);
    memcpy(text, "1.1,1,1,1,1,1\n", 14);
    memcpy(text + size_bytes - 15, "\n1.1,1,1,1,1,1\n", 15);
    input_write("bad.csv", text, size_bytes, PLAIN);
    expect_bad("bad.csv", "bad.csv:2: a line of more than 65536 bytes", 2, 1);
    free(text);
}

Test(lobster, keeps_both_files_in_step_when_a_line_of_either_is_bad)
{
    static const char orders_with_bad[] = "1.1,1,1,1,1,1\nbad\n1.3,1,3,1,1,1\n";
    static const char books_with_bad[] = "1,1,1,1\n2,-2,2,2\n3,3,3,3\n";
    static const char good_books[] = "1,1,1,1\n2,2,2,2\n3,3,3,3\n";
    static const struct {
        const char *orders;
        const char *books;
        const char *sentence;
    } cases[] = {
        {orders_with_bad, good_books, "_message_1.csv:2: 1 columns"},
        {three_orders, books_with_bad,
         "_orderbook_1.csv:2: column 2, ask size: \"-2\" is not a size from 0 to"},
        {orders_with_bad, books_with_bad, "_message_1.csv:2: 1 columns"},
        {three_orders, "1,1,1,1\n2,2,2\n3,3,3,3\n",
         "_orderbook_1.csv:2: 3 columns: the first row has 4"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        input_write_text(ORDERS, cases[i].orders);
        input_write_text(BOOKS, cases[i].books);
        expect_bad(ORDERS, cases[i].sentence, 2, 1);
        market_reader *const reader = open_named(ORDERS, 1);
        cr_expect_eq(read_next(reader).top.best_ask, 1);
        cr_expect_eq(read_next(reader).top.best_ask, 3, "the third row with the third message");
        market_reader_close(reader);
    }
}

Test(lobster, misses_the_rows_of_an_order_book_that_is_too_short_or_too_long)
{
    input_write_text(ORDERS, three_orders);
    input_write_text(BOOKS, "1,1,1,1\n");
    expect_bad(ORDERS, "_orderbook_1.csv:2: ends here, before the row of ", 1, 2);
    input_write_text(BOOKS, "1,1,1,1\n2,2,2,2\n3,3,3,3\n4,4,4,4\n5,5,5,5\n");
    expect_bad(ORDERS, "_orderbook_1.csv:4: a row without a message", 3, 1);
}

static void expect_refused(const char *part)
{
    market_reader *reader = NULL;
    hl_error error = {0};
    cr_expect_eq(market_reader_open(input_spec("lobster", ORDERS), NULL, &reader, &error),
                 HL_BAD_INPUT);
    cr_expect_not_null(strstr(error.text, part), "\"%s\" lacks \"%s\"", error.text, part);
    cr_expect_null(reader);
}

Test(lobster, refuses_files_of_another_kind)
{
    input_write_text(ORDERS, "time,type,id,size,price,direction\n1.1,1,1,1,1,1\n");
    expect_refused(":1: column 1, time: \"time\" is not a time");
    input_write_text(ORDERS, three_books); /* the two are easily taken for each other */
    expect_refused(":1: 4 columns: a line has 6");
    input_write_text(ORDERS, three_orders);
    input_write_text(BOOKS, three_orders);
    expect_refused(":1: 6 columns: an order-book file has 4 a level");
    input_write_text(BOOKS, "");
    expect_refused("_orderbook_1.csv: byte 0: is empty");
}

Test(lobster, goes_on_when_told_so_where_the_packed_order_book_is_cut)
{
    char books[30000];
    char orders[sizeof books];
    uint64_t state = 5;
    size_t book_bytes = 0, order_bytes = 0;
    for (int i = 0; i < 500; i++) {
        const unsigned price = (unsigned)(random_next(&state) >> 40);
        book_bytes += (size_t)snprintf(books + book_bytes, sizeof books - book_bytes, "%u,1,%u,1\n",
                                       price + 2, price + 1);
        order_bytes += (size_t)snprintf(orders + order_bytes, sizeof orders - order_bytes,
                                        "1.1,1,%d,1,1,1\n", i);
    }
    input_write_text(ORDERS, orders);
    input_write(BOOKS ".gz", books, book_bytes, GZIP);
    cr_assert_eq(truncate(input_path(BOOKS ".gz"), 2000), 0);
    market_reader *const reader = open_named(ORDERS, 1);
    cr_expect_eq(read_to_end(reader, NULL), HL_NOT_FOUND);
    const market_input_report *const report = market_reader_report(reader);
    cr_expect_gt(report->messages, 100);
    cr_expect_lt(report->messages, 400);
    cr_expect_eq(report->bad_records, 1);
    cr_expect_not_null(strstr(report->first_bad.text, "cut off"), "%s", report->first_bad.text);
    market_reader_close(reader);
}

static void expect_recorded(const char *path, const uint64_t want[8])
{
    char spec[MARKET_PATH_MAX];
    shared_data("lobster", path, spec, sizeof spec);
    market_recording recording;
    hl_error error;
    const hl_status status = market_reader_read_all(spec, NULL, &recording, &error);
    cr_assert_eq(status, HL_OK, "%s", error.text);
    const market_input_report *const report = market_reader_report(recording.reader);
    uint64_t sum = 0;
    for (int type = 0; type < 8; type++) {
        cr_expect_eq(report->by_type[type], want[type], "type %d", type);
        sum += want[type];
    }
    cr_expect_eq(recording.count, sum);
    cr_expect_eq(report->bad_records, 0);
    for (size_t i = 0; i < recording.count; i++) {
        const market_message *const message = &recording.messages[i];
        cr_assert(message->flags & MARKET_HAS_TOP);
        cr_assert_lt(message->top.best_bid, message->top.best_ask, "row %zu", i + 1);
        cr_assert(i == 0 || message->exchange_ns >= recording.messages[i - 1].exchange_ns);
    }
    market_recording_free(&recording);
}

Test(lobster, reads_the_recorded_day_of_aapl)
{
    expect_recorded("lobster/AAPL_2012-06-21_34200000_57600000_message_1.csv.zst",
                    (const uint64_t[8]){0, 54818, 252, 28437, 23658, 11332, 0, 0});
}

Test(lobster, reads_the_recorded_day_of_goog)
{
    expect_recorded("lobster/GOOG_2012-06-21_34200000_57600000_message_10.csv.zst",
                    (const uint64_t[8]){0, 71258, 19, 64961, 7765, 3913, 0, 0});
}
