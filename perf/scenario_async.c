/*
 * async: events handed over from a partition to a worker, with all of the bus before it: claim,
 * fill, commit; sequence, route, copy into a queue; take, handle, count. One thread publishes and
 * turns the partition, another turns the worker; the handler sums up every byte and checks the
 * order of each key.
 */
#include "scenario.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/allocate.h"
#include "base/error.h"
#include "perf/bus_bench.h"
#include "perf/payload.h"
#include "perf/threads.h"

#define KEYS              64u
#define RUN               32u /* events a claim */
#define QUEUE_EVENTS      4096u
#define CLAIMS_A_LOOK     16u
#define PAUSES_WHEN_EMPTY 64u

typedef struct async_case {
    const char *name;
    hl_async_order order;
    hl_contract contract;
} async_case;

static const async_case async_cases[] = {
    {"async_by_key", HL_ASYNC_BY_KEY, HL_CONTRACT_LOSSLESS},
    {"async_ordered", HL_ASYNC_ORDERED, HL_CONTRACT_LOSSLESS},
    {"async_unordered", HL_ASYNC_UNORDERED, HL_CONTRACT_LOSSLESS},
    {"async_lossy", HL_ASYNC_BY_KEY, HL_CONTRACT_LOSSY},
};
#define ASYNC_CASES (sizeof async_cases / sizeof *async_cases)

enum { PER_S, LOST_PERCENT, VALUES };
static const perf_metric metrics[VALUES] = {
    [PER_S] = {"", "msgs_per_s", false}, [LOST_PERCENT] = {"lost", "percent", true}};

typedef struct async_bench {
    perf_run *run;
    const async_case *asked;
    perf_bus bus;
    hl_topic topic;
    hl_subscription *subscription;
    /* The worker's. */
    alignas(HL_LINE_PAIR) uint64_t handled;
    uint64_t last[KEYS];
    uint64_t wrong;
    /* The publisher's. */
    alignas(HL_LINE_PAIR) uint64_t sent;
    uint64_t elapsed_ticks;
    hl_status failed;
    /* The publisher -> the worker's thread: relaxed, it carries no data. */
    alignas(HL_LINE_PAIR) uint32_t done;
} async_bench;

static hl_status check_event(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    async_bench *const self = context;
    if ((event->flags & HL_EVENT_LOST) != 0)
        return HL_OK;
    const void *const payload = hl_payload(event);
    const uint64_t number = perf_payload_number(payload) + 1;
    if (!perf_payload_whole(payload, PERF_BUS_PAYLOAD_BYTES) || number <= self->last[event->key])
        self->wrong++;
    self->last[event->key] = number;
    self->handled++;
    return HL_OK;
}

/* A claim's events are all of one key. */
static bool publish_run(async_bench *self, hl_executor *partition)
{
    hl_claim claim;
    const uint64_t key = self->sent / RUN % KEYS;
    while ((self->failed = hl_try_claim_run(self->bus.publisher, self->topic, key,
                                            PERF_BUS_PAYLOAD_BYTES, RUN, &claim)) == HL_FULL)
        hl_executor_turn(partition, 0);
    if (self->failed != HL_OK)
        return false;
    for (uint32_t i = 0; i < RUN; i++)
        perf_payload_fill(hl_claim_event(&claim, i) + 1, PERF_BUS_PAYLOAD_BYTES, self->sent++, 0);
    hl_commit(&claim);
    return true;
}

static bool is_behind(const async_bench *self)
{
    hl_subscription_stats stats;
    hl_subscription_stats_read(self->subscription, &stats);
    return stats.handled + stats.lost < self->sent;
}

static void publish(void *context)
{
    async_bench *const self = context;
    const perf_timer *const timer = &self->run->timer;
    hl_executor *const partition = hl_bus_executor(self->bus.bus, 0);
    const uint64_t start = perf_timer_ticks(timer);
    const uint64_t end = start + perf_timer_ticks_of(timer, self->run->options->seconds * 1e9);
    while (perf_timer_ticks(timer) < end && self->failed == HL_OK)
        for (uint32_t i = 0; i < CLAIMS_A_LOOK && publish_run(self, partition); i++)
            hl_executor_turn(partition, 0);
    const uint64_t patience = perf_timer_after(timer, PERF_BUS_DRAIN_NS);
    while (is_behind(self) && perf_timer_ticks(timer) < patience)
        hl_executor_turn(partition, 0);
    self->elapsed_ticks = perf_timer_ticks(timer) - start;
    hl_store_relaxed_u32(&self->done, 1); /* Relaxed, as said above. */
}

