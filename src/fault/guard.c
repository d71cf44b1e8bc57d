#include "fault/guard.h"

#include <time.h>

#include "base/allocate.h"
#include "base/error.h"
#include "bus/bus.h"
#include "bus/delivery.h"
#include "bus/pattern.h"
#include "fault/failure.h"
#include "fault/faults.h"
#include "fault/redrive.h"
#include "fault/retry.h"

#define ROOM_NS      (20 * HL_MICROSECOND) /* between two looks whether a lane has room */
#define NEVER_NS     (UINT64_MAX / 2)      /* a timer that only the flush at the end reaches */
#define ERRORS_NS    (10 * HL_MILLISECOND) /* in which at most */
#define ERRORS_MOST  16u                   /* errors of a partition are told */
#define UNBURY_BATCH 64u
#define WORKER_NAPS  1000u /* of a millisecond, for room for a dead letter */

/* Why an event is given up, and all that is told of it. */
typedef struct death {
    const hl_event *event;
    hl_dead_reason reason;
    int32_t error_code;
    const char *error_text; /* NULL: none */
    uint32_t attempts;
    uint64_t first_failed_ns, last_failed_ns;
    uint64_t redriven_id;
} death;

/* What the handler's return says of its events. */
typedef struct outcome {
    hl_status status;
    hl_outlet *full; /* it failed for want of room there: again when there is some; or NULL */
    uint32_t full_slots;
    int32_t error_code;
    const char *error_text; /* NULL: none */
} outcome;

static void enter(hl_ward *ward, uint64_t now_ns)
{
    ward->now_ns = now_ns;
}

/* ---- the state of a cell ---- */

/* A cell with nothing kept, and a breaker that has nothing to remember, costs nothing again. */
static void set_state(const hl_keeper *keeper)
{
    hl_cell *const cell = keeper->cell;
    /* Relaxed: this thread alone writes it. */
    const uint32_t state = hl_load_relaxed_u32(&cell->state);
    if (state != HL_CELL_ATTACHED && state != HL_CELL_GUARDED)
        return;
    /* Of a strand, async.wary says it of the breaker. */
    const hl_fuse *const fuse = keeper->fuse;
    const bool guarded = keeper->kept != NULL ||
                         (keeper->has_breaker && fuse->async == NULL && fuse->breaker.busy != 0);
    const uint32_t wanted = guarded ? HL_CELL_GUARDED : HL_CELL_ATTACHED;
    /* START: (subscription.h) relaxed: start_sequence was published with the first state. */
    if (state != wanted)
        hl_store_relaxed_u32(&cell->state, wanted);
}

/* ---- what is told ---- */

static void copy_text(char *to, size_t room, const char *from)
{
    const size_t bytes = from != NULL ? strnlen(from, room - 1) : 0;
    if (bytes != 0)
        memcpy(to, from, bytes);
    to[bytes] = '\0';
}

/* Whether an error may be told now: a flood of them would crowd out all other notices. */
static bool may_tell(hl_ward *ward)
{
    if (ward->now_ns - ward->errors_since_ns >= ERRORS_NS) {
        ward->errors_since_ns = ward->now_ns;
        ward->errors_told = 0;
    }
    return ward->errors_told++ < ERRORS_MOST;
}

/* Never of an event of the bus's own domain: a handler of errors that fails would feed itself. */
static void tell_error(const hl_keeper *keeper, const death *of)
{
    hl_ward *const ward = keeper->ward;
    const hl_partition *const partition = keeper->partition;
    if (strcmp(partition->domain->name, "system") == 0 || !may_tell(ward)) {
        hl_count(&ward->errors_untold, 1);
        return;
    }
    const hl_subscription *const subscription = keeper->cell->subscription;
    hl_system_error error = {.event_id = hl_event_id_of(partition->number, of->event->sequence),
                             .event_key = of->event->key,
                             .untold = ward->errors_untold,
                             .code = of->error_code,
                             .reason = of->reason,
                             .attempts = of->attempts,
                             .partition = partition->number};
    const hl_topic topic = {of->event->topic};
    copy_text(error.topic, sizeof error.topic, hl_topic_name(partition->bus, topic));
    copy_text(error.subscription, sizeof error.subscription, subscription->name);
    copy_text(error.text, sizeof error.text, of->error_text);
    hl_notice(partition->bus, "system.error", subscription->serial, &error, sizeof error);
    hl_log(partition->bus, HL_LOG_DEBUG, "faults", "%s gives up an event of %s: %s",
           error.subscription, error.topic,
           error.text[0] != '\0' ? error.text : hl_status_text((hl_status)error.code));
}

