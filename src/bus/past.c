#include "bus/past.h"

#include <stddef.h>
#include <stdio.h>

#include <hotlane/system.h>

#include "bus/bus.h"

#define QUEUE_MOST  256 /* slots of a past queue, */
#define QUEUE_SHARE 2   /* and this part of what may wait in the live one */
#define NEAR_SHARE  4   /* what may be left when the live queue begins, likewise */

static const hl_subscription *subscription_of(const hl_async_box *box)
{
    return box->async->subscription;
}

static hl_partition *partition_of(const hl_async_box *box)
{
    const hl_subscription *const subscription = subscription_of(box);
    const size_t index = (size_t)(box - box->async->boxes);
    return &subscription->bus->partitions[subscription->first_partition + index];
}

static void tell(const hl_async_box *box, hl_hand_over_state state, uint64_t sequence,
                 uint64_t missing, const char *text)
{
    const hl_subscription *const subscription = subscription_of(box);
    hl_system_hand_over news = {.partition = partition_of(box)->number,
                                .state = (uint32_t)state,
                                .sequence = sequence,
                                .missing = missing};
    snprintf(news.subscription, sizeof news.subscription, "%s", subscription->name);
    snprintf(news.text, sizeof news.text, "%.159s", text);
    hl_notice(subscription->bus, HL_TOPIC_HAND_OVER, subscription->serial, &news, sizeof news);
}

/* Events that may wait in a live queue before the contract has its say. */
static uint32_t room_of(const hl_async_box *box)
{
    const hl_subscription_options *const options = &subscription_of(box)->options;
    return box->async->contract == HL_CONTRACT_EJECT ? options->eject_behind
                                                     : options->queue_events;
}

/* ---- the control plane ---- */

hl_status hl_past_check(hl_bus *bus, const char *pattern, const hl_subscription_options *options)
{
    if (options->past.from == HL_FROM_NOW)
        return HL_OK;
    if ((unsigned)options->past.from >= HL_FROM_LAST)
        return hl_bus_fail(bus, HL_INVALID,
                           "subscription \"%s\": past.from is %d: begin with HL_FROM_NOW, "
                           "HL_FROM_START or HL_FROM_POSITIONS",
                           pattern, (int)options->past.from);
    if (options->async == HL_ASYNC_NONE || options->contract == HL_CONTRACT_LATEST ||
        options->initial_image)
        return hl_bus_fail(bus, HL_INVALID,
                           "subscription \"%s\": a past is of async subscriptions that get every "
                           "event: not with contract latest, nor with an initial image",
                           pattern);
    if (bus->past_source == NULL)
        return hl_bus_fail(bus, HL_NOT_ALLOWED,
                           "subscription \"%s\": its past is in no journal: set journal_dir, and "
                           "the domain's durability",
                           pattern);
    return HL_OK;
}

static bool make_past(hl_async_box *box)
{
    const hl_async *const async = box->async;
    const hl_partition *const partition = partition_of(box);
    uint32_t slots = QUEUE_MOST;
    if (box->past != NULL)
        return true;
    while (slots > 2 && slots > room_of(box) / QUEUE_SHARE)
        slots /= 2;
    hl_async_past *const past = hl_allocate(1, sizeof *past);
    if (past == NULL)
        return false;
    box->past = past;
    past->box = box;
    pthread_mutex_init(&past->waits_lock, NULL);
    past->queues = hl_allocate(async->queue_strands, sizeof *past->queues);
    bool whole = past->queues != NULL;
    for (uint32_t i = 0; whole && i < async->queue_strands; i++) {
        past->queues[i].box = box;
        past->queues[i].partition = partition;
        past->queues[i].is_past = true;
        whole = async->kind->make(&past->queues[i], hl_async_slot_bytes(partition), slots);
    }
    if (!whole) {
        hl_past_free(box);
        box->past = NULL;
    }
    return whole;
}

void hl_past_free(hl_async_box *box)
{
    if (box->past == NULL)
        return;
    for (uint32_t i = 0; box->past->queues != NULL && i < box->async->queue_strands; i++)
        free(box->past->queues[i].memory);
    free(box->past->queues);
    pthread_mutex_destroy(&box->past->waits_lock);
    free(box->past);
}

