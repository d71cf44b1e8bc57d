#include "bus/publisher.h"

#include <sched.h>
#include <stdio.h>
#include <time.h>

#include "bus/bus.h"
#include "bus/conflating.h"

/* How long a publisher that waits for room polls, then yields, before it naps. */
#define WAIT_POLLS  256
#define WAIT_YIELDS 256
#define WAIT_NAP_NS 50000

/* ---- the way in: one lane ---- */

/* Counted in no lane: the call names nothing that exists. */
static hl_status refuse(hl_bus *bus, hl_status status)
{
    hl_fetch_add_relaxed_u64(&bus->refused, 1); /* Relaxed: a counter. */
    return status;
}

/* The outlet for (topic, key, priority), or NULL with the reason in `ret_status`. Counts nothing.
 * `open_only`: not of a topic that is checked. */
static inline hl_outlet *find_outlet(hl_bus *bus, hl_outlet *const *outlets, hl_topic topic,
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

/* What a publish says of its events. */
typedef struct story {
    uint64_t key, correlation_id, causation_id;
    uint32_t topic, payload_size;
} story;

/* Begins an event. `stamp` is the ring's, `sequence` the partition's, `published_ns` the commit's.
 */
static inline void write_header(hl_event *event, const story *of, hl_event_tail tail)
{
    event->key = of->key;
    event->correlation_id = of->correlation_id;
    event->causation_id = of->causation_id;
    event->topic = of->topic;
    event->payload_size = of->payload_size;
    memcpy(&event->source, &tail, sizeof tail);
}

static inline void open_claim(hl_claim *claim, hl_outlet *outlet, uint64_t position, uint32_t count,
                              const story *of, hl_event_tail tail)
{
    unsigned char *const first =
        outlet->slots + (position & outlet->mask) * outlet->slot_size_bytes;
    claim->lane = outlet;
    claim->position = position;
    claim->count = count;
    claim->payload_size = of->payload_size;
    claim->event = (hl_event *)(void *)first;
    claim->payload = claim->event + 1;
    write_header(claim->event, of, tail);
    if (count == 1)
        return; /* hl_claim_event needs the rest for the others */
    claim->slots = outlet->slots;
    claim->mask = outlet->mask;
    claim->slot_size_bytes = outlet->slot_size_bytes;
    for (uint32_t i = 1; i < count; i++)
        write_header(hl_claim_event(claim, i), of, tail);
}

/* The same for the cell of a conflating lane. */
static inline void open_cell(hl_claim *claim, hl_outlet *outlet, hl_event *cell, uint32_t seat,
                             const story *of, hl_event_tail tail)
{
    *claim = (hl_claim){.lane = outlet,
                        .position = seat,
                        .count = 1,
                        .event = cell,
                        .payload = cell + 1,
                        .payload_size = of->payload_size};
    write_header(cell, of, tail);
}

/* What a gate that is not open answers. */
static inline hl_status closed_by(uint32_t gate)
{
    return gate == HL_GATE_DETACHED ? HL_DETACHED : HL_CLOSED;
}

/* Whether the lane takes events of this shape at all. */
static inline hl_status check_shape(const hl_outlet *outlet, uint32_t payload_size, uint32_t gate)
{
    if (gate != HL_GATE_OPEN)
        return closed_by(gate);
    return payload_size > outlet->payload_room_bytes ? HL_TOO_LARGE : HL_OK;
}

/* Waits a little longer each time; false when `deadline_ns` is over. */
static bool wait_for_room(uint32_t *tries, uint64_t *deadline_ns, uint64_t timeout_ns)
{
    struct timespec now;
    if (++*tries < WAIT_POLLS) {
        hl_pause();
        return true;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    const uint64_t now_ns = (uint64_t)now.tv_sec * HL_SECOND + (uint64_t)now.tv_nsec;
    if (*deadline_ns == 0)
        *deadline_ns = timeout_ns < UINT64_MAX - now_ns ? now_ns + timeout_ns : UINT64_MAX;
    if (now_ns >= *deadline_ns)
        return false;
    if (*tries < WAIT_POLLS + WAIT_YIELDS) {
        sched_yield();
    } else {
        const struct timespec nap = {0, WAIT_NAP_NS};
        nanosleep(&nap, NULL);
    }
    return true;
}

/* ---- exclusive publishers and handlers' output ---- */

static inline uint32_t gate_of(const hl_outlet *outlet)
{
    /* GATE: the attempt's count before the gate's load; relaxed, the fences order it. */
    hl_fence_light();
    return hl_load_relaxed_u32(outlet->gate);
}

/* No room: waits for it where the lane's policy says so. HL_OK; HL_FULL, HL_TIMEOUT, or what its
 * gate answers. */
static __attribute__((noinline)) hl_status claim_later(hl_outlet *outlet, uint32_t count,
                                                       bool may_wait, uint64_t *ret_position)
{
    const hl_domain_config *const domain = &outlet->partition->domain->config;
    hl_status status = HL_FULL;
    uint64_t deadline_ns = 0;
    uint32_t tries = 0;
    /* hotlane's own threads never wait for room. */
    may_wait = may_wait && hl_turning == NULL && domain->full_policy == HL_FULL_BLOCK;
    while (may_wait && status == HL_FULL) {
        if (!wait_for_room(&tries, &deadline_ns, domain->block_timeout_ns))
            status = HL_TIMEOUT;
        else if (gate_of(outlet) != HL_GATE_OPEN)
            status = closed_by(gate_of(outlet));
        else if (outlet->kind == HL_OUTLET_SHARED
                     ? hl_mpsc_try_claim(&outlet->shared, count, ret_position)
                     : hl_spsc_try_claim(&outlet->exclusive, count, ret_position))
            return HL_OK;
    }
    return status;
}

/* What the flow control says of a topic that is checked, or by a publisher that has a limit. What
 * it admits and then finds no room is to be given back where *ret_asked (refuse_counted). */
static hl_status admit(hl_bus *bus, const hl_admission *wanted, bool *ret_asked)
{
    /* DECLARED: relaxed, find_outlet has seen the topic whole. */
    *ret_asked =
        wanted->limit != NULL ||
        hl_load_relaxed_u8(&bus->topics[wanted->topic.number].declared) == HL_TOPIC_CHECKED;
    return *ret_asked ? bus->flow->admit(bus, wanted) : HL_OK;
}

/* What was asked for is not to be had: counts it, and gives back what was admitted. */
static void refuse_counted(hl_bus *bus, const hl_admission *wanted, hl_status status, bool asked,
                           hl_door_counts *counts)
{
    uint64_t *const counter = status == HL_THROTTLED ? &counts->throttled : &counts->rejected;
    if (asked && status != HL_THROTTLED)
        bus->flow->give_back(bus, wanted);
    if (wanted->outlet->kind == HL_OUTLET_SHARED)
        hl_fetch_add_relaxed_u64(counter, wanted->count); /* COUNTED */
    else
        hl_count(counter, wanted->count);
}

/* A cell for the newest event of a key. */
static hl_status claim_conflating(hl_outlet *outlet, const story *of, hl_event_tail tail,
                                  hl_claim *ret_claim)
{
    uint32_t seat;
    hl_event *cell;
    const hl_status status = hl_conflating_claim(outlet, of->topic, of->key, &seat, &cell);
    if (status == HL_OK)
        open_cell(ret_claim, outlet, cell, seat, of, tail);
    return status;
}

/* What a handler claims is told by the event in hand, and noted for when the handler returns. */
static inline void tell_story(const hl_publisher *out, story *of)
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
 * (hl_publisher_settle); it is sure then that the key has room. */
static inline hl_status stage_cell(hl_publisher *out, hl_outlet *outlet, const story *of,
                                   uint32_t count, hl_claim *ret_claim)
{
    hl_event *cell;
    if (outlet->staged_cell != NULL || outlet->staged_slots != 0 || count > 1)
        return hl_conflating_admit(outlet, of->topic, of->key);
    const hl_status status = hl_conflating_claim_alone(outlet, of->topic, of->key, &cell);
    if (status != HL_OK)
        return status;
    open_cell(ret_claim, outlet, cell, 0, of, outlet->tail);
    enlist_staged(out, outlet);
    outlet->staged_cell = cell;
    return HL_OK;
}

/* HL_OK; HL_FULL; HL_LIMIT: no room for the key. */
static inline hl_status stage_claim(hl_publisher *out, hl_outlet *outlet, const story *of,
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
    open_claim(ret_claim, outlet, position, count, of, outlet->tail);
    return HL_OK;
}

/* Kept for the case that the handler fails for it: then it is tried again when there is room. */
static void note_full(hl_publisher *out, hl_outlet *outlet, uint32_t slots)
{
    out->full = outlet;
    out->full_slots = outlet->staged_slots + slots;
    out->full_event_id = out->event_id;
    out->full_cell = out->partition != NULL ? out->partition->current : NULL; /* NULL: a worker's */
}

/* Claims a handler's output. It never waits, and the bus's gate does not concern it. */
static inline hl_status claim_output(hl_publisher *out, hl_topic topic, uint64_t key, int priority,
                                     uint32_t payload_size, uint32_t count, hl_claim *ret_claim)
{
    hl_status status = HL_FULL;
    hl_outlet *const outlet =
        find_outlet(out->bus, out->outlets, topic, key, priority, false, &status);
    if (outlet == NULL)
        return refuse(out->bus, status);
    if (count - 1 > outlet->mask)
        return refuse(out->bus, HL_INVALID);
    /* A handler that has returned has no output any more. */
    if (out->event == NULL)
        return refuse(out->bus, HL_WRONG_THREAD);
    hl_count(&outlet->counts.attempts, count);
    const hl_admission wanted = {outlet, out->limit, topic, count};
    bool asked = false;
    status =
        payload_size > outlet->payload_room_bytes ? HL_TOO_LARGE : admit(out->bus, &wanted, &asked);
    if (status == HL_OK) {
        story of = {key, 0, 0, topic.number, payload_size};
        tell_story(out, &of);
        status = stage_claim(out, outlet, &of, count, ret_claim);
        if (__builtin_expect(status == HL_OK, 1))
            return HL_OK;
    }
    if (status == HL_FULL)
        note_full(out, outlet, count);
    refuse_counted(out->bus, &wanted, status, asked, &outlet->counts);
    return status;
}

/* Claims for a publisher from outside; what claim_one does not do is done here. */
static __attribute__((noinline)) hl_status claim_exclusive(hl_publisher *publisher, hl_topic topic,
                                                           uint64_t key, int priority,
                                                           uint32_t payload_size, uint32_t count,
                                                           bool may_wait, hl_claim *ret_claim)
{
    hl_status status = HL_FULL;
    hl_outlet *const outlet =
        find_outlet(publisher->bus, publisher->outlets, topic, key, priority, false, &status);
    if (outlet == NULL)
        return refuse(publisher->bus, status);
    if (count - 1 > outlet->mask)
        return refuse(publisher->bus, HL_INVALID);
    if (gate_of(outlet) != HL_GATE_OPEN) {
        publisher->looks_first = true;
        hl_count(&outlet->counts.closed, count);
        return closed_by(gate_of(outlet));
    }
    /* GATE: counted before the gate is looked at. */
    hl_count(&outlet->counts.attempts, count);
    uint64_t position = 0;
    status = check_shape(outlet, payload_size, gate_of(outlet));
    const hl_admission wanted = {outlet, publisher->limit, topic, count};
    bool asked = false;
    if (status == HL_OK)
        status = admit(publisher->bus, &wanted, &asked);
    const story of = {key, 0, 0, topic.number, payload_size};
    if (status == HL_OK && outlet->seats != NULL)
        status = claim_conflating(outlet, &of, outlet->tail, ret_claim);
    else if (status == HL_OK && !hl_spsc_try_claim(&outlet->exclusive, count, &position))
        status = claim_later(outlet, count, may_wait, &position);
    if (status != HL_OK) {
        refuse_counted(publisher->bus, &wanted, status, asked, &outlet->counts);
        return status;
    }
    if (outlet->seats == NULL)
        open_claim(ret_claim, outlet, position, count, &of, outlet->tail);
    return HL_OK;
}

static inline hl_status claim_run(hl_publisher *publisher, hl_topic topic, uint64_t key,
                                  int priority, uint32_t payload_size, uint32_t count,
                                  bool may_wait, hl_claim *ret_claim)
{
    return publisher->is_handlers
               ? claim_output(publisher, topic, key, priority, payload_size, count, ret_claim)
               : claim_exclusive(publisher, topic, key, priority, payload_size, count, may_wait,
                                 ret_claim);
}

/* A claim of one slot on the lane of the topic's own priority, in any case. In as few arguments as
 * registers take, for claim_one. */
static __attribute__((noinline)) hl_status claim_any(hl_publisher *publisher, hl_topic topic,
                                                     uint64_t key, uint32_t payload_size,
                                                     bool may_wait, hl_claim *ret_claim)
{
    return claim_run(publisher, topic, key, -1, payload_size, 1, may_wait, ret_claim);
}

/* The usual case on a lane that conflates: the bus open, and room. False: not that case; nothing
 * has happened. */
static inline bool claim_cell_at_once(hl_outlet *outlet, hl_topic topic, uint64_t key,
                                      uint32_t payload_size, hl_claim *ret_claim)
{
    hl_event *cell;
    if (outlet->kind != HL_OUTLET_CONFLATING ||
        check_shape(outlet, payload_size, gate_of(outlet)) != HL_OK)
        return false;
    /* GATE: counted before the gate is looked at again. */
    hl_count(&outlet->counts.attempts, 1);
    if (gate_of(outlet) != HL_GATE_OPEN ||
        hl_conflating_claim_alone(outlet, topic.number, key, &cell) != HL_OK) {
        hl_count(&outlet->counts.attempts, (uint64_t)-1);
        return false;
    }
    const story of = {key, 0, 0, topic.number, payload_size};
    open_cell(ret_claim, outlet, cell, 0, &of, outlet->tail);
    return true;
}

/* On a lane that is no ring of the publisher's own. Two of them, for each takes its arguments in
 * registers. */
static __attribute__((noinline)) hl_status claim_other(hl_publisher *publisher, hl_outlet *outlet,
                                                       hl_topic topic, uint64_t key,
                                                       uint32_t payload_size, hl_claim *ret_claim)
{
    if (claim_cell_at_once(outlet, topic, key, payload_size, ret_claim))
        return HL_OK;
    return claim_any(publisher, topic, key, payload_size, true, ret_claim);
}

static __attribute__((noinline)) hl_status try_claim_other(hl_publisher *publisher,
                                                           hl_outlet *outlet, hl_topic topic,
                                                           uint64_t key, uint32_t payload_size,
                                                           hl_claim *ret_claim)
{
    if (claim_cell_at_once(outlet, topic, key, payload_size, ret_claim))
        return HL_OK;
    return claim_any(publisher, topic, key, payload_size, false, ret_claim);
}

/* One slot on the lane of the topic's own priority. The usual case in as few steps as that takes: a
 * publisher from outside, a ring of its own, the bus open, and room. */
static inline __attribute__((always_inline)) hl_status claim_one(hl_publisher *publisher,
                                                                 hl_topic topic, uint64_t key,
                                                                 uint32_t payload_size,
                                                                 bool may_wait, hl_claim *ret_claim)
{
    hl_status ignored;
    if (publisher->looks_first)
        return claim_any(publisher, topic, key, payload_size, may_wait, ret_claim);
    hl_outlet *const outlet =
        find_outlet(publisher->bus, publisher->outlets, topic, key, -1, true, &ignored);
    if (outlet == NULL)
        return claim_any(publisher, topic, key, payload_size, may_wait, ret_claim);
    if (outlet->kind != HL_OUTLET_EXCLUSIVE)
        return may_wait ? claim_other(publisher, outlet, topic, key, payload_size, ret_claim)
                        : try_claim_other(publisher, outlet, topic, key, payload_size, ret_claim);
    if (payload_size > outlet->payload_room_bytes)
        return claim_any(publisher, topic, key, payload_size, may_wait, ret_claim);
    /* GATE: counted before the gate is looked at. */
    hl_count(&outlet->counts.attempts, 1);
    uint64_t position;
    if (gate_of(outlet) != HL_GATE_OPEN || !hl_spsc_try_claim(&outlet->exclusive, 1, &position)) {
        hl_count(&outlet->counts.attempts, (uint64_t)-1);
        return claim_any(publisher, topic, key, payload_size, may_wait, ret_claim);
    }
    const story of = {key, 0, 0, topic.number, payload_size};
    open_claim(ret_claim, outlet, position, 1, &of, outlet->tail);
    return HL_OK;
}

/* What a commit writes into each header. The payload may have been made smaller, not larger. */
static inline void finish_header(hl_event *event, uint64_t now_ns, uint32_t payload_size)
{
    event->published_ns = now_ns;
    if (event->payload_size > payload_size)
        event->payload_size = payload_size;
}

static inline void finish_headers(const hl_claim *claim, uint64_t now_ns)
{
    finish_header(claim->event, now_ns, claim->payload_size);
    for (uint32_t i = 1; i < claim->count; i++)
        finish_header(hl_claim_event(claim, i), now_ns, claim->payload_size);
}

/* Begins to count the end of a claim. False: it is too late, every count is final (an open claim
 * was counted as aborted), or this is a fork's child, which has no rings. */
static inline bool begin_finish(hl_outlet *outlet, hl_door_counts *counts, uint32_t count)
{
    /* GATE: counted before the gate is looked at, as in a claim: stop waits for what it finds
     * begun. COUNTED: (bus.h) shared. */
    if (outlet->kind == HL_OUTLET_SHARED)
        hl_fetch_add_relaxed_u64(&counts->finishing, count);
    else
        hl_count(&counts->finishing, count);
    const uint32_t gate = gate_of(outlet);
    if (gate == HL_GATE_OPEN || gate == HL_GATE_CLOSING)
        return true;
    if (outlet->kind == HL_OUTLET_SHARED)
        hl_fetch_add_relaxed_u64(&counts->finishing, -(uint64_t)count); /* COUNTED */
    else
        hl_count(&counts->finishing, -(uint64_t)count);
    return false;
}

/* The end has been made: the last word of a commit or abort. */
static inline void end_finish(const hl_outlet *outlet, uint64_t *counter, uint32_t count)
{
    /* DRAINED: (executor.h) release, after the stamps: an end that is counted can be seen. */
    if (outlet->kind == HL_OUTLET_SHARED)
        hl_fetch_add_release_u64(counter, count);
    else
        hl_store_release_u64(counter, hl_load_relaxed_u64(counter) + count);
}

static hl_door_counts *my_cell(hl_outlet *outlet);

/* The last step: the slots are the partition's. It is woken if it sleeps. */
static inline void make_visible(hl_outlet *outlet, uint64_t position, uint32_t count)
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

/* A claim of the handler that runs now: one that a handler kept from an earlier call was given up
 * when that call ended. */
static bool is_staged(const hl_outlet *outlet, const hl_claim *claim)
{
    const uintptr_t offset = (uintptr_t)claim->event - (uintptr_t)outlet->slots;
    if (offset >= ((uintptr_t)outlet->mask + 1) * outlet->slot_size_bytes)
        return claim->event == outlet->staged_cell; /* no slot of the ring */
    return claim->position - outlet->staged_from < outlet->staged_slots;
}

/* What a handler commits stays where it is until the handler returns. */
static __attribute__((noinline)) void commit_staged(hl_outlet *outlet, hl_claim *claim)
{
    const uint64_t now_ns = hl_bus_now(outlet->bus);
    if (!is_staged(outlet, claim))
        claim->count = 0;
    for (uint32_t i = 0; i < claim->count; i++) {
        hl_event *const event = hl_claim_event(claim, i);
        finish_header(event, now_ns, claim->payload_size);
        event->flags &= (uint8_t)~HL_EVENT_PADDING;
    }
    claim->count = 0;
}

static hl_door_counts *counts_of(hl_outlet *outlet)
{
    return outlet->kind == HL_OUTLET_SHARED ? my_cell(outlet) : &outlet->counts;
}

/* A commit to a lane that conflates in its usual case: an exclusive publisher's, while the bus is
 * open. False: not that one; nothing has happened. */
static inline bool commit_cell_at_once(hl_claim *claim, hl_outlet *outlet)
{
    uint64_t now_ns = 0;
    if (!hl_clock_try_now(&outlet->bus->clock, &now_ns))
        return false;
    hl_count(&outlet->counts.finishing, 1);
    if (__builtin_expect(gate_of(outlet) != HL_GATE_OPEN, 0)) {
        hl_count(&outlet->counts.finishing, (uint64_t)-1);
        return false;
    }
    claim->count = 0;
    finish_header(claim->event, now_ns, claim->payload_size);
    hl_conflating_commit_alone(outlet);
    end_finish(outlet, &outlet->counts.committed, 1);
    return true;
}

static __attribute__((noinline)) void commit_any(hl_claim *claim)
{
    hl_outlet *const outlet = claim->lane;
    const uint32_t count = claim->count;
    if (count == 0 || (outlet->kind == HL_OUTLET_CONFLATING && commit_cell_at_once(claim, outlet)))
        return;
    hl_door_counts *const counts = counts_of(outlet);
    if (begin_finish(outlet, counts, count)) {
        finish_headers(claim, hl_bus_now(outlet->bus));
        make_visible(outlet, claim->position, count);
        end_finish(outlet, &counts->committed, count);
    }
    claim->count = 0; /* a second time does nothing */
}

/* The same in its usual case, in as few steps as that takes: one slot of an exclusive publisher
 * while the bus is open. The lines of `announced` and `asleep` are only read, as a rule. */
void hl_commit(hl_claim *claim)
{
    hl_outlet *const outlet = claim->lane;
    hl_event *const event = claim->event;
    uint64_t now_ns = 0;
    if (outlet->kind != HL_OUTLET_EXCLUSIVE || claim->count != 1 ||
        !hl_clock_try_now(&outlet->bus->clock, &now_ns)) {
        if (outlet->kind == HL_OUTLET_HANDLER)
            commit_staged(outlet, claim);
        else
            commit_any(claim);
        return;
    }
    hl_count(&outlet->counts.finishing, 1);
    if (__builtin_expect(gate_of(outlet) != HL_GATE_OPEN, 0)) {
        hl_count(&outlet->counts.finishing, (uint64_t)-1);
        commit_any(claim);
        return;
    }
    claim->count = 0;
    finish_header(event, now_ns, claim->payload_size);
    /* READY: (ring.h) release, as in hl_spsc_commit. */
    hl_store_release_u64(&event->stamp, claim->position + 1);
    hl_announce(outlet);
    /* DRAINED: (executor.h) release, as in end_finish. */
    hl_store_release_u64(&outlet->counts.committed,
                         hl_load_relaxed_u64(&outlet->counts.committed) + 1);
    if (outlet->sleeper != NULL)
        hl_sleeper_notify(outlet->sleeper);
}

void hl_abort(hl_claim *claim)
{
    hl_outlet *const outlet = claim->lane;
    const uint32_t count = claim->count;
    /* A handler's claims are padding already, and are counted when it returns. */
    if (count != 0 && outlet->kind != HL_OUTLET_HANDLER) {
        hl_door_counts *const counts = counts_of(outlet);
        if (begin_finish(outlet, counts, count)) {
            if (outlet->seats != NULL) {
                hl_conflating_abort(outlet, (uint32_t)claim->position);
            } else {
                for (uint32_t i = 0; i < count; i++)
                    hl_claim_event(claim, i)->flags |= HL_EVENT_PADDING;
                make_visible(outlet, claim->position, count);
            }
            end_finish(outlet, &counts->aborted, count);
        }
    }
    claim->count = 0;
}

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
        make_visible(outlet, outlet->staged_from, slots);
        return committed;
    }
    if (committed != 0)
        conflate_staged(outlet, slots);
    hl_spsc_rollback(&outlet->exclusive, outlet->staged_from);
    return committed;
}

