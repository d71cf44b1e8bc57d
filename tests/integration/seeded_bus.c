/*
 * A random bus on one thread, against a plain model of what it promises.
 *
 *     seeded_bus [FIRST_SEED [SEEDS]]        HOTLANE_SEEDS=N: that many instead of 300
 *
 * Each seed makes a bus (domains, shards, priorities, ring sizes), then publishes, claims, commits,
 * aborts, subscribes, unsubscribes, opens, closes, declares, and turns the executors, all at random
 * and under a virtual clock. Handlers publish, fail, subscribe and unsubscribe too. A witness, a
 * subscription to everything that runs before all others, compares each event with the model:
 *
 *   - it is the oldest committed one of its ring; its sequence follows the last of its partition;
 *     nothing higher waited unless the guard let it in, and the guard not twice in a row;
 *   - who is subscribed gets it, once, in order, alone or in a batch that is full, due or last;
 *   - what a failed handler published is never seen; cause and story are told;
 *   - hl_last has it; initial images are the newest values as of where the subscription starts;
 *   - all counters are those of the model, and conserved.
 *
 * A failure prints the seed, which fails again.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hotlane/hotlane.h>

#include "bus/bus.h"
#include "bus/pattern.h"
#include "tests/random.h"

#define MOST_DOMAINS       4
#define MOST_PARTITIONS    12
#define MOST_TOPICS        16
#define MOST_KEYS          8
#define MOST_PUBLISHERS    4
#define MOST_RINGS         2048
#define MOST_SUBSCRIPTIONS 256
#define MOST_CLAIMS        8
#define MOST_BATCH         8
#define MOST_DEPTH         3
#define PROCESSES          8

static uint64_t seed;

#define CHECK(condition, ...)                                                          \
    do {                                                                               \
        if (!(condition)) {                                                            \
            fprintf(stderr, "seed %" PRIu64 ": %s:%d: %s: ", seed, __FILE__, __LINE__, \
                    #condition);                                                       \
            fprintf(stderr, __VA_ARGS__);                                              \
            fputc('\n', stderr);                                                       \
            abort();                                                                   \
        }                                                                              \
    } while (0)

/* ---- chance ---- */

static uint64_t chance;

static uint32_t below(uint32_t n)
{
    return (uint32_t)random_below(&chance, n);
}

static bool one_in(uint32_t n)
{
    return below(n) == 0;
}

/* ---- the model ---- */

typedef struct payload {
    uint64_t id;
    uint32_t ring;
    uint32_t depth; /* of the story */
} payload;

typedef enum entry_state { ENTRY_OPEN, ENTRY_COMMITTED, ENTRY_GONE } entry_state;

typedef struct entry {
    uint64_t id, key, causation_id, correlation_id;
    entry_state state;
    uint32_t topic, depth;
} entry;

/* A ring as claims were made; first..count: not yet seen by the witness. */
typedef struct model_ring {
    uint32_t partition, priority, capacity;
    bool may_be_unlinked; /* nothing was dispatched there since it was made */
    entry *entries;
    uint32_t first, count, room;
} model_ring;

typedef struct model_topic {
    hl_topic handle;
    char name[32];
    uint32_t domain, priority, max_keys;
    bool is_state, any_priority;
    uint64_t serial; /* order of declaring, opening, subscribing */
    /* By shard. */
    struct {
        uint32_t keys; /* that have a value */
        bool has[MOST_KEYS];
        uint64_t id[MOST_KEYS], sequence[MOST_KEYS];
    } last[MOST_PARTITIONS];
    uint64_t refused;
} model_topic;

typedef struct model_publisher {
    hl_publisher *exclusive;
    hl_shared_publisher *shared;
    uint64_t serial;
    uint32_t ring_slots;
    uint32_t rings[MOST_PARTITIONS * HL_PRIORITIES]; /* number + 1; 0: none yet */
    uint64_t uses[MOST_DOMAINS];                     /* priorities it has lanes for */
} model_publisher;

typedef struct model_claim {
    hl_claim claim;
    model_publisher *publisher;
    uint32_t ring, index; /* of its first entry */
} model_claim;

typedef struct queued {
    uint64_t id, since_ns;
} queued;

typedef struct model_subscription {
    hl_subscription *handle; /* NULL: ended */
    uint32_t number;
    char name[16], pattern[32];
    bool has_predicate, has_image, is_batch, is_urgent;
    uint32_t batch_events;
    uint64_t batch_wait_ns;
    uint64_t serial;
    bool expects_closed; /* unsubscribed from a handler */
    uint32_t closed_calls;
    uint64_t expected_id; /* of the event in hand; 0: nothing */
    struct {
        bool attached;
        uint64_t start, images;
        queued queue[MOST_BATCH + MOST_KEYS * MOST_TOPICS];
        uint32_t queue_count;
    } at[MOST_PARTITIONS];
    uint64_t delivered, handled, filtered, skipped, cancelled, failures;
} model_subscription;

typedef struct model_door {
    uint64_t attempts, committed, rejected, aborted;
} model_door;

