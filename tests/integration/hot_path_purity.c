/*
 * The hot path is pure: while a million events go from a publisher to handlers, and from a handler
 * through `out` to another partition, neither the publisher's thread nor any executor's allocates
 * or makes a system call; nor where events are sampled, conflated, or taken in batches. Where the
 * executor sleeps, the publisher makes one kind of system call, the futex that wakes it, and no
 * more of them than there were sleeps. All of it is counted, not believed: allocations by a malloc
 * of our own, system calls by a parent process that traces every thread.
 *
 *     hot_path_purity [CASE]        those whose name begins so
 *
 * A program, not a Criterion test: Criterion's own threads would be traced with ours. Exit 0, 1, or
 * 77 (skipped: fewer than two CPUs, so that a spinning executor would wait for the kernel's time
 * slice, or tracing is not allowed here).
 */
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hotlane/hotlane.h>

#define EVENTS_MAX  1000000u
#define WARM_UP     100000u
#define KEYS        1024u
#define BATCH       64u
#define BURST       100u /* events between two sleeps */
#define SKIPPED     77
#define MAX_THREADS 64
#define QUIET_US    300000
#define TIMEOUT     (60 * HL_SECOND)

typedef struct purity_case {
    const char *name;
    uint32_t events;
    bool is_parked;  /* the executors sleep, and are let fall asleep between bursts */
    bool is_sampled; /* always, in windows of 1 ms */
    bool conflates;
    bool publisher_batches;
    bool handler_batches;
} purity_case;

static const purity_case cases[] = {
    {.name = "one_by_one", .events = EVENTS_MAX},
    {.name = "sampled", .events = 300000, .is_sampled = true},
    {.name = "conflated", .events = 300000, .conflates = true},
    {.name = "conflated_and_sampled", .events = 300000, .conflates = true, .is_sampled = true},
    {.name = "publisher_batches", .events = 300000, .publisher_batches = true},
    {.name = "handler_batches", .events = 300000, .handler_batches = true},
    {.name = "parked", .events = 20 * BURST, .is_parked = true},
    {.name = "parked_conflated", .events = 20 * BURST, .is_parked = true, .conflates = true},
    {.name = "parked_batches_sampled",
     .events = 20 * BURST,
     .is_parked = true,
     .is_sampled = true,
     .publisher_batches = true,
     .handler_batches = true},
};
#define CASES (sizeof cases / sizeof *cases)

/* Shared by the traced child and the tracing parent. */
typedef struct record {
    volatile pid_t publisher;
    volatile pid_t executors[MAX_THREADS];
    volatile uint32_t executor_count;
    volatile uint32_t measuring;
    volatile uint64_t executor_calls;
    volatile uint64_t publisher_calls; /* but for futex */
    volatile uint64_t wakes;           /* the publisher's futex calls */
    volatile uint64_t first_call;      /* number of the first one of the two counts before */
    volatile uint64_t allocations;
    volatile uint64_t handled, forwarded;
    volatile uint64_t newest; /* number of the newest event that was handled */
    volatile uint64_t sleeps; /* of executors, while it was measured */
} record;

static record *shared;

/* ---- counting allocations: ours stand before the C library's ---- */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);

static _Thread_local int is_hot_thread;

static void count_allocation(void)
{
    if (is_hot_thread && shared->measuring != 0)
        __atomic_fetch_add(&shared->allocations, 1, __ATOMIC_RELAXED);
}

void *malloc(size_t size)
{
    count_allocation();
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    count_allocation();
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    count_allocation();
    return __libc_realloc(memory, size);
}

/* ---- the traced child ---- */

static const purity_case *asked;
static hl_topic forwards;

static void note_executor(void)
{
    if (is_hot_thread)
        return;
    is_hot_thread = 1;
    const uint32_t index = __atomic_fetch_add(&shared->executor_count, 1, __ATOMIC_SEQ_CST);
    if (index < MAX_THREADS)
        shared->executors[index] = (pid_t)syscall(SYS_gettid);
}

