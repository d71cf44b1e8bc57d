#include "bus/due.h"

#include "bus/bus.h"
#include "manual_bus.h"

/* A source that counts how often it was served. */
typedef struct source {
    hl_due due; /* first */
    uint32_t served;
    uint32_t events; /* each time */
} source;

static uint32_t serve_and_stay(hl_partition *partition, hl_due *due, uint64_t now_ns)
{
    source *const self = (source *)(void *)due;
    (void)partition, (void)now_ns;
    self->served++;
    return self->events;
}

static uint32_t serve_and_close(hl_partition *partition, hl_due *due, uint64_t now_ns)
{
    hl_due_close(partition, due);
    return serve_and_stay(partition, due, now_ns);
}

static bool always(hl_partition *partition, hl_due *due)
{
    (void)partition, (void)due;
    return true;
}

static source one_of(uint64_t due_ns, bool (*is_ready)(hl_partition *partition, hl_due *due))
{
    return (source){.due = {.due_ns = due_ns,
                            .level = HL_NORMAL,
                            .serve = is_ready != NULL ? serve_and_stay : serve_and_close,
                            .is_ready = is_ready},
                    .events = 1};
}

Test(due, a_source_that_always_has_something_keeps_no_other_waiting)
{
    hl_bus *const bus = manual_start(NULL);
    hl_partition *const partition = &bus->partitions[0];
    source first = one_of(UINT64_MAX, always), second = one_of(UINT64_MAX, always);
    source timed = one_of(manual_now_ns, NULL);
    hl_due_open(partition, &timed.due);
    hl_due_open(partition, &first.due);
    hl_due_open(partition, &second.due);
    turn(bus, "market_data", 9);
    cr_assert_eq(timed.served, 1);
    cr_assert_eq(first.served, 4);
    cr_assert_eq(second.served, 4);
    hl_due_close(partition, &first.due);
    hl_due_close(partition, &second.due);
    manual_stop(bus);
}

Test(due, what_has_nothing_to_do_after_all_costs_no_other_its_turn)
{
    hl_bus *const bus = manual_start(NULL);
    hl_partition *const partition = &bus->partitions[0];
    source idle = one_of(0, always);
    idle.events = 0;
    source timed = one_of(manual_now_ns, NULL), later = one_of(manual_now_ns + 1, NULL);
    hl_due_open(partition, &later.due);
    hl_due_open(partition, &timed.due);
    hl_due_open(partition, &idle.due);
    turn(bus, "market_data", 1);
    cr_assert_eq(timed.served, 1, "at the same look");
    cr_assert_eq(idle.served, 1);
    cr_assert_eq(later.served, 0, "not due yet");
    hl_due_close(partition, &idle.due);
    manual_now_ns++;
    turn(bus, "market_data", 1);
    cr_assert_eq(later.served, 1);
    manual_stop(bus);
}
