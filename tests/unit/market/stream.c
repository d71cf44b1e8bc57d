#include "market/stream.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "input_file.h"
#include "tests/random.h"

TestSuite(stream, .init = input_directory_make, .fini = input_directory_remove);

#define LARGE_BYTES ((size_t)3 << 20) /* several windows */

/* Half of it packs well, half hardly. */
static uint8_t *make_large(void)
{
    uint8_t *const bytes = malloc(LARGE_BYTES);
    cr_assert_not_null(bytes);
    uint64_t state = 1;
    for (size_t i = 0; i < LARGE_BYTES; i++)
        bytes[i] = (i >> 16) % 2 == 0 ? (uint8_t)(i / 100) : (uint8_t)random_next(&state);
    return bytes;
}

static market_stream *open_input(const char *name)
{
    market_stream *stream;
    hl_error error;
    const hl_status status = market_stream_open(input_path(name), &stream, &error);
    cr_assert_eq(status, HL_OK, "%s", error.text);
    return stream;
}

/* Takes steps of many sizes and compares every byte; returns how many there were. */
static size_t compare_all(market_stream *stream, const uint8_t *want)
{
    uint64_t state = 7;
    size_t offset = 0;
    while (true) {
        const size_t want_bytes = 1 + random_next(&state) % 100000;
        const size_t have_bytes = market_stream_has(stream, want_bytes);
        const size_t step_bytes = have_bytes < want_bytes ? have_bytes : want_bytes;
        cr_assert_eq(market_stream_offset(stream), offset);
        cr_assert_eq(memcmp(stream->at, want + offset, step_bytes), 0, "after byte %zu", offset);
        market_stream_skip(stream, step_bytes);
        offset += step_bytes;
        if (step_bytes < want_bytes)
            return offset;
    }
}

Test(stream, gives_the_same_bytes_however_they_are_packed)
{
    uint8_t *const bytes = make_large();
    for (input_packing packing = PLAIN; packing < PACKINGS; packing++) {
        input_write("large", bytes, LARGE_BYTES, packing);
        market_stream *const stream = open_input("large");
        cr_expect_eq(compare_all(stream, bytes), LARGE_BYTES, "packing %d", (int)packing);
        cr_expect_eq(market_stream_failure(stream, NULL), HL_OK);
        cr_expect_eq(market_stream_has(stream, 1), 0, "the end stays the end");
        market_stream_close(stream);
    }
    free(bytes);
}

/*
 * The decoder has taken the last byte of the cut file while it still holds a part of the last whole
 * block, for which the window had no room. The window is 8 blocks wide.
 */
Test(stream, gives_all_whole_blocks_of_a_cut_frame)
{
    const size_t block_bytes = (size_t)128 << 10;
    const size_t size_bytes = 17 * block_bytes;
    uint8_t *const zeros = calloc(1, size_bytes);
    cr_assert_not_null(zeros);
    uint8_t packed[4096];
    const size_t packed_bytes = ZSTD_compress(packed, sizeof packed, zeros, size_bytes, 3);
    cr_assert(!ZSTD_isError(packed_bytes));
    free(zeros);
    input_write("zeros", packed, packed_bytes - 4, PLAIN); /* header and byte of the last block */

    market_stream *const stream = open_input("zeros");
    cr_assert_eq(market_stream_has(stream, 1), 8 * block_bytes);
    market_stream_skip(stream, 8 * block_bytes - 100000);
    cr_assert_eq(market_stream_has(stream, 100001), 8 * block_bytes);
    market_stream_skip(stream, 8 * block_bytes);
    cr_expect_eq(market_stream_has(stream, 100001), 100000);
    cr_expect_eq(market_stream_failure(stream, NULL), HL_BAD_INPUT);
    market_stream_close(stream);
}

static void copy_file_to(const char *name, FILE *out)
{
    FILE *const in = fopen(input_path(name), "rb");
    cr_assert_not_null(in);
    for (int c; (c = fgetc(in)) != EOF;)
        fputc(c, out);
    fclose(in);
}

Test(stream, takes_members_and_frames_in_a_row_as_one)
{
    for (input_packing packing = GZIP; packing < PACKINGS; packing++) {
        input_write("first", "hello, ", 7, packing);
        input_write("second", "world", 5, packing);
        FILE *const both = fopen(input_path("both"), "wb");
        cr_assert_not_null(both);
        copy_file_to("first", both);
        copy_file_to("second", both);
        fclose(both);
        market_stream *const stream = open_input("both");
        cr_expect_eq(market_stream_has(stream, 13), 12);
        cr_expect_eq(memcmp(stream->at, "hello, world", 12), 0);
        cr_expect_eq(market_stream_failure(stream, NULL), HL_OK);
        market_stream_close(stream);
    }
}

Test(stream, gives_what_comes_before_the_cut_of_a_packed_file_and_says_that_it_is_cut)
{
    uint8_t *const bytes = make_large();
    for (input_packing packing = GZIP; packing < PACKINGS; packing++) {
        input_write("cut", bytes, LARGE_BYTES, packing);
        struct stat about;
        cr_assert_eq(stat(input_path("cut"), &about), 0);
        cr_assert_eq(truncate(input_path("cut"), about.st_size - 5), 0);
        market_stream *const stream = open_input("cut");
        const size_t got_bytes = compare_all(stream, bytes);
        hl_error error;
        cr_expect_gt(got_bytes, LARGE_BYTES / 2);
        cr_expect_eq(market_stream_failure(stream, &error), HL_BAD_INPUT);
        cr_expect_not_null(strstr(error.text, "cut off"), "%s", error.text);
        market_stream_close(stream);
    }
    free(bytes);
}

