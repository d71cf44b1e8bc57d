#include "journal/capture.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include <hotlane/system.h>

#include "affinity/pin.h"
#include "base/clock.h"
#include "journal/feed.h"
#include "journal/scribe.h"

#define STEP_NS      (10 * HL_MILLISECOND)
#define AGAIN_NS     HL_SECOND /* after one that could not be written */
#define NAP_NS       (100 * HL_MICROSECOND)
#define ROOM_TO_GROW 4096u

typedef enum capture_state {
    IDLE = 0,
    ASKED,
    TAKEN,    /* the copies are whole */
    SHORT,    /* they had too little room; `size` says how much they take */
    POSTPONED /* a state is not what its events will have made of it: one waits */
} capture_state;

/* The copy of one aggregate's state. */
typedef struct copy {
    hl_aggregate *aggregate;
    unsigned char *bytes;
    size_t room, size;
} copy;

/* How far the partition's output into one ring had come. */
typedef struct mark {
    const hl_outlet *outlet;
    uint64_t position;
} mark;

/* Of one partition. What is not under `state` is the taker's. */
typedef struct hl_capture {
    hl_call call; /* first: the call points here */
    hl_partition *partition;
    copy *copies;
    uint32_t count;
    mark *marks;
    uint32_t mark_room;
    uint64_t found_sequence; /* of the last event that the journal held when the bus was made: what
                                the bus goes on behind may be higher, a crash leaves a gap */
    uint32_t state;          /* TAKEN */
    /* With it: */
    uint32_t mark_count;
    uint64_t sequence; /* of the last event in the copies */
    uint64_t time_ns;  /* bus time: the copies hold nothing that was published later */
    uint64_t held_ns;  /* how long the partition waited for its copies */
    /* The taker's; under the captures' lock: */
    uint64_t stored_sequence; /* 0: none */
    uint64_t goal;            /* asked for by hl_bus_snapshot: stored_sequence is to reach it */
    uint64_t failures;        /* to write */
    uint64_t due_ns;          /* by time: the next one */
    uint64_t retry_ns;        /* not before, whatever asks for it */
    hl_error error;           /* of the last of them */
} hl_capture;

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

/* ---- taking: the partition's thread ---- */

/* Of the last event there was, when the partition has come to `sequence`. */
static uint64_t last_event(const hl_capture *capture, uint64_t sequence)
{
    return sequence > capture->partition->sequence_base ? sequence : capture->found_sequence;
}

static bool are_whole(const hl_capture *capture)
{
    for (uint32_t i = 0; i < capture->count; i++)
        if (!hl_aggregate_is_whole(capture->copies[i].aggregate, capture->partition->shard))
            return false;
    return true;
}

static bool copy_states(hl_capture *capture)
{
    bool whole = true;
    for (uint32_t i = 0; i < capture->count; i++) {
        copy *const one = &capture->copies[i];
        hl_state_writer writer = {.bytes = one->bytes, .room = one->room};
        hl_aggregate_save_shard(one->aggregate, capture->partition->shard, &writer);
        one->size = writer.size;
        whole &= one->size <= one->room;
    }
    return whole;
}

/* Of conflating lanes nothing is noted: a newer value of the key will come. */
static void note_output(hl_capture *capture)
{
    const hl_publisher *const out = capture->partition->out;
    capture->mark_count = 0;
    for (uint32_t i = 0; i < capture->mark_room; i++) {
        /* LANE: acquire, the outlet is whole. */
        const hl_outlet *const outlet =
            hl_load_acquire_ptr((void *const *)(const void *)&out->outlets[i]);
        if (outlet != NULL && outlet->exclusive.ring != NULL && outlet->seats == NULL)
            capture->marks[capture->mark_count++] =
                (mark){outlet, hl_spsc_claimed(&outlet->exclusive)};
    }
}

static void take(hl_executor *executor, hl_call *call)
{
    hl_capture *const this = (hl_capture *)(void *)call;
    capture_state state = POSTPONED;
    (void)executor;
    if (are_whole(this)) {
        const uint64_t began_ns = hl_monotonic_ns();
        this->sequence = last_event(this, hl_partition_handed_out(this->partition));
        this->time_ns = hl_bus_now(this->partition->bus);
        note_output(this);
        state = copy_states(this) ? TAKEN : SHORT;
        this->held_ns = hl_monotonic_ns() - began_ns;
    }
    hl_store_release_u32(&this->state, state); /* TAKEN: release, the copies are whole. */
}

/* ---- asking ---- */

static const hl_feed *feed_of(const hl_capture *capture)
{
    return (const hl_feed *)(const void *)capture->partition->recorder;
}

static void ask(hl_capture *capture)
{
    hl_executor *const executor = capture->partition->executor;
    hl_store_release_u32(&capture->state, ASKED); /* TAKEN: release, the room is there. */
    hl_executor_command(executor, &capture->call.command);
}

/* Room for what the states took last time, and some more. Touched here, so that the partition's
 * thread meets no new page. */
