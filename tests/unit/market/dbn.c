#include "market/dbn.h"

#include <criterion/criterion.h>
#include <string.h>

#include "input_file.h"
#include "shared_data.h"

TestSuite(dbn, .init = input_directory_make, .fini = input_directory_remove);

static byte_row row; /* zero in each test: a process of its own */

#define RECORD_BYTES ((size_t)56)

static market_reader *open_row(uint64_t max_errors)
{
    input_write("day.dbn", row.bytes, row.size_bytes, ZSTD);
    market_reader *reader;
    hl_error error;
    const market_reader_options options = {.max_errors = max_errors};
    const hl_status status =
        market_reader_open(input_spec("dbn", "day.dbn"), &options, &reader, &error);
    cr_assert_eq(status, HL_OK, "%s", error.text);
    return reader;
}

Test(dbn, reads_every_action)
{
    static const struct {
        char letter;
        uint8_t action;
    } actions[] = {{'A', MARKET_ADD},   {'C', MARKET_REDUCE}, {'M', MARKET_MODIFY},
                   {'F', MARKET_TRADE}, {'T', MARKET_TRADE},  {'R', MARKET_CLEAR},
                   {'N', MARKET_STATUS}};
    const size_t count = sizeof actions / sizeof actions[0];
    append_dbn_metadata(&row);
    for (size_t i = 0; i < count; i++)
        append_dbn(&row, actions[i].letter, 'A', i, 4799000000000, 6, 0);
    market_reader *const reader = open_row(0);
    for (size_t i = 0; i < count; i++) {
        market_message message;
        cr_assert_eq(market_reader_next(reader, &message, NULL), HL_OK);
        cr_expect_eq(message.action, actions[i].action, "%c", actions[i].letter);
        cr_expect_eq(message.raw_type, actions[i].letter);
        cr_expect_eq(message.order_id, i);
        cr_expect_eq(message.price, 4799000000000);
        cr_expect_eq(message.side, 'A');
        cr_expect_eq(message.instrument, 17077);
        cr_expect_eq(message.exchange_ns, 1703541600000000000 + DBN_START + i * RECORD_BYTES);
        cr_expect_eq(message.quantity,
                     message.action == MARKET_CLEAR || message.action == MARKET_STATUS ? 0 : 6);
    }
    cr_expect_str_eq(market_reader_symbol(reader, 17077), "17077");
    market_reader_close(reader);
}

Test(dbn, carries_the_flags_over)
{
    append_dbn_metadata(&row);
    append_dbn(&row, 'A', 'B', 1, -5, 1, 0x28); /* spreads have negative prices */
    append_dbn(&row, 'A', 'B', 2, 5, 1, 0x82);
    append_dbn(&row, 'T', 'N', 3, INT64_MAX, 1, 0);
    market_reader *const reader = open_row(0);
    market_message message;
    cr_assert_eq(market_reader_next(reader, &message, NULL), HL_OK);
    cr_expect_eq(message.flags, MARKET_SNAPSHOT);
    cr_expect_eq(message.price, -5);
    cr_assert_eq(market_reader_next(reader, &message, NULL), HL_OK);
    cr_expect_eq(message.flags, MARKET_LAST);
    cr_assert_eq(market_reader_next(reader, &message, NULL), HL_OK);
    cr_expect_eq(message.flags, 0);
    cr_expect_eq(message.price, 0, "an undefined price");
    market_reader_close(reader);
}

Test(dbn, counts_records_of_other_schemas)
{
    static const uint8_t definition[360] = {90, 0x13};
    append_dbn_metadata(&row);
    append(&row, definition, sizeof definition);
    append_dbn(&row, 'A', 'B', 1, 5, 1, 0);
    append(&row, definition, sizeof definition);
    market_reader *const reader = open_row(0);
    cr_expect_eq(read_to_end(reader, NULL), HL_NOT_FOUND);
    cr_expect_eq(market_reader_report(reader)->messages, 1);
    cr_expect_eq(market_reader_report(reader)->other_records, 2);
    cr_expect_eq(market_reader_report(reader)->bad_records, 0);
    market_reader_close(reader);
}

