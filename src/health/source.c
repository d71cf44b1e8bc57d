#include "health/source.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const hl_health_kind kinds[] = {
#define KIND(name, kind, figure) [HL_HEALTH_##name] = HL_HEALTH_##kind,
    HL_HEALTH_REASONS(KIND)
#undef KIND
};

/* ---- names ---- */

const char *hl_health_name(hl_health_status status)
{
    static const char *const names[] = {"ok", "degraded", "critical"};
    return (unsigned)status < sizeof names / sizeof *names ? names[status] : "unknown";
}

const char *hl_health_kind_name(hl_health_kind kind)
{
    static const char *const names[] = {"thread", "lane", "subscription", "component", "journal"};
    return (unsigned)kind < sizeof names / sizeof *names ? names[kind] : "unknown";
}

const char *hl_health_reason_name(hl_health_reason reason)
{
    static const char *const names[] = {"none",    "stalled",  "busy",    "full",    "slow",
                                        "failing", "given_up", "breaker", "ejected", "said",
                                        "backlog", "state",    "keeping"};
    _Static_assert(sizeof names / sizeof *names == HL_HEALTH_REASON_COUNT, "each has a name");
    return (unsigned)reason < HL_HEALTH_REASON_COUNT ? names[reason] : "unknown";
}

const char *hl_alert_when_name(hl_alert_when when)
{
    static const char *const names[] = {"over", "under", "rate_over", "rate_under"};
    return (unsigned)when < sizeof names / sizeof *names ? names[when] : "unknown";
}

/* ---- reasons ---- */

static hl_health_reason first_reason(hl_health_kind kind)
{
    uint32_t reason = 1;
    while (kinds[reason] != kind)
        reason++;
    return (hl_health_reason)reason;
}

static uint32_t reason_count(hl_health_kind kind)
{
    uint32_t count = 0;
    for (uint32_t reason = 1; reason < HL_HEALTH_REASON_COUNT; reason++)
        count += kinds[reason] == kind;
    return count;
}

/* Of a reason that is not a quantity but a state: 1 or 2, as it is and at once. */
static bool is_state(hl_health_reason reason)
{
    return reason == HL_HEALTH_BREAKER || reason == HL_HEALTH_EJECTED || reason == HL_HEALTH_SAID ||
           reason == HL_HEALTH_STATE || reason == HL_HEALTH_KEEPING;
}

static hl_threshold threshold_of(const hl_health_options *options, hl_health_reason reason)
{
    switch (reason) {
    case HL_HEALTH_STALLED:
        return options->thread_stalled_ns;
    case HL_HEALTH_BUSY:
        return options->thread_busy_pct;
    case HL_HEALTH_FULL:
        return options->lane_pct;
    case HL_HEALTH_SLOW:
        return options->handler_budget_pct;
    case HL_HEALTH_FAILING:
        return options->failures_per_s;
    case HL_HEALTH_GIVEN_UP:
        return options->given_up_per_s;
    case HL_HEALTH_BACKLOG:
        return options->journal_pct;
    default:
        return (hl_threshold){HL_HEALTH_DEGRADED, HL_HEALTH_CRITICAL};
    }
}

/* What a reason goes by. */
static hl_gauge_limits limits_of(const hl_health_options *options, hl_health_reason reason)
{
    return (hl_gauge_limits){.threshold = threshold_of(options, reason),
                             .clear_pct = is_state(reason) ? 100 : options->clear_pct,
                             .raise_after_ns = is_state(reason) ? 0 : options->raise_after_ns,
                             .clear_after_ns = options->clear_after_ns};
}

/* ---- words ---- */

