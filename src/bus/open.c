/*
 * Publishers come and go: which lanes they use, their rings, their names. (What they do in between
 * is publisher.c.)
 */
#include <search.h>
#include <stdio.h>

#include "bus/bus.h"
#include "bus/gather.h"
#include "config/domains.h"

/* ---- what it uses ---- */

/* The priorities (bit n: priority n) that a topic's events may have. */
static uint32_t topic_priorities(const hl_topic_entry *topic)
{
    return topic->options.any_priority ? (1u << HL_PRIORITIES) - 1
                                       : 1u << (unsigned)topic->options.priority;
}

/* The domain's own, and those of its topics so far. */
static uint32_t domain_priorities(const hl_bus *bus, const hl_domain *domain)
{
    uint32_t priorities = 1u << domain->config.priority;
    for (uint32_t i = 0; i < bus->topic_count; i++)
        if (bus->entries[i]->domain == domain)
            priorities |= topic_priorities(bus->entries[i]);
    return priorities;
}

/* "CRITICAL|HIGH"; 0: it has a name that is none. */
static uint32_t parse_priorities(const char *text, size_t bytes)
{
    uint32_t priorities = 0;
    const char *const end = text + bytes;
    for (;;) {
        const size_t length = strcspn(text, "|, ");
        const int found = hl_priority_find((hl_name){text, length});
        if (found < 0)
            return 0;
        priorities |= 1u << found;
        text += length;
        if (text >= end)
            return priorities;
        text++;
    }
}

/* Fills `ret_uses`, a set of priorities for each domain. */
static hl_status parse_uses(hl_bus *bus, const char *publisher, const char *uses,
                            uint32_t *ret_uses)
{
    if (uses == NULL) {
        for (uint32_t i = 0; i < bus->config.domain_count; i++)
            ret_uses[i] = domain_priorities(bus, &bus->domains[i]);
        return HL_OK;
    }
    bool any = false;
    hl_name item;
    for (const char *cursor = uses; hl_domain_list_next(&cursor, &item);) {
        const char *const colon = memchr(item.text, ':', item.bytes);
        const size_t name_bytes = colon != NULL ? (size_t)(colon - item.text) : item.bytes;
        const hl_domain *const domain = hl_bus_find_domain(bus, item.text, name_bytes);
        if (domain == NULL)
            return hl_bus_fail(bus, HL_UNKNOWN_DOMAIN,
                               "publisher %s: uses \"%s\": \"%.*s\" names no domain of this bus",
                               publisher, uses, (int)name_bytes, item.text);
        const uint32_t priorities = colon == NULL
                                        ? domain_priorities(bus, domain)
                                        : parse_priorities(colon + 1, item.bytes - name_bytes - 1);
        if (priorities == 0)
            return hl_bus_fail(bus, HL_INVALID,
                               "publisher %s: uses \"%s\": after ':' name CRITICAL, HIGH, NORMAL, "
                               "LOW or BACKGROUND, split by '|'",
                               publisher, uses);
        ret_uses[domain->index] |= priorities;
        any = true;
    }
    if (!any)
        return hl_bus_fail(bus, HL_INVALID,
                           "publisher %s: uses \"%s\" names no domain: give NULL for every one",
                           publisher, uses);
    return HL_OK;
}

/* ---- names ---- */

typedef struct source_name {
    char *name;
    uint16_t number;
} source_name;

static int compare_sources(const void *a, const void *b)
{
    return strcmp(((const source_name *)a)->name, ((const source_name *)b)->name);
}

static void free_source(void *source)
{
    free(((source_name *)source)->name);
    free(source);
}

