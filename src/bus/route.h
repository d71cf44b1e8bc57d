/*
 * Routes: for each topic, the subscriptions that its events go to, in their order. The bus has one
 * array of pointers by topic number; a route is never changed but replaced whole (RCU).
 *
 *   ROUTE   routes[topic]: the control plane stores the new route (release), dispatch loads it for
 *           each event (acquire), so that the entries are seen as they were filled.
 *   memory  The old route is freed by call_rcu once every thread that was inside a turn has passed
 * a quiescent state (liburcu, qsbr flavour; a thread is online only inside turns).
 *
 * Which subscriptions get an event in which partition is not the route's business alone: the cell
 * of (subscription, partition) says whether the partition has taken the subscription up.
 *
 * All calls but the two marks: under the bus's lock.
 */
#ifndef HL_BUS_ROUTE_H
#define HL_BUS_ROUTE_H

#include <hotlane/bus.h>

#include <urcu/urcu-qsbr.h>

#include "bus/subscription.h"

typedef struct hl_route_entry {
    hl_handler handler; /* NULL: the cell's delivery takes the event */
    void *context;
    hl_predicate predicate;
    hl_cell *cells; /* by shard of the topic's domain */
    const hl_subscription *subscription;
} hl_route_entry;

/* What dispatch has to do for a topic beside calling its handlers. */
typedef enum hl_route_need {
    HL_ROUTE_KEEP_LAST = 1, /* a state topic */
    HL_ROUTE_ASK_ROOM = 2,  /* a lossless subscription gets it */
    HL_ROUTE_RECORD = 4     /* its domain has a journal */
} hl_route_need;

typedef struct hl_route {
    uint32_t count;
    uint32_t needs; /* hl_route_need */
    hl_topic_entry *topic;
    struct rcu_head rcu;
    hl_route_entry entries[];
} hl_route;

/* Makes the first route of a topic, from all open subscriptions. False: no memory. */
bool hl_route_build(hl_bus *bus, hl_topic_entry *topic);

/* Puts a subscription into the routes of all topics that it matches, or into none (false: no
 * memory). */
bool hl_routes_add(hl_bus *bus, hl_subscription *subscription);

/* Takes it out of all. False: no memory for a new route somewhere, so that its cells must stay. */
bool hl_routes_remove(hl_bus *bus, const hl_subscription *subscription);

/* Has old routes freed by liburcu's thread, which all buses of the process share and which stays
 * when they are gone; before, they are freed at once. `cpu`: OS index where it is to run, -1:
 * anywhere. */
hl_status hl_reclaimer_start(hl_bus *bus, int cpu);

/* A turning thread says that it holds no route: ThreadSanitizer cannot see liburcu do so. */
void hl_route_mark_quiescent(void);

#endif
