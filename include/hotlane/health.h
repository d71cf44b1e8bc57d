/*
 * How the bus does. Each thread, lane, subscription, component and journal has a health: OK,
 * DEGRADED or CRITICAL, with a reason and its figures. The housekeeper looks each 100 ms, compares
 * with the thresholds of the configuration, and publishes each change as system.health_changed
 * (system.h). Beside them stand alerts: rules over counters, published as system.alert.
 *
 *     hl_health health;
 *     for (uint32_t i = 0; hl_health_read(bus, i, &health) == HL_OK; i++)
 *         if (health.status != HL_HEALTH_OK)
 *             printf("%s: %s\n", health.name, health.text);
 *
 * What is measured comes from counters that are written anyway: a look costs the hot path nothing.
 * Both are guarded against flapping: what goes up must have been so for a while, and must be well
 * under its threshold for a while to come down.
 */
#ifndef HOTLANE_HEALTH_H
#define HOTLANE_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hotlane/duration.h>
#include <hotlane/status.h>

typedef struct hl_bus hl_bus;

typedef enum hl_health_status {
    HL_HEALTH_OK = 0,
    HL_HEALTH_DEGRADED,
    HL_HEALTH_CRITICAL
} hl_health_status;

/* Whose health it is. */
typedef enum hl_health_kind {
    HL_HEALTH_THREAD = 0, /* an executor or worker: "order+fill" */
    HL_HEALTH_LANE,       /* "order/critical", "market_data.1/normal" */
    HL_HEALTH_SUBSCRIPTION,
    HL_HEALTH_COMPONENT,
    HL_HEALTH_JOURNAL, /* of a partition: "order", "market_data.1" */
    HL_HEALTH_KINDS
} hl_health_kind;

/* What is looked at: name, whose, what the figure is. */
#define HL_HEALTH_REASONS(X)                                                                 \
    X(STALLED, THREAD, "ns without progress")                                                \
    X(BUSY, THREAD, "% of its time, busy with events (not where a domain blocks)")           \
    X(FULL, LANE, "% of its fullest ring (not in a domain that blocks)")                     \
    X(SLOW, SUBSCRIPTION, "% of its budget, that its handler runs already")                  \
    X(FAILING, SUBSCRIPTION, "failures a second")                                            \
    X(GIVEN_UP, SUBSCRIPTION, "events a second that were dead-lettered, skipped or lost")    \
    X(BREAKER, SUBSCRIPTION, "its breaker: 1 half-open, 2 open")                             \
    X(EJECTED, SUBSCRIPTION, "2: it is detached because it fell behind")                     \
    X(SAID, COMPONENT, "what it says of itself: an hl_health_status; 2: it failed to start") \
    X(BACKLOG, JOURNAL, "% of its slots, in flight to the disk")                             \
    X(STATE, JOURNAL, "1: no space, or its events pass without it; 2: it failed")            \
    X(KEEPING, JOURNAL, "1: it is not kept within its limits, or what is sealed not packed")

typedef enum hl_health_reason {
    HL_HEALTH_NO_REASON = 0,
#define HL_HEALTH_REASON_CODE(name, kind, figure) HL_HEALTH_##name,
    HL_HEALTH_REASONS(HL_HEALTH_REASON_CODE)
#undef HL_HEALTH_REASON_CODE
        HL_HEALTH_REASON_COUNT
} hl_health_reason;

/* From which figure on it is DEGRADED, and CRITICAL; 0: never. CRITICAL is not under DEGRADED. */
typedef struct hl_threshold {
    uint64_t degraded, critical;
} hl_threshold;

typedef struct hl_health_options {
    size_t size;
    bool enabled;            /* false: nobody looks, nothing has a health. Alerts go on */
    uint64_t raise_after_ns; /* worse only when it was so in every look for so long; 0..1 h */
    uint64_t clear_after_ns; /* better likewise; 0..1 h */
    uint32_t clear_pct;      /* of a threshold: a figure that came over it must come under this to
                                be better; 1..100 */
    hl_threshold thread_stalled_ns;
    hl_threshold thread_busy_pct;    /* ..100 */
    hl_threshold lane_pct;           /* ..100 */
    hl_threshold handler_budget_pct; /* of the budget of the watchdog */
    hl_threshold failures_per_s;     /* of a subscription, over the last second */
    hl_threshold given_up_per_s;     /* likewise */
    hl_threshold journal_pct;        /* ..100 */
} hl_health_options;

#define HL_HEALTH_OPTIONS_INIT                                                                \
    {                                                                                         \
        sizeof(hl_health_options), true, 100 * HL_MILLISECOND, HL_SECOND, 80,                 \
            {HL_SECOND, 5 * HL_SECOND}, {95, 0}, {80, 95}, {100, 1000}, {10, 1000}, {1, 100}, \
        {                                                                                     \
            80, 95                                                                            \
        }                                                                                     \
    }