void hl_publisher_settle(hl_publisher *out, bool keep)
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

hl_status hl_try_claim(hl_publisher *publisher, hl_topic topic, uint64_t key, uint32_t payload_size,
                       hl_claim *ret_claim)
{
    return claim_one(publisher, topic, key, payload_size, false, ret_claim);
}

hl_status hl_try_claim_run(hl_publisher *publisher, hl_topic topic, uint64_t key,
                           uint32_t payload_size, uint32_t count, hl_claim *ret_claim)
{
    return claim_run(publisher, topic, key, -1, payload_size, count, false, ret_claim);
}

hl_status hl_try_claim_priority(hl_publisher *publisher, hl_topic topic, uint64_t key,
                                hl_priority priority, uint32_t payload_size, hl_claim *ret_claim)
{
    if ((unsigned)priority >= HL_PRIORITIES)
        return refuse(publisher->bus, HL_INVALID);
    return claim_run(publisher, topic, key, (int)priority, payload_size, 1, false, ret_claim);
}

hl_status hl_claim_wait(hl_publisher *publisher, hl_topic topic, uint64_t key,
                        uint32_t payload_size, hl_claim *ret_claim)
{
    return claim_one(publisher, topic, key, payload_size, true, ret_claim);
}

hl_status hl_claim_run_wait(hl_publisher *publisher, hl_topic topic, uint64_t key,
                            uint32_t payload_size, uint32_t count, hl_claim *ret_claim)
{
    return claim_run(publisher, topic, key, -1, payload_size, count, true, ret_claim);
}

