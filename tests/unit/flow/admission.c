/*
 * Limits at the door: of topics, domains and publishers.
 */
#include "flow_bus.h"

#include <string.h>

static hl_domain_config domains[MANUAL_DOMAINS + 1];

static void expect_sentence(hl_bus *bus, const char *part)
{
    hl_error error;
    hl_bus_error(bus, &error);
    cr_assert_not_null(strstr(error.text, part), "no \"%s\" in: %s", part, error.text);
}

static hl_status declare_limited(hl_bus *bus, const char *name, int priority, uint64_t rate,
                                 uint64_t burst, hl_topic *ret_topic)
{
    hl_topic_options options = HL_TOPIC_OPTIONS_INIT;
    options.priority = priority;
    options.throttle.rate_per_s = rate;
    options.throttle.burst = burst;
    return hl_topic_declare(bus, name, &options, ret_topic);
}

/* How many of `tries` publishes pass; what does not is throttled. */
static uint32_t pass(hl_publisher *publisher, hl_topic topic, uint32_t tries)
{
    uint32_t passed = 0;
    for (uint64_t i = 0; i < tries; i++) {
        const hl_status status = hl_publish(publisher, topic, i, &i, sizeof i);
        cr_assert(status == HL_OK || status == HL_THROTTLED, "%s", hl_status_name(status));
        passed += status == HL_OK;
    }
    return passed;
}

Test(admission, a_topic_takes_its_burst_and_then_its_rate)
{
    const hl_config config = flow_config(domains);
    hl_bus *const bus = manual_start(&config);
    hl_topic limited;
    cr_assert_eq(declare_limited(bus, "market_data.limited", -1, 100, 3, &limited), HL_OK);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    const hl_topic free_topic = topic(bus, "market_data.free");
    cr_assert_eq(pass(feed, limited, 8), 3);
    cr_assert_eq(pass(feed, free_topic, 4), 4);
    manual_now_ns += 20 * HL_MILLISECOND;
    turn_all(bus);
    cr_assert_eq(pass(feed, limited, 8), 2, "100 a second");
    cr_assert_eq(lane_stats(bus, "market_data", -1).throttled, 5 + 6);
    cr_assert_eq(hl_topic_declare(bus, "market_data.limited", NULL, NULL), HL_OK);
    cr_assert_eq(declare_limited(bus, "market_data.limited", -1, 101, 3, NULL), HL_EXISTS);
    manual_stop(bus);
}

Test(admission, a_publishers_limit_holds_on_a_lane_that_conflates_too)
{
    hl_config config = flow_config(domains);
    domains[MANUAL_ACCOUNT].conflates = "low";
    domains[MANUAL_ACCOUNT].conflate_keys = 64;
    hl_bus *const bus = manual_start(&config);
    const hl_topic pnl = topic_of_kind(bus, "account.pnl", HL_STATE);
    hl_publisher_options options = HL_PUBLISHER_OPTIONS_INIT;
    hl_publisher *desk;
    options.throttle.rate_per_s = 1;
    options.throttle.burst = 3;
    cr_assert_eq(hl_publisher_open(bus, "desk", &options, &desk), HL_OK);
    cr_assert_eq(pass(desk, pnl, 8), 3);
    cr_assert_eq(lane_stats(bus, "account", -1).throttled, 5);
    cr_assert_eq(turn_all(bus), 3);
    manual_now_ns += HL_SECOND;
    turn_all(bus);
    hl_claim claim;
    cr_assert_eq(hl_try_claim(desk, pnl, 1, 8, &claim), HL_OK);
    cr_assert_eq(hl_try_claim(desk, pnl, 1, 8, &claim), HL_THROTTLED);
    hl_publisher_close(desk); /* with a claim open */
    manual_stop(bus);
}

Test(admission, what_found_no_room_gives_its_token_back)
{
    const hl_config config = flow_config(domains);
    hl_bus *const bus = manual_start(&config);
    hl_topic limited;
    cr_assert_eq(declare_limited(bus, "market_data.limited", -1, 1, 9, &limited), HL_OK);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    cr_assert_eq(pass(feed, limited, 8), 8, "the ring is full, one token is left");
    const uint64_t value = 1;
    for (uint32_t i = 0; i < 5; i++)
        cr_assert_eq(hl_try_publish(feed, limited, 1, &value, sizeof value), HL_FULL);
    turn_all(bus);
    cr_assert_eq(pass(feed, limited, 3), 1);
    manual_stop(bus);
}

Test(admission, a_domain_and_its_topic_limit_together)
{
    hl_config config = flow_config(domains);
    domains[MANUAL_MARKET_DATA].throttle = (hl_throttle_options){sizeof(hl_throttle_options), 1, 4};
    hl_bus *const bus = manual_start(&config);
    hl_topic limited;
    cr_assert_eq(declare_limited(bus, "market_data.limited", -1, 1, 2, &limited), HL_OK);
    const hl_topic other = topic(bus, "market_data.other");
    hl_publisher *const one = open_publisher(bus, "one", NULL);
    hl_publisher *const two = open_publisher(bus, "two", NULL);
    cr_assert_eq(pass(one, limited, 4), 2, "the topic's");
    cr_assert_eq(pass(two, other, 4), 2, "what the domain has left");
    cr_assert_eq(pass(one, topic(bus, "spread.else"), 4), 4, "another domain");
    manual_stop(bus);
}

