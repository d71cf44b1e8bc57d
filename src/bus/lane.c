#include "bus/bus.h"
#include "bus/conflating.h"
#include "bus/gather.h"
#include "bus/hold.h"
#include "bus/ready.h"

#include <stdio.h>
#include <time.h>

static bool has_ring(const hl_lane_request *request);

/* The bytes of the rings of one memory node, each starting on a line pair. */
static size_t node_bytes(const hl_lane_request *requests, uint32_t count, int node)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        const hl_partition *const partition = requests[i].partition;
        if (partition->numa_node == node && has_ring(&requests[i]))
            bytes += hl_round_up(
                hl_ring_size_bytes(partition->domain->config.slot_size_bytes, requests[i].slots));
    }
    return bytes;
}

static void free_pair(hl_outlet *outlet)
{
    if (outlet->inlet != NULL) {
        free(outlet->inlet->hold);
        free(outlet->inlet->gather);
    }
    free(outlet->inlet);
    free(outlet);
}

bool hl_lane_make_latency(hl_lane *lane)
{
    if (lane->latency != NULL)
        return true;
    lane->latency = hl_allocate(1, hl_histogram_size_bytes(2));
    if (lane->latency != NULL)
        hl_histogram_init(lane->latency, 2);
    return lane->latency != NULL;
}

void hl_outlet_init(hl_outlet *outlet, hl_bus *bus, const hl_lane_request *request)
{
    hl_partition *const partition = request->partition;
    hl_executor *const executor = partition->executor;
    /* The bus's gate does not concern a handler: what events cause passes while the bus closes. */
    static const uint32_t always_open = HL_GATE_OPEN;
    const bool is_handlers = request->kind == HL_OUTLET_HANDLER;
    outlet->kind = request->kind;
    if (request->kind == HL_OUTLET_EXCLUSIVE && hl_lane_conflates(partition, request->priority))
        outlet->kind = HL_OUTLET_CONFLATING;
    outlet->priority = request->priority;
    outlet->slot_size_bytes = partition->domain->config.slot_size_bytes;
    outlet->payload_room_bytes = outlet->slot_size_bytes - (uint32_t)sizeof(hl_event);
    outlet->partition = partition;
    outlet->bus = bus;
    outlet->gate = is_handlers ? &always_open : bus->gate;
    outlet->tail =
        (hl_event_tail){.source = request->source,
                        .priority = (uint8_t)request->priority,
                        /* What a handler claims is staged: it counts for nothing until its commit
                         * takes the mark off, and is seen when the handler returns. */
                        .flags = is_handlers ? HL_EVENT_PADDING : HL_EVENT_EXTERNAL};
    /* An executor that spins needs no waking, nor does one that publishes to itself. */
    if (executor->wait == HL_WAIT_PARK && executor != request->publisher_executor)
        outlet->sleeper = &executor->sleeper;
}

/* Fills in one lane whose ring is to lie at `memory`. */
static hl_status make_lane(hl_bus *bus, hl_lane_request *request, hl_ring_memory *home,
                           unsigned char *memory)
{
    hl_partition *const partition = request->partition;
    hl_executor *const executor = partition->executor;
    const uint32_t slot_size = partition->domain->config.slot_size_bytes;
    const char *reason = NULL;
    hl_ring *const ring = hl_ring_init(
        memory, hl_ring_size_bytes(slot_size, request->slots), slot_size, request->slots,
        request->kind == HL_OUTLET_SHARED ? HL_RING_MPSC : HL_RING_SPSC,
        bus->config.ring_start_position, &reason);
    if (ring == NULL)
        return hl_bus_fail(bus, HL_INVALID, "ring of domain %s: %s", partition->domain->name,
                           reason);
    hl_outlet *const outlet = hl_allocate(1, sizeof *outlet);
    hl_inlet *const inlet = hl_allocate(1, sizeof *inlet);
    if (outlet == NULL || inlet == NULL || !hl_hold_make(inlet) ||
        !hl_lane_make_latency(&partition->lanes[request->priority])) {
        if (inlet != NULL)
            free(inlet->hold);
        free(outlet);
        free(inlet);
        return hl_bus_fail(bus, HL_NO_MEMORY, "no memory for a lane of domain %s",
                           partition->domain->name);
    }
    hl_outlet_init(outlet, bus, request);
    outlet->mask = request->slots - 1;
    outlet->inlet = inlet;
    if (request->kind == HL_OUTLET_SHARED) {
        hl_mpsc_open(ring, &outlet->shared);
        outlet->slots = hl_mpsc_slot(&outlet->shared, 0);
    } else {
        hl_spsc_open(ring, &outlet->exclusive);
        outlet->slots = hl_spsc_slot(&outlet->exclusive, 0);
    }
    hl_ring_consumer_open(ring, &inlet->consumer);
    inlet->mask = outlet->mask;
    inlet->slot_size_bytes = slot_size;
    inlet->slots = outlet->slots;
    inlet->partition = partition;
    inlet->priority = request->priority;
    inlet->group = executor->next_group[request->priority]++ % HL_GROUPS;
    outlet->is_local = inlet->is_local = executor == request->publisher_executor;
    outlet->announced = outlet->is_local ? &executor->local[request->priority]
                                         : &executor->announced[request->priority];
    outlet->announced_bit = (uint64_t)1 << inlet->group;
    inlet->ring = ring;
    inlet->home = home;
    if (request->batch_events != 0 && request->priority > HL_HIGH &&
        !hl_gather_make(inlet, request)) {
        free_pair(outlet);
        return hl_bus_fail(bus, HL_NO_MEMORY, "no memory for a lane of domain %s",
                           partition->domain->name);
    }
    inlet->link = (hl_command){NULL, HL_COMMAND_LINK_INLET, inlet};
    inlet->retire = (hl_command){NULL, HL_COMMAND_RETIRE_INLET, inlet};
    home->rings_in_use++;
    request->outlet = outlet;
    /* What a handler publishes there is staged in the ring. */
    return hl_lane_conflates(partition, request->priority) ? hl_conflating_seat_make(bus, outlet)
                                                           : HL_OK;
}

