#include "fault/guard.h"

#include "base/allocate.h"
#include "base/error.h"
#include "bus/bus.h"
#include "bus/delivery.h"
#include "bus/pattern.h"
#include "fault/failure.h"
#include "fault/faults.h"
#include "fault/fuse.h"
#include "fault/giving_up.h"
#include "fault/retry.h"

#define ROOM_NS (20 * HL_MICROSECOND) /* between two looks whether a lane has room */

/* What the handler's return says of its events. */
typedef struct outcome {
    hl_status status;
    hl_outlet *full; /* it failed for want of room there: again when there is some; or NULL */
    uint32_t full_slots;
    hl_said said;
} outcome;

static void enter(hl_ward *ward, uint64_t now_ns)
{
    ward->now_ns = now_ns;
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
        hl_give_up_in_slot(keeper, event, reason, &what->said);
        return;
    }
    hl_kept *const kept = keep_failed(keeper, event);
    if (kept == NULL) {
        hl_give_up_in_slot(keeper, event, HL_DEAD_RETRY_FULL, &what->said);
        return;
    }
    hl_kept_note_failure(kept, &what->said);
    if (again) {
        wait_again(kept, what);
        return;
    }
    kept->attempts = event->attempt + 1u;
    hl_give_up(kept, reason);
}

static void fail_all(hl_keeper *keeper, outcome *what, const hl_event *const *events,
                     uint32_t count)
{
    hl_ward *const ward = keeper->ward;
    what->said.code = (int32_t)what->status;
    what->said.text = hl_failure_take(events, count, &what->said.code);
    if (keeper->has_breaker)
        hl_fuse_failed(keeper, what->full != NULL);
    for (uint32_t i = 0; i < count; i++)
        fail_one(keeper, events[i], what);
    hl_fuse_arm(keeper);
    hl_ward_set_state(keeper);
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
        hl_fuse_succeeded(keeper);
        hl_fuse_arm(keeper);
    }
    hl_ward_set_state(keeper);
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
    hl_fuse_unhold(keeper);
    hl_give_up_in_slot(keeper, event, HL_DEAD_HOLD_FULL, NULL);
}

static void take_by_breaker(hl_keeper *keeper, const hl_event *event)
{
    switch (hl_fuse_admit(keeper)) {
    case HL_ADMIT_DELIVER:
        handle(keeper, event);
        break;
    case HL_ADMIT_DEAD_LETTER:
        hl_give_up_in_slot(keeper, event, HL_DEAD_BREAKER_OPEN, NULL);
        break;
    case HL_ADMIT_SKIP:
        hl_count(&keeper->cell->skipped, 1);
        break;
    case HL_ADMIT_HOLD:
        hold_fresh(keeper, event);
        break;
    case HL_ADMIT_HOLD_FULL:
        hl_give_up_in_slot(keeper, event, HL_DEAD_HOLD_FULL, NULL);
        break;
    }
    hl_fuse_arm(keeper);
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
            hl_give_up_in_slot(keeper, event, is_held ? HL_DEAD_HOLD_FULL : HL_DEAD_RETRY_FULL,
                               NULL);
    } else if (keeper->has_breaker) {
        take_by_breaker(keeper, event);
    } else {
        handle(keeper, event);
    }
    hl_ward_set_state(keeper);
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
    hl_ward_set_state(keeper);
    hl_ward_settle(ward);
    return true;
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
        hl_let_go(kept);
    ward->in_hand = NULL;
}

/* An event IN_HAND, as the breaker says. The number of events handled. */
static uint32_t deliver_by_breaker(hl_kept *kept)
{
    hl_keeper *const keeper = kept->timer.keeper;
    switch (hl_fuse_admit(keeper)) {
    case HL_ADMIT_DELIVER:
        deliver(kept);
        return 1;
    case HL_ADMIT_DEAD_LETTER:
        hl_give_up(kept, HL_DEAD_BREAKER_OPEN);
        break;
    case HL_ADMIT_SKIP:
        hl_count(&keeper->cell->skipped, 1);
        hl_let_go(kept);
        break;
    case HL_ADMIT_HOLD:
        hl_ward_hold(kept);
        break;
    case HL_ADMIT_HOLD_FULL:
        hl_give_up(kept, HL_DEAD_HOLD_FULL);
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
        hl_let_go(kept);
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
    if (hl_fuse_admit_held(keeper)) {
        deliver(hl_ward_unhold(keeper));
        return 1;
    }
    if (keeper->ward->is_flushed) {
        hl_fuse_unhold(keeper);
        hl_give_up(hl_ward_unhold(keeper), HL_DEAD_STOPPED);
    }
    return 0;
}

/* One thing that is due. */
static uint32_t serve_one(hl_ward *ward)
{
    hl_keeper *keeper;
    uint32_t served = 0;
    hl_give_up_buried(ward);
    hl_kept *const kept = hl_ward_expire(ward, &keeper);
    if (kept != NULL) {
        keeper = kept->timer.keeper;
        served = serve_kept(kept);
    } else if (keeper != NULL) {
        served = serve_held(keeper);
    }
    if (keeper != NULL) {
        hl_fuse_arm(keeper);
        hl_ward_set_state(keeper);
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

bool hl_guard_hurry(hl_partition *partition, uint64_t sequence)
{
    hl_ward *const ward = partition->ward;
    hl_kept *const kept = ward != NULL ? hl_ward_find_waiting(ward, sequence) : NULL;
    if (kept == NULL)
        return false;
    enter(ward, partition->executor->now_ns);
    hl_ward_take_out(kept);
    hl_ward_wait(kept, HL_WARD_AT_ONCE);
    hl_ward_settle(ward);
    return true;
}

/* ---- the end ---- */

/* One of those kept, IN_HAND; the first of its key, so that no queue is searched. */
static hl_kept *take_any(hl_keeper *keeper)
{
    if (keeper->held.first != NULL) {
        hl_fuse_unhold(keeper);
        return hl_ward_unhold(keeper);
    }
    hl_kept *kept = keeper->kept;
    if (kept->place == HL_KEPT_BEHIND)
        kept = hl_ward_find(keeper, kept->event.key);
    hl_ward_take_out(kept);
    return kept;
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
            hl_let_go(kept);
        } else {
            hl_give_up_at_end(kept);
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
        hl_fuse_arm(strand->cells[i].guarded);
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

bool hl_guard_make(hl_cell *cell, hl_partition *partition)
{
    const hl_breaker_options *const breaker = cell->subscription->options.breaker;
    cell->guard = &guard;
    hl_keeper *const keeper = make_keeper(cell, partition, partition->ward);
    if (keeper == NULL)
        return false;
    hl_fuse_init_calls(keeper);
    /* Of an async one the strands have it. */
    keeper->has_breaker = breaker != NULL && cell->subscription->async == NULL;
    return !keeper->has_breaker ||
           hl_fuse_make(&keeper->own_fuse, breaker, partition->domain->config.slot_size_bytes);
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
         !hl_fuse_make(&with->fuse, subscription->options.breaker, async->slot_size_bytes)))
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
