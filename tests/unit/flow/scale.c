#include "flow/scale.h"

#include <criterion/criterion.h>
#include <string.h>

#include "tests/random.h"

#define BEGIN_NS UINT64_C(1700000000000000000)

static const hl_scale_options defaults = HL_SCALE_OPTIONS_INIT;

static hl_scale_decision step(hl_scale *scale, uint64_t after_ms, uint64_t backlog, uint64_t rate,
                              uint32_t workers)
{
    const hl_scale_sample sample = {BEGIN_NS + after_ms * HL_MILLISECOND, backlog, rate, workers};
    return hl_scale_step(scale, &sample);
}

Test(scale, grows_when_too_many_wait_and_the_handlers_are_slow)
{
    hl_scale scale;
    hl_scale_init(&scale, &defaults);
    cr_assert_eq(step(&scale, 0, 1000, 100, 1).workers, 1, "1,000 is not over 1,000");
    cr_assert_eq(step(&scale, 10, 1001, 5000, 1).workers, 1, "5,000/s is not under 5,000/s");
    const hl_scale_decision grown = step(&scale, 20, 1001, 4999, 1);
    cr_assert_eq(grown.workers, 2);
    cr_assert_eq(grown.reason, HL_SCALE_BACKLOG);
    cr_assert_eq(step(&scale, 119, 9999, 100, 2).workers, 2, "until the last change shows");
    cr_assert_eq(step(&scale, 120, 9999, 100, 2).workers, 3);
    cr_assert_eq(step(&scale, 9000, 9999, 100, 4).workers, 4, "max_workers");
}

Test(scale, shrinks_when_hardly_any_wait_for_long)
{
    hl_scale scale;
    hl_scale_init(&scale, &defaults);
    cr_assert_eq(step(&scale, 0, 9, 0, 3).workers, 3);
    cr_assert_eq(step(&scale, 999, 9, 0, 3).workers, 3);
    cr_assert_eq(step(&scale, 999, 10, 0, 3).workers, 3, "10 is not under 10: begins anew");
    cr_assert_eq(step(&scale, 1100, 9, 0, 3).workers, 3);
    const hl_scale_decision shrunk = step(&scale, 2100, 0, 0, 3);
    cr_assert_eq(shrunk.workers, 2, "an idle pool shrinks");
    cr_assert_eq(shrunk.reason, HL_SCALE_IDLE);
    cr_assert_eq(step(&scale, 3099, 0, 0, 2).workers, 2, "the next takes as long again");
    cr_assert_eq(step(&scale, 4200, 0, 0, 2).workers, 1);
    cr_assert_eq(step(&scale, 9900, 0, 0, 1).workers, 1, "min_workers");
}

Test(scale, with_a_rate_to_shrink_above_an_idle_pool_stays)
{
    hl_scale_options options = defaults;
    options.shrink_above_per_s = 100;
    hl_scale scale;
    hl_scale_init(&scale, &options);
    for (uint64_t ms = 0; ms < 5000; ms += 10)
        cr_assert_eq(step(&scale, ms, 0, 100, 3).workers, 3);
    step(&scale, 5000, 0, 101, 3);
    cr_assert_eq(step(&scale, 6000, 0, 101, 3).workers, 2);
}

Test(scale, waits_before_it_grows_when_told_to)
{
    hl_scale_options options = defaults;
    options.grow_after_ns = 50 * HL_MILLISECOND;
    options.grow_below_per_s = 0;
    hl_scale scale;
    hl_scale_init(&scale, &options);
    cr_assert_eq(step(&scale, 0, 5000, 1000000, 1).workers, 1);
    cr_assert_eq(step(&scale, 40, 5000, 1000000, 1).workers, 1);
    cr_assert_eq(step(&scale, 50, 5000, 1000000, 1).workers, 2, "whatever the rate");
}

Test(scale, comes_into_its_bounds_at_once)
{
    hl_scale scale;
    hl_scale_init(&scale, &defaults);
    hl_scale_decision decision = step(&scale, 0, 0, 0, 9);
    cr_assert_eq(decision.workers, 4);
    cr_assert_eq(decision.reason, HL_SCALE_BOUNDS);
    cr_assert_eq(step(&scale, 1, 0, 0, 0).workers, 1);
}

/* A pool of slow handlers under a load that comes and goes, with a clock that sometimes stands: it
 * stays in its bounds, changes by one, never twice within the pause, and never grows and shrinks
 * within the time that shrinking takes. */
