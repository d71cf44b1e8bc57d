#include "journal/unconfirmed.h"

#include <search.h>

#include "bus/output.h"

/* One that the journal has not shown. */
typedef struct output {
    struct output *next;
    uint32_t from, to; /* partitions */
    hl_event event;
    unsigned char payload[];
} output;

/* Of one outlet, but for state topics. */
typedef struct queue {
    output *first, **last;
} queue;

struct hl_unconfirmed {
    hl_bus *bus;
    queue *queues;  /* by (from, to, priority) */
    void *newest;   /* tsearch tree of outputs to state topics, by (from, topic, key) */
    uint64_t count; /* that were published again */
};

static int compare(const void *a, const void *b)
{
    const output *const left = a, *const right = b;
    if (left->event.key != right->event.key)
        return left->event.key < right->event.key ? -1 : 1;
    if (left->event.topic != right->event.topic)
        return left->event.topic < right->event.topic ? -1 : 1;
    return left->from == right->from ? 0 : left->from < right->from ? -1 : 1;
}

static queue *queue_of(const hl_unconfirmed *unconfirmed, uint32_t from, uint32_t to,
                       uint32_t priority)
{
    return &unconfirmed
                ->queues[((size_t)from * unconfirmed->bus->partition_count + to) * HL_PRIORITIES +
                         priority];
}

hl_unconfirmed *hl_unconfirmed_make(hl_bus *bus)
{
    const size_t pairs = (size_t)bus->partition_count * bus->partition_count;
    hl_unconfirmed *const unconfirmed = calloc(1, sizeof *unconfirmed);
    if (unconfirmed == NULL)
        return NULL;
    unconfirmed->bus = bus;
    unconfirmed->queues = calloc(pairs * HL_PRIORITIES, sizeof *unconfirmed->queues);
    if (unconfirmed->queues == NULL) {
        free(unconfirmed);
        return NULL;
    }
    for (size_t i = 0; i < pairs * HL_PRIORITIES; i++)
        unconfirmed->queues[i].last = &unconfirmed->queues[i].first;
    return unconfirmed;
}

void hl_unconfirmed_free(hl_unconfirmed *unconfirmed)
{
    if (unconfirmed == NULL)
        return;
    const size_t pairs =
        (size_t)unconfirmed->bus->partition_count * unconfirmed->bus->partition_count;
    for (size_t i = 0; i < pairs * HL_PRIORITIES; i++)
        while (unconfirmed->queues[i].first != NULL) {
            output *const one = unconfirmed->queues[i].first;
            unconfirmed->queues[i].first = one->next;
            free(one);
        }
    tdestroy(unconfirmed->newest, free);
    free(unconfirmed->queues);
    free(unconfirmed);
}

static bool is_state(const hl_unconfirmed *unconfirmed, const hl_event *event)
{
    return unconfirmed->bus->entries[event->topic]->options.kind == HL_STATE;
}

/* In the place of an older one of its key. */
static bool keep_newest(hl_unconfirmed *unconfirmed, output *one)
{
    output **const place = tsearch(one, &unconfirmed->newest, compare);
    if (place == NULL) {
        free(one);
        return false;
    }
    if (*place != one) {
        free(*place);
        *place = one;
    }
    return true;
}

bool hl_unconfirmed_see(hl_unconfirmed *unconfirmed, uint32_t from, const hl_outlet *outlet,
                        const hl_event *event)
{
    output *const one = malloc(sizeof *one + event->payload_size);
    if (one == NULL)
        return false;
    memcpy(&one->event, event, sizeof *event + event->payload_size);
    one->from = from;
    one->to = outlet->partition->number;
    one->next = NULL;
    if (is_state(unconfirmed, event))
        return keep_newest(unconfirmed, one);
    queue *const of = queue_of(unconfirmed, from, one->to, outlet->priority);
    *of->last = one;
    of->last = &one->next;
    return true;
}

static bool is_same(const output *one, const hl_event *event)
{
    return one->event.causation_id == event->causation_id && one->event.topic == event->topic &&
           one->event.key == event->key;
}