uint16_t hl_bus_source(hl_bus *bus, const char *name)
{
    hl_control *const control = bus->control;
    source_name wanted = {.name = (char *)(uintptr_t)name};
    source_name **const found = tfind(&wanted, &control->source_names, compare_sources);
    if (found != NULL)
        return (*found)->number;
    if (control->source_count >= HL_SOURCES_MAX)
        return 0;
    source_name *const source = malloc(sizeof *source);
    if (source == NULL || (source->name = strdup(name)) == NULL ||
        tsearch(source, &control->source_names, compare_sources) == NULL) {
        if (source != NULL)
            free(source->name);
        free(source);
        return 0;
    }
    source->number = (uint16_t)++control->source_count;
    for (const hl_part *const *part = hl_parts; *part != NULL; part++)
        if ((*part)->name_source != NULL &&
            (*part)->name_source(bus, source->number, source->name) != HL_OK) {
            control->source_count--;
            tdelete(source, &control->source_names, compare_sources);
            free_source(source);
            return 0;
        }
    /* SOURCE: release, for hl_source_name, which takes no lock. */
    hl_store_release_ptr((void **)(void *)&bus->sources[source->number], source->name);
    return source->number;
}

void hl_bus_free_sources(hl_bus *bus)
{
    tdestroy(bus->control->source_names, free_source);
}

const char *hl_source_name(const hl_bus *bus, uint16_t source)
{
    /* SOURCE: acquire, the name is whole. */
    return hl_load_acquire_ptr((void *const *)(const void *)&bus->sources[source]);
}

/* Partitions publish too, under their own names. */
static bool name_is_open(const hl_bus *bus, const char *name)
{
    for (uint32_t i = 0; i < bus->partition_count; i++)
        if (strcmp(bus->partitions[i].out->name, name) == 0)
            return true;
    for (uint32_t i = 0; i < bus->executor_count; i++)
        if (bus->executors[i].worker != NULL && strcmp(bus->executors[i].name, name) == 0)
            return true;
    for (const hl_publisher *p = bus->control->publishers; p != NULL; p = p->next)
        if (strcmp(p->name, name) == 0)
            return true;
    for (const hl_shared_publisher *p = bus->control->shared_publishers; p != NULL; p = p->next)
        if (strcmp(p->name, name) == 0)
            return true;
    return false;
}

/* ---- opening ---- */

static hl_status check_open(hl_bus *bus, const char *name, const hl_publisher_options *options,
                            const void *ret_publisher)
{
    if (ret_publisher == NULL)
        return hl_bus_fail(bus, HL_INVALID, "publisher: there must be room for its handle");
    if (name == NULL || *name == '\0' || strlen(name) > 63)
        return hl_bus_fail(bus, HL_INVALID, "a publisher's name has 1 to 63 bytes");
    if (options->size != sizeof *options)
        return hl_bus_fail(bus, HL_INVALID,
                           "publisher %s: options of size %zu: begin with "
                           "HL_PUBLISHER_OPTIONS_INIT",
                           name, options->size);
    const uint32_t slots = options->ring_slots;
    if (slots != 0 && ((slots & (slots - 1)) != 0 || slots < 2 || slots > 1u << 24))
        return hl_bus_fail(bus, HL_INVALID,
                           "publisher %s: ring_slots is %u: use a power of two from 2 to 16777216",
                           name, slots);
    if (options->batch_events > 65536)
        return hl_bus_fail(bus, HL_INVALID, "publisher %s: batch_events is %u: use 0 to 65536",
                           name, options->batch_events);
    if (bus->control->state >= HL_BUS_STOPPING)
        return hl_bus_fail(bus, HL_CLOSED, "publisher %s: the bus has stopped", name);
    if (name_is_open(bus, name))
        return hl_bus_fail(bus, HL_EXISTS,
                           "publisher %s: one of that name is open, or a partition has it", name);
    if (bus->control->publisher_count >= bus->config.max_publishers)
        return hl_bus_fail(bus, HL_LIMIT, "publisher %s: %u are open: raise max_publishers", name,
                           bus->config.max_publishers);
    return HL_OK;
}

static uint32_t lane_index(const hl_partition *partition, uint32_t priority)
{
    return partition->number * HL_PRIORITIES + priority;
}

