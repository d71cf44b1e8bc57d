/* The health of all that a bus is made of, driven into each status and back, in a bus that is
 * turned by hand. */
#include "health/healths.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "../bus/manual_bus.h"
#include "../bus/manual_disk.h"
#include "fault/faults.h"
#include "tests/temporary_directory.h"

/* ---- a bus, and what it tells ---- */

typedef struct heard {
    uint32_t changes, alerts;
    hl_system_health change;
    hl_system_health of[64];
    hl_system_alert alert;
} heard;

typedef struct yard {
    hl_domain_config domains[MANUAL_DOMAINS + 1];
    hl_config config;
    hl_bus *bus;
    hl_topic order;
    hl_publisher *desk;
    hl_status answer; /* of `handle` */
    void (*inside)(struct yard *y);
    heard heard;
} yard;

static hl_status listen(const hl_event *event, hl_publisher *out, void *context)
{
    heard *const self = context;
    (void)out;
    if (event->payload_size == sizeof self->change) {
        self->change = *(const hl_system_health *)hl_payload(event);
        cr_assert_lt(self->changes, 64);
        self->of[self->changes++] = self->change;
    } else if (event->payload_size == sizeof self->alert) {
        self->alert = *(const hl_system_alert *)hl_payload(event);
        self->alerts++;
    }
    return HL_OK;
}

static hl_status handle(const hl_event *event, hl_publisher *out, void *context)
{
    yard *const y = context;
    (void)event, (void)out;
    if (y->inside != NULL)
        y->inside(y);
    return y->answer;
}

/* The manual domains and `system`. What is to be otherwise is changed before `start`. */
static yard *prepare(void)
{
    static yard y;
    memset(&y, 0, sizeof y);
    y.config = manual_config_with_system(y.domains);
    return &y;
}

static void start(yard *y)
{
    y->bus = manual_start(&y->config);
    y->order = topic(y->bus, "order.new");
    y->desk = open_publisher(y->bus, "desk", "order");
    cr_assert_eq(hl_subscribe(y->bus, "system.health_changed", listen, &y->heard, NULL, NULL),
                 HL_OK);
    cr_assert_eq(hl_subscribe(y->bus, "system.alert", listen, &y->heard, NULL, NULL), HL_OK);
}

static hl_subscription *subscribe_handler(yard *y, const hl_subscription_options *options)
{
    hl_subscription *subscription = NULL;
    cr_assert_eq(hl_subscribe(y->bus, "order.new", handle, y, options, &subscription), HL_OK);
    return subscription;
}

static void look_once(yard *y)
{
    manual_now_ns += 100 * HL_MILLISECOND;
    cr_assert_eq(hl_bus_housekeep(y->bus), HL_OK);
    turn(y->bus, "system", 0);
}

static void look(yard *y, uint32_t looks)
{
    while (looks-- > 0)
        look_once(y);
}

static hl_health health_of(const yard *y, hl_health_kind kind, const char *name)
{
    hl_health health = {.since_ns = 0};
    for (uint32_t i = 0; hl_health_read(y->bus, i, &health) == HL_OK; i++)
        if (health.kind == kind && strcmp(health.name, name) == 0)
            return health;
    cr_assert_fail("no %s named %s", hl_health_kind_name(kind), name);
    return health;
}

/* What a source must have told from here on: these changes of it, and no others. */
static void expect_story(yard *y, const char *name, hl_health_reason reason, uint32_t count,
                         const hl_health_status *statuses)
{
    uint32_t told = 0;
    for (uint32_t i = 0; i < y->heard.changes; i++) {
        const hl_system_health *const change = &y->heard.of[i];
        if (strcmp(change->name, name) != 0)
            continue;
        cr_assert_lt(told + 1, count, "told again: %s", change->text);
        cr_assert_eq(change->from, statuses[told]);
        cr_assert_eq(change->to, statuses[told + 1]);
        cr_assert_eq(change->reason, change->to == HL_HEALTH_OK ? HL_HEALTH_NO_REASON : reason);
        cr_assert_eq(change->text[0] == '\0', change->to == HL_HEALTH_OK);
        if (change->to != HL_HEALTH_OK) {
            cr_assert_gt(change->limit, 0);
            cr_assert_geq(change->value, change->from < change->to ? change->limit : 0);
        }
        told++;
    }
    cr_assert_eq(told, count - 1);
}

