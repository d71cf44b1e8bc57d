/*
 * NASDAQ TotalView-ITCH 5.0 day files: u16 big-endian length, then the message, as many as there
 * are; a length of 0 closes the file (BinaryFILE). Source: "NASDAQ TotalView-ITCH 5.0", section 1;
 * the fields are at fixed offsets, and each type has one length, which is checked.
 *
 * A record of a known type and that type's length that holds an impossible value is skipped alone.
 * When type or length is wrong, the place of the next record is in doubt, and ITCH has no sync
 * mark: the reader goes on at the first byte after it from which three records in a row have a
 * known type, that type's length and a time of day (or fewer, and the file ends exactly there). All
 * bytes passed over count as one bad record. A chance match among lost bytes can yield a message
 * that was none: three headers make that improbable, not impossible.
 *
 * How the types map: A F add; E C execute; X reduce; D delete; U replace; P Q trade; all others
 * status. Times are ns since midnight, New York.
 */
#ifndef MARKET_ITCH_H
#define MARKET_ITCH_H

#include "market/reader.h"

extern const market_format market_itch_format;

/* The length that messages of this type have, in bytes without the prefix; 0: no such type. */
size_t market_itch_length_bytes(uint8_t type);

#endif
