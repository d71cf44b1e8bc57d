/*
 * Topics, interned: a number for each name. What publishing needs of one is in a small array of its
 * own (hl_topic_info), the rest in hl_topic_entry.
 */
#ifndef HL_BUS_TOPIC_H
#define HL_BUS_TOPIC_H

#include <hotlane/bus.h>

#include "affinity/memory.h"
#include "bus/flow.h"
#include "ring/latest.h"

typedef struct hl_domain hl_domain;

/* What a publish asks of a topic's `declared`. */
typedef enum hl_topic_state {
    HL_TOPIC_UNDECLARED = 0,
    HL_TOPIC_OPEN,   /* whoever has room may publish */
    HL_TOPIC_CHECKED /* the flow control is asked for each publish */
} hl_topic_state;

/* Read-only once declared, but for that. */
typedef struct hl_topic_info {
    uint32_t first_partition;
    uint32_t shards;
    uint8_t priority;
    bool any_priority;
    uint8_t declared; /* hl_topic_state; DECLARED (bus.h) */
} hl_topic_info;

/* The last values of a state topic in one shard. */
typedef struct hl_last_values {
    hl_latest *table;
    hl_memory memory;
    uint64_t refused; /* the partition's thread counts: events of keys beyond the table's limit */
} hl_last_values;

struct hl_topic_entry {
    char *name;
    uint32_t number;
    const hl_domain *domain;
    hl_topic_options options;
    hl_last_values *last; /* by shard; NULL: not a state topic */
    hl_topic_flow *flow;  /* flow.h */
};

/* The topic of that name, or NULL. Under the lock. */
hl_topic_entry *hl_topic_find(const hl_bus *bus, const char *name);

void hl_topic_free(hl_bus *bus, hl_topic_entry *topic);

#endif
