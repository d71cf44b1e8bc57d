#include "market/dbn.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "market/stream.h"

#define PRELUDE_BYTES        8   /* "DBN", version, metadata length */
#define METADATA_FIXED_BYTES 100 /* dbn: METADATA_FIXED_LEN */
#define METADATA_MAX_BYTES   (UINT32_C(256) << 20)
#define SCHEMA_AT            (PRELUDE_BYTES + 16)
#define SCHEMA_MBO           0
#define SCHEMA_MIXED         0xffff
#define TS_OUT_AT            (PRELUDE_BYTES + 52)
#define VERSION              1

#define WORD_BYTES       4 /* the unit of a record's length */
#define HEADER_WORDS     4
#define RTYPE_MBO        0xa0
#define MBO_BYTES        56
#define RECORD_MAX_BYTES (MBO_BYTES + 8)
#define OTHER_MAX_BYTES  ((size_t)UINT8_MAX * WORD_BYTES)
#define UNDEFINED_PRICE  INT64_MAX
#define SIZE_LIMIT       INT32_MAX /* as a signed number it would be negative */

#define FLAG_LAST     0x80
#define FLAG_SNAPSHOT 0x20

typedef struct dbn_reader {
    market_stream *stream;
    market_input_report *report;
    size_t mbo_bytes; /* 56, or 64 when each record ends with the time it was sent */
    char symbol[16];  /* what dbn_symbol gave last */
} dbn_reader;

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "DBN is little-endian");

static uint32_t load_32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static uint64_t load_64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* ---- frames ---- */

static bool is_action(uint8_t letter)
{
    return letter != 0 && strchr("ACMFTRN", letter) != NULL;
}

static bool is_side(uint8_t letter)
{
    return letter == 'B' || letter == 'A' || letter == 'N';
}

/* The record types of dbn's rtype list that are not market-by-order. */
static bool is_other_type(uint8_t rtype)
{
    static const uint8_t known[] = {
        0x00, 0x01, 0x0a,                         /* trades and market by price 1 and 10 */
        0x11, 0x20, 0x21, 0x22, 0x23, 0x24,       /* bars */
        0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, /* status ... mapping, system, statistics */
        0xb1, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4,       /* consolidated and sampled quotes */
    };
    return memchr(known, rtype, sizeof known) != NULL;
}

/* Both lengths that a market-by-order record can have are looked for. */
static size_t plausible_record(const uint8_t *bytes, size_t size_bytes)
{
    if (size_bytes < MBO_BYTES || bytes[1] != RTYPE_MBO)
        return 0;
    const size_t record_bytes = (size_t)bytes[0] * WORD_BYTES;
    const bool fits = record_bytes == MBO_BYTES || record_bytes == RECORD_MAX_BYTES;
    return fits && is_action(bytes[38]) && is_side(bytes[39]) ? record_bytes : 0;
}

static void describe_frame(const dbn_reader *dbn, size_t have_bytes, hl_error *ret_fault)
{
    const market_stream *const stream = dbn->stream;
    const uint64_t offset = market_stream_offset(stream);
    const size_t record_bytes = (size_t)stream->at[0] * WORD_BYTES;
    const uint8_t rtype = have_bytes > 1 ? stream->at[1] : RTYPE_MBO;
    const bool mbo = rtype == RTYPE_MBO;
    if (have_bytes > 1 && !mbo && !is_other_type(rtype))
        hl_error_set(ret_fault, HL_BAD_INPUT,
                     "%s: byte %" PRIu64 ": unknown record type 0x%02x (market by order is 0xa0)",
                     stream->name, offset, rtype);
    else if (mbo && record_bytes != dbn->mbo_bytes)
        hl_error_set(ret_fault, HL_BAD_INPUT,
                     "%s: byte %" PRIu64
                     ": a length of %zu bytes for a market-by-order record, which has %zu",
                     stream->name, offset, record_bytes, dbn->mbo_bytes);
    else if (record_bytes < HEADER_WORDS * WORD_BYTES)
        hl_error_set(ret_fault, HL_BAD_INPUT,
                     "%s: byte %" PRIu64 ": a length of %zu bytes: the header alone has %d",
                     stream->name, offset, record_bytes, HEADER_WORDS * WORD_BYTES);
    else
        hl_error_set(ret_fault, HL_BAD_INPUT,
                     "%s: byte %" PRIu64 ": the file ends inside a record, after %zu of %zu "
                     "bytes: get the whole file",
                     stream->name, offset, have_bytes, record_bytes);
}

