#include "flow/valve.h"

#include <inttypes.h>

#define HELD_FOR_NS (100 * HL_MICROSECOND) /* until a look whether there is room again */

static hl_valve *valve_of(const hl_partition *partition)
{
    return (hl_valve *)(uintptr_t)partition->intake; /* its first member */
}

/* NULL: the publisher has overwritten the topic. */
static const hl_topic_entry *topic_of(const hl_partition *partition, const hl_event *event)
{
    const hl_bus *const bus = partition->bus;
    if (event->topic >= bus->max_topics)
        return NULL;
    /* ROUTE: acquire, the topic and its sampler are whole. */
    const hl_route *const route =
        hl_load_acquire_ptr((void *const *)(const void *)&bus->routes[event->topic]);
    return route != NULL && route->topic->domain == partition->domain ? route->topic : NULL;
}

/* The highest priority of what waits. */
static uint32_t level_of(const hl_valve *valve)
{
    uint32_t level = HL_NORMAL;
    while (level < HL_BACKGROUND && valve->waiting[level] == 0)
        level++;
    return level;
}

static uint64_t next_ns(const hl_valve *valve)
{
    uint64_t next = UINT64_MAX;
    for (uint32_t used = valve->used; used != 0; used &= used - 1) {
        const uint64_t closes_ns = hl_sampler_next_ns(valve->samplers[__builtin_ctz(used)]);
        next = closes_ns < next ? closes_ns : next;
    }
    return next;
}

/* ---- the partition's intake ---- */

/* A topic has a window for each key and priority: what is published with another one is in another
 * lane, and no order is promised between the two. */
static uint32_t group_of(const hl_event *event, uint32_t priority)
{
    return event->topic * HL_PRIORITIES + priority;
}

/* False: no window is free, it goes on as it is. */
static bool open_window(hl_valve *valve, uint32_t priority, const hl_event *event, uint32_t window)
{
    hl_partition *const partition = valve->partition;
    bool ignored;
    hl_sampler *const sampler = valve->samplers[window];
    const uint32_t group = group_of(event, priority);
    const uint32_t size = (uint32_t)sizeof *event + event->payload_size;
    if (hl_sampler_offer(sampler, group, event->key, event, size, partition->executor->now_ns,
                         &ignored) != HL_OK) {
        hl_count(&valve->windowless, 1);
        return false;
    }
    hl_event *const waiting = hl_sampler_find(sampler, group, event->key);
    waiting->priority = (uint8_t)priority; /* it is gone by when the window closes */
    const bool is_first = valve->used == 0;
    valve->used |= 1u << window;
    valve->waiting[priority]++;
    valve->due.level = level_of(valve);
    valve->due.due_ns = next_ns(valve);
    hl_count(&partition->lanes[priority].withheld, 1);
    hl_count(&valve->opened, 1);
    if (is_first)
        hl_due_open(partition, &valve->due);
    else
        hl_due_advance(partition, &valve->due);
    return true;
}

static bool sample(hl_valve *valve, uint32_t priority, const hl_event *event,
                   const hl_topic_flow *flow)
{
    if (flow->window == HL_NO_WINDOW)
        return false;
    hl_lane *const lane = &valve->partition->lanes[priority];
    hl_event *const waiting =
        hl_sampler_find(valve->samplers[flow->window], group_of(event, priority), event->key);
    if (waiting == NULL)
        return (flow->always || valve->stage != 0) &&
               open_window(valve, priority, event, flow->window);
    memcpy(waiting, event, sizeof *event + event->payload_size);
    waiting->flags |= HL_EVENT_CONFLATED;
    waiting->priority = (uint8_t)priority;
    /* DRAINED: (executor.h) release. */
    hl_store_release_u64(&lane->conflated, lane->conflated + 1);
    return true;
}

static bool take(hl_partition *partition, hl_lane *lane, const hl_event *event)
{
    /* Not event->priority, which a publisher can overwrite. */
    const uint32_t priority = (uint32_t)(lane - partition->lanes);
    if (priority <= HL_HIGH)
        return false;
    hl_valve *const valve = valve_of(partition);
    const hl_topic_entry *const topic = topic_of(partition, event);
    if (topic == NULL || topic->options.kind == HL_DELTA)
        return false;
    if (topic->options.kind == HL_STATE)
        return sample(valve, priority, event, topic->flow);
    if (hl_stage_action_for(valve->stage, false, true, (hl_priority)priority) != HL_STAGE_SHED)
        return false;
    /* DRAINED: (executor.h) release. */
    hl_store_release_u64(&lane->shed, lane->shed + 1);
    return true;
}

/* In the way, as long as there is anything to do. */
static void put_in_place(hl_valve *valve)
{
    const bool is_needed = valve->stage != 0 || valve->always || valve->used != 0;
    valve->partition->intake = is_needed ? &valve->intake : NULL;
}

/* ---- windows that close ---- */