Test(stream, says_where_packed_data_is_damaged)
{
    uint8_t *const bytes = make_large();
    for (input_packing packing = GZIP; packing < PACKINGS; packing++) {
        input_write("damaged", bytes, LARGE_BYTES, packing);
        FILE *const file = fopen(input_path("damaged"), "r+b");
        cr_assert_not_null(file);
        fseek(file, 300000, SEEK_SET);
        for (int i = 0; i < 200; i++)
            fputc(0xff, file);
        fclose(file);
        market_stream *const stream = open_input("damaged");
        while (market_stream_has(stream, 1) > 0)
            market_stream_skip(stream, 1);
        hl_error error;
        cr_expect_eq(market_stream_failure(stream, &error), HL_BAD_INPUT);
        cr_expect_not_null(strstr(error.text, "damaged near byte"), "%s", error.text);
        market_stream_close(stream);
    }
    free(bytes);
}

static void expect_refused(const char *path, hl_status want, const char *part)
{
    market_stream *stream = NULL;
    hl_error error = {0};
    cr_expect_eq(market_stream_open(path, &stream, &error), want, "%s: %s", path, error.text);
    cr_expect_eq(error.status, want);
    cr_expect_not_null(strstr(error.text, part), "\"%s\" lacks \"%s\"", error.text, part);
    cr_expect_null(stream);
}

Test(stream, refuses_what_is_no_file_with_bytes)
{
    expect_refused(input_path("absent"), HL_SYSTEM, "No such file");
    expect_refused(input_path(""), HL_SYSTEM, "is a directory: name a file");
    for (input_packing packing = PLAIN; packing < PACKINGS; packing++) {
        input_write("empty", "", 0, packing);
        expect_refused(input_path("empty"), HL_BAD_INPUT, "is empty");
    }
    input_write("stub", "\x1f\x8b", 2, PLAIN);
    expect_refused(input_path("stub"), HL_BAD_INPUT, "cut off");
}

Test(stream, says_that_permission_is_missing)
{
    input_write("secret", "x", 1, PLAIN);
    cr_assert_eq(chmod(input_path("secret"), 0), 0);
    const bool superuser = geteuid() == 0; /* for whom nothing is forbidden */
    if (superuser)
        cr_assert_eq(seteuid(65534), 0);
    expect_refused(input_path("secret"), HL_SYSTEM, "Permission denied");
    if (superuser)
        cr_assert_eq(seteuid(0), 0);
}

Test(stream, shows_the_tail_of_a_long_path)
{
    char path[600] = "/tmp/";
    memset(path + 5, 'x', 500);
    strcpy(path + 505, "/the-end.itch");
    expect_refused(path, HL_SYSTEM, "xxx/the-end.itch: cannot open");
}

/* A record: its length in a byte, from 2 to 9, then as many bytes of 0xee. */
static size_t plausible(const uint8_t *bytes, size_t size_bytes)
{
    const size_t length_bytes = bytes[0];
    if (length_bytes < 2 || length_bytes > 9)
        return 0;
    for (size_t i = 1; i < length_bytes && i < size_bytes; i++)
        if (bytes[i] != 0xee)
            return 0;
    return length_bytes;
}

static market_stream *open_bytes(const char *bytes, size_t size_bytes)
{
    uint8_t *const copy = malloc(size_bytes);
    cr_assert_not_null(copy);
    memcpy(copy, bytes, size_bytes);
    market_stream *stream;
    cr_assert_eq(market_stream_open_memory("memory", copy, size_bytes, &stream, NULL), HL_OK);
    return stream;
}

Test(stream, resyncs_at_three_records_in_a_row)
{
    /* One good record among the lost bytes is not enough. */
    static const char bytes[] = "\xff\x02\xee\xff\x03\xee\xee\x02\xee\x02\xee\xff";
    market_stream *const stream = open_bytes(bytes, sizeof bytes - 1);
    cr_expect_eq(market_stream_resync(stream, 9, plausible), 4);
    cr_expect_eq(market_stream_offset(stream), 4);
    market_stream_close(stream);
}

Test(stream, resyncs_at_fewer_records_only_when_the_end_follows)
{
    market_stream *stream = open_bytes("\xff\xff\x02\xee\x02\xee", 6);
    cr_expect_eq(market_stream_resync(stream, 9, plausible), 2);
    market_stream_close(stream);
    stream = open_bytes("\xff\xff\x02\xee\x02\xee\xff", 7);
    cr_expect_eq(market_stream_resync(stream, 9, plausible), 7, "to the end");
    cr_expect_eq(market_stream_has(stream, 1), 0);
    market_stream_close(stream);
    stream = open_bytes("\xff\xff\x02\xee\x03\xee", 6);
    cr_expect_eq(market_stream_resync(stream, 9, plausible), 6, "the last record is cut");
    market_stream_close(stream);
}
