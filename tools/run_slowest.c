#include "run_slowest.h"

#include <inttypes.h>

/* The time of a stage, or 0 where it is not known or not in order. */
static uint64_t from_to(uint64_t from_ns, uint64_t to_ns)
{
    return from_ns != 0 && to_ns > from_ns ? to_ns - from_ns : 0;
}

static void print_number(uint64_t number, FILE *stream)
{
    if (number == UINT64_MAX)
        fprintf(stream, " %10s", "-");
    else
        fprintf(stream, " %10" PRIu64, number);
}

static void print_one(const char *domain, const hl_slow_event *event, FILE *stream)
{
    fprintf(stream, "  %-11s %13" PRIu64 " %12" PRIu64, domain, event->waited_ns,
            from_to(event->began_ns, event->ended_ns));
    print_number(event->involuntary_switches, stream);
    print_number(event->migrations, stream);
    fprintf(stream, " %4" PRId32 "  %-16s %" PRIu32 ":%" PRIu64 " %s, key %" PRIu64 "\n",
            event->cpu, event->thread, hl_id_partition(event->event_id),
            hl_id_sequence(event->event_id), event->topic, event->key);
}

void run_slowest_print(const hl_bus *bus, FILE *stream)
{
    bool is_headed = false;
    const char *domain;
    for (uint32_t index = 0; (domain = hl_bus_domain(bus, index)) != NULL; index++) {
        hl_slow_event worst;
        uint32_t count;
        if (hl_bus_slowest(bus, domain, &worst, 1, &count) != HL_OK || count == 0)
            continue;
        if (!is_headed)
            fprintf(stream, "\nSlowest     waited, ns  handlers, ns   put aside   migrated  cpu  "
                            "thread           event (all with --json)\n");
        is_headed = true;
        print_one(domain, &worst, stream);
    }
}

static json_t *number(uint64_t value)
{
    return value != UINT64_MAX ? json_integer((json_int_t)value) : json_null();
}

static json_t *event_json(const hl_slow_event *event)
{
    return json_pack(
        "{s:o, s:I, s:I, s:s, s:o, s:i, s:I, s:o, s:I, s:I, s:I, s:s, s:i, s:I, s:o, s:o}", "id",
        number(event->event_id), "partition", (json_int_t)hl_id_partition(event->event_id),
        "sequence", (json_int_t)hl_id_sequence(event->event_id), "topic", event->topic, "key",
        json_integer((json_int_t)event->key), "priority", event->priority, "published_ns",
        (json_int_t)event->published_ns, "taken_ns",
        event->taken_ns != 0 ? number(event->taken_ns) : json_null(), "began_ns",
        (json_int_t)event->began_ns, "ended_ns", (json_int_t)event->ended_ns, "waited_ns",
        (json_int_t)event->waited_ns, "thread", event->thread, "cpu", event->cpu, "window_ns",
        (json_int_t)event->window_ns, "involuntary_switches", number(event->involuntary_switches),
        "migrations", number(event->migrations));
}

static json_t *domain_json(const hl_bus *bus, const char *domain)
{
    hl_slow_event events[HL_SLOWEST_MOST];
    uint32_t count = 0;
    json_t *const array = json_array();
    int bad = hl_bus_slowest(bus, domain, events, HL_SLOWEST_MOST, &count) != HL_OK;
    for (uint32_t i = 0; i < count; i++)
        bad |= json_array_append_new(array, event_json(&events[i])) != 0;
    if (!bad)
        return array;
    json_decref(array);
    return NULL;
}

json_t *run_slowest_json(const hl_bus *bus)
{
    json_t *const domains = json_object();
    const char *domain;
    int bad = 0;
    for (uint32_t index = 0; (domain = hl_bus_domain(bus, index)) != NULL; index++)
        bad |= json_object_set_new(domains, domain, domain_json(bus, domain)) != 0;
    if (!bad)
        return domains;
    json_decref(domains);
    return NULL;
}
