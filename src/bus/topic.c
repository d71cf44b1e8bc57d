#include "bus/topic.h"

#include <search.h>

#include "bus/async.h"
#include "bus/bus.h"
#include "bus/pattern.h"
#include "config/domains.h"

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const hl_topic_entry *)a)->name, ((const hl_topic_entry *)b)->name);
}

hl_topic_entry *hl_topic_find(const hl_bus *bus, const char *name)
{
    hl_topic_entry wanted = {.name = (char *)(uintptr_t)name};
    hl_topic_entry **const found = tfind(&wanted, &bus->control->topic_names, compare_names);
    return found != NULL ? *found : NULL;
}

static hl_status check_options(hl_bus *bus, const char *name, const hl_topic_options *options,
                               const hl_domain *domain)
{
    if (options->size != sizeof *options)
        return hl_bus_fail(bus, HL_INVALID,
                           "topic %s: options of size %zu: begin with HL_TOPIC_OPTIONS_INIT", name,
                           options->size);
    if ((unsigned)options->kind > HL_EXPENDABLE)
        return hl_bus_fail(bus, HL_INVALID,
                           "topic %s: kind %d is none: use HL_DELTA, HL_STATE or HL_EXPENDABLE",
                           name, (int)options->kind);
    if (options->priority < -1 || options->priority >= HL_PRIORITIES)
        return hl_bus_fail(bus, HL_INVALID,
                           "topic %s: priority %d is none: use 0 (CRITICAL) to 4 (BACKGROUND), or "
                           "-1 for the domain's",
                           name, options->priority);
    if (options->max_keys > HL_LATEST_MAX_KEYS)
        return hl_bus_fail(bus, HL_INVALID, "topic %s: max_keys is %u: use at most %u", name,
                           options->max_keys, HL_LATEST_MAX_KEYS);
    if (domain->config.fixed_priority && options->any_priority)
        return hl_bus_fail(bus, HL_NOT_ALLOWED,
                           "topic %s: domain %s has one priority for each topic: no any_priority",
                           name, domain->name);
    return bus->flow != NULL ? bus->flow->check_topic(bus, name, options, domain) : HL_OK;
}

static hl_domain *domain_of(const hl_bus *bus, const char *name)
{
    hl_domain *const domain = hl_bus_find_domain(bus, name, hl_first_token_bytes(name));
    const char *const fallback = bus->config.default_domain;
    return domain == NULL && fallback != NULL ? hl_bus_find_domain(bus, fallback, strlen(fallback))
                                              : domain;
}

void hl_topic_free(hl_bus *bus, hl_topic_entry *topic)
{
    tdelete(topic, &bus->control->topic_names, compare_names);
    for (uint32_t i = 0; topic->last != NULL && i < topic->domain->config.shards; i++)
        hl_memory_unmap(&topic->last[i].memory);
    free(topic->last);
    free(topic->flow);
    free(topic->name);
    free(topic);
}

static hl_status make_last_values(hl_bus *bus, hl_topic_entry *topic)
{
    const hl_domain *const domain = topic->domain;
    const uint32_t value_size = domain->config.slot_size_bytes;
    const uint32_t keys = topic->options.max_keys;
    const size_t bytes = hl_latest_size_bytes(keys, value_size);
    hl_error error = {.text = "no memory"};
    topic->last = hl_allocate(domain->config.shards, sizeof *topic->last);
    for (uint32_t i = 0; topic->last != NULL && i < domain->config.shards; i++) {
        hl_last_values *const last = &topic->last[i];
        const hl_memory_options options = {
            .numa_node = bus->partitions[domain->first_partition + i].numa_node,
            .want_huge_pages = bus->config.huge_pages,
            .want_lock = bus->config.lock_memory,
            .dont_fork = true};
        const char *reason = NULL;
        if (hl_memory_map(bytes, &options, &last->memory, &error) != HL_OK)
            return hl_bus_fail(bus, HL_NO_MEMORY, "topic %s: last values of %u keys: %s",
                               topic->name, keys, error.text);
        last->table =
            hl_latest_init(last->memory.address, last->memory.size, keys, value_size, &reason);
        if (last->table == NULL)
            return hl_bus_fail(bus, HL_INVALID, "topic %s: last values: %s", topic->name, reason);
    }
    return topic->last != NULL ? HL_OK
                               : hl_bus_fail(bus, HL_NO_MEMORY, "topic %s: no memory", topic->name);
}

