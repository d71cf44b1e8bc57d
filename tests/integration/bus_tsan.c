/*
 * Everything that may be done to a bus at the same time, at the same time: publish (exclusive and
 * shared), open and close, subscribe and unsubscribe, from outside and from handlers, declare, read
 * statistics and last values, and stop; without a journal, then with one. Built with
 * ThreadSanitizer, which finds the missing edge.
 *
 *     bus_tsan [SEED]
 */
#include "../stress/stress.h"
#include "tests/temporary_directory.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hotlane/hotlane.h>

#define ROUNDS 3u
#define STEPS  (STRESS_SHARE == 1 ? 30000u : 10000u) /* of each thread in each round */
#define TOPICS 5u
#define TOP    4u /* the one whose lane conflates */

typedef struct scene {
    hl_bus *bus;
    hl_topic topics[TOPICS];
    hl_shared_publisher *shared;
    uint64_t seed;
} scene;

typedef struct actor {
    scene *of;
    uint64_t random;
} actor;

/* What each topic's own handler sees; plain memory: one partition, one thread at a time. */
typedef struct watcher {
    uint64_t last_sequence;
    uint64_t count;
} watcher;

static bool is_fair(hl_status status)
{
    return status == HL_OK || status == HL_FULL || status == HL_CLOSED || status == HL_TIMEOUT ||
           status == HL_NO_LANE || status == HL_BUSY || status == HL_THROTTLED;
}

static hl_status watch(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    watcher *const self = context;
    STRESS_CHECK(event->sequence > self->last_sequence, "sequence %" PRIu64 " after %" PRIu64,
                 event->sequence, self->last_sequence);
    self->last_sequence = event->sequence;
    self->count++;
    return HL_OK;
}

static hl_status pass_on(const hl_event *event, hl_publisher *out, void *context)
{
    const scene *const of = context;
    const uint64_t value = *(const uint64_t *)hl_payload(event);
    if (value % 4 == 0)
        hl_try_publish(out, of->topics[value / 4 % TOPICS], event->key, &(uint64_t){1}, 8);
    return value % 7 == 0 ? HL_FAILED : HL_OK;
}

/* ---- publishers ---- */

static void *publish_exclusively(void *context)
{
    actor *const self = context;
    scene *const of = self->of;
    hl_publisher *publisher = NULL;
    char name[24];
    snprintf(name, sizeof name, "e%p", (void *)self);
    for (uint64_t step = 0; step < STEPS; step++) {
        if (publisher == NULL && hl_publisher_open(of->bus, name, NULL, &publisher) != HL_OK)
            break;
        const uint32_t to = (uint32_t)stress_below(&self->random, TOPICS);
        const uint32_t count = to == TOP ? 1 : 1 + (uint32_t)stress_below(&self->random, 3);
        hl_claim claim;
        const hl_status status =
            hl_try_claim_run(publisher, of->topics[to], step % 8, 8, count, &claim);
        STRESS_CHECK(is_fair(status), "%s", hl_status_name(status));
        if (status == HL_OK) {
            for (uint32_t i = 0; i < claim.count; i++)
                *(uint64_t *)(void *)(hl_claim_event(&claim, i) + 1) = step;
            if (stress_below(&self->random, 8) == 0)
                hl_abort(&claim);
            else
                hl_commit(&claim);
        } else {
            sched_yield();
        }
        if (stress_below(&self->random, 500) == 0) {
            hl_publisher_close(publisher);
            publisher = NULL;
        }
    }
    if (publisher != NULL)
        hl_publisher_close(publisher);
    return NULL;
}

static void *publish_together(void *context)
{
    actor *const self = context;
    scene *const of = self->of;
    for (uint64_t step = 0; step < STEPS; step++) {
        const hl_topic topic = of->topics[stress_below(&self->random, TOPICS)];
        const hl_status status =
            stress_below(&self->random, 4) == 0
                ? hl_shared_publish(of->shared, topic, step % 8, &step, sizeof step)
                : hl_shared_try_publish(of->shared, topic, step % 8, &step, sizeof step);
        STRESS_CHECK(is_fair(status), "%s", hl_status_name(status));
        if (status != HL_OK)
            sched_yield();
    }
    return NULL;
}

/* ---- subscribers ---- */

typedef struct guest {
    uint64_t calls; /* plain: read and freed right after hl_unsubscribe */
    hl_subscription *subscription;
    uint32_t armed, closed;
} guest;

static hl_status visit(const hl_event *event, hl_publisher *out, void *context)
{
    guest *const self = context;
    (void)out;
    self->calls += event->key;
    return HL_OK;
}

