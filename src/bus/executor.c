#include "bus/executor.h"

#include <sched.h>
#include <stdio.h>
#include <time.h>

#include <urcu/static/urcu-qsbr.h>

#include "affinity/pin.h"
#include "base/backtrace.h"
#include "bus/async.h"
#include "bus/async_eject.h"
#include "bus/batch.h"
#include "bus/bus.h"
#include "bus/dispatch.h"
#include "bus/gather.h"
#include "bus/hold.h"
#include "bus/pool.h"
#include "bus/recorder.h"
#include "observe/thread_switches.h"

#define LOOK_AT_ALL_EVERY   64 /* looks: then all rings are looked at, whatever is announced */
#define QUIESCENT_EVERY     16 /* looks between two quiescent states: each costs a shared line */
#define DUES_LEVEL          HL_PRIORITIES /* for the guard: below all lanes */
#define WATCHED_FOR_NOTHING 4             /* rings of a level */
#define LOOKS_BEFORE_PAUSE  64
#define STREAM_IDLE_LOOKS   2 /* events with hardly a look in vain between them are a stream */
#define STREAM_RUNS         8 /* short runs one behind the other, before it waits for longer ones */
#define GATHERED_RUN        (HL_RUN_MAX / 2) /* events: a run that is long enough */
#define GATHER_PAUSES_MIN   16
#define GATHER_PAUSES_MAX   256
#define GATHER_LOOK_EVERY   8   /* pauses */
#define GATHER_EVENT_NS     100 /* an event that takes longer is not held up by its lines */
#define POLLS_BEFORE_NAP    128
#define NAP_NS              50000
#define NAPS_OF_A_LENGTH    32
#define NAP_DOUBLINGS       4 /* to 800 us */
#define WORKER_LOOKS        8 /* a turn of a worker's, when the caller does not say */

_Thread_local hl_executor *hl_turning;

/* ---- what is there to do ---- */

/* The groups of a level that are worth a look. */
static inline uint64_t lively(const hl_executor *executor, uint32_t level)
{
    /* ANNOUNCED: (ready.h) relaxed. */
    const uint64_t announced = hl_load_relaxed_u64(&executor->announced[level]);
    return announced | executor->watched[level] | executor->local[level];
}

/* An inlet that has something, of the highest of some levels (bit n: level n) where one has. `all`:
 * look at every ring, whatever is announced. */
static inline hl_inlet *highest_ready(const hl_executor *executor, uint32_t levels, bool all,
                                      uint32_t *ret_level)
{
    for (; levels != 0; levels &= levels - 1) {
        const uint32_t level = (uint32_t)__builtin_ctz(levels);
        const uint64_t mask = all ? executor->levels[level].linked : lively(executor, level);
        hl_inlet *const inlet = mask != 0 ? hl_level_find(&executor->levels[level], mask) : NULL;
        if (inlet != NULL) {
            *ret_level = level;
            return inlet;
        }
    }
    return NULL;
}

#define ALL_LEVELS ((1u << HL_PRIORITIES) - 1)

static inline uint32_t levels_above(uint32_t level)
{
    return (1u << level) - 1;
}

static inline uint32_t levels_below(uint32_t level)
{
    return ALL_LEVELS & ~((2u << level) - 1);
}

bool hl_executor_higher_waits(const hl_executor *executor, uint32_t level)
{
    uint32_t higher;
    return highest_ready(executor, levels_above(level), false, &higher) != NULL;
}

/* Counts the busy stretch up to now. */
static void count_busy(hl_executor *executor, uint64_t now_ns)
{
    if (now_ns <= executor->busy_since_ns)
        return;
    hl_count(&executor->busy_ns, now_ns - executor->busy_since_ns);
    executor->busy_since_ns = now_ns;
}

static void age(hl_executor *executor)
{
    executor->aged_ns = executor->now_ns;
    /* Relaxed: this thread's own. */
    if (hl_load_relaxed_u32(&executor->state) == HL_EXECUTOR_BUSY)
        count_busy(executor, executor->now_ns);
    for (uint32_t level = 0; level < HL_PRIORITIES; level++)
        /* An executor that owns its core looks at a few rings for nothing; to be announced anew
         * after a rest costs the first event a line's way there and back. */
        if (executor->wait != HL_WAIT_SPIN ||
            __builtin_popcountll(executor->watched[level]) > WATCHED_FOR_NOTHING)
            hl_level_age(&executor->levels[level], &executor->announced[level],
                         &executor->watched[level]);
}