static void tell_change(hl_keeper *keeper)
{
    const hl_subscription *const subscription = keeper->cell->subscription;
    hl_fuse *const fuse = keeper->fuse;
    hl_breaker_change change;
    if (!hl_breaker_take_change(&fuse->breaker, &change))
        return;
    if (fuse->async != NULL)
        hl_count(&fuse->async->breaker_changes, 1);
    hl_store_relaxed_u32(&fuse->state, change.to); /* Relaxed: for the health. */
    hl_system_breaker told = {.at_ns = change.at_ns,
                              .from = change.from,
                              .to = change.to,
                              .cause = (hl_breaker_reason)change.cause,
                              .failures = change.failures,
                              .partition = keeper->partition->number};
    copy_text(told.subscription, sizeof told.subscription, subscription->name);
    copy_text(told.pattern, sizeof told.pattern, subscription->pattern);
    hl_notice(subscription->bus, "system.breaker", subscription->serial, &told, sizeof told);
    hl_log(subscription->bus, change.to == HL_BREAKER_OPEN ? HL_LOG_WARNING : HL_LOG_INFO,
           "breaker", "of %s on %s: %s, was %s", told.subscription, keeper->partition->out->name,
           hl_breaker_state_name(change.to), hl_breaker_state_name(change.from));
}

/* The breaker in hand, and out of it: each change is told; of all strands, it is under its lock. */
static hl_breaker *take_breaker(const hl_keeper *keeper)
{
    if (keeper->fuse->async != NULL)
        hl_short_lock(&keeper->fuse->lock);
    return &keeper->fuse->breaker;
}

static void leave_breaker(hl_keeper *keeper)
{
    hl_fuse *const fuse = keeper->fuse;
    tell_change(keeper);
    if (fuse->async == NULL)
        return;
    /* Relaxed: a hint to those who have not the lock. */
    hl_store_relaxed_u32(&fuse->async->wary, fuse->breaker.busy);
    hl_short_unlock(&fuse->lock);
}

/* After the breaker has changed, or what is held has: when to ask again. */
static void arm(hl_keeper *keeper)
{
    hl_ward *const ward = keeper->ward;
    if (!keeper->has_breaker)
        return;
    hl_wheel_cancel(&ward->wheel, &keeper->probe.timer);
    if (keeper->held.first == NULL)
        return;
    const uint64_t probe_ns = hl_breaker_next_probe_ns(take_breaker(keeper));
    leave_breaker(keeper);
    hl_wheel_add(&ward->wheel, &keeper->probe.timer, probe_ns < NEVER_NS ? probe_ns : NEVER_NS,
                 ward->now_ns);
}

static hl_admit admit(hl_keeper *keeper)
{
    const hl_admit answer = hl_breaker_admit(take_breaker(keeper), keeper->ward->now_ns);
    leave_breaker(keeper);
    return answer;
}

static bool admit_held(hl_keeper *keeper)
{
    const bool answer = hl_breaker_admit_held(take_breaker(keeper), keeper->ward->now_ns);
    leave_breaker(keeper);
    return answer;
}

static void unhold_one(hl_keeper *keeper)
{
    hl_breaker_unhold(take_breaker(keeper));
    leave_breaker(keeper);
}

/* An event IN_HAND has its outcome, which is counted. */
static void let_go(hl_kept *kept)
{
    const hl_ward *const ward = kept->timer.keeper->ward;
    /* Asked before its room is another worker's. */
    const bool is_redriven = kept->home == NULL;
    hl_ward_release(kept);
    if (is_redriven)
        hl_redrive_spend(ward->bus->faults, kept);
}

/* ---- giving up ---- */

/* HL_OK; HL_FULL: later; HL_NOT_FOUND: this bus keeps no dead letters. */
static hl_status post(const hl_keeper *keeper, const death *of)
{
    const hl_partition *const partition = keeper->partition;
    hl_faults *const faults = partition->bus->faults;
    const hl_dead_post letter = {.topic = faults->topic_names[of->event->topic],
                                 .source = faults->source_names[of->event->source],
                                 .subscription = keeper->names[0],
                                 .pattern = keeper->names[1],
                                 .partition = partition->number,
                                 .reason = of->reason,
                                 .error_code = of->error_code,
                                 .attempts = of->attempts,
                                 .error_text = of->error_text,
                                 .first_failed_ns = of->first_failed_ns,
                                 .last_failed_ns = of->last_failed_ns,
                                 .redriven_id = of->redriven_id};
    return hl_faults_post(faults, &letter, of->event);
}

static death death_of(const hl_kept *kept)
{
    return (death){.event = &kept->event,
                   .reason = kept->reason,
                   .error_code = kept->error_code,
                   .error_text = kept->error_text,
                   .attempts = kept->attempts,
                   .first_failed_ns = kept->first_failed_ns,
                   .last_failed_ns = kept->last_failed_ns,
                   .redriven_id = kept->redriven_id};
}

static void note_failure(hl_kept *kept, const outcome *what, uint64_t now_ns)
{
    if (kept->first_failed_ns == 0)
        kept->first_failed_ns = now_ns;
    kept->last_failed_ns = now_ns;
    kept->error_code = what->error_code;
    copy_text(kept->error_text, sizeof kept->error_text, what->error_text);
}

/* What was posted, or is not kept at all, is counted. False: there is no room for it yet. */
static bool settle_death(const hl_keeper *keeper, const death *of)
{
    const hl_status status = post(keeper, of);
    if (status != HL_FULL)
        hl_count(status == HL_OK ? &keeper->cell->dead_lettered : &keeper->cell->skipped, 1);
    return status != HL_FULL;
}

