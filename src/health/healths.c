#include "health/healths.h"

#include <inttypes.h>
#include <stdio.h>

#include "bus/subscription.h"
#include "fault/faults.h"
#include "fault/fuse.h"
#include "flow/watch.h"
#include "health/alert.h"
#include "health/source.h"
#include "journal/journals.h"

/* Sources of one kind. Threads, lanes, journals: by their number; components in the order of
 * adding, subscriptions in that of subscribing. */
typedef struct source_group {
    hl_source *sources;
    uint32_t count, room;
} source_group;

struct hl_healths {
    hl_bus *bus;
    uint64_t looked_ns;   /* the housekeeper's */
    pthread_mutex_t lock; /* what readers see; taken before the bus's */
    source_group groups[HL_HEALTH_KINDS];
    hl_alert_state *alerts;
    hl_health_summary summary;
};

/* ---- telling ---- */

static void tell(hl_healths *healths, const hl_source *source, uint32_t number,
                 hl_health_status before, uint64_t lasted_ns, uint64_t now_ns)
{
    const hl_health *const health = &source->health;
    hl_system_health news = {.at_ns = now_ns,
                             .lasted_ns = lasted_ns,
                             .kind = health->kind,
                             .from = before,
                             .to = health->status,
                             .reason = health->reason,
                             .value = health->value,
                             .limit = health->limit};
    memcpy(news.name, health->name, sizeof news.name);
    memcpy(news.text, health->text, sizeof news.text);
    hl_notice(healths->bus, HL_TOPIC_HEALTH_CHANGED, (uint64_t)health->kind << 32 | number, &news,
              sizeof news);
    healths->summary.changes++;
    hl_log(healths->bus,
           health->status == HL_HEALTH_CRITICAL   ? HL_LOG_ERROR
           : health->status == HL_HEALTH_DEGRADED ? HL_LOG_WARNING
                                                  : HL_LOG_INFO,
           "health", "%s %s: %s, was %s%s%s", hl_health_kind_name(health->kind), health->name,
           hl_health_name(health->status), hl_health_name(before),
           health->text[0] != '\0' ? ": " : "", health->text);
}

static void judge(hl_healths *healths, hl_source *source, uint32_t number,
                  const hl_figures *figures, uint64_t now_ns)
{
    hl_health_status before;
    uint64_t lasted_ns;
    if (hl_source_step(source, &healths->bus->config.health, figures, now_ns, &before, &lasted_ns))
        tell(healths, source, number, before, lasted_ns, now_ns);
}

/* What a counter grows by a second; 0 as long as that is not known. */
static uint64_t rate(hl_rate *of, uint64_t count, uint64_t now_ns)
{
    uint64_t per_s = 0;
    hl_rate_step(of, count, now_ns, &per_s);
    return per_s;
}

/* Of one that is looked at for the first time: it was nothing but zeros. */
static void begin(hl_source *source, hl_health_kind kind, const char *name)
{
    if (source->is_there)
        return;
    source->is_there = true;
    source->health.kind = kind;
    snprintf(source->health.name, sizeof source->health.name, "%s", name);
}

/* One more behind the others of its kind. NULL: no memory. */
static hl_source *add(hl_healths *healths, hl_health_kind kind, const char *name)
{
    source_group *const group = &healths->groups[kind];
    if (group->count == group->room) {
        const uint32_t room = group->room == 0 ? 64 : 2 * group->room;
        hl_source *const sources = realloc(group->sources, room * sizeof *sources);
        if (sources == NULL)
            return NULL;
        group->sources = sources;
        group->room = room;
    }
    hl_source *const source = &group->sources[group->count++];
    memset(source, 0, sizeof *source);
    begin(source, kind, name);
    return source;
}

/* ---- threads ---- */

