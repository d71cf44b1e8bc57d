#include "journal/last_values.h"

#include <stdio.h>

#include "journal/aggregate.h"

#define VERSION        1u
#define NAME_BYTES_MAX 48 /* of a domain's name; of a longer one its number tells it apart */
#define TEXT_SIZE      256

/* Before the values of a topic. */
typedef struct topic_head {
    uint32_t name_bytes; /* its name follows, */
    uint32_t count;      /* then so many values: bytes of the source's name, the name, the event */
    uint32_t priority;
    uint32_t max_keys;
} topic_head;

/* ---- saving: the partition's thread ---- */

static void save_value(const hl_partition *partition, const hl_event *event,
                       hl_state_writer *writer)
{
    /* SOURCE: acquire, the name is whole. */
    const char *const source =
        hl_load_acquire_ptr((void *const *)(const void *)&partition->bus->sources[event->source]);
    const uint32_t bytes = source != NULL ? (uint32_t)strlen(source) : 0;
    hl_state_write(writer, &bytes, sizeof bytes);
    hl_state_write(writer, source, bytes);
    hl_state_write(writer, event, sizeof *event + event->payload_size);
}

static void save_topic(const hl_partition *partition, const hl_topic_entry *topic,
                       hl_state_writer *writer)
{
    const hl_latest *const table = topic->last[partition->shard].table;
    const topic_head head = {.name_bytes = (uint32_t)strlen(topic->name),
                             .count = hl_latest_count(table),
                             .priority = (uint32_t)topic->options.priority,
                             .max_keys = topic->options.max_keys};
    hl_state_write(writer, &head, sizeof head);
    hl_state_write(writer, topic->name, head.name_bytes);
    for (uint32_t i = 0; i < head.count; i++) {
        uint64_t key;
        uint32_t bytes;
        /* The thread is the writer's: it always succeeds. */
        hl_latest_at(table, i, partition->image_slot, partition->domain->config.slot_size_bytes,
                     &key, &bytes);
        save_value(partition, (const hl_event *)(void *)partition->image_slot, writer);
    }
}

static void save(const void *state, uint32_t shard, hl_state_writer *writer, void *context)
{
    const hl_partition *const partition = state;
    const hl_bus *const bus = partition->bus;
    (void)shard, (void)context;
    /* DECLARED: acquire, the topic is whole; their numbers are given out one after the other. */
    for (uint32_t i = 0;
         i < bus->max_topics && hl_load_acquire_u8(&bus->topics[i].declared) != HL_TOPIC_UNDECLARED;
         i++)
        if (bus->entries[i]->domain == partition->domain && bus->entries[i]->last != NULL)
            save_topic(partition, bus->entries[i], writer);
}

/* ---- loading: the control plane ---- */

static hl_status read_text(hl_state_reader *reader, uint32_t bytes, char ret_text[TEXT_SIZE])
{
    if (bytes >= TEXT_SIZE)
        return HL_DAMAGED;
    ret_text[bytes] = '\0';
    return hl_state_read(reader, ret_text, bytes);
}

/* The topic as the bus has it, or declared as it was; NULL: it cannot be declared. */
static const hl_topic_entry *topic_of(hl_bus *bus, const char *name, const topic_head *head)
{
    hl_topic_options options = HL_TOPIC_OPTIONS_INIT;
    options.kind = HL_STATE;
    options.priority = (int)head->priority;
    options.max_keys = head->max_keys;
    hl_bus_lock(bus);
    const hl_topic_entry *known = hl_topic_find(bus, name);
    hl_bus_unlock(bus);
    hl_topic topic;
    if (known == NULL && hl_topic_declare(bus, name, &options, &topic) == HL_OK)
        known = bus->entries[topic.number];
    return known;
}

static hl_status load_value(const hl_partition *partition, const hl_topic_entry *topic,
                            hl_state_reader *reader)
{
    hl_event *const event = (hl_event *)(void *)partition->image_slot;
    const uint32_t room = partition->domain->config.slot_size_bytes;
    char source[TEXT_SIZE];
    uint32_t bytes;
    if (hl_state_read(reader, &bytes, sizeof bytes) != HL_OK ||
        read_text(reader, bytes, source) != HL_OK ||
        hl_state_read(reader, event, sizeof *event) != HL_OK ||
        event->payload_size > hl_state_left(reader))
        return HL_DAMAGED;
    if (event->payload_size > room - sizeof *event)
        return HL_TOO_LARGE;
    hl_state_read(reader, event + 1, event->payload_size);
    if (topic == NULL || topic->last == NULL || topic->domain != partition->domain)
        return HL_OK;
    event->topic = topic->number;
    hl_bus_lock(partition->bus);
    event->source = hl_bus_source(partition->bus, source);
    hl_bus_unlock(partition->bus);
    /* More keys than the topic has room for now: those are refused, as they would be live. */
    hl_latest_put(topic->last[partition->shard].table, event->key, event,
                  (uint32_t)sizeof *event + event->payload_size);
    return HL_OK;
}

static hl_status load(void *state, uint32_t shard, uint32_t version, hl_state_reader *reader,
                      void *context)
{
    const hl_partition *const partition = state;
    (void)shard, (void)context;
    if (version != VERSION)
        return HL_UNSUPPORTED;
    while (hl_state_left(reader) != 0) {
        topic_head head;
        char name[TEXT_SIZE];
        if (hl_state_read(reader, &head, sizeof head) != HL_OK ||
            read_text(reader, head.name_bytes, name) != HL_OK)
            return HL_DAMAGED;
        const hl_topic_entry *const topic = topic_of(partition->bus, name, &head);
        for (uint32_t i = 0; i < head.count; i++) {
            const hl_status status = load_value(partition, topic, reader);
            if (status != HL_OK)
                return status;
        }
    }
    return HL_OK;
}

/* ---- made ---- */

static hl_status keep_domain(hl_bus *bus, uint32_t index, hl_error *error)
{
    const hl_domain *const domain = &bus->domains[index];
    const uint32_t shards = domain->config.shards;
    char name[HL_CURSOR_NAME_SIZE];
    if (strlen(domain->name) <= NAME_BYTES_MAX)
        snprintf(name, sizeof name, "last.%.*s", NAME_BYTES_MAX, domain->name);
    else
        snprintf(name, sizeof name, "last.%.40s.%u", domain->name, index);
    void **const states = malloc(shards * sizeof *states);
    if (states == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "aggregate %s: no memory", name);
    for (uint32_t i = 0; i < shards; i++)
        states[i] = &bus->partitions[domain->first_partition + i];
    hl_aggregate_options options = HL_AGGREGATE_OPTIONS_INIT;
    hl_aggregate *made;
    options.name = name;
    options.domain = domain->name;
    options.version = VERSION;
    options.states = states;
    options.save = save;
    options.load = load;
    const hl_status status = hl_aggregate_open(bus, &options, &made, error);
    free(states);
    return status;
}

hl_status hl_last_values_keep(hl_bus *bus, hl_error *error)
{
    hl_status status = HL_OK;
    while (status == HL_OK && bus->aggregates->last_values < bus->config.domain_count)
        status = keep_domain(bus, bus->aggregates->last_values++, error);
    return status;
}
