/*
 * Subscriptions: a pattern, and a handler that runs on the partition's thread with the event still
 * in its slot. Patterns are NATS's: tokens split by '.', `*` is one token, a closing `>` the rest
 * (one token or more).
 *
 *     hl_subscription *subscription;
 *     hl_subscribe(bus, "market_data.*", on_trade, context, NULL, &subscription);
 *     ...
 *     hl_unsubscribe(subscription, HL_SECOND, &error);
 *     free(context);
 */
#ifndef HOTLANE_SUBSCRIPTION_H
#define HOTLANE_SUBSCRIPTION_H

#include <hotlane/publisher.h>

typedef struct hl_subscription hl_subscription;

/*
 * An inline handler. Runs on the thread that turns the event's partition, one event at a time (with
 * `concurrent`: on several such threads at once). `event` is valid until it returns. What it
 * publishes through `out` becomes visible when it returns HL_OK and vanishes otherwise: a handler
 * is all or nothing. Another status than HL_OK counts as a failure of this subscription alone. It
 * must not block.
 */
typedef hl_status (*hl_handler)(const hl_event *event, hl_publisher *out, void *context);

/* True: the event is for this subscription. Runs like a handler, must have no effect. */
typedef bool (*hl_predicate)(const hl_event *event, void *context);

/* Events of one subscription and partition, those of each lane in their order (an event of CRITICAL
 * or HIGH does not wait for a batch of lower ones). Valid until the handler returns. */
typedef struct hl_batch {
    const hl_event *const *events;
    uint32_t count;
} hl_batch;

/* A batch handler: as hl_handler, for a batch. `out` carries the causation of the last event. */
typedef hl_status (*hl_batch_handler)(const hl_batch *batch, hl_publisher *out, void *context);

typedef struct hl_subscription_options {
    size_t size;
    const char *name;       /* for reports; copied; NULL: the pattern */
    int order;              /* handlers of one topic run from low to high, then as subscribed */
    hl_predicate predicate; /* NULL: every event */
    bool concurrent;        /* the handler may run on several partitions' threads at once */
    bool initial_image; /* first the newest value of each key (state topics), as of S; in one go,
                           so that all else on that executor waits for it */
    hl_batch_handler batch; /* instead of the handler, which is then NULL */
    uint32_t batch_events;  /* 1..65,536; a batch never has more */
    uint64_t batch_wait_ns; /* how long the oldest event waits for company; 0: until the run ends */
    bool batch_urgent;      /* batch CRITICAL and HIGH events too; else each is a batch of one */
    void (*on_closed)(void *context); /* called once when a deferred unsubscribe is complete */
} hl_subscription_options;

#define HL_SUBSCRIPTION_OPTIONS_INIT                                             \
    {                                                                            \
        sizeof(hl_subscription_options), NULL, 0, NULL, false, false, NULL, 100, \
            10 * HL_MILLISECOND, false, NULL                                     \
    }

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Subscribes, at any time before stop, from any thread (it allocates and takes the control lock; a
 * handler may do it, though not on a path that must be fast). What is committed after it returned
 * is delivered; each partition takes it up between two events and notes at which sequence
 * (hl_subscription_start). Topics declared later that match are included. `ret_subscription` may be
 * NULL: it then lasts as long as the bus.
 * - HL_OK
 * - HL_INVALID: pattern or options malformed.
 * - HL_UNKNOWN_DOMAIN: the first token names no domain.
 * - HL_SPANS_PARTITIONS: it reaches several partitions and is not `concurrent`.
 * - HL_NOT_ALLOWED: initial_image, and no state topic matches. (Of a pattern that matches others
 *   too, the state topics give their image, the others nothing.)
 * - HL_LIMIT, HL_NO_MEMORY, HL_CLOSED
 */
HL_API hl_status hl_subscribe(hl_bus *bus, const char *pattern, hl_handler handler, void *context,
                              const hl_subscription_options *options,
                              hl_subscription **ret_subscription);

/*
 * Ends a subscription. When it returns HL_OK the handler is not running and will not run again, its
 * context may be freed, the handle is gone; batches not yet delivered are cancelled and counted.
 * - HL_OK
 * - HL_TIMEOUT: the handler named in `error` still runs; no further event will reach it; call
 * again.
 * - HL_DEFERRED: called from one of hotlane's own threads: nothing waits; on_closed(context) is
 *   called once when it is done, on a thread of the bus; the handle is gone already.
 * - HL_INVALID: no subscription was given. HL_CLOSED: in a fork's child.
 */
HL_API hl_status hl_unsubscribe(hl_subscription *subscription, uint64_t timeout_ns,
                                hl_error *error);

/* Where in a partition's order the subscription begins: the first event it can see is the one
 * after ret_sequence. HL_NOT_FOUND: not taken up there yet, or it never reaches that partition. Any
 * thread. */
HL_API hl_status hl_subscription_start(const hl_subscription *subscription, uint32_t partition,
                                       uint64_t *ret_sequence);

#ifdef __cplusplus
}
#endif
#endif