static void note_publisher(void)
{
    is_hot_thread = 1;
    shared->publisher = (pid_t)syscall(SYS_gettid);
}

static hl_status on_event(const hl_event *event, hl_publisher *out, void *context)
{
    (void)context;
    note_executor();
    hl_claim claim;
    if (event->key % 8 == 0) {
        const hl_status status = hl_try_claim(out, forwards, event->key, 8, &claim);
        if (status != HL_OK)
            return status;
        hl_commit(&claim);
    }
    uint64_t number;
    memcpy(&number, hl_payload(event), sizeof number);
    shared->handled++;
    if (number > shared->newest)
        shared->newest = number;
    return HL_OK;
}

static hl_status on_batch(const hl_batch *batch, hl_publisher *out, void *context)
{
    hl_status status = HL_OK;
    for (uint32_t i = 0; i < batch->count && status == HL_OK; i++)
        status = on_event(batch->events[i], out, context);
    return status;
}

static hl_status on_forward(const hl_event *event, hl_publisher *out, void *context)
{
    (void)event;
    (void)out;
    (void)context;
    note_executor();
    shared->forwarded++;
    return HL_OK;
}

/* Numbers from `first` on. */
static void publish(hl_publisher *feed, hl_topic topic, uint64_t first, uint32_t events)
{
    uint64_t payload[8] = {0};
    for (uint32_t i = 0; i < events;) {
        payload[0] = first + i;
        const uint64_t key = payload[0] % KEYS;
        const hl_status status = i % 2 == 0
                                     ? hl_try_publish(feed, topic, key, payload, sizeof payload)
                                     : hl_publish(feed, topic, key, payload, sizeof payload);
        i += status == HL_OK;
    }
    hl_publisher_flush(feed);
}

/* The last of them has been handled, and with it whatever lay before it in its lane. */
static void await(uint64_t number)
{
    while (__atomic_load_n(&shared->newest, __ATOMIC_SEQ_CST) < number)
        ;
}

static int fail(hl_bus *bus, const char *what)
{
    hl_error error = {.text = ""};
    if (bus != NULL)
        hl_bus_error(bus, &error);
    fprintf(stderr, "%s: %s\n", what, error.text);
    return 1;
}

/* The six default domains, waiting as the case says, whatever the plan would choose. */
static void make_domains(hl_domain_config *domains, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        domains[i].wait = asked->is_parked ? HL_WAIT_PARK : HL_WAIT_SPIN;
    if (asked->conflates) { /* market_data is the first */
        domains[0].conflates = "normal";
        domains[0].conflate_keys = KEYS;
    }
}

static hl_status subscribe(hl_bus *bus)
{
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    hl_subscription *subscription;
    if (asked->handler_batches) {
        options.batch = on_batch;
        options.batch_events = BATCH;
        options.batch_wait_ns = HL_MILLISECOND;
    }
    const hl_status status =
        hl_subscribe(bus, "market_data.>", asked->handler_batches ? NULL : on_event, NULL, &options,
                     &subscription);
    return status == HL_OK ? hl_subscribe(bus, "signal.*", on_forward, NULL, NULL, &subscription)
                           : status;
}

static hl_status set_up(hl_bus *bus, hl_topic *ret_topic, hl_publisher **ret_feed)
{
    hl_topic_options topic = HL_TOPIC_OPTIONS_INIT;
    hl_publisher_options feed = HL_PUBLISHER_OPTIONS_INIT;
    topic.kind = asked->conflates || asked->is_sampled ? HL_STATE : HL_DELTA;
    topic.always_sampled = asked->is_sampled;
    if (asked->is_sampled)
        topic.sampling_window_ns = HL_MILLISECOND;
    topic.max_keys = topic.kind == HL_STATE ? KEYS : 0;
    feed.uses = "market_data";
    if (asked->publisher_batches) {
        feed.batch_events = BATCH;
        feed.batch_wait_ns = HL_MILLISECOND;
    }
    hl_status status = hl_topic_declare(bus, "market_data.quote", &topic, ret_topic);
    if (status == HL_OK)
        status = hl_topic_declare(bus, "signal.forward", NULL, &forwards);
    if (status == HL_OK)
        status = subscribe(bus);
    if (status == HL_OK)
        status = hl_bus_start(bus);
    return status == HL_OK ? hl_publisher_open(bus, "feed", &feed, ret_feed) : status;
}