/* A lane that conflates keeps only the newest of a key: other kinds must not come to lie there. */
static hl_status check_conflation(hl_bus *bus, const char *name, const hl_topic_options *options,
                                  const hl_domain *domain)
{
    const uint32_t conflated = hl_domain_conflates(&domain->config);
    const int priority = options->priority < 0 ? (int)domain->config.priority : options->priority;
    if (options->kind == HL_STATE || conflated == 0)
        return HL_OK;
    if ((conflated & 1u << priority) != 0)
        return hl_bus_fail(bus, HL_NOT_ALLOWED,
                           "topic %s: its lane keeps only the newest event of a key (domain %s: "
                           "conflates \"%s\"): declare it of kind HL_STATE, or of another priority",
                           name, domain->name, domain->config.conflates);
    if (options->any_priority)
        return hl_bus_fail(bus, HL_NOT_ALLOWED,
                           "topic %s: with any_priority it could come into a lane that keeps only "
                           "the newest event of a key (domain %s: conflates \"%s\"): declare it of "
                           "kind HL_STATE, or without any_priority",
                           name, domain->name, domain->config.conflates);
    return HL_OK;
}

static hl_status make_topic(hl_bus *bus, const char *name, const hl_topic_options *options,
                            const hl_domain *domain, hl_topic_entry **ret_topic)
{
    hl_topic_entry *const topic = hl_allocate(1, sizeof *topic);
    if (topic == NULL || (topic->name = strdup(name)) == NULL ||
        tsearch(topic, &bus->control->topic_names, compare_names) == NULL) {
        if (topic != NULL)
            free(topic->name);
        free(topic);
        return hl_bus_fail(bus, HL_NO_MEMORY, "topic %s: no memory", name);
    }
    topic->number = bus->topic_count;
    topic->domain = domain;
    topic->options = *options;
    if (topic->options.priority < 0)
        topic->options.priority = (int)domain->config.priority;
    if (topic->options.kind == HL_STATE && topic->options.max_keys == 0)
        topic->options.max_keys = bus->config.max_keys_per_state_topic;
    hl_status status = topic->options.kind == HL_STATE ? make_last_values(bus, topic) : HL_OK;
    if (status == HL_OK && bus->flow != NULL)
        status = bus->flow->make_topic(bus, topic, &topic->flow);
    if (status == HL_OK && bus->control->state == HL_BUS_RUNNING)
        status = hl_handler_lanes_make(bus, topic);
    for (const hl_part *const *part = hl_parts; status == HL_OK && *part != NULL; part++)
        if ((*part)->name_topic != NULL &&
            (status = (*part)->name_topic(bus, topic->number, name)) != HL_OK)
            hl_bus_fail(bus, status, "topic %s: no memory to note its name", name);
    if (status == HL_OK && !hl_route_build(bus, topic))
        status = hl_bus_fail(bus, HL_NO_MEMORY, "topic %s: no memory for its route", name);
    if (status != HL_OK) {
        hl_topic_free(bus, topic);
        return status;
    }
    *ret_topic = topic;
    return HL_OK;
}

static void announce(hl_bus *bus, hl_topic_entry *topic)
{
    hl_topic_info *const info = &bus->topics[topic->number];
    bus->entries[topic->number] = topic;
    bus->topic_count++;
    info->first_partition = topic->domain->first_partition;
    info->shards = topic->domain->config.shards;
    info->priority = (uint8_t)topic->options.priority;
    info->any_priority = topic->options.any_priority;
    const bool is_checked = bus->flow != NULL && bus->flow->checks(bus, topic);
    /* DECLARED: release, the topic and its route are whole. */
    hl_store_release_u8(&info->declared, is_checked ? HL_TOPIC_CHECKED : HL_TOPIC_OPEN);
}

static bool same_options(const hl_topic_entry *topic, const hl_topic_options *options)
{
    const hl_topic_options *const had = &topic->options;
    return options == NULL ||
           (options->kind == had->kind && options->any_priority == had->any_priority &&
            (options->priority == had->priority ||
             (options->priority < 0 && had->priority == (int)topic->domain->config.priority)) &&
            (options->max_keys == 0 || options->max_keys == had->max_keys) &&
            options->throttle.rate_per_s == had->throttle.rate_per_s &&
            options->throttle.burst == had->throttle.burst &&
            options->sampling_window_ns == had->sampling_window_ns &&
            options->always_sampled == had->always_sampled);
}

