/*
 * What every claim and commit is made of, whoever publishes: from outside (publisher.c), through a
 * shared publisher (shared_publisher.c), or as a handler (output). On the hot path, so here.
 */
#ifndef HL_BUS_CLAIMING_H
#define HL_BUS_CLAIMING_H

#include "bus/bus.h"
#include "bus/conflating.h"
#include "bus/publisher.h"

/* ---- before a claim ---- */

/* Counted in no lane: the call names nothing that exists. */
static inline hl_status hl_claiming_refuse(hl_bus *bus, hl_status status)
{
    hl_fetch_add_relaxed_u64(&bus->refused, 1); /* Relaxed: a counter. */
    return status;
}

/* The outlet for (topic, key, priority), or NULL with the reason in `ret_status`. Counts nothing.
 * `open_only`: not of a topic that is checked. */
static inline hl_outlet *hl_claiming_outlet(hl_bus *bus, hl_outlet *const *outlets, hl_topic topic,
                                            uint64_t key, int priority, bool open_only,
                                            hl_status *ret_status)
{
    if (topic.number >= bus->max_topics) {
        *ret_status = HL_INVALID;
        return NULL;
    }
    const hl_topic_info *const info = &bus->topics[topic.number];
    /* DECLARED: acquire, the topic's fields and its route are whole. */
    const hl_topic_state state = hl_load_acquire_u8(&info->declared);
    if (open_only ? state != HL_TOPIC_OPEN : state == HL_TOPIC_UNDECLARED) {
        *ret_status = HL_INVALID;
        return NULL;
    }
    if (priority < 0) {
        priority = info->priority;
    } else if (priority != info->priority && !info->any_priority) {
        *ret_status = HL_NOT_ALLOWED;
        return NULL;
    }
    const uint32_t partition = info->first_partition + hl_shard_of(key, info->shards);
    /* LANE: acquire; a handler's table may just have got this lane. */
    hl_outlet *const outlet = hl_load_acquire_ptr(
        (void *const *)(const void *)&outlets[partition * HL_PRIORITIES + (uint32_t)priority]);
    if (outlet == NULL)
        *ret_status = HL_NO_LANE;
    return outlet;
}

/* What a gate that is not open answers. */
static inline hl_status hl_claiming_closed_by(uint32_t gate)
{
    return gate == HL_GATE_DETACHED ? HL_DETACHED : HL_CLOSED;
}

static inline uint32_t hl_claiming_gate(const hl_outlet *outlet)
{
    /* GATE: the attempt's count before the gate's load; relaxed, the fences order it. */
    hl_fence_light();
    return hl_load_relaxed_u32(outlet->gate);
}

/* Whether the lane takes events of this shape at all. */
static inline hl_status hl_claiming_check_shape(const hl_outlet *outlet, uint32_t payload_size,
                                                uint32_t gate)
{
    if (gate != HL_GATE_OPEN)
        return hl_claiming_closed_by(gate);
    return payload_size > outlet->payload_room_bytes ? HL_TOO_LARGE : HL_OK;
}

/* What the flow control says of a topic that is checked, or by a publisher that has a limit. What
 * it admits and then finds no room is to be given back where *ret_asked
 * (hl_claiming_refuse_counted). */
static inline hl_status hl_claiming_admit(hl_bus *bus, const hl_admission *wanted, bool *ret_asked)
{
    /* DECLARED: relaxed, hl_claiming_outlet has seen the topic whole. */
    *ret_asked =
        wanted->limit != NULL ||
        hl_load_relaxed_u8(&bus->topics[wanted->topic.number].declared) == HL_TOPIC_CHECKED;
    return *ret_asked ? bus->flow->admit(bus, wanted) : HL_OK;
}

/* What was asked for is not to be had: counts it, and gives back what was admitted. */
void hl_claiming_refuse_counted(hl_bus *bus, const hl_admission *wanted, hl_status status,
                                bool asked, hl_door_counts *counts);

/* No room: waits for it where the lane's policy says so. HL_OK; HL_FULL, HL_TIMEOUT, or what its
 * gate answers. */
hl_status hl_claiming_wait(hl_outlet *outlet, uint32_t count, bool may_wait,
                           uint64_t *ret_position);

