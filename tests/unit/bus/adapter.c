#include <hotlane/adapter.h>

#include "manual_bus.h"

typedef struct tick {
    uint64_t instrument, value;
} tick;

static uint64_t instrument_of(const void *data, size_t size, void *context)
{
    cr_assert_eq(size, sizeof(tick));
    ++*(uint32_t *)context;
    return ((const tick *)data)->instrument;
}

static void before(const void *data, size_t size, void *context)
{
    cr_assert_eq(size, sizeof(tick));
    *(uint64_t *)context += ((const tick *)data)->value;
}

static hl_adapter *open_adapter(hl_bus *bus, const char *name, const hl_adapter_options *options)
{
    hl_adapter *adapter = NULL;
    cr_assert_eq(hl_adapter_open(bus, name, options, &adapter), HL_OK);
    return adapter;
}

static void assert_stats(const hl_adapter *adapter, uint64_t published, uint64_t throttled,
                         uint64_t full, uint64_t failed)
{
    hl_adapter_stats stats;
    hl_adapter_stats_read(adapter, &stats);
    cr_assert_eq(stats.published, published);
    cr_assert_eq(stats.throttled, throttled);
    cr_assert_eq(stats.full, full);
    cr_assert_eq(stats.failed, failed);
    cr_assert_eq(stats.calls, published + throttled + full + failed);
}

Test(adapter, a_feeds_call_is_published_and_handed_on)
{
    for (int shared = 0; shared < 2; shared++) {
        hl_bus *const bus = manual_start(NULL);
        static recorder seen;
        uint32_t keys = 0;
        uint64_t sum = 0;
        seen.count = 0;
        hl_adapter_options options = HL_ADAPTER_OPTIONS_INIT;
        options.topic = topic(bus, "market_data.tick");
        options.shared = shared != 0;
        options.key = instrument_of;
        options.key_context = &keys;
        options.then = before;
        options.then_context = &sum;
        subscribe(bus, "market_data.tick", &seen, NULL);
        hl_adapter *const adapter = open_adapter(bus, "feed", &options);
        for (uint64_t i = 0; i < 10; i++) {
            const tick one = {i, 100 + i};
            hl_adapter_feed(&one, sizeof one, adapter);
        }
        turn_all(bus);
        assert_stats(adapter, 8, 0, 2, 0); /* the ring has 8 slots */
        cr_assert_eq(seen.count, 8);
        cr_assert_eq(seen.entries[7].key, 7);
        cr_assert_eq(keys, 10);
        cr_assert_eq(sum, 1045, "handed on, published or not");
        hl_adapter_close(adapter);
        manual_stop(bus);
    }
}

Test(adapter, what_is_over_the_limit_is_counted_not_published)
{
    hl_bus *const bus = manual_start(NULL);
    hl_adapter_options options = HL_ADAPTER_OPTIONS_INIT;
    options.topic = topic(bus, "market_data.tick");
    options.throttle.rate_per_s = 10;
    options.throttle.burst = 3;
    hl_adapter *const adapter = open_adapter(bus, "feed", &options);
    const tick one = {1, 2};
    for (int i = 0; i < 5; i++)
        hl_adapter_feed(&one, sizeof one, adapter);
    assert_stats(adapter, 3, 2, 0, 0);
    manual_now_ns += HL_SECOND / 10;
    hl_adapter_feed(&one, sizeof one, adapter);
    hl_adapter_feed(&one, sizeof one, adapter);
    assert_stats(adapter, 4, 3, 0, 0);
    turn_all(bus);
    hl_adapter_close(adapter);
    manual_stop(bus);
}

static uint32_t asked;

static uint64_t old_function(uint64_t by)
{
    asked++;
    return 21 * by;
}

Test(adapter, a_functions_result_is_published_and_returned_unchanged)
{
    hl_bus *const bus = manual_start(NULL);
    static recorder seen;
    hl_adapter_options options = HL_ADAPTER_OPTIONS_INIT;
    options.topic = topic(bus, "market_data.price");
    subscribe(bus, "market_data.price", &seen, NULL);
    hl_adapter *const adapter = open_adapter(bus, "prices", &options);
    cr_assert_eq(hl_adapter_result(adapter, 7, old_function(2)), 42);
    cr_assert_eq(asked, 1, "once");
    turn_all(bus);
    cr_assert_eq(seen.count, 1);
    cr_assert_eq(seen.entries[0].value, 42);
    cr_assert_eq(seen.entries[0].key, 7);
    for (uint64_t i = 0; i < 9; i++)
        cr_assert_eq(hl_adapter_result(adapter, 7, old_function(i)), 21 * i);
    static unsigned char large[4096];
    cr_assert_eq(hl_adapter_publish(adapter, 7, large, sizeof large), HL_TOO_LARGE);
    assert_stats(adapter, 9, 0, 1, 1);
    cr_assert_eq(hl_bus_stop(bus, HL_SECOND), HL_OK);
    cr_assert_eq(hl_adapter_result(adapter, 7, old_function(3)), 63, "whatever became of the bus");
    assert_stats(adapter, 9, 0, 1, 2);
    hl_adapter_close(adapter);
    hl_bus_destroy(bus);
}

Test(adapter, bad_options_are_refused)
{
    hl_bus *const bus = manual_start(NULL);
    hl_adapter *adapter = NULL;
    hl_adapter_options options = HL_ADAPTER_OPTIONS_INIT;
    cr_assert_eq(hl_adapter_open(bus, "feed", &options, &adapter), HL_INVALID);
    assert_sentence(bus, HL_INVALID, "no such topic");
    cr_assert_eq(hl_adapter_open(bus, "feed", NULL, &adapter), HL_INVALID);
    options.topic = topic(bus, "market_data.tick");
    options.size = 1;
    cr_assert_eq(hl_adapter_open(bus, "feed", &options, &adapter), HL_INVALID);
    assert_sentence(bus, HL_INVALID, "HL_ADAPTER_OPTIONS_INIT");
    options.size = sizeof options;
    cr_assert_eq(hl_adapter_open(bus, "", &options, &adapter), HL_INVALID);
    cr_assert_null(adapter);
    manual_stop(bus);
}
