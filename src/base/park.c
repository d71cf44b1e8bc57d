#include "base/park.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOOK_AGAIN_NS 1000000

static int get_time(const struct ck_ec_ops *ops, struct timespec *ret_now)
{
    (void)ops;
    return clock_gettime(CLOCK_MONOTONIC, ret_now);
}

static void futex_wait(const struct ck_ec_wait_state *state, const uint32_t *address,
                       uint32_t expected, const struct timespec *deadline)
{
    (void)state;
    /* WAIT_BITSET takes an absolute CLOCK_MONOTONIC deadline. It may return early for any reason:
     * ck_ec looks again. */
    syscall(SYS_futex, address, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected, deadline, NULL,
            FUTEX_BITSET_MATCH_ANY);
}

static void futex_wake(const struct ck_ec_ops *ops, const uint32_t *address)
{
    (void)ops;
    syscall(SYS_futex, address, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX, NULL, NULL, 0);
}

/* ck_ec's own polling before it sleeps is kept at its least: the executor has polled enough. */
static const struct ck_ec_ops sleeper_ops = {
    .gettime = get_time, .wait32 = futex_wait, .wake32 = futex_wake, .busy_loop_iter = 1};
static const struct ck_ec_mode sleeper_mode = {.ops = &sleeper_ops, .single_producer = false};

void hl_sleeper_init(hl_sleeper *sleeper)
{
    /* Relaxed: nobody else has it yet. */
    hl_store_relaxed_u32(&sleeper->asleep, 0);
    ck_ec_init(&sleeper->count, 0);
}

uint32_t hl_sleeper_prepare(hl_sleeper *sleeper)
{
    const uint32_t ticket = ck_ec_value(&sleeper->count);
    /* Relaxed: the barrier gives it its order. */
    hl_store_relaxed_u32(&sleeper->asleep, 1);
    /* ASLEEP: the store of `asleep` before the caller's last look for work. */
    sleeper->barrier_failed = !hl_barrier_all_threads();
    return ticket;
}

void hl_sleeper_cancel(hl_sleeper *sleeper)
{
    /* Relaxed: a waker that still reads 1 wakes for nothing. */
    hl_store_relaxed_u32(&sleeper->asleep, 0);
}

void hl_sleeper_sleep(hl_sleeper *sleeper, uint32_t ticket, uint64_t timeout_ns)
{
    struct timespec deadline, timeout;
    const struct timespec *until = NULL;
    if (sleeper->barrier_failed && timeout_ns > LOOK_AGAIN_NS)
        timeout_ns = LOOK_AGAIN_NS;
    if (timeout_ns != UINT64_MAX) {
        timeout.tv_sec = (time_t)(timeout_ns / 1000000000u);
        timeout.tv_nsec = (long)(timeout_ns % 1000000000u);
        if (ck_ec_deadline(&deadline, &sleeper_mode, &timeout) == 0)
            until = &deadline;
    }
    ck_ec_wait(&sleeper->count, &sleeper_mode, ticket, until);
    hl_sleeper_cancel(sleeper);
}

void hl_sleeper_wake(hl_sleeper *sleeper)
{
    uint32_t asleep = 1;
    /* Relaxed: it only elects one waker; the event count does the waking. */
    if (hl_compare_exchange_relaxed_u32(&sleeper->asleep, &asleep, 0))
        ck_ec_inc(&sleeper->count, &sleeper_mode);
}
