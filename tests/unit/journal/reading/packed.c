#include "journal/packed.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "written.h"
#include "tests/temporary_directory.h"

#define KEY_A "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_B "f00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static char directory[TEMPORARY_DIRECTORY_SIZE];
static char partition[HL_JOURNAL_PATH_SIZE];

static void set_up(void)
{
    temporary_directory_make(NULL, "journal", directory);
    snprintf(partition, sizeof partition, "%.4000s/order", directory);
}

static void tear_down(void)
{
    temporary_directory_remove(directory);
}

TestSuite(packed, .init = set_up, .fini = tear_down);

/* NULL where this build has no encryption. */
static hl_journal_keys *keys_of(const char *lines)
{
    char path[HL_JOURNAL_PATH_SIZE];
    hl_journal_keys *keys = NULL;
    hl_error error = {0};
    snprintf(path, sizeof path, "%.4000s/keys", directory);
    written_write_file(path, lines, strlen(lines));
    const hl_status status = hl_journal_keys_load(path, &keys, &error);
    if (status == HL_UNSUPPORTED)
        cr_skip_test("built without libsodium");
    cr_assert_eq(status, HL_OK, "%s", error.text);
    return keys;
}

static hl_pack_result pack(size_t index, bool compress, const hl_journal_keys *keys)
{
    const hl_pack_options options = {.compress = compress, .keys = keys};
    char path[HL_JOURNAL_PATH_SIZE];
    hl_pack_result result = {0};
    hl_error error = {0};
    cr_assert(written_segment(directory, "order", index, path));
    const hl_status status = hl_segment_pack(hl_io_posix(), partition, strrchr(path, '/') + 1,
                                             &options, &result, &error);
    if (status == HL_UNSUPPORTED)
        cr_skip_test("built without zstd");
    cr_assert_eq(status, HL_OK, "%s", error.text);
    return result;
}

static uint64_t read_all(const hl_journal_keys *keys, const hl_journal_filter *filter,
                         hl_status *ret_status, hl_error *ret_error)
{
    hl_journal_reader_options options = HL_JOURNAL_READER_OPTIONS_INIT;
    hl_journal_reader *reader = NULL;
    hl_journal_entry entry;
    uint64_t count = 0;
    options.directory = directory;
    options.keys = keys;
    if (filter != NULL)
        options.filter = *filter;
    *ret_status = hl_journal_reader_open(&options, &reader, ret_error);
    if (*ret_status != HL_OK)
        return 0;
    while ((*ret_status = hl_journal_reader_next(reader, &entry, ret_error)) == HL_OK) {
        cr_assert(written_is_right(&entry));
        count++;
    }
    hl_journal_reader_close(reader);
    return count;
}

Test(packed, a_compressed_segment_reads_as_it_was)
{
    const written_options options = {.count = 20000, .segment_bytes = 1 << 20};
    char path[HL_JOURNAL_PATH_SIZE];
    size_t size, again_size;
    written_journal(directory, &options);
    cr_assert(written_segment(directory, "order", 0, path));
    uint8_t *const before = written_read_file(path, &size);
    const hl_pack_result result = pack(0, true, NULL);
    cr_assert_eq(result.plain_bytes, size);
    cr_assert_lt(result.packed_bytes, size);
    hl_packed_io *const packed = hl_packed_io_create(hl_io_posix(), NULL);
    const hl_io *const io = hl_packed_io_table(packed);
    const hl_io_file file = io->open(io->context, path, HL_IO_READ);
    cr_assert_geq(file, 0);
    cr_assert_eq(io->size(io->context, file), (int64_t)size);
    uint8_t *const after = malloc(size);
    cr_assert_eq(hl_io_read_all(io, file, after, size, 0), (int64_t)size);
    cr_assert_eq(memcmp(before + HL_JOURNAL_HEADER_SIZE, after + HL_JOURNAL_HEADER_SIZE,
                        size - HL_JOURNAL_HEADER_SIZE),
                 0);
    hl_packed_io_free(packed);
    uint8_t *const stored = written_read_file(path, &again_size);
    cr_assert_eq(again_size, result.packed_bytes);
    free(before), free(after), free(stored);
    hl_status status;
    cr_assert_eq(read_all(NULL, NULL, &status, NULL), 20000);
    const hl_journal_filter rare = {.by_key = true, .key = WRITTEN_RARE_KEY};
    cr_assert_eq(read_all(NULL, &rare, &status, NULL), 20);
    const hl_journal_filter late = {.from_ns = WRITTEN_BASE_NS + 3000 * WRITTEN_STEP_NS};
    cr_assert_eq(read_all(NULL, &late, &status, NULL), 17001);
}

