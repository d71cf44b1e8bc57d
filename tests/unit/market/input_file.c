#include "input_file.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "market/itch.h"
#include "tests/temporary_directory.h"

static char directory[TEMPORARY_DIRECTORY_SIZE];

void input_directory_make(void)
{
    temporary_directory_make(NULL, "input", directory);
    cr_assert_eq(chmod(directory, 0755), 0);
}

void input_directory_remove(void)
{
    temporary_directory_remove(directory);
}

const char *input_path(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

const char *input_spec(const char *format, const char *name)
{
    static char spec[1024];
    snprintf(spec, sizeof spec, "%s:%s", format, input_path(name));
    return spec;
}

static void write_plain(const char *path, const void *bytes, size_t size_bytes)
{
    FILE *const file = fopen(path, "wb");
    cr_assert_not_null(file, "%s", path);
    cr_assert_eq(fwrite(bytes, 1, size_bytes, file), size_bytes);
    cr_assert_eq(fclose(file), 0);
}

static void write_gzip(const char *path, const void *bytes, size_t size_bytes)
{
    const gzFile file = gzopen(path, "wb");
    cr_assert_not_null(file, "%s", path);
    cr_assert(size_bytes == 0 || gzwrite(file, bytes, (unsigned)size_bytes) == (int)size_bytes);
    cr_assert_eq(gzclose(file), Z_OK);
}

static void write_zstd(const char *path, const void *bytes, size_t size_bytes)
{
    const size_t bound_bytes = ZSTD_compressBound(size_bytes);
    void *const packed = malloc(bound_bytes);
    cr_assert_not_null(packed);
    ZSTD_CCtx *const packer = ZSTD_createCCtx();
    cr_assert_not_null(packer);
    /* As the zstd command does: without it, damage may pass for data. */
    ZSTD_CCtx_setParameter(packer, ZSTD_c_checksumFlag, 1);
    const size_t packed_bytes = ZSTD_compress2(packer, packed, bound_bytes, bytes, size_bytes);
    ZSTD_freeCCtx(packer);
    cr_assert(!ZSTD_isError(packed_bytes));
    write_plain(path, packed, packed_bytes);
    free(packed);
}

void input_write(const char *name, const void *bytes, size_t size_bytes, input_packing packing)
{
    static void (*const write_as[PACKINGS])(const char *, const void *, size_t) = {
        [PLAIN] = write_plain, [GZIP] = write_gzip, [ZSTD] = write_zstd};
    write_as[packing](input_path(name), bytes, size_bytes);
}

void input_write_text(const char *name, const char *text)
{
    input_write(name, text, strlen(text), PLAIN);
}

void append(byte_row *row, const void *bytes, size_t size_bytes)
{
    cr_assert(row->size_bytes + size_bytes <= sizeof row->bytes);
    memcpy(row->bytes + row->size_bytes, bytes, size_bytes);
    row->size_bytes += size_bytes;
}

void append_big_endian(byte_row *row, uint64_t value, int width_bytes)
{
    for (int i = width_bytes - 1; i >= 0; i--)
        append(row, &(uint8_t){(uint8_t)(value >> (8 * i))}, 1);
}

void append_little_endian(byte_row *row, uint64_t value, int width_bytes)
{
    for (int i = 0; i < width_bytes; i++)
        append(row, &(uint8_t){(uint8_t)(value >> (8 * i))}, 1);
}

void set_big_endian(byte_row *row, size_t offset, uint64_t value, int width_bytes)
{
    const size_t end = row->size_bytes;
    row->size_bytes = offset;
    append_big_endian(row, value, width_bytes);
    row->size_bytes = end;
}

size_t append_itch(byte_row *row, char type, uint16_t locate, uint64_t time_ns)
{
    static const char spaces[64] = "                                                              ";
    const size_t offset = row->size_bytes;
    const size_t length_bytes = market_itch_length_bytes((uint8_t)type);
    append_big_endian(row, length_bytes, 2);
    append(row, &type, 1);
    append_big_endian(row, locate, 2);
    append_big_endian(row, 0, 2);
    append_big_endian(row, time_ns, 6);
    append(row, spaces, length_bytes - 11);
    return offset;
}

size_t append_itch_add(byte_row *row, uint64_t order_id)
{
    const size_t offset = append_itch(row, 'A', 7, 34200000000000 + order_id);
    set_big_endian(row, offset + 2 + 11, order_id, 8);
    set_big_endian(row, offset + 2 + 19, 'B', 1);
    set_big_endian(row, offset + 2 + 20, 100, 4);
    memcpy(row->bytes + offset + 2 + 24, "TEST    ", 8);
    set_big_endian(row, offset + 2 + 32, 100000, 4);
    return offset;
}

void append_dbn_metadata(byte_row *row)
{
    static const uint8_t zero[DBN_METADATA_BYTES];
    append(row, "DBN\1", 4);
    append_little_endian(row, DBN_METADATA_BYTES, 4);
    append(row, "GLBX.MDP3\0\0\0\0\0\0", 16);
    append(row, zero, DBN_METADATA_BYTES - 16); /* schema 0 is market by order */
}

size_t append_dbn(byte_row *row, char action, char side, uint64_t order_id, int64_t price,
                  uint32_t size, uint8_t flags)
{
    const size_t offset = row->size_bytes;
    append(row, "\x0e\xa0\x01\x00", 4); /* 14 words, market by order, publisher 1 */
    append_little_endian(row, 17077, 4);
    append_little_endian(row, 1703541600000000000 + offset, 8); /* ts_event */
    append_little_endian(row, order_id, 8);
    append_little_endian(row, (uint64_t)price, 8);
    append_little_endian(row, size, 4);
    append(row, &flags, 1);
    append(row, "\0", 1);
    append(row, &action, 1);
    append(row, &side, 1);
    append_little_endian(row, 1703541600000000000, 8); /* ts_recv */
    append_little_endian(row, 0, 8);                   /* ts_in_delta, sequence */
    return offset;
}

hl_status read_to_end(market_reader *reader, hl_error *ret_error)
{
    market_message message;
    hl_status status;
    while ((status = market_reader_next(reader, &message, ret_error)) == HL_OK)
        ;
    return status;
}