/* Says what is wrong and goes to the next good record: no length of this one is to be trusted. */
static market_step skip_bad_frame(dbn_reader *dbn, size_t have_bytes, hl_error *ret_fault)
{
    market_stream *const stream = dbn->stream;
    if (have_bytes < OTHER_MAX_BYTES && market_stream_failure(stream, ret_fault) != HL_OK) {
        dbn->report->skipped_bytes += have_bytes; /* a record cut by the failure is part of it */
        market_stream_skip(stream, have_bytes);
        return market_step_at_end(stream, ret_fault);
    }
    describe_frame(dbn, have_bytes, ret_fault);
    dbn->report->skipped_bytes += market_stream_resync(stream, RECORD_MAX_BYTES, plausible_record);
    return MARKET_STEP_BAD;
}

/* ---- records ---- */

static uint8_t action_of(uint8_t letter)
{
    switch (letter) {
    case 'A':
        return MARKET_ADD;
    case 'C':
        return MARKET_REDUCE;
    case 'M':
        return MARKET_MODIFY;
    case 'F':
    case 'T':
        return MARKET_TRADE;
    case 'R':
        return MARKET_CLEAR;
    default:
        return MARKET_STATUS;
    }
}

/* NULL, or what is impossible about the record. */
static const char *decode(const uint8_t *record, market_message *ret_message)
{
    const uint8_t letter = record[38];
    const uint8_t side = record[39];
    const uint8_t flags = record[36];
    const int64_t price = (int64_t)load_64(record + 24);
    *ret_message = (market_message){
        .instrument = load_32(record + 4),
        .exchange_ns = load_64(record + 8),
        .order_id = load_64(record + 16),
        .price = price == UNDEFINED_PRICE ? 0 : price,
        .quantity = load_32(record + 32),
        .action = action_of(letter),
        .side = side,
        .flags = (uint8_t)((flags & FLAG_SNAPSHOT ? MARKET_SNAPSHOT : 0) |
                           (flags & FLAG_LAST ? MARKET_LAST : 0)),
        .raw_type = letter,
    };
    if (!is_action(letter))
        return "unknown action: one of A C M F T R N";
    if (!is_side(side))
        return "unknown side: one of B A N";
    if (letter == 'R' || letter == 'N') { /* their size and price mean nothing */
        ret_message->quantity = 0;
        return NULL;
    }
    if (ret_message->quantity > SIZE_LIMIT)
        return "the size is more than 2147483647, so negative";
    const bool rests = letter == 'A' || letter == 'M';
    if (rests && side == 'N')
        return "an order in the book without a side";
    if (rests && price == UNDEFINED_PRICE)
        return "an order in the book without a price";
    if (letter == 'A' && ret_message->quantity == 0)
        return "a new order of size 0";
    return NULL;
}

static market_step take_mbo(dbn_reader *dbn, market_message *ret_message, hl_error *ret_fault)
{
    market_stream *const stream = dbn->stream;
    const char *const problem = decode(stream->at, ret_message);
    if (problem != NULL) {
        const uint8_t letter = ret_message->raw_type;
        hl_error_set(ret_fault, HL_BAD_INPUT, "%s: byte %" PRIu64 ": action '%c': %s", stream->name,
                     market_stream_offset(stream), isgraph(letter) ? letter : '?', problem);
        dbn->report->skipped_bytes += dbn->mbo_bytes;
    }
    market_stream_skip(stream, dbn->mbo_bytes);
    return problem == NULL ? MARKET_STEP_MESSAGE : MARKET_STEP_BAD;
}

static market_step dbn_next(void *state, market_message *ret_message, hl_error *ret_fault)
{
    dbn_reader *const dbn = state;
    market_stream *const stream = dbn->stream;
    size_t have_bytes = market_stream_has(stream, RECORD_MAX_BYTES);
    if (have_bytes == 0)
        return market_step_at_end(stream, ret_fault);
    const size_t record_bytes = (size_t)stream->at[0] * WORD_BYTES;
    if (have_bytes > 1 && stream->at[1] == RTYPE_MBO) {
        if (record_bytes == dbn->mbo_bytes && have_bytes >= record_bytes)
            return take_mbo(dbn, ret_message, ret_fault);
        return skip_bad_frame(dbn, have_bytes, ret_fault);
    }
    if (have_bytes > 1 && is_other_type(stream->at[1]) &&
        record_bytes >= HEADER_WORDS * WORD_BYTES) {
        have_bytes = market_stream_has(stream, record_bytes);
        if (have_bytes >= record_bytes) {
            market_stream_skip(stream, record_bytes);
            return MARKET_STEP_OTHER;
        }
    }
    return skip_bad_frame(dbn, have_bytes, ret_fault);
}