static hl_status prepare_box(hl_async_box *box, const hl_past *past)
{
    hl_partition *const partition = partition_of(box);
    hl_bus *const bus = partition->bus;
    const uint64_t *after = past->from == HL_FROM_LAST ? &box->ejected.last_sequence : NULL;
    for (uint32_t i = 0; past->from == HL_FROM_POSITIONS && i < past->position_count; i++)
        if (past->positions[i].partition == partition->number)
            after = &past->positions[i].after_sequence;
    hl_error error;
    hl_past_run *run;
    if (!make_past(box))
        return hl_bus_fail(bus, HL_NO_MEMORY, "no memory for a subscription's past");
    const hl_status status =
        bus->past_source->prepare(partition, after, past->may_miss, &run, &error);
    if (status != HL_OK)
        return hl_bus_fail(bus, status, "subscription \"%s\": %s", subscription_of(box)->name,
                           error.text);
    box->past->prepared = run;
    box->past->after_sequence = after != NULL ? *after : 0;
    return HL_OK;
}

static hl_status check_positions(const hl_subscription *subscription, const hl_past *past)
{
    hl_bus *const bus = subscription->bus;
    if (past->from != HL_FROM_POSITIONS)
        return HL_OK;
    if (past->positions == NULL && past->position_count != 0)
        return hl_bus_fail(bus, HL_INVALID, "subscription \"%s\": %u positions, and none is given",
                           subscription->name, past->position_count);
    for (uint32_t i = 0; i < past->position_count; i++) {
        const uint32_t partition = past->positions[i].partition;
        if (partition - subscription->first_partition >= subscription->partition_count)
            return hl_bus_fail(bus, HL_INVALID,
                               "subscription \"%s\": a position in partition %u, which it never "
                               "reaches",
                               subscription->name, partition);
        if (bus->partitions[partition].recorder == NULL)
            return hl_bus_fail(bus, HL_NOT_ALLOWED,
                               "subscription \"%s\": a position in partition %s, which has no "
                               "journal",
                               subscription->name, bus->partitions[partition].out->name);
    }
    return HL_OK;
}

hl_status hl_past_prepare(hl_subscription *subscription, const hl_past *past)
{
    bool any = false;
    if (past->from == HL_FROM_NOW)
        return HL_OK;
    hl_status status = check_positions(subscription, past);
    for (uint32_t i = 0; status == HL_OK && i < subscription->partition_count; i++) {
        hl_async_box *const box = &subscription->async->boxes[i];
        if (partition_of(box)->recorder == NULL)
            continue;
        any = true;
        status = prepare_box(box, past);
    }
    if (status == HL_OK && !any)
        return hl_bus_fail(subscription->bus, HL_NOT_ALLOWED,
                           "subscription \"%s\": none of its partitions has a journal: set the "
                           "domain's durability",
                           subscription->name);
    return status;
}

void hl_past_discard(hl_subscription *subscription)
{
    for (uint32_t i = 0; subscription->async != NULL && i < subscription->async->box_count; i++) {
        hl_async_past *const past =
            subscription->async->boxes != NULL ? subscription->async->boxes[i].past : NULL;
        if (past == NULL || past->prepared == NULL)
            continue;
        subscription->bus->past_source->discard(past->prepared);
        past->prepared = NULL;
    }
}

static void begin_box(hl_async_box *box)
{
    hl_subscription *const subscription = box->async->subscription;
    hl_bus *const bus = subscription->bus;
    hl_async_past *const past = box->past;
    hl_past_run *const run = past->prepared;
    past->prepared = NULL;
    /* The subscriber may have it from the journal, and the partition not be there yet. */
    past->put_through = past->after_sequence;
    hl_store_relaxed_u32(&past->answer, HL_PAST_NOT_ASKED); /* Relaxed: the source begins later. */
    hl_store_release_u32(&box->phase, HL_PAST_READING); /* PAST: release, the queues are there. */
    hl_subscription_hold(subscription);
    hl_fetch_add_relaxed_u64(&bus->past_runs, 1); /* DRAINED: nothing was put yet. */
    tell(box, HL_HAND_OVER_BEGUN, past->after_sequence, 0, "");
    bus->past_source->begin(run, box);
}

void hl_past_begin(hl_subscription *subscription)
{
    for (uint32_t i = 0; subscription->async != NULL && i < subscription->async->box_count; i++) {
        hl_async_box *const box = &subscription->async->boxes[i];
        if (box->past != NULL && box->past->prepared != NULL)
            begin_box(box);
    }
}

static bool is_told(const hl_async_box *box)
{
    return hl_load_relaxed_u32(&box->eject) == HL_EJECT_TOLD; /* TOLD: relaxed, taken below. */
}