static bool make_room(hl_capture *capture)
{
    for (uint32_t i = 0; i < capture->count; i++) {
        copy *const one = &capture->copies[i];
        if (one->size <= one->room)
            continue;
        const size_t room = one->size + one->size / 4 + ROOM_TO_GROW;
        unsigned char *const bytes = malloc(room);
        if (bytes == NULL)
            return false;
        memset(bytes, 0, room);
        free(one->bytes);
        one->bytes = bytes;
        one->room = room;
    }
    return true;
}

static uint64_t sequence_now(const hl_capture *capture)
{
    /* Relaxed: a number. */
    return last_event(capture, hl_load_relaxed_u64(&capture->partition->sequence));
}

/* Whether it is time for one. Under the lock. */
static bool is_due(const hl_capture *capture, uint64_t now_ns)
{
    const hl_config *const config = &capture->partition->bus->config;
    if (capture->stored_sequence < capture->goal)
        return true;
    const uint64_t fresh = sequence_now(capture) - capture->stored_sequence;
    return fresh != 0 && capture->partition->recorder != NULL && now_ns >= capture->retry_ns &&
           ((config->snapshot_events != 0 && fresh >= config->snapshot_events) ||
            (config->snapshot_interval_ns != 0 && now_ns >= capture->due_ns));
}

/* ---- writing ---- */

/* The partition whose journal does not yet hold durably what is in the copies, or what that has
 * published; NULL: all do. */
static const hl_partition *waits_for(const hl_capture *capture)
{
    if (capture->partition->recorder == NULL)
        return NULL;
    if (capture->sequence > capture->found_sequence &&
        hl_journal_durable(&feed_of(capture)->progress) < capture->sequence)
        return capture->partition;
    for (uint32_t i = 0; i < capture->mark_count; i++) {
        const mark *const one = &capture->marks[i];
        const hl_partition *const to = one->outlet->partition;
        /* RELEASED: (ring.h) acquire, what was released has got its sequence. */
        const uint64_t released = hl_load_acquire_u64(&one->outlet->exclusive.ring->released);
        if ((int64_t)(released - one->position) < 0)
            return to;
    }
    return NULL;
}

static void tell(const hl_capture *capture, const copy *one, hl_status status,
                 const hl_error *error)
{
    const hl_aggregate *const aggregate = one->aggregate;
    hl_system_snapshot news = {.partition = capture->partition->number,
                               .status = (uint32_t)status,
                               .version = aggregate->options.version,
                               .sequence = capture->sequence,
                               .bytes = one->size,
                               .held_ns = capture->held_ns};
    snprintf(news.aggregate, sizeof news.aggregate, "%s", aggregate->name);
    if (status != HL_OK)
        snprintf(news.text, sizeof news.text, "%.159s", error->text);
    hl_notice(aggregate->bus,
              status == HL_OK ? HL_TOPIC_SNAPSHOT_CREATED : HL_TOPIC_SNAPSHOT_FAILED,
              news.partition, &news, sizeof news);
}

static hl_status store_one(const hl_capture *capture, const copy *one, hl_error *error)
{
    hl_aggregate *const aggregate = one->aggregate;
    const hl_bus *const bus = aggregate->bus;
    const hl_journal_keys *const given = bus->aggregates->rebuilt_keys;
    hl_aggregate_shard *const shard = &aggregate->shards[capture->partition->shard];
    hl_cursor_position position = {.next_sequence = capture->sequence + 1};
    hl_snapshot snapshot = {.sequence = capture->sequence,
                            .time_ns = capture->time_ns,
                            .version = aggregate->options.version,
                            .positions_count = 1,
                            .positions = &position,
                            .payload = one->bytes,
                            .size = one->size};
    snprintf(position.partition, sizeof position.partition, "%.71s", capture->partition->out->name);
    hl_aggregate_snapshot_name(aggregate, capture->partition->shard, snapshot.name);
    const hl_status status = hl_snapshot_store(
        bus->config.journal_io != NULL ? bus->config.journal_io : hl_io_posix(),
        capture->partition->recorder != NULL ? bus->config.journal_dir
                                             : bus->aggregates->rebuilt_from,
        &snapshot, given != NULL ? given : bus->journal_keys, bus->config.snapshots_kept, error);
    hl_count(status == HL_OK ? &shard->snapshots : &shard->failures, 1);
    if (status == HL_OK) {
        hl_store_relaxed_u64(&shard->snapshot_sequence, capture->sequence); /* Relaxed: a number. */
        hl_store_relaxed_u64(&shard->snapshot_bytes, one->size);            /* Relaxed: likewise. */
    }
    tell(capture, one, status, error);
    return status;
}

/* Writes all of a partition's; not under the lock. */
static void store(hl_captures *captures, hl_capture *capture)
{
    hl_error error;
    hl_status status = HL_OK;
    if (captures->bus->aggregates->rebuilt_ns != 0 && capture->partition->recorder == NULL)
        capture->time_ns = captures->bus->aggregates->rebuilt_ns;
    for (uint32_t i = 0; i < capture->count; i++) {
        hl_error of_this;
        const hl_status stored = store_one(capture, &capture->copies[i], &of_this);
        if (stored != HL_OK && status == HL_OK) {
            status = stored;
            error = of_this;
        }
    }
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
    hl_store_relaxed_u32(&capture->state, IDLE); /* Relaxed: the taker's own again. */
}