/* The lanes of `uses` that `outlets` lacks are made, all or none, and put there. */
static hl_status make_outlets(hl_bus *bus, const uint32_t *uses, const hl_lane_request *like,
                              hl_outlet **outlets)
{
    hl_lane_request *const requests =
        calloc(bus->partition_count * HL_PRIORITIES, sizeof *requests);
    uint32_t count = 0;
    if (requests == NULL)
        return hl_bus_fail(bus, HL_NO_MEMORY, "no memory for a publisher's lanes");
    for (uint32_t i = 0; i < bus->partition_count; i++) {
        hl_partition *const partition = &bus->partitions[i];
        const hl_domain_config *const domain = &partition->domain->config;
        hl_lane_request request = *like;
        request.partition = partition;
        if (request.slots == 0)
            request.slots =
                like->kind == HL_OUTLET_HANDLER ? domain->handler_ring_slots : domain->ring_slots;
        for (uint32_t p = 0; p < HL_PRIORITIES; p++)
            if ((uses[partition->domain->index] & 1u << p) != 0 &&
                outlets[lane_index(partition, p)] == NULL) {
                request.priority = (hl_priority)p;
                request.kind = like->is_limited && p >= HL_NORMAL ? HL_OUTLET_LIMITED : like->kind;
                requests[count++] = request;
            }
    }
    const hl_status status = hl_lanes_make(bus, requests, count);
    for (uint32_t i = 0; i < count && status == HL_OK; i++)
        /* LANE: release, the outlet is whole. */
        hl_store_release_ptr(
            (void **)(void *)&outlets[lane_index(requests[i].partition, requests[i].priority)],
            requests[i].outlet);
    free(requests);
    return status;
}

/* The limit of a publisher that has one; CRITICAL and HIGH are never limited. */
static hl_status make_limit(hl_bus *bus, const char *name, const hl_publisher_options *options,
                            const uint32_t *uses, hl_token_bucket **ret_limit)
{
    uint32_t priorities = 0;
    for (uint32_t d = 0; d < bus->config.domain_count; d++)
        priorities |= uses[d];
    if (bus->flow == NULL || (options->throttle.rate_per_s == 0 && options->throttle.burst == 0))
        return HL_OK;
    if (priorities >> HL_NORMAL == 0)
        return hl_bus_fail(bus, HL_NOT_ALLOWED,
                           "publisher %s: throttle: all that it uses is CRITICAL or HIGH, which is "
                           "never throttled: take the limit out",
                           name);
    return bus->flow->make_limit(bus, name, &options->throttle, ret_limit);
}

static hl_status open_exclusive(hl_bus *bus, const char *name, const hl_publisher_options *options,
                                const uint32_t *uses, hl_publisher **ret_publisher)
{
    hl_publisher *const publisher = hl_allocate(1, sizeof *publisher);
    if (publisher == NULL)
        return hl_bus_fail(bus, HL_NO_MEMORY, "no memory for publisher %s", name);
    publisher->bus = bus;
    snprintf(publisher->name, sizeof publisher->name, "%s", name);
    publisher->source = hl_bus_source(bus, name);
    publisher->outlets = calloc(bus->partition_count * HL_PRIORITIES, sizeof(hl_outlet *));
    hl_status status = publisher->outlets == NULL || publisher->source == 0
                           ? hl_bus_fail(bus, HL_NO_MEMORY, "no memory for publisher %s", name)
                           : make_limit(bus, name, options, uses, &publisher->limit);
    const hl_lane_request like = {.kind = HL_OUTLET_EXCLUSIVE,
                                  .slots = options->ring_slots,
                                  .source = publisher->source,
                                  .is_limited = publisher->limit != NULL,
                                  .batch_events = options->batch_events,
                                  .batch_wait_ns = options->batch_wait_ns};
    if (status == HL_OK)
        status = make_outlets(bus, uses, &like, publisher->outlets);
    if (status != HL_OK) {
        free(publisher->limit);
        free(publisher->outlets);
        free(publisher);
        return status;
    }
    publisher->next = bus->control->publishers;
    bus->control->publishers = publisher;
    bus->control->publisher_count++;
    *ret_publisher = publisher;
    return HL_OK;
}

