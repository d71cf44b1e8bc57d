#include "journal/taker.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "affinity/pin.h"
#include "base/clock.h"
#include "journal/capture.h"
#include "journal/feed.h"
#include "journal/scribe.h"

#define STEP_NS  (10 * HL_MILLISECOND)
#define AGAIN_NS HL_SECOND /* after one that could not be written */

struct hl_captures {
    hl_bus *bus;
    hl_capture *list;
    uint32_t count;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* to the taker: there is something to do; from it: something is done */
    pthread_t thread;
    bool thread_started;
    bool halt;
};

/* ---- a step ---- */

/* Writes all of a partition's; not under the lock. */
static void store(hl_captures *captures, hl_capture *capture)
{
    hl_error error;
    const hl_status status = hl_capture_write(capture, &error);
    pthread_mutex_lock(&captures->lock);
    if (status == HL_OK)
        capture->stored_sequence = capture->sequence;
    if (status != HL_OK) {
        capture->failures++;
        capture->error = error;
    }
    const uint64_t now_ns = hl_bus_now(captures->bus);
    capture->due_ns = hl_due_after(now_ns, captures->bus->config.snapshot_interval_ns);
    capture->retry_ns = status != HL_OK ? now_ns + AGAIN_NS : 0;
    pthread_mutex_unlock(&captures->lock);
    hl_store_relaxed_u32(&capture->state, HL_CAPTURE_IDLE); /* Relaxed: the taker's own again. */
}

static void begin_one(hl_captures *captures, hl_capture *capture)
{
    const uint64_t now_ns = hl_bus_now(captures->bus);
    pthread_mutex_lock(&captures->lock);
    const bool is_wanted = hl_capture_is_due(capture, now_ns);
    pthread_mutex_unlock(&captures->lock);
    if (is_wanted)
        hl_capture_ask(capture);
}

/* Does for one partition what can be done now. */
static void step_one(hl_captures *captures, hl_capture *capture)
{
    /* TAKEN: acquire, what came of it is whole. */
    switch ((hl_capture_state)hl_load_acquire_u32(&capture->state)) {
    case HL_CAPTURE_IDLE:
        begin_one(captures, capture);
        break;
    case HL_CAPTURE_SHORT:
        if (hl_capture_make_room(capture))
            hl_capture_ask(capture);
        break;
    case HL_CAPTURE_POSTPONED:
        hl_capture_count_postponed(capture);
        /* Relaxed: the taker's own again. */
        hl_store_relaxed_u32(&capture->state, HL_CAPTURE_IDLE);
        break;
    case HL_CAPTURE_TAKEN:
        if (capture->sequence == capture->stored_sequence)          /* all was in flight */
            hl_store_relaxed_u32(&capture->state, HL_CAPTURE_IDLE); /* Relaxed: as above. */
        else if (hl_capture_may_be_written(capture))
            store(captures, capture);
        break;
    case HL_CAPTURE_ASKED:
        break;
    }
}

static void step(hl_captures *captures)
{
    for (uint32_t i = 0; i < captures->count; i++)
        step_one(captures, &captures->list[i]);
}

/* ---- the thread ---- */

/* Until something has changed, or it is time to look. Under the lock. */
static void wait_a_moment(hl_captures *captures)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)STEP_NS;
    until.tv_sec += until.tv_nsec / (long)HL_SECOND;
    until.tv_nsec %= (long)HL_SECOND;
    pthread_cond_timedwait(&captures->changed, &captures->lock, &until);
}

static void *taker_main(void *argument)
{
    hl_captures *const captures = argument;
    hl_error ignored; /* where it runs is a matter of taste */
    pthread_setname_np(pthread_self(), "hl-snapshots");
    (void)hl_pin_self((uint32_t)captures->bus->plan->housekeeping_cpu, &ignored);
    pthread_mutex_lock(&captures->lock);
    while (!captures->halt) {
        pthread_mutex_unlock(&captures->lock);
        step(captures);
        pthread_mutex_lock(&captures->lock);
        pthread_cond_broadcast(&captures->changed);
        if (captures->halt)
            break;
        wait_a_moment(captures);
    }
    pthread_mutex_unlock(&captures->lock);
    return NULL;
}

static void end_thread(hl_captures *captures)
{
    if (!captures->thread_started)
        return;
    pthread_mutex_lock(&captures->lock);
    captures->halt = true;
    pthread_cond_broadcast(&captures->changed);
    pthread_mutex_unlock(&captures->lock);
    pthread_join(captures->thread, NULL);
    captures->thread_started = captures->halt = false;
}

