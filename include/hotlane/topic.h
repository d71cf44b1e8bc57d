/*
 * Topics: dotted names whose first token is the domain ("market_data.trade"). A topic declares what
 * it is, and with it what the bus may do to it under load.
 *
 *     hl_topic_options options = HL_TOPIC_OPTIONS_INIT;
 *     options.kind = HL_STATE;
 *     hl_topic quotes;
 *     hl_topic_declare(bus, "market_data.quote", &options, &quotes);
 *     ...
 *     hl_last(bus, quotes, instrument, &copy.event, sizeof copy);
 */
#ifndef HOTLANE_TOPIC_H
#define HOTLANE_TOPIC_H

#include <hotlane/config.h>

/* hl_topic_options.sampling_window_ns: that of the configuration. */
#define HL_SAMPLING_CONFIGURED UINT64_MAX

typedef struct hl_bus hl_bus;

/* An interned topic of one bus. A value; copy it freely. */
typedef struct hl_topic {
    uint32_t number;
} hl_topic;

typedef enum hl_topic_kind {
    HL_DELTA = 0, /* every event counts: never conflated, sampled or shed; backpressure only */
    HL_STATE,     /* the newest of a key replaces the older; hl_last and initial images work */
    HL_EXPENDABLE /* may be shed under load */
} hl_topic_kind;

typedef struct hl_topic_options {
    size_t size;
    hl_topic_kind kind;
    int priority;      /* hl_priority, or -1: the domain's */
    bool any_priority; /* a publish may name another priority (hl_try_claim_priority) */
    uint32_t max_keys; /* of a state topic, for each shard; 0: max_keys_per_state_topic */
    /* Of events of NORMAL priority and below; CRITICAL and HIGH are never held back. */
    hl_throttle_options
        throttle;                /* all publishers together; of a `delta` topic too, as asked for */
    uint64_t sampling_window_ns; /* of a state topic, when the ladder samples it; 1 ms..10 s; 0: it
                                    never does */
    bool always_sampled;         /* whatever the load */
} hl_topic_options;

#define HL_TOPIC_OPTIONS_INIT                                                       \
    {                                                                               \
        sizeof(hl_topic_options), HL_DELTA, -1, false, 0, HL_THROTTLE_OPTIONS_INIT, \
            HL_SAMPLING_CONFIGURED, false                                           \
    }

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Declares a topic, or finds the one of that name. At any time, from any thread but a handler's own
 * hot path (it allocates and takes the control lock). `options` NULL: a delta topic of the domain's
 * priority, or whatever the topic was declared as.
 *   HL_OK              ret_topic (NULL: not wanted) is set
 *   HL_INVALID         the name is malformed (empty token, wildcard, over 255 bytes) or an option
 *   HL_UNKNOWN_DOMAIN  and no default_domain is configured
 *   HL_EXISTS          declared before with other options
 *   HL_NOT_ALLOWED     any_priority in a domain of fixed priority; a lane that conflates, for a
 *                      topic that is not of kind HL_STATE; a throttle where every event is CRITICAL
 *                      or HIGH; sampling of what is not a state topic, or of those
 *   HL_LIMIT           max_topics
 *   HL_NO_MEMORY; HL_CLOSED: the bus has stopped. hl_bus_error has the sentence.
 */
HL_API hl_status hl_topic_declare(hl_bus *bus, const char *name, const hl_topic_options *options,
                                  hl_topic *ret_topic);

/* The name of a topic; valid while the bus lives; NULL for a number that is none. Any thread. */
HL_API const char *hl_topic_name(const hl_bus *bus, hl_topic topic);

/* The number of the partition (hl_bus_partition) that takes this topic's events of this key: the
 * same in every bus whose domain has as many shards. HL_OK; HL_INVALID: no such topic. Any thread.
 */
HL_API hl_status hl_topic_partition(const hl_bus *bus, hl_topic topic, uint64_t key,
                                    uint32_t *ret_partition);

/* Events of a state topic whose values hl_last does not have, because their keys came after
 * max_keys others. They were delivered like any. Any thread. */
HL_API uint64_t hl_topic_keys_refused(const hl_bus *bus, hl_topic topic);

/*
 * The newest event of a key on a state topic, copied whole (header and payload, `sequence` tells
 * which) into the caller's memory of `room_bytes`. Any thread, wait-free for the writer, bounded
 * tries for the reader.
 *   HL_OK; HL_NOT_FOUND: nothing of that key yet; HL_BUSY: written at each try, try again;
 *   HL_NOT_ALLOWED: not a state topic; HL_TOO_LARGE: room_bytes is too small.
 */
HL_API hl_status hl_last(const hl_bus *bus, hl_topic topic, uint64_t key, hl_event *ret_event,
                         size_t room_bytes);

#ifdef __cplusplus
}
#endif
#endif
