#include "market/reader.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/number.h"
#include "market/dbn.h"
#include "market/generator.h"
#include "market/itch.h"
#include "market/lobster.h"
#include "market/stream.h"

struct market_reader {
    const market_format *format;
    void *state;
    market_stream *stream;
    market_reader_options options;
    market_input_report report;
    hl_status finished; /* HL_OK: reads on; else the answer to every further call */
    hl_error failure;
};

static const market_format *const formats[] = {&market_itch_format, &market_lobster_format,
                                               &market_dbn_format};

#define FORMAT_COUNT  (sizeof formats / sizeof formats[0])
#define SYNTHETIC     "synthetic"
#define SPEC_EXAMPLES "itch:FILE, lobster:FILE, dbn:FILE or synthetic:SEED"

/* ---- opening ---- */

static bool has_scheme(const char *spec, const char *scheme)
{
    const size_t length = strlen(scheme);
    return strncmp(spec, scheme, length) == 0 && spec[length] == ':';
}

static hl_status open_synthetic(market_reader *reader, const char *seed_text, hl_error *error)
{
    uint64_t seed;
    if (!hl_number_parse(seed_text, 0, UINT64_MAX, &seed))
        return hl_error_set(error, HL_INVALID,
                            "synthetic:%.100s: not a seed: give a whole number from 0 to %llu",
                            seed_text, (unsigned long long)UINT64_MAX);
    uint8_t *bytes;
    size_t size_bytes;
    hl_status status = market_generate(seed, NULL, &bytes, &size_bytes, error);
    if (status != HL_OK)
        return status;
    char name[64];
    snprintf(name, sizeof name, SYNTHETIC ":%llu", (unsigned long long)seed);
    reader->format = &market_itch_format;
    return market_stream_open_memory(name, bytes, size_bytes, &reader->stream, error);
}

/* Finds the format and opens the bytes. */
static hl_status open_stream(market_reader *reader, const char *spec, hl_error *error)
{
    const char *const colon = strchr(spec, ':');
    const char *const path = colon != NULL ? colon + 1 : "";
    const size_t scheme_bytes = colon != NULL ? (size_t)(colon - spec) : 0;
    if (strlen(path) >= MARKET_PATH_MAX)
        return hl_error_set(error, HL_INVALID, "%.100s...: the path has more than %d bytes", spec,
                            MARKET_PATH_MAX - 1);
    if (scheme_bytes > 0 && path[0] == '\0')
        return hl_error_set(error, HL_INVALID, "%.100s: nothing after the ':': give %s", spec,
                            SPEC_EXAMPLES);
    snprintf(reader->report.path, sizeof reader->report.path, "%s", path);
    snprintf(reader->report.format, sizeof reader->report.format, "%.*s", (int)scheme_bytes, spec);
    if (has_scheme(spec, SYNTHETIC))
        return open_synthetic(reader, path, error);
    for (size_t i = 0; i < FORMAT_COUNT; i++) {
        if (has_scheme(spec, formats[i]->name)) {
            reader->format = formats[i];
            return market_stream_open(path, &reader->stream, error);
        }
    }
    return hl_error_set(error, HL_INVALID, "%.200s: not an input: give %s", spec, SPEC_EXAMPLES);
}

hl_status market_reader_open(const char *spec, const market_reader_options *options,
                             market_reader **ret_reader, hl_error *error)
{
    market_reader *const reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "%.200s: out of memory", spec);
    if (options != NULL)
        reader->options = *options;
    hl_status status = open_stream(reader, spec, error);
    if (status == HL_OK)
        status = reader->format->open(reader->stream, &reader->report, &reader->state, error);
    if (status == HL_OK)
        *ret_reader = reader;
    else
        market_reader_close(reader);
    return status;
}

void market_reader_close(market_reader *reader)
{
    if (reader == NULL)
        return;
    if (reader->state != NULL)
        reader->format->close(reader->state);
    market_stream_close(reader->stream);
    free(reader);
}

/* ---- reading ---- */

market_step market_step_at_end(const market_stream *stream, hl_error *ret_fault)
{
    switch (market_stream_failure(stream, ret_fault)) {
    case HL_OK:
        return MARKET_STEP_END;
    case HL_BAD_INPUT:
        return MARKET_STEP_LOST;
    default:
        return MARKET_STEP_FAILED;
    }
}

static void count_message(market_input_report *report, const market_message *message)
{
    if (report->messages == 0)
        report->first_ns = message->exchange_ns;
    report->last_ns = message->exchange_ns;
    report->messages++;
    report->by_type[message->raw_type]++;
}

