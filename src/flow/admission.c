#include "flow/admission.h"

#include "flow/valve.h"

bool hl_admissions_init(hl_admissions *admissions, hl_bus *bus)
{
    const uint32_t domains = bus->config.domain_count;
    admissions->limits = hl_allocate(domains, sizeof *admissions->limits);
    admissions->refuses = hl_allocate(bus->partition_count, sizeof *admissions->refuses);
    if (admissions->limits == NULL || admissions->refuses == NULL)
        return false;
    for (uint32_t i = 0; i < domains; i++)
        hl_token_bucket_init(&admissions->limits[i].bucket, &bus->domains[i].config.throttle,
                             hl_bus_now(bus));
    return true;
}

void hl_admissions_free(hl_admissions *admissions)
{
    free(admissions->limits);
    free(admissions->refuses);
}

/* ---- the publisher's thread ---- */

/* The limits that a publish must pass, in this order; NULL: there is none. */
typedef struct limits {
    hl_token_bucket *buckets[3];
} limits;

static limits limits_of(const hl_admissions *admissions, const hl_bus *bus,
                        const hl_admission *asked)
{
    hl_topic_flow *const flow = bus->entries[asked->topic.number]->flow;
    const uint32_t domain = asked->outlet->partition->domain->index;
    return (limits){
        {asked->limit, flow != NULL ? &flow->limit : NULL, &admissions->limits[domain].bucket}};
}

/* A publisher's own bucket is that of one thread, unless it is a shared one. */
static bool is_shared(const hl_admission *asked, uint32_t index)
{
    return index != 0 || asked->outlet->kind == HL_OUTLET_SHARED;
}

static void return_tokens(const limits *of, const hl_admission *asked, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (of->buckets[i] == NULL)
            continue;
        if (is_shared(asked, i))
            hl_token_bucket_give_back_shared(of->buckets[i], asked->count);
        else
            hl_token_bucket_give_back(of->buckets[i], asked->count);
    }
}

static bool take_token(hl_token_bucket *bucket, bool shared, uint32_t count, hl_bus *bus)
{
    if (bucket == NULL || bucket->rate_per_s == 0)
        return true;
    const uint64_t now_ns = hl_bus_now(bus);
    return shared ? hl_token_bucket_try_take_shared(bucket, count, now_ns)
                  : hl_token_bucket_try_take(bucket, count, now_ns);
}

hl_status hl_admissions_admit(hl_admissions *admissions, hl_bus *bus, const hl_admission *asked)
{
    const hl_outlet *const outlet = asked->outlet;
    if (outlet->priority <= HL_HIGH)
        return HL_OK;
    /* REFUSES: relaxed. */
    if (hl_load_relaxed_u32(&admissions->refuses[outlet->partition->number]) != 0 &&
        bus->entries[asked->topic.number]->options.kind == HL_STATE)
        return HL_THROTTLED;
    const limits of = limits_of(admissions, bus, asked);
    for (uint32_t i = 0; i < 3; i++)
        if (!take_token(of.buckets[i], is_shared(asked, i), asked->count, bus)) {
            return_tokens(&of, asked, i);
            return HL_THROTTLED;
        }
    return HL_OK;
}

void hl_admissions_give_back(hl_admissions *admissions, hl_bus *bus, const hl_admission *asked)
{
    if (asked->outlet->priority <= HL_HIGH)
        return;
    const limits of = limits_of(admissions, bus, asked);
    return_tokens(&of, asked, 3);
}

/* ---- the control plane ---- */

static bool domain_refuses(const hl_admissions *admissions, const hl_domain *domain)
{
    for (uint32_t shard = 0; shard < domain->config.shards; shard++)
        /* REFUSES: relaxed. */
        if (hl_load_relaxed_u32(&admissions->refuses[domain->first_partition + shard]) != 0)
            return true;
    return false;
}

bool hl_admissions_check(const hl_admissions *admissions, const hl_topic_entry *topic)
{
    if (topic->options.priority <= HL_HIGH && !topic->options.any_priority)
        return false;
    return topic->options.throttle.rate_per_s != 0 ||
           topic->domain->config.throttle.rate_per_s != 0 ||
           (topic->options.kind == HL_STATE && domain_refuses(admissions, topic->domain));
}

void hl_admissions_refuse(hl_admissions *admissions, hl_bus *bus, const hl_partition *partition,
                          bool refuse)
{
    hl_bus_lock(bus);
    hl_store_relaxed_u32(&admissions->refuses[partition->number], refuse); /* REFUSES */
    for (uint32_t i = 0; i < bus->topic_count; i++) {
        const hl_topic_entry *const topic = bus->entries[i];
        if (topic->domain != partition->domain || topic->options.kind != HL_STATE)
            continue;
        const bool is_checked = hl_admissions_check(admissions, topic);
        /* DECLARED: release, as when it was declared. */
        hl_store_release_u8(&bus->topics[i].declared,
                            is_checked ? HL_TOPIC_CHECKED : HL_TOPIC_OPEN);
    }
    hl_bus_unlock(bus);
}
