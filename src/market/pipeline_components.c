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
    uint32_t stage;
    const char *pattern, *name;
    hl_handler handler;
} wants[] = {
    {MARKET_BOOKS, "market_data.book_top", "board", market_on_book_top},
    {MARKET_ACCOUNTS, "fill.trade", "accounts", market_on_trade},
    {MARKET_ACCOUNTS, "fill.done", "accounts.reports", market_on_done},
    {MARKET_VENUE, "order.new", "venue", market_on_order},
    {MARKET_RISK, "signal.imbalance", "risk", market_on_signal},
    {MARKET_RISK, "signal.report", "risk.reports", market_on_report},
    {MARKET_STRATEGY, "market_data.message", "strategy", market_on_message},
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

hl_status market_subscribe_observers(market_pipeline *pipeline, hl_error *error)
{
    hl_status status = subscribe(pipeline, "order.*", "tally.orders", -1000, market_on_order_event,
                                 &pipeline->domains[ORDER], NULL, error);
    if (status == HL_OK)
        status = subscribe(pipeline, "system.error", "tally.errors", 0, market_on_error,
                           &pipeline->domains[SYSTEM], NULL, error);
    for (uint32_t index = 0; pipeline->audit && index < MARKET_DOMAINS && status == HL_OK;
         index++) {
        char pattern[64];
        char name[64];
        snprintf(pattern, sizeof pattern, "%s.>", market_domain_names[index]);
        snprintf(name, sizeof name, "audit.%s", market_domain_names[index]);
        /* After the others: what they wait for is not the audit. */
        status = subscribe(pipeline, pattern, name, 1000, market_on_any, &pipeline->domains[index],
                           NULL, error);
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
        status = subscribe(pipeline, wants[i].pattern, wants[i].name, 0, wants[i].handler, pipeline,
                           &stage->subscriptions[stage->count], error);
        stage->count += status == HL_OK;
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
