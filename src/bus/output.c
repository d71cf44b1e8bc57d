#include "bus/output.h"

#include "bus/claiming.h"

/* ---- what is staged ---- */

/* What a handler claims is told by the event in hand, and noted for when the handler returns. */
static inline void tell_story(const hl_publisher *out, hl_story *of)
{
    of->causation_id = out->event_id;
    of->correlation_id =
        out->event->correlation_id == 0 ? out->event_id : out->event->correlation_id;
}

/* With its first claim of a call. */
static inline void enlist_staged(hl_publisher *out, hl_outlet *outlet)
{
    outlet->next_staged = out->staged;
    out->staged = outlet;
}

static inline void stage(hl_publisher *out, hl_outlet *outlet, uint64_t position, uint32_t count)
{
    if (outlet->staged_slots == 0) {
        if (outlet->staged_cell == NULL)
            enlist_staged(out, outlet);
        outlet->staged_from = position;
    }
    outlet->staged_slots += count;
}

/* On a lane that conflates: the cell itself for the first claim of a call. HL_BUSY: it is not the
 * first, or they are several events, and the ring will do: all that lies there comes after the cell
 * (hl_output_settle); it is sure then that the key has room. */
static inline hl_status stage_cell(hl_publisher *out, hl_outlet *outlet, const hl_story *of,
                                   uint32_t count, hl_claim *ret_claim)
{
    hl_event *cell;
    if (outlet->staged_cell != NULL || outlet->staged_slots != 0 || count > 1)
        return hl_conflating_admit(outlet, of->topic, of->key);
    const hl_status status = hl_conflating_claim_alone(outlet, of->topic, of->key, &cell);
    if (status != HL_OK)
        return status;
    hl_claiming_open_cell(ret_claim, outlet, cell, 0, of, outlet->tail);
    enlist_staged(out, outlet);
    outlet->staged_cell = cell;
    return HL_OK;
}

/* HL_OK; HL_FULL; HL_LIMIT: no room for the key. */
static inline hl_status stage_claim(hl_publisher *out, hl_outlet *outlet, const hl_story *of,
                                    uint32_t count, hl_claim *ret_claim)
{
    uint64_t position;
    const hl_status status =
        outlet->seats != NULL ? stage_cell(out, outlet, of, count, ret_claim) : HL_BUSY;
    if (status != HL_BUSY)
        return status;
    if (!hl_spsc_try_claim(&outlet->exclusive, count, &position))
        return HL_FULL;
    stage(out, outlet, position, count);
    hl_claiming_open(ret_claim, outlet, position, count, of, outlet->tail);
    return HL_OK;
}

/* ---- claims ---- */

/* Kept for the case that the handler fails for it: then it is tried again when there is room. */
static void note_full(hl_publisher *out, hl_outlet *outlet, uint32_t slots)
{
    out->full = outlet;
    out->full_slots = outlet->staged_slots + slots;
    out->full_event_id = out->event_id;
    out->full_cell = out->partition != NULL ? out->partition->current : NULL; /* NULL: a worker's */
}

/* Claims a handler's output. It never waits, and the bus's gate does not concern it. */
static inline hl_status claim(hl_publisher *out, hl_topic topic, uint64_t key, int priority,
                              uint32_t payload_size, uint32_t count, hl_claim *ret_claim)
{
    hl_status status = HL_FULL;
    hl_outlet *const outlet =
        hl_claiming_outlet(out->bus, out->outlets, topic, key, priority, false, &status);
    if (outlet == NULL)
        return hl_claiming_refuse(out->bus, status);
    if (count - 1 > outlet->mask)
        return hl_claiming_refuse(out->bus, HL_INVALID);
    /* A handler that has returned has no output any more. */
    if (out->event == NULL)
        return hl_claiming_refuse(out->bus, HL_WRONG_THREAD);
    hl_count(&outlet->counts.attempts, count);
    const hl_admission wanted = {outlet, out->limit, topic, count};
    bool asked = false;
    status = payload_size > outlet->payload_room_bytes
                 ? HL_TOO_LARGE
                 : hl_claiming_admit(out->bus, &wanted, &asked);
    if (status == HL_OK) {
        hl_story of = {key, 0, 0, topic.number, payload_size};
        tell_story(out, &of);
        status = stage_claim(out, outlet, &of, count, ret_claim);
        if (__builtin_expect(status == HL_OK, 1))
            return HL_OK;
    }
    if (status == HL_FULL)
        note_full(out, outlet, count);
    hl_claiming_refuse_counted(out->bus, &wanted, status, asked, &outlet->counts);
    return status;
}

hl_status hl_output_claim_one(hl_publisher *out, hl_topic topic, uint64_t key,
                              uint32_t payload_size, hl_claim *ret_claim)
{
    return claim(out, topic, key, -1, payload_size, 1, ret_claim);
}

hl_status hl_output_claim_run(hl_publisher *out, hl_topic topic, uint64_t key,
                              uint32_t payload_size, uint32_t count, hl_claim *ret_claim)
{
    return claim(out, topic, key, -1, payload_size, count, ret_claim);
}

hl_status hl_output_claim_priority(hl_publisher *out, hl_topic topic, uint64_t key,
                                   hl_priority priority, uint32_t payload_size, hl_claim *ret_claim)
{
    return claim(out, topic, key, (int)priority, payload_size, 1, ret_claim);
}