/* Whether events of the request lie in a ring, if only until their handler returns. */
static bool has_ring(const hl_lane_request *request)
{
    return request->kind == HL_OUTLET_HANDLER ||
           !hl_lane_conflates(request->partition, request->priority);
}

/* The lanes of one node, in one piece of memory. */
static hl_status make_node(hl_bus *bus, hl_lane_request *requests, uint32_t count, int node)
{
    hl_ring_memory *const home = hl_allocate(1, sizeof *home);
    const hl_memory_options options = {.numa_node = node,
                                       .want_huge_pages = bus->config.huge_pages,
                                       .want_lock = bus->config.lock_memory,
                                       .dont_fork = true};
    hl_error error;
    hl_status status = home == NULL ? hl_error_set(&error, HL_NO_MEMORY, "no memory for a lane")
                                    : hl_memory_map(node_bytes(requests, count, node), &options,
                                                    &home->memory, &error);
    if (status != HL_OK) {
        free(home);
        return hl_bus_fail(bus, status, "%s", error.text);
    }
    if (home->memory.note[0] != '\0' && bus->control->memory_note[0] == '\0')
        snprintf(bus->control->memory_note, sizeof bus->control->memory_note, "%s",
                 home->memory.note);
    unsigned char *memory = home->memory.address;
    for (uint32_t i = 0; i < count && status == HL_OK; i++) {
        if (requests[i].partition->numa_node != node || !has_ring(&requests[i]))
            continue;
        status = make_lane(bus, &requests[i], home, memory);
        memory += hl_round_up(hl_ring_size_bytes(
            requests[i].partition->domain->config.slot_size_bytes, requests[i].slots));
    }
    if (status == HL_OK || home->rings_in_use != 0)
        return status; /* lanes that were made are undone by the caller, with their memory */
    hl_memory_unmap(&home->memory);
    free(home);
    return status;
}

static void publish_lane(hl_outlet *outlet)
{
    hl_partition *const partition = outlet->partition;
    hl_inlet *const inlet = outlet->inlet;
    const hl_priority priority = outlet->priority;
    outlet->next = partition->outlets[priority];
    partition->outlets[priority] = outlet;
    if (inlet == NULL)
        return;
    inlet->next_of_lane = partition->inlets[priority];
    partition->inlets[priority] = inlet;
    hl_executor_command(partition->executor, &inlet->link);
}

static void drop_home(hl_ring_memory *home)
{
    if (--home->rings_in_use != 0)
        return;
    hl_memory_unmap(&home->memory);
    free(home);
}

hl_status hl_lanes_make(hl_bus *bus, hl_lane_request *requests, uint32_t count)
{
    hl_status status = HL_OK;
    for (uint32_t i = 0; i < count; i++)
        requests[i].outlet = NULL;
    for (uint32_t i = 0; i < count && status == HL_OK; i++)
        if (!has_ring(&requests[i]))
            status = hl_conflating_outlet_make(bus, &requests[i]);
        else if (requests[i].outlet == NULL)
            status = make_node(bus, requests, count, requests[i].partition->numa_node);
    for (uint32_t i = 0; i < count; i++) {
        hl_outlet *const outlet = requests[i].outlet;
        if (status == HL_OK) {
            publish_lane(outlet);
        } else if (outlet != NULL) {
            if (outlet->inlet != NULL)
                drop_home(outlet->inlet->home);
            hl_conflating_seats_free(outlet);
            free_pair(outlet);
            requests[i].outlet = NULL;
        }
    }
    return status;
}

