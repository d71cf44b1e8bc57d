/*
 * Replay into a bus that is not live.
 *
 * Recompute: what a handler stages is taken from its ring before the ring takes it back, and kept
 * in the order of staging, a queue for each outlet. In the journal the events of one outlet lie in
 * that order too, whatever came between: so the next of an outlet's must be the head of its queue.
 * Workers have outlets of their own: what they published is fed as it is.
 */
#include "journal/replay.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bus/async.h"
#include "bus/batch.h"
#include "bus/bus.h"
#include "bus/dispatch.h"
#include "bus/thread_request.h"
#include "fault/guard.h"
#include "journal/adopt.h"
#include "journal/journals.h"
#include "journal/reader.h"

/* What a handler has published, and the journal has not confirmed yet. */
typedef struct output {
    struct output *next;
    bool is_state; /* a newer one of its key may have replaced it */
    hl_event event;
    unsigned char payload[];
} output;

typedef struct outputs {
    output *first, **last;
} outputs;

typedef struct replay {
    hl_bus *bus;
    const hl_replay_options *options;
    const hl_replay_plan *plan; /* NULL: everything from the beginning */
    hl_replay_report *report;
    hl_error *error;
    hl_journal_reader *reader;
    hl_executor *turning; /* whose partition's handlers run; NULL: none */
    hl_adoption names;
    outputs *queues;          /* by (from, to, priority) */
    uint64_t *last_sequences; /* by partition: what it will go on behind */
    bool *is_journaled;       /* by plan, by partition: what comes to it is there to be confirmed */
    hl_event *event;          /* the copy that handlers see; with room behind it */
    uint64_t now_ns;
    uint64_t given_ns;           /* bus time of the last event that was given to handlers */
    uint64_t began_ns, first_ns; /* of the pace: monotonic, and of the first event */
    hl_clock clock;              /* the bus's own, meanwhile */
    bool out_of_memory;
    bool has_begun; /* the bus is changed, to be put right at the end */
} replay;

static uint64_t read_clock(void *context)
{
    return ((const replay *)context)->now_ns;
}

/* ---- outputs ---- */

static outputs *queue_of(replay *self, uint32_t from, uint32_t to, uint32_t priority)
{
    const uint32_t partitions = self->bus->partition_count;
    return &self->queues[((size_t)from * partitions + to) * HL_PRIORITIES + priority];
}

static void keep_output(replay *self, outputs *queue, const hl_event *event)
{
    output *const kept = malloc(sizeof *kept + event->payload_size);
    if (kept == NULL) {
        self->out_of_memory = true;
        return;
    }
    memcpy(&kept->event, event, sizeof *event + event->payload_size);
    kept->is_state = self->bus->entries[event->topic]->options.kind == HL_STATE;
    kept->next = NULL;
    if (queue->first == NULL)
        queue->last = &queue->first;
    *queue->last = kept;
    queue->last = &kept->next;
}

/* Takes one out of its queue, `at` being where the queue points to it. */
static output *take_output(outputs *queue, output **at)
{
    output *const taken = *at;
    *at = taken->next;
    if (taken->next == NULL)
        queue->last = at;
    return taken;
}

/* What becomes of an event that a handler has published. */
static void see_output(replay *self, const hl_publisher *out, const hl_outlet *outlet,
                       const hl_event *event)
{
    if ((event->flags & HL_EVENT_PADDING) != 0)
        return;
    if (self->plan != NULL)
        self->out_of_memory |=
            self->is_journaled[outlet->partition->number] &&
            !hl_unconfirmed_see(self->plan->unconfirmed, out->partition->number, outlet, event);
    else
        keep_output(
            self,
            queue_of(self, out->partition->number, outlet->partition->number, outlet->priority),
            event);
}

static bool wants_outputs(const replay *self)
{
    return self->plan != NULL ? self->plan->unconfirmed != NULL
                              : self->options->mode == HL_REPLAY_RECOMPUTE;
}

