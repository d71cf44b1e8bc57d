#include "scenario.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EVENTS     48u
#define DOMAINS    6u
#define TRIES      2000u /* of 100 us each, until a full lane is given up */
#define STOP_WITH  (3 * HL_SECOND)
#define INSTRUMENT 8u /* keys */

typedef struct stage {
    nth_run *run;
    hl_bus *bus;
    hl_config config;
    hl_domain_config domains[DOMAINS];
    char journal_dir[512], dlq_path[512];
    hl_topic trade, quote, order, fill;
    hl_publisher *feed;
    hl_shared_publisher *desk;
    uint64_t handled; /* of trades, by the partition's thread */
} stage;

/* ---- the bus ---- */

static void configure(stage *on, const char *directory)
{
    uint32_t count;
    const hl_domain_config *const defaults = hl_default_domains(&count);
    on->config = (hl_config)HL_CONFIG_INIT;
    for (uint32_t i = 0; i < DOMAINS; i++) {
        hl_domain_config *const domain = &on->domains[i];
        *domain = defaults[i];
        domain->ring_slots = domain->handler_ring_slots = 64;
        domain->conflate_keys = 2 * INSTRUMENT;
        domain->wait = HL_WAIT_PARK;
        domain->durability = HL_DURABILITY_ASYNC;
        domain->commit_interval_ns = HL_MILLISECOND;
        domain->journal_slots = 64;
        if (strcmp(domain->name, "market_data") == 0)
            domain->conflates = "low";
        if (strcmp(domain->name, "order") == 0)
            domain->durability = HL_DURABILITY_SYNC;
    }
    snprintf(on->journal_dir, sizeof on->journal_dir, "%s/journal", directory);
    snprintf(on->dlq_path, sizeof on->dlq_path, "%s/letters.dlq", directory);
    on->config.domains = on->domains;
    on->config.domain_count = DOMAINS;
    on->config.max_topics = on->config.max_subscriptions = 64;
    on->config.max_publishers = 16;
    on->config.max_keys_per_state_topic = 2 * INSTRUMENT;
    on->config.huge_pages = on->config.lock_memory = false;
    on->config.max_workers = 2;
    on->config.log_level = HL_LOG_NOTHING;
    on->config.retry_events = 64;
    on->config.dlq_memory_bytes = (uint64_t)1 << 20;
    on->config.dlq_path = on->dlq_path;
    on->config.journal_dir = on->journal_dir;
    on->config.journal_segment_bytes = (uint64_t)64 << 10;
}

/* The status of a call that leaves its sentence with the bus. */
static bool asked(stage *on, const char *call, hl_status status)
{
    hl_error error = {.text = ""};
    if (status != HL_OK)
        hl_bus_error(on->bus, &error);
    return nth_answered(on->run, call, status, error.text);
}

static bool create(stage *on)
{
    hl_error error = {.text = ""};
    const hl_status status = hl_bus_create(&on->config, &on->bus, &error);
    if (nth_answered(on->run, "hl_bus_create", status, error.text))
        return true;
    if (on->bus != NULL)
        nth_broken(on->run, "hl_bus_create failed and gave a bus");
    return false;
}

static void end(stage *on, bool is_running)
{
    if (is_running) {
        hl_components_stop(on->bus);
        asked(on, "hl_bus_stop", hl_bus_stop(on->bus, STOP_WITH));
        hl_stop_report report;
        if (hl_bus_stop_report(on->bus, &report) == HL_OK && report.is_final &&
            report.conservation.status != HL_OK)
            nth_broken(on->run, "conservation: %s", report.conservation.text);
    }
    hl_bus_destroy(on->bus);
    on->bus = NULL;
}

/* ---- who listens ---- */

static hl_status on_trade(const hl_event *event, hl_publisher *out, void *context)
{
    stage *const on = context;
    if (event->key % 2 == 0) {
        const hl_status status =
            hl_try_publish(out, on->order, event->key, hl_payload(event), event->payload_size);
        if (status == HL_FULL)
            return HL_RETRY;
    }
    on->handled++;
    return HL_OK;
}

