#include "fault/timer_wheel.h"

#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "tests/random.h"

#define SHIFT      10u
#define TICK       (UINT64_C(1) << SHIFT)
#define MANY       300u
#define OPERATIONS 3000u

/* The model: an unordered array; the next is the smallest (tick, serial). Timers that were late
 * when they were added come as soon as they can, in no promised order. */
typedef struct entry {
    hl_timer timer;
    bool set, late;
    uint64_t due_ns, tick, serial;
} entry;

typedef struct sorted_list {
    hl_wheel wheel;
    entry entries[MANY];
    uint64_t now_ns;
    uint64_t tick; /* the latest there ever was */
    uint64_t serial;
    uint64_t random;
} sorted_list;

static uint64_t up_to_tick(uint64_t due_ns)
{
    const uint64_t last = UINT64_MAX >> SHIFT;
    const uint64_t tick = due_ns / TICK;
    return due_ns % TICK == 0 || tick == last ? tick : tick + 1;
}

/* The first of those that are late, or of the others. */
static entry *model_first(sorted_list *model, bool late)
{
    entry *first = NULL;
    for (uint32_t i = 0; i < MANY; i++) {
        entry *const one = &model->entries[i];
        if (one->set && one->late == late &&
            (first == NULL || one->tick < first->tick ||
             (one->tick == first->tick && one->serial < first->serial)))
            first = one;
    }
    return first;
}

static void add(sorted_list *model, entry *one, uint64_t due_ns)
{
    one->set = true;
    one->due_ns = due_ns;
    one->tick = up_to_tick(due_ns);
    one->late = one->tick < model->tick;
    if (one->late)
        one->tick = model->tick;
    one->serial = model->serial++;
    hl_wheel_add(&model->wheel, &one->timer, due_ns, model->now_ns);
}

static void cancel(sorted_list *model, entry *one)
{
    cr_assert_eq(hl_wheel_cancel(&model->wheel, &one->timer), one->set);
    one->set = false;
}

static uint64_t random_due(sorted_list *model)
{
    switch (random_below(&model->random, 8)) {
    case 0: /* past, or now */
        return model->now_ns - random_below(&model->random, model->now_ns / 2);
    case 1: /* any time at all */
        return random_next(&model->random);
    case 2:
        return UINT64_MAX - random_below(&model->random, 3);
    default: { /* 1 ns to 2^45 ns ahead, each order of size alike */
        const uint64_t range = UINT64_C(1) << random_below(&model->random, 46);
        return model->now_ns + 1 + random_below(&model->random, range);
    }
    }
}

static void do_something(sorted_list *model)
{
    entry *const one = &model->entries[random_below(&model->random, MANY)];
    if (one->set && random_below(&model->random, 4) != 0)
        return;
    if (one->set)
        cancel(model, one);
    else
        add(model, one, random_due(model));
}

static entry *entry_of(hl_timer *timer)
{
    return (entry *)((char *)timer - offsetof(entry, timer));
}

static void check_expired(sorted_list *model, hl_timer *timer)
{
    entry *const one = entry_of(timer);
    cr_assert(one->set, "a timer came that was not set");
    cr_assert(one->late || one == model_first(model, false), "not the sorted list's first");
    cr_assert_leq(one->due_ns >> SHIFT, model->now_ns >> SHIFT);
    cr_assert(one->due_ns <= model->now_ns || one->due_ns >> SHIFT == UINT64_MAX >> SHIFT,
              "a timer came early");
    cr_assert_not(hl_timer_is_set(timer));
    one->set = false;
}

/* Nothing that is due was left behind, and the owner may sleep no longer than to the next. */
static void check_left(sorted_list *model)
{
    uint64_t next_tick = UINT64_MAX;
    for (int late = 0; late < 2; late++) {
        const entry *const first = model_first(model, late);
        if (first != NULL && first->tick < next_tick)
            next_tick = first->tick;
    }
    cr_assert_gt(next_tick, model->now_ns / TICK, "a due timer did not come");
    cr_assert_leq(hl_wheel_next_due(&model->wheel) >> SHIFT, next_tick);
    cr_assert_eq(hl_wheel_next_due(&model->wheel) == UINT64_MAX, next_tick == UINT64_MAX);
}

/* Takes all that is due; at each a few others are added and cancelled. */
static void drain(sorted_list *model)
{
    uint32_t changes = 20; /* so that what is due does not breed for ever */
    if (model->now_ns / TICK > model->tick)
        model->tick = model->now_ns / TICK;
    while (hl_wheel_is_due(&model->wheel, model->now_ns)) {
        hl_timer *const timer = hl_wheel_expire(&model->wheel, model->now_ns);
        if (timer == NULL)
            continue;
        check_expired(model, timer);
        if (changes > 0) {
            changes--;
            do_something(model);
        }
    }
    check_left(model);
}

static void move_clock(sorted_list *model)
{
    switch (random_below(&model->random, 10)) {
    case 0: /* far ahead */
        model->now_ns += random_below(&model->random, UINT64_C(1) << 44);
        break;
    case 1: /* a step back */
        model->now_ns -= random_below(&model->random, model->now_ns / 4);
        break;
    default:
        model->now_ns +=
            random_below(&model->random, UINT64_C(1) << random_below(&model->random, 30));
    }
}

