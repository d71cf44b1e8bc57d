#include "bus/subscription.h"

#include <sched.h>
#include <search.h>
#include <stdio.h>
#include <time.h>

#include "bus/async.h"
#include "bus/async_eject.h"
#include "bus/batch.h"
#include "bus/bus.h"
#include "bus/guard.h"
#include "bus/past.h"
#include "bus/pattern.h"

#define POLLS_BEFORE_YIELD 64
#define YIELDS_BEFORE_NAP  64
#define NAP_NS             50000

/* ---- making one ---- */

static hl_status check_options(hl_bus *bus, const char *pattern, hl_handler handler,
                               const hl_subscription_options *options)
{
    const char *const defect = hl_pattern_defect(pattern);
    if (defect != NULL)
        return hl_bus_fail(bus, HL_INVALID, "pattern \"%s\": %s", pattern == NULL ? "" : pattern,
                           defect);
    if (options->size != sizeof *options)
        return hl_bus_fail(bus, HL_INVALID,
                           "subscription \"%s\": options of size %zu: begin with "
                           "HL_SUBSCRIPTION_OPTIONS_INIT",
                           pattern, options->size);
    if ((handler == NULL) == (options->batch == NULL))
        return hl_bus_fail(bus, HL_INVALID,
                           "subscription \"%s\": give a handler or a batch handler, one of the two",
                           pattern);
    hl_error error = {.status = HL_OK};
    if (bus->check_guard != NULL && bus->check_guard(options, &error) != HL_OK)
        return hl_bus_fail(bus, error.status, "subscription \"%s\": %s", pattern, error.text);
    if (options->batch != NULL && (options->batch_events < 1 || options->batch_events > 65536))
        return hl_bus_fail(bus, HL_INVALID,
                           "subscription \"%s\": batch_events is %u: use 1 to 65536", pattern,
                           options->batch_events);
    return hl_async_check(bus, pattern, options);
}

/* The partitions that a pattern reaches: those of one domain, or all. */
static hl_status find_reach(hl_bus *bus, const char *pattern, uint32_t *ret_first,
                            uint32_t *ret_count)
{
    if (*pattern == '*' || *pattern == '>') {
        *ret_first = 0;
        *ret_count = bus->partition_count;
        return HL_OK;
    }
    const size_t bytes = hl_first_token_bytes(pattern);
    const hl_domain *domain = hl_bus_find_domain(bus, pattern, bytes);
    const char *const fallback = bus->config.default_domain;
    if (domain == NULL && fallback != NULL)
        domain = hl_bus_find_domain(bus, fallback, strlen(fallback));
    if (domain == NULL)
        return hl_bus_fail(bus, HL_UNKNOWN_DOMAIN,
                           "subscription \"%s\": its first token names no domain of this bus",
                           pattern);
    *ret_first = domain->first_partition;
    *ret_count = domain->config.shards;
    return HL_OK;
}

static hl_status find_image_topics(hl_bus *bus, hl_subscription *subscription)
{
    const char *const pattern = subscription->pattern;
    subscription->image_topics = calloc(bus->topic_count + 1, sizeof(hl_topic_entry *));
    if (subscription->image_topics == NULL)
        return hl_bus_fail(bus, HL_NO_MEMORY, "no memory for subscription \"%s\"", pattern);
    for (uint32_t i = 0; i < bus->topic_count; i++)
        if (bus->entries[i]->last != NULL && hl_pattern_matches(pattern, bus->entries[i]->name))
            subscription->image_topics[subscription->image_topic_count++] = bus->entries[i];
    if (subscription->image_topic_count == 0)
        return hl_bus_fail(bus, HL_NOT_ALLOWED,
                           "subscription \"%s\": an initial image needs a state topic: declare it "
                           "before, with kind HL_STATE",
                           pattern);
    return HL_OK;
}

/* Whether an executor has to do with it: turns a partition that it reaches, or runs its handler. */
static bool reaches(const hl_bus *bus, const hl_subscription *subscription,
                    const hl_executor *executor)
{
    if (executor->worker != NULL)
        return subscription->async != NULL && executor->worker->pool == subscription->async->pool;
    for (uint32_t p = 0; p < subscription->partition_count; p++)
        if (bus->partitions[subscription->first_partition + p].executor == executor)
            return true;
    return false;
}