static hl_status on_order(const hl_batch *batch, hl_publisher *out, void *context)
{
    const stage *const on = context;
    for (uint32_t i = 0; i < batch->count; i++) {
        const hl_event *const event = batch->events[i];
        const hl_status status =
            hl_try_publish(out, on->fill, event->key, hl_payload(event), event->payload_size);
        if (status == HL_FULL)
            return HL_RETRY;
    }
    return HL_OK;
}

/* Every fill is tried twice; one in four is given up. */
static hl_status on_fill(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out, (void)context;
    if (event->key % 8 == 0)
        return hl_fail(event, 7, "no account for key %llu", (unsigned long long)event->key);
    return event->attempt == 0 ? HL_RETRY : HL_OK;
}

static hl_status ignore(const hl_event *event, hl_publisher *out, void *context)
{
    (void)event, (void)out, (void)context;
    return HL_OK;
}

static hl_subscription_options options_named(const char *name)
{
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.name = name;
    options.queue_events = 64;
    options.latest_keys = 2 * INSTRUMENT;
    return options;
}

static bool subscribe(stage *on, const char *pattern, hl_handler handler,
                      const hl_subscription_options *options, hl_subscription **ret_subscription)
{
    return asked(on, options->name,
                 hl_subscribe(on->bus, pattern, handler, on, options, ret_subscription));
}

static void subscribe_inline(stage *on)
{
    hl_retry_options retry = HL_RETRY_OPTIONS_INIT;
    retry.base_ns = 20 * HL_MICROSECOND;
    const hl_breaker_options breaker = HL_BREAKER_OPTIONS_INIT;
    hl_subscription_options options = options_named("strategy");
    subscribe(on, "market_data.trade", on_trade, &options, NULL);
    options = options_named("venue");
    options.batch = on_order;
    options.batch_events = 4;
    options.batch_wait_ns = HL_MILLISECOND;
    options.batch_urgent = true;
    subscribe(on, "order.new", NULL, &options, NULL);
    options = options_named("accounts");
    options.retry = &retry;
    options.breaker = &breaker;
    subscribe(on, "fill.*", on_fill, &options, NULL);
    options = options_named("board");
    options.initial_image = true;
    subscribe(on, "market_data.quote", ignore, &options, NULL);
    options = options_named("errors");
    subscribe(on, "system.>", ignore, &options, NULL);
}

static void subscribe_async(stage *on, hl_subscription *ret_subscriptions[3])
{
    hl_subscription_options options = options_named("recorder");
    options.async = HL_ASYNC_BY_KEY;
    subscribe(on, "market_data.trade", ignore, &options, &ret_subscriptions[0]);
    options = options_named("screen");
    options.async = HL_ASYNC_ORDERED;
    options.contract = HL_CONTRACT_LATEST;
    subscribe(on, "market_data.quote", ignore, &options, &ret_subscriptions[1]);
    options = options_named("monitor");
    options.async = HL_ASYNC_UNORDERED;
    options.contract = HL_CONTRACT_LOSSY;
    options.tap = true;
    subscribe(on, "order.>", ignore, &options, &ret_subscriptions[2]);
}

/* ---- who publishes ---- */

static bool declare(stage *on, const char *name, hl_topic_kind kind, hl_topic *ret_topic)
{
    hl_topic_options options = HL_TOPIC_OPTIONS_INIT;
    options.kind = kind;
    options.priority = kind == HL_STATE ? HL_LOW : -1;
    return asked(on, name, hl_topic_declare(on->bus, name, &options, ret_topic));
}

static bool declare_all(stage *on)
{
    bool whole = declare(on, "market_data.trade", HL_DELTA, &on->trade);
    whole &= declare(on, "market_data.quote", HL_STATE, &on->quote);
    whole &= declare(on, "order.new", HL_DELTA, &on->order);
    whole &= declare(on, "fill.trade", HL_DELTA, &on->fill);
    return whole;
}

static bool open_publishers(stage *on)
{
    hl_publisher_options options = HL_PUBLISHER_OPTIONS_INIT;
    options.uses = "market_data";
    options.batch_events = 4;
    options.batch_wait_ns = HL_MILLISECOND;
    bool whole =
        asked(on, "hl_publisher_open", hl_publisher_open(on->bus, "feed", &options, &on->feed));
    options = (hl_publisher_options)HL_PUBLISHER_OPTIONS_INIT;
    options.uses = "order";
    whole &= asked(on, "hl_shared_publisher_open",
                   hl_shared_publisher_open(on->bus, "desk", &options, &on->desk));
    return whole;
}