static struct {
    hl_bus *bus;
    uint64_t now_ns;
    hl_domain_config domains[MOST_DOMAINS];
    uint32_t domain_count, partition_count, guard_interval;
    uint32_t domain_of[MOST_PARTITIONS], first_of[MOST_DOMAINS];
    model_topic topics[MOST_TOPICS];
    uint32_t topic_count;
    model_ring rings[MOST_RINGS];
    uint32_t ring_count;
    model_publisher publishers[MOST_PUBLISHERS];
    uint32_t publisher_number;
    uint32_t shared_rings[MOST_PARTITIONS * HL_PRIORITIES];
    uint32_t handler_rings[MOST_PARTITIONS][MOST_PARTITIONS * HL_PRIORITIES];
    model_claim claims[MOST_CLAIMS];
    uint32_t claim_count;
    model_subscription subscriptions[MOST_SUBSCRIPTIONS];
    uint32_t subscription_count;
    model_door doors[MOST_PARTITIONS * HL_PRIORITIES];
    uint64_t next_id, next_serial, refused;
    uint64_t sequence[MOST_PARTITIONS];
    bool was_guard[MOST_PARTITIONS];
    bool had_image[MOST_PARTITIONS]; /* a handler ran since the last event, but for an image's */
    bool stopping;
    uint64_t dispatched;
} m;

static char names[MOST_DOMAINS][16] = {"d0", "d1", "d2", "d3"};

static uint64_t read_clock(void *context)
{
    (void)context;
    return m.now_ns;
}

static uint32_t shard_of(uint32_t domain, uint64_t key)
{
    return hl_shard_of(key, m.domains[domain].shards);
}

/* ---- rings ---- */

static uint32_t ring_at(uint32_t *numbers, uint32_t partition, uint32_t priority, uint32_t capacity)
{
    uint32_t *const number = &numbers[partition * HL_PRIORITIES + priority];
    if (*number == 0) {
        CHECK(m.ring_count < MOST_RINGS, "too many rings for the model");
        m.rings[m.ring_count] = (model_ring){.partition = partition,
                                             .priority = priority,
                                             .capacity = capacity,
                                             .may_be_unlinked = true};
        *number = ++m.ring_count;
    }
    return *number - 1;
}

/* Entries not yet seen, those that are gone with them or not. */
static uint32_t occupied(const model_ring *ring, bool with_gone)
{
    uint32_t count = 0;
    for (uint32_t i = ring->first; i < ring->count; i++)
        count += with_gone || ring->entries[i].state != ENTRY_GONE;
    return count;
}

static entry *append(model_ring *ring)
{
    if (ring->count == ring->room) {
        ring->room = ring->room == 0 ? 64 : 2 * ring->room;
        ring->entries = realloc(ring->entries, ring->room * sizeof *ring->entries);
        CHECK(ring->entries != NULL, "no memory");
    }
    return &ring->entries[ring->count++];
}

static void check_claim_answer(const model_ring *ring, hl_status status, uint32_t count,
                               bool from_handler)
{
    const uint32_t capacity = ring->capacity;
    if (status == HL_OK)
        CHECK(occupied(ring, false) + count <= capacity, "more than ring %d holds",
              (int)(ring - m.rings));
    else if (!from_handler) /* whose partition may just be taking a run from it */
        CHECK(occupied(ring, true) + count > capacity - capacity / 8, "ring %d is not full",
              (int)(ring - m.rings));
}

/* Notes `count` claimed slots and fills them in; the index of the first. */
static uint32_t note_claim(uint32_t ring_number, const hl_claim *claim, const model_topic *topic,
                           uint64_t key, uint32_t depth)
{
    model_ring *const ring = &m.rings[ring_number];
    const uint32_t index = ring->count;
    for (uint32_t i = 0; i < claim->count; i++) {
        const payload content = {++m.next_id, ring_number, depth};
        memcpy(hl_claim_event(claim, i) + 1, &content, sizeof content);
        *append(ring) = (entry){.id = content.id,
                                .key = key,
                                .topic = topic->handle.number,
                                .depth = depth,
                                .state = ENTRY_OPEN};
    }
    return index;
}

static void settle_entries(uint32_t ring, uint32_t index, uint32_t count, entry_state state)
{
    model_door *const door =
        &m.doors[m.rings[ring].partition * HL_PRIORITIES + m.rings[ring].priority];
    *(state == ENTRY_COMMITTED ? &door->committed : &door->aborted) += count;
    for (uint32_t i = 0; i < count; i++)
        m.rings[ring].entries[index + i].state = state;
}

/* ---- publishing from outside ---- */

static bool has_lane(const model_publisher *publisher, const model_topic *topic, uint32_t priority)
{
    return (publisher->uses[topic->domain] & UINT64_C(1) << priority) != 0;
}

/* The ring of a publish, or -1 when the publisher has no such lane. */
static int64_t find_ring(model_publisher *publisher, const model_topic *topic, uint64_t key,
                         uint32_t priority)
{
    const hl_domain_config *const domain = &m.domains[topic->domain];
    const uint32_t partition = m.first_of[topic->domain] + shard_of(topic->domain, key);
    if (!has_lane(publisher, topic, priority))
        return -1;
    if (publisher->shared != NULL)
        return ring_at(m.shared_rings, partition, priority, domain->ring_slots);
    return ring_at(publisher->rings, partition, priority,
                   publisher->ring_slots != 0 ? publisher->ring_slots : domain->ring_slots);
}

static hl_status claim_from(const model_publisher *publisher, const model_topic *topic,
                            uint64_t key, uint32_t priority, uint32_t count, hl_claim *claim)
{
    if (publisher->shared != NULL)
        return hl_shared_try_claim_run(publisher->shared, topic->handle, key, sizeof(payload),
                                       count, claim);
    if (priority != topic->priority)
        return hl_try_claim_priority(publisher->exclusive, topic->handle, key,
                                     (hl_priority)priority, sizeof(payload), claim);
    return hl_try_claim_run(publisher->exclusive, topic->handle, key, sizeof(payload), count,
                            claim);
}

