#include "base/park.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

static hl_sleeper *make(void)
{
    hl_sleeper *const sleeper = aligned_alloc(128, sizeof *sleeper);
    cr_assert_not_null(sleeper);
    hl_sleeper_init(sleeper);
    return sleeper;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

Test(park, a_sleep_ends_with_its_timeout)
{
    hl_sleeper *const sleeper = make();
    const uint64_t begin = now_ns();
    hl_sleeper_sleep(sleeper, hl_sleeper_prepare(sleeper), 20000000);
    cr_assert_geq(now_ns() - begin, 19000000);
    cr_assert_eq(sleeper->asleep, 0);
    free(sleeper);
}

Test(park, a_wake_before_the_sleep_is_not_lost)
{
    hl_sleeper *const sleeper = make();
    const uint32_t ticket = hl_sleeper_prepare(sleeper);
    hl_sleeper_notify(sleeper);
    cr_assert_eq(sleeper->asleep, 0, "the waker takes it back");
    hl_sleeper_sleep(sleeper, ticket, UINT64_MAX); /* returns at once, or the test hangs */
    free(sleeper);
}

Test(park, nobody_asleep_means_no_wake)
{
    hl_sleeper *const sleeper = make();
    const uint32_t before = ck_ec_value(&sleeper->count);
    hl_sleeper_notify(sleeper);
    cr_assert_eq(ck_ec_value(&sleeper->count), before);
    hl_sleeper_prepare(sleeper);
    hl_sleeper_cancel(sleeper);
    hl_sleeper_notify(sleeper);
    cr_assert_eq(ck_ec_value(&sleeper->count), before);
    free(sleeper);
}

Test(park, one_sleep_takes_one_wake)
{
    hl_sleeper *const sleeper = make();
    const uint32_t before = ck_ec_value(&sleeper->count);
    hl_sleeper_prepare(sleeper);
    hl_sleeper_notify(sleeper);
    hl_sleeper_notify(sleeper);
    hl_sleeper_notify(sleeper);
    cr_assert_eq((uint32_t)(ck_ec_value(&sleeper->count) - before), 1);
    free(sleeper);
}

/* Work is handed over one piece at a time, each as the other side goes to sleep. */
#define ROUNDS 20000u

typedef struct hand_over {
    hl_sleeper worker, giver;
    uint64_t given, done;
} hand_over;

static void wait_until(hl_sleeper *sleeper, const uint64_t *word, uint64_t value)
{
    while (hl_load_acquire_u64(word) != value) {
        const uint32_t ticket = hl_sleeper_prepare(sleeper);
        if (hl_load_acquire_u64(word) == value)
            hl_sleeper_cancel(sleeper);
        else
            hl_sleeper_sleep(sleeper, ticket, UINT64_MAX);
    }
}

static void *work(void *context)
{
    hand_over *const shared = context;
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        wait_until(&shared->worker, &shared->given, i);
        hl_store_release_u64(&shared->done, i);
        hl_sleeper_notify(&shared->giver);
    }
    return NULL;
}

/* A wake that is lost leaves both sides asleep for good: the test then hangs and is ended. */
Test(park, no_wake_is_lost_between_two_threads)
{
    hand_over *const shared = aligned_alloc(128, sizeof *shared);
    cr_assert_not_null(shared);
    hl_sleeper_init(&shared->worker);
    hl_sleeper_init(&shared->giver);
    shared->given = 0;
    shared->done = 0;
    pthread_t worker;
    cr_assert_eq(pthread_create(&worker, NULL, work, shared), 0);
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        hl_store_release_u64(&shared->given, i);
        hl_sleeper_notify(&shared->worker);
        wait_until(&shared->giver, &shared->done, i);
    }
    pthread_join(worker, NULL);
    cr_assert_eq(shared->done, ROUNDS);
    free(shared);
}
