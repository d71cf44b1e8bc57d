#include "run_signals.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "command.h"
#include "ring/order.h"

#define LOOK_NS  (20 * HL_MILLISECOND)
#define GRACE_NS HL_SECOND /* for the main thread, after the second signal */

static sigset_t both(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    return signals;
}

void run_signals_block(void)
{
    const sigset_t signals = both();
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
}

static bool is_finished(const run_signals *signals)
{
    /* FINISHED: acquire, the main thread writes nothing any more. */
    return hl_load_acquire_u32(&signals->finished) != 0;
}

static void end_now(run_signals *signals)
{
    const struct timespec nap = {.tv_nsec = (long)LOOK_NS};
    pthread_mutex_lock(&signals->lock);
    if (signals->bus != NULL)
        hl_bus_stop_now(signals->bus);
    pthread_mutex_unlock(&signals->lock);
    for (uint64_t waited_ns = 0; waited_ns < GRACE_NS; waited_ns += LOOK_NS) {
        if (is_finished(signals))
            return;
        nanosleep(&nap, NULL);
    }
    if (hl_exchange_acq_rel_u64(&signals->reported, 1) == 0) /* REPORTED: who was first. */
        signals->report(signals->context);
    fflush(stdout);
    fputs("hotlane run: ended by a second signal\n", stderr);
    _exit(HL_EXIT_FAILED);
}

static void *await_signals(void *context)
{
    run_signals *const signals = context;
    const sigset_t set = both();
    const struct timespec timeout = {.tv_nsec = (long)LOOK_NS};
    uint32_t count = 0;
    while (!is_finished(signals)) {
        if (sigtimedwait(&set, NULL, &timeout) <= 0)
            continue;
        hl_store_relaxed_u32(&signals->count, ++count); /* Relaxed: a flag. */
        if (count == 2)
            end_now(signals);
    }
    return NULL;
}

hl_status run_signals_start(run_signals *signals, hl_error *error)
{
    pthread_mutex_init(&signals->lock, NULL);
    const int failure = pthread_create(&signals->thread, NULL, await_signals, signals);
    if (failure != 0)
        return hl_error_set(error, HL_SYSTEM, "thread for signals: %s", strerror(failure));
    signals->is_started = true;
    return HL_OK;
}

bool run_signals_any(run_signals *signals)
{
    return hl_load_relaxed_u32(&signals->count) != 0; /* Relaxed: a flag. */
}

bool run_signals_take_report(run_signals *signals)
{
    return hl_exchange_acq_rel_u64(&signals->reported, 1) == 0; /* REPORTED: who was first. */
}

void run_signals_forget_bus(run_signals *signals)
{
    if (!signals->is_started)
        return;
    pthread_mutex_lock(&signals->lock);
    signals->bus = NULL;
    pthread_mutex_unlock(&signals->lock);
}

void run_signals_finish(run_signals *signals)
{
    if (!signals->is_started)
        return;
    hl_store_release_u32(&signals->finished, 1); /* FINISHED: release, as above. */
    pthread_join(signals->thread, NULL);
    pthread_mutex_destroy(&signals->lock);
    signals->is_started = false;
}
