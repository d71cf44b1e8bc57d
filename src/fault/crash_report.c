/*
 * The last report of a process that crashes. Everything in `on_crash` is async-signal-safe: no
 * allocation, no lock, no stdio; it reads what other threads write without asking them, and a
 * number may be off by what moves.
 *
 *   CRASH  reported[n].bus: stored (release) when its fd is set, loaded (acquire) by the handler.
 *   CHAIN  chain_used[n]: stored (release) when the chain of that number is whole, loaded (acquire)
 *          by the handler.
 *   TOLD   is_told: stored (release) when the report is whole, loaded (acquire) by other threads
 *          that crash meanwhile, which end the process then.
 */
#include <hotlane/crash.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "bus/bus.h"
#include "bus/pool.h"
#include "observe/thread_switches.h"

#define BUSES_MAX    8
#define HANDLERS_MAX 8 /* of others, that came in between */
#define LINE_ROOM    512
#define NAPS         1000u /* of a millisecond, for a report of another thread */

static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT};
static const char *const signal_names[] = {"SIGSEGV", "SIGBUS", "SIGABRT"};
#define SIGNALS (sizeof signals / sizeof *signals)

static struct {
    hl_bus *bus; /* CRASH; NULL: free */
    int fd;
} reported[BUSES_MAX];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t reported_count; /* under the lock */

/* The handlers of a signal that on_crash passes on to. There are several when it could not be put
 * away, for another one lay above it, and was then installed above that: the other one passes on to
 * on_crash, too, which then goes on to the one before. */
typedef struct chain {
    struct sigaction handlers[HANDLERS_MAX]; /* the last one first */
    uint32_t count;
} chain;

static chain chains[SIGNALS][2];     /* one is used, the other one is free */
static uint32_t chain_used[SIGNALS]; /* CHAIN; under the lock */
static uint32_t reporting; /* the number of the thread whose report it is; 0: there is none */
static uint32_t is_told;   /* TOLD */

/* ---- a line ---- */

typedef struct line {
    char text[LINE_ROOM];
    size_t used;
} line;

static void say(line *to, const char *text)
{
    while (*text != '\0' && to->used < LINE_ROOM - 1)
        to->text[to->used++] = *text++;
}

static void say_number(line *to, uint64_t number)
{
    char digits[24];
    size_t at = sizeof digits;
    digits[--at] = '\0';
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    say(to, digits + at);
}

static void say_count(line *to, const char *name, const uint64_t *counter)
{
    say(to, name);
    say_number(to, hl_load_relaxed_u64(counter)); /* Relaxed: a counter. */
}

static void end_line(line *from, int fd)
{
    from->text[from->used++] = '\n';
    for (size_t written = 0; written < from->used;) {
        const ssize_t more = write(fd, from->text + written, from->used - written);
        if (more < 0 && errno == EINTR)
            continue;
        if (more <= 0)
            break; /* nobody is there to be told */
        written += (size_t)more;
    }
    from->used = 0;
}

/* ---- what is known ---- */

static void report_event(const hl_subscription *subscription, const hl_publisher *hand, int fd)
{
    line out = {.used = 0};
    const hl_event *const event = hand->event;
    const uint32_t partition = hl_id_partition(hand->event_id);
    say(&out, "hotlane: in the handler of ");
    say(&out, subscription->name);
    say(&out, ", event ");
    say_number(&out, hand->event_id);
    say(&out, " (partition ");
    say(&out,
        partition < hand->bus->partition_count ? hand->bus->partitions[partition].out->name : "?");
    say(&out, ", sequence ");
    say_number(&out, hl_id_sequence(hand->event_id));
    say(&out, ", topic ");
    const hl_topic topic = {event->topic};
    const char *const name = hl_topic_name(hand->bus, topic);
    say(&out, name != NULL ? name : "?");
    say(&out, ", key ");
    say_number(&out, event->key);
    say(&out, ", attempt ");
    say_number(&out, event->attempt);
    say(&out, ")");
    end_line(&out, fd);
}

static void report_handler(const hl_partition *partition, int fd)
{
    line out = {.used = 0};
    const hl_cell *const cell = partition->current;
    if (partition->out->event == NULL || cell == NULL)
        return;
    report_event(cell->subscription, partition->out, fd);
    say_count(&out, "hotlane: it was delivered ", &cell->delivered);
    say_count(&out, ", handled ", &cell->handled);
    say_count(&out, ", failed ", &cell->failures);
    say_count(&out, ", dead letters ", &cell->dead_lettered);
    end_line(&out, fd);
}

