/*
 * The hot path is pure: while a million events go from a publisher to handlers, and from a handler
 * through `out` to another partition, neither the publisher's thread nor any executor's allocates
 * or makes a system call. Both are counted, not believed: allocations by a malloc of our own,
 * system calls by a parent process that traces every thread.
 *
 * A program, not a Criterion test: Criterion's own threads would be traced with ours. Exit 0, 1, or
 * 77 (skipped: fewer than two CPUs, so that a spinning executor would wait for the kernel's time
 * slice, or tracing is not allowed here).
 */
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hotlane/hotlane.h>

#define EVENTS      1000000u
#define WARM_UP     100000u
#define SKIPPED     77
#define MAX_THREADS 64
#define QUIET_US    300000
#define TIMEOUT     (60 * HL_SECOND)

/* Shared by the traced child and the tracing parent. */
typedef struct record {
    volatile pid_t hot_threads[MAX_THREADS]; /* the publisher and the executors */
    volatile uint32_t hot_thread_count;
    volatile uint32_t measuring;
    volatile uint64_t system_calls;
    volatile uint64_t first_call; /* number of the first one seen */
    volatile uint64_t allocations;
    volatile uint64_t handled, forwarded;
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

static hl_topic forwards;

static void note_thread(void)
{
    if (is_hot_thread)
        return;
    is_hot_thread = 1;
    const uint32_t index = __atomic_fetch_add(&shared->hot_thread_count, 1, __ATOMIC_SEQ_CST);
    if (index < MAX_THREADS)
        shared->hot_threads[index] = (pid_t)syscall(SYS_gettid);
}

static hl_status on_event(const hl_event *event, hl_publisher *out, void *context)
{
    (void)context;
    note_thread();
    hl_claim claim;
    if (event->key % 8 == 0) {
        const hl_status status = hl_try_claim(out, forwards, event->key, 8, &claim);
        if (status != HL_OK)
            return status;
        hl_commit(&claim);
    }
    shared->handled++;
    return HL_OK;
}

static hl_status on_forward(const hl_event *event, hl_publisher *out, void *context)
{
    (void)event;
    (void)out;
    (void)context;
    note_thread();
    shared->forwarded++;
    return HL_OK;
}

static void publish(hl_publisher *feed, hl_topic topic, uint32_t events)
{
    const uint64_t payload[8] = {0};
    for (uint32_t i = 0; i < events;) {
        const hl_status status = i % 2 == 0
                                     ? hl_try_publish(feed, topic, i, payload, sizeof payload)
                                     : hl_publish(feed, topic, i, payload, sizeof payload);
        i += status == HL_OK;
    }
}

static int fail(hl_bus *bus, const char *what)
{
    hl_error error = {.text = ""};
    if (bus != NULL)
        hl_bus_error(bus, &error);
    fprintf(stderr, "%s: %s\n", what, error.text);
    return 1;
}

/* The six default domains, spinning, whatever the plan would choose. */
static void spin_everywhere(hl_domain_config *domains, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        domains[i].wait = HL_WAIT_SPIN;
}

static int child(void)
{
    uint32_t count;
    const hl_domain_config *const defaults = hl_default_domains(&count);
    hl_domain_config domains[8];
    memcpy(domains, defaults, count * sizeof *domains);
    spin_everywhere(domains, count);
    const char *const publishers[] = {"feed"};
    hl_config config = HL_CONFIG_INIT;
    config.domains = domains;
    config.domain_count = count;
    config.publishers = publishers;
    config.publisher_count = 1;
    hl_error error;
    hl_bus *bus;
    hl_topic topic;
    hl_subscription *subscription;
    hl_publisher *feed;
    hl_publisher_options options = HL_PUBLISHER_OPTIONS_INIT;
    options.uses = "market_data";
    uint32_t cpu;
    if (hl_bus_create(&config, &bus, &error) != HL_OK)
        return fprintf(stderr, "%s\n", error.text), 1;
    if (hl_topic_declare(bus, "market_data.trade", NULL, &topic) != HL_OK ||
        hl_topic_declare(bus, "signal.forward", NULL, &forwards) != HL_OK ||
        hl_subscribe(bus, "market_data.>", on_event, NULL, NULL, &subscription) != HL_OK ||
        hl_subscribe(bus, "signal.*", on_forward, NULL, NULL, &subscription) != HL_OK ||
        hl_bus_start(bus) != HL_OK || hl_publisher_open(bus, "feed", &options, &feed) != HL_OK)
        return fail(bus, "set up");
    if (hl_bus_publisher_cpu(bus, "feed", &cpu) != HL_OK || hl_pin_to_cpu(cpu, &error) != HL_OK)
        return fail(bus, "pin");
    note_thread();
    publish(feed, topic, WARM_UP);
    while (__atomic_load_n(&shared->handled, __ATOMIC_SEQ_CST) < WARM_UP)
        ;
    /* What the control plane did before has a last echo on the executors' threads: each wakes
     * liburcu's thread once when the routes that subscribe replaced are free. */
    usleep(QUIET_US);
    shared->measuring = 1;
    publish(feed, topic, EVENTS);
    while (__atomic_load_n(&shared->handled, __ATOMIC_SEQ_CST) < WARM_UP + EVENTS)
        ;
    shared->measuring = 0;
    if (hl_bus_stop(bus, TIMEOUT) != HL_OK)
        return fail(bus, "stop");
    hl_bus_destroy(bus);
    return 0;
}

/* ---- the tracing parent ---- */

static int is_hot(pid_t thread)
{
    for (uint32_t i = 0; i < shared->hot_thread_count && i < MAX_THREADS; i++)
        if (shared->hot_threads[i] == thread)
            return 1;
    return 0;
}

static void count_call(pid_t thread)
{
    struct __ptrace_syscall_info call;
    if (shared->measuring == 0 || !is_hot(thread) ||
        ptrace(PTRACE_GET_SYSCALL_INFO, thread, (void *)sizeof call, &call) <= 0 ||
        call.op != PTRACE_SYSCALL_INFO_ENTRY)
        return;
    if (shared->system_calls++ == 0)
        shared->first_call = call.entry.nr;
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

int main(void)
{
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) < 2)
        return skip("it needs two CPUs, one for the publisher, one for an executor that spins");
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return perror("mmap"), 1;
    const pid_t process = fork();
    if (process == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(SKIPPED);
        raise(SIGSTOP);
        exit(child());
    }
    const int status = process < 0 ? 1 : trace(process);
    if (status == SKIPPED)
        return skip("tracing a process is not allowed here");
    if (status != 0)
        return fprintf(stderr, "the traced run failed with %d\n", status), 1;
    printf("%u events, %" PRIu64 " forwarded, %u hot threads: %" PRIu64 " system calls, %" PRIu64
           " allocations\n",
           EVENTS, shared->forwarded, shared->hot_thread_count, shared->system_calls,
           shared->allocations);
    if (shared->system_calls != 0)
        fprintf(stderr, "the first system call was number %" PRIu64 "\n", shared->first_call);
    const int ran = shared->handled == WARM_UP + EVENTS && shared->forwarded != 0 &&
                    shared->hot_thread_count >= 2;
    return ran && shared->system_calls == 0 && shared->allocations == 0 ? 0 : 1;
}
