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
 *
 * A subscription with `async` gets copies of its events on a worker of the bus's pool instead
 * (max_workers in the configuration), so that its handler may be slow. It says what it and the bus
 * owe each other then (hl_contract):
 *
 *     hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
 *     options.async = HL_ASYNC_BY_KEY;
 *     options.contract = HL_CONTRACT_LOSSY;
 *     hl_subscribe(bus, "market_data.*", on_trade, context, &options, NULL);
 *
 * Its handler publishes and fails as an inline one does: what it fails on is tried again by
 * whichever worker is free then, up to retry_events (of the configuration) waiting at a time for
 * each subscription; one breaker is for all its partitions and workers. Tried again as `ordered`,
 * later events of the same key wait behind it, unless the subscription is HL_ASYNC_UNORDERED: that
 * one keeps no order, and contract latest always does. With a contract that may lose it looks at
 * event->flags first: HL_EVENT_LOST and HL_EVENT_EJECTED come to it like events, with a payload of
 * their own (their status does not matter). What a handler publishes is seen in the order of its
 * events, as far as those have one and are not tried again.
 *
 * With `async` and `batch` the batches come together where the copies wait, of each queue for
 * itself: batch_events of them, or what is there when the first has waited batch_wait_ns since a
 * worker saw it. While something of a queue is being tried again, or the breaker remembers a
 * failure, its batches are of one event.
 *
 * An async subscription may begin in the past, where its domain has a journal, and one that was
 * ejected may go on where it was: it is brought up from the journal, at its own pace, and handed
 * over to what comes live, with no gap and no repeat (hl_past):
 *
 *     options.past.from = HL_FROM_START;
 *     hl_subscribe(bus, "order.>", on_order, context, &options, &subscription);
 *     ...
 *     const hl_past past = {.from = HL_FROM_LAST};          // when it got HL_EVENT_EJECTED
 *     hl_subscription_reattach_from(subscription, &past);
 */
#ifndef HOTLANE_SUBSCRIPTION_H
#define HOTLANE_SUBSCRIPTION_H

#include <hotlane/fault.h>
#include <hotlane/publisher.h>

typedef struct hl_subscription hl_subscription;

/*
 * An inline handler. Runs on the thread that turns the event's partition, one event at a time (with
 * `concurrent`: on several such threads at once). `event` is valid until it returns. What it
 * publishes through `out` becomes visible when it returns HL_OK and vanishes otherwise: a handler
 * is all or nothing. Another status than HL_OK is a failure of this subscription alone. It must not
 * block. What it may return:
 * - HL_OK: done.
 * - HL_REJECT: never again: the event goes to the dead letters now.
 * - HL_RETRY: again, by the subscription's retry options; so does any other status, and HL_FAILED
 *   with a code and a text from hl_fail. After the last attempt: to the dead letters.
 * - HL_RETRY or HL_FULL after one of its own publishes answered HL_FULL: again when there is room;
 *   that costs no attempt.
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

/* Whether the handler runs on the partition's thread or on one of the pool's workers, and which of
 * its events may run beside each other there. */
typedef enum hl_async_order {
    HL_ASYNC_NONE = 0,  /* inline: on the partition's thread, the event in its slot */
    HL_ASYNC_UNORDERED, /* any worker, any number at once */
    HL_ASYNC_BY_KEY,    /* events of one key one after the other, in their order */
    HL_ASYNC_ORDERED    /* one at a time, in the partition's order */
} hl_async_order;

/* What an async subscriber and the bus owe each other when it does not keep up. */
typedef enum hl_contract {
    HL_CONTRACT_LOSSLESS = 0, /* an event is taken from its lane only when there is room for it in
                                 each lossless queue that it goes to; until then that publisher's
                                 ring waits, others go on */
    HL_CONTRACT_LATEST,       /* conflated: of each topic and key the newest value; state topics
                                 only */
    HL_CONTRACT_LOSSY,        /* what finds no room is lost, counted and told (HL_EVENT_LOST) */
    HL_CONTRACT_EJECT         /* detached when it falls behind, and told so (HL_EVENT_EJECTED) */
} hl_contract;

/* The payload of an event with HL_EVENT_LOST: of the sequences from first to last in the event's
 * partition, `count` were for this subscriber and did not reach it. Such an event comes before the
 * next one that does, or, if none does, when there is room for it; its topic and key are those of
 * the last that was lost. (Contract latest: all that was lost so far.) */
