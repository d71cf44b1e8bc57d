#include <hotlane/adapter.h>

#include <stdlib.h>

#include "bus/bus.h"

struct hl_adapter {
    hl_adapter_options options;
    hl_publisher *own; /* one of the two */
    hl_shared_publisher *shared;
    uint64_t published, throttled, full, failed; /* anyone who calls adds */
};

static hl_status refuse(hl_bus *bus, hl_status status, const char *sentence)
{
    hl_bus_lock(bus);
    hl_bus_fail(bus, status, "%s", sentence);
    hl_bus_unlock(bus);
    return status;
}

/* The domain of a topic: what stands before its first dot. */
static void domain_of(const char *topic, char ret_domain[64])
{
    snprintf(ret_domain, 64, "%.*s", (int)strcspn(topic, "."), topic);
}

static hl_status open_publisher(hl_bus *bus, const char *name, hl_adapter *adapter)
{
    char domain[64];
    hl_publisher_options options = HL_PUBLISHER_OPTIONS_INIT;
    domain_of(hl_topic_name(bus, adapter->options.topic), domain);
    /* A topic of no domain's name lies in the default domain. */
    options.uses = hl_bus_find_domain(bus, domain, strlen(domain)) != NULL ? domain : NULL;
    options.throttle = adapter->options.throttle;
    return adapter->options.shared ? hl_shared_publisher_open(bus, name, &options, &adapter->shared)
                                   : hl_publisher_open(bus, name, &options, &adapter->own);
}

hl_status hl_adapter_open(hl_bus *bus, const char *name, const hl_adapter_options *options,
                          hl_adapter **ret_adapter)
{
    const hl_status refusal = hl_bus_refusal(bus);
    if (refusal != HL_OK)
        return refusal;
    if (options == NULL || options->size != sizeof *options)
        return refuse(bus, HL_INVALID,
                      "adapter: its options begin with HL_ADAPTER_OPTIONS_INIT, and its headers "
                      "are this library's");
    if (hl_topic_name(bus, options->topic) == NULL)
        return refuse(bus, HL_INVALID, "adapter: no such topic: declare it first");
    hl_adapter *const adapter = hl_allocate(1, sizeof *adapter);
    if (adapter == NULL)
        return refuse(bus, HL_NO_MEMORY, "no memory for an adapter");
    adapter->options = *options;
    const hl_status status = open_publisher(bus, name, adapter);
    if (status != HL_OK) {
        free(adapter);
        return status;
    }
    *ret_adapter = adapter;
    return HL_OK;
}

void hl_adapter_close(hl_adapter *adapter)
{
    if (adapter == NULL)
        return;
    hl_publisher_close(adapter->own);
    hl_shared_publisher_close(adapter->shared);
    free(adapter);
}

static uint64_t *counter_of(hl_adapter *adapter, hl_status status)
{
    switch (status) {
    case HL_OK:
        return &adapter->published;
    case HL_THROTTLED:
        return &adapter->throttled;
    case HL_FULL:
        return &adapter->full;
    default:
        return &adapter->failed;
    }
}

hl_status hl_adapter_publish(hl_adapter *adapter, uint64_t key, const void *data, size_t size)
{
    const hl_topic topic = adapter->options.topic;
    /* More than any slot: what is cut to 32 bits would look small. */
    const uint32_t bytes = size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
    if (adapter->own != NULL) {
        const hl_status status = hl_try_publish(adapter->own, topic, key, data, bytes);
        hl_count(counter_of(adapter, status), 1);
        return status;
    }
    const hl_status status = hl_shared_try_publish(adapter->shared, topic, key, data, bytes);
    hl_fetch_add_relaxed_u64(counter_of(adapter, status), 1); /* COUNTED (bus.h) */
    return status;
}

void hl_adapter_feed(const void *data, size_t size, void *adapter)
{
    hl_adapter *const self = adapter;
    const hl_adapter_options *const options = &self->options;
    const uint64_t key = options->key != NULL ? options->key(data, size, options->key_context) : 0;
    hl_adapter_publish(self, key, data, size);
    if (options->then != NULL)
        options->then(data, size, options->then_context);
}

void hl_adapter_stats_read(const hl_adapter *adapter, hl_adapter_stats *ret_stats)
{
    /* Relaxed all: counters. */
    hl_adapter_stats stats = {.published = hl_load_relaxed_u64(&adapter->published),
                              .throttled = hl_load_relaxed_u64(&adapter->throttled),
                              .full = hl_load_relaxed_u64(&adapter->full),
                              .failed = hl_load_relaxed_u64(&adapter->failed)}; /* as above */
    stats.calls = stats.published + stats.throttled + stats.full + stats.failed;
    *ret_stats = stats;
}
