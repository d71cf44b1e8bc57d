#include "market/pipeline_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"

/* Books for one input, with room for all that its recording ever has in them at once. */
static hl_status make_books(const market_recording *recording, market_books **ret_books)
{
    const char *const format = market_reader_report(recording->reader)->format;
    const market_books_kind kind =
        strcmp(format, "lobster") == 0 ? MARKET_BOOKS_PARTIAL : MARKET_BOOKS_WHOLE;
    market_books *books;
    if (market_books_create(kind, &books) != HL_OK)
        return HL_NO_MEMORY;
    for (size_t index = 0; index < recording->count; index++) {
        if (market_books_apply(books, &recording->messages[index]) == NULL) {
            market_books_destroy(books);
            return HL_NO_MEMORY;
        }
    }
    market_books_clear(books);
    *ret_books = books;
    return HL_OK;
}

static uint32_t books_in(const market_books *books)
{
    uint32_t count = 0;
    while (market_books_at(books, count) != NULL)
        count++;
    return count;
}

hl_status market_make_faces(market_ticker *ticker, uint32_t input, uint32_t count)
{
    const uint32_t held = ticker->face_counts[input];
    if (count <= held)
        return HL_OK;
    market_face *const faces = realloc(ticker->faces[input], count * sizeof *faces);
    if (faces == NULL)
        return HL_NO_MEMORY;
    memset(faces + held, 0, (count - held) * sizeof *faces);
    ticker->faces[input] = faces;
    ticker->face_counts[input] = count;
    return HL_OK;
}

static hl_status make_ticker(market_pipeline *pipeline, market_ticker *ticker,
                             const market_recording *recordings,
                             const market_strategy_options *options)
{
    ticker->books = calloc(pipeline->input_count, sizeof(market_books *));
    ticker->strategies = calloc(pipeline->input_count, sizeof *ticker->strategies);
    ticker->faces = calloc(pipeline->input_count, sizeof(market_face *));
    ticker->face_counts = calloc(pipeline->input_count, sizeof *ticker->face_counts);
    ticker->taken = calloc(pipeline->input_count, sizeof *ticker->taken);
    ticker->last = calloc(pipeline->input_count, sizeof *ticker->last);
    if (ticker->books == NULL || ticker->strategies == NULL || ticker->faces == NULL ||
        ticker->face_counts == NULL || ticker->taken == NULL || ticker->last == NULL)
        return HL_NO_MEMORY;
    for (uint32_t input = 0; input < pipeline->input_count; input++) {
        if (make_books(&recordings[input], &ticker->books[input]) != HL_OK ||
            market_strategy_init(&ticker->strategies[input], options,
                                 books_in(ticker->books[input])) != HL_OK)
            return HL_NO_MEMORY;
        if (market_make_faces(ticker, input, books_in(ticker->books[input])) != HL_OK)
            return HL_NO_MEMORY;
    }
    return HL_OK;
}

static hl_status make_tickers(market_pipeline *pipeline, const market_recording *recordings,
                              const market_strategy_options *options, uint32_t *ret_keys)
{
    const uint32_t shards = pipeline->domains[MARKET_DATA].shards;
    pipeline->tickers = hl_allocate(shards, sizeof *pipeline->tickers);
    if (pipeline->tickers == NULL)
        return HL_NO_MEMORY;
    for (uint32_t shard = 0; shard < shards; shard++)
        if (make_ticker(pipeline, &pipeline->tickers[shard], recordings, options) != HL_OK)
            return HL_NO_MEMORY;
    uint32_t keys = 0;
    for (uint32_t input = 0; input < pipeline->input_count; input++)
        keys += books_in(pipeline->tickers[0].books[input]);
    *ret_keys = keys == 0 ? 1 : keys;
    return HL_OK;
}

static hl_status make_traders(market_pipeline *pipeline, const market_risk_options *risk_options,
                              uint32_t keys)
{
    const uint32_t desks = pipeline->domains[SIGNAL].shards;
    const uint32_t exchanges = pipeline->domains[ORDER].shards;
    const uint32_t ledgers = pipeline->domains[FILL].shards;
    pipeline->desks = hl_allocate(desks, sizeof *pipeline->desks);
    pipeline->exchanges = hl_allocate(exchanges, sizeof *pipeline->exchanges);
    pipeline->ledgers = hl_allocate(ledgers, sizeof *pipeline->ledgers);
    if (pipeline->desks == NULL || pipeline->exchanges == NULL || pipeline->ledgers == NULL)
        return HL_NO_MEMORY;
    hl_status status = HL_OK;
    for (uint32_t shard = 0; shard < desks && status == HL_OK; shard++) {
        market_risk_options options = *risk_options;
        options.first_order_id = shard + 1;
        options.id_step = desks;
        status = market_risk_init(&pipeline->desks[shard].risk, &options, keys);
    }
    for (uint32_t shard = 0; shard < exchanges && status == HL_OK; shard++)
        status = market_venue_init(&pipeline->exchanges[shard].venue, shard + 1, exchanges, keys);
    for (uint32_t shard = 0; shard < ledgers && status == HL_OK; shard++)
        status = market_accounts_init(&pipeline->ledgers[shard].accounts, keys);
    return status;
}

