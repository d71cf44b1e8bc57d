#include "health/counter.h"

#include <hotlane/dlq.h>

#include "bus/subscription.h"
#include "fault/faults.h"
#include "journal/journals.h"

/* What is read of a thread, of a journal, and of the bus. */
typedef struct thread_counts {
    uint64_t turns, events, parks;
} thread_counts;

typedef struct journal_counts {
    uint64_t in_flight; /* to the disk */
    uint64_t unjournaled, degradations, syncs, written_bytes;
    uint64_t removed_segments, removed_bytes;
    uint64_t packed_segments, unpacked_bytes, packed_bytes;
    uint64_t keep_failures; /* of the journal as a whole */
} journal_counts;

typedef struct bus_counts {
    uint64_t refused, notices_lost;
    uint64_t workers, backlog;
    uint64_t dead_letters, dead_letters_added, dead_letters_lost;
} bus_counts;

typedef union counts {
    hl_lane_stats lane;
    hl_subscription_stats subscription;
    thread_counts thread;
    journal_counts journal;
    bus_counts bus;
} counts;

#define LANE(field, meaning) {"lane." #field, HL_COUNTER_LANE, offsetof(hl_lane_stats, field)},
#define SUBSCRIPTION(field, meaning) \
    {"subscription." #field, HL_COUNTER_SUBSCRIPTION, offsetof(hl_subscription_stats, field)},
#define THREAD(field)                                                       \
    {                                                                       \
        "thread." #field, HL_COUNTER_THREAD, offsetof(thread_counts, field) \
    }
#define JOURNAL(field)                                                         \
    {                                                                          \
        "journal." #field, HL_COUNTER_JOURNAL, offsetof(journal_counts, field) \
    }
#define BUS(field)                                                 \
    {                                                              \
        "bus." #field, HL_COUNTER_BUS, offsetof(bus_counts, field) \
    }

static const hl_counter all[] = {HL_LANE_COUNTERS(LANE)                 /* */
                                 LANE(holds, "")                        /* */
                                 HL_SUBSCRIPTION_COUNTERS(SUBSCRIPTION) /* */
                                 SUBSCRIPTION(failures, "") SUBSCRIPTION(slow, "")
                                     SUBSCRIPTION(ejections, "") /* */
                                 THREAD(turns),
                                 THREAD(events),
                                 THREAD(parks),
                                 JOURNAL(in_flight),
                                 JOURNAL(unjournaled),
                                 JOURNAL(degradations),
                                 JOURNAL(syncs),
                                 JOURNAL(written_bytes),
                                 JOURNAL(removed_segments),
                                 JOURNAL(removed_bytes),
                                 JOURNAL(packed_segments),
                                 JOURNAL(unpacked_bytes),
                                 JOURNAL(packed_bytes),
                                 JOURNAL(keep_failures),
                                 BUS(refused),
                                 BUS(notices_lost),
                                 BUS(workers),
                                 BUS(backlog),
                                 BUS(dead_letters),
                                 BUS(dead_letters_added),
                                 BUS(dead_letters_lost)};

#define COUNTERS (sizeof all / sizeof *all)

const char *hl_alert_counter(uint32_t index)
{
    return index < COUNTERS ? all[index].name : NULL;
}

const hl_counter *hl_counter_find(const char *name)
{
    for (size_t i = 0; i < COUNTERS; i++)
        if (strcmp(all[i].name, name) == 0)
            return &all[i];
    return NULL;
}

bool hl_counter_lane(const char *of, hl_name *ret_domain, int *ret_priority)
{
    const hl_name domain = {of, strcspn(of, "/")};
    int priority = -1;
    if (of[domain.bytes] == '/') {
        const char *const name = of + domain.bytes + 1;
        priority = hl_priority_find((hl_name){name, strlen(name)});
        if (priority < 0)
            return false;
    }
    *ret_domain = domain;
    *ret_priority = priority;
    return true;
}

/* ---- reading ---- */

/* Of all of them together. */
static bool is_all(const char *of)
{
    return *of == '\0';
}

static void add_lanes(hl_lane_stats *sum, const hl_lane_stats *lane)
{
#define ADD(field, meaning) sum->field += lane->field;
    HL_LANE_COUNTERS(ADD)
#undef ADD
    sum->holds += lane->holds;
}

static bool read_lanes(const hl_bus *bus, const char *of, hl_lane_stats *ret_sum)
{
    hl_name domain = {of, 0};
    int priority = -1;
    hl_counter_lane(of, &domain, &priority); /* it was checked with the configuration */
    for (uint32_t i = 0; i < bus->config.domain_count; i++) {
        const char *const name = bus->domains[i].name;
        hl_lane_stats lane;
        if (!is_all(of) && (strlen(name) != domain.bytes || memcmp(name, of, domain.bytes) != 0))
            continue;
        if (hl_bus_lane_stats(bus, name, priority, &lane) != HL_OK)
            return false;
        add_lanes(ret_sum, &lane);
    }
    return true;
}

static void add_subscription(hl_subscription_stats *sum, const hl_subscription_stats *one)
{
#define ADD(field, meaning) sum->field += one->field;
    HL_SUBSCRIPTION_COUNTERS(ADD)
#undef ADD
    sum->failures += one->failures;
    sum->slow += one->slow;
    sum->ejections += one->ejections;
}

static void read_subscriptions(const hl_bus *bus, const char *of, hl_subscription_stats *ret_sum)
{
    hl_bus_lock(bus);
    const hl_control *const control = bus->control;
    for (const hl_subscription *s = control->subscriptions; s != NULL; s = s->next) {
        hl_subscription_stats one;
        if (!is_all(of) && strcmp(s->name, of) != 0)
            continue;
        hl_subscription_add_up(s, &one);
        add_subscription(ret_sum, &one);
    }
    for (uint32_t i = 0; i < control->closed_row_count; i++)
        if (is_all(of) || strcmp(control->closed_rows[i].name, of) == 0)
            add_subscription(ret_sum, &control->closed_rows[i]);
    hl_bus_unlock(bus);
}

static void read_threads(const hl_bus *bus, const char *of, thread_counts *ret_sum)
{
    hl_thread_status one;
    for (uint32_t i = 0; hl_bus_thread_status(bus, i, &one) == HL_OK; i++) {
        if (!is_all(of) && strcmp(one.name, of) != 0)
            continue;
        ret_sum->turns += one.turns;
        ret_sum->events += one.events;
        ret_sum->parks += one.parks;
    }
}

static void read_journals(const hl_bus *bus, const char *of, journal_counts *ret_sum)
{
    for (uint32_t i = 0; i < bus->partition_count; i++) {
        hl_partition_journal_stats one;
        if ((!is_all(of) && strcmp(bus->partitions[i].domain->name, of) != 0) ||
            hl_bus_journal_stats(bus, i, &one) != HL_OK)
            continue;
        ret_sum->in_flight += hl_journals_in_flight(bus, i);
        ret_sum->unjournaled += one.unjournaled;
        ret_sum->degradations += one.degradations;
        ret_sum->syncs += one.syncs;
        ret_sum->written_bytes += one.written_bytes;
        ret_sum->removed_segments += one.removed_segments;
        ret_sum->removed_bytes += one.removed_bytes;
        ret_sum->packed_segments += one.packed_segments;
        ret_sum->unpacked_bytes += one.unpacked_bytes;
        ret_sum->packed_bytes += one.packed_bytes;
        ret_sum->keep_failures = one.keep_failures;
    }
}

static void read_bus(hl_bus *bus, bus_counts *ret_counts)
{
    hl_pool_stats pool;
    hl_dlq_stats letters;
    ret_counts->refused = hl_bus_refused(bus);
    ret_counts->notices_lost = hl_bus_notices_lost(bus);
    if (hl_bus_pool_stats(bus, &pool) == HL_OK) {
        ret_counts->workers = pool.workers;
        ret_counts->backlog = pool.backlog;
    }
    if (hl_bus_dlq(bus) == NULL)
        return;
    hl_dlq_stats_get(hl_bus_dlq(bus), &letters);
    ret_counts->dead_letters = letters.waiting + letters.asked + letters.redriving;
    ret_counts->dead_letters_added = letters.added;
    ret_counts->dead_letters_lost = letters.lost;
}

bool hl_counter_read(hl_bus *bus, const hl_counter *counter, const char *of, uint64_t *ret_value)
{
    counts read;
    memset(&read, 0, sizeof read);
    switch (counter->scope) {
    case HL_COUNTER_LANE:
        if (!read_lanes(bus, of, &read.lane))
            return false;
        break;
    case HL_COUNTER_SUBSCRIPTION:
        read_subscriptions(bus, of, &read.subscription);
        break;
    case HL_COUNTER_THREAD:
        read_threads(bus, of, &read.thread);
        break;
    case HL_COUNTER_JOURNAL:
        read_journals(bus, of, &read.journal);
        break;
    case HL_COUNTER_BUS:
        read_bus(bus, &read.bus);
        break;
    }
    memcpy(ret_value, (const unsigned char *)&read + counter->offset, sizeof *ret_value);
    return true;
}
