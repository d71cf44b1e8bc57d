#include "base/clock.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

static uint64_t realtime_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t read_context(void *context)
{
    return *(uint64_t *)context;
}

Test(clock, begins_at_the_time_of_day)
{
    hl_clock clock;
    hl_clock_init(&clock, NULL, NULL);
    /* Read one after the other, so the clock may be late by what lies between: not early. */
    const uint64_t before = realtime_ns();
    const uint64_t now = hl_clock_now(&clock);
    const int64_t ahead_ns = (int64_t)(now - before);
    cr_assert_gt(ahead_ns, -1000000000, "%" PRId64, ahead_ns);
    cr_assert_lt(ahead_ns, 60000000000, "%" PRId64, ahead_ns);
}

Test(clock, one_that_is_handed_in_is_told_as_it_is)
{
    uint64_t time_ns = 12345;
    hl_clock clock;
    hl_clock_init(&clock, read_context, &time_ns);
    cr_assert_eq(hl_clock_now(&clock), 12345);
    time_ns = UINT64_MAX;
    hl_clock_slew(&clock);
    cr_assert_eq(hl_clock_now(&clock), UINT64_MAX);
}

/* Through the beginning of a set that is slower than the one before it. */
Test(clock, never_steps_back_through_a_slew)
{
    hl_clock clock;
    hl_clock_init(&clock, NULL, NULL);
    clock.sets[0].base_ns += 3600000000000;
    hl_clock_slew(&clock);
    cr_assert_eq(clock.index, 1);
    uint64_t last = 0;
    while (hl_clock_count(&clock) <= clock.sets[1].base_count) {
        for (int i = 0; i < 1000; i++) {
            const uint64_t now = hl_clock_now(&clock);
            cr_assert_geq(now, last);
            last = now;
        }
    }
}

Test(clock, waits_for_a_slew_to_begin_before_the_next)
{
    hl_clock clock;
    hl_clock_init(&clock, NULL, NULL);
    hl_clock_slew(&clock);
    hl_clock_slew(&clock);
    cr_assert_eq(clock.index, 1);
    const uint64_t now = hl_clock_count(&clock);
    cr_assert_eq(hl_clock_at(&clock.sets[0], now) <= clock.sets[1].base_ns, 1);
}

/* The clock's error against the time of day, made up by shifting its own base. */
static uint64_t scale_after_error(int64_t error_ns)
{
    hl_clock clock;
    hl_clock_init(&clock, NULL, NULL);
    clock.sets[0].base_ns = (uint64_t)((int64_t)clock.sets[0].base_ns - error_ns);
    hl_clock_slew(&clock);
    cr_assert_eq(clock.index, 1);
    const int64_t nominal = (int64_t)clock.nominal_scale;
    return (uint64_t)(((int64_t)clock.sets[1].scale - nominal) * 1000000 / nominal + 1000000);
}

Test(clock, is_slewed_towards_the_time_of_day_by_at_most_500_ppm)
{
    const uint64_t late = scale_after_error(3600000000000);   /* an hour behind: faster */
    const uint64_t early = scale_after_error(-3600000000000); /* an hour ahead: slower */
    cr_assert(late >= 1000498 && late <= 1000500, "%" PRIu64, late);
    cr_assert(early >= 999500 && early <= 999502, "%" PRIu64, early);
}

Test(clock, a_slew_does_not_step)
{
    hl_clock clock;
    hl_clock_init(&clock, NULL, NULL);
    clock.sets[0].base_ns -= 3600000000000;
    const uint64_t count = hl_clock_count(&clock);
    const uint64_t before = hl_clock_at(&clock.sets[0], count);
    hl_clock_slew(&clock);
    /* The new set goes on where the old one was at that count. */
    cr_assert_eq(clock.sets[1].base_ns, hl_clock_at(&clock.sets[0], clock.sets[1].base_count));
    cr_assert_lt(hl_clock_now(&clock) - before, 60000000000);
}

Test(clock, a_count_before_the_set_is_its_beginning)
{
    const hl_clock_set set = {.base_count = 1000, .base_ns = 77, .scale = (uint64_t)1 << 32};
    cr_assert_eq(hl_clock_at(&set, 999), 77);
    cr_assert_eq(hl_clock_at(&set, 1000), 77);
    cr_assert_eq(hl_clock_at(&set, 1005), 82);
}

Test(clock, centuries_do_not_overflow)
{
    const hl_clock_set set = {.base_count = 0, .base_ns = 0, .scale = (uint64_t)1 << 31};
    cr_assert_eq(hl_clock_at(&set, (uint64_t)1 << 62), (uint64_t)1 << 61);
}

typedef struct reading {
    hl_clock clock;
    uint32_t stop;
    uint64_t stepped_back;
} reading;

static void *read_on(void *context)
{
    reading *const shared = context;
    uint64_t last = 0;
    while (hl_load_acquire_u32(&shared->stop) == 0) {
        const uint64_t now = hl_clock_now(&shared->clock);
        if (now < last)
            shared->stepped_back++;
        last = now;
    }
    return NULL;
}

Test(clock, readers_on_other_threads_see_it_go_on)
{
    reading *const shared = aligned_alloc(128, sizeof *shared);
    cr_assert_not_null(shared);
    hl_clock_init(&shared->clock, NULL, NULL);
    /* Ahead, so that the first slew slows it down. */
    shared->clock.sets[0].base_ns += 3600000000000;
    shared->stop = 0;
    shared->stepped_back = 0;
    pthread_t reader;
    cr_assert_eq(pthread_create(&reader, NULL, read_on, shared), 0);
    /* Five slews: each set is filled once more. */
    while (shared->clock.index <= HL_CLOCK_SETS)
        hl_clock_slew(&shared->clock);
    hl_store_release_u32(&shared->stop, 1);
    pthread_join(reader, NULL);
    cr_assert_eq(shared->stepped_back, 0);
    free(shared);
}
