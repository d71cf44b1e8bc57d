#include "market/pipeline.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "base/error.h"
#include "config/domains.h"
#include "market/account.h"
#include "market/audit.h"
#include "market/venue.h"
#include "observe/histogram.h"

#define TOPIC_HASHES 64u /* topics of the lowest numbers: the pipeline's own, declared first */

static const char *const domain_names[MARKET_DOMAINS] = {"market_data", "signal",  "order",
                                                         "fill",        "account", "system"};
enum { MARKET_DATA, SIGNAL, ORDER, FILL, ACCOUNT, SYSTEM };

/* name in the code, name on the bus, kind, priority */
#define TOPIC_LIST(X)                                      \
    X(message, "market_data.message", HL_DELTA, HL_NORMAL) \
    X(book_top, "market_data.book_top", HL_STATE, HL_LOW)  \
    X(imbalance, "signal.imbalance", HL_DELTA, HL_NORMAL)  \
    X(report, "signal.report", HL_DELTA, HL_HIGH)          \
    X(order, "order.new", HL_DELTA, HL_CRITICAL)           \
    X(ack, "order.ack", HL_DELTA, HL_HIGH)                 \
    X(filled, "order.filled", HL_DELTA, HL_HIGH)           \
    X(cancelled, "order.cancelled", HL_DELTA, HL_HIGH)     \
    X(rejected, "order.rejected", HL_DELTA, HL_HIGH)       \
    X(trade, "fill.trade", HL_DELTA, HL_HIGH)              \
    X(done, "fill.done", HL_DELTA, HL_HIGH)                \
    X(position, "account.position", HL_STATE, HL_LOW)      \
    X(log, "system.log", HL_EXPENDABLE, HL_BACKGROUND)     \
    X(error, "system.error", HL_DELTA, HL_LOW)

typedef struct market_topics {
#define FIELD(name, text, kind, priority) hl_topic name;
    TOPIC_LIST(FIELD)
#undef FIELD
} market_topics;

/* What was told of a book last, and what the board has of it. */
typedef struct market_face {
    market_quote told;
    market_quote board;
} market_face;

/* One of each for a shard of the domain: what its partition's thread alone touches while the bus
 * runs. Lines of their own, so that shards do not disturb each other. */
typedef struct market_ticker {
    alignas(128) market_books **books; /* by input */
    market_strategy *strategies;
    market_face **faces; /* by input and book number */
    uint32_t *face_counts;
    market_quote_counts quotes;
    uint64_t late_signals;
} market_ticker;

typedef struct market_desk {
    alignas(128) market_risk risk;
} market_desk;

typedef struct market_exchange {
    alignas(128) market_venue venue;
} market_exchange;

typedef struct market_ledger {
    alignas(128) market_accounts accounts;
} market_ledger;

/* An observer's state for one shard of one domain. */
typedef struct market_tally {
    alignas(128) market_order_counts counts;
    hl_histogram *tick_to_order; /* of order's */
    uint64_t hash;
} market_tally;

typedef struct market_domain {
    uint32_t first_partition;
    uint32_t shards;
    market_tally *tallies;
    market_pipeline *pipeline;
} market_domain;

struct market_pipeline {
    hl_bus *bus;
    market_topics topics;
    uint64_t topic_hashes[TOPIC_HASHES];
    uint32_t input_count;
    bool audit;
    market_domain domains[MARKET_DOMAINS];
    market_ticker *tickers;
    market_desk *desks;
    market_exchange *exchanges;
    market_ledger *ledgers;
};

/* The shard of the event in hand. */
static inline uint32_t shard_of(const market_domain *domain, const hl_publisher *out)
{
    if (domain->shards == 1)
        return 0;
    return hl_id_partition(hl_current_id(out)) - domain->first_partition;
}

/* Copies a payload into the handler's output. Without room: HL_RETRY, what was staged before goes
 * too. */
