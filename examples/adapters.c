/*
 * Code that was there before goes on the bus without being touched: a feed that calls back, and a
 * function that prices.
 *
 *     cc adapters.c $(pkg-config --cflags --libs hotlane) && ./a.out
 */
#include <inttypes.h>
#include <stdio.h>

#include <hotlane/hotlane.h>

struct tick {
    uint64_t instrument;
    double price;
};

/* ---- the old code ---- */

static void old_callback(const void *data, size_t size, void *count)
{
    (void)data, (void)size;
    ++*(uint32_t *)count;
}

static double old_fair_price(double last)
{
    return last * 1.001;
}

/* A feed that knows nothing of hotlane. */
static void old_feed(hl_feed_callback callback, void *context)
{
    for (uint64_t i = 0; i < 5; i++) {
        const struct tick tick = {i % 2, 100.0 + (double)i};
        callback(&tick, sizeof tick, context);
    }
}

/* ---- what is new ---- */

static uint64_t instrument_of(const void *data, size_t size, void *context)
{
    (void)size, (void)context;
    return ((const struct tick *)data)->instrument;
}

static hl_status on_tick(const hl_event *event, hl_publisher *out, void *context)
{
    const struct tick *const tick = hl_payload(event);
    (void)out, (void)context;
    printf("tick of instrument %" PRIu64 " at %.2f\n", event->key, tick->price);
    return HL_OK;
}

static hl_status on_fair_price(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out, (void)context;
    printf("fair price %.3f\n", *(const double *)hl_payload(event));
    return HL_OK;
}

static int fail(hl_bus *bus, const char *sentence)
{
    fprintf(stderr, "%s\n", sentence);
    hl_bus_destroy(bus);
    return 1;
}

int main(void)
{
    hl_error error;
    hl_bus *bus;
    hl_adapter *feed, *prices;
    hl_topic ticks, fair;
    uint32_t old_count = 0;
    if (hl_bus_create(NULL, &bus, &error) != HL_OK)
        return fail(NULL, error.text);
    hl_adapter_options of_feed = HL_ADAPTER_OPTIONS_INIT, of_prices = HL_ADAPTER_OPTIONS_INIT;
    if (hl_topic_declare(bus, "market_data.tick", NULL, &ticks) != HL_OK ||
        hl_topic_declare(bus, "signal.fair", NULL, &fair) != HL_OK ||
        hl_subscribe(bus, "market_data.tick", on_tick, NULL, NULL, NULL) != HL_OK ||
        hl_subscribe(bus, "signal.fair", on_fair_price, NULL, NULL, NULL) != HL_OK)
        return fail(bus, "the topics cannot be made");
    of_feed.topic = ticks;
    of_feed.key = instrument_of;
    of_feed.then = old_callback;
    of_feed.then_context = &old_count;
    of_prices.topic = fair;
    if (hl_adapter_open(bus, "feed", &of_feed, &feed) != HL_OK ||
        hl_adapter_open(bus, "prices", &of_prices, &prices) != HL_OK ||
        hl_bus_start(bus) != HL_OK) {
        hl_bus_error(bus, &error);
        return fail(bus, error.text);
    }
    old_feed(hl_adapter_feed, feed);
    const double price = hl_adapter_result(prices, 1, old_fair_price(104.0));
    const hl_status stopped = hl_bus_stop(bus, HL_SECOND);
    hl_adapter_stats stats;
    hl_adapter_stats_read(feed, &stats);
    printf("%" PRIu64 " calls of the feed, %" PRIu64 " published, %" PRIu32
           " seen by the old callback; the old function said %.3f\n",
           stats.calls, stats.published, old_count, price);
    hl_adapter_close(feed);
    hl_adapter_close(prices);
    hl_bus_destroy(bus);
    return stopped == HL_OK && stats.published == 5 && old_count == 5 ? 0 : 1;
}
