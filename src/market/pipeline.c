#include "market/pipeline.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "market/audit.h"
#include "market/pipeline_parts.h"

static hl_status find_domains(market_pipeline *pipeline, hl_error *error)
{
    for (uint32_t index = 0; index < MARKET_DOMAINS; index++) {
        market_domain *const domain = &pipeline->domains[index];
        domain->pipeline = pipeline;
        uint32_t partition;
        if (hl_bus_partition(pipeline->bus, market_domain_names[index], 0,
                             &domain->first_partition) != HL_OK)
            return market_no_domain(index, error);
        while (hl_bus_partition(pipeline->bus, market_domain_names[index], domain->shards,
                                &partition) == HL_OK)
            domain->shards++;
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
    if (ret_topic->number < MARKET_TOPIC_HASHES)
        pipeline->topic_hashes[ret_topic->number] = market_audit_bytes(name, strlen(name));
    return HL_OK;
}

static hl_status declare_topics(market_pipeline *pipeline, uint32_t max_keys, hl_error *error)
{
    hl_status status = HL_OK;
#define DECLARE(field, text, kind, priority) \
    if (status == HL_OK)                     \
        status = declare(pipeline, text, kind, priority, max_keys, &pipeline->topics.field, error);
    MARKET_TOPIC_LIST(DECLARE)
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
        snprintf(pattern, sizeof pattern, "%s.>", market_domain_names[index]);
        snprintf(name, sizeof name, "audit.%s", market_domain_names[index]);
        /* After the others: what they wait for is not the audit. */
        status = subscribe(pipeline, pattern, name, 1000, market_on_any, &pipeline->domains[index],
                           error);
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
        {"market_data.message", "strategy", 0, market_on_message, pipeline},
        {"market_data.book_top", "board", 0, market_on_book_top, pipeline},
        {"signal.imbalance", "risk", 0, market_on_signal, pipeline},
        {"signal.report", "risk.reports", 0, market_on_report, pipeline},
        {"order.*", "tally.orders", -1000, market_on_order_event, &pipeline->domains[ORDER]},
        {"order.new", "venue", 0, market_on_order, pipeline},
        {"fill.trade", "accounts", 0, market_on_trade, pipeline},
        {"fill.done", "accounts.reports", 0, market_on_done, pipeline},
        {"system.error", "tally.errors", 0, market_on_error, &pipeline->domains[SYSTEM]},
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
static hl_status build(market_pipeline *pipeline, const market_recording *recordings,
                       const market_pipeline_options *options, hl_error *error)
{
    hl_status status = find_domains(pipeline, error);
    if (status != HL_OK)
        return status;
    uint32_t keys;
    if (market_make_tallies(pipeline) != HL_OK ||
        market_make_states(pipeline, recordings, options, &keys) != HL_OK)
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

void market_pipeline_destroy(market_pipeline *pipeline)
{
    if (pipeline == NULL)
        return;
    market_free_states(pipeline);
    market_free_tallies(pipeline);
    free(pipeline);
}

hl_topic market_pipeline_feed_topic(const market_pipeline *pipeline)
{
    return pipeline->topics.message;
}
