#include "market/itch.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "market/stream.h"

#define PREFIX_BYTES     2
#define MESSAGE_MAX      50
#define RECORD_MAX_BYTES (PREFIX_BYTES + MESSAGE_MAX)
#define STOCK_BYTES      8
#define LOCATE_COUNT     65536
#define DAY_NS           UINT64_C(86400000000000)
#define SHARES_MAX       INT32_MAX /* as a signed number it would be negative */

/* NASDAQ TotalView-ITCH 5.0, the tables of section 1; O (1.2.8) came in 2021. */
static const uint8_t length_of_type[256] = {
    ['S'] = 12, ['R'] = 39, ['H'] = 25, ['Y'] = 20, ['L'] = 26, ['V'] = 35, ['W'] = 12, ['K'] = 28,
    ['J'] = 35, ['h'] = 21, ['O'] = 48, ['A'] = 36, ['F'] = 40, ['E'] = 31, ['C'] = 36, ['X'] = 23,
    ['D'] = 19, ['U'] = 35, ['P'] = 44, ['Q'] = 40, ['B'] = 19, ['I'] = 50, ['N'] = 20,
};

typedef struct itch_reader {
    market_stream *stream;
    market_input_report *report;
    char symbol[STOCK_BYTES + 1];  /* what market_itch_symbol gave last */
    uint8_t stocks[][STOCK_BYTES]; /* [LOCATE_COUNT] as on the wire; first byte 0: not named */
} itch_reader;

size_t market_itch_length_bytes(uint8_t type)
{
    return length_of_type[type];
}

/* ---- big-endian fields ---- */

static uint16_t load_16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t load_32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return __builtin_bswap32(value);
}

static uint64_t load_64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return __builtin_bswap64(value);
}