static hl_status prepare_told(hl_subscription *subscription, const hl_past *past)
{
    hl_status status = check_positions(subscription, past);
    for (uint32_t i = 0; status == HL_OK && i < subscription->async->box_count; i++) {
        hl_async_box *const box = &subscription->async->boxes[i];
        if (!is_told(box))
            continue;
        if (partition_of(box)->recorder != NULL)
            status = prepare_box(box, past);
        else if (!past->may_miss)
            status = hl_bus_fail(subscription->bus, HL_NOT_ALLOWED,
                                 "subscription \"%s\": partition %s has no journal: say may_miss, "
                                 "and it goes on there from now",
                                 subscription->name, partition_of(box)->out->name);
    }
    return status;
}

hl_status hl_past_resume(hl_subscription *subscription, const hl_past *past)
{
    if ((unsigned)past->from > HL_FROM_LAST || subscription->async->kind->put == NULL)
        return hl_bus_fail(subscription->bus, HL_INVALID,
                           "subscription \"%s\": past.from is %d: use the values of enum hl_from, "
                           "and another contract than latest",
                           subscription->name, (int)past->from);
    const hl_status status = prepare_told(subscription, past);
    for (uint32_t i = 0; status == HL_OK && i < subscription->async->box_count; i++) {
        hl_async_box *const box = &subscription->async->boxes[i];
        uint32_t told = HL_EJECT_TOLD;
        /* TOLD: acq_rel, the ejection that was told is behind it. */
        if (box->past != NULL && box->past->prepared != NULL &&
            hl_compare_exchange_acq_rel_u32(&box->eject, &told, HL_EJECT_NONE))
            begin_box(box);
    }
    hl_past_discard(subscription);
    return status;
}

bool hl_past_is_quiet(const hl_subscription *subscription)
{
    const hl_bus *const bus = subscription->bus;
    /* SERVING: acquire; its predicate has returned, and is not called again. */
    return hl_load_acquire_ptr((void *const *)(const void *)&bus->past_serving) != subscription;
}

/* ---- the partition's thread ---- */

bool hl_past_is_coming(const hl_cell *cell)
{
    const hl_async_box *const box = cell->waiting;
    /* It was stored before the command that attaches. */
    return cell->subscription->async != NULL && hl_past_phase_of(box) == HL_PAST_READING;
}

/* Fills the live queues from here on, unless the source is ahead of what was handed out. */
static void attach_live(hl_executor *executor, hl_call *call)
{
    hl_async_past *const past =
        (hl_async_past *)(void *)((char *)call - offsetof(hl_async_past, attach));
    hl_async_box *const box = past->box;
    hl_partition *const partition = partition_of(box);
    uint32_t answer = HL_PAST_LATER;
    if (hl_turning == executor && !hl_subscription_is_ending(subscription_of(box)) &&
        hl_partition_handed_out(partition) >= past->put_through) {
        for (uint32_t i = 0; i < box->async->queue_strands; i++)
            box->queues[i].lost = (hl_lost){0}; /* it was told that all was */
        hl_cell_begin(partition, box->cell);
        answer = HL_PAST_ATTACHED;
    }
    hl_store_release_u32(&past->answer, answer); /* ASKED: release, after S. */
}

/* ---- the source's thread ---- */

static hl_past_answer answer_of(const hl_async_box *box)
{
    /* ASKED: acquire, S is seen with it. */
    return (hl_past_answer)hl_load_acquire_u32(&box->past->answer);
}

bool hl_past_is_wanted(const hl_async_box *box)
{
    const hl_bus *const bus = subscription_of(box)->bus;
    const hl_past_answer answer = answer_of(box);
    if (hl_subscription_is_ending(subscription_of(box)))
        return false;
    /* GATE: relaxed; a stop waits until it is seen. */
    return answer == HL_PAST_ASKED || answer == HL_PAST_ATTACHED ||
           hl_load_relaxed_u32(bus->gate) == HL_GATE_OPEN;
}

/* What the predicate says; *ret_ended: the subscription ends, and it was not asked. */
static bool passes(const hl_async_box *box, const hl_event *event, bool *ret_ended)
{
    const hl_subscription *const subscription = subscription_of(box);
    void **const serving = (void **)(void *)&subscription->bus->past_serving;
    *ret_ended = false;
    if (subscription->options.predicate == NULL)
        return true;
    /* SERVING: relaxed, the fence orders it. */
    hl_store_relaxed_ptr(serving, (void *)(uintptr_t)subscription);
    hl_fence_store_load(); /* SERVING: before `closing` is loaded. */
    *ret_ended = hl_subscription_is_ending(subscription);
    const bool passed =
        !*ret_ended && subscription->options.predicate(event, subscription->context);
    hl_store_release_ptr(serving, NULL); /* SERVING: release, the predicate has returned. */
    return passed;
}

