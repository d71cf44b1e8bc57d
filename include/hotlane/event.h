/*
 * The event: a header of exactly one cache line, its payload right behind it in the same slot.
 * The layout is public and versioned (HL_EVENT_LAYOUT); every file that holds events states it.
 *
 * Who writes what: the publisher fills everything but `stamp` (the ring's) and `sequence` (the
 * partition's, when it takes the event). A handler reads only.
 *
 *     const struct trade *trade = hl_payload(event);
 */
#ifndef HOTLANE_EVENT_H
#define HOTLANE_EVENT_H

#include <stdint.h>

#define HL_EVENT_LAYOUT 1

/* From the highest to the lowest; an event's lane is (partition, priority). */
typedef enum hl_priority {
    HL_CRITICAL = 0,   /* orders, cancels */
    HL_HIGH = 1,       /* order status, fills */
    HL_NORMAL = 2,     /* market data, signals */
    HL_LOW = 3,        /* account, P&L */
    HL_BACKGROUND = 4, /* logs, clean-up */
    HL_PRIORITIES = 5
} hl_priority;

/* hl_event.flags */
#define HL_EVENT_EXTERNAL  0x01u /* published from outside, not by a handler */
#define HL_EVENT_REPLAYED  0x02u /* from a journal, not live */
#define HL_EVENT_CONFLATED 0x04u /* stands for older events of its key too */
#define HL_EVENT_RETRIED   0x08u /* delivered again after a failure */
#define HL_EVENT_IMAGE     0x10u /* part of an initial image: the newest value as of the start */
#define HL_EVENT_LOST      0x20u /* no event, but the news that some were lost (hl_lost) */
#define HL_EVENT_EJECTED   0x40u /* no event, but the news of being detached (hl_ejected) */
#define HL_EVENT_PADDING   0x80u /* an aborted claim: never seen by a handler */

typedef struct hl_event {
    uint64_t stamp;          /* the ring's ready mark; no meaning for a handler */
    uint64_t sequence;       /* position in its partition's order, from 1, no gaps */
    uint64_t published_ns;   /* bus clock at commit, ns since the Unix epoch */
    uint64_t key;            /* instrument or aggregate: conflation, sharding, replay go by it */
    uint64_t correlation_id; /* the story it belongs to; 0: it begins one, named by its own id */
    uint64_t causation_id;   /* id of the event whose handler published it; 0: none */
    uint32_t topic;          /* hl_topic: interned, of this process only */
    uint32_t payload_size;   /* bytes behind the header */
    uint16_t source;         /* interned publisher */
    uint16_t schema_version; /* of the payload; 0 unless the publisher sets it */
    uint8_t priority;        /* hl_priority */
    uint8_t flags;           /* HL_EVENT_... */
    uint8_t attempt;         /* 0 at the first delivery */
    uint8_t redriven;        /* times that it came back from the dead letters, at most 255 */
} hl_event;

/* The payload behind the header; payload_size bytes, 64-byte aligned. Any thread that may read the
 * event. */
static inline const void *hl_payload(const hl_event *event)
{
    return (const void *)(event + 1);
}

/* An event's id: 10 bits of partition, 54 of sequence. Unique in a bus for ever. */
#define HL_ID_SEQUENCE_BITS 54
static inline uint64_t hl_event_id_of(uint32_t partition, uint64_t sequence)
{
    return ((uint64_t)partition << HL_ID_SEQUENCE_BITS) | sequence;
}
static inline uint32_t hl_id_partition(uint64_t id)
{
    return (uint32_t)(id >> HL_ID_SEQUENCE_BITS);
}
static inline uint64_t hl_id_sequence(uint64_t id)
{
    return id & (((uint64_t)1 << HL_ID_SEQUENCE_BITS) - 1);
}

#if defined(__cplusplus)
static_assert(sizeof(hl_event) == 64, "an event header is one cache line");
#else
_Static_assert(sizeof(hl_event) == 64, "an event header is one cache line");
#endif

#endif