static void report_bus(const hl_bus *bus, int fd)
{
    line out = {.used = 0};
    const hl_executor *const here = hl_turning;
    for (uint32_t i = 0; i < bus->executor_count; i++) {
        const hl_executor *const executor = &bus->executors[i];
        say(&out, executor == here ? "hotlane: crashed on executor " : "hotlane: executor ");
        say(&out, executor->name);
        say_count(&out, ": events ", &executor->events);
        say_count(&out, ", turns ", &executor->turns);
        for (uint32_t p = 0; p < executor->partition_count; p++) {
            say(&out, ", ");
            say(&out, executor->partitions[p]->out->name);
            say_count(&out, " at ", &executor->partitions[p]->sequence);
        }
        end_line(&out, fd);
        for (uint32_t p = 0; executor == here && p < executor->partition_count; p++)
            report_handler(executor->partitions[p], fd);
        if (executor == here && executor->worker != NULL && executor->worker->serving != NULL &&
            executor->worker->out->event != NULL)
            report_event(executor->worker->serving, executor->worker->out, fd);
    }
}

static void report(int number, int index, const siginfo_t *info)
{
    for (int i = 0; i < BUSES_MAX; i++) {
        /* CRASH: acquire, its fd is seen. */
        const hl_bus *const bus = hl_load_acquire_ptr((void *const *)(void *)&reported[i].bus);
        if (bus == NULL)
            continue;
        line out = {.used = 0};
        say(&out, "hotlane: signal ");
        say_number(&out, (uint64_t)number);
        say(&out, " (");
        say(&out, signal_names[index]);
        say(&out, number == SIGABRT ? ")" : ") at address ");
        if (number != SIGABRT)
            say_number(&out, (uintptr_t)info->si_addr);
        end_line(&out, reported[i].fd);
        report_bus(bus, reported[i].fd);
    }
}

/* ---- the signal ---- */

/* on_crash on its way, in a thread. */
static _Thread_local struct {
    const siginfo_t *info;
    const void *frame;
    uint32_t depth; /* times that the signal came back to it */
} passing;

/* How often this signal has come to on_crash before. Of a handler that did not return (siglongjmp)
 * nothing is left on the stack: so what comes back lies below where it was passed on. */
static uint32_t enter(const siginfo_t *info, const void *frame)
{
    const bool comes_back = passing.info == info && (uintptr_t)frame < (uintptr_t)passing.frame;
    passing.depth = comes_back ? passing.depth + 1 : 0;
    passing.info = info;
    passing.frame = frame;
    return passing.depth;
}

/* As if hotlane had never been there. */
static void pass_on(int number, int index, uint32_t depth, siginfo_t *info, void *context)
{
    /* CHAIN: acquire, the chain is seen. */
    const chain *const to = &chains[index][hl_load_acquire_u32(&chain_used[index])];
    const struct sigaction own = {.sa_handler = SIG_DFL};
    const struct sigaction *const old =
        depth < to->count ? &to->handlers[to->count - 1 - depth] : &own;
    if ((old->sa_flags & SA_SIGINFO) != 0) {
        old->sa_sigaction(number, info, context);
    } else if (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN) {
        old->sa_handler(number);
    } else {
        /* The instruction is run again, or abort raises again: then it ends. */
        sigaction(number, &own, NULL);
        if (info->si_code <= 0 && number != SIGABRT)
            raise(number); /* sent by someone: there is no instruction to run again */
    }
}

/* Another thread has its last words: to pass on would be to cut them off. Not for ever: what it
 * writes to may be stuck. */
static void let_finish(void)
{
    const struct timespec nap = {0, (long)HL_MILLISECOND};
    /* TOLD: acquire, as said. */
    for (uint32_t i = 0; i < NAPS && hl_load_acquire_u32(&is_told) == 0; i++)
        nanosleep(&nap, NULL);
}

/* One report a process; a crash within the report passes straight on. */
static void on_crash(int number, siginfo_t *info, void *context)
{
    const uint32_t self = hl_thread_number();
    const uint32_t depth = enter(info, __builtin_frame_address(0));
    const int errno_before = errno; /* the handler that was there before may go on */
    uint32_t other = 0;
    int index = 0;
    while (signals[index] != number)
        index++;
    /* TOLD: acq_rel, one thread is the first. */
    if (hl_compare_exchange_acq_rel_u32(&reporting, &other, self)) {
        report(number, index, info);
        hl_store_release_u32(&is_told, 1); /* TOLD: release, as said. */
    } else if (other != self) {
        let_finish();
    }
    errno = errno_before;
    pass_on(number, index, depth, info, context);
    passing.info = NULL; /* it goes on */
}

/* ---- asking for it ---- */

static bool is_ours(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) != 0 && action->sa_sigaction == on_crash;
}

