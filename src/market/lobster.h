/*
 * LOBSTER message files: CSV without a header, columns time (seconds after midnight), type, order
 * id, size, price (dollars x 10,000), direction. Source: LOBSTER_SampleFiles_ReadMe.txt of the
 * sample files on lobsterdata.com.
 *
 * NAME_message_N.csv has its order book beside it in NAME_orderbook_N.csv (each also with .gz or
 * .zst): row k is the book after message k. When that file is there, every message carries its best
 * prices in `top`; a book row that is bad or missing makes its message a bad record, since the two
 * belong together. LOBSTER's dummy prices of an empty side, 9999999999 and -9999999999, become a
 * size of 0.
 *
 * Lines are the sync mark: a bad line is one bad record, the next line is read as if nothing
 * were. The ticker is the file's name up to its first '_'.
 *
 * How the types map: 1 add; 2 reduce; 3 delete; 4 execute; 5 (hidden) and 6 (cross) trade; 7
 * (halt) status, with price -1 halted, 0 quoting again, 1 trading again. Instrument: always 1.
 */
#ifndef MARKET_LOBSTER_H
#define MARKET_LOBSTER_H

#include "market/reader.h"

extern const market_format market_lobster_format;

#endif
