#include "fault/watchdog.h"

#include <stdio.h>

#include "base/backtrace.h"
#include "bus/pool.h"
#include "bus/subscription.h"
#include "fault/fuse.h"

#define FRAMES_MAX        24
#define BACKTRACE_WAIT_NS (50 * HL_MILLISECOND)

/* A call of a handler, as far as others can tell it from the next one. */
typedef struct handler_call {
    hl_cell *cell; /* NULL: none runs */
    uint64_t delivered, handled, failures;
} handler_call;

/* The same on a worker. */
typedef struct worker_call {
    const hl_subscription *serving; /* NULL: none runs */
    uint64_t calls;
} worker_call;

typedef struct watch {
    handler_call call; /* a partition's */
    worker_call on_worker;
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
    watch *workers; /* by executor */
    executor_watch *executors;
};

hl_watchdog *hl_watchdog_make(const hl_bus *bus)
{
    hl_watchdog *const watchdog = calloc(1, sizeof *watchdog);
    if (watchdog == NULL)
        return NULL;
    watchdog->partitions = calloc(bus->partition_count, sizeof(watch));
    watchdog->workers = calloc(bus->executor_count, sizeof(watch));
    watchdog->executors = calloc(bus->executor_count, sizeof(executor_watch));
    if (watchdog->partitions != NULL && watchdog->workers != NULL && watchdog->executors != NULL)
        return watchdog;
    hl_watchdog_free(watchdog);
    return NULL;
}