/* One in seven is failed on, and what is before it was taken. */
static hl_status visit_together(const hl_batch *batch, hl_publisher *out, void *context)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        if (batch->events[i]->sequence % 7 == 0 && batch->events[i]->attempt == 0)
            return HL_RETRY;
        visit(batch->events[i], out, context);
        hl_batch_taken(out, i + 1);
    }
    return HL_OK;
}

/* For several workers at once. */
static hl_status visit_beside_others(const hl_event *event, hl_publisher *out, void *context)
{
    guest *const self = context;
    (void)event;
    if (hl_current_id(out) % 16 == 0)
        return HL_FAILED;
    hl_fetch_add_relaxed_u64(&self->calls, 1); /* Relaxed: a counter. */
    return HL_OK;
}

/* Opens soon, asks again soon, and keeps what comes meanwhile. */
static const hl_breaker_options wary = {sizeof(hl_breaker_options),
                                        4,
                                        8,
                                        0,
                                        100,
                                        HL_SECOND,
                                        100 * HL_MICROSECOND,
                                        1,
                                        HL_BREAKER_HOLD,
                                        16,
                                        false};

/* Some are served by workers; one that is ordered whole counts in plain memory. The handler. */
static hl_handler serve_elsewhere(actor *self, uint32_t kind, hl_subscription_options *options)
{
    options->async = (hl_async_order)(HL_ASYNC_UNORDERED + stress_below(&self->random, 3));
    options->contract = (hl_contract)stress_below(&self->random, 4);
    /* An image needs room for each key. */
    options->queue_events = (kind == 2 ? 8u : 4u) << stress_below(&self->random, 4);
    options->eject_behind = kind == 2 ? 8 : 3;
    options->tap = options->contract == HL_CONTRACT_LOSSY && stress_below(&self->random, 3) == 0;
    if (options->contract == HL_CONTRACT_LATEST) {
        options->async = HL_ASYNC_ORDERED;
        if (kind != 2) /* only of state topics */
            options->contract = HL_CONTRACT_LOSSLESS;
    }
    options->breaker = stress_below(&self->random, 2) == 0 ? &wary : NULL;
    if (kind == 3) { /* in batches, which must have room; counted in plain memory */
        options->async = HL_ASYNC_ORDERED;
        options->contract = HL_CONTRACT_LOSSLESS;
        options->tap = false;
        options->queue_events = 8;
        return NULL;
    }
    return options->async == HL_ASYNC_ORDERED ? visit : visit_beside_others;
}

static bool is_even(const hl_event *event, void *context)
{
    (void)context;
    return event->key % 2 == 0;
}

static void *come_and_go(void *context)
{
    actor *const self = context;
    scene *const of = self->of;
    static const char *const patterns[] = {"a.*", "b.delta", "a.state", "b.>"};
    for (uint32_t step = 0; step < STEPS / 10; step++) {
        guest *const visitor = calloc(1, sizeof *visitor);
        const uint32_t kind = stress_below(&self->random, 4);
        hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
        hl_subscription *subscription;
        options.concurrent = true;
        options.predicate = stress_below(&self->random, 2) == 0 ? is_even : NULL;
        options.batch = kind == 3 ? visit_together : NULL;
        options.batch_events = 5;
        options.batch_wait_ns = stress_below(&self->random, 2) * HL_MILLISECOND;
        options.initial_image = kind == 2;
        hl_handler handler = kind == 3 ? NULL : visit;
        if (stress_below(&self->random, 2) == 0)
            handler = serve_elsewhere(self, kind, &options);
        const hl_status status =
            hl_subscribe(of->bus, patterns[kind], handler, visitor, &options, &subscription);
        if (status == HL_OK) {
            hl_error error = {.text = ""};
            if (stress_below(&self->random, 2) == 0)
                sched_yield();
            if (options.contract == HL_CONTRACT_EJECT)
                hl_subscription_reattach(subscription);
            const hl_status ended = hl_unsubscribe(subscription, 60 * HL_SECOND, &error);
            STRESS_CHECK(ended == HL_OK, "%s", error.text);
        } else {
            STRESS_CHECK(status == HL_CLOSED, "%s", hl_status_name(status));
        }
        memset(visitor, 0xdd, sizeof *visitor);
        free(visitor);
    }
    return NULL;
}

static void free_guest(void *context)
{
    guest *const self = context;
    STRESS_CHECK(self->closed == 0, "closed twice");
    memset(self, 0xdd, sizeof *self);
    free(self);
}

static hl_status leave(const hl_event *event, hl_publisher *out, void *context)
{
    guest *const self = context;
    (void)event;
    (void)out;
    /* ARMED: acquire, the handle is there. */
    if (hl_load_acquire_u32(&self->armed) == 1) {
        hl_store_relaxed_u32(&self->armed, 2); /* Relaxed: this handler's own from here on. */
        hl_unsubscribe(self->subscription, 0, NULL);
    }
    return HL_OK;
}

