/*
 * bus: the whole path at full speed: claim, fill, commit; stamp the time, sequence, route, count,
 * handle. The first handler of an event sums up every byte of it; further ones only count.
 */
#include "scenario.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/allocate.h"
#include "base/error.h"
#include "perf/bus_bench.h"
#include "perf/payload.h"
#include "perf/threads.h"

#define TOPICS_MAX    10000u
#define CLAIMS_A_LOOK 64u

#define PAUSES_WHEN_FULL 64u /* between two tries, as ring.h advises */

/* How an event gets in. */
typedef enum bus_way {
    BY_CLAIM = 0, /* filled in its slot */
    BY_COPY,      /* hl_try_publish */
    BY_ADAPTER /* hl_adapter_publish, which is what a feed's callback and a function's result go by
                */
} bus_way;

typedef struct bus_case {
    const char *name;
    uint32_t run;         /* events a claim */
    uint32_t topics;      /* published to in turn */
    uint32_t subscribers; /* of each event */
    const char *pattern;  /* of all subscribers; NULL: each topic by its name */
    bus_way way;          /* not by claim: a run of 1, one topic */
} bus_case;

static const bus_case bus_cases[] = {
    {"bus_128_single", 1, 1, 1, NULL, BY_CLAIM},
    {"bus_128_run32", 32, 1, 1, NULL, BY_CLAIM},
    {"bus_128_4_subscribers", 1, 1, 4, NULL, BY_CLAIM},
    {"bus_128_16_subscribers", 1, 1, 16, NULL, BY_CLAIM},
    {"bus_128_100_topics", 1, 100, 1, "market_data.>", BY_CLAIM},
    {"bus_128_10000_topics", 1, 10000, 1, "market_data.>", BY_CLAIM},
    {"bus_128_100_topics_one_token", 1, 100, 1, "market_data.*.trade", BY_CLAIM},
    {"bus_128_10000_subscriptions", 1, 10000, 1, NULL, BY_CLAIM},
    {"bus_128_copy", 1, 1, 1, NULL, BY_COPY},
    {"bus_128_adapter", 1, 1, 1, NULL, BY_ADAPTER},
};
#define BUS_CASES (sizeof bus_cases / sizeof *bus_cases)

enum { PER_S, FULL_PERCENT, VALUES };
static const perf_metric metrics[VALUES] = {
    [PER_S] = {"", "msgs_per_s", false}, [FULL_PERCENT] = {"full", "percent", true}};

typedef struct bus_bench {
    perf_run *run;
    const bus_case *asked;
    perf_bus bus;
    hl_topic *topics;
    hl_adapter *adapter; /* NULL: the case has none */
    /* The handlers'. `handled` is read by the publisher at the end: HANDLED, relaxed, a number. */
    alignas(HL_LINE_PAIR) uint64_t handled;
    uint64_t further; /* by the second and later subscribers */
    uint64_t wrong;
    /* The publisher's. */
    alignas(HL_LINE_PAIR) uint64_t sent;
    uint64_t full_ticks;
    uint64_t elapsed_ticks;
    hl_status failed;
} bus_bench;

static hl_status check_event(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    bus_bench *const self = context;
    const void *const payload = hl_payload(event);
    self->wrong += !perf_payload_is(payload, PERF_BUS_PAYLOAD_BYTES, self->handled);
    /* Relaxed: a number; the publisher asks for it when it has sent all. */
    hl_store_relaxed_u64(&self->handled, self->handled + 1);
    return HL_OK;
}

static hl_status count_event(const hl_event *event, hl_publisher *out, void *context)
{
    (void)event;
    (void)out;
    bus_bench *const self = context;
    self->further++;
    return HL_OK;
}

#define INLINE static inline __attribute__((always_inline))

/* One event by the call that is for one. `run` is a constant where it is 1. */
INLINE hl_status try_claim(const bus_bench *self, hl_topic topic, uint32_t run, hl_claim *ret_claim)
{
    hl_publisher *const publisher = self->bus.publisher;
    return run == 1 ? hl_try_claim(publisher, topic, 0, PERF_BUS_PAYLOAD_BYTES, ret_claim)
                    : hl_try_claim_run(publisher, topic, 0, PERF_BUS_PAYLOAD_BYTES, run, ret_claim);
}