/* Each thread counts in a cell of its own as far as there are enough. */
static inline hl_door_counts *hl_claiming_counts(hl_outlet *outlet)
{
    return &outlet->cells[hl_thread_mix(HL_SHARED_CELLS)].counts;
}

/* ---- the claim ---- */

/* What a publish says of its events. */
typedef struct hl_story {
    uint64_t key, correlation_id, causation_id;
    uint32_t topic, payload_size;
} hl_story;

/* Begins an event. `stamp` is the ring's, `sequence` the partition's, `published_ns` the commit's.
 */
static inline void hl_claiming_write_header(hl_event *event, const hl_story *of, hl_event_tail tail)
{
    event->key = of->key;
    event->correlation_id = of->correlation_id;
    event->causation_id = of->causation_id;
    event->topic = of->topic;
    event->payload_size = of->payload_size;
    memcpy(&event->source, &tail, sizeof tail);
}

static inline void hl_claiming_open(hl_claim *claim, hl_outlet *outlet, uint64_t position,
                                    uint32_t count, const hl_story *of, hl_event_tail tail)
{
    unsigned char *const first =
        outlet->slots + (position & outlet->mask) * outlet->slot_size_bytes;
    claim->lane = outlet;
    claim->position = position;
    claim->count = count;
    claim->payload_size = of->payload_size;
    claim->event = (hl_event *)(void *)first;
    claim->payload = claim->event + 1;
    hl_claiming_write_header(claim->event, of, tail);
    if (count == 1)
        return; /* hl_claim_event needs the rest for the others */
    claim->slots = outlet->slots;
    claim->mask = outlet->mask;
    claim->slot_size_bytes = outlet->slot_size_bytes;
    for (uint32_t i = 1; i < count; i++)
        hl_claiming_write_header(hl_claim_event(claim, i), of, tail);
}

/* The same for the cell of a conflating lane. */
static inline void hl_claiming_open_cell(hl_claim *claim, hl_outlet *outlet, hl_event *cell,
                                         uint32_t seat, const hl_story *of, hl_event_tail tail)
{
    *claim = (hl_claim){.lane = outlet,
                        .position = seat,
                        .count = 1,
                        .event = cell,
                        .payload = cell + 1,
                        .payload_size = of->payload_size};
    hl_claiming_write_header(cell, of, tail);
}

/* A cell for the newest event of a key. */
static inline hl_status hl_claiming_cell(hl_outlet *outlet, const hl_story *of, hl_event_tail tail,
                                         hl_claim *ret_claim)
{
    uint32_t seat;
    hl_event *cell;
    const hl_status status = hl_conflating_claim(outlet, of->topic, of->key, &seat, &cell);
    if (status == HL_OK)
        hl_claiming_open_cell(ret_claim, outlet, cell, seat, of, tail);
    return status;
}

/* ---- its end ---- */

/* What a commit writes into each header. The payload may have been made smaller, not larger. */
static inline void hl_claiming_finish_header(hl_event *event, uint64_t now_ns,
                                             uint32_t payload_size)
{
    event->published_ns = now_ns;
    if (event->payload_size > payload_size)
        event->payload_size = payload_size;
}

/* The last step: the slots are the partition's. It is woken if it sleeps. */
static inline void hl_claiming_make_visible(hl_outlet *outlet, uint64_t position, uint32_t count)
{
    if (outlet->seats != NULL) {
        hl_conflating_commit(outlet, (uint32_t)position);
        return;
    }
    if (outlet->kind == HL_OUTLET_SHARED)
        hl_mpsc_commit(&outlet->shared, position, count);
    else
        hl_spsc_commit(&outlet->exclusive, position, count);
    hl_announce(outlet);
    if (outlet->sleeper != NULL)
        hl_sleeper_notify(outlet->sleeper);
}

/* What a publish does with what it has claimed. */
static inline hl_status hl_claiming_copy(hl_status status, hl_claim *claim, const void *payload,
                                         uint32_t payload_size)
{
    if (status != HL_OK)
        return status;
    if (payload_size != 0)
        memcpy(claim->payload, payload, payload_size);
    hl_commit(claim);
    return HL_OK;
}

#endif