/* False: a lossless subscriber has no room now. */
static bool deliver(hl_valve *valve, hl_event *event)
{
    const uint32_t priority = event->priority;
    hl_partition *const partition = valve->partition;
    hl_lane *const lane = &partition->lanes[priority];
    if (!hl_dispatch_late(partition, lane, event))
        return false;
    valve->waiting[priority]--;
    hl_count(&lane->withheld, (uint64_t)-1);
    hl_count(&partition->executor->events, 1);
    return true;
}

/* Whether what is left must wait: something higher has come. */
static bool is_interrupted(const hl_valve *valve)
{
    const hl_executor *const executor = valve->partition->executor;
    return hl_executor_higher_stirs(executor, valve->due.level) &&
           hl_executor_higher_waits(executor, valve->due.level);
}

/* What a look at the windows has come to. */
typedef struct closing {
    uint64_t now_ns;
    uint32_t closed;
    bool is_over; /* enough, something higher has come, or no room */
    bool is_held; /* no room */
} closing;

/* Closes what is due in one sampler. */
static void close_windows(hl_valve *valve, uint32_t window, closing *look)
{
    hl_sampler *const sampler = valve->samplers[window];
    hl_event *event;
    while (!look->is_over && (event = hl_sampler_due(sampler, look->now_ns)) != NULL) {
        look->is_held = !deliver(valve, event);
        if (!look->is_held) {
            hl_sampler_close_next(sampler);
            look->closed++;
        }
        look->is_over =
            look->is_held || look->closed == valve->closes_per_look || is_interrupted(valve);
    }
    if (hl_sampler_pending(sampler) == 0)
        valve->used &= ~(1u << window);
}

static uint32_t serve(hl_partition *partition, hl_due *due, uint64_t now_ns)
{
    hl_valve *const valve = (hl_valve *)(void *)((char *)due - offsetof(hl_valve, due));
    closing look = {.now_ns = now_ns};
    for (uint32_t used = valve->used; used != 0 && !look.is_over; used &= used - 1)
        close_windows(valve, (uint32_t)__builtin_ctz(used), &look);
    if (valve->used == 0) {
        hl_due_close(partition, due);
        put_in_place(valve);
        return look.closed;
    }
    due->level = level_of(valve);
    due->due_ns =
        look.is_held ? hl_due_after(partition->executor->now_ns, HELD_FOR_NS) : next_ns(valve);
    hl_due_advance(partition, due);
    return look.closed;
}

/* ---- what is wanted ---- */

/* The partition's thread. */
static void take_over(hl_executor *executor, hl_call *call)
{
    (void)executor;
    hl_valve *const valve = (hl_valve *)(void *)((char *)call - offsetof(hl_valve, call));
    hl_exchange_acq_rel_u64(&valve->asked, 0); /* WANTED: before they are loaded */
    /* WANTED: relaxed, the exchange orders them. */
    valve->stage = hl_load_relaxed_u32(&valve->wanted_stage);
    valve->always = hl_load_relaxed_u32(&valve->wanted_always) != 0;
    put_in_place(valve);
}

static void ask(hl_valve *valve)
{
    /* WANTED: after they were stored. A command that is on its way will see them. */
    if (hl_exchange_acq_rel_u64(&valve->asked, 1) == 0)
        hl_executor_command(valve->partition->executor, &valve->call.command);
}

void hl_valve_set_stage(hl_valve *valve, hl_stage stage)
{
    hl_store_relaxed_u32(&valve->wanted_stage, stage); /* WANTED */
    ask(valve);
}

void hl_valve_set_always(hl_valve *valve)
{
    hl_store_relaxed_u32(&valve->wanted_always, 1); /* WANTED */
    ask(valve);
}

/* ---- the control plane ---- */

void hl_valve_init(hl_valve *valve, hl_partition *partition, uint32_t closes_per_look)
{
    valve->intake.take = take;
    valve->partition = partition;
    valve->closes_per_look = closes_per_look;
    valve->due.serve = serve;
    valve->call = (hl_call){.command = {NULL, HL_COMMAND_CALL, &valve->call}, .run = take_over};
}

void hl_valve_free(hl_valve *valve)
{
    for (uint32_t i = 0; i < valve->window_count; i++)
        hl_sampler_destroy(valve->samplers[i]);
}

hl_status hl_valve_window(hl_valve *valve, uint64_t window_ns, uint32_t *ret_window,
                          hl_error *error)
{
    for (uint32_t i = 0; i < valve->window_count; i++)
        if (valve->windows_ns[i] == window_ns) {
            *ret_window = i;
            return HL_OK;
        }
    const uint32_t window = valve->window_count;
    if (window == HL_VALVE_WINDOWS)
        return hl_error_set(error, HL_LIMIT,
                            "sampling_window_ns: %" PRIu64 " would be the 9th length in domain %s: "
                            "use one of the 8 that its other topics have",
                            window_ns, valve->partition->domain->name);
    hl_sampling_options options = valve->partition->bus->config.sampling;
    options.window_ns = window_ns;
    const hl_status status =
        hl_sampler_create(&options, "sampling", valve->partition->domain->config.slot_size_bytes,
                          &valve->samplers[window], error);
    if (status != HL_OK)
        return status;
    valve->windows_ns[window] = window_ns;
    valve->window_count++;
    *ret_window = window;
    return HL_OK;
}