static hl_status put(hl_publisher *out, hl_topic topic, uint64_t key, const void *payload,
                     uint32_t payload_size)
{
    const hl_status status = hl_try_publish(out, topic, key, payload, payload_size);
    return status == HL_FULL ? HL_RETRY : status;
}

static hl_status put_log(hl_publisher *out, hl_topic topic, uint64_t key, uint64_t exchange_ns,
                         uint64_t number, const char *text)
{
    market_log log = {.exchange_ns = exchange_ns, .number = number};
    snprintf(log.text, sizeof log.text, "%s", text);
    return put(out, topic, key, &log, sizeof log);
}

/* ---- the stages' handlers ------------------------------------------------------------------ */

/* Out of the common path of on_message: a signal is rare. */
static __attribute__((noinline)) hl_status give_signal(
    market_pipeline *pipeline, market_ticker *ticker, market_strategy *strategy,
    const market_book *book, const hl_event *event, hl_publisher *out, market_signal *signal)
{
    signal->tick_published_ns = event->published_ns;
    const hl_status status =
        hl_try_publish(out, pipeline->topics.imbalance, event->key, signal, sizeof *signal);
    if (status == HL_FULL) { /* the book has taken the message: say it at the next one */
        ticker->late_signals++;
        return HL_OK;
    }
    if (status == HL_OK)
        market_strategy_given(strategy, book, signal);
    return status;
}

static bool says(const market_quote *quote, const market_top *top)
{
    return quote->best_bid == top->best_bid && quote->best_ask == top->best_ask &&
           quote->best_bid_size == top->best_bid_size && quote->best_ask_size == top->best_ask_size;
}

/* The book's best prices are others than were told. */
static __attribute__((noinline)) void tell_top(market_pipeline *pipeline, market_ticker *ticker,
                                               market_face *face, const market_book *book,
                                               const hl_event *event, hl_publisher *out,
                                               uint64_t exchange_ns)
{
    const market_quote quote = {.exchange_ns = exchange_ns,
                                .best_bid = book->top.best_bid,
                                .best_ask = book->top.best_ask,
                                .best_bid_size = book->top.best_bid_size,
                                .best_ask_size = book->top.best_ask_size,
                                .number = face->told.number + 1};
    if (hl_try_publish(out, pipeline->topics.book_top, event->key, &quote, sizeof quote) != HL_OK) {
        ticker->quotes.late++; /* it is told with the next message */
        return;
    }
    ticker->quotes.told++;
    face->told = quote;
}

static hl_status on_message(const hl_event *event, hl_publisher *out, void *context)
{
    market_pipeline *const pipeline = context;
    const market_message *const message = hl_payload(event);
    market_ticker *const ticker =
        &pipeline->tickers[shard_of(&pipeline->domains[MARKET_DATA], out)];
    const uint32_t input = market_key_input(event->key);
    if (input >= pipeline->input_count || event->payload_size != sizeof *message)
        return HL_REJECT;
    const market_book *const book = market_books_apply(ticker->books[input], message);
    if (book == NULL)
        return HL_NO_MEMORY;
    /* A snapshot's book is not whole before its end. */
    if (message->flags & MARKET_SNAPSHOT)
        return HL_OK;
    if (book->number < ticker->face_counts[input]) {
        market_face *const face = &ticker->faces[input][book->number];
        if (!says(&face->told, &book->top))
            tell_top(pipeline, ticker, face, book, event, out, message->exchange_ns);
    }
    market_signal signal;
    market_strategy *const strategy = &ticker->strategies[input];
    if (!market_strategy_look(strategy, book, message->exchange_ns, &signal))
        return HL_OK;
    return give_signal(pipeline, ticker, strategy, book, event, out, &signal);
}

/* The face of a key, or NULL. */
static market_face *find_face(market_ticker *ticker, uint32_t input, uint32_t instrument)
{
    const market_book *const book = market_books_find(ticker->books[input], instrument);
    return book != NULL && book->number < ticker->face_counts[input]
               ? &ticker->faces[input][book->number]
               : NULL;
}

