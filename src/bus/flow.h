/*
 * What the bus asks of the flow control that hangs in it (src/flow/control.c): a table, fixed
 * before start; NULL: nothing is limited, sampled or refused. The limits themselves are opaque.
 */
#ifndef HL_BUS_FLOW_H
#define HL_BUS_FLOW_H

#include "bus/lane.h"

typedef struct hl_domain hl_domain;
typedef struct hl_token_bucket hl_token_bucket;
typedef struct hl_topic_entry hl_topic_entry;

/* What the flow control keeps of a topic. */
typedef struct hl_topic_flow hl_topic_flow;

/* A publish that is to be admitted. */
typedef struct hl_admission {
    const hl_outlet *outlet;
    hl_token_bucket *limit; /* the publisher's own; NULL: none */
    hl_topic topic;
    uint32_t count; /* of events */
} hl_admission;

typedef struct hl_flow {
    /* Under the bus's lock, each with the bus's sentence when it is not HL_OK. */

    /* Checks what a topic's options say of its flow. */
    hl_status (*check_topic)(hl_bus *bus, const char *name, const hl_topic_options *options,
                             const hl_domain *domain);
    /* Makes what a new topic needs; *ret_flow may stay NULL. free() gives it back. */
    hl_status (*make_topic)(hl_bus *bus, const hl_topic_entry *topic, hl_topic_flow **ret_flow);
    /* Whether the topic is HL_TOPIC_CHECKED now. */
    bool (*checks)(hl_bus *bus, const hl_topic_entry *topic);
    /* Checks a publisher's limit and makes it; NULL when it has none. free() gives it back. */
    hl_status (*make_limit)(hl_bus *bus, const char *publisher, const hl_throttle_options *options,
                            hl_token_bucket **ret_limit);

    /* The publisher's thread, lock-free, no allocation: for each publish of a topic that is
     * HL_TOPIC_CHECKED or by a publisher with a limit. */

    /* HL_OK, or HL_THROTTLED. */
    hl_status (*admit)(hl_bus *bus, const hl_admission *asked);
    /* What was admitted found no room. */
    void (*give_back)(hl_bus *bus, const hl_admission *asked);

    /* Any thread. */
    void (*ladder_stats)(const hl_bus *bus, const hl_partition *partition,
                         hl_ladder_stats *ret_stats);
} hl_flow;

#endif