static void work(void *context)
{
    async_bench *const self = context;
    hl_executor *const worker = hl_bus_executor(self->bus.bus, 1);
    while (hl_load_relaxed_u32(&self->done) == 0) /* Relaxed, as said above. */
        /* A worker that has caught up and asks at once again takes the lines away from the
         * partition that fills them. */
        if (hl_executor_turn(worker, 0) == 0)
            for (uint32_t i = 0; i < PAUSES_WHEN_EMPTY; i++)
                hl_pause();
}

static hl_status subscribe(async_bench *self, hl_error *error)
{
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.async = self->asked->order;
    options.contract = self->asked->contract;
    options.queue_events = QUEUE_EVENTS;
    hl_status status = perf_bus_topic(&self->bus, "market_data.trade", NULL, &self->topic, error);
    if (status != HL_OK)
        return status;
    status = hl_subscribe(self->bus.bus, "market_data.trade", check_event, self, &options,
                          &self->subscription);
    return status == HL_OK ? HL_OK : perf_bus_error(&self->bus, status, error);
}

static hl_status run_bus(async_bench *self, uint64_t *ret_lost, hl_error *error)
{
    const perf_cores *const cores = &self->run->cores;
    const perf_bus_options options = {
        .cores = cores, .wait = HL_WAIT_SPIN, .manual = true, .workers = 1};
    const perf_thread threads[] = {{"publisher", cores->publisher, publish, self},
                                   {"worker", cores->consumer, work, self}};
    hl_subscription_stats stats = {0};
    hl_status status = perf_bus_open(&options, &self->bus, error);
    if (status != HL_OK)
        return status;
    status = subscribe(self, error);
    if (status == HL_OK)
        status = perf_bus_start(&self->bus, error);
    if (status == HL_OK)
        status = perf_threads_run(threads, 2, error);
    if (status == HL_OK)
        hl_subscription_stats_read(self->subscription, &stats);
    status = perf_bus_close(&self->bus, status, NULL, error);
    *ret_lost = stats.lost;
    if (status == HL_OK && self->failed != HL_OK)
        return perf_bus_publish_error(self->failed, error);
    if (status == HL_OK && (self->wrong != 0 || self->handled + stats.lost != self->sent))
        return hl_error_set(error, HL_NOT_CONSERVED,
                            "%" PRIu64 " events sent, %" PRIu64 " handled, %" PRIu64
                            " lost, %" PRIu64 " damaged or out of order",
                            self->sent, self->handled, stats.lost, self->wrong);
    return status;
}

typedef struct async_context {
    perf_run *run;
    const async_case *asked;
} async_context;

static hl_status measure(void *context, double *ret_values, hl_error *error)
{
    const async_context *const asked = context;
    async_bench *const self = hl_allocate(1, sizeof *self);
    uint64_t lost = 0;
    if (self == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory for a measurement");
    self->run = asked->run;
    self->asked = asked->asked;
    const hl_status status = run_bus(self, &lost, error);
    const double ns = perf_timer_ns(&asked->run->timer, self->elapsed_ticks);
    ret_values[PER_S] = (double)self->handled * 1e9 / ns;
    ret_values[LOST_PERCENT] = 100.0 * (double)lost / (double)(self->sent + 1);
    free(self);
    return status;
}

hl_status perf_scenario_async(perf_run *run, hl_error *error)
{
    static const perf_task like = {
        .measure = measure, .metrics = metrics, .metric_count = VALUES, .floor = PERF_FLOOR_STREAM};
    perf_task tasks[ASYNC_CASES];
    async_context contexts[ASYNC_CASES];
    for (size_t i = 0; i < ASYNC_CASES; i++) {
        contexts[i] = (async_context){run, &async_cases[i]};
        tasks[i] = perf_task_of(&like, async_cases[i].name, &contexts[i]);
    }
    perf_result_note(
        run->result,
        "slots of 128 bytes, claims of 32, 64 keys; publisher and partition on CPU %u, "
        "the worker on CPU %u; events handled a second, each with its order checked; "
        "the floor is the plain copy of 128 bytes",
        run->cores.publisher, run->cores.consumer);
    return perf_run_tasks(run, tasks, ASYNC_CASES, error);
}