/* One link for each executor that it reaches. */
static bool make_links(hl_bus *bus, hl_subscription *subscription)
{
    subscription->links = hl_allocate(bus->executor_count, sizeof(hl_link));
    if (subscription->links == NULL)
        return false;
    for (uint32_t i = 0; i < bus->executor_count; i++) {
        hl_executor *const executor = &bus->executors[i];
        if (!reaches(bus, subscription, executor))
            continue;
        hl_link *const link = &subscription->links[subscription->link_count++];
        link->executor = executor;
        link->subscription = subscription;
        link->attach = (hl_command){NULL, HL_COMMAND_ATTACH, link};
        link->detach = (hl_command){NULL, HL_COMMAND_DETACH, link};
        link->reattach = (hl_command){NULL, HL_COMMAND_REATTACH, link};
        link->flush = (hl_command){NULL, HL_COMMAND_FLUSH, link};
    }
    subscription->links_left = subscription->link_count;
    subscription->references = subscription->link_count + 1;
    return true;
}

static hl_status make_parts(hl_bus *bus, hl_subscription *subscription)
{
    subscription->cells = hl_allocate(subscription->partition_count, sizeof(hl_cell));
    const bool is_async = subscription->options.async != HL_ASYNC_NONE;
    bool whole = subscription->pattern != NULL && subscription->name != NULL &&
                 subscription->cells != NULL && (!is_async || hl_async_make(subscription)) &&
                 make_links(bus, subscription);
    for (uint32_t i = 0; whole && i < subscription->partition_count; i++) {
        hl_cell *const cell = &subscription->cells[i];
        cell->subscription = subscription;
        if (subscription->options.batch != NULL && !is_async)
            cell->delivery = &hl_batch_delivery;
        if (!is_async && cell->delivery != NULL)
            whole = cell->delivery->make(cell, &bus->partitions[subscription->first_partition + i]);
        if (whole && bus->make_guard != NULL)
            whole = bus->make_guard(cell, &bus->partitions[subscription->first_partition + i]);
    }
    if (whole && is_async && bus->make_async_guard != NULL)
        whole = bus->make_async_guard(subscription->async);
    if (!whole)
        return hl_bus_fail(bus, HL_NO_MEMORY, "no memory for a subscription");
    if (!subscription->options.initial_image)
        return HL_OK;
    const hl_status status = find_image_topics(bus, subscription);
    return status == HL_OK ? hl_async_check_image(bus, subscription) : status;
}

static void free_subscription(hl_subscription *subscription)
{
    for (uint32_t i = 0; subscription->cells != NULL && i < subscription->partition_count; i++) {
        hl_cell *const cell = &subscription->cells[i];
        if (cell->delivery != NULL && cell->delivery->free != NULL)
            cell->delivery->free(cell);
        if (cell->guard != NULL)
            cell->guard->free(cell);
    }
    hl_async_free(subscription->async);
    free(subscription->cells);
    free(subscription->links);
    free(subscription->image_topics);
    free(subscription->name);
    free(subscription->pattern);
    free(subscription);
}

static int compare_patterns(const void *a, const void *b)
{
    return strcmp(((const hl_alike *)a)->pattern, ((const hl_alike *)b)->pattern);
}

const hl_alike *hl_subscriptions_of(const hl_bus *bus, const char *name)
{
    const hl_alike wanted = {.pattern = (char *)(uintptr_t)name};
    hl_alike **const found = tfind(&wanted, &bus->control->exact_patterns, compare_patterns);
    return found != NULL ? *found : NULL;
}

/* Where it belongs; made when it is the first of its exact pattern. NULL: no memory. */
static hl_alike *find_alike(hl_bus *bus, const hl_subscription *subscription)
{
    if (!subscription->exact)
        return &bus->control->with_wildcards;
    hl_alike *const wanted = calloc(1, sizeof *wanted);
    if (wanted == NULL || (wanted->pattern = strdup(subscription->pattern)) == NULL) {
        free(wanted);
        return NULL;
    }
    hl_alike **const found = tsearch(wanted, &bus->control->exact_patterns, compare_patterns);
    if (found == NULL || *found != wanted) {
        free(wanted->pattern);
        free(wanted);
    }
    return found != NULL ? *found : NULL;
}

