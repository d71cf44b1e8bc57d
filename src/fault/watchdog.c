#include "fault/watchdog.h"

#include <stdio.h>

#include "base/backtrace.h"
#include "bus/subscription.h"
#include "fault/guard.h"

#define FRAMES_MAX        24
#define BACKTRACE_WAIT_NS (50 * HL_MILLISECOND)

/* A call of a handler, as far as others can tell it from the next one. */
typedef struct handler_call {
    hl_cell *cell; /* NULL: none runs */
    uint64_t delivered, handled, failures;
} handler_call;

typedef struct watch {
    handler_call call;
    uint64_t since_ns;  /* when it was first seen */
    uint64_t report_ns; /* how long it runs until the next report: doubled by each */
} watch;

typedef struct executor_watch {
    uint64_t progress; /* a number that grows with all that it does */
    uint64_t since_ns;
    uint64_t report_ns;
} executor_watch;

struct hl_watchdog {
    watch *partitions;
    executor_watch *executors;
};

hl_watchdog *hl_watchdog_make(const hl_bus *bus)
{
    hl_watchdog *const watchdog = calloc(1, sizeof *watchdog);
    if (watchdog == NULL)
        return NULL;
    watchdog->partitions = calloc(bus->partition_count, sizeof(watch));
    watchdog->executors = calloc(bus->executor_count, sizeof(executor_watch));
    if (watchdog->partitions != NULL && watchdog->executors != NULL)
        return watchdog;
    hl_watchdog_free(watchdog);
    return NULL;
}

void hl_watchdog_free(hl_watchdog *watchdog)
{
    if (watchdog == NULL)
        return;
    free(watchdog->partitions);
    free(watchdog->executors);
    free(watchdog);
}

/* ---- handlers ---- */

static handler_call running_call(const hl_partition *partition)
{
    /* Relaxed: under the bus's lock a cell that it names is there (hl_cell_detach). */
    hl_cell *const cell = hl_load_relaxed_ptr((void *const *)(const void *)&partition->current);
    if (cell == NULL || hl_cell_running(cell) == 0)
        return (handler_call){NULL, 0, 0, 0};
    /* Relaxed all: counters of one writer. */
    return (handler_call){cell, hl_load_relaxed_u64(&cell->delivered),
                          hl_load_relaxed_u64(&cell->handled),
                          hl_load_relaxed_u64(&cell->failures)};
}

static bool same_call(const handler_call *a, const handler_call *b)
{
    return a->cell == b->cell && a->delivered == b->delivered && a->handled == b->handled &&
           a->failures == b->failures;
}

static uint64_t budget_of(const hl_cell *cell)
{
    const hl_subscription *const subscription = cell->subscription;
    return subscription->options.budget_ns != 0 ? subscription->options.budget_ns
                                                : subscription->bus->config.handler_budget_ns;
}

/* The topic of the event in hand; "": it has just gone. Its memory is there as long as the bus's
 * lock is held, whoever's it is by now. */
static const char *topic_in_hand(const hl_partition *partition)
{
    const hl_publisher *const out = partition->out;
    /* Relaxed both: a hint. */
    const hl_event *const event = hl_load_relaxed_ptr((void *const *)(const void *)&out->event);
    const hl_topic topic = {event != NULL ? hl_load_relaxed_u32(&event->topic) : UINT32_MAX};
    const char *const name = hl_topic_name(partition->bus, topic);
    return name != NULL ? name : "";
}

static void report_slow(const hl_partition *partition, const hl_cell *cell, uint64_t running_ns,
                        uint64_t budget_ns)
{
    const hl_subscription *const subscription = cell->subscription;
    hl_system_slow_handler slow = {
        .running_ns = running_ns,
        .budget_ns = budget_ns,
        /* Relaxed: of the event in hand, or of the next one. */
        .event_id = hl_load_relaxed_u64(&partition->out->event_id),
        .partition = partition->number,
        .cpu = (int32_t)hl_load_relaxed_u32(&partition->executor->running_cpu)}; /* as above */
    snprintf(slow.thread, sizeof slow.thread, "%.63s", partition->executor->name);
    snprintf(slow.subscription, sizeof slow.subscription, "%.63s", subscription->name);
    snprintf(slow.topic, sizeof slow.topic, "%.127s", topic_in_hand(partition));
    hl_notice(partition->bus, "system.slow_handler", subscription->serial, &slow, sizeof slow);
}

