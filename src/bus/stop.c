/*
 * Stop: close the door, let pass what is on its way, end the threads, count what is left, check the
 * sums.
 */
#include <stdio.h>
#include <time.h>

#include "bus/async.h"
#include "bus/async_eject.h"
#include "bus/bus.h"
#include "bus/subscription.h"
#include "config/domains.h"

#define NAP_NS 200000

/* What a handler that has just begun gets to end in peace. */
#define GRACE_NS (HL_SECOND / 10)

/* The end of a wait that begins now; UINT64_MAX: never. */
static uint64_t deadline_after(uint64_t timeout_ns)
{
    const uint64_t now_ns = hl_monotonic_ns();
    return timeout_ns > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + timeout_ns;
}

static bool ends_now(const hl_bus *bus)
{
    return hl_load_relaxed_u32(&bus->control->stop_now) != 0; /* Relaxed: a request. */
}

void hl_bus_stop_now(hl_bus *bus)
{
    if (bus == NULL)
        return;
    hl_store_relaxed_u32(&bus->control->stop_now, 1); /* Relaxed: as above. */
}

/* After the gate was stored. */
static void make_gate_seen(void)
{
    if (hl_barrier_all_threads())
        return;
    /* No such barrier here: a store leaves its core's buffer within microseconds, and at the latest
     * when its thread is switched out. */
    const struct timespec pause = {0, 10 * 1000 * 1000};
    nanosleep(&pause, NULL);
}

/* ---- letting pass ---- */

/* A moment in which events can move: the executors' threads do it, or the caller turns them. */
static void let_move(hl_bus *bus)
{
    if (bus->config.threads == HL_THREADS_OWN) {
        const struct timespec nap = {0, NAP_NS};
        nanosleep(&nap, NULL);
        return;
    }
    for (uint32_t i = 0; i < bus->executor_count; i++)
        hl_executor_turn(&bus->executors[i], 0);
    /* No housekeeper does it. */
    for (const hl_part *const *part = hl_parts; *part != NULL; part++)
        if ((*part)->tick != NULL)
            (*part)->tick(bus, hl_bus_now(bus));
}

typedef struct bus_sums {
    uint64_t dispatched, committed;
    uint64_t under_way; /* claims, commits, batches, commands */
} bus_sums;

static bool same_sums(const bus_sums *a, const bus_sums *b)
{
    return a->dispatched == b->dispatched && a->committed == b->committed;
}

static bool sums_are_at_rest(const bus_sums *sums)
{
    return sums->dispatched == sums->committed && sums->under_way == 0;
}

/* Batches and the like that wait for a time, and commands that are not obeyed. */
static uint64_t executor_under_way(const hl_executor *executor)
{
    /* DRAINED: the list before `obeying`: a command is in one or the other. */
    uint64_t under_way = hl_load_acquire_u32(&executor->open_dues);
    under_way += hl_command_list_acquire(&executor->commands) != NULL;
    under_way += hl_load_acquire_u32(&executor->obeying);
    return under_way;
}

/* Under the lock. */
static bus_sums add_up(const hl_bus *bus)
{
    bus_sums sums = {0};
    /* DRAINED: what was dispatched first, with acquire; what was committed after it. Whatever a
     * dispatched event, a batch or a command has caused is then among the committed. */
    for (uint32_t i = 0; i < bus->partition_count; i++)
        for (int p = 0; p < HL_PRIORITIES; p++) {
            const hl_lane *const lane = &bus->partitions[i].lanes[p];
            /* DRAINED: acquire, all three. */
            sums.dispatched += hl_load_acquire_u64(&lane->conflated);
            sums.dispatched += hl_load_acquire_u64(&lane->shed);
            sums.dispatched += hl_load_acquire_u64(&lane->dispatched);
        }
    for (uint32_t i = 0; i < bus->executor_count; i++)
        sums.under_way += executor_under_way(&bus->executors[i]);
    for (int kind = 0; kind < HL_POOLS; kind++)
        if (bus->pools[kind] != NULL)
            sums.under_way += hl_pool_backlog(bus->pools[kind]);
    /* After the queues: what has left one for a ward was counted as kept before. */
    sums.under_way += hl_backlog(bus, HL_KEPT);
    sums.under_way += hl_load_acquire_u64(&bus->past_runs); /* DRAINED: acquire, what they put. */
    for (uint32_t i = 0; i < bus->partition_count; i++) {
        const hl_partition *const partition = &bus->partitions[i];
        for (int p = 0; p < HL_PRIORITIES; p++) {
            sums.committed += partition->closed_counts[p].committed;
            for (const hl_outlet *o = partition->outlets[p]; o != NULL; o = o->next) {
                const hl_door_counts counts = hl_outlet_counts(o);
                sums.committed += counts.committed;
                sums.under_way += hl_door_open(&counts) + hl_door_finishing(&counts);
            }
        }
    }
    return sums;
}