static const char *dbn_symbol(void *state, uint32_t instrument)
{
    dbn_reader *const dbn = state;
    snprintf(dbn->symbol, sizeof dbn->symbol, "%" PRIu32, instrument);
    return dbn->symbol;
}

/* ---- opening ---- */

static hl_status check_prelude(const market_stream *stream, size_t have_bytes, hl_error *error)
{
    const uint8_t *const at = stream->at;
    if (have_bytes < 3 || memcmp(at, "DBN", 3) != 0)
        return hl_error_set(error, HL_BAD_INPUT,
                            "%s: byte 0: does not begin with \"DBN\", so this is no DBN file",
                            stream->name);
    if (have_bytes < PRELUDE_BYTES + METADATA_FIXED_BYTES)
        return hl_error_set(error, HL_BAD_INPUT,
                            "%s: byte %zu: the file ends inside its metadata: get the whole file",
                            stream->name, have_bytes);
    if (at[3] != VERSION)
        return hl_error_set(error, HL_BAD_INPUT,
                            "%s: byte 3: DBN version %d: this reader takes version %d",
                            stream->name, at[3], VERSION);
    const uint32_t metadata_bytes = load_32(at + 4);
    if (metadata_bytes < METADATA_FIXED_BYTES || metadata_bytes > METADATA_MAX_BYTES)
        return hl_error_set(error, HL_BAD_INPUT,
                            "%s: byte 4: a metadata length of %" PRIu32 ": from %d to %" PRIu32
                            " would be right",
                            stream->name, metadata_bytes, METADATA_FIXED_BYTES, METADATA_MAX_BYTES);
    const unsigned schema = at[SCHEMA_AT] | (unsigned)at[SCHEMA_AT + 1] << 8;
    if (schema != SCHEMA_MBO && schema != SCHEMA_MIXED)
        return hl_error_set(error, HL_BAD_INPUT,
                            "%s: byte %d: schema %u: this reader takes market by order (mbo, 0)",
                            stream->name, SCHEMA_AT, schema);
    return HL_OK;
}

/* Passes the metadata, which may be wider than the window. */
static hl_status skip_metadata(market_stream *stream, hl_error *error)
{
    size_t left_bytes = PRELUDE_BYTES + (size_t)load_32(stream->at + 4);
    while (left_bytes > 0) {
        const size_t have_bytes = market_stream_has(stream, 1);
        if (have_bytes == 0) {
            const hl_status status = market_stream_failure(stream, error);
            if (status != HL_OK)
                return status;
            return hl_error_set(error, HL_BAD_INPUT,
                                "%s: byte %" PRIu64 ": the file ends inside its metadata, %zu "
                                "bytes short: get the whole file",
                                stream->name, market_stream_offset(stream), left_bytes);
        }
        const size_t step_bytes = have_bytes < left_bytes ? have_bytes : left_bytes;
        market_stream_skip(stream, step_bytes);
        left_bytes -= step_bytes;
    }
    return HL_OK;
}

static hl_status dbn_open(market_stream *stream, market_input_report *report, void **ret_state,
                          hl_error *error)
{
    const size_t have_bytes = market_stream_has(stream, PRELUDE_BYTES + METADATA_FIXED_BYTES);
    hl_status status = check_prelude(stream, have_bytes, error);
    if (status != HL_OK)
        return status;
    const bool sent_time = stream->at[TS_OUT_AT] != 0;
    status = skip_metadata(stream, error);
    if (status != HL_OK)
        return status;
    dbn_reader *const dbn = calloc(1, sizeof *dbn);
    if (dbn == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "%s: out of memory", stream->name);
    dbn->stream = stream;
    dbn->report = report;
    dbn->mbo_bytes = sent_time ? RECORD_MAX_BYTES : MBO_BYTES;
    *ret_state = dbn;
    return HL_OK;
}

const market_format market_dbn_format = {
    .name = "dbn", .open = dbn_open, .next = dbn_next, .symbol = dbn_symbol, .close = free};
