#include "fault/faults.h"

#include <hotlane/crash.h>

#include "base/backtrace.h"
#include "base/error.h"
#include "fault/guard.h"
#include "fault/redrive.h"

/* Of the ring to the dead letters: 8 MiB. It is emptied each 10 ms, so that three million events a
 * second may be given up before one finds no room. */
#define LETTER_SLOTS  32768u
#define TICKS_PER_ASK 10u /* components, and letters that wait to be redriven: each 100 ms */

/* ---- dead letters ---- */

hl_status hl_faults_post(hl_faults *faults, const hl_dead_post *post, const hl_event *event)
{
    return faults->letters != NULL ? hl_dead_letters_post(faults->letters, post, event)
                                   : HL_NOT_FOUND;
}

void hl_faults_drain(hl_faults *faults)
{
    hl_error ignored; /* what the file refused stays in memory; hl_dlq_stats counts it */
    if (faults->letters == NULL)
        return;
    hl_redrive_reap(faults);
    if (hl_dead_letters_pending(faults->letters))
        hl_dead_letters_drain(faults->letters, &ignored);
}

hl_dlq *hl_bus_dlq(hl_bus *bus)
{
    return bus->faults->dlq;
}

static uint32_t largest_slot_bytes(const hl_bus *bus)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < bus->config.domain_count; i++)
        if (bus->domains[i].config.slot_size_bytes > most)
            most = bus->domains[i].config.slot_size_bytes;
    return most;
}

static hl_status open_letters(hl_faults *faults, hl_error *error)
{
    const hl_config *const config = &faults->bus->config;
    hl_dlq_options options = HL_DLQ_OPTIONS_INIT;
    options.path = faults->bus->is_sketch ? NULL : config->dlq_path;
    options.memory_bytes = config->dlq_memory_bytes;
    if (config->dlq_memory_bytes == 0)
        return HL_OK;
    hl_status status = hl_dlq_open(&options, &faults->dlq, error);
    if (status == HL_OK)
        status = hl_dead_letters_create(faults->dlq, LETTER_SLOTS, largest_slot_bytes(faults->bus),
                                        &faults->letters, error);
    if (status == HL_OK)
        hl_dead_letters_set_redriver(faults->letters, hl_redrive, faults);
    return status;
}

static hl_status intern(const hl_faults *faults, const char *name, uint32_t *ret_number)
{
    return faults->letters != NULL ? hl_dead_letters_intern(faults->letters, name, ret_number)
                                   : HL_OK;
}

static hl_status name_topic(hl_bus *bus, uint32_t topic, const char *name)
{
    return intern(bus->faults, name, &bus->faults->topic_names[topic]);
}

static hl_status name_source(hl_bus *bus, uint16_t source, const char *name)
{
    /* Partitions' names come before the parts are made: see create. */
    return bus->faults != NULL ? intern(bus->faults, name, &bus->faults->source_names[source])
                               : HL_OK;
}

/* Letters that someone asked to be redriven, before this bus was there or when it had no room. */
static void redrive_asked(const hl_faults *faults)
{
    hl_dlq_stats stats;
    hl_error ignored;
    hl_dlq_stats_get(faults->dlq, &stats);
    if (stats.asked == 0)
        return;
    hl_dlq_filter asked = HL_DLQ_FILTER_INIT;
    asked.state = HL_DEAD_ASKED;
    hl_dlq_redrive(faults->dlq, &asked, NULL, &ignored);
}

/* ---- the part ---- */

static hl_status create(hl_bus *bus, hl_error *error)
{
    hl_faults *const faults = hl_allocate(1, sizeof *faults);
    bus->faults = faults;
    if (faults == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory for a bus");
    faults->bus = bus;
    faults->topic_names = calloc(bus->config.max_topics, sizeof *faults->topic_names);
    faults->source_names = calloc(HL_SOURCES_MAX + 1, sizeof *faults->source_names);
    faults->components = hl_components_make(bus);
    if (faults->components == NULL || faults->topic_names == NULL || faults->source_names == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory for a bus");
    hl_status status = open_letters(faults, error);
    for (uint32_t i = 0; status == HL_OK && i < bus->partition_count; i++) {
        hl_partition *const partition = &bus->partitions[i];
        partition->ward = hl_ward_make(partition, bus->config.retry_events);
        status = name_source(bus, partition->out->source, partition->out->name);
        if (partition->ward == NULL || status != HL_OK)
            status =
                hl_error_set(error, HL_NO_MEMORY, "no memory for retry_events: %u on partition %s",
                             bus->config.retry_events, partition->out->name);
    }
    if (status == HL_OK && (faults->watchdog = hl_watchdog_make(bus)) == NULL)
        status = hl_error_set(error, HL_NO_MEMORY, "no memory for the watchdog");
    if (status == HL_OK && bus->config.stall_backtrace && !hl_backtrace_enable())
        status = hl_error_set(error, HL_SYSTEM,
                              "stall_backtrace: the signal SIGRTMAX-3 has a handler already: leave "
                              "it to hotlane, or the option out");
    bus->check_guard = hl_guard_check;
    bus->make_guard = hl_guard_make;
    bus->make_async_guard = hl_guard_make_async;
    return status;
}

static void tick(hl_bus *bus, uint64_t now_ns)
{
    hl_faults *const faults = bus->faults;
    hl_watchdog_look(faults->watchdog, bus, now_ns);
    hl_faults_drain(faults);
    if (++faults->ticks % TICKS_PER_ASK != 0)
        return;
    hl_components_ask(faults->components);
    if (faults->letters != NULL)
        redrive_asked(faults);
}

static void stopped(hl_bus *bus)
{
    hl_error ignored; /* told by hl_dlq_stats, and again when it is closed */
    hl_faults_drain(bus->faults);
    if (bus->faults->dlq != NULL)
        hl_dlq_sync(bus->faults->dlq, &ignored);
}

static void ending(hl_bus *bus)
{
    if (bus->faults != NULL && bus->faults->components != NULL)
        hl_components_stop(bus);
}

static void destroy(hl_bus *bus)
{
    hl_faults *const faults = bus->faults;
    for (uint32_t i = 0; bus->partitions != NULL && i < bus->partition_count; i++)
        hl_ward_free(bus->partitions[i].ward);
    if (faults == NULL)
        return;
    hl_components_free(faults->components);
    hl_crash_report_disable(bus);
    hl_watchdog_free(faults->watchdog);
    if (faults->letters != NULL) {
        hl_faults_drain(faults);
        hl_dead_letters_set_redriver(faults->letters, NULL, NULL);
        hl_dead_letters_destroy(faults->letters);
    }
    hl_error ignored; /* nobody is there any more to be told */
    hl_dlq_close(faults->dlq, &ignored);
    free(faults->topic_names);
    free(faults->source_names);
    free(faults);
    bus->faults = NULL;
}

const hl_part hl_faults_part = {.create = create,
                                .tick = tick,
                                .name_topic = name_topic,
                                .name_source = name_source,
                                .stopped = stopped,
                                .ending = ending,
                                .destroy = destroy};