static uint64_t load_time_ns(const uint8_t *message)
{
    return (uint64_t)load_16(message + 5) << 32 | load_32(message + 7);
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the loads swap");

/* ---- frames ---- */

static bool frame_is_sound(const uint8_t *record, size_t size_bytes)
{
    if (size_bytes <= PREFIX_BYTES)
        return false;
    const size_t length_bytes = load_16(record);
    return length_bytes != 0 && length_bytes == length_of_type[record[PREFIX_BYTES]] &&
           size_bytes >= PREFIX_BYTES + length_bytes;
}

static size_t plausible_record(const uint8_t *bytes, size_t size_bytes)
{
    if (size_bytes == PREFIX_BYTES && load_16(bytes) == 0) /* the closing mark */
        return PREFIX_BYTES;
    if (!frame_is_sound(bytes, size_bytes) || load_time_ns(bytes + PREFIX_BYTES) >= DAY_NS)
        return 0;
    return (size_t)PREFIX_BYTES + load_16(bytes);
}

/* "'z' (0x7a)", or the number alone when it is no printable letter. */
static void name_type(uint8_t type, char ret_name[16])
{
    if (isgraph(type))
        snprintf(ret_name, 16, "'%c' (0x%02x)", type, type);
    else
        snprintf(ret_name, 16, "0x%02x", type);
}

/* Says what is wrong with the frame that starts here. */
static void describe_frame(const market_stream *stream, size_t have_bytes, hl_error *ret_fault)
{
    const unsigned long long offset = market_stream_offset(stream);
    if (have_bytes <= PREFIX_BYTES) {
        hl_error_set(ret_fault, HL_BAD_INPUT,
                     "%s: byte %llu: the file ends inside a record, after %zu of its bytes: get "
                     "the whole file",
                     stream->name, offset, have_bytes);
        return;
    }
    const size_t length_bytes = load_16(stream->at);
    const uint8_t type = stream->at[PREFIX_BYTES];
    char name[16];
    name_type(type, name);
    if (length_of_type[type] == 0)
        hl_error_set(ret_fault, HL_BAD_INPUT,
                     "%s: byte %llu: unknown message type %s with length %zu: no such type in "
                     "TotalView-ITCH 5.0",
                     stream->name, offset, name, length_bytes);
    else if (length_bytes != length_of_type[type])
        hl_error_set(ret_fault, HL_BAD_INPUT,
                     "%s: byte %llu: length %zu for message type %s, which has %d", stream->name,
                     offset, length_bytes, name, length_of_type[type]);
    else
        hl_error_set(ret_fault, HL_BAD_INPUT,
                     "%s: byte %llu: the file ends inside a record of type %s, after %zu of %zu "
                     "bytes: get the whole file",
                     stream->name, offset, name, have_bytes, PREFIX_BYTES + length_bytes);
}

/* Says what is wrong and goes to the next good record: no length of this one is to be trusted. */
static market_step skip_bad_frame(itch_reader *itch, size_t have_bytes, hl_error *ret_fault)
{
    market_stream *const stream = itch->stream;
    if (have_bytes < RECORD_MAX_BYTES && market_stream_failure(stream, ret_fault) != HL_OK) {
        itch->report->skipped_bytes += have_bytes; /* a record cut by the failure is part of it */
        market_stream_skip(stream, have_bytes);
        return market_step_at_end(stream, ret_fault);
    }
    describe_frame(stream, have_bytes, ret_fault);
    itch->report->skipped_bytes += market_stream_resync(stream, RECORD_MAX_BYTES, plausible_record);
    return MARKET_STEP_BAD;
}

/* ---- messages ---- */

static bool take_stock(itch_reader *itch, uint32_t locate, const uint8_t *stock)
{
    uint8_t *const known = itch->stocks[locate];
    if (memcmp(known, stock, STOCK_BYTES) == 0)
        return true;
    for (int i = 0; i < STOCK_BYTES; i++)
        if (!isprint(stock[i]))
            return false;
    if (stock[0] == ' ')
        return false;
    memcpy(known, stock, STOCK_BYTES);
    return true;
}

static bool take_shares(const uint8_t *at, uint32_t least, uint32_t *ret_shares)
{
    *ret_shares = load_32(at);
    return *ret_shares >= least && *ret_shares <= SHARES_MAX;
}

static bool take_side(uint8_t letter, uint8_t *ret_side)
{
    *ret_side = letter == 'B' ? 'B' : 'A';
    return letter == 'B' || letter == 'S';
}

static const char bad_stock[] = "the stock name is not printable text";
static const char bad_shares[] = "the number of shares is not between 1 and 2147483647";
static const char bad_side[] = "the side is neither 'B' nor 'S'";

/* An order that is added and one that is traded without having been shown: laid out alike. */
static const char *decode_order(itch_reader *itch, const uint8_t *message, market_action action,
                                market_message *ret)
{
    ret->action = action;
    ret->order_id = load_64(message + 11);
    ret->price = load_32(message + 32);
    if (!take_side(message[19], &ret->side))
        return bad_side;
    if (!take_shares(message + 20, 1, &ret->quantity))
        return bad_shares;
    return take_stock(itch, ret->instrument, message + 24) ? NULL : bad_stock;
}

static const char *decode_replace(const uint8_t *message, market_message *ret)
{
    ret->action = MARKET_REPLACE;
    ret->order_id = load_64(message + 11);
    ret->new_order_id = load_64(message + 19);
    ret->price = load_32(message + 31);
    return take_shares(message + 27, 1, &ret->quantity) ? NULL : bad_shares;
}

/* A cross may have traded nothing; its shares have 8 bytes. */
static const char *decode_cross(itch_reader *itch, const uint8_t *message, market_message *ret)
{
    ret->action = MARKET_TRADE;
    ret->order_id = load_64(message + 31); /* the match number */
    ret->price = load_32(message + 27);
    if (load_64(message + 11) > SHARES_MAX)
        return bad_shares;
    ret->quantity = (uint32_t)load_64(message + 11);
    return take_stock(itch, ret->instrument, message + 19) ? NULL : bad_stock;
}

/* Fills the rest of *ret. NULL, or what is impossible about the message. */
static const char *decode_body(itch_reader *itch, const uint8_t *message, market_message *ret)
{
    switch (message[0]) {
    case 'A':
    case 'F':
        return decode_order(itch, message, MARKET_ADD, ret);
    case 'D':
        ret->action = MARKET_DELETE;
        ret->order_id = load_64(message + 11);
        return NULL;
    case 'X':
        ret->action = MARKET_REDUCE;
        ret->order_id = load_64(message + 11);
        return take_shares(message + 19, 1, &ret->quantity) ? NULL : bad_shares;
    case 'C':
        ret->price = load_32(message + 32);
        /* fall through */
    case 'E':
        ret->action = MARKET_EXECUTE;
        ret->order_id = load_64(message + 11);
        return take_shares(message + 19, 1, &ret->quantity) ? NULL : bad_shares;
    case 'U':
        return decode_replace(message, ret);
    case 'P':
        return decode_order(itch, message, MARKET_TRADE, ret);
    case 'Q':
        return decode_cross(itch, message, ret);
    case 'B':
        ret->order_id = load_64(message + 11); /* the match number of the broken trade */
        return NULL;
    case 'R':
        return take_stock(itch, ret->instrument, message + 11) ? NULL : bad_stock;
    default:
        return NULL;
    }
}

static market_step itch_next(void *state, market_message *ret_message, hl_error *ret_fault)
{
    itch_reader *const itch = state;
    market_stream *const stream = itch->stream;
    const size_t have_bytes = market_stream_has(stream, RECORD_MAX_BYTES);
    if (have_bytes == 0)
        return market_step_at_end(stream, ret_fault);
    if (have_bytes == PREFIX_BYTES && load_16(stream->at) == 0) {
        market_stream_skip(stream, PREFIX_BYTES);
        return market_step_at_end(stream, ret_fault);
    }
    if (!frame_is_sound(stream->at, have_bytes))
        return skip_bad_frame(itch, have_bytes, ret_fault);

    const uint8_t *const message = stream->at + PREFIX_BYTES;
    const size_t record_bytes = (size_t)PREFIX_BYTES + load_16(stream->at);
    *ret_message = (market_message){
        .exchange_ns = load_time_ns(message),
        .instrument = load_16(message + 1),
        .action = MARKET_STATUS,
        .side = 'N',
        .raw_type = message[0],
    };
    const char *problem = decode_body(itch, message, ret_message);
    if (problem == NULL && ret_message->exchange_ns >= DAY_NS)
        problem = "the time of day is past midnight";
    if (problem != NULL) {
        hl_error_set(ret_fault, HL_BAD_INPUT, "%s: byte %llu: message type '%c': %s", stream->name,
                     (unsigned long long)market_stream_offset(stream), message[0], problem);
        itch->report->skipped_bytes += record_bytes;
    }
    market_stream_skip(stream, record_bytes);
    return problem == NULL ? MARKET_STEP_MESSAGE : MARKET_STEP_BAD;
}

static const char *itch_symbol(void *state, uint32_t instrument)
{
    itch_reader *const itch = state;
    if (instrument >= LOCATE_COUNT || itch->stocks[instrument][0] == 0)
        return "?";
    memcpy(itch->symbol, itch->stocks[instrument], STOCK_BYTES);
    size_t length = STOCK_BYTES;
    while (length > 0 && itch->symbol[length - 1] == ' ')
        length--;
    itch->symbol[length] = '\0';
    return itch->symbol;
}

static hl_status itch_open(market_stream *stream, market_input_report *report, void **ret_state,
                           hl_error *error)
{
    const size_t have_bytes = market_stream_has(stream, RECORD_MAX_BYTES);
    if (!frame_is_sound(stream->at, have_bytes) && plausible_record(stream->at, have_bytes) == 0) {
        hl_error fault;
        describe_frame(stream, have_bytes, &fault);
        return hl_error_set(error, HL_BAD_INPUT,
                            "%.380s; so this is no ITCH 5.0 file with 2-byte lengths", fault.text);
    }
    itch_reader *const itch = calloc(1, sizeof *itch + (size_t)LOCATE_COUNT * STOCK_BYTES);
    if (itch == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "%s: out of memory", stream->name);
    itch->stream = stream;
    itch->report = report;
    *ret_state = itch;
    return HL_OK;
}

const market_format market_itch_format = {
    .name = "itch", .open = itch_open, .next = itch_next, .symbol = itch_symbol, .close = free};
