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
    if (status == HL_OK)
        status = market_open_aggregates(pipeline, error);
    if (status == HL_OK)
        status = market_subscribe_observers(pipeline, error);
    return status == HL_OK ? market_add_components(pipeline, error) : status;
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