Test(dbn, reads_records_that_end_with_the_time_they_were_sent)
{
    append_dbn_metadata(&row);
    row.bytes[8 + 52] = 1; /* ts_out */
    for (uint64_t i = 0; i < 5; i++) {
        const size_t at = append_dbn(&row, 'A', 'B', i, 5, 1, 0);
        append_little_endian(&row, 1703541600000000000, 8);
        row.bytes[at] = 16;
    }
    market_reader *const reader = open_row(0);
    cr_expect_eq(read_to_end(reader, NULL), HL_NOT_FOUND);
    cr_expect_eq(market_reader_report(reader)->messages, 5);
    market_reader_close(reader);
}

/* ---- bad input: the second of five adds is spoiled ---- */

#define SPOILED_AT (DBN_START + RECORD_BYTES)

static void make_adds(void)
{
    row.size_bytes = 0;
    append_dbn_metadata(&row);
    for (uint64_t i = 0; i < 5; i++)
        append_dbn(&row, 'A', 'B', i, 4799000000000, 6, 0x82);
}

static void expect_bad(const char *sentence, uint64_t good, uint64_t bad, uint64_t skipped_bytes)
{
    hl_error error = {0};
    market_reader *reader = open_row(0);
    cr_expect_eq(read_to_end(reader, &error), HL_BAD_INPUT);
    cr_expect_not_null(strstr(error.text, sentence), "\"%s\" lacks \"%s\"", error.text, sentence);
    market_reader_close(reader);

    reader = open_row(bad);
    const market_input_report *const report = market_reader_report(reader);
    cr_expect_eq(read_to_end(reader, &error), HL_NOT_FOUND, "%s", error.text);
    cr_expect_eq(report->messages, good, "%s: %lu messages", sentence, report->messages);
    cr_expect_eq(report->bad_records, bad, "%s: %lu bad", sentence, report->bad_records);
    cr_expect_eq(report->skipped_bytes, skipped_bytes, "%s: %lu skipped", sentence,
                 report->skipped_bytes);
    cr_expect_not_null(strstr(report->first_bad.text, sentence), "%s", report->first_bad.text);
    market_reader_close(reader);
}