static bool put(hl_async_box *box, const hl_event *event)
{
    const hl_async *const async = box->async;
    hl_async_queue *const queue = &box->past->queues[hl_shard_of(event->key, async->queue_strands)];
    if (!async->kind->put(queue, event,
                          &subscription_of(box)->bus->past_counts.handed[async->pool->kind]))
        return false;
    hl_pool_notify(async->pool);
    return true;
}

bool hl_past_put(hl_async_box *box, const hl_event *event)
{
    hl_async_past *const past = box->past;
    bool ended;
    if (!passes(box, event, &ended)) {
        if (ended)
            return false;
        hl_count(&past->delivered, 1);
        hl_count(&past->filtered, 1);
    } else {
        if (!put(box, event))
            return false;
        hl_count(&past->delivered, 1);
        hl_count(&past->queued, 1);
    }
    past->put_through = event->sequence;
    return true;
}

bool hl_past_tell_missed(hl_async_box *box, uint64_t first_sequence, uint64_t last_sequence)
{
    const hl_lost lost = {last_sequence - first_sequence + 1, first_sequence, last_sequence};
    union {
        hl_event event;
        unsigned char room[sizeof(hl_event) + sizeof lost];
    } news = {.event = {.sequence = last_sequence,
                        .topic = UINT32_MAX,
                        .flags = HL_EVENT_LOST | HL_EVENT_REPLAYED,
                        .payload_size = sizeof lost}};
    memcpy(news.room + sizeof(hl_event), &lost, sizeof lost);
    if (!put(box, &news.event))
        return false;
    hl_count(&box->past->missed, lost.count);
    box->past->put_through = last_sequence;
    tell(box, HL_HAND_OVER_MISSED, last_sequence, lost.count, "");
    return true;
}

static void set_waits_for(hl_async_past *past, const char *why)
{
    pthread_mutex_lock(&past->waits_lock);
    snprintf(past->waits_for, sizeof past->waits_for, "%.159s", why);
    pthread_mutex_unlock(&past->waits_lock);
}

void hl_past_tell_waits(hl_async_box *box, uint64_t next_sequence, const char *why)
{
    const hl_subscription *const subscription = subscription_of(box);
    set_waits_for(box->past, why);
    hl_log(subscription->bus, HL_LOG_WARNING, "journal", "subscription \"%s\" waits: %s",
           subscription->name, why);
    tell(box, HL_HAND_OVER_WAITING, next_sequence, 0, why);
}

void hl_past_tell_goes_on(hl_async_box *box)
{
    set_waits_for(box->past, "");
}

void hl_past_waits_for(const hl_async_past *past, char ret_reason[160])
{
    pthread_mutex_t *const lock = (pthread_mutex_t *)(uintptr_t)&past->waits_lock;
    pthread_mutex_lock(lock);
    memcpy(ret_reason, past->waits_for, sizeof past->waits_for);
    pthread_mutex_unlock(lock);
}

bool hl_past_is_near(const hl_async_box *box, uint64_t next_sequence)
{
    const hl_partition *const partition = partition_of(box);
    /* Relaxed: one writer; a number. */
    const uint64_t last_sequence = hl_load_relaxed_u64(&partition->sequence);
    return next_sequence > last_sequence ||
           last_sequence - next_sequence < room_of(box) / NEAR_SHARE;
}

void hl_past_ask(hl_async_box *box)
{
    hl_async_past *const past = box->past;
    past->attach = (hl_call){{NULL, HL_COMMAND_CALL, &past->attach}, attach_live};
    hl_store_relaxed_u32(&past->answer, HL_PAST_ASKED); /* Relaxed: COMMAND orders it. */
    hl_executor_command(partition_of(box)->executor, &past->attach.command);
}

hl_past_answer hl_past_answered(const hl_async_box *box, uint64_t *ret_sequence)
{
    const hl_past_answer answer = answer_of(box);
    if (answer == HL_PAST_ATTACHED)
        *ret_sequence = box->cell->start_sequence;
    return answer;
}

void hl_past_finish(hl_async_box *box)
{
    tell(box, HL_HAND_OVER_LIVE, box->cell->start_sequence, 0, "");
    hl_store_release_u32(&box->phase, HL_PAST_PUT); /* PAST: release, all was put. */
    hl_pool_notify(box->async->pool);
}

bool hl_past_let_go(hl_async_box *box)
{
    hl_subscription *const subscription = box->async->subscription;
    hl_bus *const bus = subscription->bus;
    if (answer_of(box) == HL_PAST_ASKED)
        return false;
    hl_subscription_let_go(subscription, &bus->past_counts);
    hl_fetch_add_release_u64(&bus->past_runs, (uint64_t)-1); /* DRAINED: release, what was put. */
    return true;
}
