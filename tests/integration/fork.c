/* A fork's child sees a bus that is detached: each call says so at once, whatever the parent's
 * threads had in hand when it forked, and the parent's bus, dead letters and sums know nothing of
 * it. */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus/bus.h"
#include "own_bus.h"

#define LIMIT_S 20u   /* a call that has not answered by then never will */
#define OPEN    HL_OK /* a reading call: whatever it says, it says it */

typedef struct stage {
    hl_bus *bus;
    hl_topic trade, quote;
    hl_publisher *feed;
    hl_shared_publisher *desk;
    hl_subscription *listener;
    hl_dlq *dlq;
} stage;

static hl_status take(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out, (void)context;
    return own_value(event) % 16 == 0 ? HL_REJECT : HL_OK;
}

static bool look(const hl_dead_letter *letter, void *context)
{
    (void)letter, (void)context;
    return true;
}

/* ---- every call ---- */

#define CALLS(X)                                                                                \
    X(HL_DETACHED, hl_publish(on->feed, on->trade, 1, &value, 8))                               \
    X(HL_DETACHED, hl_try_publish(on->feed, on->trade, 1, &value, 8))                           \
    X(HL_DETACHED, hl_try_claim(on->feed, on->trade, 1, 8, &claim))                             \
    X(HL_DETACHED, hl_try_claim_run(on->feed, on->trade, 1, 8, 2, &claim))                      \
    X(HL_DETACHED, hl_try_claim_priority(on->feed, on->trade, 1, HL_NORMAL, 8, &claim))         \
    X(HL_DETACHED, hl_warm(on->feed, on->trade, 1))                                             \
    X(HL_DETACHED, hl_claim_wait(on->feed, on->trade, 1, 8, &claim))                            \
    X(HL_DETACHED, hl_claim_run_wait(on->feed, on->trade, 1, 8, 2, &claim))                     \
    X(HL_DETACHED, hl_shared_publish(on->desk, on->trade, 1, &value, 8))                        \
    X(HL_DETACHED, hl_shared_try_publish(on->desk, on->trade, 1, &value, 8))                    \
    X(HL_DETACHED, hl_shared_try_claim(on->desk, on->trade, 1, 8, &claim))                      \
    X(HL_DETACHED, hl_shared_try_claim_run(on->desk, on->trade, 1, 8, 2, &claim))               \
    X(HL_DETACHED, hl_shared_try_claim_priority(on->desk, on->trade, 1, HL_NORMAL, 8, &claim))  \
    X(HL_DETACHED, hl_shared_claim_wait(on->desk, on->trade, 1, 8, &claim))                     \
    X(HL_DETACHED, hl_shared_claim_run_wait(on->desk, on->trade, 1, 8, 2, &claim))              \
    X(HL_DETACHED, hl_adapter_open(on->bus, "callback", NULL, &adapter))                        \
    X(HL_DETACHED, hl_bus_slowest(on->bus, "market_data", &slow, 1, &slow_count))               \
    X(HL_DETACHED, hl_bus_start(on->bus))                                                       \
    X(HL_DETACHED, hl_bus_stop(on->bus, HL_SECOND))                                             \
    X(HL_DETACHED, hl_bus_housekeep(on->bus))                                                   \
    X(HL_DETACHED, hl_topic_declare(on->bus, "order.fresh", NULL, &topic))                      \
    X(HL_DETACHED, hl_subscribe(on->bus, "market_data.trade", take, NULL, NULL, NULL))          \
    X(HL_DETACHED, hl_unsubscribe(on->listener, HL_SECOND, &error))                             \
    X(HL_DETACHED, hl_subscription_flush(on->listener))                                         \
    X(HL_DETACHED, hl_subscription_reattach(on->listener))                                      \
    X(HL_DETACHED, hl_subscription_breaker_force(on->listener, HL_BREAKER_FORCED_OPEN, &error)) \
    X(HL_DETACHED, hl_publisher_open(on->bus, "another", NULL, &publisher))                     \
    X(HL_DETACHED, hl_shared_publisher_open(on->bus, "others", NULL, &shared))                  \
    X(HL_DETACHED, hl_component_add(on->bus, "late", &component, NULL, &error))                 \
    X(HL_DETACHED, hl_components_start(on->bus, &error))                                        \
    X(HL_DETACHED, hl_crash_report_enable(on->bus, STDERR_FILENO, &error))                      \
    X(HL_DETACHED, hl_bus_replay(on->bus, &replay, &replayed, &error))                          \
    X(HL_DETACHED, hl_bus_rebuild(on->bus, &rebuild, &rebuilt, &error))                         \
    X(HL_DETACHED, hl_bus_snapshot(on->bus, HL_SECOND, &error))                                 \
    X(HL_DETACHED, hl_bus_check_conservation(on->bus, &error))                                  \
    X(HL_DETACHED, hl_dlq_list(on->dlq, NULL, look, NULL, &error))                              \
    X(HL_DETACHED, hl_dlq_count(on->dlq, NULL, &count, &error))                                 \
    X(HL_DETACHED, hl_dlq_get(on->dlq, 1, &letter, &error))                                     \
    X(HL_DETACHED, hl_dlq_redrive(on->dlq, NULL, &count, &error))                               \
    X(HL_DETACHED, hl_dlq_purge(on->dlq, NULL, &count, &error))                                 \
    X(HL_DETACHED, hl_dlq_sync(on->dlq, &error))                                                \
    X(OPEN, (hl_dlq_stats_get(on->dlq, &dlq_stats), HL_OK))                                     \
    X(HL_DETACHED, hl_health_read(on->bus, 0, &health))                                         \
    X(HL_DETACHED, hl_alert_read(on->bus, 0, &alert))                                           \
    X(HL_DETACHED, hl_log_debug(on->bus, "faults", true))                                       \
    X(OPEN, (hl_health_summary_read(on->bus, &summary), HL_OK))                                 \
    X(OPEN, hl_bus_lane_stats(on->bus, "market_data", -1, &lane))                               \
    X(OPEN, hl_bus_subscription_stats(on->bus, 0, &subscription))                               \
    X(OPEN, (hl_subscription_stats_read(on->listener, &subscription), HL_OK))                   \
    X(OPEN, hl_subscription_start(on->listener, 0, &count))                                     \
    X(OPEN, hl_bus_thread_status(on->bus, 0, &thread))                                          \
    X(OPEN, hl_bus_pool_stats(on->bus, &pool))                                                  \
    X(OPEN, hl_bus_ladder_stats(on->bus, "market_data", 0, &ladder))                            \
    X(OPEN, hl_bus_journal_stats(on->bus, 0, &journal))                                         \
    X(OPEN, hl_bus_stop_report(on->bus, &report))                                               \
    X(OPEN, hl_component_status_read(on->bus, 0, &part))                                        \
    X(OPEN, hl_last(on->bus, on->quote, 1, (hl_event *)room, sizeof room))                      \
    X(OPEN, hl_bus_publisher_cpu(on->bus, "feed", &number))                                     \
    X(OPEN, hl_bus_partition(on->bus, "market_data", 0, &number))                               \
    X(OPEN, (hl_bus_error(on->bus, &error), HL_OK))                                             \
    X(OPEN, (hl_bus_print_plan(on->bus, text), HL_OK))                                          \
    X(OPEN, (hl_topic_keys_refused(on->bus, on->quote), HL_OK))                                 \
    X(OPEN, (hl_bus_notices_lost(on->bus), HL_OK))                                              \
    X(OPEN, (hl_bus_now_ns(on->bus), HL_OK))                                                    \
    X(OPEN, (hl_topic_name(on->bus, on->trade), HL_OK))                                         \
    X(OPEN, (hl_source_name(on->bus, 1), HL_OK))                                                \
    X(OPEN, (hl_bus_domain(on->bus, 0), HL_OK))                                                 \
    X(OPEN, (hl_executor_turn(hl_bus_executor(on->bus, 0), 0), HL_OK))                          \
    X(OPEN, (hl_publisher_flush(on->feed), HL_OK))                                              \
    X(OPEN, (hl_components_stop(on->bus), HL_OK))                                               \
    X(OPEN, (hl_crash_report_disable(on->bus), HL_OK))                                          \
    X(OPEN, (hl_publisher_close(on->feed), HL_OK))                                              \
    X(OPEN, (hl_shared_publisher_close(on->desk), HL_OK))                                       \
    X(OPEN, (hl_bus_destroy(on->bus), HL_OK))

