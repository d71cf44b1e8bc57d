/* Promise 9: durability is a choice per domain, kept with threads of the bus's own. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <hotlane/system.h>

#include "journal/snapshot.h"
#include "own_bus.h"
#include "tests/journal_count.h"
#include "tests/temporary_directory.h"

#define EVENTS (20000u / OWN_SHARE)

static char directory[TEMPORARY_DIRECTORY_SIZE];

static void set_up(void)
{
    temporary_directory_make(NULL, "journal", directory);
}

static void tear_down(void)
{
    temporary_directory_remove(directory);
}

TestSuite(journal, .init = set_up, .fini = tear_down);

/* ---- no file calls ---- */

/* What a thread that turns partitions may ask of the kernel: to wait and wake, the time, where it
 * runs, memory for its own end. No call on a file is among them. */
static const int allowed[] = {SYS_futex,        SYS_membarrier,      SYS_clock_gettime,
                              SYS_getcpu,       SYS_nanosleep,       SYS_clock_nanosleep,
                              SYS_sched_yield,  SYS_gettid,          SYS_rt_sigprocmask,
                              SYS_rt_sigreturn, SYS_madvise,         SYS_munmap,
                              SYS_mmap,         SYS_mprotect,        SYS_set_robust_list,
                              SYS_rseq,         SYS_restart_syscall, SYS_exit};

/* From here on the process ends with SIGSYS when the calling thread makes any other call. False: no
 * filter may be set here. */
