/* Shared publishers: any number of threads claim on rings with many producers. */
#include "bus/claiming.h"

static hl_status claim_shared(hl_shared_publisher *publisher, hl_topic topic, uint64_t key,
                              int priority, uint32_t payload_size, uint32_t count, bool may_wait,
                              hl_claim *ret_claim)
{
    hl_status status = HL_FULL;
    hl_outlet *const outlet = hl_claiming_outlet(publisher->bus, publisher->outlets, topic, key,
                                                 priority, false, &status);
    if (outlet == NULL)
        return hl_claiming_refuse(publisher->bus, status);
    if (count - 1 > outlet->mask)
        return hl_claiming_refuse(publisher->bus, HL_INVALID);
    hl_door_counts *const counts = hl_claiming_counts(outlet);
    if (hl_claiming_gate(outlet) != HL_GATE_OPEN) {
        hl_fetch_add_relaxed_u64(&counts->closed, count); /* COUNTED */
        return hl_claiming_closed_by(hl_claiming_gate(outlet));
    }
    /* GATE: counted before the gate is looked at. COUNTED: an atomic add, others may share it. */
    hl_fetch_add_relaxed_u64(&counts->attempts, count);
    uint64_t position = 0;
    status = hl_claiming_check_shape(outlet, payload_size, hl_claiming_gate(outlet));
    const hl_admission wanted = {outlet, publisher->limit, topic, count};
    bool asked = false;
    if (status == HL_OK)
        status = hl_claiming_admit(publisher->bus, &wanted, &asked);
    const hl_story of = {key, 0, 0, topic.number, payload_size};
    hl_event_tail tail = outlet->tail;
    tail.source = publisher->source;
    if (status == HL_OK && outlet->seats != NULL)
        status = hl_claiming_cell(outlet, &of, tail, ret_claim);
    else if (status == HL_OK && !hl_mpsc_try_claim(&outlet->shared, count, &position))
        status = hl_claiming_wait(outlet, count, may_wait, &position);
    if (status != HL_OK) {
        hl_claiming_refuse_counted(publisher->bus, &wanted, status, asked, counts);
        return status;
    }
    if (outlet->seats == NULL)
        hl_claiming_open(ret_claim, outlet, position, count, &of, tail);
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
        return hl_claiming_refuse(publisher->bus, HL_INVALID);
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
    return hl_claiming_copy(status, &claim, payload, payload_size);
}

hl_status hl_shared_try_publish(hl_shared_publisher *publisher, hl_topic topic, uint64_t key,
                                const void *payload, uint32_t payload_size)
{
    hl_claim claim;
    const hl_status status =
        claim_shared(publisher, topic, key, -1, payload_size, 1, false, &claim);
    return hl_claiming_copy(status, &claim, payload, payload_size);
}