Test(packed, what_is_not_sealed_or_packed_already_is_refused)
{
    const written_options options = {.count = 5000, .segment_bytes = 65536, .abandon = true};
    const hl_pack_options packing = {.compress = true};
    char path[HL_JOURNAL_PATH_SIZE];
    hl_pack_result result;
    written_journal(directory, &options);
    pack(0, true, NULL);
    cr_assert(written_segment(directory, "order", 0, path));
    cr_assert_eq(
        hl_segment_pack(hl_io_posix(), partition, strrchr(path, '/') + 1, &packing, &result, NULL),
        HL_EXISTS);
    cr_assert(written_segment(directory, "order", written_segments(directory, "order") - 1, path));
    cr_assert_eq(
        hl_segment_pack(hl_io_posix(), partition, strrchr(path, '/') + 1, &packing, &result, NULL),
        HL_WRONG_STATE);
}

Test(packed, encrypted_segments_need_their_key)
{
    const written_options options = {.count = 5000, .segment_bytes = 65536};
    hl_error error = {0};
    hl_status status;
    written_journal(directory, &options);
    hl_journal_keys *const old = keys_of(KEY_A "\n");
    pack(0, false, old);
    pack(1, true, old);
    /* The key has been changed: new segments are encrypted with the first, old ones still open. */
    hl_journal_keys *const both = keys_of("# the newest first\n" KEY_B "\n\n  " KEY_A " \n");
    pack(2, true, both);
    cr_assert_eq(read_all(both, NULL, &status, &error), 5000, "%s", error.text);
    cr_assert_lt(read_all(old, NULL, &status, &error), 5000);
    cr_assert_eq(status, HL_NOT_ALLOWED);
    cr_assert_not_null(strstr(error.text, "none of the keys"), "%s", error.text);
    cr_assert_eq(read_all(NULL, NULL, &status, &error), 0);
    cr_assert_eq(status, HL_NOT_ALLOWED);
    cr_assert_not_null(strstr(error.text, "no key was given"), "%s", error.text);
    hl_journal_keys_free(old);
    hl_journal_keys_free(both);
}

Test(packed, no_payload_shows_in_an_encrypted_segment)
{
    const written_options options = {.count = 2000, .segment_bytes = 65536};
    char path[HL_JOURNAL_PATH_SIZE];
    size_t size;
    written_journal(directory, &options);
    hl_journal_keys *const keys = keys_of(KEY_A);
    pack(0, false, keys);
    cr_assert(written_segment(directory, "order", 0, path));
    uint8_t *const bytes = written_read_file(path, &size);
    cr_assert_null(memmem(bytes, size, "order.new", 9));
    cr_assert_null(memmem(bytes, size, "feed-a", 6));
    free(bytes);
    hl_journal_keys_free(keys);
}

