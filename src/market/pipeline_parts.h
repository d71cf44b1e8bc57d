/*
 * What the files of the reference pipeline share: its topics, the state of its stages and of its
 * observers. pipeline.h says what it is for.
 *
 * One state of each kind for a shard of its domain: what its partition's thread alone touches while
 * the bus runs. Lines of their own, so that shards do not disturb each other.
 *
 * | file | subject |
 * | --- | --- |
 * | pipeline_domains | the domains it wants, and whether a configuration has them |
 * | pipeline_stages | what each stage does with an event |
 * | pipeline_state | what the stages keep: made before the start, freed at the end |
 * | pipeline_tally | the observers, and what they counted |
 * | pipeline_aggregates | those states as aggregates: saved, loaded, what feeds them |
 * | pipeline_components | the stages as components: their subscriptions, and who needs whom |
 * | pipeline | topics; making and ending all of it |
 */
#ifndef MARKET_PIPELINE_PARTS_H
#define MARKET_PIPELINE_PARTS_H

#include <stdalign.h>

#include "market/account.h"
#include "market/pipeline.h"
#include "market/venue.h"
#include "observe/histogram.h"

#define MARKET_TOPIC_HASHES \
    64u /* topics of the lowest numbers: the pipeline's own, declared first */

enum { MARKET_DATA, SIGNAL, ORDER, FILL, ACCOUNT, SYSTEM }; /* of market_domain_names */

/* In an order in which they can be started. */
enum { MARKET_BOOKS, MARKET_ACCOUNTS, MARKET_VENUE, MARKET_RISK, MARKET_STRATEGY, MARKET_STAGES };

#define MARKET_STAGE_SUBSCRIPTIONS_MAX 2u

extern const char *const market_domain_names[MARKET_DOMAINS];

/* name in the code, name on the bus, kind, priority */
#define MARKET_TOPIC_LIST(X)                               \
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
    MARKET_TOPIC_LIST(FIELD)
#undef FIELD
} market_topics;

/* What was told of a book last, and what the board has of it. */
typedef struct market_face {
    market_quote told;
    market_quote board;
} market_face;

typedef struct market_ticker {
    alignas(128) market_books **books; /* by input */
    market_strategy *strategies;
    market_face **faces; /* by input and book number */
    uint32_t *face_counts;
    uint64_t *taken;      /* by input: messages, */
    market_message *last; /* and the last of them */
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
    hl_aggregate *tally;
    market_pipeline *pipeline;
} market_domain;

/* A component: what it has subscribed while it is started. */
typedef struct market_stage {
    market_pipeline *pipeline;
    uint32_t count;
    hl_subscription *subscriptions[MARKET_STAGE_SUBSCRIPTIONS_MAX];
} market_stage;

struct market_pipeline {
    hl_bus *bus;
    market_topics topics;
    uint64_t topic_hashes[MARKET_TOPIC_HASHES];
    uint32_t input_count;
    bool audit;
    market_domain domains[MARKET_DOMAINS];
    market_ticker *tickers;
    market_desk *desks;
    market_exchange *exchanges;
    market_ledger *ledgers;
    hl_aggregate *aggregates[MARKET_DOMAINS]; /* of the stages in a domain; NULL: no state */
    market_stage stages[MARKET_STAGES];
};

/* The shard of the event in hand. */
static inline uint32_t market_shard_of(const market_domain *domain, const hl_publisher *out)
{
    if (domain->shards == 1)
        return 0;
    return hl_id_partition(hl_current_id(out)) - domain->first_partition;
}

/* ---- pipeline_domains.c ---- */

/* HL_UNKNOWN_DOMAIN, with the sentence that says which of the six is missing. */
hl_status market_no_domain(uint32_t number, hl_error *error);

/* ---- pipeline_components.c ---- */

/* Subscribes what counts and hashes, for as long as the bus is there: what hl_subscribe answers. */
hl_status market_subscribe_observers(market_pipeline *pipeline, hl_error *error);

/* Adds a component for each stage, which subscribes when it is started: what hl_component_add
 * answers. */
hl_status market_add_components(market_pipeline *pipeline, hl_error *error);

/* ---- pipeline_stages.c: a handler each, context: the pipeline ---- */

hl_status market_on_message(const hl_event *event, hl_publisher *out, void *context);
hl_status market_on_book_top(const hl_event *event, hl_publisher *out, void *context);
hl_status market_on_signal(const hl_event *event, hl_publisher *out, void *context);
hl_status market_on_report(const hl_event *event, hl_publisher *out, void *context);
hl_status market_on_order(const hl_event *event, hl_publisher *out, void *context);
hl_status market_on_trade(const hl_event *event, hl_publisher *out, void *context);
hl_status market_on_done(const hl_event *event, hl_publisher *out, void *context);

/* ---- pipeline_tally.c: the observers' handlers, context: their market_domain ---- */

hl_status market_on_order_event(const hl_event *event, hl_publisher *out, void *context);
hl_status market_on_error(const hl_event *event, hl_publisher *out, void *context);
hl_status market_on_any(const hl_event *event, hl_publisher *out, void *context);

/* Room for what is counted in each shard, the shards being known. HL_NO_MEMORY: market_free_tallies
 * frees what there is. */
hl_status market_make_tallies(market_pipeline *pipeline);
void market_free_tallies(market_pipeline *pipeline);

/* ---- pipeline_state.c ---- */

/* A state for each shard, the domains being known. `ret_keys`: instruments, at least 1.
 * HL_NO_MEMORY: market_free_states frees what there is. */
hl_status market_make_states(market_pipeline *pipeline, const market_recording *recordings,
                             const market_pipeline_options *options, uint32_t *ret_keys);
void market_free_states(market_pipeline *pipeline);

/* Room for the faces of `count` books of an input at least. HL_OK, HL_NO_MEMORY. */
hl_status market_make_faces(market_ticker *ticker, uint32_t input, uint32_t count);

/* The face of a key, or NULL. */
market_face *market_find_face(market_ticker *ticker, uint32_t input, uint32_t instrument);

/* ---- pipeline_aggregates.c ---- */

/* The states being there. What hl_aggregate_open answers. */
hl_status market_open_aggregates(market_pipeline *pipeline, hl_error *error);

/* The subscription's handler changes the aggregate's state. What hl_aggregate_fed_by answers, and
 * HL_OK when the bus was started. */
hl_status market_feeds_state(hl_aggregate *aggregate, hl_subscription *subscription,
                             hl_error *error);

#endif