static void look_at_threads(hl_healths *healths, uint64_t now_ns)
{
    hl_bus *const bus = healths->bus;
    source_group *const group = &healths->groups[HL_HEALTH_THREAD];
    for (uint32_t i = 0; i < group->count; i++) {
        const hl_executor *const executor = &bus->executors[i];
        hl_source *const source = &group->sources[i];
        begin(source, HL_HEALTH_THREAD, executor->name);
        const uint64_t busy_pct =
            rate(&source->rates[0], hl_executor_busy_ns(executor), now_ns) / (HL_SECOND / 100);
        const hl_figures figures = {.of = {hl_watchdog_stalled_ns(bus->faults->watchdog, i, now_ns),
                                           hl_watch_executor_blocks(executor) ? 0 : busy_pct}};
        judge(healths, source, i, &figures, now_ns);
    }
}

/* ---- lanes ---- */

static void look_at_lane(hl_healths *healths, const hl_partition *partition, uint32_t priority,
                         const hl_fill *fill, uint64_t now_ns)
{
    const uint32_t number = partition->number * HL_PRIORITIES + priority;
    hl_source *const source = &healths->groups[HL_HEALTH_LANE].sources[number];
    if (!source->is_there && fill->slots == 0)
        return;
    char name[128];
    snprintf(name, sizeof name, "%s/%s", partition->out->name,
             hl_priority_name((hl_priority)priority));
    begin(source, HL_HEALTH_LANE, name);
    const hl_figures figures = {.of = {fill->slots == 0 || hl_watch_blocks(partition)
                                           ? 0
                                           : (uint64_t)fill->used * 100 / fill->slots}};
    judge(healths, source, number, &figures, now_ns);
}

/* Under the bus's lock. */
static void look_at_lanes(hl_healths *healths, uint64_t now_ns)
{
    for (uint32_t i = 0; i < healths->bus->partition_count; i++) {
        const hl_partition *const partition = &healths->bus->partitions[i];
        const hl_fills fills = hl_watch_fills(partition);
        for (uint32_t p = 0; p < HL_PRIORITIES; p++)
            look_at_lane(healths, partition, p, &fills.lanes[p], now_ns);
    }
}

/* ---- subscriptions ---- */

/* A subscription that is over: what was wrong with it is no more. */
static void end(hl_healths *healths, hl_source *source, uint64_t now_ns)
{
    const hl_health_status before = source->health.status;
    if (before == HL_HEALTH_OK)
        return;
    source->health.status = HL_HEALTH_OK;
    source->health.reason = HL_HEALTH_NO_REASON;
    source->health.value = source->health.limit = 0;
    snprintf(source->health.text, sizeof source->health.text, "ended");
    tell(healths, source, (uint32_t)source->identity, before, now_ns - source->health.since_ns,
         now_ns);
}

static hl_health_status breaker_status(const hl_subscription *subscription)
{
    switch (hl_fuse_state(subscription)) {
    case HL_BREAKER_OPEN:
        return HL_HEALTH_CRITICAL;
    case HL_BREAKER_HALF_OPEN:
        return HL_HEALTH_DEGRADED;
    default:
        return HL_HEALTH_OK;
    }
}

static void look_at_subscription(hl_healths *healths, hl_source *source,
                                 const hl_subscription *subscription, uint64_t now_ns)
{
    hl_subscription_stats stats;
    hl_subscription_add_up(subscription, &stats);
    const uint64_t given_up = stats.dead_lettered + stats.skipped + stats.lost;
    const hl_watchdog *const watchdog = healths->bus->faults->watchdog;
    const hl_figures figures = {.of = {hl_watchdog_budget_pct(watchdog, subscription, now_ns),
                                       rate(&source->rates[0], stats.failures, now_ns),
                                       rate(&source->rates[1], given_up, now_ns),
                                       breaker_status(subscription),
                                       stats.ejected ? HL_HEALTH_CRITICAL : HL_HEALTH_OK}};
    judge(healths, source, (uint32_t)source->identity, &figures, now_ns);
}

/* The place of the first source at or behind `from` that is not of an older subscription; those
 * that are have ended. */
static uint32_t end_older(hl_healths *healths, uint32_t from, uint64_t serial, uint64_t now_ns)
{
    source_group *const group = &healths->groups[HL_HEALTH_SUBSCRIPTION];
    while (from < group->count && group->sources[from].identity < serial) {
        end(healths, &group->sources[from], now_ns);
        group->sources[from++].is_there = false;
    }
    return from;
}

