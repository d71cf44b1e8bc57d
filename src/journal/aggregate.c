#include "journal/aggregate.h"

#include <stdio.h>

#include "journal/last_values.h"

#define NAME_MAX_BYTES 56 /* and ".1023" behind it */
#define STATE_SIZE_MAX 65536u
#define KEYS_MAX       HL_LATEST_MAX_KEYS

/* ---- what states are written to and read from ---- */

void hl_state_write(hl_state_writer *writer, const void *bytes, size_t size)
{
    if (writer->size <= writer->room && size <= writer->room - writer->size && size != 0)
        memcpy(writer->bytes + writer->size, bytes, size);
    writer->size += size;
}

hl_status hl_state_read(hl_state_reader *reader, void *bytes, size_t size)
{
    if (size > hl_state_left(reader))
        return HL_DAMAGED;
    if (size != 0)
        memcpy(bytes, reader->bytes + reader->at, size);
    reader->at += size;
    return HL_OK;
}

size_t hl_state_left(const hl_state_reader *reader)
{
    return reader->size - reader->at;
}

/* ---- states that the bus keeps: their table's image is a size, a count, keys and states ---- */

static hl_status apply(const hl_event *event, hl_publisher *out, void *context)
{
    const hl_aggregate *const aggregate = context;
    const hl_aggregate_options *const options = &aggregate->options;
    const hl_aggregate_shard *const shard = &aggregate->shards[out->partition->shard];
    if (shard->table == NULL)
        return options->apply(shard->state, event, out, options->context);
    const uint64_t key = options->by_key ? event->key : shard->partition->shard;
    uint32_t size = options->state_size_bytes;
    /* Never HL_BUSY for the writer. */
    if (hl_latest_get(shard->table, key, shard->state, size, &size) != HL_OK)
        memset(shard->state, 0, options->state_size_bytes);
    const hl_status status = options->apply(shard->state, event, out, options->context);
    return status == HL_OK
               ? hl_latest_put(shard->table, key, shard->state, options->state_size_bytes)
               : status;
}

static void save_table(const hl_aggregate *aggregate, const hl_aggregate_shard *shard,
                       hl_state_writer *writer)
{
    const uint32_t size = aggregate->options.state_size_bytes;
    const uint32_t count = hl_latest_count(shard->table);
    hl_state_write(writer, &size, sizeof size);
    hl_state_write(writer, &count, sizeof count);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t key = 0;
        uint32_t bytes;
        /* The thread is the writer's: never HL_BUSY. Between two events the copy is free. */
        hl_latest_at(shard->table, i, shard->state, size, &key, &bytes);
        hl_state_write(writer, &key, sizeof key);
        hl_state_write(writer, shard->state, size);
    }
}

static hl_status load_table(const hl_aggregate *aggregate, const hl_aggregate_shard *shard,
                            uint32_t version, hl_state_reader *reader)
{
    uint32_t size = 0, count = 0;
    if (version != aggregate->options.version ||
        hl_state_read(reader, &size, sizeof size) != HL_OK ||
        hl_state_read(reader, &count, sizeof count) != HL_OK ||
        size != aggregate->options.state_size_bytes)
        return HL_UNSUPPORTED;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t key;
        if (hl_state_read(reader, &key, sizeof key) != HL_OK ||
            hl_state_read(reader, shard->state, size) != HL_OK)
            return HL_DAMAGED;
        const hl_status status = hl_latest_put(shard->table, key, shard->state, size);
        if (status != HL_OK)
            return status;
    }
    return HL_OK;
}

/* ---- a shard's state ---- */

void hl_aggregate_snapshot_name(const hl_aggregate *aggregate, uint32_t shard,
                                char ret_name[HL_CURSOR_NAME_SIZE])
{
    if (aggregate->domain->config.shards == 1)
        snprintf(ret_name, HL_CURSOR_NAME_SIZE, "%.*s", NAME_MAX_BYTES, aggregate->name);
    else
        snprintf(ret_name, HL_CURSOR_NAME_SIZE, "%.*s.%u", NAME_MAX_BYTES, aggregate->name,
                 shard % 10000);
}

