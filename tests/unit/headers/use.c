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

/* Each options struct begins with its macro. */
static size_t sizes_of_options(void)
{
    const hl_adapter_options adapter = HL_ADAPTER_OPTIONS_INIT;
    const hl_aggregate_options aggregate = HL_AGGREGATE_OPTIONS_INIT;
    const hl_rebuild_options rebuild = HL_REBUILD_OPTIONS_INIT;
    const hl_component_options component = HL_COMPONENT_OPTIONS_INIT;
    const hl_dlq_options dlq = HL_DLQ_OPTIONS_INIT;
    const hl_dlq_filter dlq_filter = HL_DLQ_FILTER_INIT;
    const hl_retry_options retry = HL_RETRY_OPTIONS_INIT;
    const hl_breaker_options breaker = HL_BREAKER_OPTIONS_INIT;
    const hl_throttle_options throttle = HL_THROTTLE_OPTIONS_INIT;
    const hl_sampling_options sampling = HL_SAMPLING_OPTIONS_INIT;
    const hl_ladder_options ladder = HL_LADDER_OPTIONS_INIT;
    const hl_scale_options scale = HL_SCALE_OPTIONS_INIT;
    const hl_health_options health = HL_HEALTH_OPTIONS_INIT;
    const hl_alert_rule alert = HL_ALERT_RULE_INIT;
    const hl_journal_reader_options reader = HL_JOURNAL_READER_OPTIONS_INIT;
    const hl_replay_options replay = HL_REPLAY_OPTIONS_INIT;
    return adapter.size + aggregate.size + rebuild.size + component.size + dlq.size +
           dlq_filter.size + retry.size + breaker.size + throttle.size + sampling.size +
           ladder.size + scale.size + health.size + alert.size + reader.size + replay.size;
}

hl_status use_everything(int64_t *sum);

hl_status use_everything(int64_t *sum)
{
    hl_config config = HL_CONFIG_INIT;
    hl_topic_options topic_options = HL_TOPIC_OPTIONS_INIT;
    hl_publisher_options publisher_options = HL_PUBLISHER_OPTIONS_INIT;
    hl_subscription_options subscription_options = HL_SUBSCRIPTION_OPTIONS_INIT;
    if (sizes_of_options() == 0)
        return HL_FAILED;
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