hl_status hl_publisher_open(hl_bus *bus, const char *name, const hl_publisher_options *options,
                            hl_publisher **ret_publisher)
{
    const hl_publisher_options defaults = HL_PUBLISHER_OPTIONS_INIT;
    if (options == NULL)
        options = &defaults;
    const hl_status refusal = hl_bus_refusal(bus);
    if (refusal != HL_OK)
        return refusal;
    hl_bus_lock(bus);
    hl_bus_reap(bus);
    uint32_t *const uses = calloc(bus->config.domain_count, sizeof *uses);
    hl_status status = uses == NULL ? hl_bus_fail(bus, HL_NO_MEMORY, "no memory for a publisher")
                                    : check_open(bus, name, options, ret_publisher);
    if (status == HL_OK)
        status = parse_uses(bus, name, options->uses, uses);
    if (status == HL_OK)
        status = open_exclusive(bus, name, options, uses, ret_publisher);
    free(uses);
    hl_bus_unlock(bus);
    return status;
}

/* The lanes' shared outlets, made where there is none yet, are every shared publisher's. */
static hl_status open_shared(hl_bus *bus, const char *name, const hl_publisher_options *options,
                             const uint32_t *uses, hl_shared_publisher **ret_publisher)
{
    const hl_lane_request like = {.kind = HL_OUTLET_SHARED, .slots = options->ring_slots};
    hl_status status = make_outlets(bus, uses, &like, bus->shared_outlets);
    if (status != HL_OK)
        return status;
    hl_shared_publisher *const publisher = hl_allocate(1, sizeof *publisher);
    const uint32_t lanes = bus->partition_count * HL_PRIORITIES;
    hl_outlet **const outlets = calloc(lanes, sizeof *outlets);
    const uint16_t source = hl_bus_source(bus, name);
    status = publisher == NULL || outlets == NULL || source == 0
                 ? hl_bus_fail(bus, HL_NO_MEMORY, "no memory for publisher %s", name)
                 : make_limit(bus, name, options, uses, &publisher->limit);
    if (status != HL_OK) {
        free(publisher);
        free(outlets);
        return status;
    }
    for (uint32_t i = 0; i < lanes; i++) {
        const uint32_t domain = bus->partitions[i / HL_PRIORITIES].domain->index;
        if ((uses[domain] & 1u << i % HL_PRIORITIES) != 0)
            outlets[i] = bus->shared_outlets[i];
    }
    publisher->bus = bus;
    publisher->outlets = outlets;
    publisher->source = source;
    snprintf(publisher->name, sizeof publisher->name, "%s", name);
    publisher->next = bus->control->shared_publishers;
    bus->control->shared_publishers = publisher;
    bus->control->publisher_count++;
    *ret_publisher = publisher;
    return HL_OK;
}

hl_status hl_shared_publisher_open(hl_bus *bus, const char *name,
                                   const hl_publisher_options *options,
                                   hl_shared_publisher **ret_publisher)
{
    const hl_publisher_options defaults = HL_PUBLISHER_OPTIONS_INIT;
    if (options == NULL)
        options = &defaults;
    const hl_status refusal = hl_bus_refusal(bus);
    if (refusal != HL_OK)
        return refusal;
    hl_bus_lock(bus);
    uint32_t *const uses = calloc(bus->config.domain_count, sizeof *uses);
    hl_status status = uses == NULL ? hl_bus_fail(bus, HL_NO_MEMORY, "no memory for a publisher")
                                    : check_open(bus, name, options, ret_publisher);
    if (status == HL_OK && options->batch_events != 0)
        status = hl_bus_fail(bus, HL_INVALID,
                             "publisher %s: many share its rings, so it cannot batch: use "
                             "batch_events 0, or an exclusive publisher",
                             name);
    if (status == HL_OK)
        status = parse_uses(bus, name, options->uses, uses);
    if (status == HL_OK)
        status = open_shared(bus, name, options, uses, ret_publisher);
    free(uses);
    hl_bus_unlock(bus);
    return status;
}