/* Once in guard_interval events a lower level has its turn, each of them in turn; what is
 * due (DUES_LEVEL, see hl_executor_look) are one of them. */
static hl_inlet *guard(hl_executor *executor, uint32_t level, uint32_t *ret_level)
{
    executor->since_guard = 0;
    const uint32_t lower = levels_below(level);
    hl_inlet *inlet =
        highest_ready(executor, lower & levels_below(executor->guard_level), false, ret_level);
    if (inlet == NULL)
        inlet = highest_ready(executor, lower, false, ret_level);
    executor->guard_level = inlet != NULL ? *ret_level : 0;
    return inlet;
}

static inline bool flush_wanted(const hl_executor *executor)
{
    return hl_load_relaxed_u32(&executor->flush_dues) != 0; /* FLUSH */
}

static bool stop_wanted(const hl_executor *executor)
{
    /* STOP: acquire, what the stopping thread has settled is seen. */
    return hl_load_acquire_u32(&executor->stop) != 0;
}

/* Whether there is anything that a sleep must not pass over. */
static bool has_work(const hl_executor *executor)
{
    uint32_t level;
    return hl_command_waiting(&executor->commands) || stop_wanted(executor) ||
           (executor->open_dues != executor->polled_dues && flush_wanted(executor)) ||
           (executor->polled_dues != 0 && hl_dues_polled_ready(executor)) ||
           (executor->worker != NULL && hl_worker_has_work(executor->worker)) ||
           highest_ready(executor, ALL_LEVELS, true, &level) != NULL;
}

/* ---- taking a run ---- */

/* The executor no longer polls this ring: the control plane may free it. */
static void unlink_inlet(hl_executor *executor, hl_inlet *inlet)
{
    hl_level_unlink(&executor->levels[inlet->priority], inlet);
    /* COMMAND: (command.h) the same list the other way round; relaxed, a first guess. */
    void *head = hl_load_relaxed_ptr((void *const *)(void *)&executor->bus->dead_inlets);
    do {
        inlet->next_dead = head;
        /* COMMAND: release, the executor is done with it. */
    } while (!hl_compare_exchange_acq_rel_ptr((void **)(void *)&executor->bus->dead_inlets, &head,
                                              inlet));
}

/* What is left to do in a ring that ran empty. */
static void leave_empty(hl_executor *executor, hl_inlet *inlet)
{
    const uint32_t level = inlet->priority;
    /* An empty ring is never to look full to its publisher. */
    if (inlet->conflated == NULL)
        hl_ring_release_publish(&inlet->consumer);
    if (inlet->is_local && !hl_group_ready(&executor->levels[level], inlet->group))
        executor->local[level] &= ~((uint64_t)1 << inlet->group);
    if (inlet->retiring)
        unlink_inlet(executor, inlet);
}

/* Dispatches up to `max` events of one ring; fewer when something higher arrives or a command does.
 */
static uint32_t take_run(hl_executor *executor, hl_inlet *inlet, uint32_t level, uint32_t max)
{
    hl_lane *const lane = &inlet->partition->lanes[level];
    void *first = NULL;
    const bool is_table = inlet->conflated != NULL;
    if (__builtin_expect(inlet->gather != NULL, 0) &&
        (max = hl_gather_take(executor, inlet, max)) == 0)
        return 0;
    const uint32_t ready = is_table ? max : hl_ring_peek(&inlet->consumer, max, &first);
    /* After the peek: whatever was commanded before one of these events was committed is done
     * before it is dispatched. */
    if (hl_command_waiting(&executor->commands))
        hl_executor_obey(executor);
    hl_store_relaxed_u32(&lane->running, 1); /* Relaxed: for statistics. */
    uint32_t dispatched;
    const uint32_t taken = is_table ? hl_dispatch_conflated(executor, inlet, max, &dispatched)
                                    : hl_dispatch_run(executor, inlet, first, ready, &dispatched);
    hl_count(&executor->events, dispatched);
    hl_store_relaxed_u32(&lane->running, 0); /* Relaxed: for statistics. */
    /* DRAINED: release, after what the handlers published is counted. */
    hl_store_release_u64(&lane->dispatched, lane->dispatched + dispatched);
    if (!inlet->is_local)
        executor->watched[level] |= (uint64_t)1 << inlet->group;
    hl_level_served(&executor->levels[level], inlet);
    executor->last_level = level;
    executor->due_turns = taken;
    if (__builtin_expect(inlet->hold->by != NULL, 0))
        hl_inlet_hold(executor, inlet);
    else if (!hl_inlet_ready(inlet))
        leave_empty(executor, inlet);
    return taken;
}

