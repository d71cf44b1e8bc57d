#include "market/pipeline_parts.h"

#include <stdio.h>
#include <string.h>

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

hl_status market_on_message(const hl_event *event, hl_publisher *out, void *context)
{
    market_pipeline *const pipeline = context;
    const market_message *const message = hl_payload(event);
    market_ticker *const ticker =
        &pipeline->tickers[market_shard_of(&pipeline->domains[MARKET_DATA], out)];
    const uint32_t input = market_key_input(event->key);
    if (input >= pipeline->input_count || event->payload_size != sizeof *message)
        return HL_REJECT;
    const market_book *const book = market_books_apply(ticker->books[input], message);
    if (book == NULL)
        return HL_NO_MEMORY;
    ticker->taken[input]++;
    ticker->last[input] = *message;
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

hl_status market_on_book_top(const hl_event *event, hl_publisher *out, void *context)
{
    market_pipeline *const pipeline = context;
    market_ticker *const ticker =
        &pipeline->tickers[market_shard_of(&pipeline->domains[MARKET_DATA], out)];
    const uint32_t input = market_key_input(event->key);
    market_face *const face =
        input < pipeline->input_count
            ? market_find_face(ticker, input, market_key_instrument(event->key))
            : NULL;
    if (face == NULL || event->payload_size != sizeof face->board)
        return HL_REJECT;
    memcpy(&face->board, hl_payload(event), sizeof face->board);
    ticker->quotes.seen++;
    return HL_OK;
}

hl_status market_on_signal(const hl_event *event, hl_publisher *out, void *context)
{
    market_pipeline *const pipeline = context;
    market_risk *const risk =
        &pipeline->desks[market_shard_of(&pipeline->domains[SIGNAL], out)].risk;
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

hl_status market_on_report(const hl_event *event, hl_publisher *out, void *context)
{
    market_pipeline *const pipeline = context;
    market_desk *const desk = &pipeline->desks[market_shard_of(&pipeline->domains[SIGNAL], out)];
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

hl_status market_on_order(const hl_event *event, hl_publisher *out, void *context)
{
    market_pipeline *const pipeline = context;
    market_venue *const venue =
        &pipeline->exchanges[market_shard_of(&pipeline->domains[ORDER], out)].venue;
    const market_order *const order = hl_payload(event);
    market_execution execution;
    market_venue_execute(venue, event->key, order, &execution);
    const hl_status status = put_execution(pipeline, out, event->key, &execution);
    if (status == HL_OK)
        market_venue_executed(venue, event->key, order, &execution);
    return status;
}

hl_status market_on_trade(const hl_event *event, hl_publisher *out, void *context)
{
    market_pipeline *const pipeline = context;
    market_accounts *const accounts =
        &pipeline->ledgers[market_shard_of(&pipeline->domains[FILL], out)].accounts;
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

hl_status market_on_done(const hl_event *event, hl_publisher *out, void *context)
{
    const market_pipeline *const pipeline = context;
    return put(out, pipeline->topics.report, event->key, hl_payload(event), event->payload_size);
}
