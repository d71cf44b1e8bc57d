/*
 * What the bus itself publishes: events of the domain `system`, one topic a kind, each with a
 * payload struct of this header. They come from the housekeeper, within some 10 ms of what they
 * tell. A bus without a domain `system` publishes none.
 *
 *     hl_subscribe(bus, "system.>", on_system, NULL, NULL, NULL);
 *
 * An event's key says whom it is about (an interned number, see each struct). The domain's slots
 * must have room for the payload: 512 bytes are enough for all.
 */
#ifndef HOTLANE_SYSTEM_H
#define HOTLANE_SYSTEM_H

#include <hotlane/bus.h>
#include <hotlane/health.h>

#define HL_SYSTEM_PAYLOAD_MAX 440 /* bytes */

/* system.error: an event was given up by a subscription. Key: the subscription's number. Of a
 * partition at most 16 in 10 ms; what fails in the domain `system` itself is never told, so that a
 * handler of errors cannot feed itself: both are counted in `untold`. */
typedef struct hl_system_error {
    uint64_t event_id; /* of the event that was given up */
    uint64_t event_key;
    uint64_t untold; /* of this partition, so far */
    int32_t code; /* of hl_fail, or the hl_status that the handler returned; 0: it was not asked */
    uint32_t reason;   /* hl_dead_reason */
    uint32_t attempts; /* deliveries */
    uint32_t partition;
    char subscription[64];
    char topic[128];
    char text[160]; /* of hl_fail; "": none */
} hl_system_error;

/* Why a breaker changed its state. */
typedef enum hl_breaker_reason {
    HL_BREAKER_FAILURES = 1, /* too many of the last outcomes */
    HL_BREAKER_RATE,         /* the failure rate in its window */
    HL_BREAKER_RESTED,       /* the rest is over: a probe */
    HL_BREAKER_PROBED,       /* a probe failed, or enough were good */
    HL_BREAKER_FORCED,       /* hl_subscription_breaker_force */
    HL_BREAKER_WATCHDOG      /* its handler was over its budget */
} hl_breaker_reason;

/* system.breaker: a subscription's breaker, on one partition, changed its state; of an async one,
 * which has one breaker for all, `partition` is that of the event that brought it about. Key: the
 * subscription's number. */
typedef struct hl_system_breaker {
    uint64_t at_ns;
    uint32_t from, to; /* hl_breaker_state */
    uint32_t cause;    /* hl_breaker_reason */
    uint32_t failures; /* among the last outcomes, or in the window, when it opened */
    uint32_t partition;
    uint32_t reserved; /* 0 */
    char subscription[64];
    char pattern[256];
} hl_system_breaker;

/* system.slow_handler: a handler is still running, past its budget. Told again each time that the
 * time has doubled. Key: the subscription's number. */
typedef struct hl_system_slow_handler {
    uint64_t running_ns; /* so long at least; seen each 10 ms */
    uint64_t budget_ns;
    uint64_t event_id; /* in its hand; of a batch the last one */
    uint32_t partition;
    int32_t cpu; /* where its thread last found itself; -1: unknown */
    char thread[64];
    char subscription[64];
    char topic[128];
} hl_system_slow_handler;

/* system.stalled: an executor has made no progress for turn_budget_ns; told again each time that
 * the time has doubled. Key: the executor's index. */
typedef struct hl_system_stalled {
    uint64_t stalled_ns;
    int32_t cpu;
    uint32_t reserved; /* 0 */
    char thread[64];
    char subscription[64]; /* whose handler runs; "": none */
    char frames[288]; /* where it is, innermost first, "a < b < c"; "" without stall_backtrace */
} hl_system_stalled;

/*
 * "system.throttle": a partition has gone up or down a step of the ladder (hl_rung). Key: the
 * partition's number. The figures are those of the 10 ms before.
 */
typedef struct hl_system_throttle {
    char domain[64];
    uint32_t shard;
    uint32_t rung_before, rung; /* hl_rung; equal between the two steps of HL_RUNG_SHED: */
    uint32_t step_before, step; /* 0 calm, 1 sample, 2 shed BACKGROUND, 3 shed LOW too, 4 refuse */
    uint32_t cause;             /* hl_load_cause: why it stands where it does; NONE when calm */
    uint32_t load_permille;     /* 1000: a threshold is reached */
    uint32_t busy_permille;     /* of the executor's time */
    uint64_t lane_used, lane_slots; /* of the fullest ring */
    uint64_t order_delay_ns;        /* the longest wait of an event of CRITICAL or HIGH */
    uint64_t arrivals_per_s;
    uint64_t at_ns; /* bus clock */
} hl_system_throttle;

/* "system.watermark": an hl_watermark (flow.h). Key: the partition's number. */