static hl_status on_book_top(const hl_event *event, hl_publisher *out, void *context)
{
    market_pipeline *const pipeline = context;
    market_ticker *const ticker =
        &pipeline->tickers[shard_of(&pipeline->domains[MARKET_DATA], out)];
    const uint32_t input = market_key_input(event->key);
    market_face *const face = input < pipeline->input_count
                                  ? find_face(ticker, input, market_key_instrument(event->key))
                                  : NULL;
    if (face == NULL || event->payload_size != sizeof face->board)
        return HL_REJECT;
    memcpy(&face->board, hl_payload(event), sizeof face->board);
    ticker->quotes.seen++;
    return HL_OK;
}

static hl_status on_signal(const hl_event *event, hl_publisher *out, void *context)
{
    market_pipeline *const pipeline = context;
    market_risk *const risk = &pipeline->desks[shard_of(&pipeline->domains[SIGNAL], out)].risk;
    const market_signal *const signal = hl_payload(event);
    market_order order;
    const market_risk_decision decision = market_risk_check(risk, event->key, signal, &order);
    hl_status status;
    if (decision == MARKET_RISK_ORDER) {
        status = put(out, pipeline->topics.order, event->key, &order, sizeof order);
        if (status == HL_OK)
            market_risk_sent(risk, event->key, &order);
        return status;
    }
    status = put_log(out, pipeline->topics.log, event->key, signal->exchange_ns, signal->number,
                     market_risk_text(decision));
    if (status == HL_OK)
        market_risk_refuse(risk);
    return status;
}

static hl_status on_report(const hl_event *event, hl_publisher *out, void *context)
{
    market_pipeline *const pipeline = context;
    market_desk *const desk = &pipeline->desks[shard_of(&pipeline->domains[SIGNAL], out)];
    market_risk_reported(&desk->risk, event->key, hl_payload(event));
    return HL_OK;
}

/* Acknowledgement, fill, end: all of them or none. */
static hl_status put_execution(const market_pipeline *pipeline, hl_publisher *out, uint64_t key,
                               const market_execution *execution)
{
    const market_topics *const topics = &pipeline->topics;
    const market_report *const last = &execution->last;
    hl_status status = HL_OK;
    if (execution->first.outcome == MARKET_ACKNOWLEDGED)
        status = put(out, topics->ack, key, &execution->first, sizeof execution->first);
    if (status == HL_OK && execution->fill.quantity != 0)
        status = put(out, topics->trade, key, &execution->fill, sizeof execution->fill);
    if (status != HL_OK)
        return status;
    const hl_topic end = last->outcome == MARKET_FILLED      ? topics->filled
                         : last->outcome == MARKET_CANCELLED ? topics->cancelled
                                                             : topics->rejected;
    status = put(out, end, key, last, sizeof *last);
    return status == HL_OK ? put(out, topics->done, key, last, sizeof *last) : status;
}

static hl_status on_order(const hl_event *event, hl_publisher *out, void *context)
{
    market_pipeline *const pipeline = context;
    market_venue *const venue =
        &pipeline->exchanges[shard_of(&pipeline->domains[ORDER], out)].venue;
    const market_order *const order = hl_payload(event);
    market_execution execution;
    market_venue_execute(venue, event->key, order, &execution);
    const hl_status status = put_execution(pipeline, out, event->key, &execution);
    if (status == HL_OK)
        market_venue_executed(venue, event->key, order, &execution);
    return status;
}