static bool join_alike(hl_bus *bus, hl_subscription *subscription)
{
    hl_alike *const alike = find_alike(bus, subscription);
    if (alike == NULL)
        return false;
    subscription->alike = alike;
    subscription->previous_alike = alike->last;
    if (alike->last != NULL)
        alike->last->next_alike = subscription;
    else
        alike->first = subscription;
    alike->last = subscription;
    return true;
}

static void leave_alike(hl_bus *bus, hl_subscription *subscription)
{
    hl_alike *const alike = subscription->alike;
    if (subscription->previous_alike != NULL)
        subscription->previous_alike->next_alike = subscription->next_alike;
    else
        alike->first = subscription->next_alike;
    if (subscription->next_alike != NULL)
        subscription->next_alike->previous_alike = subscription->previous_alike;
    else
        alike->last = subscription->previous_alike;
    if (alike->first != NULL || alike == &bus->control->with_wildcards)
        return;
    tdelete(alike, &bus->control->exact_patterns, compare_patterns);
    free(alike->pattern);
    free(alike);
}

static bool enlist(hl_bus *bus, hl_subscription *subscription)
{
    hl_control *const control = bus->control;
    if (!join_alike(bus, subscription))
        return false;
    subscription->serial = control->next_serial++;
    subscription->previous = control->last_subscription;
    if (control->last_subscription != NULL)
        control->last_subscription->next = subscription;
    else
        control->subscriptions = subscription;
    control->last_subscription = subscription;
    control->subscription_count++;
    return true;
}

static void delist(hl_bus *bus, hl_subscription *subscription)
{
    hl_control *const control = bus->control;
    leave_alike(bus, subscription);
    if (subscription->previous != NULL)
        subscription->previous->next = subscription->next;
    else
        control->subscriptions = subscription->next;
    if (subscription->next != NULL)
        subscription->next->previous = subscription->previous;
    else
        control->last_subscription = subscription->previous;
}

static hl_status subscribe_locked(hl_bus *bus, const char *pattern, hl_handler handler,
                                  void *context, const hl_subscription_options *options,
                                  hl_subscription **ret_subscription)
{
    uint32_t first = 0, count = 0;
    hl_status status = check_options(bus, pattern, handler, options);
    if (status == HL_OK)
        status = find_reach(bus, pattern, &first, &count);
    if (status != HL_OK)
        return status;
    if (count > 1 && !options->concurrent && options->async == HL_ASYNC_NONE)
        return hl_bus_fail(bus, HL_SPANS_PARTITIONS,
                           "subscription \"%s\" reaches %u partitions, so its handler would run on "
                           "several threads at once: say `concurrent`, take it async, or name one "
                           "domain of one shard",
                           pattern, count);
    if (bus->control->state >= HL_BUS_STOPPING)
        return hl_bus_fail(bus, HL_CLOSED, "subscription \"%s\": the bus has stopped", pattern);
    hl_bus_reap(bus);
    if (bus->control->subscription_count >= bus->config.max_subscriptions)
        return hl_bus_fail(bus, HL_LIMIT,
                           "subscription \"%s\": %u are open: raise max_subscriptions", pattern,
                           bus->config.max_subscriptions);
    hl_subscription *const subscription = hl_allocate(1, sizeof *subscription);
    if (subscription == NULL)
        return hl_bus_fail(bus, HL_NO_MEMORY, "no memory for a subscription");
    subscription->bus = bus;
    subscription->pattern = strdup(pattern);
    subscription->name = strdup(options->name != NULL ? options->name : pattern);
    subscription->exact = hl_pattern_is_exact(pattern);
    subscription->handler = handler;
    subscription->context = context;
    subscription->options = *options;
    subscription->options.name = subscription->name;
    subscription->first_partition = first;
    subscription->partition_count = count;
    status = make_parts(bus, subscription);
    subscription->options.retry = NULL; /* copied by the guard, the caller's may go */
    subscription->options.breaker = NULL;
    subscription->options.past.positions = NULL;
    if (status == HL_OK)
        status = hl_past_prepare(subscription, &options->past);
    if (status == HL_OK && !enlist(bus, subscription))
        status = hl_bus_fail(bus, HL_NO_MEMORY, "no memory for a subscription");
    else if (status == HL_OK && !hl_routes_add(bus, subscription)) {
        delist(bus, subscription);
        bus->control->subscription_count--;
        status = hl_bus_fail(bus, HL_NO_MEMORY, "no memory for the routes of \"%s\"", pattern);
    }
    if (status != HL_OK) {
        hl_past_discard(subscription);
        free_subscription(subscription);
        return status;
    }
    hl_past_begin(subscription);
    /* After the routes: who is told to take it up finds it there. */
    for (uint32_t i = 0; i < subscription->link_count; i++)
        hl_executor_command(subscription->links[i].executor, &subscription->links[i].attach);
    if (ret_subscription != NULL)
        *ret_subscription = subscription;
    return HL_OK;
}

