#include "flow/control.h"

#include <stdio.h>

#include <hotlane/system.h>

#include "flow/admission.h"
#include "flow/valve.h"
#include "flow/watch.h"

/* A partition, as the housekeeper has it; the figures are for others to read. */
typedef struct station {
    hl_partition *partition;
    hl_valve valve;
    hl_ladder ladder;
    hl_load_sample sample;
    hl_load_rates rates;
    hl_fills fills;
    bool is_above[HL_PRIORITIES];
    uint32_t load_permille;
    uint32_t step, cause;
    uint64_t steps_up, steps_down;
} station;

typedef struct control {
    hl_flow table; /* first: bus->flow */
    hl_admissions admissions;
    station *stations; /* by partition */
    uint64_t *delays;  /* by executor: of orders, since the last tick */
} control;

static control *control_of(const hl_bus *bus)
{
    return (control *)(uintptr_t)bus->flow; /* its first member */
}

/* ---- each tick ---- */

/* Under the lock. */
static void look(const hl_bus *bus, control *self, uint64_t now_ns)
{
    for (uint32_t i = 0; i < bus->executor_count; i++) {
        uint64_t *const delay_ns = &bus->executors[i].order_delay_ns;
        /* DELAY: (executor.h) relaxed. */
        self->delays[i] =
            hl_load_relaxed_u64(delay_ns) != 0 ? hl_exchange_relaxed_u64(delay_ns, 0) : 0;
    }
    for (uint32_t i = 0; i < bus->partition_count; i++) {
        station *const at = &self->stations[i];
        const hl_load_sample before = at->sample;
        at->fills = hl_watch_fills(at->partition);
        at->sample = hl_watch_sample(at->partition, &at->fills,
                                     self->delays[at->partition->executor->index], now_ns);
        at->rates = hl_load_rates_between(&before, &at->sample);
    }
}

static void tell_mark(hl_bus *bus, const station *at, uint32_t priority)
{
    const hl_partition *const partition = at->partition;
    const hl_fill *const fill = &at->fills.lanes[priority];
    hl_watermark mark = {.shard = partition->shard,
                         .priority = (hl_priority)priority,
                         .is_high = at->is_above[priority],
                         .source = fill->source,
                         .used = fill->used,
                         .slots = fill->slots,
                         .at_ns = at->sample.now_ns};
    snprintf(mark.domain, sizeof mark.domain, "%s", partition->domain->name);
    hl_notice(bus, "system.watermark", partition->number, &mark, sizeof mark);
    if (bus->config.on_watermark != NULL)
        bus->config.on_watermark(&mark, bus->config.watermark_context);
}

static void tell_change(hl_bus *bus, const station *at, const hl_ladder_change *change)
{
    const hl_partition *const partition = at->partition;
    hl_system_throttle told = {.shard = partition->shard,
                               .rung_before = hl_stage_rung(change->from),
                               .rung = hl_stage_rung(change->to),
                               .step_before = change->from,
                               .step = change->to,
                               .cause = change->cause,
                               .load_permille = change->load.permille,
                               .busy_permille = at->rates.busy_permille,
                               .lane_used = at->sample.lane_used,
                               .lane_slots = at->sample.lane_slots,
                               .order_delay_ns = at->sample.order_delay_ns,
                               .arrivals_per_s = at->rates.arrivals_per_s,
                               .at_ns = at->sample.now_ns};
    snprintf(told.domain, sizeof told.domain, "%s", partition->domain->name);
    hl_notice(bus, "system.throttle", partition->number, &told, sizeof told);
}

static void step(hl_bus *bus, control *self, station *at)
{
    const hl_ladder_change change = hl_ladder_step(&at->ladder, &at->sample);
    /* Relaxed all: figures for others. */
    hl_store_relaxed_u32(&at->load_permille, change.load.permille);
    hl_store_relaxed_u32(&at->cause, change.cause);
    if (change.from == change.to)
        return;
    hl_store_relaxed_u32(&at->step, change.to); /* Relaxed, as above. */
    hl_count(change.to > change.from ? &at->steps_up : &at->steps_down, 1);
    hl_valve_set_stage(&at->valve, change.to);
    const bool refuses = hl_stage_rung(change.to) == HL_RUNG_REFUSE;
    if (refuses != (hl_stage_rung(change.from) == HL_RUNG_REFUSE))
        hl_admissions_refuse(&self->admissions, bus, at->partition, refuses);
    tell_change(bus, at, &change);
}

