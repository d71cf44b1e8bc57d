/*
 * Databento Binary Encoding version 1, market-by-order records. "DBN", u8 version, u32 metadata
 * length (little-endian), metadata, then records that begin with their own length in 4-byte words.
 * Source: databento/dbn, rust/dbn/src/{metadata,record}.rs, and the DBN specification on
 * databento.com.
 *
 * Records of other schemas that may lie between are skipped and counted as other_records. A
 * market-by-order record of the right length that holds an impossible value is skipped alone. When
 * type or length is wrong, the reader goes on at the first byte after it from which three
 * market-by-order records follow in a row (or fewer, and the file ends exactly there). All bytes
 * passed over count as one bad record.
 *
 * How the actions map: A add; C reduce by the given size (the order leaves when nothing is left);
 * M modify; F and T trade (the change to the book comes as C or M); R clear; N status. exchange_ns
 * is ts_event. Prices in 1e-9 units of currency; an undefined price becomes 0 where none is needed.
 */
#ifndef MARKET_DBN_H
#define MARKET_DBN_H

#include "market/reader.h"

extern const market_format market_dbn_format;

#endif