/* ---- a step: the taker ---- */

static void begin_one(hl_captures *captures, hl_capture *capture)
{
    const uint64_t now_ns = hl_bus_now(captures->bus);
    pthread_mutex_lock(&captures->lock);
    const bool is_wanted = is_due(capture, now_ns);
    pthread_mutex_unlock(&captures->lock);
    if (is_wanted)
        ask(capture);
}

static void count_postponed(const hl_capture *capture)
{
    for (uint32_t i = 0; i < capture->count; i++)
        hl_count(&capture->copies[i].aggregate->shards[capture->partition->shard].postponed, 1);
}

/* Does for one partition what can be done now. */
static void step_one(hl_captures *captures, hl_capture *capture)
{
    /* TAKEN: acquire, what came of it is whole. */
    switch ((capture_state)hl_load_acquire_u32(&capture->state)) {
    case IDLE:
        begin_one(captures, capture);
        break;
    case SHORT:
        if (make_room(capture))
            ask(capture);
        break;
    case POSTPONED:
        count_postponed(capture);
        hl_store_relaxed_u32(&capture->state, IDLE); /* Relaxed: the taker's own again. */
        break;
    case TAKEN:
        if (capture->sequence == capture->stored_sequence)
            hl_store_relaxed_u32(&capture->state, IDLE); /* Relaxed: as above. All was in flight. */
        else if (waits_for(capture) == NULL)
            store(captures, capture);
        break;
    case ASKED:
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

static uint32_t aggregates_of(const hl_bus *bus, const hl_partition *partition, copy *copies)
{
    uint32_t count = 0;
    for (hl_aggregate *one = bus->aggregates->first; one != NULL; one = one->next)
        if (one->domain == partition->domain) {
            if (copies != NULL)
                copies[count].aggregate = one;
            count++;
        }
    return count;
}

static bool make_capture(hl_capture *capture, hl_partition *partition, uint32_t count)
{
    const hl_bus *const bus = partition->bus;
    capture->call =
        (hl_call){.command = {.kind = HL_COMMAND_CALL, .subject = &capture->call}, .run = take};
    capture->partition = partition;
    capture->count = count;
    capture->mark_room = bus->partition_count * HL_PRIORITIES;
    capture->copies = calloc(count, sizeof *capture->copies);
    capture->marks = calloc(capture->mark_room, sizeof *capture->marks);
    capture->due_ns = hl_due_after(hl_bus_now(bus), bus->config.snapshot_interval_ns);
    capture->found_sequence = partition->recorder != NULL ? feed_of(capture)->recovery.last_sequence
                                                          : partition->sequence;
    capture->stored_sequence = capture->found_sequence;
    if (capture->copies == NULL || capture->marks == NULL)
        return false;
    aggregates_of(bus, partition, capture->copies);
    for (uint32_t i = 0; i < count; i++) {
        const hl_aggregate *const aggregate = capture->copies[i].aggregate;
        /* What was not loaded from a snapshot is worth one. */
        if (aggregate->shards[partition->shard].loaded_sequence < capture->stored_sequence)
            capture->stored_sequence = aggregate->shards[partition->shard].loaded_sequence;
    }
    return true;
}

static void free_captures(hl_captures *captures)
{
    for (uint32_t i = 0; i < captures->count; i++) {
        for (uint32_t j = 0; captures->list[i].copies != NULL && j < captures->list[i].count; j++)
            free(captures->list[i].copies[j].bytes);
        free(captures->list[i].copies);
        free(captures->list[i].marks);
    }
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

/* Whether the states of a partition are what all its journal's events make of them: those that went
 * on behind a journal without a rebuild are not, and must not become a snapshot. */
static bool is_whole(const hl_bus *bus, const hl_partition *partition)
{
    const bool is_rebuilt = bus->aggregates->rebuilt_from != NULL;
    if (partition->recorder != NULL)
        return is_rebuilt || partition->sequence_base == 0;
    /* From elsewhere: who recovers from that journal has its last outputs to publish. */
    return is_rebuilt && partition->sequence != 0 && !bus->aggregates->unsettled[partition->number];
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
        const uint32_t count = aggregates_of(bus, partition, NULL);
        if (count != 0 && is_whole(bus, partition))
            whole = make_capture(&captures->list[captures->count++], partition, count);
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
        uint32_t state = SHORT;
        if (one->partition->recorder == NULL || sequence_now(one) == one->stored_sequence)
            continue; /* of another's journal only what is asked for */
        /* Nobody turns the partition any more. */
        for (uint32_t tries = 0; tries < 2 && state == SHORT && make_room(one); tries++) {
            take(one->partition->executor, &one->call);
            state = one->state;
        }
        if (state == TAKEN && waits_for(one) == NULL)
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
        captures->list[i].goal = sequence_now(&captures->list[i]);
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
    if (state == TAKEN)
        what = "until the journals hold durably what is in it";
    else if (state == POSTPONED || state == IDLE)
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
