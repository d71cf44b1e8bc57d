#include "bus/conflating.h"

#include "bus/bus.h"
#include "bus/hold.h"
#include "bus/ready.h"
#include "config/domains.h"

#define HELD 128 /* values out at one time: a run, and then some */

_Static_assert(HELD >= HL_RUN_MAX, "a run's values are given back when it ends");

bool hl_lane_conflates(const hl_partition *partition, hl_priority priority)
{
    return (hl_domain_conflates(&partition->domain->config) & 1u << priority) != 0;
}

/* The lane's end of the table, if it is made. */
static hl_inlet *find_inlet(const hl_partition *partition, hl_priority priority)
{
    hl_inlet *inlet = partition->inlets[priority];
    while (inlet != NULL && inlet->conflated == NULL)
        inlet = inlet->next_of_lane;
    return inlet;
}

static hl_inlet *make_inlet(hl_partition *partition, hl_priority priority, hl_ring_memory *home,
                            hl_conflate *table)
{
    hl_inlet *const inlet = hl_allocate(1, sizeof *inlet);
    hl_conflate_consumer *const consumer = hl_allocate(1, sizeof *consumer);
    if (inlet == NULL || consumer == NULL || !hl_hold_make(inlet) ||
        !hl_lane_make_latency(&partition->lanes[priority])) {
        if (inlet != NULL)
            free(inlet->hold);
        free(inlet);
        free(consumer);
        return NULL;
    }
    hl_conflate_consumer_open(table, consumer);
    inlet->conflated = consumer;
    inlet->partition = partition;
    inlet->priority = priority;
    inlet->group = partition->executor->next_group[priority]++ % HL_GROUPS;
    inlet->home = home;
    home->rings_in_use = 1;
    inlet->link = (hl_command){NULL, HL_COMMAND_LINK_INLET, inlet};
    inlet->retire = (hl_command){NULL, HL_COMMAND_RETIRE_INLET, inlet};
    return inlet;
}

/* The table of a lane, with the partition's end of it. */
static hl_inlet *make_table(hl_bus *bus, hl_partition *partition, hl_priority priority)
{
    const hl_domain_config *const domain = &partition->domain->config;
    const uint32_t seats = bus->config.max_publishers + bus->executor_count + bus->partition_count +
                           HL_CONFLATING_SHARED_SEATS;
    const hl_conflate_options options = {
        .max_keys = domain->conflate_keys,
        .slot_size = domain->slot_size_bytes,
        .publishers = seats < HL_CONFLATE_MAX_PUBLISHERS ? seats : HL_CONFLATE_MAX_PUBLISHERS,
        .held = HELD,
        .start_position = bus->config.ring_start_position};
    const hl_memory_options memory = {.numa_node = partition->numa_node,
                                      .want_huge_pages = bus->config.huge_pages,
                                      .want_lock = bus->config.lock_memory,
                                      .dont_fork = true};
    const size_t bytes = hl_conflate_size_bytes(&options);
    hl_error error;
    hl_ring_memory *const home = hl_allocate(1, sizeof *home);
    if (home == NULL || hl_memory_map(bytes, &memory, &home->memory, &error) != HL_OK) {
        free(home);
        return NULL;
    }
    hl_conflate *const table = hl_conflate_init(home->memory.address, bytes, &options, NULL);
    hl_inlet *const inlet = table != NULL ? make_inlet(partition, priority, home, table) : NULL;
    if (inlet == NULL) {
        hl_memory_unmap(&home->memory);
        free(home);
        return NULL;
    }
    inlet->next_of_lane = partition->inlets[priority];
    partition->inlets[priority] = inlet;
    hl_executor_command(partition->executor, &inlet->link);
    return inlet;
}

/* Sits the outlet down at its lane's table. */
static hl_status take_seats(hl_bus *bus, hl_outlet *outlet, uint32_t seats)
{
    hl_partition *const partition = outlet->partition;
    hl_inlet *inlet = find_inlet(partition, outlet->priority);
    if (inlet == NULL)
        inlet = make_table(bus, partition, outlet->priority);
    outlet->seats = hl_allocate(seats, sizeof *outlet->seats);
    if (inlet == NULL || outlet->seats == NULL)
        return hl_bus_fail(bus, HL_NO_MEMORY,
                           "domain %s: no memory for a conflating lane of %u keys of %u bytes",
                           partition->domain->name, partition->domain->config.conflate_keys,
                           partition->domain->config.slot_size_bytes);
    for (; outlet->seat_count < seats; outlet->seat_count++) {
        const hl_status status =
            hl_conflate_publisher_open(inlet->conflated->table, outlet->seat_count,
                                       &outlet->seats[outlet->seat_count].publisher);
        if (status != HL_OK)
            return hl_bus_fail(bus, HL_LIMIT,
                               "domain %s: every place at a conflating lane is taken: raise "
                               "max_publishers",
                               partition->domain->name);
    }
    /* Whoever publishes there, on this thread or another, announces it in the same word. */
    outlet->is_local = false;
    outlet->announced = &partition->executor->announced[outlet->priority];
    outlet->announced_bit = (uint64_t)1 << inlet->group;
    return HL_OK;
}