static void tick(hl_bus *bus, uint64_t now_ns)
{
    control *const self = control_of(bus);
    hl_bus_lock(bus);
    /* What a stop drains is no load: the doors are shut. */
    const bool runs = bus->control->state == HL_BUS_RUNNING;
    if (runs)
        look(bus, self, now_ns);
    hl_bus_unlock(bus);
    if (!runs)
        return;
    for (uint32_t i = 0; i < bus->partition_count; i++) {
        station *const at = &self->stations[i];
        for (uint32_t p = 0; p < HL_PRIORITIES; p++)
            if (hl_watch_mark(&at->partition->domain->config, &at->fills.lanes[p],
                              &at->is_above[p]))
                tell_mark(bus, at, p);
        step(bus, self, at);
    }
}

/* ---- topics and publishers ---- */

static hl_status refuse_topic(hl_bus *bus, hl_status status, const char *name,
                              const hl_error *error)
{
    return hl_bus_fail(bus, status, "topic %s: %s", name, error->text);
}

/* Whether every event of the topic is CRITICAL or HIGH. */
static bool is_exempt(const hl_topic_options *options, const hl_domain *domain)
{
    const int priority = options->priority < 0 ? (int)domain->config.priority : options->priority;
    return priority <= HL_HIGH && !options->any_priority;
}

static hl_status check_sampling(hl_bus *bus, const char *name, const hl_topic_options *options,
                                const hl_domain *domain)
{
    const bool is_configured = options->sampling_window_ns == HL_SAMPLING_CONFIGURED;
    const bool is_asked_for =
        options->always_sampled || (!is_configured && options->sampling_window_ns != 0);
    hl_sampling_options sampling = bus->config.sampling;
    if (!is_configured)
        sampling.window_ns = options->sampling_window_ns;
    hl_error error;
    if (is_asked_for && options->kind != HL_STATE)
        return hl_bus_fail(bus, HL_NOT_ALLOWED,
                           "topic %s: sampling keeps the newest value of a key alone: only a topic "
                           "of kind HL_STATE can be sampled",
                           name);
    if (is_asked_for && is_exempt(options, domain))
        return hl_bus_fail(
            bus, HL_NOT_ALLOWED,
            "topic %s: CRITICAL and HIGH are never sampled: give it a lower priority,"
            " or take the sampling out",
            name);
    if (hl_sampling_options_check(&sampling, "sampling", &error) != HL_OK)
        return hl_bus_fail(bus, HL_INVALID,
                           "topic %s: sampling_window_ns: %llu is out of range: use 1000000 (1 ms) "
                           "to 10000000000 (10 s), or 0: none",
                           name, (unsigned long long)options->sampling_window_ns);
    if (options->always_sampled && sampling.window_ns == 0)
        return hl_bus_fail(bus, HL_INVALID,
                           "topic %s: always_sampled with a window of 0, which is none: set "
                           "sampling_window_ns",
                           name);
    return HL_OK;
}

static hl_status check_topic(hl_bus *bus, const char *name, const hl_topic_options *options,
                             const hl_domain *domain)
{
    hl_error error;
    const hl_status status = hl_throttle_options_check(&options->throttle, "throttle", &error);
    if (status != HL_OK)
        return refuse_topic(bus, status, name, &error);
    if (options->throttle.rate_per_s != 0 && is_exempt(options, domain))
        return hl_bus_fail(bus, HL_NOT_ALLOWED,
                           "topic %s: throttle: CRITICAL and HIGH are never throttled: give it a "
                           "lower priority, or take the limit out",
                           name);
    return check_sampling(bus, name, options, domain);
}

/* The same window in each partition of the topic. */
static hl_status make_windows(hl_bus *bus, const hl_topic_entry *topic, hl_topic_flow *flow)
{
    const uint64_t own_ns = topic->options.sampling_window_ns;
    const uint64_t window_ns =
        own_ns == HL_SAMPLING_CONFIGURED ? bus->config.sampling.window_ns : own_ns;
    flow->window = HL_NO_WINDOW;
    flow->always = topic->options.always_sampled;
    if (topic->options.kind != HL_STATE || window_ns == 0 ||
        is_exempt(&topic->options, topic->domain))
        return HL_OK;
    hl_error error;
    for (uint32_t shard = 0; shard < topic->domain->config.shards; shard++) {
        hl_valve *const valve =
            &control_of(bus)->stations[topic->domain->first_partition + shard].valve;
        const hl_status status = hl_valve_window(valve, window_ns, &flow->window, &error);
        if (status != HL_OK)
            return refuse_topic(bus, status, topic->name, &error);
        if (flow->always)
            hl_valve_set_always(valve);
    }
    return HL_OK;
}

