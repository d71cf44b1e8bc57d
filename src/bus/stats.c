/*
 * Reading what was counted, and checking that it adds up.
 */
#include <inttypes.h>
#include <stdio.h>

#include "bus/bus.h"
#include "bus/hold.h"
#include "bus/part.h"

/* ---- lanes ---- */

static void add_door(hl_lane_stats *sum, const hl_door_counts *counts)
{
    sum->attempts += counts->attempts;
    sum->committed += counts->committed;
    sum->rejected += counts->rejected;
    sum->throttled += counts->throttled;
    sum->aborted += counts->aborted;
}

/* What lies in the lane, as its rings have it. Only when nothing moves. */
static uint64_t unread(const hl_partition *partition, int priority)
{
    uint64_t pending = 0;
    for (const hl_inlet *inlet = partition->inlets[priority]; inlet != NULL;
         inlet = inlet->next_of_lane)
        pending += hl_inlet_pending(inlet);
    return pending;
}

/* What was abandoned still lies in the ring, and was counted there. */
static uint64_t pending_at_rest(const hl_partition *partition, int priority)
{
    const hl_lane *const lane = &partition->lanes[priority];
    return unread(partition, priority) + lane->withheld - lane->abandoned;
}

/* How often its rings were held, and whom one waits for. Under the lock. */
static void add_holds(const hl_partition *partition, int priority, hl_lane_stats *sum)
{
    for (const hl_inlet *inlet = partition->inlets[priority]; inlet != NULL;
         inlet = inlet->next_of_lane) {
        /* Relaxed both: for statistics; the lock keeps the subscription. */
        const hl_subscription *const by =
            hl_load_relaxed_ptr((void *const *)(const void *)&inlet->hold->by);
        sum->holds += hl_load_relaxed_u64(&inlet->hold->holds); /* Relaxed: as above. */
        if (by != NULL)
            snprintf(sum->held_by, sizeof sum->held_by, "%s", by->name);
    }
}

/* Adds one lane of one partition. Under the lock. */
static void add_lane(const hl_partition *partition, int priority, hl_lane_stats *sum,
                     hl_histogram *latency)
{
    const hl_lane *const lane = &partition->lanes[priority];
    const bool stopped = partition->bus->control->state == HL_BUS_STOPPED;
    /* Relaxed all: counters of one writer each. The partition's before the publishers', so that a
     * live reading shows the difference as pending. */
    const uint64_t dispatched = hl_load_relaxed_u64(&lane->dispatched);
    const uint64_t abandoned = hl_load_relaxed_u64(&lane->abandoned);
    const uint64_t conflated = hl_load_relaxed_u64(&lane->conflated);
    const uint64_t shed = hl_load_relaxed_u64(&lane->shed);
    const uint64_t running = hl_load_relaxed_u32(&lane->running);
    hl_lane_stats mine = {.dispatched = dispatched,
                          .abandoned = abandoned,
                          .conflated = conflated,
                          .shed = shed,
                          .unrouted = hl_load_relaxed_u64(&lane->unrouted)}; /* as above */
    add_door(&mine, &partition->closed_counts[priority]);
    for (const hl_outlet *o = partition->outlets[priority]; o != NULL; o = o->next) {
        const hl_door_counts counts = hl_outlet_counts(o);
        add_door(&mine, &counts);
    }
    /* An event may be dispatched while its publisher's commit is still to be counted. */
    const uint64_t gone = dispatched + conflated + shed + abandoned;
    if (mine.committed < gone && !stopped)
        mine.committed = gone;
    const uint64_t left = mine.committed - gone;
    mine.running = running < left ? running : left;
    /* At rest the rings themselves say what lies in them, so that what is missing shows. */
    mine.pending = stopped ? pending_at_rest(partition, priority) : left - mine.running;
#define ADD_FIELD(field, meaning) sum->field += mine.field;
    HL_LANE_COUNTERS(ADD_FIELD)
#undef ADD_FIELD
    add_holds(partition, priority, sum);
    if (lane->latency != NULL && latency != NULL)
        hl_histogram_merge(latency, lane->latency);
}