/* Of those that are quantities: what stands before and behind the value. */
static const struct {
    const char *before, *behind;
} words[HL_HEALTH_REASON_COUNT] = {
    [HL_HEALTH_BUSY] = {"busy with events ", " % of its time"},
    [HL_HEALTH_FULL] = {"its fullest ring is at ", " %"},
    [HL_HEALTH_SLOW] = {"its handler runs for ", " % of its budget"},
    [HL_HEALTH_FAILING] = {"", " failures a second"},
    [HL_HEALTH_GIVEN_UP] = {"", " events a second given up"},
    [HL_HEALTH_BACKLOG] = {"", " % of its slots are in flight to the disk"},
};

static const char *state_in_words(hl_health_reason reason, uint64_t value, const char *said)
{
    const bool is_critical = value == HL_HEALTH_CRITICAL;
    switch (reason) {
    case HL_HEALTH_BREAKER:
        return is_critical ? "its breaker is open" : "its breaker is half-open";
    case HL_HEALTH_EJECTED:
        return "detached, because it fell behind";
    case HL_HEALTH_STATE:
        return is_critical ? "it failed: nothing is written until it is open again"
                           : "no room: it waits, or events pass without it";
    default:
        return said != NULL && *said != '\0' ? said : "it says so itself";
    }
}

static void say(hl_health_reason reason, uint64_t value, const char *said, char *text, size_t room)
{
    if (is_state(reason))
        snprintf(text, room, "%.150s", state_in_words(reason, value, said));
    else if (reason == HL_HEALTH_STALLED)
        snprintf(text, room, "no progress for %.3f s", (double)value / (double)HL_SECOND);
    else
        snprintf(text, room, "%s%" PRIu64 "%s", words[reason].before, value, words[reason].behind);
}

/* ---- a look ---- */

/* The gauge that its status is owed to. */
static uint32_t worst_gauge(const hl_source *source, uint32_t count)
{
    uint32_t worst = 0;
    for (uint32_t i = 1; i < count; i++)
        if (hl_gauge_status(&source->gauges[i]) > hl_gauge_status(&source->gauges[worst]))
            worst = i;
    return worst;
}

static void explain(hl_source *source, const hl_gauge *gauge, const hl_gauge_limits *limits,
                    hl_health_reason reason, const char *said)
{
    hl_health *const health = &source->health;
    const bool is_over = health->status != HL_HEALTH_OK;
    health->reason = is_over ? reason : HL_HEALTH_NO_REASON;
    health->value = is_over ? gauge->value : 0;
    health->limit = hl_gauge_limit(gauge, limits);
    health->text[0] = '\0';
    if (!is_over)
        return;
    if (gauge->value < health->limit)
        snprintf(health->text, sizeof health->text, "%s: it was, and recovers",
                 hl_health_reason_name(reason));
    else
        say(reason, gauge->value, said, health->text, sizeof health->text);
}

bool hl_source_step(hl_source *source, const hl_health_options *options, const hl_figures *figures,
                    uint64_t now_ns, hl_health_status *ret_before, uint64_t *ret_lasted_ns)
{
    hl_health *const health = &source->health;
    const hl_health_reason first = first_reason(health->kind);
    const uint32_t count = reason_count(health->kind);
    if (health->since_ns == 0)
        health->since_ns = now_ns;
    for (uint32_t i = 0; i < count; i++) {
        const hl_gauge_limits limits = limits_of(options, (hl_health_reason)(first + i));
        hl_gauge_step(&source->gauges[i], &limits, figures->of[i], now_ns);
    }
    const uint32_t worst = worst_gauge(source, count);
    const hl_health_reason reason = (hl_health_reason)(first + worst);
    const hl_gauge_limits limits = limits_of(options, reason);
    const hl_health_status before = health->status;
    health->status = hl_gauge_status(&source->gauges[worst]);
    explain(source, &source->gauges[worst], &limits, reason, figures->said);
    if (health->status > health->worst) {
        health->worst = health->status;
        memcpy(health->worst_text, health->text, sizeof health->worst_text);
    }
    if (health->status == before)
        return false;
    *ret_before = before;
    *ret_lasted_ns = now_ns - health->since_ns;
    health->since_ns = now_ns;
    health->changes++;
    return true;
}