enum {
#define NUMBER(expected, call) +1
    CALL_COUNT = 0 CALLS(NUMBER)
#undef NUMBER
};

/* In the child: 0, or the number of the first call that answers otherwise. */
static int make_calls(const stage *on)
{
    const uint64_t value = 1;
    const hl_component_options component = HL_COMPONENT_OPTIONS_INIT;
    const hl_replay_options replay = HL_REPLAY_OPTIONS_INIT;
    _Alignas(hl_event) unsigned char room[256];
    hl_claim claim;
    hl_health health;
    hl_health_summary summary;
    hl_alert alert;
    hl_topic topic;
    hl_error error;
    hl_publisher *publisher;
    hl_shared_publisher *shared;
    hl_adapter *adapter;
    hl_slow_event slow;
    uint32_t slow_count;
    hl_replay_report replayed;
    hl_rebuild_options rebuild = HL_REBUILD_OPTIONS_INIT;
    rebuild.reading.directory = "/nowhere";
    hl_rebuild_report rebuilt;
    hl_dead_letter *letter;
    hl_dlq_stats dlq_stats;
    hl_lane_stats lane;
    hl_subscription_stats subscription;
    hl_thread_status thread;
    hl_pool_stats pool;
    hl_ladder_stats ladder;
    hl_partition_journal_stats journal;
    hl_stop_report report;
    hl_component_status part;
    uint64_t count;
    uint32_t number;
    FILE *const text = fopen("/dev/null", "w");
    int at = 0;
#define CALL(expected, call)                                                   \
    {                                                                          \
        at++;                                                                  \
        alarm(LIMIT_S);                                                        \
        const hl_status status = call;                                         \
        if (status != (expected) && (expected) != OPEN) {                      \
            fprintf(stderr, "%s answers %s\n", #call, hl_status_name(status)); \
            return at;                                                         \
        }                                                                      \
    }
    CALLS(CALL)
#undef CALL
    return 0;
}

static const char *const call_texts[] = {
#define TEXT(expected, call) #call,
    CALLS(TEXT)
#undef TEXT
};

static const stage *forking;

/* Forks here and now; the child makes one call after the other and is gone. */
static void fork_and_call(void)
{
    const pid_t child = fork();
    if (child == 0)
        _exit(make_calls(forking));
    int outcome = -1;
    cr_assert_eq(waitpid(child, &outcome, 0), child);
    cr_assert(WIFEXITED(outcome), "the child died of signal %d", WTERMSIG(outcome));
    cr_assert_eq(WEXITSTATUS(outcome), 0, "%s",
                 WEXITSTATUS(outcome) <= CALL_COUNT ? call_texts[WEXITSTATUS(outcome) - 1] : "?");
}

/* ---- the parent ---- */

static stage set_up(void)
{
    stage on = {.bus = own_start_with_workers(HL_WAIT_PARK, 1)};
    const hl_breaker_options breaker = HL_BREAKER_OPTIONS_INIT;
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.breaker = &breaker;
    on.trade = own_topic(on.bus, "market_data.trade", HL_DELTA);
    on.quote = own_topic(on.bus, "market_data.quote", HL_STATE);
    cr_assert_eq(hl_subscribe(on.bus, "market_data.trade", take, NULL, &options, &on.listener),
                 HL_OK);
    on.feed = own_publisher(on.bus, "feed", "market_data");
    cr_assert_eq(hl_shared_publisher_open(on.bus, "desk", NULL, &on.desk), HL_OK);
    own_publish(on.feed, on.quote, 1, 1);
    for (uint64_t value = 0; value < 64; value++)
        own_publish(on.feed, on.trade, value, value);
    on.dlq = hl_bus_dlq(on.bus);
    cr_assert_not_null(on.dlq);
    return on;
}

static void await_letters(const stage *on, uint64_t count)
{
    uint64_t letters = 0;
    hl_error error;
    while (letters < count) {
        sched_yield();
        cr_assert_eq(hl_dlq_count(on->dlq, NULL, &letters, &error), HL_OK);
    }
    cr_assert_eq(letters, count);
}

/* Nothing has happened to it: it takes events, has its letters, and its sums hold. */
static void tear_down(const stage *on)
{
    own_publish(on->feed, on->trade, 1, 16);
    await_letters(on, 5);
    own_stop(on->bus);
}

Test(fork, in_flight_a_child_is_told_that_the_bus_is_detached_by_every_call)
{
    stage on = set_up();
    forking = &on;
    for (uint64_t round = 0; round < 5; round++) {
        for (uint64_t value = 1; value < 16; value++)
            own_publish(on.feed, on.trade, value, value);
        fork_and_call();
    }
    tear_down(&on);
}

Test(fork, with_the_lock_of_the_control_plane_held_no_call_waits)
{
    stage on = set_up();
    forking = &on;
    await_letters(&on, 4);
    hl_bus_lock(on.bus);
    fork_and_call();
    hl_bus_unlock(on.bus);
    tear_down(&on);
}

static bool look_and_fork(const hl_dead_letter *letter, void *context)
{
    (void)letter;
    fork_and_call();
    ++*(uint32_t *)context;
    return false;
}

Test(fork, in_the_midst_of_the_dead_letters_no_call_waits)
{
    stage on = set_up();
    forking = &on;
    await_letters(&on, 4);
    uint32_t forks = 0;
    hl_error error = {.text = ""};
    cr_assert_eq(hl_dlq_list(on.dlq, NULL, look_and_fork, &forks, &error), HL_OK, "%s", error.text);
    cr_assert_eq(forks, 1);
    tear_down(&on);
}

/* The housekeeper's thread forks; own_await sees that it has. */
static uint64_t asked;

static hl_health_status fork_when_asked(void *context, char *reason, size_t room)
{
    (void)context, (void)reason, (void)room;
    if (hl_load_relaxed_u64(&asked) != 0)
        return HL_HEALTH_OK;
    fork_and_call();
    hl_store_release_u64(&asked, 1);
    return HL_HEALTH_OK;
}

Test(fork, in_the_midst_of_the_components_no_call_waits)
{
    stage on = set_up();
    forking = &on;
    await_letters(&on, 4);
    hl_component_options options = HL_COMPONENT_OPTIONS_INIT;
    options.health = fork_when_asked;
    hl_error error;
    cr_assert_eq(hl_component_add(on.bus, "forks", &options, NULL, &error), HL_OK);
    cr_assert_eq(hl_components_start(on.bus, &error), HL_OK);
    own_await(&asked, 1);
    hl_components_stop(on.bus);
    tear_down(&on);
}