Test(dbn, skips_a_bad_record_and_says_where_it_is)
{
    static const struct {
        size_t offset;
        uint8_t value;
        const char *sentence;
    } cases[] = {
        {0, 0, "byte 262: a length of 0 bytes for a market-by-order record, which has 56"},
        {0, 255, "byte 262: a length of 1020 bytes for a market-by-order record, which has 56"},
        {1, 0x77, "byte 262: unknown record type 0x77 (market by order is 0xa0)"},
        {38, 'Z', "byte 262: action 'Z': unknown action"},
        {38, 0, "byte 262: action '?': unknown action"},
        {39, 'x', "byte 262: action 'A': unknown side"},
        {39, 'N', "byte 262: action 'A': an order in the book without a side"},
        {35, 0x80, "byte 262: action 'A': the size is more than 2147483647, so negative"},
        {32, 0, "byte 262: action 'A': a new order of size 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        make_adds();
        row.bytes[SPOILED_AT + cases[i].offset] = cases[i].value;
        expect_bad(cases[i].sentence, 4, 1, RECORD_BYTES);
    }
}

Test(dbn, refuses_an_order_without_a_price)
{
    make_adds();
    memcpy(row.bytes + SPOILED_AT + 24, &(int64_t){INT64_MAX}, 8);
    expect_bad("byte 262: action 'A': an order in the book without a price", 4, 1, RECORD_BYTES);
}

Test(dbn, finds_the_next_record_after_garbage)
{
    make_adds();
    uint8_t *const at = row.bytes + SPOILED_AT;
    memmove(at + 99, at, row.size_bytes - SPOILED_AT);
    memset(at, 0xcc, 99);
    row.size_bytes += 99;
    expect_bad("byte 262: unknown record type 0xcc", 5, 1, 99);
}

Test(dbn, says_that_the_file_ends_inside_a_record)
{
    make_adds();
    row.size_bytes -= 1;
    expect_bad("byte 430: the file ends inside a record, after 55 of 56 bytes", 4, 1, 55);
    row.size_bytes -= 54;
    expect_bad("byte 430: the file ends inside a record, after 1 of 56 bytes", 4, 1, 1);
}

Test(dbn, says_that_the_file_ends_inside_a_record_of_another_schema)
{
    static const uint8_t definition[100] = {90, 0x13};
    make_adds();
    append(&row, definition, sizeof definition);
    expect_bad("byte 486: the file ends inside a record, after 100 of 360 bytes", 5, 1, 100);
}

Test(dbn, refuses_what_its_first_bytes_show_to_be_something_else)
{
    static const struct {
        size_t offset;
        const char *bytes;
        size_t size_bytes;
        const char *sentence;
    } cases[] = {
        {0, "DBM", 3, "byte 0: does not begin with \"DBN\""},
        {3, "\x03", 1, "byte 3: DBN version 3: this reader takes version 1"},
        {4, "\x05\0\0\0", 4, "byte 4: a metadata length of 5: from 100 to"},
        {4, "\xff\xff\xff\xff", 4, "byte 4: a metadata length of 4294967295: from 100 to"},
        {4, "\x00\x10\0\0", 4, "the file ends inside its metadata"},
        {8 + 16, "\x02\0", 2, "schema 2: this reader takes market by order"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        make_adds();
        memcpy(row.bytes + cases[i].offset, cases[i].bytes, cases[i].size_bytes);
        input_write("other", row.bytes, row.size_bytes, PLAIN);
        market_reader *reader = NULL;
        hl_error error = {0};
        cr_expect_eq(market_reader_open(input_spec("dbn", "other"), NULL, &reader, &error),
                     HL_BAD_INPUT);
        cr_expect_not_null(strstr(error.text, cases[i].sentence), "\"%s\" lacks \"%s\"", error.text,
                           cases[i].sentence);
        cr_expect_null(reader);
    }
}

Test(dbn, refuses_a_file_that_ends_in_its_metadata)
{
    make_adds();
    for (size_t size_bytes = 1; size_bytes < DBN_START; size_bytes++) {
        input_write("stub", row.bytes, size_bytes, PLAIN);
        market_reader *reader = NULL;
        cr_expect_eq(market_reader_open(input_spec("dbn", "stub"), NULL, &reader, NULL),
                     HL_BAD_INPUT, "%zu bytes", size_bytes);
    }
}

Test(dbn, reads_the_recorded_day_of_esh4)
{
    char spec[MARKET_PATH_MAX];
    shared_data("dbn", "databento/esh4-glbx-mdp3-20231225.mbo.dbn.zst", spec, sizeof spec);
    market_recording recording;
    hl_error error;
    const hl_status status = market_reader_read_all(spec, NULL, &recording, &error);
    cr_assert_eq(status, HL_OK, "%s", error.text);
    const market_input_report *const report = market_reader_report(recording.reader);
    cr_expect_eq(recording.count, 68792);
    cr_expect_eq(report->by_type['A'], 29216);
    cr_expect_eq(report->by_type['C'], 17999);
    cr_expect_eq(report->by_type['M'], 12233);
    cr_expect_eq(report->by_type['F'], 6371);
    cr_expect_eq(report->by_type['T'], 2973);
    cr_expect_eq(report->bad_records, 0);
    cr_expect_eq(report->other_records, 0);
    for (size_t i = 0; i < recording.count; i++) {
        const bool snapshot = recording.messages[i].flags & MARKET_SNAPSHOT;
        cr_assert_eq(snapshot, i < 8725, "record %zu", i);
    }
    market_recording_free(&recording);
}
