#include <string.h>

#include "manual_bus.h"

static hl_status declare(hl_bus *bus, const char *name, const hl_topic_options *options)
{
    hl_topic declared;
    return hl_topic_declare(bus, name, options, &declared);
}

Test(topic, the_same_name_is_the_same_topic)
{
    hl_bus *const bus = manual_create(NULL);
    const hl_topic trade = topic(bus, "market_data.trade"), quote = topic(bus, "market_data.quote");
    cr_assert_neq(trade.number, quote.number);
    cr_assert_eq(topic(bus, "market_data.trade").number, trade.number);
    cr_assert_str_eq(hl_topic_name(bus, trade), "market_data.trade");
    cr_assert_null(hl_topic_name(bus, (hl_topic){quote.number + 1}));
    cr_assert_null(hl_topic_name(bus, (hl_topic){UINT32_MAX}));
    hl_bus_destroy(bus);
}

Test(topic, other_options_for_a_known_name_are_refused)
{
    hl_bus *const bus = manual_create(NULL);
    hl_topic_options options = HL_TOPIC_OPTIONS_INIT;
    options.kind = HL_STATE;
    cr_assert_eq(declare(bus, "market_data.quote", &options), HL_OK);
    cr_assert_eq(declare(bus, "market_data.quote", NULL), HL_OK, "NULL asks for what there is");
    hl_topic_options same = options;
    same.priority = HL_NORMAL; /* the domain's */
    same.max_keys = 16;        /* the configuration's */
    cr_assert_eq(declare(bus, "market_data.quote", &same), HL_OK, "spelt out, but the same");
    hl_topic_options other[4] = {options, options, options, options};
    other[0].kind = HL_DELTA;
    other[1].priority = HL_LOW;
    other[2].any_priority = true;
    other[3].max_keys = 17;
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(declare(bus, "market_data.quote", &other[i]), HL_EXISTS, "%d", i);
        assert_sentence(bus, HL_EXISTS, "market_data.quote");
    }
    hl_bus_destroy(bus);
}

Test(topic, an_unknown_domain_is_refused_or_falls_to_the_default_domain)
{
    hl_bus *bus = manual_create(NULL);
    cr_assert_eq(declare(bus, "weather.rain", NULL), HL_UNKNOWN_DOMAIN);
    assert_sentence(bus, HL_UNKNOWN_DOMAIN, "weather.rain");
    hl_bus_destroy(bus);

    hl_config config = manual_config();
    config.default_domain = "account";
    bus = manual_start(&config);
    const hl_topic rain = topic(bus, "weather.rain");
    recorder of_weather = {0}, of_account = {0};
    subscribe(bus, "weather.*", &of_weather, NULL);
    subscribe(bus, "account.>", &of_account, NULL);
    publish(open_publisher(bus, "station", NULL), rain, 1, 99);
    cr_assert_eq(turn(bus, "account", 0), 1);
    assert_values_follow(&of_weather, 99, 1);
    cr_assert_eq(of_account.count, 0, "the name is what a pattern matches, not the domain");
    manual_stop(bus);
}

Test(topic, malformed_names_and_options_are_refused_with_a_sentence)
{
    hl_bus *const bus = manual_create(NULL);
    cr_assert_eq(declare(bus, NULL, NULL), HL_INVALID);
    cr_assert_eq(declare(bus, "order..new", NULL), HL_INVALID);
    assert_sentence(bus, HL_INVALID, "empty token");
    cr_assert_eq(declare(bus, "order.*", NULL), HL_INVALID);
    assert_sentence(bus, HL_INVALID, "wildcard");
    hl_topic_options options = HL_TOPIC_OPTIONS_INIT;
    options.size = 3;
    cr_assert_eq(declare(bus, "order.new", &options), HL_INVALID);
    assert_sentence(bus, HL_INVALID, "HL_TOPIC_OPTIONS_INIT");
    options = (hl_topic_options)HL_TOPIC_OPTIONS_INIT;
    options.kind = (hl_topic_kind)3;
    cr_assert_eq(declare(bus, "order.new", &options), HL_INVALID);
    assert_sentence(bus, HL_INVALID, "kind");
    options = (hl_topic_options)HL_TOPIC_OPTIONS_INIT;
    options.priority = HL_PRIORITIES;
    cr_assert_eq(declare(bus, "order.new", &options), HL_INVALID);
    assert_sentence(bus, HL_INVALID, "priority");
    options.priority = -2;
    cr_assert_eq(declare(bus, "order.new", &options), HL_INVALID);
    options = (hl_topic_options)HL_TOPIC_OPTIONS_INIT;
    options.max_keys = 16777217;
    cr_assert_eq(declare(bus, "order.new", &options), HL_INVALID);
    assert_sentence(bus, HL_INVALID, "max_keys");
    cr_assert_eq(declare(bus, "order.new", NULL), HL_OK, "none of them has left a trace");
    hl_bus_destroy(bus);
}

Test(topic, a_domain_of_fixed_priority_has_no_any_priority_topics)
{
    hl_bus *const bus = manual_create(NULL);
    hl_topic_options options = HL_TOPIC_OPTIONS_INIT;
    options.any_priority = true;
    cr_assert_eq(declare(bus, "order.new", &options), HL_NOT_ALLOWED);
    assert_sentence(bus, HL_NOT_ALLOWED, "order.new");
    cr_assert_eq(declare(bus, "market_data.trade", &options), HL_OK);
    options.any_priority = false;
    options.priority = HL_HIGH;
    cr_assert_eq(declare(bus, "order.status", &options), HL_OK, "another one is its own business");
    hl_bus_destroy(bus);
}