Test(packed, keys_that_are_none_are_refused_with_their_line)
{
    static const char *const files[] = {"", "12", KEY_A "\nzz" KEY_A "\n", "\n# only this\n",
                                        KEY_A KEY_A};
    char path[HL_JOURNAL_PATH_SIZE];
    snprintf(path, sizeof path, "%.4000s/keys", directory);
    hl_journal_keys *keys = keys_of(KEY_A);
    hl_journal_keys_free(keys);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        hl_error error = {0};
        written_write_file(path, files[i], strlen(files[i]));
        cr_assert_eq(hl_journal_keys_load(path, &keys, &error), HL_BAD_INPUT, "%zu", i);
        cr_assert_not_null(strstr(error.text, "/keys:"), "%s", error.text);
        cr_assert_null(strstr(error.text, "0001020304"), "a key does not go into a message");
    }
}

Test(packed, comments_among_keys_are_as_long_as_they_like)
{
    char path[HL_JOURNAL_PATH_SIZE], text[2000];
    hl_error error = {.text = ""};
    hl_journal_keys *keys = keys_of(KEY_A);
    hl_journal_keys_free(keys);
    snprintf(path, sizeof path, "%.4000s/keys", directory);
    for (size_t length = 250; length < 260; length++) {
        snprintf(text, sizeof text, "  # %0*d\n" KEY_A "\n#%0600d", (int)length, 0, 0);
        written_write_file(path, text, strlen(text));
        cr_assert_eq(hl_journal_keys_load(path, &keys, &error), HL_OK, "%s", error.text);
        hl_journal_keys_free(keys);
    }
    /* What is no comment is not cut. */
    snprintf(text, sizeof text, "%300s" KEY_A "\n", "");
    written_write_file(path, text, strlen(text));
    cr_assert_eq(hl_journal_keys_load(path, &keys, &error), HL_BAD_INPUT);
    snprintf(text, sizeof text, KEY_A "%300s" KEY_A "\n", "");
    written_write_file(path, text, strlen(text));
    cr_assert_eq(hl_journal_keys_load(path, &keys, &error), HL_BAD_INPUT);
}

/* Reads the whole file through the table; gives the frames that were found damaged, or -errno. */
static int64_t look(const char *path, const hl_journal_keys *keys, uint8_t *bytes, size_t size)
{
    hl_packed_io *const packed = hl_packed_io_create(hl_io_posix(), keys);
    const hl_io *const io = hl_packed_io_table(packed);
    const hl_io_file file = io->open(io->context, path, HL_IO_READ);
    int64_t result = file;
    if (file >= 0) {
        hl_io_read_all(io, file, bytes, size, 0);
        result = (int64_t)hl_packed_io_damage(packed, NULL);
    }
    hl_packed_io_free(packed);
    return result;
}

static void flip_every_bit(const hl_journal_keys *keys)
{
    const written_options options = {.count = 1500, .segment_bytes = 65536};
    char path[HL_JOURNAL_PATH_SIZE];
    size_t size;
    written_journal(directory, &options);
    const size_t plain_size = (size_t)pack(0, true, keys).plain_bytes;
    cr_assert(written_segment(directory, "order", 0, path));
    uint8_t *const bytes = written_read_file(path, &size);
    uint8_t *const plain = malloc(plain_size);
    cr_assert_eq(look(path, keys, plain, plain_size), 0);
    FILE *const file = fopen(path, "r+b");
    setvbuf(file, NULL, _IONBF, 0);
    for (size_t at = 0; at < size; at++) {
        const uint8_t flipped = (uint8_t)(bytes[at] ^ 1u << at % 8);
        fseek(file, (long)at, SEEK_SET);
        fwrite(&flipped, 1, 1, file);
        /* A header that does not decode is passed through: its reader sees that (format.c). */
        const int64_t found = look(path, keys, plain, plain_size);
        const bool header = at < HL_JOURNAL_HEADER_SIZE;
        cr_assert(found != 0 || header, "byte %zu of %zu", at, size);
        if (header) {
            hl_segment_header decoded;
            uint8_t block[HL_JOURNAL_HEADER_SIZE];
            memcpy(block, bytes, sizeof block);
            block[at] = flipped;
            cr_assert_neq(hl_segment_header_decode(block, path, &decoded, NULL), HL_OK);
        }
        fseek(file, (long)at, SEEK_SET);
        fwrite(&bytes[at], 1, 1, file);
    }
    fclose(file);
    cr_assert_eq(look(path, keys, plain, plain_size), 0);
    free(plain), free(bytes);
}

