#include "fault/fuse.h"

#include <stdio.h>

#include "base/error.h"
#include "bus/bus.h"
#include "bus/subscription.h"

#define NEVER_NS (UINT64_MAX / 2) /* a timer that only the flush at the end reaches */

/* ---- in hand ---- */

/* Posts the breaker's change; with the breaker in hand, so that changes are told in their order.
 * False: there is none. */
static bool post_change(hl_keeper *keeper, hl_breaker_change *ret_change)
{
    const hl_subscription *const subscription = keeper->cell->subscription;
    hl_fuse *const fuse = keeper->fuse;
    if (!hl_breaker_take_change(&fuse->breaker, ret_change))
        return false;
    if (fuse->async != NULL)
        hl_count(&fuse->async->breaker_changes, 1);
    hl_store_relaxed_u32(&fuse->state, ret_change->to); /* Relaxed: for the health. */
    hl_system_breaker told = {.at_ns = ret_change->at_ns,
                              .from = ret_change->from,
                              .to = ret_change->to,
                              .cause = ret_change->cause,
                              .failures = ret_change->failures,
                              .partition = keeper->partition->number};
    snprintf(told.subscription, sizeof told.subscription, "%s", subscription->name);
    snprintf(told.pattern, sizeof told.pattern, "%s", subscription->pattern);
    hl_notice(subscription->bus, "system.breaker", subscription->serial, &told, sizeof told);
    return true;
}

/* The same for people. Out of hand: a line takes its time. */
static void log_change(const hl_keeper *keeper, const hl_breaker_change *change)
{
    const hl_subscription *const subscription = keeper->cell->subscription;
    hl_log(subscription->bus, change->to == HL_BREAKER_OPEN ? HL_LOG_WARNING : HL_LOG_INFO,
           "breaker", "of %s on %s: %s, was %s", subscription->name, keeper->partition->out->name,
           hl_breaker_state_name(change->to), hl_breaker_state_name(change->from));
}

/* The breaker in hand, and out of it: each change is told; of all strands, it is under its lock. */
static hl_breaker *take(const hl_keeper *keeper)
{
    if (keeper->fuse->async != NULL)
        hl_short_lock(&keeper->fuse->lock);
    return &keeper->fuse->breaker;
}

static void leave(hl_keeper *keeper)
{
    hl_fuse *const fuse = keeper->fuse;
    hl_breaker_change change;
    const bool has_changed = post_change(keeper, &change);
    if (fuse->async != NULL) {
        /* Relaxed: a hint to those who have not the lock. */
        hl_store_relaxed_u32(&fuse->async->wary, fuse->breaker.busy);
        hl_short_unlock(&fuse->lock);
    }
    if (has_changed)
        log_change(keeper, &change);
}

void hl_fuse_arm(hl_keeper *keeper)
{
    hl_ward *const ward = keeper->ward;
    if (!keeper->has_breaker)
        return;
    hl_wheel_cancel(&ward->wheel, &keeper->probe.timer);
    if (keeper->held.first == NULL)
        return;
    const uint64_t probe_ns = hl_breaker_next_probe_ns(take(keeper));
    leave(keeper);
    hl_wheel_add(&ward->wheel, &keeper->probe.timer, probe_ns < NEVER_NS ? probe_ns : NEVER_NS,
                 ward->now_ns);
}

/* ---- asked, and told ---- */

hl_admit hl_fuse_admit(hl_keeper *keeper)
{
    const hl_admit answer = hl_breaker_admit(take(keeper), keeper->ward->now_ns);
    leave(keeper);
    return answer;
}

bool hl_fuse_admit_held(hl_keeper *keeper)
{
    const bool answer = hl_breaker_admit_held(take(keeper), keeper->ward->now_ns);
    leave(keeper);
    return answer;
}

void hl_fuse_unhold(hl_keeper *keeper)
{
    hl_breaker_unhold(take(keeper));
    leave(keeper);
}

void hl_fuse_failed(hl_keeper *keeper, bool for_room)
{
    hl_breaker *const breaker = take(keeper);
    if (for_room)
        hl_breaker_cancelled(breaker);
    else
        hl_breaker_failed(breaker, keeper->ward->now_ns);
    leave(keeper);
}

void hl_fuse_succeeded(hl_keeper *keeper)
{
    hl_breaker_succeeded(take(keeper), keeper->ward->now_ns);
    leave(keeper);
}

/* ---- forced, and read ---- */

static void obey_force(hl_executor *executor, hl_call *call)
{
    hl_keeper *const keeper =
        (hl_keeper *)(void *)((unsigned char *)call - offsetof(hl_keeper, force_call));
    /* FORCE: acq_rel, what was stored before it was asked for is seen. */
    hl_exchange_acq_rel_u64(&keeper->force_asked, 0);
    keeper->ward->now_ns = executor->now_ns;
    /* FORCE: relaxed, as said. */
    const hl_breaker_force wanted = (hl_breaker_force)hl_load_relaxed_u32(&keeper->force_wanted);
    hl_breaker *breaker = take(keeper);
    if (wanted != breaker->force)
        hl_breaker_set_force(breaker, wanted, executor->now_ns);
    leave(keeper); /* each change is told by itself */
    breaker = take(keeper);
    /* FORCE: acq_rel, one request is one trip. */
    if (hl_exchange_acq_rel_u64(&keeper->trip_wanted, 0) != 0)
        hl_breaker_trip(breaker, executor->now_ns);
    leave(keeper);
    hl_fuse_arm(keeper);
    hl_ward_set_state(keeper);
    hl_ward_settle(keeper->ward);
}