hl_status hl_subscribe(hl_bus *bus, const char *pattern, hl_handler handler, void *context,
                       const hl_subscription_options *options, hl_subscription **ret_subscription)
{
    const hl_subscription_options defaults = HL_SUBSCRIPTION_OPTIONS_INIT;
    const hl_status refusal = hl_bus_refusal(bus);
    if (refusal != HL_OK)
        return refusal;
    hl_bus_lock(bus);
    const hl_status status = subscribe_locked(
        bus, pattern, handler, context, options != NULL ? options : &defaults, ret_subscription);
    hl_bus_unlock(bus);
    return status;
}

/* ---- ending one ---- */

bool hl_subscription_is_closing(const hl_subscription *subscription)
{
    return hl_load_relaxed_u32(&subscription->closing) != 0; /* Relaxed: under the bus's lock. */
}

/* Gives back what was there before, less one. */
static uint64_t decrement(uint64_t *counter)
{
    uint64_t before = hl_load_relaxed_u64(counter); /* Relaxed: a first guess. */
    /* DROP: release, what this thread did with it comes before the last one frees it; acquire, the
     * last one sees that. */
    while (!hl_compare_exchange_acq_rel_u64(counter, &before, before - 1))
        ;
    return before - 1;
}

static void drop(hl_subscription *subscription)
{
    if (decrement(&subscription->references) != 0)
        return;
    hl_bus *const bus = subscription->bus;
    /* COMMAND: (command.h) the same list the other way round; relaxed, a first guess. */
    void *head = hl_load_relaxed_ptr((void *const *)(void *)&bus->dead_subscriptions);
    do {
        subscription->next_dead = head;
        /* COMMAND: release, nobody uses it any more. */
    } while (!hl_compare_exchange_acq_rel_ptr((void **)(void *)&bus->dead_subscriptions, &head,
                                              subscription));
}

void hl_subscription_hold(hl_subscription *subscription)
{
    /* DROP: relaxed, the links hold it too. */
    hl_fetch_add_relaxed_u64(&subscription->links_left, 1);
    hl_fetch_add_relaxed_u64(&subscription->references, 1);
}

void hl_subscription_let_go(hl_subscription *subscription, hl_executor *executor)
{
    if (decrement(&subscription->links_left) == 0) {
        if (subscription->async != NULL)
            hl_async_drain(subscription->async, executor);
        uint32_t waited_for = HL_CLOSE_WAITED_FOR;
        /* CLOSED: acq_rel; the caller and the last link agree who calls on_closed. */
        if (!hl_compare_exchange_acq_rel_u32(&subscription->close, &waited_for, HL_CLOSE_DONE) &&
            subscription->options.on_closed != NULL)
            subscription->options.on_closed(subscription->context);
    }
    drop(subscription);
}

void hl_link_let_go(hl_link *link)
{
    /* LETGO: release, all that the handler did comes before it. */
    hl_store_release_u32(&link->let_go, 1);
    hl_subscription_let_go(link->subscription, link->executor);
}

/* Takes it out of the routes and has every executor let go of it. Under the lock. */
static void begin_close(hl_subscription *subscription, bool deferred)
{
    hl_bus *const bus = subscription->bus;
    /* ONLINE: (executor.h) before the commands and the caller's fence. */
    hl_store_release_u32(&subscription->closing, 1);
    bus->control->subscription_count--;
    subscription->close = deferred ? HL_CLOSE_DEFERRED : HL_CLOSE_WAITED_FOR;
    /* A route that still names it for want of memory keeps its cells until the bus is destroyed. */
    if (!hl_routes_remove(bus, subscription))
        subscription->references++;
    for (uint32_t i = 0; i < subscription->link_count; i++)
        hl_executor_command(subscription->links[i].executor, &subscription->links[i].detach);
}

