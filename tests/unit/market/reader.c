#include "market/reader.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "input_file.h"
#include "market/generator.h"

TestSuite(reader, .init = input_directory_make, .fini = input_directory_remove);

static void expect_refused(const char *spec, hl_status want, const char *part)
{
    market_reader *reader = NULL;
    hl_error error = {0};
    cr_expect_eq(market_reader_open(spec, NULL, &reader, &error), want, "%s", error.text);
    cr_expect_not_null(strstr(error.text, part), "\"%s\" lacks \"%s\"", error.text, part);
    cr_expect_null(reader);
    market_recording recording = {.count = 17};
    cr_expect_eq(market_reader_read_all(spec, NULL, &recording, NULL), want);
    cr_expect_eq(recording.count, 17, "untouched");
}

Test(reader, refuses_what_is_no_input)
{
    static const char *const specs[] = {"",         "day.itch", "pcap:day",
                                        "ITCH:day", ":day",     "itchy:day"};
    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++)
        expect_refused(specs[i], HL_INVALID, "give itch:FILE, lobster:FILE, dbn:FILE or synth");
    expect_refused("itch:", HL_INVALID, "nothing after the ':'");
    expect_refused("synthetic:", HL_INVALID, "nothing after the ':'");
}

Test(reader, refuses_what_is_no_seed)
{
    static const char *const specs[] = {"synthetic:x",
                                        "synthetic:-1",
                                        "synthetic: 1",
                                        "synthetic:1x",
                                        "synthetic:0x",
                                        "synthetic:1.5",
                                        "synthetic:18446744073709551616"};
    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++)
        expect_refused(specs[i], HL_INVALID,
                       "not a seed: give a whole number from 0 to 1844674407");
}

Test(reader, refuses_a_path_that_is_too_long)
{
    char spec[2000] = "itch:";
    memset(spec + 5, 'x', MARKET_PATH_MAX);
    expect_refused(spec, HL_INVALID, "the path has more than 1023 bytes");
}

Test(reader, says_that_there_is_no_such_file_in_every_format)
{
    static const char *const formats[] = {"itch", "lobster", "dbn"};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        expect_refused(input_spec(formats[i], "absent"), HL_SYSTEM, "absent: cannot open: No such");
        expect_refused(input_spec(formats[i], ""), HL_SYSTEM, "is a directory");
        input_write("empty", "", 0, PLAIN);
        expect_refused(input_spec(formats[i], "empty"), HL_BAD_INPUT, "is empty");
    }
}

/* 10 lines, of which 3, 5 and 6 are bad. */
static void write_spoiled(void)
{
    input_write_text("spoiled.csv",
                     "1.1,1,1,1,1,1\n1.2,1,2,1,1,1\nbad\n1.4,1,4,1,1,1\nbad\nbad\n"
                     "1.7,1,7,1,1,1\n1.8,1,8,1,1,1\n1.9,1,9,1,1,1\n2.0,1,10,1,1,1\n");
}

static market_reader *open_spoiled(uint64_t max_errors, uint64_t limit)
{
    const market_reader_options options = {.max_errors = max_errors, .limit = limit};
    market_reader *reader;
    write_spoiled();
    cr_assert_eq(market_reader_open(input_spec("lobster", "spoiled.csv"), &options, &reader, NULL),
                 HL_OK);
    return reader;
}

