#include "bus/route.h"

#include "manual_bus.h"

/* ---- the order of handlers ---- */

typedef struct line {
    uint32_t count;
    int names[16];
} line;

typedef struct member {
    line *line;
    int name;
} member;

static hl_status step_forward(const hl_event *event, hl_publisher *out, void *context)
{
    (void)event;
    (void)out;
    const member *const self = context;
    self->line->names[self->line->count++] = self->name;
    return HL_OK;
}

static hl_subscription *join_line(hl_bus *bus, const char *pattern, int order, member *self)
{
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.order = order;
    hl_subscription *subscription;
    cr_assert_eq(hl_subscribe(bus, pattern, step_forward, self, &options, &subscription), HL_OK);
    return subscription;
}

/* Whether the topic is declared before the subscriptions or after them must not matter. */
static void check_order(bool topic_first)
{
    hl_bus *const bus = manual_start(NULL);
    line seen = {0};
    member members[6];
    for (int i = 0; i < 6; i++)
        members[i] = (member){&seen, i};
    hl_topic trade = {0};
    if (topic_first)
        trade = topic(bus, "market_data.trade");
    join_line(bus, "market_data.trade", 5, &members[0]);
    join_line(bus, "market_data.*", 0, &members[1]);
    hl_subscription *const leaving = join_line(bus, "market_data.>", -7, &members[2]);
    join_line(bus, "market_data.trade", 0, &members[3]);
    join_line(bus, "market_data.>", 5, &members[4]);
    join_line(bus, "market_data.trade", INT32_MIN, &members[5]);
    if (!topic_first)
        trade = topic(bus, "market_data.trade");
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    publish(feed, trade, 1, 1);
    turn_all(bus);
    static const int expected[] = {5, 2, 1, 3, 0, 4};
    cr_assert_eq(seen.count, 6);
    for (int i = 0; i < 6; i++)
        cr_assert_eq(seen.names[i], expected[i], "place %d has %d", i, seen.names[i]);
    cr_assert_eq(hl_unsubscribe(leaving, HL_SECOND, NULL), HL_OK);
    join_line(bus, "market_data.*", -7, &members[2]);
    seen.count = 0;
    publish(feed, trade, 1, 1);
    turn_all(bus);
    for (int i = 0; i < 6; i++)
        cr_assert_eq(seen.names[i], expected[i], "place %d has %d", i, seen.names[i]);
    manual_stop(bus);
}

Test(route, handlers_run_by_order_and_then_as_subscribed)
{
    check_order(true);
    check_order(false);
}

/* ---- who is in it ---- */

Test(route, a_topic_declared_later_is_found_by_earlier_patterns)
{
    hl_bus *const bus = manual_start(NULL);
    static recorder exact, star, rest, other;
    subscribe(bus, "market_data.trade.xnas", &exact, NULL);
    subscribe(bus, "market_data.*.xnas", &star, NULL);
    subscribe(bus, "market_data.>", &rest, NULL);
    subscribe(bus, "market_data.*", &other, NULL);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    publish(feed, topic(bus, "market_data.trade.xnas"), 1, 1);
    turn_all(bus);
    cr_assert_eq(exact.count, 1);
    cr_assert_eq(star.count, 1);
    cr_assert_eq(rest.count, 1);
    cr_assert_eq(other.count, 0);
    manual_stop(bus);
}

Test(route, topics_and_subscriptions_meet_as_the_patterns_say)
{
    static const char *const names[] = {"order.a", "order.b", "order.a.b", "order.b.b", "order"};
    static const char *const patterns[] = {"order.a",   "order.*",   "order.>",
                                           "order.*.b", "order.*.*", "order"};
    /* By pattern and name. */
    static const bool meets[6][5] = {
        {true, false, false, false, false}, {true, true, false, false, false},
        {true, true, true, true, false},    {false, false, true, true, false},
        {false, false, true, true, false},  {false, false, false, false, true}};
    hl_bus *const bus = manual_start(NULL);
    static recorder seen[6];
    hl_topic topics[5];
    for (int i = 0; i < 6; i++) { /* one and one, so that either comes first */
        subscribe(bus, patterns[i], &seen[i], NULL);
        if (i < 5)
            topics[i] = topic(bus, names[i]);
    }
    hl_publisher *const desk = open_publisher(bus, "desk", "order");
    for (uint32_t n = 0; n < 5; n++)
        publish(desk, topics[n], 1, n);
    turn_all(bus);
    for (int i = 0; i < 6; i++) {
        uint32_t at = 0;
        for (uint32_t n = 0; n < 5; n++)
            if (meets[i][n])
                cr_assert(at < seen[i].count && seen[i].entries[at++].value == n, "%s misses %s",
                          patterns[i], names[n]);
        cr_assert_eq(seen[i].count, at, "%s has too many", patterns[i]);
    }
    manual_stop(bus);
}

Test(route, a_pattern_over_all_domains_gets_each_event_once)
{
    hl_bus *const bus = manual_start(NULL);
    static recorder seen;
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.concurrent = true;
    hl_subscription *const all = subscribe(bus, "*.x", &seen, &options);
    hl_publisher *const anyone = open_publisher(bus, "anyone", NULL);
    static const char *const names[] = {"market_data.x", "order.x",  "fill.x",
                                        "account.x",     "spread.x", "order.y"};
    for (uint64_t i = 0; i < 6; i++)
        publish(anyone, topic(bus, names[i]), i, 1u << i);
    turn_all(bus);
    uint64_t values = 0;
    for (uint32_t i = 0; i < seen.count; i++)
        values += seen.entries[i].value;
    cr_assert_eq(seen.count, 5);
    cr_assert_eq(values, 31);
    cr_assert_eq(hl_unsubscribe(all, HL_SECOND, NULL), HL_OK);
    publish(anyone, topic(bus, "fill.x"), 1, 1);
    turn_all(bus);
    cr_assert_eq(seen.count, 5);
    manual_stop(bus);
}

/* Old routes are freed behind the reader's back: for the address sanitizer to look at. */
Test(route, many_changes_leave_one_route)
{
    hl_bus *const bus = manual_start(NULL);
    static recorder first, others;
    const hl_topic trade = topic(bus, "market_data.trade");
    subscribe(bus, "market_data.trade", &first, NULL);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    hl_subscription *open[8] = {NULL};
    for (uint64_t i = 0; i < 2000; i++) {
        if (open[i % 8] != NULL)
            cr_assert_eq(hl_unsubscribe(open[i % 8], HL_SECOND, NULL), HL_OK);
        others.count = 0;
        open[i % 8] = subscribe(bus, "market_data.*", &others, NULL);
        publish(feed, trade, 1, i);
        turn_all(bus);
        cr_assert_eq(others.count, i < 8 ? i + 1 : 8);
    }
    assert_values_follow(&first, 0, 2000);
    manual_stop(bus);
}