static bool link_is_quiet(const hl_link *link)
{
    const hl_worker *const worker = link->executor->worker;
    /* SERVING: (pool.h) acquire; a worker in another's handler is no reason to wait. */
    if (worker != NULL &&
        hl_load_acquire_ptr((void *const *)(const void *)&worker->serving) != link->subscription)
        return true;
    /* LETGO, OFFLINE: acquire, all that the handler did happens before the caller goes on. Offline
     * will do: when that executor next goes online, it sees that the subscription is gone. */
    return hl_load_acquire_u32(&link->let_go) != 0 ||
           hl_load_acquire_u32(&link->executor->online) == 0;
}

/* Its links, and behind them who reads its past. */
static bool user_is_quiet(const hl_subscription *subscription, uint32_t user)
{
    return user < subscription->link_count ? link_is_quiet(&subscription->links[user])
                                           : hl_past_is_quiet(subscription);
}

/* The name of the first thread that does not let go in time; NULL: all have. */
static const char *wait_for_users(const hl_subscription *subscription, uint64_t timeout_ns)
{
    const uint64_t begin_ns = hl_monotonic_ns();
    for (uint32_t i = 0; i <= subscription->link_count; i++) {
        for (uint32_t tries = 0; !user_is_quiet(subscription, i); tries++) {
            if (tries < POLLS_BEFORE_YIELD) {
                hl_pause();
                continue;
            }
            if (hl_monotonic_ns() - begin_ns >= timeout_ns)
                return i < subscription->link_count ? subscription->links[i].executor->name
                                                    : "hand-over";
            const struct timespec nap = {0, NAP_NS};
            if (tries < POLLS_BEFORE_YIELD + YIELDS_BEFORE_NAP)
                sched_yield();
            else
                nanosleep(&nap, NULL);
        }
    }
    return NULL;
}

hl_status hl_unsubscribe(hl_subscription *subscription, uint64_t timeout_ns, hl_error *error)
{
    if (subscription == NULL)
        return hl_error_set(error, HL_INVALID, "unsubscribe: no subscription was given");
    hl_bus *const bus = subscription->bus;
    if (hl_bus_is_detached(bus))
        return hl_error_set(error, HL_DETACHED, "unsubscribe: this is a fork's child");
    const bool deferred = hl_turning != NULL;
    bool complete = false;
    hl_bus_lock(bus);
    if (!hl_subscription_is_closing(subscription)) {
        begin_close(subscription, deferred);
    } else if (deferred) {
        uint32_t waited_for = HL_CLOSE_WAITED_FOR;
        /* CLOSED: as in hl_link_let_go; done already: the caller is the one who tells. */
        complete =
            !hl_compare_exchange_acq_rel_u32(&subscription->close, &waited_for, HL_CLOSE_DEFERRED);
    }
    const bool stopped = bus->control->state == HL_BUS_STOPPED;
    hl_bus_unlock(bus);
    /* No thread turns the executors any more: what they were told is done here. */
    for (uint32_t i = 0; stopped && i < subscription->link_count; i++)
        hl_executor_obey(subscription->links[i].executor);
    if (deferred) {
        if (complete && subscription->options.on_closed != NULL)
            subscription->options.on_closed(subscription->context);
        drop(subscription);
        return HL_DEFERRED;
    }
    /* ONLINE: closing, routes and commands before the loads of `online`. */
    hl_fence_store_load();
    const char *const late = wait_for_users(subscription, timeout_ns);
    if (late != NULL)
        return hl_error_set(
            error, HL_TIMEOUT,
            "subscription \"%s\": its handler still runs, or executor %s is in "
            "another one, after %llu ns; no further event will reach it: call again",
            subscription->name, late, (unsigned long long)timeout_ns);
    drop(subscription);
    return HL_OK;
}