/* Whether the handler has done with all events that it was given, and was given all. */
static bool is_done(const hl_cell *cell, const hl_partition *partition)
{
    if (cell->state == HL_CELL_DETACHED && cell->end_sequence != hl_partition_handed_out(partition))
        return false;
    return hl_cell_running(cell) + cell->queued + cell->in_retry + cell->held == 0;
}

bool hl_aggregate_is_whole(const hl_aggregate *aggregate, uint32_t shard)
{
    for (uint32_t i = 0; i < aggregate->feed_count; i++)
        if (!is_done(&aggregate->feeds[i]->cells[shard], aggregate->shards[shard].partition))
            return false;
    return true;
}

void hl_aggregate_save_shard(const hl_aggregate *aggregate, uint32_t shard, hl_state_writer *writer)
{
    const hl_aggregate_shard *const of = &aggregate->shards[shard];
    if (of->table != NULL)
        save_table(aggregate, of, writer);
    else
        aggregate->options.save(of->state, shard, writer, aggregate->options.context);
}

hl_status hl_aggregate_load_shard(hl_aggregate *aggregate, uint32_t shard, uint32_t version,
                                  const void *bytes, size_t size, hl_error *error)
{
    hl_aggregate_shard *const of = &aggregate->shards[shard];
    hl_state_reader reader = {.bytes = bytes, .size = size};
    const hl_status status = of->table != NULL ? load_table(aggregate, of, version, &reader)
                             : version > aggregate->options.version
                                 ? HL_UNSUPPORTED
                                 : aggregate->options.load(of->state, shard, version, &reader,
                                                           aggregate->options.context);
    if (status == HL_OK && hl_state_left(&reader) != 0)
        return hl_error_set(error, HL_DAMAGED,
                            "aggregate %s: %zu bytes of its snapshot were left over by its load",
                            aggregate->name, hl_state_left(&reader));
    if (status == HL_UNSUPPORTED)
        return hl_error_set(error, status,
                            "aggregate %s: its snapshot is of version %u, and this program reads "
                            "%u%s",
                            aggregate->name, version, aggregate->options.version,
                            version == aggregate->options.version ? ", of another size" : "");
    return status == HL_OK ? HL_OK
                           : hl_error_set(error, status, "aggregate %s: its snapshot: %s",
                                          aggregate->name, hl_status_text(status));
}

/* ---- made ---- */

static hl_status check_states(const hl_aggregate_options *options, hl_error *error)
{
    const bool own = options->states != NULL;
    if (own == (options->state_size_bytes != 0) ||
        own != (options->save != NULL && options->load != NULL) ||
        (!own && (options->save != NULL || options->load != NULL)))
        return hl_error_set(error, HL_INVALID,
                            "aggregate %s: either state_size_bytes, or states with save and load",
                            options->name);
    if (own && options->by_key)
        return hl_error_set(error, HL_INVALID,
                            "aggregate %s: by_key is for states that the bus keeps: set "
                            "state_size_bytes",
                            options->name);
    if (options->state_size_bytes > STATE_SIZE_MAX)
        return hl_error_set(error, HL_INVALID,
                            "aggregate %s: state_size_bytes %u is out of range: use 1 to %u",
                            options->name, options->state_size_bytes, STATE_SIZE_MAX);
    if (options->by_key && (options->max_keys == 0 || options->max_keys > KEYS_MAX))
        return hl_error_set(error, HL_INVALID,
                            "aggregate %s: max_keys %u is out of range: use 1 to %u", options->name,
                            options->max_keys, KEYS_MAX);
    if (options->apply == NULL && !own)
        return hl_error_set(error, HL_INVALID,
                            "aggregate %s: only apply can change states that the bus keeps",
                            options->name);
    return HL_OK;
}