hl_status hl_conflating_seat_make(hl_bus *bus, hl_outlet *outlet)
{
    return take_seats(bus, outlet, 1);
}

hl_status hl_conflating_outlet_make(hl_bus *bus, hl_lane_request *request)
{
    hl_outlet *const outlet = hl_allocate(1, sizeof *outlet);
    if (outlet == NULL)
        return hl_bus_fail(bus, HL_NO_MEMORY, "no memory for a lane of domain %s",
                           request->partition->domain->name);
    hl_outlet_init(outlet, bus, request);
    const hl_status status =
        take_seats(bus, outlet, request->kind == HL_OUTLET_SHARED ? HL_CONFLATING_SHARED_SEATS : 1);
    if (status != HL_OK) {
        hl_conflating_seats_free(outlet);
        free(outlet);
        return status;
    }
    request->outlet = outlet;
    return HL_OK;
}

void hl_conflating_seats_free(hl_outlet *outlet)
{
    for (uint32_t i = 0; i < outlet->seat_count; i++)
        hl_conflate_publisher_close(&outlet->seats[i].publisher);
    free(outlet->seats);
}

/* ---- claim, commit, abort ---- */

/* The number of a seat that is free and now taken; seat_count: none is. */
static uint32_t sit_down(hl_outlet *outlet)
{
    if (outlet->kind != HL_OUTLET_SHARED) {
        if (outlet->seats[0].taken != 0)
            return outlet->seat_count;
        outlet->seats[0].taken = 1;
        return 0;
    }
    const uint32_t first = hl_thread_mix(HL_CONFLATING_SHARED_SEATS);
    for (uint32_t i = 0; i < outlet->seat_count; i++) {
        const uint32_t seat = (first + i) % outlet->seat_count;
        uint32_t empty = 0;
        /* SEATED: acquire, the former one is done with it. */
        if (hl_compare_exchange_acq_rel_u32(&outlet->seats[seat].taken, &empty, 1))
            return seat;
    }
    return outlet->seat_count;
}

static void stand_up(hl_outlet *outlet, uint32_t seat)
{
    /* SEATED: release, this thread is done with it. */
    hl_store_release_u32(&outlet->seats[seat].taken, 0);
}

hl_status hl_conflating_claim(hl_outlet *outlet, uint32_t topic, uint64_t key, uint32_t *ret_seat,
                              hl_event **ret_event)
{
    const uint32_t seat = sit_down(outlet);
    if (seat == outlet->seat_count)
        return HL_BUSY;
    hl_conflating_seat *const at = &outlet->seats[seat];
    void *cell = NULL;
    const hl_status status = hl_conflate_try_claim(&at->publisher, topic, key, &at->place, &cell);
    if (status != HL_OK) {
        stand_up(outlet, seat);
        return status;
    }
    *ret_seat = seat;
    *ret_event = cell;
    return HL_OK;
}

void hl_conflating_tell(hl_outlet *outlet)
{
    hl_announce(outlet);
    if (outlet->sleeper != NULL)
        hl_sleeper_notify(outlet->sleeper);
}

void hl_conflating_commit(hl_outlet *outlet, uint32_t seat)
{
    hl_conflating_seat *const at = &outlet->seats[seat];
    const bool replaced = hl_conflate_commit(&at->publisher, at->place);
    stand_up(outlet, seat);
    if (!replaced)
        hl_conflating_tell(outlet);
}

void hl_conflating_abort(hl_outlet *outlet, uint32_t seat)
{
    stand_up(outlet, seat);
}

hl_status hl_conflating_admit(hl_outlet *outlet, uint32_t topic, uint64_t key)
{
    hl_conflate_place ignored;
    const hl_status status = hl_conflate_admit(&outlet->seats[0].publisher, topic, key, &ignored);
    return status == HL_OK ? HL_BUSY : status;
}

hl_status hl_conflating_put(hl_outlet *outlet, const hl_event *event)
{
    bool replaced = false;
    const hl_status status =
        hl_conflate_put(&outlet->seats[0].publisher, event->topic, event->key, event,
                        (uint32_t)sizeof *event + event->payload_size, &replaced);
    if (status == HL_OK && !replaced)
        hl_conflating_tell(outlet);
    return status;
}