/*
 * Something that is due is like an event of the highest priority in it: one at a look, and where a
 * lane of that priority has something too, they take turns: as many as the lane's last run had, or
 * a lane that is never empty would leave a retry for each run. Under a flood of higher events the
 * guard lets it in, as it does a lower lane.
 */
static uint32_t serve_dues(hl_executor *executor, uint32_t level)
{
    executor->now_ns = hl_bus_now(executor->bus);
    const uint64_t due_ns = flush_wanted(executor) ? UINT64_MAX : executor->now_ns;
    const bool guarded = executor->since_guard >= executor->guard_interval &&
                         executor->guard_level != DUES_LEVEL && executor->last_level <= level;
    if ((due_ns < executor->earliest_due_ns && executor->polled_dues == 0) ||
        (executor->due_turns == 0 && level < HL_PRIORITIES)) {
        executor->due_turns = 1;
        return 0;
    }
    const uint32_t served = hl_dues_serve(executor, due_ns, guarded ? HL_PRIORITIES : level);
    executor->due_turns -= served != 0 && executor->due_turns != 0;
    if (served != 0 && guarded) {
        executor->since_guard = 0;
        executor->guard_level = DUES_LEVEL;
    }
    return served;
}

uint32_t hl_executor_look(hl_executor *executor, uint32_t max_events)
{
    uint32_t level = HL_PRIORITIES;
    hl_count(&executor->turns, 1);
    if (executor->now_ns - executor->aged_ns >= HL_MILLISECOND)
        age(executor);
    const bool all = executor->turns % LOOK_AT_ALL_EVERY == 0;
    hl_inlet *inlet = highest_ready(executor, ALL_LEVELS, all, &level);
    if (executor->open_dues != 0) {
        const uint32_t served = serve_dues(executor, level);
        if (served != 0)
            return served;
    }
    if (inlet == NULL) {
        if (hl_command_waiting(&executor->commands))
            hl_executor_obey(executor);
        return 0;
    }
    /* Not when something lower was dispatched just now: it would be the second in a row. */
    if (executor->since_guard >= executor->guard_interval && executor->last_level <= level) {
        uint32_t lower_level;
        hl_inlet *const lower = guard(executor, level, &lower_level);
        if (lower != NULL)
            return take_run(executor, lower, lower_level, 1);
    }
    uint32_t max = max_events < HL_RUN_MAX ? max_events : HL_RUN_MAX;
    const uint32_t before_guard = executor->since_guard < executor->guard_interval
                                      ? executor->guard_interval - executor->since_guard
                                      : 1;
    max = max < before_guard ? max : before_guard;
    const uint32_t taken = take_run(executor, inlet, level, max);
    executor->since_guard += taken;
    return taken;
}

/* ---- commands ---- */

static void for_each_cell(hl_link *link, void (*action)(hl_partition *partition, hl_cell *cell))
{
    const hl_subscription *const subscription = link->subscription;
    for (uint32_t i = 0; i < subscription->partition_count; i++) {
        hl_partition *const partition =
            &subscription->bus->partitions[subscription->first_partition + i];
        if (partition->executor == link->executor)
            action(partition, &subscription->cells[i]);
    }
}

static void flush_cell(hl_partition *partition, hl_cell *cell)
{
    /* What was published by now may lie in a ring yet: of the same time counts, too. */
    cell->flushed_before_ns = hl_due_after(partition->executor->now_ns, 1);
    if (cell->delivery != NULL && cell->delivery->flush != NULL)
        cell->delivery->flush(partition, cell);
}