static hl_status start_thread(hl_captures *captures, hl_error *error)
{
    sigset_t before;
    hl_signals_block(&before);
    const int failure = pthread_create(&captures->thread, NULL, taker_main, captures);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failure != 0)
        return hl_error_set(error, HL_SYSTEM, "thread of the snapshots: %s", strerror(failure));
    captures->thread_started = true;
    return HL_OK;
}

/* ---- made and freed ---- */

static void free_captures(hl_captures *captures)
{
    for (uint32_t i = 0; i < captures->count; i++)
        hl_capture_free(&captures->list[i]);
    free(captures->list);
    pthread_mutex_destroy(&captures->lock);
    pthread_cond_destroy(&captures->changed);
    free(captures);
}

static hl_captures *new_captures(hl_bus *bus)
{
    hl_captures *const captures = calloc(1, sizeof *captures);
    if (captures == NULL)
        return NULL;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&captures->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&captures->lock, NULL);
    captures->bus = bus;
    captures->list = calloc(bus->partition_count, sizeof *captures->list);
    return captures;
}

/* One for each partition that has a journal, or was rebuilt from one. Under the lock. */
static hl_status make_captures(hl_bus *bus, hl_error *error)
{
    if (bus->aggregates->captures != NULL)
        return HL_OK;
    hl_captures *const captures = new_captures(bus);
    bool whole = captures != NULL && captures->list != NULL;
    for (uint32_t i = 0; whole && i < bus->partition_count; i++) {
        hl_partition *const partition = &bus->partitions[i];
        if (hl_capture_is_wanted(partition))
            whole = hl_capture_make(&captures->list[captures->count++], partition);
    }
    if (!whole) {
        if (captures != NULL)
            free_captures(captures);
        return hl_error_set(error, HL_NO_MEMORY, "no memory for snapshots");
    }
    bus->aggregates->captures = captures;
    return HL_OK;
}

/* ---- the part ---- */

static hl_status start(hl_bus *bus, hl_error *error)
{
    if (bus->aggregates == NULL)
        return HL_OK;
    hl_status status = make_captures(bus, error);
    if (status == HL_OK && bus->config.threads == HL_THREADS_OWN &&
        bus->aggregates->captures->count != 0)
        status = start_thread(bus->aggregates->captures, error);
    return status;
}

/* All that the bus has come to, so that the next start has little to replay. What cannot be written
 * is in the journal. */
static hl_status stop(hl_bus *bus, hl_error *error)
{
    hl_captures *const captures = bus->aggregates != NULL ? bus->aggregates->captures : NULL;
    (void)error;
    if (captures == NULL)
        return HL_OK;
    end_thread(captures);
    const bool automatic =
        bus->config.snapshot_events != 0 || bus->config.snapshot_interval_ns != 0;
    if (bus->control->state == HL_BUS_CREATED || !automatic)
        return HL_OK;
    for (uint32_t i = 0; i < captures->count; i++) {
        hl_capture *const one = &captures->list[i];
        uint32_t state = HL_CAPTURE_SHORT;
        if (one->partition->recorder == NULL ||
            hl_capture_sequence_now(one) == one->stored_sequence)
            continue; /* of another's journal only what is asked for */
        /* Nobody turns the partition any more. */
        for (uint32_t tries = 0;
             tries < 2 && state == HL_CAPTURE_SHORT && hl_capture_make_room(one); tries++) {
            state = hl_capture_take(one);
        }
        if (state == HL_CAPTURE_TAKEN && hl_capture_may_be_written(one))
            store(captures, one);
    }
    return HL_OK;
}

/* The housekeeper does it only where there is no thread for it. */
static void tick(hl_bus *bus, uint64_t now_ns)
{
    (void)now_ns;
    if (bus->config.threads == HL_THREADS_MANUAL && bus->aggregates != NULL &&
        bus->aggregates->captures != NULL)
        step(bus->aggregates->captures);
}

static void destroy(hl_bus *bus)
{
    if (bus->aggregates == NULL)
        return;
    if (bus->aggregates->captures != NULL) {
        end_thread(bus->aggregates->captures);
        free_captures(bus->aggregates->captures);
    }
    hl_aggregates_free(bus);
}

const hl_part hl_aggregates_part = {.start = start, .stop = stop, .tick = tick, .destroy = destroy};

/* ---- asked for ---- */

/* The caller's thread does what the executors and the journal's threads would. */
static void drive(hl_captures *captures, bool is_running)
{
    hl_bus *const bus = captures->bus;
    step(captures);
    for (uint32_t i = 0; i < bus->executor_count; i++) {
        hl_executor *const executor = &bus->executors[i];
        if (is_running) {
            hl_executor_turn(executor, 0);
            continue;
        }
        hl_executor_register_thread();
        hl_executor_go_online(executor);
        hl_executor_obey(executor);
        hl_executor_go_offline(executor);
    }
    for (uint32_t i = 0; i < captures->count; i++) {
        hl_feed *const feed = (hl_feed *)(void *)captures->list[i].partition->recorder;
        if (feed != NULL)
            hl_scribe_turn(feed, true);
    }
    step(captures);
}