static hl_status make_topic(hl_bus *bus, const hl_topic_entry *topic, hl_topic_flow **ret_flow)
{
    const hl_topic_options *const options = &topic->options;
    if (options->kind != HL_STATE && options->throttle.rate_per_s == 0)
        return HL_OK;
    hl_topic_flow *const flow = hl_allocate(1, sizeof *flow);
    if (flow == NULL)
        return hl_bus_fail(bus, HL_NO_MEMORY, "topic %s: no memory", topic->name);
    hl_token_bucket_init(&flow->limit, &options->throttle, hl_bus_now(bus));
    const hl_status status = make_windows(bus, topic, flow);
    if (status != HL_OK) {
        free(flow);
        return status;
    }
    *ret_flow = flow;
    return HL_OK;
}

static bool checks(hl_bus *bus, const hl_topic_entry *topic)
{
    return hl_admissions_check(&control_of(bus)->admissions, topic);
}

static hl_status make_limit(hl_bus *bus, const char *publisher, const hl_throttle_options *options,
                            hl_token_bucket **ret_limit)
{
    hl_error error;
    const hl_status status = hl_throttle_options_check(options, "throttle", &error);
    if (status != HL_OK)
        return hl_bus_fail(bus, status, "publisher %s: %s", publisher, error.text);
    if (options->rate_per_s == 0)
        return HL_OK;
    hl_token_bucket *const bucket = hl_allocate(1, sizeof *bucket);
    if (bucket == NULL)
        return hl_bus_fail(bus, HL_NO_MEMORY, "no memory for publisher %s", publisher);
    hl_token_bucket_init(bucket, options, hl_bus_now(bus));
    *ret_limit = bucket;
    return HL_OK;
}

static hl_status admit(hl_bus *bus, const hl_admission *asked)
{
    return hl_admissions_admit(&control_of(bus)->admissions, bus, asked);
}

static void give_back(hl_bus *bus, const hl_admission *asked)
{
    hl_admissions_give_back(&control_of(bus)->admissions, bus, asked);
}

static void ladder_stats(const hl_bus *bus, const hl_partition *partition,
                         hl_ladder_stats *ret_stats)
{
    const station *const at = &control_of(bus)->stations[partition->number];
    /* Relaxed all: figures of one writer each. */
    ret_stats->step = hl_load_relaxed_u32(&at->step);
    ret_stats->rung = hl_stage_rung(ret_stats->step);
    ret_stats->cause = (hl_load_cause)hl_load_relaxed_u32(&at->cause);
    ret_stats->load_permille = hl_load_relaxed_u32(&at->load_permille);
    ret_stats->steps_up = hl_load_relaxed_u64(&at->steps_up);
    ret_stats->steps_down = hl_load_relaxed_u64(&at->steps_down);
    ret_stats->windows = hl_load_relaxed_u64(&at->valve.opened);
    ret_stats->windowless = hl_load_relaxed_u64(&at->valve.windowless);
}

/* ---- the part ---- */

static hl_status create(hl_bus *bus, hl_error *error)
{
    control *const self = hl_allocate(1, sizeof *self);
    if (self == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory for the flow control");
    self->table = (hl_flow){.check_topic = check_topic,
                            .make_topic = make_topic,
                            .checks = checks,
                            .make_limit = make_limit,
                            .admit = admit,
                            .give_back = give_back,
                            .ladder_stats = ladder_stats};
    bus->flow = &self->table;
    self->stations = hl_allocate(bus->partition_count, sizeof *self->stations);
    self->delays = hl_allocate(bus->executor_count, sizeof *self->delays);
    if (self->stations == NULL || self->delays == NULL ||
        !hl_admissions_init(&self->admissions, bus))
        return hl_error_set(error, HL_NO_MEMORY, "no memory for the flow control");
    for (uint32_t i = 0; i < bus->partition_count; i++) {
        station *const at = &self->stations[i];
        at->partition = &bus->partitions[i];
        hl_valve_init(&at->valve, at->partition, bus->config.sampling.closes_per_look);
        hl_ladder_init(&at->ladder, &bus->config.ladder);
    }
    return HL_OK;
}

static void destroy(hl_bus *bus)
{
    control *const self = control_of(bus);
    if (self == NULL)
        return;
    for (uint32_t i = 0; self->stations != NULL && i < bus->partition_count; i++)
        hl_valve_free(&self->stations[i].valve);
    hl_admissions_free(&self->admissions);
    free(self->stations);
    free(self->delays);
    free(self);
    bus->flow = NULL;
}

const hl_part hl_flow_part = {.create = create, .tick = tick, .destroy = destroy};