static hl_status check_options(const hl_aggregate_options *options, hl_error *error)
{
    if (options == NULL || options->size != sizeof *options)
        return hl_error_set(error, HL_INVALID,
                            "aggregate: begin with HL_AGGREGATE_OPTIONS_INIT of this library");
    if (options->name == NULL || options->domain == NULL)
        return hl_error_set(error, HL_INVALID, "aggregate: it needs a name and a domain");
    if (strlen(options->name) > NAME_MAX_BYTES ||
        hl_cursor_check_name(options->name, NULL) != HL_OK)
        return hl_error_set(error, HL_INVALID,
                            "aggregate: \"%.80s\" is no name: use 1 to %d of letters, digits, '-', "
                            "'_' and '.', no '.' first",
                            options->name, NAME_MAX_BYTES);
    const size_t bytes = strlen(options->domain);
    if (options->pattern != NULL &&
        (strncmp(options->pattern, options->domain, bytes) != 0 || options->pattern[bytes] != '.'))
        return hl_error_set(error, HL_INVALID,
                            "aggregate %s: the pattern \"%.80s\" is not of its domain: begin it "
                            "with \"%s.\"",
                            options->name, options->pattern, options->domain);
    return check_states(options, error);
}

static hl_status make_table(hl_aggregate *aggregate, hl_aggregate_shard *shard)
{
    const uint32_t keys = aggregate->options.by_key ? aggregate->options.max_keys : 1;
    const size_t bytes = hl_latest_size_bytes(keys, aggregate->options.state_size_bytes);
    void *const memory = hl_allocate(1, bytes);
    shard->state = hl_allocate(1, aggregate->options.state_size_bytes);
    shard->table = memory == NULL ? NULL
                                  : hl_latest_init(memory, bytes, keys,
                                                   aggregate->options.state_size_bytes, NULL);
    if (shard->table == NULL)
        free(memory);
    return shard->table == NULL || shard->state == NULL ? HL_NO_MEMORY : HL_OK;
}

static void free_aggregate(hl_aggregate *aggregate)
{
    for (uint32_t i = 0; aggregate->shards != NULL && i < aggregate->domain->config.shards; i++)
        if (aggregate->options.state_size_bytes != 0) {
            free(aggregate->shards[i].table);
            free(aggregate->shards[i].state);
        }
    free(aggregate->shards);
    free(aggregate->feeds);
    free(aggregate);
}

static hl_aggregate *make_aggregate(hl_bus *bus, const hl_domain *domain,
                                    const hl_aggregate_options *options)
{
    hl_aggregate *const aggregate = calloc(1, sizeof *aggregate);
    if (aggregate == NULL)
        return NULL;
    aggregate->bus = bus;
    aggregate->domain = domain;
    aggregate->options = *options;
    strcpy(aggregate->name, options->name);
    aggregate->shards = calloc(domain->config.shards, sizeof *aggregate->shards);
    hl_status status = aggregate->shards == NULL ? HL_NO_MEMORY : HL_OK;
    for (uint32_t i = 0; i < domain->config.shards && status == HL_OK; i++) {
        hl_aggregate_shard *const shard = &aggregate->shards[i];
        shard->partition = &bus->partitions[domain->first_partition + i];
        if (options->state_size_bytes != 0)
            status = make_table(aggregate, shard);
        else
            shard->state = options->states[i];
    }
    if (status == HL_OK)
        return aggregate;
    free_aggregate(aggregate);
    return NULL;
}

/* What a bus has of them. */
static hl_status make_all(hl_bus *bus, hl_error *error)
{
    if (bus->aggregates != NULL)
        return HL_OK;
    bus->aggregates = calloc(1, sizeof *bus->aggregates);
    if (bus->aggregates == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "aggregates: no memory");
    bus->aggregates->last = &bus->aggregates->first;
    return HL_OK;
}