static void read_latency(const hl_histogram *histogram, hl_latency *ret_latency)
{
    ret_latency->count = hl_histogram_count(histogram);
    ret_latency->min = hl_histogram_min(histogram);
    ret_latency->p50 = hl_histogram_value_at_percentile(histogram, 50.0);
    ret_latency->p90 = hl_histogram_value_at_percentile(histogram, 90.0);
    ret_latency->p99 = hl_histogram_value_at_percentile(histogram, 99.0);
    ret_latency->p999 = hl_histogram_value_at_percentile(histogram, 99.9);
    ret_latency->p9999 = hl_histogram_value_at_percentile(histogram, 99.99);
    ret_latency->max = hl_histogram_max(histogram);
}

hl_status hl_bus_lane_stats(const hl_bus *bus, const char *domain, int priority,
                            hl_lane_stats *ret_stats)
{
    const hl_domain *const found =
        domain != NULL ? hl_bus_find_domain(bus, domain, strlen(domain)) : NULL;
    if (found == NULL)
        return HL_NOT_FOUND;
    if (priority < -1 || priority >= HL_PRIORITIES)
        return HL_INVALID;
    if (hl_bus_is_detached(bus))
        return HL_DETACHED;
    hl_lane_stats sum = {0};
    hl_histogram *const latency = hl_allocate(1, hl_histogram_size_bytes(2));
    if (latency == NULL)
        return HL_NO_MEMORY;
    hl_histogram_init(latency, 2);
    hl_bus_lock(bus);
    for (uint32_t shard = 0; shard < found->config.shards; shard++)
        for (int p = 0; p < HL_PRIORITIES; p++)
            if (priority == -1 || priority == p)
                add_lane(&bus->partitions[found->first_partition + shard], p, &sum, latency);
    hl_bus_unlock(bus);
    read_latency(latency, &sum.latency_ns);
    free(latency);
    *ret_stats = sum;
    return HL_OK;
}

hl_status hl_bus_ladder_stats(const hl_bus *bus, const char *domain, uint32_t shard,
                              hl_ladder_stats *ret_stats)
{
    uint32_t partition;
    const hl_status status = hl_bus_partition(bus, domain, shard, &partition);
    if (status != HL_OK)
        return status;
    *ret_stats = (hl_ladder_stats){.rung = HL_RUNG_CALM};
    if (bus->flow != NULL)
        bus->flow->ladder_stats(bus, &bus->partitions[partition], ret_stats);
    return HL_OK;
}

const char *hl_bus_domain(const hl_bus *bus, uint32_t index)
{
    return index < bus->config.domain_count ? bus->domains[index].name : NULL;
}

hl_status hl_bus_partition(const hl_bus *bus, const char *domain, uint32_t shard,
                           uint32_t *ret_partition)
{
    const hl_domain *const found =
        domain != NULL ? hl_bus_find_domain(bus, domain, strlen(domain)) : NULL;
    if (found == NULL || shard >= found->config.shards)
        return HL_NOT_FOUND;
    *ret_partition = found->first_partition + shard;
    return HL_OK;
}

uint64_t hl_bus_sequence(const hl_bus *bus, uint32_t partition)
{
    if (partition >= bus->partition_count)
        return 0;
    return hl_load_relaxed_u64(&bus->partitions[partition].sequence); /* Relaxed: a counter. */
}

uint64_t hl_bus_refused(const hl_bus *bus)
{
    return hl_load_relaxed_u64(&bus->refused); /* Relaxed: a counter. */
}

/* ---- subscriptions and threads ---- */

void hl_subscription_stats_read(const hl_subscription *subscription,
                                hl_subscription_stats *ret_stats)
{
    hl_subscription_add_up(subscription, ret_stats);
}

hl_status hl_bus_subscription_stats(hl_bus *bus, uint32_t index, hl_subscription_stats *ret_stats)
{
    hl_status status = HL_NOT_FOUND;
    if (hl_bus_is_detached(bus))
        return HL_DETACHED;
    hl_bus_lock(bus);
    const hl_control *const control = bus->control;
    const hl_subscription *subscription = control->subscriptions;
    for (; subscription != NULL && index > 0; subscription = subscription->next)
        index--;
    if (subscription != NULL) {
        hl_subscription_add_up(subscription, ret_stats);
        status = HL_OK;
    } else if (index < control->closed_row_count) {
        *ret_stats = control->closed_rows[index];
        status = HL_OK;
    }
    hl_bus_unlock(bus);
    return status;
}

static const char *const wait_names[] = {"auto", "spin", "backoff", "park"};
static const char *const state_names[] = {"stopped", "idle", "busy", "asleep"};