static void forget_ended(source_group *group)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < group->count; i++) {
        if (!group->sources[i].is_there)
            continue;
        if (kept != i)
            group->sources[kept] = group->sources[i];
        kept++;
    }
    group->count = kept;
}

/* Both lists are in the order of subscribing, so that they are walked side by side; a subscription
 * that is new is behind all those that were there. Under the bus's lock. */
static void look_at_subscriptions(hl_healths *healths, uint64_t now_ns)
{
    source_group *const group = &healths->groups[HL_HEALTH_SUBSCRIPTION];
    uint32_t at = 0, unwatched = 0;
    for (const hl_subscription *s = healths->bus->control->subscriptions; s != NULL; s = s->next) {
        if (hl_subscription_is_closing(s))
            continue;
        at = end_older(healths, at, s->serial, now_ns);
        if (at == group->count) {
            hl_source *const new = at < HL_HEALTH_SUBSCRIPTIONS_MAX
                                       ? add(healths, HL_HEALTH_SUBSCRIPTION, s->name)
                                       : NULL;
            if (new == NULL) {
                unwatched++;
                continue;
            }
            new->identity = s->serial;
        }
        look_at_subscription(healths, &group->sources[at++], s, now_ns);
    }
    end_older(healths, at, UINT64_MAX, now_ns);
    forget_ended(group);
    healths->summary.unwatched = unwatched;
}

/* ---- components ---- */

static void look_at_components(hl_healths *healths, uint64_t now_ns)
{
    source_group *const group = &healths->groups[HL_HEALTH_COMPONENT];
    hl_component_status status;
    for (uint32_t i = 0; hl_component_status_read(healths->bus, i, &status) == HL_OK; i++) {
        if (i == group->count && add(healths, HL_HEALTH_COMPONENT, status.name) == NULL)
            return;
        const bool is_started = status.state == HL_COMPONENT_STARTED;
        const hl_figures figures = {.of = {status.state == HL_COMPONENT_FAILED
                                               ? (uint64_t)HL_HEALTH_CRITICAL
                                           : is_started ? (uint64_t)status.health
                                                        : (uint64_t)HL_HEALTH_OK},
                                    .said = status.reason};
        judge(healths, &group->sources[i], i, &figures, now_ns);
    }
}

/* ---- journals ---- */

static uint64_t journal_state(const hl_partition_journal_stats *stats)
{
    if (stats->state == HL_JOURNAL_FAILED)
        return HL_HEALTH_CRITICAL;
    return stats->state == HL_JOURNAL_NO_SPACE || stats->degraded ? HL_HEALTH_DEGRADED
                                                                  : HL_HEALTH_OK;
}

static void look_at_journals(hl_healths *healths, uint64_t now_ns)
{
    source_group *const group = &healths->groups[HL_HEALTH_JOURNAL];
    for (uint32_t i = 0; i < group->count; i++) {
        const hl_partition *const partition = &healths->bus->partitions[i];
        hl_partition_journal_stats stats;
        if (hl_bus_journal_stats(healths->bus, i, &stats) != HL_OK)
            continue;
        begin(&group->sources[i], HL_HEALTH_JOURNAL, partition->out->name);
        const hl_figures figures = {.of = {hl_journals_in_flight(healths->bus, i) * 100 /
                                               partition->domain->config.journal_slots,
                                           journal_state(&stats),
                                           stats.keep_failing ? HL_HEALTH_DEGRADED : HL_HEALTH_OK},
                                    .said = stats.keep_reason};
        judge(healths, &group->sources[i], i, &figures, now_ns);
    }
}

/* ---- alerts ---- */

static const char *of_whom(const hl_alert_rule *rule)
{
    return rule->of != NULL ? rule->of : "";
}

