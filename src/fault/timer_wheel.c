#include "fault/timer_wheel.h"

#include <assert.h>
#include <string.h>

#define SLOT_BITS 6u
#define SLOT_MASK (HL_WHEEL_SLOTS - 1)
#define MOVING    (HL_WHEEL_LEVELS * HL_WHEEL_SLOTS) /* hl_timer.slot of one on its way down */

static void circle_init(hl_timer *head)
{
    head->next = head->previous = head;
}

static bool circle_is_empty(const hl_timer *head)
{
    return head->next == head;
}

static void circle_append(hl_timer *head, hl_timer *timer)
{
    timer->previous = head->previous;
    timer->next = head;
    head->previous->next = timer;
    head->previous = timer;
}

static void circle_take(hl_timer *timer)
{
    timer->previous->next = timer->next;
    timer->next->previous = timer->previous;
    timer->next = timer->previous = NULL;
}

/* The first tick whose every ns is after the time just before due_ns: rounded up, so that a timer
 * never comes early. In the last tick of all times there is no next one. */
static uint64_t tick_of_due(const hl_wheel *wheel, uint64_t due_ns)
{
    const uint64_t tick = due_ns >> wheel->shift;
    const bool whole = (due_ns & ((UINT64_C(1) << wheel->shift) - 1)) == 0;
    return whole || tick == UINT64_MAX >> wheel->shift ? tick : tick + 1;
}

/* The level of a tick: where it first differs from the wheel's own, by groups of 6 bits. So all
 * timers of a level lie in later slots of it than the wheel's tick, and before those of a higher
 * level. */
static uint32_t level_of(const hl_wheel *wheel, uint64_t tick)
{
    const uint64_t difference = tick ^ wheel->tick;
    if (difference < HL_WHEEL_SLOTS)
        return 0;
    return (63u - (uint32_t)__builtin_clzll(difference)) / SLOT_BITS;
}

/* The first tick of the earliest slot in use: on level 0 that of its timers. */
static uint64_t first_tick(const hl_wheel *wheel)
{
    const uint32_t level = (uint32_t)__builtin_ctz(wheel->levels_used);
    const uint64_t slot = (uint64_t)__builtin_ctzll(wheel->slots_used[level]);
    const uint32_t low = level * SLOT_BITS;
    const uint64_t above = wheel->tick >> low >> SLOT_BITS << SLOT_BITS;
    return (above | slot) << low;
}

static void look_ahead(hl_wheel *wheel)
{
    if (!circle_is_empty(&wheel->moving))
        wheel->attention_ns = wheel->tick << wheel->shift;
    else if (wheel->levels_used == 0)
        wheel->attention_ns = UINT64_MAX;
    else
        wheel->attention_ns = first_tick(wheel) << wheel->shift;
}

static void put(hl_wheel *wheel, hl_timer *timer)
{
    const uint32_t level = level_of(wheel, timer->tick);
    const uint64_t slot = timer->tick >> (level * SLOT_BITS) & SLOT_MASK;
    timer->slot = level * HL_WHEEL_SLOTS + (uint32_t)slot;
    circle_append(&wheel->heads[timer->slot], timer);
    wheel->slots_used[level] |= UINT64_C(1) << slot;
    wheel->levels_used |= 1u << level;
}

/* Marks a slot as empty when its last timer has left. */
static void tidy(hl_wheel *wheel, uint32_t slot)
{
    if (slot == MOVING || !circle_is_empty(&wheel->heads[slot]))
        return;
    const uint32_t level = slot / HL_WHEEL_SLOTS;
    wheel->slots_used[level] &= ~(UINT64_C(1) << (slot & SLOT_MASK));
    if (wheel->slots_used[level] == 0)
        wheel->levels_used &= ~(1u << level);
}

/* The wheel's tick may go on as far as no slot in use begins: the levels of all its timers stay
 * what they are. */