static hl_status on_trade(const hl_event *event, hl_publisher *out, void *context)
{
    market_pipeline *const pipeline = context;
    market_accounts *const accounts =
        &pipeline->ledgers[shard_of(&pipeline->domains[FILL], out)].accounts;
    const market_fill *const fill = hl_payload(event);
    market_position position;
    if (market_accounts_after(accounts, event->key, fill, &position) != HL_OK) {
        const hl_status status = put_log(out, pipeline->topics.error, event->key, fill->exchange_ns,
                                         fill->fill_id, "fill not booked: beyond 64 bits");
        if (status == HL_OK)
            market_accounts_refuse(accounts);
        return status;
    }
    const hl_status status =
        put(out, pipeline->topics.position, event->key, &position, sizeof position);
    /* A state that is refused for load is told with the next fill. */
    if (status != HL_OK && status != HL_THROTTLED)
        return status;
    market_accounts_book(accounts, event->key, &position);
    return HL_OK;
}

static hl_status on_done(const hl_event *event, hl_publisher *out, void *context)
{
    const market_pipeline *const pipeline = context;
    return put(out, pipeline->topics.report, event->key, hl_payload(event), event->payload_size);
}

/* ---- the observers ------------------------------------------------------------------------- */

static hl_status on_order_event(const hl_event *event, hl_publisher *out, void *context)
{
    market_domain *const domain = context;
    const market_pipeline *const pipeline = domain->pipeline;
    market_tally *const tally = &domain->tallies[shard_of(domain, out)];
    const uint32_t topic = event->topic;
    if (topic == pipeline->topics.order.number) {
        const market_order *const order = hl_payload(event);
        const uint64_t now_ns = hl_bus_now_ns(pipeline->bus);
        tally->counts.sent++;
        hl_histogram_record(tally->tick_to_order, now_ns > order->tick_published_ns
                                                      ? now_ns - order->tick_published_ns
                                                      : 0);
    } else if (topic == pipeline->topics.ack.number) {
        tally->counts.acked++;
    } else if (topic == pipeline->topics.filled.number) {
        tally->counts.filled++;
    } else if (topic == pipeline->topics.cancelled.number) {
        tally->counts.cancelled++;
    } else if (topic == pipeline->topics.rejected.number) {
        tally->counts.rejected++;
    }
    return HL_OK;
}

static hl_status on_error(const hl_event *event, hl_publisher *out, void *context)
{
    (void)event;
    market_domain *const domain = context;
    domain->tallies[shard_of(domain, out)].counts.errors++;
    return HL_OK;
}

static hl_status on_any(const hl_event *event, hl_publisher *out, void *context)
{
    market_domain *const domain = context;
    const market_pipeline *const pipeline = domain->pipeline;
    market_tally *const tally = &domain->tallies[shard_of(domain, out)];
    if (event->topic == pipeline->topics.book_top.number)
        return HL_OK; /* which of them are seen is a matter of time */
    uint64_t topic_hash = event->topic < TOPIC_HASHES ? pipeline->topic_hashes[event->topic] : 0;
    if (topic_hash == 0) { /* a topic of someone else's */
        const char *const name = hl_topic_name(pipeline->bus, (hl_topic){event->topic});
        topic_hash = market_audit_bytes(name, strlen(name));
    }
    tally->hash = market_audit_event(tally->hash, topic_hash, event);
    return HL_OK;
}

/* ---- making it ----------------------------------------------------------------------------- */

/* What each stage publishes to and no more: every ring is one more to look at. */
static const char *const needs[MARKET_DOMAINS] = {
    "market_data, signal", "order, system", "order, fill", "account, signal, system", "", ""};

void market_pipeline_domains(hl_domain_config ret_domains[MARKET_DOMAINS])
{
    uint32_t count;
    const hl_domain_config *const defaults = hl_default_domains(&count);
    for (uint32_t index = 0; index < count; index++) {
        for (uint32_t number = 0; number < MARKET_DOMAINS; number++) {
            if (strcmp(defaults[index].name, domain_names[number]) != 0)
                continue;
            ret_domains[number] = defaults[index];
            ret_domains[number].publishes_to = needs[number];
        }
    }
    /* A recording can wait; what it would lose is a hole in the book. */
    ret_domains[MARKET_DATA].full_policy = HL_FULL_BLOCK;
    ret_domains[MARKET_DATA].block_timeout_ns = 10 * HL_SECOND;
    ret_domains[MARKET_DATA].conflates = "low";
    ret_domains[MARKET_DATA].conflate_keys = 16384; /* a whole exchange's instruments */
}

