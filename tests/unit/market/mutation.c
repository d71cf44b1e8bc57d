/*
 * Damaged inputs of every format, by seed: bytes flipped, taken out, put in, the end cut off. What
 * must hold: no crash, every byte or line of the file is in a message or counted as bad, and the
 * first bad record stops a reader that is to tolerate none.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "input_file.h"
#include "market/generator.h"
#include "market/itch.h"
#include "tests/random.h"

TestSuite(mutation, .init = input_directory_make, .fini = input_directory_remove);

#define SEEDS 500

static byte_row good;
static byte_row bad;

static void remove_bytes(size_t offset, size_t size_bytes)
{
    if (offset + size_bytes > bad.size_bytes)
        size_bytes = bad.size_bytes - offset;
    memmove(bad.bytes + offset, bad.bytes + offset + size_bytes,
            bad.size_bytes - offset - size_bytes);
    bad.size_bytes -= size_bytes;
}

static void mutate(uint64_t seed)
{
    uint64_t state = seed;
    memcpy(bad.bytes, good.bytes, good.size_bytes);
    bad.size_bytes = good.size_bytes;
    for (uint64_t left = 1 + random_next(&state) % 6; left > 0; left--) {
        const size_t offset = random_next(&state) % bad.size_bytes;
        const size_t size_bytes = 1 + random_next(&state) % 80;
        switch (random_next(&state) % 8) {
        case 0:
            bad.size_bytes = offset + 1;
            break;
        case 1:
            remove_bytes(offset, size_bytes < bad.size_bytes ? size_bytes : 1);
            break;
        case 2:
            memmove(bad.bytes + offset + size_bytes, bad.bytes + offset, bad.size_bytes - offset);
            bad.size_bytes += size_bytes;
            for (size_t i = 0; i < size_bytes; i++)
                bad.bytes[offset + i] = (uint8_t)random_next(&state);
            break;
        case 3:
            bad.bytes[offset] = (uint8_t)random_next(&state);
            break;
        default:
            bad.bytes[offset] ^= (uint8_t)(1 << random_next(&state) % 8);
            break;
        }
        if (bad.size_bytes == 0)
            bad.size_bytes = 1;
    }
}

/* What the damaged file was read to; false: refused when it was opened. */
static bool read_damaged(const char *spec, uint64_t max_errors, market_input_report *ret_report,
                         hl_status *ret_status)
{
    market_reader *reader;
    hl_error error = {0};
    const market_reader_options options = {.max_errors = max_errors};
    const hl_status status = market_reader_open(spec, &options, &reader, &error);
    if (status != HL_OK) {
        cr_assert_eq(status, HL_BAD_INPUT, "%s", error.text);
        cr_assert_not(error.text[0] == '\0');
        return false;
    }
    *ret_status = read_to_end(reader, &error);
    *ret_report = *market_reader_report(reader);
    market_reader_close(reader);
    return true;
}

/* Every part of the file is accounted for in `report`, which is of a reading to the end. */
typedef void (*account_check)(uint64_t seed, const market_input_report *report);

static void expect_accounted(const char *format, uint64_t seed, input_packing packing,
                             account_check check)
{
    mutate(seed);
    input_write("damaged", bad.bytes, bad.size_bytes, packing);
    const char *const spec = input_spec(format, "damaged");
    market_input_report tolerant = {0}, strict = {0};
    hl_status status = HL_OK;
    if (!read_damaged(spec, UINT64_MAX, &tolerant, &status))
        return;
    cr_assert_eq(status, HL_NOT_FOUND, "seed %lu", seed);
    uint64_t sum = 0;
    for (int type = 0; type < 256; type++)
        sum += tolerant.by_type[type];
    cr_assert_eq(sum, tolerant.messages, "seed %lu", seed);
    check(seed, &tolerant);

    cr_assert(read_damaged(spec, 0, &strict, &status));
    cr_assert_eq(status, tolerant.bad_records > 0 ? HL_BAD_INPUT : HL_NOT_FOUND, "seed %lu", seed);
    cr_assert_eq(strict.bad_records, tolerant.bad_records > 0);
    cr_assert_str_eq(strict.first_bad.text, tolerant.first_bad.text);
}

static void check_itch(uint64_t seed, const market_input_report *report)
{
    uint64_t accounted_bytes = report->skipped_bytes;
    for (int type = 0; type < 256; type++)
        accounted_bytes += report->by_type[type] * (2 + market_itch_length_bytes((uint8_t)type));
    const uint8_t *const end = bad.bytes + bad.size_bytes;
    if (bad.size_bytes >= 2 && end[-1] == 0 && end[-2] == 0 &&
        accounted_bytes + 2 == bad.size_bytes)
        accounted_bytes += 2; /* read as the closing mark */
    cr_assert_eq(accounted_bytes, bad.size_bytes, "seed %lu: %lu of %zu bytes", seed,
                 accounted_bytes, bad.size_bytes);
}

