/*
 * The pool of a bus grows and shrinks with its backlog, and says so.
 */
#include <string.h>

#include <hotlane/system.h>

#include "../bus/manual_bus.h"

#define MOST 3

typedef struct told {
    uint32_t count;
    hl_system_scale last;
} told;

static hl_status note(const hl_event *event, hl_publisher *out, void *context)
{
    told *const self = context;
    (void)out;
    memcpy(&self->last, hl_payload(event), sizeof self->last);
    self->count++;
    return HL_OK;
}

static hl_bus *start(void)
{
    hl_domain_config domains[2] = {manual_domains[MANUAL_MARKET_DATA],
                                   manual_domains[MANUAL_ACCOUNT]};
    domains[0].ring_slots = 64;
    domains[1].name = "system";
    hl_config config = manual_config();
    config.domains = domains;
    config.domain_count = 2;
    config.max_workers = MOST;
    config.worker_grow_backlog = 20;
    config.worker_shrink_backlog = 5;
    config.worker_pause_ns = 0;
    return manual_start(&config);
}

static hl_pool_stats pool_of(const hl_bus *bus)
{
    hl_pool_stats stats;
    cr_assert_eq(hl_bus_pool_stats(bus, &stats), HL_OK);
    return stats;
}

static void let_pass(hl_bus *bus, uint64_t ns)
{
    for (uint64_t passed = 0; passed < ns; passed += 10 * HL_MILLISECOND) {
        manual_now_ns += 10 * HL_MILLISECOND;
        cr_assert_eq(hl_bus_housekeep(bus), HL_OK);
    }
}

Test(scaling, a_pool_grows_with_its_backlog_and_shrinks_without_and_tells)
{
    hl_bus *const bus = start();
    const hl_topic trade = topic(bus, "market_data.trade");
    recorder seen = {0};
    told news = {0};
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.async = HL_ASYNC_BY_KEY;
    subscribe(bus, "market_data.*", &seen, &options);
    cr_assert_eq(hl_subscribe(bus, "system.scale", note, &news, NULL, NULL), HL_OK);
    hl_publisher *const feed = open_publisher(bus, "feed", NULL);
    cr_assert_eq(pool_of(bus).workers, 1);
    for (uint64_t i = 0; i < 30; i++)
        publish(feed, trade, i, i);
    turn(bus, "market_data", 0);
    cr_assert_eq(pool_of(bus).backlog, 30);
    let_pass(bus, 100 * HL_MILLISECOND);
    cr_assert_eq(pool_of(bus).workers, MOST);
    cr_assert_eq(pool_of(bus).grown, MOST - 1);
    turn_all(bus);
    cr_assert_eq(seen.count, 30);
    cr_assert_eq(news.count, MOST - 1);
    cr_assert_eq(news.last.before, MOST - 1);
    cr_assert_eq(news.last.after, MOST);
    cr_assert_eq(news.last.backlog, 30);
    cr_assert_str_eq(news.last.reason, "backlog");
    let_pass(bus, 5 * HL_SECOND);
    turn_all(bus);
    cr_assert_eq(pool_of(bus).workers, 1);
    cr_assert_eq(pool_of(bus).shrunk, MOST - 1);
    cr_assert_str_eq(news.last.reason, "idle");
    manual_stop(bus);
}

Test(scaling, a_bus_without_workers_has_no_pool)
{
    hl_bus *const bus = manual_start(NULL);
    hl_pool_stats stats;
    cr_assert_eq(hl_bus_pool_stats(bus, &stats), HL_NOT_FOUND);
    manual_stop(bus);
}