static void tell_alert(hl_healths *healths, uint32_t index, uint64_t now_ns)
{
    const hl_alert_rule *const rule = &healths->bus->config.alerts[index];
    const hl_alert_state *const state = &healths->alerts[index];
    hl_system_alert news = {.at_ns = now_ns,
                            .lasted_ns = state->raised.is_on ? 0 : state->lasted_ns,
                            .is_raised = state->raised.is_on,
                            .severity = rule->severity,
                            .when = rule->when,
                            .value = state->value,
                            .limit = rule->limit,
                            .clear = hl_alert_clear(rule)};
    snprintf(news.name, sizeof news.name, "%s", rule->name);
    snprintf(news.counter, sizeof news.counter, "%s", rule->counter);
    snprintf(news.of, sizeof news.of, "%s", of_whom(rule));
    hl_notice(healths->bus, HL_TOPIC_ALERT, index, &news, sizeof news);
    healths->summary.raised += state->raised.is_on;
    hl_log(healths->bus,
           !state->raised.is_on                   ? HL_LOG_INFO
           : rule->severity == HL_HEALTH_CRITICAL ? HL_LOG_ERROR
                                                  : HL_LOG_WARNING,
           "alert", "%s %s: %s%s%s is at %" PRIu64 ", limit %" PRIu64, rule->name,
           state->raised.is_on ? "raised" : "cleared", rule->counter,
           *news.of != '\0' ? " of " : "", news.of, state->value, rule->limit);
}

/* Not under the bus's lock. */
static void look_at_alerts(hl_healths *healths, uint64_t now_ns)
{
    hl_bus *const bus = healths->bus;
    for (uint32_t i = 0; i < bus->config.alert_count; i++) {
        const hl_alert_rule *const rule = &bus->config.alerts[i];
        uint64_t count;
        if (hl_counter_read(bus, hl_counter_find(rule->counter), of_whom(rule), &count) &&
            hl_alert_step(&healths->alerts[i], rule, count, now_ns))
            tell_alert(healths, i, now_ns);
    }
}

/* ---- a look ---- */

static void worsen(hl_health_status *status, hl_health_status by)
{
    if (by > *status)
        *status = by;
}

static void sum_up(hl_healths *healths)
{
    hl_health_summary *const summary = &healths->summary;
    uint32_t counts[HL_HEALTH_CRITICAL + 1] = {0};
    summary->status = HL_HEALTH_OK;
    summary->alerts = 0;
    for (int kind = 0; kind < HL_HEALTH_KINDS; kind++)
        for (uint32_t i = 0; i < healths->groups[kind].count; i++) {
            const hl_source *const source = &healths->groups[kind].sources[i];
            if (!source->is_there)
                continue;
            counts[source->health.status]++;
            worsen(&summary->status, source->health.status);
        }
    for (uint32_t i = 0; i < healths->bus->config.alert_count; i++) {
        if (!healths->alerts[i].raised.is_on)
            continue;
        summary->alerts++;
        worsen(&summary->status, healths->bus->config.alerts[i].severity);
    }
    summary->ok = counts[HL_HEALTH_OK];
    summary->degraded = counts[HL_HEALTH_DEGRADED];
    summary->critical = counts[HL_HEALTH_CRITICAL];
    summary->looks++;
}

static void look_at_all(hl_healths *healths, uint64_t now_ns)
{
    look_at_threads(healths, now_ns);
    hl_bus_lock(healths->bus);
    look_at_lanes(healths, now_ns);
    look_at_subscriptions(healths, now_ns);
    hl_bus_unlock(healths->bus);
    look_at_components(healths, now_ns);
    look_at_journals(healths, now_ns);
}

static void tick(hl_bus *bus, uint64_t now_ns)
{
    hl_healths *const healths = bus->healths;
    if (healths->looked_ns != 0 && now_ns - healths->looked_ns < HL_HEALTH_LOOK_NS)
        return;
    healths->looked_ns = now_ns;
    pthread_mutex_lock(&healths->lock);
    if (bus->config.health.enabled)
        look_at_all(healths, now_ns);
    look_at_alerts(healths, now_ns);
    sum_up(healths);
    pthread_mutex_unlock(&healths->lock);
}

/* ---- the part ---- */

static bool make_group(hl_healths *healths, hl_health_kind kind, uint32_t count)
{
    source_group *const group = &healths->groups[kind];
    group->sources = calloc(count, sizeof *group->sources);
    group->count = group->room = group->sources != NULL ? count : 0;
    return group->sources != NULL;
}