#define EXPECT_STORY(y, name, reason, ...)                                             \
    expect_story(y, name, reason,                                                      \
                 sizeof((hl_health_status[]){__VA_ARGS__}) / sizeof(hl_health_status), \
                 (hl_health_status[]){__VA_ARGS__})

#define OK       HL_HEALTH_OK
#define DEGRADED HL_HEALTH_DEGRADED
#define CRITICAL HL_HEALTH_CRITICAL

static void expect(const yard *y, hl_health_kind kind, const char *name, hl_health_status status)
{
    const hl_health health = health_of(y, kind, name);
    cr_assert_eq(health.status, status, "%s: %s %s", name, hl_health_name(health.status),
                 health.text);
}

/* ---- all of them ---- */

Test(healths, what_does_well_is_listed_and_nothing_is_told)
{
    yard *const y = prepare();
    start(y);
    open_publisher(y->bus, "all", NULL);
    hl_health health;
    hl_health_summary summary;
    cr_assert_eq(hl_health_read(y->bus, 0, &health), HL_NOT_FOUND, "nobody has looked yet");
    for (uint64_t i = 0; i < 50; i++) {
        publish(y->desk, y->order, 1, i);
        turn_all(y->bus);
        look(y, 1);
    }
    uint32_t counts[HL_HEALTH_KINDS] = {0}, count = 0;
    for (; hl_health_read(y->bus, count, &health) == HL_OK; count++) {
        cr_assert_eq(health.status, HL_HEALTH_OK, "%s: %s", health.name, health.text);
        cr_assert_eq(health.changes, 0);
        counts[health.kind]++;
    }
    cr_assert_eq(counts[HL_HEALTH_THREAD], 9, "an executor a partition");
    cr_assert_geq(counts[HL_HEALTH_LANE], 9);
    cr_assert_eq(counts[HL_HEALTH_SUBSCRIPTION], 2);
    hl_health_summary_read(y->bus, &summary);
    cr_assert_eq(summary.ok, count);
    cr_assert_eq(summary.looks, 50);
    cr_assert_eq(summary.status + summary.degraded + summary.critical + summary.changes, 0);
    expect(y, HL_HEALTH_LANE, "order/critical", OK);
    expect(y, HL_HEALTH_LANE, "spread.3/normal", OK);
    cr_assert_eq(y->heard.changes, 0);
    manual_stop(y->bus);
}

Test(healths, nobody_looks_where_it_is_switched_off)
{
    yard *const y = prepare();
    y->config.health.enabled = false;
    start(y);
    hl_health health;
    look(y, 5);
    cr_assert_eq(hl_health_read(y->bus, 0, &health), HL_NOT_FOUND);
    manual_stop(y->bus);
}

/* ---- threads ---- */

/* The housekeeper's ticks while a handler stands still for 7 s. */
static void stand_still(yard *y)
{
    for (int tick = 0; tick < 70; tick++) {
        manual_now_ns += 100 * HL_MILLISECOND;
        hl_faults_part.tick(y->bus, manual_now_ns);
        hl_health_part.tick(y->bus, manual_now_ns);
    }
}

Test(healths, a_thread_that_stands_still_and_the_handler_it_stands_in)
{
    yard *const y = prepare();
    y->config.handler_budget_ns = 200 * HL_MILLISECOND;
    y->config.health.thread_busy_pct = (hl_threshold){0, 0}; /* which it is then, too */
    start(y);
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.name = "sleeper";
    subscribe_handler(y, &options);
    look(y, 3);
    y->inside = stand_still;
    publish(y->desk, y->order, 1, 1);
    turn(y->bus, "order", 0);
    y->inside = NULL;
    expect(y, HL_HEALTH_THREAD, "order", CRITICAL);
    expect(y, HL_HEALTH_SUBSCRIPTION, "sleeper", CRITICAL);
    hl_health_summary summary;
    hl_health_summary_read(y->bus, &summary);
    cr_assert_eq(summary.status, HL_HEALTH_CRITICAL);
    cr_assert_eq(summary.critical, 2);
    for (int i = 0; i < 15; i++) {
        turn(y->bus, "order", 0);
        look(y, 1);
    }
    EXPECT_STORY(y, "order", HL_HEALTH_STALLED, OK, DEGRADED, CRITICAL, OK);
    EXPECT_STORY(y, "sleeper", HL_HEALTH_SLOW, OK, DEGRADED, CRITICAL, OK);
    const hl_health health = health_of(y, HL_HEALTH_THREAD, "order");
    cr_assert_eq(health.worst, HL_HEALTH_CRITICAL);
    cr_assert_not_null(strstr(health.worst_text, "no progress for 5.1"), "%s", health.worst_text);
    manual_stop(y->bus);
}

