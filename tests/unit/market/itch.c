#include "market/itch.h"

#include <criterion/criterion.h>
#include <string.h>

#include "input_file.h"
#include "shared_data.h"
#include "tests/random.h"

TestSuite(itch, .init = input_directory_make, .fini = input_directory_remove);

static byte_row row; /* zero in each test: a process of its own */

static market_reader *open_row(uint64_t max_errors)
{
    input_write("day.itch", row.bytes, row.size_bytes, PLAIN);
    market_reader *reader;
    hl_error error;
    const market_reader_options options = {.max_errors = max_errors};
    const hl_status status =
        market_reader_open(input_spec("itch", "day.itch"), &options, &reader, &error);
    cr_assert_eq(status, HL_OK, "%s", error.text);
    return reader;
}

static market_message read_one(void)
{
    market_reader *const reader = open_row(0);
    market_message message;
    hl_error error;
    const hl_status status = market_reader_next(reader, &message, &error);
    cr_assert_eq(status, HL_OK, "%s", error.text);
    market_reader_close(reader);
    return message;
}

Test(itch, knows_every_type_of_the_specification_with_its_length)
{
    static const struct {
        char type;
        size_t length_bytes;
    } types[] = {{'S', 12}, {'R', 39}, {'H', 25}, {'Y', 20}, {'L', 26}, {'V', 35},
                 {'W', 12}, {'K', 28}, {'J', 35}, {'h', 21}, {'A', 36}, {'F', 40},
                 {'E', 31}, {'C', 36}, {'X', 23}, {'D', 19}, {'U', 35}, {'P', 44},
                 {'Q', 40}, {'B', 19}, {'I', 50}, {'N', 20}, {'O', 48}};
    size_t known = 0;
    for (int type = 0; type < 256; type++)
        known += market_itch_length_bytes((uint8_t)type) != 0;
    cr_expect_eq(known, sizeof types / sizeof types[0]);
    for (size_t i = 0; i < known; i++)
        cr_expect_eq(market_itch_length_bytes((uint8_t)types[i].type), types[i].length_bytes, "%c",
                     types[i].type);
}

Test(itch, reads_the_administrative_types_as_status)
{
    static const char types[] = "SHYLVWKJhINO";
    for (const char *type = types; *type != '\0'; type++)
        append_itch(&row, *type, 3, 1000);
    market_reader *const reader = open_row(0);
    for (const char *type = types; *type != '\0'; type++) {
        market_message message;
        cr_assert_eq(market_reader_next(reader, &message, NULL), HL_OK);
        cr_expect_eq(message.raw_type, *type);
        cr_expect_eq(message.action, MARKET_STATUS, "%c", *type);
        cr_expect_eq(message.instrument, 3);
        cr_expect_eq(message.exchange_ns, 1000);
        cr_expect_eq(message.side, 'N');
    }
    market_reader_close(reader);
}

Test(itch, reads_an_add)
{
    const size_t add = append_itch_add(&row, 0x0102030405060708);
    set_big_endian(&row, add + 2 + 5, 86399999999999, 6);
    const market_message message = read_one();
    cr_expect_eq(message.action, MARKET_ADD);
    cr_expect_eq(message.raw_type, 'A');
    cr_expect_eq(message.exchange_ns, 86399999999999);
    cr_expect_eq(message.instrument, 7);
    cr_expect_eq(message.order_id, 0x0102030405060708);
    cr_expect_eq(message.side, 'B');
    cr_expect_eq(message.quantity, 100);
    cr_expect_eq(message.price, 100000);
    cr_expect_eq(message.flags, 0);
}

Test(itch, reads_an_attributed_offer)
{
    const size_t add = append_itch(&row, 'F', 7, 5);
    set_big_endian(&row, add + 2 + 11, 42, 8);
    set_big_endian(&row, add + 2 + 19, 'S', 1);
    set_big_endian(&row, add + 2 + 20, INT32_MAX, 4);
    memcpy(row.bytes + add + 2 + 24, "TEST    ", 8);
    set_big_endian(&row, add + 2 + 32, UINT32_MAX, 4);
    const market_message message = read_one();
    cr_expect_eq(message.action, MARKET_ADD);
    cr_expect_eq(message.side, 'A');
    cr_expect_eq(message.quantity, INT32_MAX);
    cr_expect_eq(message.price, UINT32_MAX, "a price is never negative");
}

