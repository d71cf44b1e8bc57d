/*
 * CRC-32C (Castagnoli: polynomial 0x1EDC6F41, reflected, initial value and final xor all ones; the
 * one of iSCSI, RFC 3720 appendix B.4). By the processor's instruction where it has one (SSE4.2,
 * looked up once when the library is loaded), else by tables. Any thread, no allocation.
 */
#ifndef HL_BASE_CRC32C_H
#define HL_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Goes on from `crc`, the result for the bytes before these (0: none). Any alignment. */
uint32_t hl_crc32c(uint32_t crc, const void *bytes, size_t size);

/* Of the 4 bytes of `first` and then of `words` times 8 bytes: what a record has. */
uint32_t hl_crc32c_words(uint32_t crc, uint32_t first, const void *bytes, size_t words);

/* hl_crc32c by tables, on every machine: for those without the instruction, and to test it. */
uint32_t hl_crc32c_by_table(uint32_t crc, const void *bytes, size_t size);

#endif
