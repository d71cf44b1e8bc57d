#include "market/lobster.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "market/stream.h"

#define LINE_MAX_BYTES (MARKET_PEEK_MAX / 4)
#define NS_PER_SECOND  INT64_C(1000000000)
#define DAY_SECONDS    86400
#define SIZE_MAX_VALUE INT32_MAX
#define ORDER_COLUMNS  6
#define LEVEL_COLUMNS  4
#define EMPTY_PRICE    INT64_C(9999999999)
#define INSTRUMENT     1
#define TICKER_BYTES   32

typedef struct csv_line {
    const char *at;
    const char *end;    /* without the line's end */
    size_t whole_bytes; /* with it */
} csv_line;

/* A file and the number of the line that was read from it last. */
typedef struct line_source {
    market_stream *stream;
    uint64_t line_number;
} line_source;

typedef struct lobster_reader {
    line_source orders;
    line_source books; /* .stream NULL: there is no order-book file */
    size_t book_columns;
    market_input_report *report;
    char ticker[TICKER_BYTES];
} lobster_reader;

/* ---- lines ---- */

typedef enum line_result {
    LINE_OK,
    LINE_TOO_LONG, /* all of it is passed over */
    LINE_NONE,     /* the end, or market_stream_failure */
} line_result;

static size_t pass_over_line(market_stream *stream)
{
    size_t passed_bytes = 0;
    for (size_t have_bytes; (have_bytes = market_stream_has(stream, 1)) > 0;) {
        const uint8_t *const newline = memchr(stream->at, '\n', have_bytes);
        const size_t step_bytes = newline != NULL ? (size_t)(newline - stream->at) + 1 : have_bytes;
        market_stream_skip(stream, step_bytes);
        passed_bytes += step_bytes;
        if (newline != NULL)
            break;
    }
    return passed_bytes;
}

/* The line that starts here, without passing it. Valid until the stream is used again. */
static line_result peek_line(market_stream *stream, csv_line *ret_line)
{
    const uint8_t *newline = NULL;
    size_t have_bytes = 0;
    /* Most often the window holds the line already; look there before asking for more. */
    for (size_t want_bytes = 1; want_bytes <= LINE_MAX_BYTES; want_bytes = LINE_MAX_BYTES) {
        have_bytes = market_stream_has(stream, want_bytes);
        if (have_bytes > LINE_MAX_BYTES)
            have_bytes = LINE_MAX_BYTES;
        newline = memchr(stream->at, '\n', have_bytes);
        if (newline != NULL || want_bytes == LINE_MAX_BYTES)
            break;
    }
    if (have_bytes == 0)
        return LINE_NONE;
    if (newline == NULL && have_bytes == LINE_MAX_BYTES)
        return LINE_TOO_LONG;
    if (newline == NULL && market_stream_failure(stream, NULL) != HL_OK)
        return LINE_NONE; /* the failure cut it: it is part of the failure */
    const uint8_t *end = newline != NULL ? newline : stream->at + have_bytes;
    ret_line->whole_bytes = (size_t)(end - stream->at) + (newline != NULL);
    if (end > stream->at && end[-1] == '\r')
        end--;
    ret_line->at = (const char *)stream->at;
    ret_line->end = (const char *)end;
    return LINE_OK;
}

/* ---- fields ---- */

static const char *const order_column_names[ORDER_COLUMNS] = {"time", "type",  "order id",
                                                              "size", "price", "direction"};
static const char *const book_column_names[LEVEL_COLUMNS] = {"ask price", "ask size", "bid price",
                                                             "bid size"};

/* Up to 18 digits, so that nothing overflows. Returns how many there were, 0: not a number. */
static int parse_digits(const char **at, const char *end, int64_t *ret_value)
{
    int64_t value = 0;
    int digits = 0;
    const char *p = *at;
    while (p < end && (unsigned char)(*p - '0') <= 9 && digits < 18) {
        value = value * 10 + (*p++ - '0');
        digits++;
    }
    *at = p;
    *ret_value = value;
    return digits;
}

