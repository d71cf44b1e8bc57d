/*
 * The housekeeper: a thread that wakes every 10 ms for what is no event's business.
 */
#include <errno.h>
#include <time.h>

#include "affinity/pin.h"
#include "bus/bus.h"
#include "bus/slowest.h"

#define TICK_NS         (10 * HL_MILLISECOND)
#define FLUSH_NS        (100 * HL_MILLISECOND) /* a callback of the application may hold it up */
#define TICKS_PER_SLEW  100
#define TICKS_PER_SWEEP 10

/* So long from now, at most a second. */
static struct timespec after(uint64_t ns)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)ns;
    if (until.tv_nsec >= (long)HL_SECOND) {
        until.tv_nsec -= (long)HL_SECOND;
        until.tv_sec++;
    }
    return until;
}

/* The `tick`th time. Without the bus's lock. */
static void keep_house(hl_bus *bus, uint64_t tick)
{
    if (tick % TICKS_PER_SLEW == 0)
        hl_clock_slew(&bus->clock);
    for (const hl_part *const *part = hl_parts; *part != NULL; part++)
        if ((*part)->tick != NULL)
            (*part)->tick(bus, hl_bus_now(bus));
    hl_slowest_look(bus, tick);
    hl_notices_publish(bus);
    hl_log_write(bus);
    if (tick % TICKS_PER_SWEEP != 0)
        return;
    hl_bus_lock(bus);
    hl_bus_reap(bus);
    hl_bus_unlock(bus);
}

static void *housekeeper_main(void *argument)
{
    hl_bus *const bus = argument;
    hl_control *const control = bus->control;
    hl_error ignored; /* where it runs is a matter of taste, told by the thread status */
    pthread_setname_np(pthread_self(), "hl-housekeeper");
    const bool placed = hl_pin_self((uint32_t)bus->plan->housekeeping_cpu, &ignored) == HL_OK;
    hl_bus_lock(bus);
    if (placed)
        control->housekeeper_cpu = hl_thread_cpu();
    while (!control->housekeeper_stop) {
        const struct timespec until = after(TICK_NS);
        const int outcome =
            pthread_cond_timedwait(&control->housekeeper_wake, &control->lock, &until);
        const bool asked = control->housekeeper_asked;
        if (outcome != ETIMEDOUT && !asked)
            continue;
        const uint64_t tick = outcome == ETIMEDOUT ? ++control->housekeeper_ticks : 0;
        hl_bus_unlock(bus);
        if (tick != 0)
            keep_house(bus, tick);
        else
            hl_notices_publish(bus);
        hl_bus_lock(bus);
        if (asked) {
            control->housekeeper_asked = false;
            pthread_cond_broadcast(&control->housekeeper_answer);
        }
    }
    hl_bus_unlock(bus);
    return NULL;
}

hl_status hl_bus_housekeep(hl_bus *bus)
{
    const hl_status refusal = hl_bus_refusal(bus);
    if (refusal != HL_OK)
        return refusal;
    if (hl_turning != NULL)
        return HL_WRONG_THREAD;
    hl_bus_lock(bus);
    const bool may =
        bus->config.threads == HL_THREADS_MANUAL && bus->control->state == HL_BUS_RUNNING;
    const uint64_t tick = may ? ++bus->control->housekeeper_ticks : 0;
    hl_bus_unlock(bus);
    if (!may)
        return HL_WRONG_STATE;
    keep_house(bus, tick);
    return HL_OK;
}

hl_status hl_housekeeper_start(hl_bus *bus)
{
    hl_control *const control = bus->control;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&control->housekeeper_wake, &attributes);
    pthread_cond_init(&control->housekeeper_answer, &attributes);
    pthread_condattr_destroy(&attributes);
    sigset_t before;
    hl_signals_block(&before);
    const int failure = pthread_create(&control->housekeeper, NULL, housekeeper_main, bus);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failure != 0) {
        pthread_cond_destroy(&control->housekeeper_wake);
        pthread_cond_destroy(&control->housekeeper_answer);
        return hl_bus_fail(bus, HL_SYSTEM, "thread of the housekeeper: %s", strerror(failure));
    }
    control->housekeeper_started = true;
    return HL_OK;
}

void hl_housekeeper_flush(hl_bus *bus)
{
    hl_control *const control = bus->control;
    hl_bus_lock(bus);
    if (control->housekeeper_started && !pthread_equal(control->housekeeper, pthread_self())) {
        const struct timespec until = after(FLUSH_NS);
        control->housekeeper_asked = true;
        pthread_cond_signal(&control->housekeeper_wake);
        while (control->housekeeper_asked &&
               pthread_cond_timedwait(&control->housekeeper_answer, &control->lock, &until) == 0) {
        }
    }
    hl_bus_unlock(bus);
}

void hl_housekeeper_stop(hl_bus *bus)
{
    hl_control *const control = bus->control;
    if (!control->housekeeper_started)
        return;
    hl_bus_lock(bus);
    control->housekeeper_stop = true;
    pthread_cond_signal(&control->housekeeper_wake);
    hl_bus_unlock(bus);
    pthread_join(control->housekeeper, NULL);
    pthread_cond_destroy(&control->housekeeper_wake);
    pthread_cond_destroy(&control->housekeeper_answer);
    hl_bus_lock(bus);
    control->housekeeper_started = false;
    hl_bus_unlock(bus);
}
