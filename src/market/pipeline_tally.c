#include "market/pipeline_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/allocate.h"
#include "market/audit.h"

/* ---- making it ---- */

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

hl_status market_make_tallies(market_pipeline *pipeline)
{
    for (uint32_t index = 0; index < MARKET_DOMAINS; index++) {
        market_domain *const domain = &pipeline->domains[index];
        domain->tallies = hl_allocate(domain->shards, sizeof *domain->tallies);
        if (domain->tallies == NULL)
            return HL_NO_MEMORY;
        for (uint32_t shard = 0; shard < domain->shards; shard++)
            domain->tallies[shard].hash = MARKET_AUDIT_START;
    }
    return make_histograms(&pipeline->domains[ORDER]);
}

void market_free_tallies(market_pipeline *pipeline)
{
    const market_domain *const domains = pipeline->domains;
    for (uint32_t index = 0; index < MARKET_DOMAINS; index++) {
        for (uint32_t shard = 0; domains[index].tallies && shard < domains[index].shards; shard++)
            free(domains[index].tallies[shard].tick_to_order);
        free(domains[index].tallies);
    }
}

/* ---- the observers ---- */

hl_status market_on_order_event(const hl_event *event, hl_publisher *out, void *context)
{
    market_domain *const domain = context;
    const market_pipeline *const pipeline = domain->pipeline;
    market_tally *const tally = &domain->tallies[market_shard_of(domain, out)];
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

hl_status market_on_error(const hl_event *event, hl_publisher *out, void *context)
{
    (void)event;
    market_domain *const domain = context;
    domain->tallies[market_shard_of(domain, out)].counts.errors++;
    return HL_OK;
}

hl_status market_on_any(const hl_event *event, hl_publisher *out, void *context)
{
    market_domain *const domain = context;
    const market_pipeline *const pipeline = domain->pipeline;
    market_tally *const tally = &domain->tallies[market_shard_of(domain, out)];
    if (event->topic == pipeline->topics.book_top.number)
        return HL_OK; /* which of them are seen is a matter of time */
    uint64_t topic_hash =
        event->topic < MARKET_TOPIC_HASHES ? pipeline->topic_hashes[event->topic] : 0;
    if (topic_hash == 0 && domain == &pipeline->domains[SYSTEM])
        return HL_OK;      /* what the bus says of itself is a matter of time, too */
    if (topic_hash == 0) { /* a topic of someone else's */
        const char *const name = hl_topic_name(pipeline->bus, (hl_topic){event->topic});
        topic_hash = market_audit_bytes(name, strlen(name));
    }
    tally->hash = market_audit_event(tally->hash, topic_hash, event);
    return HL_OK;
}

/* ---- what they counted ---- */

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
        if (strcmp(market_domain_names[index], name) != 0)
            continue;
        uint64_t hash = domain->tallies[0].hash;
        for (uint32_t shard = 1; shard < domain->shards; shard++)
            hash = market_audit_mix(hash ^ MARKET_AUDIT_A, domain->tallies[shard].hash);
        *ret_hash = hash;
        return true;
    }
    return false;
}