/* Waits until all lanes are seen empty twice with unchanged counters, or the deadline. */
static void drain(hl_bus *bus, uint64_t deadline_ns)
{
    bus_sums before = {.committed = UINT64_MAX};
    for (uint32_t i = 0; i < bus->executor_count; i++) {
        hl_store_relaxed_u32(&bus->executors[i].flush_dues, 1); /* FLUSH */
        hl_executor_wake(&bus->executors[i]);
    }
    for (;;) {
        hl_bus_lock(bus);
        const bus_sums now = add_up(bus);
        hl_bus_unlock(bus);
        if (sums_are_at_rest(&now) && same_sums(&now, &before))
            return;
        before = now;
        let_move(bus);
        if (hl_monotonic_ns() >= deadline_ns || ends_now(bus))
            return;
    }
}

/* ---- ending the threads ---- */

/* Whether the executor's thread has ended, and is joined, in time; which becomes less when the stop
 * is to end now. */
static bool join_until(hl_executor *executor, uint64_t *deadline_ns)
{
    const struct timespec nap = {0, NAP_NS};
    /* ENDED: acquire, all that it did is seen. */
    while (hl_load_acquire_u32(&executor->ended) == 0) {
        const uint64_t now_ns = hl_monotonic_ns();
        if (now_ns >= *deadline_ns)
            return false;
        if (ends_now(executor->bus) && *deadline_ns - now_ns > GRACE_NS)
            *deadline_ns = now_ns + GRACE_NS;
        nanosleep(&nap, NULL);
    }
    return pthread_join(executor->thread, NULL) == 0;
}

hl_executor *hl_executors_end(hl_bus *bus, uint64_t timeout_ns)
{
    hl_executor *stuck = NULL;
    uint64_t deadline_ns = deadline_after(timeout_ns);
    for (uint32_t i = 0; i < bus->executor_count; i++) {
        /* STOP: release, what was settled before is seen by the executor. */
        hl_store_release_u32(&bus->executors[i].stop, 1);
        hl_executor_wake(&bus->executors[i]);
    }
    for (uint32_t i = 0; i < bus->executor_count; i++) {
        hl_executor *const executor = &bus->executors[i];
        if (executor->thread_started && join_until(executor, &deadline_ns))
            executor->thread_started = false;
        if (executor->thread_started)
            stuck = executor;
        else
            hl_executor_obey(executor); /* nobody else does any more */
    }
    return stuck;
}

/* ---- what is left ---- */

/* Whether there was any with something in it. */
static bool cancel_waiting(hl_bus *bus)
{
    bool any = hl_backlog(bus, HL_KEPT) != 0;
    /* A look at an age that is to come holds nothing back; what waits is in the queues. */
    for (const hl_subscription *s = bus->control->subscriptions; s != NULL; s = s->next)
        for (uint32_t i = 0; s->async != NULL && i < s->async->box_count; i++)
            hl_async_forget_age(&bus->partitions[s->first_partition + i], &s->async->boxes[i]);
    for (uint32_t i = 0; i < bus->executor_count; i++)
        any |= bus->executors[i].open_dues != 0;
    for (const hl_subscription *s = bus->control->subscriptions; s != NULL; s = s->next)
        for (uint32_t i = 0; i < s->partition_count; i++)
            hl_cell_detach(&bus->partitions[s->first_partition + i], &s->cells[i]);
    for (const hl_subscription *s = bus->control->subscriptions; s != NULL; s = s->next)
        if (s->async != NULL)
            any |= hl_async_drain(s->async, &bus->executors[0]) != 0;
    return any;
}

/* Counts what no one will take any more: committed and unread, or claimed and never committed. */
static uint64_t count_abandoned(hl_bus *bus)
{
    uint64_t abandoned = 0;
    for (uint32_t i = 0; i < bus->partition_count; i++) {
        hl_partition *const partition = &bus->partitions[i];
        for (int p = 0; p < HL_PRIORITIES; p++) {
            uint64_t unread = partition->lanes[p].withheld;
            /* The doors first: a commit that began in time is waited for there. */
            for (hl_outlet *o = partition->outlets[p]; o != NULL; o = o->next)
                abandoned += hl_outlet_settle(o);
            for (const hl_inlet *inlet = partition->inlets[p]; inlet != NULL;
                 inlet = inlet->next_of_lane)
                unread += hl_inlet_pending(inlet);
            hl_count(&partition->lanes[p].abandoned, unread);
            abandoned += unread;
        }
    }
    return abandoned;
}