static void see_staged(const hl_publisher *out, bool keep, void *context)
{
    replay *const self = context;
    if (!keep || !wants_outputs(self))
        return;
    for (const hl_outlet *outlet = out->staged; outlet != NULL; outlet = outlet->next_staged) {
        if (outlet->staged_cell != NULL)
            see_output(self, out, outlet, outlet->staged_cell);
        for (uint32_t i = 0; i < outlet->staged_slots; i++)
            see_output(self, out, outlet,
                       hl_spsc_slot(&outlet->exclusive, outlet->staged_from + i));
    }
}

static const char *difference(const hl_event *a, const hl_event *b)
{
    if (a->topic != b->topic)
        return "the topic";
    if (a->key != b->key)
        return "the key";
    if (a->causation_id != b->causation_id)
        return "the cause";
    if (a->correlation_id != b->correlation_id)
        return "the story";
    if (a->schema_version != b->schema_version)
        return "the schema's version";
    if (a->payload_size != b->payload_size)
        return "the payload's size";
    return memcmp(a + 1, b + 1, a->payload_size) != 0 ? "the payload" : NULL;
}

/* A state topic's may have been replaced by a newer one of its key, at the door or in a window. */
static void drop_replaced(replay *self, outputs *queue, const hl_event *event)
{
    output **at = &queue->first;
    while (*at != NULL) {
        output *const one = *at;
        const bool same_key = one->event.topic == event->topic && one->event.key == event->key;
        if (one->is_state && same_key && one->event.causation_id != event->causation_id) {
            free(take_output(queue, at));
            self->report->conflated++;
        } else if (same_key && one->event.causation_id == event->causation_id) {
            return;
        } else {
            at = &one->next;
        }
    }
}

/* Of a state topic the place in the queue is as the lane gave it out: by key. */
static output **find_output(outputs *queue, const hl_event *event, bool is_state)
{
    output **at = &queue->first;
    while (is_state && *at != NULL && difference(&(*at)->event, event) != NULL)
        at = &(*at)->next;
    return *at != NULL || !is_state ? at : &queue->first;
}

/* Whether a worker has published it, for an async handler: none of those runs here. But its handler
 * may run inline here, and publish it. */
static bool is_of_async(replay *self, const hl_partition *partition, const hl_event *event)
{
    const uint32_t from = hl_id_partition(event->causation_id);
    if ((event->flags & HL_EVENT_EXTERNAL) != 0 || from >= self->bus->partition_count ||
        event->source == self->bus->partitions[from].out->source ||
        !hl_is_worker_name(self->bus->sources[event->source]))
        return false;
    const output *const next = queue_of(self, from, partition->number, event->priority)->first;
    return next == NULL || next->event.causation_id != event->causation_id ||
           next->event.topic != event->topic;
}

/* The journal's event must be the next that its outlet's handlers have published here. */
static hl_status compare(replay *self, const hl_partition *partition, const hl_event *event)
{
    const uint32_t from = hl_id_partition(event->causation_id);
    const char *what = "there is no such output";
    const hl_topic_entry *const topic = self->bus->entries[event->topic];
    if (event->causation_id != 0 && from < self->bus->partition_count) {
        outputs *const queue = queue_of(self, from, partition->number, event->priority);
        const bool is_state = topic->options.kind == HL_STATE;
        if (is_state)
            drop_replaced(self, queue, event);
        output **const at = find_output(queue, event, is_state);
        if (*at != NULL && (what = difference(&(*at)->event, event)) == NULL) {
            free(take_output(queue, at));
            self->report->compared++;
            return HL_OK;
        }
    }
    return hl_error_set(self->error, HL_NOT_CONSERVED,
                        "replay: %s sequence %" PRIu64 " (%s, key %" PRIu64 ", caused by %" PRIu64
                        " of %s) is not what its handlers publish now: %s%s",
                        partition->out->name, event->sequence, topic->name, event->key,
                        hl_id_sequence(event->causation_id),
                        from < self->bus->partition_count ? self->bus->partitions[from].out->name
                                                          : "no partition",
                        what, *what == 't' && strncmp(what, "there", 5) == 0 ? "" : " differs");
}