/* ---- handlers' output ---- */

hl_publisher *hl_publisher_make_out(hl_bus *bus, const char *name)
{
    hl_publisher *const out = hl_allocate(1, sizeof *out);
    if (out == NULL)
        return NULL;
    out->bus = bus;
    out->is_handlers = out->looks_first = true;
    snprintf(out->name, sizeof out->name, "%s", name);
    out->source = hl_bus_source(bus, name);
    out->outlets = calloc(bus->partition_count * HL_PRIORITIES, sizeof(hl_outlet *));
    if (out->outlets != NULL && out->source != 0)
        return out;
    free(out->outlets);
    free(out);
    return NULL;
}

/* What some domain's handlers publish to, those of a worker do: it runs handlers of all domains. */
static hl_status make_worker_lanes(hl_bus *bus, const uint32_t *uses, uint32_t *reached)
{
    hl_status status = HL_OK;
    for (uint32_t d = 0; d < bus->config.domain_count; d++) {
        bool is_target = false;
        for (uint32_t from = 0; from < bus->config.domain_count; from++)
            is_target |=
                hl_domain_publishes_to(&bus->domains[from].config, &bus->domains[d].config);
        reached[d] = is_target ? uses[d] : 0;
    }
    for (uint32_t i = 0; i < bus->executor_count && status == HL_OK; i++) {
        const hl_executor *const executor = &bus->executors[i];
        if (executor->worker == NULL)
            continue;
        const hl_lane_request like = {.kind = HL_OUTLET_HANDLER,
                                      .publisher_executor = executor,
                                      .source = executor->worker->out->source};
        status = make_outlets(bus, reached, &like, executor->worker->out->outlets);
    }
    return status;
}

/* `uses`: for each domain, the priorities that handlers may publish with. */
static hl_status make_handler_lanes(hl_bus *bus, const uint32_t *uses)
{
    uint32_t *const reached = calloc(bus->config.domain_count, sizeof *reached);
    hl_status status = reached != NULL
                           ? make_worker_lanes(bus, uses, reached)
                           : hl_bus_fail(bus, HL_NO_MEMORY, "no memory for handlers' lanes");
    for (uint32_t i = 0; i < bus->partition_count && status == HL_OK; i++) {
        const hl_partition *const partition = &bus->partitions[i];
        for (uint32_t d = 0; d < bus->config.domain_count; d++)
            reached[d] = hl_domain_publishes_to(&partition->domain->config, &bus->domains[d].config)
                             ? uses[d]
                             : 0;
        const hl_lane_request like = {.kind = HL_OUTLET_HANDLER,
                                      .publisher_executor = partition->executor,
                                      .source = partition->out->source};
        status = make_outlets(bus, reached, &like, partition->out->outlets);
    }
    free(reached);
    return status;
}

hl_status hl_handler_lanes_make(hl_bus *bus, const hl_topic_entry *topic)
{
    uint32_t *const uses = calloc(bus->config.domain_count, sizeof *uses);
    if (uses == NULL)
        return hl_bus_fail(bus, HL_NO_MEMORY, "no memory for handlers' lanes");
    if (topic != NULL)
        uses[topic->domain->index] = topic_priorities(topic);
    for (uint32_t i = 0; topic == NULL && i < bus->topic_count; i++)
        uses[bus->entries[i]->domain->index] |= topic_priorities(bus->entries[i]);
    const hl_status status = make_handler_lanes(bus, uses);
    free(uses);
    return status;
}

/* ---- closing ---- */