static bool allow_no_file_calls(void)
{
    enum { COUNT = sizeof allowed / sizeof *allowed };
    struct sock_filter filter[2 * COUNT + 2];
    size_t n = 0;
    filter[n++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < COUNT; i++) {
        filter[n++] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)allowed[i], 0, 1);
        filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    }
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    const struct sock_fprog program = {.len = (unsigned short)n, .filter = filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

/* ---- a bus with journals ---- */

static hl_bus *create(hl_durability market_data, hl_durability order, uint32_t order_slots)
{
    static const char *const names[] = {"market_data", "order", "system"};
    static const hl_priority priorities[] = {HL_NORMAL, HL_CRITICAL, HL_LOW};
    const hl_durability durabilities[] = {market_data, order, HL_DURABILITY_OFF};
    hl_domain_config domains[3];
    for (int i = 0; i < 3; i++)
        domains[i] = (hl_domain_config){.name = names[i],
                                        .priority = priorities[i],
                                        .shards = 1,
                                        .slot_size_bytes = 512,
                                        .ring_slots = 64,
                                        .handler_ring_slots = 64,
                                        .publishes_to = "*",
                                        .wait = HL_WAIT_PARK,
                                        .durability = durabilities[i],
                                        .journal_slots = i == 1 ? order_slots : 256};
    hl_config config = HL_CONFIG_INIT;
    config.domains = domains;
    config.domain_count = 3;
    config.huge_pages = config.lock_memory = false;
    config.max_topics = 64;
    config.journal_dir = directory;
    config.journal_segment_bytes = 1 << 20;
    hl_bus *bus = NULL;
    hl_error error = {.text = ""};
    cr_assert_eq(hl_bus_create(&config, &bus, &error), HL_OK, "%s", error.text);
    return bus;
}

static hl_partition_journal_stats journal_of(const hl_bus *bus, const char *domain)
{
    hl_partition_journal_stats stats;
    uint32_t partition;
    cr_assert_eq(hl_bus_partition(bus, domain, 0, &partition), HL_OK);
    cr_assert_eq(hl_bus_journal_stats(bus, partition, &stats), HL_OK);
    return stats;
}

typedef struct pipeline {
    hl_bus *bus;
    hl_topic order;
    bool order_is_sync;
    bool unguarded; /* no filter may be set here */
    uint64_t seen[2];
    uint64_t undurable; /* orders that a power cut could still have taken back */
} pipeline;

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED true /* its runtime makes calls of its own on every thread */
#else
#define SANITIZED false
#endif

/* Once a thread: the partitions may have one each, or one for both. */
static void guard(pipeline *of)
{
    static _Thread_local bool guarded;
    if (guarded || SANITIZED)
        return;
    guarded = true;
    if (!allow_no_file_calls())
        hl_store_relaxed_u8((uint8_t *)&of->unguarded, 1);
}

static hl_status on_trade(const hl_event *event, hl_publisher *out, void *context)
{
    pipeline *const of = context;
    guard(of);
    const uint64_t value = own_value(event);
    if (value % 4 == 0) {
        const hl_status status = hl_reserve(out, of->order, event->key, 1);
        if (status != HL_OK)
            return HL_RETRY;
        if (hl_try_publish(out, of->order, event->key, &value, sizeof value) != HL_OK)
            return HL_RETRY;
    }
    hl_store_release_u64(&of->seen[0], of->seen[0] + 1);
    return HL_OK;
}

static hl_status on_order(const hl_event *event, hl_publisher *out, void *context)
{
    pipeline *const of = context;
    (void)out;
    guard(of);
    of->undurable +=
        of->order_is_sync && journal_of(of->bus, "order").durable_sequence < event->sequence;
    hl_store_release_u64(&of->seen[1], of->seen[1] + 1);
    return HL_OK;
}

/* Nothing is missing. */
static uint64_t journaled(const char *partition)
{
    uint64_t missing;
    const uint64_t events = journal_count(directory, partition, &missing);
    cr_assert_eq(missing, 0);
    return events;
}

/* The threads that write the journal stand in the table of threads, and have written. */
static void check_threads(const hl_bus *bus, uint32_t expected)
{
    hl_thread_status thread;
    uint32_t threads = 0;
    for (uint32_t i = 0; hl_bus_thread_status(bus, i, &thread) == HL_OK; i++) {
        if (strcmp(thread.role, "journal") != 0)
            continue;
        threads++;
        cr_assert_eq(strncmp(thread.name, "journal", strlen("journal")), 0, "%s", thread.name);
        cr_assert_geq(thread.running_cpu, 0);
        cr_assert_gt(thread.turns, 0);
        cr_assert_gt(thread.events, 0);
        cr_assert_geq(thread.partitions, 1);
    }
    cr_assert_eq(threads, expected);
}

static void run(hl_durability market_data, hl_durability order, uint32_t order_slots,
                uint64_t events)
{
    pipeline of = {.bus = create(market_data, order, order_slots),
                   .order_is_sync = order == HL_DURABILITY_SYNC};
    const hl_topic trade = own_topic(of.bus, "market_data.trade", HL_DELTA);
    of.order = own_topic(of.bus, "order.new", HL_DELTA);
    own_subscribe(of.bus, "market_data.trade", on_trade, &of);
    own_subscribe(of.bus, "order.new", on_order, &of);
    cr_assert_eq(hl_bus_start(of.bus), HL_OK);
    hl_publisher *const feed = own_publisher(of.bus, "feed", NULL);
    for (uint64_t i = 0; i < events; i++)
        own_publish(feed, trade, i % 7, i);
    own_await(&of.seen[0], events);
    const uint64_t orders = (events + 3) / 4; /* of the values that 4 divides */
    own_await(&of.seen[1], orders);
    const hl_bus *const bus = of.bus;
    check_threads(bus, 1 + (order == HL_DURABILITY_SYNC));
    const hl_partition_journal_stats before = journal_of(bus, "order");
    cr_assert_eq(before.last_sequence, orders);
    own_stop(of.bus);
    cr_assert_eq(of.undurable, 0);
    cr_assert_eq(journaled("market_data"), events);
    cr_assert_eq(journaled("order"), orders);
    if (of.unguarded)
        cr_skip_test("no seccomp filter may be set here: file calls of a partition went unseen");
}

Test(journal, async_domains_are_written_whole_without_a_file_call_of_a_partition, .timeout = 240)
{
    run(HL_DURABILITY_ASYNC, HL_DURABILITY_ASYNC, 0, EVENTS);
}

Test(journal, no_handler_of_a_sync_domain_sees_what_is_not_durable, .timeout = 240)
{
    run(HL_DURABILITY_ASYNC, HL_DURABILITY_SYNC, 0, EVENTS);
}

Test(journal, a_sync_domain_with_few_in_flight_holds_its_lanes_and_loses_nothing, .timeout = 240)
{
    run(HL_DURABILITY_ASYNC, HL_DURABILITY_SYNC, 8, EVENTS / 20);
}

Test(journal, both_domains_may_be_sync, .timeout = 240)
{
    run(HL_DURABILITY_SYNC, HL_DURABILITY_SYNC, 64, EVENTS / 8);
}

/* ---- where io_uring is refused ---- */

typedef struct told {
    uint64_t times;
    hl_system_journal last;
} told;

static hl_status on_state(const hl_event *event, hl_publisher *out, void *context)
{
    told *const of = context;
    (void)out;
    memcpy(&of->last, hl_payload(event), sizeof of->last);
    hl_store_release_u64(&of->times, of->times + 1);
    return HL_OK;
}

/* As containers do. For this thread and those that it starts. */
static bool refuse_io_uring(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    const struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

Test(journal, where_io_uring_is_refused_it_is_said_once_and_all_is_written, .timeout = 240)
{
    if (!refuse_io_uring())
        cr_skip_test("no seccomp filter may be set here");
    told of = {0};
    hl_bus *const bus = create(HL_DURABILITY_ASYNC, HL_DURABILITY_ASYNC, 0);
    const hl_topic trade = own_topic(bus, "market_data.trade", HL_DELTA);
    own_subscribe(bus, HL_TOPIC_JOURNAL_STATE, on_state, &of);
    cr_assert_eq(hl_bus_start(bus), HL_OK);
    hl_publisher *const feed = own_publisher(bus, "feed", NULL);
    for (uint64_t i = 0; i < 1000; i++)
        own_publish(feed, trade, i % 7, i);
    own_await(&of.times, 1);
    own_stop(bus);
    cr_assert_eq(of.times, 1, "two partitions, one thread");
    cr_assert_not_null(strstr(of.last.text, "its syncs are waited for"), "%s", of.last.text);
    cr_assert_eq(of.last.state, HL_JOURNAL_RUNNING);
    cr_assert_geq(journaled("market_data"), 1000);
}

/* ---- snapshots ---- */

#define SNAPSHOT_EVENTS (EVENTS / 5)

typedef struct tally {
    uint64_t count, sum;
} tally;

static hl_status add_up(void *state, const hl_event *event, hl_publisher *out, void *context)
{
    tally *const of = state;
    (void)out, (void)context;
    of->count++;
    of->sum += own_value(event);
    return HL_OK;
}

/* Of one tally in a table: size, count, key, and the tally. */
static hl_status check_snapshot(void *context, const char *path, const hl_snapshot *looked_at)
{
    uint64_t *const checked = context;
    tally of;
    hl_snapshot snapshot;
    cr_assert_not_null(looked_at, "%s is not whole", path);
    if (strcmp(looked_at->name, "trades") != 0 && strcmp(looked_at->name, "orders") != 0)
        return HL_OK; /* last values: there are none */
    const hl_status status = hl_snapshot_file_read(hl_io_posix(), path, NULL, &snapshot, NULL);
    if (status == HL_NOT_FOUND)
        return HL_OK; /* a newer one has just taken its place */
    cr_assert_eq(status, HL_OK, "%s", path);
    cr_assert_eq(snapshot.size, 4 + 4 + 8 + sizeof of);
    memcpy(&of, (const char *)snapshot.payload + 16, sizeof of);
    hl_snapshot_release(&snapshot);
    cr_assert_eq(of.count, snapshot.sequence, "%lu events in %s", of.count, path);
    /* Trades are 0, 1, 2, ...; what waited for room became an order later than others. */
    if (snapshot.name[0] == 't')
        cr_assert_eq(of.sum, of.count * (of.count - 1) / 2, "%s", path);
    ++*checked;
    return HL_OK;
}

static void open_tally(hl_bus *bus, const char *name, const char *domain)
{
    hl_aggregate_options options = HL_AGGREGATE_OPTIONS_INIT;
    hl_aggregate *aggregate;
    hl_error error = {.text = ""};
    options.name = name;
    options.domain = domain;
    options.apply = add_up;
    options.state_size_bytes = sizeof(tally);
    cr_assert_eq(hl_aggregate_open(bus, &options, &aggregate, &error), HL_OK, "%s", error.text);
}

typedef struct flood {
    hl_publisher *feed;
    hl_topic trade;
} flood;

static void *publish_all(void *context)
{
    const flood *const of = context;
    for (uint64_t i = 0; i < SNAPSHOT_EVENTS; i++)
        own_publish(of->feed, of->trade, i % 7, i);
    return NULL;
}

static void take_snapshot(const pipeline *of)
{
    hl_error error = {.text = ""};
    cr_assert_eq(hl_bus_snapshot(of->bus, 60 * HL_SECOND, &error), HL_OK, "%s", error.text);
}

static uint64_t check_all_snapshots(void)
{
    hl_error error = {.text = ""};
    uint64_t checked = 0;
    cr_assert_eq(hl_snapshot_each(hl_io_posix(), directory, NULL, check_snapshot, &checked, &error),
                 HL_OK, "%s", error.text);
    return checked;
}

Test(journal, snapshots_under_load_are_of_one_sequence_and_cost_a_partition_no_file_call,
     .timeout = 240)
{
    pipeline of = {.bus = create(HL_DURABILITY_ASYNC, HL_DURABILITY_SYNC, 0),
                   .order_is_sync = true};
    flood to = {.trade = own_topic(of.bus, "market_data.trade", HL_DELTA)};
    of.order = own_topic(of.bus, "order.new", HL_DELTA);
    own_subscribe(of.bus, "market_data.trade", on_trade, &of);
    own_subscribe(of.bus, "order.new", on_order, &of);
    open_tally(of.bus, "trades", "market_data");
    open_tally(of.bus, "orders", "order");
    cr_assert_eq(hl_bus_start(of.bus), HL_OK);
    to.feed = own_publisher(of.bus, "feed", NULL);
    const pthread_t thread = own_thread(publish_all, &to);
    /* Acquire, as own_await. */
    while (hl_load_acquire_u64(&of.seen[0]) < SNAPSHOT_EVENTS) {
        take_snapshot(&of);
        check_all_snapshots();
    }
    own_join(thread);
    own_await(&of.seen[1], SNAPSHOT_EVENTS / 4);
    take_snapshot(&of);
    /* Something new for the snapshots of the stop: one that holds nothing new is not written. */
    for (uint64_t i = SNAPSHOT_EVENTS; i < SNAPSHOT_EVENTS + 8; i++)
        own_publish(to.feed, to.trade, i % 7, i);
    own_await(&of.seen[1], SNAPSHOT_EVENTS / 4 + 2);
    own_stop(of.bus);
    cr_assert_eq(check_all_snapshots(), 4, "two of each are kept");
}