Test(admission, a_publisher_has_its_own_and_never_on_critical_and_high)
{
    const hl_config config = flow_config(domains);
    hl_bus *const bus = manual_start(&config);
    hl_publisher_options options = HL_PUBLISHER_OPTIONS_INIT;
    options.throttle.rate_per_s = 1;
    options.throttle.burst = 2;
    hl_publisher *limited;
    hl_shared_publisher *shared;
    const hl_topic quote = topic(bus, "market_data.quote"), order = topic(bus, "order.new"),
                   fill = topic(bus, "fill.trade");
    cr_assert_eq(hl_publisher_open(bus, "limited", &options, &limited), HL_OK);
    cr_assert_eq(hl_shared_publisher_open(bus, "shared", &options, &shared), HL_OK);
    cr_assert_eq(pass(limited, quote, 5), 2);
    cr_assert_eq(pass(limited, order, 8), 8);
    cr_assert_eq(pass(limited, fill, 8), 8);
    cr_assert_eq(pass(open_publisher(bus, "free", NULL), quote, 5), 5);
    uint64_t passed = 0;
    for (uint64_t i = 0; i < 5; i++)
        passed += hl_shared_publish(shared, quote, i, &i, sizeof i) == HL_OK;
    cr_assert_eq(passed, 2);
    turn_all(bus);
    for (uint64_t i = 0; i < 5; i++)
        cr_assert_eq(hl_shared_publish(shared, order, i, &i, sizeof i), HL_OK);
    manual_stop(bus);
}

Test(admission, limits_that_cannot_be_are_refused_with_a_sentence)
{
    const hl_config config = flow_config(domains);
    hl_bus *const bus = manual_start(&config);
    hl_topic topic_out;
    cr_assert_eq(declare_limited(bus, "order.new", -1, 5, 0, &topic_out), HL_NOT_ALLOWED);
    expect_sentence(bus, "CRITICAL and HIGH are never throttled");
    cr_assert_eq(declare_limited(bus, "market_data.x", HL_HIGH, 5, 0, &topic_out), HL_NOT_ALLOWED);
    cr_assert_eq(declare_limited(bus, "market_data.x", -1, 1000000001, 0, &topic_out), HL_INVALID);
    expect_sentence(bus, "topic market_data.x: throttle.rate_per_s: ");
    cr_assert_eq(declare_limited(bus, "market_data.x", -1, 0, 5, &topic_out), HL_INVALID);
    expect_sentence(bus, "without a rate");
    hl_publisher_options options = HL_PUBLISHER_OPTIONS_INIT;
    hl_publisher *publisher;
    options.uses = "order, fill";
    options.throttle.rate_per_s = 5;
    cr_assert_eq(hl_publisher_open(bus, "p", &options, &publisher), HL_NOT_ALLOWED);
    expect_sentence(bus, "take the limit out");
    options.uses = NULL;
    options.throttle.rate_per_s = 0;
    options.throttle.burst = 5;
    cr_assert_eq(hl_publisher_open(bus, "p", &options, &publisher), HL_INVALID);
    expect_sentence(bus, "publisher p: throttle.burst: ");
    manual_stop(bus);
}

Test(admission, sampling_that_cannot_be_is_refused_with_a_sentence)
{
    const hl_config config = flow_config(domains);
    hl_bus *const bus = manual_start(&config);
    hl_topic_options options = HL_TOPIC_OPTIONS_INIT;
    options.always_sampled = true;
    cr_assert_eq(hl_topic_declare(bus, "market_data.x", &options, NULL), HL_NOT_ALLOWED);
    expect_sentence(bus, "HL_STATE");
    options.kind = HL_STATE;
    options.priority = HL_HIGH;
    cr_assert_eq(hl_topic_declare(bus, "market_data.x", &options, NULL), HL_NOT_ALLOWED);
    expect_sentence(bus, "never sampled");
    options.priority = -1;
    options.sampling_window_ns = HL_MILLISECOND - 1;
    cr_assert_eq(hl_topic_declare(bus, "market_data.x", &options, NULL), HL_INVALID);
    expect_sentence(bus, "1 ms");
    options.sampling_window_ns = 0;
    cr_assert_eq(hl_topic_declare(bus, "market_data.x", &options, NULL), HL_INVALID);
    expect_sentence(bus, "set sampling_window_ns");
    char name[32];
    for (uint32_t i = 0; i <= 8; i++) {
        snprintf(name, sizeof name, "market_data.s%u", i);
        options.sampling_window_ns = (i + 1) * HL_MILLISECOND;
        cr_assert_eq(hl_topic_declare(bus, name, &options, NULL), i < 8 ? HL_OK : HL_LIMIT);
    }
    expect_sentence(bus, "one of the 8");
    manual_stop(bus);
}

Test(admission, a_topic_that_is_always_sampled_is_so_without_load)
{
    static recorder seen;
    const hl_config config = flow_config(domains);
    hl_bus *const bus = manual_start(&config);
    hl_topic_options options = HL_TOPIC_OPTIONS_INIT;
    hl_topic quote;
    options.kind = HL_STATE;
    options.always_sampled = true;
    options.sampling_window_ns = 5 * HL_MILLISECOND;
    cr_assert_eq(hl_topic_declare(bus, "market_data.quote", &options, &quote), HL_OK);
    subscribe(bus, "market_data.quote", &seen, NULL);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    publish(feed, quote, 1, 1);
    publish(feed, quote, 1, 2);
    turn_all(bus);
    cr_assert_eq(seen.count, 0);
    manual_now_ns += 5 * HL_MILLISECOND;
    turn_all(bus);
    cr_assert_eq(seen.count, 1);
    cr_assert_eq(seen.entries[0].value, 2);
    publish(feed, quote, 1, 3);
    manual_stop(bus); /* which closes the window */
    cr_assert_eq(seen.count, 2);
}