/* Claims of a conflating lane that are open: nobody waits for them. */
static void count_aborted(hl_outlet *outlet)
{
    const hl_door_counts counts = hl_outlet_counts(outlet);
    const uint64_t open = hl_door_open(&counts);
    hl_count(&outlet->counts.finishing, open);
    hl_count(&outlet->counts.aborted, open);
}

/* Claims that were never committed would hold up what lies behind them: they become padding. */
static void abort_open_claims(hl_outlet *outlet)
{
    const hl_door_counts counts = hl_outlet_counts(outlet);
    uint64_t open = hl_door_open(&counts);
    const uint64_t end = hl_spsc_claimed(&outlet->exclusive);
    for (uint64_t position = end - 1; open > 0 && end - position <= outlet->mask + 1u; position--) {
        hl_event *const event = hl_spsc_slot(&outlet->exclusive, position);
        /* READY: (ring.h) this thread alone stamps; relaxed. */
        if (hl_load_relaxed_u64(&event->stamp) == position + 1)
            continue;
        event->flags |= HL_EVENT_PADDING;
        event->published_ns = 0;
        hl_count(&outlet->counts.finishing, 1);
        hl_spsc_commit(&outlet->exclusive, position, 1);
        hl_count(&outlet->counts.aborted, 1);
        open--;
    }
    hl_announce(outlet);
    if (outlet->sleeper != NULL)
        hl_sleeper_notify(outlet->sleeper);
}

void hl_publisher_end(hl_publisher *publisher)
{
    hl_bus *const bus = publisher->bus;
    /* GATE: under the lock. A bus that could not be made whole may lack it. */
    const bool stopped = bus->gate == NULL || hl_load_relaxed_u32(bus->gate) == HL_GATE_STOPPED;
    for (uint32_t i = 0; i < bus->partition_count * HL_PRIORITIES; i++) {
        hl_outlet *const outlet = publisher->outlets[i];
        if (outlet == NULL)
            continue;
        if (!stopped && !publisher->is_handlers && outlet->seats != NULL)
            count_aborted(outlet);
        else if (!stopped && !publisher->is_handlers)
            abort_open_claims(outlet);
        hl_outlet_close(outlet);
    }
    free(publisher->outlets);
    free(publisher->limit);
    free(publisher);
}

void hl_publisher_flush(hl_publisher *publisher)
{
    if (publisher->is_handlers || hl_bus_is_detached(publisher->bus))
        return;
    for (uint32_t i = 0; i < publisher->bus->partition_count * HL_PRIORITIES; i++) {
        hl_outlet *const outlet = publisher->outlets[i];
        if (outlet != NULL && outlet->inlet != NULL && outlet->inlet->gather != NULL)
            hl_gather_flush(outlet);
    }
}

void hl_publisher_close(hl_publisher *publisher)
{
    /* A handler's `out` is the bus's; a fork's child has nothing to close. */
    if (publisher == NULL || publisher->is_handlers || hl_bus_is_detached(publisher->bus))
        return;
    hl_bus *const bus = publisher->bus;
    hl_bus_lock(bus);
    hl_publisher **at = &bus->control->publishers;
    while (*at != publisher)
        at = &(*at)->next;
    *at = publisher->next;
    bus->control->publisher_count--;
    hl_publisher_end(publisher);
    hl_bus_reap(bus);
    hl_bus_unlock(bus);
}

void hl_shared_publisher_end(hl_shared_publisher *publisher)
{
    free(publisher->outlets); /* the lanes' rings stay for others */
    free(publisher->limit);
    free(publisher);
}

void hl_shared_publisher_close(hl_shared_publisher *publisher)
{
    if (publisher == NULL || hl_bus_is_detached(publisher->bus))
        return;
    hl_bus *const bus = publisher->bus;
    hl_bus_lock(bus);
    hl_shared_publisher **at = &bus->control->shared_publishers;
    while (*at != publisher)
        at = &(*at)->next;
    *at = publisher->next;
    bus->control->publisher_count--;
    hl_shared_publisher_end(publisher);
    hl_bus_unlock(bus);
}