Test(itch, reads_executions_reductions_and_deletions)
{
    size_t at = append_itch(&row, 'E', 7, 5);
    set_big_endian(&row, at + 2 + 11, 42, 8);
    set_big_endian(&row, at + 2 + 19, 60, 4);
    at = append_itch(&row, 'C', 7, 5);
    set_big_endian(&row, at + 2 + 11, 43, 8);
    set_big_endian(&row, at + 2 + 19, 61, 4);
    set_big_endian(&row, at + 2 + 32, 990000, 4);
    at = append_itch(&row, 'X', 7, 5);
    set_big_endian(&row, at + 2 + 11, 44, 8);
    set_big_endian(&row, at + 2 + 19, 62, 4);
    at = append_itch(&row, 'D', 7, 5);
    set_big_endian(&row, at + 2 + 11, 45, 8);
    static const market_message want[] = {
        {.action = MARKET_EXECUTE, .order_id = 42, .quantity = 60},
        {.action = MARKET_EXECUTE, .order_id = 43, .quantity = 61, .price = 990000},
        {.action = MARKET_REDUCE, .order_id = 44, .quantity = 62},
        {.action = MARKET_DELETE, .order_id = 45},
    };
    market_reader *const reader = open_row(0);
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        market_message message;
        cr_assert_eq(market_reader_next(reader, &message, NULL), HL_OK);
        cr_expect_eq(message.action, want[i].action, "%zu", i);
        cr_expect_eq(message.order_id, want[i].order_id, "%zu", i);
        cr_expect_eq(message.quantity, want[i].quantity, "%zu", i);
        cr_expect_eq(message.price, want[i].price, "%zu", i);
    }
    market_reader_close(reader);
}

Test(itch, reads_a_replacement)
{
    const size_t at = append_itch(&row, 'U', 7, 5);
    set_big_endian(&row, at + 2 + 11, 42, 8);
    set_big_endian(&row, at + 2 + 19, 43, 8);
    set_big_endian(&row, at + 2 + 27, 500, 4);
    set_big_endian(&row, at + 2 + 31, 123400, 4);
    const market_message message = read_one();
    cr_expect_eq(message.action, MARKET_REPLACE);
    cr_expect_eq(message.order_id, 42);
    cr_expect_eq(message.new_order_id, 43);
    cr_expect_eq(message.quantity, 500);
    cr_expect_eq(message.price, 123400);
}

Test(itch, reads_trades_crosses_and_broken_trades)
{
    size_t at = append_itch(&row, 'P', 7, 5);
    set_big_endian(&row, at + 2 + 11, 0, 8);
    set_big_endian(&row, at + 2 + 19, 'B', 1);
    set_big_endian(&row, at + 2 + 20, 300, 4);
    memcpy(row.bytes + at + 2 + 24, "TEST    ", 8);
    set_big_endian(&row, at + 2 + 32, 123400, 4);
    at = append_itch(&row, 'Q', 7, 5);
    set_big_endian(&row, at + 2 + 11, 0, 8); /* an opening cross in which nothing traded */
    memcpy(row.bytes + at + 2 + 19, "TEST    ", 8);
    set_big_endian(&row, at + 2 + 27, 123500, 4);
    at = append_itch(&row, 'B', 7, 5);
    set_big_endian(&row, at + 2 + 11, 77, 8);
    market_reader *const reader = open_row(0);
    market_message message;
    cr_assert_eq(market_reader_next(reader, &message, NULL), HL_OK);
    cr_expect_eq(message.action, MARKET_TRADE);
    cr_expect_eq(message.quantity, 300);
    cr_expect_eq(message.price, 123400);
    cr_assert_eq(market_reader_next(reader, &message, NULL), HL_OK);
    cr_expect_eq(message.action, MARKET_TRADE);
    cr_expect_eq(message.quantity, 0);
    cr_expect_eq(message.price, 123500);
    cr_assert_eq(market_reader_next(reader, &message, NULL), HL_OK);
    cr_expect_eq(message.action, MARKET_STATUS);
    cr_expect_eq(message.order_id, 77);
    market_reader_close(reader);
}

