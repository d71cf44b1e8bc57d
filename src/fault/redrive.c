#include "fault/redrive.h"

#include "base/allocate.h"
#include "bus/subscription.h"
#include "fault/guard.h"

#define REDRIVING_MAX 1024u /* events under way at once; more letters wait for their turn */

/* An event on its way to its partition, and there. */
typedef struct journey {
    hl_call call; /* first */
    hl_cell *cell;
    hl_partition *partition;
    hl_faults *faults;
    hl_kept kept; /* last: its payload follows */
} journey;

static journey *journey_of(hl_kept *kept)
{
    return (journey *)(void *)((unsigned char *)kept - offsetof(journey, kept));
}

/* ---- there ---- */

static void arrive(hl_executor *executor, hl_call *call)
{
    journey *const self = (journey *)(void *)call;
    /* Obeyed by the control plane, when its thread has ended: no handler runs any more. */
    if (hl_turning != executor || !hl_guard_redriven(self->partition, self->cell, &self->kept))
        hl_redrive_spend(self->faults, &self->kept);
}

/* The open subscription that a letter names, with its cell for that partition. Under the bus's
 * lock.
 */
static hl_cell *find_cell(const hl_bus *bus, const hl_dead_letter *letter, uint32_t partition)
{
    for (const hl_subscription *s = bus->control->subscriptions; s != NULL; s = s->next) {
        const uint32_t index = partition - s->first_partition;
        if (strcmp(s->name, letter->subscription) == 0 &&
            strcmp(s->pattern, letter->pattern) == 0 && !hl_subscription_is_closing(s) &&
            index < s->partition_count)
            return &s->cells[index];
    }
    return NULL;
}

static journey *pack(const hl_dead_letter *letter, const hl_topic_entry *topic, uint16_t source)
{
    const hl_event *const event = letter->event;
    journey *const self = hl_allocate(1, sizeof *self + event->payload_size);
    if (self == NULL)
        return NULL;
    hl_event *const copy = &self->kept.event;
    memcpy(copy, event, sizeof *event + event->payload_size);
    /* Numbers of the process that wrote it mean nothing here; names do. */
    copy->stamp = 0;
    copy->topic = topic->number;
    copy->source = source;
    copy->attempt = 0;
    copy->redriven = (uint8_t)(letter->redrives < 254 ? letter->redrives + 1 : 255);
    copy->priority = (uint8_t)(event->priority < HL_PRIORITIES ? event->priority : HL_BACKGROUND);
    copy->flags = (uint8_t)(event->flags & ~HL_EVENT_RETRIED);
    self->kept.redriven_id = letter->id;
    self->call.command = (hl_command){NULL, HL_COMMAND_CALL, &self->call};
    self->call.run = arrive;
    return self;
}

static hl_status send(hl_faults *faults, const hl_dead_letter *letter)
{
    hl_bus *const bus = faults->bus;
    if (bus->control->state != HL_BUS_RUNNING)
        return HL_FULL;
    const hl_topic_entry *const topic = hl_topic_find(bus, letter->topic);
    if (topic == NULL)
        return HL_NOT_FOUND;
    const hl_domain *const domain = topic->domain;
    const uint32_t room = domain->config.slot_size_bytes - (uint32_t)sizeof(hl_event);
    hl_partition *const partition =
        &bus->partitions[domain->first_partition +
                         hl_shard_of(letter->event->key, domain->config.shards)];
    hl_cell *const cell = find_cell(bus, letter, partition->number);
    if (cell == NULL || cell->guard == NULL || letter->event->payload_size > room)
        return HL_NOT_FOUND;
    journey *const self = pack(letter, topic, hl_bus_source(bus, letter->source));
    if (self == NULL)
        return HL_FULL;
    self->cell = cell;
    self->partition = partition;
    self->faults = faults;
    hl_fetch_add_relaxed_u64(&faults->redriving, 1); /* COUNTED (bus.h) */
    /* Under the lock: before any command that ends the subscription. */
    hl_executor_command(partition->executor, &self->call.command);
    return HL_OK;
}

hl_status hl_redrive(const hl_dead_letter *letter, void *context)
{
    hl_faults *const faults = context;
    if (hl_load_relaxed_u64(&faults->redriving) >= REDRIVING_MAX) /* Relaxed: a bound, not exact. */
        return HL_FULL;
    hl_bus_lock(faults->bus);
    const hl_status status = send(faults, letter);
    hl_bus_unlock(faults->bus);
    return status;
}

/* ---- and back ---- */

void hl_redrive_spend(hl_faults *faults, hl_kept *kept)
{
    void *head = hl_load_relaxed_ptr((void *const *)(void *)&faults->spent); /* SPENT: a guess. */
    do {
        kept->next = head;
        /* SPENT: release, its outcome is seen with it. */
    } while (!hl_compare_exchange_acq_rel_ptr((void **)(void *)&faults->spent, &head, kept));
}

/* Its letter comes back as it was: the event was not tried, or has no outcome. */
static bool give_back(hl_faults *faults, const journey *self)
{
    const hl_kept *const kept = &self->kept;
    const hl_dead_post post = {.topic = faults->topic_names[kept->event.topic],
                               .source = faults->source_names[kept->event.source],
                               .subscription = kept->names[0],
                               .pattern = kept->names[1],
                               .partition = self->partition->number,
                               .reason = HL_DEAD_STOPPED,
                               .error_code = kept->error_code,
                               .error_text = kept->error_text,
                               .attempts = kept->attempts,
                               .first_failed_ns = kept->first_failed_ns,
                               .last_failed_ns = hl_bus_now(faults->bus),
                               .redriven_id = kept->redriven_id};
    return hl_faults_post(faults, &post, &kept->event) == HL_OK;
}

/* False: there is no room for what is to be said; later. */
static bool tell(hl_faults *faults, const journey *self)
{
    const hl_kept *const kept = &self->kept;
    hl_error ignored; /* what does not work now is tried again */
    if (kept->is_settled)
        return true;
    if (!kept->was_handled)
        return give_back(faults, self);
    return hl_dead_letters_handled(faults->letters, kept->redriven_id, &ignored) != HL_NO_SPACE;
}

void hl_redrive_reap(hl_faults *faults)
{
    /* SPENT: acquire, pairs with each push. */
    hl_kept *kept = hl_exchange_acq_rel_ptr((void **)(void *)&faults->spent, NULL);
    while (kept != NULL) {
        hl_kept *const next = kept->next;
        if (tell(faults, journey_of(kept))) {
            free(journey_of(kept));
            hl_fetch_add_relaxed_u64(&faults->redriving, (uint64_t)-1); /* COUNTED (bus.h) */
        } else {
            hl_redrive_spend(faults, kept);
        }
        kept = next;
    }
}
