/*
 * The pipeline's states as aggregates of the bus: one for each stage that has a state, and one for
 * each domain's observers. A snapshot holds no numbers of this run: books go by instrument, so that
 * other inputs, or fewer messages of them, may come after it.
 */
#include <stdio.h>

#include "base/error.h"
#include "market/pipeline_parts.h"

/* Raised when what is saved of any of them changes. */
#define VERSION 1u

/* Of each book of an input. */
typedef struct saved_face {
    market_leaning leaning;
    market_face face;
    uint64_t instrument;
} saved_face;

/* ---- tickers ---- */

static void save_faces(const market_ticker *ticker, uint32_t input, hl_state_writer *writer)
{
    const market_book *book;
    uint32_t count = 0;
    while (market_books_at(ticker->books[input], count) != NULL)
        count++;
    hl_state_write(writer, &count, sizeof count);
    for (uint32_t i = 0; i < count && (book = market_books_at(ticker->books[input], i)) != NULL;
         i++) {
        saved_face saved = {.instrument = book->instrument};
        market_strategy_read(&ticker->strategies[input], i, &saved.leaning);
        if (i < ticker->face_counts[input])
            saved.face = ticker->faces[input][i];
        hl_state_write(writer, &saved, sizeof saved);
    }
}

static void save_ticker(const void *state, uint32_t shard, hl_state_writer *writer, void *context)
{
    const market_ticker *const ticker = state;
    const market_pipeline *const pipeline = context;
    (void)shard;
    hl_state_write(writer, &ticker->quotes, sizeof ticker->quotes);
    hl_state_write(writer, &ticker->late_signals, sizeof ticker->late_signals);
    hl_state_write(writer, &pipeline->input_count, sizeof pipeline->input_count);
    for (uint32_t input = 0; input < pipeline->input_count; input++) {
        hl_state_write(writer, &ticker->taken[input], sizeof ticker->taken[input]);
        hl_state_write(writer, &ticker->last[input], sizeof ticker->last[input]);
        market_books_save(ticker->books[input], writer);
        save_faces(ticker, input, writer);
    }
}

static hl_status load_faces(market_ticker *ticker, uint32_t input, hl_state_reader *reader)
{
    uint32_t count = 0;
    hl_status status = hl_state_read(reader, &count, sizeof count);
    for (uint32_t i = 0; i < count && status == HL_OK; i++) {
        saved_face saved;
        if (hl_state_read(reader, &saved, sizeof saved) != HL_OK)
            return HL_DAMAGED;
        const market_book *const book =
            market_books_find(ticker->books[input], (uint32_t)saved.instrument);
        if (book == NULL)
            return HL_DAMAGED;
        if (market_make_faces(ticker, input, book->number + 1) != HL_OK)
            return HL_NO_MEMORY;
        ticker->faces[input][book->number] = saved.face;
        status = market_strategy_put(&ticker->strategies[input], book->number, &saved.leaning);
    }
    return status;
}

static hl_status load_ticker(void *state, uint32_t shard, uint32_t version, hl_state_reader *reader,
                             void *context)
{
    market_ticker *const ticker = state;
    const market_pipeline *const pipeline = context;
    uint32_t inputs = 0;
    (void)shard;
    if (version != VERSION)
        return HL_UNSUPPORTED;
    if (hl_state_read(reader, &ticker->quotes, sizeof ticker->quotes) != HL_OK ||
        hl_state_read(reader, &ticker->late_signals, sizeof ticker->late_signals) != HL_OK ||
        hl_state_read(reader, &inputs, sizeof inputs) != HL_OK)
        return HL_DAMAGED;
    if (inputs > pipeline->input_count)
        return HL_LIMIT;
    hl_status status = HL_OK;
    for (uint32_t input = 0; input < inputs && status == HL_OK; input++) {
        if (hl_state_read(reader, &ticker->taken[input], sizeof ticker->taken[input]) != HL_OK ||
            hl_state_read(reader, &ticker->last[input], sizeof ticker->last[input]) != HL_OK)
            return HL_DAMAGED;
        status = market_books_load(ticker->books[input], reader);
        if (status == HL_OK)
            status = load_faces(ticker, input, reader);
    }
    return status;
}

/* ---- the others ---- */

static void save_desk(const void *state, uint32_t shard, hl_state_writer *writer, void *context)
{
    (void)shard, (void)context;
    market_risk_save(&((const market_desk *)state)->risk, writer);
}

static hl_status load_desk(void *state, uint32_t shard, uint32_t version, hl_state_reader *reader,
                           void *context)
{
    (void)shard, (void)context;
    return version == VERSION ? market_risk_load(&((market_desk *)state)->risk, reader)
                              : HL_UNSUPPORTED;
}

static void save_exchange(const void *state, uint32_t shard, hl_state_writer *writer, void *context)
{
    (void)shard, (void)context;
    market_venue_save(&((const market_exchange *)state)->venue, writer);
}

