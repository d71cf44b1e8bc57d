/*
 * The stages as components of the bus: each subscribes what it handles when it is started, after
 * those that it sends to, and unsubscribes when it is stopped. The observers subscribe when the
 * pipeline is made and stay as long as the bus: they see the stages come and go.
 */
#include <stdio.h>

#include "base/error.h"
#include "market/pipeline_parts.h"

#define STOP_TIMEOUT_NS (5 * HL_SECOND) /* a handler of a stage is done in microseconds */

static const struct {
    const char *name, *needs;
} plans[MARKET_STAGES] = {
    [MARKET_BOOKS] = {"books", NULL},
    [MARKET_ACCOUNTS] = {"accounts", NULL},
    [MARKET_VENUE] = {"venue", "accounts"},
    [MARKET_RISK] = {"risk", "venue"},
    [MARKET_STRATEGY] = {"strategy", "books, risk"},
};

static const struct {
    uint32_t stage, domain;
    const char *pattern, *name;
    hl_handler handler;
} wants[] = {
    {MARKET_BOOKS, MARKET_DATA, "market_data.book_top", "board", market_on_book_top},
    {MARKET_ACCOUNTS, FILL, "fill.trade", "accounts", market_on_trade},
    {MARKET_ACCOUNTS, FILL, "fill.done", "accounts.reports", market_on_done},
    {MARKET_VENUE, ORDER, "order.new", "venue", market_on_order},
    {MARKET_RISK, SIGNAL, "signal.imbalance", "risk", market_on_signal},
    {MARKET_RISK, SIGNAL, "signal.report", "risk.reports", market_on_report},
    {MARKET_STRATEGY, MARKET_DATA, "market_data.message", "strategy", market_on_message},
};

static hl_status subscribe(const market_pipeline *pipeline, const char *pattern, const char *name,
                           int order, hl_handler handler, void *context,
                           hl_subscription **ret_subscription, hl_error *error)
{
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.name = name;
    options.order = order;
    options.concurrent = true; /* a state for each shard */
    const hl_status status =
        hl_subscribe(pipeline->bus, pattern, handler, context, &options, ret_subscription);
    if (status != HL_OK)
        return hl_error_set(error, status, "subscription '%s' to '%s': %s", name, pattern,
                            hl_status_text(status));
    return HL_OK;
}

static hl_status observe(market_pipeline *pipeline, uint32_t domain, const char *pattern,
                         const char *name, int order, hl_handler handler, hl_error *error)
{
    hl_subscription *made;
    market_domain *const of = &pipeline->domains[domain];
    const hl_status status = subscribe(pipeline, pattern, name, order, handler, of, &made, error);
    return status == HL_OK ? market_feeds_state(of->tally, made, error) : status;
}

hl_status market_subscribe_observers(market_pipeline *pipeline, hl_error *error)
{
    hl_status status =
        observe(pipeline, ORDER, "order.*", "tally.orders", -1000, market_on_order_event, error);
    if (status == HL_OK)
        status =
            observe(pipeline, SYSTEM, "system.error", "tally.errors", 0, market_on_error, error);
    for (uint32_t index = 0; pipeline->audit && index < MARKET_DOMAINS && status == HL_OK;
         index++) {
        char pattern[64];
        char name[64];
        snprintf(pattern, sizeof pattern, "%s.>", market_domain_names[index]);
        snprintf(name, sizeof name, "audit.%s", market_domain_names[index]);
        /* After the others: what they wait for is not the audit. */
        status = observe(pipeline, index, pattern, name, 1000, market_on_any, error);
    }
    return status;
}

static void stop(void *context)
{
    market_stage *const stage = context;
    hl_error ignored; /* one whose handler still runs ends with the bus */
    while (stage->count > 0)
        hl_unsubscribe(stage->subscriptions[--stage->count], STOP_TIMEOUT_NS, &ignored);
}

static hl_status start(void *context, hl_error *error)
{
    market_stage *const stage = context;
    market_pipeline *const pipeline = stage->pipeline;
    const uint32_t number = (uint32_t)(stage - pipeline->stages);
    hl_status status = HL_OK;
    for (size_t i = 0; i < sizeof wants / sizeof *wants && status == HL_OK; i++) {
        if (wants[i].stage != number)
            continue;
        hl_subscription **const made = &stage->subscriptions[stage->count];
        status = subscribe(pipeline, wants[i].pattern, wants[i].name, 0, wants[i].handler, pipeline,
                           made, error);
        stage->count += status == HL_OK;
        if (status == HL_OK)
            status = market_feeds_state(pipeline->aggregates[wants[i].domain], *made, error);
    }
    if (status != HL_OK)
        stop(stage);
    return status;
}

hl_status market_add_components(market_pipeline *pipeline, hl_error *error)
{
    hl_status status = HL_OK;
    for (uint32_t number = 0; number < MARKET_STAGES && status == HL_OK; number++) {
        market_stage *const stage = &pipeline->stages[number];
        stage->pipeline = pipeline;
        hl_component_options options = HL_COMPONENT_OPTIONS_INIT;
        options.needs = plans[number].needs;
        options.start = start;
        options.stop = stop;
        status = hl_component_add(pipeline->bus, plans[number].name, &options, stage, error);
    }
    return status;
}