/* ---- names and numbers of this bus ---- */

static hl_topic_entry *topic_of(replay *self, const hl_journal_entry *entry)
{
    return hl_adopt_topic(&self->names, entry->event->topic, entry->topic,
                          (hl_topic_kind)entry->topic_kind, (int)entry->topic_priority);
}

/* *ret_partition NULL: this bus has no such domain. */
static hl_status partition_of(replay *self, const hl_journal_entry *entry,
                              hl_partition **ret_partition)
{
    const uint32_t number = entry->partition_number;
    hl_partition *const partitions = self->bus->partitions;
    *ret_partition = NULL;
    if (number < self->bus->partition_count && partitions[number].shard == entry->shard &&
        partitions[number].domain->config.shards == entry->shards &&
        strcmp(partitions[number].domain->name, entry->domain) == 0) {
        *ret_partition = &partitions[number];
        return HL_OK;
    }
    const hl_domain *const domain =
        hl_bus_find_domain(self->bus, entry->domain, strlen(entry->domain));
    if (domain == NULL)
        return HL_OK;
    if (domain->config.shards != entry->shards)
        return hl_error_set(self->error, HL_INVALID,
                            "replay: %s has %u shards here, and %u in the journal: use as many",
                            entry->domain, domain->config.shards, entry->shards);
    *ret_partition = &partitions[domain->first_partition + entry->shard];
    return HL_OK;
}

/* ---- feeding ---- */

static void turn_as(replay *self, hl_executor *executor)
{
    if (executor == self->turning)
        return;
    if (self->turning != NULL)
        hl_executor_go_offline(self->turning);
    self->turning = executor;
    if (executor != NULL)
        hl_executor_go_online(executor);
}

