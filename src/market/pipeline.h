/*
 * The reference pipeline: ties the stages to a bus, on its public API only.
 *
 *     feed -> market_data.message -> strategy -> market_data.book_top (state) -> board
 *                                            \\-> signal.imbalance -> risk -> order.new -> venue
 *          -> order.ack, order.filled | cancelled | rejected, fill.trade, fill.done -> accounts
 *          -> account.position, signal.report (to risk);   system.log, system.error from any
 *
 * Every stage keeps its state to itself and hears of the others by events alone, so that each
 * partition's output follows from its input. A domain with several shards has a stage for each.
 *
 * A stage that finds no room for its output changes nothing: the strategy says the same again at
 * the next message, the others ask for the event again (HL_RETRY), which the bus counts.
 *
 * Each change of a book's best prices is a quote, of which only the newest of a key counts: its
 * lane conflates. The `board` keeps them. No stage decides by it, so that what it misses changes
 * nothing.
 *
 * Besides the stages it subscribes two observers: `tally`, which counts what becomes of the orders
 * and how long a tick takes to become one, and for each domain `audit.<domain>`, which hashes what
 * is dispatched (audit.h).
 */
#ifndef MARKET_PIPELINE_H
#define MARKET_PIPELINE_H

#include <hotlane/hotlane.h>

#include "market/book.h"
#include "market/message.h"
#include "market/payloads.h"
#include "market/reader.h"
#include "market/risk.h"
#include "market/strategy.h"

#define MARKET_DOMAINS    6
#define MARKET_INPUTS_MAX 64 /* inputs at once */

typedef struct market_pipeline market_pipeline;

typedef struct market_pipeline_options {
    market_strategy_options strategy;
    market_risk_options risk; /* first_order_id and id_step are the pipeline's */
    bool audit;               /* hash every event */
} market_pipeline_options;

#define MARKET_PIPELINE_OPTIONS_INIT                                 \
    {                                                                \
        MARKET_STRATEGY_OPTIONS_INIT, MARKET_RISK_OPTIONS_INIT, true \
    }

typedef struct market_order_counts {
    uint64_t sent;            /* order.new */
    uint64_t acked;           /* = filled + cancelled, when all have ended */
    uint64_t filled;          /* whole */
    uint64_t cancelled;       /* what had not traded at once; some of it may have */
    uint64_t rejected;        /* by the venue; sent = acked + rejected */
    uint64_t refused_signals; /* by risk: they became no order */
    uint64_t late_signals;    /* looks at which a signal found no room */
    uint64_t errors;          /* system.error */
} market_order_counts;

typedef struct market_quote_counts {
    uint64_t told; /* changes of a book's best prices that were published */
    uint64_t late; /* that found no room, and were told with the next change */
    uint64_t seen; /* by the board; told = seen + conflated on the way, when all have passed */
} market_quote_counts;

/* The six domains as the pipeline wants them: what each publishes to, a market_data whose
 * publishers wait for room and whose LOW lane conflates. Copies of hl_default_domains; static
 * strings. */
void market_pipeline_domains(hl_domain_config ret_domains[MARKET_DOMAINS]);

/*
 * Whether a bus of this configuration can carry the pipeline: the six domains are there, each has
 * room for the payloads, and publishes to where its stages publish to. HL_OK; HL_UNKNOWN_DOMAIN or
 * HL_INVALID with a sentence.
 */
hl_status market_pipeline_check(const hl_config *config, hl_error *error);

/*
 * Declares the topics, subscribes the observers, and adds a component for each stage ("books",
 * "accounts", "venue", "risk", "strategy"). These subscribe in hl_components_start, which the
 * caller owes before anything is published or replayed, and unsubscribe when they are stopped.
 * `recordings`: what will be fed, by input number; each is run through the books once, so that all
 * memory is there before the start. They need not outlive the call. The configuration should have
 * passed market_pipeline_check: what a stage may not publish it cannot, and its handler fails. On
 * HL_OK `*ret_pipeline` is the caller's: market_pipeline_destroy, after the bus. On failure the
 * sentence says which topic or domain; what was added stays added, so destroy the bus too.
 * HL_UNKNOWN_DOMAIN: the configuration lacks one of the six; HL_NO_MEMORY; what hl_topic_declare,
 * hl_subscribe and hl_component_add answer.
 */
hl_status market_pipeline_create(hl_bus *bus, const market_recording *recordings,
                                 uint32_t input_count, const market_pipeline_options *options,
                                 market_pipeline **ret_pipeline, hl_error *error);

/* Its stages must be stopped (hl_components_stop, hl_bus_destroy). NULL is nothing. */
void market_pipeline_destroy(market_pipeline *pipeline);

/* How many messages of an input a shard of market_data has taken into its books, those of before a
 * rebuild among them, and the last one. 0: none, or no such shard. Not while the bus runs. */
uint64_t market_pipeline_taken(const market_pipeline *pipeline, uint32_t input, uint32_t shard,
                               market_message *ret_last);

/* The first partition of market_data, and how many it has. */
uint32_t market_pipeline_first_partition(const market_pipeline *pipeline, uint32_t *ret_shards);

/* The topic that feeds publish to. */
hl_topic market_pipeline_feed_topic(const market_pipeline *pipeline);

/* What follows is exact when the bus has stopped and may lag while it runs; not to be called while
 * it runs but for market_pipeline_orders. */

void market_pipeline_orders(const market_pipeline *pipeline, market_order_counts *ret_counts);

void market_pipeline_quotes(const market_pipeline *pipeline, market_quote_counts *ret_counts);

/* The newest quote of an instrument that the board has; NULL: none. */
const market_quote *market_pipeline_board(const market_pipeline *pipeline, uint64_t key);

/* From a message's publication to the start of dispatch of the order it caused, ns. */
void market_pipeline_tick_to_order(const market_pipeline *pipeline, hl_latency *ret_latency);

/* The hash of a domain, its shards' mixed in their order. False: no such domain, or no audit. */
bool market_pipeline_hash(const market_pipeline *pipeline, const char *domain, uint64_t *ret_hash);

/* Walks the books that ever held an order or were told a top: `*position` 0 at first. NULL at the
 * end. */
const market_book *market_pipeline_next_book(const market_pipeline *pipeline, uint64_t *position,
                                             uint64_t *ret_key);

/* Walks the instruments that were traded, likewise. */
const market_position *market_pipeline_next_position(const market_pipeline *pipeline,
                                                     uint64_t *position, uint64_t *ret_key);

#endif