static void make_itch(void)
{
    const market_generator_options options = {.messages = 1000, .symbols = 4};
    uint8_t *bytes;
    size_t size_bytes;
    cr_assert_eq(market_generate(11, &options, &bytes, &size_bytes, NULL), HL_OK);
    append(&good, bytes, size_bytes);
    free(bytes);
}

Test(mutation, of_itch_is_counted_to_the_byte)
{
    make_itch();
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        expect_accounted("itch", seed, PLAIN, check_itch);
}

static void check_dbn(uint64_t seed, const market_input_report *report)
{
    const uint64_t metadata_bytes = bad.bytes[4] | (uint64_t)bad.bytes[5] << 8 |
                                    (uint64_t)bad.bytes[6] << 16 | (uint64_t)bad.bytes[7] << 24;
    const uint64_t mbo_bytes = bad.bytes[8 + 52] != 0 ? 64 : 56;
    const uint64_t known_bytes =
        8 + metadata_bytes + report->messages * mbo_bytes + report->skipped_bytes;
    /* What is counted as another record has 16 to 1,020 bytes. */
    cr_assert_leq(known_bytes + 16 * report->other_records, bad.size_bytes, "seed %lu", seed);
    cr_assert_geq(known_bytes + 1020 * report->other_records, bad.size_bytes, "seed %lu", seed);
}

static void make_dbn(void)
{
    uint64_t state = 12;
    append_dbn_metadata(&good);
    for (uint64_t i = 0; i < 500; i++)
        append_dbn(&good, "ACMFT"[random_next(&state) % 5], "AB"[random_next(&state) % 2], i,
                   4799000000000 + (int64_t)(random_next(&state) % 1000) * 250000000,
                   1 + (uint32_t)(random_next(&state) % 50), 0x82);
}

Test(mutation, of_dbn_is_counted_to_the_byte)
{
    make_dbn();
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        expect_accounted("dbn", seed, PLAIN, check_dbn);
}

static void check_lobster(uint64_t seed, const market_input_report *report)
{
    uint64_t lines = bad.bytes[bad.size_bytes - 1] != '\n';
    for (size_t i = 0; i < bad.size_bytes; i++)
        lines += bad.bytes[i] == '\n';
    cr_assert_eq(report->messages + report->bad_records, lines, "seed %lu", seed);
}

static void make_lobster(void)
{
    uint64_t state = 13;
    for (unsigned i = 0; i < 500; i++) {
        char line[128];
        const int length = snprintf(line, sizeof line, "%u.%09u,%u,%u,%u,%u,%s\n", 34200 + i,
                                    (unsigned)(random_next(&state) % 1000000000),
                                    (unsigned)(1 + random_next(&state) % 5), 1 + i,
                                    (unsigned)(1 + random_next(&state) % 1000),
                                    (unsigned)(5850000 + random_next(&state) % 100 * 100),
                                    random_next(&state) % 2 == 0 ? "1" : "-1");
        append(&good, line, (size_t)length);
    }
}

Test(mutation, of_lobster_is_counted_to_the_line)
{
    make_lobster();
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        expect_accounted("lobster", seed, PLAIN, check_lobster);
}

Test(mutation, of_packed_files_of_every_format_is_counted_too)
{
    static const struct {
        const char *format;
        void (*make)(void);
        account_check check;
    } formats[] = {{"itch", make_itch, check_itch},
                   {"dbn", make_dbn, check_dbn},
                   {"lobster", make_lobster, check_lobster}};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        good.size_bytes = 0;
        formats[i].make();
        for (uint64_t seed = 1; seed <= SEEDS / 10; seed++) {
            expect_accounted(formats[i].format, seed, GZIP, formats[i].check);
            expect_accounted(formats[i].format, seed, ZSTD, formats[i].check);
        }
    }
}

static void check_nothing(uint64_t seed, const market_input_report *report)
{
    (void)seed;
    (void)report;
}

/* Here the packed bytes themselves are damaged: how much is lost depends on the packing. */
Test(mutation, of_the_packed_bytes_never_crashes)
{
    for (input_packing packing = GZIP; packing < PACKINGS; packing++) {
        good.size_bytes = 0;
        make_itch();
        input_write("packed", good.bytes, good.size_bytes, packing);
        FILE *const file = fopen(input_path("packed"), "rb");
        cr_assert_not_null(file);
        good.size_bytes = fread(good.bytes, 1, sizeof good.bytes, file);
        fclose(file);
        for (uint64_t seed = 1; seed <= SEEDS; seed++)
            expect_accounted("itch", seed, PLAIN, check_nothing);
    }
}