/* So much of each 100 ms is counted as busy, for so many looks. (A thread counts it by readings of
 * a clock that runs; this one stands still.) */
static void be_busy(yard *y, uint64_t busy_ns, uint32_t looks)
{
    uint32_t partition;
    cr_assert_eq(hl_bus_partition(y->bus, "order", 0, &partition), HL_OK);
    while (looks-- > 0) {
        hl_count(&y->bus->executors[partition].busy_ns, busy_ns);
        look(y, 1);
    }
}

Test(healths, a_thread_that_is_busy_all_the_time)
{
    yard *const y = prepare();
    y->config.health.thread_busy_pct = (hl_threshold){50, 90};
    start(y);
    be_busy(y, 10 * HL_MILLISECOND, 20);
    expect(y, HL_HEALTH_THREAD, "order", OK);
    be_busy(y, 70 * HL_MILLISECOND, 20);
    expect(y, HL_HEALTH_THREAD, "order", DEGRADED);
    be_busy(y, 97 * HL_MILLISECOND, 20);
    expect(y, HL_HEALTH_THREAD, "order", CRITICAL);
    be_busy(y, 60 * HL_MILLISECOND, 30);
    expect(y, HL_HEALTH_THREAD, "order", DEGRADED);
    be_busy(y, 10 * HL_MILLISECOND, 30);
    EXPECT_STORY(y, "order", HL_HEALTH_BUSY, OK, DEGRADED, CRITICAL, DEGRADED, OK);
    manual_stop(y->bus);
}

/* ---- lanes ---- */

Test(healths, a_lane_that_is_full_but_not_where_publishers_block)
{
    yard *const y = prepare();
    y->config.health.lane_pct = (hl_threshold){60, 95};
    start(y);
    hl_topic account = topic(y->bus, "account.state");
    hl_publisher *const blocks = open_publisher(y->bus, "ledger", "account");
    for (uint64_t i = 0; i < 6; i++)
        publish(y->desk, y->order, 1, i);
    for (uint64_t i = 0; i < 8; i++)
        publish(blocks, account, 1, i);
    look(y, 1);
    expect(y, HL_HEALTH_LANE, "order/critical", OK);
    look(y, 1);
    expect(y, HL_HEALTH_LANE, "order/critical", DEGRADED);
    for (uint64_t i = 6; i < 8; i++)
        publish(y->desk, y->order, 1, i);
    look(y, 2);
    expect(y, HL_HEALTH_LANE, "order/critical", CRITICAL);
    turn(y->bus, "order", 0);
    look(y, 9);
    expect(y, HL_HEALTH_LANE, "order/critical", CRITICAL);
    cr_assert_str_eq(health_of(y, HL_HEALTH_LANE, "order/critical").text,
                     "full: it was, and recovers");
    look(y, 3);
    EXPECT_STORY(y, "order/critical", HL_HEALTH_FULL, OK, DEGRADED, CRITICAL, OK);
    EXPECT_STORY(y, "account/low", HL_HEALTH_FULL, OK);
    manual_stop(y->bus);
}

/* ---- subscriptions ---- */

/* So many failures in each 100 ms, for so many looks. */
static void fail(yard *y, uint32_t failures, uint32_t looks)
{
    y->answer = failures != 0 ? HL_REJECT : HL_OK;
    while (looks-- > 0) {
        for (uint32_t i = 0; i < failures; i++) {
            publish(y->desk, y->order, 1, i);
            turn(y->bus, "order", 0);
        }
        look(y, 1);
    }
}

static void drive_failures(hl_health_options health, hl_health_reason reason)
{
    yard *const y = prepare();
    y->config.health = health;
    start(y);
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.name = "desk";
    subscribe_handler(y, &options);
    fail(y, 0, 12);
    fail(y, 1, 14);
    expect(y, HL_HEALTH_SUBSCRIPTION, "desk", DEGRADED);
    fail(y, 5, 14);
    expect(y, HL_HEALTH_SUBSCRIPTION, "desk", CRITICAL);
    fail(y, 1, 24);
    expect(y, HL_HEALTH_SUBSCRIPTION, "desk", DEGRADED);
    fail(y, 0, 24);
    EXPECT_STORY(y, "desk", reason, OK, DEGRADED, CRITICAL, DEGRADED, OK);
    manual_stop(y->bus);
}