static inline hl_status copy_and_commit(hl_status status, hl_claim *claim, const void *payload,
                                        uint32_t payload_size)
{
    if (status != HL_OK)
        return status;
    if (payload_size != 0)
        memcpy(claim->payload, payload, payload_size);
    hl_commit(claim);
    return HL_OK;
}

hl_status hl_publish(hl_publisher *publisher, hl_topic topic, uint64_t key, const void *payload,
                     uint32_t payload_size)
{
    hl_claim claim;
    const hl_status status = claim_one(publisher, topic, key, payload_size, true, &claim);
    return copy_and_commit(status, &claim, payload, payload_size);
}

hl_status hl_try_publish(hl_publisher *publisher, hl_topic topic, uint64_t key, const void *payload,
                         uint32_t payload_size)
{
    hl_claim claim;
    const hl_status status = claim_one(publisher, topic, key, payload_size, false, &claim);
    return copy_and_commit(status, &claim, payload, payload_size);
}

hl_status hl_reserve(hl_publisher *out, hl_topic topic, uint64_t key, uint32_t count)
{
    hl_status status = HL_OK;
    if (!out->is_handlers)
        return HL_NOT_ALLOWED;
    hl_outlet *const outlet = find_outlet(out->bus, out->outlets, topic, key, -1, false, &status);
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

hl_status hl_batch_taken(hl_publisher *out, uint32_t count)
{
    if (!out->is_handlers || out->batch_count == 0)
        return HL_NOT_ALLOWED;
    if (count < out->batch_taken || count > out->batch_count)
        return HL_INVALID;
    out->batch_taken = count;
    if (out->staged != NULL)
        hl_publisher_settle(out, true);
    return HL_OK;
}

uint64_t hl_now_ns(const hl_publisher *out)
{
    return out->event != NULL ? out->event->published_ns : 0;
}

uint64_t hl_current_id(const hl_publisher *out)
{
    return out->event != NULL ? out->event_id : 0;
}

/* ---- shared publishers ---- */

/* Each thread counts in a cell of its own as far as there are enough. */
static hl_door_counts *my_cell(hl_outlet *outlet)
{
    return &outlet->cells[hl_thread_mix(HL_SHARED_CELLS)].counts;
}

static hl_status claim_shared(hl_shared_publisher *publisher, hl_topic topic, uint64_t key,
                              int priority, uint32_t payload_size, uint32_t count, bool may_wait,
                              hl_claim *ret_claim)
{
    hl_status status = HL_FULL;
    hl_outlet *const outlet =
        find_outlet(publisher->bus, publisher->outlets, topic, key, priority, false, &status);
    if (outlet == NULL)
        return refuse(publisher->bus, status);
    if (count - 1 > outlet->mask)
        return refuse(publisher->bus, HL_INVALID);
    hl_door_counts *const counts = my_cell(outlet);
    if (gate_of(outlet) != HL_GATE_OPEN) {
        hl_fetch_add_relaxed_u64(&counts->closed, count); /* COUNTED */
        return closed_by(gate_of(outlet));
    }
    /* GATE: counted before the gate is looked at. COUNTED: an atomic add, others may share it. */
    hl_fetch_add_relaxed_u64(&counts->attempts, count);
    uint64_t position = 0;
    status = check_shape(outlet, payload_size, gate_of(outlet));
    const hl_admission wanted = {outlet, publisher->limit, topic, count};
    bool asked = false;
    if (status == HL_OK)
        status = admit(publisher->bus, &wanted, &asked);
    const story of = {key, 0, 0, topic.number, payload_size};
    hl_event_tail tail = outlet->tail;
    tail.source = publisher->source;
    if (status == HL_OK && outlet->seats != NULL)
        status = claim_conflating(outlet, &of, tail, ret_claim);
    else if (status == HL_OK && !hl_mpsc_try_claim(&outlet->shared, count, &position))
        status = claim_later(outlet, count, may_wait, &position);
    if (status != HL_OK) {
        refuse_counted(publisher->bus, &wanted, status, asked, counts);
        return status;
    }
    if (outlet->seats == NULL)
        open_claim(ret_claim, outlet, position, count, &of, tail);
    return HL_OK;
}

hl_status hl_shared_try_claim(hl_shared_publisher *publisher, hl_topic topic, uint64_t key,
                              uint32_t payload_size, hl_claim *ret_claim)
{
    return claim_shared(publisher, topic, key, -1, payload_size, 1, false, ret_claim);
}

hl_status hl_shared_try_claim_run(hl_shared_publisher *publisher, hl_topic topic, uint64_t key,
                                  uint32_t payload_size, uint32_t count, hl_claim *ret_claim)
{
    return claim_shared(publisher, topic, key, -1, payload_size, count, false, ret_claim);
}

hl_status hl_shared_try_claim_priority(hl_shared_publisher *publisher, hl_topic topic, uint64_t key,
                                       hl_priority priority, uint32_t payload_size,
                                       hl_claim *ret_claim)
{
    if ((unsigned)priority >= HL_PRIORITIES)
        return refuse(publisher->bus, HL_INVALID);
    return claim_shared(publisher, topic, key, (int)priority, payload_size, 1, false, ret_claim);
}

hl_status hl_shared_claim_wait(hl_shared_publisher *publisher, hl_topic topic, uint64_t key,
                               uint32_t payload_size, hl_claim *ret_claim)
{
    return claim_shared(publisher, topic, key, -1, payload_size, 1, true, ret_claim);
}

hl_status hl_shared_claim_run_wait(hl_shared_publisher *publisher, hl_topic topic, uint64_t key,
                                   uint32_t payload_size, uint32_t count, hl_claim *ret_claim)
{
    return claim_shared(publisher, topic, key, -1, payload_size, count, true, ret_claim);
}

hl_status hl_shared_publish(hl_shared_publisher *publisher, hl_topic topic, uint64_t key,
                            const void *payload, uint32_t payload_size)
{
    hl_claim claim;
    const hl_status status = claim_shared(publisher, topic, key, -1, payload_size, 1, true, &claim);
    return copy_and_commit(status, &claim, payload, payload_size);
}

hl_status hl_shared_try_publish(hl_shared_publisher *publisher, hl_topic topic, uint64_t key,
                                const void *payload, uint32_t payload_size)
{
    hl_claim claim;
    const hl_status status =
        claim_shared(publisher, topic, key, -1, payload_size, 1, false, &claim);
    return copy_and_commit(status, &claim, payload, payload_size);
}