static hl_status create(hl_bus *bus, hl_error *error)
{
    hl_healths *const healths = calloc(1, sizeof *healths);
    if (healths == NULL)
        return hl_error_set(error, HL_NO_MEMORY, "no memory for the health of the bus");
    bus->healths = healths;
    healths->bus = bus;
    pthread_mutex_init(&healths->lock, NULL);
    healths->alerts = calloc(bus->config.alert_count + 1, sizeof *healths->alerts);
    if (healths->alerts == NULL || !make_group(healths, HL_HEALTH_THREAD, bus->executor_count) ||
        !make_group(healths, HL_HEALTH_LANE, bus->partition_count * HL_PRIORITIES) ||
        !make_group(healths, HL_HEALTH_JOURNAL, bus->partition_count))
        return hl_error_set(error, HL_NO_MEMORY, "no memory for the health of the bus");
    return HL_OK;
}

static void destroy(hl_bus *bus)
{
    hl_healths *const healths = bus->healths;
    if (healths == NULL)
        return;
    for (int kind = 0; kind < HL_HEALTH_KINDS; kind++)
        free(healths->groups[kind].sources);
    free(healths->alerts);
    pthread_mutex_destroy(&healths->lock);
    free(healths);
    bus->healths = NULL;
}

const hl_part hl_health_part = {.create = create, .tick = tick, .destroy = destroy};

/* ---- reading ---- */

/* The index-th that is there; NULL: there are fewer. Under the lock. */
static const hl_health *nth(const hl_healths *healths, uint32_t index)
{
    for (int kind = 0; kind < HL_HEALTH_KINDS; kind++)
        for (uint32_t i = 0; i < healths->groups[kind].count; i++) {
            const hl_source *const source = &healths->groups[kind].sources[i];
            if (source->is_there && index-- == 0)
                return &source->health;
        }
    return NULL;
}

hl_status hl_health_read(const hl_bus *bus, uint32_t index, hl_health *ret_health)
{
    if (hl_bus_is_detached(bus))
        return HL_DETACHED;
    hl_healths *const healths = bus->healths;
    pthread_mutex_lock(&healths->lock);
    const hl_health *const health = nth(healths, index);
    if (health != NULL)
        *ret_health = *health;
    pthread_mutex_unlock(&healths->lock);
    return health != NULL ? HL_OK : HL_NOT_FOUND;
}

void hl_health_summary_read(const hl_bus *bus, hl_health_summary *ret_summary)
{
    hl_healths *const healths = bus->healths;
    if (hl_bus_is_detached(bus)) {
        *ret_summary = (hl_health_summary){.status = HL_HEALTH_OK};
        return;
    }
    pthread_mutex_lock(&healths->lock);
    *ret_summary = healths->summary;
    pthread_mutex_unlock(&healths->lock);
}

hl_status hl_alert_read(const hl_bus *bus, uint32_t index, hl_alert *ret_alert)
{
    if (hl_bus_is_detached(bus))
        return HL_DETACHED;
    hl_healths *const healths = bus->healths;
    if (index >= bus->config.alert_count)
        return HL_NOT_FOUND;
    const hl_alert_rule *const rule = &bus->config.alerts[index];
    hl_alert alert = {.when = rule->when,
                      .severity = rule->severity,
                      .limit = rule->limit,
                      .clear = hl_alert_clear(rule)};
    snprintf(alert.name, sizeof alert.name, "%s", rule->name);
    snprintf(alert.counter, sizeof alert.counter, "%s", rule->counter);
    snprintf(alert.of, sizeof alert.of, "%s", of_whom(rule));
    pthread_mutex_lock(&healths->lock);
    const hl_alert_state *const state = &healths->alerts[index];
    alert.is_raised = state->raised.is_on;
    alert.value = state->value;
    alert.since_ns = state->since_ns;
    alert.raised = state->times;
    pthread_mutex_unlock(&healths->lock);
    *ret_alert = alert;
    return HL_OK;
}
