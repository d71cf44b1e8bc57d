/* What an application writes with the public headers; it must compile as C17 and as C++11. */
#include <hotlane/hotlane.h>

struct trade {
    int64_t price;
    uint32_t size;
};

static hl_status on_trade(const hl_event *event, hl_publisher *out, void *context)
{
    const struct trade *const trade = (const struct trade *)hl_payload(event);
    *(int64_t *)context += trade->price;
    return hl_now_ns(out) == 0 ? HL_FAILED : HL_OK;
}

hl_status use_everything(int64_t *sum);

hl_status use_everything(int64_t *sum)
{
    hl_config config = HL_CONFIG_INIT;
    hl_topic_options topic_options = HL_TOPIC_OPTIONS_INIT;
    hl_publisher_options publisher_options = HL_PUBLISHER_OPTIONS_INIT;
    hl_subscription_options subscription_options = HL_SUBSCRIPTION_OPTIONS_INIT;
    hl_error error;
    hl_bus *bus;
    hl_topic trades;
    hl_publisher *feed;
    hl_subscription *subscription;
    hl_claim claim;
    if (hl_bus_create(&config, &bus, &error) != HL_OK)
        return error.status;
    hl_topic_declare(bus, "market_data.trade", &topic_options, &trades);
    hl_subscribe(bus, "market_data.*", on_trade, sum, &subscription_options, &subscription);
    hl_bus_start(bus);
    hl_publisher_open(bus, "feed-a", &publisher_options, &feed);
    if (hl_try_claim(feed, trades, 7, sizeof(struct trade), &claim) == HL_OK) {
        struct trade *const trade = (struct trade *)claim.payload;
        hl_claim_event(&claim, 0)->correlation_id = hl_event_id_of(1, 2);
        trade->price = (int64_t)hl_id_sequence(hl_id_partition(0));
        trade->size = 100;
        hl_commit(&claim);
    }
    hl_bus_stop(bus, 5 * HL_SECOND);
    hl_bus_destroy(bus);
    return HL_VERSION_NUMBER == hl_version_number() ? HL_OK : HL_UNSUPPORTED;
}