void hl_executor_obey(hl_executor *executor)
{
    /* DRAINED: before the list is taken (an exchange, release), so that stop sees one or the other.
     */
    hl_store_relaxed_u32(&executor->obeying, 1);
    hl_command *command = hl_command_take(&executor->commands);
    while (command != NULL) {
        hl_command *const next = command->next; /* the command goes with its subject */
        hl_inlet *const inlet = command->subject;
        hl_link *const link = command->subject;
        hl_call *const call = command->subject;
        switch (command->kind) {
        case HL_COMMAND_LINK_INLET:
            hl_level_link(&executor->levels[inlet->priority], inlet);
            break;
        case HL_COMMAND_RETIRE_INLET:
            inlet->retiring = true;
            if (!hl_inlet_ready(inlet))
                unlink_inlet(executor, inlet);
            break;
        case HL_COMMAND_ATTACH:
            /* Not when the control plane does what an ended thread was still told: an initial image
             * would run handlers outside any turn. */
            if (hl_turning != executor)
                break;
            if (executor->worker != NULL) {
                hl_worker_attach(executor->worker, link);
                break;
            }
            /* Batches of an initial image wait from now. */
            executor->now_ns = hl_bus_now(executor->bus);
            for_each_cell(link, hl_cell_attach);
            break;
        case HL_COMMAND_REATTACH:
            hl_store_release_u32(&link->reattaching, 0); /* LETGO: the command may be sent again, */
            hl_fence_store_load(); /* LETGO: for what is asked back from here on. */
            if (hl_turning != executor)
                break;
            executor->now_ns = hl_bus_now(executor->bus);
            for_each_cell(link, hl_async_reattach);
            break;
        case HL_COMMAND_FLUSH:
            hl_store_release_u32(&link->flushing, 0); /* LETGO: the command may be sent again, */
            hl_fence_store_load(); /* LETGO: for what is published from here on. */
            if (hl_turning != executor)
                break;
            executor->now_ns = hl_bus_now(executor->bus);
            for_each_cell(link, flush_cell);
            break;
        case HL_COMMAND_CALL:
            executor->now_ns = hl_bus_now(executor->bus);
            call->run(executor, call);
            break;
        case HL_COMMAND_DETACH:
            if (executor->worker != NULL)
                hl_worker_detach(executor->worker, link);
            for_each_cell(link, hl_cell_detach);
            hl_link_let_go(link);
            break;
        }
        command = next;
    }
    /* DRAINED: release, what an initial image's handlers published is counted. */
    hl_store_release_u32(&executor->obeying, 0);
}

void hl_executor_wake(hl_executor *executor)
{
    if (executor->wait == HL_WAIT_PARK)
        hl_sleeper_notify(&executor->sleeper);
}

void hl_executor_command(hl_executor *executor, hl_command *command)
{
    hl_command_push(&executor->commands, command);
    hl_executor_wake(executor);
}

/* ---- the turning thread ---- */

static pthread_key_t unregister_key;
static pthread_once_t unregister_once = PTHREAD_ONCE_INIT;

static void unregister_thread(void *registered)
{
    (void)registered;
    urcu_qsbr_unregister_thread();
}

static void make_unregister_key(void)
{
    pthread_key_create(&unregister_key, unregister_thread);
}

void hl_executor_register_thread(void)
{
    static _Thread_local bool registered;
    if (registered)
        return;
    registered = true;
    /* An application that uses liburcu itself has registered it. */
    if (URCU_TLS(urcu_qsbr_reader).registered)
        return;
    pthread_once(&unregister_once, make_unregister_key);
    pthread_setspecific(unregister_key, &registered);
    urcu_qsbr_register_thread();
    urcu_qsbr_thread_offline();
}

void hl_executor_go_online(hl_executor *executor)
{
    urcu_qsbr_thread_online();
    hl_turning = executor;
    /* Relaxed: the fence gives it its order. */
    hl_store_relaxed_u32(&executor->online, 1);
    /* ONLINE: the store before every load of a turn: commands, routes, closing. */
    hl_fence_store_load();
}

