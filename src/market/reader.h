/*
 * Reading market data: one interface, three formats behind it (ITCH 5.0, LOBSTER, DBN version 1),
 * and a seeded generator that goes through the ITCH reader.
 *
 *     market_reader *reader;
 *     if (market_reader_open("itch:day.itch.gz", NULL, &reader, &error) != HL_OK) ...
 *     market_message message;
 *     hl_status status;
 *     while ((status = market_reader_next(reader, &message, &error)) == HL_OK)
 *         use(&message);
 *     // HL_NOT_FOUND: the end; anything else: error.text says where and what
 *     market_reader_close(reader);
 *
 * A record that cannot be what it says it is is a bad record: counted in the report, its sentence
 * kept when it is the first, and skipped up to the next good one, as long as there are no more than
 * options.max_errors of them. Nothing is skipped without being counted. How each format finds its
 * next good record is said in itch.h, lobster.h and dbn.h.
 *
 * A reader belongs to one thread at a time. Several readers are independent.
 */
#ifndef MARKET_READER_H
#define MARKET_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hotlane/status.h>

#include "market/message.h"

#define MARKET_PATH_MAX 1024 /* bytes of a path with its closing zero; a longer one is refused */

typedef struct market_reader market_reader;

/* All zero (or NULL for the whole): stop at the first bad record, read to the end. */
typedef struct market_reader_options {
    uint64_t max_errors; /* bad records that are passed over before reading stops */
    uint64_t limit;      /* messages to read at most; 0: all */
} market_reader_options;

/* What has been read so far. */
typedef struct market_input_report {
    char format[16];                       /* "itch", "lobster", "dbn", "synthetic" */
    char path[MARKET_PATH_MAX];            /* the file; of "synthetic" the seed */
    char order_book_path[MARKET_PATH_MAX]; /* LOBSTER: the order-book file in use; "": none */
    uint64_t messages;                     /* = the sum of by_type */
    uint64_t by_type[256];                 /* by market_message.raw_type */
    uint64_t bad_records;                  /* what could not be read; a run of lost bytes is one */
    uint64_t skipped_bytes;                /* the (unpacked) bytes of the bad records */
    uint64_t other_records; /* DBN: well-formed records that are not market-by-order */
    uint64_t first_ns;      /* exchange_ns of the first message, and of the last */
    uint64_t last_ns;
    hl_error first_bad; /* the first bad record; status HL_OK: there was none */
} market_input_report;

/*
 * Opens "itch:FILE", "lobster:FILE", "dbn:FILE" or "synthetic:SEED" (SEED: decimal, or hexadecimal
 * after 0x). A file may be plain, gzip or zstd: its first bytes tell, not its name. Reads as far
 * as the first record, so that a file of the wrong kind is refused here.
 *
 * options: NULL for the defaults; copied. *ret_reader is the caller's: market_reader_close.
 *
 * HL_INVALID     no such scheme, or not a seed
 * HL_SYSTEM      no such file, no permission, a directory, a failed read
 * HL_BAD_INPUT   empty, or not of that format
 * HL_NO_MEMORY
 */
hl_status market_reader_open(const char *spec, const market_reader_options *options,
                             market_reader **ret_reader, hl_error *error);

/*
 * The next message.
 *
 * HL_OK          *ret_message is filled
 * HL_NOT_FOUND   the end of the input, or options.limit is reached
 * HL_BAD_INPUT   one bad record more than options.max_errors: "FILE: byte 1234: ..." or
 *                "FILE:17: ...", with the counts so far; the same answer from here on
 * HL_SYSTEM      a read failed; the same answer from here on
 */
hl_status market_reader_next(market_reader *reader, market_message *ret_message, hl_error *error);

/* The counts so far; the reader's memory, valid until it is closed. */
const market_input_report *market_reader_report(const market_reader *reader);

/*
 * The name of an instrument: ITCH the stock of that locate code, LOBSTER the ticker in the file's
 * name, DBN the instrument id as text. "?" when the input has not named it (yet). The reader's
 * memory, valid until the next call on this reader.
 */
const char *market_reader_symbol(market_reader *reader, uint32_t instrument);

/* NULL is allowed. */
void market_reader_close(market_reader *reader);

/* A whole input, decoded ahead. */
typedef struct market_recording {
    market_message *messages;
    size_t count;
    market_reader *reader; /* for market_reader_report and market_reader_symbol; at its end */
} market_recording;

/*
 * Opens and reads all of it. On HL_OK *ret_recording is the caller's: market_recording_free. On
 * failure nothing is kept; error.text holds the place and the counts so far. Statuses as of open
 * and next, without HL_NOT_FOUND: an input of no messages is HL_OK with count 0.
 */
hl_status market_reader_read_all(const char *spec, const market_reader_options *options,
                                 market_recording *ret_recording, hl_error *error);

void market_recording_free(market_recording *recording);

/*
 * The name under which reports show a raw_type: "A" for a letter, "4" for a LOBSTER number,
 * "0x07" for what is neither. ret_name: at least 5 bytes.
 */
void market_type_name(uint8_t raw_type, char *ret_name);

/*
 * What a format gives to the reader: itch.h, lobster.h and dbn.h each hold one of these. next()
 * decodes and resynchronises; counting and the decision to go on are the reader's alone.
 */
typedef enum market_step {
    MARKET_STEP_MESSAGE, /* ret_message is filled */
    MARKET_STEP_OTHER,   /* a well-formed record without a message */
    MARKET_STEP_BAD,     /* one bad record, in ret_fault; the next call reads on after it */
    MARKET_STEP_LOST,    /* a bad record, in ret_fault, after which nothing can be read */
    MARKET_STEP_END,
    MARKET_STEP_FAILED, /* the system failed, in ret_fault; not the input's fault */
} market_step;

struct market_stream;

/* What the end of a stream's bytes means: MARKET_STEP_END, or LOST or FAILED with *ret_fault. */
market_step market_step_at_end(const struct market_stream *stream, hl_error *ret_fault);

typedef struct market_format {
    const char *name; /* the scheme */
    /* Takes the first bytes' word for it that this is the format. The stream stays the reader's;
     * of the report only skipped_bytes and order_book_path are the format's to write. */
    hl_status (*open)(struct market_stream *stream, market_input_report *report, void **ret_state,
                      hl_error *error);
    market_step (*next)(void *state, market_message *ret_message, hl_error *ret_fault);
    const char *(*symbol)(void *state, uint32_t instrument);
    void (*close)(void *state);
} market_format;

#endif