typedef struct hl_lost {
    uint64_t count;
    uint64_t first_sequence;
    uint64_t last_sequence;
} hl_lost;

/* The payload of an event with HL_EVENT_EJECTED, the last one of a subscriber that was detached: it
 * got nothing of its partition behind `last_sequence`, and will not before it is attached again. */
typedef struct hl_ejected {
    uint64_t last_sequence;
    uint64_t behind; /* events that waited */
    uint64_t age_ns; /* how long the oldest of them had */
} hl_ejected;

/* Where an async subscription begins, or goes on. */
typedef enum hl_from {
    HL_FROM_NOW = 0,   /* with what comes from here on */
    HL_FROM_START,     /* the oldest event that the journal has */
    HL_FROM_POSITIONS, /* behind the positions given; a partition without one: HL_FROM_START */
    HL_FROM_LAST       /* hl_subscription_reattach_from: behind the last one that it was given */
} hl_from;

/* A place in a partition's order: what comes next is the event after it. */
typedef struct hl_position {
    uint32_t partition; /* hl_bus_partition */
    uint64_t after_sequence;
} hl_position;

/*
 * The past that a subscription is to get. Of each partition the journal's events come first, with
 * HL_EVENT_REPLAYED, one after the other as the handler takes them: only when it has nearly caught
 * up does the partition begin to queue what comes live, from sequence S on; the journal is then
 * read to S, and what is behind S comes from the queue. If the queue fills before that, the
 * contract decides: lossless holds the publishers' rings, lossy loses and tells, eject detaches and
 * tells, and HL_FROM_LAST goes on from there. Not with contract latest, nor with an initial image.
 * The predicate runs on the thread that reads the journal. Partitions without a journal begin now.
 *
 * What the journal does not have (removed by retention, damaged, or let pass while the disk was
 * gone) is told by an event with HL_EVENT_LOST and HL_EVENT_REPLAYED, whose hl_lost counts all
 * sequences that are missing, whomever they were for; its topic is UINT32_MAX, its key 0. By key or
 * unordered it comes in no order with the events of other keys.
 */
typedef struct hl_past {
    hl_from from;
    const hl_position *positions; /* read during the call only */
    uint32_t position_count;
    bool may_miss; /* if retention has removed some: tell so and go on; else the call is HL_GONE */
} hl_past;

typedef struct hl_subscription_options {
    size_t size;
    const char *name;       /* for reports; copied; NULL: the pattern */
    int order;              /* handlers of one topic run from low to high, then as subscribed */
    hl_predicate predicate; /* NULL: every event */
    bool concurrent;        /* the handler may run on several partitions' threads at once */
    bool initial_image; /* first the newest value of each key (state topics), as of S; in one go,
                           so that all else on that executor waits for it */
    hl_batch_handler batch; /* instead of the handler, which is then NULL */
    uint32_t batch_events;  /* 1..65,536, of an async one at most what may wait in a queue; a batch
                               never has more */
    uint64_t batch_wait_ns; /* how long the oldest event waits for company; 0: until the run ends */
    bool batch_urgent; /* batch CRITICAL and HIGH events too; else each is a batch of one, and an
                          async batch that waits for company is delivered before it at once */
    void (*on_closed)(void *context); /* called once when a deferred unsubscribe is complete */
    hl_async_order async;
    /* The rest: only with async. */
    hl_contract contract;
    bool tap;              /* for a monitor: lossy, and run by a thread that serves taps alone */
    uint32_t queue_events; /* room of a queue, of which there is one for each partition, by key one
                              for each partition and worker; power of two, 2..2^24 */
    uint32_t latest_keys;  /* contract latest, instead of queue_events: of all its topics in a
                              partition; 1..16,777,215. What is of a key beyond it is lost */
    uint32_t eject_behind; /* contract eject: more events than this wait in a queue;
                              1..queue_events */
    uint64_t eject_age_ns; /* contract eject: one has waited so long since it was published, whether
                              others come or not (one of an initial image does not count); 0: by
                              number alone */
    /* Of all kinds. */
    const hl_retry_options *retry;     /* copied; NULL: HL_RETRY_OPTIONS_INIT */
    const hl_breaker_options *breaker; /* copied; NULL: none, it is never left alone */
    uint64_t budget_ns; /* the watchdog reports a handler that runs longer; 0: the bus's */
    hl_past past;       /* of async ones; not HL_FROM_LAST */
} hl_subscription_options;