void hl_executor_go_offline(hl_executor *executor)
{
    hl_turning = NULL;
    hl_route_mark_quiescent();
    /* OFFLINE: release, all that handlers did comes before it. */
    hl_store_release_u32(&executor->online, 0);
    urcu_qsbr_thread_offline();
}

static void set_state(hl_executor *executor, hl_executor_state state)
{
    /* Relaxed: for statistics. Stored only when it changes: others read the line. */
    if (hl_load_relaxed_u32(&executor->state) != (uint32_t)state)
        hl_store_relaxed_u32(&executor->state, state);
}

/* How long it may sleep: until the next thing is due. */
static uint64_t sleep_limit_ns(hl_executor *executor)
{
    if (executor->worker != NULL)
        return hl_async_sleep_limit_ns(executor->worker);
    if (executor->open_dues == 0)
        return UINT64_MAX;
    /* The application's clock may jump: it is looked at often. */
    if (executor->bus->config.clock != NULL)
        return HL_MILLISECOND;
    const uint64_t now_ns = hl_bus_now(executor->bus);
    return now_ns < executor->earliest_due_ns ? executor->earliest_due_ns - now_ns : 1;
}

static void note_cpu(hl_executor *executor)
{
    /* Relaxed: for statistics. */
    hl_store_relaxed_u32(&executor->running_cpu, (uint32_t)hl_thread_cpu());
}

static void park(hl_executor *executor)
{
    if (executor->worker != NULL)
        hl_worker_to_sleep(executor->worker);
    const uint32_t ticket = hl_sleeper_prepare(&executor->sleeper);
    if (has_work(executor)) {
        hl_sleeper_cancel(&executor->sleeper);
        if (executor->worker != NULL)
            hl_worker_awake(executor->worker);
        return;
    }
    const uint64_t limit_ns = sleep_limit_ns(executor);
    set_state(executor, HL_EXECUTOR_ASLEEP);
    hl_count(&executor->parks, 1);
    hl_executor_go_offline(executor);
    hl_sleeper_sleep(&executor->sleeper, ticket, limit_ns);
    hl_executor_go_online(executor);
    if (executor->worker != NULL)
        hl_worker_awake(executor->worker);
    set_state(executor, HL_EXECUTOR_IDLE);
    note_cpu(executor);
}

/* `naps` so far: after some, each is longer, so that a bus that is idle for long costs little. */
static void nap(hl_executor *executor, uint32_t naps)
{
    const uint32_t doublings = naps / NAPS_OF_A_LENGTH;
    const struct timespec pause = {0, doublings < NAP_DOUBLINGS ? NAP_NS << doublings
                                                                : NAP_NS << NAP_DOUBLINGS};
    hl_executor_go_offline(executor);
    nanosleep(&pause, NULL);
    hl_executor_go_online(executor);
}

/* Waits a moment, by the executor's strategy; `idle` counts the waits since there was work. */
static void wait_for_work(hl_executor *executor, uint32_t idle, uint64_t *idle_since_ns)
{
    switch (executor->wait) {
    case HL_WAIT_PARK:
        /* Where others need this CPU, polling keeps them from making the work it polls for. */
        if (executor->shares_cpu && idle >= 2) {
            park(executor);
            return;
        }
        if (idle == 1)
            *idle_since_ns = hl_monotonic_ns();
        else if (idle % 16 == 0 &&
                 hl_monotonic_ns() - *idle_since_ns >= executor->bus->config.spin_before_park_ns)
            park(executor);
        else if (idle > LOOKS_BEFORE_PAUSE)
            hl_pause();
        return;
    case HL_WAIT_BACKOFF:
        if (idle < POLLS_BEFORE_NAP)
            hl_pause();
        else if (idle < 2 * POLLS_BEFORE_NAP)
            sched_yield();
        else
            nap(executor, idle - 2 * POLLS_BEFORE_NAP);
        return;
    case HL_WAIT_AUTO:
    case HL_WAIT_SPIN:
        /* Its core is its own, SMT siblings and all: a pause helps nobody, and the next event waits
         * for its end, 8 % of its way to the handler at 1 M/s. */
        return;
    }
}

static uint32_t (*look_of(const hl_executor *executor))(hl_executor *executor, uint32_t max_events)
{
    return executor->worker != NULL ? hl_worker_look : hl_executor_look;
}

