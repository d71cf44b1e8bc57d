#include "bus/publisher.h"

#include <sched.h>
#include <time.h>

#include "bus/claiming.h"
#include "bus/output.h"

/* How long a publisher that waits for room polls, then yields, before it naps. */
#define WAIT_POLLS  256
#define WAIT_YIELDS 256
#define WAIT_NAP_NS 50000

/* ---- no room ---- */

/* Waits a little longer each time; false when `deadline_ns` is over. */
static bool wait_for_room(uint32_t *tries, uint64_t *deadline_ns, uint64_t timeout_ns)
{
    if (++*tries < WAIT_POLLS) {
        hl_pause();
        return true;
    }
    const uint64_t now_ns = hl_monotonic_ns();
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

hl_status hl_claiming_wait(hl_outlet *outlet, uint32_t count, bool may_wait, uint64_t *ret_position)
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
        else if (hl_claiming_gate(outlet) != HL_GATE_OPEN)
            status = hl_claiming_closed_by(hl_claiming_gate(outlet));
        else if (outlet->kind == HL_OUTLET_SHARED
                     ? hl_mpsc_try_claim(&outlet->shared, count, ret_position)
                     : hl_spsc_try_claim(&outlet->exclusive, count, ret_position))
            return HL_OK;
    }
    return status;
}

void hl_claiming_refuse_counted(hl_bus *bus, const hl_admission *wanted, hl_status status,
                                bool asked, hl_door_counts *counts)
{
    uint64_t *const counter = status == HL_THROTTLED ? &counts->throttled : &counts->rejected;
    if (asked && status != HL_THROTTLED)
        bus->flow->give_back(bus, wanted);
    if (wanted->outlet->kind == HL_OUTLET_SHARED)
        hl_fetch_add_relaxed_u64(counter, wanted->count); /* COUNTED */
    else
        hl_count(counter, wanted->count);
}

/* ---- claims ---- */

/* Claims for a publisher from outside; what claim_one does not do is done here. */
static __attribute__((noinline)) hl_status claim_exclusive(hl_publisher *publisher, hl_topic topic,
                                                           uint64_t key, int priority,
                                                           uint32_t payload_size, uint32_t count,
                                                           bool may_wait, hl_claim *ret_claim)
{
    hl_status status = HL_FULL;
    hl_outlet *const outlet = hl_claiming_outlet(publisher->bus, publisher->outlets, topic, key,
                                                 priority, false, &status);
    if (outlet == NULL)
        return hl_claiming_refuse(publisher->bus, status);
    if (count - 1 > outlet->mask)
        return hl_claiming_refuse(publisher->bus, HL_INVALID);
    if (hl_claiming_gate(outlet) != HL_GATE_OPEN) {
        publisher->looks_first = true;
        hl_count(&outlet->counts.closed, count);
        return hl_claiming_closed_by(hl_claiming_gate(outlet));
    }
    /* GATE: counted before the gate is looked at. */
    hl_count(&outlet->counts.attempts, count);
    uint64_t position = 0;
    status = hl_claiming_check_shape(outlet, payload_size, hl_claiming_gate(outlet));
    const hl_admission wanted = {outlet, publisher->limit, topic, count};
    bool asked = false;
    if (status == HL_OK)
        status = hl_claiming_admit(publisher->bus, &wanted, &asked);
    const hl_story of = {key, 0, 0, topic.number, payload_size};
    if (status == HL_OK && outlet->seats != NULL)
        status = hl_claiming_cell(outlet, &of, outlet->tail, ret_claim);
    else if (status == HL_OK && !hl_spsc_try_claim(&outlet->exclusive, count, &position))
        status = hl_claiming_wait(outlet, count, may_wait, &position);
    if (status != HL_OK) {
        hl_claiming_refuse_counted(publisher->bus, &wanted, status, asked, &outlet->counts);
        return status;
    }
    if (outlet->seats == NULL)
        hl_claiming_open(ret_claim, outlet, position, count, &of, outlet->tail);
    return HL_OK;
}