/* How often executors slept so far, and whether all do now. Not while it is measured: it may wait
 * for the bus's lock. */
static uint64_t sleeps_of(const hl_bus *bus, bool *ret_all_asleep)
{
    uint64_t parks = 0;
    *ret_all_asleep = true;
    hl_thread_status thread;
    for (uint32_t i = 0; hl_bus_thread_status(bus, i, &thread) == HL_OK; i++) {
        if (strcmp(thread.role, "executor") != 0)
            continue;
        parks += thread.parks;
        *ret_all_asleep &= strcmp(thread.state, "asleep") == 0;
    }
    return parks;
}

static void measure(const hl_bus *bus, hl_publisher *feed, hl_topic topic)
{
    const uint32_t burst = asked->is_parked ? BURST : asked->events;
    bool rested;
    const uint64_t sleeps = sleeps_of(bus, &rested);
    for (uint32_t sent = 0; sent < asked->events; sent += burst) {
        const uint64_t first = WARM_UP + 1 + sent;
        do
            shared->sleeps = sleeps_of(bus, &rested) - sleeps;
        while (asked->is_parked && !rested);
        shared->measuring = 1;
        publish(feed, topic, first, burst);
        await(first + burst - 1);
        shared->measuring = 0;
    }
    shared->sleeps = sleeps_of(bus, &rested) - sleeps;
}

static int child(void)
{
    uint32_t count;
    const hl_domain_config *const defaults = hl_default_domains(&count);
    hl_domain_config domains[8];
    memcpy(domains, defaults, count * sizeof *domains);
    make_domains(domains, count);
    const char *const publishers[] = {"feed"};
    hl_config config = HL_CONFIG_INIT;
    config.domains = domains;
    config.domain_count = count;
    config.publishers = publishers;
    config.publisher_count = 1;
    hl_error error;
    hl_bus *bus;
    hl_topic topic;
    hl_publisher *feed;
    uint32_t cpu;
    if (hl_bus_create(&config, &bus, &error) != HL_OK)
        return fprintf(stderr, "%s\n", error.text), 1;
    if (set_up(bus, &topic, &feed) != HL_OK)
        return fail(bus, "set up");
    if (hl_bus_publisher_cpu(bus, "feed", &cpu) != HL_OK || hl_pin_to_cpu(cpu, &error) != HL_OK)
        return fail(bus, "pin");
    note_publisher();
    publish(feed, topic, 1, WARM_UP);
    await(WARM_UP);
    /* What the control plane did before has a last echo on the executors' threads: each wakes
     * liburcu's thread once when the routes that subscribe replaced are free. */
    usleep(QUIET_US);
    measure(bus, feed, topic);
    if (hl_bus_stop(bus, TIMEOUT) != HL_OK)
        return fail(bus, "stop");
    hl_bus_destroy(bus);
    return 0;
}

/* ---- the tracing parent ---- */

static bool is_executor(pid_t thread)
{
    for (uint32_t i = 0; i < shared->executor_count && i < MAX_THREADS; i++)
        if (shared->executors[i] == thread)
            return true;
    return false;
}