#ifdef __cplusplus
extern "C" {
#endif

/* "system.eject": a subscriber was detached because it fell behind. Key: the same for all events
 * about one subscription. */
#define HL_TOPIC_EJECT "system.eject"
typedef struct hl_system_eject {
    char subscription[64];
    uint32_t partition;
    uint64_t behind; /* events that waited */
    uint64_t age_ns; /* how long the oldest had, where that is what it is ejected for; else 0 */
    uint64_t last_sequence;
} hl_system_eject;

/* "system.hand_over": the journal is read for a subscriber (hl_past), or no longer. Key: as
 * system.eject. */
#define HL_TOPIC_HAND_OVER "system.hand_over"
typedef enum hl_hand_over_state {
    HL_HAND_OVER_BEGUN = 1, /* behind `sequence` */
    HL_HAND_OVER_LIVE,      /* done: what is behind `sequence` comes live */
    HL_HAND_OVER_MISSED,    /* the journal does not have `missing` events up to `sequence` */
    HL_HAND_OVER_WAITING    /* the journal cannot be read, `text` says why: tried again, as long as
                               hl_subscription_stats.waits_for says so */
} hl_hand_over_state;
typedef struct hl_system_hand_over {
    char subscription[64];
    uint32_t partition;
    uint32_t state; /* hl_hand_over_state */
    uint64_t sequence;
    uint64_t missing;
    char text[160];
} hl_system_hand_over;

/* "system.scale": the pool of workers grew or shrank. Key: 0. */
#define HL_TOPIC_SCALE "system.scale"
typedef struct hl_system_scale {
    uint32_t before, after; /* workers */
    uint64_t backlog;       /* events that waited */
    uint64_t rate_per_s;    /* events handled */
    char reason[16];        /* "backlog", "idle", "bounds" */
} hl_system_scale;

/* "system.journal_state": a partition's journal changed its state (hl_journal_state): no space,
 * failed, running again. "system.journal_degraded": by HL_JOURNAL_GO_ON its events began, or
 * ceased, to pass without it. Key: the partition's number. */
#define HL_TOPIC_JOURNAL_STATE    "system.journal_state"
#define HL_TOPIC_JOURNAL_DEGRADED "system.journal_degraded"
typedef struct hl_system_journal {
    uint32_t partition;
    uint32_t state;    /* hl_journal_state */
    uint32_t degraded; /* 1: events pass without it, from here on */
    uint32_t reserved; /* 0 */
    uint64_t sequence; /* the last one that the partition gave out, or the journal took */
    uint64_t written_sequence, durable_sequence;
    uint64_t unjournaled; /* events that passed and were not written down, so far */
    char text[160];       /* what went wrong; "": see the state */
} hl_system_journal;

/* "system.journal_keeping": what is beyond the journal's limits could not be removed, or what was
 * sealed not be packed; or now it could again. Tried again each minute; told when it changes. Key:
 * 0. */
#define HL_TOPIC_JOURNAL_KEEPING "system.journal_keeping"
typedef struct hl_system_keeping {
    uint32_t status;   /* hl_status; HL_OK: it could again */
    uint32_t reserved; /* 0 */
    uint64_t failures; /* so far */
    char text[256];    /* what went wrong; "": nothing */
} hl_system_keeping;

/* "system.snapshot_created": a snapshot of an aggregate in one partition was written.
 * "system.snapshot_failed": it could not be; the older ones are as they were. Key: the partition's
 * number. */
#define HL_TOPIC_SNAPSHOT_CREATED "system.snapshot_created"
#define HL_TOPIC_SNAPSHOT_FAILED  "system.snapshot_failed"
typedef struct hl_system_snapshot {
    uint32_t partition;
    uint32_t status;   /* hl_status */
    uint32_t version;  /* the aggregate's */
    uint32_t reserved; /* 0 */
    uint64_t sequence; /* of the last event in it */
    uint64_t bytes;    /* of the state */
    uint64_t held_ns;  /* how long the partition waited while its states were copied */
    char aggregate[72];
    char text[160]; /* what went wrong; "": nothing */
} hl_system_snapshot;

/* "system.health_changed": something became better or worse. Key: the same for all events about one
 * of them (its kind in the upper 32 bits). */
#define HL_TOPIC_HEALTH_CHANGED "system.health_changed"
typedef struct hl_system_health {
    uint64_t at_ns;        /* bus clock */
    uint64_t lasted_ns;    /* how long it had its old status */
    uint32_t kind;         /* hl_health_kind */
    uint32_t from, to;     /* hl_health_status */
    uint32_t reason;       /* hl_health_reason; HL_HEALTH_NO_REASON when it is OK */
    uint64_t value, limit; /* the figure, and the threshold that it reached; 0 when it is OK */
    char name[128];
    char text[160]; /* the reason in words; of one that ended "ended"; else "" when it is OK */
} hl_system_health;

/* "system.alert": a rule of the configuration has been true for long enough, or no longer is. Key:
 * the rule's place in the configuration. */
#define HL_TOPIC_ALERT "system.alert"
typedef struct hl_system_alert {
    uint64_t at_ns;     /* bus clock */
    uint64_t lasted_ns; /* how long it was raised, when it is cleared; else 0 */
    uint32_t is_raised; /* 1: raised, 0: cleared */
    uint32_t severity;  /* hl_health_status */
    uint32_t when;      /* hl_alert_when */
    uint32_t reserved;  /* 0 */
    uint64_t value;     /* the counter, or its rate */
    uint64_t limit, clear;
    char name[64];
    char counter[64];
    char of[128];
} hl_system_alert;

/* System events that were lost: more at once than the housekeeper's queue holds, no such domain, or
 * slots too small. Any thread. */
HL_API uint64_t hl_bus_notices_lost(const hl_bus *bus);

/* Does once what the housekeeper's thread does every 10 ms: publishes what was noticed, slews the
 * clock, frees what is done with. For HL_THREADS_MANUAL, where there is no such thread: one caller
 * at a time, not from a handler (HL_WRONG_THREAD). HL_WRONG_STATE: the bus has a housekeeper, or
 * does not run. */
HL_API hl_status hl_bus_housekeep(hl_bus *bus);

#ifdef __cplusplus
}
#endif

#endif