/* An event IN_HAND is given up. */
static void die(hl_kept *kept, hl_dead_reason reason)
{
    hl_keeper *const keeper = kept->timer.keeper;
    kept->reason = reason;
    const death of = death_of(kept);
    tell_error(keeper, &of);
    kept->is_settled = settle_death(keeper, &of);
    if (kept->is_settled)
        let_go(kept);
    else
        hl_ward_bury(kept);
}

/* There is no room for a letter, nor for the event until there is. A worker may block: it waits for
 * room, though not for ever. False: it is still not counted. */
static bool wait_for_letter(const hl_keeper *keeper, const death *of)
{
    const struct timespec nap = {0, (long)HL_MILLISECOND};
    for (uint32_t i = 0; keeper->ward->worker != NULL && i < WORKER_NAPS; i++) {
        nanosleep(&nap, NULL);
        if (settle_death(keeper, of))
            return true;
    }
    return false;
}

/* An event that lies in its slot is given up. */
static void die_in_slot(hl_keeper *keeper, const hl_event *event, hl_dead_reason reason,
                        const outcome *what)
{
    hl_ward *const ward = keeper->ward;
    const bool failed = what != NULL;
    const death of = {.event = event,
                      .reason = reason,
                      .error_code = failed ? what->error_code : 0,
                      .error_text = failed ? what->error_text : NULL,
                      .attempts = event->attempt + (uint32_t)failed,
                      .first_failed_ns = ward->now_ns,
                      .last_failed_ns = ward->now_ns};
    tell_error(keeper, &of);
    if (settle_death(keeper, &of))
        return;
    hl_kept *const kept = hl_ward_keep(keeper, ward->pool, event);
    if (kept == NULL) {
        if (!wait_for_letter(keeper, &of))
            hl_count(&keeper->cell->skipped, 1);
        return;
    }
    kept->reason = reason;
    kept->attempts = of.attempts;
    kept->first_failed_ns = kept->last_failed_ns = ward->now_ns;
    kept->error_code = of.error_code;
    copy_text(kept->error_text, sizeof kept->error_text, of.error_text);
    hl_ward_bury(kept);
}

/* Hands over what found no room before, as far as there is some now. */
static void unbury(hl_ward *ward)
{
    if (ward->buried.first == NULL || (ward->now_ns < ward->unburied_ns && !ward->is_flushed))
        return;
    for (uint32_t i = 0; i < UNBURY_BATCH && ward->buried.first != NULL; i++) {
        const death of = death_of(ward->buried.first);
        if (!settle_death(ward->buried.first->timer.keeper, &of))
            break;
        hl_kept *const kept = hl_ward_unbury(ward);
        hl_keeper *const keeper = kept->timer.keeper;
        kept->is_settled = true;
        let_go(kept);
        set_state(keeper);
    }
    ward->unburied_ns = hl_due_after(ward->now_ns, HL_UNBURY_NS);
}

/* ---- a handler has failed ---- */

/* Where the handler that has just returned found no room for what it publishes, and will have it
 * one day; NULL: it fails for another reason. */
static hl_outlet *found_no_room(const hl_partition *partition, const hl_cell *cell,
                                hl_status status)
{
    hl_publisher *const out = partition->out;
    hl_outlet *const full = out->full;
    out->full = NULL;
    if (full == NULL || (status != HL_RETRY && status != HL_FULL) || out->full_cell != cell ||
        out->full_event_id != out->event_id || out->full_slots - 1 > full->mask)
        return NULL;
    return full;
}

/* Keeps an event that is not kept yet. NULL: no room. */
static hl_kept *keep_failed(hl_keeper *keeper, const hl_event *event)
{
    hl_kept *const in_hand = keeper->ward->in_hand;
    if (in_hand != NULL && event == &in_hand->event) {
        keeper->ward->in_hand = NULL;
        return in_hand;
    }
    return hl_ward_keep(keeper, keeper->ward->pool, event);
}

static void wait_again(hl_kept *kept, const outcome *what)
{
    hl_keeper *const keeper = kept->timer.keeper;
    const hl_ward *const ward = keeper->ward;
    hl_kept *const head = keeper->is_ordered ? hl_ward_find(keeper, kept->event.key) : NULL;
    uint64_t delay_ns = ROOM_NS;
    kept->full = what->full;
    kept->full_slots = what->full_slots;
    if (what->full == NULL) {
        const uint64_t id = hl_event_id_of(keeper->partition->number, kept->event.sequence);
        kept->attempts = kept->event.attempt + 1u;
        kept->event.attempt = (uint8_t)kept->attempts;
        delay_ns = hl_retry_delay_ns(&keeper->retry, id, kept->attempts);
    }
    kept->event.flags |= HL_EVENT_RETRIED;
    if (head != NULL && head != kept)
        hl_ward_wait_behind(kept, head);
    else
        hl_ward_wait(kept, delay_ns != 0 ? hl_due_after(ward->now_ns, delay_ns) : HL_WARD_AT_ONCE);
}