static void *send_guests_that_leave_by_themselves(void *context)
{
    actor *const self = context;
    scene *const of = self->of;
    for (uint32_t step = 0; step < STEPS / 50; step++) {
        guest *const visitor = calloc(1, sizeof *visitor);
        hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
        options.on_closed = free_guest;
        if (hl_subscribe(of->bus, "a.delta", leave, visitor, &options, &visitor->subscription) !=
            HL_OK) {
            free(visitor);
            break;
        }
        /* ARMED: release, the handle before it. */
        hl_store_release_u32(&visitor->armed, 1);
        for (uint32_t i = 0; i < 20; i++)
            sched_yield();
    }
    return NULL;
}

/* ---- who looks on ---- */

static void *look_on(void *context)
{
    actor *const self = context;
    scene *const of = self->of;
    struct {
        hl_event event;
        uint64_t payload[8];
    } last;
    for (uint32_t step = 0; step < STEPS / 20; step++) {
        hl_lane_stats lane;
        hl_subscription_stats row;
        hl_thread_status thread;
        hl_error error;
        hl_bus_lane_stats(of->bus, step % 2 == 0 ? "a" : "b", -1, &lane);
        /* Not `committed`: a commit is counted when the event may have passed already. */
        STRESS_CHECK(lane.dispatched <= lane.attempts, "%" PRIu64 " of %" PRIu64, lane.dispatched,
                     lane.attempts);
        for (uint32_t i = 0; hl_bus_subscription_stats(of->bus, i, &row) == HL_OK; i++)
            STRESS_CHECK(row.handled <= row.delivered, "%s", row.name);
        for (uint32_t i = 0; hl_bus_thread_status(of->bus, i, &thread) == HL_OK; i++)
            STRESS_CHECK(*thread.name != '\0', "thread %u", i);
        hl_last(of->bus, of->topics[1], step % 8, &last.event, sizeof last);
        hl_bus_error(of->bus, &error);
        hl_bus_sequence(of->bus, 0);
        hl_topic_keys_refused(of->bus, of->topics[1]);
        char name[24];
        hl_topic topic;
        snprintf(name, sizeof name, "a.late.%u", step % 32);
        const hl_status status = hl_topic_declare(of->bus, name, NULL, &topic);
        STRESS_CHECK(status == HL_OK || status == HL_CLOSED, "%s", hl_status_name(status));
        if (status == HL_OK)
            STRESS_CHECK(strcmp(hl_topic_name(of->bus, topic), name) == 0, "%s", name);
        sched_yield();
    }
    return NULL;
}

/* ---- a round ---- */

/* `directory`: both domains are journaled, one of them with sync; NULL: none is. */
static void make_bus(scene *of, hl_wait wait, const char *directory)
{
    hl_domain_config domains[2] = {{.name = "a",
                                    .priority = HL_NORMAL,
                                    .shards = 1,
                                    .slot_size_bytes = 128,
                                    .ring_slots = 64,
                                    .handler_ring_slots = 16,
                                    .publishes_to = "*",
                                    .wait = wait,
                                    .conflates = "low",
                                    .conflate_keys = 8}};
    domains[1] = domains[0];
    domains[1].name = "b";
    domains[1].priority = HL_HIGH;
    domains[1].full_policy = HL_FULL_BLOCK;
    domains[1].block_timeout_ns = HL_MILLISECOND;
    domains[1].conflates = NULL;
    if (directory != NULL) {
        domains[0].durability = HL_DURABILITY_ASYNC;
        domains[1].durability = HL_DURABILITY_SYNC;
        domains[0].journal_slots = domains[1].journal_slots = 256;
    }
    static const char *const names[TOPICS] = {"a.delta", "a.state", "b.delta", "b.other", "a.top"};
    hl_config config = HL_CONFIG_INIT;
    hl_error error;
    config.domains = domains;
    config.domain_count = 2;
    config.max_topics = 64;
    config.max_workers = 3;
    config.worker_grow_backlog = 8;
    config.worker_shrink_backlog = 4;
    config.worker_grow_below_per_s = config.worker_pause_ns = 0;
    config.worker_shrink_after_ns = 10 * HL_MILLISECOND;
    config.max_keys_per_state_topic = 6;
    config.huge_pages = config.lock_memory = false;
    config.journal_dir = directory;
    config.journal_segment_bytes = 1 << 20;
    config.ring_start_position = UINT64_MAX - 500;
    STRESS_CHECK(hl_bus_create(&config, &of->bus, &error) == HL_OK, "%s", error.text);
    for (uint32_t i = 0; i < TOPICS; i++) {
        hl_topic_options options = HL_TOPIC_OPTIONS_INIT;
        options.kind = i == 1 || i == TOP ? HL_STATE : HL_DELTA;
        options.priority = i == TOP ? HL_LOW : -1;
        STRESS_CHECK(hl_topic_declare(of->bus, names[i], &options, &of->topics[i]) == HL_OK, "%s",
                     names[i]);
    }
    STRESS_CHECK(hl_shared_publisher_open(of->bus, "shared", NULL, &of->shared) == HL_OK, "shared");
    STRESS_CHECK(hl_bus_start(of->bus) == HL_OK, "start");
}

