/*
 * A seeded trading day as real NASDAQ TotalView-ITCH 5.0 bytes: system events, stock directory and
 * trading state of several symbols, a quiet hour, the open, a calm stretch, a minute of crash with
 * bursts (up to about 2,700 messages in 1 ms, and several with one time), a recovery, the close
 * with its cross, all orders deleted.
 *
 * The same seed and options give the same bytes on every machine: integers only, own generator
 * (xoshiro256**, seeded by SplitMix64). Every order that is named is there; no book is ever crossed
 * or locked after a message; times never decrease.
 */
#ifndef MARKET_GENERATOR_H
#define MARKET_GENERATOR_H

#include <stddef.h>
#include <stdint.h>

#include <hotlane/status.h>

/* 0 in a field (or NULL for the whole): the default. */
typedef struct market_generator_options {
    uint32_t messages; /* about so many; default 400,000; 1,000 to 50,000,000 */
    uint32_t symbols;  /* default 8; 1 to 64 */
} market_generator_options;

/* HL_OK: *ret_bytes is the caller's to free(). HL_INVALID: out of range. HL_NO_MEMORY. */
hl_status market_generate(uint64_t seed, const market_generator_options *options,
                          uint8_t **ret_bytes, size_t *ret_size_bytes, hl_error *error);

#endif
