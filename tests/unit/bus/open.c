#include <string.h>

#include "manual_bus.h"

/* ---- which lanes ---- */

Test(open, uses_names_domains_and_priorities)
{
    hl_bus *const bus = manual_start(NULL);
    hl_topic_options options = HL_TOPIC_OPTIONS_INIT;
    options.any_priority = true;
    hl_topic any, account = topic(bus, "account.pnl"), order = topic(bus, "order.new");
    hl_publisher *const early = open_publisher(bus, "early", "market_data");
    cr_assert_eq(hl_topic_declare(bus, "market_data.any", &options, &any), HL_OK);
    hl_publisher *const late = open_publisher(bus, "late", "market_data");
    hl_publisher *const two = open_publisher(bus, "two", " market_data:HIGH|LOW , account");
    hl_publisher *const none = open_publisher(bus, "none", "account:critical");
    hl_claim claim;
    for (int priority = 0; priority < HL_PRIORITIES; priority++) {
        const hl_priority p = (hl_priority)priority;
        cr_assert_eq(hl_try_claim_priority(early, any, 1, p, 8, &claim),
                     p == HL_NORMAL ? HL_OK : HL_NO_LANE, "early, %d", priority);
        if (p == HL_NORMAL)
            hl_abort(&claim);
        cr_assert_eq(hl_try_claim_priority(late, any, 1, p, 8, &claim), HL_OK, "late, %d",
                     priority);
        hl_abort(&claim);
        cr_assert_eq(hl_try_claim_priority(two, any, 1, p, 8, &claim),
                     p == HL_HIGH || p == HL_LOW ? HL_OK : HL_NO_LANE, "two, %d", priority);
        if (p == HL_HIGH || p == HL_LOW)
            hl_abort(&claim);
    }
    publish(two, account, 1, 1);
    cr_assert_eq(hl_try_claim(two, order, 1, 8, &claim), HL_NO_LANE);
    cr_assert_eq(hl_try_claim(none, account, 1, 8, &claim), HL_NO_LANE);
    cr_assert_eq(hl_try_claim(early, order, 1, 8, &claim), HL_NO_LANE);
    cr_assert_eq(hl_bus_refused(bus), 4 + 3 + 3);
    turn_all(bus);
    manual_stop(bus);
}

Test(open, malformed_names_uses_and_options_are_refused_with_a_sentence)
{
    hl_bus *const bus = manual_create(NULL);
    static const struct {
        const char *uses;
        hl_status status;
        const char *sentence;
    } cases[] = {
        {"weather", HL_UNKNOWN_DOMAIN, "\"weather\""},
        {"order, weather", HL_UNKNOWN_DOMAIN, "\"weather\""},
        {"order,,fill", HL_UNKNOWN_DOMAIN, "names no domain"},
        {"order:", HL_INVALID, "CRITICAL"},
        {"order:URGENT", HL_INVALID, "CRITICAL"},
        {"order:CRITICAL|URGENT", HL_INVALID, "CRITICAL"},
        {"order:CRITICAL|", HL_INVALID, "CRITICAL"},
        {"order:crit", HL_INVALID, "CRITICAL"},
        {"", HL_INVALID, "uses"},
    };
    hl_publisher *publisher = NULL;
    hl_shared_publisher *shared = NULL;
    hl_publisher_options options = HL_PUBLISHER_OPTIONS_INIT;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        options.uses = cases[i].uses;
        cr_assert_eq(hl_publisher_open(bus, "p", &options, &publisher), cases[i].status,
                     "uses \"%s\"", cases[i].uses);
        assert_sentence(bus, cases[i].status, cases[i].sentence);
        cr_assert_eq(hl_shared_publisher_open(bus, "p", &options, &shared), cases[i].status);
    }
    options.uses = NULL;
    static const uint32_t slots[] = {1, 3, 1u << 25, UINT32_MAX};
    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++) {
        options.ring_slots = slots[i];
        cr_assert_eq(hl_publisher_open(bus, "p", &options, &publisher), HL_INVALID);
        assert_sentence(bus, HL_INVALID, "ring_slots");
    }
    options = (hl_publisher_options)HL_PUBLISHER_OPTIONS_INIT;
    options.size--;
    cr_assert_eq(hl_publisher_open(bus, "p", &options, &publisher), HL_INVALID);
    assert_sentence(bus, HL_INVALID, "HL_PUBLISHER_OPTIONS_INIT");
    char name[65];
    memset(name, 'n', sizeof name - 1);
    name[64] = '\0';
    cr_assert_eq(hl_publisher_open(bus, name, NULL, &publisher), HL_INVALID);
    cr_assert_eq(hl_publisher_open(bus, "", NULL, &publisher), HL_INVALID);
    cr_assert_eq(hl_publisher_open(bus, NULL, NULL, &publisher), HL_INVALID);
    assert_sentence(bus, HL_INVALID, "1 to 63 bytes");
    name[63] = '\0';
    cr_assert_null(publisher, "untouched on failure");
    cr_assert_null(shared);
    cr_assert_eq(hl_publisher_open(bus, name, NULL, &publisher), HL_OK);
    hl_bus_destroy(bus);
}