hl_status hl_reserve(hl_publisher *out, hl_topic topic, uint64_t key, uint32_t count)
{
    hl_status status = HL_OK;
    if (!out->is_handlers)
        return HL_NOT_ALLOWED;
    hl_outlet *const outlet =
        hl_claiming_outlet(out->bus, out->outlets, topic, key, -1, false, &status);
    if (outlet == NULL)
        return status;
    if (outlet->seats != NULL)
        status = hl_conflating_admit(outlet, topic.number, key); /* HL_BUSY: the key has room */
    if (status != HL_OK && status != HL_BUSY)
        return status;
    if (hl_spsc_has_room(&outlet->exclusive, count))
        return HL_OK;
    if (out->event != NULL)
        note_full(out, outlet, count);
    return HL_FULL;
}

/* ---- commits ---- */

/* A claim of the handler that runs now: one that a handler kept from an earlier call was given up
 * when that call ended. */
static bool is_staged(const hl_outlet *outlet, const hl_claim *claim)
{
    const uintptr_t offset = (uintptr_t)claim->event - (uintptr_t)outlet->slots;
    if (offset >= ((uintptr_t)outlet->mask + 1) * outlet->slot_size_bytes)
        return claim->event == outlet->staged_cell; /* no slot of the ring */
    return claim->position - outlet->staged_from < outlet->staged_slots;
}

void hl_output_commit(hl_outlet *outlet, hl_claim *claim)
{
    const uint64_t now_ns = hl_bus_now(outlet->bus);
    if (!is_staged(outlet, claim))
        claim->count = 0;
    for (uint32_t i = 0; i < claim->count; i++) {
        hl_event *const event = hl_claim_event(claim, i);
        hl_claiming_finish_header(event, now_ns, claim->payload_size);
        event->flags &= (uint8_t)~HL_EVENT_PADDING;
    }
    claim->count = 0;
}

/* ---- the handler has returned ---- */

/* How many of the staged slots were committed. */
static uint32_t count_committed(const hl_outlet *outlet)
{
    uint32_t committed = 0;
    for (uint32_t i = 0; i < outlet->staged_slots; i++) {
        const hl_event *const event = hl_spsc_slot(&outlet->exclusive, outlet->staged_from + i);
        committed += (event->flags & HL_EVENT_PADDING) == 0;
    }
    return committed;
}

/* What a handler has committed to a lane that conflates: each is copied to where its key's newest
 * lies. */
static void conflate_staged(hl_outlet *outlet, uint32_t slots)
{
    for (uint32_t i = 0; i < slots; i++) {
        const hl_event *const event = hl_spsc_slot(&outlet->exclusive, outlet->staged_from + i);
        if ((event->flags & HL_EVENT_PADDING) == 0)
            hl_conflating_put(outlet, event); /* the claim has made sure of the key's room */
    }
}

/* The cell of the first claim. How many events were committed: 0 or 1. */
static uint32_t settle_cell(hl_outlet *outlet, bool keep)
{
    const bool is_committed = keep && (outlet->staged_cell->flags & HL_EVENT_PADDING) == 0;
    outlet->staged_cell = NULL;
    if (is_committed)
        hl_conflating_commit_alone(outlet);
    else
        hl_conflating_abort(outlet, 0);
    return is_committed;
}

/* What lies in the ring. How many events were committed. */
static uint32_t settle_ring(hl_outlet *outlet, bool keep)
{
    const uint32_t slots = outlet->staged_slots;
    const uint32_t committed = keep ? count_committed(outlet) : 0;
    outlet->staged_slots = 0;
    if (committed != 0 && outlet->seats == NULL) {
        hl_claiming_make_visible(outlet, outlet->staged_from, slots);
        return committed;
    }
    if (committed != 0)
        conflate_staged(outlet, slots);
    hl_spsc_rollback(&outlet->exclusive, outlet->staged_from);
    return committed;
}

void hl_output_settle(hl_publisher *out, bool keep)
{
    hl_outlet *outlet = out->staged;
    if (__builtin_expect(out->see_staged != NULL, 0)) {
        out->see_staged(out, keep, out->see_context);
        keep = false;
    }
    out->staged = NULL;
    while (outlet != NULL) {
        hl_outlet *const next = outlet->next_staged;
        const bool has_cell = outlet->staged_cell != NULL;
        const uint32_t claimed = outlet->staged_slots + has_cell;
        uint32_t committed = 0;
        hl_count(&outlet->counts.finishing, claimed);
        /* In the order in which they were claimed. */
        if (has_cell)
            committed += settle_cell(outlet, keep);
        if (outlet->staged_slots != 0)
            committed += settle_ring(outlet, keep);
        hl_count(&outlet->counts.aborted, claimed - committed);
        hl_count(&outlet->counts.committed, committed);
        outlet = next;
    }
}

hl_status hl_batch_taken(hl_publisher *out, uint32_t count)
{
    if (!out->is_handlers || out->batch_count == 0)
        return HL_NOT_ALLOWED;
    if (count < out->batch_taken || count > out->batch_count)
        return HL_INVALID;
    out->batch_taken = count;
    if (out->staged != NULL)
        hl_output_settle(out, true);
    return HL_OK;
}

/* ---- the event in hand ---- */

uint64_t hl_now_ns(const hl_publisher *out)
{
    return out->event != NULL ? out->event->published_ns : 0;
}

uint64_t hl_current_id(const hl_publisher *out)
{
    return out->event != NULL ? out->event_id : 0;
}