/* Under the lock. */
static hl_status add(hl_bus *bus, hl_aggregate *aggregate, hl_error *error)
{
    for (const hl_aggregate *other = bus->aggregates->first; other != NULL; other = other->next)
        if (strcmp(other->name, aggregate->name) == 0)
            return hl_error_set(error, HL_EXISTS, "aggregate %s: there is one of this name already",
                                aggregate->name);
    if (bus->control->state != HL_BUS_CREATED || bus->aggregates->captures != NULL)
        return hl_error_set(error, HL_WRONG_STATE,
                            "aggregate %s: the bus was started, or snapshots were taken: make it "
                            "before",
                            aggregate->name);
    *bus->aggregates->last = aggregate;
    bus->aggregates->last = &aggregate->next;
    return HL_OK;
}

static void take_out(hl_bus *bus, hl_aggregate *aggregate)
{
    hl_bus_lock(bus);
    hl_aggregate **at = &bus->aggregates->first;
    while (*at != aggregate)
        at = &(*at)->next;
    *at = aggregate->next;
    if (aggregate->next == NULL)
        bus->aggregates->last = at;
    hl_bus_unlock(bus);
}

static hl_status subscribe(hl_aggregate *aggregate, const hl_aggregate_options *options,
                           hl_error *error)
{
    char everything[80];
    hl_subscription_options feeding = HL_SUBSCRIPTION_OPTIONS_INIT;
    hl_subscription *subscription = NULL;
    feeding.name = aggregate->name;
    feeding.order = options->order;
    feeding.concurrent = aggregate->domain->config.shards > 1; /* each shard has its own state */
    snprintf(everything, sizeof everything, "%s.>", aggregate->domain->name);
    const hl_status status =
        hl_subscribe(aggregate->bus, options->pattern != NULL ? options->pattern : everything,
                     apply, aggregate, &feeding, &subscription);
    if (status != HL_OK) {
        hl_bus_error(aggregate->bus, error);
        return status;
    }
    return hl_aggregate_fed_by(aggregate, subscription, error);
}

/* Its parts are checked; the lists are the bus's. */
static hl_status open_one(hl_bus *bus, const hl_aggregate_options *options,
                          hl_aggregate **ret_aggregate, hl_error *error)
{
    const hl_domain *const domain =
        hl_bus_find_domain(bus, options->domain, strlen(options->domain));
    if (domain == NULL)
        return hl_error_set(error, HL_UNKNOWN_DOMAIN,
                            "aggregate %s: there is no domain \"%.64s\" in this bus", options->name,
                            options->domain);
    hl_aggregate *const aggregate = make_aggregate(bus, domain, options);
    if (aggregate == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "aggregate %s: no memory", options->name);
    hl_bus_lock(bus);
    hl_status status = add(bus, aggregate, error);
    hl_bus_unlock(bus);
    if (status != HL_OK) {
        free_aggregate(aggregate);
        return status;
    }
    status = options->apply != NULL ? subscribe(aggregate, options, error) : HL_OK;
    if (status != HL_OK) {
        take_out(bus, aggregate);
        /* One that was subscribed stays for the subscription's sake, without its name. */
        if (aggregate->feed_count == 0)
            free_aggregate(aggregate);
        return status;
    }
    aggregate->options.name = aggregate->options.domain = aggregate->options.pattern = NULL;
    *ret_aggregate = aggregate;
    return HL_OK;
}

hl_status hl_aggregate_open(hl_bus *bus, const hl_aggregate_options *options,
                            hl_aggregate **ret_aggregate, hl_error *error)
{
    hl_status status = check_options(options, error);
    if (status == HL_OK && hl_bus_is_detached(bus))
        status = hl_error_set(error, HL_DETACHED, "aggregate: this is a fork's child");
    if (status == HL_OK) {
        hl_bus_lock(bus);
        status = make_all(bus, error);
        hl_bus_unlock(bus);
    }
    if (status == HL_OK)
        status = hl_last_values_keep(bus, error);
    return status == HL_OK ? open_one(bus, options, ret_aggregate, error) : status;
}

