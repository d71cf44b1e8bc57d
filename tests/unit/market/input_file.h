/*
 * Inputs that the tests of the readers write for themselves: a directory that lasts as long as one
 * test, files in it (plain or packed), and the records of the binary formats. A failure to write
 * ends the test.
 */
#ifndef TEST_INPUT_FILE_H
#define TEST_INPUT_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "market/reader.h"

/* For .init and .fini of a suite. Any user may read what lies in the directory. */
void input_directory_make(void);
void input_directory_remove(void);

/* Static memory, overwritten by the next call of the same function. */
const char *input_path(const char *name);
const char *input_spec(const char *format, const char *name); /* "itch:/tmp/.../name" */

typedef enum input_packing { PLAIN, GZIP, ZSTD, PACKINGS } input_packing;

void input_write(const char *name, const void *bytes, size_t size_bytes, input_packing packing);
void input_write_text(const char *name, const char *text);

/* Bytes that grow; the tests keep them small. */
typedef struct byte_row {
    uint8_t bytes[1 << 20];
    size_t size_bytes;
} byte_row;

void append(byte_row *row, const void *bytes, size_t size_bytes);
void append_big_endian(byte_row *row, uint64_t value, int width_bytes);
void append_little_endian(byte_row *row, uint64_t value, int width_bytes);

/* An ITCH message with its length: type, locate, time; the rest is spaces. Returns its offset. */
size_t append_itch(byte_row *row, char type, uint16_t locate, uint64_t time_ns);
void set_big_endian(byte_row *row, size_t offset, uint64_t value, int width_bytes);

/* A whole good 'A' message of 100 shares, bid, price 10.00, stock "TEST". */
size_t append_itch_add(byte_row *row, uint64_t order_id);

#define DBN_METADATA_BYTES 198 /* of append_dbn_metadata, without the 8 bytes before it */
#define DBN_START          (8 + DBN_METADATA_BYTES)

void append_dbn_metadata(byte_row *row);
/* A market-by-order record; fields as in DBN version 1. Returns its offset. */
size_t append_dbn(byte_row *row, char action, char side, uint64_t order_id, int64_t price,
                  uint32_t size, uint8_t flags);

/* Reads to the end. The answer that ended it; HL_NOT_FOUND is a good end. */
hl_status read_to_end(market_reader *reader, hl_error *ret_error);

#endif