static void set_goals(hl_captures *captures, uint64_t *ret_failures)
{
    pthread_mutex_lock(&captures->lock);
    *ret_failures = 0;
    for (uint32_t i = 0; i < captures->count; i++) {
        captures->list[i].goal = hl_capture_sequence_now(&captures->list[i]);
        *ret_failures += captures->list[i].failures;
    }
    pthread_cond_broadcast(&captures->changed);
    pthread_mutex_unlock(&captures->lock);
}

/* HL_OK: all are written; HL_TIMEOUT: not yet, *ret_late is one; else one could not be. Under the
 * lock. */
static hl_status look(const hl_captures *captures, uint64_t failures_before,
                      const hl_capture **ret_late, hl_error *error)
{
    uint64_t failures = 0;
    *ret_late = NULL;
    for (uint32_t i = 0; i < captures->count; i++) {
        const hl_capture *const one = &captures->list[i];
        failures += one->failures;
        if (one->stored_sequence < one->goal)
            *ret_late = one;
        if (failures > failures_before && one->failures != 0) {
            *error = one->error;
            return one->error.status;
        }
    }
    return *ret_late == NULL ? HL_OK : HL_TIMEOUT;
}

static hl_status late_error(const hl_capture *late, hl_error *error)
{
    const char *what = "for its partition's thread, which is busy";
    const uint32_t state = hl_load_acquire_u32(&late->state); /* TAKEN: acquire, to look at it. */
    if (state == HL_CAPTURE_TAKEN)
        what = "until the journals hold durably what is in it";
    else if (state == HL_CAPTURE_POSTPONED || state == HL_CAPTURE_IDLE)
        what = "because an event of its aggregates waits, for a retry or in a batch";
    return hl_error_set(error, HL_TIMEOUT, "the snapshot of %s is not written yet: it waits %s",
                        late->partition->out->name, what);
}

static hl_status snapshot(hl_captures *captures, bool is_driven_here, bool is_running,
                          uint64_t timeout_ns, hl_error *error)
{
    const uint64_t began_ns = hl_monotonic_ns();
    const hl_capture *late;
    uint64_t failures;
    hl_status status;
    set_goals(captures, &failures);
    for (;;) {
        if (is_driven_here)
            drive(captures, is_running);
        pthread_mutex_lock(&captures->lock);
        status = look(captures, failures, &late, error);
        if (status == HL_TIMEOUT && !is_driven_here)
            wait_a_moment(captures);
        if (status != HL_OK && status != HL_TIMEOUT)
            for (uint32_t i = 0; i < captures->count; i++)
                captures->list[i].goal = 0; /* no further tries for this call */
        pthread_mutex_unlock(&captures->lock);
        if (status != HL_TIMEOUT)
            return status;
        if (hl_monotonic_ns() - began_ns >= timeout_ns)
            return late_error(late, error);
    }
}

hl_status hl_bus_snapshot(hl_bus *bus, uint64_t timeout_ns, hl_error *error)
{
    if (hl_bus_is_detached(bus))
        return hl_error_set(error, HL_DETACHED, "snapshot: this is a fork's child");
    if (hl_turning != NULL)
        return hl_error_set(error, HL_WRONG_THREAD, "snapshot: not from a handler");
    hl_bus_lock(bus);
    const hl_bus_state state = bus->control->state;
    hl_status status = HL_OK;
    if (state != HL_BUS_CREATED && state != HL_BUS_RUNNING)
        status = hl_error_set(error, HL_WRONG_STATE, "snapshot: the bus has stopped");
    else if (bus->aggregates == NULL)
        status = hl_error_set(error, HL_NOT_FOUND, "snapshot: the bus has no aggregates");
    else
        status = make_captures(bus, error);
    hl_bus_unlock(bus);
    if (status != HL_OK)
        return status;
    hl_captures *const captures = bus->aggregates->captures;
    if (captures->count == 0)
        return hl_error_set(error, HL_NOT_FOUND,
                            "snapshot: no domain with an aggregate has a journal (set journal_dir "
                            "and its durability), or its journal held events before and the bus "
                            "was not rebuilt from it");
    return snapshot(captures, bus->config.threads == HL_THREADS_MANUAL || state == HL_BUS_CREATED,
                    state == HL_BUS_RUNNING, timeout_ns, error);
}