Test(healths, a_subscription_whose_handler_fails)
{
    hl_health_options health = HL_HEALTH_OPTIONS_INIT;
    health.failures_per_s = (hl_threshold){5, 40};
    health.given_up_per_s = (hl_threshold){0, 0};
    drive_failures(health, HL_HEALTH_FAILING);
}

Test(healths, a_subscription_that_gives_events_up)
{
    hl_health_options health = HL_HEALTH_OPTIONS_INIT;
    health.failures_per_s = (hl_threshold){0, 0};
    health.given_up_per_s = (hl_threshold){5, 40};
    drive_failures(health, HL_HEALTH_GIVEN_UP);
}

Test(healths, a_subscription_whose_breaker_opens_probes_and_closes)
{
    yard *const y = prepare();
    y->config.health.failures_per_s = y->config.health.given_up_per_s = (hl_threshold){0, 0};
    start(y);
    hl_breaker_options breaker = HL_BREAKER_OPTIONS_INIT;
    breaker.failures = breaker.of_last = 2;
    breaker.rest_ns = 5 * HL_SECOND;
    breaker.successes = 2;
    breaker.while_open = HL_BREAKER_SKIP;
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.name = "desk";
    options.breaker = &breaker;
    subscribe_handler(y, &options);
    look(y, 1);
    fail(y, 2, 1);
    expect(y, HL_HEALTH_SUBSCRIPTION, "desk", CRITICAL);
    fail(y, 0, 50);
    publish(y->desk, y->order, 1, 1);
    turn(y->bus, "order", 0);
    look(y, 11);
    expect(y, HL_HEALTH_SUBSCRIPTION, "desk", DEGRADED);
    publish(y->desk, y->order, 1, 2);
    turn(y->bus, "order", 0);
    look(y, 11);
    EXPECT_STORY(y, "desk", HL_HEALTH_BREAKER, OK, CRITICAL, DEGRADED, OK);
    manual_stop(y->bus);
}

Test(healths, a_subscription_that_is_ejected_and_taken_up_again)
{
    yard *const y = prepare();
    y->config.max_workers = 1;
    y->config.health.failures_per_s = y->config.health.given_up_per_s = (hl_threshold){0, 0};
    start(y);
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.name = "slow";
    options.async = HL_ASYNC_ORDERED;
    options.contract = HL_CONTRACT_EJECT;
    options.queue_events = 8;
    options.eject_behind = 2;
    hl_subscription *const slow = subscribe_handler(y, &options);
    look(y, 1);
    for (uint64_t i = 0; i < 4; i++)
        publish(y->desk, y->order, 1, i);
    turn(y->bus, "order", 0);
    look(y, 1);
    expect(y, HL_HEALTH_SUBSCRIPTION, "slow", CRITICAL);
    turn_all(y->bus);
    cr_assert_eq(hl_subscription_reattach(slow), HL_OK);
    turn_all(y->bus);
    look(y, 11);
    EXPECT_STORY(y, "slow", HL_HEALTH_EJECTED, OK, CRITICAL, OK);
    manual_stop(y->bus);
}

Test(healths, a_subscription_that_ends_is_well_and_forgotten)
{
    yard *const y = prepare();
    start(y);
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    hl_subscription *three[3];
    const char *const names[] = {"first", "second", "third"};
    for (int i = 0; i < 3; i++) {
        options.name = names[i];
        three[i] = subscribe_handler(y, &options);
    }
    fail(y, 1, 14);
    expect(y, HL_HEALTH_SUBSCRIPTION, "second", DEGRADED);
    cr_assert_eq(hl_unsubscribe(three[1], HL_SECOND, NULL), HL_OK);
    look(y, 2);
    cr_assert_eq(y->heard.change.to, HL_HEALTH_OK);
    cr_assert_str_eq(y->heard.change.name, "second");
    cr_assert_str_eq(y->heard.change.text, "ended");
    hl_health health;
    for (uint32_t i = 0; hl_health_read(y->bus, i, &health) == HL_OK; i++)
        cr_assert_str_neq(health.name, "second");
    expect(y, HL_HEALTH_SUBSCRIPTION, "first", DEGRADED);
    expect(y, HL_HEALTH_SUBSCRIPTION, "third", DEGRADED);
    manual_stop(y->bus);
}