static void under_a_load(uint64_t seed)
{
    cr_log_info("seed %lu", seed);
    uint64_t random = seed;
    hl_scale scale;
    hl_scale_init(&scale, &defaults);
    uint64_t now_ms = 0, backlog = 0, changed_ms = 0, grown_ms = 0;
    uint32_t workers = 1;
    uint64_t load_per_ms = 0;
    for (int i = 0; i < 20000; i++) {
        const uint64_t elapsed_ms = random_below(&random, 20);
        now_ms += elapsed_ms;
        if (random_below(&random, 200) == 0)
            load_per_ms = random_below(&random, 5);
        const uint64_t room = workers * elapsed_ms; /* a worker handles one a ms */
        const uint64_t there = backlog + load_per_ms * elapsed_ms;
        const uint64_t handled = there < room ? there : room;
        backlog = there - handled;
        const uint64_t rate = elapsed_ms == 0 ? 0 : handled * 1000 / elapsed_ms;
        const hl_scale_decision decision = step(&scale, now_ms, backlog, rate, workers);
        if (decision.workers != workers) {
            cr_assert(decision.workers >= 1 && decision.workers <= 4);
            cr_assert(decision.workers == workers + 1 || decision.workers + 1 == workers);
            cr_assert(changed_ms == 0 || now_ms - changed_ms >= 100);
            if (decision.workers > workers)
                grown_ms = now_ms;
            else
                cr_assert(grown_ms == 0 || now_ms - grown_ms >= 1000, "it flaps");
            changed_ms = now_ms;
            workers = decision.workers;
        }
    }
}

Test(scale, does_not_flap)
{
    for (uint64_t seed = 1; seed <= 20; seed++)
        under_a_load(seed);
}

Test(scale, a_clock_that_steps_back_begins_its_times_anew)
{
    hl_scale scale;
    hl_scale_init(&scale, &defaults);
    cr_assert_eq(step(&scale, 5000, 5000, 0, 1).workers, 2);
    cr_assert_eq(step(&scale, 5000, 5000, 0, 2).workers, 2, "it stands");
    cr_assert_eq(step(&scale, 400, 5000, 0, 2).workers, 2, "no pause has passed");
    cr_assert_eq(step(&scale, 500, 5000, 0, 2).workers, 3);
    cr_assert_eq(step(&scale, 600, 0, 0, 3).workers, 3);
    cr_assert_eq(step(&scale, 100, 0, 0, 3).workers, 3, "not idle for long");
    cr_assert_eq(step(&scale, 1099, 0, 0, 3).workers, 3);
    cr_assert_eq(step(&scale, 1100, 0, 0, 3).workers, 2);
}

Test(scale, options_of_another_size_are_refused)
{
    hl_scale_options options = HL_SCALE_OPTIONS_INIT;
    options.size--;
    hl_error error = {0};
    cr_assert_eq(hl_scale_options_check(&options, "p", &error), HL_INVALID);
    cr_assert_not_null(strstr(error.text, "p.size: "), "%s", error.text);
    cr_assert_not_null(strstr(error.text, "HL_SCALE_OPTIONS_INIT"), "%s", error.text);
}

Test(scale, bad_options_are_told_with_place_and_remedy)
{
    hl_error error = {0};
    cr_assert_eq(hl_scale_options_check(&defaults, "workers", &error), HL_OK);
#define WRONG(field, value, sentence)                                                              \
    do {                                                                                           \
        hl_scale_options options = defaults;                                                       \
        options.field = (value);                                                                   \
        cr_assert_eq(hl_scale_options_check(&options, "workers", &error), HL_INVALID);             \
        cr_assert_not_null(strstr(error.text, "workers." #field ": " sentence), "%s", error.text); \
    } while (0)
    WRONG(max_workers, 0, "0 is out of range: use 1 to 1024");
    WRONG(max_workers, 1025, "1025 is out of range");
    WRONG(min_workers, 0, "0 is out of range");
    WRONG(min_workers, 5, "5 is more than max_workers (4)");
    WRONG(grow_backlog, 0, "0 is out of range");
    WRONG(grow_after_ns, 61 * HL_SECOND, "61000000000 is out of range");
    WRONG(shrink_backlog, 0, "0 is out of range");
    WRONG(shrink_backlog, 1000, "1000 is not below grow_backlog (1000)");
    WRONG(shrink_after_ns, 0, "0 is out of range");
    WRONG(pause_ns, 61 * HL_SECOND, "61000000000 is out of range");
#undef WRONG
}

Test(scale, every_reason_has_a_name)
{
    for (int i = 0; i <= HL_SCALE_BOUNDS; i++)
        cr_assert_str_neq(hl_scale_reason_name((hl_scale_reason)i), "?");
    cr_assert_str_eq(hl_scale_reason_name((hl_scale_reason)99), "?");
}