hl_status hl_aggregate_fed_by(hl_aggregate *aggregate, hl_subscription *subscription,
                              hl_error *error)
{
    const hl_domain *const domain = aggregate->domain;
    if (subscription->bus != aggregate->bus || subscription->async != NULL ||
        subscription->first_partition != domain->first_partition ||
        subscription->partition_count != domain->config.shards)
        return hl_error_set(error, HL_NOT_ALLOWED,
                            "aggregate %s: subscription \"%s\" is async, or not of domain %s alone",
                            aggregate->name, subscription->name, domain->name);
    hl_bus_lock(aggregate->bus);
    const bool early = aggregate->bus->control->state == HL_BUS_CREATED;
    hl_subscription **const feeds =
        early ? realloc(aggregate->feeds, (aggregate->feed_count + 1) * sizeof *feeds) : NULL;
    if (feeds != NULL) {
        subscription->references++; /* its cells are looked at as long as the bus is there */
        feeds[aggregate->feed_count++] = subscription;
        aggregate->feeds = feeds;
    }
    hl_bus_unlock(aggregate->bus);
    if (!early)
        return hl_error_set(error, HL_WRONG_STATE,
                            "aggregate %s: the bus was started: say before "
                            "what feeds it",
                            aggregate->name);
    return feeds != NULL
               ? HL_OK
               : hl_error_set(error, HL_NO_MEMORY, "aggregate %s: no memory", aggregate->name);
}

void hl_aggregates_free(hl_bus *bus)
{
    if (bus->aggregates == NULL)
        return;
    while (bus->aggregates->first != NULL) {
        hl_aggregate *const aggregate = bus->aggregates->first;
        bus->aggregates->first = aggregate->next;
        free_aggregate(aggregate);
    }
    free(bus->aggregates->rebuilt_from);
    hl_journal_keys_free(bus->aggregates->rebuilt_keys);
    free(bus->aggregates->unsettled);
    free(bus->aggregates);
    bus->aggregates = NULL;
}

/* ---- reading ---- */

hl_status hl_aggregate_read(const hl_aggregate *aggregate, uint64_t key, void *ret_state)
{
    const uint32_t shards = aggregate->domain->config.shards;
    uint32_t size = aggregate->options.state_size_bytes;
    if (size == 0)
        return HL_NOT_ALLOWED;
    if (!aggregate->options.by_key && key >= shards)
        return HL_NOT_FOUND;
    const uint32_t shard = aggregate->options.by_key ? hl_shard_of(key, shards) : (uint32_t)key;
    return hl_latest_get(aggregate->shards[shard].table, key, ret_state, size, &size);
}

hl_status hl_aggregate_stats_of(const hl_aggregate *aggregate, uint32_t shard,
                                hl_aggregate_stats *ret_stats)
{
    if (shard >= aggregate->domain->config.shards)
        return HL_NOT_FOUND;
    const hl_aggregate_shard *const of = &aggregate->shards[shard];
    /* Relaxed all: counters of one writer. */
    *ret_stats = (hl_aggregate_stats){
        .snapshots = hl_load_relaxed_u64(&of->snapshots),
        .failures = hl_load_relaxed_u64(&of->failures),
        .postponed = hl_load_relaxed_u64(&of->postponed),
        .snapshot_sequence = hl_load_relaxed_u64(&of->snapshot_sequence), /* as above */
        .snapshot_bytes = hl_load_relaxed_u64(&of->snapshot_bytes),       /* as above */
        .keys = of->table != NULL ? hl_latest_count(of->table) : 0};
    return HL_OK;
}