static hl_status no_domain(uint32_t number, hl_error *error)
{
    return hl_error_set(error, HL_UNKNOWN_DOMAIN,
                        "domains: there is no '%s', which the pipeline needs: add it",
                        domain_names[number]);
}

static const hl_domain_config *configured(const hl_config *config, uint32_t number)
{
    for (uint32_t index = 0; index < config->domain_count; index++)
        if (strcmp(config->domains[index].name, domain_names[number]) == 0)
            return &config->domains[index];
    return NULL;
}

static hl_status check_domain(const hl_config *config, uint32_t number, hl_error *error)
{
    const size_t slot_bytes = sizeof(hl_event) + sizeof(market_message);
    const hl_domain_config *const from = configured(config, number);
    if (from->slot_size_bytes < slot_bytes)
        return hl_error_set(error, HL_INVALID,
                            "domains: '%s' has slots of %u bytes: the pipeline's events need a "
                            "slot_size_bytes of %zu",
                            from->name, from->slot_size_bytes, slot_bytes);
    for (uint32_t target = 0; target < MARKET_DOMAINS; target++) {
        const hl_domain_config wanted = {.publishes_to = needs[number]};
        const hl_domain_config *const to = configured(config, target);
        if (hl_domain_publishes_to(&wanted, to) && !hl_domain_publishes_to(from, to))
            return hl_error_set(error, HL_INVALID,
                                "domains: '%s' does not publish to '%s', as the pipeline needs: "
                                "add it to its publishes_to",
                                from->name, to->name);
    }
    return HL_OK;
}

hl_status market_pipeline_check(const hl_config *config, hl_error *error)
{
    for (uint32_t number = 0; number < MARKET_DOMAINS; number++)
        if (configured(config, number) == NULL)
            return no_domain(number, error);
    hl_status status = HL_OK;
    for (uint32_t number = 0; number < MARKET_DOMAINS && status == HL_OK; number++)
        status = check_domain(config, number, error);
    return status;
}

static hl_status find_domains(market_pipeline *pipeline, hl_error *error)
{
    for (uint32_t index = 0; index < MARKET_DOMAINS; index++) {
        market_domain *const domain = &pipeline->domains[index];
        domain->pipeline = pipeline;
        uint32_t partition;
        if (hl_bus_partition(pipeline->bus, domain_names[index], 0, &domain->first_partition) !=
            HL_OK)
            return no_domain(index, error);
        while (hl_bus_partition(pipeline->bus, domain_names[index], domain->shards, &partition) ==
               HL_OK)
            domain->shards++;
        domain->tallies = hl_allocate(domain->shards, sizeof *domain->tallies);
        if (domain->tallies == NULL)
            return hl_error_set(error, HL_NO_MEMORY, "pipeline: out of memory");
        for (uint32_t shard = 0; shard < domain->shards; shard++)
            domain->tallies[shard].hash = MARKET_AUDIT_START;
    }
    return HL_OK;
}

static hl_status declare(market_pipeline *pipeline, const char *name, hl_topic_kind kind,
                         hl_priority priority, uint32_t max_keys, hl_topic *ret_topic,
                         hl_error *error)
{
    hl_topic_options options = HL_TOPIC_OPTIONS_INIT;
    options.kind = kind;
    options.priority = (int)priority;
    options.max_keys = kind == HL_STATE ? max_keys : 0;
    const hl_status status = hl_topic_declare(pipeline->bus, name, &options, ret_topic);
    if (status != HL_OK)
        return hl_error_set(error, status, "topic '%s': %s", name, hl_status_text(status));
    if (ret_topic->number < TOPIC_HASHES)
        pipeline->topic_hashes[ret_topic->number] = market_audit_bytes(name, strlen(name));
    return HL_OK;
}