/* ---- components ---- */

static hl_health_status said;

static hl_health_status say(void *context, char *reason, size_t room)
{
    (void)context;
    snprintf(reason, room, "line %d is down", (int)said);
    return said;
}

static hl_status refuse(void *context, hl_error *error)
{
    (void)context;
    error->status = HL_FAILED;
    snprintf(error->text, sizeof error->text, "no line");
    return HL_FAILED;
}

Test(healths, a_component_is_as_it_says_and_critical_when_it_failed)
{
    yard *const y = prepare();
    start(y);
    hl_component_options options = HL_COMPONENT_OPTIONS_INIT;
    options.health = say;
    cr_assert_eq(hl_component_add(y->bus, "venue", &options, NULL, NULL), HL_OK);
    cr_assert_eq(hl_components_start(y->bus, NULL), HL_OK);
    for (int level = 0; level < 4; level++) {
        said = (hl_health_status)(level % 3);
        look(y, 30); /* it is asked at each tenth tick */
        expect(y, HL_HEALTH_COMPONENT, "venue", said);
        if (said != HL_HEALTH_OK)
            cr_assert_str_eq(health_of(y, HL_HEALTH_COMPONENT, "venue").text,
                             said == DEGRADED ? "line 1 is down" : "line 2 is down");
    }
    EXPECT_STORY(y, "venue", HL_HEALTH_SAID, OK, DEGRADED, CRITICAL, OK);
    hl_components_stop(y->bus);
    options = (hl_component_options)HL_COMPONENT_OPTIONS_INIT;
    options.start = refuse;
    cr_assert_eq(hl_component_add(y->bus, "feed", &options, NULL, NULL), HL_OK);
    cr_assert_eq(hl_components_start(y->bus, NULL), HL_FAILED);
    look(y, 1);
    expect(y, HL_HEALTH_COMPONENT, "feed", CRITICAL);
    cr_assert_str_eq(health_of(y, HL_HEALTH_COMPONENT, "feed").text, "no line");
    manual_stop(y->bus);
}

/* ---- journals ---- */

/* Three orders, and what is due within 1 s by both clocks. */
static void write_on(yard *y, uint64_t orders)
{
    for (uint64_t i = 0; i < orders; i++)
        publish(y->desk, y->order, 1, i);
    for (int i = 0; i < 10; i++) {
        manual_disk.ticks_ns += 100 * HL_MILLISECOND;
        for (int turns = 0; turns < 3; turns++)
            turn(y->bus, "order", 0);
        look(y, 1);
    }
}

/* A yard whose orders are journaled on a disk that may refuse, in `directory`, which is made. */
static yard *start_with_journal(char directory[static TEMPORARY_DIRECTORY_SIZE],
                                uint32_t journal_slots, hl_threshold journal_pct)
{
    manual_disk_make();
    temporary_directory_make(NULL, "healths", directory);
    yard *const y = prepare();
    y->domains[MANUAL_ORDER].durability = HL_DURABILITY_SYNC;
    y->domains[MANUAL_ORDER].journal_slots = journal_slots;
    y->config.journal_dir = directory;
    y->config.journal_segment_bytes = 1 << 20;
    y->config.journal_io = &manual_disk.io;
    y->config.health.journal_pct = journal_pct;
    start(y);
    return y;
}

Test(healths, a_journal_that_waits_for_the_disk_fails_and_is_opened_again)
{
    char directory[TEMPORARY_DIRECTORY_SIZE];
    yard *const y = start_with_journal(directory, 32, (hl_threshold){0, 0});
    write_on(y, 3);
    expect(y, HL_HEALTH_JOURNAL, "order", OK);
    manual_disk.write_error = -ENOSPC;
    write_on(y, 3);
    expect(y, HL_HEALTH_JOURNAL, "order", DEGRADED);
    manual_disk.write_error = 0;
    write_on(y, 0);
    write_on(y, 0);
    write_on(y, 0);
    expect(y, HL_HEALTH_JOURNAL, "order", OK);
    manual_disk.sync_error = -EIO;
    write_on(y, 3);
    expect(y, HL_HEALTH_JOURNAL, "order", CRITICAL);
    manual_disk.sync_error = 0;
    for (int i = 0; i < 30; i++)
        write_on(y, 0);
    EXPECT_STORY(y, "order", HL_HEALTH_STATE, OK, DEGRADED, OK, CRITICAL, OK);
    manual_stop(y->bus);
    temporary_directory_remove(directory);
}