static hl_status declare_locked(hl_bus *bus, const char *name, const hl_topic_options *options,
                                hl_topic *ret_topic)
{
    static const hl_topic_options defaults = HL_TOPIC_OPTIONS_INIT;
    const char *const defect = hl_name_defect(name);
    if (defect != NULL)
        return hl_bus_fail(bus, HL_INVALID, "topic \"%s\": %s", name == NULL ? "" : name, defect);
    hl_topic_entry *topic = hl_topic_find(bus, name);
    if (topic != NULL) {
        if (!same_options(topic, options))
            return hl_bus_fail(bus, HL_EXISTS,
                               "topic %s was declared with other options: give the same, or NULL",
                               name);
        if (ret_topic != NULL)
            ret_topic->number = topic->number;
        return HL_OK;
    }
    const hl_domain *const domain = domain_of(bus, name);
    if (domain == NULL)
        return hl_bus_fail(
            bus, HL_UNKNOWN_DOMAIN,
            "topic %s: its first token names no domain of this bus: configure one, or "
            "a default_domain",
            name);
    if (options == NULL)
        options = &defaults;
    hl_status status = check_options(bus, name, options, domain);
    if (status == HL_OK)
        status = check_conflation(bus, name, options, domain);
    if (status == HL_OK && bus->control->state >= HL_BUS_STOPPING)
        status = hl_bus_fail(bus, HL_CLOSED, "topic %s: the bus has stopped", name);
    if (status == HL_OK && options->kind != HL_STATE)
        status = hl_async_check_topic(bus, name);
    if (status == HL_OK && bus->topic_count >= bus->max_topics)
        status = hl_bus_fail(bus, HL_LIMIT, "topic %s: %u are declared: raise max_topics", name,
                             bus->max_topics);
    if (status == HL_OK)
        status = make_topic(bus, name, options, domain, &topic);
    if (status != HL_OK)
        return status;
    announce(bus, topic);
    if (ret_topic != NULL)
        ret_topic->number = topic->number;
    return HL_OK;
}

hl_status hl_topic_declare(hl_bus *bus, const char *name, const hl_topic_options *options,
                           hl_topic *ret_topic)
{
    const hl_status refusal = hl_bus_refusal(bus);
    if (refusal != HL_OK)
        return refusal;
    hl_bus_lock(bus);
    const hl_status status = declare_locked(bus, name, options, ret_topic);
    hl_bus_unlock(bus);
    return status;
}

/* NULL: no such topic. Any thread. */
static const hl_topic_entry *entry_of(const hl_bus *bus, hl_topic topic)
{
    /* DECLARED: acquire, the entry is whole. */
    if (topic.number >= bus->max_topics ||
        hl_load_acquire_u8(&bus->topics[topic.number].declared) == 0)
        return NULL;
    return bus->entries[topic.number];
}

const char *hl_topic_name(const hl_bus *bus, hl_topic topic)
{
    const hl_topic_entry *const entry = entry_of(bus, topic);
    return entry != NULL ? entry->name : NULL;
}

hl_status hl_topic_partition(const hl_bus *bus, hl_topic topic, uint64_t key,
                             uint32_t *ret_partition)
{
    const hl_topic_entry *const entry = entry_of(bus, topic);
    if (entry == NULL)
        return HL_INVALID;
    *ret_partition =
        entry->domain->first_partition + hl_shard_of(key, entry->domain->config.shards);
    return HL_OK;
}

hl_status hl_last(const hl_bus *bus, hl_topic topic, uint64_t key, hl_event *ret_event,
                  size_t room_bytes)
{
    const hl_topic_entry *const entry = entry_of(bus, topic);
    if (entry == NULL)
        return HL_INVALID;
    if (entry->last == NULL)
        return HL_NOT_ALLOWED;
    if (hl_bus_is_detached(bus))
        return HL_DETACHED;
    const hl_latest *const table =
        entry->last[hl_shard_of(key, entry->domain->config.shards)].table;
    uint32_t bytes;
    return hl_latest_get(table, key, ret_event,
                         room_bytes < UINT32_MAX ? (uint32_t)room_bytes : UINT32_MAX, &bytes);
}

uint64_t hl_topic_keys_refused(const hl_bus *bus, hl_topic topic)
{
    const hl_topic_entry *const entry = entry_of(bus, topic);
    uint64_t refused = 0;
    for (uint32_t i = 0; entry != NULL && entry->last != NULL && i < entry->domain->config.shards;
         i++)
        refused += hl_load_relaxed_u64(&entry->last[i].refused); /* Relaxed: a counter. */
    return refused;
}