static void settle_claim(uint32_t number, bool commit)
{
    model_claim *const open = &m.claims[number];
    settle_entries(open->ring, open->index, open->claim.count,
                   commit ? ENTRY_COMMITTED : ENTRY_GONE);
    if (commit)
        hl_commit(&open->claim);
    else
        hl_abort(&open->claim);
    m.claims[number] = m.claims[--m.claim_count];
}

/* Claims at random; the claim stays open. False: there was none. */
static bool claim_something(void)
{
    model_publisher *const publisher = &m.publishers[below(MOST_PUBLISHERS)];
    if (m.claim_count == MOST_CLAIMS || m.topic_count == 0 ||
        (publisher->exclusive == NULL && publisher->shared == NULL))
        return false;
    const model_topic *const topic = &m.topics[below(m.topic_count)];
    const uint64_t key = below(MOST_KEYS);
    const uint32_t priority = topic->any_priority && publisher->exclusive != NULL && one_in(2)
                                  ? below(HL_PRIORITIES)
                                  : topic->priority;
    const uint32_t wanted = priority == topic->priority && one_in(4) ? 1 + below(3) : 1;
    const int64_t ring = find_ring(publisher, topic, key, priority);
    hl_claim claim;
    if (ring >= 0 && wanted > m.rings[ring].capacity)
        return false;
    const hl_status status = claim_from(publisher, topic, key, priority, wanted, &claim);
    if (ring < 0) {
        CHECK(status == HL_NO_LANE, "%s", hl_status_name(status));
        m.refused++;
        return false;
    }
    model_door *const door = &m.doors[m.rings[ring].partition * HL_PRIORITIES + priority];
    door->attempts += wanted;
    CHECK(status == HL_OK || status == HL_FULL, "%s", hl_status_name(status));
    check_claim_answer(&m.rings[ring], status, wanted, false);
    if (status == HL_FULL) {
        door->rejected += wanted;
        return false;
    }
    m.claims[m.claim_count++] = (model_claim){claim, publisher, (uint32_t)ring,
                                              note_claim((uint32_t)ring, &claim, topic, key, 0)};
    return true;
}

static void open_or_close_publisher(void)
{
    model_publisher *const publisher = &m.publishers[below(MOST_PUBLISHERS)];
    if (publisher->exclusive != NULL || publisher->shared != NULL) {
        for (uint32_t i = m.claim_count; i-- > 0;)
            if (m.claims[i].publisher == publisher) {
                /* A shared publisher's claims cannot be told apart: they are settled first. */
                if (publisher->shared != NULL) {
                    settle_claim(i, one_in(2));
                    continue;
                }
                settle_entries(m.claims[i].ring, m.claims[i].index, m.claims[i].claim.count,
                               ENTRY_GONE);
                m.claims[i] = m.claims[--m.claim_count];
            }
        if (publisher->exclusive != NULL)
            hl_publisher_close(publisher->exclusive);
        else
            hl_shared_publisher_close(publisher->shared);
        memset(publisher, 0, sizeof *publisher);
        return;
    }
    hl_publisher_options options = HL_PUBLISHER_OPTIONS_INIT;
    char name[16];
    snprintf(name, sizeof name, "p%u", m.publisher_number++);
    publisher->serial = m.next_serial++;
    for (uint32_t d = 0; d < m.domain_count; d++)
        publisher->uses[d] = UINT64_C(1) << m.domains[d].priority;
    for (uint32_t i = 0; i < m.topic_count; i++)
        publisher->uses[m.topics[i].domain] |=
            m.topics[i].any_priority ? 31u : 1u << m.topics[i].priority;
    hl_status status;
    if (one_in(3)) {
        status = hl_shared_publisher_open(m.bus, name, &options, &publisher->shared);
    } else {
        publisher->ring_slots = options.ring_slots = one_in(2) ? 0 : 2u << below(3);
        status = hl_publisher_open(m.bus, name, &options, &publisher->exclusive);
    }
    CHECK(status == HL_OK, "%s", hl_status_name(status));
}

static void declare_something(void)
{
    if (m.topic_count == MOST_TOPICS)
        return;
    model_topic *const topic = &m.topics[m.topic_count];
    hl_topic_options options = HL_TOPIC_OPTIONS_INIT;
    memset(topic, 0, sizeof *topic);
    topic->domain = below(m.domain_count);
    snprintf(topic->name, sizeof topic->name, "%s.%c.%u", names[topic->domain],
             (char)('a' + below(2)), m.topic_count);
    topic->is_state = one_in(2);
    topic->any_priority = one_in(3) && !m.domains[topic->domain].fixed_priority;
    topic->priority = one_in(2) ? m.domains[topic->domain].priority : below(HL_PRIORITIES);
    topic->max_keys = 1 + below(MOST_KEYS);
    topic->serial = m.next_serial++;
    options.kind = topic->is_state ? HL_STATE : HL_DELTA;
    options.any_priority = topic->any_priority;
    options.priority = (int)topic->priority;
    options.max_keys = topic->is_state ? topic->max_keys : 0;
    const hl_status status = hl_topic_declare(m.bus, topic->name, &options, &topic->handle);
    CHECK(status == HL_OK, "%s", hl_status_name(status));
    CHECK(topic->handle.number == m.topic_count, "number %u", topic->handle.number);
    m.topic_count++;
}

/* ---- handlers ---- */

static void subscribe_something(void);
static void end_subscription(model_subscription *s, bool from_handler);
static model_subscription *open_subscription(void);

/* What a handler has claimed in this call. */
typedef struct staged {
    uint32_t ring, index, count;
    bool committed;
} staged;