Test(reader, passes_over_so_many_bad_records_and_no_more)
{
    static const struct {
        uint64_t max_errors;
        hl_status status;
        uint64_t messages;
        uint64_t bad;
        const char *sentence;
    } cases[] = {
        {0, HL_BAD_INPUT, 2, 1, "spoiled.csv:3: 1 columns"},
        {1, HL_BAD_INPUT, 3, 2, "spoiled.csv:5: 1 columns"},
        {2, HL_BAD_INPUT, 3, 3, "(3 messages and 3 bad records so far)"},
        {3, HL_NOT_FOUND, 7, 3, ""},
        {UINT64_MAX, HL_NOT_FOUND, 7, 3, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        hl_error error = {0};
        market_reader *const reader = open_spoiled(cases[i].max_errors, 0);
        const market_input_report *const report = market_reader_report(reader);
        cr_expect_eq(read_to_end(reader, &error), cases[i].status, "case %zu", i);
        cr_expect_eq(report->messages, cases[i].messages, "case %zu", i);
        cr_expect_eq(report->bad_records, cases[i].bad, "case %zu", i);
        cr_expect_not_null(strstr(error.text, cases[i].sentence), "%s", error.text);
        /* The answer stays: nothing is read after the end. */
        market_message message = {.order_id = 99};
        hl_error again = {0};
        cr_expect_eq(market_reader_next(reader, &message, &again), cases[i].status);
        cr_expect_str_eq(again.text, error.text);
        cr_expect_eq(message.order_id, 99, "untouched");
        cr_expect_eq(report->bad_records, cases[i].bad);
        market_reader_close(reader);
    }
}

Test(reader, keeps_the_first_bad_record)
{
    market_reader *const reader = open_spoiled(3, 0);
    cr_expect_eq(market_reader_report(reader)->first_bad.status, HL_OK);
    cr_assert_eq(read_to_end(reader, NULL), HL_NOT_FOUND);
    cr_expect_eq(market_reader_report(reader)->first_bad.status, HL_BAD_INPUT);
    cr_expect_not_null(strstr(market_reader_report(reader)->first_bad.text, "spoiled.csv:3:"));
    cr_expect_eq(market_reader_report(reader)->skipped_bytes, 3 * strlen("bad\n"));
    market_reader_close(reader);
}

Test(reader, stops_at_the_limit)
{
    market_reader *const reader = open_spoiled(3, 4);
    cr_expect_eq(read_to_end(reader, NULL), HL_NOT_FOUND);
    const market_input_report *const report = market_reader_report(reader);
    cr_expect_eq(report->messages, 4);
    cr_expect_eq(report->first_ns, 1100000000);
    cr_expect_eq(report->last_ns, 1700000000);
    cr_expect_str_eq(report->format, "lobster");
    cr_expect_str_eq(report->path, input_path("spoiled.csv"));
    market_reader_close(reader);
}

Test(reader, reads_all_ahead_or_says_how_far_it_came)
{
    write_spoiled();
    market_recording recording = {0};
    market_reader_options options = {.max_errors = 3};
    const char *const spec = input_spec("lobster", "spoiled.csv");
    cr_assert_eq(market_reader_read_all(spec, &options, &recording, NULL), HL_OK);
    cr_expect_eq(recording.count, 7);
    cr_expect_eq(recording.messages[6].order_id, 10);
    cr_expect_eq(market_reader_report(recording.reader)->messages, 7);
    market_recording_free(&recording);
    cr_expect_eq(recording.count, 0);

    hl_error error = {0};
    options.max_errors = 1;
    cr_expect_eq(market_reader_read_all(spec, &options, &recording, &error), HL_BAD_INPUT);
    cr_expect_not_null(strstr(error.text, "(3 messages and 2 bad records so far)"), "%s",
                       error.text);
    cr_expect_null(recording.messages);
}

static void expect_same(const market_recording *a, const market_recording *b)
{
    cr_assert_eq(a->count, b->count);
    cr_expect_eq(memcmp(a->messages, b->messages, a->count * sizeof *a->messages), 0);
    cr_expect_eq(memcmp(market_reader_report(a->reader)->by_type,
                        market_reader_report(b->reader)->by_type,
                        sizeof market_reader_report(a->reader)->by_type),
                 0);
}

Test(reader, reads_the_same_from_plain_and_packed_files_and_from_the_seed)
{
    uint8_t *bytes;
    size_t size_bytes;
    market_recording from_seed;
    cr_assert_eq(market_generate(42, NULL, &bytes, &size_bytes, NULL), HL_OK);
    cr_assert_eq(market_reader_read_all("synthetic:42", NULL, &from_seed, NULL), HL_OK);
    cr_expect_str_eq(market_reader_report(from_seed.reader)->format, "synthetic");
    cr_expect_str_eq(market_reader_report(from_seed.reader)->path, "42");
    for (input_packing packing = PLAIN; packing < PACKINGS; packing++) {
        market_recording recording;
        input_write("day", bytes, size_bytes, packing);
        cr_assert_eq(market_reader_read_all(input_spec("itch", "day"), NULL, &recording, NULL),
                     HL_OK);
        expect_same(&from_seed, &recording);
        market_recording_free(&recording);
    }
    market_recording_free(&from_seed);
    free(bytes);
}

Test(reader, takes_a_hexadecimal_seed)
{
    const market_reader_options options = {.limit = 5000};
    market_recording decimal, hexadecimal;
    cr_assert_eq(market_reader_read_all("synthetic:255", &options, &decimal, NULL), HL_OK);
    cr_assert_eq(market_reader_read_all("synthetic:0xff", &options, &hexadecimal, NULL), HL_OK);
    expect_same(&decimal, &hexadecimal);
    market_recording_free(&decimal);
    market_recording_free(&hexadecimal);
}

Test(reader, names_types_as_the_formats_do)
{
    char name[5];
    market_type_name('A', name);
    cr_expect_str_eq(name, "A");
    market_type_name(4, name);
    cr_expect_str_eq(name, "4");
    market_type_name(0xfe, name);
    cr_expect_str_eq(name, "0xfe");
}