/* ---- open and close ---- */

Test(open, names_are_unique_among_the_open_ones)
{
    hl_bus *const bus = manual_start(NULL);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    hl_publisher *again;
    hl_shared_publisher *shared;
    cr_assert_eq(hl_publisher_open(bus, "feed", NULL, &again), HL_EXISTS);
    cr_assert_eq(hl_shared_publisher_open(bus, "feed", NULL, &shared), HL_EXISTS);
    assert_sentence(bus, HL_EXISTS, "feed");
    hl_publisher_close(feed);
    cr_assert_eq(hl_shared_publisher_open(bus, "feed", NULL, &shared), HL_OK);
    cr_assert_eq(hl_publisher_open(bus, "feed", NULL, &again), HL_EXISTS);
    hl_shared_publisher_close(shared);
    cr_assert_eq(hl_publisher_open(bus, "feed", NULL, &again), HL_OK);
    manual_stop(bus);
}

Test(open, max_publishers_is_the_most_open_at_one_time)
{
    hl_config config = manual_config();
    config.max_publishers = 2;
    hl_bus *const bus = manual_start(&config);
    hl_shared_publisher *shared;
    hl_publisher *third;
    cr_assert_eq(hl_shared_publisher_open(bus, "shared", NULL, &shared), HL_OK);
    for (int i = 0; i < 10; i++) {
        hl_publisher *const feed = open_publisher(bus, "feed", "order");
        cr_assert_eq(hl_publisher_open(bus, "third", NULL, &third), HL_LIMIT);
        assert_sentence(bus, HL_LIMIT, "max_publishers");
        hl_publisher_close(feed);
    }
    hl_shared_publisher_close(shared);
    manual_stop(bus);
}

Test(open, closing_delivers_what_was_committed_and_aborts_what_is_open)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    hl_publisher *const feed = open_publisher(bus, "feed", "market_data");
    recorder seen = {0};
    subscribe(bus, "market_data.trade", &seen, NULL);
    hl_claim open[2], run;
    cr_assert_eq(hl_try_claim(feed, trade, 1, 8, &open[0]), HL_OK);
    publish(feed, trade, 1, 1);
    cr_assert_eq(hl_try_claim_run(feed, trade, 1, 8, 3, &run), HL_OK);
    publish(feed, trade, 1, 2);
    cr_assert_eq(hl_try_claim(feed, trade, 1, 8, &open[1]), HL_OK);
    cr_assert_eq(turn_all(bus), 0);
    hl_publisher_close(feed);
    turn_all(bus);
    assert_values_follow(&seen, 1, 2);
    assert_door(bus, "market_data", 2, 0, 5);
    assert_conserved(bus);
    manual_stop(bus);
}