static void advance(hl_wheel *wheel, uint64_t now_ns)
{
    const uint64_t now = now_ns >> wheel->shift;
    if (now > wheel->tick && now_ns < wheel->attention_ns)
        wheel->tick = now;
}

void hl_wheel_init(hl_wheel *wheel, uint32_t shift, uint64_t now_ns)
{
    assert(shift >= 4 && shift <= 30); /* 10 levels of 6 bits hold any tick */
    memset(wheel, 0, sizeof *wheel);
    wheel->shift = shift;
    wheel->tick = now_ns >> shift;
    wheel->attention_ns = UINT64_MAX;
    for (uint32_t i = 0; i < HL_WHEEL_LEVELS * HL_WHEEL_SLOTS; i++)
        circle_init(&wheel->heads[i]);
    circle_init(&wheel->moving);
}

void hl_wheel_add(hl_wheel *wheel, hl_timer *timer, uint64_t due_ns, uint64_t now_ns)
{
    assert(!hl_timer_is_set(timer));
    if (wheel->count == 0)
        wheel->tick = now_ns >> wheel->shift; /* it may lie before: a replay's clock does */
    else
        advance(wheel, now_ns);
    timer->tick = tick_of_due(wheel, due_ns);
    if (timer->tick < wheel->tick)
        timer->tick = wheel->tick;
    /* Behind those of its slot that are still on their way down: they were added before. */
    if (!circle_is_empty(&wheel->moving) && level_of(wheel, timer->tick) < wheel->moving_level) {
        timer->slot = MOVING;
        circle_append(&wheel->moving, timer);
    } else {
        put(wheel, timer);
    }
    wheel->count++;
    look_ahead(wheel);
}

bool hl_wheel_cancel(hl_wheel *wheel, hl_timer *timer)
{
    if (!hl_timer_is_set(timer))
        return false;
    circle_take(timer);
    tidy(wheel, timer->slot);
    wheel->count--;
    look_ahead(wheel);
    return true;
}

/* Begins to move the timers of the earliest slot, of a level above 0, down: its first tick is the
 * wheel's now. */
static void start_moving(hl_wheel *wheel)
{
    const uint32_t level = (uint32_t)__builtin_ctz(wheel->levels_used);
    const uint32_t slot =
        level * HL_WHEEL_SLOTS + (uint32_t)__builtin_ctzll(wheel->slots_used[level]);
    hl_timer *const head = &wheel->heads[slot];
    wheel->tick = first_tick(wheel);
    wheel->moving_level = level;
    wheel->moving.next = head->next;
    wheel->moving.previous = head->previous;
    head->next->previous = &wheel->moving;
    head->previous->next = &wheel->moving;
    circle_init(head);
    tidy(wheel, slot);
}

/* Moves timers down until none is on its way or the budget is used up; gives what is left of it. */
static uint32_t move_down(hl_wheel *wheel, uint32_t budget)
{
    while (budget > 0 && !circle_is_empty(&wheel->moving)) {
        hl_timer *const timer = wheel->moving.next;
        circle_take(timer);
        put(wheel, timer);
        budget--;
    }
    return budget;
}

hl_timer *hl_wheel_expire(hl_wheel *wheel, uint64_t now_ns)
{
    uint32_t budget = HL_WHEEL_BUDGET;
    while (hl_wheel_is_due(wheel, now_ns) && wheel->count > 0) {
        if (circle_is_empty(&wheel->moving)) {
            if (__builtin_ctz(wheel->levels_used) == 0) {
                hl_timer *const timer = wheel->heads[__builtin_ctzll(wheel->slots_used[0])].next;
                wheel->tick = timer->tick;
                hl_wheel_cancel(wheel, timer);
                return timer;
            }
            start_moving(wheel);
        }
        budget = move_down(wheel, budget);
        look_ahead(wheel);
        if (budget == 0)
            return NULL;
    }
    advance(wheel, now_ns);
    return NULL;
}