static void publish_from_handler(const hl_event *cause, hl_publisher *out, uint32_t depth,
                                 staged *all, uint32_t *all_count)
{
    const model_topic *const topic = &m.topics[below(m.topic_count)];
    const uint32_t from = hl_id_partition(hl_current_id(out));
    const uint64_t key = below(MOST_KEYS);
    const uint32_t wanted = one_in(4) ? 2 : 1;
    const uint32_t partition = m.first_of[topic->domain] + shard_of(topic->domain, key);
    hl_claim claim;
    const hl_status status =
        hl_try_claim_run(out, topic->handle, key, sizeof(payload), wanted, &claim);
    if (m.domains[m.domain_of[from]].publishes_to == NULL) {
        CHECK(status == HL_NO_LANE, "%s", hl_status_name(status));
        m.refused++;
        return;
    }
    const uint32_t ring = ring_at(m.handler_rings[from], partition, topic->priority,
                                  m.domains[topic->domain].handler_ring_slots);
    model_door *const door = &m.doors[partition * HL_PRIORITIES + topic->priority];
    door->attempts += wanted;
    CHECK(status == HL_OK || status == HL_FULL, "%s", hl_status_name(status));
    check_claim_answer(&m.rings[ring], status, wanted, true);
    if (status == HL_FULL) {
        door->rejected += wanted;
        return;
    }
    const uint32_t index = note_claim(ring, &claim, topic, key, depth + 1);
    for (uint32_t i = 0; i < wanted; i++) {
        entry *const e = &m.rings[ring].entries[index + i];
        e->causation_id = hl_current_id(out);
        e->correlation_id = cause->correlation_id != 0 ? cause->correlation_id : e->causation_id;
    }
    const bool commit = !one_in(5);
    if (commit)
        hl_commit(&claim);
    else if (one_in(2))
        hl_abort(&claim);
    all[(*all_count)++] = (staged){ring, index, wanted, commit};
}

/* What the handler of `s` does at the event in hand, and answers. */
static hl_status act(model_subscription *s, const hl_event *event, hl_publisher *out)
{
    payload content;
    staged all[4];
    uint32_t all_count = 0;
    memcpy(&content, hl_payload(event), sizeof content);
    CHECK(hl_now_ns(out) == event->published_ns, "the handler's clock");
    if (content.depth < MOST_DEPTH && one_in(3))
        for (uint32_t n = below(4); n > 0; n--)
            publish_from_handler(event, out, content.depth, all, &all_count);
    if (one_in(60) && !m.stopping)
        subscribe_something();
    if (one_in(60)) {
        model_subscription *const other = one_in(2) && s->handle != NULL ? s : open_subscription();
        if (other != NULL)
            end_subscription(other, true);
    }
    const hl_status status = one_in(6) ? HL_FAILED : HL_OK;
    /* Backwards: what is withdrawn goes off the end of its ring. */
    while (all_count-- > 0) {
        const staged *const one = &all[all_count];
        settle_entries(one->ring, one->index, one->count,
                       one->committed && status == HL_OK ? ENTRY_COMMITTED : ENTRY_GONE);
        if (status != HL_OK)
            m.rings[one->ring].count = one->index;
    }
    return status;
}

static void check_image(model_subscription *s, const hl_event *event, uint64_t id)
{
    const model_topic *const topic = &m.topics[event->topic];
    const uint32_t shard = shard_of(topic->domain, event->key);
    const uint32_t partition = m.first_of[topic->domain] + shard;
    CHECK(s->has_image && topic->is_state, "subscription %s", s->name);
    CHECK(!s->at[partition].attached, "%s: an image after the stream has begun", s->name);
    CHECK(topic->last[shard].has[event->key], "%s: key %" PRIu64, topic->name, event->key);
    CHECK(topic->last[shard].id[event->key] == id &&
              topic->last[shard].sequence[event->key] == event->sequence,
          "%s: not the newest of key %" PRIu64, topic->name, event->key);
    s->at[partition].images++;
    m.had_image[partition] = true;
}

static void count_outcome(model_subscription *s, hl_status status, uint32_t events)
{
    *(status == HL_OK ? &s->handled : &s->skipped) += events;
    s->failures += status != HL_OK;
}

static hl_status on_event(const hl_event *event, hl_publisher *out, void *context)
{
    model_subscription *const s = context;
    payload content;
    memcpy(&content, hl_payload(event), sizeof content);
    if ((event->flags & HL_EVENT_IMAGE) != 0) {
        check_image(s, event, content.id);
        s->delivered++;
    } else {
        CHECK(s->expected_id == content.id, "%s got %" PRIu64 ", not %" PRIu64, s->name, content.id,
              s->expected_id);
        s->expected_id = 0;
    }
    const hl_status status = act(s, event, out);
    count_outcome(s, status, 1);
    return status;
}

static bool wants(const hl_event *event)
{
    payload content;
    memcpy(&content, hl_payload(event), sizeof content);
    return content.id % 3 != 0;
}

static bool predicate(const hl_event *event, void *context)
{
    (void)context;
    return wants(event);
}

static void check_batch_is_due(const model_subscription *s, uint32_t partition,
                               const hl_batch *batch)
{
    const queued *const oldest = &s->at[partition].queue[0];
    CHECK(batch->count == s->batch_events || s->batch_wait_ns == 0 || m.stopping ||
              m.now_ns - oldest->since_ns >= s->batch_wait_ns,
          "%s: %u of %u events after %" PRIu64 " of %" PRIu64 " ns", s->name, batch->count,
          s->batch_events, m.now_ns - oldest->since_ns, s->batch_wait_ns);
}

