#include "bus_bench.h"

#include <string.h>

#include "base/error.h"

static void make_domain(const char *name, const perf_bus_options *options,
                        hl_domain_config *ret_domain)
{
    *ret_domain = (hl_domain_config){
        .name = name,
        .priority = HL_NORMAL,
        .shards = 1,
        .slot_size_bytes = sizeof(hl_event) + PERF_BUS_PAYLOAD_BYTES,
        .ring_slots = PERF_BUS_RING_SLOTS,
        .handler_ring_slots = PERF_BUS_RING_SLOTS,
        .full_policy = HL_FULL_REJECT,
        .block_timeout_ns = HL_SECOND,
        .publishes_to = "*",
        .wait = options->wait,
        .durability = options->journal_dir != NULL ? options->durability : HL_DURABILITY_OFF,
        .journal_slots = options->journal_slots,
    };
}

hl_status perf_bus_open(const perf_bus_options *options, perf_bus *ret_bus, hl_error *error)
{
    hl_domain_config domains[PERF_BUS_DOMAINS_MAX];
    make_domain("market_data", options, &domains[0]);
    make_domain("order", options, &domains[1]);
    if (options->conflate_keys != 0)
        domains[0].conflates = "normal";
    domains[0].conflate_keys = options->conflate_keys;
    char lcores[96];
    const perf_cores *const cores = options->cores;
    const uint32_t near = options->beside_publisher ? cores->publisher : cores->consumer;
    const int length =
        snprintf(lcores, sizeof lcores, "market_data@%u,housekeeping@%u", near, cores->housekeeper);
    if (options->beside_publisher && options->journal_dir != NULL)
        snprintf(lcores + length, sizeof lcores - (size_t)length, ",journals@%u", cores->consumer);
    hl_config config = HL_CONFIG_INIT;
    config.domains = domains;
    config.domain_count = options->two_domains ? 2 : 1;
    config.max_publishers = 16;
    /* Lanes are full and handlers slow because that is measured. */
    config.log_level = HL_LOG_NOTHING;
    config.max_workers = options->workers;
    config.journal_dir = options->journal_dir;
    config.journal_io_uring = options->journal_io_uring;
    if (options->retry_events != 0)
        config.retry_events = options->retry_events;
    if (options->ladder != NULL)
        config.ladder = *options->ladder;
    if (options->manual)
        config.threads = HL_THREADS_MANUAL;
    else
        config.lcores = lcores;
    perf_bus bus = {NULL, NULL};
    const hl_status status = hl_bus_create(&config, &bus.bus, error);
    if (status == HL_OK)
        *ret_bus = bus;
    return status;
}

hl_status perf_bus_error(const perf_bus *bus, hl_status status, hl_error *error)
{
    hl_error reason;
    hl_bus_error(bus->bus, &reason);
    return hl_error_set(error, status, "%s: %s", hl_status_name(status), reason.text);
}

hl_status perf_bus_publish_error(hl_status status, hl_error *error)
{
    return hl_error_set(error, status, "publish: %s", hl_status_text(status));
}

hl_status perf_bus_start(perf_bus *bus, hl_error *error)
{
    hl_status status = hl_publisher_open(bus->bus, "bench", NULL, &bus->publisher);
    if (status == HL_OK)
        status = hl_bus_start(bus->bus);
    return status == HL_OK ? HL_OK : perf_bus_error(bus, status, error);
}

hl_status perf_bus_publisher(const perf_bus *bus, const char *name, hl_publisher **ret_publisher,
                             hl_error *error)
{
    const hl_status status = hl_publisher_open(bus->bus, name, NULL, ret_publisher);
    return status == HL_OK ? HL_OK : perf_bus_error(bus, status, error);
}

hl_status perf_bus_close(perf_bus *bus, hl_status status, hl_lane_stats *ret_lanes, hl_error *error)
{
    if (status == HL_OK) {
        status = hl_bus_stop(bus->bus, PERF_BUS_STOP_NS);
        if (status == HL_OK && ret_lanes != NULL)
            status = hl_bus_lane_stats(bus->bus, "market_data", -1, ret_lanes);
        if (status != HL_OK)
            perf_bus_error(bus, status, error);
    }
    hl_bus_destroy(bus->bus);
    return status;
}

hl_status perf_bus_topic(const perf_bus *bus, const char *name, const hl_topic_options *options,
                         hl_topic *ret_topic, hl_error *error)
{
    const hl_status status = hl_topic_declare(bus->bus, name, options, ret_topic);
    return status == HL_OK ? HL_OK : perf_bus_error(bus, status, error);
}

hl_status perf_bus_subscribe(const perf_bus *bus, const char *pattern, hl_handler handler,
                             void *context, hl_error *error)
{
    hl_subscription *subscription; /* the bus frees it */
    const hl_status status = hl_subscribe(bus->bus, pattern, handler, context, NULL, &subscription);
    return status == HL_OK ? HL_OK : perf_bus_error(bus, status, error);
}