/* ---- what is left, by name ---- */

static void list(hl_stop_report *report, hl_left_kind kind, uint64_t events, const char *format,
                 const char *name, const char *of)
{
    if (report->left_count++ >= HL_STOP_LEFT_MAX)
        return;
    hl_stop_left *const left = &report->left[report->left_count - 1];
    left->kind = kind;
    left->events = events;
    snprintf(left->name, sizeof left->name, format, name, of);
}

static uint64_t left_in_lane(const hl_partition *partition, int priority)
{
    const hl_lane *const lane = &partition->lanes[priority];
    uint64_t left = partition->closed_counts[priority].committed;
    for (const hl_outlet *o = partition->outlets[priority]; o != NULL; o = o->next) {
        const hl_door_counts counts = hl_outlet_counts(o);
        left += counts.committed + hl_door_open(&counts);
    }
    /* Relaxed all: counters. */
    const uint64_t gone = hl_load_relaxed_u64(&lane->dispatched) +
                          hl_load_relaxed_u64(&lane->conflated) + hl_load_relaxed_u64(&lane->shed);
    return left > gone ? left - gone : 0;
}

static void list_lanes(const hl_bus *bus, hl_stop_report *report)
{
    for (uint32_t i = 0; i < bus->partition_count; i++)
        for (int p = 0; p < HL_PRIORITIES; p++) {
            const uint64_t left = left_in_lane(&bus->partitions[i], p);
            if (left != 0)
                list(report, HL_LEFT_LANE, left, "%s/%s", bus->partitions[i].out->name,
                     hl_priority_name((hl_priority)p));
        }
}

static void list_subscriptions(const hl_bus *bus, hl_stop_report *report)
{
    for (const hl_subscription *s = bus->control->subscriptions; s != NULL; s = s->next) {
        hl_subscription_stats stats;
        hl_subscription_add_up(s, &stats);
        const uint64_t left = stats.queued + stats.in_retry + stats.held;
        if (left != 0)
            list(report, HL_LEFT_SUBSCRIPTION, left, "%s%s", s->name, "");
    }
}

static void list_handlers(const hl_bus *bus, hl_stop_report *report)
{
    for (uint32_t i = 0; i < bus->executor_count; i++) {
        const hl_executor *const executor = &bus->executors[i];
        const hl_subscription *const running = hl_executor_running(executor);
        if (running != NULL)
            list(report, HL_LEFT_HANDLER, 0, "%s on %s", running->name, executor->name);
    }
}

/* Handlers first: they are why the rest was left. Under the lock. */
static void list_left(const hl_bus *bus, hl_stop_report *report)
{
    report->left_count = 0;
    list_handlers(bus, report);
    list_lanes(bus, report);
    list_subscriptions(bus, report);
}

/* The first of them, for a sentence: "strategy on order still runs, 8 in order/critical". */
static void name_left(const hl_stop_report *report, char *text, size_t room)
{
    enum { SHOWN = 4 };
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < report->left_count && i < SHOWN && used < room; i++) {
        const hl_stop_left *const left = &report->left[i];
        const char *const comma = i == 0 ? "" : ", ";
        if (left->kind == HL_LEFT_HANDLER)
            used +=
                (size_t)snprintf(text + used, room - used, "%s%s still runs", comma, left->name);
        else
            used += (size_t)snprintf(text + used, room - used, "%s%llu %s %s", comma,
                                     (unsigned long long)left->events,
                                     left->kind == HL_LEFT_LANE ? "in" : "waiting for", left->name);
    }
    if (report->left_count > SHOWN && used < room)
        snprintf(text + used, room - used, " and %u more", report->left_count - SHOWN);
}

/* ---- the call ---- */

static hl_status begin(hl_bus *bus)
{
    hl_control *const control = bus->control;
    if (hl_turning != NULL)
        return hl_bus_fail(bus, HL_WRONG_THREAD,
                           "stop was called from a handler: it would wait for itself");
    if (control->state != HL_BUS_RUNNING && control->state != HL_BUS_STOPPING)
        return hl_bus_fail(bus, HL_WRONG_STATE, "only a running bus can be stopped");
    if (control->stop_runs)
        return hl_bus_fail(bus, HL_WRONG_STATE, "another thread is stopping the bus");
    control->stop_runs = true;
    control->state = HL_BUS_STOPPING;
    /* GATE: relaxed; the barrier makes it seen, and every attempt counted before it. */
    hl_store_relaxed_u32(bus->gate, HL_GATE_CLOSING);
    return HL_OK;
}