#define HL_SUBSCRIPTION_OPTIONS_INIT                                                            \
    {                                                                                           \
        sizeof(hl_subscription_options), NULL, 0, NULL, false, false, NULL, 100,                \
            10 * HL_MILLISECOND, false, NULL, HL_ASYNC_NONE, HL_CONTRACT_LOSSLESS, false, 1024, \
            4096, 1024, 0, NULL, NULL, 0,                                                       \
        {                                                                                       \
            HL_FROM_NOW, NULL, 0, false                                                         \
        }                                                                                       \
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
 *   too, the state topics give their image, the others nothing.) Contract latest, and a topic that
 *   is no state topic matches; one that would match cannot be declared as long as it lasts. Async,
 *   and the bus has no workers. A past, and none of its partitions has a journal, or a segment of
 *   it is encrypted and the bus has not its key (journal_key_file).
 * - HL_GONE: the journal no longer has all of the past that is asked for.
 * - HL_DAMAGED, HL_SYSTEM, HL_UNSUPPORTED: the journal cannot be read, as hl_journal_reader_open.
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
 * - HL_INVALID: no subscription was given. HL_DETACHED: in a fork's child.
 */
HL_API hl_status hl_unsubscribe(hl_subscription *subscription, uint64_t timeout_ns,
                                hl_error *error);

/*
 * Takes an ejected subscription up again, from now on, with an initial image where it asked for
 * one. Any thread; its own handler may, when it gets HL_EVENT_EJECTED.
 * - HL_OK: it is told to the partitions that have ejected it.
 * - HL_BUSY: in a partition it has not yet been told that it was ejected (events of before wait):
 *   call again when it was.
 * - HL_WRONG_STATE: it is not ejected anywhere. HL_INVALID: no subscription was given.
 * - HL_CLOSED: it is ending. HL_DETACHED: this is a fork's child.
 */
HL_API hl_status hl_subscription_reattach(hl_subscription *subscription);

/*
 * The same, with what was before: HL_FROM_LAST for all that it was not given yet. No initial image.
 * It looks into the journal's directory under the control lock. Statuses as
 * hl_subscription_reattach (the sentence: hl_bus_error), and:
 * - HL_GONE: retention has removed some of it, in a partition; nothing has happened: say
 * `may_miss`.
 * - HL_NOT_ALLOWED: one of the partitions that ejected it has no journal, and not `may_miss`; or a
 *   segment that is to be read is encrypted and the bus has not its key.
 * - HL_INVALID: the options; contract latest. HL_NO_MEMORY, HL_DAMAGED, HL_SYSTEM, HL_UNSUPPORTED.
 */
HL_API hl_status hl_subscription_reattach_from(hl_subscription *subscription, const hl_past *past);

/* Has the batches that wait for company delivered now, and all that was published before the call
 * as soon as its partition takes it from its ring: soon, not by the time that it returns. (What its
 * publisher gathers, hl_publisher_options.batch_events, is taken when that says so.) Any thread.
 * HL_OK; HL_NOT_ALLOWED: it has no batch handler; HL_CLOSED: it is ending; HL_DETACHED: a fork's
 * child; HL_INVALID: no subscription was given. */
HL_API hl_status hl_subscription_flush(hl_subscription *subscription);

/* Where in a partition's order the subscription begins: the first event it can see is the one
 * after ret_sequence. HL_NOT_FOUND: not taken up there yet, or it never reaches that partition. Any
 * thread. */
HL_API hl_status hl_subscription_start(const hl_subscription *subscription, uint32_t partition,
                                       uint64_t *ret_sequence);

/*
 * Holds a subscription's breaker open or closed, on all its partitions, until it is set free: each
 * does so between two events, soon after this returned. Any thread.
 * - HL_OK
 * - HL_WRONG_STATE: it subscribed without a breaker. HL_CLOSED: it is ending, or the bus is.
 * - HL_INVALID
 */
HL_API hl_status hl_subscription_breaker_force(hl_subscription *subscription,
                                               hl_breaker_force force, hl_error *error);

/*
 * For a batch handler's `out` only: the first `count` events of the batch are done, and what was
 * published until now stands, whatever the handler returns. If it then returns another status than
 * HL_OK, the rest has failed, not these. May be called more than once, with growing counts.
 * - HL_OK
 * - HL_INVALID: more than the batch has, or fewer than said before. HL_NOT_ALLOWED: no batch is in
 *   hand.
 */
HL_API hl_status hl_batch_taken(hl_publisher *out, uint32_t count);

#ifdef __cplusplus
}
#endif
#endif