static hl_status load_exchange(void *state, uint32_t shard, uint32_t version,
                               hl_state_reader *reader, void *context)
{
    (void)shard, (void)context;
    return version == VERSION ? market_venue_load(&((market_exchange *)state)->venue, reader)
                              : HL_UNSUPPORTED;
}

static void save_ledger(const void *state, uint32_t shard, hl_state_writer *writer, void *context)
{
    (void)shard, (void)context;
    market_accounts_save(&((const market_ledger *)state)->accounts, writer);
}

static hl_status load_ledger(void *state, uint32_t shard, uint32_t version, hl_state_reader *reader,
                             void *context)
{
    (void)shard, (void)context;
    return version == VERSION ? market_accounts_load(&((market_ledger *)state)->accounts, reader)
                              : HL_UNSUPPORTED;
}

/* Times are not state: a new run measures its own. */
static void save_tally(const void *state, uint32_t shard, hl_state_writer *writer, void *context)
{
    const market_tally *const tally = state;
    (void)shard, (void)context;
    hl_state_write(writer, &tally->counts, sizeof tally->counts);
    hl_state_write(writer, &tally->hash, sizeof tally->hash);
}

static hl_status load_tally(void *state, uint32_t shard, uint32_t version, hl_state_reader *reader,
                            void *context)
{
    market_tally *const tally = state;
    (void)shard, (void)context;
    if (version != VERSION)
        return HL_UNSUPPORTED;
    const hl_status status = hl_state_read(reader, &tally->counts, sizeof tally->counts);
    return status == HL_OK ? hl_state_read(reader, &tally->hash, sizeof tally->hash) : status;
}

/* ---- opened ---- */

/* The states of a domain's shards lie `state_bytes` apart. */
static hl_status open_one(market_pipeline *pipeline, uint32_t domain, const char *name, void *first,
                          size_t state_bytes, hl_aggregate_save save, hl_aggregate_load load,
                          hl_aggregate **ret_aggregate, hl_error *error)
{
    void *states[1024];
    hl_aggregate_options options = HL_AGGREGATE_OPTIONS_INIT;
    for (uint32_t i = 0; i < pipeline->domains[domain].shards; i++)
        states[i] = (char *)first + i * state_bytes;
    options.name = name;
    options.domain = market_domain_names[domain];
    options.version = VERSION;
    options.context = pipeline;
    options.states = states;
    options.save = save;
    options.load = load;
    return hl_aggregate_open(pipeline->bus, &options, ret_aggregate, error);
}

hl_status market_open_aggregates(market_pipeline *pipeline, hl_error *error)
{
    hl_aggregate **const of = pipeline->aggregates;
    hl_status status =
        open_one(pipeline, MARKET_DATA, "books", pipeline->tickers, sizeof *pipeline->tickers,
                 save_ticker, load_ticker, &of[MARKET_DATA], error);
    if (status == HL_OK)
        status = open_one(pipeline, SIGNAL, "risk", pipeline->desks, sizeof *pipeline->desks,
                          save_desk, load_desk, &of[SIGNAL], error);
    if (status == HL_OK)
        status =
            open_one(pipeline, ORDER, "venue", pipeline->exchanges, sizeof *pipeline->exchanges,
                     save_exchange, load_exchange, &of[ORDER], error);
    if (status == HL_OK)
        status = open_one(pipeline, FILL, "accounts", pipeline->ledgers, sizeof *pipeline->ledgers,
                          save_ledger, load_ledger, &of[FILL], error);
    for (uint32_t index = 0; index < MARKET_DOMAINS && status == HL_OK; index++) {
        market_domain *const domain = &pipeline->domains[index];
        char name[64];
        snprintf(name, sizeof name, "tally.%s", market_domain_names[index]);
        status = open_one(pipeline, index, name, domain->tallies, sizeof *domain->tallies,
                          save_tally, load_tally, &domain->tally, error);
    }
    return status;
}

hl_status market_feeds_state(hl_aggregate *aggregate, hl_subscription *subscription,
                             hl_error *error)
{
    const hl_status status = hl_aggregate_fed_by(aggregate, subscription, error);
    /* A stage that is started again later has missed events: from then on there is no snapshot. */
    return status == HL_WRONG_STATE ? HL_OK : status;
}

uint64_t market_pipeline_taken(const market_pipeline *pipeline, uint32_t input, uint32_t shard,
                               market_message *ret_last)
{
    if (input >= pipeline->input_count || shard >= pipeline->domains[MARKET_DATA].shards)
        return 0;
    *ret_last = pipeline->tickers[shard].last[input];
    return pipeline->tickers[shard].taken[input];
}

uint32_t market_pipeline_first_partition(const market_pipeline *pipeline, uint32_t *ret_shards)
{
    *ret_shards = pipeline->domains[MARKET_DATA].shards;
    return pipeline->domains[MARKET_DATA].first_partition;
}