static hl_status finish(market_reader *reader, hl_status status, const hl_error *fault)
{
    const market_input_report *const report = &reader->report;
    reader->finished = status;
    if (status != HL_NOT_FOUND)
        hl_error_set(&reader->failure, status, "%.380s (%llu messages and %llu bad records so far)",
                     fault->text, (unsigned long long)report->messages,
                     (unsigned long long)report->bad_records);
    return status;
}

/* Counts the bad record; HL_OK: go on. */
static hl_status take_bad(market_reader *reader, market_step step, const hl_error *fault)
{
    market_input_report *const report = &reader->report;
    if (report->bad_records++ == 0)
        report->first_bad = *fault;
    if (report->bad_records > reader->options.max_errors)
        return finish(reader, HL_BAD_INPUT, fault);
    return step == MARKET_STEP_LOST ? finish(reader, HL_NOT_FOUND, NULL) : HL_OK;
}

/* Steps over what holds no message, until there is one or the reading is finished. */
static hl_status step_to_message(market_reader *reader, market_message *ret_message)
{
    while (true) {
        hl_error fault;
        const market_step step = reader->format->next(reader->state, ret_message, &fault);
        hl_status status = HL_OK;
        switch (step) {
        case MARKET_STEP_MESSAGE:
            count_message(&reader->report, ret_message);
            return HL_OK;
        case MARKET_STEP_OTHER:
            reader->report.other_records++;
            break;
        case MARKET_STEP_BAD:
        case MARKET_STEP_LOST:
            status = take_bad(reader, step, &fault);
            break;
        case MARKET_STEP_END:
            status = finish(reader, HL_NOT_FOUND, NULL);
            break;
        case MARKET_STEP_FAILED:
            status = finish(reader, fault.status, &fault);
            break;
        }
        if (status != HL_OK)
            return status;
    }
}

hl_status market_reader_next(market_reader *reader, market_message *ret_message, hl_error *error)
{
    const uint64_t limit = reader->options.limit;
    if (limit > 0 && reader->report.messages >= limit)
        return HL_NOT_FOUND;
    market_message message;
    const hl_status status =
        reader->finished != HL_OK ? reader->finished : step_to_message(reader, &message);
    if (status == HL_OK)
        *ret_message = message;
    else if (status != HL_NOT_FOUND && error != NULL)
        *error = reader->failure;
    return status;
}

const market_input_report *market_reader_report(const market_reader *reader)
{
    return &reader->report;
}

const char *market_reader_symbol(market_reader *reader, uint32_t instrument)
{
    return reader->format->symbol(reader->state, instrument);
}

void market_type_name(uint8_t raw_type, char *ret_name)
{
    if (isalpha(raw_type))
        sprintf(ret_name, "%c", raw_type);
    else if (raw_type <= 9)
        sprintf(ret_name, "%d", raw_type);
    else
        sprintf(ret_name, "0x%02x", raw_type);
}

/* ---- all at once ---- */

static hl_status read_rest(market_recording *recording, hl_error *error)
{
    size_t capacity = 0;
    while (true) {
        if (recording->count == capacity) {
            capacity = capacity == 0 ? 65536 : capacity * 2;
            market_message *const larger = realloc(recording->messages, capacity * sizeof *larger);
            if (larger == NULL)
                return hl_error_set(
                    error, HL_NO_MEMORY, "%.300s: out of memory after %zu messages: set a limit",
                    market_reader_report(recording->reader)->path, recording->count);
            recording->messages = larger;
        }
        const hl_status status =
            market_reader_next(recording->reader, &recording->messages[recording->count], error);
        if (status != HL_OK)
            return status == HL_NOT_FOUND ? HL_OK : status;
        recording->count++;
    }
}

hl_status market_reader_read_all(const char *spec, const market_reader_options *options,
                                 market_recording *ret_recording, hl_error *error)
{
    market_recording recording = {0};
    hl_status status = market_reader_open(spec, options, &recording.reader, error);
    if (status != HL_OK)
        return status;
    status = read_rest(&recording, error);
    if (status == HL_OK)
        *ret_recording = recording;
    else
        market_recording_free(&recording);
    return status;
}

void market_recording_free(market_recording *recording)
{
    if (recording == NULL)
        return;
    free(recording->messages);
    market_reader_close(recording->reader);
    *recording = (market_recording){0};
}