/* Under the bus's lock. `past` NULL: from now on. */
static hl_status reattach_locked(hl_subscription *subscription, const hl_past *past)
{
    hl_bus *const bus = subscription->bus;
    bool any = false;
    if (hl_subscription_is_closing(subscription))
        return hl_bus_fail(bus, HL_CLOSED, "subscription \"%s\" is ending", subscription->name);
    for (uint32_t i = 0; subscription->async != NULL && i < subscription->partition_count; i++) {
        /* TOLD: acquire, the ejection that was told is behind it. */
        const uint32_t told = hl_load_acquire_u32(&subscription->async->boxes[i].eject);
        if (told == HL_EJECT_UNTOLD)
            return hl_bus_fail(bus, HL_BUSY,
                               "subscription \"%s\" has not yet been told that it was ejected: "
                               "reattach it when its handler got HL_EVENT_EJECTED",
                               subscription->name);
        any |= told == HL_EJECT_TOLD;
    }
    if (!any)
        return hl_bus_fail(bus, HL_WRONG_STATE, "subscription \"%s\" is not ejected",
                           subscription->name);
    const hl_status resumed = past != NULL ? hl_past_resume(subscription, past) : HL_OK;
    if (resumed != HL_OK)
        return resumed;
    /* Those that have no past, or want none: not one that was told of its ejection just now. */
    any = false;
    for (uint32_t i = 0; i < subscription->partition_count; i++)
        if (past == NULL || bus->partitions[subscription->first_partition + i].recorder == NULL)
            any |= hl_async_ask_back(&subscription->async->boxes[i]);
    if (!any)
        return HL_OK;
    hl_fence_store_load(); /* LETGO: a command on its way finds them, or another one follows. */
    for (uint32_t i = 0; i < subscription->link_count; i++) {
        hl_link *const link = &subscription->links[i];
        /* LETGO: acquire, the executor is done with the command. */
        if (link->executor->worker != NULL || hl_load_acquire_u32(&link->reattaching) != 0)
            continue;
        hl_store_relaxed_u32(&link->reattaching, 1); /* Relaxed: COMMAND orders it. */
        hl_executor_command(link->executor, &link->reattach);
    }
    return HL_OK;
}

static hl_status reattach(hl_subscription *subscription, const hl_past *past)
{
    if (subscription == NULL)
        return HL_INVALID;
    hl_bus *const bus = subscription->bus;
    if (hl_bus_is_detached(bus))
        return HL_DETACHED;
    hl_bus_lock(bus);
    const hl_status status = reattach_locked(subscription, past);
    hl_bus_unlock(bus);
    return status;
}

hl_status hl_subscription_reattach(hl_subscription *subscription)
{
    return reattach(subscription, NULL);
}

hl_status hl_subscription_reattach_from(hl_subscription *subscription, const hl_past *past)
{
    if (past == NULL)
        return HL_INVALID;
    return reattach(subscription, past->from != HL_FROM_NOW ? past : NULL);
}

hl_status hl_subscription_flush(hl_subscription *subscription)
{
    if (subscription == NULL)
        return HL_INVALID;
    hl_bus *const bus = subscription->bus;
    if (hl_bus_is_detached(bus))
        return HL_DETACHED;
    if (subscription->options.batch == NULL)
        return HL_NOT_ALLOWED;
    hl_bus_lock(bus);
    const hl_status status = hl_subscription_is_closing(subscription) ? HL_CLOSED : HL_OK;
    for (uint32_t i = 0; status == HL_OK && i < subscription->link_count; i++) {
        hl_link *const link = &subscription->links[i];
        /* LETGO: acquire, the executor is done with the command. */
        if (hl_load_acquire_u32(&link->flushing) != 0)
            continue;
        hl_store_relaxed_u32(&link->flushing, 1); /* Relaxed: COMMAND orders it. */
        hl_executor_command(link->executor, &link->flush);
    }
    hl_bus_unlock(bus);
    return status;
}

hl_status hl_subscription_start(const hl_subscription *subscription, uint32_t partition,
                                uint64_t *ret_sequence)
{
    const uint32_t index = partition - subscription->first_partition;
    if (index >= subscription->partition_count)
        return HL_NOT_FOUND;
    const hl_cell *const cell = &subscription->cells[index];
    /* START: acquire, start_sequence is seen with the state. */
    if (hl_load_acquire_u32(&cell->state) == HL_CELL_WAITING)
        return HL_NOT_FOUND;
    *ret_sequence = cell->start_sequence;
    return HL_OK;
}

/* ---- counting, and the end ---- */