/* How a stream of events is taken. */
typedef struct stream {
    uint32_t short_runs; /* one behind the other */
    uint32_t events;     /* in them */
    uint32_t pauses;     /* to gather the next run */
    uint64_t began_ns;   /* when the first of them ended */
} stream;

/*
 * An executor as fast as its publishers takes events one by one, and both then work on the same
 * lines, which costs each of them more than the event itself. In a stream without gaps it lets a
 * few gather: not when there was time to look in vain between two events, so that only those are
 * delayed that come faster than one in some 50 ns; not when the handlers take their time; and not
 * while something higher waits.
 */
static void gather(const hl_executor *executor, stream *flow, uint32_t taken, uint32_t idle)
{
    if (idle > STREAM_IDLE_LOOKS || taken >= GATHERED_RUN) {
        flow->short_runs = 0;
        if (taken == HL_RUN_MAX && flow->pauses > GATHER_PAUSES_MIN)
            flow->pauses -= flow->pauses / 8;
        return;
    }
    if (flow->short_runs++ == 0) {
        flow->began_ns = hl_bus_now(executor->bus);
        flow->events = 0;
        return;
    }
    flow->events += taken;
    if (flow->short_runs < STREAM_RUNS)
        return;
    flow->short_runs = 0;
    if (hl_bus_now(executor->bus) - flow->began_ns > flow->events * (uint64_t)GATHER_EVENT_NS)
        return;
    const uint32_t level = executor->last_level;
    for (uint32_t i = 1; i <= flow->pauses; i++) {
        hl_pause();
        if (i % GATHER_LOOK_EVERY == 0 && (hl_command_waiting(&executor->commands) ||
                                           (hl_executor_higher_stirs(executor, level) &&
                                            hl_executor_higher_waits(executor, level))))
            return;
    }
    if (flow->pauses < GATHER_PAUSES_MAX)
        flow->pauses *= 2;
}

static void turn_until_stopped(hl_executor *executor)
{
    uint32_t (*const look)(hl_executor *, uint32_t) = look_of(executor);
    uint64_t idle_since_ns = 0;
    uint32_t idle = 0;
    stream flow = {.pauses = GATHER_PAUSES_MIN};
    executor->busy_since_ns = hl_bus_now(executor->bus);
    for (uint32_t looks = 1; !stop_wanted(executor); looks++) {
        if (looks % QUIESCENT_EVERY == 0) {
            hl_route_mark_quiescent();
            urcu_qsbr_quiescent_state();
        }
        const uint32_t taken = look(executor, HL_RUN_MAX);
        if (taken != 0) {
            /* Since the last reading of the clock in that look, which is not far from its start:
             * the ring was empty just before. */
            if (idle != 0)
                executor->busy_since_ns = executor->now_ns;
            gather(executor, &flow, taken, idle);
            idle = 0;
            set_state(executor, HL_EXECUTOR_BUSY);
            continue;
        }
        if (idle < UINT32_MAX)
            idle++;
        if (idle == 1) {
            set_state(executor, HL_EXECUTOR_IDLE);
            count_busy(executor, hl_bus_now(executor->bus));
        }
        wait_for_work(executor, idle, &idle_since_ns);
    }
}

/* No handler runs before every thread is in its place. */
static void await_go(const hl_executor *executor)
{
    const struct timespec nap = {0, NAP_NS};
    /* START: acquire, pairs with hl_bus_start. */
    while (hl_load_acquire_u32(&executor->go) == 0 && !stop_wanted(executor))
        nanosleep(&nap, NULL);
}

/* The last thing that its thread does. */
static void *leave(hl_executor *executor)
{
    set_state(executor, HL_EXECUTOR_STOPPED);
    hl_store_release_u32(&executor->ended, 1); /* ENDED: release, all that it did comes before. */
    return NULL;
}