Test(packed, a_flipped_bit_anywhere_in_a_compressed_segment_is_found, .timeout = 120)
{
    flip_every_bit(NULL);
}

Test(packed, a_flipped_bit_anywhere_in_an_encrypted_segment_is_found, .timeout = 120)
{
    hl_journal_keys *const keys = keys_of(KEY_A);
    flip_every_bit(keys);
    hl_journal_keys_free(keys);
}

Test(packed, frames_do_not_pass_in_another_place_or_segment)
{
    uint8_t nonce[HL_CRYPT_NONCE_SIZE], cipher[64 + HL_CRYPT_TAG_SIZE], plain[64] = {1, 2, 3};
    hl_journal_keys *const keys = keys_of(KEY_A);
    const hl_crypt_key *const key = hl_crypt_newest(keys);
    cr_assert_eq(hl_crypt_nonce(nonce), HL_OK);
    hl_crypt_place place = {nonce, 7, "salt", 4};
    cr_assert_eq(hl_crypt_lock(key, &place, plain, sizeof plain, cipher), HL_OK);
    cr_assert_eq(hl_crypt_unlock(key, &place, cipher, sizeof cipher, plain), HL_OK);
    place.frame = 8;
    cr_assert_eq(hl_crypt_unlock(key, &place, cipher, sizeof cipher, plain), HL_DAMAGED);
    place.frame = 7;
    place.also = "salz";
    cr_assert_eq(hl_crypt_unlock(key, &place, cipher, sizeof cipher, plain), HL_DAMAGED);
    place.also = "salt";
    nonce[0] ^= 1;
    cr_assert_eq(hl_crypt_unlock(key, &place, cipher, sizeof cipher, plain), HL_DAMAGED);
    nonce[0] ^= 1;
    cr_assert_eq(hl_crypt_unlock(key, &place, cipher, 3, plain), HL_DAMAGED);
    hl_journal_keys_free(keys);
}

Test(packed, a_damaged_frame_costs_only_its_own_events)
{
    const written_options options = {.count = 20000, .segment_bytes = 2 << 20};
    char path[HL_JOURNAL_PATH_SIZE];
    size_t size;
    written_journal(directory, &options);
    pack(0, true, NULL);
    cr_assert(written_segment(directory, "order", 0, path));
    uint8_t *const bytes = written_read_file(path, &size);
    bytes[size / 2] ^= 1;
    written_write_file(path, bytes, size);
    free(bytes);
    hl_journal_reader_options reading = HL_JOURNAL_READER_OPTIONS_INIT;
    hl_journal_reader *reader = NULL;
    hl_journal_entry entry;
    reading.directory = directory;
    reading.salvage = true;
    cr_assert_eq(hl_journal_reader_open(&reading, &reader, NULL), HL_OK);
    uint64_t next = 1, lost = 0;
    while (hl_journal_reader_next(reader, &entry, NULL) == HL_OK) {
        if (entry.first_sequence == 0)
            continue;
        cr_assert_eq(entry.first_sequence, next);
        next = entry.last_sequence + 1;
        if (entry.kind == HL_JOURNAL_DAMAGE)
            lost += entry.last_sequence - entry.first_sequence + 1;
    }
    hl_journal_reader_close(reader);
    cr_assert_eq(next, 20001);
    cr_assert_gt(lost, 0);
    /* The rest of its group cannot be told from damage: a group is at most the writer's 1 MiB. */
    cr_assert_lt(lost, 2 * (1u << 20) / 64);
}