static inline hl_status claim_run(hl_publisher *publisher, hl_topic topic, uint64_t key,
                                  uint32_t payload_size, uint32_t count, bool may_wait,
                                  hl_claim *ret_claim)
{
    return publisher->is_handlers
               ? hl_output_claim_run(publisher, topic, key, payload_size, count, ret_claim)
               : claim_exclusive(publisher, topic, key, -1, payload_size, count, may_wait,
                                 ret_claim);
}

/* A claim of one slot on the lane of the topic's own priority, in any case. In as few arguments as
 * registers take, for claim_one. */
static __attribute__((noinline)) hl_status claim_any(hl_publisher *publisher, hl_topic topic,
                                                     uint64_t key, uint32_t payload_size,
                                                     bool may_wait, hl_claim *ret_claim)
{
    return publisher->is_handlers
               ? hl_output_claim_one(publisher, topic, key, payload_size, ret_claim)
               : claim_exclusive(publisher, topic, key, -1, payload_size, 1, may_wait, ret_claim);
}

/* The usual case on a lane that conflates: the bus open, and room. False: not that case; nothing
 * has happened. */
static inline bool claim_cell_at_once(hl_outlet *outlet, hl_topic topic, uint64_t key,
                                      uint32_t payload_size, hl_claim *ret_claim)
{
    hl_event *cell;
    if (outlet->kind != HL_OUTLET_CONFLATING ||
        hl_claiming_check_shape(outlet, payload_size, hl_claiming_gate(outlet)) != HL_OK)
        return false;
    /* GATE: counted before the gate is looked at again. */
    hl_count(&outlet->counts.attempts, 1);
    if (hl_claiming_gate(outlet) != HL_GATE_OPEN ||
        hl_conflating_claim_alone(outlet, topic.number, key, &cell) != HL_OK) {
        hl_count(&outlet->counts.attempts, (uint64_t)-1);
        return false;
    }
    const hl_story of = {key, 0, 0, topic.number, payload_size};
    hl_claiming_open_cell(ret_claim, outlet, cell, 0, &of, outlet->tail);
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
        hl_claiming_outlet(publisher->bus, publisher->outlets, topic, key, -1, true, &ignored);
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
    if (hl_claiming_gate(outlet) != HL_GATE_OPEN ||
        !hl_spsc_try_claim(&outlet->exclusive, 1, &position)) {
        hl_count(&outlet->counts.attempts, (uint64_t)-1);
        return claim_any(publisher, topic, key, payload_size, may_wait, ret_claim);
    }
    const hl_story of = {key, 0, 0, topic.number, payload_size};
    hl_claiming_open(ret_claim, outlet, position, 1, &of, outlet->tail);
    return HL_OK;
}

static inline void finish_headers(const hl_claim *claim, uint64_t now_ns)
{
    hl_claiming_finish_header(claim->event, now_ns, claim->payload_size);
    for (uint32_t i = 1; i < claim->count; i++)
        hl_claiming_finish_header(hl_claim_event(claim, i), now_ns, claim->payload_size);
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
    const uint32_t gate = hl_claiming_gate(outlet);
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

static hl_door_counts *counts_of(hl_outlet *outlet)
{
    return outlet->kind == HL_OUTLET_SHARED ? hl_claiming_counts(outlet) : &outlet->counts;
}

/* A commit to a lane that conflates in its usual case: an exclusive publisher's, while the bus is
 * open. False: not that one; nothing has happened. */
static inline bool commit_cell_at_once(hl_claim *claim, hl_outlet *outlet)
{
    uint64_t now_ns = 0;
    if (!hl_clock_try_now(&outlet->bus->clock, &now_ns))
        return false;
    hl_count(&outlet->counts.finishing, 1);
    if (__builtin_expect(hl_claiming_gate(outlet) != HL_GATE_OPEN, 0)) {
        hl_count(&outlet->counts.finishing, (uint64_t)-1);
        return false;
    }
    claim->count = 0;
    hl_claiming_finish_header(claim->event, now_ns, claim->payload_size);
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
        hl_claiming_make_visible(outlet, claim->position, count);
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
            hl_output_commit(outlet, claim);
        else
            commit_any(claim);
        return;
    }
    hl_count(&outlet->counts.finishing, 1);
    if (__builtin_expect(hl_claiming_gate(outlet) != HL_GATE_OPEN, 0)) {
        hl_count(&outlet->counts.finishing, (uint64_t)-1);
        commit_any(claim);
        return;
    }
    claim->count = 0;
    hl_claiming_finish_header(event, now_ns, claim->payload_size);
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
                hl_claiming_make_visible(outlet, claim->position, count);
            }
            end_finish(outlet, &counts->aborted, count);
        }
    }
    claim->count = 0;
}