static hl_status on_batch(const hl_batch *batch, hl_publisher *out, void *context)
{
    model_subscription *const s = context;
    const uint32_t partition = hl_id_partition(hl_current_id(out));
    uint32_t *const waiting = &s->at[partition].queue_count;
    queued *const queue = s->at[partition].queue;
    const hl_event *const first = batch->events[0];
    payload content;
    CHECK(batch->count >= 1 && batch->count <= s->batch_events, "%s: %u", s->name, batch->count);
    CHECK(s->handle != NULL, "%s has ended", s->name);
    memcpy(&content, hl_payload(first), sizeof content);
    if (batch->count == 1 && s->expected_id == content.id && (first->flags & HL_EVENT_IMAGE) == 0) {
        s->expected_id = 0; /* an urgent one, at once */
    } else {
        uint32_t taken = 0;
        for (uint32_t i = 0; i < batch->count; i++) {
            memcpy(&content, hl_payload(batch->events[i]), sizeof content);
            if ((batch->events[i]->flags & HL_EVENT_IMAGE) != 0)
                continue;
            CHECK(taken < *waiting && queue[taken].id == content.id,
                  "%s: %" PRIu64 " is not next in its batch", s->name, content.id);
            taken++;
        }
        if (taken == batch->count)
            check_batch_is_due(s, partition, batch);
        *waiting -= taken;
        memmove(queue, queue + taken, *waiting * sizeof *queue);
    }
    const hl_status status = act(s, batch->events[batch->count - 1], out);
    count_outcome(s, status, batch->count);
    return status;
}

static void on_closed(void *context)
{
    ((model_subscription *)context)->closed_calls++;
}

/* ---- subscriptions ---- */

static model_subscription *open_subscription(void)
{
    for (uint32_t tries = 0; tries < 8 && m.subscription_count != 0; tries++) {
        model_subscription *const s = &m.subscriptions[below(m.subscription_count)];
        if (s->handle != NULL)
            return s;
    }
    return NULL;
}

static void choose_pattern(char *ret_pattern, size_t size)
{
    const char *const domain = names[below(m.domain_count)];
    switch (below(5)) {
    case 0:
        snprintf(ret_pattern, size, ">");
        break;
    case 1:
        snprintf(ret_pattern, size, "*.a.>");
        break;
    case 2:
        snprintf(ret_pattern, size, "%s.>", domain);
        break;
    case 3:
        snprintf(ret_pattern, size, "%s.b.*", domain);
        break;
    default:
        if (m.topic_count == 0)
            snprintf(ret_pattern, size, "*.*.*");
        else
            memcpy(ret_pattern, m.topics[below(m.topic_count)].name, size);
    }
}

static void subscribe_something(void)
{
    if (m.subscription_count == MOST_SUBSCRIPTIONS)
        return;
    model_subscription *const s = &m.subscriptions[m.subscription_count];
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    /* What fails is given up at once: retries have a test of their own. */
    hl_retry_options once = HL_RETRY_OPTIONS_INIT;
    once.attempts = 0;
    options.retry = &once;
    memset(s, 0, sizeof *s);
    s->number = m.subscription_count;
    snprintf(s->name, sizeof s->name, "s%u", s->number);
    choose_pattern(s->pattern, sizeof s->pattern);
    bool has_state = false;
    for (uint32_t i = 0; i < m.topic_count; i++)
        has_state |= m.topics[i].is_state && hl_pattern_matches(s->pattern, m.topics[i].name);
    s->is_batch = one_in(3);
    s->has_image = has_state && !s->is_batch && one_in(2);
    s->has_predicate = !s->has_image && one_in(3);
    s->is_urgent = one_in(2);
    s->batch_events = 1 + below(MOST_BATCH);
    s->batch_wait_ns = one_in(3) ? 0 : 1 + below(1000);
    s->serial = m.next_serial++;
    options.name = s->name;
    options.order = (int)below(3);
    options.predicate = s->has_predicate ? predicate : NULL;
    options.concurrent = true;
    options.initial_image = s->has_image;
    options.batch = s->is_batch ? on_batch : NULL;
    options.batch_events = s->batch_events;
    options.batch_wait_ns = s->batch_wait_ns;
    options.batch_urgent = s->is_urgent;
    options.on_closed = on_closed;
    const hl_status status =
        hl_subscribe(m.bus, s->pattern, s->is_batch ? NULL : on_event, s, &options, &s->handle);
    CHECK(status == HL_OK, "%s: %s", s->pattern, hl_status_name(status));
    m.subscription_count++;
}

static void end_subscription(model_subscription *s, bool from_handler)
{
    hl_error error = {.text = ""};
    const hl_status status = hl_unsubscribe(s->handle, 0, &error);
    CHECK(status == (from_handler ? HL_DEFERRED : HL_OK), "%s: %s %s", s->name,
          hl_status_name(status), error.text);
    s->handle = NULL;
    s->expects_closed = from_handler;
    for (uint32_t p = 0; p < m.partition_count; p++) {
        s->cancelled += s->at[p].queue_count;
        s->at[p].queue_count = 0;
    }
    if (s->is_batch && s->expected_id != 0) {
        s->cancelled++;
        s->expected_id = 0;
    }
}

/* The keys that an image of `s` has at a partition now. */
static uint64_t image_size(const model_subscription *s, uint32_t partition)
{
    const uint32_t domain = m.domain_of[partition];
    uint64_t keys = 0;
    for (uint32_t i = 0; i < m.topic_count; i++) {
        const model_topic *const topic = &m.topics[i];
        if (topic->is_state && topic->domain == domain && topic->serial < s->serial &&
            hl_pattern_matches(s->pattern, topic->name))
            keys += topic->last[partition - m.first_of[domain]].keys;
    }
    return keys;
}

