/*
 * Publishers: the way in. An exclusive publisher (hl_publisher) belongs to one thread at a time and
 * has rings of its own (wait-free claim); a shared one (hl_shared_publisher) may be used by any
 * number of threads at once (lock-free claim). Both claim a slot in the ring itself, let the caller
 * fill it, and commit.
 *
 *     hl_claim claim;
 *     if (hl_try_claim(feed, trades, instrument, sizeof(struct trade), &claim) == HL_OK) {
 *         *(struct trade *)claim.payload = (struct trade){ .price = price, .size = size };
 *         hl_commit(&claim);
 *     }
 *
 *                      | same hl_publisher | same hl_shared_publisher | other handles
 *     claim, publish   |        X          |            -             |      -
 *     commit, abort    |        X          |            -             |      -
 *     flush            |        X          |            -             |      -
 *     close            |        X          |            X             |      -
 *     X: the caller must exclude it; -: may run at the same time.
 *
 * On a lane that conflates (hl_domain_config.conflates) a claim is a cell for the newest event of
 * its topic and key: never HL_FULL, however slow the partition; one slot a claim (HL_INVALID for
 * more, from outside), one open claim a publisher and lane (16 for a shared one; HL_BUSY beyond),
 * HL_LIMIT for a new key when conflate_keys are there; and an open claim holds back nothing.
 *
 * The bad news: an open claim holds back what is published after it into the same ring (exclusive)
 * or by anyone into the same shared lane; a thread that dies between claim and commit stalls that
 * ring for good, and stop counts what lies behind as abandoned.
 */
#ifndef HOTLANE_PUBLISHER_H
#define HOTLANE_PUBLISHER_H

#include <hotlane/topic.h>

typedef struct hl_publisher hl_publisher;
typedef struct hl_shared_publisher hl_shared_publisher;

typedef struct hl_publisher_options {
    size_t size;
    /* What it will publish: domains, each with priorities when not those of its topics declared so
     * far: "market_data, order:CRITICAL|HIGH" (or lower case). NULL: every domain. Its rings are
     * made at open. */
    const char *uses;
    uint32_t ring_slots; /* 0: the domain's. Of a shared lane its first opener's holds for all */
    hl_throttle_options throttle; /* of its events of NORMAL priority and below */
    /* Batches, of an exclusive publisher: what it publishes of NORMAL priority and below into one
     * ring is taken when so many events lie there, or the oldest has waited so long, or
     * hl_publisher_flush says so; then one behind the other. 0: each at once; up to 65,536. Not on
     * lanes that conflate. */
    uint32_t batch_events;
    uint64_t batch_wait_ns;
} hl_publisher_options;

#define HL_PUBLISHER_OPTIONS_INIT                                                               \
    {                                                                                           \
        sizeof(hl_publisher_options), NULL, 0, HL_THROTTLE_OPTIONS_INIT, 0, 10 * HL_MILLISECOND \
    }

/* Open slots, to be filled and then committed or aborted. A value: several may be open. */
typedef struct hl_claim {
    hl_event *event;       /* of the first slot; correlation_id, schema_version may be set, and key
                              where the domain has one shard (else it has chosen the lane) */
    void *payload;         /* of the first slot: payload_size bytes to fill */
    uint32_t payload_size; /* as asked for; may be made smaller in event->payload_size */
    uint32_t count;        /* slots */
    /* The library's own: */
    void *lane;
    uint64_t position;
    unsigned char *slots; /* this and what follows: of several slots only */
    uint64_t mask;
    uint64_t slot_size_bytes;
} hl_claim;

