#include "bus/route.h"

#include <errno.h>

#include "bus/bus.h"
#include "bus/pattern.h"

/* How long a bus that is destroyed waits for its old routes to be freed. */
#define RECLAIM_WAIT_MS 2000

/* ThreadSanitizer: liburcu's grace period, from the end of each turn to the freeing of a route.
 * Only its address is used. */
static char grace_period;

void hl_route_mark_quiescent(void)
{
    HL_TSAN_RELEASE(&grace_period);
}

static void free_route(struct rcu_head *head)
{
    HL_TSAN_ACQUIRE(&grace_period);
    free(caa_container_of(head, hl_route, rcu));
}

/* call_rcu on the bus's own thread, whatever thread the caller is. */
static void call_reclaimer(hl_bus *bus, struct rcu_head *head, void (*action)(struct rcu_head *))
{
    HL_TSAN_RELEASE(&grace_period);
    if (bus->control->reclaimer == NULL) { /* not started: nobody reads routes */
        action(head);
        return;
    }
    struct call_rcu_data *const callers = urcu_qsbr_get_thread_call_rcu_data();
    urcu_qsbr_set_thread_call_rcu_data(bus->control->reclaimer);
    urcu_qsbr_call_rcu(head, action);
    urcu_qsbr_set_thread_call_rcu_data(callers);
}

static hl_route *allocate_route(hl_topic_entry *topic, uint32_t count)
{
    hl_route *const route = malloc(sizeof *route + count * sizeof route->entries[0]);
    if (route != NULL) {
        route->count = count;
        route->topic = topic;
    }
    return route;
}

static void fill_entry(hl_route_entry *entry, const hl_topic_entry *topic,
                       const hl_subscription *subscription)
{
    entry->handler = subscription->handler;
    entry->context = subscription->context;
    entry->predicate = subscription->options.predicate;
    entry->cells =
        subscription->cells + (topic->domain->first_partition - subscription->first_partition);
    entry->subscription = subscription;
}

/* By `order`, then as subscribed. */
static bool comes_before(const hl_subscription *a, const hl_subscription *b)
{
    if (a->options.order != b->options.order)
        return a->options.order < b->options.order;
    return a->serial < b->serial;
}

static hl_route *current(const hl_bus *bus, const hl_topic_entry *topic)
{
    return bus->routes[topic->number]; /* under the lock nobody else stores it */
}

static void publish(hl_bus *bus, hl_route *route)
{
    hl_route **const at = &bus->routes[route->topic->number];
    hl_route *const old = *at;
    /* ROUTE: release, the entries before the pointer to them. */
    hl_store_release_ptr((void **)(void *)at, route);
    if (old != NULL)
        call_reclaimer(bus, &old->rcu, free_route);
}

static bool matches(const hl_subscription *subscription, const hl_topic_entry *topic)
{
    return hl_pattern_matches(subscription->pattern, topic->name);
}

static hl_route *with(const hl_bus *bus, hl_topic_entry *topic, const hl_subscription *subscription)
{
    const hl_route *const old = current(bus, topic);
    hl_route *const route = allocate_route(topic, old->count + 1);
    if (route == NULL)
        return NULL;
    uint32_t at = old->count;
    while (at > 0 && comes_before(subscription, old->entries[at - 1].subscription))
        at--;
    memcpy(route->entries, old->entries, at * sizeof old->entries[0]);
    fill_entry(&route->entries[at], topic, subscription);
    memcpy(route->entries + at + 1, old->entries + at, (old->count - at) * sizeof old->entries[0]);
    return route;
}

static hl_route *without(const hl_bus *bus, hl_topic_entry *topic,
                         const hl_subscription *subscription)
{
    const hl_route *const old = current(bus, topic);
    hl_route *const route = allocate_route(topic, old->count);
    if (route == NULL)
        return NULL;
    uint32_t count = 0;
    for (uint32_t i = 0; i < old->count; i++)
        if (old->entries[i].subscription != subscription)
            route->entries[count++] = old->entries[i];
    route->count = count;
    return route;
}

/* The topics that a subscription matches, one after the other; NULL past the last. */
static hl_topic_entry *next_match(const hl_bus *bus, const hl_subscription *subscription,
                                  uint32_t *cursor)
{
    if (subscription->exact)
        return (*cursor)++ == 0 ? hl_topic_find(bus, subscription->pattern) : NULL;
    while (*cursor < bus->topic_count) {
        hl_topic_entry *const topic = bus->entries[(*cursor)++];
        if (matches(subscription, topic))
            return topic;
    }
    return NULL;
}