void hl_subscription_add_up(const hl_subscription *subscription, hl_subscription_stats *ret_stats)
{
    hl_subscription_stats sum = {0};
    bool runs = false;
    if (subscription->async != NULL)
        hl_async_add_up(subscription->async, &sum);
    for (uint32_t i = 0; i < subscription->partition_count; i++) {
        const hl_cell *const cell = &subscription->cells[i];
        /* Relaxed all: counters of one writer; outcomes before `delivered`, which comes first in
         * the handler's thread, so that a live reading shows the difference as running. */
        sum.handled += hl_load_relaxed_u64(&cell->handled);
        sum.filtered += hl_load_relaxed_u64(&cell->filtered);
        sum.skipped += hl_load_relaxed_u64(&cell->skipped);
        sum.cancelled += hl_load_relaxed_u64(&cell->cancelled);
        sum.failures += hl_load_relaxed_u64(&cell->failures);
        sum.slow += hl_load_relaxed_u64(&cell->slow);                   /* Relaxed: as above. */
        sum.dead_lettered += hl_load_relaxed_u64(&cell->dead_lettered); /* Relaxed: as above. */
        sum.in_retry += hl_load_relaxed_u64(&cell->in_retry);           /* Relaxed: as above. */
        sum.held += hl_load_relaxed_u64(&cell->held);                   /* Relaxed: as above. */
        sum.queued += hl_load_relaxed_u64(&cell->queued);               /* Relaxed: as above. */
        sum.delivered += hl_load_relaxed_u64(&cell->delivered);         /* Relaxed: as above. */
        const hl_partition *const partition =
            &subscription->bus->partitions[subscription->first_partition + i];
        for (int lane = 0; lane < HL_PRIORITIES; lane++)
            runs |= hl_load_relaxed_u32(&partition->lanes[lane].running) != 0; /* as above */
    }
    const uint64_t outcomes = sum.handled + sum.filtered + sum.skipped + sum.cancelled +
                              sum.dead_lettered + sum.queued + sum.in_retry + sum.held;
    /* What runs on workers they have counted. */
    if (subscription->async == NULL)
        sum.running = runs && sum.delivered > outcomes ? sum.delivered - outcomes : 0;
    snprintf(sum.name, sizeof sum.name, "%s", subscription->name);
    snprintf(sum.pattern, sizeof sum.pattern, "%s", subscription->pattern);
    sum.closed = hl_subscription_is_closing(subscription);
    *ret_stats = sum;
}

/* Adds the counts to the row of that name, so that they are not lost with the subscription. */
static void fold(hl_control *control, const hl_subscription *subscription)
{
    hl_subscription_stats stats;
    hl_subscription_add_up(subscription, &stats);
    stats.closed = true;
    for (uint32_t i = 0; i < control->closed_row_count; i++) {
        hl_subscription_stats *const row = &control->closed_rows[i];
        if (strcmp(row->name, stats.name) != 0 || strcmp(row->pattern, stats.pattern) != 0)
            continue;
#define ADD_FIELD(field, meaning) row->field += stats.field;
        HL_SUBSCRIPTION_COUNTERS(ADD_FIELD)
#undef ADD_FIELD
        row->failures += stats.failures;
        row->slow += stats.slow;
        row->ejections += stats.ejections;
        row->replayed += stats.replayed;
        row->missed += stats.missed;
        return;
    }
    const uint32_t count = control->closed_row_count;
    /* Grown at each power of two. */
    if ((count & (count + 1)) == 0) {
        hl_subscription_stats *const rows =
            realloc(control->closed_rows, (2 * (size_t)count + 1) * sizeof *rows);
        if (rows == NULL) {
            control->closed_rows_lost++;
            return;
        }
        control->closed_rows = rows;
    }
    control->closed_rows[control->closed_row_count++] = stats;
}

void hl_subscription_reap(hl_bus *bus)
{
    /* COMMAND: acquire, pairs with each push in `drop`. */
    hl_subscription *subscription =
        hl_exchange_acq_rel_ptr((void **)(void *)&bus->dead_subscriptions, NULL);
    while (subscription != NULL) {
        hl_subscription *const next = subscription->next_dead;
        fold(bus->control, subscription);
        delist(bus, subscription);
        free_subscription(subscription);
        subscription = next;
    }
}

void hl_subscriptions_free(hl_bus *bus)
{
    while (bus->control->subscriptions != NULL) {
        hl_subscription *const first = bus->control->subscriptions;
        delist(bus, first);
        free_subscription(first);
    }
}