static void keep_pace(replay *self, uint64_t event_ns)
{
    if (self->options->speed <= 0.0)
        return;
    if (self->began_ns == 0) {
        self->began_ns = hl_monotonic_ns();
        self->first_ns = event_ns;
    }
    const double since_ns = event_ns > self->first_ns ? (double)(event_ns - self->first_ns) : 0.0;
    const uint64_t at_ns = self->began_ns + (uint64_t)(since_ns / self->options->speed);
    const struct timespec until = {.tv_sec = (time_t)(at_ns / HL_SECOND),
                                   .tv_nsec = (long)(at_ns % HL_SECOND)};
    if (at_ns > hl_monotonic_ns())
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

/* What waits for a time that has come by now. */
static void serve_dues(replay *self)
{
    for (uint32_t i = 0; i < self->bus->executor_count; i++) {
        hl_executor *const executor = &self->bus->executors[i];
        if (executor->open_dues == 0)
            continue;
        turn_as(self, executor);
        executor->now_ns = self->now_ns;
        while (executor->open_dues != 0 &&
               hl_dues_serve(executor, self->now_ns, HL_PRIORITIES) != 0) {
        }
    }
}

/* Those of the partition that have not seen this event yet see it. */
static void wake_sleepers(const replay *self, const hl_partition *partition, uint64_t sequence)
{
    for (uint32_t i = 0; self->plan != NULL && i < self->plan->sleeper_count; i++) {
        const hl_replay_sleeper *const sleeper = &self->plan->sleepers[i];
        if (sleeper->partition == partition->number && sleeper->until_sequence < sequence &&
            sleeper->cell->state == HL_CELL_WAITING)
            /* START: (subscription.h) release, as hl_cell_attach. */
            hl_store_release_u32(&sleeper->cell->state, HL_CELL_ATTACHED);
    }
}

/* It is the time of this event; what was due before it is done. */
static void come_to(replay *self, const hl_event *event)
{
    if (event->published_ns > self->now_ns)
        self->now_ns = event->published_ns;
    keep_pace(self, event->published_ns);
    serve_dues(self);
}

/* Whether a handler has published here what the journal shows now; a rebuild's is confirmed by it.
 * Of a recomputed one its outlet's next is compared, so that one is enough. */
static bool is_published(replay *self, const hl_partition *partition, const hl_event *event)
{
    const uint32_t from = hl_id_partition(event->causation_id);
    if (!wants_outputs(self) || event->causation_id == 0 || from >= self->bus->partition_count)
        return true; /* nobody asks */
    if (event->source != self->bus->partitions[from].out->source)
        return true; /* a worker has, for an async handler: none of those runs here */
    if (self->plan != NULL)
        return hl_unconfirmed_confirm(self->plan->unconfirmed, partition, event);
    return queue_of(self, from, partition->number, event->priority)->first != NULL;
}

/* The journal shows an event that no handler has published here. If its cause waits to be tried
 * again, or in a batch, that was done by then, early: a stop does. False: it does not wait. */
static bool catch_up(replay *self, const hl_event *event)
{
    hl_partition *const partition = &self->bus->partitions[hl_id_partition(event->causation_id)];
    const uint64_t sequence = hl_id_sequence(event->causation_id);
    turn_as(self, partition->executor);
    partition->executor->now_ns = self->now_ns;
    if (hl_guard_hurry(partition, sequence)) {
        serve_dues(self);
        return true;
    }
    /* Another handler's, as it seems: no reason to cut a batch. */
    if (self->plan != NULL && hl_unconfirmed_is_replaced(self->plan->unconfirmed, event))
        return false;
    return hl_boxes_hurry(partition, sequence);
}

static void give(replay *self, hl_partition *partition, const hl_event *event)
{
    self->given_ns = self->now_ns;
    turn_as(self, partition->executor);
    partition->executor->now_ns = self->now_ns;
    wake_sleepers(self, partition, event->sequence);
    hl_dispatch_replayed(partition, event);
    self->report->events++;
    if (event->sequence > self->last_sequences[partition->number])
        self->last_sequences[partition->number] = event->sequence;
}

static hl_status feed(replay *self, const hl_journal_entry *entry)
{
    hl_partition *partition;
    const hl_status status = partition_of(self, entry, &partition);
    if (status != HL_OK)
        return status;
    const hl_topic_entry *const topic = partition != NULL ? topic_of(self, entry) : NULL;
    if (topic == NULL || topic->domain != partition->domain) {
        self->report->foreign++;
        return HL_OK;
    }
    hl_event *const event = self->event;
    memcpy(event, entry->event, sizeof *event + entry->event->payload_size);
    event->topic = topic->number;
    event->source = hl_adopt_source(&self->names, entry->event->source, entry->source);
    event->flags |= HL_EVENT_REPLAYED;
    const bool is_external = (event->flags & HL_EVENT_EXTERNAL) != 0;
    self->report->external += is_external;
    /* First: a retry may be what has published it. */
    come_to(self, event);
    while (!is_published(self, partition, event) && catch_up(self, event)) {
    }
    const bool recomputes = self->options->mode == HL_REPLAY_RECOMPUTE && !is_external;
    if (recomputes && is_of_async(self, partition, event)) {
        self->report->of_async++;
    } else if (recomputes) {
        const hl_status same = compare(self, partition, event);
        if (same != HL_OK)
            return same;
    }
    if (self->plan == NULL || event->sequence > self->plan->after[partition->number])
        give(self, partition, event);
    return self->out_of_memory ? hl_error_set(self->error, HL_NO_MEMORY,
                                              "replay: no memory for what handlers publish")
                               : HL_OK;
}

/* What is not there. */
static hl_status pass_over(replay *self, const hl_journal_entry *entry)
{
    hl_partition *partition = NULL;
    uint64_t after = 0;
    const hl_status status = self->plan != NULL ? partition_of(self, entry, &partition) : HL_OK;
    if (status != HL_OK)
        return status;
    if (partition != NULL)
        after = self->plan->after[partition->number];
    if (entry->last_sequence < entry->first_sequence || entry->last_sequence <= after)
        return HL_OK;
    if (partition != NULL && entry->kind == HL_JOURNAL_REMOVED)
        return hl_error_set(self->error, HL_NOT_FOUND,
                            "rebuild: the journal of %s begins at sequence %" PRIu64
                            ", and no snapshot can be loaded that goes up to %" PRIu64
                            ": what its aggregates were is not to be known",
                            entry->partition, entry->last_sequence + 1, entry->last_sequence);
    const uint64_t first = entry->first_sequence > after ? entry->first_sequence : after + 1;
    self->report->missing += entry->last_sequence - first + 1;
    return HL_OK;
}

static hl_status feed_all(replay *self)
{
    hl_journal_entry entry;
    hl_status status;
    while ((status = hl_journal_reader_next(self->reader, &entry, self->error)) == HL_OK) {
        const hl_status fed =
            entry.kind == HL_JOURNAL_EVENT ? feed(self, &entry) : pass_over(self, &entry);
        if (fed != HL_OK)
            return fed;
    }
    return status == HL_NOT_FOUND ? HL_OK : status;
}

/* ---- before and after ---- */

/* By the bus that goes on with its own journals; of another one by what there is to be read. */
static bool is_journaled(const replay *self, const hl_partition *partition)
{
    const hl_stream *stream;
    if (self->bus->journals != NULL)
        return partition->recorder != NULL;
    for (size_t i = 0; (stream = hl_reader_stream(self->reader, i)) != NULL; i++)
        if (strcmp(stream->name.text, partition->out->name) == 0)
            return true;
    return false;
}

/* Has each partition read from where the plan says, and lets those sleep that are further. */
static hl_status begin_by_plan(replay *self)
{
    const hl_replay_plan *const plan = self->plan;
    for (uint32_t i = 0; i < plan->sleeper_count; i++)
        if (plan->sleepers[i].cell->state == HL_CELL_ATTACHED)
            plan->sleepers[i].cell->state = HL_CELL_WAITING;
    self->is_journaled = calloc(self->bus->partition_count, sizeof *self->is_journaled);
    hl_status status = self->is_journaled != NULL
                           ? HL_OK
                           : hl_error_set(self->error, HL_NO_MEMORY, "rebuild: no memory");
    for (uint32_t i = 0; status == HL_OK && i < self->bus->partition_count; i++) {
        self->is_journaled[i] = is_journaled(self, &self->bus->partitions[i]);
        status = hl_reader_seek_partition(self->reader, self->bus->partitions[i].out->name,
                                          plan->after[i] + 1, plan->confirm_from_ns, self->error);
        self->last_sequences[i] =
            plan->after[i] > self->last_sequences[i] ? plan->after[i] : self->last_sequences[i];
    }
    return status;
}

static hl_status check(replay *self)
{
    hl_bus *const bus = self->bus;
    hl_status status = HL_OK;
    hl_bus_lock(bus);
    if (bus->control->state != HL_BUS_CREATED)
        status = hl_error_set(self->error, HL_WRONG_STATE,
                              "replay: the bus is live: make a bus, replay, then start it");
    for (const hl_subscription *s = bus->control->subscriptions; s != NULL; s = s->next)
        if (status == HL_OK && s->async != NULL)
            status = hl_error_set(self->error, HL_UNSUPPORTED,
                                  "replay: subscription %s is async; nothing runs it before start",
                                  s->name);
    if (status == HL_OK && hl_handler_lanes_make(bus, NULL) != HL_OK)
        status =
            hl_error_set(self->error, HL_NO_MEMORY, "replay: %s", bus->control->last_error.text);
    hl_bus_unlock(bus);
    return status;
}

static hl_status open_reader(replay *self)
{
    hl_journal_reader_options reading = self->options->reading;
    hl_status status = HL_OK;
    if (reading.keys == NULL)
        status = hl_journals_keys(self->bus, &reading.keys, self->error);
    return status == HL_OK ? hl_journal_reader_open(&reading, &self->reader, self->error) : status;
}

static hl_status begin(replay *self)
{
    hl_bus *const bus = self->bus;
    const size_t pairs = (size_t)bus->partition_count * bus->partition_count;
    const bool has_names = hl_adoption_init(&self->names, bus);
    self->queues = calloc(pairs * HL_PRIORITIES, sizeof *self->queues);
    self->last_sequences = calloc(bus->partition_count, sizeof *self->last_sequences);
    self->event = hl_allocate(1, sizeof(hl_event) + ((size_t)1 << 20));
    if (!has_names || self->queues == NULL || self->last_sequences == NULL || self->event == NULL)
        return hl_error_set(self->error, HL_NO_MEMORY, "replay: no memory");
    const hl_status status = check(self);
    if (status != HL_OK)
        return status;
    hl_executor_register_thread();
    self->has_begun = true;
    self->clock = bus->clock;
    hl_clock_init(&bus->clock, read_clock, self);
    for (uint32_t i = 0; i < bus->partition_count; i++) {
        self->last_sequences[i] = bus->partitions[i].sequence;
        bus->partitions[i].out->see_staged = see_staged;
        bus->partitions[i].out->see_context = self;
    }
    /* What was subscribed so far is taken up. */
    for (uint32_t i = 0; i < bus->executor_count; i++) {
        turn_as(self, &bus->executors[i]);
        hl_executor_obey(&bus->executors[i]);
    }
    const hl_status opened = open_reader(self);
    return opened == HL_OK && self->plan != NULL ? begin_by_plan(self) : opened;
}

/* The bus is as it was, but for what its handlers have seen. */
static void end(replay *self)
{
    hl_bus *const bus = self->bus;
    turn_as(self, NULL);
    hl_journal_reader_close(self->reader);
    if (!self->has_begun)
        return;
    for (uint32_t i = 0; i < bus->partition_count; i++)
        wake_sleepers(self, &bus->partitions[i], UINT64_MAX);
    bus->clock = self->clock;
    for (uint32_t i = 0; i < bus->partition_count; i++) {
        hl_partition *const partition = &bus->partitions[i];
        partition->sequence = partition->sequence_base = self->last_sequences[i];
        partition->out->see_staged = NULL;
    }
}

static void free_all(replay *self)
{
    const size_t pairs = (size_t)self->bus->partition_count * self->bus->partition_count;
    for (size_t i = 0; self->queues != NULL && i < pairs * HL_PRIORITIES; i++)
        while (self->queues[i].first != NULL) {
            self->report->unrecorded++;
            free(take_output(&self->queues[i], &self->queues[i].first));
        }
    hl_adoption_free(&self->names);
    free(self->queues);
    free(self->last_sequences);
    free(self->is_journaled);
    free(self->event);
}

static hl_status run(hl_bus *bus, const hl_replay_options *options, const hl_replay_plan *plan,
                     hl_replay_report *ret_report, uint64_t *ret_last_ns, hl_error *error)
{
    replay self = {
        .bus = bus, .options = options, .plan = plan, .report = ret_report, .error = error};
    *ret_report = (hl_replay_report){0};
    hl_status status = begin(&self);
    if (status == HL_OK)
        status = feed_all(&self);
    end(&self);
    free_all(&self);
    *ret_last_ns = self.given_ns;
    return status;
}

hl_status hl_bus_replay(hl_bus *bus, const hl_replay_options *options, hl_replay_report *ret_report,
                        hl_error *error)
{
    uint64_t last_ns;
    *ret_report = (hl_replay_report){0};
    if (options->size != sizeof *options || options->speed < 0.0)
        return hl_error_set(error, HL_INVALID,
                            "replay: begin with HL_REPLAY_OPTIONS_INIT, and a speed of 0 or more");
    if (hl_bus_is_detached(bus))
        return hl_error_set(error, HL_DETACHED, "replay: this is a fork's child");
    if (hl_turning != NULL)
        return hl_error_set(error, HL_WRONG_THREAD, "replay: not from a handler");
    return run(bus, options, NULL, ret_report, &last_ns, error);
}

hl_status hl_replay_by_plan(hl_bus *bus, const hl_replay_options *options,
                            const hl_replay_plan *plan, hl_replay_report *ret_report,
                            uint64_t *ret_last_ns, hl_error *error)
{
    return run(bus, options, plan, ret_report, ret_last_ns, error);
}