bool hl_route_build(hl_bus *bus, hl_topic_entry *topic)
{
    uint32_t count = 0;
    const hl_subscription *subscription;
    for (subscription = bus->control->subscriptions; subscription != NULL;
         subscription = subscription->next)
        count += !hl_subscription_is_closing(subscription) && matches(subscription, topic);
    hl_route *const route = allocate_route(topic, count);
    if (route == NULL)
        return false;
    /* The list is as subscribed: each goes behind those of its order. */
    uint32_t filled = 0;
    for (subscription = bus->control->subscriptions; subscription != NULL;
         subscription = subscription->next) {
        if (hl_subscription_is_closing(subscription) || !matches(subscription, topic))
            continue;
        uint32_t at = filled++;
        for (; at > 0 && comes_before(subscription, route->entries[at - 1].subscription); at--)
            route->entries[at] = route->entries[at - 1];
        fill_entry(&route->entries[at], topic, subscription);
    }
    publish(bus, route);
    return true;
}

bool hl_routes_add(hl_bus *bus, hl_subscription *subscription)
{
    /* All new routes before the first is published: all or none. */
    hl_route *made = NULL, *route;
    hl_topic_entry *topic;
    for (uint32_t cursor = 0; (topic = next_match(bus, subscription, &cursor)) != NULL;) {
        route = with(bus, topic, subscription);
        if (route == NULL) {
            for (; made != NULL; made = route) {
                route = (hl_route *)(void *)made->rcu.next.next;
                free(made);
            }
            return false;
        }
        /* The head is not in use yet: it chains them. */
        route->rcu.next.next = (void *)made;
        made = route;
    }
    for (; made != NULL; made = route) {
        route = (hl_route *)(void *)made->rcu.next.next;
        publish(bus, made);
    }
    return true;
}

bool hl_routes_remove(hl_bus *bus, const hl_subscription *subscription)
{
    bool all = true;
    hl_topic_entry *topic;
    for (uint32_t cursor = 0; (topic = next_match(bus, subscription, &cursor)) != NULL;) {
        hl_route *const route = without(bus, topic, subscription);
        if (route != NULL)
            publish(bus, route);
        all = all && route != NULL;
    }
    return all;
}

/* ---- the reclaimer ---- */

hl_status hl_reclaimer_start(hl_bus *bus, int cpu)
{
    if (bus->control->reclaimer != NULL)
        return HL_OK;
    sigset_t before;
    hl_signals_block(&before);
    bus->control->reclaimer = urcu_qsbr_create_call_rcu_data(0, cpu);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return bus->control->reclaimer != NULL
               ? HL_OK
               : hl_bus_fail(bus, HL_SYSTEM, "thread that frees routes: %s", strerror(errno));
}

/* Comes behind all routes in the reclaimer's queue. */
typedef struct last_call {
    struct rcu_head rcu;
    pthread_mutex_t lock;
    pthread_cond_t done_signal;
    bool done, given_up;
} last_call;

static void free_last_call(last_call *last)
{
    pthread_cond_destroy(&last->done_signal);
    pthread_mutex_destroy(&last->lock);
    free(last);
}

static void on_last_call(struct rcu_head *head)
{
    HL_TSAN_ACQUIRE(&grace_period);
    last_call *const last = caa_container_of(head, last_call, rcu);
    pthread_mutex_lock(&last->lock);
    last->done = true;
    const bool given_up = last->given_up;
    pthread_cond_signal(&last->done_signal);
    pthread_mutex_unlock(&last->lock);
    if (given_up)
        free_last_call(last);
}

static bool wait_for_reclaimer(hl_bus *bus)
{
    last_call *const last = calloc(1, sizeof *last);
    if (last == NULL)
        return false;
    pthread_mutex_init(&last->lock, NULL);
    pthread_cond_init(&last->done_signal, NULL);
    call_reclaimer(bus, &last->rcu, on_last_call);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += RECLAIM_WAIT_MS / 1000;
    int outcome = 0;
    pthread_mutex_lock(&last->lock);
    while (!last->done && outcome == 0)
        outcome = pthread_cond_timedwait(&last->done_signal, &last->lock, &until);
    const bool done = last->done;
    last->given_up = !done;
    pthread_mutex_unlock(&last->lock);
    if (done)
        free_last_call(last);
    return done;
}

void hl_reclaimer_stop(hl_bus *bus)
{
    if (bus->control->reclaimer == NULL)
        return;
    /* Held up by a handler of another bus: the thread is left to free the last routes when that has
     * ended, since to end it now would be to wait for that handler too. */
    if (!wait_for_reclaimer(bus))
        return;
    sigset_t before;
    hl_signals_block(&before);
    urcu_qsbr_call_rcu_data_free(bus->control->reclaimer);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    bus->control->reclaimer = NULL;
}
