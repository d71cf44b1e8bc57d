#include "run_parts.h"

#include <inttypes.h>
#include <time.h>

#include "base/clock.h"
#include "run_journal.h"

#define NAP_NS (HL_MILLISECOND / 2)

/* ---- recovery ---- */

static hl_status recover(void *context, hl_error *error)
{
    const run_recovery *const recovery = context;
    hl_journal_reader_options reading = HL_JOURNAL_READER_OPTIONS_INIT;
    reading.directory = recovery->directory;
    reading.salvage = recovery->salvage;
    return run_journal_rebuild(recovery->bus, &reading, error);
}

hl_status run_recovery_add(run_recovery *recovery, hl_error *error)
{
    hl_component_options options = HL_COMPONENT_OPTIONS_INIT;
    options.needs = "journal, strategy";
    options.start = recover;
    return hl_component_add(recovery->bus, "recovery", &options, recovery, error);
}

/* ---- coming to rest ---- */

/* What is in a lane, or waits or runs in a subscription. */
static uint64_t under_way(hl_bus *bus, uint64_t *ret_dispatched)
{
    uint64_t sum = 0, dispatched = 0;
    const char *name;
    for (uint32_t i = 0; (name = hl_bus_domain(bus, i)) != NULL; i++) {
        hl_lane_stats lane;
        if (hl_bus_lane_stats(bus, name, -1, &lane) != HL_OK)
            continue;
        sum += lane.pending + lane.running;
        dispatched += lane.dispatched;
    }
    hl_subscription_stats s;
    for (uint32_t i = 0; hl_bus_subscription_stats(bus, i, &s) == HL_OK; i++)
        sum += s.queued + s.in_retry + s.held + s.running;
    *ret_dispatched = dispatched;
    return sum;
}

static void let_move(hl_bus *bus, hl_threads threads)
{
    const struct timespec nap = {.tv_nsec = (long)NAP_NS};
    if (threads == HL_THREADS_OWN)
        nanosleep(&nap, NULL);
    else
        for (uint32_t i = 0; i < hl_bus_executor_count(bus); i++)
            hl_executor_turn(hl_bus_executor(bus, i), 0);
}

bool run_settle(hl_bus *bus, hl_threads threads, uint64_t timeout_ns)
{
    const uint64_t until_ns = hl_monotonic_ns() + timeout_ns;
    uint64_t before = UINT64_MAX, dispatched;
    /* Twice the same: an event between a lane and what it causes is in neither for a moment. */
    while (under_way(bus, &dispatched) != 0 || dispatched != before) {
        if (hl_monotonic_ns() >= until_ns)
            return false;
        before = dispatched;
        let_move(bus, threads);
    }
    return true;
}

/* ---- the report ---- */

void run_parts_print(hl_bus *bus, FILE *stream)
{
    hl_component_status s;
    fprintf(stream, "\nComponents       start, us    stop, us  state    health\n");
    for (uint32_t i = 0; hl_component_status_read(bus, i, &s) == HL_OK; i++)
        fprintf(stream, "  %-12s %11.1f %11.1f  %-8s %s%s%s\n", s.name, (double)s.start_ns / 1e3,
                (double)s.stop_ns / 1e3, hl_component_state_name(s.state), hl_health_name(s.health),
                s.reason[0] != '\0' ? ": " : "", s.reason);
}

json_t *run_parts_json(hl_bus *bus)
{
    json_t *const parts = json_object();
    hl_component_status s;
    for (uint32_t i = 0; parts != NULL && hl_component_status_read(bus, i, &s) == HL_OK; i++) {
        json_t *const part =
            json_pack("{s:s, s:I, s:I, s:s, s:s}", "state", hl_component_state_name(s.state),
                      "start_ns", (json_int_t)s.start_ns, "stop_ns", (json_int_t)s.stop_ns,
                      "health", hl_health_name(s.health), "reason", s.reason);
        if (json_object_set_new(parts, s.name, part) != 0) {
            json_decref(parts);
            return NULL;
        }
    }
    return parts;
}