static bool parse_integer(const char **at, const char *end, int64_t *ret_value)
{
    const bool negative = *at < end && **at == '-';
    *at += negative;
    if (parse_digits(at, end, ret_value) == 0)
        return false;
    if (negative)
        *ret_value = -*ret_value;
    return true;
}

/* Seconds with up to nine decimals, as ns; negative or past midnight is none. */
static bool parse_time(const char **at, const char *end, int64_t *ret_ns)
{
    int64_t seconds;
    int64_t fraction = 0;
    if (parse_digits(at, end, &seconds) == 0 || seconds >= DAY_SECONDS)
        return false;
    if (*at < end && **at == '.') {
        ++*at;
        int digits = parse_digits(at, end, &fraction);
        if (digits == 0 || digits > 9)
            return false;
        for (; digits < 9; digits++)
            fraction *= 10;
    }
    *ret_ns = seconds * NS_PER_SECOND + fraction;
    return true;
}

static size_t count_columns(const csv_line *line)
{
    size_t columns = 1;
    for (const char *p = line->at; p < line->end; p++)
        columns += *p == ',';
    return columns;
}

/* The text of column `index`, for a sentence. */
static int column_text(const csv_line *line, size_t index, const char **ret_text)
{
    const char *start = line->at;
    for (; index > 0; index--)
        start = (const char *)memchr(start, ',', (size_t)(line->end - start)) + 1;
    const char *const comma = memchr(start, ',', (size_t)(line->end - start));
    const ptrdiff_t length = (comma != NULL ? comma : line->end) - start;
    *ret_text = start;
    return length > 40 ? 40 : (int)length;
}

/* A bad line: where, and what would be right. */
static void blame_columns(const line_source *source, const csv_line *line, const char *want,
                          hl_error *ret_fault)
{
    hl_error_set(ret_fault, HL_BAD_INPUT, "%s:%" PRIu64 ": %zu columns: %s", source->stream->name,
                 source->line_number, line->at == line->end ? 0 : count_columns(line), want);
}