static void run_trace(uint64_t seed)
{
    sorted_list *const run = calloc(1, sizeof *run);
    cr_assert_not_null(run);
    run->random = seed;
    run->now_ns = UINT64_C(1) << (20 + random_below(&run->random, 41));
    run->tick = run->now_ns / TICK;
    hl_wheel_init(&run->wheel, SHIFT, run->now_ns);
    for (uint32_t i = 0; i < OPERATIONS; i++) {
        if (random_below(&run->random, 4) == 0) {
            move_clock(run);
            drain(run);
        } else {
            do_something(run);
        }
    }
    run->now_ns = UINT64_MAX - 1; /* the last time that is not "never" */
    drain(run);
    drain(run);
    free(run);
}

Test(timer_wheel, gives_what_a_sorted_list_gives)
{
    for (uint64_t seed = 1; seed <= 100; seed++)
        run_trace(seed * 7919);
}

Test(timer_wheel, an_empty_wheel_is_never_due)
{
    hl_wheel wheel;
    hl_wheel_init(&wheel, HL_WHEEL_SHIFT, 1000);
    cr_assert_not(hl_wheel_is_due(&wheel, 0));
    cr_assert_not(hl_wheel_is_due(&wheel, UINT64_MAX - 1));
    cr_assert_null(hl_wheel_expire(&wheel, UINT64_MAX - 1));
    cr_assert_eq(hl_wheel_next_due(&wheel), UINT64_MAX);
}

Test(timer_wheel, a_timer_comes_not_a_nanosecond_early_and_a_tick_late_at_most)
{
    hl_wheel wheel;
    hl_wheel_init(&wheel, SHIFT, 5000);
    hl_timer timer = {0};
    hl_wheel_add(&wheel, &timer, 1000001, 5000);
    for (uint64_t now = 999000; now < 1000001; now++) {
        while (hl_wheel_is_due(&wheel, now))
            cr_assert_null(hl_wheel_expire(&wheel, now), "at %llu", (unsigned long long)now);
    }
    hl_timer *came = NULL;
    for (int i = 0; came == NULL && i < 3; i++)
        came = hl_wheel_expire(&wheel, 1000001 + TICK);
    cr_assert_eq(came, &timer);
}

/* A replay's clock is that of the journal, and the wheel was made when the bus was. */
Test(timer_wheel, an_empty_wheel_begins_anew_at_an_earlier_time)
{
    hl_timer timer = {0};
    hl_wheel wheel;
    const uint64_t made_ns = UINT64_C(1) << 50, then_ns = UINT64_C(1) << 40;
    hl_wheel_init(&wheel, SHIFT, made_ns);
    for (int round = 0; round < 2; round++) {
        const uint64_t due_ns = then_ns + 3 * TICK;
        hl_wheel_add(&wheel, &timer, due_ns, then_ns);
        cr_assert_null(hl_wheel_expire(&wheel, due_ns - 1));
        cr_assert_eq(hl_wheel_expire(&wheel, due_ns), &timer);
        cr_assert_null(hl_wheel_expire(&wheel, made_ns));
    }
}

Test(timer_wheel, cancel_tells_whether_it_was_set)
{
    hl_wheel wheel;
    hl_wheel_init(&wheel, SHIFT, 0);
    hl_timer timer = {0};
    cr_assert_not(hl_wheel_cancel(&wheel, &timer));
    hl_wheel_add(&wheel, &timer, 12345, 0);
    cr_assert(hl_wheel_cancel(&wheel, &timer));
    cr_assert_not(hl_wheel_cancel(&wheel, &timer));
    cr_assert_eq(wheel.count, 0);
    cr_assert_eq(hl_wheel_next_due(&wheel), UINT64_MAX);
}

/* Ten thousand timers of one slot of level 2: no call does more than its budget, and those that are
 * on their way down can be cancelled, and joined by others, in the right order. */
Test(timer_wheel, a_crowded_slot_moves_down_in_small_steps)
{
    enum { CROWD = 10000 };
    static hl_timer timers[CROWD + 1];
    hl_wheel wheel;
    hl_wheel_init(&wheel, SHIFT, 0);
    const uint64_t block = (UINT64_C(1) << 12) * TICK;
    for (uint32_t i = 0; i < CROWD; i++)
        hl_wheel_add(&wheel, &timers[i], block + 5 * TICK, 0);
    const uint64_t now = block + 5 * TICK;
    cr_assert_null(hl_wheel_expire(&wheel, now));
    cr_assert(hl_wheel_is_due(&wheel, now));
    cr_assert(hl_wheel_cancel(&wheel, &timers[0]));         /* already moved down */
    cr_assert(hl_wheel_cancel(&wheel, &timers[CROWD / 2])); /* on its way */
    hl_wheel_add(&wheel, &timers[CROWD], block + 5 * TICK, now);
    uint32_t calls = 0, next = 1;
    while (hl_wheel_is_due(&wheel, now)) {
        calls++;
        const hl_timer *const timer = hl_wheel_expire(&wheel, now);
        if (timer == NULL)
            continue;
        next += next == CROWD / 2;
        cr_assert_eq(timer, &timers[next], "not in the order of adding");
        next++;
    }
    cr_assert_eq(next, CROWD + 1);
    cr_assert_eq(wheel.count, 0);
    cr_assert_geq(calls, (CROWD - 1) + (CROWD - HL_WHEEL_BUDGET) / HL_WHEEL_BUDGET);
}