void hl_watchdog_free(hl_watchdog *watchdog)
{
    if (watchdog == NULL)
        return;
    free(watchdog->partitions);
    free(watchdog->workers);
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

static uint64_t budget_of(const hl_subscription *subscription)
{
    return subscription->options.budget_ns != 0 ? subscription->options.budget_ns
                                                : subscription->bus->config.handler_budget_ns;
}

/* A word that may be written anew meanwhile, with plain stores: any value that it has had will do.
 * ThreadSanitizer, which knows of no such reads, is not to look. */
__attribute__((no_sanitize_thread, noinline)) static uint32_t glance(const uint32_t *word)
{
    return *(const volatile uint32_t *)word;
}

/* The topic of the event in hand; "": it has just gone. Its memory is there as long as the bus's
 * lock is held, whoever's it is by now. */
static const char *topic_in_hand(const hl_publisher *out)
{
    /* Relaxed: a hint. */
    const hl_event *const event = hl_load_relaxed_ptr((void *const *)(const void *)&out->event);
    const hl_topic topic = {event != NULL ? glance(&event->topic) : UINT32_MAX};
    const char *const name = hl_topic_name(out->bus, topic);
    return name != NULL ? name : "";
}

static void report_slow(const hl_executor *executor, const hl_publisher *out,
                        const hl_subscription *subscription, uint64_t running_ns)
{
    /* Relaxed: of the event in hand, or of the next one. */
    const uint64_t event_id = hl_load_relaxed_u64(&out->event_id);
    hl_system_slow_handler slow = {
        .running_ns = running_ns,
        .budget_ns = budget_of(subscription),
        .event_id = event_id,
        .partition = hl_id_partition(event_id),
        .cpu = (int32_t)hl_load_relaxed_u32(&executor->running_cpu)}; /* Relaxed: a hint. */
    snprintf(slow.thread, sizeof slow.thread, "%.63s", executor->name);
    snprintf(slow.subscription, sizeof slow.subscription, "%.63s", subscription->name);
    snprintf(slow.topic, sizeof slow.topic, "%.127s", topic_in_hand(out));
    hl_notice(executor->bus, "system.slow_handler", subscription->serial, &slow, sizeof slow);
    hl_log(executor->bus, HL_LOG_WARNING, "watchdog",
           "handler %s on %s runs for %.3f s, its budget is %.3f s", slow.subscription, slow.thread,
           (double)running_ns / 1e9, (double)slow.budget_ns / 1e9);
}

/* The same call as at the last look: reports it when it is over its budget. True: for the first
 * time. */
static bool is_over_budget(watch *of, const hl_executor *executor, const hl_publisher *out,
                           const hl_subscription *subscription, uint64_t now_ns)
{
    const uint64_t budget_ns = budget_of(subscription);
    const uint64_t running_ns = now_ns - of->since_ns;
    if (budget_ns == 0 || running_ns < budget_ns || running_ns < of->report_ns)
        return false;
    report_slow(executor, out, subscription, running_ns);
    const bool is_first = of->report_ns == 0;
    of->report_ns = 2 * running_ns;
    return is_first;
}

static void look_at_partition(watch *of, hl_partition *partition, uint64_t now_ns)
{
    const handler_call call = running_call(partition);
    if (call.cell == NULL || !same_call(&call, &of->call)) {
        *of = (watch){.call = call, .since_ns = now_ns};
        return;
    }
    if (is_over_budget(of, partition->executor, partition->out, call.cell->subscription, now_ns))
        hl_fuse_was_slow(call.cell);
}

static worker_call call_of_worker(const hl_worker *worker)
{
    /* Relaxed all: hints; under the bus's lock a subscription that it serves is there, for a worker
     * lets go of one between two runs. */
    const void *const event = hl_load_relaxed_ptr((void *const *)(const void *)&worker->out->event);
    const hl_subscription *const serving =
        hl_load_relaxed_ptr((void *const *)(const void *)&worker->serving);
    return (worker_call){event != NULL ? serving : NULL, hl_load_relaxed_u64(&worker->calls)};
}

/* The cell of the partition that the event in hand is of. */
static hl_cell *cell_in_hand(const hl_worker *worker, const hl_subscription *subscription)
{
    /* Relaxed: as in report_slow. */
    const uint64_t event_id = hl_load_relaxed_u64(&worker->out->event_id);
    const uint32_t index = hl_id_partition(event_id) - subscription->first_partition;
    return &subscription->cells[index < subscription->partition_count ? index : 0];
}

static void look_at_worker(watch *of, const hl_worker *worker, uint64_t now_ns)
{
    const worker_call call = call_of_worker(worker);
    if (call.serving == NULL || call.serving != of->on_worker.serving ||
        call.calls != of->on_worker.calls) {
        *of = (watch){.on_worker = call, .since_ns = now_ns};
        return;
    }
    if (is_over_budget(of, worker->executor, worker->out, call.serving, now_ns))
        hl_fuse_was_slow(cell_in_hand(worker, call.serving));
}

/* ---- executors ---- */

static uint64_t progress_of(const hl_executor *executor)
{
    uint64_t progress = hl_load_relaxed_u64(&executor->turns); /* Relaxed all: counters. */
    for (uint32_t i = 0; i < executor->partition_count; i++)
        progress += hl_load_relaxed_u64(&executor->partitions[i]->sequence); /* as above */
    if (executor->worker != NULL)
        progress += hl_load_relaxed_u64(&executor->worker->calls); /* as above */
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
    const hl_subscription *const runs = hl_executor_running(executor);
    if (runs != NULL)
        snprintf(stalled.subscription, sizeof stalled.subscription, "%.63s", runs->name);
    name_frames(executor, stalled.frames, sizeof stalled.frames);
    hl_notice(executor->bus, "system.stalled", executor->index, &stalled, sizeof stalled);
    hl_log(executor->bus, HL_LOG_WARNING, "watchdog", "%s makes no progress for %.3f s%s%s",
           stalled.thread, (double)stalled_ns / 1e9, stalled.frames[0] != '\0' ? ": " : "",
           stalled.frames);
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
        if (bus->executors[i].worker != NULL)
            look_at_worker(&watchdog->workers[i], bus->executors[i].worker, now_ns);
    for (uint32_t i = 0; i < bus->executor_count; i++)
        look_at_executor(&watchdog->executors[i], &bus->executors[i], now_ns);
    hl_bus_unlock(bus);
}

/* ---- what others read ---- */

uint64_t hl_watchdog_stalled_ns(const hl_watchdog *watchdog, uint32_t executor, uint64_t now_ns)
{
    const uint64_t since_ns = watchdog->executors[executor].since_ns;
    return since_ns != 0 && now_ns > since_ns ? now_ns - since_ns : 0;
}

/* The longest of `count` watches whose call is a handler's of that subscription. */
static uint64_t longest_ns(const watch *watches, uint32_t count,
                           const hl_subscription *subscription, uint64_t now_ns)
{
    uint64_t longest = 0;
    for (uint32_t i = 0; i < count; i++) {
        const watch *const of = &watches[i];
        const uintptr_t cell = (uintptr_t)of->call.cell, cells = (uintptr_t)subscription->cells;
        /* The cell may be gone by now: it is compared, never read. */
        const bool is_inline =
            cell >= cells && cell < cells + subscription->partition_count * sizeof(hl_cell);
        if ((is_inline || of->on_worker.serving == subscription) && now_ns > of->since_ns &&
            now_ns - of->since_ns > longest)
            longest = now_ns - of->since_ns;
    }
    return longest;
}

uint64_t hl_watchdog_budget_pct(const hl_watchdog *watchdog, const hl_subscription *subscription,
                                uint64_t now_ns)
{
    const hl_bus *const bus = subscription->bus;
    const uint64_t budget_ns = budget_of(subscription);
    const uint64_t running_ns =
        subscription->async != NULL
            ? longest_ns(watchdog->workers, bus->executor_count, subscription, now_ns)
            : longest_ns(&watchdog->partitions[subscription->first_partition],
                         subscription->partition_count, subscription, now_ns);
    return budget_ns != 0 ? running_ns / (budget_ns / 100 + 1) : 0;
}