/* Before an event, or at rest: whom the partition has taken up since, and where. */
static void note_attached(uint32_t partition)
{
    for (uint32_t i = 0; i < m.subscription_count; i++) {
        model_subscription *const s = &m.subscriptions[i];
        uint64_t start;
        if (s->handle == NULL || s->at[partition].attached ||
            hl_subscription_start(s->handle, partition, &start) != HL_OK)
            continue;
        s->at[partition].attached = true;
        s->at[partition].start = start;
        CHECK(start == m.sequence[partition], "%s begins at %" PRIu64 ", not %" PRIu64, s->name,
              start, m.sequence[partition]);
        if (s->has_image)
            CHECK(s->at[partition].images == image_size(s, partition),
                  "%s: %" PRIu64 " of %" PRIu64 " keys", s->name, s->at[partition].images,
                  image_size(s, partition));
    }
}

/* All that was expected at the last event has come. */
static void check_nothing_is_expected(void)
{
    for (uint32_t i = 0; i < m.subscription_count; i++)
        CHECK(m.subscriptions[i].expected_id == 0, "%s missed %" PRIu64, m.subscriptions[i].name,
              m.subscriptions[i].expected_id);
}

static void expect(model_subscription *s, uint32_t partition, const hl_event *event, uint64_t id)
{
    s->delivered++;
    if (s->has_predicate && !wants(event)) {
        s->filtered++;
    } else if (s->is_batch && (s->is_urgent || event->priority > HL_HIGH)) {
        CHECK(s->at[partition].queue_count < s->batch_events, "%s: an overdue batch", s->name);
        s->at[partition].queue[s->at[partition].queue_count++] = (queued){id, m.now_ns};
    } else {
        s->expected_id = id;
    }
}

/* ---- the witness ---- */

static bool head_is_committed(const model_ring *ring)
{
    uint32_t at = ring->first;
    while (at < ring->count && ring->entries[at].state == ENTRY_GONE)
        at++;
    return at < ring->count && ring->entries[at].state == ENTRY_COMMITTED;
}

/* Priority: nothing higher waited, or it was the guard's turn. */
static void check_priority(const model_ring *ring)
{
    const uint32_t partition = ring->partition;
    bool higher = false, stepped_over = false;
    for (uint32_t i = 0; i < m.ring_count; i++) {
        const model_ring *const other = &m.rings[i];
        if (other->partition == partition && other->priority < ring->priority &&
            !other->may_be_unlinked)
            higher |= head_is_committed(other);
        /* Padding counts for the guard, and is not seen here. */
        if (other->partition == partition && other->first < other->count)
            stepped_over |= other->entries[other->first].state == ENTRY_GONE;
    }
    /* What the handlers of an image published came after the choice of this event. */
    higher &= !m.had_image[partition];
    m.had_image[partition] = false;
    CHECK(!higher || !m.was_guard[partition] || stepped_over, "the guard twice in a row");
    m.was_guard[partition] = higher;
    for (uint32_t i = 0; i < m.ring_count; i++)
        if (m.rings[i].partition == partition)
            m.rings[i].may_be_unlinked = false;
}

static const entry *take_head(model_ring *ring, uint64_t id)
{
    while (ring->first < ring->count && ring->entries[ring->first].state == ENTRY_GONE)
        ring->first++;
    CHECK(ring->first < ring->count, "event %" PRIu64 " of an empty ring", id);
    const entry *const head = &ring->entries[ring->first++];
    CHECK(head->state == ENTRY_COMMITTED && head->id == id,
          "ring %d: %" PRIu64 " before %" PRIu64 " (%d)", (int)(ring - m.rings), id, head->id,
          (int)head->state);
    return head;
}

static void keep_last(model_topic *topic, uint32_t shard, const hl_event *event, uint64_t id)
{
    struct {
        hl_event event;
        payload content;
    } last;
    const uint64_t key = event->key;
    if (!topic->is_state)
        return;
    const bool fits = topic->last[shard].has[key] || topic->last[shard].keys < topic->max_keys;
    const hl_status status = hl_last(m.bus, topic->handle, key, &last.event, sizeof last);
    CHECK(status == (fits ? HL_OK : HL_NOT_FOUND), "%s: %s", topic->name, hl_status_name(status));
    topic->refused += !fits;
    if (!fits)
        return;
    CHECK(last.content.id == id && last.event.sequence == event->sequence, "%s: key %" PRIu64,
          topic->name, key);
    topic->last[shard].keys += !topic->last[shard].has[key];
    topic->last[shard].has[key] = true;
    topic->last[shard].id[key] = id;
    topic->last[shard].sequence[key] = event->sequence;
}

static hl_status witness(const hl_event *event, hl_publisher *out, void *context)
{
    (void)context;
    payload content;
    const uint32_t partition = hl_id_partition(hl_current_id(out));
    memcpy(&content, hl_payload(event), sizeof content);
    check_nothing_is_expected();
    note_attached(partition);
    CHECK(event->sequence == m.sequence[partition] + 1, "sequence %" PRIu64 " after %" PRIu64,
          event->sequence, m.sequence[partition]);
    m.sequence[partition]++;
    CHECK(content.ring < m.ring_count, "ring %u", content.ring);
    model_ring *const ring = &m.rings[content.ring];
    CHECK(ring->partition == partition && ring->priority == event->priority, "ring %u",
          content.ring);
    check_priority(ring);
    const entry *const head = take_head(ring, content.id);
    CHECK(head->key == event->key && head->topic == event->topic && head->depth == content.depth,
          "event %" PRIu64 " is not what was published", content.id);
    CHECK(head->causation_id == event->causation_id &&
              head->correlation_id == event->correlation_id,
          "event %" PRIu64 " tells another story", content.id);
    CHECK(((event->flags & HL_EVENT_EXTERNAL) != 0) == (content.depth == 0), "flags");
    model_topic *const topic = &m.topics[event->topic];
    keep_last(topic, partition - m.first_of[topic->domain], event, content.id);
    for (uint32_t i = 0; i < m.subscription_count; i++) {
        model_subscription *const s = &m.subscriptions[i];
        if (s->handle != NULL && s->at[partition].attached &&
            hl_pattern_matches(s->pattern, topic->name))
            expect(s, partition, event, content.id);
    }
    m.dispatched++;
    return HL_OK;
}