/* The newest of its key, in the tree; NULL: none is left. */
static output **newest_of(const hl_unconfirmed *unconfirmed, const hl_event *event)
{
    output wanted = {.from = hl_id_partition(event->causation_id)};
    wanted.event.key = event->key;
    wanted.event.topic = event->topic;
    return tfind(&wanted, &unconfirmed->newest, compare);
}

static bool confirm_newest(hl_unconfirmed *unconfirmed, const hl_event *event)
{
    output **const place = newest_of(unconfirmed, event);
    if (place == NULL || !is_same(*place, event))
        return false; /* a newer one is still to come */
    output *const one = *place;
    tdelete(one, &unconfirmed->newest, compare);
    free(one);
    return true;
}

bool hl_unconfirmed_confirm(hl_unconfirmed *unconfirmed, const hl_partition *partition,
                            const hl_event *event)
{
    const uint32_t from = hl_id_partition(event->causation_id);
    if (event->causation_id == 0 || from >= unconfirmed->bus->partition_count ||
        event->priority >= HL_PRIORITIES)
        return false;
    if (is_state(unconfirmed, event))
        return confirm_newest(unconfirmed, event);
    queue *const of = queue_of(unconfirmed, from, partition->number, event->priority);
    const output *found = of->first;
    while (found != NULL && !is_same(found, event))
        found = found->next;
    if (found == NULL)
        return false;
    bool more = true;
    while (more) {
        output *const one = of->first;
        more = one != found;
        of->first = one->next;
        free(one);
    }
    if (of->first == NULL)
        of->last = &of->first;
    return true;
}

bool hl_unconfirmed_is_replaced(const hl_unconfirmed *unconfirmed, const hl_event *event)
{
    output *const *const newest =
        is_state(unconfirmed, event) ? newest_of(unconfirmed, event) : NULL;
    return newest != NULL && (*newest)->event.causation_id > event->causation_id;
}

typedef struct search {
    uint32_t partition;
    bool found;
} search;

static void look_for(const void *node, VISIT visit, void *context)
{
    search *const of = context;
    if (visit == preorder || visit == leaf)
        of->found |= (*(const output *const *)node)->from == of->partition;
}

bool hl_unconfirmed_any_from(const hl_unconfirmed *unconfirmed, uint32_t partition)
{
    search of = {.partition = partition};
    for (uint32_t to = 0; to < unconfirmed->bus->partition_count; to++)
        for (uint32_t priority = 0; priority < HL_PRIORITIES; priority++)
            of.found |= queue_of(unconfirmed, partition, to, priority)->first != NULL;
    twalk_r(unconfirmed->newest, look_for, &of);
    return of.found;
}

/* As the handler did that the event had come from. */
static void publish(hl_unconfirmed *unconfirmed, const output *one)
{
    hl_publisher *const out = unconfirmed->bus->partitions[one->from].out;
    /* All that is read of it: whose story goes on. */
    const hl_event cause = {.correlation_id = one->event.correlation_id,
                            .sequence = hl_id_sequence(one->event.causation_id)};
    hl_claim claim;
    hl_dispatch_set_cause(out->partition, &cause);
    if (hl_try_claim_priority(out, (hl_topic){one->event.topic}, one->event.key,
                              (hl_priority)one->event.priority, one->event.payload_size,
                              &claim) == HL_OK) {
        memcpy(claim.payload, one->payload, one->event.payload_size);
        claim.event->schema_version = one->event.schema_version;
        hl_commit(&claim);
        unconfirmed->count++;
    }
    hl_output_settle(out, true);
    hl_dispatch_clear_cause(out->partition);
}

static void publish_newest(const void *node, VISIT visit, void *unconfirmed)
{
    if (visit == preorder || visit == leaf)
        publish(unconfirmed, *(const output *const *)node);
}

void hl_unconfirmed_publish(hl_unconfirmed *unconfirmed, uint64_t *ret_count)
{
    const size_t pairs =
        (size_t)unconfirmed->bus->partition_count * unconfirmed->bus->partition_count;
    for (size_t i = 0; i < pairs * HL_PRIORITIES; i++)
        for (const output *one = unconfirmed->queues[i].first; one != NULL; one = one->next)
            publish(unconfirmed, one);
    twalk_r(unconfirmed->newest, publish_newest, unconfirmed);
    *ret_count = unconfirmed->count;
}
