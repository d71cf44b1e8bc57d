#include "async_bus.h"

#include <string.h>

hl_bus *start_with_workers(uint32_t max_workers)
{
    hl_config config = manual_config();
    config.max_workers = max_workers;
    config.min_workers = max_workers;
    return manual_start(&config);
}

hl_executor *worker(hl_bus *bus, uint32_t index)
{
    return bus->pools[HL_POOL_WORKERS]->workers[index].executor;
}

hl_executor *taps(hl_bus *bus)
{
    return bus->pools[HL_POOL_TAPS]->workers[0].executor;
}

hl_subscription_options async_options(hl_async_order async, hl_contract contract)
{
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.async = async;
    options.contract = contract;
    options.queue_events = 4;
    options.eject_behind = 3;
    return options;
}

void start_follower(follower *ret_follower, const char *pattern,
                    const hl_subscription_options *options)
{
    follower *const f = ret_follower;
    memset(f, 0, sizeof *f);
    f->bus = start_with_workers(WORKERS);
    f->trade = topic(f->bus, "market_data.trade");
    f->subscription = subscribe(f->bus, pattern, &f->seen, options);
    f->feed = open_publisher(f->bus, "feed", NULL);
}

void turn_partition(hl_bus *bus, const char *domain)
{
    for (int i = 0; i < 4; i++) {
        manual_now_ns += HL_MILLISECOND;
        turn(bus, domain, 0);
    }
}

void assert_refused(hl_bus *bus, const hl_subscription_options *options, hl_status status,
                    const char *text)
{
    cr_assert_eq(hl_subscribe(bus, "market_data.*", record, NULL, options, NULL), status);
    assert_sentence(bus, status, text);
}

void publish_values(hl_publisher *publisher, hl_topic to, uint64_t first, uint64_t last)
{
    for (uint64_t value = first; value <= last; value++)
        publish(publisher, to, value, value);
}