/* ---- steps ---- */

static void make_bus(void)
{
    hl_config config = HL_CONFIG_INIT;
    hl_error error;
    m.now_ns = 1000000;
    m.domain_count = 1 + below(MOST_DOMAINS);
    for (uint32_t d = 0; d < m.domain_count; d++) {
        m.first_of[d] = m.partition_count;
        m.domains[d] = (hl_domain_config){.name = names[d],
                                          .priority = (hl_priority)below(HL_PRIORITIES),
                                          .fixed_priority = one_in(4),
                                          .shards = 1 + below(3),
                                          .slot_size_bytes = 128,
                                          .ring_slots = 2u << below(4),
                                          .handler_ring_slots = 2u << below(3),
                                          .publishes_to = one_in(6) ? NULL : "*"};
        for (uint32_t s = 0; s < m.domains[d].shards; s++)
            m.domain_of[m.partition_count++] = d;
    }
    config.domains = m.domains;
    config.domain_count = m.domain_count;
    config.threads = HL_THREADS_MANUAL;
    config.clock = read_clock;
    config.huge_pages = config.lock_memory = false;
    config.max_topics = MOST_TOPICS;
    config.guard_interval = m.guard_interval = 2 + below(6);
    config.ring_start_position = one_in(2) ? UINT64_MAX - below(64) : below(3);
    CHECK(hl_bus_create(&config, &m.bus, &error) == HL_OK, "%s", error.text);
    hl_subscription_options options = HL_SUBSCRIPTION_OPTIONS_INIT;
    hl_subscription *subscription;
    options.order = INT_MIN;
    options.concurrent = true;
    options.name = "witness";
    CHECK(hl_subscribe(m.bus, ">", witness, NULL, &options, &subscription) == HL_OK, "witness");
    CHECK(hl_bus_start(m.bus) == HL_OK, "start");
}

static void turn_one(uint32_t partition, uint32_t most)
{
    hl_executor_turn(hl_bus_executor(m.bus, partition), most);
    check_nothing_is_expected();
    note_attached(partition);
}

/* Until nothing moves; then nothing is due, and what was committed has passed. */
static void turn_to_rest(void)
{
    for (uint64_t before = UINT64_MAX; before != m.dispatched;) {
        before = m.dispatched;
        for (uint32_t round = 0; round < 4; round++)
            for (uint32_t p = 0; p < m.partition_count; p++)
                turn_one(p, 0);
    }
    for (uint32_t i = 0; i < m.subscription_count; i++)
        for (uint32_t p = 0; p < m.partition_count; p++) {
            const model_subscription *const s = &m.subscriptions[i];
            CHECK(s->at[p].queue_count == 0 ||
                      m.now_ns - s->at[p].queue[0].since_ns < s->batch_wait_ns,
                  "%s: a batch is overdue", s->name);
        }
    for (uint32_t i = 0; i < m.ring_count; i++)
        CHECK(!head_is_committed(&m.rings[i]), "ring %u is left", i);
}

static void check_conserved(void)
{
    hl_error error = {.text = ""};
    if (m.claim_count == 0)
        CHECK(hl_bus_check_conservation(m.bus, &error) == HL_OK, "%s", error.text);
}

static void step(void)
{
    const uint32_t choice = below(100);
    if (choice < 36) {
        if (claim_something() && !one_in(5))
            settle_claim(m.claim_count - 1, !one_in(10));
    } else if (choice < 46) {
        if (m.claim_count != 0)
            settle_claim(below(m.claim_count), !one_in(4));
    } else if (choice < 76) {
        static const uint32_t most[] = {0, 1, 2, 5, 100};
        turn_one(below(m.partition_count), most[below(5)]);
    } else if (choice < 82) {
        subscribe_something();
    } else if (choice < 86) {
        model_subscription *const s = open_subscription();
        if (s != NULL)
            end_subscription(s, false);
    } else if (choice < 90) {
        open_or_close_publisher();
    } else if (choice < 92) {
        declare_something();
    } else if (choice < 97) {
        m.now_ns += below(400);
    } else {
        turn_to_rest();
        check_conserved();
    }
}

/* ---- the end ---- */

static void check_lanes(void)
{
    for (uint32_t d = 0; d < m.domain_count; d++)
        for (int p = 0; p < HL_PRIORITIES; p++) {
            hl_lane_stats lane;
            model_door sum = {0};
            CHECK(hl_bus_lane_stats(m.bus, names[d], p, &lane) == HL_OK, "%s", names[d]);
            for (uint32_t s = 0; s < m.domains[d].shards; s++) {
                const model_door *const door =
                    &m.doors[(m.first_of[d] + s) * HL_PRIORITIES + (uint32_t)p];
                sum.attempts += door->attempts;
                sum.committed += door->committed;
                sum.rejected += door->rejected;
                sum.aborted += door->aborted;
            }
            CHECK(lane.attempts == sum.attempts && lane.committed == sum.committed &&
                      lane.rejected == sum.rejected && lane.aborted == sum.aborted,
                  "%s/%d: %" PRIu64 "/%" PRIu64 " attempts, %" PRIu64 "/%" PRIu64
                  " committed, %" PRIu64 "/%" PRIu64 " rejected, %" PRIu64 "/%" PRIu64 " aborted",
                  names[d], p, lane.attempts, sum.attempts, lane.committed, sum.committed,
                  lane.rejected, sum.rejected, lane.aborted, sum.aborted);
        }
    CHECK(hl_bus_refused(m.bus) == m.refused, "%" PRIu64 " refused", m.refused);
    for (uint32_t p = 0; p < m.partition_count; p++)
        CHECK(hl_bus_sequence(m.bus, p) == m.sequence[p], "partition %u", p);
    for (uint32_t i = 0; i < m.topic_count; i++)
        CHECK(hl_topic_keys_refused(m.bus, m.topics[i].handle) == m.topics[i].refused, "%s",
              m.topics[i].name);
}