Test(itch, takes_the_symbol_from_the_directory_or_from_an_order)
{
    const size_t at = append_itch(&row, 'R', 12, 5);
    memcpy(row.bytes + at + 2 + 11, "ABC.D   ", 8);
    append_itch_add(&row, 1);
    market_reader *const reader = open_row(0);
    cr_expect_str_eq(market_reader_symbol(reader, 12), "?", "not read yet");
    cr_assert_eq(read_to_end(reader, NULL), HL_NOT_FOUND);
    cr_expect_str_eq(market_reader_symbol(reader, 12), "ABC.D");
    cr_expect_str_eq(market_reader_symbol(reader, 7), "TEST");
    cr_expect_str_eq(market_reader_symbol(reader, 8), "?");
    cr_expect_str_eq(market_reader_symbol(reader, UINT32_MAX), "?");
    market_reader_close(reader);
}

Test(itch, ends_at_the_closing_mark)
{
    append_itch_add(&row, 1);
    append_big_endian(&row, 0, 2);
    market_reader *const reader = open_row(0);
    cr_expect_eq(read_to_end(reader, NULL), HL_NOT_FOUND);
    cr_expect_eq(market_reader_report(reader)->messages, 1);
    cr_expect_eq(market_reader_report(reader)->bad_records, 0);
    market_reader_close(reader);
}

/* ---- bad input: the second of five adds is spoiled ---- */

#define ADD_BYTES  ((size_t)38)
#define ADDS       5
#define SPOILED_AT ADD_BYTES

static void make_adds(void)
{
    for (uint64_t i = 1; i <= ADDS; i++)
        append_itch_add(&row, i);
}

static void insert(size_t offset, const void *bytes, size_t size_bytes)
{
    memmove(row.bytes + offset + size_bytes, row.bytes + offset, row.size_bytes - offset);
    memcpy(row.bytes + offset, bytes, size_bytes);
    row.size_bytes += size_bytes;
}

/* Reads what is in `row` twice: stopping at the bad record, and going on after it. */
static void expect_bad(const char *sentence, uint64_t good, uint64_t bad, uint64_t skipped_bytes)
{
    hl_error error = {0};
    market_reader *reader = open_row(0);
    cr_expect_eq(read_to_end(reader, &error), HL_BAD_INPUT);
    cr_expect_not_null(strstr(error.text, sentence), "\"%s\" lacks \"%s\"", error.text, sentence);
    cr_expect_not_null(strstr(error.text, "1 bad records so far"), "%s", error.text);
    cr_expect_eq(market_reader_report(reader)->bad_records, 1);
    market_reader_close(reader);

    reader = open_row(bad);
    const market_input_report *const report = market_reader_report(reader);
    cr_expect_eq(read_to_end(reader, &error), HL_NOT_FOUND, "%s", error.text);
    cr_expect_eq(report->messages, good, "%lu messages", report->messages);
    cr_expect_eq(report->by_type['A'], good);
    cr_expect_eq(report->bad_records, bad, "%lu bad", report->bad_records);
    cr_expect_eq(report->skipped_bytes, skipped_bytes, "%lu skipped", report->skipped_bytes);
    cr_expect_eq(report->first_bad.status, HL_BAD_INPUT);
    cr_expect_not_null(strstr(report->first_bad.text, sentence), "%s", report->first_bad.text);
    market_reader_close(reader);
}

Test(itch, skips_an_unknown_type)
{
    make_adds();
    row.bytes[SPOILED_AT + 2] = 'z';
    expect_bad("byte 38: unknown message type 'z' (0x7a) with length 36", 4, 1, ADD_BYTES);
}

Test(itch, skips_a_type_whose_length_is_another)
{
    make_adds();
    row.bytes[SPOILED_AT + 2] = 'F';
    expect_bad("byte 38: length 36 for message type 'F' (0x46), which has 40", 4, 1, ADD_BYTES);
}

Test(itch, finds_the_next_record_after_an_impossible_length)
{
    make_adds();
    set_big_endian(&row, SPOILED_AT, 65535, 2);
    expect_bad("byte 38: length 65535 for message type 'A' (0x41), which has 36", 4, 1, ADD_BYTES);
}

Test(itch, trusts_no_wrong_length_even_when_it_leads_to_a_record)
{
    make_adds();
    set_big_endian(&row, SPOILED_AT, 2 * ADD_BYTES - 2, 2);
    expect_bad("byte 38: length 74 for message type 'A' (0x41), which has 36", 4, 1, ADD_BYTES);
}