static bool is_same(const struct sigaction *a, const struct sigaction *b)
{
    if (((a->sa_flags ^ b->sa_flags) & SA_SIGINFO) != 0)
        return false;
    return (a->sa_flags & SA_SIGINFO) != 0 ? a->sa_sigaction == b->sa_sigaction
                                           : a->sa_handler == b->sa_handler;
}

/* The free chain of a signal as the other one is, but for a handler (NULL: none). */
static chain *copy_chain(size_t index, const struct sigaction *without)
{
    const chain *const from = &chains[index][chain_used[index]];
    chain *const to = &chains[index][1 - chain_used[index]];
    to->count = 0;
    for (uint32_t i = 0; i < from->count; i++)
        if (without == NULL || !is_same(&from->handlers[i], without))
            to->handlers[to->count++] = from->handlers[i];
    return to;
}

/* The free chain is the one that counts. */
static void use_other_chain(size_t index)
{
    /* CHAIN: release, it is whole. */
    hl_store_release_u32(&chain_used[index], 1 - chain_used[index]);
}

/* Above the handler that is there; unless that is on_crash: there was one above it that has gone.
 */
static hl_status install_one(size_t index)
{
    struct sigaction action = {.sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    struct sigaction now;
    sigemptyset(&action.sa_mask);
    if (sigaction(signals[index], NULL, &now) != 0)
        return HL_SYSTEM;
    if (is_ours(&now))
        return HL_OK;
    chain *const to = copy_chain(index, &now);
    if (to->count == HANDLERS_MAX)
        return HL_LIMIT;
    to->handlers[to->count++] = now;
    use_other_chain(index); /* first: it may be called at once */
    if (sigaction(signals[index], &action, NULL) == 0)
        return HL_OK;
    use_other_chain(index);
    return HL_SYSTEM;
}

/* Where another handler lies above it, it stays: that one may pass on to it. */
static void uninstall(void)
{
    for (size_t i = 0; i < SIGNALS; i++) {
        struct sigaction now;
        chain *const to = copy_chain(i, NULL);
        if (sigaction(signals[i], NULL, &now) != 0 || !is_ours(&now) || to->count == 0 ||
            sigaction(signals[i], &to->handlers[to->count - 1], NULL) != 0)
            continue;
        to->count--;
        use_other_chain(i);
    }
}

/* All or none. */
static hl_status install(hl_error *error)
{
    hl_status status = HL_OK;
    for (size_t i = 0; i < SIGNALS && status == HL_OK; i++)
        status = install_one(i);
    if (status == HL_OK)
        return HL_OK;
    uninstall();
    return status == HL_LIMIT
               ? hl_error_set(
                     error, status,
                     "crash report: %d handlers of others were installed since it was first "
                     "enabled, each above the last",
                     HANDLERS_MAX)
               : hl_error_set(error, status, "crash report: the system refuses signal handlers");
}

/* The bus's place, or (NULL) a free one; -1: there is none. Under the lock. */
static int find(const hl_bus *bus)
{
    for (int i = 0; i < BUSES_MAX; i++)
        if (reported[i].bus == bus)
            return i;
    return -1;
}

static hl_status enable(hl_bus *bus, int fd, hl_error *error)
{
    int place = find(bus);
    const bool is_new = place < 0;
    if (is_new)
        place = find(NULL);
    if (place < 0)
        return hl_error_set(error, HL_LIMIT, "crash report: %d buses have one already", BUSES_MAX);
    const hl_status status = reported_count == 0 ? install(error) : HL_OK;
    if (status != HL_OK)
        return status;
    reported_count += is_new;
    reported[place].fd = fd;
    /* CRASH: release, the fd is seen with it. */
    hl_store_release_ptr((void **)(void *)&reported[place].bus, bus);
    return HL_OK;
}

hl_status hl_crash_report_enable(hl_bus *bus, int fd, hl_error *error)
{
    if (bus == NULL || fd < 0)
        return hl_error_set(error, HL_INVALID, "crash report: give a bus and a file descriptor");
    if (hl_bus_is_detached(bus))
        return hl_error_set(error, HL_DETACHED, "crash report: this is a fork's child");
    pthread_mutex_lock(&lock);
    const hl_status status = enable(bus, fd, error);
    pthread_mutex_unlock(&lock);
    return status;
}

void hl_crash_report_disable(hl_bus *bus)
{
    if (bus != NULL && hl_bus_is_detached(bus))
        return;
    pthread_mutex_lock(&lock);
    const int place = bus != NULL ? find(bus) : -1;
    if (place >= 0) {
        /* CRASH: release, the bus is whole until then. */
        hl_store_release_ptr((void **)(void *)&reported[place].bus, NULL);
        if (--reported_count == 0)
            uninstall();
    }
    pthread_mutex_unlock(&lock);
}