/* What a door says to an event: there is room, or there is none, or not now. */
static bool published(stage *on, hl_status status)
{
    if (status != HL_OK && status != HL_FULL && status != HL_THROTTLED && status != HL_LIMIT)
        nth_broken(on->run, "a publish answered %s", hl_status_name(status));
    if (status != HL_FULL)
        return true;
    const struct timespec nap = {0, 100000};
    nanosleep(&nap, NULL);
    return false;
}

static void publish_all(stage *on)
{
    uint32_t tries = 0;
    for (uint64_t i = 0; i < EVENTS; i++) {
        const uint64_t key = i % INSTRUMENT;
        while (on->feed != NULL &&
               !published(on, hl_try_publish(on->feed, on->trade, key, &i, sizeof i)) &&
               ++tries < TRIES) {
        }
        if (on->feed != NULL)
            published(on, hl_try_publish(on->feed, on->quote, key, &i, sizeof i));
        while (on->desk != NULL && i % 4 == 0 &&
               !published(on, hl_shared_try_publish(on->desk, on->order, key, &i, sizeof i)) &&
               ++tries < TRIES) {
        }
    }
    if (on->feed != NULL)
        hl_publisher_flush(on->feed);
    if (tries >= TRIES)
        on->run->harmed = true; /* a lane stands still, as stop says too */
}

/* ---- components ---- */

static hl_status start_part(void *context, hl_error *error)
{
    (void)context, (void)error;
    return HL_OK;
}

static void add_components(stage *on)
{
    hl_component_options options = HL_COMPONENT_OPTIONS_INIT;
    hl_error error = {.text = ""};
    options.start = start_part;
    hl_status status = hl_component_add(on->bus, "venue", &options, on, &error);
    if (nth_answered(on->run, "hl_component_add", status, error.text)) {
        options.needs = "venue";
        status = hl_component_add(on->bus, "strategy", &options, on, &error);
        nth_answered(on->run, "hl_component_add", status, error.text);
    }
    status = hl_components_start(on->bus, &error);
    nth_answered(on->run, "hl_components_start", status, error.text);
}

static bool start(stage *on)
{
    return asked(on, "hl_bus_start", hl_bus_start(on->bus));
}

/* The rest of a life, once the bus is made and has its listeners. */
static void live(stage *on)
{
    open_publishers(on);
    add_components(on);
    const bool is_running = start(on);
    if (is_running)
        publish_all(on);
    end(on, is_running);
}

/* ---- the scenarios ---- */

static void play_whole_life(nth_run *run)
{
    stage on = {.run = run};
    configure(&on, run->directory);
    nth_arm(run->kind, run->n);
    if (!create(&on))
        return;
    if (declare_all(&on)) {
        hl_subscription *async[3];
        subscribe_inline(&on);
        subscribe_async(&on, async);
        live(&on);
    } else {
        end(&on, false);
    }
}

static bool see(const hl_dead_letter *letter, void *context)
{
    ++*(uint64_t *)context;
    return letter->event != NULL;
}

static void look_at_letters(stage *on)
{
    hl_dlq *const dlq = hl_bus_dlq(on->bus);
    hl_error error = {.text = ""};
    uint64_t seen = 0;
    hl_status status = hl_dlq_list(dlq, NULL, see, &seen, &error);
    if (nth_answered(on->run, "hl_dlq_list", status, error.text) && seen == 0)
        nth_broken(on->run, "the recorded dead letters are gone");
    status = hl_dlq_redrive(dlq, NULL, NULL, &error);
    nth_answered(on->run, "hl_dlq_redrive", status, error.text);
    hl_dlq_filter filter = HL_DLQ_FILTER_INIT;
    filter.to_ns = 1;
    status = hl_dlq_purge(dlq, &filter, NULL, &error);
    nth_answered(on->run, "hl_dlq_purge", status, error.text);
}