static void look_at_partition(watch *of, hl_partition *partition, uint64_t now_ns)
{
    const handler_call call = running_call(partition);
    if (call.cell == NULL || !same_call(&call, &of->call)) {
        *of = (watch){.call = call, .since_ns = now_ns};
        return;
    }
    const uint64_t budget_ns = budget_of(call.cell);
    const uint64_t running_ns = now_ns - of->since_ns;
    if (budget_ns == 0 || running_ns < budget_ns || running_ns < of->report_ns)
        return;
    report_slow(partition, call.cell, running_ns, budget_ns);
    if (of->report_ns == 0)
        hl_guard_was_slow(call.cell);
    of->report_ns = 2 * running_ns;
}

/* ---- executors ---- */

static uint64_t progress_of(const hl_executor *executor)
{
    uint64_t progress = hl_load_relaxed_u64(&executor->turns); /* Relaxed all: counters. */
    for (uint32_t i = 0; i < executor->partition_count; i++)
        progress += hl_load_relaxed_u64(&executor->partitions[i]->sequence); /* as above */
    return progress;
}

/* The frames' names, innermost first, as far as there is room. */
static void name_frames(const hl_executor *executor, char *text, size_t room)
{
    void *frames[FRAMES_MAX];
    text[0] = '\0';
    if (!executor->bus->config.stall_backtrace || !executor->thread_started)
        return;
    const uint32_t count =
        hl_backtrace_of_thread(executor->thread, frames, FRAMES_MAX, BACKTRACE_WAIT_NS);
    hl_backtrace_print(frames, count, text, room);
}

static void report_stall(const hl_executor *executor, uint64_t stalled_ns)
{
    hl_system_stalled stalled = {
        .stalled_ns = stalled_ns,
        .cpu = (int32_t)hl_load_relaxed_u32(&executor->running_cpu)}; /* Relaxed: a hint. */
    snprintf(stalled.thread, sizeof stalled.thread, "%.63s", executor->name);
    for (uint32_t i = 0; i < executor->partition_count; i++) {
        const handler_call call = running_call(executor->partitions[i]);
        if (call.cell != NULL)
            snprintf(stalled.subscription, sizeof stalled.subscription, "%.63s",
                     call.cell->subscription->name);
    }
    name_frames(executor, stalled.frames, sizeof stalled.frames);
    hl_notice(executor->bus, "system.stalled", executor->index, &stalled, sizeof stalled);
}

static void look_at_executor(executor_watch *of, const hl_executor *executor, uint64_t now_ns)
{
    const uint64_t budget_ns = executor->bus->config.turn_budget_ns;
    const uint64_t progress = progress_of(executor);
    /* Relaxed: a hint; one that sleeps or that nobody turns just now is not stalled. */
    const bool online = hl_load_relaxed_u32(&executor->online) != 0;
    if (!online || progress != of->progress) {
        *of = (executor_watch){progress, now_ns, 0};
        return;
    }
    const uint64_t stalled_ns = now_ns - of->since_ns;
    if (budget_ns == 0 || stalled_ns < budget_ns || stalled_ns < of->report_ns)
        return;
    report_stall(executor, stalled_ns);
    of->report_ns = 2 * stalled_ns;
}

void hl_watchdog_look(hl_watchdog *watchdog, hl_bus *bus, uint64_t now_ns)
{
    hl_bus_lock(bus);
    for (uint32_t i = 0; i < bus->partition_count; i++)
        look_at_partition(&watchdog->partitions[i], &bus->partitions[i], now_ns);
    for (uint32_t i = 0; i < bus->executor_count; i++)
        look_at_executor(&watchdog->executors[i], &bus->executors[i], now_ns);
    hl_bus_unlock(bus);
}