static void count_call(pid_t thread)
{
    struct __ptrace_syscall_info call;
    const bool is_publisher = thread == shared->publisher;
    if (shared->measuring == 0 || (!is_publisher && !is_executor(thread)) ||
        ptrace(PTRACE_GET_SYSCALL_INFO, thread, (void *)sizeof call, &call) <= 0 ||
        call.op != PTRACE_SYSCALL_INFO_ENTRY)
        return;
    if (is_publisher && call.entry.nr == SYS_futex) {
        shared->wakes++;
        return;
    }
    if (shared->publisher_calls + shared->executor_calls == 0)
        shared->first_call = call.entry.nr;
    *(is_publisher ? &shared->publisher_calls : &shared->executor_calls) += 1;
}

/* Traces until the child has ended; its exit status. */
static int trace(pid_t process)
{
    int status;
    pid_t thread;
    if (waitpid(process, &status, 0) != process || !WIFSTOPPED(status))
        return SKIPPED;
    ptrace(PTRACE_SETOPTIONS, process, NULL,
           PTRACE_O_TRACECLONE | PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
    ptrace(PTRACE_SYSCALL, process, NULL, NULL);
    while ((thread = waitpid(-1, &status, __WALL)) > 0) {
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            if (thread == process)
                return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
            continue;
        }
        const int signal = WSTOPSIG(status);
        const int is_call = signal == (SIGTRAP | 0x80);
        if (is_call)
            count_call(thread);
        const int pass_on = is_call || signal == SIGTRAP || signal == SIGSTOP ? 0 : signal;
        ptrace(PTRACE_SYSCALL, thread, NULL, (void *)(uintptr_t)pass_on);
    }
    return 1;
}

static int skip(const char *why)
{
    printf("skipped: %s\n", why);
    return SKIPPED;
}

/* An executor that parks calls the kernel for that, its own affair. It slept before it was
 * measured, too. */
static bool is_pure(const purity_case *of)
{
    const uint64_t wakes_max = of->is_parked ? shared->sleeps + 1 : 0;
    const bool ran = shared->newest == WARM_UP + of->events && shared->forwarded != 0 &&
                     shared->executor_count != 0 && (!of->is_parked || shared->wakes != 0);
    return ran && shared->publisher_calls == 0 && shared->allocations == 0 &&
           shared->wakes <= wakes_max && (of->is_parked || shared->executor_calls == 0);
}

/* 0, 1 or SKIPPED. */
static int run(const purity_case *of)
{
    memset(shared, 0, sizeof *shared);
    asked = of;
    fflush(stdout); /* else the child would print it again */
    const pid_t process = fork();
    if (process == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(SKIPPED);
        raise(SIGSTOP);
        exit(child());
    }
    const int status = process < 0 ? 1 : trace(process);
    if (status == SKIPPED)
        return SKIPPED;
    if (status != 0)
        return fprintf(stderr, "%s: the traced run failed with %d\n", of->name, status), 1;
    const bool pure = is_pure(of);
    printf("%s: %u events, %" PRIu64 " handled, %" PRIu64 " forwarded, %u executors; %" PRIu64
           " allocations; system calls: the publisher %" PRIu64 " and %" PRIu64
           " futexes for %" PRIu64 " sleeps, executors %" PRIu64 "\n",
           of->name, of->events, shared->handled, shared->forwarded, shared->executor_count,
           shared->allocations, shared->publisher_calls, shared->wakes, shared->sleeps,
           shared->executor_calls);
    if (!pure)
        fprintf(stderr, "%s: not pure; the first system call was number %" PRIu64 "\n", of->name,
                shared->first_call);
    return pure ? 0 : 1;
}

int main(int argc, char **argv)
{
    const char *const only = argc > 1 ? argv[1] : "";
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) < 2)
        return skip("it needs two CPUs, one for the publisher, one for an executor that spins");
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return perror("mmap"), 1;
    int failures = 0;
    for (size_t i = 0; i < CASES; i++) {
        if (strncmp(cases[i].name, only, strlen(only)) != 0)
            continue;
        const int outcome = run(&cases[i]);
        if (outcome == SKIPPED)
            return skip("tracing a process is not allowed here");
        failures += outcome;
    }
    return failures == 0 ? 0 : 1;
}