void *hl_executor_main(void *argument)
{
    hl_executor *const executor = argument;
    char name[16];
    snprintf(name, sizeof name, "hl-%.12s", executor->name);
    pthread_setname_np(pthread_self(), name);
    const hl_status status =
        executor->cpu < 0 ? HL_OK : hl_pin_self((uint32_t)executor->cpu, &executor->start_error);
    note_cpu(executor);
    hl_store_release_u32(&executor->tid, hl_thread_number()); /* START: release, for slowest.c */
    /* START: release, start_error and running_cpu are seen with it. */
    hl_store_release_u32(&executor->start_state,
                         status == HL_OK ? HL_START_READY : HL_START_FAILED);
    if (status != HL_OK)
        return leave(executor);
    if (executor->bus->config.stall_backtrace)
        hl_backtrace_allow_here();
    hl_executor_register_thread();
    await_go(executor);
    hl_executor_go_online(executor);
    turn_until_stopped(executor);
    /* What it was told meanwhile, in its turn still. */
    hl_executor_obey(executor);
    hl_executor_go_offline(executor);
    return leave(executor);
}

/* Not before start and after stop, when the counts are final; not what has a thread of its own; not
 * from inside a handler, which would be a turn within a turn; and not in a fork's child, which has
 * no rings. */
static bool may_turn(const hl_executor *executor)
{
    /* START, STOP: acquire, what start and stop have settled is seen. */
    return executor != NULL && hl_turning == NULL &&
           executor->bus->config.threads == HL_THREADS_MANUAL &&
           hl_load_acquire_u32(&executor->go) != 0 && !stop_wanted(executor) &&
           !hl_bus_is_detached(executor->bus);
}

static void rest_recorders(hl_executor *executor)
{
    for (uint32_t i = 0; i < executor->partition_count; i++)
        if (executor->partitions[i]->recorder != NULL)
            executor->partitions[i]->recorder->rest(executor->partitions[i]);
}

const hl_subscription *hl_executor_running(const hl_executor *executor)
{
    const hl_worker *const worker = executor->worker;
    if (worker != NULL) {
        /* Relaxed both: hints; a worker lets go of a subscription between two runs. */
        const void *const event =
            hl_load_relaxed_ptr((void *const *)(const void *)&worker->out->event);
        return event != NULL ? hl_load_relaxed_ptr((void *const *)(const void *)&worker->serving)
                             : NULL;
    }
    for (uint32_t i = 0; i < executor->partition_count; i++) {
        const void *const place = &executor->partitions[i]->current;
        /* Relaxed: a hint; under the bus's lock the cell is there (hl_cell_detach). */
        const hl_cell *const cell = hl_load_relaxed_ptr((void *const *)place);
        if (cell != NULL && hl_cell_running(cell) != 0)
            return cell->subscription;
    }
    return NULL;
}

uint32_t hl_executor_turn(hl_executor *executor, uint32_t max_events)
{
    if (!may_turn(executor))
        return 0;
    const uint64_t before = executor->events;
    uint64_t left = max_events;
    hl_executor_register_thread();
    hl_executor_go_online(executor);
    set_state(executor, HL_EXECUTOR_BUSY);
    executor->busy_since_ns = UINT64_MAX; /* until it has had an event */
    uint32_t (*const look)(hl_executor *, uint32_t) = look_of(executor);
    const uint32_t looks_at_once =
        executor->worker != NULL ? WORKER_LOOKS : executor->partition_count * HL_PRIORITIES;
    const uint32_t looks = max_events == 0 ? looks_at_once : UINT32_MAX;
    for (uint32_t i = 0; i < looks && (max_events == 0 || left > 0); i++) {
        const uint32_t taken = look(executor, left != 0 ? (uint32_t)left : UINT32_MAX);
        /* A worker may have to wait for what another executor is to do. */
        if (taken == 0 && (executor->worker != NULL || !has_work(executor)))
            break;
        if (taken != 0 && executor->busy_since_ns == UINT64_MAX)
            executor->busy_since_ns = executor->now_ns;
        left -= taken < left ? taken : left;
    }
    if (executor->worker != NULL)
        hl_worker_rest(executor->worker);
    /* Not by the last reading that was made anyway: it came before the last few events, which in a
     * short turn are all. */
    if (executor->busy_since_ns != UINT64_MAX)
        count_busy(executor, hl_bus_now(executor->bus));
    rest_recorders(executor);
    note_cpu(executor);
    set_state(executor, HL_EXECUTOR_IDLE);
    hl_executor_go_offline(executor);
    return (uint32_t)(executor->events - before);
}