/* A ring of one publisher, before a partition that neither sleeps nor waits for company, and
 * nothing to be admitted. */
static bool can_be_warmed(const hl_outlet *outlet, hl_topic topic)
{
    return outlet->kind == HL_OUTLET_EXCLUSIVE && outlet->sleeper == NULL &&
           outlet->inlet->gather == NULL &&
           /* DECLARED: relaxed, hl_claiming_outlet has seen the topic whole. */
           hl_load_relaxed_u8(&outlet->bus->topics[topic.number].declared) == HL_TOPIC_OPEN;
}

hl_status hl_warm(hl_publisher *publisher, hl_topic topic, uint64_t key)
{
    hl_status status = HL_NOT_ALLOWED;
    hl_claim claim;
    const hl_outlet *const outlet = publisher->is_handlers
                                        ? NULL
                                        : hl_claiming_outlet(publisher->bus, publisher->outlets,
                                                             topic, key, -1, false, &status);
    if (outlet == NULL)
        return hl_claiming_refuse(publisher->bus, status);
    if (hl_claiming_gate(outlet) == HL_GATE_OPEN && !can_be_warmed(outlet, topic))
        return hl_claiming_refuse(publisher->bus, HL_NOT_ALLOWED);
    status = hl_try_claim(publisher, topic, key, 0, &claim);
    if (status != HL_OK)
        return status;
    /* What an abort does not do of a commit. */
    hl_claiming_finish_header(claim.event, hl_bus_now(publisher->bus), 0);
    hl_prefetch_function((hl_function *)hl_commit);
    hl_abort(&claim);
    return HL_OK;
}

hl_status hl_try_claim(hl_publisher *publisher, hl_topic topic, uint64_t key, uint32_t payload_size,
                       hl_claim *ret_claim)
{
    return claim_one(publisher, topic, key, payload_size, false, ret_claim);
}

hl_status hl_try_claim_run(hl_publisher *publisher, hl_topic topic, uint64_t key,
                           uint32_t payload_size, uint32_t count, hl_claim *ret_claim)
{
    return claim_run(publisher, topic, key, payload_size, count, false, ret_claim);
}

hl_status hl_try_claim_priority(hl_publisher *publisher, hl_topic topic, uint64_t key,
                                hl_priority priority, uint32_t payload_size, hl_claim *ret_claim)
{
    if ((unsigned)priority >= HL_PRIORITIES)
        return hl_claiming_refuse(publisher->bus, HL_INVALID);
    return publisher->is_handlers
               ? hl_output_claim_priority(publisher, topic, key, priority, payload_size, ret_claim)
               : claim_exclusive(publisher, topic, key, (int)priority, payload_size, 1, false,
                                 ret_claim);
}

hl_status hl_claim_wait(hl_publisher *publisher, hl_topic topic, uint64_t key,
                        uint32_t payload_size, hl_claim *ret_claim)
{
    return claim_one(publisher, topic, key, payload_size, true, ret_claim);
}

hl_status hl_claim_run_wait(hl_publisher *publisher, hl_topic topic, uint64_t key,
                            uint32_t payload_size, uint32_t count, hl_claim *ret_claim)
{
    return claim_run(publisher, topic, key, payload_size, count, true, ret_claim);
}

hl_status hl_publish(hl_publisher *publisher, hl_topic topic, uint64_t key, const void *payload,
                     uint32_t payload_size)
{
    hl_claim claim;
    const hl_status status = claim_one(publisher, topic, key, payload_size, true, &claim);
    return hl_claiming_copy(status, &claim, payload, payload_size);
}

hl_status hl_try_publish(hl_publisher *publisher, hl_topic topic, uint64_t key, const void *payload,
                         uint32_t payload_size)
{
    hl_claim claim;
    const hl_status status = claim_one(publisher, topic, key, payload_size, false, &claim);
    return hl_claiming_copy(status, &claim, payload, payload_size);
}