static void fail_one(hl_keeper *keeper, const hl_event *event, const outcome *what)
{
    const bool again = what->full != NULL || (what->status != HL_REJECT &&
                                              hl_retry_again(&keeper->retry, event->attempt));
    hl_ward *const ward = keeper->ward;
    const bool is_kept = ward->in_hand != NULL && event == &ward->in_hand->event;
    const hl_dead_reason reason = what->status == HL_REJECT ? HL_DEAD_REJECTED : HL_DEAD_EXHAUSTED;
    if (again && hl_subscription_is_ending(keeper->cell->subscription)) {
        hl_count(&keeper->cell->cancelled, 1); /* in hand, it is let go by who gave it */
        return;
    }
    if (!again && !is_kept) {
        die_in_slot(keeper, event, reason, what);
        return;
    }
    hl_kept *const kept = keep_failed(keeper, event);
    if (kept == NULL) {
        die_in_slot(keeper, event, HL_DEAD_RETRY_FULL, what);
        return;
    }
    note_failure(kept, what, ward->now_ns);
    if (again) {
        wait_again(kept, what);
        return;
    }
    kept->attempts = event->attempt + 1u;
    die(kept, reason);
}

static void fail_all(hl_keeper *keeper, outcome *what, const hl_event *const *events,
                     uint32_t count)
{
    hl_ward *const ward = keeper->ward;
    what->error_code = (int32_t)what->status;
    what->error_text = hl_failure_take(events, count, &what->error_code);
    if (keeper->has_breaker) {
        hl_breaker *const breaker = take_breaker(keeper);
        if (what->full != NULL)
            hl_breaker_cancelled(breaker);
        else
            hl_breaker_failed(breaker, ward->now_ns);
        leave_breaker(keeper);
    }
    for (uint32_t i = 0; i < count; i++)
        fail_one(keeper, events[i], what);
    arm(keeper);
    set_state(keeper);
    hl_ward_settle(ward);
}

static void failed(hl_partition *partition, hl_cell *cell, hl_status status,
                   const hl_event *const *events, uint32_t count)
{
    hl_keeper *const keeper = cell->guarded;
    outcome what = {.status = status,
                    .full = found_no_room(partition, cell, status),
                    .full_slots = partition->out->full_slots};
    enter(keeper->ward, hl_bus_now(partition->bus));
    fail_all(keeper, &what, events, count);
}

static void succeed(hl_keeper *keeper)
{
    hl_ward *const ward = keeper->ward;
    if (ward->in_hand != NULL && ward->in_hand->timer.keeper == keeper)
        ward->in_hand->was_handled = true;
    if (keeper->has_breaker) {
        hl_breaker_succeeded(take_breaker(keeper), ward->now_ns);
        leave_breaker(keeper);
        arm(keeper);
    }
    set_state(keeper);
    hl_ward_settle(ward);
}

static void succeeded(hl_partition *partition, hl_cell *cell, uint32_t count)
{
    hl_keeper *const keeper = cell->guarded;
    (void)count; /* a handler's call is one outcome to the breaker, a batch too */
    enter(keeper->ward, partition->executor->now_ns);
    succeed(keeper);
}

/* Has the handler run for an event, by who has the ward; its outcome is told before it returns. */
static void handle(hl_keeper *keeper, const hl_event *event)
{
    const hl_ward *const ward = keeper->ward;
    if (ward->strand != NULL)
        hl_async_handle(ward->worker, keeper->cell, event);
    else
        hl_dispatch_handle(ward->partition, keeper->cell, event);
}

/* ---- a guarded cell gets an event ---- */

/* It waits in its pool; no room: a dead letter with that reason. */
static void hold_fresh(hl_keeper *keeper, const hl_event *event)
{
    hl_kept *const kept = hl_ward_keep(keeper, &keeper->fuse->hold_pool, event);
    if (kept != NULL) {
        hl_ward_hold(kept);
        return;
    }
    unhold_one(keeper);
    die_in_slot(keeper, event, HL_DEAD_HOLD_FULL, NULL);
}

static void take_by_breaker(hl_keeper *keeper, const hl_event *event)
{
    switch (admit(keeper)) {
    case HL_ADMIT_DELIVER:
        handle(keeper, event);
        break;
    case HL_ADMIT_DEAD_LETTER:
        die_in_slot(keeper, event, HL_DEAD_BREAKER_OPEN, NULL);
        break;
    case HL_ADMIT_SKIP:
        hl_count(&keeper->cell->skipped, 1);
        break;
    case HL_ADMIT_HOLD:
        hold_fresh(keeper, event);
        break;
    case HL_ADMIT_HOLD_FULL:
        die_in_slot(keeper, event, HL_DEAD_HOLD_FULL, NULL);
        break;
    }
    arm(keeper);
}

/* What waits in a batch has come before the next event, which its breaker may hold: were it to fail
 * after that, it would have to wait behind a later event of its key. So it is delivered first. */