Test(itch, finds_the_next_record_after_a_zero_length_in_the_middle)
{
    make_adds();
    insert(SPOILED_AT, "\0\0", 2);
    expect_bad("byte 38: unknown message type 0x00 with length 0", 5, 1, 2);
}

Test(itch, finds_the_next_record_after_garbage)
{
    make_adds();
    uint8_t garbage[333];
    uint64_t state = 3;
    for (size_t i = 0; i < sizeof garbage; i++)
        garbage[i] = (uint8_t)(random_next(&state) | 0x80);
    insert(SPOILED_AT, garbage, sizeof garbage);
    expect_bad("byte 38: unknown message type", 5, 1, sizeof garbage);
}

Test(itch, says_that_the_file_ends_inside_a_record)
{
    make_adds();
    row.size_bytes -= 10;
    expect_bad("byte 152: the file ends inside a record of type 'A' (0x41), after 28 of 38 bytes",
               4, 1, 28);
}

Test(itch, says_that_the_file_ends_inside_a_length)
{
    make_adds();
    append(&row, "\0", 1);
    expect_bad("byte 190: the file ends inside a record, after 1 of its bytes", 5, 1, 1);
}

Test(itch, skips_a_record_with_an_impossible_value_alone)
{
    static const struct {
        size_t offset;
        uint8_t value;
        const char *sentence;
    } cases[] = {
        {2 + 19, 'x', "byte 38: message type 'A': the side is neither 'B' nor 'S'"},
        {2 + 20, 0x80, "byte 38: message type 'A': the number of shares is not between 1 and"},
        {2 + 23, 0, "byte 38: message type 'A': the number of shares is not between 1 and"},
        {2 + 25, 0x07, "byte 38: message type 'A': the stock name is not printable text"},
        {2 + 5, 0xff, "byte 38: message type 'A': the time of day is past midnight"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        row.size_bytes = 0;
        make_adds();
        row.bytes[SPOILED_AT + cases[i].offset] = cases[i].value;
        /* Bad neighbours are two records, not one lost stretch. */
        expect_bad(cases[i].sentence, 4, 1, ADD_BYTES);
        row.bytes[2 * ADD_BYTES + 2 + 19] = '?';
        expect_bad(cases[i].sentence, 3, 2, 2 * ADD_BYTES);
    }
}

Test(itch, goes_on_to_the_closing_mark_after_a_bad_record)
{
    make_adds();
    append_big_endian(&row, 0, 2);
    row.bytes[3 * ADD_BYTES + 2] = 'z';
    expect_bad("byte 114: unknown message type 'z'", 4, 1, ADD_BYTES);
}

Test(itch, refuses_a_file_of_another_kind)
{
    static const char *const others[] = {"DBN\1 and so on", "34200.1,1,1,1,1,1\n",
                                         "\x7f"
                                         "ELF....",
                                         "x"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        input_write_text("other", others[i]);
        market_reader *reader = NULL;
        hl_error error = {0};
        cr_expect_eq(market_reader_open(input_spec("itch", "other"), NULL, &reader, &error),
                     HL_BAD_INPUT);
        cr_expect_not_null(strstr(error.text, "no ITCH 5.0 file"), "%s", error.text);
        cr_expect_null(reader);
    }
}

Test(itch, reads_the_recorded_start_of_a_day)
{
    char spec[MARKET_PATH_MAX];
    shared_data("itch", "itch/itch50_session_start_1000.itch", spec, sizeof spec);
    market_recording recording;
    hl_error error;
    const hl_status status = market_reader_read_all(spec, NULL, &recording, &error);
    cr_assert_eq(status, HL_OK, "%s", error.text);
    const market_input_report *const report = market_reader_report(recording.reader);
    cr_expect_eq(recording.count, 1000);
    cr_expect_eq(report->by_type['S'], 1);
    cr_expect_eq(report->by_type['R'], 993);
    cr_expect_eq(report->by_type['H'], 3);
    cr_expect_eq(report->by_type['Y'], 3);
    cr_expect_eq(report->bad_records, 0);
    for (size_t i = 1; i < recording.count; i++)
        cr_assert_gt(recording.messages[i].exchange_ns, recording.messages[i - 1].exchange_ns);
    market_recording_free(&recording);
}