static hl_status declare_topics(market_pipeline *pipeline, uint32_t max_keys, hl_error *error)
{
    hl_status status = HL_OK;
#define DECLARE(field, text, kind, priority) \
    if (status == HL_OK)                     \
        status = declare(pipeline, text, kind, priority, max_keys, &pipeline->topics.field, error);
    TOPIC_LIST(DECLARE)
#undef DECLARE
    return status;
}

static hl_status subscribe(market_pipeline *pipeline, const char *pattern, const char *name,
                           int order, hl_handler handler, void *context, hl_error *error)
{
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.name = name;
    options.order = order;
    options.concurrent = true; /* a stage for each shard */
    hl_subscription *subscription;
    const hl_status status =
        hl_subscribe(pipeline->bus, pattern, handler, context, &options, &subscription);
    if (status != HL_OK)
        return hl_error_set(error, status, "subscription '%s' to '%s': %s", name, pattern,
                            hl_status_text(status));
    return HL_OK;
}

static hl_status subscribe_audits(market_pipeline *pipeline, hl_error *error)
{
    hl_status status = HL_OK;
    for (uint32_t index = 0; index < MARKET_DOMAINS && status == HL_OK; index++) {
        char pattern[64];
        char name[64];
        snprintf(pattern, sizeof pattern, "%s.>", domain_names[index]);
        snprintf(name, sizeof name, "audit.%s", domain_names[index]);
        /* After the others: what they wait for is not the audit. */
        status = subscribe(pipeline, pattern, name, 1000, on_any, &pipeline->domains[index], error);
    }
    return status;
}

static hl_status subscribe_stages(market_pipeline *pipeline, bool audit, hl_error *error)
{
    const struct {
        const char *pattern, *name;
        int order;
        hl_handler handler;
        void *context;
    } rows[] = {
        {"market_data.message", "strategy", 0, on_message, pipeline},
        {"market_data.book_top", "board", 0, on_book_top, pipeline},
        {"signal.imbalance", "risk", 0, on_signal, pipeline},
        {"signal.report", "risk.reports", 0, on_report, pipeline},
        {"order.*", "tally.orders", -1000, on_order_event, &pipeline->domains[ORDER]},
        {"order.new", "venue", 0, on_order, pipeline},
        {"fill.trade", "accounts", 0, on_trade, pipeline},
        {"fill.done", "accounts.reports", 0, on_done, pipeline},
        {"system.error", "tally.errors", 0, on_error, &pipeline->domains[SYSTEM]},
    };
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        const hl_status status =
            subscribe(pipeline, rows[row].pattern, rows[row].name, rows[row].order,
                      rows[row].handler, rows[row].context, error);
        if (status != HL_OK)
            return status;
    }
    return audit ? subscribe_audits(pipeline, error) : HL_OK;
}

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