static void blame_value(const line_source *source, const csv_line *line, size_t column,
                        const char *column_name, const char *want, hl_error *ret_fault)
{
    const char *text;
    const int length = column_text(line, column, &text);
    char shown[41];
    for (int i = 0; i < length; i++) /* what is quoted may be any byte */
        shown[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
    shown[length] = '\0';
    hl_error_set(ret_fault, HL_BAD_INPUT, "%s:%" PRIu64 ": column %zu, %s: \"%s\" is not %s",
                 source->stream->name, source->line_number, column + 1, column_name, shown, want);
}

/* ---- the order-book file ---- */

/* The prices and sizes of the best level: the first four columns of `line`. */
static bool parse_book(const lobster_reader *lobster, const csv_line *line, market_message *message,
                       hl_error *ret_fault)
{
    static const char *const want[LEVEL_COLUMNS] = {"a whole number", "a size from 0 to 2147483647",
                                                    "a whole number",
                                                    "a size from 0 to 2147483647"};
    if (count_columns(line) != lobster->book_columns) {
        char text[64];
        snprintf(text, sizeof text, "the first row has %zu", lobster->book_columns);
        blame_columns(&lobster->books, line, text, ret_fault);
        return false;
    }
    int64_t value[LEVEL_COLUMNS];
    const char *at = line->at;
    for (size_t i = 0; i < LEVEL_COLUMNS; i++) {
        const bool is_size = i % 2 == 1;
        if (!parse_integer(&at, line->end, &value[i]) || (at < line->end && *at != ',') ||
            (is_size && (value[i] < 0 || value[i] > SIZE_MAX_VALUE))) {
            blame_value(&lobster->books, line, i, book_column_names[i], want[i], ret_fault);
            return false;
        }
        at += at < line->end;
    }
    const bool ask_empty = value[0] == EMPTY_PRICE || value[0] == -EMPTY_PRICE;
    const bool bid_empty = value[2] == EMPTY_PRICE || value[2] == -EMPTY_PRICE;
    message->top.best_ask = ask_empty ? 0 : value[0];
    message->top.best_ask_size = ask_empty ? 0 : (uint32_t)value[1];
    message->top.best_bid = bid_empty ? 0 : value[2];
    message->top.best_bid_size = bid_empty ? 0 : (uint32_t)value[3];
    message->flags |= MARKET_HAS_TOP;
    return true;
}

/* Takes the row that belongs to the message just read, good or not, so that both stay in step. */
static market_step take_book_row(lobster_reader *lobster, market_message *message,
                                 hl_error *ret_fault)
{
    line_source *const books = &lobster->books;
    csv_line row;
    books->line_number++;
    switch (peek_line(books->stream, &row)) {
    case LINE_NONE:
        if (market_stream_failure(books->stream, ret_fault) != HL_OK)
            return market_step_at_end(books->stream, ret_fault);
        hl_error_set(ret_fault, HL_BAD_INPUT,
                     "%s:%" PRIu64 ": ends here, before the row of %s:%" PRIu64
                     ": both files need the same number of lines",
                     books->stream->name, books->line_number, lobster->orders.stream->name,
                     lobster->orders.line_number);
        return MARKET_STEP_BAD;
    case LINE_TOO_LONG:
        hl_error_set(ret_fault, HL_BAD_INPUT, "%s:%" PRIu64 ": a line of more than %zu bytes",
                     books->stream->name, books->line_number, LINE_MAX_BYTES);
        pass_over_line(books->stream);
        return MARKET_STEP_BAD;
    case LINE_OK:
        break;
    }
    const bool good = message == NULL || parse_book(lobster, &row, message, ret_fault);
    market_stream_skip(books->stream, row.whole_bytes);
    return good ? MARKET_STEP_MESSAGE : MARKET_STEP_BAD;
}

/* ---- the message file ---- */

static void map_type(int64_t type, market_message *message)
{
    static const uint8_t action_of_type[8] = {
        [1] = MARKET_ADD,   [2] = MARKET_REDUCE, [3] = MARKET_DELETE, [4] = MARKET_EXECUTE,
        [5] = MARKET_TRADE, [6] = MARKET_TRADE,  [7] = MARKET_STATUS,
    };
    message->action = action_of_type[type];
    message->raw_type = (uint8_t)type;
}

/* What a column must be, given the type; NULL: it is. */
static const char *check_column(size_t column, int64_t value, int64_t type)
{
    const bool halt = type == 7;
    switch (column) {
    case 1:
        return value >= 1 && value <= 7 ? NULL : "a type from 1 to 7";
    case 2:
        return value >= 0 ? NULL : "an order id (0 or more)";
    case 3:
        return value >= !halt && value <= SIZE_MAX_VALUE ? NULL : "a size from 1 to 2147483647";
    case 4:
        if (halt)
            return value >= -1 && value <= 1 ? NULL : "-1, 0 or 1, as a halt has it";
        return value > 0 ? NULL : "a price (more than 0)";
    case 5:
        return value == 1 || value == -1 ? NULL : "1 or -1";
    default:
        return NULL;
    }
}

static bool parse_order(const line_source *source, const csv_line *line,
                        market_message *ret_message, hl_error *ret_fault)
{
    int64_t value[ORDER_COLUMNS] = {0};
    const char *at = line->at;
    for (size_t i = 0; i < ORDER_COLUMNS; i++) {
        const bool number = i == 0 ? parse_time(&at, line->end, &value[0])
                                   : parse_integer(&at, line->end, &value[i]);
        const bool last = i + 1 == ORDER_COLUMNS;
        const char *want = number   ? check_column(i, value[i], value[1])
                           : i == 0 ? "a time in seconds after midnight, at most 9 decimals"
                                    : "a whole number";
        if (want == NULL && !(last ? at == line->end : at < line->end && *at == ','))
            want = "a number and nothing else";
        if (want != NULL && count_columns(line) != ORDER_COLUMNS) {
            blame_columns(source, line,
                          "a line has 6: time, type, order id, size, price, direction", ret_fault);
            return false;
        }
        if (want != NULL) {
            blame_value(source, line, i, order_column_names[i], want, ret_fault);
            return false;
        }
        at += !last;
    }
    *ret_message = (market_message){.exchange_ns = (uint64_t)value[0],
                                    .order_id = (uint64_t)value[2],
                                    .quantity = (uint32_t)value[3],
                                    .price = value[4],
                                    .side = value[5] == 1 ? 'B' : 'A',
                                    .instrument = INSTRUMENT};
    map_type(value[1], ret_message);
    if (ret_message->action == MARKET_STATUS)
        ret_message->side = 'N';
    return true;
}

/* At the end of the messages: rows that are left over have no message. */
static market_step end_of_orders(lobster_reader *lobster, hl_error *ret_fault)
{
    const market_step step = market_step_at_end(lobster->orders.stream, ret_fault);
    market_stream *const books = lobster->books.stream;
    if (step != MARKET_STEP_END || books == NULL)
        return step;
    if (market_stream_has(books, 1) == 0)
        return market_step_at_end(books, ret_fault);
    hl_error_set(ret_fault, HL_BAD_INPUT,
                 "%s:%" PRIu64 ": a row without a message: %s has only %" PRIu64
                 " lines, and both files need the same number",
                 books->name, lobster->books.line_number + 1, lobster->orders.stream->name,
                 lobster->orders.line_number);
    return MARKET_STEP_LOST;
}

/* The line of the message file alone. */
static market_step take_order_line(lobster_reader *lobster, market_message *ret_message,
                                   hl_error *ret_fault)
{
    line_source *const orders = &lobster->orders;
    csv_line row;
    const line_result result = peek_line(orders->stream, &row);
    if (result == LINE_NONE)
        return end_of_orders(lobster, ret_fault);
    orders->line_number++;
    if (result == LINE_TOO_LONG) {
        hl_error_set(ret_fault, HL_BAD_INPUT, "%s:%" PRIu64 ": a line of more than %zu bytes",
                     orders->stream->name, orders->line_number, LINE_MAX_BYTES);
        lobster->report->skipped_bytes += pass_over_line(orders->stream);
        return MARKET_STEP_BAD;
    }
    const bool good = parse_order(orders, &row, ret_message, ret_fault);
    if (!good)
        lobster->report->skipped_bytes += row.whole_bytes;
    market_stream_skip(orders->stream, row.whole_bytes);
    return good ? MARKET_STEP_MESSAGE : MARKET_STEP_BAD;
}

static market_step lobster_next(void *state, market_message *ret_message, hl_error *ret_fault)
{
    lobster_reader *const lobster = state;
    const uint64_t start = market_stream_offset(lobster->orders.stream);
    const uint64_t line_number = lobster->orders.line_number;
    const market_step step = take_order_line(lobster, ret_message, ret_fault);
    if (lobster->books.stream == NULL || lobster->orders.line_number == line_number)
        return step;
    if (step == MARKET_STEP_BAD) { /* its row goes too; a second fault in it is the same record */
        hl_error ignored;
        take_book_row(lobster, NULL, &ignored);
        return step;
    }
    const market_step row_step = take_book_row(lobster, ret_message, ret_fault);
    if (row_step != MARKET_STEP_MESSAGE)
        lobster->report->skipped_bytes += market_stream_offset(lobster->orders.stream) - start;
    return row_step;
}

/* ---- opening ---- */

static const char *base_name(const char *path)
{
    const char *const slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static void take_ticker(const char *path, char ret_ticker[TICKER_BYTES])
{
    const char *const name = base_name(path);
    snprintf(ret_ticker, TICKER_BYTES, "%.*s", (int)strcspn(name, "_."), name);
    if (ret_ticker[0] == '\0')
        strcpy(ret_ticker, "?");
}

static bool ends_with(const char *text, size_t length, const char *ending)
{
    const size_t ending_length = strlen(ending);
    return length >= ending_length &&
           memcmp(text + length - ending_length, ending, ending_length) == 0;
}

/* NAME_message_N.csv[.gz|.zst] -> NAME_orderbook_N.csv, then with the same or another ending. */
static bool find_order_book(const char *path, char ret_path[MARKET_PATH_MAX])
{
    static const char mark[] = "_message_";
    static const char *const endings[] = {"", ".zst", ".gz"};
    const char *const at = strstr(base_name(path), mark);
    if (at == NULL)
        return false;
    size_t length = strlen(path);
    const char *own_ending = "";
    for (size_t i = 1; i < sizeof endings / sizeof endings[0]; i++) {
        if (ends_with(path, length, endings[i])) {
            own_ending = endings[i];
            length -= strlen(own_ending);
        }
    }
    const char *const tail = at + sizeof mark - 1;
    for (size_t i = 0; i <= sizeof endings / sizeof endings[0]; i++) {
        const char *const ending = i == 0 ? own_ending : endings[i - 1];
        const int written =
            snprintf(ret_path, MARKET_PATH_MAX, "%.*s_orderbook_%.*s%s", (int)(at - path), path,
                     (int)(path + length - tail), tail, ending);
        if (written < MARKET_PATH_MAX && access(ret_path, F_OK) == 0)
            return true;
    }
    return false;
}

static hl_status open_order_book(lobster_reader *lobster, hl_error *error)
{
    char path[MARKET_PATH_MAX];
    if (!find_order_book(lobster->report->path, path))
        return HL_OK;
    const hl_status status = market_stream_open(path, &lobster->books.stream, error);
    if (status != HL_OK)
        return status;
    csv_line first;
    memcpy(lobster->report->order_book_path, path, sizeof path);
    if (peek_line(lobster->books.stream, &first) == LINE_OK)
        lobster->book_columns = count_columns(&first);
    if (lobster->book_columns == 0 || lobster->book_columns % LEVEL_COLUMNS != 0)
        return hl_error_set(error, HL_BAD_INPUT,
                            "%s:1: %zu columns: an order-book file has 4 a level: ask price, ask "
                            "size, bid price, bid size",
                            lobster->books.stream->name, lobster->book_columns);
    return HL_OK;
}

/* The first line must be a message: a file of another kind is refused here. */
static hl_status check_first_line(const lobster_reader *lobster, hl_error *error)
{
    const line_source first_of = {.stream = lobster->orders.stream, .line_number = 1};
    csv_line first;
    market_message message;
    hl_error fault;
    switch (peek_line(first_of.stream, &first)) {
    case LINE_OK:
        if (parse_order(&first_of, &first, &message, &fault))
            return HL_OK;
        break;
    case LINE_TOO_LONG:
        hl_error_set(&fault, HL_BAD_INPUT, "%s:1: a line of more than %zu bytes",
                     first_of.stream->name, LINE_MAX_BYTES);
        break;
    case LINE_NONE:
        return market_stream_failure(first_of.stream, error);
    }
    return hl_error_set(error, HL_BAD_INPUT, "%.400s; so this is no LOBSTER message file",
                        fault.text);
}

static void lobster_close(void *state)
{
    lobster_reader *const lobster = state;
    market_stream_close(lobster->books.stream);
    free(lobster);
}

static hl_status lobster_open(market_stream *stream, market_input_report *report, void **ret_state,
                              hl_error *error)
{
    lobster_reader *const lobster = calloc(1, sizeof *lobster);
    if (lobster == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "%s: out of memory", stream->name);
    lobster->orders.stream = stream;
    lobster->report = report;
    take_ticker(report->path, lobster->ticker);
    hl_status status = check_first_line(lobster, error);
    if (status == HL_OK)
        status = open_order_book(lobster, error);
    if (status == HL_OK)
        *ret_state = lobster;
    else
        lobster_close(lobster);
    return status;
}

static const char *lobster_symbol(void *state, uint32_t instrument)
{
    const lobster_reader *const lobster = state;
    return instrument == INSTRUMENT ? lobster->ticker : "?";
}

const market_format market_lobster_format = {.name = "lobster",
                                             .open = lobster_open,
                                             .next = lobster_next,
                                             .symbol = lobster_symbol,
                                             .close = lobster_close};
