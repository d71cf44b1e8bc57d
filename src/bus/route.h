/*
 * Routes: for each topic, the subscriptions that its events go to, in their order. The bus has one
 * array of pointers by topic number; a route is never changed but replaced whole (RCU).
 *
 *   ROUTE   routes[topic] : the control plane stores the new route (release), dispatch loads it for
 *           each event (acquire), so that the entries are seen as they were filled.
 *   memory  The old route is freed by call_rcu once every thread that was inside a turn has passed a
 *           quiescent state (liburcu, qsbr flavour; a thread is online only inside turns).
 *
 * Which subscriptions get an event in which partition is not the route's business alone: the cell of
 * (subscription, partition) says whether the partition has taken the subscription up.
 */
#ifndef HL_BUS_ROUTE_H
#define HL_BUS_ROUTE_H

#include <hotlane/bus.h>

#include <urcu/urcu-qsbr.h>

#include "bus/subscription.h"

typedef struct hl_topic_entry hl_topic_entry;

typedef struct hl_route_entry {
    hl_handler handler; /* NULL: a batch handler, in the cell's box */
    void *context;
    hl_predicate predicate;
    hl_cell *cells; /* by shard of the topic's domain */
    hl_subscription *subscription;
} hl_route_entry;

typedef struct hl_route {
    uint32_t count;
    const hl_topic_entry *topic;
    struct rcu_head rcu;
    hl_route_entry entries[];
} hl_route;

/* Makes the calling thread one that may turn executors and free routes: registers it with liburcu,
 * offline, until it ends. Cheap when done before. */
void hl_rcu_register_thread(void);

/* Rebuilds the route of one topic from the bus's list of subscriptions, publishes it and has the
 * old one freed later. Under the bus's lock. False: no memory, nothing changed. */
bool hl_route_rebuild(hl_bus *bus, hl_topic_entry *topic);

#endif
