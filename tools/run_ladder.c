#include "run_ladder.h"

#include <inttypes.h>
#include <string.h>

/* On the thread of the domain `system`. */
static hl_status on_throttle(const hl_event *event, hl_publisher *out, void *context)
{
    (void)out;
    run_ladder *const ladder = context;
    if (event->payload_size != sizeof *ladder->changes)
        return HL_REJECT;
    if (ladder->count < RUN_LADDER_CHANGES)
        memcpy(&ladder->changes[ladder->count++], hl_payload(event), sizeof *ladder->changes);
    else
        ladder->more++;
    return HL_OK;
}

hl_status run_ladder_watch(run_ladder *ladder, hl_bus *bus, hl_error *error)
{
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    options.name = "ladder";
    const hl_status status =
        hl_subscribe(bus, "system.throttle", on_throttle, ladder, &options, NULL);
    if (status != HL_OK)
        hl_bus_error(bus, error);
    ladder->start_ns = hl_bus_now_ns(bus);
    return status;
}

static double seconds(const run_ladder *ladder, const hl_system_throttle *change)
{
    return change->at_ns > ladder->start_ns ? (double)(change->at_ns - ladder->start_ns) / 1e9
                                            : 0.0;
}

void run_ladder_print(const run_ladder *ladder, FILE *stream)
{
    fprintf(stream, "\nLadder%s\n", ladder->count == 0 ? "         calm all along" : "");
    for (uint32_t i = 0; i < ladder->count; i++) {
        const hl_system_throttle *const c = &ladder->changes[i];
        fprintf(stream,
                "  %9.3f s  %s.%" PRIu32 "  step %" PRIu32 " (%s) -> %" PRIu32
                " (%s), %s: load %" PRIu32 " %%, lane %" PRIu64 "/%" PRIu64 ", order delay %" PRIu64
                " us, busy %" PRIu32 " %%, %" PRIu64 " events/s\n",
                seconds(ladder, c), c->domain, c->shard, c->step_before,
                hl_rung_name((hl_rung)c->rung_before), c->step, hl_rung_name((hl_rung)c->rung),
                hl_load_cause_name((hl_load_cause)c->cause), c->load_permille / 10, c->lane_used,
                c->lane_slots, c->order_delay_ns / 1000, c->busy_permille / 10, c->arrivals_per_s);
    }
    if (ladder->more != 0)
        fprintf(stream, "  and %" PRIu64 " more\n", ladder->more);
}

static json_t *change_json(const run_ladder *ladder, const hl_system_throttle *c)
{
    return json_pack("{s:f, s:s, s:I, s:I, s:I, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "at_s",
                     seconds(ladder, c), "domain", c->domain, "shard", (json_int_t)c->shard,
                     "step_before", (json_int_t)c->step_before, "step", (json_int_t)c->step, "rung",
                     hl_rung_name((hl_rung)c->rung), "cause",
                     hl_load_cause_name((hl_load_cause)c->cause), "load_permille",
                     (json_int_t)c->load_permille, "busy_permille", (json_int_t)c->busy_permille,
                     "lane_used", (json_int_t)c->lane_used, "lane_slots", (json_int_t)c->lane_slots,
                     "order_delay_ns", (json_int_t)c->order_delay_ns, "arrivals_per_s",
                     (json_int_t)c->arrivals_per_s);
}

json_t *run_ladder_json(const run_ladder *ladder)
{
    json_t *const changes = json_array();
    for (uint32_t i = 0; changes != NULL && i < ladder->count; i++) {
        if (json_array_append_new(changes, change_json(ladder, &ladder->changes[i])) != 0) {
            json_decref(changes);
            return NULL;
        }
    }
    return changes;
}
