/*
 * Stop: close the door, let pass what is on its way, end the threads, count what is left, check the
 * sums.
 */
#include <stdio.h>
#include <time.h>

#include "bus/async.h"
#include "bus/bus.h"

#define NAP_NS 200000

static uint64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * HL_SECOND + (uint64_t)now.tv_nsec;
}

/* The end of a wait that begins now; UINT64_MAX: never. */
static uint64_t deadline_after(uint64_t timeout_ns)
{
    const uint64_t now_ns = monotonic_ns();
    return timeout_ns > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + timeout_ns;
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
        if (monotonic_ns() >= deadline_ns)
            return;
    }
}

/* ---- ending the threads ---- */

/* Whether the executor's thread has ended, and is joined, in time. */
static bool join_until(hl_executor *executor, uint64_t deadline_ns)
{
    const struct timespec nap = {0, NAP_NS};
    /* ENDED: acquire, all that it did is seen. */
    while (hl_load_acquire_u32(&executor->ended) == 0) {
        if (monotonic_ns() >= deadline_ns)
            return false;
        nanosleep(&nap, NULL);
    }
    return pthread_join(executor->thread, NULL) == 0;
}

hl_executor *hl_executors_end(hl_bus *bus, uint64_t timeout_ns)
{
    hl_executor *stuck = NULL;
    const uint64_t deadline_ns = deadline_after(timeout_ns);
    for (uint32_t i = 0; i < bus->executor_count; i++) {
        /* STOP: release, what was settled before is seen by the executor. */
        hl_store_release_u32(&bus->executors[i].stop, 1);
        hl_executor_wake(&bus->executors[i]);
    }
    for (uint32_t i = 0; i < bus->executor_count; i++) {
        hl_executor *const executor = &bus->executors[i];
        if (executor->thread_started && join_until(executor, deadline_ns))
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
    hl_error journal_error;
    const hl_status parts = hl_parts_stop(bus, &journal_error);
    const bool waiting_left = cancel_waiting(bus);
    for (const hl_part *const *part = hl_parts; *part != NULL; part++)
        if ((*part)->stopped != NULL)
            (*part)->stopped(bus);
    report->abandoned = count_abandoned(bus);
    report->drained = report->abandoned == 0 && !waiting_left;
    control->state = HL_BUS_STOPPED;
    hl_bus_reap(bus);
    const hl_status sums = hl_check_conservation_locked(bus, &report->conservation);
    report->elapsed_ns = monotonic_ns() - begin_ns;
    if (sums != HL_OK)
        return hl_bus_fail(bus, sums, "%s", report->conservation.text);
    report->conservation.status = HL_OK;
    if (!report->drained)
        return hl_bus_fail(bus, HL_TIMEOUT, "%llu events were left when the deadline passed",
                           (unsigned long long)report->abandoned);
    if (parts != HL_OK)
        return hl_bus_fail(bus, parts, "%s", journal_error.text);
    return HL_OK;
}

hl_status hl_bus_stop(hl_bus *bus, uint64_t timeout_ns)
{
    const uint64_t begin_ns = monotonic_ns();
    const uint64_t deadline_ns = deadline_after(timeout_ns);
    if (hl_bus_is_detached(bus))
        return HL_CLOSED;
    if (hl_turning == NULL)
        hl_housekeeper_flush(bus); /* what was told before the stop is not lost by it */
    hl_bus_lock(bus);
    hl_status status = begin(bus);
    hl_bus_unlock(bus);
    if (status != HL_OK)
        return status;
    make_gate_seen();
    drain(bus, deadline_ns);
    const uint64_t now_ns = monotonic_ns();
    /* A handler that has just begun may end in peace: a tenth of a second more. */
    const uint64_t left_ns = (now_ns < deadline_ns ? deadline_ns - now_ns : 0);
    const hl_executor *const stuck =
        hl_executors_end(bus, left_ns > HL_SECOND / 10 ? left_ns : HL_SECOND / 10);
    if (stuck == NULL) {
        hl_housekeeper_stop(bus);
        hl_parts_halt(bus);
    }
    hl_bus_lock(bus);
    status = stuck == NULL ? settle(bus, begin_ns)
                           : hl_bus_fail(bus, HL_TIMEOUT,
                                         "a handler on %s still runs: stop again when it has ended",
                                         stuck->name);
    bus->control->stop_runs = false;
    hl_bus_unlock(bus);
    return status;
}

hl_status hl_bus_stop_report(const hl_bus *bus, hl_stop_report *ret_report)
{
    hl_bus_lock(bus);
    const bool stopped = bus->control->state == HL_BUS_STOPPED;
    if (stopped)
        *ret_report = bus->control->stop_report;
    hl_bus_unlock(bus);
    return stopped ? HL_OK : HL_WRONG_STATE;
}