Test(healths, a_journal_whose_slots_are_in_flight)
{
    char directory[TEMPORARY_DIRECTORY_SIZE];
    yard *const y = start_with_journal(directory, 8, (hl_threshold){50, 100});
    manual_disk.write_error = -ENOSPC; /* which alone makes it DEGRADED */
    write_on(y, 5);
    expect(y, HL_HEALTH_JOURNAL, "order", DEGRADED);
    write_on(y, 5);
    expect(y, HL_HEALTH_JOURNAL, "order", CRITICAL);
    cr_assert_eq(health_of(y, HL_HEALTH_JOURNAL, "order").reason, HL_HEALTH_BACKLOG);
    manual_disk.write_error = 0;
    for (int i = 0; i < 5; i++)
        write_on(y, 0);
    expect(y, HL_HEALTH_JOURNAL, "order", OK);
    manual_stop(y->bus);
    temporary_directory_remove(directory);
}

/* ---- alerts ---- */

Test(healths, alerts_are_raised_and_cleared_once_each)
{
    hl_alert_rule rules[3] = {HL_ALERT_RULE_INIT, HL_ALERT_RULE_INIT, HL_ALERT_RULE_INIT};
    rules[0].name = "orders_wait";
    rules[0].counter = "lane.pending";
    rules[0].of = "order/critical";
    rules[0].limit = 4;
    rules[0].clear = 1;
    rules[0].for_ns = 300 * HL_MILLISECOND;
    rules[0].severity = HL_HEALTH_CRITICAL;
    rules[1].name = "desk_fails";
    rules[1].counter = "subscription.failures";
    rules[1].of = "desk";
    rules[1].when = HL_ALERT_RATE_OVER;
    rules[1].limit = 5;
    rules[2].name = "nothing_lost";
    rules[2].counter = "bus.dead_letters_lost";
    yard *const y = prepare();
    y->config.alerts = rules;
    y->config.alert_count = 3;
    y->config.health.enabled = false;
    start(y);
    memset(rules, 0xff, sizeof rules); /* the bus has its own copy */
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.name = "desk";
    subscribe_handler(y, &options);
    look(y, 12);
    for (uint64_t i = 0; i < 5; i++)
        publish(y->desk, y->order, 1, i);
    look(y, 3);
    cr_assert_eq(y->heard.alerts, 0, "not for long enough");
    look(y, 10);
    cr_assert_eq(y->heard.alerts, 1);
    cr_assert_str_eq(y->heard.alert.name, "orders_wait");
    cr_assert_str_eq(y->heard.alert.of, "order/critical");
    cr_assert_eq(y->heard.alert.is_raised, 1);
    cr_assert_eq(y->heard.alert.severity, HL_HEALTH_CRITICAL);
    cr_assert_eq(y->heard.alert.value, 5);
    hl_health_summary summary;
    hl_health_summary_read(y->bus, &summary);
    cr_assert_eq(summary.status, HL_HEALTH_CRITICAL);
    cr_assert_eq(summary.alerts, 1);
    turn(y->bus, "order", 0);
    look(y, 20);
    cr_assert_eq(y->heard.alerts, 2);
    cr_assert_eq(y->heard.alert.is_raised, 0);
    cr_assert_eq(y->heard.alert.lasted_ns, 20 * 100 * HL_MILLISECOND);
    fail(y, 1, 14);
    cr_assert_eq(y->heard.alerts, 3);
    cr_assert_str_eq(y->heard.alert.name, "desk_fails");
    cr_assert_gt(y->heard.alert.value, 5);
    fail(y, 0, 30);
    cr_assert_eq(y->heard.alerts, 4);
    hl_alert alert;
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(hl_alert_read(y->bus, i, &alert), HL_OK);
        cr_assert_not(alert.is_raised);
        cr_assert_eq(alert.raised, i < 2 ? 1 : 0, "%s", alert.name);
    }
    cr_assert_eq(hl_alert_read(y->bus, 3, &alert), HL_NOT_FOUND);
    manual_stop(y->bus);
}