INLINE bool claim(bus_bench *self, hl_topic topic, uint32_t run, hl_claim *ret_claim)
{
    hl_status status = try_claim(self, topic, run, ret_claim);
    if (status == HL_FULL) {
        const uint64_t since = perf_timer_ticks(&self->run->timer);
        while ((status = try_claim(self, topic, run, ret_claim)) == HL_FULL)
            for (uint32_t i = 0; i < PAUSES_WHEN_FULL; i++)
                hl_pause();
        self->full_ticks += perf_timer_ticks(&self->run->timer) - since;
    }
    if (status != HL_OK)
        self->failed = status;
    return status == HL_OK;
}

/* Copied in; the next try when there is no room. False: it cannot be published. */
static bool copy_one(bus_bench *self)
{
    alignas(64) unsigned char payload[PERF_BUS_PAYLOAD_BYTES];
    uint64_t since = 0;
    perf_payload_fill(payload, sizeof payload, self->sent, 0);
    while ((self->failed = self->adapter != NULL
                               ? hl_adapter_publish(self->adapter, 0, payload, sizeof payload)
                               : hl_try_publish(self->bus.publisher, self->topics[0], 0, payload,
                                                sizeof payload)) == HL_FULL) {
        if (since == 0)
            since = perf_timer_ticks(&self->run->timer);
        for (uint32_t i = 0; i < PAUSES_WHEN_FULL; i++)
            hl_pause();
    }
    if (since != 0)
        self->full_ticks += perf_timer_ticks(&self->run->timer) - since;
    self->sent += self->failed == HL_OK;
    return self->failed == HL_OK;
}

/* CLAIMS_A_LOOK times a run, the topics in turn from *topic on. */
INLINE void publish_claims(bus_bench *self, uint32_t run, uint32_t *topic)
{
    hl_claim claimed;
    for (uint32_t i = 0; i < CLAIMS_A_LOOK && claim(self, self->topics[*topic], run, &claimed);
         i++) {
        for (uint32_t k = 0; k < run; k++)
            perf_payload_fill(run == 1 ? claimed.payload : hl_claim_event(&claimed, k) + 1,
                              PERF_BUS_PAYLOAD_BYTES, self->sent++, 0);
        hl_commit(&claimed);
        *topic = *topic + 1 == self->asked->topics ? 0 : *topic + 1;
    }
}

static void publish_copies(bus_bench *self)
{
    for (uint32_t i = 0; i < CLAIMS_A_LOOK && copy_one(self); i++)
        continue;
}

static void publish(void *context)
{
    bus_bench *const self = context;
    const perf_timer *const timer = &self->run->timer;
    const uint64_t start = perf_timer_ticks(timer);
    const uint64_t end = start + perf_timer_ticks_of(timer, self->run->options->seconds * 1e9);
    uint32_t topic = 0;
    while (perf_timer_ticks(timer) < end && self->failed == HL_OK) {
        if (self->asked->way != BY_CLAIM)
            publish_copies(self);
        else if (self->asked->run == 1)
            publish_claims(self, 1, &topic);
        else
            publish_claims(self, self->asked->run, &topic);
    }
    const uint64_t patience =
        perf_timer_ticks(timer) + perf_timer_ticks_of(timer, PERF_BUS_DRAIN_NS);
    /* Relaxed: a number. */
    while (hl_load_relaxed_u64(&self->handled) < self->sent && perf_timer_ticks(timer) < patience)
        hl_pause();
    self->elapsed_ticks = perf_timer_ticks(timer) - start;
}

static void topic_name(const bus_case *asked, uint32_t number, char *ret_name, size_t room)
{
    snprintf(ret_name, room, "market_data.i%u%s", number, asked->pattern != NULL ? ".trade" : "");
}

static hl_status declare(bus_bench *self, hl_error *error)
{
    const bus_case *const asked = self->asked;
    hl_status status = HL_OK;
    for (uint32_t t = 0; status == HL_OK && t < asked->topics; t++) {
        char name[64];
        topic_name(asked, t, name, sizeof name);
        status = perf_bus_topic(&self->bus, name, NULL, &self->topics[t], error);
        for (uint32_t s = 0; status == HL_OK && asked->pattern == NULL && s < asked->subscribers;
             s++)
            status = perf_bus_subscribe(&self->bus, name, s == 0 ? check_event : count_event, self,
                                        error);
    }
    if (status == HL_OK && asked->pattern != NULL)
        status = perf_bus_subscribe(&self->bus, asked->pattern, check_event, self, error);
    return status;
}