static void read_executor(const hl_executor *executor, hl_thread_status *ret_status)
{
    *ret_status = (hl_thread_status){.cpu = executor->cpu, .partitions = executor->partition_count};
    snprintf(ret_status->name, sizeof ret_status->name, "%s", executor->name);
    snprintf(ret_status->role, sizeof ret_status->role, "%s",
             executor->worker != NULL ? "worker" : "executor");
    snprintf(ret_status->wait, sizeof ret_status->wait, "%s", wait_names[executor->wait]);
    /* Relaxed all: for statistics. */
    snprintf(ret_status->state, sizeof ret_status->state, "%s",
             state_names[hl_load_relaxed_u32(&executor->state)]);
    ret_status->running_cpu = (int)hl_load_relaxed_u32(&executor->running_cpu);
    ret_status->turns = hl_load_relaxed_u64(&executor->turns);
    ret_status->events = hl_load_relaxed_u64(&executor->events);
    ret_status->parks = hl_load_relaxed_u64(&executor->parks);
}

static void read_housekeeper(const hl_bus *bus, hl_thread_status *ret_status)
{
    hl_bus_lock(bus);
    const hl_control *const control = bus->control;
    *ret_status = (hl_thread_status){.cpu = bus->plan->housekeeping_cpu,
                                     .running_cpu = control->housekeeper_cpu,
                                     .turns = control->housekeeper_ticks};
    snprintf(ret_status->name, sizeof ret_status->name, "housekeeping");
    snprintf(ret_status->role, sizeof ret_status->role, "housekeeper");
    snprintf(ret_status->wait, sizeof ret_status->wait, "park");
    snprintf(ret_status->state, sizeof ret_status->state, "%s",
             control->housekeeper_started ? "asleep" : "stopped");
    hl_bus_unlock(bus);
}

/* The threads of the parts, one part's behind another's. */
static hl_status read_of_parts(const hl_bus *bus, uint32_t index, hl_thread_status *ret_status)
{
    for (const hl_part *const *part = hl_parts; *part != NULL; part++)
        for (uint32_t i = 0;
             (*part)->thread_status != NULL && (*part)->thread_status(bus, i, ret_status) == HL_OK;
             i++)
            if (index-- == 0)
                return HL_OK;
    return HL_NOT_FOUND;
}

hl_status hl_bus_thread_status(const hl_bus *bus, uint32_t index, hl_thread_status *ret_status)
{
    if (hl_bus_is_detached(bus))
        return HL_DETACHED;
    if (index < bus->executor_count)
        read_executor(&bus->executors[index], ret_status);
    else if (bus->plan == NULL)
        return HL_NOT_FOUND;
    else if (index == bus->executor_count)
        read_housekeeper(bus, ret_status);
    else
        return read_of_parts(bus, index - bus->executor_count - 1, ret_status);
    return HL_OK;
}

hl_status hl_bus_pool_stats(const hl_bus *bus, hl_pool_stats *ret_stats)
{
    if (hl_bus_is_detached(bus))
        return HL_DETACHED;
    const hl_pool *const pool = bus->pools[HL_POOL_WORKERS];
    if (pool == NULL)
        return HL_NOT_FOUND;
    *ret_stats = (hl_pool_stats){.workers = hl_pool_active(pool),
                                 .min_workers = bus->config.min_workers,
                                 .max_workers = bus->config.max_workers,
                                 .backlog = hl_pool_backlog(pool),
                                 .finished = hl_pool_finished(pool),
                                 .grown = hl_load_relaxed_u64(&pool->grown),    /* Relaxed: a */
                                 .shrunk = hl_load_relaxed_u64(&pool->shrunk)}; /* counter. */
    return HL_OK;
}

void hl_bus_print_plan(const hl_bus *bus, FILE *stream)
{
    if (bus->plan != NULL)
        hl_plan_print(bus->plan, stream);
    else
        fprintf(stream, "no threads: the application turns %u executors\n", bus->executor_count);
    if (hl_bus_is_detached(bus))
        return;
    hl_bus_lock(bus);
    if (bus->control->memory_note[0] != '\0')
        fprintf(stream, "memory: %s\n", bus->control->memory_note);
    hl_bus_unlock(bus);
}

hl_status hl_bus_publisher_cpu(const hl_bus *bus, const char *name, uint32_t *ret_cpu)
{
    for (uint32_t i = 0; bus->plan != NULL && i < bus->config.publisher_count; i++) {
        if (strcmp(bus->config.publishers[i], name) != 0)
            continue;
        *ret_cpu = (uint32_t)bus->plan->threads[bus->partition_count + i].cpu;
        return HL_OK;
    }
    return HL_NOT_FOUND;
}