static void run_round(uint64_t seed, uint32_t round)
{
    static const hl_wait waits[] = {HL_WAIT_PARK, HL_WAIT_BACKOFF, HL_WAIT_SPIN};
    const hl_wait wait = waits[round % 3];
    const bool is_journaled = round >= ROUNDS;
    char directory[TEMPORARY_DIRECTORY_SIZE];
    if (is_journaled)
        temporary_directory_make(NULL, "bus-stress", directory);
    static void *(*const bodies[])(void *) = {publish_exclusively,
                                              publish_exclusively,
                                              publish_together,
                                              publish_together,
                                              come_and_go,
                                              come_and_go,
                                              look_on,
                                              send_guests_that_leave_by_themselves};
    enum { ACTORS = sizeof bodies / sizeof *bodies };
    scene of = {.seed = seed};
    actor actors[ACTORS];
    pthread_t threads[ACTORS];
    watcher watchers[3] = {{0}};
    hl_subscription *subscription;
    make_bus(&of, wait, is_journaled ? directory : NULL);
    hl_subscribe(of.bus, "a.>", watch, &watchers[0], NULL, &subscription);
    hl_subscribe(of.bus, "b.>", watch, &watchers[1], NULL, &subscription);
    hl_subscribe(of.bus, "a.delta", pass_on, &of, NULL, &subscription);
    hl_subscribe(of.bus, "b.delta", pass_on, &of, NULL, &subscription);
    hl_subscription_options by_workers = HL_SUBSCRIPTION_OPTIONS_INIT;
    hl_retry_options soon = HL_RETRY_OPTIONS_INIT;
    soon.base_ns = 50 * HL_MICROSECOND;
    by_workers.retry = &soon;
    by_workers.breaker = &wary;
    by_workers.queue_events = 16;
    by_workers.async = HL_ASYNC_UNORDERED;
    hl_subscribe(of.bus, "b.delta", pass_on, &of, &by_workers, &subscription);
    by_workers.async = HL_ASYNC_BY_KEY;
    hl_subscribe(of.bus, "a.delta", pass_on, &of, &by_workers, &subscription);
    by_workers.breaker = NULL;
    by_workers.async = HL_ASYNC_ORDERED;
    hl_subscribe(of.bus, "b.>", watch, &watchers[2], &by_workers, &subscription);
    for (uint32_t i = 0; i < ACTORS; i++) {
        actors[i] = (actor){&of, seed + i};
        STRESS_CHECK(pthread_create(&threads[i], NULL, bodies[i], &actors[i]) == 0, "thread");
    }
    /* In every other round the stop comes in the middle of it all. */
    hl_status status = HL_OK;
    if (seed % 2 == 0) {
        /* What is refused at the door may keep it from getting so far: then it is the end. */
        for (int i = 0; i < 2000 && hl_bus_sequence(of.bus, 0) < STEPS / 4; i++)
            usleep(1000);
        status = hl_bus_stop(of.bus, 60 * HL_SECOND);
    }
    for (uint32_t i = 0; i < ACTORS; i++)
        pthread_join(threads[i], NULL);
    if (seed % 2 != 0)
        status = hl_bus_stop(of.bus, 60 * HL_SECOND);
    hl_error error = {.text = ""};
    hl_bus_error(of.bus, &error);
    STRESS_CHECK(status == HL_OK, "%s: %s", hl_status_name(status), error.text);
    STRESS_CHECK(hl_bus_check_conservation(of.bus, &error) == HL_OK, "%s", error.text);
    STRESS_CHECK(watchers[0].count == hl_bus_sequence(of.bus, 0), "%" PRIu64 " seen",
                 watchers[0].count);
    STRESS_CHECK(watchers[1].count == hl_bus_sequence(of.bus, 1), "%" PRIu64 " seen",
                 watchers[1].count);
    printf("wait %d: %" PRIu64 " and %" PRIu64 " events\n", (int)wait, watchers[0].count,
           watchers[1].count);
    hl_bus_destroy(of.bus);
    if (is_journaled)
        temporary_directory_remove(directory);
}

int main(int argc, char **argv)
{
    stress_rounds(stress_seed(argc, argv), 2 * ROUNDS, run_round);
    return EXIT_SUCCESS;
}