static void play_recovery(nth_run *run)
{
    stage on = {.run = run};
    configure(&on, run->recorded);
    nth_arm(run->kind, run->n);
    if (!create(&on))
        return;
    if (!declare_all(&on)) {
        end(&on, false);
        return;
    }
    subscribe_inline(&on);
    look_at_letters(&on);
    hl_replay_options options = HL_REPLAY_OPTIONS_INIT;
    options.reading.directory = on.journal_dir;
    hl_replay_report report;
    hl_error error = {.text = ""};
    const hl_status status = hl_bus_replay(on.bus, &options, &report, &error);
    if (nth_answered(run, "hl_bus_replay", status, error.text) && report.events == 0)
        nth_broken(run, "nothing was replayed");
    live(&on);
}

static void come_and_go(stage *on)
{
    hl_subscription *open[4] = {NULL, NULL, NULL, NULL};
    subscribe_async(on, open);
    hl_subscription_options options = options_named("late");
    options.initial_image = true;
    subscribe(on, "market_data.quote", ignore, &options, &open[3]);
    hl_topic topic;
    declare(on, "market_data.depth", HL_STATE, &topic);
    open_publishers(on);
    for (uint32_t i = 0; i < 4; i++) {
        hl_error error = {.text = ""};
        if (open[i] != NULL)
            nth_answered(on->run, "hl_unsubscribe", hl_unsubscribe(open[i], STOP_WITH, &error),
                         error.text);
    }
    if (on->feed != NULL)
        hl_publisher_close(on->feed);
    if (on->desk != NULL)
        hl_shared_publisher_close(on->desk);
    on->feed = NULL;
    on->desk = NULL;
}

/* Whatever fails there, the bus goes on. */
static void play_coming_and_going(nth_run *run)
{
    stage on = {.run = run};
    configure(&on, run->directory);
    on.config.journal_dir = NULL;
    for (uint32_t i = 0; i < DOMAINS; i++)
        on.domains[i].durability = HL_DURABILITY_OFF;
    if (!create(&on) || !declare_all(&on))
        nth_broken(run, "the bus cannot be made");
    subscribe_inline(&on);
    if (!start(&on))
        nth_broken(run, "the bus cannot be started");
    nth_arm(run->kind, run->n);
    come_and_go(&on);
    nth_disarm();
    const bool was_harmed = run->harmed;
    run->harmed = false;
    if (!open_publishers(&on))
        nth_broken(run, "afterwards no publisher can be opened");
    publish_all(&on);
    end(&on, true);
    if (run->harmed)
        nth_broken(run, "the bus does not come to its end in peace");
    if (on.handled != EVENTS)
        nth_broken(run, "of %u trades %llu were handled", EVENTS, (unsigned long long)on.handled);
    run->harmed = was_harmed;
}

const nth_scenario nth_scenarios[] = {
    {"life", play_whole_life, 4, false},
    {"recovery", play_recovery, 4, true},
    {"subscribe", play_coming_and_going, 10, false},
#ifdef NTH_COMMAND
    {"run", nth_play_command, 1, false},
#endif
};
const uint32_t nth_scenario_count = sizeof nth_scenarios / sizeof *nth_scenarios;

/* ---- what recovery begins with ---- */

static bool all_handled(stage *on)
{
    hl_subscription_stats s;
    for (uint32_t i = 0; hl_bus_subscription_stats(on->bus, i, &s) == HL_OK; i++)
        if (s.queued + s.in_retry + s.held + s.running != 0)
            return false;
    return on->handled >= EVENTS;
}

void nth_record(const char *directory)
{
    nth_run run = {.directory = directory};
    stage on = {.run = &run};
    configure(&on, directory);
    if (!create(&on) || !declare_all(&on))
        nth_broken(&run, "the bus that records cannot be made");
    subscribe_inline(&on);
    if (!open_publishers(&on) || !start(&on))
        nth_broken(&run, "the bus that records cannot be started");
    publish_all(&on);
    hl_error error = {.text = ""};
    const struct timespec nap = {0, 20000000};
    uint64_t letters = 0;
    for (uint32_t i = 0; i < 500 && (!all_handled(&on) || letters == 0); i++) {
        nanosleep(&nap, NULL);
        hl_dlq_count(hl_bus_dlq(on.bus), NULL, &letters, &error);
    }
    if (hl_dlq_sync(hl_bus_dlq(on.bus), &error) != HL_OK || letters == 0)
        nth_broken(&run, "no dead letters were recorded: %s", error.text);
    nanosleep(&nap, NULL);
    _exit(0); /* as if it had been killed */
}