/* ---- conservation ---- */

static hl_status check_lane(const hl_partition *partition, int priority, hl_error *error)
{
    hl_lane_stats sum = {0};
    add_lane(partition, priority, &sum, NULL);
    const uint64_t outcomes = sum.committed + sum.rejected + sum.throttled + sum.aborted;
    const char *const name = partition->out->name;
    if (sum.attempts != outcomes)
        return hl_error_set(error, HL_NOT_CONSERVED,
                            "lane %s/%d at the door: attempts %" PRIu64 " != committed %" PRIu64
                            " + rejected %" PRIu64 " + throttled %" PRIu64 " + aborted %" PRIu64,
                            name, priority, sum.attempts, sum.committed, sum.rejected,
                            sum.throttled, sum.aborted);
    const uint64_t pending = pending_at_rest(partition, priority);
    if (sum.committed != sum.dispatched + sum.conflated + sum.shed + sum.abandoned + pending)
        return hl_error_set(error, HL_NOT_CONSERVED,
                            "lane %s/%d: committed %" PRIu64 " != dispatched %" PRIu64
                            " + conflated %" PRIu64 " + shed %" PRIu64 " + abandoned %" PRIu64
                            " + pending %" PRIu64,
                            name, priority, sum.committed, sum.dispatched, sum.conflated, sum.shed,
                            sum.abandoned, pending);
    return HL_OK;
}

static hl_status check_partition(const hl_partition *partition, hl_error *error)
{
    uint64_t dispatched = 0;
    for (int p = 0; p < HL_PRIORITIES; p++) {
        const hl_status status = check_lane(partition, p, error);
        if (status != HL_OK)
            return status;
        dispatched += partition->lanes[p].dispatched;
    }
    const uint64_t sequenced = partition->sequence - partition->sequence_base;
    if (dispatched + partition->in_flight != sequenced)
        return hl_error_set(error, HL_NOT_CONSERVED,
                            "partition %s: dispatched %" PRIu64 " + in flight to the disk %" PRIu64
                            " != sequenced %" PRIu64,
                            partition->out->name, dispatched, partition->in_flight, sequenced);
    return HL_OK;
}

static hl_status check_subscription(const hl_subscription_stats *s, hl_error *error)
{
    const uint64_t outcomes = s->handled + s->filtered + s->conflated + s->dead_lettered +
                              s->skipped + s->lost + s->cancelled + s->queued + s->in_retry +
                              s->held;
    if (s->delivered == outcomes)
        return HL_OK;
    return hl_error_set(
        error, HL_NOT_CONSERVED,
        "subscription %s: delivered %" PRIu64 " != handled %" PRIu64 " + filtered %" PRIu64
        " + conflated %" PRIu64 " + dead_lettered %" PRIu64 " + skipped %" PRIu64 " + lost %" PRIu64
        " + cancelled %" PRIu64 " + queued %" PRIu64 " + in_retry %" PRIu64 " + held %" PRIu64,
        s->name, s->delivered, s->handled, s->filtered, s->conflated, s->dead_lettered, s->skipped,
        s->lost, s->cancelled, s->queued, s->in_retry, s->held);
}

hl_status hl_check_conservation_locked(hl_bus *bus, hl_error *error)
{
    for (uint32_t i = 0; i < bus->partition_count; i++) {
        const hl_status status = check_partition(&bus->partitions[i], error);
        if (status != HL_OK)
            return status;
    }
    for (const hl_subscription *s = bus->control->subscriptions; s != NULL; s = s->next) {
        hl_subscription_stats stats;
        hl_subscription_add_up(s, &stats);
        const hl_status status = check_subscription(&stats, error);
        if (status != HL_OK)
            return status;
    }
    for (uint32_t i = 0; i < bus->control->closed_row_count; i++) {
        const hl_status status = check_subscription(&bus->control->closed_rows[i], error);
        if (status != HL_OK)
            return status;
    }
    return HL_OK;
}

hl_status hl_bus_check_conservation(hl_bus *bus, hl_error *error)
{
    if (hl_bus_is_detached(bus))
        return hl_error_set(error, HL_DETACHED, "conservation: this is a fork's child");
    hl_bus_lock(bus);
    const hl_status status = hl_check_conservation_locked(bus, error);
    hl_bus_unlock(bus);
    return status;
}