Test(topic, max_topics_is_the_most_and_is_reached)
{
    hl_config config = manual_config();
    config.max_topics = 3;
    hl_bus *const bus = manual_create(&config);
    cr_assert_eq(declare(bus, "order.a", NULL), HL_OK);
    cr_assert_eq(declare(bus, "order.b", NULL), HL_OK);
    cr_assert_eq(declare(bus, "order.c", NULL), HL_OK);
    cr_assert_eq(declare(bus, "order.d", NULL), HL_LIMIT);
    assert_sentence(bus, HL_LIMIT, "max_topics");
    cr_assert_eq(declare(bus, "order.c", NULL), HL_OK, "one that is there is found");
    hl_bus_destroy(bus);
}

Test(topic, none_is_declared_after_the_stop)
{
    hl_bus *const bus = manual_start(NULL);
    topic(bus, "order.new");
    cr_assert_eq(hl_bus_stop(bus, HL_SECOND), HL_OK);
    cr_assert_eq(declare(bus, "order.cancel", NULL), HL_CLOSED);
    cr_assert_eq(declare(bus, "order.new", NULL), HL_OK, "one that is there is found");
    hl_bus_destroy(bus);
}

/* ---- the last value ---- */

typedef struct whole_event {
    hl_event event;
    unsigned char payload[64];
} whole_event;

Test(topic, hl_last_gives_the_newest_of_a_key)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic quote = topic_of_kind(bus, "market_data.quote", HL_STATE);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    whole_event last;
    cr_assert_eq(hl_last(bus, quote, 7, &last.event, sizeof last), HL_NOT_FOUND);
    publish(feed, quote, 7, 1);
    publish(feed, quote, 8, 2);
    publish(feed, quote, 7, 3);
    cr_assert_eq(hl_last(bus, quote, 7, &last.event, sizeof last), HL_NOT_FOUND,
                 "not before the partition has taken it");
    turn_all(bus);
    cr_assert_eq(hl_last(bus, quote, 7, &last.event, sizeof last), HL_OK);
    cr_assert_eq(value_of(&last.event), 3);
    cr_assert_eq(last.event.sequence, 3);
    cr_assert_eq(last.event.key, 7);
    cr_assert_eq(last.event.topic, quote.number);
    cr_assert_eq(hl_last(bus, quote, 8, &last.event, sizeof last), HL_OK);
    cr_assert_eq(value_of(&last.event), 2);
    cr_assert_eq(hl_last(bus, quote, 8, &last.event, sizeof last.event + 7), HL_TOO_LARGE);
    cr_assert_eq(hl_last(bus, quote, 8, &last.event, sizeof last.event + 8), HL_OK,
                 "just what it takes");
    manual_stop(bus);
}

Test(topic, hl_last_is_for_state_topics_that_exist)
{
    hl_bus *const bus = manual_start(NULL);
    whole_event last;
    cr_assert_eq(hl_last(bus, topic(bus, "order.new"), 7, &last.event, sizeof last),
                 HL_NOT_ALLOWED);
    cr_assert_eq(hl_last(bus, (hl_topic){77}, 7, &last.event, sizeof last), HL_INVALID);
    cr_assert_eq(hl_last(bus, (hl_topic){UINT32_MAX}, 7, &last.event, sizeof last), HL_INVALID);
    manual_stop(bus);
}

Test(topic, keys_over_the_limit_are_delivered_and_counted)
{
    hl_bus *const bus = manual_start(NULL);
    hl_topic_options options = HL_TOPIC_OPTIONS_INIT;
    options.kind = HL_STATE;
    options.max_keys = 2;
    hl_topic quote;
    cr_assert_eq(hl_topic_declare(bus, "market_data.quote", &options, &quote), HL_OK);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    recorder seen = {0};
    subscribe(bus, "market_data.quote", &seen, NULL);
    for (uint64_t value = 1; value <= 5; value++)
        publish(feed, quote, value % 3, value); /* keys 1, 2, then 0, which finds no place */
    turn_all(bus);
    whole_event last;
    assert_values_follow(&seen, 1, 5);
    cr_assert_eq(hl_topic_keys_refused(bus, quote), 1);
    cr_assert_eq(hl_last(bus, quote, 0, &last.event, sizeof last), HL_NOT_FOUND);
    cr_assert_eq(hl_last(bus, quote, 2, &last.event, sizeof last), HL_OK);
    cr_assert_eq(value_of(&last.event), 5);
    cr_assert_eq(hl_topic_keys_refused(bus, topic(bus, "order.new")), 0);
    manual_stop(bus);
}

Test(topic, each_shard_keeps_the_values_of_its_keys)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic level = topic_of_kind(bus, "spread.level", HL_STATE);
    hl_publisher *const feed = open_publisher(bus, "feed", "spread");
    for (uint64_t key = 0; key < 32; key++) {
        publish(feed, level, key, 1000 + key);
        turn_all(bus);
    }
    for (uint64_t key = 0; key < 32; key++) {
        whole_event last;
        cr_assert_eq(hl_last(bus, level, key, &last.event, sizeof last), HL_OK, "key %lu", key);
        cr_assert_eq(value_of(&last.event), 1000 + key);
    }
    uint32_t first;
    cr_assert_eq(hl_bus_partition(bus, "spread", 0, &first), HL_OK);
    for (uint32_t shard = 0; shard < 4; shard++)
        cr_assert_gt(hl_bus_sequence(bus, first + shard), 2, "shard %u has its share", shard);
    manual_stop(bus);
}