/* The event in the index-th slot of a claim, 0 to count - 1; its payload is behind it. */
static inline hl_event *hl_claim_event(const hl_claim *claim, uint32_t index)
{
    if (index == 0)
        return claim->event;
    return (hl_event *)(void *)(claim->slots +
                                ((claim->position + index) & claim->mask) * claim->slot_size_bytes);
}

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Opens a publisher and makes its rings. `name`: 1..63 bytes, unique among the open ones, copied.
 * At any time before stop, from any thread (not on a hot path: it allocates, takes the control
 * lock). HL_OK; HL_INVALID: name or `uses` malformed; HL_UNKNOWN_DOMAIN; HL_EXISTS; HL_LIMIT:
 * max_publishers; HL_NO_MEMORY; HL_CLOSED. hl_bus_error has the sentence.
 */
HL_API hl_status hl_publisher_open(hl_bus *bus, const char *name,
                                   const hl_publisher_options *options,
                                   hl_publisher **ret_publisher);
HL_API hl_status hl_shared_publisher_open(hl_bus *bus, const char *name,
                                          const hl_publisher_options *options,
                                          hl_shared_publisher **ret_publisher);

/* Closes it; the handle is gone, and so are its claims. What was committed is still delivered; an
 * exclusive publisher's claims still open count as aborted, and its rings are given back when they
 * have run empty. A shared one's lane belongs to all: commit or abort what is open before, or it
 * holds the lane up until stop counts it as abandoned. NULL is nothing. */
HL_API void hl_publisher_close(hl_publisher *publisher);
HL_API void hl_shared_publisher_close(hl_shared_publisher *publisher);

/*
 * Claims `count` slots (1..the ring's capacity) of the topic's lane for events of `payload_size`
 * bytes, all or none; the headers are filled in (topic, key, size, source, priority, correlation
 * and causation when the caller is a handler). Never waits. hl_claim_wait and
 * hl_claim_run_wait do the same but follow the domain's full_policy, so they may wait
 * block_timeout_ns; on a thread of the bus they never wait. HL_OK; HL_FULL; HL_TIMEOUT (waiting
 * only); HL_CLOSED; HL_TOO_LARGE; HL_THROTTLED; HL_NO_LANE; HL_INVALID: no such topic, or count;
 * HL_NOT_ALLOWED: priority; HL_WRONG_THREAD: a handler's `out` after it has returned. Every call is
 * counted: attempts = committed + rejected + throttled + aborted. A call that names nothing that
 * exists (HL_INVALID, HL_NO_LANE, HL_NOT_ALLOWED), or comes from the wrong thread, belongs to no
 * lane and is counted in the bus's `refused`.
 */
HL_API hl_status hl_try_claim(hl_publisher *publisher, hl_topic topic, uint64_t key,
                              uint32_t payload_size, hl_claim *ret_claim);
HL_API hl_status hl_try_claim_run(hl_publisher *publisher, hl_topic topic, uint64_t key,
                                  uint32_t payload_size, uint32_t count, hl_claim *ret_claim);
HL_API hl_status hl_try_claim_priority(hl_publisher *publisher, hl_topic topic, uint64_t key,
                                       hl_priority priority, uint32_t payload_size,
                                       hl_claim *ret_claim);
HL_API hl_status hl_claim_wait(hl_publisher *publisher, hl_topic topic, uint64_t key,
                               uint32_t payload_size, hl_claim *ret_claim);
HL_API hl_status hl_claim_run_wait(hl_publisher *publisher, hl_topic topic, uint64_t key,
                                   uint32_t payload_size, uint32_t count, hl_claim *ret_claim);

/* What it has committed so far need not wait for more (hl_publisher_options.batch_events). Its
 * thread; nothing for a publisher that does not batch. */
HL_API void hl_publisher_flush(hl_publisher *publisher);

/* Makes the claimed events visible to the partition (a handler's: when it returns HL_OK). The claim
 * is then over (count 0): a second commit or abort of it does nothing. */
HL_API void hl_commit(hl_claim *claim);

/* Gives the claimed slots up: the partition steps over them. */
HL_API void hl_abort(hl_claim *claim);