static void deliver_batch_first(hl_keeper *keeper)
{
    hl_cell *const cell = keeper->cell;
    const hl_breaker *const breaker = &keeper->fuse->breaker;
    if (keeper->is_ordered && keeper->has_breaker && keeper->ward->strand == NULL &&
        cell->queued != 0 && (breaker->state != HL_BREAKER_CLOSED || breaker->held != 0))
        cell->delivery->flush(keeper->partition, cell);
}

static void take_one(hl_keeper *keeper, const hl_event *event)
{
    hl_ward *const ward = keeper->ward;
    deliver_batch_first(keeper);
    hl_kept *const head = keeper->is_ordered ? hl_ward_find(keeper, event->key) : NULL;
    if (head != NULL) {
        const bool is_held = head->place == HL_KEPT_HELD;
        hl_kept *const kept =
            hl_ward_keep(keeper, is_held ? &keeper->fuse->hold_pool : ward->pool, event);
        if (kept != NULL)
            hl_ward_wait_behind(kept, head);
        else
            die_in_slot(keeper, event, is_held ? HL_DEAD_HOLD_FULL : HL_DEAD_RETRY_FULL, NULL);
    } else if (keeper->has_breaker) {
        take_by_breaker(keeper, event);
    } else {
        handle(keeper, event);
    }
    set_state(keeper);
    hl_ward_settle(ward);
}

static void take(hl_partition *partition, hl_cell *cell, const hl_event *event)
{
    hl_keeper *const keeper = cell->guarded;
    enter(keeper->ward, partition->executor->now_ns);
    take_one(keeper, event);
}

bool hl_guard_redriven(hl_partition *partition, hl_cell *cell, hl_kept *kept)
{
    hl_keeper *const keeper = cell->guarded;
    hl_ward *const ward = keeper->ward;
    /* Relaxed: this thread alone writes it. */
    const uint32_t state = hl_load_relaxed_u32(&cell->state);
    kept->names[0] = keeper->names[0];
    kept->names[1] = keeper->names[1];
    if ((state != HL_CELL_ATTACHED && state != HL_CELL_GUARDED) ||
        hl_subscription_is_ending(cell->subscription))
        return false;
    enter(ward, partition->executor->now_ns);
    hl_kept *const head = keeper->is_ordered ? hl_ward_find(keeper, kept->event.key) : NULL;
    hl_count(&cell->delivered, 1);
    hl_ward_admit(keeper, kept);
    if (head != NULL)
        hl_ward_wait_behind(kept, head);
    else
        hl_ward_wait(kept, HL_WARD_AT_ONCE);
    set_state(keeper);
    hl_ward_settle(ward);
    return true;
}

/* ---- forcing the breaker ---- */

