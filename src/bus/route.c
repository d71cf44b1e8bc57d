#include "bus/route.h"

#include <errno.h>
#include <sched.h>

#include "bus/async.h"
#include "bus/bus.h"
#include "bus/pattern.h"

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

/* Has a route freed when nobody reads it any more; that may be after the bus is gone. The caller
 * may have a liburcu thread of its own: it is not to be pulled into this. */
static void free_later(const hl_bus *bus, hl_route *route)
{
    HL_TSAN_RELEASE(&grace_period);
    if (bus->control->reclaimer == NULL) { /* not started: nobody reads routes */
        free(route);
        return;
    }
    struct call_rcu_data *const callers = urcu_qsbr_get_thread_call_rcu_data();
    urcu_qsbr_set_thread_call_rcu_data(bus->control->reclaimer);
    urcu_qsbr_call_rcu(&route->rcu, free_route);
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
    entry->handler = hl_subscription_inline_handler(subscription);
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

static uint32_t needs_of(const hl_bus *bus, const hl_route *route)
{
    uint32_t needs = route->topic->last != NULL ? HL_ROUTE_KEEP_LAST : 0;
    for (uint32_t i = 0; i < route->count; i++)
        if (hl_async_is_lossless(route->entries[i].subscription))
            needs |= HL_ROUTE_ASK_ROOM;
    if (bus->partitions[route->topic->domain->first_partition].recorder != NULL)
        needs |= HL_ROUTE_RECORD;
    return needs;
}

static void publish(hl_bus *bus, hl_route *route)
{
    route->needs = needs_of(bus, route);
    hl_route **const at = &bus->routes[route->topic->number];
    hl_route *const old = *at;
    /* ROUTE: release, the entries before the pointer to them. */
    hl_store_release_ptr((void **)(void *)at, route);
    if (old != NULL)
        free_later(bus, old);
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

/* Puts the open ones of a chain that match into the entries, each behind those of its order;
 * `route` NULL: only counts them. */
static uint32_t add_chain(hl_route *route, const hl_topic_entry *topic,
                          const hl_subscription *subscription)
{
    uint32_t count = 0;
    for (; subscription != NULL; subscription = subscription->next_alike) {
        if (hl_subscription_is_closing(subscription) || !matches(subscription, topic))
            continue;
        count++;
        if (route == NULL)
            continue;
        uint32_t at = route->count++;
        for (; at > 0 && comes_before(subscription, route->entries[at - 1].subscription); at--)
            route->entries[at] = route->entries[at - 1];
        fill_entry(&route->entries[at], topic, subscription);
    }
    return count;
}

bool hl_route_build(hl_bus *bus, hl_topic_entry *topic)
{
    const hl_alike *const exact = hl_subscriptions_of(bus, topic->name);
    const hl_subscription *const first_exact = exact != NULL ? exact->first : NULL;
    const hl_subscription *const first_pattern = bus->control->with_wildcards.first;
    const uint32_t count =
        add_chain(NULL, topic, first_exact) + add_chain(NULL, topic, first_pattern);
    hl_route *const route = allocate_route(topic, count);
    if (route == NULL)
        return false;
    route->count = 0;
    add_chain(route, topic, first_exact);
    add_chain(route, topic, first_pattern);
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
    sigset_t before;
    /* liburcu's own, of which there is one in a process: a thread for each bus would be never
     * joined by liburcu before 0.14, and its stack lost. */
    hl_signals_block(&before);
    struct call_rcu_data *const reclaimer = urcu_qsbr_get_default_call_rcu_data();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (reclaimer == NULL)
        return hl_bus_fail(bus, HL_SYSTEM, "thread that frees routes: %s", strerror(errno));
    if (cpu >= 0) {
        cpu_set_t there;
        CPU_ZERO(&there);
        CPU_SET((size_t)cpu, &there);
        /* Where it runs is a matter of taste: routes are freed from anywhere. */
        (void)pthread_setaffinity_np(urcu_qsbr_get_call_rcu_thread(reclaimer), sizeof there,
                                     &there);
    }
    bus->control->reclaimer = reclaimer;
    return HL_OK;
}