/*
 * Goes the way of a publish of this topic and key, and publishes nothing: the partition steps over
 * the slot, as over an aborted claim, and touches what it needs for the topic's handlers. For a
 * publisher that polls and has nothing to publish: after some us without an event the caches hold
 * other things, and the next event takes 2 to 6 times as long; called each 5 us meanwhile, about as
 * long as in a stream. (As OpenOnload's ONLOAD_MSG_WARM, for the way through its network stack.)
 * Its thread; never waits. Counted as a claim is, here as one that was aborted.
 * - HL_OK; HL_FULL: events lie there, and keep it warm; HL_CLOSED.
 * - HL_INVALID: no such topic; HL_NO_LANE.
 * - HL_NOT_ALLOWED: no ring of this publisher alone leads there to a partition that spins (a lane
 *   that conflates, a topic or publisher that is throttled, one that batches, a handler's `out`, a
 *   partition that may sleep and would be woken).
 */
HL_API hl_status hl_warm(hl_publisher *publisher, hl_topic topic, uint64_t key);

/* Copies `payload` into a slot and commits it. hl_publish follows the full_policy, hl_try_publish
 * never waits. Outcomes as for hl_try_claim. */
HL_API hl_status hl_publish(hl_publisher *publisher, hl_topic topic, uint64_t key,
                            const void *payload, uint32_t payload_size);
HL_API hl_status hl_try_publish(hl_publisher *publisher, hl_topic topic, uint64_t key,
                                const void *payload, uint32_t payload_size);

/* The same for a shared publisher; any number of threads at once. Who waits for room is not served
 * in the order of asking. */
HL_API hl_status hl_shared_try_claim(hl_shared_publisher *publisher, hl_topic topic, uint64_t key,
                                     uint32_t payload_size, hl_claim *ret_claim);
HL_API hl_status hl_shared_try_claim_run(hl_shared_publisher *publisher, hl_topic topic,
                                         uint64_t key, uint32_t payload_size, uint32_t count,
                                         hl_claim *ret_claim);
HL_API hl_status hl_shared_try_claim_priority(hl_shared_publisher *publisher, hl_topic topic,
                                              uint64_t key, hl_priority priority,
                                              uint32_t payload_size, hl_claim *ret_claim);
HL_API hl_status hl_shared_claim_wait(hl_shared_publisher *publisher, hl_topic topic, uint64_t key,
                                      uint32_t payload_size, hl_claim *ret_claim);
HL_API hl_status hl_shared_claim_run_wait(hl_shared_publisher *publisher, hl_topic topic,
                                          uint64_t key, uint32_t payload_size, uint32_t count,
                                          hl_claim *ret_claim);
HL_API hl_status hl_shared_publish(hl_shared_publisher *publisher, hl_topic topic, uint64_t key,
                                   const void *payload, uint32_t payload_size);
HL_API hl_status hl_shared_try_publish(hl_shared_publisher *publisher, hl_topic topic, uint64_t key,
                                       const void *payload, uint32_t payload_size);

/* For a handler's `out` only: HL_OK when the next `count` events claimed on the topic's lane (that
 * of `key`), one by one or in runs, are sure to find room, else HL_FULL; HL_LIMIT: the lane
 * conflates, and has no room for the key; HL_INVALID: no such topic; HL_NO_LANE; HL_NOT_ALLOWED: no
 * handler's. (On a lane that conflates the first event of a call, claimed alone, needs none of that
 * room: so one more may find some than could be promised. The key's room is `key`'s alone.) */
HL_API hl_status hl_reserve(hl_publisher *out, hl_topic topic, uint64_t key, uint32_t count);

/* For a handler's `out` only: the bus time of the event in hand, a handler's only clock (replay
 * hands out the same); and its id, to be quoted elsewhere. 0 for another publisher. */
HL_API uint64_t hl_now_ns(const hl_publisher *out);
HL_API uint64_t hl_current_id(const hl_publisher *out);

/* The name of a publisher by its number (hl_event.source); NULL: no such number. Valid while the
 * bus lives. Any thread. */
HL_API const char *hl_source_name(const hl_bus *bus, uint16_t source);

#ifdef __cplusplus
}
#endif
#endif