hl_status market_make_states(market_pipeline *pipeline, const market_recording *recordings,
                             const market_pipeline_options *options, uint32_t *ret_keys)
{
    uint32_t keys;
    if (make_tickers(pipeline, recordings, &options->strategy, &keys) != HL_OK ||
        make_traders(pipeline, &options->risk, keys) != HL_OK)
        return HL_NO_MEMORY;
    *ret_keys = keys;
    return HL_OK;
}

static void free_ticker(const market_pipeline *pipeline, market_ticker *ticker)
{
    for (uint32_t input = 0; input < pipeline->input_count; input++) {
        if (ticker->books != NULL)
            market_books_destroy(ticker->books[input]);
        if (ticker->strategies != NULL)
            market_strategy_free(&ticker->strategies[input]);
        if (ticker->faces != NULL)
            free(ticker->faces[input]);
    }
    free(ticker->faces);
    free(ticker->face_counts);
    free(ticker->taken);
    free(ticker->last);
    free(ticker->books);
    free(ticker->strategies);
}

void market_free_states(market_pipeline *pipeline)
{
    const market_domain *const domains = pipeline->domains;
    for (uint32_t shard = 0; pipeline->tickers && shard < domains[MARKET_DATA].shards; shard++)
        free_ticker(pipeline, &pipeline->tickers[shard]);
    for (uint32_t shard = 0; pipeline->desks && shard < domains[SIGNAL].shards; shard++)
        market_risk_free(&pipeline->desks[shard].risk);
    for (uint32_t shard = 0; pipeline->exchanges && shard < domains[ORDER].shards; shard++)
        market_venue_free(&pipeline->exchanges[shard].venue);
    for (uint32_t shard = 0; pipeline->ledgers && shard < domains[FILL].shards; shard++)
        market_accounts_free(&pipeline->ledgers[shard].accounts);
    free(pipeline->tickers);
    free(pipeline->desks);
    free(pipeline->exchanges);
    free(pipeline->ledgers);
}

/* ---- looking at it ---- */

market_face *market_find_face(market_ticker *ticker, uint32_t input, uint32_t instrument)
{
    const market_book *const book = market_books_find(ticker->books[input], instrument);
    return book != NULL && book->number < ticker->face_counts[input]
               ? &ticker->faces[input][book->number]
               : NULL;
}

const market_quote *market_pipeline_board(const market_pipeline *pipeline, uint64_t key)
{
    const uint32_t input = market_key_input(key);
    for (uint32_t shard = 0;
         input < pipeline->input_count && shard < pipeline->domains[MARKET_DATA].shards; shard++) {
        const market_face *const face =
            market_find_face(&pipeline->tickers[shard], input, market_key_instrument(key));
        if (face != NULL && face->board.number != 0)
            return &face->board;
    }
    return NULL;
}

/* A position is shard, input and book number, 16 + 16 + 32 bits. */
const market_book *market_pipeline_next_book(const market_pipeline *pipeline, uint64_t *position,
                                             uint64_t *ret_key)
{
    for (;;) {
        const uint32_t shard = (uint32_t)(*position >> 48);
        const uint32_t input = (uint32_t)(*position >> 32) & 0xFFFFu;
        if (shard >= pipeline->domains[MARKET_DATA].shards)
            return NULL;
        const market_book *const book =
            input < pipeline->input_count
                ? market_books_at(pipeline->tickers[shard].books[input], (uint32_t)*position)
                : NULL;
        if (input >= pipeline->input_count) {
            *position = (uint64_t)(shard + 1) << 48;
        } else if (book == NULL) {
            *position = (uint64_t)shard << 48 | (uint64_t)(input + 1) << 32;
        } else {
            ++*position;
            if (book->orders_added != 0 || book->unknown_orders != 0 || book->top_told) {
                *ret_key = market_key(input, book->instrument);
                return book;
            }
        }
    }
}

const market_position *market_pipeline_next_position(const market_pipeline *pipeline,
                                                     uint64_t *position, uint64_t *ret_key)
{
    for (;;) {
        const uint32_t shard = (uint32_t)(*position >> 32);
        const uint32_t number = (uint32_t)*position;
        if (shard >= pipeline->domains[FILL].shards)
            return NULL;
        const market_rows *const positions = &pipeline->ledgers[shard].accounts.positions;
        if (number >= positions->keys.count) {
            *position = (uint64_t)(shard + 1) << 32;
            continue;
        }
        ++*position;
        const market_position *const held = market_rows_at(positions, number);
        if (held->fills != 0) {
            *ret_key = positions->keys.keys[number];
            return held;
        }
    }
}