static hl_status make_ticker(market_pipeline *pipeline, market_ticker *ticker,
                             const market_recording *recordings,
                             const market_strategy_options *options)
{
    ticker->books = calloc(pipeline->input_count, sizeof(market_books *));
    ticker->strategies = calloc(pipeline->input_count, sizeof *ticker->strategies);
    ticker->faces = calloc(pipeline->input_count, sizeof(market_face *));
    ticker->face_counts = calloc(pipeline->input_count, sizeof *ticker->face_counts);
    if (ticker->books == NULL || ticker->strategies == NULL || ticker->faces == NULL ||
        ticker->face_counts == NULL)
        return HL_NO_MEMORY;
    for (uint32_t input = 0; input < pipeline->input_count; input++) {
        if (make_books(&recordings[input], &ticker->books[input]) != HL_OK ||
            market_strategy_init(&ticker->strategies[input], options,
                                 books_in(ticker->books[input])) != HL_OK)
            return HL_NO_MEMORY;
        const uint32_t count = books_in(ticker->books[input]);
        ticker->faces[input] = calloc(count + 1u, sizeof(market_face));
        if (ticker->faces[input] == NULL)
            return HL_NO_MEMORY;
        ticker->face_counts[input] = count;
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

static hl_status make_histograms(market_domain *domain)
{
    for (uint32_t shard = 0; shard < domain->shards; shard++) {
        hl_histogram *const histogram = hl_allocate(1, hl_histogram_size_bytes(2));
        if (histogram == NULL)
            return HL_NO_MEMORY;
        hl_histogram_init(histogram, 2);
        domain->tallies[shard].tick_to_order = histogram;
    }
    return HL_OK;
}

static hl_status build(market_pipeline *pipeline, const market_recording *recordings,
                       const market_pipeline_options *options, hl_error *error)
{
    hl_status status = find_domains(pipeline, error);
    if (status != HL_OK)
        return status;
    uint32_t keys;
    if (make_tickers(pipeline, recordings, &options->strategy, &keys) != HL_OK ||
        make_traders(pipeline, &options->risk, keys) != HL_OK ||
        make_histograms(&pipeline->domains[ORDER]) != HL_OK)
        return hl_error_set(error, HL_NO_MEMORY, "pipeline: out of memory for %u inputs",
                            pipeline->input_count);
    status = declare_topics(pipeline, keys, error);
    return status == HL_OK ? subscribe_stages(pipeline, options->audit, error) : status;
}

hl_status market_pipeline_create(hl_bus *bus, const market_recording *recordings,
                                 uint32_t input_count, const market_pipeline_options *options,
                                 market_pipeline **ret_pipeline, hl_error *error)
{
    market_pipeline *const pipeline = calloc(1, sizeof *pipeline);
    if (pipeline == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "pipeline: out of memory");
    pipeline->bus = bus;
    pipeline->input_count = input_count;
    pipeline->audit = options->audit;
    const hl_status status = build(pipeline, recordings, options, error);
    if (status != HL_OK) {
        market_pipeline_destroy(pipeline);
        return status;
    }
    *ret_pipeline = pipeline;
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
    free(ticker->books);
    free(ticker->strategies);
}

void market_pipeline_destroy(market_pipeline *pipeline)
{
    if (pipeline == NULL)
        return;
    const market_domain *const domains = pipeline->domains;
    for (uint32_t shard = 0; pipeline->tickers && shard < domains[MARKET_DATA].shards; shard++)
        free_ticker(pipeline, &pipeline->tickers[shard]);
    for (uint32_t shard = 0; pipeline->desks && shard < domains[SIGNAL].shards; shard++)
        market_risk_free(&pipeline->desks[shard].risk);
    for (uint32_t shard = 0; pipeline->exchanges && shard < domains[ORDER].shards; shard++)
        market_venue_free(&pipeline->exchanges[shard].venue);
    for (uint32_t shard = 0; pipeline->ledgers && shard < domains[FILL].shards; shard++)
        market_accounts_free(&pipeline->ledgers[shard].accounts);
    for (uint32_t index = 0; index < MARKET_DOMAINS; index++) {
        for (uint32_t shard = 0; domains[index].tallies && shard < domains[index].shards; shard++)
            free(domains[index].tallies[shard].tick_to_order);
        free(domains[index].tallies);
    }
    free(pipeline->tickers);
    free(pipeline->desks);
    free(pipeline->exchanges);
    free(pipeline->ledgers);
    free(pipeline);
}

/* ---- looking at it ------------------------------------------------------------------------- */

hl_topic market_pipeline_feed_topic(const market_pipeline *pipeline)
{
    return pipeline->topics.message;
}

void market_pipeline_orders(const market_pipeline *pipeline, market_order_counts *ret_counts)
{
    market_order_counts sum = {0};
    const market_domain *const domains = pipeline->domains;
    for (uint32_t shard = 0; shard < domains[ORDER].shards; shard++) {
        const market_order_counts *const counts = &domains[ORDER].tallies[shard].counts;
        sum.sent += counts->sent;
        sum.acked += counts->acked;
        sum.filled += counts->filled;
        sum.cancelled += counts->cancelled;
        sum.rejected += counts->rejected;
    }
    for (uint32_t shard = 0; shard < domains[SYSTEM].shards; shard++)
        sum.errors += domains[SYSTEM].tallies[shard].counts.errors;
    for (uint32_t shard = 0; shard < domains[SIGNAL].shards; shard++)
        sum.refused_signals += pipeline->desks[shard].risk.refused;
    for (uint32_t shard = 0; shard < domains[MARKET_DATA].shards; shard++)
        sum.late_signals += pipeline->tickers[shard].late_signals;
    *ret_counts = sum;
}

void market_pipeline_quotes(const market_pipeline *pipeline, market_quote_counts *ret_counts)
{
    market_quote_counts sum = {0};
    for (uint32_t shard = 0; shard < pipeline->domains[MARKET_DATA].shards; shard++) {
        sum.told += pipeline->tickers[shard].quotes.told;
        sum.late += pipeline->tickers[shard].quotes.late;
        sum.seen += pipeline->tickers[shard].quotes.seen;
    }
    *ret_counts = sum;
}

const market_quote *market_pipeline_board(const market_pipeline *pipeline, uint64_t key)
{
    const uint32_t input = market_key_input(key);
    for (uint32_t shard = 0;
         input < pipeline->input_count && shard < pipeline->domains[MARKET_DATA].shards; shard++) {
        const market_face *const face =
            find_face(&pipeline->tickers[shard], input, market_key_instrument(key));
        if (face != NULL && face->board.number != 0)
            return &face->board;
    }
    return NULL;
}

void market_pipeline_tick_to_order(const market_pipeline *pipeline, hl_latency *ret_latency)
{
    const market_domain *const domain = &pipeline->domains[ORDER];
    hl_latency latency = {0};
    hl_histogram *const sum = hl_allocate(1, hl_histogram_size_bytes(2));
    if (sum != NULL) {
        hl_histogram_init(sum, 2);
        for (uint32_t shard = 0; shard < domain->shards; shard++)
            hl_histogram_merge(sum, domain->tallies[shard].tick_to_order);
        latency = (hl_latency){.count = hl_histogram_count(sum),
                               .min = hl_histogram_min(sum),
                               .p50 = hl_histogram_value_at_percentile(sum, 50.0),
                               .p90 = hl_histogram_value_at_percentile(sum, 90.0),
                               .p99 = hl_histogram_value_at_percentile(sum, 99.0),
                               .p999 = hl_histogram_value_at_percentile(sum, 99.9),
                               .p9999 = hl_histogram_value_at_percentile(sum, 99.99),
                               .max = hl_histogram_max(sum)};
    }
    free(sum);
    *ret_latency = latency;
}

bool market_pipeline_hash(const market_pipeline *pipeline, const char *name, uint64_t *ret_hash)
{
    for (uint32_t index = 0; pipeline->audit && index < MARKET_DOMAINS; index++) {
        const market_domain *const domain = &pipeline->domains[index];
        if (strcmp(domain_names[index], name) != 0)
            continue;
        uint64_t hash = domain->tallies[0].hash;
        for (uint32_t shard = 1; shard < domain->shards; shard++)
            hash = market_audit_mix(hash ^ MARKET_AUDIT_A, domain->tallies[shard].hash);
        *ret_hash = hash;
        return true;
    }
    return false;
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
        const market_accounts *const accounts = &pipeline->ledgers[shard].accounts;
        if (number >= accounts->keys.count) {
            *position = (uint64_t)(shard + 1) << 32;
            continue;
        }
        ++*position;
        if (accounts->positions[number].fills != 0) {
            *ret_key = accounts->keys.keys[number];
            return &accounts->positions[number];
        }
    }
}