/* One of them. */
typedef struct hl_health {
    hl_health_kind kind;
    hl_health_status status;
    hl_health_reason reason; /* HL_HEALTH_NO_REASON when OK */
    hl_health_status worst;  /* so far */
    uint64_t value, limit;   /* the figure, and the threshold that it reached; 0 when OK */
    uint64_t since_ns;       /* when it took this status; bus clock */
    uint64_t changes;        /* of status, so far */
    char name[128];
    char text[160];       /* the reason in words; "" when OK */
    char worst_text[160]; /* of the time when it was at its worst */
} hl_health;

typedef struct hl_health_summary {
    hl_health_status status; /* the worst of all, and of the alerts that are raised */
    uint32_t ok, degraded, critical;
    uint32_t alerts;  /* raised just now */
    uint64_t changes; /* system.health_changed so far */
    uint64_t raised;  /* alerts, so far */
    uint64_t looks;
    uint32_t unwatched; /* subscriptions beyond the first 4096, which nobody looks at */
} hl_health_summary;

/* ---- alerts ---- */

/* When a rule is true. Of a rate: what the counter grew in the last second. */
typedef enum hl_alert_when {
    HL_ALERT_OVER = 0,  /* the counter is above the limit */
    HL_ALERT_UNDER,     /* below it */
    HL_ALERT_RATE_OVER, /* it grows by more a second */
    HL_ALERT_RATE_UNDER /* by less */
} hl_alert_when;

#define HL_ALERT_CLEAR_DEFAULT UINT64_MAX
#define HL_ALERT_RULES_MAX     256u

typedef struct hl_alert_rule {
    size_t size;
    const char *name;    /* letters, digits, '_' and '-'; at most 63 bytes; no two alike */
    const char *counter; /* "lane.rejected": hl_alert_counter has them all */
    const char *of; /* whose: a domain ("order"), a lane of one ("order/critical"), the name of a
                       subscription or thread; NULL, "": of all of them together */
    hl_alert_when when;
    uint64_t limit;
    uint64_t clear; /* it is over when the figure is back at this: not above the limit of an "over",
                       not below that of an "under"; HL_ALERT_CLEAR_DEFAULT: a tenth away from it */
    uint64_t for_ns;           /* raised when it was true in every look for so long; ..1 h */
    uint64_t clear_for_ns;     /* and cleared likewise */
    hl_health_status severity; /* HL_HEALTH_DEGRADED or HL_HEALTH_CRITICAL */
} hl_alert_rule;

#define HL_ALERT_RULE_INIT                                                                    \
    {                                                                                         \
        sizeof(hl_alert_rule), NULL, NULL, NULL, HL_ALERT_OVER, 0, HL_ALERT_CLEAR_DEFAULT, 0, \
            HL_SECOND, HL_HEALTH_DEGRADED                                                     \
    }

typedef struct hl_alert {
    char name[64];
    char counter[64];
    char of[128];
    hl_alert_when when;
    hl_health_status severity;
    bool is_raised;
    uint64_t value; /* as of the last look: the counter, or its rate */
    uint64_t limit, clear;
    uint64_t since_ns; /* when it was raised or cleared last; 0: never */
    uint64_t raised;   /* times */
} hl_alert;

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Walks what has a health: threads, lanes that somebody publishes to, subscriptions, components,
 * journals; 0, 1, 2, ... until HL_NOT_FOUND. As of the last look; after a stop, of the last one
 * before. Any thread; takes a lock that no thread of a hot path takes.
 * In a fork's child: HL_DETACHED, and a summary of nothing.
 */
HL_API hl_status hl_health_read(const hl_bus *bus, uint32_t index, hl_health *ret_health);

/* All of it in a few figures. As hl_health_read. */
HL_API void hl_health_summary_read(const hl_bus *bus, hl_health_summary *ret_summary);

/* Walks the alerts in the order of the configuration likewise. */
HL_API hl_status hl_alert_read(const hl_bus *bus, uint32_t index, hl_alert *ret_alert);

/* The counters that a rule may name, by index; NULL past the last. Static memory. Any thread. */
HL_API const char *hl_alert_counter(uint32_t index);

/* "ok", "degraded", "critical"; "thread", ...; "stalled", ...; "over", ...; "unknown". Static
 * memory. Any thread. */
HL_API const char *hl_health_name(hl_health_status status);
HL_API const char *hl_health_kind_name(hl_health_kind kind);
HL_API const char *hl_health_reason_name(hl_health_reason reason);
HL_API const char *hl_alert_when_name(hl_alert_when when);

#ifdef __cplusplus
}
#endif
#endif