static void obey_force(hl_executor *executor, hl_call *call)
{
    hl_keeper *const keeper =
        (hl_keeper *)(void *)((unsigned char *)call - offsetof(hl_keeper, force_call));
    /* FORCE: acq_rel, what was stored before it was asked for is seen. */
    hl_exchange_acq_rel_u64(&keeper->force_asked, 0);
    enter(keeper->ward, executor->now_ns);
    /* FORCE: relaxed, as said. */
    const hl_breaker_force wanted = (hl_breaker_force)hl_load_relaxed_u32(&keeper->force_wanted);
    hl_breaker *const breaker = take_breaker(keeper);
    if (wanted != breaker->force)
        hl_breaker_set_force(breaker, wanted, executor->now_ns);
    tell_change(keeper);
    /* FORCE: acq_rel, one request is one trip. */
    if (hl_exchange_acq_rel_u64(&keeper->trip_wanted, 0) != 0)
        hl_breaker_trip(breaker, executor->now_ns);
    leave_breaker(keeper);
    arm(keeper);
    set_state(keeper);
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

void hl_guard_was_slow(hl_cell *cell)
{
    hl_keeper *const keeper = cell->guarded;
    hl_async *const async = cell->subscription->async;
    hl_count(&cell->slow, 1);
    if (async != NULL) {
        hl_keeper *const first = first_keeper(async);
        if (opens_when_slow(first)) {
            hl_breaker_trip(take_breaker(first), hl_bus_now(cell->subscription->bus));
            leave_breaker(first);
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
    hl_breaker *const breaker = take_breaker(keeper);
    if (force != breaker->force)
        hl_breaker_set_force(breaker, force, hl_bus_now(async->subscription->bus));
    leave_breaker(keeper);
    hl_pool_notify(async->pool);
}

static hl_breaker_state state_of(const hl_keeper *keeper)
{
    /* Relaxed: for the health. */
    return keeper != NULL ? (hl_breaker_state)hl_load_relaxed_u32(&keeper->fuse->state)
                          : HL_BREAKER_CLOSED;
}

hl_breaker_state hl_guard_breaker_state(const hl_subscription *subscription)
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
        return hl_error_set(error, HL_CLOSED, "breaker: this is a fork's child");
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

/* ---- what is due ---- */

/* An event IN_HAND is delivered; `failed` may take it out of the hand. */
static void deliver(hl_kept *kept)
{
    hl_keeper *const keeper = kept->timer.keeper;
    hl_ward *const ward = keeper->ward;
    ward->in_hand = kept;
    if (ward->strand != NULL) {
        hl_async_handle(ward->worker, keeper->cell, &kept->event);
    } else {
        const hl_delivery *const delivery = keeper->cell->delivery;
        hl_dispatch_again(ward->partition, keeper->cell, &kept->event);
        /* It lies in a worker's queue: from here on it is an event like others. */
        if (delivery != NULL && delivery->again == NULL)
            kept->was_handled = true;
    }
    if (ward->in_hand == kept)
        let_go(kept);
    ward->in_hand = NULL;
}

/* An event IN_HAND, as the breaker says. The number of events handled. */
static uint32_t deliver_by_breaker(hl_kept *kept)
{
    hl_keeper *const keeper = kept->timer.keeper;
    switch (admit(keeper)) {
    case HL_ADMIT_DELIVER:
        deliver(kept);
        return 1;
    case HL_ADMIT_DEAD_LETTER:
        die(kept, HL_DEAD_BREAKER_OPEN);
        break;
    case HL_ADMIT_SKIP:
        hl_count(&keeper->cell->skipped, 1);
        let_go(kept);
        break;
    case HL_ADMIT_HOLD:
        hl_ward_hold(kept);
        break;
    case HL_ADMIT_HOLD_FULL:
        die(kept, HL_DEAD_HOLD_FULL);
        break;
    }
    return 0;
}

/* Whether what it waits for has no room yet. Of a strand's, that shows when it is tried again: the
 * lane is another worker's by now. */
static bool waits_for_room(const hl_kept *kept)
{
    const hl_keeper *const keeper = kept->timer.keeper;
    const hl_subscription *const subscription = keeper->cell->subscription;
    if (keeper->ward->strand != NULL)
        return false;
    if (hl_async_is_lossless(subscription)) /* redriven: to the subscription's own queue */
        return !hl_async_has_room(keeper->cell, kept->event.key);
    return kept->full != NULL && !hl_spsc_has_room(&kept->full->exclusive, kept->full_slots);
}

static uint32_t serve_kept(hl_kept *kept)
{
    hl_keeper *const keeper = kept->timer.keeper;
    hl_cell *const cell = keeper->cell;
    if (hl_subscription_is_ending(cell->subscription)) {
        hl_count(&cell->cancelled, 1);
        let_go(kept);
        return 0;
    }
    if (waits_for_room(kept)) {
        hl_ward_wait(kept, hl_due_after(keeper->ward->now_ns, ROOM_NS));
        return 0;
    }
    if (keeper->has_breaker)
        return deliver_by_breaker(kept);
    deliver(kept);
    return 1;
}

/* The oldest held event is delivered where the breaker lets it; at the end of all it is given up.
 */
static uint32_t serve_held(hl_keeper *keeper)
{
    if (keeper->held.first == NULL)
        return 0;
    if (admit_held(keeper)) {
        deliver(hl_ward_unhold(keeper));
        return 1;
    }
    if (keeper->ward->is_flushed) {
        unhold_one(keeper);
        die(hl_ward_unhold(keeper), HL_DEAD_STOPPED);
    }
    return 0;
}

/* One thing that is due. */
static uint32_t serve_one(hl_ward *ward)
{
    hl_keeper *keeper;
    uint32_t served = 0;
    unbury(ward);
    hl_kept *const kept = hl_ward_expire(ward, &keeper);
    if (kept != NULL) {
        keeper = kept->timer.keeper;
        served = serve_kept(kept);
    } else if (keeper != NULL) {
        served = serve_held(keeper);
    }
    if (keeper != NULL) {
        arm(keeper);
        set_state(keeper);
    }
    hl_ward_settle(ward);
    return served;
}

uint32_t hl_guard_serve(hl_partition *partition, hl_due *due, uint64_t now_ns)
{
    hl_ward *const ward = (hl_ward *)(void *)due;
    ward->is_flushed |= now_ns == UINT64_MAX;
    enter(ward, partition->executor->now_ns);
    return serve_one(ward);
}

/* ---- the end ---- */

/* One of those kept, IN_HAND; the first of its key, so that no queue is searched. */
static hl_kept *take_any(hl_keeper *keeper)
{
    if (keeper->held.first != NULL) {
        unhold_one(keeper);
        return hl_ward_unhold(keeper);
    }
    hl_kept *kept = keeper->kept;
    if (kept->place == HL_KEPT_BEHIND)
        kept = hl_ward_find(keeper, kept->event.key);
    hl_ward_take_out(kept);
    return kept;
}

/* The bus has stopped, all threads have ended: what waits is given up. */
static void give_up(hl_kept *kept)
{
    hl_keeper *const keeper = kept->timer.keeper;
    if (kept->reason == 0)
        kept->reason = HL_DEAD_STOPPED;
    const death of = death_of(kept);
    tell_error(keeper, &of);
    kept->is_settled = settle_death(keeper, &of);
    if (!kept->is_settled) {
        hl_faults_drain(keeper->ward->bus->faults);
        kept->is_settled = settle_death(keeper, &of);
    }
    if (!kept->is_settled)
        hl_count(&keeper->cell->skipped, 1);
    let_go(kept);
}

/* All that one keeper has is cancelled where its subscription ends, given up where the bus does. */
static void clear(hl_keeper *keeper)
{
    hl_ward *const ward = keeper->ward;
    hl_cell *const cell = keeper->cell;
    while (keeper->kept != NULL) {
        hl_kept *const kept = take_any(keeper);
        if (hl_subscription_is_ending(cell->subscription)) {
            hl_count(&cell->cancelled, 1);
            let_go(kept);
        } else {
            give_up(kept);
        }
    }
    hl_wheel_cancel(&ward->wheel, &keeper->probe.timer);
    hl_ward_settle(ward);
}

static void cancel(hl_partition *partition, hl_cell *cell)
{
    hl_keeper *const keeper = cell->guarded;
    enter(keeper->ward, partition->executor->now_ns);
    clear(keeper);
}

/* ---- the strands of an async subscription ---- */

/* The worker has the strand in its hand. */
static hl_ward *enter_strand(hl_worker *worker, hl_strand *strand)
{
    hl_ward *const ward = strand->ward;
    ward->worker = worker;
    ward->counting = worker->executor;
    /* FLUSH: (executor.h) relaxed, a stop waits for no time. */
    ward->is_flushed |= hl_load_relaxed_u32(&worker->executor->flush_dues) != 0;
    enter(ward, hl_bus_now(ward->bus));
    return ward;
}

static void take_on_strand(hl_worker *worker, hl_strand *strand, hl_cell *cell,
                           const hl_event *event)
{
    enter_strand(worker, strand);
    take_one(cell->guarded, event);
}

static void failed_on_strand(hl_worker *worker, hl_strand *strand, hl_cell *cell, hl_status status,
                             const hl_event *const *events, uint32_t count)
{
    outcome what = {.status = status,
                    .full = hl_worker_found_no_room(worker, status),
                    .full_slots = worker->out->full_slots};
    enter_strand(worker, strand);
    fail_all(cell->guarded, &what, events, count);
}

static void succeeded_on_strand(hl_worker *worker, hl_strand *strand, hl_cell *cell)
{
    enter_strand(worker, strand);
    succeed(cell->guarded);
}

/* The breaker has changed since the strand held events: each asks again. */
static void arm_all(const hl_async *async, hl_strand *strand)
{
    for (uint32_t i = 0; i < async->box_count; i++)
        arm(strand->cells[i].guarded);
}

static uint32_t serve_strand(hl_worker *worker, const hl_async *async, hl_strand *strand)
{
    hl_ward *const ward = enter_strand(worker, strand);
    /* Relaxed: a change that is missed now is seen at the next look. */
    const uint64_t changes = hl_load_relaxed_u64(&async->breaker_changes);
    if (changes != strand->seen_changes) {
        hl_store_relaxed_u64(&strand->seen_changes, changes); /* Relaxed: a hint to others. */
        arm_all(async, strand);
    }
    return serve_one(ward);
}

static void cancel_strand(const hl_async *async, hl_strand *strand, hl_executor *executor)
{
    hl_ward *const ward = strand->ward;
    ward->worker = NULL;
    ward->counting = executor;
    enter(ward, hl_bus_now(ward->bus));
    for (uint32_t i = 0; i < async->box_count; i++)
        clear(strand->cells[i].guarded);
}

/* ---- the control plane ---- */

static void free_keeper(hl_cell *cell)
{
    hl_keeper *const keeper = cell->guarded;
    if (keeper == NULL)
        return;
    hl_kept_pool_free(&keeper->own_fuse.hold_pool);
    free(keeper);
    cell->guarded = NULL;
}

static const hl_guard guard = {take, failed, succeeded, cancel, free_keeper};

hl_status hl_guard_check(const hl_subscription_options *options, hl_error *error)
{
    hl_status status = HL_OK;
    if (options->retry != NULL)
        status = hl_retry_options_check(options->retry, error);
    if (status == HL_OK && options->breaker != NULL)
        status = hl_breaker_options_check(options->breaker, error);
    return status;
}

/* Whether a state topic of the domain, declared by now, is among what it subscribes to: of these no
 * older value may come after a newer one of its key. Under the bus's lock. */
static bool reaches_state(const hl_subscription *subscription, const hl_domain *domain)
{
    const hl_bus *const bus = subscription->bus;
    for (uint32_t i = 0; i < bus->topic_count; i++)
        if (bus->entries[i]->domain == domain && bus->entries[i]->options.kind == HL_STATE &&
            hl_pattern_matches(subscription->pattern, bus->entries[i]->name))
            return true;
    return false;
}

/* What a partition's cell and a strand's have alike. */
static hl_keeper *make_keeper(hl_cell *cell, hl_partition *partition, hl_ward *ward)
{
    static const hl_retry_options defaults = HL_RETRY_OPTIONS_INIT;
    const hl_subscription *const subscription = cell->subscription;
    hl_dead_letters *const letters = partition->bus->faults->letters;
    hl_keeper *const keeper = hl_allocate(1, sizeof *keeper);
    if (keeper == NULL)
        return NULL;
    cell->guarded = keeper;
    keeper->probe.keeper = keeper;
    keeper->probe.is_probe = true;
    keeper->cell = cell;
    keeper->ward = ward;
    keeper->partition = partition;
    keeper->fuse = &keeper->own_fuse;
    keeper->retry = subscription->options.retry != NULL ? *subscription->options.retry : defaults;
    keeper->is_ordered = hl_retry_is_ordered(&keeper->retry, partition->domain->name) ||
                         (keeper->retry.order == HL_RETRY_ORDER_OF_DOMAIN &&
                          reaches_state(subscription, partition->domain));
    if (letters != NULL &&
        (hl_dead_letters_intern(letters, subscription->name, &keeper->names[0]) != HL_OK ||
         hl_dead_letters_intern(letters, subscription->pattern, &keeper->names[1]) != HL_OK))
        return NULL;
    return keeper;
}

static bool make_fuse(hl_fuse *fuse, const hl_breaker_options *options, uint32_t slot_size_bytes)
{
    const uint32_t holds = options->while_open == HL_BREAKER_HOLD ? options->hold_events : 0;
    hl_breaker_init(&fuse->breaker, options);
    return hl_kept_pool_make(&fuse->hold_pool, holds, slot_size_bytes);
}

bool hl_guard_make(hl_cell *cell, hl_partition *partition)
{
    const hl_breaker_options *const breaker = cell->subscription->options.breaker;
    cell->guard = &guard;
    hl_keeper *const keeper = make_keeper(cell, partition, partition->ward);
    if (keeper == NULL)
        return false;
    keeper->force_call.command = (hl_command){NULL, HL_COMMAND_CALL, &keeper->force_call};
    keeper->force_call.run = obey_force;
    /* Of an async one the strands have it. */
    keeper->has_breaker = breaker != NULL && cell->subscription->async == NULL;
    return !keeper->has_breaker ||
           make_fuse(&keeper->own_fuse, breaker, partition->domain->config.slot_size_bytes);
}

/* ---- made with an async subscription ---- */

/* What its strands have in common. */
typedef struct common {
    hl_fuse fuse;
    hl_kept_pool pool;
} common;

static void free_async(hl_async *async)
{
    common *const with = async->guarded;
    for (uint32_t s = 0; s < async->strand_count; s++) {
        hl_strand *const strand = &async->strands[s];
        for (uint32_t i = 0; strand->cells != NULL && i < async->box_count; i++)
            free_keeper(&strand->cells[i]);
        hl_ward_free(strand->ward);
    }
    if (with == NULL)
        return;
    hl_kept_pool_free(&with->pool);
    hl_kept_pool_free(&with->fuse.hold_pool);
    free(with);
}

static const hl_async_guard async_guard = {take_on_strand, failed_on_strand, succeeded_on_strand,
                                           serve_strand,   cancel_strand,    free_async};

static bool make_strand_keeper(hl_async *async, hl_strand *strand, uint32_t box)
{
    common *const with = async->guarded;
    const hl_subscription *const subscription = async->subscription;
    hl_cell *const cell = &strand->cells[box];
    hl_partition *const partition =
        &subscription->bus->partitions[subscription->first_partition + box];
    hl_keeper *const keeper = make_keeper(cell, partition, strand->ward);
    if (keeper == NULL)
        return false;
    /* What has no order has none to keep; and of the newest values none comes after a newer one. */
    if (async->is_shared)
        keeper->is_ordered = false;
    else if (async->contract == HL_CONTRACT_LATEST)
        keeper->is_ordered = true;
    keeper->fuse = &with->fuse;
    keeper->has_breaker = subscription->options.breaker != NULL;
    return true;
}

bool hl_guard_make_async(hl_async *async)
{
    hl_subscription *const subscription = async->subscription;
    hl_bus *const bus = subscription->bus;
    const uint32_t events = bus->config.retry_events;
    common *const with = hl_allocate(1, sizeof *with);
    async->guard = &async_guard;
    async->guarded = with;
    if (with == NULL || !hl_kept_pool_make(&with->pool, events, async->slot_size_bytes) ||
        (subscription->options.breaker != NULL &&
         !make_fuse(&with->fuse, subscription->options.breaker, async->slot_size_bytes)))
        return false;
    with->fuse.async = async;
    with->pool.is_shared = with->fuse.hold_pool.is_shared = true;
    for (uint32_t s = 0; s < async->strand_count; s++) {
        hl_strand *const strand = &async->strands[s];
        if (strand->cells == NULL)
            continue;
        strand->ward =
            hl_ward_make_for_strand(bus, strand, &with->pool, events / async->strand_count + 1);
        bool whole = strand->ward != NULL;
        for (uint32_t i = 0; whole && i < async->box_count; i++)
            whole = make_strand_keeper(async, strand, i);
        if (!whole)
            return false;
    }
    return true;
}