/* All threads have ended: settles the counts and checks them. Under the lock. */
static hl_status settle(hl_bus *bus, uint64_t begin_ns)
{
    hl_control *const control = bus->control;
    hl_stop_report *const report = &control->stop_report;
    /* GATE: relaxed, the barrier does the rest; from here on no publisher counts anything. */
    hl_store_relaxed_u32(bus->gate, HL_GATE_STOPPED);
    make_gate_seen();
    /* Nothing moves any more: what the deadline did not give the time to see may be so. */
    list_left(bus, report);
    hl_error journal_error;
    const hl_status parts = hl_parts_stop(bus, &journal_error);
    const bool waiting_left = cancel_waiting(bus);
    for (const hl_part *const *part = hl_parts; *part != NULL; part++)
        if ((*part)->stopped != NULL)
            (*part)->stopped(bus);
    report->abandoned = count_abandoned(bus);
    report->drained = report->abandoned == 0 && !waiting_left;
    report->is_final = true;
    control->state = HL_BUS_STOPPED;
    hl_bus_reap(bus);
    const hl_status sums = hl_check_conservation_locked(bus, &report->conservation);
    report->elapsed_ns = hl_monotonic_ns() - begin_ns;
    if (sums != HL_OK)
        return hl_bus_fail(bus, sums, "%s", report->conservation.text);
    report->conservation.status = HL_OK;
    if (!report->drained) {
        char names[300];
        name_left(report, names, sizeof names);
        return hl_bus_fail(bus, HL_TIMEOUT, "%llu events were left when the deadline passed: %s",
                           (unsigned long long)report->abandoned, names);
    }
    if (parts != HL_OK)
        return hl_bus_fail(bus, parts, "%s", journal_error.text);
    return HL_OK;
}

/* A handler did not end. Under the lock. */
static hl_status tell_stuck(hl_bus *bus, const hl_executor *stuck)
{
    hl_stop_report report;
    char names[300];
    list_left(bus, &report);
    name_left(&report, names, sizeof names);
    return hl_bus_fail(bus, HL_TIMEOUT,
                       "a handler on %s still runs: stop again when it has ended (%s)", stuck->name,
                       names);
}

hl_status hl_bus_stop(hl_bus *bus, uint64_t timeout_ns)
{
    const uint64_t begin_ns = hl_monotonic_ns();
    const uint64_t deadline_ns = deadline_after(timeout_ns);
    const hl_status refusal = hl_bus_refusal(bus);
    if (refusal != HL_OK)
        return refusal;
    if (hl_turning == NULL)
        hl_housekeeper_flush(bus); /* what was told before the stop is not lost by it */
    hl_bus_lock(bus);
    hl_status status = begin(bus);
    hl_bus_unlock(bus);
    if (status != HL_OK)
        return status;
    make_gate_seen();
    drain(bus, deadline_ns);
    const uint64_t now_ns = hl_monotonic_ns();
    const uint64_t left_ns = (now_ns < deadline_ns ? deadline_ns - now_ns : 0);
    const hl_executor *const stuck = hl_executors_end(bus, left_ns > GRACE_NS ? left_ns : GRACE_NS);
    if (stuck == NULL) {
        hl_housekeeper_stop(bus);
        hl_parts_halt(bus);
    }
    hl_bus_lock(bus);
    status = stuck == NULL ? settle(bus, begin_ns) : tell_stuck(bus, stuck);
    bus->control->stop_runs = false;
    hl_store_relaxed_u32(&bus->control->stop_now, 0); /* Relaxed: this stop has heeded it. */
    hl_bus_unlock(bus);
    if (stuck == NULL)
        hl_log_write(bus); /* there is no housekeeper any more */
    return status;
}

/* As if the bus stopped now. Under the lock. */
static void report_so_far(const hl_bus *bus, hl_stop_report *report)
{
    *report = (hl_stop_report){.drained = false};
    list_left(bus, report);
    for (uint32_t i = 0; i < bus->partition_count; i++)
        for (int p = 0; p < HL_PRIORITIES; p++)
            report->abandoned += left_in_lane(&bus->partitions[i], p);
    hl_error_set(&report->conservation, HL_WRONG_STATE, "not known before the bus has stopped");
}

hl_status hl_bus_stop_report(const hl_bus *bus, hl_stop_report *ret_report)
{
    const hl_status refusal = hl_bus_refusal(bus);
    if (refusal != HL_OK)
        return refusal;
    hl_bus_lock(bus);
    const hl_bus_state state = bus->control->state;
    if (state == HL_BUS_STOPPED)
        *ret_report = bus->control->stop_report;
    else if (state != HL_BUS_CREATED)
        report_so_far(bus, ret_report);
    hl_bus_unlock(bus);
    return state != HL_BUS_CREATED ? HL_OK : HL_WRONG_STATE;
}