/* Under the bus's lock, of a subscription that is not closing: its end is commanded later. */
static void ask(hl_keeper *keeper)
{
    /* FORCE: acq_rel, the partition sees what is wanted. */
    if (hl_exchange_acq_rel_u64(&keeper->force_asked, 1) == 0)
        hl_executor_command(keeper->partition->executor, &keeper->force_call.command);
}

static void ask_force(hl_keeper *keeper, hl_breaker_force force)
{
    /* FORCE: relaxed, the exchange after it gives it its order. */
    hl_store_relaxed_u32(&keeper->force_wanted, (uint32_t)force);
    ask(keeper);
}

/* Any of those whose breaker is that of all strands. */
static hl_keeper *first_keeper(const hl_async *async)
{
    return async->strands[async->strand_count - 1].cells[0].guarded;
}

static bool opens_when_slow(const hl_keeper *keeper)
{
    /* Read-only, whoever has the breaker. */
    return keeper != NULL && keeper->has_breaker && keeper->fuse->breaker.options.open_when_slow &&
           !hl_subscription_is_closing(keeper->cell->subscription);
}

void hl_fuse_was_slow(hl_cell *cell)
{
    hl_keeper *const keeper = cell->guarded;
    hl_async *const async = cell->subscription->async;
    hl_count(&cell->slow, 1);
    if (async != NULL) {
        hl_keeper *const first = first_keeper(async);
        if (opens_when_slow(first)) {
            hl_breaker_trip(take(first), hl_bus_now(cell->subscription->bus));
            leave(first);
        }
        return;
    }
    if (!opens_when_slow(keeper))
        return;
    hl_exchange_acq_rel_u64(&keeper->trip_wanted, 1); /* FORCE: acq_rel, as in obey_force. */
    ask(keeper);
}

/* What the strands have in common is changed at once; who holds events asks again when it sees that
 * the breaker has changed. */
static void force_of_strands(hl_async *async, hl_keeper *keeper, hl_breaker_force force)
{
    hl_breaker *const breaker = take(keeper);
    if (force != breaker->force)
        hl_breaker_set_force(breaker, force, hl_bus_now(async->subscription->bus));
    leave(keeper);
    hl_pool_notify(async->pool);
}

static hl_breaker_state state_of(const hl_keeper *keeper)
{
    /* Relaxed: for the health. */
    return keeper != NULL ? (hl_breaker_state)hl_load_relaxed_u32(&keeper->fuse->state)
                          : HL_BREAKER_CLOSED;
}

hl_breaker_state hl_fuse_state(const hl_subscription *subscription)
{
    if (subscription->async != NULL)
        return state_of(first_keeper(subscription->async));
    hl_breaker_state worst = HL_BREAKER_CLOSED;
    for (uint32_t i = 0; i < subscription->partition_count && worst != HL_BREAKER_OPEN; i++) {
        const hl_breaker_state state = state_of(subscription->cells[i].guarded);
        if (state != HL_BREAKER_CLOSED)
            worst = state;
    }
    return worst;
}

hl_status hl_subscription_breaker_force(hl_subscription *subscription, hl_breaker_force force,
                                        hl_error *error)
{
    if (subscription == NULL || (unsigned)force > HL_BREAKER_FORCED_CLOSED)
        return hl_error_set(error, HL_INVALID,
                            "breaker: give a subscription, and one of HL_BREAKER_FREE, "
                            "HL_BREAKER_FORCED_OPEN, HL_BREAKER_FORCED_CLOSED");
    hl_bus *const bus = subscription->bus;
    if (hl_bus_is_detached(bus))
        return hl_error_set(error, HL_DETACHED, "breaker: this is a fork's child");
    hl_async *const async = subscription->async;
    hl_keeper *const first = async != NULL ? first_keeper(async) : subscription->cells[0].guarded;
    if (first == NULL || !first->has_breaker)
        return hl_error_set(error, HL_WRONG_STATE,
                            "subscription \"%s\" has no breaker: give one when it subscribes",
                            subscription->name);
    hl_bus_lock(bus);
    const bool open =
        !hl_subscription_is_closing(subscription) && bus->control->state < HL_BUS_STOPPING;
    if (open && async != NULL)
        force_of_strands(async, first, force);
    /* Under the lock: before any command that ends the subscription. */
    for (uint32_t i = 0; open && async == NULL && i < subscription->partition_count; i++)
        ask_force(subscription->cells[i].guarded, force);
    hl_bus_unlock(bus);
    return open ? HL_OK
                : hl_error_set(error, HL_CLOSED, "subscription \"%s\" is ending, or its bus is",
                               subscription->name);
}

/* ---- made ---- */

void hl_fuse_init_calls(hl_keeper *keeper)
{
    keeper->force_call.command = (hl_command){NULL, HL_COMMAND_CALL, &keeper->force_call};
    keeper->force_call.run = obey_force;
}

bool hl_fuse_make(hl_fuse *fuse, const hl_breaker_options *options, uint32_t slot_size_bytes)
{
    const uint32_t holds = options->while_open == HL_BREAKER_HOLD ? options->hold_events : 0;
    hl_breaker_init(&fuse->breaker, options);
    return hl_kept_pool_make(&fuse->hold_pool, holds, slot_size_bytes);
}