Test(open, closing_with_a_full_ring_of_open_claims_leaves_nothing_behind)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    for (uint64_t round = 0; round < 5; round++) {
        hl_publisher *const feed = open_publisher(bus, "feed", "market_data");
        hl_claim whole;
        for (uint64_t i = 0; i < round; i++)
            publish(feed, trade, 1, i);
        turn_all(bus);
        cr_assert_eq(hl_try_claim_run(feed, trade, 1, 8, 8, &whole), HL_OK);
        hl_publisher_close(feed);
        turn_all(bus);
    }
    assert_door(bus, "market_data", 0 + 1 + 2 + 3 + 4, 0, 5 * 8);
    manual_stop(bus);
}

Test(open, none_opens_and_none_publishes_after_the_stop)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    hl_shared_publisher *shared;
    cr_assert_eq(hl_shared_publisher_open(bus, "shared", NULL, &shared), HL_OK);
    cr_assert_eq(hl_bus_stop(bus, HL_SECOND), HL_OK);
    const uint64_t value = 1;
    hl_claim claim;
    hl_publisher *other;
    cr_assert_eq(hl_publish(feed, trade, 1, &value, 8), HL_CLOSED);
    cr_assert_eq(hl_try_claim(feed, trade, 1, 8, &claim), HL_CLOSED);
    cr_assert_eq(hl_shared_publish(shared, trade, 1, &value, 8), HL_CLOSED);
    cr_assert_eq(hl_publisher_open(bus, "other", NULL, &other), HL_CLOSED);
    cr_assert_eq(hl_shared_publisher_open(bus, "other", NULL, &shared), HL_CLOSED);
    assert_sentence(bus, HL_CLOSED, "stopped");
    assert_conserved(bus);
    hl_publisher_close(feed);
    assert_conserved(bus);
    hl_bus_destroy(bus);
}

Test(open, source_names_stay_with_their_numbers)
{
    hl_bus *const bus = manual_start(NULL);
    const hl_topic trade = topic(bus, "market_data.trade");
    hl_claim claim;
    hl_publisher *feed = open_publisher(bus, "feed", "market_data");
    cr_assert_eq(hl_try_claim(feed, trade, 1, 8, &claim), HL_OK);
    const uint16_t source = claim.event->source;
    hl_publisher_close(feed);
    cr_assert_str_eq(hl_source_name(bus, source), "feed");
    hl_publisher *const other = open_publisher(bus, "other", "market_data");
    feed = open_publisher(bus, "feed", "market_data");
    cr_assert_eq(hl_try_claim(feed, trade, 1, 8, &claim), HL_OK);
    cr_assert_eq(claim.event->source, source);
    hl_abort(&claim);
    cr_assert_eq(hl_try_claim(other, trade, 1, 8, &claim), HL_OK);
    cr_assert_neq(claim.event->source, source);
    hl_abort(&claim);
    cr_assert_null(hl_source_name(bus, 65535));
    manual_stop(bus);
}

Test(open, a_handle_needs_room_but_that_of_a_subscription_or_topic)
{
    hl_bus *const bus = manual_start(NULL);
    hl_error error;
    cr_assert_eq(hl_publisher_open(bus, "feed", NULL, NULL), HL_INVALID);
    cr_assert_eq(hl_shared_publisher_open(bus, "feeds", NULL, NULL), HL_INVALID);
    cr_assert_eq(hl_bus_create(NULL, NULL, &error), HL_INVALID);
    cr_assert_eq(hl_topic_declare(bus, "market_data.trade", NULL, NULL), HL_OK);
    cr_assert_eq(hl_topic_declare(bus, "market_data.trade", NULL, NULL), HL_OK);
    static recorder seen;
    cr_assert_eq(hl_subscribe(bus, "market_data.trade", record, &seen, NULL, NULL), HL_OK);
    publish(open_publisher(bus, "feed", NULL), topic(bus, "market_data.trade"), 1, 7);
    turn_all(bus);
    cr_assert_eq(seen.count, 1);
    manual_stop(bus);
}