void hl_outlet_close(hl_outlet *outlet)
{
    hl_partition *const partition = outlet->partition;
    hl_outlet **at = &partition->outlets[outlet->priority];
    while (*at != outlet)
        at = &(*at)->next;
    *at = outlet->next;
    const hl_door_counts counts = hl_outlet_counts(outlet);
    hl_door_counts *const kept = &partition->closed_counts[outlet->priority];
    kept->attempts += counts.attempts;
    kept->rejected += counts.rejected;
    kept->throttled += counts.throttled;
    kept->finishing += counts.finishing;
    kept->committed += counts.committed;
    kept->aborted += counts.aborted;
    if (outlet->inlet != NULL)
        hl_executor_command(partition->executor, &outlet->inlet->retire);
    hl_conflating_seats_free(outlet);
    free(outlet);
}

void hl_inlet_free(hl_inlet *inlet)
{
    hl_inlet **at = &inlet->partition->inlets[inlet->priority];
    while (*at != inlet)
        at = &(*at)->next_of_lane;
    *at = inlet->next_of_lane;
    drop_home(inlet->home);
    free(inlet->conflated);
    free(inlet->hold);
    free(inlet->gather);
    free(inlet);
}

uint64_t hl_inlet_pending(const hl_inlet *inlet)
{
    if (inlet->conflated != NULL)
        return hl_conflate_pending_puts(inlet->conflated->table);
    /* Slot by slot, not by peeking: a claim that was never committed hides what lies behind it from
     * the consumer, and that is to be counted too. */
    const uint64_t from = hl_ring_consumed(&inlet->consumer);
    uint64_t pending = 0;
    for (uint64_t position = from; position - from <= inlet->mask; position++) {
        const hl_event *const event =
            (const hl_event *)(const void *)(inlet->slots +
                                             (position & inlet->mask) * inlet->slot_size_bytes);
        /* READY: (ring.h) acquire, so that the flags are those of this stamp. */
        if (hl_load_acquire_u64(&event->stamp) == position + 1)
            pending += (event->flags & HL_EVENT_PADDING) == 0;
    }
    return pending;
}

static const hl_door_counts *cell_of(const hl_outlet *outlet, uint32_t index)
{
    return outlet->kind == HL_OUTLET_SHARED ? &outlet->cells[index].counts : &outlet->counts;
}

hl_door_counts hl_outlet_counts(const hl_outlet *outlet)
{
    if (outlet->is_settled)
        return outlet->settled;
    hl_door_counts sum = {0};
    const uint32_t cells = outlet->kind == HL_OUTLET_SHARED ? HL_SHARED_CELLS : 1;
    /* DRAINED: acquire keeps the loads in their order: the ends before the beginnings, over all
     * cells, since a claim may begin in one and end in another: no end is then seen without its
     * beginning. */
    for (uint32_t i = 0; i < cells; i++) {
        const hl_door_counts *const counts = cell_of(outlet, i);
        sum.committed += hl_load_acquire_u64(&counts->committed); /* DRAINED: ends */
        sum.aborted += hl_load_acquire_u64(&counts->aborted);     /* DRAINED: ends */
    }
    for (uint32_t i = 0; i < cells; i++) {
        const hl_door_counts *const counts = cell_of(outlet, i);
        sum.finishing +=
            hl_load_acquire_u64(&counts->finishing);            /* DRAINED: beginnings, and ends */
        sum.rejected += hl_load_acquire_u64(&counts->rejected); /* DRAINED: ends */
        sum.throttled += hl_load_acquire_u64(&counts->throttled); /* DRAINED: ends */
    }
    for (uint32_t i = 0; i < cells; i++) {
        const hl_door_counts *const counts = cell_of(outlet, i);
        sum.attempts += hl_load_acquire_u64(&counts->attempts); /* DRAINED: beginnings */
        sum.closed += hl_load_relaxed_u64(&counts->closed);     /* COUNTED: a word of its own */
    }
    sum.attempts += sum.closed;
    sum.rejected += sum.closed;
    return sum;
}

#define SETTLE_POLLS  1000
#define SETTLE_NAPS   1000
#define SETTLE_NAP_NS 100000

uint64_t hl_outlet_settle(hl_outlet *outlet)
{
    const struct timespec nap = {0, SETTLE_NAP_NS};
    hl_door_counts best = hl_outlet_counts(outlet);
    /* A call that began in time is to be waited for: the reading with the least under way tells
     * what is left. */
    for (uint32_t looks = 0; looks < SETTLE_POLLS + SETTLE_NAPS; looks++) {
        const uint64_t open = hl_door_open(&best);
        if (hl_door_finishing(&best) == 0 && (open == 0 || looks == SETTLE_POLLS))
            break;
        if (looks >= SETTLE_POLLS)
            nanosleep(&nap, NULL);
        const hl_door_counts now = hl_outlet_counts(outlet);
        if (hl_door_open(&now) + hl_door_finishing(&now) <= open + hl_door_finishing(&best))
            best = now;
    }
    const uint64_t open = outlet->kind == HL_OUTLET_HANDLER ? 0 : hl_door_open(&best);
    best.finishing += open;
    best.aborted += open;
    outlet->settled = best;
    outlet->is_settled = true;
    return open;
}