static hl_status open_adapter(bus_bench *self, hl_error *error)
{
    hl_adapter_options options = HL_ADAPTER_OPTIONS_INIT;
    options.topic = self->topics[0];
    if (self->asked->way != BY_ADAPTER)
        return HL_OK;
    const hl_status status = hl_adapter_open(self->bus.bus, "adapter", &options, &self->adapter);
    return status == HL_OK ? HL_OK : perf_bus_error(&self->bus, status, error);
}

static hl_status check(const bus_bench *self, hl_error *error)
{
    if (self->failed != HL_OK)
        return perf_bus_publish_error(self->failed, error);
    if (self->wrong != 0 || self->handled != self->sent ||
        self->further != self->sent * (self->asked->subscribers - 1))
        return hl_error_set(error, HL_NOT_CONSERVED,
                            "%" PRIu64 " events sent, %" PRIu64 " handled (%" PRIu64
                            " more by further subscribers), %" PRIu64 " damaged or out of order",
                            self->sent, self->handled, self->further, self->wrong);
    return HL_OK;
}

static hl_status run_bus(bus_bench *self, hl_error *error)
{
    const perf_bus_options options = {.cores = &self->run->cores, .wait = HL_WAIT_SPIN};
    const perf_thread thread = {"publisher", self->run->cores.publisher, publish, self};
    hl_status status = perf_bus_open(&options, &self->bus, error);
    if (status != HL_OK)
        return status;
    status = declare(self, error);
    if (status == HL_OK)
        status = open_adapter(self, error);
    if (status == HL_OK)
        status = perf_bus_start(&self->bus, error);
    if (status == HL_OK)
        status = perf_threads_run(&thread, 1, error);
    hl_adapter_close(self->adapter);
    status = perf_bus_close(&self->bus, status, NULL, error);
    return status == HL_OK ? check(self, error) : status;
}

typedef struct bus_context {
    perf_run *run;
    const bus_case *asked;
} bus_context;

static hl_status measure(void *context, double *ret_values, hl_error *error)
{
    const bus_context *const asked = context;
    bus_bench *const self = hl_allocate(1, sizeof *self);
    hl_topic *const topics = hl_allocate(TOPICS_MAX, sizeof *topics);
    hl_status status = HL_NO_MEMORY;
    if (self == NULL || topics == NULL) {
        hl_error_set(error, status, "no memory for a measurement");
    } else {
        self->run = asked->run;
        self->asked = asked->asked;
        self->topics = topics;
        status = run_bus(self, error);
        const double ns = perf_timer_ns(&asked->run->timer, self->elapsed_ticks);
        ret_values[PER_S] = (double)self->sent * 1e9 / ns;
        ret_values[FULL_PERCENT] = 100.0 * (double)self->full_ticks / (double)self->elapsed_ticks;
    }
    free(topics);
    free(self);
    return status;
}

hl_status perf_bus_measure_single(perf_run *run, double *ret_per_s, hl_error *error)
{
    bus_context context = {run, &bus_cases[0]};
    double values[VALUES];
    const hl_status status = measure(&context, values, error);
    if (status == HL_OK)
        *ret_per_s = values[PER_S];
    return status;
}

hl_status perf_scenario_bus(perf_run *run, hl_error *error)
{
    static const perf_task like = {
        .measure = measure, .metrics = metrics, .metric_count = VALUES, .floor = PERF_FLOOR_STREAM};
    perf_task tasks[BUS_CASES];
    bus_context contexts[BUS_CASES];
    for (size_t i = 0; i < BUS_CASES; i++) {
        contexts[i] = (bus_context){run, &bus_cases[i]};
        tasks[i] = perf_task_of(&like, bus_cases[i].name, &contexts[i]);
    }
    perf_result_note(run->result,
                     "slots of 128 bytes: a header of 64, a payload of 64; the publisher on CPU "
                     "%u, the executor on CPU %u; the floor is the plain copy of 128 bytes",
                     run->cores.publisher, run->cores.consumer);
    perf_result_note(run->result, "an event's instructions: `hotlane perf instructions`");
    return perf_run_tasks(run, tasks, BUS_CASES, error);
}