static void check_subscriptions(void)
{
    hl_subscription_stats row;
    uint32_t rows = 0;
    for (uint32_t i = 0; hl_bus_subscription_stats(m.bus, i, &row) == HL_OK; i++) {
        if (strcmp(row.name, "witness") == 0)
            continue;
        rows++;
        const model_subscription *const s = &m.subscriptions[strtoul(row.name + 1, NULL, 10)];
        uint64_t queued_now = 0;
        for (uint32_t p = 0; p < m.partition_count; p++)
            queued_now += s->at[p].queue_count;
        CHECK(row.closed == (s->handle == NULL), "%s", s->name);
        CHECK(row.delivered == s->delivered && row.handled == s->handled &&
                  row.filtered == s->filtered && row.skipped + row.dead_lettered == s->skipped &&
                  row.failures == s->failures && row.cancelled == s->cancelled + queued_now,
              "%s: delivered %" PRIu64 "/%" PRIu64 ", handled %" PRIu64 "/%" PRIu64
              ", filtered %" PRIu64 "/%" PRIu64 ", skipped %" PRIu64 "/%" PRIu64
              ", cancelled %" PRIu64 "/%" PRIu64,
              s->name, row.delivered, s->delivered, row.handled, s->handled, row.filtered,
              s->filtered, row.skipped + row.dead_lettered, s->skipped, row.cancelled,
              s->cancelled + queued_now);
        CHECK(s->closed_calls == s->expects_closed, "%s: on_closed %u times", s->name,
              s->closed_calls);
    }
    CHECK(rows == m.subscription_count, "%u rows of %u", rows, m.subscription_count);
}

/* With nothing open a stop drains; with no time given it counts what it leaves. */
static void stop_bus(void)
{
    const bool drains = one_in(2);
    while (drains && m.claim_count != 0)
        settle_claim(m.claim_count - 1, one_in(2));
    m.stopping = true;
    const hl_status status = hl_bus_stop(m.bus, drains ? 60 * HL_SECOND : 0);
    uint64_t left = 0;
    for (uint32_t i = 0; i < m.ring_count; i++)
        for (uint32_t e = m.rings[i].first; e < m.rings[i].count; e++)
            left += m.rings[i].entries[e].state != ENTRY_GONE;
    for (uint32_t i = 0; i < m.claim_count; i++)
        settle_entries(m.claims[i].ring, m.claims[i].index, m.claims[i].claim.count, ENTRY_GONE);
    hl_stop_report report;
    hl_error error;
    hl_bus_error(m.bus, &error);
    CHECK(hl_bus_stop_report(m.bus, &report) == HL_OK, "report");
    CHECK(report.abandoned == left, "%" PRIu64 " abandoned, not %" PRIu64, report.abandoned, left);
    CHECK(status == HL_OK || (status == HL_TIMEOUT && !drains), "%s: %s", hl_status_name(status),
          error.text);
    check_nothing_is_expected();
    CHECK(hl_bus_check_conservation(m.bus, &error) == HL_OK, "%s", error.text);
    check_lanes();
    check_subscriptions();
}

static void run_seed(void)
{
    memset(&m, 0, sizeof m);
    chance = seed;
    make_bus();
    declare_something();
    for (uint32_t steps = 50 + below(400); steps > 0; steps--)
        step();
    stop_bus();
    hl_bus_destroy(m.bus);
    for (uint32_t i = 0; i < m.ring_count; i++)
        free(m.rings[i].entries);
}

/* Seeds from `first`, `count` of them, each `stride` on. */
static void run_seeds(uint64_t first, uint64_t count, uint64_t stride)
{
    uint64_t dispatched = 0;
    for (uint64_t i = 0; i < count; i += stride) {
        seed = first + i;
        run_seed();
        dispatched += m.dispatched;
    }
    CHECK(dispatched > 0, "nothing happened");
}

int main(int argc, char **argv)
{
    const char *const wanted = getenv("HOTLANE_SEEDS");
    const uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    const uint64_t count = argc > 2         ? strtoull(argv[2], NULL, 0)
                           : argc > 1       ? 1
                           : wanted != NULL ? strtoull(wanted, NULL, 0)
                                            : 300;
    if (count < PROCESSES) {
        run_seeds(first, count, 1);
        return EXIT_SUCCESS;
    }
    /* Destroying a bus waits for a grace period: others may run meanwhile. */
    int failures = 0;
    for (uint64_t i = 0; i < PROCESSES; i++) {
        if (fork() != 0)
            continue;
        run_seeds(first + i, count - i, PROCESSES);
        exit(EXIT_SUCCESS);
    }
    for (int outcome; wait(&outcome) > 0;)
        failures += outcome != 0;
    printf("seeds %" PRIu64 " to %" PRIu64 ": %d of %d processes failed\n", first,
           first + count - 1, failures, PROCESSES);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
